//! A session restored from any prefix of its store operations is a legal one. Traps 7 and 29.

use bytes::Bytes;
use mqtt_codec::{Packet, PacketId, QoS, Version};
use mqtt_session::{Config, Event, Instant, Limits, Session, Snapshot, StoreKey, StoreOp};
use mqtt_testkit::packets::{connack, connack_with_session, puback, pubcomp, publish, pubrec, pubrel};
use mqtt_testkit::pair::{Pair, config, message};
use proptest::prelude::*;
use std::collections::BTreeMap;

/// What happens next.
#[derive(Clone, Copy, Debug)]
enum Step {
    Publish(QoS),
    /// The server answers one of the messages that it has.
    Answer(usize),
    /// The server publishes at QoS 2, the application accepts it.
    Serve(u16),
    /// The server releases what was accepted.
    Release(u16),
    /// A connection ends, another one begins; the server may have lost the session.
    Break {
        lost: bool,
    },
}

fn step() -> impl Strategy<Value = Step> {
    let qos = prop_oneof![Just(QoS::AtMostOnce), Just(QoS::AtLeastOnce), Just(QoS::ExactlyOnce)];
    prop_oneof![
        4 => qos.prop_map(Step::Publish),
        4 => (0..4_usize).prop_map(Step::Answer),
        1 => (1..3_u16).prop_map(Step::Serve),
        1 => (1..3_u16).prop_map(Step::Release),
        1 => (0..3_u8).prop_map(|loss| Step::Break { lost: loss == 0 }),
    ]
}

/// How far a message is. One that is over, or was never there, is not mentioned.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Stage {
    Queued,
    Sent(u16),
    Released(u16),
}

type Stages = BTreeMap<u32, Stage>;

/// What is true after so many operations.
struct Mark {
    ops: usize,
    stages: Stages,
    /// QoS 2 messages from the server that were accepted and not released.
    received: Vec<u16>,
}

struct World {
    pair: Pair,
    version: Version,
    published: u32,
    now: Mark,
    ops: Vec<StoreOp>,
    marks: Vec<Mark>,
}

/// A small window, so that some messages wait.
fn durable(version: Version) -> Config {
    let limits = Limits { in_flight: Some(3), ..Limits::default() };
    Config { durable: true, limits, ..config(version) }
}

fn number(payload: &[u8]) -> u32 {
    core::str::from_utf8(payload).unwrap().parse().unwrap()
}

impl World {
    fn new(version: Version) -> Self {
        let now = Mark { ops: 0, stages: Stages::new(), received: Vec::new() };
        let pair = Pair::connected(durable(version));
        Self { pair, version, published: 0, now, ops: Vec::new(), marks: Vec::new() }
    }

    fn take(&mut self, step: Step) {
        match step {
            Step::Publish(qos) => {
                self.published += 1;
                self.now.stages.insert(self.published, Stage::Queued);
                let token = self.pair.publish(message("a", self.published.to_string(), qos));
                assert_eq!(token.get(), u64::from(self.published));
            }
            Step::Answer(which) => self.answer(which),
            Step::Serve(id) => {
                if !self.now.received.contains(&id) {
                    self.now.received.push(id);
                    self.pair.send(publish("in", "x").qos2(id));
                }
            }
            Step::Release(id) => {
                self.now.received.retain(|received| *received != id);
                self.pair.send(pubrel(id));
            }
            Step::Break { lost } => self.reconnect(lost && self.version != Version::V3_1),
        }
        self.hear();
        self.now.ops = self.ops.len();
        let Mark { ops, stages, received } = &self.now;
        self.marks.push(Mark { ops: *ops, stages: stages.clone(), received: received.clone() });
    }

    fn answer(&mut self, which: usize) {
        let in_flight = self.now.stages.iter().filter(|(_, stage)| **stage != Stage::Queued);
        let Some((&number, &stage)) = in_flight.clone().nth(which) else { return };
        match stage {
            Stage::Queued => {}
            // The identifier says which: the wrong one is ignored.
            Stage::Sent(id) => {
                self.pair.send(puback(id));
                self.hear();
                if let Some(stage) = self.now.stages.get_mut(&number) {
                    *stage = Stage::Released(id);
                    self.pair.send(pubrec(id));
                }
            }
            Stage::Released(id) => self.pair.send(pubcomp(id)),
        }
    }

    fn reconnect(&mut self, lost: bool) {
        self.pair.cut();
        self.hear();
        if lost {
            self.now.received.clear();
            for stage in self.now.stages.values_mut() {
                if matches!(stage, Stage::Sent(_)) {
                    *stage = Stage::Queued;
                }
            }
        }
        self.pair.open();
        assert!(matches!(self.pair.received(), Some(Packet::Connect(_))));
        let present = !lost && self.version != Version::V3_1;
        self.pair.send(if present { connack_with_session() } else { connack() });
    }

    /// Packets, events and operations.
    fn hear(&mut self) {
        while let Some(event) = self.pair.event() {
            match event {
                Event::Message(_, Some(token)) => self.pair.acknowledge(token),
                Event::Completed(token, _) => {
                    let number = u32::try_from(token.get()).unwrap();
                    assert!(self.now.stages.remove(&number).is_some(), "{number} completes twice");
                }
                _ => {}
            }
        }
        while let Some(packet) = self.pair.received() {
            if let Packet::Publish(publish) = packet
                && let Some(id) = publish.delivery().id()
            {
                self.now.stages.insert(number(publish.payload()), Stage::Sent(id.get()));
            }
        }
        self.ops.extend(core::iter::from_fn(|| self.pair.session.poll_store()));
    }
}

fn after(ops: &[StoreOp]) -> BTreeMap<StoreKey, Bytes> {
    let mut map = BTreeMap::new();
    for op in ops {
        match op {
            StoreOp::Put(key, value) => drop(map.insert(*key, value.clone())),
            StoreOp::Delete(key) => drop(map.remove(key)),
        }
    }
    map
}

/// What the restored session does on a connection that resumes: how far each message was, and which it holds as received.
/// It must come to rest, and complete each of them once.
fn behaviour(version: Version, ops: &[StoreOp], truth: [&Stages; 2]) -> Stages {
    let entries = after(ops).into_iter().collect();
    let session = Session::restore(Instant::ZERO, durable(version), Snapshot { entries, last: 0 }).unwrap();
    let held = session.queued() + session.in_flight();
    let mut pair = Pair::with_session(session);
    pair.resume();
    let (mut stages, mut last) = (Stages::new(), 0);
    while let Some(packet) = pair.received() {
        match packet {
            Packet::Publish(publish) => {
                let number = number(publish.payload());
                // `[MQTT-4.6.0-1]`
                assert!(last < number, "{number} after {last}");
                last = number;
                let delivery = publish.delivery();
                let id = delivery.id().map_or(0, PacketId::get);
                // `[MQTT-3.3.1-1]`: DUP on what was sent, and on nothing else.
                stages.insert(number, if delivery.dup() { Stage::Sent(id) } else { Stage::Queued });
                match delivery.qos() {
                    QoS::AtMostOnce => {}
                    QoS::AtLeastOnce => pair.send(puback(id)),
                    QoS::ExactlyOnce => pair.send(pubrec(id)),
                }
            }
            Packet::PubRel(ack) => {
                let id = ack.id.get();
                let known = stages.values().any(|stage| *stage == Stage::Sent(id));
                if !known && last == 0 {
                    let of = truth.iter().flat_map(|stages| stages.iter());
                    let mut of = of.filter(|(_, stage)| **stage == Stage::Released(id));
                    if let Some((number, _)) = of.next() {
                        stages.insert(*number, Stage::Released(id));
                    }
                }
                pair.send(pubcomp(id));
            }
            other => panic!("{other:?}"),
        }
    }
    let completed =
        core::iter::from_fn(|| pair.event()).filter(|event| matches!(event, Event::Completed(..)));
    assert_eq!(completed.count(), held);
    assert_eq!((pair.session.queued(), pair.session.in_flight(), pair.session.queued_bytes()), (0, 0, 0));
    stages
}

fn check(world: &World, ops: usize) {
    let nothing = Stages::new();
    let before = world.marks.iter().rev().find(|mark| mark.ops <= ops);
    let exact = before.is_some_and(|mark| mark.ops == ops);
    let behind = if exact { before } else { world.marks.iter().find(|mark| mark.ops > ops) };
    let before_stages = before.map_or(&nothing, |mark| &mark.stages);
    let behind_stages = behind.map_or(before_stages, |mark| &mark.stages);
    let restored = behaviour(world.version, &world.ops[..ops], [before_stages, behind_stages]);
    for number in 1..=world.published {
        let [was, will, is] = [before_stages, behind_stages, &restored].map(|stages| stages.get(&number));
        // In the middle of a step a message may wait, or wait again.
        let between = !exact && (is == was || is == Some(&Stage::Queued));
        assert!(
            is == will || between,
            "after {ops} operations {number} is {is:?}, it was {was:?} and will be {will:?}"
        );
    }
    // What was accepted and not released is not delivered again `[MQTT-4.3.3-10]`.
    if let (Some(before), Some(behind)) = (before, behind) {
        let entries = after(&world.ops[..ops]).into_iter().collect();
        let session =
            Session::restore(Instant::ZERO, durable(world.version), Snapshot { entries, last: 0 }).unwrap();
        let mut pair = Pair::with_session(session);
        pair.resume();
        for id in before.received.iter().filter(|id| behind.received.contains(id)) {
            pair.send(publish("in", "x").qos2(*id).dup());
            while let Some(event) = pair.event() {
                assert!(!matches!(event, Event::Message(..)), "{id} is delivered again");
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 60, ..ProptestConfig::default() })]

    /// `[MQTT-4.1.0-1]`: everything that was accepted and is not completed is there, as far as it was, under its identifier; what is completed is not.
    #[test]
    fn any_prefix_of_the_operations_makes_a_legal_session(
        version in prop_oneof![Just(Version::V3_1), Just(Version::V3_1_1), Just(Version::V5)],
        steps in prop::collection::vec(step(), 0..30),
    ) {
        let mut world = World::new(version);
        for step in steps {
            world.take(step);
        }
        for ops in 0..=world.ops.len() {
            check(&world, ops);
        }
    }
}
