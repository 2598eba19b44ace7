//! Sessions: how long they live, and what they keep.

use super::*;
use core::time::Duration;
use mqtt_codec::{Disconnect, QoS};
use mqtt_testkit::broker::Message;
use mqtt_testkit::packets::{connack, connack_with_session, puback, publish, subscribe};

/// `[MQTT-3.1.2-5]` `[MQTT-3.2.2-3]`
#[tokio::test]
async fn a_lasting_session_is_present_again() {
    let broker = Broker::start().await.unwrap();
    for version in VERSIONS {
        let (mut client, present) = enter(&broker, version, lasting("c", version)).await;
        assert!(!present);
        client.send(subscribe(1, [("t", QoS::AtLeastOnce)])).await;
        client.expect_any().await;
        leave(&broker, client, "c").await;
        broker.publish(Message { qos: QoS::AtLeastOnce, ..Message::new("t", "x") });

        let mut client = Peer::client(broker.connect_memory(), version);
        client.send(lasting("c", version)).await;
        match version {
            Version::V3_1 => client.expect(connack()).await, // it cannot tell
            Version::V3_1_1 => client.expect(connack_with_session()).await,
            Version::V5 => {
                client
                    .expect_that("session present", |p| matches!(p, Packet::ConnAck(c) if c.session_present))
                    .await
            }
        };
        client.expect(publish("t", "x").qos1(1)).await;
        client.send(puback(1)).await;
        leave(&broker, client, "c").await;
        broker.restart(mqtt_testkit::broker::Restart::Lose).await.unwrap();
    }
}

/// `[MQTT-3.1.2-4]` `[MQTT-3.2.2-2]`
#[tokio::test]
async fn clean_start_ends_the_stored_session() {
    let broker = Broker::start().await.unwrap();
    for version in VERSIONS {
        let (mut client, _) = enter(&broker, version, lasting("c", version)).await;
        client.send(subscribe(1, [("t", QoS::AtLeastOnce)])).await;
        client.expect_any().await;
        leave(&broker, client, "c").await;
        let (client, present) = enter(&broker, version, connect("c")).await;
        assert!(!present);
        assert_eq!(broker.session("c").unwrap().subscriptions, []);
        leave(&broker, client, "c").await;
    }
}

/// `[MQTT-4.1.0-2]`: at once where the session is not to outlive the connection.
#[tokio::test]
async fn a_short_session_ends_with_its_connection() {
    let broker = Broker::start().await.unwrap();
    for version in VERSIONS {
        let client = client(&broker, version, "c").await;
        assert!(broker.session("c").is_some());
        vanish(&broker, client, "c").await;
        assert_eq!(broker.session("c"), None);
    }
    // 5.0 can go on with a stored session and let it end with the connection.
    let (client, _) = enter(&broker, Version::V5, lasting("c", Version::V5)).await;
    vanish(&broker, client, "c").await;
    let short = Connect { clean_start: false, ..connect("c") };
    let (client, present) = enter(&broker, Version::V5, short).await;
    assert!(present);
    vanish(&broker, client, "c").await;
    assert_eq!(broker.session("c"), None);
}

/// `[MQTT-4.1.0-2]`
#[tokio::test(start_paused = true)]
async fn a_session_expires() {
    let broker = Broker::start().await.unwrap();
    let (client, _) = enter(&broker, Version::V5, lasting("c", Version::V5)).await;
    leave(&broker, client, "c").await;
    tokio::time::sleep(Duration::from_secs(3_599)).await;
    assert!(broker.session("c").is_some());
    let (client, present) = enter(&broker, Version::V5, lasting("c", Version::V5)).await;
    assert!(present, "a reconnect stops the clock");
    tokio::time::sleep(Duration::from_secs(10_000)).await;
    leave(&broker, client, "c").await;
    tokio::time::sleep(Duration::from_secs(3_599)).await;
    assert!(broker.session("c").is_some());
    tokio::time::sleep(Duration::from_secs(1)).await;
    broker.until("the end of the session", |broker| broker.session("c").is_none()).await;
}

#[tokio::test(start_paused = true)]
async fn a_session_can_be_kept_for_ever() {
    let broker = Broker::start().await.unwrap();
    let for_ever =
        Connect { properties: properties(|p| p.session_expiry_interval(u32::MAX)), ..connect("c") };
    let (client, _) = enter(&broker, Version::V5, for_ever).await;
    leave(&broker, client, "c").await;
    tokio::time::sleep(Duration::from_secs(u32::MAX.into())).await;
    assert!(broker.session("c").is_some());
}

#[tokio::test(start_paused = true)]
async fn the_server_can_limit_the_expiry() {
    let broker = Broker::builder().session_expiry_limit(60).start().await.unwrap();
    let mut client = Peer::client(broker.connect_memory(), Version::V5);
    client.send(lasting("c", Version::V5)).await;
    let Packet::ConnAck(connack) = client.expect_any().await else { panic!("no CONNACK") };
    assert_eq!(connack.properties.view().session_expiry_interval(), Some(60));
    leave(&broker, client, "c").await;
    tokio::time::sleep(Duration::from_secs(60)).await;
    broker.until("the end of the session", |broker| broker.session("c").is_none()).await;
}

/// Section 3.14.2.2.2
#[tokio::test]
async fn disconnect_can_change_the_expiry() {
    let broker = Broker::start().await.unwrap();
    let (mut client, _) = enter(&broker, Version::V5, lasting("c", Version::V5)).await;
    let goodbye = |seconds| {
        let properties = properties(|p| p.session_expiry_interval(seconds));
        Disconnect { reason: ReasonCode::NORMAL_DISCONNECTION, properties }
    };
    client.send(goodbye(0)).await;
    client.expect_end().await;
    broker.until("the end of the session", |broker| broker.session("c").is_none()).await;

    let mut client = v5(&broker, "c").await;
    client.send(goodbye(10)).await;
    client.expect(disconnect(ReasonCode::PROTOCOL_ERROR)).await;
    client.expect_end().await;
}

#[tokio::test]
async fn a_takeover_goes_on_with_the_session() {
    let broker = Broker::start().await.unwrap();
    let (mut first, _) = enter(&broker, Version::V5, lasting("c", Version::V5)).await;
    first.send(subscribe(1, [("t", QoS::AtLeastOnce)])).await;
    first.expect_any().await;
    broker.publish(Message { qos: QoS::AtLeastOnce, ..Message::new("t", "x") });
    first.expect(publish("t", "x").qos1(1)).await;
    let (mut second, present) = enter(&broker, Version::V5, lasting("c", Version::V5)).await;
    assert!(present);
    first.expect(disconnect(ReasonCode::SESSION_TAKEN_OVER)).await;
    // What the first one still says does not count.
    second.expect(publish("t", "x").qos1(1).dup()).await;
    assert_eq!(broker.session("c").unwrap().in_flight, 1);
}

/// `[MQTT-3.3.2-5]` `[MQTT-3.3.2-6]` `[MQTT-4.3.3-7]`
#[tokio::test(start_paused = true)]
async fn messages_expire_while_they_wait() {
    let broker = Broker::start().await.unwrap();
    let one_at_a_time = Connect {
        properties: properties(|p| p.session_expiry_interval(3600).receive_maximum(1)),
        ..lasting("c", Version::V5)
    };
    let (mut client, _) = enter(&broker, Version::V5, one_at_a_time.clone()).await;
    client.send(subscribe(1, [("t", QoS::AtLeastOnce)])).await;
    client.expect_any().await;
    let expiring = |payload: &'static str, expiry| Message {
        qos: QoS::AtLeastOnce,
        expiry: Some(expiry),
        ..Message::new("t", payload)
    };
    let arrives = |payload: &'static str, id, left| {
        publish("t", payload).qos1(id).properties(properties(|p| p.message_expiry_interval(left)))
    };
    broker.publish(expiring("begun", 10));
    broker.publish(expiring("short", 19));
    broker.publish(expiring("long", 100));
    client.expect(arrives("begun", 1, 10)).await;
    vanish(&broker, client, "c").await;
    tokio::time::sleep(Duration::from_secs(20)).await;

    let (mut client, _) = enter(&broker, Version::V5, one_at_a_time).await;
    client.expect(arrives("begun", 1, 0).dup()).await; // its delivery had begun: it is finished
    client.send(puback(1)).await;
    client.expect(arrives("long", 2, 80)).await;
}
