//! How the model broker answers CONNECT.

use super::choices::Choices;
use super::server::{Server, Session};
use crate::packets::{connack, disconnect, refusal};
use bytes::BytesMut;
use mqtt_codec::{ConnAck, Connect, PropertiesBuf, QoS, ReasonCode, Version};
use mqtt_session::Instant;

/// What the server allows on a connection. `None`: it does not say.
#[derive(Debug, Default)]
pub(super) struct Limits {
    pub(super) receive_maximum: Option<u16>,
    pub(super) maximum_packet_size: Option<u32>,
    pub(super) topic_alias_maximum: Option<u16>,
    pub(super) maximum_qos: Option<QoS>,
    no_retain: bool,
    no_wildcards: bool,
    keep_alive: Option<u16>,
    session_expiry: Option<u32>,
}

impl Limits {
    fn random(choices: &mut Choices<'_>) -> Self {
        Self {
            receive_maximum: choices.one_of(&[None, Some(1), Some(2), Some(5), Some(20)]),
            maximum_packet_size: choices.one_of(&[None, None, None, Some(30), Some(70), Some(500)]),
            topic_alias_maximum: choices.one_of(&[None, Some(1), Some(2), Some(10)]),
            maximum_qos: choices.one_of(&[
                None,
                None,
                None,
                None,
                Some(QoS::AtLeastOnce),
                Some(QoS::AtMostOnce),
            ]),
            no_retain: choices.percent(15),
            no_wildcards: choices.percent(15),
            keep_alive: choices.one_of(&[None, None, Some(0), Some(2), Some(60)]),
            session_expiry: choices.one_of(&[None, None, None, Some(0), Some(3), Some(100)]),
        }
    }

    fn properties(&self) -> PropertiesBuf {
        let mut block = PropertiesBuf::builder();
        if let Some(maximum) = self.receive_maximum {
            block = block.receive_maximum(maximum);
        }
        if let Some(bytes) = self.maximum_packet_size {
            block = block.maximum_packet_size(bytes);
        }
        if let Some(maximum) = self.topic_alias_maximum {
            block = block.topic_alias_maximum(maximum);
        }
        if let Some(qos) = self.maximum_qos {
            block = block.maximum_qos(qos);
        }
        if self.no_retain {
            block = block.retain_available(false);
        }
        if self.no_wildcards {
            block = block.wildcard_subscription_available(false);
        }
        if let Some(seconds) = self.keep_alive {
            block = block.server_keep_alive(seconds);
        }
        if let Some(seconds) = self.session_expiry {
            block = block.session_expiry_interval(seconds);
        }
        block.build().unwrap_or_default()
    }
}

/// The server's mood when CONNECT comes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Mood {
    Friendly,
    Refuses,
    Silent,
    Closes,
    ClosesBehindConnAck,
    SaysGoodbye,
}

impl Mood {
    pub(super) fn random(choices: &mut Choices<'_>) -> Self {
        let friendly = Self::Friendly;
        choices.one_of(&[
            friendly,
            friendly,
            friendly,
            friendly,
            Self::Refuses,
            Self::Silent,
            Self::Closes,
            Self::ClosesBehindConnAck,
            Self::SaysGoodbye,
        ])
    }
}

impl Server {
    /// CONNECT came. Says whether the server closes the connection.
    pub(super) fn greet(
        &mut self,
        now: Instant,
        connect: &Connect,
        mood: Mood,
        limited: bool,
        choices: &mut Choices<'_>,
        down: &mut BytesMut,
    ) -> bool {
        match mood {
            Mood::Refuses => {
                self.say(refusal(ReasonCode::SERVER_UNAVAILABLE), down);
                return true;
            }
            Mood::Closes => return true,
            Mood::Silent => return false,
            Mood::SaysGoodbye if self.version.is_v5() => {
                self.say(disconnect(ReasonCode::SERVER_BUSY), down);
                return true;
            }
            _ => {}
        }
        let gone = |session: &Session| session.ends.is_some_and(|ends| ends <= now);
        // A client without a name has no session, and gets a new name.
        if connect.clean_start || connect.client_id.is_empty() || self.session.as_ref().is_some_and(gone) {
            self.forget();
        }
        let present = self.session.is_some();
        if !present {
            self.sessions += 1;
            self.session = Some(Session { number: self.sessions, ..Session::default() });
        }
        let says = connect.properties.view();
        let limits =
            if limited && self.version.is_v5() { Limits::random(choices) } else { Limits::default() };
        let mut properties = limits.properties();
        if connect.client_id.is_empty() && self.version.is_v5() {
            // Only the name, which is what such a run is about.
            let name = format!("nameless-{}", self.sessions);
            properties =
                PropertiesBuf::builder().assigned_client_identifier(&name).build().unwrap_or_default();
        }
        let limits = if connect.client_id.is_empty() { Limits::default() } else { limits };
        if let Some(session) = &mut self.session {
            session.ends = None;
            session.expiry = match self.version {
                Version::V5 => limits.session_expiry.or_else(|| says.session_expiry_interval()).unwrap_or(0),
                _ if connect.clean_start => 0,
                _ => u32::MAX,
            };
        }
        if let Some(conversation) = &mut self.conversation {
            conversation.open = true;
            conversation.fresh = !present;
            conversation.limits = limits;
            conversation.receive_maximum = says.receive_maximum().unwrap_or(u16::MAX).into();
            conversation.alias_maximum = says.topic_alias_maximum().unwrap_or(0);
        }
        let session_present = present && self.version != Version::V3_1;
        self.say(ConnAck { session_present, properties, ..connack() }, down);
        self.serve_again(down);
        mood == Mood::ClosesBehindConnAck
    }
}
