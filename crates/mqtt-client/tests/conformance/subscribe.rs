//! Sections 3.8 and 3.9: SUBSCRIBE and SUBACK.

use crate::support::{
    A_MOMENT, ALL, BEFORE_5, Server, Stage, breach, connack_with, failure, next, serve, soon, subscribe,
};
use mqtt_client::{
    Client, Closed, ConnectError, PropertiesBuf, ProtocolError, QoS, ReasonCode, RetainHandling,
    SubscribeError, Subscription, SubscriptionOptions, UsageError, Version,
};
use mqtt_codec::{Packet, PacketType};
use mqtt_testkit::packets::{connack, puback, publish, suback};

const GRANTED: [ReasonCode; 3] =
    [ReasonCode::GRANTED_QOS_0, ReasonCode::GRANTED_QOS_1, ReasonCode::GRANTED_QOS_2];
const REFUSED: ReasonCode = ReasonCode::UNSPECIFIED_ERROR;

/// Asks for three filters, `a`, `b` and `c`, and has these codes for an answer.
async fn ask_for_three(
    client: &Client,
    server: &mut Server,
    codes: &[ReasonCode],
) -> Result<Subscription, SubscribeError> {
    let script = async {
        let id = server.expect_subscribe().await;
        let (length, properties) = if server.version().is_v5() { (6, "00") } else { (5, "") };
        let codes: String = codes.iter().map(|code| format!("{:02X}", code.value())).collect();
        server.send_hex(&format!("90 {length:02X} {id:04X} {properties} {codes}")).await;
    };
    let filters = ["a", "b", "c"].map(|filter| (filter, QoS::ExactlyOnce));
    tokio::join!(soon(client.subscribe_all(filters)), script).0
}

fn codes(results: &[(mqtt_client::TopicFilter, ReasonCode)]) -> Vec<ReasonCode> {
    results.iter().map(|(_, code)| *code).collect()
}

/// [MQTT-3.8.4-1] [MQTT-3.8.4-2] [MQTT-3.8.4-5] [MQTT-3.8.4-7] [MQTT-3.9.3-1] [MQTT-3.8.4-1/3.1.1]
/// [MQTT-3.8.4-2/3.1.1] [MQTT-3.8.4-4/3.1.1] [MQTT-3.8.4-6/3.1.1] [MQTT-3.9.3-1/3.1.1] [MQTT-3.8.3-2/3.1.1] [31-5]:
/// one SUBACK answers all filters of a SUBSCRIBE, each with its own code, in their order: a granted QoS, which may be
/// lower than asked for, or a refusal.
#[tokio::test]
async fn each_filter_has_its_answer() {
    for version in ALL {
        let stage = serve(version).await;
        let (client, mut server) = stage.meet().await;
        let refused = if version.is_v5() { ReasonCode::NOT_AUTHORIZED } else { REFUSED };
        for answer in [
            [GRANTED[0], GRANTED[1], GRANTED[2]],
            [GRANTED[2], GRANTED[1], GRANTED[0]],
            [GRANTED[0], refused, GRANTED[2]],
            [refused, refused, GRANTED[1]],
        ] {
            let mut subscription = ask_for_three(&client, &mut server, &answer).await.unwrap();
            assert_eq!(codes(subscription.results()), answer, "{version}");
            let names: Vec<_> = subscription.results().iter().map(|(filter, _)| filter.as_str()).collect();
            assert_eq!(names, ["a", "b", "c"]);
            let first = answer.iter().find(|code| !code.is_error());
            assert_eq!(subscription.granted_qos(), first.and_then(|code| code.granted_qos()));
            // What was granted is received.
            server.send(publish("c", "x")).await;
            next(&mut subscription).await;
            subscription.detach();
        }
        let refusal = ask_for_three(&client, &mut server, &[refused; 3]).await;
        match refusal {
            Err(SubscribeError::Refused(results)) => assert_eq!(codes(&results), [refused; 3]),
            other => panic!("{other:?}"),
        }
        server.expect_nothing().await;
    }
}

/// [MQTT-3.8.4-7]: every code that refuses is told as it is.
#[tokio::test]
async fn every_refusal_is_told() {
    let stage = serve(Version::V5).await;
    let (client, mut server) = stage.meet().await;
    for code in [0x80, 0x83, 0x87, 0x8F, 0x91, 0x97, 0x9E, 0xA1, 0xA2] {
        let script = async {
            let id = server.expect_subscribe().await;
            server.send_hex(&format!("90 04 {id:04X} 00 {code:02X}")).await;
        };
        let (refused, ()) = tokio::join!(soon(client.subscribe("a")), script);
        let Err(SubscribeError::Refused(results)) = refused else { panic!("{code:02X}: {refused:?}") };
        assert_eq!(results[0].1.value(), code);
    }
}

/// [MQTT-3.8.4-1] [MQTT-3.8.4-1/3.1.1]: without an answer the call waits, as long as its caller wants, and its
/// identifier stays taken. It ends with the client.
#[tokio::test]
async fn a_request_without_an_answer_ends_with_the_client() {
    for version in ALL {
        let stage = serve(version).await;
        let (client, mut server) = stage.meet_as(stage.once(), connack()).await;
        let script = async {
            let id = server.expect_subscribe().await;
            let other = server.expect_subscribe().await;
            assert_ne!(id, other);
            server.send(suback(other, &GRANTED[1..2])).await;
            server.expect_silence(A_MOMENT).await;
            drop(server);
        };
        let unanswered = client.subscribe("a").into_future();
        let (unanswered, answered, ()) = tokio::join!(soon(unanswered), soon(client.subscribe("b")), script);
        let error = unanswered.unwrap_err();
        assert!(
            matches!(error, SubscribeError::Closed(Closed::Failed(ConnectError::PeerClosed))),
            "{version}: {error:?}"
        );
        answered.unwrap();
    }
}

/// [MQTT-3.8.4-1] [MQTT-3.8.4-1/3.1.1] [MQTT-4.4.0-1]: a client that comes back asks again, and the call goes on: a
/// new SUBSCRIBE, since none is ever resent.
#[tokio::test]
async fn a_request_without_an_answer_is_asked_again_on_the_next_connection() {
    for version in ALL {
        let stage = serve(version).await;
        let (client, mut server) = stage.meet_as(stage.resuming(), connack()).await;
        let script = async {
            let Packet::Subscribe(first) = server.expect_type(PacketType::Subscribe).await else {
                unreachable!()
            };
            drop(server);
            let mut server = stage.welcome_back().await;
            let Packet::Subscribe(second) = server.expect_type(PacketType::Subscribe).await else {
                unreachable!()
            };
            assert!(first.filters().eq(second.filters()) && first.filters().count() == 1);
            assert_ne!(first.id(), second.id());
            server.send(suback(second.id().get(), &GRANTED[..1])).await;
            server.expect_nothing().await;
        };
        let (subscription, ()) = tokio::join!(soon(client.subscribe("a")), script);
        subscription.unwrap();
    }
}

/// [MQTT-3.8.4-3]: a filter that is subscribed again replaces the subscription, with its options: that is what the
/// client asks for when the server has lost the session.
#[tokio::test]
async fn the_newest_options_count() {
    let stage = serve(Version::V5).await;
    let unidentified = || connack_with(PropertiesBuf::builder().subscription_identifier_available(false));
    let (client, mut server) = stage.meet_as(stage.resuming(), unidentified()).await;
    let newest = SubscriptionOptions {
        qos: QoS::ExactlyOnce,
        no_local: true,
        retain_as_published: true,
        retain_handling: RetainHandling::DoNotSend,
    };
    let mut streams = Vec::new();
    for options in [QoS::AtMostOnce.into(), newest] {
        let script = async {
            let id = server.expect_subscribe().await;
            server.send(suback(id, &GRANTED[2..])).await;
        };
        let (subscription, ()) = tokio::join!(soon(client.subscribe("a").options(options)), script);
        streams.push(subscription.unwrap());
    }
    // Both streams have one copy.
    server.send(publish("a", "x").qos1(1)).await;
    for stream in &mut streams {
        assert_eq!(next(stream).await.payload(), b"x");
    }
    server.expect(puback(1)).await;
    drop(server);

    let mut server = stage.welcome(unidentified()).await;
    let Packet::Subscribe(again) = server.expect_type(PacketType::Subscribe).await else { unreachable!() };
    let filters: Vec<_> = again.filters().map(|(filter, options)| (filter.to_string(), options)).collect();
    assert_eq!(filters, [("a".to_owned(), newest)]);
    server.send(suback(again.id().get(), &GRANTED[2..])).await;
    server.expect_nothing().await;
}

/// [MQTT-3.8.4-6] [MQTT-3.8.4-5/3.1.1] [MQTT-4.8.0-1/3.1.1]: a SUBACK with too few codes or too many ends the
/// connection, and grants nothing.
#[tokio::test]
async fn a_wrong_number_of_codes_ends_the_connection() {
    for version in ALL {
        for count in [1, 2, 4] {
            let stage = serve(version).await;
            let (client, mut server) = stage.meet_as(stage.once(), connack()).await;
            let asking = async {
                let filters = ["a", "b", "c"].map(|filter| (filter, QoS::ExactlyOnce));
                soon(client.subscribe_all(filters)).await
            };
            let script = async {
                let id = server.expect_subscribe().await;
                server.send(suback(id, &vec![GRANTED[0]; count])).await;
                server.expect_farewell(ReasonCode::PROTOCOL_ERROR).await;
                drop(server);
            };
            let (subscription, ()) = tokio::join!(asking, script);
            assert!(matches!(subscription, Err(SubscribeError::Closed(_))), "{version} {count}");
            let error = breach(failure(&client).await);
            let packet = PacketType::SubAck;
            assert_eq!(error, ProtocolError::ReasonCodeCount { packet, codes: count, filters: 3 });
        }
    }
}

/// [MQTT-3.9.3-2] [MQTT-3.9.3-2/3.1.1]: nor is a code that does not exist anything that was granted.
#[tokio::test]
async fn a_reserved_code_ends_the_connection() {
    for (version, code) in
        [(Version::V3_1_1, 0x03), (Version::V3_1_1, 0x81), (Version::V5, 0x03), (Version::V5, 0xFF)]
    {
        let stage = serve(version).await;
        let (client, mut server) = stage.meet_as(stage.once(), connack()).await;
        let script = async {
            let id = server.expect_subscribe().await;
            let answer =
                if version.is_v5() { format!("90 04 {id:04X} 00") } else { format!("90 03 {id:04X}") };
            server.send_hex(&format!("{answer} {code:02X}")).await;
            if version.is_v5() {
                server.expect_type(PacketType::Disconnect).await;
            }
            server.expect_end().await;
            drop(server);
        };
        let (subscription, ()) = tokio::join!(soon(client.subscribe("a")), script);
        assert!(matches!(subscription, Err(SubscribeError::Closed(_))), "{version} {code:02X}");
        assert!(matches!(breach(failure(&client).await), ProtocolError::Decode(_)));
    }
}

/// [311u-9] [MQTT-3.8.4-1/3.1.1]: messages may come before the SUBACK of their subscription.
#[tokio::test]
async fn messages_may_come_before_suback() {
    for version in ALL {
        let stage = serve(version).await;
        let (client, mut server) = stage.meet().await;
        let script = async {
            let id = server.expect_subscribe().await;
            server.send(publish("a", "early").qos1(9)).await;
            server.send(suback(id, &GRANTED[1..2])).await;
        };
        let (subscription, ()) = tokio::join!(soon(client.subscribe("a").qos(QoS::AtLeastOnce)), script);
        assert_eq!(next(&mut subscription.unwrap()).await.payload(), b"early");
        server.expect(puback(9)).await;
        assert_eq!(client.status().unclaimed, 0, "{version}");
    }
}

async fn refused_locally(
    stage: &Stage,
    properties: mqtt_client::PropertiesBuilder,
    filter: &str,
) -> SubscribeError {
    let (client, mut server) = stage.meet_as(stage.options(), connack_with(properties)).await;
    let error = soon(client.subscribe(filter)).await.unwrap_err();
    // The rest is to be had.
    let _subscription = subscribe(&client, &mut server, "plain", QoS::AtMostOnce).await;
    server.expect_nothing().await;
    error
}

/// [5u-23] [MQTT-3.8.3-4]: what the server has said that it does not have is refused by name, and never reaches it.
#[tokio::test]
async fn what_the_server_does_not_have_is_not_asked_for() {
    let stage = serve(Version::V5).await;
    let block = PropertiesBuf::builder;
    for filter in ["a/+", "#", "$share/g/a/#"] {
        let error = refused_locally(&stage, block().wildcard_subscription_available(false), filter).await;
        assert!(matches!(error, SubscribeError::NotAllowed(UsageError::WildcardNotSupported)), "{error:?}");
    }
    let error = refused_locally(&stage, block().shared_subscription_available(false), "$share/g/a").await;
    assert!(matches!(error, SubscribeError::NotAllowed(UsageError::SharedNotSupported)), "{error:?}");

    let without = connack_with(block().subscription_identifier_available(false));
    let (client, mut server) = stage.meet_as(stage.options(), without).await;
    let identified = block().subscription_identifier(7).build().unwrap();
    let error = soon(client.subscribe("a").properties(identified)).await.unwrap_err();
    assert!(
        matches!(error, SubscribeError::NotAllowed(UsageError::SubscriptionIdentifierNotSupported)),
        "{error:?}"
    );
    // The client's own identifiers are left out.
    let script = async {
        let Packet::Subscribe(packet) = server.expect_type(PacketType::Subscribe).await else {
            unreachable!()
        };
        assert!(packet.properties().is_empty());
        server.send(suback(packet.id().get(), &GRANTED[..1])).await;
    };
    let (subscription, ()) = tokio::join!(soon(client.subscribe("a")), script);
    subscription.unwrap().detach();

    let no_local = SubscriptionOptions { no_local: true, ..QoS::AtMostOnce.into() };
    let error = soon(client.subscribe("$share/g/a").options(no_local)).await.unwrap_err();
    assert!(matches!(error, SubscribeError::NotAllowed(_)), "{error:?}");
    server.expect_nothing().await;
}

/// [MQTT-3.8.3-2/3.1.1]: before 5.0 a server without wildcards refuses them in SUBACK; nothing else happens.
#[tokio::test]
async fn a_server_without_wildcards_refuses_them() {
    for version in BEFORE_5 {
        let stage = serve(version).await;
        let (client, mut server) = stage.meet().await;
        let script = async {
            let id = server.expect_subscribe().await;
            server.send_hex(&format!("90 03 {id:04X} 80")).await;
        };
        let (refused, ()) = tokio::join!(soon(client.subscribe("a/#")), script);
        assert!(matches!(refused, Err(SubscribeError::Refused(results)) if results[0].1 == REFUSED));
        subscribe(&client, &mut server, "a", QoS::AtMostOnce).await.detach();
        assert!(client.status().negotiated.is_some());
    }
}
