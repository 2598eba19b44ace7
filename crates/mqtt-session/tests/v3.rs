//! What is particular to 3.1 and 3.1.1, beside what the other files test for all versions.

use mqtt_codec::{QoS, Version};
use mqtt_session::{CleanStart, Config, End};
use mqtt_testkit::packets::{puback, pubcomp, publish, pubrec, pubrel};
use mqtt_testkit::pair::{Pair, acked, config, message};

/// `[31-3]`: 3.1 has no Session Present, and its bit says nothing; with Clean Session 0 the session goes on
/// `[31-12]`.
#[test]
fn version_3_1_resumes_whatever_connack_says() {
    for hex in ["20 02 00 00", "20 02 01 00"] {
        let mut pair = Pair::connected(config(Version::V3_1));
        let token = pair.publish(message("a", "x", QoS::ExactlyOnce));
        pair.received();
        pair.send(publish("b", "in").qos2(5));
        let accepted = pair.message_to_acknowledge("in");
        pair.acknowledge(accepted);
        pair.expect(pubrec(5));
        pair.cut();
        pair.ended();
        pair.open();
        pair.received();
        pair.send_hex(hex);
        pair.event();
        pair.expect(publish("a", "x").qos2(1).dup());
        pair.send(publish("b", "in").qos2(5).dup());
        pair.expect(pubrec(5));
        pair.send(pubrec(1));
        pair.expect(pubrel(1));
        pair.send(pubcomp(1));
        assert_eq!(pair.completed(), (token, acked()));
        pair.expect_no_event();
    }
}

/// `[31-9]`: in 3.1 a PUBREL that is sent again may carry DUP; ours does not, the server's is taken.
#[test]
fn version_3_1_may_mark_a_repeated_pubrel() {
    let mut pair = Pair::connected(config(Version::V3_1));
    pair.send(publish("a", "in").qos2(5));
    let token = pair.message_to_acknowledge("in");
    pair.acknowledge(token);
    pair.expect(pubrec(5));
    for _ in 0..2 {
        pair.send_hex("6A 02 00 05");
        pair.expect_hex("70 02 00 05");
    }
    pair.publish(message("a", "out", QoS::ExactlyOnce));
    pair.received();
    pair.send(pubrec(1));
    pair.expect_hex("62 02 00 01");
    pair.cut();
    pair.ended();
    pair.resume();
    pair.expect_hex("62 02 00 01");
    pair.expect_silence();
}

/// With Clean Session 1 the bit of 3.1 is no protocol error either.
#[test]
fn version_3_1_does_not_judge_the_unused_bit() {
    let mut pair = Pair::new(Config { clean_start: CleanStart::Always, ..config(Version::V3_1) });
    pair.open();
    pair.received();
    pair.send_hex("20 02 01 00");
    assert!(
        matches!(pair.event(), Some(mqtt_session::Event::Connected(connected)) if !connected.session_present)
    );
}

/// `[MQTT-3.2.2-2/3.1.1]` `[311u-11]`: Session Present without anything to resume is taken.
#[test]
fn version_3_1_1_takes_a_session_it_knows_nothing_of() {
    let mut pair = Pair::new(config(Version::V3_1_1));
    assert!(pair.resume().1.session_present);
    pair.send(publish("a", "x").qos1(1));
    let token = pair.message_to_acknowledge("x");
    pair.acknowledge(token);
    pair.expect(puback(1));
}

/// `[31-26]`: no AUTH, which is a reserved type.
#[test]
fn there_is_no_auth() {
    for version in [Version::V3_1, Version::V3_1_1] {
        let mut pair = Pair::connected(config(version));
        pair.send_hex("F0 00");
        assert!(matches!(pair.ended(), End::Protocol(_)));
        pair.expect_silence();
    }
}

/// `[31-19]`: nothing tells that a message was refused.
#[test]
fn acknowledgements_are_always_a_success() {
    let mut pair = Pair::connected(config(Version::V3_1_1));
    let token = pair.publish(message("not/allowed", "x", QoS::AtLeastOnce));
    pair.send(puback(1));
    assert_eq!(pair.completed(), (token, acked()));
}

/// A whole round in each old version, byte by byte.
#[test]
fn a_round_in_3_1_byte_by_byte() {
    for (version, connect) in [
        (Version::V3_1, "10 0F 00 06 4D 51 49 73 64 70 03 00 00 00 00 01 63"),
        (Version::V3_1_1, "10 0D 00 04 4D 51 54 54 04 00 00 00 00 01 63"),
    ] {
        let mut pair = Pair::new(config(version));
        pair.open();
        pair.expect_hex(connect);
        pair.send_hex("20 02 00 00");
        pair.event();
        pair.subscribe(&[("a", QoS::ExactlyOnce)]);
        pair.expect_hex("82 06 00 01 00 01 61 02");
        pair.send_hex("90 03 00 01 02");
        pair.completed();
        pair.send_hex("34 06 00 01 61 00 09 78");
        let token = pair.message_to_acknowledge("x");
        pair.acknowledge(token);
        pair.expect_hex("50 02 00 09");
        pair.send_hex("62 02 00 09");
        pair.expect_hex("70 02 00 09");
        pair.unsubscribe(&["a"]);
        pair.expect_hex("A2 05 00 02 00 01 61");
        pair.send_hex("B0 02 00 02");
        pair.completed();
        pair.session
            .disconnect(mqtt_codec::Disconnect::new(mqtt_codec::ReasonCode::NORMAL_DISCONNECTION))
            .unwrap();
        pair.run();
        pair.expect_hex("E0 00");
        pair.expect_silence();
    }
}
