//! Flow control, section 4.9, both ways; and packet identifiers when all are taken.

use mqtt_codec::{ConnAck, Packet, PropertiesBuf, QoS, ReasonCode, Version};
use mqtt_session::{Config, End, Limits, ProtocolError};
use mqtt_testkit::packets::{
    connack, connack_with_session, disconnect, pingreq, puback, pubcomp, publish, pubrec, pubrec_with,
    pubrel, subscribe, unsubscribe,
};
use mqtt_testkit::pair::{Pair, config, message};

fn receive_maximum(maximum: u16) -> ConnAck {
    let properties = PropertiesBuf::builder().receive_maximum(maximum).build().unwrap();
    ConnAck { properties, ..connack() }
}

fn sent(pair: &mut Pair) -> Vec<u16> {
    core::iter::from_fn(|| pair.received())
        .map(|packet| match packet {
            Packet::Publish(publish) => publish.delivery().id().unwrap().get(),
            other => panic!("{other:?}"),
        })
        .collect()
}

/// `[MQTT-3.3.4-7]` `[MQTT-4.9.0-1]` `[MQTT-4.9.0-2]`: what takes from the window, and what gives back.
#[test]
fn the_window_of_the_server_is_kept() {
    let mut pair = Pair::new(config(Version::V5));
    pair.connect(receive_maximum(2));
    for qos in [QoS::AtLeastOnce, QoS::ExactlyOnce, QoS::ExactlyOnce, QoS::AtLeastOnce, QoS::AtLeastOnce] {
        pair.publish(message("a", "x", qos));
    }
    assert_eq!(sent(&mut pair), [1, 2]);
    assert_eq!((pair.session.in_flight(), pair.session.queued()), (2, 3));
    // A PUBREC that takes the message over gives nothing back.
    pair.send(pubrec(2));
    pair.expect(pubrel(2));
    pair.expect_silence();
    pair.send(pubcomp(2));
    assert_eq!(sent(&mut pair), [3]);
    // One that refuses it does.
    pair.send(pubrec_with(3, ReasonCode::QUOTA_EXCEEDED));
    assert_eq!(sent(&mut pair), [4]);
    pair.send(puback(1));
    assert_eq!(sent(&mut pair), [5]);
    // Strays do not open it further than it was.
    for _ in 0..3 {
        pair.send(puback(1));
        pair.send(pubcomp(2));
        pair.send(pubrec_with(3, ReasonCode::QUOTA_EXCEEDED));
    }
    pair.publish(message("a", "x", QoS::AtLeastOnce));
    pair.expect_silence();
}

/// `[MQTT-3.3.4-8]` `[MQTT-4.9.0-3]`: a full window holds back PUBLISH only.
#[test]
fn a_full_window_holds_back_nothing_else() {
    let mut pair = Pair::new(Config { keep_alive: 5, ..config(Version::V5) });
    pair.connect(receive_maximum(1));
    pair.publish(message("a", "x", QoS::AtLeastOnce));
    pair.publish(message("a", "y", QoS::AtLeastOnce));
    pair.expect(publish("a", "x").qos1(1));
    pair.subscribe(&[("b", QoS::AtMostOnce)]);
    pair.expect(subscribe(2, [("b", QoS::AtMostOnce)]));
    pair.unsubscribe(&["b"]);
    pair.expect(unsubscribe(3, ["b"]));
    pair.send(publish("b", "in").qos1(9));
    let token = pair.message_to_acknowledge("in");
    pair.acknowledge(token);
    pair.expect(puback(9));
    pair.send(pubrel(8));
    pair.received();
    pair.step();
    pair.expect(pingreq());
    pair.expect_silence();
}

/// `[MQTT-4.9.0-1]`: it starts anew on each connection, and what is sent again counts.
#[test]
fn the_window_starts_anew_with_each_connection() {
    let mut pair = Pair::new(config(Version::V5));
    pair.connect(receive_maximum(3));
    for payload in ["1", "2", "3", "4"] {
        pair.publish(message("a", payload, QoS::AtLeastOnce));
    }
    assert_eq!(sent(&mut pair), [1, 2, 3]);
    pair.cut();
    pair.ended();
    pair.connect(ConnAck { session_present: true, ..receive_maximum(1) });
    for id in 1..=3 {
        pair.expect(publish("a", id.to_string()).qos1(id).dup());
        pair.expect_silence();
        pair.send(puback(id));
    }
    pair.expect(publish("a", "4").qos1(4));
}

/// Releases of the last connection count: their PUBCOMP has not come `[MQTT-3.3.4-7]`.
#[test]
fn releases_count_on_the_next_connection() {
    let mut pair = Pair::connected(config(Version::V5));
    for id in 1..=2 {
        pair.publish(message("a", "x", QoS::ExactlyOnce));
        pair.received();
        pair.send(pubrec(id));
        pair.received();
    }
    pair.publish(message("a", "y", QoS::AtLeastOnce));
    pair.received();
    pair.cut();
    pair.ended();
    pair.connect(ConnAck { session_present: true, ..receive_maximum(1) });
    // PUBREL goes out in any case.
    pair.expect(pubrel(1));
    pair.expect(pubrel(2));
    pair.expect_silence();
    pair.send(pubcomp(1));
    pair.expect_silence();
    pair.send(pubcomp(2));
    pair.expect(publish("a", "y").qos1(3).dup());
}

/// Our own bound, below the server's.
#[test]
fn the_window_can_be_narrowed() {
    let limits = Limits { in_flight: Some(2), ..Limits::default() };
    for version in [Version::V3_1_1, Version::V5] {
        let mut pair = Pair::connected(Config { limits, ..config(version) });
        for _ in 0..5 {
            pair.publish(message("a", "x", QoS::AtLeastOnce));
        }
        assert_eq!(sent(&mut pair), [1, 2]);
    }
}

/// Before 5.0 no server can say how much it takes, and some drop what is too much: the window has a default.
#[test]
fn the_window_has_a_default_before_5_0() {
    for (version, window) in [(Version::V3_1, 20), (Version::V3_1_1, 20), (Version::V5, 150)] {
        let mut pair = Pair::connected(config(version));
        for _ in 0..150 {
            pair.publish(message("a", "x", QoS::AtLeastOnce));
        }
        assert_eq!(sent(&mut pair).len(), window);
    }
}

/// `[MQTT-3.3.4-9]`: the server is held to our Receive Maximum.
#[test]
fn a_server_that_exceeds_our_receive_maximum_is_left() {
    let narrow = || Pair::connected(Config { receive_maximum: 1, ..config(Version::V5) });
    for (first, second) in [
        (publish("a", "x").qos1(1), publish("a", "y").qos1(2)),
        (publish("a", "x").qos2(1), publish("a", "y").qos1(2)),
    ] {
        let mut pair = narrow();
        pair.send(first);
        pair.send(publish("a", "free"));
        let _ = (pair.message(), pair.message());
        pair.send(second);
        assert_eq!(pair.ended(), End::Protocol(ProtocolError::ReceiveMaximumExceeded(1)));
        pair.expect(disconnect(ReasonCode::RECEIVE_MAXIMUM_EXCEEDED));
        pair.expect_silence();
    }
    // An acknowledgement makes room, at QoS 2 the last one; a repetition takes none.
    let mut pair = narrow();
    for _ in 0..3 {
        pair.send(publish("a", "x").qos1(1));
        let token = pair.message_to_acknowledge("x");
        pair.acknowledge(token);
        pair.expect(puback(1));
        pair.send(publish("a", "y").qos2(2));
        let token = pair.message_to_acknowledge("y");
        pair.acknowledge(token);
        pair.expect(pubrec(2));
        pair.send(publish("a", "y").qos2(2).dup());
        pair.expect(pubrec(2));
        pair.send(pubrel(2));
        pair.expect(pubcomp(2));
        pair.send(publish("a", "z").qos2(3));
        let token = pair.message_to_acknowledge("z");
        pair.acknowledge_with(token, ReasonCode::QUOTA_EXCEEDED);
        pair.expect(pubrec_with(3, ReasonCode::QUOTA_EXCEEDED));
    }
    assert!(pair.session.is_connected());
}

/// A server that repeats one message over and over cannot make the answers that it is owed pile up without end.
#[test]
fn repetitions_are_bounded_too() {
    let mut pair = Pair::connected(Config { receive_maximum: 2, ..config(Version::V5) });
    pair.send(publish("a", "x").qos2(1));
    pair.send(publish("a", "x").qos2(1).dup());
    let _held = pair.message_to_acknowledge("x");
    pair.send(publish("a", "x").qos2(1).dup());
    assert_eq!(pair.ended(), End::Protocol(ProtocolError::ReceiveMaximumExceeded(2)));
}

/// `[MQTT-4.9.0-2]`: an acknowledgement that has not left makes no room at the server.
#[test]
fn room_is_made_when_the_acknowledgement_leaves() {
    let mut pair = Pair::connected(Config { receive_maximum: 1, ..config(Version::V5) });
    pair.send(publish("a", "x").qos1(1));
    let token = pair.message_to_acknowledge("x");
    pair.session.acknowledge(token, ReasonCode::SUCCESS);
    // Not handed out: the server cannot have seen it.
    pair.send(publish("a", "y").qos1(2));
    assert!(matches!(pair.ended(), End::Protocol(ProtocolError::ReceiveMaximumExceeded(1))));
}

/// What was received on the last connection and is not sent again takes no room.
#[test]
fn our_window_starts_anew_with_each_connection() {
    let mut pair = Pair::connected(Config { receive_maximum: 1, ..config(Version::V5) });
    pair.send(publish("a", "x").qos2(1));
    let token = pair.message_to_acknowledge("x");
    pair.acknowledge(token);
    pair.expect(pubrec(1));
    pair.cut();
    pair.ended();
    pair.connect(connack_with_session());
    pair.send(publish("a", "y").qos1(2));
    let _held = pair.message_to_acknowledge("y");
    // Nor does its end make any.
    pair.send(pubrel(1));
    pair.expect(pubcomp(1));
    assert!(pair.session.is_connected());
    pair.send(publish("a", "z").qos1(3));
    assert!(matches!(pair.ended(), End::Protocol(ProtocolError::ReceiveMaximumExceeded(1))));
}
