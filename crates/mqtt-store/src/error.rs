//! From SQLite's words to those of a store.

use core::error::Error;
use core::fmt;
use mqtt_client::StoreError;
use rusqlite::ErrorCode;
use std::io;
use std::sync::Arc;

/// What only this engine can say.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Damage {
    /// SQLite counts to 2^63 - 1.
    NumberTooLarge,
    /// A database of somebody else.
    Foreign,
}

impl fmt::Display for Damage {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::NumberTooLarge => "a number does not fit into 63 bits",
            Self::Foreign => "the directory holds a database that mqtt-store has not written",
        })
    }
}

impl Error for Damage {}

impl From<Damage> for StoreError {
    fn from(damage: Damage) -> Self {
        Self::Engine(Arc::new(damage))
    }
}

/// Whether a page of the database does not hold what it must.
pub(crate) fn is_damage(error: &rusqlite::Error) -> bool {
    matches!(error.sqlite_error_code(), Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase))
}

/// SQLite's error as that of a store.
pub(crate) fn from_engine(error: rusqlite::Error) -> StoreError {
    match error.sqlite_error_code() {
        Some(ErrorCode::DiskFull) => StoreError::Full,
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => StoreError::InUse,
        Some(ErrorCode::ReadOnly) => io::Error::new(io::ErrorKind::ReadOnlyFilesystem, error).into(),
        _ => StoreError::Engine(Arc::new(error)),
    }
}
