//! The exchanges in which the client waits for the server, by packet identifier.
//!
//! The table is the allocator: an identifier is taken while something stands under it, and free when nothing
//! does. So no identifier can leak, and none can be used twice `[MQTT-2.2.1-3]`. Every operation takes the
//! same time however many exchanges there are.

use crate::event::{Message, Token};
use crate::subscriptions::{Subscribing, Unsubscribing};
use crate::time::Instant;
use alloc::boxed::Box;
use alloc::vec::Vec;
use mqtt_codec::{PacketId, ReasonCode};

/// What is awaited under one identifier.
#[derive(Debug)]
pub(crate) enum Awaiting {
    /// A QoS 1 PUBLISH was sent.
    PubAck(Outgoing),
    /// A QoS 2 PUBLISH was sent.
    PubRec(Outgoing),
    /// The server has the message, PUBREL is to be sent or was.
    PubComp(Released),
    /// SUBSCRIBE was sent.
    SubAck(Box<Subscribing>),
    /// UNSUBSCRIBE was sent.
    UnsubAck(Box<Unsubscribing>),
}

/// A message that waits to be sent, or was sent and may have to be sent again.
#[derive(Debug)]
pub(crate) struct Outgoing {
    pub(crate) token: Token,
    pub(crate) message: Message,
    /// Bytes of its packet, with the topic in full.
    pub(crate) size: usize,
    /// When its message expiry interval passes.
    pub(crate) expires: Option<Instant>,
    /// The link that it was last sent on; in the queue, in a session that is lost since.
    pub(crate) sent_on: Option<u32>,
    /// The round of that link's retransmission.
    pub(crate) round: u32,
}

/// What is left of a QoS 2 message that the server has taken over.
#[derive(Debug)]
pub(crate) struct Released {
    /// `None` if the message was set aside: its outcome is known.
    pub(crate) token: Option<Token>,
    /// The reason code of PUBREC.
    pub(crate) reason: ReasonCode,
    /// Its number in the store.
    pub(crate) number: u64,
    /// The round of the link's retransmission in which PUBREL was last due.
    pub(crate) round: u32,
}

/// The orders in which exchanges stand.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(usize)]
pub(crate) enum Order {
    /// PUBLISHes by their first sending `[MQTT-4.6.0-1]`.
    Publishes,
    /// PUBRELs by the arrival of their PUBRECs `[MQTT-4.6.0-4]`.
    Releases,
    /// SUBSCRIBEs and UNSUBSCRIBEs by their sending.
    Requests,
    /// Free identifiers by how long they have been free.
    Free,
}

impl Awaiting {
    const fn order(&self) -> Order {
        match self {
            Self::PubAck(_) | Self::PubRec(_) => Order::Publishes,
            Self::PubComp(_) => Order::Releases,
            Self::SubAck(_) | Self::UnsubAck(_) => Order::Requests,
        }
    }
}

/// New identifiers are taken up to this number before one is used again. A freed identifier thus rests for a
/// while, and a repeated acknowledgement from a confused server finds nothing to confirm.
const REST: usize = 16;

/// The table. Identifier n stands at n - 1; each slot is linked into the order that it belongs to.
#[derive(Debug)]
pub(crate) struct InFlight {
    slots: Vec<Slot>,
    orders: [Ends; 4],
}

#[derive(Debug)]
struct Slot {
    awaiting: Option<Awaiting>,
    previous: Option<PacketId>,
    next: Option<PacketId>,
}

#[derive(Clone, Copy, Debug)]
struct Ends {
    first: Option<PacketId>,
    last: Option<PacketId>,
    len: usize,
}

/// A free identifier. It is taken when something is put under it.
#[derive(Debug)]
pub(crate) struct Vacant<'a> {
    table: &'a mut InFlight,
    id: PacketId,
}

impl Vacant<'_> {
    pub(crate) const fn id(&self) -> PacketId {
        self.id
    }

    pub(crate) fn insert(self, awaiting: Awaiting) {
        let Self { table, id } = self;
        if table.index(id) == table.slots.len() {
            table.slots.push(Slot { awaiting: None, previous: None, next: None });
        } else {
            table.unlink(id, Order::Free);
        }
        let order = awaiting.order();
        if let Some(slot) = table.slot_mut(id) {
            slot.awaiting = Some(awaiting);
        }
        table.push_back(id, order);
    }
}

impl InFlight {
    pub(crate) const fn new() -> Self {
        Self { slots: Vec::new(), orders: [Ends { first: None, last: None, len: 0 }; 4] }
    }

    /// Puts an exchange of an earlier life under its identifier, last in its order.
    pub(crate) fn restore(&mut self, id: PacketId, awaiting: Awaiting) {
        while self.slots.len() <= self.index(id) {
            let Some(fresh) = u16::try_from(self.slots.len() + 1).ok().and_then(PacketId::new) else {
                return;
            };
            self.slots.push(Slot { awaiting: None, previous: None, next: None });
            self.push_back(fresh, Order::Free);
        }
        self.unlink(id, self.get(id).map_or(Order::Free, Awaiting::order));
        let order = awaiting.order();
        if let Some(slot) = self.slot_mut(id) {
            slot.awaiting = Some(awaiting);
        }
        self.push_back(id, order);
    }

    /// Exchanges in this order.
    pub(crate) const fn len(&self, order: Order) -> usize {
        self.orders[order as usize].len
    }

    /// A free identifier; `None` while all 65,535 are taken.
    pub(crate) fn vacant(&mut self) -> Option<Vacant<'_>> {
        let free = self.first(Order::Free);
        let fresh = u16::try_from(self.slots.len() + 1).ok().and_then(PacketId::new);
        let id = if self.slots.len() < REST { fresh.or(free) } else { free.or(fresh) }?;
        Some(Vacant { table: self, id })
    }

    pub(crate) fn get(&self, id: PacketId) -> Option<&Awaiting> {
        self.slots.get(self.index(id))?.awaiting.as_ref()
    }

    pub(crate) fn get_mut(&mut self, id: PacketId) -> Option<&mut Awaiting> {
        self.slot_mut(id)?.awaiting.as_mut()
    }

    /// Ends an exchange; its identifier is free.
    pub(crate) fn free(&mut self, id: PacketId) {
        if let Some(slot) = self.slot_mut(id)
            && let Some(awaiting) = &slot.awaiting
        {
            let order = awaiting.order();
            slot.awaiting = None;
            self.unlink(id, order);
            self.push_back(id, Order::Free);
        }
    }

    /// Ends an exchange and hands out what stood under its identifier.
    pub(crate) fn remove(&mut self, id: PacketId) -> Option<Awaiting> {
        let awaiting = self.slot_mut(id)?.awaiting.take()?;
        self.unlink(id, awaiting.order());
        self.push_back(id, Order::Free);
        Some(awaiting)
    }

    /// Puts an exchange into its next stage, under the same identifier and last in its order.
    pub(crate) fn advance(&mut self, id: PacketId, next: Awaiting) {
        let Some(slot) = self.slot_mut(id) else { return };
        let order = next.order();
        let Some(awaiting) = slot.awaiting.replace(next) else { return };
        self.unlink(id, awaiting.order());
        self.push_back(id, order);
    }

    pub(crate) const fn first(&self, order: Order) -> Option<PacketId> {
        self.orders[order as usize].first
    }

    /// The one behind this in its order.
    pub(crate) fn after(&self, id: PacketId) -> Option<PacketId> {
        self.slots.get(self.index(id))?.next
    }

    /// Ends the first, or the last, exchange of an order.
    pub(crate) fn pop_first(&mut self, order: Order) -> Option<Awaiting> {
        self.first(order).and_then(|id| self.remove(id))
    }

    pub(crate) fn pop_last(&mut self, order: Order) -> Option<Awaiting> {
        self.orders[order as usize].last.and_then(|id| self.remove(id))
    }

    const fn index(&self, id: PacketId) -> usize {
        id.get() as usize - 1
    }

    fn slot_mut(&mut self, id: PacketId) -> Option<&mut Slot> {
        let index = self.index(id);
        self.slots.get_mut(index)
    }

    fn unlink(&mut self, id: PacketId, order: Order) {
        let Some(slot) = self.slot_mut(id) else { return };
        let (previous, next) = (slot.previous.take(), slot.next.take());
        match previous.and_then(|previous| self.slot_mut(previous)) {
            Some(slot) => slot.next = next,
            None => self.orders[order as usize].first = next,
        }
        match next.and_then(|next| self.slot_mut(next)) {
            Some(slot) => slot.previous = previous,
            None => self.orders[order as usize].last = previous,
        }
        self.orders[order as usize].len -= 1;
    }

    fn push_back(&mut self, id: PacketId, order: Order) {
        let ends = &mut self.orders[order as usize];
        let last = ends.last.replace(id);
        ends.len += 1;
        match last {
            None => ends.first = Some(id),
            Some(last) => {
                if let Some(slot) = self.slot_mut(last) {
                    slot.next = Some(id);
                }
                if let Some(slot) = self.slot_mut(id) {
                    slot.previous = Some(last);
                }
            }
        }
    }
}
