//! Where the server is, and by which transport: `-h`, `-p`, `-L`, `--unix`, `--ws` and the flags of TLS.

use core::net::Ipv6Addr;
use std::path::{self, Path};

use crate::args::ConnectionArgs;
use crate::failure::Failure;

/// What `-h`, `-p` and `-L` come to.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Server {
    /// The flag that it was given by.
    pub(crate) flag: &'static str,
    /// `SCHEME://[USER[:PASSWORD]@]HOST[:PORT]` and the path of a socket, for the client to read.
    pub(crate) url: String,
    /// What follows in the URL, taken literally as `mosquitto_pub` does: a topic may hold `#`.
    pub(crate) topic: Option<String>,
}

impl Server {
    pub(crate) fn read(args: &ConnectionArgs) -> Result<Self, Failure> {
        let layers = Layers { tls: args.transport.tls(), websocket: args.transport.ws };
        if let Some(path) = &args.transport.unix {
            return from_path(path, layers);
        }
        let (flag, typed) = match &args.url {
            Some(url) => ("-L", url),
            None => ("-h", &args.host),
        };
        match typed.split_once("://") {
            Some((scheme, rest)) => from_url(flag, scheme, rest, args.port, layers),
            None if flag == "-L" => Err(Failure::wrong(format!(
                "-L {typed}: expected mqtt://[USER[:PASSWORD]@]HOST[:PORT][/TOPIC]"
            ))),
            None => from_host(typed, args.port, layers),
        }
    }

    /// The server without the credentials, for people to read.
    pub(crate) fn name(&self) -> &str {
        let rest = self.rest();
        let end = rest.find(['/', '?']).unwrap_or(rest.len());
        let start = rest.get(..end).and_then(|authority| authority.rfind('@')).map_or(0, |at| at + 1);
        rest.get(start..).unwrap_or(rest)
    }

    /// Whether the URL brings a user name.
    pub(crate) fn has_user(&self) -> bool {
        self.name() != self.rest()
    }

    fn rest(&self) -> &str {
        self.url.split_once("://").map_or(self.url.as_str(), |(_, rest)| rest)
    }
}

/// What lies between MQTT and TCP.
#[derive(Clone, Copy)]
struct Layers {
    tls: bool,
    websocket: bool,
}

impl Layers {
    /// Those of a scheme; `None` for one that is not made of them.
    fn of(scheme: &str) -> Option<Self> {
        let (tls, websocket) = match scheme.to_ascii_lowercase().as_str() {
            "mqtt" | "tcp" => (false, false),
            "mqtts" | "ssl" | "tls" => (true, false),
            "ws" => (false, true),
            "wss" => (true, true),
            _ => return None,
        };
        Some(Self { tls, websocket })
    }

    fn scheme_and_port(self) -> (&'static str, u16) {
        match (self.tls, self.websocket) {
            (false, false) => ("mqtt", 1883),
            (true, false) => ("mqtts", 8883),
            (false, true) => ("ws", 80),
            (true, true) => ("wss", 443),
        }
    }
}

fn from_path(path: &Path, layers: Layers) -> Result<Server, Failure> {
    if layers.tls {
        return Err(Failure::wrong("--unix knows no TLS: leave out its flags"));
    }
    let absolute = path::absolute(path).map_err(|error| Failure::wrong(format!("--unix: {error}")))?;
    let Some(path) = absolute.to_str() else {
        return Err(Failure::wrong("--unix: the path is not UTF-8"));
    };
    let mut url = String::from("unix://");
    for letter in path.chars() {
        match letter {
            '%' | '?' | '#' => url.push_str(&format!("%{:02X}", u32::from(letter))),
            letter => url.push(letter),
        }
    }
    Ok(Server { flag: "--unix", url, topic: None })
}

fn from_host(host: &str, port: Option<u16>, layers: Layers) -> Result<Server, Failure> {
    let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
    let host = match bare.parse::<Ipv6Addr>() {
        Ok(address) => format!("[{address}]"),
        Err(_) if bare.contains(':') => {
            return Err(Failure::wrong(format!(
                "-h {host}: expected a name or an address; the port goes to -p"
            )));
        }
        Err(_) if bare.is_empty() || bare.contains(['/', '@', '?', '#', '%', ' ', '[', ']']) => {
            return Err(Failure::wrong(format!("-h '{host}': expected the name or the address of a server")));
        }
        Err(_) => bare.to_owned(),
    };
    let (scheme, default_port) = layers.scheme_and_port();
    let port = port.unwrap_or(default_port);
    Ok(Server { flag: "-h", url: format!("{scheme}://{host}:{port}"), topic: None })
}

/// The client judges scheme and authority; told apart here are a port of `-p`, further layers, and what follows: a topic,
/// but the path of a WebSocket or a Unix socket.
fn from_url(
    flag: &'static str,
    scheme: &str,
    rest: &str,
    port: Option<u16>,
    layers: Layers,
) -> Result<Server, Failure> {
    let named = Layers::of(scheme);
    if named.is_none() && layers.websocket {
        return Err(Failure::wrong(format!("--ws does not go with {scheme}://")));
    }
    let has_path = named.is_some_and(|layers| layers.websocket) || scheme.eq_ignore_ascii_case("unix");
    let (authority, behind) = rest.split_at(rest.find(['/', '?']).unwrap_or(rest.len()));
    let host = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
    let has_port = host.rsplit_once(':').is_some_and(|(_, port)| !port.contains(']'));
    let port = match port {
        Some(port) if has_port => {
            return Err(Failure::wrong(format!("the URL of {flag} has a port already; leave out -p {port}")));
        }
        Some(port) => format!(":{port}"),
        None => String::new(),
    };
    let scheme = match named {
        Some(named) => {
            let all = Layers { tls: named.tls || layers.tls, websocket: named.websocket || layers.websocket };
            all.scheme_and_port().0
        }
        None => scheme,
    };
    let (path, topic) =
        if has_path { (behind, "") } else { ("", behind.strip_prefix('/').unwrap_or(behind)) };
    let topic = Some(topic.to_owned()).filter(|topic| !topic.is_empty());
    Ok(Server { flag, url: format!("{scheme}://{authority}{port}{path}"), topic })
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::args::{Cli, Command};

    fn read(typed: &[&str]) -> Result<Server, Failure> {
        let words = ["mqtt", "sub", "-t", "x"].iter().chain(typed);
        let Command::Sub(args) = Cli::try_parse_from(words).unwrap().command else { panic!("not sub") };
        Server::read(&args.connection)
    }

    fn url(typed: &[&str]) -> String {
        read(typed).map(|server| server.url).unwrap()
    }

    #[test]
    fn host_and_port() {
        assert_eq!(url(&[]), "mqtt://localhost:1883");
        assert_eq!(url(&["-h", "broker", "-p", "1884"]), "mqtt://broker:1884");
        assert_eq!(url(&["-h", "::1"]), "mqtt://[::1]:1883");
        assert_eq!(url(&["-h", "[::1]"]), "mqtt://[::1]:1883");
    }

    #[test]
    fn a_url_brings_credentials_and_a_topic() {
        let server = read(&["-L", "mqtt://me:pw@broker:1884/home/+/#"]).unwrap();
        assert_eq!(server.url, "mqtt://me:pw@broker:1884");
        assert_eq!(server.topic.as_deref(), Some("home/+/#"));
        assert_eq!(server.name(), "broker:1884");
        assert!(server.has_user());
    }

    #[test]
    fn a_url_may_stand_for_the_host_and_leave_the_port_to_the_flag() {
        assert_eq!(url(&["-h", "mqtt://broker"]), "mqtt://broker");
        assert_eq!(url(&["-h", "mqtt://broker/", "-p", "1884"]), "mqtt://broker:1884");
        assert_eq!(url(&["-L", "mqtt://[::1]", "-p", "1884"]), "mqtt://[::1]:1884");
        assert!(read(&["-h", "mqtt://broker:1884", "-p", "1885"]).is_err());
    }

    #[test]
    fn flags_choose_the_transport_and_its_port() {
        for (typed, expected) in [
            (&["--cafile", "ca.pem"][..], "mqtts://localhost:8883"),
            (&["--insecure", "-p", "1884"], "mqtts://localhost:1884"),
            (&["--tls-use-os-certs", "-L", "mqtt://host/topic"], "mqtts://host"),
            (&["--ws"], "ws://localhost:80"),
            (&["--ws", "--tls-alpn", "mqtt", "-h", "host"], "wss://host:443"),
            (&["--ws", "-L", "mqtts://host:9/topic"], "wss://host:9"),
            (&["-L", "ws://me:pw@host/a/b?c=d/e@f", "-p", "9"], "ws://me:pw@host:9/a/b?c=d/e@f"),
            (&["-h", "QUIC://host"], "QUIC://host"),
            (&["-L", "unix:///run/mqtt.sock"], "unix:///run/mqtt.sock"),
            (&["--unix", "/run/a b%1.sock"], "unix:///run/a b%251.sock"),
        ] {
            assert_eq!(url(typed), expected, "{typed:?}");
        }
        for typed in [&["--ws", "-L", "quic://host"][..], &["--unix", "/x", "--insecure"]] {
            assert!(read(typed).is_err(), "{typed:?}");
        }
    }

    #[test]
    fn the_name_has_no_credentials() {
        let name = |url: &str| {
            read(&["-L", url]).map(|server| (server.name().to_owned(), server.has_user())).unwrap()
        };
        assert_eq!(name("ws://me:pw@host/a@b"), ("host/a@b".to_owned(), true));
        assert_eq!(name("unix:///run/a@b"), ("/run/a@b".to_owned(), false));
    }

    #[test]
    fn what_is_no_server_is_refused() {
        for typed in [["-h", "broker:1884"], ["-h", ""], ["-h", "a b"], ["-h", "me@broker"], ["-L", "broker"]]
        {
            assert!(read(&typed).is_err(), "{typed:?}");
        }
    }
}
