//! What can be wrong with a log.

use std::io;
use std::path::PathBuf;

/// Why a log could not be opened or read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LogError {
    /// The directory could not be made, or is none.
    #[error("the directory {path}: {error}")]
    Directory {
        /// Which one.
        path: PathBuf,
        /// What the system says.
        #[source]
        error: io::Error,
    },
    /// There is no log in this directory.
    #[error("there is no message log in {0}")]
    NotThere(PathBuf),
    /// The file was written by a later version of this crate, or is another program's.
    #[error("the message log has schema version {found}; this program knows {known}")]
    Schema {
        /// What stands in the file.
        found: i64,
        /// What this crate writes and reads.
        known: i64,
    },
    /// The thread that writes could not be started.
    #[error("no thread for the message log: {0}")]
    Thread(#[source] io::Error),
    /// SQLite says no: the disk, the file, or another program that holds it.
    #[error("the message log: {0}")]
    Database(#[from] rusqlite::Error),
}

/// Why a logged message cannot be published again.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RepublishError {
    /// Only the beginning of the payload was kept.
    #[error("only {kept} of the {size} bytes of its payload were kept")]
    Truncated {
        /// Bytes in the log.
        kept: usize,
        /// Bytes of the message.
        size: u64,
    },
    /// A value is none that a message can have: somebody has changed the row.
    #[error("its {0} is none that a message can have")]
    Invalid(&'static str),
}
