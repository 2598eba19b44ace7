//! How much may be under way on one link, and what of an earlier link is still to be sent again.

use crate::answers::Answers;
use crate::in_flight::{Awaiting, InFlight, Order};
use mqtt_codec::{PacketId, PacketType, ReasonCode};

/// What dies with the link: how many exchanges the server has open, and what is still to be sent again.
#[derive(Debug)]
pub(crate) struct Window {
    pub(crate) link: u32,
    /// The server's Receive Maximum, or our own limit `[MQTT-4.9.0-1]`.
    pub(crate) maximum: usize,
    /// Exchanges begun or resumed on this link and not ended `[MQTT-3.3.4-7]`.
    pub(crate) open: usize,
    /// The next PUBLISH to send again.
    pub(crate) resend: Option<PacketId>,
}

impl Window {
    pub(crate) const fn new(link: u32) -> Self {
        Self { link, maximum: 0, open: 0, resend: None }
    }

    /// The server is ready for so many.
    pub(crate) fn set_maximum(&mut self, maximum: u16) {
        self.maximum = usize::from(maximum);
    }

    /// Sends again what the last connection left: PUBLISHes in the order of their first sending, as far as
    /// the window allows, and before any new one `[MQTT-4.6.0-1]`; PUBRELs at once, in the order of the
    /// PUBRECs `[MQTT-4.6.0-4]`.
    pub(crate) fn resume(&mut self, table: &mut InFlight, answers: &mut Answers) {
        self.resend = table.first(Order::Publishes);
        self.open = table.len(Order::Releases);
        let mut release = table.first(Order::Releases);
        while let Some(id) = release {
            if let Some(Awaiting::PubComp(released)) = table.get_mut(id) {
                released.round = 0;
            }
            answers.push(PacketType::PubRel, id, ReasonCode::SUCCESS, false);
            release = table.after(id);
        }
    }

    /// An exchange that waited for PUBACK or PUBREC makes a step: it no longer waits to be sent again.
    pub(crate) fn take(&mut self, id: PacketId, table: &InFlight) {
        if self.resend == Some(id) {
            self.resend = table.after(id);
        }
    }

    pub(crate) const fn close_one(&mut self) {
        self.open = self.open.saturating_sub(1);
    }
}
