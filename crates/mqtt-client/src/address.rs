//! What a URL says.

use crate::error::UrlError;

/// Where a server is, and by which kind of transport it is reached.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Address {
    pub(crate) scheme: Scheme,
    /// Empty for a Unix socket.
    pub(crate) host: String,
    pub(crate) port: u16,
    /// The host is a domain, and the DNS names its servers.
    pub(crate) srv: bool,
    /// Path and query, as they stand in the URL; of a Unix socket its path, decoded.
    pub(crate) path: String,
    pub(crate) username: Option<String>,
    pub(crate) password: Option<Vec<u8>>,
}

/// The transports that a URL can name, whether they are built in or not.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Scheme {
    Tcp,
    Tls,
    WebSocket,
    SecureWebSocket,
    Quic,
    Unix,
}

impl Scheme {
    /// The names in URLs, what they mean, and the port where none is named.
    const ALL: [(&'static str, Self, u16); 9] = [
        ("mqtt", Self::Tcp, 1883),
        ("tcp", Self::Tcp, 1883),
        ("mqtts", Self::Tls, 8883),
        ("ssl", Self::Tls, 8883),
        ("tls", Self::Tls, 8883),
        ("ws", Self::WebSocket, 80),
        ("wss", Self::SecureWebSocket, 443),
        ("quic", Self::Quic, 14567),
        ("unix", Self::Unix, 0),
    ];

    /// Whether there is TLS in it.
    pub(crate) fn is_secure(self) -> bool {
        matches!(self, Self::Tls | Self::SecureWebSocket | Self::Quic)
    }

    /// Whether a proxy can carry it.
    #[cfg(feature = "proxy")]
    pub(crate) fn is_tcp(self) -> bool {
        !matches!(self, Self::Quic | Self::Unix)
    }

    /// Whether it is HTTP at first.
    pub(crate) fn is_websocket(self) -> bool {
        matches!(self, Self::WebSocket | Self::SecureWebSocket)
    }

    fn named(name: &str) -> Result<(Self, u16), UrlError> {
        let found = Self::ALL.into_iter().find(|(known, ..)| name.eq_ignore_ascii_case(known));
        let (scheme, kind, port) = found.ok_or(UrlError::UnknownScheme)?;
        let (there, feature) = match kind {
            Self::Tcp => (true, ""),
            Self::Tls => (cfg!(feature = "tls"), "ring"),
            Self::WebSocket => (cfg!(feature = "ws"), "ws"),
            Self::SecureWebSocket => (cfg!(all(feature = "ws", feature = "tls")), "ws and ring"),
            Self::Quic => (cfg!(feature = "quic"), "quic"),
            Self::Unix => (cfg!(unix), "none: this system has no Unix sockets"),
        };
        if there { Ok((kind, port)) } else { Err(UrlError::NotBuiltIn { scheme, feature }) }
    }

    fn default_port(self) -> u16 {
        Self::ALL.into_iter().find(|(_, kind, _)| *kind == self).map_or(0, |(_, _, port)| port)
    }
}

impl Address {
    /// Reads `SCHEME://[USER[:PASSWORD]@]HOST[:PORT]`; user and password may be percent-encoded. A WebSocket may have a
    /// path and a query, and gets `/mqtt` without a path. A Unix socket has a path alone.
    pub(crate) fn parse(url: &str) -> Result<Self, UrlError> {
        let (scheme, rest) = url.split_once("://").ok_or(UrlError::NoScheme)?;
        let (scheme, srv) = without_srv(scheme)?;
        let (scheme, default_port) = Scheme::named(scheme)?;
        let (authority, path) = rest.split_at(rest.find(['/', '?', '#']).unwrap_or(rest.len()));
        if scheme == Scheme::Unix {
            return Self::unix(authority, path);
        }
        let Authority { username, password, host, port } = Authority::parse(authority)?;
        if srv && port.is_some() {
            return Err(UrlError::SrvPort);
        }
        let path = match path {
            "" if scheme.is_websocket() => "/mqtt".to_owned(),
            path if scheme.is_websocket() && !path.contains('#') => path.to_owned(),
            "" | "/" => String::new(),
            _ => return Err(UrlError::Path),
        };
        Ok(Self {
            scheme,
            host: host.to_owned(),
            port: port.unwrap_or(default_port),
            srv,
            path,
            username,
            password,
        })
    }

    fn unix(authority: &str, path: &str) -> Result<Self, UrlError> {
        if !authority.is_empty() || path.len() < 2 || path.contains(['?', '#']) {
            return Err(UrlError::Socket);
        }
        let path = String::from_utf8(decode_percent(path)?).map_err(|_| UrlError::Percent)?;
        let scheme = Scheme::Unix;
        Ok(Self { scheme, host: String::new(), port: 0, srv: false, path, username: None, password: None })
    }

    /// The same at another `HOST[:PORT]`, section 4.11. Without a port it is that of the scheme.
    pub(crate) fn elsewhere(&self, server: &str) -> Result<Self, UrlError> {
        if server.contains(['/', '?', '#', '@']) || self.scheme == Scheme::Unix {
            return Err(UrlError::Host);
        }
        let (host, port) = split_port(server)?;
        let port = port.unwrap_or_else(|| self.scheme.default_port());
        Ok(Self { host: host.to_owned(), port, srv: false, ..self.clone() })
    }

    /// What a WebSocket asks for, without user and password.
    #[cfg(feature = "ws")]
    pub(crate) fn websocket_url(&self) -> String {
        let scheme = if self.scheme.is_secure() { "wss" } else { "ws" };
        let (open, close) = if self.host.contains(':') { ("[", "]") } else { ("", "") };
        let Self { host, port, path, .. } = self;
        format!("{scheme}://{open}{host}{close}:{port}{path}")
    }
}

/// A scheme without its `+srv`, and whether it had one.
fn without_srv(scheme: &str) -> Result<(&str, bool), UrlError> {
    match scheme.split_once('+') {
        None => Ok((scheme, false)),
        Some((direct, suffix)) => {
            let known = ["mqtt", "mqtts"].iter().any(|known| direct.eq_ignore_ascii_case(known));
            if !known || !suffix.eq_ignore_ascii_case("srv") {
                return Err(UrlError::UnknownScheme);
            }
            if cfg!(feature = "srv") {
                Ok((direct, true))
            } else {
                Err(UrlError::NotBuiltIn { scheme: "mqtt+srv", feature: "srv" })
            }
        }
    }
}

/// `[USER[:PASSWORD]@]HOST[:PORT]`
pub(crate) struct Authority<'a> {
    pub(crate) username: Option<String>,
    pub(crate) password: Option<Vec<u8>>,
    pub(crate) host: &'a str,
    pub(crate) port: Option<u16>,
}

impl<'a> Authority<'a> {
    pub(crate) fn parse(authority: &'a str) -> Result<Self, UrlError> {
        let (user, server) = match authority.rsplit_once('@') {
            Some((user, server)) => (user, server),
            None => ("", authority),
        };
        let (username, password) = match user.split_once(':') {
            Some((username, password)) => (username, Some(decode_percent(password)?)),
            None => (user, None),
        };
        let username = String::from_utf8(decode_percent(username)?).map_err(|_| UrlError::Percent)?;
        let (host, port) = split_port(server)?;
        Ok(Self { username: Some(username).filter(|username| !username.is_empty()), password, host, port })
    }
}

/// `HOST`, `HOST:PORT`, `[IPV6]` or `[IPV6]:PORT`.
fn split_port(server: &str) -> Result<(&str, Option<u16>), UrlError> {
    let (host, port) = match server.strip_prefix('[') {
        Some(rest) => {
            let (host, port) = rest.split_once(']').ok_or(UrlError::Host)?;
            match port {
                "" => (host, None),
                port => (host, Some(port.strip_prefix(':').ok_or(UrlError::Port)?)),
            }
        }
        None => match server.split_once(':') {
            Some((_, port)) if port.contains(':') => return Err(UrlError::Host),
            Some((host, port)) => (host, Some(port)),
            None => (server, None),
        },
    };
    if host.is_empty() {
        return Err(UrlError::NoHost);
    }
    if host.chars().any(|c| c.is_whitespace() || c.is_control() || "<>\"\\^`{|}%[]".contains(c)) {
        return Err(UrlError::Host);
    }
    Ok((host, port.map(parse_port).transpose()?))
}

fn parse_port(port: &str) -> Result<u16, UrlError> {
    let digits = port.bytes().all(|byte| byte.is_ascii_digit());
    match port.parse() {
        Ok(number) if digits && number != 0 => Ok(number),
        _ => Err(UrlError::Port),
    }
}

fn decode_percent(text: &str) -> Result<Vec<u8>, UrlError> {
    let mut bytes = text.bytes();
    let mut decoded = Vec::with_capacity(text.len());
    while let Some(byte) = bytes.next() {
        decoded.push(match byte {
            b'%' => match (bytes.next().and_then(hex_digit), bytes.next().and_then(hex_digit)) {
                (Some(high), Some(low)) => high << 4 | low,
                _ => return Err(UrlError::Percent),
            },
            byte => byte,
        });
    }
    Ok(decoded)
}

fn hex_digit(byte: u8) -> Option<u8> {
    char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(url: &str) -> (String, u16, Option<String>, Option<Vec<u8>>) {
        let Address { host, port, username, password, .. } = Address::parse(url).unwrap();
        (host, port, username, password)
    }

    fn error(url: &str) -> UrlError {
        Address::parse(url).err().unwrap()
    }

    #[test]
    fn host_and_port() {
        for (url, host, port) in [
            ("mqtt://broker.example", "broker.example", 1883),
            ("MQTT://broker.example/", "broker.example", 1883),
            ("tcp://10.0.0.7:2883", "10.0.0.7", 2883),
            ("mqtt://[::1]", "::1", 1883),
            ("mqtt://[fe80::1]:65535", "fe80::1", 65535),
            #[cfg(feature = "tls")]
            ("mqtts://host", "host", 8883),
            #[cfg(feature = "tls")]
            ("SSL://host:1", "host", 1),
            #[cfg(feature = "tls")]
            ("tls://host", "host", 8883),
            #[cfg(feature = "quic")]
            ("quic://host", "host", 14567),
        ] {
            assert_eq!(parsed(url), (host.into(), port, None, None), "{url}");
        }
    }

    #[test]
    fn credentials() {
        let (host, port, username, password) = parsed("mqtt://an%40na:p%3aw:%00%ff@host:1");
        assert_eq!((host.as_str(), port), ("host", 1));
        assert_eq!(username.as_deref(), Some("an@na"));
        assert_eq!(password.as_deref(), Some(&b"p:w:\0\xFF"[..]));

        assert_eq!(parsed("mqtt://anna@host").2.as_deref(), Some("anna"));
        assert_eq!(parsed("mqtt://:token@host").2, None);
        assert_eq!(parsed("mqtt://:token@host").3.as_deref(), Some(&b"token"[..]));
        assert_eq!(parsed("mqtt://anna:@host").3.as_deref(), Some(&b""[..]));
        assert_eq!(parsed("mqtt://a@b@host").2.as_deref(), Some("a@b"));
    }

    #[test]
    fn elsewhere_is_the_same_but_for_host_and_port() {
        let here = Address::parse("mqtt://anna:secret@here:2883").unwrap();
        for (server, host, port) in [
            ("there", "there", 1883),
            ("there:99", "there", 99),
            ("[::1]", "::1", 1883),
            ("[::1]:99", "::1", 99),
        ] {
            let there = here.elsewhere(server).unwrap();
            assert_eq!((there.host.as_str(), there.port), (host, port));
            assert_eq!(
                (there.username.as_deref(), there.password.as_deref()),
                (Some("anna"), Some(&b"secret"[..]))
            );
        }
        for server in ["", "a/b", "mqtt://there", "::1", "there:x"] {
            assert!(here.elsewhere(server).is_err(), "{server}");
        }
    }

    #[test]
    fn wrong_urls_say_what_to_change() {
        for (url, expected) in [
            ("", UrlError::NoScheme),
            ("localhost", UrlError::NoScheme),
            ("localhost:1883", UrlError::NoScheme),
            ("http://host", UrlError::UnknownScheme),
            ("://host", UrlError::UnknownScheme),
            ("mqtt://", UrlError::NoHost),
            ("mqtt://:1883", UrlError::NoHost),
            ("mqtt://user@", UrlError::NoHost),
            ("mqtt://[]", UrlError::NoHost),
            ("mqtt://::1", UrlError::Host),
            ("mqtt://[::1", UrlError::Host),
            ("mqtt://a b", UrlError::Host),
            ("mqtt://host:", UrlError::Port),
            ("mqtt://host:0", UrlError::Port),
            ("mqtt://host:+1", UrlError::Port),
            ("mqtt://host:65536", UrlError::Port),
            ("mqtt://[::1]1883", UrlError::Port),
            ("mqtt://host/topic", UrlError::Path),
            ("mqtt://host?client=x", UrlError::Path),
            ("mqtt://host#x", UrlError::Path),
            ("mqtt://us%er@host", UrlError::Percent),
            ("mqtt://%ff@host", UrlError::Percent),
            ("mqtt://user:%e@host", UrlError::Percent),
        ] {
            assert_eq!(error(url), expected, "{url}");
        }
    }

    #[cfg(all(feature = "srv", feature = "tls"))]
    #[test]
    fn a_domain_has_its_servers() {
        for (url, scheme) in
            [("mqtt+srv://example.org", Scheme::Tcp), ("MQTTS+SRV://a@example.org/", Scheme::Tls)]
        {
            let address = Address::parse(url).unwrap();
            assert_eq!((address.scheme, address.srv, address.host.as_str()), (scheme, true, "example.org"));
            let there = address.elsewhere("there").unwrap();
            assert_eq!((there.srv, there.port), (false, if scheme == Scheme::Tls { 8883 } else { 1883 }));
        }
        assert_eq!(error("mqtt+srv://example.org:1883"), UrlError::SrvPort);
        assert_eq!(error("ws+srv://example.org"), UrlError::UnknownScheme);
        assert_eq!(error("mqtt+srw://example.org"), UrlError::UnknownScheme);
    }

    #[cfg(feature = "ws")]
    #[test]
    fn a_websocket_keeps_path_and_query() {
        for (url, asked) in [
            ("ws://host", "ws://host:80/mqtt"),
            ("ws://host/", "ws://host:80/"),
            ("ws://anna:key@[::1]:8080/a/b?c=d", "ws://[::1]:8080/a/b?c=d"),
            ("ws://host?c=d", "ws://host:80?c=d"),
        ] {
            assert_eq!(Address::parse(url).unwrap().websocket_url(), asked, "{url}");
        }
        #[cfg(feature = "tls")]
        assert_eq!(Address::parse("wss://host/ws").unwrap().websocket_url(), "wss://host:443/ws");
        assert_eq!(error("ws://host/mqtt#x"), UrlError::Path);
    }

    #[cfg(unix)]
    #[test]
    fn a_unix_socket_is_a_path() {
        assert_eq!(Address::parse("unix:///run/mqtt%20x.sock").unwrap().path, "/run/mqtt x.sock");
        for url in ["unix://", "unix:///", "unix://host/run/x", "unix:///x?y"] {
            assert_eq!(error(url), UrlError::Socket, "{url}");
        }
    }

    #[test]
    fn what_is_not_built_in_names_its_feature() {
        for (url, there, feature) in [
            ("mqtts://host", cfg!(feature = "tls"), "ring"),
            ("ws://host", cfg!(feature = "ws"), "ws"),
            ("WSS://host/mqtt", cfg!(all(feature = "ws", feature = "tls")), "ws and ring"),
            ("quic://host", cfg!(feature = "quic"), "quic"),
            ("mqtt+srv://host", cfg!(feature = "srv"), "srv"),
        ] {
            match Address::parse(url) {
                Ok(_) => assert!(there, "{url}"),
                Err(UrlError::NotBuiltIn { feature: named, .. }) => {
                    assert!(!there && named == feature, "{url}")
                }
                Err(other) => panic!("{url}: {other}"),
            }
        }
    }
}
