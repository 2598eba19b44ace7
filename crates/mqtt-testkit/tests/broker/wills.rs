//! Wills: published when a client is lost, and at no other time.

use super::*;
use core::time::Duration;
use mqtt_codec::{QoS, Will};
use mqtt_testkit::packets::{publish, subscribe, will};

async fn watcher(broker: &Broker) -> Client {
    let mut watcher = v5(broker, "watcher").await;
    watcher.send(subscribe(1, [("wills/#", QoS::ExactlyOnce)])).await;
    watcher.expect_any().await;
    watcher
}

fn with_will(id: &str) -> Connect {
    Connect { will: Some(will("wills/c", "lost")), ..connect(id) }
}

/// A will with a delay, and a session that lives for so long.
fn with_delay(delay: u32, expiry: u32) -> Connect {
    Connect {
        clean_start: false,
        will: Some(Will {
            properties: properties(|p| p.will_delay_interval(delay)),
            ..will("wills/c", "late")
        }),
        properties: properties(|p| p.session_expiry_interval(expiry)),
        ..connect("c")
    }
}

/// `[MQTT-3.1.2-8]`
#[tokio::test]
async fn a_lost_client_leaves_its_will() {
    let broker = Broker::start().await.unwrap();
    let mut watcher = watcher(&broker).await;
    for version in VERSIONS {
        let (client, _) = enter(&broker, version, with_will("c")).await;
        vanish(&broker, client, "c").await;
        watcher.expect(publish("wills/c", "lost")).await;
        // A protocol error of the client counts as well.
        let (mut client, _) = enter(&broker, version, with_will("c")).await;
        client.send_hex("00 00").await;
        watcher.expect(publish("wills/c", "lost")).await;
    }
    assert_eq!(broker.wills().len(), 6);
    assert_eq!(broker.received_count(), 0, "wills are no messages received");
}

/// `[MQTT-3.1.2-10]` `[MQTT-3.14.4-3]`
#[tokio::test]
async fn a_goodbye_cancels_the_will() {
    let broker = Broker::start().await.unwrap();
    let mut watcher = watcher(&broker).await;
    for version in VERSIONS {
        let (client, _) = enter(&broker, version, with_will("c")).await;
        leave(&broker, client, "c").await;
    }
    // Section 3.14.2.1: unless it asks for the will.
    let (mut client, _) = enter(&broker, Version::V5, with_will("c")).await;
    client.send(disconnect(ReasonCode::DISCONNECT_WITH_WILL_MESSAGE)).await;
    client.expect_end().await;
    watcher.expect(publish("wills/c", "lost")).await;
    assert_eq!(broker.wills().len(), 1);
}

/// `[MQTT-3.1.2-14]` `[MQTT-3.1.2-15]` `[MQTT-3.1.3-10]`
#[tokio::test]
async fn a_will_has_qos_retain_and_properties() {
    let broker = Broker::start().await.unwrap();
    let mut watcher = watcher(&broker).await;
    let message =
        || PropertiesBuf::builder().content_type("text").user_property("a", "1").user_property("b", "2");
    let will = Will {
        qos: QoS::AtLeastOnce,
        retain: true,
        properties: message().will_delay_interval(0).build().unwrap(),
        ..will("wills/c", "")
    };
    let empty = Connect { will: Some(will.clone()), ..connect("c") };
    let (client, _) = enter(&broker, Version::V5, empty).await;
    vanish(&broker, client, "c").await;
    watcher.expect(publish("wills/c", "").qos1(1).properties(message().build().unwrap())).await;
    assert_eq!(broker.retained().len(), 0, "an empty one is not stored");

    let (client, _) = enter(
        &broker,
        Version::V5,
        Connect { will: Some(Will { payload: "x".into(), ..will }), ..connect("c") },
    )
    .await;
    vanish(&broker, client, "c").await;
    assert_eq!(broker.retained().len(), 1);
}

/// `[MQTT-3.1.2-8]` `[MQTT-3.1.3-9]`
#[tokio::test(start_paused = true)]
async fn a_will_can_wait() {
    let broker = Broker::start().await.unwrap();
    let mut watcher = watcher(&broker).await;
    let (client, _) = enter(&broker, Version::V5, with_delay(30, 3600)).await;
    vanish(&broker, client, "c").await;
    watcher.expect_silence(Duration::from_millis(29_900)).await;
    watcher.expect(publish("wills/c", "late")).await;

    // A reconnect in time stops it.
    let (client, _) = enter(&broker, Version::V5, with_delay(30, 3600)).await;
    vanish(&broker, client, "c").await;
    watcher.expect_silence(Duration::from_secs(20)).await;
    let (client, present) = enter(&broker, Version::V5, with_delay(30, 3600)).await;
    assert!(present);
    watcher.expect_silence(Duration::from_secs(100)).await;
    leave(&broker, client, "c").await;
    watcher.expect_silence(Duration::from_secs(100)).await;
    assert_eq!(broker.wills().len(), 1);
}

/// Section 3.1.3.2.2: the end of the session does not wait for the delay.
#[tokio::test(start_paused = true)]
async fn the_end_of_the_session_brings_the_will() {
    let broker = Broker::start().await.unwrap();
    let mut watcher = watcher(&broker).await;
    let (client, _) = enter(&broker, Version::V5, with_delay(3600, 10)).await;
    vanish(&broker, client, "c").await;
    watcher.expect_silence(Duration::from_millis(9_900)).await;
    watcher.expect(publish("wills/c", "late")).await;
    assert_eq!(broker.session("c"), None);

    let (client, _) = enter(&broker, Version::V5, with_delay(3600, 3600)).await;
    vanish(&broker, client, "c").await;
    let clean = v5(&broker, "c").await;
    watcher.expect(publish("wills/c", "late")).await;
    drop(clean);
}

/// Section 3.1.4: a takeover ends the old connection without a goodbye.
#[tokio::test(start_paused = true)]
async fn a_takeover_brings_the_will_unless_it_waits() {
    let broker = Broker::start().await.unwrap();
    let mut watcher = watcher(&broker).await;
    let _first = enter(&broker, Version::V5, with_will("c")).await;
    let second = enter(&broker, Version::V5, with_delay(10, 10)).await;
    watcher.expect(publish("wills/c", "lost")).await;
    let third = enter(&broker, Version::V5, Connect { clean_start: false, ..connect("c") }).await;
    assert!(third.1);
    watcher.expect_silence(Duration::from_millis(50)).await;
    drop(second);
    assert_eq!(broker.wills().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_client_that_falls_silent_leaves_its_will() {
    let broker = Broker::start().await.unwrap();
    let mut watcher = watcher(&broker).await;
    let (_client, _) = enter(&broker, Version::V3_1_1, Connect { keep_alive: 2, ..with_will("c") }).await;
    watcher.expect_silence(Duration::from_millis(2_900)).await;
    watcher.expect(publish("wills/c", "lost")).await;
}
