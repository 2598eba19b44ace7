//! DISCONNECT, section 3.14.

use super::{
    PacketType, Sender, check_properties, check_reason, check_size, packet_len, properties_len,
    put_properties,
};
use crate::error::{EncodeError, Fault, Field};
use crate::properties::{Place, PropertyId, properties};
use crate::properties_buf::PropertiesBuf;
use crate::reason::ReasonCode;
use crate::version::Version;
use crate::wire::{Parsed, byte, fail};
use crate::wire_buf::WireBuf;
use bytes::Bytes;

const PACKET: PacketType = PacketType::Disconnect;

/// The last packet of a connection. Before 5.0 only clients send it, and it says nothing but goodbye.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Disconnect {
    /// Why; always [`ReasonCode::NORMAL_DISCONNECTION`] before 5.0 `[MQTT-3.14.2-1]`.
    pub reason: ReasonCode,
    /// Session expiry interval (client), server reference (server), reason string, user properties.
    pub properties: PropertiesBuf,
}

impl Disconnect {
    /// A reason without properties.
    pub const fn new(reason: ReasonCode) -> Self {
        Self { reason, properties: PropertiesBuf::new() }
    }

    /// Reads what follows the fixed header, in its short forms too `[5u-12]`.
    pub(crate) fn parse<'a>(
        body: &'a [u8],
        frame: &Bytes,
        sender: Option<Sender>,
        version: Version,
    ) -> Parsed<'a, Self> {
        if body.is_empty() || !version.is_v5() {
            return Ok((body, Self::new(ReasonCode::NORMAL_DISCONNECTION)));
        }
        let (rest, reason) = byte(body, Field::ReasonCode)?;
        let reason = ReasonCode::new(reason);
        if !reason.is_allowed_in(PACKET, sender) {
            return fail(Field::ReasonCode, Fault::ReasonNotAllowed(reason.value()));
        }
        if rest.is_empty() {
            return Ok((rest, Self::new(reason)));
        }
        let (rest, checked) = properties(rest, Place::Disconnect)?;
        // `[MQTT-3.14.2-2]`
        if sender == Some(Sender::Server) && checked.has(PropertyId::SessionExpiryInterval) {
            return fail(Field::Property(PropertyId::SessionExpiryInterval), Fault::PropertyNotFromSender);
        }
        Ok((rest, Self { reason, properties: PropertiesBuf::part_of(frame, checked.block) }))
    }

    /// Appends this packet. On an error nothing was written.
    pub fn encode(&self, version: Version, out: &mut WireBuf) -> Result<(), EncodeError> {
        if !version.is_v5() && self.reason != ReasonCode::NORMAL_DISCONNECTION {
            return Err(EncodeError::NotInVersion { packet: PACKET, field: Field::ReasonCode, version });
        }
        check_reason(PACKET, self.reason)?;
        check_properties(PACKET, Place::Disconnect, self.properties.view(), version)?;
        let remaining = self.remaining_len(version);
        check_size(PACKET, remaining)?;
        let out = out.start(PACKET.first_byte(), remaining, remaining);
        if remaining > 0 {
            out.push(self.reason.value());
        }
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
            (ReasonCode::NORMAL_DISCONNECTION, true) => 0,
            (_, true) => 1,
            (_, false) => 1 + properties_len(self.properties.view(), version),
        }
    }
}
