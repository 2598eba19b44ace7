//! A packet that a user can build is refused before a byte of it is written, or reads back as it was.

use crate::VERSIONS;
use crate::packets::{Place, Source};
use crate::reencode::{encode, rebuild};
use crate::stream::read_all;
use arbitrary::{Result, Unstructured};
use bytes::Buf;
use mqtt_codec::{
    Decoder, EncodeError, Packet, PacketType, Property, Publish, PublishParts, Topic, Version, WireBuf,
};
use std::num::NonZeroU16;

/// Builds a packet of the input, valid or (one in four) wild, and sends it to a decoder of the same version.
pub fn round_trip(data: &[u8]) {
    // An input that ends before the packet is complete says nothing.
    let _ = draw_and_check(&mut Unstructured::new(data));
}

fn draw_and_check(bytes: &mut Unstructured<'_>) -> Result<()> {
    let version = *bytes.choose(&VERSIONS)?;
    let wild = bytes.ratio(1, 4)?;
    // AUTH, the last, needs 5.0.
    let last = if version.is_v5() || wild { 15 } else { 14 };
    let packet =
        PacketType::from_u8(bytes.int_in_range(1..=last)?).ok_or(arbitrary::Error::IncorrectFormat)?;
    let mut source = Source { bytes, version, wild };
    if packet == PacketType::Publish {
        return check_publish(&mut source);
    }
    let packet = source.packet(packet)?;
    let (len, encoded) = (packet.encoded_len(version), send(version, |out| packet.encode(version, out)));
    match encoded {
        Ok(wire) => {
            assert_eq!(wire.len(), len, "{packet:?}");
            check_received(&packet, &receive(&wire, version), &wire, version);
        }
        Err(error) => assert!(wild, "{packet:?} in {version}: {error}"),
    }
    Ok(())
}

fn check_received(sent: &Packet, received: &Packet, wire: &[u8], version: Version) {
    match (sent, received) {
        // 3.1.1 has one refusal for all, so the sent packet is compared as far as it can be said.
        (Packet::SubAck(sent), Packet::SubAck(received)) if version == Version::V3_1_1 => {
            assert!(
                sent.codes()
                    .map(|code| code.granted_qos())
                    .eq(received.codes().map(|code| code.granted_qos()))
            );
        }
        _ => assert_eq!(sent, received, "in {version}"),
    }
    assert_eq!(encode(received, version).as_deref(), Ok(wire));
}

fn check_publish(source: &mut Source<'_, '_>) -> Result<()> {
    let (version, wild) = (source.version, source.wild);
    let (topic, payload) = (source.topic()?, source.payload()?);
    let properties = source.properties(Place::In(PacketType::Publish))?;
    let v5_only = version.is_v5() || wild;
    let alias = NonZeroU16::new(source.any()?)
        .filter(|_| v5_only && (wild || properties.view().topic_alias().is_none()));
    let has_alias = alias.is_some() || properties.view().topic_alias().is_some();
    let unnamed = source.any()? && (wild || has_alias);
    let parts = PublishParts {
        delivery: source.delivery()?,
        retain: source.any()?,
        topic: if unnamed { Topic::EMPTY } else { topic.borrow() },
        alias,
        expiry: source.any::<Option<u32>>()?.filter(|_| v5_only),
        properties: properties.view(),
        payload: &payload,
    };
    match send(version, |out| parts.encode(version, out)) {
        Ok(wire) => {
            assert_eq!(wire.len(), parts.encoded_len(version), "{parts:?}");
            let Packet::Publish(publish) = receive(&wire, version) else { panic!("{parts:?}") };
            check_parts(&parts, &publish);
            assert_eq!(encode(&Packet::Publish(publish.clone()), version), Ok(wire));
            assert_eq!(Publish::try_from(parts).as_ref(), Ok(&publish), "in {version}");
        }
        Err(error) => assert!(wild, "{parts:?} in {version}: {error}"),
    }
    Ok(())
}

fn check_parts(parts: &PublishParts<'_>, publish: &Publish) {
    assert_eq!(publish.delivery(), parts.delivery);
    assert_eq!(publish.retain(), parts.retain);
    assert_eq!(publish.topic(), parts.topic.as_str());
    assert_eq!(publish.topic_name().as_deref().unwrap_or_default(), parts.topic.as_str());
    assert_eq!(publish.payload(), parts.payload);
    assert_eq!(publish.payload_bytes(), parts.payload);
    // The two that the parts carry beside the block come first, and the expiry replaces the one in it.
    let alias = parts.alias.map(|alias| Property::TopicAlias(alias.get()));
    let expiry = parts.expiry.map(Property::MessageExpiryInterval);
    let others = parts
        .properties
        .iter()
        .filter(|property| expiry.is_none() || !matches!(property, Property::MessageExpiryInterval(_)));
    let expected = rebuild(alias.into_iter().chain(expiry).chain(others));
    assert_eq!(publish.properties(), expected.view());
    assert_eq!(publish.properties_buf(), expected);
}

/// Encodes behind another packet, which must stay as it is, and takes the bytes out as a transport does.
fn send(
    version: Version,
    encode: impl FnOnce(&mut WireBuf) -> std::result::Result<(), EncodeError>,
) -> std::result::Result<Vec<u8>, EncodeError> {
    let mut out = WireBuf::new();
    Packet::PingReq.encode(version, &mut out)?;
    let result = encode(&mut out);
    let wire = out.to_vec();
    assert_eq!(wire.len(), out.len());
    assert!(wire.starts_with(&[0xC0, 0]), "the packet before was changed");
    if result.is_err() {
        assert_eq!(wire.len(), 2, "an error wrote bytes");
    }
    out.advance(wire.len() / 2);
    assert_eq!(out.to_vec(), wire[wire.len() / 2..]);
    result.map(|()| wire[2..].to_vec())
}

fn receive(wire: &[u8], version: Version) -> Packet {
    let stream = read_all(Decoder::new(version), wire);
    assert_eq!((stream.error, stream.left), (None, 0), "{version} cannot read what it wrote: {wire:02X?}");
    let Ok([packet]) = <[Packet; 1]>::try_from(stream.packets) else { panic!("not one packet: {wire:02X?}") };
    packet
}
