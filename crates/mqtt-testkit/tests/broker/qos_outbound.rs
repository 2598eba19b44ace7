//! What subscribers get: QoS, quota, order, and resending.

use super::*;
use core::time::Duration;
use mqtt_codec::QoS;
use mqtt_testkit::broker::{Message, Restart};
use mqtt_testkit::packets::{
    PublishScript, puback, pubcomp, publish, pubrec, pubrec_with, pubrel, pubrel_with, subscribe,
};
use std::collections::HashSet;

const QUIET: Duration = Duration::from_millis(100);

/// A client with a lasting session, subscribed to everything at QoS 2, that takes so many messages at a time.
async fn subscriber(broker: &Broker, version: Version, receive_maximum: u16) -> Client {
    let is_new = broker.session("sub").is_none();
    let (mut client, _) = enter(broker, version, with_maximum(version, receive_maximum)).await;
    if is_new {
        client.send(subscribe(1, [("#", QoS::ExactlyOnce)])).await;
        client.expect_any().await;
    }
    client
}

fn with_maximum(version: Version, receive_maximum: u16) -> Connect {
    match version {
        Version::V5 => Connect {
            properties: properties(|p| p.session_expiry_interval(3600).receive_maximum(receive_maximum)),
            ..lasting("sub", version)
        },
        _ => lasting("sub", version),
    }
}

/// Publishes from another client and waits for the acknowledgement.
async fn feed(broker: &Broker, messages: impl IntoIterator<Item = (&'static str, u8)>) {
    let mut client = v5(broker, "feeder").await;
    for (payload, qos) in messages {
        let before = broker.received_count();
        let message = publish("t", payload);
        client
            .send(match qos {
                0 => message,
                1 => message.qos1(1),
                _ => message.qos2(2),
            })
            .await;
        broker.until("the message", |broker| broker.received_count() > before).await;
        if qos == 2 {
            client.expect_that("PUBREC", |packet| matches!(packet, Packet::PubRec(_))).await;
            client.send(pubrel(2)).await;
        }
        if qos > 0 {
            client.expect_any().await;
        }
    }
    leave(broker, client, "feeder").await;
}

/// `[MQTT-3.8.4-8]`
#[tokio::test]
async fn a_message_comes_at_the_lower_of_both_qos() {
    let broker = Broker::start().await.unwrap();
    for version in VERSIONS {
        for granted in [QoS::AtMostOnce, QoS::AtLeastOnce, QoS::ExactlyOnce] {
            for published in 0..=2 {
                let mut client = client(&broker, version, "sub").await;
                client.send(subscribe(1, [("t", granted)])).await;
                client.expect_any().await;
                feed(&broker, [("x", published)]).await;
                let expected = publish("t", "x");
                client
                    .expect(match granted.as_u8().min(published) {
                        0 => expected,
                        1 => expected.qos1(1),
                        _ => expected.qos2(1),
                    })
                    .await;
            }
        }
    }
}

/// `[MQTT-4.3.3-4]` `[MQTT-4.3.3-6]`
#[tokio::test]
async fn qos_2_goes_its_four_steps() {
    let broker = Broker::start().await.unwrap();
    for version in VERSIONS {
        let mut client = subscriber(&broker, version, 10).await;
        feed(&broker, [("x", 2)]).await;
        client.expect(publish("t", "x").qos2(1)).await;
        assert_eq!(broker.session("sub").unwrap().in_flight, 1);
        client.send(pubrec(1)).await;
        client.expect(pubrel(1)).await;
        client.send(pubrec(1)).await;
        client.expect(pubrel(1)).await;
        client.send(pubcomp(1)).await;
        broker.until("the end of the exchange", |broker| broker.session("sub").unwrap().in_flight == 0).await;
        leave(&broker, client, "sub").await;
        broker.restart(Restart::Lose).await.unwrap();
    }
}

/// `[MQTT-4.3.3-4]`: a failing PUBREC ends the exchange and frees the quota.
#[tokio::test]
async fn a_failing_pubrec_is_not_answered() {
    let broker = Broker::start().await.unwrap();
    let mut client = subscriber(&broker, Version::V5, 1).await;
    feed(&broker, [("bad", 2), ("good", 2)]).await;
    client.expect(publish("t", "bad").qos2(1)).await;
    client.send(pubrec_with(1, ReasonCode::QUOTA_EXCEEDED)).await;
    client.expect(publish("t", "good").qos2(2)).await;
}

#[tokio::test]
async fn an_unknown_pubrec_gets_pubrel() {
    let broker = Broker::start().await.unwrap();
    let mut client = v5(&broker, "c").await;
    client.send(pubrec(77)).await;
    client.expect(pubrel_with(77, ReasonCode::PACKET_IDENTIFIER_NOT_FOUND)).await;
    let mut client = self::client(&broker, Version::V3_1_1, "c").await;
    client.send(pubrec(77)).await;
    client.expect(pubrel(77)).await;
}

/// `[MQTT-3.3.4-9]` `[MQTT-4.9.0-2]`
#[tokio::test(start_paused = true)]
async fn the_receive_maximum_is_kept() {
    let broker = Broker::start().await.unwrap();
    let mut client = subscriber(&broker, Version::V5, 2).await;
    feed(&broker, [("a", 1), ("b", 2), ("c", 1), ("d", 0), ("e", 2)]).await;
    client.expect(publish("t", "a").qos1(1)).await;
    client.expect(publish("t", "b").qos2(2)).await;
    client.expect_silence(QUIET).await;
    let session = broker.session("sub").unwrap();
    assert_eq!((session.in_flight, session.queued), (2, 3));
    client.send(puback(1)).await;
    client.expect(publish("t", "c").qos1(3)).await;
    client.expect(publish("t", "d")).await;
    client.send(pubrec(2)).await;
    client.expect(pubrel(2)).await; // `[MQTT-3.3.4-10]`: only PUBLISH is held back
    client.expect_silence(QUIET).await;
    client.send(pubcomp(2)).await;
    client.expect(publish("t", "e").qos2(4)).await;
}

/// `[MQTT-4.4.0-1]` `[MQTT-4.6.0-1]` `[MQTT-3.3.1-1]`: in the order of first sending, with the same identifiers.
#[tokio::test(start_paused = true)]
async fn a_resumed_session_sends_again_what_was_not_acknowledged() {
    let broker = Broker::start().await.unwrap();
    for version in VERSIONS {
        let mut client = subscriber(&broker, version, 10).await;
        feed(&broker, [("a", 1), ("b", 2), ("c", 2), ("d", 1), ("e", 1)]).await;
        client.expect(publish("t", "a").qos1(1)).await;
        client.expect(publish("t", "b").qos2(2)).await;
        client.expect(publish("t", "c").qos2(3)).await;
        client.expect(publish("t", "d").qos1(4)).await;
        client.expect(publish("t", "e").qos1(5)).await;
        client.send(pubrec(3)).await;
        client.expect(pubrel(3)).await;
        client.send(puback(4)).await;
        broker.until("the PUBACK", |broker| broker.session("sub").unwrap().in_flight == 4).await;
        vanish(&broker, client, "sub").await;
        feed(&broker, [("f", 1)]).await;

        let mut client = subscriber(&broker, version, 10).await;
        client.expect(publish("t", "a").qos1(1).dup()).await;
        client.expect(publish("t", "b").qos2(2).dup()).await;
        client.expect(pubrel(3)).await;
        client.expect(publish("t", "e").qos1(5).dup()).await;
        client.expect(publish("t", "f").qos1(6)).await;
        client.send(puback(1)).await;
        client.send(pubrec(2)).await;
        client.expect(pubrel(2)).await;
        client.send(pubcomp(2)).await;
        client.send(pubcomp(3)).await;
        client.send(puback(5)).await;
        client.send(puback(6)).await;
        broker.until("all acknowledged", |broker| broker.session("sub").unwrap().in_flight == 0).await;
        vanish(&broker, client, "sub").await;

        let mut client = subscriber(&broker, version, 10).await;
        client.expect_silence(QUIET).await;
        leave(&broker, client, "sub").await;
        broker.restart(Restart::Lose).await.unwrap();
    }
}

/// `[MQTT-4.9.0-1]`: the quota is that of the new connection, for resending too.
#[tokio::test(start_paused = true)]
async fn a_smaller_receive_maximum_holds_after_a_reconnect() {
    let broker = Broker::start().await.unwrap();
    let mut client = subscriber(&broker, Version::V5, 10).await;
    feed(&broker, [("a", 2), ("b", 1), ("c", 1)]).await;
    client.expect(publish("t", "a").qos2(1)).await;
    client.send(pubrec(1)).await;
    client.expect_publish().await;
    client.expect_publish().await;
    client.expect(pubrel(1)).await;
    vanish(&broker, client, "sub").await;

    let mut client = subscriber(&broker, Version::V5, 1).await;
    client.expect(pubrel(1)).await;
    client.expect(publish("t", "b").qos1(2).dup()).await;
    client.send(pubcomp(1)).await; // its PUBLISH was not sent on this connection: no quota comes back
    client.expect_silence(QUIET).await;
    client.send(puback(2)).await;
    client.expect(publish("t", "c").qos1(3).dup()).await;
}

/// `[MQTT-2.2.1-4]`
#[tokio::test]
async fn identifiers_in_use_are_not_given_again() {
    let broker = Broker::start().await.unwrap();
    let mut client = subscriber(&broker, Version::V5, u16::MAX).await;
    let mut in_use = HashSet::new();
    for round in 0..70_u16 {
        for _ in 0..1000 {
            broker.publish(Message { qos: QoS::AtLeastOnce, ..Message::new("t", "x") });
            let id = client.expect_publish().await.delivery().id().unwrap();
            assert!(in_use.insert(id), "{id} is in use");
        }
        // The oldest stays in flight; identifiers wrap around it.
        let keep = in_use.iter().copied().min().unwrap();
        for id in in_use.drain().filter(|id| *id != keep).collect::<Vec<_>>() {
            client.send(puback(id.get())).await;
        }
        in_use.insert(keep);
        assert_eq!(keep.get(), 1, "in round {round}");
    }
}

#[tokio::test(start_paused = true)]
async fn qos_0_is_not_kept_for_a_client_that_is_away() {
    let broker = Broker::start().await.unwrap();
    for version in VERSIONS {
        let client = subscriber(&broker, version, 10).await;
        leave(&broker, client, "sub").await;
        feed(&broker, [("a", 0), ("b", 1), ("c", 0), ("d", 2)]).await;
        let mut client = subscriber(&broker, version, 10).await;
        client.expect(publish("t", "b").qos1(1)).await;
        client.expect(publish("t", "d").qos2(2)).await;
        client.expect_silence(QUIET).await;
        leave(&broker, client, "sub").await;
        broker.restart(Restart::Lose).await.unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn qos_0_that_waits_is_lost_with_the_connection() {
    let broker = Broker::start().await.unwrap();
    let mut client = subscriber(&broker, Version::V5, 1).await;
    feed(&broker, [("a", 1), ("c", 1), ("b", 0)]).await;
    client.expect(publish("t", "a").qos1(1)).await;
    assert_eq!(broker.session("sub").unwrap().queued, 2);
    vanish(&broker, client, "sub").await;
    assert_eq!(broker.session("sub").unwrap().queued, 1);
    let mut client = subscriber(&broker, Version::V5, 10).await;
    client.expect(publish("t", "a").qos1(1).dup()).await;
    client.expect(publish("t", "c").qos1(2)).await;
    client.expect_silence(QUIET).await;
}

/// Everything that may be passed on is, and nothing else. `[MQTT-3.3.2-4]` `[MQTT-3.3.2-15]` to `[MQTT-3.3.2-20]`
#[tokio::test]
async fn properties_pass_through() {
    let broker = Broker::start().await.unwrap();
    let mut client = v5(&broker, "c").await;
    client.send(subscribe(1, [("t", QoS::AtMostOnce)])).await;
    client.expect_any().await;
    let mut old = self::client(&broker, Version::V3_1_1, "old").await;
    old.send(subscribe(1, [("t", QoS::AtMostOnce)])).await;
    old.expect_any().await;
    let passed = || {
        PropertiesBuf::builder()
            .payload_format_indicator(true)
            .user_property("b", "1")
            .content_type("text/plain")
            .user_property("a", "2")
            .response_topic("answers")
            .correlation_data(b"\x00\xFF")
            .user_property("b", "3")
    };
    let message = |properties: PropertiesBuf| -> PublishScript { publish("t", "x").properties(properties) };
    client.send(message(passed().topic_alias(1).build().unwrap())).await;
    client.expect(message(passed().build().unwrap())).await;
    old.expect(publish("t", "x")).await;
}
