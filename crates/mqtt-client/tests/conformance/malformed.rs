//! Chapters 1 and 2, and the forms of all packets: bytes that are no packet, and what the client says to them.

use crate::support::{ALL, BEFORE_5, breach, enqueue, failure, serve, soon};
use mqtt_client::{ConnectError, Outcome, ProtocolError, QoS, ReasonCode, Version};
use mqtt_testkit::packets::connack;

const MALFORMED: ReasonCode = ReasonCode::MALFORMED_PACKET;
const PROTOCOL_ERROR: ReasonCode = ReasonCode::PROTOCOL_ERROR;

/// What ends a connection of 5.0, and the code of the DISCONNECT before the end.
#[tokio::test]
async fn malformed_packets_are_answered_by_their_code() {
    for (hex, code) in [
        // Strings: [MQTT-1.5.4-1] a surrogate, [MQTT-1.5.4-2] U+0000, [MQTT-1.5.7-1] a user property's name.
        ("30 07 00 03 ED A0 80 00 78", MALFORMED),
        ("30 07 00 03 61 00 62 00 78", MALFORMED),
        ("30 0A 00 01 74 06 26 00 01 FF 00 00", MALFORMED),
        // [MQTT-1.5.5-1] [5u-2]: a length in more bytes than it takes, and in more than four.
        ("D0 80 00", MALFORMED),
        ("30 FF FF FF FF 7F", MALFORMED),
        // The low bits of the first byte: [MQTT-2.1.3-1] [MQTT-3.6.1-1] [MQTT-3.14.1-1] [MQTT-3.15.1-1].
        ("D1 00", MALFORMED),
        ("60 02 00 01", MALFORMED),
        ("E1 00", MALFORMED),
        ("F1 00", MALFORMED),
        // [5u-1]: packet type 0.
        ("00 00", MALFORMED),
        // [MQTT-2.2.2-1]: no property length. [5u-13]: properties that run past the end. [5u-14]: a PINGRESP with more.
        ("30 03 00 01 74", MALFORMED),
        ("40 04 00 01 00 05", MALFORMED),
        ("D0 01 00", MALFORMED),
        // PUBLISH: [MQTT-3.3.1-4] QoS 3, [MQTT-3.3.1-2] DUP with QoS 0, [MQTT-3.3.2-1] half a topic,
        // [MQTT-3.3.2-2] a wildcard, [MQTT-3.3.2-14] one in the response topic, [MQTT-4.7.3-1] no topic and no alias.
        ("36 07 00 01 74 00 01 00 78", MALFORMED),
        ("38 05 00 01 74 00 78", MALFORMED),
        ("30 02 00 05", MALFORMED),
        ("30 07 00 03 61 2F 2B 00 78", ReasonCode::TOPIC_NAME_INVALID),
        ("30 08 00 01 74 04 08 00 01 23", PROTOCOL_ERROR),
        ("30 03 00 00 00", PROTOCOL_ERROR),
        // Properties: [5u-4] unknown, [5u-5] twice, [5u-8] a flag of 2, [5u-9] subscription identifier 0.
        ("30 06 00 01 74 02 7F 00", MALFORMED),
        ("30 08 00 01 74 04 01 00 01 00", PROTOCOL_ERROR),
        ("30 06 00 01 74 02 01 02", PROTOCOL_ERROR),
        ("30 06 00 01 74 02 0B 00", PROTOCOL_ERROR),
        // [5u-10]: data without a method.
        ("F0 06 18 04 16 00 01 61", PROTOCOL_ERROR),
        // Reason codes that the packet does not have: [MQTT-3.4.2-1] [MQTT-3.5.2-1] [MQTT-3.6.2-1] [MQTT-3.7.2-1]
        // [MQTT-3.11.3-2] [MQTT-3.14.2-1] [MQTT-3.15.2-1]; and [MQTT-3.14.2-2] a property that only clients send.
        ("40 03 00 01 92", PROTOCOL_ERROR),
        ("50 03 00 01 92", PROTOCOL_ERROR),
        ("62 03 00 01 91", PROTOCOL_ERROR),
        ("70 03 00 01 91", PROTOCOL_ERROR),
        ("B0 04 00 01 00 97", PROTOCOL_ERROR),
        ("E0 01 85", PROTOCOL_ERROR),
        ("F0 01 01", PROTOCOL_ERROR),
        ("E0 07 00 05 11 00 00 00 0A", PROTOCOL_ERROR),
    ] {
        let stage = serve(Version::V5).await;
        let (client, mut server) = stage.meet_as(stage.once(), connack()).await;
        server.send_hex(hex).await;
        server.expect_farewell(code).await;
        drop(server);
        let error = breach(failure(&client).await);
        assert!(matches!(error, ProtocolError::Decode(_)), "{hex}: {error:?}");
    }
}

/// What ends a connection before 5.0, without a word.
#[tokio::test]
async fn malformed_packets_end_a_connection_before_5() {
    for version in BEFORE_5 {
        for hex in [
            // Strings: [MQTT-1.5.3-1/3.1.1] a surrogate, [MQTT-1.5.3-2/3.1.1] U+0000.
            "30 06 00 03 ED A0 80 78",
            "30 06 00 03 61 00 62 78",
            // [MQTT-2.3.1-1/3.1.1]: identifier 0.
            "32 05 00 01 74 00 00",
            // PUBLISH: [MQTT-3.3.1-4/3.1.1] QoS 3, [MQTT-3.3.2-1/3.1.1] half a topic, [MQTT-3.3.2-2/3.1.1] a wildcard,
            // [MQTT-4.7.3-1/3.1.1] an empty topic.
            "36 06 00 01 74 00 01 78",
            "30 02 00 05",
            "30 06 00 03 61 2F 2B 78",
            "30 02 00 00",
            // Lengths: [311u-1] of five bytes, [311u-3] not that of the packet.
            "30 FF FF FF FF 7F",
            "40 03 00 01 00",
            "B0 01 00",
            "D0 01 00",
        ] {
            let stage = serve(version).await;
            let (client, mut server) = stage.meet_as(stage.once(), connack()).await;
            server.send_hex(hex).await;
            server.expect_end().await;
            drop(server);
            let error = breach(failure(&client).await);
            assert!(matches!(error, ProtocolError::Decode(_)), "{hex}: {error:?}");
        }
    }
}

/// A CONNACK that is none does not connect: [MQTT-3.2.2-1] [311u-4] flags, [MQTT-3.2.2-8] an unknown code; limits that
/// are none, [5u-6] [5u-7] [5u-8]; [5u-5] a property twice; [311u-3] a byte too many.
#[tokio::test]
async fn a_malformed_connack_does_not_connect() {
    for (version, hex, code) in [
        (Version::V5, "20 03 02 00 00", MALFORMED),
        (Version::V5, "20 03 00 55 00", PROTOCOL_ERROR),
        (Version::V5, "20 06 00 00 03 21 00 00", PROTOCOL_ERROR),
        (Version::V5, "20 08 00 00 05 27 00 00 00 00", PROTOCOL_ERROR),
        (Version::V5, "20 05 00 00 02 24 02", PROTOCOL_ERROR),
        (Version::V5, "20 09 00 00 06 21 00 01 21 00 01", PROTOCOL_ERROR),
        (Version::V3_1_1, "20 02 02 00", MALFORMED),
        (Version::V3_1_1, "20 03 00 00 00", MALFORMED),
        (Version::V3_1, "20 03 00 00 00", MALFORMED),
    ] {
        let stage = serve(version).await;
        let script = async |server: &mut crate::support::Server| {
            server.expect_connect().await;
            server.send_hex(hex).await;
            server.expect_farewell(code).await;
        };
        let cause = stage.refuse(stage.once(), script).await;
        assert!(matches!(cause, ConnectError::Protocol(ProtocolError::Decode(_))), "{hex}: {cause:?}");
    }
}

/// [31-3]: what 3.1 has in the first byte of CONNACK means nothing.
#[tokio::test]
async fn the_first_byte_of_a_connack_of_3_1_means_nothing() {
    for hex in ["20 02 01 00", "20 02 FF 00"] {
        let stage = serve(Version::V3_1).await;
        let script = async {
            let mut server = stage.accept().await;
            server.expect_connect().await;
            server.send_hex(hex).await;
            server
        };
        let (client, mut server) = tokio::join!(soon(stage.options()), script);
        _ = client.expect("it connects");
        server.expect_type(mqtt_codec::PacketType::Disconnect).await;
    }
}

/// [MQTT-2.2.1-2] [MQTT-2.2.2-1] [MQTT-3.3.1-2] [MQTT-2.3.1-5/3.1.1]: at QoS 0 no identifier, no DUP; in 5.0 the length
/// of no properties.
#[tokio::test]
async fn a_message_of_qos_0_has_no_identifier() {
    for version in ALL {
        let stage = serve(version).await;
        let (client, mut server) = stage.meet().await;
        _ = enqueue(&client, "t", "x", QoS::AtMostOnce).await;
        server.expect_hex(if version.is_v5() { "30 05 00 01 74 00 78" } else { "30 04 00 01 74 78" }).await;
    }
}

/// [5u-12]: the short forms of an acknowledgement, and the long one, are the same.
#[tokio::test]
async fn each_form_of_a_puback_completes_a_message() {
    for hex in ["40 02 00 01", "40 03 00 01 00", "40 04 00 01 00 00"] {
        let stage = serve(Version::V5).await;
        let (client, mut server) = stage.meet().await;
        let token = enqueue(&client, "t", "x", QoS::AtLeastOnce).await;
        assert_eq!(server.expect_message().await, 1);
        server.send_hex(hex).await;
        let outcome = soon(token).await;
        assert!(matches!(outcome, Outcome::Acked { .. }), "{hex}: {outcome:?}");
    }
}

/// The low bits of the first byte: [MQTT-2.2.2-1/3.1.1] [MQTT-2.2.2-2/3.1.1] [MQTT-3.6.1-1/3.1.1] end a connection of
/// 3.1.1; [31-10]: in 3.1 they are unused.
#[tokio::test]
async fn reserved_flags_end_a_connection_since_3_1_1() {
    for hex in ["D1 00", "41 02 00 09"] {
        let stage = serve(Version::V3_1_1).await;
        let (client, mut server) = stage.meet_as(stage.once(), connack()).await;
        server.send_hex(hex).await;
        server.expect_end().await;
        drop(server);
        let error = breach(failure(&client).await);
        assert!(matches!(error, ProtocolError::Decode(_)), "{hex}: {error:?}");

        let stage = serve(Version::V3_1).await;
        let (_client, mut server) = stage.meet().await;
        server.send_hex(hex).await;
        server.expect_nothing().await;
    }
    // PUBREL, whose bits are 0010.
    let stage = serve(Version::V3_1_1).await;
    let (_client, mut server) = stage.meet_as(stage.once(), connack()).await;
    server.send_hex("60 02 00 01").await;
    server.expect_end().await;
}
