//! What must survive a crash: operations out, a legal session back, from any prefix of them. Traps 7 and 29.

use bytes::Bytes;
use core::time::Duration;
use mqtt_codec::{Packet, PropertiesBuf, QoS, ReasonCode, Text, Version};
use mqtt_session::{
    CleanStart, Config, End, Event, Instant, Limits, Message, Outcome, Overflow, RestoreError, Session,
    Snapshot, StoreKey, StoreOp, StoredMessage, UsageError,
};
use mqtt_testkit::packets::{connack, puback, pubcomp, publish, pubrec, pubrel};
use mqtt_testkit::pair::{Pair, acked, config, message};
use std::collections::BTreeMap;

const ALL: [Version; 3] = [Version::V3_1, Version::V3_1_1, Version::V5];

fn durable(version: Version) -> Config {
    Config { durable: true, ..config(version) }
}

/// The store: a map. `ops` are all that ever came.
#[derive(Default)]
struct Store {
    map: BTreeMap<StoreKey, Bytes>,
    ops: Vec<StoreOp>,
}

impl Store {
    fn take(&mut self, session: &mut Session) {
        while let Some(op) = session.poll_store() {
            self.ops.push(op.clone());
            apply(&mut self.map, op);
        }
    }

    /// What is stored, beside that there is a session.
    fn keys(&self) -> Vec<StoreKey> {
        self.map.keys().copied().filter(|key| *key != StoreKey::Begun).collect()
    }

    fn restore(&self, config: Config) -> Pair {
        let entries = self.map.clone().into_iter().collect();
        Pair::with_session(Session::restore(Instant::ZERO, config, Snapshot { entries, last: 0 }).unwrap())
    }
}

fn apply(map: &mut BTreeMap<StoreKey, Bytes>, op: StoreOp) {
    match op {
        StoreOp::Put(key, value) => drop(map.insert(key, value)),
        StoreOp::Delete(key) => drop(map.remove(&key)),
    }
}

#[test]
fn nothing_is_stored_unless_asked() {
    let mut pair = Pair::connected(config(Version::V5));
    pair.publish(message("a", "x", QoS::AtLeastOnce));
    pair.send(publish("a", "y").qos2(1));
    let token = pair.message_to_acknowledge("y");
    pair.acknowledge(token);
    assert_eq!(pair.session.poll_store(), None);
}

/// Everything at once, then a crash: queued, sent, released, received.
#[test]
fn a_crash_loses_nothing() {
    for version in ALL {
        let mut store = Store::default();
        let mut pair = Pair::connected(durable(version));
        pair.publish(message("a", "1", QoS::AtLeastOnce));
        pair.publish(message("a", "2", QoS::ExactlyOnce));
        pair.publish(message("a", "3", QoS::ExactlyOnce));
        pair.send(pubrec(2));
        pair.send(publish("in", "x").qos2(40));
        let token = pair.message_to_acknowledge("x");
        pair.acknowledge(token);
        pair.cut();
        pair.ended();
        pair.publish(message("a", "4", QoS::AtLeastOnce));
        let mut sixth = message("a", "6", QoS::AtMostOnce);
        if version.is_v5() {
            sixth.properties = PropertiesBuf::builder().content_type("t").build().unwrap();
        }
        pair.publish(sixth.clone());
        store.take(&mut pair.session);

        let mut pair = store.restore(durable(version));
        assert_eq!((pair.session.queued(), pair.session.in_flight()), (2, 3));
        let (connect, _) = pair.resume();
        assert!(!connect.clean_start);
        pair.expect(pubrel(2));
        pair.expect(publish("a", "1").qos1(1).dup());
        pair.expect(publish("a", "3").qos2(3).dup());
        pair.expect(publish("a", "4").qos1(4));
        pair.expect(publish("a", "6").properties(sixth.properties));
        pair.expect_silence();
        pair.send(publish("in", "x").qos2(40).dup());
        pair.expect(pubrec(40));
        pair.send(pubrel(40));
        pair.expect(pubcomp(40));
        pair.completed();
        for packet in [puback(1), pubcomp(2), pubrec(3), pubcomp(3), puback(4)] {
            pair.send(packet);
        }
        for _ in 0..4 {
            assert_eq!(pair.completed().1, acked());
        }
        pair.expect_no_event();
        assert_eq!(pair.session.queued_bytes(), 0);
        // All is done, and the store is empty.
        store.take(&mut pair.session);
        assert_eq!(store.keys(), []);
    }
}

/// A message that was delivered but not accepted is delivered again after a crash: the server still has it.
#[test]
fn only_accepted_messages_are_remembered() {
    let mut store = Store::default();
    let mut pair = Pair::connected(durable(Version::V5));
    pair.send(publish("in", "x").qos2(7));
    let _lost = pair.message_to_acknowledge("x");
    store.take(&mut pair.session);
    let mut pair = store.restore(durable(Version::V5));
    pair.resume();
    pair.send(publish("in", "x").qos2(7).dup());
    let _ = pair.message_to_acknowledge("x");
}

/// A lost session is lost in the store too, and what goes back into the queue is unsent there.
#[test]
fn a_lost_session_is_lost_in_the_store() {
    let mut store = Store::default();
    let mut pair = Pair::connected(durable(Version::V5));
    pair.publish(message("a", "1", QoS::AtLeastOnce));
    pair.publish(message("a", "2", QoS::ExactlyOnce));
    pair.send(pubrec(2));
    pair.send(publish("in", "x").qos2(7));
    let token = pair.message_to_acknowledge("x");
    pair.acknowledge(token);
    pair.cut();
    pair.ended();
    pair.open();
    pair.stall();
    pair.send(connack());
    while pair.event().is_some() {}
    pair.cut();
    store.take(&mut pair.session);
    // It was handed out again: one message, one exchange.
    assert_eq!(store.keys(), [StoreKey::Message(1), StoreKey::Exchange(1)]);
}

/// What went back into the queue has been sent, and may have arrived. The next life knows it too.
#[test]
fn a_requeued_message_was_sent_in_the_next_life_too() {
    let mut store = Store::default();
    let mut pair = Pair::connected(durable(Version::V5));
    let token = pair.publish(message("a", "1", QoS::AtLeastOnce));
    pair.cut();
    pair.ended();
    pair.open();
    pair.stall();
    pair.send(connack());
    store.take(&mut pair.session);
    // The crash comes when it is queued again, and not sent: without the last operation.
    assert!(store.map.remove(&StoreKey::Exchange(1)).is_some());
    let mut pair = store.restore(durable(Version::V5));
    assert_eq!((pair.session.queued(), pair.session.in_flight()), (1, 0));
    pair.session.abandon(pair.now());
    assert_eq!(pair.completed(), (token, Outcome::Stored));
    let mut pair = store.restore(durable(Version::V5));
    pair.connect(connack());
    pair.expect(publish("a", "1").qos1(1));
}

/// Messages that go back into the queue of a new life stand before its beginning, and one of them expires.
#[test]
fn a_requeued_message_can_expire_in_the_next_life() {
    let limits = Limits { overflow: Overflow::KeepLatest, ..Limits::default() };
    let config = || Config { limits, ..durable(Version::V5) };
    let mut store = Store::default();
    let mut pair = Pair::connected(config());
    pair.publish(message("a", "1", QoS::AtLeastOnce));
    let properties = PropertiesBuf::builder().message_expiry_interval(1).build().unwrap();
    let second = pair.publish(Message { properties, ..message("b", "2", QoS::AtLeastOnce) });
    store.take(&mut pair.session);
    let mut pair = store.restore(config());
    let window = PropertiesBuf::builder().receive_maximum(1).build().unwrap();
    pair.connect(mqtt_codec::ConnAck { properties: window, ..connack() });
    assert_eq!((pair.session.queued(), pair.session.in_flight()), (1, 1));
    pair.advance(Duration::from_secs(2));
    assert_eq!(pair.completed(), (second, Outcome::SessionLost));
}

/// `[MQTT-3.1.3-2]`: the identifier that the server assigned names the session after a crash too.
#[test]
fn the_assigned_client_identifier_is_stored() {
    let nameless = || Config { client_id: Text::default(), ..durable(Version::V5) };
    let mut store = Store::default();
    let mut pair = Pair::new(nameless());
    let properties = PropertiesBuf::builder().assigned_client_identifier("xyz").build().unwrap();
    pair.connect(mqtt_codec::ConnAck { properties, ..connack() });
    store.take(&mut pair.session);
    let mut pair = store.restore(nameless());
    assert_eq!(&*pair.resume().0.client_id, "xyz");
}

/// The order of PUBRELs is that of the PUBRECs `[MQTT-4.6.0-4]`, also in another life.
#[test]
fn releases_keep_their_order() {
    let mut store = Store::default();
    let mut pair = Pair::connected(durable(Version::V5));
    for _ in 0..3 {
        pair.publish(message("a", "x", QoS::ExactlyOnce));
    }
    for id in [3, 1, 2] {
        pair.send(pubrec(id));
    }
    store.take(&mut pair.session);
    let mut pair = store.restore(durable(Version::V5));
    pair.resume();
    for id in [3, 1, 2] {
        pair.expect(pubrel(id));
    }
}

/// `[MQTT-4.8.0-2/3.1.1]`: the identifier of a QoS 2 message cannot be stored. What to store is known before
/// the bytes that depend on it leave, so a driver can close instead: no PUBREC, and the server comes again.
#[test]
fn a_driver_whose_store_fails_can_close_first() {
    for version in ALL {
        let mut pair = Pair::connected(durable(version));
        pair.send(publish("a", "x").qos2(1));
        let token = pair.message_to_acknowledge("x");
        pair.session.acknowledge(token, ReasonCode::SUCCESS);
        let ops: Vec<_> = core::iter::from_fn(|| pair.session.poll_store()).collect();
        assert!(matches!(
            &ops[..],
            [StoreOp::Put(StoreKey::Begun, _), StoreOp::Put(StoreKey::Received(_), _)]
        ));
        pair.expect_silence();
        pair.cut();
        assert_eq!(pair.ended(), End::Closed);
        pair.resume();
        pair.expect_silence();
        pair.send(publish("a", "x").qos2(1).dup());
        pair.expect(pubrec(1));
        pair.expect_no_event();
    }
}

/// A crash between the two must not lose the exchange: the release is stored before its message is forgotten.
#[test]
fn a_release_is_stored_before_its_message_is_forgotten() {
    let mut pair = Pair::connected(durable(Version::V5));
    assert_eq!(pair.session.poll_store(), Some(StoreOp::Put(StoreKey::Begun, Bytes::from_static(&[0]))));
    pair.publish(message("a", "x", QoS::ExactlyOnce));
    let before = [pair.session.poll_store(), pair.session.poll_store()];
    assert!(matches!(
        before,
        [Some(StoreOp::Put(StoreKey::Message(1), _)), Some(StoreOp::Put(StoreKey::Exchange(1), _))]
    ));
    pair.send(pubrec(1));
    let after: Vec<_> = core::iter::from_fn(|| pair.session.poll_store()).collect();
    assert!(matches!(
        after[..],
        [
            StoreOp::Put(StoreKey::Release(1), _),
            StoreOp::Delete(StoreKey::Message(1)),
            StoreOp::Delete(StoreKey::Exchange(1))
        ]
    ));
}

/// The map after any prefix of the operations makes a session that comes to rest, with nothing lost.
#[test]
fn any_prefix_makes_a_legal_session() {
    for version in ALL {
        let mut store = Store::default();
        let mut pair = Pair::connected(durable(version));
        for (round, qos) in
            [QoS::AtLeastOnce, QoS::ExactlyOnce, QoS::AtMostOnce, QoS::ExactlyOnce].into_iter().enumerate()
        {
            pair.publish(message("a", format!("{round}"), qos));
        }
        pair.send(pubrec(3));
        pair.send(puback(1));
        pair.send(pubrec(2));
        pair.send(pubcomp(3));
        pair.send(publish("in", "x").qos2(9));
        while let Some(event) = pair.event() {
            if let Event::Message(_, Some(token)) = event {
                pair.acknowledge(token);
            }
        }
        pair.send(pubrel(9));
        pair.cut();
        pair.ended();
        pair.connect(connack());
        store.take(&mut pair.session);

        let mut map = BTreeMap::new();
        for op in store.ops {
            apply(&mut map, op);
            let entries = map.clone().into_iter().collect();
            let session =
                Session::restore(Instant::ZERO, durable(version), Snapshot { entries, last: 0 }).unwrap();
            let mut pair = Pair::with_session(session);
            let (queued, in_flight) = (pair.session.queued(), pair.session.in_flight());
            pair.resume();
            while let Some(packet) = pair.received() {
                match packet {
                    Packet::Publish(publish) => match publish.delivery().id() {
                        Some(id) if publish.qos() == QoS::AtLeastOnce => pair.send(puback(id.get())),
                        Some(id) => pair.send(pubrec(id.get())),
                        None => {}
                    },
                    Packet::PubRel(ack) => pair.send(pubcomp(ack.id.get())),
                    other => panic!("{other:?}"),
                }
            }
            assert_eq!((pair.session.queued(), pair.session.in_flight()), (0, 0));
            let completed =
                core::iter::from_fn(|| pair.event()).filter(|event| matches!(event, Event::Completed(..)));
            assert_eq!(completed.count(), queued + in_flight);
            let mut rest = map.clone();
            while let Some(op) = pair.session.poll_store() {
                apply(&mut rest, op);
            }
            let received = |key: &StoreKey| matches!(key, StoreKey::Begun | StoreKey::Received(_));
            assert!(rest.keys().all(received), "left behind: {rest:?}");
        }
    }
}

/// What this session cannot have written is named, not guessed at.
#[test]
fn a_damaged_store_is_refused() {
    let restore = |key, value: &'static [u8]| {
        let entries = vec![(key, Bytes::from_static(value))];
        Session::restore(Instant::ZERO, durable(Version::V5), Snapshot { entries, last: 0 })
    };
    for (key, value) in [
        (StoreKey::Message(1), &b"\0\0\0\0\0\0\0\0\x32\x07\x00\x01a\x00\x01\x00"[..]),
        (StoreKey::Message(1), b""),
        (StoreKey::Message(1), b"\0\0\0\0\0\0\0\0\x40\x02\x00\x01"),
        (StoreKey::Begun, b""),
        (StoreKey::Begun, b"\x02"),
        (StoreKey::Release(1), b"\x40\x02\x00\x01"),
        (StoreKey::Release(1), b"\x62\x02\x00\x01\x00"),
        (StoreKey::Received(mqtt_testkit::packets::id(2)), b"\x50\x02\x00\x01"),
    ] {
        match restore(key, value) {
            Err(RestoreError::Snapshot(error)) => assert_eq!(error.key, key),
            other => panic!("{other:?}"),
        }
    }
    let wrong = Config { receive_maximum: 0, ..durable(Version::V5) };
    let refused = Session::restore(Instant::ZERO, wrong, Snapshot::default());
    assert!(matches!(refused, Err(RestoreError::Config(UsageError::ZeroReceiveMaximum))));
}

/// Giving up is for this life only.
#[test]
fn giving_up_leaves_the_store_alone() {
    let mut store = Store::default();
    let mut pair = Pair::connected(durable(Version::V5));
    let token = pair.publish(message("a", "1", QoS::AtLeastOnce));
    pair.session.abandon(pair.now());
    pair.ended();
    assert_eq!(pair.completed(), (token, Outcome::Stored));
    store.take(&mut pair.session);
    let mut pair = store.restore(durable(Version::V5));
    pair.resume();
    pair.expect(publish("a", "1").qos1(1).dup());
}

fn expiring(text: &'static str, seconds: u32) -> Message {
    let properties = PropertiesBuf::builder().message_expiry_interval(seconds).build().unwrap();
    Message { properties, ..message("a", text, QoS::AtLeastOnce) }
}

fn at(seconds: u64) -> Instant {
    Instant::from_duration(Duration::from_secs(seconds))
}

/// Time passes while no process runs `[MQTT-3.3.2-6]`, unless the clock was set back: then the message has no longer than
/// it was given.
#[test]
fn message_expiry_counts_over_a_restart() {
    for (restart, left) in [(4, Some(6)), (10, None), (1_000, None), (0, Some(10))] {
        let mut session = Session::new(durable(Version::V5)).unwrap();
        session.publish(at(1), expiring("x", 9)).unwrap();
        let mut store = Store::default();
        store.take(&mut session);
        let entries = store.map.clone().into_iter().collect();
        let snapshot = Snapshot { entries, last: 0 };
        let mut session = Session::restore(at(restart), durable(Version::V5), snapshot).unwrap();
        session.handle_timeout(at(restart));
        assert_eq!(session.poll_timeout(), left.map(|left| at(restart + left.min(9))));
        let expired = session.poll_event();
        assert_eq!(expired.is_some(), left.is_none(), "{expired:?}");
    }
}

/// A message that was sent and then went back into the queue keeps its moment too.
#[test]
fn a_requeued_message_keeps_its_expiry() {
    let mut pair = Pair::connected(durable(Version::V5));
    let began = pair.now();
    let mut store = Store::default();
    pair.publish(expiring("x", 9));
    pair.cut();
    pair.ended();
    pair.advance(Duration::from_secs(5));
    pair.open();
    pair.stall();
    pair.send(connack());
    store.take(&mut pair.session);
    let stored = StoredMessage::decode(1, &store.map[&StoreKey::Message(1)]).unwrap();
    assert_eq!(stored.expires(), Some(began + Duration::from_secs(9)));
}

/// A driver may keep messages on disk and give them to the session when it can send them. The numbers stay the order.
#[test]
fn messages_that_the_driver_has_stored() {
    let mut pair = Pair::connected(durable(Version::V5));
    _ = pair.session.poll_store();
    let numbers = [pair.session.take_number(), pair.session.take_number()];
    // A request in between has a number of its own.
    let other = pair.publish(message("a", "0", QoS::AtLeastOnce));
    assert!(numbers[0] < numbers[1] && numbers[1] < other.get());
    while pair.session.poll_store().is_some() {}
    for (number, text) in numbers.into_iter().zip(["1", "2"]) {
        let value = StoredMessage::new(pair.now(), message("a", text, QoS::AtLeastOnce)).value().unwrap();
        let stored = StoredMessage::decode(number, &value).unwrap();
        assert_eq!(pair.session.publish_stored(pair.now(), number, stored).get(), number);
        assert_eq!(pair.session.poll_store(), None, "it is stored already");
    }
    pair.run();
    pair.expect(publish("a", "0").qos1(1));
    pair.expect(publish("a", "1").qos1(2));
    pair.expect(publish("a", "2").qos1(3));
    pair.send(puback(2));
    let ops: Vec<_> = core::iter::from_fn(|| pair.session.poll_store()).collect();
    assert!(matches!(ops[0], StoreOp::Put(StoreKey::Exchange(1), _)), "{ops:?}");
    assert_eq!(ops[2..], [StoreKey::Message(1), StoreKey::Exchange(1)].map(StoreOp::Delete));
    assert_eq!(pair.completed().0.get(), 1);
}

/// What was stored under 5.0 can be more than 3.1.1 can say. The message is refused by name, the others are sent.
#[test]
fn a_session_goes_on_in_another_version() {
    let mut session = Session::new(durable(Version::V5)).unwrap();
    let mut store = Store::default();
    let refused = session.publish(Instant::ZERO, expiring("x", 9)).unwrap();
    session.publish(Instant::ZERO, message("a", "y", QoS::ExactlyOnce)).unwrap();
    store.take(&mut session);
    for version in [Version::V3_1_1, Version::V3_1] {
        // An attempt in 5.0 comes before.
        for began in [Version::V5, version] {
            let snapshot = Snapshot { entries: store.map.clone().into_iter().collect(), last: 0 };
            let mut session = Session::restore(Instant::ZERO, durable(began), snapshot).unwrap();
            session.set_config(durable(version)).unwrap();
            let mut pair = Pair::with_session(session);
            pair.connect(connack());
            let (token, outcome) = pair.completed();
            assert!(token == refused && matches!(outcome, Outcome::Refused(_)), "{outcome:?}");
            let ops: Vec<_> = core::iter::from_fn(|| pair.session.poll_store()).collect();
            assert!(ops.contains(&StoreOp::Delete(StoreKey::Message(1))), "{ops:?}");
            pair.expect(publish("a", "y").qos2(1));
            assert_eq!(pair.session.queued_bytes(), 8);
        }
    }
}

/// Clean Start on the first connection is for the first that a server accepted, whatever was queued or crashed before.
#[test]
fn the_first_connection_is_the_first_that_was_accepted() {
    let config = || Config { clean_start: CleanStart::FirstOnly, ..durable(Version::V3_1_1) };
    let mut store = Store::default();
    let mut session = Session::new(config()).unwrap();
    session.publish(Instant::ZERO, message("a", "x", QoS::AtLeastOnce)).unwrap();
    store.take(&mut session);
    let mut pair = store.restore(config());
    assert!(pair.connect(connack()).0.clean_start);
    store.take(&mut pair.session);
    assert!(!store.restore(config()).connect(connack()).0.clean_start);
}

/// 3.1 does not say that the session is gone. What was begun clean ends with its connection `[MQTT-3.1.2-6/3.1.1]`, also
/// for the next process: the identifier of a new message is not taken for that of an old one.
#[test]
fn a_session_that_was_begun_clean_is_not_resumed_after_a_crash() {
    let config = || Config { clean_start: CleanStart::FirstOnly, ..durable(Version::V3_1) };
    let mut store = Store::default();
    let mut pair = Pair::connected(config());
    pair.send(publish("a", "x").qos2(1));
    let token = pair.message_to_acknowledge("x");
    pair.acknowledge(token);
    store.take(&mut pair.session);
    assert_eq!(store.keys(), [StoreKey::Received(mqtt_testkit::packets::id(1))]);
    let mut pair = store.restore(config());
    pair.connect(connack());
    pair.send(publish("a", "y").qos2(1));
    drop(pair.message_to_acknowledge("y"));
}

/// Whether something is put, and where.
fn keys(ops: Vec<&StoreOp>) -> Vec<(bool, StoreKey)> {
    let key = |op: &StoreOp| match op {
        StoreOp::Put(key, _) => (true, *key),
        StoreOp::Delete(key) => (false, *key),
    };
    ops.into_iter().map(key).collect()
}

/// Which operations have to be safe before bytes leave: all on which "accepted" or "exactly once" rests.
#[test]
fn promises_are_told_apart() {
    let mut pair = Pair::connected(durable(Version::V5));
    pair.publish(message("a", "1", QoS::AtLeastOnce));
    pair.publish(message("a", "2", QoS::ExactlyOnce));
    pair.send(puback(1));
    pair.send(pubrec(2));
    pair.send(pubcomp(2));
    assert_eq!([pair.completed().1, pair.completed().1], [acked(), acked()]);
    pair.send(publish("in", "x").qos2(9));
    let token = pair.message_to_acknowledge("x");
    pair.acknowledge(token);
    pair.send(pubrel(9));
    let ops: Vec<_> = core::iter::from_fn(|| pair.session.poll_store()).collect();
    let id = mqtt_testkit::packets::id(9);
    let (promises, others): (Vec<_>, Vec<_>) = ops.iter().partition(|op| op.is_promise());
    assert_eq!(
        keys(promises),
        [
            (true, StoreKey::Begun),
            (true, StoreKey::Message(1)),
            (true, StoreKey::Message(2)),
            (true, StoreKey::Exchange(2)),
            (true, StoreKey::Release(1)),
            (true, StoreKey::Received(id)),
            (false, StoreKey::Received(id)),
        ]
    );
    assert_eq!(
        keys(others),
        [
            (true, StoreKey::Exchange(1)),
            (false, StoreKey::Message(1)),
            (false, StoreKey::Exchange(1)),
            (false, StoreKey::Message(2)),
            (false, StoreKey::Exchange(2)),
            (false, StoreKey::Release(1)),
        ]
    );
}
