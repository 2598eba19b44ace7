//! What a client says about its connection: its status, and the events of its life.

use crate::error::{Closed, ConnectError};
use crate::queue::{Queue, Topical};
use crate::store::StoreError;
use crate::submissions::Handle;
use core::pin::Pin;
use core::task::{Context, Poll, ready};
use core::time::Duration;
use futures_core::Stream;
use mqtt_session::{Connected, Negotiated, ReasonCode, TopicFilter, TopicName};
use std::sync::Arc;
use tokio::sync::watch;
use tokio::time::Instant;

/// A client at a glance, from [`Client::status`](crate::Client::status).
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Status {
    /// What it is doing.
    pub state: State,
    /// Since when, on tokio's clock.
    pub since: Instant,
    /// Attempts to connect so far.
    pub attempts: u64,
    /// How many of them a server accepted.
    pub connections: u64,
    /// Attempts to connect that failed, and connections that did not hold, since one was last stable.
    pub failures: u32,
    /// Why there is, or was, no connection.
    pub last_error: Option<ConnectError>,
    /// What holds on the connection; `None` without one.
    pub negotiated: Option<Negotiated>,
    /// Messages that wait to be sent.
    pub queued: usize,
    /// Their bytes: topics, payloads and properties; those of messages that wait for their acknowledgement too.
    pub queued_bytes: usize,
    /// Requests that wait to be sent or answered.
    pub open: usize,
    /// QoS 1 and 2 messages that were sent and wait for their acknowledgement.
    pub in_flight: usize,
    /// How long the server took for its last answer to a ping on this connection; pings are sent when nothing else is.
    pub ping_round_trip: Option<Duration>,
    /// How long the server took to acknowledge a QoS 1 or 2 message on this connection: the last one that was measured,
    /// of those that did not have to wait in the queue.
    pub ack_latency: Option<Duration>,
    /// Messages that were received and that no subscription took.
    pub unclaimed: u64,
    /// Messages that were received and skipped because their topic name is none
    /// ([`ConnectBuilder::skip_misnamed`](crate::ConnectBuilder::skip_misnamed)).
    pub skipped: u64,
    /// Entries of the [store](crate::ConnectBuilder::store) that were found damaged and left out.
    pub damaged: usize,
    /// Why the store does not work at the moment, if so.
    pub store_error: Option<StoreError>,
}

impl Status {
    pub(crate) fn new(now: Instant) -> Self {
        Self {
            state: State::Connecting,
            since: now,
            attempts: 0,
            connections: 0,
            failures: 0,
            last_error: None,
            negotiated: None,
            queued: 0,
            queued_bytes: 0,
            open: 0,
            in_flight: 0,
            ping_round_trip: None,
            ack_latency: None,
            unclaimed: 0,
            skipped: 0,
            damaged: 0,
            store_error: None,
        }
    }

    /// When the client tries again, on tokio's clock, while it [waits](State::Waiting) for that.
    pub fn next_attempt(&self) -> Option<Instant> {
        match self.state {
            // A wait without end has none.
            State::Waiting { delay } => self.since.checked_add(delay),
            _ => None,
        }
    }

    pub(crate) fn enter(&mut self, state: State, now: Instant) {
        (self.state, self.since) = (state, now);
    }
}

/// What a client is doing.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[non_exhaustive]
pub enum State {
    /// It opens a connection.
    #[default]
    Connecting,
    /// The server has accepted it.
    Connected,
    /// It waits before it tries again.
    Waiting {
        /// How long, from the beginning of the wait ([`Status::since`]).
        delay: Duration,
    },
    /// It has ended.
    Closed,
}

/// Shows each change of a client's [`Status`], from [`Client::watch`](crate::Client::watch).
#[derive(Clone, Debug)]
pub struct StatusWatch {
    pub(crate) changes: watch::Receiver<Status>,
}

impl StatusWatch {
    /// Waits for the next change of state; several in a row may be seen as one. `None` once the client has ended and
    /// its end was seen. The numbers of a status that is not asked for anew are those of the change.
    ///
    /// Dropping the future loses no change.
    pub async fn changed(&mut self) -> Option<Status> {
        self.changes.changed().await.ok()?;
        Some(self.changes.borrow_and_update().clone())
    }
}

/// Something that happened to the connection.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Event {
    /// The server accepted the client.
    Connected(Connected),
    /// An attempt to connect failed, or the connection ended.
    Disconnected {
        /// Why.
        cause: ConnectError,
        /// When the client tries again; `None` if it does not, and ends.
        retry_in: Option<Duration>,
    },
    /// The server lost the session, and refused to subscribe this filter again.
    SubscriptionLost(TopicFilter, ReasonCode),
    /// The [store](crate::ConnectBuilder::store) was opened.
    Restored {
        /// So many messages are still to be delivered.
        messages: usize,
        /// So many entries were found damaged and left out.
        damaged: usize,
    },
    /// The store does not work. What cannot be stored is refused or not sent; what is stored stays. The client tries
    /// again every second.
    StoreFailed(StoreError),
    /// The store works again.
    StoreRecovered,
    /// The client has ended.
    Closed(Closed),
}

/// The events of a client's connection, from [`Client::events`](crate::Client::events): a stream that ends with the
/// client. It does not keep the client alive.
#[derive(Debug)]
pub struct Events {
    pub(crate) queue: Arc<Queue<Event>>,
}

impl Topical for Event {
    fn topic(&self) -> Option<&TopicName> {
        None
    }
}

impl Events {
    /// As many events wait to be taken; then the oldest is dropped.
    pub(crate) const CAPACITY: usize = 64;

    /// The next event; `None` when the client has ended.
    ///
    /// Dropping the future loses no event.
    pub async fn next(&mut self) -> Option<Event> {
        core::future::poll_fn(|cx| Pin::new(&mut *self).poll_next(cx)).await
    }

    /// Events that were dropped because 64 others waited.
    pub fn dropped(&self) -> u64 {
        self.queue.dropped()
    }
}

impl Stream for Events {
    type Item = Event;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Event>> {
        Poll::Ready(ready!(self.queue.poll_take(cx)).map(|taken| taken.item))
    }
}

/// Keeps a client alive while something of it is in use.
pub(crate) type Alive = Arc<Handle>;
