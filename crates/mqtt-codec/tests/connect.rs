//! CONNECT, section 3.1: protocol name and level, the flags and the fields they announce, the order of the payload.

mod common;

use bytes::Bytes;
use common::properties::{connect, will};
use common::{
    Body, VERSIONS, accept, cannot_encode, connect_start, decode, encode, hex, refuse, same, show, text,
    topic,
};
use mqtt_codec::{
    Connect, Decoder, EncodeError, Fault, Field, Packet, PropertiesBuf, PropertyId, QoS, ReasonCode, Version,
    Will,
};

fn packet(connect: Connect) -> Packet {
    Packet::Connect(Box::new(connect))
}

/// Everything a CONNECT can hold; properties in 5.0 only.
fn full(version: Version) -> Connect {
    let properties = |builder: mqtt_codec::PropertiesBuilder| {
        if version.is_v5() { builder.build().unwrap() } else { PropertiesBuf::new() }
    };
    Connect {
        client_id: text("id"),
        clean_start: true,
        keep_alive: 60,
        properties: properties(PropertiesBuf::builder().session_expiry_interval(10)),
        will: Some(Will {
            topic: topic("w"),
            payload: Bytes::from_static(b"x"),
            qos: QoS::ExactlyOnce,
            retain: true,
            properties: properties(PropertiesBuf::builder().will_delay_interval(5)),
        }),
        username: Some(text("u")),
        password: Some(Bytes::from_static(b"p")),
    }
}

/// The first bytes, the order of the fields, and the three versions beside each other.
/// [MQTT-3.1.2-1] [MQTT-3.1.3-1] [MQTT-3.1.3-3] [MQTT-3.1.2-9] [MQTT-3.1.3-12]
/// [MQTT-3.1.2-1/3.1.1] [MQTT-3.1.3-1/3.1.1] [MQTT-3.1.3-3/3.1.1] [MQTT-3.1.2-9/3.1.1] [31-1] [31-27]
#[test]
fn fields_come_in_order() {
    same(
        Version::V5,
        &packet(full(Version::V5)),
        "10 26 00 04 4D 51 54 54 05 F6 00 3C 05 11 00 00 00 0A 00 02 69 64 \
         05 18 00 00 00 05 00 01 77 00 01 78 00 01 75 00 01 70",
    );
    same(
        Version::V3_1_1,
        &packet(full(Version::V3_1_1)),
        "10 1A 00 04 4D 51 54 54 04 F6 00 3C 00 02 69 64 00 01 77 00 01 78 00 01 75 00 01 70",
    );
    same(
        Version::V3_1,
        &packet(full(Version::V3_1)),
        "10 1C 00 06 4D 51 49 73 64 70 03 F6 00 3C 00 02 69 64 00 01 77 00 01 78 00 01 75 00 01 70",
    );
    let bare = Connect { client_id: text("a"), keep_alive: 60, ..connect() };
    same(Version::V3_1, &packet(bare), "10 0F 00 06 4D 51 49 73 64 70 03 02 00 3C 00 01 61");
}

/// Every combination of fields, in every version: the flags say what follows and nothing else.
/// [MQTT-3.1.2-3] [MQTT-3.1.2-11] [MQTT-3.1.2-12] [MQTT-3.1.2-13] [MQTT-3.1.2-16] [MQTT-3.1.2-17] [MQTT-3.1.2-18]
/// [MQTT-3.1.2-19]
/// [MQTT-3.1.2-3/3.1.1] [MQTT-3.1.2-11/3.1.1] [MQTT-3.1.2-13/3.1.1] [MQTT-3.1.2-14/3.1.1] [MQTT-3.1.2-15/3.1.1]
/// [MQTT-3.1.2-18/3.1.1] [MQTT-3.1.2-19/3.1.1] [MQTT-3.1.2-20/3.1.1] [MQTT-3.1.2-21/3.1.1] [MQTT-3.1.2-22/3.1.1]
/// [31-7] [31-21] [31-27]
#[test]
fn flags_say_what_follows() {
    let wills = [QoS::AtMostOnce, QoS::AtLeastOnce, QoS::ExactlyOnce]
        .into_iter()
        .flat_map(|qos| [false, true].map(|retain| Some(Will { qos, retain, ..will() })));
    let wills: Vec<_> = wills.chain([None]).collect();
    for version in VERSIONS {
        for will in &wills {
            for bits in 0..8_u8 {
                let (user, pass) = (bits & 2 != 0, bits & 4 != 0);
                let connect = Connect {
                    clean_start: bits & 1 != 0,
                    will: will.clone(),
                    username: user.then(|| text("")),
                    password: pass.then(Bytes::new),
                    ..connect()
                };
                let connect = packet(connect);
                if pass && !user && !version.is_v5() {
                    let error = cannot_encode(version, &connect);
                    let EncodeError::FieldNotAllowed { field, fault, .. } = error else { panic!("{error}") };
                    assert_eq!((field, fault), (Field::Password, Fault::PasswordWithoutUserName));
                    continue;
                }
                let wire = encode(version, &connect).unwrap();
                let flags_at = 2 + 2 + version.protocol_name().len() + 1;
                let will_bits = match will {
                    None => 0,
                    Some(will) => 4 | will.qos.as_u8() << 3 | u8::from(will.retain) << 5,
                };
                let expected = bits << 1 & 2 | will_bits | u8::from(pass) << 6 | u8::from(user) << 7;
                assert_eq!(wire[flags_at], expected);
                // An empty user name, password and will payload are two bytes each; the will topic here is three.
                let properties = usize::from(version.is_v5());
                let fields = 2 + usize::from(user) * 2 + usize::from(pass) * 2;
                let will_len = if will.is_some() { properties + 3 + 2 } else { 0 };
                assert_eq!(wire.len(), flags_at + 3 + properties + fields + will_len, "{}", show(&wire));
                assert_eq!(accept(version, wire), connect);
            }
        }
    }
}

/// All 256 flags bytes, each followed by the fields it announces: accepted or refused by the rules of the version.
/// [MQTT-3.1.2-3] [MQTT-3.1.2-11] [MQTT-3.1.2-12] [MQTT-3.1.2-13] [MQTT-3.1.2-19]
/// [MQTT-3.1.2-3/3.1.1] [MQTT-3.1.2-11/3.1.1] [MQTT-3.1.2-13/3.1.1] [MQTT-3.1.2-14/3.1.1] [MQTT-3.1.2-15/3.1.1]
/// [MQTT-3.1.2-22/3.1.1]
#[test]
fn wrong_flags_are_refused() {
    for version in VERSIONS {
        for flags in 0..=u8::MAX {
            let result = decode(version, with_flags(version, flags, flags));
            let (will, qos, retain) = (flags & 4 != 0, flags >> 3 & 3, flags & 0x20 != 0);
            let expected = if flags & 1 != 0 && version != Version::V3_1 || !will && (qos > 0 || retain) {
                Some(Fault::ReservedBits)
            } else if flags & 0xC0 == 0x40 && !version.is_v5() {
                Some(Fault::PasswordWithoutUserName)
            } else if will && qos == 3 {
                Some(Fault::ReservedQoS)
            } else {
                None
            };
            assert_eq!(result.as_ref().err().map(|error| error.fault()), expected, "{version} {flags:02X}");
            if let Err(error) = result {
                assert_eq!(error.field(), Field::ConnectFlags);
                assert_eq!(error.is_malformed(), error.fault() != Fault::PasswordWithoutUserName);
            }
        }
    }
}

/// A CONNECT with these flags and the fields that `announced` asks for, each "a".
fn with_flags(version: Version, flags: u8, announced: u8) -> Vec<u8> {
    let properties = |body: Body| if version.is_v5() { body.hex("00") } else { body };
    let mut body = properties(connect_start(version, flags).hex("00 3C")).string("a");
    if announced & 4 != 0 {
        body = properties(body).string("a").string("a");
    }
    for _ in 0..(announced >> 6).count_ones() {
        body = body.string("a");
    }
    body.packet(0x10)
}

/// A flag without its field, and a field without its flag. In 3.1 the Remaining Length wins over the flags for user
/// name and password.
/// [MQTT-3.1.2-9] [MQTT-3.1.2-16] [MQTT-3.1.2-17] [MQTT-3.1.2-18] [MQTT-3.1.2-19]
/// [MQTT-3.1.2-9/3.1.1] [MQTT-3.1.2-18/3.1.1] [MQTT-3.1.2-19/3.1.1] [MQTT-3.1.2-20/3.1.1] [MQTT-3.1.2-21/3.1.1]
/// [31-27] [5u-13]
#[test]
fn flags_and_fields_agree() {
    for version in [Version::V3_1_1, Version::V5] {
        let of_will = if version.is_v5() { Field::PropertyLength } else { Field::WillTopic };
        for (flags, announced, field) in [
            (4, 0, of_will),
            (0x80, 0, Field::UserName),
            (0xC0, 0, Field::UserName),
            (0xC0, 0x80, Field::Password),
        ] {
            refuse(version, with_flags(version, flags, announced), field, Fault::Truncated);
        }
        for announced in [4, 0x80, 0xC0, 0xC4] {
            refuse(version, with_flags(version, 0, announced), Field::Packet, Fault::TrailingBytes);
        }
    }
    let fields = |flags, announced| {
        let Packet::Connect(connect) = accept(Version::V3_1, with_flags(Version::V3_1, flags, announced))
        else {
            panic!()
        };
        (connect.username.is_some(), connect.password.is_some())
    };
    assert_eq!(fields(0x80, 0), (false, false));
    assert_eq!(fields(0xC0, 0), (false, false));
    assert_eq!(fields(0xC0, 0x80), (true, false));
    assert_eq!(fields(0xC0, 0xC0), (true, true));
    refuse(Version::V3_1, with_flags(Version::V3_1, 4, 0), Field::WillTopic, Fault::Truncated);
}

/// 5.0 has a password without a user name, of any bytes; so have will payloads, and passwords since 3.1.1.
/// [MQTT-3.1.2-19] [MQTT-3.1.2-21/3.1.1] [311u-8]
#[test]
fn passwords_and_will_payloads_are_bytes() {
    let bytes = Bytes::from_static(&[0, 0xFF]);
    let token = Connect { password: Some(bytes.clone()), ..connect() };
    same(Version::V5, &packet(token), "10 11 00 04 4D 51 54 54 05 42 00 00 00 00 00 00 02 00 FF");
    let binary = |bytes: Bytes| {
        let will = Some(Will { payload: bytes.clone(), ..will() });
        packet(Connect { will, username: Some(text("u")), password: Some(bytes), ..connect() })
    };
    for version in [Version::V3_1_1, Version::V5] {
        let wire = encode(version, &binary(bytes.clone())).unwrap();
        assert_eq!(accept(version, wire), binary(bytes.clone()));
        let longest = binary(Bytes::from(vec![7; 65_535]));
        let wire = encode(version, &longest).unwrap();
        assert_eq!(accept(version, wire), longest);
    }
    let longer = Bytes::from(vec![7; 65_536]);
    let error = cannot_encode(Version::V5, &packet(Connect { password: Some(longer.clone()), ..connect() }));
    assert_eq!(error.to_string(), "CONNECT, password: 65536 bytes are more than the 65,535 that fit");
    let will = Some(Will { payload: longer, ..will() });
    let error = cannot_encode(Version::V3_1_1, &packet(Connect { will, ..connect() }));
    assert_eq!(error.to_string(), "CONNECT, will payload: 65536 bytes are more than the 65,535 that fit");
}

/// [31-6] [31-8]
#[test]
fn v3_1_has_strings_there() {
    let named = Connect { username: Some(text("u")), ..connect() };
    let error = cannot_encode(
        Version::V3_1,
        &packet(Connect { password: Some(Bytes::from_static(&[0xFF])), ..named.clone() }),
    );
    assert_eq!(error.to_string(), "CONNECT, password: the string is not well-formed UTF-8");
    let password = Some(Bytes::from("longer than twelve characters, é"));
    let wire = encode(Version::V3_1, &packet(Connect { password, ..named })).unwrap();
    accept(Version::V3_1, &wire[..]);
    let ill_formed = connect_start(Version::V3_1, 0xC2).hex("00 00").string("a").string("u").string([0xFF]);
    refuse(Version::V3_1, ill_formed.packet(0x10), Field::Password, Fault::IllFormedText);

    let with_will = |payload: &'static str| {
        packet(Connect { will: Some(Will { payload: Bytes::from(payload), ..will() }), ..connect() })
    };
    for payload in ["", "ASCII \u{7F}"] {
        assert!(encode(Version::V3_1, &with_will(payload)).is_ok());
    }
    let EncodeError::FieldNotAllowed { field, .. } = cannot_encode(Version::V3_1, &with_will("é")) else {
        panic!()
    };
    assert_eq!(field, Field::WillPayload);
}

/// [MQTT-3.1.2-1] [MQTT-3.1.2-1/3.1.1] [31-1]
#[test]
fn other_protocols_are_refused() {
    for protocol in [
        "00 04 4D 51 54 54 03",
        "00 04 4D 51 54 54 06",
        "00 04 4D 51 54 74 04",
        "00 04 6D 71 74 74 05",
        "00 06 4D 51 49 73 64 70 04",
        "00 06 4D 51 49 73 64 70 05",
        "00 00 04",
        "00 04 4D 51 54 54 84",
    ] {
        let wire = Body(hex(protocol)).hex("02 00 3C 00 01 61").packet(0x10);
        let level = *hex(protocol).last().unwrap();
        for decoder in [Decoder::for_server(), Decoder::new(Version::V5)] {
            let error =
                common::refuse_with(decoder, &wire[..], Field::Protocol, Fault::UnsupportedVersion(level));
            assert_eq!(error.reason_code(), ReasonCode::UNSUPPORTED_PROTOCOL_VERSION);
        }
    }
    // A decoder that was told the version takes no other.
    let wire = encode(Version::V3_1_1, &packet(connect())).unwrap();
    refuse(Version::V5, wire, Field::Protocol, Fault::UnsupportedVersion(4));
}

/// With and without properties, with and without a payload.
/// [MQTT-3.1.2-9] [MQTT-3.1.3-11] [MQTT-3.1.2-9/3.1.1]
#[test]
fn wills_come_whole() {
    let delayed = PropertiesBuf::builder().will_delay_interval(1).user_property("a", "b").build().unwrap();
    for properties in [PropertiesBuf::new(), delayed] {
        for payload in ["", "x"] {
            let will = Some(Will { properties: properties.clone(), payload: Bytes::from(payload), ..will() });
            let connect = packet(Connect { will, ..connect() });
            let wire = encode(Version::V5, &connect).unwrap();
            assert_eq!(accept(Version::V5, wire), connect);
        }
    }
    let empty = packet(Connect { will: Some(will()), ..connect() });
    same(Version::V3_1_1, &empty, "10 11 00 04 4D 51 54 54 04 06 00 00 00 00 00 01 77 00 00");
    same(Version::V5, &empty, "10 13 00 04 4D 51 54 54 05 06 00 00 00 00 00 00 00 01 77 00 00");
}

/// [31-26]
#[test]
fn properties_need_v5() {
    let properties = PropertiesBuf::builder().receive_maximum(1).build().unwrap();
    let of_will = PropertiesBuf::builder().will_delay_interval(1).build().unwrap();
    let will = Some(Will { properties: of_will, ..will() });
    for version in [Version::V3_1, Version::V3_1_1] {
        for (connect, property) in [
            (Connect { properties: properties.clone(), ..connect() }, PropertyId::ReceiveMaximum),
            (Connect { will: will.clone(), ..connect() }, PropertyId::WillDelayInterval),
        ] {
            let EncodeError::NotInVersion { field, version: of, .. } =
                cannot_encode(version, &packet(connect))
            else {
                panic!()
            };
            assert_eq!((field, of), (Field::Property(property), version));
        }
    }
}

/// A CONNECT in a log or in a failing test does not tell the password.
#[test]
fn debug_hides_the_password() {
    let shown = format!(
        "{:?}",
        Connect {
            client_id: text("me"),
            clean_start: true,
            keep_alive: 60,
            properties: PropertiesBuf::new(),
            will: None,
            username: Some(text("anna")),
            password: Some(Bytes::from_static(b"secret")),
        }
    );
    assert!(shown.contains("anna") && shown.contains("hidden"), "{shown}");
    assert!(!shown.contains("secret"), "{shown}");
}
