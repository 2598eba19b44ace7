//! Acknowledging by hand: any order in, the order of the messages out. Trap 22.

use mqtt_codec::Version;
use mqtt_testkit::packets::{puback, publish, pubrec};
use mqtt_testkit::pair::{Pair, config};

const ALL: [Version; 3] = [Version::V3_1, Version::V3_1_1, Version::V5];

/// `[MQTT-4.6.0-2]`
#[test]
fn pubacks_follow_the_order_of_the_messages() {
    for version in ALL {
        let mut pair = Pair::connected(config(version));
        let [one, two, three] = [(30, "1"), (10, "2"), (20, "3")].map(|(id, payload)| {
            pair.send(publish("a", payload).qos1(id));
            pair.message_to_acknowledge(payload)
        });
        pair.acknowledge(three);
        pair.expect_silence();
        pair.acknowledge(one);
        pair.expect(puback(30));
        pair.expect_silence();
        pair.acknowledge(two);
        pair.expect(puback(10));
        pair.expect(puback(20));
        pair.expect_silence();
    }
}

/// `[MQTT-4.6.0-3]`
#[test]
fn pubrecs_follow_the_order_of_the_messages() {
    for version in ALL {
        let mut pair = Pair::connected(config(version));
        let [one, two, three] = [(30, "1"), (10, "2"), (20, "3")].map(|(id, payload)| {
            pair.send(publish("a", payload).qos2(id));
            pair.message_to_acknowledge(payload)
        });
        pair.acknowledge(three);
        pair.acknowledge(two);
        pair.expect_silence();
        pair.acknowledge(one);
        pair.expect(pubrec(30));
        pair.expect(pubrec(10));
        pair.expect(pubrec(20));
    }
}

/// The two orders do not wait for each other.
#[test]
fn qos_1_and_qos_2_do_not_hold_each_other_up() {
    let mut pair = Pair::connected(config(Version::V5));
    pair.send(publish("a", "1").qos1(1));
    let _held = pair.message_to_acknowledge("1");
    pair.send(publish("a", "2").qos2(2));
    let token = pair.message_to_acknowledge("2");
    pair.acknowledge(token);
    pair.expect(pubrec(2));
}

/// On the next connection the order is that of the repeated messages.
#[test]
fn the_order_is_that_of_the_connection() {
    let mut pair = Pair::connected(config(Version::V5));
    let [one, two] = [(1, "1"), (2, "2")].map(|(id, payload)| {
        pair.send(publish("a", payload).qos2(id));
        pair.message_to_acknowledge(payload)
    });
    pair.cut();
    pair.ended();
    pair.resume();
    pair.send(publish("a", "2").qos2(2).dup());
    pair.send(publish("a", "1").qos2(1).dup());
    pair.acknowledge(one);
    pair.expect_silence();
    pair.acknowledge(two);
    pair.expect(pubrec(2));
    pair.expect(pubrec(1));
}

/// Thousands of acknowledgements leave in batches, none is forgotten.
#[test]
fn acknowledgements_leave_in_batches() {
    let mut pair = Pair::connected(config(Version::V5));
    let tokens: Vec<_> = (1..=2000)
        .map(|id| {
            pair.send(publish("a", "x").qos1(id));
            pair.message_to_acknowledge("x")
        })
        .collect();
    for token in tokens.into_iter().rev() {
        pair.session.acknowledge(token, mqtt_codec::ReasonCode::SUCCESS);
    }
    let (mut out, mut batches) = (mqtt_codec::WireBuf::new(), 0);
    while pair.session.poll_transmit(pair.now(), &mut out) {
        batches += 1;
    }
    assert!(batches < 10, "{batches} batches");
    let expected: Vec<u8> = (1..=2000_u16).flat_map(|id| [0x40, 2, (id >> 8) as u8, id as u8]).collect();
    assert_eq!(out.to_vec(), expected);
}
