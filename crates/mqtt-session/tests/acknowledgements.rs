//! Acknowledging by hand: any order in, the order of the messages out. Trap 22.

use mqtt_codec::{Ack, ConnAck, Packet, PacketId, PropertiesBuf, ReasonCode, Version};
use mqtt_session::UsageError;
use mqtt_testkit::packets::{connack, puback, publish, pubrec};
use mqtt_testkit::pair::{Pair, config};

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
        pair.session.acknowledge(token, ReasonCode::SUCCESS);
    }
    let (mut out, mut batches) = (mqtt_codec::WireBuf::new(), 0);
    while pair.session.poll_transmit(pair.now(), &mut out) {
        batches += 1;
    }
    assert!(batches < 10, "{batches} batches");
    let expected: Vec<u8> = (1..=2000_u16).flat_map(|id| [0x40, 2, (id >> 8) as u8, id as u8]).collect();
    assert_eq!(out.to_vec(), expected);
}

/// Our own acknowledgements carry a reason string and user properties, if the application gives any, once.
#[test]
fn acknowledgements_say_what_the_application_says() {
    let properties =
        PropertiesBuf::builder().reason_string("no room").user_property("free", "0").build().unwrap();
    let reason = ReasonCode::QUOTA_EXCEEDED;
    let mut pair = Pair::connected(config(Version::V5));
    pair.send(publish("a", "1").qos1(1));
    let one = pair.message_to_acknowledge("1");
    pair.session.acknowledge_with(one, reason, properties.clone()).unwrap();
    pair.run();
    pair.expect(Packet::PubAck(Ack { reason, properties: properties.clone(), ..Ack::new(PacketId::MIN) }));
    pair.send(publish("a", "2").qos2(1));
    let two = pair.message_to_acknowledge("2");
    pair.session.acknowledge_with(two, ReasonCode::SUCCESS, properties.clone()).unwrap();
    pair.run();
    pair.expect(Packet::PubRec(Ack { properties, ..Ack::new(PacketId::MIN) }));
    pair.send(publish("a", "2").qos2(1).dup());
    pair.expect(pubrec(1));
}

/// [MQTT-3.4.2-2] [MQTT-3.4.2-3] [MQTT-3.5.2-2] [MQTT-3.5.2-3]: they are left out where the server would not take
/// the packet with them.
#[test]
fn properties_that_make_an_acknowledgement_too_large_are_left_out() {
    let limit = PropertiesBuf::builder().maximum_packet_size(20).build().unwrap();
    let mut pair = Pair::new(config(Version::V5));
    pair.connect(ConnAck { properties: limit, ..connack() });
    for (name, fits) in [("12345", true), ("123456", false)] {
        let properties = PropertiesBuf::builder().user_property("name", name).build().unwrap();
        let sent = if fits { properties.clone() } else { PropertiesBuf::new() };
        pair.send(publish("a", "1").qos1(1));
        let one = pair.message_to_acknowledge("1");
        pair.session.acknowledge_with(one, ReasonCode::SUCCESS, properties.clone()).unwrap();
        pair.send(publish("a", "2").qos2(1));
        let two = pair.message_to_acknowledge("2");
        pair.session.acknowledge_with(two, ReasonCode::SUCCESS, properties).unwrap();
        pair.run();
        pair.expect(Packet::PubAck(Ack { properties: sent.clone(), ..Ack::new(PacketId::MIN) }));
        pair.expect(Packet::PubRec(Ack { properties: sent, ..Ack::new(PacketId::MIN) }));
        pair.send(mqtt_testkit::packets::pubrel(1));
        pair.received();
    }
}

/// What an acknowledgement cannot carry is refused, and the message can still be acknowledged.
#[test]
fn an_impossible_acknowledgement_gives_its_token_back() {
    let wrong = PropertiesBuf::builder().content_type("text").build().unwrap();
    let newer = PropertiesBuf::builder().reason_string("why").build().unwrap();
    for (version, properties) in [(Version::V5, wrong), (Version::V3_1_1, newer)] {
        let mut pair = Pair::connected(config(version));
        pair.send(publish("a", "1").qos1(1));
        let token = pair.message_to_acknowledge("1");
        let (token, error) =
            pair.session.acknowledge_with(token, ReasonCode::SUCCESS, properties).unwrap_err();
        assert!(matches!(error, UsageError::Encode(_)), "{error}");
        pair.run();
        pair.expect_silence();
        pair.acknowledge(token);
        pair.expect(puback(1));
    }
}
