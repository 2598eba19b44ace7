//! A loopback port of one's own.

use core::net::{Ipv4Addr, SocketAddr};
use std::io;
use tokio::net::TcpSocket;

/// A port that is bound without listening. Connecting to it is refused and nobody else is given it as a free port, also
/// not as the near end of a connection; yet whoever knows it can listen on it, a child process too, since both sockets
/// allow the address to be used again. So a broker that is down keeps its port.
#[derive(Debug)]
pub(crate) struct PortHold {
    addr: SocketAddr,
    _socket: TcpSocket,
}

impl PortHold {
    pub(crate) fn new() -> io::Result<Self> {
        let socket = reusable((Ipv4Addr::LOCALHOST, 0).into())?;
        Ok(Self { addr: socket.local_addr()?, _socket: socket })
    }

    pub(crate) const fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// A socket that can listen on this port, if none does.
    pub(crate) fn socket(&self) -> io::Result<TcpSocket> {
        reusable(self.addr)
    }
}

fn reusable(addr: SocketAddr) -> io::Result<TcpSocket> {
    let socket = TcpSocket::new_v4()?;
    socket.set_reuseaddr(true)?;
    socket.bind(addr)?;
    Ok(socket)
}
