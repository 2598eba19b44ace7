//! proptest strategies for every packet (feature `proptest`), so that code which uses this crate can be tested with
//! packets that are valid, and with bytes that nearly are.
//!
//! ```
//! use mqtt_codec::{Decoder, Version, WireBuf, strategies};
//! use proptest::prelude::*;
//!
//! // Whatever the packet, its bytes are read as the same packet.
//! proptest!(|(packet in strategies::packet(Version::V5))| {
//!     let mut wire = WireBuf::new();
//!     packet.encode(Version::V5, &mut wire)?;
//!     let decoded = Decoder::new(Version::V5).decode(&mut wire.to_vec()[..].into())?;
//!     prop_assert_eq!(decoded, Some(packet));
//! });
//!
//! // Whatever a peer sends, this does not panic.
//! proptest!(|(bytes in strategies::nearly_valid_bytes(Version::V3_1_1))| {
//!     let _ = Decoder::new(Version::V3_1_1).decode(&mut bytes[..].into());
//! });
//! ```
//!
//! A strategy for a version draws only what [`encode`](crate::Packet::encode) accepts for that version. Fields are
//! short, so that tests are fast; limits of length are better tested one by one.

use crate::packet::{
    Ack, Auth, ConnAck, Connect, Disconnect, Packet, PacketType, Publish, PublishParts, SubAck, Subscribe,
    UnsubAck, Unsubscribe, Will,
};
use crate::properties::{KINDS, Kind, Place, PropertyId, bit};
use crate::properties_buf::PropertiesBuf;
use crate::reason::ReasonCode;
use crate::scalar::{Delivery, PacketId, QoS, RetainHandling, SubscriptionOptions};
use crate::text::Text;
use crate::topic::{Topic, TopicFilter, TopicName};
use crate::version::Version;
use crate::wire::{MAX_VARIABLE_BYTE_INTEGER, put_binary, put_variable_byte_integer};
use crate::wire_buf::WireBuf;
use alloc::boxed::Box;
use alloc::string::String;
use alloc::vec::Vec;
use bytes::Bytes;
use core::num::NonZeroU16;
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::{Just, Strategy, any, prop_oneof};
use proptest::sample::{Index, select};

/// Any packet of this version.
pub fn packet(version: Version) -> impl Strategy<Value = Packet> {
    let of_connections = prop_oneof![
        connect(version).prop_map(|connect| Packet::Connect(Box::new(connect))),
        connack(version).prop_map(|connack| Packet::ConnAck(Box::new(connack))),
        Just(Packet::PingReq),
        Just(Packet::PingResp),
        disconnect(version).prop_map(Packet::Disconnect),
    ];
    let of_messages = prop_oneof![
        publish(version).prop_map(Packet::Publish),
        ack(PacketType::PubAck, version).prop_map(Packet::PubAck),
        ack(PacketType::PubRec, version).prop_map(Packet::PubRec),
        ack(PacketType::PubRel, version).prop_map(Packet::PubRel),
        ack(PacketType::PubComp, version).prop_map(Packet::PubComp),
    ];
    let of_subscriptions = prop_oneof![
        subscribe(version).prop_map(Packet::Subscribe),
        suback(version).prop_map(Packet::SubAck),
        unsubscribe(version).prop_map(Packet::Unsubscribe),
        unsuback(version).prop_map(Packet::UnsubAck),
    ];
    // AUTH came with 5.0.
    let auths = u32::from(version.is_v5());
    prop_oneof![5 => of_connections, 5 => of_messages, 4 => of_subscriptions, auths => auth().prop_map(Packet::Auth)]
}

/// The bytes of a packet of this version with up to three small things wrong; by chance they may still be right. Half
/// of them have a Remaining Length that is right all the same, so that the packet is wrong inside.
pub fn nearly_valid_bytes(version: Version) -> impl Strategy<Value = Vec<u8>> {
    let faults = vec((0..5_u8, any::<Index>(), any::<u8>()), 0..=3);
    (packet(version), faults, any::<bool>()).prop_map(move |(packet, faults, reframed)| {
        let mut bytes = bytes_of(&packet, version);
        let header_len = bytes.iter().skip(1).position(|byte| *byte < 0x80).map_or(2, |last| last + 2);
        for (fault, place, byte) in faults {
            let at = place.index(bytes.len() + 1);
            match (fault, bytes.get_mut(at)) {
                (0, Some(there)) => *there = byte,
                (1, Some(there)) => *there ^= 1 << (byte & 7),
                (2, Some(_)) => drop(bytes.remove(at)),
                (3, Some(_)) => bytes.truncate(at),
                _ => bytes.insert(at, byte),
            }
        }
        if reframed { reframe(&bytes, header_len) } else { bytes }
    })
}

/// The first byte and the body with the length that the body has.
fn reframe(bytes: &[u8], header_len: usize) -> Vec<u8> {
    let body = bytes.get(header_len..).unwrap_or_default();
    let mut framed: Vec<u8> = bytes.iter().copied().take(1).collect();
    put_variable_byte_integer(&mut framed, body.len());
    framed.extend_from_slice(body);
    framed
}

/// CONNECT. In 3.1 its client identifier has 1 to 23 characters, in 3.1.1 an empty one comes with Clean Session.
pub fn connect(version: Version) -> impl Strategy<Value = Connect> {
    let client_id = match version {
        Version::V3_1 => vec(select(b"0123456789abcXYZ".as_slice()), 1..=23)
            .prop_map(|bytes| Text::from_checked(bytes.into()))
            .boxed(),
        _ => text().boxed(),
    };
    let login = (option::of(text()), option::of(password(version)));
    (
        client_id,
        any::<bool>(),
        any::<u16>(),
        properties(PacketType::Connect, version),
        option::of(will(version)),
        login,
    )
        .prop_map(move |(client_id, clean_start, keep_alive, properties, will, (username, password))| {
            Connect {
                clean_start: clean_start || client_id.is_empty() && version == Version::V3_1_1,
                client_id,
                keep_alive,
                properties,
                will,
                password: password.filter(|_| username.is_some() || version.is_v5()),
                username,
            }
        })
}

/// The will of a CONNECT.
pub fn will(version: Version) -> impl Strategy<Value = Will> {
    let highest = if version == Version::V3_1 { 0x7F } else { u8::MAX };
    let payload = vec(0..=highest, 0..16).prop_map(Bytes::from);
    (topic_name(), payload, qos(), any::<bool>(), properties_in(Place::Will, version)).prop_map(
        |(topic, payload, qos, retain, properties)| Will { topic, payload, qos, retain, properties },
    )
}

/// CONNACK.
pub fn connack(version: Version) -> impl Strategy<Value = ConnAck> {
    let refusal = if version.is_v5() {
        reason_code(PacketType::ConnAck).boxed()
    } else {
        (0..6_u8).prop_map(|code| ReasonCode::from_v3_connect(code).unwrap_or_default()).boxed()
    };
    let reason = prop_oneof![Just(ReasonCode::SUCCESS), refusal];
    (any::<bool>(), reason, properties(PacketType::ConnAck, version)).prop_map(
        move |(present, reason, properties)| ConnAck {
            session_present: present && reason == ReasonCode::SUCCESS && version != Version::V3_1,
            reason,
            properties,
        },
    )
}

/// PUBLISH as it is received.
pub fn publish(version: Version) -> impl Strategy<Value = Publish> {
    publish_parts(version)
        .prop_filter_map("the parts fit together", |parts| Publish::try_from(parts.as_parts()).ok())
}

/// What a PUBLISH is made of, owned: [`PublishParts`] borrows it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct OwnedParts {
    /// QoS, packet identifier and DUP.
    pub delivery: Delivery,
    /// The RETAIN flag.
    pub retain: bool,
    /// The topic; `None` if the alias alone names it.
    pub topic: Option<TopicName>,
    /// A topic alias.
    pub alias: Option<NonZeroU16>,
    /// The message expiry interval that replaces the one in `properties`, in seconds.
    pub expiry: Option<u32>,
    /// All other properties.
    pub properties: PropertiesBuf,
    /// The application message.
    pub payload: Bytes,
}

impl OwnedParts {
    /// The parts, to be encoded.
    pub fn as_parts(&self) -> PublishParts<'_> {
        PublishParts {
            delivery: self.delivery,
            retain: self.retain,
            topic: self.topic.as_ref().map_or(Topic::EMPTY, TopicName::borrow),
            alias: self.alias,
            expiry: self.expiry,
            properties: self.properties.view(),
            payload: &self.payload,
        }
    }
}

/// PUBLISH as it is sent.
pub fn publish_parts(version: Version) -> impl Strategy<Value = OwnedParts> {
    let in_v5 = version.is_v5();
    let extras = (option::of(any::<NonZeroU16>()), option::of(any::<u32>()), any::<bool>());
    let properties = properties(PacketType::Publish, version);
    (delivery(), any::<bool>(), topic_name(), extras, properties, payload()).prop_map(
        move |(delivery, retain, topic, (alias, expiry, named), properties, payload)| {
            let in_block = properties.view().topic_alias().is_some();
            let alias = alias.filter(|_| in_v5 && !in_block);
            let topic = (named || alias.is_none() && !in_block).then_some(topic);
            let expiry = expiry.filter(|_| in_v5);
            OwnedParts { delivery, retain, topic, alias, expiry, properties, payload }
        },
    )
}

/// An acknowledgement: what PUBACK, PUBREC, PUBREL or PUBCOMP carries.
pub fn ack(packet: PacketType, version: Version) -> impl Strategy<Value = Ack> {
    let reason =
        if version.is_v5() { reason_code(packet).boxed() } else { Just(ReasonCode::SUCCESS).boxed() };
    (packet_id(), reason, properties(packet, version)).prop_map(|(id, reason, properties)| Ack {
        id,
        reason,
        properties,
    })
}

/// SUBSCRIBE.
pub fn subscribe(version: Version) -> impl Strategy<Value = Subscribe> {
    let filters = vec((topic_filter(), subscription_options(version)), 1..4);
    (packet_id(), properties(PacketType::Subscribe, version), filters).prop_filter_map(
        "there is a filter",
        |(id, properties, mut filters)| {
            for (filter, options) in &mut filters {
                options.no_local &= filter.shared().is_none();
            }
            Subscribe::new(id, &properties, filters.iter().map(|(filter, options)| (filter, *options))).ok()
        },
    )
}

/// SUBACK. Before 5.0 there is one refusal, 0x80, and in 3.1 none.
pub fn suback(version: Version) -> impl Strategy<Value = SubAck> {
    let code = match version {
        Version::V5 => reason_code(PacketType::SubAck).boxed(),
        Version::V3_1_1 => select([0, 1, 2, 0x80].as_slice()).prop_map(ReasonCode::new).boxed(),
        Version::V3_1 => (0..=2_u8).prop_map(ReasonCode::new).boxed(),
    };
    (packet_id(), properties(PacketType::SubAck, version), vec(code, 1..4))
        .prop_filter_map("there is a code", |(id, properties, codes)| {
            SubAck::new(id, &properties, &codes).ok()
        })
}

/// UNSUBSCRIBE.
pub fn unsubscribe(version: Version) -> impl Strategy<Value = Unsubscribe> {
    (packet_id(), properties(PacketType::Unsubscribe, version), vec(topic_filter(), 1..4))
        .prop_filter_map("there is a filter", |(id, properties, filters)| {
            Unsubscribe::new(id, &properties, &filters).ok()
        })
}

/// UNSUBACK, which has no codes before 5.0.
pub fn unsuback(version: Version) -> impl Strategy<Value = UnsubAck> {
    let codes = if version.is_v5() { 1..4 } else { 0..1 };
    (packet_id(), properties(PacketType::UnsubAck, version), vec(reason_code(PacketType::UnsubAck), codes))
        .prop_map(|(id, properties, codes)| UnsubAck::new(id, &properties, &codes))
}

/// DISCONNECT, of a client or a server.
pub fn disconnect(version: Version) -> impl Strategy<Value = Disconnect> {
    let reason = if version.is_v5() {
        reason_code(PacketType::Disconnect).boxed()
    } else {
        Just(ReasonCode::NORMAL_DISCONNECTION).boxed()
    };
    (reason, properties(PacketType::Disconnect, version))
        .prop_map(|(reason, properties)| Disconnect { reason, properties })
}

/// AUTH, which 5.0 alone has; now and then the short form without reason and properties.
pub fn auth() -> impl Strategy<Value = Auth> {
    let short = Auth { reason: ReasonCode::SUCCESS, properties: PropertiesBuf::new() };
    let long = (reason_code(PacketType::Auth), properties(PacketType::Auth, Version::V5))
        .prop_map(|(reason, properties)| Auth { reason, properties });
    prop_oneof![1 => Just(short), 7 => long]
}

/// Properties that may stand in this packet; none before 5.0.
pub fn properties(packet: PacketType, version: Version) -> impl Strategy<Value = PropertiesBuf> {
    properties_in(packet.place(), version)
}

fn properties_in(place: Place, version: Version) -> impl Strategy<Value = PropertiesBuf> {
    let allowed: Vec<_> =
        PropertyId::ALL.iter().copied().filter(|property| place.allowed() & bit(*property) != 0).collect();
    let most = if version.is_v5() { 6 } else { 0 };
    vec((select(allowed), value()), 0..=most).prop_map(move |list| block(list, place))
}

/// The value of a property of any kind: what its kind does not need is not used.
#[derive(Clone, Debug)]
struct Value {
    number: u32,
    text: Text,
    topic: TopicName,
}

fn value() -> impl Strategy<Value = Value> {
    (any::<u32>(), text(), topic_name()).prop_map(|(number, text, topic)| Value { number, text, topic })
}

/// Writes the properties, of those that may not repeat the first.
fn block(list: Vec<(PropertyId, Value)>, place: Place) -> PropertiesBuf {
    let mut block = Vec::new();
    let mut seen = 0;
    for (property, value) in list {
        if seen & bit(property) & !place.repeatable() == 0 {
            seen |= bit(property);
            put_property(&mut block, property, &value);
        }
    }
    // Authentication data needs a method, and so does AUTH `[5u-10]`.
    let method = PropertyId::AuthenticationMethod;
    let needs_method = place == Place::Auth || seen & bit(PropertyId::AuthenticationData) != 0;
    if needs_method && seen & bit(method) == 0 {
        block.push(method as u8);
        put_binary(&mut block, b"method");
    }
    PropertiesBuf::from_checked(block.into())
}

fn put_property(out: &mut Vec<u8>, property: PropertyId, value: &Value) {
    let Value { number, text, topic } = value;
    out.push(property as u8);
    match KINDS.get(property as usize).copied().unwrap_or(Kind::None) {
        Kind::None => {}
        Kind::Flag => out.push((number & 1) as u8),
        Kind::Two => out.extend_from_slice(&(*number as u16).to_be_bytes()),
        Kind::TwoNotZero | Kind::Alias => out.extend_from_slice(&(*number as u16).max(1).to_be_bytes()),
        Kind::Four => out.extend_from_slice(&number.to_be_bytes()),
        Kind::FourNotZero => out.extend_from_slice(&(*number).max(1).to_be_bytes()),
        Kind::VariableNotZero => {
            put_variable_byte_integer(out, (number & MAX_VARIABLE_BYTE_INTEGER).max(1) as usize);
        }
        Kind::Text | Kind::Binary => put_binary(out, text.as_bytes()),
        Kind::Topic => put_binary(out, topic.as_bytes()),
        Kind::Pair => {
            put_binary(out, text.as_bytes());
            put_binary(out, topic.as_bytes());
        }
    }
}

/// A reason code that a client or a server may use in packets of this type, which must have reason codes.
pub fn reason_code(packet: PacketType) -> impl Strategy<Value = ReasonCode> {
    let codes: Vec<_> =
        (0..=u8::MAX).map(ReasonCode::new).filter(|code| code.is_allowed_in(packet, None)).collect();
    select(codes)
}

/// Any packet identifier.
pub fn packet_id() -> impl Strategy<Value = PacketId> {
    any::<NonZeroU16>().prop_map(|id| PacketId::new(id.get()).unwrap_or(PacketId::MIN))
}

/// Any quality of service.
pub fn qos() -> impl Strategy<Value = QoS> {
    select([QoS::AtMostOnce, QoS::AtLeastOnce, QoS::ExactlyOnce].as_slice())
}

/// Any delivery.
pub fn delivery() -> impl Strategy<Value = Delivery> {
    (qos(), packet_id(), any::<bool>()).prop_map(|(qos, id, dup)| match qos {
        QoS::AtMostOnce => Delivery::AtMostOnce,
        QoS::AtLeastOnce => Delivery::AtLeastOnce { id, dup },
        QoS::ExactlyOnce => Delivery::ExactlyOnce { id, dup },
    })
}

/// Subscription options; before 5.0 a QoS and nothing else.
pub fn subscription_options(version: Version) -> impl Strategy<Value = SubscriptionOptions> {
    let handling =
        select([RetainHandling::Send, RetainHandling::SendIfNew, RetainHandling::DoNotSend].as_slice());
    (qos(), any::<bool>(), any::<bool>(), handling).prop_map(
        move |(qos, no_local, retain_as_published, retain_handling)| match version {
            Version::V5 => SubscriptionOptions { qos, no_local, retain_as_published, retain_handling },
            _ => SubscriptionOptions::new(qos),
        },
    )
}

/// A string that MQTT can carry, maybe empty.
pub fn text() -> impl Strategy<Value = Text> {
    string().prop_map(|text| Text::from_checked(text.into()))
}

/// A topic name.
pub fn topic_name() -> impl Strategy<Value = TopicName> {
    vec(level(), 1..4)
        .prop_map(|levels| levels.join("/"))
        .prop_filter_map("it has a character", |name| TopicName::try_from(name).ok())
}

/// A topic filter: plain, with wildcards, or of a shared subscription.
pub fn topic_filter() -> impl Strategy<Value = TopicFilter> {
    let start = prop_oneof![3 => Just(""), 1 => Just("$share/group/")];
    let level = prop_oneof![3 => level(), 1 => Just(String::from("+"))];
    let end = prop_oneof![3 => Just(""), 1 => Just("/#")];
    (start, vec(level, 1..4), end)
        .prop_map(|(start, levels, end)| [start, &levels.join("/"), end].concat())
        .prop_filter_map("it has a character", |filter| TopicFilter::try_from(filter).ok())
}

/// A level of a topic, maybe empty, without separator and wildcards.
fn level() -> impl Strategy<Value = String> {
    string().prop_map(|text| text.replace(['+', '#', '/'], ""))
}

fn string() -> impl Strategy<Value = String> {
    vec(any::<char>(), 0..8).prop_map(|chars| chars.into_iter().filter(|char| *char != '\0').collect())
}

fn password(version: Version) -> impl Strategy<Value = Bytes> {
    // A string in 3.1 `[31-6]`.
    if version == Version::V3_1 { text().prop_map(Text::into_bytes).boxed() } else { payload().boxed() }
}

fn payload() -> impl Strategy<Value = Bytes> {
    vec(any::<u8>(), 0..16).prop_map(Bytes::from)
}

fn bytes_of(packet: &Packet, version: Version) -> Vec<u8> {
    let mut out = WireBuf::new();
    // A packet of a version's strategy can be encoded in that version; the tests show it.
    let _ = packet.encode(version, &mut out);
    out.to_vec()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decoder::Decoder;
    use proptest::{prop_assert, prop_assert_eq, proptest};

    proptest! {
        #[test]
        fn what_is_drawn_for_a_version_is_valid_in_it(
            (version, packet) in select([Version::V3_1, Version::V3_1_1, Version::V5].as_slice())
                .prop_flat_map(|version| (Just(version), packet(version)))
        ) {
            let bytes = bytes_of(&packet, version);
            prop_assert_eq!(bytes.len(), packet.encoded_len(version));
            prop_assert_eq!(Decoder::new(version).decode(&mut bytes[..].into()), Ok(Some(packet)));
        }

        #[test]
        fn parts_are_valid_in_their_version(parts in publish_parts(Version::V3_1)) {
            prop_assert!(parts.as_parts().encode(Version::V3_1, &mut WireBuf::new()).is_ok());
        }

        #[test]
        fn nearly_valid_bytes_do_not_stop_the_decoder(bytes in nearly_valid_bytes(Version::V5)) {
            let _ = Decoder::new(Version::V5).decode(&mut bytes[..].into());
        }
    }
}
