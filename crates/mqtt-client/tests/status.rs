//! A client at a glance: what it is doing, since when, and the numbers beside it.

mod common;

use common::{Stage, delivered, soon};
use core::time::Duration;
use mqtt_client::{ConnectError, QoS, ReconnectPolicy, State};
use mqtt_testkit::packets::{connack, connack_with_session, pingresp, puback};
use tokio::time::sleep;

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// State, since when, attempts and connections, through a life.
#[tokio::test(start_paused = true)]
async fn it_follows_the_life_of_a_client() {
    let (mut stage, builder) = Stage::new();
    let policy = ReconnectPolicy::default().first_delay(seconds(4)).max_delay(seconds(4));
    let client = builder.reconnect(policy).start().unwrap();
    let mut server = stage.accept().await;
    server.expect_connect().await;
    sleep(seconds(2)).await;
    let status = client.status();
    assert_eq!((status.state, status.since.elapsed()), (State::Connecting, seconds(2)));
    assert_eq!((status.attempts, status.connections, status.failures), (1, 0, 0));
    server.send(connack()).await;
    sleep(seconds(20)).await;
    let status = client.status();
    assert_eq!((status.state, status.since.elapsed()), (State::Connected, seconds(20)));
    assert_eq!((status.attempts, status.connections), (1, 1));
    assert_eq!((status.ping_round_trip, status.ack_latency), (None, None));

    drop(server);
    sleep(Duration::from_millis(1)).await;
    let status = client.status();
    let State::Waiting { delay } = status.state else { panic!("{:?}", status.state) };
    let next = status.next_attempt().expect("it will try again");
    assert_eq!(next, status.since + delay);
    assert!(status.since.elapsed() <= delay);
    assert!(matches!(status.last_error, Some(ConnectError::PeerClosed)));
    let mut server = stage.accept().await;
    assert!(common::now() >= next, "and not before");
    assert_eq!(client.status().next_attempt(), None);
    server.expect_connect().await;
    server.send(connack_with_session()).await;
    sleep(seconds(1)).await;
    let status = client.status();
    assert_eq!((status.state, status.attempts, status.connections), (State::Connected, 2, 2));
    client.abort();
    client.closed().await;
    sleep(seconds(3)).await;
    assert_eq!((client.status().state, client.status().since.elapsed()), (State::Closed, seconds(3)));
}

/// How long the server takes, and how much is under way.
#[tokio::test(start_paused = true)]
async fn it_measures() {
    let (mut stage, builder) = Stage::new();
    let policy = ReconnectPolicy::default().first_delay(Duration::from_millis(1));
    let client = builder.keep_alive(seconds(30)).in_flight(2).reconnect(policy).start().unwrap();
    let mut server = stage.accept().await.with_patience(seconds(60));
    server.expect_connect().await;
    server.send(connack()).await;

    server.expect(mqtt_codec::Packet::PingReq).await;
    sleep(Duration::from_millis(250)).await;
    server.send(pingresp()).await;
    sleep(Duration::from_millis(1)).await;
    assert_eq!(client.status().ping_round_trip, Some(Duration::from_millis(250)));

    let mut deliveries = Vec::new();
    for _ in 0..5 {
        deliveries.push(client.publish("a", "x").qos(QoS::AtLeastOnce).enqueue().await.unwrap());
    }
    for _ in 0..2 {
        server.expect_publish().await;
    }
    sleep(Duration::from_millis(70)).await;
    let status = client.status();
    assert_eq!((status.in_flight, status.queued, status.open), (2, 3, 5));
    assert_eq!(status.ack_latency, None);
    server.send(puback(1)).await;
    delivered(soon(deliveries.remove(0)).await);
    assert_eq!(client.status().ack_latency, Some(Duration::from_millis(70)));

    // They are those of one connection, and a message that a cut lies within is not measured.
    drop(server);
    let mut server = stage.accept().await;
    server.expect_connect().await;
    sleep(seconds(5)).await;
    server.send(connack_with_session()).await;
    for id in 2..=5 {
        server.expect_publish().await;
        server.send(puback(id)).await;
    }
    for delivery in deliveries {
        delivered(soon(delivery).await);
    }
    let status = client.status();
    assert_eq!((status.ping_round_trip, status.ack_latency, status.in_flight), (None, None, 0));
}
