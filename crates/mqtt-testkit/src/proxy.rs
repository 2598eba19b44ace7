//! A TCP proxy between a client and a real broker, to stop the conversation at a moment of the test's choice.
//!
//! A real broker has no fault hooks. What stands still, though, can be looked at: with the link frozen a broker has
//! time to save what it knows before it is killed, and every exchange is left in whatever stage it had come to.

use core::net::SocketAddr;
use std::io;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// A proxy on a loopback port. Dropping it cuts every connection.
#[derive(Debug)]
pub struct Proxy {
    addr: SocketAddr,
    control: watch::Sender<Control>,
    accepting: JoinHandle<()>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Control {
    frozen: bool,
    /// How often everything was cut; a connection lives as long as this number stays.
    cuts: u64,
}

impl Proxy {
    /// Listens on a free loopback port and connects whoever comes to `target`.
    pub async fn start(target: SocketAddr) -> io::Result<Self> {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
        let addr = listener.local_addr()?;
        let (control, watching) = watch::channel(Control::default());
        let accepting = tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                tokio::spawn(serve(client, target, watching.clone()));
            }
        });
        Ok(Self { addr, control, accepting })
    }

    /// Where clients connect to.
    pub const fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// The same as an `mqtt://` URL.
    pub fn url(&self) -> String {
        format!("mqtt://{}", self.addr)
    }

    /// Forwards nothing any more, in either direction; new connections wait. Nobody notices but by the silence.
    pub fn freeze(&self) {
        self.control.send_modify(|control| control.frozen = true);
    }

    /// Cuts every connection, with what was read from one side and not yet written to the other, and forwards again.
    pub fn cut(&self) {
        self.control.send_modify(|control| *control = Control { frozen: false, cuts: control.cuts + 1 });
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.accepting.abort();
        self.cut();
    }
}

async fn serve(client: TcpStream, target: SocketAddr, mut control: watch::Receiver<Control>) {
    let Ok(cuts) = control.wait_for(|control| !control.frozen).await.map(|control| control.cuts) else {
        return;
    };
    let Ok(server) = TcpStream::connect(target).await else { return };
    if client.set_nodelay(true).is_err() || server.set_nodelay(true).is_err() {
        return;
    }
    let (from_client, to_client) = client.into_split();
    let (from_server, to_server) = server.into_split();
    // Whichever ends first, an end of file included, ends them all.
    tokio::select! {
        _ = pump(from_client, to_server, control.clone()) => {}
        _ = pump(from_server, to_client, control.clone()) => {}
        _ = control.wait_for(|control| control.cuts != cuts) => {}
    }
}

async fn pump(
    mut from: impl AsyncRead + Unpin,
    mut to: impl AsyncWrite + Unpin,
    mut control: watch::Receiver<Control>,
) -> io::Result<()> {
    let mut chunk = vec![0; 16 * 1024];
    loop {
        let read = from.read(&mut chunk).await?;
        let Some(bytes) = chunk.get(..read).filter(|bytes| !bytes.is_empty()) else { return Ok(()) };
        if control.wait_for(|control| !control.frozen).await.is_err() {
            return Ok(());
        }
        to.write_all(bytes).await?;
    }
}
