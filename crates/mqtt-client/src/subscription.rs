//! Subscribing, and the stream of a subscription's messages.

use crate::cells::{CellId, Fate};
use crate::connection::Alive;
use crate::delivery::{HolderId, Inbox};
use crate::error::{SubscribeError, UnsubscribeError};
use crate::submissions::{Command, Shared, Subscribe};
use core::future::poll_fn;
use core::pin::Pin;
use core::task::{Context, Poll, ready};
use futures_core::Stream;
use mqtt_session::{Message, Outcome, PropertiesBuf, QoS, ReasonCode, SubscriptionOptions, TopicFilter};
use mqtt_transport::BoxFuture;
use std::sync::Arc;
use tokio::task::coop;

/// A subscription that is being put together, from [`Client::subscribe`](crate::Client::subscribe) or
/// [`Client::subscribe_all`](crate::Client::subscribe_all).
///
/// Awaiting it asks the server and waits for the answer. The stream takes messages from the moment of asking, so that
/// not even a retained one that comes before the answer is missed.
///
/// Dropping the future before it is ready unsubscribes again.
#[derive(Debug)]
#[must_use = "nothing is subscribed before it is awaited"]
pub struct SubscribeBuilder<'a> {
    alive: &'a Alive,
    filters: Result<Vec<(TopicFilter, SubscriptionOptions)>, SubscribeError>,
    properties: PropertiesBuf,
    capacity: usize,
}

impl<'a> SubscribeBuilder<'a> {
    pub(crate) fn new(
        alive: &'a Alive,
        filters: Result<Vec<(TopicFilter, SubscriptionOptions)>, SubscribeError>,
    ) -> Self {
        Self { alive, filters, properties: PropertiesBuf::new(), capacity: Subscription::CAPACITY }
    }

    /// The highest QoS at which the server shall send, for all filters; 0 if it is not set. It may grant less, see
    /// [`Subscription::granted_qos`].
    pub fn qos(mut self, qos: QoS) -> Self {
        for (_, options) in self.filters.iter_mut().flatten() {
            options.qos = qos;
        }
        self
    }

    /// The options for all filters, section 3.8.3.1. Those beside the QoS need 5.0.
    pub fn options(mut self, new: SubscriptionOptions) -> Self {
        for (_, options) in self.filters.iter_mut().flatten() {
            *options = new;
        }
        self
    }

    /// Properties of SUBSCRIBE, section 3.8.2.1; 5.0 only. The client gives subscription identifiers of its own; one
    /// that stands here takes the place of that, and must then be used for nothing else.
    pub fn properties(mut self, properties: PropertiesBuf) -> Self {
        self.properties = properties;
        self
    }

    /// How many messages wait in the stream before the client stops reading from the network, see [`Subscription`].
    /// 1,024 if it is not set.
    pub fn capacity(mut self, messages: usize) -> Self {
        self.capacity = messages;
        self
    }
}

impl<'a> IntoFuture for SubscribeBuilder<'a> {
    type Output = Result<Subscription, SubscribeError>;
    type IntoFuture = BoxFuture<'a, Self::Output>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(subscribe(self))
    }
}

async fn subscribe(builder: SubscribeBuilder<'_>) -> Result<Subscription, SubscribeError> {
    let SubscribeBuilder { alive, filters, properties, capacity } = builder;
    let filters = filters?;
    if filters.is_empty() {
        return Err(SubscribeError::NoFilter);
    }
    let names: Vec<TopicFilter> = filters.iter().map(|(filter, _)| filter.clone()).collect();
    // From here on dropping this future drops the subscription, which unsubscribes.
    let mut subscription = Subscription::new(alive, capacity);
    let (holder, inbox) = (subscription.holder, subscription.inbox.clone());
    let cell = alive.shared.submit(|cell| {
        Command::Subscribe(Box::new(Subscribe { filters, properties, holder, inbox, cell }))
    })?;
    let codes = match Answer::new(&alive.shared, cell).wait().await {
        Fate::Outcome(Outcome::Subscribed { codes, .. }) => codes,
        Fate::Refused(error) | Fate::Outcome(Outcome::Refused(error)) => return Err(error.into()),
        Fate::Outcome(_) | Fate::Closed => {
            return Err(alive.shared.closed().map_or(SubscribeError::SessionLost, SubscribeError::Closed));
        }
    };
    subscription.results = names.into_iter().zip(codes).collect();
    if subscription.results.iter().all(|(_, code)| code.is_error()) {
        return Err(SubscribeError::Refused(core::mem::take(&mut subscription.results)));
    }
    Ok(subscription)
}

/// A stream of the messages of one subscription.
///
/// Taking a message from the stream acknowledges it. What the application has not taken is not acknowledged: the server
/// sends it again when the session is resumed.
///
/// While the queue of a stream is full (see [`SubscribeBuilder::capacity`]), the client reads nothing from the network,
/// and so nothing is lost; pings, acknowledgements and publishes go on. There is one exception. While a publish or
/// another request waits for its answer, reading must go on, or a task that publishes between two messages would wait
/// for ever. Messages of QoS 1 and 2 are then still kept: their number is bounded by what the server sends without
/// acknowledgement, see [`receive_maximum`](crate::ConnectBuilder::receive_maximum). Messages of QoS 0 are dropped once
/// the queue holds twice its capacity, and [counted](Self::dropped).
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
    alive: Alive,
    holder: HolderId,
    inbox: Arc<Inbox>,
    results: Vec<(TopicFilter, ReasonCode)>,
    /// The driver does not know it any more.
    left: bool,
}

impl Subscription {
    const CAPACITY: usize = 1024;

    fn new(alive: &Alive, capacity: usize) -> Self {
        Self {
            alive: alive.clone(),
            holder: alive.shared.new_holder(),
            inbox: Arc::new(Inbox::new(capacity)),
            results: Vec::new(),
            left: false,
        }
    }

    pub(crate) fn unmatched(alive: &Alive) -> Self {
        let unmatched = Self::new(alive, Self::CAPACITY);
        alive.shared.tell(Command::Unmatched(unmatched.holder, unmatched.inbox.clone()));
        unmatched
    }

    /// Leaves the queue to whoever empties it. The filters stay subscribed.
    pub(crate) fn into_inbox(mut self) -> Arc<Inbox> {
        self.left = true;
        self.inbox.clone()
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

    /// QoS 0 messages that were dropped, see [`Subscription`].
    pub fn dropped(&self) -> u64 {
        self.inbox.dropped()
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
        self.left = true;
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
        self.left = true;
        self.alive.shared.tell(Command::Detach(self.holder));
    }
}

impl Stream for Subscription {
    type Item = Message;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Message>> {
        let coop = ready!(coop::poll_proceed(cx));
        let taken = ready!(self.inbox.poll_take(cx));
        coop.made_progress();
        Poll::Ready(taken.map(|taken| {
            let ack = taken.item.ack.and_then(|ack| ack.take());
            self.alive.shared.message_taken(ack, taken.reopened);
            taken.item.message
        }))
    }
}

impl Drop for Subscription {
    fn drop(&mut self) {
        // The last handle ends the client, and with it the connection; the session may be wanted as it is.
        if !self.left && Arc::strong_count(&self.alive) > 1 {
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
    let codes = match Answer::new(shared, cell).wait().await {
        Fate::Outcome(Outcome::Unsubscribed { codes, .. }) => codes,
        Fate::Refused(error) | Fate::Outcome(Outcome::Refused(error)) => return Err(error.into()),
        // Nobody has answered: a session that outlives the client may have the subscription still [MQTT-3.10.4-4].
        Fate::Outcome(_) | Fate::Closed => {
            return shared.closed().map_or(Ok(()), |closed| Err(closed.into()));
        }
    };
    let refused: Vec<_> = filters.iter().cloned().zip(codes).filter(|(_, code)| code.is_error()).collect();
    if refused.is_empty() { Ok(()) } else { Err(UnsubscribeError::Refused(refused)) }
}

/// Waits for a cell, and gives it up when it is dropped.
struct Answer<'a> {
    shared: &'a Shared,
    cell: Option<CellId>,
}

impl<'a> Answer<'a> {
    fn new(shared: &'a Shared, cell: CellId) -> Self {
        Self { shared, cell: Some(cell) }
    }

    async fn wait(mut self) -> Fate {
        poll_fn(|cx| {
            let Some(cell) = self.cell else { return Poll::Pending };
            let fate = ready!(self.shared.poll_cell(cell, cx));
            self.cell = None;
            Poll::Ready(fate)
        })
        .await
    }
}

impl Drop for Answer<'_> {
    fn drop(&mut self) {
        if let Some(cell) = self.cell {
            self.shared.forget_cell(cell);
        }
    }
}
