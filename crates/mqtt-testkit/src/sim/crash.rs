//! The store, and what a session restored from it must know.

use super::books::{Books, Checked, Stage, Subject, Wire, ensure};
use super::outgoing::number_of;
use bytes::{Bytes, BytesMut};
use mqtt_codec::{Decoder, Packet, QoS, Version};
use mqtt_session::{Session, Snapshot, StoreKey, StoreOp, StoredMessage};
use std::collections::{BTreeMap, BTreeSet};

/// A map on a disk, and what was not yet written to it.
#[derive(Debug, Default)]
pub(super) struct Store {
    /// As it was when this session was restored.
    base: BTreeMap<StoreKey, Bytes>,
    pub(super) ops: Vec<StoreOp>,
    /// So many operations must have been applied: bytes that depend on them were written.
    pub(super) least: usize,
    /// The message of each release.
    releases: BTreeMap<u64, usize>,
    /// The message from the server that was stored as received, by the number of the operation; 0 if in the base.
    received: Vec<(usize, u16, usize)>,
}

impl Store {
    /// The next operation; the books know whose release it may be.
    pub(super) fn push(&mut self, op: StoreOp, books: &Books) {
        if let StoreOp::Put(StoreKey::Release(number), value) = &op
            && let Some(Packet::PubRel(ack)) = packet(value)
            && let Some(Subject::Message(message)) = books.ids.get(&ack.id.get())
        {
            self.releases.insert(*number, *message);
        }
        self.ops.push(op);
        if let Some(StoreOp::Put(StoreKey::Received(id), _)) = self.ops.last()
            && let Some(place) = books.inbound.get(&id.get())
        {
            self.received.push((self.ops.len(), id.get(), *place));
        }
    }

    /// The map after so many operations.
    fn after(&self, ops: usize) -> BTreeMap<StoreKey, Bytes> {
        let mut map = self.base.clone();
        for op in &self.ops[..ops] {
            match op {
                StoreOp::Put(key, value) => drop(map.insert(*key, value.clone())),
                StoreOp::Delete(key) => drop(map.remove(key)),
            }
        }
        map
    }

    /// A crash after so many operations: what is found on the disk, and the store of the next life.
    pub(super) fn crash(&mut self, ops: usize) -> Snapshot {
        let map = self.after(ops);
        let entries = map.clone().into_iter().collect();
        let mut received = core::mem::take(&mut self.received);
        received.retain_mut(|(number, ..)| core::mem::take(number) <= ops);
        *self =
            Self { base: map, releases: core::mem::take(&mut self.releases), received, ..Self::default() };
        Snapshot { entries, last: 0 }
    }

    /// Which messages were put before the operation of this number.
    fn put_before(&self, ops: usize) -> BTreeSet<u64> {
        let put = self.ops[..ops].iter().filter_map(|op| match op {
            StoreOp::Put(StoreKey::Message(token), _) => Some(*token),
            _ => None,
        });
        let base = self.base.keys().filter_map(|key| match key {
            StoreKey::Message(token) => Some(*token),
            _ => None,
        });
        put.chain(base).collect()
    }

    /// At rest: nothing is kept that nobody needs.
    pub(super) fn check_at_rest(&self, books: &Books) -> Checked {
        for (key, value) in self.after(self.ops.len()) {
            let needed = match key {
                StoreKey::Begun | StoreKey::ClientId => true,
                StoreKey::Received(id) => books.inbound.contains_key(&id.get()),
                _ => false,
            };
            ensure!(needed, "{key:?} is left in the store: {value:?}");
        }
        Ok(())
    }
}

fn packet(value: &Bytes) -> Option<Packet> {
    Decoder::new(Version::V5).decode(&mut BytesMut::from(&value[..])).ok().flatten()
}

impl Books {
    /// What the store holds after so many operations, against what is known.
    pub(super) fn check_prefix(&self, store: &Store, ops: usize) -> Checked {
        let map = store.after(ops);
        let put = store.put_before(ops);
        let released: BTreeSet<usize> = map
            .keys()
            .filter_map(|key| match key {
                StoreKey::Release(number) => store.releases.get(number).copied(),
                _ => None,
            })
            .collect();
        for (number, message) in self.messages.iter().enumerate() {
            // Of this life only: a token of an earlier one may be another's now.
            let current = self.tokens.get(&message.token) == Some(&Subject::Message(number));
            let ended = message.completed;
            if !current && ended.is_none() || message.let_go || !put.contains(&message.token) {
                continue;
            }
            let there = map.contains_key(&StoreKey::Message(message.token)) || released.contains(&number);
            if message.qos != QoS::AtMostOnce {
                let open = ended.is_none_or(|(before, _)| before >= ops);
                ensure!(there || !open, "message {number} is not in the store: {message:?}");
            }
            let over = ended.is_some_and(|(_, after)| after <= ops);
            ensure!(!there || !over, "message {number} is still in the store: {message:?}");
        }
        Ok(())
    }

    /// A new life begins with what was in the store.
    pub(super) fn restored(&mut self, snapshot: &Snapshot, store: &Store, session: &Session) -> Checked {
        let map: BTreeMap<StoreKey, Bytes> = snapshot.entries.iter().cloned().collect();
        self.forget_life();
        let mut last = 0;
        for (key, value) in &map {
            if let StoreKey::Message(token) | StoreKey::Exchange(token) = key {
                last = last.max(*token);
            }
            if let StoreKey::Message(token) = *key {
                self.restored_message(token, value, map.get(&StoreKey::Exchange(token)))?;
                continue;
            }
            match (*key, packet(value)) {
                (StoreKey::Begun | StoreKey::ClientId | StoreKey::Exchange(_), _) => {}
                (StoreKey::Received(id), Some(Packet::PubRec(ack))) => {
                    let place = store.received.iter().rev().find(|(_, stored, _)| *stored == id.get());
                    let place =
                        place.map(|(.., place)| *place).ok_or_else(|| format!("{id} was never received"))?;
                    ensure!(
                        self.deliveries[place].accepted == Some(ack.reason),
                        "{ack:?} is not what was said"
                    );
                    self.deliveries[place].forgotten = false;
                    self.inbound.insert(id.get(), place);
                }
                (StoreKey::Release(release), Some(Packet::PubRel(ack))) => {
                    let number = *store.releases.get(&release).ok_or("a release of no message")?;
                    let message = &mut self.messages[number];
                    message.stage = Stage::Released;
                    message.received = mqtt_codec::ReasonCode::SUCCESS;
                    message.id = Some(ack.id.get());
                    message.completed = None;
                    self.ids.insert(ack.id.get(), Subject::Message(number));
                    self.releases.push_back(ack.id.get());
                }
                (key, value) => return Err(format!("{key:?} holds {value:?}")),
            }
        }
        // A store keeps the order of acceptance, which is that of sending.
        let mut order = Vec::new();
        for stage in [Stage::Sent, Stage::Queued] {
            order.extend((0..self.messages.len()).filter(|number| self.messages[*number].stage == stage));
        }
        for (rank, number) in order.into_iter().enumerate() {
            self.messages[number].rank = rank;
        }
        for id in self.releases.clone() {
            if let Some(&Subject::Message(number)) = self.ids.get(&id) {
                last += 1;
                self.messages[number].token = last;
                self.tokens.insert(last, Subject::Message(number));
            }
        }
        let (queued, bytes, in_flight) = self.holds();
        self.brought = (queued, bytes);
        self.widest = self.widest.max(in_flight);
        self.check(session)
    }

    fn restored_message(&mut self, token: u64, value: &Bytes, exchange: Option<&Bytes>) -> Checked {
        let stored = StoredMessage::decode(token, value).map_err(|error| error.to_string())?;
        let number = number_of(&stored.message().payload).ok_or("a message without a number")?;
        let id = match exchange.and_then(packet) {
            Some(Packet::PubAck(ack) | Packet::PubRec(ack)) => Some(ack.id.get()),
            _ => None,
        };
        if id.is_some_and(|id| self.ids.contains_key(&id)) {
            // The release under the same identifier says more.
            return Ok(());
        }
        let message = &mut self.messages[number];
        ensure!(
            id.is_some() || !message.left_lately || message.qos == QoS::AtMostOnce,
            "message {number} was sent, the store says that it waits: {message:?}"
        );
        message.stage = if id.is_some() { Stage::Sent } else { Stage::Queued };
        message.token = token;
        message.id = id;
        message.handed_out |= id.is_some();
        message.completed = None;
        self.tokens.insert(token, Subject::Message(number));
        if let Some(id) = id {
            self.ids.insert(id, Subject::Message(number));
        }
        Ok(())
    }

    /// Nothing of this life is known any more but what the world has seen.
    fn forget_life(&mut self) {
        self.tokens.clear();
        self.ids.clear();
        self.releases.clear();
        self.inbound.clear();
        self.wanted.clear();
        self.due.clear();
        self.wire = Wire::default();
        for message in &mut self.messages {
            message.stage = Stage::Done;
            message.completed = None;
            message.id = None;
        }
        for request in &mut self.requests {
            request.done = true;
        }
        for delivery in &mut self.deliveries {
            // What it said is known by what is stored; what it refused may come again in any case.
            delivery.forgotten = true;
        }
        (self.ops_before, self.ops) = (0, 0);
    }
}
