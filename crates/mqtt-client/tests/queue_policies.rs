//! What becomes of messages for which the queue of their subscription has no room.

mod common;

use common::{Stage, granted, in_memory, next, soon};
use core::time::Duration;
use mqtt_client::{Client, Protocol, QueuePolicy, ReasonCode, State, Subscription};
use mqtt_testkit::broker::{Broker, Message};
use mqtt_testkit::packets::{connack, puback, puback_with, publish, pubrec, pubrec_with};
use mqtt_testkit::peer::Peer;
use std::sync::Arc;
use tokio::io::DuplexStream;
use tokio::time::sleep;

const SILENCE: Duration = Duration::from_secs(5);
const GRANTED: &[ReasonCode] = &[ReasonCode::GRANTED_QOS_2];
const DROPPING: [QueuePolicy; 3] =
    [QueuePolicy::DropOldest, QueuePolicy::DropNewest, QueuePolicy::KeepLatest];

async fn staged(protocol: Protocol) -> (Peer<DuplexStream>, Client) {
    let (mut stage, builder) = Stage::new();
    let client = builder.protocol(protocol).start().unwrap();
    let mut server = stage.accept().await;
    server.expect_connect().await;
    server.send(connack()).await;
    (server, client)
}

/// The payloads that wait in a stream, as long as they come at once.
async fn waiting(subscription: &mut Subscription) -> String {
    let mut payloads = String::new();
    while let Ok(Some(message)) = tokio::time::timeout(Duration::from_millis(1), subscription.next()).await {
        payloads += core::str::from_utf8(message.payload()).unwrap();
    }
    payloads
}

/// Each policy keeps its bound, drops what it says and counts it; the reading from the network never stops.
#[tokio::test(start_paused = true)]
async fn each_policy_drops_what_it_says() {
    for (policy, kept) in
        [(QueuePolicy::DropOldest, "def"), (QueuePolicy::DropNewest, "abc"), (QueuePolicy::KeepLatest, "efd")]
    {
        let (mut server, client) = staged(Protocol::V5).await;
        let subscribe = client.subscribe("t/+").capacity(3).when_full(policy);
        let mut slow = granted(&mut server, GRANTED, subscribe).await;
        let mut other = granted(&mut server, GRANTED, client.subscribe("other")).await;
        for (topic, payload) in [("1", "a"), ("2", "b"), ("3", "c"), ("3", "d"), ("1", "e"), ("2", "f")] {
            server.send(publish(&format!("t/{topic}"), payload)).await;
        }
        server.send(publish("other", "x")).await;
        assert_eq!(next(&mut other).await.payload(), b"x", "{policy:?}: reading goes on");
        assert_eq!((slow.dropped(), waiting(&mut slow).await.as_str()), (3, kept), "{policy:?}");
    }
}

/// Under QueuePolicy::Wait nothing is dropped, and nothing is read either.
#[tokio::test(start_paused = true)]
async fn to_wait_drops_nothing() {
    let broker = Arc::new(Broker::start().await.unwrap());
    let client = in_memory(&broker).await.unwrap();
    let mut subscription = client.subscribe("flood").capacity(1).await.unwrap();
    for _ in 0..2000 {
        broker.publish(Message::new("flood", vec![0; 100]));
    }
    sleep(Duration::from_secs(60)).await;
    for _ in 0..2000 {
        next(&mut subscription).await;
    }
    assert_eq!(subscription.dropped(), 0);
}

/// A dropped message of QoS 1 or 2 does not hold back those behind it, and in 5.0 the server hears the truth
/// [MQTT-4.4.0-2]. What is still in the queue is not acknowledged.
#[tokio::test(start_paused = true)]
async fn what_is_dropped_is_answered() {
    for protocol in common::PROTOCOLS {
        let (mut server, client) = staged(protocol).await;
        let subscribe = client.subscribe("a").capacity(2).when_full(QueuePolicy::DropOldest);
        let mut subscription = granted(&mut server, GRANTED, subscribe).await;
        let (told_1, told_2) = match protocol {
            Protocol::V5 => {
                (puback_with(1, ReasonCode::QUOTA_EXCEEDED), pubrec_with(2, ReasonCode::QUOTA_EXCEEDED))
            }
            _ => (puback(1), pubrec(2)),
        };
        server.send(publish("a", "1").qos1(1)).await;
        server.send(publish("a", "2").qos2(2)).await;
        server.expect_silence(SILENCE).await;
        server.send(publish("a", "3").qos1(3)).await;
        server.expect(told_1).await;
        server.send(publish("a", "4").qos1(4)).await;
        server.expect(told_2).await;
        server.expect_silence(SILENCE).await;
        assert_eq!((subscription.dropped(), waiting(&mut subscription).await.as_str()), (2, "34"));
        server.expect(puback(3)).await;
        server.expect(puback(4)).await;
    }
}

/// Where another subscription has the message, it was not refused.
#[tokio::test(start_paused = true)]
async fn dropped_by_one_and_taken_by_another() {
    let (mut server, client) = staged(Protocol::V5).await;
    let subscribe = client.subscribe("a/+").capacity(1).when_full(QueuePolicy::DropNewest);
    let mut small = granted(&mut server, GRANTED, subscribe).await;
    let mut large = granted(&mut server, GRANTED, client.subscribe("a/#")).await;
    for number in 1..=2 {
        server.send(publish("a/b", format!("{number}")).qos1(number)).await;
    }
    assert_eq!(waiting(&mut large).await, "12");
    server.expect_silence(SILENCE).await;
    assert_eq!((small.dropped(), waiting(&mut small).await.as_str()), (1, "1"));
    server.expect(puback(1)).await;
    server.expect(puback(2)).await;
}

/// With immediate acknowledgement the newest is dropped before it is acknowledged.
#[tokio::test(start_paused = true)]
async fn the_newest_is_dropped_before_it_is_acknowledged() {
    let (mut server, client) = staged(Protocol::V5).await;
    let subscribe = client.subscribe("a").capacity(1).immediate_ack().when_full(QueuePolicy::DropNewest);
    let mut subscription = granted(&mut server, GRANTED, subscribe).await;
    server.send(publish("a", "1").qos1(1)).await;
    server.expect(puback(1)).await;
    server.send(publish("a", "2").qos1(2)).await;
    server.expect(puback_with(2, ReasonCode::QUOTA_EXCEEDED)).await;
    assert_eq!(waiting(&mut subscription).await, "1");
}

/// The bound holds in a flood, for every policy that drops, whatever else is under way.
#[tokio::test(start_paused = true)]
async fn a_flood_stays_within_the_bound() {
    for policy in DROPPING {
        let broker = Arc::new(Broker::start().await.unwrap());
        let client = in_memory(&broker).await.unwrap();
        let subscribe = client.subscribe("flood/+").capacity(10).when_full(policy);
        let mut subscription = soon(subscribe).await.unwrap();
        for number in 0..10_000 {
            broker.publish(Message::new(&format!("flood/{}", number % 7), vec![0; 100]));
        }
        sleep(Duration::from_secs(1)).await;
        assert_eq!((subscription.dropped(), client.status().state), (9990, State::Connected), "{policy:?}");
        let mut left = 0;
        while tokio::time::timeout(Duration::from_millis(1), subscription.next()).await.is_ok() {
            left += 1;
        }
        assert_eq!(left, 10, "{policy:?}");
    }
}
