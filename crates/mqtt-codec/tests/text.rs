//! UTF-8 strings, section 1.5.4, in every field that holds one, and the two-byte length of strings and binary data.

mod common;

use bytes::Bytes;
use common::properties::{Value, packet_with, set, wire_with};
use common::{
    Body, ILL_FORMED, VERSIONS, accept, body, connect_start, decode, encode, facts, hex, packet_type, show,
};
use mqtt_codec::{
    Fault, Field, Packet, PropertiesBuf, PropertyFault, PropertyId, Text, TextError, TopicError, TopicFilter,
    TopicName, Version,
};

type Template = Box<dyn Fn(&[u8]) -> Vec<u8>>;

/// Every string of a version that is no property: its field, and a packet around it. All of them take any string
/// that is a topic name.
fn fields(version: Version) -> Vec<(Field, Template)> {
    let v5 = version.is_v5();
    let properties = move |body: Body| if v5 { body.hex("00") } else { body };
    let connect = move |flags| properties(connect_start(version, flags).hex("00 3C"));
    vec![
        (Field::ClientIdentifier, Box::new(move |text| connect(2).string(text).packet(0x10))),
        (
            Field::WillTopic,
            Box::new(move |text| properties(connect(6).string("c")).string(text).string("").packet(0x10)),
        ),
        (Field::UserName, Box::new(move |text| connect(0x82).string("c").string(text).packet(0x10))),
        (Field::TopicName, Box::new(move |text| properties(body("").string(text)).packet(0x30))),
        (
            Field::TopicFilter,
            Box::new(move |text| properties(body("00 01")).string(text).hex("00").packet(0x82)),
        ),
        (Field::TopicFilter, Box::new(move |text| properties(body("00 01")).string(text).packet(0xA2))),
    ]
}

/// Every string property in every packet that may have it, and both halves of the user property.
fn property_fields() -> Vec<(Field, Template)> {
    let mut fields: Vec<(Field, Template)> = Vec::new();
    for property in facts("property") {
        let id = property["id"].as_integer().unwrap() as u8;
        let field = Field::Property(PropertyId::from_u8(id).unwrap());
        for place in common::strings(&property["packets"]) {
            match property["type"].as_str().unwrap() {
                "utf8" => fields.push((
                    field,
                    Box::new(move |text| wire_with(place, &with_method(place, id, body("").string(text)))),
                )),
                "utf8_pair" => {
                    let wire = move |pair| wire_with(place, &with_method(place, id, pair));
                    fields.push((field, Box::new(move |text| wire(body("").string(text).string("a")))));
                    fields.push((field, Box::new(move |text| wire(body("").string("a").string(text)))));
                }
                _ => {}
            }
        }
    }
    fields
}

/// The property, in AUTH with the authentication method that must be there.
fn with_method(place: &str, id: u8, value: Body) -> Vec<u8> {
    let method = if place == "AUTH" && id != 0x15 { "15 00 01 6D" } else { "" };
    body(method).bytes(&[id]).bytes(&value.0).0
}

fn all_fields() -> Vec<(Version, Field, Template)> {
    let v5 = property_fields();
    assert_eq!(v5.len(), 20 + 2 * 14, "the strings of wire-facts.toml, place by place");
    let of_versions = VERSIONS.into_iter().flat_map(|version| {
        fields(version).into_iter().map(move |(field, template)| (version, field, template))
    });
    of_versions.chain(v5.into_iter().map(|(field, template)| (Version::V5, field, template))).collect()
}

/// [MQTT-1.5.4-1] [MQTT-1.5.7-1] [MQTT-1.5.3-1/3.1.1]
/// [MQTT-3.1.3-4] [MQTT-3.1.3-11] [MQTT-3.1.3-12] [MQTT-3.3.2-1] [MQTT-3.3.2-13] [MQTT-3.3.2-19] [MQTT-3.8.3-1]
/// [MQTT-3.10.3-1] [MQTT-3.1.3-4/3.1.1] [MQTT-3.1.3-10/3.1.1] [MQTT-3.1.3-11/3.1.1] [MQTT-3.3.2-1/3.1.1]
/// [MQTT-3.8.3-1/3.1.1] [MQTT-3.10.3-1/3.1.1]
#[test]
fn ill_formed_strings_are_refused_in_every_field() {
    for (version, field, template) in all_fields() {
        for ill_formed in ILL_FORMED {
            for text in [hex(ill_formed), body("61").hex(ill_formed).hex("62").0] {
                let error = decode(version, template(&text)).unwrap_err();
                let what = format!("{version} {field} {}", show(&text));
                assert_eq!((error.field(), error.fault()), (field, Fault::IllFormedText), "{what}");
                assert!(error.is_malformed(), "{what}");
            }
        }
    }
}

/// [MQTT-1.5.4-2] [MQTT-1.5.7-1] [MQTT-1.5.3-2/3.1.1] [MQTT-4.7.3-2] [MQTT-4.7.3-2/3.1.1]
/// [MQTT-3.1.3-4] [MQTT-3.1.3-11] [MQTT-3.1.3-12] [MQTT-3.3.2-1] [MQTT-3.3.2-13] [MQTT-3.3.2-19] [MQTT-3.8.3-1]
/// [MQTT-3.10.3-1] [MQTT-3.1.3-4/3.1.1] [MQTT-3.1.3-10/3.1.1] [MQTT-3.1.3-11/3.1.1] [MQTT-3.3.2-1/3.1.1]
/// [MQTT-3.8.3-1/3.1.1] [MQTT-3.10.3-1/3.1.1]
#[test]
fn the_null_character_is_refused_in_every_field() {
    for (version, field, template) in all_fields() {
        for text in ["\0", "a\0b", "0123456789\0"] {
            let error = decode(version, template(text.as_bytes())).unwrap_err();
            let what = format!("{version} {field} {text:?}");
            assert_eq!((error.field(), error.fault()), (field, Fault::NullCharacter), "{what}");
            assert!(error.is_malformed(), "{what}");
        }
    }
}

/// The encoder is given strings that were checked when they were made; there is no other way to make one. This
/// covers client identifier, user name (`Text`), topic names, will topics (`TopicName`) and topic filters.
/// [MQTT-1.5.4-1] [MQTT-1.5.4-2] [MQTT-1.5.3-1/3.1.1] [MQTT-1.5.3-2/3.1.1] [MQTT-4.7.3-2] [MQTT-4.7.3-2/3.1.1]
/// [MQTT-3.1.3-4] [MQTT-3.1.3-11] [MQTT-3.1.3-12] [MQTT-3.3.2-1] [MQTT-3.8.3-1] [MQTT-3.10.3-1]
/// [MQTT-3.1.3-4/3.1.1] [MQTT-3.1.3-10/3.1.1] [MQTT-3.1.3-11/3.1.1] [MQTT-3.3.2-1/3.1.1] [MQTT-3.8.3-1/3.1.1]
/// [MQTT-3.10.3-1/3.1.1]
#[test]
fn bad_strings_cannot_be_made() {
    let ill_formed = ILL_FORMED.map(|bytes| (hex(bytes), TextError::IllFormed));
    let null = ["\0", "a\0b"].map(|text| (text.as_bytes().to_vec(), TextError::Null));
    for (bytes, why) in ill_formed.into_iter().chain(null) {
        let bytes = Bytes::from(bytes);
        assert_eq!(Text::try_from(bytes.clone()), Err(why));
        assert_eq!(TopicName::try_from(bytes.clone()), Err(TopicError::Text(why)));
        assert_eq!(TopicFilter::try_from(bytes.clone()), Err(TopicError::Text(why)));
        let shared = Bytes::from([b"$share/", &bytes[..], b"/t"].concat());
        assert_eq!(TopicFilter::try_from(shared), Err(TopicError::Text(why)));
    }
    assert_eq!(Text::try_from("a\0b"), Err(TextError::Null));
    assert_eq!(Text::from_static("a\0b"), Err(TextError::Null));
    assert_eq!(TopicName::try_from(String::from("a\0b")), Err(TopicError::Text(TextError::Null)));
}

/// The builder takes `str`, which is well formed; what is left is U+0000, in each string of each property.
/// [MQTT-1.5.4-2] [MQTT-1.5.7-1] [MQTT-3.3.2-13] [MQTT-3.3.2-19]
#[test]
fn properties_with_the_null_character_cannot_be_built() {
    let null = Err(PropertyFault::Text(TextError::Null));
    for property in facts("property") {
        let id = common::properties::property_of(property);
        let with = |text: &str, topic: &str| {
            let value = Value { text: text.into(), topic: topic.into(), ..Value::default() };
            set(PropertiesBuf::builder(), id, &value).build().map_err(|error| {
                assert_eq!(error.property, id);
                error.fault
            })
        };
        match property["type"].as_str().unwrap() {
            "utf8" if id == PropertyId::ResponseTopic => {
                let null = TopicError::Text(TextError::Null);
                assert_eq!(with("a", "a\0b"), Err(PropertyFault::Topic(null)));
            }
            "utf8" => assert_eq!(with("a\0b", "t"), null, "{id}"),
            "utf8_pair" => {
                assert_eq!(with("a\0b", "t"), null);
                assert_eq!(with("a", "a\0b"), null);
                assert!(with("", "").is_ok(), "empty halves are fine");
            }
            _ => assert!(with("a\0b", "a\0b").is_ok(), "{id}"),
        }
    }
}

/// A byte order mark is a character like any other, also in the first place.
/// [MQTT-1.5.4-3] [MQTT-1.5.3-3/3.1.1]
#[test]
fn byte_order_marks_are_kept() {
    let marked = hex("EF BB BF 61 EF BB BF");
    for (version, field, template) in all_fields() {
        let wire = template(&marked);
        let packet = accept(version, &wire[..]);
        assert_eq!(encode(version, &packet).map(|wire| show(&wire)), Ok(show(&wire)), "{version} {field}");
        if let Packet::Publish(publish) = packet
            && field == Field::TopicName
        {
            assert_eq!(publish.topic(), "\u{FEFF}a\u{FEFF}");
        }
    }
}

/// What the standard discourages it does not forbid: accepted, written, and never changed.
/// [5u-28] [311u-7]
#[test]
fn discouraged_characters_pass() {
    let discouraged =
        ["\u{1}", "\u{1F}", "\u{7F}", "\u{9F}", "\u{FDD0}", "\u{FDEF}", "\u{FFFE}", "\u{10FFFF}"];
    for (version, field, template) in all_fields() {
        let text = discouraged.concat();
        let wire = template(text.as_bytes());
        let packet = accept(version, &wire[..]);
        assert_eq!(encode(version, &packet), Ok(wire), "{version} {field}");
    }
    for text in discouraged {
        assert_eq!(Text::try_from(text).as_deref(), Ok(text));
        assert!(TopicName::try_from(text).is_ok() && TopicFilter::try_from(text).is_ok());
        assert!(PropertiesBuf::builder().user_property(text, text).reason_string(text).build().is_ok());
    }
}

/// 65,535 bytes, counted in UTF-8; nothing is cut off.
/// [MQTT-3.1.3-4] [MQTT-3.1.3-4/3.1.1] [MQTT-4.7.3-3] [MQTT-4.7.3-3/3.1.1]
#[test]
fn strings_have_65535_bytes_at_most() {
    let longest = "é".repeat(32_767) + "a";
    assert_eq!(longest.len(), 65_535);
    let longer = "é".repeat(32_768);
    assert_eq!(Text::try_from(longest.as_str()).map(|text| text.len()), Ok(65_535));
    assert_eq!(Text::try_from(longer.as_str()), Err(TextError::TooLong));
    assert!(TopicName::try_from(longest.as_str()).is_ok());
    assert_eq!(TopicName::try_from(longer.as_str()), Err(TopicError::Text(TextError::TooLong)));
    assert!(TopicFilter::try_from(longest.as_str()).is_ok());
    assert_eq!(TopicFilter::try_from(longer.as_str()), Err(TopicError::Text(TextError::TooLong)));
    let built = PropertiesBuf::builder().user_property(&longest, "").build().unwrap();
    assert_eq!(built.view().user_properties().next(), Some((longest.as_str(), "")));
    let error = PropertiesBuf::builder().user_property("", &longer).build().unwrap_err();
    assert_eq!(error.fault, PropertyFault::Text(TextError::TooLong));
    for (version, field, template) in all_fields() {
        let wire = template(longest.as_bytes());
        // A topic name of 3.1 has fewer characters than that, and the encoder knows.
        if version != Version::V3_1 {
            assert_eq!(encode(version, &accept(version, &wire[..])), Ok(wire), "{version} {field}");
        }
    }
}

/// Each property comes back as it was set, in each packet that may have it.
#[test]
fn properties_come_back() {
    let value = Value { text: "é".into(), topic: "\u{10FFFF}/".into(), ..Value::default() };
    for property in facts("property") {
        let id = common::properties::property_of(property);
        for place in common::strings(&property["packets"]).into_iter().filter(|place| *place != "AUTH") {
            let mut builder = PropertiesBuf::builder();
            if id == PropertyId::AuthenticationData {
                builder = builder.authentication_method("m");
            }
            let built = set(builder, id, &value).build().unwrap();
            let packet = packet_with(place, built.clone()).unwrap();
            let wire = encode(Version::V5, &packet).unwrap();
            assert_eq!(accept(Version::V5, wire), packet, "{id} in {place}");
            assert!(place == "WILL" || packet.packet_type() == packet_type(place));
        }
    }
}
