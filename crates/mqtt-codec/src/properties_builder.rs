//! Writes a block of properties in wire form.

use crate::properties::{Property, PropertyId, bit};
use crate::properties_buf::PropertiesBuf;
use crate::scalar::QoS;
use crate::text::{TextError, check_len, check_text};
use crate::topic::{TopicError, check_name};
use crate::wire::{MAX_VARIABLE_BYTE_INTEGER, put_binary, put_variable_byte_integer};
use alloc::vec::Vec;

/// Room for a few properties, so that a typical block is allocated once.
const FIRST_RESERVE: usize = 128;

/// Builds [`PropertiesBuf`]. The setters can be chained; what is wrong with a value is kept until
/// [`build`](Self::build), which returns the first error. Whether a property belongs in a packet is checked when the
/// packet is encoded.
///
/// ```
/// use mqtt_codec::PropertiesBuf;
///
/// let properties = PropertiesBuf::builder().content_type("text/plain").user_property("room", "hall").build()?;
/// assert_eq!(properties.view().content_type(), Some("text/plain"));
/// # Ok::<(), mqtt_codec::PropertyError>(())
/// ```
#[derive(Clone, Debug, Default)]
pub struct PropertiesBuilder {
    block: Vec<u8>,
    seen: u64,
    error: Option<PropertyError>,
}

/// Why a property cannot have a value.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("the property {property} cannot have this value: {fault}")]
pub struct PropertyError {
    /// The property.
    pub property: PropertyId,
    /// What is wrong.
    pub fault: PropertyFault,
}

/// What is wrong with the value of a property.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PropertyFault {
    /// The string is not one that MQTT can carry.
    #[error(transparent)]
    Text(#[from] TextError),
    /// The response topic is no topic name.
    #[error(transparent)]
    Topic(#[from] TopicError),
    /// More than 65,535 bytes of binary data.
    #[error("more than 65,535 bytes")]
    TooLong,
    /// 0, or a value above the largest one.
    #[error("the value is out of range")]
    OutOfRange,
    /// The property may stand only once.
    #[error("it may be set only once")]
    Repeated,
}

macro_rules! setters {
    ($($(#[$doc:meta])* $setter:ident $id:ident ($($arg:ident: $ty:ty),*) $write:expr;)*) => {
        $(
            $(#[$doc])*
            #[must_use]
            pub fn $setter(self, $($arg: $ty),*) -> Self {
                self.with(PropertyId::$id, |out| ($write)(out, $($arg),*))
            }
        )*

        /// Sets a property that stands in another block.
        #[must_use]
        pub fn property(self, property: Property<'_>) -> Self {
            match property {
                $( Property::$id($($arg),*) => self.$setter($($arg),*), )*
            }
        }
    };
}

impl PropertiesBuilder {
    setters! {
        /// Says that the payload is UTF-8 text, or that it is not.
        payload_format_indicator PayloadFormatIndicator (utf8: bool) put_flag;
        /// Seconds after which the message is of no use.
        message_expiry_interval MessageExpiryInterval (seconds: u32) put_four;
        /// What the payload is, a MIME type for example.
        content_type ContentType (text: &str) put_text;
        /// The topic for a response: a topic name.
        response_topic ResponseTopic (topic: &str) put_topic_name;
        /// What tells which request a response belongs to, up to 65,535 bytes.
        correlation_data CorrelationData (data: &[u8]) put_data;
        /// The identifier of a subscription, 1 to 268,435,455. May be set more than once, for a server's PUBLISH.
        subscription_identifier SubscriptionIdentifier (id: u32) |out, id| match id {
            1..=MAX_VARIABLE_BYTE_INTEGER => {
                put_variable_byte_integer(out, id as usize);
                Ok(())
            }
            _ => Err(PropertyFault::OutOfRange),
        };
        /// Seconds that the session outlives its connection; `u32::MAX` for ever.
        session_expiry_interval SessionExpiryInterval (seconds: u32) put_four;
        /// The client identifier that a server chose.
        assigned_client_identifier AssignedClientIdentifier (id: &str) put_text;
        /// The keep alive, in seconds, that a server demands.
        server_keep_alive ServerKeepAlive (seconds: u16) put_two;
        /// The method of enhanced authentication.
        authentication_method AuthenticationMethod (method: &str) put_text;
        /// Data of the authentication method, up to 65,535 bytes.
        authentication_data AuthenticationData (data: &[u8]) put_data;
        /// Whether the server may send reason strings and user properties with any packet.
        request_problem_information RequestProblemInformation (wanted: bool) put_flag;
        /// Seconds that the server waits before it publishes the will.
        will_delay_interval WillDelayInterval (seconds: u32) put_four;
        /// Whether the server shall send response information.
        request_response_information RequestResponseInformation (wanted: bool) put_flag;
        /// What response topics may be made of.
        response_information ResponseInformation (text: &str) put_text;
        /// Another server to use.
        server_reference ServerReference (text: &str) put_text;
        /// The reason for people to read.
        reason_string ReasonString (text: &str) put_text;
        /// QoS 1 and 2 publications to process at once, 1 to 65,535.
        receive_maximum ReceiveMaximum (maximum: u16) put_two_not_zero;
        /// The highest topic alias to accept.
        topic_alias_maximum TopicAliasMaximum (maximum: u16) put_two;
        /// The number that stands for the topic, 1 to 65,535.
        topic_alias TopicAlias (alias: u16) put_two_not_zero;
        /// The highest QoS of a server: 0 or 1. A server that supports 2 leaves this property out.
        maximum_qos MaximumQoS (qos: QoS) |out, qos: QoS| match qos {
            QoS::ExactlyOnce => Err(PropertyFault::OutOfRange),
            qos => put_flag(out, qos == QoS::AtLeastOnce),
        };
        /// Whether a server supports retained messages.
        retain_available RetainAvailable (available: bool) put_flag;
        /// A name and a value of the application's own; may be set more than once, order is kept.
        user_property UserProperty (name: &str, value: &str) |out: &mut Vec<u8>, name, value| {
            put_text(out, name)?;
            put_text(out, value)
        };
        /// The largest packet to accept, in bytes, not 0.
        maximum_packet_size MaximumPacketSize (bytes: u32) |out, bytes| match bytes {
            0 => Err(PropertyFault::OutOfRange),
            _ => put_four(out, bytes),
        };
        /// Whether a server supports wildcards in subscriptions.
        wildcard_subscription_available WildcardSubscriptionAvailable (available: bool) put_flag;
        /// Whether a server supports subscription identifiers.
        subscription_identifier_available SubscriptionIdentifierAvailable (available: bool) put_flag;
        /// Whether a server supports shared subscriptions.
        shared_subscription_available SharedSubscriptionAvailable (available: bool) put_flag;
    }

    /// The finished block, or the first thing that was wrong.
    pub fn build(self) -> Result<PropertiesBuf, PropertyError> {
        match self.error {
            Some(error) => Err(error),
            None => Ok(PropertiesBuf::from_checked(self.block.into())),
        }
    }

    fn with(
        mut self,
        property: PropertyId,
        write: impl FnOnce(&mut Vec<u8>) -> Result<(), PropertyFault>,
    ) -> Self {
        if self.error.is_none()
            && let Err(fault) = self.push(property, write)
        {
            self.error = Some(PropertyError { property, fault });
        }
        self
    }

    fn push(
        &mut self,
        property: PropertyId,
        write: impl FnOnce(&mut Vec<u8>) -> Result<(), PropertyFault>,
    ) -> Result<(), PropertyFault> {
        let repeatable = matches!(property, PropertyId::UserProperty | PropertyId::SubscriptionIdentifier);
        if !repeatable && self.seen & bit(property) != 0 {
            return Err(PropertyFault::Repeated);
        }
        self.seen |= bit(property);
        if self.block.is_empty() {
            self.block.reserve(FIRST_RESERVE);
        }
        self.block.push(property as u8);
        write(&mut self.block)
    }
}

fn put_flag(out: &mut Vec<u8>, flag: bool) -> Result<(), PropertyFault> {
    out.push(u8::from(flag));
    Ok(())
}

fn put_two(out: &mut Vec<u8>, value: u16) -> Result<(), PropertyFault> {
    out.extend_from_slice(&value.to_be_bytes());
    Ok(())
}

fn put_two_not_zero(out: &mut Vec<u8>, value: u16) -> Result<(), PropertyFault> {
    if value == 0 { Err(PropertyFault::OutOfRange) } else { put_two(out, value) }
}

fn put_four(out: &mut Vec<u8>, value: u32) -> Result<(), PropertyFault> {
    out.extend_from_slice(&value.to_be_bytes());
    Ok(())
}

fn put_text(out: &mut Vec<u8>, text: &str) -> Result<(), PropertyFault> {
    check_len(text.as_bytes())?;
    check_text(text.as_bytes())?;
    put_binary(out, text.as_bytes());
    Ok(())
}

fn put_topic_name(out: &mut Vec<u8>, topic: &str) -> Result<(), PropertyFault> {
    check_name(topic.as_bytes())?;
    put_binary(out, topic.as_bytes());
    Ok(())
}

fn put_data(out: &mut Vec<u8>, data: &[u8]) -> Result<(), PropertyFault> {
    check_len(data).map_err(|_| PropertyFault::TooLong)?;
    put_binary(out, data);
    Ok(())
}
