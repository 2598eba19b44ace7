//! What the tests share.
#![allow(dead_code, reason = "each test file uses its part")]

use core::time::Duration;
use mqtt_client::{Journal, Message, Outcome, PropertiesBuf, QoS, ReasonCode, Record, TopicName};
use mqtt_log::{Entry, LogReader, MessageLog, Query};
use std::path::Path;

/// How long anything may take before a test fails.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

pub(crate) fn message(topic: &str, payload: impl Into<bytes::Bytes>, qos: QoS) -> Message {
    let mut message = Message::new(TopicName::try_from(topic).unwrap(), payload.into());
    message.qos = qos;
    message
}

pub(crate) fn acked(reason: ReasonCode) -> Outcome {
    Outcome::Acked { reason, properties: PropertiesBuf::new() }
}

/// As a client does it: a message that is published, and what becomes of it.
pub(crate) fn publish(log: &mut MessageLog, number: u64, message: &Message, outcome: Option<&Outcome>) {
    log.record(Record::Accepted { number, message });
    if let Some(outcome) = outcome {
        log.record(Record::Completed { number, outcome });
    }
    log.flush();
}

/// As a client does it: a QoS 0 message that comes.
pub(crate) fn receive(log: &mut MessageLog, message: &Message) {
    log.record(Record::Received { message, receipt: None });
    log.flush();
}

#[track_caller]
pub(crate) fn written(log: &MessageLog) {
    assert!(log.wait_written(PATIENCE), "{:?}", log.status());
}

#[track_caller]
pub(crate) fn entries(directory: &Path, query: Query) -> Vec<Entry> {
    LogReader::open(directory).unwrap().entries(query).map(Result::unwrap).collect()
}

pub(crate) fn topics(entries: &[Entry]) -> Vec<&str> {
    entries.iter().map(|entry| entry.topic.as_str()).collect()
}
