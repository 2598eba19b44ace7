//! PUBLISH, section 3.3: the bits of the first byte, topic, packet identifier, alias, and what is sent from parts.

mod common;

use bytes::{Bytes, BytesMut};
use common::properties::publish;
use common::{
    VERSIONS, accept, body, cannot_encode, decode_with, encode, hex, id, no_properties, packet_type, refuse,
    refuse_with, same, show,
};
use core::num::NonZeroU16;
use mqtt_codec::{
    Decoder, Delivery, EncodeError, Fault, Field, Packet, PropertiesBuf, PropertyId, Publish, PublishParts,
    QoS, ReasonCode, Topic, TopicError, Version, WireBuf,
};

const DELIVERIES: [u8; 5] = [0x30, 0x32, 0x3A, 0x34, 0x3C];

fn delivery(first: u8) -> Delivery {
    let dup = first & 8 != 0;
    match first & 6 {
        0 => Delivery::AtMostOnce,
        2 => Delivery::AtLeastOnce { id: id(1), dup },
        _ => Delivery::ExactlyOnce { id: id(1), dup },
    }
}

/// A PUBLISH to "a", with an identifier where its QoS has one.
fn wire(version: Version, first: u8, payload: &str) -> Vec<u8> {
    let id = if first & 6 == 0 { "" } else { "00 01" };
    let properties = if version.is_v5() { "00" } else { "" };
    body("00 01 61").hex(id).hex(properties).hex(payload).packet(first)
}

fn received(version: Version, bytes: impl common::Wire) -> Publish {
    let Packet::Publish(publish) = accept(version, bytes) else { panic!() };
    publish
}

/// The first byte in every legal form, with and without a payload, which may be empty.
/// [MQTT-2.2.1-2] [MQTT-2.3.1-5/3.1.1] [MQTT-3.3.2-1] [MQTT-3.3.2-1/3.1.1] [31-20]
#[test]
fn fields_come_in_order() {
    for version in VERSIONS {
        for (first, payload) in DELIVERIES.iter().flat_map(|first| [(*first, ""), (*first, "00 01 FF")]) {
            for retain in [false, true] {
                let wire = wire(version, first | u8::from(retain), payload);
                let publish = received(version, &wire[..]);
                assert_eq!((publish.delivery(), publish.retain()), (delivery(first), retain));
                assert_eq!((publish.topic(), publish.payload()), ("a", &hex(payload)[..]));
                assert_eq!(publish.qos(), delivery(first).qos());
                let (topic, payload) = (Topic::new("a").unwrap(), publish.payload_bytes());
                let parts = PublishParts::new(delivery(first), topic, &payload);
                assert_eq!(show(&written(PublishParts { retain, ..parts }, version)), show(&wire));
                same(version, &Packet::Publish(publish), wire);
            }
        }
    }
    let a = |version| show(&wire(version, 0x30, ""));
    assert_eq!(
        [a(Version::V5), a(Version::V3_1_1), a(Version::V3_1)],
        ["30 04 00 01 61 00", "30 03 00 01 61", "30 03 00 01 61"]
    );
}

fn written(parts: PublishParts<'_>, version: Version) -> Vec<u8> {
    let mut out = WireBuf::new();
    parts.encode(version, &mut out).unwrap();
    assert_eq!(parts.encoded_len(version), out.len());
    out.to_vec()
}

/// No delivery has DUP at QoS 0, or QoS 3, so that none can be written; received, both are malformed.
/// [MQTT-3.3.1-2] [MQTT-3.3.1-2/3.1.1] [MQTT-3.3.1-4] [MQTT-3.3.1-4/3.1.1]
#[test]
fn impossible_flags() {
    for version in VERSIONS {
        for (first, fault) in [
            (0x38, Fault::DupAtQoS0),
            (0x39, Fault::DupAtQoS0),
            (0x36, Fault::ReservedQoS),
            (0x37, Fault::ReservedQoS),
            (0x3E, Fault::ReservedQoS),
            (0x3F, Fault::ReservedQoS),
        ] {
            assert!(refuse(version, wire(version, first, ""), Field::FixedHeader, fault).is_malformed());
        }
    }
    assert_eq!((QoS::from_u8(2), QoS::from_u8(3)), (Some(QoS::ExactlyOnce), None));
    assert!(!Delivery::AtMostOnce.dup());
    for first in DELIVERIES {
        let publish = publish(delivery(first), "a", &no_properties(), b"").unwrap();
        assert_eq!(encode(Version::V5, &Packet::Publish(publish)).unwrap()[0], first);
    }
}

/// `PacketId` holds no 0, so that none can be written.
/// [MQTT-2.2.1-3] [MQTT-2.3.1-1/3.1.1]
#[test]
fn identifiers_are_not_zero() {
    assert_eq!(mqtt_codec::PacketId::new(0), None);
    for version in VERSIONS {
        let properties = if version.is_v5() { "00" } else { "" };
        for wire in [
            body("00 01 61 00 00").hex(properties).packet(0x32),
            body("00 01 61 00 00").hex(properties).packet(0x34),
            hex("40 02 00 00"),
            hex("50 02 00 00"),
            hex("62 02 00 00"),
            hex("70 02 00 00"),
            body("00 00").hex(properties).string("a").hex("00").packet(0x82),
            body("00 00").hex(properties).hex("00").packet(0x90),
            body("00 00").hex(properties).string("a").packet(0xA2),
            body("00 00").hex(properties).hex(properties).packet(0xB0),
        ] {
            let error = refuse(version, &wire[..], Field::PacketIdentifier, Fault::ZeroPacketId);
            assert_eq!(error.reason_code(), ReasonCode::PROTOCOL_ERROR);
            assert_eq!(error.packet_type().map(|packet| packet as u8), Some(wire[0] >> 4));
        }
    }
}

/// [MQTT-3.3.2-2] [MQTT-3.3.2-2/3.1.1] [MQTT-4.7.0-1]
#[test]
fn a_topic_has_no_wildcards() {
    for topic in ["23", "2B", "61 2F 23", "61 2F 2B 2F 62"] {
        let topic = hex(topic);
        for version in VERSIONS {
            let wire = body("").string(&topic).hex("00").packet(0x30);
            let error = refuse(version, wire, Field::TopicName, Fault::Topic(TopicError::Wildcard));
            assert_eq!(error.reason_code(), ReasonCode::TOPIC_NAME_INVALID);
        }
    }
}

/// [MQTT-3.3.2-1] [MQTT-4.7.3-1] [MQTT-4.7.3-1/3.1.1]
#[test]
fn the_empty_topic_needs_an_alias() {
    let empty = Fault::Topic(TopicError::Empty);
    let error = refuse(Version::V5, "30 03 00 00 00", Field::TopicName, empty);
    assert_eq!(error.reason_code(), ReasonCode::PROTOCOL_ERROR);
    for version in [Version::V3_1, Version::V3_1_1] {
        refuse(version, "30 02 00 00", Field::TopicName, empty);
    }
    let aliased = received(Version::V5, "30 06 00 00 03 23 00 07");
    assert_eq!((aliased.topic(), aliased.topic_name()), ("", None));
    assert_eq!(aliased.properties().topic_alias(), Some(7));
    same(Version::V5, &Packet::Publish(aliased), "30 06 00 00 03 23 00 07");

    let payload = Bytes::new();
    let parts = PublishParts::new(Delivery::AtMostOnce, Topic::EMPTY, &payload);
    for version in VERSIONS {
        let mut out = WireBuf::new();
        let error = parts.encode(version, &mut out).unwrap_err();
        assert_eq!(
            error.to_string(),
            "PUBLISH, topic name: the topic is empty; it needs one character or more"
        );
        assert!(out.is_empty());
    }
}

/// [MQTT-3.3.2-8]
#[test]
fn an_alias_is_not_zero() {
    let field = Field::Property(PropertyId::TopicAlias);
    let error = refuse(Version::V5, "30 07 00 01 61 03 23 00 00", field, Fault::ZeroAlias);
    assert_eq!(error.reason_code(), ReasonCode::TOPIC_ALIAS_INVALID);
    assert!(PropertiesBuf::builder().topic_alias(0).build().is_err());
    let payload = Bytes::new();
    let topic = Topic::new("a").unwrap();
    let parts = PublishParts {
        alias: NonZeroU16::new(7),
        ..PublishParts::new(Delivery::AtMostOnce, topic, &payload)
    };
    assert_eq!(show(&written(parts, Version::V5)), "30 07 00 01 61 03 23 00 07");
    // One alias, not two.
    let other = PropertiesBuf::builder().topic_alias(8).build().unwrap();
    let two = PublishParts { properties: other.view(), ..parts };
    let error = two.encode(Version::V5, &mut WireBuf::new()).unwrap_err();
    let property = PropertyId::TopicAlias;
    assert_eq!(error, EncodeError::PropertyNotAllowed { packet: packet_type("PUBLISH"), property });
}

/// The message expiry interval of a message that waited replaces the one it came with; all else is kept in order.
#[test]
fn expiry_is_replaced() {
    let payload = Bytes::from_static(b"!");
    let properties = PropertiesBuf::builder()
        .user_property("a", "b")
        .message_expiry_interval(100)
        .content_type("c")
        .subscription_identifier(300)
        .build()
        .unwrap();
    let topic = Topic::new("a").unwrap();
    let parts = PublishParts::new(Delivery::AtMostOnce, topic, &payload);
    let parts = PublishParts { expiry: Some(7), properties: properties.view(), ..parts };
    let sent = received(Version::V5, written(parts, Version::V5));
    let expected = PropertiesBuf::builder()
        .message_expiry_interval(7)
        .user_property("a", "b")
        .content_type("c")
        .subscription_identifier(300)
        .build()
        .unwrap();
    assert_eq!(sent.properties_buf(), expected);
    let both = PublishParts { alias: NonZeroU16::new(2), topic: Topic::EMPTY, ..parts };
    let sent = received(Version::V5, written(both, Version::V5));
    let view = sent.properties();
    assert_eq!((view.topic_alias(), view.message_expiry_interval()), (Some(2), Some(7)));
    assert_eq!((view.iter().count(), sent.payload()), (5, &b"!"[..]));
}

/// Subscription identifiers are told by servers: a server's decoder refuses them, a client's reads them all. The
/// encoder serves both sides and cannot tell which one it is.
/// [MQTT-3.3.4-6] [5u-9]
#[test]
fn subscription_identifiers_come_from_servers() {
    let wire = "30 09 00 01 61 05 0B 01 0B 80 01";
    let of_server = decode_with(Decoder::new(Version::V5).from_server_only(), wire).unwrap();
    let Packet::Publish(publish) = &of_server else { panic!() };
    assert_eq!(publish.properties().subscription_identifiers().collect::<Vec<_>>(), [1, 128]);
    same(Version::V5, &of_server, wire);

    let mut server = Decoder::for_server();
    server.decode(&mut hex("10 0D 00 04 4D 51 54 54 05 02 00 3C 00 00 00")[..].into()).unwrap();
    let field = Field::Property(PropertyId::SubscriptionIdentifier);
    let error = refuse_with(server, wire, field, Fault::PropertyNotFromSender);
    assert_eq!(error.reason_code(), ReasonCode::PROTOCOL_ERROR);
}

/// [MQTT-3.3.2-4]
#[test]
fn properties_pass_unchanged() {
    for indicator in ["00", "01"] {
        let wire = body("00 01 61 02 01").hex(indicator).hex("FF").packet(0x30);
        let publish = received(Version::V5, &wire[..]);
        assert_eq!(publish.properties().payload_format_indicator(), Some(indicator == "01"));
        // That the payload is no UTF-8 is for the application to find out.
        same(Version::V5, &Packet::Publish(publish), wire);
    }
}

#[test]
fn equal_is_what_says_the_same() {
    let v5 = received(Version::V5, "30 04 00 01 61 00");
    assert_eq!(v5, received(Version::V3_1_1, "30 03 00 01 61"));
    assert_eq!(v5, received(Version::V3_1_1, "30 83 00 00 01 61"));
    for other in ["31 04 00 01 61 00", "30 04 00 01 62 00", "30 05 00 01 61 00 00", "30 06 00 01 61 02 01 00"]
    {
        assert_ne!(v5, received(Version::V5, other), "{other}");
    }
    let first = received(Version::V5, "32 06 00 01 61 00 01 00");
    assert_ne!(first, received(Version::V5, "32 06 00 01 61 00 02 00"));
    assert_ne!(first, received(Version::V5, "3A 06 00 01 61 00 01 00"));
}

#[test]
fn parts_of_v5_are_refused_by_name_before_it() {
    let payload = Bytes::new();
    let plain = PublishParts::new(Delivery::AtMostOnce, Topic::new("a").unwrap(), &payload);
    let properties = PropertiesBuf::builder().content_type("c").build().unwrap();
    for version in [Version::V3_1, Version::V3_1_1] {
        for (parts, property) in [
            (PublishParts { alias: NonZeroU16::new(1), ..plain }, PropertyId::TopicAlias),
            (PublishParts { expiry: Some(0), ..plain }, PropertyId::MessageExpiryInterval),
            (PublishParts { properties: properties.view(), ..plain }, PropertyId::ContentType),
        ] {
            let packet = packet_type("PUBLISH");
            let field = Field::Property(property);
            let error = parts.encode(version, &mut WireBuf::new()).unwrap_err();
            assert_eq!(error, EncodeError::NotInVersion { packet, field, version });
        }
    }
    let received = publish(Delivery::AtMostOnce, "a", &properties, b"").unwrap();
    cannot_encode(Version::V3_1_1, &Packet::Publish(received));
}

/// A PUBLISH whose only fault is its topic name can be taken off the stream.
#[test]
fn a_misnamed_publish_can_be_skipped() {
    for (wire, delivery) in [
        (&b"\x30\x05\x00\x02a#x"[..], Some(Delivery::AtMostOnce)),
        (b"\x30\x05\x00\x02\xFF\xFFx", Some(Delivery::AtMostOnce)),
        (b"\x3A\x07\x00\x02a#\x00\x07x", Some(Delivery::AtLeastOnce { id: id(7), dup: true })),
        // No name at all, no identifier, a length beyond the end, another packet.
        (b"\x30\x03\x00\x00x", None),
        (b"\x32\x07\x00\x02a#\x00\x00x", None),
        (b"\x30\x05\x00\x09a#x", None),
        (b"\x40\x04\x00\x02a#", None),
        (b"\x30\x05\x00\x02a#", None),
    ] {
        let mut input = BytesMut::from(wire);
        input.extend_from_slice(b"\xD0\x00");
        let before = input.clone();
        let mut decoder = Decoder::new(Version::V3_1_1);
        if wire.len() == 6 {
            input.truncate(6);
        }
        let skipped = decoder.skip_misnamed(&mut input);
        assert_eq!(skipped, delivery, "{wire:02X?}");
        match skipped {
            Some(_) => assert_eq!(decoder.decode(&mut input), Ok(Some(Packet::PingResp))),
            None => assert!(before.starts_with(&input)),
        }
    }
}
