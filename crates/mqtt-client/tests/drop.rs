//! What it means to drop things.

mod common;

use common::{Stage, delivered, in_memory, next, numbers, publish_numbers, soon};
use core::pin::pin;
use core::time::Duration;
use mqtt_client::{Closed, Outcome, Protocol, PublishError, QoS, ReasonCode, SubscribeError, connect};
use mqtt_codec::PacketType;
use mqtt_testkit::broker::{Broker, Direction, Message};
use mqtt_testkit::packets::{connack, disconnect, suback};
use std::sync::Arc;
use tokio::time::{sleep, timeout};

async fn broker() -> Arc<Broker> {
    Arc::new(Broker::start().await.unwrap())
}

fn goodbyes(broker: &Broker) -> u64 {
    broker.packets(Direction::FromClient, PacketType::Disconnect)
}

/// Trap 11: the last handle ends the task, with a proper goodbye.
#[tokio::test(start_paused = true)]
async fn the_last_handle_ends_the_client() {
    for protocol in common::PROTOCOLS {
        let broker = broker().await;
        let client = in_memory(&broker).protocol(protocol).await.unwrap();
        let clone = client.clone();
        let mut subscription = client.subscribe("a").await.unwrap();
        let (mut watch, mut events) = (client.watch(), client.events());
        drop(client);
        drop(clone);
        sleep(Duration::from_secs(5)).await;
        assert_eq!(goodbyes(&broker), 0, "a subscription is a handle");
        broker.publish(Message::new("a", "still here"));
        assert_eq!(next(&mut subscription).await.payload(), b"still here");
        drop(subscription);
        broker.until("the end", |broker| broker.open_connections() == 0).await;
        assert_eq!(goodbyes(&broker), 1, "{protocol}");
        while soon(watch.changed()).await.is_some() {}
        while soon(events.next()).await.is_some() {}
        assert_eq!(broker.connections(), 1);
    }
}

/// The last handle takes the subscription's filters with it only from a session that ends anyway.
#[tokio::test(start_paused = true)]
async fn the_last_handle_does_not_unsubscribe() {
    let broker = broker().await;
    let client =
        in_memory(&broker).client_id("keeps").session_expiry(Duration::from_secs(100)).await.unwrap();
    let subscription = client.subscribe("a").await.unwrap();
    drop(client);
    drop(subscription);
    broker.until("the end", |broker| broker.open_connections() == 0).await;
    assert_eq!(broker.session("keeps").unwrap().subscriptions.len(), 1);
}

/// A 5.0 session that nobody asked to keep ends with the client, though it outlives a cut.
#[tokio::test(start_paused = true)]
async fn a_session_outlives_a_cut_but_not_its_client() {
    let broker = broker().await;
    let client = in_memory(&broker).client_id("guest").protocol(Protocol::V5).await.unwrap();
    broker.cut_all();
    broker
        .until("the client is back", |broker| broker.connections() == 2 && broker.is_connected("guest"))
        .await;
    let resumed = broker.packets(Direction::FromClient, PacketType::Connect);
    assert_eq!(resumed, 2);
    assert_eq!(broker.session("guest").unwrap().expiry, 300);
    client.disconnect().await.unwrap();
    broker.until("the end of the session", |broker| broker.session("guest").is_none()).await;
}

/// What was accepted before the last handle went is still sent.
#[tokio::test(start_paused = true)]
async fn what_was_accepted_is_sent_before_the_goodbye() {
    let broker = broker().await;
    let client = in_memory(&broker).await.unwrap();
    for number in 0..1000_u32 {
        let qos = common::ALL_QOS[number as usize % 3];
        drop(client.publish("last", number.to_be_bytes().to_vec()).qos(qos).enqueue().await.unwrap());
    }
    drop(client);
    broker.until("the end", |broker| broker.open_connections() == 0).await;
    assert_eq!((broker.received_count(), goodbyes(&broker)), (1000, 1));
}

#[tokio::test(start_paused = true)]
async fn disconnect_sends_what_was_accepted_and_drain_waits_for_the_answers() {
    let (mut stage, builder) = Stage::new();
    let client = builder.start().unwrap();
    let mut server = stage.accept().await;
    server.expect_connect().await;
    server.send(connack()).await;
    let token = client.publish("a", "x").qos(QoS::AtLeastOnce).enqueue().await.unwrap();
    server.expect_publish().await;
    assert_eq!(client.drain(Duration::from_secs(3)).await, 1, "it says what is left");
    let never_sent = client.publish("a", "y").qos(QoS::AtMostOnce).enqueue().await.unwrap();
    let (ended, ()) = tokio::join!(client.disconnect(), async {
        assert_eq!(server.expect_publish().await.payload(), b"y");
        server.expect_that("DISCONNECT", |packet| packet.packet_type() == PacketType::Disconnect).await;
        server.expect_end().await;
        drop(server);
    });
    ended.unwrap();
    assert_eq!(soon(token).await, Outcome::Unknown, "it may have arrived");
    assert_eq!(soon(never_sent).await, Outcome::Sent);
}

#[tokio::test(start_paused = true)]
async fn drain_returns_when_all_is_done() {
    let broker = broker().await;
    let client = in_memory(&broker).await.unwrap();
    for _ in 0..500 {
        drop(client.publish("a", "x").qos(QoS::ExactlyOnce).enqueue().await.unwrap());
    }
    let began = common::now();
    assert_eq!(client.drain(Duration::from_secs(10)).await, 0);
    assert_eq!((broker.received_count(), began.elapsed()), (500, Duration::ZERO));
    client.disconnect().await.unwrap();
}

/// An outcome is honest about what was not sent.
#[tokio::test(start_paused = true)]
async fn what_waits_when_the_client_ends_was_not_sent() {
    let broker = broker().await;
    let client = in_memory(&broker).await.unwrap();
    broker.kill().await;
    let token = client.publish("a", "x").qos(QoS::AtLeastOnce).enqueue().await.unwrap();
    client.disconnect().await.unwrap();
    assert_eq!(soon(token).await, Outcome::NotSent);
}

#[tokio::test(start_paused = true)]
async fn abort_says_nothing() {
    let broker = broker().await;
    let client = in_memory(&broker).await.unwrap();
    client.abort();
    assert!(matches!(soon(client.closed()).await, Closed::Aborted));
    broker.until("the end", |broker| broker.open_connections() == 0).await;
    assert_eq!(goodbyes(&broker), 0);
}

/// A peer that does not read cannot hold the goodbye for ever, and abort cuts it short.
#[tokio::test(start_paused = true)]
async fn a_goodbye_does_not_wait_for_ever() {
    let broker = broker().await;
    for abort in [false, true] {
        let client = in_memory(&broker).await.unwrap();
        broker.faults().freeze(true);
        let _token = client.publish("a", vec![0; 1 << 20]).enqueue().await.unwrap();
        let _more = client.publish("a", vec![0; 1 << 20]).qos(QoS::AtLeastOnce).enqueue().await.unwrap();
        let goodbye = async { timeout(Duration::from_secs(20), client.disconnect()).await };
        let cutting = async {
            if abort {
                sleep(Duration::from_millis(100)).await;
                client.abort();
            }
        };
        let began = common::now();
        let (ended, ()) = tokio::join!(goodbye, cutting);
        assert_eq!(ended.expect("an end").is_err(), abort);
        let limit = if abort { 1 } else { 10 };
        assert!(began.elapsed() < Duration::from_secs(limit), "{:?}", began.elapsed());
        broker.faults().freeze(false);
    }
}

/// Trap 10: dropping a token cancels nothing.
#[tokio::test(start_paused = true)]
async fn a_dropped_token_cancels_nothing() {
    let broker = broker().await;
    let client = in_memory(&broker).await.unwrap();
    for qos in common::ALL_QOS {
        drop(client.publish("a", "x").qos(qos).enqueue().await.unwrap());
        // A future that is given up after it was accepted.
        let mut publish = Box::pin(client.publish("a", "y").qos(qos).into_future());
        assert!(futures_poll(&mut publish).await.is_none());
        drop(publish);
    }
    assert_eq!(client.drain(Duration::from_secs(10)).await, 0);
    assert_eq!(broker.received_count(), 6);
}

/// Polls once.
async fn futures_poll<F: Future + Unpin>(future: &mut F) -> Option<F::Output> {
    core::future::poll_fn(|cx| {
        core::task::Poll::Ready(match core::pin::Pin::new(&mut *future).poll(cx) {
            core::task::Poll::Ready(output) => Some(output),
            core::task::Poll::Pending => None,
        })
    })
    .await
}

/// Who gives up waiting for room sends nothing and passes the turn on; the others keep their order.
#[tokio::test(start_paused = true)]
async fn a_dropped_wait_for_room_is_no_publish() {
    let broker = broker().await;
    let client = in_memory(&broker).queue(1, 1 << 20).client_id("line").await.unwrap();
    broker.kill().await;
    sleep(Duration::from_millis(1)).await;
    let _first = client.publish("a", vec![0]).enqueue().await.unwrap();
    let mut waiting: Vec<_> =
        (1..=5_u8).map(|number| Box::pin(client.publish("a", vec![number]).enqueue())).collect();
    for wait in &mut waiting {
        assert!(futures_poll(wait).await.is_none());
    }
    drop(waiting.remove(3));
    drop(waiting.remove(0));
    broker.restart(mqtt_testkit::broker::Restart::Keep).await.unwrap();
    for wait in waiting {
        drop(soon(wait).await.unwrap());
    }
    assert_eq!(client.drain(Duration::from_secs(60)).await, 0);
    let received: Vec<u8> = broker.received().iter().map(|message| message.payload[0]).collect();
    assert_eq!(received, [0, 2, 3, 5]);
}

/// Giving up a subscribe unsubscribes again.
#[tokio::test(start_paused = true)]
async fn a_dropped_subscribe_is_undone() {
    let (mut stage, builder) = Stage::new();
    let client = builder.start().unwrap();
    let mut server = stage.accept().await;
    server.expect_connect().await;
    server.send(connack()).await;
    {
        let mut subscribing = pin!(client.subscribe("a").into_future());
        assert!(timeout(Duration::from_secs(1), &mut subscribing).await.is_err());
    }
    let mqtt_codec::Packet::Subscribe(subscribe) = server.expect_any().await else { panic!() };
    let unsubscribe = server.expect_any().await;
    assert_eq!(unsubscribe.packet_type(), PacketType::Unsubscribe);
    server.send(suback(subscribe.id().get(), &[ReasonCode::GRANTED_QOS_0])).await;
    assert!(client.status().state == mqtt_client::State::Connected);
}

/// Dropping a connect that has not succeeded leaves nothing behind.
#[tokio::test(start_paused = true)]
async fn a_dropped_connect_is_given_up() {
    let (mut stage, builder) = Stage::new();
    assert!(timeout(Duration::from_secs(1), builder.into_future()).await.is_err());
    let mut server = stage.accept().await;
    server.expect_connect().await;
    server.expect_end().await;
}

/// [MQTT-3.14.4-1], [MQTT-3.14.4-2]: nothing after DISCONNECT, and the client closes.
#[tokio::test(start_paused = true)]
async fn a_reason_goes_with_the_goodbye() {
    let (mut stage, builder) = Stage::new();
    let client = builder.session_expiry(Duration::from_secs(60)).start().unwrap();
    let mut server = stage.accept().await;
    server.expect_connect().await;
    server.send(connack()).await;
    tokio::task::yield_now().await;
    let reason = ReasonCode::DISCONNECT_WITH_WILL_MESSAGE;
    let (ended, ()) = tokio::join!(client.disconnect_with(reason, Default::default()), async {
        server.expect(disconnect(reason)).await;
        server.expect_end().await;
        drop(server);
    });
    ended.unwrap();
}

/// A runtime that shuts down takes the task with it: whoever waits is told, wherever the request had come to.
#[test]
fn the_end_of_the_runtime_answers_everyone() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let (broker, client, mut subscription, in_flight, queued) = runtime.block_on(async {
        let broker = Broker::start().await.unwrap();
        let client = connect(&broker.url()).queue(1, 1 << 20).await.unwrap();
        let subscription = client.subscribe("a").await.unwrap();
        broker.faults().freeze(true);
        let in_flight = client.publish("a", "x").qos(QoS::AtLeastOnce).enqueue().await.unwrap();
        while client.status().queued > 0 {
            tokio::task::yield_now().await;
        }
        broker.kill().await;
        client.watch().changed().await.unwrap();
        let queued = client.publish("a", "y").qos(QoS::AtLeastOnce).enqueue().await.unwrap();
        (broker, client, subscription, in_flight, queued)
    });
    // The task will not run any more: this is never taken from the hand-over.
    let (subscriber, publisher) = (client.clone(), client.clone());
    let ending = std::thread::spawn(move || {
        std::thread::sleep(Duration::from_millis(50));
        drop(runtime);
    });
    let other = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    other.block_on(async {
        let subscribing = tokio::spawn(async move { subscriber.subscribe("b").await.map(drop) });
        let waiting = tokio::spawn(async move { publisher.publish("a", "z").enqueue().await.map(drop) });
        let (refused, waited) = (soon(subscribing).await.unwrap(), soon(waiting).await.unwrap());
        assert!(matches!(refused, Err(SubscribeError::Closed(Closed::TaskEnded))), "{refused:?}");
        assert!(matches!(waited, Err(PublishError::Closed(Closed::TaskEnded))), "{waited:?}");
        assert!(matches!(soon(client.closed()).await, Closed::TaskEnded));
        assert_eq!(soon(in_flight).await, Outcome::Unknown);
        assert_eq!(soon(queued).await, Outcome::NotSent);
        assert!(soon(subscription.next()).await.is_none());
        assert!(soon(client.unmatched().next()).await.is_none());
    });
    ending.join().unwrap();
    drop(broker);
}

/// Streams lose nothing when the future of `next` is dropped.
#[tokio::test(start_paused = true)]
async fn a_dropped_next_loses_no_message() {
    let broker = broker().await;
    let client = in_memory(&broker).await.unwrap();
    let mut subscription = client.subscribe("a").qos(QoS::AtLeastOnce).await.unwrap();
    for _ in 0..10 {
        let mut next = Box::pin(subscription.next());
        assert!(futures_poll(&mut next).await.is_none());
    }
    publish_numbers(&client, "a", QoS::AtLeastOnce, 0..10).await;
    assert_eq!(numbers(&mut subscription, 10).await, (0..10).collect::<Vec<u32>>());
    delivered(client.publish("a", "x").await.unwrap());
}
