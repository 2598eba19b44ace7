//! An application message inside the broker.

use super::clock;
use bytes::Bytes;
use core::time::Duration;
use mqtt_codec::{
    Properties, PropertiesBuf, PropertiesBuilder, Property, Publish, QoS, Text, TopicName, Will,
};
use tokio::time::Instant;

/// An application message that the broker has taken on.
#[derive(Clone, Debug)]
pub struct Message {
    /// Who published it; `None` for the broker itself.
    pub client_id: Option<Text>,
    /// The topic, resolved if the client sent an alias.
    pub topic: TopicName,
    /// The payload.
    pub payload: Bytes,
    /// The QoS with which it was published.
    pub qos: QoS,
    /// The RETAIN flag with which it was published.
    pub retain: bool,
    /// The DUP flag with which it came: it was accepted at a resend.
    pub dup: bool,
    /// The properties that are passed on: all but topic alias, message expiry interval and those of the will alone.
    pub properties: PropertiesBuf,
    /// Message expiry interval in seconds, as it came.
    pub expiry: Option<u32>,
    /// When the broker took it on.
    pub accepted_at: Instant,
}

impl Message {
    /// A message of QoS 0 without properties, for [`Broker::publish`](super::Broker::publish).
    ///
    /// # Panics
    ///
    /// If the topic is none.
    pub fn new(topic: &str, payload: impl Into<Bytes>) -> Self {
        Self {
            client_id: None,
            topic: TopicName::try_from(topic).unwrap_or_else(|error| panic!("{topic:?}: {error}")),
            payload: payload.into(),
            qos: QoS::AtMostOnce,
            retain: false,
            dup: false,
            properties: PropertiesBuf::new(),
            expiry: None,
            accepted_at: clock::now(),
        }
    }

    pub(super) fn from_publish(now: Instant, client_id: &Text, topic: TopicName, publish: &Publish) -> Self {
        let properties = publish.properties();
        Self {
            client_id: Some(client_id.clone()),
            topic,
            payload: publish.payload_bytes(),
            qos: publish.delivery().qos(),
            retain: publish.retain(),
            dup: publish.delivery().dup(),
            properties: passed_on(properties),
            expiry: properties.message_expiry_interval(),
            accepted_at: now,
        }
    }

    pub(super) fn from_will(now: Instant, client_id: &Text, will: &Will) -> Self {
        Self {
            client_id: Some(client_id.clone()),
            topic: will.topic.clone(),
            payload: will.payload.clone(),
            qos: will.qos,
            retain: will.retain,
            dup: false,
            properties: passed_on(will.properties.view()),
            expiry: will.properties.view().message_expiry_interval(),
            accepted_at: now,
        }
    }

    /// Whether it is of no use any more `[MQTT-3.3.2-5]`.
    pub(super) fn is_expired(&self, now: Instant) -> bool {
        self.expiry.is_some_and(|seconds| self.age(now) >= Duration::from_secs(seconds.into()))
    }

    /// The message expiry interval to send: what is left of it, in seconds `[MQTT-3.3.2-6]`.
    pub(super) fn expiry_left(&self, now: Instant) -> Option<u32> {
        let age = u32::try_from(self.age(now).as_secs()).unwrap_or(u32::MAX);
        self.expiry.map(|seconds| seconds.saturating_sub(age))
    }

    fn age(&self, now: Instant) -> Duration {
        now.saturating_duration_since(self.accepted_at)
    }
}

/// The properties that a server passes on unaltered `[MQTT-3.3.2-4]` `[MQTT-3.3.2-15]` `[MQTT-3.3.2-16]`
/// `[MQTT-3.3.2-17]` `[MQTT-3.3.2-18]` `[MQTT-3.3.2-20]`.
fn passed_on(properties: Properties<'_>) -> PropertiesBuf {
    if properties.is_empty() {
        return PropertiesBuf::new();
    }
    built(copy_passed_on(properties, PropertiesBuf::builder()))
}

/// These properties, and the identifier of the subscription that a copy is for `[MQTT-3.3.4-3]`.
pub(super) fn with_subscription_identifier(properties: Properties<'_>, identifier: u32) -> PropertiesBuf {
    built(copy_passed_on(properties, PropertiesBuf::builder().subscription_identifier(identifier)))
}

fn copy_passed_on(from: Properties<'_>, to: PropertiesBuilder) -> PropertiesBuilder {
    from.iter().fold(to, |to, property| match property {
        Property::PayloadFormatIndicator(utf8) => to.payload_format_indicator(utf8),
        Property::ContentType(content_type) => to.content_type(content_type),
        Property::ResponseTopic(topic) => to.response_topic(topic),
        Property::CorrelationData(data) => to.correlation_data(data),
        Property::UserProperty(name, value) => to.user_property(name, value),
        _ => to,
    })
}

fn built(properties: PropertiesBuilder) -> PropertiesBuf {
    properties.build().expect("these properties were checked when they were decoded")
}
