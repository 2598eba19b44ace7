//! TCP.

use crate::connect::{BoxFuture, BoxTransport, Connect};
use core::net::SocketAddr;
use std::io;
use tokio::net::{TcpStream, lookup_host};

/// Connects by TCP to a host and port, with `TCP_NODELAY` set: packets are batched by the client, and Nagle's algorithm
/// below would only hold back the last one of a batch.
///
/// The host is resolved anew each time, and its addresses are tried one after the other, in the resolver's order. An
/// address that neither accepts nor refuses keeps the later ones waiting until the caller's deadline.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tcp {
    host: String,
    port: u16,
}

impl Tcp {
    /// A connector to `host`, a name or an address (IPv6 without brackets), at `port`.
    pub fn new(host: impl Into<String>, port: u16) -> Self {
        Self { host: host.into(), port }
    }

    /// The host's name or address.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The port.
    pub fn port(&self) -> u16 {
        self.port
    }

    async fn open(&self) -> io::Result<TcpStream> {
        let addresses = lookup_host((self.host.as_str(), self.port))
            .await
            .map_err(|error| explain(&error, &format!("cannot resolve {}", self.host)))?;
        open_first(addresses).await.unwrap_or_else(|| {
            Err(io::Error::new(io::ErrorKind::NotFound, format!("{} has no address", self.host)))
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

/// The first stream that opens, else the last failure; `None` without an address.
async fn open_first(addresses: impl Iterator<Item = SocketAddr>) -> Option<io::Result<TcpStream>> {
    let mut failure = None;
    for address in addresses {
        match open(address).await {
            Ok(stream) => return Some(Ok(stream)),
            Err(error) => failure = Some(Err(explain(&error, &address.to_string()))),
        }
    }
    failure
}

async fn open(address: SocketAddr) -> io::Result<TcpStream> {
    let stream = TcpStream::connect(address).await?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

/// The same kind of error, its message led by what was tried.
fn explain(error: &io::Error, tried: &str) -> io::Error {
    io::Error::new(error.kind(), format!("{tried}: {error}"))
}

#[cfg(test)]
mod tests {
    use super::open_first;
    use core::net::SocketAddr;
    use tokio::net::TcpListener;

    /// A name may have several addresses, and the server need not listen on the first.
    #[tokio::test]
    async fn an_address_that_refuses_is_passed_over() {
        let (deaf, listening) = (bind().await, bind().await);
        let addresses = [address(&deaf), address(&listening)];
        drop(deaf);
        let stream = open_first(addresses.into_iter()).await.unwrap().unwrap();
        assert_eq!(stream.peer_addr().unwrap(), address(&listening));
        assert!(stream.nodelay().unwrap());
    }

    #[tokio::test]
    async fn the_last_failure_is_reported() {
        let (first, last) = (bind().await, bind().await);
        let addresses = [address(&first), address(&last)];
        drop((first, last));
        let error = open_first(addresses.into_iter()).await.unwrap().unwrap_err();
        assert!(error.to_string().starts_with(&addresses[1].to_string()), "{error}");
    }

    async fn bind() -> TcpListener {
        TcpListener::bind(("127.0.0.1", 0)).await.unwrap()
    }

    fn address(listener: &TcpListener) -> SocketAddr {
        listener.local_addr().unwrap()
    }
}
