//! Messages on their way from the driver into the queues of the applications.

use crate::queue::Queue;
use core::task::Waker;
use mqtt_session::{AckToken, Message};
use std::sync::Arc;

/// The queue of one subscription.
pub(crate) type Inbox = Queue<Delivery>;

/// A message on its way to an application.
#[derive(Debug)]
pub(crate) struct Delivery {
    pub(crate) message: Message,
    pub(crate) ack: Option<Ack>,
}

/// The right to acknowledge a message, or a share in it.
#[derive(Debug)]
pub(crate) enum Ack {
    Sole(AckToken),
    Shared(Arc<AckToken>),
}

impl Ack {
    /// The token, if nobody else has still to take the message.
    pub(crate) fn take(self) -> Option<AckToken> {
        match self {
            Self::Sole(token) => Some(token),
            Self::Shared(token) => Arc::into_inner(token),
        }
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
    /// Messages that nobody will take.
    pub(crate) acks: Vec<AckToken>,
    /// Queues that have become full.
    pub(crate) filled: usize,
    /// Queues that were full and are gone.
    pub(crate) reopened: usize,
    /// Messages that nobody takes.
    pub(crate) unclaimed: u64,
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
        put(inbox, Delivery { message, ack: token.map(Ack::Sole) }, squeezed, effects);
        return;
    }
    let token = token.map(Arc::new);
    for (_, inbox) in takers {
        let ack = token.clone().map(Ack::Shared);
        put(inbox, Delivery { message: message.clone(), ack }, squeezed, effects);
    }
    // All may have taken it by now.
    effects.acks.extend(token.and_then(Arc::into_inner));
}

fn put(inbox: &Inbox, delivery: Delivery, squeezed: bool, effects: &mut Effects) {
    if squeezed && delivery.ack.is_none() && inbox.overflows() {
        inbox.count_drop();
        return;
    }
    let pushed = inbox.push(delivery);
    effects.wakers.extend(pushed.reader);
    effects.filled += usize::from(pushed.filled);
}
