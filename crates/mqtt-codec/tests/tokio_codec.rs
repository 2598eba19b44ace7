//! `Decoder` and `Encoder` of tokio-util.

mod common;

use bytes::BytesMut;
use common::properties::connect;
use common::{hex, id};
use mqtt_codec::{Ack, Codec, CodecError, Decoder, EncodeError, Fault, Packet, ReasonCode, Version};
use tokio_util::codec::{Decoder as _, Encoder as _};

#[test]
fn both_ways() {
    let mut codec = Codec::new(Decoder::new(Version::V5));
    let mut wire = BytesMut::from(&b"before"[..]);
    let large = common::properties::publish(
        mqtt_codec::Delivery::AtMostOnce,
        "a",
        &common::no_properties(),
        &[7; 100_000],
    );
    let packets = [Packet::PingReq, Packet::Publish(large.unwrap()), Packet::PubAck(Ack::new(id(1)))];
    for packet in &packets {
        codec.encode(packet.clone(), &mut wire).unwrap();
    }
    assert_eq!(wire.split_to(6)[..], b"before"[..]);
    for packet in packets {
        assert_eq!(codec.decode(&mut wire).unwrap(), Some(packet));
    }
    assert_eq!(codec.decode(&mut wire).unwrap(), None);
    assert!(codec.decode_eof(&mut wire).unwrap().is_none());
}

#[test]
fn a_server_answers_in_the_version_of_its_client() {
    let refusal = |codec: &mut Codec| {
        let mut wire = BytesMut::new();
        let reason = ReasonCode::UNSUPPORTED_PROTOCOL_VERSION;
        let properties = common::no_properties();
        let connack = mqtt_codec::ConnAck { session_present: false, reason, properties };
        codec.encode(Packet::ConnAck(Box::new(connack)), &mut wire).map(|()| common::show(&wire))
    };
    let mut codec = Codec::new(Decoder::for_server());
    assert_eq!(refusal(&mut codec).unwrap(), "20 02 00 01");
    let connect = common::encode(Version::V5, &Packet::Connect(Box::new(connect()))).unwrap();
    assert!(codec.decode(&mut connect[..].into()).unwrap().is_some());
    assert_eq!(refusal(&mut codec).unwrap(), "20 03 00 84 00");
}

#[test]
fn errors_keep_their_cause() {
    let mut codec = Codec::new(Decoder::new(Version::V3_1_1));
    let Err(CodecError::Decode(error)) = codec.decode(&mut hex("00 00")[..].into()) else { panic!() };
    assert_eq!(error.fault(), Fault::ReservedPacketType);
    let mut wire = BytesMut::new();
    let auth = Ack::with_reason(id(1), ReasonCode::NOT_AUTHORIZED);
    let Err(CodecError::Encode(EncodeError::NotInVersion { .. })) =
        codec.encode(Packet::PubAck(auth), &mut wire)
    else {
        panic!()
    };
    assert!(wire.is_empty());
    // A packet that never ends.
    assert!(matches!(codec.decode_eof(&mut hex("30 04")[..].into()), Err(CodecError::Io(_))));
}
