//! A flipped bit in SQLite's journal, found and turned back before SQLite sees it.
//!
//! SQLite ends the journal at the first frame whose checksum does not fit, as it must behind a loss of power; one
//! flipped bit would undo all that was committed behind it. The checksum is two sums of 32 bits that add up linearly, so
//! a single changed bit in it can be told from its difference. The format: <https://www.sqlite.org/walformat.html>.

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
        let salts = word_at(&header, 16, true).zip(word_at(&header, 20, true));
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
        for big_endian in [false, true] {
            let expected = checksum_of((0, 0), header.get(..24).unwrap_or_default(), big_endian);
            let magic = word_at(header, 0, true).unwrap_or(0);
            let is_whole = expected == stored(header, 24) && magic == MAGIC | u32::from(big_endian);
            if is_whole
                || self.mend_sums(header, 24, expected)?
                || self.mend_bit(header, (0..24).step_by(4), expected, 24, big_endian)?
            {
                return Ok(Some(word_at(header, 0, true).unwrap_or(0) & 1 == 1));
            }
        }
        Ok(None)
    }

    /// Turns one bit of a frame back, if that makes it whole.
    fn mend_frame(
        &mut self,
        frame: &mut [u8],
        salts: Option<Sums>,
        before: Sums,
        big_endian: bool,
    ) -> io::Result<bool> {
        let expected = checksum(before, frame, big_endian);
        let found = stored(frame, 16);
        let salted = stored(frame, 8);
        let Some(salts) = salts else { return Ok(false) };
        if salted != salts {
            // From before the journal began anew, unless everything else fits.
            if expected != found || differing(salted, salts) != 1 {
                return Ok(false);
            }
            let [first, second] = [salts.0.to_be_bytes(), salts.1.to_be_bytes()];
            self.replace(frame, 8, &first)?;
            self.replace(frame, 12, &second)?;
            return Ok(true);
        }
        if self.mend_sums(frame, 16, expected)? {
            return Ok(true);
        }
        let words = (0..8).chain(FRAME_HEADER..FRAME).step_by(4);
        self.mend_bit(frame, words, expected, 16, big_endian)
    }

    /// The bit may be in the checksum itself.
    fn mend_sums(&mut self, bytes: &mut [u8], at: usize, expected: Sums) -> io::Result<bool> {
        if differing(stored(bytes, at), expected) != 1 {
            return Ok(false);
        }
        self.replace(bytes, at, &expected.0.to_be_bytes())?;
        self.replace(bytes, at + 4, &expected.1.to_be_bytes())?;
        Ok(true)
    }

    /// The bit may be in what the checksum is over, of which these are the words.
    fn mend_bit(
        &mut self,
        bytes: &mut [u8],
        words: impl Iterator<Item = usize>,
        expected: Sums,
        sums_at: usize,
        big_endian: bool,
    ) -> io::Result<bool> {
        let words: Vec<usize> = words.collect();
        let found = stored(bytes, sums_at);
        let difference = (found.0.wrapping_sub(expected.0), found.1.wrapping_sub(expected.1));
        for (index, &at) in words.iter().enumerate() {
            // What one unit in this word adds to both sums.
            let unit = contribution(index, words.len());
            for bit in 0..32 {
                let was_set = word_at(bytes, at, big_endian).is_some_and(|word| word >> bit & 1 == 1);
                let change = if was_set { (1_u32 << bit).wrapping_neg() } else { 1 << bit };
                if (unit.0.wrapping_mul(change), unit.1.wrapping_mul(change)) == difference {
                    let word = word_at(bytes, at, big_endian).unwrap_or(0) ^ (1 << bit);
                    let word = if big_endian { word.to_be_bytes() } else { word.to_le_bytes() };
                    self.replace(bytes, at, &word)?;
                    return Ok(true);
                }
            }
        }
        Ok(false)
    }

    fn replace(&mut self, bytes: &mut [u8], at: usize, new: &[u8; 4]) -> io::Result<()> {
        if let Some(old) = bytes.get_mut(at..at + 4) {
            old.copy_from_slice(new);
        }
        self.file.seek(SeekFrom::Start(self.at + at as u64))?;
        self.file.write_all(new)?;
        self.mended = true;
        Ok(())
    }
}

fn is_whole(frame: &[u8], salts: Option<Sums>, expected: Sums) -> bool {
    Some(stored(frame, 8)) == salts && stored(frame, 16) == expected
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
