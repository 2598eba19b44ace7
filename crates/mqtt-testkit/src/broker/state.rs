//! What the broker knows: sessions, retained messages, groups. One lock guards all of it.

use super::link::{Link, Order};
use super::message::Message;
use super::outbound::Outgoing;
use super::records::{Records, SessionInfo, SubscriptionInfo};
use super::retained::Retained;
use super::session::{Opening, Session};
use super::subscriptions::{Shares, Subscription};
use mqtt_codec::{ReasonCode, Text, TopicFilter};
use std::collections::BTreeMap;
use std::sync::Arc;
use tokio::time::Instant;

#[derive(Debug, Default)]
pub(super) struct State {
    sessions: BTreeMap<Text, Session>,
    shares: Shares,
    retained: Retained,
    /// Every open connection, with a session or without.
    pub(super) links: BTreeMap<u64, Arc<Link>>,
    pub(super) records: Records,
    assigned_ids: u64,
    /// Whether a deadline may have come that is sooner than the one the timer waits for.
    pub(super) timers_changed: bool,
}

impl State {
    pub(super) fn new(records: Records) -> Self {
        Self { records, ..Self::default() }
    }

    /// Opens a session for a connection: the client's stored one, or a new one `[MQTT-3.1.2-4]` to `[MQTT-3.1.2-6]`.
    /// Says whether there was one. A connection that holds the session is ended `[MQTT-3.1.4-3]`.
    pub(super) fn open(&mut self, now: Instant, opening: Opening, link: Arc<Link>) -> bool {
        self.tick(now);
        let id = opening.client_id.clone();
        if let Some(old) = self.sessions.get(&id).and_then(Session::link).cloned() {
            old.end(Order::Disconnect(ReasonCode::SESSION_TAKEN_OVER));
            self.close(now, &id, old.number, true);
        }
        if opening.clean_start {
            self.end_session(now, &id);
        }
        let present = self.sessions.contains_key(&id);
        self.sessions.entry(id).or_insert_with(|| Session::new(&opening)).attach(opening, link);
        present
    }

    /// The connection of a client has ended. Does nothing if another one has its session by now.
    pub(super) fn close(&mut self, now: Instant, client: &Text, link: u64, keep_will: bool) {
        if let Some(session) = self.sessions.get_mut(client).filter(|session| session.is_on(link)) {
            session.detach(now, keep_will);
            self.timers_changed = true;
            self.tick(now);
        }
    }

    /// All connections have ended at once and without a will, as when the process was killed.
    pub(super) fn lose_links(&mut self, now: Instant) {
        for session in self.sessions.values_mut().filter(|session| session.link().is_some()) {
            session.detach(now, false);
        }
        self.links.clear();
        self.tick(now);
        self.timers_changed = true;
    }

    /// Forgets everything but the records.
    pub(super) fn lose_memory(&mut self) {
        let records = core::mem::take(&mut self.records);
        *self = Self { assigned_ids: self.assigned_ids, ..Self::new(records) };
    }

    /// Does what is due for clients that are away: publishes wills, ends sessions.
    pub(super) fn tick(&mut self, now: Instant) {
        while let Some(will) = self.sessions.values_mut().find_map(|session| session.take_will(now, false)) {
            self.accept_will(will);
        }
        let ended: Vec<Text> = self
            .sessions
            .values()
            .filter(|session| session.has_ended(now))
            .map(|s| s.client_id().clone())
            .collect();
        ended.iter().for_each(|id| self.end_session(now, id));
    }

    pub(super) fn next_deadline(&self) -> Option<Instant> {
        self.sessions.values().filter_map(Session::next_deadline).min()
    }

    /// Ends a session; a will that still waits is published now, section 3.1.3.2.2.
    fn end_session(&mut self, now: Instant, id: &Text) {
        let Some(mut session) = self.sessions.remove(id) else { return };
        self.shares.leave_all(id);
        if let Some(will) = session.take_will(now, true) {
            self.accept_will(will);
        }
    }

    /// Takes on a message from a PUBLISH; says whether a subscription matched.
    pub(super) fn accept(&mut self, message: Message) -> bool {
        let message = Arc::new(message);
        self.records.add_received(&message);
        self.pass_on(&message)
    }

    fn accept_will(&mut self, message: Message) {
        let message = Arc::new(message);
        self.records.wills.push(message.clone());
        self.pass_on(&message);
    }

    /// Retains a message if it asks for that, and adds it to the session of each subscriber `[MQTT-4.5.0-1]`.
    pub(super) fn pass_on(&mut self, message: &Arc<Message>) -> bool {
        self.retained.update(message);
        let mut matched = false;
        for session in self.sessions.values_mut() {
            matched |= session.offer(message);
        }
        let sessions = &self.sessions;
        let is_there = |id: &Text| sessions.get(id).is_some_and(|session| session.link().is_some());
        for (filter, member) in self.shares.pick(&message.topic, is_there) {
            let Some(session) = self.sessions.get_mut(&member) else { continue };
            let Some(subscription) = session.subscriptions.iter().find(|own| own.filter == filter) else {
                continue;
            };
            matched = true;
            let copy = subscription.copy_of_new(message);
            session.deliver(copy);
        }
        matched
    }

    /// Adds or replaces a subscription and queues the retained messages that it asks for.
    pub(super) fn subscribe(&mut self, now: Instant, client: &Text, subscription: Subscription) {
        let Some(session) = self.sessions.get_mut(client) else { return };
        if subscription.is_shared() {
            self.shares.join(&subscription.filter, client);
        }
        let existed = session.subscribe(subscription.clone());
        if subscription.wants_retained(existed) {
            for message in self.retained.matching(now, &subscription.filter) {
                session.deliver(subscription.copy_of_retained(&message));
            }
        }
    }

    /// Says whether there was such a subscription.
    pub(super) fn unsubscribe(&mut self, client: &Text, filter: &TopicFilter) -> bool {
        self.shares.leave(filter, client);
        self.sessions.get_mut(client).is_some_and(|session| session.unsubscribe(filter))
    }

    /// The session that a connection holds; `None` once another one has taken it over.
    pub(super) fn session_of(&mut self, client: &Text, link: u64) -> Option<&mut Session> {
        self.sessions.get_mut(client).filter(|session| session.is_on(link))
    }

    /// The next packet of the session for its client.
    pub(super) fn next_outgoing(&mut self, now: Instant, client: &Text, link: u64) -> Option<Outgoing> {
        self.session_of(client, link)?.next_outgoing(now)
    }

    /// A client identifier that no session has `[MQTT-3.2.2-16]`.
    pub(super) fn assign_client_id(&mut self) -> Text {
        loop {
            self.assigned_ids += 1;
            let id = Text::try_from(format!("assigned-{}", self.assigned_ids)).expect("a short ASCII string");
            if !self.sessions.contains_key(&id) {
                return id;
            }
        }
    }

    pub(super) fn retained(&self, now: Instant) -> Vec<Arc<Message>> {
        self.retained.all(now)
    }

    pub(super) fn link_of(&self, client: &str) -> Option<Arc<Link>> {
        self.sessions.values().find(|session| session.client_id().as_str() == client)?.link().cloned()
    }

    pub(super) fn sessions(&self) -> Vec<SessionInfo> {
        self.sessions.values().map(info).collect()
    }
}

fn info(session: &Session) -> SessionInfo {
    SessionInfo {
        client_id: session.client_id().clone(),
        connected: session.link().is_some(),
        version: session.version(),
        expiry: session.expiry(),
        subscriptions: session.subscriptions.iter().map(SubscriptionInfo::from).collect(),
        queued: session.outbound.queued(),
        in_flight: session.outbound.in_flight(),
        awaiting_pubrel: session.inbound.len(),
    }
}
