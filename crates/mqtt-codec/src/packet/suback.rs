//! SUBACK, section 3.9.

use super::list::{List, ReasonCodes};
use super::{PacketType, Sender, check_properties, check_reason};
use crate::error::{DecodeError, EncodeError, Fault, Field};
use crate::properties::{Place, Properties};
use crate::properties_buf::PropertiesBuf;
use crate::reason::ReasonCode;
use crate::scalar::PacketId;
use crate::version::Version;
use crate::wire::{Parsed, fail};
use crate::wire_buf::WireBuf;
use alloc::vec::Vec;
use bytes::Bytes;
use core::fmt;

const PACKET: PacketType = PacketType::SubAck;

/// The answer to a SUBSCRIBE: one reason code for each filter.
#[derive(Clone, PartialEq, Eq)]
pub struct SubAck(List);

impl SubAck {
    /// An answer with these codes, at least one.
    pub fn new(id: PacketId, properties: &PropertiesBuf, codes: &[ReasonCode]) -> Result<Self, EncodeError> {
        if codes.is_empty() {
            return Err(EncodeError::EmptyList { packet: PACKET });
        }
        let codes: Vec<u8> = codes.iter().map(|code| code.value()).collect();
        Ok(Self(List::new(id, properties, &codes)))
    }

    /// Reads what follows the fixed header.
    pub(crate) fn parse<'a>(body: &'a [u8], frame: &Bytes, version: Version) -> Parsed<'a, Self> {
        let (rest, list) = List::parse(body, frame, PACKET, version, |codes| check_codes(codes, version))?;
        Ok((rest, Self(list)))
    }

    /// The packet identifier of the SUBSCRIBE.
    pub const fn id(&self) -> PacketId {
        self.0.id
    }

    /// Reason string and user properties; empty before 5.0.
    pub fn properties(&self) -> Properties<'_> {
        self.0.properties()
    }

    /// The codes, in the order of the filters. Before 5.0 every refusal is 0x80, and 3.1 has none `[31-5]`.
    pub fn codes(&self) -> ReasonCodes<'_> {
        ReasonCodes(self.0.list().iter())
    }

    /// Appends this packet. On an error nothing was written. In 3.1.1 every refusal becomes 0x80, the only one
    /// there is; in 3.1 a refusal cannot be said.
    pub fn encode(&self, version: Version, out: &mut WireBuf) -> Result<(), EncodeError> {
        check_properties(PACKET, Place::SubAck, self.properties(), version)?;
        if version.is_v5() {
            self.codes().try_for_each(|code| check_reason(PACKET, code))?;
            return self.0.put(PACKET, version, out);
        }
        let not_in_version = EncodeError::NotInVersion { packet: PACKET, field: Field::ReasonCode, version };
        let codes: Result<Vec<u8>, EncodeError> =
            self.codes().map(|code| code.to_v3_suback(version).ok_or(not_in_version)).collect();
        List::new(self.id(), &PropertiesBuf::new(), &codes?).put(PACKET, version, out)
    }

    /// Bytes of this packet on the wire.
    pub fn encoded_len(&self, version: Version) -> usize {
        self.0.encoded_len(version)
    }
}

impl fmt::Debug for SubAck {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SubAck")
            .field("id", &self.id())
            .field("properties", &self.properties())
            .field("codes", &self.codes().collect::<Vec<_>>())
            .finish()
    }
}

/// `[MQTT-3.9.3-2]` `[MQTT-3.9.3-2/3.1.1]`; 0x80 is taken from a server of 3.1 too, which should not send it.
fn check_codes(codes: &[u8], version: Version) -> Result<(), nom::Err<DecodeError>> {
    if codes.is_empty() {
        return fail(Field::ReasonCode, Fault::EmptyList);
    }
    let allowed = |code: u8| match version {
        Version::V5 => ReasonCode::new(code).is_allowed_in(PACKET, Some(Sender::Server)),
        _ => matches!(code, 0..=2 | 0x80),
    };
    match codes.iter().find(|code| !allowed(**code)) {
        Some(code) => fail(Field::ReasonCode, Fault::ReasonNotAllowed(*code)),
        None => Ok(()),
    }
}
