//! What the tests share: bytes written as hex, one packet decoded or encoded at a time, and the tables of
//! xtask/conformance/wire-facts.toml.

#![allow(dead_code, reason = "each test program uses a part of this")]

pub(crate) mod properties;

use bytes::BytesMut;
use mqtt_codec::{
    DecodeError, Decoder, EncodeError, Fault, Field, Packet, PacketId, PacketType, PropertiesBuf, Text,
    TopicFilter, TopicName, Version, WireBuf,
};
use std::sync::LazyLock;

pub(crate) const VERSIONS: [Version; 3] = [Version::V3_1, Version::V3_1_1, Version::V5];

/// The strings that no field may hold: ill-formed UTF-8, in the order of wire-facts.toml without U+0000.
pub(crate) const ILL_FORMED: [&str; 8] =
    ["C0 80", "ED A0 80", "ED BF BF", "F4 90 80 80", "F5 80 80 80", "E2 82", "80", "FF"];

/// wire-facts.toml.
pub(crate) static FACTS: LazyLock<toml::Table> = LazyLock::new(|| {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../xtask/conformance/wire-facts.toml");
    let text = std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{path}: {error}"));
    text.parse().unwrap_or_else(|error| panic!("{path}: {error}"))
});

/// The entries of a list in wire-facts.toml.
pub(crate) fn facts(name: &str) -> &'static [toml::Value] {
    FACTS[name].as_array().unwrap()
}

/// A list of strings.
pub(crate) fn strings(list: &toml::Value) -> Vec<&str> {
    list.as_array().unwrap().iter().map(|item| item.as_str().unwrap()).collect()
}

/// A number written as "0x1F".
pub(crate) fn number(text: &str) -> u8 {
    u8::from_str_radix(text.trim_start_matches("0x"), 16).unwrap()
}

/// The packet type with this name.
pub(crate) fn packet_type(name: &str) -> PacketType {
    (1..=15).filter_map(PacketType::from_u8).find(|packet| packet.name() == name).unwrap()
}

pub(crate) fn hex(text: &str) -> Vec<u8> {
    text.split_whitespace().map(number).collect()
}

pub(crate) fn show(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02X}")).collect::<Vec<_>>().join(" ")
}

/// Bytes of a packet, as they are or as hex.
pub(crate) trait Wire {
    fn wire(self) -> Vec<u8>;
}

impl Wire for &str {
    fn wire(self) -> Vec<u8> {
        hex(self)
    }
}

impl Wire for Vec<u8> {
    fn wire(self) -> Vec<u8> {
        self
    }
}

impl Wire for &[u8] {
    fn wire(self) -> Vec<u8> {
        self.to_vec()
    }
}

/// Decodes bytes that are one packet, or refused.
pub(crate) fn decode_with(mut decoder: Decoder, wire: impl Wire) -> Result<Packet, DecodeError> {
    let wire = wire.wire();
    let mut input = BytesMut::from(&wire[..]);
    let packet = decoder.decode(&mut input)?;
    let packet = packet.unwrap_or_else(|| panic!("not complete: {}", show(&wire)));
    assert!(input.is_empty(), "{} bytes left of {}", input.len(), show(&wire));
    Ok(packet)
}

/// Decodes bytes that are one packet, or refused, in either direction.
pub(crate) fn decode(version: Version, wire: impl Wire) -> Result<Packet, DecodeError> {
    decode_with(Decoder::new(version), wire)
}

/// Decodes bytes that must be one packet.
#[track_caller]
pub(crate) fn accept(version: Version, wire: impl Wire) -> Packet {
    let wire = wire.wire();
    match decode(version, &wire[..]) {
        Ok(packet) => packet,
        Err(error) => panic!("{version} refuses {}: {error}", show(&wire)),
    }
}

/// Decodes bytes that must be refused for this reason.
#[track_caller]
pub(crate) fn refuse(version: Version, wire: impl Wire, field: Field, fault: Fault) -> DecodeError {
    refuse_with(Decoder::new(version), wire, field, fault)
}

#[track_caller]
pub(crate) fn refuse_with(decoder: Decoder, wire: impl Wire, field: Field, fault: Fault) -> DecodeError {
    let wire = wire.wire();
    match decode_with(decoder, &wire[..]) {
        Ok(packet) => panic!("accepted {}: {packet:?}", show(&wire)),
        Err(error) => {
            assert_eq!((error.field(), error.fault()), (field, fault), "{}", show(&wire));
            error
        }
    }
}

pub(crate) fn encode(version: Version, packet: &Packet) -> Result<Vec<u8>, EncodeError> {
    let mut out = WireBuf::new();
    let result = packet.encode(version, &mut out);
    let wire = out.to_vec();
    match result {
        Ok(()) => assert_eq!(packet.encoded_len(version), wire.len(), "{packet:?} is {}", show(&wire)),
        Err(_) => assert!(wire.is_empty(), "an error, but {} was written", show(&wire)),
    }
    result.map(|()| wire)
}

/// Checks that a packet and these bytes are the same thing, in both directions.
#[track_caller]
pub(crate) fn same(version: Version, packet: &Packet, wire: impl Wire) {
    let wire = wire.wire();
    let encoded = encode(version, packet).unwrap_or_else(|error| panic!("{packet:?}: {error}"));
    assert_eq!(show(&encoded), show(&wire), "{packet:?}");
    assert_eq!(accept(version, wire), *packet);
}

/// Checks that the encoder refuses a packet, and returns why.
#[track_caller]
pub(crate) fn cannot_encode(version: Version, packet: &Packet) -> EncodeError {
    match encode(version, packet) {
        Ok(wire) => panic!("{version} wrote {packet:?} as {}", show(&wire)),
        Err(error) => error,
    }
}

/// Puts bytes together, field by field.
#[derive(Clone, Default)]
pub(crate) struct Body(pub(crate) Vec<u8>);

impl Body {
    pub(crate) fn hex(mut self, text: &str) -> Self {
        self.0.extend(hex(text));
        self
    }

    pub(crate) fn bytes(mut self, bytes: &[u8]) -> Self {
        self.0.extend_from_slice(bytes);
        self
    }

    /// Two bytes of length and the bytes.
    pub(crate) fn string(mut self, bytes: impl AsRef<[u8]>) -> Self {
        let bytes = bytes.as_ref();
        self.0.extend_from_slice(&u16::try_from(bytes.len()).unwrap().to_be_bytes());
        self.bytes(bytes)
    }

    /// The length as a variable byte integer and the bytes.
    pub(crate) fn block(mut self, bytes: &[u8]) -> Self {
        self.0.extend(variable_byte_integer(bytes.len()));
        self.bytes(bytes)
    }

    /// The whole packet, with this first byte.
    pub(crate) fn packet(self, first: u8) -> Vec<u8> {
        Self(vec![first]).block(&self.0).0
    }
}

pub(crate) fn body(text: &str) -> Body {
    Body::default().hex(text)
}

/// The oracle: section 1.5.5, digit by digit.
pub(crate) fn variable_byte_integer(mut value: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    loop {
        let digit = (value % 128) as u8;
        value /= 128;
        bytes.push(if value > 0 { digit | 0x80 } else { digit });
        if value == 0 {
            return bytes;
        }
    }
}

/// The beginning of a CONNECT up to and with the connect flags.
pub(crate) fn connect_start(version: Version, flags: u8) -> Body {
    Body::default().string(version.protocol_name()).bytes(&[version.level(), flags])
}

pub(crate) fn id(id: u16) -> PacketId {
    PacketId::new(id).unwrap()
}

pub(crate) fn text(text: &str) -> Text {
    Text::try_from(text).unwrap()
}

pub(crate) fn topic(name: &str) -> TopicName {
    TopicName::try_from(name).unwrap()
}

pub(crate) fn filter(filter: &str) -> TopicFilter {
    TopicFilter::try_from(filter).unwrap()
}

pub(crate) fn no_properties() -> PropertiesBuf {
    PropertiesBuf::new()
}
