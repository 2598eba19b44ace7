//! What arrives at the session, and what it must make of it: outcomes, messages, acknowledgements.

use super::books::{Books, Checked, Limits, Stage, Subject, ensure};
use super::outgoing::number_of;
use mqtt_codec::{
    Ack, ConnAck, Delivery as Sent, Packet, PacketId, Publish, QoS, ReasonCode, SubAck, UnsubAck, Version,
};
use mqtt_session::{Instant, Message, Outcome};

/// A message from the server that the application gets.
#[derive(Clone, Debug)]
pub(super) struct Delivery {
    /// As the server counts; `None` if it was never meant to be sent.
    pub(super) number: Option<usize>,
    topic: String,
    qos: QoS,
    pub(super) id: u16,
    /// What the application said.
    pub(super) accepted: Option<ReasonCode>,
    /// The acknowledgement was handed to the order of acknowledgements on this link.
    owed: bool,
    /// A crash came before the acceptance was stored.
    pub(super) forgotten: bool,
}

/// What the session said about CONNACK, and which session of the server that was about.
#[derive(Clone, Copy, Debug)]
pub(super) struct Welcome {
    pub(super) resumed: Option<bool>,
    /// It is the session in which this client last was.
    pub(super) same: bool,
}

impl Books {
    /// The session has taken this packet.
    pub(super) fn arrived(&mut self, now: Instant, packet: &Packet, welcome: Welcome) -> Checked {
        match packet {
            Packet::ConnAck(connack) if !self.wire.connected => return self.connack(now, connack, welcome),
            _ if !self.wire.connected => {}
            Packet::Publish(publish) => return self.receive(publish),
            Packet::PubAck(ack) => self.puback(ack),
            Packet::PubRec(ack) => self.pubrec(ack),
            Packet::PubRel(ack) => self.pubrel(ack.id),
            Packet::PubComp(ack) => self.pubcomp(ack),
            Packet::SubAck(suback) => self.suback(suback),
            Packet::UnsubAck(unsuback) => self.unsuback(unsuback),
            _ => {}
        }
        Ok(())
    }

    fn connack(&mut self, now: Instant, connack: &ConnAck, welcome: Welcome) -> Checked {
        let Some(resumed) = welcome.resumed else {
            ensure!(
                connack.reason.is_error() || self.wire.faulty,
                "CONNACK accepts, the session does not say so"
            );
            return Ok(());
        };
        let says = connack.properties.view();
        self.wire.connected = true;
        self.wire.connected_at = Some(now);
        self.wire.limits = Limits {
            receive_maximum: says.receive_maximum().unwrap_or(u16::MAX),
            maximum_packet_size: says.maximum_packet_size().map_or(usize::MAX, |bytes| bytes as usize),
            topic_alias_maximum: says.topic_alias_maximum().unwrap_or(0),
            maximum_qos: says.maximum_qos().unwrap_or(QoS::ExactlyOnce),
            retain_available: says.retain_available().unwrap_or(true),
            wildcard_available: says.wildcard_subscription_available().unwrap_or(true),
            keep_alive: says.server_keep_alive().unwrap_or(self.wire.limits.keep_alive),
        };
        self.widest = self.widest.max(self.window());
        let has_state = !self.inbound.is_empty()
            || self.messages.iter().any(|message| matches!(message.stage, Stage::Sent | Stage::Released));
        ensure!(
            !has_state || resumed == welcome.same || self.wire.faulty,
            "the session says that it is resumed: {resumed}; the server has it: {}",
            welcome.same
        );
        if self.version() != Version::V3_1 {
            ensure!(!resumed || connack.session_present, "resumed, and CONNACK did not say so");
        }
        if resumed {
            self.wire.resend = self.in_stage(Stage::Sent).into();
            self.wire.pubrels_due = self.releases.iter().map(|id| (*id, ReasonCode::SUCCESS)).collect();
            self.wire.open.extend(&self.releases);
        } else {
            self.lost();
        }
        Ok(())
    }

    fn receive(&mut self, publish: &Publish) -> Checked {
        let topic = match publish.properties().topic_alias() {
            None => publish.topic().to_owned(),
            Some(alias) if publish.topic().is_empty() => {
                let topic = self.wire.received_aliases.get(&alias).cloned();
                topic.ok_or("the session takes an alias without a topic")?
            }
            Some(alias) => {
                self.wire.received_aliases.insert(alias, publish.topic().to_owned());
                publish.topic().to_owned()
            }
        };
        let qos = publish.qos();
        let id = publish.delivery().id().map_or(0, PacketId::get);
        let known = if qos == QoS::ExactlyOnce { self.inbound.get(&id).copied() } else { None };
        let place = known.unwrap_or_else(|| {
            let number = number_of(publish.payload());
            let delivery = Delivery { number, topic, qos, id, accepted: None, owed: false, forgotten: false };
            self.deliveries.push(delivery);
            self.to_hear.push_back(self.deliveries.len() - 1);
            self.deliveries.len() - 1
        });
        match publish.delivery() {
            Sent::AtMostOnce => {}
            Sent::AtLeastOnce { .. } => {
                self.deliveries[place].owed = true;
                self.wire.pubacks.push_back(place);
            }
            Sent::ExactlyOnce { .. } => {
                self.inbound.insert(id, place);
                self.wire.pubrecs.push_back(place);
                self.flush_pubrecs();
            }
        }
        Ok(())
    }

    /// The application hears a message: the next one that is due, and if it is of QoS 2 for the first time. Says which.
    pub(super) fn heard(&mut self, message: &Message) -> Checked<usize> {
        let Some(place) = self.to_hear.pop_front() else {
            return Err(format!("a message that did not arrive, or not now: {message:?}"));
        };
        let delivery = &self.deliveries[place];
        let number = number_of(message.payload());
        ensure!(
            delivery.number == number && delivery.topic == message.topic() && delivery.qos == message.qos,
            "{message:?} is not what arrived: {delivery:?}"
        );
        // `[MQTT-4.3.3-10]`: again only if it was refused, or a crash came before the application's word was stored.
        if delivery.qos == QoS::ExactlyOnce && delivery.number.is_some() {
            let earlier = self.deliveries[..place].iter().filter(|earlier| earlier.number == number);
            let mut standing = earlier
                .filter(|earlier| !earlier.forgotten && !earlier.accepted.is_some_and(ReasonCode::is_error));
            if let Some(standing) = standing.next() {
                return Err(format!("message {number:?} of QoS 2 is delivered twice: {standing:?}"));
            }
        }
        Ok(place)
    }

    /// The application has acknowledged a message.
    pub(super) fn acknowledged(&mut self, place: usize, reason: ReasonCode) {
        let Delivery { qos, id, .. } = self.deliveries[place];
        // Before 5.0 there are no reasons, and the only good one that a client may give is the plain one.
        let refused = self.version().is_v5() && reason.is_error();
        let reason = if refused { reason } else { ReasonCode::SUCCESS };
        if qos == QoS::ExactlyOnce && self.inbound.get(&id) == Some(&place) {
            self.deliveries[place].accepted = Some(reason);
            self.flush_pubrecs();
        } else if qos == QoS::AtLeastOnce
            && self.deliveries[place].owed
            && self.wire.connected
            && !self.wire.ended
        {
            self.deliveries[place].accepted = Some(reason);
            while let Some(&first) = self.wire.pubacks.front()
                && let Some(reason) = self.deliveries[first].accepted
            {
                self.wire.pubacks.pop_front();
                self.wire.pubacks_due.push_back((self.deliveries[first].id, reason));
            }
        }
    }

    /// `[MQTT-4.6.0-3]`
    fn flush_pubrecs(&mut self) {
        if !self.wire.connected || self.wire.ended {
            return;
        }
        while let Some(&first) = self.wire.pubrecs.front() {
            let Delivery { id, accepted, .. } = self.deliveries[first];
            if self.inbound.get(&id) == Some(&first) {
                let Some(reason) = accepted else { return };
                self.wire.pubrecs_due.push_back((id, reason));
                // `[MQTT-4.3.3-9]`
                if reason.is_error() {
                    self.inbound.remove(&id);
                }
            }
            self.wire.pubrecs.pop_front();
        }
    }

    fn pubrel(&mut self, id: PacketId) {
        let reason = match self.inbound.remove(&id.get()) {
            Some(_) => ReasonCode::SUCCESS,
            None => ReasonCode::PACKET_IDENTIFIER_NOT_FOUND,
        };
        self.wire.pubcomps_due.push_back((id.get(), reason));
        self.flush_pubrecs();
    }

    fn message(&self, id: PacketId) -> Option<usize> {
        match self.ids.get(&id.get()) {
            Some(Subject::Message(number)) => Some(*number),
            _ => None,
        }
    }

    fn puback(&mut self, ack: &Ack) {
        let Some(number) = self.message(ack.id) else { return };
        let message = &self.messages[number];
        if message.qos == QoS::AtLeastOnce && message.stage == Stage::Sent {
            self.due.insert(message.token, Self::acked(ack.reason, ack.properties.clone()));
        }
    }

    fn pubrec(&mut self, ack: &Ack) {
        let Ack { id, reason, ref properties } = *ack;
        if self.ids.get(&id.get()) == Some(&Subject::LetGo) {
            if reason.is_error() {
                self.gone(id);
            } else {
                self.wire.pubrels_due.push_back((id.get(), ReasonCode::SUCCESS));
            }
            return;
        }
        let number = self.message(id).filter(|number| self.messages[*number].qos == QoS::ExactlyOnce);
        let Some(number) = number else {
            if !reason.is_error() {
                self.wire.pubrels_due.push_back((id.get(), ReasonCode::PACKET_IDENTIFIER_NOT_FOUND));
            }
            return;
        };
        let message = &mut self.messages[number];
        if reason.is_error() {
            self.due.insert(message.token, Self::acked(reason, properties.clone()));
            return;
        }
        if message.stage == Stage::Sent {
            message.stage = Stage::Released;
            message.received = reason;
            self.releases.push_back(id.get());
            self.wire.open.insert(id.get());
            self.wire.resend.retain(|other| *other != number);
        }
        self.wire.pubrels_due.push_back((id.get(), ReasonCode::SUCCESS));
    }

    /// The server has forgotten what was given up.
    fn gone(&mut self, id: PacketId) {
        self.ids.remove(&id.get());
        self.wire.open.remove(&id.get());
        self.releases.retain(|release| *release != id.get());
    }

    fn pubcomp(&mut self, ack: &Ack) {
        if self.ids.get(&ack.id.get()) == Some(&Subject::LetGo) {
            return self.gone(ack.id);
        }
        let Some(number) = self.message(ack.id) else { return };
        let message = &self.messages[number];
        if message.stage == Stage::Released {
            self.due.insert(message.token, Self::acked(message.received, ack.properties.clone()));
        }
    }

    fn suback(&mut self, suback: &SubAck) {
        let id = suback.id().get();
        match self.ids.get(&id) {
            Some(&Subject::Request(number)) if self.requests[number].subscribe => {
                let outcome = Outcome::Subscribed {
                    codes: suback.codes().collect(),
                    properties: mqtt_codec::PropertiesBuf::new(),
                };
                self.due.insert(self.requests[number].token, outcome);
            }
            Some(Subject::Again) => {}
            _ => return,
        }
        self.ids.remove(&id);
    }

    fn unsuback(&mut self, unsuback: &UnsubAck) {
        let id = unsuback.id().get();
        if let Some(&Subject::Request(number)) = self.ids.get(&id)
            && !self.requests[number].subscribe
        {
            let outcome = Outcome::Unsubscribed {
                codes: unsuback.codes().collect(),
                properties: mqtt_codec::PropertiesBuf::new(),
            };
            self.due.insert(self.requests[number].token, outcome);
            self.ids.remove(&id);
        }
    }
}
