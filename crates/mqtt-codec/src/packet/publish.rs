//! PUBLISH, section 3.3: one type for what was received, one for what is to be sent.

use super::connect::V3_1_TOPIC_CHARS;
use super::{PacketType, Sender, check_properties, check_size, packet_len, refuse};
use crate::error::{DecodeError, EncodeError, Fault, Field};
use crate::properties::{Place, Properties, PropertyId, properties};
use crate::properties_buf::PropertiesBuf;
use crate::scalar::{Delivery, PacketId, QoS};
use crate::text::trusted_str;
use crate::topic::{Topic, TopicError, TopicName, check_name};
use crate::version::Version;
use crate::wire::{binary, fail, packet_id, put_variable_byte_integer, variable_byte_integer_len};
use crate::wire_buf::{SEGMENT_LEN, WireBuf};
use alloc::vec::Vec;
use bytes::{Buf, Bytes};
use core::fmt;
use core::num::NonZeroU16;

const PACKET: PacketType = PacketType::Publish;

const RETAIN: u8 = 0x01;
const DUP: u8 = 0x08;

/// A PUBLISH that was received: its frame and where the fields lie in it. Nothing of it was copied; it keeps the
/// read buffer that it came in alive.
///
/// Two are equal if they say the same, in whatever version's frame.
#[derive(Clone)]
pub struct Publish {
    frame: Bytes,
    fields: Fields,
}

/// Where the fields of a PUBLISH lie in its frame, and what its header says.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Fields {
    first: u8,
    /// The topic begins here: 4 to 7.
    topic_at: u8,
    topic_len: u16,
    id: Option<PacketId>,
    has_alias: bool,
    /// The properties without their length; they end where the payload begins.
    properties_at: u32,
    payload_at: u32,
}

impl Fields {
    /// Reads what follows the fixed header of `header_len` bytes.
    #[inline(always)]
    pub(crate) fn parse(
        first: u8,
        body: &[u8],
        header_len: usize,
        sender: Option<Sender>,
        version: Version,
    ) -> Result<Self, nom::Err<DecodeError>> {
        let qos = match first & 0b110 {
            0 if first & DUP != 0 => return fail(Field::FixedHeader, Fault::DupAtQoS0),
            0b110 => return fail(Field::FixedHeader, Fault::ReservedQoS),
            qos => qos,
        };
        let (mut rest, topic) = binary(body, Field::TopicName)?;
        if !topic.is_empty()
            && let Err(error) = check_name(topic)
        {
            return fail(Field::TopicName, error.into());
        }
        let mut id = None;
        if qos != 0 {
            let (after, some) = packet_id(rest)?;
            (rest, id) = (after, Some(some));
        }
        let mut has_alias = false;
        let mut properties_at = None;
        if version.is_v5() {
            let (after, checked) = properties(rest, Place::Publish)?;
            has_alias = checked.has(PropertyId::TopicAlias);
            // A client tells no subscription identifiers `[MQTT-3.3.4-6]`.
            if sender == Some(Sender::Client) && checked.has(PropertyId::SubscriptionIdentifier) {
                return fail(
                    Field::Property(PropertyId::SubscriptionIdentifier),
                    Fault::PropertyNotFromSender,
                );
            }
            properties_at = Some(body.len() - after.len() - checked.block.len());
            rest = after;
        }
        // The empty topic is for an alias to replace `[MQTT-3.3.2-1]` `[MQTT-4.7.3-1]`.
        if topic.is_empty() && !has_alias {
            return fail(Field::TopicName, Fault::Topic(TopicError::Empty));
        }
        let payload_at = body.len() - rest.len();
        Ok(Self {
            first,
            topic_at: (header_len + 2) as u8,
            topic_len: topic.len() as u16,
            id,
            has_alias,
            properties_at: (header_len + properties_at.unwrap_or(payload_at)) as u32,
            payload_at: (header_len + payload_at) as u32,
        })
    }
}

impl Publish {
    #[inline(always)]
    pub(crate) const fn from_parsed(frame: Bytes, fields: Fields) -> Self {
        Self { frame, fields }
    }

    /// QoS, packet identifier and DUP.
    #[inline]
    pub const fn delivery(&self) -> Delivery {
        let dup = self.fields.first & DUP != 0;
        match self.fields.id {
            None => Delivery::AtMostOnce,
            Some(id) if self.fields.first & 0b100 != 0 => Delivery::ExactlyOnce { id, dup },
            Some(id) => Delivery::AtLeastOnce { id, dup },
        }
    }

    /// The quality of service.
    pub const fn qos(&self) -> QoS {
        self.delivery().qos()
    }

    /// The RETAIN flag, section 3.3.1.3.
    #[inline]
    pub const fn retain(&self) -> bool {
        self.fields.first & RETAIN != 0
    }

    /// The topic name; empty if only a topic alias names the topic.
    #[inline]
    pub fn topic(&self) -> &str {
        trusted_str(self.topic_bytes())
    }

    /// The topic name as a value of its own, which shares the frame unless it is short; `None` if only a topic alias names the topic.
    #[inline]
    pub fn topic_name(&self) -> Option<TopicName> {
        let name = self.topic_bytes();
        if name.is_empty() { None } else { Some(TopicName::from_checked(&self.frame, name)) }
    }

    /// The topic alias; `None` before 5.0.
    #[inline]
    pub fn topic_alias(&self) -> Option<u16> {
        if self.fields.has_alias { self.properties().topic_alias() } else { None }
    }

    /// The application message.
    #[inline]
    pub fn payload(&self) -> &[u8] {
        self.part(self.fields.payload_at as usize, self.frame.len())
    }

    /// The application message as a value of its own, which shares the frame.
    #[inline]
    pub fn payload_bytes(&self) -> Bytes {
        self.clone().into_payload()
    }

    /// The application message, without a copy.
    #[inline]
    pub fn into_payload(self) -> Bytes {
        let mut payload = self.frame;
        payload.advance(self.fields.payload_at as usize);
        payload
    }

    /// The properties; empty before 5.0.
    #[inline]
    pub fn properties(&self) -> Properties<'_> {
        Properties::from_checked(
            self.part(self.fields.properties_at as usize, self.fields.payload_at as usize),
        )
    }

    /// The properties as a value of its own.
    #[inline]
    pub fn properties_buf(&self) -> PropertiesBuf {
        let (at, end) = (self.fields.properties_at as usize, self.fields.payload_at as usize);
        PropertiesBuf::part_of(&self.frame, self.part(at, end))
    }

    /// Appends this packet as it was received. On an error nothing was written.
    pub fn encode(&self, version: Version, out: &mut WireBuf) -> Result<(), EncodeError> {
        self.head().encode(version, out, self.payload(), || self.payload_bytes())
    }

    /// Bytes of this packet on the wire.
    pub fn encoded_len(&self, version: Version) -> usize {
        self.head().encoded_len(version, self.payload().len())
    }

    fn head(&self) -> Head<'_> {
        Head {
            delivery: self.delivery(),
            retain: self.retain(),
            topic: Topic::from_checked(self.topic_bytes()),
            alias: None,
            expiry: None,
            properties: self.properties(),
        }
    }

    fn topic_bytes(&self) -> &[u8] {
        let at = usize::from(self.fields.topic_at);
        self.part(at, at + usize::from(self.fields.topic_len))
    }

    fn part(&self, at: usize, end: usize) -> &[u8] {
        self.frame.get(at..end).unwrap_or_default()
    }
}

impl PartialEq for Publish {
    fn eq(&self, other: &Self) -> bool {
        (self.fields.first, self.fields.id) == (other.fields.first, other.fields.id)
            && self.topic_bytes() == other.topic_bytes()
            && self.properties() == other.properties()
            && self.payload() == other.payload()
    }
}

impl Eq for Publish {}

impl fmt::Debug for Publish {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Publish")
            .field("delivery", &self.delivery())
            .field("retain", &self.retain())
            .field("topic", &self.topic())
            .field("properties", &self.properties())
            .field("payload", &format_args!("{} bytes", self.payload().len()))
            .finish()
    }
}

/// A PUBLISH to send, put together from parts that the caller keeps.
///
/// ```
/// use bytes::Bytes;
/// use mqtt_codec::{Delivery, Properties, PublishParts, Topic, Version, WireBuf};
///
/// let (mut out, payload) = (WireBuf::new(), Bytes::from_static(b"on"));
/// let publish = PublishParts::new(Delivery::AtMostOnce, Topic::new("hall/lamp")?, &payload);
/// publish.encode(Version::V3_1_1, &mut out)?;
/// assert_eq!(out.to_vec(), b"\x30\x0d\x00\x09hall/lampon");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct PublishParts<'a> {
    /// QoS, packet identifier and DUP.
    pub delivery: Delivery,
    /// The RETAIN flag.
    pub retain: bool,
    /// The topic; [`Topic::EMPTY`] if the alias alone names it.
    pub topic: Topic<'a>,
    /// A topic alias, 5.0 only; beside one in `properties` it is refused.
    pub alias: Option<NonZeroU16>,
    /// The message expiry interval to send instead of the one in `properties`, 5.0 only.
    pub expiry: Option<u32>,
    /// All other properties, 5.0 only.
    pub properties: Properties<'a>,
    /// The application message. From [`SEGMENT_LEN`](crate::SEGMENT_LEN) bytes on it is shared, not copied.
    pub payload: &'a Bytes,
}

impl<'a> PublishParts<'a> {
    /// A PUBLISH without RETAIN, alias and properties.
    pub const fn new(delivery: Delivery, topic: Topic<'a>, payload: &'a Bytes) -> Self {
        let properties = Properties::EMPTY;
        Self { delivery, retain: false, topic, alias: None, expiry: None, properties, payload }
    }

    /// Appends this packet. On an error nothing was written.
    #[inline]
    pub fn encode(&self, version: Version, out: &mut WireBuf) -> Result<(), EncodeError> {
        if self.head().is_plain() {
            self.head().encode(version, out, self.payload, || self.payload.clone())
        } else {
            self.encode_with_properties(version, out)
        }
    }

    #[cold]
    fn encode_with_properties(&self, version: Version, out: &mut WireBuf) -> Result<(), EncodeError> {
        self.head().encode(version, out, self.payload, || self.payload.clone())
    }

    /// Bytes of this packet on the wire.
    #[inline(always)]
    pub fn encoded_len(&self, version: Version) -> usize {
        self.head().encoded_len(version, self.payload.len())
    }

    #[inline(always)]
    const fn head(&self) -> Head<'a> {
        let Self { delivery, retain, topic, alias, expiry, properties, .. } = *self;
        Head { delivery, retain, topic, alias, expiry, properties }
    }
}

/// Everything of a PUBLISH to write but the payload.
struct Head<'a> {
    delivery: Delivery,
    retain: bool,
    topic: Topic<'a>,
    alias: Option<NonZeroU16>,
    expiry: Option<u32>,
    properties: Properties<'a>,
}

impl Head<'_> {
    #[inline(always)]
    fn encode(
        &self,
        version: Version,
        out: &mut WireBuf,
        payload: &[u8],
        share: impl FnOnce() -> Bytes,
    ) -> Result<(), EncodeError> {
        self.check(version)?;
        let remaining = self.remaining_len(version, payload.len());
        check_size(PACKET, remaining)?;
        let topic = self.topic.as_bytes();
        let copied = if payload.len() < SEGMENT_LEN { payload.len() } else { 0 };
        let room = remaining - payload.len() + copied;
        let bytes = out.start_with_field(self.first_byte(), remaining, room, topic);
        match self.delivery.id().map(|id| id.get().to_be_bytes()) {
            Some([high, low]) if version.is_v5() && self.is_plain() => {
                bytes.extend_from_slice(&[high, low, 0])
            }
            Some(id) => {
                bytes.extend_from_slice(&id);
                self.put_properties(bytes, version);
            }
            None => self.put_properties(bytes, version),
        }
        out.put_payload(payload, share);
        Ok(())
    }

    #[inline(always)]
    fn check(&self, version: Version) -> Result<(), EncodeError> {
        if !self.is_plain() {
            return self.check_all(version);
        }
        if self.topic.as_bytes().is_empty() {
            return Err(no_topic());
        }
        if version == Version::V3_1 { check_topic_of_v3_1(self.topic) } else { Ok(()) }
    }

    /// Whether there are no properties.
    #[inline(always)]
    fn is_plain(&self) -> bool {
        self.properties.is_empty() && self.alias.is_none() && self.expiry.is_none()
    }

    fn check_all(&self, version: Version) -> Result<(), EncodeError> {
        let topic_alias = PropertyId::TopicAlias;
        for (set, property) in
            [(self.alias.is_some(), topic_alias), (self.expiry.is_some(), PropertyId::MessageExpiryInterval)]
        {
            if set && !version.is_v5() {
                return Err(EncodeError::NotInVersion {
                    packet: PACKET,
                    field: Field::Property(property),
                    version,
                });
            }
        }
        check_properties(PACKET, Place::Publish, self.properties, version)?;
        let has_alias = self.properties.topic_alias().is_some();
        if has_alias && self.alias.is_some() {
            return Err(EncodeError::PropertyNotAllowed { packet: PACKET, property: topic_alias });
        }
        if self.topic.as_bytes().is_empty() && self.alias.is_none() && !has_alias {
            return Err(no_topic());
        }
        if version == Version::V3_1 { check_topic_of_v3_1(self.topic) } else { Ok(()) }
    }

    #[inline(always)]
    fn first_byte(&self) -> u8 {
        PACKET.first_byte()
            | if self.delivery.dup() { DUP } else { 0 }
            | self.delivery.qos().as_u8() << 1
            | if self.retain { RETAIN } else { 0 }
    }

    #[inline(always)]
    fn encoded_len(&self, version: Version, payload: usize) -> usize {
        packet_len(self.remaining_len(version, payload))
    }

    #[inline(always)]
    fn remaining_len(&self, version: Version, payload: usize) -> usize {
        let id = if self.delivery.id().is_some() { 2 } else { 0 };
        let properties = if version.is_v5() {
            let block = self.block_len();
            variable_byte_integer_len(block) + block
        } else {
            0
        };
        2 + self.topic.as_bytes().len() + id + properties + payload
    }

    /// Bytes of the properties without their length.
    #[inline(always)]
    fn block_len(&self) -> usize {
        let alias = if self.alias.is_some() { 3 } else { 0 };
        match self.expiry {
            None => self.properties.as_bytes().len() + alias,
            Some(_) => self.without_expiry().map(<[u8]>::len).sum::<usize>() + 5 + alias,
        }
    }

    #[inline(always)]
    fn put_properties(&self, out: &mut Vec<u8>, version: Version) {
        match version.is_v5() {
            false => {}
            true if self.is_plain() => out.push(0),
            true => self.put_some_properties(out),
        }
    }

    fn put_some_properties(&self, out: &mut Vec<u8>) {
        put_variable_byte_integer(out, self.block_len());
        if let Some(alias) = self.alias {
            out.push(PropertyId::TopicAlias as u8);
            out.extend_from_slice(&alias.get().to_be_bytes());
        }
        match self.expiry {
            None => out.extend_from_slice(self.properties.as_bytes()),
            Some(expiry) => {
                out.push(PropertyId::MessageExpiryInterval as u8);
                out.extend_from_slice(&expiry.to_be_bytes());
                self.without_expiry().for_each(|piece| out.extend_from_slice(piece));
            }
        }
    }

    fn without_expiry(&self) -> impl Iterator<Item = &[u8]> {
        self.properties.pieces_without(PropertyId::MessageExpiryInterval)
    }
}

#[cold]
const fn no_topic() -> EncodeError {
    refuse(PACKET, Field::TopicName, Fault::Topic(TopicError::Empty))
}

/// `[31-16]`
#[cold]
fn check_topic_of_v3_1(topic: Topic<'_>) -> Result<(), EncodeError> {
    if topic.as_str().chars().count() > V3_1_TOPIC_CHARS {
        return Err(refuse(PACKET, Field::TopicName, Fault::ValueNotAllowed));
    }
    Ok(())
}

/// Builds a packet as if it had been received, by a copy into a frame of its own: for tests and for tools. To send,
/// encode the parts.
impl TryFrom<PublishParts<'_>> for Publish {
    type Error = EncodeError;

    fn try_from(parts: PublishParts<'_>) -> Result<Self, EncodeError> {
        let mut wire = WireBuf::new();
        parts.encode(Version::V5, &mut wire)?;
        let frame = Bytes::from(wire.to_vec());
        let header_len = frame.len() - parts.head().remaining_len(Version::V5, parts.payload.len());
        let body = frame.get(header_len..).unwrap_or_default();
        let first = frame.first().copied().unwrap_or_default();
        let wrong = |error: nom::Err<DecodeError>| {
            let error = crate::wire::error_of(error);
            refuse(PACKET, error.field(), error.fault())
        };
        let fields = Fields::parse(first, body, header_len, None, Version::V5).map_err(wrong)?;
        Ok(Self { frame, fields })
    }
}
