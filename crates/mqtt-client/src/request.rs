//! Requests that are answered, section 4.10: on the asking side, and on the answering.

use crate::client::Client;
use crate::error::{Closed, PublishError, RequestError, SubscribeError};
use crate::publish::{DeliveryToken, PublishBuilder};
use crate::submissions::Command;
use bytes::Bytes;
use core::future::poll_fn;
use core::pin::Pin;
use core::task::Poll;
use core::time::Duration;
use mqtt_session::{
    Message, Outcome, Properties, PropertiesBuf, PropertiesBuilder, Property, QoS, ReasonCode,
    RetainHandling, SubscriptionOptions, TopicName, UsageError,
};
use mqtt_transport::BoxFuture;
use tokio::time::timeout;

/// A request that is being put together, from [`Client::request`].
///
/// Awaiting it publishes the message and waits for the answer: the message that comes to the response topic with the
/// correlation data of the request. The first answer counts. Answers that come late, twice, or to nobody's question are
/// ignored, but nothing here proves who gave one: whoever may publish to the response topic, and has seen the request, can.
///
/// The first request of a client subscribes to its response topic, once for all requests; it stays subscribed until
/// the client ends. The topic is what [`ConnectBuilder::response_topic`](crate::ConnectBuilder::response_topic) says;
/// else one below what the server calls the client's own
/// ([`request_response_information`](crate::ConnectBuilder::request_response_information)); else `response/`, the client
/// identifier, and ten random letters and digits.
///
/// Dropping the future forgets the request: if it was not yet accepted it is not sent, an answer is ignored.
#[derive(Debug)]
#[must_use = "nothing is asked before it is awaited"]
pub struct RequestBuilder<'a> {
    client: &'a Client,
    message: Result<Message, PublishError>,
    limit: Duration,
}

impl<'a> RequestBuilder<'a> {
    /// How long to wait for the answer, if [`timeout`](Self::timeout) does not say.
    pub const TIMEOUT: Duration = Duration::from_secs(30);

    pub(crate) fn new(client: &'a Client, message: Result<Message, PublishError>) -> Self {
        Self { client, message, limit: Self::TIMEOUT }
    }

    /// The quality of service of the request; 0 if it is not set. From 1 on, a request that the server refuses, or has
    /// nobody to give to, fails at once.
    pub fn qos(mut self, qos: QoS) -> Self {
        if let Ok(message) = &mut self.message {
            message.qos = qos;
        }
        self
    }

    /// How long to wait for the answer, from the awaiting on: for a connection too, and for room in the queue.
    /// [`TIMEOUT`](Self::TIMEOUT) if it is not set. The request expires within a second after it, unless its
    /// properties say when.
    pub fn timeout(mut self, limit: Duration) -> Self {
        self.limit = limit;
        self
    }

    /// Properties of the request, section 3.3.2.3, beside response topic and correlation data, which are not for the
    /// application to choose.
    pub fn properties(mut self, properties: PropertiesBuf) -> Self {
        if let Ok(message) = &mut self.message {
            message.properties = properties;
        }
        self
    }

    async fn run(self) -> Result<Message, RequestError> {
        let Self { client, message, limit } = self;
        let message = message?;
        let answer = timeout(limit, ask(client, message, limit));
        answer.await.unwrap_or(Err(RequestError::Timeout(limit)))
    }
}

impl<'a> IntoFuture for RequestBuilder<'a> {
    type Output = Result<Message, RequestError>;
    type IntoFuture = BoxFuture<'a, Self::Output>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(self.run())
    }
}

async fn ask(client: &Client, mut message: Message, limit: Duration) -> Result<Message, RequestError> {
    let shared = client.shared();
    let topic = response_topic(client).await?;
    let mut waiting = shared.responses.wait();
    let expiry = message.properties.view().message_expiry_interval();
    let block = block(message.properties.view())?;
    let block = block.response_topic(&topic).correlation_data(&waiting.correlation());
    let block = match (expiry, u32::try_from(limit.as_secs().saturating_add(1))) {
        // The request leaves no later than its answer is waited for.
        (None, Ok(seconds)) => block.message_expiry_interval(seconds),
        _ => block,
    };
    message.properties = block.build().map_err(|error| PublishError::Refused(error.into()))?;
    let mut delivery = Some(PublishBuilder::new(shared, Ok(message)).enqueue().await?);
    poll_fn(|cx| {
        if let Poll::Ready(answer) = Pin::new(&mut waiting.answer).poll(cx) {
            return Poll::Ready(answer.map_err(|_| client.ended_or(RequestError::SubscriptionLost)));
        }
        let outcome = delivery.as_mut().map(|delivery: &mut DeliveryToken| Pin::new(delivery).poll(cx));
        if let Some(Poll::Ready(outcome)) = outcome {
            delivery = None;
            if let Some(error) = hopeless(outcome) {
                return Poll::Ready(Err(client.ended_or(error)));
            }
        }
        Poll::Pending
    })
    .await
}

/// Where answers are to be sent; subscribed.
async fn response_topic(client: &Client) -> Result<TopicName, RequestError> {
    let responses = &client.shared().responses;
    let _one_at_a_time = match responses.topic() {
        Some(topic) => return Ok(topic),
        None => responses.subscribing.lock().await,
    };
    if let Some(topic) = responses.topic() {
        return Ok(topic);
    }
    let topic = suggested_topic(client).await?;
    // An answer that comes twice is no harm; one that was kept is none.
    let options = SubscriptionOptions {
        qos: QoS::AtLeastOnce,
        retain_handling: RetainHandling::DoNotSend,
        ..SubscriptionOptions::default()
    };
    let subscribed = client.subscribe(&*topic).options(options).await;
    let subscription = subscribed.map_err(|error| match error {
        SubscribeError::Closed(closed) => RequestError::Closed(closed),
        error => RequestError::Subscribe(error),
    })?;
    responses.set_topic(topic.clone());
    client.shared().tell(Command::Responses(subscription.into_inbox()));
    Ok(topic)
}

/// The server has the first word on the topic, so there must have been a connection.
async fn suggested_topic(client: &Client) -> Result<TopicName, RequestError> {
    let shared = client.shared();
    let mut changes = client.watch().changes;
    loop {
        if let Some(version) = shared.version().filter(|version| !version.is_v5()) {
            return Err(RequestError::NeedsV5(version));
        }
        if let Some(topic) = shared.responses.suggested() {
            return Ok(topic);
        }
        if changes.changed().await.is_err() {
            return Err(client.ended_or(RequestError::Closed(Closed::TaskEnded)));
        }
    }
}

/// Why no answer can come any more, if so.
fn hopeless(outcome: Outcome) -> Option<RequestError> {
    match outcome {
        // It may have arrived.
        Outcome::Sent | Outcome::Unknown | Outcome::SessionLost => None,
        Outcome::Acked { reason: ReasonCode::NO_MATCHING_SUBSCRIBERS, .. } => {
            Some(RequestError::NobodyListens)
        }
        Outcome::Acked { reason, .. } if !reason.is_error() => None,
        Outcome::Refused(error) => Some(PublishError::Refused(error).into()),
        outcome => Some(RequestError::NotDelivered(outcome)),
    }
}

/// Begins a block with these properties; response topic and correlation data are not for the application.
fn block(properties: Properties<'_>) -> Result<PropertiesBuilder, PublishError> {
    let mut block = PropertiesBuf::builder();
    for property in properties.iter() {
        block = match property {
            Property::ResponseTopic(_) | Property::CorrelationData(_) => {
                return Err(PublishError::Refused(UsageError::PropertyNotAllowed(property.id())));
            }
            property => block.property(property),
        };
    }
    Ok(block)
}

/// The answer to a request: where it goes, at the QoS that the request came with.
pub(crate) fn response(request: &Message, payload: Bytes) -> Result<Message, PublishError> {
    let topic = request.properties.view().response_topic().ok_or(PublishError::NoResponseTopic)?;
    let mut response = Message::new(topic.try_into()?, payload);
    response.qos = request.qos;
    Ok(response)
}

/// Properties that are set apart from those of the application.
#[derive(Debug, Default)]
pub(crate) struct Added {
    /// What shows which request this answers.
    pub(crate) correlation: Option<Bytes>,
    /// Seconds until the message is of no use.
    pub(crate) expiry: Option<u32>,
}

/// The message with these properties too.
#[cold]
pub(crate) fn with_added(mut message: Message, added: &Added) -> Result<Message, PublishError> {
    let properties = message.properties.view();
    let mut block = match &added.correlation {
        Some(correlation) => block(properties)?.correlation_data(correlation),
        None => properties.iter().fold(PropertiesBuf::builder(), PropertiesBuilder::property),
    };
    if let Some(seconds) = added.expiry {
        block = block.message_expiry_interval(seconds);
    }
    message.properties = block.build().map_err(|error| PublishError::Refused(error.into()))?;
    Ok(message)
}
