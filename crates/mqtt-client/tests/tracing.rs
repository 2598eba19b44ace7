//! What the feature `tracing` tells, and what it must not.

mod common;

use common::{Stage, delivered, in_memory, next, soon};
use core::fmt::Debug;
use core::time::Duration;
use mqtt_client::{QoS, TopicName, Will};
use mqtt_testkit::broker::Broker;
use mqtt_testkit::packets::connack;
use std::sync::{Arc, Mutex};
use tokio::time::sleep;
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id};
use tracing::subscriber::{DefaultGuard, set_default};
use tracing::{Event, Subscriber};
use tracing_subscriber::layer::{Context, Layer, SubscriberExt};
use tracing_subscriber::registry::{LookupSpan, Registry};

/// Every span and event with all that is in it, a line each.
#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<String>>>);

struct Line(String);

impl Visit for Line {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        self.0 += &format!(" {field}={value:?}");
    }
}

impl<S: Subscriber + for<'a> LookupSpan<'a>> Layer<S> for Lines {
    fn on_new_span(&self, attributes: &Attributes<'_>, _: &Id, _: Context<'_, S>) {
        let mut line = Line(format!("span {}", attributes.metadata().name()));
        attributes.record(&mut line);
        self.push(line);
    }

    fn on_event(&self, event: &Event<'_>, context: Context<'_, S>) {
        let span = context.event_span(event).map_or("none", |span| span.name());
        let mut line = Line(format!("{} in {span}", event.metadata().level()));
        event.record(&mut line);
        self.push(line);
    }
}

impl Lines {
    /// Collects what this thread tells until the guard is dropped.
    fn collect() -> (Self, DefaultGuard) {
        let lines = Self::default();
        let guard = set_default(Registry::default().with(lines.clone()));
        (lines, guard)
    }

    fn push(&self, line: Line) {
        self.0.lock().unwrap().push(line.0);
    }

    #[track_caller]
    fn assert_some(&self, parts: &[&str]) {
        let lines = self.0.lock().unwrap();
        let found = lines.iter().any(|line| parts.iter().all(|part| line.contains(part)));
        assert!(found, "no line with {parts:?} in {lines:#?}");
    }
}

/// From CONNECT to the end, with a loss between.
#[tokio::test(start_paused = true)]
async fn the_life_of_a_client_is_told() {
    let (lines, _guard) = Lines::collect();
    let broker = Arc::new(Broker::start().await.unwrap());
    let client = in_memory(&broker).client_id("actor").await.unwrap();
    broker.cut_all();
    sleep(Duration::from_secs(60)).await;
    client.disconnect().await.unwrap();

    lines.assert_some(&["span mqtt", "client_id=\"actor\"", "server=\"connector\""]);
    lines.assert_some(&["INFO in mqtt", "message=connecting", "attempt=1"]);
    lines.assert_some(&["INFO in mqtt", "message=connected", "version=5.0", "session_present=false"]);
    lines.assert_some(&["INFO in mqtt", "message=connection lost", "cause=", "retry_in="]);
    lines.assert_some(&["INFO in mqtt", "message=connecting", "attempt=2"]);
    lines.assert_some(&["INFO in mqtt", "message=closed", "the client was disconnected"]);
}

/// Whatever an application keeps to itself is in no line: neither credentials nor payloads, of its own or of others.
#[tokio::test(start_paused = true)]
async fn nothing_secret_is_told() {
    let (lines, _guard) = Lines::collect();
    let broker = Arc::new(Broker::start().await.unwrap());
    let will = Will::new(TopicName::try_from("will").unwrap(), "secret-will");
    let builder = in_memory(&broker).client_id("actor").will(will);
    let client = builder.credentials("secret-user", "secret-password").await.unwrap();
    let mut messages = client.subscribe("secret-topic").qos(QoS::ExactlyOnce).await.unwrap();
    for qos in common::ALL_QOS {
        for size in [10, 10_000] {
            let payload = format!("secret-payload{}", " ".repeat(size));
            delivered(client.publish("secret-topic", payload).qos(qos).await.unwrap());
            next(&mut messages).await;
        }
    }
    client.disconnect().await.unwrap();

    let told = lines.0.lock().unwrap().join("\n");
    assert!(!told.contains("secret"), "{told}");
    for packet in ["CONNECT", "SUBSCRIBE", "PUBLISH", "PUBACK", "PUBREC", "PUBREL", "PUBCOMP", "DISCONNECT"] {
        lines.assert_some(&["TRACE in mqtt", "message=sent", &format!("packet=\"{packet}\"")]);
    }
    for packet in ["CONNACK", "SUBACK", "PUBLISH", "PUBACK", "PUBREC", "PUBREL", "PUBCOMP"] {
        lines.assert_some(&["TRACE in mqtt", "message=received", &format!("packet=\"{packet}\"")]);
    }
}

/// A URL may hold a password; where it leads is told without.
#[tokio::test]
async fn a_url_is_told_without_its_password() {
    let (lines, _guard) = Lines::collect();
    let broker = Broker::start().await.unwrap();
    let url = broker.url().replace("mqtt://", "mqtt://secret-user:secret-password@");
    let client = mqtt_client::connect(&url).await.unwrap();
    client.disconnect().await.unwrap();
    let refused = mqtt_client::connect("mqtt://secret-user:secret-password@127.0.0.1:1");
    refused.await.unwrap_err();
    let told = lines.0.lock().unwrap().join("\n");
    assert!(!told.contains("secret"), "{told}");
    lines.assert_some(&["span mqtt", "server=\"127.0.0.1:1\""]);
}

/// The size is that of the packet on the wire.
#[tokio::test(start_paused = true)]
async fn sizes_are_those_of_whole_packets() {
    let (lines, _guard) = Lines::collect();
    let (mut stage, builder) = Stage::new();
    let client = builder.start().unwrap();
    let mut server = stage.accept().await;
    server.expect_connect().await;
    server.send(connack()).await;
    for size in [100, 10_000] {
        soon(client.publish("a", vec![0; size])).await.unwrap();
    }
    client.abort();
    lines.assert_some(&["message=received", "packet=\"CONNACK\"", "size=5"]);
    // First byte, Remaining Length, topic, no properties, payload.
    lines.assert_some(&["message=sent", "packet=\"PUBLISH\"", "size=106"]);
    lines.assert_some(&["message=sent", "packet=\"PUBLISH\"", "size=10007"]);
}
