//! From CONNECT to CONNACK: what is sent first, what is taken from the answer, and what ends the attempt.

use core::time::Duration;
use mqtt_codec::{
    ConnAck, Connect, Disconnect, PropertiesBuf, QoS, ReasonCode, Text, TopicName, Version, Will,
};
use mqtt_session::{CleanStart, Config, End, Event, ProtocolError, Session, UsageError};
use mqtt_testkit::packets::{
    connack, connack_with_session, connect, disconnect, publish, refusal, subscribe,
};
use mqtt_testkit::pair::{Pair, config, message};

const ALL: [Version; 3] = [Version::V3_1, Version::V3_1_1, Version::V5];

/// `[MQTT-3.1.0-1]` `[MQTT-3.1.0-2]` `[5u-26]` `[311u-10]`: CONNECT comes first, once, whatever is queued,
/// and nothing else is risked before the answer.
#[test]
fn connect_is_the_first_packet() {
    for version in ALL {
        let mut pair = Pair::new(Config { keep_alive: 60, ..config(version) });
        pair.publish(message("a", "x", QoS::AtMostOnce));
        pair.subscribe(&[("b", QoS::AtLeastOnce)]);
        pair.expect_silence();
        pair.open();
        let properties = if version.is_v5() {
            PropertiesBuf::builder().session_expiry_interval(3600).build().unwrap()
        } else {
            PropertiesBuf::new()
        };
        pair.expect(Connect { clean_start: false, keep_alive: 60, properties, ..connect("c") });
        pair.expect_silence();
        pair.advance(Duration::from_secs(1));
        pair.expect_silence();
        pair.send(connack());
        assert!(matches!(pair.event(), Some(Event::Connected(_))));
        pair.expect(subscribe(1, [("b", QoS::AtLeastOnce)]));
        pair.expect(publish("a", "x"));
        pair.expect_silence();
    }
}

#[test]
fn every_option_reaches_connect() {
    let will = Will {
        topic: TopicName::from_static("w").unwrap(),
        payload: "gone".into(),
        qos: QoS::AtLeastOnce,
        retain: true,
        properties: PropertiesBuf::builder().will_delay_interval(5).build().unwrap(),
    };
    let text = |text| Text::from_static(text).unwrap();
    let mut pair = Pair::new(Config {
        clean_start: CleanStart::Always,
        keep_alive: 7,
        username: Some(text("u")),
        password: Some("p".into()),
        will: Some(will.clone()),
        session_expiry: Some(9),
        receive_maximum: 10,
        maximum_packet_size: Some(1000),
        topic_alias_maximum: 3,
        request_response_information: true,
        request_problem_information: false,
        user_properties: vec![(text("k"), text("1")), (text("k"), text("2"))],
        authentication: Some((text("m"), "d".into())),
        ..Config::new(Version::V5, text("id"))
    });
    pair.open();
    let properties = PropertiesBuf::builder()
        .session_expiry_interval(9)
        .receive_maximum(10)
        .maximum_packet_size(1000)
        .topic_alias_maximum(3)
        .request_response_information(true)
        .request_problem_information(false)
        .authentication_method("m")
        .authentication_data(b"d")
        .user_property("k", "1")
        .user_property("k", "2")
        .build()
        .unwrap();
    pair.expect(Connect {
        keep_alive: 7,
        properties,
        will: Some(will),
        username: Some(text("u")),
        password: Some("p".into()),
        ..connect("id")
    });
}

/// A first attempt that fails leaves the next one the first.
#[test]
fn clean_start_first_only_counts_acceptances() {
    let mut pair = Pair::new(Config { clean_start: CleanStart::FirstOnly, ..config(Version::V5) });
    pair.open();
    pair.send(refusal(ReasonCode::SERVER_BUSY));
    pair.cut();
    let (_, _) = (pair.ended(), pair.expect_no_event());
    assert!(pair.connect(connack()).0.clean_start);
}

/// `[MQTT-3.1.3-6]` `[MQTT-3.1.3-7]` `[MQTT-3.2.2-16]`
#[test]
fn the_assigned_client_identifier_is_used_again() {
    let mut pair = Pair::new(Config { client_id: Text::default(), ..config(Version::V5) });
    pair.open();
    pair.expect(Connect {
        clean_start: false,
        properties: PropertiesBuf::builder().session_expiry_interval(3600).build().unwrap(),
        ..connect("")
    });
    pair.send_hex("20 09 00 00 06 12 00 03 78 79 7A");
    let Some(Event::Connected(connected)) = pair.event() else { panic!("not connected") };
    assert_eq!(&*connected.negotiated.client_id, "xyz");
    pair.cut();
    pair.ended();
    let (connect, connected) = pair.connect(connack_with_session());
    assert_eq!(&*connect.client_id, "xyz");
    assert_eq!(&*connected.negotiated.client_id, "xyz");
}

/// Who has a name keeps it, whatever the server says.
#[test]
fn a_client_identifier_is_not_replaced() {
    let mut pair = Pair::new(config(Version::V5));
    let properties = PropertiesBuf::builder().assigned_client_identifier("xyz").build().unwrap();
    let (_, connected) = pair.connect(ConnAck { properties, ..connack() });
    assert_eq!(&*connected.negotiated.client_id, "c");
    pair.cut();
    pair.ended();
    assert_eq!(&*pair.connect(connack_with_session()).0.client_id, "c");
}

/// `[MQTT-3.2.2-7]` `[MQTT-3.1.3-8]`: a refusal is the end; nothing more is sent.
#[test]
fn a_refusal_is_reported_with_its_reason() {
    for version in ALL {
        let mut pair = Pair::new(config(version));
        let token = pair.publish(message("a", "x", QoS::AtLeastOnce));
        pair.open();
        pair.received();
        pair.send(refusal(ReasonCode::NOT_AUTHORIZED));
        let refused = End::Refused { reason: ReasonCode::NOT_AUTHORIZED, properties: PropertiesBuf::new() };
        assert_eq!(pair.ended(), refused);
        pair.expect_silence();
        assert!(!pair.session.is_connected());
        pair.cut();
        pair.expect_no_event();
        // `[MQTT-3.1.4-6]`: what was queued stays so.
        assert_eq!(pair.session.queued(), 1);
        pair.connect(connack());
        pair.expect(publish("a", "x").qos1(1));
        let _ = token;
    }
}

/// `[MQTT-3.1.3-8]` `[MQTT-3.1.4-2]` `[MQTT-3.2.2-12]` `[MQTT-3.2.2-13]` `[MQTT-4.12.0-1]`: whatever the
/// reason.
#[test]
fn every_reason_to_refuse_is_reported() {
    for reason in [
        ReasonCode::CLIENT_IDENTIFIER_NOT_VALID,
        ReasonCode::BAD_USER_NAME_OR_PASSWORD,
        ReasonCode::BAD_AUTHENTICATION_METHOD,
        ReasonCode::RETAIN_NOT_SUPPORTED,
        ReasonCode::QOS_NOT_SUPPORTED,
        ReasonCode::SERVER_MOVED,
    ] {
        let mut pair = Pair::new(config(Version::V5));
        pair.open();
        pair.received();
        let properties =
            PropertiesBuf::builder().server_reference("other").reason_string("no").build().unwrap();
        pair.send(ConnAck { properties: properties.clone(), ..refusal(reason) });
        assert_eq!(pair.ended(), End::Refused { reason, properties });
        pair.expect_silence();
    }
}

/// `[MQTT-3.1.4-2]` `[MQTT-3.1.4-2/3.1.1]` `[31-23]`: a server may close without a word, before CONNACK or
/// after.
#[test]
fn a_close_without_a_word_is_an_end() {
    for version in ALL {
        let mut pair = Pair::new(config(version));
        pair.open();
        pair.cut();
        assert_eq!(pair.ended(), End::Closed);
        pair.connect(connack());
        pair.cut();
        assert_eq!(pair.ended(), End::Closed);
        pair.expect_no_event();
    }
}

/// `[MQTT-3.1.2-2]`: a server without 5.0 answers in the words of 3.1.1.
#[test]
fn an_old_server_refuses_5_0_in_its_own_words() {
    let mut pair = Pair::new(config(Version::V5));
    pair.open();
    pair.send_hex("20 02 00 01");
    let reason = ReasonCode::UNSUPPORTED_PROTOCOL_VERSION;
    assert_eq!(pair.ended(), End::Refused { reason, properties: PropertiesBuf::new() });
}

/// `[31-4]` `[MQTT-3.1.3-9/3.1.1]` `[MQTT-3.2.2-6/3.1.1]`
#[test]
fn return_codes_of_3_1_1_are_mapped_and_the_reserved_ones_refused() {
    for (code, reason) in [
        ("01", ReasonCode::UNSUPPORTED_PROTOCOL_VERSION),
        ("02", ReasonCode::CLIENT_IDENTIFIER_NOT_VALID),
        ("03", ReasonCode::SERVER_UNAVAILABLE),
        ("04", ReasonCode::BAD_USER_NAME_OR_PASSWORD),
        ("05", ReasonCode::NOT_AUTHORIZED),
    ] {
        let mut pair = Pair::new(config(Version::V3_1_1));
        pair.open();
        pair.send_hex(&format!("20 02 00 {code}"));
        assert_eq!(pair.ended(), End::Refused { reason, properties: PropertiesBuf::new() });
    }
    let mut pair = Pair::new(config(Version::V3_1_1));
    pair.open();
    pair.received();
    pair.send_hex("20 02 00 06");
    assert!(matches!(pair.ended(), End::Protocol(ProtocolError::Decode(_))));
    pair.expect_silence();
}

/// `[MQTT-3.2.2-6]` `[MQTT-3.2.2-4/3.1.1]`: a refusal is reported by its reason, whatever else it says, and the session
/// stays as it was.
#[test]
fn a_refusal_that_speaks_of_a_session_is_a_refusal() {
    for (version, hex) in [(Version::V5, "20 03 01 87 00"), (Version::V3_1_1, "20 02 01 05")] {
        let mut pair = Pair::connected(config(version));
        pair.publish(message("a", "x", QoS::AtLeastOnce));
        pair.cut();
        pair.ended();
        pair.open();
        pair.received();
        pair.send_hex(hex);
        let reason = ReasonCode::NOT_AUTHORIZED;
        assert_eq!(pair.ended(), End::Refused { reason, properties: PropertiesBuf::new() });
        pair.expect_silence();
        pair.cut();
        pair.resume();
        pair.expect(publish("a", "x").qos1(1).dup());
    }
}

/// `[5u-17]` `[311u-5]` `[31-22]` `[MQTT-3.1.4-5]` `[MQTT-3.1.4-4/3.1.1]`: no CONNACK, no connection.
#[test]
fn connack_has_a_deadline() {
    for version in ALL {
        let mut pair =
            Pair::new(Config { connect_timeout: Duration::from_secs(3), keep_alive: 1, ..config(version) });
        pair.open();
        pair.received();
        pair.advance(Duration::from_millis(2999));
        pair.expect_no_event();
        pair.advance(Duration::from_millis(1));
        assert_eq!(pair.ended(), End::ConnectTimeout);
        pair.expect_silence();
        assert_eq!(pair.session.poll_timeout(), None);
        pair.cut();
        pair.expect_no_event();
    }
}

/// The deadline runs also while the transport does not take the CONNECT.
#[test]
fn connack_has_a_deadline_on_a_stuck_transport() {
    let mut pair = Pair::new(config(Version::V5));
    pair.open();
    pair.cut();
    pair.ended();
    pair.stall();
    pair.session.handle_open(pair.now());
    pair.advance(Duration::from_secs(10));
    assert_eq!(pair.ended(), End::ConnectTimeout);
}

/// `[MQTT-3.2.0-1]` `[MQTT-4.8.0-1/3.1.1]`: nothing but CONNACK (or AUTH) comes first.
#[test]
fn another_packet_before_connack_ends_the_connection() {
    for version in ALL {
        for hex in ["D0 00", "40 02 00 01", "30 04 00 01 61 78"] {
            let hex =
                if version.is_v5() { hex.replace("30 04 00 01 61", "30 05 00 01 61 00") } else { hex.into() };
            let mut pair = Pair::new(config(version));
            pair.open();
            pair.received();
            pair.send_hex(&hex);
            assert!(matches!(pair.ended(), End::Protocol(ProtocolError::Unexpected(_))), "{version} {hex}");
            if version.is_v5() {
                pair.expect(disconnect(ReasonCode::PROTOCOL_ERROR));
            }
            pair.expect_silence();
        }
    }
}

/// `[MQTT-3.14.0-1]`: a goodbye instead of CONNACK is reported, and not answered.
#[test]
fn disconnect_before_connack_is_reported() {
    let mut pair = Pair::new(config(Version::V5));
    pair.open();
    pair.received();
    pair.send_hex("E0 02 89 00");
    assert_eq!(pair.ended(), End::ServerDisconnect(Disconnect::new(ReasonCode::SERVER_BUSY)));
    pair.expect_silence();
}

/// `[MQTT-3.2.0-2]`: a second CONNACK is refused and changes nothing.
#[test]
fn a_second_connack_ends_the_connection() {
    let mut pair = Pair::connected(config(Version::V5));
    pair.send(connack());
    assert!(matches!(pair.ended(), End::Protocol(ProtocolError::Unexpected(_))));
    pair.expect(disconnect(ReasonCode::PROTOCOL_ERROR));
    pair.expect_silence();
    let mut pair = Pair::connected(config(Version::V3_1_1));
    pair.send(connack());
    assert!(matches!(pair.ended(), End::Protocol(ProtocolError::Unexpected(_))));
    pair.expect_silence();
}

/// Bytes that come before CONNECT was sent must not make DISCONNECT the first packet `[MQTT-3.1.0-1]`.
#[test]
fn a_server_that_speaks_first_is_left_without_a_word() {
    let mut session = Session::new(config(Version::V5)).unwrap();
    let now = mqtt_session::Instant::ZERO;
    session.handle_open(now);
    session.handle_input(now, &mut bytes::BytesMut::from(&[0xD0, 0][..]));
    assert!(matches!(session.poll_event(), Some(Event::Ended(End::Protocol(_)))));
    assert!(!session.poll_transmit(now, &mut mqtt_codec::WireBuf::new()));
}

#[test]
fn an_end_comes_once_for_each_connection() {
    let mut pair = Pair::new(config(Version::V5));
    pair.cut();
    pair.expect_no_event();
    pair.open();
    pair.cut();
    assert_eq!(pair.ended(), End::Closed);
    pair.cut();
    pair.expect_no_event();
    // Opening twice closes the first.
    pair.open();
    pair.open();
    assert_eq!(pair.ended(), End::Closed);
    pair.expect_no_event();
    pair.received();
    pair.send(connack());
    assert!(matches!(pair.event(), Some(Event::Connected(_))));
}

#[test]
fn a_wrong_configuration_is_refused_by_name() {
    let text = |text| Text::from_static(text).unwrap();
    let refused = |config: Config| Session::new(config).unwrap_err();
    for version in [Version::V3_1, Version::V3_1_1] {
        let old = config(version);
        for (wrong, option) in [
            (Config { session_expiry: Some(1), ..old.clone() }, "session_expiry"),
            (Config { receive_maximum: 5, ..old.clone() }, "receive_maximum"),
            (Config { topic_alias_maximum: 5, ..old.clone() }, "topic_alias_maximum"),
            (Config { request_response_information: true, ..old.clone() }, "request_response_information"),
            (Config { request_problem_information: false, ..old.clone() }, "request_problem_information"),
            (Config { user_properties: vec![(text("a"), text("b"))], ..old.clone() }, "user_properties"),
            (Config { authentication: Some((text("a"), "".into())), ..old.clone() }, "authentication"),
        ] {
            assert_eq!(refused(wrong), UsageError::NotInVersion { option, version });
        }
        // `[MQTT-3.1.2-22/3.1.1]` `[31-7]`
        let wrong = Config { password: Some("p".into()), ..old };
        assert!(matches!(refused(wrong), UsageError::Encode(_)));
    }
    // `[MQTT-3.1.3-8/3.1.1]` `[31-2]`
    let nameless = |version| Config { client_id: Text::default(), ..config(version) };
    assert_eq!(refused(nameless(Version::V3_1_1)), UsageError::ClientIdEmpty);
    assert_eq!(refused(nameless(Version::V3_1)), UsageError::ClientIdEmpty);
    assert!(Session::new(nameless(Version::V5)).is_ok());
    let clean = Config { clean_start: CleanStart::Always, ..nameless(Version::V3_1_1) };
    assert!(Session::new(clean).is_ok());
    let long = |version| Config { client_id: text("123456789012345678901234"), ..config(version) };
    assert_eq!(refused(long(Version::V3_1)), UsageError::ClientIdTooLong);
    assert!(Session::new(long(Version::V3_1_1)).is_ok());
    // `[5u-6]` `[5u-7]`
    let v5 = config(Version::V5);
    assert_eq!(refused(Config { receive_maximum: 0, ..v5.clone() }), UsageError::ZeroReceiveMaximum);
    assert_eq!(refused(Config { maximum_packet_size: Some(0), ..v5 }), UsageError::ZeroMaximumPacketSize);
}

/// Credentials may change between connections.
#[test]
fn new_credentials_count_from_the_next_connection() {
    let mut pair = Pair::connected(config(Version::V5));
    pair.session.set_credentials(Some(Text::from_static("u").unwrap()), Some("p".into())).unwrap();
    pair.cut();
    pair.ended();
    let (connect, _) = pair.connect(connack());
    assert_eq!((connect.username.as_deref(), connect.password.as_deref()), (Some("u"), Some(&b"p"[..])));
    let mut pair = Pair::connected(config(Version::V3_1_1));
    assert!(pair.session.set_credentials(None, Some("p".into())).is_err());
    pair.cut();
    pair.ended();
    assert_eq!(pair.connect(connack()).0.password, None);
}
