//! Retained messages.

use super::*;
use core::time::Duration;
use mqtt_codec::{QoS, RetainHandling, SubscriptionOptions};
use mqtt_testkit::packets::{
    PublishScript, pingreq, pingresp, puback, publish, suback, subscribe, unsubscribe,
};

/// Subscribes at QoS 0 and expects these messages behind the SUBACK, in any order, then nothing more.
async fn subscribes(
    client: &mut Client,
    filter: &'static str,
    options: impl Into<SubscriptionOptions>,
    then: impl IntoIterator<Item = PublishScript>,
) {
    client.send(subscribe(1, [(filter, options)])).await;
    client.expect(suback(1, &[ReasonCode::GRANTED_QOS_0])).await;
    client.expect_in_any_order(then).await;
    client.send(pingreq()).await;
    client.expect(pingresp()).await;
}

/// `[MQTT-3.3.1-5]` to `[MQTT-3.3.1-8]`
#[tokio::test]
async fn the_last_retained_message_of_a_topic_is_kept() {
    let broker = Broker::start().await.unwrap();
    for version in VERSIONS {
        let mut client = client(&broker, version, "c").await;
        for (id, message) in [
            publish("a/1", "old").retain(),
            publish("a/1", "new").retain(),
            publish("a/1", "not retained"),
            publish("a/2", "second").retain(),
            publish("a/3", "third").retain(),
            publish("a/3", "").retain(),
            publish("b", "other").retain(),
        ]
        .into_iter()
        .enumerate()
        {
            client.send(message.qos1(id as u16 + 1)).await;
            client.expect_any().await;
        }
        let stored: Vec<_> =
            broker.retained().iter().map(|m| (m.topic.to_string(), m.payload.clone())).collect();
        let expected = [("a/1", "new"), ("a/2", "second"), ("b", "other")];
        assert_eq!(stored, expected.map(|(topic, payload)| (topic.to_owned(), payload.into())));
        let sent = [publish("a/1", "new").retain(), publish("a/2", "second").retain()];
        subscribes(&mut client, "a/+", QoS::AtMostOnce, sent).await;
    }
}

/// Section 3.3.1.3: RETAIN is set only where the subscription is what makes it come.
#[tokio::test]
async fn a_message_that_comes_live_is_not_marked() {
    let broker = Broker::start().await.unwrap();
    for version in VERSIONS {
        let mut client = client(&broker, version, "c").await;
        client.send(subscribe(1, [("t", QoS::AtLeastOnce)])).await;
        client.expect_that("SUBACK", |packet| matches!(packet, Packet::SubAck(_))).await;
        client.send(publish("t", "x").qos1(1).retain()).await;
        client.expect(puback(1)).await;
        client.expect(publish("t", "x").qos1(1)).await;
        client.send(publish("t", "").retain()).await;
        client.expect(publish("t", "")).await;
        assert_eq!(broker.retained().len(), 0);
    }
}

/// `[MQTT-3.3.1-9]` `[MQTT-3.3.1-10]` `[MQTT-3.3.1-11]` `[MQTT-3.8.4-4]`
#[tokio::test]
async fn retain_handling_says_when_they_are_sent() {
    let broker = Broker::start().await.unwrap();
    let mut client = v5(&broker, "c").await;
    client.send(publish("t", "x").retain()).await;
    let handling = |retain_handling| SubscriptionOptions { retain_handling, ..QoS::AtMostOnce.into() };
    let message = || publish("t", "x").retain();

    subscribes(&mut client, "t", handling(RetainHandling::Send), [message()]).await;
    subscribes(&mut client, "t", handling(RetainHandling::Send), [message()]).await;
    subscribes(&mut client, "t", handling(RetainHandling::SendIfNew), []).await;
    client.send(unsubscribe(2, ["t"])).await;
    client.expect_any().await;
    subscribes(&mut client, "t", handling(RetainHandling::DoNotSend), []).await;
    client.send(unsubscribe(2, ["t"])).await;
    client.expect_any().await;
    subscribes(&mut client, "t", handling(RetainHandling::SendIfNew), [message()]).await;
}

/// Section 4.8.2
#[tokio::test]
async fn a_shared_subscription_gets_none() {
    let broker = Broker::start().await.unwrap();
    let mut client = v5(&broker, "c").await;
    client.send(publish("t", "x").retain()).await;
    subscribes(&mut client, "$share/g/t", QoS::AtMostOnce, []).await;
}

/// `[MQTT-3.3.2-5]` `[MQTT-3.3.2-6]`
#[tokio::test(start_paused = true)]
async fn a_retained_message_expires() {
    let broker = Broker::start().await.unwrap();
    let mut client = v5(&broker, "c").await;
    let expiring =
        |seconds| publish("t", "x").retain().properties(properties(|p| p.message_expiry_interval(seconds)));
    client.send(expiring(10)).await;
    broker.until("the message", |broker| broker.received_count() == 1).await;
    tokio::time::sleep(Duration::from_secs(4)).await;
    subscribes(&mut client, "t", QoS::AtMostOnce, [expiring(6)]).await;
    tokio::time::sleep(Duration::from_secs(6)).await;
    subscribes(&mut client, "t", QoS::AtMostOnce, []).await;
    assert_eq!(broker.retained().len(), 0);
}
