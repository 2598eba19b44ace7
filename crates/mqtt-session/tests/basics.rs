//! Faults in the foundations that clients in daily use have been found with. Each test is named after one, and says
//! first what went wrong there.

use core::time::Duration;
use mqtt_codec::{Connect, Packet, QoS, ReasonCode, Version};
use mqtt_session::{Config, Limits};
use mqtt_testkit::packets::{
    connack, pingreq, pingresp, puback, pubcomp, publish, pubrec, pubrel, suback, subscribe, unsuback,
    unsubscribe, will,
};
use mqtt_testkit::pair::{Pair, acked, config, message, subscribed};

const ALL: [Version; 3] = [Version::V3_1, Version::V3_1_1, Version::V5];
const GRANTED: [ReasonCode; 3] =
    [ReasonCode::GRANTED_QOS_0, ReasonCode::GRANTED_QOS_1, ReasonCode::GRANTED_QOS_2];
const SECOND: Duration = Duration::from_secs(1);

fn keeping(version: Version, keep_alive: u16) -> Config {
    Config { keep_alive, ping_timeout: 3 * SECOND, ..config(version) }
}

/// Nothing happens, and the processor is busy: an idle session wants to be woken for its pings, and for
/// nothing else.
#[test]
fn fault_an_idle_session_sleeps() {
    for version in ALL {
        let mut pair = Pair::connected(keeping(version, 60));
        let (mut wakes, mut pings) = (0, 0);
        let start = pair.now();
        while pair.now() < start + 3600 * SECOND {
            pair.step();
            wakes += 1;
            if let Some(packet) = pair.received() {
                assert_eq!(packet, Packet::PingReq);
                pings += 1;
                pair.send(pingresp());
            }
        }
        assert_eq!((wakes, pings), (60, 60));
        pair.expect_no_event();
        // With a message that waits for its answer too, and without a connection not at all.
        pair.publish(message("a", "x", QoS::AtLeastOnce));
        pair.received();
        assert_eq!(pair.session.poll_timeout(), Some(pair.now() + 60 * SECOND));
        pair.cut();
        assert_eq!(pair.session.poll_timeout(), None);
    }
}

/// After PUBREC nothing is ever sent again, and the exchange hangs. `[MQTT-4.3.3-5]` `[MQTT-4.3.3-6]`
/// `[MQTT-4.3.3-1/3.1.1]`, trap 7: PUBREL is, as 62, before new messages, and PUBLISH never.
#[test]
fn fault_pubrel_is_sent_again_on_resume() {
    for version in ALL {
        let mut pair = Pair::connected(config(version));
        let token = pair.publish(message("a", "x", QoS::ExactlyOnce));
        pair.send(pubrec(1));
        pair.cut();
        pair.ended();
        pair.publish(message("a", "new", QoS::AtMostOnce));
        pair.resume();
        pair.expect_hex("62 02 00 01");
        pair.expect(publish("a", "new"));
        pair.expect_silence();
        pair.send(pubcomp(1));
        pair.completed();
        assert_eq!(pair.completed(), (token, acked()));
    }
}

/// A request whose answer is lost with the connection is forgotten. `[MQTT-4.4.0-1]`: it is not resent, but
/// asked again as a new packet, and its token lives on.
#[test]
fn fault_subscribe_and_unsubscribe_without_an_answer_are_asked_again() {
    for version in ALL {
        for present in [true, false] {
            let mut pair = Pair::connected(config(version));
            let one = pair.subscribe(&[("a", QoS::AtMostOnce)]);
            let two = pair.unsubscribe(&["b"]);
            let three = pair.subscribe(&[("b", QoS::AtMostOnce)]);
            while pair.received().is_some() {}
            pair.cut();
            pair.ended();
            if present {
                pair.resume()
            } else {
                pair.connect(connack())
            };
            pair.expect(subscribe(4, [("a", QoS::AtMostOnce)]));
            pair.expect(unsubscribe(5, ["b"]));
            pair.expect(subscribe(6, [("b", QoS::AtMostOnce)]));
            pair.expect_silence();
            pair.send(suback(4, &GRANTED[..1]));
            pair.send(unsuback(5, if version.is_v5() { &[ReasonCode::SUCCESS] } else { &[] }));
            pair.send(suback(6, &GRANTED[..1]));
            assert_eq!([pair.completed().0, pair.completed().0, pair.completed().0], [one, two, three]);
        }
    }
}

/// A refused subscription counts as granted with QoS 0. `[MQTT-3.8.4-7]` `[MQTT-3.8.3-2/3.1.1]`; in 3.1,
/// which has no refusals, too `[31-5]`.
#[test]
fn fault_suback_0x80_is_no_granted_qos() {
    for (version, hex) in [
        (Version::V3_1, "90 04 00 01 80 00"),
        (Version::V3_1_1, "90 04 00 01 80 00"),
        (Version::V5, "90 05 00 01 00 80 00"),
    ] {
        let mut pair = Pair::connected(config(version));
        let token = pair.subscribe(&[("a", QoS::AtMostOnce), ("b", QoS::AtMostOnce)]);
        pair.send_hex(hex);
        assert_eq!(pair.completed(), (token, subscribed(&[ReasonCode::UNSPECIFIED_ERROR, GRANTED[0]])));
    }
}

/// A duplicate is found, and then delivered. `[MQTT-4.3.3-10]` `[MQTT-4.3.3-2/3.1.1]`, trap 7: answered and
/// not delivered again.
#[test]
fn fault_duplicates_are_found_and_not_delivered() {
    for version in ALL {
        let mut pair = Pair::connected(config(version));
        pair.send(publish("a", "x").qos2(1));
        let token = pair.message_to_acknowledge("x");
        pair.acknowledge(token);
        pair.expect(pubrec(1));
        // With DUP or without: DUP is a hint only `[31-13]`.
        pair.send(publish("a", "x").qos2(1).dup());
        pair.expect(pubrec(1));
        pair.send(publish("a", "x").qos2(1));
        pair.expect(pubrec(1));
        pair.expect_no_event();
        pair.send(pubrel(1));
        pair.expect(pubcomp(1));
        pair.expect_no_event();
    }
}

/// Identifiers come round after 65,535 and meet those that are still in use: they are passed over, whatever
/// uses them.
#[test]
fn fault_identifiers_wrap_past_those_in_use() {
    for version in [Version::V3_1_1, Version::V5] {
        let limits = Limits { in_flight: Some(10), ..Limits::default() };
        let mut pair = Pair::connected(Config { limits, ..config(version) });
        pair.subscribe(&[("s", QoS::AtMostOnce)]);
        pair.expect(subscribe(1, [("s", QoS::AtMostOnce)]));
        pair.publish(message("a", "x", QoS::AtLeastOnce));
        pair.expect(publish("a", "x").qos1(2));
        pair.publish(message("a", "x", QoS::ExactlyOnce));
        pair.expect(publish("a", "x").qos2(3));
        pair.send(pubrec(3));
        pair.expect(pubrel(3));
        pair.unsubscribe(&["t"]);
        pair.expect(unsubscribe(4, ["t"]));
        for _ in 0..66_000 {
            pair.publish(message("a", "y", QoS::AtLeastOnce));
            let Some(Packet::Publish(sent)) = pair.received() else { panic!("no PUBLISH") };
            let id = sent.delivery().id().unwrap().get();
            assert!(id > 4, "{id} is in use");
            pair.send(puback(id));
            pair.completed();
        }
    }
}

/// A will without a payload is left out: CONNECT has it, with its flag, topic and an empty payload.
#[test]
fn fault_a_will_with_an_empty_payload_is_kept() {
    for (version, hex) in [
        (Version::V3_1, "10 14 00 06 4D 51 49 73 64 70 03 04 00 00 00 01 63 00 01 77 00 00"),
        (Version::V3_1_1, "10 12 00 04 4D 51 54 54 04 04 00 00 00 01 63 00 01 77 00 00"),
        (Version::V5, "10 19 00 04 4D 51 54 54 05 04 00 00 05 11 00 00 0E 10 00 01 63 00 00 01 77 00 00"),
    ] {
        let mut pair = Pair::new(Config { will: Some(will("w", "")), ..config(version) });
        pair.open();
        pair.expect_hex(hex);
        pair.expect_silence();
        let mut pair = Pair::new(Config { will: Some(will("w", "")), ..config(version) });
        let (Connect { will, .. }, _) = pair.connect(connack());
        assert!(will.is_some_and(|will| will.payload.is_empty()));
    }
}

/// Keep alive 0 pings without pause: here it is off, and costs no wake-ups.
#[test]
fn fault_keep_alive_0_never_pings() {
    for version in ALL {
        let mut pair = Pair::connected(keeping(version, 0));
        assert_eq!(pair.session.poll_timeout(), None);
        pair.advance(100_000 * SECOND);
        pair.expect_silence();
    }
}

/// CONNACK says whether the session is there, and nobody reads it: the same cut with the two answers ends in
/// two ways. `[MQTT-3.2.2-5]` `[MQTT-4.4.0-1]`
#[test]
fn fault_session_present_is_heeded() {
    for version in [Version::V3_1_1, Version::V5] {
        for present in [true, false] {
            let mut pair = Pair::connected(config(version));
            pair.subscribe(&[("s", QoS::ExactlyOnce)]);
            pair.send(suback(1, &GRANTED[2..]));
            pair.completed();
            pair.send(publish("s", "in").qos2(7));
            let token = pair.message_to_acknowledge("in");
            pair.acknowledge(token);
            pair.publish(message("a", "out", QoS::AtLeastOnce));
            while pair.received().is_some() {}
            pair.cut();
            pair.ended();
            if present {
                pair.resume();
                pair.expect(publish("a", "out").qos1(2).dup());
            } else {
                pair.connect(connack());
                pair.expect(subscribe(3, [("s", QoS::ExactlyOnce)]));
                pair.expect(publish("a", "out").qos1(4));
            }
            pair.expect_silence();
            // The same identifier: the message of before, or a new one.
            pair.send(publish("s", "in").qos2(7).dup());
            if present {
                pair.expect(pubrec(7));
                pair.expect_no_event();
            } else {
                let _ = pair.message_to_acknowledge("in");
            }
        }
    }
}

/// A large packet that arrives bit by bit makes the answer behind it late: it puts the deadline off.
#[test]
fn fault_a_large_packet_that_arrives_slowly_does_not_time_out_the_ping() {
    let mut pair = Pair::connected(keeping(Version::V5, 10));
    pair.advance(10 * SECOND);
    pair.expect(pingreq());
    pair.send_hex("30 0E 00 01 61 00");
    for _ in 0..9 {
        pair.advance(2 * SECOND);
        pair.send_hex("78");
        pair.expect_no_event();
    }
    pair.send_hex("78");
    let (received, _) = pair.message();
    assert_eq!(received.payload.len(), 10);
    pair.send(pingresp());
    pair.advance(3 * SECOND);
    pair.expect_no_event();
}

/// A large packet that leaves bit by bit blocks the pings: none is needed, bytes are leaving, and the
/// transport is not dead.
#[test]
fn fault_a_large_packet_that_leaves_slowly_is_not_taken_for_silence() {
    let mut pair = Pair::connected(keeping(Version::V5, 10));
    pair.stall();
    pair.publish(message("a", "0123456789", QoS::AtMostOnce));
    for _ in 0..10 {
        pair.advance(12 * SECOND);
        assert_eq!(pair.let_through(1), 1);
    }
    pair.expect_no_event();
    assert!(pair.session.is_connected());
}
