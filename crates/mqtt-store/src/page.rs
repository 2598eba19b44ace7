//! A page of rows as SQLite lays it out: <https://www.sqlite.org/fileformat2.html#b_tree_pages>.

use crate::key::Kind;

/// A leaf of a table.
const LEAF: u8 = 0x0D;
/// From so many bytes on a row goes on in another page.
const OVERFLOWS: usize = 4062;

/// Whether this is a page of rows, and the checksums of all that stand on it alone fit.
pub(crate) fn rows_fit(page: &[u8]) -> bool {
    if page.first() != Some(&LEAF) {
        return false;
    }
    let number = |at: usize| Some(u16::from_be_bytes(*page.get(at..)?.first_chunk::<2>()?));
    let Some(count) = number(3) else { return false };
    (0..usize::from(count)).all(|index| {
        let cell = number(8 + 2 * index).and_then(|at| page.get(usize::from(at)..));
        cell.and_then(row_fits).unwrap_or(false)
    })
}

/// One row: its length, its number, the types of its columns, their values. The first column is the number.
fn row_fits(mut cell: &[u8]) -> Option<bool> {
    let length = usize::try_from(variable(&mut cell)?).ok()?;
    let number = variable(&mut cell)?.cast_signed();
    if length >= OVERFLOWS {
        return Some(true);
    }
    let mut types = cell.get(..length)?;
    let mut values = types.get(usize::try_from(variable(&mut types.get(..)?)?).ok()?..)?;
    variable(&mut types)?;
    variable(&mut types)?;
    let blob = usize::try_from(variable(&mut types)?.checked_sub(12)? / 2).ok()?;
    let sum_type = variable(&mut types)?;
    let value = values.split_off(..blob)?;
    let sum = match sum_type {
        8 => 0,
        9 => 1,
        _ => values.iter().fold(0_i64, |sum, byte| sum << 8 | i64::from(*byte)),
    };
    Some(Kind::ALL.iter().any(|kind| kind.sum(number, value) == sum))
}

/// SQLite's numbers of one to nine bytes.
fn variable(bytes: &mut &[u8]) -> Option<u64> {
    let mut value = 0;
    for index in 0..9 {
        let byte = *bytes.split_off_first()?;
        if index == 8 {
            return Some(value << 8 | u64::from(byte));
        }
        value = value << 7 | u64::from(byte & 0x7F);
        if byte < 0x80 {
            break;
        }
    }
    Some(value)
}
