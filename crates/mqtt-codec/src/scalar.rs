//! The small values of the protocol: packet identifier, quality of service, subscription options.

use core::fmt;
use core::num::NonZeroU16;

/// A packet identifier, 1 to 65,535; 0 cannot be built `[MQTT-2.2.1-3]`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct PacketId(NonZeroU16);

impl PacketId {
    /// The lowest identifier, 1.
    pub const MIN: Self = Self(NonZeroU16::MIN);
    /// The highest identifier, 65,535.
    pub const MAX: Self = Self(NonZeroU16::MAX);

    /// The identifier of this number; `None` for 0.
    pub const fn new(id: u16) -> Option<Self> {
        match NonZeroU16::new(id) {
            Some(id) => Some(Self(id)),
            None => None,
        }
    }

    /// The number on the wire.
    pub const fn get(self) -> u16 {
        self.0.get()
    }
}

impl fmt::Display for PacketId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Quality of service, section 4.3. There is no fourth value `[MQTT-3.3.1-4]`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub enum QoS {
    /// QoS 0: not acknowledged, may be lost.
    #[default]
    AtMostOnce = 0,
    /// QoS 1: acknowledged by PUBACK, may arrive more than once.
    AtLeastOnce = 1,
    /// QoS 2: the PUBREC, PUBREL, PUBCOMP exchange; arrives once.
    ExactlyOnce = 2,
}

impl QoS {
    /// The QoS of this number; `None` above 2.
    pub const fn from_u8(qos: u8) -> Option<Self> {
        match qos {
            0 => Some(Self::AtMostOnce),
            1 => Some(Self::AtLeastOnce),
            2 => Some(Self::ExactlyOnce),
            _ => None,
        }
    }

    /// The number on the wire.
    pub const fn as_u8(self) -> u8 {
        self as u8
    }
}

impl fmt::Display for QoS {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.as_u8().fmt(f)
    }
}

/// How a PUBLISH is delivered: the QoS with what exists at that QoS only. No identifier can be 0, and DUP
/// cannot be set at QoS 0 `[MQTT-3.3.1-2]`.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Delivery {
    /// QoS 0: no packet identifier `[MQTT-2.2.1-2]`.
    AtMostOnce,
    /// QoS 1.
    AtLeastOnce {
        /// The packet identifier that PUBACK will name.
        id: PacketId,
        /// Set when this is a resend `[MQTT-3.3.1-1]`.
        dup: bool,
    },
    /// QoS 2.
    ExactlyOnce {
        /// The packet identifier that PUBREC, PUBREL and PUBCOMP will name.
        id: PacketId,
        /// Set when this is a resend `[MQTT-3.3.1-1]`.
        dup: bool,
    },
}

impl Delivery {
    /// The quality of service.
    pub const fn qos(self) -> QoS {
        match self {
            Self::AtMostOnce => QoS::AtMostOnce,
            Self::AtLeastOnce { .. } => QoS::AtLeastOnce,
            Self::ExactlyOnce { .. } => QoS::ExactlyOnce,
        }
    }

    /// The packet identifier; `None` at QoS 0.
    pub const fn id(self) -> Option<PacketId> {
        match self {
            Self::AtMostOnce => None,
            Self::AtLeastOnce { id, .. } | Self::ExactlyOnce { id, .. } => Some(id),
        }
    }

    /// The DUP flag; false at QoS 0.
    pub const fn dup(self) -> bool {
        match self {
            Self::AtMostOnce => false,
            Self::AtLeastOnce { dup, .. } | Self::ExactlyOnce { dup, .. } => dup,
        }
    }
}

/// When the server sends retained messages for a subscription, section 3.8.3.1; 5.0 only.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub enum RetainHandling {
    /// At every SUBSCRIBE.
    #[default]
    Send = 0,
    /// Only if the subscription did not exist before.
    SendIfNew = 1,
    /// Never.
    DoNotSend = 2,
}

/// The options of one topic filter in SUBSCRIBE, section 3.8.3.1. All but `qos` need MQTT 5.0.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub struct SubscriptionOptions {
    /// The highest QoS at which the server may send.
    pub qos: QoS,
    /// Do not send what this client published itself; not allowed on a shared subscription `[MQTT-3.8.3-4]`.
    pub no_local: bool,
    /// Keep the RETAIN flag as it was published.
    pub retain_as_published: bool,
    /// When to send retained messages.
    pub retain_handling: RetainHandling,
}

impl SubscriptionOptions {
    /// The options of 3.1 and 3.1.1: a QoS, everything else at its default.
    pub const fn new(qos: QoS) -> Self {
        Self { qos, no_local: false, retain_as_published: false, retain_handling: RetainHandling::Send }
    }

    /// The options byte; bits 6 and 7 are 0 `[MQTT-3.8.3-5]`.
    pub const fn to_byte(self) -> u8 {
        self.qos as u8
            | (self.no_local as u8) << 2
            | (self.retain_as_published as u8) << 3
            | (self.retain_handling as u8) << 4
    }

    /// The options of this byte; `None` for QoS 3, retain handling 3 or a reserved bit.
    pub const fn from_byte(byte: u8) -> Option<Self> {
        if byte & 0b1100_0000 != 0 {
            return None;
        }
        let Some(qos) = QoS::from_u8(byte & 0b11) else { return None };
        let retain_handling = match byte >> 4 {
            0 => RetainHandling::Send,
            1 => RetainHandling::SendIfNew,
            2 => RetainHandling::DoNotSend,
            _ => return None,
        };
        Some(Self {
            qos,
            no_local: byte & 0b100 != 0,
            retain_as_published: byte & 0b1000 != 0,
            retain_handling,
        })
    }
}

impl From<QoS> for SubscriptionOptions {
    fn from(qos: QoS) -> Self {
        Self::new(qos)
    }
}
