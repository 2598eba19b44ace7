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
