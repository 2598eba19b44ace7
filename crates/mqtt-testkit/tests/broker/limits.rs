//! What the broker can be told not to offer, and the limits of both sides.

use super::*;
use mqtt_codec::{ConnAck, QoS, Will};
use mqtt_testkit::broker::Message;
use mqtt_testkit::packets::{
    PublishScript, pingreq, pingresp, puback_with, publish, pubrec_with, pubrel, refusal, suback, subscribe,
    subscribe_with, will,
};

async fn greeted(broker: &Broker, connect: Connect) -> (Client, ConnAck) {
    let mut client = Peer::client(broker.connect_memory(), Version::V5);
    client.send(connect).await;
    match client.expect_any().await {
        Packet::ConnAck(connack) => (client, *connack),
        other => panic!("{other:?}"),
    }
}

/// Sends this PUBLISH in a connection of its own and expects DISCONNECT with this code.
async fn ends_with(broker: &Broker, message: PublishScript, reason: ReasonCode) {
    let mut client = v5(broker, "c").await;
    client.send(message).await;
    client.expect(disconnect(reason)).await;
    client.expect_end().await;
}

fn aliased(topic: &str, alias: u16) -> PublishScript {
    publish(topic, "x").properties(properties(|p| p.topic_alias(alias)))
}

/// `[5u-21]` `[MQTT-3.3.2-7]` `[MQTT-3.3.2-12]`
#[tokio::test]
async fn topic_aliases_are_resolved() {
    let broker = Broker::builder().topic_alias_maximum(3).start().await.unwrap();
    let (mut client, connack) = greeted(&broker, connect("c")).await;
    assert_eq!(connack.properties.view().topic_alias_maximum(), Some(3));
    client.send(aliased("a", 1)).await;
    client.send(aliased("b", 3)).await;
    client.send(aliased("", 1)).await;
    client.send(aliased("", 3)).await;
    client.send(aliased("c", 1)).await;
    client.send(aliased("", 1)).await;
    broker.until("all messages", |broker| broker.received_count() == 6).await;
    let topics: Vec<_> = broker.received().iter().map(|message| message.topic.to_string()).collect();
    assert_eq!(topics, ["a", "b", "a", "b", "c", "c"]);
    leave(&broker, client, "c").await;

    ends_with(&broker, aliased("", 1), ReasonCode::PROTOCOL_ERROR).await;
    ends_with(&broker, aliased("a", 4), ReasonCode::TOPIC_ALIAS_INVALID).await;
    let mut client = v5(&broker, "c").await;
    client.send_hex("30 08 00 01 61 03 23 00 00 78").await;
    client.expect(disconnect(ReasonCode::TOPIC_ALIAS_INVALID)).await;
}

#[tokio::test]
async fn topic_aliases_can_be_turned_off() {
    let broker = Broker::builder().topic_alias_maximum(0).start().await.unwrap();
    let (_, connack) = greeted(&broker, connect("c")).await;
    assert!(connack.properties.is_empty());
    ends_with(&broker, aliased("a", 1), ReasonCode::TOPIC_ALIAS_INVALID).await;
}

#[tokio::test]
async fn too_large_a_packet_ends_the_connection() {
    let broker = Broker::builder().maximum_packet_size(100).start().await.unwrap();
    let (mut client, connack) = greeted(&broker, connect("c")).await;
    assert_eq!(connack.properties.view().maximum_packet_size(), Some(100));
    client.send(publish("t", vec![b'x'; 94])).await; // 100 bytes
    client.send(pingreq()).await;
    client.expect(pingresp()).await;
    ends_with(&broker, publish("t", vec![b'x'; 95]), ReasonCode::PACKET_TOO_LARGE).await;
    let mut old = client_before_5(&broker).await;
    old.send(publish("t", vec![b'x'; 96])).await; // 101 bytes
    old.expect_end().await;
    assert_eq!(broker.received_count(), 1);
}

async fn client_before_5(broker: &Broker) -> Client {
    client(broker, Version::V3_1_1, "old").await
}

/// `[MQTT-3.1.2-24]` `[MQTT-3.1.2-25]`
#[tokio::test]
async fn too_large_a_packet_is_not_sent() {
    let broker = Broker::start().await.unwrap();
    let small = properties(|p| p.maximum_packet_size(50).receive_maximum(1));
    let (mut client, _) = enter(&broker, Version::V5, Connect { properties: small, ..connect("c") }).await;
    client.send(subscribe(1, [("t", QoS::AtLeastOnce)])).await;
    client.expect_any().await;
    for (qos, payload) in
        [(QoS::AtMostOnce, 45), (QoS::AtMostOnce, 44), (QoS::AtLeastOnce, 43), (QoS::AtLeastOnce, 42)]
    {
        broker.publish(Message { qos, ..Message::new("t", vec![b'x'; payload]) });
    }
    client.expect(publish("t", vec![b'x'; 44])).await;
    client.expect(publish("t", vec![b'x'; 42]).qos1(1)).await;
}

/// `[MQTT-3.2.2-9]` `[MQTT-3.2.2-10]` `[MQTT-3.2.2-12]`
#[tokio::test]
async fn the_maximum_qos_is_announced_and_kept() {
    let broker = Broker::builder().maximum_qos(QoS::AtLeastOnce).start().await.unwrap();
    let (mut client, connack) = greeted(&broker, connect("c")).await;
    assert_eq!(connack.properties.view().maximum_qos(), Some(QoS::AtLeastOnce));
    client.send(subscribe(1, [("t", QoS::ExactlyOnce)])).await;
    client.expect(suback(1, &[ReasonCode::GRANTED_QOS_1])).await;
    ends_with(&broker, publish("t", "x").qos2(1), ReasonCode::QOS_NOT_SUPPORTED).await;
    let will = Will { qos: QoS::ExactlyOnce, ..will("t", "x") };
    let (_, connack) = greeted(&broker, Connect { will: Some(will), ..connect("c") }).await;
    assert_eq!(connack, refusal(ReasonCode::QOS_NOT_SUPPORTED));
}

/// `[MQTT-3.2.2-13]`
#[tokio::test]
async fn retained_messages_can_be_turned_off() {
    let broker = Broker::builder().without_retain().start().await.unwrap();
    let (_, connack) = greeted(&broker, connect("c")).await;
    assert_eq!(connack.properties.view().retain_available(), Some(false));
    ends_with(&broker, publish("t", "x").retain(), ReasonCode::RETAIN_NOT_SUPPORTED).await;
    let will = Will { retain: true, ..will("t", "x") };
    let (_, connack) = greeted(&broker, Connect { will: Some(will), ..connect("c") }).await;
    assert_eq!(connack, refusal(ReasonCode::RETAIN_NOT_SUPPORTED));
}

#[tokio::test]
async fn kinds_of_subscriptions_can_be_turned_off() {
    let broker = Broker::builder()
        .without_wildcards()
        .without_shared_subscriptions()
        .without_subscription_identifiers()
        .start()
        .await
        .unwrap();
    let (mut client, connack) = greeted(&broker, connect("c")).await;
    let offered = connack.properties.view();
    assert_eq!(offered.wildcard_subscription_available(), Some(false));
    assert_eq!(offered.shared_subscription_available(), Some(false));
    assert_eq!(offered.subscription_identifier_available(), Some(false));
    let qos = QoS::AtMostOnce;
    client.send(subscribe(1, [("a/+", qos), ("$share/g/a", qos), ("a", qos)])).await;
    let wildcards = ReasonCode::WILDCARD_SUBSCRIPTIONS_NOT_SUPPORTED;
    let shared = ReasonCode::SHARED_SUBSCRIPTIONS_NOT_SUPPORTED;
    client.expect(suback(1, &[wildcards, shared, ReasonCode::GRANTED_QOS_0])).await;
    client.send(subscribe_with(2, &properties(|p| p.subscription_identifier(1)), [("a", qos)])).await;
    client.expect(suback(2, &[ReasonCode::SUBSCRIPTION_IDENTIFIERS_NOT_SUPPORTED])).await;
    assert_eq!(broker.session("c").unwrap().subscriptions.len(), 1);

    let mut client = client_before_5(&broker).await;
    client.send(subscribe(1, [("a/+", qos)])).await;
    client.expect(suback(1, &[ReasonCode::UNSPECIFIED_ERROR])).await;
    // 3.1 has no code for a refusal.
    let mut client = self::client(&broker, Version::V3_1, "c").await;
    client.send(subscribe(1, [("a/+", qos)])).await;
    client.expect_end().await;
}

/// Section 3.3.4: whoever exceeds the Receive Maximum is disconnected; in 3.1.1 there is none.
#[tokio::test]
async fn the_receive_maximum_of_the_broker_is_enforced() {
    let broker = Broker::builder().receive_maximum(2).start().await.unwrap();
    let (mut client, connack) = greeted(&broker, connect("c")).await;
    assert_eq!(connack.properties.view().receive_maximum(), Some(2));
    let nobody = ReasonCode::NO_MATCHING_SUBSCRIBERS;
    for id in [1, 2] {
        client.send(publish("t", "x").qos2(id)).await;
        client.expect(pubrec_with(id, nobody)).await;
    }
    client.send(publish("t", "x").qos2(2).dup()).await; // the same one again
    client.expect_any().await;
    client.send(pubrel(1)).await;
    client.expect_any().await;
    client.send(publish("t", "x").qos1(3)).await;
    client.expect(puback_with(3, nobody)).await;
    client.send(publish("t", "x").qos2(4)).await;
    client.expect(pubrec_with(4, nobody)).await;
    client.send(publish("t", "x").qos1(5)).await;
    client.expect(disconnect(ReasonCode::RECEIVE_MAXIMUM_EXCEEDED)).await;

    let mut client = client_before_5(&broker).await;
    for id in 1..=10 {
        client.send(publish("t", "x").qos2(id)).await;
        client.expect_any().await;
    }
}
