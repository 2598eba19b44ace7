//! Takes packets off bytes and watches over what the decoder does to its input.

use bytes::BytesMut;
use mqtt_codec::{DecodeError, Decoder, Packet};

/// What a decoder made of some bytes: packets, then the end, a rest that is no whole packet, or an error.
#[derive(Debug, PartialEq)]
pub(crate) struct Stream {
    pub(crate) packets: Vec<Packet>,
    pub(crate) error: Option<DecodeError>,
    /// Bytes that were not consumed.
    pub(crate) left: usize,
}

/// Decodes everything that is whole in `data`. The input must only ever shrink from its front, packet by packet.
pub(crate) fn read_all(mut decoder: Decoder, data: &[u8]) -> Stream {
    let mut input = BytesMut::from(data);
    let mut packets = Vec::new();
    loop {
        let before = &data[data.len() - input.len()..];
        let result = decoder.decode(&mut input);
        assert!(before.ends_with(&input), "the decoder changed bytes that it left");
        let consumed = before.len() - input.len();
        match result {
            Ok(Some(packet)) => {
                assert_eq!(Some(consumed), frame_len(before), "{packet:?} is not its frame");
                assert_eq!(packet.packet_type() as u8, before[0] >> 4);
                packets.push(packet);
            }
            Ok(None) => {
                assert_eq!(consumed, 0, "consumed bytes without a packet");
                assert!(
                    frame_len(before).is_none_or(|len| len > before.len()),
                    "a whole packet was not seen"
                );
                return Stream { packets, error: None, left: input.len() };
            }
            Err(error) => {
                check_error(&error, before[0]);
                return Stream { packets, error: Some(error), left: input.len() };
            }
        }
    }
}

/// An error names its packet, unless there is no such type, says something, and has a code to answer with.
fn check_error(error: &DecodeError, first: u8) {
    match error.packet_type() {
        Some(packet) => assert_eq!(packet as u8, first >> 4, "{error} names another packet"),
        None => assert!(matches!(first >> 4, 0 | 15), "{error} names no packet"),
    }
    assert!(error.reason_code().is_error());
    let told = error.to_string();
    assert!(told.contains(&error.field().to_string()) && told.contains(&error.fault().to_string()), "{told}");
}

/// Bytes of the packet at the front, by the letter of section 2.1.4; `None` while that cannot be told.
fn frame_len(bytes: &[u8]) -> Option<usize> {
    let mut multiplier = 1;
    let mut value = 0;
    for (index, byte) in bytes.iter().skip(1).take(4).enumerate() {
        value += usize::from(byte & 127) * multiplier;
        multiplier *= 128;
        if byte & 128 == 0 {
            return Some(2 + index + value);
        }
    }
    None
}
