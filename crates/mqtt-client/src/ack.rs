//! Acknowledging by hand, and messages that several subscriptions have to answer.

use crate::submissions::Shared;
use crate::sync::Mutex;
use mqtt_session::{AckToken as PacketToken, PropertiesBuf, Property, ReasonCode, UsageError};
use std::sync::Arc;

/// The right and the duty to acknowledge one message, from a [`ManualSubscription`](crate::ManualSubscription).
///
/// It can be moved to any task and used at any time, in any order: acknowledgements leave in the order in which the
/// messages came `[MQTT-4.6.0-2]` `[MQTT-4.6.0-3]`, so one that is missing holds back those behind it, of the same QoS
/// and of every subscription, and with them in the end the server, which sends only so many messages without an
/// acknowledgement ([`receive_maximum`](crate::ConnectBuilder::receive_maximum)).
///
/// Dropping the token leaves the message unacknowledged for as long as this connection lasts. The server sends it again
/// when the session is resumed on the next connection, at QoS 1 only: a message of QoS 2 is never delivered twice, so
/// one whose token is gone stays unanswered until the session ends.
///
/// A token is bound to the connection on which its message came. Later it does nothing at QoS 1, where the message comes
/// again with a token of its own; at QoS 2 it counts as long as the session is resumed. At QoS 0, where there is nothing
/// to acknowledge, it never does anything.
///
/// A message that several subscriptions have received is acknowledged once, when all of them have done so; if one drops
/// its token, it stays unacknowledged. A token does not keep the client alive.
#[derive(Debug)]
#[must_use = "without it the message stays unacknowledged, and those behind it"]
pub struct AckToken {
    /// `None` at QoS 0, and once it was used.
    ack: Option<Ack>,
    shared: Arc<Shared>,
}

impl AckToken {
    pub(crate) fn new(ack: Option<Ack>, shared: &Arc<Shared>) -> Self {
        Self { ack, shared: shared.clone() }
    }

    /// Acknowledges the message: the application has taken it over.
    pub fn ack(mut self) {
        self.answer(ReasonCode::SUCCESS, None);
    }

    /// Acknowledges the message with a reason, and maybe a reason string and user properties for the server's people to
    /// read; 5.0 only. A reason of 0x80 or more refuses the message. The server sends it no more in either case
    /// `[MQTT-4.4.0-2]`.
    ///
    /// A reason that the packet cannot carry becomes 0x80 if it is an error, else 0x00. If several subscriptions have
    /// received the message, the server hears the first refusal, or else the first words.
    ///
    /// # Errors
    ///
    /// Another reason than success, or properties, before 5.0; properties other than these two, or a second reason
    /// string. The token comes back, nothing is acknowledged.
    pub fn ack_with(
        mut self,
        reason: ReasonCode,
        properties: PropertiesBuf,
    ) -> Result<(), (Self, UsageError)> {
        if let Err(error) = self.check(reason, &properties) {
            return Err((self, error));
        }
        self.answer(reason, (!properties.is_empty()).then(|| Box::new(properties)));
        Ok(())
    }

    fn check(&self, reason: ReasonCode, properties: &PropertiesBuf) -> Result<(), UsageError> {
        if let Some(version) = self.shared.version().filter(|version| !version.is_v5()) {
            let option = match (reason, properties.is_empty()) {
                (ReasonCode::SUCCESS, true) => return Ok(()),
                (ReasonCode::SUCCESS, false) => "properties",
                _ => "reason",
            };
            return Err(UsageError::NotInVersion { option, version });
        }
        let misplaced = |property: &Property<'_>| {
            !matches!(property, Property::ReasonString(_) | Property::UserProperty(..))
        };
        match properties.view().iter().find(misplaced) {
            Some(property) => Err(UsageError::PropertyNotAllowed(property.id())),
            None => Ok(()),
        }
    }

    fn answer(&mut self, reason: ReasonCode, properties: Option<Box<PropertiesBuf>>) {
        if let Some(ack) = self.ack.take() {
            self.shared.message_taken(ack.answer(reason, properties), false);
        }
    }
}

impl Drop for AckToken {
    fn drop(&mut self) {
        if let Some(ack) = self.ack.take() {
            ack.withhold();
        }
    }
}

/// The duty to answer a message, or a share in it.
#[derive(Debug)]
pub(crate) enum Ack {
    Sole(PacketToken),
    Shared(Arc<Fan>),
}

/// What the server is to hear about a message.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) token: PacketToken,
    pub(crate) reason: ReasonCode,
    pub(crate) properties: Option<Box<PropertiesBuf>>,
}

/// A message that several have to answer.
#[derive(Debug)]
pub(crate) struct Fan {
    token: PacketToken,
    said: Mutex<Said>,
}

#[derive(Debug)]
struct Said {
    reason: ReasonCode,
    properties: Option<Box<PropertiesBuf>>,
    /// Somebody dropped a token: nobody may acknowledge.
    withheld: bool,
}

impl Ack {
    /// The message was taken. Returns what the server is to hear, if nobody else has still to take it.
    pub(crate) fn take(self) -> Option<Answer> {
        self.answer(ReasonCode::SUCCESS, None)
    }

    /// The message found no room. Whoever else has taken it may have done so with success.
    pub(crate) fn give_up(self) -> Option<Answer> {
        match self {
            Self::Sole(_) => self.answer(ReasonCode::QUOTA_EXCEEDED, None),
            Self::Shared(_) => self.take(),
        }
    }

    fn answer(self, reason: ReasonCode, properties: Option<Box<PropertiesBuf>>) -> Option<Answer> {
        match self {
            Self::Sole(token) => Some(Answer { token, reason, properties }),
            Self::Shared(fan) => {
                fan.say(reason, properties);
                Fan::close(fan)
            }
        }
    }

    /// The message stays without an answer.
    fn withhold(self) {
        if let Self::Shared(fan) = self {
            fan.said.lock().withheld = true;
        }
    }
}

impl Answer {
    pub(crate) fn success(token: PacketToken) -> Self {
        Self { token, reason: ReasonCode::SUCCESS, properties: None }
    }
}

impl Fan {
    pub(crate) fn new(token: PacketToken) -> Arc<Self> {
        let said = Said { reason: ReasonCode::SUCCESS, properties: None, withheld: false };
        Arc::new(Self { token, said: Mutex::new(said) })
    }

    /// One share is given back. The last one brings the answer.
    pub(crate) fn close(self: Arc<Self>) -> Option<Answer> {
        let Self { token, said } = Arc::into_inner(self)?;
        let Said { reason, properties, withheld } = said.into_inner();
        (!withheld).then_some(Answer { token, reason, properties })
    }

    /// The first refusal counts, or else the first words.
    fn say(&self, reason: ReasonCode, properties: Option<Box<PropertiesBuf>>) {
        if reason == ReasonCode::SUCCESS && properties.is_none() {
            return;
        }
        let mut said = self.said.lock();
        let silent = said.reason == ReasonCode::SUCCESS && said.properties.is_none();
        if silent || (reason.is_error() && !said.reason.is_error()) {
            said.reason = reason;
            // What is displaced is plain memory: dropping it under this lock calls nobody.
            said.properties = properties;
        }
    }
}
