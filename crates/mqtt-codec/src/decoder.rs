//! From a stream of bytes to packets.

use crate::error::{DecodeError, Fault, Field};
use crate::frame::{FixedHeader, MAX_PACKET_SIZE};
use crate::packet::{
    Ack, Auth, ConnAck, Connect, Disconnect, Packet, PacketType, Publish, PublishFields, Sender, SubAck,
    Subscribe, UnsubAck, Unsubscribe,
};
use crate::scalar::{Delivery, PacketId};
use crate::version::Version;
use crate::wire::error_of;
use alloc::boxed::Box;
use bytes::{Buf, Bytes, BytesMut};

/// Cuts packets off a stream of bytes.
///
/// By default it takes all fifteen types, as a proxy or an analyser wants.
/// [`from_server_only`](Self::from_server_only) takes what a client may receive, [`for_server`](Self::for_server)
/// what a server may receive.
///
/// ```
/// use bytes::BytesMut;
/// use mqtt_codec::{Decoder, Packet, Version};
///
/// let mut decoder = Decoder::new(Version::V5).from_server_only().max_packet_size(1024);
/// let mut input = BytesMut::from(&b"\xD0\x00\x40\x02\x00"[..]);
/// assert_eq!(decoder.decode(&mut input)?, Some(Packet::PingResp));
/// assert_eq!(decoder.decode(&mut input)?, None); // the PUBACK is not complete
/// # Ok::<(), mqtt_codec::DecodeError>(())
/// ```
#[derive(Clone, Debug)]
pub struct Decoder {
    /// Not known before the CONNECT that a server waits for.
    version: Option<Version>,
    sender: Option<Sender>,
    max_packet_size: u32,
}

impl Decoder {
    /// A decoder for this version and for packets of both directions, up to the largest packet there is.
    pub const fn new(version: Version) -> Self {
        Self { version: Some(version), sender: None, max_packet_size: MAX_PACKET_SIZE }
    }

    /// A decoder for a server. The first packet must be a CONNECT `[MQTT-3.1.0-1]`; it tells the version of all
    /// that follow, and a second one is refused `[MQTT-3.1.0-2]`.
    pub const fn for_server() -> Self {
        Self { version: None, sender: Some(Sender::Client), max_packet_size: MAX_PACKET_SIZE }
    }

    /// Takes only what a server may send, that is, what a client may receive.
    #[must_use]
    pub const fn from_server_only(self) -> Self {
        Self { sender: Some(Sender::Server), ..self }
    }

    /// Refuses packets of more than so many bytes, fixed header included, as soon as their header says so
    /// `[MQTT-3.1.2-24]`. Nothing of them needs to be buffered.
    #[must_use]
    pub const fn max_packet_size(self, bytes: u32) -> Self {
        Self { max_packet_size: bytes, ..self }
    }

    /// The version; `None` before a server's decoder has seen the CONNECT.
    pub const fn version(&self) -> Option<Version> {
        self.version
    }

    /// Takes the next packet off the front of `input`; `None` if it is not complete: read more and call again.
    ///
    /// After an error the stream has no known packet boundary any more: close the connection. The one exception is
    /// [`skip_misnamed`](Self::skip_misnamed).
    #[inline]
    pub fn decode(&mut self, input: &mut BytesMut) -> Result<Option<Packet>, DecodeError> {
        let Some(version) = self.version else { return self.decode_first(input) };
        if let [first @ (0x40 | 0x50 | 0x62 | 0x70), 2, high, low, ..] = **input
            && self.max_packet_size >= 4
        {
            return decode_short_ack(first, u16::from_be_bytes([high, low]), input);
        }
        let Some(header) = FixedHeader::read(input, version)? else { return Ok(None) };
        self.check_header(&header, version)?;
        if input.len() < header.size {
            return Ok(None);
        }
        if header.packet == PacketType::Publish {
            self.decode_publish(&header, input, version)
        } else {
            self.decode_other(&header, input, version)
        }
    }

    /// Bytes that the packet at the front of `input` lacks; 0 if it is complete, or not so much of it is there that it
    /// says how long it is.
    pub fn missing(&self, input: &[u8]) -> usize {
        let header = self.version.and_then(|version| FixedHeader::read(input, version).ok().flatten());
        header.map_or(0, |header| header.size.saturating_sub(input.len()))
    }

    /// Takes a PUBLISH off the front of `input` that [`decode`](Self::decode) has refused because its topic name is none, for
    /// those who would rather miss a message than the connection. Says how it is to be acknowledged. `None`, and
    /// nothing is taken, if something else is wrong with it.
    #[cold]
    #[inline(never)]
    pub fn skip_misnamed(&mut self, input: &mut BytesMut) -> Option<Delivery> {
        let version = self.version?;
        let header = FixedHeader::read(input, version).ok()??;
        self.check_header(&header, version).ok()?;
        // The same packet with a name that is one has to be in order.
        let mut renamed = BytesMut::from(input.get(..header.size)?);
        let (length, rest) = renamed.get_mut(header.len..)?.split_at_mut_checked(2)?;
        let length = usize::from(u16::from_be_bytes([*length.first()?, *length.last()?]));
        rest.get_mut(..length)?.fill(b'x');
        match self.decode_publish(&header, &mut renamed, version) {
            Ok(Some(Packet::Publish(publish))) if header.packet == PacketType::Publish => {
                input.advance(header.size);
                Some(publish.delivery())
            }
            _ => None,
        }
    }

    #[inline(always)]
    fn check_header(&self, header: &FixedHeader, version: Version) -> Result<(), DecodeError> {
        if header.size > self.max_packet_size as usize {
            return Err(too_large(header, self.max_packet_size));
        }
        if let Some(sender) = self.sender
            && !header.packet.is_sent_by(sender, version)
        {
            return Err(unexpected(header.packet));
        }
        Ok(())
    }

    #[inline(always)]
    fn decode_publish(
        &self,
        header: &FixedHeader,
        input: &mut BytesMut,
        version: Version,
    ) -> Result<Option<Packet>, DecodeError> {
        let body = input.get(header.len..header.size).unwrap_or_default();
        match PublishFields::parse(header.first, body, header.len, self.sender, version) {
            Ok(fields) => {
                let frame = input.split_to(header.size).freeze();
                Ok(Some(Packet::Publish(Publish::from_parsed(frame, fields))))
            }
            Err(error) => Err(error_of(error).within(header.packet)),
        }
    }

    /// A server's first packet: a CONNECT of any version. Flags and length are first read by the rules of 3.1, which
    /// takes what any version takes.
    fn decode_first(&mut self, input: &mut BytesMut) -> Result<Option<Packet>, DecodeError> {
        let Some(header) = FixedHeader::read(input, Version::V3_1)? else { return Ok(None) };
        if header.packet != PacketType::Connect {
            return Err(unexpected(header.packet));
        }
        self.check_header(&header, Version::V3_1)?;
        if input.len() < header.size {
            return Ok(None);
        }
        let body = input.get(header.len..header.size).unwrap_or_default();
        let (_, version) =
            Connect::parse_version(body).map_err(|error| error_of(error).within(header.packet))?;
        // Once more with the version known: 3.1.1 checks the flags, and 5.0 also the form of the length.
        FixedHeader::read(input, version)?;
        let connect = self.decode_other(&header, input, version)?;
        self.version = Some(version);
        Ok(connect)
    }

    /// Everything but PUBLISH and its short acknowledgements.
    #[inline(never)]
    fn decode_other(
        &self,
        header: &FixedHeader,
        input: &mut BytesMut,
        version: Version,
    ) -> Result<Option<Packet>, DecodeError> {
        if header.packet == PacketType::Connect
            && self.sender == Some(Sender::Client)
            && self.version.is_some()
        {
            return Err(unexpected(header.packet));
        }
        let frame = input.split_to(header.size).freeze();
        let body = frame.get(header.len..).unwrap_or_default();
        let packet = parse_body(header.packet, body, &frame, self.sender, version);
        packet.map(Some).map_err(|error| error_of(error).within(header.packet))
    }
}

/// Reads the body of any packet but PUBLISH, to its last byte `[5u-13]`.
fn parse_body(
    packet: PacketType,
    body: &[u8],
    frame: &Bytes,
    sender: Option<Sender>,
    version: Version,
) -> Result<Packet, nom::Err<DecodeError>> {
    let ack = |body| Ack::parse(body, frame, packet, sender, version);
    let (rest, packet) = match packet {
        PacketType::Connect => {
            let (rest, named) = Connect::parse_version(body)?;
            if named != version {
                return crate::wire::fail(Field::Protocol, Fault::UnsupportedVersion(named.level()));
            }
            let (rest, connect) = Connect::parse(rest, frame, version)?;
            (rest, Packet::Connect(connect))
        }
        PacketType::ConnAck => {
            let (rest, connack) = ConnAck::parse(body, frame, version)?;
            (rest, Packet::ConnAck(Box::new(connack)))
        }
        PacketType::Publish => return crate::wire::fail(Field::Packet, Fault::UnexpectedPacket),
        PacketType::PubAck => ack(body).map(|(rest, ack)| (rest, Packet::PubAck(ack)))?,
        PacketType::PubRec => ack(body).map(|(rest, ack)| (rest, Packet::PubRec(ack)))?,
        PacketType::PubRel => ack(body).map(|(rest, ack)| (rest, Packet::PubRel(ack)))?,
        PacketType::PubComp => ack(body).map(|(rest, ack)| (rest, Packet::PubComp(ack)))?,
        PacketType::Subscribe => {
            let (rest, subscribe) = Subscribe::parse(body, frame, version)?;
            (rest, Packet::Subscribe(subscribe))
        }
        PacketType::SubAck => {
            let (rest, suback) = SubAck::parse(body, frame, version)?;
            (rest, Packet::SubAck(suback))
        }
        PacketType::Unsubscribe => {
            let (rest, unsubscribe) = Unsubscribe::parse(body, frame, version)?;
            (rest, Packet::Unsubscribe(unsubscribe))
        }
        PacketType::UnsubAck => {
            let (rest, unsuback) = UnsubAck::parse(body, frame, version)?;
            (rest, Packet::UnsubAck(unsuback))
        }
        PacketType::PingReq => (body, Packet::PingReq),
        PacketType::PingResp => (body, Packet::PingResp),
        PacketType::Disconnect => {
            let (rest, disconnect) = Disconnect::parse(body, frame, sender, version)?;
            (rest, Packet::Disconnect(disconnect))
        }
        PacketType::Auth => {
            let (rest, auth) = Auth::parse(body, frame, sender)?;
            (rest, Packet::Auth(auth))
        }
    };
    if rest.is_empty() { Ok(packet) } else { crate::wire::fail(Field::Packet, Fault::TrailingBytes) }
}

/// An acknowledgement of four bytes, the common one: no reason, no properties, no reference count touched.
#[inline(always)]
fn decode_short_ack(first: u8, id: u16, input: &mut BytesMut) -> Result<Option<Packet>, DecodeError> {
    let Some(id) = PacketId::new(id) else { return Err(zero_id(first)) };
    input.advance(4);
    let ack = Ack::new(id);
    Ok(Some(match first {
        0x40 => Packet::PubAck(ack),
        0x50 => Packet::PubRec(ack),
        0x62 => Packet::PubRel(ack),
        _ => Packet::PubComp(ack),
    }))
}

#[cold]
const fn too_large(header: &FixedHeader, limit: u32) -> DecodeError {
    let size = header.size as u32;
    DecodeError::new(Field::RemainingLength, Fault::TooLarge { size, limit }).within(header.packet)
}

#[cold]
const fn unexpected(packet: PacketType) -> DecodeError {
    DecodeError::new(Field::FixedHeader, Fault::UnexpectedPacket).within(packet)
}

#[cold]
fn zero_id(first: u8) -> DecodeError {
    let error = DecodeError::new(Field::PacketIdentifier, Fault::ZeroPacketId);
    PacketType::from_u8(first >> 4).map_or(error, |packet| error.within(packet))
}
