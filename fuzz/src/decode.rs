//! No bytes make the decoder panic, and its modes agree with each other.

use crate::VERSIONS;
use crate::stream::{Stream, read_all};
use mqtt_codec::{Decoder, Fault, Packet, PacketType, Version};

/// The limits of the decoders that have one: below the shortest acknowledgement, and above.
const LIMITS: [u32; 2] = [3, 24];

/// Decodes in three versions, for any side, for a client, for a server, and with a limit.
pub fn decode(data: &[u8]) {
    for version in VERSIONS {
        let any = read_all(Decoder::new(version), data);
        let from_server = read_all(Decoder::new(version).from_server_only(), data);
        check_stricter(&any, &from_server);
        check_direction(&from_server, version);
        for limit in LIMITS {
            check_limited(
                &any,
                &read_all(Decoder::new(version).max_packet_size(limit), data),
                version,
                limit,
            );
        }
        check_server(&any, data, version);
        check_first(data, version);
    }
}

/// A decoder that takes less takes the same packets, then refuses one; maybe by a header that came without its packet.
fn check_stricter(any: &Stream, stricter: &Stream) {
    assert!(any.packets.starts_with(&stricter.packets));
    assert!(stricter.error.is_some() || stricter == any);
}

/// A client takes what a server may send, by tables 2-1 of 5.0 and 2.1 of 3.1.1, and calls nothing else unexpected.
fn check_direction(from_server: &Stream, version: Version) {
    let may_come = |packet| match packet {
        PacketType::Connect | PacketType::Subscribe | PacketType::Unsubscribe | PacketType::PingReq => false,
        PacketType::Disconnect => version == Version::V5,
        _ => true,
    };
    assert!(from_server.packets.iter().all(|packet| may_come(packet.packet_type())));
    let unexpected = from_server.error.filter(|error| error.fault() == Fault::UnexpectedPacket);
    assert!(!unexpected.and_then(|error| error.packet_type()).is_some_and(may_come));
}

/// A limit refuses what is longer and nothing else.
fn check_limited(any: &Stream, limited: &Stream, version: Version, maximum: u32) {
    assert!(any.packets.starts_with(&limited.packets));
    assert!(limited.packets.iter().all(|packet| packet.encoded_len(version) <= maximum as usize));
    match limited.error.map(|error| error.fault()) {
        Some(Fault::TooLarge { size, limit }) => assert!(size > limit && limit == maximum),
        _ => assert_eq!(limited, any),
    }
}

/// A server that got a CONNECT of this version goes on as any decoder of this version does, or stops earlier.
fn check_server(any: &Stream, data: &[u8], version: Version) {
    let greeted = [connect(version), data].concat();
    let server = read_all(Decoder::for_server(), &greeted);
    let [Packet::Connect(_), packets @ ..] = &server.packets[..] else {
        panic!("a server refused a good CONNECT: {:?}", server.error);
    };
    assert!(any.packets.starts_with(packets));
    assert!(packets.len() == any.packets.len() || server.error.is_some());
}

/// A server's first packet is a CONNECT, of the version that it names.
fn check_first(data: &[u8], version: Version) {
    let mut decoder = Decoder::for_server();
    let first = decoder.decode(&mut data.into());
    let told = decoder.version();
    match first {
        Ok(Some(packet)) => {
            assert!(matches!(packet, Packet::Connect(_)));
            let same = Decoder::new(version).decode(&mut data.into());
            assert_eq!(same == Ok(Some(packet)), told == Some(version));
        }
        _ => assert_eq!(told, None),
    }
}

/// The smallest CONNECT of a version with a client identifier.
fn connect(version: Version) -> &'static [u8] {
    match version {
        Version::V3_1 => b"\x10\x0F\x00\x06MQIsdp\x03\x02\x00\x3C\x00\x01a",
        Version::V3_1_1 => b"\x10\x0D\x00\x04MQTT\x04\x02\x00\x3C\x00\x01a",
        Version::V5 => b"\x10\x0E\x00\x04MQTT\x05\x02\x00\x3C\x00\x00\x01a",
    }
}
