//! Section 3.2: CONNACK, and what a server may not say before it or instead of it.

use crate::support::{ALL, BEFORE_5, breach, enqueue, failure, serve, soon};
use mqtt_client::{ConnectError, Outcome, ProtocolError, QoS, ReasonCode, Version};
use mqtt_codec::PacketType;
use mqtt_testkit::packets::{IntoPacket, connack, disconnect, pingresp, puback, publish, suback};

/// [MQTT-3.2.0-1] [MQTT-3.2.0-1/3.1.1]: nothing comes before CONNACK.
#[tokio::test]
async fn nothing_comes_before_connack() {
    for version in ALL {
        for (packet, packet_type) in [
            (publish("a", "x").qos1(1).into_packet(), PacketType::Publish),
            (suback(1, &[ReasonCode::GRANTED_QOS_0]), PacketType::SubAck),
            (puback(1), PacketType::PubAck),
            (pingresp(), PacketType::PingResp),
        ] {
            let stage = serve(version).await;
            let error = stage
                .refuse(stage.options(), async |server| {
                    server.expect_connect().await;
                    server.send(packet).await;
                    server.expect_farewell(ReasonCode::PROTOCOL_ERROR).await;
                })
                .await;
            assert_eq!(breach(error), ProtocolError::Unexpected(packet_type), "{version}");
        }
    }
}

/// [MQTT-3.14.0-1] [MQTT-3.2.0-1]: a server of 5.0 that says goodbye instead breaks a rule, but it says why, and that is told.
#[tokio::test]
async fn a_goodbye_instead_of_connack_is_told() {
    let stage = serve(Version::V5).await;
    let error = stage
        .refuse(stage.options(), async |server| {
            server.expect_connect().await;
            server.send_hex("E0 02 89 00").await;
            server.expect_end().await;
        })
        .await;
    let ConnectError::Disconnected { reason, .. } = &error else { panic!("{error:?}") };
    assert_eq!(*reason, ReasonCode::SERVER_BUSY);
    assert!(error.is_retryable());
}

/// [MQTT-3.2.0-2]: there is one CONNACK. A second one begins nothing anew.
#[tokio::test]
async fn connack_comes_once() {
    for version in ALL {
        let stage = serve(version).await;
        let (client, mut server) = stage.meet_as(stage.once(), connack()).await;
        let delivery = enqueue(&client, "a", "1", QoS::AtLeastOnce).await;
        server.expect_message().await;
        server.send(connack()).await;
        server.expect_farewell(ReasonCode::PROTOCOL_ERROR).await;
        drop(server);
        assert_eq!(breach(failure(&client).await), ProtocolError::Unexpected(PacketType::ConnAck));
        assert_eq!(soon(delivery).await, Outcome::Unknown, "{version}");
    }
}

/// [MQTT-3.2.2-6] [MQTT-3.2.2-4/3.1.1]: a refusal is one, also with Session Present beside it.
#[tokio::test]
async fn a_refusal_that_contradicts_itself() {
    expect_refusal(Version::V3_1_1, "20 02 01 05", ReasonCode::NOT_AUTHORIZED).await;
    expect_refusal(Version::V5, "20 03 01 87 00", ReasonCode::NOT_AUTHORIZED).await;
}

/// [MQTT-3.2.2-6/3.1.1]: there are no other return codes; one that nobody knows is no welcome.
#[tokio::test]
async fn an_unknown_return_code_is_no_welcome() {
    for version in BEFORE_5 {
        for answer in ["20 02 00 06", "20 02 00 FF"] {
            let stage = serve(version).await;
            let error = stage
                .refuse(stage.options(), async |server| {
                    server.expect_connect().await;
                    server.send_hex(answer).await;
                    server.expect_end().await;
                })
                .await;
            assert!(matches!(breach(error), ProtocolError::Decode(_)), "{version} {answer}");
        }
    }
}

/// [MQTT-3.2.2-7] [MQTT-3.2.2-5/3.1.1] [MQTT-4.13.2-1] [31-4]: every refusal is told by its name, and the client closes though the
/// server does not.
#[tokio::test]
async fn every_refusal_has_a_name() {
    for version in BEFORE_5 {
        for (code, reason) in [
            (1, ReasonCode::UNSUPPORTED_PROTOCOL_VERSION),
            (2, ReasonCode::CLIENT_IDENTIFIER_NOT_VALID),
            (3, ReasonCode::SERVER_UNAVAILABLE),
            (4, ReasonCode::BAD_USER_NAME_OR_PASSWORD),
            (5, ReasonCode::NOT_AUTHORIZED),
        ] {
            expect_refusal(version, &format!("20 02 00 {code:02X}"), reason).await;
        }
    }
    for code in [
        0x80, 0x81, 0x82, 0x83, 0x84, 0x85, 0x86, 0x87, 0x88, 0x89, 0x8A, 0x8C, 0x90, 0x95, 0x97, 0x99, 0x9A,
        0x9B, 0x9C, 0x9D, 0x9F,
    ] {
        let reason = ReasonCode::new(code);
        expect_refusal(Version::V5, &format!("20 03 00 {code:02X} 00"), reason).await;
    }
}

async fn expect_refusal(version: Version, answer: &str, reason: ReasonCode) {
    let stage = serve(version).await;
    let error = stage
        .refuse(stage.options(), async |server| {
            server.expect_connect().await;
            server.send_hex(answer).await;
            server.expect_end().await;
        })
        .await;
    let ConnectError::Refused { reason: told, .. } = error else { panic!("{answer}: {error:?}") };
    assert_eq!(told, reason, "{answer}");
}

/// [MQTT-3.2.2-9]: Maximum QoS is 0 or 1, or is not there and means 2.
#[tokio::test]
async fn the_maximum_qos_is_0_or_1() {
    for (answer, maximum) in [
        ("20 05 00 00 02 24 00", QoS::AtMostOnce),
        ("20 05 00 00 02 24 01", QoS::AtLeastOnce),
        ("20 03 00 00 00", QoS::ExactlyOnce),
    ] {
        let stage = serve(Version::V5).await;
        let client = stage.options().start().unwrap();
        let mut server = stage.accept().await;
        server.expect_connect().await;
        server.send_hex(answer).await;
        server.expect_nothing().await;
        assert_eq!(client.status().negotiated.unwrap().maximum_qos, maximum);
    }
    for answer in ["20 05 00 00 02 24 02", "20 07 00 00 04 24 01 24 01"] {
        let stage = serve(Version::V5).await;
        let error = stage
            .refuse(stage.options(), async |server| {
                server.expect_connect().await;
                server.send_hex(answer).await;
                server.expect_farewell(ReasonCode::PROTOCOL_ERROR).await;
            })
            .await;
        assert!(matches!(breach(error), ProtocolError::Decode(_)), "{answer}");
    }
}

/// A goodbye of the server is no CONNACK before 5.0: there is no such packet.
#[tokio::test]
async fn before_5_a_goodbye_instead_is_a_breach() {
    for version in BEFORE_5 {
        let stage = serve(version).await;
        let error = stage
            .refuse(stage.options(), async |server| {
                server.expect_connect().await;
                server.send(disconnect(ReasonCode::NORMAL_DISCONNECTION)).await;
                server.expect_end().await;
            })
            .await;
        breach(error);
    }
}
