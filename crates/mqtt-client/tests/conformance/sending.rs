//! Section 4.3, the sender: QoS 0, 1 and 2 from the client to the server.

use crate::support::{A_MOMENT, ALL, connack_with, enqueue, pass, resumed, serve, soon, unsubscribed};
use core::time::Duration;
use mqtt_client::{Outcome, PropertiesBuf, QoS, ReasonCode, Version};
use mqtt_codec::{Ack, Packet};
use mqtt_testkit::packets::{
    connack, id, puback, puback_with, pubcomp, pubcomp_with, publish, pubrec, pubrec_with, pubrel, suback,
};

#[track_caller]
fn reason(outcome: Outcome) -> ReasonCode {
    match outcome {
        Outcome::Acked { reason, .. } => reason,
        other => panic!("not acknowledged: {other:?}"),
    }
}

/// [MQTT-4.3.1-1] [MQTT-4.3.1-1/3.1.1]: at QoS 0 one PUBLISH with DUP 0, which nobody answers and which is never sent
/// again.
#[tokio::test]
async fn qos_0_is_sent_once() {
    for version in ALL {
        let stage = serve(version).await;
        let (client, mut server) = stage.meet_as(stage.resuming(), connack()).await;
        assert!(matches!(soon(client.publish("a", "x")).await, Ok(Outcome::Sent)));
        server.expect_hex(if version.is_v5() { "30 05 00 01 61 00 78" } else { "30 04 00 01 61 78" }).await;
        server.expect_nothing().await;
        drop(server);
        let mut server = stage.welcome_back().await;
        server.expect_nothing().await;
    }
}

/// [MQTT-4.3.2-1] [MQTT-4.3.2-2] [MQTT-4.3.3-1] [MQTT-4.3.3-2] [MQTT-4.3.2-1/3.1.1] [MQTT-4.3.3-1/3.1.1]: the first
/// sending has an unused identifier and DUP 0, also for a message that waited while there was no connection.
#[tokio::test]
async fn the_first_sending_is_no_repetition() {
    for version in ALL {
        for (qos, first) in [(QoS::AtLeastOnce, "32"), (QoS::ExactlyOnce, "34")] {
            let stage = serve(version).await;
            let (client, mut server) = stage.meet_as(stage.resuming(), connack()).await;
            let rest = |id: u16, payload: &str| match version {
                Version::V5 => format!("07 00 01 61 {id:04X} 00 {payload}"),
                _ => format!("06 00 01 61 {id:04X} {payload}"),
            };
            _ = enqueue(&client, "a", "1", qos).await;
            server.expect_hex(&format!("{first} {}", rest(1, "31"))).await;
            drop(server);
            let mut server = stage.accept().await;
            server.expect_connect().await;
            // There is no connection yet.
            _ = enqueue(&client, "a", "2", qos).await;
            server.expect_silence(A_MOMENT).await;
            server.send(resumed(version)).await;
            server
                .expect(if qos == QoS::AtLeastOnce {
                    publish("a", "1").qos1(1).dup()
                } else {
                    publish("a", "1").qos2(1).dup()
                })
                .await;
            server.expect_hex(&format!("{first} {}", rest(2, "32"))).await;
        }
    }
}

/// [MQTT-4.3.2-3] [MQTT-4.3.2-1/3.1.1]: a QoS 1 message is unacknowledged until its own PUBACK comes; nothing else
/// completes it.
#[tokio::test]
async fn only_its_puback_ends_a_qos_1_message() {
    for version in ALL {
        let stage = serve(version).await;
        let (client, mut server) = stage.meet_as(stage.resuming(), connack()).await;
        let mut delivery = Box::pin(enqueue(&client, "a", "x", QoS::AtLeastOnce).await);
        let mine = server.expect_message().await;
        for stray in [
            puback(mine + 1),
            pubcomp(mine),
            suback(mine, &[ReasonCode::GRANTED_QOS_0]),
            unsubscribed(version, mine),
        ] {
            server.send(stray).await;
        }
        server.expect_nothing().await;
        assert!(now(&mut delivery).await.is_none(), "{version}");
        drop(server);
        let mut server = stage.welcome_back().await;
        server.expect(publish("a", "x").qos1(mine).dup()).await;
        server.send(puback(mine)).await;
        assert_eq!(reason(soon(delivery).await), ReasonCode::SUCCESS);
        server.send(puback(mine)).await;
        server.expect_nothing().await;
    }
}

/// What a future has come to, if it has come to anything.
async fn now<T>(future: &mut (impl Future<Output = T> + Unpin)) -> Option<T> {
    tokio::time::timeout(Duration::ZERO, future).await.ok()
}

/// [MQTT-4.3.3-1] [MQTT-4.3.3-3] [MQTT-4.3.3-4] [MQTT-4.3.3-5] [MQTT-4.3.3-1/3.1.1]: the four steps of QoS 2. Only
/// PUBREC takes the message from PUBLISH to PUBREL, only PUBCOMP ends it, and until then the identifier is taken.
#[tokio::test]
async fn a_qos_2_message_goes_its_way() {
    for version in ALL {
        let stage = serve(version).await;
        let (client, mut server) = stage.meet_as(stage.resuming(), connack()).await;
        let mut delivery = Box::pin(enqueue(&client, "a", "x", QoS::ExactlyOnce).await);
        let mine = server.expect_message().await;
        server.send(puback(mine)).await;
        server.send(pubcomp(mine)).await;
        server.expect_nothing().await;
        drop(server);
        let mut server = stage.welcome_back().await;
        server.expect(publish("a", "x").qos2(mine).dup()).await;

        for _ in 0..2 {
            // A PUBREC that is repeated has its PUBREL again [MQTT-4.3.3-6].
            server.send_hex(&format!("50 02 {mine:04X}")).await;
            server.expect_hex(&format!("62 02 {mine:04X}")).await;
        }
        server.send(puback(mine)).await;
        server.expect_nothing().await;
        assert!(now(&mut delivery).await.is_none(), "{version}");
        _ = enqueue(&client, "a", "y", QoS::ExactlyOnce).await;
        assert_ne!(server.expect_message().await, mine);
        server.send(pubcomp(mine)).await;
        assert_eq!(reason(soon(delivery).await), ReasonCode::SUCCESS);
    }
}

/// [MQTT-4.3.3-5] [MQTT-4.3.3-6] [MQTT-4.3.3-1/3.1.1]: after PUBREL the PUBLISH is sent no more. On a session that
/// goes on PUBREL is sent again until PUBCOMP comes, before what was published later.
#[tokio::test]
async fn after_pubrel_only_pubrel_is_sent_again() {
    for version in ALL {
        let stage = serve(version).await;
        let (client, mut server) = stage.meet_as(stage.resuming(), connack()).await;
        let delivery = enqueue(&client, "a", "x", QoS::ExactlyOnce).await;
        let mine = server.expect_message().await;
        server.send(pubrec(mine)).await;
        server.expect(pubrel(mine)).await;
        for _ in 0..3 {
            drop(server);
            server = stage.accept().await;
            server.expect_connect().await;
            _ = enqueue(&client, "a", "later", QoS::AtMostOnce).await;
            server.send(resumed(version)).await;
            server.expect_hex(&format!("62 02 {mine:04X}")).await;
            server.expect(publish("a", "later")).await;
            server.expect_nothing().await;
        }
        server.send(pubcomp(mine)).await;
        assert_eq!(reason(soon(delivery).await), ReasonCode::SUCCESS);
        drop(server);
        let mut server = stage.welcome_back().await;
        server.expect_nothing().await;
    }
}

/// [MQTT-4.3.3-4] [MQTT-4.4.0-2]: a PUBREC below 0x80 goes on, one of 0x80 or more ends the exchange without PUBREL;
/// so does a PUBACK that refuses. Neither message is sent again, and the application has the code.
#[tokio::test]
async fn a_refusal_ends_the_exchange() {
    for code in [
        ReasonCode::UNSPECIFIED_ERROR,
        ReasonCode::IMPLEMENTATION_SPECIFIC_ERROR,
        ReasonCode::NOT_AUTHORIZED,
        ReasonCode::TOPIC_NAME_INVALID,
        ReasonCode::PACKET_IDENTIFIER_IN_USE,
        ReasonCode::QUOTA_EXCEEDED,
        ReasonCode::PAYLOAD_FORMAT_INVALID,
    ] {
        let stage = serve(Version::V5).await;
        let one_at_a_time = connack_with(PropertiesBuf::builder().receive_maximum(1));
        let (client, mut server) = stage.meet_as(stage.resuming(), one_at_a_time).await;
        let once = enqueue(&client, "a", "1", QoS::AtLeastOnce).await;
        let exactly = enqueue(&client, "a", "2", QoS::ExactlyOnce).await;
        let welcome = enqueue(&client, "a", "3", QoS::ExactlyOnce).await;
        let mine = server.expect_message().await;
        server.send(puback_with(mine, code)).await;
        assert_eq!(reason(soon(once).await), code);
        let mine = server.expect_message().await;
        server.send(pubrec_with(mine, code)).await;
        assert_eq!(reason(soon(exactly).await), code);
        // The place in the window is free again, and no PUBREL is in between.
        let mine = server.expect_message().await;
        server.send(pubrec_with(mine, ReasonCode::NO_MATCHING_SUBSCRIBERS)).await;
        server.expect_hex(&format!("62 02 {mine:04X}")).await;
        server.send(pubcomp_with(mine, ReasonCode::PACKET_IDENTIFIER_NOT_FOUND)).await;
        assert_eq!(reason(soon(welcome).await), ReasonCode::NO_MATCHING_SUBSCRIBERS);
        drop(server);
        let mut server = stage.welcome_back().await;
        server.expect_nothing().await;
    }
}

/// [5u-27]: logic never depends on a reason string, whatever it says.
#[tokio::test]
async fn reason_strings_decide_nothing() {
    let stage = serve(Version::V5).await;
    let (client, mut server) = stage.meet().await;
    for (code, says) in
        [(ReasonCode::SUCCESS, "0x87 not authorized"), (ReasonCode::NOT_AUTHORIZED, "0x00 success")]
    {
        let delivery = enqueue(&client, "a", "x", QoS::AtLeastOnce).await;
        let mine = server.expect_message().await;
        let properties = PropertiesBuf::builder().reason_string(says).build().unwrap();
        server.send(Packet::PubAck(Ack { id: id(mine), reason: code, properties: properties.clone() })).await;
        match soon(delivery).await {
            Outcome::Acked { reason, properties: found } => assert_eq!((reason, found), (code, properties)),
            other => panic!("{other:?}"),
        }
    }
    server.expect_nothing().await;
}

/// [31-19]: before 5.0 a message that the server refuses is acknowledged like any other.
#[tokio::test]
async fn an_acknowledgement_before_5_says_nothing_more() {
    for version in crate::support::BEFORE_5 {
        let stage = serve(version).await;
        let (client, mut server) = stage.meet().await;
        let delivery = enqueue(&client, "not/allowed", "x", QoS::AtLeastOnce).await;
        let mine = server.expect_message().await;
        server.send(puback(mine)).await;
        assert_eq!(reason(soon(delivery).await), ReasonCode::SUCCESS);
    }
}

/// [MQTT-4.3.3-7]: the message expiry interval ends nothing that has begun: sent, interrupted and resumed after it
/// has passed, the message is sent again. One that was never sent is not sent any more.
#[tokio::test]
async fn expiry_ends_no_exchange_that_has_begun() {
    for qos in [QoS::AtLeastOnce, QoS::ExactlyOnce] {
        let stage = serve(Version::V5).await;
        let one_at_a_time = || PropertiesBuf::builder().receive_maximum(1);
        let (client, mut server) = stage.meet_as(stage.resuming(), connack_with(one_at_a_time())).await;
        let brief = PropertiesBuf::builder().message_expiry_interval(1).build().unwrap();
        let mut deliveries = Vec::new();
        for payload in ["begun", "waits"] {
            let message = client.publish("a", payload).qos(qos).properties(brief.clone());
            deliveries.push(soon(message.enqueue()).await.unwrap());
        }
        let mine = server.expect_message().await;
        server.expect_nothing().await;
        pass(Duration::from_secs(3)).await;
        assert!(matches!(soon(deliveries.remove(1)).await, Outcome::Expired));
        drop(server);
        let mut server = stage.welcome_back().await;
        let again = server.expect_publish().await;
        assert_eq!((again.payload(), again.delivery().id()), (&b"begun"[..], Some(id(mine))));
        assert!(again.delivery().dup());
        server.expect_nothing().await;
    }
}
