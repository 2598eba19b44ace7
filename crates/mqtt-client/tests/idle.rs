//! An idle client sleeps.

mod common;

use common::{delivered, next};
use core::pin::Pin;
use core::sync::atomic::{AtomicU64, Ordering};
use core::task::{Context, Poll};
use core::time::Duration;
use mqtt_client::transport::{BoxFuture, BoxTransport, Connect};
use mqtt_client::{Client, QoS, connect};
use mqtt_codec::PacketType;
use mqtt_testkit::broker::{Broker, Direction};
use std::io;
use std::sync::Arc;
use tokio::io::{AsyncRead, AsyncWrite, DuplexStream, ReadBuf};
use tokio::time::sleep;

/// A transport that counts how often the client's task turns to it: with nothing to write it reads, each turn.
struct Counted {
    pipe: DuplexStream,
    reads: Arc<AtomicU64>,
    writes: Arc<AtomicU64>,
}

impl AsyncRead for Counted {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.reads.fetch_add(1, Ordering::Relaxed);
        Pin::new(&mut self.pipe).poll_read(cx, into)
    }
}

impl AsyncWrite for Counted {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.writes.fetch_add(1, Ordering::Relaxed);
        Pin::new(&mut self.pipe).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.pipe).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.pipe).poll_shutdown(cx)
    }
}

#[derive(Clone)]
struct Counting {
    broker: Arc<Broker>,
    reads: Arc<AtomicU64>,
    writes: Arc<AtomicU64>,
}

impl Connect for Counting {
    fn connect(&self) -> BoxFuture<'_, io::Result<BoxTransport>> {
        let (reads, writes) = (self.reads.clone(), self.writes.clone());
        let transport = Counted { pipe: self.broker.connect_memory(), reads, writes };
        Box::pin(async { Ok(Box::new(transport) as BoxTransport) })
    }
}

impl Counting {
    /// A connector and a client that keeps alive like this.
    async fn client(keep_alive: Duration) -> (Self, Client) {
        let broker = Arc::new(Broker::start().await.unwrap());
        let counting = Self { broker, reads: Arc::default(), writes: Arc::default() };
        let builder = connect("mqtt://memory").connector(counting.clone()).keep_alive(keep_alive);
        let client = builder.await.unwrap();
        sleep(Duration::from_secs(1)).await;
        (counting, client)
    }

    /// Reads and writes since the last call.
    fn turns(&self) -> (u64, u64) {
        (self.reads.swap(0, Ordering::Relaxed), self.writes.swap(0, Ordering::Relaxed))
    }
}

/// Without a keep alive there is nothing to do, for a day.
#[tokio::test(start_paused = true)]
async fn without_keep_alive_the_task_is_never_woken() {
    let (counting, client) = Counting::client(Duration::ZERO).await;
    let _subscription = client.subscribe("a").await.unwrap();
    // The timer that was set for connecting goes off once more, for nothing.
    sleep(Duration::from_secs(60)).await;
    counting.turns();
    sleep(Duration::from_secs(24 * 3600)).await;
    assert_eq!(counting.turns(), (0, 0));
    assert_eq!(counting.broker.packets(Direction::FromClient, PacketType::PingReq), 0, "0 turns pings off");
}

/// With one, the task wakes for the ping and for its answer.
#[tokio::test(start_paused = true)]
async fn with_keep_alive_it_wakes_for_the_ping() {
    let (counting, _client) = Counting::client(Duration::from_secs(60)).await;
    counting.turns();
    sleep(Duration::from_secs(3600)).await;
    let (reads, writes) = counting.turns();
    assert_eq!(writes, 60, "one ping each minute");
    // A turn for the timer, one for the answer, one for the timer of the answer; a few looks each.
    assert!(reads <= 60 * 8, "{reads}");
}

/// [MQTT-3.1.2-20] and around: whoever writes needs no ping.
#[tokio::test(start_paused = true)]
async fn traffic_takes_the_place_of_pings() {
    let (counting, client) = Counting::client(Duration::from_secs(60)).await;
    for _ in 0..100 {
        sleep(Duration::from_secs(30)).await;
        delivered(client.publish("a", "x").await.unwrap());
    }
    assert_eq!(counting.broker.packets(Direction::FromClient, PacketType::PingReq), 0);
}

/// Latency does not pay for batching: a lone publish is one write, and no timer is involved.
#[tokio::test(start_paused = true)]
async fn a_lone_publish_leaves_at_once() {
    let (counting, client) = Counting::client(Duration::from_secs(60)).await;
    let mut subscription = client.subscribe("a").qos(QoS::AtLeastOnce).await.unwrap();
    sleep(Duration::from_secs(1)).await;
    counting.turns();
    let began = common::now();
    for round in 1..=10 {
        delivered(client.publish("a", "x").qos(QoS::AtLeastOnce).await.unwrap());
        next(&mut subscription).await;
        assert_eq!(began.elapsed(), Duration::ZERO);
        sleep(Duration::ZERO).await;
        let (reads, writes) = counting.turns();
        assert!(reads <= 4, "{reads} reads in round {round}: no turn is spent on waiting for company");
        assert!(
            (1..=2).contains(&writes),
            "{writes} writes in round {round}: the message and an acknowledgement"
        );
    }
}

/// A thousand acknowledged messages in a window cost far fewer writes than messages.
#[tokio::test(start_paused = true)]
async fn company_travels_together() {
    let (counting, client) = Counting::client(Duration::from_secs(60)).await;
    counting.turns();
    common::publish_numbers(&client, "a", QoS::AtLeastOnce, 0..1000).await;
    let (_, writes) = counting.turns();
    assert!(writes <= 50, "{writes} writes for 1,000 messages");
}

/// While the application does not take its messages, the client waits without spinning.
#[tokio::test(start_paused = true)]
async fn waiting_for_a_slow_application_is_idling_too() {
    let (counting, client) = Counting::client(Duration::ZERO).await;
    let _subscription = client.subscribe("a").capacity(1).await.unwrap();
    for _ in 0..100 {
        counting.broker.publish(mqtt_testkit::broker::Message::new("a", vec![0; 10_000]));
    }
    sleep(Duration::from_secs(1)).await;
    counting.turns();
    sleep(Duration::from_secs(3600)).await;
    assert_eq!(counting.turns(), (0, 0));
}

/// While there is no server, the client waits without spinning.
#[tokio::test(start_paused = true)]
async fn waiting_for_a_server_is_idling_too() {
    let (counting, client) = Counting::client(Duration::ZERO).await;
    counting.broker.kill().await;
    sleep(Duration::from_secs(1)).await;
    counting.turns();
    sleep(Duration::from_secs(3600)).await;
    let (reads, _) = counting.turns();
    assert!(reads <= 400, "{reads} reads in an hour of attempts about half a minute apart");
    assert!(client.status().failures > 50);
}
