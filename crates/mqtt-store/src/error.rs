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

/// Whether a page of the database does not hold what it must.
pub(crate) fn is_corrupt(error: &rusqlite::Error) -> bool {
    matches!(error.sqlite_error_code(), Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase))
}

/// The same when it is being opened. If it is the page with the names of tables and columns, SQLite does not know these, or
/// they are no text; or it says that nothing may be written.
pub(crate) fn is_damage(error: &rusqlite::Error) -> bool {
    let code = error.sqlite_error_code();
    is_corrupt(error) || matches!(code, None | Some(ErrorCode::Unknown | ErrorCode::ReadOnly))
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
