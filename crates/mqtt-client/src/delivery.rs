//! Messages on their way from the driver into the queues of the applications.

use crate::ack::{Ack, Answer, Fan};
use crate::queue::{Pushed, Queue, QueuePolicy, Topical};
use core::task::Waker;
use mqtt_session::{AckToken, Message, QoS, TopicName};
use std::collections::VecDeque;
use std::sync::Arc;

/// The queue of one subscription.
#[derive(Debug)]
pub(crate) struct Inbox {
    pub(crate) queue: Queue<Delivery>,
    /// Messages for which there is room are acknowledged when they come.
    immediate: bool,
}

/// A message on its way to an application.
#[derive(Debug)]
pub(crate) struct Delivery {
    pub(crate) message: Message,
    /// None at QoS 0, or if it was acknowledged when it came.
    pub(crate) ack: Option<Ack>,
}

impl Topical for Delivery {
    fn topic(&self) -> Option<&TopicName> {
        Some(&self.message.topic)
    }
}

/// A subscription that takes a message.
pub(crate) type Taker = (HolderId, Arc<Inbox>);

/// Names a subscription.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub(crate) struct HolderId(pub(crate) u64);

/// What routing has come to, for the driver to pass on when it is done with its batch.
#[derive(Debug, Default)]
pub(crate) struct Effects {
    pub(crate) wakers: Vec<Waker>,
    /// Messages that nobody has still to take.
    pub(crate) acks: Vec<Answer>,
    /// Queues that have become full.
    pub(crate) filled: usize,
    /// Queues that were full and are gone.
    pub(crate) reopened: usize,
    /// Messages that nobody takes.
    pub(crate) unclaimed: u64,
    /// Messages for which a queue had no room.
    pub(crate) dropped: u64,
}

/// Each gets the message; it is acknowledged once, when all have taken it.
pub(crate) fn share(
    takers: &[Taker],
    message: Message,
    token: Option<AckToken>,
    squeezed: bool,
    effects: &mut Effects,
) {
    if let [(_, inbox)] = takers {
        inbox.put(Delivery { message, ack: token.map(Ack::Sole) }, squeezed, effects);
        return;
    }
    let fan = token.map(Fan::new);
    for (_, inbox) in takers {
        let ack = fan.clone().map(Ack::Shared);
        inbox.put(Delivery { message: message.clone(), ack }, squeezed, effects);
    }
    // All may have taken it by now.
    effects.acks.extend(fan.and_then(Fan::close));
}

impl Inbox {
    pub(crate) fn new(capacity: usize, policy: QueuePolicy, immediate: bool) -> Self {
        Self { queue: Queue::new(capacity, policy), immediate }
    }

    /// Puts messages into the queue that came in a row, all at once where nothing is to be said of each.
    pub(crate) fn put_all(&self, run: &mut VecDeque<Delivery>, squeezed: bool, effects: &mut Effects) {
        let alike = !self.immediate && !squeezed;
        match alike.then(|| self.queue.push_all(run)).flatten() {
            Some(pushed) => effects.pushed(pushed),
            None => run.drain(..).for_each(|delivery| self.put(delivery, squeezed, effects)),
        }
    }

    fn put(&self, mut delivery: Delivery, squeezed: bool, effects: &mut Effects) {
        if squeezed && delivery.message.qos == QoS::AtMostOnce && self.queue.overflows() {
            self.queue.count_drop();
            effects.dropped += 1;
            return;
        }
        // What comes without room is acknowledged when it is taken: so the server's window bounds the queue.
        if self.immediate && delivery.ack.is_some() && self.queue.has_room() {
            effects.acks.extend(delivery.ack.take().and_then(Ack::take));
        }
        effects.pushed(self.queue.push(delivery));
    }
}

impl Effects {
    fn pushed(&mut self, pushed: Pushed<Delivery>) {
        self.wakers.extend(pushed.reader);
        self.filled += usize::from(pushed.filled);
        self.dropped += u64::from(pushed.dropped.is_some());
        if let Some(Delivery { ack: Some(ack), .. }) = pushed.dropped {
            self.acks.extend(ack.give_up());
        }
    }
}
