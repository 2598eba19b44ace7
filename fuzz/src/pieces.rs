//! Bytes that arrive in pieces give the same packets and the same error as bytes that arrive at once.

use crate::VERSIONS;
use crate::stream::{Stream, read_all};
use bytes::BytesMut;
use mqtt_codec::Decoder;

/// The first three bytes tell where to cut; the rest is decoded whole, in these pieces, and byte by byte.
pub fn pieces(data: &[u8]) {
    let [a, b, c, data @ ..] = data else { return };
    let lens = [*a, *b, *c].map(|len| usize::from(len).max(1));
    let decoders = VERSIONS.map(Decoder::new).into_iter().chain([
        Decoder::for_server(),
        Decoder::new(mqtt_codec::Version::V5).from_server_only().max_packet_size(u32::from(*a)),
    ]);
    for decoder in decoders {
        let whole = read_all(decoder.clone(), data);
        for lens in [&lens[..], &[1]] {
            let cut = read_in_pieces(decoder.clone(), data, lens);
            assert_eq!(cut.packets, whole.packets, "in pieces of {lens:?}");
            assert_eq!(cut.error, whole.error, "in pieces of {lens:?}");
            if whole.error.is_none() {
                assert_eq!(cut.left, whole.left, "in pieces of {lens:?}");
            }
        }
    }
}

fn read_in_pieces(mut decoder: Decoder, mut data: &[u8], lens: &[usize]) -> Stream {
    let (mut input, mut packets) = (BytesMut::new(), Vec::new());
    for len in lens.iter().cycle() {
        let (piece, rest) = data.split_at((*len).min(data.len()));
        input.extend_from_slice(piece);
        data = rest;
        loop {
            match decoder.decode(&mut input) {
                Ok(Some(packet)) => packets.push(packet),
                Ok(None) => break,
                Err(error) => return Stream { packets, error: Some(error), left: input.len() },
            }
        }
        if data.is_empty() {
            break;
        }
    }
    Stream { packets, error: None, left: input.len() }
}
