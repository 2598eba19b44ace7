//! What the server allows on one connection, and what it must therefore not be sent.

use crate::config::Config;
use crate::error::UsageError;
use crate::event::Message;
use mqtt_codec::{Properties, QoS, SubscriptionOptions, Text, TopicFilter, Version};

/// What holds on one connection, as CONNACK says. A property that is absent there means its default, never
/// the value of an earlier connection `[5u-15]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Negotiated {
    /// The version.
    pub version: Version,
    /// The client identifier: the server's choice if the client had none `[MQTT-3.1.3-7]`.
    pub client_id: Text,
    /// Keep alive in seconds, 0 for none: the server's if it gave one.
    pub keep_alive: u16,
    /// Seconds that the session outlives the connection, `u32::MAX` for ever: the server's if it gave one
    /// `[5u-20]`.
    pub session_expiry: u32,
    /// QoS 1 and 2 messages that the server takes before it has acknowledged them.
    pub receive_maximum: u16,
    /// The largest packet that the server accepts, in bytes.
    pub maximum_packet_size: Option<u32>,
    /// The highest QoS that the server accepts in PUBLISH.
    pub maximum_qos: QoS,
    /// Whether the server keeps retained messages.
    pub retain_available: bool,
    /// Whether the server takes wildcards in subscriptions.
    pub wildcard_subscription_available: bool,
    /// Whether the server takes subscription identifiers.
    pub subscription_identifier_available: bool,
    /// Whether the server has shared subscriptions.
    pub shared_subscription_available: bool,
    /// The highest topic alias that the server accepts.
    pub topic_alias_maximum: u16,
}

impl Negotiated {
    /// `client_id` and `clean_start` are what CONNECT said, `said` what CONNACK did.
    pub(crate) fn new(config: &Config, client_id: Text, clean_start: bool, said: Properties<'_>) -> Self {
        let assigned = said.assigned_client_identifier().filter(|_| client_id.is_empty());
        Self {
            version: config.version,
            client_id: assigned.and_then(|id| Text::try_from(id).ok()).unwrap_or(client_id),
            keep_alive: said.server_keep_alive().unwrap_or(config.keep_alive),
            session_expiry: match config.version {
                Version::V5 => said.session_expiry_interval().or(config.session_expiry).unwrap_or(0),
                // Clean Session decides over the end of the session as well as over its beginning.
                _ if clean_start => 0,
                _ => u32::MAX,
            },
            receive_maximum: said.receive_maximum().unwrap_or(u16::MAX),
            maximum_packet_size: said.maximum_packet_size(),
            maximum_qos: said.maximum_qos().unwrap_or(QoS::ExactlyOnce),
            retain_available: said.retain_available().unwrap_or(true),
            wildcard_subscription_available: said.wildcard_subscription_available().unwrap_or(true),
            subscription_identifier_available: said.subscription_identifier_available().unwrap_or(true),
            shared_subscription_available: said.shared_subscription_available().unwrap_or(true),
            topic_alias_maximum: said.topic_alias_maximum().unwrap_or(0),
        }
    }

    /// Whether the server takes this message, apart from its size.
    pub(crate) fn check_message(&self, message: &Message) -> Result<(), UsageError> {
        // `[MQTT-3.2.2-11]`
        if message.qos > self.maximum_qos {
            return Err(UsageError::QosNotSupported { qos: message.qos, maximum: self.maximum_qos });
        }
        // `[MQTT-3.2.2-14]`
        if message.retain && !self.retain_available {
            return Err(UsageError::RetainNotSupported);
        }
        Ok(())
    }

    /// Whether the server takes this subscription `[5u-23]`. Its Maximum QoS does not matter here
    /// `[MQTT-3.2.2-10]`.
    pub(crate) fn check_subscription(
        &self,
        filters: &[(TopicFilter, SubscriptionOptions)],
        properties: Properties<'_>,
    ) -> Result<(), UsageError> {
        if !self.subscription_identifier_available && properties.subscription_identifiers().next().is_some() {
            return Err(UsageError::SubscriptionIdentifierNotSupported);
        }
        if !self.wildcard_subscription_available && filters.iter().any(|(filter, _)| filter.is_wildcard()) {
            return Err(UsageError::WildcardNotSupported);
        }
        if !self.shared_subscription_available && filters.iter().any(|(filter, _)| filter.shared().is_some())
        {
            return Err(UsageError::SharedNotSupported);
        }
        Ok(())
    }

    /// `[MQTT-3.2.2-15]`
    pub(crate) const fn check_size(&self, size: usize) -> Result<(), UsageError> {
        match self.maximum_packet_size {
            Some(limit) if size > limit as usize => Err(UsageError::PacketTooLarge { size, limit }),
            _ => Ok(()),
        }
    }
}
