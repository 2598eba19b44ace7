//! From a message to its PUBLISH: whether it can be sent, and what is decided only when it is.

use crate::error::UsageError;
use crate::event::{Message, Token};
use crate::in_flight::Outgoing;
use crate::link::Link;
use crate::time::Instant;
use core::str::from_utf8;
use core::time::Duration;
use mqtt_codec::{
    Delivery, EncodeError, MAX_PACKET_SIZE, PacketId, PropertyId, PublishParts, QoS, Version, WireBuf,
};

/// The property itself, and one byte more of Property Length and of Remaining Length.
const MOST_BYTES_OF_ALIAS: usize = 3 + 1 + 1;

/// Whether a message can be sent at all in this version; what depends on the server comes later. Returns the
/// bytes of its packet, with the topic in full.
#[inline(always)]
pub(crate) fn check(message: &Message, version: Version) -> Result<u32, UsageError> {
    let size = size(message, version);
    let plain = message.properties.is_empty() && version != Version::V3_1 && size <= MAX_PACKET_SIZE;
    if plain { Ok(size) } else { check_all(message, version).map(|()| size) }
}

#[inline(never)]
fn check_all(message: &Message, version: Version) -> Result<(), UsageError> {
    let properties = message.properties.view();
    if properties.topic_alias().is_some() {
        return Err(UsageError::PropertyNotAllowed(PropertyId::TopicAlias));
    }
    // `[MQTT-3.3.4-6]`
    if properties.subscription_identifiers().next().is_some() {
        return Err(UsageError::PropertyNotAllowed(PropertyId::SubscriptionIdentifier));
    }
    // `[5u-29]`
    if properties.payload_format_indicator() == Some(true) && from_utf8(&message.payload).is_err() {
        return Err(UsageError::PayloadNotUtf8);
    }
    Ok(parts(message).encode(version, &mut WireBuf::new())?)
}

/// The bytes of its packet, with the topic in full.
#[inline(always)]
pub(crate) fn size(message: &Message, version: Version) -> u32 {
    // No packet is as large as the largest number.
    u32::try_from(parts(message).encoded_len(version)).unwrap_or(u32::MAX)
}

/// Appends the PUBLISH of a message to be stored: its packet identifier means nothing. With DUP if it was sent in a
/// session that is lost.
pub(crate) fn encode(message: &Message, again: bool, out: &mut WireBuf) -> Result<(), EncodeError> {
    let delivery = delivery(message.qos, PacketId::MIN, again);
    PublishParts { delivery, ..parts(message) }.encode(Version::V5, out)
}

fn parts(message: &Message) -> PublishParts<'_> {
    PublishParts {
        retain: message.retain,
        properties: message.properties.view(),
        ..PublishParts::new(
            delivery(message.qos, PacketId::MIN, false),
            message.topic.borrow(),
            &message.payload,
        )
    }
}

pub(crate) const fn delivery(qos: QoS, id: PacketId, dup: bool) -> Delivery {
    match qos {
        QoS::AtMostOnce => Delivery::AtMostOnce,
        QoS::AtLeastOnce => Delivery::AtLeastOnce { id, dup },
        QoS::ExactlyOnce => Delivery::ExactlyOnce { id, dup },
    }
}

impl Outgoing {
    /// A message that was never sent.
    pub(crate) fn new(now: Instant, token: Token, message: Message, size: u32) -> Self {
        Self { token, size, expires: expires(now, &message), message, sent_on: None, round: 0 }
    }
}

/// When the message expiry interval passes.
#[inline(always)]
pub(crate) fn expires(now: Instant, message: &Message) -> Option<Instant> {
    if message.properties.is_empty() { None } else { expires_with_properties(now, message) }
}

fn expires_with_properties(now: Instant, message: &Message) -> Option<Instant> {
    let seconds = message.properties.view().message_expiry_interval()?;
    Some(now + Duration::from_secs(seconds.into()))
}

/// Appends the PUBLISH of a message, if this server takes it. On an error nothing was written.
pub(crate) fn write(
    now: Instant,
    outgoing: &Outgoing,
    delivery: Delivery,
    link: &mut Link,
    out: &mut WireBuf,
) -> Result<(), UsageError> {
    let Outgoing { message, expires, .. } = outgoing;
    link.negotiated.check_message(message)?;
    link.negotiated.check_size(outgoing.size())?;
    if !message.properties.is_empty() || expires.is_some() || link.aliases.are_allowed() {
        return write_with_properties(now, outgoing, delivery, link, out);
    }
    let plain = PublishParts::new(delivery, message.topic.borrow(), &message.payload);
    Ok(PublishParts { retain: message.retain, ..plain }.encode(link.negotiated.version, out)?)
}

/// The same with properties, those of the message and those that come with sending it.
#[inline(never)]
fn write_with_properties(
    now: Instant,
    outgoing: &Outgoing,
    delivery: Delivery,
    link: &mut Link,
    out: &mut WireBuf,
) -> Result<(), UsageError> {
    let Outgoing { message, expires, .. } = outgoing;
    let expiry = expires.map(|at| seconds_until(now, at));
    let mut publish = PublishParts { delivery, expiry, ..parts(message) };
    if link.aliases.are_allowed() && link.negotiated.check_size(outgoing.size() + MOST_BYTES_OF_ALIAS).is_ok()
    {
        (publish.topic, publish.alias) = link.aliases.write(&message.topic);
    }
    publish.encode(link.negotiated.version, out).map_err(|error| {
        // The server does not learn of the alias that was chosen for this packet.
        link.aliases.forget();
        error.into()
    })
}

/// Whole seconds, rounded up: a message that has not expired must not be sent as one that has.
fn seconds_until(now: Instant, at: Instant) -> u32 {
    let left = at.saturating_duration_since(now);
    let seconds = left.as_secs() + u64::from(left.subsec_nanos() > 0);
    u32::try_from(seconds).unwrap_or(u32::MAX)
}
