//! What a client says about its connection: its status, and the events of its life.

use crate::error::{Closed, ConnectError};
use crate::queue::Queue;
use crate::submissions::Handle;
use core::pin::Pin;
use core::task::{Context, Poll, ready};
use core::time::Duration;
use futures_core::Stream;
use mqtt_session::{Connected, Negotiated, ReasonCode, TopicFilter};
use std::sync::Arc;
use tokio::sync::watch;

/// A client at a glance, from [`Client::status`](crate::Client::status).
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct Status {
    /// What it is doing.
    pub state: State,
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
    /// Messages that were received and that no subscription took.
    pub unclaimed: u64,
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
        /// How long, from the beginning of the wait.
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
    /// The client has ended.
    Closed(Closed),
}

/// The events of a client's connection, from [`Client::events`](crate::Client::events): a stream that ends with the
/// client. It does not keep the client alive.
#[derive(Debug)]
pub struct Events {
    pub(crate) queue: Arc<Queue<Event>>,
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
