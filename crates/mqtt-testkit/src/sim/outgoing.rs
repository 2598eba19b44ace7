//! What the session hands out: identifiers, quotas, order, aliases, DUP, and whether it may be said at all.

use super::books::{Books, Checked, Stage, Subject, ensure};
use super::link::Sent;
use mqtt_codec::{Connect, Delivery, Packet, Publish, ReasonCode, Subscribe, Unsubscribe};
use mqtt_session::{CleanStart, Instant, Limits};

/// The number that a payload begins with.
pub(super) fn number_of(payload: &[u8]) -> Option<usize> {
    let text = payload.split(|byte| *byte == b':').next()?;
    core::str::from_utf8(text).ok()?.parse().ok()
}

impl Books {
    /// A packet was handed out. Says whose it is.
    pub(super) fn handed_out(&mut self, now: Instant, sent: &Sent) -> Checked<Option<Subject>> {
        let Sent { end, len, packet } = sent;
        self.wire.packets += 1;
        ensure!(!self.wire.goodbye, "something follows DISCONNECT");
        ensure!(
            (self.wire.packets == 1) == matches!(packet, Packet::Connect(_)),
            "CONNECT is the first packet, and there is one"
        );
        ensure!(
            *len <= self.wire.limits.maximum_packet_size,
            "a packet of {len} bytes for a server that takes {}",
            self.wire.limits.maximum_packet_size
        );
        ensure!(
            self.wire.connected || self.wire.ended || matches!(packet, Packet::Connect(_)),
            "it speaks before CONNACK"
        );
        match packet {
            Packet::Connect(connect) => self.connect(connect)?,
            Packet::Publish(publish) => return self.publish(now, publish, *end, *len).map(Some),
            Packet::Subscribe(subscribe) => return self.subscribe(subscribe).map(Some),
            Packet::Unsubscribe(unsubscribe) => return self.unsubscribe(unsubscribe).map(Some),
            Packet::PubAck(ack) => {
                self.due(ack.id.get(), ack.reason, "PUBACK", |books| &mut books.wire.pubacks_due)?
            }
            Packet::PubRec(ack) => {
                self.due(ack.id.get(), ack.reason, "PUBREC", |books| &mut books.wire.pubrecs_due)?
            }
            Packet::PubRel(ack) => {
                self.due(ack.id.get(), ack.reason, "PUBREL", |books| &mut books.wire.pubrels_due)?
            }
            Packet::PubComp(ack) => {
                self.due(ack.id.get(), ack.reason, "PUBCOMP", |books| &mut books.wire.pubcomps_due)?;
            }
            Packet::PingReq => {
                ensure!(self.wire.limits.keep_alive > 0, "a ping, and keep alive is off");
            }
            Packet::Disconnect(_) => {
                ensure!(self.wire.ended, "DISCONNECT before the end");
                self.wire.goodbye = true;
            }
            other => return Err(format!("it sends {other:?}")),
        }
        Ok(None)
    }

    fn connect(&mut self, connect: &Connect) -> Checked {
        match self.config.clean_start {
            CleanStart::Always => ensure!(connect.clean_start, "CONNECT does not ask for a clean start"),
            CleanStart::Never if !self.version().is_v5() => {
                ensure!(!connect.clean_start, "CONNECT asks for a clean start");
            }
            _ => {}
        }
        self.wire.asked_clean = connect.clean_start;
        self.wire.limits.keep_alive = connect.keep_alive;
        Ok(())
    }

    /// An acknowledgement leaves: the first one that is due.
    fn due(
        &mut self,
        id: u16,
        reason: ReasonCode,
        name: &str,
        queue: fn(&mut Self) -> &mut std::collections::VecDeque<(u16, ReasonCode)>,
    ) -> Checked {
        let v5 = self.version().is_v5();
        let first = queue(self).front().map(|(id, _)| *id);
        if name == "PUBREL" && first != Some(id) && self.config.retransmit_after.is_some() {
            ensure!(self.releases.contains(&id), "PUBREL {id} once more, and nobody waits for it");
            return Ok(());
        }
        let due =
            queue(self).pop_front().map(|(id, reason)| (id, if v5 { reason } else { ReasonCode::SUCCESS }));
        // `[MQTT-4.6.0-2]` `[MQTT-4.6.0-3]` `[MQTT-4.6.0-4]`
        ensure!(due == Some((id, reason)), "{name} {id} with {reason:?}, due is {due:?}");
        Ok(())
    }

    fn publish(&mut self, now: Instant, publish: &Publish, end: u64, len: usize) -> Checked<Subject> {
        let number = number_of(publish.payload()).filter(|number| *number < self.messages.len());
        let Some(number) = number else {
            return Err(format!("a message that nobody published: {publish:?}"));
        };
        let topic = self.topic(publish)?;
        let message = &self.messages[number];
        let qos = publish.qos();
        ensure!(topic == message.topic, "message {number} goes to {topic:?}, not {:?}", message.topic);
        ensure!(qos == message.qos && publish.retain() == message.retain, "message {number} is changed");
        ensure!(
            qos <= self.wire.limits.maximum_qos && (self.wire.limits.retain_available || !publish.retain()),
            "message {number} is above this server's limits"
        );
        let left = message.expires.map(|at| {
            let left = at.saturating_duration_since(now);
            u32::try_from(left.as_secs()).unwrap_or(u32::MAX) + u32::from(left.subsec_nanos() > 0)
        });
        let says = publish.properties().message_expiry_interval();
        ensure!(says == left, "message {number} expires in {left:?} s, and says {says:?}");
        match message.stage {
            Stage::Queued => self.first_sending(now, number, publish.delivery(), end, len),
            Stage::Sent => self.sending_again(number, publish.delivery()),
            stage => Err(format!("message {number} is sent in stage {stage:?}")),
        }
    }

    /// The topic of a PUBLISH, its alias resolved as the server will.
    fn topic(&mut self, publish: &Publish) -> Checked<String> {
        let Some(alias) = publish.properties().topic_alias() else { return Ok(publish.topic().to_owned()) };
        let maximum = self.wire.limits.topic_alias_maximum;
        // `[MQTT-3.2.2-17]` `[MQTT-3.2.2-18]`
        ensure!((1..=maximum).contains(&alias), "alias {alias}, the server allows {maximum}");
        if !publish.topic().is_empty() {
            self.wire.aliases.insert(alias, publish.topic().to_owned());
        }
        self.wire.aliases.get(&alias).cloned().ok_or_else(|| format!("alias {alias} was never given a topic"))
    }

    fn first_sending(
        &mut self,
        now: Instant,
        number: usize,
        delivery: Delivery,
        end: u64,
        len: usize,
    ) -> Checked<Subject> {
        // `[MQTT-4.6.0-1]`
        let first = self.in_stage(Stage::Queued).first().copied();
        ensure!(first == Some(number), "message {number} is sent before {first:?}");
        ensure!(
            self.wire.resend.is_empty(),
            "message {number} is sent before {:?}, which are to be sent again",
            self.wire.resend
        );
        ensure!(!delivery.dup(), "message {number} is new, and has DUP");
        let message = &mut self.messages[number];
        ensure!(message.expires.is_none_or(|at| at > now), "message {number} has expired");
        message.handed_out = true;
        match delivery.id() {
            None => {
                message.stage = Stage::Followed(end - len as u64, end);
                self.wire.followed.push_back(number);
            }
            Some(id) => {
                message.stage = Stage::Sent;
                message.id = Some(id.get());
                self.take_id(id.get(), Subject::Message(number))?;
                self.open(id.get())?;
            }
        }
        Ok(Subject::Message(number))
    }

    fn sending_again(&mut self, number: usize, delivery: Delivery) -> Checked<Subject> {
        let id = delivery.id().map(mqtt_codec::PacketId::get);
        if self.config.retransmit_after.is_some() && id.is_some_and(|id| self.wire.open.contains(&id)) {
            // Once more on the same link `[31-11]`.
            let had = self.messages[number].id;
            ensure!(
                id == had && delivery.dup(),
                "message {number} is repeated as {delivery:?}, it had {had:?}"
            );
            return Ok(Subject::Message(number));
        }
        let first = self.wire.resend.pop_front();
        ensure!(first == Some(number), "message {number} is sent again, the next is {first:?}");
        let had = self.messages[number].id;
        // `[MQTT-3.3.1-1]` `[MQTT-4.4.0-1]`
        ensure!(
            id == had && delivery.dup(),
            "message {number} is sent again as {delivery:?}, it had {had:?}"
        );
        self.open(id.unwrap_or(0))?;
        Ok(Subject::Message(number))
    }

    /// `[MQTT-3.3.4-7]` `[MQTT-4.9.0-2]`
    fn open(&mut self, id: u16) -> Checked {
        self.wire.open.insert(id);
        let window = self.window();
        let open = self.wire.open.len();
        ensure!(open <= window, "{open} messages in flight, {window} are allowed");
        Ok(())
    }

    pub(super) fn window(&self) -> usize {
        let default = if self.version().is_v5() { u16::MAX } else { Limits::V3_IN_FLIGHT };
        usize::from(self.wire.limits.receive_maximum.min(self.config.limits.in_flight.unwrap_or(default)))
    }

    /// `[MQTT-2.2.1-3]`
    fn take_id(&mut self, id: u16, subject: Subject) -> Checked {
        match self.ids.insert(id, subject) {
            None => Ok(()),
            Some(other) => Err(format!("identifier {id} for {subject:?} is in use for {other:?}")),
        }
    }

    fn subscribe(&mut self, subscribe: &Subscribe) -> Checked<Subject> {
        let filters: Vec<String> = subscribe.filters().map(|(filter, _)| filter.to_string()).collect();
        let wildcard = filters.iter().any(|filter| filter.contains(['+', '#']));
        ensure!(self.wire.limits.wildcard_available || !wildcard, "a wildcard that the server does not take");
        self.asked(subscribe.id().get(), true, filters)
    }

    fn unsubscribe(&mut self, unsubscribe: &Unsubscribe) -> Checked<Subject> {
        let filters = unsubscribe.filters().map(|filter| filter.to_string()).collect();
        self.asked(unsubscribe.id().get(), false, filters)
    }

    fn asked(&mut self, id: u16, subscribe: bool, filters: Vec<String>) -> Checked<Subject> {
        // The last filter names the request. Requests keep their order; what is asked again stands before them.
        let named = self.requests.iter().position(|request| {
            !request.done && request.filters.last() == filters.last() && request.subscribe == subscribe
        });
        let subject = match named {
            Some(number) => {
                let first = self.requests.iter().position(|request| !request.done && request.id.is_none());
                ensure!(first == Some(number), "request {number} is sent, the next is {first:?}");
                let request = &mut self.requests[number];
                ensure!(request.filters == filters, "request {number} is changed: {filters:?}");
                request.id = Some(id);
                request.handed_out = true;
                Subject::Request(number)
            }
            None => {
                let wanted =
                    |filter: &String| self.requests.iter().any(|asked| asked.filters.contains(filter));
                ensure!(subscribe && filters.iter().all(wanted), "a request that nobody made: {filters:?}");
                Subject::Again
            }
        };
        self.take_id(id, subject)?;
        Ok(subject)
    }

    /// A byte of it has left.
    pub(super) fn left(&mut self, subject: Subject) {
        match subject {
            Subject::Message(number) => {
                self.messages[number].left = true;
                self.messages[number].left_lately = true;
            }
            Subject::Request(number) => self.requests[number].left = true,
            Subject::Again | Subject::LetGo => {}
        }
    }
}
