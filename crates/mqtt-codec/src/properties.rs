//! Properties, section 2.2.2: the table of the standard, written once, and what reads a block of them.
//!
//! A block stays in its wire form. It is checked in one pass when it is decoded and read when it is asked for;
//! [`PropertiesBuilder`](crate::properties_builder::PropertiesBuilder) writes one.

use crate::error::{DecodeError, Fault, Field};
use crate::scalar::QoS;
use crate::text::trusted_str;
use crate::topic::check_name;
use crate::wire;
use crate::wire::{Parsed, fail, text, trusted_binary, trusted_text, variable_byte_integer};
use core::fmt;

/// Where properties stand: one of the packets, or the will inside CONNECT.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Place {
    Connect,
    Will,
    ConnAck,
    Publish,
    PubAck,
    PubRec,
    PubRel,
    PubComp,
    Subscribe,
    SubAck,
    Unsubscribe,
    UnsubAck,
    Disconnect,
    Auth,
}

/// The form of a property's value on the wire, and the values it may have.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// No property.
    None,
    /// A byte, 0 or 1.
    Flag,
    /// Two bytes.
    Two,
    /// Two bytes, not 0.
    TwoNotZero,
    /// Two bytes, not 0, with a reason code of its own for 0.
    Alias,
    /// Four bytes.
    Four,
    /// Four bytes, not 0.
    FourNotZero,
    /// A variable byte integer, not 0.
    VariableNotZero,
    /// A UTF-8 string.
    Text,
    /// A UTF-8 string that is a topic name.
    Topic,
    /// Binary data.
    Binary,
    /// Two UTF-8 strings.
    Pair,
}

macro_rules! properties {
    ($($id:literal $getter:ident $variant:ident($($value:ty),*) $kind:ident via $read:ident in [$($place:ident)*]
        $(#[$doc:meta])+)*) => {
        /// The name of a property; the number is its identifier on the wire, section 2.2.2.2.
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
        #[repr(u8)]
        pub enum PropertyId {
            $( $(#[$doc])+ $variant = $id, )*
        }

        /// One property with its value.
        #[derive(Clone, Copy, PartialEq, Eq, Debug)]
        pub enum Property<'a> {
            $( $(#[$doc])+ $variant($($value),*), )*
        }

        impl PropertyId {
            /// Every property of the standard, in the order of the identifiers.
            pub const ALL: &'static [Self] = &[$(Self::$variant),*];

            /// The property of this identifier.
            pub const fn from_u8(id: u8) -> Option<Self> {
                match id {
                    $( $id => Some(Self::$variant), )*
                    _ => None,
                }
            }

            const fn snake_case(self) -> &'static str {
                match self {
                    $( Self::$variant => stringify!($getter), )*
                }
            }
        }

        /// The kind of each property, by identifier.
        pub(crate) static KINDS: [Kind; 64] = {
            let mut kinds = [Kind::None; 64];
            $( kinds[$id] = Kind::$kind; )*
            kinds
        };

        impl Place {
            /// A bit for each property that may stand here.
            pub(crate) const fn allowed(self) -> u64 {
                const ALLOWED: [u64; 14] = {
                    let mut allowed = [0; 14];
                    $( $( allowed[Place::$place as usize] |= 1 << $id; )* )*
                    allowed
                };
                ALLOWED[self as usize]
            }
        }

        impl<'a> Properties<'a> {
            properties!(@getters $($id $getter $variant($($value),*) $read $(#[$doc])+)*);
        }

        impl Property<'_> {
            /// Which property this is.
            pub const fn id(&self) -> PropertyId {
                match self {
                    $( Self::$variant(..) => PropertyId::$variant, )*
                }
            }
        }

        impl<'a> Raw<'a> {
            fn property(self) -> Option<Property<'a>> {
                Some(match self.id {
                    $( $id => properties!(@property $variant $read self), )*
                    _ => return None,
                })
            }
        }
    };
    (@getters $($id:literal $getter:ident $variant:ident($($value:ty),*) $read:ident $(#[$doc:meta])+)*) => {
        $( properties!(@getter $id $getter ($($value),*) $read $(#[$doc])+); )*
    };
    // The two that may repeat have iterators for getters.
    (@getter $id:literal subscription_identifier $value:tt $read:ident $(#[$doc:meta])+) => {};
    (@getter $id:literal user_property $value:tt $read:ident $(#[$doc:meta])+) => {};
    (@getter $id:literal $getter:ident ($value:ty) $read:ident $(#[$doc:meta])+) => {
        $(#[$doc])+
        #[inline]
        pub fn $getter(self) -> Option<$value> {
            self.find($id)?.$read()
        }
    };
    (@property $variant:ident pair $raw:ident) => {{
        let (name, value) = $raw.pair()?;
        Property::$variant(name, value)
    }};
    (@property $variant:ident $read:ident $raw:ident) => { Property::$variant($raw.$read()?) };
}

properties! {
    0x01 payload_format_indicator PayloadFormatIndicator(bool) Flag via flag in [Publish Will]
        #[doc = "True if the payload is UTF-8 text, section 3.3.2.3.2."]
    0x02 message_expiry_interval MessageExpiryInterval(u32) Four via four in [Publish Will]
        #[doc = "Seconds after which the message is of no use, section 3.3.2.3.3."]
    0x03 content_type ContentType(&'a str) Text via text in [Publish Will]
        #[doc = "What the payload is, section 3.3.2.3.9."]
    0x08 response_topic ResponseTopic(&'a str) Topic via text in [Publish Will]
        #[doc = "The topic for a response, section 3.3.2.3.5."]
    0x09 correlation_data CorrelationData(&'a [u8]) Binary via binary in [Publish Will]
        #[doc = "What tells which request a response belongs to, section 3.3.2.3.6."]
    0x0B subscription_identifier SubscriptionIdentifier(u32) VariableNotZero via variable in [Publish Subscribe]
        #[doc = "The identifier of a subscription, 1 to 268,435,455, sections 3.8.2.1.2 and 3.3.2.3.8."]
    0x11 session_expiry_interval SessionExpiryInterval(u32) Four via four in [Connect ConnAck Disconnect]
        #[doc = "Seconds that the session outlives its connection, 4,294,967,295 for ever, section 3.1.2.11.2."]
    0x12 assigned_client_identifier AssignedClientIdentifier(&'a str) Text via text in [ConnAck]
        #[doc = "The client identifier that the server chose, section 3.2.2.3.7."]
    0x13 server_keep_alive ServerKeepAlive(u16) Two via two in [ConnAck]
        #[doc = "The keep alive in seconds that replaces the client's, 0 is off, section 3.2.2.3.14."]
    0x15 authentication_method AuthenticationMethod(&'a str) Text via text in [Connect ConnAck Auth]
        #[doc = "The method of enhanced authentication, section 4.12."]
    0x16 authentication_data AuthenticationData(&'a [u8]) Binary via binary in [Connect ConnAck Auth]
        #[doc = "Data of the authentication method, section 4.12."]
    0x17 request_problem_information RequestProblemInformation(bool) Flag via flag in [Connect]
        #[doc = "Whether reason strings and user properties may come with any packet, section 3.1.2.11.7."]
    0x18 will_delay_interval WillDelayInterval(u32) Four via four in [Will]
        #[doc = "Seconds that the server waits before it publishes the will, section 3.1.3.2.2."]
    0x19 request_response_information RequestResponseInformation(bool) Flag via flag in [Connect]
        #[doc = "Whether CONNACK shall bring response information, section 3.1.2.11.6."]
    0x1A response_information ResponseInformation(&'a str) Text via text in [ConnAck]
        #[doc = "What response topics may be made of, section 3.2.2.3.15."]
    0x1C server_reference ServerReference(&'a str) Text via text in [ConnAck Disconnect]
        #[doc = "Another server to use, section 4.11."]
    0x1F reason_string ReasonString(&'a str) Text via text
        in [ConnAck PubAck PubRec PubRel PubComp SubAck UnsubAck Disconnect Auth]
        #[doc = "The reason for people to read, section 3.2.2.3.9."]
    0x21 receive_maximum ReceiveMaximum(u16) TwoNotZero via two in [Connect ConnAck]
        #[doc = "QoS 1 and 2 publications the sender of this will process at once, section 3.1.2.11.3."]
    0x22 topic_alias_maximum TopicAliasMaximum(u16) Two via two in [Connect ConnAck]
        #[doc = "The highest topic alias that the sender of this accepts, section 3.1.2.11.5."]
    0x23 topic_alias TopicAlias(u16) Alias via two in [Publish]
        #[doc = "The number that stands for the topic on this connection, section 3.3.2.3.4."]
    0x24 maximum_qos MaximumQoS(QoS) Flag via qos in [ConnAck]
        #[doc = "The highest QoS the server supports, 0 or 1; absent for 2, section 3.2.2.3.4."]
    0x25 retain_available RetainAvailable(bool) Flag via flag in [ConnAck]
        #[doc = "Whether the server supports retained messages, section 3.2.2.3.5."]
    0x26 user_property UserProperty(&'a str, &'a str) Pair via pair
        in [Connect ConnAck Publish Will PubAck PubRec PubRel PubComp Subscribe SubAck Unsubscribe UnsubAck Disconnect Auth]
        #[doc = "A name and a value of the application's own; may repeat, order is kept, section 3.1.2.11.8."]
    0x27 maximum_packet_size MaximumPacketSize(u32) FourNotZero via four in [Connect ConnAck]
        #[doc = "The largest packet, in bytes, that the sender of this accepts, section 3.1.2.11.4."]
    0x28 wildcard_subscription_available WildcardSubscriptionAvailable(bool) Flag via flag in [ConnAck]
        #[doc = "Whether the server supports wildcards in subscriptions, section 3.2.2.3.11."]
    0x29 subscription_identifier_available SubscriptionIdentifierAvailable(bool) Flag via flag in [ConnAck]
        #[doc = "Whether the server supports subscription identifiers, section 3.2.2.3.12."]
    0x2A shared_subscription_available SharedSubscriptionAvailable(bool) Flag via flag in [ConnAck]
        #[doc = "Whether the server supports shared subscriptions, section 3.2.2.3.13."]
}

impl fmt::Display for PropertyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, word) in self.snake_case().split('_').enumerate() {
            if index > 0 {
                f.write_str(" ")?;
            }
            f.write_str(word)?;
        }
        Ok(())
    }
}

/// A bit for each property of a block.
pub(crate) const fn bit(id: PropertyId) -> u64 {
    1 << id as u8
}

const USER_PROPERTY: u64 = bit(PropertyId::UserProperty);
const SUBSCRIPTION_IDENTIFIER: u64 = bit(PropertyId::SubscriptionIdentifier);

impl Place {
    /// A bit for each property that may stand here more than once.
    pub(crate) const fn repeatable(self) -> u64 {
        match self {
            Self::Publish => USER_PROPERTY | SUBSCRIPTION_IDENTIFIER,
            _ => USER_PROPERTY,
        }
    }
}

/// A block that was read from a packet and checked.
#[derive(Clone, Copy)]
pub(crate) struct Checked<'a> {
    pub(crate) block: &'a [u8],
    /// A bit for each property in it.
    pub(crate) seen: u64,
}

impl Checked<'_> {
    pub(crate) const fn has(&self, id: PropertyId) -> bool {
        self.seen & bit(id) != 0
    }
}

/// Reads the Property Length and checks the block behind it, in one pass.
#[inline(always)]
pub(crate) fn properties(input: &[u8], place: Place) -> Parsed<'_, Checked<'_>> {
    match input {
        [0, rest @ ..] => Ok((rest, Checked { block: &[], seen: 0 })),
        _ => some_properties(input, place),
    }
}

fn some_properties(input: &[u8], place: Place) -> Parsed<'_, Checked<'_>> {
    const IDENTIFIER: u8 = PropertyId::SubscriptionIdentifier as u8;
    // All that most messages carry from a server that was given subscription identifiers.
    if let [2, rest @ ..] = input
        && let Some((block @ [IDENTIFIER, 1..0x80], rest)) = rest.split_at_checked(2)
        && place.allowed() & SUBSCRIPTION_IDENTIFIER != 0
    {
        return Ok((rest, Checked { block, seen: SUBSCRIPTION_IDENTIFIER }));
    }
    let (rest, len) = variable_byte_integer(input, Field::PropertyLength)?;
    let (rest, block) = wire::take(rest, len as usize, Field::PropertyLength)?;
    let seen = check(block, place)?;
    Ok((rest, Checked { block, seen }))
}

/// Checks that a block holds only what may stand here, once where once is allowed, in the right form.
fn check(block: &[u8], place: Place) -> Result<u64, nom::Err<DecodeError>> {
    let allowed = place.allowed();
    let once = !place.repeatable();
    let mut seen = 0;
    let mut rest = block;
    while let [id, value @ ..] = rest {
        let kind = KINDS.get(usize::from(*id)).copied().unwrap_or(Kind::None);
        // An identifier of 64 or more is of kind None: the shift below cannot matter.
        let this = 1_u64 << (id & 0x3F);
        if kind == Kind::None || allowed & this == 0 || seen & once & this != 0 {
            return fail_property(*id, kind, allowed & this == 0);
        }
        seen |= this;
        rest = check_value(value, *id, kind)?;
    }
    Ok(seen)
}

#[cold]
fn fail_property<T>(id: u8, kind: Kind, misplaced: bool) -> Result<T, nom::Err<DecodeError>> {
    let fault = match kind {
        Kind::None => Fault::UnknownProperty,
        _ if misplaced => Fault::PropertyNotAllowed,
        _ => Fault::RepeatedProperty,
    };
    fail(field(id), fault)
}

fn field(id: u8) -> Field {
    PropertyId::from_u8(id).map_or(Field::UnknownProperty(id), Field::Property)
}

/// Checks one value and returns what follows it.
#[inline(always)]
fn check_value(input: &[u8], id: u8, kind: Kind) -> Result<&[u8], nom::Err<DecodeError>> {
    let rest = match kind {
        Kind::Flag => match input {
            [0 | 1, rest @ ..] => rest,
            _ => return fail_value(input, id, 1),
        },
        Kind::Two => match input {
            [_, _, rest @ ..] => rest,
            _ => return fail_value(input, id, 2),
        },
        Kind::TwoNotZero | Kind::Alias => match input {
            [0, 0, ..] => return fail_value(input, id, 2),
            [_, _, rest @ ..] => rest,
            _ => return fail_value(input, id, 2),
        },
        Kind::Four => match input {
            [_, _, _, _, rest @ ..] => rest,
            _ => return fail_value(input, id, 4),
        },
        Kind::FourNotZero => match input {
            [0, 0, 0, 0, ..] => return fail_value(input, id, 4),
            [_, _, _, _, rest @ ..] => rest,
            _ => return fail_value(input, id, 4),
        },
        Kind::VariableNotZero => match variable_byte_integer(input, field(id))? {
            (_, 0) => return fail(field(id), Fault::ValueNotAllowed),
            (rest, _) => rest,
        },
        Kind::Text => checked_text(input, id)?,
        Kind::Pair => checked_text(checked_text(input, id)?, id)?,
        Kind::Binary => match trusted_binary(input) {
            Some((_, rest)) => rest,
            None => return fail(field(id), Fault::Truncated),
        },
        Kind::Topic => match trusted_binary(input) {
            Some((name, rest)) => match check_name(name) {
                Ok(()) => rest,
                Err(error) => return fail(field(id), error.into()),
            },
            None => return fail(field(id), Fault::Truncated),
        },
        Kind::None => return fail(field(id), Fault::UnknownProperty),
    };
    Ok(rest)
}

#[inline]
fn checked_text(input: &[u8], id: u8) -> Result<&[u8], nom::Err<DecodeError>> {
    match text(input, Field::Packet) {
        Ok((rest, _)) => Ok(rest),
        Err(error) => fail_text(error, id),
    }
}

#[cold]
fn fail_text<T>(error: nom::Err<DecodeError>, id: u8) -> Result<T, nom::Err<DecodeError>> {
    fail(field(id), wire::error_of(error).fault())
}

#[cold]
fn fail_value<T>(input: &[u8], id: u8, len: usize) -> Result<T, nom::Err<DecodeError>> {
    let fault = match KINDS.get(usize::from(id)) {
        _ if input.len() < len => Fault::Truncated,
        Some(Kind::Alias) => Fault::ZeroAlias,
        _ => Fault::ValueNotAllowed,
    };
    fail(field(id), fault)
}

/// The properties of a packet, as they stand on the wire; a view that is free to copy.
///
/// Each getter walks the block, which is short; to read everything, iterate once.
#[derive(Clone, Copy, PartialEq, Eq, Default)]
pub struct Properties<'a>(&'a [u8]);

impl<'a> Properties<'a> {
    /// No properties.
    pub const EMPTY: Self = Self(&[]);

    /// Wraps a block that was checked.
    pub(crate) const fn from_checked(block: &'a [u8]) -> Self {
        Self(block)
    }

    /// The block on the wire, without its length.
    pub const fn as_bytes(self) -> &'a [u8] {
        self.0
    }

    /// Whether there are none.
    pub const fn is_empty(self) -> bool {
        self.0.is_empty()
    }

    /// All properties in wire order.
    pub fn iter(self) -> impl Iterator<Item = Property<'a>> + Clone {
        self.raw().filter_map(Raw::property)
    }

    /// The subscription identifiers, in wire order: at most one in SUBSCRIBE, any number in a server's PUBLISH.
    pub fn subscription_identifiers(self) -> impl Iterator<Item = u32> + Clone + 'a {
        SubscriptionIdentifiers(self.raw())
    }

    /// The user properties, in wire order.
    pub fn user_properties(self) -> impl Iterator<Item = (&'a str, &'a str)> + Clone + 'a {
        self.raw().filter(|raw| raw.id == PropertyId::UserProperty as u8).filter_map(Raw::pair)
    }

    fn raw(self) -> RawProperties<'a> {
        RawProperties(self.0)
    }

    #[inline]
    fn find(self, id: u8) -> Option<Raw<'a>> {
        self.raw().find(|raw| raw.id == id)
    }

    /// Which property stands first.
    pub(crate) fn first(self) -> Option<PropertyId> {
        PropertyId::from_u8(*self.0.first()?)
    }

    /// The first property that may not stand in this place, or not again.
    pub(crate) fn misplaced(self, place: Place) -> Option<PropertyId> {
        let mut seen = 0;
        self.raw().find_map(|raw| {
            let this = 1_u64 << (raw.id & 0x3F);
            let wrong = place.allowed() & this == 0 || seen & this & !place.repeatable() != 0;
            seen |= this;
            if wrong { PropertyId::from_u8(raw.id) } else { None }
        })
    }

    /// The block without the properties of one identifier, in pieces.
    pub(crate) fn pieces_without(self, id: PropertyId) -> impl Iterator<Item = &'a [u8]> + Clone {
        self.raw().filter(move |raw| raw.id != id as u8).map(|raw| raw.whole)
    }
}

impl fmt::Debug for Properties<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}

/// One property of a checked block, its value still in wire form.
#[derive(Clone, Copy)]
struct Raw<'a> {
    id: u8,
    /// Identifier and value.
    whole: &'a [u8],
    value: &'a [u8],
}

impl<'a> Raw<'a> {
    fn flag(self) -> Option<bool> {
        self.value.first().map(|&byte| byte != 0)
    }

    fn qos(self) -> Option<QoS> {
        self.value.first().and_then(|&byte| QoS::from_u8(byte))
    }

    fn two(self) -> Option<u16> {
        self.value.first_chunk().map(|bytes| u16::from_be_bytes(*bytes))
    }

    fn four(self) -> Option<u32> {
        self.value.first_chunk().map(|bytes| u32::from_be_bytes(*bytes))
    }

    fn variable(self) -> Option<u32> {
        variable_byte_integer(self.value, Field::Packet).ok().map(|(_, value)| value)
    }

    fn binary(self) -> Option<&'a [u8]> {
        self.value.get(2..)
    }

    fn text(self) -> Option<&'a str> {
        self.binary().map(trusted_str)
    }

    fn pair(self) -> Option<(&'a str, &'a str)> {
        let (name, rest) = trusted_text(self.value)?;
        let (value, _) = trusted_text(rest)?;
        Some((name, value))
    }
}

/// No adaptors: this is asked of each message that a server sends.
#[derive(Clone)]
struct SubscriptionIdentifiers<'a>(RawProperties<'a>);

impl Iterator for SubscriptionIdentifiers<'_> {
    type Item = u32;

    #[inline(always)]
    fn next(&mut self) -> Option<u32> {
        self.0.find(|raw| raw.id == PropertyId::SubscriptionIdentifier as u8)?.variable()
    }
}

/// Walks a checked block.
#[derive(Clone)]
struct RawProperties<'a>(&'a [u8]);

impl<'a> Iterator for RawProperties<'a> {
    type Item = Raw<'a>;

    #[inline]
    fn next(&mut self) -> Option<Raw<'a>> {
        let whole = self.0;
        let (&id, value) = whole.split_first()?;
        let len = match KINDS.get(usize::from(id))? {
            Kind::Flag => 1,
            Kind::Two | Kind::TwoNotZero | Kind::Alias => 2,
            Kind::Four | Kind::FourNotZero => 4,
            Kind::VariableNotZero => value.iter().position(|&byte| byte < 0x80)? + 1,
            Kind::Text | Kind::Topic | Kind::Binary => field_len(value)?,
            Kind::Pair => {
                let name = field_len(value)?;
                name + field_len(value.get(name..)?)?
            }
            Kind::None => return None,
        };
        let (value, rest) = value.split_at_checked(len)?;
        self.0 = rest;
        Some(Raw { id, whole: whole.get(..=len)?, value })
    }
}

/// Bytes of a string or binary value with the two bytes of its length.
#[inline]
fn field_len(value: &[u8]) -> Option<usize> {
    value.first_chunk().map(|len| 2 + usize::from(u16::from_be_bytes(*len)))
}
