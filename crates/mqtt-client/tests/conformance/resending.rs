//! Section 4.4: what is sent again, and when; section 4.6: in which order.

use crate::support::{A_MOMENT, ALL, BEFORE_5, Server, Stage, enqueue, next, pass, resumed, serve, soon};
use core::time::Duration;
use mqtt_client::{Outcome, QoS};
use mqtt_testkit::packets::{IntoPacket, connack, puback, pubcomp, publish, pubrec, pubrel};

const HOUR: Duration = Duration::from_secs(3600);

async fn come_back(stage: &Stage, server: Server) -> Server {
    drop(server);
    stage.welcome_back().await
}

/// [MQTT-4.4.0-1] [MQTT-4.4.0-1/3.1.1] [311u-12] [31-12] [MQTT-3.3.1-1] [MQTT-3.3.1-1/3.1.1]: on a connection that
/// lives nothing is sent again, however long the answer takes; when the session is resumed each unacknowledged
/// PUBLISH and PUBREL is sent again once, under its identifier. Answers are never sent again.
#[tokio::test]
async fn things_are_sent_again_when_the_session_is_resumed_and_at_no_other_time() {
    for version in ALL {
        let stage = serve(version).await;
        let (client, mut server) = stage.meet_as(stage.resuming(), connack()).await;
        let mut unmatched = client.unmatched();
        let mut deliveries = Vec::new();
        for (payload, qos) in [("1", QoS::AtLeastOnce), ("2", QoS::ExactlyOnce), ("3", QoS::ExactlyOnce)] {
            deliveries.push(enqueue(&client, "a", payload, qos).await);
            server.expect_message().await;
        }
        server.send(pubrec(3)).await;
        server.expect(pubrel(3)).await;
        // Answers of ours, which are nobody's business any more.
        server.send(publish("in", "x").qos1(7)).await;
        next(&mut unmatched).await;
        server.expect(puback(7)).await;
        server.send(publish("in", "x").qos2(8)).await;
        next(&mut unmatched).await;
        server.expect(pubrec(8)).await;
        server.send(publish("in", "x").qos2(9)).await;
        next(&mut unmatched).await;
        server.expect(pubrec(9)).await;
        server.send(pubrel(9)).await;
        server.expect(pubcomp(9)).await;
        for _ in 0..3 {
            pass(HOUR).await;
            server.expect_nothing().await;
        }
        for _ in 0..2 {
            server = come_back(&stage, server).await;
            server
                .expect_in_any_order([
                    publish("a", "1").qos1(1).dup().into_packet(),
                    publish("a", "2").qos2(2).dup().into_packet(),
                    pubrel(3),
                ])
                .await;
            server.expect_nothing().await;
            pass(HOUR).await;
            server.expect_nothing().await;
        }
        server.send(puback(1)).await;
        server.send(pubrec(2)).await;
        server.expect(pubrel(2)).await;
        server.send(pubcomp(2)).await;
        server.send(pubcomp(3)).await;
        for delivery in deliveries {
            assert!(matches!(soon(delivery).await, Outcome::Acked { .. }), "{version}");
        }
        server = come_back(&stage, server).await;
        server.expect_nothing().await;
    }
}

/// [MQTT-4.6.0-1] [MQTT-4.6.0-1/3.1.1]: messages are sent again in the order of their first sending, which is not
/// that of their identifiers, QoS 1 and 2 mixed; what is new comes after them.
#[tokio::test]
async fn messages_are_sent_again_in_their_order() {
    for version in ALL {
        let stage = serve(version).await;
        let options = stage.resuming().in_flight(100);
        let (client, mut server) = stage.meet_as(options, connack()).await;
        // Use identifiers up, and free some, until a lower one follows a higher one.
        let mut under_way: Vec<(u16, u32)> = Vec::new();
        let mut number = 0;
        while number < 40 || under_way.is_sorted() {
            assert!(number < 200_000, "identifiers are never used again");
            let qos = if number % 2 == 0 { QoS::AtLeastOnce } else { QoS::ExactlyOnce };
            _ = soon(client.publish("a", number.to_string()).qos(qos).enqueue()).await.unwrap();
            under_way.push((server.expect_message().await, number));
            number += 1;
            if under_way.len() > 20 {
                let (id, number) = under_way.remove(7);
                if number % 2 == 0 {
                    server.send(puback(id)).await;
                } else {
                    server.send(pubrec(id)).await;
                    server.expect(pubrel(id)).await;
                    server.send(pubcomp(id)).await;
                }
                server.expect_nothing().await;
            }
        }
        for _ in 0..2 {
            drop(server);
            server = stage.accept().await;
            server.expect_connect().await;
            _ = enqueue(&client, "a", "new", QoS::AtMostOnce).await;
            server.send(resumed(version)).await;
            for (id, number) in &under_way {
                let again = publish("a", number.to_string());
                let again = if number % 2 == 0 { again.qos1(*id) } else { again.qos2(*id) };
                server.expect(again.dup()).await;
            }
            server.expect(publish("a", "new")).await;
        }
    }
}

/// [MQTT-4.6.0-4] [MQTT-4.6.0-4/3.1.1]: PUBRELs leave in the order of the PUBRECs, also when they are sent again.
#[tokio::test]
async fn pubrels_leave_in_the_order_of_the_pubrecs() {
    for version in ALL {
        let stage = serve(version).await;
        let (client, mut server) = stage.meet_as(stage.resuming(), connack()).await;
        for payload in ["1", "2", "3"] {
            _ = enqueue(&client, "a", payload, QoS::ExactlyOnce).await;
            server.expect_message().await;
        }
        server.send_hex("50 02 00 03 50 02 00 01 50 02 00 02").await;
        for _ in 0..3 {
            server.expect_hex("62 02 00 03 62 02 00 01 62 02 00 02").await;
            server = come_back(&stage, server).await;
        }
        server.expect_hex("62 02 00 03 62 02 00 01 62 02 00 02").await;
    }
}

/// [31-11]: before 5.0 a client may be told to send again on a connection that stands, with DUP.
#[tokio::test]
async fn what_waits_too_long_is_sent_again_if_that_is_wanted() {
    for version in BEFORE_5 {
        let stage = serve(version).await;
        let options = stage.options().retransmit_after(A_MOMENT);
        let (client, mut server) = stage.meet_as(options, connack()).await;
        let token = enqueue(&client, "t", "x", QoS::AtLeastOnce).await;
        let id = server.expect_message().await;
        server.expect(publish("t", "x").qos1(id).dup()).await;
        server.send(puback(id)).await;
        assert!(matches!(soon(token).await, Outcome::Acked { .. }));
    }
}
