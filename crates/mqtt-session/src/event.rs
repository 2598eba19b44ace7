//! What the session and the application say to each other.

use crate::alias::detached;
use crate::error::{End, UsageError};
use crate::negotiated::Negotiated;
use alloc::vec::Vec;
use bytes::Bytes;
use core::fmt;
use mqtt_codec::{
    Auth, DecodeError, PacketId, PacketType, Properties, PropertiesBuf, PropertiesBuilder, QoS, ReasonCode,
    TopicFilter, TopicName,
};

/// Something that the application should know. Taken with [`poll_event`](crate::Session::poll_event), in the
/// order in which it happened.
#[derive(Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Event {
    /// The server accepted the connection.
    Connected(Connected),
    /// A message arrived. At QoS 1 and 2 the token is to be given to
    /// [`acknowledge`](crate::Session::acknowledge) once the application has taken the message over.
    Message(Message, Option<AckToken>),
    /// A message whose topic name is none was acknowledged and dropped, see
    /// [`Config::skip_misnamed`](crate::Config::skip_misnamed). The error says what was wrong.
    Skipped(DecodeError),
    /// What a publish, subscribe or unsubscribe came to. Each [`Token`] completes once.
    Completed(Token, Outcome),
    /// A filter that was granted once was refused when it was subscribed again after the loss of the session;
    /// it is no longer subscribed.
    SubscriptionLost(TopicFilter, ReasonCode),
    /// The server sent AUTH, section 4.12. With [`ReasonCode::CONTINUE_AUTHENTICATION`] it waits for
    /// [`authenticate`](crate::Session::authenticate); [`ReasonCode::SUCCESS`] ends a re-authentication.
    Challenge(Auth),
    /// The connection is over: exactly once for each [`handle_open`](crate::Session::handle_open). Write what
    /// [`poll_transmit`](crate::Session::poll_transmit) still yields, close the transport and call
    /// [`handle_close`](crate::Session::handle_close).
    Ended(End),
}

/// What the server said when it accepted the connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Connected {
    /// Whether the server resumed a session. 3.1 does not say; there it means that the client assumes so.
    pub session_present: bool,
    /// Always a success.
    pub reason: ReasonCode,
    /// What holds on this connection.
    pub negotiated: Negotiated,
    /// All properties of CONNACK: response information, reason string, user properties and those that
    /// [`negotiated`](Self::negotiated) was made of.
    pub properties: PropertiesBuf,
}

/// An application message, to publish or received.
#[derive(Clone, PartialEq, Eq)]
pub struct Message {
    /// Where it goes or came from. A topic alias is resolved before the application sees the message.
    pub topic: TopicName,
    /// What it says. A received payload shares the buffer that it was read into.
    pub payload: Bytes,
    /// Quality of service.
    pub qos: QoS,
    /// To publish: the server shall keep it for later subscribers. Received: it was kept, or the subscription
    /// asked for the flag as it was published.
    pub retain: bool,
    /// Received only: the server may have sent this before. Ignored when publishing `[MQTT-3.3.1-3]`.
    pub dup: bool,
    /// Properties, 5.0 only. To publish: any of PUBLISH but topic alias and subscription identifier; with payload
    /// format indicator 1 the payload must be UTF-8. Received: as the sender set them, that one unchecked.
    pub properties: PropertiesBuf,
}

impl Message {
    /// A message at QoS 0, not retained, without properties.
    pub const fn new(topic: TopicName, payload: Bytes) -> Self {
        Self {
            topic,
            payload,
            qos: QoS::AtMostOnce,
            retain: false,
            dup: false,
            properties: PropertiesBuf::new(),
        }
    }

    /// The topic as a string.
    pub fn topic(&self) -> &str {
        &self.topic
    }

    /// The payload as a slice.
    pub fn payload(&self) -> &[u8] {
        &self.payload
    }

    /// A copy that owns its memory. A received message shares a read buffer of many KiB; one that is kept for
    /// long should not.
    #[must_use]
    pub fn detach(&self) -> Self {
        Self {
            topic: detached(&self.topic),
            payload: Bytes::copy_from_slice(&self.payload),
            properties: owned(self.properties.view()),
            ..*self
        }
    }
}

impl fmt::Debug for Message {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Message")
            .field("topic", &self.topic)
            .field("payload", &format_args!("{} bytes", self.payload.len()))
            .field("qos", &self.qos)
            .field("retain", &self.retain)
            .field("dup", &self.dup)
            .field("properties", &self.properties)
            .finish()
    }
}

/// The name of one publish, subscribe or unsubscribe. Handed out 1, 2, 3 and so on.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Token(pub(crate) u64);

impl Token {
    /// The number.
    pub const fn get(self) -> u64 {
        self.0
    }
}

/// The right to acknowledge one received message, once: it cannot be copied.
///
/// Acknowledgements may be given in any order, the session sends them in the order of the messages
/// `[MQTT-4.6.0-2]` `[MQTT-4.6.0-3]`: one that is missing holds back those behind it, of the same QoS.
/// Dropping the token leaves the message unacknowledged; the server sends it again when the session is
/// resumed.
///
/// A token of QoS 1 is bound to the connection that the message came on and does nothing later, when the
/// server has sent the message again. One of QoS 2 counts on a resumed session too, since the message is not
/// delivered twice.
#[derive(PartialEq, Eq, Debug)]
#[must_use = "without it the message stays unacknowledged"]
pub struct AckToken {
    pub(crate) qos: QoS,
    pub(crate) id: PacketId,
    /// Of the link that the message came on.
    pub(crate) link: u32,
    /// QoS 1: the place in the order of messages on that link. QoS 2: the number of the exchange.
    pub(crate) number: u64,
}

impl AckToken {
    /// The packet identifier of the message.
    pub const fn packet_id(&self) -> PacketId {
        self.id
    }

    /// The quality of service of the message.
    pub const fn qos(&self) -> QoS {
        self.qos
    }

    /// A number that no other message has which this session has delivered and which waits for its acknowledgement.
    pub const fn number(&self) -> u64 {
        // QoS 1 counts on each link, QoS 2 in the life of the session.
        let place = match self.qos {
            QoS::ExactlyOnce => self.number << 1 | 1,
            QoS::AtMostOnce | QoS::AtLeastOnce => self.number << 1,
        };
        place ^ (self.link as u64) << 40
    }

    /// The packet that acknowledges the message.
    pub(crate) const fn packet(&self) -> PacketType {
        match self.qos {
            QoS::ExactlyOnce => PacketType::PubRec,
            QoS::AtMostOnce | QoS::AtLeastOnce => PacketType::PubAck,
        }
    }
}

/// What became of a publish, subscribe or unsubscribe.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum Outcome {
    /// A QoS 0 message was written to the transport. Nobody knows whether it arrived.
    Sent,
    /// The server answered the message, at QoS 2 to the end. From 0x80 on the reason says that it refused it;
    /// before 5.0 it is always a success.
    Acked {
        /// The reason code of PUBACK or PUBREC.
        reason: ReasonCode,
        /// The properties of the last acknowledgement.
        properties: PropertiesBuf,
    },
    /// The server answered a subscribe request.
    Subscribed {
        /// One code for each filter, in order: the granted QoS, or from 0x80 on a refusal.
        codes: Vec<ReasonCode>,
        /// The properties of SUBACK.
        properties: PropertiesBuf,
    },
    /// The server answered an unsubscribe request.
    Unsubscribed {
        /// One code for each filter, in order. Before 5.0 there are none.
        codes: Vec<ReasonCode>,
        /// The properties of UNSUBACK.
        properties: PropertiesBuf,
    },
    /// No byte of it left: nobody has seen it.
    NotSent,
    /// It was sent, at least in part, and no answer can come any more. It may have arrived.
    Unknown,
    /// The client has ended before it could be delivered, or before the server had answered to the end. It is stored: the
    /// next client that is restored from the store goes on with it.
    Stored,
    /// The message expiry interval passed before it could be sent. No byte of it left.
    Expired,
    /// It was taken out of the queue to make room. No byte of it left.
    Dropped,
    /// So many connections in a row ended with this message unacknowledged, and it was given up, see
    /// [`Config::set_aside_after`](crate::Config::set_aside_after). It may have arrived.
    SetAside {
        /// Connections that ended so.
        connections: u32,
    },
    /// It was sent, and the session in which its answer was awaited is lost. It may have arrived.
    SessionLost,
    /// It was accepted before the connection, and this server's limits forbid it. No byte of it left.
    Refused(UsageError),
}

/// Properties that own their memory.
pub(crate) fn owned(properties: Properties<'_>) -> PropertiesBuf {
    let block = properties.iter().fold(PropertiesBuf::builder(), PropertiesBuilder::property);
    block.build().unwrap_or_default()
}
