//! Our decoder beside two others: they take and refuse the same frames and read the same from them, except where the
//! list of known differences says otherwise, why, and by which statement.

use crate::known::{KNOWN, Known};
use crate::peers::Peer;
use crate::reencode::rebuild;
use bytes::BytesMut;
use mqtt_codec::{
    Ack, DecodeError, Decoder, Packet, Properties, PropertiesBuf, Property, Publish, PublishParts, SubAck,
    Subscribe, Topic, TopicFilter, TopicName, UnsubAck, Version,
};

/// Decodes one frame, in 3.1.1 and in 5.0, with every codec.
pub fn differential(data: &[u8]) {
    explain(data, |seen| {
        panic!("{:?} in {}: {:?} by {:02X?}", seen.peer, seen.version, seen.difference, seen.frame)
    });
}

/// The known differences that this frame shows.
pub fn explanations(data: &[u8]) -> Vec<(Peer, &'static Known)> {
    explain(data, |_| ())
}

pub(crate) fn explain(data: &[u8], unknown: impl Fn(&Seen<'_>)) -> Vec<(Peer, &'static Known)> {
    let Some((frame, body)) = first_frame(data) else { return vec![] };
    let mut found = vec![];
    for version in [Version::V3_1_1, Version::V5] {
        let ours = Decoder::new(version).decode(&mut BytesMut::from(frame)).transpose();
        let Some(ours) = ours else { panic!("a whole frame is not seen: {frame:02X?}") };
        for peer in Peer::ALL {
            let theirs = peer.rewrite(frame, body, version);
            let Some(difference) = difference(&ours, theirs.as_deref(), version) else { continue };
            let seen = Seen { peer, version, frame, difference: &difference };
            match KNOWN.iter().find(|known| known.explains(&seen)) {
                Some(known) => found.push((peer, known)),
                None => unknown(&seen),
            }
        }
    }
    found
}

/// A difference with what led to it.
pub(crate) struct Seen<'a> {
    pub(crate) peer: Peer,
    pub(crate) version: Version,
    pub(crate) frame: &'a [u8],
    pub(crate) difference: &'a Difference,
}

/// How two codecs differ about one frame.
#[derive(Debug)]
pub(crate) enum Difference {
    /// We refuse what they take.
    OnlyTheyTake(DecodeError),
    /// They refuse what we take.
    OnlyWeTake(Packet),
    /// Both take it and read something else: our packet, and what we read in theirs.
    Fields(Packet, Result<Option<Packet>, DecodeError>),
}

fn difference(
    ours: &Result<Packet, DecodeError>,
    theirs: Option<&[u8]>,
    version: Version,
) -> Option<Difference> {
    match (ours, theirs) {
        (Err(_), None) => None,
        (Err(error), Some(_)) => Some(Difference::OnlyTheyTake(*error)),
        (Ok(packet), None) => Some(Difference::OnlyWeTake(packet.clone())),
        (Ok(packet), Some(wire)) => {
            let theirs = Decoder::new(version).decode(&mut BytesMut::from(wire));
            let same = matches!(&theirs, Ok(Some(theirs)) if in_order(theirs) == in_order(packet));
            if same { None } else { Some(Difference::Fields(packet.clone(), theirs)) }
        }
    }
}

/// The first frame of the input and its body, if it is whole.
fn first_frame(data: &[u8]) -> Option<(&[u8], &[u8])> {
    let len_bytes = data.iter().skip(1).take(4).position(|byte| byte & 0x80 == 0)? + 1;
    let header = 1 + len_bytes;
    let remaining = data[1..header].iter().rev().fold(0, |value, byte| value << 7 | usize::from(byte & 0x7F));
    let frame = data.get(..header + remaining)?;
    Some((frame, &frame[header..]))
}

/// The packet with its properties in the order of their identifiers: a codec may keep them in any order but that of
/// user properties, `[MQTT-3.1.3-10]` and its like.
fn in_order(packet: &Packet) -> Packet {
    match packet.clone() {
        Packet::Connect(mut connect) => {
            connect.properties = sorted(connect.properties.view());
            if let Some(will) = &mut connect.will {
                will.properties = sorted(will.properties.view());
            }
            Packet::Connect(connect)
        }
        Packet::ConnAck(mut connack) => {
            connack.properties = sorted(connack.properties.view());
            Packet::ConnAck(connack)
        }
        Packet::Publish(publish) => Packet::Publish(publish_in_order(&publish)),
        Packet::PubAck(ack) => Packet::PubAck(ack_in_order(ack)),
        Packet::PubRec(ack) => Packet::PubRec(ack_in_order(ack)),
        Packet::PubRel(ack) => Packet::PubRel(ack_in_order(ack)),
        Packet::PubComp(ack) => Packet::PubComp(ack_in_order(ack)),
        Packet::Subscribe(subscribe) => {
            let filters: Vec<_> =
                subscribe.filters().map(|(name, options)| (filter(name), options)).collect();
            let filters = filters.iter().map(|(filter, options)| (filter, *options));
            let subscribe = Subscribe::new(subscribe.id(), &sorted(subscribe.properties()), filters);
            Packet::Subscribe(subscribe.expect("it was read"))
        }
        Packet::SubAck(suback) => {
            let codes: Vec<_> = suback.codes().collect();
            let suback = SubAck::new(suback.id(), &sorted(suback.properties()), &codes);
            Packet::SubAck(suback.expect("it was read"))
        }
        // User properties alone.
        Packet::Unsubscribe(unsubscribe) => Packet::Unsubscribe(unsubscribe),
        Packet::UnsubAck(unsuback) => {
            let codes: Vec<_> = unsuback.codes().collect();
            Packet::UnsubAck(UnsubAck::new(unsuback.id(), &sorted(unsuback.properties()), &codes))
        }
        Packet::PingReq => Packet::PingReq,
        Packet::PingResp => Packet::PingResp,
        Packet::Disconnect(mut disconnect) => {
            disconnect.properties = sorted(disconnect.properties.view());
            Packet::Disconnect(disconnect)
        }
        Packet::Auth(mut auth) => {
            auth.properties = sorted(auth.properties.view());
            Packet::Auth(auth)
        }
    }
}

fn ack_in_order(ack: Ack) -> Ack {
    Ack { properties: sorted(ack.properties.view()), ..ack }
}

fn publish_in_order(publish: &Publish) -> Publish {
    let (name, payload) = (publish.topic_name(), publish.payload_bytes());
    let properties = sorted(publish.properties());
    let parts = PublishParts {
        retain: publish.retain(),
        properties: properties.view(),
        ..PublishParts::new(
            publish.delivery(),
            name.as_ref().map_or(Topic::EMPTY, TopicName::borrow),
            &payload,
        )
    };
    Publish::try_from(parts).expect("it was read")
}

fn filter(name: &str) -> TopicFilter {
    TopicFilter::try_from(name).expect("it was read")
}

fn sorted(properties: Properties<'_>) -> PropertiesBuf {
    let mut properties: Vec<Property<'_>> = properties.iter().collect();
    properties.sort_by_key(Property::id);
    rebuild(properties.into_iter())
}
