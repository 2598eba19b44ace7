//! What a message carries reaches the other side as it was given: payloads, flags, properties.

use bytes::Bytes;
use mqtt_codec::{PropertiesBuf, QoS, ReasonCode, Version};
use mqtt_session::{Message, Outcome, UsageError};
use mqtt_testkit::packets::{puback, publish};
use mqtt_testkit::pair::{Pair, acked, config, message};

const ALL: [Version; 3] = [Version::V3_1, Version::V3_1_1, Version::V5];

/// `[MQTT-3.3.1-6]` `[MQTT-3.3.1-10/3.1.1]`: an empty payload with RETAIN, which clears what the server
/// keeps, can be sent; one that comes is a message.
#[test]
fn an_empty_payload_is_a_payload() {
    for version in ALL {
        let mut pair = Pair::connected(config(version));
        pair.publish(Message { retain: true, ..message("a", "", QoS::AtMostOnce) });
        pair.expect_hex(if version.is_v5() { "31 04 00 01 61 00" } else { "31 03 00 01 61" });
        pair.completed();
        pair.send(publish("a", "").retain());
        let (received, _) = pair.message();
        assert_eq!((received.topic(), received.payload(), received.retain), ("a", &b""[..], true));
    }
}

/// `[MQTT-3.3.2-6]` `[MQTT-3.3.2-15]` `[MQTT-3.3.2-16]` `[MQTT-3.3.2-17]` `[MQTT-3.3.2-18]`
/// `[MQTT-3.3.2-20]`: properties arrive unchanged, both ways, user properties in order, with repetitions and
/// empty strings; correlation data is any bytes, or none.
#[test]
fn properties_are_neither_changed_nor_sorted() {
    let all_bytes: Vec<u8> = (0..=255).collect();
    for correlation in [&all_bytes[..], &[]] {
        let block = || {
            PropertiesBuf::builder()
                .message_expiry_interval(7) // the first to be written when it is sent on
                .payload_format_indicator(false)
                .content_type("text/\u{e4}\u{10348}")
                .response_topic("answers/\u{e4}")
                .correlation_data(correlation)
                .user_property("b", "2")
                .user_property("a", "1")
                .user_property("b", "2")
                .user_property("", "")
                .user_property("a", "0")
                .build()
                .unwrap()
        };
        let mut pair = Pair::connected(config(Version::V5));
        pair.send(publish("a", "x").properties(block()));
        let (received, _) = pair.message();
        assert_eq!(received.properties, block());
        let view = received.properties.view();
        assert_eq!(view.correlation_data(), Some(correlation));
        assert_eq!(
            (view.response_topic(), view.content_type()),
            (Some("answers/\u{e4}"), Some("text/\u{e4}\u{10348}"))
        );
        let names: Vec<_> = view.user_properties().collect();
        assert_eq!(names, [("b", "2"), ("a", "1"), ("b", "2"), ("", ""), ("a", "0")]);
        // What was received can be sent on as it is.
        pair.publish(received);
        pair.expect(publish("a", "x").properties(block()));
    }
}

/// `[5u-29]`: what is sent with payload format indicator 1 is UTF-8; what is received is not looked at, which
/// the standard leaves to the receiver.
#[test]
fn a_payload_that_is_called_text_is_text() {
    let text = || PropertiesBuf::builder().payload_format_indicator(true).build().unwrap();
    let bytes = || PropertiesBuf::builder().payload_format_indicator(false).build().unwrap();
    let mut pair = Pair::connected(config(Version::V5));
    let latin1 = Bytes::from_static(b"gr\xFC\xDFe");
    let wrong = Message { properties: text(), ..message("a", latin1.clone(), QoS::AtMostOnce) };
    assert_eq!(pair.session.publish(pair.now(), wrong), Err(UsageError::PayloadNotUtf8));
    pair.expect_silence();
    for (properties, payload) in
        [(text(), Bytes::from("gr\u{fc}\u{df}e")), (text(), Bytes::new()), (bytes(), latin1.clone())]
    {
        let sent =
            Message { properties: properties.clone(), ..message("a", payload.clone(), QoS::AtMostOnce) };
        pair.publish(sent);
        pair.completed();
        pair.expect(publish("a", payload).properties(properties));
    }
    pair.send(publish("a", latin1.clone()).properties(text()));
    assert_eq!(pair.message().0.payload, latin1);
}

/// `[5u-27]`: a reason string is for people; what it says changes nothing.
#[test]
fn a_reason_string_decides_nothing() {
    let mut pair = Pair::connected(config(Version::V5));
    for (reason, says) in
        [(ReasonCode::SUCCESS, "0x87 not authorized"), (ReasonCode::NOT_AUTHORIZED, "0x00 success")]
    {
        let token = pair.publish(message("a", "x", QoS::AtLeastOnce));
        let Some(mqtt_codec::Packet::Publish(sent)) = pair.received() else { panic!("no PUBLISH") };
        let properties = PropertiesBuf::builder().reason_string(says).build().unwrap();
        let id = sent.delivery().id().unwrap();
        pair.send(mqtt_codec::Packet::PubAck(mqtt_codec::Ack { id, reason, properties: properties.clone() }));
        assert_eq!(pair.completed(), (token, Outcome::Acked { reason, properties }));
    }
    assert!(pair.session.is_connected());
    let token = pair.publish(message("a", "x", QoS::AtLeastOnce));
    pair.send(puback(3));
    assert_eq!(pair.completed(), (token, acked()));
}
