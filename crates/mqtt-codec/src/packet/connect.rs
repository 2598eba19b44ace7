//! CONNECT, section 3.1.

use super::{
    PacketType, check_field, check_properties, check_size, packet_len, properties_len, put_properties, refuse,
};
use crate::error::{DecodeError, EncodeError, Fault, Field};
use crate::properties::{Checked, Place, Properties, PropertyId, properties};
use crate::properties_buf::PropertiesBuf;
use crate::scalar::QoS;
use crate::text::Text;
use crate::topic::{TopicName, check_name};
use crate::version::Version;
use crate::wire::{Parsed, binary, byte, fail, put_binary, share, text, two_bytes};
use crate::wire_buf::WireBuf;
use alloc::boxed::Box;
use bytes::Bytes;
use core::fmt;

const PACKET: PacketType = PacketType::Connect;

const CLEAN_START: u8 = 0x02;
const WILL: u8 = 0x04;
const WILL_QOS: u8 = 0x18;
const WILL_RETAIN: u8 = 0x20;
const PASSWORD: u8 = 0x40;
const USER_NAME: u8 = 0x80;

/// The longest topic name of 3.1, in characters `[31-16]`.
pub(super) const V3_1_TOPIC_CHARS: usize = 32_767;

/// The first packet of a client. Which version it speaks is a matter of the codec, not of this type.
#[derive(Clone, PartialEq, Eq)]
pub struct Connect {
    /// Client identifier; may be empty, then the server chooses one (not in 3.1).
    pub client_id: Text,
    /// Clean Start, called Clean Session before 5.0.
    pub clean_start: bool,
    /// Keep alive in seconds, 0 is off.
    pub keep_alive: u16,
    /// Session expiry, limits, authentication and more; empty before 5.0.
    pub properties: PropertiesBuf,
    /// What the server publishes if this client is lost.
    pub will: Option<Will>,
    /// User name.
    pub username: Option<Text>,
    /// Password, up to 65,535 bytes; before 5.0 it needs a user name, in 3.1 it is UTF-8.
    pub password: Option<Bytes>,
}

/// The will, section 3.1.2.5: a message that the server publishes when the connection ends without a goodbye.
#[derive(Clone, PartialEq, Eq)]
pub struct Will {
    /// Where to.
    pub topic: TopicName,
    /// What, up to 65,535 bytes, maybe none; in 3.1 ASCII.
    pub payload: Bytes,
    /// At which QoS.
    pub qos: QoS,
    /// Whether it is retained.
    pub retain: bool,
    /// Will delay interval and the properties of the message; empty before 5.0.
    pub properties: PropertiesBuf,
}

impl Connect {
    /// Reads which version a CONNECT asks for, and what follows.
    pub(crate) fn parse_version(body: &[u8]) -> Parsed<'_, Version> {
        let (rest, name) = binary(body, Field::Protocol)?;
        let (rest, level) = byte(rest, Field::Protocol)?;
        match Version::from_wire(name, level) {
            Some(version) => Ok((rest, version)),
            None => fail(Field::Protocol, Fault::UnsupportedVersion(level)),
        }
    }

    /// Reads what follows the protocol version, in the order of the standard `[MQTT-3.1.3-1]`.
    pub(crate) fn parse<'a>(input: &'a [u8], frame: &Bytes, version: Version) -> Parsed<'a, Box<Self>> {
        let (rest, flags) = byte(input, Field::ConnectFlags)?;
        check_flags(flags, version)?;
        let (rest, keep_alive) = two_bytes(rest, Field::KeepAlive)?;
        let (rest, checked) = properties_of(rest, Place::Connect, version)?;
        if checked.has(PropertyId::AuthenticationData) && !checked.has(PropertyId::AuthenticationMethod) {
            return fail(Field::Property(PropertyId::AuthenticationData), Fault::NoAuthenticationMethod);
        }
        let (rest, client_id) = text(rest, Field::ClientIdentifier)?;
        let (rest, will) = if flags & WILL == 0 {
            (rest, None)
        } else {
            let (rest, will) = Will::parse(rest, frame, flags, version)?;
            (rest, Some(will))
        };
        // In 3.1 the Remaining Length wins over these two flags `[31-27]`.
        let has = |flag, rest: &[u8]| flags & flag != 0 && !(version == Version::V3_1 && rest.is_empty());
        let (rest, username) = if has(USER_NAME, rest) {
            let (rest, username) = text(rest, Field::UserName)?;
            (rest, Some(Text::from_checked(share(frame, username))))
        } else {
            (rest, None)
        };
        let (rest, password) = if has(PASSWORD, rest) {
            // A string in 3.1, bytes later `[31-6]`.
            let field = if version == Version::V3_1 { text } else { binary };
            let (rest, password) = field(rest, Field::Password)?;
            (rest, Some(share(frame, password)))
        } else {
            (rest, None)
        };
        let connect = Box::new(Self {
            client_id: Text::from_checked(share(frame, client_id)),
            clean_start: flags & CLEAN_START != 0,
            keep_alive,
            properties: PropertiesBuf::part_of(frame, checked.block),
            will,
            username,
            password,
        });
        Ok((rest, connect))
    }

    /// Appends this packet. On an error nothing was written.
    pub fn encode(&self, version: Version, out: &mut WireBuf) -> Result<(), EncodeError> {
        self.check(version)?;
        let remaining = self.remaining_len(version);
        check_size(PACKET, remaining)?;
        let out = out.start(PACKET.first_byte(), remaining, remaining);
        put_binary(out, version.protocol_name().as_bytes());
        out.extend_from_slice(&[version.level(), self.flags()]);
        out.extend_from_slice(&self.keep_alive.to_be_bytes());
        put_properties(out, self.properties.view(), version);
        put_binary(out, self.client_id.as_bytes());
        if let Some(will) = &self.will {
            put_properties(out, will.properties.view(), version);
            put_binary(out, will.topic.as_bytes());
            put_binary(out, &will.payload);
        }
        if let Some(username) = &self.username {
            put_binary(out, username.as_bytes());
        }
        if let Some(password) = &self.password {
            put_binary(out, password);
        }
        Ok(())
    }

    fn check(&self, version: Version) -> Result<(), EncodeError> {
        let view = self.properties.view();
        check_properties(PACKET, Place::Connect, view, version)?;
        if view.authentication_data().is_some() && view.authentication_method().is_none() {
            let data = Field::Property(PropertyId::AuthenticationData);
            return Err(refuse(PACKET, data, Fault::NoAuthenticationMethod));
        }
        if let Some(will) = &self.will {
            will.check(version)?;
        }
        let Some(password) = &self.password else { return Ok(()) };
        check_field(PACKET, Field::Password, password.len())?;
        if self.username.is_none() && !version.is_v5() {
            return Err(refuse(PACKET, Field::Password, Fault::PasswordWithoutUserName));
        }
        if version == Version::V3_1 && Text::try_from(password.clone()).is_err() {
            return Err(refuse(PACKET, Field::Password, Fault::IllFormedText));
        }
        Ok(())
    }

    /// The connect flags; bit 0 is reserved and 0 `[MQTT-3.1.2-3]`.
    fn flags(&self) -> u8 {
        let flag = |set, flag| if set { flag } else { 0 };
        flag(self.clean_start, CLEAN_START)
            | self.will.as_ref().map_or(0, Will::flags)
            | flag(self.password.is_some(), PASSWORD)
            | flag(self.username.is_some(), USER_NAME)
    }

    /// Bytes of this packet on the wire.
    pub fn encoded_len(&self, version: Version) -> usize {
        packet_len(self.remaining_len(version))
    }

    fn remaining_len(&self, version: Version) -> usize {
        let field = |len| 2 + len;
        field(version.protocol_name().len())
            + 4
            + properties_len(self.properties.view(), version)
            + field(self.client_id.as_bytes().len())
            + self.will.as_ref().map_or(0, |will| {
                properties_len(will.properties.view(), version)
                    + field(will.topic.as_bytes().len())
                    + field(will.payload.len())
            })
            + self.username.as_ref().map_or(0, |username| field(username.as_bytes().len()))
            + self.password.as_ref().map_or(0, |password| field(password.len()))
    }
}

impl Will {
    /// A will at QoS 0, not retained, without properties.
    pub fn new(topic: TopicName, payload: impl Into<Bytes>) -> Self {
        let properties = PropertiesBuf::new();
        Self { topic, payload: payload.into(), qos: QoS::AtMostOnce, retain: false, properties }
    }

    #[inline(always)]
    fn parse<'a>(input: &'a [u8], frame: &Bytes, flags: u8, version: Version) -> Parsed<'a, Self> {
        let Some(qos) = QoS::from_u8((flags & WILL_QOS) >> 3) else {
            return fail(Field::ConnectFlags, Fault::ReservedQoS);
        };
        let (rest, checked) = properties_of(input, Place::Will, version)?;
        let (rest, topic) = binary(rest, Field::WillTopic)?;
        if let Err(error) = check_name(topic) {
            return fail(Field::WillTopic, error.into());
        }
        let (rest, payload) = binary(rest, Field::WillPayload)?;
        let will = Self {
            topic: TopicName::from_checked(frame, topic),
            payload: share(frame, payload),
            qos,
            retain: flags & WILL_RETAIN != 0,
            properties: PropertiesBuf::part_of(frame, checked.block),
        };
        Ok((rest, will))
    }

    fn check(&self, version: Version) -> Result<(), EncodeError> {
        check_properties(PACKET, Place::Will, self.properties.view(), version)?;
        check_field(PACKET, Field::WillPayload, self.payload.len())?;
        if version == Version::V3_1 {
            // `[31-8]` `[31-16]`
            if !self.payload.is_ascii() {
                return Err(refuse(PACKET, Field::WillPayload, Fault::ValueNotAllowed));
            }
            if self.topic.chars().count() > V3_1_TOPIC_CHARS {
                return Err(refuse(PACKET, Field::WillTopic, Fault::ValueNotAllowed));
            }
        }
        Ok(())
    }

    const fn flags(&self) -> u8 {
        let retain = if self.retain { WILL_RETAIN } else { 0 };
        WILL | (self.qos as u8) << 3 | retain
    }
}

/// Shows everything but the password, which is nobody's business in a log.
impl fmt::Debug for Connect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connect")
            .field("client_id", &self.client_id)
            .field("clean_start", &self.clean_start)
            .field("keep_alive", &self.keep_alive)
            .field("properties", &self.properties)
            .field("will", &self.will)
            .field("username", &self.username)
            .field("password", &self.password.as_ref().map(|_| format_args!("(hidden)")))
            .finish()
    }
}

impl fmt::Debug for Will {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Will")
            .field("topic", &self.topic)
            .field("payload", &format_args!("{} bytes", self.payload.len()))
            .field("qos", &self.qos)
            .field("retain", &self.retain)
            .field("properties", &self.properties)
            .finish()
    }
}

/// The rules between the flags: bit 0, and what needs the Will Flag `[MQTT-3.1.2-11]` `[MQTT-3.1.2-13]`.
fn check_flags(flags: u8, version: Version) -> Result<(), nom::Err<DecodeError>> {
    if flags & 1 != 0 && version != Version::V3_1 {
        return fail(Field::ConnectFlags, Fault::ReservedBits);
    }
    if flags & WILL == 0 && flags & (WILL_QOS | WILL_RETAIN) != 0 {
        return fail(Field::ConnectFlags, Fault::ReservedBits);
    }
    if flags & (USER_NAME | PASSWORD) == PASSWORD && !version.is_v5() {
        return fail(Field::ConnectFlags, Fault::PasswordWithoutUserName);
    }
    Ok(())
}

/// Properties where the version has them.
fn properties_of(input: &[u8], place: Place, version: Version) -> Parsed<'_, Checked<'_>> {
    if version.is_v5() {
        properties(input, place)
    } else {
        Ok((input, Checked { block: Properties::EMPTY.as_bytes(), seen: 0 }))
    }
}
