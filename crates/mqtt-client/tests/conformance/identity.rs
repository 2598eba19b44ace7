//! Section 3.1.3.1: client identifiers.

use crate::support::{ALL, connack_with, enqueue, failure, serve, soon};
use mqtt_client::{
    CleanStart, ConnectError, OptionFault, Outcome, PropertiesBuf, QoS, ReasonCode, UsageError, Version,
};
use mqtt_testkit::packets::{connack, connack_with_session, publish};

/// [MQTT-3.1.3-5] [MQTT-3.1.3-5/3.1.1]: what the client makes up every server must accept: up to 23 letters and digits.
/// It makes up another one each time.
#[tokio::test]
async fn a_made_up_identifier_fits_every_server() {
    for version in ALL {
        let stage = serve(version).await;
        let mut seen = Vec::new();
        for _ in 0..3 {
            let _client = stage.nameless().start().unwrap();
            let id = stage.accept().await.expect_connect().await.client_id;
            assert!(
                (1..=23).contains(&id.len()) && id.bytes().all(|byte| byte.is_ascii_alphanumeric()),
                "{id}"
            );
            assert!(!seen.contains(&id));
            seen.push(id);
        }
    }
}

/// [MQTT-3.1.3-5] [MQTT-3.1.3-5/3.1.1]: more than that is the server's choice, so it is asked.
#[tokio::test]
async fn a_long_identifier_is_sent_as_it_is() {
    for version in [Version::V3_1_1, Version::V5] {
        let stage = serve(version).await;
        let long = "möbel/".repeat(100);
        let (_client, _server) = {
            let options = stage.options().client_id(&long);
            let client = options.start().unwrap();
            let mut server = stage.accept().await;
            assert_eq!(&*server.expect_connect().await.client_id, long);
            (client, server)
        };
    }
}

/// [MQTT-3.1.3-8] [MQTT-3.1.3-8/3.1.1] [MQTT-3.1.3-9/3.1.1] [MQTT-3.1.3-6] [MQTT-3.1.3-5]: a server that does not take the
/// identifier refuses it. The client does not come back with the same.
#[tokio::test]
async fn a_refused_identifier_is_named() {
    for (version, answer) in
        [(Version::V3_1, "20 02 00 02"), (Version::V3_1_1, "20 02 00 02"), (Version::V5, "20 03 00 85 00")]
    {
        for id in ["x", ""] {
            if id.is_empty() && version == Version::V3_1 {
                continue;
            }
            let stage = serve(version).await;
            let client = stage.options().client_id(id).start().unwrap();
            let mut server = stage.accept().await;
            server.expect_connect().await;
            server.send_hex(answer).await;
            server.expect_end().await;
            let cause = failure(&client).await;
            let ConnectError::Refused { reason, .. } = cause else { panic!("{cause:?}") };
            assert_eq!(reason, ReasonCode::CLIENT_IDENTIFIER_NOT_VALID, "{version}");
        }
    }
}

/// [MQTT-3.1.3-6] [MQTT-3.1.3-7] [MQTT-3.2.2-16]: the server names a client that has no name, and the client keeps that
/// name when it comes back. [MQTT-3.1.3-2]: its session is found by it.
#[tokio::test]
async fn an_assigned_identifier_is_kept() {
    let stage = serve(Version::V5).await;
    let client = stage.resuming().client_id("").start().unwrap();
    let mut server = stage.accept().await;
    assert_eq!(&*server.expect_connect().await.client_id, "");
    server.send_hex("20 09 00 00 06 12 00 03 78 79 7A").await;
    let _delivery = enqueue(&client, "a", "1", QoS::AtLeastOnce).await;
    let id = server.expect_message().await;
    assert_eq!(&*client.status().negotiated.unwrap().client_id, "xyz");
    drop(server);

    let mut server = stage.accept().await;
    let connect = server.expect_connect().await;
    assert_eq!((&*connect.client_id, connect.clean_start), ("xyz", false));
    server.send(connack_with_session()).await;
    server.expect(publish("a", "1").qos1(id).dup()).await;
}

/// [MQTT-3.1.3-7] [MQTT-3.2.2-16]: a server that should have named the client and did not is let be.
#[tokio::test]
async fn a_missing_name_is_let_be() {
    let stage = serve(Version::V5).await;
    let (client, mut server) = stage.meet_as(stage.options().client_id(""), connack()).await;
    server.expect_nothing().await;
    assert_eq!(&*client.status().negotiated.unwrap().client_id, "");
}

/// Who has a name keeps it, whatever the server says.
#[tokio::test]
async fn a_name_is_not_replaced() {
    let stage = serve(Version::V5).await;
    let other = PropertiesBuf::builder().assigned_client_identifier("other");
    let (client, mut server) = stage.meet_as(stage.options(), connack_with(other)).await;
    server.expect_nothing().await;
    assert_eq!(&*client.status().negotiated.unwrap().client_id, "actor");
}

/// [MQTT-3.1.3-6/3.1.1] [MQTT-3.1.3-7/3.1.1]: in 3.1.1 no name goes with Clean Session 1 only.
#[tokio::test]
async fn without_a_name_there_is_nothing_to_keep() {
    let stage = serve(Version::V3_1_1).await;
    let client = stage.options().client_id("").start().unwrap();
    let mut server = stage.accept().await;
    server.expect_hex("10 0C 00 04 4D 51 54 54 04 02 00 00 00 00").await;
    server.send_hex("20 02 00 00").await;
    server.send_hex("32 05 00 01 61 00 01").await;
    server.expect_hex("40 02 00 01").await;
    drop(client);

    for clean_start in [CleanStart::Never, CleanStart::FirstOnly] {
        let error = stage.options().client_id("").clean_start(clean_start).start().unwrap_err();
        let ConnectError::InvalidOption { option, fault: OptionFault::Session(fault) } = error else {
            panic!()
        };
        assert_eq!((option, fault), ("client_id", UsageError::ClientIdEmpty));
    }
}

/// [31-2]: in 3.1 a name has 1 to 23 characters.
#[tokio::test]
async fn names_of_3_1_are_short() {
    let stage = serve(Version::V3_1).await;
    for id in ["", "123456789012345678901234"] {
        let error = stage.options().client_id(id).start().unwrap_err();
        let ConnectError::InvalidOption { option, fault } = error else { panic!("{error:?}") };
        assert!(option == "client_id" && matches!(fault, OptionFault::ClientIdLength), "{fault:?}");
    }
    let longest = "12345678901234567890123";
    let _client = stage.options().client_id(longest).start().unwrap();
    assert_eq!(&*stage.accept().await.expect_connect().await.client_id, longest);
}

/// [MQTT-3.1.3-2] [MQTT-3.1.3-2/3.1.1]: the name names the session: one client's unfinished messages are never sent by
/// another, not even to the same server from the same process.
#[tokio::test]
async fn a_session_belongs_to_one_name() {
    for version in ALL {
        let stage = serve(version).await;
        let (first, mut server) = stage.meet_as(stage.resuming().client_id("one"), connack()).await;
        let delivery = enqueue(&first, "a", "1", QoS::AtLeastOnce).await;
        server.expect_message().await;
        first.abort();
        server.expect_end().await;
        assert_eq!(soon(delivery).await, Outcome::Unknown);

        let (second, mut server) = {
            let options = stage.resuming().client_id("two");
            let client = options.start().unwrap();
            (client, stage.welcome_back().await)
        };
        server.expect_silence(core::time::Duration::from_millis(20)).await;
        assert_eq!(second.status().open, 0);
    }
}
