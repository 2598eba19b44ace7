//! Section 4.2, before 5.0 section 7.1: a stream of bytes, in order and without loss, cut wherever the network likes.

use crate::support::{ALL, begin, next, serve, soon};
use mqtt_client::{QoS, ReasonCode, Version};
use mqtt_codec::{Packet, WireBuf};
use mqtt_testkit::packets::{IntoPacket, connack, puback, publish, pubrec, suback};

fn bytes(version: Version, packets: impl IntoIterator<Item = Packet>) -> Vec<u8> {
    let mut wire = WireBuf::new();
    for packet in packets {
        packet.encode(version, &mut wire).unwrap();
    }
    wire.to_vec()
}

/// [MQTT-4.2.0-1] [MQTT-7.1.2-1/3.1.1]: over TCP, packets may come in any pieces.
#[tokio::test]
async fn packets_come_in_any_pieces() {
    for version in ALL {
        let whole = bytes(
            version,
            [
                suback(1, &[ReasonCode::GRANTED_QOS_2]),
                publish("a", "one").qos1(1).into_packet(),
                publish("a", "two").qos2(2).into_packet(),
            ],
        );
        for cut in 0..=whole.len() {
            let stage = serve(version).await;
            let client = stage.options().start().unwrap();
            let asking = begin({
                let client = client.clone();
                async move { client.subscribe("a").qos(QoS::ExactlyOnce).await }
            });
            let mut server = stage.welcome(connack()).await;
            server.expect_subscribe().await;
            let (first, rest) = whole.split_at(cut);
            server.send_bytes(first).await;
            tokio::task::yield_now().await;
            server.send_bytes(rest).await;
            let mut subscription = soon(asking).await.unwrap().unwrap();
            for payload in [b"one", b"two"] {
                assert_eq!(next(&mut subscription).await.payload(), payload);
            }
            server.expect_in_any_order([puback(1), pubrec(2)]).await;
        }
    }
}

/// [MQTT-4.2.0-1] [MQTT-7.1.2-1/3.1.1]: byte by byte from the first one on.
#[tokio::test]
async fn a_slow_server_is_understood() {
    for version in ALL {
        let stage = serve(version).await;
        let dialling = begin(stage.options());
        let mut server = stage.accept().await;
        server.expect_connect().await;
        for byte in bytes(version, [Packet::ConnAck(Box::new(connack()))]) {
            server.send_bytes(&[byte]).await;
            tokio::task::yield_now().await;
        }
        let client = soon(dialling).await.unwrap().unwrap();
        for byte in bytes(version, [publish("a", "x").qos1(1).into_packet()]) {
            server.send_bytes(&[byte]).await;
            tokio::task::yield_now().await;
        }
        server.expect(puback(1)).await;
        assert_eq!(client.status().unclaimed, 1);
    }
}

/// [MQTT-4.2.0-1] [MQTT-7.1.2-1/3.1.1]: what is larger than any buffer arrives whole, both ways.
#[tokio::test]
async fn large_messages_arrive_whole() {
    for version in ALL {
        let stage = serve(version).await;
        let (client, mut server) = stage.meet().await;
        let large: Vec<u8> = (0..3_000_000_u32).map(|n| (n % 251) as u8).collect();
        let sending = begin({
            let (client, large) = (client.clone(), large.clone());
            async move { client.publish("a", large).await }
        });
        server.expect(publish("a", large.clone())).await;
        soon(sending).await.unwrap().unwrap();
        let mut unmatched = client.unmatched();
        server.send(publish("a", large.clone())).await;
        assert!(next(&mut unmatched).await.payload() == large);
    }
}
