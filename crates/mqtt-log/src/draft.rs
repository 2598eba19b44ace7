//! A message as it is about to be written.

use bytes::Bytes;
use mqtt_client::QoS;
use std::time::SystemTime;

/// Whether the client has sent a message or received it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Direction {
    /// The client received it.
    In,
    /// The client was to send it.
    Out,
}

impl Direction {
    /// As it stands in the database: `in` or `out`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::In => "in",
            Self::Out => "out",
        }
    }

    pub(crate) fn from_text(text: &str) -> Option<Self> {
        match text {
            "in" => Some(Self::In),
            "out" => Some(Self::Out),
            _ => None,
        }
    }
}

/// A message that is about to be written, for a [redaction hook](crate::LogOptions::redact). What the hook changes is what is
/// written; size and hash are those of the payload that it leaves.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct Draft {
    /// When it was accepted or came.
    pub time: SystemTime,
    /// Sent or received.
    pub direction: Direction,
    /// The client identifier.
    pub client_id: String,
    /// The topic.
    pub topic: String,
    /// The whole payload.
    pub payload: Bytes,
    /// The quality of service.
    pub qos: QoS,
    /// The retain flag.
    pub retain: bool,
    /// The properties as JSON, in the form that the crate's front page tells; `None` without any.
    pub properties: Option<String>,
}
