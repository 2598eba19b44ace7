//! Topic names and filters, section 4.7, shared subscriptions, section 4.8.2, and matching against an oracle.

mod common;

use common::properties::{Value, set};
use common::{VERSIONS, body, connect_start, decode, refuse};
use mqtt_codec::{
    Fault, Field, PropertiesBuf, PropertyFault, PropertyId, ReasonCode, Topic, TopicError, TopicFilter,
    TopicName, Version,
};
use proptest::prelude::*;

/// A PUBLISH at QoS 0 with this topic and nothing else.
fn publish(version: Version, topic: &str) -> Vec<u8> {
    let properties = if version.is_v5() { "00" } else { "" };
    body("").string(topic).hex(properties).packet(0x30)
}

fn connect_with_will(version: Version, topic: &str) -> Vec<u8> {
    let properties = if version.is_v5() { "00" } else { "" };
    let start = connect_start(version, 6).hex("00 3C").hex(properties).string("c");
    start.hex(properties).string(topic).string("").packet(0x10)
}

fn subscribe(version: Version, filter: &str) -> Vec<u8> {
    let properties = if version.is_v5() { "00" } else { "" };
    body("00 01").hex(properties).string(filter).hex("00").packet(0x82)
}

fn unsubscribe(version: Version, filter: &str) -> Vec<u8> {
    let properties = if version.is_v5() { "00" } else { "" };
    body("00 01").hex(properties).string(filter).packet(0xA2)
}

/// [MQTT-4.7.0-1] [MQTT-4.7.1-1/3.1.1] [MQTT-3.3.2-2] [MQTT-3.3.2-2/3.1.1] [MQTT-3.3.2-14]
#[test]
fn wildcards_are_for_filters_only() {
    for name in ["#", "+", "a/#", "a/+/b", "a#", "+a", "long enough for words of eight bytes, with a + in it"]
    {
        assert_eq!(TopicName::try_from(name), Err(TopicError::Wildcard), "{name}");
        assert_eq!(Topic::new(name), Err(TopicError::Wildcard), "{name}");
        let value = Value { topic: name.into(), ..Value::default() };
        let error = set(PropertiesBuf::builder(), PropertyId::ResponseTopic, &value).build().unwrap_err();
        assert_eq!(error.fault, PropertyFault::Topic(TopicError::Wildcard));
        let fault = Fault::Topic(TopicError::Wildcard);
        for version in VERSIONS {
            let error = refuse(version, publish(version, name), Field::TopicName, fault);
            assert_eq!(error.reason_code(), ReasonCode::TOPIC_NAME_INVALID);
            refuse(version, connect_with_will(version, name), Field::WillTopic, fault);
        }
        let block = body("08").string(name).0;
        let field = Field::Property(PropertyId::ResponseTopic);
        for place in ["PUBLISH", "WILL"] {
            let error = refuse(Version::V5, common::properties::wire_with(place, &block), field, fault);
            assert_eq!(error.reason_code(), ReasonCode::PROTOCOL_ERROR);
        }
    }
}

/// What a filter is, made and received alike.
fn check_filter(filter: &str, expected: Result<(), TopicError>) {
    assert_eq!(TopicFilter::try_from(filter).map(drop), expected, "{filter}");
    for version in VERSIONS {
        for wire in [subscribe(version, filter), unsubscribe(version, filter)] {
            match expected {
                Ok(()) => assert!(decode(version, wire).is_ok(), "{filter}"),
                Err(error) => {
                    refuse(version, wire, Field::TopicFilter, Fault::Topic(error));
                }
            }
        }
    }
}

/// [MQTT-4.7.1-1] [MQTT-4.7.1-2/3.1.1]
#[test]
fn the_multi_level_wildcard_stands_alone_and_last() {
    for filter in ["#", "a/#", "/#", "a/b/c/d/e/#", "+/#", "$SYS/#"] {
        check_filter(filter, Ok(()));
    }
    for filter in
        ["a#", "a/#/b", "#/", "##", "#a", "a/b#", "/#/", "levels/of/eight/bytes#", "#/levels/of/eight"]
    {
        check_filter(filter, Err(TopicError::MultiLevel));
    }
}

/// [MQTT-4.7.1-2] [MQTT-4.7.1-3/3.1.1]
#[test]
fn the_single_level_wildcard_fills_its_level() {
    for filter in ["+", "+/a", "a/+", "a/+/#", "/+", "+/+", "+/", "levels/of/+/eight/bytes/+"] {
        check_filter(filter, Ok(()));
    }
    for filter in ["a+", "+a", "+a/b", "a/b+", "a/+b/c", "++", "levels/of/eight+/bytes"] {
        check_filter(filter, Err(TopicError::SingleLevel));
    }
}

/// [MQTT-4.7.3-1] [MQTT-4.7.3-1/3.1.1] [MQTT-3.3.2-1] [MQTT-3.3.2-1/3.1.1]
#[test]
fn the_empty_topic_is_none() {
    assert_eq!(TopicName::try_from(""), Err(TopicError::Empty));
    assert_eq!(Topic::new(""), Err(TopicError::Empty));
    check_filter("", Err(TopicError::Empty));
    let value = Value { topic: String::new(), ..Value::default() };
    let error = set(PropertiesBuf::builder(), PropertyId::ResponseTopic, &value).build().unwrap_err();
    assert_eq!(error.fault, PropertyFault::Topic(TopicError::Empty));
    let fault = Fault::Topic(TopicError::Empty);
    for version in VERSIONS {
        for (wire, field) in [
            (publish(version, ""), Field::TopicName),
            (connect_with_will(version, ""), Field::WillTopic),
            (subscribe(version, ""), Field::TopicFilter),
            (unsubscribe(version, ""), Field::TopicFilter),
        ] {
            let error = refuse(version, wire, field, fault);
            assert_eq!(error.reason_code(), ReasonCode::PROTOCOL_ERROR);
        }
    }
    let response = common::properties::wire_with("PUBLISH", &[8, 0, 0]);
    refuse(Version::V5, response, Field::Property(PropertyId::ResponseTopic), fault);
}

/// [MQTT-4.8.2-1] [MQTT-4.8.2-2] [MQTT-4.7.3-1]
#[test]
fn a_share_has_a_name_and_a_filter() {
    for filter in
        ["$share/g/t", "$share/g/#", "$share/g/+/x", "$share/g//t", "$share/gé /t", "$shared/x", "$SHARE"]
    {
        check_filter(filter, Ok(()));
    }
    for filter in [
        "$share",
        "$share/",
        "$share/g",
        "$share/g/",
        "$share//t",
        "$share/g+/t",
        "$share/#/t",
        "$share/+/t",
        "$share/#",
    ] {
        check_filter(filter, Err(TopicError::Share));
    }
    check_filter("$share/g/a#", Err(TopicError::MultiLevel));
    check_filter("$share/g/a+", Err(TopicError::SingleLevel));
    let shared = common::filter("$share/group/a/+");
    assert_eq!((shared.shared(), shared.filter()), (Some(("group", "a/+")), "a/+"));
    let plain = common::filter("$shared/group/a");
    assert_eq!((plain.shared(), plain.filter(), plain.is_wildcard()), (None, "$shared/group/a", false));
}

#[test]
fn a_shared_filter_matches_as_the_filter_behind_it() {
    let shared = common::filter("$share/g/+/t");
    assert!(shared.matches("a/t") && !shared.matches("$share/g/a/t") && !shared.matches("$SYS/t"));
    assert!(shared.is_wildcard() && !common::filter("$share/g/t").is_wildcard());
}

/// The oracle: section 4.7 word for word, level by level.
fn oracle(filter: &[&str], topic: &[&str]) -> bool {
    match (filter, topic) {
        ([], []) | (["#"], _) => true,
        (["+", filter @ ..], [_, topic @ ..]) => oracle(filter, topic),
        ([this, filter @ ..], [that, topic @ ..]) => this == that && oracle(filter, topic),
        _ => false,
    }
}

fn oracle_matches(filter: &str, topic: &str) -> bool {
    if topic.starts_with('$') && filter.starts_with(['+', '#']) {
        return false;
    }
    let filter: Vec<_> = filter.split('/').collect();
    let topic: Vec<_> = topic.split('/').collect();
    oracle(&filter, &topic)
}

fn levels(of: &'static str) -> impl Strategy<Value = String> {
    prop::collection::vec(of, 1..5).prop_map(|levels| levels.join("/"))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(5_000))]

    #[test]
    fn matching_agrees_with_the_oracle(filter in levels("[ab$]{0,2}|\\+|#"), topic in levels("[ab$]{0,2}")) {
        if let (Ok(filter), Ok(topic)) = (TopicFilter::try_from(filter), TopicName::try_from(topic)) {
            prop_assert_eq!(filter.matches(&topic), oracle_matches(&filter, &topic), "{} {}", filter, topic);
        }
    }

    /// Names and filters by the words of the standard, for any string.
    #[test]
    fn checks_agree_with_the_oracle(text in "[ab/+#$\0é]{0,20}|\\$share/[ab/+#]{0,8}") {
        let plain = |text: &str| {
            let alone = |wildcard| text.split('/').all(|level| level == wildcard || !level.contains(wildcard));
            let last = text.find('#').is_none_or(|at| at + 1 == text.len());
            !text.is_empty() && !text.contains('\0') && alone("+") && alone("#") && last
        };
        let name = !text.is_empty() && !text.contains(['\0', '+', '#']);
        let filter = match text.strip_prefix("$share/").map(|shared| shared.split_once('/')) {
            Some(Some((name, filter))) => {
                !name.is_empty() && !name.contains(['\0', '+', '#']) && plain(filter)
            }
            Some(None) => false,
            None => text != "$share" && plain(&text),
        };
        prop_assert_eq!(TopicName::try_from(text.as_str()).is_ok(), name);
        prop_assert_eq!(TopicFilter::try_from(text.as_str()).is_ok(), filter);
    }
}
