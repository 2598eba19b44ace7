//! Keep alive on the virtual clock. Trap 13: pings only in silence, and a deadline of its own for the answer.

use core::time::Duration;
use mqtt_codec::{ConnAck, PropertiesBuf, QoS, Version};
use mqtt_session::{Config, End};
use mqtt_testkit::packets::{connack, connack_with_session, pingreq, pingresp, publish};
use mqtt_testkit::pair::{Pair, config, message};

const ALL: [Version; 3] = [Version::V3_1, Version::V3_1_1, Version::V5];
const SECOND: Duration = Duration::from_secs(1);

fn keeping(version: Version, keep_alive: u16) -> Config {
    Config { keep_alive, ping_timeout: Duration::from_secs(3), ..config(version) }
}

/// `[MQTT-3.1.2-20]` `[MQTT-3.1.2-23/3.1.1]` `[31-15]`
#[test]
fn a_ping_breaks_the_silence() {
    for version in ALL {
        let mut pair = Pair::connected(keeping(version, 10));
        for _ in 0..3 {
            assert_eq!(pair.step(), 10 * SECOND);
            pair.expect_hex("C0 00");
            pair.expect_silence();
            pair.send(pingresp());
        }
    }
}

/// Every packet that is sent puts the ping off.
#[test]
fn traffic_puts_the_ping_off() {
    let mut pair = Pair::connected(keeping(Version::V5, 10));
    for _ in 0..5 {
        pair.advance(9 * SECOND);
        pair.publish(message("a", "x", QoS::AtMostOnce));
        pair.expect(publish("a", "x"));
    }
    assert_eq!(pair.step(), 10 * SECOND);
    pair.expect(pingreq());
}

/// `[MQTT-3.1.2-20]`: received packets do not, and an unasked PINGRESP is ignored.
#[test]
fn received_packets_do_not_put_the_ping_off() {
    let mut pair = Pair::connected(keeping(Version::V5, 1));
    for tenth in 1..=30 {
        pair.advance(SECOND / 10);
        pair.send(publish("a", "x"));
        pair.message();
        pair.send(pingresp());
        if tenth % 10 == 0 {
            pair.expect(pingreq());
        }
        pair.expect_silence();
    }
}

/// What counts is when bytes were written, not when they were handed out.
#[test]
fn the_clock_starts_when_the_packet_is_written() {
    let mut pair = Pair::connected(keeping(Version::V5, 10));
    pair.stall();
    pair.publish(message("a", "x", QoS::AtMostOnce));
    pair.advance(5 * SECOND);
    pair.unstall();
    pair.received();
    pair.advance(9 * SECOND);
    pair.expect_silence();
    pair.advance(SECOND);
    pair.expect(pingreq());
}

/// `[MQTT-3.1.2-21]` `[MQTT-3.2.2-21]`, trap 34: the server's value holds, longer, shorter or 0, on this
/// connection only.
#[test]
fn the_keep_alive_of_the_server_holds_for_one_connection() {
    let mut pair = Pair::new(keeping(Version::V5, 60));
    for seconds in [1, 1000] {
        let properties = PropertiesBuf::builder().server_keep_alive(seconds).build().unwrap();
        pair.connect(ConnAck { properties, ..connack() });
        assert_eq!(pair.step(), u32::from(seconds) * SECOND);
        pair.expect(pingreq());
        pair.cut();
        pair.ended();
    }
    let properties = PropertiesBuf::builder().server_keep_alive(0).build().unwrap();
    pair.connect(ConnAck { properties, ..connack() });
    assert_eq!(pair.session.poll_timeout(), None);
    pair.cut();
    pair.ended();
    pair.connect(connack_with_session());
    assert_eq!(pair.step(), 60 * SECOND);
    pair.expect(pingreq());
    // Also where the client had none.
    let mut pair = Pair::new(keeping(Version::V5, 0));
    let properties = PropertiesBuf::builder().server_keep_alive(5).build().unwrap();
    pair.connect(ConnAck { properties, ..connack() });
    assert_eq!(pair.step(), 5 * SECOND);
    pair.expect(pingreq());
}

/// `[5u-16]` `[311u-6]` `[31-14]`: no answer in time ends the connection, without a word.
#[test]
fn an_unanswered_ping_ends_the_connection() {
    for version in ALL {
        let mut pair = Pair::connected(keeping(version, 10));
        pair.advance(10 * SECOND);
        pair.expect(pingreq());
        pair.advance(3 * SECOND - Duration::from_nanos(1));
        pair.expect_no_event();
        pair.advance(Duration::from_nanos(1));
        assert_eq!(pair.ended(), End::PingTimeout);
        pair.expect_silence();
        assert_eq!(pair.session.poll_timeout(), None);
        pair.cut();
        pair.expect_no_event();
    }
}

/// `[MQTT-3.12.4-1]`: an answer takes any time up to the deadline; other packets are no answer.
#[test]
fn only_pingresp_answers_a_ping() {
    let mut pair = Pair::connected(keeping(Version::V5, 10));
    pair.advance(10 * SECOND);
    pair.send(publish("a", "x"));
    pair.message();
    pair.advance(2 * SECOND);
    pair.send(pingresp());
    pair.advance(7 * SECOND);
    pair.expect_no_event();
    pair.advance(SECOND);
    pair.expect(pingreq());
    pair.send(publish("a", "x"));
    pair.message();
    pair.advance(3 * SECOND);
    assert_eq!(pair.ended(), End::PingTimeout);
}

/// A ping whose answer may take longer than the keep alive does not stop the next one `[MQTT-3.1.2-20]`.
#[test]
fn pings_go_on_while_an_answer_is_awaited() {
    let mut pair = Pair::connected(Config { ping_timeout: 25 * SECOND, ..keeping(Version::V5, 10) });
    pair.advance(34 * SECOND);
    pair.expect(pingreq());
    pair.expect(pingreq());
    pair.expect(pingreq());
    pair.expect_silence();
    pair.expect_no_event();
    // The deadline is that of the first.
    pair.advance(SECOND);
    assert_eq!(pair.ended(), End::PingTimeout);
}

/// The driver has stopped reading: the answer lies unread, and its deadline is held; pings go on.
#[test]
fn the_deadline_is_held_while_reading_is_paused() {
    let mut pair = Pair::connected(keeping(Version::V5, 10));
    pair.advance(9 * SECOND);
    pair.session.handle_read_paused(pair.now());
    pair.advance(36 * SECOND);
    for _ in 0..4 {
        pair.expect(pingreq());
    }
    pair.expect_silence();
    pair.expect_no_event();
    pair.session.handle_read_resumed(pair.now());
    pair.advance(2 * SECOND);
    pair.expect_no_event();
    pair.advance(SECOND);
    assert_eq!(pair.ended(), End::PingTimeout);

    let mut pair = Pair::connected(keeping(Version::V5, 10));
    pair.advance(10 * SECOND);
    pair.session.handle_read_paused(pair.now());
    pair.advance(5 * SECOND);
    pair.session.handle_read_resumed(pair.now());
    pair.send(pingresp());
    pair.advance(4 * SECOND);
    pair.expect_no_event();
}

/// A half-open link takes no bytes: it is found all the same, though no ping can be written.
#[test]
fn a_stuck_transport_is_found() {
    let mut pair = Pair::connected(keeping(Version::V5, 10));
    pair.stall();
    pair.publish(message("a", "x", QoS::AtLeastOnce));
    pair.advance(13 * SECOND - Duration::from_nanos(1));
    pair.expect_no_event();
    pair.advance(Duration::from_nanos(1));
    assert_eq!(pair.ended(), End::PingTimeout);
}

/// The ping itself is stuck: its answer is due only after it is out.
#[test]
fn the_deadline_waits_for_the_ping_to_be_written() {
    let mut pair = Pair::connected(keeping(Version::V5, 10));
    pair.stall();
    pair.advance(10 * SECOND);
    pair.advance(2 * SECOND);
    assert_eq!(pair.let_through(1), 1);
    pair.advance(2 * SECOND);
    assert_eq!(pair.let_through(1), 1);
    pair.expect(pingreq());
    pair.advance(2 * SECOND);
    pair.expect_no_event();
    pair.advance(SECOND);
    assert_eq!(pair.ended(), End::PingTimeout);
}

/// An idle session sleeps, and waking it without need changes nothing.
#[test]
fn waking_up_early_is_harmless() {
    let mut pair = Pair::connected(keeping(Version::V5, 10));
    for _ in 0..3 {
        pair.session.handle_timeout(pair.now());
        pair.run();
    }
    pair.expect_silence();
    assert_eq!(pair.session.poll_timeout(), Some(pair.now() + 10 * SECOND));
}
