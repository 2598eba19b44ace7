//! The file: where it is, its tables, and how it is opened.

use crate::error::LogError;
use core::time::Duration;
use rusqlite::{Connection, OpenFlags};
use std::fs;
use std::path::{Path, PathBuf};

/// What stands in `user_version`.
pub(crate) const VERSION: i64 = 1;

/// The name of the file in the directory of a log.
const FILE: &str = "messages.sqlite3";

/// How long to wait for another program that writes.
const PATIENCE: Duration = Duration::from_secs(1);
/// Pages of 4 KiB that gather beside the file before they are copied into it.
const CHECKPOINT: u32 = 4_000;
/// Bytes that the file beside it may keep after that.
const WAL_BYTES: u32 = 16 * 1024 * 1024;

const TABLES: &str = "
CREATE TABLE message (
  id             INTEGER PRIMARY KEY,
  time           INTEGER NOT NULL,
  direction      TEXT NOT NULL,
  client_id      TEXT NOT NULL,
  topic          TEXT NOT NULL,
  payload        BLOB NOT NULL,
  payload_size   INTEGER NOT NULL,
  payload_sha256 BLOB,
  qos            INTEGER NOT NULL,
  retain         INTEGER NOT NULL,
  dup            INTEGER NOT NULL,
  packet_id      INTEGER,
  properties     TEXT,
  outcome        TEXT,
  reason         INTEGER,
  reason_string  TEXT,
  outcome_time   INTEGER
) STRICT;
CREATE INDEX message_time ON message (time);
CREATE TABLE loss (
  id             INTEGER PRIMARY KEY,
  time           INTEGER NOT NULL,
  client_id      TEXT NOT NULL,
  messages       INTEGER NOT NULL
) STRICT;
CREATE TABLE state (
  last_id        INTEGER NOT NULL
) STRICT;
INSERT INTO state VALUES (0);
";

pub(crate) fn file(directory: &Path) -> PathBuf {
    directory.join(FILE)
}

/// Opens the log to write, and makes it if it is not there.
pub(crate) fn open(directory: &Path) -> Result<Connection, LogError> {
    fs::create_dir_all(directory)
        .map_err(|error| LogError::Directory { path: directory.to_owned(), error })?;
    let mut db = Connection::open(file(directory))?;
    db.busy_timeout(PATIENCE)?;
    // Space can be given back only if this is said before there are tables.
    db.execute_batch("PRAGMA auto_vacuum = INCREMENTAL")?;
    db.query_row("PRAGMA journal_mode = WAL", [], |_| Ok(()))?;
    db.execute_batch(&format!(
        "PRAGMA synchronous = NORMAL; PRAGMA temp_store = MEMORY; PRAGMA wal_autocheckpoint = {CHECKPOINT};
         PRAGMA journal_size_limit = {WAL_BYTES}"
    ))?;
    // Two programs may find it empty at once.
    let begin = db.transaction_with_behavior(rusqlite::TransactionBehavior::Immediate)?;
    if version(&begin)? == 0 && is_empty(&begin)? {
        begin.execute_batch(TABLES)?;
        begin.pragma_update(None, "user_version", VERSION)?;
    }
    check_version(&begin)?;
    begin.commit()?;
    Ok(db)
}

/// Opens a log that is there, to read.
pub(crate) fn open_to_read(directory: &Path) -> Result<Connection, LogError> {
    let path = file(directory);
    if !path.is_file() {
        return Err(LogError::NotThere(directory.to_owned()));
    }
    let db = Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_ONLY)?;
    db.busy_timeout(5 * PATIENCE)?;
    check_version(&db)?;
    Ok(db)
}

fn check_version(db: &Connection) -> Result<(), LogError> {
    match version(db)? {
        VERSION => Ok(()),
        found => Err(LogError::Schema { found, known: VERSION }),
    }
}

fn version(db: &Connection) -> rusqlite::Result<i64> {
    db.query_row("PRAGMA user_version", [], |row| row.get(0))
}

fn is_empty(db: &Connection) -> rusqlite::Result<bool> {
    db.query_row("SELECT count(*) FROM sqlite_schema", [], |row| Ok(row.get::<_, i64>(0)? == 0))
}
