//! DISCONNECT and AUTH, sections 3.14 and 3.15.

mod common;

use common::{accept, body, cannot_encode, decode, decode_with, refuse, refuse_with, same};
use mqtt_codec::{
    Auth, Decoder, Disconnect, EncodeError, Fault, Field, Packet, PacketType, PropertiesBuf, PropertyId,
    ReasonCode, Version,
};

const V3: [Version; 2] = [Version::V3_1, Version::V3_1_1];

fn method() -> PropertiesBuf {
    PropertiesBuf::builder().authentication_method("m").build().unwrap()
}

/// [5u-12] [MQTT-3.14.1-1] [MQTT-3.14.2-1]
#[test]
fn forms_of_disconnect() {
    let normal = Packet::Disconnect(Disconnect::new(ReasonCode::NORMAL_DISCONNECTION));
    same(Version::V5, &normal, "E0 00");
    assert_eq!(accept(Version::V5, "E0 01 00"), normal);
    assert_eq!(accept(Version::V5, "E0 02 00 00"), normal);
    let shutting_down = Packet::Disconnect(Disconnect::new(ReasonCode::SERVER_SHUTTING_DOWN));
    same(Version::V5, &shutting_down, "E0 01 8B");
    assert_eq!(accept(Version::V5, "E0 02 8B 00"), shutting_down);
    let properties = PropertiesBuf::builder().session_expiry_interval(0).build().unwrap();
    let reason = ReasonCode::NORMAL_DISCONNECTION;
    let expiring = Packet::Disconnect(Disconnect { reason, properties });
    same(Version::V5, &expiring, "E0 07 00 05 11 00 00 00 00");
    refuse(Version::V5, "E0 03 00 00 00", Field::Packet, Fault::TrailingBytes);
}

/// [MQTT-3.14.1-1/3.1.1]
#[test]
fn before_v5_a_disconnect_says_goodbye_and_nothing_else() {
    let normal = Disconnect::new(ReasonCode::NORMAL_DISCONNECTION);
    let properties = PropertiesBuf::builder().reason_string("x").build().unwrap();
    for version in V3 {
        same(version, &Packet::Disconnect(normal.clone()), "E0 00");
        for wire in ["E0 01 00", "E0 02 00 00"] {
            refuse(version, wire, Field::Packet, Fault::TrailingBytes);
        }
        let packet = PacketType::Disconnect;
        let error = cannot_encode(version, &Packet::Disconnect(Disconnect::new(ReasonCode::SERVER_BUSY)));
        assert_eq!(error, EncodeError::NotInVersion { packet, field: Field::ReasonCode, version });
        let error = cannot_encode(
            version,
            &Packet::Disconnect(Disconnect { properties: properties.clone(), ..normal.clone() }),
        );
        let field = Field::Property(PropertyId::ReasonString);
        assert_eq!(error, EncodeError::NotInVersion { packet, field, version });
    }
}

/// Before 5.0 a server does not say goodbye at all.
/// [31-26] [MQTT-3.14.1-1/3.1.1]
#[test]
fn before_v5_a_server_sends_no_disconnect() {
    for version in V3 {
        let decoder = Decoder::new(version).from_server_only();
        refuse_with(decoder, "E0 00", Field::FixedHeader, Fault::UnexpectedPacket);
    }
    assert!(decode_with(Decoder::new(Version::V5).from_server_only(), "E0 00").is_ok());
}

/// [MQTT-3.14.2-2]
#[test]
fn a_server_does_not_set_the_session_expiry() {
    let wire = "E0 07 00 05 11 00 00 00 0A";
    let field = Field::Property(PropertyId::SessionExpiryInterval);
    let server = Decoder::new(Version::V5).from_server_only();
    let error = refuse_with(server, wire, field, Fault::PropertyNotFromSender);
    assert_eq!(error.reason_code(), ReasonCode::PROTOCOL_ERROR);
    accept(Version::V5, wire);
}

/// [5u-12] [5u-10] [MQTT-3.15.1-1] [MQTT-3.15.2-1]
#[test]
fn forms_of_auth() {
    let success = Packet::Auth(Auth { reason: ReasonCode::SUCCESS, properties: PropertiesBuf::new() });
    same(Version::V5, &success, "F0 00");
    let proceed = Packet::Auth(Auth { reason: ReasonCode::CONTINUE_AUTHENTICATION, properties: method() });
    same(Version::V5, &proceed, "F0 06 18 04 15 00 01 6D");
    let success = Packet::Auth(Auth { reason: ReasonCode::SUCCESS, properties: method() });
    same(Version::V5, &success, "F0 06 00 04 15 00 01 6D");
    // A reason alone is no form of AUTH.
    for code in [0, 0x18, 0x19] {
        refuse(Version::V5, &[0xF0, 1, code][..], Field::PropertyLength, Fault::Truncated);
    }
    refuse(Version::V5, "F0 07 18 04 15 00 01 6D 00", Field::Packet, Fault::TrailingBytes);
}

/// [5u-10]
#[test]
fn auth_needs_a_method() {
    let (field, fault) = (Field::Property(PropertyId::AuthenticationMethod), Fault::NoAuthenticationMethod);
    for wire in ["F0 02 18 00", "F0 02 19 00", "F0 02 00 00", "F0 06 18 04 16 00 01 00"] {
        let error = refuse(Version::V5, wire, field, fault);
        assert_eq!(error.reason_code(), ReasonCode::PROTOCOL_ERROR);
    }
    let data = PropertiesBuf::builder().authentication_data(b"x").build().unwrap();
    for (reason, properties) in [
        (ReasonCode::CONTINUE_AUTHENTICATION, PropertiesBuf::new()),
        (ReasonCode::RE_AUTHENTICATE, data.clone()),
        (ReasonCode::SUCCESS, data),
    ] {
        let error = cannot_encode(Version::V5, &Packet::Auth(Auth { reason, properties }));
        assert_eq!(error, EncodeError::FieldNotAllowed { packet: PacketType::Auth, field, fault });
    }
}

/// The short form says success, which is a server's to say.
/// [MQTT-3.15.2-1]
#[test]
fn a_code_has_its_side() {
    let server = Decoder::new(Version::V5).from_server_only();
    assert!(decode_with(server.clone(), "F0 00").is_ok());
    let wire = "F0 06 19 04 15 00 01 6D";
    refuse_with(server, wire, Field::ReasonCode, Fault::ReasonNotAllowed(0x19));
    assert!(decode(Version::V5, wire).is_ok());
    let mut client = Decoder::for_server();
    let connect = body("00 04 4D 51 54 54 05 02 00 3C 00 00 00").packet(0x10);
    client.decode(&mut connect[..].into()).unwrap();
    assert!(decode_with(client.clone(), wire).is_ok());
    refuse_with(client, "F0 00", Field::ReasonCode, Fault::ReasonNotAllowed(0));
}

/// [31-26]
#[test]
fn auth_needs_v5() {
    for version in V3 {
        let auth = Packet::Auth(Auth { reason: ReasonCode::CONTINUE_AUTHENTICATION, properties: method() });
        let error = cannot_encode(version, &auth);
        let (packet, field) = (PacketType::Auth, Field::Packet);
        assert_eq!(error, EncodeError::NotInVersion { packet, field, version });
        let error = decode(version, "F0 00").unwrap_err();
        assert_eq!((error.field(), error.fault()), (Field::FixedHeader, Fault::ReservedPacketType));
    }
}
