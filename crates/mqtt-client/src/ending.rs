//! What the end of a connection, or of an attempt, leads to.

use crate::clock::Clock;
use crate::connection::{Event, State};
use crate::driver::Driver;
use crate::error::ConnectError;
use crate::reconnect::Ending;
use crate::submissions::Stop;
use core::time::Duration;

/// Why there is no connection any more.
pub(crate) enum Over {
    Stopped(Stop),
    Failed(ConnectError),
}

impl Driver {
    /// How long the connection was up that has just ended; `None` if there was none.
    pub(crate) fn held(&mut self) -> Option<Duration> {
        self.up_since.take().map(|since| self.clock.now().saturating_duration_since(since))
    }

    /// Looks at the end of a connection beside those before it: several of a kind can mean more than the last alone.
    pub(crate) fn judge(&mut self, cause: ConnectError, held: Option<Duration>) -> ConnectError {
        let ending = Ending {
            held,
            // A 5.0 server says when another client takes over `[MQTT-3.1.4-3]`.
            wordless: matches!(cause, ConnectError::PeerClosed) && !self.session.version().is_v5(),
            heard: core::mem::take(&mut self.heard),
            unanswered: self.session.in_flight() > 0 || self.requests.subscribing() > 0,
        };
        match self.backoff.ended(&ending) {
            Some(connections) => ConnectError::AssumedTakeover { connections },
            None => cause,
        }
    }

    /// How long to wait before the next attempt; `None` if there is to be none.
    pub(crate) fn retry_delay(&mut self, cause: &ConnectError, held: Option<Duration>) -> Option<Duration> {
        let stable = held.is_some_and(|held| self.backoff.is_stable(held));
        let retry_in = if self.plan.servers.turn(cause, held.is_some(), stable) {
            Some(Duration::ZERO)
        } else if self.first.is_some()
            || !(cause.is_retryable() || self.plan.has_other_credentials(cause))
            || (!self.established && cause.closed_in_handshake())
        {
            None
        } else {
            self.backoff.next_delay(fastrand::f64())
        };
        let failures = self.backoff.row();
        self.status.send_modify(|status| {
            status.failures = failures;
            status.last_error = Some(cause.clone());
            status.negotiated = None;
            if let Some(delay) = retry_in {
                status.enter(State::Waiting { delay }, Clock::tokio_now());
            }
        });
        self.announce(&Event::Disconnected { cause: cause.clone(), retry_in });
        if retry_in.is_none()
            && let Some(first) = self.first.take()
        {
            // A receiver that is gone has dropped its handle too, which ends the client.
            _ = first.send(Err(cause.clone()));
        }
        retry_in
    }
}
