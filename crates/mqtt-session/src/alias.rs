//! Topic aliases, section 3.3.2.3.4: a number in place of a topic. They live and die with one link
//! `[MQTT-3.3.2-7]`, and the two directions know nothing of each other.

use alloc::vec::Vec;
use core::num::NonZeroU16;
use mqtt_codec::{Topic, TopicName};

/// The aliases of what is sent: chosen here, least recently used first to go.
#[derive(Debug, Default)]
pub(crate) struct SendingAliases {
    /// The alias of an entry is its place, counted from 1.
    entries: Vec<Entry>,
    maximum: u16,
    /// Counts uses.
    clock: u32,
}

#[derive(Debug)]
struct Entry {
    topic: TopicName,
    last_used: u32,
}

/// A shorter topic gains nothing: an alias takes three bytes itself.
const SHORTEST_TOPIC: usize = 4;

impl SendingAliases {
    /// Aliases from 1 to the server's maximum `[MQTT-3.2.2-17]`; none if it gave none `[MQTT-3.2.2-18]`.
    pub(crate) const fn new(maximum: u16) -> Self {
        Self { entries: Vec::new(), maximum, clock: 0 }
    }

    /// Whether the server takes any.
    pub(crate) const fn are_allowed(&self) -> bool {
        self.maximum > 0
    }

    /// The form in which the topic goes out now, if aliases are allowed: by alias alone if the server knows it,
    /// else in full, with an alias for the next time. The packet must then be sent.
    pub(crate) fn write<'a>(&mut self, topic: &'a TopicName) -> (Topic<'a>, Option<NonZeroU16>) {
        let known = self.entries.iter().position(|entry| entry.topic == *topic);
        if known.is_none() && topic.len() < SHORTEST_TOPIC {
            return (topic.borrow(), None);
        }
        self.clock = self.clock.wrapping_add(1);
        let place = known.unwrap_or_else(|| self.assign(topic));
        if let Some(entry) = self.entries.get_mut(place) {
            entry.last_used = self.clock;
        }
        let alias = u16::try_from(place + 1).ok().and_then(NonZeroU16::new);
        (if known.is_some() { Topic::EMPTY } else { topic.borrow() }, alias)
    }

    /// Begins anew: the server learns every alias again before it is used alone.
    pub(crate) fn forget(&mut self) {
        self.entries.clear();
    }

    fn assign(&mut self, topic: &TopicName) -> usize {
        let entry = Entry { topic: topic.clone(), last_used: self.clock };
        if self.entries.len() < usize::from(self.maximum) {
            self.entries.push(entry);
            return self.entries.len() - 1;
        }
        let age = |entry: &Entry| self.clock.wrapping_sub(entry.last_used);
        let oldest = self.entries.iter().enumerate().max_by_key(|(_, entry)| age(entry));
        let place = oldest.map_or(0, |(place, _)| place);
        if let Some(slot) = self.entries.get_mut(place) {
            *slot = entry;
        }
        place
    }
}

/// The aliases of what is received.
#[derive(Debug, Default)]
pub(crate) struct ReceivingAliases {
    /// The alias of a topic is its place, counted from 1.
    topics: Vec<Option<TopicName>>,
    maximum: u16,
}

/// Why a received topic alias is refused.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum AliasError {
    /// Above what CONNECT allowed.
    AboveMaximum,
    /// Without a topic, and never given one on this link.
    Unknown,
}

impl ReceivingAliases {
    /// The server may use the aliases from 1 to the maximum that CONNECT announced `[MQTT-3.3.2-10]`.
    pub(crate) const fn new(maximum: u16) -> Self {
        Self { topics: Vec::new(), maximum }
    }

    /// The topic that a PUBLISH with this alias means. A topic in full is remembered under the alias, also in
    /// place of another one `[5u-21]`.
    pub(crate) fn resolve(&mut self, alias: u16, topic: Option<TopicName>) -> Result<TopicName, AliasError> {
        let place = usize::from(alias).checked_sub(1).ok_or(AliasError::AboveMaximum)?;
        if alias > self.maximum {
            return Err(AliasError::AboveMaximum);
        }
        let Some(topic) = topic else {
            return self.topics.get(place).cloned().flatten().ok_or(AliasError::Unknown);
        };
        if self.topics.len() <= place {
            self.topics.resize(place + 1, None);
        }
        if let Some(slot) = self.topics.get_mut(place)
            && slot.as_ref() != Some(&topic)
        {
            *slot = Some(detached(&topic));
        }
        Ok(topic)
    }
}

/// A copy that does not hold on to the buffer that the topic was read into.
pub(crate) fn detached(topic: &TopicName) -> TopicName {
    TopicName::try_from(topic.as_str()).unwrap_or_else(|_| topic.clone())
}
