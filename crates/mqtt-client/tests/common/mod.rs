//! What the tests share.

#![allow(dead_code, reason = "each test file uses its part")]

pub(crate) mod server;
pub(crate) mod store;

use core::time::Duration;
use mqtt_client::transport::{BoxFuture, BoxTransport, Connect, memory};
use mqtt_client::{
    Client, ConnectBuilder, Message, Protocol, QoS, ReasonCode, SubscribeError, Subscription, connect,
};
use mqtt_testkit::broker::Broker;
use mqtt_testkit::packets::suback;
use mqtt_testkit::peer::Peer;
use std::io;
use std::sync::Arc;
use tokio::io::DuplexStream;
use tokio::time::timeout;

pub(crate) const PROTOCOLS: [Protocol; 3] = [Protocol::V3_1, Protocol::V3_1_1, Protocol::V5];
pub(crate) const ALL_QOS: [QoS; 3] = [QoS::AtMostOnce, QoS::AtLeastOnce, QoS::ExactlyOnce];

/// Connects to a broker by pipes in memory, so that virtual time works.
pub(crate) struct InMemory(pub(crate) Arc<Broker>);

impl Connect for InMemory {
    fn connect(&self) -> BoxFuture<'_, io::Result<BoxTransport>> {
        Box::pin(async { Ok(Box::new(self.0.connect_memory()) as BoxTransport) })
    }
}

/// A client of the broker, over memory.
pub(crate) fn in_memory(broker: &Arc<Broker>) -> ConnectBuilder {
    connect("mqtt://memory").connector(InMemory(broker.clone()))
}

/// A server that follows a script on each connection that a client opens.
pub(crate) struct Stage(memory::MemoryListener);

impl Stage {
    /// The stage, and a builder for the client on the other side of it.
    pub(crate) fn new() -> (Self, ConnectBuilder) {
        let (connector, listener) = memory::listen(64 * 1024);
        let builder = connect("mqtt://stage").client_id("actor").connector(connector).protocol(Protocol::V5);
        (Self(listener), builder)
    }

    pub(crate) async fn accept(&mut self) -> Peer<DuplexStream> {
        Peer::server(self.0.accept().await.expect("the client connects"))
    }
}

/// Answers a SUBSCRIBE with these codes while something waits for that.
pub(crate) async fn granted<T>(
    server: &mut Peer<DuplexStream>,
    codes: &[ReasonCode],
    subscribing: impl IntoFuture<Output = Result<T, SubscribeError>>,
) -> T {
    let answering = async {
        let packet = server.expect_any().await;
        let mqtt_codec::Packet::Subscribe(subscribe) = packet else { panic!("{packet:?}") };
        server.send(suback(subscribe.id().get(), codes)).await;
    };
    tokio::join!(subscribing.into_future(), answering).0.expect("the subscription is granted")
}

/// What must come within ten seconds.
pub(crate) async fn soon<T>(what: impl IntoFuture<Output = T>) -> T {
    timeout(Duration::from_secs(10), what).await.expect("it takes too long")
}

pub(crate) async fn next(subscription: &mut Subscription) -> Message {
    soon(subscription.next()).await.expect("the stream goes on")
}

/// The numbers in the payloads of the next messages.
pub(crate) async fn numbers(subscription: &mut Subscription, count: usize) -> Vec<u32> {
    let mut numbers = Vec::new();
    for _ in 0..count {
        numbers.push(number(&next(subscription).await));
    }
    numbers
}

pub(crate) fn number(message: &Message) -> u32 {
    u32::from_be_bytes(message.payload()[..4].try_into().unwrap())
}

/// Publishes the numbers of a range, as fast as the queue takes them, and waits for all outcomes.
pub(crate) async fn publish_numbers(client: &Client, topic: &str, qos: QoS, range: core::ops::Range<u32>) {
    let mut deliveries = Vec::new();
    for number in range {
        let publish = client.publish(topic, number.to_be_bytes().to_vec()).qos(qos);
        deliveries.push(publish.enqueue().await.unwrap());
    }
    for delivery in deliveries {
        delivered(delivery.await);
    }
}

#[track_caller]
pub(crate) fn delivered(outcome: mqtt_client::Outcome) {
    use mqtt_client::Outcome::{Acked, Sent};
    assert!(matches!(outcome, Sent | Acked { .. }), "{outcome:?}");
}

/// The time on tokio's clock, which tests may pause.
#[expect(clippy::disallowed_methods, reason = "a test measures")]
pub(crate) fn now() -> tokio::time::Instant {
    tokio::time::Instant::now()
}
