//! What is legal but rare is accepted, up to the limits of the format; above a limit the header says so.

mod common;

use bytes::{Bytes, BytesMut};
use common::properties::{connect, packet_with};
use common::{VERSIONS, accept, decode_with, encode, filter, hex, id, no_properties, packet_type, text};
use mqtt_codec::{
    Connect, Decoder, Delivery, EncodeError, Fault, Field, MAX_PACKET_SIZE, Packet, PropertiesBuf,
    PublishParts, QoS, ReasonCode, SubAck, Subscribe, Topic, Unsubscribe, Version, WireBuf,
};

/// The limit counts the whole packet with its fixed header, and holds before anything of the body is there.
/// [MQTT-3.1.2-24]
#[test]
fn the_maximum_packet_size_shows_in_the_header() {
    for version in VERSIONS {
        let decoder = Decoder::new(version).max_packet_size(64);
        for (header, size) in
            [("30 3F", 65), ("30 FF 01", 258), ("30 FF FF FF 7F", MAX_PACKET_SIZE), ("90 3F", 65)]
        {
            let mut input = BytesMut::from(&hex(header)[..]);
            let error = decoder.clone().decode(&mut input).unwrap_err();
            let fault = Fault::TooLarge { size, limit: 64 };
            assert_eq!((error.field(), error.fault()), (Field::RemainingLength, fault));
            assert_eq!((error.reason_code(), error.is_malformed()), (ReasonCode::PACKET_TOO_LARGE, false));
            assert_eq!(error.packet_type().map(|kind| kind as u8), Some(hex(header)[0] >> 4));
        }
        let wire = |len: usize| common::body("00 01 61 00").bytes(&vec![7; len - 6]).packet(0x30);
        assert!(decode_with(decoder.clone(), wire(64)).is_ok());
        assert!(decode_with(decoder, wire(65)).is_err());
    }
    // Also for the short acknowledgements, which go their own way.
    assert!(decode_with(Decoder::new(Version::V5).max_packet_size(4), "40 02 00 01").is_ok());
    let error = decode_with(Decoder::new(Version::V5).max_packet_size(3), "40 02 00 01").unwrap_err();
    assert_eq!(error.fault(), Fault::TooLarge { size: 4, limit: 3 });
    // And for the first packet of a server, of which no version is known.
    let mut input = BytesMut::from(&hex("10 FF FF 7F")[..]);
    let error = Decoder::for_server().max_packet_size(1000).decode(&mut input).unwrap_err();
    assert_eq!(error.fault(), Fault::TooLarge { size: 2_097_155, limit: 1000 });
}

/// By default the largest packet of all is taken: 256 MiB, and neither side copies its payload.
#[test]
fn the_largest_packet() {
    let payload = Bytes::from(vec![0; 268_435_455 - 4]);
    let topic = Topic::new("a").unwrap();
    let parts = PublishParts::new(Delivery::AtMostOnce, topic, &payload);
    let mut out = WireBuf::new();
    parts.encode(Version::V5, &mut out).unwrap();
    assert_eq!(
        (out.len(), parts.encoded_len(Version::V5)),
        (MAX_PACKET_SIZE as usize, MAX_PACKET_SIZE as usize)
    );

    let mut input = BytesMut::zeroed(MAX_PACKET_SIZE as usize);
    input[..9].copy_from_slice(&hex("30 FF FF FF 7F 00 01 61 00"));
    let Ok(Some(Packet::Publish(publish))) = Decoder::new(Version::V5).decode(&mut input) else { panic!() };
    assert_eq!((publish.payload().len(), publish.topic(), input.len()), (payload.len(), "a", 0));

    let one_more = Bytes::from(vec![0; payload.len() + 1]);
    let mut out = WireBuf::new();
    let error = PublishParts { payload: &one_more, ..parts }.encode(Version::V5, &mut out).unwrap_err();
    assert_eq!(error, EncodeError::PacketTooLarge { packet: packet_type("PUBLISH") });
    assert!(out.is_empty());
    // Without the property length one more byte fits.
    assert!(PublishParts { payload: &one_more, ..parts }.encode(Version::V3_1_1, &mut out).is_ok());
}

/// About a megabyte of properties in every packet that has some.
#[test]
fn a_hundred_thousand_user_properties() {
    let mut builder = PropertiesBuf::builder();
    for number in 0..100_000 {
        builder = builder.user_property("n", &number.to_string());
    }
    let properties = builder.build().unwrap();
    for place in common::properties::PLACES.into_iter().filter(|place| *place != "AUTH") {
        let packet = packet_with(place, properties.clone()).unwrap();
        let back = accept(Version::V5, encode(Version::V5, &packet).unwrap());
        assert_eq!(back, packet, "{place}");
    }
    let values = properties.view().user_properties().map(|(_, value)| value.parse::<u32>().unwrap());
    assert!(values.eq(0..100_000));
}

#[test]
fn filters_by_the_thousand() {
    let filters: Vec<_> = (0..65_535).map(|number| filter(&format!("f/{number}/+"))).collect();
    let with_options = filters.iter().map(|filter| (filter, QoS::AtLeastOnce.into()));
    let subscribe = Subscribe::new(id(1), &no_properties(), with_options).unwrap();
    let unsubscribe = Unsubscribe::new(id(1), &no_properties(), &filters).unwrap();
    let codes = vec![ReasonCode::GRANTED_QOS_1; 65_535];
    let suback = SubAck::new(id(1), &no_properties(), &codes).unwrap();
    for version in VERSIONS {
        let Packet::Subscribe(back) =
            accept(version, encode(version, &Packet::Subscribe(subscribe.clone())).unwrap())
        else {
            panic!()
        };
        assert!(back.filters().map(|(name, _)| name).eq(filters.iter().map(|filter| filter.as_str())));
        let wire = encode(version, &Packet::Unsubscribe(unsubscribe.clone())).unwrap();
        let Packet::Unsubscribe(back) = accept(version, wire) else { panic!() };
        assert_eq!(back.filters().count(), 65_535);
        let Packet::SubAck(back) = accept(version, encode(version, &Packet::SubAck(suback.clone())).unwrap())
        else {
            panic!()
        };
        assert!(back.codes().eq(codes.iter().copied()));
    }
}

/// [MQTT-3.1.3-3] [MQTT-3.1.3-3/3.1.1]
#[test]
fn client_identifiers_of_any_length() {
    for len in [0, 1, 23, 24, 65_535] {
        let connect = Packet::Connect(Box::new(Connect { client_id: text(&"c".repeat(len)), ..connect() }));
        for version in VERSIONS {
            assert_eq!(accept(version, encode(version, &connect).unwrap()), connect);
        }
    }
    let wire = encode(Version::V5, &Packet::Connect(Box::new(connect()))).unwrap();
    assert_eq!(wire[wire.len() - 2..], [0, 0]);
}

/// The lengths around which one more byte of Remaining Length is needed.
#[test]
fn sizes_at_the_borders() {
    for version in VERSIONS {
        let head = if version.is_v5() { 4 } else { 3 };
        for remaining in [127, 128, 16_383, 16_384, 2_097_151, 2_097_152] {
            let payload = Bytes::from(vec![7; remaining - head]);
            let parts = PublishParts::new(Delivery::AtMostOnce, Topic::new("a").unwrap(), &payload);
            let mut out = WireBuf::new();
            parts.encode(version, &mut out).unwrap();
            assert_eq!(out.len(), parts.encoded_len(version));
            let Packet::Publish(publish) = accept(version, out.to_vec()) else { panic!() };
            assert_eq!(publish.payload(), &payload);
            assert_eq!(publish.encoded_len(version), out.len());
        }
    }
}
