//! Opening a store, whole or not: what can be read comes into a new database, the damaged one is kept.

use crate::database::{Database, FORMAT, Row};
use crate::directory::{Directory, journal};
use crate::error::{from_engine, is_damage};
use crate::journal::{self, PAGE};
use crate::key::Kind;
use core::ops::{AddAssign, ControlFlow};
use mqtt_client::StoreError;
use std::fs::{self, OpenOptions};
use std::io::{self, Read, Seek, Write};
use std::path::Path;

/// How many entries are lost.
#[derive(Clone, Copy, Default, Debug)]
pub(crate) struct Loss {
    /// Set aside, since their checksums do not fit.
    pub(crate) broken: usize,
    /// Not even read, as far as their numbers tell.
    pub(crate) unreadable: usize,
}

impl Loss {
    pub(crate) const fn count(self) -> usize {
        self.broken + self.unreadable
    }
}

impl AddAssign for Loss {
    fn add_assign(&mut self, other: Self) {
        self.broken += other.broken;
        self.unreadable += other.unreadable;
    }
}

/// Opens the store of a directory, or makes one. Says what was lost of it.
pub(crate) fn open(directory: &Directory) -> Result<(Database, Loss), StoreError> {
    let Some(generation) = directory.generation()? else {
        drop(Database::create(&directory.draft()?).map_err(from_engine)?);
        directory.publish(1)?;
        return Database::open(&directory.store(1)).map(|made| (made, Loss::default())).map_err(from_engine);
    };
    directory.set_aside_older(generation)?;
    let store = directory.store(generation);
    let mut loss = Loss::default();
    if journal::mend(&journal(&store))? == journal::State::Damaged {
        directory.keep_journal(generation)?;
        loss.unreadable += 1;
    }
    // What may not be written is told apart from what SQLite does not want to write.
    OpenOptions::new().write(true).open(&store)?;
    match open_sound(&store) {
        Ok(Some(Ok(database))) => return Ok((database, loss)),
        Ok(Some(Err(found))) => return Err(StoreError::NewerFormat { found, known: FORMAT }),
        Err(error) if !is_damage(&error) => {
            return Err(from_engine(error));
        }
        _ => {}
    }
    loss += salvage(directory)?;
    let database = Database::open(&directory.store(generation + 1)).map_err(from_engine)?;
    Ok((database, loss))
}

/// The database, if all its pages are what they must be, or its format, if that is newer.
fn open_sound(store: &Path) -> rusqlite::Result<Option<Result<Database, u32>>> {
    let database = Database::open(store)?;
    if let Some(newer) = database.format()?.filter(|format| *format > FORMAT) {
        return Ok(Some(Err(newer)));
    }
    Ok((database.has_schema()? && database.is_sound()?).then_some(Ok(database)))
}

/// Makes the next generation of what can be read of the store. Says what cannot.
pub(crate) fn salvage(directory: &Directory) -> Result<Loss, StoreError> {
    let Some(generation) = directory.generation()? else { return Ok(Loss::default()) };
    let store = directory.store(generation);
    let draft = directory.draft()?;
    let target = Database::create(&draft).map_err(from_engine)?;
    let rebuilt = directory.path().join("rebuilt.sqlite3");
    // The first page says where everything else stands. It is the same in every store.
    with_first_page(&store, &rebuilt, &draft)?;
    let source = Database::open(&rebuilt).map_err(from_engine)?;
    let mut loss = Loss::default();
    let copy_all = || {
        // What was set aside before: as far as it can be read.
        let _ = source.set_aside_rows(|kind, row| drop(target.put_aside(kind, row)));
        Kind::ALL.iter().try_for_each(|kind| {
            loss += copy(&source, &target, *kind)?;
            Ok(())
        })
    };
    target.in_one(copy_all).map_err(from_engine)?;
    drop(source);
    drop(target);
    remove(&rebuilt)?;
    directory.publish(generation + 1)?;
    directory.set_aside_older(generation + 1)?;
    if loss.count() == 0 {
        // What SQLite complains about may be a row that is not there.
        loss.unreadable = 1;
    }
    Ok(loss)
}

/// Copies what is whole of one table. Says what is not.
fn copy(source: &Database, target: &Database, kind: Kind) -> rusqlite::Result<Loss> {
    let mut failed = None;
    let mut broken = 0;
    let unreadable = walk(source, kind, |row| {
        let copied = if row.is_whole {
            target.put(kind, row.number, row.value)
        } else {
            broken += 1;
            target.put_aside(kind as u8, row)
        };
        match copied {
            Ok(()) => ControlFlow::Continue(()),
            Err(error) => {
                failed = Some(error);
                ControlFlow::Break(())
            }
        }
    });
    failed.map_or(Ok(Loss { broken, unreadable }), Err)
}

/// Calls `each` with every row that can be read. Returns how many numbers cannot, one at least for each gap.
fn walk(source: &Database, kind: Kind, mut each: impl FnMut(Row<'_>) -> ControlFlow<()>) -> usize {
    let mut after = -1;
    let mut unreadable = 0;
    loop {
        let mut last = after;
        let read = source.rows(kind, after, |row| {
            if row.is_whole {
                last = last.max(row.number);
            }
            each(row)
        });
        if read.is_ok() {
            return unreadable;
        }
        let Some((behind, next)) = next_readable(source, kind, last) else {
            return unreadable + 1;
        };
        let gap = next.map_or(1, |next| next.saturating_sub(last).saturating_sub(1));
        unreadable += usize::try_from(gap).unwrap_or(1).max(1);
        after = behind;
    }
}

/// The lowest number above this one behind which a row can be read, and the number of that row, if there is one.
fn next_readable(source: &Database, kind: Kind, last: i64) -> Option<(i64, Option<i64>)> {
    let probe = |behind: i64| {
        let mut next = None;
        let first = |row: Row<'_>| {
            next = Some(row.number);
            ControlFlow::Break(())
        };
        source.rows(kind, behind, first).ok().map(|()| next)
    };
    let mut step = 1_i64;
    let mut fails = last;
    let (mut works, mut next) = loop {
        let behind = last.checked_add(step)?;
        if let Some(next) = probe(behind) {
            break (behind, next);
        }
        fails = behind;
        step = step.checked_mul(2)?;
    };
    while works - fails > 1 {
        let middle = fails + (works - fails) / 2;
        match probe(middle) {
            Some(found) => (works, next) = (middle, found),
            None => fails = middle,
        }
    }
    Some((works, next))
}

/// A copy of a database, with the first page of a sound one.
fn with_first_page(store: &Path, copy: &Path, sound: &Path) -> io::Result<()> {
    remove(&journal(copy))?;
    fs::copy(store, copy)?;
    if journal(store).exists() {
        fs::copy(journal(store), journal(copy))?;
    }
    let mut page = [0; PAGE as usize];
    fs::File::open(sound)?.read_exact(&mut page)?;
    let mut copy = OpenOptions::new().read(true).write(true).open(copy)?;
    let pages = u32::try_from(copy.metadata()?.len() / u64::from(PAGE)).unwrap_or(u32::MAX);
    if let Some(count) = page.get_mut(28..32) {
        count.copy_from_slice(&pages.to_be_bytes());
    }
    if let Some(free) = page.get_mut(32..40) {
        free.fill(0);
    }
    copy.seek(io::SeekFrom::Start(0))?;
    copy.write_all(&page)?;
    copy.sync_all()
}

fn remove(file: &Path) -> io::Result<()> {
    for file in [journal(file), file.to_owned()] {
        match fs::remove_file(file) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
    }
    Ok(())
}
