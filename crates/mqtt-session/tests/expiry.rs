//! Message expiry, section 3.3.2.3.3: honoured while a message waits.

use core::time::Duration;
use mqtt_codec::{ConnAck, Packet, PropertiesBuf, QoS, Version};
use mqtt_session::{Message, Outcome};
use mqtt_testkit::packets::{connack, connack_with_session, puback, publish};
use mqtt_testkit::pair::{Pair, config, message};

const SECOND: Duration = Duration::from_secs(1);

fn expiring(payload: &'static str, qos: QoS, seconds: u32) -> Message {
    Message { properties: expiry(seconds), ..message("a", payload, qos) }
}

fn expiry(seconds: u32) -> PropertiesBuf {
    PropertiesBuf::builder().message_expiry_interval(seconds).build().unwrap()
}

/// What is left of the interval is sent, rounded up.
#[test]
fn the_interval_is_what_is_left_of_it() {
    let mut pair = Pair::connected(config(Version::V5));
    pair.publish(expiring("now", QoS::AtMostOnce, 10));
    pair.expect(publish("a", "now").properties(expiry(10)));
    pair.completed();
    pair.cut();
    pair.ended();
    pair.publish(expiring("x", QoS::AtLeastOnce, 10));
    pair.advance(Duration::from_millis(2500));
    pair.connect(connack_with_session());
    pair.expect(publish("a", "x").qos1(1).properties(expiry(8)));
}

/// It expires when its time has come, also without a connection, and makes room.
#[test]
fn a_waiting_message_expires() {
    let mut pair = Pair::new(config(Version::V5));
    let long = pair.publish(expiring("long", QoS::AtLeastOnce, 20));
    let short = pair.publish(expiring("short", QoS::AtMostOnce, 5));
    let ever = pair.publish(message("a", "ever", QoS::AtMostOnce));
    pair.advance(5 * SECOND - Duration::from_nanos(1));
    pair.expect_no_event();
    pair.advance(Duration::from_nanos(1));
    assert_eq!(pair.completed(), (short, Outcome::Expired));
    assert_eq!((pair.session.queued(), pair.session.queued_bytes()), (2, 27));
    pair.advance(15 * SECOND);
    assert_eq!(pair.completed(), (long, Outcome::Expired));
    assert_eq!(pair.session.poll_timeout(), None);
    pair.connect(connack());
    pair.expect(publish("a", "ever"));
    assert_eq!(pair.completed(), (ever, Outcome::Sent));
}

/// Behind a full window too; and a driver that is late sends nothing stale.
#[test]
fn a_message_behind_a_full_window_expires() {
    let mut pair = Pair::new(config(Version::V5));
    let properties = PropertiesBuf::builder().receive_maximum(1).build().unwrap();
    pair.connect(ConnAck { properties, ..connack() });
    pair.publish(message("a", "first", QoS::AtLeastOnce));
    let stale = pair.publish(expiring("stale", QoS::AtLeastOnce, 5));
    pair.expect(publish("a", "first").qos1(1));
    pair.advance(5 * SECOND);
    assert_eq!(pair.completed(), (stale, Outcome::Expired));
    pair.send(puback(1));
    pair.completed();
    pair.expect_silence();

    let mut session = mqtt_session::Session::new(config(Version::V5)).unwrap();
    let start = mqtt_session::Instant::ZERO;
    session.publish(start, expiring("stale", QoS::AtMostOnce, 5)).unwrap();
    let mut late = Pair::with_session(session);
    // The wake-up never came.
    late.session.handle_open(start + 6 * SECOND);
    let mut out = mqtt_codec::WireBuf::new();
    assert!(late.session.poll_transmit(start + 6 * SECOND, &mut out));
    let mut connack = bytes::BytesMut::from(&[0x20, 3, 0, 0, 0][..]);
    late.session.handle_input(start + 6 * SECOND, &mut connack);
    assert!(!late.session.poll_transmit(start + 6 * SECOND, &mut out));
    late.event();
    assert_eq!(late.completed().1, Outcome::Expired);
}

/// `[MQTT-4.3.3-7]`: what was sent once is sent again, however late, and expires at the server.
#[test]
fn a_message_that_was_sent_does_not_expire_here() {
    let mut pair = Pair::connected(config(Version::V5));
    pair.publish(expiring("1", QoS::AtLeastOnce, 5));
    pair.publish(expiring("2", QoS::ExactlyOnce, 5));
    pair.received();
    pair.received();
    pair.cut();
    pair.ended();
    pair.advance(60 * SECOND);
    pair.expect_no_event();
    pair.resume();
    pair.expect(publish("a", "1").qos1(1).dup().properties(expiry(0)));
    pair.expect(publish("a", "2").qos2(2).dup().properties(expiry(0)));
}

/// Sent in a lost session, queued again, expired: it may have arrived, so `Expired` would be a lie.
#[test]
fn a_requeued_message_that_expires_is_lost_with_its_session() {
    let mut pair = Pair::connected(config(Version::V5));
    let token = pair.publish(expiring("1", QoS::AtLeastOnce, 5));
    pair.received();
    pair.cut();
    pair.ended();
    pair.advance(60 * SECOND);
    pair.connect(connack());
    assert_eq!(pair.completed(), (token, Outcome::SessionLost));
    pair.expect_silence();
}

/// Many deadlines do not mean many wake-ups.
#[test]
fn the_queue_is_looked_through_once_a_second_at_most() {
    let mut pair = Pair::new(config(Version::V5));
    for _ in 0..100 {
        pair.publish(expiring("x", QoS::AtMostOnce, 5));
        pair.advance(SECOND / 100);
    }
    assert_eq!(pair.session.queued(), 100);
    pair.advance(4 * SECOND);
    assert_eq!(pair.session.queued(), 99);
    pair.advance(SECOND / 2);
    assert_eq!(pair.session.queued(), 99);
    pair.advance(SECOND / 2);
    assert_eq!(pair.session.queued(), 0);
}

/// The interval belongs to the message: it is received as it came.
#[test]
fn a_received_interval_is_passed_on() {
    let mut pair = Pair::connected(config(Version::V5));
    pair.send(publish("a", "x").properties(expiry(9)));
    assert_eq!(pair.message().0.properties, expiry(9));
    pair.publish(expiring("x", QoS::AtMostOnce, 9));
    assert!(matches!(pair.received(), Some(Packet::Publish(_))));
}
