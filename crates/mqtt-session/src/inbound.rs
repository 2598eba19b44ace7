//! Messages from the server: QoS 2 without duplicates, acknowledgements in the order of the messages.
//!
//! A QoS 2 message goes to the application with its first PUBLISH (method "store the identifier"). Its
//! identifier is kept until PUBREL, across reconnections, so that no other PUBLISH under it is delivered.
//! PUBREC leaves when the application has accepted the message.

use crate::answers::{Answers, Verdict};
use crate::error::ProtocolError;
use crate::event::AckToken;
use crate::id_map::IdMap;
use crate::store::Reports;
use alloc::collections::VecDeque;
use mqtt_codec::{PacketId, PacketType, QoS, ReasonCode, Sender};

/// What survives a connection: the QoS 2 messages between their first PUBLISH and their PUBREL.
#[derive(Debug)]
pub(crate) struct Inbound {
    exchanges: IdMap<Exchange>,
    /// Exchanges so far.
    count: u64,
}

#[derive(Debug)]
struct Exchange {
    number: u64,
    /// What the application said; `None` before it has.
    accepted: Option<Verdict>,
    /// The link on which its PUBLISH last came: there it counts against our Receive Maximum.
    link: u32,
}

/// What dies with the link: which acknowledgements are owed, in the order of the messages.
#[derive(Debug)]
pub(crate) struct Receiving {
    link: u32,
    /// Our Receive Maximum.
    maximum: u16,
    /// Messages that count against it.
    open: usize,
    /// One for each QoS 1 message that has no PUBACK yet.
    pubacks: VecDeque<Owed>,
    /// The place of the first of them, counted from the beginning of the link.
    first_puback: u64,
    /// One for each QoS 2 PUBLISH that has no PUBREC yet, with the number of the exchange.
    pubrecs: VecDeque<(PacketId, u64)>,
}

#[derive(Debug)]
struct Owed {
    id: PacketId,
    accepted: Option<Verdict>,
}

impl Receiving {
    pub(crate) const fn new(link: u32, maximum: u16) -> Self {
        Self { link, maximum, open: 0, pubacks: VecDeque::new(), first_puback: 0, pubrecs: VecDeque::new() }
    }

    /// A QoS 1 message arrived. Each is delivered: its identifier says nothing about another one that had the
    /// same `[MQTT-4.3.2-5]`.
    #[inline(always)]
    pub(crate) fn handle_qos1(&mut self, id: PacketId) -> Result<AckToken, ProtocolError> {
        self.count()?;
        let number = self.first_puback + self.pubacks.len() as u64;
        self.pubacks.push_back(Owed { id, accepted: None });
        Ok(AckToken { qos: QoS::AtLeastOnce, id, link: self.link, number })
    }

    /// Answers were handed out that close so many messages.
    pub(crate) const fn closed(&mut self, messages: usize) {
        self.open = self.open.saturating_sub(messages);
    }

    /// `[MQTT-3.3.4-9]`
    fn count(&mut self) -> Result<(), ProtocolError> {
        self.open += 1;
        self.check(self.open)
    }

    fn check(&self, messages: usize) -> Result<(), ProtocolError> {
        if messages > usize::from(self.maximum) {
            return Err(ProtocolError::ReceiveMaximumExceeded(self.maximum));
        }
        Ok(())
    }

    /// Notes what the application says to the message of this number, and sends the PUBACKs that no earlier
    /// message holds back `[MQTT-4.6.0-2]`.
    #[inline(always)]
    fn accept(&mut self, number: u64, verdict: Verdict, answers: &mut Answers) {
        let Some(place) = number.checked_sub(self.first_puback) else { return };
        if place > 0 {
            let owed = usize::try_from(place).ok().and_then(|place| self.pubacks.get_mut(place));
            if let Some(owed) = owed {
                owed.accepted = Some(verdict);
            }
            return;
        }
        let Some(Owed { id, .. }) = self.pubacks.pop_front() else { return };
        self.first_puback += 1;
        answers.push_verdict(PacketType::PubAck, id, verdict, true);
        while let Some(Owed { id, accepted }) = self.pubacks.front_mut()
            && let Some(verdict) = accepted.take()
        {
            answers.push_verdict(PacketType::PubAck, *id, verdict, true);
            self.pubacks.pop_front();
            self.first_puback += 1;
        }
    }
}

impl Inbound {
    pub(crate) const fn new() -> Self {
        Self { exchanges: IdMap::new(), count: 0 }
    }

    /// A message that was accepted in an earlier life, on no link of this one.
    pub(crate) fn restore(&mut self, id: PacketId, reason: ReasonCode) {
        self.count += 1;
        let accepted = Some(Verdict { reason, properties: None });
        self.exchanges.insert(id, Exchange { number: self.count, accepted, link: 0 });
    }

    /// A QoS 2 PUBLISH arrived. The message is new if there is a token; otherwise it was delivered before,
    /// and only the PUBREC is owed again `[MQTT-4.3.3-10]`.
    pub(crate) fn handle_qos2(
        &mut self,
        id: PacketId,
        receiving: &mut Receiving,
        answers: &mut Answers,
        reports: &mut Reports,
    ) -> Result<Option<AckToken>, ProtocolError> {
        let link = receiving.link;
        if let Some(exchange) = self.exchanges.get_mut(id) {
            if exchange.link != link {
                exchange.link = link;
                receiving.count()?;
            }
            receiving.pubrecs.push_back((id, exchange.number));
            // A repetition counts only once, but as long as the application has not accepted it, each is owed
            // an answer.
            receiving.check(receiving.pubrecs.len())?;
            self.flush_pubrecs(receiving, answers, reports);
            return Ok(None);
        }
        receiving.count()?;
        self.count += 1;
        let number = self.count;
        self.exchanges.insert(id, Exchange { number, accepted: None, link });
        receiving.pubrecs.push_back((id, number));
        Ok(Some(AckToken { qos: QoS::ExactlyOnce, id, link, number }))
    }

    /// PUBREL ends the exchange, whatever its reason `[5u-31]`. It is answered always `[MQTT-4.3.3-11]`.
    pub(crate) fn handle_pubrel(
        &mut self,
        id: PacketId,
        receiving: &mut Receiving,
        answers: &mut Answers,
        reports: &mut Reports,
    ) {
        match self.exchanges.remove(id) {
            Some(exchange) => {
                let closes = exchange.link == receiving.link;
                answers.push(PacketType::PubComp, id, ReasonCode::SUCCESS, closes);
                reports.forget_received(id);
                self.flush_pubrecs(receiving, answers, reports);
            }
            None => answers.push(PacketType::PubComp, id, ReasonCode::PACKET_IDENTIFIER_NOT_FOUND, false),
        }
    }

    /// The application has taken over a message, or refused it. `link` is what the acknowledgement can go out
    /// on now.
    #[inline(always)]
    pub(crate) fn acknowledge(
        &mut self,
        token: AckToken,
        mut verdict: Verdict,
        link: Option<(&mut Receiving, &mut Answers)>,
        reports: &mut Reports,
    ) {
        let packet = token.packet();
        let AckToken { qos, id, link: came_on, number } = token;
        verdict.reason = sendable(verdict.reason, packet);
        if qos == QoS::ExactlyOnce {
            let Some(exchange) = self.exchanges.get_mut(id).filter(|exchange| exchange.number == number)
            else {
                return;
            };
            reports.store_received(id, verdict.reason);
            exchange.accepted = Some(verdict);
            if let Some((receiving, answers)) = link {
                self.flush_pubrecs(receiving, answers, reports);
            }
        } else if let Some((receiving, answers)) = link.filter(|(receiving, _)| receiving.link == came_on) {
            receiving.accept(number, verdict, answers);
        }
    }

    /// The server has lost the session: its identifiers mean nothing any more `[MQTT-3.2.2-5]`.
    pub(crate) fn lose(&mut self, reports: &mut Reports) {
        for (id, _) in self.exchanges.iter() {
            reports.forget_received(id);
        }
        self.exchanges.clear();
    }

    /// Sends the PUBRECs that no earlier message holds back `[MQTT-4.6.0-3]`.
    fn flush_pubrecs(&mut self, receiving: &mut Receiving, answers: &mut Answers, reports: &mut Reports) {
        while let Some(&(id, number)) = receiving.pubrecs.front() {
            match self.exchanges.get_mut(id).filter(|exchange| exchange.number == number) {
                // The message waits for the application.
                Some(Exchange { accepted: None, .. }) => return,
                Some(Exchange { accepted: Some(Verdict { reason, properties }), .. }) => {
                    let verdict = Verdict { reason: *reason, properties: properties.take() };
                    // A refusal ends the exchange: the identifier is new afterwards `[MQTT-4.3.3-9]`.
                    let closes = verdict.reason.is_error();
                    answers.push_verdict(PacketType::PubRec, id, verdict, closes);
                    if closes {
                        self.exchanges.remove(id);
                        reports.forget_received(id);
                    }
                }
                // The exchange ended without it.
                None => {}
            }
            receiving.pubrecs.pop_front();
        }
    }
}

/// The code itself, if the packet may carry it, else the general one.
fn sendable(reason: ReasonCode, packet: PacketType) -> ReasonCode {
    match reason {
        ReasonCode::SUCCESS => reason,
        reason if reason.is_allowed_in(packet, Some(Sender::Client)) => reason,
        reason if reason.is_error() => ReasonCode::UNSPECIFIED_ERROR,
        _ => ReasonCode::SUCCESS,
    }
}
