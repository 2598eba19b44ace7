//! From SQLite's words to those of a store.

use core::error::Error;
use core::fmt;
use mqtt_client::StoreError;
use rusqlite::ErrorCode;
use std::io;
use std::sync::Arc;

/// A number above 2^63 - 1, which is as far as SQLite counts.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct NumberTooLarge;

impl fmt::Display for NumberTooLarge {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a number does not fit into 63 bits")
    }
}

impl Error for NumberTooLarge {}

impl From<NumberTooLarge> for StoreError {
    fn from(error: NumberTooLarge) -> Self {
        Self::Engine(Arc::new(error))
    }
}

/// Whether a page of the database does not hold what it must. If it is the one with the names of tables and columns,
/// SQLite does not know these, or they are no text.
pub(crate) fn is_damage(error: &rusqlite::Error) -> bool {
    let code = error.sqlite_error_code();
    matches!(code, None | Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase | ErrorCode::Unknown))
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
