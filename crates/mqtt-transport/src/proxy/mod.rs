//! Proxies: a way to a server that leads through another one. Behind the feature `proxy`.
//!
//! A proxy is a connector around the connector that reaches it:
//!
//! ```
//! use mqtt_transport::proxy::{HttpProxy, Socks5};
//! use mqtt_transport::{Connect, Tcp};
//!
//! let socks = Socks5::new(Tcp::new("proxy.example", 1080), "broker.example", 1883);
//! let http = HttpProxy::new(Tcp::new("proxy.example", 3128), "broker.example", 1883)
//!     .credentials("kitchen", "secret");
//! # let _: [Box<dyn Connect>; 2] = [Box::new(socks), Box::new(http)];
//! ```
//!
//! The proxy resolves the server's name. It sees what passes, unless TLS goes around it.
//!
//! # What an error means, and what to do
//!
//! | [`ProxyError`] | what to do |
//! | --- | --- |
//! | `NotReached` | mend host or port of the proxy, or wait for it: a client tries again |
//! | `Closed` | it died, or is a proxy of the other kind, or of TLS; a client tries again |
//! | `CredentialsRequired`, `CredentialsRefused` | mend its user name and password |
//! | `NotAllowed` | its rules forbid this server or port: ask whoever runs it |
//! | `Unreachable` | the server is down as seen from the proxy, or its name is not known there; a client tries again |
//! | `NotAProxy` | mend kind and port: SOCKS5 is mostly on 1080, HTTP on 3128 or 8080 |
//! | `NotUsable` | the text names what it cannot be told |

mod http;
mod socks5;

pub use self::http::HttpProxy;
pub use self::socks5::Socks5;

use core::fmt;
use std::io;

/// Why a proxy did not let us through. Inside an [`io::Error`] whose kind says whether trying again can help:
/// `PermissionDenied`, `InvalidInput`, `InvalidData` and `Unsupported` do not pass by themselves.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ProxyError {
    /// The proxy itself cannot be reached.
    #[error("the proxy cannot be reached: {1}")]
    NotReached(io::ErrorKind, String),
    /// The proxy closed the connection before it had answered.
    #[error("the proxy closed the connection without an answer")]
    Closed,
    /// The proxy wants credentials, and none were given.
    #[error("the proxy wants a user name and password")]
    CredentialsRequired,
    /// The proxy does not accept the credentials.
    #[error("the proxy refused the user name or password")]
    CredentialsRefused,
    /// The proxy does not let us reach this server.
    #[error("the proxy does not allow this server")]
    NotAllowed,
    /// The proxy cannot reach the server.
    #[error("the proxy cannot reach the server: {0}")]
    Unreachable(String),
    /// What answered is no proxy of this kind.
    #[error("this is no such proxy: {0}")]
    NotAProxy(String),
    /// User name, password or host cannot be said to a proxy.
    #[error("the proxy cannot be asked: {0}")]
    NotUsable(&'static str),
}

impl From<ProxyError> for io::Error {
    fn from(error: ProxyError) -> Self {
        let kind = match &error {
            ProxyError::NotReached(kind, _) => *kind,
            ProxyError::Closed => io::ErrorKind::UnexpectedEof,
            ProxyError::CredentialsRequired | ProxyError::CredentialsRefused | ProxyError::NotAllowed => {
                io::ErrorKind::PermissionDenied
            }
            ProxyError::Unreachable(_) => io::ErrorKind::HostUnreachable,
            ProxyError::NotAProxy(_) => io::ErrorKind::InvalidData,
            ProxyError::NotUsable(_) => io::ErrorKind::InvalidInput,
        };
        Self::new(kind, error)
    }
}

/// A failure on the way to the proxy.
fn not_reached(error: io::Error) -> io::Error {
    ProxyError::NotReached(error.kind(), error.to_string()).into()
}

/// A failure of the conversation with it.
fn broken(error: io::Error) -> io::Error {
    use io::ErrorKind::{BrokenPipe, ConnectionReset, UnexpectedEof};
    match error.kind() {
        BrokenPipe | ConnectionReset | UnexpectedEof => ProxyError::Closed.into(),
        _ => error,
    }
}

/// User name and password. Shows neither.
#[derive(Clone, PartialEq, Eq)]
struct Credentials {
    username: String,
    password: String,
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Credentials(..)")
    }
}
