//! What SUBSCRIBE, SUBACK, UNSUBSCRIBE and UNSUBACK share: a packet identifier, properties, and a list.

use super::{PacketType, packet_len};
use crate::error::EncodeError;
use crate::properties::{Checked, Properties, properties};
use crate::properties_buf::PropertiesBuf;
use crate::reason::ReasonCode;
use crate::scalar::PacketId;
use crate::version::Version;
use crate::wire::{Parsed, packet_id, put_variable_byte_integer, share, variable_byte_integer_len};
use crate::wire_buf::WireBuf;
use alloc::vec::Vec;
use bytes::Bytes;

/// The body of such a packet. Properties and list lie behind each other on the wire and stay together here.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct List {
    pub(super) id: PacketId,
    properties_len: u32,
    /// Properties without their length, then the list; both checked.
    block: Bytes,
}

impl List {
    /// Reads identifier and properties, and hands the list to `check`, which reads it to its end.
    pub(super) fn parse<'a>(
        body: &'a [u8],
        frame: &Bytes,
        packet: PacketType,
        version: Version,
        check: impl FnOnce(&'a [u8]) -> Result<(), nom::Err<crate::error::DecodeError>>,
    ) -> Parsed<'a, Self> {
        let (rest, id) = packet_id(body)?;
        let (list, checked) = if version.is_v5() {
            properties(rest, packet.place())?
        } else {
            (rest, Checked { block: &[], seen: 0 })
        };
        check(list)?;
        let block_len = checked.block.len() + list.len();
        let block = share(frame, body.get(body.len() - block_len..).unwrap_or_default());
        Ok((&[], Self { id, properties_len: checked.block.len() as u32, block }))
    }

    pub(super) fn new(id: PacketId, properties: &PropertiesBuf, list: &[u8]) -> Self {
        let mut block = Vec::with_capacity(properties.len() + list.len());
        block.extend_from_slice(properties.view().as_bytes());
        block.extend_from_slice(list);
        Self { id, properties_len: properties.len() as u32, block: block.into() }
    }

    pub(super) fn properties(&self) -> Properties<'_> {
        Properties::from_checked(self.block.get(..self.properties_len as usize).unwrap_or_default())
    }

    pub(super) fn list(&self) -> &[u8] {
        self.block.get(self.properties_len as usize..).unwrap_or_default()
    }

    /// Appends the packet; what it holds was checked.
    pub(super) fn put(
        &self,
        packet: PacketType,
        version: Version,
        out: &mut WireBuf,
    ) -> Result<(), EncodeError> {
        let remaining = self.remaining_len(version);
        super::check_size(packet, remaining)?;
        let out = out.start(packet.first_byte(), remaining, remaining);
        out.extend_from_slice(&self.id.get().to_be_bytes());
        if version.is_v5() {
            put_variable_byte_integer(out, self.properties_len as usize);
        }
        out.extend_from_slice(&self.block);
        Ok(())
    }

    pub(super) fn encoded_len(&self, version: Version) -> usize {
        packet_len(self.remaining_len(version))
    }

    fn remaining_len(&self, version: Version) -> usize {
        let length =
            if version.is_v5() { variable_byte_integer_len(self.properties_len as usize) } else { 0 };
        2 + length + self.block.len()
    }
}

/// The reason codes of a SUBACK or UNSUBACK, one for each filter, in the order of the request.
#[derive(Clone, Debug)]
pub struct ReasonCodes<'a>(pub(super) core::slice::Iter<'a, u8>);

impl Iterator for ReasonCodes<'_> {
    type Item = ReasonCode;

    fn next(&mut self) -> Option<ReasonCode> {
        self.0.next().copied().map(ReasonCode::new)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        self.0.size_hint()
    }
}

impl ExactSizeIterator for ReasonCodes<'_> {}
