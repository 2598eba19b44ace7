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
    /// A PUBLISH was sent: PUBACK is to come at QoS 1, PUBREC at QoS 2.
    Publish(Outgoing),
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
    /// Bytes of its packet, with the topic in full. In four bytes: this is moved from the queue into the table.
    pub(crate) size: u32,
    /// When its message expiry interval passes.
    pub(crate) expires: Option<Instant>,
    /// The link that it was last sent on; in the queue, in a session that is lost since.
    pub(crate) sent_on: Option<u32>,
    /// The round of that link's retransmission.
    pub(crate) round: u32,
}

impl Outgoing {
    /// Bytes of its packet, with the topic in full.
    pub(crate) const fn size(&self) -> usize {
        self.size as usize
    }
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

/// The orders in which identifiers stand.
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

impl Order {
    const ALL: [Self; 4] = [Self::Publishes, Self::Releases, Self::Requests, Self::Free];
}

impl Awaiting {
    const fn order(&self) -> Order {
        match self {
            Self::Publish(_) => Order::Publishes,
            Self::PubComp(_) => Order::Releases,
            Self::SubAck(_) | Self::UnsubAck(_) => Order::Requests,
        }
    }
}

/// New identifiers are taken up to this number before one is used again. A freed identifier thus rests for a
/// while, and a repeated acknowledgement from a confused server finds nothing to confirm.
const REST: usize = 16;

/// The table: a slot for each identifier that was ever used, and the slots of each order linked in a ring.
#[derive(Debug)]
pub(crate) struct InFlight {
    /// From identifier 1 on.
    slots: Vec<Option<Awaiting>>,
    /// First the heads of the rings, which close them: with them no slot is a first or last one that needs care. Then
    /// the slots.
    links: Vec<Links>,
    lens: [usize; Order::ALL.len()],
}

/// The places of its neighbours in the ring.
#[derive(Clone, Copy, Debug)]
struct Links {
    previous: u32,
    next: u32,
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

    #[inline(always)]
    pub(crate) fn insert(self, awaiting: Awaiting) {
        let Self { table, id } = self;
        if index(id) == table.slots.len() {
            table.add_slot();
        }
        let order = awaiting.order();
        // Nothing is dropped there, and the message takes no detour.
        if let Some(slot @ None) = table.slots.get_mut(index(id)) {
            *slot = Some(awaiting);
            table.change_order(id, Order::Free, order);
        }
    }
}

impl InFlight {
    pub(crate) fn new() -> Self {
        let head = |order| Links { previous: order as u32, next: order as u32 };
        Self { slots: Vec::new(), links: Order::ALL.map(head).into(), lens: [0; Order::ALL.len()] }
    }

    /// Puts an exchange of an earlier life under its identifier, last in its order.
    pub(crate) fn restore(&mut self, id: PacketId, awaiting: Awaiting) {
        while self.slots.len() <= index(id) {
            self.add_slot();
        }
        let order = self.get(id).map_or(Order::Free, Awaiting::order);
        self.put(id, awaiting, order);
    }

    /// All exchanges, in no particular order.
    pub(crate) fn iter_mut(&mut self) -> impl Iterator<Item = &mut Awaiting> {
        self.slots.iter_mut().flatten()
    }

    /// Exchanges in this order.
    pub(crate) const fn len(&self, order: Order) -> usize {
        self.lens[order as usize]
    }

    /// A free identifier; `None` while all 65,535 are taken.
    pub(crate) fn vacant(&mut self) -> Option<Vacant<'_>> {
        let used = self.slots.len();
        let fresh = || u16::try_from(used + 1).ok().and_then(PacketId::new);
        let free = self.first(Order::Free);
        let id = if used < REST { fresh().or(free) } else { free.or_else(fresh) }?;
        Some(Vacant { table: self, id })
    }

    pub(crate) fn get(&self, id: PacketId) -> Option<&Awaiting> {
        self.slots.get(index(id))?.as_ref()
    }

    pub(crate) fn get_mut(&mut self, id: PacketId) -> Option<&mut Awaiting> {
        self.slots.get_mut(index(id))?.as_mut()
    }

    /// Ends an exchange that stands in this order; its identifier is free.
    #[inline(always)]
    pub(crate) fn free(&mut self, id: PacketId, order: Order) {
        if let Some(slot) = self.slots.get_mut(index(id)) {
            *slot = None;
            self.change_order(id, order, Order::Free);
        }
    }

    /// Ends an exchange and hands out what stood under its identifier.
    pub(crate) fn remove(&mut self, id: PacketId) -> Option<Awaiting> {
        let awaiting = self.slots.get_mut(index(id))?.take()?;
        self.change_order(id, awaiting.order(), Order::Free);
        Some(awaiting)
    }

    /// Puts an exchange into its next stage, under the same identifier and last in its order.
    pub(crate) fn advance(&mut self, id: PacketId, next: Awaiting) {
        if let Some(order) = self.get(id).map(Awaiting::order) {
            self.put(id, next, order);
        }
    }

    pub(crate) fn first(&self, order: Order) -> Option<PacketId> {
        self.links.get(order as usize).and_then(|head| id(head.next))
    }

    /// The one behind this in its order.
    pub(crate) fn after(&self, this: PacketId) -> Option<PacketId> {
        self.links.get(place(this)).and_then(|links| id(links.next))
    }

    /// Ends the first, or the last, exchange of an order.
    pub(crate) fn pop_first(&mut self, order: Order) -> Option<Awaiting> {
        self.first(order).and_then(|first| self.remove(first))
    }

    pub(crate) fn pop_last(&mut self, order: Order) -> Option<Awaiting> {
        let last = self.links.get(order as usize).and_then(|head| id(head.previous))?;
        self.remove(last)
    }

    /// The PUBLISHes without an answer, the last sent first.
    pub(crate) fn publishes(&self) -> impl Iterator<Item = (PacketId, &Outgoing)> {
        let head = Order::Publishes as u32;
        let before = |place: u32| self.links.get(place as usize).map(|links| links.previous);
        let places = core::iter::successors(before(head), move |place| before(*place));
        places.take_while(move |place| *place != head).filter_map(|place| {
            let id = id(place)?;
            match self.get(id)? {
                Awaiting::Publish(sent) => Some((id, sent)),
                _ => None,
            }
        })
    }

    /// Puts this under an identifier that has stood in `order` so far.
    #[inline(always)]
    fn put(&mut self, id: PacketId, awaiting: Awaiting, order: Order) {
        let next = awaiting.order();
        if let Some(slot) = self.slots.get_mut(index(id)) {
            *slot = Some(awaiting);
        }
        self.change_order(id, order, next);
    }

    /// A slot for the next identifier, which is free.
    fn add_slot(&mut self) {
        let place = self.links.len() as u32;
        self.slots.push(None);
        self.links.push(Links { previous: place, next: place });
        self.lens[Order::Free as usize] += 1;
        self.link_last(place, Order::Free);
    }

    #[inline(always)]
    fn change_order(&mut self, id: PacketId, from: Order, to: Order) {
        let place = place(id) as u32;
        let Some(&Links { previous, next }) = self.links.get(place as usize) else { return };
        if let Some(links) = self.links.get_mut(previous as usize) {
            links.next = next;
        }
        if let Some(links) = self.links.get_mut(next as usize) {
            links.previous = previous;
        }
        self.lens[from as usize] -= 1;
        self.lens[to as usize] += 1;
        self.link_last(place, to);
    }

    /// Links a slot that is in no ring between the last one of an order and its head.
    #[inline(always)]
    fn link_last(&mut self, place: u32, order: Order) {
        let head = order as u32;
        let Some(links) = self.links.get_mut(head as usize) else { return };
        let last = core::mem::replace(&mut links.previous, place);
        if let Some(links) = self.links.get_mut(last as usize) {
            links.next = place;
        }
        if let Some(links) = self.links.get_mut(place as usize) {
            *links = Links { previous: last, next: head };
        }
    }
}

/// Where the slot of an identifier is.
const fn index(id: PacketId) -> usize {
    id.get() as usize - 1
}

/// Where its links are.
const fn place(id: PacketId) -> usize {
    id.get() as usize + Order::ALL.len() - 1
}

/// The identifier whose links are here; `None` for a head.
fn id(place: u32) -> Option<PacketId> {
    let before = place.checked_sub(Order::ALL.len() as u32)?;
    PacketId::new(before as u16 + 1)
}
