//! The one stream of a connection, as a stream of bytes.

use crate::error::explain_loss;
use core::pin::Pin;
use core::task::{Context, Poll, ready};
use mqtt_transport::BoxFuture;
use quinn::{ConnectionError, Endpoint, ReadError, RecvStream, SendStream, WriteError};
use std::io;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// Both directions, and what keeps them alive. Dropping it closes the connection at once.
pub(crate) struct QuicStream {
    send: SendStream,
    receive: RecvStream,
    /// Waits until the server has everything, once the last byte is said.
    finished: Option<BoxFuture<'static, ()>>,
    /// The socket lives as long as it.
    _endpoint: Endpoint,
}

impl QuicStream {
    pub(crate) fn new(endpoint: Endpoint, send: SendStream, receive: RecvStream) -> Self {
        Self { send, receive, finished: None, _endpoint: endpoint }
    }
}

impl AsyncRead for QuicStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match ready!(self.receive.poll_read_buf(cx, into)) {
            // A server that closes the connection with code 0 has nothing to complain about.
            Err(ReadError::ConnectionLost(ConnectionError::ApplicationClosed(close)))
                if close.error_code == 0_u32.into() =>
            {
                Poll::Ready(Ok(()))
            }
            Err(ReadError::ConnectionLost(lost)) => Poll::Ready(Err(explain_loss(lost))),
            read => Poll::Ready(read.map(drop).map_err(Into::into)),
        }
    }
}

impl AsyncWrite for QuicStream {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, from: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.send).poll_write(cx, from).map_err(|error| match error {
            WriteError::ConnectionLost(lost) => explain_loss(lost),
            error => error.into(),
        })
    }

    /// Nothing is held back.
    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    /// Ends the stream and waits until the server has all of it: closing the connection earlier would take the last packet
    /// along.
    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = &mut *self;
        let send = &mut this.send;
        let finished = this.finished.get_or_insert_with(|| {
            // It is closed already: then there is nothing to wait for either.
            let _ = send.finish();
            let stopped = send.stopped();
            Box::pin(async move { drop(stopped.await) })
        });
        ready!(finished.as_mut().poll(cx));
        Poll::Ready(Ok(()))
    }
}
