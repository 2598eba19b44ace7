//! Pipes for bytes that an MQTT client runs on.
//!
//! This crate knows nothing of MQTT: no packets, no keep alive, no reconnecting. It does not time anything out
//! either; whoever connects sets the deadline around it. What it has is
//!
//! - [`Transport`]: any reliable, ordered stream of bytes in both directions, which is all that MQTT asks of a
//!   network ([MQTT-4.2.0-1]);
//! - [`Connect`]: a value that can open such a stream, again and again, since a client reconnects;
//! - [`Tcp`] and Unix sockets, by the feature `proxy` the ways through SOCKS5 and HTTP proxies, by `srv` to servers that a domain names, and in [`memory`] a pipe
//!   that never leaves the process, for tests.
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

mod connect;
mod race;
mod tcp;
#[cfg(unix)]
mod unix;

pub mod memory;
#[cfg(feature = "proxy")]
pub mod proxy;
#[cfg(feature = "srv")]
pub mod srv;

pub use crate::connect::{BoxFuture, BoxTransport, Connect, Transport};
pub use crate::race::happy_eyeballs;
pub use crate::tcp::Tcp;
#[cfg(unix)]
pub use crate::unix::Unix;
