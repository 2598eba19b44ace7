//! What clients publish: acknowledgements, and exactly once.

use super::*;
use mqtt_codec::QoS;
use mqtt_testkit::packets::{
    puback, puback_with, pubcomp, pubcomp_with, publish, pubrec, pubrec_with, pubrel, suback, subscribe,
};

const NOBODY: ReasonCode = ReasonCode::NO_MATCHING_SUBSCRIBERS;

/// `[MQTT-3.3.4-1]` `[MQTT-4.3.2-4]` `[MQTT-4.3.3-8]` `[MQTT-4.3.3-11]`
#[tokio::test]
async fn each_qos_is_acknowledged_in_its_way() {
    let broker = Broker::start().await.unwrap();
    for version in VERSIONS {
        let mut client = client(&broker, version, "c").await;
        client.send(subscribe(9, [("#", QoS::AtMostOnce)])).await;
        client.expect(suback(9, &[ReasonCode::GRANTED_QOS_0])).await;
        client.send(publish("t", "zero")).await;
        client.expect(publish("t", "zero")).await;
        client.send(publish("t", "one").qos1(1)).await;
        client.expect(puback(1)).await;
        client.expect(publish("t", "one")).await;
        client.send(publish("t", "two").qos2(2)).await;
        client.expect(pubrec(2)).await;
        client.expect(publish("t", "two")).await;
        client.send(pubrel(2)).await;
        client.expect(pubcomp(2)).await;
    }
    let payloads: Vec<_> = broker.received().iter().map(|message| message.payload.clone()).collect();
    assert_eq!(payloads, ["zero", "one", "two"].repeat(3));
    assert_eq!(broker.received_count(), 9);
    assert_eq!(broker.received()[8].qos, QoS::ExactlyOnce);
    assert_eq!(broker.received()[8].client_id.as_deref(), Some("c"));
}

#[tokio::test]
async fn only_5_0_hears_that_nobody_has_subscribed() {
    let broker = Broker::start().await.unwrap();
    let mut client = v5(&broker, "c").await;
    client.send(publish("t", "").qos1(1)).await;
    client.expect(puback_with(1, NOBODY)).await;
    client.send(publish("t", "").qos2(2)).await;
    client.expect(pubrec_with(2, NOBODY)).await;
    for version in BEFORE_5 {
        let mut client = self::client(&broker, version, "c").await;
        client.send(publish("t", "").qos1(1)).await;
        client.expect(puback(1)).await;
        client.send(publish("t", "").qos2(2)).await;
        client.expect(pubrec(2)).await;
    }
}

/// `[MQTT-4.3.3-10]` `[MQTT-4.3.3-12]`
#[tokio::test]
async fn a_qos_2_message_is_accepted_once_until_its_pubrel() {
    let broker = Broker::start().await.unwrap();
    for version in VERSIONS {
        let before = broker.received_count();
        let mut client = client(&broker, version, "c").await;
        client.send(subscribe(9, [("t", QoS::AtMostOnce)])).await;
        client.expect_any().await;
        client.send(publish("t", "first").qos2(7)).await;
        client.expect(pubrec(7)).await;
        client.expect(publish("t", "first")).await;
        client.send(publish("t", "first").qos2(7).dup()).await;
        client.expect(pubrec(7)).await;
        client.send(pubrel(7)).await;
        client.expect(pubcomp(7)).await;
        client.send(publish("t", "second").qos2(7)).await;
        client.expect(pubrec(7)).await;
        client.expect(publish("t", "second")).await;
        assert_eq!(broker.received_count(), before + 2);
    }
}

/// `[MQTT-4.3.3-10]`: across connections too, as long as the session lives.
#[tokio::test]
async fn a_qos_2_message_is_accepted_once_across_connections() {
    let broker = Broker::start().await.unwrap();
    for version in VERSIONS {
        let before = broker.received_count();
        let (mut client, _) = enter(&broker, version, lasting("c", version)).await;
        client.send(publish("t", "x").qos2(7)).await;
        client.expect_any().await;
        vanish(&broker, client, "c").await;
        assert_eq!(broker.session("c").unwrap().awaiting_pubrel, 1);

        let (mut client, _) = enter(&broker, version, lasting("c", version)).await;
        client.send(publish("t", "x").qos2(7).dup()).await;
        client.expect(pubrec(7)).await;
        client.send(pubrel(7)).await;
        client.expect(pubcomp(7)).await;
        assert_eq!(broker.received_count(), before + 1);
        assert_eq!(broker.session("c").unwrap().awaiting_pubrel, 0);
        leave(&broker, client, "c").await;

        let clean = Connect { clean_start: true, ..lasting("c", version) };
        let (mut client, _) = enter(&broker, version, clean).await;
        client.send(publish("t", "x").qos2(7).dup()).await;
        client.expect_any().await;
        assert_eq!(broker.received_count(), before + 2, "a new session knows nothing of the old one");
    }
}

/// `[MQTT-4.3.3-11]`: a late PUBREL is answered, not punished.
#[tokio::test]
async fn an_unknown_pubrel_gets_pubcomp() {
    let broker = Broker::start().await.unwrap();
    let mut client = v5(&broker, "c").await;
    client.send(pubrel(5)).await;
    client.expect(pubcomp_with(5, ReasonCode::PACKET_IDENTIFIER_NOT_FOUND)).await;
    let mut client = self::client(&broker, Version::V3_1_1, "c").await;
    client.send(pubrel(5)).await;
    client.expect(pubcomp(5)).await;
}

/// The record tells a resend that was accepted from a first sending.
#[tokio::test]
async fn dup_is_recorded_and_not_passed_on() {
    let broker = Broker::start().await.unwrap();
    let mut client = v5(&broker, "c").await;
    client.send(subscribe(9, [("t", QoS::AtLeastOnce)])).await;
    client.expect_any().await;
    client.send(publish("t", "x").qos1(3).dup()).await;
    client.expect(puback(3)).await;
    // `[MQTT-3.3.1-3]`
    client.expect(publish("t", "x").qos1(1)).await;
    assert!(broker.received()[0].dup);
}
