//! UNSUBSCRIBE and UNSUBACK, sections 3.10 and 3.11.

mod common;

use common::{VERSIONS, accept, cannot_encode, filter, id, no_properties, refuse, same};
use mqtt_codec::{
    EncodeError, Fault, Field, Packet, PacketType, PropertiesBuf, ReasonCode, UnsubAck, Unsubscribe, Version,
};

/// [MQTT-3.10.3-1] [MQTT-3.10.3-1/3.1.1] [MQTT-3.10.1-1] [MQTT-3.10.1-1/3.1.1]
#[test]
fn filters_come_in_order() {
    let filters = [filter("a/#"), filter("$share/g/+")];
    let packet = Unsubscribe::new(id(1), &no_properties(), &filters).unwrap();
    assert_eq!(packet.filters().collect::<Vec<_>>(), ["a/#", "$share/g/+"]);
    let packet = Packet::Unsubscribe(packet);
    let list = "00 03 61 2F 23 00 0A 24 73 68 61 72 65 2F 67 2F 2B";
    same(Version::V5, &packet, &*format!("A2 14 00 01 00 {list}"));
    same(Version::V3_1_1, &packet, &*format!("A2 13 00 01 {list}"));
    same(Version::V3_1, &packet, &*format!("A2 13 00 01 {list}"));
}

/// [MQTT-3.10.3-2] [MQTT-3.10.3-2/3.1.1]
#[test]
fn an_unsubscribe_has_a_filter() {
    let error = Unsubscribe::new(id(1), &no_properties(), []).unwrap_err();
    assert_eq!(error, EncodeError::EmptyList { packet: PacketType::Unsubscribe });
    for (version, wire) in [(Version::V5, "A2 03 00 01 00"), (Version::V3_1_1, "A2 02 00 01")] {
        let error = refuse(version, wire, Field::TopicFilter, Fault::EmptyList);
        assert_eq!(error.reason_code(), ReasonCode::PROTOCOL_ERROR);
    }
}

/// In 5.0 a code for each filter, before that none.
/// [MQTT-3.11.3-2] [311u-3]
#[test]
fn unsuback() {
    let codes = [ReasonCode::SUCCESS, ReasonCode::NO_SUBSCRIPTION_EXISTED];
    let answer = UnsubAck::new(id(1), &no_properties(), &codes);
    assert_eq!(answer.codes().collect::<Vec<_>>(), codes);
    let answer = Packet::UnsubAck(answer);
    same(Version::V5, &answer, "B0 05 00 01 00 00 11");
    let bare = Packet::UnsubAck(UnsubAck::new(id(1), &no_properties(), &[]));
    let empty = EncodeError::EmptyList { packet: PacketType::UnsubAck };
    assert_eq!(cannot_encode(Version::V5, &bare), empty);
    refuse(Version::V5, "B0 03 00 01 00", Field::ReasonCode, Fault::EmptyList);
    for version in [Version::V3_1, Version::V3_1_1] {
        same(version, &bare, "B0 02 00 01");
        assert!(matches!(cannot_encode(version, &answer), EncodeError::NotInVersion { .. }));
        refuse(version, "B0 03 00 01 00", Field::Packet, Fault::TrailingBytes);
    }
    for version in VERSIONS {
        refuse(version, "B0 01 00", Field::PacketIdentifier, Fault::Truncated);
    }
    for code in [1, 2, 0x97] {
        let wire = &[0xB0, 4, 0, 1, 0, code][..];
        refuse(Version::V5, wire, Field::ReasonCode, Fault::ReasonNotAllowed(code));
    }
}

#[test]
fn properties_need_v5() {
    let properties = PropertiesBuf::builder().user_property("a", "").build().unwrap();
    let request = Packet::Unsubscribe(Unsubscribe::new(id(1), &properties, [&filter("a")]).unwrap());
    same(Version::V5, &request, "A2 0C 00 01 06 26 00 01 61 00 00 00 01 61");
    let Packet::Unsubscribe(read) = accept(Version::V5, "A2 0C 00 01 06 26 00 01 61 00 00 00 01 61") else {
        panic!()
    };
    assert_eq!(read.properties().user_properties().collect::<Vec<_>>(), [("a", "")]);
    let answer = Packet::UnsubAck(UnsubAck::new(id(1), &properties, &[]));
    for version in [Version::V3_1, Version::V3_1_1] {
        for packet in [&request, &answer] {
            assert!(matches!(cannot_encode(version, packet), EncodeError::NotInVersion { .. }));
        }
    }
}
