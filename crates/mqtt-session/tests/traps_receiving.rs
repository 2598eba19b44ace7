//! Traps that users of other clients fell into, each with its number: messages from the server, and its
//! answers. Each test says first what went wrong there.

use mqtt_codec::{ConnAck, Packet, PropertiesBuf, QoS, ReasonCode, Version};
use mqtt_session::{AckToken, Config, End, Event, ProtocolError};
use mqtt_testkit::packets::{
    PublishScript, connack, connack_with_session, disconnect, puback, pubcomp, publish, pubrec, pubrel,
    suback, unsuback,
};
use mqtt_testkit::pair::{Pair, config, message};

const ALL: [Version; 3] = [Version::V3_1, Version::V3_1_1, Version::V5];
const GRANTED: [ReasonCode; 3] =
    [ReasonCode::GRANTED_QOS_0, ReasonCode::GRANTED_QOS_1, ReasonCode::GRANTED_QOS_2];

fn aliased(topic: &str, payload: &'static str, number: u16) -> PublishScript {
    publish(topic, payload).properties(PropertiesBuf::builder().topic_alias(number).build().unwrap())
}

fn alias_maximum(maximum: u16) -> ConnAck {
    ConnAck {
        properties: PropertiesBuf::builder().topic_alias_maximum(maximum).build().unwrap(),
        ..connack()
    }
}

fn receiving(maximum: u16) -> Pair {
    Pair::connected(Config { topic_alias_maximum: maximum, ..config(Version::V5) })
}

fn say(pair: &mut Pair, topic: &str) {
    pair.publish(message(topic, "x", QoS::AtMostOnce));
    pair.completed();
}

/// A PUBREL that nobody waits for ends the connection, and the next one, and so on. Decision 3,
/// `[MQTT-4.3.3-11]` `[MQTT-4.3.3-2/3.1.1]` `[31-18]`: it is answered.
#[test]
fn trap_06_an_unknown_pubrel_is_answered() {
    let mut pair = Pair::connected(config(Version::V5));
    pair.send(pubrel(9));
    pair.expect_hex("70 03 00 09 92");
    assert!(pair.session.is_connected());
    for version in [Version::V3_1, Version::V3_1_1] {
        let mut pair = Pair::connected(config(version));
        pair.send(pubrel(9));
        pair.expect_hex("70 02 00 09");
    }
}

/// The connection breaks at the wrong moment, and the application sees a QoS 2 message twice. Each packet of
/// the exchange is the one that is lost here, and the application accepts the message at once, while there is
/// no connection, or after the repetition: one delivery. `[MQTT-4.3.3-10]` `[MQTT-4.3.3-2/3.1.1]`
#[test]
fn trap_07_qos_2_is_delivered_exactly_once_wherever_the_connection_breaks() {
    for version in ALL {
        for (lost, accept) in (0..4).flat_map(|lost| (0..3).map(move |accept| (lost, accept))) {
            let play = format!("{version}, lost: packet {lost}, accepts in stage {accept}");
            let mut pair = Pair::connected(config(version));
            let mut server = Sending { released: false, done: false };
            let mut application = Application { deliveries: 0, token: None };
            server.converse(&mut pair, Some(lost), |pair| application.look(pair, accept == 0));
            pair.cut();
            pair.ended();
            application.look(&mut pair, accept == 1);
            pair.resume();
            server.converse(&mut pair, None, |pair| application.look(pair, true));
            assert_eq!((application.deliveries, server.done), (1, true), "{play}");
            // The identifier is free for another message.
            pair.send(publish("a", "y").qos2(1));
            let _ = pair.message_to_acknowledge("y");
        }
    }
}

/// The server's side of one QoS 2 exchange.
struct Sending {
    released: bool,
    done: bool,
}

impl Sending {
    /// Goes on with the exchange, until the packet of this place in it, 0, 1, 2 or 3, is lost.
    fn converse(&mut self, pair: &mut Pair, lost: Option<u32>, mut application: impl FnMut(&mut Pair)) {
        while !self.done {
            let place = if self.released { 2 } else { 0 };
            if lost == Some(place) {
                return;
            }
            if lost == Some(place + 1) {
                pair.stall();
            }
            match self.released {
                true => pair.send(pubrel(1)),
                false if lost.is_some() => pair.send(publish("a", "x").qos2(1)),
                false => pair.send(publish("a", "x").qos2(1).dup()),
            }
            application(pair);
            match pair.received() {
                Some(Packet::PubRec(_)) if !self.released => self.released = true,
                Some(Packet::PubComp(_)) if self.released => self.done = true,
                Some(other) => panic!("{other:?}"),
                None => return,
            }
        }
    }
}

struct Application {
    deliveries: u32,
    token: Option<AckToken>,
}

impl Application {
    fn look(&mut self, pair: &mut Pair, accept: bool) {
        while let Some(event) = pair.event() {
            let Event::Message(_, token) = event else { panic!("{event:?}") };
            self.deliveries += 1;
            self.token = token;
        }
        if let Some(token) = self.token.take_if(|_| accept) {
            pair.acknowledge(token);
        }
    }
}

/// One bad topic from the server ends every connection: strict all the same, and by name, so that it can be
/// found; nothing that waits is lost. `[MQTT-3.3.2-2]` `[MQTT-3.3.2-2/3.1.1]`
#[test]
fn trap_19_a_bad_topic_ends_the_connection_by_name() {
    for version in ALL {
        // `#a` and `+a` are no names; `a/` is one.
        for topic in ["23 61", "61 2F", "2B 61"] {
            let end = if version.is_v5() { "00 78" } else { "78" };
            let length = if version.is_v5() { 6 } else { 5 };
            let mut pair = Pair::connected(config(version));
            pair.publish(message("a", "waits", QoS::AtLeastOnce));
            pair.expect(publish("a", "waits").qos1(1));
            pair.send_hex(&format!("30 {length:02X} 00 02 {topic} {end}"));
            if topic == "61 2F" {
                assert_eq!(pair.message().0.topic(), "a/");
                continue;
            }
            let End::Protocol(error @ ProtocolError::Decode(_)) = pair.ended() else { panic!("{topic}") };
            assert!(error.to_string().contains("topic"), "{error}");
            if version.is_v5() {
                pair.expect(disconnect(error.reason_code()));
            }
            pair.expect_silence();
            pair.expect_no_event();
            pair.cut();
            pair.resume();
            pair.expect(publish("a", "waits").qos1(1).dup());
        }
    }
}

/// Or, if the application prefers that: it is acknowledged, dropped and reported, and the connection goes on.
#[test]
fn trap_19_a_bad_topic_can_be_skipped() {
    for version in ALL {
        let v5 = version.is_v5();
        let mut pair = Pair::connected(Config { skip_misnamed: true, ..config(version) });
        for (first, id, answer) in [("30", "", ""), ("32", "00 07", "40"), ("34", "00 08", "50")] {
            let size = 5 + usize::from(v5) + if id.is_empty() { 0 } else { 2 };
            let properties = if v5 { "00" } else { "" };
            pair.send_hex(&format!("{first} {size:02X} 00 02 61 23 {id} {properties} 78"));
            let Some(Event::Skipped(error)) = pair.event() else { panic!("{version}, {first}") };
            assert!(error.to_string().contains("topic"), "{error}");
            match (answer, v5) {
                ("", _) => {}
                (_, true) => pair.expect_hex(&format!("{answer} 03 {id} 90")),
                (_, false) => pair.expect_hex(&format!("{answer} 02 {id}")),
            }
            pair.expect_silence();
        }
        if !v5 {
            pair.send(pubrel(8));
            pair.expect(pubcomp(8));
        }
        pair.send(publish("a", "good"));
        assert_eq!(pair.message().0.payload(), b"good");
        // What else is wrong with it still ends the connection: here an identifier of zero.
        let (size, properties) = if v5 { (8, "00") } else { (7, "") };
        pair.send_hex(&format!("32 {size:02X} 00 02 61 23 00 00 {properties} 78"));
        assert!(matches!(pair.ended(), End::Protocol(_)));
    }
}

/// One that is above our Receive Maximum ends the connection, and nothing is reported after the end `[MQTT-3.3.4-9]`.
#[test]
fn trap_19_a_bad_topic_counts_like_any_other() {
    let mut pair = Pair::connected(Config { skip_misnamed: true, receive_maximum: 1, ..config(Version::V5) });
    pair.send(publish("a", "held").qos1(1));
    let _held = pair.message_to_acknowledge("held");
    pair.send_hex("32 08 00 02 61 23 00 02 00 78");
    assert_eq!(pair.ended(), End::Protocol(ProtocolError::ReceiveMaximumExceeded(1)));
    pair.expect_no_event();
    pair.expect(disconnect(ReasonCode::RECEIVE_MAXIMUM_EXCEEDED));
}

/// Messages are acknowledged in the order in which the application is done, and the server is confused.
/// `[MQTT-4.6.0-2]` `[MQTT-4.6.0-2/3.1.1]`: any order in, the order of the messages out.
#[test]
fn trap_22_pubacks_given_out_of_order_leave_in_order() {
    for version in ALL {
        let mut pair = Pair::connected(config(version));
        let [one, two, three] = [(30, "1"), (10, "2"), (20, "3")].map(|(id, payload)| {
            pair.send(publish("a", payload).qos1(id));
            pair.message_to_acknowledge(payload)
        });
        pair.acknowledge(three);
        pair.expect_silence();
        pair.acknowledge(one);
        pair.expect(puback(30));
        pair.expect_silence();
        pair.acknowledge(two);
        pair.expect(puback(10));
        pair.expect(puback(20));
        pair.expect_silence();
    }
}

/// The same with PUBREC. `[MQTT-4.6.0-3]` `[MQTT-4.6.0-3/3.1.1]`
#[test]
fn trap_22_pubrecs_given_out_of_order_leave_in_order() {
    for version in ALL {
        let mut pair = Pair::connected(config(version));
        let [one, two, three] = [(30, "1"), (10, "2"), (20, "3")].map(|(id, payload)| {
            pair.send(publish("a", payload).qos2(id));
            pair.message_to_acknowledge(payload)
        });
        pair.acknowledge(three);
        pair.acknowledge(two);
        pair.expect_silence();
        pair.acknowledge(one);
        pair.expect(pubrec(30));
        pair.expect(pubrec(10));
        pair.expect(pubrec(20));
    }
}

/// An acknowledgement of the last connection is sent on this one, for a message that nobody has processed: it
/// is never sent on another, nor taken for another message.
#[test]
fn trap_23_no_puback_crosses_connections() {
    let mut pair = Pair::connected(config(Version::V5));
    pair.send(publish("a", "x").qos1(1));
    let stale = pair.message_to_acknowledge("x");
    pair.cut();
    pair.ended();
    pair.resume();
    pair.send(publish("a", "x").qos1(1).dup());
    let fresh = pair.message_to_acknowledge("x");
    pair.acknowledge(stale);
    pair.expect_silence();
    pair.acknowledge(fresh);
    pair.expect(puback(1));
    pair.expect_silence();
}

/// An alias of the last connection on the next one is a protocol error, and that one ends too.
/// `[MQTT-3.2.2-18]` `[MQTT-3.3.2-7]`: none without leave, also after a connection that gave it; and what is
/// sent again carries its topic in full.
#[test]
fn trap_24_outgoing_aliases_end_with_their_connection() {
    let mut pair = Pair::new(config(Version::V5));
    pair.connect(alias_maximum(5));
    say(&mut pair, "long/one");
    pair.received();
    pair.publish(message("long/one", "y", QoS::AtLeastOnce));
    pair.expect(aliased("", "y", 1).qos1(1));
    pair.cut();
    pair.ended();
    pair.connect(connack_with_session());
    pair.expect(publish("long/one", "y").qos1(1).dup());
    say(&mut pair, "long/one");
    pair.expect(publish("long/one", "x"));
    pair.cut();
    pair.ended();
    pair.connect(ConnAck { session_present: true, ..alias_maximum(5) });
    pair.expect(aliased("long/one", "y", 1).qos1(1).dup());
    say(&mut pair, "long/one");
    pair.expect(aliased("", "x", 1));
}

/// And the other way: what the server taught on one connection means nothing on the next. `[MQTT-3.3.2-7]`
#[test]
fn trap_24_received_aliases_end_with_their_connection() {
    let mut pair = receiving(2);
    pair.send(aliased("a", "x", 1));
    pair.message();
    pair.cut();
    pair.ended();
    pair.connect(connack_with_session());
    pair.send(aliased("", "x", 1));
    assert_eq!(pair.ended(), End::Protocol(ProtocolError::TopicAliasUnknown(1)));
}

/// A message that came with an alias reaches the application without a topic. `[MQTT-3.3.2-10]` `[5u-21]`:
/// remembered, resolved, given to another topic; the application sees topics only.
#[test]
fn trap_31_an_aliased_message_has_its_topic() {
    let mut pair = receiving(2);
    for (topic, number, seen) in
        [("a", 1, "a"), ("", 1, "a"), ("b", 2, "b"), ("", 2, "b"), ("c", 1, "c"), ("", 1, "c"), ("", 2, "b")]
    {
        pair.send(aliased(topic, "x", number).qos1(1));
        let (received, token) = pair.message();
        assert_eq!(received.topic(), seen);
        pair.acknowledge(token.unwrap());
        pair.expect(puback(1));
    }
}

/// A SUBACK with too few codes brings the client down. `[MQTT-3.8.4-6]` `[MQTT-3.8.4-5/3.1.1]`
/// `[MQTT-3.11.3-1]`: not one code for each filter ends the connection, and nothing counts as granted.
#[test]
fn trap_35_a_bad_suback_grants_nothing() {
    for version in ALL {
        for codes in [1, 3] {
            let mut pair = Pair::connected(config(version));
            pair.subscribe(&[("a", QoS::AtMostOnce), ("b", QoS::AtMostOnce)]);
            pair.received();
            pair.send(suback(1, &GRANTED[..codes]));
            let packet = mqtt_codec::PacketType::SubAck;
            let error = ProtocolError::ReasonCodeCount { packet, codes, filters: 2 };
            assert_eq!(pair.ended(), End::Protocol(error));
            if version.is_v5() {
                pair.expect(disconnect(ReasonCode::PROTOCOL_ERROR));
            }
            pair.expect_silence();
            pair.expect_no_event();
        }
    }
    let mut pair = Pair::connected(config(Version::V5));
    pair.unsubscribe(&["a", "b"]);
    pair.received();
    pair.send(unsuback(1, &[ReasonCode::SUCCESS]));
    assert!(matches!(pair.ended(), End::Protocol(ProtocolError::ReasonCodeCount { .. })));
    pair.expect(disconnect(ReasonCode::PROTOCOL_ERROR));
}
