//! Reason codes by packet and by direction: all 256 values in all packets that have one, against wire-facts.toml.

mod common;

use common::properties::packet_with;
use common::{
    FACTS, VERSIONS, accept, body, cannot_encode, decode_with, encode, facts, id, number, packet_type,
};
use mqtt_codec::{
    Ack, Auth, ConnAck, Decoder, Disconnect, EncodeError, Fault, Field, Packet, PacketType, PropertiesBuf,
    QoS, ReasonCode, Sender, SubAck, UnsubAck, Version,
};

/// Packets with a reason code, as wire-facts.toml lists them.
const PACKETS: [&str; 9] =
    ["CONNACK", "PUBACK", "PUBREC", "PUBREL", "PUBCOMP", "SUBACK", "UNSUBACK", "DISCONNECT", "AUTH"];

/// A packet with this code on the wire.
fn wire(packet: &str, code: u8) -> Vec<u8> {
    let code = [code];
    match packet {
        "CONNACK" => body("00").bytes(&code).hex("00").packet(0x20),
        "PUBREL" => body("00 01").bytes(&code).packet(0x62),
        "SUBACK" => body("00 01 00").bytes(&code).packet(0x90),
        "UNSUBACK" => body("00 01 00").bytes(&code).packet(0xB0),
        "DISCONNECT" => body("").bytes(&code).packet(0xE0),
        "AUTH" => body("").bytes(&code).hex("04 15 00 01 6D").packet(0xF0),
        _ => body("00 01").bytes(&code).packet((packet_type(packet) as u8) << 4),
    }
}

fn packet(name: &str, reason: ReasonCode) -> Packet {
    let none = PropertiesBuf::new();
    match name {
        "CONNACK" => Packet::ConnAck(Box::new(ConnAck { session_present: false, reason, properties: none })),
        "SUBACK" => Packet::SubAck(SubAck::new(id(1), &none, &[reason]).unwrap()),
        "UNSUBACK" => Packet::UnsubAck(UnsubAck::new(id(1), &none, &[reason])),
        "DISCONNECT" => Packet::Disconnect(Disconnect::new(reason)),
        "AUTH" => {
            let properties = PropertiesBuf::builder().authentication_method("m").build().unwrap();
            Packet::Auth(Auth { reason, properties })
        }
        _ => common::properties::ack(packet_type(name), Ack::with_reason(id(1), reason)),
    }
}

fn reason_of(packet: &Packet) -> ReasonCode {
    match packet {
        Packet::ConnAck(connack) => connack.reason,
        Packet::PubAck(ack) | Packet::PubRec(ack) | Packet::PubRel(ack) | Packet::PubComp(ack) => ack.reason,
        Packet::SubAck(suback) => suback.codes().next().unwrap(),
        Packet::UnsubAck(unsuback) => unsuback.codes().next().unwrap(),
        Packet::Disconnect(disconnect) => disconnect.reason,
        Packet::Auth(auth) => auth.reason,
        other => panic!("{other:?}"),
    }
}

/// Who may send this code in this packet, "s", "c" or "cs". Section 3.3.4 has a client send 0x9B, against table 3-10:
/// wire-facts.toml notes it.
fn senders(packet: &str, code: u8) -> &'static str {
    if (packet, code) == ("DISCONNECT", 0x9B) {
        return "cs";
    }
    let of_code = facts("reason").iter().filter(|reason| number(reason["value"].as_str().unwrap()) == code);
    let mut senders = of_code.filter_map(|reason| reason["packets"].get(packet)?.as_str());
    senders.next().unwrap_or_default()
}

/// [MQTT-3.2.2-8] [MQTT-3.4.2-1] [MQTT-3.5.2-1] [MQTT-3.6.2-1] [MQTT-3.7.2-1] [MQTT-3.9.3-2] [MQTT-3.11.3-2]
/// [MQTT-3.14.2-1] [MQTT-3.15.2-1]
#[test]
fn a_code_is_accepted_where_the_table_says() {
    let any = Decoder::new(Version::V5);
    let mut of_client = Decoder::for_server();
    let connect = encode(Version::V5, &packet_with("CONNECT", PropertiesBuf::new()).unwrap()).unwrap();
    of_client.decode(&mut connect[..].into()).unwrap();
    let decoders = [(any.clone(), "cs"), (any.clone().from_server_only(), "s"), (of_client, "c")];
    for name in PACKETS {
        let kind = packet_type(name);
        for code in 0..=u8::MAX {
            let allowed = senders(name, code);
            for (decoder, from) in &decoders {
                let result = decode_with(decoder.clone(), wire(name, code));
                let never_sent = match *from {
                    "c" => !kind.is_sent_by(Sender::Client, Version::V5),
                    _ => false,
                };
                if never_sent {
                    assert_eq!(result.unwrap_err().fault(), Fault::UnexpectedPacket);
                } else if allowed.contains(|sender| from.contains(sender)) {
                    assert_eq!(
                        reason_of(&result.unwrap()),
                        ReasonCode::new(code),
                        "{name} {code:02X} {from}"
                    );
                } else {
                    let error = result.unwrap_err();
                    let expected = (Field::ReasonCode, Fault::ReasonNotAllowed(code), Some(kind));
                    assert_eq!((error.field(), error.fault(), error.packet_type()), expected, "{from}");
                    assert_eq!(error.reason_code(), ReasonCode::PROTOCOL_ERROR);
                }
            }
        }
    }
}

/// The encoder serves both sides: it writes what either may send.
/// [MQTT-3.4.2-1] [MQTT-3.5.2-1] [MQTT-3.6.2-1] [MQTT-3.7.2-1] [MQTT-3.14.2-1] [MQTT-3.15.2-1]
#[test]
fn a_code_is_written_where_the_table_says() {
    for name in PACKETS {
        for reason in (0..=u8::MAX).map(ReasonCode::new) {
            let packet = packet(name, reason);
            if senders(name, reason.value()).is_empty() {
                let expected = EncodeError::ReasonNotAllowed { packet: packet_type(name), reason };
                assert_eq!(cannot_encode(Version::V5, &packet), expected);
            } else {
                let wire = encode(Version::V5, &packet).unwrap();
                assert_eq!(reason_of(&accept(Version::V5, wire)), reason, "{name}");
            }
            let allowed = senders(name, reason.value());
            let kind = packet_type(name);
            assert_eq!(reason.is_allowed_in(kind, Some(Sender::Client)), allowed.contains('c'));
            assert_eq!(reason.is_allowed_in(kind, Some(Sender::Server)), allowed.contains('s'));
            assert_eq!(reason.is_allowed_in(kind, None), !allowed.is_empty());
        }
    }
}

#[test]
fn failures_begin_at_0x80() {
    for reason in (0..=u8::MAX).map(ReasonCode::new) {
        assert_eq!(reason.is_error(), reason.value() >= 0x80);
        assert_eq!(reason.granted_qos(), QoS::from_u8(reason.value()));
        assert!(!(reason.is_error() && reason.granted_qos().is_some()));
    }
}

/// Return codes of 3.x and what they stand for; 6 to 255 are reserved and no success.
/// [31-4]
#[test]
fn connect_return_codes_of_v3() {
    let names = FACTS["v3"]["connack"].as_table().unwrap();
    let expected = [
        ("accepted", ReasonCode::SUCCESS),
        ("unacceptable protocol version", ReasonCode::UNSUPPORTED_PROTOCOL_VERSION),
        ("identifier rejected", ReasonCode::CLIENT_IDENTIFIER_NOT_VALID),
        ("server unavailable", ReasonCode::SERVER_UNAVAILABLE),
        ("bad user name or password", ReasonCode::BAD_USER_NAME_OR_PASSWORD),
        ("not authorized", ReasonCode::NOT_AUTHORIZED),
    ];
    for (code, name) in names {
        let code = number(code);
        let (expected_name, reason) = expected[usize::from(code)];
        assert_eq!(name.as_str(), Some(expected_name));
        for version in [Version::V3_1, Version::V3_1_1] {
            let wire = [0x20, 2, 0, code];
            common::same(version, &packet("CONNACK", reason), &wire[..]);
        }
        assert_eq!(ReasonCode::from_v3_connect(code), Some(reason));
    }
    assert_eq!(names.len(), expected.len());
    for code in 6..=u8::MAX {
        for version in [Version::V3_1, Version::V3_1_1] {
            let wire = &[0x20, 2, 0, code][..];
            common::refuse(version, wire, Field::ReasonCode, Fault::ReasonNotAllowed(code));
        }
        assert_eq!(ReasonCode::from_v3_connect(code), None);
    }
    for reason in (0..=u8::MAX).map(ReasonCode::new) {
        let known = expected.iter().any(|(_, known)| *known == reason);
        assert_eq!(reason.to_v3_connect().is_some(), known);
        if !known {
            let error = cannot_encode(Version::V3_1_1, &packet("CONNACK", reason));
            assert!(matches!(error, EncodeError::NotInVersion { field: Field::ReasonCode, .. }));
        }
    }
}

/// [MQTT-3.9.3-2/3.1.1] [31-5]
#[test]
fn suback_return_codes_of_v3() {
    for version in [Version::V3_1, Version::V3_1_1] {
        for code in 0..=u8::MAX {
            let wire = &[0x90, 3, 0, 1, code][..];
            if matches!(code, 0..=2 | 0x80) {
                let packet = accept(version, wire);
                assert_eq!(reason_of(&packet), ReasonCode::new(code));
                assert_eq!(reason_of(&packet).granted_qos().is_none(), code == 0x80);
            } else {
                common::refuse(version, wire, Field::ReasonCode, Fault::ReasonNotAllowed(code));
            }
        }
    }
    let refusals = [ReasonCode::UNSPECIFIED_ERROR, ReasonCode::NOT_AUTHORIZED, ReasonCode::QUOTA_EXCEEDED];
    for reason in refusals {
        let packet = packet("SUBACK", reason);
        assert_eq!(encode(Version::V3_1_1, &packet), Ok(vec![0x90, 3, 0, 1, 0x80]));
        let error = cannot_encode(Version::V3_1, &packet);
        assert!(matches!(error, EncodeError::NotInVersion { field: Field::ReasonCode, .. }), "{error}");
    }
}

/// A reason that is no success needs 5.0, in every packet but CONNACK and SUBACK.
/// [31-26]
#[test]
fn reasons_are_refused_before_v5() {
    for version in &VERSIONS[..2] {
        for name in ["PUBACK", "PUBREC", "PUBREL", "PUBCOMP", "UNSUBACK", "DISCONNECT"] {
            let kind = packet_type(name);
            let legal = |reason: &ReasonCode| reason.is_allowed_in(kind, None) && reason.value() != 0;
            for reason in (0..=u8::MAX).map(ReasonCode::new).filter(legal) {
                let error = cannot_encode(*version, &packet(name, reason));
                let field = Field::ReasonCode;
                assert_eq!(error, EncodeError::NotInVersion { packet: kind, field, version: *version });
            }
        }
        let error = cannot_encode(*version, &packet("AUTH", ReasonCode::CONTINUE_AUTHENTICATION));
        assert!(matches!(error, EncodeError::NotInVersion { packet: PacketType::Auth, .. }));
    }
}
