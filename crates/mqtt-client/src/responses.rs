//! Answers on their way back: the one subscription that takes them, and who waits for which.

use crate::delivery::{Effects, Inbox};
use crate::sync::{Mutex, MutexGuard};
use core::task::{Context, Poll, Waker};
use mqtt_session::{Connected, Message, TopicName};
use std::collections::HashMap;
use tokio::sync::oneshot;

/// What the requests of one client share.
#[derive(Debug)]
pub(crate) struct Responses {
    /// Held by the request that subscribes, so that there is one subscription.
    pub(crate) subscribing: tokio::sync::Mutex<()>,
    /// Tells them apart from the requests of an earlier run of the program, and of others.
    nonce: [u8; 8],
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    /// Where to send answers, as the last connection suggests.
    suggested: Option<TopicName>,
    /// Where answers are sent: it is subscribed.
    topic: Option<TopicName>,
    waiting: HashMap<u64, oneshot::Sender<Message>>,
    last: u64,
}

/// One request's place among those that wait. Dropping it gives it up: an answer that comes later is ignored.
#[derive(Debug)]
pub(crate) struct Waiting<'a> {
    responses: &'a Responses,
    number: u64,
    pub(crate) answer: oneshot::Receiver<Message>,
}

impl Responses {
    pub(crate) fn new() -> Self {
        Self {
            subscribing: tokio::sync::Mutex::new(()),
            nonce: fastrand::u64(..).to_be_bytes(),
            inner: Mutex::default(),
        }
    }

    /// Where answers are to be sent, once it is subscribed.
    pub(crate) fn topic(&self) -> Option<TopicName> {
        self.lock().topic.clone()
    }

    pub(crate) fn set_topic(&self, topic: TopicName) {
        self.lock().topic = Some(topic);
    }

    pub(crate) fn suggested(&self) -> Option<TopicName> {
        self.lock().suggested.clone()
    }

    /// A server has accepted the client: it may have said where answers belong.
    pub(crate) fn connected(&self, chosen: Option<&TopicName>, connected: &Connected) {
        let mut inner = self.lock();
        if inner.topic.is_none() {
            inner.suggested = chosen.cloned().or_else(|| suggestion(connected));
        }
    }

    pub(crate) fn wait(&self) -> Waiting<'_> {
        let (sender, answer) = oneshot::channel();
        let mut inner = self.lock();
        inner.last += 1;
        let number = inner.last;
        inner.waiting.insert(number, sender);
        Waiting { responses: self, number, answer }
    }

    /// Hands out what has arrived, so that nothing ever waits in this queue. False if the subscription is gone.
    pub(crate) fn take(&self, inbox: &Inbox, effects: &mut Effects) -> bool {
        loop {
            match inbox.queue.poll_take(&mut Context::from_waker(Waker::noop())) {
                Poll::Ready(Some(taken)) => {
                    effects.reopened += usize::from(taken.reopened);
                    effects.acks.extend(taken.item.ack.and_then(|ack| ack.take()));
                    self.answer(taken.item.message);
                }
                Poll::Ready(None) => {
                    self.lose();
                    return false;
                }
                Poll::Pending => return true,
            }
        }
    }

    /// The first answer with the number of a request counts; any other is late, doubled or foreign.
    fn answer(&self, message: Message) {
        let number = message
            .properties
            .view()
            .correlation_data()
            .and_then(|data| data.strip_prefix(&self.nonce))
            .and_then(|number| Some(u64::from_be_bytes(number.try_into().ok()?)));
        let waiting = number.and_then(|number| self.lock().waiting.remove(&number));
        if let Some(waiting) = waiting {
            // A receiver that is gone has been given up just now.
            _ = waiting.send(message);
        }
    }

    /// The subscription is gone: nobody will get an answer.
    pub(crate) fn lose(&self) {
        let mut inner = self.lock();
        inner.topic = None;
        let waiting = core::mem::take(&mut inner.waiting);
        drop(inner);
        drop(waiting);
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock()
    }
}

/// A topic below what the server calls the client's own, or one that nobody else is likely to use.
fn suggestion(connected: &Connected) -> Option<TopicName> {
    let unique: String = (0..10).map(|_| fastrand::alphanumeric()).collect();
    let assigned = connected.properties.view().response_information().and_then(|prefix| {
        TopicName::try_from(format!("{}/{unique}", prefix.strip_suffix('/').unwrap_or(prefix))).ok()
    });
    let id = connected.negotiated.client_id.replace(['+', '#'], "_");
    assigned.or_else(|| TopicName::try_from(format!("response/{id}/{unique}")).ok())
}

impl Waiting<'_> {
    /// What the answer must carry.
    pub(crate) fn correlation(&self) -> Vec<u8> {
        [self.responses.nonce, self.number.to_be_bytes()].concat()
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        let given_up = self.responses.lock().waiting.remove(&self.number);
        drop(given_up);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;
    use mqtt_session::PropertiesBuf;

    fn answer(data: &[u8]) -> Message {
        let properties = PropertiesBuf::builder().correlation_data(data).build().unwrap();
        Message { properties, ..Message::new(TopicName::try_from("a").unwrap(), Bytes::new()) }
    }

    #[test]
    fn nothing_is_left_of_a_request_that_was_given_up_or_answered() {
        let responses = Responses::new();
        let (given_up, mut answered) = (responses.wait(), responses.wait());
        let (late, data) = (given_up.correlation(), answered.correlation());
        assert_ne!(late, data);
        drop(given_up);
        responses.answer(answer(&late));
        assert_eq!(responses.lock().waiting.len(), 1);
        responses.answer(answer(&data));
        responses.answer(answer(&data));
        assert!(responses.lock().waiting.is_empty());
        answered.answer.try_recv().unwrap();
    }

    #[test]
    fn the_numbers_of_another_client_are_not_ours() {
        let (ours, theirs) = (Responses::new(), Responses::new());
        let waiting = ours.wait();
        ours.answer(answer(&theirs.wait().correlation()));
        assert_eq!(ours.lock().waiting.len(), 1);
        drop(waiting);
    }
}
