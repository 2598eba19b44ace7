//! What the two directions refuse: bytes that are no packet, and packets that cannot be bytes.

use crate::packet::PacketType;
use crate::properties::PropertyId;
use crate::reason::ReasonCode;
use crate::text::TextError;
use crate::topic::TopicError;
use crate::version::Version;
use core::fmt;

/// Why received bytes are refused. It names the packet, the field and the fault, and the reason code to send
/// in DISCONNECT (5.0). The peer is to blame; the connection is to be closed `[MQTT-4.13.1-1]`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct DecodeError {
    packet: Option<PacketType>,
    field: Field,
    fault: Fault,
}

impl DecodeError {
    pub(crate) const fn new(field: Field, fault: Fault) -> Self {
        Self { packet: None, field, fault }
    }

    /// Adds the packet in which the error was met.
    pub(crate) const fn within(self, packet: PacketType) -> Self {
        Self { packet: Some(packet), ..self }
    }

    /// The packet type, as far as the first byte told it.
    pub const fn packet_type(&self) -> Option<PacketType> {
        self.packet
    }

    /// The field that is wrong.
    pub const fn field(&self) -> Field {
        self.field
    }

    /// What is wrong with it.
    pub const fn fault(&self) -> Fault {
        self.fault
    }

    /// True if the bytes cannot be parsed (Malformed Packet); false if they can be, but break a rule (Protocol
    /// Error), section 1.2.
    pub fn is_malformed(&self) -> bool {
        self.reason_code() == ReasonCode::MALFORMED_PACKET
    }

    /// The reason code for the DISCONNECT (or CONNACK) that answers this, section 4.13.
    pub const fn reason_code(&self) -> ReasonCode {
        match self.fault {
            Fault::Truncated
            | Fault::TrailingBytes
            | Fault::LongVariableByteInteger
            | Fault::IllFormedText
            | Fault::NullCharacter
            | Fault::ReservedBits
            | Fault::ReservedQoS
            | Fault::DupAtQoS0
            | Fault::ReservedPacketType
            | Fault::UnknownProperty
            | Fault::PropertyNotAllowed => ReasonCode::MALFORMED_PACKET,
            Fault::TooLarge { .. } => ReasonCode::PACKET_TOO_LARGE,
            Fault::UnsupportedVersion(_) => ReasonCode::UNSUPPORTED_PROTOCOL_VERSION,
            Fault::ZeroAlias => ReasonCode::TOPIC_ALIAS_INVALID,
            Fault::Topic(TopicError::Empty) => ReasonCode::PROTOCOL_ERROR,
            Fault::Topic(TopicError::Wildcard) if matches!(self.field, Field::TopicName) => {
                ReasonCode::TOPIC_NAME_INVALID
            }
            Fault::Topic(_) if matches!(self.field, Field::TopicFilter) => ReasonCode::TOPIC_FILTER_INVALID,
            _ => ReasonCode::PROTOCOL_ERROR,
        }
    }
}

impl fmt::Display for DecodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(packet) = self.packet {
            write!(f, "{packet}, ")?;
        }
        write!(f, "{}: {}", self.field, self.fault)
    }
}

impl core::error::Error for DecodeError {}

/// nom's combinators report what no leaf of ours has named: the input ended too early.
impl nom::error::ParseError<&[u8]> for DecodeError {
    fn from_error_kind(_: &[u8], _: nom::error::ErrorKind) -> Self {
        Self::new(Field::Packet, Fault::Truncated)
    }

    fn append(_: &[u8], _: nom::error::ErrorKind, other: Self) -> Self {
        other
    }
}

/// What is wrong with a field of a received packet.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Fault {
    /// The packet ends before the field does.
    #[error("the packet ends before the field does")]
    Truncated,
    /// Bytes are left behind the last field.
    #[error("bytes are left behind the last field")]
    TrailingBytes,
    /// A variable byte integer of more than four bytes or, in 5.0, longer than its value needs `[MQTT-1.5.5-1]`.
    #[error("the variable byte integer is longer than it may be")]
    LongVariableByteInteger,
    /// Not well-formed UTF-8 `[MQTT-1.5.4-1]`.
    #[error("the string is not well-formed UTF-8")]
    IllFormedText,
    /// U+0000 in a string `[MQTT-1.5.4-2]`.
    #[error("the string contains U+0000")]
    NullCharacter,
    /// Bits that must be 0, or have one fixed value, have another `[MQTT-2.1.3-1]`.
    #[error("reserved bits are set")]
    ReservedBits,
    /// QoS 3 in PUBLISH or in a will `[MQTT-3.3.1-4]`.
    #[error("QoS 3 does not exist")]
    ReservedQoS,
    /// DUP at QoS 0 `[MQTT-3.3.1-2]`.
    #[error("DUP is set at QoS 0")]
    DupAtQoS0,
    /// Packet type 0, or AUTH before 5.0.
    #[error("the packet type is reserved")]
    ReservedPacketType,
    /// A property identifier that the standard does not define.
    #[error("the property identifier is unknown")]
    UnknownProperty,
    /// A property that does not belong in this packet.
    #[error("the property is not allowed in this packet")]
    PropertyNotAllowed,
    /// A property that belongs in this packet, but only when the other side sends it `[MQTT-3.3.4-6]`
    /// `[MQTT-3.14.2-2]`.
    #[error("the property is not allowed from this side")]
    PropertyNotFromSender,
    /// A property twice that may stand once.
    #[error("the property is repeated")]
    RepeatedProperty,
    /// The value is outside the range of the field.
    #[error("the value is not allowed")]
    ValueNotAllowed,
    /// Topic alias 0 `[MQTT-3.3.2-8]`.
    #[error("topic alias 0 is not allowed")]
    ZeroAlias,
    /// Packet identifier 0 `[MQTT-2.2.1-3]`.
    #[error("packet identifier 0 is not allowed")]
    ZeroPacketId,
    /// Not a topic name or topic filter, section 4.7.
    #[error("{0}")]
    Topic(TopicError),
    /// A list that needs one entry is empty.
    #[error("the list needs at least one entry")]
    EmptyList,
    /// A reason code that is not defined for this packet, or not for this sender.
    #[error("reason code 0x{0:02X} is not allowed here")]
    ReasonNotAllowed(u8),
    /// Authentication data without an authentication method, or an AUTH without one.
    #[error("the authentication method is missing")]
    NoAuthenticationMethod,
    /// A password without a user name, before 5.0 `[MQTT-3.1.2-22/3.1.1]`.
    #[error("a password needs a user name before MQTT 5.0")]
    PasswordWithoutUserName,
    /// No Local on a shared subscription `[MQTT-3.8.3-4]`.
    #[error("No Local is not allowed on a shared subscription")]
    NoLocalOnShared,
    /// Session Present in a CONNACK that refuses: a server must not send it `[MQTT-3.2.2-6]`. A client ignores it.
    #[error("Session Present is set although the connection is refused")]
    SessionPresentOnRefusal,
    /// A packet that this side never receives, or a CONNECT missing or repeated.
    #[error("the packet type is not expected here")]
    UnexpectedPacket,
    /// The packet is larger than the decoder's limit `[MQTT-3.1.2-24]`.
    #[error("the packet has {size} bytes, {} more than the maximum packet size of {limit}", size - limit)]
    TooLarge {
        /// Bytes of the whole packet, as its fixed header says.
        size: u32,
        /// The decoder's maximum packet size, in bytes.
        limit: u32,
    },
    /// A CONNECT for a protocol that is not MQTT 3.1, 3.1.1 or 5.0; the level it names.
    #[error("protocol level {0} is not supported")]
    UnsupportedVersion(u8),
}

impl From<TextError> for Fault {
    fn from(error: TextError) -> Self {
        match error {
            TextError::Null => Self::NullCharacter,
            _ => Self::IllFormedText,
        }
    }
}

impl From<TopicError> for Fault {
    fn from(error: TopicError) -> Self {
        match error {
            TopicError::Text(text) => text.into(),
            topic => Self::Topic(topic),
        }
    }
}

/// A field of a packet, named as the standard names it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum Field {
    /// The packet as a whole.
    Packet,
    /// The first byte: packet type and flags.
    FixedHeader,
    /// Remaining Length.
    RemainingLength,
    /// Protocol Name and Protocol Version.
    Protocol,
    /// Connect Flags.
    ConnectFlags,
    /// Keep Alive.
    KeepAlive,
    /// Client Identifier.
    ClientIdentifier,
    /// Will Topic.
    WillTopic,
    /// Will Payload.
    WillPayload,
    /// User Name.
    UserName,
    /// Password.
    Password,
    /// Connect Acknowledge Flags.
    ConnAckFlags,
    /// Reason Code, or the return code of 3.1 and 3.1.1.
    ReasonCode,
    /// Packet Identifier.
    PacketIdentifier,
    /// Topic Name.
    TopicName,
    /// Topic Filter.
    TopicFilter,
    /// Subscription Options.
    SubscriptionOptions,
    /// Property Length.
    PropertyLength,
    /// A property.
    Property(PropertyId),
    /// A property with an identifier that the standard does not define.
    UnknownProperty(u8),
    /// Application Message.
    Payload,
}

impl fmt::Display for Field {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Packet => "packet",
            Self::FixedHeader => "fixed header",
            Self::RemainingLength => "remaining length",
            Self::Protocol => "protocol name and version",
            Self::ConnectFlags => "connect flags",
            Self::KeepAlive => "keep alive",
            Self::ClientIdentifier => "client identifier",
            Self::WillTopic => "will topic",
            Self::WillPayload => "will payload",
            Self::UserName => "user name",
            Self::Password => "password",
            Self::ConnAckFlags => "connect acknowledge flags",
            Self::ReasonCode => "reason code",
            Self::PacketIdentifier => "packet identifier",
            Self::TopicName => "topic name",
            Self::TopicFilter => "topic filter",
            Self::SubscriptionOptions => "subscription options",
            Self::PropertyLength => "property length",
            Self::Property(property) => return write!(f, "property {property}"),
            Self::UnknownProperty(id) => return write!(f, "property 0x{id:02X}"),
            Self::Payload => "payload",
        })
    }
}

/// Why a packet cannot be written. The caller is to blame; nothing has been written.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EncodeError {
    /// The packet, or a field of it, needs MQTT 5.0.
    #[error("{packet}, {field}: MQTT {version} does not have this; use MQTT 5.0 or leave it out")]
    NotInVersion {
        /// The packet.
        packet: PacketType,
        /// The field that the version does not have.
        field: Field,
        /// The version to encode for.
        version: Version,
    },
    /// More bytes than the two-byte length of a string or binary field can say.
    #[error("{packet}, {field}: {len} bytes are more than the 65,535 that fit")]
    FieldTooLong {
        /// The packet.
        packet: PacketType,
        /// The field.
        field: Field,
        /// Its length in bytes.
        len: usize,
    },
    /// The packet would be larger than 268,435,460 bytes, the largest there is.
    #[error("{packet}: the packet is larger than MQTT allows (268,435,460 bytes)")]
    PacketTooLarge {
        /// The packet.
        packet: PacketType,
    },
    /// A property that does not belong in this packet, or stands there twice but may stand once.
    #[error("{packet}: the property {property} is not allowed in this packet, or not more than once")]
    PropertyNotAllowed {
        /// The packet.
        packet: PacketType,
        /// The property.
        property: PropertyId,
    },
    /// A reason code that the standard does not define for this packet.
    #[error("{packet}: the reason code {reason} is not allowed in this packet")]
    ReasonNotAllowed {
        /// The packet.
        packet: PacketType,
        /// The code.
        reason: ReasonCode,
    },
    /// A value that the field cannot have in this version or beside the packet's other fields.
    #[error("{packet}, {field}: {fault}")]
    FieldNotAllowed {
        /// The packet.
        packet: PacketType,
        /// The field.
        field: Field,
        /// What is wrong with it.
        fault: Fault,
    },
    /// A list of filters or reason codes that needs one entry is empty.
    #[error("{packet}: the list needs at least one entry")]
    EmptyList {
        /// The packet.
        packet: PacketType,
    },
}
