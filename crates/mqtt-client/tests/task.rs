//! A client whose task its user runs.

mod common;

use common::{delivered, in_memory, soon};
use core::time::Duration;
use mqtt_client::{Closed, ConnectError, Outcome, QoS, State, connect};
use mqtt_testkit::broker::Broker;
use std::sync::Arc;
use tokio::time::{sleep, timeout};

/// Nothing happens before it runs, and it ends with the client.
#[tokio::test(start_paused = true)]
async fn it_does_all_that_the_client_does() {
    let broker = Arc::new(Broker::start().await.unwrap());
    let (client, task) = in_memory(&broker).prepare().unwrap();
    let delivery = client.publish("a", "x").qos(QoS::ExactlyOnce).enqueue().await.unwrap();
    sleep(Duration::from_secs(60)).await;
    assert_eq!((broker.connections(), client.status().queued), (0, 1));

    let working = async {
        delivered(delivery.await);
        client.disconnect().await.unwrap();
    };
    soon(async { tokio::join!(task.run(), working) }).await;
    assert_eq!(broker.received_count(), 1);
    assert!(matches!(client.closed().await, Closed::Disconnected));
}

/// The last handle ends it.
#[tokio::test(start_paused = true)]
async fn it_ends_without_handles() {
    let broker = Arc::new(Broker::start().await.unwrap());
    let (client, task) = in_memory(&broker).prepare().unwrap();
    drop(client);
    soon(task.run()).await;
}

/// Dropped before it runs, or wherever it is: the client ends, and whoever waits hears of it.
#[tokio::test(start_paused = true)]
async fn dropping_it_ends_the_client() {
    for run_for in [None, Some(0), Some(1)] {
        let broker = Arc::new(Broker::start().await.unwrap());
        let (client, task) = in_memory(&broker).prepare().unwrap();
        broker.faults().freeze(true);
        let delivery = client.publish("a", "x").qos(QoS::AtLeastOnce).enqueue().await.unwrap();
        let mut unmatched = client.unmatched();
        match run_for {
            None => drop(task),
            Some(seconds) => assert!(timeout(Duration::from_secs(seconds), task.run()).await.is_err()),
        }
        assert!(matches!(soon(client.closed()).await, Closed::TaskEnded));
        assert_eq!((soon(delivery).await, client.status().state), (Outcome::NotSent, State::Closed));
        assert!(soon(unmatched.next()).await.is_none());
        assert!(client.publish("a", "x").await.is_err());
        broker.faults().freeze(false);
        broker.until("the end", |broker| broker.open_connections() == 0).await;
    }
}

#[test]
fn it_needs_a_runtime() {
    assert!(matches!(connect("mqtt://h").prepare().unwrap_err(), ConnectError::NoRuntime));
}
