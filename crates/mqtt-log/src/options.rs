//! How a log is kept.

use crate::draft::Draft;
use crate::error::LogError;
use crate::log::MessageLog;
use core::fmt;
use core::time::Duration;
use std::path::Path;

/// Looks at each message before it is written.
pub(crate) type Redact = Box<dyn FnMut(&mut Draft) -> Verdict + Send>;

/// What becomes of a message that a [redaction hook](LogOptions::redact) has seen.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Verdict {
    /// It is written, as the hook has left it.
    Keep,
    /// It is not written, and leaves no trace.
    Drop,
}

/// The options of a [`MessageLog`].
///
/// ```no_run
/// use core::time::Duration;
/// use mqtt_log::{LogOptions, Verdict};
///
/// # fn main() -> Result<(), mqtt_log::LogError> {
/// let log = LogOptions::new()
///     .keep_for(Duration::from_secs(30 * 24 * 3600))
///     .keep_bytes(2 << 30)
///     .redact(|message| {
///         if message.topic.ends_with("/password") {
///             message.payload = bytes::Bytes::from_static(b"(not logged)");
///         }
///         if message.topic.starts_with("private/") { Verdict::Drop } else { Verdict::Keep }
///     })
///     .open("/var/log/kitchen")?;
/// # Ok(())
/// # }
/// ```
#[must_use = "nothing happens before it is opened"]
pub struct LogOptions {
    pub(crate) payload_limit: usize,
    pub(crate) queue_messages: usize,
    pub(crate) queue_bytes: usize,
    pub(crate) retention: Retention,
    pub(crate) redact: Option<Redact>,
}

/// What may stay.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Retention {
    pub(crate) age: Option<Duration>,
    pub(crate) rows: Option<u64>,
    pub(crate) bytes: Option<u64>,
}

impl LogOptions {
    /// Keeps everything, and the first 4,096 bytes of each payload.
    pub const fn new() -> Self {
        Self {
            payload_limit: 4096,
            queue_messages: 100_000,
            queue_bytes: 64 * 1024 * 1024,
            retention: Retention { age: None, rows: None, bytes: None },
            redact: None,
        }
    }

    /// Bytes of a payload that are kept; of a larger one also the SHA-256 of the whole. 4,096 if it is not set.
    pub const fn payload_limit(mut self, bytes: usize) -> Self {
        self.payload_limit = bytes;
        self
    }

    /// Bounds of what waits to be written: messages, and bytes of their topics, payloads and properties. Above them messages
    /// are not logged, and [counted](crate::LogStatus::lost). 100,000 and 64 MiB if it is not set.
    pub const fn queue(mut self, messages: usize, bytes: usize) -> Self {
        self.queue_messages = if messages == 0 { 1 } else { messages };
        self.queue_bytes = bytes;
        self
    }

    /// Messages older than this are deleted, the oldest first, within a quarter of this time or a minute. Kept for ever if
    /// it is not set.
    pub const fn keep_for(mut self, age: Duration) -> Self {
        self.retention.age = Some(age);
        self
    }

    /// So many messages are kept, the newest. All if it is not set.
    pub const fn keep_rows(mut self, rows: u64) -> Self {
        self.retention.rows = Some(rows);
        self
    }

    /// The database may have so many bytes; then the oldest messages are deleted. Beside it lie up to 16 MiB of what is not
    /// yet in it, and more while somebody reads. The size of the disk if it is not set.
    pub const fn keep_bytes(mut self, bytes: u64) -> Self {
        self.retention.bytes = Some(bytes);
        self
    }

    /// Shows each message to this closure before it is written: it may change what is written, or drop it. It runs on the
    /// thread of the log, never on that of the client; until then the message is in memory only.
    pub fn redact(mut self, hook: impl FnMut(&mut Draft) -> Verdict + Send + 'static) -> Self {
        self.redact = Some(Box::new(hook));
        self
    }

    /// Opens the log in this directory, which is made if it is not there. It blocks for as long as the disk takes, and a
    /// second if another program holds the log.
    ///
    /// # Errors
    ///
    /// The directory or the file cannot be written, the file is no log, or one of a later version.
    pub fn open(self, directory: impl AsRef<Path>) -> Result<MessageLog, LogError> {
        MessageLog::with_options(directory.as_ref(), self)
    }
}

impl Default for LogOptions {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for LogOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LogOptions")
            .field("payload_limit", &self.payload_limit)
            .field("queue", &(self.queue_messages, self.queue_bytes))
            .field("retention", &self.retention)
            .field("redact", &self.redact.is_some())
            .finish()
    }
}
