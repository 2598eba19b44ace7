//! One open transport: bytes in, bytes out.

use bytes::BytesMut;
use core::pin::{Pin, pin};
use core::task::{Context, Poll, ready};
use mqtt_session::WireBuf;
use mqtt_transport::BoxTransport;
use std::io;
use tokio::io::{AsyncReadExt, AsyncWrite, AsyncWriteExt};

/// No more is encoded while so many bytes wait to be written.
const HIGH_WATER: usize = 64 * 1024;
/// Room for one read, as long as reads do not fill it; then it grows.
const READ: usize = 16 * 1024;
const MOST_READ: usize = 64 * 1024;
/// After so many bytes the applications have their turn, while what was read is still in the cache.
const TURN: usize = 64 * 1024;
/// A connection that moves less between three rests is idle.
const IDLE: usize = 4 * 1024;
/// A write of this size does not gain by waiting for company.
const WORTH_WRITING: usize = 1024;
/// A write of more than this carried company.
const COMPANY: usize = 256;

pub(crate) struct Link {
    transport: BoxTransport,
    pub(crate) output: WireBuf,
    pub(crate) input: BytesMut,
    /// The transport may hold back what was written.
    unflushed: bool,
    last_write: usize,
    room: usize,
    /// Bytes read since the applications had their turn.
    read: usize,
    /// Bytes read and written since the last rest.
    moved: usize,
    /// And between the two before: much goes one way, and little comes back.
    moved_before: usize,
    /// The tasks that a read woke have had their turn.
    yielded: bool,
    /// The last write found no room.
    blocked: bool,
    /// Nothing was read yet.
    silent: bool,
}

impl Link {
    pub(crate) fn new(transport: BoxTransport) -> Self {
        Self {
            transport,
            output: WireBuf::new(),
            input: BytesMut::new(),
            unflushed: false,
            last_write: 0,
            room: READ,
            read: 0,
            moved: 0,
            moved_before: 0,
            yielded: false,
            blocked: false,
            silent: true,
        }
    }

    pub(crate) fn wants_output(&self) -> bool {
        self.output.len() < HIGH_WATER
    }

    /// Writes once. Pending when there is nothing to write; then all that was written is flushed.
    ///
    /// `answered` is the number of requests that the last read completed. Where messages come and go in company, a small
    /// write waits for one turn of the other tasks: those that were just answered have more to send, and one write
    /// for all costs little more than one for each. A lone message never waits.
    pub(crate) fn poll_write(&mut self, cx: &mut Context<'_>, answered: usize) -> Poll<io::Result<usize>> {
        if self.output.is_empty() {
            if self.unflushed {
                ready!(Pin::new(&mut self.transport).poll_flush(cx))?;
                self.unflushed = false;
            }
            return Poll::Pending;
        }
        let in_company = answered > 1 || self.last_write > COMPANY;
        if in_company && !self.yielded && self.output.len() < WORTH_WRITING {
            self.yielded = true;
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        self.blocked = true;
        let written = ready!(pin!(self.transport.write_buf(&mut self.output)).poll(cx))?;
        self.blocked = false;
        if written == 0 {
            return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
        }
        self.yielded = false;
        self.unflushed = true;
        self.last_write = written;
        self.moved += written;
        Poll::Ready(Ok(written))
    }

    /// Whether the last write found no room.
    pub(crate) fn is_blocked(&self) -> bool {
        self.blocked
    }

    /// Whether the server has said nothing yet.
    pub(crate) fn is_silent(&self) -> bool {
        self.silent
    }

    /// Whether the applications are to have their turn before more is read. The task then wakes itself.
    pub(crate) fn reads_later(&mut self, cx: &mut Context<'_>) -> bool {
        let later = self.read >= TURN;
        if later {
            self.read = 0;
            cx.waker().wake_by_ref();
        }
        later
    }

    /// Reads once, behind what `input` holds already; the packet there lacks so many bytes, as far as it is known.
    /// Returns 0 at the end.
    pub(crate) fn poll_read(&mut self, cx: &mut Context<'_>, missing: usize) -> Poll<io::Result<usize>> {
        self.make_room(missing);
        let free = self.input.capacity() - self.input.len();
        let read = ready!(pin!(self.transport.read_buf(&mut self.input)).poll(cx))?;
        self.read += read;
        self.moved += read;
        self.silent &= read == 0;
        if read == free && missing == 0 && self.room < MOST_READ {
            self.room = MOST_READ.min(2 * self.room);
        }
        Poll::Ready(Ok(read))
    }

    /// A buffer that is to grow is left for one that holds what it must: `reserve` would double all of it, even what
    /// was taken from it already.
    fn make_room(&mut self, missing: usize) {
        let held = self.input.len();
        let (least, wanted) = if missing > 0 && held + missing > self.room / 2 {
            // A large packet has a buffer of its own length, and so may those behind it: then nothing of them has to be
            // moved. But no more is taken on trust than has come already.
            self.room = (held + missing).clamp(READ, 2 * MOST_READ);
            let trusted = missing.min(held.max(MOST_READ));
            (if trusted < missing { 1 } else { missing }, trusted)
        } else {
            (self.room / 2, self.room)
        };
        if self.input.capacity() - held >= least || self.input.try_reclaim(wanted) {
            return;
        }
        let mut larger = BytesMut::with_capacity(held + wanted);
        larger.extend_from_slice(&self.input);
        self.input = larger;
    }

    /// There is nothing to do for now. True if the connection is idle: it gives back the memory that it does not need,
    /// which in the middle of much traffic would be fetched again at once.
    pub(crate) fn rest(&mut self) -> bool {
        self.read = 0;
        let moved = core::mem::take(&mut self.moved);
        let idle = moved + core::mem::replace(&mut self.moved_before, moved) < IDLE;
        if idle {
            self.output.release();
            if self.input.is_empty() {
                self.input = BytesMut::new();
                self.room = READ;
            }
        }
        idle
    }

    /// Writes the last words, if there are any, then reads to the end: closing with unread input would reset the
    /// connection, and the reset could overtake what was written.
    pub(crate) async fn close(&mut self, mut written: impl FnMut(usize)) -> io::Result<()> {
        if self.output.is_empty() {
            return Ok(());
        }
        while !self.output.is_empty() {
            match self.transport.write_buf(&mut self.output).await? {
                0 => return Err(io::ErrorKind::WriteZero.into()),
                bytes => written(bytes),
            }
        }
        self.transport.shutdown().await?;
        // Not into an array: it would be a part of the task for all its life.
        loop {
            self.input.clear();
            if self.transport.read_buf(&mut self.input).await? == 0 {
                return Ok(());
            }
        }
    }
}
