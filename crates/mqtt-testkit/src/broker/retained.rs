//! Retained messages: the last one of each topic, section 3.3.1.3.

use super::message::Message;
use mqtt_codec::{TopicFilter, TopicName};
use std::collections::BTreeMap;
use std::sync::Arc;
use tokio::time::Instant;

#[derive(Debug, Default)]
pub(super) struct Retained(BTreeMap<TopicName, Arc<Message>>);

impl Retained {
    /// Stores a message with RETAIN, or clears its topic if it is empty `[MQTT-3.3.1-5]` to `[MQTT-3.3.1-8]`.
    pub(super) fn update(&mut self, message: &Arc<Message>) {
        if !message.retain {
            return;
        }
        if message.payload.is_empty() {
            self.0.remove(&message.topic);
        } else {
            self.0.insert(message.topic.clone(), message.clone());
        }
    }

    /// The messages of all topics that the filter takes, except those that have expired.
    pub(super) fn matching(&self, now: Instant, filter: &TopicFilter) -> Vec<Arc<Message>> {
        self.current(now).filter(|message| filter.matches(&message.topic)).cloned().collect()
    }

    pub(super) fn all(&self, now: Instant) -> Vec<Arc<Message>> {
        self.current(now).cloned().collect()
    }

    fn current(&self, now: Instant) -> impl Iterator<Item = &Arc<Message>> {
        self.0.values().filter(move |message| !message.is_expired(now))
    }
}
