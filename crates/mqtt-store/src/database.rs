//! The tables, and SQLite as we use it.

use crate::directory::journal;
use crate::error::from_engine;
use crate::journal::PAGE;
use crate::key::{Kind, place, session};
use core::ops::ControlFlow;
use mqtt_client::{StoreError, StoreKey, StoreOp};
use rusqlite::{Connection, OpenFlags, Transaction, params};
use std::fs::{File, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};

/// The newest format that this release knows. It changes when an earlier release could not use what this one writes.
pub(crate) const FORMAT: u32 = 1;

/// KiB of pages in memory, whatever is on disk.
const CACHE: u32 = 1024;
/// Pages in the journal from which on they are moved into the database.
const JOURNAL: u32 = 1000;
/// Deletions after which it is seen whether there is space to give back.
const DELETIONS: usize = 1000;
/// Pages that stay for what comes next.
const SPARE: i64 = 256;
/// Pages given back at once, some milliseconds' work.
const GIVEN_BACK: u32 = 512;

/// An open database.
#[derive(Debug)]
pub(crate) struct Database {
    connection: Connection,
    path: PathBuf,
    /// The journal, to wait for the disk: as SQLite is mostly built, it would wait with `fsync`, which writes the time of
    /// the last change too, twice the work.
    journal: Option<File>,
    /// Deletions since space was last given back.
    deletions: usize,
    doubt: Doubt,
}

/// What a failed wait for the disk leaves behind. It stays with whoever opens the database anew.
#[derive(Default, Debug)]
pub(crate) struct Doubt {
    /// The disk failed to write the journal.
    journal: bool,
    /// Messages that were refused, and could not be deleted.
    refused: Vec<i64>,
}

/// One row, as it was read.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Row<'a> {
    pub(crate) number: i64,
    pub(crate) value: &'a [u8],
    pub(crate) sum: i64,
    /// Whether the checksum fits.
    pub(crate) is_whole: bool,
}

impl Database {
    /// Writes an empty database.
    pub(crate) fn create(path: &Path) -> rusqlite::Result<Self> {
        let database = Self::connect(path, OpenFlags::SQLITE_OPEN_CREATE)?;
        database.in_one(|| {
            schema().iter().try_for_each(|table| database.connection.execute_batch(table))?;
            database.put(Kind::Session, session::FORMAT, &FORMAT.to_be_bytes())
        })?;
        database.checkpoint("TRUNCATE")?;
        Ok(database)
    }

    /// Opens a database that is there.
    pub(crate) fn open(path: &Path) -> rusqlite::Result<Self> {
        let database = Self::connect(path, OpenFlags::empty())?;
        // What a crash left in the journal comes into the database. If there is no room for it, later.
        let _ = database.checkpoint("TRUNCATE");
        Ok(database)
    }

    fn connect(path: &Path, flags: OpenFlags) -> rusqlite::Result<Self> {
        let flags = flags | OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let connection = Connection::open_with_flags(path, flags)?;
        if flags.contains(OpenFlags::SQLITE_OPEN_CREATE) {
            let layout = format!("PRAGMA page_size = {PAGE}; PRAGMA auto_vacuum = INCREMENTAL;");
            connection.execute_batch(&layout)?;
        }
        connection.set_prepared_statement_cache_capacity(32);
        // Exclusive, there is no shared memory beside the journal.
        connection.execute_batch(&format!(
            "PRAGMA locking_mode = EXCLUSIVE;
             PRAGMA journal_mode = WAL;
             PRAGMA synchronous = NORMAL;
             PRAGMA wal_autocheckpoint = {JOURNAL};
             PRAGMA cache_size = -{CACHE};
             PRAGMA cell_size_check = ON;"
        ))?;
        Ok(Self { connection, path: path.to_owned(), journal: None, deletions: 0, doubt: Doubt::default() })
    }

    /// The same, opened anew after this.
    pub(crate) fn after(self, doubt: Doubt) -> Self {
        Self { doubt, ..self }
    }

    /// Closes it.
    pub(crate) fn into_doubt(self) -> Doubt {
        self.doubt
    }

    /// The version of its format, as far as it can be told.
    pub(crate) fn format(&self) -> rusqlite::Result<Option<u32>> {
        let value = self.get(Kind::Session, session::FORMAT)?;
        Ok(value.and_then(|value| value.try_into().ok()).map(u32::from_be_bytes))
    }

    /// Whether the tables are those of this format.
    pub(crate) fn has_schema(&self) -> rusqlite::Result<bool> {
        let mut statement = self.connection.prepare("SELECT sql FROM sqlite_schema WHERE sql NOT NULL")?;
        let found = statement.query_map([], |row| row.get(0))?.collect::<rusqlite::Result<Vec<String>>>()?;
        Ok(found == schema())
    }

    /// Whether every page holds what it must.
    pub(crate) fn is_sound(&self) -> rusqlite::Result<bool> {
        let found: String = self.connection.query_row("PRAGMA quick_check(1)", [], |row| row.get(0))?;
        Ok(found == "ok")
    }

    /// Calls `each` with the rows behind `after`, in the order of their numbers.
    pub(crate) fn rows(
        &self,
        kind: Kind,
        after: i64,
        mut each: impl FnMut(Row<'_>) -> ControlFlow<()>,
    ) -> rusqlite::Result<()> {
        let mut statement = self.connection.prepare_cached(kind.select())?;
        let mut rows = statement.query([after])?;
        while let Some(row) = rows.next()? {
            let number = row.get_ref(0)?.as_i64().unwrap_or(0);
            let value = row.get_ref(1)?.as_blob().ok();
            let sum = row.get_ref(2)?.as_i64().ok();
            let is_whole = matches!((value, sum), (Some(value), Some(sum)) if kind.sum(number, value) == sum);
            let (value, sum) = (value.unwrap_or_default(), sum.unwrap_or(0));
            if each(Row { number, value, sum, is_whole }).is_break() {
                break;
            }
        }
        Ok(())
    }

    /// The value of one row, if it is there and whole.
    pub(crate) fn get(&self, kind: Kind, number: i64) -> rusqlite::Result<Option<Vec<u8>>> {
        let mut found = None;
        self.rows(kind, number.saturating_sub(1), |row| {
            found = (row.number == number && row.is_whole).then(|| row.value.to_vec());
            ControlFlow::Break(())
        })?;
        Ok(found)
    }

    /// Does all of it, or after an error nothing. `last` is the highest number of a message ever.
    pub(crate) fn apply(&mut self, ops: &[StoreOp], last: &mut u64, sync: bool) -> Result<(), StoreError> {
        let mut reached = *last;
        if ops.is_empty() && sync {
            return Ok(self.wait_for_disk()?);
        }
        self.leave_journal()?;
        self.command("BEGIN IMMEDIATE")?;
        let done = self
            .delete_refused()
            .and_then(|()| ops.iter().try_for_each(|op| self.apply_one(op, &mut reached)))
            .and_then(|()| self.keep_last(ops, reached))
            .and_then(|()| self.command("COMMIT"));
        if let Err(error) = done {
            // It may have been rolled back already.
            let _ = self.command("ROLLBACK");
            return Err(error);
        }
        *last = reached;
        self.doubt.refused.clear();
        if sync && let Err(error) = self.wait_for_disk() {
            self.doubt.journal = true;
            self.take_back(ops);
            return Err(error.into());
        }
        self.give_back(ops);
        Ok(())
    }

    /// Compiled once.
    fn command(&self, sql: &str) -> Result<(), StoreError> {
        let run = self.connection.prepare_cached(sql).and_then(|mut statement| statement.execute([]));
        run.map(drop).map_err(from_engine)
    }

    fn apply_one(&self, op: &StoreOp, last: &mut u64) -> Result<(), StoreError> {
        match op {
            StoreOp::Put(key, value) => {
                let (kind, number) = place(*key)?;
                if let StoreKey::Message(number) = key {
                    *last = (*last).max(*number);
                }
                self.put(kind, number, value).map_err(from_engine)
            }
            StoreOp::Delete(key) => {
                let (kind, number) = place(*key)?;
                self.delete(kind, number).map_err(from_engine)
            }
        }
    }

    /// Remembers the highest number of a message if no row tells of it any more.
    fn keep_last(&self, ops: &[StoreOp], last: u64) -> Result<(), StoreError> {
        let gone = StoreOp::Delete(StoreKey::Message(last));
        if !ops.contains(&gone) {
            return Ok(());
        }
        self.put(Kind::Session, session::LAST, &last.to_be_bytes()).map_err(from_engine)
    }

    pub(crate) fn put(&self, kind: Kind, number: i64, value: &[u8]) -> rusqlite::Result<()> {
        let mut statement = self.connection.prepare_cached(kind.insert())?;
        statement.execute(params![number, value, kind.sum(number, value)]).map(drop)
    }

    fn delete(&self, kind: Kind, number: i64) -> rusqlite::Result<()> {
        self.connection.prepare_cached(kind.delete())?.execute([number]).map(drop)
    }

    /// Moves a row to the table of the damaged ones.
    pub(crate) fn set_aside(&self, kind: Kind, number: i64) -> rusqlite::Result<()> {
        let transaction =
            Transaction::new_unchecked(&self.connection, rusqlite::TransactionBehavior::Immediate)?;
        let table = kind.table();
        let copy = format!(
            "INSERT OR REPLACE INTO damaged SELECT ?1, number, value, sum FROM {table} WHERE number = ?2"
        );
        transaction.execute(&copy, params![kind as u8, number])?;
        self.delete(kind, number)?;
        transaction.commit()
    }

    /// Adds a row to the damaged ones.
    pub(crate) fn put_aside(&self, kind: u8, row: Row<'_>) -> rusqlite::Result<()> {
        let sql = "INSERT OR REPLACE INTO damaged VALUES (?1, ?2, ?3, ?4)";
        let mut statement = self.connection.prepare_cached(sql)?;
        statement.execute(params![kind, row.number, row.value, row.sum]).map(drop)
    }

    /// Calls `each` with the rows that were set aside.
    pub(crate) fn set_aside_rows(&self, mut each: impl FnMut(u8, Row<'_>)) -> rusqlite::Result<()> {
        let sql = "SELECT kind, number, value, sum FROM damaged ORDER BY kind, number";
        let mut statement = self.connection.prepare_cached(sql)?;
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            let (number, sum) = (row.get(1).unwrap_or(0), row.get(3).unwrap_or(0));
            let value = row.get_ref(2)?.as_blob().unwrap_or_default();
            each(row.get(0).unwrap_or(0), Row { number, value, sum, is_whole: false });
        }
        Ok(())
    }

    /// Does many changes at once.
    pub(crate) fn in_one(&self, work: impl FnOnce() -> rusqlite::Result<()>) -> rusqlite::Result<()> {
        let transaction =
            Transaction::new_unchecked(&self.connection, rusqlite::TransactionBehavior::Immediate)?;
        work()?;
        transaction.commit()
    }

    /// Waits until all that was committed is on the disk: in the journal, or moved into the database, which waits by
    /// itself. The journal is one file as long as the database is open.
    fn wait_for_disk(&mut self) -> io::Result<()> {
        let journal = match self.journal.take() {
            Some(journal) => journal,
            None => OpenOptions::new().write(true).open(journal(&self.path))?,
        };
        journal.sync_data()?;
        self.journal = Some(journal);
        Ok(())
    }

    /// These messages are refused, although they are written: the disk would not promise to keep them. The other
    /// operations come again. What cannot be deleted now is with the next changes, and not shown until then.
    fn take_back(&mut self, ops: &[StoreOp]) {
        self.doubt.refused = ops
            .iter()
            .filter_map(|op| match op {
                StoreOp::Put(key @ StoreKey::Message(_), _) => place(*key).ok().map(|(_, number)| number),
                _ => None,
            })
            .collect();
        if self
            .in_one(|| self.doubt.refused.iter().try_for_each(|number| self.delete(Kind::Message, *number)))
            .is_ok()
        {
            self.doubt.refused.clear();
        }
    }

    fn delete_refused(&self) -> Result<(), StoreError> {
        self.doubt
            .refused
            .iter()
            .try_for_each(|number| self.delete(Kind::Message, *number))
            .map_err(from_engine)
    }

    /// Whether this message was refused, although it is written.
    pub(crate) fn is_refused(&self, number: i64) -> bool {
        self.doubt.refused.contains(&number)
    }

    /// A disk that failed to write the journal may have forgotten it, and not say so again. What comes behind the hole would
    /// be lost with it: first everything has to be in the database, and the journal begun anew.
    fn leave_journal(&mut self) -> Result<(), StoreError> {
        if self.doubt.journal {
            self.checkpoint("TRUNCATE").map_err(from_engine)?;
            self.doubt.journal = false;
        }
        Ok(())
    }

    fn checkpoint(&self, mode: &str) -> rusqlite::Result<()> {
        self.connection.query_row(&format!("PRAGMA wal_checkpoint({mode})"), [], |_| Ok(()))
    }

    /// Returns free pages to the file system when there are many. What fails here is done another time.
    fn give_back(&mut self, ops: &[StoreOp]) {
        self.deletions += ops.iter().filter(|op| matches!(op, StoreOp::Delete(_))).count();
        if self.deletions < DELETIONS {
            return;
        }
        self.deletions = 0;
        let count = |pragma| self.connection.query_row(pragma, [], |row| row.get::<_, i64>(0)).unwrap_or(0);
        let free = count("PRAGMA freelist_count");
        if free > SPARE && free > count("PRAGMA page_count") / 4 {
            // Every step of it gives back one page.
            let vacuum = self.connection.prepare(&format!("PRAGMA incremental_vacuum({GIVEN_BACK})"));
            let _ = vacuum.and_then(|mut steps| {
                let mut rows = steps.query([])?;
                while rows.next()?.is_some() {}
                Ok(())
            });
        }
    }
}

/// The tables, as SQLite remembers them.
fn schema() -> Vec<String> {
    let columns = "number INTEGER PRIMARY KEY, value BLOB, sum INTEGER";
    let tables = Kind::ALL.iter().map(|kind| format!("CREATE TABLE {} ({columns})", kind.table()));
    let damaged = "kind INTEGER, number INTEGER, value BLOB, sum INTEGER, UNIQUE (kind, number)";
    tables.chain([format!("CREATE TABLE damaged ({damaged})")]).collect()
}

impl Kind {
    const fn select(self) -> &'static str {
        match self {
            Self::Session => "SELECT number, value, sum FROM session WHERE number > ?1 ORDER BY number",
            Self::Received => "SELECT number, value, sum FROM received WHERE number > ?1 ORDER BY number",
            Self::Release => "SELECT number, value, sum FROM releases WHERE number > ?1 ORDER BY number",
            Self::Message => "SELECT number, value, sum FROM messages WHERE number > ?1 ORDER BY number",
            Self::Exchange => "SELECT number, value, sum FROM exchanges WHERE number > ?1 ORDER BY number",
        }
    }

    const fn insert(self) -> &'static str {
        match self {
            Self::Session => "INSERT OR REPLACE INTO session VALUES (?1, ?2, ?3)",
            Self::Received => "INSERT OR REPLACE INTO received VALUES (?1, ?2, ?3)",
            Self::Release => "INSERT OR REPLACE INTO releases VALUES (?1, ?2, ?3)",
            Self::Message => "INSERT OR REPLACE INTO messages VALUES (?1, ?2, ?3)",
            Self::Exchange => "INSERT OR REPLACE INTO exchanges VALUES (?1, ?2, ?3)",
        }
    }

    const fn delete(self) -> &'static str {
        match self {
            Self::Session => "DELETE FROM session WHERE number = ?1",
            Self::Received => "DELETE FROM received WHERE number = ?1",
            Self::Release => "DELETE FROM releases WHERE number = ?1",
            Self::Message => "DELETE FROM messages WHERE number = ?1",
            Self::Exchange => "DELETE FROM exchanges WHERE number = ?1",
        }
    }
}
