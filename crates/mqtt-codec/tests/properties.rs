//! The whole property table against the whole packet table, and every rule about values, section 2.2.2.

mod common;

use common::properties::{PLACES, Value, allowed_in, packet_with, property_of, set, wire_with};
use common::{accept, body, cannot_encode, decode, encode, facts, hex, refuse, show, strings};
use mqtt_codec::{
    DecodeError, EncodeError, Fault, Field, Packet, Properties, PropertiesBuf, Property, PropertyFault,
    PropertyId, QoS, ReasonCode, Version,
};

const V5: Version = Version::V5;

/// A legal property on the wire, by its type in wire-facts.toml.
fn sample(property: &toml::Value) -> Vec<u8> {
    let value = match property["type"].as_str().unwrap() {
        "byte" => "01",
        "u16" => "00 01",
        "u32" => "00 00 00 01",
        "varint" => "81 01",
        "utf8" => "00 01 61",
        "binary" => "00 02 00 FF",
        "utf8_pair" => "00 01 61 00 00",
        other => panic!("no type {other}"),
    };
    body("").bytes(&[property["id"].as_integer().unwrap() as u8]).hex(value).0
}

/// The block with what else must be there: an authentication method where one is needed.
fn completed(place: &str, property: PropertyId, block: &[u8]) -> Vec<u8> {
    let method = PropertyId::AuthenticationMethod;
    let needed = property == PropertyId::AuthenticationData || place == "AUTH";
    let missing = needed && property != method && allowed_in(place).contains(&method);
    body(if missing { "15 00 01 6D" } else { "" }).bytes(block).0
}

fn decoded(place: &str, property: PropertyId, block: &[u8]) -> Result<Packet, DecodeError> {
    decode(V5, wire_with(place, &completed(place, property, block)))
}

/// 27 properties in 14 places: what wire-facts.toml allows comes through unchanged, everything else is malformed.
/// [5u-4]
#[test]
fn each_property_is_allowed_where_the_table_says() {
    let mut allowed = 0;
    for property in facts("property") {
        let (id, block) = (property_of(property), sample(property));
        let places = strings(&property["packets"]);
        assert_eq!(property["will"].as_bool(), Some(places.contains(&"WILL")), "{id}");
        for place in PLACES {
            let wire = wire_with(place, &completed(place, id, &block));
            if places.contains(&place) {
                allowed += 1;
                assert_eq!(encode(V5, &accept(V5, &wire[..])).map(|wire| show(&wire)), Ok(show(&wire)));
            } else {
                let error = refuse(V5, wire, Field::Property(id), Fault::PropertyNotAllowed);
                assert_eq!(error.reason_code(), ReasonCode::MALFORMED_PACKET, "{id} in {place}");
            }
        }
    }
    let listed = |property: &toml::Value| strings(&property["packets"]).len();
    assert_eq!(allowed, facts("property").iter().map(listed).sum::<usize>());
}

/// The encoder, by the same table; and in 3.x no property at all, by name.
/// [5u-4]
#[test]
fn no_property_is_written_where_it_is_not_allowed() {
    for property in facts("property").iter().map(property_of) {
        for place in PLACES {
            let mut builder = PropertiesBuf::builder();
            if !completed(place, property, &[]).is_empty() && allowed_in(place).contains(&property) {
                builder = builder.authentication_method("m");
            }
            let properties = set(builder, property, &Value::default()).build().unwrap();
            let written = packet_with(place, properties).and_then(|packet| encode(V5, &packet));
            if allowed_in(place).contains(&property) {
                assert!(decode(V5, written.unwrap()).is_ok(), "{property} in {place}");
                continue;
            }
            let Err(EncodeError::PropertyNotAllowed { packet, property: named }) = written else {
                panic!("{property} in {place}: {written:?}");
            };
            let expected = if place == "WILL" { "CONNECT" } else { place };
            assert_eq!((packet.name(), named), (expected, property));
        }
    }
}

/// [5u-5] [5u-9] [MQTT-3.3.2-4]
#[test]
fn a_property_stands_once_unless_the_table_lets_it_repeat() {
    for property in facts("property") {
        let (id, block) = (property_of(property), sample(property));
        let twice = [&block[..], &block].concat();
        for place in strings(&property["packets"]) {
            let repeats = match property["repeat"].as_str().unwrap() {
                "yes" => true,
                "no" => false,
                "PUBLISH only" => place == "PUBLISH",
                other => panic!("{other}"),
            };
            match decoded(place, id, &twice) {
                Ok(_) => assert!(repeats, "{id} twice in {place}"),
                Err(error) => {
                    assert!(!repeats, "{id} in {place}: {error}");
                    let expected = (Field::Property(id), Fault::RepeatedProperty, ReasonCode::PROTOCOL_ERROR);
                    assert_eq!((error.field(), error.fault(), error.reason_code()), expected);
                }
            }
        }
        let built = set(PropertiesBuf::builder(), id, &Value::default());
        let built = set(built, id, &Value::default()).build();
        match property["repeat"].as_str() {
            Some("no") => assert_eq!(built.unwrap_err().fault, PropertyFault::Repeated, "{id}"),
            _ => assert!(built.is_ok(), "{id}"),
        }
    }
    let two = PropertiesBuf::builder().subscription_identifier(1).subscription_identifier(2).build().unwrap();
    assert!(encode(V5, &packet_with("PUBLISH", two.clone()).unwrap()).is_ok());
    let error = cannot_encode(V5, &packet_with("SUBSCRIBE", two).unwrap());
    assert!(matches!(error, EncodeError::PropertyNotAllowed { .. }), "{error}");
}

/// [5u-4]
#[test]
fn unknown_properties_are_malformed() {
    let known: Vec<u8> = facts("property").iter().map(|property| property_of(property) as u8).collect();
    for id in (0..=u8::MAX).filter(|id| !known.contains(id)) {
        for place in PLACES {
            let wire = wire_with(place, &[id, 1, 0, 0, 0]);
            let error = refuse(V5, wire, Field::UnknownProperty(id), Fault::UnknownProperty);
            assert!(error.is_malformed());
        }
        assert_eq!(PropertyId::from_u8(id), None);
    }
    // A known identifier in two bytes is none.
    let wire = wire_with("PUBLISH", &hex("81 00 01"));
    refuse(V5, wire, Field::UnknownProperty(0x81), Fault::UnknownProperty);
}

/// Each property cut off after each of its bytes, and the block longer than the packet.
/// [5u-4] [5u-13] [MQTT-2.2.2-1]
#[test]
fn no_property_runs_past_the_end() {
    for property in facts("property") {
        let (id, block) = (property_of(property), sample(property));
        for place in strings(&property["packets"]) {
            for len in 1..block.len() {
                let error = decoded(place, id, &block[..len]).unwrap_err();
                assert_eq!((error.field(), error.fault()), (Field::Property(id), Fault::Truncated));
                assert!(error.is_malformed());
            }
        }
    }
    for wire in
        ["20 02 00 00", "20 03 00 00 05", "90 02 00 01", "B0 02 00 01", "30 03 00 01 61", "82 02 00 01"]
    {
        let error = refuse(V5, wire, Field::PropertyLength, Fault::Truncated);
        assert!(error.is_malformed());
    }
}

/// A packet without properties says so with a 0, and so does the will.
/// [MQTT-2.2.2-1]
#[test]
fn no_properties_are_written_as_a_length_of_zero() {
    let without = |place| show(&encode(V5, &packet_with(place, PropertiesBuf::new()).unwrap()).unwrap());
    assert_eq!(without("CONNECT"), "10 0D 00 04 4D 51 54 54 05 02 00 00 00 00 00");
    assert_eq!(without("WILL"), "10 13 00 04 4D 51 54 54 05 06 00 00 00 00 00 00 00 01 77 00 00");
    assert_eq!(without("CONNACK"), "20 03 00 00 00");
    assert_eq!(without("PUBLISH"), "30 04 00 01 74 00");
    assert_eq!(without("SUBSCRIBE"), "82 07 00 01 00 00 01 66 00");
    assert_eq!(without("SUBACK"), "90 04 00 01 00 00");
    assert_eq!(without("UNSUBSCRIBE"), "A2 06 00 01 00 00 01 66");
    assert_eq!(without("UNSUBACK"), "B0 04 00 01 00 00");
    for place in ["CONNECT", "WILL", "CONNACK", "PUBLISH", "SUBSCRIBE", "SUBACK", "UNSUBSCRIBE", "UNSUBACK"] {
        assert_eq!(without(place), show(&wire_with(place, &[])));
    }
}

/// Refuses a value in each packet that may have the property.
#[track_caller]
fn refuse_value(wire: &str, fault: Fault, code: ReasonCode) {
    let block = hex(wire);
    let property = PropertyId::from_u8(block[0]).unwrap();
    let mut places = PLACES.into_iter().filter(|place| allowed_in(place).contains(&property)).peekable();
    assert!(places.peek().is_some());
    for place in places {
        let error = decoded(place, property, &block).unwrap_err();
        let expected = (Field::Property(property), fault, code);
        assert_eq!((error.field(), error.fault(), error.reason_code()), expected, "{wire} in {place}");
    }
}

/// [5u-6] [5u-7] [5u-9] [MQTT-3.3.2-8]
#[test]
fn zero_is_refused_where_it_means_nothing() {
    let protocol_error = ReasonCode::PROTOCOL_ERROR;
    for wire in ["21 00 00", "27 00 00 00 00", "0B 00"] {
        refuse_value(wire, Fault::ValueNotAllowed, protocol_error);
    }
    refuse_value("23 00 00", Fault::ZeroAlias, ReasonCode::TOPIC_ALIAS_INVALID);
    let builder = PropertiesBuf::builder;
    for (builder, property) in [
        (builder().receive_maximum(0), PropertyId::ReceiveMaximum),
        (builder().maximum_packet_size(0), PropertyId::MaximumPacketSize),
        (builder().subscription_identifier(0), PropertyId::SubscriptionIdentifier),
        (builder().subscription_identifier(268_435_456), PropertyId::SubscriptionIdentifier),
        (builder().topic_alias(0), PropertyId::TopicAlias),
    ] {
        let error = builder.build().unwrap_err();
        assert_eq!((error.property, error.fault), (property, PropertyFault::OutOfRange));
    }
    assert!(builder().subscription_identifier(268_435_455).receive_maximum(1).build().is_ok());
    // 0 means something in all the other numbers.
    for wire in ["02 00 00 00 00", "11 00 00 00 00", "13 00 00", "18 00 00 00 00", "22 00 00"] {
        let property = PropertyId::from_u8(hex(wire)[0]).unwrap();
        for place in PLACES.into_iter().filter(|place| allowed_in(place).contains(&property)) {
            assert!(decoded(place, property, &hex(wire)).is_ok(), "{wire} in {place}");
        }
    }
}

/// A byte that says yes or no takes 0 and 1 only; Maximum QoS 2 is said by leaving it out. The encoder takes `bool`.
/// [5u-8] [MQTT-3.3.2-4]
#[test]
fn flags_are_zero_or_one() {
    let bytes = facts("property").iter().filter(|property| property["type"].as_str() == Some("byte"));
    let bytes: Vec<_> = bytes.map(property_of).collect();
    assert_eq!(bytes.len(), 8);
    for property in bytes {
        for value in [2, 3, 0x80, 0xFF] {
            refuse_value(&show(&[property as u8, value]), Fault::ValueNotAllowed, ReasonCode::PROTOCOL_ERROR);
        }
        for value in [0, 1] {
            for place in PLACES.into_iter().filter(|place| allowed_in(place).contains(&property)) {
                assert!(decoded(place, property, &[property as u8, value]).is_ok());
            }
        }
    }
    let error = PropertiesBuf::builder().maximum_qos(QoS::ExactlyOnce).build().unwrap_err();
    assert_eq!((error.property, error.fault), (PropertyId::MaximumQoS, PropertyFault::OutOfRange));
}

/// The shortest form, four bytes at most.
/// [MQTT-1.5.5-1]
#[test]
fn integers_are_as_short_as_they_can_be() {
    let malformed = ReasonCode::MALFORMED_PACKET;
    for wire in ["0B 81 00", "0B 80 00", "0B 81 80 00", "0B 81 80 80 00", "0B FF FF FF FF 00"] {
        refuse_value(wire, Fault::LongVariableByteInteger, malformed);
    }
    for length in ["80 00", "80 80 80 00", "81 80 80 80 00"] {
        let wire = body("00 01 61").hex(length).hex("01 00").packet(0x30);
        let error = refuse(V5, wire, Field::PropertyLength, Fault::LongVariableByteInteger);
        assert!(error.is_malformed());
    }
}

/// [5u-10]
#[test]
fn authentication_data_needs_a_method() {
    let field = Field::Property(PropertyId::AuthenticationData);
    for place in ["CONNECT", "CONNACK"] {
        let error = refuse(V5, wire_with(place, &hex("16 00 01 00")), field, Fault::NoAuthenticationMethod);
        assert_eq!(error.reason_code(), ReasonCode::PROTOCOL_ERROR);
        let data = PropertiesBuf::builder().authentication_data(&[0]).build().unwrap();
        let error = cannot_encode(V5, &packet_with(place, data).unwrap());
        assert!(error.to_string().ends_with("the authentication method is missing"), "{error}");
        // In either order.
        accept(V5, wire_with(place, &hex("15 00 01 6D 16 00 01 00")));
        accept(V5, wire_with(place, &hex("16 00 01 00 15 00 01 6D")));
    }
}

/// The property as the iterator should show it.
fn expected(property: PropertyId, value: &Value) -> Property<'_> {
    let Value { number, flag, text, topic, data } = value;
    let (number, flag, short) = (*number, *flag, *number as u16);
    match property {
        PropertyId::PayloadFormatIndicator => Property::PayloadFormatIndicator(flag),
        PropertyId::MessageExpiryInterval => Property::MessageExpiryInterval(number),
        PropertyId::ContentType => Property::ContentType(text),
        PropertyId::ResponseTopic => Property::ResponseTopic(topic),
        PropertyId::CorrelationData => Property::CorrelationData(data),
        PropertyId::SubscriptionIdentifier => Property::SubscriptionIdentifier(number),
        PropertyId::SessionExpiryInterval => Property::SessionExpiryInterval(number),
        PropertyId::AssignedClientIdentifier => Property::AssignedClientIdentifier(text),
        PropertyId::ServerKeepAlive => Property::ServerKeepAlive(short),
        PropertyId::AuthenticationMethod => Property::AuthenticationMethod(text),
        PropertyId::AuthenticationData => Property::AuthenticationData(data),
        PropertyId::RequestProblemInformation => Property::RequestProblemInformation(flag),
        PropertyId::WillDelayInterval => Property::WillDelayInterval(number),
        PropertyId::RequestResponseInformation => Property::RequestResponseInformation(flag),
        PropertyId::ResponseInformation => Property::ResponseInformation(text),
        PropertyId::ServerReference => Property::ServerReference(text),
        PropertyId::ReasonString => Property::ReasonString(text),
        PropertyId::ReceiveMaximum => Property::ReceiveMaximum(short),
        PropertyId::TopicAliasMaximum => Property::TopicAliasMaximum(short),
        PropertyId::TopicAlias => Property::TopicAlias(short),
        PropertyId::MaximumQoS => Property::MaximumQoS(if flag { QoS::AtLeastOnce } else { QoS::AtMostOnce }),
        PropertyId::RetainAvailable => Property::RetainAvailable(flag),
        PropertyId::UserProperty => Property::UserProperty(text, topic),
        PropertyId::MaximumPacketSize => Property::MaximumPacketSize(number),
        PropertyId::WildcardSubscriptionAvailable => Property::WildcardSubscriptionAvailable(flag),
        PropertyId::SubscriptionIdentifierAvailable => Property::SubscriptionIdentifierAvailable(flag),
        PropertyId::SharedSubscriptionAvailable => Property::SharedSubscriptionAvailable(flag),
    }
}

/// The property as its getter shows it.
fn got(view: Properties<'_>, property: PropertyId) -> Option<Property<'_>> {
    use Property as P;
    match property {
        PropertyId::PayloadFormatIndicator => view.payload_format_indicator().map(P::PayloadFormatIndicator),
        PropertyId::MessageExpiryInterval => view.message_expiry_interval().map(P::MessageExpiryInterval),
        PropertyId::ContentType => view.content_type().map(P::ContentType),
        PropertyId::ResponseTopic => view.response_topic().map(P::ResponseTopic),
        PropertyId::CorrelationData => view.correlation_data().map(P::CorrelationData),
        PropertyId::SubscriptionIdentifier => {
            view.subscription_identifiers().next().map(P::SubscriptionIdentifier)
        }
        PropertyId::SessionExpiryInterval => view.session_expiry_interval().map(P::SessionExpiryInterval),
        PropertyId::AssignedClientIdentifier => {
            view.assigned_client_identifier().map(P::AssignedClientIdentifier)
        }
        PropertyId::ServerKeepAlive => view.server_keep_alive().map(P::ServerKeepAlive),
        PropertyId::AuthenticationMethod => view.authentication_method().map(P::AuthenticationMethod),
        PropertyId::AuthenticationData => view.authentication_data().map(P::AuthenticationData),
        PropertyId::RequestProblemInformation => {
            view.request_problem_information().map(P::RequestProblemInformation)
        }
        PropertyId::WillDelayInterval => view.will_delay_interval().map(P::WillDelayInterval),
        PropertyId::RequestResponseInformation => {
            view.request_response_information().map(P::RequestResponseInformation)
        }
        PropertyId::ResponseInformation => view.response_information().map(P::ResponseInformation),
        PropertyId::ServerReference => view.server_reference().map(P::ServerReference),
        PropertyId::ReasonString => view.reason_string().map(P::ReasonString),
        PropertyId::ReceiveMaximum => view.receive_maximum().map(P::ReceiveMaximum),
        PropertyId::TopicAliasMaximum => view.topic_alias_maximum().map(P::TopicAliasMaximum),
        PropertyId::TopicAlias => view.topic_alias().map(P::TopicAlias),
        PropertyId::MaximumQoS => view.maximum_qos().map(P::MaximumQoS),
        PropertyId::RetainAvailable => view.retain_available().map(P::RetainAvailable),
        PropertyId::UserProperty => {
            view.user_properties().next().map(|(name, value)| P::UserProperty(name, value))
        }
        PropertyId::MaximumPacketSize => view.maximum_packet_size().map(P::MaximumPacketSize),
        PropertyId::WildcardSubscriptionAvailable => {
            view.wildcard_subscription_available().map(P::WildcardSubscriptionAvailable)
        }
        PropertyId::SubscriptionIdentifierAvailable => {
            view.subscription_identifier_available().map(P::SubscriptionIdentifierAvailable)
        }
        PropertyId::SharedSubscriptionAvailable => {
            view.shared_subscription_available().map(P::SharedSubscriptionAvailable)
        }
    }
}

/// All properties in one block: the iterator and every getter read what every setter has written.
#[test]
fn what_was_set_is_read() {
    for (number, flag) in [(1, true), (128, false), (65_535, true), (2_097_153, false)] {
        let value = Value { number, flag, ..Value::default() };
        let builder = PropertyId::ALL
            .iter()
            .fold(PropertiesBuf::builder(), |builder, property| set(builder, *property, &value));
        let built = builder.build().unwrap();
        let view = built.view();
        let all: Vec<_> = PropertyId::ALL.iter().map(|property| expected(*property, &value)).collect();
        assert_eq!(view.iter().collect::<Vec<_>>(), all);
        for (property, expected) in PropertyId::ALL.iter().zip(all) {
            assert_eq!(got(view, *property), Some(expected));
            assert_eq!(got(Properties::EMPTY, *property), None);
        }
        assert_eq!((built.len(), built.is_empty()), (view.as_bytes().len(), false));
    }
    let built =
        PropertiesBuf::builder().user_property("a", "1").user_property("a", "2").user_property("", "");
    let built = built.build().unwrap();
    assert_eq!(built.view().user_properties().collect::<Vec<_>>(), [("a", "1"), ("a", "2"), ("", "")]);
}
