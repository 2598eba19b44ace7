//! UNSUBACK, section 3.11.

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

const PACKET: PacketType = PacketType::UnsubAck;

/// The answer to an UNSUBSCRIBE: in 5.0 one reason code for each filter, before that none.
#[derive(Clone, PartialEq, Eq)]
pub struct UnsubAck(List);

impl UnsubAck {
    /// An answer with these codes: at least one for 5.0, none for 3.1 and 3.1.1.
    pub fn new(id: PacketId, properties: &PropertiesBuf, codes: &[ReasonCode]) -> Self {
        let codes: Vec<u8> = codes.iter().map(|code| code.value()).collect();
        Self(List::new(id, properties, &codes))
    }

    /// Reads what follows the fixed header.
    pub(crate) fn parse<'a>(body: &'a [u8], frame: &Bytes, version: Version) -> Parsed<'a, Self> {
        let (rest, list) = List::parse(body, frame, PACKET, version, |codes| check_codes(codes, version))?;
        Ok((rest, Self(list)))
    }

    /// The packet identifier of the UNSUBSCRIBE.
    pub const fn id(&self) -> PacketId {
        self.0.id
    }

    /// Reason string and user properties; empty before 5.0.
    pub fn properties(&self) -> Properties<'_> {
        self.0.properties()
    }

    /// The codes, in the order of the filters; none before 5.0.
    pub fn codes(&self) -> ReasonCodes<'_> {
        ReasonCodes(self.0.list().iter())
    }

    /// Appends this packet. On an error nothing was written.
    pub fn encode(&self, version: Version, out: &mut WireBuf) -> Result<(), EncodeError> {
        check_properties(PACKET, Place::UnsubAck, self.properties(), version)?;
        match (version.is_v5(), self.codes().len()) {
            (true, 0) => return Err(EncodeError::EmptyList { packet: PACKET }),
            (false, 1..) => {
                return Err(EncodeError::NotInVersion { packet: PACKET, field: Field::ReasonCode, version });
            }
            _ => {}
        }
        self.codes().try_for_each(|code| check_reason(PACKET, code))?;
        self.0.put(PACKET, version, out)
    }

    /// Bytes of this packet on the wire.
    pub fn encoded_len(&self, version: Version) -> usize {
        self.0.encoded_len(version)
    }
}

impl fmt::Debug for UnsubAck {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("UnsubAck")
            .field("id", &self.id())
            .field("properties", &self.properties())
            .field("codes", &self.codes().collect::<Vec<_>>())
            .finish()
    }
}

/// `[MQTT-3.11.3-2]`; nothing follows the packet identifier before 5.0 `[311u-3]`.
fn check_codes(codes: &[u8], version: Version) -> Result<(), nom::Err<DecodeError>> {
    let allowed = |code: u8| ReasonCode::new(code).is_allowed_in(PACKET, Some(Sender::Server));
    match codes {
        [] if version.is_v5() => fail(Field::ReasonCode, Fault::EmptyList),
        [_, ..] if !version.is_v5() => fail(Field::Packet, Fault::TrailingBytes),
        _ => match codes.iter().find(|code| !allowed(**code)) {
            Some(code) => fail(Field::ReasonCode, Fault::ReasonNotAllowed(*code)),
            None => Ok(()),
        },
    }
}
