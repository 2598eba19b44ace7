//! What the driver does for its store: opening it, storing before sending, and what comes of it.

use crate::cells::{CellId, Fate};
use crate::connection::Event;
use crate::driver::Driver;
use crate::error::ConnectError;
use crate::keeper::{Keeper, News, Submitted};
use crate::requests::Request;
use core::future::poll_fn;
use core::task::{Context, Poll};
use core::time::Duration;
use mqtt_session::{Instant, Message, Outcome, StoredMessage};
use tokio::time::timeout;

/// How long to wait for the store at an end.
const LAST: Duration = Duration::from_secs(5);

impl Driver {
    /// Opens the store, if there is one, and goes on with the session in it.
    pub(crate) async fn open_store(&mut self) -> Result<(), ConnectError> {
        let Some(store) = self.plan.store.take() else { return Ok(()) };
        self.clock.show_calendar_time();
        let client_id = self.plan.client_id().to_string();
        let (_, overflow) = self.plan.queue();
        let (mut keeper, stored) = Keeper::load(store, client_id, overflow).await?;
        let (session, damaged) = self.plan.restore(self.clock.now(), stored.snapshot)?;
        keeper.note_damaged(damaged);
        let messages = session.in_flight() + session.queued() + keeper.held().messages;
        let damaged = keeper.damaged();
        self.session = session;
        self.tap_restored();
        self.note_health(&keeper);
        self.keeper = Some(Box::new(keeper));
        self.announce(&Event::Restored { messages, damaged });
        Ok(())
    }

    /// What an earlier run has accepted is told like what this one accepts.
    fn tap_restored(&mut self) {
        let mut messages: Vec<_> = self.session.messages().collect();
        messages.sort_unstable_by_key(|(token, _)| *token);
        for (token, message) in messages {
            self.tap.publishes(token, || message.clone());
        }
    }

    /// A message is to be stored, and thereby accepted.
    pub(crate) fn submit(&mut self, now: Instant, message: Message, cell: CellId) {
        let stored = StoredMessage::new(now, message);
        match (stored.value(), &mut self.keeper) {
            (Ok(value), Some(keeper)) => {
                let number = self.session.take_number();
                keeper.submit(Submitted { number, cell, stored, value });
            }
            (Err(error), _) => {
                self.tap.turned_back(cell, &Outcome::Refused(error));
                self.settle(cell, Fate::Refused(error));
            }
            (Ok(_), None) => self.settle(cell, Fate::Closed),
        }
    }

    /// Lets the store work, and passes on what it has done.
    pub(crate) fn store(&mut self, cx: &mut Context<'_>, now: Instant) {
        let Some(mut keeper) = self.keeper.take() else { return };
        keeper.collect(&mut self.session, false);
        let mut news = Vec::new();
        while keeper.poll(cx, now, &self.session, &mut news).is_ready() {
            for news in news.drain(..) {
                self.note_stored(now, news);
            }
            keeper.collect(&mut self.session, false);
        }
        self.note_health(&keeper);
        self.keeper = Some(keeper);
    }

    /// The task runs anew.
    pub(crate) fn resume_storing(&mut self) {
        if let Some(keeper) = &mut self.keeper {
            keeper.resume();
        }
    }

    /// Lets go of requests for messages on disk that nobody waits for any more: memory does not grow with what is there.
    /// Only after the handles have been told of all that was accepted, by which their cells are named.
    pub(crate) fn sift_requests(&mut self) {
        let Some(keeper) = &mut self.keeper else { return };
        if let Some(requests) = keeper.requests_to_sift() {
            self.shared.release_forgotten(requests);
            keeper.note_sifted();
        }
    }

    fn note_health(&self, keeper: &Keeper) {
        self.status.send_if_modified(|status| {
            let changed = status.store_error.is_some() != keeper.failure().is_some()
                || status.damaged != keeper.damaged();
            if changed {
                status.store_error = keeper.failure().cloned();
                status.damaged = keeper.damaged();
            }
            changed
        });
    }

    fn note_stored(&mut self, now: Instant, news: News) {
        match news {
            News::Accepted(cell) => {
                self.tap.stored(cell);
                self.exchange.accepted.push(cell);
            }
            News::Give(number, cell, stored) => {
                let restored = cell.is_none().then(|| stored.message().clone());
                let token = self.session.publish_stored(now, number, stored);
                if let Some(cell) = cell {
                    self.requests.insert(token, Request::Publish(cell));
                }
                if let Some(message) = restored {
                    self.tap.publishes(token, || message);
                }
            }
            News::Lost(cell) => {
                self.tap.turned_back(cell, &Outcome::NotSent);
                self.settle(cell, Fate::Outcome(Outcome::NotSent));
            }
            News::Refused(cell, error) => {
                self.tap.turned_back(cell, &Outcome::NotSent);
                self.settle(cell, Fate::NotStored(error.into()));
            }
            News::Failing(error) => self.announce(&Event::StoreFailed(error)),
            News::Working => self.announce(&Event::StoreRecovered),
        }
    }

    /// Whether everything is stored that can be.
    pub(crate) fn has_stored(&self) -> bool {
        self.keeper.as_ref().is_none_or(|keeper| keeper.is_idle() || keeper.failure().is_some())
    }

    /// Whether everything is stored on which the output depends.
    pub(crate) fn may_write(&self) -> bool {
        self.keeper.as_ref().is_none_or(|keeper| keeper.permits())
    }

    /// Stores what the output depends on, at the end of a connection. False if that could not be done, and nothing of it
    /// may be written.
    pub(crate) async fn finish_output(&mut self) -> bool {
        if let Some(keeper) = &mut self.keeper {
            keeper.collect(&mut self.session, true);
        }
        self.store_until(|driver| driver.may_write()).await
    }

    /// Stores what is left, at the end of the client.
    pub(crate) async fn finish_storing(&mut self) {
        if let Some(keeper) = &mut self.keeper {
            keeper.hurry();
        }
        self.store_until(Self::has_stored).await;
    }

    async fn store_until(&mut self, done: impl Fn(&Self) -> bool) -> bool {
        let storing = poll_fn(|cx| {
            let now = self.clock.now();
            self.resume_storing();
            self.store(cx, now);
            let failing = self.keeper.as_ref().is_some_and(|keeper| keeper.failure().is_some());
            if done(self) || failing { Poll::Ready(done(self)) } else { Poll::Pending }
        });
        timeout(LAST, storing).await.unwrap_or(false)
    }
}
