//! The session of one client: what outlives its connections, section 4.1.

use super::link::Link;
use super::message::Message;
use super::outbound::{Copy, Limits, Outbound, Outgoing};
use super::subscriptions::Subscription;
use core::time::Duration;
use mqtt_codec::{PacketId, QoS, Text, TopicFilter, Version, Will};
use std::collections::HashSet;
use std::sync::Arc;
use tokio::time::Instant;

/// What a client asks for with CONNECT, as far as its session is concerned.
#[derive(Debug)]
pub(super) struct Opening {
    pub(super) client_id: Text,
    pub(super) clean_start: bool,
    /// Seconds that the session outlives the connection; `u32::MAX` for ever.
    pub(super) expiry: u32,
    pub(super) limits: Limits,
    pub(super) will: Option<Will>,
}

#[derive(Debug)]
pub(super) struct Session {
    client_id: Text,
    /// The connection, while there is one.
    link: Option<Arc<Link>>,
    limits: Limits,
    expiry: u32,
    /// When the session ends; set while the client is away, unless it is kept for ever.
    ends_at: Option<Instant>,
    will: Option<Will>,
    /// When the will is published; set while the client is away.
    will_at: Option<Instant>,
    pub(super) subscriptions: Vec<Subscription>,
    pub(super) outbound: Outbound,
    /// Identifiers of QoS 2 messages that were passed on and whose PUBREL has not come `[MQTT-4.3.3-10]`.
    pub(super) inbound: HashSet<PacketId>,
}

impl Session {
    pub(super) fn new(opening: &Opening) -> Self {
        Self {
            client_id: opening.client_id.clone(),
            link: None,
            limits: opening.limits,
            expiry: opening.expiry,
            ends_at: None,
            will: None,
            will_at: None,
            subscriptions: Vec::new(),
            outbound: Outbound::new(),
            inbound: HashSet::new(),
        }
    }

    /// A connection takes the session up. The will of the last one is not published any more `[MQTT-3.1.3-9]`.
    pub(super) fn attach(&mut self, opening: Opening, link: Arc<Link>) {
        self.limits = opening.limits;
        self.expiry = opening.expiry;
        self.ends_at = None;
        self.will = opening.will;
        self.will_at = None;
        self.outbound.resume();
        self.link = Some(link);
    }

    /// The connection has ended. Without a goodbye the will is published after its delay `[MQTT-3.1.2-8]`, or when the
    /// session ends if that is sooner.
    pub(super) fn detach(&mut self, now: Instant, keep_will: bool) {
        self.link = None;
        self.outbound.suspend();
        self.ends_at = (self.expiry < u32::MAX).then(|| now + seconds(self.expiry));
        self.will = self.will.take().filter(|_| keep_will);
        self.will_at = self.will.as_ref().map(|will| {
            let delay = will.properties.view().will_delay_interval().unwrap_or(0);
            now + seconds(delay)
        });
    }

    pub(super) const fn client_id(&self) -> &Text {
        &self.client_id
    }

    pub(super) const fn link(&self) -> Option<&Arc<Link>> {
        self.link.as_ref()
    }

    pub(super) fn is_on(&self, link: u64) -> bool {
        self.link.as_ref().is_some_and(|own| own.number == link)
    }

    pub(super) const fn version(&self) -> Version {
        self.limits.version
    }

    pub(super) const fn expiry(&self) -> u32 {
        self.expiry
    }

    /// The client may change its mind when it says goodbye, section 3.14.2.2.2.
    pub(super) const fn set_expiry(&mut self, seconds: u32) {
        self.expiry = seconds;
    }

    /// The will, if its time has come or the session is ending.
    pub(super) fn take_will(&mut self, now: Instant, session_ends: bool) -> Option<Message> {
        if self.will_at.is_none_or(|at| at > now && !session_ends) {
            return None;
        }
        self.will_at = None;
        self.will.take().map(|will| Message::from_will(now, &self.client_id, &will))
    }

    pub(super) fn has_ended(&self, now: Instant) -> bool {
        self.ends_at.is_some_and(|at| at <= now)
    }

    /// When there is something to do for a client that is away.
    pub(super) fn next_deadline(&self) -> Option<Instant> {
        [self.ends_at, self.will_at].into_iter().flatten().min()
    }

    /// Adds a subscription or replaces the one with the same filter `[MQTT-3.8.4-3]`; says whether there was one.
    pub(super) fn subscribe(&mut self, subscription: Subscription) -> bool {
        match self.subscriptions.iter_mut().find(|own| own.filter == subscription.filter) {
            Some(own) => {
                *own = subscription;
                true
            }
            None => {
                self.subscriptions.push(subscription);
                false
            }
        }
    }

    /// Says whether there was such a subscription. What is queued already is still delivered.
    pub(super) fn unsubscribe(&mut self, filter: &TopicFilter) -> bool {
        let before = self.subscriptions.len();
        self.subscriptions.retain(|own| own.filter != *filter);
        self.subscriptions.len() < before
    }

    /// Takes a new message, once for each subscription that matches it, section 3.3.4; says whether any did.
    pub(super) fn offer(&mut self, message: &Arc<Message>) -> bool {
        let mut matched = false;
        for at in 0..self.subscriptions.len() {
            let subscription = &self.subscriptions[at];
            if subscription.is_shared() || !subscription.filter.matches(&message.topic) {
                continue;
            }
            matched = true;
            if subscription.options.no_local && message.client_id.as_ref() == Some(&self.client_id) {
                continue; // `[MQTT-3.8.3-3]`
            }
            let copy = subscription.copy_of_new(message);
            self.deliver(copy);
        }
        matched
    }

    /// Queues a copy, unless it is one of QoS 0 and the client is away.
    pub(super) fn deliver(&mut self, copy: Copy) {
        match &self.link {
            Some(link) => link.wake(),
            None if copy.qos == QoS::AtMostOnce => return,
            None => {}
        }
        self.outbound.push(copy);
    }

    pub(super) fn next_outgoing(&mut self, now: Instant) -> Option<Outgoing> {
        self.outbound.next(now, self.limits)
    }
}

const fn seconds(count: u32) -> Duration {
    Duration::from_secs(count as u64)
}
