//! Whether a client is there: told by itself, and by its server.

mod common;

use common::{PROTOCOLS, Stage, in_memory, next};
use core::time::Duration;
use mqtt_client::{
    ConnectError, OptionFault, Overflow, Presence, QoS, ReconnectPolicy, TopicName, Will, connect,
};
use mqtt_testkit::broker::{Broker, Restart};
use mqtt_testkit::mosquitto::Mosquitto;
use mqtt_testkit::packets::{connack, puback};
use std::sync::Arc;
use tokio::time::sleep;

fn topic() -> TopicName {
    TopicName::from_static("devices/7").unwrap()
}

fn at_once() -> ReconnectPolicy {
    ReconnectPolicy::default().first_delay(Duration::from_millis(10)).max_delay(Duration::from_millis(10))
}

/// What the server keeps on the topic.
fn told(broker: &Broker) -> String {
    let retained = broker.retained();
    let message = retained.iter().find(|message| *message.topic == *"devices/7");
    String::from_utf8(message.map(|message| message.payload.to_vec()).unwrap_or_default()).unwrap()
}

#[tokio::test(start_paused = true)]
async fn it_is_told_through_the_whole_life_of_a_client() {
    for protocol in PROTOCOLS {
        for qos in common::ALL_QOS {
            let broker = Arc::new(Broker::start().await.unwrap());
            let builder = || {
                let presence = Presence::new(topic()).qos(qos);
                in_memory(&broker).client_id("d").protocol(protocol).reconnect(at_once()).presence(presence)
            };
            let client = builder().await.unwrap();
            sleep(Duration::from_millis(1)).await;
            assert_eq!(told(&broker), "online", "{protocol} {qos}");
            // A cut, after which the client comes back.
            broker.cut_all();
            sleep(Duration::from_millis(1)).await;
            assert_eq!(told(&broker), "offline");
            sleep(Duration::from_millis(20)).await;
            assert_eq!(told(&broker), "online");
            // A goodbye, with which there is no will.
            let wills = broker.wills().len();
            client.disconnect().await.unwrap();
            sleep(Duration::from_millis(1)).await;
            assert_eq!((told(&broker).as_str(), broker.wills().len()), ("offline", wills));
            // No goodbye.
            let client = builder().await.unwrap();
            sleep(Duration::from_millis(1)).await;
            assert_eq!(told(&broker), "online");
            client.abort();
            client.closed().await;
            sleep(Duration::from_millis(1)).await;
            assert_eq!((told(&broker).as_str(), broker.wills().len()), ("offline", wills + 1));
            // The last handle goes.
            drop(builder().await.unwrap());
            sleep(Duration::from_millis(1)).await;
            assert_eq!((told(&broker).as_str(), broker.wills().len()), ("offline", wills + 1));
            broker.restart(Restart::Lose).await.unwrap();
        }
    }
}

/// A server that takes nothing more is left without a goodbye: its will says what the client cannot.
#[tokio::test(start_paused = true)]
async fn where_nothing_leaves_the_will_speaks() {
    let (mut stage, builder) = Stage::new();
    let client = builder.presence(Presence::new(topic())).in_flight(1).start().unwrap();
    let mut server = stage.accept().await;
    let will = server.expect_connect().await.will.unwrap();
    assert_eq!(
        (&*will.topic, &will.payload[..], will.qos, will.retain),
        ("devices/7", &b"offline"[..], QoS::AtLeastOnce, true)
    );
    server.send(connack()).await;
    let online = server.expect_publish().await;
    assert!(online.retain() && online.payload() == b"online");
    let (goodbye, ()) = tokio::join!(client.disconnect(), server.expect_end());
    goodbye.unwrap();
}

/// In a full queue that drops what is new it is told when there is room.
#[tokio::test(start_paused = true)]
async fn a_full_queue_does_not_swallow_it() {
    let (mut stage, builder) = Stage::new();
    let presence = Presence::new(topic()).payloads("1", "0").qos(QoS::AtMostOnce);
    let builder =
        builder.presence(presence).in_flight(1).queue(2, 1 << 20).queue_overflow(Overflow::DropNewest);
    let client = builder.reconnect(at_once()).start().unwrap();
    let mut server = stage.accept().await;
    server.expect_connect().await;
    server.send(connack()).await;
    assert_eq!(server.expect_publish().await.payload(), b"1");
    for _ in 0..5 {
        _ = client.publish("a", "x").qos(QoS::AtLeastOnce).enqueue().await.unwrap();
        sleep(Duration::from_millis(1)).await;
    }
    drop(server);
    let mut server = stage.accept().await;
    server.expect_connect().await;
    server.send(connack()).await;
    let mut heard = Vec::new();
    for _ in 0..4 {
        let publish = server.expect_publish().await;
        if let Some(id) = publish.delivery().id() {
            server.send(puback(id.get())).await;
        }
        heard.push(publish.payload().to_vec());
    }
    assert_eq!(heard.last().map(Vec::as_slice), Some(&b"1"[..]), "{heard:?}");
    client.abort();
}

#[tokio::test]
async fn it_goes_alone() {
    let error = connect("mqtt://h")
        .presence(Presence::new(topic()))
        .will(Will::new(topic(), "x"))
        .start()
        .unwrap_err();
    assert!(
        matches!(error, ConnectError::InvalidOption { option: "presence", fault: OptionFault::Conflict(_) }),
        "{error:?}"
    );
}

/// A real server says it, too, by the will and by what the client left.
#[tokio::test]
async fn mosquitto_keeps_it() {
    let broker = Mosquitto::builder().start();
    for protocol in PROTOCOLS {
        let watcher = connect(&broker.url()).client_id("watcher").protocol(protocol).await.unwrap();
        let mut told = watcher.subscribe("devices/7").qos(QoS::AtLeastOnce).await.unwrap();
        let builder =
            || connect(&broker.url()).client_id("device").protocol(protocol).presence(Presence::new(topic()));
        for abort in [true, false] {
            let client = builder().await.unwrap();
            while next(&mut told).await.payload() != b"online" {}
            if abort {
                client.abort()
            } else {
                client.disconnect().await.unwrap()
            }
            assert_eq!(next(&mut told).await.payload(), b"offline", "{protocol}, abort: {abort}");
        }
    }
}
