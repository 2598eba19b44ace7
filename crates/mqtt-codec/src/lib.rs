//! MQTT packets from bytes and to bytes, for versions 3.1, 3.1.1 and 5.0.
//!
//! This crate does no I/O, knows no connection, no session and no time, and decides nothing that needs more than one
//! packet: whether a packet identifier is in use, an alias is known or a quota kept is the business of the crate
//! `mqtt-session`. It is `no_std` + `alloc`, free of `unsafe`, and takes nothing from the wire on trust.
//!
//! # Decode from a slice
//! ```
//! use bytes::BytesMut;
//! use mqtt_codec::{Decoder, Packet, Version};
//!
//! let mut input = BytesMut::from(&b"\x30\x06\x00\x01a\x00on"[..]);
//! let Some(Packet::Publish(publish)) = Decoder::new(Version::V5).decode(&mut input)? else { panic!() };
//! assert_eq!((publish.topic(), publish.payload()), ("a", &b"on"[..]));
//! # Ok::<(), mqtt_codec::DecodeError>(())
//! ```
//!
//! # Decode from a stream
//! Append what a read brought and take packets off the front until there is no complete one.
//! ```
//! use bytes::BytesMut;
//! use mqtt_codec::{Decoder, Packet, Version};
//! use std::io::Read;
//!
//! fn packets(mut stream: impl Read) -> Result<Vec<Packet>, Box<dyn std::error::Error>> {
//!     let mut decoder = Decoder::new(Version::V3_1_1).max_packet_size(64 * 1024);
//!     let (mut input, mut chunk, mut packets) = (BytesMut::new(), [0; 1024], vec![]);
//!     loop {
//!         let read = stream.read(&mut chunk)?;
//!         input.extend_from_slice(&chunk[..read]);
//!         while let Some(packet) = decoder.decode(&mut input)? {
//!             packets.push(packet);
//!         }
//!         if read == 0 {
//!             return Ok(packets);
//!         }
//!     }
//! }
//! assert_eq!(packets(&b"\xC0\x00\xE0\x00"[..])?.len(), 2);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Encode
//! Packets are appended to a [`WireBuf`], which keeps large payloads as segments of their own for vectored writes.
//! ```
//! use mqtt_codec::{Ack, Packet, PacketId, Version, WireBuf};
//!
//! let mut out = WireBuf::new();
//! Packet::PubAck(Ack::new(PacketId::MIN)).encode(Version::V5, &mut out)?;
//! assert_eq!(out.to_vec(), [0x40, 2, 0, 1]);
//! # Ok::<(), mqtt_codec::EncodeError>(())
//! ```
//!
//! # Match topics
//! ```
//! use mqtt_codec::TopicFilter;
//!
//! let filter = TopicFilter::try_from("home/+/temperature")?;
//! assert!(filter.matches("home/kitchen/temperature"));
//! # Ok::<(), mqtt_codec::TopicError>(())
//! ```

#![no_std]

extern crate alloc;
#[cfg(feature = "std")]
extern crate std;

pub mod decisions;
mod decoder;
mod error;
mod frame;
mod name_bytes;
mod packet;
mod properties;
mod properties_buf;
mod properties_builder;
mod reason;
mod scalar;
#[cfg(feature = "proptest")]
pub mod strategies;
mod text;
#[cfg(feature = "tokio-util")]
mod tokio_codec;
mod topic;
mod version;
mod wire;
mod wire_buf;

pub use self::decoder::Decoder;
pub use self::error::{DecodeError, EncodeError, Fault, Field};
pub use self::frame::MAX_PACKET_SIZE;
pub use self::packet::{
    Ack, Auth, ConnAck, Connect, Disconnect, Filters, Packet, PacketType, Publish, PublishParts, ReasonCodes,
    Sender, SubAck, Subscribe, UnsubAck, Unsubscribe, UnsubscribeFilters, Will,
};
pub use self::properties::{Properties, Property, PropertyId};
pub use self::properties_buf::PropertiesBuf;
pub use self::properties_builder::{PropertiesBuilder, PropertyError, PropertyFault};
pub use self::reason::ReasonCode;
pub use self::scalar::{Delivery, PacketId, QoS, RetainHandling, SubscriptionOptions};
pub use self::text::{MAX_FIELD_LEN, Text, TextError};
#[cfg(feature = "tokio-util")]
pub use self::tokio_codec::{Codec, CodecError};
pub use self::topic::{Topic, TopicError, TopicFilter, TopicName};
pub use self::version::Version;
pub use self::wire_buf::{SEGMENT_LEN, WireBuf};

/// The example in the README, compiled.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
