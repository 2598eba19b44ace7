//! The bound of what is accepted and not yet sent, and the line of those who wait for room.

use crate::cells::set_waker;
use core::ops::{Add, AddAssign, SubAssign};
use core::task::Waker;
use std::collections::VecDeque;

/// What messages take up.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct Size {
    pub(crate) messages: usize,
    pub(crate) bytes: usize,
}

/// Counts what is inside, and lets in who fits: first come, first served.
#[derive(Debug)]
pub(crate) struct Room {
    limit: Size,
    /// What the driver has taken counts too; otherwise it makes room by itself.
    counts_taken: bool,
    /// Accepted, not yet taken by the driver.
    submitted: Size,
    /// Taken by the driver, and not yet sent when it last said so.
    taken: Size,
    /// Those who wait, in the order of their tickets. Those who were called stand in front.
    line: VecDeque<Waiting>,
    called: usize,
    /// Kept free for those who were called.
    reserved: Size,
    next: Ticket,
}

/// A place in the line.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Default)]
pub(crate) struct Ticket(u64);

#[derive(Debug)]
struct Waiting {
    ticket: Ticket,
    size: Size,
    waker: Option<Waker>,
}

impl Room {
    pub(crate) fn new(limit: Size, counts_taken: bool) -> Self {
        Self {
            limit,
            counts_taken,
            submitted: Size::default(),
            taken: Size::default(),
            line: VecDeque::new(),
            called: 0,
            reserved: Size::default(),
            next: Ticket::default(),
        }
    }

    /// What is inside.
    pub(crate) fn used(&self) -> Size {
        self.submitted + self.taken
    }

    /// Goes in, unless there is no room or somebody waits already.
    pub(crate) fn try_enter(&mut self, size: Size) -> bool {
        let fits = self.line.is_empty() && self.fits(size);
        if fits {
            self.submitted += size;
        }
        fits
    }

    pub(crate) fn join(&mut self, size: Size, waker: &Waker) -> Ticket {
        let ticket = self.next;
        self.next.0 += 1;
        self.line.push_back(Waiting { ticket, size, waker: Some(waker.clone()) });
        ticket
    }

    /// Goes in if it was called. A waker that is `displaced` is to be dropped once the lock is released.
    pub(crate) fn poll_turn(
        &mut self,
        ticket: Ticket,
        asking: &Waker,
        displaced: &mut Option<Waker>,
    ) -> bool {
        let Some(place) = self.place(ticket) else { return false };
        if place < self.called
            && let Some(waiting) = self.remove(place)
        {
            self.submitted += waiting.size;
            return true;
        }
        if let Some(waiting) = self.line.get_mut(place) {
            *displaced = set_waker(&mut waiting.waker, asking);
        }
        false
    }

    /// Leaves the line; a turn that had come passes on to the next at the following [`call`](Self::call). The waker is
    /// to be dropped once the lock is released.
    pub(crate) fn leave(&mut self, ticket: Ticket) -> Option<Waker> {
        let place = self.place(ticket)?;
        self.remove(place)?.waker
    }

    /// The driver has taken all that was submitted.
    pub(crate) fn take_submitted(&mut self) {
        self.taken += core::mem::take(&mut self.submitted);
    }

    /// The driver counts what it has not sent yet.
    pub(crate) fn set_taken(&mut self, size: Size) {
        self.taken = size;
    }

    /// Calls as many as there is room for.
    pub(crate) fn call(&mut self, woken: &mut Vec<Waker>) {
        while let Some(size) = self.line.get(self.called).map(|waiting| waiting.size)
            && self.fits(size)
        {
            self.reserved += size;
            woken.extend(self.line.get_mut(self.called).and_then(|waiting| waiting.waker.take()));
            self.called += 1;
        }
    }

    /// Empties the line and returns whom to wake: nobody will be called any more.
    pub(crate) fn close(&mut self) -> Vec<Waker> {
        self.called = 0;
        self.reserved = Size::default();
        self.line.drain(..).filter_map(|waiting| waiting.waker).collect()
    }

    /// A message larger than all the room goes in alone: it would wait for ever otherwise.
    fn fits(&self, size: Size) -> bool {
        let used = if self.counts_taken { self.used() } else { self.submitted } + self.reserved;
        let sum = used + size;
        used == Size::default() || (sum.messages <= self.limit.messages && sum.bytes <= self.limit.bytes)
    }

    fn place(&self, ticket: Ticket) -> Option<usize> {
        self.line.binary_search_by_key(&ticket, |waiting| waiting.ticket).ok()
    }

    fn remove(&mut self, place: usize) -> Option<Waiting> {
        let waiting = self.line.remove(place)?;
        if place < self.called {
            self.called -= 1;
            self.reserved -= waiting.size;
        }
        Some(waiting)
    }
}

impl Size {
    pub(crate) fn one(bytes: usize) -> Self {
        Self { messages: 1, bytes }
    }
}

impl Add for Size {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self {
            messages: self.messages.saturating_add(other.messages),
            bytes: self.bytes.saturating_add(other.bytes),
        }
    }
}

impl AddAssign for Size {
    fn add_assign(&mut self, other: Self) {
        *self = *self + other;
    }
}

impl SubAssign for Size {
    fn sub_assign(&mut self, other: Self) {
        self.messages = self.messages.saturating_sub(other.messages);
        self.bytes = self.bytes.saturating_sub(other.bytes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn room(messages: usize, bytes: usize) -> Room {
        Room::new(Size { messages, bytes }, true)
    }

    /// The driver has sent everything; returns how many it called.
    fn sent(room: &mut Room) -> usize {
        let mut woken = Vec::new();
        room.take_submitted();
        room.set_taken(Size::default());
        room.call(&mut woken);
        woken.len()
    }

    fn enters(room: &mut Room, ticket: Ticket) -> bool {
        room.poll_turn(ticket, Waker::noop(), &mut None)
    }

    #[test]
    fn messages_and_bytes_are_bounded() {
        let mut few = room(2, 1000);
        assert!(few.try_enter(Size::one(10)) && few.try_enter(Size::one(10)));
        assert!(!few.try_enter(Size::one(10)));

        let mut small = room(10, 100);
        assert!(small.try_enter(Size::one(60)));
        assert!(!small.try_enter(Size::one(41)) && small.try_enter(Size::one(40)));
    }

    /// Where the driver drops what is too much, only what it has not seen yet is bounded.
    #[test]
    fn what_the_driver_has_taken_may_not_count() {
        let mut room = Room::new(Size { messages: 2, bytes: 1000 }, false);
        for _ in 0..100 {
            assert!(
                room.try_enter(Size::one(10))
                    && room.try_enter(Size::one(10))
                    && !room.try_enter(Size::one(10))
            );
            room.take_submitted();
        }
        assert_eq!(room.used().messages, 200);
    }

    #[test]
    fn a_message_larger_than_the_room_goes_in_alone() {
        let mut room = room(10, 100);
        assert!(room.try_enter(Size::one(101)));
        assert!(!room.try_enter(Size::one(0)));
        sent(&mut room);
        assert!(room.try_enter(Size::one(1)) && !room.try_enter(Size::one(101)));
    }

    #[test]
    fn first_come_first_served() {
        let mut room = room(1, 100);
        assert!(room.try_enter(Size::one(1)));
        let tickets = [0; 3].map(|_| room.join(Size::one(1), Waker::noop()));
        assert!(!tickets.iter().any(|&ticket| enters(&mut room, ticket)));

        assert_eq!(sent(&mut room), 1, "as many as there is room for");
        assert!(!room.try_enter(Size::one(1)), "nobody cuts in");
        assert!(!enters(&mut room, tickets[1]));
        assert!(enters(&mut room, tickets[0]));
        assert_eq!(sent(&mut room), 1);
        assert!(enters(&mut room, tickets[1]));
    }

    #[test]
    fn nobody_small_slips_past_somebody_large() {
        let mut room = room(10, 100);
        assert!(room.try_enter(Size::one(60)));
        let large = room.join(Size::one(50), Waker::noop());
        assert!(!room.try_enter(Size::one(1)));
        assert_eq!(sent(&mut room), 1);
        assert!(enters(&mut room, large));
    }

    #[test]
    fn who_leaves_passes_the_turn_on() {
        let mut room = room(1, 100);
        assert!(room.try_enter(Size::one(1)));
        let tickets = [0; 3].map(|_| room.join(Size::one(1), Waker::noop()));
        room.leave(tickets[1]);
        sent(&mut room);
        room.leave(tickets[0]);
        let mut woken = Vec::new();
        room.call(&mut woken);
        assert_eq!(woken.len(), 1);
        assert!(enters(&mut room, tickets[2]));
        assert_eq!(room.used(), Size::one(1));
        assert_eq!(room.reserved, Size::default());
    }
}
