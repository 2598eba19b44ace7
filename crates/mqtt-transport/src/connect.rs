//! The two traits: what a transport is, and what opens one.

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
