//! Publishing, in two stages: accepted, and delivered.

use crate::cells::{CellId, Fate};
use crate::error::PublishError;
use crate::request::with_correlation;
use crate::room::Ticket;
use crate::submissions::Shared;
use bytes::Bytes;
use core::pin::Pin;
use core::task::{Context, Poll, ready};
use mqtt_session::{Message, Outcome, PropertiesBuf, QoS, TopicName};
use std::sync::Arc;
use tokio::task::coop;

/// A message that is being put together, from [`Client::publish`](crate::Client::publish).
///
/// Awaiting it publishes and waits until the message is delivered: at QoS 0 written to the transport, at QoS 1 and 2
/// acknowledged. [`enqueue`](Self::enqueue) waits only until the message is accepted.
///
/// Dropping the future of an awaited builder before the message was accepted means that it is not sent; afterwards it
/// is sent all the same, and only its outcome is lost.
#[derive(Debug)]
#[must_use = "nothing is published before it is awaited or enqueued"]
pub struct PublishBuilder<'a> {
    shared: &'a Arc<Shared>,
    message: Result<Message, PublishError>,
    /// What shows which request this answers.
    correlation: Option<Bytes>,
}

impl<'a> PublishBuilder<'a> {
    pub(crate) fn new(shared: &'a Arc<Shared>, message: Result<Message, PublishError>) -> Self {
        Self { shared, message, correlation: None }
    }

    pub(crate) fn correlation(mut self, correlation: Option<Bytes>) -> Self {
        self.correlation = correlation;
        self
    }

    /// The quality of service; 0 if it is not set.
    pub fn qos(self, qos: QoS) -> Self {
        self.with(|message| message.qos = qos)
    }

    /// The server keeps the message for later subscribers, in the place of one that it had for this topic. An empty
    /// payload only deletes that one.
    pub fn retain(self) -> Self {
        self.with(|message| message.retain = true)
    }

    /// Properties, section 3.3.2.3; 5.0 only. Any but topic alias and subscription identifier, which are not for the
    /// application to choose.
    pub fn properties(self, properties: PropertiesBuf) -> Self {
        self.with(|message| message.properties = properties)
    }

    /// Waits until the message is accepted: there is room for it in the queue, whether there is a connection or not.
    /// Those who wait are served in the order of their coming.
    ///
    /// With a [store](crate::ConnectBuilder::store) it is accepted once it is stored, as safely as that store promises.
    ///
    /// Dropping the future before it is ready means that the message is not sent; with a store it may be, once there was
    /// room for it.
    ///
    /// # Errors
    ///
    /// The topic is not usable, the message breaks a rule or a known limit of the server, it cannot be stored, or the
    /// client has ended.
    pub fn enqueue(self) -> Enqueue<'a> {
        let shared = self.shared;
        let (message, error) = match self.message() {
            Ok(message) => (Some(message), None),
            Err(error) => (None, Some(error)),
        };
        Enqueue { shared, message, error, ticket: None, token: None }
    }

    /// Accepts the message if there is room for it right now and nobody waits in line. It does not wait for a
    /// [store](crate::ConnectBuilder::store): what cannot be stored completes as [`Outcome::NotSent`].
    ///
    /// # Errors
    ///
    /// [`PublishError::QueueFull`], and those of [`enqueue`](Self::enqueue).
    pub fn try_enqueue(self) -> Result<DeliveryToken, PublishError> {
        let shared = self.shared;
        let cell = shared.try_publish(self.message()?)?;
        Ok(DeliveryToken::new(shared, cell))
    }

    fn message(self) -> Result<Message, PublishError> {
        let mut message = self.message?;
        if let Some(correlation) = self.correlation {
            message.properties = with_correlation(&message.properties, &correlation)?;
        }
        Ok(message)
    }

    fn with(mut self, set: impl FnOnce(&mut Message)) -> Self {
        if let Ok(message) = &mut self.message {
            set(message);
        }
        self
    }
}

impl<'a> IntoFuture for PublishBuilder<'a> {
    type Output = Result<Outcome, PublishError>;
    type IntoFuture = Publish<'a>;

    fn into_future(self) -> Publish<'a> {
        Publish { stage: Stage::Enqueue(self.enqueue()) }
    }
}

/// Waits until a message is accepted, see [`PublishBuilder::enqueue`].
#[derive(Debug)]
#[must_use = "nothing is published before it is awaited"]
pub struct Enqueue<'a> {
    shared: &'a Arc<Shared>,
    /// Until it is accepted.
    message: Option<Message>,
    error: Option<PublishError>,
    /// The place in the line, while it waits.
    ticket: Option<Ticket>,
    /// It was handed over, and is to be stored.
    token: Option<DeliveryToken>,
}

impl Future for Enqueue<'_> {
    type Output = Result<DeliveryToken, PublishError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        if let Some(error) = this.error.take() {
            return Poll::Ready(Err(error));
        }
        // A loop that only publishes must let the driver run.
        let coop = ready!(coop::poll_proceed(cx));
        let token = match this.token.take() {
            Some(token) => token,
            None => {
                let cell = ready!(this.shared.poll_publish(&mut this.message, &mut this.ticket, cx))?;
                DeliveryToken::new(this.shared, cell)
            }
        };
        coop.made_progress();
        if this.shared.durable && token.poll_accepted(cx)?.is_pending() {
            this.token = Some(token);
            return Poll::Pending;
        }
        Poll::Ready(Ok(token))
    }
}

impl Drop for Enqueue<'_> {
    fn drop(&mut self) {
        if let Some(ticket) = self.ticket {
            self.shared.leave_line(ticket);
        }
    }
}

/// Waits until a message is delivered, see [`PublishBuilder`].
#[derive(Debug)]
#[must_use = "nothing is published before it is awaited"]
pub struct Publish<'a> {
    stage: Stage<'a>,
}

#[derive(Debug)]
enum Stage<'a> {
    Enqueue(Enqueue<'a>),
    Deliver(DeliveryToken),
}

impl Future for Publish<'_> {
    type Output = Result<Outcome, PublishError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        if let Stage::Enqueue(enqueue) = &mut self.stage {
            let token = ready!(Pin::new(enqueue).poll(cx))?;
            self.stage = Stage::Deliver(token);
        }
        let Stage::Deliver(token) = &mut self.stage else { return Poll::Pending };
        Poll::Ready(match ready!(Pin::new(token).poll(cx)) {
            Outcome::Refused(error) => Err(PublishError::Refused(error)),
            outcome => Ok(outcome),
        })
    }
}

/// The fate of a message that was accepted: a future of its [`Outcome`].
///
/// The message is sent whether the token is awaited or not; dropping the token cancels nothing.
#[derive(Debug)]
#[must_use = "await it to learn what became of the message, or drop it"]
pub struct DeliveryToken {
    shared: Arc<Shared>,
    /// `None` once the outcome was given.
    cell: Option<CellId>,
}

impl DeliveryToken {
    fn new(shared: &Arc<Shared>, cell: CellId) -> Self {
        Self { shared: shared.clone(), cell: Some(cell) }
    }

    /// Ready when it is stored, or will not be.
    fn poll_accepted(&self, cx: &mut Context<'_>) -> Poll<Result<(), PublishError>> {
        match self.cell {
            Some(cell) => self.shared.poll_accepted(cell, cx),
            None => Poll::Ready(Ok(())),
        }
    }
}

impl Future for DeliveryToken {
    type Output = Outcome;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Outcome> {
        let Some(cell) = self.cell else { return Poll::Pending };
        let coop = ready!(coop::poll_proceed(cx));
        let fate = ready!(self.shared.poll_cell(cell, cx));
        coop.made_progress();
        self.cell = None;
        Poll::Ready(match fate {
            Fate::Outcome(outcome) => outcome,
            Fate::Refused(error) => Outcome::Refused(error),
            Fate::Closed | Fate::NotStored(_) => Outcome::NotSent,
        })
    }
}

impl Drop for DeliveryToken {
    fn drop(&mut self) {
        if let Some(cell) = self.cell {
            self.shared.forget_cell(cell);
        }
    }
}

/// A message to publish, if its topic is one.
pub(crate) fn message<T>(topic: T, payload: impl Into<Bytes>) -> Result<Message, PublishError>
where
    T: TryInto<TopicName>,
    PublishError: From<T::Error>,
{
    Ok(Message::new(topic.try_into()?, payload.into()))
}
