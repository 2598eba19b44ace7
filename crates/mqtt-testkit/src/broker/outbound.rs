//! The messages on their way to one subscriber: the queue, and the table of those that are in flight.
//!
//! One queue for all QoS: nothing overtakes anything. A message that must wait for the send quota holds back those
//! behind it, QoS 0 included, as section 4.9 allows. Acknowledgements and other packets do not pass through here.

use super::message::{Message, with_subscription_identifier};
use mqtt_codec::{Delivery, PacketId, PropertiesBuf, PublishParts, QoS, ReasonCode, Version};
use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use tokio::time::Instant;

/// A message for one subscription.
#[derive(Clone, Debug)]
pub(super) struct Copy {
    pub(super) message: Arc<Message>,
    /// The QoS at which it was published or the subscription was granted, whichever is lower `[MQTT-3.8.4-8]`.
    pub(super) qos: QoS,
    pub(super) retain: bool,
    /// The identifier of the subscription `[MQTT-3.3.4-5]`.
    pub(super) identifier: Option<u32>,
}

/// The next packet for the subscriber.
#[derive(Debug)]
pub(super) enum Outgoing {
    Publish(Copy, Delivery),
    PubRel(PacketId),
}

/// What the connection at hand allows.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    pub(super) version: Version,
    /// PUBLISH of QoS 1 and 2 that the client takes before it acknowledges one.
    pub(super) receive_maximum: u16,
    pub(super) maximum_packet_size: Option<u32>,
}

#[derive(Debug)]
pub(super) struct Outbound {
    queue: VecDeque<Copy>,
    /// The table whose keys are the identifiers in use: what is in it has been sent and not been acknowledged.
    in_flight: HashMap<PacketId, Flight>,
    /// What is to be sent again on this connection, in the order of first sending.
    resend: VecDeque<PacketId>,
    last_id: u16,
    next_order: u64,
    /// PUBLISH of QoS 1 and 2 sent on this connection and not acknowledged there.
    unacknowledged: u16,
}

#[derive(Debug)]
struct Flight {
    order: u64,
    awaits: Awaits,
    /// Whether its PUBLISH was sent on this connection and counts against the quota.
    counted: bool,
}

/// The packet that ends a stage: PUBACK, PUBREC or PUBCOMP. Until PUBREC the message may have to be sent again.
#[derive(Debug)]
enum Awaits {
    Ack(Copy),
    Rec(Copy),
    Comp,
}

impl Outbound {
    pub(super) fn new() -> Self {
        Self {
            queue: VecDeque::new(),
            in_flight: HashMap::new(),
            resend: VecDeque::new(),
            last_id: 0,
            next_order: 0,
            unacknowledged: 0,
        }
    }

    pub(super) fn push(&mut self, copy: Copy) {
        self.queue.push_back(copy);
    }

    pub(super) fn queued(&self) -> usize {
        self.queue.len()
    }

    pub(super) fn in_flight(&self) -> usize {
        self.in_flight.len()
    }

    /// A connection begins: everything in flight is sent again, in order `[MQTT-4.4.0-1]` `[MQTT-4.6.0-1]`.
    pub(super) fn resume(&mut self) {
        let mut ids: Vec<(u64, PacketId)> =
            self.in_flight.iter().map(|(id, flight)| (flight.order, *id)).collect();
        ids.sort_unstable();
        self.resend = ids.into_iter().map(|(_, id)| id).collect();
    }

    /// The connection has ended: QoS 0 is not kept for a client that is away.
    pub(super) fn suspend(&mut self) {
        self.queue.retain(|copy| copy.qos > QoS::AtMostOnce);
        self.in_flight.values_mut().for_each(|flight| flight.counted = false);
        self.unacknowledged = 0;
    }

    /// Takes the next packet to send, if there is one and the quota allows it.
    pub(super) fn next(&mut self, now: Instant, limits: Limits) -> Option<Outgoing> {
        self.next_resend(now, limits).unwrap_or_else(|| self.next_new(now, limits))
    }

    /// `None`: nothing is left to send again. `Some(None)`: something is, and waits for the quota.
    fn next_resend(&mut self, now: Instant, limits: Limits) -> Option<Option<Outgoing>> {
        while let Some(&id) = self.resend.front() {
            let (copy, delivery) = match self.in_flight.get(&id).map(|flight| &flight.awaits) {
                // Acknowledged meanwhile.
                None => {
                    self.resend.pop_front();
                    continue;
                }
                Some(Awaits::Comp) => {
                    self.resend.pop_front();
                    return Some(Some(Outgoing::PubRel(id)));
                }
                // DUP says that it is sent again `[MQTT-3.3.1-1]`.
                Some(Awaits::Ack(copy)) => (copy.clone(), Delivery::AtLeastOnce { id, dup: true }),
                Some(Awaits::Rec(copy)) => (copy.clone(), Delivery::ExactlyOnce { id, dup: true }),
            };
            if self.unacknowledged >= limits.receive_maximum {
                return Some(None);
            }
            self.resend.pop_front();
            if !copy.fits(limits, delivery, now) {
                self.in_flight.remove(&id);
                continue;
            }
            if let Some(flight) = self.in_flight.get_mut(&id) {
                flight.counted = true;
                self.unacknowledged += 1;
            }
            return Some(Some(Outgoing::Publish(copy, delivery)));
        }
        None
    }

    fn next_new(&mut self, now: Instant, limits: Limits) -> Option<Outgoing> {
        while let Some(copy) = self.queue.front() {
            if copy.message.is_expired(now) {
                self.queue.pop_front();
                continue;
            }
            // Any delivery of this QoS has the same size.
            if !copy.fits(limits, first_delivery(copy.qos, PacketId::MIN), now) {
                self.queue.pop_front();
                continue;
            }
            if copy.qos > QoS::AtMostOnce && !self.has_quota(limits) {
                return None;
            }
            return self.queue.pop_front().map(|copy| self.begin(copy));
        }
        None
    }

    fn has_quota(&self, limits: Limits) -> bool {
        // `[MQTT-3.3.4-9]`; one identifier must be free as well.
        self.unacknowledged < limits.receive_maximum && self.in_flight.len() < usize::from(u16::MAX)
    }

    /// Gives a new message its identifier and a place in the table.
    fn begin(&mut self, copy: Copy) -> Outgoing {
        if copy.qos == QoS::AtMostOnce {
            return Outgoing::Publish(copy, Delivery::AtMostOnce);
        }
        let id = self.free_id();
        let awaits = match copy.qos {
            QoS::ExactlyOnce => Awaits::Rec(copy.clone()),
            _ => Awaits::Ack(copy.clone()),
        };
        self.in_flight.insert(id, Flight { order: self.next_order, awaits, counted: true });
        self.next_order += 1;
        self.unacknowledged += 1;
        let delivery = first_delivery(copy.qos, id);
        Outgoing::Publish(copy, delivery)
    }

    /// An identifier that is not in use `[MQTT-2.2.1-4]`; [`has_quota`](Self::has_quota) has seen to it that there is one.
    fn free_id(&mut self) -> PacketId {
        loop {
            self.last_id = self.last_id.wrapping_add(1);
            if let Some(id) = PacketId::new(self.last_id)
                && !self.in_flight.contains_key(&id)
            {
                return id;
            }
        }
    }

    pub(super) fn on_puback(&mut self, id: PacketId) {
        if matches!(self.in_flight.get(&id), Some(Flight { awaits: Awaits::Ack(_), .. })) {
            self.finish(id);
        }
    }

    /// The reason code of the PUBREL to answer with; none after a failure `[MQTT-4.3.3-4]`.
    pub(super) fn on_pubrec(&mut self, id: PacketId, reason: ReasonCode) -> Option<ReasonCode> {
        match self.in_flight.get_mut(&id) {
            Some(Flight { awaits: Awaits::Rec(_), .. }) if reason.is_error() => {
                self.finish(id);
                None
            }
            Some(flight @ Flight { awaits: Awaits::Rec(_) | Awaits::Comp, .. }) => {
                flight.awaits = Awaits::Comp;
                Some(ReasonCode::SUCCESS)
            }
            _ if reason.is_error() => None,
            _ => Some(ReasonCode::PACKET_IDENTIFIER_NOT_FOUND),
        }
    }

    pub(super) fn on_pubcomp(&mut self, id: PacketId) {
        if matches!(self.in_flight.get(&id), Some(Flight { awaits: Awaits::Comp, .. })) {
            self.finish(id);
        }
    }

    fn finish(&mut self, id: PacketId) {
        if self.in_flight.remove(&id).is_some_and(|flight| flight.counted) {
            self.unacknowledged -= 1;
        }
    }
}

const fn first_delivery(qos: QoS, id: PacketId) -> Delivery {
    match qos {
        QoS::AtMostOnce => Delivery::AtMostOnce,
        QoS::AtLeastOnce => Delivery::AtLeastOnce { id, dup: false },
        QoS::ExactlyOnce => Delivery::ExactlyOnce { id, dup: false },
    }
}

impl Copy {
    /// Hands the PUBLISH for this copy to `use_parts`: properties for 5.0 only.
    pub(super) fn with_parts<R>(
        &self,
        version: Version,
        delivery: Delivery,
        now: Instant,
        use_parts: impl FnOnce(PublishParts<'_>) -> R,
    ) -> R {
        let message = &*self.message;
        let properties = match self.identifier {
            _ if !version.is_v5() => PropertiesBuf::new(),
            Some(identifier) => with_subscription_identifier(message.properties.view(), identifier),
            None => message.properties.clone(),
        };
        let mut parts = PublishParts::new(delivery, message.topic.borrow(), &message.payload);
        parts.retain = self.retain;
        parts.properties = properties.view();
        if version.is_v5() {
            parts.expiry = message.expiry_left(now);
        }
        use_parts(parts)
    }

    /// Whether the client takes a packet of this size; one that is too large counts as sent
    /// `[MQTT-3.1.2-24]` `[MQTT-3.1.2-25]`.
    fn fits(&self, limits: Limits, delivery: Delivery, now: Instant) -> bool {
        limits.maximum_packet_size.is_none_or(|maximum| {
            self.with_parts(limits.version, delivery, now, |parts| parts.encoded_len(limits.version))
                <= maximum as usize
        })
    }
}
