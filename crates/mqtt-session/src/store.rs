//! What must survive a crash, as one more output. The session never does I/O: it says what to store, and the
//! driver applies it before it writes the bytes that depend on it.
//!
//! The operations are those of a map from keys to bytes, and the bytes are packets in the session's version:
//! the disk format is the wire format. The map after any prefix of the operations makes a legal session.

use crate::config::Config;
use crate::error::{End, UsageError};
use crate::event::{Event, Message, Outcome, Token};
use crate::in_flight::{Awaiting, Released};
use crate::publish;
use crate::session::Session;
use crate::time::Instant;
use alloc::collections::{BTreeMap, VecDeque};
use alloc::vec::Vec;
use bytes::{Bytes, BytesMut};
use mqtt_codec::{
    Ack, Decoder, EncodeError, Packet, PacketId, PacketType, QoS, ReasonCode, Text, Version, WireBuf,
};

/// Where something is stored. Numbers grow; the order of keys is the order in which things are to be sent.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum StoreKey {
    /// A server has accepted this client. The value is empty.
    Begun,
    /// The client identifier that the server assigned. The value is its text.
    ClientId,
    /// A QoS 2 message that the application has accepted. The value is its PUBREC.
    Received(PacketId),
    /// A QoS 2 message that the server has taken over, by the order of the PUBRECs. The value is its PUBREL.
    Release(u64),
    /// A message to send, by the order of acceptance. The value is its PUBLISH, with a packet identifier that
    /// means nothing; with DUP if it was sent in a session that is lost.
    Message(u64),
    /// The message of this number was sent. The value is the acknowledgement that is awaited, PUBACK or
    /// PUBREC.
    Exchange(u64),
}

/// One change of what is stored. To be applied in order.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum StoreOp {
    /// Store this value, in place of an earlier one.
    Put(StoreKey, Bytes),
    /// Forget the value, if there is one.
    Delete(StoreKey),
}

/// Everything that was stored, to [`restore`](crate::Session::restore) a session from.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Snapshot {
    /// Keys and values, in any order.
    pub entries: Vec<(StoreKey, Bytes)>,
    /// Numbers up to this one are taken, by messages that are stored and not among the entries. It may be less than
    /// theirs.
    pub last: u64,
}

/// A stored value that this session cannot have written.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("the stored value of {key:?} is damaged, or of another version of MQTT")]
pub struct SnapshotError {
    /// Where it stands.
    pub key: StoreKey,
}

/// Why a session cannot be restored.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RestoreError {
    /// The configuration is wrong.
    #[error(transparent)]
    Config(#[from] UsageError),
    /// The stored session is.
    #[error(transparent)]
    Snapshot(#[from] SnapshotError),
}

/// What the outside is told: the application by events, the store by operations.
#[derive(Debug)]
pub(crate) struct Reports {
    pub(crate) events: VecDeque<Event>,
    pub(crate) ops: VecDeque<StoreOp>,
    /// Whether there is a store.
    durable: bool,
    version: Version,
    releases: u64,
}

impl Reports {
    pub(crate) const fn new(version: Version, durable: bool) -> Self {
        Self { events: VecDeque::new(), ops: VecDeque::new(), durable, version, releases: 0 }
    }

    #[inline(always)]
    pub(crate) fn rest(&mut self) {
        if self.events.is_empty() {
            self.events = VecDeque::new();
        }
        if self.ops.is_empty() {
            self.ops = VecDeque::new();
        }
    }

    /// Whether there is a store.
    pub(crate) const fn is_durable(&self) -> bool {
        self.durable
    }

    pub(crate) fn complete(&mut self, token: Token, outcome: Outcome) {
        self.events.push_back(Event::Completed(token, outcome));
    }

    pub(crate) fn ended(&mut self, end: End) {
        self.events.push_back(Event::Ended(end));
    }

    /// A message waits to be sent.
    pub(crate) fn store_message(&mut self, token: Token, message: &Message) {
        if self.durable {
            // A message that the codec cannot write was refused when it was published.
            let key = StoreKey::Message(token.get());
            self.put_packet(key, |version, wire| publish::encode(message, version, wire));
        }
    }

    /// A QoS 1 or 2 message is about to be sent for the first time.
    pub(crate) fn store_exchange(&mut self, token: Token, id: PacketId, qos: QoS) {
        if self.durable {
            let awaited = if qos == QoS::ExactlyOnce { PacketType::PubRec } else { PacketType::PubAck };
            self.put_ack(StoreKey::Exchange(token.get()), awaited, Ack::new(id));
        }
    }

    /// A message goes back into the queue. DUP says that it was sent before.
    pub(crate) fn store_again(&mut self, token: Token, message: &Message) {
        if self.durable {
            let key = StoreKey::Message(token.get());
            self.put_packet(key, |version, wire| publish::encode_again(message, version, wire));
        }
        self.forget_exchange(token);
    }

    fn forget_exchange(&mut self, token: Token) {
        self.delete(StoreKey::Exchange(token.get()));
    }

    /// A message is done with, or given to the transport at QoS 0.
    pub(crate) fn forget_message(&mut self, token: Token, qos: QoS) {
        if !self.durable {
            return;
        }
        self.delete(StoreKey::Message(token.get()));
        if qos != QoS::AtMostOnce {
            self.delete(StoreKey::Exchange(token.get()));
        }
    }

    /// The server has taken over a QoS 2 message. Returns the number of its release.
    pub(crate) fn store_release(&mut self, token: Token, id: PacketId) -> u64 {
        self.releases += 1;
        // First the release: if both are found after a crash, it wins over the message of the same
        // identifier.
        self.put_ack(StoreKey::Release(self.releases), PacketType::PubRel, Ack::new(id));
        self.forget_message(token, QoS::ExactlyOnce);
        self.releases
    }

    pub(crate) fn forget_release(&mut self, number: u64) {
        self.delete(StoreKey::Release(number));
    }

    /// The application has accepted a QoS 2 message.
    pub(crate) fn store_received(&mut self, id: PacketId, reason: ReasonCode) {
        let reason = if self.version.is_v5() { reason } else { ReasonCode::SUCCESS };
        self.put_ack(StoreKey::Received(id), PacketType::PubRec, Ack::with_reason(id, reason));
    }

    pub(crate) fn forget_received(&mut self, id: PacketId) {
        self.delete(StoreKey::Received(id));
    }

    pub(crate) fn store_client_id(&mut self, id: &Text) {
        if self.durable {
            self.ops.push_back(StoreOp::Put(StoreKey::ClientId, id.clone().into_bytes()));
        }
    }

    #[inline(always)]
    fn put_ack(&mut self, key: StoreKey, packet: PacketType, ack: Ack) {
        if self.durable {
            self.put_packet(key, |version, wire| ack.encode(packet, version, wire));
        }
    }

    #[inline(never)]
    fn put_packet(
        &mut self,
        key: StoreKey,
        encode: impl FnOnce(Version, &mut WireBuf) -> Result<(), EncodeError>,
    ) {
        let mut wire = WireBuf::new();
        if encode(self.version, &mut wire).is_ok() {
            self.ops.push_back(StoreOp::Put(key, wire.to_vec().into()));
        }
    }

    fn delete(&mut self, key: StoreKey) {
        if self.durable {
            self.ops.push_back(StoreOp::Delete(key));
        }
    }
}

/// A stored packet.
fn packet(key: StoreKey, value: &Bytes, version: Version) -> Result<Packet, SnapshotError> {
    let mut input = BytesMut::from(&value[..]);
    match Decoder::new(version).decode(&mut input) {
        Ok(Some(packet)) if input.is_empty() => Ok(packet),
        _ => Err(SnapshotError { key }),
    }
}

impl Session {
    /// A session as it was stored, at `now`. Message expiry intervals count anew from here.
    ///
    /// The messages keep their numbers as tokens; their outcomes are reported like any other. The server is
    /// asked to resume, unless [`CleanStart::Always`](crate::CleanStart::Always) forbids it.
    ///
    /// # Errors
    /// A wrong configuration, see [`Session::new`]; a stored value that is no packet, or not the one that
    /// belongs under its key.
    pub fn restore(now: Instant, config: Config, snapshot: Snapshot) -> Result<Self, RestoreError> {
        let mut session = Self::new(config)?;
        let entries: BTreeMap<StoreKey, Bytes> = snapshot.entries.into_iter().collect();
        session.established = !entries.is_empty();
        let number = |key: &StoreKey| match key {
            StoreKey::Message(number) | StoreKey::Exchange(number) => *number,
            _ => 0,
        };
        session.tokens = entries.keys().map(number).max().unwrap_or(0).max(snapshot.last);
        for (&key, value) in &entries {
            session.restore_entry(now, key, value, &entries)?;
        }
        Ok(session)
    }

    fn restore_entry(
        &mut self,
        now: Instant,
        key: StoreKey,
        value: &Bytes,
        entries: &BTreeMap<StoreKey, Bytes>,
    ) -> Result<(), SnapshotError> {
        let damaged = SnapshotError { key };
        let version = self.config.version;
        match key {
            StoreKey::ClientId if self.config.client_id.is_empty() => {
                self.client_id = Text::try_from(value.clone()).map_err(|_| damaged)?;
            }
            StoreKey::ClientId | StoreKey::Begun => {}
            StoreKey::Received(id) => match packet(key, value, version)? {
                Packet::PubRec(ack) if ack.id == id => self.inbound.restore(id, ack.reason),
                _ => return Err(damaged),
            },
            StoreKey::Release(number) => match packet(key, value, version)? {
                Packet::PubRel(ack) => {
                    self.tokens += 1;
                    self.reports.releases = number;
                    let token = Some(Token(self.tokens));
                    let released = Released { token, reason: ReasonCode::SUCCESS, number, round: 0 };
                    self.table.restore(ack.id, Awaiting::PubComp(released));
                }
                _ => return Err(damaged),
            },
            StoreKey::Message(number) => {
                let Packet::Publish(publish) = packet(key, value, version)? else { return Err(damaged) };
                let again = publish.delivery().dup();
                let message = Message {
                    topic: publish.topic_name().ok_or(damaged)?,
                    qos: publish.qos(),
                    retain: publish.retain(),
                    dup: false,
                    properties: publish.properties_buf(),
                    payload: publish.into_payload(),
                };
                let exchange = StoreKey::Exchange(number);
                let awaited =
                    entries.get(&exchange).map(|value| packet(exchange, value, version)).transpose()?;
                let size = publish::check(&message, version).map_err(|_| damaged)?;
                let token = Token(number);
                if again && awaited.is_none() {
                    self.outbound.restore_queued(now, token, message, size);
                } else {
                    self.restore_message(now, token, message, size, awaited).ok_or(damaged)?;
                }
            }
            StoreKey::Exchange(number) => {
                if !entries.contains_key(&StoreKey::Message(number)) {
                    self.reports.forget_exchange(Token(number));
                }
            }
        }
        Ok(())
    }

    /// A message to be sent, or sent and unacknowledged. `None` if what is awaited does not fit.
    fn restore_message(
        &mut self,
        now: Instant,
        token: Token,
        message: Message,
        size: usize,
        awaited: Option<Packet>,
    ) -> Option<()> {
        let id = match (awaited, message.qos) {
            (None, _) => {
                self.outbound.push(now, token, message, size);
                return Some(());
            }
            (Some(Packet::PubAck(ack)), QoS::AtLeastOnce) | (Some(Packet::PubRec(ack)), QoS::ExactlyOnce) => {
                ack.id
            }
            _ => return None,
        };
        if self.table.get(id).is_some() {
            // The server has taken it over: the release under the same identifier says so.
            self.reports.forget_message(token, message.qos);
        } else {
            let sent = self.outbound.restore(now, token, message, size);
            self.table.restore(id, Awaiting::Publish(sent));
        }
        Some(())
    }
}
