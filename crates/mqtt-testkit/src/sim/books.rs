//! What is known about every message and request from the client's side of the wire, and what must hold.
//!
//! The books are kept from what the application asked, what the session handed out, what was written and what arrived;
//! from that follows what the session must say. `outgoing.rs` enters what leaves, `incoming.rs` what arrives,
//! `crash.rs` what a store brings back.

use super::incoming::Delivery;
use mqtt_codec::{PropertiesBuf, QoS, ReasonCode, Version};
use mqtt_session::{Config, Instant, OnSessionLost, Outcome, Overflow, Session};
use std::collections::{BTreeMap, BTreeSet, VecDeque};

/// Fails with a text unless something holds.
macro_rules! ensure {
    ($holds:expr, $($text:tt)*) => {
        if !$holds {
            return Err(format!($($text)*));
        }
    };
}
pub(super) use ensure;

/// A check that went well, or what is wrong.
pub(super) type Checked<T = ()> = Result<T, String>;

/// Whom a packet or an identifier belongs to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Subject {
    /// The message of this number.
    Message(usize),
    /// The request of this number.
    Request(usize),
    /// A SUBSCRIBE that the session sends by itself.
    Again,
    /// A QoS 2 message that was given up: PUBREL lets the server forget it.
    LetGo,
}

/// How far a message is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Stage {
    /// It waits to be sent.
    Queued,
    /// QoS 0: handed out, and not written to the end. From where to where.
    Followed(u64, u64),
    /// QoS 1 and 2: handed out, and not answered.
    Sent,
    /// QoS 2: PUBREC arrived.
    Released,
    /// Its token has completed, or was lost in a crash.
    Done,
}

/// A message that the session accepted.
#[derive(Clone, Debug)]
pub(super) struct Published {
    pub(super) token: u64,
    /// The place in the order of sending.
    pub(super) rank: usize,
    pub(super) topic: String,
    pub(super) qos: QoS,
    pub(super) retain: bool,
    pub(super) size: usize,
    pub(super) expires: Option<Instant>,
    pub(super) expiry: Option<u32>,
    pub(super) stage: Stage,
    pub(super) id: Option<u16>,
    /// PUBREC said this.
    pub(super) received: ReasonCode,
    /// It was handed out.
    pub(super) handed_out: bool,
    /// A byte of it has left.
    pub(super) left: bool,
    /// A byte of it has left since it was queued, the first time or again.
    pub(super) left_lately: bool,
    /// So many times it was in flight in a session that was lost.
    pub(super) lost: u32,
    /// It was given up, and its identifier is not free yet.
    pub(super) let_go: bool,
    /// Store operations before the call in which its token completed, and after it.
    pub(super) completed: Option<(usize, usize)>,
}

/// A subscribe or unsubscribe request that the session accepted.
#[derive(Clone, Debug)]
pub(super) struct Request {
    pub(super) token: u64,
    pub(super) subscribe: bool,
    pub(super) filters: Vec<String>,
    pub(super) id: Option<u16>,
    pub(super) handed_out: bool,
    pub(super) left: bool,
    pub(super) done: bool,
}

/// What is known.
#[derive(Debug)]
pub(super) struct Books {
    pub(super) config: Config,
    pub(super) messages: Vec<Published>,
    pub(super) requests: Vec<Request>,
    /// Tokens that have not completed.
    pub(super) tokens: BTreeMap<u64, Subject>,
    /// Packet identifiers that the client uses.
    pub(super) ids: BTreeMap<u16, Subject>,
    /// QoS 2 exchanges that wait for PUBCOMP, in the order of their PUBRECs.
    pub(super) releases: VecDeque<u16>,
    /// QoS 2 messages from the server between PUBLISH and PUBREL, by identifier.
    pub(super) inbound: BTreeMap<u16, usize>,
    pub(super) deliveries: Vec<Delivery>,
    /// Messages from the server whose events are due, in order.
    pub(super) to_hear: VecDeque<usize>,
    /// Outcomes that are due.
    pub(super) due: BTreeMap<u64, Outcome>,
    /// Filters that the client should have at the server, or should not; unless it is not sure.
    pub(super) wanted: BTreeMap<String, bool>,
    pub(super) wire: Wire,
    /// Acknowledgements by a server that had no right to.
    pub(super) lies: BTreeSet<usize>,
    pub(super) giving_up: bool,
    /// The most that could be in flight.
    pub(super) widest: usize,
    /// Messages and bytes that this life began with. A store may hold a message that was dropped for another one.
    pub(super) brought: (usize, usize),
    /// Store operations polled before this call, in this life.
    pub(super) ops_before: usize,
    pub(super) ops: usize,
}

/// What dies with the link.
#[derive(Debug, Default)]
pub(super) struct Wire {
    pub(super) connected: bool,
    pub(super) connected_at: Option<Instant>,
    pub(super) ended: bool,
    pub(super) goodbye: bool,
    /// The server has broken the protocol, or lies.
    pub(super) faulty: bool,
    pub(super) asked_clean: bool,
    pub(super) limits: Limits,
    pub(super) packets: u32,
    /// The topics of the client's aliases.
    pub(super) aliases: BTreeMap<u16, String>,
    /// Those of the server's.
    pub(super) received_aliases: BTreeMap<u16, String>,
    /// Messages to be sent again, in order.
    pub(super) resend: VecDeque<usize>,
    /// Messages in flight.
    pub(super) open: BTreeSet<u16>,
    /// QoS 0 messages that are not written to the end.
    pub(super) followed: VecDeque<usize>,
    /// Acknowledgements that wait for the application, or behind one that does.
    pub(super) pubacks: VecDeque<usize>,
    pub(super) pubrecs: VecDeque<usize>,
    /// Acknowledgements that are due, in order.
    pub(super) pubacks_due: VecDeque<(u16, ReasonCode)>,
    pub(super) pubrecs_due: VecDeque<(u16, ReasonCode)>,
    pub(super) pubrels_due: VecDeque<(u16, ReasonCode)>,
    pub(super) pubcomps_due: VecDeque<(u16, ReasonCode)>,
}

/// What CONNACK said.
#[derive(Debug)]
pub(super) struct Limits {
    pub(super) receive_maximum: u16,
    pub(super) maximum_packet_size: usize,
    pub(super) topic_alias_maximum: u16,
    pub(super) maximum_qos: QoS,
    pub(super) retain_available: bool,
    pub(super) wildcard_available: bool,
    pub(super) keep_alive: u16,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            receive_maximum: u16::MAX,
            maximum_packet_size: usize::MAX,
            topic_alias_maximum: 0,
            maximum_qos: QoS::ExactlyOnce,
            retain_available: true,
            wildcard_available: true,
            keep_alive: 0,
        }
    }
}

impl Books {
    pub(super) fn new(config: Config) -> Self {
        Self {
            config,
            messages: Vec::new(),
            requests: Vec::new(),
            tokens: BTreeMap::new(),
            ids: BTreeMap::new(),
            releases: VecDeque::new(),
            inbound: BTreeMap::new(),
            deliveries: Vec::new(),
            to_hear: VecDeque::new(),
            due: BTreeMap::new(),
            wanted: BTreeMap::new(),
            wire: Wire::default(),
            lies: BTreeSet::new(),
            giving_up: false,
            widest: 0,
            brought: (0, 0),
            ops_before: 0,
            ops: 0,
        }
    }

    pub(super) const fn version(&self) -> Version {
        self.config.version
    }

    /// The messages in this stage, in the order of sending.
    pub(super) fn in_stage(&self, stage: Stage) -> Vec<usize> {
        let there = self.messages.iter().enumerate().filter(|(_, message)| message.stage == stage);
        let mut numbers: Vec<usize> = there.map(|(number, _)| number).collect();
        numbers.sort_by_key(|number| self.messages[*number].rank);
        numbers
    }

    /// Whether the queue has room.
    pub(super) fn has_room(&self) -> bool {
        let (queued, bytes, _) = self.holds();
        queued < self.config.limits.queue_messages && bytes < self.config.limits.queue_bytes
    }

    /// A message finds no room, though it is accepted: which one gives way?
    pub(super) fn overflows(&mut self, number: usize) {
        let limits = self.config.limits;
        let queued = self.in_stage(Stage::Queued);
        let (mut left, mut bytes, _) = self.holds();
        // What the new one itself adds.
        left -= 1;
        bytes -= self.messages[number].size;
        let others = || queued.iter().copied().filter(|other| *other != number);
        if limits.overflow == Overflow::KeepLatest
            && let Some(place) =
                others().rfind(|other| self.messages[*other].topic == self.messages[number].topic)
            && bytes - self.messages[place].size < limits.queue_bytes
        {
            // With a store the order stays that of acceptance.
            if !self.config.durable {
                self.messages[number].rank = self.messages[place].rank;
            }
            self.drops(place);
            return;
        }
        if limits.overflow != Overflow::DropNewest {
            for oldest in others() {
                if left < limits.queue_messages && bytes < limits.queue_bytes {
                    return;
                }
                left -= 1;
                bytes -= self.messages[oldest].size;
                self.drops(oldest);
            }
        }
        if left >= limits.queue_messages || bytes >= limits.queue_bytes {
            self.drops(number);
        }
    }

    fn drops(&mut self, number: usize) {
        let message = &self.messages[number];
        let outcome = if message.lost > 0 { Outcome::SessionLost } else { Outcome::Dropped };
        self.due.insert(message.token, outcome);
    }

    /// Whether one more request must be taken, or must not. What the session asks again by itself counts too.
    pub(super) fn room_for_requests(&self) -> (bool, bool) {
        let open = self.requests.iter().filter(|request| !request.done).count();
        let answered = self.requests.iter().filter(|request| request.done && request.subscribe);
        let again = answered.flat_map(|request| &request.filters).collect::<BTreeSet<_>>().len();
        let limit = self.config.limits.requests;
        (open + again < limit, open >= limit)
    }

    /// A message was accepted, or queued again.
    pub(super) fn accepted(&mut self, now: Instant, message: Published) -> Checked<usize> {
        let number = self.messages.len();
        let known = self.tokens.insert(message.token, Subject::Message(number));
        ensure!(known.is_none(), "token {} is given twice", message.token);
        let expires = message.expiry.map(|seconds| now + core::time::Duration::from_secs(seconds.into()));
        self.messages.push(Published { expires, ..message });
        Ok(number)
    }

    /// A link is open.
    pub(super) fn opened(&mut self) {
        self.wire = Wire::default();
    }

    /// The link is gone: requests are asked again, and QoS 0 messages not written are decided.
    pub(super) fn closed(&mut self, written: u64) {
        for number in core::mem::take(&mut self.wire.followed) {
            if let Stage::Followed(start, _) = self.messages[number].stage {
                let outcome = if start < written { Outcome::Unknown } else { Outcome::NotSent };
                self.due.insert(self.messages[number].token, outcome);
            }
        }
        self.ids.retain(|_, subject| matches!(subject, Subject::Message(_) | Subject::LetGo));
        for request in &mut self.requests {
            request.id = None;
        }
        self.wire = Wire::default();
    }

    /// The application gives up: everything completes.
    pub(super) fn given_up(&mut self, written: u64) {
        self.closed(written);
        self.ids.retain(|_, subject| *subject != Subject::LetGo);
        self.giving_up = true;
    }

    /// Bytes were written: QoS 0 messages complete.
    pub(super) fn written(&mut self, written: u64) {
        while let Some(&number) = self.wire.followed.front() {
            match self.messages[number].stage {
                Stage::Followed(_, end) if end > written => return,
                Stage::Followed(..) => drop(self.due.insert(self.messages[number].token, Outcome::Sent)),
                _ => {}
            }
            self.wire.followed.pop_front();
        }
    }

    /// A token completed. Says whether it was truthful.
    pub(super) fn completed(&mut self, now: Instant, token: u64, outcome: &Outcome) -> Checked {
        let Some(subject) = self.tokens.remove(&token) else {
            return Err(format!("token {token} completes, but is not awaited: {outcome:?}"));
        };
        let due = self.due.remove(&token);
        if let Some(due) = &due {
            ensure!(due == outcome, "token {token} completes with {outcome:?} instead of {due:?}");
        }
        match subject {
            Subject::Message(number) => self.message_completed(now, number, outcome, due.is_some()),
            Subject::Request(number) => self.request_completed(number, outcome, due.is_some()),
            Subject::Again | Subject::LetGo => Ok(()),
        }
    }

    fn message_completed(&mut self, now: Instant, number: usize, outcome: &Outcome, due: bool) -> Checked {
        let giving_up = self.giving_up;
        let (before, after) = (self.ops_before, self.ops);
        let message = &mut self.messages[number];
        let (left, lost) = (message.left, message.lost > 0);
        let truthful = match outcome {
            // Only when it is due.
            Outcome::Sent | Outcome::Acked { .. } => due,
            Outcome::NotSent => {
                !left && (due || giving_up && message.stage == Stage::Queued && !self.config.durable)
            }
            Outcome::Stored => giving_up && self.config.durable && message.stage != Stage::Done,
            Outcome::Expired => {
                !left && message.stage == Stage::Queued && message.expires.is_some_and(|at| at <= now)
            }
            Outcome::Refused(_) => {
                !left && message.stage == Stage::Queued && (self.wire.connected || self.wire.ended)
            }
            // At the end, or if this server's limits forbid to send it again.
            Outcome::Unknown => {
                message.handed_out
                    && (due
                        || giving_up && !self.config.durable
                        || message.stage == Stage::Sent && message.id.is_some())
            }
            Outcome::SessionLost => {
                message.handed_out
                    && (lost || message.stage == Stage::Sent || message.stage == Stage::Released)
            }
            // As announced.
            Outcome::Dropped => due && !left,
            Outcome::SetAside { connections } => {
                self.config.set_aside_after.is_some_and(|limit| *connections == limit.get())
                    && message.handed_out
                    && message.stage == Stage::Sent
            }
            _ => false,
        };
        ensure!(truthful, "message {number} completes with {outcome:?}, but {message:?}");
        message.completed = Some((before, after));
        let unanswered = matches!(outcome, Outcome::Unknown | Outcome::SetAside { .. });
        if unanswered && !giving_up && message.qos == QoS::ExactlyOnce && message.stage == Stage::Sent {
            self.let_go(number);
            return Ok(());
        }
        message.stage = Stage::Done;
        if let Some(id) = message.id.take()
            && self.ids.get(&id) == Some(&Subject::Message(number))
        {
            self.ids.remove(&id);
            self.wire.open.remove(&id);
            self.releases.retain(|release| *release != id);
        }
        self.wire.resend.retain(|other| *other != number);
        Ok(())
    }

    /// A QoS 2 message is given up. Its identifier stays in use until PUBCOMP.
    fn let_go(&mut self, number: usize) {
        let message = &mut self.messages[number];
        message.stage = Stage::Done;
        message.let_go = true;
        // A release of another life does not tell that the message may not have arrived.
        self.lies.insert(number);
        let Some(id) = message.id.take() else { return };
        self.ids.insert(id, Subject::LetGo);
        self.releases.push_back(id);
        self.wire.resend.retain(|other| *other != number);
        if self.wire.connected && !self.wire.ended {
            self.wire.pubrels_due.push_back((id, ReasonCode::SUCCESS));
            self.wire.open.insert(id);
        }
    }

    fn request_completed(&mut self, number: usize, outcome: &Outcome, due: bool) -> Checked {
        let giving_up = self.giving_up;
        let request = &mut self.requests[number];
        let truthful = match outcome {
            Outcome::Subscribed { .. } | Outcome::Unsubscribed { .. } => due,
            Outcome::NotSent => !request.left && giving_up,
            Outcome::Unknown => request.handed_out,
            Outcome::Refused(_) => !request.left,
            _ => false,
        };
        ensure!(truthful, "request {number} completes with {outcome:?}, but {request:?}");
        request.done = true;
        let request = self.requests[number].clone();
        let granted = |place: usize| match outcome {
            Outcome::Subscribed { codes, .. } => {
                codes.get(place).is_some_and(|code| !code.is_error()).then_some(true)
            }
            Outcome::Unsubscribed { codes, .. } => {
                codes.get(place).is_none_or(|code| !code.is_error()).then_some(false)
            }
            _ => None,
        };
        for (place, filter) in request.filters.iter().enumerate() {
            // Another request for the same filter has the last word.
            let later = self.requests[number + 1..].iter().any(|later| later.filters.contains(filter));
            match granted(place).filter(|_| !later) {
                Some(there) => self.wanted.insert(filter.clone(), there),
                None => self.wanted.remove(filter),
            };
        }
        Ok(())
    }

    /// The session is lost: what was in flight is queued again, or fails.
    pub(super) fn lost(&mut self) {
        let policy = self.config.on_session_lost;
        for message in &mut self.messages {
            let requeued = message.stage == Stage::Sent && policy == OnSessionLost::Requeue;
            match message.stage {
                Stage::Sent | Stage::Released => {
                    message.lost += 1;
                    if let Some(id) = message.id.take() {
                        self.ids.remove(&id);
                    }
                }
                _ => continue,
            }
            if requeued {
                message.stage = Stage::Queued;
                message.left_lately = false;
            } else {
                self.due.insert(message.token, Outcome::SessionLost);
            }
        }
        self.ids.retain(|_, subject| *subject != Subject::LetGo);
        self.releases.clear();
        self.inbound.clear();
    }

    /// Messages queued, bytes held, messages in flight.
    pub(super) fn holds(&self) -> (usize, usize, usize) {
        let (mut queued, mut bytes, mut in_flight) = (0, 0, 0);
        for number in self.tokens.values() {
            let Subject::Message(number) = number else { continue };
            let message = &self.messages[*number];
            queued += usize::from(message.stage == Stage::Queued);
            in_flight += usize::from(matches!(message.stage, Stage::Sent | Stage::Released));
            if matches!(message.stage, Stage::Queued | Stage::Sent) {
                bytes += message.size;
            }
        }
        let let_go = self.ids.values().filter(|subject| **subject == Subject::LetGo).count();
        (queued, bytes, in_flight + let_go)
    }

    /// After each call: everything that was due has come, and the session holds what it should.
    pub(super) fn check(&self, session: &Session) -> Checked {
        ensure!(self.due.is_empty(), "these outcomes did not come: {:?}", self.due);
        ensure!(self.to_hear.is_empty(), "these messages were not delivered: {:?}", self.to_hear);
        let (queued, bytes, in_flight) = self.holds();
        let (says, held) =
            ((session.queued(), session.queued_bytes(), session.in_flight()), (queued, bytes, in_flight));
        ensure!(
            says == held,
            "the session says it holds (messages, bytes, in flight) {says:?}, it is {held:?}"
        );
        let limits = &self.config.limits;
        ensure!(
            queued <= limits.queue_messages.max(self.brought.0).saturating_add(self.widest),
            "{queued} messages are queued, the limit is {}",
            limits.queue_messages
        );
        let largest = self.messages.iter().map(|message| message.size).max().unwrap_or(0);
        ensure!(
            bytes <= limits.queue_bytes.saturating_add(largest).max(self.brought.1),
            "{bytes} bytes are held"
        );
        ensure!(
            in_flight <= self.widest,
            "{in_flight} messages are in flight, never more than {}",
            self.widest
        );
        Ok(())
    }

    /// The properties of an acknowledgement that has none.
    pub(super) fn acked(reason: ReasonCode, properties: PropertiesBuf) -> Outcome {
        Outcome::Acked { reason, properties }
    }
}
