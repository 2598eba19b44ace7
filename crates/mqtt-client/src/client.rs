//! The handle.

use crate::connection::{Alive, Events, Status, StatusWatch};
use crate::error::{
    AuthenticationError, Closed, DisconnectError, PublishError, RequestError, SubscribeError,
    UnsubscribeError,
};
use crate::publish::{PublishBuilder, message};
use crate::request::{RequestBuilder, response};
use crate::submissions::{Command, Handle, Shared, Stop};
use crate::subscribe::{OnMessage, SubscribeBuilder};
use crate::subscription::{Subscription, unsubscribed};
use bytes::Bytes;
use core::future::poll_fn;
use core::time::Duration;
use mqtt_session::{
    Disconnect, Message, PropertiesBuf, QoS, ReasonCode, SubscriptionOptions, TopicFilter, TopicName,
};
use std::sync::Arc;
use tokio::sync::{oneshot, watch};
use tokio::time::timeout;

/// A client of one server: a cheap clone, usable from any task.
///
/// A task of its own keeps the connection: pings are sent, acknowledgements returned and lost connections dialled again
/// whether or not anybody polls anything. It ends when it is told to ([`disconnect`](Self::disconnect),
/// [`abort`](Self::abort)), when it gives up ([`ReconnectPolicy`](crate::ReconnectPolicy)), or when the last `Client`
/// and [`Subscription`] are dropped. In that last case it still sends what was accepted, as far as the server's window
/// lets it, and says goodbye; to be sure of deliveries, [`drain`](Self::drain) first.
#[derive(Clone, Debug)]
pub struct Client {
    alive: Alive,
    status: watch::Receiver<Status>,
}

impl Client {
    pub(crate) fn new(shared: Arc<Shared>, status: watch::Receiver<Status>) -> Self {
        Self { alive: Arc::new(Handle { shared }), status }
    }

    /// A message to publish: await it for its delivery, or [`enqueue`](PublishBuilder::enqueue) it.
    ///
    /// The topic is a `&str`, a `String` or a [`TopicName`] that was checked before; the payload anything that becomes
    /// [`Bytes`] without a copy: `&'static str`, `&'static [u8]`, `String`, `Vec<u8>`, `Bytes`.
    pub fn publish<T>(&self, topic: T, payload: impl Into<Bytes>) -> PublishBuilder<'_>
    where
        T: TryInto<TopicName>,
        PublishError: From<T::Error>,
    {
        PublishBuilder::new(&self.alive.shared, message(topic, payload))
    }

    /// A request that is answered, section 4.10; 5.0 only: await it for the answer. Topic and payload are as for
    /// [`publish`](Self::publish).
    ///
    /// ```no_run
    /// # async fn example(client: mqtt_client::Client) -> Result<(), mqtt_client::RequestError> {
    /// let answer = client.request("oven/ask", "temperature").await?;
    /// println!("{}", String::from_utf8_lossy(answer.payload()));
    /// # Ok(())
    /// # }
    /// ```
    pub fn request<T>(&self, topic: T, payload: impl Into<Bytes>) -> RequestBuilder<'_>
    where
        T: TryInto<TopicName>,
        PublishError: From<T::Error>,
    {
        RequestBuilder::new(self, message(topic, payload))
    }

    /// The answer to a request that was received: a message to its response topic, with its correlation data, at its QoS
    /// unless another one is set. Await it for its delivery, or [`enqueue`](PublishBuilder::enqueue) it. A message that
    /// is no request is [`PublishError::NoResponseTopic`].
    ///
    /// ```no_run
    /// # async fn example(client: mqtt_client::Client) -> Result<(), Box<dyn std::error::Error>> {
    /// let mut questions = client.subscribe("oven/ask").await?;
    /// while let Some(question) = questions.next().await {
    ///     client.respond(&question, "180").await?;
    /// }
    /// # Ok(())
    /// # }
    /// ```
    pub fn respond(&self, request: &Message, payload: impl Into<Bytes>) -> PublishBuilder<'_> {
        let correlation = request.properties.view().correlation_data().map(Bytes::copy_from_slice);
        PublishBuilder::new(&self.alive.shared, response(request, payload.into())).correlation(correlation)
    }

    /// A subscription to one topic filter, a `&str`, a `String` or a checked [`TopicFilter`]: await it.
    pub fn subscribe<F>(&self, filter: F) -> SubscribeBuilder<'_>
    where
        F: TryInto<TopicFilter>,
        SubscribeError: From<F::Error>,
    {
        self.subscribe_all([(filter, QoS::AtMostOnce)])
    }

    /// One subscription to several topic filters, each with its QoS or [`SubscriptionOptions`], asked for at once:
    /// await it. It fails if the server refuses all of them, see [`Subscription::results`].
    pub fn subscribe_all<F, O>(&self, filters: impl IntoIterator<Item = (F, O)>) -> SubscribeBuilder<'_>
    where
        F: TryInto<TopicFilter>,
        SubscribeError: From<F::Error>,
        O: Into<SubscriptionOptions>,
    {
        let checked = filters.into_iter().map(|(filter, options)| Ok((filter.try_into()?, options.into())));
        SubscribeBuilder::new(&self.alive, checked.collect())
    }

    /// A subscription to one topic filter whose messages go to a closure, one after the other: await it, and keep the
    /// [`MessageHandler`](crate::MessageHandler) for as long as it shall last. The options are those of
    /// [`subscribe`](Self::subscribe); for several filters see
    /// [`SubscribeBuilder::on_message`](crate::SubscribeBuilder::on_message).
    ///
    /// ```
    /// # async fn example(client: mqtt_client::Client) -> Result<(), mqtt_client::SubscribeError> {
    /// let answering = client.clone();
    /// let handler = client
    ///     .on_message("lamp/ask", move |question| {
    ///         let client = answering.clone();
    ///         async move {
    ///             _ = client.publish("lamp/answer", question.payload).await;
    ///         }
    ///     })
    ///     .await?;
    /// # drop(handler);
    /// # Ok(())
    /// # }
    /// ```
    pub fn on_message<T, F, Fut>(&self, filter: T, handler: F) -> SubscribeBuilder<'_, OnMessage<F>>
    where
        T: TryInto<TopicFilter>,
        SubscribeError: From<T::Error>,
        F: FnMut(Message) -> Fut + Send + 'static,
        Fut: Future<Output = ()> + Send + 'static,
    {
        self.subscribe(filter).on_message(handler)
    }

    /// Unsubscribes these filters, whoever holds them, and waits for the server's answer. A [`Subscription`] without any
    /// other filter ends. This also ends what an earlier run of the program has subscribed in a session that was
    /// resumed.
    ///
    /// Dropping the future after it was polled changes nothing: the filters are unsubscribed.
    ///
    /// # Errors
    ///
    /// A filter is none, the server refused, or the client has ended.
    pub async fn unsubscribe<F>(&self, filters: impl IntoIterator<Item = F>) -> Result<(), UnsubscribeError>
    where
        F: TryInto<TopicFilter>,
        UnsubscribeError: From<F::Error>,
    {
        self.unsubscribe_with(filters, PropertiesBuf::new()).await
    }

    /// [`unsubscribe`](Self::unsubscribe) with properties, section 3.10.2.1; 5.0 only.
    ///
    /// Dropping the future after it was polled changes nothing: the filters are unsubscribed.
    ///
    /// # Errors
    ///
    /// As [`unsubscribe`](Self::unsubscribe), or a property cannot be sent.
    pub async fn unsubscribe_with<F>(
        &self,
        filters: impl IntoIterator<Item = F>,
        properties: PropertiesBuf,
    ) -> Result<(), UnsubscribeError>
    where
        F: TryInto<TopicFilter>,
        UnsubscribeError: From<F::Error>,
    {
        let filters = filters.into_iter().map(TryInto::try_into).collect::<Result<Vec<_>, _>>()?;
        if filters.is_empty() {
            return Err(UnsubscribeError::NoFilter);
        }
        let names = filters.clone();
        let shared = &self.alive.shared;
        let cell = shared.submit(|cell| Command::Unsubscribe(filters, properties, cell))?;
        unsubscribed(shared, cell, &names).await
    }

    /// A stream of the messages that no subscription takes: those of filters that an earlier run of the program has
    /// subscribed in a session that was resumed, or that were [detached](Subscription::detach). Without one they are
    /// acknowledged, dropped and [counted](Status::unclaimed); after the first connection, if it resumed a session,
    /// they are kept for ten seconds.
    pub fn unmatched(&self) -> Subscription {
        Subscription::unmatched(&self.alive)
    }

    /// How things stand.
    pub fn status(&self) -> Status {
        let queued = self.alive.shared.queued();
        let gauges = self.alive.shared.gauges();
        Status {
            queued: queued.messages,
            queued_bytes: queued.bytes,
            open: self.alive.shared.left(),
            in_flight: gauges.in_flight,
            ping_round_trip: gauges.ping_round_trip,
            ack_latency: gauges.ack_latency,
            ..self.status.borrow().clone()
        }
    }

    /// Shows each change of state.
    pub fn watch(&self) -> StatusWatch {
        StatusWatch { changes: self.status.clone() }
    }

    /// What happens to the connection. The first stream has its events from the beginning, later ones from now on.
    pub fn events(&self) -> Events {
        Events { queue: self.alive.shared.listen() }
    }

    /// Authenticates the client again while everything else goes on, section 4.12.1, for one because its credentials
    /// are about to expire; 5.0 only. It needs an [`authenticator`](crate::ConnectBuilder::authenticator), of which a
    /// new one is made, and returns when the server has accepted and the authenticator is content with it.
    ///
    /// There is no deadline but that of the connection. Dropping the future after it was polled changes nothing: the
    /// re-authentication goes on.
    ///
    /// # Errors
    ///
    /// It could not be begun, or it ended the connection: a server that refuses disconnects, and so does the client if
    /// the authenticator will not go on. If the client does not try again after that, the error says so too.
    pub async fn reauthenticate(&self) -> Result<(), AuthenticationError> {
        let (waiting, outcome) = oneshot::channel();
        self.alive.shared.tell(Command::Reauthenticate(waiting));
        match outcome.await {
            Ok(outcome) => outcome,
            Err(_) => Err(self.alive.shared.closed().unwrap_or(Closed::TaskEnded).into()),
        }
    }

    /// Ends the client: sends what was accepted, as far as the server's window lets it, then DISCONNECT, and closes the
    /// connection. It does not wait for acknowledgements, see [`drain`](Self::drain); what lacks one completes as
    /// [`Outcome::Unknown`](crate::Outcome::Unknown), what was not sent as
    /// [`Outcome::NotSent`](crate::Outcome::NotSent). Every call after it fails. Streams end once they are read.
    ///
    /// Dropping the future after it was polled changes nothing: the client ends.
    ///
    /// # Errors
    ///
    /// The client had already ended otherwise.
    pub async fn disconnect(&self) -> Result<(), DisconnectError> {
        self.disconnect_with(ReasonCode::NORMAL_DISCONNECTION, PropertiesBuf::new()).await
    }

    /// [`disconnect`](Self::disconnect) with a reason, as [`ReasonCode::DISCONNECT_WITH_WILL_MESSAGE`], and properties,
    /// section 3.14.2; 5.0 only. Dropping the future after it was polled changes nothing.
    ///
    /// # Errors
    ///
    /// The reason or a property cannot be sent, in which case the goodbye was a plain one; or the client had already
    /// ended otherwise.
    pub async fn disconnect_with(
        &self,
        reason: ReasonCode,
        properties: PropertiesBuf,
    ) -> Result<(), DisconnectError> {
        self.alive.shared.stop(Stop::Disconnect(Disconnect { reason, properties }));
        match self.closed().await {
            Closed::Disconnected => match self.alive.shared.goodbye_refused() {
                Some(refused) => Err(refused.into()),
                None => Ok(()),
            },
            closed => Err(closed.into()),
        }
    }

    /// Waits until every message that was accepted is delivered and every request answered, but not longer than `limit`.
    /// Returns how many were left. New ones can still be accepted, and are waited for too.
    ///
    /// Dropping the future changes nothing.
    pub async fn drain(&self, limit: Duration) -> usize {
        let shared = &self.alive.shared;
        timeout(limit, poll_fn(|cx| shared.poll_drained(cx))).await.unwrap_or_else(|_| shared.left())
    }

    /// Ends the client at once and cuts the connection without a goodbye: the server publishes the will.
    pub fn abort(&self) {
        self.alive.shared.stop(Stop::Abort);
    }

    pub(crate) fn shared(&self) -> &Arc<Shared> {
        &self.alive.shared
    }

    /// That the client has ended, if so; otherwise what else there is to say.
    pub(crate) fn ended_or(&self, error: RequestError) -> RequestError {
        self.alive.shared.closed().map_or(error, RequestError::Closed)
    }

    /// Waits until the client has ended, and says why.
    ///
    /// Dropping the future changes nothing.
    pub async fn closed(&self) -> Closed {
        let mut changes = self.status.clone();
        // The channel closes when the task is gone.
        while changes.changed().await.is_ok() {}
        self.alive.shared.closed().unwrap_or(Closed::TaskEnded)
    }
}
