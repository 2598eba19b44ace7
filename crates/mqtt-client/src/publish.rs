//! Publishing, in two stages: accepted, and delivered.

use crate::cells::{CellId, Fate};
use crate::error::PublishError;
use crate::request::{Added, with_added};
use crate::room::Ticket;
use crate::submissions::Shared;
use bytes::Bytes;
use core::pin::Pin;
use core::task::{Context, Poll, ready};
use core::time::Duration;
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
    /// `None` if there is something wrong with it.
    message: Option<Message>,
    rare: Option<Box<Rare>>,
}

/// What few messages have.
#[derive(Debug, Default)]
struct Rare {
    added: Added,
    error: Option<PublishError>,
}

impl<'a> PublishBuilder<'a> {
    #[inline(always)]
    pub(crate) fn new(shared: &'a Arc<Shared>, message: Result<Message, PublishError>) -> Self {
        match message {
            Ok(message) => Self { shared, message: Some(message), rare: None },
            Err(error) => Self::wrong(shared, error),
        }
    }

    #[cold]
    fn wrong(shared: &'a Arc<Shared>, error: PublishError) -> Self {
        let rare = Rare { error: Some(error), ..Rare::default() };
        Self { shared, message: None, rare: Some(Box::new(rare)) }
    }

    /// What shows which request this answers.
    pub(crate) fn correlation(mut self, correlation: Option<Bytes>) -> Self {
        self.added().correlation = correlation;
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

    /// The message is of no use after this time, counted in whole seconds and rounded up, 136 years at most: the message
    /// expiry interval, section 3.3.2.3.3; 5.0 only. One that has waited so long in the queue or in a store is not sent and
    /// completes as [`Outcome::Expired`]; the server is told what is left, and drops it likewise for those who are away.
    /// Among the [`properties`](Self::properties) it must not stand a second time.
    pub fn expiry(mut self, after: Duration) -> Self {
        let seconds = after.as_secs().saturating_add(u64::from(after.subsec_nanos() > 0));
        self.added().expiry = Some(seconds.try_into().unwrap_or(u32::MAX));
        self
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
    #[inline(always)]
    pub fn enqueue(self) -> Enqueue<'a> {
        Enqueue { offer: self, ticket: None, handed_over: None }
    }

    /// Accepts the message if there is room for it right now and nobody waits in line. It does not wait for a
    /// [store](crate::ConnectBuilder::store): what cannot be stored completes as [`Outcome::NotSent`].
    ///
    /// # Errors
    ///
    /// [`PublishError::QueueFull`], and those of [`enqueue`](Self::enqueue).
    pub fn try_enqueue(mut self) -> Result<DeliveryToken, PublishError> {
        self.complete()?;
        let handed_over = self.message.map(|message| self.shared.try_publish(message));
        // Without a message something was wrong with it.
        let cell = handed_over.unwrap_or(Err(PublishError::QueueFull))?;
        Ok(DeliveryToken::new(self.shared, cell))
    }

    fn added(&mut self) -> &mut Added {
        &mut self.rare.get_or_insert_default().added
    }

    #[inline(always)]
    fn with(mut self, set: impl FnOnce(&mut Message)) -> Self {
        if let Some(message) = &mut self.message {
            set(message);
        }
        self
    }

    /// Says what is wrong with the message, or puts into it what belongs there.
    #[inline(always)]
    fn complete(&mut self) -> Result<(), PublishError> {
        match self.rare.take() {
            None => Ok(()),
            Some(rare) => rare.complete(&mut self.message),
        }
    }
}

impl Rare {
    #[cold]
    fn complete(self, message: &mut Option<Message>) -> Result<(), PublishError> {
        self.error.map_or(Ok(()), Err)?;
        *message = message.take().map(|message| with_added(message, &self.added)).transpose()?;
        Ok(())
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
    /// The message, until it is handed over.
    offer: PublishBuilder<'a>,
    /// The place in the line, while it waits.
    ticket: Option<Ticket>,
    /// It is to be stored.
    handed_over: Option<DeliveryToken>,
}

impl Future for Enqueue<'_> {
    type Output = Result<DeliveryToken, PublishError>;

    #[inline(always)]
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let Self { offer, ticket, handed_over } = &mut *self;
        offer.complete()?;
        if offer.message.is_some() {
            // A loop that only publishes must let the driver run.
            let coop = ready!(coop::poll_proceed(cx));
            let cell = ready!(offer.shared.poll_publish(&mut offer.message, ticket, cx));
            coop.made_progress();
            let token = DeliveryToken::new(offer.shared, cell?);
            if !offer.shared.durable {
                return Poll::Ready(Ok(token));
            }
            *handed_over = Some(token);
        }
        poll_stored(handed_over, cx)
    }
}

#[cold]
fn poll_stored(
    handed_over: &mut Option<DeliveryToken>,
    cx: &mut Context<'_>,
) -> Poll<Result<DeliveryToken, PublishError>> {
    let Some(token) = handed_over else { return Poll::Pending };
    let stored = ready!(token.poll_accepted(cx));
    match handed_over.take() {
        Some(token) => Poll::Ready(stored.map(|()| token)),
        None => Poll::Pending,
    }
}

impl Drop for Enqueue<'_> {
    #[inline]
    fn drop(&mut self) {
        if let Some(ticket) = self.ticket {
            self.offer.shared.leave_line(ticket);
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
        // Who waits for one after the other lets the driver run by handing them over.
        let fate = ready!(self.shared.poll_cell(cell, cx));
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
