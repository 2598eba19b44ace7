//! A full queue: what gives way, and that nobody waits who need not.

mod common;

use common::{Stage, delivered, in_memory, soon};
use core::time::Duration;
use mqtt_client::{
    Client, ConnectError, DeliveryToken, OptionFault, Outcome, Overflow, Protocol, PublishError, QoS,
    ReconnectPolicy, UsageError, connect,
};
use mqtt_testkit::broker::{Broker, Restart};
use mqtt_testkit::packets::{connack, connack_with_session, publish};
use std::sync::Arc;
use tokio::time::{sleep, timeout};

/// Publishes 25 messages, to five topics in turn, and never waits for more than a turn of the client's task.
async fn publish_all(client: &Client) -> Vec<DeliveryToken> {
    let began = common::now();
    let mut deliveries = Vec::new();
    for number in 0..25_u32 {
        let topic = format!("topic/{}", number % 5);
        let publish = client.publish(topic, number.to_be_bytes().to_vec()).qos(QoS::AtLeastOnce);
        deliveries.push(soon(publish.enqueue()).await.unwrap());
    }
    assert_eq!(began, common::now(), "no time passes");
    deliveries
}

/// The messages of those that arrive, and that all others were dropped, and said so.
async fn outcomes(deliveries: Vec<DeliveryToken>) -> Vec<usize> {
    let mut arrived = Vec::new();
    for (number, delivery) in deliveries.into_iter().enumerate() {
        match soon(delivery).await {
            Outcome::Dropped => {}
            outcome => {
                delivered(outcome);
                arrived.push(number);
            }
        }
    }
    arrived
}

const POLICIES: [(Overflow, [usize; 10]); 3] = [
    (Overflow::DropOldest, [15, 16, 17, 18, 19, 20, 21, 22, 23, 24]),
    (Overflow::DropNewest, [0, 1, 2, 3, 4, 5, 6, 7, 8, 9]),
    // Two of each topic had come when the queue was full; from then on the second was replaced.
    (Overflow::KeepLatest, [0, 1, 2, 3, 4, 20, 21, 22, 23, 24]),
];

/// Trap 2: a dead server blocks nobody, whether it was there before or not, and what gives way is what was chosen.
#[tokio::test(start_paused = true)]
async fn a_dead_server_stops_nobody() {
    for (overflow, expected) in POLICIES {
        for connected_before in [false, true] {
            let broker = Arc::new(Broker::start().await.unwrap());
            let at_once = ReconnectPolicy::default()
                .first_delay(Duration::from_millis(10))
                .max_delay(Duration::from_millis(10));
            let builder = in_memory(&broker).client_id("c").reconnect(at_once).queue(10, 1 << 20);
            let builder = builder.queue_overflow(overflow);
            let client = if connected_before {
                let client = builder.await.unwrap();
                broker.kill().await;
                sleep(Duration::from_millis(1)).await;
                client
            } else {
                broker.kill().await;
                builder.start().unwrap()
            };
            let deliveries = publish_all(&client).await;
            sleep(Duration::from_millis(1)).await;
            assert_eq!(client.status().queued, 10, "{overflow:?}");
            broker.restart(Restart::Keep).await.unwrap();
            assert_eq!(
                outcomes(deliveries).await,
                expected,
                "{overflow:?}, connected before: {connected_before}"
            );
        }
    }
}

/// Nor does one that acknowledges nothing; what is in flight is never dropped.
#[tokio::test(start_paused = true)]
async fn a_silent_server_stops_nobody() {
    let (mut stage, builder) = Stage::new();
    let client =
        builder.in_flight(2).queue(10, 1 << 20).queue_overflow(Overflow::DropOldest).start().unwrap();
    let mut server = stage.accept().await;
    server.expect_connect().await;
    server.send(connack()).await;
    sleep(Duration::from_millis(1)).await;
    let deliveries = publish_all(&client).await;
    for number in 0..2_u8 {
        assert_eq!(server.expect_publish().await.payload(), [0, 0, 0, number]);
    }
    sleep(Duration::from_secs(1)).await;
    assert_eq!((client.status().queued, client.status().open), (10, 12));
    client.abort();
    let mut fates = Vec::new();
    for delivery in deliveries {
        fates.push(soon(delivery).await);
    }
    assert_eq!(fates[..2], [Outcome::Unknown, Outcome::Unknown]);
    assert!(fates[2..15].iter().all(|fate| *fate == Outcome::Dropped));
    assert!(fates[15..].iter().all(|fate| *fate == Outcome::NotSent));
}

/// Bytes count as messages do.
#[tokio::test(start_paused = true)]
async fn bytes_overflow_too() {
    let broker = Arc::new(Broker::start().await.unwrap());
    broker.kill().await;
    let client =
        in_memory(&broker).queue(1_000, 10_000).queue_overflow(Overflow::DropOldest).start().unwrap();
    let mut last = None;
    for _ in 0..100 {
        let publish = client.publish("a", vec![0; 1_000]).qos(QoS::AtLeastOnce);
        last = Some(soon(publish.enqueue()).await.unwrap());
    }
    sleep(Duration::from_millis(1)).await;
    let bytes = client.status().queued_bytes;
    assert!((9_000..=11_000).contains(&bytes), "{bytes}");
    broker.restart(Restart::Keep).await.unwrap();
    delivered(timeout(Duration::from_secs(120), last.unwrap()).await.unwrap());
}

/// Without a policy everybody waits, as ever; and whoever may not wait is told.
#[tokio::test(start_paused = true)]
async fn nothing_is_dropped_unless_asked_for() {
    let broker = Arc::new(Broker::start().await.unwrap());
    broker.kill().await;
    let client = in_memory(&broker).queue(2, 1_000).start().unwrap();
    let _kept = [
        client.publish("a", "1").enqueue().await.unwrap(),
        client.publish("a", "2").enqueue().await.unwrap(),
    ];
    assert!(timeout(Duration::from_secs(5), client.publish("a", "3").enqueue()).await.is_err());
    assert!(matches!(client.publish("a", "3").try_enqueue(), Err(PublishError::QueueFull)));
}

/// A task that never lets the client's have its turn is held up by as much again as the queue holds, and no more.
#[tokio::test(start_paused = true)]
async fn what_nobody_has_looked_at_is_bounded_too() {
    let (mut stage, builder) = Stage::new();
    let client = builder.queue(10, 1 << 20).queue_overflow(Overflow::DropOldest).start().unwrap();
    let mut accepted = Vec::new();
    while let Ok(delivery) = client.publish("a", "x").try_enqueue() {
        accepted.push(delivery);
    }
    assert_eq!(accepted.len(), 10);
    assert!(matches!(client.publish("a", "x").try_enqueue(), Err(PublishError::QueueFull)));
    tokio::task::yield_now().await;
    let next = client.publish("a", "x").try_enqueue().unwrap();
    assert_eq!(soon(accepted.remove(0)).await, Outcome::Dropped);
    drop((next, stage.accept().await));
}

/// Trap 18: a message that a server cannot bear is given up in the end, and those behind it arrive.
#[tokio::test(start_paused = true)]
async fn a_message_that_ends_connections_is_set_aside() {
    let (mut stage, builder) = Stage::new();
    let client = builder.set_aside_after(3).in_flight(1).start().unwrap();
    let poison = client.publish("a", "poison").qos(QoS::AtLeastOnce).enqueue().await.unwrap();
    let fine = client.publish("a", "fine").qos(QoS::AtLeastOnce).enqueue().await.unwrap();
    for round in 0..3 {
        let mut server = stage.accept().await.with_patience(Duration::from_secs(60));
        server.expect_connect().await;
        server.send(if round == 0 { connack() } else { connack_with_session() }).await;
        assert_eq!(server.expect_publish().await.payload(), b"poison");
    }
    let mut server = stage.accept().await;
    server.expect_connect().await;
    server.send(connack_with_session()).await;
    assert_eq!(soon(poison).await, Outcome::SetAside { connections: 3 });
    let id = server.expect_publish().await.delivery().id().unwrap();
    server.send(mqtt_testkit::packets::puback(id.get())).await;
    delivered(soon(fine).await);
}

/// `[MQTT-4.4.0-1/3.1.1]`: before 5.0 by time, if asked for.
#[tokio::test(start_paused = true)]
async fn what_is_unacknowledged_can_be_sent_again_by_time() {
    let (mut stage, builder) = Stage::new();
    let client =
        builder.protocol(Protocol::V3_1_1).retransmit_after(Duration::from_secs(20)).start().unwrap();
    let mut server = stage.accept().await.with_patience(Duration::from_secs(30));
    server.expect_connect().await;
    server.send(connack()).await;
    let delivery = client.publish("a", "x").qos(QoS::AtLeastOnce).enqueue().await.unwrap();
    server.expect(publish("a", "x").qos1(1)).await;
    let began = common::now();
    server.expect(publish("a", "x").qos1(1).dup()).await;
    assert!((20..=25).contains(&began.elapsed().as_secs()), "{:?}", began.elapsed());
    server.send(mqtt_testkit::packets::puback(1)).await;
    delivered(soon(delivery).await);
}

#[tokio::test]
async fn options_that_cannot_be() {
    for protocol in [Protocol::V5, Protocol::Auto] {
        let error = connect("mqtt://h")
            .protocol(protocol)
            .retransmit_after(Duration::from_secs(1))
            .start()
            .unwrap_err();
        let ConnectError::InvalidOption { option: "retransmit_after", fault } = error else {
            panic!("{error:?}")
        };
        assert!(matches!(fault, OptionFault::Session(UsageError::RetransmissionInV5)), "{fault:?}");
    }
    let error =
        connect("mqtt://h").protocol(Protocol::V3_1_1).retransmit_after(Duration::ZERO).start().unwrap_err();
    assert!(matches!(error, ConnectError::InvalidOption { option: "retransmit_after", .. }), "{error:?}");
    let error = connect("mqtt://h").set_aside_after(0).start().unwrap_err();
    assert!(
        matches!(error, ConnectError::InvalidOption { option: "set_aside_after", fault: OptionFault::Zero }),
        "{error:?}"
    );
}
