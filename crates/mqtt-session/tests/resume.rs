//! What survives a connection: session present or not, what is sent again and in which order, what is lost.

use core::time::Duration;
use mqtt_codec::{PropertiesBuf, QoS, ReasonCode, Version};
use mqtt_session::{CleanStart, Config, End, OnSessionLost, Outcome, ProtocolError};
use mqtt_testkit::packets::{
    connack, connack_with_session, disconnect, puback, pubcomp, publish, pubrec, pubrel, suback, subscribe,
    unsuback,
};
use mqtt_testkit::pair::{Pair, acked, config, message};

const ALL: [Version; 3] = [Version::V3_1, Version::V3_1_1, Version::V5];

/// A PUBREC that arrives, but whose PUBREL does not leave.
#[test]
fn a_release_that_never_left_is_sent_on_resume() {
    let mut pair = Pair::connected(config(Version::V5));
    pair.publish(message("a", "x", QoS::ExactlyOnce));
    pair.stall();
    pair.send(pubrec(1));
    pair.cut();
    pair.ended();
    pair.resume();
    pair.expect(pubrel(1));
    pair.expect_silence();
}

/// `[MQTT-4.6.0-1]`, trap 26: the order of first sending, whatever the identifiers; new messages come after.
#[test]
fn messages_are_sent_again_in_the_order_of_their_first_sending() {
    let mut pair = Pair::connected(config(Version::V5));
    // Use up the identifiers that are taken before one is used again, then leave 2 to be used after 3.
    for round in 1..=16 {
        pair.publish(message("a", "x", QoS::AtLeastOnce));
        pair.send(puback(round));
        pair.completed();
        pair.received();
    }
    let sent: Vec<_> = (0..40)
        .map(|number| {
            pair.publish(message("a", format!("{number}"), QoS::AtLeastOnce));
            pair.received().unwrap()
        })
        .collect();
    let ids = |packets: &[mqtt_codec::Packet]| -> Vec<u16> {
        packets
            .iter()
            .map(|packet| match packet {
                mqtt_codec::Packet::Publish(publish) => publish.delivery().id().unwrap().get(),
                other => panic!("{other:?}"),
            })
            .collect()
    };
    for id in [5, 2] {
        pair.send(puback(id));
        pair.completed();
        pair.publish(message("a", "late", QoS::AtLeastOnce));
    }
    let late: Vec<_> = (0..2).map(|_| pair.received().unwrap()).collect();
    assert_eq!(ids(&late), [5, 2], "the identifiers do not follow the order");
    pair.publish(message("a", "x", QoS::AtLeastOnce));
    pair.cut();
    pair.ended();
    pair.publish(message("a", "new", QoS::AtLeastOnce));
    pair.resume();
    let again: Vec<_> = core::iter::from_fn(|| pair.received()).collect();
    let mut expected: Vec<_> = ids(&sent).into_iter().filter(|id| ![5, 2].contains(id)).collect();
    expected.extend([5, 2, 41, 42]);
    assert_eq!(ids(&again), expected);
    for (place, packet) in again.iter().enumerate() {
        let mqtt_codec::Packet::Publish(publish) = packet else { panic!() };
        assert_eq!(publish.delivery().dup(), place < again.len() - 1, "DUP marks what was sent before");
    }
}

/// `[MQTT-3.2.2-3]` `[MQTT-3.2.2-5]` `[MQTT-3.1.2-4]` `[MQTT-3.2.2-3/3.1.1]`, decision 2, trap 3: the server
/// has no session. Sent again as new messages.
#[test]
fn a_lost_session_requeues_by_default() {
    for version in [Version::V3_1_1, Version::V5] {
        let mut pair = Pair::connected(config(version));
        let one = pair.publish(message("a", "1", QoS::AtLeastOnce));
        let two = pair.publish(message("a", "2", QoS::ExactlyOnce));
        let three = pair.publish(message("a", "3", QoS::ExactlyOnce));
        pair.send(pubrec(2));
        pair.cut();
        pair.ended();
        let four = pair.publish(message("a", "4", QoS::AtLeastOnce));
        let (_, connected) = pair.connect(connack());
        assert!(!connected.session_present);
        // What the server had taken over cannot be sent again without risking a second delivery.
        assert_eq!(pair.completed(), (two, Outcome::SessionLost));
        // Fresh exchanges, in the old order, before what was queued later.
        let mut ids = Vec::new();
        for payload in ["1", "3", "4"] {
            let Some(mqtt_codec::Packet::Publish(publish)) = pair.received() else { panic!("no PUBLISH") };
            assert_eq!((publish.payload(), publish.delivery().dup()), (payload.as_bytes(), false));
            ids.push(publish.delivery().id().unwrap().get());
        }
        pair.expect_silence();
        for (id, token) in [(ids[0], one), (ids[2], four)] {
            pair.send(puback(id));
            assert_eq!(pair.completed(), (token, acked()));
        }
        pair.send(pubrec(ids[1]));
        pair.send(pubcomp(ids[1]));
        assert_eq!(pair.completed(), (three, acked()));
        assert_eq!((pair.session.in_flight(), pair.session.queued_bytes()), (0, 0));
    }
}

/// Trap 3: the other policy; what was never sent survives all the same.
#[test]
fn a_lost_session_can_fail_what_was_in_flight() {
    let mut pair = Pair::connected(Config { on_session_lost: OnSessionLost::Fail, ..config(Version::V5) });
    let one = pair.publish(message("a", "1", QoS::AtLeastOnce));
    let two = pair.publish(message("a", "2", QoS::ExactlyOnce));
    pair.send(pubrec(2));
    pair.cut();
    pair.ended();
    pair.publish(message("a", "3", QoS::AtLeastOnce));
    pair.connect(connack());
    assert_eq!(pair.completed(), (two, Outcome::SessionLost));
    assert_eq!(pair.completed(), (one, Outcome::SessionLost));
    pair.expect_no_event();
    assert!(
        matches!(pair.received(), Some(mqtt_codec::Packet::Publish(publish)) if publish.payload() == b"3")
    );
    pair.expect_silence();
}

/// Trap 4, trap 5: identifiers are free after a loss, and an acknowledgement of the old session confirms
/// nothing.
#[test]
fn identifiers_are_free_after_a_lost_session() {
    let mut pair = Pair::connected(Config { on_session_lost: OnSessionLost::Fail, ..config(Version::V5) });
    pair.publish(message("a", "1", QoS::AtLeastOnce));
    pair.cut();
    pair.ended();
    pair.connect(connack());
    pair.completed();
    pair.send(puback(1));
    pair.expect_no_event();
    assert_eq!(pair.session.in_flight(), 0);
}

/// `[MQTT-3.2.2-5]`: received QoS 2 identifiers are forgotten with the session, tokens of it are void.
#[test]
fn a_lost_session_forgets_what_was_received() {
    for version in [Version::V3_1_1, Version::V5] {
        let mut pair = Pair::connected(config(version));
        pair.send(publish("a", "x").qos2(1));
        let stale = pair.message_to_acknowledge("x");
        pair.cut();
        pair.ended();
        pair.connect(connack());
        pair.send(publish("a", "y").qos2(1));
        let fresh = pair.message_to_acknowledge("y");
        pair.acknowledge(stale);
        pair.expect_silence();
        pair.acknowledge(fresh);
        pair.expect(pubrec(1));
    }
}

/// `[MQTT-3.1.2-4]` `[MQTT-3.1.2-6/3.1.1]`: a clean start drops the session on both sides, also where CONNACK
/// does not say so.
#[test]
fn a_clean_start_resumes_nothing() {
    for version in ALL {
        let mut pair = Pair::connected(Config {
            clean_start: CleanStart::Always,
            on_session_lost: OnSessionLost::Fail,
            ..config(version)
        });
        let token = pair.publish(message("a", "x", QoS::AtLeastOnce));
        pair.cut();
        pair.ended();
        let (connect, connected) = pair.connect(connack());
        assert!(connect.clean_start && !connected.session_present);
        assert_eq!(pair.completed(), (token, Outcome::SessionLost));
        pair.expect_silence();
    }
}

/// `[MQTT-3.1.2-6/3.1.1]`: the state of a clean session is used in no later one, also in 3.1, which cannot
/// say.
#[test]
fn a_clean_session_before_5_0_is_not_resumed_by_the_next() {
    for version in [Version::V3_1, Version::V3_1_1] {
        let mut pair = Pair::connected(Config {
            clean_start: CleanStart::FirstOnly,
            on_session_lost: OnSessionLost::Fail,
            ..config(version)
        });
        let token = pair.publish(message("a", "x", QoS::AtLeastOnce));
        pair.cut();
        pair.ended();
        let (connect, connected) = pair.connect(connack());
        assert!(!connect.clean_start && !connected.session_present);
        assert_eq!(pair.completed(), (token, Outcome::SessionLost));
        pair.expect_silence();
        // From now on there is a session to resume.
        pair.publish(message("a", "y", QoS::AtLeastOnce));
        pair.received();
        pair.cut();
        pair.ended();
        pair.resume();
        assert!(
            matches!(pair.received(), Some(mqtt_codec::Packet::Publish(publish)) if publish.delivery().dup())
        );
    }
}

/// `[MQTT-3.2.2-2]` `[MQTT-3.2.2-4]` `[MQTT-3.2.2-1/3.1.1]`, decision 1: a session that was to be forgotten.
#[test]
fn session_present_after_a_clean_start_is_a_protocol_error() {
    for version in [Version::V3_1_1, Version::V5] {
        let mut pair = Pair::new(Config { clean_start: CleanStart::Always, ..config(version) });
        pair.publish(message("a", "x", QoS::AtLeastOnce));
        pair.open();
        pair.received();
        pair.send(connack_with_session());
        assert_eq!(pair.ended(), End::Protocol(ProtocolError::SessionPresent));
        if version.is_v5() {
            pair.expect(disconnect(ReasonCode::PROTOCOL_ERROR));
        }
        pair.expect_silence();
        assert!(!pair.session.is_connected());
    }
}

/// `[MQTT-3.2.2-4]` in the reading that an empty state is a state: who asks to resume may be resumed.
#[test]
fn session_present_on_the_first_resume_is_taken() {
    let mut pair = Pair::new(config(Version::V5));
    let (_, connected) = pair.connect(connack_with_session());
    assert!(connected.session_present);
    pair.send(publish("a", "from before").qos1(1));
    let _ = pair.message_to_acknowledge("from before");
}

/// `[MQTT-3.1.2-23]` `[MQTT-4.1.0-2]`: a session of 5.0 ends when its expiry interval has passed.
#[test]
fn an_expired_session_is_begun_anew() {
    for (expiry, away, clean) in
        [(None, 0, true), (Some(0), 0, true), (Some(10), 9, false), (Some(10), 10, true)]
    {
        let mut pair = Pair::connected(Config { session_expiry: expiry, ..config(Version::V5) });
        pair.publish(message("a", "x", QoS::AtLeastOnce));
        pair.received();
        // While it is up nothing expires `[MQTT-4.1.0-1]`.
        pair.advance(Duration::from_secs(100));
        pair.cut();
        pair.ended();
        pair.advance(Duration::from_secs(away));
        let (connect, _) = if clean { pair.connect(connack()) } else { pair.resume() };
        assert_eq!(connect.clean_start, clean, "expiry {expiry:?}, {away} s later");
        let Some(mqtt_codec::Packet::Publish(publish)) = pair.received() else { panic!("no PUBLISH") };
        assert_eq!(publish.delivery().dup(), !clean);
    }
}

/// What counts is whether the session was there when CONNECT asked for it, not how long the answer took.
#[test]
fn a_session_does_not_expire_while_the_server_answers() {
    let mut pair = Pair::connected(Config { session_expiry: Some(5), ..config(Version::V5) });
    pair.publish(message("a", "x", QoS::AtLeastOnce));
    pair.cut();
    pair.ended();
    pair.advance(Duration::from_secs(4));
    pair.open();
    pair.received();
    pair.advance(Duration::from_secs(4));
    pair.send(connack_with_session());
    pair.event();
    pair.expect(publish("a", "x").qos1(1).dup());
}

/// `[5u-20]` `[MQTT-3.1.2-23]`: CONNACK and DISCONNECT can change the expiry interval.
#[test]
fn the_expiry_interval_can_change() {
    let mut pair = Pair::new(Config { session_expiry: Some(10), ..config(Version::V5) });
    let properties = PropertiesBuf::builder().session_expiry_interval(u32::MAX).build().unwrap();
    pair.connect(mqtt_codec::ConnAck { properties, ..connack() });
    pair.cut();
    pair.ended();
    pair.advance(Duration::from_secs(1_000_000));
    assert!(!pair.resume().0.clean_start);
    let properties = PropertiesBuf::builder().session_expiry_interval(0).build().unwrap();
    let goodbye = mqtt_codec::Disconnect { reason: ReasonCode::NORMAL_DISCONNECTION, properties };
    pair.session.disconnect(goodbye).unwrap();
    pair.ended();
    pair.cut();
    assert!(pair.connect(connack()).0.clean_start);
}

/// The connection breaks again before everything was sent again, and before anything was.
#[test]
fn sending_again_is_not_spoilt_by_another_break() {
    let mut pair = Pair::connected(config(Version::V5));
    for payload in ["1", "2", "3"] {
        pair.publish(message("a", payload, QoS::AtLeastOnce));
    }
    pair.cut();
    pair.ended();
    let one_at_a_time = || PropertiesBuf::builder().receive_maximum(1).build().unwrap();
    pair.connect(mqtt_codec::ConnAck { properties: one_at_a_time(), ..connack_with_session() });
    pair.expect(publish("a", "1").qos1(1).dup());
    pair.expect_silence();
    pair.cut();
    pair.ended();
    pair.open();
    pair.cut();
    pair.ended();
    pair.connect(mqtt_codec::ConnAck { properties: one_at_a_time(), ..connack_with_session() });
    for id in 1..=3 {
        pair.expect(publish("a", id.to_string()).qos1(id).dup());
        pair.expect_silence();
        pair.send(puback(id));
    }
    pair.expect_silence();
}

/// An acknowledgement for a message that waits to be sent again.
#[test]
fn an_early_acknowledgement_saves_sending_again() {
    let mut pair = Pair::connected(config(Version::V5));
    for payload in ["1", "2", "3"] {
        pair.publish(message("a", payload, QoS::ExactlyOnce));
    }
    pair.cut();
    pair.ended();
    let properties = PropertiesBuf::builder().receive_maximum(1).build().unwrap();
    pair.connect(mqtt_codec::ConnAck { properties, ..connack_with_session() });
    pair.expect(publish("a", "1").qos2(1).dup());
    pair.send(pubrec(2));
    pair.expect(pubrel(2));
    pair.send(pubrec(1));
    pair.expect(pubrel(1));
    pair.send(pubcomp(1));
    // 2 still fills the window.
    pair.expect_silence();
    pair.send(pubcomp(2));
    pair.expect(publish("a", "3").qos2(3).dup());
    pair.expect_silence();
}

#[test]
fn giving_up_completes_every_token() {
    let mut pair = Pair::connected(config(Version::V5));
    let sent = pair.publish(message("a", "1", QoS::ExactlyOnce));
    let subscribe = pair.subscribe(&[("b", QoS::AtMostOnce)]);
    pair.stall();
    let unwritten = pair.publish(message("a", "2", QoS::AtMostOnce));
    pair.cut();
    pair.ended();
    assert_eq!(pair.completed(), (unwritten, Outcome::NotSent));
    let queued = pair.publish(message("a", "3", QoS::AtLeastOnce));
    let unsubscribe = pair.unsubscribe(&["b"]);
    pair.session.abandon(pair.now());
    assert_eq!(pair.completed(), (sent, Outcome::Unknown));
    assert_eq!(pair.completed(), (queued, Outcome::NotSent));
    // It was sent, and waits to be asked again: the server may have heard of it.
    assert_eq!(pair.completed(), (subscribe, Outcome::Unknown));
    assert_eq!(pair.completed(), (unsubscribe, Outcome::NotSent));
    pair.expect_no_event();
    assert_eq!((pair.session.queued(), pair.session.in_flight(), pair.session.queued_bytes()), (0, 0, 0));
}

/// The session subscribes again by itself, the application unsubscribes meanwhile and hears of its success; the answer to
/// the session's own request never comes. What is asked again then leaves that filter out.
#[test]
fn what_was_unsubscribed_is_not_subscribed_again() {
    for version in [Version::V3_1_1, Version::V5] {
        let mut pair = Pair::connected(config(version));
        pair.subscribe(&[("a", QoS::AtLeastOnce), ("b", QoS::AtLeastOnce)]);
        pair.received();
        pair.send(suback(1, &[ReasonCode::GRANTED_QOS_1, ReasonCode::GRANTED_QOS_1]));
        pair.completed();
        pair.cut();
        pair.ended();
        pair.connect(connack());
        pair.expect(subscribe(2, [("a", QoS::AtLeastOnce), ("b", QoS::AtLeastOnce)]));
        pair.unsubscribe(&["a"]);
        pair.received();
        let codes: &[ReasonCode] = if version.is_v5() { &[ReasonCode::SUCCESS] } else { &[] };
        pair.send(unsuback(3, codes));
        assert!(matches!(pair.completed().1, Outcome::Unsubscribed { .. }));
        pair.cut();
        pair.ended();
        pair.resume();
        pair.expect(subscribe(4, [("b", QoS::AtLeastOnce)]));
        pair.expect_silence();
    }
}

/// An earlier request without an answer is not asked again after a later one for the same filter was answered: it would
/// undo that. It may or may not have had its effect.
#[test]
fn an_earlier_request_does_not_undo_a_later_one() {
    for version in ALL {
        let mut pair = Pair::connected(config(version));
        let first = pair.subscribe(&[("a", QoS::AtMostOnce), ("b", QoS::AtMostOnce)]);
        let second = pair.subscribe(&[("a", QoS::ExactlyOnce)]);
        pair.received();
        pair.received();
        pair.send(suback(2, &[ReasonCode::GRANTED_QOS_2]));
        assert_eq!(pair.completed().0, second);
        pair.cut();
        pair.ended();
        assert_eq!(pair.completed(), (first, Outcome::Unknown));
        pair.resume();
        if version == Version::V3_1 {
            // It cannot know that the server has it still.
            pair.expect(subscribe(3, [("a", QoS::ExactlyOnce)]));
        }
        pair.expect_silence();
    }
}
