//! The store: what the client asks of it, in terms of the database.

use crate::database::{Database, Doubt, FORMAT, Row};
use crate::directory::Directory;
use crate::error::{from_engine, is_corrupt};
use crate::key::{Kind, session};
use crate::salvage::{self, Loss};
use bytes::Bytes;
use core::ops::ControlFlow;
use mqtt_client::{Store, StoreError, StoreKey, StoreOp, Stored};
use rusqlite::ErrorCode;
use std::path::Path;

/// What an accepted message survives.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub enum Durability {
    /// The loss of power: what is accepted is on the disk. All that is accepted at one time waits for the disk once.
    #[default]
    Synced,
    /// The end of the process, `SIGKILL` too, but not the loss of power nor a crash of the operating system: the last
    /// seconds before it may be missing, all of what was changed from some moment on.
    Buffered,
}

/// A store in a directory of its own.
///
/// Dropping it closes it. Whatever ends the process, the next one finds all that [`apply`](Store::apply) returned from,
/// and of a call that did not return either all or nothing.
#[derive(Debug)]
pub struct DurableStore {
    /// Closed before the directory is given free.
    database: Option<Database>,
    /// Of the database that was open before.
    doubt: Doubt,
    directory: Directory,
    durability: Durability,
    /// The highest number of a message ever.
    last: u64,
    /// What was lost since the last [`load`](Store::load).
    loss: Loss,
}

impl DurableStore {
    /// Opens the store of this directory, which is made if it is missing. Blocks, for about 0.1 s where 100,000 messages
    /// are stored: everything is read once.
    ///
    /// # Errors
    /// [`StoreError::InUse`] if it is open already, in whatever process; [`StoreError::NewerFormat`];
    /// [`StoreError::Full`] if there is no room for the files; [`StoreError::Io`] if the directory cannot be made, read or
    /// written. Damage is no error: see [`Stored::damaged`].
    pub fn open(directory: impl AsRef<Path>) -> Result<Self, StoreError> {
        let directory = Directory::open(directory.as_ref())?;
        let (database, loss) = salvage::open(&directory).map_err(|error| name(&directory, error))?;
        Ok(Self {
            database: Some(database),
            doubt: Doubt::default(),
            directory,
            durability: Durability::default(),
            last: 0,
            loss,
        })
    }

    /// What an accepted message survives, [`Durability::Synced`] unless this is called.
    #[must_use]
    pub fn durability(mut self, durability: Durability) -> Self {
        self.durability = durability;
        self
    }

    /// The client identifier that was configured first.
    pub(crate) fn owner(&mut self) -> Result<Option<String>, StoreError> {
        self.session_text(session::OWNER)
    }

    pub(crate) fn format(&mut self) -> Result<u32, StoreError> {
        let format = self.with_database(|database| database.format().map_err(from_engine))?;
        Ok(format.unwrap_or(FORMAT))
    }

    /// How many entries could not even be read.
    pub(crate) const fn unreadable(&self) -> usize {
        self.loss.unreadable
    }

    /// Calls `each` with all rows of a kind, whole or not.
    pub(crate) fn rows(
        &mut self,
        kind: Kind,
        mut each: impl FnMut(Row<'_>) -> ControlFlow<()>,
    ) -> Result<(), StoreError> {
        self.database()?.rows(kind, -1, &mut each).map_err(from_engine)
    }

    /// Calls `each` with the rows that were set aside, and the numbers of their tables.
    pub(crate) fn set_aside_rows(&mut self, each: impl FnMut(u8, Row<'_>)) -> Result<(), StoreError> {
        self.database()?.set_aside_rows(each).map_err(from_engine)
    }

    fn database(&mut self) -> Result<&mut Database, StoreError> {
        if self.database.is_none() {
            let (database, loss) = salvage::open(&self.directory)?;
            self.loss += loss;
            self.database = Some(database.after(core::mem::take(&mut self.doubt)));
        }
        self.database.as_mut().ok_or(StoreError::InUse)
    }

    /// Does something, and once more with a database opened anew if this one fails: with what could be salvaged, if pages
    /// are damaged.
    fn with_database<T>(
        &mut self,
        mut work: impl FnMut(&mut Database) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        let first = self.database().and_then(&mut work);
        let done = match first {
            Err(error) if engine_error(&error).is_some() => {
                self.doubt = self.database.take().map(Database::into_doubt).unwrap_or_default();
                if engine_error(&error).is_some_and(is_corrupt) {
                    self.loss += salvage::salvage(&self.directory)?;
                }
                // Otherwise it is looked at when it is opened anew.
                self.database().and_then(work)
            }
            done => done,
        };
        done.map_err(|error| name(&self.directory, error))
    }

    /// Sets damaged rows aside, and counts them.
    fn set_aside(&mut self, kind: Kind, numbers: &[i64]) {
        self.loss.broken += numbers.len();
        for &number in numbers {
            // They are left out even where there is no room to move them.
            let _ = self.with_database(|database| database.set_aside(kind, number).map_err(from_engine));
        }
    }

    /// Whether this client identifier may use it. It is remembered, unless it is empty.
    fn check_owner(&mut self, client_id: &str) -> Result<(), StoreError> {
        let owner = self.session_text(session::OWNER)?;
        let assigned = self.session_text(session::CLIENT_ID)?;
        if owner.is_none() && assigned.is_none() && !client_id.is_empty() {
            let put =
                |database: &mut Database| database.put(Kind::Session, session::OWNER, client_id.as_bytes());
            return self.with_database(|database| put(database).map_err(from_engine));
        }
        match (owner, assigned) {
            (Some(owner), _) if owner != client_id => {
                Err(StoreError::OtherClient { owner, given: client_id.to_owned() })
            }
            (None, Some(owner)) if !client_id.is_empty() && owner != client_id => {
                Err(StoreError::OtherClient { owner, given: client_id.to_owned() })
            }
            _ => Ok(()),
        }
    }

    fn session_text(&mut self, number: i64) -> Result<Option<String>, StoreError> {
        let value =
            self.with_database(|database| database.get(Kind::Session, number).map_err(from_engine))?;
        Ok(value.map(|text| String::from_utf8_lossy(&text).into_owned()))
    }

    /// All rows of a kind, but messages with a number above this one, which are counted.
    fn load_kind(&mut self, kind: Kind, highest: i64, stored: &mut Stored) -> Result<(), StoreError> {
        let mut found = Stored::default();
        let mut broken = Vec::new();
        let mut last = 0;
        self.with_database(|database| {
            found = Stored::default();
            broken.clear();
            let read = database.rows(kind, -1, |row| {
                last = u64::try_from(row.number).unwrap_or(0).max(last);
                if kind == Kind::Message && database.is_refused(row.number) {
                    return ControlFlow::Continue(());
                }
                match (row.is_whole, kind.key(row.number)) {
                    (false, _) => broken.push(row.number),
                    (true, Some(StoreKey::Message(_))) if row.number > highest => {
                        found.waiting += 1;
                        found.waiting_bytes += row.value.len();
                    }
                    (true, Some(key)) => {
                        found.snapshot.entries.push((key, Bytes::copy_from_slice(row.value)));
                    }
                    (true, None) => {}
                }
                ControlFlow::Continue(())
            });
            read.map_err(from_engine)
        })?;
        self.set_aside(kind, &broken);
        if matches!(kind, Kind::Message | Kind::Exchange) {
            self.last = self.last.max(last);
        }
        stored.snapshot.entries.append(&mut found.snapshot.entries);
        stored.waiting += found.waiting;
        stored.waiting_bytes += found.waiting_bytes;
        Ok(())
    }
}

impl Store for DurableStore {
    fn load(&mut self, client_id: &str) -> Result<Stored, StoreError> {
        let mut stored = Stored::default();
        // First, so that a damaged owner is set aside before there is a new one.
        self.load_kind(Kind::Session, 0, &mut stored)?;
        self.check_owner(client_id)?;
        let last =
            self.with_database(|database| database.get(Kind::Session, session::LAST).map_err(from_engine))?;
        self.last = last.and_then(|value| value.try_into().ok()).map_or(0, u64::from_be_bytes);
        // Exchanges first: they tell how far messages were sent.
        self.load_kind(Kind::Exchange, 0, &mut stored)?;
        let number = |(key, _): &(StoreKey, Bytes)| match key {
            StoreKey::Exchange(number) => i64::try_from(*number).ok(),
            _ => None,
        };
        let highest = stored.snapshot.entries.iter().filter_map(number).max().unwrap_or(-1);
        for kind in [Kind::Received, Kind::Release, Kind::Message] {
            self.load_kind(kind, highest, &mut stored)?;
        }
        stored.snapshot.last = self.last;
        stored.damaged = core::mem::take(&mut self.loss).count();
        Ok(stored)
    }

    fn waiting(&mut self, after: u64, bytes: usize) -> Result<Vec<(u64, Bytes)>, StoreError> {
        let after = i64::try_from(after).unwrap_or(i64::MAX);
        let mut page = Vec::new();
        let mut broken = Vec::new();
        self.with_database(|database| {
            page.clear();
            broken.clear();
            let mut used = 0;
            let read = database.rows(Kind::Message, after, |row| {
                if database.is_refused(row.number) {
                    return ControlFlow::Continue(());
                }
                if !row.is_whole {
                    broken.push(row.number);
                    return ControlFlow::Continue(());
                }
                used += row.value.len();
                if !page.is_empty() && used > bytes {
                    return ControlFlow::Break(());
                }
                page.push((u64::try_from(row.number).unwrap_or(0), Bytes::copy_from_slice(row.value)));
                ControlFlow::Continue(())
            });
            read.map_err(from_engine)
        })?;
        self.set_aside(Kind::Message, &broken);
        Ok(page)
    }

    fn apply(&mut self, ops: &[StoreOp], sync: bool) -> Result<(), StoreError> {
        let sync = sync && self.durability == Durability::Synced;
        let mut last = self.last;
        self.with_database(|database| database.apply(ops, &mut last, sync))?;
        self.last = last;
        Ok(())
    }
}

fn engine_error(error: &StoreError) -> Option<&rusqlite::Error> {
    let StoreError::Engine(error) = error else { return None };
    error.downcast_ref()
}

/// A full quota is one more failed write to SQLite.
fn name(directory: &Directory, error: StoreError) -> StoreError {
    match engine_error(&error).and_then(rusqlite::Error::sqlite_error_code) {
        Some(ErrorCode::SystemIoFailure | ErrorCode::CannotOpen) if directory.is_full() => StoreError::Full,
        _ => error,
    }
}
