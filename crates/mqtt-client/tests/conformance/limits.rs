//! What each side may not ask of the other: properties of CONNECT, section 3.1.2.11, and of CONNACK, section 3.2.2.3.

use crate::support::{ALL, begin, breach, connack_with, enqueue, failure, next, serve, soon, subscribe};
use mqtt_client::{
    Client, Negotiated, Outcome, PropertiesBuf, ProtocolError, PublishError, QoS, ReasonCode, SubscribeError,
    UsageError, Version,
};
use mqtt_codec::{Ack, ConnAck, Packet, PacketType, PropertiesBuilder, SubAck, UnsubAck};
use mqtt_testkit::packets::{
    PublishScript, auth, connack, connack_with_session, id, puback, publish, subscribe_with,
};

fn properties() -> PropertiesBuilder {
    PropertiesBuf::builder()
}

fn built(properties: PropertiesBuilder) -> PropertiesBuf {
    properties.build().unwrap()
}

fn aliased(topic: &str, payload: &'static str, alias: u16) -> PublishScript {
    publish(topic, payload).properties(built(properties().topic_alias(alias)))
}

/// [MQTT-3.1.2-26] [MQTT-3.1.2-27]: the server uses no topic alias above the client's maximum, which is 0 if CONNECT named
/// none.
#[tokio::test]
async fn the_server_keeps_to_the_aliases_of_the_client() {
    let stage = serve(Version::V5).await;
    for (options, alias) in [(stage.once().topic_alias_maximum(2), 3), (stage.once(), 1)] {
        let (client, mut server) = stage.meet_as(options, connack()).await;
        server.send(aliased("a", "x", alias)).await;
        server.expect_farewell(ReasonCode::TOPIC_ALIAS_INVALID).await;
        drop(server);
        assert_eq!(breach(failure(&client).await), ProtocolError::TopicAliasInvalid(alias));
    }
    let (client, mut server) = stage.meet_as(stage.once().topic_alias_maximum(2), connack()).await;
    let mut subscription = subscribe(&client, &mut server, "a", QoS::AtMostOnce).await;
    server.send(aliased("a", "1", 2)).await;
    server.send(aliased("", "2", 2)).await;
    for payload in [b"1", b"2"] {
        let message = next(&mut subscription).await;
        assert_eq!((message.topic(), message.payload()), ("a", &payload[..]));
    }
}

/// [MQTT-3.1.2-29]: reason strings and user properties come only where they were asked for, but for PUBLISH, CONNACK and
/// DISCONNECT.
#[tokio::test]
async fn problem_information_that_nobody_asked_for_is_refused() {
    for said in [properties().reason_string("r"), properties().user_property("a", "b")] {
        let said = built(said);
        let more = |reason| Ack { id: id(1), reason, properties: said.clone() };
        for packet in [
            Packet::PubAck(more(ReasonCode::SUCCESS)),
            Packet::PubRec(more(ReasonCode::SUCCESS)),
            Packet::PubRel(more(ReasonCode::SUCCESS)),
            Packet::PubComp(more(ReasonCode::SUCCESS)),
            Packet::SubAck(SubAck::new(id(1), &said, &[ReasonCode::GRANTED_QOS_0]).unwrap()),
            Packet::UnsubAck(UnsubAck::new(id(1), &said, &[ReasonCode::SUCCESS])),
        ] {
            let packet_type = packet.packet_type();
            let stage = serve(Version::V5).await;
            let unasked = built(properties().request_problem_information(false));
            let client = stage.once().connect_properties(unasked.clone()).start().unwrap();
            let mut server = stage.accept().await;
            assert_eq!(server.expect_connect().await.properties, unasked);
            server.send(ConnAck { properties: said.clone(), ..connack() }).await;
            let told = said.clone();
            server
                .send(publish("a", "x").properties(if told.view().reason_string().is_some() {
                    PropertiesBuf::new()
                } else {
                    told
                }))
                .await;
            server.expect_nothing().await;
            server.send(packet).await;
            server.expect_farewell(ReasonCode::PROTOCOL_ERROR).await;
            drop(server);
            assert_eq!(breach(failure(&client).await), ProtocolError::ProblemInformation(packet_type));
        }
    }
}

/// [MQTT-3.1.2-29]: and in AUTH.
#[tokio::test]
async fn problem_information_in_auth_is_refused_too() {
    let stage = serve(Version::V5).await;
    let options = stage.options().connect_properties(built(
        properties().request_problem_information(false).authentication_method("m"),
    ));
    let Packet::Auth(mut challenge) = auth(ReasonCode::CONTINUE_AUTHENTICATION, "m", b"") else { panic!() };
    challenge.properties = built(properties().authentication_method("m").reason_string("r"));
    let error = stage
        .refuse(options, async |server| {
            server.expect_connect().await;
            server.send(challenge).await;
            server.expect_farewell(ReasonCode::PROTOCOL_ERROR).await;
        })
        .await;
    assert_eq!(breach(error), ProtocolError::ProblemInformation(PacketType::Auth));
}

/// [MQTT-3.2.2-10]: Maximum QoS is about messages to the server; a subscription may ask for more.
#[tokio::test]
async fn a_subscription_may_ask_for_more_than_the_maximum_qos() {
    let stage = serve(Version::V5).await;
    let none = connack_with(properties().maximum_qos(QoS::AtMostOnce));
    let (client, mut server) = stage.meet_as(stage.options(), none).await;
    let asking = begin(async move { client.subscribe("a").qos(QoS::ExactlyOnce).await });
    server
        .expect(subscribe_with(1, &built(properties().subscription_identifier(1)), [("a", QoS::ExactlyOnce)]))
        .await;
    asking.abort();
}

/// What a message is refused for by its call.
async fn refused(client: &Client, topic: &str, payload: Vec<u8>, qos: QoS, retain: bool) -> UsageError {
    let publish = client.publish(topic, payload).qos(qos);
    match soon(if retain { publish.retain() } else { publish }).await {
        Err(PublishError::Refused(error)) => error,
        other => panic!("it is not refused: {other:?}"),
    }
}

/// [MQTT-3.2.2-11] [MQTT-3.2.2-14]: no message above the server's Maximum QoS, and none to be retained if it does not. What was
/// queued before the server said so is refused by name too; nothing is sent otherwise than asked for.
#[tokio::test]
async fn maximum_qos_and_retain_available_are_kept() {
    let stage = serve(Version::V5).await;
    let client = stage.options().start().unwrap();
    let two = enqueue(&client, "a", "2", QoS::ExactlyOnce).await;
    let kept = soon(client.publish("a", "r").retain().enqueue()).await.unwrap();
    let one = enqueue(&client, "a", "1", QoS::AtLeastOnce).await;
    let limits = properties().maximum_qos(QoS::AtLeastOnce).retain_available(false);
    let mut server = stage.welcome(connack_with(limits)).await;
    server.expect(publish("a", "1").qos1(1)).await;
    server.send(puback(1)).await;
    assert!(matches!(soon(one).await, Outcome::Acked { .. }));
    let too_high = UsageError::QosNotSupported { qos: QoS::ExactlyOnce, maximum: QoS::AtLeastOnce };
    assert_eq!(soon(two).await, Outcome::Refused(too_high));
    assert_eq!(soon(kept).await, Outcome::Refused(UsageError::RetainNotSupported));
    assert_eq!(refused(&client, "a", vec![], QoS::ExactlyOnce, false).await, too_high);
    for qos in [QoS::AtMostOnce, QoS::AtLeastOnce] {
        assert_eq!(refused(&client, "a", vec![], qos, true).await, UsageError::RetainNotSupported);
    }
    server.expect_nothing().await;
}

/// [MQTT-3.2.2-11] [MQTT-3.2.2-14]: the same for what would be sent again. The earlier server may have it, so nothing is known
/// of its fate.
#[tokio::test]
async fn what_would_be_sent_again_is_judged_too() {
    let stage = serve(Version::V5).await;
    let (client, mut server) = stage.meet_as(stage.resuming(), connack()).await;
    let two = enqueue(&client, "a", "2", QoS::ExactlyOnce).await;
    let kept = soon(client.publish("a", "r").qos(QoS::AtLeastOnce).retain().enqueue()).await.unwrap();
    server.expect_message().await;
    server.expect_message().await;
    drop(server);
    let limits = built(properties().maximum_qos(QoS::AtLeastOnce).retain_available(false));
    let mut server = stage.welcome(ConnAck { properties: limits, ..connack_with_session() }).await;
    server.expect_nothing().await;
    assert_eq!(soon(two).await, Outcome::Unknown);
    assert_eq!(soon(kept).await, Outcome::Unknown);
}

/// [MQTT-3.2.2-15]: no packet is larger than the server's Maximum Packet Size, whatever its type; one that is exactly as large
/// goes out.
#[tokio::test]
async fn the_packet_size_of_the_server_is_kept() {
    let stage = serve(Version::V5).await;
    let client = stage.options().start().unwrap();
    let early = soon(client.publish("a", vec![b'x'; 27]).enqueue()).await.unwrap();
    let mut server = stage.welcome(connack_with(properties().maximum_packet_size(32))).await;
    let too_large = UsageError::PacketTooLarge { size: 33, limit: 32 };
    assert_eq!(soon(early).await, Outcome::Refused(too_large));

    // 2 + 2 + 1 + 1 + 26 = 32, at QoS 1 two bytes more for the identifier.
    assert_eq!(soon(client.publish("a", vec![b'x'; 26])).await.unwrap(), Outcome::Sent);
    server.expect(publish("a", vec![b'x'; 26])).await;
    assert_eq!(refused(&client, "a", vec![b'x'; 27], QoS::AtMostOnce, false).await, too_large);
    assert_eq!(refused(&client, "a", vec![b'x'; 25], QoS::AtLeastOnce, false).await, too_large);
    let delivery = soon(client.publish("a", vec![b'x'; 24]).qos(QoS::AtLeastOnce).enqueue()).await.unwrap();
    // No identifier was used up by those that were refused.
    server.expect(publish("a", vec![b'x'; 24]).qos1(1)).await;
    server.send(puback(1)).await;
    soon(delivery).await;

    let error = soon(client.subscribe("f".repeat(40))).await.unwrap_err();
    assert!(
        matches!(error, SubscribeError::NotAllowed(UsageError::PacketTooLarge { limit: 32, .. })),
        "{error:?}"
    );
    let error = soon(client.unsubscribe(["f".repeat(40)])).await.unwrap_err();
    assert!(error.to_string().contains("the server accepts 32"), "{error}");
    server.expect_nothing().await;
}

/// [MQTT-3.2.2-17] [MQTT-3.2.2-18]: topic aliases are used up to the server's maximum, and none if it named none, also not after
/// a connection that allowed some.
#[tokio::test]
async fn aliases_stay_within_the_maximum_of_the_server() {
    let stage = serve(Version::V5).await;
    let two = connack_with(properties().topic_alias_maximum(2));
    let (client, mut server) = stage.meet_as(stage.options(), two).await;
    for (topic, sent, alias) in [
        ("long/one", "long/one", 1),
        ("long/two", "long/two", 2),
        ("long/one", "", 1),
        ("long/three", "long/three", 2),
        ("long/two", "long/two", 1),
    ] {
        soon(client.publish(topic, "x")).await.unwrap();
        server.expect(aliased(sent, "x", alias)).await;
    }
    drop(server);
    let mut server = stage.welcome(connack()).await;
    server.expect_nothing().await;
    for topic in ["long/one", "long/two", "long/one"] {
        soon(client.publish(topic, "x")).await.unwrap();
        server.expect(publish(topic, "x")).await;
    }
    // Nor by hand.
    let by_hand = client.publish("long/one", "x").properties(built(properties().topic_alias(3)));
    assert!(matches!(soon(by_hand).await, Err(PublishError::Refused(_)) | Ok(Outcome::Refused(_))));
    server.expect_nothing().await;
}

/// [5u-15]: what a server does not say on a new connection does not hold on it.
#[tokio::test]
async fn limits_belong_to_one_connection() {
    let stage = serve(Version::V5).await;
    let limits = properties()
        .session_expiry_interval(5)
        .receive_maximum(1)
        .maximum_qos(QoS::AtLeastOnce)
        .retain_available(false)
        .maximum_packet_size(100)
        .topic_alias_maximum(4)
        .wildcard_subscription_available(false)
        .subscription_identifier_available(false)
        .shared_subscription_available(false)
        .server_keep_alive(11);
    let (client, mut server) = stage.meet_as(stage.resuming(), connack_with(limits)).await;
    let Negotiated { receive_maximum, maximum_packet_size, keep_alive, .. } =
        client.status().negotiated.unwrap();
    assert_eq!((receive_maximum, maximum_packet_size, keep_alive), (1, Some(100), 11));
    for payload in ["1", "2"] {
        _ = enqueue(&client, "a", payload, QoS::AtLeastOnce).await;
    }
    server.expect(publish("a", "1").qos1(1)).await;
    server.expect_nothing().await;
    drop(server);

    let mut server = stage.welcome_back().await;
    server.expect(publish("a", "1").qos1(1).dup()).await;
    server.expect(publish("a", "2").qos1(2)).await;
    let large = client.publish("long/topic", vec![b'x'; 200]).qos(QoS::ExactlyOnce).retain();
    _ = soon(large.enqueue()).await.unwrap();
    server.expect(publish("long/topic", vec![b'x'; 200]).qos2(3).retain()).await;
    let negotiated = client.status().negotiated.unwrap();
    assert!(negotiated.wildcard_subscription_available && negotiated.shared_subscription_available);
    assert!(negotiated.subscription_identifier_available && negotiated.retain_available);
    assert_eq!((negotiated.receive_maximum, negotiated.maximum_packet_size), (65_535, None));
    assert_eq!((negotiated.keep_alive, negotiated.session_expiry), (0, 300));
    assert_eq!((negotiated.topic_alias_maximum, negotiated.maximum_qos), (0, QoS::ExactlyOnce));
}

/// [5u-23]: what the server says it does not have is not asked for.
#[tokio::test]
async fn features_that_the_server_lacks_are_not_used() {
    let stage = serve(Version::V5).await;
    let limits = properties()
        .wildcard_subscription_available(false)
        .subscription_identifier_available(false)
        .shared_subscription_available(false);
    let (client, mut server) = stage.meet_as(stage.options(), connack_with(limits)).await;
    let identified = built(properties().subscription_identifier(7));
    for (asked, named) in [
        (client.subscribe("a/+"), UsageError::WildcardNotSupported),
        (client.subscribe("#"), UsageError::WildcardNotSupported),
        (client.subscribe("$share/group/a"), UsageError::SharedNotSupported),
        (client.subscribe("a").properties(identified), UsageError::SubscriptionIdentifierNotSupported),
    ] {
        let error = soon(asked).await.unwrap_err();
        assert!(matches!(error, SubscribeError::NotAllowed(error) if error == named), "{error:?}");
    }
    server.expect_nothing().await;
    let asking = begin(async move { client.subscribe("a").await });
    // Without the identifier that the client gives by itself.
    server.expect_hex("82 07 00 01 00 00 01 61 00").await;
    asking.abort();
}

/// [MQTT-3.1.2-24]: the client's own Maximum Packet Size holds in all versions; before 5.0 the server is not told.
#[tokio::test]
async fn the_packet_size_of_the_client_is_kept() {
    for version in ALL {
        let stage = serve(version).await;
        let (client, mut server) = stage.meet_as(stage.once().maximum_packet_size(100), connack()).await;
        // Two of 101 bytes are enough to know.
        server.send_hex("30 63").await;
        server.expect_farewell(ReasonCode::PACKET_TOO_LARGE).await;
        drop(server);
        assert_eq!(breach(failure(&client).await).reason_code(), ReasonCode::PACKET_TOO_LARGE);
    }
}
