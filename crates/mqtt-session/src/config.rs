//! What the application decides before it connects.

use crate::error::{ProtocolError, UsageError};
use alloc::vec::Vec;
use bytes::Bytes;
use core::num::NonZeroU32;
use core::time::Duration;
use mqtt_codec::{
    Connect, PacketType, Properties, PropertiesBuf, PropertyError, Text, Version, Will, WireBuf,
};

/// Everything that CONNECT says, and how the session behaves. All fields are public; [`Config::new`] fills in
/// the defaults, [`Session::new`](crate::Session::new) checks the whole.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Config {
    /// The version to speak. A session speaks one version for life.
    pub version: Version,
    /// The client identifier, section 3.1.3.1. Empty lets the server choose: it then tells the name (5.0), or
    /// does not, and the session cannot outlive the connection (3.1.1: [`CleanStart::Always`] only). 3.1
    /// wants 1 to 23 characters.
    pub client_id: Text,
    /// Whether to begin anew or to resume. Default: [`CleanStart::FirstOnly`].
    pub clean_start: CleanStart,
    /// Keep alive in seconds, section 3.1.2.10; 0 turns it off. The server may overrule it (5.0). Default:
    /// 60.
    pub keep_alive: u16,
    /// How long the server may take to answer a ping before the connection counts as dead. Default: 10 s.
    pub ping_timeout: Duration,
    /// How long CONNACK may take from the opening of the connection. Default: 10 s.
    pub connect_timeout: Duration,
    /// The user name.
    pub username: Option<Text>,
    /// The password; before 5.0 it needs a user name, and in 3.1 it is text.
    pub password: Option<Bytes>,
    /// What the server publishes when this client disappears.
    pub will: Option<Will>,
    /// Seconds that the session outlives the connection, `u32::MAX` for ever; `None` leaves the property out,
    /// which means 0. 5.0 only; before, [`CleanStart`] decides.
    pub session_expiry: Option<u32>,
    /// QoS 1 and 2 messages that may be received and not yet acknowledged, 1 to 65,535. The server is held to
    /// it `[MQTT-3.3.4-9]`. 5.0 only. Default: 65,535.
    pub receive_maximum: u16,
    /// The largest packet to accept, in bytes, not 0. Before 5.0 the server is not told, and a larger packet
    /// ends the connection. Default: none but that of the protocol, 268,435,460 bytes.
    pub maximum_packet_size: Option<u32>,
    /// The highest topic alias that the server may use. 5.0 only. Default: 0, no aliases.
    pub topic_alias_maximum: u16,
    /// Whether to ask for response information. 5.0 only. Default: no.
    pub request_response_information: bool,
    /// Whether the server may send reason strings and user properties with any packet. 5.0 only. Default:
    /// yes.
    pub request_problem_information: bool,
    /// User properties of CONNECT, in order. 5.0 only.
    pub user_properties: Vec<(Text, Text)>,
    /// Method and first data of enhanced authentication, section 4.12. 5.0 only.
    pub authentication: Option<(Text, Bytes)>,
    /// Before 5.0 only: a message or PUBREL that the server has not acknowledged for so long is sent again, with
    /// DUP, on the connection that stands. Some old servers rely on it. It comes after this time and at most a
    /// quarter later, and is not repeated while bytes wait to be written. Not zero. Default: never; what is
    /// unacknowledged is sent again when the session is resumed, as always.
    pub retransmit_after: Option<Duration>,
    /// A message with which so many connections in a row ended is given up, with
    /// [`Outcome::SetAside`](crate::Outcome::SetAside): a server that closes on it would do so for ever. What
    /// counts are accepted connections that the server or the network ended, on which this message was the
    /// first to wait for its acknowledgement. Default: never, since what was sent in a session must be sent
    /// again `[MQTT-4.4.0-1]`.
    pub set_aside_after: Option<NonZeroU32>,
    /// What a message is worth whose topic name is none, such as `a/#`: if set, it is acknowledged as refused (in 5.0
    /// with 0x90), dropped and reported by [`Event::Skipped`](crate::Event::Skipped). Else it ends the connection, as the
    /// standard has it, and a server that keeps such a message ends each one. Default: not set.
    pub skip_misnamed: bool,
    /// What becomes of unacknowledged messages when the server has lost the session.
    pub on_session_lost: OnSessionLost,
    /// Bounds on what the session holds.
    pub limits: Limits,
    /// Whether there is a store: then [`poll_store`](crate::Session::poll_store) says what it must hold, and
    /// must be asked. Default: no.
    pub durable: bool,
}

/// Whether CONNECT asks the server to forget an earlier session (Clean Start, before 5.0 Clean Session).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum CleanStart {
    /// At every connection. Nothing unacknowledged survives the loss of a connection, except by
    /// [`OnSessionLost::Requeue`].
    Always,
    /// Never, not even at the first connection: the server may hold a session from an earlier run, and what
    /// it queued is delivered. The one exception is a session of 5.0 whose expiry interval has passed: that
    /// is begun anew.
    Never,
    /// At the first connection of this [`Session`](crate::Session) only; reconnections resume.
    #[default]
    FirstOnly,
}

/// What becomes of a QoS 1 or 2 message that was sent, but not acknowledged, when the session it was sent in
/// is lost. Messages that were never sent stay queued in any case.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum OnSessionLost {
    /// It is sent again as a new message, before those that are queued. It may thus arrive twice, also at QoS
    /// 2. A QoS 2 message that the server had already taken over (PUBREC) is not sent again; its outcome is
    /// [`Outcome::SessionLost`](crate::Outcome::SessionLost).
    #[default]
    Requeue,
    /// Its outcome is [`Outcome::SessionLost`](crate::Outcome::SessionLost).
    Fail,
}

/// What gives way when a message is published and the queue is full. Only messages that wait to be sent are
/// ever dropped, and each is reported with [`Outcome::Dropped`](crate::Outcome::Dropped).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Overflow {
    /// Nothing: [`publish`](crate::Session::publish) fails with
    /// [`UsageError::QueueFull`](crate::UsageError::QueueFull).
    #[default]
    Refuse,
    /// The oldest messages, as many as need be. If bytes in flight leave no room even so, the new one.
    DropOldest,
    /// The new message.
    DropNewest,
    /// The last queued message of the same topic: the new one takes its place in the queue, so that the order
    /// within each topic stays; with a store it goes to the end, since the order of what is stored is that of
    /// acceptance. If the topic has none, as [`DropOldest`](Self::DropOldest). Meant for
    /// readings of which only the last matters; it costs a map entry for each topic in the queue.
    KeepLatest,
}

/// Bounds on what the session holds for sending.
///
/// The worst case is `queue_bytes` and one message more, and about 200 bytes for each of `queue_messages` and
/// `in_flight`. After a lost session, [`OnSessionLost::Requeue`] can put up to `in_flight` messages on top of
/// `queue_messages`; they were held before.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Limits {
    /// Messages that wait to be sent. Default: 10,000.
    pub queue_messages: usize,
    /// Bytes of all messages held, waiting or unacknowledged, as packets. While the sum is below this, one
    /// more message is accepted, whatever its size. Default: 64 MiB.
    pub queue_bytes: usize,
    /// QoS 1 and 2 messages sent and not acknowledged. Default (`None`): in 5.0 as many as the server's
    /// Receive Maximum allows, before 5.0 [`Limits::V3_IN_FLIGHT`].
    pub in_flight: Option<u16>,
    /// What happens to a message for which there is no room. Default: [`Overflow::Refuse`].
    pub overflow: Overflow,
    /// Subscribe and unsubscribe requests that wait for their answer. Default: 1,000.
    pub requests: usize,
    /// Topic aliases to use towards the server, if it allows more; 0 for none. Default: 16.
    pub topic_aliases: u16,
}

impl Limits {
    /// Messages in flight before 5.0, where no server can tell how many it takes. Some have a limit all the
    /// same, and drop what is above it without a word: mosquitto 2.0, whose limit is 20 unless configured
    /// otherwise, acknowledges a QoS 2 message above it and forgets it.
    pub const V3_IN_FLIGHT: u16 = 20;

    /// How many messages may be in flight to a server that allows so many.
    pub(crate) fn window(&self, receive_maximum: u16, version: Version) -> u16 {
        let default = if version.is_v5() { u16::MAX } else { Self::V3_IN_FLIGHT };
        receive_maximum.min(self.in_flight.unwrap_or(default).max(1))
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            queue_messages: 10_000,
            queue_bytes: 64 * 1024 * 1024,
            in_flight: None,
            overflow: Overflow::default(),
            requests: 1_000,
            topic_aliases: 16,
        }
    }
}

impl Config {
    /// The defaults for this version and client identifier.
    pub fn new(version: Version, client_id: Text) -> Self {
        Self {
            version,
            client_id,
            clean_start: CleanStart::default(),
            keep_alive: 60,
            ping_timeout: Duration::from_secs(10),
            connect_timeout: Duration::from_secs(10),
            username: None,
            password: None,
            will: None,
            session_expiry: None,
            receive_maximum: u16::MAX,
            maximum_packet_size: None,
            topic_alias_maximum: 0,
            request_response_information: false,
            request_problem_information: true,
            user_properties: Vec::new(),
            authentication: None,
            retransmit_after: None,
            set_aside_after: None,
            skip_misnamed: false,
            on_session_lost: OnSessionLost::default(),
            limits: Limits::default(),
            durable: false,
        }
    }

    /// Everything that can be wrong with a configuration is found here, not when the connection is up.
    pub(crate) fn check(&self) -> Result<(), UsageError> {
        match self.version {
            Version::V5 if self.retransmit_after.is_some() => return Err(UsageError::RetransmissionInV5),
            Version::V5 => {}
            version => {
                if let Some(option) = self.first_option_of_v5() {
                    return Err(UsageError::NotInVersion { option, version });
                }
            }
        }
        self.check_client_id()?;
        if self.receive_maximum == 0 {
            return Err(UsageError::ZeroReceiveMaximum);
        }
        if self.retransmit_after == Some(Duration::ZERO) {
            return Err(UsageError::ZeroRetransmitAfter);
        }
        if self.maximum_packet_size == Some(0) {
            return Err(UsageError::ZeroMaximumPacketSize);
        }
        // The codec has the last word on the packet as it would be sent.
        let connect = self.connect(self.client_id.clone(), false)?;
        Ok(connect.encode(self.version, &mut WireBuf::new())?)
    }

    /// `[MQTT-3.1.3-8]` `[31-2]`
    fn check_client_id(&self) -> Result<(), UsageError> {
        match (self.version, self.client_id.chars().count()) {
            (Version::V3_1, 0) => Err(UsageError::ClientIdEmpty),
            (Version::V3_1_1, 0) if self.clean_start != CleanStart::Always => Err(UsageError::ClientIdEmpty),
            (Version::V3_1, 24..) => Err(UsageError::ClientIdTooLong),
            _ => Ok(()),
        }
    }

    fn first_option_of_v5(&self) -> Option<&'static str> {
        [
            (self.session_expiry.is_some(), "session_expiry"),
            (self.receive_maximum != u16::MAX, "receive_maximum"),
            (self.topic_alias_maximum != 0, "topic_alias_maximum"),
            (self.request_response_information, "request_response_information"),
            (!self.request_problem_information, "request_problem_information"),
            (!self.user_properties.is_empty(), "user_properties"),
            (self.authentication.is_some(), "authentication"),
        ]
        .into_iter()
        .find_map(|(set, option)| set.then_some(option))
    }

    /// The CONNECT packet.
    pub(crate) fn connect(&self, client_id: Text, clean_start: bool) -> Result<Connect, UsageError> {
        Ok(Connect {
            client_id,
            clean_start,
            keep_alive: self.keep_alive,
            properties: if self.version.is_v5() { self.properties()? } else { PropertiesBuf::new() },
            will: self.will.clone(),
            username: self.username.clone(),
            password: self.password.clone(),
        })
    }

    /// With a method in CONNECT, every AUTH and the CONNACK that accepts repeat it; without one, none names
    /// any `[MQTT-4.12.0-5]` `[MQTT-4.12.0-6]`.
    pub(crate) fn check_method(&self, packet: PacketType, named: Option<&str>) -> Result<(), ProtocolError> {
        let method = self.authentication.as_ref().map(|(method, _)| method.as_str());
        if named == method { Ok(()) } else { Err(ProtocolError::AuthenticationMethod(packet)) }
    }

    /// Reason strings and user properties come only if they were asked for, except in PUBLISH, CONNACK and
    /// DISCONNECT `[MQTT-3.1.2-29]`.
    #[inline]
    pub(crate) fn check_problem_information(
        &self,
        packet: PacketType,
        properties: Properties<'_>,
    ) -> Result<(), ProtocolError> {
        let says_more =
            || properties.reason_string().is_some() || properties.user_properties().next().is_some();
        if self.request_problem_information || properties.is_empty() || !says_more() {
            return Ok(());
        }
        Err(ProtocolError::ProblemInformation(packet))
    }

    /// Only what differs from what its absence means.
    fn properties(&self) -> Result<PropertiesBuf, PropertyError> {
        let mut block = PropertiesBuf::builder();
        if let Some(seconds) = self.session_expiry {
            block = block.session_expiry_interval(seconds);
        }
        if self.receive_maximum != u16::MAX {
            block = block.receive_maximum(self.receive_maximum);
        }
        if let Some(bytes) = self.maximum_packet_size {
            block = block.maximum_packet_size(bytes);
        }
        if self.topic_alias_maximum != 0 {
            block = block.topic_alias_maximum(self.topic_alias_maximum);
        }
        if self.request_response_information {
            block = block.request_response_information(true);
        }
        if !self.request_problem_information {
            block = block.request_problem_information(false);
        }
        if let Some((method, data)) = &self.authentication {
            block = block.authentication_method(method);
            if !data.is_empty() {
                block = block.authentication_data(data);
            }
        }
        self.user_properties
            .iter()
            .fold(block, |block, (name, value)| block.user_property(name, value))
            .build()
    }
}
