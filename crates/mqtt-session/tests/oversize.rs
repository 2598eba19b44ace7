//! Reason strings and user properties never push a packet over the server's Maximum Packet Size.

use mqtt_codec::{
    Ack, Auth, ConnAck, Disconnect, Packet, PacketId, PropertiesBuf, QoS, ReasonCode, Text, Version,
};
use mqtt_session::{Config, UsageError};
use mqtt_testkit::packets::{connack, publish};
use mqtt_testkit::pair::{Pair, config, message};

/// The largest packet that this server takes, in bytes.
const LIMIT: u32 = 24;

fn small_server() -> ConnAck {
    ConnAck { properties: PropertiesBuf::builder().maximum_packet_size(LIMIT).build().unwrap(), ..connack() }
}

fn talkative() -> PropertiesBuf {
    PropertiesBuf::builder().reason_string("because of this").user_property("and", "that").build().unwrap()
}

/// `[MQTT-3.4.2-2]` `[MQTT-3.4.2-3]` `[MQTT-3.5.2-2]` `[MQTT-3.5.2-3]` `[MQTT-3.6.2-2]` `[MQTT-3.6.2-3]`
/// `[MQTT-3.7.2-2]` `[MQTT-3.7.2-3]`: an acknowledgement of ours has a reason at most, however much the server says.
#[test]
fn acknowledgements_carry_a_reason_at_most() {
    let mut pair = Pair::new(config(Version::V5));
    pair.connect(small_server());
    for (id, refused) in [(7, "40 03 00 07 97"), (8, "50 03 00 08 97")] {
        let received = publish("a", "x");
        pair.send(if id == 7 { received.qos1(id) } else { received.qos2(id) });
        let token = pair.message_to_acknowledge("x");
        pair.session.acknowledge(token, ReasonCode::QUOTA_EXCEEDED);
        pair.run();
        pair.expect_hex(refused);
    }
    let wordy = |id| Ack { properties: talkative(), ..Ack::new(PacketId::new(id).unwrap()) };
    pair.publish(message("a", "x", QoS::ExactlyOnce));
    pair.received();
    pair.send(Packet::PubRec(wordy(1)));
    pair.expect_hex("62 02 00 01");
    pair.send(Packet::PubRel(wordy(9)));
    pair.expect_hex("70 03 00 09 92");
}

/// `[MQTT-3.14.2-3]` `[MQTT-3.14.2-4]`: what the application wants to say does not leave if it is too large; it is told so.
#[test]
fn a_wordy_goodbye_is_refused() {
    let mut pair = Pair::new(config(Version::V5));
    pair.connect(small_server());
    let reason = ReasonCode::NORMAL_DISCONNECTION;
    let wordy = Disconnect { reason, properties: talkative() };
    assert!(matches!(pair.session.disconnect(wordy), Err(UsageError::PacketTooLarge { .. })));
    assert!(pair.session.is_connected());
    pair.expect_silence();
    pair.session.disconnect(Disconnect::new(reason)).unwrap();
    pair.run();
    pair.expect_hex("E0 00");
}

/// `[MQTT-3.15.2-2]` `[MQTT-3.15.2-3]`
#[test]
fn a_wordy_authentication_is_refused() {
    let authentication = Some((Text::from_static("m").unwrap(), "first".into()));
    let mut pair = Pair::new(Config { authentication, ..config(Version::V5) });
    let limit =
        PropertiesBuf::builder().maximum_packet_size(LIMIT).authentication_method("m").build().unwrap();
    pair.connect(ConnAck { properties: limit, ..connack() });
    let auth = |properties| Auth { reason: ReasonCode::RE_AUTHENTICATE, properties };
    let method = || PropertiesBuf::builder().authentication_method("m");
    let wordy = method().reason_string("because of this").user_property("and", "that").build().unwrap();
    assert!(matches!(pair.session.authenticate(auth(wordy)), Err(UsageError::PacketTooLarge { .. })));
    pair.expect_silence();
    pair.session.authenticate(auth(method().build().unwrap())).unwrap();
    pair.run();
    pair.expect_hex("F0 06 19 04 15 00 01 6D");
}
