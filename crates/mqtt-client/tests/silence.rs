//! Servers that say nothing, or nothing more, and links that are dead without saying so.

mod common;

use common::{in_memory, soon};
use core::time::Duration;
use mqtt_client::{Client, ConnectError, Event, Protocol, QoS};
use mqtt_testkit::broker::{Broker, Connections};
use std::sync::Arc;
use tokio::time::{sleep, timeout};

async fn broker() -> Arc<Broker> {
    Arc::new(Broker::start().await.unwrap())
}

/// What each attempt ended with, and that the waits stay below ceilings that double up to a minute.
async fn assert_growing_waits(client: &Client, expected: impl Fn(&ConnectError) -> bool) {
    let mut events = client.events();
    let mut waited = Duration::ZERO;
    for ceiling in [1, 2, 4, 8, 16, 32, 60, 60, 60, 60] {
        let (cause, delay) = loop {
            match events.next().await.expect("the client goes on") {
                Event::Disconnected { cause, retry_in: Some(delay) } => break (cause, delay),
                Event::Connected(_) => {}
                other => panic!("{other:?}"),
            }
        };
        assert!(expected(&cause), "{cause:?}");
        assert!(delay <= Duration::from_secs(ceiling), "{delay:?} of {ceiling} s");
        waited += delay;
    }
    // Half of it is to be expected, and a tenth of that would be no growth at all.
    assert!(waited > Duration::from_secs(20), "{waited:?} in ten waits");
    assert_eq!(client.status().failures, 10);
}

/// A server that accepts and says nothing costs each attempt its time, and then the waits grow.
#[tokio::test(start_paused = true)]
async fn a_server_that_accepts_and_says_nothing() {
    let broker = broker().await;
    broker.faults().silent(Connections::All);
    let client = in_memory(&broker).protocol(Protocol::V5).start().unwrap();
    let began = common::now();
    assert_growing_waits(&client, |cause| matches!(cause, ConnectError::Timeout(_))).await;
    assert!(began.elapsed() >= Duration::from_secs(100), "ten seconds each");
    // Whoever waits is not held up by the server's silence for longer than he wants to be.
    assert!(timeout(Duration::from_secs(5), client.publish("a", "x")).await.is_err());
    soon(client.disconnect()).await.unwrap();
}

/// One that closes after each CONNACK gets no more connections than one that is not there.
#[tokio::test(start_paused = true)]
async fn a_server_that_closes_after_each_connack() {
    let broker = broker().await;
    broker.faults().close_after_connack(Connections::All);
    let client = in_memory(&broker).protocol(Protocol::V5).start().unwrap();
    assert_growing_waits(&client, |cause| matches!(cause, ConnectError::PeerClosed)).await;
    assert!((10..=11).contains(&broker.connections()), "{}", broker.connections());
}

/// How long it takes to see that a server swallows everything, while the application publishes so often.
async fn time_to_find(qos: QoS, times: u32, period: Duration, payload: usize) -> Duration {
    let broker = broker().await;
    let client = in_memory(&broker).keep_alive(Duration::from_secs(30)).await.unwrap();
    let mut events = client.events();
    assert!(matches!(events.next().await, Some(Event::Connected(_))));
    broker.faults().freeze(true);
    let began = common::now();
    let publishing = async {
        for _ in 0..times {
            drop(client.publish("a", vec![0; payload]).qos(qos).enqueue().await);
            sleep(period).await;
        }
        core::future::pending::<()>().await;
    };
    let found = async {
        match timeout(Duration::from_secs(3600), events.next()).await {
            Ok(Some(Event::Disconnected { cause, .. })) => {
                assert!(matches!(cause, ConnectError::PingTimeout), "{cause:?}");
            }
            other => panic!("{other:?} after an hour"),
        }
    };
    tokio::select! {
        () = publishing => {}
        () = found => {}
    }
    began.elapsed()
}

/// A link that takes nothing more is found although, or because, the application goes on publishing: bytes that cannot
/// leave are not traffic.
#[tokio::test(start_paused = true)]
async fn a_link_that_is_full_is_found() {
    for qos in common::ALL_QOS {
        let took = time_to_find(qos, u32::MAX, Duration::from_secs(1), 32 * 1024).await;
        assert!((30..=50).contains(&took.as_secs()), "{qos:?}: {took:?}");
    }
}

/// One that swallows what it is given is found once the application is silent: until then what it sends takes the place
/// of pings.
#[tokio::test(start_paused = true)]
async fn a_link_that_swallows_publishes_is_found_when_they_end() {
    for qos in common::ALL_QOS {
        let took = time_to_find(qos, 10, Duration::from_secs(10), 1).await;
        // Ninety seconds of publishing, the interval, the time for the answer.
        assert!((120..=135).contains(&took.as_secs()), "{qos:?}: {took:?}");
    }
}
