//! CONNACK, section 3.2, in its two forms.

mod common;

use common::{VERSIONS, accept, cannot_encode, refuse, same};
use mqtt_codec::{
    ConnAck, EncodeError, Fault, Field, Packet, PropertiesBuf, PropertyId, ReasonCode, Version,
};

fn packet(session_present: bool, reason: ReasonCode) -> Packet {
    Packet::ConnAck(Box::new(ConnAck { session_present, reason, properties: PropertiesBuf::new() }))
}

#[test]
fn forms_of_the_versions() {
    same(Version::V5, &packet(false, ReasonCode::SUCCESS), "20 03 00 00 00");
    same(Version::V5, &packet(true, ReasonCode::SUCCESS), "20 03 01 00 00");
    same(Version::V5, &packet(false, ReasonCode::NOT_AUTHORIZED), "20 03 00 87 00");
    same(Version::V3_1_1, &packet(true, ReasonCode::SUCCESS), "20 02 01 00");
    same(Version::V3_1_1, &packet(false, ReasonCode::NOT_AUTHORIZED), "20 02 00 05");
    same(Version::V3_1, &packet(false, ReasonCode::SUCCESS), "20 02 00 00");
}

/// [MQTT-3.2.2-1] [311u-4]
#[test]
fn reserved_flags_are_refused() {
    for flags in 2..=u8::MAX {
        for (version, wire) in
            [(Version::V5, &[0x20, 3, flags, 0, 0][..]), (Version::V3_1_1, &[0x20, 2, flags, 0][..])]
        {
            assert!(refuse(version, wire, Field::ConnAckFlags, Fault::ReservedBits).is_malformed());
        }
    }
}

/// In 3.1 that byte means nothing.
/// [31-3]
#[test]
fn v3_1_has_no_session_present() {
    for flags in 0..=u8::MAX {
        let accepted = accept(Version::V3_1, &[0x20, 2, flags, 0][..]);
        assert_eq!(accepted, packet(false, ReasonCode::SUCCESS));
    }
    let error = cannot_encode(Version::V3_1, &packet(true, ReasonCode::SUCCESS));
    assert!(matches!(error, EncodeError::NotInVersion { field: Field::ConnAckFlags, .. }), "{error}");
}

/// The reason counts, whatever stands beside it; but nobody can send this.
/// [MQTT-3.2.2-6] [MQTT-3.2.2-4/3.1.1]
#[test]
fn a_refusal_has_no_session() {
    for (version, wire) in [(Version::V5, "20 03 01 87 00"), (Version::V3_1_1, "20 02 01 05")] {
        assert_eq!(accept(version, wire), packet(false, ReasonCode::NOT_AUTHORIZED));
        let error = cannot_encode(version, &packet(true, ReasonCode::NOT_AUTHORIZED));
        assert!(matches!(error, EncodeError::FieldNotAllowed { .. }), "{error}");
    }
}

/// A server without 5.0 refuses in the two bytes of 3.1.1. That is read as what it means; every other CONNACK of two
/// bytes lacks its property length.
/// [MQTT-3.2.2-8] [MQTT-2.2.2-1]
#[test]
fn a_server_without_v5_says_so() {
    let refused = accept(Version::V5, "20 02 00 01");
    assert_eq!(refused, packet(false, ReasonCode::UNSUPPORTED_PROTOCOL_VERSION));
    assert_eq!(accept(Version::V5, "20 02 01 01"), refused);
    refuse(Version::V5, "20 03 00 01 00", Field::ReasonCode, Fault::ReasonNotAllowed(1));
    for code in [2, 3, 4, 5] {
        let wire = &[0x20, 2, 0, code][..];
        refuse(Version::V5, wire, Field::ReasonCode, Fault::ReasonNotAllowed(code));
    }
    for wire in ["20 02 00 00", "20 02 00 84", "20 02 01 00"] {
        refuse(Version::V5, wire, Field::PropertyLength, Fault::Truncated);
    }
}

/// [311u-3] [MQTT-2.2.2-1] [5u-13]
#[test]
fn lengths_are_fixed() {
    for version in [Version::V3_1, Version::V3_1_1] {
        refuse(version, "20 03 00 00 00", Field::Packet, Fault::TrailingBytes);
    }
    for version in VERSIONS {
        refuse(version, "20 00", Field::ConnAckFlags, Fault::Truncated);
        refuse(version, "20 01 00", Field::ReasonCode, Fault::Truncated);
    }
    refuse(Version::V5, "20 04 00 00 00 00", Field::Packet, Fault::TrailingBytes);
}

#[test]
fn properties_need_v5() {
    let properties = PropertiesBuf::builder().server_keep_alive(1).build().unwrap();
    let connack = ConnAck { session_present: false, reason: ReasonCode::SUCCESS, properties };
    let error = cannot_encode(Version::V3_1_1, &Packet::ConnAck(Box::new(connack)));
    let property = Field::Property(PropertyId::ServerKeepAlive);
    assert!(matches!(error, EncodeError::NotInVersion { field, .. } if field == property), "{error}");
}
