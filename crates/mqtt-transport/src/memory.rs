//! A pipe that never leaves the process: for tests, and for a broker embedded beside its clients.
//!
//! ```
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> std::io::Result<()> {
//! use mqtt_transport::{Connect, memory};
//! use tokio::io::{AsyncReadExt, AsyncWriteExt};
//!
//! let (connector, mut listener) = memory::listen(4096);
//! let mut here = connector.connect().await?;
//! let mut there = listener.accept().await.expect("the connector still lives");
//!
//! here.write_all(b"hello").await?;
//! let mut heard = [0; 5];
//! there.read_exact(&mut heard).await?;
//! assert_eq!(&heard, b"hello");
//! # Ok(())
//! # }
//! ```

use crate::connect::{BoxFuture, BoxTransport, Connect};
use std::io;
use tokio::{io::DuplexStream, sync::mpsc};

/// One end of a pipe in memory. Dropping it ends what the other end reads, and breaks what it writes.
pub type MemoryPipe = DuplexStream;

/// A pipe that holds up to `capacity` bytes in each direction before a writer must wait.
pub fn pipe(capacity: usize) -> (MemoryPipe, MemoryPipe) {
    tokio::io::duplex(capacity)
}

/// A connector, and the place where the other ends of its pipes arrive. Each pipe holds up to `capacity` bytes in each
/// direction.
pub fn listen(capacity: usize) -> (MemoryConnector, MemoryListener) {
    let (arrivals, queue) = mpsc::unbounded_channel();
    (MemoryConnector { capacity, arrivals }, MemoryListener { queue })
}

/// Connects to the [`MemoryListener`] that it was made with.
#[derive(Clone, Debug)]
pub struct MemoryConnector {
    capacity: usize,
    arrivals: mpsc::UnboundedSender<MemoryPipe>,
}

impl Connect for MemoryConnector {
    /// Never waits: the other end is queued for the listener.
    ///
    /// # Errors
    ///
    /// `ConnectionRefused` once the listener is gone.
    fn connect(&self) -> BoxFuture<'_, io::Result<BoxTransport>> {
        let (near, far) = pipe(self.capacity);
        let opened = match self.arrivals.send(far) {
            Ok(()) => Ok(Box::new(near) as BoxTransport),
            Err(_) => Err(io::Error::new(io::ErrorKind::ConnectionRefused, "the memory listener is gone")),
        };
        Box::pin(core::future::ready(opened))
    }
}

/// Receives the other ends of the pipes that its [`MemoryConnector`]s open. Dropping it refuses further ones.
#[derive(Debug)]
pub struct MemoryListener {
    queue: mpsc::UnboundedReceiver<MemoryPipe>,
}

impl MemoryListener {
    /// The next pipe, in the order of connecting; `None` once every connector is gone.
    ///
    /// Dropping the future loses no pipe.
    pub async fn accept(&mut self) -> Option<MemoryPipe> {
        self.queue.recv().await
    }
}
