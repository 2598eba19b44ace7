//! A server that breaks the protocol, or lies. It may end the connection, and never do more.

use super::books::{Stage, Subject};
use super::world::World;
use crate::packets::{auth, connack, connack_with_session, pingreq, pingresp, publish, suback, subscribe};
use mqtt_codec::{Ack, Packet, PacketId, PropertiesBuf, QoS, ReasonCode};

/// Bytes that are no packet, whatever follows.
const MALFORMED: [&[u8]; 10] = [
    b"\x00\x00",
    b"\xf5\x00",
    b"\x40\x00",
    // In 3.1 the flags do not matter, and it is a PUBACK for nothing.
    b"\x41\x02\xee\x00",
    b"\x40\x02\x00\x00",
    b"\x30\xff\xff\xff\xff\x7f",
    b"\x36\x05\x00\x01t\x00\x01",
    b"\x30\x04\x00\x02\xc3\x28",
    b"\x30\x02\x00\x09",
    b"\x90\x02\x00\x00",
];

impl World<'_, '_> {
    /// The server does what it must not.
    pub(super) fn break_a_rule(&mut self) {
        let kind = self.choices.below(14);
        if !self.server.is_open() && matches!(kind, 1 | 2) {
            // It would be a first CONNACK, and a lie that nobody can see through.
            return;
        }
        let far = PacketId::new(60_000 + self.choices.below(3) as u16).unwrap_or(PacketId::MIN);
        let used = self.books.ids.iter().map(|(id, subject)| (*id, *subject)).collect::<Vec<_>>();
        let used = if used.is_empty() { None } else { Some(used[self.choices.index(used.len())]) };
        let Some(link) = self.link.as_mut().filter(|link| !link.closed) else { return };
        // Behind an honest acknowledgement on its way a false one would come at another stage than it is meant for.
        let used = used.filter(|_| link.down.is_empty() && link.view.is_empty());
        let ours = used.and_then(|(id, _)| PacketId::new(id)).unwrap_or(far);
        self.books.wire.faulty = true;
        self.play.line(|| format!("== the server breaks a rule: {kind}"));
        let down = &mut link.down;
        let v5 = self.config.version.is_v5();
        let foreign = |text: &str| format!("foreign {text}");
        match kind {
            0 => down.extend_from_slice(self.choices.one_of(&MALFORMED)),
            1 => self.server.say(connack(), down),
            2 => self.server.say(connack_with_session(), down),
            3 => self.server.say(pingreq(), down),
            4 => self.server.say(subscribe(7, [("x", QoS::AtMostOnce)]), down),
            5 if v5 => self.server.say(auth(ReasonCode::CONTINUE_AUTHENTICATION, "m", b"x"), down),
            6 if v5 => {
                let alias = self.choices.one_of(&[4, 1, 2, 65_535]);
                let properties = PropertiesBuf::builder().topic_alias(alias).build().unwrap_or_default();
                self.server.say(publish("", foreign("alias")).properties(properties), down);
            }
            7 => {
                for _ in 0..self.choices.below(8) {
                    self.server.say(publish("x", foreign("many")).qos1(far.get()), down);
                }
            }
            8 => {
                self.server.say(publish("x", foreign("twice")).qos2(far.get()), down);
                self.server.say(publish("x", foreign("twice")).qos2(far.get()).dup(), down);
            }
            9 => {
                for packet in [Packet::PubAck, Packet::PubRec, Packet::PubRel, Packet::PubComp] {
                    self.server.say(packet(Ack::new(far)), down);
                }
            }
            10 => self.server.say(suback(ours.get(), &[ReasonCode::SUCCESS; 3]), down),
            11 => self.server.say(pingresp(), down),
            5 | 6 => {}
            // The acknowledgement of another kind of packet, or one that it cannot mean.
            _ => {
                let stage = match used {
                    Some((_, Subject::Message(number))) => {
                        let message = &self.books.messages[number];
                        if message.stage == Stage::Sent {
                            self.books.lies.insert(number);
                        }
                        Some((message.stage, message.qos))
                    }
                    _ => None,
                };
                let packet = match (kind, stage) {
                    (12, Some((Stage::Sent, QoS::AtLeastOnce))) => Packet::PubAck(Ack::new(ours)),
                    (12, Some((Stage::Sent, _))) => Packet::PubRec(Ack::new(ours)),
                    (_, Some((Stage::Sent, QoS::AtLeastOnce))) => Packet::PubRec(Ack::new(ours)),
                    (_, Some((Stage::Sent, _))) => Packet::PubComp(Ack::new(ours)),
                    _ => Packet::PubAck(Ack::new(ours)),
                };
                self.server.say(packet, down);
            }
        }
        if let Some(conversation) = &mut self.server.conversation {
            conversation.said.clear();
            conversation.lied = true;
        }
    }
}
