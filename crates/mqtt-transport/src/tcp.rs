//! TCP.

use crate::connect::{BoxFuture, BoxTransport, Connect};
use crate::race::happy_eyeballs;
use core::net::{IpAddr, SocketAddr};
use core::time::Duration;
use socket2::{SockRef, TcpKeepalive};
use std::io;
use tokio::net::{TcpSocket, TcpStream, lookup_host};

/// Connects by TCP to a host and port, with `TCP_NODELAY` set: packets are batched by the client, and Nagle's algorithm
/// below would only hold back the last one of a batch.
///
/// The host is resolved anew each time. Its addresses are tried as RFC 8305 ("Happy Eyeballs") says: IPv6 and IPv4 in
/// turn, the next one 250 ms after the last, or as soon as that has failed; the first that opens is taken. So a broken
/// route costs a quarter of a second, not the whole deadline.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tcp {
    host: String,
    port: u16,
    options: Options,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Options {
    nodelay: bool,
    keepalive: Option<Duration>,
    user_timeout: Option<Duration>,
    local_address: Option<IpAddr>,
    device: Option<String>,
}

impl Tcp {
    /// A connector to `host`, a name or an address (IPv6 without brackets), at `port`.
    pub fn new(host: impl Into<String>, port: u16) -> Self {
        let options =
            Options { nodelay: true, keepalive: None, user_timeout: None, local_address: None, device: None };
        Self { host: host.into(), port, options }
    }

    /// The host's name or address.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The port.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// `TCP_NODELAY`, on unless turned off.
    #[must_use]
    pub fn nodelay(mut self, on: bool) -> Self {
        self.options.nodelay = on;
        self
    }

    /// Probes of TCP's own after so long a silence, and as far apart; off if it is not set. MQTT has its keep alive, which
    /// sees more; this one also keeps the memory of routers on the way fresh.
    #[must_use]
    pub fn keepalive(mut self, idle: Duration) -> Self {
        self.options.keepalive = Some(idle);
        self
    }

    /// How long sent bytes may stay unacknowledged before the connection counts as broken (`TCP_USER_TIMEOUT`), where the
    /// system has it (Linux, Android); ignored elsewhere. The system's own, some 15 minutes, if it is not set.
    #[must_use]
    pub fn user_timeout(mut self, timeout: Duration) -> Self {
        self.options.user_timeout = Some(timeout);
        self
    }

    /// Connects from this address of the machine. Only addresses of the server of the same family are tried then.
    #[must_use]
    pub fn local_address(mut self, address: IpAddr) -> Self {
        self.options.local_address = Some(address);
        self
    }

    /// Connects by this network device, such as `wwan0`, where the system can (Linux, Android); elsewhere connecting fails
    /// as unsupported. May need privileges.
    #[must_use]
    pub fn device(mut self, name: impl Into<String>) -> Self {
        self.options.device = Some(name.into());
        self
    }

    async fn open(&self) -> io::Result<TcpStream> {
        let found = lookup_host((self.host.as_str(), self.port))
            .await
            .map_err(|error| explain(&error, &format!("cannot resolve {}", self.host)))?;
        let usable = |address: &SocketAddr| {
            self.options.local_address.is_none_or(|local| local.is_ipv4() == address.is_ipv4())
        };
        let addresses = found.filter(usable).collect();
        happy_eyeballs(addresses, |address| self.options.clone().open(address)).await.unwrap_or_else(|| {
            Err(io::Error::new(io::ErrorKind::NotFound, format!("{} has no usable address", self.host)))
        })
    }
}

impl Connect for Tcp {
    /// # Errors
    ///
    /// The name cannot be resolved, or the failure at the last of its addresses; the message says which.
    fn connect(&self) -> BoxFuture<'_, io::Result<BoxTransport>> {
        Box::pin(async move { Ok(Box::new(self.open().await?) as BoxTransport) })
    }
}

impl Options {
    async fn open(self, address: SocketAddr) -> io::Result<TcpStream> {
        self.try_open(address).await.map_err(|error| explain(&error, &address.to_string()))
    }

    async fn try_open(&self, address: SocketAddr) -> io::Result<TcpStream> {
        let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
        socket.set_nodelay(self.nodelay)?;
        if let Some(idle) = self.keepalive {
            let probes = TcpKeepalive::new().with_time(idle).with_interval(idle);
            SockRef::from(&socket).set_tcp_keepalive(&probes)?;
        }
        #[cfg(any(target_os = "linux", target_os = "android"))]
        if let Some(timeout) = self.user_timeout {
            SockRef::from(&socket).set_tcp_user_timeout(Some(timeout))?;
        }
        if let Some(device) = &self.device {
            bind_device(&socket, device)?;
        }
        if let Some(local) = self.local_address {
            socket.bind(SocketAddr::new(local, 0))?;
        }
        socket.connect(address).await
    }
}

#[cfg(any(target_os = "linux", target_os = "android"))]
fn bind_device(socket: &TcpSocket, name: &str) -> io::Result<()> {
    socket.bind_device(Some(name.as_bytes()))
}

#[cfg(not(any(target_os = "linux", target_os = "android")))]
fn bind_device(_: &TcpSocket, name: &str) -> io::Result<()> {
    Err(io::Error::new(io::ErrorKind::Unsupported, format!("this system cannot bind to the device {name}")))
}

/// The same kind of error, its message led by what was tried.
pub(crate) fn explain(error: &io::Error, tried: &str) -> io::Error {
    io::Error::new(error.kind(), format!("{tried}: {error}"))
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;
    use tokio::net::TcpListener;

    #[tokio::test]
    async fn options_reach_the_socket() {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let (idle, patience) = (Duration::from_secs(30), Duration::from_secs(20));
        let plain = Tcp::new("127.0.0.1", port).open().await.unwrap();
        let socket = SockRef::from(&plain);
        assert!(plain.nodelay().unwrap() && !socket.keepalive().unwrap());
        let tcp = Tcp::new("127.0.0.1", port).nodelay(false).keepalive(idle).user_timeout(patience);
        let stream = tcp.open().await.unwrap();
        let socket = SockRef::from(&stream);
        assert!(!stream.nodelay().unwrap() && socket.keepalive().unwrap());
        assert_eq!(socket.tcp_keepalive_time().unwrap(), idle);
        assert_eq!(socket.tcp_user_timeout().unwrap(), Some(patience));
    }
}
