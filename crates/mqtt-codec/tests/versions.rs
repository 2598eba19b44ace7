//! What sets the versions apart: how a server learns one, what a client may receive, and the rules of 3.1.

mod common;

use bytes::{Bytes, BytesMut};
use common::properties::{PLACES, allowed_in, connect, packet_with, publish, set, will};
use common::{VERSIONS, accept, cannot_encode, decode_with, encode, hex, no_properties, show, topic};
use mqtt_codec::{
    Connect, Decoder, Delivery, EncodeError, Fault, Field, Packet, PacketType, PropertiesBuf, PropertyId,
    PublishParts, Sender, Topic, Version, Will, WireBuf,
};

const V3: [Version; 2] = [Version::V3_1, Version::V3_1_1];

fn connect_wire(version: Version) -> Vec<u8> {
    encode(version, &Packet::Connect(Box::new(connect()))).unwrap()
}

/// The first packet is a CONNECT, which tells the version of all that follow; a second one is refused.
/// [MQTT-3.1.0-1] [MQTT-3.1.0-2] [MQTT-3.1.0-1/3.1.1] [MQTT-3.1.0-2/3.1.1]
#[test]
fn a_server_learns_the_version() {
    for version in VERSIONS {
        let mut decoder = Decoder::for_server();
        assert_eq!(decoder.version(), None);
        let again = connect_wire(version);
        let mut input = BytesMut::from(&[&again[..], &hex("C0 00"), &again].concat()[..]);
        assert_eq!(decoder.decode(&mut input), Ok(Some(Packet::Connect(Box::new(connect())))));
        assert_eq!(decoder.version(), Some(version));
        assert_eq!(decoder.decode(&mut input), Ok(Some(Packet::PingReq)));
        let error = decoder.decode(&mut input).unwrap_err();
        assert_eq!(
            (error.packet_type(), error.fault()),
            (Some(PacketType::Connect), Fault::UnexpectedPacket)
        );
    }
    for first in ["C0 00", "30 04 00 01 61 00", "E0 00", "82 07 00 01 00 00 01 61 00", "20 03 00 00 00"] {
        let error = decode_with(Decoder::for_server(), first).unwrap_err();
        assert_eq!((error.field(), error.fault()), (Field::FixedHeader, Fault::UnexpectedPacket), "{first}");
    }
}

/// One packet of each type to each side of each version.
/// [31-26]
#[test]
fn each_side_receives_what_the_other_may_send() {
    for version in VERSIONS {
        let mut from_client = Decoder::for_server();
        from_client.decode(&mut connect_wire(version)[..].into()).unwrap();
        let from_server = Decoder::new(version).from_server_only();
        for kind in (2..=15).filter_map(PacketType::from_u8) {
            let Some(wire) = minimal(version, kind) else { continue };
            for (sender, decoder) in [(Sender::Client, &from_client), (Sender::Server, &from_server)] {
                let result = decode_with(decoder.clone(), wire);
                if kind.is_sent_by(sender, version) {
                    assert_eq!(result.map(|packet| packet.packet_type()), Ok(kind));
                } else {
                    let error = result.unwrap_err();
                    let expected = (Some(kind), Field::FixedHeader, Fault::UnexpectedPacket);
                    assert_eq!((error.packet_type(), error.field(), error.fault()), expected, "{version}");
                }
            }
        }
    }
    let server = Decoder::new(Version::V5).from_server_only();
    assert_eq!(decode_with(server, connect_wire(Version::V5)).unwrap_err().fault(), Fault::UnexpectedPacket);
}

/// A packet without anything that only one of the sides may say.
fn minimal(version: Version, kind: PacketType) -> Option<&'static str> {
    let v5 = version.is_v5();
    Some(match kind {
        PacketType::Publish => "30 04 00 01 61 00",
        PacketType::PubAck => "40 02 00 01",
        PacketType::PubRec => "50 02 00 01",
        PacketType::PubRel => "62 02 00 01",
        PacketType::PubComp => "70 02 00 01",
        PacketType::ConnAck if v5 => "20 03 00 00 00",
        PacketType::ConnAck => "20 02 00 00",
        PacketType::Subscribe if v5 => "82 07 00 01 00 00 01 61 00",
        PacketType::Subscribe => "82 06 00 01 00 01 61 00",
        // Two codes before 5.0.
        PacketType::SubAck => "90 04 00 01 00 00",
        PacketType::Unsubscribe if v5 => "A2 06 00 01 00 00 01 61",
        PacketType::Unsubscribe => "A2 05 00 01 00 01 61",
        PacketType::UnsubAck if v5 => "B0 04 00 01 00 00",
        PacketType::UnsubAck => "B0 02 00 01",
        PacketType::PingReq => "C0 00",
        PacketType::PingResp => "D0 00",
        PacketType::Disconnect => "E0 00",
        PacketType::Auth if v5 => "F0 06 18 04 15 00 01 6D",
        _ => return None,
    })
}

/// Every property of every packet is refused in 3.x, by its name.
/// [31-26]
#[test]
fn properties_are_refused_by_name() {
    for place in PLACES.into_iter().filter(|place| *place != "AUTH") {
        for property in allowed_in(place) {
            let mut builder = set(PropertiesBuf::builder(), property, &Default::default());
            if property == PropertyId::AuthenticationData {
                builder = builder.authentication_method("m");
            }
            let packet = packet_with(place, builder.build().unwrap()).unwrap();
            for version in V3 {
                let error = cannot_encode(version, &packet);
                let EncodeError::NotInVersion { field, packet: named, version: of } = error else {
                    panic!("{error}")
                };
                assert_eq!((field, of), (Field::Property(property), version));
                assert_eq!(named, packet.packet_type());
                let text = error.to_string();
                assert!(
                    text.contains(&property.to_string()) && text.contains(&format!("MQTT {version} ")),
                    "{text}"
                );
            }
        }
    }
}

/// 32,767 characters are the longest topic name of 3.1, whatever they are in bytes; later it is 65,535 bytes.
/// [31-16]
#[test]
fn topics_of_v3_1_are_shorter() {
    let longest = "é".repeat(32_767);
    let longer = "a".repeat(32_768);
    for (name, fits) in [(&longest, true), (&longer, false)] {
        let publish = Packet::Publish(publish(Delivery::AtMostOnce, name, &no_properties(), b"").unwrap());
        let will = Some(Will { topic: topic(name), ..will() });
        let connect = Packet::Connect(Box::new(Connect { will, ..connect() }));
        for (packet, field) in [(publish, Field::TopicName), (connect, Field::WillTopic)] {
            for version in [Version::V3_1_1, Version::V5] {
                assert_eq!(accept(version, encode(version, &packet).unwrap()), packet);
            }
            if fits {
                assert_eq!(accept(Version::V3_1, encode(Version::V3_1, &packet).unwrap()), packet);
            } else {
                let EncodeError::FieldNotAllowed { field: named, .. } = cannot_encode(Version::V3_1, &packet)
                else {
                    panic!()
                };
                assert_eq!(named, field);
            }
        }
        let payload = Bytes::new();
        let parts = PublishParts::new(Delivery::AtMostOnce, Topic::new(name).unwrap(), &payload);
        assert_eq!(parts.encode(Version::V3_1, &mut WireBuf::new()).is_ok(), fits);
    }
}

/// [31-20]
#[test]
fn an_empty_payload_is_one() {
    let publish = publish(Delivery::AtMostOnce, "a", &no_properties(), b"").unwrap();
    let wire = encode(Version::V3_1, &Packet::Publish(publish)).unwrap();
    assert_eq!(show(&wire), "30 03 00 01 61");
    let Packet::Publish(publish) = accept(Version::V3_1, wire) else { panic!() };
    assert!(publish.payload().is_empty() && publish.into_payload().is_empty());
}
