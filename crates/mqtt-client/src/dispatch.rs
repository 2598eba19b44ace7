//! What passes between the handles and the session: requests down, events up.

use crate::ack::Answer;
use crate::cells::{CellId, Fate};
use crate::clock::Clock;
use crate::connection::{Event, State};
use crate::driver::Driver;
use crate::requests::{Request, Subscribing};
use crate::submissions::{Command, Subscribe};
use core::task::Waker;
use core::time::Duration;
use mqtt_session::{
    Connected, Event as SessionEvent, Instant, Message, Negotiated, Outcome, PropertiesBuf, Property, QoS,
    Session, Token, TopicFilter,
};

/// How long messages of a session from an earlier run wait for their subscriptions.
const HOLD: Duration = Duration::from_secs(10);
/// The highest subscription identifier that the client gives: the upper half of what there is, section 3.8.2.1.2, is
/// left to the application.
const LAST_IDENTIFIER: u32 = (1 << 27) - 1;

/// # Down
impl Driver {
    /// Gives the session what the handles have asked for.
    pub(crate) fn take_requests(&mut self, now: Instant) {
        for answer in self.exchange.acks.drain(..) {
            self.tap.acknowledged(&answer);
            acknowledge(&mut self.session, answer);
        }
        self.full = self.full.saturating_sub(core::mem::take(&mut self.exchange.reopened));
        if !self.exchange.commands.is_empty() {
            let mut commands = core::mem::take(&mut self.exchange.commands);
            // With a store a message is accepted at once, and sent when it is certain how.
            let publishes = self.established || self.keeper.is_some();
            for command in commands.drain(..) {
                self.tap.taken(&command);
                match command {
                    Command::Publish(message, cell) if publishes => {
                        self.publish(now, message, cell);
                    }
                    command if self.established => self.handle_command(now, command),
                    command => self.keep_for_later(now, command),
                }
            }
            // Its memory serves the next batch.
            self.exchange.commands = commands;
        }
        if let Some(stop) = self.exchange.stop.take() {
            self.stop = Some(stop);
        }
        self.apply_effects();
    }

    fn keep_for_later(&mut self, now: Instant, command: Command) {
        if matches!(command, Command::Reauthenticate(_)) {
            return self.handle_command(now, command);
        }
        for cell in self.early.push(now, command) {
            self.observer.dropped();
            self.tap.turned_back(cell, &Outcome::Dropped);
            self.settle(cell, Fate::Outcome(Outcome::Dropped));
        }
    }

    fn handle_early(&mut self) {
        for (since, command) in self.early.take() {
            self.handle_command(since, command);
        }
    }

    fn handle_command(&mut self, now: Instant, command: Command) {
        match command {
            Command::Publish(message, cell) => self.publish(now, message, cell),
            Command::Subscribe(subscribe) => self.subscribe(*subscribe),
            Command::Unsubscribe(filters, properties, cell) => {
                for filter in &filters {
                    self.router.drop_filter(filter, &mut self.effects);
                }
                self.unsubscribe(filters, properties, Some(cell));
            }
            Command::Leave(holder, cell) => {
                let filters = self.router.remove(holder, &mut self.effects);
                if !filters.is_empty() {
                    self.unsubscribe(filters, PropertiesBuf::new(), cell);
                } else if let Some(cell) = cell {
                    let (codes, properties) = (Vec::new(), PropertiesBuf::new());
                    self.settle(cell, Fate::Outcome(Outcome::Unsubscribed { codes, properties }));
                }
            }
            Command::Detach(holder) => self.router.detach(holder, &mut self.effects),
            Command::Responses(inbox) => self.responses = Some(inbox),
            Command::Reauthenticate(waiting) => self.reauthenticate(waiting),
            Command::Unmatched(holder, inbox) => self.router.add_unmatched(holder, inbox, &mut self.effects),
        }
    }

    #[inline(always)]
    fn publish(&mut self, now: Instant, message: Message, cell: CellId) {
        if self.keeper.is_some() {
            return self.submit(now, message, cell);
        }
        let measurable = message.qos > QoS::AtMostOnce
            && self.ack_latency.is_free()
            && self.session.is_connected()
            && self.session.queued() == 0;
        match self.session.publish(now, message) {
            Ok(token) => {
                self.requests.insert(token, Request::Publish(cell));
                if measurable {
                    self.ack_latency.begin(token, self.clock.now());
                }
            }
            Err(error) => {
                self.tap.turned_back(cell, &Outcome::Refused(error));
                self.settle(cell, Fate::Refused(error));
            }
        }
    }

    fn subscribe(&mut self, subscribe: Subscribe) {
        let Subscribe { mut filters, properties, holder, inbox, cell } = subscribe;
        for (filter, options) in &mut filters {
            // The newest SUBSCRIBE for a filter holds for all who share it [MQTT-3.8.4-3]: it must not take quality
            // from those who have it.
            options.qos = options.qos.max(self.router.held_qos(filter).unwrap_or_default());
        }
        let (properties, identifier) = self.identify(properties);
        let names: Vec<TopicFilter> = filters.iter().map(|(filter, _)| filter.clone()).collect();
        let held = filters.iter().map(|(filter, options)| (filter.clone(), options.qos));
        self.router.add(holder, &inbox, held, identifier, &mut self.effects);
        match self.session.subscribe(filters, properties) {
            Ok(token) => {
                let subscribing = Box::new(Subscribing { cell, holder, filters: names });
                self.requests.insert(token, Request::Subscribe(subscribing));
            }
            Err(error) => {
                self.router.remove(holder, &mut self.effects);
                self.settle(cell, Fate::Refused(error));
            }
        }
    }

    /// Adds a subscription identifier, if the server takes them and the application has not chosen one.
    fn identify(&mut self, properties: PropertiesBuf) -> (PropertiesBuf, Option<u32>) {
        let chosen = properties.view().subscription_identifiers().next();
        if chosen.is_some() {
            return (properties, chosen);
        }
        let identifier = self.next_identifier;
        let block = properties.view().iter().try_fold(
            PropertiesBuf::builder().subscription_identifier(identifier),
            |block, property| match property {
                Property::UserProperty(name, value) => Some(block.user_property(name, value)),
                // The session will say that it does not belong here.
                _ => None,
            },
        );
        match block.filter(|_| self.identifies).map(|block| block.build()) {
            Some(Ok(identified)) => {
                self.next_identifier = if identifier == LAST_IDENTIFIER { 1 } else { identifier + 1 };
                (identified, Some(identifier))
            }
            _ => (properties, None),
        }
    }

    fn unsubscribe(&mut self, filters: Vec<TopicFilter>, properties: PropertiesBuf, cell: Option<CellId>) {
        match self.session.unsubscribe(filters, properties) {
            Ok(token) => self.requests.insert(token, Request::Unsubscribe(cell)),
            Err(error) => {
                if let Some(cell) = cell {
                    self.settle(cell, Fate::Refused(error));
                }
            }
        }
    }
}

/// # Up
impl Driver {
    /// Passes on what the session has to say. Tasks are woken when all of it is.
    pub(crate) fn dispatch(&mut self, now: Instant) {
        while let Some(event) = self.session.poll_event() {
            match event {
                // From a server that has not proved itself.
                SessionEvent::Message(..) if self.authentication.failure.is_some() => {}
                SessionEvent::Completed(token, _) if self.authentication.failure.is_some() => {
                    self.complete(token, Outcome::Unknown);
                }
                SessionEvent::Message(message, token) => {
                    self.tap.received(&message, token.as_ref());
                    let squeezed = self.full > 0;
                    self.router.deliver(message, token, squeezed, &mut self.effects);
                }
                SessionEvent::Completed(token, outcome) => self.complete(token, outcome),
                SessionEvent::Connected(connected) => self.connected(now, connected),
                SessionEvent::Ended(end) => self.ended = Some(end),
                SessionEvent::SubscriptionLost(filter, reason) => {
                    self.router.drop_filter(&filter, &mut self.effects);
                    self.announce(&Event::SubscriptionLost(filter, reason));
                }
                SessionEvent::Skipped(_) => self.status.send_modify(|status| status.skipped += 1),
                SessionEvent::Challenge(auth) => self.challenged(&auth),
                _ => {}
            }
        }
        self.router.flush(&mut self.effects);
        if let Some(inbox) = &self.responses
            && !self.shared.responses.take(inbox, &mut self.effects)
        {
            self.responses = None;
        }
        self.apply_effects();
    }

    /// Tells the handle what became of its request.
    #[inline(always)]
    pub(crate) fn complete(&mut self, token: Token, outcome: Outcome) {
        if self.ack_latency.measures(token) {
            self.ack_latency.end(self.clock.now(), matches!(outcome, Outcome::Acked { .. }));
        }
        let request = self.requests.remove(token);
        self.tap.completed(token, request.as_ref(), &outcome);
        let Some(request) = request else { return self.note_presence(token, &outcome) };
        self.answered += usize::from(!matches!(outcome, Outcome::Sent));
        if matches!(outcome, Outcome::Dropped) {
            self.observer.dropped();
        }
        match request {
            Request::Publish(cell) | Request::Unsubscribe(Some(cell)) => {
                self.settle(cell, Fate::Outcome(outcome));
            }
            Request::Unsubscribe(None) => {}
            Request::Subscribe(subscribing) => {
                self.subscribed(&subscribing, &outcome);
                self.settle(subscribing.cell, Fate::Outcome(outcome));
            }
        }
    }

    fn subscribed(&mut self, subscribing: &Subscribing, outcome: &Outcome) {
        let Subscribing { holder, ref filters, .. } = *subscribing;
        let Outcome::Subscribed { codes, .. } = outcome else {
            self.router.remove(holder, &mut self.effects);
            return;
        };
        // [MQTT-3.9.3-2]: 0x80 and above is a refusal.
        for (filter, _) in filters.iter().zip(codes).filter(|(_, code)| code.is_error()) {
            self.router.refuse(holder, filter);
        }
    }

    fn connected(&mut self, now: Instant, connected: Connected) {
        let proof = connected.properties.view().authentication_data().unwrap_or_default();
        if !self.finish_authentication(proof) {
            return;
        }
        let Negotiated { version, subscription_identifier_available, .. } = connected.negotiated;
        self.up_since = Some(now);
        self.identifies = version.is_v5() && subscription_identifier_available;
        self.shared.set_version(version);
        self.tap.client(&connected.negotiated.client_id);
        if connected.session_present {
            self.tap.transmitted(self.session.unanswered(), &self.requests, true);
        }
        self.shared.responses.connected(self.plan.response_topic.as_ref(), &connected);
        self.shared.set_negotiated(Some(connected.negotiated.clone()));
        self.status.send_modify(|status| {
            status.enter(State::Connected, Clock::tokio_now());
            status.connections += 1;
            status.negotiated = Some(connected.negotiated.clone());
        });
        self.tell_presence(now);
        if !self.established {
            self.established = true;
            if connected.session_present {
                // The server sends at once what it kept, and nobody had the time to subscribe.
                self.hold_until = Some(now + HOLD);
                self.router.set_holding(true, &mut self.effects);
            }
            self.handle_early();
        }
        self.announce(&Event::Connected(connected));
        if let Some(first) = self.first.take() {
            // A receiver that is gone has dropped its handle too, which ends the client.
            _ = first.send(Ok(()));
        }
    }

    fn apply_effects(&mut self) {
        self.router.flush(&mut self.effects);
        let effects = &mut self.effects;
        self.full = (self.full + core::mem::take(&mut effects.filled))
            .saturating_sub(core::mem::take(&mut effects.reopened));
        for answer in effects.acks.drain(..) {
            self.tap.acknowledged(&answer);
            acknowledge(&mut self.session, answer);
        }
        let dropped = core::mem::take(&mut effects.dropped);
        if dropped > 0 {
            self.observer.deliveries_dropped(dropped);
        }
        let unclaimed = core::mem::take(&mut effects.unclaimed);
        if unclaimed > 0 {
            self.observer.unclaimed(unclaimed);
            self.status.send_if_modified(|status| {
                status.unclaimed += unclaimed;
                false
            });
        }
        effects.wakers.drain(..).for_each(Waker::wake);
    }

    pub(crate) fn settle(&mut self, cell: CellId, fate: Fate) {
        self.exchange.settled.push((cell, fate));
    }
}

fn acknowledge(session: &mut Session, Answer { token, reason, properties }: Answer) {
    let Some(properties) = properties else { return session.acknowledge(token, reason) };
    if let Err((token, _)) = session.acknowledge_with(token, reason, *properties) {
        // They were checked when they were given; a word too many must not hold back the answer.
        session.acknowledge(token, reason);
    }
}
