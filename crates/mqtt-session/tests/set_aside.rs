//! Trap 18: a message that the server closes on, over and over, is set aside and reported, if the application
//! wants that.

use core::num::NonZeroU32;
use mqtt_codec::{QoS, ReasonCode, Version};
use mqtt_session::{Config, Outcome};
use mqtt_testkit::packets::{disconnect, puback, pubcomp, publish, pubrel};
use mqtt_testkit::pair::{Pair, acked, config, message};

const ALL: [Version; 3] = [Version::V3_1, Version::V3_1_1, Version::V5];

fn after(connections: u32, version: Version) -> Config {
    Config { set_aside_after: NonZeroU32::new(connections), ..config(version) }
}

/// The server takes this PUBLISH for a reason to close.
fn close_on_first(pair: &mut Pair) {
    assert!(pair.received().is_some());
    pair.cut();
    pair.ended();
}

#[test]
fn trap_18_a_message_that_ends_every_connection_is_set_aside() {
    for version in ALL {
        let mut pair = Pair::connected(after(3, version));
        let hated = pair.publish(message("a", "hated", QoS::AtLeastOnce));
        let next = pair.publish(message("a", "next", QoS::AtLeastOnce));
        for _ in 0..2 {
            close_on_first(&mut pair);
            pair.resume();
        }
        pair.expect_no_event();
        close_on_first(&mut pair);
        assert_eq!(pair.completed(), (hated, Outcome::SetAside { connections: 3 }));
        pair.resume();
        pair.expect(publish("a", "next").qos1(2).dup());
        pair.expect_silence();
        pair.send(puback(2));
        assert_eq!(pair.completed(), (next, acked()));
        assert_eq!((pair.session.in_flight(), pair.session.queued_bytes()), (0, 0));
    }
}

/// At QoS 2 the server may have stored it: PUBREL ends that before the identifier serves again.
#[test]
fn trap_18_the_identifier_of_a_message_set_aside_is_ended_by_pubrel() {
    for version in ALL {
        let mut pair = Pair::connected(after(1, version));
        let hated = pair.publish(message("a", "hated", QoS::ExactlyOnce));
        close_on_first(&mut pair);
        assert_eq!(pair.completed(), (hated, Outcome::SetAside { connections: 1 }));
        assert_eq!(pair.session.queued_bytes(), 0);
        pair.resume();
        pair.expect(pubrel(1));
        pair.expect_silence();
        pair.send(pubcomp(1));
        pair.expect_no_event();
        assert_eq!(pair.session.in_flight(), 0);
    }
}

/// Progress in between, or a goodbye of our own, is no sign.
#[test]
fn trap_18_only_connections_in_a_row_count() {
    let mut pair = Pair::connected(after(2, Version::V5));
    pair.publish(message("a", "1", QoS::AtLeastOnce));
    let second = pair.publish(message("a", "2", QoS::AtLeastOnce));
    close_on_first(&mut pair);
    pair.resume();
    pair.send(puback(1));
    pair.completed();
    close_on_first(&mut pair);
    pair.resume();
    pair.session.disconnect(mqtt_codec::Disconnect::new(ReasonCode::NORMAL_DISCONNECTION)).unwrap();
    pair.run();
    pair.ended();
    pair.cut();
    // A connection on which it was never sent says nothing about it.
    pair.open();
    pair.cut();
    pair.ended();
    pair.expect_no_event();
    pair.resume();
    pair.send(disconnect(ReasonCode::UNSPECIFIED_ERROR));
    pair.ended();
    assert_eq!(pair.completed(), (second, Outcome::SetAside { connections: 2 }));
}

/// What was sent in a session must be sent again [MQTT-4.4.0-1], so nothing is given up unasked.
#[test]
fn without_being_asked_nothing_is_set_aside() {
    let mut pair = Pair::connected(config(Version::V5));
    pair.publish(message("a", "1", QoS::AtLeastOnce));
    for _ in 0..100 {
        close_on_first(&mut pair);
        pair.resume();
    }
    pair.expect(publish("a", "1").qos1(1).dup());
}
