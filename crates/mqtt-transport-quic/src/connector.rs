//! The connector: from a name to a stream of a QUIC connection.

use crate::error::explain_handshake;
use crate::stream::QuicStream;
use core::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use core::time::Duration;
use mqtt_transport::{BoxFuture, BoxTransport, Connect, happy_eyeballs};
use mqtt_transport_tls::{TlsConfigs, TlsOptions};
use quinn::crypto::rustls::QuicClientConfig;
use quinn::{ClientConfig, ConnectError, Connection, Endpoint, TransportConfig};
use std::io;
use std::sync::Arc;
use tokio::net::lookup_host;

/// What MQTT calls itself.
const PROTOCOL: &[u8] = b"mqtt";

/// Connects by QUIC to a host and port. Addresses are tried as [`happy_eyeballs`] does.
#[derive(Debug)]
pub struct Quic {
    host: String,
    port: u16,
    server_name: String,
    configs: TlsConfigs,
    keep_alive: Option<Duration>,
    idle_timeout: Option<Duration>,
    zero_rtt: bool,
}

impl Quic {
    /// A connector to `host`, a name or an address (IPv6 without brackets), at `port`, which is often 14567. Unless the
    /// options name protocols, `mqtt` is offered by ALPN.
    pub fn new(host: impl Into<String>, port: u16, tls: TlsOptions) -> Self {
        let host = host.into();
        let server_name = tls.name_for(&host).to_owned();
        let tls = if tls.offers_protocols() { tls } else { tls.alpn([PROTOCOL]) };
        Self {
            host,
            port,
            server_name,
            configs: TlsConfigs::new(tls),
            keep_alive: None,
            idle_timeout: None,
            zero_rtt: false,
        }
    }

    /// Sends something of QUIC's own after so long a silence. Off if it is not set: MQTT has its keep alive.
    #[must_use]
    pub fn keep_alive(mut self, interval: Duration) -> Self {
        self.keep_alive = Some(interval);
        self
    }

    /// How long the connection stands when nothing is heard of the server, 30 s if it is not set. MQTT's keep alive has to be
    /// shorter, or [`keep_alive`](Self::keep_alive) set.
    #[must_use]
    pub fn idle_timeout(mut self, timeout: Duration) -> Self {
        self.idle_timeout = Some(timeout);
        self
    }

    /// Sends the first bytes with the handshake where an earlier connection allows it. It saves a round trip, and whoever
    /// records these bytes can send them again: CONNECT, with its password, and whatever comes right behind it. Off if it
    /// is not set.
    #[must_use]
    pub fn zero_rtt(mut self, on: bool) -> Self {
        self.zero_rtt = on;
        self
    }

    async fn open(&self) -> io::Result<BoxTransport> {
        let config = self.config().await?;
        let found = lookup_host((self.host.as_str(), self.port)).await.map_err(|error| {
            io::Error::new(error.kind(), format!("cannot resolve {}: {error}", self.host))
        })?;
        let opened = happy_eyeballs(found.collect(), |address| {
            connect(address, config.clone(), self.server_name.clone(), self.zero_rtt)
        });
        let none = || io::Error::new(io::ErrorKind::NotFound, format!("{} has no address", self.host));
        let (endpoint, connection) = opened.await.ok_or_else(none)??;
        let (send, receive) = connection.open_bi().await.map_err(explain_handshake)?;
        Ok(Box::new(QuicStream::new(endpoint, send, receive)))
    }

    async fn config(&self) -> io::Result<ClientConfig> {
        let mut tls = (*self.configs.next().await?).clone();
        tls.enable_early_data = self.zero_rtt;
        let tls = QuicClientConfig::try_from(tls)
            .map_err(|error| io::Error::new(io::ErrorKind::Unsupported, error))?;
        let mut config = ClientConfig::new(Arc::new(tls));
        let mut transport = TransportConfig::default();
        transport.keep_alive_interval(self.keep_alive);
        if let Some(timeout) = self.idle_timeout {
            let timeout = timeout.try_into().map_err(|_| io::Error::from(io::ErrorKind::InvalidInput))?;
            transport.max_idle_timeout(Some(timeout));
        }
        config.transport_config(Arc::new(transport));
        Ok(config)
    }
}

async fn connect(
    address: SocketAddr,
    config: ClientConfig,
    server_name: String,
    zero_rtt: bool,
) -> io::Result<(Endpoint, Connection)> {
    let local = if address.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
    let endpoint = Endpoint::client(SocketAddr::new(local, 0))?;
    let connecting = endpoint.connect_with(config, address, &server_name).map_err(refuse)?;
    let connecting = match zero_rtt {
        false => connecting,
        true => match connecting.into_0rtt() {
            Ok((connection, _)) => return Ok((endpoint, connection)),
            Err(connecting) => connecting,
        },
    };
    let connection = connecting.await.map_err(explain_handshake)?;
    Ok((endpoint, connection))
}

impl Connect for Quic {
    /// # Errors
    ///
    /// The name cannot be resolved, a file of the TLS options cannot be used, nobody answers, or the handshake fails:
    /// `InvalidData` if the server's certificate is the reason, and the message says why.
    fn connect(&self) -> BoxFuture<'_, io::Result<BoxTransport>> {
        Box::pin(self.open())
    }
}

fn refuse(error: ConnectError) -> io::Error {
    let kind = match error {
        ConnectError::EndpointStopping | ConnectError::CidsExhausted => io::ErrorKind::Other,
        _ => io::ErrorKind::InvalidInput,
    };
    io::Error::new(kind, error)
}
