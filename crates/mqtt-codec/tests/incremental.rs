//! Any split of the bytes gives the same packets, and none of their bytes is copied on the way in.

mod common;

use bytes::BytesMut;
use common::{VERSIONS, encode, hex};
use mqtt_codec::strategies::{connect, nearly_valid_bytes, packet};
use mqtt_codec::{DecodeError, Decoder, Packet, Version};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::{Index, select};

/// What comes out of these chunks: packets, then maybe an error, else the number of bytes that are left.
fn feed<'a>(
    mut decoder: Decoder,
    chunks: impl IntoIterator<Item = &'a [u8]>,
) -> (Vec<Packet>, Result<usize, DecodeError>) {
    let (mut input, mut packets) = (BytesMut::new(), Vec::new());
    for chunk in chunks {
        input.extend_from_slice(chunk);
        loop {
            match decoder.decode(&mut input) {
                Ok(Some(packet)) => packets.push(packet),
                Ok(None) => break,
                Err(error) => return (packets, Err(error)),
            }
        }
    }
    (packets, Ok(input.len()))
}

/// The bytes cut at these places, some of which may be the same.
fn cut<'a>(bytes: &'a [u8], places: &[Index]) -> Vec<&'a [u8]> {
    let mut places: Vec<usize> = places.iter().map(|place| place.index(bytes.len() + 1)).collect();
    places.extend([0, bytes.len()]);
    places.sort_unstable();
    places.windows(2).map(|pair| &bytes[pair[0]..pair[1]]).collect()
}

fn stream(version: Version, packets: &[Packet]) -> Vec<u8> {
    packets.iter().flat_map(|packet| encode(version, packet).unwrap()).collect()
}

fn packets() -> impl Strategy<Value = (Version, Vec<Packet>)> {
    select(&VERSIONS[..]).prop_flat_map(|version| (Just(version), vec(packet(version), 0..6)))
}

/// Bytes that go wrong somewhere, mostly.
fn noise() -> impl Strategy<Value = (Version, Vec<u8>)> {
    select(&VERSIONS[..]).prop_flat_map(|version| {
        (Just(version), vec(nearly_valid_bytes(version), 0..4).prop_map(|packets| packets.concat()))
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_000))]

    #[test]
    fn any_split_gives_the_same_packets(
        (version, packets) in packets(), places in vec(any::<Index>(), 0..12),
    ) {
        let bytes = stream(version, &packets);
        let whole = (packets, Ok(0));
        prop_assert_eq!(feed(Decoder::new(version), [&bytes[..]]), whole.clone());
        prop_assert_eq!(feed(Decoder::new(version), cut(&bytes, &places)), whole.clone());
        prop_assert_eq!(feed(Decoder::new(version), bytes.chunks(1)), whole);
    }

    /// Also for bytes that are refused, or that never end.
    #[test]
    fn any_split_gives_the_same_error((version, bytes) in noise(), places in vec(any::<Index>(), 0..12)) {
        let decoder = Decoder::new(version).max_packet_size(100_000);
        let whole = feed(decoder.clone(), [&bytes[..]]);
        prop_assert_eq!(feed(decoder.clone(), cut(&bytes, &places)), whole.clone());
        prop_assert_eq!(feed(decoder.clone(), bytes.chunks(1)), whole);
    }

    #[test]
    fn a_server_does_not_need_its_connect_in_one_piece(
        (version, connect) in select(&VERSIONS[..]).prop_flat_map(|version| (Just(version), connect(version))),
        places in vec(any::<Index>(), 0..12),
    ) {
        let packets = vec![Packet::Connect(Box::new(connect)), Packet::PingReq];
        let bytes = stream(version, &packets);
        let whole = (packets, Ok(0));
        prop_assert_eq!(feed(Decoder::for_server(), cut(&bytes, &places)), whole.clone());
        prop_assert_eq!(feed(Decoder::for_server(), bytes.chunks(1)), whole);
    }
}

/// A decoder takes its packet and leaves what follows.
#[test]
fn nothing_behind_the_packet_is_touched() {
    for wire in ["30 04 00 01 61 00", "40 02 00 01", "40 03 00 01 10", "20 03 00 00 00", "D0 00", "E0 00"] {
        let mut input = BytesMut::from(&[&hex(wire)[..], &hex("C0 00 FF")].concat()[..]);
        let mut decoder = Decoder::new(Version::V5);
        assert!(matches!(decoder.decode(&mut input), Ok(Some(_))));
        assert_eq!(input[..], hex("C0 00 FF"));
        assert_eq!(decoder.decode(&mut input), Ok(Some(Packet::PingReq)));
        assert!(decoder.decode(&mut input).is_err());
    }
}

/// What was received lies where the read put it.
#[test]
fn a_received_publish_copies_nothing() {
    let publish = "3A 11 00 03 61 2F 62 00 01 05 03 00 02 74 78 7B 7D 01 02";
    for before in ["", "D0 00"] {
        let mut input = BytesMut::from(&[hex(before), hex(publish)].concat()[..]);
        let read = input.as_ptr_range();
        let mut decoder = Decoder::new(Version::V5);
        let mut next = || decoder.decode(&mut input).unwrap().unwrap();
        if !before.is_empty() {
            assert_eq!(next(), Packet::PingResp);
        }
        let Packet::Publish(publish) = next() else { panic!() };
        let (name, properties) = (publish.topic_name().unwrap(), publish.properties_buf());
        let payload = publish.payload_bytes();
        assert_eq!((name.as_str(), properties.view().content_type()), ("a/b", Some("tx")));
        assert_eq!(payload, [0x7B, 0x7D, 1, 2][..]);
        let inside = |part: &[u8]| read.contains(&part.as_ptr());
        assert!(inside(publish.topic().as_bytes()) && inside(publish.payload()));
        assert!(inside(&payload) && inside(publish.properties().as_bytes()));
        assert_eq!(publish.payload().as_ptr(), publish.clone().into_payload().as_ptr());
        assert!(!inside(name.as_bytes()), "a short name lies in its value");
        assert!(!inside(properties.view().as_bytes()), "a few properties do too");
    }
}

/// A topic name that is too long to lie in its value shares the buffer.
#[test]
fn a_long_name_is_not_copied() {
    let topic = "a/topic/name/of/thirty/letters";
    let mut wire = vec![0x30, 2 + 30, 0, 30];
    wire.extend(topic.as_bytes());
    let mut input = BytesMut::from(&wire[..]);
    let read = input.as_ptr_range();
    let Ok(Some(Packet::Publish(publish))) = Decoder::new(Version::V3_1_1).decode(&mut input) else {
        panic!()
    };
    let name = publish.topic_name().unwrap();
    assert_eq!(name.as_str(), topic);
    assert!(read.contains(&name.as_bytes().as_ptr()) && read.contains(&name.into_bytes().as_ptr()));
}

/// Nor are properties, if they are more than a few bytes.
#[test]
fn long_properties_are_not_copied() {
    let wire = [&hex("30 1A 00 01 74 14 03 00 11")[..], b"text/plain; utf-8", &hex("7B 7D")].concat();
    let mut input = BytesMut::from(&wire[..]);
    let read = input.as_ptr_range();
    let Ok(Some(Packet::Publish(publish))) = Decoder::new(Version::V5).decode(&mut input) else { panic!() };
    let properties = publish.properties_buf();
    assert_eq!(properties.view().content_type(), Some("text/plain; utf-8"));
    assert!(read.contains(&properties.view().as_bytes().as_ptr()));
}

/// Nor are the fields of the other packets copied, where they are bytes.
#[test]
fn other_packets_share_the_buffer_too() {
    let wire = "10 1A 00 04 4D 51 54 54 04 F6 00 3C 00 02 69 64 00 01 77 00 01 78 00 01 75 00 01 70";
    let mut input = BytesMut::from(&hex(wire)[..]);
    let read = input.as_ptr_range();
    let Ok(Some(Packet::Connect(connect))) = Decoder::new(Version::V3_1_1).decode(&mut input) else {
        panic!()
    };
    let will = connect.will.unwrap();
    let (username, password) = (connect.username.unwrap(), connect.password.unwrap());
    for part in [connect.client_id.as_bytes(), &will.payload, username.as_bytes(), &password] {
        assert!(read.contains(&part.as_ptr()), "{part:?}");
    }
    let mut input = BytesMut::from(&hex("82 0D 00 01 06 26 00 01 61 00 00 00 01 61 00")[..]);
    let read = input.as_ptr_range();
    let Ok(Some(Packet::Subscribe(subscribe))) = Decoder::new(Version::V5).decode(&mut input) else {
        panic!()
    };
    assert!(read.contains(&subscribe.filters().next().unwrap().0.as_ptr()));
    assert!(read.contains(&subscribe.properties().as_bytes().as_ptr()));
}
