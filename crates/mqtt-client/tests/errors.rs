//! Bad input: every failure names its cause, its code, and what to change.

mod common;

use common::{PROTOCOLS, Stage, delivered, in_memory, soon};
use core::error::Error;
use core::time::Duration;
use mqtt_client::{
    Closed, ConnectError, Event, OptionFault, PropertiesBuf, Protocol, QoS, ReasonCode, TopicName, UrlError,
    Version, Will, connect,
};
use mqtt_testkit::broker::{Broker, Connections};
use mqtt_testkit::packets::{connack, disconnect, puback};
use mqtt_testkit::port::PortHold;
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
    let port = PortHold::new().unwrap();
    let address = port.addr();
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
    assert!(matches!(error, ConnectError::NotAnswered | ConnectError::Io(_)), "{error:?}");
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
        #[cfg(not(feature = "ws"))]
        ("ws://localhost", UrlError::NotBuiltIn { scheme: "ws", feature: "ws" }, "ConnectBuilder::connector"),
        ("mqtt://", UrlError::NoHost, "mqtt://HOST"),
        ("mqtt://localhost:port", UrlError::Port, "1 to 65535"),
        ("mqtt://localhost/topic", UrlError::Path, "after the port"),
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
            (start().connect_properties(wants_information.clone()), "request_response_information"),
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

/// A message whose topic name is none is skipped and counted, if that was chosen.
#[tokio::test(start_paused = true)]
async fn a_misnamed_message_can_be_skipped() {
    let (mut stage, builder) = Stage::new();
    let (client, mut server) = tokio::join!(builder.skip_misnamed(true), async {
        let mut server = stage.accept().await;
        server.expect_connect().await;
        server.send(connack()).await;
        server
    });
    let client = client.unwrap();
    server.send_hex("32 08 00 02 61 23 00 07 00 78").await;
    server.expect_hex("40 03 00 07 90").await;
    assert_eq!(client.status().skipped, 1);
    client.publish("a", "still here").await.unwrap();
}

/// The DNS is asked for the services by their registered names. No server of it has this domain, if there is one at all.
#[cfg(all(feature = "srv", feature = "tls"))]
#[tokio::test]
async fn a_domain_without_servers() {
    for (url, service) in [
        ("mqtt+srv://nothing.invalid", "_mqtt._tcp.nothing.invalid"),
        ("mqtts+srv://nothing.invalid", "_secure-mqtt._tcp.nothing.invalid"),
    ] {
        let error = connect(url).connect_timeout(Duration::from_secs(60)).await.unwrap_err();
        assert!(error.to_string().contains(service), "{error}");
    }
}
