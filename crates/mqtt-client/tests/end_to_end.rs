//! Through the testkit's broker and real sockets: every version, every QoS, both directions.

mod common;

use bytes::Bytes;
use common::{ALL_QOS, PROTOCOLS, delivered, next, numbers, publish_numbers, soon};
use core::time::Duration;
use mqtt_client::transport::{BoxFuture, BoxTransport, Connect};
use mqtt_client::{
    CleanStart, Outcome, PropertiesBuf, Protocol, QoS, ReasonCode, RetainHandling, SubscriptionOptions,
    TopicName, UnsubscribeError, Version, Will, connect,
};
use mqtt_testkit::broker::Broker;
use std::io;
use tokio::io::BufStream;

/// {3.1, 3.1.1, 5.0} x {QoS 0, 1, 2}: a thousand messages arrive complete, in order and once.
#[tokio::test]
async fn every_version_at_every_qos() {
    let broker = Broker::start().await.unwrap();
    for protocol in PROTOCOLS {
        let client = connect(&broker.url()).protocol(protocol).await.unwrap();
        for qos in ALL_QOS {
            let topic = format!("matrix/{protocol}/{qos}");
            let mut subscription = client.subscribe(topic.as_str()).qos(qos).await.unwrap();
            assert_eq!(subscription.granted_qos(), Some(qos));
            let (_, arrived) = tokio::join!(
                publish_numbers(&client, &topic, qos, 0..1000),
                numbers(&mut subscription, 1000)
            );
            assert_eq!(arrived, (0..1000).collect::<Vec<u32>>(), "{protocol} QoS {qos}");
            subscription.unsubscribe().await.unwrap();
        }
        client.disconnect().await.unwrap();
    }
}

/// Payloads up to a megabyte, at once, in both directions: what one write or read cannot hold.
#[tokio::test]
async fn payloads_of_every_size() {
    let broker = Broker::start().await.unwrap();
    for protocol in PROTOCOLS {
        let client = connect(&broker.url()).protocol(protocol).await.unwrap();
        let mut subscription = client.subscribe("blob").qos(QoS::ExactlyOnce).await.unwrap();
        let sizes = [0, 1, 127, 128, 4095, 4096, 16_383, 16_384, 65_536, 262_144, 1_048_576];
        for (index, &size) in sizes.iter().enumerate() {
            let payload = Bytes::from((0..size).map(|i| (i * 7 + index) as u8).collect::<Vec<u8>>());
            let qos = ALL_QOS[index % 3];
            let (outcome, message) =
                tokio::join!(client.publish("blob", payload.clone()).qos(qos), next(&mut subscription));
            delivered(outcome.unwrap());
            assert_eq!(message.payload(), payload, "{protocol}, {size} bytes");
        }
        client.disconnect().await.unwrap();
    }
}

/// Trap 14: TLS and WebSockets hold bytes back until they are told to flush, and so does this transport.
#[tokio::test(start_paused = true)]
async fn a_transport_that_buffers_is_flushed() {
    struct Buffers(Broker);
    impl Connect for Buffers {
        fn connect(&self) -> BoxFuture<'_, io::Result<BoxTransport>> {
            Box::pin(async { Ok(Box::new(BufStream::new(self.0.connect_memory())) as BoxTransport) })
        }
    }
    let connector = Buffers(Broker::start().await.unwrap());
    let client = connect("mqtt://memory").connector(connector).await.unwrap();
    let mut subscription = client.subscribe("blob").qos(QoS::AtLeastOnce).await.unwrap();
    for size in [1, 65_536, 100_000] {
        let (outcome, message) = tokio::join!(
            client.publish("blob", vec![0; size]).qos(QoS::AtLeastOnce),
            next(&mut subscription)
        );
        delivered(outcome.unwrap());
        assert_eq!(message.payload().len(), size);
    }
}

#[tokio::test]
async fn an_outcome_tells_what_became_of_a_message() {
    let broker = Broker::start().await.unwrap();
    let client = connect(&broker.url()).protocol(Protocol::V5).await.unwrap();
    assert_eq!(client.publish("nobody", "0").await.unwrap(), Outcome::Sent);
    for qos in [QoS::AtLeastOnce, QoS::ExactlyOnce] {
        let Outcome::Acked { reason, .. } = client.publish("nobody", "1").qos(qos).await.unwrap() else {
            panic!()
        };
        assert_eq!(reason, ReasonCode::NO_MATCHING_SUBSCRIBERS);
    }
    broker.faults().reject_publish("forbidden", ReasonCode::NOT_AUTHORIZED);
    for qos in [QoS::AtLeastOnce, QoS::ExactlyOnce] {
        let outcome = client.publish("forbidden", "2").qos(qos).await.unwrap();
        assert!(
            matches!(outcome, Outcome::Acked { reason, .. } if reason == ReasonCode::NOT_AUTHORIZED),
            "{outcome:?}"
        );
    }
}

#[tokio::test]
async fn a_retained_message_comes_first() {
    let broker = Broker::start().await.unwrap();
    for protocol in PROTOCOLS {
        let client = connect(&broker.url()).protocol(protocol).await.unwrap();
        client.publish("lamp", "on").qos(QoS::AtLeastOnce).retain().await.unwrap();
        let mut subscription = client.subscribe("lamp").qos(QoS::AtLeastOnce).await.unwrap();
        let message = next(&mut subscription).await;
        assert_eq!((message.payload(), message.retain), (&b"on"[..], true), "{protocol}");
        drop(subscription);
        client.publish("lamp", "").qos(QoS::AtLeastOnce).retain().await.unwrap();
        assert!(broker.retained().is_empty(), "{protocol}");
        client.disconnect().await.unwrap();
    }
}

/// [MQTT-3.1.2-8]
#[tokio::test]
async fn the_will_is_published_when_the_client_is_cut_off_and_not_when_it_says_goodbye() {
    let broker = Broker::start().await.unwrap();
    for protocol in PROTOCOLS {
        let watcher = connect(&broker.url()).protocol(protocol).await.unwrap();
        let mut wills = watcher.subscribe("will").qos(QoS::AtLeastOnce).await.unwrap();
        let will = |payload: &'static str| Will {
            topic: TopicName::from_static("will").unwrap(),
            payload: Bytes::from_static(payload.as_bytes()),
            qos: QoS::AtLeastOnce,
            retain: false,
            properties: PropertiesBuf::new(),
        };
        let polite = connect(&broker.url()).protocol(protocol).will(will("polite")).await.unwrap();
        polite.disconnect().await.unwrap();
        let rude = connect(&broker.url()).protocol(protocol).will(will("rude")).await.unwrap();
        rude.abort();
        rude.closed().await;
        assert_eq!(next(&mut wills).await.payload(), b"rude", "{protocol}");

        if protocol == Protocol::V5 {
            let last = connect(&broker.url()).protocol(protocol).will(will("by reason")).await.unwrap();
            let reason = ReasonCode::DISCONNECT_WITH_WILL_MESSAGE;
            last.disconnect_with(reason, PropertiesBuf::new()).await.unwrap();
            assert_eq!(next(&mut wills).await.payload(), b"by reason");
        }
        watcher.disconnect().await.unwrap();
    }
}

/// [MQTT-3.3.4-1] and around: properties arrive as they were given, in order.
#[tokio::test]
async fn properties_travel_with_the_message() {
    let broker = Broker::start().await.unwrap();
    let client = connect(&broker.url()).protocol(Protocol::V5).await.unwrap();
    let mut subscription = client.subscribe("typed").await.unwrap();
    let properties = PropertiesBuf::builder()
        .payload_format_indicator(true)
        .content_type("text/plain")
        .response_topic("answers")
        .correlation_data(b"\x00\x01")
        .user_property("a", "1")
        .user_property("a", "2")
        .build()
        .unwrap();
    client.publish("typed", "x").properties(properties).await.unwrap();
    let message = next(&mut subscription).await;
    let arrived = message.properties.view();
    assert_eq!(arrived.payload_format_indicator(), Some(true));
    assert_eq!(arrived.content_type(), Some("text/plain"));
    assert_eq!(arrived.response_topic(), Some("answers"));
    assert_eq!(arrived.correlation_data(), Some(&b"\x00\x01"[..]));
    assert_eq!(arrived.user_properties().collect::<Vec<_>>(), [("a", "1"), ("a", "2")]);
}

#[tokio::test]
async fn several_filters_have_one_answer_each() {
    let broker = Broker::start().await.unwrap();
    broker.faults().reject_subscription("closed", ReasonCode::NOT_AUTHORIZED);
    for protocol in [Protocol::V3_1_1, Protocol::V5] {
        let client = connect(&broker.url()).protocol(protocol).await.unwrap();
        let filters =
            [("open/a", QoS::AtMostOnce), ("closed", QoS::AtLeastOnce), ("open/b", QoS::ExactlyOnce)];
        let mut subscription = client.subscribe_all(filters).await.unwrap();
        let codes: Vec<Option<QoS>> =
            subscription.results().iter().map(|(_, code)| code.granted_qos()).collect();
        assert_eq!(codes, [Some(QoS::AtMostOnce), None, Some(QoS::ExactlyOnce)], "{protocol}");
        for topic in ["open/a", "closed", "open/b"] {
            client.publish(topic, topic).qos(QoS::AtLeastOnce).await.unwrap();
        }
        assert_eq!(next(&mut subscription).await.topic(), "open/a");
        assert_eq!(next(&mut subscription).await.topic(), "open/b");
        client.disconnect().await.unwrap();
    }
}

/// Overlapping subscriptions of 5.0: each stream has its own messages, once, whatever the broker sends.
#[tokio::test]
async fn overlapping_subscriptions_each_get_their_copy() {
    let broker = Broker::start().await.unwrap();
    let client = connect(&broker.url()).protocol(Protocol::V5).await.unwrap();
    let mut wide = client.subscribe("a/#").qos(QoS::ExactlyOnce).await.unwrap();
    let mut narrow = client.subscribe("a/b").qos(QoS::AtLeastOnce).await.unwrap();
    publish_numbers(&client, "a/b", QoS::ExactlyOnce, 0..100).await;
    publish_numbers(&client, "a/c", QoS::ExactlyOnce, 100..200).await;
    assert_eq!(numbers(&mut wide, 200).await, (0..200).collect::<Vec<u32>>());
    assert_eq!(numbers(&mut narrow, 100).await, (0..100).collect::<Vec<u32>>());
    publish_numbers(&client, "a/b", QoS::AtMostOnce, 7..8).await;
    assert_eq!(
        (numbers(&mut wide, 1).await, numbers(&mut narrow, 1).await),
        (vec![7], vec![7]),
        "no copy is left"
    );
}

#[tokio::test]
async fn the_last_holder_of_a_filter_unsubscribes() {
    let broker = Broker::start().await.unwrap();
    let client = connect(&broker.url()).client_id("holder").await.unwrap();
    let filters = || {
        let session = broker.session("holder").unwrap();
        session.subscriptions.iter().map(|held| held.filter.as_str().to_owned()).collect::<Vec<_>>()
    };
    let first = client.subscribe("shared/topic").qos(QoS::AtLeastOnce).await.unwrap();
    let second = client.subscribe("shared/topic").await.unwrap();
    assert_eq!(second.granted_qos(), Some(QoS::AtLeastOnce), "the second takes nothing from the first");
    drop(first);
    client.publish("anything", "").qos(QoS::AtLeastOnce).await.unwrap();
    assert_eq!(filters(), ["shared/topic"]);
    drop(second);
    client.publish("anything", "").qos(QoS::AtLeastOnce).await.unwrap();
    assert!(filters().is_empty());

    let mut stays = client.subscribe("stays").await.unwrap();
    client.publish("stays", "1").qos(QoS::AtLeastOnce).await.unwrap();
    assert_eq!(next(&mut stays).await.payload(), b"1");
    let mut unmatched = client.unmatched();
    stays.detach();
    client.publish("stays", "2").qos(QoS::AtLeastOnce).await.unwrap();
    assert_eq!(filters(), ["stays"]);
    assert_eq!(next(&mut unmatched).await.payload(), b"2");

    let mut ends = client.subscribe("stays").await.unwrap();
    client.unsubscribe(["stays"]).await.unwrap();
    assert!(filters().is_empty());
    assert!(soon(ends.next()).await.is_none());
    drop(ends);
    match client.unsubscribe(["never/subscribed"]).await {
        Ok(()) => {}
        Err(UnsubscribeError::Refused(refused)) => panic!("{refused:?}"),
        Err(error) => panic!("{error}"),
    }
}

/// [MQTT-3.8.3-3], [MQTT-3.3.1-12] and around: the options of 5.0 reach the server.
#[tokio::test]
async fn subscription_options_of_5() {
    let broker = Broker::start().await.unwrap();
    let client = connect(&broker.url()).protocol(Protocol::V5).await.unwrap();
    client.publish("kept", "old").qos(QoS::AtLeastOnce).retain().await.unwrap();
    let options = SubscriptionOptions {
        qos: QoS::AtLeastOnce,
        no_local: true,
        retain_as_published: true,
        retain_handling: RetainHandling::DoNotSend,
    };
    let mut subscription = client.subscribe("kept").options(options).await.unwrap();
    client.publish("kept", "own").await.unwrap();
    let other = connect(&broker.url()).await.unwrap();
    other.publish("kept", "new").qos(QoS::AtLeastOnce).retain().await.unwrap();
    let message = next(&mut subscription).await;
    assert_eq!((message.payload(), message.retain), (&b"new"[..], true));
}

/// A session that was left on purpose is found again by the next run, with what came in between.
#[tokio::test]
async fn a_persistent_session_is_resumed() {
    for protocol in PROTOCOLS {
        let broker = Broker::start().await.unwrap();
        let persistent = || {
            let builder =
                connect(&broker.url()).client_id("worker").clean_start(CleanStart::Never).protocol(protocol);
            match protocol {
                Protocol::V5 => builder.session_expiry(Duration::from_secs(3600)),
                _ => builder,
            }
        };
        let client = persistent().await.unwrap();
        let subscription = client.subscribe("jobs").qos(QoS::ExactlyOnce).await.unwrap();
        client.disconnect().await.unwrap();
        drop(subscription);
        assert_eq!(broker.session("worker").unwrap().subscriptions.len(), 1, "{protocol}");

        let boss = connect(&broker.url()).await.unwrap();
        publish_numbers(&boss, "jobs", QoS::ExactlyOnce, 0..100).await;

        let client = persistent().await.unwrap();
        // The messages may be there before the subscription is: they wait for it.
        tokio::time::sleep(Duration::from_millis(20)).await;
        let options = SubscriptionOptions::new(QoS::ExactlyOnce);
        let mut subscription = client.subscribe("jobs").options(options).await.unwrap();
        assert_eq!(numbers(&mut subscription, 100).await, (0..100).collect::<Vec<u32>>(), "{protocol}");
        client.disconnect().await.unwrap();
    }
}

/// [MQTT-3.3.4-9]: a small window of the server is no obstacle.
#[tokio::test]
async fn the_servers_receive_maximum_is_kept() {
    let broker = Broker::builder().receive_maximum(3).start().await.unwrap();
    let client = connect(&broker.url()).protocol(Protocol::V5).receive_maximum(2).await.unwrap();
    let mut subscription = client.subscribe("narrow").qos(QoS::ExactlyOnce).await.unwrap();
    let (_, arrived) = tokio::join!(
        publish_numbers(&client, "narrow", QoS::ExactlyOnce, 0..200),
        numbers(&mut subscription, 200)
    );
    assert_eq!(arrived, (0..200).collect::<Vec<u32>>());
}

#[tokio::test]
async fn a_status_says_what_holds() {
    let broker = Broker::builder().server_keep_alive(7).maximum_qos(QoS::AtLeastOnce).start().await.unwrap();
    let client = connect(&broker.url()).client_id("looks").await.unwrap();
    let negotiated = client.status().negotiated.unwrap();
    assert_eq!(negotiated.version, Version::V5);
    assert_eq!(negotiated.client_id.as_str(), "looks");
    assert_eq!((negotiated.keep_alive, negotiated.maximum_qos), (7, QoS::AtLeastOnce));
    client.disconnect().await.unwrap();
    assert_eq!(client.status().state, mqtt_client::State::Closed);
}

/// A hundred tasks share one client.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_tasks_publish_through_one_client() {
    let broker = Broker::start().await.unwrap();
    let client = connect(&broker.url()).queue(16, 1 << 20).await.unwrap();
    let mut subscription = client.subscribe("crowd/+").qos(QoS::ExactlyOnce).await.unwrap();
    let tasks: Vec<_> = (0..100_u32)
        .map(|task| {
            let client = client.clone();
            tokio::spawn(async move {
                for round in 0..20_u32 {
                    let payload = round.to_be_bytes().to_vec();
                    let qos = ALL_QOS[(task as usize + round as usize) % 3];
                    delivered(client.publish(format!("crowd/{task}"), payload).qos(qos).await.unwrap());
                }
            })
        })
        .collect();
    let mut rounds = std::collections::HashMap::<String, u32>::new();
    for _ in 0..2000 {
        let message = next(&mut subscription).await;
        let expected = rounds.entry(message.topic().to_owned()).or_default();
        assert_eq!(common::number(&message), *expected, "in order for each topic");
        *expected += 1;
    }
    for task in tasks {
        task.await.unwrap();
    }
    assert_eq!(client.drain(Duration::from_secs(5)).await, 0);
}
