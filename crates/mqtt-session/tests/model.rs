//! A session against a model of a server, under arbitrary operations, cuts at any byte and reconnections.
//!
//! The model keeps the promises of a server and checks those of the client: no identifier twice, the window
//! kept, the order of messages and acknowledgements kept, each token completed once and truthfully, QoS 1 at
//! least once, QoS 2 exactly once, in both directions. At the end everything comes to rest.

use bytes::BytesMut;
use core::time::Duration;
use mqtt_codec::{ConnAck, Delivery, Packet, PropertiesBuf, Publish, QoS, ReasonCode, Version, WireBuf};
use mqtt_session::{AckToken, Config, Event, OnSessionLost, Outcome, Token};
use mqtt_testkit::packets::{IntoPacket, connack, puback, pubcomp, publish, pubrec, pubrel};
use mqtt_testkit::pair::{Pair, config, message};
use proptest::prelude::*;
use std::collections::{BTreeMap, VecDeque};

/// What happens next.
#[derive(Clone, Debug)]
enum Step {
    /// The application publishes.
    Publish(QoS),
    /// The application acknowledges one of the messages that it has.
    Acknowledge(usize),
    /// The server publishes, if its window allows.
    Serve(QoS),
    /// The server sends what it held back: so many acknowledgements.
    Answer(usize),
    /// So many bytes get through to the server.
    Up(usize),
    /// So many bytes get through to the client.
    Down(usize),
    /// The link breaks and is made anew; the server may have lost the session.
    Break { lost: bool },
    /// Time passes.
    Wait(u64),
}

fn qos() -> impl Strategy<Value = QoS> {
    prop_oneof![Just(QoS::AtMostOnce), Just(QoS::AtLeastOnce), Just(QoS::ExactlyOnce)]
}

fn step(losses: bool) -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => qos().prop_map(Step::Publish),
        4 => any::<prop::sample::Index>().prop_map(|index| Step::Acknowledge(index.index(8))),
        3 => qos().prop_map(Step::Serve),
        4 => (1..4_usize).prop_map(Step::Answer),
        6 => prop_oneof![1..4_usize, 1..40_usize, Just(1000)].prop_map(Step::Up),
        6 => prop_oneof![1..4_usize, 1..40_usize, Just(1000)].prop_map(Step::Down),
        1 => (0..4_u8).prop_map(move |loss| Step::Break { lost: losses && loss == 0 }),
        1 => (1..100_u64).prop_map(Step::Wait),
    ]
}

/// What the server awaits for a QoS 1 or 2 message that it sent.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Serving {
    /// PUBACK.
    AtLeastOnce,
    /// PUBREC.
    ExactlyOnce,
    /// PUBCOMP.
    Released,
}

struct World {
    pair: Pair,
    version: Version,
    server_window: usize,
    client_window: u16,

    // The application.
    published: BTreeMap<Token, (u32, QoS)>,
    completed: BTreeMap<Token, Outcome>,
    to_acknowledge: Vec<AckToken>,
    heard: BTreeMap<u32, u32>,

    // The server: what it got.
    got: BTreeMap<u32, u32>,
    /// By identifier, QoS 2 messages between PUBLISH and PUBREL.
    exactly_once: BTreeMap<u16, u32>,
    /// Exchanges of this link that the server has not ended, by identifier.
    open: BTreeMap<u16, u32>,
    /// The number of the last message got on this link, by QoS.
    last: [Option<u32>; 3],
    /// Identifiers of PUBRECs in the order in which they were sent and not answered on this link.
    pubrels_due: VecDeque<u16>,
    held: VecDeque<Packet>,
    to_client: BytesMut,

    // The server: what it sends.
    next_number: u32,
    serving: VecDeque<(u16, u32, Serving)>,
    served: BTreeMap<u32, QoS>,
    /// Identifiers in the order in which acknowledgements are due on this link.
    pubacks_due: VecDeque<u16>,
    pubrecs_due: VecDeque<u16>,
    losses: u32,
}

impl World {
    fn new(version: Version, server_window: u16, client_window: u16) -> Self {
        let client_window = if version.is_v5() { client_window } else { u16::MAX };
        let pair = Pair::new(Config {
            receive_maximum: client_window,
            keep_alive: 30,
            on_session_lost: OnSessionLost::Requeue,
            ..config(version)
        });
        let mut world = Self {
            pair,
            version,
            server_window: if version.is_v5() { server_window.into() } else { usize::MAX },
            client_window,
            published: BTreeMap::new(),
            completed: BTreeMap::new(),
            to_acknowledge: Vec::new(),
            heard: BTreeMap::new(),
            got: BTreeMap::new(),
            exactly_once: BTreeMap::new(),
            open: BTreeMap::new(),
            last: [None; 3],
            pubrels_due: VecDeque::new(),
            held: VecDeque::new(),
            to_client: BytesMut::new(),
            next_number: 0,
            serving: VecDeque::new(),
            served: BTreeMap::new(),
            pubacks_due: VecDeque::new(),
            pubrecs_due: VecDeque::new(),
            losses: 0,
        };
        world.connect(false);
        world
    }

    fn take(&mut self, step: Step) {
        match step {
            Step::Publish(qos) => self.publish(qos),
            Step::Acknowledge(which) => {
                if which < self.to_acknowledge.len() {
                    let token = self.to_acknowledge.swap_remove(which);
                    self.pair.session.acknowledge(token, ReasonCode::SUCCESS);
                    self.pair.run();
                }
            }
            Step::Serve(qos) => self.serve(qos),
            Step::Answer(count) => {
                for _ in 0..count {
                    self.answer();
                }
            }
            Step::Up(bytes) => self.up(bytes),
            Step::Down(bytes) => self.down(bytes),
            Step::Break { lost } => {
                self.pair.cut();
                self.events();
                // 3.1 cannot tell of a loss.
                self.connect(lost && self.version != Version::V3_1);
            }
            Step::Wait(seconds) => self.pair.advance(Duration::from_secs(seconds)),
        }
        self.events();
        self.pair.run();
    }

    fn connect(&mut self, lost: bool) {
        self.held.clear();
        self.to_client.clear();
        self.open.clear();
        self.last = [None; 3];
        for due in [&mut self.pubacks_due, &mut self.pubrecs_due, &mut self.pubrels_due] {
            due.clear();
        }
        if lost {
            self.losses += 1;
            self.exactly_once.clear();
            self.serving.clear();
        }
        self.pair.open();
        assert!(matches!(self.pair.received(), Some(Packet::Connect(_))));
        let mut connack = connack();
        connack.session_present = self.version != Version::V3_1 && !lost;
        if self.version.is_v5() {
            let window = u16::try_from(self.server_window).unwrap();
            connack.properties = PropertiesBuf::builder().receive_maximum(window).build().unwrap();
        }
        // What the last session left at the server still fills the window, except what was only in flight.
        self.open.extend(&self.exactly_once);
        self.pair.stall();
        self.pair.send(ConnAck { ..connack });
        for (id, number, serving) in self.serving.clone() {
            match serving {
                Serving::AtLeastOnce => {
                    self.pubacks_due.push_back(id);
                    self.say(publish("down", number.to_string()).qos1(id).dup());
                }
                Serving::ExactlyOnce => {
                    self.pubrecs_due.push_back(id);
                    self.say(publish("down", number.to_string()).qos2(id).dup());
                }
                Serving::Released => self.say(pubrel(id)),
            }
        }
    }

    fn publish(&mut self, qos: QoS) {
        let number = self.published.len() as u32;
        let token = self.pair.publish(message("up", number.to_string(), qos));
        assert!(self.published.insert(token, (number, qos)).is_none());
    }

    fn serve(&mut self, qos: QoS) {
        let id = (1..).find(|id| self.serving.iter().all(|(taken, ..)| taken != id)).unwrap();
        if qos != QoS::AtMostOnce && self.serving.len() >= usize::from(self.client_window) {
            return;
        }
        let number = self.next_number;
        self.next_number += 1;
        self.served.insert(number, qos);
        let publish = publish("down", number.to_string());
        match qos {
            QoS::AtMostOnce => {
                self.served.remove(&number);
                self.say(publish);
            }
            QoS::AtLeastOnce => {
                self.serving.push_back((id, number, Serving::AtLeastOnce));
                self.pubacks_due.push_back(id);
                self.say(publish.qos1(id));
            }
            QoS::ExactlyOnce => {
                self.serving.push_back((id, number, Serving::ExactlyOnce));
                self.pubrecs_due.push_back(id);
                self.say(publish.qos2(id));
            }
        }
    }

    fn say(&mut self, packet: impl IntoPacket) {
        let mut wire = WireBuf::new();
        packet.into_packet().encode(self.version, &mut wire).unwrap();
        self.to_client.extend_from_slice(&wire.to_vec());
    }

    fn down(&mut self, bytes: usize) {
        let bytes = self.to_client.split_to(bytes.min(self.to_client.len()));
        self.pair.send_bytes(&bytes);
    }

    fn up(&mut self, bytes: usize) {
        self.pair.let_through(bytes);
        while let Some(packet) = self.pair.received() {
            self.hear(packet);
        }
    }

    fn hear(&mut self, packet: Packet) {
        match packet {
            Packet::Publish(publish) => self.hear_publish(&publish),
            Packet::PubRel(ack) => {
                let id = ack.id.get();
                // `[MQTT-4.6.0-4]`
                if let Some(place) = self.pubrels_due.iter().position(|due| *due == id) {
                    assert_eq!(place, 0, "PUBREL {id} out of order");
                    self.pubrels_due.pop_front();
                }
                self.exactly_once.remove(&id);
                self.held.push_back(pubcomp(id));
            }
            Packet::PubAck(ack) => {
                let id = ack.id.get();
                // `[MQTT-4.6.0-2]`
                assert_eq!(self.pubacks_due.pop_front(), Some(id));
                let place =
                    self.serving.iter().position(|(serving, ..)| *serving == id).expect("a stray PUBACK");
                assert_eq!(self.serving.remove(place).unwrap().2, Serving::AtLeastOnce);
            }
            Packet::PubRec(ack) => {
                let id = ack.id.get();
                // `[MQTT-4.6.0-3]`
                assert_eq!(self.pubrecs_due.pop_front(), Some(id));
                let exchange =
                    self.serving.iter_mut().find(|(serving, ..)| *serving == id).expect("a stray PUBREC");
                exchange.2 = Serving::Released;
                self.say(pubrel(id));
            }
            Packet::PubComp(ack) => {
                // 0x92 if a PUBCOMP was lost and PUBREL came again.
                self.serving.retain(|(serving, ..)| *serving != ack.id.get());
            }
            Packet::PingReq => self.say(Packet::PingResp),
            other => panic!("{other:?}"),
        }
    }

    fn hear_publish(&mut self, publish: &Publish) {
        let number: u32 = core::str::from_utf8(publish.payload()).unwrap().parse().unwrap();
        let delivery = publish.delivery();
        if let Some(id) = delivery.id() {
            let known = self.open.insert(id.get(), number);
            // `[MQTT-2.2.1-3]`: the identifier was free, or it is the same message.
            assert!(known.is_none_or(|known| known == number), "identifier {id} is used twice");
            // `[MQTT-3.3.4-7]`
            assert!(self.open.len() <= self.server_window, "{} messages at once", self.open.len());
        }
        // `[MQTT-4.6.0-1]`: by QoS, also what is sent again.
        let last = self.last[delivery.qos() as usize].replace(number);
        assert!(last.is_none_or(|last| last < number), "{number} after {last:?}");
        match delivery {
            Delivery::AtMostOnce => *self.got.entry(number).or_default() += 1,
            Delivery::AtLeastOnce { id, dup } => {
                assert!(
                    dup || !self.got.contains_key(&number) || self.losses > 0,
                    "{number} again without DUP"
                );
                *self.got.entry(number).or_default() += 1;
                self.held.push_back(puback(id.get()));
            }
            Delivery::ExactlyOnce { id, dup } => {
                let id = id.get();
                match self.exactly_once.insert(id, number) {
                    Some(known) => {
                        assert!(dup && known == number, "{number} under the identifier of {known}")
                    }
                    None => *self.got.entry(number).or_default() += 1,
                }
                self.held.push_back(pubrec(id));
            }
        }
    }

    /// The server sends the next acknowledgement that it holds.
    fn answer(&mut self) {
        let Some(packet) = self.held.pop_front() else { return };
        match &packet {
            Packet::PubAck(ack) | Packet::PubComp(ack) => {
                self.open.remove(&ack.id.get());
            }
            Packet::PubRec(ack) => self.pubrels_due.push_back(ack.id.get()),
            _ => {}
        }
        self.say(packet);
    }

    fn events(&mut self) {
        while let Some(event) = self.pair.event() {
            match event {
                Event::Message(message, token) => {
                    let number: u32 = core::str::from_utf8(message.payload()).unwrap().parse().unwrap();
                    *self.heard.entry(number).or_default() += 1;
                    self.to_acknowledge.extend(token);
                }
                Event::Completed(token, outcome) => self.complete(token, outcome),
                Event::Connected(_) | Event::Ended(mqtt_session::End::Closed) => {}
                // Nobody answers pings while the test lets time pass; that is an end like any other.
                Event::Ended(mqtt_session::End::PingTimeout) => {
                    self.pair.cut();
                    self.connect(false);
                }
                other => panic!("{other:?}"),
            }
        }
    }

    fn complete(&mut self, token: Token, outcome: Outcome) {
        let (number, qos) = *self.published.get(&token).expect("a token of a publish");
        let got = self.got.contains_key(&number);
        match &outcome {
            Outcome::Sent => assert!(qos == QoS::AtMostOnce && got),
            Outcome::Acked { reason, .. } => {
                assert!(qos != QoS::AtMostOnce && got && *reason == ReasonCode::SUCCESS);
            }
            Outcome::NotSent => assert!(qos == QoS::AtMostOnce && !got),
            Outcome::Unknown => assert!(qos == QoS::AtMostOnce),
            Outcome::SessionLost => assert!(qos == QoS::ExactlyOnce && self.losses > 0 && got),
            other => panic!("{other:?}"),
        }
        assert!(self.completed.insert(token, outcome).is_none(), "{token:?} completes twice");
    }

    /// Everything gets through until nothing moves any more, and then all is well.
    fn settle(&mut self) {
        for _ in 0..10_000 {
            while let Some(token) = self.to_acknowledge.pop() {
                self.pair.session.acknowledge(token, ReasonCode::SUCCESS);
            }
            self.pair.run();
            self.up(usize::MAX);
            while !self.held.is_empty() {
                self.answer();
            }
            let quiet = self.to_client.is_empty();
            self.down(usize::MAX);
            self.events();
            self.pair.run();
            if quiet && self.to_acknowledge.is_empty() && self.pair.let_through(0) == 0 && self.idle() {
                break;
            }
        }
        assert!(self.idle(), "it does not come to rest");
        let missing: Vec<_> =
            self.published.iter().filter(|(token, _)| !self.completed.contains_key(token)).collect();
        assert!(missing.is_empty(), "without an outcome: {missing:?}");
        assert_eq!(self.pair.session.queued_bytes(), 0);
        for (token, (number, qos)) in &self.published {
            let times = self.got.get(number).copied().unwrap_or(0);
            match (qos, &self.completed[token]) {
                (QoS::AtMostOnce, Outcome::Sent) => assert_eq!(times, 1),
                (QoS::AtMostOnce, _) => assert!(times <= 1),
                (QoS::AtLeastOnce, _) => assert!(times >= 1, "{number} is lost"),
                (QoS::ExactlyOnce, _) if self.losses == 0 => assert_eq!(times, 1, "message {number}"),
                (QoS::ExactlyOnce, _) => assert!(times >= 1, "{number} is lost"),
            }
        }
        if self.losses == 0 {
            for (number, qos) in &self.served {
                let times = self.heard.get(number).copied().unwrap_or(0);
                match qos {
                    QoS::ExactlyOnce => assert_eq!(times, 1, "message {number} from the server"),
                    _ => assert!(times >= 1, "{number} from the server is lost"),
                }
            }
        }
    }

    fn idle(&self) -> bool {
        self.pair.session.queued() == 0 && self.pair.session.in_flight() == 0 && self.serving.is_empty()
    }
}

fn play(version: Version, server_window: u16, client_window: u16, steps: Vec<Step>) {
    let mut world = World::new(version, server_window, client_window);
    for step in steps {
        world.take(step);
    }
    world.settle();
}

fn version() -> impl Strategy<Value = Version> {
    prop_oneof![Just(Version::V3_1), Just(Version::V3_1_1), Just(Version::V5)]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]

    #[test]
    fn promises_hold_while_the_session_lasts(
        version in version(),
        server_window in 1..6_u16,
        client_window in 1..6_u16,
        steps in prop::collection::vec(step(false), 0..150),
    ) {
        play(version, server_window, client_window, steps);
    }

    #[test]
    fn promises_hold_when_sessions_are_lost(
        version in version(),
        server_window in 1..6_u16,
        client_window in 1..6_u16,
        steps in prop::collection::vec(step(true), 0..150),
    ) {
        play(version, server_window, client_window, steps);
    }
}
