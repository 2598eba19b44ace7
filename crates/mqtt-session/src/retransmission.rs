//! Timed retransmission, before 5.0 only and only if it was asked for `[31-11]`: what the server does not
//! acknowledge is sent again on the connection that stands. 5.0 forbids it `[MQTT-4.4.0-1]`.

use crate::answers::Answers;
use crate::in_flight::{Awaiting, InFlight, Order};
use crate::time::Instant;
use alloc::collections::VecDeque;
use core::time::Duration;
use mqtt_codec::{PacketId, PacketType, ReasonCode};

/// A round takes the configured time divided by this.
const ROUNDS: u32 = 4;

/// The clock of one link. It counts rounds, and each exchange remembers the round in which it last sent
/// something, so that no exchange needs a deadline of its own. What is older than `ROUNDS` whole rounds is
/// sent again: after the configured time, and at most a quarter later.
#[derive(Debug)]
pub(crate) struct Retransmission {
    link: u32,
    /// `None` if nothing is sent again.
    length: Option<Duration>,
    round: u32,
    /// When the round ends. While nothing is unacknowledged nobody looks.
    ends: Instant,
    /// PUBLISHes to send again, in the order of their first sending.
    again: VecDeque<PacketId>,
}

impl Retransmission {
    pub(crate) fn new(link: u32, after: Option<Duration>, now: Instant) -> Self {
        let length = after.map(|after| (after / ROUNDS).max(Duration::from_millis(1)));
        Self { link, length, round: 0, ends: now, again: VecDeque::new() }
    }

    pub(crate) const fn round(&self) -> u32 {
        self.round
    }

    /// The next PUBLISH to send again, if its acknowledgement has not come meanwhile.
    pub(crate) fn next(&mut self) -> Option<PacketId> {
        self.again.pop_front()
    }

    pub(crate) fn poll_timeout(&self, table: &InFlight) -> Option<Instant> {
        let waiting = table.len(Order::Publishes) + table.len(Order::Releases) > 0;
        self.length.filter(|_| waiting).map(|_| self.ends)
    }

    /// Begins a round when its time has come. While bytes wait to be written (`backlog`) nothing is added to
    /// them: what the server has not got it cannot acknowledge.
    pub(crate) fn handle_timeout(
        &mut self,
        now: Instant,
        backlog: usize,
        table: &mut InFlight,
        answers: &mut Answers,
    ) {
        let Some(length) = self.length.filter(|_| self.ends <= now) else { return };
        self.round += 1;
        self.ends = now + length;
        if backlog > 0 || !self.again.is_empty() {
            return;
        }
        let overdue = |round: u32| self.round.saturating_sub(round) > ROUNDS;
        let mut next = table.first(Order::Publishes);
        while let Some(id) = next {
            if let Some(Awaiting::Publish(sent)) = table.get(id)
                && sent.sent_on == Some(self.link)
                && overdue(sent.round)
            {
                self.again.push_back(id);
            }
            next = table.after(id);
        }
        let mut next = table.first(Order::Releases);
        while let Some(id) = next {
            if let Some(Awaiting::PubComp(released)) = table.get_mut(id)
                && overdue(released.round)
            {
                released.round = self.round;
                answers.push(PacketType::PubRel, id, ReasonCode::SUCCESS, false);
            }
            next = table.after(id);
        }
    }
}
