//! The formula of the section "Memory" in the crate's documentation, held against what the allocator counts.
//!
//! A program of its own: the allocator counts for all that runs in it, so that one test runs at a time.

mod common;

use bytes::Bytes;
use cap::Cap;
use common::Stage;
use core::time::Duration;
use mqtt_client::{Client, ConnectBuilder, DeliveryToken, Overflow, QoS, Subscription};
use mqtt_codec::WireBuf;
use mqtt_testkit::packets::{IntoPacket, connack, publish, pubrel, suback};
use std::alloc::System;
use std::sync::{Mutex, PoisonError};
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};
use tokio::runtime::Builder;
use tokio::time::{sleep, timeout};

#[global_allocator]
static ALLOCATOR: Cap<System> = Cap::new(System, usize::MAX);

static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());

const KIB: usize = 1024;
/// What each message that is sent costs beside its bytes.
const SENT: usize = 640;
/// What each message that is received costs beside its bytes.
const RECEIVED: usize = 512;
/// What the pipe between client and server holds, which is the test's own.
const PIPE: usize = 256 * KIB;

/// Runs on a runtime of its own, in virtual time, and alone: nothing else comes or goes meanwhile.
fn alone(case: impl Future<Output = ()>) {
    let _alone = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
    let runtime = Builder::new_current_thread().enable_all().start_paused(true).build().unwrap();
    runtime.block_on(case);
}

/// A connection, by the formula; `packet` is the largest one that comes.
fn base(packet: usize) -> usize {
    64 * KIB + buffer(packet)
}

/// A buffer that is read into.
fn buffer(packet: usize) -> usize {
    let larger = packet.max(64 * KIB);
    larger + (larger / 2).min(64 * KIB)
}

/// The most that was seen, beyond what was there at the beginning.
struct Gauge {
    before: usize,
    most: usize,
}

impl Gauge {
    fn begin() -> Self {
        Self { before: ALLOCATOR.allocated(), most: 0 }
    }

    fn look(&mut self) {
        self.most = self.most.max(ALLOCATOR.allocated().saturating_sub(self.before));
    }

    /// It stayed below the formula, and the formula says something: it is not twice as large.
    #[track_caller]
    fn assert(&self, formula: usize) {
        println!("{} of {} KiB", self.most / KIB, formula / KIB);
        assert!(self.most <= formula + PIPE, "{} bytes, and the formula says {formula}", self.most);
        assert!(self.most * 2 >= formula, "{} bytes, far from {formula}", self.most);
    }
}

/// A client, and the server's end of its connection, accepted and silent. The gauge began before both.
async fn connected(
    configure: impl FnOnce(ConnectBuilder) -> ConnectBuilder,
) -> (Gauge, Client, DuplexStream, Stage) {
    let gauge = Gauge::begin();
    let (mut stage, builder) = Stage::new();
    let client = configure(builder.keep_alive(Duration::ZERO)).start().unwrap();
    let mut server = stage.accept().await;
    server.expect_connect().await;
    server.send(connack()).await;
    sleep(Duration::from_secs(1)).await;
    (gauge, client, server.into_stream(), stage)
}

/// The same, subscribed to these filters with these capacities.
async fn subscribed<const N: usize>(
    configure: impl FnOnce(ConnectBuilder) -> ConnectBuilder,
    filters: [(&str, usize); N],
) -> (Gauge, Client, DuplexStream, Vec<Subscription>) {
    let gauge = Gauge::begin();
    let (mut stage, builder) = Stage::new();
    let client = configure(builder.keep_alive(Duration::ZERO)).start().unwrap();
    let mut server = stage.accept().await;
    server.expect_connect().await;
    server.send(connack()).await;
    let mut subscriptions = Vec::new();
    for (number, (filter, capacity)) in (1..).zip(filters) {
        let (subscription, ()) = tokio::join!(
            client.subscribe(filter).qos(QoS::AtLeastOnce).capacity(capacity).into_future(),
            async {
                server.expect_any().await;
                server.send(suback(number, &[mqtt_client::ReasonCode::GRANTED_QOS_1])).await;
            }
        );
        subscriptions.push(subscription.unwrap());
    }
    (gauge, client, server.into_stream(), subscriptions)
}

fn wire(packets: impl IntoIterator<Item = impl IntoPacket>) -> Vec<u8> {
    let mut wire = WireBuf::new();
    for packet in packets {
        packet.into_packet().encode(mqtt_client::Version::V5, &mut wire).unwrap();
    }
    wire.to_vec()
}

/// Writes until nobody has taken anything for a minute, or so many times.
async fn flood(server: &mut DuplexStream, bytes: &[u8], times: usize, gauge: &mut Gauge) {
    for _ in 0..times {
        for part in bytes.chunks(64 * KIB) {
            match timeout(Duration::from_secs(60), server.write_all(part)).await {
                Ok(Ok(())) => gauge.look(),
                Ok(Err(_)) | Err(_) => return gauge.look(),
            }
        }
    }
}

/// Publishes until there is no room.
async fn fill(client: &Client, payload: usize) -> Vec<DeliveryToken> {
    let mut accepted = Vec::new();
    while let Ok(delivery) = client.publish("topic", vec![0; payload]).qos(QoS::AtLeastOnce).try_enqueue() {
        accepted.push(delivery);
        if accepted.len() % 100 == 0 {
            tokio::task::yield_now().await;
        }
    }
    accepted
}

/// A silent broker, which reads nothing either: the queue's bytes hold, and those in flight are among them.
#[test]
fn a_silent_broker_and_large_messages() {
    alone(async {
        let (messages, bytes, payload) = (10_000, 1024 * KIB, 10 * KIB);
        let (mut gauge, client, _server, _stage) = connected(|builder| builder.queue(messages, bytes)).await;
        let accepted = fill(&client, payload).await;
        gauge.look();
        assert!(accepted.len() >= 100, "{}", accepted.len());
        gauge.assert(base(KIB) + bytes + payload + accepted.len() * SENT);
    });
}

/// Small ones: the number of messages is what holds, in the queue and in flight, each with what it costs beside its bytes.
/// Just above a power of two the tables have doubled.
#[test]
fn a_broker_that_acknowledges_nothing_and_small_messages() {
    for (messages, in_flight) in [(2_100, 2_050), (8_200, 1), (100, 8_200)] {
        alone(async {
            let (mut gauge, client, server, _stage) =
                connected(|builder| builder.queue(messages, 1024 * KIB).in_flight(in_flight)).await;
            let (mut reader, _writer) = tokio::io::split(server);
            tokio::spawn(
                async move { while reader.read(&mut [0; 1024]).await.is_ok_and(|read| read > 0) {} },
            );
            let all = messages + usize::from(in_flight);
            let mut accepted = Vec::with_capacity(all);
            while accepted.len() < all {
                accepted.extend(fill(&client, 4).await);
                gauge.look();
                sleep(Duration::from_secs(1)).await;
            }
            gauge.look();
            assert_eq!(accepted.len(), all);
            gauge.assert(base(KIB) + all * ("topic".len() + 4) + all * SENT);
        });
    }
}

/// Where messages give way, twice the queue may be there for moments, and what gave way is gone.
#[test]
fn a_silent_broker_and_messages_that_give_way() {
    for overflow in [Overflow::DropOldest, Overflow::DropNewest, Overflow::KeepLatest] {
        alone(async {
            let (messages, bytes, payload) = (1_000, 1024 * KIB, 4 * KIB);
            let configure = |builder: ConnectBuilder| builder.queue(messages, bytes).queue_overflow(overflow);
            let (mut gauge, client, _server, _stage) = connected(configure).await;
            for _ in 0..10 {
                // As many as fit before the client's task looks at them.
                for number in 0.. {
                    let publish = client.publish(format!("topic/{number}"), vec![0; payload]);
                    if publish.qos(QoS::AtLeastOnce).try_enqueue().is_err() {
                        break;
                    }
                }
                gauge.look();
                sleep(Duration::from_secs(1)).await;
                gauge.look();
            }
            gauge.assert(base(KIB) + 2 * (bytes + payload) + 2 * messages * SENT);
        });
    }
}

/// A flood and an application that takes nothing, while a request of the client's own waits for its answer: what waits is
/// twice the capacity, side by side in the buffers.
#[test]
fn a_flood_and_a_slow_consumer() {
    alone(async {
        let (capacity, payload) = (1_030, 200);
        let packets = wire((0..100).map(|_| publish("flood", Bytes::from(vec![0; payload]))));
        let (mut gauge, client, mut server, subscriptions) =
            subscribed(|builder| builder, [("flood", capacity)]).await;
        let _waiting = client.publish("a", "x").qos(QoS::AtLeastOnce).enqueue().await.unwrap();
        flood(&mut server, &packets, 1_000, &mut gauge).await;
        let packet = packets.len() / 100;
        gauge.assert(base(packet) + buffer(packet) + 2 * capacity * (packet + RECEIVED));
        drop(subscriptions);
    });
}

/// The worst: of what is read nearly all is taken at once, but in each buffer lies one small message for an application
/// that takes nothing. Each holds a buffer, which is the largest where it has just grown for the message before.
#[test]
fn a_flood_and_small_messages_that_hold_large_buffers() {
    for payload in [60 * KIB, 120_000] {
        alone(async {
            let capacity = 20;
            let pair = [publish("fast", Bytes::from(vec![0; payload])), publish("slow", "x")];
            let packets = wire(pair);
            let (mut gauge, client, mut server, mut subscriptions) =
                subscribed(|builder| builder, [("fast", 1), ("slow", capacity)]).await;
            let _waiting = client.publish("a", "x").qos(QoS::AtLeastOnce).enqueue().await.unwrap();
            let mut fast = subscriptions.swap_remove(0);
            tokio::spawn(async move { while fast.next().await.is_some() {} });
            for _ in 0..3 * capacity {
                flood(&mut server, &packets, 1, &mut gauge).await;
                sleep(Duration::from_millis(1)).await;
                gauge.look();
            }
            gauge.assert(base(payload) + 2 * (capacity + 1) * (buffer(payload) + RECEIVED));
        });
    }
}

/// A packet that comes in pieces behind others: its buffer grows to its own length, whatever was taken from the one before.
/// The sizes are such that it is full when the last one is there all but the end, and has the one before in its front half.
#[test]
fn a_large_packet_behind_others_that_were_taken() {
    alone(async {
        let largest = 540 * KIB;
        let sizes = [largest, 500 * KIB, largest];
        let packets = wire(sizes.map(|size| publish("large", Bytes::from(vec![0; size]))));
        let (mut gauge, _client, mut server, mut subscriptions) =
            subscribed(|builder| builder, [("large", 1)]).await;
        let mut subscription = subscriptions.swap_remove(0);
        tokio::spawn(async move { while subscription.next().await.is_some() {} });
        for part in packets[..packets.len() - 1].chunks(10_000) {
            flood(&mut server, part, 1, &mut gauge).await;
            sleep(Duration::from_millis(1)).await;
            gauge.look();
        }
        gauge.assert(base(largest));
    });
}

/// QoS 1 while a request of the client's own waits for its answer: reading goes on, and the window is what holds.
#[test]
fn a_flood_that_must_be_read() {
    alone(async {
        let (capacity, window, payload) = (10, 200, 1024);
        let packets = wire((1..=window).map(|id| publish("flood", Bytes::from(vec![0; payload])).qos1(id)));
        let more = wire((0..100).map(|_| publish("flood", Bytes::from(vec![0; payload]))));
        let (mut gauge, client, mut server, _subscriptions) =
            subscribed(|builder| builder.receive_maximum(window), [("flood", capacity)]).await;
        let _waiting = client.publish("a", "x").qos(QoS::AtLeastOnce).enqueue().await.unwrap();
        flood(&mut server, &packets, 1, &mut gauge).await;
        flood(&mut server, &more, 100, &mut gauge).await;
        sleep(Duration::from_secs(1)).await;
        gauge.look();
        let (packet, waiting) = (more.len() / 100, 2 * capacity + usize::from(window));
        gauge.assert(base(packet) + buffer(packet) + waiting * (packet + RECEIVED));
    });
}

/// A broker that asks without end for answers which it does not read.
#[test]
fn a_flood_of_questions_whose_answers_nobody_reads() {
    alone(async {
        let packets = wire((1..=60_000).map(pubrel));
        let (mut gauge, client, mut server, _stage) = connected(|builder| builder).await;
        flood(&mut server, &packets, 20, &mut gauge).await;
        gauge.assert(base(KIB) + 16 * KIB * KIB);
        assert!(client.status().last_error.is_some(), "the client gave the connection up");
    });
}
