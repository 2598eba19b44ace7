//! Applications that do not keep up: nothing is lost, and nothing but their own messages waits.

mod common;

use common::{Stage, delivered, in_memory, next, number, numbers, publish_numbers, soon};
use core::time::Duration;
use mqtt_client::{CleanStart, Client, Outcome, Protocol, QoS, ReasonCode, State};
use mqtt_codec::PacketType;
use mqtt_testkit::broker::{Broker, Direction, Message};
use mqtt_testkit::packets::{
    connack, connack_with_session, puback, pubcomp, publish, pubrec, pubrel, suback, unsuback,
};
use mqtt_testkit::peer::Peer;
use std::sync::Arc;
use tokio::io::DuplexStream;
use tokio::time::sleep;

async fn broker() -> Arc<Broker> {
    Arc::new(Broker::start().await.unwrap())
}

fn flood(broker: &Broker, count: u32) {
    for number in 0..count {
        let mut payload = number.to_be_bytes().to_vec();
        payload.resize(200, 0);
        broker.publish(Message::new("flood", payload));
    }
}

/// QoS 0 has no acknowledgement to hold back: the client stops reading, for as long as it takes, and pings go on.
#[tokio::test(start_paused = true)]
async fn a_full_queue_stops_reading_and_nothing_else() {
    let broker = broker().await;
    let client = in_memory(&broker).client_id("slow").keep_alive(Duration::from_secs(10)).await.unwrap();
    let mut subscription = client.subscribe("flood").capacity(10).await.unwrap();
    flood(&broker, 10_000);
    // Two megabytes wait in the broker and in the pipe. An hour passes.
    sleep(Duration::from_secs(3600)).await;
    assert_eq!(client.status().state, State::Connected);
    assert_eq!(broker.connections(), 1, "the connection held");
    assert!(broker.packets(Direction::FromClient, PacketType::PingReq) >= 300, "pings went on");
    // Publishing goes on as well.
    delivered(soon(client.publish("out", "x")).await.unwrap());
    broker.until("the message", |broker| broker.received_count() == 1).await;

    assert_eq!(numbers(&mut subscription, 10_000).await, (0..10_000).collect::<Vec<u32>>());
    assert_eq!(subscription.dropped(), 0);
}

/// Trap 1, and the reason why reading goes on while a request is under way: a handler may publish and wait for the
/// answer before it takes the next message.
#[tokio::test(start_paused = true)]
async fn a_handler_may_publish() {
    let broker = broker().await;
    let client = in_memory(&broker).await.unwrap();
    let mut subscription = client.subscribe("flood").capacity(10).await.unwrap();
    flood(&broker, 10_000);
    let mut handled = 0;
    while handled + subscription.dropped() < 10_000 {
        let message = next(&mut subscription).await;
        handled += 1;
        delivered(soon(client.publish("answers", message.payload).qos(QoS::ExactlyOnce)).await.unwrap());
    }
    assert_eq!(broker.received_count(), handled, "every message that was taken was answered");
}

/// The same at QoS 1: the server's window bounds what waits, and nothing is dropped.
#[tokio::test(start_paused = true)]
async fn a_handler_of_acknowledged_messages_may_publish() {
    for protocol in common::PROTOCOLS {
        let broker = broker().await;
        let client = in_memory(&broker).protocol(protocol).await.unwrap();
        let mut subscription = client.subscribe("flood").qos(QoS::AtLeastOnce).capacity(10).await.unwrap();
        let sender = in_memory(&broker).await.unwrap();
        let flooding = tokio::spawn(async move {
            publish_numbers(&sender, "flood", QoS::AtLeastOnce, 0..2000).await;
        });
        for expected in 0..2000 {
            let message = next(&mut subscription).await;
            assert_eq!(number(&message), expected);
            delivered(soon(client.publish("answers", message.payload).qos(QoS::AtLeastOnce)).await.unwrap());
        }
        flooding.await.unwrap();
        assert_eq!(subscription.dropped(), 0, "{protocol}");
    }
}

/// A client of a scripted server, with these filters subscribed one by one.
async fn staged(
    protocol: Protocol,
    filters: &[&'static str],
) -> (Peer<DuplexStream>, Client, Vec<mqtt_client::Subscription>) {
    let (mut stage, builder) = Stage::new();
    let client = builder.protocol(protocol).receive_maximum_if_5(protocol).start().unwrap();
    let mut server = stage.accept().await;
    server.expect_connect().await;
    server.send(connack()).await;
    let mut subscriptions = Vec::new();
    for filter in filters {
        let subscribing = async { client.subscribe(*filter).qos(QoS::ExactlyOnce).await.unwrap() };
        let answering = async {
            let packet = server.expect_any().await;
            let mqtt_codec::Packet::Subscribe(subscribe) = packet else { panic!("{packet:?}") };
            server.send(suback(subscribe.id().get(), &[ReasonCode::GRANTED_QOS_2])).await;
        };
        subscriptions.push(tokio::join!(subscribing, answering).0);
    }
    (server, client, subscriptions)
}

trait ReceiveMaximum {
    fn receive_maximum_if_5(self, protocol: Protocol) -> Self;
}

impl ReceiveMaximum for mqtt_client::ConnectBuilder {
    fn receive_maximum_if_5(self, protocol: Protocol) -> Self {
        if protocol == Protocol::V5 { self.receive_maximum(10) } else { self }
    }
}

const SILENCE: Duration = Duration::from_secs(5);

/// [MQTT-4.3.2-4], [MQTT-4.6.0-2]: taking is acknowledging, one by one and in order.
#[tokio::test(start_paused = true)]
async fn a_message_is_acknowledged_when_it_is_taken() {
    for protocol in common::PROTOCOLS {
        let (mut server, _client, mut subscriptions) = staged(protocol, &["a"]).await;
        for id in 1..=3 {
            server.send(publish("a", "x").qos1(id)).await;
        }
        server.expect_silence(SILENCE).await;
        for id in 1..=3 {
            next(&mut subscriptions[0]).await;
            server.expect(puback(id)).await;
            server.expect_silence(SILENCE).await;
        }
    }
}

/// [MQTT-4.3.3-8] and around: the same at QoS 2, by PUBREC.
#[tokio::test(start_paused = true)]
async fn at_qos_2_too() {
    for protocol in common::PROTOCOLS {
        let (mut server, _client, mut subscriptions) = staged(protocol, &["a"]).await;
        server.send(publish("a", "x").qos2(7)).await;
        server.expect_silence(SILENCE).await;
        next(&mut subscriptions[0]).await;
        server.expect(pubrec(7)).await;
        server.send(pubrel(7)).await;
        server.expect(pubcomp(7)).await;
    }
}

/// Overlapping filters, one copy: it is acknowledged once, when both have taken it.
#[tokio::test(start_paused = true)]
async fn a_message_for_two_is_acknowledged_when_both_have_taken_it() {
    for protocol in common::PROTOCOLS {
        let (mut server, _client, mut subscriptions) = staged(protocol, &["a/+", "a/#"]).await;
        let mut second = subscriptions.pop().unwrap();
        let mut first = subscriptions.pop().unwrap();
        server.send(publish("a/b", "x").qos1(1)).await;
        next(&mut second).await;
        server.expect_silence(SILENCE).await;
        next(&mut first).await;
        server.expect(puback(1)).await;

        // One that goes without taking it counts as well.
        server.send(publish("a/b", "y").qos1(2)).await;
        next(&mut first).await;
        server.expect_silence(SILENCE).await;
        drop(second);
        let codes = if protocol == Protocol::V5 { &[ReasonCode::SUCCESS][..] } else { &[] };
        let mut left = 2;
        while left > 0 {
            match server.expect_any().await {
                mqtt_codec::Packet::PubAck(ack) => assert_eq!(ack.id.get(), 2),
                mqtt_codec::Packet::Unsubscribe(unsubscribe) => {
                    server.send(unsuback(unsubscribe.id().get(), codes)).await;
                }
                other => panic!("{other:?}"),
            }
            left -= 1;
        }
        server.expect_silence(SILENCE).await;
    }
}

/// A holder that goes while another stays: nothing is unsubscribed, and what it had not taken is let go.
#[tokio::test(start_paused = true)]
async fn a_message_for_two_is_acknowledged_when_one_of_them_goes() {
    for protocol in common::PROTOCOLS {
        let (mut server, _client, mut subscriptions) = staged(protocol, &["a", "a"]).await;
        server.send(publish("a", "x").qos1(1)).await;
        next(&mut subscriptions[0]).await;
        server.expect_silence(SILENCE).await;
        drop(subscriptions.pop());
        server.expect(puback(1)).await;
        server.expect_silence(SILENCE).await;
    }
}

/// What an earlier run has subscribed may come before this one has: it is kept for ten seconds.
#[tokio::test(start_paused = true)]
async fn messages_of_a_resumed_session_wait_for_their_subscription() {
    let (mut stage, builder) = Stage::new();
    let client = builder.clean_start(CleanStart::Never).start().unwrap();
    let mut server = stage.accept().await;
    server.expect_connect().await;
    server.send(connack_with_session()).await;
    server.send(publish("wanted", "x").qos1(1)).await;
    server.send(publish("unwanted", "x").qos1(2)).await;
    server.expect_silence(SILENCE).await;
    let taking = async {
        let mut subscription = client.subscribe("wanted").qos(QoS::AtLeastOnce).await.unwrap();
        next(&mut subscription).await;
        subscription
    };
    let answering = async {
        let mqtt_codec::Packet::Subscribe(subscribe) = server.expect_any().await else { panic!() };
        server.send(suback(subscribe.id().get(), &[ReasonCode::GRANTED_QOS_1])).await;
    };
    let (_subscription, ()) = tokio::join!(taking, answering);
    server.expect(puback(1)).await;
    server.expect_silence(Duration::from_secs(4)).await;
    server.expect(puback(2)).await;
    assert_eq!(client.status().unclaimed, 1);
}

/// One slow subscription takes nothing from another but the order of acknowledgements [MQTT-4.6.0-2]: what the server's
/// window still allows gets through.
#[tokio::test(start_paused = true)]
async fn a_slow_subscription_does_not_stop_another() {
    let (mut server, _client, mut subscriptions) = staged(Protocol::V5, &["slow", "fast"]).await;
    let mut fast = subscriptions.pop().unwrap();
    let mut slow = subscriptions.pop().unwrap();
    server.send(publish("slow", "x").qos1(1)).await;
    for id in 2..=10 {
        server.send(publish("fast", "x").qos1(id)).await;
        next(&mut fast).await;
    }
    server.expect_silence(SILENCE).await;
    next(&mut slow).await;
    for id in 1..=10 {
        server.expect(puback(id)).await;
    }
}

/// What nobody takes is acknowledged, or it would block the others for ever.
#[tokio::test(start_paused = true)]
async fn a_message_for_nobody_is_acknowledged_and_counted() {
    let (mut server, client, _subscriptions) = staged(Protocol::V5, &["a"]).await;
    server.send(publish("b", "x").qos1(1)).await;
    server.expect(puback(1)).await;
    assert_eq!(client.status().unclaimed, 1);
    let mut unmatched = client.unmatched();
    server.send(publish("b", "y").qos1(2)).await;
    assert_eq!(next(&mut unmatched).await.payload(), b"y");
    server.expect(puback(2)).await;
}

/// [MQTT-3.3.4-9]: the server is held to the Receive Maximum of the client.
#[tokio::test(start_paused = true)]
async fn a_server_that_overruns_the_window_is_told_so() {
    let (mut server, client, _subscriptions) = staged(Protocol::V5, &["a"]).await;
    for id in 1..=11 {
        server.send(publish("a", "x").qos1(id)).await;
    }
    server.expect(mqtt_testkit::packets::disconnect(ReasonCode::RECEIVE_MAXIMUM_EXCEEDED)).await;
    server.expect_end().await;
    drop(server);
    let mut events = client.events();
    assert!(matches!(events.next().await, Some(mqtt_client::Event::Connected(_))));
    let Some(mqtt_client::Event::Disconnected { cause, .. }) = events.next().await else { panic!() };
    assert_eq!(cause.reason(), Some(ReasonCode::RECEIVE_MAXIMUM_EXCEEDED));
}

/// Subscribing and unsubscribing from a handler whose queue is full are requests too.
#[tokio::test(start_paused = true)]
async fn a_handler_may_subscribe() {
    let broker = broker().await;
    let client = in_memory(&broker).await.unwrap();
    let mut subscription = client.subscribe("flood").capacity(5).await.unwrap();
    flood(&broker, 5000);
    next(&mut subscription).await;
    for _ in 0..5 {
        let other = soon(client.subscribe("other")).await.unwrap();
        soon(other.unsubscribe()).await.unwrap();
    }
}

/// A queue that is full when the connection breaks does not keep the next one from coming up.
#[tokio::test(start_paused = true)]
async fn a_full_queue_does_not_stop_a_reconnection() {
    let broker = broker().await;
    let client = in_memory(&broker).client_id("full").await.unwrap();
    let mut subscription = client.subscribe("flood").capacity(10).await.unwrap();
    flood(&broker, 100);
    sleep(Duration::from_secs(1)).await;
    assert_eq!(client.status().queued, 0);
    broker.restart(mqtt_testkit::broker::Restart::Lose).await.unwrap();
    // Nothing is read while the queue is full; what is written shows that the connection is gone.
    assert_eq!(client.publish("a", "x").await.unwrap(), Outcome::NotSent);
    sleep(Duration::from_secs(5)).await;
    assert_eq!((client.status().state, broker.connections()), (State::Connected, 2));
    next(&mut subscription).await;
}
