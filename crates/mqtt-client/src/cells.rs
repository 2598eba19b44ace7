//! Completion cells: where the driver leaves the fate of a request, and its token picks it up.

use crate::store::StoreError;
use core::task::{Poll, Waker};
use mqtt_session::{Outcome, UsageError};

/// How a request ended.
#[derive(Clone, Debug)]
pub(crate) enum Fate {
    /// The session saw it through.
    Outcome(Outcome),
    /// The session would not take it.
    Refused(UsageError),
    /// The client ended before the session had it.
    Closed,
    /// The store could not take it.
    NotStored(Box<StoreError>),
}

/// The cells of one client, reused: a request costs no allocation of its own.
#[derive(Debug, Default)]
pub(crate) struct Cells {
    cells: Vec<Cell>,
    /// The free one that was in use last; each names the next.
    free: Option<CellId>,
}

/// A cell that is held, by its index.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct CellId(usize);

impl CellId {
    pub(crate) const fn index(self) -> usize {
        self.0
    }
}

#[derive(Debug)]
pub(crate) enum Cell {
    /// Nobody's; with the next free one.
    Free(Option<CellId>),
    /// A message that is not stored yet. Otherwise as an open one.
    Pending(Option<Waker>),
    /// The driver owes a fate; the waker is that of the token, if it was polled.
    Open(Option<Waker>),
    /// The driver owes a fate that nobody waits for.
    Forgotten,
    /// The token has not picked it up yet.
    Settled(Fate),
}

impl Cells {
    #[inline(always)]
    pub(crate) fn open(&mut self) -> CellId {
        self.take(Cell::Open(None))
    }

    /// For a message that is accepted only when it is stored.
    pub(crate) fn open_pending(&mut self) -> CellId {
        self.take(Cell::Pending(None))
    }

    #[inline(always)]
    fn take(&mut self, taken: Cell) -> CellId {
        let Some(id) = self.free else {
            self.cells.push(taken);
            return CellId(self.cells.len() - 1);
        };
        let cell = core::mem::replace(&mut self.cells[id.0], taken);
        if let Cell::Free(next) = cell {
            self.free = next;
        }
        // There is nothing in it to be dropped.
        core::mem::forget(cell);
        id
    }

    /// Frees a cell; what was in it is to be dropped once the lock is released.
    #[inline]
    fn release(&mut self, id: CellId) -> Cell {
        let next = self.free.replace(id);
        core::mem::replace(&mut self.cells[id.0], Cell::Free(next))
    }

    /// The message is stored. Returns whom to wake, once the lock is released.
    pub(crate) fn accept(&mut self, id: CellId) -> Option<Waker> {
        let cell = &mut self.cells[id.0];
        let Cell::Pending(waker) = cell else { return None };
        let waker = waker.take();
        *cell = Cell::Open(None);
        waker
    }

    /// Whether the message was accepted, or will never be.
    pub(crate) fn poll_accepted(
        &mut self,
        id: CellId,
        asking: &Waker,
        displaced: &mut Option<Waker>,
    ) -> Poll<Result<(), Fate>> {
        match &mut self.cells[id.0] {
            Cell::Pending(waker) => {
                *displaced = set_waker(waker, asking);
                Poll::Pending
            }
            Cell::Settled(Fate::Outcome(_)) | Cell::Open(_) => Poll::Ready(Ok(())),
            Cell::Settled(fate) => Poll::Ready(Err(fate.clone())),
            Cell::Forgotten | Cell::Free(_) => Poll::Pending,
        }
    }

    /// The driver knows. Returns whom to wake, once the lock is released.
    #[inline(always)]
    pub(crate) fn settle(&mut self, id: CellId, fate: Fate) -> Option<Waker> {
        let cell = &mut self.cells[id.0];
        match core::mem::replace(cell, Cell::Settled(fate)) {
            Cell::Open(waker) | Cell::Pending(waker) => waker,
            Cell::Forgotten => {
                self.release(id);
                None
            }
            earlier @ (Cell::Settled(_) | Cell::Free(_)) => {
                debug_assert!(false, "a request is settled once");
                *cell = earlier;
                None
            }
        }
    }

    /// The token asks; with the fate it gives up its cell. A waker that is `displaced` is to be dropped once the lock
    /// is released.
    #[inline(always)]
    pub(crate) fn poll(&mut self, id: CellId, asking: &Waker, displaced: &mut Option<Waker>) -> Poll<Fate> {
        match &mut self.cells[id.0] {
            Cell::Open(waker) | Cell::Pending(waker) => *displaced = set_waker(waker, asking),
            Cell::Settled(_) => {
                if let Cell::Settled(fate) = self.release(id) {
                    return Poll::Ready(fate);
                }
            }
            Cell::Forgotten | Cell::Free(_) => debug_assert!(false, "a token asks for its own cell"),
        }
        Poll::Pending
    }

    /// The token is gone; the request goes on. Returns what is to be dropped once the lock is released.
    #[must_use]
    pub(crate) fn forget(&mut self, id: CellId) -> Cell {
        if matches!(self.cells[id.0], Cell::Settled(_)) {
            return self.release(id);
        }
        core::mem::replace(&mut self.cells[id.0], Cell::Forgotten)
    }

    /// The driver will not tell what became of it. Frees the cell and returns true if nobody asks.
    pub(crate) fn release_forgotten(&mut self, id: CellId) -> bool {
        let forgotten = matches!(self.cells[id.0], Cell::Forgotten);
        if forgotten {
            self.release(id);
        }
        forgotten
    }

    /// The requests that a driver still owes an answer; true for those that are accepted.
    pub(crate) fn unsettled(&self) -> Vec<(CellId, bool)> {
        let owed = |(index, cell): (usize, &Cell)| match cell {
            Cell::Open(_) | Cell::Forgotten => Some((CellId(index), true)),
            Cell::Pending(_) => Some((CellId(index), false)),
            Cell::Free(_) | Cell::Settled(_) => None,
        };
        self.cells.iter().enumerate().filter_map(owed).collect()
    }
}

/// Puts the waker that asks into its slot. Returns the one that was there, which is never dropped under a lock: the
/// drop may run code of anyone's.
#[must_use]
pub(crate) fn set_waker(slot: &mut Option<Waker>, asking: &Waker) -> Option<Waker> {
    match slot {
        Some(waker) if waker.will_wake(asking) => None,
        slot => slot.replace(asking.clone()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn poll(cells: &mut Cells, id: CellId) -> Option<Fate> {
        match cells.poll(id, Waker::noop(), &mut None) {
            Poll::Ready(fate) => Some(fate),
            Poll::Pending => None,
        }
    }

    #[test]
    fn a_fate_is_picked_up_once_and_frees_the_cell() {
        let mut cells = Cells::default();
        let (first, second) = (cells.open(), cells.open());
        assert!(poll(&mut cells, first).is_none());
        assert!(cells.settle(first, Fate::Outcome(Outcome::Sent)).is_some(), "the token that asked is woken");
        assert!(cells.settle(second, Fate::Closed).is_none(), "nobody asked yet");
        assert!(matches!(poll(&mut cells, first), Some(Fate::Outcome(Outcome::Sent))));
        assert!(matches!(poll(&mut cells, second), Some(Fate::Closed)));
        assert_eq!([cells.open(), cells.open()], [second, first]);
        assert_eq!(cells.cells.len(), 2);
    }

    /// What is accepted only when it is stored.
    #[test]
    fn a_pending_message_is_accepted_once_it_is_stored() {
        let mut cells = Cells::default();
        let (first, second) = (cells.open_pending(), cells.open_pending());
        let accepted = |cells: &mut Cells, id| cells.poll_accepted(id, Waker::noop(), &mut None);
        assert!(accepted(&mut cells, first).is_pending());
        assert_eq!(cells.unsettled(), [(first, false), (second, false)]);
        assert!(cells.accept(first).is_some(), "the future that asked is woken");
        assert!(matches!(accepted(&mut cells, first), Poll::Ready(Ok(()))));
        assert!(poll(&mut cells, first).is_none());
        _ = cells.settle(second, Fate::NotStored(StoreError::Full.into()));
        assert!(matches!(accepted(&mut cells, second), Poll::Ready(Err(Fate::NotStored(_)))));
        assert!(matches!(poll(&mut cells, second), Some(Fate::NotStored(_))));
        // Nobody waits for this one any more.
        let third = cells.open_pending();
        _ = cells.forget(third);
        assert!(cells.accept(third).is_none());
        assert!(cells.settle(third, Fate::Outcome(Outcome::Sent)).is_none());
        assert_eq!(cells.open(), third);
    }

    #[test]
    fn a_forgotten_request_frees_its_cell_when_it_is_settled() {
        let mut cells = Cells::default();
        let id = cells.open();
        _ = cells.forget(id);
        assert_eq!(cells.unsettled(), [(id, true)]);
        assert_ne!(cells.open(), id, "the driver still owes an answer");
        assert!(cells.settle(id, Fate::Closed).is_none());
        assert_eq!(cells.open(), id);
    }

    #[test]
    fn a_forgotten_request_can_be_given_up_at_once() {
        let mut cells = Cells::default();
        let (kept, gone) = (cells.open(), cells.open());
        _ = cells.forget(gone);
        assert_eq!([kept, gone].map(|id| cells.release_forgotten(id)), [false, true]);
        assert_eq!(cells.open(), gone);
        assert_eq!(cells.unsettled(), [(kept, true), (gone, true)]);
    }

    #[test]
    fn a_token_dropped_after_the_answer_frees_its_cell() {
        let mut cells = Cells::default();
        let id = cells.open();
        cells.settle(id, Fate::Closed);
        assert!(cells.unsettled().is_empty());
        assert!(matches!(cells.forget(id), Cell::Settled(_)));
        assert_eq!(cells.open(), id);
    }
}
