//! Acknowledgements on their way out: PUBACK, PUBREC, PUBREL and PUBCOMP, in the order in which they became
//! due.

use alloc::collections::VecDeque;
use mqtt_codec::{Ack, PacketId, PacketType, ReasonCode, Version, WireBuf};

/// More can be due only for a server that sends and does not read: each identifier of each direction has one
/// answer at a time, and a resumed session brings the releases of the last one.
const MAXIMUM: usize = 4 * 65_536;

/// So many leave in one batch.
const BATCH: usize = 512;

/// The queue of one link. It dies with the link: an acknowledgement belongs to the connection of its packet.
#[derive(Debug, Default)]
pub(crate) struct Answers(VecDeque<Answer>);

#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) packet: PacketType,
    pub(crate) id: PacketId,
    pub(crate) reason: ReasonCode,
    /// With this answer a received message no longer counts against our Receive Maximum.
    pub(crate) closes: bool,
}

impl Answers {
    pub(crate) fn push(&mut self, packet: PacketType, id: PacketId, reason: ReasonCode, closes: bool) {
        self.0.push_back(Answer { packet, id, reason, closes });
    }

    pub(crate) fn is_overfull(&self) -> bool {
        self.0.len() > MAXIMUM
    }

    pub(crate) fn clear(&mut self) {
        self.0.clear();
    }

    /// Appends a batch of answers. Says how many messages they close; `None` if nothing was due.
    pub(crate) fn write(&mut self, version: Version, out: &mut WireBuf) -> Option<usize> {
        if self.0.is_empty() {
            return None;
        }
        let batch = self.0.len().min(BATCH);
        let mut closed = 0;
        for Answer { packet, id, reason, closes } in self.0.drain(..batch) {
            closed += usize::from(closes);
            // Before 5.0 an acknowledgement has no reason.
            let reason = if version.is_v5() { reason } else { ReasonCode::SUCCESS };
            // It cannot fail: only reasons that the packet may carry come here.
            let _ = Ack::with_reason(id, reason).encode(packet, version, out);
        }
        Some(closed)
    }
}
