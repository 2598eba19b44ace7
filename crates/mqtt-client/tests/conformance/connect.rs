//! Section 3.1: CONNECT, and what comes before its answer.

use crate::support::{A_MOMENT, ALL, BEFORE_5, begin, enqueue, failure, lost, pass, serve, soon};
use core::time::Duration;
use mqtt_client::{
    CleanStart, ConnectError, Event, Outcome, PropertiesBuf, QoS, ReasonCode, ReconnectPolicy, TopicName,
    Version, Will,
};
use mqtt_codec::ConnAck;
use mqtt_testkit::packets::{connack, connect, disconnect, puback, publish, refusal, suback, will};

/// [MQTT-3.1.0-1] [MQTT-3.1.0-1/3.1.1]: CONNECT comes first, also when messages and requests wait. [MQTT-3.1.0-2]
/// [MQTT-3.1.0-2/3.1.1]: it comes once. [5u-26] [311u-10]: nothing follows it before CONNACK.
#[tokio::test]
async fn connect_comes_first_and_once() {
    for version in ALL {
        let stage = serve(version).await;
        let client = stage.options().start().unwrap();
        _ = enqueue(&client, "a", "1", QoS::AtMostOnce).await;
        let asking = begin({
            let client = client.clone();
            async move { client.subscribe("b").await }
        });
        let mut server = stage.accept().await;
        server.expect_connect().await;
        server.expect_silence(A_MOMENT).await;
        server.send(connack()).await;
        let id = server.expect_subscribe().await;
        server.expect(publish("a", "1")).await;
        server.send(suback(id, &[ReasonCode::GRANTED_QOS_0])).await;
        let _subscription = soon(asking).await.unwrap().unwrap();
        server.expect_nothing().await;
        drop(server);

        _ = enqueue(&client, "a", "2", QoS::AtLeastOnce).await;
        let mut server = stage.accept().await;
        server.expect_connect().await;
        server.expect_silence(A_MOMENT).await;
        server.send(connack()).await;
        server.expect_subscribe().await;
        server.expect_message().await;
        server.expect_nothing().await;
    }
}

/// [MQTT-3.1.2-1] [MQTT-3.1.2-2/3.1.1]: protocol name and level are those of the version. [MQTT-7.0.0-2/3.1.1]: and there is nothing in it, or in
/// what is asked of the server by default, that the standard does not know.
#[tokio::test]
async fn connect_is_plain() {
    for (version, bytes) in [
        (Version::V3_1, "10 13 00 06 4D 51 49 73 64 70 03 02 00 3C 00 05 61 63 74 6F 72"),
        (Version::V3_1_1, "10 11 00 04 4D 51 54 54 04 02 00 3C 00 05 61 63 74 6F 72"),
        (Version::V5, "10 17 00 04 4D 51 54 54 05 02 00 3C 05 11 00 00 01 2C 00 05 61 63 74 6F 72"),
    ] {
        let stage = serve(version).await;
        let client = stage.plain().start().unwrap();
        let mut server = stage.accept().await;
        server.expect_hex(bytes).await;
        server.send_hex(if version.is_v5() { "20 03 00 00 00" } else { "20 02 00 00" }).await;
        server
            .send_hex(if version.is_v5() { "32 06 00 01 61 00 01 00" } else { "32 05 00 01 61 00 01" })
            .await;
        server.expect_hex("40 02 00 01").await;
        drop(client);
        let goodbye = if version.is_v5() { "E0 07 00 05 11 00 00 00 00" } else { "E0 00" };
        server.expect_hex(goodbye).await;
        server.expect_end().await;
    }
}

/// All that CONNECT can say is said: credentials and will, and on 5.0 the properties.
#[tokio::test]
async fn connect_says_what_was_asked_for() {
    for version in ALL {
        let stage = serve(version).await;
        let mut expected = connect("actor");
        let last = Will { qos: QoS::AtLeastOnce, retain: true, ..will("last", "words") };
        let mut options = stage
            .options()
            .clean_start(CleanStart::Never)
            .keep_alive(Duration::from_secs(7))
            .credentials("anna", "secret")
            .will(Will { ..last.clone() });
        if version.is_v5() {
            options = options
                .session_expiry(Duration::from_secs(60))
                .receive_maximum(10)
                .maximum_packet_size(1000)
                .topic_alias_maximum(3)
                .user_property("a", "b");
            let properties = PropertiesBuf::builder()
                .session_expiry_interval(60)
                .receive_maximum(10)
                .maximum_packet_size(1000)
                .topic_alias_maximum(3)
                .user_property("a", "b");
            expected.properties = properties.build().unwrap();
        }
        expected.clean_start = false;
        expected.keep_alive = 7;
        expected.username = Some("anna".try_into().unwrap());
        expected.password = Some("secret".into());
        expected.will = Some(last);
        let _client = options.start().unwrap();
        stage.accept().await.expect(expected).await;
    }
}

/// [MQTT-3.1.2-2] [MQTT-3.1.2-2/3.1.1]: a server that does not know the version says so, one that is older than 5.0 by a
/// CONNACK of its own.
#[tokio::test]
async fn an_unknown_version_is_refused_by_name() {
    for (version, answer) in [
        (Version::V3_1, "20 02 00 01"),
        (Version::V3_1_1, "20 02 00 01"),
        (Version::V5, "20 03 00 84 00"),
        (Version::V5, "20 02 00 01"),
    ] {
        let stage = serve(version).await;
        let error = stage
            .refuse(stage.options(), async |server| {
                server.expect_connect().await;
                server.send_hex(answer).await;
                server.expect_end().await;
            })
            .await;
        assert_eq!(error.reason(), Some(ReasonCode::UNSUPPORTED_PROTOCOL_VERSION), "{version} {answer}");
        assert!(matches!(error, ConnectError::Refused { .. }), "{error:?}");
        assert!(!error.is_retryable());
    }
}

/// [31-28]: falling back to 3.1.1 and then to 3.1 is what `Protocol::Auto` stands for, each on a new connection; a client
/// with a version of its own keeps to it.
#[tokio::test]
async fn versions_are_tried_downwards_if_that_is_wanted() {
    let stage = serve(Version::V5).await;
    let dialling = begin(stage.options().protocol(mqtt_client::Protocol::Auto));
    for (version, answer) in [(Version::V5, "20 02 00 01"), (Version::V3_1_1, "20 02 00 01")] {
        let mut server = stage.accept().await;
        server.expect_connect().await;
        assert_eq!(server.version(), version);
        server.send_hex(answer).await;
        server.expect_end().await;
    }
    let mut server = stage.accept().await;
    server.expect_hex("10 13 00 06 4D 51 49 73 64 70 03").await;
    server.send_hex("20 02 00 00").await;
    let client = soon(dialling).await.unwrap().unwrap();
    assert_eq!(client.status().negotiated.unwrap().version, Version::V3_1);

    for version in BEFORE_5 {
        let stage = serve(version).await;
        let client = stage.options().start().unwrap();
        let mut server = stage.accept().await;
        server.expect_connect().await;
        server.send_hex("20 02 00 01").await;
        assert_eq!(failure(&client).await.reason(), Some(ReasonCode::UNSUPPORTED_PROTOCOL_VERSION));
    }
}

/// [MQTT-3.1.4-2]: a server may refuse, with a reason. [MQTT-3.1.4-6] [MQTT-3.1.4-5/3.1.1]: what waited to be sent was not.
/// [MQTT-3.2.2-7] [MQTT-3.2.2-5/3.1.1]: the client closes if the server does not, and says nothing more.
#[tokio::test]
async fn a_refusal_is_the_end() {
    for version in ALL {
        for reason in [ReasonCode::BAD_USER_NAME_OR_PASSWORD, ReasonCode::NOT_AUTHORIZED] {
            let stage = serve(version).await;
            let client = stage.options().start().unwrap();
            let delivery = enqueue(&client, "a", "1", QoS::AtLeastOnce).await;
            let mut server = stage.accept().await;
            server.expect_connect().await;
            server.send(refusal(reason)).await;
            server.expect_end().await;
            let cause = failure(&client).await;
            assert!(
                matches!(&cause, ConnectError::Refused { reason: told, .. } if *told == reason),
                "{cause:?}"
            );
            assert_eq!(soon(delivery).await, Outcome::NotSent, "{version}");
        }
    }
}

/// [MQTT-3.1.4-2] [MQTT-3.2.2-6/3.1.1]: or close without a word.
#[tokio::test]
async fn a_close_instead_of_an_answer() {
    for version in ALL {
        let stage = serve(version).await;
        let client = stage.once().start().unwrap();
        let delivery = enqueue(&client, "a", "1", QoS::AtLeastOnce).await;
        let mut server = stage.accept().await;
        server.expect_connect().await;
        drop(server);
        let cause = failure(&client).await;
        assert!(matches!(cause, ConnectError::NotAnswered), "{cause:?}");
        assert!(cause.is_retryable());
        assert_eq!(soon(delivery).await, Outcome::NotSent, "{version}");
    }
}

/// [MQTT-3.1.4-5] [MQTT-3.1.4-4/3.1.1] [5u-17] [311u-5] [31-22]: a server that does not answer is left when its time is up,
/// and not before.
#[tokio::test]
async fn a_server_without_an_answer_is_left() {
    for version in ALL {
        let stage = serve(version).await;
        let limit = Duration::from_secs(20);
        let client = stage.once().connect_timeout(limit).start().unwrap();
        let mut server = stage.accept().await;
        server.expect_connect().await;
        pass(limit - Duration::from_secs(1)).await;
        server.expect_silence(A_MOMENT).await;
        pass(Duration::from_secs(1)).await;
        server.expect_end().await;
        let cause = failure(&client).await;
        assert!(matches!(cause, ConnectError::Timeout(time) if time == limit), "{cause:?}");
    }
}

/// [MQTT-3.1.4-3]: another connection took the client's place. Coming back at once would take it from that one.
#[tokio::test]
async fn a_takeover_is_the_end() {
    let stage = serve(Version::V5).await;
    let (client, mut server) = stage.meet().await;
    let _delivery = enqueue(&client, "a", "1", QoS::AtLeastOnce).await;
    server.expect_message().await;
    server.send(disconnect(ReasonCode::SESSION_TAKEN_OVER)).await;
    server.expect_end().await;
    let cause = failure(&client).await;
    assert!(matches!(cause, ConnectError::Disconnected { .. }), "{cause:?}");
    assert_eq!(cause.reason(), Some(ReasonCode::SESSION_TAKEN_OVER));
}

/// [MQTT-3.1.4-2/3.1.1] [31-23] [MQTT-3.1.2-24/3.1.1]: before 5.0 a server closes without a word, when another connection
/// took the client's place and when the client was silent for too long. The client waits before it comes back, longer
/// each time.
#[tokio::test]
async fn after_a_bare_close_the_client_takes_its_time() {
    for version in BEFORE_5 {
        let stage = serve(version).await;
        let policy =
            ReconnectPolicy::default().first_delay(Duration::from_secs(3600)).max_delay(Duration::MAX);
        let (client, mut server) = stage.meet_as(stage.options().reconnect(policy), connack()).await;
        let mut events = client.events();
        let mut longest = Duration::ZERO;
        for _ in 0..4 {
            drop(server);
            let delay = loop {
                match soon(events.next()).await {
                    Some(Event::Disconnected { cause: ConnectError::PeerClosed, retry_in }) => {
                        break retry_in.unwrap();
                    }
                    Some(Event::Connected(_)) => {}
                    other => panic!("{other:?}"),
                }
            };
            longest = longest.max(delay);
            pass(delay).await;
            server = stage.welcome(connack()).await;
            server.expect_nothing().await;
        }
        // Four waits, each at random up to twice as much as the one before.
        assert!(longest > Duration::from_secs(60), "{longest:?}");
    }
}

/// [MQTT-3.1.2-22]: on 5.0 it says that the client was silent for too long. That passes.
#[tokio::test]
async fn a_keep_alive_timeout_is_a_lost_connection() {
    let stage = serve(Version::V5).await;
    let (client, mut server) = stage.meet_as(stage.resuming(), connack()).await;
    let mut events = client.events();
    let delivery = enqueue(&client, "a", "1", QoS::AtLeastOnce).await;
    let id = server.expect_message().await;
    server.send_hex("E0 02 8D 00").await;
    server.expect_end().await;
    let cause = lost(&mut events).await;
    assert!(matches!(cause, ConnectError::Disconnected { .. }), "{cause:?}");
    assert_eq!(cause.reason(), Some(ReasonCode::KEEP_ALIVE_TIMEOUT));
    let mut server = stage.welcome_back().await;
    server.expect(publish("a", "1").qos1(id).dup()).await;
    server.send(puback(id)).await;
    assert!(matches!(soon(delivery).await, Outcome::Acked { .. }));
}

/// [MQTT-3.1.2-28]: response information that nobody asked for harms nobody.
#[tokio::test]
async fn response_information_is_shown_even_if_not_asked_for() {
    let stage = serve(Version::V5).await;
    let properties = PropertiesBuf::builder().response_information("here").build().unwrap();
    let (client, mut server) =
        stage.meet_as(stage.options(), ConnAck { properties: properties.clone(), ..connack() }).await;
    let Some(Event::Connected(connected)) = soon(client.events().next()).await else { panic!() };
    assert_eq!(connected.properties, properties);
    server.expect_nothing().await;
}

/// [5u-27]: a reason string is for people. What the client does depends on the code alone.
#[tokio::test]
async fn a_reason_string_changes_nothing() {
    for text in ["try again", "never try again", ""] {
        for (reason, passing) in [(ReasonCode::NOT_AUTHORIZED, false), (ReasonCode::SERVER_BUSY, true)] {
            let stage = serve(Version::V5).await;
            let properties = PropertiesBuf::builder().reason_string(text).build().unwrap();
            let error = stage
                .refuse(stage.options(), async |server| {
                    server.expect_connect().await;
                    server.send(ConnAck { properties, ..refusal(reason) }).await;
                })
                .await;
            assert_eq!((error.reason(), error.is_retryable()), (Some(reason), passing), "{text}");
        }
    }
}

/// [5u-25]: the server names another one, for now or from now on. The client says so, and does not come back to the old
/// one by itself.
#[tokio::test]
async fn a_reference_to_another_server_is_shown() {
    for reason in [ReasonCode::USE_ANOTHER_SERVER, ReasonCode::SERVER_MOVED] {
        let stage = serve(Version::V5).await;
        let other =
            PropertiesBuf::builder().server_reference("one.example two.example:1884").build().unwrap();
        let error = stage
            .refuse(stage.options(), async |server| {
                server.expect_connect().await;
                server.send(ConnAck { properties: other.clone(), ..refusal(reason) }).await;
                server.expect_end().await;
            })
            .await;
        let ConnectError::Refused { reason: told, properties } = &error else { panic!("{error:?}") };
        assert_eq!((*told, properties), (reason, &other));
        assert!(!error.is_retryable());

        let (client, mut server) = stage.meet().await;
        server.send(mqtt_codec::Disconnect { reason, properties: other.clone() }).await;
        server.expect_end().await;
        let cause = failure(&client).await;
        let ConnectError::Disconnected { reason: told, properties } = &cause else { panic!("{cause:?}") };
        assert_eq!((*told, properties), (reason, &other));
    }
}

/// The will is part of CONNECT alone; [MQTT-3.2.2-12] [MQTT-3.2.2-13]: a server that cannot keep it refuses.
#[tokio::test]
async fn a_will_that_the_server_cannot_keep_is_refused() {
    for reason in [ReasonCode::QOS_NOT_SUPPORTED, ReasonCode::RETAIN_NOT_SUPPORTED] {
        let stage = serve(Version::V5).await;
        let topic = TopicName::from_static("last").unwrap();
        let last = Will { qos: QoS::ExactlyOnce, retain: true, ..Will::new(topic, "words") };
        let error = stage
            .refuse(stage.options().will(last.clone()), async |server| {
                let connect = server.expect_connect().await;
                assert_eq!(connect.will.as_ref(), Some(&last));
                server.send(refusal(reason)).await;
                server.expect_end().await;
            })
            .await;
        assert_eq!(error.reason(), Some(reason));
        assert!(!error.is_retryable());
    }
}
