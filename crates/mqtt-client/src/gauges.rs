//! What a client measures of itself.

use core::time::Duration;
use mqtt_session::{Instant, Token};

/// Numbers of the moment.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Gauges {
    pub(crate) in_flight: usize,
    pub(crate) ping_round_trip: Option<Duration>,
    pub(crate) ack_latency: Option<Duration>,
}

/// How long acknowledgements take: of one message after the other, so that it costs next to nothing.
#[derive(Debug, Default)]
pub(crate) struct AckLatency {
    /// The message that is measured, and when it left.
    measured: Option<(Token, Instant)>,
    last: Option<Duration>,
}

impl AckLatency {
    /// Whether the next message can be measured.
    pub(crate) fn is_free(&self) -> bool {
        self.measured.is_none()
    }

    pub(crate) fn begin(&mut self, token: Token, now: Instant) {
        self.measured = Some((token, now));
    }

    /// Whether it is this message that is measured.
    pub(crate) fn measures(&self, token: Token) -> bool {
        self.measured.is_some_and(|(measured, _)| measured == token)
    }

    /// Its acknowledgement has come, or something else in its place.
    pub(crate) fn end(&mut self, now: Instant, acknowledged: bool) {
        if let Some((_, since)) = self.measured.take().filter(|_| acknowledged) {
            self.last = Some(now.saturating_duration_since(since));
        }
    }

    /// The connection is gone, and with it what was measured on it.
    pub(crate) fn reset(&mut self) {
        *self = Self::default();
    }

    pub(crate) fn last(&self) -> Option<Duration> {
        self.last
    }
}
