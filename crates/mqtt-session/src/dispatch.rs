//! Packets of a connection that is up, and who takes them.

use crate::error::{End, ProtocolError};
use crate::event::{Event, Message};
use crate::in_flight::Order;
use crate::link::Phase;
use crate::session::Session;
use crate::time::Instant;
use bytes::BytesMut;
use mqtt_codec::{DecodeError, Delivery, Disconnect, Field, Packet, PacketType, Publish, QoS, ReasonCode};

impl Session {
    pub(crate) fn handle_packet(&mut self, now: Instant, packet: Packet) -> Result<(), ProtocolError> {
        let Some(link) = &mut self.link else { return Ok(()) };
        if !link.is_connected() {
            return self.handle_handshake(packet);
        }
        let (config, table, reports) = (&self.config, &mut self.table, &mut self.reports);
        match packet {
            Packet::Publish(publish) => {
                let qos = publish.qos();
                self.handle_publish(publish)?;
                if qos < QoS::ExactlyOnce {
                    // Its answer waits for the application.
                    return Ok(());
                }
            }
            Packet::PubAck(ack) => {
                config.check_problem_information(PacketType::PubAck, ack.properties.view())?;
                self.outbound.handle_puback(ack, &mut link.window, table, reports);
                // It has no answer.
                return Ok(());
            }
            Packet::PubRec(ack) => {
                config.check_problem_information(PacketType::PubRec, ack.properties.view())?;
                self.outbound.handle_pubrec(ack, link, table, reports);
            }
            Packet::PubRel(ack) => {
                config.check_problem_information(PacketType::PubRel, ack.properties.view())?;
                self.inbound.handle_pubrel(ack.id, &mut link.receiving, &mut link.answers, reports);
            }
            Packet::PubComp(ack) => {
                config.check_problem_information(PacketType::PubComp, ack.properties.view())?;
                self.outbound.handle_pubcomp(ack, &mut link.window, table, reports);
            }
            Packet::SubAck(suback) => {
                config.check_problem_information(PacketType::SubAck, suback.properties())?;
                self.subscriptions.handle_suback(&suback, table, reports)?;
            }
            Packet::UnsubAck(unsuback) => {
                config.check_problem_information(PacketType::UnsubAck, unsuback.properties())?;
                self.subscriptions.handle_unsuback(&unsuback, table, reports, config.version)?;
            }
            Packet::PingResp => link.keep_alive.answered(now),
            // `[5u-19]`
            Packet::Disconnect(disconnect) => self.end(End::ServerDisconnect(disconnect), None),
            Packet::Auth(auth) => self.handle_auth(auth)?,
            // `[MQTT-3.2.0-2]` `[5u-3]`
            other => return Err(ProtocolError::Unexpected(other.packet_type())),
        }
        match &self.link {
            Some(link) if link.answers.is_overfull() => Err(ProtocolError::AnswersNotTaken),
            _ => Ok(()),
        }
    }

    /// Every PUBLISH is acknowledged by its QoS `[MQTT-3.3.4-1]` `[MQTT-4.5.0-2]`. The event is made last,
    /// when it is sure what the message is and that it is new.
    fn handle_publish(&mut self, publish: Publish) -> Result<(), ProtocolError> {
        let Some(link) = &mut self.link else { return Ok(()) };
        let topic = link.resolve_topic(&publish)?;
        let delivery = publish.delivery();
        if delivery.qos() > link.negotiated.maximum_qos
            && !link.resumed
            && self.subscriptions.is_empty()
            && self.table.len(Order::Requests) == 0
        {
            return Err(ProtocolError::QosNotSupported(delivery.qos()));
        }
        let token = match delivery {
            Delivery::AtMostOnce => None,
            Delivery::AtLeastOnce { id, .. } => Some(link.receiving.handle_qos1(id)?),
            Delivery::ExactlyOnce { id, .. } => {
                let (receiving, answers) = (&mut link.receiving, &mut link.answers);
                match self.inbound.handle_qos2(id, receiving, answers, &mut self.reports)? {
                    None => return Ok(()),
                    token => token,
                }
            }
        };
        let (retain, properties) = (publish.retain(), publish.properties_buf());
        let (qos, dup, payload) = (delivery.qos(), delivery.dup(), publish.into_payload());
        let message = Message { topic, payload, qos, retain, dup, properties };
        self.reports.events.push_back(Event::Message(message, token));
        Ok(())
    }

    /// Takes a message whose topic name is none off the input, if it is to be skipped: acknowledges it as refused, and
    /// reports it. False if this is no such message, or it is to end the connection.
    #[cold]
    #[inline(never)]
    pub(crate) fn skip_misnamed(&mut self, error: DecodeError, input: &mut BytesMut) -> bool {
        let misnamed = (error.packet_type(), error.field()) == (Some(PacketType::Publish), Field::TopicName);
        let skips = self.config.skip_misnamed && misnamed;
        let Some(link) = self.link.as_mut().filter(|link| skips && link.is_connected()) else { return false };
        let Some(delivery) = link.decoder.skip_misnamed(input) else { return false };
        let token = match delivery {
            Delivery::AtMostOnce => Ok(None),
            Delivery::AtLeastOnce { id, .. } => link.receiving.handle_qos1(id).map(Some),
            Delivery::ExactlyOnce { id, .. } => {
                let (receiving, answers) = (&mut link.receiving, &mut link.answers);
                self.inbound.handle_qos2(id, receiving, answers, &mut self.reports)
            }
        };
        match token {
            Ok(Some(token)) => self.acknowledge(token, ReasonCode::TOPIC_NAME_INVALID),
            Ok(None) => {}
            // It was one too many, whatever its name.
            Err(too_many) => {
                self.fail(too_many);
                return true;
            }
        }
        self.reports.events.push_back(Event::Skipped(error));
        true
    }

    /// The server broke the protocol: in 5.0 it is told so, before 5.0 DISCONNECT would cancel the will
    /// `[MQTT-4.13.1-1]` `[MQTT-4.8.0-1/3.1.1]`. Nothing else is sent any more.
    pub(crate) fn fail(&mut self, error: ProtocolError) {
        let Some(link) = &mut self.link else { return };
        link.answers.clear();
        let last = self.config.version.is_v5().then(|| Disconnect::new(error.reason_code()));
        self.end(End::Protocol(error), last);
    }

    /// The connection is over, with or without a last word; CONNECT would have to come before it.
    pub(crate) fn end(&mut self, end: End, last: Option<Disconnect>) {
        let Some(link) = self.link.as_mut().filter(|link| !link.is_over()) else { return };
        let last = last.filter(|_| !matches!(link.phase, Phase::SendConnect(_)));
        link.phase = Phase::AwaitClose(last);
        let (link, server_did) = (link.number, matches!(end, End::ServerDisconnect(_)));
        self.reports.ended(end);
        if server_did {
            self.outbound.suspect(link, self.config.set_aside_after, &mut self.table, &mut self.reports);
        }
    }
}
