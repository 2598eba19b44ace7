//! Topic aliases, both ways. Trap 24: they belong to one connection.

use mqtt_codec::{ConnAck, PropertiesBuf, PropertyId, QoS, ReasonCode, Version};
use mqtt_session::{Config, End, Limits, ProtocolError, UsageError};
use mqtt_testkit::packets::{PublishScript, connack, disconnect, publish};
use mqtt_testkit::pair::{Pair, config, message};

fn alias(alias: u16) -> PropertiesBuf {
    PropertiesBuf::builder().topic_alias(alias).build().unwrap()
}

fn aliased(topic: &str, payload: &'static str, number: u16) -> PublishScript {
    publish(topic, payload).properties(alias(number))
}

fn alias_maximum(maximum: u16) -> ConnAck {
    ConnAck {
        properties: PropertiesBuf::builder().topic_alias_maximum(maximum).build().unwrap(),
        ..connack()
    }
}

fn say(pair: &mut Pair, topic: &str) {
    pair.publish(message(topic, "x", QoS::AtMostOnce));
    pair.completed();
}

/// `[MQTT-3.2.2-17]` `[MQTT-3.3.2-9]`: from 1 to the server's maximum, the least recently used first to go.
#[test]
fn aliases_are_chosen_within_the_maximum_of_the_server() {
    let mut pair = Pair::new(config(Version::V5));
    pair.connect(alias_maximum(2));
    for (topic, sent, number) in [
        ("long/one", "long/one", 1),
        ("long/two", "long/two", 2),
        ("long/one", "", 1),
        ("long/three", "long/three", 2),
        ("long/three", "", 2),
        ("long/one", "", 1),
        ("long/two", "long/two", 2),
    ] {
        say(&mut pair, topic);
        pair.expect(aliased(sent, "x", number));
    }
    // A short topic gains nothing.
    say(&mut pair, "abc");
    pair.expect(publish("abc", "x"));
}

/// The application's own bound, below the server's.
#[test]
fn aliases_can_be_turned_off() {
    let limits = Limits { topic_aliases: 0, ..Limits::default() };
    let mut pair = Pair::new(Config { limits, ..config(Version::V5) });
    pair.connect(alias_maximum(5));
    say(&mut pair, "long/one");
    pair.expect(publish("long/one", "x"));
}

/// Aliases are no business of the application, and a received one is not sent on.
#[test]
fn an_alias_cannot_be_set_by_hand() {
    let mut pair = Pair::connected(config(Version::V5));
    let mut by_hand = message("a", "x", QoS::AtMostOnce);
    by_hand.properties = alias(1);
    let refused = pair.session.publish(pair.now(), by_hand);
    assert_eq!(refused, Err(UsageError::PropertyNotAllowed(PropertyId::TopicAlias)));
    assert_eq!(pair.session.queued(), 0);
}

/// A message that fits the server's packet size only without an alias goes without.
#[test]
fn an_alias_never_makes_a_packet_too_large() {
    let mut pair = Pair::new(config(Version::V5));
    let properties = PropertiesBuf::builder().topic_alias_maximum(5).maximum_packet_size(20).build().unwrap();
    pair.connect(ConnAck { properties, ..connack() });
    // 2 + 2 + 8 + 1 + 7 = 20
    pair.publish(message("long/one", "1234567", QoS::AtMostOnce));
    pair.expect(publish("long/one", "1234567"));
    pair.publish(message("long/one", "12", QoS::AtMostOnce));
    pair.expect(aliased("long/one", "12", 1));
    pair.publish(message("long/one", "12", QoS::AtMostOnce));
    pair.expect(aliased("", "12", 1));
}

fn receiving(maximum: u16) -> Pair {
    Pair::connected(Config { topic_alias_maximum: maximum, ..config(Version::V5) })
}

/// `[MQTT-4.3.3-10]` with an alias: a message that is not delivered again teaches its alias all the same.
#[test]
fn a_repetition_teaches_its_alias() {
    let mut pair = receiving(2);
    pair.send(publish("a", "x").qos2(1));
    let _ = pair.message_to_acknowledge("x");
    pair.send(aliased("a", "x", 1).qos2(1).dup());
    pair.expect_no_event();
    pair.send(aliased("", "y", 1));
    assert_eq!(pair.message().0.topic(), "a");
}

/// `[MQTT-3.1.2-26]` `[MQTT-3.1.2-27]` `[MQTT-3.3.2-11]` `[5u-21]`, decision 1.
#[test]
fn a_wrong_alias_ends_the_connection() {
    for (maximum, topic, number, error, reason) in [
        (2, "a", 3, ProtocolError::TopicAliasInvalid(3), ReasonCode::TOPIC_ALIAS_INVALID),
        (0, "a", 1, ProtocolError::TopicAliasInvalid(1), ReasonCode::TOPIC_ALIAS_INVALID),
        (2, "", 1, ProtocolError::TopicAliasUnknown(1), ReasonCode::PROTOCOL_ERROR),
    ] {
        let mut pair = receiving(maximum);
        pair.send(aliased(topic, "x", number));
        assert_eq!(pair.ended(), End::Protocol(error));
        pair.expect(disconnect(reason));
        pair.expect_silence();
    }
    // `[MQTT-3.3.2-8]`
    let mut pair = receiving(2);
    pair.send_hex("30 08 00 01 61 03 23 00 00 78");
    assert!(matches!(pair.ended(), End::Protocol(ProtocolError::Decode(_))));
    pair.expect(disconnect(ReasonCode::TOPIC_ALIAS_INVALID));
}
