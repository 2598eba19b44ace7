//! A bounded queue from the driver to one reader.

use crate::sync::{AtomicBool, AtomicUsize, Mutex, MutexGuard};
use core::sync::atomic::Ordering;
use core::task::{Context, Poll, Waker};
use mqtt_session::TopicName;
use std::collections::{HashMap, VecDeque};

/// What happens to a message for which the queue of its subscription has no room, see
/// [`SubscribeBuilder::when_full`](crate::SubscribeBuilder::when_full).
///
/// What is dropped is [counted](crate::Subscription::dropped). A dropped message of QoS 1 or 2 is answered, or it would
/// hold back those behind it: in 5.0 with the reason [`QUOTA_EXCEEDED`](crate::ReasonCode::QUOTA_EXCEEDED), unless
/// another subscription has it too; before 5.0, which has no reasons, the server hears that all is well. One that was
/// acknowledged is never dropped.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum QueuePolicy {
    /// It waits in the network: the client stops reading, see [`Subscription`](crate::Subscription).
    #[default]
    Wait,
    /// The oldest message in the queue is dropped.
    DropOldest,
    /// The new message is dropped.
    DropNewest,
    /// The last message of the same topic in the queue is dropped, and the new one takes its place, so that the order
    /// within each topic stays. If the topic has none, as [`DropOldest`](Self::DropOldest). Meant for readings of which
    /// only the last matters; it costs a map entry for each topic in the queue.
    KeepLatest,
}

/// What [`QueuePolicy::KeepLatest`] goes by.
pub(crate) trait Topical {
    fn topic(&self) -> Option<&TopicName>;
}

/// Filled by the driver, which never waits; emptied by whoever holds the stream.
///
/// Under [`QueuePolicy::Wait`] what does not fit is for the driver to prevent: [`push`](Self::push) tells it when the
/// queue is full, and the reader tells it when there is room again. In between the driver stops reading from the
/// network.
///
/// Both ends may move many items under one lock: [`push_all`](Self::push_all) and [`poll_ahead`](Self::poll_ahead).
#[derive(Debug)]
pub(crate) struct Queue<T> {
    state: Mutex<State<T>>,
    /// Items that the reader has taken ahead and not passed on: they count as if they were here. Written by the reader.
    ahead: AtomicUsize,
    /// The driver was told that the queue is full. Written under the lock.
    full: AtomicBool,
}

#[derive(Debug)]
struct State<T> {
    items: VecDeque<T>,
    capacity: usize,
    policy: QueuePolicy,
    /// The number of the first item, counted from the beginning.
    first: u64,
    /// The number of the last item of each topic, if only the latest are kept.
    latest: HashMap<TopicName, u64>,
    dropped: u64,
    /// Items that were last taken ahead.
    taken: usize,
    reader: Option<Waker>,
    ended: bool,
}

/// What pushing an item has come to.
#[derive(Debug)]
pub(crate) struct Pushed<T> {
    /// To be woken when the driver is done with its batch.
    pub(crate) reader: Option<Waker>,
    /// The queue has become full.
    pub(crate) filled: bool,
    /// What gave way.
    pub(crate) dropped: Option<T>,
}

/// An item that the reader took.
#[derive(Debug)]
pub(crate) struct Taken<T> {
    pub(crate) item: T,
    /// The queue was full and now has room: the driver wants to know.
    pub(crate) reopened: bool,
}

impl<T: Topical> Queue<T> {
    pub(crate) fn new(capacity: usize, policy: QueuePolicy) -> Self {
        Self {
            state: Mutex::new(State {
                items: VecDeque::new(),
                capacity: capacity.max(1),
                policy,
                first: 0,
                latest: HashMap::new(),
                dropped: 0,
                taken: 0,
                reader: None,
                ended: false,
            }),
            ahead: AtomicUsize::new(0),
            full: AtomicBool::new(false),
        }
    }

    /// Appends an item. Without room the policy says what gives way; where nothing does, the item goes beyond the bound:
    /// what one read brought is kept.
    pub(crate) fn push(&self, item: T) -> Pushed<T> {
        let mut state = self.lock();
        let dropped = if self.len(&state) < state.capacity {
            state.append(item);
            None
        } else {
            state.squeeze_in(item)
        };
        state.dropped += u64::from(dropped.is_some());
        Pushed { reader: state.reader.take(), filled: self.fill(&state), dropped }
    }

    /// Appends items in a row. `None`, and they stay where they are, if one of them might make another give way.
    pub(crate) fn push_all(&self, items: &mut VecDeque<T>) -> Option<Pushed<T>> {
        let mut state = self.lock();
        let waits = state.policy == QueuePolicy::Wait;
        if !waits && (state.takes_back() || self.len(&state) + items.len() > state.capacity) {
            return None;
        }
        if state.items.is_empty() {
            core::mem::swap(&mut state.items, items);
        } else {
            state.items.append(items);
        }
        Some(Pushed { reader: state.reader.take(), filled: self.fill(&state), dropped: None })
    }

    pub(crate) fn has_room(&self) -> bool {
        let state = self.lock();
        self.len(&state) < state.capacity
    }

    /// Whether the queue holds twice its bound.
    pub(crate) fn overflows(&self) -> bool {
        let state = self.lock();
        self.len(&state) >= state.capacity.saturating_mul(2)
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
        match state.pop() {
            Some(item) => Poll::Ready(Some(Taken { item, reopened: self.reopen(&state) })),
            None => state.wait(cx).map(|()| None),
        }
    }

    /// For a reader that takes items `ahead`: all that is there, unless the policy may still want it back. Ready when
    /// there is one, or never will be. What the reader has not [passed on](Self::passed_on) counts as if it were in
    /// the queue, and is to be [given back](Self::give_back) if it never will be.
    pub(crate) fn poll_ahead(&self, ahead: &mut VecDeque<T>, cx: &mut Context<'_>) -> Poll<()> {
        let mut state = self.lock();
        if state.items.is_empty() {
            // What a burst has needed is not kept when there are only drops.
            let kept = KEPT.max(2 * state.taken);
            ahead.shrink_to(kept);
            state.items.shrink_to(kept);
            return state.wait(cx);
        }
        if state.takes_back() {
            ahead.extend(state.pop());
        } else {
            core::mem::swap(&mut state.items, ahead);
        }
        state.taken = ahead.len();
        self.ahead.store(ahead.len(), Ordering::Relaxed);
        Poll::Ready(())
    }

    /// The reader has passed on one of the items that it took ahead, and has these left. True if the queue was full and
    /// now has room: the driver wants to know.
    pub(crate) fn passed_on(&self, left: &VecDeque<T>) -> bool {
        self.ahead.store(left.len(), Ordering::Relaxed);
        // When it is set at this moment the reader sees it next time: a full queue has something to take.
        self.full.load(Ordering::Relaxed) && self.reopen(&self.lock())
    }

    /// The reader will not pass on what it has taken ahead.
    pub(crate) fn give_back(&self, ahead: &mut VecDeque<T>) {
        if ahead.is_empty() {
            return;
        }
        let mut state = self.lock();
        ahead.append(&mut state.items);
        core::mem::swap(&mut state.items, ahead);
        self.ahead.store(0, Ordering::Relaxed);
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
        state.latest.clear();
        (core::mem::take(&mut state.items), self.full.swap(false, Ordering::Relaxed))
    }

    fn len(&self, state: &State<T>) -> usize {
        state.items.len() + self.ahead.load(Ordering::Relaxed)
    }

    /// Items were added: whether the queue is full since.
    fn fill(&self, state: &State<T>) -> bool {
        let filled = state.policy == QueuePolicy::Wait
            && self.len(state) >= state.capacity
            && !self.full.load(Ordering::Relaxed);
        if filled {
            self.full.store(true, Ordering::Relaxed);
        }
        filled
    }

    /// An item was taken: whether the queue was full and now has room.
    fn reopen(&self, state: &State<T>) -> bool {
        let reopened = self.full.load(Ordering::Relaxed) && self.len(state) <= state.capacity / 2;
        if reopened {
            self.full.store(false, Ordering::Relaxed);
        }
        reopened
    }

    fn lock(&self) -> MutexGuard<'_, State<T>> {
        self.state.lock()
    }
}

/// For so many items an empty queue keeps its memory in any case.
const KEPT: usize = 64;

impl<T: Topical> State<T> {
    /// Whether an item that is in the queue may still have to give way.
    fn takes_back(&self) -> bool {
        matches!(self.policy, QueuePolicy::DropOldest | QueuePolicy::KeepLatest)
    }

    /// There is nothing to take. Ready if there never will be.
    fn wait(&mut self, cx: &Context<'_>) -> Poll<()> {
        if self.ended {
            return Poll::Ready(());
        }
        match &mut self.reader {
            Some(reader) => reader.clone_from(cx.waker()),
            reader => *reader = Some(cx.waker().clone()),
        }
        Poll::Pending
    }

    fn append(&mut self, item: T) {
        if self.policy == QueuePolicy::KeepLatest
            && let Some(topic) = item.topic()
        {
            // The key shares the buffer of its message: the old one must not outlive that.
            self.latest.remove(topic);
            self.latest.insert(topic.clone(), self.first + self.items.len() as u64);
        }
        if self.items.capacity() == 0 {
            // Many queues never hold more than one.
            self.items.reserve_exact(1);
        }
        self.items.push_back(item);
    }

    fn pop(&mut self) -> Option<T> {
        let item = self.items.pop_front()?;
        if self.policy == QueuePolicy::KeepLatest
            && let Some(topic) = item.topic()
            && self.latest.get(topic) == Some(&self.first)
        {
            self.latest.remove(topic);
        }
        self.first += 1;
        Some(item)
    }

    /// There is no room. Returns what gave way.
    fn squeeze_in(&mut self, item: T) -> Option<T> {
        match self.policy {
            QueuePolicy::Wait => {
                self.append(item);
                None
            }
            QueuePolicy::DropNewest => Some(item),
            QueuePolicy::DropOldest => {
                let oldest = self.pop();
                self.append(item);
                oldest
            }
            QueuePolicy::KeepLatest => {
                let Some(place) = self.place_of_latest(&item) else {
                    let oldest = self.pop();
                    self.append(item);
                    return oldest;
                };
                let (topic, number) = (item.topic().cloned(), self.first + place as u64);
                let earlier = core::mem::replace(self.items.get_mut(place)?, item);
                if let Some(topic) = topic {
                    self.latest.remove(&topic);
                    self.latest.insert(topic, number);
                }
                Some(earlier)
            }
        }
    }

    fn place_of_latest(&self, item: &T) -> Option<usize> {
        let number = self.latest.get(item.topic()?)?;
        usize::try_from(number - self.first).ok().filter(|place| *place < self.items.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use core::sync::atomic::{AtomicUsize, Ordering};
    use core::task::Context;
    use std::sync::Arc;
    use std::task::Wake;

    impl Topical for i32 {
        fn topic(&self) -> Option<&TopicName> {
            None
        }
    }

    #[derive(Default)]
    struct Count(AtomicUsize);

    impl Wake for Count {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn take<T: Topical>(queue: &Queue<T>) -> Option<(T, bool)> {
        match queue.poll_take(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(taken) => taken.map(|taken| (taken.item, taken.reopened)),
            Poll::Pending => None,
        }
    }

    #[test]
    fn tells_when_it_is_full_and_when_there_is_room_again() {
        let queue = Queue::new(4, QueuePolicy::Wait);
        let filled: Vec<bool> = (0..6).map(|item| queue.push(item).filled).collect();
        assert_eq!(filled, [false, false, false, true, false, false], "told once");
        let reopened: Vec<bool> = (0..6).map(|_| take(&queue).unwrap().1).collect();
        assert_eq!(reopened, [false, false, false, true, false, false], "told once, at half");
    }

    #[test]
    fn the_reader_is_woken_once() {
        let queue = Queue::new(4, QueuePolicy::Wait);
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
        let queue = Queue::new(4, QueuePolicy::Wait);
        queue.push(1);
        queue.end();
        assert_eq!(take(&queue), Some((1, false)));
        assert!(matches!(queue.poll_take(&mut Context::from_waker(Waker::noop())), Poll::Ready(None)));
    }

    fn take_ahead<T: Topical>(queue: &Queue<T>, ahead: &mut VecDeque<T>) -> Option<(T, bool)> {
        if ahead.is_empty() {
            _ = queue.poll_ahead(ahead, &mut Context::from_waker(Waker::noop()));
        }
        let item = ahead.pop_front()?;
        Some((item, queue.passed_on(ahead)))
    }

    /// Taking ahead changes nothing for the driver: it sees room only for what the reader has passed on.
    #[test]
    fn what_was_taken_ahead_still_fills_the_queue() {
        let (queue, mut ahead) = (Queue::new(4, QueuePolicy::Wait), VecDeque::new());
        (0..3).for_each(|item| assert!(!queue.push(item).filled));
        assert_eq!((take_ahead(&queue, &mut ahead), ahead.len()), (Some((0, false)), 2));
        let filled = queue.push_all(&mut (3..9).collect()).unwrap().filled;
        assert!(filled && queue.overflows(), "two ahead, six in the queue");
        let reopened: Vec<_> = core::iter::from_fn(|| take_ahead(&queue, &mut ahead)).collect();
        let expected = (1..9).map(|item| (item, item == 6));
        assert_eq!(reopened, expected.collect::<Vec<_>>(), "told once, at half");
    }

    #[test]
    fn what_was_taken_ahead_is_given_back_in_order() {
        let (queue, mut ahead) = (Queue::new(4, QueuePolicy::DropNewest), VecDeque::new());
        queue.push_all(&mut (0..3).collect()).unwrap();
        take_ahead(&queue, &mut ahead);
        assert!(queue.push_all(&mut (3..6).collect()).is_none(), "one would have to give way");
        queue.push(3);
        queue.give_back(&mut ahead);
        assert_eq!((queue.drain().0.into(), ahead.len()), (vec![1, 2, 3], 0));
    }

    /// What may still have to give way stays in the queue.
    #[test]
    fn nothing_is_taken_ahead_that_may_give_way() {
        let (queue, mut ahead) = (Queue::new(2, QueuePolicy::DropOldest), VecDeque::new());
        (0..2).for_each(|item| assert_eq!(queue.push(item).dropped, None));
        assert_eq!(take_ahead(&queue, &mut ahead), Some((0, false)));
        assert_eq!([2, 3].map(|item| queue.push(item).dropped), [None, Some(1)]);
        assert_eq!(
            [(); 3].map(|()| take_ahead(&queue, &mut ahead)),
            [Some((2, false)), Some((3, false)), None]
        );
    }

    fn all<T: Topical>(queue: &Queue<T>) -> Vec<T> {
        core::iter::from_fn(|| take(queue).map(|(item, _)| item)).collect()
    }

    #[test]
    fn without_room_the_oldest_or_the_newest_gives_way() {
        for (policy, kept, lost) in
            [(QueuePolicy::DropOldest, [3, 4], [0, 1, 2]), (QueuePolicy::DropNewest, [0, 1], [2, 3, 4])]
        {
            let queue = Queue::new(2, policy);
            let pushed: Vec<_> = (0..5).map(|item| queue.push(item)).collect();
            assert!(pushed.iter().all(|pushed| !pushed.filled), "nobody waits");
            assert_eq!(pushed.into_iter().filter_map(|pushed| pushed.dropped).collect::<Vec<_>>(), lost);
            assert_eq!((queue.dropped(), all(&queue)), (3, kept.to_vec()));
        }
    }

    #[derive(PartialEq, Debug)]
    struct Reading(TopicName, u32);

    impl Topical for Reading {
        fn topic(&self) -> Option<&TopicName> {
            Some(&self.0)
        }
    }

    #[test]
    fn the_latest_of_a_topic_takes_the_place_of_the_one_before() {
        let reading = |topic: &str, value| Reading(TopicName::try_from(topic).unwrap(), value);
        let queue = Queue::new(3, QueuePolicy::KeepLatest);
        for (topic, value) in [("a", 1), ("a", 2), ("b", 3)] {
            assert_eq!(queue.push(reading(topic, value)).dropped, None, "there is room");
        }
        assert_eq!(queue.push(reading("a", 4)).dropped, Some(reading("a", 2)));
        assert_eq!(queue.push(reading("c", 5)).dropped, Some(reading("a", 1)), "the topic has none");
        assert_eq!(queue.push(reading("a", 6)).dropped, Some(reading("a", 4)));
        assert_eq!(take(&queue).unwrap().0, reading("a", 6));
        assert_eq!(queue.push(reading("a", 7)).dropped, None);
        assert_eq!(all(&queue), [reading("b", 3), reading("c", 5), reading("a", 7)]);
        assert_eq!((queue.dropped(), queue.lock().latest.len()), (3, 0), "no entry is left");
    }
}
