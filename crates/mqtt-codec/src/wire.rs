//! The leaves of the parser, section 1.5, and the way back: plain functions over `&[u8]` with nom's `IResult`.
//!
//! Parsers see one packet's bytes, cut by `frame.rs`; running out of them is therefore an error and never a
//! wish for more.

use crate::error::{DecodeError, Fault, Field};
use crate::scalar::PacketId;
use crate::text::{check_text, trusted_str};
use alloc::vec::Vec;
use bytes::Bytes;
use nom::IResult;

/// The rest of the input and what was read, or why not.
pub(crate) type Parsed<'a, T> = IResult<&'a [u8], T, DecodeError>;

/// The largest value of a variable byte integer `[MQTT-1.5.5-1]`.
pub(crate) const MAX_VARIABLE_BYTE_INTEGER: u32 = 268_435_455;

#[cold]
pub(crate) const fn fail<T>(field: Field, fault: Fault) -> Result<T, nom::Err<DecodeError>> {
    Err(nom::Err::Failure(DecodeError::new(field, fault)))
}

/// The error inside nom's wrapper. Parsers here never ask for more input.
pub(crate) fn error_of(error: nom::Err<DecodeError>) -> DecodeError {
    match error {
        nom::Err::Error(error) | nom::Err::Failure(error) => error,
        nom::Err::Incomplete(_) => DecodeError::new(Field::Packet, Fault::Truncated),
    }
}

#[inline(always)]
pub(crate) fn byte(input: &[u8], field: Field) -> Parsed<'_, u8> {
    match input {
        [byte, rest @ ..] => Ok((rest, *byte)),
        [] => fail(field, Fault::Truncated),
    }
}

#[inline(always)]
pub(crate) fn two_bytes(input: &[u8], field: Field) -> Parsed<'_, u16> {
    match input {
        [high, low, rest @ ..] => Ok((rest, u16::from_be_bytes([*high, *low]))),
        _ => fail(field, Fault::Truncated),
    }
}

/// A packet identifier, never 0 `[MQTT-2.2.1-3]`.
#[inline(always)]
pub(crate) fn packet_id(input: &[u8]) -> Parsed<'_, PacketId> {
    let (rest, id) = two_bytes(input, Field::PacketIdentifier)?;
    match PacketId::new(id) {
        Some(id) => Ok((rest, id)),
        None => fail(Field::PacketIdentifier, Fault::ZeroPacketId),
    }
}

/// So many bytes.
#[inline(always)]
pub(crate) fn take(input: &[u8], len: usize, field: Field) -> Parsed<'_, &[u8]> {
    match input.split_at_checked(len) {
        Some((taken, rest)) => Ok((rest, taken)),
        None => fail(field, Fault::Truncated),
    }
}

/// Binary data, section 1.5.6: two bytes of length, then so many bytes.
#[inline(always)]
pub(crate) fn binary(input: &[u8], field: Field) -> Parsed<'_, &[u8]> {
    let (rest, len) = two_bytes(input, field)?;
    take(rest, usize::from(len), field)
}

/// A UTF-8 string, section 1.5.4, as bytes that were checked.
#[inline(always)]
pub(crate) fn text(input: &[u8], field: Field) -> Parsed<'_, &[u8]> {
    let (rest, text) = binary(input, field)?;
    match check_text(text) {
        Ok(()) => Ok((rest, text)),
        Err(error) => fail(field, error.into()),
    }
}

/// A variable byte integer in its shortest form `[MQTT-1.5.5-1]`.
#[inline(always)]
pub(crate) fn variable_byte_integer(input: &[u8], field: Field) -> Parsed<'_, u32> {
    match input {
        [byte @ 0..0x80, rest @ ..] => Ok((rest, u32::from(*byte))),
        _ => long_variable_byte_integer(input, field),
    }
}

fn long_variable_byte_integer(input: &[u8], field: Field) -> Parsed<'_, u32> {
    match read_variable_byte_integer(input) {
        VariableByteInteger::Value { value, len, minimal: true } => {
            Ok((input.get(len..).unwrap_or_default(), value))
        }
        VariableByteInteger::Incomplete => fail(field, Fault::Truncated),
        _ => fail(field, Fault::LongVariableByteInteger),
    }
}

/// What the first bytes of an input say as a variable byte integer.
pub(crate) enum VariableByteInteger {
    Value { value: u32, len: usize, minimal: bool },
    Incomplete,
    TooLong,
}

/// Reads up to four bytes, least significant group first, section 1.5.5.
#[inline]
pub(crate) fn read_variable_byte_integer(input: &[u8]) -> VariableByteInteger {
    let mut value = 0;
    for (position, &byte) in input.iter().take(4).enumerate() {
        value |= u32::from(byte & 0x7F) << (7 * position);
        if byte < 0x80 {
            return VariableByteInteger::Value {
                value,
                len: position + 1,
                minimal: position == 0 || byte != 0,
            };
        }
    }
    if input.len() < 4 { VariableByteInteger::Incomplete } else { VariableByteInteger::TooLong }
}

/// How many bytes a variable byte integer takes.
#[inline(always)]
pub(crate) const fn variable_byte_integer_len(value: usize) -> usize {
    match value {
        0..=0x7F => 1,
        0x80..=0x3FFF => 2,
        0x4000..=0x1F_FFFF => 3,
        _ => 4,
    }
}

/// Writes a variable byte integer in its shortest form `[MQTT-1.5.5-1]`. The caller keeps to the maximum.
#[inline(always)]
pub(crate) fn put_variable_byte_integer(out: &mut Vec<u8>, value: usize) {
    let [a, b, c, d] = [value, value >> 7, value >> 14, value >> 21].map(|group| group as u8 & 0x7F);
    match variable_byte_integer_len(value) {
        1 => out.push(a),
        2 => out.extend_from_slice(&[a | 0x80, b]),
        3 => out.extend_from_slice(&[a | 0x80, b | 0x80, c]),
        _ => out.extend_from_slice(&[a | 0x80, b | 0x80, c | 0x80, d]),
    }
}

/// Writes two bytes of length and the bytes. The caller keeps to 65,535.
#[inline(always)]
pub(crate) fn put_binary(out: &mut Vec<u8>, bytes: &[u8]) {
    out.extend_from_slice(&(bytes.len() as u16).to_be_bytes());
    out.extend_from_slice(bytes);
}

/// A part of a frame as `Bytes` of its own, which share the frame's memory; nothing is kept for an empty part.
/// The part is a slice of this very frame: `slice_ref` without its checks, which `slice` repeats.
#[inline(always)]
pub(crate) fn share(frame: &Bytes, part: &[u8]) -> Bytes {
    if part.is_empty() {
        return Bytes::new();
    }
    let at = (part.as_ptr() as usize).wrapping_sub(frame.as_ptr() as usize);
    frame.slice(at..at + part.len())
}

/// The string at the front of a wire block that was checked before, and what follows it.
pub(crate) fn trusted_text(block: &[u8]) -> Option<(&str, &[u8])> {
    let (bytes, rest) = trusted_binary(block)?;
    Some((trusted_str(bytes), rest))
}

/// The binary data at the front of a wire block that was checked before, and what follows it.
#[inline]
pub(crate) fn trusted_binary(block: &[u8]) -> Option<(&[u8], &[u8])> {
    let (len, rest) = block.split_first_chunk::<2>()?;
    rest.split_at_checked(usize::from(u16::from_be_bytes(*len)))
}
