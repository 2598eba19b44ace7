//! Enhanced authentication, section 4.12: passed through, and held to its rules.

use mqtt_codec::{Auth, ConnAck, Packet, PropertiesBuf, QoS, ReasonCode, Text, Version};
use mqtt_session::{Config, End, Event, ProtocolError, UsageError};
use mqtt_testkit::packets::{auth, connack, disconnect, publish, refusal};
use mqtt_testkit::pair::{Pair, config, message};

fn with_method() -> Config {
    let authentication = Some((Text::from_static("m").unwrap(), "first".into()));
    Config { authentication, keep_alive: 1, ..config(Version::V5) }
}

fn method(method: &str) -> PropertiesBuf {
    PropertiesBuf::builder().authentication_method(method).build().unwrap()
}

fn answer(reason: ReasonCode, method: &str, data: &[u8]) -> Auth {
    let Packet::Auth(auth) = auth(reason, method, data) else { panic!() };
    auth
}

fn welcome() -> ConnAck {
    ConnAck { properties: method("m"), ..connack() }
}

/// `[MQTT-4.12.0-2]` `[MQTT-4.12.0-3]` `[MQTT-4.12.0-5]` `[MQTT-3.1.2-30]`
#[test]
fn challenges_are_answered_before_connack() {
    let mut pair = Pair::new(with_method());
    pair.publish(message("a", "x", QoS::AtMostOnce));
    pair.subscribe(&[("b", QoS::AtMostOnce)]);
    pair.open();
    let Some(Packet::Connect(connect)) = pair.received() else { panic!("no CONNECT") };
    assert_eq!(connect.properties.view().authentication_data(), Some(&b"first"[..]));
    pair.advance(core::time::Duration::from_secs(5));
    pair.expect_silence();
    let challenge = answer(ReasonCode::CONTINUE_AUTHENTICATION, "m", b"c1");
    pair.send(challenge.clone());
    assert_eq!(pair.event(), Some(Event::Challenge(challenge)));
    pair.session.authenticate(answer(ReasonCode::CONTINUE_AUTHENTICATION, "m", b"r1")).unwrap();
    pair.run();
    pair.expect(auth(ReasonCode::CONTINUE_AUTHENTICATION, "m", b"r1"));
    pair.expect_silence();
    pair.send(welcome());
    assert!(matches!(pair.event(), Some(Event::Connected(_))));
    pair.received();
    pair.expect(publish("a", "x"));
}

/// `[MQTT-4.12.0-1]` `[MQTT-4.12.0-4]`
#[test]
fn authentication_can_fail_at_any_step() {
    let mut pair = Pair::new(with_method());
    pair.open();
    pair.send(auth(ReasonCode::CONTINUE_AUTHENTICATION, "m", b"c1"));
    pair.event();
    pair.send(refusal(ReasonCode::NOT_AUTHORIZED));
    let reason = ReasonCode::NOT_AUTHORIZED;
    assert_eq!(pair.ended(), End::Refused { reason, properties: PropertiesBuf::new() });
}

/// `[MQTT-4.12.0-2]` `[MQTT-4.12.0-5]` `[MQTT-4.12.0-6]`: what does not fit ends the connection.
#[test]
fn the_server_is_held_to_the_method() {
    let not_mine = || ConnAck { properties: method("other"), ..connack() };
    let auth_method = |packet| ProtocolError::AuthenticationMethod(packet);
    use mqtt_codec::PacketType::{Auth as AuthType, ConnAck as ConnAckType};
    for (config, packet, error) in [
        (with_method(), Packet::ConnAck(connack().into()), auth_method(ConnAckType)),
        (with_method(), Packet::ConnAck(not_mine().into()), auth_method(ConnAckType)),
        (config(Version::V5), Packet::ConnAck(welcome().into()), auth_method(ConnAckType)),
        (with_method(), auth(ReasonCode::CONTINUE_AUTHENTICATION, "other", b""), auth_method(AuthType)),
        (with_method(), auth(ReasonCode::SUCCESS, "m", b""), ProtocolError::Unexpected(AuthType)),
        (
            config(Version::V5),
            auth(ReasonCode::CONTINUE_AUTHENTICATION, "m", b""),
            ProtocolError::Unexpected(AuthType),
        ),
    ] {
        let mut pair = Pair::new(config);
        pair.open();
        pair.received();
        pair.send(packet);
        assert_eq!(pair.ended(), End::Protocol(error));
        pair.expect(disconnect(ReasonCode::PROTOCOL_ERROR));
        pair.expect_silence();
    }
}

/// `[MQTT-4.12.1-1]`: other traffic goes on meanwhile.
#[test]
fn re_authentication() {
    let mut pair = Pair::new(with_method());
    pair.connect(welcome());
    pair.session.authenticate(answer(ReasonCode::RE_AUTHENTICATE, "m", b"1")).unwrap();
    pair.publish(message("a", "x", QoS::AtMostOnce));
    pair.expect(auth(ReasonCode::RE_AUTHENTICATE, "m", b"1"));
    pair.expect(publish("a", "x"));
    pair.completed();
    let challenge = answer(ReasonCode::CONTINUE_AUTHENTICATION, "m", b"2");
    pair.send(challenge.clone());
    assert_eq!(pair.event(), Some(Event::Challenge(challenge)));
    pair.session.authenticate(answer(ReasonCode::CONTINUE_AUTHENTICATION, "m", b"3")).unwrap();
    pair.run();
    pair.expect(auth(ReasonCode::CONTINUE_AUTHENTICATION, "m", b"3"));
    let done = answer(ReasonCode::SUCCESS, "m", b"4");
    pair.send(done.clone());
    assert_eq!(pair.event(), Some(Event::Challenge(done)));
    // It is over: nothing more belongs to it.
    let more = answer(ReasonCode::CONTINUE_AUTHENTICATION, "m", b"5");
    assert_eq!(pair.session.authenticate(more.clone()), Err(UsageError::AuthenticationMismatch));
    pair.send(more);
    assert!(matches!(pair.ended(), End::Protocol(ProtocolError::Unexpected(_))));
}

/// The server cannot begin a re-authentication.
#[test]
fn an_unasked_auth_ends_the_connection() {
    for reason in [ReasonCode::CONTINUE_AUTHENTICATION, ReasonCode::SUCCESS] {
        let mut pair = Pair::new(with_method());
        pair.connect(welcome());
        pair.send(auth(reason, "m", b""));
        assert!(matches!(pair.ended(), End::Protocol(ProtocolError::Unexpected(_))));
        pair.expect(disconnect(ReasonCode::PROTOCOL_ERROR));
    }
}

/// `[MQTT-4.12.0-7]`: and the application cannot send an AUTH that does not fit.
#[test]
fn an_auth_that_does_not_fit_is_refused() {
    let again = || answer(ReasonCode::RE_AUTHENTICATE, "m", b"");
    let mut pair = Pair::new(config(Version::V5));
    assert_eq!(pair.session.authenticate(again()), Err(UsageError::NotConnected));
    pair.connect(connack());
    assert_eq!(pair.session.authenticate(again()), Err(UsageError::AuthenticationMismatch));
    let mut pair = Pair::new(with_method());
    pair.open();
    pair.received();
    assert_eq!(pair.session.authenticate(again()), Err(UsageError::AuthenticationMismatch));
    pair.send(welcome());
    for wrong in [
        answer(ReasonCode::RE_AUTHENTICATE, "other", b""),
        answer(ReasonCode::CONTINUE_AUTHENTICATION, "m", b""),
        answer(ReasonCode::SUCCESS, "m", b""),
        Auth { reason: ReasonCode::RE_AUTHENTICATE, properties: PropertiesBuf::new() },
    ] {
        assert_eq!(pair.session.authenticate(wrong), Err(UsageError::AuthenticationMismatch));
    }
    pair.run();
    pair.expect_silence();
}

/// An AUTH that did not leave is not sent on the next connection.
#[test]
fn a_waiting_auth_dies_with_its_connection() {
    let mut pair = Pair::new(with_method());
    pair.connect(welcome());
    pair.session.authenticate(answer(ReasonCode::RE_AUTHENTICATE, "m", b"")).unwrap();
    pair.cut();
    pair.ended();
    pair.connect(welcome());
    pair.expect_silence();
}
