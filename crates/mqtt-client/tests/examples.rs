//! The examples do what they say.

#[allow(dead_code, reason = "its main is not called")]
#[path = "../examples/bridge.rs"]
mod bridge;
#[allow(dead_code, reason = "its main is not called")]
#[path = "../examples/sensor.rs"]
mod sensor;
#[allow(dead_code, reason = "its main is not called")]
#[path = "../examples/status_board.rs"]
mod status_board;

mod common;

use common::{next, soon};
use core::time::Duration;
use mqtt_client::{QoS, connect};
use mqtt_testkit::broker::{Broker, Restart};

#[tokio::test]
async fn the_sensor_publishes_and_leaves() {
    let broker = Broker::start().await.unwrap();
    let watcher = connect(&broker.url()).await.unwrap();
    let mut messages = watcher.subscribe("sensors/1/+").qos(QoS::AtLeastOnce).await.unwrap();
    soon(sensor::run(&broker.url(), Duration::from_millis(1), 3)).await.unwrap();
    let mut topics = Vec::new();
    for _ in 0..5 {
        topics.push(next(&mut messages).await.topic().to_owned());
    }
    assert_eq!(topics.iter().filter(|topic| *topic == "sensors/1/temperature").count(), 3, "{topics:?}");
    assert_eq!(topics.iter().filter(|topic| *topic == "sensors/1/state").count(), 2, "{topics:?}");
}

#[tokio::test]
async fn the_bridge_carries_messages_and_whether_they_are_retained() {
    let (site, office) = (Broker::start().await.unwrap(), Broker::start().await.unwrap());
    let sensor = connect(&site.url()).await.unwrap();
    sensor.publish("sensors/1", "kept").qos(QoS::AtLeastOnce).retain().await.unwrap();
    let (from, to) = (site.url(), office.url());
    let bridge =
        tokio::spawn(async move { bridge::run(&from, &to, "sensors/#").await.map_err(|e| e.to_string()) });

    let watcher = connect(&office.url()).await.unwrap();
    let mut messages = watcher.subscribe("site1/#").qos(QoS::AtLeastOnce).await.unwrap();
    let message = next(&mut messages).await;
    assert_eq!((message.topic(), message.payload()), ("site1/sensors/1", &b"kept"[..]));
    sensor.publish("sensors/2", "passing").qos(QoS::AtLeastOnce).await.unwrap();
    let message = next(&mut messages).await;
    assert_eq!(
        (message.topic(), message.payload(), message.retain),
        ("site1/sensors/2", &b"passing"[..], false)
    );
    let mut later = watcher.subscribe("site1/sensors/+").qos(QoS::AtLeastOnce).await.unwrap();
    let message = next(&mut later).await;
    assert_eq!((message.payload(), message.retain), (&b"kept"[..], true), "retained there too");
    bridge.abort();
}

#[tokio::test]
async fn the_board_shows_values_and_the_connection() {
    let broker = Broker::start().await.unwrap();
    let sensor = connect(&broker.url()).await.unwrap();
    sensor.publish("sensors/7/temperature", "21.5").qos(QoS::AtLeastOnce).retain().await.unwrap();
    let url = broker.url();
    let (board, mut boards) = tokio::sync::mpsc::unbounded_channel();
    let showing = tokio::spawn(async move {
        let shown = status_board::run(&url, |text| drop(board.send(text.to_owned()))).await;
        shown.map_err(|error| error.to_string())
    });
    let mut until = async |part: &str| {
        let looking = async { while !boards.recv().await.expect("the board goes on").contains(part) {} };
        soon(looking).await;
    };
    until("sensors/7/temperature    21.5\n").await;
    broker.kill().await;
    until("not connected: ").await;
    broker.restart(Restart::Keep).await.unwrap();
    until("connected\n  sensors/7").await;
    showing.abort();
}
