//! Section 3.14: DISCONNECT; section 4.13: what a breach of the protocol leads to.

use crate::support::{A_MOMENT, ALL, BEFORE_5, begin, breach, enqueue, failure, lost, pass, serve, soon};
use core::time::Duration;
use mqtt_client::{
    Closed, ConnectError, DisconnectError, Event, Outcome, PropertiesBuf, ProtocolError, QoS, ReasonCode,
    TopicName, UsageError, Version, Will,
};
use mqtt_codec::{Disconnect, PacketType};
use mqtt_testkit::packets::{connack, puback, publish, pubrec, pubrel};
use tokio::time::timeout;

/// [MQTT-3.14.4-1] [MQTT-3.14.4-2] [MQTT-3.14.4-1/3.1.1] [MQTT-3.14.4-2/3.1.1]: after DISCONNECT the client closes, though the
/// server does not, and whatever comes is not answered. What waits is not sent.
#[tokio::test]
async fn disconnect_is_the_last_word() {
    for version in ALL {
        let stage = serve(version).await;
        let options = stage.options().in_flight(1);
        let (client, mut server) = stage.meet_as(options, connack()).await;
        let sent = enqueue(&client, "a", "1", QoS::ExactlyOnce).await;
        let waiting = enqueue(&client, "a", "2", QoS::AtLeastOnce).await;
        let id = server.expect_message().await;
        let leaving = begin({
            let client = client.clone();
            async move { client.disconnect().await }
        });
        server.expect_hex("E0 00").await;
        server.send(publish("a", "x").qos1(1)).await;
        server.send(publish("a", "x").qos2(2)).await;
        server.send(pubrec(id)).await;
        server.send(pubrel(7)).await;
        // At once, and not only when it gives up waiting for the server to close, which it does in time.
        timeout(Duration::from_secs(1), server.expect_end()).await.unwrap();
        pass(Duration::from_secs(3)).await;
        soon(leaving).await.unwrap().unwrap();
        assert_eq!(soon(sent).await, Outcome::Unknown, "{version}");
        assert_eq!(soon(waiting).await, Outcome::NotSent, "{version}");
        assert!(matches!(soon(client.closed()).await, Closed::Disconnected));
        let late = soon(client.publish("a", "3")).await;
        assert!(late.is_err(), "{late:?}");
    }
}

/// Reason and properties of a goodbye; a client of 5.0 can ask for its will.
#[tokio::test]
async fn a_goodbye_can_say_more() {
    let stage = serve(Version::V5).await;
    let last = Will::new(TopicName::from_static("last").unwrap(), "words");
    let (client, mut server) = stage.meet_as(stage.options().will(last), connack()).await;
    let properties = PropertiesBuf::builder().reason_string("bye").user_property("a", "b").build().unwrap();
    let reason = ReasonCode::DISCONNECT_WITH_WILL_MESSAGE;
    let leaving = begin({
        let properties = properties.clone();
        async move { client.disconnect_with(reason, properties).await }
    });
    server.expect(Disconnect { reason, properties }).await;
    server.expect_end().await;
    drop(server);
    soon(leaving).await.unwrap().unwrap();
}

/// A client that is aborted says nothing, so that its will is published.
#[tokio::test]
async fn an_aborted_client_says_nothing() {
    for version in ALL {
        let stage = serve(version).await;
        let (client, mut server) = stage.meet().await;
        client.abort();
        server.expect_end().await;
        assert!(matches!(soon(client.closed()).await, Closed::Aborted));
    }
}

/// [5u-18]: a session that was to end with its connection cannot be prolonged by DISCONNECT; one that was not can be given
/// another end.
#[tokio::test]
async fn a_session_cannot_be_prolonged_at_the_end() {
    let expiry = |seconds| PropertiesBuf::builder().session_expiry_interval(seconds).build().unwrap();
    let normal = ReasonCode::NORMAL_DISCONNECTION;
    let stage = serve(Version::V5).await;
    for (options, asked, said, allowed) in [
        (stage.options(), expiry(60), PropertiesBuf::new(), false),
        (stage.options().session_expiry(Duration::ZERO), expiry(60), PropertiesBuf::new(), false),
        (stage.options(), expiry(0), expiry(0), true),
        (stage.resuming().session_expiry(Duration::from_secs(9)), expiry(60), expiry(60), true),
    ] {
        let (client, mut server) = stage.meet_as(options, connack()).await;
        let leaving = begin(async move { client.disconnect_with(normal, asked).await });
        server.expect(Disconnect { reason: normal, properties: said }).await;
        server.expect_end().await;
        drop(server);
        match soon(leaving).await.unwrap() {
            Ok(()) => assert!(allowed),
            Err(DisconnectError::NotAllowed(UsageError::SessionExpiryNotAllowed)) => assert!(!allowed),
            Err(error) => panic!("{error:?}"),
        }
    }
}

/// [5u-19] [MQTT-4.13.2-1] [MQTT-3.14.4-1]: the server's DISCONNECT is not answered; the client closes though the server keeps
/// its side open.
#[tokio::test]
async fn a_goodbye_of_the_server_is_not_answered() {
    for (bytes, reason) in [
        ("E0 02 98 00", ReasonCode::ADMINISTRATIVE_ACTION),
        ("E0 02 8B 00", ReasonCode::SERVER_SHUTTING_DOWN),
        ("E0 01 80", ReasonCode::UNSPECIFIED_ERROR),
        ("E0 00", ReasonCode::NORMAL_DISCONNECTION),
    ] {
        let stage = serve(Version::V5).await;
        let (client, mut server) = stage.meet_as(stage.once(), connack()).await;
        let delivery = enqueue(&client, "a", "1", QoS::ExactlyOnce).await;
        let id = server.expect_message().await;
        // What comes in the same breath counts no more.
        server.send_hex(&format!("{bytes} 50 02 00 {id:02X}")).await;
        server.expect_end().await;
        let cause = failure(&client).await;
        let ConnectError::Disconnected { reason: told, .. } = &cause else { panic!("{cause:?}") };
        assert_eq!(*told, reason);
        assert_eq!(soon(delivery).await, Outcome::Unknown);
    }
}

/// [5u-3] [311u-2]: packets that only clients send, or that nobody sends.
#[tokio::test]
async fn packets_that_no_server_sends_end_the_connection() {
    for version in ALL {
        for (bytes, packet_type) in [
            ("10 11 00 04 4D 51 54 54 04 02 00 00 00 05 61 63 74 6F 72", PacketType::Connect),
            ("82 06 00 01 00 01 61 00", PacketType::Subscribe),
            ("A2 05 00 01 00 01 61", PacketType::Unsubscribe),
            ("C0 00", PacketType::PingReq),
        ] {
            let stage = serve(version).await;
            let (client, mut server) = stage.meet_as(stage.once(), connack()).await;
            server.send_hex(bytes).await;
            server.expect_farewell(ReasonCode::PROTOCOL_ERROR).await;
            drop(server);
            let error = breach(failure(&client).await);
            assert_eq!(error.reason_code(), ReasonCode::PROTOCOL_ERROR, "{version} {packet_type} {error}");
        }
    }
    for version in BEFORE_5 {
        for bytes in ["00 00", "F0 00", "E0 00"] {
            let stage = serve(version).await;
            let (client, mut server) = stage.meet_as(stage.once(), connack()).await;
            server.send_hex(bytes).await;
            server.expect_end().await;
            breach(failure(&client).await);
        }
    }
}

/// [MQTT-4.13.1-1] [MQTT-4.8.0-1/3.1.1] [31-24]: what is no packet ends the connection, on 5.0 with the reason, before 5.0 without a
/// word, which would cancel the will. The client comes back, and nothing is lost.
#[tokio::test]
async fn malformed_packets_end_the_connection() {
    for version in ALL {
        for (bytes, reason) in [
            ("00 00", ReasonCode::MALFORMED_PACKET),
            ("36 05 00 01 61 00 01", ReasonCode::MALFORMED_PACKET),
            ("40 02 00 00", ReasonCode::PROTOCOL_ERROR),
            ("40 01 00", ReasonCode::MALFORMED_PACKET),
            ("30 FF FF FF FF 7F", ReasonCode::MALFORMED_PACKET),
            ("30 04 00 09 61 62", ReasonCode::MALFORMED_PACKET),
            ("30 05 00 02 C3 28 00", ReasonCode::MALFORMED_PACKET),
        ] {
            let stage = serve(version).await;
            let (client, mut server) = stage.meet_as(stage.resuming(), connack()).await;
            let mut events = client.events();
            let delivery = enqueue(&client, "a", "1", QoS::AtLeastOnce).await;
            let id = server.expect_message().await;
            server.send_hex(bytes).await;
            server.expect_farewell(reason).await;
            drop(server);
            assert_eq!(breach(lost(&mut events).await).reason_code(), reason, "{version} {bytes}");
            let mut server = stage.welcome_back().await;
            server.expect(publish("a", "1").qos1(id).dup()).await;
            server.send(puback(id)).await;
            assert!(matches!(soon(delivery).await, Outcome::Acked { .. }));
        }
    }
}

/// [MQTT-4.13.2-1]: the client closes even if the server takes none of its words.
#[tokio::test]
async fn the_end_does_not_wait_for_a_server_that_does_not_read() {
    for version in ALL {
        let stage = serve(version).await;
        let (client, mut server) = stage.meet_as(stage.options().queue(1000, usize::MAX), connack()).await;
        let mut events = client.events();
        for _ in 0..20 {
            _ = soon(client.publish("a", vec![0; 1_000_000]).enqueue()).await.unwrap();
        }
        while client.status().queued == 20 {
            tokio::task::yield_now().await;
        }
        assert!(client.status().queued > 0, "the network takes everything");
        server.send_hex("00 00").await;
        let ended = begin(async move {
            loop {
                if let Some(Event::Disconnected { cause, .. }) = events.next().await {
                    return cause;
                }
            }
        });
        tokio::time::sleep(A_MOMENT).await;
        pass(Duration::from_secs(3)).await;
        let cause = soon(ended).await.unwrap();
        assert!(matches!(breach(cause), ProtocolError::Decode(_)), "{version}");
        let mut again = stage.accept().await;
        again.expect_connect().await;
    }
}
