//! Timed retransmission: for servers before 5.0, and only for those who ask [31-11]. The system before this one
//! promised it and never did it.

use core::time::Duration;
use mqtt_codec::{QoS, Version};
use mqtt_session::{Config, Session, UsageError};
use mqtt_testkit::packets::{puback, pubcomp, publish, pubrec, pubrel};
use mqtt_testkit::pair::{Pair, acked, config, message};

const BEFORE_5: [Version; 2] = [Version::V3_1, Version::V3_1_1];
const AFTER: Duration = Duration::from_secs(20);
/// By then it has come at the latest.
const LATEST: Duration = Duration::from_secs(25);

fn patient(version: Version) -> Config {
    Config { retransmit_after: Some(AFTER), ..config(version) }
}

/// [31-11]: PUBLISH with DUP, under the same identifier, in order, again and again until it is acknowledged.
#[test]
fn a_publish_without_an_answer_is_sent_again() {
    for version in BEFORE_5 {
        let mut pair = Pair::connected(patient(version));
        let first = pair.publish(message("a", "1", QoS::AtLeastOnce));
        pair.publish(message("a", "2", QoS::ExactlyOnce));
        pair.expect(publish("a", "1").qos1(1));
        pair.expect(publish("a", "2").qos2(2));
        pair.advance(AFTER - Duration::from_millis(1));
        pair.expect_silence();
        pair.advance(LATEST - AFTER + Duration::from_millis(1));
        pair.expect(publish("a", "1").qos1(1).dup());
        pair.expect(publish("a", "2").qos2(2).dup());
        pair.expect_silence();
        pair.send(puback(1));
        assert_eq!(pair.completed(), (first, acked()));
        pair.advance(LATEST);
        pair.expect(publish("a", "2").qos2(2).dup());
        pair.expect_silence();
    }
}

/// [31-11]: PUBREL too; its identifier and message stay what they were.
#[test]
fn a_pubrel_without_an_answer_is_sent_again() {
    for version in BEFORE_5 {
        let mut pair = Pair::connected(patient(version));
        let token = pair.publish(message("a", "1", QoS::ExactlyOnce));
        pair.expect(publish("a", "1").qos2(1));
        pair.advance(AFTER / 2);
        pair.send(pubrec(1));
        pair.expect(pubrel(1));
        pair.advance(AFTER - Duration::from_millis(1));
        pair.expect_silence();
        pair.advance(LATEST - AFTER + Duration::from_millis(1));
        pair.expect(pubrel(1));
        pair.expect_silence();
        pair.send(pubcomp(1));
        assert_eq!(pair.completed(), (token, acked()));
        pair.advance(10 * LATEST);
        pair.expect_silence();
    }
}

/// On a new link everything begins anew: what was resumed waits its time out again.
#[test]
fn a_resumed_session_starts_its_clocks_again() {
    for version in BEFORE_5 {
        let mut pair = Pair::connected(patient(version));
        pair.publish(message("a", "1", QoS::AtLeastOnce));
        pair.publish(message("a", "2", QoS::ExactlyOnce));
        pair.expect(publish("a", "1").qos1(1));
        pair.expect(publish("a", "2").qos2(2));
        pair.send(pubrec(2));
        pair.expect(pubrel(2));
        pair.advance(LATEST * 3);
        pair.cut();
        pair.ended();
        pair.resume();
        pair.expect(pubrel(2));
        pair.expect(publish("a", "1").qos1(1).dup());
        pair.advance(AFTER - Duration::from_millis(1));
        pair.expect_silence();
        pair.advance(LATEST - AFTER + Duration::from_millis(1));
        pair.expect(pubrel(2));
        pair.expect(publish("a", "1").qos1(1).dup());
    }
}

/// A server that has not got the bytes yet cannot answer: nothing is piled upon what waits.
#[test]
fn nothing_is_added_to_a_transport_that_is_stuck() {
    let mut pair = Pair::connected(patient(Version::V3_1_1));
    pair.stall();
    pair.publish(message("a", "1", QoS::AtLeastOnce));
    pair.advance(LATEST * 4);
    pair.unstall();
    pair.expect(publish("a", "1").qos1(1));
    pair.expect_silence();
}

/// An idle session sleeps.
#[test]
fn without_anything_unacknowledged_there_is_no_deadline() {
    let mut pair = Pair::connected(patient(Version::V3_1_1));
    assert_eq!(pair.session.poll_timeout(), None);
    pair.publish(message("a", "1", QoS::AtLeastOnce));
    assert!(pair.session.poll_timeout().is_some());
    pair.send(puback(1));
    assert_eq!(pair.session.poll_timeout(), None);
}

/// Off by default, and 5.0 forbids it [MQTT-4.4.0-1].
#[test]
fn it_is_off_unless_asked_for_and_an_error_on_5() {
    for version in [Version::V3_1, Version::V3_1_1, Version::V5] {
        let mut pair = Pair::connected(config(version));
        pair.publish(message("a", "1", QoS::AtLeastOnce));
        pair.expect(publish("a", "1").qos1(1));
        pair.advance(LATEST * 100);
        pair.expect_silence();
    }
    let refused = Session::new(patient(Version::V5));
    assert_eq!(refused.err(), Some(UsageError::RetransmissionInV5));
    let at_once = Config { retransmit_after: Some(Duration::ZERO), ..config(Version::V3_1_1) };
    assert_eq!(Session::new(at_once).err(), Some(UsageError::ZeroRetransmitAfter));
}
