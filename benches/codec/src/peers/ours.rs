//! mqtt-codec, driven as the client drives it.
use crate::corpus::*;
use crate::peer::Peer;
use bytes::BytesMut;
use mqtt_codec::{
    Decoder, Delivery, Packet, PacketId, PropertiesBuf, Property, PublishParts, Topic, TopicName, Version, WireBuf,
};
use std::hint::black_box;

pub struct Rx {
    input: BytesMut,
    decoder: Decoder,
}
const fn version(v: u8) -> Version {
    if v == 5 { Version::V5 } else { Version::V3_1_1 }
}
fn rx(cap: usize, v: u8) -> Rx {
    Rx { input: BytesMut::with_capacity(cap), decoder: Decoder::new(version(v)) }
}
fn delivery(a: &PubArgs) -> Delivery {
    let id = PacketId::new(a.pid).unwrap_or(PacketId::MIN);
    match a.qos {
        0 => Delivery::AtMostOnce,
        1 => Delivery::AtLeastOnce { id, dup: false },
        _ => Delivery::ExactlyOnce { id, dup: false },
    }
}
fn publish(a: &PubArgs, topic: Topic<'_>, v: u8, tx: &mut WireBuf) {
    let built;
    let mut parts = PublishParts::new(delivery(a), topic, &a.payload);
    if a.props {
        built = PropertiesBuf::builder()
            .response_topic(RESPONSE_TOPIC)
            .correlation_data(CORRELATION)
            .user_property(USER[0].0, USER[0].1)
            .user_property(USER[1].0, USER[1].1)
            .content_type(CONTENT_TYPE)
            .build()
            .unwrap();
        parts.properties = built.view();
    }
    parts.encode(version(v), tx).unwrap();
}

/// From `&str` topic to bytes, every check on.
pub struct Ours<const VER: u8>;
impl<const VER: u8> Peer for Ours<VER> {
    const NAME: &'static str = "ours";
    const V: u8 = VER;
    type Rx = Rx;
    type Tx = WireBuf;
    type Pkt<'a> = Packet;
    fn rx(cap: usize) -> Rx { rx(cap, VER) }
    fn push(rx: &mut Rx, b: &[u8]) { rx.input.extend_from_slice(b) }
    fn next(rx: &mut Rx) -> Option<Packet> { rx.decoder.decode(&mut rx.input).unwrap() }
    fn tx(cap: usize) -> WireBuf { WireBuf::with_capacity(cap) }
    fn clear(tx: &mut WireBuf) { tx.clear() }
    fn wire(tx: &mut WireBuf) -> Vec<u8> { tx.to_vec() }
    fn encode(s: &mut Option<Packet>, tx: &mut WireBuf) { s.as_ref().unwrap().encode(version(VER), tx).unwrap() }
    fn publish(a: &PubArgs, tx: &mut WireBuf) -> bool {
        publish(a, Topic::new(a.topic).unwrap(), VER, tx);
        true
    }
}

/// A topic that was checked before, as a client that publishes to it again and again has it.
pub struct Checked<const VER: u8>;
impl<const VER: u8> Peer for Checked<VER> {
    const NAME: &'static str = "ours, topic checked";
    const V: u8 = VER;
    type Rx = Rx;
    type Tx = (WireBuf, TopicName);
    type Pkt<'a> = Packet;
    fn rx(cap: usize) -> Rx { rx(cap, VER) }
    fn push(rx: &mut Rx, b: &[u8]) { rx.input.extend_from_slice(b) }
    fn next(rx: &mut Rx) -> Option<Packet> { rx.decoder.decode(&mut rx.input).unwrap() }
    fn tx(cap: usize) -> Self::Tx { (WireBuf::with_capacity(cap), TopicName::try_from(TOPIC).unwrap()) }
    fn clear(tx: &mut Self::Tx) { tx.0.clear() }
    fn wire(tx: &mut Self::Tx) -> Vec<u8> { tx.0.to_vec() }
    fn encode(s: &mut Option<Packet>, tx: &mut Self::Tx) { s.as_ref().unwrap().encode(version(VER), &mut tx.0).unwrap() }
    fn publish(a: &PubArgs, (tx, topic): &mut Self::Tx) -> bool {
        publish(a, topic.borrow(), VER, tx);
        true
    }
}

/// Decoding with every property read, as an application that wants them all does.
pub struct AllRead;
impl Peer for AllRead {
    const NAME: &'static str = "ours, all properties read";
    const V: u8 = 5;
    type Rx = Rx;
    type Tx = WireBuf;
    type Pkt<'a> = Packet;
    fn rx(cap: usize) -> Rx { rx(cap, 5) }
    fn push(rx: &mut Rx, b: &[u8]) { rx.input.extend_from_slice(b) }
    fn next(rx: &mut Rx) -> Option<Packet> {
        let packet = rx.decoder.decode(&mut rx.input).unwrap()?;
        if let Packet::Publish(publish) = &packet {
            for property in publish.properties().iter() {
                black_box::<Property<'_>>(property);
            }
        }
        Some(packet)
    }
    fn tx(cap: usize) -> WireBuf { WireBuf::with_capacity(cap) }
    fn clear(tx: &mut WireBuf) { tx.clear() }
    fn wire(tx: &mut WireBuf) -> Vec<u8> { tx.to_vec() }
    fn encode(s: &mut Option<Packet>, tx: &mut WireBuf) { s.as_ref().unwrap().encode(Version::V5, tx).unwrap() }
    fn publish(_: &PubArgs, _: &mut WireBuf) -> bool { false }
}
