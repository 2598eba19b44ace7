//! Traps that users of other clients fell into, each with its number: the connection, and messages to the
//! server. Each test says first what went wrong there. Other files say "trap 7" where they show a further side
//! of one.

use mqtt_codec::{ConnAck, Disconnect, Packet, PropertiesBuf, QoS, ReasonCode, Version};
use mqtt_session::{CleanStart, Config, End, Event, Limits, OnSessionLost, Outcome, ProtocolError};
use mqtt_testkit::packets::{
    connack, connack_with_session, puback, puback_with, pubcomp, pubcomp_with, publish, pubrec, pubrec_with,
    pubrel, subscribe, unsubscribe,
};
use mqtt_testkit::pair::{Pair, acked, acked_with, config, message};

const ALL: [Version; 3] = [Version::V3_1, Version::V3_1_1, Version::V5];

fn receive_maximum(maximum: u16) -> ConnAck {
    let properties = PropertiesBuf::builder().receive_maximum(maximum).build().unwrap();
    ConnAck { properties, ..connack() }
}

/// The identifiers of the PUBLISHes on the wire; nothing else is there.
fn sent(pair: &mut Pair) -> Vec<u16> {
    core::iter::from_fn(|| pair.received())
        .map(|packet| match packet {
            Packet::Publish(publish) => publish.delivery().id().unwrap().get(),
            other => panic!("{other:?}"),
        })
        .collect()
}

/// The server forgets the session, and queued messages are gone with it: only what was in flight follows
/// [`OnSessionLost`], what was never sent is sent.
#[test]
fn trap_03_a_lost_session_loses_nothing_that_was_never_sent() {
    for version in [Version::V3_1_1, Version::V5] {
        for on_session_lost in [OnSessionLost::Requeue, OnSessionLost::Fail] {
            let limits = Limits { in_flight: Some(2), ..Limits::default() };
            let mut pair = Pair::connected(Config { on_session_lost, limits, ..config(version) });
            let one = pair.publish(message("a", "1", QoS::AtLeastOnce));
            let two = pair.publish(message("a", "2", QoS::ExactlyOnce));
            // Behind the window, and during the outage: never sent.
            let three = pair.publish(message("a", "3", QoS::AtLeastOnce));
            pair.expect(publish("a", "1").qos1(1));
            pair.expect(publish("a", "2").qos2(2));
            pair.cut();
            pair.ended();
            let four = pair.publish(message("a", "4", QoS::ExactlyOnce));
            assert!(!pair.connect(connack()).1.session_present);
            let mut tokens = vec![one, two, three, four];
            if on_session_lost == OnSessionLost::Fail {
                let mut failed = [pair.completed(), pair.completed()];
                failed.sort_by_key(|(token, _)| *token);
                assert_eq!(failed, [(one, Outcome::SessionLost), (two, Outcome::SessionLost)]);
                tokens.drain(..2);
            }
            let mut payloads = Vec::new();
            while let Some(packet) = pair.received() {
                match packet {
                    Packet::Publish(publish) => {
                        payloads.push(u64::from(publish.payload()[0] - b'0'));
                        let delivery = publish.delivery();
                        assert!(!delivery.dup(), "a new exchange");
                        let id = delivery.id().unwrap().get();
                        let once = delivery.qos() == QoS::ExactlyOnce;
                        pair.send(if once { pubrec(id) } else { puback(id) });
                    }
                    Packet::PubRel(ack) => pair.send(pubcomp(ack.id.get())),
                    other => panic!("{other:?}"),
                }
            }
            assert_eq!(payloads, tokens.iter().map(|token| token.get()).collect::<Vec<_>>());
            let mut completed: Vec<_> = tokens.iter().map(|_| pair.completed()).collect();
            completed.sort_by_key(|(token, _)| *token);
            assert_eq!(completed, tokens.into_iter().map(|token| (token, acked())).collect::<Vec<_>>());
            pair.expect_silence();
            pair.expect_no_event();
        }
    }
}

/// A message that is never acknowledged blocks its identifier, and the client with it when the counter comes
/// round: here all others go past it, also across a reconnection, and its late PUBACK still counts.
#[test]
fn trap_04_an_unacknowledged_message_blocks_no_other() {
    let mut pair = Pair::connected(config(Version::V5));
    let stuck = pair.publish(message("a", "stuck", QoS::AtLeastOnce));
    pair.expect(publish("a", "stuck").qos1(1));
    let go_past = |pair: &mut Pair, count: u32| {
        for _ in 0..count {
            let token = pair.publish(message("a", "x", QoS::AtLeastOnce));
            let ids = sent(pair);
            assert!(ids.len() == 1 && ids[0] != 1, "{ids:?}");
            pair.send(puback(ids[0]));
            assert_eq!(pair.completed(), (token, acked()));
        }
    };
    go_past(&mut pair, 70_000);
    pair.cut();
    pair.ended();
    pair.resume();
    pair.expect(publish("a", "stuck").qos1(1).dup());
    go_past(&mut pair, 1000);
    pair.send(puback(1));
    assert_eq!(pair.completed(), (stuck, acked()));
    assert_eq!((pair.session.in_flight(), pair.session.queued()), (0, 0));
}

/// Two exchanges under one identifier, and acknowledgements that end the wrong one. `[MQTT-2.2.1-3]`
/// `[MQTT-2.3.1-2/3.1.1]` `[MQTT-2.3.1-3/3.1.1]` `[31-17]`, trap 4: one table for PUBLISH, SUBSCRIBE and
/// UNSUBSCRIBE; with all identifiers taken the queue waits.
#[test]
fn trap_05_identifiers_are_never_used_while_in_flight() {
    for version in [Version::V3_1, Version::V3_1_1] {
        let mut pair = Pair::connected(Config {
            limits: Limits { queue_messages: 70_000, in_flight: Some(u16::MAX), ..Limits::default() },
            ..config(version)
        });
        pair.subscribe(&[("s", QoS::AtMostOnce)]);
        pair.expect(subscribe(1, [("s", QoS::AtMostOnce)]));
        for _ in 0..65_540 {
            pair.session.publish(pair.now(), message("a", "x", QoS::AtLeastOnce)).unwrap();
        }
        pair.run();
        assert_eq!(sent(&mut pair), (2..=65_535).collect::<Vec<_>>());
        assert_eq!(pair.session.queued(), 6);
        // No identifier for requests either, until one is free.
        pair.unsubscribe(&["s"]);
        pair.expect_silence();
        pair.send(puback(700));
        pair.expect(unsubscribe(700, ["s"]));
        pair.expect_silence();
        for id in [9, 65_535, 2] {
            pair.send(puback(id));
            assert_eq!(sent(&mut pair), [id]);
        }
        pair.send_hex("90 03 00 01 00");
        assert_eq!(sent(&mut pair), [1]);
    }
}

/// The connection breaks at the wrong moment, and a QoS 2 message arrives twice. Each packet of the exchange
/// is the one that is lost here, twice in a row: one delivery at the server, one completion, and no PUBLISH
/// after PUBREL `[MQTT-4.3.3-6]` `[MQTT-4.3.3-1/3.1.1]`. For what a client receives see `traps_receiving.rs`.
#[test]
fn trap_07_qos_2_is_sent_exactly_once_wherever_the_connection_breaks() {
    for version in ALL {
        for (first, second) in (0..4).flat_map(|first| (0..4).map(move |second| (first, second))) {
            let play = format!("{version}, lost: packet {first}, then {second}");
            let mut pair = Pair::connected(config(version));
            let mut server = ExactlyOnce::default();
            if first == 0 {
                pair.stall();
            }
            let token = pair.publish(message("a", "x", QoS::ExactlyOnce));
            let mut completed = Vec::new();
            for (round, lost) in [Some(first), Some(second), None].into_iter().enumerate() {
                server.listen(&mut pair, lost);
                if lost.is_some() {
                    pair.cut();
                    pair.open();
                    if round == 0 && second == 0 {
                        pair.stall();
                    }
                    assert!(matches!(pair.received(), Some(Packet::Connect(_))), "{play}");
                    pair.send(ConnAck { session_present: version != Version::V3_1, ..connack() });
                }
                completed.extend(core::iter::from_fn(|| pair.event()).filter_map(|event| match event {
                    Event::Completed(token, outcome) => Some((token, outcome)),
                    _ => None,
                }));
            }
            assert_eq!(server.deliveries, 1, "{play}");
            assert_eq!(completed, [(token, acked())], "{play}");
            assert_eq!(pair.session.in_flight(), 0, "{play}");
        }
    }
}

/// The server's side of one QoS 2 exchange.
#[derive(Default)]
struct ExactlyOnce {
    deliveries: u32,
    has_it: bool,
    released: bool,
}

impl ExactlyOnce {
    /// Answers what comes, until the packet of this place in the conversation, 0, 1, 2 and so on, is lost.
    fn listen(&mut self, pair: &mut Pair, lost: Option<u32>) {
        let mut place = 0;
        while let Some(packet) = pair.received() {
            let answer = match packet {
                Packet::Publish(publish) => {
                    assert!(!self.released, "PUBLISH after PUBREL");
                    assert_eq!(publish.delivery().id().unwrap().get(), 1);
                    self.deliveries += u32::from(!self.has_it);
                    self.has_it = true;
                    pubrec(1)
                }
                Packet::PubRel(_) => {
                    self.released = true;
                    pubcomp(1)
                }
                other => panic!("{other:?}"),
            };
            place += 2;
            if lost == Some(place - 1) {
                return;
            }
            if lost == Some(place) {
                pair.stall();
            }
            pair.send(answer);
        }
    }
}

/// Nobody can say whether this very message was acknowledged: each has its token, answered in any order, with
/// the reason and properties of its own acknowledgement; QoS 2 completes at PUBCOMP, not before.
#[test]
fn trap_08_each_publish_learns_its_own_outcome() {
    let mut pair = Pair::connected(config(Version::V5));
    let [one, two, three] = [QoS::AtLeastOnce, QoS::ExactlyOnce, QoS::AtLeastOnce]
        .map(|qos| pair.publish(message("a", "the same for all", qos)));
    pair.send(puback_with(3, ReasonCode::NOT_AUTHORIZED));
    assert_eq!(pair.completed(), (three, acked_with(ReasonCode::NOT_AUTHORIZED)));
    pair.send(pubrec(2));
    pair.expect_no_event();
    pair.send_hex("40 08 00 01 10 04 1F 00 01 6E");
    let properties = PropertiesBuf::builder().reason_string("n").build().unwrap();
    let reason = ReasonCode::NO_MATCHING_SUBSCRIBERS;
    assert_eq!(pair.completed(), (one, Outcome::Acked { reason, properties }));
    pair.expect_no_event();
    pair.send(pubcomp(2));
    assert_eq!(pair.completed(), (two, acked()));
}

/// Two clients with one identifier throw each other out for ever: the session says that it was taken over, so
/// that its driver can stop. `[5u-19]` `[MQTT-3.14.4-1]` `[MQTT-3.1.4-3]`: nothing is answered, nothing more
/// is sent.
#[test]
fn trap_16_a_takeover_is_reported_and_not_answered() {
    let mut pair = Pair::connected(config(Version::V5));
    pair.publish(message("a", "x", QoS::ExactlyOnce));
    pair.received();
    // What lies behind it in the same read counts no more.
    pair.send_hex("E0 02 8E 00 50 02 00 01");
    assert_eq!(pair.ended(), End::ServerDisconnect(Disconnect::new(ReasonCode::SESSION_TAKEN_OVER)));
    pair.expect_silence();
    pair.cut();
    pair.expect_no_event();
    pair.resume();
    pair.expect(publish("a", "x").qos2(1).dup());
}

/// A small default limit cuts the connection without a word: here the default is the protocol's own, and
/// where the application has set one, the error names it.
#[test]
fn trap_17_the_default_packet_limit_is_that_of_the_protocol() {
    for version in ALL {
        let mut pair = Pair::new(config(version));
        let (connect, _) = pair.connect(connack());
        assert_eq!(connect.properties.view().maximum_packet_size(), None);
        pair.send(publish("a", vec![b'x'; 3_000_000]));
        assert_eq!(pair.message().0.payload.len(), 3_000_000);

        let mut pair = Pair::connected(Config { maximum_packet_size: Some(10 * 1024), ..config(version) });
        pair.send(publish("a", vec![b'x'; 10 * 1024]));
        let End::Protocol(error @ ProtocolError::Decode(_)) = pair.ended() else { panic!("another end") };
        assert_eq!(error.reason_code(), ReasonCode::PACKET_TOO_LARGE);
        assert!(error.to_string().contains("maximum packet size of 10240"), "{error}");
    }
}

/// What is published while the last connection's messages are being sent again is lost, or overtakes them:
/// here it waits behind them, QoS 0 too. `[MQTT-4.6.0-1]`
#[test]
fn trap_26_publishes_during_the_replay_go_behind_it() {
    let mut pair = Pair::connected(config(Version::V5));
    for payload in ["1", "2", "3"] {
        pair.publish(message("a", payload, QoS::AtLeastOnce));
    }
    pair.cut();
    pair.ended();
    pair.publish(message("a", "4", QoS::AtMostOnce));
    pair.connect(ConnAck { session_present: true, ..receive_maximum(1) });
    pair.expect(publish("a", "1").qos1(1).dup());
    pair.expect_silence();
    let five = pair.publish(message("a", "5", QoS::AtLeastOnce));
    pair.expect_silence();
    pair.send(puback(1));
    pair.expect(publish("a", "2").qos1(2).dup());
    let six = pair.publish(message("a", "6", QoS::AtMostOnce));
    pair.expect_silence();
    pair.send(puback(2));
    pair.expect(publish("a", "3").qos1(3).dup());
    pair.expect(publish("a", "4"));
    pair.expect_silence();
    pair.send(puback(3));
    pair.expect(publish("a", "5").qos1(4));
    pair.expect(publish("a", "6"));
    pair.expect_silence();
    pair.send(puback(4));
    pair.expect_silence();
    let completed: Vec<_> = core::iter::from_fn(|| match pair.event() {
        Some(Event::Completed(token, _)) => Some(token),
        _ => None,
    })
    .collect();
    assert_eq!(completed.len(), 6, "none is lost");
    assert!(completed.contains(&five) && completed.contains(&six));
}

/// A clean start can be wanted at every connection or at none: here also the first time only.
#[test]
fn trap_28_clean_start_can_be_wanted_the_first_time_only() {
    for (clean_start, asked) in [
        (CleanStart::Always, [true, true, true]),
        (CleanStart::FirstOnly, [true, false, false]),
        (CleanStart::Never, [false, false, false]),
    ] {
        for version in ALL {
            let mut pair = Pair::new(Config { clean_start, ..config(version) });
            for asked in asked {
                let (connect, _) = pair.connect(connack());
                assert_eq!(connect.clean_start, asked, "{clean_start:?} {version}");
                pair.cut();
                pair.ended();
            }
        }
    }
}

/// Each failing PUBREC or PUBCOMP takes a place of the window with it, until nothing is sent any more.
/// `[MQTT-4.9.0-2]` `[MQTT-4.3.3-4]`
#[test]
fn trap_30_a_failed_acknowledgement_gives_its_place_back() {
    let mut pair = Pair::new(config(Version::V5));
    pair.connect(receive_maximum(2));
    for (kind, round) in (0..4).flat_map(|kind| (0..10).map(move |round| (kind, round))) {
        let token = pair.publish(message("a", "x", QoS::ExactlyOnce));
        let ids = sent(&mut pair);
        let [id] = ids[..] else { panic!("kind {kind}, round {round}: {ids:?}") };
        let reason = match kind {
            0 => {
                pair.send(pubrec_with(id, ReasonCode::QUOTA_EXCEEDED));
                ReasonCode::QUOTA_EXCEEDED
            }
            1 => {
                pair.send(pubrec(id));
                pair.expect(pubrel(id));
                pair.send(pubcomp_with(id, ReasonCode::PACKET_IDENTIFIER_NOT_FOUND));
                ReasonCode::SUCCESS
            }
            2 => {
                // A PUBREC that takes back what the one before it said.
                pair.send(pubrec(id));
                pair.expect(pubrel(id));
                pair.send(pubrec_with(id, ReasonCode::UNSPECIFIED_ERROR));
                ReasonCode::UNSPECIFIED_ERROR
            }
            _ => {
                // The same as the first on the next connection, for a message that is sent again there.
                pair.cut();
                pair.ended();
                pair.connect(ConnAck { session_present: true, ..receive_maximum(2) });
                pair.expect(publish("a", "x").qos2(id).dup());
                pair.send(pubrec_with(id, ReasonCode::NOT_AUTHORIZED));
                ReasonCode::NOT_AUTHORIZED
            }
        };
        assert_eq!(pair.completed(), (token, acked_with(reason)), "kind {kind}, round {round}");
    }
    // The whole window is there, and no more than it.
    for _ in 0..3 {
        pair.publish(message("a", "x", QoS::AtLeastOnce));
    }
    assert_eq!(sent(&mut pair).len(), 2);
}

/// What was in flight when the connection broke is never sent again. `[MQTT-4.4.0-1]` `[MQTT-3.3.1-1]`
/// `[31-12]`: the same packet and identifier, DUP 1, once, in the order of the first sending.
#[test]
fn trap_32_what_is_in_flight_is_sent_again_in_order() {
    for version in ALL {
        let mut pair = Pair::connected(config(version));
        let one = pair.publish(message("a", "1", QoS::AtLeastOnce));
        let two = pair.publish(message("b", "2", QoS::ExactlyOnce));
        let done = pair.publish(message("c", "3", QoS::AtLeastOnce));
        pair.send(puback(3));
        assert_eq!(pair.completed(), (done, acked()));
        for _ in 0..2 {
            pair.cut();
            pair.ended();
            let (connect, connected) = pair.resume();
            assert!(!connect.clean_start && connected.session_present);
            pair.expect(publish("a", "1").qos1(1).dup());
            pair.expect(publish("b", "2").qos2(2).dup());
            pair.expect_silence();
        }
        pair.send(puback(1));
        pair.send(pubrec(2));
        pair.expect(pubrel(2));
        pair.send(pubcomp(2));
        assert_eq!(pair.completed(), (one, acked()));
        assert_eq!(pair.completed(), (two, acked()));
        pair.expect_no_event();
    }
}

/// What one server allowed is taken for the configuration of the next. `[5u-15]` `[5u-20]` `[MQTT-3.2.2-9]`:
/// what CONNACK says holds, and its absence means the default.
#[test]
fn trap_34_limits_of_the_server_end_with_the_connection() {
    let mut pair = Pair::new(Config { keep_alive: 60, ..config(Version::V5) });
    let properties = PropertiesBuf::builder()
        .session_expiry_interval(5)
        .receive_maximum(7)
        .maximum_qos(QoS::AtLeastOnce)
        .retain_available(false)
        .maximum_packet_size(2000)
        .topic_alias_maximum(4)
        .wildcard_subscription_available(false)
        .subscription_identifier_available(false)
        .shared_subscription_available(false)
        .server_keep_alive(11)
        .response_information("r")
        .build()
        .unwrap();
    let (_, connected) = pair.connect(ConnAck { properties: properties.clone(), ..connack() });
    assert_eq!(connected.properties, properties);
    let said = connected.negotiated;
    assert_eq!(pair.session.negotiated(), Some(&said));
    assert_eq!(
        (said.session_expiry, said.receive_maximum, said.maximum_qos, said.retain_available),
        (5, 7, QoS::AtLeastOnce, false)
    );
    assert_eq!((said.maximum_packet_size, said.topic_alias_maximum, said.keep_alive), (Some(2000), 4, 11));
    assert!(!said.wildcard_subscription_available && !said.shared_subscription_available);
    assert!(!said.subscription_identifier_available);

    pair.cut();
    pair.ended();
    assert_eq!(pair.session.negotiated(), None);
    let (_, connected) = pair.connect(connack_with_session());
    let said = connected.negotiated;
    assert_eq!(
        (said.session_expiry, said.receive_maximum, said.maximum_qos, said.retain_available),
        (3600, 65535, QoS::ExactlyOnce, true)
    );
    assert_eq!((said.maximum_packet_size, said.topic_alias_maximum, said.keep_alive), (None, 0, 60));
    assert!(said.wildcard_subscription_available && said.shared_subscription_available);
    assert!(said.subscription_identifier_available);
}
