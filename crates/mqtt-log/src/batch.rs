//! What a client's task takes down, in as few instructions as possible: notes of a fixed size, and their bytes behind each
//! other. The thread that writes reads them in the same order.

use crate::draft::Direction;
use bytes::Bytes;
use mqtt_client::QoS;
use std::collections::VecDeque;
use std::sync::Arc;

/// A payload above this is not copied by the client's task: it is kept as it is until it is written.
pub(crate) const LARGE: usize = 1024;

/// Notes of a batch that is full.
const FULL: usize = 1024;

/// Stands for the length of a payload that is kept as it is.
pub(crate) const KEPT: u32 = u32::MAX;

/// Notes of one client.
#[derive(Debug, Default)]
pub(crate) struct Batch {
    /// Which client, by a number of our own: identifiers may be the same.
    pub(crate) source: u64,
    pub(crate) client_id: Option<Arc<str>>,
    pub(crate) notes: Vec<Note>,
    /// Topics, payloads, properties and words of the notes, in their order.
    pub(crate) bytes: Vec<u8>,
    pub(crate) large: VecDeque<Bytes>,
    pub(crate) load: Load,
}

/// What waits to be written.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct Load {
    pub(crate) messages: usize,
    pub(crate) bytes: usize,
}

#[derive(Clone, Copy, Debug)]
pub(crate) enum Note {
    /// What follows happened at this time.
    Turn(i64),
    /// A message. With a number other than 0, there is more to come of it.
    Message { number: u64, packet_id: u16, shape: Shape },
    /// A message to be sent left under this identifier.
    Transmitted { number: u64, packet_id: u16, dup: bool },
    /// What became of a message.
    Settled { number: u64, direction: Direction, fate: Fate, reason: Option<u8>, words: u32 },
    /// Messages that came before and are not acknowledged will not be, or it does not matter.
    Connected,
    /// This source says nothing more.
    Gone,
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct Shape {
    pub(crate) direction: Direction,
    pub(crate) qos: QoS,
    pub(crate) retain: bool,
    pub(crate) dup: bool,
    pub(crate) topic: u32,
    /// [`KEPT`] for a large one.
    pub(crate) payload: u32,
    pub(crate) properties: u32,
}

/// What became of a message, and when.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Settlement {
    pub(crate) at: i64,
    pub(crate) fate: Fate,
    pub(crate) reason: Option<u8>,
}

/// What became of a message, as far as is known: the names of [`Outcome`](mqtt_client::Outcome).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum Fate {
    /// QoS 0: written to the transport.
    Sent,
    /// Acknowledged, by the server or, if it was received, by the client. The reason tells whether it was refused.
    Acked,
    /// Never sent.
    NotSent,
    /// Sent, and nobody knows.
    Unknown,
    /// Expired before it could be sent.
    Expired,
    /// Gave way in a full queue.
    Dropped,
    /// Given up because connections ended with it.
    SetAside,
    /// Sent in a session that was lost.
    SessionLost,
    /// The client could not send it to this server.
    Refused,
    /// It is in the store of the client, and the next run of the program sends it.
    Stored,
}

impl Fate {
    /// All that there are.
    pub const ALL: [Self; 10] = [
        Self::Sent,
        Self::Acked,
        Self::NotSent,
        Self::Unknown,
        Self::Expired,
        Self::Dropped,
        Self::SetAside,
        Self::SessionLost,
        Self::Refused,
        Self::Stored,
    ];

    /// As it stands in the database.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Sent => "sent",
            Self::Acked => "acked",
            Self::NotSent => "not_sent",
            Self::Unknown => "unknown",
            Self::Expired => "expired",
            Self::Dropped => "dropped",
            Self::SetAside => "set_aside",
            Self::SessionLost => "session_lost",
            Self::Refused => "refused",
            Self::Stored => "stored",
        }
    }

    pub(crate) fn from_text(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|fate| fate.as_str() == text)
    }
}

impl Batch {
    /// An empty one that need not grow for a while.
    pub(crate) fn roomy() -> Self {
        Self {
            notes: Vec::with_capacity(FULL + FULL / 4),
            bytes: Vec::with_capacity(40 * FULL),
            ..Self::default()
        }
    }

    /// Whether more should go into another one: it would have to be moved to grow.
    pub(crate) const fn is_full(&self) -> bool {
        self.notes.len() >= FULL
    }

    /// Takes over what stands in another one of the same client, and leaves it empty.
    pub(crate) fn append(&mut self, other: &mut Self) {
        self.notes.append(&mut other.notes);
        self.bytes.append(&mut other.bytes);
        self.large.append(&mut other.large);
        self.load = self.load.and(core::mem::take(&mut other.load));
    }

    /// Forgets everything but its memory.
    pub(crate) fn clear(&mut self) {
        self.client_id = None;
        self.notes.clear();
        self.bytes.clear();
        self.large.clear();
        self.load = Load::default();
    }
}

impl Load {
    pub(crate) const fn and(self, other: Self) -> Self {
        Self { messages: self.messages + other.messages, bytes: self.bytes + other.bytes }
    }

    /// Whether a message of so many bytes fits.
    pub(crate) const fn takes(self, bytes: usize) -> bool {
        self.messages > 0 && self.bytes >= bytes
    }

    pub(crate) const fn without(self, other: Self) -> Self {
        Self {
            messages: self.messages.saturating_sub(other.messages),
            bytes: self.bytes.saturating_sub(other.bytes),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Three are taken for each message that is published at QoS 1.
    #[test]
    fn a_note_is_small() {
        assert!(size_of::<Note>() <= 32, "{}", size_of::<Note>());
    }
}
