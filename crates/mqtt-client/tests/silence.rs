//! Servers that say nothing, or nothing more, and links that are dead without saying so.

mod common;

use common::{Stage, in_memory, soon};
use core::time::Duration;
use mqtt_client::{Client, ConnectBuilder, ConnectError, Event, OptionFault, Protocol, QoS, connect};
use mqtt_testkit::broker::{Broker, Connections};
use mqtt_testkit::packets::connack;
use mqtt_testkit::peer::Peer;
use std::sync::Arc;
use tokio::io::DuplexStream;
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
    let publishing = async |client: &Client| {
        for _ in 0..times {
            drop(client.publish("a", vec![0; payload]).qos(qos).enqueue().await);
            sleep(period).await;
        }
    };
    let settings = |builder: ConnectBuilder| builder.keep_alive(Duration::from_secs(30));
    time_to_find_while(settings, publishing).await
}

async fn time_to_find_while(
    settings: impl FnOnce(ConnectBuilder) -> ConnectBuilder,
    busy: impl AsyncFnOnce(&Client),
) -> Duration {
    let broker = broker().await;
    let client = settings(in_memory(&broker)).await.unwrap();
    let mut events = client.events();
    assert!(matches!(events.next().await, Some(Event::Connected(_))));
    broker.faults().freeze(true);
    let began = common::now();
    let publishing = async {
        busy(&client).await;
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

/// Within the keep alive and the time for the answer, which is not longer than the keep alive unless it is asked for.
#[tokio::test(start_paused = true)]
async fn the_time_for_the_answer_to_a_ping_can_be_chosen() {
    for (keep_alive, ping_timeout, expected) in
        [(60, None, 70), (5, None, 10), (30, Some(3), 33), (5, Some(20), 25)]
    {
        let settings = |builder: ConnectBuilder| {
            let builder = builder.keep_alive(Duration::from_secs(keep_alive));
            match ping_timeout {
                Some(seconds) => builder.ping_timeout(Duration::from_secs(seconds)),
                None => builder,
            }
        };
        let idle = time_to_find_while(settings, async |_| {}).await;
        assert_eq!(idle.as_secs(), expected, "{keep_alive} {ping_timeout:?}");
        let flooded = time_to_find_while(settings, async |client| {
            while client.publish("a", vec![0; 32 * 1024]).enqueue().await.is_ok() {
                tokio::task::yield_now().await;
            }
        });
        let flooded = flooded.await;
        assert!(
            (keep_alive..=expected).contains(&flooded.as_secs()),
            "{keep_alive} {ping_timeout:?}: {flooded:?}"
        );
    }
}

async fn greet(stage: &mut Stage) -> Peer<DuplexStream> {
    let mut server = stage.accept().await;
    server.expect_connect().await;
    server.send(connack()).await;
    server
}

/// A server that neither closes nor reads after a goodbye, nor after a breach of its own, is not waited for.
#[tokio::test(start_paused = true)]
async fn the_time_for_a_goodbye_can_be_chosen() {
    for (chosen, expected) in [(None, 2), (Some(5), 5)] {
        let (mut stage, builder) = Stage::new();
        let builder = match chosen {
            Some(seconds) => builder.goodbye_timeout(Duration::from_secs(seconds)),
            None => builder,
        };
        let (mut server, client) = tokio::join!(greet(&mut stage), builder.into_future());
        let client = client.unwrap();
        let mut events = client.events();
        assert!(matches!(events.next().await, Some(Event::Connected(_))));

        let began = common::now();
        server.send(connack()).await;
        assert!(matches!(events.next().await, Some(Event::Disconnected { .. })));
        assert_eq!(began.elapsed().as_secs(), expected, "after a breach");

        let (_server, connected) = tokio::join!(greet(&mut stage), events.next());
        assert!(matches!(connected, Some(Event::Connected(_))));
        let began = common::now();
        client.disconnect().await.unwrap();
        assert_eq!(began.elapsed().as_secs(), expected, "after a goodbye");
    }
}

#[test]
fn no_time_at_all_is_refused_by_name() {
    let builders = [
        ("ping_timeout", connect("mqtt://h").ping_timeout(Duration::ZERO)),
        ("goodbye_timeout", connect("mqtt://h").goodbye_timeout(Duration::ZERO)),
    ];
    for (name, builder) in builders {
        let error = builder.start().unwrap_err();
        assert!(
            matches!(error, ConnectError::InvalidOption { option, fault: OptionFault::Zero } if option == name),
            "{error:?}"
        );
    }
}
