//! Short ways to write packets, for the scripts of a [`Peer`](crate::peer::Peer).
//!
//! They panic on what no packet can hold, such as packet identifier 0 or a topic with a wildcard: a script is written by
//! hand. For what they leave out, take the structs of the codec.

use bytes::Bytes;
use mqtt_codec::{
    Ack, Auth, ConnAck, Connect, Delivery, Disconnect, Packet, PacketId, PropertiesBuf, Publish,
    PublishParts, QoS, ReasonCode, SubAck, Subscribe, SubscriptionOptions, Text, Topic, TopicFilter,
    TopicName, UnsubAck, Unsubscribe, Will,
};

/// What a script can send and expect: a packet, or a thing that becomes one.
pub trait IntoPacket {
    /// The packet.
    fn into_packet(self) -> Packet;
}

impl IntoPacket for Packet {
    fn into_packet(self) -> Packet {
        self
    }
}

macro_rules! into_packet {
    ($($from:ty => |$value:ident| $packet:expr;)*) => {
        $(impl IntoPacket for $from {
            fn into_packet(self) -> Packet {
                let $value = self;
                $packet
            }
        })*
    };
}

into_packet! {
    Connect => |connect| Packet::Connect(Box::new(connect));
    ConnAck => |connack| Packet::ConnAck(Box::new(connack));
    Publish => |publish| Packet::Publish(publish);
    Subscribe => |subscribe| Packet::Subscribe(subscribe);
    SubAck => |suback| Packet::SubAck(suback);
    Unsubscribe => |unsubscribe| Packet::Unsubscribe(unsubscribe);
    UnsubAck => |unsuback| Packet::UnsubAck(unsuback);
    Disconnect => |disconnect| Packet::Disconnect(disconnect);
    Auth => |auth| Packet::Auth(auth);
}

/// A packet identifier.
///
/// # Panics
///
/// If it is 0.
pub const fn id(id: u16) -> PacketId {
    PacketId::new(id).expect("packet identifiers begin with 1")
}

/// CONNECT with clean start and nothing else; change its fields for more:
/// `Connect { keep_alive: 5, ..connect("id") }`.
///
/// # Panics
///
/// If the client identifier is no string of MQTT.
pub fn connect(client_id: &str) -> Connect {
    Connect {
        client_id: Text::try_from(client_id).unwrap_or_else(|error| panic!("{client_id:?}: {error}")),
        clean_start: true,
        keep_alive: 0,
        properties: PropertiesBuf::new(),
        will: None,
        username: None,
        password: None,
    }
}

/// A will of QoS 0, not retained, without properties.
///
/// # Panics
///
/// If the topic is none.
pub fn will(topic: &str, payload: impl Into<Bytes>) -> Will {
    Will {
        topic: TopicName::try_from(topic).unwrap_or_else(|error| panic!("{topic:?}: {error}")),
        payload: payload.into(),
        qos: QoS::AtMostOnce,
        retain: false,
        properties: PropertiesBuf::new(),
    }
}

/// CONNACK: welcome, no session present.
pub const fn connack() -> ConnAck {
    ConnAck { session_present: false, reason: ReasonCode::SUCCESS, properties: PropertiesBuf::new() }
}

/// CONNACK: welcome back, the session is present.
pub const fn connack_with_session() -> ConnAck {
    ConnAck { session_present: true, reason: ReasonCode::SUCCESS, properties: PropertiesBuf::new() }
}

/// CONNACK: refused.
pub const fn refusal(reason: ReasonCode) -> ConnAck {
    ConnAck { session_present: false, reason, properties: PropertiesBuf::new() }
}

/// PUBLISH of QoS 0; its methods make it another.
pub fn publish(topic: &str, payload: impl Into<Bytes>) -> PublishScript {
    PublishScript {
        topic: topic.into(),
        payload: payload.into(),
        delivery: Delivery::AtMostOnce,
        retain: false,
        properties: PropertiesBuf::new(),
    }
}

/// A PUBLISH in the making, see [`publish`].
#[derive(Clone, Debug)]
#[must_use = "send or expect it"]
pub struct PublishScript {
    topic: String,
    payload: Bytes,
    delivery: Delivery,
    retain: bool,
    properties: PropertiesBuf,
}

impl PublishScript {
    /// QoS 1 with this packet identifier.
    ///
    /// # Panics
    ///
    /// If it is 0.
    pub const fn qos1(mut self, packet_id: u16) -> Self {
        self.delivery = Delivery::AtLeastOnce { id: id(packet_id), dup: false };
        self
    }

    /// QoS 2 with this packet identifier.
    ///
    /// # Panics
    ///
    /// If it is 0.
    pub const fn qos2(mut self, packet_id: u16) -> Self {
        self.delivery = Delivery::ExactlyOnce { id: id(packet_id), dup: false };
        self
    }

    /// Sent again.
    ///
    /// # Panics
    ///
    /// At QoS 0, which has no DUP.
    pub const fn dup(mut self) -> Self {
        self.delivery = match self.delivery {
            Delivery::AtMostOnce => panic!("QoS 0 has no DUP"),
            Delivery::AtLeastOnce { id, .. } => Delivery::AtLeastOnce { id, dup: true },
            Delivery::ExactlyOnce { id, .. } => Delivery::ExactlyOnce { id, dup: true },
        };
        self
    }

    /// With RETAIN.
    pub const fn retain(mut self) -> Self {
        self.retain = true;
        self
    }

    /// With these properties, a topic alias among them if one is wanted: then the topic may be empty.
    pub fn properties(mut self, properties: PropertiesBuf) -> Self {
        self.properties = properties;
        self
    }
}

impl IntoPacket for PublishScript {
    fn into_packet(self) -> Packet {
        let topic = match self.topic.as_str() {
            "" => Topic::EMPTY,
            topic => Topic::new(topic).unwrap_or_else(|error| panic!("{topic:?}: {error}")),
        };
        let parts = PublishParts {
            retain: self.retain,
            properties: self.properties.view(),
            ..PublishParts::new(self.delivery, topic, &self.payload)
        };
        Packet::Publish(Publish::try_from(parts).unwrap_or_else(|error| panic!("{error}")))
    }
}

/// PUBACK: success.
///
/// # Panics
///
/// If the identifier is 0, as for all packets with one.
pub const fn puback(packet_id: u16) -> Packet {
    Packet::PubAck(Ack::new(id(packet_id)))
}

/// PUBACK with a reason code.
pub const fn puback_with(packet_id: u16, reason: ReasonCode) -> Packet {
    Packet::PubAck(Ack::with_reason(id(packet_id), reason))
}

/// PUBREC: success.
pub const fn pubrec(packet_id: u16) -> Packet {
    Packet::PubRec(Ack::new(id(packet_id)))
}

/// PUBREC with a reason code.
pub const fn pubrec_with(packet_id: u16, reason: ReasonCode) -> Packet {
    Packet::PubRec(Ack::with_reason(id(packet_id), reason))
}

/// PUBREL: success.
pub const fn pubrel(packet_id: u16) -> Packet {
    Packet::PubRel(Ack::new(id(packet_id)))
}

/// PUBREL with a reason code.
pub const fn pubrel_with(packet_id: u16, reason: ReasonCode) -> Packet {
    Packet::PubRel(Ack::with_reason(id(packet_id), reason))
}

/// PUBCOMP: success.
pub const fn pubcomp(packet_id: u16) -> Packet {
    Packet::PubComp(Ack::new(id(packet_id)))
}

/// PUBCOMP with a reason code.
pub const fn pubcomp_with(packet_id: u16, reason: ReasonCode) -> Packet {
    Packet::PubComp(Ack::with_reason(id(packet_id), reason))
}

/// SUBSCRIBE to these filters, each with a QoS or with all its options.
pub fn subscribe<O: Into<SubscriptionOptions>>(
    packet_id: u16,
    filters: impl IntoIterator<Item = (&'static str, O)>,
) -> Packet {
    subscribe_with(packet_id, &PropertiesBuf::new(), filters)
}

/// SUBSCRIBE with properties.
pub fn subscribe_with<O: Into<SubscriptionOptions>>(
    packet_id: u16,
    properties: &PropertiesBuf,
    filters: impl IntoIterator<Item = (&'static str, O)>,
) -> Packet {
    let filters: Vec<_> =
        filters.into_iter().map(|(filter, options)| (topic_filter(filter), options.into())).collect();
    let filters = filters.iter().map(|(filter, options)| (filter, *options));
    Packet::Subscribe(
        Subscribe::new(id(packet_id), properties, filters).unwrap_or_else(|error| panic!("{error}")),
    )
}

/// SUBACK with one code for each filter.
pub fn suback(packet_id: u16, codes: &[ReasonCode]) -> Packet {
    let suback = SubAck::new(id(packet_id), &PropertiesBuf::new(), codes);
    Packet::SubAck(suback.unwrap_or_else(|error| panic!("{error}")))
}

/// UNSUBSCRIBE from these filters.
pub fn unsubscribe(packet_id: u16, filters: impl IntoIterator<Item = &'static str>) -> Packet {
    let filters: Vec<_> = filters.into_iter().map(topic_filter).collect();
    let unsubscribe = Unsubscribe::new(id(packet_id), &PropertiesBuf::new(), &filters);
    Packet::Unsubscribe(unsubscribe.unwrap_or_else(|error| panic!("{error}")))
}

/// UNSUBACK with one code for each filter in 5.0, with none before.
pub fn unsuback(packet_id: u16, codes: &[ReasonCode]) -> Packet {
    Packet::UnsubAck(UnsubAck::new(id(packet_id), &PropertiesBuf::new(), codes))
}

/// PINGREQ.
pub const fn pingreq() -> Packet {
    Packet::PingReq
}

/// PINGRESP.
pub const fn pingresp() -> Packet {
    Packet::PingResp
}

/// DISCONNECT; before 5.0 the reason is [`ReasonCode::NORMAL_DISCONNECTION`].
pub const fn disconnect(reason: ReasonCode) -> Packet {
    Packet::Disconnect(Disconnect::new(reason))
}

/// AUTH with a method and data.
///
/// # Panics
///
/// If the method is no string of MQTT or the data is too long.
pub fn auth(reason: ReasonCode, method: &str, data: &[u8]) -> Packet {
    let properties = PropertiesBuf::builder().authentication_method(method).authentication_data(data).build();
    Packet::Auth(Auth { reason, properties: properties.unwrap_or_else(|error| panic!("{error}")) })
}

fn topic_filter(filter: &str) -> TopicFilter {
    TopicFilter::try_from(filter).unwrap_or_else(|error| panic!("{filter:?}: {error}"))
}
