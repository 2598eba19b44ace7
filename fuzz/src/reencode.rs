//! What decodes can be written, is read as the same again, and is then written as the same bytes.

use crate::VERSIONS;
use crate::stream::read_all;
use mqtt_codec::{
    Decoder, EncodeError, Field, Packet, PacketType, Properties, PropertiesBuf, PropertiesBuilder, Property,
    Version, WireBuf,
};

/// Decodes in three versions and encodes what came, in the version that it came in and in the others.
pub fn reencode(data: &[u8]) {
    for version in VERSIONS {
        for packet in read_all(Decoder::new(version), data).packets {
            match encode(&packet, version) {
                Ok(wire) => check(&packet, &wire, version),
                Err(error) => assert!(is_leniency(&error, version), "{packet:?} in {version}: {error}"),
            }
            properties_of(&packet).into_iter().for_each(check_properties);
            VERSIONS.iter().filter(|other| **other != version).for_each(|other| translate(&packet, *other));
        }
    }
}

fn check(packet: &Packet, wire: &[u8], version: Version) {
    assert_eq!(wire.len(), packet.encoded_len(version), "{packet:?}");
    let again = decode(wire, version);
    assert_eq!(&again, packet, "in {version}");
    assert_eq!(encode(&again, version).as_deref(), Ok(wire), "{packet:?} in {version}");
}

/// Another version refuses what it does not have, and otherwise says the same. 3.1.1 has a single refusal in SUBACK.
fn translate(packet: &Packet, version: Version) {
    let Ok(wire) = encode(packet, version) else { return };
    let there = decode(&wire, version);
    match (packet, &there) {
        (Packet::SubAck(here), Packet::SubAck(there)) if version == Version::V3_1_1 => {
            let granted =
                |codes: mqtt_codec::ReasonCodes<'_>| codes.map(|code| code.granted_qos()).collect::<Vec<_>>();
            assert_eq!((here.id(), granted(here.codes())), (there.id(), granted(there.codes())));
        }
        _ => assert_eq!(&there, packet, "in {version}"),
    }
}

pub(crate) fn encode(packet: &Packet, version: Version) -> Result<Vec<u8>, EncodeError> {
    let mut out = WireBuf::new();
    packet.encode(version, &mut out)?;
    Ok(out.to_vec())
}

fn decode(wire: &[u8], version: Version) -> Packet {
    let stream = read_all(Decoder::new(version), wire);
    assert_eq!((stream.error, stream.left), (None, 0), "{version} cannot read what it wrote: {wire:02X?}");
    let Ok([packet]) = <[Packet; 1]>::try_from(stream.packets) else { panic!("not one packet: {wire:02X?}") };
    packet
}

/// What a decoder of 3.1 takes from a peer but an encoder of 3.1 does not send: a will beyond ASCII `[31-8]`, a
/// topic of more than 32,767 characters `[31-16]`, a refusal in SUBACK `[31-5]`.
fn is_leniency(error: &EncodeError, version: Version) -> bool {
    let (EncodeError::FieldNotAllowed { packet, field, .. }
    | EncodeError::NotInVersion { packet, field, .. }) = *error
    else {
        return false;
    };
    version == Version::V3_1
        && matches!(
            (packet, field),
            (PacketType::Connect, Field::WillPayload | Field::WillTopic)
                | (PacketType::Publish, Field::TopicName)
                | (PacketType::SubAck, Field::ReasonCode)
        )
}

/// The blocks of properties in a packet.
fn properties_of(packet: &Packet) -> Vec<Properties<'_>> {
    match packet {
        Packet::Connect(connect) => {
            let will = connect.will.as_ref().map(|will| will.properties.view());
            [connect.properties.view()].into_iter().chain(will).collect()
        }
        Packet::ConnAck(connack) => vec![connack.properties.view()],
        Packet::Publish(publish) => vec![publish.properties()],
        Packet::PubAck(ack) | Packet::PubRec(ack) | Packet::PubRel(ack) | Packet::PubComp(ack) => {
            vec![ack.properties.view()]
        }
        Packet::Subscribe(subscribe) => vec![subscribe.properties()],
        Packet::SubAck(suback) => vec![suback.properties()],
        Packet::Unsubscribe(unsubscribe) => vec![unsubscribe.properties()],
        Packet::UnsubAck(unsuback) => vec![unsuback.properties()],
        Packet::PingReq | Packet::PingResp => vec![],
        Packet::Disconnect(disconnect) => vec![disconnect.properties.view()],
        Packet::Auth(auth) => vec![auth.properties.view()],
    }
}

/// The builder writes what the reader read.
fn check_properties(properties: Properties<'_>) {
    assert_eq!(rebuild(properties.iter()).view().as_bytes(), properties.as_bytes());
}

pub(crate) fn rebuild<'a>(properties: impl Iterator<Item = Property<'a>>) -> PropertiesBuf {
    properties.fold(PropertiesBuf::builder(), add).build().expect("a property that was read can be written")
}

fn add(builder: PropertiesBuilder, property: Property<'_>) -> PropertiesBuilder {
    match property {
        Property::PayloadFormatIndicator(utf8) => builder.payload_format_indicator(utf8),
        Property::MessageExpiryInterval(seconds) => builder.message_expiry_interval(seconds),
        Property::ContentType(text) => builder.content_type(text),
        Property::ResponseTopic(topic) => builder.response_topic(topic),
        Property::CorrelationData(data) => builder.correlation_data(data),
        Property::SubscriptionIdentifier(id) => builder.subscription_identifier(id),
        Property::SessionExpiryInterval(seconds) => builder.session_expiry_interval(seconds),
        Property::AssignedClientIdentifier(id) => builder.assigned_client_identifier(id),
        Property::ServerKeepAlive(seconds) => builder.server_keep_alive(seconds),
        Property::AuthenticationMethod(method) => builder.authentication_method(method),
        Property::AuthenticationData(data) => builder.authentication_data(data),
        Property::RequestProblemInformation(wanted) => builder.request_problem_information(wanted),
        Property::WillDelayInterval(seconds) => builder.will_delay_interval(seconds),
        Property::RequestResponseInformation(wanted) => builder.request_response_information(wanted),
        Property::ResponseInformation(text) => builder.response_information(text),
        Property::ServerReference(text) => builder.server_reference(text),
        Property::ReasonString(text) => builder.reason_string(text),
        Property::ReceiveMaximum(maximum) => builder.receive_maximum(maximum),
        Property::TopicAliasMaximum(maximum) => builder.topic_alias_maximum(maximum),
        Property::TopicAlias(alias) => builder.topic_alias(alias),
        Property::MaximumQoS(qos) => builder.maximum_qos(qos),
        Property::RetainAvailable(available) => builder.retain_available(available),
        Property::UserProperty(name, value) => builder.user_property(name, value),
        Property::MaximumPacketSize(bytes) => builder.maximum_packet_size(bytes),
        Property::WildcardSubscriptionAvailable(available) => {
            builder.wildcard_subscription_available(available)
        }
        Property::SubscriptionIdentifierAvailable(available) => {
            builder.subscription_identifier_available(available)
        }
        Property::SharedSubscriptionAvailable(available) => builder.shared_subscription_available(available),
    }
}
