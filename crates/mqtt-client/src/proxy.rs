//! The way through a proxy, from its URL.

use crate::address::Authority;
use crate::builder::ConnectBuilder;
use crate::error::{OptionFault, UrlError};
use mqtt_transport::proxy::{HttpProxy, Socks5};
use mqtt_transport::{Connect, Tcp};
use std::sync::Arc;

/// A proxy.
#[derive(Clone)]
pub(crate) struct Proxy {
    kind: Kind,
    host: String,
    port: u16,
    credentials: Option<(String, String)>,
}

#[derive(Clone, Copy)]
enum Kind {
    Socks5,
    Http,
}

impl ConnectBuilder {
    /// Goes through a proxy: `socks5://[USER[:PASSWORD]@]HOST[:PORT]` (port 1080) or
    /// `http://[USER[:PASSWORD]@]HOST[:PORT]` (port 3128; the method CONNECT). The proxy resolves the server's name. For
    /// all URLs but `quic://` and `unix://`. None if it is not set; no environment variable is looked at.
    pub fn proxy(mut self, url: &str) -> Self {
        match Proxy::parse(url) {
            Ok(proxy) => self.transports.proxy = Some(proxy),
            Err(error) => self.fault("proxy", OptionFault::Transport(error)),
        }
        self
    }
}

impl Proxy {
    fn parse(url: &str) -> Result<Self, String> {
        let unknown = || "write socks5://HOST:PORT or http://HOST:PORT".to_owned();
        let (scheme, rest) = url.split_once("://").ok_or_else(unknown)?;
        let (kind, default_port) = match scheme.to_ascii_lowercase().as_str() {
            "socks5" | "socks5h" => (Kind::Socks5, 1080),
            "http" => (Kind::Http, 3128),
            _ => return Err(unknown()),
        };
        let authority = rest.strip_suffix('/').unwrap_or(rest);
        if authority.contains(['/', '?', '#']) {
            return Err(UrlError::Path.to_string());
        }
        let authority = Authority::parse(authority);
        let Authority { username, password, host, port } = authority.map_err(|error| error.to_string())?;
        let password = password.map(String::from_utf8).transpose();
        let password = password.map_err(|_| UrlError::Percent.to_string())?;
        let credentials = username.map(|username| (username, password.unwrap_or_default()));
        Ok(Self { kind, host: host.to_owned(), port: port.unwrap_or(default_port), credentials })
    }

    /// The way to a server.
    pub(crate) fn connector(&self, host: &str, port: u16) -> Arc<dyn Connect> {
        let proxy = Tcp::new(self.host.as_str(), self.port);
        match (self.kind, self.credentials.clone()) {
            (Kind::Socks5, None) => Arc::new(Socks5::new(proxy, host, port)),
            (Kind::Socks5, Some((username, password))) => {
                Arc::new(Socks5::new(proxy, host, port).credentials(username, password))
            }
            (Kind::Http, None) => Arc::new(HttpProxy::new(proxy, host, port)),
            (Kind::Http, Some((username, password))) => {
                Arc::new(HttpProxy::new(proxy, host, port).credentials(username, password))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_proxy_is_a_url() {
        for (url, port, credentials) in [
            ("socks5://p", 1080, None),
            ("HTTP://p/", 3128, None),
            ("http://ann:k%3Ay@p:8080", 8080, Some(("ann".to_owned(), "k:y".to_owned()))),
            ("socks5h://ann@p", 1080, Some(("ann".to_owned(), String::new()))),
        ] {
            let proxy = Proxy::parse(url).unwrap();
            assert_eq!(
                (proxy.host.as_str(), proxy.port, proxy.credentials),
                ("p", port, credentials),
                "{url}"
            );
        }
        for url in ["p:1080", "ftp://p", "http://", "socks5://p:0", "http://p/x", "socks5://a:%ff@p"] {
            assert!(Proxy::parse(url).is_err(), "{url}");
        }
    }
}
