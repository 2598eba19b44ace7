//! What a client shows to those who observe the program: by the features `tracing` and `metrics`, and nothing without.

use crate::connection::Event;
#[cfg(any(feature = "tracing", feature = "metrics"))]
use crate::frames::{Frame, Frames};
#[cfg(feature = "metrics")]
use crate::meters::Meters;
use crate::plan::Plan;
use crate::submissions::Load;
use crate::trace;
#[cfg(any(feature = "tracing", feature = "metrics"))]
use bytes::Buf;
use mqtt_session::WireBuf;

pub(crate) struct Observer {
    #[cfg(any(feature = "tracing", feature = "metrics"))]
    sent: Frames,
    #[cfg(any(feature = "tracing", feature = "metrics"))]
    received: Frames,
    #[cfg(feature = "metrics")]
    meters: Meters,
}

impl Observer {
    pub(crate) fn new(_plan: &Plan) -> Self {
        Self {
            #[cfg(any(feature = "tracing", feature = "metrics"))]
            sent: Frames::default(),
            #[cfg(any(feature = "tracing", feature = "metrics"))]
            received: Frames::default(),
            #[cfg(feature = "metrics")]
            meters: Meters::new(_plan.client_id().as_str()),
        }
    }

    /// A connection begins, and with it both streams of packets.
    pub(crate) fn opened(&mut self) {
        #[cfg(any(feature = "tracing", feature = "metrics"))]
        {
            self.sent = Frames::default();
            self.received = Frames::default();
        }
    }

    pub(crate) fn event(&mut self, event: &Event) {
        trace::event(event);
        #[cfg(feature = "metrics")]
        self.meters.event(event);
    }

    /// These bytes were read.
    pub(crate) fn received(&mut self, _bytes: &[u8]) {
        #[cfg(any(feature = "tracing", feature = "metrics"))]
        self.received.look(_bytes, |frame: Frame| {
            trace::received(frame);
            #[cfg(feature = "metrics")]
            self.meters.received(frame);
        });
    }

    /// The output has grown; before, it had so many bytes.
    pub(crate) fn encoded(&mut self, _output: &WireBuf, _before: usize) {
        #[cfg(any(feature = "tracing", feature = "metrics"))]
        {
            let mut known = _before;
            for slice in &slices(_output) {
                let new = slice.get(known..).unwrap_or_default();
                known = known.saturating_sub(slice.len());
                self.sent.look(new, |frame: Frame| {
                    trace::sent(frame);
                    #[cfg(feature = "metrics")]
                    self.meters.sent(frame);
                });
            }
        }
    }

    /// A message of the application had to give way.
    pub(crate) fn dropped(&self) {
        #[cfg(feature = "metrics")]
        self.meters.dropped();
    }

    /// So often a subscription had no room for a message.
    pub(crate) fn deliveries_dropped(&self, _messages: u64) {
        #[cfg(feature = "metrics")]
        self.meters.deliveries_dropped(_messages);
    }

    /// So many messages came that nobody takes.
    pub(crate) fn unclaimed(&self, _messages: u64) {
        #[cfg(feature = "metrics")]
        self.meters.unclaimed(_messages);
    }

    /// How much there is at the moment.
    pub(crate) fn load(&self, _load: &Load) {
        #[cfg(feature = "metrics")]
        self.meters.load(_load);
    }
}

/// All that there is, uncopied.
#[cfg(any(feature = "tracing", feature = "metrics"))]
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
