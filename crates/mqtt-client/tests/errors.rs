//! Bad input: every failure names its cause, its code, and what to change.

mod common;

use bytes::Bytes;
use common::{PROTOCOLS, Stage, delivered, in_memory, next, soon};
use core::error::Error;
use core::time::Duration;
use mqtt_client::{
    Closed, ConnectError, DisconnectError, Event, OptionFault, Outcome, PropertiesBuf, Protocol,
    PublishError, QoS, ReasonCode, ReconnectPolicy, SubscribeError, SubscriptionOptions, TopicError,
    TopicName, UnsubscribeError, UrlError, UsageError, Version, Will, connect,
};
use mqtt_testkit::broker::{Broker, Connections};
use mqtt_testkit::packets::{connack, disconnect, puback, publish};
use std::io::ErrorKind;
use std::sync::Arc;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

async fn broker() -> Arc<Broker> {
    Arc::new(Broker::start().await.unwrap())
}

/// # Connections that are refused

#[tokio::test]
async fn no_listener() {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let error = connect(&format!("mqtt://{address}")).await.unwrap_err();
    assert!(
        matches!(&error, ConnectError::Io(cause) if cause.kind() == ErrorKind::ConnectionRefused),
        "{error:?}"
    );
    assert!(error.is_retryable());
    assert!(error.to_string().contains(&address.to_string()), "{error}");
    assert!(error.source().is_some());
}

#[tokio::test]
async fn no_such_host() {
    let error = connect("mqtt://broker.invalid").await.unwrap_err();
    assert!(matches!(error, ConnectError::Io(_)), "{error:?}");
    assert!(error.to_string().contains("broker.invalid"), "{error}");
}

/// [MQTT-3.2.2-7] and around: return codes of 3.x have the names of 5.0.
#[tokio::test]
async fn a_refusal_names_its_code() {
    let broker = Broker::builder().user("anna", "secret").start().await.unwrap();
    for protocol in PROTOCOLS {
        let error = connect(&broker.url()).protocol(protocol).credentials("anna", "guess").await.unwrap_err();
        let ConnectError::Refused { reason, .. } = &error else { panic!("{error:?}") };
        assert_eq!(*reason, ReasonCode::BAD_USER_NAME_OR_PASSWORD, "{protocol}");
        assert!(error.to_string().contains("0x86 bad user name or password"), "{error}");
        assert!(!error.is_retryable());
        connect(&broker.url()).protocol(protocol).credentials("anna", "secret").await.unwrap();
    }
    let url = broker.url().replace("mqtt://", "mqtt://anna:secr%65t@");
    connect(&url).await.unwrap();

    for reason in [
        ReasonCode::CLIENT_IDENTIFIER_NOT_VALID,
        ReasonCode::NOT_AUTHORIZED,
        ReasonCode::SERVER_UNAVAILABLE,
        ReasonCode::UNSUPPORTED_PROTOCOL_VERSION,
    ] {
        for protocol in PROTOCOLS {
            broker.faults().refuse(reason, Connections::Next);
            let error = connect(&broker.url()).protocol(protocol).await.unwrap_err();
            assert!(
                matches!(&error, ConnectError::Refused { reason: told, .. } if *told == reason),
                "{error:?}"
            );
            assert_eq!(error.is_retryable(), reason == ReasonCode::SERVER_UNAVAILABLE);
        }
    }
}

#[tokio::test]
async fn an_unsupported_version() {
    for protocol in PROTOCOLS {
        let other = if protocol == Protocol::V5 { Version::V3_1_1 } else { Version::V5 };
        let broker = Broker::builder().versions(&[other]).start().await.unwrap();
        let error = connect(&broker.url()).protocol(protocol).await.unwrap_err();
        let ConnectError::Refused { reason, .. } = error else { panic!("{error:?}") };
        assert_eq!(reason, ReasonCode::UNSUPPORTED_PROTOCOL_VERSION, "{protocol}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_server_that_does_not_answer() {
    let broker = broker().await;
    broker.faults().silent(Connections::All);
    let error = in_memory(&broker).connect_timeout(Duration::from_secs(7)).await.unwrap_err();
    assert!(matches!(error, ConnectError::Timeout(limit) if limit == Duration::from_secs(7)), "{error:?}");
    assert!(error.is_retryable());
}

#[tokio::test]
async fn a_server_that_closes_at_once() {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            stream.read_u8().await.unwrap();
            // What is unread makes the system reset the connection; both ways of closing mean the same.
        }
    });
    let error = connect(&format!("mqtt://{address}")).await.unwrap_err();
    assert!(matches!(error, ConnectError::PeerClosed | ConnectError::Io(_)), "{error:?}");
}

/// # Servers that break the protocol

#[tokio::test]
async fn a_server_of_another_protocol() {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            let page = "HTTP/1.1 400 Bad Request\r\nServer: some\r\nConnection: close\r\n\r\n<html><h1>400 Bad Request</h1></html>";
            stream.write_all(page.as_bytes()).await.unwrap();
            let mut heard = Vec::new();
            let _ = stream.read_to_end(&mut heard).await;
        }
    });
    for protocol in [Protocol::Auto, Protocol::V5, Protocol::V3_1_1] {
        let error = connect(&format!("mqtt://{address}")).protocol(protocol).await.unwrap_err();
        assert!(matches!(error, ConnectError::Protocol(_)), "{error:?}");
    }
}

/// [MQTT-4.13.1-1], [MQTT-4.8.0-1/3.1.1]: malformed bytes end the connection, in 5.0 after a DISCONNECT that says why, in
/// 3.1.1 without one, which would cancel the will. Nothing queued is lost.
#[tokio::test(start_paused = true)]
async fn malformed_bytes_end_the_connection_and_lose_nothing() {
    for (bytes, told) in [
        ("F0 00", ReasonCode::PROTOCOL_ERROR),   // AUTH that nobody asked for
        ("00 00", ReasonCode::MALFORMED_PACKET), // packet type 0
        ("36 05 00 01 61 00 01", ReasonCode::MALFORMED_PACKET), // QoS 3
        ("20 03 00 00 00", ReasonCode::PROTOCOL_ERROR), // a second CONNACK
        ("30 FF FF FF FF 7F", ReasonCode::MALFORMED_PACKET), // a length of five bytes
        ("30 05 00 02 C3 28 00", ReasonCode::MALFORMED_PACKET), // a topic that is no UTF-8
        ("30 07 00 01 61 03 23 00 01", ReasonCode::TOPIC_ALIAS_INVALID), // the client allowed none
    ] {
        let (mut stage, builder) = Stage::new();
        let client = builder.start().unwrap();
        let mut events = client.events();
        let mut server = stage.accept().await;
        server.expect_connect().await;
        server.send(connack()).await;
        assert!(matches!(events.next().await, Some(Event::Connected(_))));
        let delivery = client.publish("a", "survives").qos(QoS::AtLeastOnce).enqueue().await.unwrap();
        server.expect_publish().await;
        server.send_hex(bytes).await;
        let said = server.expect_any().await;
        let mqtt_codec::Packet::Disconnect(goodbye) = said else { panic!("{said:?}") };
        assert!(goodbye.reason == told || bytes.starts_with("F0"), "{bytes}: {}", goodbye.reason);
        server.expect_end().await;
        drop(server);
        let Some(Event::Disconnected { cause: ConnectError::Protocol(error), retry_in: Some(_) }) =
            events.next().await
        else {
            panic!("{bytes}")
        };
        assert_eq!(error.reason_code(), goodbye.reason);

        let mut server = stage.accept().await;
        server.expect_connect().await;
        server.send(connack()).await;
        assert_eq!(server.expect_publish().await.payload(), b"survives");
        server.send(puback(2)).await;
        delivered(soon(delivery).await);
    }
}

#[tokio::test(start_paused = true)]
async fn before_5_a_broken_server_is_left_without_a_word() {
    for protocol in [Protocol::V3_1, Protocol::V3_1_1] {
        let (mut stage, builder) = Stage::new();
        let client = builder.protocol(protocol).start().unwrap();
        let mut server = stage.accept().await;
        server.expect_connect().await;
        server.send(connack()).await;
        server.send_hex("36 05 00 01 61 00 01").await;
        server.expect_end().await;
        drop(server);
        let mut server = stage.accept().await;
        server.expect_connect().await;
        drop(client);
    }
}

/// A server's DISCONNECT reaches the application even if the client was just writing.
#[tokio::test(start_paused = true)]
async fn the_last_words_of_a_server_are_heard() {
    let (mut stage, builder) = Stage::new();
    let client = builder.start().unwrap();
    let mut server = stage.accept().await;
    server.expect_connect().await;
    server.send(connack()).await;
    tokio::task::yield_now().await;
    server.send(disconnect(ReasonCode::SESSION_TAKEN_OVER)).await;
    drop(server);
    let _delivery = client.publish("a", "x").qos(QoS::AtLeastOnce).enqueue().await;
    let closed = soon(client.closed()).await;
    let Closed::Failed(error) = closed else { panic!("{closed:?}") };
    assert_eq!(error.reason(), Some(ReasonCode::SESSION_TAKEN_OVER));
}

/// # Options

#[tokio::test]
async fn wrong_urls() {
    for (url, fault, advice) in [
        ("localhost:1883", UrlError::NoScheme, "mqtt://HOST"),
        ("http://localhost", UrlError::UnknownScheme, "use mqtt://"),
        ("mqtts://localhost", UrlError::NotBuiltIn { scheme: "mqtts" }, "ConnectBuilder::connector"),
        ("mqtt://", UrlError::NoHost, "mqtt://HOST"),
        ("mqtt://localhost:port", UrlError::Port, "1 to 65535"),
        ("mqtt://localhost/topic", UrlError::Path, "end it after the port"),
        ("mqtt://user:100%@localhost", UrlError::Percent, "%25"),
    ] {
        let error = connect(url).await.unwrap_err();
        assert!(matches!(&error, ConnectError::InvalidUrl(found) if *found == fault), "{url}: {error:?}");
        assert!(error.to_string().contains(advice), "{url}: {error}");
        assert!(!error.is_retryable());
    }
}

/// An option of 5.0 on a connection of 3.x is refused by the name of its method, before anything is dialled.
#[tokio::test]
async fn options_that_a_version_does_not_have() {
    let property = PropertiesBuf::builder().user_property("a", "b").build().unwrap();
    let will = Will { properties: property.clone(), ..Will::new(TopicName::from_static("w").unwrap(), "") };
    let wants_information = PropertiesBuf::builder().request_response_information(true).build().unwrap();
    let expiry = Duration::from_secs(60);
    for protocol in [Protocol::V3_1, Protocol::V3_1_1] {
        let start = || connect("mqtt://127.0.0.1:1").protocol(protocol);
        for (builder, named) in [
            (start().session_expiry(expiry), "session_expiry"),
            (start().receive_maximum(10), "receive_maximum"),
            (start().topic_alias_maximum(10), "topic_alias_maximum"),
            (start().user_property("a", "b"), "user_property"),
            (start().connect_properties(property.clone()), "user_property"),
            (start().connect_properties(wants_information.clone()), "connect_properties"),
            (start().will(will.clone()), "will"),
        ] {
            let error = builder.await.unwrap_err();
            let ConnectError::InvalidOption { option, fault: OptionFault::NeedsV5(_) } = &error else {
                panic!("{error:?}")
            };
            assert_eq!(*option, named);
            assert!(error.to_string().contains("5.0"), "{error}");
        }
    }
}

#[tokio::test]
async fn options_that_cannot_be() {
    let start = || connect("mqtt://127.0.0.1:1");
    let long = "x".repeat(65_536);
    let out_of_place = PropertiesBuf::builder().content_type("text/plain").build().unwrap();
    for (builder, named) in [
        (start().client_id("a\0b"), "client_id"),
        (start().client_id(&long), "client_id"),
        (start().client_id("123456789012345678901234").protocol(Protocol::V3_1), "client_id"),
        (start().client_id("").protocol(Protocol::V3_1), "client_id"),
        (start().username(&long), "username"),
        (start().credentials("anna", long.clone()), "credentials"),
        (start().keep_alive(Duration::from_secs(65_536)), "keep_alive"),
        (start().receive_maximum(0), "receive_maximum"),
        (start().maximum_packet_size(0), "maximum_packet_size"),
        (start().user_property("a\0", "b"), "user_property"),
        (start().connect_properties(out_of_place), "connect_properties"),
        (connect("mqtt://:secret@127.0.0.1:1").protocol(Protocol::V3_1_1), "credentials"),
    ] {
        let error = builder.await.unwrap_err();
        let ConnectError::InvalidOption { option, .. } = &error else { panic!("{named}: {error:?}") };
        assert_eq!(*option, named, "{error}");
        assert!(!error.is_retryable());
    }
    // The same names are found by the way that does not wait.
    assert!(matches!(start().receive_maximum(0).start(), Err(ConnectError::InvalidOption { .. })));
}

#[test]
fn outside_of_a_runtime() {
    assert!(matches!(connect("mqtt://127.0.0.1:1").start(), Err(ConnectError::NoRuntime)));
}

#[test]
fn secrets_are_not_shown() {
    let builder = connect("mqtt://anna:secret1@127.0.0.1").credentials("bob", "secret2");
    let shown = format!("{builder:?}");
    assert!(!shown.contains("secret") && !shown.contains("anna"), "{shown}");
}

/// # Requests

#[tokio::test]
async fn topics_that_the_standard_forbids() {
    let broker = Broker::start().await.unwrap();
    let client = connect(&broker.url()).await.unwrap();
    for (topic, fault) in
        [("", TopicError::Empty), ("a/+", TopicError::Wildcard), ("#", TopicError::Wildcard)]
    {
        for error in [
            client.publish(topic, "x").await.unwrap_err(),
            client.publish(topic, "x").enqueue().await.unwrap_err(),
            client.publish(topic, "x").try_enqueue().unwrap_err(),
        ] {
            assert!(matches!(&error, PublishError::InvalidTopic(found) if *found == fault), "{error:?}");
        }
    }
    for topic in ["a\0b".to_owned(), "x".repeat(65_536)] {
        assert!(matches!(
            client.publish(topic, "x").await,
            Err(PublishError::InvalidTopic(TopicError::Text(_)))
        ));
    }
    for (filter, fault) in [
        ("", TopicError::Empty),
        ("a/#/b", TopicError::MultiLevel),
        ("a#", TopicError::MultiLevel),
        ("a+/b", TopicError::SingleLevel),
        ("$share//b", TopicError::Share),
    ] {
        let error = client.subscribe(filter).await.unwrap_err();
        assert!(
            matches!(&error, SubscribeError::InvalidFilter(found) if *found == fault),
            "{filter}: {error:?}"
        );
        let error = client.unsubscribe([filter]).await.unwrap_err();
        assert!(
            matches!(&error, UnsubscribeError::InvalidFilter(found) if *found == fault),
            "{filter}: {error:?}"
        );
    }
    let none: [(&str, QoS); 0] = [];
    assert!(matches!(client.subscribe_all(none).await, Err(SubscribeError::NoFilter)));
    assert!(matches!(client.unsubscribe([""; 0]).await, Err(UnsubscribeError::NoFilter)));
    assert_eq!(broker.connections(), 1, "nothing of it reached the server");
}

/// [MQTT-3.9.3-2]: 0x80 is a refusal, and no QoS.
#[tokio::test]
async fn a_refused_subscription() {
    let broker = Broker::start().await.unwrap();
    broker.faults().reject_subscription("closed/#", ReasonCode::NOT_AUTHORIZED);
    for (protocol, told) in
        [(Protocol::V3_1_1, ReasonCode::UNSPECIFIED_ERROR), (Protocol::V5, ReasonCode::NOT_AUTHORIZED)]
    {
        let client = connect(&broker.url()).protocol(protocol).await.unwrap();
        let error = client.subscribe("closed/#").await.unwrap_err();
        let SubscribeError::Refused(results) = &error else { panic!("{error:?}") };
        let [(filter, reason)] = results.as_slice() else { panic!("{results:?}") };
        assert_eq!((filter.as_str(), *reason), ("closed/#", told));
        assert!(error.to_string().contains("'closed/#'"), "{error}");
        assert_eq!(error.is_retryable(), told == ReasonCode::UNSPECIFIED_ERROR);
        // It leaves no trace.
        client.publish("closed/a", "x").qos(QoS::AtLeastOnce).await.unwrap();
        assert_eq!(client.status().unclaimed, 0);
    }
}

#[tokio::test]
async fn limits_of_the_server() {
    let broker = Broker::builder()
        .maximum_packet_size(1000)
        .maximum_qos(QoS::AtLeastOnce)
        .without_retain()
        .without_wildcards()
        .without_shared_subscriptions()
        .start()
        .await
        .unwrap();
    let client = connect(&broker.url()).protocol(Protocol::V5).await.unwrap();
    let too_large = Bytes::from(vec![0; 1000]);
    for error in [
        client.publish("a", too_large.clone()).await.unwrap_err(),
        client.publish("a", too_large.clone()).enqueue().await.unwrap_err(),
        client.publish("a", too_large.clone()).try_enqueue().unwrap_err(),
    ] {
        assert!(
            matches!(error, PublishError::Refused(UsageError::PacketTooLarge { limit: 1000, .. })),
            "{error:?}"
        );
        assert!(error.to_string().contains("1000"), "{error}");
    }
    // Only the session knows to the byte.
    let barely = client.publish("a", vec![0; 999]).await.unwrap_err();
    assert!(
        matches!(barely, PublishError::Refused(UsageError::PacketTooLarge { size: 1000.., .. })),
        "{barely:?}"
    );
    let token = client.publish("a", vec![0; 999]).enqueue().await.unwrap();
    assert!(matches!(token.await, Outcome::Refused(UsageError::PacketTooLarge { .. })));
    delivered(client.publish("a", vec![0; 900]).await.unwrap());

    let error = client.publish("a", "x").qos(QoS::ExactlyOnce).await.unwrap_err();
    assert!(matches!(error, PublishError::Refused(UsageError::QosNotSupported { .. })), "{error:?}");
    let error = client.publish("a", "x").retain().await.unwrap_err();
    assert!(matches!(error, PublishError::Refused(UsageError::RetainNotSupported)), "{error:?}");
    let error = client.subscribe("a/#").await.unwrap_err();
    assert!(matches!(error, SubscribeError::NotAllowed(UsageError::WildcardNotSupported)), "{error:?}");
    let error = client.subscribe("$share/g/a").await.unwrap_err();
    assert!(matches!(error, SubscribeError::NotAllowed(UsageError::SharedNotSupported)), "{error:?}");
    assert_eq!(broker.connections(), 1, "the server never saw any of it");
}

/// A packet that is larger than the client allows ends the connection with the right code, and the error says the limit.
#[tokio::test(start_paused = true)]
async fn a_packet_over_the_clients_own_limit() {
    let (mut stage, builder) = Stage::new();
    let client = builder.maximum_packet_size(100).reconnect(ReconnectPolicy::never()).start().unwrap();
    let mut server = stage.accept().await;
    assert_eq!(server.expect_connect().await.properties.view().maximum_packet_size(), Some(100));
    server.send(connack()).await;
    server.send(publish("a", vec![0; 100])).await;
    server.expect(disconnect(ReasonCode::PACKET_TOO_LARGE)).await;
    let Closed::Failed(error) = soon(client.closed()).await else { panic!() };
    assert!(error.to_string().contains("100"), "{error}");
}

#[tokio::test]
async fn what_a_version_does_not_have() {
    let broker = Broker::start().await.unwrap();
    let property = PropertiesBuf::builder().content_type("text/plain").build().unwrap();
    for protocol in [Protocol::V3_1, Protocol::V3_1_1] {
        let client = connect(&broker.url()).protocol(protocol).await.unwrap();
        for error in [
            client.publish("a", "x").properties(property.clone()).await.unwrap_err(),
            client.publish("a", "x").properties(property.clone()).enqueue().await.unwrap_err(),
        ] {
            assert!(matches!(error, PublishError::Refused(UsageError::NotInVersion { .. })), "{error:?}");
        }
        let options = SubscriptionOptions { no_local: true, ..QoS::AtMostOnce.into() };
        let error = client.subscribe("a").options(options).await.unwrap_err();
        assert!(matches!(error, SubscribeError::NotAllowed(_)), "{error:?}");
        let error = client
            .disconnect_with(ReasonCode::DISCONNECT_WITH_WILL_MESSAGE, PropertiesBuf::new())
            .await
            .unwrap_err();
        assert!(matches!(error, DisconnectError::NotAllowed(_)), "{error:?}");
        assert!(matches!(client.closed().await, Closed::Disconnected));
    }
}

/// Properties that are not for the application are refused by name.
#[tokio::test]
async fn properties_out_of_place() {
    let broker = Broker::start().await.unwrap();
    let client = connect(&broker.url()).protocol(Protocol::V5).await.unwrap();
    for properties in [
        PropertiesBuf::builder().topic_alias(1),
        PropertiesBuf::builder().subscription_identifier(1),
        PropertiesBuf::builder().session_expiry_interval(1),
    ] {
        let error = client.publish("a", "x").properties(properties.build().unwrap()).await.unwrap_err();
        assert!(matches!(error, PublishError::Refused(_)), "{error:?}");
    }
    let properties = PropertiesBuf::builder().content_type("text/plain").build().unwrap();
    let error = client.subscribe("a").properties(properties).await.unwrap_err();
    assert!(matches!(error, SubscribeError::NotAllowed(_)), "{error:?}");
    // One of its own choice is taken.
    let properties =
        PropertiesBuf::builder().subscription_identifier(77).user_property("a", "b").build().unwrap();
    let mut subscription = client.subscribe("a").properties(properties).await.unwrap();
    client.publish("a", "x").await.unwrap();
    let message = next(&mut subscription).await;
    assert_eq!(message.properties.view().subscription_identifiers().collect::<Vec<_>>(), [77]);
}

#[tokio::test]
async fn a_full_queue() {
    let broker = broker().await;
    let client = in_memory(&broker).queue(2, 1 << 20).await.unwrap();
    broker.kill().await;
    while client.status().negotiated.is_some() {
        tokio::task::yield_now().await;
    }
    let _first = client.publish("a", "1").try_enqueue().unwrap();
    let _second = client.publish("a", "2").try_enqueue().unwrap();
    let error = client.publish("a", "3").try_enqueue().unwrap_err();
    assert!(matches!(error, PublishError::QueueFull) && error.is_retryable(), "{error:?}");
}

/// After the end every call says how it came.
#[tokio::test]
async fn calls_after_the_end() {
    let broker = Broker::start().await.unwrap();
    let client = connect(&broker.url()).await.unwrap();
    let subscription = client.subscribe("a").await.unwrap();
    client.disconnect().await.unwrap();
    client.disconnect().await.unwrap();
    let error = client.publish("a", "x").await.unwrap_err();
    assert!(
        matches!(error, PublishError::Closed(Closed::Disconnected)) && !error.is_retryable(),
        "{error:?}"
    );
    assert!(matches!(client.subscribe("a").await, Err(SubscribeError::Closed(Closed::Disconnected))));
    assert!(matches!(client.unsubscribe(["a"]).await, Err(UnsubscribeError::Closed(Closed::Disconnected))));
    assert!(matches!(subscription.unsubscribe().await, Err(UnsubscribeError::Closed(Closed::Disconnected))));
    assert!(soon(client.unmatched().next()).await.is_none());
    assert!(matches!(soon(client.events().next()).await, Some(Event::Connected(_))), "the first sees all");
    assert!(soon(client.events().next()).await.is_none());
    assert_eq!(soon(client.drain(Duration::from_secs(1))).await, 0);
    client.abort();
    assert!(matches!(client.closed().await, Closed::Disconnected), "an end is final");
}
