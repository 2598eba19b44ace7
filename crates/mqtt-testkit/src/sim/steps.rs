//! What can happen next: what the application does, what the wire lets through, what goes wrong.

use super::books::{Checked, Published, Request, Stage, Subject, ensure};
use super::world::World;
use crate::pair::filter;
use bytes::Bytes;
use core::time::Duration;
use mqtt_codec::{
    Delivery, Disconnect, PacketId, PropertiesBuf, PublishParts, QoS, ReasonCode, SubscriptionOptions,
    TopicName, Version,
};
use mqtt_session::{Event, Message, Overflow, Session, StoreKey, StoreOp, StoredMessage, Token, UsageError};

/// Everything on its way.
pub(super) const ALL: usize = usize::MAX / 2;

const TOPICS: [&str; 5] = ["up", "t", "a/longer/topic", "another/topic", "up/up/and/away"];
const FILTERS: [&str; 4] = ["one", "two/+", "three/#", "four"];

impl World<'_, '_> {
    /// One step, and what a driver does after it.
    pub(super) fn step(&mut self) -> Checked {
        self.tally.steps += 1;
        if self.link.is_none() && self.choices.percent(60) {
            self.open()?;
        }
        match self.choices.below(100) {
            0..14 => self.flow()?,
            14..26 => self.publish()?,
            26..36 => self.acknowledge()?,
            36..44 => self.serve()?,
            44..54 => self.answer()?,
            54..65 => {
                let bytes = self.some_bytes();
                self.write(bytes)?;
                let bytes = self.some_bytes();
                self.up(bytes)?;
            }
            65..76 if self.link.as_ref().is_some_and(|link| !link.paused) => {
                let bytes = self.some_bytes();
                self.down(bytes)?;
            }
            76..81 => {
                let time = self.choices.one_of(&[10, 500, 1000, 3000, 11_000, 61_000]);
                let punctual = !self.choices.percent(30);
                self.wait(Duration::from_millis(time), punctual)?;
            }
            81..85 => self.ask()?,
            85..87 => self.pause(),
            87 => self.disconnect()?,
            88..94 if self.plan.cuts => self.cut()?,
            94 if self.plan.losses => {
                self.cut()?;
                self.play.line(|| "== the server has lost its session".into());
                self.server.forget();
                self.tally.losses += 1;
            }
            95 if self.plan.moods => self.server_closes(),
            96 if self.plan.faults => self.break_a_rule(),
            97..99 if self.plan.crashes => self.crash()?,
            _ => {}
        }
        self.settle_step()
    }

    /// What a driver does in each turn of its loop.
    pub(super) fn settle_step(&mut self) -> Checked {
        self.transmit()?;
        self.wake()?;
        if self.link.as_ref().is_some_and(|link| link.ended) && (self.friendly || self.choices.percent(70)) {
            // The last words; then the driver closes.
            self.write(ALL)?;
            self.up(ALL)?;
            self.close()?;
        }
        self.books.check(&self.session)
    }

    fn some_bytes(&mut self) -> usize {
        let most = self.choices.one_of(&[2000, 4, 40]);
        1 + self.choices.index(most)
    }

    /// Everything gets through, once.
    fn flow(&mut self) -> Checked {
        self.write(ALL)?;
        self.up(ALL)?;
        self.answer()?;
        if self.link.as_ref().is_some_and(|link| !link.paused) {
            self.down(ALL)?;
        }
        self.transmit()
    }

    /// The server sends some of the answers that it holds.
    fn answer(&mut self) -> Checked {
        let count = self.choices.one_of(&[5, 1, 2]);
        for _ in 0..count {
            let held = self.server.conversation.as_ref().map_or(0, |conversation| conversation.held.len());
            let place = if self.choices.percent(20) { self.choices.index(held) } else { 0 };
            self.answer_one(place);
        }
        Ok(())
    }

    /// Says whether there was an answer.
    pub(super) fn answer_one(&mut self, place: usize) -> bool {
        let Some(link) = self.link.as_mut().filter(|link| !link.closed) else { return false };
        self.server.answer(place, &mut link.down)
    }

    fn serve(&mut self) -> Checked {
        let qos = self.qos();
        if let Some(link) = self.link.as_mut().filter(|link| !link.closed) {
            self.server.serve(qos, self.choices, &mut link.down);
        }
        Ok(())
    }

    fn qos(&mut self) -> QoS {
        self.choices.one_of(&[QoS::AtLeastOnce, QoS::ExactlyOnce, QoS::AtMostOnce])
    }

    fn publish(&mut self) -> Checked {
        let number = self.books.messages.len();
        let (qos, topic) = (self.qos(), self.choices.one_of(&TOPICS));
        let payload = format!("{number}:{}", "x".repeat(self.choices.one_of(&[0, 0, 20, 100, 5000])));
        let payload = Bytes::from(payload);
        let v5 = self.config.version.is_v5();
        let expiry = (v5 && self.choices.percent(20)).then(|| self.choices.one_of(&[10, 1, 0, 3]));
        let retain = self.choices.percent(10);
        let topic_name = TopicName::try_from(topic).map_err(|error| error.to_string())?;
        let mut message = Message { qos, retain, ..Message::new(topic_name, payload) };
        if let Some(seconds) = expiry {
            let block = PropertiesBuf::builder().message_expiry_interval(seconds);
            message.properties = block.build().map_err(|error| error.to_string())?;
        }
        let size = size(&message, self.config.version);
        let limits = &self.books.wire.limits;
        let forbidden = self.session.is_connected()
            && (size > limits.maximum_packet_size
                || qos > limits.maximum_qos
                || retain && !limits.retain_available);
        let room = self.books.has_room();
        let policy = self.config.limits.overflow != Overflow::Refuse;
        ensure!((room || policy) == self.session.accepts(), "accepts() says {}", self.session.accepts());
        let (token, events) = if self.config.durable && room && !forbidden && self.choices.percent(30) {
            self.publish_stored(message)?
        } else {
            self.call(|session, now| session.publish(now, message))
        };
        self.play.line(|| {
            format!("   publish {number} {qos:?} {topic} ({size} bytes, expiry {expiry:?}): {token:?}")
        });
        match token {
            Ok(token) => {
                ensure!((room || policy) && !forbidden, "message {number} is accepted, {room}, {forbidden}");
                self.tally.published += 1;
                let published = Published {
                    token: token.get(),
                    rank: number,
                    topic: topic.to_owned(),
                    qos,
                    retain,
                    size,
                    expires: None,
                    expiry,
                    stage: Stage::Queued,
                    id: None,
                    received: ReasonCode::SUCCESS,
                    handed_out: false,
                    left: false,
                    left_lately: false,
                    lost: 0,
                    let_go: false,
                    completed: None,
                };
                self.books.accepted(self.now, published)?;
                if !room {
                    self.books.overflows(number);
                }
            }
            Err(UsageError::QueueFull) => ensure!(!room && !policy, "the queue is not full"),
            Err(error) => ensure!(forbidden, "{error}"),
        }
        self.note(events)
    }

    /// The driver stores the message before the session has it.
    fn publish_stored(
        &mut self,
        message: Message,
    ) -> Result<(Result<Token, UsageError>, Vec<Event>), String> {
        let number = self.session.take_number();
        let stored = StoredMessage::new(self.now, message);
        let value = stored.value().map_err(|error| error.to_string())?;
        self.store.push(StoreOp::Put(StoreKey::Message(number), value), &self.books);
        Ok(self.call(|session, now| Ok(session.publish_stored(now, number, stored))))
    }

    fn acknowledge(&mut self) -> Checked {
        if self.to_acknowledge.is_empty() {
            return Ok(());
        }
        let which = self.choices.index(self.to_acknowledge.len());
        let reason = self.choices.one_of(&[
            ReasonCode::SUCCESS,
            ReasonCode::SUCCESS,
            ReasonCode::SUCCESS,
            ReasonCode::NO_MATCHING_SUBSCRIBERS,
            ReasonCode::NOT_AUTHORIZED,
        ]);
        self.acknowledge_one(which, reason)
    }

    pub(super) fn acknowledge_one(&mut self, which: usize, reason: ReasonCode) -> Checked {
        let (token, place) = self.to_acknowledge.swap_remove(which);
        self.play.line(|| format!("   acknowledge {token:?} {reason:?}"));
        let connected = self.session.is_connected();
        let explained = self.config.version.is_v5() && self.choices.percent(20);
        let (done, events) = self.call(|session, _| {
            if !explained {
                session.acknowledge(token, reason);
                return true;
            }
            let block = PropertiesBuf::builder().reason_string("because of the weather").build();
            session.acknowledge_with(token, reason, block.unwrap_or_default()).is_ok()
        });
        ensure!(done, "an acknowledgement with a reason string is refused");
        self.books.acknowledged(place, reason);
        ensure!(connected == self.session.is_connected(), "an acknowledgement ends the connection");
        self.note(events)
    }

    fn ask(&mut self) -> Checked {
        let number = self.books.requests.len();
        let subscribe = !self.choices.percent(35);
        let common = self.choices.one_of(&FILTERS);
        let qos = self.qos();
        // The last one names the request; that of an unsubscribe request was never subscribed.
        let filters = vec![common.to_owned(), format!("request/{number}")];
        let parsed: Vec<_> = filters.iter().map(|text| filter(text)).collect();
        let size = filters.iter().map(|filter| filter.len() + 3).sum::<usize>() + 5;
        let limits = &self.books.wire.limits;
        let connected = self.session.is_connected();
        let too_large = connected && size > limits.maximum_packet_size.saturating_sub(4);
        let wildcard = connected && subscribe && !limits.wildcard_available && common.contains(['+', '#']);
        let (must, must_not) = self.books.room_for_requests();
        let (token, events) = self.call(|session, _| match subscribe {
            true => {
                let options = SubscriptionOptions::from(qos);
                let filters = parsed.into_iter().map(|filter| (filter, options)).collect();
                session.subscribe(filters, PropertiesBuf::new())
            }
            false => session.unsubscribe(parsed, PropertiesBuf::new()),
        });
        self.play.line(|| {
            format!("   {} {filters:?}: {token:?}", if subscribe { "subscribe" } else { "unsubscribe" })
        });
        match token {
            Ok(token) => {
                ensure!(!must_not && !wildcard, "request {number} is accepted");
                for filter in &filters {
                    self.books.wanted.remove(filter);
                }
                let token = token.get();
                let known = self.books.tokens.insert(token, Subject::Request(number));
                ensure!(known.is_none(), "token {token} is given twice");
                let fresh = (None, false, false, false);
                let (id, handed_out, left, done) = fresh;
                self.books.requests.push(Request { token, subscribe, filters, id, handed_out, left, done });
            }
            Err(UsageError::QueueFull) => ensure!(!must, "there is room for requests"),
            Err(error) => ensure!(wildcard || too_large, "{error}"),
        }
        self.note(events)
    }

    fn pause(&mut self) {
        let now = self.now;
        if let Some(link) = &mut self.link {
            link.paused = !link.paused;
            let paused = link.paused;
            self.play.line(|| format!("== reading {}", if paused { "pauses" } else { "goes on" }));
            if paused { self.session.handle_read_paused(now) } else { self.session.handle_read_resumed(now) }
        }
    }

    /// Reads again, if it does not.
    pub(super) fn unpause(&mut self) {
        if self.link.as_ref().is_some_and(|link| link.paused) {
            self.pause();
        }
    }

    fn disconnect(&mut self) -> Checked {
        let mut disconnect = Disconnect::new(ReasonCode::NORMAL_DISCONNECTION);
        let prolonged = self.config.session_expiry.unwrap_or(0) > 0;
        if self.config.version.is_v5() && prolonged && self.choices.percent(50) {
            let seconds = self.choices.one_of(&[100, 0, 2]);
            let block = PropertiesBuf::builder().session_expiry_interval(seconds);
            disconnect.properties = block.build().map_err(|error| error.to_string())?;
        }
        let (done, events) = self.call(|session, _| session.disconnect(disconnect));
        self.play.line(|| format!("   disconnect: {done:?}"));
        self.note(events)
    }

    fn server_closes(&mut self) {
        let Some(link) = self.link.as_mut().filter(|link| !link.closed) else { return };
        self.play.line(|| "== the server closes".into());
        if self.config.version.is_v5() && self.server.is_open() && self.choices.percent(50) {
            self.server.say(Disconnect::new(ReasonCode::SERVER_SHUTTING_DOWN), &mut link.down);
        }
        link.closed = true;
    }

    /// The client crashes, and begins again with what was stored: all that had to be, and some of the rest.
    fn crash(&mut self) -> Checked {
        let (least, all) = (self.store.least, self.store.ops.len());
        let ops = least + self.choices.index(all - least + 1);
        self.play
            .line(|| format!("== crash; the store holds {ops} of {all} operations, {least} had to be there"));
        self.tally.crashes += 1;
        self.books.check_prefix(&self.store, ops)?;
        if let Some(link) = &self.link {
            let up = self.choices.index(link.travelling() + 1);
            self.up(up)?;
            let welcomed = self.books.wire.connected;
            self.server_closed(welcomed);
            self.link = None;
        }
        self.to_acknowledge.clear();
        let snapshot = self.store.crash(ops);
        let session = Session::restore(self.now, self.config.clone(), snapshot.clone());
        self.session = session.map_err(|error| format!("it is not restored: {error}"))?;
        self.books.restored(&snapshot, &self.store, &self.session)?;
        let ((), events) = self.call(|_, _| ());
        self.note(events)
    }
}

/// Bytes of the PUBLISH, with the topic in full.
fn size(message: &Message, version: Version) -> usize {
    let delivery = match message.qos {
        QoS::AtMostOnce => Delivery::AtMostOnce,
        QoS::AtLeastOnce => Delivery::AtLeastOnce { id: PacketId::MIN, dup: false },
        QoS::ExactlyOnce => Delivery::ExactlyOnce { id: PacketId::MIN, dup: false },
    };
    let parts = PublishParts {
        retain: message.retain,
        properties: message.properties.view(),
        ..PublishParts::new(delivery, message.topic.borrow(), &message.payload)
    };
    parts.encoded_len(version)
}
