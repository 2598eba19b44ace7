//! What can go wrong, by whose call it was.

mod connect;

pub use self::connect::{ConnectError, OptionFault, UrlError};

use crate::queue::QueuePolicy;
use crate::store::StoreError;
use core::error::Error;
use core::fmt;
use core::time::Duration;
use mqtt_session::{Outcome, ReasonCode, TopicError, TopicFilter, UsageError, Version};
use std::sync::Arc;
use thiserror::Error as ThisError;

/// Why a client has ended. Nothing more can be done with it; connect anew.
#[derive(Clone, Debug, ThisError)]
#[non_exhaustive]
pub enum Closed {
    /// [`disconnect`](crate::Client::disconnect) was called.
    #[error("the client was disconnected")]
    Disconnected,
    /// [`abort`](crate::Client::abort) was called.
    #[error("the client was aborted")]
    Aborted,
    /// The last handle was dropped.
    #[error("the client's last handle was dropped")]
    Dropped,
    /// The connection failed, and the cause or the policy did not allow to try again.
    #[error("the client gave up: {0}")]
    Failed(#[source] ConnectError),
    /// The client's task was dropped, by its runtime or its [user](crate::ClientTask).
    #[error("the client's task was dropped")]
    TaskEnded,
}

/// Why a message was not accepted, or is known not to have been sent.
#[derive(Clone, Debug, ThisError)]
#[non_exhaustive]
pub enum PublishError {
    /// Not a topic to publish to.
    #[error("the topic is not usable: {0}")]
    InvalidTopic(#[from] TopicError),
    /// The message breaks a rule of the protocol version, or a limit that the server has set.
    #[error("the message cannot be sent: {0}")]
    Refused(#[from] UsageError),
    /// The message to [respond](crate::Client::respond) to names no response topic: it is not a request. Before 5.0
    /// there are none.
    #[error("the message to respond to names no response topic")]
    NoResponseTopic,
    /// The [store](crate::ConnectBuilder::store) could not take it: it is not sent.
    #[error("the message cannot be stored: {0}")]
    Store(#[from] StoreError),
    /// The queue is full; only [`try_enqueue`](crate::PublishBuilder::try_enqueue) says so, the others wait.
    #[error("the queue is full")]
    QueueFull,
    /// The client has ended.
    #[error(transparent)]
    Closed(#[from] Closed),
}

impl PublishError {
    /// Whether the same call can succeed later.
    pub fn is_retryable(&self) -> bool {
        matches!(self, Self::QueueFull | Self::Store(_))
    }
}

impl From<core::convert::Infallible> for PublishError {
    fn from(never: core::convert::Infallible) -> Self {
        match never {}
    }
}

/// Why a [request](crate::Client::request) has no answer.
#[derive(Clone, Debug, ThisError)]
#[non_exhaustive]
pub enum RequestError {
    /// The request was not accepted.
    #[error(transparent)]
    Publish(PublishError),
    /// Requests and responses need 5.0.
    #[error("requests need MQTT 5.0, and this connection speaks {0}")]
    NeedsV5(Version),
    /// The subscription for the answers could not be made.
    #[error("there is nowhere to get the answer: {0}")]
    Subscribe(#[source] SubscribeError),
    /// The subscription for the answers was unsubscribed, or refused after the server had lost the session. The next
    /// request makes it anew.
    #[error("the subscription for the answers was lost")]
    SubscriptionLost,
    /// The server refused the request, it expired, or it was dropped from the queue.
    #[error("the request was not delivered: {0:?}")]
    NotDelivered(Outcome),
    /// The server has the request, and nobody to give it to ([`ReasonCode::NO_MATCHING_SUBSCRIBERS`]).
    #[error("nobody listens to the topic of the request")]
    NobodyListens,
    /// No answer came in time.
    #[error("no answer within {0:?}")]
    Timeout(Duration),
    /// The client has ended.
    #[error(transparent)]
    Closed(#[from] Closed),
}

impl RequestError {
    /// Whether the same call can succeed later. The request may have been heard nevertheless.
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::SubscriptionLost | Self::NotDelivered(_) | Self::NobodyListens | Self::Timeout(_) => true,
            Self::Publish(error) => error.is_retryable(),
            Self::Subscribe(error) => error.is_retryable(),
            Self::NeedsV5(_) | Self::Closed(_) => false,
        }
    }
}

impl From<PublishError> for RequestError {
    fn from(error: PublishError) -> Self {
        match error {
            PublishError::Closed(closed) => Self::Closed(closed),
            error => Self::Publish(error),
        }
    }
}

/// Why there is no subscription.
#[derive(Clone, Debug, ThisError)]
#[non_exhaustive]
pub enum SubscribeError {
    /// Not a topic filter.
    #[error("the topic filter is not usable: {0}")]
    InvalidFilter(#[from] TopicError),
    /// A subscription needs one filter or more `[MQTT-3.8.3-2]`.
    #[error("there is no topic filter to subscribe to")]
    NoFilter,
    /// [`immediate_ack`](crate::SubscribeBuilder::immediate_ack) and a policy that drops what is in the queue: what was
    /// acknowledged would be lost.
    #[error("immediate_ack and {0:?} cannot be combined: what was acknowledged would be dropped")]
    WouldDropAcknowledged(QueuePolicy),
    /// There is no tokio runtime for the task of a [`MessageHandler`](crate::MessageHandler): await it from within one.
    #[error("there is no tokio runtime here for the handler's task")]
    NoRuntime,
    /// The request breaks a rule of the protocol version, or asks for what the server has said it does not have.
    #[error("the subscription cannot be asked for: {0}")]
    NotAllowed(#[from] UsageError),
    /// The server refused every filter `[MQTT-3.9.3-2]`.
    #[error("the server refused {}", List(.0))]
    Refused(Vec<(TopicFilter, ReasonCode)>),
    /// The session ended before the server answered, and was not resumed.
    #[error("the session was lost before the server answered")]
    SessionLost,
    /// The client has ended.
    #[error(transparent)]
    Closed(#[from] Closed),
}

impl SubscribeError {
    /// Whether the same call can succeed later.
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::Refused(results) => results.iter().all(|(_, reason)| {
                matches!(
                    *reason,
                    ReasonCode::UNSPECIFIED_ERROR
                        | ReasonCode::IMPLEMENTATION_SPECIFIC_ERROR
                        | ReasonCode::PACKET_IDENTIFIER_IN_USE
                        | ReasonCode::QUOTA_EXCEEDED
                )
            }),
            Self::SessionLost => true,
            _ => false,
        }
    }
}

impl From<core::convert::Infallible> for SubscribeError {
    fn from(never: core::convert::Infallible) -> Self {
        match never {}
    }
}

/// Why filters are not unsubscribed.
#[derive(Clone, Debug, ThisError)]
#[non_exhaustive]
pub enum UnsubscribeError {
    /// Not a topic filter.
    #[error("the topic filter is not usable: {0}")]
    InvalidFilter(#[from] TopicError),
    /// UNSUBSCRIBE needs one filter or more `[MQTT-3.10.3-2]`.
    #[error("there is no topic filter to unsubscribe")]
    NoFilter,
    /// The request breaks a rule of the protocol version.
    #[error("the unsubscription cannot be asked for: {0}")]
    NotAllowed(#[from] UsageError),
    /// The server refused these filters; the others are unsubscribed.
    #[error("the server refused to unsubscribe {}", List(.0))]
    Refused(Vec<(TopicFilter, ReasonCode)>),
    /// The client has ended.
    #[error(transparent)]
    Closed(#[from] Closed),
}

impl From<core::convert::Infallible> for UnsubscribeError {
    fn from(never: core::convert::Infallible) -> Self {
        match never {}
    }
}

/// Why a goodbye was not the one that was asked for.
#[derive(Clone, Debug, ThisError)]
#[non_exhaustive]
pub enum DisconnectError {
    /// The reason or a property cannot be sent; a plain DISCONNECT was sent instead.
    #[error("the client said a plain goodbye, since this one cannot be sent: {0}")]
    NotAllowed(#[from] UsageError),
    /// The client had ended otherwise.
    #[error(transparent)]
    Closed(#[from] Closed),
}

/// Why a [re-authentication](crate::Client::reauthenticate) was not begun, or has not succeeded.
#[derive(Clone, Debug, ThisError)]
#[non_exhaustive]
pub enum AuthenticationError {
    /// The client has no [`Authenticator`](crate::ConnectBuilder::authenticator).
    #[error("the client has no authenticator; set one with ConnectBuilder::authenticator")]
    NoAuthenticator,
    /// There is no connection; the next one is authenticated anyway.
    #[error("there is no connection to authenticate again")]
    NotConnected,
    /// Another one has begun and not ended.
    #[error("a re-authentication is under way")]
    UnderWay,
    /// The authenticator could not begin. The connection stays.
    #[error("the authenticator could not begin: {0}")]
    Authenticator(#[source] Arc<dyn Error + Send + Sync>),
    /// It cannot be begun, for one because the method is not that of CONNECT `[MQTT-4.12.1-1]`. The connection stays.
    #[error("the re-authentication cannot be asked for: {0}")]
    NotAllowed(#[from] UsageError),
    /// The connection ended before it was through `[MQTT-4.12.1-2]`.
    #[error("the connection ended before the re-authentication did: {0}")]
    Failed(#[source] ConnectError),
    /// The client has ended.
    #[error(transparent)]
    Closed(#[from] Closed),
}

struct List<'a>(&'a [(TopicFilter, ReasonCode)]);

impl fmt::Display for List<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, (filter, reason)) in self.0.iter().enumerate() {
            let comma = if index == 0 { "" } else { ", " };
            write!(f, "{comma}'{}': {reason}", filter.as_str())?;
        }
        Ok(())
    }
}
