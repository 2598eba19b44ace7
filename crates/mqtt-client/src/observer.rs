//! What a client shows to those who observe the program: by the features `tracing` and `metrics`, and nothing without.

use crate::connection::Event;
#[cfg(feature = "tracing")]
use crate::frames::Frames;
use crate::trace;
#[cfg(feature = "tracing")]
use bytes::Buf;
use mqtt_session::WireBuf;

#[derive(Default)]
pub(crate) struct Observer {
    #[cfg(feature = "tracing")]
    sent: Frames,
    #[cfg(feature = "tracing")]
    received: Frames,
}

impl Observer {
    /// A connection begins, and with it both streams of packets.
    pub(crate) fn opened(&mut self) {
        *self = Self::default();
    }

    pub(crate) fn event(&self, event: &Event) {
        trace::event(event);
    }

    /// These bytes were read.
    pub(crate) fn received(&mut self, _bytes: &[u8]) {
        #[cfg(feature = "tracing")]
        self.received.look(_bytes, trace::received);
    }

    /// The output has grown; before, it had so many bytes.
    pub(crate) fn encoded(&mut self, _output: &WireBuf, _before: usize) {
        #[cfg(feature = "tracing")]
        {
            let mut known = _before;
            for slice in &slices(_output) {
                let new = slice.get(known..).unwrap_or_default();
                known = known.saturating_sub(slice.len());
                self.sent.look(new, trace::sent);
            }
        }
    }
}

/// All that there is, uncopied.
#[cfg(feature = "tracing")]
fn slices(output: &WireBuf) -> Vec<std::io::IoSlice<'_>> {
    let mut slices = vec![std::io::IoSlice::new(&[]); 16];
    loop {
        let filled = output.chunks_vectored(&mut slices);
        if filled < slices.len() {
            slices.truncate(filled);
            return slices;
        }
        slices.resize(2 * filled, std::io::IoSlice::new(&[]));
    }
}
