//! The client's clock, and the one timer that it needs.

use core::pin::Pin;
use core::task::{Context, Poll};
use core::time::Duration;
use mqtt_session::Instant;
use tokio::time::{Sleep, sleep};

/// Tells the time since the start of the client's task; or since 1970, if moments are to mean something to the next
/// process too.
pub(crate) struct Clock {
    start: tokio::time::Instant,
    /// What it showed then.
    shown: Duration,
    timer: Pin<Box<Sleep>>,
    /// When the timer goes off.
    armed: Option<Instant>,
}

impl Clock {
    pub(crate) fn new() -> Self {
        Self { start: read(), shown: Duration::ZERO, timer: Box::pin(sleep(Duration::ZERO)), armed: None }
    }

    /// Shows from now on the time since 1970. It does not follow when that clock is set.
    pub(crate) fn show_calendar_time(&mut self) {
        self.start = read();
        self.shown = read_calendar();
    }

    /// The same moment on tokio's clock.
    pub(crate) fn tokio_now() -> tokio::time::Instant {
        read()
    }

    pub(crate) fn now(&self) -> Instant {
        Instant::from_duration(self.shown + read().saturating_duration_since(self.start))
    }

    /// Whether `deadline` has come; otherwise the task is woken then, or earlier.
    ///
    /// A deadline that moves away, as keep alive does with each packet, leaves the timer as it is: when it goes off too
    /// early it is set once more. So it is set once in an interval, and not once for each packet.
    pub(crate) fn poll(&mut self, cx: &mut Context<'_>, now: Instant, deadline: Option<Instant>) -> bool {
        let Some(deadline) = deadline else { return false };
        if deadline <= now {
            return true;
        }
        if self.armed.is_none_or(|armed| deadline < armed) {
            // A deadline beyond all calendars is none.
            let since_start = deadline.as_duration().saturating_sub(self.shown);
            let Some(at) = self.start.checked_add(since_start) else { return false };
            self.timer.as_mut().reset(at);
            self.armed = Some(deadline);
        }
        match self.timer.as_mut().poll(cx) {
            Poll::Ready(()) => {
                self.armed = None;
                true
            }
            Poll::Pending => false,
        }
    }
}

#[expect(clippy::disallowed_methods, reason = "this is the one place that reads a clock")]
fn read_calendar() -> Duration {
    std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default()
}

#[expect(clippy::disallowed_methods, reason = "this is the one place that reads a clock")]
fn read() -> tokio::time::Instant {
    tokio::time::Instant::now()
}
