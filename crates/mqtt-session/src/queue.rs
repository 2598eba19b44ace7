//! The messages that wait to be sent, in order, and which of them gives way when there is no room.

use crate::config::Overflow;
use crate::in_flight::Outgoing;
use alloc::collections::{BTreeMap, VecDeque};
use mqtt_codec::TopicName;

/// The queue. It grows as far as its owner lets it.
#[derive(Debug)]
pub(crate) struct Queue {
    messages: VecDeque<Outgoing>,
    /// The number of the first message; those behind it count on, past the end of the numbers from 0.
    first: u64,
    /// The number of the last message of each topic, if that is ever asked for.
    latest: Option<BTreeMap<TopicName, u64>>,
}

impl Queue {
    pub(crate) fn new(overflow: Overflow) -> Self {
        let latest = (overflow == Overflow::KeepLatest).then(BTreeMap::new);
        Self { messages: VecDeque::new(), first: 0, latest }
    }

    pub(crate) fn len(&self) -> usize {
        self.messages.len()
    }

    pub(crate) fn front(&self) -> Option<&Outgoing> {
        self.messages.front()
    }

    pub(crate) fn front_mut(&mut self) -> Option<&mut Outgoing> {
        self.messages.front_mut()
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Outgoing> {
        self.messages.iter()
    }

    pub(crate) fn iter_mut(&mut self) -> impl Iterator<Item = &mut Outgoing> {
        self.messages.iter_mut()
    }

    #[inline(always)]
    pub(crate) fn push_back(&mut self, queued: Outgoing) {
        self.messages.push_back(queued);
        if let Some(latest) = &mut self.latest
            && let Some(queued) = self.messages.back()
        {
            let number = self.first.wrapping_add(self.messages.len() as u64 - 1);
            latest.insert(queued.message.topic.clone(), number);
        }
    }

    pub(crate) fn push_front(&mut self, queued: Outgoing) {
        self.first = self.first.wrapping_sub(1);
        if let Some(latest) = &mut self.latest {
            latest.entry(queued.message.topic.clone()).or_insert(self.first);
        }
        self.messages.push_front(queued);
    }

    #[inline(always)]
    pub(crate) fn pop_front(&mut self) -> Option<Outgoing> {
        if let Some(latest) = &mut self.latest
            && let Some(queued) = self.messages.front()
            && latest.get(&queued.message.topic) == Some(&self.first)
        {
            latest.remove(&queued.message.topic);
        }
        // Of an empty queue the number of the first message means nothing.
        self.first = self.first.wrapping_add(1);
        self.messages.pop_front()
    }

    /// The last message of this topic, for another to take its place. `None` if there is none, or nobody
    /// wanted to know.
    pub(crate) fn latest_mut(&mut self, topic: &TopicName) -> Option<&mut Outgoing> {
        let place = self.place_of_latest(topic)?;
        self.messages.get_mut(place)
    }

    /// Takes the last message of this topic out, wherever it stands. Takes as long as the queue is.
    pub(crate) fn remove_latest(&mut self, topic: &TopicName) -> Option<Outgoing> {
        let place = self.place_of_latest(topic)?;
        let removed = self.messages.remove(place);
        self.count_again();
        removed
    }

    /// Keeps what the test wants to keep.
    pub(crate) fn retain(&mut self, keep: impl FnMut(&Outgoing) -> bool) {
        self.messages.retain(keep);
        self.count_again();
    }

    fn place_of_latest(&self, topic: &TopicName) -> Option<usize> {
        let number = *self.latest.as_ref()?.get(topic)?;
        usize::try_from(number.wrapping_sub(self.first)).ok()
    }

    fn count_again(&mut self) {
        if let Some(latest) = &mut self.latest {
            latest.clear();
            for (place, queued) in (0..).zip(&self.messages) {
                latest.insert(queued.message.topic.clone(), self.first.wrapping_add(place));
            }
        }
    }
}
