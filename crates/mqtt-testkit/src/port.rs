//! A loopback port of one's own.

use core::net::{Ipv4Addr, SocketAddr};
use core::ops::Deref;
use socket2::SockRef;
use std::io;
use std::net::Shutdown;
use tokio::net::{TcpListener, TcpSocket};

/// A port that is bound without listening. Connecting to it is refused and nobody else is given it as a free port, also
/// not as the near end of a connection; yet whoever knows it can listen on it, a child process too, since both sockets
/// allow the address to be used again. So a broker that is down keeps its port.
#[derive(Debug)]
pub struct PortHold {
    addr: SocketAddr,
    _socket: TcpSocket,
}

impl PortHold {
    /// Holds a free port of 127.0.0.1.
    ///
    /// # Errors
    ///
    /// If the system gives none.
    pub fn new() -> io::Result<Self> {
        let socket = reusable((Ipv4Addr::LOCALHOST, 0).into())?;
        Ok(Self { addr: socket.local_addr()?, _socket: socket })
    }

    /// 127.0.0.1 and the port.
    pub const fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// The port.
    pub const fn port(&self) -> u16 {
        self.addr.port()
    }

    pub(crate) fn listen(&self) -> io::Result<Listener> {
        Ok(Listener(reusable(self.addr)?.listen(1024)?))
    }
}

/// Listens until it is dropped, and no longer. A program that is being started has for a moment all that is open here:
/// closing alone would leave the port listened on until then, and to nobody else.
#[derive(Debug)]
pub(crate) struct Listener(TcpListener);

impl Deref for Listener {
    type Target = TcpListener;

    fn deref(&self) -> &TcpListener {
        &self.0
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        let _ = SockRef::from(&self.0).shutdown(Shutdown::Both);
    }
}

fn reusable(addr: SocketAddr) -> io::Result<TcpSocket> {
    let socket = TcpSocket::new_v4()?;
    socket.set_reuseaddr(true)?;
    socket.bind(addr)?;
    Ok(socket)
}
