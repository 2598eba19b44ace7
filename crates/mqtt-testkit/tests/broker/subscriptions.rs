//! SUBSCRIBE, UNSUBSCRIBE, and what their options do.

use super::*;
use core::time::Duration;
use mqtt_codec::{QoS, RetainHandling, SubscriptionOptions};
use mqtt_testkit::broker::Message;
use mqtt_testkit::packets::{
    pingreq, pingresp, publish, suback, subscribe, subscribe_with, unsuback, unsubscribe,
};

const QOS_0: QoS = QoS::AtMostOnce;

/// All that comes to the client "c" by now, each message as "topic payload".
async fn heard(broker: &Broker, client: &mut Client) -> Vec<String> {
    broker.until("all sent", |broker| broker.session("c").unwrap().queued == 0).await;
    client.send(pingreq()).await;
    let mut heard = Vec::new();
    loop {
        match client.expect_any().await {
            Packet::Publish(publish) => {
                heard.push(format!("{} {}", publish.topic(), String::from_utf8_lossy(publish.payload())));
            }
            Packet::PingResp => return heard,
            other => panic!("{other:?}"),
        }
    }
}

/// `[MQTT-4.7.1-1]` `[MQTT-4.7.1-2]` `[MQTT-4.7.2-1]`
#[tokio::test]
async fn filters_take_what_they_match() {
    let broker = Broker::start().await.unwrap();
    let topics = ["a", "a/b", "a/b/c", "b", "/a", "$SYS/a"];
    for (filter, takes) in [
        ("a", &["a"][..]),
        ("a/#", &["a", "a/b", "a/b/c"]),
        ("a/+", &["a/b"]),
        ("+", &["a", "b"]),
        ("+/+", &["a/b", "/a"]),
        ("#", &["a", "a/b", "a/b/c", "b", "/a"]),
        ("$SYS/#", &["$SYS/a"]),
        ("+/a", &["/a"]),
    ] {
        let mut client = client(&broker, Version::V3_1_1, "c").await;
        client.send(subscribe(1, [(filter, QOS_0)])).await;
        client.expect(suback(1, &[ReasonCode::GRANTED_QOS_0])).await;
        for topic in topics {
            broker.publish(Message::new(topic, "x"));
        }
        let expected: Vec<_> = takes.iter().map(|topic| format!("{topic} x")).collect();
        assert_eq!(heard(&broker, &mut client).await, expected, "{filter}");
    }
}

/// `[MQTT-3.8.4-5]` `[MQTT-3.8.4-6]` `[MQTT-3.9.3-1]`
#[tokio::test]
async fn one_code_for_each_filter_in_their_order() {
    let broker = Broker::start().await.unwrap();
    for version in VERSIONS {
        let mut client = client(&broker, version, "c").await;
        client.send(subscribe(5, [("c", QoS::ExactlyOnce), ("a", QOS_0), ("b", QoS::AtLeastOnce)])).await;
        let (zero, one, two) =
            (ReasonCode::GRANTED_QOS_0, ReasonCode::GRANTED_QOS_1, ReasonCode::GRANTED_QOS_2);
        client.expect(suback(5, &[two, zero, one])).await;
    }
}

/// `[MQTT-3.10.4-1]` `[MQTT-3.10.4-5]` `[MQTT-3.11.3-1]`
#[tokio::test]
async fn unsubscribe_compares_filters_as_they_are() {
    let broker = Broker::start().await.unwrap();
    let mut client = v5(&broker, "c").await;
    client.send(subscribe(1, [("a/+", QOS_0), ("a/b", QOS_0)])).await;
    client.expect_any().await;
    client.send(unsubscribe(2, ["a/b", "a/#", "a/b"])).await;
    let none = ReasonCode::NO_SUBSCRIPTION_EXISTED;
    client.expect(unsuback(2, &[ReasonCode::SUCCESS, none, none])).await;
    broker.publish(Message::new("a/b", "x"));
    assert_eq!(heard(&broker, &mut client).await, ["a/b x"], "the other subscription is still there");

    for version in BEFORE_5 {
        let mut client = self::client(&broker, version, "c").await;
        client.send(subscribe(1, [("a", QOS_0)])).await;
        client.expect_any().await;
        client.send(unsubscribe(2, ["a", "b"])).await;
        client.expect(unsuback(2, &[])).await;
        broker.publish(Message::new("a", "x"));
        assert_eq!(heard(&broker, &mut client).await, [""; 0]);
    }
}

/// `[MQTT-3.3.4-2]` `[MQTT-3.3.4-5]`: a copy for each, with its QoS and identifier.
#[tokio::test(start_paused = true)]
async fn overlapping_subscriptions_bring_a_copy_each() {
    let broker = Broker::start().await.unwrap();
    let mut client = v5(&broker, "c").await;
    for (filter, qos, id) in
        [("a/#", QOS_0, 11), ("a/+", QoS::AtLeastOnce, 22), ("a/b", QOS_0, 33), ("b", QOS_0, 44)]
    {
        client.send(subscribe_with(1, &properties(|p| p.subscription_identifier(id)), [(filter, qos)])).await;
        client.expect_any().await;
    }
    let message = Message {
        qos: QoS::AtLeastOnce,
        properties: properties(|p| p.content_type("c")),
        ..Message::new("a/b", "x")
    };
    broker.publish(message);
    let copy =
        |id| publish("a/b", "x").properties(properties(|p| p.subscription_identifier(id).content_type("c")));
    client.expect(copy(11)).await;
    client.expect(copy(22).qos1(1)).await;
    client.expect(copy(33)).await;
    client.expect_silence(Duration::from_millis(50)).await;
}

/// `[MQTT-3.8.4-3]`
#[tokio::test]
async fn subscribing_again_replaces_the_subscription() {
    let broker = Broker::start().await.unwrap();
    let mut client = v5(&broker, "c").await;
    client.send(subscribe_with(1, &properties(|p| p.subscription_identifier(1)), [("t", QOS_0)])).await;
    client.expect_any().await;
    client.send(subscribe(2, [("t", QoS::AtLeastOnce)])).await;
    client.expect_any().await;
    let subscriptions = broker.session("c").unwrap().subscriptions;
    assert_eq!(subscriptions.len(), 1);
    assert_eq!((subscriptions[0].options.qos, subscriptions[0].identifier), (QoS::AtLeastOnce, None));
    broker.publish(Message { qos: QoS::ExactlyOnce, ..Message::new("t", "x") });
    client.expect(publish("t", "x").qos1(1)).await;
}

/// `[MQTT-3.8.3-3]`
#[tokio::test]
async fn no_local_keeps_the_own_messages_away() {
    let broker = Broker::start().await.unwrap();
    let mut client = v5(&broker, "c").await;
    let mut other = v5(&broker, "other").await;
    let no_local = SubscriptionOptions { no_local: true, ..QOS_0.into() };
    client.send(subscribe(1, [("a", no_local), ("b", QOS_0.into())])).await;
    client.expect_any().await;
    client.send(publish("a", "mine")).await;
    client.send(publish("b", "mine")).await;
    client.expect(publish("b", "mine")).await;
    other.send(publish("a", "theirs")).await;
    client.expect(publish("a", "theirs")).await;
}

/// `[MQTT-3.3.1-12]` `[MQTT-3.3.1-13]`
#[tokio::test]
async fn retain_as_published_keeps_the_flag() {
    let broker = Broker::start().await.unwrap();
    let mut client = v5(&broker, "c").await;
    let keep = SubscriptionOptions {
        retain_as_published: true,
        retain_handling: RetainHandling::DoNotSend,
        ..QOS_0.into()
    };
    client.send(subscribe(1, [("t/+", QOS_0.into()), ("#", keep)])).await;
    client.expect_any().await;
    broker.publish(Message { retain: true, ..Message::new("t/a", "x") });
    client.expect(publish("t/a", "x")).await;
    client.expect(publish("t/a", "x").retain()).await;
    broker.publish(Message::new("t/a", "y"));
    client.expect(publish("t/a", "y")).await;
    client.expect(publish("t/a", "y")).await;
    client.send(pingreq()).await;
    client.expect(pingresp()).await;
}
