//! What a server must not do: named, answered in 5.0 and met with silence before, and nothing queued is lost.

use mqtt_codec::{Ack, Packet, PropertiesBuf, QoS, ReasonCode, Version};
use mqtt_session::{Config, End, ProtocolError};
use mqtt_testkit::packets::{connack, disconnect, publish};
use mqtt_testkit::pair::{Pair, config, message};

const ALL: [Version; 3] = [Version::V3_1, Version::V3_1_1, Version::V5];

/// Decision 1, `[MQTT-4.8.0-1/3.1.1]` `[MQTT-4.13.1-1]` `[31-24]`: DISCONNECT with the code in 5.0; before,
/// it would cancel the will.
#[test]
fn malformed_packets_end_the_connection() {
    for (hex, reason) in [
        // Packet type 0; QoS 3; reserved bits.
        ("00 00", ReasonCode::MALFORMED_PACKET),
        ("36 05 00 01 61 00 01", ReasonCode::MALFORMED_PACKET),
        ("D1 00", ReasonCode::MALFORMED_PACKET),
        // Packet identifier 0.
        ("40 02 00 00", ReasonCode::PROTOCOL_ERROR),
    ] {
        for version in ALL {
            if version == Version::V3_1 && hex.starts_with("D1") {
                continue; // `[31-10]`: 3.1 does not check them.
            }
            let mut pair = Pair::connected(config(version));
            pair.publish(message("a", "in flight", QoS::AtLeastOnce));
            pair.received();
            pair.send_hex(hex);
            assert!(matches!(pair.ended(), End::Protocol(ProtocolError::Decode(_))), "{version} {hex}");
            if version.is_v5() {
                pair.expect(disconnect(reason));
            }
            pair.expect_silence();
            // What follows is not looked at.
            pair.send_hex("40 02 00 01");
            pair.expect_no_event();
            pair.cut();
            pair.expect_no_event();
            pair.resume();
            pair.expect(publish("a", "in flight").qos1(1).dup());
        }
    }
}

/// `[5u-3]` `[311u-2]`: packets that only clients send.
#[test]
fn packets_of_clients_end_the_connection() {
    for version in ALL {
        for hex in ["C0 00", "82 06 00 01 00 01 61 00", "A2 05 00 01 00 01 61"] {
            let mut pair = Pair::connected(config(version));
            pair.send_hex(hex);
            let End::Protocol(error) = pair.ended() else { panic!("another end") };
            assert_eq!(error.reason_code(), ReasonCode::PROTOCOL_ERROR);
            if version.is_v5() {
                pair.expect(disconnect(ReasonCode::PROTOCOL_ERROR));
            }
            pair.expect_silence();
        }
    }
}

/// The code of the error is the code of DISCONNECT, and answers that were due are not sent before it.
#[test]
fn nothing_but_disconnect_follows_a_violation() {
    let mut pair = Pair::connected(config(Version::V5));
    // A PUBREL to answer, and then nonsense.
    pair.send_hex("62 02 00 07 00 00");
    assert!(matches!(pair.ended(), End::Protocol(_)));
    pair.expect(disconnect(ReasonCode::MALFORMED_PACKET));
    pair.expect_silence();
}

/// `[MQTT-3.1.2-29]`: no problem information where none was asked for; where it was, and elsewhere, it is
/// welcome.
#[test]
fn problem_information_that_was_not_asked_for() {
    let properties = || PropertiesBuf::builder().reason_string("r").build().unwrap();
    for asked in [true, false] {
        let with_ack = |make: fn(Ack) -> Packet| {
            let ack = Ack { properties: properties(), ..Ack::new(mqtt_testkit::packets::id(1)) };
            make(ack)
        };
        for packet in [
            with_ack(Packet::PubAck),
            with_ack(Packet::PubRec),
            with_ack(Packet::PubRel),
            with_ack(Packet::PubComp),
            Packet::SubAck(
                mqtt_codec::SubAck::new(mqtt_testkit::packets::id(1), &properties(), &[ReasonCode::SUCCESS])
                    .unwrap(),
            ),
            Packet::UnsubAck(mqtt_codec::UnsubAck::new(
                mqtt_testkit::packets::id(1),
                &properties(),
                &[ReasonCode::SUCCESS],
            )),
        ] {
            let kind = packet.packet_type();
            let mut pair =
                Pair::connected(Config { request_problem_information: asked, ..config(Version::V5) });
            pair.send(packet);
            if asked {
                pair.expect_no_event();
            } else {
                assert_eq!(pair.ended(), End::Protocol(ProtocolError::ProblemInformation(kind)));
                pair.expect(disconnect(ReasonCode::PROTOCOL_ERROR));
            }
        }
    }
    let mut pair = Pair::new(Config { request_problem_information: false, ..config(Version::V5) });
    let user = PropertiesBuf::builder().reason_string("r").user_property("k", "v").build().unwrap();
    pair.connect(mqtt_codec::ConnAck { properties: user, ..connack() });
    let user = PropertiesBuf::builder().user_property("k", "v").build().unwrap();
    pair.send(publish("a", "x").properties(user));
    pair.message();
}

/// Packets come in any pieces: byte by byte, and many at once.
#[test]
fn packets_may_come_in_any_pieces() {
    let mut pair = Pair::connected(config(Version::V5));
    for byte in ["30", "05", "00", "01", "61", "00", "78"] {
        pair.expect_no_event();
        pair.send_hex(byte);
    }
    assert_eq!(pair.message().0.payload(), b"x");
    pair.send_hex("30 05 00 01 61 00 79 30 05 00 01 61 00 7A 30");
    assert_eq!((pair.message().0.payload(), pair.message().0.payload()), (&b"y"[..], &b"z"[..]));
    pair.send_hex("04 00 01 61 00");
    assert_eq!(pair.message().0.payload(), b"");
}

/// `[MQTT-4.5.0-2]`: a message is delivered and acknowledged with control characters in its topic; decision
/// 4.
#[test]
fn discouraged_characters_are_accepted() {
    let mut pair = Pair::connected(config(Version::V5));
    pair.send(publish("a\u{1}b\u{FFFE}", "x").qos1(1));
    let _ = pair.message_to_acknowledge("x");
}

/// A message shares the buffer that it was read into until it is detached.
#[test]
fn a_detached_message_is_the_same() {
    let properties = PropertiesBuf::builder()
        .payload_format_indicator(true)
        .content_type("text/plain")
        .response_topic("answer")
        .correlation_data(b"7")
        .subscription_identifier(3)
        .subscription_identifier(300)
        .user_property("k", "v")
        .build()
        .unwrap();
    let mut pair = Pair::connected(config(Version::V5));
    pair.send(publish("a/b", "x").qos2(1).retain().properties(properties.clone()));
    let (received, _) = pair.message();
    assert_eq!(received.properties, properties);
    assert_eq!(received.detach(), received);
}
