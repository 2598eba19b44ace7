//! Messages to the server: the queue, sending at QoS 0, 1 and 2, and sending again on a resumed session.
//!
//! A message becomes a packet in one place, [`Outbound::transmit`]: there it gets its packet identifier, its
//! DUP flag, its alias. What is unacknowledged is sent again when a session is resumed and at no other time
//! `[MQTT-4.4.0-1]`.

use crate::config::{Limits, OnSessionLost, Overflow};
use crate::error::UsageError;
use crate::event::{Message, Outcome, Token};
use crate::in_flight::{Awaiting, InFlight, Order, Outgoing, Released};
use crate::link::Link;
use crate::publish;
use crate::queue::Queue;
use crate::store::Reports;
use crate::time::{Instant, earlier};
use crate::window::Window;
use core::mem;
use core::num::NonZeroU32;
use core::time::Duration;
use mqtt_codec::{Ack, Delivery, PacketId, PacketType, QoS, ReasonCode, Version, WireBuf};

/// What survives a connection, beside the table of exchanges.
#[derive(Debug)]
pub(crate) struct Outbound {
    queue: Queue,
    /// Bytes of the messages in the queue and of the unacknowledged ones.
    bytes: usize,
    /// When to look for messages whose expiry interval has passed.
    look_for_expired: Option<Instant>,
    /// The message with which the last connections ended, and how many these were.
    suspect: Option<(Token, u32)>,
}

/// A batch ends with the PUBLISH that makes it so many bytes.
const BATCH: usize = 4096;

/// How long to wait between two looks through the queue.
const EXPIRY_GRAIN: Duration = Duration::from_secs(1);

impl Outbound {
    pub(crate) fn new(overflow: Overflow) -> Self {
        Self { queue: Queue::new(overflow), bytes: 0, look_for_expired: None, suspect: None }
    }

    pub(crate) fn queued(&self) -> usize {
        self.queue.len()
    }

    /// The messages that wait to be sent.
    pub(crate) fn messages(&self) -> impl Iterator<Item = &Outgoing> {
        self.queue.iter()
    }

    pub(crate) const fn bytes(&self) -> usize {
        self.bytes
    }

    /// Whether there is room for one message more.
    pub(crate) fn has_room(&self, limits: &Limits) -> bool {
        self.queue.len() < limits.queue_messages && self.bytes < limits.queue_bytes
    }

    /// Queues a message that is stored already.
    pub(crate) fn push_stored(&mut self, queued: Outgoing, limits: &Limits, reports: &mut Reports) {
        if limits.overflow == Overflow::Refuse || self.has_room(limits) {
            self.push_back(queued);
        } else {
            self.push_without_room(queued, limits, reports, true);
        }
    }

    /// Queues a message where there is no room: another one gives way, or it does itself, as the limits say.
    #[cold]
    pub(crate) fn push_without_room(
        &mut self,
        queued: Outgoing,
        limits: &Limits,
        reports: &mut Reports,
        stored: bool,
    ) {
        if let Some(place) = self.queue.latest_mut(&queued.message.topic)
            && self.bytes - place.size() < limits.queue_bytes
        {
            if reports.is_durable() {
                // A store knows the order of acceptance: it has to stay that of sending `[MQTT-4.6.0-1]`.
                if !stored {
                    reports.store_queued(&queued);
                }
                if let Some(superseded) = self.queue.remove_latest(&queued.message.topic) {
                    self.refuse(&superseded, Outcome::Dropped, reports);
                }
                self.push_back(queued);
                return;
            }
            self.bytes += queued.size();
            self.look_for_expired = earlier(self.look_for_expired, queued.expires);
            let superseded = mem::replace(place, queued);
            self.refuse(&superseded, Outcome::Dropped, reports);
            return;
        }
        while limits.overflow != Overflow::DropNewest && !self.has_room(limits) && self.queue.len() > 0 {
            self.refuse_first(reports, Outcome::Dropped);
        }
        if self.has_room(limits) {
            if !stored {
                reports.store_queued(&queued);
            }
            self.push_back(queued);
        } else {
            if stored {
                reports.forget_message(queued.token, QoS::AtMostOnce);
            }
            reports.complete(queued.token, unsent(&queued, Outcome::Dropped));
        }
    }

    /// Queues a new message, room or not.
    #[inline(always)]
    pub(crate) fn push(&mut self, now: Instant, token: Token, message: Message, size: u32) {
        let expires = publish::expires(now, &message);
        self.count(size, expires);
        self.queue.push_back(Outgoing { token, message, size, expires, sent_on: None, round: 0 });
    }

    /// Queues a message, room or not.
    pub(crate) fn push_back(&mut self, queued: Outgoing) {
        self.count(queued.size, queued.expires);
        self.queue.push_back(queued);
    }

    /// One message more.
    #[inline(always)]
    fn count(&mut self, size: u32, expires: Option<Instant>) {
        if expires.is_some() {
            self.look_for_expired = earlier(self.look_for_expired, expires);
        }
        self.bytes += size as usize;
    }

    /// A message that was sent in an earlier life, on no link of this one.
    pub(crate) fn restore(&mut self, sent: Outgoing) -> Outgoing {
        self.bytes += sent.size();
        Outgoing { sent_on: Some(0), ..sent }
    }

    /// The messages are to be sent in another version, in which their packets have other sizes.
    pub(crate) fn set_version(&mut self, version: Version, table: &mut InFlight) {
        self.bytes = 0;
        let sent = table.iter_mut().filter_map(|awaiting| match awaiting {
            Awaiting::Publish(sent) => Some(sent),
            _ => None,
        });
        for outgoing in self.queue.iter_mut().chain(sent) {
            outgoing.size = publish::size(&outgoing.message, version);
            self.bytes += outgoing.size();
        }
    }

    pub(crate) const fn poll_timeout(&self) -> Option<Instant> {
        self.look_for_expired
    }

    /// Takes out what waited too long.
    pub(crate) fn handle_timeout(&mut self, now: Instant, reports: &mut Reports) {
        if self.look_for_expired.is_none_or(|at| at > now) {
            return;
        }
        let (mut next, mut freed) = (None, 0);
        self.queue.retain(|queued| {
            let expired = queued.expires.is_some_and(|at| at <= now);
            if expired {
                freed += queued.size();
                reports.forget_message(queued.token, QoS::AtMostOnce);
                reports.complete(queued.token, unsent(queued, Outcome::Expired));
            } else {
                next = earlier(next, queued.expires);
            }
            !expired
        });
        self.bytes -= freed;
        self.look_for_expired = next.map(|at| at.max(now + EXPIRY_GRAIN));
    }

    /// Writes what is next: a PUBLISH that is to be sent again, or else a batch of the queue, in order. False
    /// if there is nothing, or if the window is full `[MQTT-4.9.0-2]`.
    pub(crate) fn transmit(
        &mut self,
        now: Instant,
        link: &mut Link,
        table: &mut InFlight,
        reports: &mut Reports,
        out: &mut WireBuf,
    ) -> bool {
        while let Some(id) = link.window.resend {
            if link.window.open >= link.window.maximum {
                return false;
            }
            if self.send_again(now, id, link, table, reports, out) {
                return true;
            }
        }
        while let Some(id) = link.retransmission.next() {
            if Self::repeat(now, id, link, table, out) {
                return true;
            }
        }
        let before = out.len();
        while out.len() - before < BATCH && self.transmit_queued(now, link, table, reports, out) {}
        out.len() > before
    }

    /// Writes the first PUBLISH of the queue that can be sent.
    fn transmit_queued(
        &mut self,
        now: Instant,
        link: &mut Link,
        table: &mut InFlight,
        reports: &mut Reports,
        out: &mut WireBuf,
    ) -> bool {
        while let Some(queued) = self.queue.front() {
            if queued.expires.is_some_and(|at| at <= now) {
                self.refuse_first(reports, Outcome::Expired);
                continue;
            }
            let sent = match queued.message.qos {
                QoS::AtMostOnce => self.send_once(now, link, reports, out),
                _ if link.window.open >= link.window.maximum => return false,
                _ => match self.send_first(now, link, table, reports, out) {
                    Some(sent) => sent,
                    // All packet identifiers are taken.
                    None => return false,
                },
            };
            match sent {
                Ok(()) => return true,
                Err(error) => self.refuse_first(reports, Outcome::Refused(error)),
            }
        }
        false
    }

    /// Takes the first message out of the queue, unsent.
    fn refuse_first(&mut self, reports: &mut Reports, outcome: Outcome) {
        if let Some(queued) = self.queue.pop_front() {
            self.refuse(&queued, outcome, reports);
        }
    }

    /// A message has left the queue, unsent.
    fn refuse(&mut self, queued: &Outgoing, outcome: Outcome, reports: &mut Reports) {
        self.bytes -= queued.size();
        reports.forget_message(queued.token, QoS::AtMostOnce);
        reports.complete(queued.token, unsent(queued, outcome));
    }

    /// QoS 0: sent, and forgotten `[MQTT-4.3.1-1]`.
    fn send_once(
        &mut self,
        now: Instant,
        link: &mut Link,
        reports: &mut Reports,
        out: &mut WireBuf,
    ) -> Result<(), UsageError> {
        let Some(queued) = self.queue.front() else { return Ok(()) };
        let before = out.len();
        publish::write(now, queued, Delivery::AtMostOnce, link, out)?;
        link.output.follow(queued.token, before, out.len());
        reports.forget_message(queued.token, QoS::AtMostOnce);
        self.bytes -= queued.size();
        self.queue.pop_front();
        Ok(())
    }

    /// QoS 1 and 2: a new identifier, DUP 0 `[MQTT-4.3.2-1]` `[MQTT-4.3.2-2]` `[MQTT-4.3.3-1]`
    /// `[MQTT-4.3.3-2]`. `None` if there is no identifier.
    fn send_first(
        &mut self,
        now: Instant,
        link: &mut Link,
        table: &mut InFlight,
        reports: &mut Reports,
        out: &mut WireBuf,
    ) -> Option<Result<(), UsageError>> {
        let queued = self.queue.front_mut()?;
        let vacant = table.vacant()?;
        let id = vacant.id();
        let delivery = publish::delivery(queued.message.qos, id, false);
        if let Err(error) = publish::write(now, queued, delivery, link, out) {
            return Some(Err(error));
        }
        link.window.open += 1;
        queued.sent_on = Some(link.number);
        queued.round = link.retransmission.round();
        reports.store_exchange(queued.token, id, queued.message.qos);
        if let Some(sent) = self.queue.pop_front() {
            vacant.insert(Awaiting::Publish(sent));
        }
        Some(Ok(()))
    }

    /// The same packet under the same identifier, with DUP 1 `[MQTT-3.3.1-1]`. Message expiry ends no
    /// exchange that has begun `[MQTT-4.3.3-7]`. False if this server's limits forbid it.
    fn send_again(
        &mut self,
        now: Instant,
        id: PacketId,
        link: &mut Link,
        table: &mut InFlight,
        reports: &mut Reports,
        out: &mut WireBuf,
    ) -> bool {
        link.window.take(id, table);
        let Some(Awaiting::Publish(sent)) = table.get_mut(id) else { return false };
        let delivery = publish::delivery(sent.message.qos, id, true);
        if publish::write(now, sent, delivery, link, out).is_ok() {
            sent.sent_on = Some(link.number);
            sent.round = link.retransmission.round();
            link.window.open += 1;
            return true;
        }
        // The server took it on an earlier connection and may have passed it on.
        if self.give_up(id, Outcome::Unknown, table, reports) {
            link.window.open += 1;
            link.answers.push(PacketType::PubRel, id, ReasonCode::SUCCESS, false);
        }
        false
    }

    /// The same packet once more on the same link, with DUP 1 `[31-11]`. False if it was acknowledged
    /// meanwhile.
    fn repeat(now: Instant, id: PacketId, link: &mut Link, table: &mut InFlight, out: &mut WireBuf) -> bool {
        let Some(Awaiting::Publish(sent)) = table.get_mut(id) else { return false };
        sent.round = link.retransmission.round();
        let delivery = publish::delivery(sent.message.qos, id, true);
        sent.sent_on == Some(link.number) && publish::write(now, sent, delivery, link, out).is_ok()
    }

    /// PUBACK ends the exchange, whatever its reason `[MQTT-4.3.2-3]` `[MQTT-4.4.0-2]`. One that fits nothing
    /// is ignored.
    pub(crate) fn handle_puback(
        &mut self,
        ack: Ack,
        window: &mut Window,
        table: &mut InFlight,
        reports: &mut Reports,
    ) {
        self.end(ack, QoS::AtLeastOnce, window, table, reports);
    }

    /// PUBREC: the server has the message, or refuses it. A success is answered by PUBREL, now and each time
    /// it is repeated `[MQTT-4.3.3-4]` `[MQTT-4.3.3-6]`; a failure ends the exchange. One that fits nothing
    /// is answered too, so that the server can end its side `[5u-32]`.
    pub(crate) fn handle_pubrec(
        &mut self,
        ack: Ack,
        link: &mut Link,
        table: &mut InFlight,
        reports: &mut Reports,
    ) {
        let Ack { id, reason, .. } = ack;
        match table.get(id) {
            Some(Awaiting::Publish(sent)) if sent.message.qos == QoS::ExactlyOnce => {
                if reason.is_error() {
                    self.end(ack, QoS::ExactlyOnce, &mut link.window, table, reports);
                    return;
                }
                link.window.take(id, table);
                if sent.sent_on != Some(link.number) {
                    // Not sent again yet on this link, and no longer needed; from here on it counts.
                    link.window.open += 1;
                }
                self.bytes -= sent.size();
                let (token, number) = (Some(sent.token), reports.store_release(sent.token, id));
                let round = link.retransmission.round();
                table.advance(id, Awaiting::PubComp(Released { token, reason, number, round }));
            }
            Some(Awaiting::PubComp(_)) if reason.is_error() => {
                link.window.close_one();
                if let Some(Awaiting::PubComp(released)) = table.remove(id) {
                    reports.forget_release(released.number);
                    released.complete(Outcome::Acked { reason, properties: ack.properties }, reports);
                }
                return;
            }
            Some(Awaiting::PubComp(_)) => {}
            _ if reason.is_error() => return,
            _ => {
                let reason = ReasonCode::PACKET_IDENTIFIER_NOT_FOUND;
                link.answers.push(PacketType::PubRel, id, reason, false);
                return;
            }
        }
        link.answers.push(PacketType::PubRel, id, ReasonCode::SUCCESS, false);
    }

    /// PUBCOMP ends the exchange `[MQTT-4.3.3-5]`. Its reason says at most that the server had ended it
    /// already; what became of the message is what PUBREC said. One that fits nothing is ignored.
    pub(crate) fn handle_pubcomp(
        &mut self,
        ack: Ack,
        window: &mut Window,
        table: &mut InFlight,
        reports: &mut Reports,
    ) {
        if !matches!(table.get(ack.id), Some(Awaiting::PubComp(_))) {
            return;
        }
        if let Some(Awaiting::PubComp(released)) = table.remove(ack.id) {
            window.close_one();
            reports.forget_release(released.number);
            let reason = released.reason;
            released.complete(Outcome::Acked { reason, properties: ack.properties }, reports);
        }
    }

    /// The server has lost the session: its identifiers mean nothing any more `[MQTT-3.2.2-5]`. What was
    /// never sent stays queued.
    pub(crate) fn lose(&mut self, policy: OnSessionLost, table: &mut InFlight, reports: &mut Reports) {
        while let Some(awaiting) = table.pop_first(Order::Releases) {
            if let Awaiting::PubComp(released) = awaiting {
                reports.forget_release(released.number);
                released.complete(Outcome::SessionLost, reports);
            }
        }
        match policy {
            OnSessionLost::Requeue => {
                while let Some(awaiting) = table.pop_last(Order::Publishes) {
                    if let Awaiting::Publish(sent) = awaiting {
                        reports.store_again(&sent);
                        self.look_for_expired = earlier(self.look_for_expired, sent.expires);
                        self.queue.push_front(sent);
                    }
                }
            }
            OnSessionLost::Fail => {
                while let Some(awaiting) = table.pop_first(Order::Publishes) {
                    if let Awaiting::Publish(sent) = awaiting {
                        self.finish(&sent, Outcome::SessionLost, reports);
                    }
                }
            }
        }
    }

    /// The server or the network has ended a link. The first message that waits for its acknowledgement may be
    /// why; after `limit` links in a row it is set aside.
    pub(crate) fn suspect(
        &mut self,
        link: u32,
        limit: Option<NonZeroU32>,
        table: &mut InFlight,
        reports: &mut Reports,
    ) {
        let (Some(limit), Some(id)) = (limit, table.first(Order::Publishes)) else { return };
        let Some(Awaiting::Publish(sent)) = table.get(id) else { return };
        if sent.sent_on != Some(link) {
            return;
        }
        let token = sent.token;
        let connections = self.suspect.filter(|(last, _)| *last == token).map_or(1, |(_, links)| links + 1);
        self.suspect = Some((token, connections));
        if connections < limit.get() {
            return;
        }
        self.give_up(id, Outcome::SetAside { connections }, table, reports);
    }

    /// A message that was sent is not to be sent again. At QoS 2 the server may hold it under its identifier:
    /// PUBREL ends that, before the identifier is used again. True if one is to be sent.
    fn give_up(
        &mut self,
        id: PacketId,
        outcome: Outcome,
        table: &mut InFlight,
        reports: &mut Reports,
    ) -> bool {
        let Some(Awaiting::Publish(sent)) = table.get(id) else { return false };
        if sent.message.qos == QoS::AtLeastOnce {
            self.finish(sent, outcome, reports);
            table.free(id, Order::Publishes);
            return false;
        }
        self.bytes -= sent.size();
        let (token, number) = (sent.token, reports.store_release(sent.token, id));
        let released = Released { token: None, reason: ReasonCode::SUCCESS, number, round: 0 };
        table.advance(id, Awaiting::PubComp(released));
        reports.complete(token, outcome);
        true
    }

    /// Completes everything: what was sent and what was not. What is stored stays so.
    pub(crate) fn abandon(&mut self, table: &mut InFlight, reports: &mut Reports) {
        let unknown = if reports.is_durable() { Outcome::Stored } else { Outcome::Unknown };
        for order in [Order::Releases, Order::Publishes] {
            while let Some(awaiting) = table.pop_first(order) {
                match awaiting {
                    Awaiting::Publish(sent) => {
                        reports.complete(sent.token, unknown.clone());
                    }
                    Awaiting::PubComp(released) => released.complete(unknown.clone(), reports),
                    Awaiting::SubAck(_) | Awaiting::UnsubAck(_) => {}
                }
            }
        }
        while let Some(queued) = self.queue.pop_front() {
            let outcome =
                if reports.is_durable() { Outcome::Stored } else { unsent(&queued, Outcome::NotSent) };
            reports.complete(queued.token, outcome);
        }
        self.bytes = 0;
        self.look_for_expired = None;
    }

    /// Ends the exchange of a PUBLISH of this QoS with what its acknowledgement says, if there is one.
    #[inline]
    fn end(&mut self, ack: Ack, qos: QoS, window: &mut Window, table: &mut InFlight, reports: &mut Reports) {
        let Ack { id, reason, properties } = ack;
        if let Some(Awaiting::Publish(sent)) = table.get(id)
            && sent.message.qos == qos
        {
            window.take(id, table);
            if sent.sent_on == Some(window.link) {
                window.close_one();
            }
            self.finish(sent, Outcome::Acked { reason, properties }, reports);
            table.free(id, Order::Publishes);
        }
    }

    #[inline(always)]
    fn finish(&mut self, sent: &Outgoing, outcome: Outcome, reports: &mut Reports) {
        reports.complete(sent.token, outcome);
        reports.forget_message(sent.token, sent.message.qos);
        self.bytes -= sent.size();
    }
}

impl Released {
    /// The end of the exchange. What was set aside has its outcome already.
    fn complete(self, outcome: Outcome, reports: &mut Reports) {
        if let Some(token) = self.token {
            reports.complete(token, outcome);
        }
    }
}

/// What became of a queued message: one that goes into the queue a second time was sent in a lost session.
fn unsent(queued: &Outgoing, outcome: Outcome) -> Outcome {
    if queued.sent_on.is_some() { Outcome::SessionLost } else { outcome }
}
