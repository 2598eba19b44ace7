//! Section 2.2.1, before 5.0 section 2.3.1: packet identifiers.

use crate::support::{ALL, breach, enqueue, failure, next, serve, soon, subscribe, unsubscribed};
use mqtt_client::{Outcome, QoS, ReasonCode, Version};
use mqtt_testkit::packets::{
    connack, puback, pubcomp, pubcomp_with, publish, pubrec, pubrec_with, pubrel, pubrel_with, suback,
};
use std::collections::HashSet;

/// [MQTT-2.2.1-3] [MQTT-2.3.1-2/3.1.1] [31-17]: each exchange under way has an identifier of its own, whatever its
/// kind, none has 0, and when all are taken the next one waits until one is free.
#[tokio::test]
async fn every_identifier_is_taken_once() {
    const MESSAGES: usize = 65_535 - 2;
    for version in ALL {
        let stage = serve(version).await;
        let (client, mut server) = stage.meet_as(stage.options().in_flight(u16::MAX), connack()).await;
        let mut taken = HashSet::new();

        let mut subscribing = Box::pin(client.subscribe("a").into_future());
        let mut unsubscribing = Box::pin(client.unsubscribe(["b"]));
        tokio::select! {
            biased;
            _ = &mut subscribing => panic!("nobody has answered"),
            _ = &mut unsubscribing => panic!("nobody has answered"),
            id = server.expect_subscribe() => taken.insert(id),
        };
        taken.insert(server.expect_unsubscribe().await);

        for _ in 0..=MESSAGES {
            _ = enqueue(&client, "a", "", QoS::AtLeastOnce).await;
        }
        let mut last = 0;
        for _ in 0..MESSAGES {
            last = server.expect_message().await;
            taken.insert(last);
        }
        assert_eq!(taken.len(), 65_535, "{version}");
        assert!(!taken.contains(&0));
        server.expect_nothing().await;

        server.send(puback(last)).await;
        server.expect(publish("a", "").qos1(last)).await;
    }
}

/// [MQTT-2.2.1-4] [MQTT-2.3.1-4/3.1.1]: the identifiers of the two directions have nothing to do with each other.
#[tokio::test]
async fn the_server_counts_for_itself() {
    for version in ALL {
        let stage = serve(version).await;
        let (client, mut server) = stage.meet().await;
        let mut subscription = subscribe(&client, &mut server, "a", QoS::ExactlyOnce).await;
        let delivery = enqueue(&client, "b", "1", QoS::ExactlyOnce).await;
        let mine = server.expect_message().await;

        server.send(publish("a", "2").qos2(mine)).await;
        assert_eq!(next(&mut subscription).await.payload(), b"2");
        server.expect(pubrec(mine)).await;
        server.send(pubrec(mine)).await;
        server.expect(pubrel(mine)).await;
        server.send(pubrel(mine)).await;
        server.expect(pubcomp(mine)).await;
        server.send(pubcomp(mine)).await;
        assert!(matches!(soon(delivery).await, Outcome::Acked { reason: ReasonCode::SUCCESS, .. }));
    }
}

/// [MQTT-2.2.1-4]: there is no identifier 0.
#[tokio::test]
async fn a_message_with_identifier_0_ends_the_connection() {
    for version in ALL {
        for first in ["32", "34"] {
            let stage = serve(version).await;
            let (client, mut server) = stage.meet_as(stage.once(), connack()).await;
            let rest = if version.is_v5() { "06 00 01 61 00 00 00" } else { "05 00 01 61 00 00" };
            server.send_hex(&format!("{first} {rest}")).await;
            server.expect_farewell(ReasonCode::PROTOCOL_ERROR).await;
            drop(server);
            assert_eq!(breach(failure(&client).await).reason_code(), ReasonCode::PROTOCOL_ERROR);
        }
    }
}

/// [MQTT-2.2.1-5] [MQTT-2.3.1-6/3.1.1]: acknowledgements repeat the identifier of their PUBLISH.
#[tokio::test]
async fn acknowledgements_repeat_the_identifier() {
    for version in ALL {
        let stage = serve(version).await;
        let (client, mut server) = stage.meet().await;
        let _subscription = subscribe(&client, &mut server, "a", QoS::ExactlyOnce).await;
        server.send(publish("b", "").qos1(0x1234)).await;
        server.expect_hex("40 02 12 34").await;
        server.send(publish("b", "").qos2(0x1234)).await;
        server.expect_hex("50 02 12 34").await;
        server.send_hex("62 02 12 34").await;
        server.expect_hex("70 02 12 34").await;

        let delivery = enqueue(&client, "b", "", QoS::ExactlyOnce).await;
        let id = server.expect_message().await;
        server.send(pubrec(id)).await;
        server.expect_hex(&format!("62 02 {id:04X}")).await;
        server.send(pubcomp(id)).await;
        assert!(matches!(soon(delivery).await, Outcome::Acked { .. }));
    }
}

/// [MQTT-2.2.1-5] [MQTT-2.3.1-6/3.1.1] [5u-31] [5u-32]: what answers nothing is answered where an answer is due, on 5.0
/// with 0x92, and is otherwise ignored.
#[tokio::test]
async fn unknown_identifiers_end_nothing() {
    for version in ALL {
        let stage = serve(version).await;
        let (client, mut server) = stage.meet().await;
        let not_found = ReasonCode::PACKET_IDENTIFIER_NOT_FOUND;
        let v5 = version.is_v5();
        server.send(puback(9)).await;
        server.send(pubcomp(9)).await;
        server.send(suback(9, &[ReasonCode::GRANTED_QOS_0])).await;
        server.send(unsubscribed(version, 9)).await;
        server.send(pubrec(9)).await;
        server.expect(if v5 { pubrel_with(9, not_found) } else { pubrel(9) }).await;
        server.send(pubrel(9)).await;
        server.expect(if v5 { pubcomp_with(9, not_found) } else { pubcomp(9) }).await;
        if v5 {
            // Whatever its code, a PUBREL ends the exchange.
            server.send(publish("a", "").qos2(9)).await;
            server.expect(pubrec(9)).await;
            server.send(pubrel_with(9, not_found)).await;
            server.expect(pubcomp(9)).await;
        }
        server.expect_nothing().await;
        assert!(client.status().negotiated.is_some());
    }
}

/// [MQTT-2.2.1-6] [MQTT-2.3.1-7/3.1.1]: only the answer under its own identifier, and of its own kind, answers a request.
#[tokio::test]
async fn a_request_waits_for_its_own_answer() {
    for version in ALL {
        let stage = serve(version).await;
        let (client, mut server) = stage.meet().await;
        let script = async {
            let id = server.expect_subscribe().await;
            server.send(suback(id + 1, &[ReasonCode::GRANTED_QOS_1])).await;
            server.send(puback(id)).await;
            server.send(unsubscribed(version, id)).await;
            server.expect_nothing().await;
            server.send(suback(id, &[ReasonCode::GRANTED_QOS_0])).await;
        };
        let (subscription, ()) = tokio::join!(soon(client.subscribe("a").qos(QoS::AtLeastOnce)), script);
        // The other answer would have granted more.
        let answers: Vec<_> = subscription.unwrap().results().iter().map(|(_, code)| *code).collect();
        assert_eq!(answers, [ReasonCode::GRANTED_QOS_0], "{version}");
    }
}

/// [MQTT-2.3.1-3/3.1.1] [MQTT-2.2.1-3]: what is sent again keeps its identifier, which stays taken until the end of the
/// exchange.
#[tokio::test]
async fn what_is_sent_again_keeps_its_identifier() {
    for version in ALL {
        let stage = serve(version).await;
        let (client, mut server) = stage.meet_as(stage.resuming(), connack()).await;
        for (payload, qos) in [("1", QoS::AtLeastOnce), ("2", QoS::ExactlyOnce)] {
            _ = enqueue(&client, "a", payload, qos).await;
        }
        let one = server.expect_message().await;
        let two = server.expect_message().await;
        drop(server);

        let mut server = stage.welcome_back().await;
        server.expect(publish("a", "1").qos1(one).dup()).await;
        server.expect(publish("a", "2").qos2(two).dup()).await;
        server.send(pubrec(two)).await;
        server.expect(pubrel(two)).await;
        // Between PUBREC and PUBCOMP it is not free: a hundred others do without it.
        for _ in 0..100 {
            _ = enqueue(&client, "a", "3", QoS::AtLeastOnce).await;
            let id = server.expect_message().await;
            assert!(id != one && id != two, "{version}: {id}");
            server.send(puback(id)).await;
        }
    }
}

/// [5u-24]: a PUBREC that refuses frees the identifier, as PUBCOMP does. With a server that takes one message at a time
/// it is the next to be used at the latest when all others have rested.
#[tokio::test]
async fn a_refused_message_frees_its_identifier() {
    let stage = serve(Version::V5).await;
    let (client, mut server) = stage.meet().await;
    let mut first = None;
    for round in 0..40 {
        let delivery = enqueue(&client, "a", "x", QoS::ExactlyOnce).await;
        let id = server.expect_message().await;
        server.send(pubrec_with(id, ReasonCode::NOT_AUTHORIZED)).await;
        let outcome = soon(delivery).await;
        assert!(matches!(outcome, Outcome::Acked { reason: ReasonCode::NOT_AUTHORIZED, .. }), "{outcome:?}");
        if round > 0 && first == Some(id) {
            return;
        }
        first = first.or(Some(id));
    }
    panic!("the identifier is not used again");
}
