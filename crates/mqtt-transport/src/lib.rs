//! Pipes for bytes that an MQTT client runs on.
//!
//! This crate knows nothing of MQTT: no packets, no keep alive, no reconnecting. It does not time anything out
//! either; whoever connects sets the deadline around it. What it has is
//!
//! - [`Transport`]: any reliable, ordered stream of bytes in both directions, which is all that MQTT asks of a
//!   network ([MQTT-4.2.0-1]);
//! - [`Connect`]: a value that can open such a stream, again and again, since a client reconnects;
//! - [`Tcp`], and in [`memory`] a pipe that never leaves the process, for tests.
//!
//! # Writing a connector
//!
//! A connector is one method. Connectors compose as values: take another one inside, and change what it opens. This
//! one announces the connection to a load balancer by the line of the PROXY protocol before the first byte of MQTT:
//!
//! ```
//! use mqtt_transport::{BoxFuture, BoxTransport, Connect, Tcp};
//! use std::io;
//! use tokio::io::AsyncWriteExt;
//!
//! struct ProxyLine<C> {
//!     inner: C,
//! }
//!
//! impl<C: Connect> Connect for ProxyLine<C> {
//!     fn connect(&self) -> BoxFuture<'_, io::Result<BoxTransport>> {
//!         Box::pin(async move {
//!             let mut stream = self.inner.connect().await?;
//!             stream.write_all(b"PROXY UNKNOWN\r\n").await?;
//!             stream.flush().await?;
//!             Ok(stream)
//!         })
//!     }
//! }
//!
//! let connector = ProxyLine { inner: Tcp::new("broker.example", 1883) };
//! // mqtt_client::connect("mqtt://broker.example").connector(connector).await?
//! # let _: Box<dyn Connect> = Box::new(connector);
//! ```
//!
//! Four rules make a good one: report failures as the `io::Error` they are (its kind tells the client whether trying
//! again can help); dropping the future gives up the attempt; let `flush` push out all that was written; support
//! vectored writes where the stream below does, since large payloads leave as segments of their own.

mod tcp;

pub mod memory;

pub use crate::tcp::Tcp;

use core::pin::Pin;
use std::{io, sync::Arc};
use tokio::io::{AsyncRead, AsyncWrite};

/// A reliable, ordered stream of bytes in both directions. Every type that can be one is one.
pub trait Transport: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin + ?Sized> Transport for T {}

/// Any transport, its type forgotten: what a [`Connect`] gives and a client runs on.
pub type BoxTransport = Box<dyn Transport>;

/// A future on the heap, as trait objects need it.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// Opens transports to one server. The crate's front page shows how to write one.
pub trait Connect: Send + Sync {
    /// Opens a new transport, ready for the first byte of MQTT.
    ///
    /// It may take as long as it takes: the caller bounds it. Dropping the future gives up the attempt and closes
    /// what was opened so far.
    ///
    /// # Errors
    ///
    /// Whatever kept the transport from opening.
    fn connect(&self) -> BoxFuture<'_, io::Result<BoxTransport>>;
}

impl<C: Connect + ?Sized> Connect for Box<C> {
    fn connect(&self) -> BoxFuture<'_, io::Result<BoxTransport>> {
        (**self).connect()
    }
}

impl<C: Connect + ?Sized> Connect for Arc<C> {
    fn connect(&self) -> BoxFuture<'_, io::Result<BoxTransport>> {
        (**self).connect()
    }
}
