//! What a broker offers, and the builder that asks for it.

use super::Broker;
use bytes::Bytes;
use mqtt_codec::{PropertiesBuf, QoS, Version};
use std::collections::HashMap;
use std::io;

/// What a broker offers. The defaults are those of a broker that can do everything.
#[derive(Clone, Debug)]
pub(super) struct Options {
    pub(super) versions: Vec<Version>,
    pub(super) users: HashMap<String, Bytes>,
    pub(super) receive_maximum: u16,
    pub(super) maximum_packet_size: Option<u32>,
    pub(super) maximum_qos: QoS,
    pub(super) topic_alias_maximum: u16,
    pub(super) server_keep_alive: Option<u16>,
    pub(super) session_expiry_limit: u32,
    pub(super) retain: bool,
    pub(super) wildcards: bool,
    pub(super) subscription_identifiers: bool,
    pub(super) shared_subscriptions: bool,
    pub(super) record: bool,
    pub(super) trace: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            versions: vec![Version::V3_1, Version::V3_1_1, Version::V5],
            users: HashMap::new(),
            receive_maximum: u16::MAX,
            maximum_packet_size: None,
            maximum_qos: QoS::ExactlyOnce,
            topic_alias_maximum: 10,
            server_keep_alive: None,
            session_expiry_limit: u32::MAX,
            retain: true,
            wildcards: true,
            subscription_identifiers: true,
            shared_subscriptions: true,
            record: true,
            trace: false,
        }
    }
}

impl Options {
    /// What CONNACK says of them, section 3.2.2.3: everything that is not the default of the standard.
    pub(super) fn connack_properties(&self, assigned: Option<&str>, asked_expiry: u32) -> PropertiesBuf {
        let mut properties = PropertiesBuf::builder();
        if asked_expiry > self.session_expiry_limit {
            properties = properties.session_expiry_interval(self.session_expiry_limit);
        }
        if self.receive_maximum < u16::MAX {
            properties = properties.receive_maximum(self.receive_maximum);
        }
        if self.maximum_qos < QoS::ExactlyOnce {
            properties = properties.maximum_qos(self.maximum_qos);
        }
        if !self.retain {
            properties = properties.retain_available(false);
        }
        if let Some(bytes) = self.maximum_packet_size {
            properties = properties.maximum_packet_size(bytes);
        }
        if let Some(id) = assigned {
            properties = properties.assigned_client_identifier(id);
        }
        if self.topic_alias_maximum > 0 {
            properties = properties.topic_alias_maximum(self.topic_alias_maximum);
        }
        if !self.wildcards {
            properties = properties.wildcard_subscription_available(false);
        }
        if !self.subscription_identifiers {
            properties = properties.subscription_identifier_available(false);
        }
        if !self.shared_subscriptions {
            properties = properties.shared_subscription_available(false);
        }
        if let Some(seconds) = self.server_keep_alive {
            properties = properties.server_keep_alive(seconds);
        }
        properties.build().expect("the builder has checked the options")
    }
}

/// What to configure before a [`Broker`] starts. Limits of 5.0 are announced in CONNACK and enforced for all versions
/// that know the thing limited.
#[derive(Clone, Debug, Default)]
#[must_use = "call .start()"]
pub struct BrokerBuilder(Options);

impl BrokerBuilder {
    /// The versions that are spoken; default all. Others are refused with CONNACK 1 in the form of 3.1.1, as older
    /// brokers do it.
    pub fn versions(mut self, versions: &[Version]) -> Self {
        self.0.versions = versions.to_vec();
        self
    }

    /// Lets this user in, and nobody without a user name any more. May be called several times.
    pub fn user(mut self, name: &str, password: &str) -> Self {
        self.0.users.insert(name.into(), Bytes::copy_from_slice(password.as_bytes()));
        self
    }

    /// QoS 1 and 2 publications that a 5.0 client may have unacknowledged, 1 to 65,535; default 65,535.
    ///
    /// # Panics
    ///
    /// If it is 0.
    pub fn receive_maximum(mut self, maximum: u16) -> Self {
        assert!(maximum > 0, "Receive Maximum cannot be 0");
        self.0.receive_maximum = maximum;
        self
    }

    /// The largest packet that is taken, in bytes; default no limit.
    ///
    /// # Panics
    ///
    /// If it is 0.
    pub fn maximum_packet_size(mut self, bytes: u32) -> Self {
        assert!(bytes > 0, "Maximum Packet Size cannot be 0");
        self.0.maximum_packet_size = Some(bytes);
        self
    }

    /// The highest QoS; default 2. Subscriptions are granted no more, and a PUBLISH above it ends the connection.
    pub fn maximum_qos(mut self, qos: QoS) -> Self {
        self.0.maximum_qos = qos;
        self
    }

    /// The highest topic alias that a client may use; default 10, 0 for none.
    pub fn topic_alias_maximum(mut self, maximum: u16) -> Self {
        self.0.topic_alias_maximum = maximum;
        self
    }

    /// Replaces the keep alive of 5.0 clients, in seconds; 0 turns it off.
    pub fn server_keep_alive(mut self, seconds: u16) -> Self {
        self.0.server_keep_alive = Some(seconds);
        self
    }

    /// The longest time, in seconds, that sessions of 5.0 outlive their connection; default no limit.
    pub fn session_expiry_limit(mut self, seconds: u32) -> Self {
        self.0.session_expiry_limit = seconds;
        self
    }

    /// No retained messages.
    pub fn without_retain(mut self) -> Self {
        self.0.retain = false;
        self
    }

    /// No wildcards in subscriptions.
    pub fn without_wildcards(mut self) -> Self {
        self.0.wildcards = false;
        self
    }

    /// No subscription identifiers.
    pub fn without_subscription_identifiers(mut self) -> Self {
        self.0.subscription_identifiers = false;
        self
    }

    /// No shared subscriptions.
    pub fn without_shared_subscriptions(mut self) -> Self {
        self.0.shared_subscriptions = false;
        self
    }

    /// Does not keep the messages that it accepts: [`Broker::received`] stays empty, the counters count. For tests that
    /// move more than memory holds.
    pub fn without_record(mut self) -> Self {
        self.0.record = false;
        self
    }

    /// Keeps every packet that passes, for [`Broker::trace`].
    pub fn trace(mut self) -> Self {
        self.0.trace = true;
        self
    }

    /// Starts the broker on a free port of 127.0.0.1, in the current tokio runtime.
    ///
    /// # Errors
    ///
    /// If the system gives no port.
    pub async fn start(self) -> io::Result<Broker> {
        Broker::with_options(self.0).await
    }
}
