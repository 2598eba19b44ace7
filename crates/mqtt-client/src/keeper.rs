//! The driver's side of a store: what is to be written, what is being written, and what waits on disk only.
//!
//! The store works on a blocking thread, at one thing at a time; meanwhile the next batch is collected, so that one sync
//! covers all that came during the one before. A message is stored, then accepted, then given to the session: at once if
//! the session has few, otherwise later, in pages, so that memory does not grow with what is on disk.

use crate::cells::CellId;
use crate::room::Size;
use crate::store::{Store, StoreError, Stored};
use bytes::Bytes;
use core::pin::{Pin, pin};
use core::task::{Context, Poll, ready};
use core::time::Duration;
use mqtt_session::{Instant, Overflow, Session, StoreKey, StoreOp, StoredMessage};
use std::collections::VecDeque;
use std::sync::Arc;
use tokio::task::{JoinHandle, spawn_blocking, yield_now};

/// The session is given more while it has less than this to send.
const RESIDENT: Size = Size { messages: 1024, bytes: 1 << 20 };
/// So much is read at once.
const PAGE: usize = 1 << 18;
/// How long to wait before what could not be written is tried again.
const RETRY: Duration = Duration::from_secs(1);
/// What nothing depends on, that a message was delivered above all, is written with the next batch that something depends
/// on, or after this time.
const LINGER: Duration = Duration::from_millis(10);
/// More does not wait.
const LINGERING: usize = 4096;
/// Requests from which on those that nobody waits for any more are looked for.
const REQUESTS: usize = 4096;

pub(crate) struct Keeper {
    /// `None` while it works.
    store: Option<Box<dyn Store>>,
    work: Option<JoinHandle<Finished>>,
    /// What is being written.
    writing: Batch,
    /// What is to be written next.
    next: Batch,
    /// The number of the batch that is collected.
    batch: u64,
    /// Bytes may be written only when this batch has been.
    needed: Option<u64>,
    /// On disk only.
    waiting: Size,
    /// Requests for the messages that wait, by their numbers.
    requests: VecDeque<(u64, CellId)>,
    /// How many there may be before they are looked through.
    requests_limit: usize,
    /// The number of the last message that the session was given.
    given: u64,
    /// What gives way is up to the session, which therefore has to have all.
    pages: bool,
    /// Why the store did not work the last time.
    failure: Option<StoreError>,
    /// Not to be tried before.
    retry_at: Option<Instant>,
    /// When to write what nothing depends on.
    linger_until: Option<Instant>,
    /// Whether the task has let others run since there was something to write.
    turn: Turn,
    /// The client ends: nothing waits any more.
    hurries: bool,
    /// The last thing was to read, although there was something to write.
    read_last: bool,
    /// Stored messages that could not be read.
    damaged: usize,
}

/// What bytes depend on, and no promise, waits for one turn of the task: whoever was told of an acceptance a moment ago has
/// the next message mostly at hand, and both are written together. Otherwise that message waited for a batch of its own,
/// there and back.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Turn {
    /// Nothing waits.
    None,
    /// It waits for others to run.
    Given,
    /// They had their turn.
    Over,
}

/// Changes that are written together.
#[derive(Default)]
struct Batch {
    /// Of the session; no byte that depends on them leaves before they are written.
    ops: Vec<StoreOp>,
    /// Of the handles; they are refused if they cannot be written.
    messages: Vec<Submitted>,
    size: Size,
}

/// A message that is accepted once it is stored.
pub(crate) struct Submitted {
    pub(crate) number: u64,
    pub(crate) cell: CellId,
    pub(crate) stored: StoredMessage,
    pub(crate) value: Bytes,
}

/// What the store has done.
struct Finished {
    store: Box<dyn Store>,
    result: Result<Done, StoreError>,
}

enum Done {
    Written,
    Read(Vec<(u64, Bytes)>),
}

/// What the driver has to tell.
pub(crate) enum News {
    /// It is stored, and thereby accepted. With the message if the session is to have it now.
    Accepted(CellId),
    /// The session is to have this message; with the request that waits for its outcome.
    Give(u64, Option<CellId>, StoredMessage),
    /// It was stored, and found damaged when it was to be sent.
    Lost(CellId),
    /// It could not be stored.
    Refused(CellId, StoreError),
    /// The store does not work.
    Failing(StoreError),
    /// It works again.
    Working,
}

impl Keeper {
    /// Opens the store for this client.
    pub(crate) async fn load(
        mut store: Box<dyn Store>,
        client_id: String,
        overflow: Overflow,
    ) -> Result<(Self, Stored), StoreError> {
        let loading = spawn_blocking(move || {
            let stored = store.load(&client_id);
            stored.map(|stored| (store, stored))
        });
        let (store, stored) = loading.await.map_err(|error| StoreError::Engine(Arc::new(error)))??;
        let waiting = Size { messages: stored.waiting, bytes: stored.waiting_bytes };
        let keeper = Self {
            store: Some(store),
            work: None,
            writing: Batch::default(),
            next: Batch::default(),
            batch: 1,
            needed: None,
            waiting,
            requests: VecDeque::new(),
            requests_limit: REQUESTS,
            given: given(&stored),
            pages: overflow == Overflow::Refuse,
            failure: None,
            retry_at: None,
            linger_until: None,
            turn: Turn::None,
            hurries: false,
            read_last: false,
            damaged: stored.damaged,
        };
        Ok((keeper, stored))
    }

    /// Messages that the session does not have.
    pub(crate) fn held(&self) -> Size {
        self.waiting + self.writing.size + self.next.size
    }

    /// Messages that were found damaged so far.
    pub(crate) fn damaged(&self) -> usize {
        self.damaged
    }

    pub(crate) fn note_damaged(&mut self, entries: usize) {
        self.damaged += entries;
    }

    /// Why it does not work, if so.
    pub(crate) fn failure(&self) -> Option<&StoreError> {
        self.failure.as_ref()
    }

    /// A message is to be stored.
    pub(crate) fn submit(&mut self, message: Submitted) {
        self.next.size += Size::one(message.value.len());
        self.next.messages.push(message);
    }

    /// Takes over what the session wants to be stored. `encoded` says that it has encoded bytes which depend on it.
    pub(crate) fn collect(&mut self, session: &mut Session, encoded: bool) {
        self.next.ops.extend(core::iter::from_fn(|| session.poll_store()));
        if encoded {
            self.needed = if !self.next.ops.is_empty() {
                Some(self.batch)
            } else if !self.writing.ops.is_empty() {
                Some(self.batch - 1)
            } else {
                self.needed
            };
        }
    }

    /// Whether everything is stored on which the encoded bytes depend.
    pub(crate) fn permits(&self) -> bool {
        self.needed.is_none()
    }

    /// Nothing is to be written, and nothing is being written.
    pub(crate) fn is_idle(&self) -> bool {
        self.work.is_none() && self.next.is_empty()
    }

    /// When to try again.
    pub(crate) fn poll_timeout(&self) -> Option<Instant> {
        self.retry_at.or_else(|| self.linger_until.filter(|_| self.store.is_some()))
    }

    /// From now on nothing waits for what may come.
    pub(crate) fn hurry(&mut self) {
        self.hurries = true;
    }

    /// The task runs anew: others had their turn.
    pub(crate) fn resume(&mut self) {
        if self.turn == Turn::Given {
            self.turn = Turn::Over;
        }
    }

    /// Requests for messages that wait on disk, if they are so many that it is time to let go of those that nobody
    /// waits for.
    pub(crate) fn requests_to_sift(&mut self) -> Option<&mut VecDeque<(u64, CellId)>> {
        (self.requests.len() >= self.requests_limit).then_some(&mut self.requests)
    }

    /// They were looked through.
    pub(crate) fn note_sifted(&mut self) {
        self.requests_limit = REQUESTS.max(self.requests.len() * 2);
    }

    /// The connection is gone, and with it the bytes that waited.
    pub(crate) fn forget_output(&mut self) {
        self.needed = None;
    }

    /// Lets the store work. Ready when it has finished something, with what there is to tell.
    pub(crate) fn poll(
        &mut self,
        cx: &mut Context<'_>,
        now: Instant,
        session: &Session,
        news: &mut Vec<News>,
    ) -> Poll<()> {
        self.begin(cx, now, session);
        if self.refuse_without_store(news) {
            return Poll::Ready(());
        }
        let Some(work) = &mut self.work else { return Poll::Pending };
        let finished = ready!(Pin::new(work).poll(cx));
        self.work = None;
        let result = match finished {
            Ok(Finished { store, result }) => {
                self.store = Some(store);
                result
            }
            // It has panicked, or the runtime ends: the store is gone.
            Err(error) => Err(StoreError::Engine(Arc::new(error))),
        };
        match result {
            Ok(done) => {
                if self.failure.take().is_some() {
                    news.push(News::Working);
                }
                match done {
                    Done::Written => self.written(session, news),
                    Done::Read(page) => self.read(page, news),
                }
            }
            Err(error) => self.failed(now, error, news),
        }
        self.begin(cx, now, session);
        Poll::Ready(())
    }

    /// Finds the store something to do, if it has nothing.
    fn begin(&mut self, cx: &mut Context<'_>, now: Instant, session: &Session) {
        self.retry_at = self.retry_at.filter(|at| *at > now);
        // Somebody who asks is told how it is now.
        let due = !self.next.messages.is_empty() || self.retry_at.is_none();
        if !due || self.work.is_some() {
            return;
        }
        let writes = !self.next.is_empty() && !self.lingers(now) && !self.gives_turn(cx);
        let has_room =
            session.queued() < RESIDENT.messages / 2 && session.queued_bytes() < RESIDENT.bytes / 2;
        let reads = self.waiting.messages > 0 && (has_room || !self.pages);
        if !writes && !reads {
            return;
        }
        let Some(mut store) = self.store.take() else { return };
        // In turns: whoever publishes without a pause must not keep the session from having what it can send.
        let read = reads && !(writes && self.read_last);
        self.read_last = read && writes;
        if !read {
            self.linger_until = None;
            self.turn = Turn::None;
            self.writing = core::mem::take(&mut self.next);
            self.batch += 1;
            let (ops, sync) = self.writing.to_write();
            self.work = Some(spawn_blocking(move || {
                let result = store.apply(&ops, sync).map(|()| Done::Written);
                Finished { store, result }
            }));
        } else {
            let after = self.given;
            self.work = Some(spawn_blocking(move || {
                let result = store.waiting(after, PAGE).map(Done::Read);
                Finished { store, result }
            }));
        }
    }

    /// Whether what is to be written waits for more: no bytes depend on it, nor does anybody wait.
    fn lingers(&mut self, now: Instant) -> bool {
        let pressing = self.hurries || self.needed == Some(self.batch) || self.next.is_pressing();
        !pressing && now < *self.linger_until.get_or_insert(now + LINGER)
    }

    /// Whether others are to run first, and wakes the task behind them.
    fn gives_turn(&mut self, cx: &mut Context<'_>) -> bool {
        if self.turn == Turn::Over || self.hurries || self.next.is_pressing() {
            return false;
        }
        if self.turn == Turn::None {
            self.turn = Turn::Given;
            // Its first step asks the runtime to wake the task once the others have run; there is no second.
            _ = pin!(yield_now()).poll(cx);
        }
        true
    }

    fn written(&mut self, session: &Session, news: &mut Vec<News>) {
        let batch = core::mem::take(&mut self.writing);
        if self.needed.is_some_and(|needed| needed < self.batch) {
            self.needed = None;
        }
        let mut has = Size { messages: session.queued(), bytes: session.queued_bytes() };
        for Submitted { number, cell, stored, value } in batch.messages {
            news.push(News::Accepted(cell));
            let room = has.messages < RESIDENT.messages && has.bytes < RESIDENT.bytes;
            // Those before it come first.
            if self.waiting.messages == 0 && (room || !self.pages) {
                has += Size::one(value.len());
                self.given = number;
                news.push(News::Give(number, Some(cell), stored));
            } else {
                self.waiting += Size::one(value.len());
                self.requests.push_back((number, cell));
            }
        }
    }

    fn read(&mut self, page: Vec<(u64, Bytes)>, news: &mut Vec<News>) {
        if page.is_empty() {
            // They were counted, and they are not there.
            self.damaged += self.waiting.messages;
            self.waiting = Size::default();
            news.extend(self.requests.drain(..).map(|(_, cell)| News::Lost(cell)));
        }
        for (number, value) in page {
            self.waiting -= Size::one(value.len());
            self.given = number;
            let request = self.request(number, news);
            match StoredMessage::decode(number, &value) {
                Ok(stored) => news.push(News::Give(number, request, stored)),
                Err(_) => {
                    self.damaged += 1;
                    news.extend(request.map(News::Lost));
                }
            }
        }
    }

    /// Who waits for the outcome of this message; those before it are not there.
    fn request(&mut self, number: u64, news: &mut Vec<News>) -> Option<CellId> {
        while let Some(&(first, cell)) = self.requests.front()
            && first <= number
        {
            self.requests.pop_front();
            if first == number {
                return Some(cell);
            }
            news.push(News::Lost(cell));
        }
        None
    }

    fn failed(&mut self, now: Instant, error: StoreError, news: &mut Vec<News>) {
        let batch = core::mem::take(&mut self.writing);
        let alone = batch.messages.is_empty();
        news.extend(batch.messages.into_iter().map(|message| News::Refused(message.cell, error.clone())));
        // They come before all that was collected since, and are written with it.
        let later = core::mem::replace(&mut self.next.ops, batch.ops);
        self.next.ops.extend(later);
        if self.needed.is_some_and(|needed| needed < self.batch) {
            self.needed = Some(self.batch);
        }
        if self.failure.is_none() {
            news.push(News::Failing(error.clone()));
        }
        // Without the messages it may work.
        self.retry_at = alone.then(|| now + RETRY);
        self.failure = Some(error);
    }

    /// A store that has panicked is gone. True if there was something to refuse.
    fn refuse_without_store(&mut self, news: &mut Vec<News>) -> bool {
        let (None, None, Some(error)) = (&self.store, &self.work, &self.failure) else { return false };
        let messages = core::mem::take(&mut self.next.messages);
        self.next.size = Size::default();
        let refused = !messages.is_empty();
        news.extend(messages.into_iter().map(|message| News::Refused(message.cell, error.clone())));
        refused
    }
}

impl Batch {
    fn is_empty(&self) -> bool {
        self.ops.is_empty() && self.messages.is_empty()
    }

    fn is_pressing(&self) -> bool {
        !self.messages.is_empty() || self.ops.len() > LINGERING || self.ops.iter().any(StoreOp::is_promise)
    }

    /// What to write, and whether it has to be safe from a loss of power.
    fn to_write(&self) -> (Vec<StoreOp>, bool) {
        let messages = self.messages.iter().map(Submitted::op);
        let ops: Vec<StoreOp> = self.ops.iter().cloned().chain(messages).collect();
        let sync = ops.iter().any(StoreOp::is_promise);
        (ops, sync)
    }
}

impl Submitted {
    fn op(&self) -> StoreOp {
        StoreOp::Put(StoreKey::Message(self.number), self.value.clone())
    }
}

/// The number of the last message that is in the snapshot.
fn given(stored: &Stored) -> u64 {
    let numbers = stored.snapshot.entries.iter().map(|(key, _)| match key {
        StoreKey::Message(number) => *number,
        _ => 0,
    });
    numbers.max().unwrap_or(0)
}
