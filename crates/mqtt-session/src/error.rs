//! What can go wrong, by who is to blame: [`UsageError`] the caller, [`ProtocolError`] the server. How a
//! connection ended is [`End`].

use mqtt_codec::{
    DecodeError, Disconnect, EncodeError, PacketType, PropertiesBuf, PropertyError, PropertyId, QoS,
    ReasonCode, Version,
};

/// What was asked for cannot be done; nothing has changed. Where a limit is the server's, it holds for this
/// connection.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum UsageError {
    /// The option needs MQTT 5.0.
    #[error("{option} needs MQTT 5.0, this session speaks {version}")]
    NotInVersion {
        /// The field of [`Config`](crate::Config), or what was asked for.
        option: &'static str,
        /// The version of the session.
        version: Version,
    },
    /// The client identifier is empty where it must not be `[MQTT-3.1.3-8]`.
    #[error(
        "the client identifier is empty: MQTT 3.1 forbids it, 3.1.1 allows it only with CleanStart::Always"
    )]
    ClientIdEmpty,
    /// MQTT 3.1 allows 23 characters.
    #[error("the client identifier has more than the 23 characters that MQTT 3.1 allows")]
    ClientIdTooLong,
    /// Receive Maximum 0 is not allowed.
    #[error("receive_maximum is 0; it is 1 to 65,535")]
    ZeroReceiveMaximum,
    /// `retransmit_after` with 5.0, which forbids to send again on a connection that stands `[MQTT-4.4.0-1]`.
    #[error("retransmit_after is for MQTT 3.1 and 3.1.1 only; 5.0 forbids it")]
    RetransmissionInV5,
    /// Retransmission at once, for ever.
    #[error("retransmit_after is zero; leave it out for no retransmission")]
    ZeroRetransmitAfter,
    /// Maximum Packet Size 0 is not allowed.
    #[error("maximum_packet_size is 0; leave it out for no limit")]
    ZeroMaximumPacketSize,
    /// The outgoing queue holds as much as [`Limits`](crate::Limits) allows.
    #[error("the queue is full")]
    QueueFull,
    /// The property does not belong here. Topic aliases are the session's own business, and a client's
    /// PUBLISH carries no subscription identifier `[MQTT-3.3.4-6]`.
    #[error("the property {0} cannot be set here")]
    PropertyNotAllowed(PropertyId),
    /// The payload format indicator says that the payload is UTF-8, and it is not `[5u-29]`.
    #[error("the payload is not UTF-8, though its payload format indicator says so")]
    PayloadNotUtf8,
    /// The server supports only lower QoS `[MQTT-3.2.2-11]`.
    #[error("QoS {qos} is above the server's maximum, QoS {maximum}")]
    QosNotSupported {
        /// The QoS asked for.
        qos: QoS,
        /// The highest QoS of this server.
        maximum: QoS,
    },
    /// The server has no retained messages `[MQTT-3.2.2-14]`.
    #[error("the server does not support retained messages")]
    RetainNotSupported,
    /// The server takes no wildcards in subscriptions.
    #[error("the server does not support wildcard subscriptions")]
    WildcardNotSupported,
    /// The server has no shared subscriptions.
    #[error("the server does not support shared subscriptions")]
    SharedNotSupported,
    /// The server takes no subscription identifiers.
    #[error("the server does not support subscription identifiers")]
    SubscriptionIdentifierNotSupported,
    /// The packet is larger than the server accepts `[MQTT-3.2.2-15]`.
    #[error("the packet has {size} bytes, the server accepts {limit}")]
    PacketTooLarge {
        /// Bytes of the whole packet.
        size: usize,
        /// The server's Maximum Packet Size.
        limit: u32,
    },
    /// There is no connection for this.
    #[error("there is no connection")]
    NotConnected,
    /// AUTH without an authentication method in CONNECT `[MQTT-4.12.0-7]`, with another one
    /// `[MQTT-4.12.1-1]`, or with a reason code that does not fit the moment.
    #[error(
        "this AUTH does not fit: it needs the method of CONNECT, and 0x18 to go on or 0x19 to begin anew"
    )]
    AuthenticationMismatch,
    /// DISCONNECT cannot prolong a session that was to end with the connection `[5u-18]`.
    #[error("a session without expiry interval cannot get one at the end")]
    SessionExpiryNotAllowed,
    /// The codec cannot write it.
    #[error(transparent)]
    Encode(#[from] EncodeError),
    /// A property cannot have this value.
    #[error(transparent)]
    Property(#[from] PropertyError),
}

impl UsageError {
    /// What a server would have answered, had it been asked.
    pub(crate) const fn reason_code(self) -> ReasonCode {
        match self {
            Self::WildcardNotSupported => ReasonCode::WILDCARD_SUBSCRIPTIONS_NOT_SUPPORTED,
            Self::SharedNotSupported => ReasonCode::SHARED_SUBSCRIPTIONS_NOT_SUPPORTED,
            Self::SubscriptionIdentifierNotSupported => ReasonCode::SUBSCRIPTION_IDENTIFIERS_NOT_SUPPORTED,
            Self::PacketTooLarge { .. } => ReasonCode::PACKET_TOO_LARGE,
            _ => ReasonCode::UNSPECIFIED_ERROR,
        }
    }
}

/// The server broke the protocol. The connection ends: in 5.0 after a DISCONNECT with
/// [`reason_code`](Self::reason_code), before 5.0 without a word, since DISCONNECT would cancel the will
/// there `[MQTT-4.8.0-1/3.1.1]`.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ProtocolError {
    /// The bytes are no packet that a server may send.
    #[error("{0}")]
    Decode(DecodeError),
    /// A packet that has no place here: anything but CONNACK or AUTH first `[MQTT-3.2.0-1]`, a second CONNACK
    /// `[MQTT-3.2.0-2]`, an AUTH that nobody asked for `[MQTT-4.12.0-6]`.
    #[error("{0} is out of place here")]
    Unexpected(PacketType),
    /// Session Present after a clean start `[MQTT-3.2.2-2]` `[MQTT-3.2.2-4]`.
    #[error("the server resumed a session that it was asked to forget")]
    SessionPresent,
    /// The authentication method is missing, or another one than CONNECT named `[MQTT-4.12.0-5]`.
    #[error("{0} does not carry the authentication method of CONNECT")]
    AuthenticationMethod(PacketType),
    /// A reason string or user property in spite of `request_problem_information` being off
    /// `[MQTT-3.1.2-29]`.
    #[error("{0} carries problem information that was not asked for")]
    ProblemInformation(PacketType),
    /// More unacknowledged messages than Receive Maximum allows `[MQTT-3.3.4-9]`; before 5.0, than there are
    /// packet identifiers.
    #[error("the server sent more than {0} messages without waiting for their acknowledgement")]
    ReceiveMaximumExceeded(u16),
    /// A topic alias above the maximum `[MQTT-3.1.2-26]` `[MQTT-3.1.2-27]`.
    #[error("topic alias {0} is above the maximum")]
    TopicAliasInvalid(u16),
    /// A PUBLISH without a topic whose alias was never given one `[5u-21]`.
    #[error("topic alias {0} stands for no topic")]
    TopicAliasUnknown(u16),
    /// A message above the server's own Maximum QoS that no subscription can have asked for `[5u-22]`.
    #[error("the server sent a message of QoS {0}, which it does not support, to no subscription")]
    QosNotSupported(QoS),
    /// Not one reason code per topic filter `[MQTT-3.8.4-6]` `[MQTT-3.11.3-1]`.
    #[error("{packet} has {codes} reason codes for {filters} topic filters")]
    ReasonCodeCount {
        /// SUBACK or UNSUBACK.
        packet: PacketType,
        /// The number of reason codes in it.
        codes: usize,
        /// The number of topic filters in the request.
        filters: usize,
    },
    /// A Maximum Packet Size that no acknowledgement fits.
    #[error("the server accepts packets of {0} bytes only, too few for an acknowledgement")]
    MaximumPacketSize(u32),
    /// More packets that want an answer than there are packet identifiers, and no answer was taken meanwhile.
    #[error("the server sends packets without taking the answers")]
    AnswersNotTaken,
}

impl ProtocolError {
    /// The reason code for DISCONNECT, section 4.13.
    pub const fn reason_code(&self) -> ReasonCode {
        match self {
            Self::Decode(error) => error.reason_code(),
            Self::ReceiveMaximumExceeded(_) => ReasonCode::RECEIVE_MAXIMUM_EXCEEDED,
            Self::TopicAliasInvalid(_) => ReasonCode::TOPIC_ALIAS_INVALID,
            Self::QosNotSupported(_) => ReasonCode::QOS_NOT_SUPPORTED,
            Self::MaximumPacketSize(_) => ReasonCode::PACKET_TOO_LARGE,
            Self::AnswersNotTaken => ReasonCode::MESSAGE_RATE_TOO_HIGH,
            Self::Unexpected(_)
            | Self::SessionPresent
            | Self::AuthenticationMethod(_)
            | Self::ProblemInformation(_)
            | Self::TopicAliasUnknown(_)
            | Self::ReasonCodeCount { .. } => ReasonCode::PROTOCOL_ERROR,
        }
    }
}

/// How a connection ended. There is exactly one for each
/// [`handle_open`](crate::Session::handle_open).
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum End {
    /// The server refused the connection.
    Refused {
        /// Why; the return codes of 3.1 and 3.1.1 are mapped.
        reason: ReasonCode,
        /// Reason string, server reference, user properties.
        properties: PropertiesBuf,
    },
    /// The server said goodbye (5.0).
    ServerDisconnect(Disconnect),
    /// The application said goodbye.
    Disconnected,
    /// The server broke the protocol.
    Protocol(ProtocolError),
    /// No CONNACK in time.
    ConnectTimeout,
    /// No answer to a ping in time.
    PingTimeout,
    /// The transport closed.
    Closed,
}
