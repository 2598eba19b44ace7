//! From CONNECT to CONNACK, what becomes of the session, and authentication before and after.

use crate::config::CleanStart;
use crate::error::{End, ProtocolError, UsageError};
use crate::event::{Connected, Event};
use crate::link::{Link, Phase};
use crate::negotiated::Negotiated;
use crate::session::Session;
use mqtt_codec::{Auth, ConnAck, Packet, PacketType, ReasonCode, Version, WireBuf};

/// No acknowledgement is longer, unless it has properties.
const LONGEST_ACK: u32 = 5;

impl Session {
    /// What the next CONNECT asks for; `expired` if the session of the last connection has ended since.
    pub(crate) fn wants_clean_start(&self, expired: bool) -> bool {
        let wanted = match self.config.clean_start {
            CleanStart::Always => true,
            CleanStart::FirstOnly => !self.established,
            CleanStart::Never => false,
        };
        // When the server's session has ended ours is to end too; saying so leaves no doubt about whose clock
        // is right.
        wanted || (self.config.version.is_v5() && expired)
    }

    /// CONNECT is the first packet, and there is one `[MQTT-3.1.0-1]` `[MQTT-3.1.0-2]`.
    pub(crate) fn transmit_connect(&mut self, out: &mut WireBuf) -> bool {
        let Some(link) = &mut self.link else { return false };
        let Phase::SendConnect(deadline) = link.phase else { return false };
        let Ok(connect) = self.config.connect(self.client_id.clone(), link.clean_start) else { return false };
        if connect.encode(self.config.version, out).is_err() {
            return false;
        }
        link.phase = Phase::AwaitConnAck(deadline);
        true
    }

    /// What may come before the connection is up: CONNACK and AUTH `[MQTT-3.2.0-1]`, or a goodbye.
    pub(crate) fn handle_handshake(&mut self, packet: Packet) -> Result<(), ProtocolError> {
        let waits = self.link.as_ref().is_some_and(|link| matches!(link.phase, Phase::AwaitConnAck(_)));
        match packet {
            Packet::ConnAck(connack) if waits => self.handle_connack(*connack),
            // The only step there is before CONNACK `[MQTT-4.12.0-2]`.
            Packet::Auth(auth) if waits && auth.reason == ReasonCode::CONTINUE_AUTHENTICATION => {
                self.challenge(auth)
            }
            // The server should not `[MQTT-3.14.0-1]`, but what it says is worth more than that it says so.
            Packet::Disconnect(disconnect) if waits => {
                self.end(End::ServerDisconnect(disconnect), None);
                Ok(())
            }
            other => Err(ProtocolError::Unexpected(other.packet_type())),
        }
    }

    fn handle_connack(&mut self, connack: ConnAck) -> Result<(), ProtocolError> {
        let ConnAck { session_present, reason, properties } = connack;
        if reason.is_error() {
            // The connection is over, whoever closes it first `[MQTT-3.2.2-7]`.
            self.end(End::Refused { reason, properties }, None);
            return Ok(());
        }
        let Some(link) = &mut self.link else { return Ok(()) };
        let config = &self.config;
        config.check_method(PacketType::ConnAck, properties.view().authentication_method())?;
        let says_present = config.version != Version::V3_1;
        if link.clean_start && session_present && says_present {
            return Err(ProtocolError::SessionPresent);
        }
        let negotiated = Negotiated::new(config, self.client_id.clone(), link.clean_start, properties.view());
        if let Some(limit) = negotiated.maximum_packet_size.filter(|limit| *limit < LONGEST_ACK) {
            return Err(ProtocolError::MaximumPacketSize(limit));
        }
        if negotiated.client_id != self.client_id {
            // It names the session from now on `[MQTT-3.1.3-7]`.
            self.client_id = negotiated.client_id.clone();
            self.reports.store_client_id(&self.client_id);
        }
        // 3.1 does not say whether the session is present; that it is, is what Clean Session 0 asked for
        // `[31-12]`. After a connection with Clean Session 1 there is none to resume `[MQTT-3.1.2-6/3.1.1]`.
        link.resumed &= session_present || !says_present;
        let resumed = link.resumed;
        self.established = true;
        self.reports.store_begun(negotiated.session_expiry == 0);
        self.session_ends = None;
        link.connected(negotiated.clone(), config);
        let connected = Connected { session_present: resumed, reason, negotiated, properties };
        self.reports.events.push_back(Event::Connected(connected));
        if !resumed {
            self.lose_session();
        }
        if !resumed || !says_present {
            self.subscriptions.subscribe_again();
        }
        if let Some(link) = &mut self.link {
            link.window.resume(&mut self.table, &mut link.answers);
        }
        Ok(())
    }

    /// The server knows nothing of an earlier session; then nor do we `[MQTT-3.2.2-5]` `[MQTT-3.1.2-4]`.
    fn lose_session(&mut self) {
        self.inbound.lose(&mut self.reports);
        self.outbound.lose(self.config.on_session_lost, &mut self.table, &mut self.reports);
    }

    /// AUTH on a connection that is up: part of a re-authentication that the client began.
    pub(crate) fn handle_auth(&mut self, auth: Auth) -> Result<(), ProtocolError> {
        let Some(link) = &mut self.link else { return Ok(()) };
        if !link.authentication.again || auth.reason == ReasonCode::RE_AUTHENTICATE {
            return Err(ProtocolError::Unexpected(PacketType::Auth));
        }
        if auth.reason == ReasonCode::SUCCESS {
            link.authentication.again = false;
        }
        self.challenge(auth)
    }

    /// `[MQTT-4.12.0-5]` `[MQTT-4.12.0-6]`
    fn challenge(&mut self, auth: Auth) -> Result<(), ProtocolError> {
        if self.config.authentication.is_none() {
            return Err(ProtocolError::Unexpected(PacketType::Auth));
        }
        self.config.check_method(PacketType::Auth, auth.properties.view().authentication_method())?;
        self.config.check_problem_information(PacketType::Auth, auth.properties.view())?;
        self.reports.events.push_back(Event::Challenge(auth));
        Ok(())
    }
}

impl Link {
    /// Queues an AUTH if it fits the moment: 0x18 to answer the server `[MQTT-4.12.0-3]`, 0x19 to begin anew
    /// `[MQTT-4.12.1-1]`, always with the method of CONNECT, never without one there `[MQTT-4.12.0-7]`.
    pub(crate) fn authenticate(&mut self, auth: Auth, method: Option<&str>) -> Result<(), UsageError> {
        let begins = match self.phase {
            Phase::AwaitConnAck(_) => false,
            Phase::Connected => auth.reason == ReasonCode::RE_AUTHENTICATE,
            Phase::SendConnect(_) | Phase::AwaitClose(_) => return Err(UsageError::NotConnected),
        };
        let goes_on = auth.reason == ReasonCode::CONTINUE_AUTHENTICATION
            && (self.authentication.again || !self.is_connected());
        let named = auth.properties.view().authentication_method();
        if method.is_none() || named != method || !(begins || goes_on) {
            return Err(UsageError::AuthenticationMismatch);
        }
        auth.encode(self.negotiated.version, &mut WireBuf::new())?;
        self.negotiated.check_size(auth.encoded_len(self.negotiated.version))?;
        self.authentication.again |= begins;
        self.authentication.waiting.push_back(auth);
        Ok(())
    }

    pub(crate) fn transmit_auth(&mut self, out: &mut WireBuf) -> bool {
        let auth = self.authentication.waiting.pop_front();
        auth.is_some_and(|auth| auth.encode(self.negotiated.version, out).is_ok())
    }
}
