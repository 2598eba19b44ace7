//! Any calls in any order, any packets, any bytes: no panic, one end for each connection, no token twice, no
//! busy loop.

use bytes::{Buf, BytesMut};
use core::num::NonZeroU32;
use core::time::Duration;
use mqtt_codec::{Auth, Disconnect, Packet, PropertiesBuf, QoS, ReasonCode, Text, Version, WireBuf};
use mqtt_session::{
    AckToken, Config, Event, Instant, Limits, Message, OnSessionLost, Overflow, Session, Token,
};
use mqtt_testkit::packets::{
    IntoPacket, connack, connack_with_session, disconnect, pingresp, puback, puback_with, pubcomp, publish,
    pubrec, pubrec_with, pubrel, suback, unsuback,
};
use mqtt_testkit::pair::{config, filter, message};
use proptest::prelude::*;
use std::collections::BTreeSet;

/// Identifiers few enough to meet.
fn id() -> impl Strategy<Value = u16> {
    1..6_u16
}

fn qos() -> impl Strategy<Value = QoS> {
    prop_oneof![Just(QoS::AtMostOnce), Just(QoS::AtLeastOnce), Just(QoS::ExactlyOnce)]
}

fn reason() -> impl Strategy<Value = ReasonCode> {
    prop_oneof![
        Just(ReasonCode::SUCCESS),
        Just(ReasonCode::NO_MATCHING_SUBSCRIBERS),
        Just(ReasonCode::NOT_AUTHORIZED),
        any::<u8>().prop_map(ReasonCode::new),
    ]
}

/// What a server might send, in its place or out of it.
fn packet() -> impl Strategy<Value = Packet> {
    let published = (id(), 0..6_u8, any::<bool>(), 0..3_u16).prop_map(|(id, kind, named, alias)| {
        let script = publish(if named || alias == 0 { "t/t" } else { "" }, "x");
        let script = match kind {
            0 => script,
            1 | 2 => script.qos1(id),
            3 => script.qos1(id).dup(),
            4 => script.qos2(id),
            _ => script.qos2(id).dup(),
        };
        match alias {
            0 => script.into_packet(),
            alias => {
                script.properties(PropertiesBuf::builder().topic_alias(alias).build().unwrap()).into_packet()
            }
        }
    });
    let limits = (1..4_u16, 0..3_u16, any::<bool>(), 5..60_u32).prop_map(|(window, alias, present, size)| {
        let block = PropertiesBuf::builder().receive_maximum(window).topic_alias_maximum(alias);
        let properties = block.maximum_packet_size(size).server_keep_alive(alias).build().unwrap();
        mqtt_codec::ConnAck { session_present: present, properties, ..connack() }.into_packet()
    });
    prop_oneof![
        4 => Just(connack().into_packet()),
        4 => Just(connack_with_session().into_packet()),
        2 => limits,
        8 => published,
        4 => id().prop_map(puback),
        4 => id().prop_map(pubrec),
        4 => id().prop_map(pubrel),
        4 => id().prop_map(pubcomp),
        2 => (id(), reason()).prop_map(|(id, reason)| puback_with(id, reason)),
        2 => (id(), reason()).prop_map(|(id, reason)| pubrec_with(id, reason)),
        2 => (id(), 1..3_usize).prop_map(|(id, codes)| suback(id, &[ReasonCode::SUCCESS; 2][..codes])),
        2 => (id(), 1..3_usize).prop_map(|(id, codes)| unsuback(id, &[ReasonCode::SUCCESS; 2][..codes])),
        2 => Just(pingresp()),
        1 => Just(with_method()),
        1 => reason().prop_map(disconnect),
        1 => reason().prop_map(|reason| Packet::Auth(auth(reason))),
    ]
}

fn method() -> PropertiesBuf {
    PropertiesBuf::builder().authentication_method("m").build().unwrap()
}

fn with_method() -> Packet {
    mqtt_codec::ConnAck { properties: method(), ..connack() }.into_packet()
}

fn auth(reason: ReasonCode) -> Auth {
    Auth { reason, properties: method() }
}

#[derive(Clone, Debug)]
enum Call {
    Open,
    Close,
    Packet(Packet),
    Bytes(Vec<u8>),
    Transmit,
    Written(usize),
    Wait(u64),
    Publish(QoS, bool, Option<u32>),
    Subscribe(usize),
    Unsubscribe,
    Acknowledge(usize, ReasonCode),
    Authenticate(ReasonCode),
    Disconnect(ReasonCode),
    Pause(bool),
    Abandon,
}

fn call() -> impl Strategy<Value = Call> {
    prop_oneof![
        4 => Just(Call::Open),
        2 => Just(Call::Close),
        24 => packet().prop_map(Call::Packet),
        1 => prop::collection::vec(any::<u8>(), 0..12).prop_map(Call::Bytes),
        16 => Just(Call::Transmit),
        4 => (0..30_usize).prop_map(Call::Written),
        3 => (0..20_000_u64).prop_map(Call::Wait),
        6 => (qos(), any::<bool>(), prop::option::of(0..10_u32)).prop_map(|(q, r, e)| Call::Publish(q, r, e)),
        3 => (1..3_usize).prop_map(Call::Subscribe),
        2 => Just(Call::Unsubscribe),
        6 => (0..4_usize, reason()).prop_map(|(which, reason)| Call::Acknowledge(which, reason)),
        1 => reason().prop_map(Call::Authenticate),
        1 => reason().prop_map(Call::Disconnect),
        2 => any::<bool>().prop_map(Call::Pause),
        1 => Just(Call::Abandon),
    ]
}

struct World {
    session: Session,
    now: Instant,
    input: BytesMut,
    out: WireBuf,
    tokens: BTreeSet<Token>,
    to_acknowledge: Vec<AckToken>,
    /// Connections opened and not ended.
    open: u32,
}

impl World {
    fn call(&mut self, call: Call) {
        let (session, now) = (&mut self.session, self.now);
        match call {
            Call::Open => {
                session.handle_open(now);
                self.open += 1;
                self.out.clear();
                self.input.clear();
            }
            Call::Close => session.handle_close(now),
            Call::Packet(packet) => {
                let mut wire = WireBuf::new();
                if packet.encode(session.version(), &mut wire).is_ok() {
                    self.input.extend_from_slice(&wire.to_vec());
                    session.handle_input(now, &mut self.input);
                }
            }
            Call::Bytes(bytes) => {
                self.input.extend_from_slice(&bytes);
                session.handle_input(now, &mut self.input);
            }
            Call::Transmit => while session.poll_transmit(now, &mut self.out) {},
            Call::Written(bytes) => {
                // Also more than there was.
                self.out.advance(bytes.min(self.out.len()));
                session.handle_transmitted(now, bytes);
            }
            Call::Wait(milliseconds) => {
                self.now = now + Duration::from_millis(milliseconds);
                session.handle_timeout(self.now);
            }
            Call::Publish(qos, retain, expiry) => {
                let mut message = Message { retain, ..message("t/t", "x", qos) };
                if let Some(seconds) = expiry {
                    message.properties =
                        PropertiesBuf::builder().message_expiry_interval(seconds).build().unwrap();
                }
                let room = session.accepts();
                match session.publish(now, message) {
                    Ok(token) => assert!(room && self.tokens.insert(token)),
                    Err(error) => assert!(!room || error != mqtt_session::UsageError::QueueFull),
                }
            }
            Call::Subscribe(filters) => {
                let filters =
                    ["a", "b/#"][..filters].iter().map(|topic| (filter(topic), QoS::AtLeastOnce.into()));
                let token = session.subscribe(filters.collect(), PropertiesBuf::new());
                self.tokens.extend(token);
            }
            Call::Unsubscribe => {
                self.tokens.extend(session.unsubscribe(vec![filter("a")], PropertiesBuf::new()));
            }
            Call::Acknowledge(which, reason) => {
                if which < self.to_acknowledge.len() {
                    session.acknowledge(self.to_acknowledge.swap_remove(which), reason);
                }
            }
            Call::Authenticate(reason) => drop(session.authenticate(auth(reason))),
            Call::Disconnect(reason) => drop(session.disconnect(Disconnect::new(reason))),
            Call::Pause(true) => session.handle_read_paused(now),
            Call::Pause(false) => session.handle_read_resumed(now),
            Call::Abandon => session.abandon(now),
        }
        self.drain();
    }

    fn drain(&mut self) {
        while let Some(event) = self.session.poll_event() {
            match event {
                Event::Completed(token, _) => assert!(self.tokens.remove(&token), "{token:?} is not awaited"),
                Event::Message(_, token) => self.to_acknowledge.extend(token),
                Event::Ended(_) => {
                    assert!(self.open > 0, "an end without a connection");
                    self.open -= 1;
                }
                _ => {}
            }
        }
        while self.session.poll_store().is_some() {}
        // A deadline that has come is gone once it was handled.
        self.session.handle_timeout(self.now);
        let next = self.session.poll_timeout();
        assert!(next.is_none_or(|next| next > self.now), "a busy loop at {next:?}");
        while let Some(event) = self.session.poll_event() {
            match event {
                Event::Completed(token, _) => assert!(self.tokens.remove(&token)),
                Event::Ended(_) => self.open -= 1,
                _ => {}
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 500, ..ProptestConfig::default() })]

    #[test]
    fn nothing_breaks_a_session(
        version in prop_oneof![Just(Version::V3_1), Just(Version::V3_1_1), Just(Version::V5)],
        method in prop::bool::weighted(0.2),
        fail in any::<bool>(),
        overflow in prop::sample::select(
            vec![Overflow::Refuse, Overflow::DropOldest, Overflow::DropNewest, Overflow::KeepLatest],
        ),
        retransmit in any::<bool>(),
        set_aside in 0..4_u32,
        calls in prop::collection::vec(call(), 0..200),
    ) {
        let limits = Limits { queue_messages: 8, queue_bytes: 200, requests: 4, overflow, ..Limits::default() };
        let mut config = Config {
            keep_alive: 5,
            maximum_packet_size: Some(1000),
            durable: true,
            on_session_lost: if fail { OnSessionLost::Fail } else { OnSessionLost::Requeue },
            retransmit_after: (retransmit && !version.is_v5()).then_some(Duration::from_secs(3)),
            set_aside_after: NonZeroU32::new(set_aside),
            limits,
            ..config(version)
        };
        if version.is_v5() {
            config.receive_maximum = 3;
            config.topic_alias_maximum = 1;
            config.authentication = method.then(|| (Text::from_static("m").unwrap(), "d".into()));
        }
        let mut world = World {
            session: Session::new(config).unwrap(),
            now: Instant::ZERO,
            input: BytesMut::new(),
            out: WireBuf::new(),
            tokens: BTreeSet::new(),
            to_acknowledge: Vec::new(),
            open: 0,
        };
        for call in calls {
            world.call(call);
        }
        world.call(Call::Abandon);
        assert_eq!((world.open, world.tokens.len()), (0, 0), "every connection ends and every token completes");
        let session = &world.session;
        assert_eq!((session.queued(), session.queued_bytes(), session.in_flight()), (0, 0, 0));
    }
}
