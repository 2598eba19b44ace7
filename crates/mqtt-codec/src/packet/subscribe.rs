//! SUBSCRIBE, section 3.8.

use super::list::List;
use super::{PacketType, check_properties, refuse};
use crate::error::{DecodeError, EncodeError, Fault, Field};
use crate::properties::{Place, Properties};
use crate::properties_buf::PropertiesBuf;
use crate::scalar::{PacketId, SubscriptionOptions};
use crate::topic::{TopicFilter, check_filter};
use crate::version::Version;
use crate::wire::{binary, byte, fail, put_binary, trusted_binary, trusted_text};
use crate::wire_buf::WireBuf;
use alloc::vec::Vec;
use bytes::Bytes;
use core::fmt;

const PACKET: PacketType = PacketType::Subscribe;

/// The bit of the options byte for No Local.
const NO_LOCAL: u8 = 0b100;

/// Bits of the options byte that only 5.0 has.
const V5_OPTIONS: u8 = 0b1111_1100;

/// Asks for messages: topic filters with options, one or more.
#[derive(Clone, PartialEq, Eq)]
pub struct Subscribe(List);

impl Subscribe {
    /// A request for these filters; at least one `[MQTT-3.8.3-2]`, and No Local on no shared one `[MQTT-3.8.3-4]`.
    pub fn new<'a>(
        id: PacketId,
        properties: &PropertiesBuf,
        filters: impl IntoIterator<Item = (&'a TopicFilter, SubscriptionOptions)>,
    ) -> Result<Self, EncodeError> {
        let mut list = Vec::new();
        for (filter, options) in filters {
            if options.no_local && filter.shared().is_some() {
                return Err(refuse(PACKET, Field::SubscriptionOptions, Fault::NoLocalOnShared));
            }
            put_binary(&mut list, filter.as_bytes());
            list.push(options.to_byte());
        }
        if list.is_empty() {
            return Err(EncodeError::EmptyList { packet: PACKET });
        }
        Ok(Self(List::new(id, properties, &list)))
    }

    /// Reads what follows the fixed header.
    pub(crate) fn parse<'a>(
        body: &'a [u8],
        frame: &Bytes,
        version: Version,
    ) -> crate::wire::Parsed<'a, Self> {
        let (rest, list) = List::parse(body, frame, PACKET, version, |list| check_filters(list, version))?;
        Ok((rest, Self(list)))
    }

    /// The packet identifier.
    pub const fn id(&self) -> PacketId {
        self.0.id
    }

    /// Subscription identifier and user properties; empty before 5.0.
    pub fn properties(&self) -> Properties<'_> {
        self.0.properties()
    }

    /// The filters with their options, in wire order.
    pub fn filters(&self) -> Filters<'_> {
        Filters(self.0.list())
    }

    /// Appends this packet. On an error nothing was written.
    pub fn encode(&self, version: Version, out: &mut WireBuf) -> Result<(), EncodeError> {
        check_properties(PACKET, Place::Subscribe, self.properties(), version)?;
        // Options of 5.0 do not leak into older versions `[MQTT-3.8.3-4/3.1.1]`.
        if !version.is_v5() && option_bytes(self.0.list()).any(|options| options & V5_OPTIONS != 0) {
            return Err(EncodeError::NotInVersion {
                packet: PACKET,
                field: Field::SubscriptionOptions,
                version,
            });
        }
        self.0.put(PACKET, version, out)
    }

    /// Bytes of this packet on the wire.
    pub fn encoded_len(&self, version: Version) -> usize {
        self.0.encoded_len(version)
    }
}

impl fmt::Debug for Subscribe {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Subscribe")
            .field("id", &self.id())
            .field("properties", &self.properties())
            .field("filters", &self.filters())
            .finish()
    }
}

/// The filters of a SUBSCRIBE with their options.
#[derive(Clone)]
pub struct Filters<'a>(&'a [u8]);

impl<'a> Iterator for Filters<'a> {
    type Item = (&'a str, SubscriptionOptions);

    fn next(&mut self) -> Option<Self::Item> {
        let (filter, rest) = trusted_text(self.0)?;
        let (&options, rest) = rest.split_first()?;
        self.0 = rest;
        Some((filter, SubscriptionOptions::from_byte(options)?))
    }
}

impl fmt::Debug for Filters<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.clone()).finish()
    }
}

/// The options byte behind each filter of a checked list.
fn option_bytes(list: &[u8]) -> impl Iterator<Item = u8> {
    let mut rest = list;
    core::iter::from_fn(move || {
        let (_, after) = trusted_binary(rest)?;
        let (&options, after) = after.split_first()?;
        rest = after;
        Some(options)
    })
}

fn check_filters(list: &[u8], version: Version) -> Result<(), nom::Err<DecodeError>> {
    if list.is_empty() {
        return fail(Field::TopicFilter, Fault::EmptyList);
    }
    let reserved = if version.is_v5() { 0b1100_0000 } else { V5_OPTIONS };
    let mut rest = list;
    while !rest.is_empty() {
        let (after, filter) = binary(rest, Field::TopicFilter)?;
        if let Err(error) = check_filter(filter) {
            return fail(Field::TopicFilter, error.into());
        }
        let (after, options) = byte(after, Field::SubscriptionOptions)?;
        check_options(options, reserved, filter)?;
        rest = after;
    }
    Ok(())
}

#[inline(always)]
fn check_options(byte: u8, reserved: u8, filter: &[u8]) -> Result<(), nom::Err<DecodeError>> {
    if byte & reserved != 0 {
        return fail(Field::SubscriptionOptions, Fault::ReservedBits);
    }
    // QoS 3 and retain handling 3 do not exist `[5u-11]`.
    if byte & 0b11 == 0b11 || byte & 0b11_0000 == 0b11_0000 {
        return fail(Field::SubscriptionOptions, Fault::ValueNotAllowed);
    }
    if byte & NO_LOCAL != 0 && filter.starts_with(b"$share/") {
        return fail(Field::SubscriptionOptions, Fault::NoLocalOnShared);
    }
    Ok(())
}
