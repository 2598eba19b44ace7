//! QoS 1, both ways.

use core::time::Duration;
use mqtt_codec::{QoS, ReasonCode, Version};
use mqtt_testkit::packets::{puback, puback_with, pubcomp, publish, pubrec, suback};
use mqtt_testkit::pair::{Pair, acked, config, message};

const ALL: [Version; 3] = [Version::V3_1, Version::V3_1_1, Version::V5];

/// `[MQTT-4.3.2-1]` `[MQTT-4.3.2-2]` `[MQTT-2.2.1-5]`
#[test]
fn a_message_completes_with_its_puback() {
    for (version, hex) in [
        (Version::V3_1, "32 06 00 01 61 00 01 78"),
        (Version::V3_1_1, "32 06 00 01 61 00 01 78"),
        (Version::V5, "32 07 00 01 61 00 01 00 78"),
    ] {
        let mut pair = Pair::connected(config(version));
        let token = pair.publish(message("a", "x", QoS::AtLeastOnce));
        pair.expect_hex(hex);
        pair.expect_no_event();
        assert_eq!(pair.session.in_flight(), 1);
        pair.send_hex("40 02 00 01");
        assert_eq!(pair.completed(), (token, acked()));
        assert_eq!((pair.session.in_flight(), pair.session.queued_bytes()), (0, 0));
        pair.expect_silence();
    }
}

/// `[MQTT-4.3.2-3]`: nothing but its PUBACK completes it. Trap 5, decision 3: acknowledgements that fit
/// nothing are ignored.
#[test]
fn only_its_own_puback_completes_a_message() {
    for version in ALL {
        let mut pair = Pair::connected(config(version));
        let token = pair.publish(message("a", "x", QoS::AtLeastOnce));
        pair.received();
        pair.send(puback(2));
        pair.send(pubcomp(1));
        pair.send(suback(1, &[ReasonCode::GRANTED_QOS_0]));
        pair.expect_silence();
        pair.expect_no_event();
        pair.send(pubrec(1));
        pair.expect_no_event();
        assert_eq!(pair.session.in_flight(), 1);
        pair.send(puback(1));
        assert_eq!(pair.completed(), (token, acked()));
        // And once only.
        pair.send(puback(1));
        pair.expect_no_event();
    }
}

/// `[MQTT-4.4.0-1]` `[311u-12]`: nothing is sent again on a live link.
#[test]
fn nothing_is_sent_again_while_the_link_lives() {
    for version in ALL {
        let mut pair = Pair::connected(config(version));
        pair.publish(message("a", "x", QoS::AtLeastOnce));
        pair.publish(message("a", "y", QoS::ExactlyOnce));
        pair.received();
        pair.received();
        pair.advance(Duration::from_secs(3600));
        pair.expect_silence();
    }
}

/// `[MQTT-4.3.2-4]` `[MQTT-3.3.4-1]` `[MQTT-2.2.1-5]` `[MQTT-2.3.1-6/3.1.1]`: PUBACK when the application has
/// taken it over, not before.
#[test]
fn a_received_message_is_acknowledged_when_the_application_says_so() {
    for version in ALL {
        let mut pair = Pair::connected(config(version));
        pair.send(publish("a", "x").qos1(0x1234));
        pair.expect_silence();
        let token = pair.message_to_acknowledge("x");
        pair.expect_silence();
        pair.acknowledge(token);
        pair.expect_hex("40 02 12 34");
        pair.expect_silence();
    }
}

/// `[MQTT-4.3.2-5]`: after PUBACK the same identifier means a new message, DUP or not.
#[test]
fn the_same_identifier_is_a_new_message_after_puback() {
    for version in ALL {
        let mut pair = Pair::connected(config(version));
        for again in [publish("a", "x").qos1(1), publish("a", "x").qos1(1).dup()] {
            pair.send(again);
            let token = pair.message_to_acknowledge("x");
            pair.acknowledge(token);
            pair.expect(puback(1));
        }
    }
}

/// `[MQTT-2.2.1-4]`: the identifiers of the two directions know nothing of each other.
#[test]
fn server_identifiers_are_independent() {
    let mut pair = Pair::connected(config(Version::V5));
    let sent = pair.publish(message("a", "out", QoS::AtLeastOnce));
    pair.expect(publish("a", "out").qos1(1));
    pair.send(publish("a", "in").qos1(1));
    let token = pair.message_to_acknowledge("in");
    pair.acknowledge(token);
    pair.expect(puback(1));
    pair.expect_no_event();
    pair.send(puback(1));
    assert_eq!(pair.completed(), (sent, acked()));
}

/// The application may refuse; a reason that PUBACK cannot carry becomes one that it can.
#[test]
fn a_message_can_be_refused_with_a_reason() {
    let mut pair = Pair::connected(config(Version::V5));
    for (given, sent) in [
        (ReasonCode::QUOTA_EXCEEDED, ReasonCode::QUOTA_EXCEEDED),
        (ReasonCode::SERVER_BUSY, ReasonCode::UNSPECIFIED_ERROR),
        (ReasonCode::NO_MATCHING_SUBSCRIBERS, ReasonCode::SUCCESS),
    ] {
        pair.send(publish("a", "x").qos1(1));
        let token = pair.message_to_acknowledge("x");
        pair.acknowledge_with(token, given);
        pair.expect(puback_with(1, sent));
    }
    let mut pair = Pair::connected(config(Version::V3_1_1));
    pair.send(publish("a", "x").qos1(1));
    let token = pair.message_to_acknowledge("x");
    pair.acknowledge_with(token, ReasonCode::QUOTA_EXCEEDED);
    pair.expect_hex("40 02 00 01");
}

/// `[MQTT-3.3.1-3]` `[MQTT-3.3.1-3/3.1.1]`: DUP is reported, and never copied into what is published.
#[test]
fn dup_is_not_copied() {
    for version in ALL {
        let mut pair = Pair::connected(config(version));
        pair.send(publish("a", "x").qos1(1).dup());
        let (received, token) = pair.message();
        assert!(received.dup);
        pair.acknowledge(token.unwrap());
        pair.received();
        pair.publish(received);
        pair.expect(publish("a", "x").qos1(1));
    }
}
