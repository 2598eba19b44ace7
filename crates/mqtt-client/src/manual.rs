//! The stream of a subscription whose messages are acknowledged by hand.

use crate::ack::AckToken;
use crate::delivery::Delivery;
use crate::error::UnsubscribeError;
use crate::subscription::Subscription;
use core::future::poll_fn;
use core::pin::Pin;
use core::task::{Context, Poll, ready};
use futures_core::Stream;
use mqtt_session::{Message, QoS, ReasonCode, TopicFilter};

/// A stream of the messages of one subscription, each with the token that acknowledges it: a [`Subscription`] in all but
/// that. From [`manual_ack`](crate::SubscribeBuilder::manual_ack).
///
/// Message and token come as a pair, so that the compiler tells of a token that is never used.
///
/// ```
/// # use mqtt_client::{Client, QoS, SubscribeError};
/// # async fn save(_: &mqtt_client::Message) {}
/// # async fn example(client: Client) -> Result<(), SubscribeError> {
/// let mut orders = client.subscribe("orders/#").qos(QoS::AtLeastOnce).manual_ack().await?;
/// while let Some((message, token)) = orders.next().await {
///     save(&message).await;
///     token.ack();
/// }
/// # Ok(())
/// # }
/// ```
///
/// What was taken and not acknowledged when the connection breaks comes again at QoS 1, on a resumed session. Those that
/// lack an acknowledgement are bounded by [`receive_maximum`](crate::ConnectBuilder::receive_maximum) in 5.0 and by the
/// server before.
///
/// Dropping the stream unsubscribes, and acknowledges what was not taken from it, as with a [`Subscription`]; tokens that
/// were taken keep their right.
#[derive(Debug)]
pub struct ManualSubscription {
    inner: Subscription,
}

impl ManualSubscription {
    pub(crate) fn new(inner: Subscription) -> Self {
        Self { inner }
    }

    /// The next message and its token; `None` when the stream has ended.
    ///
    /// Dropping the future loses no message.
    pub async fn next(&mut self) -> Option<(Message, AckToken)> {
        poll_fn(|cx| Pin::new(&mut *self).poll_next(cx)).await
    }

    /// See [`Subscription::granted_qos`].
    pub fn granted_qos(&self) -> Option<QoS> {
        self.inner.granted_qos()
    }

    /// See [`Subscription::results`].
    pub fn results(&self) -> &[(TopicFilter, ReasonCode)] {
        self.inner.results()
    }

    /// See [`Subscription::dropped`].
    pub fn dropped(&self) -> u64 {
        self.inner.dropped()
    }

    /// Ends the subscription, see [`Subscription::unsubscribe`]. Tokens keep their right.
    ///
    /// Dropping the future changes nothing: the filters are unsubscribed.
    ///
    /// # Errors
    ///
    /// The server refused, or the client has ended.
    pub async fn unsubscribe(self) -> Result<(), UnsubscribeError> {
        self.inner.unsubscribe().await
    }

    /// Ends the stream, and leaves the filters with the server, see [`Subscription::detach`].
    pub fn detach(self) {
        self.inner.detach();
    }
}

impl Stream for ManualSubscription {
    type Item = (Message, AckToken);

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let delivery = ready!(self.inner.poll_delivery(cx));
        let shared = &self.inner.alive.shared;
        Poll::Ready(delivery.map(|Delivery { message, ack }| (message, AckToken::new(ack, shared))))
    }
}
