//! PUBACK, PUBREC, PUBREL and PUBCOMP, sections 3.4 to 3.7, in their short and long forms.

mod common;

use common::properties::ack;
use common::{VERSIONS, accept, body, cannot_encode, id, refuse, same, show};
use mqtt_codec::{
    Ack, EncodeError, Fault, Field, Packet, PacketType, PropertiesBuf, PropertyId, ReasonCode, Version,
};

/// First byte, type, and a failure that the type has.
const ACKS: [(u8, PacketType, ReasonCode); 4] = [
    (0x40, PacketType::PubAck, ReasonCode::NOT_AUTHORIZED),
    (0x50, PacketType::PubRec, ReasonCode::QUOTA_EXCEEDED),
    (0x62, PacketType::PubRel, ReasonCode::PACKET_IDENTIFIER_NOT_FOUND),
    (0x70, PacketType::PubComp, ReasonCode::PACKET_IDENTIFIER_NOT_FOUND),
];

/// The shortest form that says everything is the one written; the longer ones are read.
/// [5u-12] [MQTT-3.4.2-1] [MQTT-3.5.2-1] [MQTT-3.6.2-1] [MQTT-3.7.2-1]
#[test]
fn forms_of_v5() {
    for (first, kind, reason) in ACKS {
        let success = ack(kind, Ack::new(id(1)));
        same(Version::V5, &success, &[first, 2, 0, 1][..]);
        assert_eq!(accept(Version::V5, &[first, 3, 0, 1, 0][..]), success);
        assert_eq!(accept(Version::V5, &[first, 4, 0, 1, 0, 0][..]), success);

        let failure = ack(kind, Ack::with_reason(id(1), reason));
        same(Version::V5, &failure, &[first, 3, 0, 1, reason.value()][..]);
        assert_eq!(accept(Version::V5, &[first, 4, 0, 1, reason.value(), 0][..]), failure);

        let properties = PropertiesBuf::builder().reason_string("x").build().unwrap();
        for reason in [ReasonCode::SUCCESS, reason] {
            let explained = ack(kind, Ack { id: id(1), reason, properties: properties.clone() });
            let wire = body("00 01").bytes(&[reason.value()]).hex("04 1F 00 01 78").packet(first);
            same(Version::V5, &explained, wire);
        }
    }
}

/// [311u-3] [31-10]
#[test]
fn the_form_of_v3() {
    for version in [Version::V3_1, Version::V3_1_1] {
        for (first, kind, reason) in ACKS {
            same(version, &ack(kind, Ack::new(id(65_535))), &[first, 2, 0xFF, 0xFF][..]);
            for wire in [&[first, 3, 0, 1, 0][..], &[first, 4, 0, 1, 0, 0]] {
                assert!(refuse(version, wire, Field::Packet, Fault::TrailingBytes).is_malformed());
            }
            let error = cannot_encode(version, &ack(kind, Ack::with_reason(id(1), reason)));
            assert_eq!(error, EncodeError::NotInVersion { packet: kind, field: Field::ReasonCode, version });
            let properties = PropertiesBuf::builder().user_property("a", "b").build().unwrap();
            let error = cannot_encode(version, &ack(kind, Ack { properties, ..Ack::new(id(1)) }));
            let field = Field::Property(PropertyId::UserProperty);
            assert_eq!(error, EncodeError::NotInVersion { packet: kind, field, version });
        }
    }
}

/// [5u-13] [311u-3]
#[test]
fn an_acknowledgement_needs_its_identifier() {
    for version in VERSIONS {
        for (first, kind, _) in ACKS {
            for wire in [&[first, 0][..], &[first, 1, 0]] {
                let error = refuse(version, wire, Field::PacketIdentifier, Fault::Truncated);
                assert_eq!((error.packet_type(), error.is_malformed()), (Some(kind), true));
            }
        }
    }
    for (first, _, _) in ACKS {
        let longer = [first, 5, 0, 1, 0, 0, 0];
        assert!(refuse(Version::V5, &longer[..], Field::Packet, Fault::TrailingBytes).is_malformed());
    }
}

/// PUBREL has its flags even when it is sent again.
/// [MQTT-3.6.1-1] [MQTT-3.6.1-1/3.1.1]
#[test]
fn pubrel_begins_with_62() {
    for version in VERSIONS {
        same(version, &Packet::PubRel(Ack::new(id(1))), "62 02 00 01");
    }
    for version in [Version::V3_1_1, Version::V5] {
        for first in ["60", "61", "63", "6A", "6F"] {
            refuse(version, &*format!("{first} 02 00 01"), Field::FixedHeader, Fault::ReservedBits);
        }
    }
}

/// All identifiers, through the way that short acknowledgements take.
#[test]
fn every_identifier_comes_back() {
    for number in 1..=u16::MAX {
        let [high, low] = number.to_be_bytes();
        for (first, kind, _) in ACKS {
            let wire = [first, 2, high, low];
            let expected = ack(kind, Ack::new(id(number)));
            assert_eq!(accept(Version::V5, &wire[..]), expected, "{}", show(&wire));
        }
    }
}
