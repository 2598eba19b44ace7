//! Where the server is: `-h`, `-p` and `-L`.

use core::net::Ipv6Addr;

use crate::args::ConnectionArgs;
use crate::failure::Failure;

/// The port when none is given.
const PORT: u16 = 1883;

/// What `-h`, `-p` and `-L` come to.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Server {
    /// The flag that it was given by.
    pub(crate) flag: &'static str,
    /// `SCHEME://[USER[:PASSWORD]@]HOST[:PORT]`, for the client to read.
    pub(crate) url: String,
    /// What follows in the URL, taken literally as `mosquitto_pub` does: a topic may hold `#`.
    pub(crate) topic: Option<String>,
}

impl Server {
    pub(crate) fn read(args: &ConnectionArgs) -> Result<Self, Failure> {
        let (flag, typed) = match &args.url {
            Some(url) => ("-L", url),
            None => ("-h", &args.host),
        };
        match typed.split_once("://") {
            Some((scheme, rest)) => from_url(flag, scheme, rest, args.port),
            None if flag == "-L" => Err(Failure::wrong(format!(
                "-L {typed}: expected mqtt://[USER[:PASSWORD]@]HOST[:PORT][/TOPIC]"
            ))),
            None => from_host(typed, args.port.unwrap_or(PORT)),
        }
    }

    /// The server without the credentials, for people to read.
    pub(crate) fn name(&self) -> &str {
        let authority = self.url.split_once("://").map_or(self.url.as_str(), |(_, authority)| authority);
        authority.rsplit_once('@').map_or(authority, |(_, host)| host)
    }

    /// Whether the URL brings a user name.
    pub(crate) fn has_user(&self) -> bool {
        self.url.contains('@')
    }
}

fn from_host(host: &str, port: u16) -> Result<Server, Failure> {
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
    Ok(Server { flag: "-h", url: format!("mqtt://{host}:{port}"), topic: None })
}

/// The client judges scheme and authority; only the topic and a port of `-p` are told apart here.
fn from_url(flag: &'static str, scheme: &str, rest: &str, port: Option<u16>) -> Result<Server, Failure> {
    let (authority, topic) = rest.split_once('/').unwrap_or((rest, ""));
    let host = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
    let has_port = host.rsplit_once(':').is_some_and(|(_, port)| !port.contains(']'));
    let port = match port {
        Some(port) if has_port => {
            return Err(Failure::wrong(format!("the URL of {flag} has a port already; leave out -p {port}")));
        }
        Some(port) => format!(":{port}"),
        None => String::new(),
    };
    let topic = Some(topic.to_owned()).filter(|topic| !topic.is_empty());
    Ok(Server { flag, url: format!("{scheme}://{authority}{port}"), topic })
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
    fn what_is_no_server_is_refused() {
        for typed in [["-h", "broker:1884"], ["-h", ""], ["-h", "a b"], ["-h", "me@broker"], ["-L", "broker"]]
        {
            assert!(read(&typed).is_err(), "{typed:?}");
        }
    }
}
