//! Acknowledgements on their way out: PUBACK, PUBREC, PUBREL and PUBCOMP, in the order in which they became
//! due.

use crate::negotiated::Negotiated;
use alloc::boxed::Box;
use alloc::collections::VecDeque;
use mqtt_codec::{Ack, PacketId, PacketType, PropertiesBuf, ReasonCode, WireBuf};

/// More can be due only for a server that sends and does not read: each identifier of each direction has one
/// answer at a time, and a resumed session brings the releases of the last one.
const MAXIMUM: usize = 4 * 65_536;

/// So many leave in one batch.
const BATCH: usize = 512;

/// The queue of one link. It dies with the link: an acknowledgement belongs to the connection of its packet.
#[derive(Debug, Default)]
pub(crate) struct Answers(VecDeque<Answer>);

/// What the application says to a message.
#[derive(Debug)]
pub(crate) struct Verdict {
    pub(crate) reason: ReasonCode,
    /// Rare, hence the box.
    pub(crate) properties: Option<Box<PropertiesBuf>>,
}

#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) packet: PacketType,
    pub(crate) id: PacketId,
    pub(crate) reason: ReasonCode,
    /// Reason string and user properties, if the application gave any.
    pub(crate) properties: Option<Box<PropertiesBuf>>,
    /// With this answer a received message no longer counts against our Receive Maximum.
    pub(crate) closes: bool,
}

impl Answers {
    pub(crate) fn push(&mut self, packet: PacketType, id: PacketId, reason: ReasonCode, closes: bool) {
        self.0.push_back(Answer { packet, id, reason, properties: None, closes });
    }

    /// The answer to a message, as the application gave it.
    #[inline(always)]
    pub(crate) fn push_verdict(&mut self, packet: PacketType, id: PacketId, verdict: Verdict, closes: bool) {
        let Verdict { reason, properties } = verdict;
        self.0.push_back(Answer { packet, id, reason, properties, closes });
    }

    pub(crate) fn is_overfull(&self) -> bool {
        self.0.len() > MAXIMUM
    }

    pub(crate) fn clear(&mut self) {
        self.0.clear();
    }

    /// Appends a batch of answers. Says how many messages they close; `None` if nothing was due.
    #[inline]
    pub(crate) fn write(&mut self, negotiated: &Negotiated, out: &mut WireBuf) -> Option<usize> {
        if self.0.is_empty() { None } else { Some(self.write_some(negotiated, out)) }
    }

    fn write_some(&mut self, negotiated: &Negotiated, out: &mut WireBuf) -> usize {
        let batch = self.0.len().min(BATCH);
        let version = negotiated.version;
        let mut closed = 0;
        for Answer { packet, id, reason, properties, closes } in self.0.drain(..batch) {
            closed += usize::from(closes);
            // Before 5.0 an acknowledgement has no reason.
            let reason = if version.is_v5() { reason } else { ReasonCode::SUCCESS };
            let ack = match properties {
                None => Ack::with_reason(id, reason),
                Some(properties) => with_properties(id, reason, *properties, negotiated),
            };
            // It cannot fail: only what the packet may carry comes here.
            let _ = ack.encode(packet, version, out);
        }
        closed
    }
}

/// What would make it too large for the server is left out `[MQTT-3.4.2-2]` `[MQTT-3.4.2-3]` `[MQTT-3.5.2-2]`
/// `[MQTT-3.5.2-3]`.
#[cold]
fn with_properties(
    id: PacketId,
    reason: ReasonCode,
    properties: PropertiesBuf,
    negotiated: &Negotiated,
) -> Ack {
    let ack = Ack { id, reason, properties };
    match negotiated.check_size(ack.encoded_len(negotiated.version)) {
        Ok(()) => ack,
        Err(_) => Ack::with_reason(id, reason),
    }
}
