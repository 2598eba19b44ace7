//! A look at a store from outside, for operators.

use crate::database::Row;
use crate::directory::Directory;
use crate::durable::DurableStore;
use crate::key::Kind;
use core::ops::ControlFlow;
use mqtt_client::{StoreError, StoreKey};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use tempfile::TempDir;

/// A store as it is at this moment, to look at. Nothing in its directory changes, and no client can open it meanwhile.
///
/// It works on a copy, in the directory for temporary files: what a client would do when it starts after a crash, or finds
/// damaged, is done there.
#[derive(Debug)]
pub struct StoreReader {
    directory: Directory,
    store: DurableStore,
    /// What could not be read when the copy was opened.
    unreadable: usize,
    _copy: TempDir,
}

/// An entry that was set aside, because its checksum does not fit.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Damaged {
    /// The table in which it stood.
    pub table: &'static str,
    /// Its number, if that is not what was damaged.
    pub number: i64,
    /// Its value, with what is wrong in it.
    pub value: Vec<u8>,
}

impl StoreReader {
    /// Copies the store of this directory, and opens the copy.
    ///
    /// # Errors
    /// [`StoreError::InUse`] if a client has it open; [`StoreError::NewerFormat`]; [`StoreError::Io`] if there is no store, or it
    /// cannot be copied.
    pub fn open(directory: impl AsRef<Path>) -> Result<Self, StoreError> {
        let directory = Directory::open_to_read(directory.as_ref())?;
        if directory.generation()?.is_none() {
            return Err(io::Error::new(io::ErrorKind::NotFound, "there is no store in this directory").into());
        }
        let copy = TempDir::new()?;
        directory.copy_to(copy.path())?;
        let store = DurableStore::open(copy.path())?;
        let unreadable = store.unreadable();
        Ok(Self { directory, store, unreadable, _copy: copy })
    }

    /// The client identifier that was configured when it was first used. `None` if that was empty.
    ///
    /// # Errors
    /// It cannot be read.
    pub fn owner(&mut self) -> Result<Option<String>, StoreError> {
        self.store.owner()
    }

    /// The version of its format.
    ///
    /// # Errors
    /// It cannot be read.
    pub fn format(&mut self) -> Result<u32, StoreError> {
        self.store.format()
    }

    /// Calls `each` with every entry that is whole, of each kind by its number; exchanges come before the messages.
    ///
    /// # Errors
    /// They cannot be read.
    pub fn entries(&mut self, mut each: impl FnMut(StoreKey, &[u8])) -> Result<(), StoreError> {
        for kind in [Kind::Session, Kind::Received, Kind::Release, Kind::Exchange, Kind::Message] {
            self.store.rows(kind, |row| {
                if let (true, Some(key)) = (row.is_whole, kind.key(row.number)) {
                    each(key, row.value);
                }
                ControlFlow::Continue(())
            })?;
        }
        Ok(())
    }

    /// Every entry that is damaged: those that clients have set aside, and those that a client would find now.
    ///
    /// # Errors
    /// They cannot be read.
    pub fn damaged(&mut self) -> Result<Vec<Damaged>, StoreError> {
        let mut damaged = Vec::new();
        for kind in Kind::ALL {
            self.store.rows(kind, |row| {
                if !row.is_whole {
                    damaged.push(Damaged::new(kind.table(), row));
                }
                ControlFlow::Continue(())
            })?;
        }
        self.store.set_aside_rows(|kind, row| {
            let table = Kind::ALL.iter().find(|known| **known as u8 == kind).map_or("", |kind| kind.table());
            damaged.push(Damaged::new(table, row));
        })?;
        Ok(damaged)
    }

    /// How many entries cannot be read at all, as far as their numbers tell.
    pub const fn unreadable(&self) -> usize {
        self.unreadable
    }

    /// Files that clients have kept because something in them is damaged.
    ///
    /// # Errors
    /// The directory cannot be read.
    pub fn kept_files(&self) -> Result<Vec<PathBuf>, StoreError> {
        Ok(self.directory.kept()?)
    }

    /// Bytes of all files in the directory.
    ///
    /// # Errors
    /// The directory cannot be read.
    pub fn bytes_on_disk(&self) -> Result<u64, StoreError> {
        let mut bytes = 0;
        for entry in fs::read_dir(self.directory.path())? {
            bytes += entry?.metadata()?.len();
        }
        Ok(bytes)
    }
}

impl Damaged {
    fn new(table: &'static str, row: Row<'_>) -> Self {
        Self { table, number: row.number, value: row.value.to_vec() }
    }
}
