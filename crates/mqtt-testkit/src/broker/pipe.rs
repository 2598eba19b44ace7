//! The bytes of one connection, with the faults that cut them off.

use super::faults::Plan;
use bytes::{Buf, BytesMut};
use core::time::Duration;
use mqtt_codec::WireBuf;
use std::io;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadHalf, WriteHalf};
use tokio::time::timeout;

/// Bytes to make room for before a read, at first; doubled by each read that fills the room.
const FIRST_READ: usize = 4 * 1024;
const LARGEST_READ: usize = 256 * 1024;

/// How long a closed connection is kept to let the last words arrive, and to take what the client still sends. Without
/// that, unread bytes would make the system reset the connection, and the client might lose what it had not read.
const LINGER: Duration = Duration::from_secs(1);

#[derive(Debug)]
pub(super) struct Pipe<S> {
    reader: ReadHalf<S>,
    writer: WriteHalf<S>,
    pub(super) input: BytesMut,
    pub(super) output: WireBuf,
    read_size: usize,
    /// Something was written and not flushed.
    needs_flush: bool,
    /// Bytes that may still be read before the link is cut.
    read_left: u64,
    /// Bytes that may still be written before the link is cut.
    write_left: u64,
}

/// What one step along the pipe has come to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Step {
    Read,
    Written,
    /// The client has closed.
    End,
    /// The fault has struck: so many bytes have passed.
    Cut,
}

impl<S: AsyncRead + AsyncWrite> Pipe<S> {
    pub(super) fn new(stream: S, plan: &Plan) -> Self {
        let (reader, writer) = tokio::io::split(stream);
        Self {
            reader,
            writer,
            input: BytesMut::new(),
            output: WireBuf::new(),
            read_size: FIRST_READ,
            needs_flush: false,
            read_left: plan.read_limit,
            write_left: plan.write_limit,
        }
    }

    /// Reads or writes, whichever is possible first. Can be dropped at any time: nothing is lost.
    pub(super) async fn step(&mut self) -> io::Result<Step> {
        if self.read_left == 0 || self.write_left == 0 {
            return Ok(Step::Cut);
        }
        let room = self.input.capacity() - self.input.len();
        if room < self.read_size / 2 {
            self.input.reserve(self.read_size);
        }
        let room = self.input.capacity() - self.input.len();
        let has_output = !self.output.is_empty() || self.needs_flush;
        let mut limited = (&mut self.reader).take(self.read_left);
        tokio::select! {
            read = limited.read_buf(&mut self.input) => {
                let read = read?;
                if read == room {
                    self.read_size = (2 * self.read_size).min(LARGEST_READ);
                }
                self.read_left -= read as u64;
                Ok(if read == 0 { Step::End } else { Step::Read })
            }
            written = write_some(&mut self.writer, &mut self.output, self.write_left), if has_output => {
                let written = written?;
                self.needs_flush = written > 0;
                self.write_left -= written as u64;
                Ok(Step::Written)
            }
        }
    }

    /// Writes all that is left to write, as far as no fault cuts it off, for the time of a [`LINGER`].
    pub(super) async fn finish_writing(&mut self) {
        let write_all = async {
            while self.write_left > 0 && (!self.output.is_empty() || self.needs_flush) {
                let written = write_some(&mut self.writer, &mut self.output, self.write_left).await?;
                self.needs_flush = written > 0;
                self.write_left -= written as u64;
            }
            io::Result::Ok(())
        };
        // Whoever does not read the last words does not get them.
        let _ = timeout(LINGER, write_all).await;
    }

    /// Ends the stream, and takes what the client still sends until it has closed too.
    pub(super) async fn close(mut self) {
        let drain = async {
            self.writer.shutdown().await?;
            loop {
                self.input.clear();
                if self.reader.read_buf(&mut self.input).await? == 0 {
                    return io::Result::Ok(());
                }
            }
        };
        let _ = timeout(LINGER, drain).await;
    }
}

/// Writes a part of the buffer, or flushes if it is empty; how many bytes were written.
async fn write_some<S>(writer: &mut WriteHalf<S>, output: &mut WireBuf, limit: u64) -> io::Result<usize>
where
    S: AsyncRead + AsyncWrite,
{
    let limit = usize::try_from(limit).unwrap_or(usize::MAX);
    let written = if output.is_empty() {
        writer.flush().await?;
        return Ok(0);
    } else if output.remaining() <= limit {
        writer.write_buf(output).await?
    } else {
        writer.write_buf(&mut (&mut *output).take(limit)).await?
    };
    if written == 0 { Err(io::ErrorKind::WriteZero.into()) } else { Ok(written) }
}
