//! The directory of a store, and who may use it.

use fs4::{FileExt, TryLockError};
use mqtt_client::StoreError;
use std::fs::{self, File, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};

const LOCK: &str = "lock";
/// What becomes a store when it is complete.
const DRAFT: &str = "draft.sqlite3";

/// A directory that nobody else uses while this lives.
///
/// The store is the complete file `store-N.sqlite3` with the highest number, and SQLite's journal beside it. A new one
/// is written under another name and renamed: a crash leaves the one or the other. Those with lower numbers are damaged,
/// and are kept as `damaged-N.sqlite3`.
#[derive(Debug)]
pub(crate) struct Directory {
    path: PathBuf,
    lock: Option<File>,
}

impl Directory {
    /// Makes the directory if it is missing, and locks it.
    pub(crate) fn open(path: &Path) -> Result<Self, StoreError> {
        fs::create_dir_all(path)?;
        let lock = OpenOptions::new().write(true).create(true).truncate(false).open(path.join(LOCK))?;
        try_lock(&lock)?;
        Ok(Self { path: path.to_owned(), lock: Some(lock) })
    }

    /// Locks a directory and changes nothing in it.
    pub(crate) fn open_to_read(path: &Path) -> Result<Self, StoreError> {
        fs::read_dir(path)?;
        let lock = match File::open(path.join(LOCK)) {
            Ok(lock) => Some(lock),
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => return Err(error.into()),
        };
        lock.as_ref().map_or(Ok(()), try_lock)?;
        Ok(Self { path: path.to_owned(), lock })
    }

    /// The number of the store. `None` if there is none yet.
    pub(crate) fn generation(&self) -> io::Result<Option<u64>> {
        Ok(self.generations()?.into_iter().max())
    }

    fn generations(&self) -> io::Result<Vec<u64>> {
        let mut found = Vec::new();
        for entry in fs::read_dir(&self.path)? {
            let name = entry?.file_name();
            let number = name.to_str().and_then(|name| name.strip_prefix("store-")?.strip_suffix(".sqlite3"));
            found.extend(number.and_then(|number| number.parse::<u64>().ok()));
        }
        Ok(found)
    }

    pub(crate) fn store(&self, generation: u64) -> PathBuf {
        self.path.join(format!("store-{generation}.sqlite3"))
    }

    /// Copies the store into an empty directory.
    pub(crate) fn copy_to(&self, other: &Path) -> io::Result<()> {
        let Some(generation) = self.generation()? else { return Ok(()) };
        let store = self.store(generation);
        let copy = other.join(format!("store-{generation}.sqlite3"));
        if journal(&store).exists() {
            fs::copy(journal(&store), journal(&copy))?;
        }
        fs::copy(store, copy).map(drop)
    }

    /// A name for what is not complete. What an earlier process left there is gone.
    pub(crate) fn draft(&self) -> io::Result<PathBuf> {
        let draft = self.path.join(DRAFT);
        for file in [journal(&draft), draft.clone()] {
            remove(&file)?;
        }
        Ok(draft)
    }

    /// Makes the draft, which is closed, the store of this number.
    pub(crate) fn publish(&self, generation: u64) -> io::Result<()> {
        let draft = self.path.join(DRAFT);
        File::open(&draft)?.sync_all()?;
        fs::rename(&draft, self.store(generation))?;
        self.sync()
    }

    /// Moves what an earlier salvage has replaced out of the way.
    pub(crate) fn set_aside_older(&self, generation: u64) -> io::Result<()> {
        for older in self.generations()?.into_iter().filter(|older| *older < generation) {
            let (store, damaged) = (self.store(older), self.damaged(older));
            if journal(&store).exists() {
                fs::rename(journal(&store), journal(&damaged))?;
            }
            fs::rename(store, damaged)?;
        }
        Ok(())
    }

    /// Keeps a copy of a journal of which a part cannot be used.
    pub(crate) fn keep_journal(&self, generation: u64) -> io::Result<()> {
        fs::copy(journal(&self.store(generation)), journal(&self.damaged(generation))).map(drop)
    }

    fn damaged(&self, generation: u64) -> PathBuf {
        self.path.join(format!("damaged-{generation}.sqlite3"))
    }

    /// Files that are kept because something in them is damaged.
    pub(crate) fn kept(&self) -> io::Result<Vec<PathBuf>> {
        let mut kept = Vec::new();
        for entry in fs::read_dir(&self.path)? {
            let entry = entry?;
            if entry.file_name().to_str().is_some_and(|name| name.starts_with("damaged-")) {
                kept.push(entry.path());
            }
        }
        kept.sort();
        Ok(kept)
    }

    /// Whether the disk refuses another page, which SQLite does not always say.
    pub(crate) fn is_full(&self) -> bool {
        let probe = self.path.join("probe");
        let written = fs::write(&probe, [1; 8192]);
        let _ = fs::remove_file(&probe);
        written.is_err_and(|error| matches!(StoreError::from(error), StoreError::Full))
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// A name is safe when its directory is.
    fn sync(&self) -> io::Result<()> {
        if cfg!(unix) { File::open(&self.path)?.sync_all() } else { Ok(()) }
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        // A process that is just being started may have the file open for a moment longer than this one.
        let _ = self.lock.as_ref().map(FileExt::unlock);
    }
}

fn try_lock(file: &File) -> Result<(), StoreError> {
    FileExt::try_lock(file).map_err(|refused| match refused {
        TryLockError::WouldBlock => StoreError::InUse,
        TryLockError::Error(error) => error.into(),
    })
}

/// SQLite's write-ahead log of a database.
pub(crate) fn journal(database: &Path) -> PathBuf {
    let mut name = database.as_os_str().to_owned();
    name.push("-wal");
    name.into()
}

fn remove(file: &Path) -> io::Result<()> {
    match fs::remove_file(file) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}
