//! Between the clients' tasks and the thread that writes: batches under one small mutex, held for a moment only.

use crate::batch::{Batch, Load};
use core::time::Duration;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

/// So long the writer lets notes gather.
const GATHER: Duration = Duration::from_millis(50);
/// So many need not wait for more.
const PLENTY: usize = 10_000;
/// How long after a failure it tries again.
const RETRY: Duration = Duration::from_millis(100);
/// Emptied batches that are kept for their memory, and how large they may be.
const SPARE: usize = 16;
const SPARE_BYTES: usize = 256 * 1024;

#[derive(Debug)]
pub(crate) struct Queue {
    /// What may wait.
    limit: Load,
    state: Mutex<State>,
    /// For the writer.
    work: Condvar,
    /// For those who wait for the writer.
    progress: Condvar,
}

#[derive(Debug, Default)]
struct State {
    batches: Vec<Batch>,
    spare: Vec<Batch>,
    losses: Vec<Loss>,
    /// What waits, that which the writer has taken and not written included.
    load: Load,
    /// Notes in `batches`.
    notes: usize,
    /// Notes so far.
    handed: u64,
    /// Of them, those that are written or given up.
    settled: u64,
    counts: Counts,
    error: Option<String>,
    /// The writer sleeps until there is something.
    idle: bool,
    /// Somebody waits: no gathering.
    hurry: bool,
    closing: bool,
    ended: bool,
}

/// Messages that were not logged because too much waited.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Loss {
    pub(crate) client_id: Option<Arc<str>>,
    /// When the first of them was lost.
    pub(crate) at: i64,
    pub(crate) messages: u64,
}

#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Counts {
    pub(crate) written: u64,
    pub(crate) lost: u64,
    pub(crate) redacted: u64,
}

/// How a log is doing, from [`MessageLog::status`](crate::MessageLog::status).
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct LogStatus {
    /// Messages that were written.
    pub written: u64,
    /// Messages that were not logged because too much waited to be written, or because it could not be written before the end.
    /// The table `loss` tells when.
    pub lost: u64,
    /// Messages that the [redaction hook](crate::LogOptions::redact) dropped.
    pub redacted: u64,
    /// Messages that wait to be written.
    pub waiting: usize,
    /// Why nothing can be written at the moment, if so.
    pub error: Option<String>,
}

/// What the writer is given.
#[derive(Debug)]
pub(crate) struct Work {
    pub(crate) batches: Vec<Batch>,
    pub(crate) losses: Vec<Loss>,
    pub(crate) closing: bool,
}

impl Queue {
    pub(crate) fn new(limit: Load) -> Self {
        Self { limit, state: Mutex::default(), work: Condvar::new(), progress: Condvar::new() }
    }

    /// What may be added now.
    pub(crate) fn room(&self) -> Load {
        self.limit.without(self.lock().load)
    }

    /// Takes over what a client's task has collected. Returns what may be added next.
    pub(crate) fn hand_over(&self, batch: &mut Batch, loss: Option<Loss>) -> Load {
        let mut state = self.lock();
        if let Some(loss) = loss {
            state.counts.lost += loss.messages;
            state.note_loss(loss);
        }
        let before = state.notes;
        state.notes += batch.notes.len();
        state.handed += batch.notes.len() as u64;
        state.load = state.load.and(batch.load);
        state.put(batch);
        let wanted = state.idle || (before < PLENTY && state.notes >= PLENTY);
        state.idle = false;
        let room = self.limit.without(state.load);
        drop(state);
        if wanted {
            self.work.notify_one();
        }
        room
    }

    /// The writer's turn: waits for something to do, but not longer than `tick`. After a failure it waits a little.
    pub(crate) fn take(&self, tick: Duration, failed: bool) -> Work {
        let mut state = self.lock();
        if failed {
            state = self.wait(&self.work, state, RETRY, |state| !state.closing);
        } else {
            state.idle = true;
            state = self.wait(&self.work, state, tick, |state| {
                state.batches.is_empty() && state.losses.is_empty() && !state.hurry && !state.closing
            });
            state.idle = false;
            if !state.batches.is_empty() {
                state = self.wait(&self.work, state, GATHER, |state| {
                    state.notes < PLENTY && !state.hurry && !state.closing
                });
            }
        }
        state.hurry = false;
        state.notes = 0;
        Work {
            batches: core::mem::take(&mut state.batches),
            losses: core::mem::take(&mut state.losses),
            closing: state.closing,
        }
    }

    /// These are done with: written, or given up as `counts` says.
    pub(crate) fn settled(&self, batches: impl Iterator<Item = Batch>, counts: Counts) {
        let mut state = self.lock();
        for mut batch in batches {
            state.settled += batch.notes.len() as u64;
            state.load = state.load.without(batch.load);
            if state.spare.len() < SPARE && batch.bytes.capacity() <= SPARE_BYTES {
                batch.clear();
                state.spare.push(batch);
            }
        }
        state.counts.written += counts.written;
        state.counts.lost += counts.lost;
        state.counts.redacted += counts.redacted;
        state.error = None;
        drop(state);
        self.progress.notify_all();
    }

    pub(crate) fn failed(&self, error: String) {
        self.lock().error = Some(error);
    }

    /// The writer is gone.
    pub(crate) fn ended(&self) {
        self.lock().ended = true;
        self.progress.notify_all();
    }

    /// Waits until everything that was handed over by now is written. False if that takes too long.
    pub(crate) fn wait_settled(&self, limit: Duration) -> bool {
        let mut state = self.lock();
        let wanted = state.handed;
        state.hurry = true;
        self.work.notify_one();
        state = self.wait(&self.progress, state, limit, |state| state.settled < wanted && !state.ended);
        state.settled >= wanted
    }

    /// No more comes. Waits for the writer's end, but not longer than this.
    pub(crate) fn close(&self, limit: Duration) {
        let mut state = self.lock();
        state.closing = true;
        self.work.notify_one();
        drop(self.wait(&self.progress, state, limit, |state| !state.ended));
    }

    pub(crate) fn status(&self) -> LogStatus {
        let state = self.lock();
        let Counts { written, lost, redacted } = state.counts;
        LogStatus { written, lost, redacted, waiting: state.load.messages, error: state.error.clone() }
    }

    fn wait<'a>(
        &self,
        condition: &Condvar,
        state: MutexGuard<'a, State>,
        limit: Duration,
        unmet: impl FnMut(&mut State) -> bool,
    ) -> MutexGuard<'a, State> {
        condition.wait_timeout_while(state, limit, unmet).unwrap_or_else(PoisonError::into_inner).0
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Behind what stands there of the same client, or as a batch of its own.
    fn put(&mut self, batch: &mut Batch) {
        if batch.notes.is_empty() {
            return;
        }
        if let Some(last) = self.batches.last_mut()
            && last.source == batch.source
            && last.client_id == batch.client_id
            && !last.is_full()
        {
            last.append(batch);
            return;
        }
        let mut next = self.spare.pop().unwrap_or_else(Batch::roomy);
        (next.source, next.client_id) = (batch.source, batch.client_id.clone());
        self.batches.push(core::mem::replace(batch, next));
    }

    fn note_loss(&mut self, loss: Loss) {
        match self.losses.iter_mut().find(|other| other.client_id == loss.client_id) {
            Some(earlier) => earlier.messages += loss.messages,
            None => self.losses.push(loss),
        }
    }
}
