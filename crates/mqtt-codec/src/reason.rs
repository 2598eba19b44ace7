//! Reason codes, section 2.4, and the return codes of 3.1 and 3.1.1 that stand for some of them.

use crate::packet::{PacketType, Sender};
use crate::scalar::QoS;
use crate::version::Version;
use core::fmt;

/// A reason code, section 2.4: below 0x80 a success, from 0x80 on a failure. A value that the standard does
/// not name survives as a number.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct ReasonCode(u8);

/// The table of the standard, once: value, name, the packets in which a server and a client may use it.
macro_rules! reason_codes {
    ($($value:literal $name:ident $text:literal server [$($server:ident)*] client [$($client:ident)*];)*) => {
        impl ReasonCode {
            $(
                #[doc = concat!(stringify!($value), ": ", $text, ".")]
                pub const $name: Self = Self($value);
            )*

            /// What the standard calls this code; the first of its names where it has several.
            #[expect(unreachable_patterns, reason = "0x00 has three names")]
            pub const fn name(self) -> &'static str {
                match self.0 {
                    $( $value => $text, )*
                    _ => "unknown reason code",
                }
            }
        }

        /// For each code a bit per packet type: the low half for servers, the high half for clients.
        static USES: [u32; 256] = {
            let mut uses = [0; 256];
            $(
                $( uses[$value] |= 1 << PacketType::$server as u32; )*
                $( uses[$value] |= 1 << (PacketType::$client as u32 + 16); )*
            )*
            uses
        };
    };
}

reason_codes! {
    0x00 SUCCESS "success" server [ConnAck PubAck PubRec PubRel PubComp UnsubAck Auth] client [PubAck PubRec PubRel PubComp];
    0x00 NORMAL_DISCONNECTION "normal disconnection" server [Disconnect] client [Disconnect];
    0x00 GRANTED_QOS_0 "granted QoS 0" server [SubAck] client [];
    0x01 GRANTED_QOS_1 "granted QoS 1" server [SubAck] client [];
    0x02 GRANTED_QOS_2 "granted QoS 2" server [SubAck] client [];
    0x04 DISCONNECT_WITH_WILL_MESSAGE "disconnect with will message" server [] client [Disconnect];
    0x10 NO_MATCHING_SUBSCRIBERS "no matching subscribers" server [PubAck PubRec] client [];
    0x11 NO_SUBSCRIPTION_EXISTED "no subscription existed" server [UnsubAck] client [];
    0x18 CONTINUE_AUTHENTICATION "continue authentication" server [Auth] client [Auth];
    0x19 RE_AUTHENTICATE "re-authenticate" server [] client [Auth];
    0x80 UNSPECIFIED_ERROR "unspecified error"
        server [ConnAck PubAck PubRec SubAck UnsubAck Disconnect] client [PubAck PubRec Disconnect];
    0x81 MALFORMED_PACKET "malformed packet" server [ConnAck Disconnect] client [Disconnect];
    0x82 PROTOCOL_ERROR "protocol error" server [ConnAck Disconnect] client [Disconnect];
    0x83 IMPLEMENTATION_SPECIFIC_ERROR "implementation specific error"
        server [ConnAck PubAck PubRec SubAck UnsubAck Disconnect] client [PubAck PubRec Disconnect];
    0x84 UNSUPPORTED_PROTOCOL_VERSION "unsupported protocol version" server [ConnAck] client [];
    0x85 CLIENT_IDENTIFIER_NOT_VALID "client identifier not valid" server [ConnAck] client [];
    0x86 BAD_USER_NAME_OR_PASSWORD "bad user name or password" server [ConnAck] client [];
    0x87 NOT_AUTHORIZED "not authorized"
        server [ConnAck PubAck PubRec SubAck UnsubAck Disconnect] client [PubAck PubRec];
    0x88 SERVER_UNAVAILABLE "server unavailable" server [ConnAck] client [];
    0x89 SERVER_BUSY "server busy" server [ConnAck Disconnect] client [];
    0x8A BANNED "banned" server [ConnAck] client [];
    0x8B SERVER_SHUTTING_DOWN "server shutting down" server [Disconnect] client [];
    0x8C BAD_AUTHENTICATION_METHOD "bad authentication method" server [ConnAck Disconnect] client [Disconnect];
    0x8D KEEP_ALIVE_TIMEOUT "keep alive timeout" server [Disconnect] client [];
    0x8E SESSION_TAKEN_OVER "session taken over" server [Disconnect] client [];
    0x8F TOPIC_FILTER_INVALID "topic filter invalid" server [SubAck UnsubAck Disconnect] client [];
    0x90 TOPIC_NAME_INVALID "topic name invalid"
        server [ConnAck PubAck PubRec Disconnect] client [PubAck PubRec Disconnect];
    0x91 PACKET_IDENTIFIER_IN_USE "packet identifier in use"
        server [PubAck PubRec SubAck UnsubAck] client [PubAck PubRec];
    0x92 PACKET_IDENTIFIER_NOT_FOUND "packet identifier not found" server [PubRel PubComp] client [PubRel PubComp];
    0x93 RECEIVE_MAXIMUM_EXCEEDED "receive maximum exceeded" server [Disconnect] client [Disconnect];
    0x94 TOPIC_ALIAS_INVALID "topic alias invalid" server [Disconnect] client [Disconnect];
    0x95 PACKET_TOO_LARGE "packet too large" server [ConnAck Disconnect] client [Disconnect];
    0x96 MESSAGE_RATE_TOO_HIGH "message rate too high" server [Disconnect] client [Disconnect];
    0x97 QUOTA_EXCEEDED "quota exceeded"
        server [ConnAck PubAck PubRec SubAck Disconnect] client [PubAck PubRec Disconnect];
    0x98 ADMINISTRATIVE_ACTION "administrative action" server [Disconnect] client [Disconnect];
    0x99 PAYLOAD_FORMAT_INVALID "payload format invalid"
        server [ConnAck PubAck PubRec Disconnect] client [PubAck PubRec Disconnect];
    0x9A RETAIN_NOT_SUPPORTED "retain not supported" server [ConnAck Disconnect] client [];
    // Section 3.3.4 has a client send this for a PUBLISH above the Maximum QoS, against table 3-10.
    0x9B QOS_NOT_SUPPORTED "QoS not supported" server [ConnAck Disconnect] client [Disconnect];
    0x9C USE_ANOTHER_SERVER "use another server" server [ConnAck Disconnect] client [];
    0x9D SERVER_MOVED "server moved" server [ConnAck Disconnect] client [];
    0x9E SHARED_SUBSCRIPTIONS_NOT_SUPPORTED "shared subscriptions not supported" server [SubAck Disconnect] client [];
    0x9F CONNECTION_RATE_EXCEEDED "connection rate exceeded" server [ConnAck Disconnect] client [];
    0xA0 MAXIMUM_CONNECT_TIME "maximum connect time" server [Disconnect] client [];
    0xA1 SUBSCRIPTION_IDENTIFIERS_NOT_SUPPORTED "subscription identifiers not supported"
        server [SubAck Disconnect] client [];
    0xA2 WILDCARD_SUBSCRIPTIONS_NOT_SUPPORTED "wildcard subscriptions not supported"
        server [SubAck Disconnect] client [];
}

/// Return codes 0 to 5 of CONNACK in 3.1 and 3.1.1, by index `[31-4]`.
const V3_CONNECT: [ReasonCode; 6] = [
    ReasonCode::SUCCESS,
    ReasonCode::UNSUPPORTED_PROTOCOL_VERSION,
    ReasonCode::CLIENT_IDENTIFIER_NOT_VALID,
    ReasonCode::SERVER_UNAVAILABLE,
    ReasonCode::BAD_USER_NAME_OR_PASSWORD,
    ReasonCode::NOT_AUTHORIZED,
];

impl ReasonCode {
    /// The code of this number, whether the standard names it or not.
    pub const fn new(value: u8) -> Self {
        Self(value)
    }

    /// The number on the wire.
    pub const fn value(self) -> u8 {
        self.0
    }

    /// True from 0x80 on: what was asked for did not happen.
    pub const fn is_error(self) -> bool {
        self.0 >= 0x80
    }

    /// The QoS that this code of a SUBACK grants; `None` for a refusal.
    pub const fn granted_qos(self) -> Option<QoS> {
        QoS::from_u8(self.0)
    }

    /// Whether the standard lets `sender` (`None`: any side) use this code in packets of this type.
    pub fn is_allowed_in(self, packet: PacketType, sender: Option<Sender>) -> bool {
        let uses = USES[usize::from(self.0)];
        let uses = match sender {
            Some(Sender::Server) => uses,
            Some(Sender::Client) => uses >> 16,
            None => uses | uses >> 16,
        };
        uses & 1 << packet as u32 != 0
    }

    /// The reason code that a CONNACK return code of 3.1 or 3.1.1 stands for; `None` for the reserved 6 to 255.
    pub fn from_v3_connect(code: u8) -> Option<Self> {
        V3_CONNECT.get(usize::from(code)).copied()
    }

    /// The CONNACK return code of 3.1 and 3.1.1 for this reason; `None` where those versions have none.
    pub fn to_v3_connect(self) -> Option<u8> {
        (0..).zip(V3_CONNECT).find_map(|(code, reason)| (reason == self).then_some(code))
    }

    /// The SUBACK return code for this reason: 3.1.1 has one failure, 0x80, and 3.1 has none `[31-5]`.
    pub(crate) const fn to_v3_suback(self, version: Version) -> Option<u8> {
        match self.0 {
            0..=2 => Some(self.0),
            0x80.. if matches!(version, Version::V3_1_1) => Some(0x80),
            _ => None,
        }
    }
}

impl fmt::Display for ReasonCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "0x{:02X} {}", self.0, self.name())
    }
}

impl fmt::Debug for ReasonCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}
