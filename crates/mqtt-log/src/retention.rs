//! What is deleted: the oldest messages, a few at a time, so that writing never waits for long.

use crate::clock;
use crate::options::Retention;
use core::time::Duration;
use rusqlite::{Connection, OptionalExtension as _};

/// At least so many messages may be deleted at a time.
const STEP: u64 = 10_000;
/// Pages that are given back at a time.
const PAGES: i64 = 2_000;
/// Pages that are kept for what comes next.
const SPARE: i64 = 256;

/// Deletes some of what is too much, more than was written lately. Space that is not needed goes back to the file system.
pub(crate) fn apply(db: &mut Connection, retention: &Retention, written: usize) -> rusqlite::Result<()> {
    if retention.age.is_none() && retention.rows.is_none() && retention.bytes.is_none() {
        return Ok(());
    }
    let step = STEP.max(2 * written as u64);
    let Some((oldest, newest)) = ends(db)? else { return give_back(db, retention) };
    let last = oldest.saturating_add_unsigned(step - 1).min(newest);
    let excess = [
        retention.rows.map(|rows| newest.saturating_sub_unsigned(rows)),
        retention.bytes.map(|bytes| too_large(db, bytes, oldest, newest)).transpose()?.flatten(),
    ];
    if let Some(excess) = excess.into_iter().flatten().max().filter(|excess| *excess >= oldest) {
        db.execute("DELETE FROM message WHERE id <= ?1", [excess.min(last)])?;
    }
    if let Some(age) = retention.age {
        delete_old(db, age, last)?;
    }
    give_back(db, retention)
}

/// The numbers of the first and of the last message.
fn ends(db: &Connection) -> rusqlite::Result<Option<(i64, i64)>> {
    let end = |query| db.query_row(query, [], |row| row.get::<_, i64>(0)).optional();
    let oldest = end("SELECT id FROM message ORDER BY id LIMIT 1")?;
    let newest = end("SELECT id FROM message ORDER BY id DESC LIMIT 1")?;
    Ok(oldest.zip(newest))
}

/// In the order of the numbers, until one is young enough: a clock that jumped back must not make holes.
fn delete_old(db: &Connection, age: Duration, last: i64) -> rusqlite::Result<()> {
    let age = i64::try_from(age.as_micros()).unwrap_or(i64::MAX);
    let before = clock::now().saturating_sub(age);
    let first_young = "SELECT id FROM message WHERE id <= ?2 AND +time >= ?1 ORDER BY id LIMIT 1";
    let is_old = "SELECT time < ?1 FROM message ORDER BY id LIMIT 1";
    if !db.query_row(is_old, [before], |row| row.get(0)).optional()?.unwrap_or(false) {
        return Ok(());
    }
    let young: Option<i64> = db.query_row(first_young, [before, last], |row| row.get(0)).optional()?;
    let old = young.map_or(last, |young| (young - 1).min(last));
    db.execute("DELETE FROM message WHERE id <= ?1", [old])?;
    Ok(())
}

/// The last message that has to go for the file to have the size that it may have.
fn too_large(db: &Connection, bytes: u64, oldest: i64, newest: i64) -> rusqlite::Result<Option<i64>> {
    let Size { pages, free, page } = Size::of(db)?;
    let used = u64::try_from((pages - free) * page).unwrap_or(0);
    if used <= bytes {
        return Ok(None);
    }
    let messages = newest.abs_diff(oldest) + 1;
    // Messages differ in size: what this leaves too much goes next time.
    let excess = (u128::from(messages) * u128::from(used - bytes) / u128::from(used)) as u64 + 1;
    Ok(Some(oldest.saturating_add_unsigned(excess - 1).min(newest)))
}

fn give_back(db: &Connection, retention: &Retention) -> rusqlite::Result<()> {
    let Size { pages, free, page } = Size::of(db)?;
    let too_large =
        retention.bytes.is_some_and(|bytes| u64::try_from(pages * page).is_ok_and(|size| size > bytes));
    if free > 0 && (too_large || free > SPARE.max(pages / 4)) {
        // Each step gives back one page.
        let mut vacuum = db.prepare(&format!("PRAGMA incremental_vacuum({PAGES})"))?;
        let mut steps = vacuum.raw_query();
        while steps.next()?.is_some() {}
    }
    Ok(())
}

/// The size of the database, in pages of so many bytes.
struct Size {
    pages: i64,
    free: i64,
    page: i64,
}

impl Size {
    fn of(db: &Connection) -> rusqlite::Result<Self> {
        let ask = |name: &str| db.query_row(&format!("PRAGMA {name}"), [], |row| row.get(0));
        Ok(Self { pages: ask("page_count")?, free: ask("freelist_count")?, page: ask("page_size")? })
    }
}
