//! What the feature `metrics` counts.

mod common;

use common::{delivered, in_memory, next};
use core::time::Duration;
use metrics_util::debugging::{DebugValue, DebuggingRecorder};
use mqtt_client::{Overflow, QoS, QueuePolicy};
use mqtt_testkit::broker::{Broker, Message};
use std::collections::BTreeMap;
use std::sync::Arc;
use tokio::runtime::Builder;
use tokio::time::sleep;

/// What a recorder has seen of the client `c` in the end: name and QoS, and the number.
fn recorded(life: impl Future<Output = ()>) -> BTreeMap<String, f64> {
    let recorder = DebuggingRecorder::new();
    let snapshotter = recorder.snapshotter();
    let runtime = Builder::new_current_thread().enable_all().start_paused(true).build().unwrap();
    metrics::with_local_recorder(&recorder, || runtime.block_on(life));
    let all = snapshotter.snapshot().into_vec();
    let of_c = all
        .into_iter()
        .filter(|(key, ..)| key.key().labels().any(|label| (label.key(), label.value()) == ("client", "c")));
    of_c.map(|(key, _, _, value)| {
        let qos = key.key().labels().find(|label| label.key() == "qos").map(|label| label.value().to_owned());
        let name = key.key().name().to_owned() + &qos.map(|qos| format!("/{qos}")).unwrap_or_default();
        let value = match value {
            DebugValue::Counter(count) => count as f64,
            DebugValue::Gauge(value) => value.into_inner(),
            DebugValue::Histogram(_) => panic!("{name} is no histogram"),
        };
        (name, value)
    })
    .collect()
}

#[test]
fn messages_and_bytes_are_counted_by_qos() {
    let seen = recorded(async {
        let broker = Arc::new(Broker::start().await.unwrap());
        let client = in_memory(&broker).client_id("c").await.unwrap();
        let mut messages = client.subscribe("a").qos(QoS::AtLeastOnce).await.unwrap();
        for (qos, count) in [(QoS::AtMostOnce, 1), (QoS::AtLeastOnce, 2), (QoS::ExactlyOnce, 3)] {
            for _ in 0..count {
                delivered(client.publish("a", vec![0; 10_000]).qos(qos).await.unwrap());
                next(&mut messages).await;
            }
        }
        // Somebody else's subscription in this session, as it seems.
        client.subscribe("b").await.unwrap().detach();
        broker.publish(Message::new("b", "x"));
        sleep(Duration::from_secs(1)).await;
        client.disconnect().await.unwrap();
    });
    assert_eq!([0, 1, 2].map(|qos| seen[&format!("mqtt_messages_sent_total/{qos}")]), [1.0, 2.0, 3.0]);
    // What was sent at QoS 2 is granted at 1; and one came at 0 that nobody took.
    assert_eq!([0, 1, 2].map(|qos| seen[&format!("mqtt_messages_received_total/{qos}")]), [2.0, 5.0, 0.0]);
    assert_eq!(seen["mqtt_messages_unclaimed_total"], 1.0);
    for bytes in ["mqtt_bytes_sent_total", "mqtt_bytes_received_total"] {
        assert!((60_000.0..61_000.0).contains(&seen[bytes]), "{bytes} {}", seen[bytes]);
    }
    assert_eq!((seen["mqtt_connections_total"], seen["mqtt_reconnects_total"]), (1.0, 0.0));
}

/// What the queues of subscriptions had no room for, by a policy, or because a slow neighbour holds all up.
#[test]
fn messages_that_found_no_room_are_counted() {
    let mut dropped = [0; 3];
    let seen = recorded(async {
        let broker = Arc::new(Broker::start().await.unwrap());
        let client = in_memory(&broker).client_id("c").await.unwrap();
        let of = |topic| client.subscribe(topic).capacity(2);
        let oldest = of("a").qos(QoS::AtLeastOnce).when_full(QueuePolicy::DropOldest).await.unwrap();
        let newest = of("+").when_full(QueuePolicy::DropNewest).await.unwrap();
        let waiting = of("b").await.unwrap();
        for _ in 0..7 {
            broker.publish(Message { qos: QoS::AtLeastOnce, ..Message::new("a", "x") });
        }
        for _ in 0..10 {
            broker.publish(Message::new("b", "x"));
            // The answer is behind the message, and is read for.
            client.unsubscribe(["c"]).await.unwrap();
        }
        dropped = [&oldest, &newest, &waiting].map(|subscription| subscription.dropped());
    });
    assert_eq!(dropped[0], 5);
    assert!(dropped[1] >= 10 && dropped[2] > 0, "{dropped:?}");
    assert_eq!(seen["mqtt_deliveries_dropped_total"], dropped.iter().sum::<u64>() as f64);
    assert_eq!(seen["mqtt_messages_unclaimed_total"], 0.0);
}

#[test]
fn connections_pings_and_queues_are_measured() {
    let mut queued_bytes = 0;
    let seen = recorded(async {
        let broker = Arc::new(Broker::start().await.unwrap());
        let builder = in_memory(&broker).client_id("c").keep_alive(Duration::from_secs(10));
        let client = builder.queue(2, 1000).queue_overflow(Overflow::DropOldest).await.unwrap();
        for _ in 0..3 {
            broker.cut_all();
            sleep(Duration::from_secs(100)).await;
        }
        broker.kill().await;
        sleep(Duration::from_secs(1)).await;
        for _ in 0..7 {
            drop(client.publish("a", "12345").qos(QoS::AtLeastOnce).enqueue().await.unwrap());
        }
        sleep(Duration::from_secs(1)).await;
        queued_bytes = client.status().queued_bytes;
    });
    assert_eq!((seen["mqtt_connections_total"], seen["mqtt_reconnects_total"]), (4.0, 3.0));
    assert!(seen["mqtt_disconnects_total"] >= 4.0);
    assert_eq!((seen["mqtt_queue_messages"], seen["mqtt_messages_dropped_total"]), (2.0, 5.0));
    assert_eq!((seen["mqtt_queue_bytes"], seen["mqtt_in_flight"]), (queued_bytes as f64, 0.0));
    assert!(queued_bytes > 0);
    assert!(seen.contains_key("mqtt_ping_round_trip_seconds"));
}
