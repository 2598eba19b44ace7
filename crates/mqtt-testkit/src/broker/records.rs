//! What a broker remembers for the test that runs it.

use super::faults::Direction;
use super::message::Message;
use super::subscriptions::Subscription;
use crate::text;
use core::fmt;
use mqtt_codec::{Packet, PacketType, SubscriptionOptions, Text, TopicFilter, Version};
use std::sync::Arc;

#[derive(Debug, Default)]
pub(super) struct Records {
    /// The messages accepted, unless they are counted only.
    pub(super) received: Option<Vec<Arc<Message>>>,
    pub(super) received_count: u64,
    pub(super) wills: Vec<Arc<Message>>,
    pub(super) connections: u64,
    /// Every packet, if that was asked for.
    pub(super) trace: Option<Vec<TraceEntry>>,
    from_client: [u64; 16],
    to_client: [u64; 16],
}

impl Records {
    pub(super) fn new(keep_messages: bool, keep_packets: bool) -> Self {
        let received = keep_messages.then(Vec::new);
        Self { received, trace: keep_packets.then(Vec::new), ..Self::default() }
    }

    pub(super) fn add_received(&mut self, message: &Arc<Message>) {
        self.received_count += 1;
        if let Some(received) = &mut self.received {
            received.push(message.clone());
        }
    }

    /// Counts a packet, and keeps it if packets are kept.
    pub(super) fn add(
        &mut self,
        connection: u64,
        direction: Direction,
        packet_type: PacketType,
        packet: impl FnOnce() -> Option<Packet>,
    ) {
        let counts = match direction {
            Direction::FromClient => &mut self.from_client,
            Direction::ToClient => &mut self.to_client,
        };
        counts[packet_type as usize] += 1;
        if let Some(trace) = &mut self.trace {
            trace.extend(packet().map(|packet| TraceEntry { connection, direction, packet }));
        }
    }

    pub(super) const fn packets(&self, direction: Direction, packet: PacketType) -> u64 {
        match direction {
            Direction::FromClient => self.from_client[packet as usize],
            Direction::ToClient => self.to_client[packet as usize],
        }
    }
}

/// A packet that passed, see [`Broker::trace`](super::Broker::trace). Displays as a line of a play.
#[derive(Clone, Debug)]
pub struct TraceEntry {
    /// The connection's number; connections are counted from 1.
    pub connection: u64,
    /// Who sent it.
    pub direction: Direction,
    /// The packet.
    pub packet: Packet,
}

impl fmt::Display for TraceEntry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let arrow = match self.direction {
            Direction::FromClient => "client ->",
            Direction::ToClient => "       <- broker",
        };
        write!(f, "#{} {arrow:16} {}", self.connection, text::line(&self.packet))
    }
}

/// What a session holds, at the moment of asking.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SessionInfo {
    /// The client identifier.
    pub client_id: Text,
    /// Whether the client is connected.
    pub connected: bool,
    /// The version of its last connection.
    pub version: Version,
    /// Seconds that the session outlives the connection; `u32::MAX` for ever.
    pub expiry: u32,
    /// Its subscriptions, in the order in which they were made.
    pub subscriptions: Vec<SubscriptionInfo>,
    /// Messages that wait to be sent.
    pub queued: usize,
    /// Messages of QoS 1 and 2 that were sent and are not acknowledged to the end.
    pub in_flight: usize,
    /// QoS 2 messages of the client that were accepted and whose PUBREL has not come.
    pub awaiting_pubrel: usize,
}

/// A subscription of a session.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SubscriptionInfo {
    /// The whole filter, with `$share/NAME/` if it is shared.
    pub filter: TopicFilter,
    /// Its options, with the QoS that was granted.
    pub options: SubscriptionOptions,
    /// Its identifier.
    pub identifier: Option<u32>,
}

impl From<&Subscription> for SubscriptionInfo {
    fn from(subscription: &Subscription) -> Self {
        let Subscription { filter, options, identifier } = subscription.clone();
        Self { filter, options, identifier }
    }
}
