//! The stream of a subscription's messages.

use crate::ack::Ack;
use crate::cells::{CellId, Fate};
use crate::connection::Alive;
use crate::delivery::{Delivery, HolderId, Inbox};
use crate::error::UnsubscribeError;
use crate::queue::{QueuePolicy, Taken};
use crate::submissions::{Command, Shared};
use core::future::poll_fn;
use core::pin::Pin;
use core::task::{Context, Poll, ready};
use futures_core::Stream;
use mqtt_session::{Message, Outcome, QoS, ReasonCode, TopicFilter};
use std::collections::VecDeque;
use std::sync::Arc;
use tokio::task::coop;

/// A stream of the messages of one subscription.
///
/// Taking a message from the stream acknowledges it. What the application has not taken is not acknowledged: the server
/// sends it again when the session is resumed. To acknowledge later, by hand, is the business of a
/// [`ManualSubscription`](crate::ManualSubscription), and
/// [`immediate_ack`](crate::SubscribeBuilder::immediate_ack) does it before.
///
/// While the queue of a stream is full (see [`capacity`](crate::SubscribeBuilder::capacity); what follows is
/// [`QueuePolicy::Wait`], there are [others](crate::SubscribeBuilder::when_full)), the client reads nothing from the network,
/// and so nothing is lost; pings, acknowledgements and publishes go on. There is one exception. While a publish or
/// another request waits for its answer, reading must go on, or a task that publishes between two messages would wait
/// for ever. Messages of QoS 1 and 2 are then still kept: their number is bounded by what the server sends without
/// acknowledgement, see [`receive_maximum`](crate::ConnectBuilder::receive_maximum). Messages of QoS 0 are dropped once
/// the queue holds twice its capacity, and [counted](Self::dropped).
///
/// So other subscriptions get what comes before that queue is full, and the rest when it has been read to half. A
/// [`receive_maximum`](crate::ConnectBuilder::receive_maximum) below the capacity (5.0) keeps messages of QoS 1 and 2
/// from ever filling it: then a slow application holds back only what is in that window, and QoS 0 goes on.
///
/// Several subscriptions may hold the same filter. For the server that is one subscription, with the options of the newest
/// `[MQTT-3.8.4-3]`; only its QoS is never lowered. Each stream gets each message once, also where filters overlap: a 5.0
/// server says which subscription a message is for. A 3.x server cannot; one that sends a copy for each of several
/// overlapping filters makes each of their streams see each copy.
///
/// The stream ends when the subscription is unsubscribed, lost ([`Event`](crate::Event)) or the client ends; what has
/// arrived before can still be taken.
///
/// Dropping it unsubscribes the filters that no other `Subscription` holds, and acknowledges what is left in its queue;
/// see also [`detach`](Self::detach). After the client has ended, or if this is its last handle, nothing is
/// unsubscribed: a session that outlives the connection keeps its filters.
#[derive(Debug)]
pub struct Subscription {
    pub(crate) alive: Alive,
    pub(crate) holder: HolderId,
    pub(crate) inbox: Arc<Inbox>,
    /// What was taken from the queue in one go, and is still to be passed on.
    ahead: VecDeque<Delivery>,
    pub(crate) results: Vec<(TopicFilter, ReasonCode)>,
    /// The driver does not know it any more.
    left: bool,
}

impl Subscription {
    pub(crate) const CAPACITY: usize = 1024;

    pub(crate) fn new(alive: &Alive, inbox: Inbox) -> Self {
        Self {
            alive: alive.clone(),
            holder: alive.shared.new_holder(),
            inbox: Arc::new(inbox),
            ahead: VecDeque::new(),
            results: Vec::new(),
            left: false,
        }
    }

    pub(crate) fn unmatched(alive: &Alive) -> Self {
        let unmatched = Self::new(alive, Inbox::new(Self::CAPACITY, QueuePolicy::Wait, false));
        alive.shared.tell(Command::Unmatched(unmatched.holder, unmatched.inbox.clone()));
        unmatched
    }

    /// Leaves the queue to whoever empties it. The filters stay subscribed.
    pub(crate) fn into_inbox(mut self) -> Arc<Inbox> {
        self.leave();
        self.inbox.clone()
    }

    /// Nothing more is taken from the queue.
    fn leave(&mut self) {
        self.left = true;
        self.inbox.queue.give_back(&mut self.ahead);
    }

    /// The next message, acknowledged by being taken; `None` when the stream has ended.
    ///
    /// Dropping the future loses no message.
    pub async fn next(&mut self) -> Option<Message> {
        poll_fn(|cx| Pin::new(&mut *self).poll_next(cx)).await
    }

    /// The QoS that the server granted to the first filter that it did not refuse. `None` for
    /// [`unmatched`](crate::Client::unmatched).
    pub fn granted_qos(&self) -> Option<QoS> {
        self.results.iter().find_map(|(_, code)| code.granted_qos())
    }

    /// What the server answered for each filter, in the order of asking: a granted QoS, or the reason why it refused
    /// that one.
    pub fn results(&self) -> &[(TopicFilter, ReasonCode)] {
        &self.results
    }

    /// Messages that found no room and were dropped: of QoS 0, see [`Subscription`], or by a [`QueuePolicy`].
    pub fn dropped(&self) -> u64 {
        self.inbox.queue.dropped()
    }

    /// Ends the subscription, and waits for the server's answer if it is to be unsubscribed. What is left in the queue
    /// is acknowledged and dropped.
    ///
    /// Dropping the future changes nothing: the filters are unsubscribed.
    ///
    /// # Errors
    ///
    /// The server refused, or the client has ended.
    pub async fn unsubscribe(mut self) -> Result<(), UnsubscribeError> {
        self.leave();
        let holder = self.holder;
        let filters: Vec<TopicFilter> = self.results.iter().map(|(filter, _)| filter.clone()).collect();
        let cell = self.alive.shared.submit(|cell| Command::Leave(holder, Some(cell)))?;
        unsubscribed(&self.alive.shared, cell, &filters).await
    }

    /// Ends the stream, and leaves the filters with the server. Their messages go to
    /// [`unmatched`](crate::Client::unmatched) from now on, with what is left in the queue; if that is not open, they
    /// are acknowledged and dropped.
    ///
    /// To leave them for a later run of the program instead, end the client first, and drop the subscription after.
    pub fn detach(mut self) {
        self.leave();
        self.alive.shared.tell(Command::Detach(self.holder));
    }
}

impl Stream for Subscription {
    type Item = Message;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Message>> {
        ready!(self.poll_ahead(cx));
        let Some(Delivery { message, ack }) = self.ahead.pop_front() else { return Poll::Ready(None) };
        let reopened = self.inbox.queue.passed_on(&self.ahead);
        self.alive.shared.message_taken(ack.and_then(Ack::take), reopened);
        Poll::Ready(Some(message))
    }
}

impl Subscription {
    /// Ready when there is a message to pass on, or never will be.
    #[inline]
    fn poll_ahead(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if !self.ahead.len().is_multiple_of(TURN) {
            return Poll::Ready(());
        }
        let coop = ready!(coop::poll_proceed(cx));
        if self.ahead.is_empty() {
            ready!(self.inbox.queue.poll_ahead(&mut self.ahead, cx));
        }
        coop.made_progress();
        Poll::Ready(())
    }

    /// The next message as it came.
    pub(crate) fn poll_delivery(&mut self, cx: &mut Context<'_>) -> Poll<Option<Delivery>> {
        ready!(self.poll_ahead(cx));
        let delivery = self.ahead.pop_front();
        let reopened = self.inbox.queue.passed_on(&self.ahead);
        self.alive.shared.message_taken(None, reopened);
        Poll::Ready(delivery)
    }
}

/// So many messages count as one operation in tokio's budget, which is 128 before other tasks have their turn: the
/// driver, if it is one of them, then has much to acknowledge and to read at once.
const TURN: usize = 8;

/// # The side of a reader that takes one by one
impl Inbox {
    /// The next message, acknowledged by being taken.
    pub(crate) fn poll_next(&self, cx: &mut Context<'_>, shared: &Shared) -> Poll<Option<Message>> {
        let coop = ready!(coop::poll_proceed(cx));
        let taken = ready!(self.queue.poll_take(cx));
        coop.made_progress();
        let Some(Taken { item: Delivery { message, ack }, reopened }) = taken else {
            return Poll::Ready(None);
        };
        shared.message_taken(ack.and_then(Ack::take), reopened);
        Poll::Ready(Some(message))
    }
}

impl Drop for Subscription {
    fn drop(&mut self) {
        // The last handle ends the client, and with it the connection; the session may be wanted as it is.
        if !self.left && Arc::strong_count(&self.alive) > 1 {
            self.leave();
            self.alive.shared.tell(Command::Leave(self.holder, None));
        }
    }
}

/// Waits for the answer to an UNSUBSCRIBE of these filters.
pub(crate) async fn unsubscribed(
    shared: &Arc<Shared>,
    cell: CellId,
    filters: &[TopicFilter],
) -> Result<(), UnsubscribeError> {
    let codes = match CellAnswer::new(shared, cell).wait().await {
        Fate::Outcome(Outcome::Unsubscribed { codes, .. }) => codes,
        Fate::Refused(error) | Fate::Outcome(Outcome::Refused(error)) => return Err(error.into()),
        // Nobody has answered: a session that outlives the client may have the subscription still [MQTT-3.10.4-4].
        Fate::Outcome(_) | Fate::Closed | Fate::NotStored(_) => {
            return shared.closed().map_or(Ok(()), |closed| Err(closed.into()));
        }
    };
    let refused: Vec<_> = filters.iter().cloned().zip(codes).filter(|(_, code)| code.is_error()).collect();
    if refused.is_empty() { Ok(()) } else { Err(UnsubscribeError::Refused(refused)) }
}

/// Waits for a cell, and gives it up when it is dropped.
pub(crate) struct CellAnswer<'a> {
    shared: &'a Shared,
    cell: Option<CellId>,
}

impl<'a> CellAnswer<'a> {
    pub(crate) fn new(shared: &'a Shared, cell: CellId) -> Self {
        Self { shared, cell: Some(cell) }
    }

    pub(crate) async fn wait(mut self) -> Fate {
        poll_fn(|cx| {
            let Some(cell) = self.cell else { return Poll::Pending };
            let fate = ready!(self.shared.poll_cell(cell, cx));
            self.cell = None;
            Poll::Ready(fate)
        })
        .await
    }
}

impl Drop for CellAnswer<'_> {
    fn drop(&mut self) {
        if let Some(cell) = self.cell {
            self.shared.forget_cell(cell);
        }
    }
}
