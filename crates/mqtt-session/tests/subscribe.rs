//! Subscribing and unsubscribing: one result for each filter, and what is subscribed again.

use mqtt_codec::{ConnAck, PropertiesBuf, QoS, ReasonCode, RetainHandling, SubscriptionOptions, Version};
use mqtt_session::{Config, End, Event, Limits, Outcome, ProtocolError, UsageError};
use mqtt_testkit::packets::{
    connack, disconnect, publish, suback, subscribe, subscribe_with, unsuback, unsubscribe,
};
use mqtt_testkit::pair::{Pair, config, filter, subscribed};

const ALL: [Version; 3] = [Version::V3_1, Version::V3_1_1, Version::V5];
const GRANTED: [ReasonCode; 3] =
    [ReasonCode::GRANTED_QOS_0, ReasonCode::GRANTED_QOS_1, ReasonCode::GRANTED_QOS_2];

/// `[MQTT-3.8.4-2]` `[MQTT-3.8.4-5]` `[MQTT-3.8.4-7]` `[MQTT-3.9.3-1]`
#[test]
fn each_filter_has_its_result() {
    for version in ALL {
        let mut pair = Pair::connected(config(version));
        let token =
            pair.subscribe(&[("a", QoS::ExactlyOnce), ("b", QoS::AtLeastOnce), ("c/#", QoS::AtMostOnce)]);
        pair.expect(subscribe(
            1,
            [("a", QoS::ExactlyOnce), ("b", QoS::AtLeastOnce), ("c/#", QoS::AtMostOnce)],
        ));
        let codes = [GRANTED[1], GRANTED[2], GRANTED[0]];
        pair.send(suback(1, &codes));
        assert_eq!(pair.completed(), (token, subscribed(&codes)));
        pair.expect_no_event();
    }
}

/// `[MQTT-2.2.1-6]` `[MQTT-2.3.1-7/3.1.1]`, decision 3: acknowledgements that fit nothing are ignored.
#[test]
fn an_answer_to_nothing_is_ignored() {
    for version in ALL {
        let mut pair = Pair::connected(config(version));
        let token = pair.subscribe(&[("a", QoS::AtMostOnce)]);
        pair.received();
        pair.send(suback(2, &GRANTED[..1]));
        pair.send(unsuback(1, if version.is_v5() { &[ReasonCode::SUCCESS] } else { &[] }));
        pair.expect_no_event();
        pair.send(suback(1, &GRANTED[..1]));
        assert_eq!(pair.completed(), (token, subscribed(&GRANTED[..1])));
        pair.send(suback(1, &GRANTED[..1]));
        pair.expect_no_event();
    }
}

/// `[MQTT-3.9.3-2]`: nor does a reserved code.
#[test]
fn a_reserved_code_ends_the_connection() {
    for (version, hex) in [(Version::V3_1_1, "90 03 00 01 03"), (Version::V5, "90 04 00 01 00 03")] {
        let mut pair = Pair::connected(config(version));
        pair.subscribe(&[("a", QoS::AtMostOnce)]);
        pair.send_hex(hex);
        assert!(matches!(pair.ended(), End::Protocol(ProtocolError::Decode(_))));
        pair.expect_no_event();
    }
}

/// `[MQTT-3.10.4-4]` `[MQTT-3.10.4-5]` `[MQTT-3.10.4-6]`; before 5.0 UNSUBACK has no codes.
#[test]
fn unsubscribing() {
    for version in ALL {
        let mut pair = Pair::connected(config(version));
        let token = pair.unsubscribe(&["a", "b"]);
        pair.expect(unsubscribe(1, ["a", "b"]));
        let codes = if version.is_v5() {
            vec![ReasonCode::SUCCESS, ReasonCode::NO_SUBSCRIPTION_EXISTED]
        } else {
            vec![]
        };
        pair.send(unsuback(1, &codes));
        assert_eq!(
            pair.completed(),
            (token, Outcome::Unsubscribed { codes, properties: PropertiesBuf::new() })
        );
    }
}

/// `[311u-9]`: messages may come before SUBACK, and after UNSUBACK `[MQTT-3.10.4-2]`.
#[test]
fn messages_are_delivered_whatever_is_subscribed() {
    let mut pair = Pair::connected(config(Version::V3_1_1));
    pair.subscribe(&[("a", QoS::AtMostOnce)]);
    pair.send(publish("a", "early").qos1(1));
    let _ = pair.message_to_acknowledge("early");
    pair.send(publish("nobody/asked", "x").qos2(2));
    let _ = pair.message_to_acknowledge("x");
}

/// `[MQTT-3.3.4-3]` `[MQTT-3.3.4-4]` `[MQTT-3.3.4-5]`: all identifiers come with the message, in any order,
/// and once for each copy.
#[test]
fn subscription_identifiers_come_with_the_message() {
    let mut pair = Pair::connected(config(Version::V5));
    for identifiers in [&[5, 1][..], &[1, 1, 268_435_455], &[9]] {
        let block =
            identifiers.iter().fold(PropertiesBuf::builder(), |block, id| block.subscription_identifier(*id));
        pair.send(publish("a", "x").properties(block.build().unwrap()));
        let (message, _) = pair.message();
        assert!(message.properties.view().subscription_identifiers().eq(identifiers.iter().copied()));
    }
}

/// `[MQTT-3.8.4-1]` `[MQTT-3.10.4-4]`: without an answer a request stays, and keeps its identifier.
#[test]
fn a_request_waits_for_its_answer() {
    for version in ALL {
        let mut pair = Pair::connected(config(version));
        let token = pair.subscribe(&[("a", QoS::AtMostOnce)]);
        pair.expect(subscribe(1, [("a", QoS::AtMostOnce)]));
        pair.advance(core::time::Duration::from_secs(86_400));
        pair.expect_silence();
        pair.expect_no_event();
        pair.subscribe(&[("b", QoS::AtMostOnce)]);
        pair.expect(subscribe(2, [("b", QoS::AtMostOnce)]));
        pair.send(suback(1, &GRANTED[..1]));
        assert_eq!(pair.completed().0, token);
    }
}

/// `[5u-22]`: a message above the server's Maximum QoS is a violation if nothing can have asked for it.
#[test]
fn a_message_above_the_maximum_qos_of_the_server() {
    let maximum = || PropertiesBuf::builder().maximum_qos(QoS::AtMostOnce).build().unwrap();
    for (session_present, subscribed, granted) in
        [(false, false, false), (true, false, false), (false, true, false), (false, true, true)]
    {
        let mut pair = Pair::new(config(Version::V5));
        pair.connect(ConnAck { properties: maximum(), session_present, ..connack() });
        if subscribed {
            pair.subscribe(&[("a", QoS::AtLeastOnce)]);
            pair.received();
        }
        if granted {
            pair.send(suback(1, &GRANTED[..1]));
            pair.completed();
        }
        pair.send(publish("a", "x").qos1(1));
        if session_present || subscribed {
            let _ = pair.message_to_acknowledge("x");
        } else {
            assert_eq!(pair.ended(), End::Protocol(ProtocolError::QosNotSupported(QoS::AtLeastOnce)));
            pair.expect(disconnect(ReasonCode::QOS_NOT_SUPPORTED));
        }
    }
}

/// The options of 5.0 and its properties go out as given; before 5.0 they are refused by name.
#[test]
fn options_and_properties() {
    let options = SubscriptionOptions {
        qos: QoS::AtLeastOnce,
        no_local: true,
        retain_as_published: true,
        retain_handling: RetainHandling::DoNotSend,
    };
    let properties =
        || PropertiesBuf::builder().subscription_identifier(7).user_property("k", "v").build().unwrap();
    let mut pair = Pair::connected(config(Version::V5));
    pair.session.subscribe(vec![(filter("a"), options)], properties()).unwrap();
    pair.run();
    pair.expect(subscribe_with(1, &properties(), [("a", options)]));

    let mut old = Pair::connected(config(Version::V3_1_1));
    let refused = old.session.subscribe(vec![(filter("a"), options)], PropertiesBuf::new());
    assert!(matches!(refused, Err(UsageError::Encode(_))));
    let refused = old.session.subscribe(vec![(filter("a"), QoS::AtMostOnce.into())], properties());
    assert!(matches!(refused, Err(UsageError::Encode(_))));
    let refused = old.session.unsubscribe(vec![filter("a")], properties());
    assert!(matches!(refused, Err(UsageError::Encode(_))));
    // `[MQTT-3.8.3-4]` `[MQTT-3.8.3-2]` `[MQTT-3.10.3-2]`
    let refused = pair.session.subscribe(vec![(filter("$share/g/a"), options)], PropertiesBuf::new());
    assert!(matches!(refused, Err(UsageError::Encode(_))));
    let refused = pair.session.subscribe(vec![], PropertiesBuf::new());
    assert!(matches!(refused, Err(UsageError::Encode(_))));
    let refused = pair.session.unsubscribe(vec![], PropertiesBuf::new());
    assert!(matches!(refused, Err(UsageError::Encode(_))));
    pair.run();
    pair.expect_silence();
}

/// `[5u-23]`: what the server does not have is not asked of it; at once, or when it comes to that.
#[test]
fn what_the_server_does_not_have_is_refused() {
    let without = PropertiesBuf::builder()
        .wildcard_subscription_available(false)
        .shared_subscription_available(false)
        .subscription_identifier_available(false)
        .build()
        .unwrap();
    let identifier = || PropertiesBuf::builder().subscription_identifier(7).build().unwrap();
    let mut pair = Pair::new(config(Version::V5));
    let ask = |pair: &mut Pair, topic, properties| {
        pair.session.subscribe(vec![(filter(topic), QoS::AtMostOnce.into())], properties)
    };
    let early = [
        (ask(&mut pair, "a/#", PropertiesBuf::new()).unwrap(), UsageError::WildcardNotSupported),
        (ask(&mut pair, "$share/g/a", PropertiesBuf::new()).unwrap(), UsageError::SharedNotSupported),
        (ask(&mut pair, "a", identifier()).unwrap(), UsageError::SubscriptionIdentifierNotSupported),
    ];
    pair.connect(ConnAck { properties: without, ..connack() });
    pair.expect_silence();
    for (token, error) in early {
        assert_eq!(pair.completed(), (token, Outcome::Refused(error)));
    }
    assert_eq!(ask(&mut pair, "+", PropertiesBuf::new()), Err(UsageError::WildcardNotSupported));
    assert_eq!(ask(&mut pair, "$share/g/a", PropertiesBuf::new()), Err(UsageError::SharedNotSupported));
    assert_eq!(ask(&mut pair, "a", identifier()), Err(UsageError::SubscriptionIdentifierNotSupported));
    assert!(ask(&mut pair, "a", PropertiesBuf::new()).is_ok());
}

/// `[MQTT-3.2.2-10]`: Maximum QoS says nothing about subscriptions.
#[test]
fn the_requested_qos_is_not_clamped() {
    let properties = PropertiesBuf::builder().maximum_qos(QoS::AtMostOnce).build().unwrap();
    let mut pair = Pair::new(config(Version::V5));
    pair.connect(ConnAck { properties, ..connack() });
    pair.subscribe(&[("a", QoS::ExactlyOnce)]);
    pair.expect(subscribe(1, [("a", QoS::ExactlyOnce)]));
}

/// The session is lost: what was granted is subscribed again, before queued messages and without a token.
#[test]
fn a_lost_session_is_subscribed_again() {
    for version in [Version::V3_1_1, Version::V5] {
        let mut pair = Pair::connected(config(version));
        pair.subscribe(&[("b", QoS::AtLeastOnce), ("refused", QoS::AtMostOnce)]);
        pair.send(suback(1, &[GRANTED[0], ReasonCode::UNSPECIFIED_ERROR]));
        pair.subscribe(&[("a", QoS::AtMostOnce), ("gone", QoS::AtMostOnce)]);
        pair.send(suback(2, &[GRANTED[0]; 2]));
        pair.unsubscribe(&["gone"]);
        pair.send(unsuback(3, if version.is_v5() { &[ReasonCode::SUCCESS] } else { &[] }));
        for _ in 0..3 {
            pair.completed();
        }
        pair.cut();
        pair.ended();
        pair.publish(mqtt_testkit::pair::message("q", "x", QoS::AtMostOnce));
        pair.connect(connack());
        // With the QoS that was asked for, not the one that was granted.
        pair.expect(subscribe(4, [("a", QoS::AtMostOnce), ("b", QoS::AtLeastOnce)]));
        pair.expect(publish("q", "x"));
        pair.completed();
        pair.send(suback(4, &[GRANTED[0]; 2]));
        pair.expect_no_event();
    }
}

/// `[MQTT-3.10.4-1]` `[MQTT-3.10.4-1/3.1.1]`: what is unsubscribed is the filter that is the same in every
/// character, and no other.
#[test]
fn filters_are_compared_as_they_are() {
    const FILTERS: [&str; 6] = ["$share/g/a", "A", "a", "a/", "cafe\u{301}", "caf\u{e9}"];
    for version in [Version::V3_1_1, Version::V5] {
        for gone in FILTERS {
            let mut pair = Pair::connected(config(version));
            pair.subscribe(&FILTERS.map(|filter| (filter, QoS::AtMostOnce)));
            pair.send(suback(1, &[GRANTED[0]; 6]));
            pair.completed();
            pair.unsubscribe(&[gone]);
            while pair.received().is_some() {}
            pair.send(unsuback(2, if version.is_v5() { &[ReasonCode::SUCCESS] } else { &[] }));
            pair.completed();
            pair.cut();
            pair.ended();
            pair.connect(connack());
            let rest: Vec<_> = FILTERS.into_iter().filter(|filter| *filter != gone).collect();
            pair.expect(subscribe(3, rest.into_iter().map(|filter| (filter, QoS::AtMostOnce))));
            pair.expect_silence();
        }
    }
}

/// A resumed session has its subscriptions `[MQTT-3.1.2-5]`.
#[test]
fn a_resumed_session_is_not_subscribed_again() {
    for version in [Version::V3_1_1, Version::V5] {
        let mut pair = Pair::connected(config(version));
        pair.subscribe(&[("a", QoS::AtMostOnce)]);
        pair.send(suback(1, &GRANTED[..1]));
        pair.completed();
        pair.cut();
        pair.ended();
        pair.resume();
        pair.expect_silence();
    }
}

/// 3.1 does not say whether the session is there: to subscribe again is the safe side.
#[test]
fn version_3_1_subscribes_again_on_each_connection() {
    let mut pair = Pair::connected(config(Version::V3_1));
    pair.subscribe(&[("a", QoS::AtMostOnce)]);
    pair.send(suback(1, &GRANTED[..1]));
    pair.completed();
    pair.cut();
    pair.ended();
    pair.resume();
    pair.expect(subscribe(2, [("a", QoS::AtMostOnce)]));
    pair.expect_silence();
    pair.send(suback(2, &GRANTED[..1]));
    pair.expect_no_event();
}

/// The server refuses this time what it granted before: the application is told, and it is not asked again.
#[test]
fn a_subscription_can_be_lost_with_the_session() {
    let mut pair = Pair::connected(config(Version::V5));
    pair.subscribe(&[("a", QoS::AtMostOnce), ("b", QoS::AtMostOnce)]);
    pair.send(suback(1, &[GRANTED[0]; 2]));
    pair.completed();
    pair.cut();
    pair.ended();
    pair.connect(connack());
    pair.received();
    pair.send(suback(2, &[ReasonCode::NOT_AUTHORIZED, GRANTED[0]]));
    assert_eq!(pair.event(), Some(Event::SubscriptionLost(filter("a"), ReasonCode::NOT_AUTHORIZED)));
    pair.expect_no_event();
    pair.cut();
    pair.ended();
    pair.connect(connack());
    pair.expect(subscribe(3, [("b", QoS::AtMostOnce)]));
    pair.expect_silence();
}

/// A new server without wildcards: one filter is the reason, the others are subscribed.
#[test]
fn what_the_next_server_does_not_have_is_lost_alone() {
    let mut pair = Pair::connected(config(Version::V5));
    pair.subscribe(&[("a", QoS::AtMostOnce), ("b/+", QoS::AtMostOnce), ("c", QoS::AtMostOnce)]);
    pair.send(suback(1, &[GRANTED[0]; 3]));
    pair.completed();
    pair.cut();
    pair.ended();
    let properties = PropertiesBuf::builder().wildcard_subscription_available(false).build().unwrap();
    pair.connect(ConnAck { properties, ..connack() });
    pair.expect(subscribe(2, [("a", QoS::AtMostOnce)]));
    pair.expect(subscribe(3, [("c", QoS::AtMostOnce)]));
    let reason = ReasonCode::WILDCARD_SUBSCRIPTIONS_NOT_SUPPORTED;
    assert_eq!(pair.event(), Some(Event::SubscriptionLost(filter("b/+"), reason)));
}

/// The connection breaks before the session's own SUBSCRIBE is answered: it is asked again in any case, and
/// not twice.
#[test]
fn subscribing_again_survives_another_break() {
    for present in [true, false] {
        let mut pair = Pair::connected(config(Version::V5));
        pair.subscribe(&[("a", QoS::AtMostOnce)]);
        pair.send(suback(1, &GRANTED[..1]));
        pair.completed();
        pair.cut();
        pair.ended();
        pair.connect(connack());
        pair.expect(subscribe(2, [("a", QoS::AtMostOnce)]));
        pair.cut();
        pair.ended();
        if present {
            pair.resume()
        } else {
            pair.connect(connack())
        };
        pair.expect(subscribe(3, [("a", QoS::AtMostOnce)]));
        pair.expect_silence();
    }
}

/// `[MQTT-3.8.4-3]`: the same filter again replaces the subscription, also for later.
#[test]
fn the_last_options_count() {
    let mut pair = Pair::connected(config(Version::V5));
    for (round, qos) in [(1, QoS::AtMostOnce), (2, QoS::ExactlyOnce)] {
        pair.subscribe(&[("a", qos)]);
        pair.send(suback(round, &GRANTED[..1]));
        pair.completed();
    }
    pair.cut();
    pair.ended();
    pair.connect(connack());
    pair.expect(subscribe(3, [("a", QoS::ExactlyOnce)]));
    pair.expect_silence();
}

/// Two requests for one filter are under way: the answer to the later one counts.
#[test]
fn the_answer_to_the_last_request_counts() {
    for (first, second, wanted) in
        [(ReasonCode::NOT_AUTHORIZED, GRANTED[0], true), (GRANTED[0], ReasonCode::NOT_AUTHORIZED, false)]
    {
        let mut pair = Pair::connected(config(Version::V5));
        pair.subscribe(&[("a", QoS::AtMostOnce)]);
        pair.subscribe(&[("a", QoS::AtLeastOnce)]);
        pair.send(suback(1, &[first]));
        pair.send(suback(2, &[second]));
        let _ = (pair.completed(), pair.completed());
        pair.cut();
        pair.ended();
        pair.connect(connack());
        if wanted {
            pair.expect(subscribe(3, [("a", QoS::AtLeastOnce)]));
        }
        pair.expect_silence();
    }
}

/// The application gave up a filter, or asked for it anew, while the session was asking for it again.
#[test]
fn nothing_is_lost_that_is_not_wanted() {
    for anew in [true, false] {
        let mut pair = Pair::connected(config(Version::V5));
        pair.subscribe(&[("a", QoS::AtMostOnce)]);
        pair.send(suback(1, &GRANTED[..1]));
        pair.completed();
        pair.cut();
        pair.ended();
        pair.connect(connack());
        pair.expect(subscribe(2, [("a", QoS::AtMostOnce)]));
        if anew {
            pair.subscribe(&[("a", QoS::AtMostOnce)])
        } else {
            pair.unsubscribe(&["a"])
        };
        pair.send(suback(2, &[ReasonCode::NOT_AUTHORIZED]));
        pair.expect_no_event();
    }
}

/// Properties stay with their filters.
#[test]
fn filters_are_subscribed_again_with_their_properties() {
    let identifier = |id| PropertiesBuf::builder().subscription_identifier(id).build().unwrap();
    let mut pair = Pair::connected(config(Version::V5));
    for (round, topic) in [(1, "a"), (2, "b")] {
        let filters = vec![(filter(topic), QoS::AtMostOnce.into())];
        pair.session.subscribe(filters, identifier(round.into())).unwrap();
        pair.run();
        pair.send(suback(round, &GRANTED[..1]));
        pair.completed();
    }
    pair.cut();
    pair.ended();
    pair.connect(connack());
    pair.expect(subscribe_with(3, &identifier(1), [("a", QoS::AtMostOnce)]));
    pair.expect(subscribe_with(4, &identifier(2), [("b", QoS::AtMostOnce)]));
}

/// Requests are bounded like messages.
#[test]
fn requests_are_bounded() {
    let limits = Limits { requests: 2, ..Limits::default() };
    let mut pair = Pair::connected(Config { limits, ..config(Version::V5) });
    pair.subscribe(&[("a", QoS::AtMostOnce)]);
    pair.unsubscribe(&["b"]);
    let ask = vec![(filter("c"), QoS::AtMostOnce.into())];
    assert_eq!(pair.session.subscribe(ask, PropertiesBuf::new()), Err(UsageError::QueueFull));
    assert_eq!(pair.session.unsubscribe(vec![filter("c")], PropertiesBuf::new()), Err(UsageError::QueueFull));
    pair.send(suback(1, &GRANTED[..1]));
    pair.subscribe(&[("c", QoS::AtMostOnce)]);
}
