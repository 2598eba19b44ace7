//! What must survive a crash, as one more output. The session never does I/O: it says what to store, and the
//! driver applies it before it writes the bytes that depend on it.
//!
//! The operations are those of a map from keys to bytes, and the bytes are packets of 5.0, whatever version is
//! spoken: the disk format is the wire format, and a session may go on in another version than it began in. The map
//! after any prefix of the operations makes a legal session.

use crate::config::Config;
use crate::error::{End, UsageError};
use crate::event::{Event, Message, Outcome, Token};
use crate::in_flight::{Awaiting, Outgoing, Released};
use crate::publish;
use crate::session::Session;
use crate::time::{Instant, earlier};
use alloc::collections::{BTreeMap, VecDeque};
use alloc::vec::Vec;
use bytes::{Bytes, BytesMut};
use core::time::Duration;
use mqtt_codec::{
    Ack, Decoder, EncodeError, Packet, PacketId, PacketType, QoS, ReasonCode, Text, Version, WireBuf,
};

/// Where something is stored. Numbers grow; the order of keys is the order in which things are to be sent.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum StoreKey {
    /// A server has accepted this client. The value is one byte: 1 if the server forgets the session with the end of the
    /// connection, else 0.
    Begun,
    /// The client identifier that the server assigned. The value is its text.
    ClientId,
    /// A QoS 2 message that the application has accepted. The value is its PUBREC.
    Received(PacketId),
    /// A QoS 2 message that the server has taken over, by the order of the PUBRECs. The value is its PUBREL.
    Release(u64),
    /// A message to send, by the order of acceptance. The value is a [`StoredMessage`].
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

impl StoreOp {
    /// Whether a promise rests on it: without it, or one before it, a message that was accepted would be lost, or one of
    /// QoS 2 be sent or taken twice. Such an operation should be safe even from a loss of power, before the bytes that
    /// depend on it are written. To lose another one costs at most a repeated QoS 1 message.
    pub fn is_promise(&self) -> bool {
        match self {
            Self::Put(StoreKey::Exchange(_), awaited) => {
                awaited.first().is_some_and(|byte| byte >> 4 == PacketType::PubRec as u8)
            }
            Self::Put(..) => true,
            // The server may use the identifier again for another message.
            Self::Delete(key) => matches!(key, StoreKey::Received(_)),
        }
    }
}

/// A message as it is stored: when it expires, and its PUBLISH of 5.0, whose packet identifier means nothing.
///
/// So that the time counts while no process runs, the driver of a session with a store counts its
/// [`Instant`](crate::Instant)s from the same moment in each process, say from 1970 on. A clock that was set back keeps a
/// message for its whole interval at most; one that was set forward lets it expire early.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct StoredMessage {
    message: Message,
    expires: Option<Instant>,
    /// It was sent in a session that is lost.
    again: bool,
}

impl StoredMessage {
    /// A message that is accepted at `now`.
    pub fn new(now: Instant, message: Message) -> Self {
        Self { expires: publish::expires(now, &message), message, again: false }
    }

    /// The value to put under [`StoreKey::Message`]: the moment at which it expires in milliseconds of the session's
    /// time, 8 bytes, the highest first, 0 for never; then its PUBLISH, with DUP if it was sent in a session that is
    /// lost.
    ///
    /// # Errors
    /// The message can be sent in no version.
    pub fn value(&self) -> Result<Bytes, UsageError> {
        publish::check(&self.message, Version::V5)?;
        value(&self.message, self.expires, self.again).map_err(Into::into)
    }

    /// Reads the value that was stored under [`StoreKey::Message`] of this number.
    ///
    /// # Errors
    /// It is none.
    pub fn decode(number: u64, value: &Bytes) -> Result<Self, SnapshotError> {
        let damaged = SnapshotError { key: StoreKey::Message(number) };
        let (expires, publish) = value.split_first_chunk::<8>().ok_or(damaged)?;
        let Packet::Publish(publish) = packet(damaged.key, &value.slice_ref(publish))? else {
            return Err(damaged);
        };
        let expires = match u64::from_be_bytes(*expires) {
            0 => None,
            milliseconds => Some(Instant::from_duration(Duration::from_millis(milliseconds))),
        };
        Ok(Self {
            expires,
            again: publish.delivery().dup(),
            message: Message {
                topic: publish.topic_name().ok_or(damaged)?,
                qos: publish.qos(),
                retain: publish.retain(),
                dup: false,
                properties: publish.properties_buf(),
                payload: publish.into_payload(),
            },
        })
    }

    /// The message.
    pub const fn message(&self) -> &Message {
        &self.message
    }

    /// When its message expiry interval passes, if it has one.
    pub const fn expires(&self) -> Option<Instant> {
        self.expires
    }

    /// A message that is to be sent, restored at `now`.
    fn outgoing(self, now: Instant, token: Token, version: Version) -> Outgoing {
        let size = publish::size(&self.message, version);
        let mut outgoing = Outgoing::new(now, token, self.message, size);
        // It has no longer than it would have if it were accepted now.
        outgoing.expires = earlier(outgoing.expires, self.expires);
        outgoing.sent_on = self.again.then_some(0);
        outgoing
    }
}

/// [`StoredMessage::value`], without a look at what may be in it.
fn value(message: &Message, expires: Option<Instant>, again: bool) -> Result<Bytes, EncodeError> {
    let milliseconds = expires.map_or(0, |at| at.as_duration().as_millis().max(1));
    let mut wire = WireBuf::new();
    publish::encode(message, again, &mut wire)?;
    let mut value = Vec::with_capacity(8 + wire.len());
    value.extend(u64::try_from(milliseconds).unwrap_or(u64::MAX).to_be_bytes());
    value.extend(wire.to_vec());
    Ok(value.into())
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
    /// What is stored under [`StoreKey::Begun`].
    begun: Option<bool>,
}

impl Reports {
    pub(crate) const fn new(version: Version, durable: bool) -> Self {
        Self { events: VecDeque::new(), ops: VecDeque::new(), durable, version, releases: 0, begun: None }
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

    pub(crate) const fn set_version(&mut self, version: Version) {
        self.version = version;
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

    /// A message is to be sent.
    #[inline(always)]
    pub(crate) fn store_message(&mut self, now: Instant, token: Token, message: &Message) {
        if self.durable {
            self.put_message(token, message, publish::expires(now, message), false);
        }
    }

    pub(crate) fn store_queued(&mut self, queued: &Outgoing) {
        if self.durable {
            self.put_message(queued.token, &queued.message, queued.expires, false);
        }
    }

    #[cold]
    #[inline(never)]
    fn put_message(&mut self, token: Token, message: &Message, expires: Option<Instant>, again: bool) {
        // A message that the codec cannot write was refused when it was published.
        if let Ok(value) = value(message, expires, again) {
            self.ops.push_back(StoreOp::Put(StoreKey::Message(token.get()), value));
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
    pub(crate) fn store_again(&mut self, sent: &Outgoing) {
        if self.durable {
            self.put_message(sent.token, &sent.message, sent.expires, true);
        }
        self.forget_exchange(sent.token);
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

    /// A server has accepted this client, with a session that is, or is not, only for this connection.
    pub(crate) fn store_begun(&mut self, passing: bool) {
        if self.durable && self.begun.replace(passing) != Some(passing) {
            self.ops.push_back(StoreOp::Put(StoreKey::Begun, Bytes::copy_from_slice(&[passing.into()])));
        }
    }

    pub(crate) fn store_client_id(&mut self, id: &Text) {
        if self.durable {
            self.ops.push_back(StoreOp::Put(StoreKey::ClientId, id.clone().into_bytes()));
        }
    }

    #[inline(always)]
    fn put_ack(&mut self, key: StoreKey, packet: PacketType, ack: Ack) {
        if self.durable {
            self.put_packet(key, packet, ack);
        }
    }

    #[cold]
    #[inline(never)]
    fn put_packet(&mut self, key: StoreKey, packet: PacketType, ack: Ack) {
        let mut wire = WireBuf::new();
        if ack.encode(packet, Version::V5, &mut wire).is_ok() {
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
fn packet(key: StoreKey, value: &Bytes) -> Result<Packet, SnapshotError> {
    let mut input = BytesMut::from(&value[..]);
    match Decoder::new(Version::V5).decode(&mut input) {
        Ok(Some(packet)) if input.is_empty() => Ok(packet),
        _ => Err(SnapshotError { key }),
    }
}

impl Session {
    /// A session as it was stored, at `now`, which counts on from the moments of the earlier process, see
    /// [`StoredMessage`].
    ///
    /// The messages keep their numbers as tokens; their outcomes are reported like any other. The server is asked to
    /// resume, unless [`CleanStart::Always`](crate::CleanStart::Always) forbids it, or
    /// [`CleanStart::FirstOnly`](crate::CleanStart::FirstOnly) and no server has accepted the client yet.
    ///
    /// # Errors
    /// A wrong configuration, see [`Session::new`]; a stored value that is no packet, or not the one that
    /// belongs under its key.
    pub fn restore(now: Instant, config: Config, snapshot: Snapshot) -> Result<Self, RestoreError> {
        let mut session = Self::new(config)?;
        let entries: BTreeMap<StoreKey, Bytes> = snapshot.entries.into_iter().collect();
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

    /// Takes the number of a message that the driver stores itself, before it gives it to
    /// [`publish_stored`](Self::publish_stored). It is also taken for good if it is never used.
    pub fn take_number(&mut self) -> u64 {
        self.next_token().get()
    }

    /// Queues a message that is stored under a number from [`take_number`](Self::take_number), or from an earlier
    /// process: a driver that keeps messages on disk only, and lets the session have as many as it can send soon, gives
    /// them to it in the order of their numbers. The token has that number. A message that has no room gives way as the
    /// limits say; whether it can be sent in the version that is spoken then turns out when its turn comes.
    pub fn publish_stored(&mut self, now: Instant, number: u64, stored: StoredMessage) -> Token {
        let token = Token(number);
        self.tokens = self.tokens.max(number);
        let queued = stored.outgoing(now, token, self.config.version);
        self.outbound.push_stored(queued, &self.config.limits, &mut self.reports);
        token
    }

    fn restore_entry(
        &mut self,
        now: Instant,
        key: StoreKey,
        value: &Bytes,
        entries: &BTreeMap<StoreKey, Bytes>,
    ) -> Result<(), SnapshotError> {
        let damaged = SnapshotError { key };
        match key {
            StoreKey::ClientId if self.config.client_id.is_empty() => {
                self.client_id = Text::try_from(value.clone()).map_err(|_| damaged)?;
            }
            StoreKey::ClientId => {}
            StoreKey::Begun => {
                let &[passing @ 0..=1] = &value[..] else { return Err(damaged) };
                self.established = true;
                self.reports.begun = Some(passing == 1);
                // The connection is over.
                self.session_ends = (passing == 1).then_some(Instant::ZERO);
            }
            StoreKey::Received(id) => match packet(key, value)? {
                Packet::PubRec(ack) if ack.id == id => self.inbound.restore(id, ack.reason),
                _ => return Err(damaged),
            },
            StoreKey::Release(number) => match packet(key, value)? {
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
                let stored = StoredMessage::decode(number, value)?;
                let exchange = StoreKey::Exchange(number);
                let awaited = entries.get(&exchange).map(|value| packet(exchange, value)).transpose()?;
                self.restore_message(now, Token(number), stored, awaited).ok_or(damaged)?;
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
        stored: StoredMessage,
        awaited: Option<Packet>,
    ) -> Option<()> {
        let qos = stored.message.qos;
        let id = match (awaited, qos) {
            (None, _) => None,
            (Some(Packet::PubAck(ack)), QoS::AtLeastOnce) | (Some(Packet::PubRec(ack)), QoS::ExactlyOnce) => {
                Some(ack.id)
            }
            _ => return None,
        };
        let outgoing = stored.outgoing(now, token, self.config.version);
        match id {
            None => self.outbound.push_back(outgoing),
            // The server has taken it over: the release under the same identifier says so.
            Some(id) if self.table.get(id).is_some() => self.reports.forget_message(token, qos),
            Some(id) => {
                let sent = self.outbound.restore(outgoing);
                self.table.restore(id, Awaiting::Publish(sent));
            }
        }
        Some(())
    }
}
