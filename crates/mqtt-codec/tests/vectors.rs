//! The tables of facts and test vectors in xtask/conformance/wire-facts.toml, against the codec's own tables.

mod common;

use common::{
    FACTS, Wire, accept, body, decode, encode, facts, hex, number, packet_type, same, show, strings,
    variable_byte_integer,
};
use mqtt_codec::{
    MAX_PACKET_SIZE, Packet, PacketType, PropertyId, ReasonCode, Sender, Text, TextError, TopicError,
    TopicFilter, TopicName, Version,
};

fn version(name: &str) -> Version {
    match name {
        "v31" | "3.1" => Version::V3_1,
        "v311" | "3.1.1" => Version::V3_1_1,
        "v5" | "5.0" => Version::V5,
        other => panic!("no version {other}"),
    }
}

#[test]
fn golden_packets_decode_and_encode_byte_for_byte() {
    let mut count = 0;
    for (name, packets) in FACTS["golden"].as_table().unwrap() {
        for (name_of_packet, wire) in packets.as_table().unwrap() {
            let (version, wire) = (version(name), hex(wire.as_str().unwrap()));
            let packet = accept(version, &wire[..]);
            assert_eq!(encode(version, &packet), Ok(wire), "{name_of_packet} of {version}");
            count += 1;
        }
    }
    assert_eq!(count, 41);
}

#[test]
fn packet_types_are_those_of_the_standard() {
    let packets = facts("packet");
    assert_eq!(packets.len(), 15);
    for packet in packets {
        let name = packet["name"].as_str().unwrap();
        let kind = packet_type(name);
        assert_eq!(kind as i64, packet["type"].as_integer().unwrap());
        assert_eq!(PacketType::from_u8(kind as u8), Some(kind));
        for version in strings(&packet["versions"]).into_iter().map(version) {
            let v3_server = kind != PacketType::Disconnect || version.is_v5();
            let (client, server) = match packet["direction"].as_str().unwrap() {
                "c2s" => (true, false),
                "s2c" => (false, true),
                _ => (true, v3_server),
            };
            assert_eq!(kind.is_sent_by(Sender::Client, version), client, "{name} {version}");
            assert_eq!(kind.is_sent_by(Sender::Server, version), server, "{name} {version}");
        }
    }
    assert_eq!([PacketType::from_u8(0), PacketType::from_u8(16)], [None, None]);
}

#[test]
fn names_are_those_of_the_standard() {
    for property in facts("property") {
        let id = PropertyId::from_u8(property["id"].as_integer().unwrap() as u8).unwrap();
        assert_eq!(id.to_string().replace(' ', "_"), property["name"].as_str().unwrap());
    }
    assert_eq!(facts("property").len(), PropertyId::ALL.len());
    for reason in facts("reason") {
        let code = ReasonCode::new(number(reason["value"].as_str().unwrap()));
        let name = reason["name"].as_str().unwrap();
        let first = if code == ReasonCode::SUCCESS { "success" } else { name };
        assert_eq!(code.name().to_lowercase().replace([' ', '-'], "_"), first);
    }
    assert_eq!(ReasonCode::new(0xFF).name(), "unknown reason code");
    assert_eq!(ReasonCode::NOT_AUTHORIZED.to_string(), "0x87 not authorized");
}

#[test]
fn protocol_names_and_levels_are_those_of_the_standards() {
    for (name, wire) in FACTS["v3"]["protocol"].as_table().unwrap() {
        let version = version(name);
        let written = body("").string(version.protocol_name()).bytes(&[version.level()]).0;
        assert_eq!(show(&written), wire.as_str().unwrap());
        assert_eq!(version.to_string(), *name);
        assert_eq!(Version::from_wire(version.protocol_name().as_bytes(), version.level()), Some(version));
    }
}

/// A subscription identifier is a variable byte integer, and so is the length before a block of properties.
/// [MQTT-1.5.5-1]
#[test]
fn variable_byte_integers() {
    let table = &FACTS["variable_byte_integer"];
    for vector in table["vectors"].as_array().unwrap() {
        let (value, wire) = (vector[0].as_integer().unwrap() as u32, vector[1].as_str().unwrap());
        assert_eq!(show(&variable_byte_integer(value as usize)), wire, "the oracle");
        let publish = body("00 01 61").block(&body("0B").hex(wire).0).packet(0x30);
        // 0 is an integer like any other, but no subscription identifier.
        if value > 0 {
            let packet = accept(Version::V5, &publish[..]);
            let Packet::Publish(read) = &packet else { panic!() };
            assert_eq!(read.properties().subscription_identifiers().collect::<Vec<_>>(), [value]);
            same(Version::V5, &packet, publish);
        }
        if (1..1_000_000).contains(&value) {
            let publish = body("00 01 61 00").bytes(&vec![7; value as usize - 4]).packet(0x30);
            assert_eq!(publish[1..publish.len() - value as usize], hex(wire));
            assert_eq!(encode(Version::V5, &accept(Version::V5, &publish[..])), Ok(publish));
        }
    }
    for wire in strings(&table["bad"]) {
        let publish = body("00 01 61").block(&body("0B").hex(wire).0).packet(0x30);
        assert!(decode(Version::V5, publish).unwrap_err().is_malformed(), "{wire}");
    }
    assert_eq!(Some(i64::from(MAX_PACKET_SIZE)), table["max_packet_bytes"].as_integer());
}

/// [MQTT-1.5.4-1] [MQTT-1.5.4-2] [MQTT-1.5.4-3]
#[test]
fn utf8_vectors() {
    let text = |wire: &str| Text::try_from(bytes::Bytes::from(wire.wire()));
    for wire in strings(&FACTS["utf8"]["good_vectors"]) {
        assert_eq!(text(wire).unwrap().as_bytes(), hex(wire), "{wire}");
    }
    for wire in strings(&FACTS["utf8"]["bad_vectors"]) {
        let why = if wire == "00" { TextError::Null } else { TextError::IllFormed };
        assert_eq!(text(wire), Err(why), "{wire}");
        assert_eq!(text(&format!("61 62 63 64 65 66 67 {wire} 68")), Err(why), "{wire} inside");
    }
}

#[test]
fn topic_vectors() {
    let topic = &FACTS["topic"];
    for filter in strings(&topic["filter_ok"]) {
        assert!(TopicFilter::try_from(filter).is_ok(), "{filter}");
    }
    for filter in strings(&topic["filter_bad"]) {
        assert!(TopicFilter::try_from(filter).is_err(), "{filter}");
    }
    for (list, expected) in [("match_yes", true), ("match_no", false)] {
        for pair in topic[list].as_array().unwrap() {
            let [filter, name] = strings(pair)[..] else { panic!() };
            assert!(TopicName::try_from(name).is_ok(), "{name}");
            let filter = TopicFilter::try_from(filter).unwrap();
            assert_eq!(filter.matches(name), expected, "{filter} {name}");
        }
    }
}

/// [MQTT-4.8.2-1] [MQTT-4.8.2-2]
#[test]
fn share_vectors() {
    let shared = &FACTS["shared"];
    for filter in strings(&shared["ok"]) {
        let filter = TopicFilter::try_from(filter).unwrap();
        let (name, behind) = filter.shared().unwrap();
        assert_eq!((name, format!("$share/{name}/{behind}").as_str()), ("g", filter.as_str()));
    }
    for filter in strings(&shared["bad"]) {
        assert_eq!(TopicFilter::try_from(filter), Err(TopicError::Share), "{filter}");
    }
    for filter in strings(&shared["not_shared"]) {
        assert_eq!(TopicFilter::try_from(filter).unwrap().shared(), None, "{filter}");
    }
}
