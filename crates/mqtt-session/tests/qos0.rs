//! QoS 0: sent once, and what is known of it.

use mqtt_codec::{QoS, Version};
use mqtt_session::{Event, Outcome};
use mqtt_testkit::packets::{connack, publish};
use mqtt_testkit::pair::{Pair, config, message};

/// `[MQTT-4.3.1-1]`: QoS 0, DUP 0, once.
#[test]
fn a_message_is_sent_when_it_is_written() {
    for (version, hex) in [
        (Version::V3_1, "30 04 00 01 61 78"),
        (Version::V3_1_1, "30 04 00 01 61 78"),
        (Version::V5, "30 05 00 01 61 00 78"),
    ] {
        let mut pair = Pair::connected(config(version));
        pair.stall();
        let token = pair.publish(message("a", "x", QoS::AtMostOnce));
        pair.expect_no_event();
        pair.unstall();
        pair.expect_hex(hex);
        assert_eq!(pair.completed(), (token, Outcome::Sent));
        pair.cut();
        pair.ended();
        pair.resume();
        pair.expect_silence();
        pair.expect_no_event();
    }
}

/// What is queued while there is no connection is sent on the next one, in order.
#[test]
fn queued_messages_wait_for_a_connection() {
    let mut pair = Pair::new(config(Version::V5));
    let first = pair.publish(message("a", "1", QoS::AtMostOnce));
    let second = pair.publish(message("a", "2", QoS::AtMostOnce));
    assert_eq!((pair.session.queued(), pair.session.queued_bytes()), (2, 14));
    pair.connect(connack());
    pair.expect(publish("a", "1"));
    pair.expect(publish("a", "2"));
    assert_eq!(pair.completed(), (first, Outcome::Sent));
    assert_eq!(pair.completed(), (second, Outcome::Sent));
    assert_eq!((pair.session.queued(), pair.session.queued_bytes()), (0, 0));
}

/// Trap 8: an honest outcome for what was on its way when the link broke.
#[test]
fn a_broken_link_says_what_is_known() {
    let mut pair = Pair::connected(config(Version::V3_1_1));
    pair.stall();
    let tokens: Vec<_> = (0..3).map(|_| pair.publish(message("a", "x", QoS::AtMostOnce))).collect();
    // The first whole, one byte of the second.
    assert_eq!(pair.let_through(7), 7);
    assert_eq!(pair.completed(), (tokens[0], Outcome::Sent));
    pair.cut();
    pair.ended();
    assert_eq!(pair.completed(), (tokens[1], Outcome::Unknown));
    assert_eq!(pair.completed(), (tokens[2], Outcome::NotSent));
    pair.expect_no_event();
}

/// Messages leave in batches, and each is followed by itself, also behind bytes that were not taken yet.
#[test]
fn a_batch_completes_message_by_message() {
    let mut pair = Pair::connected(config(Version::V3_1_1));
    let now = pair.now();
    let mut out = mqtt_codec::WireBuf::new();
    let mut tokens = Vec::new();
    for _ in 0..2 {
        tokens.extend((0..3).map(|_| pair.session.publish(now, message("a", "x", QoS::AtMostOnce)).unwrap()));
        assert!(pair.session.poll_transmit(now, &mut out));
        assert!(!pair.session.poll_transmit(now, &mut out));
    }
    assert_eq!(out.len(), 36);
    for token in tokens {
        pair.session.handle_transmitted(now, 5);
        assert_eq!(pair.session.poll_event(), None);
        pair.session.handle_transmitted(now, 1);
        assert_eq!(pair.session.poll_event(), Some(Event::Completed(token, Outcome::Sent)));
    }
}

/// A batch is no larger than a driver wants it: it can look at its buffer before it asks for more.
#[test]
fn a_batch_ends_soon() {
    let mut pair = Pair::connected(config(Version::V5));
    let now = pair.now();
    for _ in 0..1000 {
        pair.session.publish(now, message("a", "sixteen bytes...", QoS::AtLeastOnce)).unwrap();
    }
    let (mut out, mut batches, mut before) = (mqtt_codec::WireBuf::new(), 0, 0);
    while pair.session.poll_transmit(now, &mut out) {
        assert!(out.len() - before <= 4096 + 24);
        (batches, before) = (batches + 1, out.len());
    }
    assert_eq!((out.len(), batches), (24_000, 6));
}
