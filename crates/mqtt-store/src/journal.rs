//! A flipped bit in SQLite's journal, found and turned back before SQLite sees it.
//!
//! SQLite ends the journal at the first frame whose checksum does not fit, as it must behind a loss of power; one
//! flipped bit would undo all that was committed behind it. The checksum is two sums of 32 bits that add up linearly, so
//! which bit was flipped can be told from its difference: all but the highest bits of a word, which may be those of
//! several words alike. Then the checksums of the rows decide. The format: <https://www.sqlite.org/walformat.html>.

use crate::page::rows_fit;
use core::ops::Range;
use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::Path;

/// Bytes of a page.
pub(crate) const PAGE: u32 = 4096;

const HEADER: usize = 32;
const FRAME_HEADER: usize = 24;
const FRAME: usize = FRAME_HEADER + PAGE as usize;
/// The magic number without its last bit, which tells the order of bytes in the checksums.
const MAGIC: u32 = 0x377f_0682;

const VERSION: u32 = 3_007_000;

/// What a journal looks like.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum State {
    /// Nothing is missing, or was and is not any more; or the end is torn.
    Whole,
    /// Something in its middle cannot be used, and SQLite will not use what is behind.
    Damaged,
}

/// Turns single flipped bits of a journal back. Nothing happens if there is none.
pub(crate) fn mend(path: &Path) -> io::Result<State> {
    let file = match OpenOptions::new().read(true).write(true).open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(State::Whole),
        Err(error) => return Err(error),
    };
    let length = file.metadata()?.len();
    if length < (HEADER + FRAME) as u64 {
        return Ok(State::Whole);
    }
    Walk { file, at: 0, mended: false }.run()
}

struct Walk {
    file: File,
    /// Where what is looked at begins.
    at: u64,
    mended: bool,
}

/// The two sums.
type Sums = (u32, u32);

impl Walk {
    fn run(mut self) -> io::Result<State> {
        let mut header = [0; HEADER];
        self.file.read_exact(&mut header)?;
        let Some(big_endian) = self.mend_header(&mut header)? else {
            return Ok(State::Damaged);
        };
        let salts = stored(&header, 16);
        let mut sums = stored(&header, 24);
        let mut frame = vec![0; FRAME];
        let mut broken = false;
        self.at = HEADER as u64;
        while self.read(&mut frame)? {
            let expected = checksum(sums, &frame, big_endian);
            if broken {
                // It is held against the one before as that stands there.
                if is_whole(&frame, salts, expected) {
                    return Ok(State::Damaged);
                }
                sums = stored(&frame, 16);
            } else if is_whole(&frame, salts, expected)
                || self.mend_frame(&mut frame, salts, sums, big_endian)?
            {
                sums = stored(&frame, 16);
            } else {
                broken = true;
                sums = stored(&frame, 16);
            }
            self.at += FRAME as u64;
        }
        if self.mended {
            self.file.sync_all()?;
        }
        Ok(State::Whole)
    }

    /// Reads a frame. `false` at the end, and if the end is torn.
    fn read(&mut self, frame: &mut [u8]) -> io::Result<bool> {
        self.file.seek(SeekFrom::Start(self.at))?;
        match self.file.read_exact(frame) {
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(false),
            read => read.map(|()| true),
        }
    }

    /// Whether the checksums take bytes with the highest first. `None` if the header cannot be used.
    fn mend_header(&mut self, header: &mut [u8; HEADER]) -> io::Result<Option<bool>> {
        let mut first = vec![0; FRAME];
        self.file.read_exact(&mut first)?;
        for big_endian in [false, true] {
            // All of it is known but how often the journal began anew, and the checksum.
            let mut known = *header;
            let magic = MAGIC | u32::from(big_endian);
            let words = [magic, VERSION, PAGE].map(u32::to_be_bytes);
            for (at, word) in [0, 4, 8].into_iter().zip(words) {
                replace(&mut known, at, &word);
            }
            if differing(stored(header, 16), stored(&first, 8)) == 1 {
                write_sums(&mut known, 16, stored(&first, 8));
            }
            let expected = checksum_of((0, 0), known.get(..24).unwrap_or_default(), big_endian);
            let found = stored(&known, 24);
            // The first frame goes on from the checksum as it was.
            if expected != found && stored(&first, 16) != checksum(found, &first, big_endian) {
                if differing(expected, found) != 1 {
                    continue;
                }
                write_sums(&mut known, 24, expected);
            } else if expected != found {
                match flipped(&known, &[12], 3..4, 6, expected, 24, big_endian).as_slice() {
                    [(at, bit)] => turn(&mut known, *at, *bit, big_endian),
                    _ => continue,
                }
            }
            if known != *header {
                self.write(0, &known)?;
                *header = known;
            }
            return Ok(Some(big_endian));
        }
        Ok(None)
    }

    /// Turns one bit of a frame back, if that makes it whole.
    fn mend_frame(
        &mut self,
        frame: &mut [u8],
        salts: Sums,
        before: Sums,
        big_endian: bool,
    ) -> io::Result<bool> {
        let expected = checksum(before, frame, big_endian);
        let (salted, found) = (stored(frame, 8), stored(frame, 16));
        if salted != salts {
            // From before the journal began anew, unless everything else fits.
            if expected != found || differing(salted, salts) != 1 {
                return Ok(false);
            }
            write_sums(frame, 8, salts);
        } else {
            let Some((at, bit)) = flipped_in(frame, expected, big_endian) else { return Ok(false) };
            turn(frame, at, bit, big_endian);
        }
        self.write(self.at, frame)?;
        Ok(true)
    }

    fn write(&mut self, at: u64, bytes: &[u8]) -> io::Result<()> {
        self.file.seek(SeekFrom::Start(at))?;
        self.file.write_all(bytes)?;
        self.mended = true;
        Ok(())
    }
}

/// Which bit of a frame was flipped, by its word and its place in there. `None` if none, or if it cannot be told.
fn flipped_in(frame: &[u8], expected: Sums, big_endian: bool) -> Option<(usize, u32)> {
    let words: Vec<usize> = (0..8).chain(FRAME_HEADER..FRAME).step_by(4).collect();
    let count = words.len();
    let mut found = flipped(frame, &words, 0..count, count, expected, 16, big_endian);
    let sums = stored(frame, 16);
    if differing(sums, expected) == 1 {
        let (first, second) = (sums.0 ^ expected.0, sums.1 ^ expected.1);
        found.push(if second == 0 { (16, first.trailing_zeros()) } else { (20, second.trailing_zeros()) });
    }
    if found.len() > 1 {
        found.retain(|&(at, bit)| {
            let mut turned = frame.to_vec();
            turn(&mut turned, at, bit, big_endian);
            turned.get(FRAME_HEADER..).is_some_and(rows_fit)
        });
    }
    match found.as_slice() {
        [only] => Some(*only),
        // If it is in no row, it matters little which one; but in the number of the page, or its header, it does.
        [first, ..] if first.0 >= FRAME_HEADER + 8 => Some(*first),
        _ => None,
    }
}

/// The bits whose change explains the difference between the checksum that is stored and the expected one. `words` are
/// those that may have changed, `places` theirs among all `count` words that are summed up.
fn flipped(
    bytes: &[u8],
    words: &[usize],
    places: Range<usize>,
    count: usize,
    expected: Sums,
    sums_at: usize,
    big_endian: bool,
) -> Vec<(usize, u32)> {
    let found = stored(bytes, sums_at);
    let difference = (found.0.wrapping_sub(expected.0), found.1.wrapping_sub(expected.1));
    let mut explaining = Vec::new();
    for (&at, place) in words.iter().zip(places) {
        // What one unit in this word adds to both sums.
        let unit = contribution(place, count);
        let word = word_at(bytes, at, big_endian).unwrap_or(0);
        for bit in 0..32 {
            let change = if word >> bit & 1 == 1 { (1_u32 << bit).wrapping_neg() } else { 1 << bit };
            if (unit.0.wrapping_mul(change), unit.1.wrapping_mul(change)) == difference {
                explaining.push((at, bit));
            }
        }
    }
    explaining
}

fn turn(bytes: &mut [u8], at: usize, bit: u32, big_endian: bool) {
    // The sums themselves always have the highest byte first.
    let big_endian = big_endian || (16..FRAME_HEADER).contains(&at);
    let word = word_at(bytes, at, big_endian).unwrap_or(0) ^ (1 << bit);
    replace(bytes, at, &if big_endian { word.to_be_bytes() } else { word.to_le_bytes() });
}

fn write_sums(bytes: &mut [u8], at: usize, sums: Sums) {
    replace(bytes, at, &sums.0.to_be_bytes());
    replace(bytes, at + 4, &sums.1.to_be_bytes());
}

fn replace(bytes: &mut [u8], at: usize, word: &[u8; 4]) {
    if let Some(old) = bytes.get_mut(at..at + 4) {
        old.copy_from_slice(word);
    }
}

fn is_whole(frame: &[u8], salts: Sums, expected: Sums) -> bool {
    stored(frame, 8) == salts && stored(frame, 16) == expected
}

fn checksum(before: Sums, frame: &[u8], big_endian: bool) -> Sums {
    let header = checksum_of(before, frame.get(..8).unwrap_or_default(), big_endian);
    checksum_of(header, frame.get(FRAME_HEADER..).unwrap_or_default(), big_endian)
}

fn checksum_of(before: Sums, bytes: &[u8], big_endian: bool) -> Sums {
    let (pairs, _) = bytes.as_chunks::<8>();
    pairs.iter().fold(before, |(first, second), &[a, b, c, d, e, f, g, h]| {
        let word = |bytes| if big_endian { u32::from_be_bytes(bytes) } else { u32::from_le_bytes(bytes) };
        let first = first.wrapping_add(word([a, b, c, d])).wrapping_add(second);
        (first, second.wrapping_add(word([e, f, g, h])).wrapping_add(first))
    })
}

/// How much both sums grow when one of so many words grows by one.
fn contribution(index: usize, words: usize) -> Sums {
    let (mut first, mut second) = (0_u32, 0_u32);
    for pair in index / 2..words.div_ceil(2) {
        let unit = |half| u32::from(pair == index / 2 && index % 2 == half);
        first = first.wrapping_add(unit(0)).wrapping_add(second);
        second = second.wrapping_add(unit(1)).wrapping_add(first);
    }
    (first, second)
}

fn stored(bytes: &[u8], at: usize) -> Sums {
    (word_at(bytes, at, true).unwrap_or(0), word_at(bytes, at + 4, true).unwrap_or(0))
}

fn word_at(bytes: &[u8], at: usize, big_endian: bool) -> Option<u32> {
    let (word, _) = bytes.get(at..)?.split_first_chunk::<4>()?;
    Some(if big_endian { u32::from_be_bytes(*word) } else { u32::from_le_bytes(*word) })
}

fn differing(one: Sums, other: Sums) -> u32 {
    (one.0 ^ other.0).count_ones() + (one.1 ^ other.1).count_ones()
}
