//! Limits, the server's and our own: an error at the call, an honest outcome later, never a silent change.
//! Decision 7.

use mqtt_codec::{ConnAck, Packet, PropertiesBuf, PropertyId, QoS, ReasonCode, Version};
use mqtt_session::{Config, End, Limits, Message, Outcome, ProtocolError, UsageError};
use mqtt_testkit::packets::{
    connack, connack_with_session, disconnect, puback, pubcomp, publish, pubrec, pubrel, subscribe,
};
use mqtt_testkit::pair::{Pair, acked, config, filter, message};

fn limited(properties: PropertiesBuf) -> ConnAck {
    ConnAck { properties, ..connack() }
}

fn no_qos_2() -> ConnAck {
    limited(PropertiesBuf::builder().maximum_qos(QoS::AtLeastOnce).build().unwrap())
}

fn retained(topic: &str) -> Message {
    Message { retain: true, ..message(topic, "x", QoS::AtMostOnce) }
}

/// `[MQTT-3.2.2-11]` `[MQTT-3.2.2-14]`: refused at the call while there is a connection.
#[test]
fn maximum_qos_and_retain_are_kept() {
    let properties =
        PropertiesBuf::builder().maximum_qos(QoS::AtMostOnce).retain_available(false).build().unwrap();
    let mut pair = Pair::new(config(Version::V5));
    pair.connect(limited(properties));
    let now = pair.now();
    for qos in [QoS::AtLeastOnce, QoS::ExactlyOnce] {
        let refused = pair.session.publish(now, message("a", "x", qos));
        assert_eq!(refused, Err(UsageError::QosNotSupported { qos, maximum: QoS::AtMostOnce }));
    }
    assert_eq!(pair.session.publish(now, retained("a")), Err(UsageError::RetainNotSupported));
    pair.run();
    pair.expect_silence();
    assert_eq!(pair.session.queued(), 0);
    pair.publish(message("a", "x", QoS::AtMostOnce));
    pair.expect(publish("a", "x"));
}

/// `[MQTT-3.2.2-11]` `[MQTT-3.2.2-14]`: what was queued before says honestly why it was not sent, and holds
/// nothing up.
#[test]
fn messages_queued_before_the_connection_are_judged_by_it() {
    let mut pair = Pair::new(config(Version::V5));
    let two = pair.publish(message("a", "2", QoS::ExactlyOnce));
    let kept = pair.publish(retained("a"));
    let one = pair.publish(message("a", "1", QoS::AtLeastOnce));
    let properties =
        PropertiesBuf::builder().maximum_qos(QoS::AtLeastOnce).retain_available(false).build().unwrap();
    pair.connect(limited(properties));
    let error = UsageError::QosNotSupported { qos: QoS::ExactlyOnce, maximum: QoS::AtLeastOnce };
    assert_eq!(pair.completed(), (two, Outcome::Refused(error)));
    assert_eq!(pair.completed(), (kept, Outcome::Refused(UsageError::RetainNotSupported)));
    // No identifier was used up.
    pair.expect(publish("a", "1").qos1(1));
    pair.send(puback(1));
    assert_eq!(pair.completed(), (one, acked()));
}

/// `[MQTT-3.2.2-11]`: also what would be sent again. The server had it once, so nothing is known.
#[test]
fn messages_to_be_sent_again_are_judged_too() {
    let mut pair = Pair::connected(config(Version::V5));
    let two = pair.publish(message("a", "2", QoS::ExactlyOnce));
    let released = pair.publish(message("a", "r", QoS::ExactlyOnce));
    pair.send(pubrec(2));
    let one = pair.publish(message("a", "1", QoS::AtLeastOnce));
    pair.cut();
    pair.ended();
    pair.connect(ConnAck { session_present: true, ..no_qos_2() });
    assert_eq!(pair.completed(), (two, Outcome::Unknown));
    // A release is no PUBLISH.
    pair.expect(pubrel(2));
    pair.expect(publish("a", "1").qos1(3).dup());
    // `[MQTT-2.2.1-3]`: the server may hold the message still. Its identifier is not free before it has let go.
    pair.expect(pubrel(1));
    pair.send(puback(3));
    assert_eq!(pair.completed(), (one, acked()));
    assert_eq!((pair.session.in_flight(), pair.session.queued_bytes()), (2, 0));
    pair.send(pubcomp(1));
    pair.expect_no_event();
    pair.send(pubcomp(2));
    assert_eq!(pair.completed(), (released, acked()));
    assert_eq!(pair.session.in_flight(), 0);
}

/// Trap 34: the next server may allow more.
#[test]
fn limits_do_not_outlive_their_connection() {
    let mut pair = Pair::new(config(Version::V5));
    pair.connect(no_qos_2());
    pair.cut();
    pair.ended();
    let token = pair.publish(message("a", "x", QoS::ExactlyOnce));
    pair.connect(connack_with_session());
    pair.expect(publish("a", "x").qos2(1));
    let _ = token;
}

/// `[MQTT-3.2.2-15]`: the last byte that fits, and the first that does not; for all packets.
#[test]
fn the_packet_size_of_the_server_is_kept() {
    let mut pair = Pair::new(config(Version::V5));
    let early = pair.publish(message("a", vec![b'x'; 28], QoS::AtMostOnce));
    pair.connect(limited(PropertiesBuf::builder().maximum_packet_size(32).build().unwrap()));
    let too_large = |size| UsageError::PacketTooLarge { size, limit: 32 };
    // 2 + 2 + 1 + 1 + 28 = 34
    assert_eq!(pair.completed(), (early, Outcome::Refused(too_large(34))));
    pair.publish(message("a", vec![b'x'; 26], QoS::AtMostOnce));
    pair.expect(publish("a", vec![b'x'; 26]));
    let now = pair.now();
    assert_eq!(pair.session.publish(now, message("a", vec![b'x'; 27], QoS::AtMostOnce)), Err(too_large(33)));
    assert_eq!(pair.session.publish(now, message("a", vec![b'x'; 25], QoS::AtLeastOnce)), Err(too_large(33)));
    pair.publish(message("a", vec![b'x'; 24], QoS::AtLeastOnce));
    pair.expect(publish("a", vec![b'x'; 24]).qos1(1));
    // 2 + 2 + 1 + 2 + 24 + 1 = 32
    let long = |len| vec![(filter(&"f".repeat(len)), QoS::AtMostOnce.into())];
    pair.session.subscribe(long(24), PropertiesBuf::new()).unwrap();
    pair.run();
    assert_eq!(pair.received().map(|packet| packet.encoded_len(Version::V5)), Some(32));
    assert_eq!(pair.session.subscribe(long(25), PropertiesBuf::new()), Err(too_large(33)));
    let refused = pair.session.unsubscribe(vec![filter(&"f".repeat(26))], PropertiesBuf::new());
    assert_eq!(refused, Err(too_large(33)));
    let properties = PropertiesBuf::builder().reason_string(&"r".repeat(30)).build().unwrap();
    let goodbye = mqtt_codec::Disconnect { reason: ReasonCode::NORMAL_DISCONNECTION, properties };
    assert!(matches!(pair.session.disconnect(goodbye), Err(UsageError::PacketTooLarge { .. })));
    assert!(pair.session.is_connected());
}

/// A subscription that was asked for before the connection.
#[test]
fn requests_queued_before_the_connection_are_judged_by_it() {
    let mut pair = Pair::new(config(Version::V5));
    let long = "f".repeat(40);
    let one = pair.subscribe(&[(&long, QoS::AtMostOnce)]);
    let two = pair.unsubscribe(&[&long]);
    pair.subscribe(&[("a", QoS::AtMostOnce)]);
    pair.connect(limited(PropertiesBuf::builder().maximum_packet_size(32).build().unwrap()));
    for token in [one, two] {
        let (completed, outcome) = pair.completed();
        assert_eq!(completed, token);
        assert!(matches!(outcome, Outcome::Refused(UsageError::PacketTooLarge { .. })));
    }
    pair.expect(subscribe(1, [("a", QoS::AtMostOnce)]));
}

/// A limit that no acknowledgement fits leaves nothing that could be done.
#[test]
fn an_unworkable_packet_size_is_refused() {
    let mut pair = Pair::new(config(Version::V5));
    pair.open();
    pair.received();
    pair.send(limited(PropertiesBuf::builder().maximum_packet_size(4).build().unwrap()));
    assert_eq!(pair.ended(), End::Protocol(ProtocolError::MaximumPacketSize(4)));
}

/// `[MQTT-3.1.2-24]`, trap 17: our limit, told by name, before the packet is buffered.
#[test]
fn our_packet_size_is_enforced() {
    for version in [Version::V3_1, Version::V3_1_1, Version::V5] {
        let mut pair = Pair::connected(Config { maximum_packet_size: Some(100), ..config(version) });
        pair.send_hex("30 62 00 01");
        pair.expect_no_event();
        pair.cut();
        pair.ended();
        pair.resume();
        // 2 + 99 bytes; two of them are enough to know.
        pair.send_hex("30 63");
        let End::Protocol(ProtocolError::Decode(error)) = pair.ended() else { panic!("another end") };
        assert!(error.to_string().contains("maximum packet size of 100"), "{error}");
        if version.is_v5() {
            pair.expect(disconnect(ReasonCode::PACKET_TOO_LARGE));
        }
        pair.expect_silence();
    }
}

/// `[MQTT-3.3.4-6]`; and properties need 5.0.
#[test]
fn properties_that_do_not_belong_are_refused() {
    let with = |properties: PropertiesBuf| Message { properties, ..message("a", "x", QoS::AtMostOnce) };
    let mut pair = Pair::connected(config(Version::V5));
    let now = pair.now();
    let identified = with(PropertiesBuf::builder().subscription_identifier(1).build().unwrap());
    let refused = UsageError::PropertyNotAllowed(PropertyId::SubscriptionIdentifier);
    assert_eq!(pair.session.publish(now, identified), Err(refused));
    let misplaced = with(PropertiesBuf::builder().reason_string("r").build().unwrap());
    assert!(matches!(pair.session.publish(now, misplaced), Err(UsageError::Encode(_))));
    let typed = with(PropertiesBuf::builder().content_type("t").user_property("k", "v").build().unwrap());
    pair.publish(typed.clone());
    pair.expect(publish("a", "x").properties(typed.properties.clone()));
    for version in [Version::V3_1, Version::V3_1_1] {
        let mut pair = Pair::connected(config(version));
        assert!(matches!(pair.session.publish(now, typed.clone()), Err(UsageError::Encode(_))));
    }
    // `[31-16]`
    let mut pair = Pair::connected(config(Version::V3_1));
    let long = "t".repeat(32_768);
    assert!(matches!(
        pair.session.publish(now, message(&long, "x", QoS::AtMostOnce)),
        Err(UsageError::Encode(_))
    ));
}

/// Trap 2: the queue is bounded by messages and by bytes, and says so before it is asked.
#[test]
fn the_queue_is_bounded() {
    let limits = Limits { queue_messages: 3, queue_bytes: 28, ..Limits::default() };
    let mut pair = Pair::new(Config { limits, ..config(Version::V5) });
    for _ in 0..3 {
        assert!(pair.session.accepts());
        pair.publish(message("a", "x", QoS::AtLeastOnce));
    }
    assert!(!pair.session.accepts());
    let now = pair.now();
    assert_eq!(pair.session.publish(now, message("a", "x", QoS::AtMostOnce)), Err(UsageError::QueueFull));
    // 2 + 2 + 1 + 2 + 1 + 1 = 9 each.
    assert_eq!((pair.session.queued(), pair.session.queued_bytes()), (3, 27));
    // Sent, they leave the queue, but they are still held.
    pair.connect(connack());
    assert_eq!((pair.session.queued(), pair.session.queued_bytes(), pair.session.in_flight()), (0, 27, 3));
    // One message of any size goes in while there is room at all.
    assert!(pair.session.accepts());
    pair.publish(message("a", vec![0; 1000], QoS::AtLeastOnce));
    assert_eq!(pair.session.queued_bytes(), 27 + 1009);
    assert!(!pair.session.accepts());
    assert_eq!(pair.session.publish(now, message("a", "", QoS::AtMostOnce)), Err(UsageError::QueueFull));
    while let Some(Packet::Publish(publish)) = pair.received() {
        pair.send(puback(publish.delivery().id().unwrap().get()));
    }
    assert_eq!(pair.session.queued_bytes(), 0);
    assert!(pair.session.accepts());
}

/// A server that wants answers and does not take them cannot make them pile up without end.
#[test]
fn answers_that_nobody_takes_are_bounded() {
    for version in [Version::V3_1_1, Version::V5] {
        let mut pair = Pair::connected(config(version));
        pair.stall();
        let mut floods = 0;
        let end = loop {
            // The driver does not ask for output either.
            let mut input = bytes::BytesMut::from_iter((0..1000).flat_map(|_| [0x62, 2, 0, 1]));
            pair.session.handle_input(pair.now(), &mut input);
            floods += 1;
            assert!(floods < 1000, "no end");
            if let Some(event) = pair.event() {
                break event;
            }
        };
        assert_eq!(end, mqtt_session::Event::Ended(End::Protocol(ProtocolError::AnswersNotTaken)));
        pair.unstall();
        if version.is_v5() {
            pair.expect(disconnect(ReasonCode::MESSAGE_RATE_TOO_HIGH));
        }
        pair.expect_silence();
    }
}
