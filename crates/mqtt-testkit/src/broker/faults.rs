//! What the broker does wrong on purpose.

use core::time::Duration;
use mqtt_codec::{PacketType, ReasonCode, Sender, TopicFilter};
use std::sync::{Mutex, MutexGuard, PoisonError};
use tokio::sync::watch;

/// A direction of a connection.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Direction {
    /// What the client sends.
    FromClient,
    /// What the broker sends.
    ToClient,
}

/// Which connections a fault meets, among those that are accepted after it was set.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Connections {
    /// The next one.
    Next,
    /// So many, beginning with the next one.
    NextN(u32),
    /// All of them, until [`Faults::clear`].
    All,
}

/// The faults of a broker. Faults of a connection are set before it is accepted; where several of one kind wait, each
/// connection takes the oldest.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> std::io::Result<()> {
/// use mqtt_codec::PacketType;
/// use mqtt_testkit::broker::{Broker, Connections, Direction};
///
/// let broker = Broker::start().await?;
/// broker.faults().cut_after(Direction::FromClient, 100, Connections::Next);
/// broker.faults().swallow(PacketType::PubAck, 3); // the third PUBACK from now on is never sent
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct Faults {
    rules: Mutex<Rules>,
    frozen: watch::Sender<bool>,
}

#[derive(Debug, Default)]
struct Rules {
    connections: Vec<ConnectionRule>,
    acks: Vec<AckRule>,
    rejected_publishes: Vec<(TopicFilter, ReasonCode)>,
    rejected_subscriptions: Vec<(TopicFilter, ReasonCode)>,
}

#[derive(Debug)]
struct ConnectionRule {
    fault: ConnectionFault,
    /// Connections that it still meets; `None` for all.
    left: Option<u32>,
}

#[derive(Clone, Copy, Debug)]
enum ConnectionFault {
    Cut(Direction, u64),
    Refuse(ReasonCode),
    Silent,
    CloseAfterConnAck,
}

#[derive(Debug)]
struct AckRule {
    packet: PacketType,
    /// Acknowledgements of this type until it is the one.
    countdown: u32,
    fate: AckFate,
}

/// What becomes of an acknowledgement that the broker is about to send.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum AckFate {
    Send,
    Swallow,
    Delay(Duration),
}

/// The faults that one connection has met.
#[derive(Clone, Copy, Debug)]
pub(super) struct Plan {
    /// Bytes to read before the link is cut.
    pub(super) read_limit: u64,
    /// Bytes to write before the link is cut.
    pub(super) write_limit: u64,
    pub(super) refuse: Option<ReasonCode>,
    pub(super) silent: bool,
    pub(super) close_after_connack: bool,
}

impl Faults {
    pub(super) fn new() -> Self {
        Self { rules: Mutex::default(), frozen: watch::Sender::new(false) }
    }

    /// Cuts the link when so many bytes have passed in one direction, counted from the start of the connection.
    ///
    /// `FromClient`: the broker takes exactly these bytes, does what the whole packets among them ask for, and closes
    /// without answering the last of them. `ToClient`: the client gets exactly these bytes, then the end of the stream.
    pub fn cut_after(&self, direction: Direction, bytes: u64, which: Connections) {
        self.add(ConnectionFault::Cut(direction, bytes), which);
    }

    /// Answers CONNECT with a CONNACK of this code and closes. Before 5.0 a code that has no return code there becomes
    /// 3, server unavailable.
    ///
    /// # Panics
    ///
    /// If no server may send this code in CONNACK, or it is a success.
    pub fn refuse(&self, reason: ReasonCode, which: Connections) {
        check_refusal(reason, PacketType::ConnAck);
        self.add(ConnectionFault::Refuse(reason), which);
    }

    /// Accepts the connection and reads what comes, but never answers.
    pub fn silent(&self, which: Connections) {
        self.add(ConnectionFault::Silent, which);
    }

    /// Closes the connection behind the CONNACK.
    pub fn close_after_connack(&self, which: Connections) {
        self.add(ConnectionFault::CloseAfterConnAck, which);
    }

    /// Does not send the `nth` acknowledgement of this type, counted from this call over all connections, the first
    /// being 1. The broker goes on as if it had sent it.
    ///
    /// # Panics
    ///
    /// If `nth` is 0, or the type is no acknowledgement: use PUBACK, PUBREC, PUBREL, PUBCOMP, SUBACK, UNSUBACK or
    /// PINGRESP. A CONNACK is kept back by [`silent`](Self::silent).
    pub fn swallow(&self, packet: PacketType, nth: u32) {
        self.add_ack(packet, nth, AckFate::Swallow);
    }

    /// Sends the `nth` acknowledgement of this type late; others overtake it meanwhile. It is not sent any more if the
    /// connection ends before. Counted as in [`swallow`](Self::swallow).
    ///
    /// # Panics
    ///
    /// As [`swallow`](Self::swallow).
    pub fn delay(&self, packet: PacketType, nth: u32, by: Duration) {
        self.add_ack(packet, nth, AckFate::Delay(by));
    }

    /// Refuses every PUBLISH to these topics, until [`clear`](Self::clear): it is not passed on, and PUBACK or PUBREC
    /// bring this code. Before 5.0 it is acknowledged as if all were well: there is no other answer.
    ///
    /// # Panics
    ///
    /// If the filter is none, or no server may send this code in PUBACK, or it is a success.
    pub fn reject_publish(&self, filter: &str, reason: ReasonCode) {
        check_refusal(reason, PacketType::PubAck);
        self.rules().rejected_publishes.push((topic_filter(filter), reason));
    }

    /// Refuses every subscription to exactly this filter with this code, until [`clear`](Self::clear). In 3.1.1 the
    /// code becomes 0x80; in 3.1, which has no refusal, the connection is closed.
    ///
    /// # Panics
    ///
    /// If the filter is none, or no server may send this code in SUBACK, or it is a success.
    pub fn reject_subscription(&self, filter: &str, reason: ReasonCode) {
        check_refusal(reason, PacketType::SubAck);
        self.rules().rejected_subscriptions.push((topic_filter(filter), reason));
    }

    /// While true, no connection is read or written, and no keep alive is checked: the links are half open. New ones
    /// are accepted and treated the same.
    pub fn freeze(&self, frozen: bool) {
        self.frozen.send_replace(frozen);
    }

    /// Ends every fault that was set and thaws. Connections that have met theirs keep it.
    pub fn clear(&self) {
        *self.rules() = Rules::default();
        self.freeze(false);
    }

    /// What the connection that has just been accepted meets.
    pub(super) fn plan(&self) -> Plan {
        let mut plan = Plan {
            read_limit: u64::MAX,
            write_limit: u64::MAX,
            refuse: None,
            silent: false,
            close_after_connack: false,
        };
        let mut rules = self.rules();
        for rule in &mut rules.connections {
            if plan.take(rule.fault)
                && let Some(left) = &mut rule.left
            {
                *left -= 1;
            }
        }
        rules.connections.retain(|rule| rule.left != Some(0));
        plan
    }

    pub(super) fn ack_fate(&self, packet: PacketType) -> AckFate {
        let mut rules = self.rules();
        let mut fate = AckFate::Send;
        for rule in rules.acks.iter_mut().filter(|rule| rule.packet == packet) {
            rule.countdown -= 1;
            if rule.countdown == 0 {
                fate = rule.fate;
            }
        }
        rules.acks.retain(|rule| rule.countdown > 0);
        fate
    }

    pub(super) fn publish_rejection(&self, topic: &str) -> Option<ReasonCode> {
        let rules = self.rules();
        rules.rejected_publishes.iter().find(|(filter, _)| filter.matches(topic)).map(|(_, reason)| *reason)
    }

    pub(super) fn subscription_rejection(&self, asked: &TopicFilter) -> Option<ReasonCode> {
        let rules = self.rules();
        rules.rejected_subscriptions.iter().find(|(filter, _)| filter == asked).map(|(_, reason)| *reason)
    }

    pub(super) fn watch_frozen(&self) -> watch::Receiver<bool> {
        self.frozen.subscribe()
    }

    fn add(&self, fault: ConnectionFault, which: Connections) {
        let left = match which {
            Connections::Next => Some(1),
            Connections::NextN(count) => Some(count),
            Connections::All => None,
        };
        if left != Some(0) {
            self.rules().connections.push(ConnectionRule { fault, left });
        }
    }

    fn add_ack(&self, packet: PacketType, nth: u32, fate: AckFate) {
        use PacketType::{PingResp, PubAck, PubComp, PubRec, PubRel, SubAck, UnsubAck};
        assert!(
            matches!(packet, PubAck | PubRec | PubRel | PubComp | SubAck | UnsubAck | PingResp),
            "{packet} is no acknowledgement that the broker sends"
        );
        assert!(nth > 0, "acknowledgements are counted from 1");
        self.rules().acks.push(AckRule { packet, countdown: nth, fate });
    }

    fn rules(&self) -> MutexGuard<'_, Rules> {
        self.rules.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Plan {
    /// Takes on a fault unless one of its kind is there already.
    fn take(&mut self, fault: ConnectionFault) -> bool {
        match fault {
            ConnectionFault::Cut(Direction::FromClient, bytes) if self.read_limit == u64::MAX => {
                self.read_limit = bytes;
            }
            ConnectionFault::Cut(Direction::ToClient, bytes) if self.write_limit == u64::MAX => {
                self.write_limit = bytes;
            }
            ConnectionFault::Refuse(reason) if self.refuse.is_none() => self.refuse = Some(reason),
            ConnectionFault::Silent if !self.silent => self.silent = true,
            ConnectionFault::CloseAfterConnAck if !self.close_after_connack => {
                self.close_after_connack = true
            }
            _ => return false,
        }
        true
    }
}

fn topic_filter(filter: &str) -> TopicFilter {
    TopicFilter::try_from(filter).unwrap_or_else(|error| panic!("{filter:?}: {error}"))
}

fn check_refusal(reason: ReasonCode, packet: PacketType) {
    let allowed = reason.is_error() && reason.is_allowed_in(packet, Some(Sender::Server));
    assert!(allowed, "{reason} is no refusal that a server sends in {packet}");
}
