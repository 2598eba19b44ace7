//! The one task of a client: it owns the session and the transport, and is the only place that asks a clock.

use crate::authentication::Authentication;
use crate::clock::Clock;
use crate::connection::{Event, State, Status};
use crate::delivery::{Effects, Inbox};
use crate::early::Early;
use crate::ending::Over;
use crate::error::{Closed, ConnectError};
use crate::gauges::{AckLatency, Gauges};
use crate::journal::Tap;
use crate::keeper::Keeper;
use crate::link::Link;
use crate::observer::Observer;
use crate::plan::{Opened, Plan};
use crate::presence::Told;
use crate::reconnect::Backoff;
use crate::requests::Requests;
use crate::room::Size;
use crate::router::Router;
use crate::submissions::{Command, Exchange, Load, Shared, Stop};
use crate::trace;
use core::future::poll_fn;
use core::task::{Context, Poll, Waker};
use core::time::Duration;
use mqtt_session::{Disconnect, End, Event as SessionEvent, Instant, ReasonCode, Session};
use mqtt_transport::BoxFuture;
use std::io;
use std::sync::Arc;
use tokio::sync::{oneshot, watch};
use tokio::task::yield_now;
use tokio::time::timeout;

/// After so many rounds without a pause other tasks have their turn, whatever the transport.
const ROUNDS: usize = 64;

/// Its methods stand in two files: here is the life of the connection, in `dispatch.rs` what passes between the handles
/// and the session.
pub(crate) struct Driver {
    pub(crate) shared: Arc<Shared>,
    pub(crate) plan: Plan,
    pub(crate) clock: Clock,
    pub(crate) backoff: Backoff,
    pub(crate) session: Session,
    pub(crate) router: Router,
    pub(crate) requests: Requests,
    pub(crate) exchange: Exchange,
    pub(crate) effects: Effects,
    /// What the store has to do, if there is one.
    pub(crate) keeper: Option<Box<Keeper>>,
    /// What was asked for before the first connection, and when. It goes to the session once it is certain which
    /// version is spoken and what the server allows.
    pub(crate) early: Early,
    pub(crate) authentication: Authentication,
    /// Where answers to requests arrive, if there were requests.
    pub(crate) responses: Option<Arc<Inbox>>,
    pub(crate) told: Told,
    pub(crate) ack_latency: AckLatency,
    pub(crate) observer: Observer,
    pub(crate) tap: Tap,
    /// A server has accepted this client.
    pub(crate) established: bool,
    /// Who waits for the first connection.
    pub(crate) first: Option<oneshot::Sender<Result<(), ConnectError>>>,
    pub(crate) stop: Option<Stop>,
    /// When to stop waiting for a chance to say goodbye.
    goodbye_by: Option<Instant>,
    /// The end of the connection, as the session sees it.
    pub(crate) ended: Option<End>,
    /// The session ended the connection and may have something left to say.
    last_words: bool,
    /// Since when the connection is up.
    pub(crate) up_since: Option<Instant>,
    /// The server has said something on it, after its CONNACK.
    pub(crate) heard: bool,
    /// Until when messages that nobody takes are kept.
    pub(crate) hold_until: Option<Instant>,
    /// Subscriptions whose queues are full.
    pub(crate) full: usize,
    paused: bool,
    /// Requests that the last read completed.
    pub(crate) answered: usize,
    /// Whether the server takes subscription identifiers, as far as is known.
    pub(crate) identifies: bool,
    pub(crate) next_identifier: u32,
    pub(crate) status: watch::Sender<Status>,
    over: bool,
}

/// # The life of a client
impl Driver {
    pub(crate) fn new(
        mut plan: Plan,
        session: Session,
        shared: Arc<Shared>,
        status: watch::Sender<Status>,
        first: Option<oneshot::Sender<Result<(), ConnectError>>>,
    ) -> Self {
        if let Some(version) = plan.only_version() {
            shared.set_version(version);
        }
        Self {
            shared,
            clock: Clock::new(),
            backoff: Backoff::new(plan.reconnect.clone()),
            identifies: false,
            next_identifier: plan.first_identifier(),
            early: Early::new(plan.queue()),
            observer: Observer::new(&plan),
            tap: Tap::new(plan.journal.take(), plan.client_id()),
            plan,
            session,
            router: Router::new(),
            requests: Requests::default(),
            exchange: Exchange::default(),
            effects: Effects::default(),
            keeper: None,
            authentication: Authentication::default(),
            responses: None,
            told: Told::default(),
            ack_latency: AckLatency::default(),
            established: false,
            first,
            stop: None,
            goodbye_by: None,
            ended: None,
            last_words: false,
            up_since: None,
            heard: false,
            hold_until: None,
            full: 0,
            paused: false,
            answered: 0,
            status,
            over: false,
        }
    }

    pub(crate) fn run_in_span(self: Box<Self>) -> impl Future<Output = ()> {
        #[cfg(feature = "tracing")]
        let span = trace::span(&self.plan);
        let life = self.run();
        #[cfg(feature = "tracing")]
        let life = trace::Instrument::instrument(life, span);
        life
    }

    /// Tells what has happened to all who listen.
    pub(crate) fn announce(&mut self, event: &Event) {
        self.observer.event(event);
        self.shared.announce(event);
    }

    /// Boxed, because an async function keeps its argument twice.
    async fn run(mut self: Box<Self>) {
        let closed = self.live().await;
        self.finish_storing().await;
        self.end(closed);
    }

    async fn live(&mut self) -> Closed {
        if let Err(cause) = self.open_store().await {
            self.retry_delay(&cause, None);
            return Closed::Failed(cause);
        }
        loop {
            let cause = match self.connection().await {
                Over::Stopped(stop) => return stop.closed(),
                Over::Failed(cause) => cause,
            };
            let held = self.held();
            let cause = self.judge(cause, held);
            self.authentication.end(&cause);
            // The server may not know the version: the next older one is tried at once.
            if !self.established && self.plan.fall_back(&cause) {
                continue;
            }
            let Some(delay) = self.retry_delay(&cause, held) else { return Closed::Failed(cause) };
            if let Some(stop) = self.wait(delay).await {
                return stop.closed();
            }
        }
    }

    /// Opens a connection and serves it to its end.
    async fn connection(&mut self) -> Over {
        self.status.send_modify(|status| {
            status.enter(State::Connecting, Clock::tokio_now());
            status.attempts += 1;
            trace::connecting(&self.plan, status.attempts);
        });
        if !self.established
            && let Err(error) = self.choose_version()
        {
            return Over::Failed(error);
        }
        let deadline = self.clock.now() + self.plan.connect_timeout;
        let mut opening = self.plan.open();
        let opened = poll_fn(|cx| self.poll_open(cx, &mut opening, deadline)).await;
        drop(opening);
        let Opened { transport, credentials } = match opened {
            Ok(opened) => opened,
            Err(over) => return over,
        };
        self.plan.note_opened();
        self.observer.opened();
        if let Err(error) = self.introduce(credentials) {
            return Over::Failed(error);
        }
        let mut link = Link::new(transport);
        self.session.handle_open(self.clock.now());
        let over = poll_fn(|cx| self.poll_link(cx, &mut link, deadline)).await;
        self.hang_up(&mut link).await;
        over
    }

    /// No server has accepted the client yet, and the version may be another one than at the last attempt.
    fn choose_version(&mut self) -> Result<(), ConnectError> {
        if self.keeper.is_some() {
            return self.plan.set_version(&mut self.session);
        }
        // Nothing is in it yet.
        self.session = self.plan.session()?;
        Ok(())
    }

    async fn wait(&mut self, delay: Duration) -> Option<Stop> {
        let until = self.clock.now() + delay;
        // A wait may be none at all, and the next attempt fail at once: other tasks have their turn even so.
        yield_now().await;
        poll_fn(|cx| self.poll_offline(cx, until)).await
    }

    /// Says what is left to say, and lets the session know that the transport is gone.
    async fn hang_up(&mut self, link: &mut Link) {
        if core::mem::take(&mut self.last_words) {
            let now = self.clock.now();
            let before = link.output.len();
            while self.session.poll_transmit(now, &mut link.output) {}
            self.observer.encoded(&link.output, before);
            if self.finish_output().await {
                let session = &mut self.session;
                // The connection is over, whether this succeeds or not.
                let closing = link.close(|bytes| session.handle_transmitted(now, bytes));
                _ = timeout(self.plan.goodbye_timeout, closing).await;
            }
        }
        if let Some(keeper) = &mut self.keeper {
            keeper.forget_output();
        }
        self.shared.set_negotiated(None);
        self.session.handle_close(self.clock.now());
        self.dispatch(self.clock.now());
        self.ended = None;
        self.paused = false;
        self.ack_latency.reset();
    }

    /// The end. Whatever is still open is answered.
    fn end(&mut self, closed: Closed) {
        if core::mem::replace(&mut self.over, true) {
            return;
        }
        self.session.abandon(self.clock.now());
        while let Some(event) = self.session.poll_event() {
            if let SessionEvent::Completed(token, outcome) = event {
                self.complete(token, outcome);
            }
        }
        self.exchange.commands.iter().for_each(|command| self.tap.taken(command));
        let early = self.early.take().into_iter().map(|(_, command)| command);
        let unheard = early.chain(self.exchange.commands.drain(..)).filter_map(Command::go_unheard);
        unheard.chain(self.router.end()).for_each(Waker::wake);
        let closed = self.shared.closed().unwrap_or(closed);
        self.announce(&Event::Closed(closed.clone()));
        let late = self.shared.close(closed, &mut self.exchange);
        late.iter().for_each(|command| self.tap.taken(command));
        late.into_iter().filter_map(Command::go_unheard).for_each(Waker::wake);
        self.shared.responses.lose();
        self.status.send_modify(|status| {
            status.enter(State::Closed, Clock::tokio_now());
            status.negotiated = None;
        });
        if let Some(first) = self.first.take() {
            _ = first.send(Err(ConnectError::Cancelled));
        }
        // Whoever waits for the end finds a journal that is complete.
        self.tap.close();
    }
}

impl Drop for Driver {
    fn drop(&mut self) {
        self.end(Closed::TaskEnded);
    }
}

/// # Turns of the task
impl Driver {
    fn poll_open(
        &mut self,
        cx: &mut Context<'_>,
        opening: &mut BoxFuture<'_, Result<Opened, ConnectError>>,
        deadline: Instant,
    ) -> Poll<Result<Opened, Over>> {
        if let Poll::Ready(opened) = opening.as_mut().poll(cx) {
            return Poll::Ready(opened.map_err(Over::Failed));
        }
        self.poll_offline(cx, deadline).map(|stop| Err(stop.map_or_else(|| self.timed_out(), Over::Stopped)))
    }

    /// Does what can be done without a connection. Ready when told to stop, or at the deadline.
    fn poll_offline(&mut self, cx: &mut Context<'_>, deadline: Instant) -> Poll<Option<Stop>> {
        self.swap(None);
        self.resume_storing();
        for _ in 0..ROUNDS {
            let now = self.clock.now();
            self.take_requests(now);
            if let Some(stop) = self.stop.take() {
                return Poll::Ready(Some(stop));
            }
            if deadline <= now {
                return Poll::Ready(None);
            }
            self.handle_timeouts(now);
            self.dispatch(now);
            self.store(cx, now);
            if !self.swap(Some(cx.waker())) && !self.clock.poll(cx, now, self.next_timeout(Some(deadline))) {
                return Poll::Pending;
            }
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    fn poll_link(&mut self, cx: &mut Context<'_>, link: &mut Link, deadline: Instant) -> Poll<Over> {
        // What was asked for before a message came counts before it.
        self.swap(None);
        self.resume_storing();
        for _ in 0..ROUNDS {
            let now = self.clock.now();
            self.take_requests(now);
            self.repeat_presence(now);
            self.handle_timeouts(now);
            self.store(cx, now);
            let mut exhausted = self.transmit(now, link);
            if exhausted && link.output.is_empty() && self.tell_absence(now) {
                exhausted = self.transmit(now, link);
            }
            if let Some(stop) = self.check_stop(now, exhausted && link.output.is_empty() && self.has_stored())
            {
                return Poll::Ready(Over::Stopped(stop));
            }
            if self.up_since.is_none() && deadline <= now {
                return Poll::Ready(self.timed_out());
            }

            self.store(cx, now);
            let written = match self.poll_write(cx, link) {
                Poll::Ready(Ok(bytes)) => {
                    self.session.handle_transmitted(now, bytes);
                    true
                }
                Poll::Ready(Err(error)) => return Poll::Ready(self.last_words(cx, link, now, error)),
                Poll::Pending => false,
            };
            let read = match self.poll_read(cx, link, now) {
                Poll::Ready(Ok(())) => true,
                Poll::Ready(Err(cause)) => return Poll::Ready(Over::Failed(cause)),
                Poll::Pending => false,
            };
            self.dispatch(now);
            if let Some(over) = self.check_end() {
                return Poll::Ready(over);
            }

            let busy = written || read;
            let news = self.swap((!busy).then_some(cx.waker()));
            if busy || news {
                continue;
            }
            let connecting = if self.up_since.is_none() { Some(deadline) } else { None };
            if !self.clock.poll(cx, now, self.next_timeout(connecting)) {
                if link.rest() {
                    self.session.rest();
                }
                return Poll::Pending;
            }
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    /// Fills the output. True if the session has nothing more to send now.
    fn transmit(&mut self, now: Instant, link: &mut Link) -> bool {
        if !self.may_write() {
            return false;
        }
        let all = link.output.len();
        let mut exhausted = false;
        while !exhausted && link.wants_output() {
            let (before, in_flight) = (link.output.len(), self.session.in_flight());
            exhausted = !self.session.poll_transmit(now, &mut link.output);
            self.observer.encoded(&link.output, before);
            let sent = self.session.in_flight().saturating_sub(in_flight);
            self.tap.transmitted(self.session.unanswered().take(sent), &self.requests, false);
        }
        if let Some(keeper) = &mut self.keeper {
            keeper.collect(&mut self.session, link.output.len() > all);
        }
        exhausted
    }

    fn poll_write(&self, cx: &mut Context<'_>, link: &mut Link) -> Poll<io::Result<usize>> {
        if self.may_write() { link.poll_write(cx, self.answered) } else { Poll::Pending }
    }

    /// Reads once and lets the session have it, unless the applications are to catch up first.
    fn poll_read(
        &mut self,
        cx: &mut Context<'_>,
        link: &mut Link,
        now: Instant,
    ) -> Poll<Result<(), ConnectError>> {
        // A handler may wait for the answer to a request of its own before it takes the next message, or only for a
        // message to be written, which a server may read only when it is read itself.
        let stuck = link.is_blocked() && self.requests.len() > 0;
        let awaiting = self.up_since.is_none()
            || self.session.in_flight() > 0
            || self.requests.subscribing() > 0
            || stuck;
        let pause = self.full > 0 && !awaiting;
        if pause != self.paused {
            self.paused = pause;
            if pause {
                self.session.handle_read_paused(now);
            } else {
                self.session.handle_read_resumed(now);
            }
        }
        if pause || link.reads_later(cx) {
            return Poll::Pending;
        }
        let first = link.is_silent();
        match link.poll_read(cx, self.session.missing(&link.input)) {
            Poll::Ready(Ok(0)) => Poll::Ready(Err(closed(link))),
            Poll::Ready(Ok(_)) if first && is_tls(&link.input) => Poll::Ready(Err(ConnectError::SpeaksTls)),
            Poll::Ready(Ok(read)) => {
                self.observer.received(newest(&link.input, read));
                self.answered = 0;
                self.heard |= self.up_since.is_some();
                self.session.handle_input(now, &mut link.input);
                Poll::Ready(Ok(()))
            }
            Poll::Ready(Err(error)) => Poll::Ready(Err(error.into())),
            Poll::Pending => Poll::Pending,
        }
    }

    /// A write failed. What the server has said before, a DISCONNECT maybe, tells more than the failure.
    fn last_words(&mut self, cx: &mut Context<'_>, link: &mut Link, now: Instant, error: io::Error) -> Over {
        loop {
            let first = link.is_silent();
            match link.poll_read(cx, self.session.missing(&link.input)) {
                Poll::Ready(Ok(0)) => return Over::Failed(closed(link)),
                Poll::Ready(Ok(_)) if first && is_tls(&link.input) => {
                    return Over::Failed(ConnectError::SpeaksTls);
                }
                Poll::Ready(Ok(read)) => {
                    self.observer.received(newest(&link.input, read));
                    self.session.handle_input(now, &mut link.input);
                    self.dispatch(now);
                    if let Some(over) = self.check_end() {
                        return over;
                    }
                }
                Poll::Ready(Err(_)) | Poll::Pending => return Over::Failed(error.into()),
            }
        }
    }

    /// Whether it is time to go. Before that, what was accepted leaves as far as the server's window lets it.
    fn check_stop(&mut self, now: Instant, quiet: bool) -> Option<Stop> {
        let stop = self.stop.as_ref()?;
        let by = *self.goodbye_by.get_or_insert(now + self.plan.goodbye_timeout);
        let disconnect = match stop {
            Stop::Disconnect(disconnect) => disconnect.clone(),
            Stop::Released => Disconnect::new(ReasonCode::NORMAL_DISCONNECTION),
            Stop::Abort => return self.stop.take(),
        };
        if !self.session.is_connected() || by <= now {
            return self.stop.take();
        }
        if quiet {
            if self.leaves_unheard() {
                return self.stop.take();
            }
            let disconnect = self.plan.ending_session(disconnect);
            if let Err(refused) = self.session.disconnect(disconnect) {
                self.shared.set_goodbye_refused(refused);
                // A plain one is always possible.
                _ = self.session.disconnect(Disconnect::new(ReasonCode::NORMAL_DISCONNECTION));
            }
        }
        None
    }

    fn check_end(&mut self) -> Option<Over> {
        let end = self.ended.take()?;
        // Otherwise there is nobody to hear them: what lies in the output would only be waited for.
        self.last_words = matches!(end, End::Disconnected | End::Protocol(_));
        if let Some(cause) = self.authentication.failure.take() {
            return Some(Over::Failed(cause));
        }
        Some(match end {
            End::Disconnected => Over::Stopped(self.stop.take().unwrap_or(Stop::Released)),
            End::Refused { reason, properties } => Over::Failed(ConnectError::Refused { reason, properties }),
            End::ServerDisconnect(Disconnect { reason, properties }) => {
                Over::Failed(ConnectError::Disconnected { reason, properties })
            }
            End::Protocol(error) => Over::Failed(ConnectError::Protocol(error)),
            End::ConnectTimeout => self.timed_out(),
            End::PingTimeout => Over::Failed(ConnectError::PingTimeout),
            _ => Over::Failed(ConnectError::PeerClosed),
        })
    }

    fn timed_out(&self) -> Over {
        Over::Failed(ConnectError::Timeout(self.plan.connect_timeout))
    }

    fn handle_timeouts(&mut self, now: Instant) {
        if self.session.poll_timeout().is_some_and(|at| at <= now) {
            self.session.handle_timeout(now);
        }
        if self.hold_until.is_some_and(|until| until <= now) {
            self.hold_until = None;
            self.router.set_holding(false, &mut self.effects);
        }
    }

    fn next_timeout(&self, other: Option<Instant>) -> Option<Instant> {
        let again = self.keeper.as_ref().and_then(|keeper| keeper.poll_timeout());
        [self.session.poll_timeout(), self.hold_until, self.goodbye_by, again, other]
            .into_iter()
            .flatten()
            .min()
    }

    /// Brings the handles what is done, and takes what they ask. True if there is something to do.
    fn swap(&mut self, park: Option<&Waker>) -> bool {
        let queued = Size { messages: self.session.queued(), bytes: self.session.queued_bytes() };
        let gauges = Gauges {
            in_flight: self.session.in_flight(),
            ping_round_trip: self.session.ping_round_trip(),
            ack_latency: self.ack_latency.last(),
        };
        let mut load =
            Load { queued: queued + self.early.size(), open: self.requests.len() + self.early.len(), gauges };
        if let Some(keeper) = &self.keeper {
            // Those of an earlier process have no request.
            load.open =
                load.open.max(self.early.len() + gauges.in_flight + queued.messages) + keeper.held().messages;
            load.queued += keeper.held();
        }
        self.observer.load(&load);
        self.tap.flush();
        let news = self.shared.exchange(&mut self.exchange, load, park);
        self.sift_requests();
        news
    }
}

/// The server has closed.
fn closed(link: &Link) -> ConnectError {
    if link.is_silent() { ConnectError::NotAnswered } else { ConnectError::PeerClosed }
}

/// An alert or a handshake, RFC 8446 section 5.1. In MQTT these would be CONNECT with flags, and no server sends that.
fn is_tls(input: &[u8]) -> bool {
    matches!(input, [0x15 | 0x16, 0x03, ..])
}

/// The bytes at the end, which the last read brought.
fn newest(input: &[u8], read: usize) -> &[u8] {
    input.get(input.len().saturating_sub(read)..).unwrap_or_default()
}
