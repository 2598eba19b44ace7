//! Keep alive, section 3.1.2.10: a ping when nothing else was sent, and a deadline of its own for the answer.

use crate::time::{Instant, earlier};
use core::time::Duration;

/// The clock of one link. Received packets never put a ping off `[MQTT-3.1.2-20]`.
#[derive(Debug)]
pub(crate) struct KeepAlive {
    /// How long the client may be silent; `None` if keep alive is off.
    interval: Option<Duration>,
    /// How long the server may take to answer a ping.
    timeout: Duration,
    /// When bytes were last written to the transport.
    last_sent: Instant,
    /// A ping is to be sent.
    due: bool,
    /// When the oldest ping without an answer counts as lost.
    deadline: Option<Instant>,
    /// Where that ping is on its way out.
    stage: Stage,
    /// When it was written to its end.
    written: Option<Instant>,
    /// What the last answer took.
    round_trip: Option<Duration>,
    /// The driver has stopped reading, an answer would lie unread.
    paused: bool,
}

#[derive(Debug)]
enum Stage {
    /// Due, but not handed out: the transport may be stuck, so the deadline runs already.
    Waiting,
    /// Handed out, with so many bytes to write up to its end.
    Behind(usize),
    /// Written.
    Sent,
}

/// The server has not answered a ping in time.
#[derive(Debug)]
pub(crate) struct Unanswered;

impl KeepAlive {
    pub(crate) fn new(seconds: u16, timeout: Duration, now: Instant) -> Self {
        let interval = interval(seconds);
        Self {
            interval,
            timeout,
            last_sent: now,
            due: false,
            deadline: None,
            stage: Stage::Sent,
            written: None,
            round_trip: None,
            paused: false,
        }
    }

    /// The server's keep alive takes the place of the client's for this link `[MQTT-3.1.2-21]`
    /// `[MQTT-3.2.2-21]`.
    pub(crate) fn set_interval(&mut self, seconds: u16) {
        self.interval = interval(seconds);
    }

    /// Whether nothing was written for the interval, and a PINGREQ is to break the silence.
    pub(crate) const fn ping_due(&self) -> bool {
        self.due
    }

    /// The PINGREQ was handed out; `backlog` bytes up to its end are not written yet.
    pub(crate) fn ping_staged(&mut self, now: Instant, backlog: usize) {
        self.due = false;
        self.last_sent = now;
        if matches!(self.stage, Stage::Waiting) {
            self.stage = Stage::Behind(backlog);
        }
    }

    /// Bytes were written to the transport. Until the ping itself is out, they put off the deadline of its
    /// answer.
    pub(crate) fn transmitted(&mut self, now: Instant, bytes: usize) {
        self.last_sent = now;
        self.due = false;
        match self.stage {
            Stage::Waiting => self.settle(),
            Stage::Behind(backlog) => {
                self.put_off(now);
                self.stage = if bytes < backlog { Stage::Behind(backlog - bytes) } else { Stage::Sent };
                if bytes >= backlog {
                    self.written = Some(now);
                }
            }
            Stage::Sent => {}
        }
    }

    /// PINGRESP arrived; one that nobody asked for changes nothing.
    pub(crate) fn answered(&mut self, now: Instant) {
        if let Some(written) = self.written.take() {
            self.round_trip = Some(now.saturating_duration_since(written));
        }
        self.settle();
    }

    /// What the last answer took.
    pub(crate) const fn round_trip(&self) -> Option<Duration> {
        self.round_trip
    }

    /// No answer is awaited.
    fn settle(&mut self) {
        self.deadline = None;
        self.stage = Stage::Sent;
    }

    /// Bytes moved, though not the answer yet: a large packet before it takes its time.
    pub(crate) fn put_off(&mut self, now: Instant) {
        if self.deadline.is_some() {
            self.deadline = Some(now + self.timeout);
        }
    }

    /// While the driver does not read, no answer can arrive; its deadline starts again when reading does.
    pub(crate) fn set_paused(&mut self, now: Instant, paused: bool) {
        if self.paused && !paused {
            self.put_off(now);
        }
        self.paused = paused;
    }

    /// Notes that a ping is due, or says that an earlier one was not answered in time.
    pub(crate) fn handle_timeout(&mut self, now: Instant) -> Result<(), Unanswered> {
        if self.answer_at().is_some_and(|deadline| deadline <= now) {
            return Err(Unanswered);
        }
        if self.ping_at().is_some_and(|at| at <= now) {
            self.due = true;
            if self.deadline.is_none() {
                self.deadline = Some(now + self.timeout);
                self.stage = Stage::Waiting;
            }
        }
        Ok(())
    }

    pub(crate) fn poll_timeout(&self) -> Option<Instant> {
        earlier(self.ping_at(), self.answer_at())
    }

    fn ping_at(&self) -> Option<Instant> {
        if self.due { None } else { self.interval.map(|interval| self.last_sent + interval) }
    }

    fn answer_at(&self) -> Option<Instant> {
        if self.paused { None } else { self.deadline }
    }
}

fn interval(seconds: u16) -> Option<Duration> {
    (seconds > 0).then(|| Duration::from_secs(seconds.into()))
}
