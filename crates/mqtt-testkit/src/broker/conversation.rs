//! What is said on one connection after its CONNECT: each packet of the client, and the answers.

use super::faults::{AckFate, Direction, Faults};
use super::link::Link;
use super::message::Message;
use super::options::Options;
use super::outbound::Outgoing;
use super::shared::Shared;
use super::state::State;
use super::subscriptions::Subscription;
use core::time::Duration;
use mqtt_codec::{
    Ack, Delivery, Disconnect, Packet, PacketId, PacketType, PropertiesBuf, Publish, QoS, ReasonCode, SubAck,
    Subscribe, SubscriptionOptions, Text, TopicFilter, TopicName, UnsubAck, Unsubscribe, Version, WireBuf,
};
use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::Arc;
use tokio::time::Instant;

/// Bytes that may wait to be written before no further message is taken from the session.
const HIGH_WATER: usize = 256 * 1024;

/// Why a connection ends.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum End {
    /// The client has closed, or the transport has failed.
    Closed,
    /// The link is cut without a word.
    Cut,
    /// The client has said goodbye.
    Goodbye { keep_will: bool },
    /// The broker says DISCONNECT with this code (5.0 only) and closes `[MQTT-4.13.1-1]`.
    Disconnect(ReasonCode),
    /// The broker has nothing to add to what it has written, and closes.
    Done,
}

#[derive(Debug)]
pub(super) struct Conversation {
    shared: Arc<Shared>,
    link: Arc<Link>,
    client_id: Text,
    version: Version,
    /// One and a half keep alives `[MQTT-3.1.2-22]`; `None` if it is off.
    patience: Option<Duration>,
    heard_at: Instant,
    /// Topic aliases of the client; they end with the connection `[MQTT-3.3.2-7]`.
    aliases: HashMap<u16, TopicName>,
    /// QoS 1 and 2 messages that came on this connection and whose last acknowledgement has not been sent.
    unacknowledged: HashSet<PacketId>,
    replies: VecDeque<Packet>,
    delayed: Vec<(Instant, Packet)>,
}

impl Conversation {
    pub(super) fn new(
        shared: Arc<Shared>,
        link: Arc<Link>,
        client_id: Text,
        version: Version,
        keep_alive: u16,
        now: Instant,
    ) -> Self {
        Self {
            shared,
            link,
            client_id,
            version,
            patience: (keep_alive > 0).then(|| Duration::from_millis(u64::from(keep_alive) * 1500)),
            heard_at: now,
            aliases: HashMap::new(),
            unacknowledged: HashSet::new(),
            replies: VecDeque::new(),
            delayed: Vec::new(),
        }
    }

    pub(super) const fn client_id(&self) -> &Text {
        &self.client_id
    }

    /// Does what a packet of the client asks for.
    pub(super) fn handle(&mut self, now: Instant, state: &mut State, packet: Packet) -> Result<(), End> {
        self.heard_at = now;
        let Some(session) = state.session_of(&self.client_id, self.link.number) else {
            return Ok(()); // Taken over: the order to end is on its way.
        };
        match packet {
            Packet::Publish(publish) => self.on_publish(now, state, &publish)?,
            Packet::PubAck(ack) => session.outbound.on_puback(ack.id),
            Packet::PubRec(ack) => {
                if let Some(reason) = session.outbound.on_pubrec(ack.id, ack.reason) {
                    self.acknowledge(now, PacketType::PubRel, ack.id, reason);
                }
            }
            Packet::PubRel(ack) => {
                // An unknown identifier is no error, just late `[MQTT-4.3.3-11]`.
                let known = session.inbound.remove(&ack.id);
                let reason =
                    if known { ReasonCode::SUCCESS } else { ReasonCode::PACKET_IDENTIFIER_NOT_FOUND };
                self.acknowledge(now, PacketType::PubComp, ack.id, reason);
            }
            Packet::PubComp(ack) => session.outbound.on_pubcomp(ack.id),
            Packet::Subscribe(subscribe) => self.on_subscribe(now, state, &subscribe)?,
            Packet::Unsubscribe(unsubscribe) => self.on_unsubscribe(now, state, &unsubscribe),
            Packet::PingReq => self.reply(now, Packet::PingResp), // `[MQTT-3.12.4-1]`
            Packet::Disconnect(disconnect) => {
                if let Some(seconds) = disconnect.properties.view().session_expiry_interval() {
                    // A session that was to end with the connection cannot be prolonged, section 3.14.2.2.2.
                    if session.expiry() == 0 && seconds > 0 {
                        return Err(End::Disconnect(ReasonCode::PROTOCOL_ERROR));
                    }
                    session.set_expiry(seconds.min(self.options().session_expiry_limit));
                }
                // `[MQTT-3.14.4-3]`
                return Err(End::Goodbye {
                    keep_will: disconnect.reason != ReasonCode::NORMAL_DISCONNECTION,
                });
            }
            // No method was agreed upon, or the decoder has let pass what it should not.
            Packet::Auth(_)
            | Packet::Connect(_)
            | Packet::ConnAck(_)
            | Packet::SubAck(_)
            | Packet::UnsubAck(_)
            | Packet::PingResp => return Err(End::Disconnect(ReasonCode::PROTOCOL_ERROR)),
        }
        Ok(())
    }

    fn on_publish(&mut self, now: Instant, state: &mut State, publish: &Publish) -> Result<(), End> {
        let topic = self.topic_of(publish)?;
        if publish.delivery().qos() > self.options().maximum_qos {
            return Err(End::Disconnect(ReasonCode::QOS_NOT_SUPPORTED));
        }
        if publish.retain() && !self.options().retain {
            return Err(End::Disconnect(ReasonCode::RETAIN_NOT_SUPPORTED));
        }
        match publish.delivery() {
            Delivery::AtMostOnce => {
                self.accept(now, state, topic, publish);
            }
            Delivery::AtLeastOnce { id, .. } => {
                self.count(id)?;
                let reason = self.accept(now, state, topic, publish);
                self.acknowledge(now, PacketType::PubAck, id, reason);
            }
            Delivery::ExactlyOnce { id, .. } => {
                self.count(id)?;
                let reason = self.accept_once(now, state, topic, publish, id);
                self.acknowledge(now, PacketType::PubRec, id, reason);
            }
        }
        Ok(())
    }

    /// The topic, by its alias if there is one `[5u-21]` `[MQTT-3.3.2-12]`.
    fn topic_of(&mut self, publish: &Publish) -> Result<TopicName, End> {
        let name = publish.topic_name();
        let Some(alias) = publish.properties().topic_alias() else {
            return name.ok_or(End::Disconnect(ReasonCode::PROTOCOL_ERROR));
        };
        if alias > self.options().topic_alias_maximum {
            return Err(End::Disconnect(ReasonCode::TOPIC_ALIAS_INVALID));
        }
        match name {
            Some(name) => {
                self.aliases.insert(alias, name.clone());
                Ok(name)
            }
            None => self.aliases.get(&alias).cloned().ok_or(End::Disconnect(ReasonCode::PROTOCOL_ERROR)),
        }
    }

    /// Counts a message that is not acknowledged yet against the broker's Receive Maximum, section 3.3.4.
    fn count(&mut self, id: PacketId) -> Result<(), End> {
        self.unacknowledged.insert(id);
        if self.version.is_v5() && self.unacknowledged.len() > usize::from(self.options().receive_maximum) {
            return Err(End::Disconnect(ReasonCode::RECEIVE_MAXIMUM_EXCEEDED));
        }
        Ok(())
    }

    /// Takes a message on and passes it on; the reason code for its acknowledgement.
    fn accept(&self, now: Instant, state: &mut State, topic: TopicName, publish: &Publish) -> ReasonCode {
        let rejection = self.faults().publish_rejection(&topic);
        let reason = match rejection {
            Some(reason) => reason,
            None if state.accept(Message::from_publish(now, &self.client_id, topic, publish)) => {
                ReasonCode::SUCCESS
            }
            None => ReasonCode::NO_MATCHING_SUBSCRIBERS,
        };
        // Before 5.0 an acknowledgement says nothing but that it is one.
        if self.version.is_v5() { reason } else { ReasonCode::SUCCESS }
    }

    /// The same, unless the message was accepted before: then it is acknowledged again, nothing more
    /// `[MQTT-4.3.3-10]`. A failing PUBREC ends the exchange `[MQTT-4.3.3-9]`.
    fn accept_once(
        &self,
        now: Instant,
        state: &mut State,
        topic: TopicName,
        publish: &Publish,
        id: PacketId,
    ) -> ReasonCode {
        let session = state.session_of(&self.client_id, self.link.number);
        if session.is_some_and(|session| session.inbound.contains(&id)) {
            return ReasonCode::SUCCESS;
        }
        let reason = self.accept(now, state, topic, publish);
        if !reason.is_error()
            && let Some(session) = state.session_of(&self.client_id, self.link.number)
        {
            session.inbound.insert(id);
        }
        reason
    }

    fn on_subscribe(&mut self, now: Instant, state: &mut State, subscribe: &Subscribe) -> Result<(), End> {
        let identifier = subscribe.properties().subscription_identifiers().next();
        let mut codes = Vec::new();
        for (filter, options) in subscribe.filters() {
            let granted = self.grant(filter, options, identifier);
            codes.push(match &granted {
                Ok(subscription) => granted_code(subscription.options.qos),
                // A refusal cannot be said in 3.1.
                Err(_) if self.version == Version::V3_1 => return Err(End::Done),
                Err(reason) => *reason,
            });
            if let Ok(subscription) = granted {
                state.subscribe(now, &self.client_id, subscription);
            }
        }
        // `[MQTT-3.8.4-5]` `[MQTT-3.8.4-6]` `[MQTT-3.9.3-1]`
        let suback = SubAck::new(subscribe.id(), &PropertiesBuf::new(), &codes);
        self.reply(now, Packet::SubAck(suback.expect("a SUBSCRIBE has one filter at least")));
        Ok(())
    }

    /// The subscription as the broker grants it, or the reason code of its refusal.
    fn grant(
        &self,
        filter: &str,
        asked: SubscriptionOptions,
        identifier: Option<u32>,
    ) -> Result<Subscription, ReasonCode> {
        let options = self.options();
        let filter = TopicFilter::try_from(filter).map_err(|_| ReasonCode::TOPIC_FILTER_INVALID)?;
        if let Some(reason) = self.faults().subscription_rejection(&filter) {
            return Err(reason);
        }
        if filter.shared().is_some() && !options.shared_subscriptions {
            return Err(ReasonCode::SHARED_SUBSCRIPTIONS_NOT_SUPPORTED);
        }
        if filter.is_wildcard() && !options.wildcards {
            return Err(ReasonCode::WILDCARD_SUBSCRIPTIONS_NOT_SUPPORTED);
        }
        if identifier.is_some() && !options.subscription_identifiers {
            return Err(ReasonCode::SUBSCRIPTION_IDENTIFIERS_NOT_SUPPORTED);
        }
        // A server takes any QoS and grants what it can `[MQTT-3.2.2-10]`.
        let qos = asked.qos.min(options.maximum_qos);
        Ok(Subscription { filter, options: SubscriptionOptions { qos, ..asked }, identifier })
    }

    fn on_unsubscribe(&mut self, now: Instant, state: &mut State, unsubscribe: &Unsubscribe) {
        let mut codes = Vec::new();
        for filter in unsubscribe.filters() {
            let filter = TopicFilter::try_from(filter);
            let existed = filter.is_ok_and(|filter| state.unsubscribe(&self.client_id, &filter));
            codes.push(if existed { ReasonCode::SUCCESS } else { ReasonCode::NO_SUBSCRIPTION_EXISTED });
        }
        if !self.version.is_v5() {
            codes.clear();
        }
        // `[MQTT-3.10.4-5]` `[MQTT-3.11.3-1]`
        self.reply(now, Packet::UnsubAck(UnsubAck::new(unsubscribe.id(), &PropertiesBuf::new(), &codes)));
    }

    fn acknowledge(&mut self, now: Instant, packet: PacketType, id: PacketId, reason: ReasonCode) {
        let ack = Ack::with_reason(id, if self.version.is_v5() { reason } else { ReasonCode::SUCCESS });
        self.reply(
            now,
            match packet {
                PacketType::PubRec => Packet::PubRec(ack),
                PacketType::PubRel => Packet::PubRel(ack),
                PacketType::PubComp => Packet::PubComp(ack),
                _ => Packet::PubAck(ack),
            },
        );
    }

    /// Answers, unless a fault swallows or delays the answer.
    fn reply(&mut self, now: Instant, packet: Packet) {
        match self.faults().ack_fate(packet.packet_type()) {
            AckFate::Send => self.replies.push_back(packet),
            AckFate::Swallow => {}
            AckFate::Delay(by) => self.delayed.push((now + by, packet)),
        }
    }

    /// When there is something to do although nothing has come.
    pub(super) fn deadline(&self) -> Option<Instant> {
        let keep_alive = self.patience.map(|patience| self.heard_at + patience);
        self.delayed.iter().map(|(at, _)| *at).chain(keep_alive).min()
    }

    pub(super) fn on_deadline(&mut self, now: Instant) -> Result<(), End> {
        let due = self.delayed.extract_if(.., |(at, _)| *at <= now);
        self.replies.extend(due.map(|(_, packet)| packet));
        if self.patience.is_some_and(|patience| self.heard_at + patience <= now) {
            return Err(End::Disconnect(ReasonCode::KEEP_ALIVE_TIMEOUT));
        }
        Ok(())
    }

    /// Nothing could be heard for a while; keep alive begins anew.
    pub(super) const fn thaw(&mut self, now: Instant) {
        self.heard_at = now;
    }

    /// Writes what there is to say: answers first, then messages as long as few bytes wait.
    pub(super) fn write(&mut self, now: Instant, state: &mut State, out: &mut WireBuf) {
        while out.len() < HIGH_WATER {
            if !self.replies.is_empty() {
                self.write_replies(state, out);
                continue;
            }
            match state.next_outgoing(now, &self.client_id, self.link.number) {
                None => return,
                Some(Outgoing::PubRel(id)) => {
                    self.acknowledge(now, PacketType::PubRel, id, ReasonCode::SUCCESS)
                }
                Some(Outgoing::Publish(copy, delivery)) => {
                    copy.with_parts(self.version, delivery, now, |parts| {
                        // It fails for topics that 3.1 cannot carry only; such a message is not delivered.
                        if parts.encode(self.version, out).is_ok() {
                            let connection = self.link.number;
                            let packet = || Publish::try_from(parts).ok().map(Packet::Publish);
                            state.records.add(connection, Direction::ToClient, PacketType::Publish, packet);
                        }
                    })
                }
            }
        }
    }

    /// Writes the answers to what the client has said.
    pub(super) fn write_replies(&mut self, state: &mut State, out: &mut WireBuf) {
        while let Some(packet) = self.replies.pop_front() {
            match &packet {
                Packet::PubAck(ack) | Packet::PubComp(ack) => self.unacknowledged.remove(&ack.id),
                Packet::PubRec(ack) if ack.reason.is_error() => self.unacknowledged.remove(&ack.id),
                _ => false,
            };
            self.say(state, &packet, out);
        }
    }

    pub(super) fn say(&self, state: &mut State, packet: &Packet, out: &mut WireBuf) {
        self.shared.say(state, self.link.number, self.version, packet, out);
    }

    /// The last packet of a connection that the broker ends; nothing before 5.0 `[MQTT-3.14.0-1]`.
    pub(super) fn say_disconnect(&self, state: &mut State, reason: ReasonCode, out: &mut WireBuf) {
        if self.version.is_v5() {
            self.say(state, &Packet::Disconnect(Disconnect::new(reason)), out);
        }
    }

    fn options(&self) -> &Options {
        &self.shared.options
    }

    fn faults(&self) -> &Faults {
        &self.shared.faults
    }
}

const fn granted_code(qos: QoS) -> ReasonCode {
    match qos {
        QoS::AtMostOnce => ReasonCode::GRANTED_QOS_0,
        QoS::AtLeastOnce => ReasonCode::GRANTED_QOS_1,
        QoS::ExactlyOnce => ReasonCode::GRANTED_QOS_2,
    }
}
