//! The hall: every way in and every way out, and who is sent where.

use crate::answers::Verdict;
use crate::config::{Config, Limits, Overflow};
use crate::error::{End, ProtocolError, UsageError};
use crate::event::{AckToken, Event, Message, Token};
use crate::in_flight::{InFlight, Order, Outgoing};
use crate::inbound::Inbound;
use crate::link::{Link, Phase};
use crate::negotiated::Negotiated;
use crate::outbound::Outbound;
use crate::publish;
use crate::store::{Reports, StoreOp};
use crate::subscriptions::{self, Subscriptions};
use crate::time::{Instant, earlier};
use alloc::vec::Vec;
use bytes::{Bytes, BytesMut};
use core::time::Duration;
use mqtt_codec::{
    Ack, Auth, Disconnect, EncodeError, PacketId, PacketType, PropertiesBuf, ReasonCode, Sender,
    SubscriptionOptions, Text, TopicFilter, Version, WireBuf,
};

/// An MQTT client as a state machine: it is told what happened, asked what there is to do, and does nothing
/// itself.
///
/// The methods are of four kinds.
///
/// - **What happened**: [`handle_open`](Self::handle_open), [`handle_input`](Self::handle_input),
///   [`handle_transmitted`](Self::handle_transmitted), [`handle_timeout`](Self::handle_timeout),
///   [`handle_close`](Self::handle_close).
/// - **What the application wants**: [`publish`](Self::publish), [`subscribe`](Self::subscribe),
///   [`unsubscribe`](Self::unsubscribe), [`acknowledge`](Self::acknowledge),
///   [`authenticate`](Self::authenticate), [`disconnect`](Self::disconnect). An `Err` means that nothing has
///   changed.
/// - **What there is to do**: [`poll_transmit`](Self::poll_transmit), [`poll_store`](Self::poll_store),
///   [`poll_event`](Self::poll_event), [`poll_timeout`](Self::poll_timeout). After each call of the first two
///   kinds ask all four, until they have nothing more.
/// - **How things stand**: [`accepts`](Self::accepts), [`is_connected`](Self::is_connected) and so on.
///
/// Calls that come too often or at the wrong moment are harmless. One `Session` serves all connections of a
/// client, one after the other: what outlives a connection is in it. Dropping it drops what is queued and
/// unacknowledged; [`abandon`](Self::abandon) first tells what that was.
#[derive(Debug)]
pub struct Session {
    pub(crate) config: Config,
    /// The configured one, or what the server assigned.
    pub(crate) client_id: Text,
    pub(crate) link: Option<Link>,
    /// Links so far.
    links: u32,
    /// Tokens so far.
    pub(crate) tokens: u64,
    /// A server has accepted this client before.
    pub(crate) established: bool,
    /// When the session ends at the server, which counts from the end of the last connection; `None`: never,
    /// or not while the connection is up.
    pub(crate) session_ends: Option<Instant>,
    pub(crate) table: InFlight,
    pub(crate) outbound: Outbound,
    pub(crate) inbound: Inbound,
    pub(crate) subscriptions: Subscriptions,
    pub(crate) reports: Reports,
}

/// # What happened
impl Session {
    /// A session that has never been connected.
    ///
    /// # Errors
    /// What is wrong with the configuration: an option that the version does not have, a client identifier
    /// that it does not allow, a CONNECT that cannot be encoded.
    pub fn new(config: Config) -> Result<Self, UsageError> {
        config.check()?;
        Ok(Self {
            client_id: config.client_id.clone(),
            link: None,
            links: 0,
            tokens: 0,
            established: false,
            session_ends: None,
            table: InFlight::new(),
            outbound: Outbound::new(config.limits.overflow),
            inbound: Inbound::new(),
            subscriptions: Subscriptions::new(),
            reports: Reports::new(config.version, config.durable),
            config,
        })
    }

    /// A transport is open. CONNECT is the first thing that [`poll_transmit`](Self::poll_transmit) yields
    /// `[MQTT-3.1.0-1]`. A connection that is still there counts as closed.
    pub fn handle_open(&mut self, now: Instant) {
        self.handle_close(now);
        let expired = self.session_ends.is_some_and(|at| at <= now);
        let clean_start = self.wants_clean_start(expired);
        let resumed = !clean_start && !expired;
        self.links = self.links.wrapping_add(1);
        let client_id = self.client_id.clone();
        self.link = Some(Link::new(self.links, &self.config, client_id, clean_start, resumed, now));
    }

    /// Bytes arrived. Complete packets are taken off the front of `input`; what is left is the beginning of
    /// one, and belongs before what arrives next. After the end of a connection the bytes are dropped.
    ///
    /// A server that breaks the protocol ends the connection: see [`End::Protocol`].
    pub fn handle_input(&mut self, now: Instant, input: &mut BytesMut) {
        loop {
            let Some(link) = self.link.as_mut().filter(|link| !link.is_over()) else {
                input.clear();
                return;
            };
            let handled = match link.decoder.decode(input) {
                Ok(Some(packet)) => self.handle_packet(now, packet),
                Ok(None) => {
                    if !input.is_empty() {
                        link.keep_alive.put_off(now);
                    }
                    return;
                }
                Err(error) if self.skip_misnamed(error, input) => continue,
                Err(error) => Err(ProtocolError::Decode(error)),
            };
            if let Err(error) = handled {
                self.fail(error);
            }
        }
    }

    /// Bytes that the packet lacks whose beginning [`handle_input`](Self::handle_input) has left in `input`; 0 if there is
    /// none, or its header is not complete. For a driver that wants to read them into one buffer.
    pub fn missing(&self, input: &[u8]) -> usize {
        self.link.as_ref().map_or(0, |link| link.decoder.missing(input))
    }

    /// So many bytes of what [`poll_transmit`](Self::poll_transmit) yielded on this connection were written
    /// to the transport. QoS 0 messages complete here, and keep alive counts from here. A driver that never
    /// calls this pings without need and never completes a QoS 0 message.
    pub fn handle_transmitted(&mut self, now: Instant, bytes: usize) {
        if let Some(link) = &mut self.link {
            link.output.transmitted(bytes, &mut self.reports);
            link.keep_alive.transmitted(now, bytes);
        }
    }

    /// The moment that [`poll_timeout`](Self::poll_timeout) named has come. Calling too early changes
    /// nothing.
    pub fn handle_timeout(&mut self, now: Instant) {
        self.outbound.handle_timeout(now, &mut self.reports);
        let Some(link) = self.link.as_mut().filter(|link| !link.is_over()) else { return };
        if link.is_connected() {
            let backlog = link.output.backlog();
            link.retransmission.handle_timeout(now, backlog, &mut self.table, &mut link.answers);
        }
        if let Phase::SendConnect(deadline) | Phase::AwaitConnAck(deadline) = link.phase
            && deadline <= now
        {
            self.end(End::ConnectTimeout, None);
        } else if link.keep_alive.handle_timeout(now).is_err() {
            self.end(End::PingTimeout, None);
        }
    }

    /// The driver has stopped reading from the transport, to let the application catch up. An answer to a
    /// ping would lie unread, so its deadline is held; pings are sent as ever.
    pub fn handle_read_paused(&mut self, now: Instant) {
        if let Some(link) = &mut self.link {
            link.keep_alive.set_paused(now, true);
        }
    }

    /// The driver reads again. The deadline of an unanswered ping starts anew.
    pub fn handle_read_resumed(&mut self, now: Instant) {
        if let Some(link) = &mut self.link {
            link.keep_alive.set_paused(now, false);
        }
    }

    /// The transport is gone, by itself or because the driver closed it after [`Event::Ended`].
    pub fn handle_close(&mut self, now: Instant) {
        let Some(mut link) = self.link.take() else { return };
        if !link.is_over() {
            self.reports.ended(End::Closed);
            self.outbound.suspect(
                link.number,
                self.config.set_aside_after,
                &mut self.table,
                &mut self.reports,
            );
        }
        link.output.close(&mut self.reports);
        self.subscriptions.close(&mut self.table, &mut self.reports);
        if link.accepted {
            // `[MQTT-3.1.2-23]`
            self.session_ends = match link.negotiated.session_expiry {
                u32::MAX => None,
                seconds => Some(now + Duration::from_secs(seconds.into())),
            };
        }
    }
}

/// # What the application wants
impl Session {
    /// Queues a message. It is sent in its turn, on this connection or a later one, and completes with the
    /// token.
    ///
    /// # Errors
    /// [`UsageError::QueueFull`], see [`accepts`](Self::accepts); a property that does not belong in PUBLISH
    /// or needs 5.0; a limit of the server, while there is a connection. Such a limit met later, by a message
    /// that was queued before the connection, is [`Outcome::Refused`](crate::Outcome::Refused): nothing is
    /// ever changed silently.
    #[inline(always)]
    pub fn publish(&mut self, now: Instant, message: Message) -> Result<Token, UsageError> {
        let size = publish::check(&message, self.config.version)?;
        if let Some(negotiated) = self.negotiated() {
            negotiated.check_message(&message)?;
            negotiated.check_size(size as usize)?;
        }
        let has_room = self.outbound.has_room(&self.config.limits);
        if !has_room && self.config.limits.overflow == Overflow::Refuse {
            return Err(UsageError::QueueFull);
        }
        let token = self.next_token();
        let (limits, reports) = (&self.config.limits, &mut self.reports);
        if has_room {
            reports.store_message(now, token, &message);
            self.outbound.push(now, token, message, size);
        } else {
            let queued = Outgoing::new(now, token, message, size);
            self.outbound.push_without_room(queued, limits, reports, false);
        }
        Ok(token)
    }

    /// Asks for the messages of these topic filters, in one SUBSCRIBE. `properties` may hold a subscription
    /// identifier and user properties (5.0). Its outcome has one code for each filter.
    ///
    /// What was granted is subscribed again when a later connection finds the session lost (3.1, which does
    /// not say so: on each connection). A request without an answer at the end of a connection is sent again
    /// on the next one.
    ///
    /// # Errors
    /// No filter `[MQTT-3.8.3-2]`; options or properties that need 5.0; No Local on a shared subscription
    /// `[MQTT-3.8.3-4]`; a limit of the server, while there is a connection; [`UsageError::QueueFull`].
    pub fn subscribe(
        &mut self,
        filters: Vec<(TopicFilter, SubscriptionOptions)>,
        properties: PropertiesBuf,
    ) -> Result<Token, UsageError> {
        let size = subscriptions::check_subscribe(&filters, &properties, self.config.version)?;
        if let Some(negotiated) = self.negotiated() {
            negotiated.check_subscription(&filters, properties.view())?;
            negotiated.check_size(size)?;
        }
        self.check_requests()?;
        let token = self.next_token();
        self.subscriptions.subscribe(token, filters, properties);
        Ok(token)
    }

    /// Ends subscriptions, in one UNSUBSCRIBE. Messages under way may still arrive.
    ///
    /// # Errors
    /// No filter `[MQTT-3.10.3-2]`; properties that need 5.0; the server's packet size, while there is a
    /// connection; [`UsageError::QueueFull`].
    pub fn unsubscribe(
        &mut self,
        filters: Vec<TopicFilter>,
        properties: PropertiesBuf,
    ) -> Result<Token, UsageError> {
        let size = subscriptions::check_unsubscribe(&filters, &properties, self.config.version)?;
        if let Some(negotiated) = self.negotiated() {
            negotiated.check_size(size)?;
        }
        self.check_requests()?;
        let token = self.next_token();
        self.subscriptions.unsubscribe(token, filters, properties);
        Ok(token)
    }

    /// Takes over a received message, or refuses it with a reason of 0x80 or more. Before 5.0 there are no
    /// reasons, and the server hears of a plain acknowledgement. A reason that the packet cannot carry
    /// becomes 0x80 if it is an error, else 0x00. See [`AckToken`] for order and lifetime.
    #[inline]
    pub fn acknowledge(&mut self, token: AckToken, reason: ReasonCode) {
        self.take_verdict(token, Verdict { reason, properties: None });
    }

    /// Like [`acknowledge`](Self::acknowledge), with a reason string or user properties for the server's
    /// people to read (5.0). They leave with the first acknowledgement of the message, unless that would be
    /// larger than the server accepts `[MQTT-3.4.2-2]`.
    ///
    /// # Errors
    /// Properties before 5.0, or others than these two; the token comes back, nothing is acknowledged.
    pub fn acknowledge_with(
        &mut self,
        token: AckToken,
        reason: ReasonCode,
        properties: PropertiesBuf,
    ) -> Result<(), (AckToken, UsageError)> {
        let ack = Ack { properties, ..Ack::new(token.id) };
        if let Err(error) = ack.encode(token.packet(), self.config.version, &mut WireBuf::new()) {
            return Err((token, error.into()));
        }
        let properties = (!ack.properties.is_empty()).then(|| ack.properties.into());
        self.take_verdict(token, Verdict { reason, properties });
        Ok(())
    }

    /// Sends AUTH: the answer to a [`Event::Challenge`], or with [`ReasonCode::RE_AUTHENTICATE`] the
    /// beginning of a re-authentication. Its properties must name the method of CONNECT.
    ///
    /// # Errors
    /// [`UsageError::AuthenticationMismatch`], [`UsageError::NotConnected`], or what is wrong with the
    /// packet.
    pub fn authenticate(&mut self, auth: Auth) -> Result<(), UsageError> {
        let Some(link) = &mut self.link else { return Err(UsageError::NotConnected) };
        let method = self.config.authentication.as_ref().map(|(method, _)| method.as_str());
        link.authenticate(auth, method)
    }

    /// Says goodbye: acknowledgements that are due and DISCONNECT leave, and nothing after it
    /// `[MQTT-3.14.4-1]`. What is queued stays queued. Without a connection nothing happens.
    ///
    /// # Errors
    /// Before 5.0, a reason or properties; a reason that clients do not send; a session expiry where CONNECT
    /// had none `[5u-18]`; the server's packet size. The connection then stays.
    pub fn disconnect(&mut self, disconnect: Disconnect) -> Result<(), UsageError> {
        let Some(link) = self.link.as_mut().filter(|link| !link.is_over()) else { return Ok(()) };
        let (packet, reason) = (PacketType::Disconnect, disconnect.reason);
        if !reason.is_allowed_in(packet, Some(Sender::Client)) {
            return Err(EncodeError::ReasonNotAllowed { packet, reason }.into());
        }
        disconnect.encode(self.config.version, &mut WireBuf::new())?;
        link.negotiated.check_size(disconnect.encoded_len(self.config.version))?;
        if let Some(seconds) = disconnect.properties.view().session_expiry_interval() {
            if seconds > 0 && self.config.session_expiry.unwrap_or(0) == 0 {
                return Err(UsageError::SessionExpiryNotAllowed);
            }
            link.negotiated.session_expiry = seconds;
        }
        self.end(End::Disconnected, Some(disconnect));
        Ok(())
    }

    /// Changes user name and password for the connections to come.
    ///
    /// # Errors
    /// As for [`new`](Self::new); the old ones stay.
    pub fn set_credentials(
        &mut self,
        username: Option<Text>,
        password: Option<Bytes>,
    ) -> Result<(), UsageError> {
        let config = Config { username, password, ..self.config.clone() };
        config.check()?;
        self.config = config;
        Ok(())
    }

    /// Changes method and first data of enhanced authentication, section 4.12, for the connections to come: to be
    /// called while there is none.
    ///
    /// # Errors
    /// As for [`new`](Self::new); the old ones stay.
    pub fn set_authentication(&mut self, method: Text, data: Bytes) -> Result<(), UsageError> {
        let config = Config { authentication: Some((method, data)), ..self.config.clone() };
        config.check()?;
        self.config = config;
        Ok(())
    }

    /// Goes on with another configuration, say in another version: to be called while there is no connection. What gives
    /// way in a full queue, and whether there is a store, stays as it was.
    ///
    /// # Errors
    /// As for [`new`](Self::new); the old one stays.
    pub fn set_config(&mut self, config: Config) -> Result<(), UsageError> {
        config.check()?;
        if !config.client_id.is_empty() {
            self.client_id = config.client_id.clone();
        }
        let Limits { overflow, .. } = self.config.limits;
        self.outbound.set_version(config.version, &mut self.table);
        self.reports.set_version(config.version);
        let limits = Limits { overflow, ..config.limits };
        self.config = Config { limits, durable: self.config.durable, ..config };
        Ok(())
    }

    /// Gives up: every token completes, with [`Outcome::NotSent`](crate::Outcome::NotSent) or
    /// [`Outcome::Unknown`](crate::Outcome::Unknown), messages that are stored with
    /// [`Outcome::Stored`](crate::Outcome::Stored), and the queue, the unacknowledged messages and the
    /// subscriptions are forgotten. What a store holds stays there. For the end of a client; a connection
    /// counts as closed.
    pub fn abandon(&mut self, now: Instant) {
        self.handle_close(now);
        self.outbound.abandon(&mut self.table, &mut self.reports);
        self.subscriptions.abandon(&mut self.table, &mut self.reports);
    }
}

/// # What there is to do
impl Session {
    /// Appends the next packet, or batch of acknowledgements or of messages, to `out`. False if there is
    /// nothing to send now. A batch has little more than 4 KiB, unless its last message is larger.
    ///
    /// Before CONNACK these are CONNECT and AUTH only. Then acknowledgements come first, messages last, and
    /// PINGREQ if there was nothing else. After [`Event::Ended`] it still yields the last words.
    #[must_use = "false means that nothing was appended"]
    pub fn poll_transmit(&mut self, now: Instant, out: &mut WireBuf) -> bool {
        if let Some(link) = &mut self.link {
            link.output.begin(out.len());
        }
        let wrote = self.transmit(now, out);
        if let Some(link) = &mut self.link {
            link.output.hand_out(out.len());
        }
        wrote
    }

    /// The next event.
    #[inline]
    pub fn poll_event(&mut self) -> Option<Event> {
        self.reports.events.pop_front()
    }

    /// The next thing to store, before what [`poll_transmit`](Self::poll_transmit) has yielded is written.
    /// None ever unless [`Config::durable`] is set.
    pub fn poll_store(&mut self) -> Option<StoreOp> {
        self.reports.ops.pop_front()
    }

    /// Nothing happens for a while, as far as the driver knows: gives back memory that an idle session does not need.
    /// It takes it anew with the next event.
    pub fn rest(&mut self) {
        self.reports.rest();
    }

    /// When to call [`handle_timeout`](Self::handle_timeout); `None`: not before something else happens.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        let link = self.link.as_ref().and_then(|link| link.poll_timeout(&self.table));
        earlier(self.outbound.poll_timeout(), link)
    }
}

/// # How things stand
impl Session {
    /// Whether [`publish`](Self::publish) does not fail with [`UsageError::QueueFull`]: the queue has room, or
    /// something else than [`Overflow::Refuse`](crate::Overflow::Refuse) was chosen.
    pub fn accepts(&self) -> bool {
        let limits = &self.config.limits;
        limits.overflow != Overflow::Refuse || self.outbound.has_room(limits)
    }

    /// Messages that wait to be sent.
    pub fn queued(&self) -> usize {
        self.outbound.queued()
    }

    /// Bytes of the messages held, waiting or unacknowledged, as packets.
    pub fn queued_bytes(&self) -> usize {
        self.outbound.bytes()
    }

    /// QoS 1 and 2 messages sent and not acknowledged to the end.
    pub fn in_flight(&self) -> usize {
        self.table.len(Order::Publishes) + self.table.len(Order::Releases)
    }

    /// The messages of those whose PUBLISH has no answer yet, with their packet identifiers, the last sent first. So, after
    /// [`poll_transmit`](Self::poll_transmit), what it has sent stands in front: as many as
    /// [`in_flight`](Self::in_flight) has grown by. On a connection that resumed the session all of them are sent again.
    pub fn unanswered(&self) -> impl Iterator<Item = (Token, PacketId)> {
        self.table.publishes().map(|(id, sent)| (sent.token, id))
    }

    /// All messages that are held, in no order: those that wait to be sent, and those whose PUBLISH has no answer yet. Of a
    /// QoS 2 message that the server has taken over nothing is left but its token.
    pub fn messages(&self) -> impl Iterator<Item = (Token, &Message)> {
        let unanswered = self.table.publishes().map(|(_, sent)| sent);
        unanswered.chain(self.outbound.messages()).map(|held| (held.token, &held.message))
    }

    /// How long the server took for its last answer to a ping on this connection, from the moment the ping was
    /// written; `None` if there was none yet.
    pub fn ping_round_trip(&self) -> Option<Duration> {
        self.link.as_ref().and_then(|link| link.keep_alive.round_trip())
    }

    /// Whether the server has accepted the connection, and it has not ended.
    pub fn is_connected(&self) -> bool {
        self.link.as_ref().is_some_and(Link::is_connected)
    }

    /// What holds on this connection; `None` without one.
    pub fn negotiated(&self) -> Option<&Negotiated> {
        self.link.as_ref().filter(|link| link.is_connected()).map(|link| &link.negotiated)
    }

    /// The version that this session speaks.
    pub fn version(&self) -> Version {
        self.config.version
    }
}

impl Session {
    fn transmit(&mut self, now: Instant, out: &mut WireBuf) -> bool {
        let Some(link) = &mut self.link else { return false };
        let version = self.config.version;
        match &mut link.phase {
            Phase::SendConnect(_) => self.transmit_connect(out),
            Phase::AwaitConnAck(_) => link.transmit_auth(out),
            Phase::Connected => {
                if let Some(closed) = link.answers.write(&link.negotiated, out) {
                    link.receiving.closed(closed);
                    return true;
                }
                link.transmit_auth(out)
                    || self.subscriptions.transmit(&link.negotiated, &mut self.table, &mut self.reports, out)
                    || self.outbound.transmit(now, link, &mut self.table, &mut self.reports, out)
                    || link.transmit_ping(now, out)
            }
            Phase::AwaitClose(last) => {
                link.answers.write(&link.negotiated, out).is_some()
                    || last.take().is_some_and(|last| last.encode(version, out).is_ok())
            }
        }
    }

    #[inline(always)]
    fn take_verdict(&mut self, token: AckToken, mut verdict: Verdict) {
        if !self.config.version.is_v5() {
            verdict.reason = ReasonCode::SUCCESS;
        }
        let link = self.link.as_mut().filter(|link| link.is_connected());
        let link = link.map(|link| (&mut link.receiving, &mut link.answers));
        self.inbound.acknowledge(token, verdict, link, &mut self.reports);
    }

    pub(crate) fn next_token(&mut self) -> Token {
        self.tokens += 1;
        Token(self.tokens)
    }

    fn check_requests(&self) -> Result<(), UsageError> {
        let requests = self.subscriptions.waiting() + self.table.len(Order::Requests);
        if requests < self.config.limits.requests { Ok(()) } else { Err(UsageError::QueueFull) }
    }
}
