//! The model broker, packet by packet: what it keeps, says and checks. `greeting.rs` has its CONNACK.

use super::books::{Checked, ensure};
use super::choices::Choices;
use super::greeting::Limits;
use super::outgoing::number_of;
use crate::packets::{IntoPacket, publish, suback, unsuback};
use crate::text;
use bytes::BytesMut;
use mqtt_codec::{
    Ack, Delivery, Packet, PacketId, PropertiesBuf, Publish, QoS, ReasonCode, Version, WireBuf,
};
use mqtt_session::Instant;
use std::collections::{BTreeMap, BTreeSet, VecDeque};

/// The server.
#[derive(Debug)]
pub(super) struct Server {
    pub(super) version: Version,
    /// What it keeps for the client, and since when nobody is connected to it.
    pub(super) session: Option<Session>,
    pub(super) conversation: Option<Conversation>,
    /// Sessions so far.
    pub(super) sessions: u32,
    /// How often each message of the client was passed on.
    pub(super) got: BTreeMap<usize, u32>,
    /// Messages for the client so far.
    pub(super) served: usize,
    /// Those that it still owes, or owed to the end: number and QoS.
    pub(super) promised: BTreeMap<usize, QoS>,
}

/// What outlives a connection.
#[derive(Debug, Default)]
pub(super) struct Session {
    pub(super) number: u32,
    /// Seconds that it outlives the connection, and when that is over.
    pub(super) expiry: u32,
    pub(super) ends: Option<Instant>,
    /// QoS 2 messages of the client between PUBLISH and PUBREL.
    pub(super) exactly_once: BTreeMap<u16, usize>,
    /// Messages for the client, in order.
    pub(super) serving: Vec<Serving>,
    pub(super) filters: BTreeSet<String>,
}

/// A QoS 1 or 2 message for the client.
#[derive(Clone, Debug)]
pub(super) struct Serving {
    pub(super) id: u16,
    pub(super) number: usize,
    pub(super) topic: &'static str,
    pub(super) awaits: Awaits,
}

/// What the server waits for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Awaits {
    /// PUBACK.
    Acknowledgement,
    /// PUBREC.
    Receipt,
    /// PUBCOMP.
    Completion,
}

/// What dies with the connection.
#[derive(Debug)]
pub(super) struct Conversation {
    /// Its session is new.
    pub(super) fresh: bool,
    /// CONNECT has come, and CONNACK accepted.
    pub(super) open: bool,
    /// DISCONNECT has come, or the server has closed.
    pub(super) over: bool,
    pub(super) limits: Limits,
    /// The client's.
    pub(super) receive_maximum: usize,
    pub(super) alias_maximum: u16,
    /// The topics of the client's aliases, and of ours.
    aliases: BTreeMap<u16, String>,
    given: BTreeMap<u16, &'static str>,
    /// Messages of the client that are not acknowledged to the end.
    unanswered: BTreeSet<u16>,
    /// It acknowledged what it had not got: the client may count fewer than it does.
    pub(super) lied: bool,
    /// What came under an identifier last, and which were released since.
    heard: BTreeMap<u16, usize>,
    released: BTreeSet<u16>,
    /// Answers that wait.
    pub(super) held: VecDeque<Packet>,
    pub(super) said: Vec<String>,
}

impl Conversation {
    pub(super) fn new() -> Self {
        Self {
            fresh: false,
            open: false,
            over: false,
            limits: Limits::default(),
            receive_maximum: usize::from(u16::MAX),
            alias_maximum: 0,
            aliases: BTreeMap::new(),
            given: BTreeMap::new(),
            unanswered: BTreeSet::new(),
            lied: false,
            heard: BTreeMap::new(),
            released: BTreeSet::new(),
            held: VecDeque::new(),
            said: Vec::new(),
        }
    }
}

impl Conversation {
    /// The last answer to a message is sent.
    fn ended(&mut self, id: PacketId) {
        self.unanswered.remove(&id.get());
    }
}

/// Topics of the server.
pub(super) const TOPICS: [&str; 4] = ["down", "down/a/longer/topic", "d", "other"];

impl Server {
    pub(super) const fn new(version: Version) -> Self {
        Self {
            version,
            session: None,
            conversation: None,
            sessions: 0,
            got: BTreeMap::new(),
            served: 0,
            promised: BTreeMap::new(),
        }
    }

    /// The transport of a client is there.
    pub(super) fn opened(&mut self) {
        self.conversation = Some(Conversation::new());
    }

    /// The transport is gone.
    pub(super) fn closed(&mut self, now: Instant) {
        let Some(conversation) = self.conversation.take().filter(|conversation| conversation.open) else {
            return;
        };
        drop(conversation);
        if let Some(session) = &mut self.session {
            match session.expiry {
                0 => self.forget(),
                u32::MAX => session.ends = None,
                seconds => session.ends = Some(now + core::time::Duration::from_secs(seconds.into())),
            }
        }
    }

    /// The session is gone, and with it what it owed.
    pub(super) fn forget(&mut self) {
        if let Some(session) = self.session.take() {
            for serving in session.serving {
                self.promised.remove(&serving.number);
            }
        }
    }

    /// Whether it speaks with a client.
    pub(super) fn is_open(&self) -> bool {
        self.conversation.as_ref().is_some_and(|conversation| conversation.open && !conversation.over)
    }

    /// Says a packet.
    pub(super) fn say(&mut self, packet: impl IntoPacket, down: &mut BytesMut) {
        let packet = packet.into_packet();
        let mut wire = WireBuf::new();
        if packet.encode(self.version, &mut wire).is_ok() {
            down.extend_from_slice(&wire.to_vec());
            if let Some(conversation) = &mut self.conversation {
                conversation.said.push(text::line(&packet));
            }
        }
    }

    /// A packet of an open conversation. It was of so many bytes. `moody` servers refuse.
    pub(super) fn hear(
        &mut self,
        packet: &Packet,
        len: usize,
        moody: bool,
        choices: &mut Choices<'_>,
        down: &mut BytesMut,
    ) -> Checked {
        let (Some(conversation), Some(session)) = (&mut self.conversation, &mut self.session) else {
            return Ok(());
        };
        let limits = &conversation.limits;
        ensure!(
            limits.maximum_packet_size.is_none_or(|limit| len <= limit as usize),
            "a packet of {len} bytes"
        );
        match packet {
            Packet::Publish(publish) => return self.hear_publish(publish, moody, choices),
            // Before 5.0 it may come again by the clock; its answer is under way.
            Packet::PubRel(ack) if !conversation.released.insert(ack.id.get()) && !self.version.is_v5() => {}
            Packet::PubRel(ack) => {
                let known = session.exactly_once.remove(&ack.id.get()).is_some();
                let reason = if known || !self.version.is_v5() {
                    ReasonCode::SUCCESS
                } else {
                    ReasonCode::PACKET_IDENTIFIER_NOT_FOUND
                };
                conversation.held.push_back(Packet::PubComp(Ack::with_reason(ack.id, reason)));
            }
            Packet::PubAck(ack) => {
                let place = session.serving.iter().position(|serving| serving.id == ack.id.get());
                if let Some(place) = place {
                    ensure!(session.serving[place].awaits == Awaits::Acknowledgement, "a stray {ack:?}");
                    session.serving.remove(place);
                }
            }
            Packet::PubRec(ack) => {
                let place = session.serving.iter().position(|serving| serving.id == ack.id.get());
                match place {
                    Some(place) if ack.reason.is_error() => drop(session.serving.remove(place)),
                    Some(place) => {
                        ensure!(session.serving[place].awaits != Awaits::Acknowledgement, "a stray {ack:?}");
                        session.serving[place].awaits = Awaits::Completion;
                        self.say(Packet::PubRel(Ack::new(ack.id)), down);
                    }
                    None if ack.reason.is_error() => {}
                    None => self.say(Packet::PubRel(self.not_found(ack.id)), down),
                }
            }
            Packet::PubComp(ack) => session.serving.retain(|serving| serving.id != ack.id.get()),
            Packet::Subscribe(subscribe) => {
                let mut codes = Vec::new();
                // 3.1 cannot refuse.
                let moody = moody && self.version != Version::V3_1;
                for (filter, options) in subscribe.filters() {
                    if moody && choices.percent(15) {
                        codes.push(ReasonCode::UNSPECIFIED_ERROR);
                    } else {
                        session.filters.insert(filter.to_string());
                        codes.push(ReasonCode::new(options.qos.as_u8()));
                    }
                }
                conversation.held.push_back(suback(subscribe.id().get(), &codes));
            }
            Packet::Unsubscribe(unsubscribe) => {
                let codes: Vec<ReasonCode> = unsubscribe
                    .filters()
                    .map(|filter| {
                        let there = session.filters.remove(filter);
                        if there { ReasonCode::SUCCESS } else { ReasonCode::NO_SUBSCRIPTION_EXISTED }
                    })
                    .collect();
                let codes = if self.version.is_v5() { &codes[..] } else { &[] };
                conversation.held.push_back(unsuback(unsubscribe.id().get(), codes));
            }
            Packet::PingReq => self.say(Packet::PingResp, down),
            Packet::Disconnect(disconnect) => {
                conversation.over = true;
                if let Some(seconds) = disconnect.properties.view().session_expiry_interval() {
                    session.expiry = seconds;
                }
            }
            other => return Err(format!("a client does not send {other:?}")),
        }
        Ok(())
    }

    const fn not_found(&self, id: PacketId) -> Ack {
        match self.version {
            Version::V5 => Ack::with_reason(id, ReasonCode::PACKET_IDENTIFIER_NOT_FOUND),
            _ => Ack::new(id),
        }
    }

    fn hear_publish(&mut self, publish: &Publish, moody: bool, choices: &mut Choices<'_>) -> Checked {
        let (Some(conversation), Some(session)) = (&mut self.conversation, &mut self.session) else {
            return Ok(());
        };
        if let Some(alias) = publish.properties().topic_alias() {
            let maximum = conversation.limits.topic_alias_maximum.unwrap_or(0);
            ensure!((1..=maximum).contains(&alias), "alias {alias} above {maximum}");
            if publish.topic().is_empty() {
                ensure!(conversation.aliases.contains_key(&alias), "alias {alias} is unknown");
            } else {
                conversation.aliases.insert(alias, publish.topic().to_owned());
            }
        }
        let number = number_of(publish.payload()).ok_or("a message without a number")?;
        let refused = if moody && self.version.is_v5() && choices.percent(10) {
            ReasonCode::QUOTA_EXCEEDED
        } else {
            ReasonCode::SUCCESS
        };
        if let Some(id) = publish.delivery().id() {
            let before = conversation.heard.insert(id.get(), number);
            if before == Some(number) && publish.delivery().dup() && !self.version.is_v5() {
                // Again by the clock; its answer is under way.
                return Ok(());
            }
            conversation.released.remove(&id.get());
            conversation.unanswered.insert(id.get());
            let most = usize::from(conversation.limits.receive_maximum.unwrap_or(u16::MAX));
            let open = conversation.unanswered.len();
            ensure!(
                open <= most || conversation.lied,
                "{open} messages at once for a server that takes {most}"
            );
        }
        match publish.delivery() {
            Delivery::AtMostOnce => *self.got.entry(number).or_default() += 1,
            Delivery::AtLeastOnce { id, .. } => {
                if !refused.is_error() {
                    *self.got.entry(number).or_default() += 1;
                }
                conversation.held.push_back(Packet::PubAck(Ack::with_reason(id, refused)));
            }
            Delivery::ExactlyOnce { id, dup } => {
                if let Some(known) = session.exactly_once.get(&id.get()) {
                    ensure!(
                        *known == number && dup,
                        "message {number} comes under identifier {id}, which message {known} still has"
                    );
                    conversation.held.push_back(Packet::PubRec(Ack::new(id)));
                } else {
                    if !refused.is_error() {
                        session.exactly_once.insert(id.get(), number);
                        *self.got.entry(number).or_default() += 1;
                    }
                    conversation.held.push_back(Packet::PubRec(Ack::with_reason(id, refused)));
                }
            }
        }
        Ok(())
    }

    /// Sends one of the answers that it holds. Says whether there was one.
    pub(super) fn answer(&mut self, place: usize, down: &mut BytesMut) -> bool {
        let Some(conversation) = &mut self.conversation else { return false };
        let Some(packet) = conversation.held.remove(place) else { return false };
        match &packet {
            Packet::PubAck(ack) | Packet::PubComp(ack) => conversation.ended(ack.id),
            Packet::PubRec(ack) if ack.reason.is_error() => conversation.ended(ack.id),
            _ => {}
        }
        self.say(packet, down);
        true
    }

    /// Publishes to the client, if its limits allow it.
    pub(super) fn serve(&mut self, qos: QoS, choices: &mut Choices<'_>, down: &mut BytesMut) {
        if !self.is_open() {
            return;
        }
        let (Some(conversation), Some(session)) = (&mut self.conversation, &mut self.session) else { return };
        if qos != QoS::AtMostOnce && session.serving.len() >= conversation.receive_maximum.min(50) {
            return;
        }
        // Nobody can have subscribed to more than it supports.
        let qos = qos.min(conversation.limits.maximum_qos.unwrap_or(QoS::ExactlyOnce));
        let topic = choices.one_of(&TOPICS);
        let number = self.served;
        self.served += 1;
        let used: BTreeSet<u16> = session.serving.iter().map(|serving| serving.id).collect();
        let id = (1..=u16::MAX).find(|id| !used.contains(id)).unwrap_or(1);
        let payload = format!("{number}:{}", "x".repeat(choices.one_of(&[0, 10, 200])));
        let mut named = topic;
        let mut properties = PropertiesBuf::new();
        if conversation.alias_maximum > 0 && choices.percent(50) {
            let alias = 1 + choices.below(conversation.alias_maximum.into()) as u16;
            if conversation.given.insert(alias, topic) == Some(topic) {
                named = "";
            }
            properties = PropertiesBuf::builder().topic_alias(alias).build().unwrap_or_default();
        }
        let script = publish(named, payload).properties(properties);
        let awaits = match qos {
            QoS::AtMostOnce => return self.say(script, down),
            QoS::AtLeastOnce => Awaits::Acknowledgement,
            QoS::ExactlyOnce => Awaits::Receipt,
        };
        self.promised.insert(number, qos);
        session.serving.push(Serving { id, number, topic, awaits });
        let script = if awaits == Awaits::Acknowledgement { script.qos1(id) } else { script.qos2(id) };
        self.say(script, down);
    }

    /// Sends again what a resumed session holds.
    pub(super) fn serve_again(&mut self, down: &mut BytesMut) {
        let Some(session) = &self.session else { return };
        for Serving { id, number, topic, awaits } in session.serving.clone() {
            let script = publish(topic, format!("{number}:"));
            match awaits {
                Awaits::Acknowledgement => self.say(script.qos1(id).dup(), down),
                Awaits::Receipt => self.say(script.qos2(id).dup(), down),
                Awaits::Completion => {
                    self.say(Packet::PubRel(Ack::new(PacketId::new(id).unwrap_or(PacketId::MIN))), down)
                }
            }
        }
    }
}
