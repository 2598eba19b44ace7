//! A bounded queue from the driver to one reader.

use core::task::{Context, Poll, Waker};
use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Filled by the driver, which never waits; emptied by whoever holds the stream.
///
/// What does not fit is for the driver to prevent: [`push`](Self::push) tells it when the queue is full, and the reader
/// tells it when there is room again. In between the driver stops reading from the network.
#[derive(Debug)]
pub(crate) struct Queue<T> {
    state: Mutex<State<T>>,
}

#[derive(Debug)]
struct State<T> {
    items: VecDeque<T>,
    capacity: usize,
    /// The driver was told that the queue is full.
    full: bool,
    dropped: u64,
    reader: Option<Waker>,
    ended: bool,
}

/// What pushing an item has come to.
#[derive(Debug, Default)]
pub(crate) struct Pushed {
    /// To be woken when the driver is done with its batch.
    pub(crate) reader: Option<Waker>,
    /// The queue has become full.
    pub(crate) filled: bool,
}

/// An item that the reader took.
#[derive(Debug)]
pub(crate) struct Taken<T> {
    pub(crate) item: T,
    /// The queue was full and now has room: the driver wants to know.
    pub(crate) reopened: bool,
}

impl<T> Queue<T> {
    pub(crate) fn new(capacity: usize) -> Self {
        Self {
            state: Mutex::new(State {
                items: VecDeque::new(),
                capacity: capacity.max(1),
                full: false,
                dropped: 0,
                reader: None,
                ended: false,
            }),
        }
    }

    /// Appends an item, beyond the bound if need be: what one read brought is kept.
    pub(crate) fn push(&self, item: T) -> Pushed {
        let mut state = self.lock();
        state.items.push_back(item);
        let filled = !state.full && state.items.len() >= state.capacity;
        state.full |= filled;
        Pushed { reader: state.reader.take(), filled }
    }

    /// Appends an item, and drops the oldest if there is no room.
    pub(crate) fn push_over(&self, item: T) -> Option<Waker> {
        let mut state = self.lock();
        if state.items.len() >= state.capacity {
            state.items.pop_front();
            state.dropped += 1;
        }
        state.items.push_back(item);
        state.reader.take()
    }

    /// Whether the queue holds twice its bound.
    pub(crate) fn overflows(&self) -> bool {
        let state = self.lock();
        state.items.len() >= state.capacity.saturating_mul(2)
    }

    /// Counts an item that was not even pushed.
    pub(crate) fn count_drop(&self) {
        self.lock().dropped += 1;
    }

    /// Items dropped for want of room.
    pub(crate) fn dropped(&self) -> u64 {
        self.lock().dropped
    }

    /// The next item; `None` when the queue has ended and is empty.
    pub(crate) fn poll_take(&self, cx: &mut Context<'_>) -> Poll<Option<Taken<T>>> {
        let mut state = self.lock();
        if let Some(item) = state.items.pop_front() {
            let reopened = state.full && state.items.len() <= state.capacity / 2;
            state.full &= !reopened;
            return Poll::Ready(Some(Taken { item, reopened }));
        }
        if state.ended {
            return Poll::Ready(None);
        }
        match &mut state.reader {
            Some(reader) => reader.clone_from(cx.waker()),
            reader => *reader = Some(cx.waker().clone()),
        }
        Poll::Pending
    }

    /// Lets the reader have what is there, and nothing after it.
    pub(crate) fn end(&self) -> Option<Waker> {
        let mut state = self.lock();
        state.ended = true;
        state.reader.take()
    }

    /// Ends the queue and empties it. The flag says whether it was full.
    pub(crate) fn drain(&self) -> (VecDeque<T>, bool) {
        let mut state = self.lock();
        state.ended = true;
        (core::mem::take(&mut state.items), core::mem::take(&mut state.full))
    }

    fn lock(&self) -> MutexGuard<'_, State<T>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use core::sync::atomic::{AtomicUsize, Ordering};
    use core::task::Context;
    use std::sync::Arc;
    use std::task::Wake;

    #[derive(Default)]
    struct Count(AtomicUsize);

    impl Wake for Count {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn take<T>(queue: &Queue<T>) -> Option<(T, bool)> {
        match queue.poll_take(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(taken) => taken.map(|taken| (taken.item, taken.reopened)),
            Poll::Pending => None,
        }
    }

    #[test]
    fn tells_when_it_is_full_and_when_there_is_room_again() {
        let queue = Queue::new(4);
        let filled: Vec<bool> = (0..6).map(|item| queue.push(item).filled).collect();
        assert_eq!(filled, [false, false, false, true, false, false], "told once");
        let reopened: Vec<bool> = (0..6).map(|_| take(&queue).unwrap().1).collect();
        assert_eq!(reopened, [false, false, false, true, false, false], "told once, at half");
    }

    #[test]
    fn the_reader_is_woken_once() {
        let queue = Queue::new(4);
        let count = Arc::new(Count::default());
        let waker = Waker::from(count.clone());
        assert!(queue.poll_take(&mut Context::from_waker(&waker)).is_pending());
        let wakers: Vec<Waker> = (0..3).filter_map(|item| queue.push(item).reader).collect();
        assert_eq!(wakers.len(), 1);
        wakers.into_iter().for_each(Waker::wake);
        assert_eq!(count.0.load(Ordering::Relaxed), 1);
    }

    #[test]
    fn an_ended_queue_is_read_to_its_end() {
        let queue = Queue::new(4);
        queue.push(1);
        queue.end();
        assert_eq!(take(&queue), Some((1, false)));
        assert!(matches!(queue.poll_take(&mut Context::from_waker(Waker::noop())), Poll::Ready(None)));
    }

    #[test]
    fn pushing_over_the_bound_drops_the_oldest() {
        let queue = Queue::new(2);
        (0..5).for_each(|item| _ = queue.push_over(item));
        assert_eq!(queue.dropped(), 3);
        assert_eq!((take(&queue), take(&queue)), (Some((3, false)), Some((4, false))));
    }
}
