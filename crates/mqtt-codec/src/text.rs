//! UTF-8 strings of the protocol, section 1.5.4: well formed, without U+0000, at most 65,535 bytes.

use alloc::string::String;
use bytes::Bytes;
use core::fmt;
use core::ops::Deref;

/// The longest string or binary field, in bytes: its length is two bytes on the wire.
pub const MAX_FIELD_LEN: usize = u16::MAX as usize;

/// A string that MQTT can carry: well-formed UTF-8, no U+0000, at most 65,535 bytes
/// `[MQTT-1.5.4-1]` `[MQTT-1.5.4-2]`. A byte order mark is kept `[MQTT-1.5.4-3]`.
///
/// Cheap to clone: it shares the buffer that it was made of or decoded from.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Text(Bytes);

/// Why bytes are no string of MQTT.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TextError {
    /// Not well-formed UTF-8 `[MQTT-1.5.4-1]`.
    #[error("the string is not well-formed UTF-8")]
    IllFormed,
    /// The character U+0000 `[MQTT-1.5.4-2]`.
    #[error("the string contains U+0000, which MQTT forbids")]
    Null,
    /// More than 65,535 bytes.
    #[error("the string is longer than 65,535 bytes")]
    TooLong,
}

impl Text {
    /// Wraps bytes that a decoder has checked.
    pub(crate) const fn from_checked(bytes: Bytes) -> Self {
        Self(bytes)
    }
}

/// What the three checked strings have in common: `$check` says what makes one.
macro_rules! checked_string {
    ($name:ident($bytes:ident), $error:ident, $check:path) => {
        impl $name {
            /// Checks a string that lives as long as the program; copies nothing.
            pub fn from_static(text: &'static str) -> Result<Self, $error> {
                Self::try_from(Bytes::from_static(text.as_bytes()))
            }

            /// The string. The bytes were checked when this value was made.
            pub fn as_str(&self) -> &str {
                $crate::text::trusted_str(&self.0)
            }

            /// Bytes of the string.
            pub fn len(&self) -> usize {
                self.0.len()
            }

            /// Whether it has no character.
            pub fn is_empty(&self) -> bool {
                self.0.is_empty()
            }

            /// The bytes of the string, without the second look at their UTF-8 that `as_str` takes.
            pub fn as_bytes(&self) -> &[u8] {
                &self.0
            }

            /// The bytes of the string, without a copy unless it is short.
            pub fn into_bytes(self) -> Bytes {
                self.0.into()
            }
        }

        impl TryFrom<Bytes> for $name {
            type Error = $error;
            fn try_from(bytes: Bytes) -> Result<Self, $error> {
                $check(&bytes)?;
                Ok(Self(bytes.into()))
            }
        }

        impl TryFrom<String> for $name {
            type Error = $error;
            fn try_from(text: String) -> Result<Self, $error> {
                Self::try_from(Bytes::from(text))
            }
        }

        impl TryFrom<&str> for $name {
            type Error = $error;
            fn try_from(text: &str) -> Result<Self, $error> {
                $check(text.as_bytes())?;
                Ok(Self($bytes::copy_from_slice(text.as_bytes())))
            }
        }

        impl Deref for $name {
            type Target = str;
            fn deref(&self) -> &str {
                self.as_str()
            }
        }

        impl AsRef<str> for $name {
            fn as_ref(&self) -> &str {
                self.as_str()
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Debug::fmt(self.as_str(), f)
            }
        }
    };
}
pub(crate) use checked_string;

checked_string!(Text(Bytes), TextError, check_whole);

/// The string in bytes that were checked before. Reading UTF-8 again is what it costs to do without `unsafe`.
pub(crate) fn trusted_str(bytes: &[u8]) -> &str {
    core::str::from_utf8(bytes).unwrap_or_default()
}

pub(crate) const fn check_len(bytes: &[u8]) -> Result<(), TextError> {
    if bytes.len() > MAX_FIELD_LEN { Err(TextError::TooLong) } else { Ok(()) }
}

fn check_whole(bytes: &[u8]) -> Result<(), TextError> {
    check_len(bytes)?;
    check_text(bytes)
}

/// Checks UTF-8 and U+0000. Discouraged characters pass, see the crate's decisions.
pub(crate) fn check_text(bytes: &[u8]) -> Result<(), TextError> {
    if scan::<false>(bytes) == Scan::Plain {
        return Ok(());
    }
    check_text_slowly(bytes)
}

#[cold]
pub(crate) fn check_text_slowly(bytes: &[u8]) -> Result<(), TextError> {
    core::str::from_utf8(bytes).map_err(|_| TextError::IllFormed)?;
    if bytes.contains(&0) { Err(TextError::Null) } else { Ok(()) }
}

/// What one look at a string's bytes shows.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Scan {
    /// ASCII without U+0000, and without wildcards where they were looked for: nothing more to check.
    Plain,
    /// Something that needs a closer look.
    Other,
}

/// Looks for bytes above 0x7F, U+0000 and, if asked, `+` and `#`, eight bytes at a time.
#[inline]
pub(crate) fn scan<const WILDCARDS: bool>(bytes: &[u8]) -> Scan {
    let mut suspects = 0;
    let (words, rest) = bytes.as_chunks::<8>();
    for word in words {
        suspects |= suspicious::<WILDCARDS>(u64::from_le_bytes(*word));
    }
    if let Some(last) = bytes.last_chunk::<8>() {
        // The tail is looked at once more together with bytes before it: one word instead of seven bytes.
        suspects |= suspicious::<WILDCARDS>(u64::from_le_bytes(*last));
    } else {
        for &byte in rest {
            let wildcard = WILDCARDS && matches!(byte, b'+' | b'#');
            suspects |= u64::from(byte == 0 || byte >= 0x80 || wildcard);
        }
    }
    if suspects == 0 { Scan::Plain } else { Scan::Other }
}

const ONES: u64 = 0x0101_0101_0101_0101;
const HIGHS: u64 = 0x80 * ONES;

/// `#` is 0x23 and `+` is 0x2B: one bit apart, so that one comparison finds both. A wildcard becomes 0.
#[inline(always)]
const fn wildcard_to_zero(word: u64) -> u64 {
    (word & !(0x08 * ONES)) ^ (0x23 * ONES)
}

/// Not 0 if one of eight bytes is 0, above 0x7F or, if asked, a wildcard.
#[inline(always)]
const fn suspicious<const WILDCARDS: bool>(word: u64) -> u64 {
    // `x - 1` borrows into the high bit of a byte that was 0; bytes above 0x7F show by themselves.
    let mut found = word | word.wrapping_sub(ONES);
    if WILDCARDS {
        found |= wildcard_to_zero(word).wrapping_sub(ONES);
    }
    found & HIGHS
}

/// Scans a topic filter: as [`scan`] does, and calls `check` with the place of each wildcard, `+` or `#`; with the
/// last ones maybe twice.
#[inline(always)]
pub(crate) fn scan_filter<E>(bytes: &[u8], check: impl Fn(usize) -> Result<(), E>) -> Result<Scan, E> {
    let mut suspects = 0;
    let mut look = |at: usize, word: u64| {
        suspects |= suspicious::<false>(word);
        let word = wildcard_to_zero(word);
        // The high bit of each byte that is 0, and of no other.
        let mut found = !(((word & !HIGHS) + !HIGHS) | word | !HIGHS);
        while found != 0 {
            check(at + found.trailing_zeros() as usize / 8)?;
            found &= found - 1;
        }
        Ok(())
    };
    let (words, rest) = bytes.as_chunks::<8>();
    for (index, word) in words.iter().enumerate() {
        look(index * 8, u64::from_le_bytes(*word))?;
    }
    match bytes.last_chunk::<8>() {
        Some(last) => look(bytes.len() - 8, u64::from_le_bytes(*last))?,
        // The places that are missing are filled with a byte that is neither suspicious nor a wildcard.
        None => look(0, rest.iter().rev().fold(0x7F * ONES, |word, byte| word << 8 | u64::from(*byte)))?,
    }
    Ok(if suspects == 0 { Scan::Plain } else { Scan::Other })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_scan_sees_each_suspect_at_each_place() {
        for len in 1..40 {
            for at in 0..len {
                for (byte, wildcard) in
                    [(0u8, false), (0x80, false), (0xFF, false), (b'+', true), (b'#', true)]
                {
                    let mut bytes = [b'a'; 40];
                    bytes[at] = byte;
                    assert!(scan::<true>(&bytes[..len]) == Scan::Other, "{byte} at {at} of {len}");
                    assert_eq!(
                        scan::<false>(&bytes[..len]) == Scan::Plain,
                        wildcard,
                        "{byte} at {at} of {len}"
                    );
                }
            }
        }
    }

    #[test]
    fn every_wildcard_is_found_and_nothing_else() {
        for len in 0..30 {
            for (at, byte) in (0..len).flat_map(|at| (1..=255).map(move |byte| (at, byte))) {
                let mut bytes = [b'a'; 30];
                bytes[at] = byte;
                let found = scan_filter(&bytes[..len], Err).err() == Some(at);
                assert_eq!(found, matches!(byte, b'+' | b'#'), "{byte} at {at} of {len}");
            }
        }
    }

    #[test]
    fn the_scan_passes_every_other_ascii_byte() {
        for byte in (1..0x80).filter(|byte| !matches!(byte, b'+' | b'#')) {
            assert!(scan::<true>(&[byte; 19]) == Scan::Plain, "{byte}");
            assert!(scan::<true>(&[byte; 3]) == Scan::Plain, "{byte}");
        }
    }
}
