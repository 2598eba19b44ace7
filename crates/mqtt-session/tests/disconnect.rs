//! The end of a connection, from either side.

use core::time::Duration;
use mqtt_codec::{Disconnect, PropertiesBuf, QoS, ReasonCode, Version};
use mqtt_session::{Config, End, Outcome, UsageError};
use mqtt_testkit::packets::{connack, disconnect, puback, publish};
use mqtt_testkit::pair::{Pair, config, message};

const ALL: [Version; 3] = [Version::V3_1, Version::V3_1_1, Version::V5];

fn goodbye() -> Disconnect {
    Disconnect::new(ReasonCode::NORMAL_DISCONNECTION)
}

/// `[MQTT-3.14.4-1]` `[MQTT-3.14.4-2/3.1.1]`: due acknowledgements and DISCONNECT, then nothing; the queue
/// stays.
#[test]
fn nothing_is_sent_after_disconnect() {
    for version in ALL {
        let mut pair = Pair::connected(Config { keep_alive: 5, ..config(version) });
        pair.send(publish("a", "x").qos1(7));
        let token = pair.message_to_acknowledge("x");
        pair.session.acknowledge(token, ReasonCode::SUCCESS);
        pair.session.publish(pair.now(), message("a", "later", QoS::AtMostOnce)).unwrap();
        pair.session.disconnect(goodbye()).unwrap();
        assert_eq!(pair.ended(), End::Disconnected);
        assert!(!pair.session.is_connected());
        pair.run();
        pair.expect(puback(7));
        pair.expect_hex("E0 00");
        pair.publish(message("a", "later", QoS::AtMostOnce));
        pair.send(publish("a", "x").qos1(8));
        pair.advance(Duration::from_secs(60));
        pair.expect_silence();
        pair.expect_no_event();
        pair.cut();
        pair.expect_no_event();
        assert_eq!(pair.session.queued(), 2);
        pair.resume();
        pair.expect(publish("a", "later"));
    }
}

/// DISCONNECT with reason and properties; and what it cannot carry.
#[test]
fn disconnect_with_reason_and_properties() {
    let properties = PropertiesBuf::builder().reason_string("bye").build().unwrap();
    let reason = ReasonCode::DISCONNECT_WITH_WILL_MESSAGE;
    let full = Disconnect { reason, properties };
    for version in [Version::V3_1, Version::V3_1_1] {
        let mut pair = Pair::connected(config(version));
        assert!(matches!(pair.session.disconnect(full.clone()), Err(UsageError::Encode(_))));
        assert!(pair.session.is_connected());
    }
    let mut pair = Pair::connected(config(Version::V5));
    let server_only = Disconnect::new(ReasonCode::SESSION_TAKEN_OVER);
    assert!(matches!(pair.session.disconnect(server_only), Err(UsageError::Encode(_))));
    assert!(pair.session.is_connected());
    pair.session.disconnect(full.clone()).unwrap();
    pair.run();
    pair.expect(mqtt_codec::Packet::Disconnect(full));
}

/// `[5u-18]`
#[test]
fn a_session_cannot_be_prolonged_at_the_end() {
    let expiry = |seconds| {
        let properties = PropertiesBuf::builder().session_expiry_interval(seconds).build().unwrap();
        Disconnect { properties, ..goodbye() }
    };
    for none in [None, Some(0)] {
        let mut pair = Pair::connected(Config { session_expiry: none, ..config(Version::V5) });
        assert_eq!(pair.session.disconnect(expiry(1)), Err(UsageError::SessionExpiryNotAllowed));
        pair.session.disconnect(expiry(0)).unwrap();
    }
    let mut pair = Pair::connected(config(Version::V5));
    pair.session.disconnect(expiry(9)).unwrap();
    pair.run();
    pair.expect(mqtt_codec::Packet::Disconnect(expiry(9)));
}

/// `[MQTT-3.1.2-22]` `[MQTT-4.12.1-2]`: and it may have many reasons.
#[test]
fn every_reason_of_the_server_is_reported() {
    for (hex, reason) in
        [("E0 02 8D 00", ReasonCode::KEEP_ALIVE_TIMEOUT), ("E0 01 87", ReasonCode::NOT_AUTHORIZED)]
    {
        let mut pair = Pair::connected(config(Version::V5));
        pair.send_hex(hex);
        assert_eq!(pair.ended(), End::ServerDisconnect(Disconnect::new(reason)));
        pair.expect_silence();
    }
}

/// Before 5.0 a server has no DISCONNECT `[311u-2]` `[31-26]`.
#[test]
fn a_goodbye_of_an_old_server_is_a_violation() {
    for version in [Version::V3_1, Version::V3_1_1] {
        let mut pair = Pair::connected(config(version));
        pair.send_hex("E0 00");
        assert!(matches!(pair.ended(), End::Protocol(_)));
        pair.expect_silence();
    }
}

/// Before CONNACK, before CONNECT, and with no connection at all.
#[test]
fn disconnecting_is_always_possible() {
    for version in ALL {
        let mut pair = Pair::new(config(version));
        pair.session.disconnect(goodbye()).unwrap();
        pair.expect_no_event();
        pair.open();
        pair.received();
        pair.session.disconnect(goodbye()).unwrap();
        pair.run();
        pair.expect(disconnect(ReasonCode::NORMAL_DISCONNECTION));
        assert_eq!(pair.ended(), End::Disconnected);
        pair.send(connack());
        pair.expect_no_event();
        pair.cut();
        // `[MQTT-3.1.0-1]`: DISCONNECT would be the first packet.
        pair.session.handle_open(pair.now());
        pair.session.disconnect(goodbye()).unwrap();
        assert_eq!(pair.ended(), End::Disconnected);
        pair.run();
        pair.expect_silence();
        pair.session.disconnect(goodbye()).unwrap();
        pair.expect_no_event();
    }
}

/// A QoS 0 message that was handed out before the goodbye still counts as sent when it is written.
#[test]
fn what_was_handed_out_before_is_still_reported() {
    let mut pair = Pair::connected(config(Version::V5));
    pair.stall();
    let token = pair.publish(message("a", "x", QoS::AtMostOnce));
    pair.session.disconnect(goodbye()).unwrap();
    assert_eq!(pair.ended(), End::Disconnected);
    pair.unstall();
    assert_eq!(pair.completed(), (token, Outcome::Sent));
    pair.expect(publish("a", "x"));
    pair.expect(disconnect(ReasonCode::NORMAL_DISCONNECTION));
    pair.cut();
    pair.expect_no_event();
}
