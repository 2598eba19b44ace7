//! CONNACK, section 3.2.

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

const PACKET: PacketType = PacketType::ConnAck;

/// The answer to a CONNECT.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ConnAck {
    /// The server goes on with a stored session; false in 3.1, which does not tell `[31-3]`.
    pub session_present: bool,
    /// Success, or why not. Return codes of 3.1 and 3.1.1 are mapped to reason codes both ways.
    pub reason: ReasonCode,
    /// What the server offers; empty before 5.0.
    pub properties: PropertiesBuf,
}

impl ConnAck {
    /// Reads what follows the fixed header.
    pub(crate) fn parse<'a>(body: &'a [u8], frame: &Bytes, version: Version) -> Parsed<'a, Self> {
        let (rest, flags) = byte(body, Field::ConnAckFlags)?;
        let session_present = match flags {
            _ if version == Version::V3_1 => false,
            0 | 1 => flags == 1,
            // `[MQTT-3.2.2-1]` `[311u-4]`
            _ => return fail(Field::ConnAckFlags, Fault::ReservedBits),
        };
        let (rest, code) = byte(rest, Field::ReasonCode)?;
        let connack = match version {
            // A server that knows no 5.0 refuses in the form of 3.1.1: two bytes, return code 1.
            Version::V5 if rest.is_empty() && code == 1 => {
                Self::new(session_present, ReasonCode::UNSUPPORTED_PROTOCOL_VERSION)
            }
            Version::V5 => {
                let (rest, connack) = Self::parse_v5(rest, frame, session_present, code)?;
                return Ok((rest, connack));
            }
            _ => match ReasonCode::from_v3_connect(code) {
                Some(reason) => Self::new(session_present, reason),
                None => return fail(Field::ReasonCode, Fault::ReasonNotAllowed(code)),
            },
        };
        Ok((rest, connack))
    }

    fn parse_v5<'a>(input: &'a [u8], frame: &Bytes, session_present: bool, code: u8) -> Parsed<'a, Self> {
        let reason = ReasonCode::new(code);
        // `[MQTT-3.2.2-8]`
        if !reason.is_allowed_in(PACKET, Some(Sender::Server)) {
            return fail(Field::ReasonCode, Fault::ReasonNotAllowed(code));
        }
        let (rest, checked) = properties(input, Place::ConnAck)?;
        if checked.has(PropertyId::AuthenticationData) && !checked.has(PropertyId::AuthenticationMethod) {
            return fail(Field::Property(PropertyId::AuthenticationData), Fault::NoAuthenticationMethod);
        }
        let properties = PropertiesBuf::part_of(frame, checked.block);
        Ok((rest, Self { properties, ..Self::new(session_present, reason) }))
    }

    /// Session Present means nothing beside a refusal `[MQTT-3.2.2-6]`: what counts is why the server refuses.
    fn new(session_present: bool, reason: ReasonCode) -> Self {
        let session_present = session_present && reason == ReasonCode::SUCCESS;
        Self { session_present, reason, properties: PropertiesBuf::new() }
    }

    /// Appends this packet. On an error nothing was written.
    ///
    /// Before 5.0 the reason must be one that has a return code there; 3.1 cannot say Session Present.
    pub fn encode(&self, version: Version, out: &mut WireBuf) -> Result<(), EncodeError> {
        let code = self.code(version)?;
        if self.session_present && self.reason != ReasonCode::SUCCESS {
            return Err(refuse(PACKET, Field::ConnAckFlags, Fault::SessionPresentOnRefusal));
        }
        if self.session_present && version == Version::V3_1 {
            return Err(EncodeError::NotInVersion { packet: PACKET, field: Field::ConnAckFlags, version });
        }
        let view = self.properties.view();
        check_properties(PACKET, Place::ConnAck, view, version)?;
        if view.authentication_data().is_some() && view.authentication_method().is_none() {
            let data = Field::Property(PropertyId::AuthenticationData);
            return Err(refuse(PACKET, data, Fault::NoAuthenticationMethod));
        }
        let remaining = self.remaining_len(version);
        check_size(PACKET, remaining)?;
        let out = out.start(PACKET.first_byte(), remaining, remaining);
        out.extend_from_slice(&[u8::from(self.session_present), code]);
        put_properties(out, view, version);
        Ok(())
    }

    fn code(&self, version: Version) -> Result<u8, EncodeError> {
        if version.is_v5() {
            check_reason(PACKET, self.reason)?;
            return Ok(self.reason.value());
        }
        let not_in_version = EncodeError::NotInVersion { packet: PACKET, field: Field::ReasonCode, version };
        self.reason.to_v3_connect().ok_or(not_in_version)
    }

    /// Bytes of this packet on the wire.
    pub fn encoded_len(&self, version: Version) -> usize {
        packet_len(self.remaining_len(version))
    }

    fn remaining_len(&self, version: Version) -> usize {
        2 + properties_len(self.properties.view(), version)
    }
}
