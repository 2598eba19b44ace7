//! [`Decoder`] and an encoder as tokio-util's `Framed` wants them (feature `tokio-util`).

use crate::decoder::Decoder;
use crate::error::{DecodeError, EncodeError};
use crate::packet::Packet;
use crate::version::Version;
use crate::wire_buf::WireBuf;
use bytes::{Buf, BufMut, BytesMut};
use std::io;

/// A codec for `tokio_util::codec::Framed`. It copies payloads into the frame's buffer; a transport that can write
/// vectored does better with [`Packet::encode`] and [`WireBuf`].
#[derive(Clone, Debug)]
pub struct Codec {
    decoder: Decoder,
    scratch: WireBuf,
}

/// What ends a framed connection.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CodecError {
    /// The peer sent bytes that are no packet.
    #[error(transparent)]
    Decode(#[from] DecodeError),
    /// The caller sent a packet that cannot be bytes.
    #[error(transparent)]
    Encode(#[from] EncodeError),
    /// The pipe is broken.
    #[error(transparent)]
    Io(#[from] io::Error),
}

impl Codec {
    /// Frames packets with this decoder; a server's codec writes in the version that its client spoke.
    pub const fn new(decoder: Decoder) -> Self {
        Self { decoder, scratch: WireBuf::new() }
    }
}

impl tokio_util::codec::Decoder for Codec {
    type Item = Packet;
    type Error = CodecError;

    fn decode(&mut self, input: &mut BytesMut) -> Result<Option<Packet>, CodecError> {
        Ok(self.decoder.decode(input)?)
    }
}

impl tokio_util::codec::Encoder<Packet> for Codec {
    type Error = CodecError;

    fn encode(&mut self, packet: Packet, output: &mut BytesMut) -> Result<(), CodecError> {
        // Only a refused CONNECT is answered before the version is known: in the oldest form.
        let version = self.decoder.version().unwrap_or(Version::V3_1_1);
        packet.encode(version, &mut self.scratch)?;
        while self.scratch.has_remaining() {
            let len = self.scratch.chunk().len();
            output.put_slice(self.scratch.chunk());
            self.scratch.advance(len);
        }
        Ok(())
    }
}
