//! The fixed header, section 2.1: what kind of packet comes, and where it ends.

use crate::error::{DecodeError, Fault, Field};
use crate::packet::PacketType;
use crate::version::Version;
use crate::wire::{VariableByteInteger, read_variable_byte_integer};

/// The largest packet there is, in bytes: one byte, four bytes of length, 268,435,455 bytes.
pub const MAX_PACKET_SIZE: u32 = 268_435_460;

/// A fixed header that is complete and legal.
#[derive(Clone, Copy)]
pub(crate) struct FixedHeader {
    pub(crate) packet: PacketType,
    /// The first byte: type and flags.
    pub(crate) first: u8,
    /// Bytes of this header, 2 to 5.
    pub(crate) len: usize,
    /// Bytes of the whole packet.
    pub(crate) size: usize,
}

impl FixedHeader {
    /// Reads the header at the front of `input`; `None` if it is not complete. What is wrong with the first byte
    /// or with the length shows before the rest of the packet arrives.
    #[inline(always)]
    pub(crate) fn read(input: &[u8], version: Version) -> Result<Option<Self>, DecodeError> {
        let [first, lengths @ ..] = input else { return Ok(None) };
        let packet = packet_type(*first, version)?;
        let (remaining, len) = match lengths {
            [short @ 0..0x80, ..] => (u32::from(*short), 2),
            _ => match read_variable_byte_integer(lengths) {
                VariableByteInteger::Incomplete => return Ok(None),
                // Only 5.0 asks for the shortest form.
                VariableByteInteger::Value { value, len, minimal } if minimal || !version.is_v5() => {
                    (value, len + 1)
                }
                _ => return Err(bad_length(packet)),
            },
        };
        Ok(Some(Self { packet, first: *first, len, size: len + remaining as usize }))
    }
}

/// The packet type, after a look at the flags beside it `[MQTT-2.1.3-1]` `[MQTT-2.2.2-1/3.1.1]`.
#[inline(always)]
fn packet_type(first: u8, version: Version) -> Result<PacketType, DecodeError> {
    // The flags of PUBLISH have meanings, which publish.rs reads.
    if first >> 4 == PacketType::Publish as u8 {
        return Ok(PacketType::Publish);
    }
    let Some(packet) = PacketType::from_u8(first >> 4) else { return Err(reserved_type()) };
    match packet {
        PacketType::Auth if !version.is_v5() => Err(reserved_type()),
        // 3.1 gives DUP, QoS and RETAIN bits to every packet and does not check them `[31-10]`.
        _ if first & 0x0F != packet.flags() && version != Version::V3_1 => Err(reserved_flags(packet)),
        _ => Ok(packet),
    }
}

#[cold]
const fn reserved_type() -> DecodeError {
    DecodeError::new(Field::FixedHeader, Fault::ReservedPacketType)
}

#[cold]
const fn reserved_flags(packet: PacketType) -> DecodeError {
    DecodeError::new(Field::FixedHeader, Fault::ReservedBits).within(packet)
}

#[cold]
const fn bad_length(packet: PacketType) -> DecodeError {
    DecodeError::new(Field::RemainingLength, Fault::LongVariableByteInteger).within(packet)
}
