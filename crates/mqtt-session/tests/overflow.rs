//! What gives way when the queue is full. Traps 2 and 25: the bound holds, and everything dropped is reported.

use mqtt_codec::{ConnAck, PropertiesBuf, QoS, Version};
use mqtt_session::{Config, Limits, Message, Outcome, Overflow, Token, UsageError};
use mqtt_testkit::packets::{connack, puback, publish};
use mqtt_testkit::pair::{Pair, config, message};

/// Room for so many messages, and nobody to send them to.
fn offline(overflow: Overflow, queue_messages: usize) -> Pair {
    let limits = Limits { queue_messages, overflow, ..Limits::default() };
    Pair::new(Config { limits, ..config(Version::V5) })
}

fn queue(pair: &mut Pair, topic: &str, payload: &'static str) -> Token {
    pair.publish(message(topic, payload, QoS::AtLeastOnce))
}

#[test]
fn refuse_is_the_default_and_drops_nothing() {
    let mut pair = offline(Overflow::default(), 1);
    queue(&mut pair, "a", "1");
    assert!(!pair.session.accepts());
    let refused = pair.session.publish(pair.now(), message("a", "2", QoS::AtLeastOnce));
    assert_eq!(refused, Err(UsageError::QueueFull));
    pair.expect_no_event();
}

#[test]
fn the_oldest_gives_way() {
    let mut pair = offline(Overflow::DropOldest, 2);
    let first = queue(&mut pair, "a", "1");
    queue(&mut pair, "a", "2");
    pair.expect_no_event();
    assert!(pair.session.accepts());
    queue(&mut pair, "a", "3");
    assert_eq!(pair.completed(), (first, Outcome::Dropped));
    assert_eq!(pair.session.queued(), 2);
    pair.connect(connack());
    pair.expect(publish("a", "2").qos1(1));
    pair.expect(publish("a", "3").qos1(2));
    pair.expect_silence();
}

#[test]
fn the_newest_gives_way() {
    let mut pair = offline(Overflow::DropNewest, 2);
    queue(&mut pair, "a", "1");
    queue(&mut pair, "a", "2");
    let third = queue(&mut pair, "a", "3");
    assert_eq!(pair.completed(), (third, Outcome::Dropped));
    pair.connect(connack());
    pair.expect(publish("a", "1").qos1(1));
    pair.expect(publish("a", "2").qos1(2));
    pair.expect_silence();
}

#[test]
fn the_latest_of_each_topic_stays() {
    let mut pair = offline(Overflow::KeepLatest, 3);
    queue(&mut pair, "a", "1");
    let earlier = queue(&mut pair, "a", "2");
    queue(&mut pair, "b", "3");
    // It takes the place of the last of its topic, so that what is older still leaves before it.
    queue(&mut pair, "a", "4");
    assert_eq!(pair.completed(), (earlier, Outcome::Dropped));
    // Nothing of this topic: the oldest.
    queue(&mut pair, "c", "5");
    assert_eq!(pair.completed().1, Outcome::Dropped);
    pair.expect_no_event();
    pair.connect(connack());
    pair.expect(publish("a", "4").qos1(1));
    pair.expect(publish("b", "3").qos1(2));
    pair.expect(publish("c", "5").qos1(3));
    pair.expect_silence();
}

/// The index of topics follows what leaves the queue by other doors: sent, expired, queued again.
#[test]
fn the_latest_is_found_whatever_happened_to_the_queue() {
    let mut pair = offline(Overflow::KeepLatest, 2);
    let properties = PropertiesBuf::builder().message_expiry_interval(1).build().unwrap();
    pair.publish(Message { properties, ..message("x", "0", QoS::AtLeastOnce) });
    let old = queue(&mut pair, "a", "1");
    pair.advance(core::time::Duration::from_secs(1));
    assert_eq!(pair.completed().1, Outcome::Expired);
    queue(&mut pair, "b", "2");
    queue(&mut pair, "a", "3");
    assert_eq!(pair.completed(), (old, Outcome::Dropped));
    pair.connect(connack());
    pair.expect(publish("a", "3").qos1(1));
    pair.expect(publish("b", "2").qos1(2));
    pair.cut();
    pair.ended();
    // The server has forgotten, and takes one at a time: the second goes back into the queue.
    let properties = PropertiesBuf::builder().receive_maximum(1).build().unwrap();
    pair.connect(ConnAck { properties, ..connack() });
    pair.expect(publish("a", "3").qos1(3));
    queue(&mut pair, "c", "4");
    queue(&mut pair, "b", "5");
    assert_eq!(pair.completed().1, Outcome::SessionLost, "it was sent in the lost session");
    pair.send(puback(3));
    pair.expect(publish("b", "5").qos1(4));
    pair.send(puback(4));
    pair.expect(publish("c", "4").qos1(5));
}

/// A message as large as it likes is taken while there is room, and only then; the sum of bytes is bounded.
#[test]
fn bytes_count_too() {
    for overflow in [Overflow::DropOldest, Overflow::DropNewest, Overflow::KeepLatest] {
        let limits = Limits { queue_bytes: 40, overflow, ..Limits::default() };
        let mut pair = Pair::new(Config { limits, ..config(Version::V5) });
        for number in 0..100 {
            let topic = format!("t{}", number % 3);
            pair.publish(message(&topic, "0123456789", QoS::AtLeastOnce));
            // One of up to 19 bytes more than there is room for.
            assert!(pair.session.queued_bytes() < 40 + 19, "{overflow:?}: {}", pair.session.queued_bytes());
        }
        let mut dropped = 0;
        while let Some(event) = pair.event() {
            assert!(matches!(event, mqtt_session::Event::Completed(_, Outcome::Dropped)), "{event:?}");
            dropped += 1;
        }
        assert_eq!(dropped + pair.session.queued(), 100, "{overflow:?}: each is queued or reported");
    }
}

/// Bytes in flight are never dropped; if they alone leave no room, the new message goes.
#[test]
fn what_is_in_flight_stays() {
    let limits = Limits { queue_bytes: 10, overflow: Overflow::DropOldest, ..Limits::default() };
    let mut pair = Pair::connected(Config { limits, ..config(Version::V5) });
    queue(&mut pair, "a", "0123456789");
    pair.expect(publish("a", "0123456789").qos1(1));
    let new = queue(&mut pair, "a", "x");
    assert_eq!(pair.completed(), (new, Outcome::Dropped));
    pair.expect_silence();
}

/// What is dropped leaves the store, and what never had a place never came into it.
#[test]
fn the_store_follows() {
    for overflow in [Overflow::DropOldest, Overflow::DropNewest, Overflow::KeepLatest] {
        let limits = Limits { queue_messages: 1, overflow, ..Limits::default() };
        let mut pair = Pair::new(Config { limits, durable: true, ..config(Version::V5) });
        queue(&mut pair, "a", "1");
        queue(&mut pair, "a", "2");
        let mut held = std::collections::BTreeSet::new();
        while let Some(op) = pair.session.poll_store() {
            match op {
                mqtt_session::StoreOp::Put(key, _) => assert!(held.insert(key)),
                mqtt_session::StoreOp::Delete(key) => assert!(held.remove(&key)),
            }
        }
        assert_eq!(held.len(), 1, "{overflow:?}");
    }
}

/// [MQTT-4.6.0-1]: with a store the latest message goes to the end of the queue. What is stored has the order of acceptance,
/// and after a crash what was sent is sent again in the order of its first sending.
#[test]
fn with_a_store_the_order_of_sending_is_that_of_acceptance() {
    let limits = Limits { queue_messages: 2, overflow: Overflow::KeepLatest, ..Limits::default() };
    let mut pair = Pair::new(Config { limits, durable: true, ..config(Version::V5) });
    queue(&mut pair, "a", "1");
    queue(&mut pair, "b", "2");
    queue(&mut pair, "a", "3");
    assert_eq!(pair.completed().1, Outcome::Dropped);
    queue(&mut pair, "b", "4");
    assert_eq!(pair.completed().1, Outcome::Dropped);
    pair.connect(connack());
    pair.expect(publish("a", "3").qos1(1));
    pair.expect(publish("b", "4").qos1(2));
    pair.expect_silence();
}
