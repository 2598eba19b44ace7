//! The fifteen packets, section 3, one file each (the four acknowledgements of a PUBLISH share theirs).

mod ack;
mod auth;
mod connack;
mod connect;
mod disconnect;
mod list;
mod publish;
mod suback;
mod subscribe;
mod unsuback;
mod unsubscribe;

pub use self::ack::Ack;
pub use self::auth::Auth;
pub use self::connack::ConnAck;
pub use self::connect::{Connect, Will};
pub use self::disconnect::Disconnect;
pub use self::list::ReasonCodes;
pub(crate) use self::publish::Fields as PublishFields;
pub use self::publish::{Publish, PublishParts};
pub use self::suback::SubAck;
pub use self::subscribe::{Filters, Subscribe};
pub use self::unsuback::UnsubAck;
pub use self::unsubscribe::{Unsubscribe, UnsubscribeFilters};

use crate::error::{EncodeError, Fault, Field};
use crate::frame::MAX_PACKET_SIZE;
use crate::properties::{Place, Properties};
use crate::reason::ReasonCode;
use crate::version::Version;
use crate::wire::{MAX_VARIABLE_BYTE_INTEGER, put_variable_byte_integer, variable_byte_integer_len};
use crate::wire_buf::WireBuf;
use alloc::boxed::Box;
use alloc::vec::Vec;
use core::fmt;

/// A type of packet, with its number in the first byte, section 2.1.2. Type 0 is reserved `[5u-1]`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
#[repr(u8)]
pub enum PacketType {
    /// CONNECT, client to server.
    Connect = 1,
    /// CONNACK, server to client.
    ConnAck = 2,
    /// PUBLISH, both ways.
    Publish = 3,
    /// PUBACK, both ways.
    PubAck = 4,
    /// PUBREC, both ways.
    PubRec = 5,
    /// PUBREL, both ways.
    PubRel = 6,
    /// PUBCOMP, both ways.
    PubComp = 7,
    /// SUBSCRIBE, client to server.
    Subscribe = 8,
    /// SUBACK, server to client.
    SubAck = 9,
    /// UNSUBSCRIBE, client to server.
    Unsubscribe = 10,
    /// UNSUBACK, server to client.
    UnsubAck = 11,
    /// PINGREQ, client to server.
    PingReq = 12,
    /// PINGRESP, server to client.
    PingResp = 13,
    /// DISCONNECT, both ways; before 5.0 client to server.
    Disconnect = 14,
    /// AUTH, both ways, 5.0 only.
    Auth = 15,
}

impl PacketType {
    /// The packet type of this number.
    #[inline(always)]
    pub const fn from_u8(packet: u8) -> Option<Self> {
        Some(match packet {
            1 => Self::Connect,
            2 => Self::ConnAck,
            3 => Self::Publish,
            4 => Self::PubAck,
            5 => Self::PubRec,
            6 => Self::PubRel,
            7 => Self::PubComp,
            8 => Self::Subscribe,
            9 => Self::SubAck,
            10 => Self::Unsubscribe,
            11 => Self::UnsubAck,
            12 => Self::PingReq,
            13 => Self::PingResp,
            14 => Self::Disconnect,
            15 => Self::Auth,
            _ => return None,
        })
    }

    /// What the standard calls it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Connect => "CONNECT",
            Self::ConnAck => "CONNACK",
            Self::Publish => "PUBLISH",
            Self::PubAck => "PUBACK",
            Self::PubRec => "PUBREC",
            Self::PubRel => "PUBREL",
            Self::PubComp => "PUBCOMP",
            Self::Subscribe => "SUBSCRIBE",
            Self::SubAck => "SUBACK",
            Self::Unsubscribe => "UNSUBSCRIBE",
            Self::UnsubAck => "UNSUBACK",
            Self::PingReq => "PINGREQ",
            Self::PingResp => "PINGRESP",
            Self::Disconnect => "DISCONNECT",
            Self::Auth => "AUTH",
        }
    }

    /// Whether this side may send packets of this type, section 2.1.2. Servers send DISCONNECT from 5.0 on.
    pub const fn is_sent_by(self, sender: Sender, version: Version) -> bool {
        match self {
            Self::Connect | Self::Subscribe | Self::Unsubscribe | Self::PingReq => {
                matches!(sender, Sender::Client)
            }
            Self::ConnAck | Self::SubAck | Self::UnsubAck | Self::PingResp => {
                matches!(sender, Sender::Server)
            }
            Self::Disconnect => matches!(sender, Sender::Client) || version.is_v5(),
            Self::Publish | Self::PubAck | Self::PubRec | Self::PubRel | Self::PubComp | Self::Auth => true,
        }
    }

    /// The fixed flags in the low half of the first byte `[MQTT-2.1.3-1]`; those of PUBLISH are not fixed.
    pub(crate) const fn flags(self) -> u8 {
        match self {
            Self::PubRel | Self::Subscribe | Self::Unsubscribe => 0b0010,
            _ => 0,
        }
    }

    /// The first byte of every packet of this type but PUBLISH.
    #[inline(always)]
    pub(crate) const fn first_byte(self) -> u8 {
        (self as u8) << 4 | self.flags()
    }

    /// Where the properties of this packet stand.
    pub(crate) const fn place(self) -> Place {
        match self {
            Self::Connect => Place::Connect,
            Self::ConnAck => Place::ConnAck,
            Self::PubAck => Place::PubAck,
            Self::PubRec => Place::PubRec,
            Self::PubRel => Place::PubRel,
            Self::PubComp => Place::PubComp,
            Self::Subscribe => Place::Subscribe,
            Self::SubAck => Place::SubAck,
            Self::Unsubscribe => Place::Unsubscribe,
            Self::UnsubAck => Place::UnsubAck,
            Self::Disconnect => Place::Disconnect,
            Self::Auth => Place::Auth,
            // PINGREQ and PINGRESP have none and never ask.
            Self::Publish | Self::PingReq | Self::PingResp => Place::Publish,
        }
    }
}

impl fmt::Display for PacketType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// One of the two ends of a connection.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Sender {
    /// The client.
    Client,
    /// The server, also called broker.
    Server,
}

/// An MQTT control packet, of any version: decoding an older version leaves properties empty and maps return
/// codes to reason codes; encoding for an older version refuses what it does not have.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Packet {
    /// CONNECT, section 3.1.
    Connect(Box<Connect>),
    /// CONNACK, section 3.2.
    ConnAck(Box<ConnAck>),
    /// PUBLISH, section 3.3.
    Publish(Publish),
    /// PUBACK, section 3.4.
    PubAck(Ack),
    /// PUBREC, section 3.5.
    PubRec(Ack),
    /// PUBREL, section 3.6.
    PubRel(Ack),
    /// PUBCOMP, section 3.7.
    PubComp(Ack),
    /// SUBSCRIBE, section 3.8.
    Subscribe(Subscribe),
    /// SUBACK, section 3.9.
    SubAck(SubAck),
    /// UNSUBSCRIBE, section 3.10.
    Unsubscribe(Unsubscribe),
    /// UNSUBACK, section 3.11.
    UnsubAck(UnsubAck),
    /// PINGREQ, section 3.12.
    PingReq,
    /// PINGRESP, section 3.13.
    PingResp,
    /// DISCONNECT, section 3.14.
    Disconnect(Disconnect),
    /// AUTH, section 3.15.
    Auth(Auth),
}

impl Packet {
    /// The type of this packet.
    pub const fn packet_type(&self) -> PacketType {
        match self {
            Self::Connect(_) => PacketType::Connect,
            Self::ConnAck(_) => PacketType::ConnAck,
            Self::Publish(_) => PacketType::Publish,
            Self::PubAck(_) => PacketType::PubAck,
            Self::PubRec(_) => PacketType::PubRec,
            Self::PubRel(_) => PacketType::PubRel,
            Self::PubComp(_) => PacketType::PubComp,
            Self::Subscribe(_) => PacketType::Subscribe,
            Self::SubAck(_) => PacketType::SubAck,
            Self::Unsubscribe(_) => PacketType::Unsubscribe,
            Self::UnsubAck(_) => PacketType::UnsubAck,
            Self::PingReq => PacketType::PingReq,
            Self::PingResp => PacketType::PingResp,
            Self::Disconnect(_) => PacketType::Disconnect,
            Self::Auth(_) => PacketType::Auth,
        }
    }

    /// Appends this packet to `out`. On an error nothing was written.
    pub fn encode(&self, version: Version, out: &mut WireBuf) -> Result<(), EncodeError> {
        match self {
            Self::Connect(connect) => connect.encode(version, out),
            Self::ConnAck(connack) => connack.encode(version, out),
            Self::Publish(publish) => publish.encode(version, out),
            Self::PubAck(ack) => ack.encode(PacketType::PubAck, version, out),
            Self::PubRec(ack) => ack.encode(PacketType::PubRec, version, out),
            Self::PubRel(ack) => ack.encode(PacketType::PubRel, version, out),
            Self::PubComp(ack) => ack.encode(PacketType::PubComp, version, out),
            Self::Subscribe(subscribe) => subscribe.encode(version, out),
            Self::SubAck(suback) => suback.encode(version, out),
            Self::Unsubscribe(unsubscribe) => unsubscribe.encode(version, out),
            Self::UnsubAck(unsuback) => unsuback.encode(version, out),
            Self::PingReq => encode_ping(PacketType::PingReq, out),
            Self::PingResp => encode_ping(PacketType::PingResp, out),
            Self::Disconnect(disconnect) => disconnect.encode(version, out),
            Self::Auth(auth) => auth.encode(version, out),
        }
    }

    /// Bytes of this packet on the wire, if [`encode`](Self::encode) accepts it.
    pub fn encoded_len(&self, version: Version) -> usize {
        match self {
            Self::Connect(connect) => connect.encoded_len(version),
            Self::ConnAck(connack) => connack.encoded_len(version),
            Self::Publish(publish) => publish.encoded_len(version),
            Self::PubAck(ack) | Self::PubRec(ack) | Self::PubRel(ack) | Self::PubComp(ack) => {
                ack.encoded_len(version)
            }
            Self::Subscribe(subscribe) => subscribe.encoded_len(version),
            Self::SubAck(suback) => suback.encoded_len(version),
            Self::Unsubscribe(unsubscribe) => unsubscribe.encoded_len(version),
            Self::UnsubAck(unsuback) => unsuback.encoded_len(version),
            Self::PingReq | Self::PingResp => 2,
            Self::Disconnect(disconnect) => disconnect.encoded_len(version),
            Self::Auth(auth) => auth.encoded_len(version),
        }
    }
}

fn encode_ping(packet: PacketType, out: &mut WireBuf) -> Result<(), EncodeError> {
    out.start(packet.first_byte(), 0, 0);
    Ok(())
}

/// Bytes of a packet with its fixed header.
pub(crate) const fn packet_len(remaining: usize) -> usize {
    1 + variable_byte_integer_len(remaining) + remaining
}

/// Refuses a packet that is larger than any can be.
#[inline(always)]
pub(crate) const fn check_size(packet: PacketType, remaining: usize) -> Result<(), EncodeError> {
    if remaining > MAX_VARIABLE_BYTE_INTEGER as usize {
        return Err(EncodeError::PacketTooLarge { packet });
    }
    Ok(())
}

/// Refuses a string or binary field whose length does not fit its two bytes.
pub(crate) const fn check_field(packet: PacketType, field: Field, len: usize) -> Result<(), EncodeError> {
    if len > u16::MAX as usize {
        return Err(EncodeError::FieldTooLong { packet, field, len });
    }
    Ok(())
}

/// Refuses properties in a version without them, and those that do not belong in this place.
pub(crate) fn check_properties(
    packet: PacketType,
    place: Place,
    properties: Properties<'_>,
    version: Version,
) -> Result<(), EncodeError> {
    let Some(first) = properties.first() else { return Ok(()) };
    if !version.is_v5() {
        return Err(EncodeError::NotInVersion { packet, field: Field::Property(first), version });
    }
    match properties.misplaced(place) {
        Some(property) => Err(EncodeError::PropertyNotAllowed { packet, property }),
        None => Ok(()),
    }
}

/// Refuses a reason code that the standard does not define for this packet.
pub(crate) fn check_reason(packet: PacketType, reason: ReasonCode) -> Result<(), EncodeError> {
    if reason.is_allowed_in(packet, None) {
        Ok(())
    } else {
        Err(EncodeError::ReasonNotAllowed { packet, reason })
    }
}

/// A field that is wrong in this packet.
pub(crate) const fn refuse(packet: PacketType, field: Field, fault: Fault) -> EncodeError {
    EncodeError::FieldNotAllowed { packet, field, fault }
}

/// Bytes of properties with their length; none at all before 5.0.
pub(crate) const fn properties_len(properties: Properties<'_>, version: Version) -> usize {
    if !version.is_v5() {
        return 0;
    }
    let len = properties.as_bytes().len();
    variable_byte_integer_len(len) + len
}

/// Writes properties with their length, 0 if there are none `[MQTT-2.2.2-1]`; nothing before 5.0.
pub(crate) fn put_properties(out: &mut Vec<u8>, properties: Properties<'_>, version: Version) {
    if version.is_v5() {
        put_variable_byte_integer(out, properties.as_bytes().len());
        out.extend_from_slice(properties.as_bytes());
    }
}

/// The largest Remaining Length, to be sure that the constants agree.
const _: () = assert!(MAX_VARIABLE_BYTE_INTEGER + 5 == MAX_PACKET_SIZE);
