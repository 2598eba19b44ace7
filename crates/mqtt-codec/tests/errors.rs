//! What the errors say: for refused bytes the packet, the field, the fault, the kind and the reason code to answer
//! with; for refused packets what to change.

mod common;

use common::{decode, filter, id, no_properties};
use mqtt_codec::{
    DecodeError, Decoder, EncodeError, Fault, Field, PacketType, PropertyId, QoS, ReasonCode, Subscribe,
    SubscriptionOptions, TopicError, Version,
};

/// Wire, packet, field, fault, reason code.
type Row = (&'static str, Option<PacketType>, Field, Fault, ReasonCode);

const MALFORMED: ReasonCode = ReasonCode::MALFORMED_PACKET;
const PROTOCOL: ReasonCode = ReasonCode::PROTOCOL_ERROR;

/// One row for each kind of error.
#[test]
fn decode_errors_name_packet_field_fault_and_code() {
    use PacketType as P;
    let property = Field::Property;
    let rows: &[Row] = &[
        ("00 00", None, Field::FixedHeader, Fault::ReservedPacketType, MALFORMED),
        ("41 02 00 01", Some(P::PubAck), Field::FixedHeader, Fault::ReservedBits, MALFORMED),
        ("38 04 00 01 61 00", Some(P::Publish), Field::FixedHeader, Fault::DupAtQoS0, MALFORMED),
        ("36 04 00 01 61 00", Some(P::Publish), Field::FixedHeader, Fault::ReservedQoS, MALFORMED),
        ("D0 80 00", Some(P::PingResp), Field::RemainingLength, Fault::LongVariableByteInteger, MALFORMED),
        ("D0 01 00", Some(P::PingResp), Field::Packet, Fault::TrailingBytes, MALFORMED),
        ("20 01 00", Some(P::ConnAck), Field::ReasonCode, Fault::Truncated, MALFORMED),
        ("20 03 02 00 00", Some(P::ConnAck), Field::ConnAckFlags, Fault::ReservedBits, MALFORMED),
        ("20 03 00 03 00", Some(P::ConnAck), Field::ReasonCode, Fault::ReasonNotAllowed(3), PROTOCOL),
        ("30 04 00 01 FF 00", Some(P::Publish), Field::TopicName, Fault::IllFormedText, MALFORMED),
        ("30 04 00 01 00 00", Some(P::Publish), Field::TopicName, Fault::NullCharacter, MALFORMED),
        ("30 03 00 00 00", Some(P::Publish), Field::TopicName, Fault::Topic(TopicError::Empty), PROTOCOL),
        (
            "30 04 00 01 2B 00",
            Some(P::Publish),
            Field::TopicName,
            Fault::Topic(TopicError::Wildcard),
            ReasonCode::TOPIC_NAME_INVALID,
        ),
        ("32 06 00 01 61 00 00 00", Some(P::Publish), Field::PacketIdentifier, Fault::ZeroPacketId, PROTOCOL),
        (
            "30 07 00 01 61 03 23 00 00",
            Some(P::Publish),
            property(PropertyId::TopicAlias),
            Fault::ZeroAlias,
            ReasonCode::TOPIC_ALIAS_INVALID,
        ),
        (
            "30 06 00 01 61 02 01 02",
            Some(P::Publish),
            property(PropertyId::PayloadFormatIndicator),
            Fault::ValueNotAllowed,
            PROTOCOL,
        ),
        (
            "30 08 00 01 61 04 01 00 01 00",
            Some(P::Publish),
            property(PropertyId::PayloadFormatIndicator),
            Fault::RepeatedProperty,
            PROTOCOL,
        ),
        (
            "30 08 00 01 61 04 1F 00 01 61",
            Some(P::Publish),
            property(PropertyId::ReasonString),
            Fault::PropertyNotAllowed,
            MALFORMED,
        ),
        (
            "30 06 00 01 61 02 7F 00",
            Some(P::Publish),
            Field::UnknownProperty(0x7F),
            Fault::UnknownProperty,
            MALFORMED,
        ),
        ("30 05 00 01 61 02 01", Some(P::Publish), Field::PropertyLength, Fault::Truncated, MALFORMED),
        ("82 03 00 01 00", Some(P::Subscribe), Field::TopicFilter, Fault::EmptyList, PROTOCOL),
        (
            "82 08 00 01 00 00 02 61 23 00",
            Some(P::Subscribe),
            Field::TopicFilter,
            Fault::Topic(TopicError::MultiLevel),
            ReasonCode::TOPIC_FILTER_INVALID,
        ),
        (
            "82 07 00 01 00 00 01 61 40",
            Some(P::Subscribe),
            Field::SubscriptionOptions,
            Fault::ReservedBits,
            MALFORMED,
        ),
        (
            "82 07 00 01 00 00 01 61 03",
            Some(P::Subscribe),
            Field::SubscriptionOptions,
            Fault::ValueNotAllowed,
            PROTOCOL,
        ),
        (
            "F0 02 18 00",
            Some(P::Auth),
            property(PropertyId::AuthenticationMethod),
            Fault::NoAuthenticationMethod,
            PROTOCOL,
        ),
        (
            "10 0D 00 04 4D 51 54 54 06 02 00 3C 00 00 00",
            Some(P::Connect),
            Field::Protocol,
            Fault::UnsupportedVersion(6),
            ReasonCode::UNSUPPORTED_PROTOCOL_VERSION,
        ),
    ];
    for (wire, packet, field, fault, code) in rows {
        let error = decode(Version::V5, *wire).unwrap_err();
        let says = (error.packet_type(), error.field(), error.fault(), error.reason_code());
        assert_eq!(says, (*packet, *field, *fault, *code), "{wire}");
        assert_eq!(error.is_malformed(), *code == MALFORMED, "{wire}");
    }
}

fn refused(decoder: Decoder, wire: &str) -> DecodeError {
    common::decode_with(decoder, wire).unwrap_err()
}

#[test]
fn decode_errors_read_well() {
    let v5 = || Decoder::new(Version::V5);
    for (error, text) in [
        (refused(v5(), "00 00"), "fixed header: the packet type is reserved"),
        (refused(v5(), "20 03 00 03 00"), "CONNACK, reason code: reason code 0x03 is not allowed here"),
        (
            refused(v5(), "30 08 00 01 61 04 1F 00 01 61"),
            "PUBLISH, property reason string: the property is not allowed in this packet",
        ),
        (
            refused(v5(), "30 06 00 01 61 02 7F 00"),
            "PUBLISH, property 0x7F: the property identifier is unknown",
        ),
        (
            refused(v5(), "30 04 00 01 2B 00"),
            "PUBLISH, topic name: a topic name cannot contain the wildcards '+' and '#'",
        ),
        (
            refused(v5().max_packet_size(10), "30 FF 01"),
            "PUBLISH, remaining length: the packet has 258 bytes, 248 more than the maximum packet size of 10",
        ),
        (
            refused(v5().from_server_only(), "C0 00"),
            "PINGREQ, fixed header: the packet type is not expected here",
        ),
    ] {
        assert_eq!(error.to_string(), text);
    }
}

#[test]
fn encode_errors_say_what_to_change() {
    let no_local = SubscriptionOptions { no_local: true, ..QoS::AtMostOnce.into() };
    let shared = Subscribe::new(id(1), &no_properties(), [(&filter("$share/g/t"), no_local)]).unwrap_err();
    let packet = PacketType::Publish;
    for (error, text) in [
        (shared, "SUBSCRIBE, subscription options: No Local is not allowed on a shared subscription"),
        (
            EncodeError::NotInVersion {
                packet,
                field: Field::Property(PropertyId::ContentType),
                version: Version::V3_1_1,
            },
            "PUBLISH, property content type: MQTT 3.1.1 does not have this; use MQTT 5.0 or leave it out",
        ),
        (
            EncodeError::PacketTooLarge { packet },
            "PUBLISH: the packet is larger than MQTT allows (268,435,460 bytes)",
        ),
        (
            EncodeError::ReasonNotAllowed { packet: PacketType::PubAck, reason: ReasonCode::SERVER_BUSY },
            "PUBACK: the reason code 0x89 server busy is not allowed in this packet",
        ),
    ] {
        assert_eq!(error.to_string(), text);
    }
}

/// Errors are small and own nothing: they can be kept and copied.
#[test]
fn errors_are_plain_values() {
    fn plain<T: Copy + Eq + Send + Sync + core::error::Error + 'static>() {}
    plain::<DecodeError>();
    plain::<EncodeError>();
    plain::<mqtt_codec::PropertyError>();
    plain::<TopicError>();
    plain::<mqtt_codec::TextError>();
    assert!(size_of::<DecodeError>() <= 24);
}
