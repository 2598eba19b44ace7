//! The loss of power: the files as they were when the disk was last waited for.

use bytes::Bytes;
use mqtt_client::{Store, StoreError, StoreOp, Stored};
use mqtt_store::DurableStore;
use std::fs;
use std::path::{Path, PathBuf};
use tempfile::TempDir;

/// A store that remembers its files at the end of each `apply(.., true)`: what a loss of power leaves at least.
///
/// A copy of the directory while no call is under way is what `SIGKILL` leaves at that moment.
pub(crate) struct LosesPower {
    store: DurableStore,
    dir: PathBuf,
    safe: TempDir,
}

impl LosesPower {
    pub(crate) fn open(dir: &Path) -> Self {
        let store = DurableStore::open(dir).unwrap();
        let safe = copied(dir);
        Self { store, dir: dir.to_owned(), safe }
    }

    /// The process ends and the disk forgets all that was not waited for.
    pub(crate) fn lose_power(self) -> TempDir {
        self.safe
    }

    /// The same, but the disk has got as far as `share` of what was written to the journal since, from 0.0 to 1.0.
    pub(crate) fn lose_power_late(self, share: f64) -> TempDir {
        let now = copied(&self.dir);
        for file in files(now.path()) {
            let name = file.file_name().unwrap();
            let safe = self.safe.path().join(name);
            if name.to_str().unwrap().ends_with("-wal") {
                let new = fs::read(&file).unwrap();
                let mut old = fs::read(&safe).unwrap_or_default();
                let same = new.iter().zip(&old).take_while(|(new, old)| new == old).count();
                let torn = same + ((new.len() - same) as f64 * share) as usize;
                if old.len() < torn {
                    old.resize(torn, 0);
                }
                old[same..torn].copy_from_slice(&new[same..torn]);
                fs::write(safe, old).unwrap();
            }
        }
        self.safe
    }
}

impl Store for LosesPower {
    fn load(&mut self, client_id: &str) -> Result<Stored, StoreError> {
        self.store.load(client_id)
    }

    fn waiting(&mut self, after: u64, bytes: usize) -> Result<Vec<(u64, Bytes)>, StoreError> {
        self.store.waiting(after, bytes)
    }

    fn apply(&mut self, ops: &[StoreOp], sync: bool) -> Result<(), StoreError> {
        self.store.apply(ops, sync)?;
        if sync {
            self.safe = copied(&self.dir);
        }
        Ok(())
    }
}

/// A copy of a store, as a crash at this moment would leave it.
pub(crate) fn copied(dir: &Path) -> TempDir {
    let copy = tempfile::tempdir().unwrap();
    for file in files(dir) {
        fs::copy(&file, copy.path().join(file.file_name().unwrap())).unwrap();
    }
    copy
}

pub(crate) fn files(dir: &Path) -> Vec<PathBuf> {
    let mut files: Vec<PathBuf> = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files
}

/// The file of this directory whose name ends so.
pub(crate) fn file(dir: &Path, end: &str) -> PathBuf {
    files(dir).into_iter().find(|file| file.to_str().unwrap().ends_with(end)).unwrap()
}

pub(crate) fn flip(file: &Path, bit: usize) {
    let mut bytes = fs::read(file).unwrap();
    bytes[bit / 8] ^= 1 << (bit % 8);
    fs::write(file, bytes).unwrap();
}
