//! Why there is no connection, and whether that passes.

use crate::store::StoreError;
use core::error::Error;
use core::fmt;
use core::time::Duration;
use mqtt_session::{
    PropertiesBuf, PropertyError, ProtocolError, ReasonCode, TextError, TopicError, UsageError, Version,
};
use std::{io, sync::Arc};
use thiserror::Error as ThisError;

/// Why there is no connection: the options are wrong, an attempt failed, or a connection that was open has ended.
#[derive(Clone, Debug, ThisError)]
#[non_exhaustive]
pub enum ConnectError {
    /// The URL cannot be used.
    #[error("the URL is not usable: {0}")]
    InvalidUrl(#[from] UrlError),
    /// An option of the builder cannot be used.
    #[error("the option {option} is not usable: {fault}")]
    InvalidOption {
        /// The builder's method.
        option: &'static str,
        /// What is wrong with it.
        fault: OptionFault,
    },
    /// There is no tokio runtime for the client's task: connect from within one, or with the feature `blocking`.
    #[error("there is no tokio runtime here: connect from a task, or enter a runtime before")]
    NoRuntime,
    /// The [`store`](crate::ConnectBuilder::store) could not be opened.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The transport could not be opened, or broke.
    #[error("the network failed: {0}")]
    Io(#[source] Arc<io::Error>),
    /// The [`credentials_provider`](crate::ConnectBuilder::credentials_provider) had none.
    #[error("there are no credentials: {0}")]
    Credentials(#[source] Arc<dyn Error + Send + Sync>),
    /// The server was not reached, or did not answer CONNECT, within
    /// [`connect_timeout`](crate::ConnectBuilder::connect_timeout).
    #[error("no connection within {0:?}")]
    Timeout(Duration),
    /// The server answered CONNECT with a refusal, section 3.2.2.2.
    #[error("the server refused the connection: {}", Reason(*reason, properties))]
    Refused {
        /// Why; return codes of 3.x are given by their names in 5.0.
        reason: ReasonCode,
        /// What else the CONNACK said.
        properties: PropertiesBuf,
    },
    /// The server sent DISCONNECT, section 3.14; 5.0 only.
    #[error("the server disconnected: {}", Reason(*reason, properties))]
    Disconnected {
        /// Why.
        reason: ReasonCode,
        /// What else the DISCONNECT said.
        properties: PropertiesBuf,
    },
    /// The server sent what the standard forbids. A 5.0 server was told so by a DISCONNECT with the error's reason code.
    #[error("the server broke the protocol: {0}")]
    Protocol(#[source] ProtocolError),
    /// The server answered CONNECT with a record of TLS.
    #[error("the server speaks TLS on this port: use mqtts://")]
    SpeaksTls,
    /// The server closed the connection and had said nothing at all. It may want TLS, not know the version, or be about
    /// to start.
    #[error("the server closed the connection without an answer to CONNECT; if it wants TLS, use mqtts://")]
    NotAnswered,
    /// The server closed the connection without a word on why.
    #[error("the server closed the connection")]
    PeerClosed,
    /// Another client seems to use the same client identifier: a server of 3.x, which cannot say so, closed so many
    /// connections in a row as it does when another client takes over `[MQTT-3.1.4-2/3.1.1]`. It is a guess:
    /// [`ReconnectPolicy`](crate::ReconnectPolicy) says what it goes by, and how to turn it off.
    #[error(
        "the server closed {connections} connections in a row without a word: \
         another client seems to use the same client identifier"
    )]
    AssumedTakeover {
        /// The connections.
        connections: u32,
    },
    /// The server did not answer a PINGREQ in time.
    #[error("the server did not answer a ping")]
    PingTimeout,
    /// The [`Authenticator`](crate::Authenticator) would not go on, maybe because the server has not proved itself. A
    /// refusal by the server is [`Refused`](Self::Refused) or [`Disconnected`](Self::Disconnected).
    #[error("the authentication failed: {0}")]
    Authentication(#[source] Arc<dyn Error + Send + Sync>),
    /// The client was ended by one of its handles while it was connecting.
    #[error("the client was told to end")]
    Cancelled,
}

impl ConnectError {
    /// Whether trying again, with nothing changed, can help. The client reconnects by itself only if it can, with one
    /// exception: a server that closes during the TLS handshake and has never accepted this client is not tried again.
    /// Most likely it has no TLS on that port.
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::Io(error) => may_pass(error.kind()),
            Self::Credentials(_)
            | Self::Timeout(_)
            | Self::Protocol(_)
            | Self::NotAnswered
            | Self::PeerClosed
            | Self::PingTimeout => true,
            Self::Refused { reason, .. } | Self::Disconnected { reason, .. } => is_passing(*reason),
            Self::InvalidUrl(_)
            | Self::InvalidOption { .. }
            | Self::NoRuntime
            | Self::Store(_)
            | Self::SpeaksTls
            | Self::AssumedTakeover { .. }
            | Self::Authentication(_)
            | Self::Cancelled => false,
        }
    }

    /// Whether the server closed in the middle of the TLS handshake. One that has never accepted the client most likely
    /// has no TLS there; one that has may just restart.
    pub(crate) fn closed_in_handshake(&self) -> bool {
        #[cfg(feature = "tls")]
        if let Self::Io(error) = self {
            use mqtt_transport_tls::TlsError;
            let inner = error.get_ref().and_then(|inner| inner.downcast_ref());
            return matches!(inner, Some(TlsError::HandshakeClosed));
        }
        false
    }

    /// Where the server sends its clients, section 4.11: one or more `HOST[:PORT]` with spaces between.
    /// [`follow_server_reference`](crate::ConnectBuilder::follow_server_reference) goes there.
    pub fn server_reference(&self) -> Option<&str> {
        match self {
            Self::Refused { properties, .. } | Self::Disconnected { properties, .. } => {
                properties.view().server_reference()
            }
            _ => None,
        }
    }

    /// The reason code, if the server gave one or was given one.
    pub fn reason(&self) -> Option<ReasonCode> {
        match self {
            Self::Refused { reason, .. } | Self::Disconnected { reason, .. } => Some(*reason),
            Self::Protocol(error) => Some(error.reason_code()),
            _ => None,
        }
    }
}

impl From<io::Error> for ConnectError {
    fn from(error: io::Error) -> Self {
        Self::Io(Arc::new(error))
    }
}

/// Whether a failure of the network can pass by itself. Transports report what cannot, such as a certificate that is for
/// another host, by one of these kinds.
fn may_pass(kind: io::ErrorKind) -> bool {
    use io::ErrorKind::{InvalidData, InvalidInput, PermissionDenied, Unsupported};
    !matches!(kind, InvalidData | InvalidInput | PermissionDenied | Unsupported)
}

/// Whether a server that said this may say otherwise later. What names the client's rights, its identifier, its options
/// or its version does not pass; neither does a takeover, or two clients would throw each other out for ever.
fn is_passing(reason: ReasonCode) -> bool {
    !matches!(
        reason,
        ReasonCode::MALFORMED_PACKET
            | ReasonCode::PROTOCOL_ERROR
            | ReasonCode::UNSUPPORTED_PROTOCOL_VERSION
            | ReasonCode::CLIENT_IDENTIFIER_NOT_VALID
            | ReasonCode::BAD_USER_NAME_OR_PASSWORD
            | ReasonCode::NOT_AUTHORIZED
            | ReasonCode::BANNED
            | ReasonCode::BAD_AUTHENTICATION_METHOD
            | ReasonCode::SESSION_TAKEN_OVER
            | ReasonCode::TOPIC_NAME_INVALID
            | ReasonCode::PACKET_TOO_LARGE
            | ReasonCode::PAYLOAD_FORMAT_INVALID
            | ReasonCode::RETAIN_NOT_SUPPORTED
            | ReasonCode::QOS_NOT_SUPPORTED
            | ReasonCode::USE_ANOTHER_SERVER
            | ReasonCode::SERVER_MOVED
            | ReasonCode::SHARED_SUBSCRIPTIONS_NOT_SUPPORTED
            | ReasonCode::SUBSCRIPTION_IDENTIFIERS_NOT_SUPPORTED
            | ReasonCode::WILDCARD_SUBSCRIPTIONS_NOT_SUPPORTED
    )
}

/// A reason code with reason string and server reference beside it, if there are any.
struct Reason<'a>(ReasonCode, &'a PropertiesBuf);

impl fmt::Display for Reason<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)?;
        if let Some(text) = self.1.view().reason_string() {
            write!(f, " ({text})")?;
        }
        match self.1.view().server_reference() {
            Some(servers) => write!(f, ", see {servers}"),
            None => Ok(()),
        }
    }
}

/// What is wrong with a URL.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ThisError)]
#[non_exhaustive]
pub enum UrlError {
    /// No `://`.
    #[error("it has no scheme; write mqtt://HOST or mqtt://HOST:PORT")]
    NoScheme,
    /// A scheme that is not one of MQTT's.
    #[error("its scheme is not known; use mqtt://, mqtts://, ws://, wss://, quic://, unix:// or mqtt+srv://")]
    UnknownScheme,
    /// A transport that this build does not have.
    #[error(
        "the transport {scheme}:// is not built in (feature {feature}); turn it on, use mqtt://, \
         or hand your own to ConnectBuilder::connector"
    )]
    NotBuiltIn {
        /// The scheme of that transport.
        scheme: &'static str,
        /// The feature of this crate that builds it in.
        feature: &'static str,
    },
    /// Nothing between `://` and the port.
    #[error("it names no host; write mqtt://HOST or mqtt://HOST:PORT")]
    NoHost,
    /// A character that no host can have, or an IPv6 address without brackets.
    #[error(
        "its host is not one; an IPv6 address goes in brackets, mqtt://[::1]:1883, and a user before an @"
    )]
    Host,
    /// Not a port.
    #[error("its port is not a number from 1 to 65535")]
    Port,
    /// A port, where the DNS names it.
    #[error("with +srv the DNS names the ports; leave the port out")]
    SrvPort,
    /// Something behind the host and port.
    #[error("a path, query or fragment means nothing here; end the URL after the port")]
    Path,
    /// Something else than the path of a Unix socket.
    #[error("a Unix socket is named by its path alone, unix:///run/mqtt.sock")]
    Socket,
    /// A `%` without two hexadecimal digits, or a user name that is no UTF-8.
    #[error("user or password are not percent-encoded UTF-8; write %25 for a percent sign")]
    Percent,
}

/// What is wrong with an option of [`ConnectBuilder`](crate::ConnectBuilder).
#[derive(Clone, Debug, ThisError)]
#[non_exhaustive]
pub enum OptionFault {
    /// Not a string that MQTT can carry.
    #[error(transparent)]
    Text(#[from] TextError),
    /// Not a topic to publish to.
    #[error(transparent)]
    Topic(#[from] TopicError),
    /// A value that the property cannot have.
    #[error(transparent)]
    Property(#[from] PropertyError),
    /// Only MQTT 5.0 has this.
    #[error("it needs MQTT 5.0, and this connection speaks {0}; leave it out, or set protocol(Protocol::V5)")]
    NeedsV5(Version),
    /// MQTT 3.1 wants identifiers of 1 to 23 characters.
    #[error("MQTT 3.1 wants a client identifier of 1 to 23 characters")]
    ClientIdLength,
    /// MQTT 3.x cannot send a password without a user name `[MQTT-3.1.2-22]`.
    #[error("before MQTT 5.0 a password needs a user name beside it")]
    PasswordWithoutUsername,
    /// More than the field can hold.
    #[error("it is longer than its field, which holds {0}")]
    TooLong(&'static str),
    /// Zero is not allowed.
    #[error("it cannot be zero")]
    Zero,
    /// A property that is not one of CONNECT.
    #[error("a property in it does not belong in CONNECT")]
    NotInConnect,
    /// Both say the same thing, or contradict each other.
    #[error("it does not go together with {0}")]
    Conflict(&'static str),
    /// The transport does not take it.
    #[error("{0}")]
    Transport(String),
    /// The session does not take it.
    #[error(transparent)]
    Session(UsageError),
}
