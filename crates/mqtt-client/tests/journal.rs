//! What a journal is told: every message, in and out, with what became of it.

mod common;

use common::store::Disk;
use common::{ALL_QOS, PROTOCOLS, Stage, in_memory};
use core::time::Duration;
use mqtt_client::{
    ConnectBuilder, Journal, Outcome, Overflow, Presence, PropertiesBuf, QoS, ReconnectPolicy, Record,
    TopicName,
};
use mqtt_codec::ConnAck;
use mqtt_testkit::broker::Broker;
use mqtt_testkit::packets::{connack, connack_with_session, puback, publish};
use std::sync::{Arc, Mutex};
use tokio::time::sleep;

/// Keeps what it is told as lines.
#[derive(Clone, Default)]
struct Lines {
    lines: Arc<Mutex<Vec<String>>>,
    /// What was recorded and not yet flushed.
    open: Arc<Mutex<usize>>,
}

impl Journal for Lines {
    fn record(&mut self, record: Record<'_>) {
        let line = match record {
            Record::Client { id } => format!("client {id}"),
            Record::Accepted { number, message } => {
                format!("{number}: {} {}", message.topic, String::from_utf8_lossy(&message.payload))
            }
            Record::Transmitted { number, packet_id, dup } => {
                format!("{number}: sent as {packet_id}{}", if dup { " again" } else { "" })
            }
            Record::Completed { number, outcome: Outcome::Acked { reason, .. } } => {
                format!("{number}: acked {}", reason.value())
            }
            Record::Completed { number, outcome } => format!("{number}: {outcome:?}"),
            Record::Received { message, receipt } => {
                let payload = String::from_utf8_lossy(&message.payload);
                let id = receipt.map_or(0, |receipt| receipt.packet_id.get());
                format!("in: {} {payload} as {id}", message.topic)
            }
            Record::Acknowledged { reason, .. } => format!("in: acknowledged {}", reason.value()),
            other => format!("{other:?}"),
        };
        self.lines.lock().unwrap().push(line);
        *self.open.lock().unwrap() += 1;
    }

    fn flush(&mut self) {
        *self.open.lock().unwrap() = 0;
    }
}

impl Lines {
    /// What was told since this was asked last. All of it was flushed.
    #[track_caller]
    fn take(&self) -> Vec<String> {
        assert_eq!(*self.open.lock().unwrap(), 0, "not flushed");
        core::mem::take(&mut self.lines.lock().unwrap())
    }
}

fn at_once(builder: ConnectBuilder) -> ConnectBuilder {
    let policy = ReconnectPolicy::default().first_delay(Duration::from_millis(10));
    builder.reconnect(policy)
}

#[tokio::test(start_paused = true)]
async fn every_message_is_told_with_its_outcome() {
    for protocol in PROTOCOLS {
        for qos in ALL_QOS {
            let (broker, journal) = (Arc::new(Broker::start().await.unwrap()), Lines::default());
            let client =
                in_memory(&broker).client_id("j").protocol(protocol).journal(journal.clone()).await.unwrap();
            assert_eq!(journal.take(), ["client j", "client j"]);
            let mut messages = client.subscribe("a").qos(qos).await.unwrap();
            client.publish("a", "x").qos(qos).await.unwrap();
            messages.next().await.unwrap();
            sleep(Duration::from_millis(1)).await;
            let mut told = journal.take();
            told.sort();
            let expected: &[&str] = match qos {
                QoS::AtMostOnce => &["1: Sent", "1: a x", "in: a x as 0"],
                _ => &["1: a x", "1: acked 0", "1: sent as 2", "in: a x as 1", "in: acknowledged 0"],
            };
            assert_eq!(told, expected, "{protocol} {qos}");
            client.disconnect().await.unwrap();
            assert!(journal.take().is_empty());
        }
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_sent_again_is_told_again() {
    let (journal, (mut stage, builder)) = (Lines::default(), Stage::new());
    let client = at_once(builder).journal(journal.clone()).start().unwrap();
    let mut server = stage.accept().await;
    server.expect_connect().await;
    server.send(connack()).await;
    let delivery = client.publish("a", "x").qos(QoS::AtLeastOnce).enqueue().await.unwrap();
    server.expect(publish("a", "x").qos1(1)).await;
    drop(server);
    let mut server = stage.accept().await;
    server.expect_connect().await;
    server.send(connack_with_session()).await;
    server.expect(publish("a", "x").qos1(1).dup()).await;
    server.send(puback(1)).await;
    delivery.await;
    let told = journal.take();
    assert_eq!(
        told,
        [
            "client actor",
            "1: a x",
            "client actor",
            "1: sent as 1",
            "client actor",
            "1: sent as 1 again",
            "1: acked 0"
        ]
    );
}

/// Whatever the client accepts is in the journal, also if it never gets as far as a connection.
#[tokio::test(start_paused = true)]
async fn what_was_never_sent_is_told() {
    let (journal, (_stage, builder)) = (Lines::default(), Stage::new());
    let client =
        builder.journal(journal.clone()).queue(2, 1000).queue_overflow(Overflow::DropOldest).start().unwrap();
    for payload in ["one", "two", "three"] {
        drop(client.publish("a", payload).enqueue().await.unwrap());
        sleep(Duration::from_millis(1)).await;
    }
    // These two were not even looked at when the end came.
    client.abort();
    client.closed().await;
    assert_eq!(
        journal.take(),
        ["client actor", "1: a one", "2: a two", "3: a three", "1: Dropped", "2: NotSent", "3: NotSent"]
    );
}

#[tokio::test(start_paused = true)]
async fn what_nobody_looked_at_before_the_end_is_told() {
    let (journal, (_stage, builder)) = (Lines::default(), Stage::new());
    let client = builder.journal(journal.clone()).start().unwrap();
    drop(client.publish("a", "x").enqueue().await.unwrap());
    client.abort();
    client.closed().await;
    assert_eq!(journal.take(), ["client actor", "1: a x", "1: NotSent"]);
}

#[tokio::test(start_paused = true)]
async fn what_the_server_forbids_is_told() {
    let (journal, (mut stage, builder)) = (Lines::default(), Stage::new());
    let client = builder.journal(journal.clone()).start().unwrap();
    // Accepted before it is known what the server takes.
    let early = client.publish("a", "x").qos(QoS::ExactlyOnce).enqueue().await.unwrap();
    let mut server = stage.accept().await;
    server.expect_connect().await;
    let properties = PropertiesBuf::builder().maximum_qos(QoS::AtLeastOnce).build().unwrap();
    server.send(ConnAck { properties, ..connack() }).await;
    assert!(matches!(early.await, Outcome::Refused(_)));
    let told = journal.take();
    assert_eq!(told[1], "1: a x");
    assert!(told[3].starts_with("1: Refused(QosNotSupported"), "{told:?}");
}

#[tokio::test(start_paused = true)]
async fn what_the_client_says_of_itself_is_told() {
    let (broker, journal) = (Arc::new(Broker::start().await.unwrap()), Lines::default());
    let presence = Presence::new(TopicName::from_static("here").unwrap());
    let client = in_memory(&broker).client_id("j").presence(presence).journal(journal.clone()).await.unwrap();
    sleep(Duration::from_millis(1)).await;
    client.disconnect().await.unwrap();
    assert_eq!(
        journal.take(),
        [
            "client j",
            "client j",
            "1: here online",
            "1: sent as 1",
            // Nobody listens.
            "1: acked 16",
            "2: here offline",
            "2: sent as 2",
            "2: Unknown"
        ]
    );
}

/// The name that the server chose.
#[tokio::test(start_paused = true)]
async fn an_assigned_name_is_told_when_it_is_known() {
    let (broker, journal) = (Arc::new(Broker::start().await.unwrap()), Lines::default());
    let client = in_memory(&broker).client_id("").journal(journal.clone()).await.unwrap();
    let name = client.status().negotiated.unwrap().client_id;
    assert_eq!(journal.take(), [format!("client {name}")]);
}

/// What stays in a store has that for its outcome; what could not be stored was not accepted.
#[tokio::test(start_paused = true)]
async fn what_is_stored_is_told() {
    let (journal, disk, (_stage, builder)) = (Lines::default(), Disk::default(), Stage::new());
    let client = builder.store(disk.store()).journal(journal.clone()).start().unwrap();
    drop(client.publish("a", "x").qos(QoS::AtLeastOnce).enqueue().await.unwrap());
    disk.set_space(Some(0));
    client.publish("a", "y").qos(QoS::AtLeastOnce).enqueue().await.unwrap_err();
    client.abort();
    client.closed().await;
    assert_eq!(journal.take(), ["client actor", "1: a x", "2: a y", "2: NotSent", "1: Stored"]);

    // The next run finds it, and sends it.
    let (journal, (mut stage, builder)) = (Lines::default(), Stage::new());
    disk.set_space(None);
    let client = builder.store(disk.store()).journal(journal.clone()).start().unwrap();
    let mut server = stage.accept().await;
    server.expect_connect().await;
    server.send(connack()).await;
    server.expect(publish("a", "x").qos1(1)).await;
    server.send(puback(1)).await;
    client.drain(Duration::from_secs(1)).await;
    // It is read from the store before or after the connection is there.
    let told = journal.take().into_iter().filter(|line| !line.starts_with("client "));
    assert_eq!(told.collect::<Vec<_>>(), ["1: a x", "1: sent as 1", "1: acked 0"]);
}
