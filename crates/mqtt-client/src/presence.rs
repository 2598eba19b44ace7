//! A client that says when it is there, and whose server says when it is not.

use crate::driver::Driver;
use crate::submissions::Stop;
use bytes::Bytes;
use mqtt_session::{Instant, Message, Outcome, QoS, Token, TopicName, Will};

/// A retained message that tells whether the client is there, see
/// [`ConnectBuilder::presence`](crate::ConnectBuilder::presence).
///
/// `online` is published at each connection, before what waits from before the first one and after what waits from
/// later. `offline` is the will: the server publishes it when the connection ends without a goodbye. Before a goodbye the
/// client publishes it itself; where that cannot leave in time, it goes without one, and lets the server.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Presence {
    topic: TopicName,
    online: Bytes,
    offline: Bytes,
    qos: QoS,
}

impl Presence {
    /// Tells on this topic, by the payloads `online` and `offline`, at QoS 1.
    pub const fn new(topic: TopicName) -> Self {
        Self {
            topic,
            online: Bytes::from_static(b"online"),
            offline: Bytes::from_static(b"offline"),
            qos: QoS::AtLeastOnce,
        }
    }

    /// Tells by these payloads; the second has up to 65,535 bytes. An empty one deletes what the server keeps.
    #[must_use]
    pub fn payloads(mut self, online: impl Into<Bytes>, offline: impl Into<Bytes>) -> Self {
        (self.online, self.offline) = (online.into(), offline.into());
        self
    }

    /// Tells at this QoS.
    #[must_use]
    pub const fn qos(mut self, qos: QoS) -> Self {
        self.qos = qos;
        self
    }

    pub(crate) fn will(&self) -> Will {
        let mut will = Will::new(self.topic.clone(), self.offline.clone());
        (will.qos, will.retain) = (self.qos, true);
        will
    }

    fn message(&self, here: bool) -> Message {
        let payload = if here { &self.online } else { &self.offline };
        let mut message = Message::new(self.topic.clone(), payload.clone());
        (message.qos, message.retain) = (self.qos, true);
        message
    }
}

/// What the client has told on the current connection.
#[derive(Debug, Default)]
pub(crate) struct Told {
    /// The message that tells that it is there.
    online: Option<Token>,
    /// That had to give way in a full queue.
    again: bool,
    offline: bool,
}

impl Driver {
    /// The connection is up.
    pub(crate) fn tell_presence(&mut self, now: Instant) {
        self.told = Told::default();
        if let Some(presence) = &self.plan.presence {
            // Where the server keeps no messages it has refused the will already.
            self.told.online = self.session.publish(now, presence.message(true)).ok();
            if let Some(token) = self.told.online {
                self.tap.publishes(token, || presence.message(true));
            }
        }
    }

    /// A message had its outcome.
    pub(crate) fn note_presence(&mut self, token: Token, outcome: &Outcome) {
        self.told.again |= self.told.online == Some(token) && *outcome == Outcome::Dropped;
    }

    /// Tells it again once there is room.
    pub(crate) fn repeat_presence(&mut self, now: Instant) {
        if self.told.again && self.session.is_connected() && self.session.queued() == 0 {
            self.tell_presence(now);
        }
    }

    /// If the client is about to say goodbye, tells that it will be gone, once. True if that is to be sent.
    pub(crate) fn tell_absence(&mut self, now: Instant) -> bool {
        let leaving = matches!(self.stop, Some(Stop::Disconnect(_) | Stop::Released));
        match &self.plan.presence {
            Some(presence) if leaving && !self.told.offline && self.session.is_connected() => {
                self.told.offline = true;
                let token = self.session.publish(now, presence.message(false)).ok();
                if let Some(token) = token {
                    self.tap.publishes(token, || presence.message(false));
                }
                token.is_some()
            }
            _ => false,
        }
    }

    /// Whether a goodbye would be a lie: nobody would hear that the client is gone.
    pub(crate) fn leaves_unheard(&self) -> bool {
        self.told.offline && self.session.queued() > 0
    }
}
