//! Whatever can be encoded decodes to what it was, and the encoder can write nothing that the decoder refuses.

mod common;

use common::properties::ack;
use common::{VERSIONS, decode_with, encode, show};
use mqtt_codec::strategies::{OwnedParts, connect, packet, properties, publish_parts};
use mqtt_codec::{
    Ack, Auth, ConnAck, Connect, Decoder, Disconnect, Packet, PacketType, PropertiesBuf, Publish,
    PublishParts, ReasonCode, SubAck, Subscribe, Topic, TopicFilter, UnsubAck, Unsubscribe, Version, Will,
    WireBuf,
};
use proptest::option;
use proptest::prelude::*;
use proptest::sample::select;

fn any_version() -> impl Strategy<Value = Version> {
    select(&VERSIONS[..])
}

/// A packet, legal in the version beside it.
fn legal() -> impl Strategy<Value = (Version, Packet)> {
    any_version().prop_flat_map(|version| (Just(version), packet(version)))
}

/// A packet that is legal somewhere, with a reason code or properties from elsewhere: the types allow it, the
/// standard mostly does not.
fn strayed() -> impl Strategy<Value = Packet> {
    let kinds: Vec<_> = (1..=15).filter_map(PacketType::from_u8).collect();
    let properties = select(kinds).prop_flat_map(|kind| properties(kind, Version::V5));
    let reason = any::<u8>().prop_map(ReasonCode::new);
    let parts = (option::of(reason), option::of(properties), any::<bool>());
    (legal(), parts).prop_filter_map("cannot be built", |((_, packet), (reason, properties, flag))| {
        stray(packet, reason, properties, flag)
    })
}

fn stray(
    packet: Packet,
    reason: Option<ReasonCode>,
    properties: Option<PropertiesBuf>,
    flag: bool,
) -> Option<Packet> {
    let is = packet.packet_type();
    let other = |own: PropertiesBuf| properties.clone().unwrap_or(own);
    let code = |own: ReasonCode| reason.unwrap_or(own);
    let any_properties = properties.clone().unwrap_or_default();
    Some(match packet {
        Packet::Connect(connect) => {
            let own = connect.properties.clone();
            let username = connect.username.clone().filter(|_| flag);
            let will = connect.will.clone().map(|will| {
                let properties = if flag { other(will.properties.clone()) } else { will.properties.clone() };
                Will { properties, ..will }
            });
            let properties = if flag { own } else { other(own) };
            Packet::Connect(Box::new(Connect { username, will, properties, ..*connect }))
        }
        Packet::ConnAck(connack) => {
            let (reason, properties) = (code(connack.reason), other(connack.properties));
            Packet::ConnAck(Box::new(ConnAck { session_present: flag, reason, properties }))
        }
        Packet::Publish(publish) => {
            let topic = if flag { Topic::EMPTY } else { Topic::new(publish.topic()).unwrap_or(Topic::EMPTY) };
            let payload = publish.payload_bytes();
            let properties = other(publish.properties_buf());
            let parts = PublishParts::new(publish.delivery(), topic, &payload);
            let parts = PublishParts { properties: properties.view(), ..parts };
            Packet::Publish(Publish::try_from(parts).ok()?)
        }
        Packet::PubAck(own) | Packet::PubRec(own) | Packet::PubRel(own) | Packet::PubComp(own) => {
            ack(is, Ack { reason: code(own.reason), properties: other(own.properties), ..own })
        }
        Packet::Subscribe(own) => {
            let filters: Vec<_> =
                own.filters().map(|(name, options)| (common::filter(name), options)).collect();
            let filters = filters.iter().map(|(filter, options)| (filter, *options));
            Packet::Subscribe(Subscribe::new(own.id(), &any_properties, filters).ok()?)
        }
        Packet::SubAck(own) => {
            let codes: Vec<_> = own.codes().map(code).collect();
            Packet::SubAck(SubAck::new(own.id(), &any_properties, &codes).ok()?)
        }
        Packet::Unsubscribe(own) => {
            let filters: Vec<TopicFilter> = own.filters().map(common::filter).collect();
            Packet::Unsubscribe(Unsubscribe::new(own.id(), &any_properties, &filters).ok()?)
        }
        Packet::UnsubAck(own) => {
            let codes: Vec<_> = own.codes().map(code).filter(|_| flag).collect();
            Packet::UnsubAck(UnsubAck::new(own.id(), &any_properties, &codes))
        }
        Packet::Disconnect(own) => {
            let (reason, properties) = (code(own.reason), other(own.properties));
            Packet::Disconnect(Disconnect { reason, properties })
        }
        Packet::Auth(own) => {
            let (reason, properties) = (code(own.reason), other(own.properties));
            Packet::Auth(Auth { reason, properties })
        }
        ping @ (Packet::PingReq | Packet::PingResp) => ping,
    })
}

fn publishes() -> impl Strategy<Value = (Version, OwnedParts)> {
    any_version().prop_flat_map(|version| (Just(version), publish_parts(version)))
}

fn connects() -> impl Strategy<Value = (Version, Connect)> {
    any_version().prop_flat_map(|version| (Just(version), connect(version)))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn a_legal_packet_comes_back_as_it_was((version, packet) in legal()) {
        let wire = encode(version, &packet);
        prop_assert!(wire.is_ok(), "{version}: {:?}", wire);
        prop_assert_eq!(decode_with(Decoder::new(version), wire.unwrap()), Ok(packet));
    }

    /// The encoder produces nothing that breaks a rule: what it writes, a strict decoder takes, and writes again.
    #[test]
    fn what_is_written_is_legal(version in any_version(), packet in strayed()) {
        if let Ok(wire) = encode(version, &packet) {
            let back = decode_with(Decoder::new(version), &wire[..]);
            prop_assert!(back.is_ok(), "{version} refuses {}: {:?}", show(&wire), back);
            let again = encode(version, &back.unwrap());
            prop_assert_eq!(again.map(|wire| show(&wire)), Ok(show(&wire)));
        }
    }

    /// A PUBLISH from parts is the one that is received.
    #[test]
    fn parts_come_back_as_they_were((version, owned) in publishes()) {
        let parts = owned.as_parts();
        let mut out = WireBuf::new();
        prop_assert_eq!(parts.encode(version, &mut out), Ok(()));
        prop_assert_eq!(out.len(), parts.encoded_len(version));
        let back = decode_with(Decoder::new(version), out.to_vec());
        let Ok(Packet::Publish(publish)) = back else { return Err(TestCaseError::fail(format!("{back:?}"))) };
        prop_assert_eq!((publish.delivery(), publish.retain()), (owned.delivery, owned.retain));
        prop_assert_eq!(publish.topic_name(), owned.topic.clone());
        prop_assert_eq!(publish.payload(), &owned.payload);
        let view = publish.properties();
        let own = owned.properties.view();
        let alias = owned.alias.map(|alias| alias.get()).or_else(|| own.topic_alias());
        prop_assert_eq!(view.topic_alias(), alias);
        prop_assert_eq!(view.message_expiry_interval(), owned.expiry.or_else(|| own.message_expiry_interval()));
        prop_assert!(view.user_properties().eq(own.user_properties()));
        prop_assert!(view.subscription_identifiers().eq(own.subscription_identifiers()));
    }

    /// A strict server takes every CONNECT that can be built, and learns the version from it.
    /// [MQTT-3.1.4-1] [MQTT-3.1.4-1/3.1.1]
    #[test]
    fn a_server_takes_every_connect((version, connect) in connects()) {
        let packet = Packet::Connect(Box::new(connect));
        let mut decoder = Decoder::for_server();
        let wire = encode(version, &packet).unwrap();
        prop_assert_eq!(decoder.decode(&mut wire[..].into()), Ok(Some(packet)));
        prop_assert_eq!(decoder.version(), Some(version));
    }
}
