//! The outgoing bytes: small packets run together, large payloads as segments of their own.

use crate::wire::put_variable_byte_integer;
use alloc::collections::VecDeque;
use alloc::vec::Vec;
use bytes::{Buf, Bytes};

/// A payload of this many bytes or more is not copied into the buffer but kept as it is.
pub const SEGMENT_LEN: usize = 4096;

/// A buffer that is left standing for reuse when it runs empty has at most this many bytes.
const KEPT_CAPACITY: usize = 16 * 1024;

/// Bytes to send. Packets are written at its end; the transport takes bytes from its front, by [`Buf`].
///
/// A payload of [`SEGMENT_LEN`] bytes or more is not copied: it is remembered with its place, and
/// [`Buf::chunks_vectored`] (feature `std`) hands it out between the bytes around it, for a vectored write.
#[derive(Clone, Debug, Default)]
pub struct WireBuf {
    bytes: Vec<u8>,
    /// Bytes of `bytes` that are sent.
    sent: usize,
    segments: VecDeque<Segment>,
    /// Bytes left in `segments`.
    segments_len: usize,
}

#[derive(Clone, Debug)]
struct Segment {
    /// Comes before this byte of `bytes`.
    at: usize,
    payload: Bytes,
}

impl WireBuf {
    /// An empty buffer.
    pub const fn new() -> Self {
        Self { bytes: Vec::new(), sent: 0, segments: VecDeque::new(), segments_len: 0 }
    }

    /// An empty buffer with room for so many bytes beside the segments.
    pub fn with_capacity(capacity: usize) -> Self {
        Self { bytes: Vec::with_capacity(capacity), ..Self::new() }
    }

    /// Bytes to send, segments included.
    #[inline]
    pub fn len(&self) -> usize {
        self.bytes.len() - self.sent + self.segments_len
    }

    /// Whether nothing is left to send.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Forgets what was not sent. Keeps its memory.
    pub fn clear(&mut self) {
        self.bytes.clear();
        self.sent = 0;
        self.segments.clear();
        self.segments_len = 0;
    }

    /// Gives back the memory of an empty buffer; does nothing to one that is not empty.
    pub fn release(&mut self) {
        if self.is_empty() {
            *self = Self::new();
        }
    }

    /// Everything that is left to send, joined, as a copy: for tests and for transports that want one slice.
    pub fn to_vec(&self) -> Vec<u8> {
        let mut joined = Vec::with_capacity(self.len());
        let mut rest = self.clone();
        while rest.has_remaining() {
            let chunk = rest.chunk();
            joined.extend_from_slice(chunk);
            let len = chunk.len();
            rest.advance(len);
        }
        joined
    }

    /// The buffer for small fields, with room for `additional` bytes.
    #[inline(always)]
    pub(crate) fn reserve(&mut self, additional: usize) -> &mut Vec<u8> {
        if self.bytes.capacity() - self.bytes.len() < additional {
            self.grow(additional);
        }
        &mut self.bytes
    }

    /// Moves the unsent bytes to the front before the buffer grows.
    #[cold]
    fn grow(&mut self, additional: usize) {
        let sent = core::mem::take(&mut self.sent);
        self.bytes.drain(..sent);
        for segment in &mut self.segments {
            segment.at -= sent;
        }
        self.bytes.reserve(additional);
    }

    /// Starts a packet: first byte and Remaining Length, with room for what follows.
    #[inline(always)]
    pub(crate) fn start(&mut self, first: u8, remaining: usize, room: usize) -> &mut Vec<u8> {
        let out = self.reserve(5 + room);
        if remaining < 0x80 {
            out.extend_from_slice(&[first, remaining as u8]);
        } else {
            out.push(first);
            put_variable_byte_integer(out, remaining);
        }
        out
    }

    /// Starts a packet whose body begins with a field, which has two bytes of length.
    #[inline(always)]
    pub(crate) fn start_with_field(
        &mut self,
        first: u8,
        remaining: usize,
        room: usize,
        field: &[u8],
    ) -> &mut Vec<u8> {
        let [high, low] = (field.len() as u16).to_be_bytes();
        let out = self.reserve(5 + room);
        if remaining < 0x80 {
            out.extend_from_slice(&[first, remaining as u8, high, low]);
        } else {
            out.push(first);
            put_variable_byte_integer(out, remaining);
            out.extend_from_slice(&[high, low]);
        }
        out.extend_from_slice(field);
        out
    }

    /// Appends a payload: a copy of a small one, a shared segment of a large one.
    #[inline(always)]
    pub(crate) fn put_payload(&mut self, payload: &[u8], share: impl FnOnce() -> Bytes) {
        if payload.len() < SEGMENT_LEN {
            self.bytes.extend_from_slice(payload);
        } else {
            self.segments_len += payload.len();
            self.segments.push_back(Segment { at: self.bytes.len(), payload: share() });
        }
    }

    /// The bytes up to the next segment.
    fn head(&self) -> &[u8] {
        let end = self.segments.front().map_or(self.bytes.len(), |segment| segment.at);
        self.bytes.get(self.sent..end).unwrap_or_default()
    }

    /// Starts over when everything is sent; a buffer that a burst made large is given back.
    fn reuse(&mut self) {
        self.bytes.clear();
        self.sent = 0;
        if self.bytes.capacity() > 4 * KEPT_CAPACITY {
            self.bytes.shrink_to(KEPT_CAPACITY);
        }
    }
}

impl Buf for WireBuf {
    #[inline]
    fn remaining(&self) -> usize {
        self.len()
    }

    #[inline]
    fn chunk(&self) -> &[u8] {
        match (self.head(), self.segments.front()) {
            ([], Some(segment)) => &segment.payload,
            (head, _) => head,
        }
    }

    /// # Panics
    ///
    /// If `count` is more than what remains, as the trait asks.
    fn advance(&mut self, mut count: usize) {
        assert!(count <= self.len(), "cannot advance past the end of the buffer");
        while count > 0 {
            let head = self.head().len().min(count);
            self.sent += head;
            count -= head;
            if let Some(segment) = self.segments.front_mut().filter(|_| count > 0) {
                let part = segment.payload.len().min(count);
                segment.payload.advance(part);
                self.segments_len -= part;
                count -= part;
                if segment.payload.is_empty() {
                    self.segments.pop_front();
                }
            }
        }
        if self.is_empty() {
            self.reuse();
        }
    }

    #[cfg(feature = "std")]
    fn chunks_vectored<'a>(&'a self, slices: &mut [std::io::IoSlice<'a>]) -> usize {
        let mut from = self.sent;
        let mut filled = 0;
        let mut put = |chunk: &'a [u8]| match slices.get_mut(filled) {
            _ if chunk.is_empty() => true,
            Some(slot) => {
                *slot = std::io::IoSlice::new(chunk);
                filled += 1;
                true
            }
            None => false,
        };
        for segment in &self.segments {
            let head = self.bytes.get(from..segment.at).unwrap_or_default();
            from = segment.at;
            if !put(head) || !put(&segment.payload) {
                return filled;
            }
        }
        put(self.bytes.get(from..).unwrap_or_default());
        filled
    }
}
