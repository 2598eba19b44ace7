//! PUBACK, PUBREC, PUBREL and PUBCOMP, sections 3.4 to 3.7: one form for all four.

use super::{
    PacketType, Sender, check_properties, check_reason, check_size, packet_len, properties_len,
    put_properties, refuse,
};
use crate::error::{EncodeError, Fault, Field};
use crate::properties::properties;
use crate::properties_buf::PropertiesBuf;
use crate::reason::ReasonCode;
use crate::scalar::PacketId;
use crate::version::Version;
use crate::wire::{Parsed, byte, fail, packet_id};
use crate::wire_buf::WireBuf;
use bytes::Bytes;

/// What acknowledges a PUBLISH, or an acknowledgement of one.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Ack {
    /// The packet identifier of the PUBLISH.
    pub id: PacketId,
    /// What became of it; always [`ReasonCode::SUCCESS`] before 5.0.
    pub reason: ReasonCode,
    /// Reason string and user properties; empty before 5.0.
    pub properties: PropertiesBuf,
}

impl Ack {
    /// A success without properties.
    pub const fn new(id: PacketId) -> Self {
        Self::with_reason(id, ReasonCode::SUCCESS)
    }

    /// A reason without properties.
    pub const fn with_reason(id: PacketId, reason: ReasonCode) -> Self {
        Self { id, reason, properties: PropertiesBuf::new() }
    }

    /// Reads what follows the fixed header, in its short forms too `[5u-12]`. `frame` holds the body.
    pub(crate) fn parse<'a>(
        body: &'a [u8],
        frame: &Bytes,
        packet: PacketType,
        sender: Option<Sender>,
        version: Version,
    ) -> Parsed<'a, Self> {
        let (rest, id) = packet_id(body)?;
        if rest.is_empty() || !version.is_v5() {
            return Ok((rest, Self::new(id)));
        }
        let (rest, reason) = byte(rest, Field::ReasonCode)?;
        let reason = ReasonCode::new(reason);
        if !reason.is_allowed_in(packet, sender) {
            return fail(Field::ReasonCode, Fault::ReasonNotAllowed(reason.value()));
        }
        if rest.is_empty() {
            return Ok((rest, Self::with_reason(id, reason)));
        }
        let (rest, checked) = properties(rest, packet.place())?;
        let properties = PropertiesBuf::part_of(frame, checked.block);
        Ok((rest, Self { id, reason, properties }))
    }

    /// Appends this as a packet of one of the four types; refuses any other. On an error nothing was written.
    #[inline]
    pub fn encode(&self, packet: PacketType, version: Version, out: &mut WireBuf) -> Result<(), EncodeError> {
        if self.reason == ReasonCode::SUCCESS && self.properties.is_empty() && is_ack(packet) {
            let [high, low] = self.id.get().to_be_bytes();
            out.reserve(4).extend_from_slice(&[packet.first_byte(), 2, high, low]);
            return Ok(());
        }
        self.encode_long(packet, version, out)
    }

    fn encode_long(
        &self,
        packet: PacketType,
        version: Version,
        out: &mut WireBuf,
    ) -> Result<(), EncodeError> {
        if !is_ack(packet) {
            return Err(refuse(packet, Field::FixedHeader, Fault::UnexpectedPacket));
        }
        if !version.is_v5() && self.reason != ReasonCode::SUCCESS {
            return Err(EncodeError::NotInVersion { packet, field: Field::ReasonCode, version });
        }
        check_properties(packet, packet.place(), self.properties.view(), version)?;
        check_reason(packet, self.reason)?;
        let remaining = self.remaining_len(version);
        check_size(packet, remaining)?;
        let out = out.start(packet.first_byte(), remaining, remaining);
        out.extend_from_slice(&self.id.get().to_be_bytes());
        out.push(self.reason.value());
        if !self.properties.is_empty() {
            put_properties(out, self.properties.view(), version);
        }
        Ok(())
    }

    /// Bytes of this packet on the wire.
    pub fn encoded_len(&self, version: Version) -> usize {
        packet_len(self.remaining_len(version))
    }

    fn remaining_len(&self, version: Version) -> usize {
        match (self.reason, self.properties.is_empty()) {
            (ReasonCode::SUCCESS, true) => 2,
            (_, true) => 3,
            (_, false) => 3 + properties_len(self.properties.view(), version),
        }
    }
}

/// Whether packets of this type have the form of this file.
#[inline(always)]
const fn is_ack(packet: PacketType) -> bool {
    matches!(packet, PacketType::PubAck | PacketType::PubRec | PacketType::PubRel | PacketType::PubComp)
}
