//! All that dies with the transport: the handshake, limits, aliases, the window, keep alive, the decoder.
//! Each [`handle_open`](crate::Session::handle_open) makes a new one; nothing of the last survives in it.

use crate::alias::{AliasError, ReceivingAliases, SendingAliases};
use crate::answers::Answers;
use crate::config::Config;
use crate::error::ProtocolError;
use crate::event::{Outcome, Token};
use crate::in_flight::InFlight;
use crate::inbound::Receiving;
use crate::keep_alive::KeepAlive;
use crate::negotiated::Negotiated;
use crate::retransmission::Retransmission;
use crate::store::Reports;
use crate::time::{Instant, earlier};
use crate::window::Window;
use alloc::collections::VecDeque;
use mqtt_codec::{
    Auth, Decoder, Disconnect, MAX_PACKET_SIZE, Packet, Properties, Publish, Text, TopicName, WireBuf,
};

/// One connection.
#[derive(Debug)]
pub(crate) struct Link {
    /// Counts the links of the session, from 1.
    pub(crate) number: u32,
    pub(crate) phase: Phase,
    pub(crate) decoder: Decoder,
    /// What CONNECT said.
    pub(crate) clean_start: bool,
    /// There is a session to resume, if the server has it too; after CONNACK, it has.
    pub(crate) resumed: bool,
    /// CONNACK has come and accepted.
    pub(crate) accepted: bool,
    /// What holds; before CONNACK, what would hold if it said nothing.
    pub(crate) negotiated: Negotiated,
    pub(crate) keep_alive: KeepAlive,
    pub(crate) answers: Answers,
    pub(crate) window: Window,
    pub(crate) retransmission: Retransmission,
    pub(crate) receiving: Receiving,
    pub(crate) aliases: SendingAliases,
    pub(crate) received_aliases: ReceivingAliases,
    pub(crate) authentication: Authentication,
    pub(crate) output: Output,
}

/// How far the connection is. Each phase is named for what it waits for.
#[derive(Debug)]
pub(crate) enum Phase {
    /// CONNECT is to be sent, and CONNACK to come by then.
    SendConnect(Instant),
    /// CONNACK is to come by then.
    AwaitConnAck(Instant),
    /// Nothing in particular: the connection is up.
    Connected,
    /// The end: a last packet may be left to send, then the transport is to be closed.
    AwaitClose(Option<Disconnect>),
}

/// Enhanced authentication, section 4.12.
#[derive(Debug, Default)]
pub(crate) struct Authentication {
    /// AUTH packets to send.
    pub(crate) waiting: VecDeque<Auth>,
    /// A re-authentication has begun and not ended.
    pub(crate) again: bool,
}

/// What was handed out and what of it was written to the transport, in bytes since the link opened.
#[derive(Debug, Default)]
pub(crate) struct Output {
    /// Where the buffer begins that is being filled, if what was handed out before came directly before it.
    buffer: u64,
    handed_out: u64,
    written: u64,
    /// QoS 0 messages that were not written to the end.
    following: VecDeque<Followed>,
}

#[derive(Debug)]
struct Followed {
    token: Token,
    start: u64,
    end: u64,
}

impl Link {
    pub(crate) fn new(
        number: u32,
        config: &Config,
        client_id: Text,
        clean_start: bool,
        resumed: bool,
        now: Instant,
    ) -> Self {
        let receive_maximum = if config.version.is_v5() { config.receive_maximum } else { u16::MAX };
        Self {
            number,
            phase: Phase::SendConnect(now + config.connect_timeout),
            decoder: Decoder::new(config.version)
                .from_server_only()
                .max_packet_size(config.maximum_packet_size.unwrap_or(MAX_PACKET_SIZE)),
            clean_start,
            resumed,
            accepted: false,
            negotiated: Negotiated::new(config, client_id, clean_start, Properties::EMPTY),
            // It keeps quiet until CONNACK has come.
            keep_alive: KeepAlive::new(0, config.ping_timeout, now),
            answers: Answers::default(),
            window: Window::new(number),
            retransmission: Retransmission::new(number, config.retransmit_after, now),
            receiving: Receiving::new(number, receive_maximum),
            aliases: SendingAliases::default(),
            received_aliases: ReceivingAliases::new(config.topic_alias_maximum),
            authentication: Authentication::default(),
            output: Output::default(),
        }
    }

    /// CONNACK has come: its limits hold from now on.
    pub(crate) fn connected(&mut self, negotiated: Negotiated, config: &Config) {
        self.keep_alive.set_interval(negotiated.keep_alive);
        self.window.set_maximum(config.limits.window(negotiated.receive_maximum, config.version));
        self.aliases = SendingAliases::new(negotiated.topic_alias_maximum.min(config.limits.topic_aliases));
        self.negotiated = negotiated;
        self.accepted = true;
        self.phase = Phase::Connected;
    }

    pub(crate) const fn is_connected(&self) -> bool {
        matches!(self.phase, Phase::Connected)
    }

    pub(crate) const fn is_over(&self) -> bool {
        matches!(self.phase, Phase::AwaitClose(_))
    }

    /// The topic of a received PUBLISH, with its alias resolved or remembered.
    #[inline(always)]
    pub(crate) fn resolve_topic(&mut self, publish: &Publish) -> Result<TopicName, ProtocolError> {
        match publish.topic_alias() {
            Some(alias) => self.resolve_alias(alias, publish),
            None => publish.topic_name().ok_or(ProtocolError::TopicAliasUnknown(0)),
        }
    }

    #[inline(never)]
    fn resolve_alias(&mut self, alias: u16, publish: &Publish) -> Result<TopicName, ProtocolError> {
        self.received_aliases.resolve(alias, publish.topic_name()).map_err(|error| match error {
            AliasError::AboveMaximum => ProtocolError::TopicAliasInvalid(alias),
            AliasError::Unknown => ProtocolError::TopicAliasUnknown(alias),
        })
    }

    /// Breaks the silence. Behind bytes that wait to be written a ping is not needed, or of no use: if they
    /// do not move, the deadline of the answer runs all the same.
    pub(crate) fn transmit_ping(&mut self, now: Instant, out: &mut WireBuf) -> bool {
        if !self.keep_alive.ping_due() || self.output.backlog() > 0 {
            return false;
        }
        let before = out.len();
        let wrote = Packet::PingReq.encode(self.negotiated.version, out).is_ok();
        self.keep_alive.ping_staged(now, out.len() - before);
        wrote
    }

    pub(crate) fn poll_timeout(&self, table: &InFlight) -> Option<Instant> {
        match self.phase {
            Phase::SendConnect(deadline) | Phase::AwaitConnAck(deadline) => {
                earlier(Some(deadline), self.keep_alive.poll_timeout())
            }
            Phase::Connected => {
                earlier(self.keep_alive.poll_timeout(), self.retransmission.poll_timeout(table))
            }
            Phase::AwaitClose(_) => None,
        }
    }
}

impl Output {
    /// What is written behind so many bytes of the driver's buffer is about to be handed out.
    pub(crate) const fn begin(&mut self, behind: usize) {
        self.buffer = self.handed_out.wrapping_sub(behind as u64);
    }

    /// The buffer has so many bytes now.
    pub(crate) const fn hand_out(&mut self, len: usize) {
        self.handed_out = self.buffer.wrapping_add(len as u64);
    }

    /// The packet between these two places of the buffer is a QoS 0 message, which is sent once it is
    /// written.
    pub(crate) fn follow(&mut self, token: Token, start: usize, end: usize) {
        let [start, end] = [start, end].map(|place| self.buffer.wrapping_add(place as u64));
        self.following.push_back(Followed { token, start, end });
    }

    /// Bytes handed out and not written.
    pub(crate) fn backlog(&self) -> usize {
        usize::try_from(self.handed_out.saturating_sub(self.written)).unwrap_or(usize::MAX)
    }

    /// So many bytes were written.
    pub(crate) fn transmitted(&mut self, bytes: usize, reports: &mut Reports) {
        self.written = self.written.saturating_add(bytes as u64);
        while let Some(followed) = self.following.front()
            && followed.end <= self.written
        {
            reports.complete(followed.token, Outcome::Sent);
            self.following.pop_front();
        }
    }

    /// The transport is gone: a message of which a byte was written may have arrived.
    pub(crate) fn close(&mut self, reports: &mut Reports) {
        for Followed { token, start, .. } in self.following.drain(..) {
            reports.complete(token, if start < self.written { Outcome::Unknown } else { Outcome::NotSent });
        }
    }
}
