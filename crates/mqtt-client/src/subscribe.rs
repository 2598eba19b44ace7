//! Subscribing: the options, and the form in which the messages are received.

use crate::cells::Fate;
use crate::connection::Alive;
use crate::delivery::Inbox;
use crate::error::SubscribeError;
use crate::handler::MessageHandler;
use crate::manual::ManualSubscription;
use crate::queue::QueuePolicy;
use crate::submissions::{Command, Subscribe};
use crate::subscription::{CellAnswer, Subscription};
use mqtt_session::{Message, Outcome, PropertiesBuf, QoS, SubscriptionOptions, TopicFilter};
use mqtt_transport::BoxFuture;
use tokio::runtime::Handle as Runtime;

/// A subscription that is being put together, from [`Client::subscribe`](crate::Client::subscribe) or
/// [`Client::subscribe_all`](crate::Client::subscribe_all).
///
/// Awaiting it asks the server and waits for the answer. The stream takes messages from the moment of asking, so that
/// not even a retained one that comes before the answer is missed. `R` is the form in which the messages are received:
/// a [`Subscription`] ([`AckWhenTaken`]), a [`ManualSubscription`] ([`AckByHand`]) or a [`MessageHandler`]
/// ([`OnMessage`]).
///
/// Dropping the future before it is ready unsubscribes again.
#[derive(Debug)]
#[must_use = "nothing is subscribed before it is awaited"]
pub struct SubscribeBuilder<'a, R = AckWhenTaken> {
    alive: &'a Alive,
    filters: Result<Vec<(TopicFilter, SubscriptionOptions)>, SubscribeError>,
    properties: PropertiesBuf,
    capacity: usize,
    policy: QueuePolicy,
    immediate: bool,
    form: R,
}

/// The form of a [`Subscription`]: messages are acknowledged when they are taken, or before.
#[derive(Clone, Copy, Debug)]
pub struct AckWhenTaken;

/// The form of a [`ManualSubscription`]: messages are acknowledged by hand.
#[derive(Clone, Copy, Debug)]
pub struct AckByHand;

/// The form of a [`MessageHandler`]: messages go to a closure.
#[derive(Clone, Copy, Debug)]
pub struct OnMessage<F>(F);

impl<'a> SubscribeBuilder<'a> {
    pub(crate) fn new(
        alive: &'a Alive,
        filters: Result<Vec<(TopicFilter, SubscriptionOptions)>, SubscribeError>,
    ) -> Self {
        Self {
            alive,
            filters,
            properties: PropertiesBuf::new(),
            capacity: Subscription::CAPACITY,
            policy: QueuePolicy::Wait,
            immediate: false,
            form: AckWhenTaken,
        }
    }

    /// Messages are acknowledged by hand, each with an [`AckToken`](crate::AckToken) that comes with it: awaiting the
    /// builder gives a [`ManualSubscription`].
    pub fn manual_ack(self) -> SubscribeBuilder<'a, AckByHand> {
        let Self { alive, filters, properties, capacity, policy, .. } = self;
        SubscribeBuilder { alive, filters, properties, capacity, policy, immediate: false, form: AckByHand }
    }

    /// Messages go to a closure, one after the other: awaiting the builder gives a [`MessageHandler`], where its task and
    /// its end are described.
    pub fn on_message<F, Fut>(self, handler: F) -> SubscribeBuilder<'a, OnMessage<F>>
    where
        F: FnMut(Message) -> Fut + Send + 'static,
        Fut: Future<Output = ()> + Send + 'static,
    {
        let Self { alive, filters, properties, capacity, policy, immediate, .. } = self;
        let form = OnMessage(handler);
        SubscribeBuilder { alive, filters, properties, capacity, policy, immediate, form }
    }

    /// Messages are acknowledged as soon as they are in the queue, not only when they are taken: a slow application does
    /// not hold back the acknowledgements of others, and loses what is in the queue when the program ends. What comes
    /// while the queue is full is acknowledged when it is taken, so that the server's window still bounds it.
    ///
    /// It cannot be combined with [`QueuePolicy::DropOldest`] and [`QueuePolicy::KeepLatest`], which would drop what was
    /// acknowledged.
    pub fn immediate_ack(mut self) -> Self {
        self.immediate = true;
        self
    }
}

impl<F> SubscribeBuilder<'_, OnMessage<F>> {
    /// Messages are acknowledged as soon as they are in the queue, see
    /// [`immediate_ack`](SubscribeBuilder::<AckWhenTaken>::immediate_ack).
    pub fn immediate_ack(mut self) -> Self {
        self.immediate = true;
        self
    }
}

impl<R> SubscribeBuilder<'_, R> {
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

    /// Properties of SUBSCRIBE, section 3.8.2.1; 5.0 only.
    ///
    /// The client gives each subscription an identifier, if the server takes them, and sorts what comes by it. One that
    /// stands here takes the place of that. From 134,217,728 on it is never one that the client gives; where
    /// subscriptions do share one, their filters decide.
    pub fn properties(mut self, properties: PropertiesBuf) -> Self {
        self.properties = properties;
        self
    }

    /// How many messages wait in the stream before it is full, see [`when_full`](Self::when_full). 1,024 if it is not
    /// set, 1 at least.
    pub fn capacity(mut self, messages: usize) -> Self {
        self.capacity = messages;
        self
    }

    /// What happens when the stream is full; [`QueuePolicy::Wait`] if it is not set.
    pub fn when_full(mut self, policy: QueuePolicy) -> Self {
        self.policy = policy;
        self
    }

    /// Asks the server. What it becomes beside the subscription is for the caller.
    pub(crate) async fn ask(self) -> Result<(Subscription, R), SubscribeError> {
        let Self { alive, filters, properties, capacity, policy, immediate, form } = self;
        let filters = filters?;
        if filters.is_empty() {
            return Err(SubscribeError::NoFilter);
        }
        if immediate && matches!(policy, QueuePolicy::DropOldest | QueuePolicy::KeepLatest) {
            return Err(SubscribeError::WouldDropAcknowledged(policy));
        }
        let names: Vec<TopicFilter> = filters.iter().map(|(filter, _)| filter.clone()).collect();
        // From here on dropping this future drops the subscription, which unsubscribes.
        let mut subscription = Subscription::new(alive, Inbox::new(capacity, policy, immediate));
        let (holder, inbox) = (subscription.holder, subscription.inbox.clone());
        let cell = alive.shared.submit(|cell| {
            Command::Subscribe(Box::new(Subscribe { filters, properties, holder, inbox, cell }))
        })?;
        let codes = match CellAnswer::new(&alive.shared, cell).wait().await {
            Fate::Outcome(Outcome::Subscribed { codes, .. }) => codes,
            Fate::Refused(error) | Fate::Outcome(Outcome::Refused(error)) => return Err(error.into()),
            Fate::Outcome(_) | Fate::Closed | Fate::NotStored(_) => {
                return Err(alive
                    .shared
                    .closed()
                    .map_or(SubscribeError::SessionLost, SubscribeError::Closed));
            }
        };
        subscription.results = names.into_iter().zip(codes).collect();
        if subscription.results.iter().all(|(_, code)| code.is_error()) {
            return Err(SubscribeError::Refused(core::mem::take(&mut subscription.results)));
        }
        Ok((subscription, form))
    }
}

impl<'a> IntoFuture for SubscribeBuilder<'a> {
    type Output = Result<Subscription, SubscribeError>;
    type IntoFuture = BoxFuture<'a, Self::Output>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(async { Ok(self.ask().await?.0) })
    }
}

impl<'a> IntoFuture for SubscribeBuilder<'a, AckByHand> {
    type Output = Result<ManualSubscription, SubscribeError>;
    type IntoFuture = BoxFuture<'a, Self::Output>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(async { Ok(ManualSubscription::new(self.ask().await?.0)) })
    }
}

impl<'a, F, Fut> IntoFuture for SubscribeBuilder<'a, OnMessage<F>>
where
    F: FnMut(Message) -> Fut + Send + 'static,
    Fut: Future<Output = ()> + Send + 'static,
{
    type Output = Result<MessageHandler, SubscribeError>;
    type IntoFuture = BoxFuture<'a, Self::Output>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(async {
            let runtime = Runtime::try_current().map_err(|_| SubscribeError::NoRuntime)?;
            let (subscription, OnMessage(handler)) = self.ask().await?;
            Ok(MessageHandler::start(subscription, handler, &runtime))
        })
    }
}
