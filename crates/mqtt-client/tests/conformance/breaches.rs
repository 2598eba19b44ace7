//! Section 4.8 of 3.1.1 and table 2-1: what a server must not say.

use crate::support::{BEFORE_5, breach, enqueue, failure, lost, serve, subscribe};
use mqtt_client::{ProtocolError, QoS, ReasonCode, Version};
use mqtt_codec::PacketType;
use mqtt_testkit::packets::{connack, publish};

/// [MQTT-4.8.0-1/3.1.1] [31-24] [311u-2]: what breaks the protocol ends the connection it came on, without a
/// DISCONNECT, which would cancel the will; the next connection goes on with the session.
#[tokio::test]
async fn a_breach_ends_its_connection_and_nothing_else() {
    for version in BEFORE_5 {
        for hex in [
            "00 00",                // no such packet
            "F0 00",                // nor this one
            "36 05 00 01 61 00 01", // QoS 3
            "30 03 00 01 23",       // a topic with a wildcard
            "30 03 00 01 00",       // and with U+0000
            "30 04 00 02 C3 28",    // and not in UTF-8
            "40 02 00 00",          // identifier 0
            "40 03 00 01 00",       // a byte too many
            "30 FF FF FF FF 7F",    // a length of five bytes
            "20 02 00 00",          // a second CONNACK
            "C0 00",                // packets of clients
            "82 06 00 01 00 01 61 00",
            "E0 00",
        ] {
            let stage = serve(version).await;
            let (client, mut server) = stage.meet_as(stage.resuming(), connack()).await;
            let mut events = client.events();
            subscribe(&client, &mut server, "a", QoS::AtMostOnce).await.detach();
            _ = enqueue(&client, "a", "in flight", QoS::AtLeastOnce).await;
            let mine = server.expect_message().await;
            server.send_hex(hex).await;
            server.expect_end().await;
            drop(server);
            let error = breach(lost(&mut events).await);
            assert!(matches!(error, ProtocolError::Decode(_) | ProtocolError::Unexpected(_)), "{error:?}");
            let mut server = stage.welcome_back().await;
            if version == Version::V3_1 {
                server.expect_subscribe().await;
            }
            server.expect(publish("a", "in flight").qos1(mine).dup()).await;
        }
    }
}

/// [5u-3] [MQTT-4.13.1-1]: packets that only clients send are answered by DISCONNECT and nothing else.
#[tokio::test]
async fn a_packet_of_clients_ends_the_connection() {
    for (hex, packet) in [
        ("C0 00", PacketType::PingReq),
        ("82 07 00 01 00 00 01 61 00", PacketType::Subscribe),
        ("A2 06 00 01 00 00 01 61", PacketType::Unsubscribe),
        ("10 0D 00 04 4D 51 54 54 05 02 00 00 00 00 00", PacketType::Connect),
    ] {
        let stage = serve(Version::V5).await;
        let (client, mut server) = stage.meet_as(stage.once(), connack()).await;
        server.send_hex(hex).await;
        server.expect_farewell(ReasonCode::PROTOCOL_ERROR).await;
        drop(server);
        match breach(failure(&client).await) {
            ProtocolError::Decode(error) => assert_eq!(error.packet_type(), Some(packet)),
            ProtocolError::Unexpected(found) => assert_eq!(found, packet),
            other => panic!("{other:?}"),
        }
    }
}
