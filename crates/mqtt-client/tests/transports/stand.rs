//! A server that is reached by one transport, and how a client reaches it.

use crate::certificates::Certificates;
use crate::common::server::client;
use crate::gates::{self, Layers};
use mqtt_client::{ConnectBuilder, Protocol};
use mqtt_testkit::broker::{Broker, Restart};
use mqtt_testkit::mosquitto::Mosquitto;
use mqtt_testkit::port::PortHold;
use mqtt_testkit::proxy::Proxy;
use quinn::Endpoint;
use std::sync::Arc;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Kind {
    Tls,
    /// TLS with a client certificate.
    Device,
    /// TLS, with user name and password in it.
    Password,
    WebSocket,
    SecureWebSocket,
    Unix,
    Quic,
}

impl Kind {
    fn layers(self) -> Layers {
        Layers {
            tls: !matches!(self, Self::WebSocket | Self::Unix),
            device: self == Self::Device,
            websocket: matches!(self, Self::WebSocket | Self::SecureWebSocket),
        }
    }

    fn scheme(self) -> &'static str {
        match self {
            Self::Tls | Self::Device | Self::Password => "mqtts",
            Self::WebSocket => "ws",
            Self::SecureWebSocket => "wss",
            Self::Unix => "unix",
            Self::Quic => "quic",
        }
    }

    /// The largest payload that is worth trying. mosquitto's WebSockets take 4 KiB in 100 ms.
    pub(crate) fn limit(self, server: &Server) -> usize {
        let slow = matches!(server, Server::Mosquitto { .. }) && self.layers().websocket;
        if slow { 2 * 1024 } else { 256 * 1024 }
    }
}

pub(crate) enum Server {
    /// Debian's mosquitto, whose TCP ports lie behind a proxy that can cut.
    Mosquitto { broker: Mosquitto, proxy: Option<Proxy>, _port: PortHold },
    /// The testkit's broker, behind the gates of other libraries.
    Testkit { broker: Arc<Broker>, endpoint: Option<Endpoint> },
}

pub(crate) struct Stand {
    pub(crate) kind: Kind,
    pub(crate) server: Server,
    pub(crate) certificates: Arc<Certificates>,
    url: String,
}

impl Stand {
    pub(crate) async fn mosquitto(kind: Kind) -> Self {
        Self::mosquitto_with(kind, Certificates::new()).await
    }

    pub(crate) async fn mosquitto_with(kind: Kind, certificates: Certificates) -> Self {
        let port = PortHold::new().unwrap();
        let file = |name: &str| certificates.file(name).display().to_string();
        let socket = certificates.file("mqtt.sock");
        let mut builder = Mosquitto::builder()
            .persistence(true)
            // Nothing may be dropped by the server's own limits.
            .config("max_queued_messages 0")
            .config("max_inflight_messages 1000");
        let mut lines = match kind {
            Kind::Unix => vec![format!("listener 0 {}", socket.display())],
            _ => vec![format!("listener {} 127.0.0.1", port.port())],
        };
        if kind.layers().websocket {
            lines.push("protocol websockets".into());
        }
        if kind.layers().tls {
            lines.push(format!("certfile {}", file("server.pem")));
            lines.push(format!("keyfile {}", file("server.key")));
        }
        if kind.layers().device {
            lines.push(format!("cafile {}", file("ca.pem")));
            lines.push("require_certificate true\nuse_identity_as_username true".into());
        }
        if kind == Kind::Password {
            let made = std::process::Command::new("mosquitto_passwd")
                .args(["-c", "-b", &file("passwords"), "anna", "s3cret"])
                .output();
            assert!(made.unwrap().status.success());
            lines.push(format!("allow_anonymous false\npassword_file {}", file("passwords")));
        } else {
            lines.push("allow_anonymous true".into());
        }
        for line in &lines {
            builder = builder.listener_config(line);
        }
        let broker = builder.start();
        let (proxy, url) = match kind {
            Kind::Unix => (None, format!("unix://{}", socket.display())),
            _ => {
                let proxy = Proxy::start(port.addr()).await.unwrap();
                let url = format!("{}://{}", kind.scheme(), proxy.addr());
                (Some(proxy), url)
            }
        };
        let server = Server::Mosquitto { broker, proxy, _port: port };
        Self { kind, server, certificates: certificates.into(), url }
    }

    pub(crate) async fn testkit(kind: Kind) -> Self {
        Self::testkit_with(kind, Certificates::new()).await
    }

    pub(crate) async fn testkit_with(kind: Kind, certificates: Certificates) -> Self {
        let mut builder = Broker::builder().without_record();
        if kind == Kind::Password {
            builder = builder.user("anna", "s3cret");
        }
        let broker = Arc::new(builder.start().await.unwrap());
        let certificates = Arc::new(certificates);
        let (mut endpoint, scheme) = (None, kind.scheme());
        let url = match kind {
            Kind::Unix => {
                let socket = certificates.file("mqtt.sock");
                gates::unix(broker.clone(), &socket);
                format!("unix://{}", socket.display())
            }
            Kind::Quic => {
                let opened = gates::quic(broker.clone(), &certificates);
                let addr = opened.local_addr().unwrap();
                endpoint = Some(opened);
                format!("quic://{addr}")
            }
            _ => {
                let port = gates::tcp(broker.clone(), certificates.clone(), kind.layers()).await;
                format!("{scheme}://127.0.0.1:{port}")
            }
        };
        Self { kind, server: Server::Testkit { broker, endpoint }, certificates, url }
    }

    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    /// The same server by plain TCP.
    pub(crate) fn plain_url(&self) -> String {
        match &self.server {
            Server::Mosquitto { broker, .. } => broker.url(),
            Server::Testkit { broker, .. } => broker.url(),
        }
    }

    /// A client that comes by the transport.
    pub(crate) fn client(&self, id: &str, protocol: Protocol) -> ConnectBuilder {
        let builder = client(&self.url, id, protocol);
        match self.kind {
            Kind::WebSocket | Kind::Unix => builder,
            Kind::Device => builder.tls(self.certificates.as_device()),
            Kind::Password => builder.tls(self.certificates.trusting()).credentials("anna", "s3cret"),
            _ => builder.tls(self.certificates.trusting()),
        }
    }

    /// A client that comes by plain TCP, to see what the others do.
    pub(crate) fn observer(&self) -> ConnectBuilder {
        let builder = client(&self.plain_url(), "observer", Protocol::V5);
        let wants_password = matches!(&self.server, Server::Testkit { .. }) && self.kind == Kind::Password;
        if wants_password { builder.credentials("anna", "s3cret") } else { builder }
    }

    /// Cuts every connection without a word. A Unix socket of mosquitto has no cable: there the server restarts.
    pub(crate) async fn cut(&mut self) {
        match &self.server {
            Server::Mosquitto { proxy: Some(proxy), .. } => proxy.cut(),
            Server::Mosquitto { proxy: None, .. } => self.restart().await,
            Server::Testkit { broker, .. } => broker.cut_all(),
        }
    }

    /// Ends the server and starts it again, with its sessions and with the certificates as the files are now.
    pub(crate) async fn restart(&mut self) {
        match &mut self.server {
            Server::Mosquitto { broker, .. } => {
                broker.stop();
                broker.restart();
            }
            Server::Testkit { broker, endpoint } => {
                broker.kill().await;
                if let Some(endpoint) = endpoint {
                    endpoint.set_server_config(Some(gates::shown(&self.certificates)));
                }
                broker.restart(Restart::Keep).await.unwrap();
            }
        }
    }
}
