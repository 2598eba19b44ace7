//! One session and the server it talks to, in memory: rounds of each exchange, batch by batch. What the session does
//! is measured, what the application and the server prepare is not.

use bytes::{BufMut, BytesMut};
use mqtt_codec::{Ack, Decoder, Delivery, Packet, PacketId, PacketType, PublishParts, SubAck};
use mqtt_session::{
    AckToken, Config, Event, Instant, Limits, Message, Outcome, PropertiesBuf, QoS, ReasonCode, Session,
    SubscriptionOptions, Text, TopicFilter, TopicName, Version, WireBuf,
};
use std::collections::VecDeque;
use std::time::Duration;

const TOPIC: &str = "plant/7/line/3/temp1";
const PAYLOAD: &[u8] = &[b'x'; 64];

/// The four ways of a message that are acknowledged.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Exchange {
    /// `publish`, `poll_transmit`, `handle_transmitted`, `handle_input` of the PUBACK, `poll_event`.
    Publish1,
    /// `handle_input` of the PUBLISH, `poll_event`, `acknowledge`, `poll_transmit`, `handle_transmitted`.
    Receive1,
    /// As at QoS 1, with PUBREC, PUBREL and PUBCOMP.
    Publish2,
    /// As at QoS 1, with PUBREC, PUBREL and PUBCOMP.
    Receive2,
}

/// What is measured, and beside what load.
#[derive(Clone, Copy)]
pub struct Case {
    pub version: Version,
    pub exchange: Exchange,
    /// Messages that go through each step together.
    pub batch: usize,
    /// Older messages of the same kind that are never settled before the new ones.
    pub in_flight: usize,
    pub subscriptions: usize,
}

impl Exchange {
    pub const fn name(self) -> &'static str {
        match self {
            Self::Publish1 => "publish QoS 1",
            Self::Receive1 => "receive QoS 1",
            Self::Publish2 => "publish QoS 2",
            Self::Receive2 => "receive QoS 2",
        }
    }

    const fn qos(self) -> QoS {
        match self {
            Self::Publish1 | Self::Receive1 => QoS::AtLeastOnce,
            Self::Publish2 | Self::Receive2 => QoS::ExactlyOnce,
        }
    }
}

impl Case {
    /// Every exchange alone, in batches, and in batches beside each load.
    pub fn all() -> Vec<Self> {
        let loads = [(1, 0, 0), (100, 0, 0), (100, 10_000, 0), (100, 0, 1_000)];
        let mut all = Vec::new();
        for version in [Version::V5, Version::V3_1_1] {
            for exchange in [Exchange::Publish1, Exchange::Receive1, Exchange::Publish2, Exchange::Receive2] {
                all.extend(loads.map(|(batch, in_flight, subscriptions)| Self {
                    version,
                    exchange,
                    batch,
                    in_flight,
                    subscriptions,
                }));
            }
        }
        all
    }
}

/// Takes the measure of what the session does.
pub trait Meter {
    fn measure(&mut self, step: impl FnOnce());
}

/// Measures nothing: for the way into the steady state.
pub struct Unmeasured;

impl Meter for Unmeasured {
    fn measure(&mut self, step: impl FnOnce()) {
        step();
    }
}

/// A connected session with its load.
pub struct Rig {
    case: Case,
    now: Instant,
    session: Session,
    message: Message,
    /// What came from the server and what goes to it, as the buffers of a driver that are used again and again.
    input: BytesMut,
    output: WireBuf,
    /// Identifiers that the server has still to acknowledge, in the order of their messages.
    unsettled: VecDeque<PacketId>,
    /// What the application has still to acknowledge.
    tokens: VecDeque<AckToken>,
    /// The last identifier that the server chose.
    last_id: u16,
    messages: Vec<Message>,
}

impl Rig {
    pub fn new(case: Case) -> Self {
        let config = Config {
            limits: Limits { in_flight: Some(u16::MAX), ..Limits::default() },
            ..Config::new(case.version, Text::from_static("bench").unwrap())
        };
        let message = Message {
            qos: case.exchange.qos(),
            ..Message::new(TopicName::try_from(TOPIC).unwrap(), PAYLOAD.to_vec().into())
        };
        let mut rig = Self {
            case,
            now: Instant::ZERO,
            session: Session::new(config).unwrap(),
            message,
            input: BytesMut::with_capacity(64 * 1024),
            output: WireBuf::with_capacity(64 * 1024),
            unsettled: VecDeque::new(),
            tokens: VecDeque::new(),
            last_id: 0,
            messages: Vec::new(),
        };
        rig.connect();
        rig.subscribe();
        rig.load();
        rig
    }

    /// One batch through the exchange.
    pub fn round(&mut self, meter: &mut impl Meter) {
        self.now = self.now + Duration::from_millis(1);
        let batch = self.case.batch;
        match self.case.exchange {
            Exchange::Publish1 => {
                self.publish(batch, meter);
                self.settle(batch, PacketType::PubAck, meter);
            }
            Exchange::Publish2 => {
                self.publish(batch, meter);
                self.settle(batch, PacketType::PubRec, meter);
                self.transmit(batch, PacketType::PubRel, meter);
                self.settle(batch, PacketType::PubComp, meter);
            }
            Exchange::Receive1 => {
                self.receive(batch, meter);
                self.acknowledge(batch, meter);
                self.transmit(batch, PacketType::PubAck, meter);
                self.unsettled.clear();
            }
            Exchange::Receive2 => {
                self.receive(batch, meter);
                self.acknowledge(batch, meter);
                self.transmit(batch, PacketType::PubRec, meter);
                self.settle(batch, PacketType::PubRel, meter);
                self.transmit(batch, PacketType::PubComp, meter);
                self.unsettled.clear();
            }
        }
    }

    fn connect(&mut self) {
        self.session.handle_open(self.now);
        assert!(self.session.poll_transmit(self.now, &mut self.output));
        self.output.clear();
        let connack: &[u8] = if self.case.version.is_v5() { &[0x20, 3, 0, 0, 0] } else { &[0x20, 2, 0, 0] };
        self.input.put_slice(connack);
        self.session.handle_input(self.now, &mut self.input);
        assert!(matches!(self.session.poll_event(), Some(Event::Connected(_))));
    }

    fn subscribe(&mut self) {
        for number in 0..self.case.subscriptions {
            let filter = TopicFilter::try_from(format!("plant/{number}/#")).unwrap();
            let filters = vec![(filter, SubscriptionOptions::default())];
            self.session.subscribe(filters, PropertiesBuf::new()).unwrap();
            assert!(self.session.poll_transmit(self.now, &mut self.output));
            let Packet::Subscribe(subscribe) = self.sent().remove(0) else { panic!("no SUBSCRIBE") };
            let suback = SubAck::new(subscribe.id(), &PropertiesBuf::new(), &[ReasonCode::SUCCESS]).unwrap();
            self.answer(&Packet::SubAck(suback));
            self.session.handle_input(self.now, &mut self.input);
            assert!(matches!(
                self.session.poll_event(),
                Some(Event::Completed(_, Outcome::Subscribed { .. }))
            ));
        }
    }

    /// The messages that stay before those of the rounds.
    fn load(&mut self) {
        match self.case.exchange {
            Exchange::Publish1 | Exchange::Publish2 => self.publish(self.case.in_flight, &mut Unmeasured),
            Exchange::Receive1 | Exchange::Receive2 => self.receive(self.case.in_flight, &mut Unmeasured),
        }
    }

    fn publish(&mut self, count: usize, meter: &mut impl Meter) {
        self.messages.extend(std::iter::repeat_n(&self.message, count).cloned());
        meter.measure(|| {
            for message in self.messages.drain(..) {
                self.session.publish(self.now, message).unwrap();
            }
            self.hand_out();
        });
        let sent = self.sent();
        assert_eq!(sent.len(), count);
        self.unsettled.extend(sent.iter().filter_map(|packet| match packet {
            Packet::Publish(publish) => publish.delivery().id(),
            _ => None,
        }));
    }

    /// The server publishes.
    fn receive(&mut self, count: usize, meter: &mut impl Meter) {
        let mut wire = WireBuf::new();
        for _ in 0..count {
            self.last_id = self.last_id.wrapping_add(1).max(1);
            let (id, dup) = (PacketId::new(self.last_id).unwrap(), false);
            self.unsettled.push_back(id);
            let delivery = match self.message.qos {
                QoS::ExactlyOnce => Delivery::ExactlyOnce { id, dup },
                _ => Delivery::AtLeastOnce { id, dup },
            };
            let publish = PublishParts::new(delivery, self.message.topic.borrow(), &self.message.payload);
            publish.encode(self.case.version, &mut wire).unwrap();
        }
        self.input.put_slice(&wire.to_vec());
        let before = self.tokens.len();
        meter.measure(|| {
            self.session.handle_input(self.now, &mut self.input);
            while let Some(event) = self.session.poll_event() {
                if let Event::Message(_, Some(token)) = event {
                    self.tokens.push_back(token);
                }
            }
        });
        assert_eq!(self.tokens.len() - before, count);
    }

    fn acknowledge(&mut self, count: usize, meter: &mut impl Meter) {
        meter.measure(|| {
            for token in self.tokens.drain(..count) {
                self.session.acknowledge(token, ReasonCode::SUCCESS);
            }
        });
    }

    fn transmit(&mut self, count: usize, expected: PacketType, meter: &mut impl Meter) {
        meter.measure(|| self.hand_out());
        let sent = self.sent();
        assert_eq!(sent.len(), count);
        assert!(sent.iter().all(|packet| packet.packet_type() == expected));
    }

    /// The server acknowledges the oldest messages; with the last acknowledgement they are done.
    fn settle(&mut self, count: usize, packet: PacketType, meter: &mut impl Meter) {
        let mut wire = WireBuf::new();
        for id in self.unsettled.iter().take(count) {
            Ack::new(*id).encode(packet, self.case.version, &mut wire).unwrap();
        }
        self.input.put_slice(&wire.to_vec());
        let last = matches!(packet, PacketType::PubAck | PacketType::PubComp);
        if last {
            self.unsettled.drain(..count);
        }
        let mut completed = 0;
        meter.measure(|| {
            self.session.handle_input(self.now, &mut self.input);
            while let Some(event) = self.session.poll_event() {
                completed += usize::from(matches!(event, Event::Completed(..)));
            }
        });
        assert_eq!(completed, if last { count } else { 0 });
    }

    /// Everything that is to be sent, as a driver gives it to the transport.
    fn hand_out(&mut self) {
        while self.session.poll_transmit(self.now, &mut self.output) {}
        self.session.handle_transmitted(self.now, self.output.len());
    }

    /// What the server reads.
    fn sent(&mut self) -> Vec<Packet> {
        let mut wire = BytesMut::from(&self.output.to_vec()[..]);
        self.output.clear();
        let mut decoder = Decoder::new(self.case.version);
        std::iter::from_fn(|| decoder.decode(&mut wire).unwrap()).collect()
    }

    fn answer(&mut self, packet: &Packet) {
        let mut wire = WireBuf::new();
        packet.encode(self.case.version, &mut wire).unwrap();
        self.input.put_slice(&wire.to_vec());
    }
}
