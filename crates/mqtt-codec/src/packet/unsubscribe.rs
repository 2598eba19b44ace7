//! UNSUBSCRIBE, section 3.10.

use super::list::List;
use super::{PacketType, check_properties};
use crate::error::{DecodeError, EncodeError, Fault, Field};
use crate::properties::{Place, Properties};
use crate::properties_buf::PropertiesBuf;
use crate::scalar::PacketId;
use crate::topic::{TopicFilter, check_filter};
use crate::version::Version;
use crate::wire::{Parsed, binary, fail, put_binary, trusted_text};
use crate::wire_buf::WireBuf;
use alloc::vec::Vec;
use bytes::Bytes;
use core::fmt;

const PACKET: PacketType = PacketType::Unsubscribe;

/// Ends subscriptions: topic filters, one or more.
#[derive(Clone, PartialEq, Eq)]
pub struct Unsubscribe(List);

impl Unsubscribe {
    /// A request for these filters, at least one `[MQTT-3.10.3-2]`.
    pub fn new<'a>(
        id: PacketId,
        properties: &PropertiesBuf,
        filters: impl IntoIterator<Item = &'a TopicFilter>,
    ) -> Result<Self, EncodeError> {
        let mut list = Vec::new();
        for filter in filters {
            put_binary(&mut list, filter.as_bytes());
        }
        if list.is_empty() {
            return Err(EncodeError::EmptyList { packet: PACKET });
        }
        Ok(Self(List::new(id, properties, &list)))
    }

    /// Reads what follows the fixed header.
    pub(crate) fn parse<'a>(body: &'a [u8], frame: &Bytes, version: Version) -> Parsed<'a, Self> {
        let (rest, list) = List::parse(body, frame, PACKET, version, check_filters)?;
        Ok((rest, Self(list)))
    }

    /// The packet identifier.
    pub const fn id(&self) -> PacketId {
        self.0.id
    }

    /// User properties; empty before 5.0.
    pub fn properties(&self) -> Properties<'_> {
        self.0.properties()
    }

    /// The filters, in wire order.
    pub fn filters(&self) -> UnsubscribeFilters<'_> {
        UnsubscribeFilters(self.0.list())
    }

    /// Appends this packet. On an error nothing was written.
    pub fn encode(&self, version: Version, out: &mut WireBuf) -> Result<(), EncodeError> {
        check_properties(PACKET, Place::Unsubscribe, self.properties(), version)?;
        self.0.put(PACKET, version, out)
    }

    /// Bytes of this packet on the wire.
    pub fn encoded_len(&self, version: Version) -> usize {
        self.0.encoded_len(version)
    }
}

impl fmt::Debug for Unsubscribe {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Unsubscribe")
            .field("id", &self.id())
            .field("properties", &self.properties())
            .field("filters", &self.filters())
            .finish()
    }
}

/// The filters of an UNSUBSCRIBE.
#[derive(Clone)]
pub struct UnsubscribeFilters<'a>(&'a [u8]);

impl<'a> Iterator for UnsubscribeFilters<'a> {
    type Item = &'a str;

    fn next(&mut self) -> Option<&'a str> {
        let (filter, rest) = trusted_text(self.0)?;
        self.0 = rest;
        Some(filter)
    }
}

impl fmt::Debug for UnsubscribeFilters<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.clone()).finish()
    }
}

fn check_filters(list: &[u8]) -> Result<(), nom::Err<DecodeError>> {
    if list.is_empty() {
        return fail(Field::TopicFilter, Fault::EmptyList);
    }
    let mut rest = list;
    while !rest.is_empty() {
        let (after, filter) = binary(rest, Field::TopicFilter)?;
        if let Err(error) = check_filter(filter) {
            return fail(Field::TopicFilter, error.into());
        }
        rest = after;
    }
    Ok(())
}
