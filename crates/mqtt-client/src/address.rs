//! From a URL to a connector: the one place that knows which transports are built in.

use crate::error::UrlError;
use mqtt_transport::{Connect, Tcp};
use std::sync::Arc;

/// What a URL says.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Address {
    host: String,
    port: u16,
    /// That of the scheme.
    default_port: u16,
    pub(crate) username: Option<String>,
    pub(crate) password: Option<Vec<u8>>,
}

impl Address {
    /// Reads `mqtt://[USER[:PASSWORD]@]HOST[:PORT]`; user and password may be percent-encoded.
    pub(crate) fn parse(url: &str) -> Result<Self, UrlError> {
        let (scheme, rest) = url.split_once("://").ok_or(UrlError::NoScheme)?;
        let default_port = default_port(scheme)?;
        let (authority, path) = rest.split_at(rest.find(['/', '?', '#']).unwrap_or(rest.len()));
        if !matches!(path, "" | "/") {
            return Err(UrlError::Path);
        }
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
        Ok(Self {
            host: host.to_owned(),
            port: port.unwrap_or(default_port),
            default_port,
            username: Some(username).filter(|username| !username.is_empty()),
            password,
        })
    }

    /// The same at another `HOST[:PORT]`, section 4.11. Without a port it is that of the scheme.
    pub(crate) fn elsewhere(&self, server: &str) -> Result<Self, UrlError> {
        if server.contains(['/', '?', '#', '@']) {
            return Err(UrlError::Host);
        }
        let (host, port) = split_port(server)?;
        Ok(Self { host: host.to_owned(), port: port.unwrap_or(self.default_port), ..self.clone() })
    }

    pub(crate) fn connector(&self) -> Arc<dyn Connect> {
        Arc::new(Tcp::new(self.host.as_str(), self.port))
    }
}

fn default_port(scheme: &str) -> Result<u16, UrlError> {
    const KNOWN: [&str; 7] = ["mqtts", "ssl", "tls", "ws", "wss", "quic", "unix"];
    if ["mqtt", "tcp"].iter().any(|own| scheme.eq_ignore_ascii_case(own)) {
        return Ok(1883);
    }
    match KNOWN.into_iter().find(|known| scheme.eq_ignore_ascii_case(known)) {
        Some(scheme) => Err(UrlError::NotBuiltIn { scheme }),
        None => Err(UrlError::UnknownScheme),
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
            ("mqtts://host", UrlError::NotBuiltIn { scheme: "mqtts" }),
            ("WSS://host/mqtt", UrlError::NotBuiltIn { scheme: "wss" }),
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
}
