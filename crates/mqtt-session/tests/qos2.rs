//! QoS 2, both ways.

use mqtt_codec::{QoS, ReasonCode, Version};
use mqtt_testkit::packets::{
    puback, pubcomp, pubcomp_with, publish, pubrec, pubrec_with, pubrel, pubrel_with,
};
use mqtt_testkit::pair::{Pair, acked, acked_with, config, message};

const ALL: [Version; 3] = [Version::V3_1, Version::V3_1_1, Version::V5];

/// `[MQTT-4.3.3-1]` `[MQTT-4.3.3-2]` `[MQTT-4.3.3-4]` `[MQTT-4.3.3-5]` `[MQTT-2.2.1-5]`
#[test]
fn a_message_completes_with_its_pubcomp() {
    for (version, hex) in [
        (Version::V3_1, "34 06 00 01 61 00 01 78"),
        (Version::V3_1_1, "34 06 00 01 61 00 01 78"),
        (Version::V5, "34 07 00 01 61 00 01 00 78"),
    ] {
        let mut pair = Pair::connected(config(version));
        let token = pair.publish(message("a", "x", QoS::ExactlyOnce));
        pair.expect_hex(hex);
        pair.send_hex("50 02 00 01");
        pair.expect_hex("62 02 00 01");
        // The server has the payload, ours is gone; the identifier is not free yet.
        assert_eq!((pair.session.in_flight(), pair.session.queued_bytes()), (1, 0));
        pair.expect_no_event();
        pair.publish(message("a", "y", QoS::AtLeastOnce));
        pair.expect(publish("a", "y").qos1(2));
        pair.send_hex("70 02 00 01");
        assert_eq!(pair.completed(), (token, acked()));
        assert_eq!(pair.session.in_flight(), 1);
    }
}

/// `[MQTT-4.3.3-3]`: PUBACK or PUBCOMP in place of PUBREC does not advance it.
#[test]
fn only_pubrec_advances_a_message() {
    let mut pair = Pair::connected(config(Version::V5));
    pair.publish(message("a", "x", QoS::ExactlyOnce));
    pair.received();
    pair.send(puback(1));
    pair.send(pubcomp(1));
    pair.expect_silence();
    pair.expect_no_event();
    assert_eq!(pair.session.in_flight(), 1);
    pair.cut();
    pair.ended();
    pair.resume();
    pair.expect(publish("a", "x").qos2(1).dup());
}

/// `[MQTT-4.3.3-4]` `[5u-24]`, trap 30: a failing PUBREC ends the exchange without PUBREL, frees identifier
/// and window.
#[test]
fn a_failing_pubrec_ends_the_exchange() {
    let mut pair = Pair::connected(config(Version::V5));
    let token = pair.publish(message("a", "x", QoS::ExactlyOnce));
    pair.received();
    pair.send(pubrec_with(1, ReasonCode::NOT_AUTHORIZED));
    pair.expect_silence();
    assert_eq!(pair.completed(), (token, acked_with(ReasonCode::NOT_AUTHORIZED)));
    assert_eq!((pair.session.in_flight(), pair.session.queued_bytes()), (0, 0));
    // `[MQTT-4.4.0-2]`: and nothing is sent again.
    pair.cut();
    pair.ended();
    pair.resume();
    pair.expect_silence();
}

/// The reason of PUBREC says what became of the message; PUBCOMP 0x92 says only that the server was done
/// already.
#[test]
fn the_reason_of_pubrec_is_reported() {
    let mut pair = Pair::connected(config(Version::V5));
    let token = pair.publish(message("a", "x", QoS::ExactlyOnce));
    pair.received();
    pair.send(pubrec_with(1, ReasonCode::NO_MATCHING_SUBSCRIBERS));
    pair.expect(pubrel(1));
    pair.send(pubcomp_with(1, ReasonCode::PACKET_IDENTIFIER_NOT_FOUND));
    assert_eq!(pair.completed(), (token, acked_with(ReasonCode::NO_MATCHING_SUBSCRIBERS)));
}

/// `[MQTT-4.3.3-6]`: a repeated PUBREC gets PUBREL again.
#[test]
fn a_repeated_pubrec_gets_pubrel_again() {
    for version in ALL {
        let mut pair = Pair::connected(config(version));
        let token = pair.publish(message("a", "x", QoS::ExactlyOnce));
        pair.received();
        for _ in 0..2 {
            pair.send(pubrec(1));
            pair.expect(pubrel(1));
        }
        pair.send(pubcomp(1));
        assert_eq!(pair.completed(), (token, acked()));
        pair.send(pubcomp(1));
        pair.expect_no_event();
    }
}

/// `[5u-32]`, decision 3: a PUBREC for nothing is answered, so that the server can end its side.
#[test]
fn an_unknown_pubrec_is_answered_by_pubrel() {
    let mut pair = Pair::connected(config(Version::V5));
    pair.send(pubrec(9));
    pair.expect_hex("62 03 00 09 92");
    pair.send(pubrec_with(9, ReasonCode::NOT_AUTHORIZED));
    pair.expect_silence();
    assert!(pair.session.is_connected());
    let mut pair = Pair::connected(config(Version::V3_1_1));
    pair.send(pubrec(9));
    pair.expect_hex("62 02 00 09");
}

/// `[MQTT-4.6.0-4]`: PUBREL in the order of PUBREC.
#[test]
fn pubrels_follow_the_order_of_pubrecs() {
    for version in ALL {
        let mut pair = Pair::connected(config(version));
        for payload in ["1", "2", "3"] {
            pair.publish(message("a", payload, QoS::ExactlyOnce));
            pair.received();
        }
        // In one read: 3, 1, 2.
        pair.send_hex("50 02 00 03 50 02 00 01 50 02 00 02");
        pair.expect_hex("62 02 00 03 62 02 00 01 62 02 00 02");
        // And the same again on resume.
        pair.cut();
        pair.ended();
        pair.resume();
        pair.expect_hex("62 02 00 03 62 02 00 01 62 02 00 02");
        pair.expect_silence();
    }
}

/// `[MQTT-4.3.3-8]` `[MQTT-4.3.3-11]` `[MQTT-4.3.3-12]`, decision 6: delivered at PUBLISH, PUBREC when the
/// application has taken it over.
#[test]
fn a_received_message_is_delivered_once_and_at_publish() {
    for version in ALL {
        let mut pair = Pair::connected(config(version));
        for _ in 0..2 {
            pair.send(publish("a", "x").qos2(1));
            let token = pair.message_to_acknowledge("x");
            pair.expect_silence();
            pair.acknowledge(token);
            pair.expect_hex("50 02 00 01");
            pair.send_hex("62 02 00 01");
            pair.expect_hex("70 02 00 01");
            pair.expect_no_event();
        }
    }
}

/// Each PUBLISH is owed its PUBREC, also if the application accepts after the repetition.
#[test]
fn a_repetition_before_the_application_accepts_is_answered_too() {
    let mut pair = Pair::connected(config(Version::V3_1_1));
    pair.send(publish("a", "x").qos2(1));
    pair.send(publish("a", "x").qos2(1).dup());
    let token = pair.message_to_acknowledge("x");
    pair.expect_no_event();
    pair.acknowledge(token);
    pair.expect(pubrec(1));
    pair.expect(pubrec(1));
    pair.expect_silence();
}

/// `[MQTT-4.3.3-9]`: after a refusal the same identifier means a new message.
#[test]
fn a_refused_message_frees_its_identifier() {
    let mut pair = Pair::connected(config(Version::V5));
    for _ in 0..2 {
        pair.send(publish("a", "x").qos2(1));
        let token = pair.message_to_acknowledge("x");
        pair.acknowledge_with(token, ReasonCode::QUOTA_EXCEEDED);
        pair.expect_hex("50 03 00 01 97");
    }
    // Before 5.0 there is no way to refuse, and the exchange goes on.
    let mut pair = Pair::connected(config(Version::V3_1_1));
    pair.send(publish("a", "x").qos2(1));
    let token = pair.message_to_acknowledge("x");
    pair.acknowledge_with(token, ReasonCode::QUOTA_EXCEEDED);
    pair.expect_hex("50 02 00 01");
    pair.send(publish("a", "x").qos2(1).dup());
    pair.expect(pubrec(1));
    pair.expect_no_event();
}

/// `[5u-31]`: PUBREL with any reason ends the exchange.
#[test]
fn a_pubrel_with_a_reason_ends_the_exchange() {
    let mut pair = Pair::connected(config(Version::V5));
    pair.send(publish("a", "x").qos2(1));
    let token = pair.message_to_acknowledge("x");
    pair.acknowledge(token);
    pair.expect(pubrec(1));
    pair.send(pubrel_with(1, ReasonCode::PACKET_IDENTIFIER_NOT_FOUND));
    pair.expect(pubcomp(1));
    pair.send(publish("a", "y").qos2(1));
    let _ = pair.message_to_acknowledge("y");
}

/// A PUBREL before the application has accepted ends the exchange; later PUBRECs are not held up by it.
#[test]
fn an_early_pubrel_holds_nothing_up() {
    let mut pair = Pair::connected(config(Version::V5));
    pair.send(publish("a", "x").qos2(1));
    pair.send(publish("a", "y").qos2(2));
    let (late, token) = (pair.message_to_acknowledge("x"), pair.message_to_acknowledge("y"));
    pair.acknowledge(token);
    pair.expect_silence();
    pair.send(pubrel(1));
    pair.expect(pubcomp(1));
    pair.expect(pubrec(2));
    pair.acknowledge(late);
    pair.expect_silence();
}

/// `[MQTT-4.3.3-10]` across a reconnection: accepted before, accepted after, never delivered twice.
#[test]
fn a_resumed_session_knows_what_was_delivered() {
    for version in ALL {
        for accept_early in [true, false] {
            let mut pair = Pair::connected(config(version));
            pair.send(publish("a", "x").qos2(7));
            let mut token = Some(pair.message_to_acknowledge("x"));
            if accept_early {
                pair.acknowledge(token.take().unwrap());
                pair.received();
            }
            pair.cut();
            pair.ended();
            pair.resume();
            pair.send(publish("a", "x").qos2(7).dup());
            if let Some(token) = token {
                pair.expect_silence();
                pair.acknowledge(token);
            }
            pair.expect(pubrec(7));
            pair.expect_no_event();
            pair.send(pubrel(7));
            pair.expect(pubcomp(7));
        }
    }
}

/// `[MQTT-4.3.3-13]`: the exchange is finished, however short the life of its message.
#[test]
fn an_expired_message_is_acknowledged_too() {
    let mut pair = Pair::connected(config(Version::V5));
    let properties = mqtt_codec::PropertiesBuf::builder().message_expiry_interval(0).build().unwrap();
    pair.send(publish("a", "x").qos2(1).properties(properties));
    pair.advance(core::time::Duration::from_secs(10));
    let token = pair.message_to_acknowledge("x");
    pair.acknowledge(token);
    pair.expect(pubrec(1));
    pair.send(pubrel(1));
    pair.expect(pubcomp(1));
}

/// Accepted between two connections.
#[test]
fn acceptance_counts_while_there_is_no_connection() {
    let mut pair = Pair::connected(config(Version::V5));
    pair.send(publish("a", "x").qos2(7));
    let token = pair.message_to_acknowledge("x");
    pair.cut();
    pair.ended();
    pair.acknowledge(token);
    pair.resume();
    pair.expect_silence();
    pair.send(publish("a", "x").qos2(7).dup());
    pair.expect(pubrec(7));
    pair.expect_no_event();
}
