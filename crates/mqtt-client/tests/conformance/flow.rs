//! Section 4.9: flow control, both ways; section 3.3.4.

use crate::support::{A_MOMENT, breach, connack_with, enqueue, failure, next, pass, serve, soon, subscribe};
use core::time::Duration;
use mqtt_client::{Client, Outcome, PropertiesBuf, ProtocolError, QoS, ReasonCode, Version};
use mqtt_codec::{ConnAck, PacketType};
use mqtt_testkit::packets::{
    connack, disconnect, pingreq, puback, pubcomp, publish, pubrec, pubrec_with, pubrel, suback, unsuback,
};

fn maximum(messages: u16) -> ConnAck {
    connack_with(PropertiesBuf::builder().receive_maximum(messages))
}

async fn enqueue_all(client: &Client, payloads: &[&'static str], qos: QoS) {
    for payload in payloads {
        _ = enqueue(client, "a", payload, qos).await;
    }
}

/// [MQTT-3.3.4-7] [MQTT-4.9.0-1] [MQTT-4.9.0-2]: as many messages are under way as the server takes. PUBACK, PUBCOMP
/// and a PUBREC that refuses let the next one go, a PUBREC that takes the message over does not; strays let none go.
#[tokio::test]
async fn the_servers_receive_maximum_is_kept() {
    let stage = serve(Version::V5).await;
    let (client, mut server) = stage.meet_as(stage.options(), maximum(2)).await;
    enqueue_all(&client, &["1"], QoS::AtLeastOnce).await;
    enqueue_all(&client, &["2", "3"], QoS::ExactlyOnce).await;
    enqueue_all(&client, &["4", "5", "6"], QoS::AtLeastOnce).await;
    let one = server.expect_message().await;
    let two = server.expect_message().await;
    server.expect_nothing().await;
    server.send(pubrec(two)).await;
    server.expect(pubrel(two)).await;
    server.expect_nothing().await;
    server.send(pubcomp(two)).await;
    let three = server.expect_message().await;
    server.expect_nothing().await;
    server.send(pubrec_with(three, ReasonCode::QUOTA_EXCEEDED)).await;
    let four = server.expect_message().await;
    server.expect_nothing().await;
    server.send(puback(one)).await;
    let five = server.expect_message().await;
    for stray in [puback(one), pubcomp(two), pubrec_with(three, ReasonCode::QUOTA_EXCEEDED), puback(9999)] {
        server.send(stray).await;
    }
    server.expect_nothing().await;
    server.send(puback(four)).await;
    server.send(puback(five)).await;
    server.expect_message().await;
}

/// [MQTT-4.9.0-1] [MQTT-3.3.4-7] [5u-15]: the window begins anew with each connection, and what is sent again is in
/// it. Without the property it has 65,535 places.
#[tokio::test]
async fn the_window_begins_anew_with_each_connection() {
    let stage = serve(Version::V5).await;
    let (client, mut server) = stage.meet_as(stage.resuming(), maximum(3)).await;
    enqueue_all(&client, &["1", "2", "3", "4"], QoS::AtLeastOnce).await;
    for _ in 0..3 {
        server.expect_message().await;
    }
    server.expect_nothing().await;
    drop(server);

    let mut server = stage.welcome(ConnAck { session_present: true, ..maximum(1) }).await;
    for payload in ["1", "2", "3"] {
        let again = server.expect_publish().await;
        assert!(again.delivery().dup() && again.payload() == payload.as_bytes());
        server.expect_nothing().await;
        server.send(puback(again.delivery().id().unwrap().get())).await;
    }
    let four = server.expect_message().await;
    server.expect_nothing().await;
    drop(server);

    let mut server = stage.welcome_back().await;
    server.expect(publish("a", "4").qos1(four).dup()).await;
    for _ in 0..500 {
        _ = enqueue(&client, "a", "x", QoS::AtLeastOnce).await;
    }
    for _ in 0..500 {
        server.expect_message().await;
    }
}

/// [MQTT-4.9.0-1]: a server cannot take no message at all.
#[tokio::test]
async fn receive_maximum_0_is_refused() {
    let stage = serve(Version::V5).await;
    let cause = stage
        .refuse(stage.once(), async |server| {
            server.expect_connect().await;
            server.send_hex("20 06 00 00 03 21 00 00").await;
            server.expect_farewell(ReasonCode::PROTOCOL_ERROR).await;
        })
        .await;
    assert!(matches!(breach(cause), ProtocolError::Decode(_)));
}

/// [MQTT-3.3.4-8] [MQTT-4.9.0-3]: a full window holds back PUBLISH alone. QoS 0 goes through it, as do requests,
/// answers, pings and the goodbye.
#[tokio::test]
async fn a_full_window_holds_back_messages_alone() {
    let stage = serve(Version::V5).await;
    let options = stage.options().keep_alive(Duration::from_secs(60));
    let (client, mut server) = stage.meet_as(options, maximum(1)).await;
    assert!(matches!(soon(client.publish("a", "free")).await, Ok(Outcome::Sent)));
    server.expect(publish("a", "free")).await;
    enqueue_all(&client, &["1"], QoS::ExactlyOnce).await;
    let one = server.expect_message().await;
    enqueue_all(&client, &["2"], QoS::AtLeastOnce).await;

    let mut subscription = subscribe(&client, &mut server, "b", QoS::ExactlyOnce).await;
    server.send(publish("b", "x").qos1(1)).await;
    server.send(publish("b", "y").qos2(2)).await;
    for _ in 0..2 {
        next(&mut subscription).await;
    }
    server.expect_in_any_order([puback(1), pubrec(2)]).await;
    server.send(pubrel(2)).await;
    server.expect(pubcomp(2)).await;
    server.send(pubrec(one)).await;
    server.expect(pubrel(one)).await;
    let script = async {
        let id = server.expect_unsubscribe().await;
        server.send(unsuback(id, &[ReasonCode::SUCCESS])).await;
    };
    let (unsubscribed, ()) = tokio::join!(soon(subscription.unsubscribe()), script);
    unsubscribed.unwrap();
    server.expect_nothing().await;
    pass(Duration::from_secs(60)).await;
    server.expect(pingreq()).await;
    let script = async {
        server.expect(disconnect(ReasonCode::NORMAL_DISCONNECTION)).await;
        drop(server);
    };
    let (goodbye, ()) = tokio::join!(soon(client.disconnect()), script);
    goodbye.unwrap();
}

/// [MQTT-3.3.4-9]: the server is held to the client's Receive Maximum: what the application has not taken is not
/// acknowledged, and one message more is too many.
#[tokio::test]
async fn a_server_that_sends_too_many_is_left() {
    for first_is_qos_2 in [true, false] {
        let stage = serve(Version::V5).await;
        let options = stage.once().receive_maximum(1);
        let (client, mut server) = stage.meet_as(options, connack()).await;
        let mut subscription = subscribe(&client, &mut server, "a", QoS::ExactlyOnce).await;
        // One after the other is not too many.
        for id in 1..=3 {
            server.send(publish("a", "x").qos1(id)).await;
            next(&mut subscription).await;
            server.expect(puback(id)).await;
        }
        let first = publish("a", "kept");
        server.send(if first_is_qos_2 { first.qos2(4) } else { first.qos1(4) }).await;
        server.send(publish("a", "free")).await;
        server.expect_silence(A_MOMENT).await;
        server.send(publish("a", "too many").qos1(5)).await;
        server.expect_farewell(ReasonCode::RECEIVE_MAXIMUM_EXCEEDED).await;
        drop(server);
        assert!(matches!(breach(failure(&client).await), ProtocolError::ReceiveMaximumExceeded(1)));
        // What came before is there to be taken, what was too many is not.
        assert_eq!(next(&mut subscription).await.payload(), b"kept");
        assert_eq!(next(&mut subscription).await.payload(), b"free");
        assert!(soon(subscription.next()).await.is_none());
    }
}

/// [MQTT-3.3.4-9]: Receive Maximum stands in CONNECT, and a QoS 2 message counts until its PUBCOMP.
#[tokio::test]
async fn a_qos_2_message_counts_to_its_end() {
    let stage = serve(Version::V5).await;
    let accepting = async {
        let mut server = stage.accept().await;
        let connect = server.expect_connect().await;
        assert_eq!(connect.properties.view().receive_maximum(), Some(1));
        server.send(connack()).await;
        server
    };
    let (client, mut server) = tokio::join!(soon(stage.once().receive_maximum(1)), accepting);
    let client = client.unwrap();
    for id in 1..=3 {
        server.send(publish("a", "x").qos2(id)).await;
        server.expect(pubrec(id)).await;
        server.send(pubrel(id)).await;
        server.expect(pubcomp(id)).await;
    }
    server.send(publish("a", "x").qos2(4)).await;
    server.expect(pubrec(4)).await;
    server.send(publish("a", "x").qos1(5)).await;
    server.expect_farewell(ReasonCode::RECEIVE_MAXIMUM_EXCEEDED).await;
    drop(server);
    assert!(matches!(breach(failure(&client).await), ProtocolError::ReceiveMaximumExceeded(1)));
}

/// A window of one's own, narrower than the server's or where the server has none [MQTT-3.3.4-7].
#[tokio::test]
async fn the_window_can_be_narrowed() {
    for version in crate::support::ALL {
        let stage = serve(version).await;
        let (client, mut server) = stage.meet_as(stage.options().in_flight(2), connack()).await;
        enqueue_all(&client, &["1", "2", "3"], QoS::AtLeastOnce).await;
        let one = server.expect_message().await;
        server.expect_message().await;
        server.expect_nothing().await;
        server.send(puback(one)).await;
        server.expect_message().await;
    }
}

/// [MQTT-3.3.4-8]: SUBSCRIBE goes through a full window on the next connection too, where what is sent again fills
/// it.
#[tokio::test]
async fn a_window_filled_by_what_is_sent_again_holds_back_messages_alone() {
    let stage = serve(Version::V5).await;
    let (client, mut server) = stage.meet_as(stage.resuming(), maximum(1)).await;
    enqueue_all(&client, &["1"], QoS::AtLeastOnce).await;
    let one = server.expect_message().await;
    drop(server);
    let mut server = stage.welcome(ConnAck { session_present: true, ..maximum(1) }).await;
    server.expect(publish("a", "1").qos1(one).dup()).await;
    enqueue_all(&client, &["2"], QoS::AtLeastOnce).await;
    let script = async {
        let packet = server.expect_type(PacketType::Subscribe).await;
        let mqtt_codec::Packet::Subscribe(packet) = packet else { unreachable!() };
        server.send(suback(packet.id().get(), &[ReasonCode::GRANTED_QOS_0])).await;
    };
    let (subscription, ()) = tokio::join!(soon(client.subscribe("b")), script);
    subscription.unwrap().detach();
    server.expect_nothing().await;
}
