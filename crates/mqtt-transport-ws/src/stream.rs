//! A WebSocket as a stream of bytes: frames and packets need not line up `[MQTT-6.0.0-2]`.

use crate::error::{WebSocketError, explain};
use bytes::{Bytes, BytesMut};
use core::pin::Pin;
use core::task::{Context, Poll, ready};
use futures_core::Stream;
use futures_sink::Sink;
use std::io::{self, IoSlice};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::CloseFrame;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;

/// At most so many bytes go into one frame: a large payload leaves while its end is still to come.
const FRAME: usize = 64 * 1024;

/// What is written becomes binary frames, what arrives in binary frames is read.
#[derive(Debug)]
pub(crate) struct ByteStream<S> {
    socket: WebSocketStream<S>,
    /// What is left of the last frame.
    received: Bytes,
    /// The server has closed, or broken the rules.
    ended: bool,
    /// What went wrong behind bytes that were handed on first.
    failed: Option<io::Error>,
}

impl<S: AsyncRead + AsyncWrite + Unpin> ByteStream<S> {
    pub(crate) fn new(socket: WebSocketStream<S>) -> Self {
        Self { socket, received: Bytes::new(), ended: false, failed: None }
    }

    /// The next bytes, not empty; `None` at the end.
    fn poll_received(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<bool>> {
        while self.received.is_empty() {
            if self.ended {
                return Poll::Ready(Ok(false));
            }
            match ready!(Pin::new(&mut self.socket).poll_next(cx)) {
                Some(Ok(Message::Binary(bytes))) => self.received = bytes,
                // Answered below.
                Some(Ok(Message::Ping(_) | Message::Pong(_) | Message::Frame(_))) => {}
                Some(Ok(Message::Text(_))) => {
                    self.ended = true;
                    return Poll::Ready(Err(WebSocketError::NotBinary.into()));
                }
                Some(Ok(Message::Close(frame))) => {
                    self.ended = true;
                    if let Some(error) = frame.and_then(complaint) {
                        return Poll::Ready(Err(error.into()));
                    }
                }
                Some(Err(error)) => {
                    self.ended = true;
                    return Poll::Ready(Err(explain(error)));
                }
                None => self.ended = true,
            }
        }
        Poll::Ready(Ok(true))
    }

    fn poll_send(&mut self, cx: &mut Context<'_>, frame: impl FnOnce() -> Bytes) -> Poll<io::Result<usize>> {
        let mut socket = Pin::new(&mut self.socket);
        ready!(socket.as_mut().poll_ready(cx)).map_err(explain)?;
        let frame = frame();
        let written = frame.len();
        if written > 0 {
            socket.start_send(Message::Binary(frame)).map_err(explain)?;
        }
        Poll::Ready(Ok(written))
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncRead for ByteStream<S> {
    /// Takes all the frames that have come: most servers put each packet into one.
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if let Some(error) = this.failed.take() {
            return Poll::Ready(Err(error));
        }
        let before = into.filled().len();
        while into.remaining() > 0 {
            let some = into.filled().len() > before;
            match this.poll_received(cx) {
                Poll::Ready(Ok(true)) => {
                    let length = this.received.len().min(into.remaining());
                    into.put_slice(&this.received.split_to(length));
                }
                Poll::Ready(Ok(false)) => break,
                Poll::Ready(Err(error)) if some => {
                    this.failed = Some(error);
                    break;
                }
                Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                Poll::Pending if some => break,
                Poll::Pending => return Poll::Pending,
            }
        }
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for ByteStream<S> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, from: &[u8]) -> Poll<io::Result<usize>> {
        self.get_mut().poll_send(cx, || Bytes::copy_from_slice(&from[..from.len().min(FRAME)]))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        from: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.get_mut().poll_send(cx, || gather(from))
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().socket).poll_flush(cx).map_err(explain)
    }

    /// Sends the closing frame.
    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().socket).poll_close(cx).map_err(explain)
    }
}

/// One frame of many small pieces.
fn gather(pieces: &[IoSlice<'_>]) -> Bytes {
    let all = pieces.iter().map(|piece| piece.len()).sum::<usize>();
    let mut frame = BytesMut::with_capacity(all.min(FRAME));
    for piece in pieces {
        let room = FRAME - frame.len();
        frame.extend_from_slice(&piece[..piece.len().min(room)]);
    }
    frame.freeze()
}

/// What a closing frame complains about, if it does.
fn complaint(frame: CloseFrame) -> Option<WebSocketError> {
    match frame.code {
        CloseCode::Normal | CloseCode::Away | CloseCode::Status => None,
        code => Some(WebSocketError::Closed { code: code.into(), reason: frame.reason.to_string() }),
    }
}
