//! Completion cells: where the driver leaves the fate of a request, and its token picks it up.

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
}

/// The cells of one client, reused: a request costs no allocation of its own.
#[derive(Debug, Default)]
pub(crate) struct Cells {
    cells: Vec<Cell>,
    free: Vec<CellId>,
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
    Free,
    /// The driver owes a fate; the waker is that of the token, if it was polled.
    Open(Option<Waker>),
    /// The driver owes a fate that nobody waits for.
    Forgotten,
    /// The token has not picked it up yet.
    Settled(Fate),
}

impl Cells {
    pub(crate) fn open(&mut self) -> CellId {
        if let Some(id) = self.free.pop() {
            self.cells[id.0] = Cell::Open(None);
            return id;
        }
        self.cells.push(Cell::Open(None));
        CellId(self.cells.len() - 1)
    }

    /// The driver knows. Returns whom to wake, once the lock is released.
    pub(crate) fn settle(&mut self, id: CellId, fate: Fate) -> Option<Waker> {
        let cell = &mut self.cells[id.0];
        match core::mem::replace(cell, Cell::Settled(fate)) {
            Cell::Open(waker) => waker,
            Cell::Forgotten => {
                *cell = Cell::Free;
                self.free.push(id);
                None
            }
            earlier @ (Cell::Settled(_) | Cell::Free) => {
                debug_assert!(false, "a request is settled once");
                *cell = earlier;
                None
            }
        }
    }

    /// The token asks; with the fate it gives up its cell. A waker that is `displaced` is to be dropped once the lock
    /// is released.
    pub(crate) fn poll(&mut self, id: CellId, asking: &Waker, displaced: &mut Option<Waker>) -> Poll<Fate> {
        let cell = &mut self.cells[id.0];
        match cell {
            Cell::Open(waker) => *displaced = set_waker(waker, asking),
            Cell::Settled(_) => {
                if let Cell::Settled(fate) = core::mem::replace(cell, Cell::Free) {
                    self.free.push(id);
                    return Poll::Ready(fate);
                }
            }
            Cell::Forgotten | Cell::Free => debug_assert!(false, "a token asks for its own cell"),
        }
        Poll::Pending
    }

    /// The token is gone; the request goes on. Returns what is to be dropped once the lock is released.
    #[must_use]
    pub(crate) fn forget(&mut self, id: CellId) -> Cell {
        let cell = core::mem::replace(&mut self.cells[id.0], Cell::Forgotten);
        if matches!(cell, Cell::Settled(_)) {
            self.cells[id.0] = Cell::Free;
            self.free.push(id);
        }
        cell
    }

    /// The requests that a driver still owes an answer.
    pub(crate) fn unsettled(&self) -> Vec<CellId> {
        let owed = |cell: &Cell| matches!(cell, Cell::Open(_) | Cell::Forgotten);
        (0..self.cells.len()).filter(|&index| owed(&self.cells[index])).map(CellId).collect()
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

    #[test]
    fn a_forgotten_request_frees_its_cell_when_it_is_settled() {
        let mut cells = Cells::default();
        let id = cells.open();
        _ = cells.forget(id);
        assert_eq!(cells.unsettled(), [id]);
        assert_ne!(cells.open(), id, "the driver still owes an answer");
        assert!(cells.settle(id, Fate::Closed).is_none());
        assert_eq!(cells.open(), id);
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
