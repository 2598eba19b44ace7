//! Shared subscriptions.

use super::*;
use mqtt_codec::QoS;
use mqtt_testkit::broker::Message;
use mqtt_testkit::packets::{puback, publish, subscribe, unsubscribe};

const QOS_1: QoS = QoS::AtLeastOnce;

async fn member(broker: &Broker, version: Version, id: &str, filter: &'static str) -> Client {
    let is_new = broker.session(id).is_none();
    let (mut client, _) = enter(broker, version, lasting(id, version)).await;
    if is_new {
        client.send(subscribe(1, [(filter, QOS_1)])).await;
        client.expect_any().await;
    }
    client
}

fn feed(broker: &Broker, payload: &'static str) -> bool {
    broker.publish(Message { qos: QOS_1, ..Message::new("t/1", payload) })
}

#[tokio::test]
async fn members_take_turns() {
    let broker = Broker::start().await.unwrap();
    let mut one = member(&broker, Version::V5, "1", "$share/g/t/+").await;
    let mut two = member(&broker, Version::V3_1_1, "2", "$share/g/t/+").await;
    let mut other_group = member(&broker, Version::V5, "3", "$share/h/t/+").await;
    let mut alone = member(&broker, Version::V5, "4", "t/#").await;
    for (index, payload) in ["a", "b", "c", "d"].into_iter().enumerate() {
        assert!(feed(&broker, payload));
        let turn = if index % 2 == 0 { &mut one } else { &mut two };
        let id = index as u16 / 2 + 1;
        turn.expect(publish("t/1", payload).qos1(id)).await;
        other_group.expect(publish("t/1", payload).qos1(index as u16 + 1)).await;
        alone.expect(publish("t/1", payload).qos1(index as u16 + 1)).await;
    }
}

#[tokio::test]
async fn the_turn_stays_when_somebody_leaves() {
    let broker = Broker::start().await.unwrap();
    let mut one = member(&broker, Version::V5, "1", "$share/g/t/+").await;
    let mut two = member(&broker, Version::V5, "2", "$share/g/t/+").await;
    let mut three = member(&broker, Version::V5, "3", "$share/g/t/+").await;
    feed(&broker, "a");
    feed(&broker, "b");
    one.expect(publish("t/1", "a").qos1(1)).await;
    two.expect(publish("t/1", "b").qos1(1)).await;
    one.send(unsubscribe(2, ["$share/g/t/+"])).await;
    one.expect_any().await;
    feed(&broker, "c");
    three.expect(publish("t/1", "c").qos1(1)).await;
}

#[tokio::test]
async fn members_that_are_away_are_passed_over() {
    let broker = Broker::start().await.unwrap();
    let one = member(&broker, Version::V5, "1", "$share/g/t/+").await;
    let mut two = member(&broker, Version::V5, "2", "$share/g/t/+").await;
    leave(&broker, one, "1").await;
    for id in 1..=3 {
        feed(&broker, "x");
        two.expect(publish("t/1", "x").qos1(id)).await;
        two.send(puback(id)).await;
    }
    leave(&broker, two, "2").await;
    // Nobody is there: it waits for the one whose turn it is.
    feed(&broker, "kept");
    assert_eq!(broker.sessions().iter().map(|session| session.queued).sum::<usize>(), 1);
    let mut one = member(&broker, Version::V5, "1", "$share/g/t/+").await;
    one.expect(publish("t/1", "kept").qos1(1)).await;
}

/// `[MQTT-4.8.2-4]` `[MQTT-4.8.2-5]`: what was begun with one member is not begun with another.
#[tokio::test(start_paused = true)]
async fn a_delivery_stays_with_its_member() {
    let broker = Broker::start().await.unwrap();
    let mut one = member(&broker, Version::V5, "1", "$share/g/t/+").await;
    feed(&broker, "x");
    one.expect(publish("t/1", "x").qos1(1)).await;
    let mut two = member(&broker, Version::V5, "2", "$share/g/t/+").await;
    vanish(&broker, one, "1").await;
    two.expect_silence(core::time::Duration::from_millis(50)).await;
    let mut one = member(&broker, Version::V5, "1", "$share/g/t/+").await;
    one.expect(publish("t/1", "x").qos1(1).dup()).await;
}

#[tokio::test]
async fn leaving_the_group_ends_the_share() {
    let broker = Broker::start().await.unwrap();
    let one = member(&broker, Version::V5, "1", "$share/g/t/+").await;
    let two = member(&broker, Version::V5, "2", "$share/g/t/+").await;
    // A session that has ended has no turn any more.
    let three = member(&broker, Version::V5, "3", "$share/g/t/+").await;
    leave(&broker, three, "3").await;
    drop(v5(&broker, "3").await);
    broker.until("the end of the session", |broker| broker.session("3").is_none()).await;
    leave(&broker, two, "2").await;
    vanish(&broker, one, "1").await;
    for _ in 0..4 {
        assert!(feed(&broker, "x"));
    }
    assert_eq!(broker.sessions().iter().map(|session| session.queued).collect::<Vec<_>>(), [2, 2]);

    let mut one = member(&broker, Version::V5, "1", "$share/g/t/+").await;
    let mut two = member(&broker, Version::V5, "2", "$share/g/t/+").await;
    for client in [&mut one, &mut two] {
        client.expect_publish().await;
        client.expect_publish().await;
    }
    one.send(unsubscribe(2, ["$share/g/t/+"])).await;
    one.expect_any().await;
    // A clean start ends the session of the other one, and its membership.
    leave(&broker, two, "2").await;
    let _two = v5(&broker, "2").await;
    assert!(!feed(&broker, "x"));
}
