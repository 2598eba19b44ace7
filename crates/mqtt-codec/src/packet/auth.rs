//! AUTH, section 3.15; 5.0 only.

use super::{
    PacketType, Sender, check_properties, check_reason, check_size, packet_len, properties_len,
    put_properties, refuse,
};
use crate::error::{EncodeError, Fault, Field};
use crate::properties::{Place, PropertyId, properties};
use crate::properties_buf::PropertiesBuf;
use crate::reason::ReasonCode;
use crate::version::Version;
use crate::wire::{Parsed, byte, fail};
use crate::wire_buf::WireBuf;
use bytes::Bytes;

const PACKET: PacketType = PacketType::Auth;

/// A step of enhanced authentication, section 4.12.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Auth {
    /// Success (server), continue authentication (both), re-authenticate (client) `[MQTT-3.15.2-1]`.
    pub reason: ReasonCode,
    /// Authentication method and data, reason string, user properties.
    pub properties: PropertiesBuf,
}

impl Auth {
    /// Reads what follows the fixed header. Only the empty short form may do without a method `[5u-10]`.
    pub(crate) fn parse<'a>(body: &'a [u8], frame: &Bytes, sender: Option<Sender>) -> Parsed<'a, Self> {
        let (rest, reason) = match body {
            [] => (body, ReasonCode::SUCCESS),
            _ => {
                let (rest, reason) = byte(body, Field::ReasonCode)?;
                (rest, ReasonCode::new(reason))
            }
        };
        if !reason.is_allowed_in(PACKET, sender) {
            return fail(Field::ReasonCode, Fault::ReasonNotAllowed(reason.value()));
        }
        if body.is_empty() {
            return Ok((body, Self { reason, properties: PropertiesBuf::new() }));
        }
        let (rest, checked) = properties(rest, Place::Auth)?;
        if !checked.has(PropertyId::AuthenticationMethod) {
            return fail(Field::Property(PropertyId::AuthenticationMethod), Fault::NoAuthenticationMethod);
        }
        Ok((rest, Self { reason, properties: PropertiesBuf::part_of(frame, checked.block) }))
    }

    /// Appends this packet. On an error nothing was written.
    pub fn encode(&self, version: Version, out: &mut WireBuf) -> Result<(), EncodeError> {
        if !version.is_v5() {
            return Err(EncodeError::NotInVersion { packet: PACKET, field: Field::Packet, version });
        }
        check_reason(PACKET, self.reason)?;
        check_properties(PACKET, Place::Auth, self.properties.view(), version)?;
        if !self.is_short() && self.properties.view().authentication_method().is_none() {
            let method = Field::Property(PropertyId::AuthenticationMethod);
            return Err(refuse(PACKET, method, Fault::NoAuthenticationMethod));
        }
        let remaining = self.remaining_len(version);
        check_size(PACKET, remaining)?;
        let out = out.start(PACKET.first_byte(), remaining, remaining);
        if !self.is_short() {
            out.push(self.reason.value());
            put_properties(out, self.properties.view(), version);
        }
        Ok(())
    }

    /// Bytes of this packet on the wire.
    pub fn encoded_len(&self, version: Version) -> usize {
        packet_len(self.remaining_len(version))
    }

    fn remaining_len(&self, version: Version) -> usize {
        if self.is_short() { 0 } else { 1 + properties_len(self.properties.view(), version) }
    }

    fn is_short(&self) -> bool {
        self.reason == ReasonCode::SUCCESS && self.properties.is_empty()
    }
}
