//! Section 4.3, the receiver: QoS 1 and 2 from the server to the client; section 4.6, the order of its answers.

use crate::support::{A_MOMENT, ALL, next, serve, soon, subscribe};
use mqtt_client::{QoS, ReasonCode, Version};
use mqtt_testkit::packets::{connack, puback, pubcomp, pubcomp_with, publish, pubrec, pubrel, pubrel_with};

/// [MQTT-4.3.2-4] [MQTT-4.3.3-8] [MQTT-4.3.2-2/3.1.1] [MQTT-4.3.3-2/3.1.1]: a message is acknowledged when the
/// application has taken it, not before. One that was never taken comes again, and is delivered then.
#[tokio::test]
async fn what_is_not_taken_is_not_acknowledged() {
    for version in ALL {
        for (qos, answer) in [(QoS::AtLeastOnce, "40 02 12 34"), (QoS::ExactlyOnce, "50 02 12 34")] {
            let stage = serve(version).await;
            let (client, mut server) = stage.meet_as(stage.resuming(), connack()).await;
            let mut subscription = subscribe(&client, &mut server, "a", qos).await;
            let message = if qos == QoS::AtLeastOnce {
                publish("a", "x").qos1(0x1234)
            } else {
                publish("a", "x").qos2(0x1234)
            };
            server.send(message.clone()).await;
            server.expect_silence(A_MOMENT).await;
            drop(server);
            let mut server = stage.welcome_back().await;
            if version == Version::V3_1 {
                // It cannot know that the server has its subscription still.
                let id = server.expect_subscribe().await;
                server.send(mqtt_testkit::packets::suback(id, &[ReasonCode::GRANTED_QOS_2])).await;
            }
            server.send(message.dup()).await;
            server.expect_silence(A_MOMENT).await;
            assert_eq!(next(&mut subscription).await.payload(), b"x");
            if qos == QoS::AtLeastOnce {
                // The server sends it again because nothing was said, so the application sees it again.
                assert!(next(&mut subscription).await.dup, "{version}");
            }
            server.expect_hex(answer).await;
            server.expect_silence(A_MOMENT).await;
        }
    }
}

/// [MQTT-4.3.2-5] [MQTT-4.3.2-2/3.1.1]: after PUBACK its identifier means a new message, whatever DUP says.
#[tokio::test]
async fn after_puback_an_identifier_is_new() {
    for version in ALL {
        let stage = serve(version).await;
        let (client, mut server) = stage.meet().await;
        let mut subscription = subscribe(&client, &mut server, "a", QoS::AtLeastOnce).await;
        for message in [publish("a", "x").qos1(1), publish("a", "x").qos1(1).dup(), publish("a", "x").qos1(1)]
        {
            server.send(message).await;
            assert_eq!(next(&mut subscription).await.payload(), b"x", "{version}");
            server.expect(puback(1)).await;
        }
    }
}

/// [MQTT-4.3.3-8] [MQTT-4.3.3-10] [MQTT-4.3.3-11] [MQTT-4.3.3-12] [MQTT-4.3.3-2/3.1.1] [31-13] [31-18]: until PUBREL,
/// what comes under the identifier is the same message, with DUP or without, on this connection or the next: each has
/// its PUBREC, none is delivered. After PUBCOMP the identifier is new.
#[tokio::test]
async fn a_qos_2_message_is_delivered_once() {
    for version in ALL {
        let stage = serve(version).await;
        let (client, mut server) = stage.meet_as(stage.resuming(), connack()).await;
        let mut unmatched = client.unmatched();
        for round in ["1", "2", "3"] {
            server.send(publish("a", round).qos2(1)).await;
            assert_eq!(next(&mut unmatched).await.payload(), round.as_bytes());
            server.expect(pubrec(1)).await;
            for again in [
                publish("a", round).qos2(1).dup(),
                publish("a", round).qos2(1),
                publish("a", "other").qos2(1),
            ] {
                server.send(again).await;
                server.expect_hex("50 02 00 01").await;
            }
            drop(server);
            server = stage.welcome_back().await;
            server.send(publish("a", round).qos2(1).dup()).await;
            server.expect(pubrec(1)).await;
            drop(server);
            server = stage.welcome_back().await;
            // It may be that only PUBREC was lost, or only PUBCOMP.
            for known in [true, false] {
                server.send_hex("62 02 00 01").await;
                match version {
                    Version::V5 if !known => {
                        server.expect(pubcomp_with(1, ReasonCode::PACKET_IDENTIFIER_NOT_FOUND)).await
                    }
                    _ => server.expect(pubcomp(1)).await,
                };
            }
        }
        // Nothing else was delivered in between.
        server.send(publish("a", "last")).await;
        assert_eq!(next(&mut unmatched).await.payload(), b"last", "{version}");
    }
}

/// [MQTT-4.3.3-11] [MQTT-4.3.3-2/3.1.1] [31-18] [31-9] [5u-31]: every PUBREL is answered by PUBCOMP, also one for
/// nothing, one with a reason, and in 3.1 one with DUP.
#[tokio::test]
async fn every_pubrel_is_answered() {
    for version in ALL {
        let stage = serve(version).await;
        let (_client, mut server) = stage.meet().await;
        server.send(pubrel(9)).await;
        server.expect_hex(if version.is_v5() { "70 03 00 09 92" } else { "70 02 00 09" }).await;
        if version.is_v5() {
            server.send(publish("a", "x").qos2(1)).await;
            server.expect(pubrec(1)).await;
            server.send(pubrel_with(1, ReasonCode::PACKET_IDENTIFIER_NOT_FOUND)).await;
            server.expect(pubcomp(1)).await;
        }
        if version == Version::V3_1 {
            server.send_hex("6A 02 00 09").await;
            server.expect_hex("70 02 00 09").await;
        }
        server.expect_nothing().await;
    }
}

/// [MQTT-4.3.3-13]: the exchange is finished, however short the life of its message was.
#[tokio::test]
async fn an_expired_message_is_finished() {
    let stage = serve(Version::V5).await;
    let (client, mut server) = stage.meet().await;
    let mut subscription = subscribe(&client, &mut server, "a", QoS::ExactlyOnce).await;
    let brief = mqtt_client::PropertiesBuf::builder().message_expiry_interval(0).build().unwrap();
    server.send(publish("a", "x").qos2(1).properties(brief)).await;
    server.expect_silence(A_MOMENT).await;
    next(&mut subscription).await;
    server.expect(pubrec(1)).await;
    server.send(pubrel(1)).await;
    server.expect(pubcomp(1)).await;
}

/// [MQTT-4.6.0-2] [MQTT-4.6.0-3] [MQTT-4.6.0-2/3.1.1] [MQTT-4.6.0-3/3.1.1]: three streams take their messages in the
/// order 3, 1, 2; the acknowledgements leave in the order of the messages. The two kinds do not wait for each other.
#[tokio::test]
async fn acknowledgements_leave_in_the_order_of_the_messages() {
    for version in ALL {
        for exactly_once in [false, true] {
            let stage = serve(version).await;
            let (client, mut server) = stage.meet().await;
            let mut streams = Vec::new();
            for topic in ["one", "two", "three"] {
                streams.push(subscribe(&client, &mut server, topic, QoS::ExactlyOnce).await);
            }
            let answer = if exactly_once { pubrec } else { puback };
            for (topic, id) in [("one", 30), ("two", 10), ("three", 20)] {
                let message = publish(topic, "x");
                server.send(if exactly_once { message.qos2(id) } else { message.qos1(id) }).await;
            }
            next(&mut streams[2]).await;
            server.expect_silence(A_MOMENT).await;
            // One of the other kind passes.
            let other = publish("nobody", "x");
            server.send(if exactly_once { other.qos1(40) } else { other.qos2(40) }).await;
            server.expect(if exactly_once { puback(40) } else { pubrec(40) }).await;
            next(&mut streams[0]).await;
            server.expect(answer(30)).await;
            server.expect_silence(A_MOMENT).await;
            next(&mut streams[1]).await;
            server.expect(answer(10)).await;
            server.expect(answer(20)).await;
            soon(client.publish("done", "")).await.unwrap();
            server.expect(publish("done", "")).await;
        }
    }
}
