//! Section 3.3: PUBLISH, in both directions.

use crate::support::{
    A_MOMENT, ALL, BEFORE_5, Server, breach, connack_with, enqueue, failure, next, serve, soon, subscribe,
};
use mqtt_client::{
    Outcome, PropertiesBuf, ProtocolError, PublishError, QoS, ReasonCode, Subscription, SubscriptionOptions,
    UsageError, Version,
};
use mqtt_codec::{Packet, PacketType};
use mqtt_testkit::packets::{connack, puback, pubcomp, publish, pubrec, pubrel, suback};

/// [MQTT-3.3.1-1] [MQTT-3.3.1-1/3.1.1]: what is sent again is the same packet, with DUP 1 as the only difference.
#[tokio::test]
async fn what_is_sent_again_differs_in_dup_only() {
    for version in ALL {
        for (qos, retain, first) in [
            (QoS::AtLeastOnce, false, 0x32),
            (QoS::AtLeastOnce, true, 0x33),
            (QoS::ExactlyOnce, false, 0x34),
            (QoS::ExactlyOnce, true, 0x35),
        ] {
            let stage = serve(version).await;
            let (client, mut server) = stage.meet_as(stage.resuming(), connack()).await;
            let message = client.publish("a/b", "x").qos(qos);
            _ = soon(if retain { message.retain() } else { message }.enqueue()).await.unwrap();
            let (length, properties) = if version.is_v5() { (9, "00") } else { (8, "") };
            server
                .expect_hex(&format!("{first:02X} {length:02X} 00 03 61 2F 62 00 01 {properties} 78"))
                .await;
            for _ in 0..2 {
                drop(server);
                server = stage.welcome_back().await;
                let again = first | 0x08;
                server
                    .expect_hex(&format!("{again:02X} {length:02X} 00 03 61 2F 62 00 01 {properties} 78"))
                    .await;
            }
        }
    }
}

/// [MQTT-3.3.1-3] [MQTT-3.3.1-3/3.1.1]: DUP is told to the application, and not copied when it publishes the same
/// again.
#[tokio::test]
async fn dup_is_not_passed_on() {
    for version in ALL {
        let stage = serve(version).await;
        let (client, mut server) = stage.meet().await;
        let mut subscription = subscribe(&client, &mut server, "a", QoS::AtLeastOnce).await;
        server.send(publish("a", "x").qos1(9).dup()).await;
        let message = next(&mut subscription).await;
        assert!(message.dup);
        server.expect(puback(9)).await;
        let again = client.publish(message.topic, message.payload).qos(message.qos);
        _ = soon(again.properties(message.properties).enqueue()).await.unwrap();
        let packet = server.expect_publish().await;
        assert_eq!((packet.topic(), packet.payload()), ("a", &b"x"[..]));
        assert!(!packet.delivery().dup(), "{version}");
    }
}

/// [MQTT-3.3.1-6] [MQTT-3.3.1-10/3.1.1]: an empty payload with RETAIN, which clears what the server keeps, is sent;
/// one that comes is a message.
#[tokio::test]
async fn an_empty_retained_message_is_a_message() {
    for version in ALL {
        let stage = serve(version).await;
        let (client, mut server) = stage.meet().await;
        let mut subscription = subscribe(&client, &mut server, "a", QoS::AtMostOnce).await;
        assert!(matches!(soon(client.publish("a", "").retain()).await, Ok(Outcome::Sent)));
        server.expect_hex(if version.is_v5() { "31 04 00 01 61 00" } else { "31 03 00 01 61" }).await;
        server.send(publish("a", "").retain()).await;
        let message = next(&mut subscription).await;
        assert!(message.payload().is_empty() && message.retain);
    }
}

/// [MQTT-3.3.1-6/3.1.1] [MQTT-3.3.1-8/3.1.1] [MQTT-3.3.1-9/3.1.1] [MQTT-3.3.1-12] [MQTT-3.3.1-13]: the RETAIN flag
/// reaches the application as it came, before SUBACK and after.
#[tokio::test]
async fn the_retain_flag_reaches_the_application() {
    for version in ALL {
        let stage = serve(version).await;
        let (client, mut server) = stage.meet().await;
        let script = async {
            let id = server.expect_subscribe().await;
            server.send(publish("a", "before").retain()).await;
            server.send(suback(id, &[ReasonCode::GRANTED_QOS_0])).await;
            server.send(publish("a", "after").retain()).await;
            server.send(publish("a", "live")).await;
        };
        let (subscription, ()) = tokio::join!(soon(client.subscribe("a")), script);
        let mut subscription = subscription.unwrap();
        for (payload, retain) in [("before", true), ("after", true), ("live", false)] {
            let message = next(&mut subscription).await;
            assert_eq!((message.payload(), message.retain), (payload.as_bytes(), retain), "{version}");
        }
    }
}

/// [MQTT-3.3.1-12] [MQTT-3.3.1-13] [MQTT-3.3.1-9] [MQTT-3.3.1-10] [MQTT-3.3.1-11] [MQTT-3.8.3-3]: what a subscription
/// wants to have retained, and whether it wants its own messages, stands in its options, bit by bit.
#[tokio::test]
async fn the_options_of_a_subscription_are_sent_as_given() {
    use mqtt_client::RetainHandling::{DoNotSend, Send, SendIfNew};
    let stage = serve(Version::V5).await;
    let refused = connack_with(PropertiesBuf::builder().subscription_identifier_available(false));
    let (client, mut server) = stage.meet_as(stage.options(), refused).await;
    for (place, (retain_handling, handling)) in
        [(Send, 0x00), (SendIfNew, 0x10), (DoNotSend, 0x20)].into_iter().enumerate()
    {
        for (retain_as_published, no_local) in [(false, false), (true, false), (false, true), (true, true)] {
            for (qos, bits) in [(QoS::AtMostOnce, 0), (QoS::AtLeastOnce, 1), (QoS::ExactlyOnce, 2)] {
                let options = SubscriptionOptions { qos, no_local, retain_as_published, retain_handling };
                let wanted =
                    bits | handling | (u8::from(retain_as_published) << 3) | (u8::from(no_local) << 2);
                let script = async {
                    let Packet::Subscribe(packet) = server.expect_type(PacketType::Subscribe).await else {
                        unreachable!()
                    };
                    let mut wire = mqtt_codec::WireBuf::new();
                    packet.encode(Version::V5, &mut wire).unwrap();
                    assert_eq!(wire.to_vec().last(), Some(&wanted), "{options:?}");
                    server.send(suback(packet.id().get(), &[ReasonCode::GRANTED_QOS_0])).await;
                };
                let filter = format!("a/{place}/{retain_as_published}/{no_local}/{bits}");
                let (subscription, ()) =
                    tokio::join!(soon(client.subscribe(filter.as_str()).options(options)), script);
                // With Retain As Published or without, the flag is the server's.
                let mut subscription = subscription.unwrap();
                for retain in [true, false] {
                    let message = publish(&filter, "x");
                    server.send(if retain { message.retain() } else { message }).await;
                    assert_eq!(next(&mut subscription).await.retain, retain);
                }
                subscription.detach();
            }
        }
    }
}

/// [MQTT-3.3.2-3] [MQTT-3.3.2-3/3.1.1] [MQTT-4.5.0-2] [MQTT-4.5.0-2/3.1.1]: a message that no subscription matches is
/// acknowledged by its QoS all the same, goes to the stream for such, if there is one, and ends nothing.
#[tokio::test]
async fn a_message_that_nobody_asked_for_is_acknowledged() {
    for version in ALL {
        for open in [true, false] {
            let stage = serve(version).await;
            let (client, mut server) = stage.meet().await;
            let mut subscription = subscribe(&client, &mut server, "a", QoS::ExactlyOnce).await;
            let mut unmatched = open.then(|| client.unmatched());
            server.send(publish("b", "0")).await;
            server.send(publish("b", "1").qos1(1)).await;
            server.send(publish("b", "2").qos2(2)).await;
            if let Some(unmatched) = &mut unmatched {
                for payload in ["0", "1", "2"] {
                    assert_eq!(next(unmatched).await.payload(), payload.as_bytes());
                }
            }
            server.expect_in_any_order([puback(1), pubrec(2)]).await;
            server.send(pubrel(2)).await;
            server.expect(pubcomp(2)).await;
            assert_eq!(client.status().unclaimed, if open { 0 } else { 3 }, "{version}");
            server.send(publish("a", "mine")).await;
            assert_eq!(next(&mut subscription).await.payload(), b"mine");
        }
    }
}

/// [MQTT-3.3.4-1] [MQTT-3.3.4-1/3.1.1] [MQTT-3.8.4-8] [MQTT-3.8.4-6/3.1.1]: a message is answered by its own QoS,
/// whatever was asked for or granted: nothing, PUBACK or PUBREC.
#[tokio::test]
async fn a_message_is_answered_by_its_qos() {
    for version in ALL {
        for granted in [ReasonCode::GRANTED_QOS_0, ReasonCode::GRANTED_QOS_1, ReasonCode::GRANTED_QOS_2] {
            let stage = serve(version).await;
            let (client, mut server) = stage.meet().await;
            let script = async {
                let id = server.expect_subscribe().await;
                server.send(suback(id, &[granted])).await;
            };
            let (subscription, ()) = tokio::join!(soon(client.subscribe("a").qos(QoS::AtLeastOnce)), script);
            let mut subscription = subscription.unwrap();
            assert_eq!(subscription.granted_qos(), granted.granted_qos());
            server.send(publish("a", "0")).await;
            assert_eq!(next(&mut subscription).await.qos, QoS::AtMostOnce);
            server.expect_nothing().await;
            server.send(publish("a", "1").qos1(1)).await;
            assert_eq!(next(&mut subscription).await.qos, QoS::AtLeastOnce);
            server.expect_hex("40 02 00 01").await;
            server.send(publish("a", "2").qos2(1)).await;
            assert_eq!(next(&mut subscription).await.qos, QoS::ExactlyOnce);
            server.expect_hex("50 02 00 01").await;
            server.send_hex("62 02 00 01").await;
            server.expect_hex("70 02 00 01").await;
            server.expect_nothing().await;
        }
    }
}

/// A client that has subscribed to `a/#` at QoS 1 and to `a/b` at QoS 2, and the identifiers that it gave them.
async fn overlapping(client: &mqtt_client::Client, server: &mut Server) -> ([Subscription; 2], [u32; 2]) {
    let mut identifiers = [0; 2];
    let mut subscriptions = Vec::new();
    for (identifier, (filter, qos)) in
        identifiers.iter_mut().zip([("a/#", QoS::AtLeastOnce), ("a/b", QoS::ExactlyOnce)])
    {
        let script = async {
            let Packet::Subscribe(packet) = server.expect_type(PacketType::Subscribe).await else {
                unreachable!()
            };
            server.send(suback(packet.id().get(), &[ReasonCode::GRANTED_QOS_2])).await;
            packet.properties().subscription_identifiers().next()
        };
        let (subscription, found) = tokio::join!(soon(client.subscribe(filter).qos(qos)), script);
        *identifier = found.unwrap_or_default();
        subscriptions.push(subscription.unwrap());
    }
    (subscriptions.try_into().unwrap(), identifiers)
}

/// [MQTT-3.3.5-1/3.1.1] [MQTT-3.3.4-2]: where subscriptions overlap, one copy may come or one for each; each is a
/// message of its own, with its own acknowledgement. A server before 5.0 does not say which subscription a copy is
/// for, so each stream has each.
#[tokio::test]
async fn copies_for_overlapping_subscriptions_are_messages_of_their_own() {
    for version in BEFORE_5 {
        let stage = serve(version).await;
        let (client, mut server) = stage.meet().await;
        let ([mut all, mut one], _) = overlapping(&client, &mut server).await;
        server.send(publish("a/b", "x").qos2(1)).await;
        for stream in [&mut all, &mut one] {
            assert_eq!(next(stream).await.payload(), b"x", "{version}");
        }
        server.expect(pubrec(1)).await;
        server.send(pubrel(1)).await;
        server.expect(pubcomp(1)).await;

        server.send(publish("a/b", "y").qos1(2)).await;
        server.send(publish("a/b", "y").qos2(3)).await;
        for stream in [&mut all, &mut one] {
            assert_eq!(next(stream).await.qos, QoS::AtLeastOnce);
            assert_eq!(next(stream).await.qos, QoS::ExactlyOnce);
        }
        server.expect_in_any_order([puback(2), pubrec(3)]).await;
    }
}

/// [MQTT-3.3.4-2] [MQTT-3.3.4-3] [MQTT-3.3.4-4] [MQTT-3.3.4-5]: the subscription identifiers in a message say whom it
/// is for: one copy for all of them, in any order, or a copy for each. They reach the application.
#[tokio::test]
async fn subscription_identifiers_say_whom_a_message_is_for() {
    let stage = serve(Version::V5).await;
    let (client, mut server) = stage.meet().await;
    let ([mut all, mut one], [for_all, for_one]) = overlapping(&client, &mut server).await;
    assert!(for_all != 0 && for_one != 0 && for_all != for_one);
    let mut id = 0;
    for identifiers in [
        &[for_all, for_one][..],
        &[for_one, for_all],
        &[for_one, for_all, for_one],
        &[for_all],
        &[for_one],
        &[for_one, 268_435_455],
    ] {
        id += 1;
        let block =
            identifiers.iter().fold(PropertiesBuf::builder(), |block, id| block.subscription_identifier(*id));
        server.send(publish("a/b", id.to_string()).properties(block.build().unwrap()).qos1(id)).await;
        for (stream, wanted) in [(&mut all, for_all), (&mut one, for_one)] {
            if identifiers.contains(&wanted) {
                let message = next(stream).await;
                assert_eq!(message.payload(), id.to_string().as_bytes(), "{identifiers:?}");
                let found = message.properties.view().subscription_identifiers();
                assert!(found.eq(identifiers.iter().copied()), "all of them, in their order");
            }
        }
        server.expect(puback(id)).await;
    }
    // One that no SUBSCRIBE had is for whoever takes what nobody takes.
    let mut unmatched = client.unmatched();
    let stranger = PropertiesBuf::builder().subscription_identifier(77_777).build().unwrap();
    server.send(publish("other", "x").properties(stranger).qos1(99)).await;
    assert_eq!(next(&mut unmatched).await.topic(), "other");
    server.expect(puback(99)).await;
}

/// [MQTT-3.3.4-5]: subscription identifier 0 does not exist.
#[tokio::test]
async fn subscription_identifier_0_ends_the_connection() {
    let stage = serve(Version::V5).await;
    let (client, mut server) = stage.meet_as(stage.once(), connack()).await;
    server.send_hex("30 07 00 01 61 02 0B 00 78").await;
    server.expect_farewell(ReasonCode::PROTOCOL_ERROR).await;
    drop(server);
    assert!(matches!(breach(failure(&client).await), ProtocolError::Decode(_)));
}

/// [MQTT-3.3.5-2/3.1.1]: a server that closes in answer to a PUBLISH leaves it unacknowledged: before 5.0 the client
/// cannot tell why, and says that it does not know; a session that goes on tries again.
#[tokio::test]
async fn a_close_in_answer_to_a_message_is_no_acknowledgement() {
    for version in BEFORE_5 {
        for qos in [QoS::AtLeastOnce, QoS::ExactlyOnce] {
            let stage = serve(version).await;
            let (client, mut server) = stage.meet_as(stage.once(), connack()).await;
            let delivery = enqueue(&client, "a", "x", qos).await;
            server.expect_message().await;
            drop(server);
            assert!(matches!(soon(delivery).await, Outcome::Unknown));

            let stage = serve(version).await;
            let (client, mut server) = stage.meet_as(stage.resuming(), connack()).await;
            let delivery = enqueue(&client, "a", "x", QoS::AtLeastOnce).await;
            let id = server.expect_message().await;
            drop(server);
            let mut server = stage.welcome_back().await;
            server.expect(publish("a", "x").qos1(id).dup()).await;
            server.send(puback(id)).await;
            assert!(matches!(soon(delivery).await, Outcome::Acked { .. }));
        }
    }
}

/// [MQTT-4.6.0-5] [MQTT-4.6.0-6/3.1.1]: the application sees messages in the order in which they came, whatever their
/// QoS, also where one stream has several filters.
#[tokio::test]
async fn messages_reach_the_application_in_order() {
    for version in ALL {
        let stage = serve(version).await;
        let (client, mut server) = stage.meet().await;
        let script = async {
            let id = server.expect_subscribe().await;
            server.send(suback(id, &[ReasonCode::GRANTED_QOS_2; 2])).await;
        };
        let filters = [("a", QoS::ExactlyOnce), ("b/+", QoS::ExactlyOnce)];
        let (subscription, ()) = tokio::join!(soon(client.subscribe_all(filters)), script);
        let mut subscription = subscription.unwrap();
        for number in 1..=60 {
            let message = publish(if number % 2 == 0 { "a" } else { "b/c" }, number.to_string());
            server
                .send(match number % 3 {
                    0 => message,
                    1 => message.qos1(number),
                    _ => message.qos2(number),
                })
                .await;
        }
        for number in 1..=60 {
            assert_eq!(next(&mut subscription).await.payload(), number.to_string().as_bytes(), "{version}");
        }
    }
}

/// [5u-22]: a message above the server's own Maximum QoS that no subscription can have asked for.
#[tokio::test]
async fn a_message_above_the_servers_own_maximum_qos_ends_the_connection() {
    let stage = serve(Version::V5).await;
    let maximum = || connack_with(PropertiesBuf::builder().maximum_qos(QoS::AtMostOnce));
    let (client, mut server) = stage.meet_as(stage.once(), maximum()).await;
    server.send(publish("a", "x").qos1(1)).await;
    server.expect_farewell(ReasonCode::QOS_NOT_SUPPORTED).await;
    drop(server);
    assert!(matches!(breach(failure(&client).await), ProtocolError::QosNotSupported(QoS::AtLeastOnce)));
    // With a subscription nobody can know.
    let (client, mut server) = stage.meet_as(stage.once(), maximum()).await;
    let mut subscription = subscribe(&client, &mut server, "a", QoS::AtMostOnce).await;
    server.send(publish("a", "x").qos1(1)).await;
    next(&mut subscription).await;
    server.expect(puback(1)).await;
}

/// [5u-29]: a payload that is called UTF-8 must be UTF-8.
#[tokio::test]
async fn a_payload_that_is_called_text_is_text() {
    let stage = serve(Version::V5).await;
    let (client, mut server) = stage.meet().await;
    let text = || PropertiesBuf::builder().payload_format_indicator(true).build().unwrap();
    let refused = soon(client.publish("a", vec![0xFF]).properties(text())).await;
    assert!(matches!(refused, Err(PublishError::Refused(UsageError::PayloadNotUtf8))), "{refused:?}");
    soon(client.publish("a", "\u{e4}").properties(text())).await.unwrap();
    server.expect(publish("a", "\u{e4}").properties(text())).await;
    server.expect_silence(A_MOMENT).await;
}

/// [MQTT-3.3.2-6] [MQTT-3.3.2-15] [MQTT-3.3.2-16] [MQTT-3.3.2-17] [MQTT-3.3.2-18] [MQTT-3.3.2-20]: the properties of
/// a message reach the application as they are, and the server as they were given: in order, with repetitions and
/// empty strings.
#[tokio::test]
async fn properties_are_neither_changed_nor_sorted() {
    let all_bytes: Vec<u8> = (0..=255).collect();
    let properties = PropertiesBuf::builder()
        .message_expiry_interval(7)
        .content_type("text/\u{10348}")
        .response_topic("answers/\u{e4}")
        .correlation_data(&all_bytes)
        .user_property("b", "2")
        .user_property("a", "1")
        .user_property("b", "2")
        .user_property("", "")
        .build()
        .unwrap();
    let stage = serve(Version::V5).await;
    let (client, mut server) = stage.meet().await;
    let mut subscription = subscribe(&client, &mut server, "a", QoS::AtMostOnce).await;
    server.send(publish("a", "x").properties(properties.clone())).await;
    let message = next(&mut subscription).await;
    assert_eq!(message.properties, properties);
    soon(client.publish("b", "x").properties(message.properties)).await.unwrap();
    server.expect(publish("b", "x").properties(properties)).await;
}
