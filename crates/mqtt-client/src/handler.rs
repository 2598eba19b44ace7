//! The closure form of a subscription.

use crate::delivery::{HolderId, Inbox};
use crate::error::UnsubscribeError;
use crate::submissions::{Command, Shared};
use crate::subscription::Subscription;
use core::future::poll_fn;
use core::panic::AssertUnwindSafe;
use core::pin::pin;
use core::task::Poll;
use mqtt_session::{Message, QoS, ReasonCode, TopicFilter};
use std::panic::{catch_unwind, resume_unwind};
use std::sync::Arc;
use tokio::runtime::Handle as Runtime;
use tokio::task::AbortHandle;

/// Holds a subscription whose messages go to a closure, from [`Client::on_message`](crate::Client::on_message).
///
/// A task of its own takes one message after the other from the queue of the subscription and awaits what the closure
/// makes of it. Being handed over acknowledges a message, as with a [`Subscription`]. A closure that is slow fills its
/// queue, with the effects that are described there; it may publish, subscribe and wait for the answers.
///
/// A panic in the closure ends this handler and nothing else: its filters are unsubscribed, what waits in its queue is
/// acknowledged.
///
/// Dropping it ends the task where the closure awaits something, and unsubscribes. It keeps the client alive, until it
/// is [detached](Self::detach).
#[derive(Debug)]
#[must_use = "the handler ends when this is dropped; detach it to let it go on"]
pub struct MessageHandler {
    /// `None` once it was let go.
    subscription: Option<Subscription>,
    task: AbortHandle,
}

impl MessageHandler {
    pub(crate) fn start<F, Fut>(subscription: Subscription, handler: F, runtime: &Runtime) -> Self
    where
        F: FnMut(Message) -> Fut + Send + 'static,
        Fut: Future<Output = ()> + Send + 'static,
    {
        let Subscription { alive, holder, inbox, .. } = &subscription;
        let task = runtime.spawn(handle_all(alive.shared.clone(), *holder, inbox.clone(), handler));
        let task = task.abort_handle();
        Self { subscription: Some(subscription), task }
    }

    /// See [`Subscription::granted_qos`].
    pub fn granted_qos(&self) -> Option<QoS> {
        self.subscription.as_ref().and_then(Subscription::granted_qos)
    }

    /// See [`Subscription::results`].
    pub fn results(&self) -> &[(TopicFilter, ReasonCode)] {
        self.subscription.as_ref().map(Subscription::results).unwrap_or_default()
    }

    /// See [`Subscription::dropped`].
    pub fn dropped(&self) -> u64 {
        self.subscription.as_ref().map(Subscription::dropped).unwrap_or_default()
    }

    /// Whether no message will be handled any more: the closure panicked, the subscription was lost or unsubscribed, or
    /// the client has ended.
    pub fn is_finished(&self) -> bool {
        self.task.is_finished()
    }

    /// Ends the subscription and waits for the server's answer, see [`Subscription::unsubscribe`]. A message that is
    /// being handled is handled to its end.
    ///
    /// Dropping the future once it was polled changes nothing: the filters are unsubscribed.
    ///
    /// # Errors
    ///
    /// The server refused, or the client has ended.
    pub async fn unsubscribe(mut self) -> Result<(), UnsubscribeError> {
        match self.subscription.take() {
            Some(subscription) => subscription.unsubscribe().await,
            None => Ok(()),
        }
    }

    /// Lets the handler go on for as long as the client lives. It does not keep the client alive, but a
    /// [`Client`](crate::Client) that the closure holds does.
    pub fn detach(mut self) {
        if let Some(subscription) = self.subscription.take() {
            drop(subscription.into_inbox());
        }
    }
}

impl Drop for MessageHandler {
    fn drop(&mut self) {
        if self.subscription.is_some() {
            self.task.abort();
        }
    }
}

async fn handle_all<F, Fut>(shared: Arc<Shared>, holder: HolderId, inbox: Arc<Inbox>, mut handler: F)
where
    F: FnMut(Message) -> Fut,
    Fut: Future<Output = ()>,
{
    let mut work = pin!(async {
        while let Some(message) = poll_fn(|cx| inbox.poll_next(cx, &shared)).await {
            handler(message).await;
        }
    });
    let ended = poll_fn(|cx| match catch_unwind(AssertUnwindSafe(|| work.as_mut().poll(cx))) {
        Ok(poll) => poll.map(Ok),
        Err(panic) => Poll::Ready(Err(panic)),
    });
    if let Err(panic) = ended.await {
        // Nobody takes from its queue any more, and a full one would stop the whole client.
        shared.tell(Command::Leave(holder, None));
        resume_unwind(panic);
    }
}
