//! The fixed header: packet types, flags, Remaining Length, and that a packet ends where its header says.

mod common;

use bytes::BytesMut;
use common::{VERSIONS, accept, body, decode, facts, hex, id, number, packet_type, refuse, show};
use mqtt_codec::{Ack, Decoder, Fault, Field, Packet, PacketType, Version, WireBuf};

/// One small packet of each type, legal in 5.0 and (but for AUTH) with what `v3` says in 3.1.1.
const V5: [&str; 15] = [
    "10 0D 00 04 4D 51 54 54 05 02 00 3C 00 00 00",
    "20 03 00 00 00",
    "30 04 00 01 61 00",
    "40 02 00 01",
    "50 02 00 01",
    "62 02 00 01",
    "70 02 00 01",
    "82 07 00 01 00 00 01 61 00",
    "90 04 00 01 00 00",
    "A2 06 00 01 00 00 01 61",
    "B0 04 00 01 00 00",
    "C0 00",
    "D0 00",
    "E0 00",
    "F0 00",
];

const V3_1_1: [&str; 14] = [
    "10 0C 00 04 4D 51 54 54 04 02 00 3C 00 00",
    "20 02 00 00",
    "30 03 00 01 61",
    "40 02 00 01",
    "50 02 00 01",
    "62 02 00 01",
    "70 02 00 01",
    "82 06 00 01 00 01 61 00",
    "90 03 00 01 00",
    "A2 05 00 01 00 01 61",
    "B0 02 00 01",
    "C0 00",
    "D0 00",
    "E0 00",
];

fn with_first_byte(wire: &str, first: u8) -> Vec<u8> {
    let mut wire = hex(wire);
    wire[0] = first;
    wire
}

/// Every nibble beside every packet type but PUBLISH, which gives its own meaning to them. The encoder writes the
/// only legal one.
/// [MQTT-2.1.3-1] [MQTT-2.2.2-1/3.1.1] [MQTT-2.2.2-2/3.1.1]
/// [MQTT-3.6.1-1] [MQTT-3.6.1-1/3.1.1] [MQTT-3.8.1-1] [MQTT-3.8.1-1/3.1.1] [MQTT-3.10.1-1] [MQTT-3.10.1-1/3.1.1]
/// [MQTT-3.14.1-1] [MQTT-3.14.1-1/3.1.1] [MQTT-3.15.1-1]
#[test]
fn flags_are_fixed() {
    for (version, packets) in [(Version::V5, &V5[..]), (Version::V3_1_1, &V3_1_1[..])] {
        for (packet, fact) in packets.iter().zip(facts("packet")) {
            let kind = packet_type(fact["name"].as_str().unwrap());
            if kind == PacketType::Publish {
                continue;
            }
            let legal = number(fact["first_byte"].as_str().unwrap());
            let decoded = accept(version, *packet);
            assert_eq!(decoded.packet_type(), kind);
            let mut out = WireBuf::new();
            decoded.encode(version, &mut out).unwrap();
            assert_eq!(out.to_vec()[0], legal, "{kind}");
            for first in (legal & 0xF0..=legal | 0x0F).filter(|first| *first != legal) {
                let wire = with_first_byte(packet, first);
                let error = refuse(version, wire, Field::FixedHeader, Fault::ReservedBits);
                assert_eq!((error.packet_type(), error.is_malformed()), (Some(kind), true));
            }
        }
    }
}

/// In 3.1 these bits mean something in PUBLISH only and are not checked elsewhere: neither by a decoder that knows
/// the version nor by a server's that learns it from this CONNECT. The encoder writes QoS 1 where 3.1 has it.
/// [31-10]
#[test]
fn v3_1_does_not_check_unused_flags() {
    for packet in ["20 02 00 00", "40 02 00 01", "62 02 00 01", "82 06 00 01 00 01 61 00", "D0 00", "E0 00"] {
        let plain = accept(Version::V3_1, packet);
        for flags in 0..16 {
            let wire = with_first_byte(packet, number(&packet[..2]) & 0xF0 | flags);
            assert_eq!(accept(Version::V3_1, wire), plain, "{flags}");
        }
        let mut out = WireBuf::new();
        plain.encode(Version::V3_1, &mut out).unwrap();
        assert_eq!(show(&out.to_vec()), packet);
    }
    let connect = "1F 0F 00 06 4D 51 49 73 64 70 03 02 00 3C 00 01 61";
    let mut server = Decoder::for_server();
    let packet = server.decode(&mut BytesMut::from(&hex(connect)[..])).unwrap();
    assert_eq!(packet, Some(accept(Version::V3_1, connect)));
    for connect in [V5[0], V3_1_1[0]] {
        let wire = with_first_byte(connect, 0x11);
        let error = Decoder::for_server().decode(&mut BytesMut::from(&wire[..])).unwrap_err();
        assert_eq!((error.field(), error.fault()), (Field::FixedHeader, Fault::ReservedBits));
    }
}

/// The acknowledgements share a type; it cannot be used to write any other packet.
#[test]
fn an_acknowledgement_is_one_of_four_packets() {
    for kind in (1..=15).filter_map(PacketType::from_u8) {
        let mut out = WireBuf::new();
        let written = Ack::new(id(1)).encode(kind, Version::V5, &mut out).is_ok();
        assert_eq!(written, (4..=7).contains(&(kind as u8)), "{kind}");
        assert_eq!(out.is_empty(), !written);
    }
}

/// The lowest type is reserved in every version, the highest before 5.0. That shows in the first byte alone.
/// [5u-1] [31-26]
#[test]
fn reserved_types_are_refused() {
    for version in VERSIONS {
        let types = if version.is_v5() { vec![0] } else { vec![0, 15] };
        for first in types.iter().flat_map(|kind| (0..16).map(move |flags| kind << 4 | flags)) {
            let mut input = BytesMut::from(&[first][..]);
            let error = Decoder::new(version).decode(&mut input).unwrap_err();
            let expected = (Field::FixedHeader, Fault::ReservedPacketType, None);
            assert_eq!((error.field(), error.fault(), error.packet_type()), expected, "{first:02X}");
            assert!(error.is_malformed());
        }
    }
}

/// Feeds a header byte by byte: no byte may be asked for once the length is known to be wrong.
#[track_caller]
fn refused_at(version: Version, header: &str) -> usize {
    let mut decoder = Decoder::new(version);
    let mut input = BytesMut::new();
    for (at, byte) in hex(header).into_iter().enumerate() {
        input.extend_from_slice(&[byte]);
        if let Err(error) = decoder.decode(&mut input) {
            let expected = (Field::RemainingLength, Fault::LongVariableByteInteger, true);
            assert_eq!((error.field(), error.fault(), error.is_malformed()), expected);
            return at;
        }
    }
    panic!("{version} waits for more than {header}");
}

/// [5u-2] [311u-1]
#[test]
fn the_length_has_four_bytes_at_most() {
    for version in VERSIONS {
        assert_eq!(refused_at(version, "30 FF FF FF FF"), 4);
        assert_eq!(refused_at(version, "30 80 80 80 80 01"), 4);
        let mut input = BytesMut::from(&hex("30 FF FF FF 7F")[..]);
        assert_eq!(Decoder::new(version).decode(&mut input), Ok(None));
    }
}

/// 5.0 asks for the shortest form, the older versions do not.
/// [MQTT-1.5.5-1] [311u-1]
#[test]
fn the_length_is_as_short_as_it_can_be_in_v5() {
    for (header, at) in [("D0 80 00", 2), ("D0 80 80 00", 3), ("D0 80 80 80 00", 4), ("40 82 00 00 01", 2)] {
        assert_eq!(refused_at(Version::V5, header), at);
        for version in [Version::V3_1, Version::V3_1_1] {
            accept(version, header);
        }
    }
    let mut v5 = hex("10 8D 00");
    v5.extend(&hex(V5[0])[2..]);
    let error = Decoder::for_server().decode(&mut BytesMut::from(&v5[..])).unwrap_err();
    assert_eq!((error.field(), error.fault()), (Field::RemainingLength, Fault::LongVariableByteInteger));
}

/// A byte more or less than the fields need, for each packet whose end its fields tell. The payload of PUBLISH takes
/// what is left; the short forms of the acknowledgements have tests of their own.
/// [5u-13] [311u-3]
#[test]
fn lengths_agree() {
    for (version, packets) in [(Version::V5, &V5[..]), (Version::V3_1_1, &V3_1_1[..])] {
        for packet in packets {
            let wire = hex(packet);
            let kind = accept(version, &wire[..]).packet_type();
            if kind == PacketType::Publish {
                continue;
            }
            let longer = body("").bytes(&wire[2..]).hex("00").packet(wire[0]);
            let error = decode(version, &longer[..]);
            // One byte more is a reason code here.
            let has_reason = matches!(kind as u8, 4..=7 | 9 | 11 | 14) && version.is_v5();
            let has_code = kind == PacketType::SubAck;
            assert_eq!(error.is_ok(), has_reason || has_code, "{}", show(&longer));
            if wire.len() > 2 {
                let shorter = body("").bytes(&wire[2..wire.len() - 1]).packet(wire[0]);
                let error = decode(version, &shorter[..]).unwrap_err();
                let empty = matches!(error.fault(), Fault::EmptyList);
                assert!(error.is_malformed() || empty, "{}: {error}", show(&shorter));
            }
        }
    }
}

/// [5u-13]
#[test]
fn no_field_runs_past_the_end() {
    for (wire, field) in [
        ("10 03 00 04 4D", Field::Protocol),
        ("10 07 00 04 4D 51 54 54 05", Field::ConnectFlags),
        ("10 09 00 04 4D 51 54 54 05 02 00", Field::KeepAlive),
        ("10 0A 00 04 4D 51 54 54 05 02 00 3C", Field::PropertyLength),
        ("10 0D 00 04 4D 51 54 54 05 02 00 3C 00 00 01", Field::ClientIdentifier),
        ("20 01 00", Field::ReasonCode),
        ("20 03 00 00 01", Field::PropertyLength),
        ("20 05 00 00 02 13 00", Field::Property(mqtt_codec::PropertyId::ServerKeepAlive)),
        ("20 06 00 00 03 1F 00 01", Field::Property(mqtt_codec::PropertyId::ReasonString)),
        ("30 02 00 01", Field::TopicName),
        ("32 04 00 01 61 00", Field::PacketIdentifier),
        ("32 05 00 01 61 00 01", Field::PropertyLength),
        ("40 01 00", Field::PacketIdentifier),
        ("40 04 00 01 00 01", Field::PropertyLength),
        ("82 05 00 01 00 00 01", Field::TopicFilter),
        ("82 06 00 01 00 00 01 61", Field::SubscriptionOptions),
        ("A2 05 00 01 00 00 01", Field::TopicFilter),
        ("E0 02 00 01", Field::PropertyLength),
        ("F0 01 18", Field::PropertyLength),
    ] {
        let error = decode(Version::V5, wire).unwrap_err();
        assert_eq!((error.field(), error.fault()), (field, Fault::Truncated), "{wire}");
        assert!(error.is_malformed());
    }
}

/// [5u-14] [311u-3]
#[test]
fn pings_are_two_bytes() {
    for version in VERSIONS {
        for (wire, packet) in [("C0 00", Packet::PingReq), ("D0 00", Packet::PingResp)] {
            common::same(version, &packet, wire);
        }
        for wire in ["C0 01 00", "D0 01 00"] {
            assert!(refuse(version, wire, Field::Packet, Fault::TrailingBytes).is_malformed());
        }
    }
}
