//! The handle.

use crate::batch::Load;
use crate::error::LogError;
use crate::options::LogOptions;
use crate::queue::{LogStatus, Queue};
use crate::recorder::Recorder;
use crate::schema;
use crate::writer::Writer;
use core::sync::atomic::{AtomicU64, Ordering};
use core::time::Duration;
use mqtt_client::{Journal, Record};
use std::path::Path;
use std::sync::Arc;
use std::thread;

/// How long the last handle waits for what is not written yet.
const GOODBYE: Duration = Duration::from_secs(2);

/// A log of all messages of one or more clients, in and out, in a directory of its own: the
/// [`Journal`] for [`ConnectBuilder::journal`](mqtt_client::ConnectBuilder::journal).
///
/// A clone writes to the same log: one for each client, and one to look at the [status](Self::status). Several programs may
/// write to one log, and any number read it.
///
/// Dropping the last handle writes what waits, and waits for that for up to two seconds; what still cannot be written
/// then is lost. A client drops its handle when it ends: after [`disconnect`](mqtt_client::Client::disconnect) returns its
/// messages are in the log, unless another handle is there, whose [`wait_written`](Self::wait_written) tells.
#[derive(Debug)]
pub struct MessageLog {
    /// Before the handle: what it has collected is the last that is written.
    recorder: Recorder,
    handle: Arc<Handle>,
}

#[derive(Debug)]
struct Handle {
    queue: Arc<Queue>,
    sources: AtomicU64,
}

impl MessageLog {
    /// Opens the log in this directory, which is made if it is not there, and keeps everything: [`LogOptions`] has bounds,
    /// and a hook that looks at each message first. It blocks for as long as the disk takes.
    ///
    /// # Errors
    ///
    /// Those of [`LogOptions::open`].
    pub fn open(directory: impl AsRef<Path>) -> Result<Self, LogError> {
        LogOptions::new().open(directory)
    }

    pub(crate) fn with_options(directory: &Path, options: LogOptions) -> Result<Self, LogError> {
        let db = schema::open(directory)?;
        let limit = Load { messages: options.queue_messages, bytes: options.queue_bytes };
        let queue = Arc::new(Queue::new(limit));
        let writer = Writer::new(queue.clone(), db, options);
        thread::Builder::new()
            .name("mqtt-log".to_owned())
            .spawn(move || writer.run())
            .map_err(LogError::Thread)?;
        let handle = Arc::new(Handle { queue: queue.clone(), sources: AtomicU64::new(1) });
        Ok(Self { recorder: Recorder::new(queue, 0), handle })
    }

    /// How it is doing.
    pub fn status(&self) -> LogStatus {
        self.handle.queue.status()
    }

    /// Blocks until everything is written that clients have handed over by now, but not longer than `limit`. False if some of
    /// it still waits. What a client's task has seen within its current turn is not handed over yet.
    pub fn wait_written(&self, limit: Duration) -> bool {
        self.handle.queue.wait_settled(limit)
    }
}

impl Journal for MessageLog {
    fn record(&mut self, record: Record<'_>) {
        self.recorder.record(record);
    }

    fn flush(&mut self) {
        self.recorder.flush();
    }
}

impl Clone for MessageLog {
    fn clone(&self) -> Self {
        let source = self.handle.sources.fetch_add(1, Ordering::Relaxed);
        Self { recorder: Recorder::new(self.handle.queue.clone(), source), handle: self.handle.clone() }
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.queue.close(GOODBYE);
    }
}
