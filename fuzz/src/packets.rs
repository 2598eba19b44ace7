//! Packets made of arbitrary bytes, through the constructors that every user has.
//!
//! Which property may stand in which packet is written here once more, from table 2-4, so that a mistake in the
//! codec's own table shows.

use arbitrary::{Arbitrary, Result, Unstructured};
use bytes::Bytes;
use mqtt_codec::{
    Ack, Auth, ConnAck, Connect, Delivery, Disconnect, Packet, PacketId, PacketType, PropertiesBuf,
    PropertiesBuilder, PropertyId, QoS, ReasonCode, RetainHandling, SubAck, Subscribe, SubscriptionOptions,
    Text, TopicFilter, TopicName, UnsubAck, Unsubscribe, Version, Will,
};

/// Draws packets of one version.
pub(crate) struct Source<'u, 'a> {
    pub(crate) bytes: &'u mut Unstructured<'a>,
    pub(crate) version: Version,
    /// Also draws what the version or the packet does not allow, and the encoder must refuse.
    pub(crate) wild: bool,
}

/// Where properties stand: in a packet, or in the will of a CONNECT.
#[derive(Clone, Copy, PartialEq)]
pub(crate) enum Place {
    In(PacketType),
    Will,
}

impl Source<'_, '_> {
    /// A packet of this type, which is none that [`PublishParts`](mqtt_codec::PublishParts) makes.
    pub(crate) fn packet(&mut self, packet: PacketType) -> Result<Packet> {
        Ok(match packet {
            PacketType::Connect => Packet::Connect(Box::new(self.connect()?)),
            PacketType::ConnAck => Packet::ConnAck(Box::new(self.connack()?)),
            PacketType::Publish => unreachable!("a PUBLISH is sent from parts"),
            PacketType::PubAck => Packet::PubAck(self.ack(packet)?),
            PacketType::PubRec => Packet::PubRec(self.ack(packet)?),
            PacketType::PubRel => Packet::PubRel(self.ack(packet)?),
            PacketType::PubComp => Packet::PubComp(self.ack(packet)?),
            PacketType::Subscribe => self.subscribe()?,
            PacketType::SubAck => self.suback()?,
            PacketType::Unsubscribe => self.unsubscribe()?,
            PacketType::UnsubAck => self.unsuback()?,
            PacketType::PingReq => Packet::PingReq,
            PacketType::PingResp => Packet::PingResp,
            PacketType::Disconnect => Packet::Disconnect(Disconnect {
                reason: self.reason(packet)?,
                properties: self.properties(Place::In(packet))?,
            }),
            PacketType::Auth => self.auth()?,
        })
    }

    fn connect(&mut self) -> Result<Connect> {
        let username = self.maybe(Self::text)?;
        let may_have_password = self.wild || self.version.is_v5() || username.is_some();
        Ok(Connect {
            client_id: self.text()?,
            clean_start: self.bytes.arbitrary()?,
            keep_alive: self.bytes.arbitrary()?,
            properties: self.properties(Place::In(PacketType::Connect))?,
            will: self.maybe(Self::will)?,
            password: if may_have_password { self.maybe(Self::password)? } else { None },
            username,
        })
    }

    fn will(&mut self) -> Result<Will> {
        Ok(Will {
            topic: self.topic()?,
            payload: self.will_payload()?,
            qos: self.qos()?,
            retain: self.bytes.arbitrary()?,
            properties: self.properties(Place::Will)?,
        })
    }

    fn password(&mut self) -> Result<Bytes> {
        // A string in 3.1 `[31-6]`.
        if self.version == Version::V3_1 && !self.wild { Ok(self.text()?.into_bytes()) } else { self.data() }
    }

    fn will_payload(&mut self) -> Result<Bytes> {
        let payload = self.data()?;
        // ASCII in 3.1 `[31-8]`.
        let ascii = self.version == Version::V3_1 && !self.wild;
        Ok(if ascii { payload.iter().map(|byte| byte & 0x7F).collect() } else { payload })
    }

    fn connack(&mut self) -> Result<ConnAck> {
        let reason = if self.version.is_v5() || self.wild {
            self.reason(PacketType::ConnAck)?
        } else {
            ReasonCode::from_v3_connect(self.bytes.int_in_range(0..=5)?).unwrap_or_default()
        };
        // 3.1 has no Session Present `[31-3]`, a refusal never `[MQTT-3.2.2-6]`.
        let may_be_present = reason == ReasonCode::SUCCESS && self.version != Version::V3_1;
        Ok(ConnAck {
            session_present: (self.wild || may_be_present) && self.bytes.arbitrary()?,
            reason,
            properties: self.properties(Place::In(PacketType::ConnAck))?,
        })
    }

    fn ack(&mut self, packet: PacketType) -> Result<Ack> {
        let (id, reason) = (self.id()?, self.reason(packet)?);
        Ok(Ack { id, reason, properties: self.properties(Place::In(packet))? })
    }

    fn subscribe(&mut self) -> Result<Packet> {
        let (id, properties) = (self.id()?, self.properties(Place::In(PacketType::Subscribe))?);
        let filters = self.some(|source| {
            let filter = source.filter()?;
            let options = source.options(&filter)?;
            Ok((filter, options))
        })?;
        let subscribe =
            Subscribe::new(id, &properties, filters.iter().map(|(filter, options)| (filter, *options)));
        // Only No Local on a shared subscription stands in the way, which a wild draw may have.
        subscribe.map(Packet::Subscribe).map_err(|_| arbitrary::Error::IncorrectFormat)
    }

    fn options(&mut self, filter: &TopicFilter) -> Result<SubscriptionOptions> {
        let mut options = SubscriptionOptions::new(self.qos()?);
        if self.version.is_v5() || self.wild {
            options.no_local = self.bytes.arbitrary()? && (self.wild || filter.shared().is_none());
            options.retain_as_published = self.bytes.arbitrary()?;
            let handlings = [RetainHandling::Send, RetainHandling::SendIfNew, RetainHandling::DoNotSend];
            options.retain_handling = *self.bytes.choose(&handlings)?;
        }
        Ok(options)
    }

    fn suback(&mut self) -> Result<Packet> {
        let (id, properties) = (self.id()?, self.properties(Place::In(PacketType::SubAck))?);
        let codes = self.some(|source| match source.version {
            Version::V5 => source.reason(PacketType::SubAck),
            _ if source.wild => source.reason(PacketType::SubAck),
            Version::V3_1_1 => Ok(ReasonCode::new(*source.bytes.choose(&[0, 1, 2, 0x80])?)),
            Version::V3_1 => Ok(ReasonCode::new(*source.bytes.choose(&[0, 1, 2])?)),
        })?;
        Ok(Packet::SubAck(SubAck::new(id, &properties, &codes).expect("the list has an entry")))
    }

    fn unsubscribe(&mut self) -> Result<Packet> {
        let (id, properties) = (self.id()?, self.properties(Place::In(PacketType::Unsubscribe))?);
        let filters = self.some(Self::filter)?;
        Ok(Packet::Unsubscribe(Unsubscribe::new(id, &properties, &filters).expect("the list has an entry")))
    }

    fn unsuback(&mut self) -> Result<Packet> {
        let (id, properties) = (self.id()?, self.properties(Place::In(PacketType::UnsubAck))?);
        let has_codes = self.version.is_v5() || self.wild && self.bytes.arbitrary()?;
        let codes = if has_codes { self.some(|source| source.reason(PacketType::UnsubAck))? } else { vec![] };
        Ok(Packet::UnsubAck(UnsubAck::new(id, &properties, &codes)))
    }

    fn auth(&mut self) -> Result<Packet> {
        let reason = self.reason(PacketType::Auth)?;
        let mut properties = self.properties(Place::In(PacketType::Auth))?;
        // All but the shortest form need a method `[5u-10]`.
        let short = reason == ReasonCode::SUCCESS && properties.is_empty();
        if !self.wild && !short && properties.view().authentication_method().is_none() {
            properties = PropertiesBuf::builder()
                .authentication_method(&self.text()?)
                .build()
                .map_err(|_| arbitrary::Error::IncorrectFormat)?;
        }
        Ok(Packet::Auth(Auth { reason, properties }))
    }

    pub(crate) fn delivery(&mut self) -> Result<Delivery> {
        let (id, dup) = (self.id()?, self.bytes.arbitrary()?);
        Ok(match self.qos()? {
            QoS::AtMostOnce => Delivery::AtMostOnce,
            QoS::AtLeastOnce => Delivery::AtLeastOnce { id, dup },
            QoS::ExactlyOnce => Delivery::ExactlyOnce { id, dup },
        })
    }

    fn id(&mut self) -> Result<PacketId> {
        PacketId::new(self.bytes.int_in_range(1..=u16::MAX)?).ok_or(arbitrary::Error::IncorrectFormat)
    }

    fn qos(&mut self) -> Result<QoS> {
        Ok(*self.bytes.choose(&[QoS::AtMostOnce, QoS::AtLeastOnce, QoS::ExactlyOnce])?)
    }

    /// A code that some side may use in this packet, before 5.0 success; a wild draw takes any.
    fn reason(&mut self, packet: PacketType) -> Result<ReasonCode> {
        if !self.version.is_v5() && !self.wild {
            return Ok(ReasonCode::SUCCESS);
        }
        let any = (0..=u8::MAX).map(ReasonCode::new);
        let codes: Vec<_> = any.filter(|code| self.wild || code.is_allowed_in(packet, None)).collect();
        self.bytes.choose(&codes).copied()
    }

    /// Properties that may stand there; a wild draw takes any, in any version.
    pub(crate) fn properties(&mut self, place: Place) -> Result<PropertiesBuf> {
        if !self.version.is_v5() && !self.wild {
            return Ok(PropertiesBuf::new());
        }
        let mut left: Vec<_> = PropertyId::ALL
            .iter()
            .copied()
            .filter(|property| self.wild || may_stand(*property, place))
            .collect();
        let mut builder = PropertiesBuf::builder();
        while !left.is_empty() && self.bytes.arbitrary()? {
            let chosen = self.bytes.choose_index(left.len())?;
            builder = self.property(builder, left[chosen])?;
            // The two that may repeat, where they may.
            let repeats = match left[chosen] {
                PropertyId::UserProperty => true,
                PropertyId::SubscriptionIdentifier => self.wild || place == Place::In(PacketType::Publish),
                _ => false,
            };
            if !repeats {
                left.swap_remove(chosen);
            }
        }
        let properties = builder.build().expect("every value was a good one");
        let view = properties.view();
        let lacks_method = view.authentication_data().is_some() && view.authentication_method().is_none();
        if lacks_method && !self.wild { Ok(PropertiesBuf::new()) } else { Ok(properties) }
    }

    fn property(&mut self, builder: PropertiesBuilder, property: PropertyId) -> Result<PropertiesBuilder> {
        Ok(match property {
            PropertyId::PayloadFormatIndicator => builder.payload_format_indicator(self.any()?),
            PropertyId::MessageExpiryInterval => builder.message_expiry_interval(self.any()?),
            PropertyId::ContentType => builder.content_type(&self.text()?),
            PropertyId::ResponseTopic => builder.response_topic(&self.topic()?),
            PropertyId::CorrelationData => builder.correlation_data(&self.data()?),
            PropertyId::SubscriptionIdentifier => {
                builder.subscription_identifier(self.bytes.int_in_range(1..=268_435_455)?)
            }
            PropertyId::SessionExpiryInterval => builder.session_expiry_interval(self.any()?),
            PropertyId::AssignedClientIdentifier => builder.assigned_client_identifier(&self.text()?),
            PropertyId::ServerKeepAlive => builder.server_keep_alive(self.any()?),
            PropertyId::AuthenticationMethod => builder.authentication_method(&self.text()?),
            PropertyId::AuthenticationData => builder.authentication_data(&self.data()?),
            PropertyId::RequestProblemInformation => builder.request_problem_information(self.any()?),
            PropertyId::WillDelayInterval => builder.will_delay_interval(self.any()?),
            PropertyId::RequestResponseInformation => builder.request_response_information(self.any()?),
            PropertyId::ResponseInformation => builder.response_information(&self.text()?),
            PropertyId::ServerReference => builder.server_reference(&self.text()?),
            PropertyId::ReasonString => builder.reason_string(&self.text()?),
            PropertyId::ReceiveMaximum => builder.receive_maximum(self.bytes.int_in_range(1..=u16::MAX)?),
            PropertyId::TopicAliasMaximum => builder.topic_alias_maximum(self.any()?),
            PropertyId::TopicAlias => builder.topic_alias(self.bytes.int_in_range(1..=u16::MAX)?),
            PropertyId::MaximumQoS => {
                builder.maximum_qos(*self.bytes.choose(&[QoS::AtMostOnce, QoS::AtLeastOnce])?)
            }
            PropertyId::RetainAvailable => builder.retain_available(self.any()?),
            PropertyId::UserProperty => builder.user_property(&self.text()?, &self.text()?),
            PropertyId::MaximumPacketSize => {
                builder.maximum_packet_size(self.bytes.int_in_range(1..=u32::MAX)?)
            }
            PropertyId::WildcardSubscriptionAvailable => builder.wildcard_subscription_available(self.any()?),
            PropertyId::SubscriptionIdentifierAvailable => {
                builder.subscription_identifier_available(self.any()?)
            }
            PropertyId::SharedSubscriptionAvailable => builder.shared_subscription_available(self.any()?),
        })
    }

    pub(crate) fn any<T: for<'a> Arbitrary<'a>>(&mut self) -> Result<T> {
        self.bytes.arbitrary()
    }

    fn text(&mut self) -> Result<Text> {
        Text::try_from(self.string()?).map_err(|_| arbitrary::Error::IncorrectFormat)
    }

    pub(crate) fn topic(&mut self) -> Result<TopicName> {
        let name = self.string()?.replace(['+', '#'], "/");
        TopicName::try_from(if name.is_empty() { "t".into() } else { name })
            .map_err(|_| arbitrary::Error::IncorrectFormat)
    }

    fn filter(&mut self) -> Result<TopicFilter> {
        let levels = self.topic()?;
        let levels: Vec<_> = levels.split('/').collect();
        let filter = match self.bytes.int_in_range(0..=4)? {
            0 => format!("{}/#", levels.join("/")),
            1 => format!("+/{}", levels.join("/")),
            2 => format!("$share/name/{}", levels.join("/")),
            3 => "#".into(),
            _ => levels.join("/"),
        };
        // `$share` without a name is none; the rest is a filter.
        TopicFilter::try_from(filter).map_err(|_| arbitrary::Error::IncorrectFormat)
    }

    /// A string without U+0000, now and then as long as a field can be.
    fn string(&mut self) -> Result<String> {
        if self.bytes.ratio(1, 32)? {
            // 32,767 characters of a topic in 3.1 `[31-16]`.
            let longest = if self.version == Version::V3_1 { 32_767 } else { 65_535 };
            return Ok("l".repeat(self.bytes.int_in_range(longest - 5_000..=longest)?));
        }
        Ok(self.bytes.arbitrary::<&str>()?.replace('\0', "0"))
    }

    /// Binary data of any length that fits a field.
    fn data(&mut self) -> Result<Bytes> {
        Ok(Bytes::copy_from_slice(self.bytes.arbitrary()?))
    }

    /// An application message; now and then one that is large enough to be a segment.
    pub(crate) fn payload(&mut self) -> Result<Bytes> {
        if self.bytes.ratio(1, 8)? {
            return Ok(vec![7; self.bytes.int_in_range(4_000..=5_000)?].into());
        }
        self.data()
    }

    fn maybe<T>(&mut self, draw: impl FnOnce(&mut Self) -> Result<T>) -> Result<Option<T>> {
        if self.bytes.arbitrary()? { draw(self).map(Some) } else { Ok(None) }
    }

    /// One or more.
    fn some<T>(&mut self, mut draw: impl FnMut(&mut Self) -> Result<T>) -> Result<Vec<T>> {
        let mut list = vec![draw(self)?];
        while self.bytes.arbitrary()? {
            list.push(draw(self)?);
        }
        Ok(list)
    }
}

/// Table 2-4.
fn may_stand(property: PropertyId, place: Place) -> bool {
    use PacketType::*;
    let Place::In(packet) = place else {
        return matches!(
            property,
            PropertyId::PayloadFormatIndicator
                | PropertyId::MessageExpiryInterval
                | PropertyId::ContentType
                | PropertyId::ResponseTopic
                | PropertyId::CorrelationData
                | PropertyId::WillDelayInterval
                | PropertyId::UserProperty
        );
    };
    match property {
        PropertyId::PayloadFormatIndicator
        | PropertyId::MessageExpiryInterval
        | PropertyId::ContentType
        | PropertyId::ResponseTopic
        | PropertyId::CorrelationData
        | PropertyId::TopicAlias => packet == Publish,
        PropertyId::SubscriptionIdentifier => matches!(packet, Publish | Subscribe),
        PropertyId::SessionExpiryInterval => matches!(packet, Connect | ConnAck | Disconnect),
        PropertyId::AuthenticationMethod | PropertyId::AuthenticationData => {
            matches!(packet, Connect | ConnAck | Auth)
        }
        PropertyId::RequestProblemInformation | PropertyId::RequestResponseInformation => packet == Connect,
        PropertyId::WillDelayInterval => false,
        PropertyId::ServerReference => matches!(packet, ConnAck | Disconnect),
        PropertyId::ReasonString => {
            !matches!(packet, Connect | Publish | Subscribe | Unsubscribe | PingReq | PingResp)
        }
        PropertyId::ReceiveMaximum | PropertyId::TopicAliasMaximum | PropertyId::MaximumPacketSize => {
            matches!(packet, Connect | ConnAck)
        }
        PropertyId::UserProperty => !matches!(packet, PingReq | PingResp),
        PropertyId::AssignedClientIdentifier
        | PropertyId::ServerKeepAlive
        | PropertyId::ResponseInformation
        | PropertyId::MaximumQoS
        | PropertyId::RetainAvailable
        | PropertyId::WildcardSubscriptionAvailable
        | PropertyId::SubscriptionIdentifierAvailable
        | PropertyId::SharedSubscriptionAvailable => packet == ConnAck,
    }
}
