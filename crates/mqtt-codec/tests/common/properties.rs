//! Properties by name: every place they can stand, and every setter of the builder.

use super::{Body, body, connect_start, filter, id, number, packet_type, strings, text, topic};
use bytes::Bytes;
use mqtt_codec::{
    Ack, Auth, ConnAck, Connect, Delivery, Disconnect, EncodeError, Packet, PacketType, PropertiesBuf,
    PropertiesBuilder, PropertyId, Publish, PublishParts, QoS, ReasonCode, SubAck, Subscribe,
    SubscriptionOptions, Topic, UnsubAck, Unsubscribe, Version, Will,
};

/// Where properties stand: the packets that have them, and the will inside CONNECT.
pub(crate) const PLACES: [&str; 14] = [
    "CONNECT",
    "WILL",
    "CONNACK",
    "PUBLISH",
    "PUBACK",
    "PUBREC",
    "PUBREL",
    "PUBCOMP",
    "SUBSCRIBE",
    "SUBACK",
    "UNSUBSCRIBE",
    "UNSUBACK",
    "DISCONNECT",
    "AUTH",
];

/// A packet on the wire with this block of properties, its length put before it.
pub(crate) fn wire_with(place: &str, block: &[u8]) -> Vec<u8> {
    match place {
        "CONNECT" => connect_start(Version::V5, 2).hex("00 00").block(block).string("").packet(0x10),
        "WILL" => {
            let start = connect_start(Version::V5, 6).hex("00 00 00").string("");
            start.block(block).string("w").string("").packet(0x10)
        }
        "CONNACK" => body("00 00").block(block).packet(0x20),
        "PUBLISH" => Body::default().string("t").block(block).packet(0x30),
        "SUBSCRIBE" => body("00 01").block(block).string("f").hex("00").packet(0x82),
        "UNSUBSCRIBE" => body("00 01").block(block).string("f").packet(0xA2),
        "SUBACK" | "UNSUBACK" => body("00 01").block(block).hex("00").packet(first_byte(place)),
        "DISCONNECT" => body("00").block(block).packet(0xE0),
        "AUTH" => body("18").block(block).packet(0xF0),
        _ => body("00 01 00").block(block).packet(first_byte(place)),
    }
}

fn first_byte(name: &str) -> u8 {
    let packet = super::facts("packet").iter().find(|packet| packet["name"].as_str() == Some(name));
    number(packet.unwrap()["first_byte"].as_str().unwrap())
}

/// The same packet as a value. A PUBLISH that cannot be written is not even built.
pub(crate) fn packet_with(place: &str, properties: PropertiesBuf) -> Result<Packet, EncodeError> {
    let reason = ReasonCode::SUCCESS;
    Ok(match place {
        "CONNECT" => Packet::Connect(Box::new(Connect { properties, ..connect() })),
        "WILL" => {
            let will = Will { properties, ..will() };
            Packet::Connect(Box::new(Connect { will: Some(will), ..connect() }))
        }
        "CONNACK" => Packet::ConnAck(Box::new(ConnAck { session_present: false, reason, properties })),
        "PUBLISH" => Packet::Publish(publish(Delivery::AtMostOnce, "t", &properties, b"")?),
        "SUBSCRIBE" => {
            let filters = [(&filter("f"), SubscriptionOptions::new(QoS::AtMostOnce))];
            Packet::Subscribe(Subscribe::new(id(1), &properties, filters).unwrap())
        }
        "UNSUBSCRIBE" => Packet::Unsubscribe(Unsubscribe::new(id(1), &properties, [&filter("f")]).unwrap()),
        "SUBACK" => Packet::SubAck(SubAck::new(id(1), &properties, &[reason]).unwrap()),
        "UNSUBACK" => Packet::UnsubAck(UnsubAck::new(id(1), &properties, &[reason])),
        "DISCONNECT" => Packet::Disconnect(Disconnect { reason, properties }),
        "AUTH" => Packet::Auth(Auth { reason: ReasonCode::CONTINUE_AUTHENTICATION, properties }),
        _ => ack(packet_type(place), Ack { id: id(1), reason, properties }),
    })
}

/// A PUBLISH; the empty topic is the one beside an alias.
pub(crate) fn publish(
    delivery: Delivery,
    topic: &str,
    properties: &PropertiesBuf,
    payload: &[u8],
) -> Result<Publish, EncodeError> {
    let topic = if topic.is_empty() { Topic::EMPTY } else { Topic::new(topic).unwrap() };
    let payload = Bytes::copy_from_slice(payload);
    let parts = PublishParts::new(delivery, topic, &payload);
    Publish::try_from(PublishParts { properties: properties.view(), ..parts })
}

/// An acknowledgement as a packet of this type.
pub(crate) fn ack(packet: PacketType, ack: Ack) -> Packet {
    match packet {
        PacketType::PubAck => Packet::PubAck(ack),
        PacketType::PubRec => Packet::PubRec(ack),
        PacketType::PubRel => Packet::PubRel(ack),
        PacketType::PubComp => Packet::PubComp(ack),
        other => panic!("{other} is no acknowledgement of a PUBLISH"),
    }
}

pub(crate) fn connect() -> Connect {
    Connect {
        client_id: text(""),
        clean_start: true,
        keep_alive: 0,
        properties: PropertiesBuf::new(),
        will: None,
        username: None,
        password: None,
    }
}

pub(crate) fn will() -> Will {
    Will {
        topic: topic("w"),
        payload: Bytes::new(),
        qos: QoS::AtMostOnce,
        retain: false,
        properties: PropertiesBuf::new(),
    }
}

/// The properties that wire-facts.toml allows here.
pub(crate) fn allowed_in(place: &str) -> Vec<PropertyId> {
    let allowed = |entry: &&toml::Value| strings(&entry["packets"]).contains(&place);
    super::facts("property").iter().filter(allowed).map(property_of).collect()
}

/// The property of an entry in wire-facts.toml.
pub(crate) fn property_of(entry: &toml::Value) -> PropertyId {
    PropertyId::from_u8(entry["id"].as_integer().unwrap() as u8).unwrap()
}

/// What a property can be set to.
#[derive(Clone, Debug)]
pub(crate) struct Value {
    pub(crate) number: u32,
    pub(crate) flag: bool,
    pub(crate) text: String,
    pub(crate) topic: String,
    pub(crate) data: Vec<u8>,
}

impl Default for Value {
    fn default() -> Self {
        Self { number: 1, flag: true, text: "a".into(), topic: "t".into(), data: vec![0, 0xFF] }
    }
}

/// Sets any property, each by its own setter.
pub(crate) fn set(builder: PropertiesBuilder, property: PropertyId, value: &Value) -> PropertiesBuilder {
    let Value { number, flag, text, topic, data } = value;
    let (number, flag, short) = (*number, *flag, *number as u16);
    match property {
        PropertyId::PayloadFormatIndicator => builder.payload_format_indicator(flag),
        PropertyId::MessageExpiryInterval => builder.message_expiry_interval(number),
        PropertyId::ContentType => builder.content_type(text),
        PropertyId::ResponseTopic => builder.response_topic(topic),
        PropertyId::CorrelationData => builder.correlation_data(data),
        PropertyId::SubscriptionIdentifier => builder.subscription_identifier(number),
        PropertyId::SessionExpiryInterval => builder.session_expiry_interval(number),
        PropertyId::AssignedClientIdentifier => builder.assigned_client_identifier(text),
        PropertyId::ServerKeepAlive => builder.server_keep_alive(short),
        PropertyId::AuthenticationMethod => builder.authentication_method(text),
        PropertyId::AuthenticationData => builder.authentication_data(data),
        PropertyId::RequestProblemInformation => builder.request_problem_information(flag),
        PropertyId::WillDelayInterval => builder.will_delay_interval(number),
        PropertyId::RequestResponseInformation => builder.request_response_information(flag),
        PropertyId::ResponseInformation => builder.response_information(text),
        PropertyId::ServerReference => builder.server_reference(text),
        PropertyId::ReasonString => builder.reason_string(text),
        PropertyId::ReceiveMaximum => builder.receive_maximum(short),
        PropertyId::TopicAliasMaximum => builder.topic_alias_maximum(short),
        PropertyId::TopicAlias => builder.topic_alias(short),
        PropertyId::MaximumQoS => builder.maximum_qos(if flag { QoS::AtLeastOnce } else { QoS::AtMostOnce }),
        PropertyId::RetainAvailable => builder.retain_available(flag),
        PropertyId::UserProperty => builder.user_property(text, topic),
        PropertyId::MaximumPacketSize => builder.maximum_packet_size(number),
        PropertyId::WildcardSubscriptionAvailable => builder.wildcard_subscription_available(flag),
        PropertyId::SubscriptionIdentifierAvailable => builder.subscription_identifier_available(flag),
        PropertyId::SharedSubscriptionAvailable => builder.shared_subscription_available(flag),
    }
}
