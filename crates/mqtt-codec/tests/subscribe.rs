//! SUBSCRIBE and SUBACK, sections 3.8 and 3.9.

mod common;

use common::{
    VERSIONS, accept, body, cannot_encode, decode, encode, filter, id, no_properties, refuse, same,
};
use mqtt_codec::{
    EncodeError, Fault, Field, Packet, PacketType, PropertiesBuf, PropertyId, QoS, ReasonCode,
    RetainHandling, SubAck, Subscribe, SubscriptionOptions, TopicError, Version,
};

const SUBSCRIBE: PacketType = PacketType::Subscribe;

fn subscribe(filters: &[(&str, SubscriptionOptions)]) -> Result<Subscribe, EncodeError> {
    let filters: Vec<_> = filters.iter().map(|(name, options)| (filter(name), *options)).collect();
    Subscribe::new(id(1), &no_properties(), filters.iter().map(|(filter, options)| (filter, *options)))
}

/// Every options there are: 3 x 2 x 2 x 3.
fn all_options() -> Vec<SubscriptionOptions> {
    let mut all = Vec::new();
    for qos in [QoS::AtMostOnce, QoS::AtLeastOnce, QoS::ExactlyOnce] {
        for (no_local, retain_as_published) in [(false, false), (false, true), (true, false), (true, true)] {
            for retain_handling in
                [RetainHandling::Send, RetainHandling::SendIfNew, RetainHandling::DoNotSend]
            {
                all.push(SubscriptionOptions { qos, no_local, retain_as_published, retain_handling });
            }
        }
    }
    all
}

/// [MQTT-3.8.3-1] [MQTT-3.8.3-1/3.1.1] [MQTT-3.8.3-2] [MQTT-3.8.3-3/3.1.1] [MQTT-3.8.1-1] [MQTT-3.8.1-1/3.1.1]
#[test]
fn filters_come_in_order() {
    let packet =
        subscribe(&[("a/#", QoS::ExactlyOnce.into()), ("$share/g/+", QoS::AtMostOnce.into())]).unwrap();
    let filters: Vec<_> = packet.filters().map(|(filter, options)| (filter, options.qos)).collect();
    assert_eq!(filters, [("a/#", QoS::ExactlyOnce), ("$share/g/+", QoS::AtMostOnce)]);
    let list = "00 03 61 2F 23 02 00 0A 24 73 68 61 72 65 2F 67 2F 2B 00";
    let packet = Packet::Subscribe(packet);
    same(Version::V5, &packet, &*format!("82 16 00 01 00 {list}"));
    same(Version::V3_1_1, &packet, &*format!("82 15 00 01 {list}"));
    same(Version::V3_1, &packet, &*format!("82 15 00 01 {list}"));
}

/// [MQTT-3.8.3-2] [MQTT-3.8.3-3/3.1.1]
#[test]
fn a_subscribe_has_a_filter() {
    assert_eq!(subscribe(&[]), Err(EncodeError::EmptyList { packet: SUBSCRIBE }));
    for (version, wire) in [(Version::V5, "82 03 00 01 00"), (Version::V3_1_1, "82 02 00 01")] {
        let error = refuse(version, wire, Field::TopicFilter, Fault::EmptyList);
        assert_eq!(error.reason_code(), ReasonCode::PROTOCOL_ERROR);
    }
}

/// All 256 options bytes. What can be built has neither reserved bits nor a QoS or a retain handling of 3.
/// [MQTT-3.8.3-5] [5u-11]
#[test]
fn options_of_v5() {
    let legal: Vec<u8> = all_options().into_iter().map(SubscriptionOptions::to_byte).collect();
    for options in 0..=u8::MAX {
        let wire = body("00 01 00 00 01 61").bytes(&[options]).packet(0x82);
        let (reserved, three) = (options & 0xC0 != 0, options & 3 == 3 || options & 0x30 == 0x30);
        assert_eq!(legal.contains(&options), !reserved && !three);
        if legal.contains(&options) {
            let Packet::Subscribe(packet) = accept(Version::V5, &wire[..]) else { panic!() };
            let (_, read) = packet.filters().next().unwrap();
            assert_eq!(read.to_byte(), options);
            same(Version::V5, &Packet::Subscribe(packet), wire);
        } else {
            let fault = if reserved { Fault::ReservedBits } else { Fault::ValueNotAllowed };
            let error = refuse(Version::V5, wire, Field::SubscriptionOptions, fault);
            assert_eq!(error.is_malformed(), reserved);
            assert_eq!(SubscriptionOptions::from_byte(options), None);
        }
    }
}

/// A QoS and nothing else; what 5.0 added does not leak out.
/// [MQTT-3.8.3-4/3.1.1]
#[test]
fn options_of_v3() {
    for version in [Version::V3_1, Version::V3_1_1] {
        for options in 0..=u8::MAX {
            let wire = body("00 01 00 01 61").bytes(&[options]).packet(0x82);
            assert_eq!(decode(version, wire).is_ok(), options <= 2, "{options:02X}");
        }
        for options in all_options() {
            let packet =
                Packet::Subscribe(subscribe(&[("b", QoS::AtMostOnce.into()), ("a", options)]).unwrap());
            if options == SubscriptionOptions::new(options.qos) {
                assert!(encode(version, &packet).is_ok());
            } else {
                let field = Field::SubscriptionOptions;
                let expected = EncodeError::NotInVersion { packet: SUBSCRIBE, field, version };
                assert_eq!(cannot_encode(version, &packet), expected);
            }
        }
    }
}

/// [MQTT-3.8.3-4]
#[test]
fn a_shared_subscription_has_no_no_local() {
    let no_local = SubscriptionOptions { no_local: true, ..QoS::AtMostOnce.into() };
    let error = subscribe(&[("$share/g/t", no_local)]).unwrap_err();
    let (field, fault) = (Field::SubscriptionOptions, Fault::NoLocalOnShared);
    assert_eq!(error, EncodeError::FieldNotAllowed { packet: SUBSCRIBE, field, fault });
    let wire = body("00 01 00").string("$share/g/t").hex("04").packet(0x82);
    assert_eq!(refuse(Version::V5, wire, field, fault).reason_code(), ReasonCode::PROTOCOL_ERROR);
    for plain in ["$shared/g/t", "$SYS/t", "t"] {
        let packet = subscribe(&[(plain, no_local)]).unwrap();
        let wire = body("00 01 00").string(plain).hex("04").packet(0x82);
        same(Version::V5, &Packet::Subscribe(packet), wire);
    }
}

/// [MQTT-4.7.1-1] [MQTT-4.7.1-2] [MQTT-4.8.2-1]
#[test]
fn bad_filters_have_a_code_of_their_own() {
    for (filter, error) in
        [("a#", TopicError::MultiLevel), ("a+", TopicError::SingleLevel), ("$share//t", TopicError::Share)]
    {
        let good = body("00 01 00").string("a").hex("00");
        let wire = good.string(filter).hex("00").packet(0x82);
        let error = refuse(Version::V5, wire, Field::TopicFilter, Fault::Topic(error));
        assert_eq!(error.reason_code(), ReasonCode::TOPIC_FILTER_INVALID);
    }
}

#[test]
fn properties_need_v5() {
    let properties = PropertiesBuf::builder().subscription_identifier(1).build().unwrap();
    let filters = [(&filter("a"), QoS::AtMostOnce.into())];
    let packet = Packet::Subscribe(Subscribe::new(id(1), &properties, filters).unwrap());
    same(Version::V5, &packet, "82 09 00 01 02 0B 01 00 01 61 00");
    let field = Field::Property(PropertyId::SubscriptionIdentifier);
    for version in [Version::V3_1, Version::V3_1_1] {
        let error = cannot_encode(version, &packet);
        assert_eq!(error, EncodeError::NotInVersion { packet: SUBSCRIBE, field, version });
    }
}

/// One code for each filter, in order; at least one.
/// [MQTT-3.9.3-2] [311u-3]
#[test]
fn suback() {
    let codes = [ReasonCode::GRANTED_QOS_2, ReasonCode::UNSPECIFIED_ERROR, ReasonCode::GRANTED_QOS_0];
    let packet = SubAck::new(id(1), &no_properties(), &codes).unwrap();
    assert_eq!((packet.codes().len(), packet.codes().collect::<Vec<_>>()), (3, codes.to_vec()));
    let packet = Packet::SubAck(packet);
    same(Version::V5, &packet, "90 06 00 01 00 02 80 00");
    same(Version::V3_1_1, &packet, "90 05 00 01 02 80 00");
    let explained = PropertiesBuf::builder().reason_string("x").build().unwrap();
    let packet = Packet::SubAck(SubAck::new(id(1), &explained, &codes).unwrap());
    same(Version::V5, &packet, "90 0A 00 01 04 1F 00 01 78 02 80 00");
    assert!(matches!(cannot_encode(Version::V3_1_1, &packet), EncodeError::NotInVersion { .. }));

    let error = SubAck::new(id(1), &no_properties(), &[]).unwrap_err();
    assert_eq!(error, EncodeError::EmptyList { packet: PacketType::SubAck });
    for (version, wire) in [(Version::V5, "90 03 00 01 00"), (Version::V3_1_1, "90 02 00 01")] {
        refuse(version, wire, Field::ReasonCode, Fault::EmptyList);
    }
    for version in VERSIONS {
        refuse(version, "90 01 00", Field::PacketIdentifier, Fault::Truncated);
    }
    refuse(Version::V5, "90 04 00 01 00 03", Field::ReasonCode, Fault::ReasonNotAllowed(3));
}
