//! What the handles ask of the driver, and what it answers: two vectors and a slab under one small mutex.
//!
//! Handles push, the driver swaps out what was pushed and owns the session alone: decoding, acknowledgements and timers
//! never run under this lock. Nothing is woken, dropped or called under it either.

use crate::ack::Answer;
use crate::authentication::Reauthenticating;
use crate::cells::{CellId, Cells, Fate, set_waker};
use crate::connection::{Event, Events};
use crate::delivery::{HolderId, Inbox};
use crate::error::{Closed, PublishError};
use crate::gauges::Gauges;
use crate::queue::{Queue, QueuePolicy};
use crate::responses::Responses;
use crate::room::{Room, Size, Ticket};
use crate::sync::{Mutex, MutexGuard};
use core::task::{Context, Poll, Waker};
use mqtt_session::{
    Disconnect, Message, Negotiated, Outcome, Overflow, PropertiesBuf, SubscriptionOptions, TopicFilter,
    UsageError, Version,
};
use std::collections::VecDeque;
use std::sync::Arc;

/// One request to the driver.
#[derive(Debug)]
pub(crate) enum Command {
    Publish(Message, CellId),
    Subscribe(Box<Subscribe>),
    /// Whoever holds these filters loses them.
    Unsubscribe(Vec<TopicFilter>, PropertiesBuf, CellId),
    /// A subscription ends; its filters with it, unless others hold them. The answer may be waited for.
    Leave(HolderId, Option<CellId>),
    /// A subscription ends; its filters stay.
    Detach(HolderId),
    /// A stream of what no subscription takes.
    Unmatched(HolderId, Arc<Inbox>),
    Reauthenticate(Reauthenticating),
    /// Where answers to requests arrive.
    Responses(Arc<Inbox>),
}

impl Command {
    /// There is no driver to take it. What waits for a cell is told by that; a stream has only its end.
    pub(crate) fn go_unheard(self) -> Option<Waker> {
        match self {
            Self::Unmatched(_, inbox) => inbox.queue.end(),
            _ => None,
        }
    }
}

#[derive(Debug)]
pub(crate) struct Subscribe {
    pub(crate) filters: Vec<(TopicFilter, SubscriptionOptions)>,
    pub(crate) properties: PropertiesBuf,
    pub(crate) holder: HolderId,
    pub(crate) inbox: Arc<Inbox>,
    pub(crate) cell: CellId,
}

/// How the client is told to end.
#[derive(Clone, Debug)]
pub(crate) enum Stop {
    /// Say goodbye with this.
    Disconnect(Disconnect),
    /// Cut.
    Abort,
    /// The last handle is gone: say goodbye.
    Released,
}

impl Stop {
    pub(crate) fn closed(&self) -> Closed {
        match self {
            Self::Disconnect(_) => Closed::Disconnected,
            Self::Abort => Closed::Aborted,
            Self::Released => Closed::Dropped,
        }
    }
}

/// What the driver takes over, and what it brings along.
#[derive(Debug, Default)]
pub(crate) struct Exchange {
    pub(crate) commands: Vec<Command>,
    pub(crate) acks: Vec<Answer>,
    /// Full queues that have room again.
    pub(crate) reopened: usize,
    pub(crate) stop: Option<Stop>,
    /// Requests that are answered.
    pub(crate) settled: Vec<(CellId, Fate)>,
    /// Messages that are stored.
    pub(crate) accepted: Vec<CellId>,
    /// To be woken once the lock is released.
    pub(crate) wakers: Vec<Waker>,
}

impl Exchange {
    fn has_news(&self) -> bool {
        !self.commands.is_empty() || !self.acks.is_empty() || self.reopened > 0 || self.stop.is_some()
    }
}

/// What the driver holds, as it tells the handles.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Load {
    /// Messages not yet sent.
    pub(crate) queued: Size,
    /// Requests without an answer, whether sent or not.
    pub(crate) open: usize,
    pub(crate) gauges: Gauges,
}

#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) responses: Responses,
    /// There is a store: a message is accepted once it is in there.
    pub(crate) durable: bool,
    inner: Mutex<Inner>,
}

#[derive(Debug)]
struct Inner {
    commands: Vec<Command>,
    acks: Vec<Answer>,
    reopened: usize,
    stop: Option<Stop>,
    cells: Cells,
    room: Room,
    /// The driver sleeps and wants to be woken.
    parked: Option<Waker>,
    /// Requests that the driver has, but has not answered.
    open: usize,
    gauges: Gauges,
    drains: Vec<Waker>,
    next_holder: HolderId,
    listeners: Vec<Arc<Queue<Event>>>,
    /// Of whoever asks for events first: it has them from the beginning.
    first_listener: Option<Arc<Queue<Event>>>,
    /// The version that is or will be spoken, once that is certain.
    version: Option<Version>,
    /// What holds while there is a connection.
    negotiated: Option<Negotiated>,
    /// Nothing more is taken.
    closed: Option<Closed>,
    /// Why the goodbye was another one than asked for.
    goodbye_refused: Option<UsageError>,
    /// The driver is gone.
    ended: bool,
}

impl Shared {
    pub(crate) fn new((limit, overflow): (Size, Overflow), durable: bool) -> Self {
        let first_listener = Arc::new(Queue::new(Events::CAPACITY, QueuePolicy::DropOldest));
        Self {
            responses: Responses::new(),
            durable,
            inner: Mutex::new(Inner {
                commands: Vec::new(),
                acks: Vec::new(),
                reopened: 0,
                stop: None,
                cells: Cells::default(),
                room: Room::new(limit, overflow == Overflow::Refuse),
                parked: None,
                open: 0,
                gauges: Gauges::default(),
                drains: Vec::new(),
                next_holder: HolderId::default(),
                listeners: vec![first_listener.clone()],
                first_listener: Some(first_listener),
                version: None,
                negotiated: None,
                closed: None,
                goodbye_refused: None,
                ended: false,
            }),
        }
    }

    /// Hands a message over if there is room for it.
    pub(crate) fn try_publish(&self, message: Message) -> Result<CellId, PublishError> {
        let size = size_of(&message);
        let mut inner = self.lock();
        inner.check_open()?;
        inner.check(&message, size)?;
        if !inner.room.try_enter(size) {
            return Err(PublishError::QueueFull);
        }
        let (cell, driver) = inner.submit_publish(message, self.durable);
        drop(inner);
        wake(driver);
        Ok(cell)
    }

    /// Hands a message over, or waits in line for room. `message` is taken when it is handed over.
    pub(crate) fn poll_publish(
        &self,
        message: &mut Option<Message>,
        ticket: &mut Option<Ticket>,
        cx: &mut Context<'_>,
    ) -> Poll<Result<CellId, PublishError>> {
        let mut displaced = None;
        let Some(offered) = message else { return Poll::Pending };
        let size = size_of(offered);
        let mut inner = self.lock();
        inner.check_open()?;
        let entered = match *ticket {
            Some(ticket) => inner.room.poll_turn(ticket, cx.waker(), &mut displaced),
            None => {
                inner.check(offered, size)?;
                inner.room.try_enter(size)
            }
        };
        if let Some(message) = message.take_if(|_| entered) {
            *ticket = None;
            let (cell, driver) = inner.submit_publish(message, self.durable);
            drop(inner);
            wake(driver);
            return Poll::Ready(Ok(cell));
        }
        if ticket.is_none() {
            *ticket = Some(inner.room.join(size, cx.waker()));
        }
        Poll::Pending
    }

    /// Gives up waiting for room.
    pub(crate) fn leave_line(&self, ticket: Ticket) {
        let mut woken = Vec::new();
        let mut inner = self.lock();
        let left = inner.room.leave(ticket);
        inner.room.call(&mut woken);
        drop(inner);
        drop(left);
        woken.into_iter().for_each(Waker::wake);
    }

    /// Hands over a request that wants an answer, and that no bound holds back.
    pub(crate) fn submit(&self, command: impl FnOnce(CellId) -> Command) -> Result<CellId, Closed> {
        let mut inner = self.lock();
        inner.check_open()?;
        let cell = inner.cells.open();
        inner.commands.push(command(cell));
        let driver = inner.parked.take();
        drop(inner);
        wake(driver);
        Ok(cell)
    }

    /// Hands over a request that wants no answer.
    pub(crate) fn tell(&self, command: Command) {
        let mut inner = self.lock();
        if inner.ended {
            drop(inner);
            wake(command.go_unheard());
            return;
        }
        inner.commands.push(command);
        let driver = inner.parked.take();
        drop(inner);
        wake(driver);
    }

    /// An application has taken a message: it is to be answered, and its full queue may have room again.
    pub(crate) fn message_taken(&self, ack: Option<Answer>, reopened: bool) {
        if ack.is_none() && !reopened {
            return;
        }
        let mut inner = self.lock();
        if inner.ended {
            return;
        }
        inner.acks.extend(ack);
        inner.reopened += usize::from(reopened);
        let driver = inner.parked.take();
        drop(inner);
        wake(driver);
    }

    #[inline(always)]
    pub(crate) fn poll_cell(&self, cell: CellId, cx: &mut Context<'_>) -> Poll<Fate> {
        let mut displaced = None;
        let mut inner = self.lock();
        inner.cells.poll(cell, cx.waker(), &mut displaced)
    }

    /// Ready when a message that was handed over is stored, or will not be.
    pub(crate) fn poll_accepted(&self, cell: CellId, cx: &mut Context<'_>) -> Poll<Result<(), PublishError>> {
        let mut displaced = None;
        let mut inner = self.lock();
        let accepted = inner.cells.poll_accepted(cell, cx.waker(), &mut displaced);
        accepted.map_err(|fate| match fate {
            Fate::NotStored(error) => (*error).into(),
            Fate::Refused(error) => error.into(),
            Fate::Outcome(_) | Fate::Closed => inner.closed.clone().unwrap_or(Closed::TaskEnded).into(),
        })
    }

    pub(crate) fn forget_cell(&self, cell: CellId) {
        let forgotten = self.lock().cells.forget(cell);
        drop(forgotten);
    }

    /// Drops the requests whose tokens are gone, and frees their cells. The driver owes them nothing any more.
    pub(crate) fn release_forgotten(&self, requests: &mut VecDeque<(u64, CellId)>) {
        let mut inner = self.lock();
        requests.retain(|(_, cell)| !inner.cells.release_forgotten(*cell));
    }

    pub(crate) fn new_holder(&self) -> HolderId {
        let mut inner = self.lock();
        inner.next_holder.0 += 1;
        inner.next_holder
    }

    /// Asks the driver to end. From now on nothing more is taken.
    pub(crate) fn stop(&self, stop: Stop) {
        let mut inner = self.lock();
        // A goodbye may be cut short, nothing else changes an end that was begun.
        if inner.stop.is_none() && inner.closed.is_none() || matches!(stop, Stop::Abort) && !inner.ended {
            inner.closed = Some(stop.closed());
            inner.stop = Some(stop);
        }
        let driver = inner.parked.take();
        drop(inner);
        wake(driver);
    }

    /// How the client ended, or was told to.
    pub(crate) fn closed(&self) -> Option<Closed> {
        self.lock().closed.clone()
    }

    /// Ready with 0 when nothing waits to be sent or answered, or with what is left when the driver is gone.
    pub(crate) fn poll_drained(&self, cx: &mut Context<'_>) -> Poll<usize> {
        let waker = cx.waker().clone();
        let mut inner = self.lock();
        let left = inner.left();
        if left == 0 || inner.ended {
            return Poll::Ready(left);
        }
        // One that is polled often waits once.
        if !inner.drains.iter().any(|waiting| waiting.will_wake(&waker)) {
            inner.drains.push(waker);
            return Poll::Pending;
        }
        drop(inner);
        Poll::Pending
    }

    /// Requests that wait to be sent or answered.
    pub(crate) fn left(&self) -> usize {
        self.lock().left()
    }

    pub(crate) fn gauges(&self) -> Gauges {
        self.lock().gauges
    }

    /// Messages that wait to be sent.
    pub(crate) fn queued(&self) -> Size {
        self.lock().room.used()
    }

    pub(crate) fn listen(&self) -> Arc<Queue<Event>> {
        let mut inner = self.lock();
        if let Some(queue) = inner.first_listener.take() {
            return queue;
        }
        let queue = Arc::new(Queue::new(Events::CAPACITY, QueuePolicy::DropOldest));
        if inner.ended {
            queue.end();
        } else {
            inner.listeners.push(queue.clone());
        }
        queue
    }

    /// The driver's side of the counter: brings answers, takes requests. Without news it parks, if it wants to.
    /// Returns whether there are news.
    pub(crate) fn exchange(&self, exchange: &mut Exchange, load: Load, park: Option<&Waker>) -> bool {
        let mut displaced = None;
        let mut inner = self.lock();
        for cell in exchange.accepted.drain(..) {
            exchange.wakers.extend(inner.cells.accept(cell));
        }
        for (cell, fate) in exchange.settled.drain(..) {
            exchange.wakers.extend(inner.cells.settle(cell, fate));
        }
        inner.room.set_taken(load.queued);
        inner.open = load.open;
        inner.gauges = load.gauges;
        if exchange.commands.is_empty() {
            core::mem::swap(&mut exchange.commands, &mut inner.commands);
            inner.room.take_submitted();
        }
        if exchange.acks.is_empty() {
            core::mem::swap(&mut exchange.acks, &mut inner.acks);
        }
        exchange.reopened += core::mem::take(&mut inner.reopened);
        if inner.stop.is_some() {
            exchange.stop = inner.stop.take();
        }
        inner.room.call(&mut exchange.wakers);
        if inner.left() == 0 {
            exchange.wakers.append(&mut inner.drains);
        }
        let news = exchange.has_news();
        if let Some(waker) = park.filter(|_| !news) {
            displaced = set_waker(&mut inner.parked, waker);
        }
        drop(inner);
        drop(displaced);
        exchange.wakers.drain(..).for_each(Waker::wake);
        news
    }

    /// The version that is spoken, as far as it is known.
    pub(crate) fn version(&self) -> Option<Version> {
        self.lock().version
    }

    pub(crate) fn set_version(&self, version: Version) {
        self.lock().version = Some(version);
    }

    pub(crate) fn set_goodbye_refused(&self, refused: UsageError) {
        self.lock().goodbye_refused = Some(refused);
    }

    pub(crate) fn goodbye_refused(&self) -> Option<UsageError> {
        self.lock().goodbye_refused
    }

    pub(crate) fn set_negotiated(&self, negotiated: Option<Negotiated>) {
        let earlier = core::mem::replace(&mut self.lock().negotiated, negotiated);
        drop(earlier);
    }

    /// Tells all listeners.
    pub(crate) fn announce(&self, event: &Event) {
        let mut inner = self.lock();
        // Nobody else holds the queue of a listener that is gone.
        let gone: Vec<_> = inner.listeners.extract_if(.., |queue| Arc::strong_count(queue) == 1).collect();
        let listeners = inner.listeners.clone();
        drop(inner);
        drop(gone);
        let wakers: Vec<Waker> =
            listeners.iter().filter_map(|queue| queue.push(event.clone()).reader).collect();
        wakers.into_iter().for_each(Waker::wake);
    }

    /// The driver ends. What it has not answered is settled, whoever waits is woken.
    /// Returns what nobody takes any more.
    pub(crate) fn close(&self, closed: Closed, exchange: &mut Exchange) -> Vec<Command> {
        let mut inner = self.lock();
        inner.ended = true;
        inner.closed.get_or_insert(closed);
        let mut wakers = Vec::new();
        for cell in exchange.accepted.drain(..) {
            wakers.extend(inner.cells.accept(cell));
        }
        for (cell, fate) in exchange.settled.drain(..) {
            wakers.extend(inner.cells.settle(cell, fate));
        }
        for (cell, accepted) in inner.cells.unsettled() {
            let stored = self.durable && accepted;
            let fate = if stored { Fate::Outcome(Outcome::Stored) } else { Fate::Closed };
            wakers.extend(inner.cells.settle(cell, fate));
        }
        wakers.append(&mut inner.room.close());
        wakers.append(&mut inner.drains);
        let listeners = core::mem::take(&mut inner.listeners);
        let unheard = core::mem::take(&mut inner.commands);
        let dropped = (core::mem::take(&mut inner.acks), inner.parked.take());
        drop(inner);
        drop(dropped);
        wakers.extend(listeners.iter().filter_map(|queue| queue.end()));
        wakers.into_iter().for_each(Waker::wake);
        unheard
    }

    /// A panic under the lock is a bug, but no reason for another one: what the lock guards is whole after each step.
    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock()
    }
}

impl Inner {
    /// Whether a message can be sent at all, as far as is known now. The session looks again when it sends it.
    /// Whether anything is taken.
    #[inline]
    fn check_open(&self) -> Result<(), Closed> {
        match &self.closed {
            None => Ok(()),
            Some(closed) => Err(closed.clone()),
        }
    }

    fn check(&self, message: &Message, size: Size) -> Result<(), PublishError> {
        if let Some(version) = self.version.filter(|version| !version.is_v5())
            && !message.properties.is_empty()
        {
            return Err(UsageError::NotInVersion { option: "properties", version }.into());
        }
        let Some(server) = &self.negotiated else { return Ok(()) };
        if message.qos > server.maximum_qos {
            return Err(UsageError::QosNotSupported { qos: message.qos, maximum: server.maximum_qos }.into());
        }
        if message.retain && !server.retain_available {
            return Err(UsageError::RetainNotSupported.into());
        }
        let size = size.bytes;
        match server.maximum_packet_size {
            Some(limit) if size > limit as usize => Err(UsageError::PacketTooLarge { size, limit }.into()),
            _ => Ok(()),
        }
    }

    #[inline(always)]
    fn submit_publish(&mut self, message: Message, durable: bool) -> (CellId, Option<Waker>) {
        let cell = if durable { self.cells.open_pending() } else { self.cells.open() };
        self.commands.push(Command::Publish(message, cell));
        (cell, self.parked.take())
    }

    fn left(&self) -> usize {
        self.open + self.commands.len()
    }
}

/// What a message counts for in the queue.
pub(crate) fn size_of(message: &Message) -> Size {
    Size::one(message.topic.len() + message.payload.len() + message.properties.len())
}

fn wake(waker: Option<Waker>) {
    if let Some(waker) = waker {
        waker.wake();
    }
}

/// Held by every `Client` and `Subscription`; the last one to go ends the driver.
#[derive(Debug)]
pub(crate) struct Handle {
    pub(crate) shared: Arc<Shared>,
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.shared.stop(Stop::Released);
    }
}

#[cfg(all(test, handover_model))]
mod models;
