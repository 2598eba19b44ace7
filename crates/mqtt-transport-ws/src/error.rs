//! What can be wrong, and whether it passes.

use std::io;
use tokio_tungstenite::tungstenite::error::{Error, ProtocolError};
use tokio_tungstenite::tungstenite::http::StatusCode;

/// Why there is no WebSocket, or no longer one. Inside an [`io::Error`] unless a builder returns it.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum WebSocketError {
    /// The URL is none of a WebSocket: `ws://HOST[:PORT][/PATH]` or `wss://..`.
    #[error("{0:?} is no URL of a WebSocket, such as ws://host:8080/mqtt")]
    InvalidUrl(String),
    /// Not the name of a header of HTTP, or not its value.
    #[error("the header {0:?} is not usable")]
    InvalidHeader(String),
    /// A subprotocol is a word without spaces and commas.
    #[error("the subprotocol {0:?} is not usable")]
    InvalidSubprotocol(String),
    /// The server answered the request to upgrade with another status than 101.
    #[error("the server answered {0} to the request for a WebSocket")]
    Refused(StatusCode),
    /// The server chose no subprotocol, or one that was not offered `[MQTT-6.0.0-4]`.
    #[error("the server does not speak MQTT on this WebSocket: it did not choose the subprotocol")]
    Subprotocol,
    /// The server answered the request with a record of TLS.
    #[error("the server speaks TLS on this port: use wss://")]
    SpeaksTls,
    /// The server closed before it had answered the request.
    #[error(
        "the server closed without an answer to the request for a WebSocket; if it wants TLS, use wss://"
    )]
    HandshakeClosed,
    /// What the server said is not WebSocket.
    #[error("this is no WebSocket server: {0}")]
    NotWebSocket(String),
    /// A frame of text, or another one that MQTT does not travel in `[MQTT-6.0.0-1]`.
    #[error("the server sent text; MQTT travels in binary frames")]
    NotBinary,
    /// A message larger than the limit.
    #[error("the server sent a WebSocket message of {size} bytes, the limit is {limit}")]
    TooLarge {
        /// Bytes of the message so far.
        size: usize,
        /// The limit, see [`WebSocketOptions::max_message_size`](crate::WebSocketOptions::max_message_size).
        limit: usize,
    },
    /// The server closed the WebSocket with a code that stands for an error.
    #[error("the server closed the WebSocket: {code} {reason}")]
    Closed {
        /// The code, RFC 6455 section 7.4.
        code: u16,
        /// What the server said of it; may be empty.
        reason: String,
    },
}

impl WebSocketError {
    /// Kinds that cannot pass by themselves are `PermissionDenied`, `InvalidInput`, `InvalidData` and `Unsupported`.
    fn kind(&self) -> io::ErrorKind {
        match self {
            Self::Refused(status) => match status.as_u16() {
                401 | 403 => io::ErrorKind::PermissionDenied,
                408 | 425 | 429 | 500.. => io::ErrorKind::ConnectionRefused,
                _ => io::ErrorKind::InvalidInput,
            },
            Self::InvalidUrl(_) | Self::InvalidHeader(_) | Self::InvalidSubprotocol(_) | Self::SpeaksTls => {
                io::ErrorKind::InvalidInput
            }
            Self::Subprotocol => io::ErrorKind::Unsupported,
            Self::HandshakeClosed => io::ErrorKind::UnexpectedEof,
            Self::NotWebSocket(_) | Self::NotBinary | Self::TooLarge { .. } => io::ErrorKind::InvalidData,
            Self::Closed { .. } => io::ErrorKind::ConnectionAborted,
        }
    }
}

impl From<WebSocketError> for io::Error {
    fn from(error: WebSocketError) -> Self {
        Self::new(error.kind(), error)
    }
}

/// What tungstenite complains about, in words of ours.
pub(crate) fn explain(error: Error) -> io::Error {
    use tokio_tungstenite::tungstenite::error::CapacityError;
    match error {
        Error::Io(error) => error,
        Error::ConnectionClosed | Error::AlreadyClosed => io::ErrorKind::NotConnected.into(),
        Error::Http(response) => WebSocketError::Refused(response.status()).into(),
        Error::Protocol(ProtocolError::SecWebSocketSubProtocolError(_)) => WebSocketError::Subprotocol.into(),
        Error::Protocol(ProtocolError::HandshakeIncomplete) => WebSocketError::HandshakeClosed.into(),
        Error::Protocol(ProtocolError::ResetWithoutClosingHandshake) => {
            io::Error::new(io::ErrorKind::ConnectionReset, "the connection broke without a closing frame")
        }
        Error::Capacity(CapacityError::MessageTooLong { size, max_size }) => {
            WebSocketError::TooLarge { size, limit: max_size }.into()
        }
        Error::Utf8(_) => WebSocketError::NotBinary.into(),
        other => WebSocketError::NotWebSocket(other.to_string()).into(),
    }
}

/// The same while the request is without an answer. Closing with the request unread resets the connection.
pub(crate) fn unanswered(error: Error) -> io::Error {
    match error {
        Error::Io(error)
            if matches!(error.kind(), io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe) =>
        {
            WebSocketError::HandshakeClosed.into()
        }
        error => explain(error),
    }
}
