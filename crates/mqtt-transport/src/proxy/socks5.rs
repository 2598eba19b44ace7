//! SOCKS5, RFC 1928, with user name and password, RFC 1929.

use super::{Credentials, ProxyError, broken, not_reached};
use crate::connect::{BoxFuture, BoxTransport, Connect};
use std::io;
use tokio_socks::Error;
use tokio_socks::tcp::Socks5Stream;

/// Reaches a server through a SOCKS5 proxy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Socks5<C> {
    inner: C,
    host: String,
    port: u16,
    credentials: Option<Credentials>,
}

impl<C: Connect> Socks5<C> {
    /// Reaches `host` at `port`; `inner` reaches the proxy.
    pub fn new(inner: C, host: impl Into<String>, port: u16) -> Self {
        Self { inner, host: host.into(), port, credentials: None }
    }

    /// What the proxy is told if it asks: up to 255 bytes each.
    #[must_use]
    pub fn credentials(mut self, username: impl Into<String>, password: impl Into<String>) -> Self {
        self.credentials = Some(Credentials { username: username.into(), password: password.into() });
        self
    }

    async fn open(&self) -> io::Result<BoxTransport> {
        let stream = self.inner.connect().await.map_err(not_reached)?;
        let target = (self.host.as_str(), self.port);
        let opened = match &self.credentials {
            None => Socks5Stream::connect_with_socket(stream, target).await,
            Some(Credentials { username, password }) => {
                Socks5Stream::connect_with_password_and_socket(stream, target, username, password).await
            }
        };
        opened.map(Socks5Stream::into_inner).map_err(|error| self.explain(error))
    }

    fn explain(&self, error: Error) -> io::Error {
        match error {
            Error::Io(error) => return broken(error),
            Error::NoAcceptableAuthMethods | Error::AuthorizationRequired if self.credentials.is_none() => {
                ProxyError::CredentialsRequired
            }
            Error::NoAcceptableAuthMethods | Error::AuthorizationRequired | Error::PasswordAuthFailure(_) => {
                ProxyError::CredentialsRefused
            }
            Error::ConnectionNotAllowedByRuleset => ProxyError::NotAllowed,
            Error::InvalidTargetAddress(why) | Error::InvalidAuthValues(why) => ProxyError::NotUsable(why),
            Error::GeneralSocksServerFailure
            | Error::NetworkUnreachable
            | Error::HostUnreachable
            | Error::ConnectionRefused
            | Error::TtlExpired => ProxyError::Unreachable(error.to_string()),
            other => ProxyError::NotAProxy(other.to_string()),
        }
        .into()
    }
}

impl<C: Connect> Connect for Socks5<C> {
    /// # Errors
    ///
    /// Those of the connector inside, and [`ProxyError`]s.
    fn connect(&self) -> BoxFuture<'_, io::Result<BoxTransport>> {
        Box::pin(self.open())
    }
}
