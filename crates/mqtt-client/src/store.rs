//! Where a client keeps what must survive its process.

use bytes::Bytes;
use core::error::Error;
use mqtt_session::{Snapshot, StoreOp};
use std::io;
use std::sync::Arc;

/// A map from keys to bytes that outlives the process, for [`ConnectBuilder::store`](crate::ConnectBuilder::store).
///
/// Its methods may block: the client calls them one at a time, each on a thread of tokio's for blocking work, and goes
/// on with everything that does not depend on the answer. The crate `mqtt-store` has one for directories on disk.
pub trait Store: Send + 'static {
    /// What is stored. Called once, before the first connection, with the client identifier that is configured, which
    /// is empty if the server is to assign one.
    ///
    /// # Errors
    ///
    /// It cannot be read, it belongs to another client identifier, or it has a newer format. The client does not start.
    fn load(&mut self, client_id: &str) -> Result<Stored, StoreError>;

    /// Messages that wait to be sent, in the order of their numbers, from the first one behind `after` on: at least one
    /// if there is one, then as many as fit into so many bytes.
    ///
    /// # Errors
    ///
    /// They cannot be read. The client asks again later.
    fn waiting(&mut self, after: u64, bytes: usize) -> Result<Vec<(u64, Bytes)>, StoreError>;

    /// Changes what is stored: all of it in this order, or after an error nothing. With `sync` it returns when the
    /// changes, and all those before, are as safe as the store can make them; without, when they survive the end of the
    /// process.
    ///
    /// # Errors
    ///
    /// They cannot be written. The client tries again what has to be written, and refuses what has not been accepted.
    fn apply(&mut self, ops: &[StoreOp], sync: bool) -> Result<(), StoreError>;
}

/// What a [`Store`] holds when it is opened.
#[derive(Clone, Debug, Default)]
pub struct Stored {
    /// All but the messages that wait to be sent: those with a higher number than every
    /// [`Exchange`](mqtt_session::StoreKey::Exchange).
    pub snapshot: Snapshot,
    /// How many messages wait to be sent.
    pub waiting: usize,
    /// The bytes of their values.
    pub waiting_bytes: usize,
    /// Entries that were found damaged, and left out.
    pub damaged: usize,
}

/// Why a store cannot be used.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// Somebody else has it open.
    #[error("the store is open already; end the other process, or give each client a store of its own")]
    InUse,
    /// It belongs to another client.
    #[error(
        "the store belongs to the client identifier {owner:?}, not to {given:?}; use that identifier or another store"
    )]
    OtherClient {
        /// The identifier that it was written under.
        owner: String,
        /// The identifier that is configured.
        given: String,
    },
    /// A newer release has written it.
    #[error("the store has format {found}, this release knows formats up to {known}; use a newer release")]
    NewerFormat {
        /// Its format.
        found: u32,
        /// The newest one that is known.
        known: u32,
    },
    /// There is no room on the disk, or a quota is used up.
    #[error(
        "no space left for the store; what was accepted is kept, and sending goes on when there is space"
    )]
    Full,
    /// The operating system refused.
    #[error("the store cannot be read or written: {0}")]
    Io(Arc<io::Error>),
    /// The engine refused.
    #[error("the store cannot be used: {0}")]
    Engine(Arc<dyn Error + Send + Sync>),
}

impl From<io::Error> for StoreError {
    fn from(error: io::Error) -> Self {
        if matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded) {
            Self::Full
        } else {
            Self::Io(Arc::new(error))
        }
    }
}
