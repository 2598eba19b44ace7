//! Who acknowledges a message, and when.

mod common;

use common::{Stage, granted, in_memory, next, soon};
use core::time::Duration;
use mqtt_client::{
    AckToken, CleanStart, Client, Message, PropertiesBuf, Protocol, QoS, QueuePolicy, ReasonCode,
    ReconnectPolicy, SubscribeError, UsageError,
};
use mqtt_codec::{Ack, Packet};
use mqtt_testkit::broker::Broker;
use mqtt_testkit::packets::{
    connack, connack_with_session, id, puback, pubcomp, publish, pubrec, pubrel, unsuback,
};
use mqtt_testkit::peer::Peer;
use std::sync::Arc;
use tokio::io::DuplexStream;

const SILENCE: Duration = Duration::from_secs(5);
const GRANTED: &[ReasonCode] = &[ReasonCode::GRANTED_QOS_2];

/// A scripted server and a client that is connected to it.
async fn staged(protocol: Protocol) -> (Stage, Peer<DuplexStream>, Client) {
    let (mut stage, builder) = Stage::new();
    let reconnect = ReconnectPolicy::default().first_delay(Duration::from_millis(1));
    let builder = builder.protocol(protocol).clean_start(CleanStart::Never).reconnect(reconnect);
    let client = builder.start().unwrap();
    let server = welcomed(&mut stage, false).await;
    (stage, server, client)
}

async fn welcomed(stage: &mut Stage, resumed: bool) -> Peer<DuplexStream> {
    let mut server = stage.accept().await;
    server.expect_connect().await;
    server.send(if resumed { connack_with_session() } else { connack() }).await;
    server
}

async fn taken(subscription: &mut mqtt_client::ManualSubscription) -> (Message, AckToken) {
    soon(subscription.next()).await.expect("the stream goes on")
}

/// [MQTT-4.6.0-2], [MQTT-4.6.0-3]: given in any order and from any task, they leave in the order of the messages, for
/// QoS 1 and for QoS 2 apart. Trap 22.
#[tokio::test(start_paused = true)]
async fn by_hand_in_any_order() {
    for protocol in common::PROTOCOLS {
        let (_stage, mut server, client) = staged(protocol).await;
        let subscribe = client.subscribe("a").qos(QoS::ExactlyOnce).manual_ack();
        let mut subscription = granted(&mut server, GRANTED, subscribe).await;
        assert_eq!(subscription.granted_qos(), Some(QoS::ExactlyOnce));
        let mut tokens = Vec::new();
        for number in 1..=3 {
            server.send(publish("a", "x").qos1(number)).await;
            server.send(publish("a", "x").qos2(number + 10)).await;
            server.send(publish("a", "x")).await;
        }
        for _ in 0..9 {
            tokens.push(taken(&mut subscription).await.1);
        }
        server.expect_silence(SILENCE).await;
        // The last first: nothing may leave before the first.
        let first = tokens.drain(..3).collect::<Vec<_>>();
        let elsewhere = tokio::spawn(async move { tokens.into_iter().rev().for_each(AckToken::ack) });
        elsewhere.await.unwrap();
        server.expect_silence(SILENCE).await;
        first.into_iter().for_each(AckToken::ack);
        let mut answers = Vec::new();
        for _ in 0..6 {
            answers.push(server.expect_any().await);
        }
        let order =
            |wanted: fn(&Packet) -> Option<u16>| answers.iter().filter_map(wanted).collect::<Vec<_>>();
        let puback =
            |packet: &Packet| if let Packet::PubAck(ack) = packet { Some(ack.id.get()) } else { None };
        let pubrec =
            |packet: &Packet| if let Packet::PubRec(ack) = packet { Some(ack.id.get()) } else { None };
        assert_eq!((order(puback), order(pubrec)), (vec![1, 2, 3], vec![11, 12, 13]), "{protocol}");
    }
}

fn words(reason: &str) -> PropertiesBuf {
    PropertiesBuf::builder().reason_string(reason).user_property("desk", "7").build().unwrap()
}

/// [MQTT-3.4.2-2] and around: a refusal goes out with its words. The server ends the exchange with it [MQTT-4.4.0-2].
#[tokio::test(start_paused = true)]
async fn a_refusal_says_why() {
    let (_stage, mut server, client) = staged(Protocol::V5).await;
    let subscribe = client.subscribe("a").qos(QoS::ExactlyOnce).manual_ack();
    let mut subscription = granted(&mut server, GRANTED, subscribe).await;
    server.send(publish("a", "x").qos1(1)).await;
    server.send(publish("a", "x").qos2(2)).await;
    let (_, first) = taken(&mut subscription).await;
    let (_, second) = taken(&mut subscription).await;
    first.ack_with(ReasonCode::NOT_AUTHORIZED, words("not yours")).unwrap();
    let ack = |number, reason| Ack { properties: words("not yours"), ..Ack::with_reason(id(number), reason) };
    server.expect(Packet::PubAck(ack(1, ReasonCode::NOT_AUTHORIZED))).await;
    second.ack_with(ReasonCode::QUOTA_EXCEEDED, words("not yours")).unwrap();
    server.expect(Packet::PubRec(ack(2, ReasonCode::QUOTA_EXCEEDED))).await;
    // The identifier is free: this is another message [MQTT-4.3.3-9].
    server.send(publish("a", "y").qos2(2)).await;
    let (message, token) = taken(&mut subscription).await;
    assert_eq!(message.payload(), b"y");

    let misplaced = PropertiesBuf::builder().content_type("text").build().unwrap();
    let (token, error) = token.ack_with(ReasonCode::SUCCESS, misplaced).unwrap_err();
    assert!(matches!(error, UsageError::PropertyNotAllowed(_)), "{error}");
    server.expect_silence(SILENCE).await;
    token.ack();
    server.expect(pubrec(2)).await;
}

/// What a version does not have is an error by name, and the token is still good.
#[tokio::test(start_paused = true)]
async fn before_5_there_is_no_refusal() {
    for protocol in [Protocol::V3_1, Protocol::V3_1_1] {
        let (_stage, mut server, client) = staged(protocol).await;
        let subscribe = client.subscribe("a").qos(QoS::AtLeastOnce).manual_ack();
        let mut subscription = granted(&mut server, GRANTED, subscribe).await;
        server.send(publish("a", "x").qos1(1)).await;
        let (_, token) = taken(&mut subscription).await;
        let (token, error) = token.ack_with(ReasonCode::NOT_AUTHORIZED, PropertiesBuf::new()).unwrap_err();
        assert!(matches!(error, UsageError::NotInVersion { option: "reason", .. }), "{error}");
        let (token, error) = token.ack_with(ReasonCode::SUCCESS, words("no")).unwrap_err();
        assert!(matches!(error, UsageError::NotInVersion { option: "properties", .. }), "{error}");
        token.ack_with(ReasonCode::SUCCESS, PropertiesBuf::new()).unwrap();
        server.expect(puback(1)).await;
    }
}

/// A dropped token leaves its message to the next connection, and those behind it wait.
#[tokio::test(start_paused = true)]
async fn a_dropped_token_acknowledges_nothing() {
    let (mut stage, mut server, client) = staged(Protocol::V5).await;
    let subscribe = client.subscribe("a").qos(QoS::AtLeastOnce).manual_ack();
    let mut subscription = granted(&mut server, GRANTED, subscribe).await;
    for number in 1..=2 {
        server.send(publish("a", "x").qos1(number)).await;
    }
    drop(taken(&mut subscription).await);
    taken(&mut subscription).await.1.ack();
    server.expect_silence(SILENCE).await;
    drop(server);
    let mut server = welcomed(&mut stage, true).await;
    for number in 1..=2 {
        server.send(publish("a", "x").qos1(number).dup()).await;
        taken(&mut subscription).await.1.ack();
        server.expect(puback(number)).await;
    }
}

/// Trap 23: at QoS 1 a token of an earlier connection does nothing on a later one, where its identifier is that of
/// another message; at QoS 2 the exchange goes on, and the token with it.
#[tokio::test(start_paused = true)]
async fn a_token_belongs_to_its_connection() {
    for protocol in [Protocol::V3_1_1, Protocol::V5] {
        let (mut stage, mut server, client) = staged(protocol).await;
        let subscribe = client.subscribe("a").qos(QoS::ExactlyOnce).manual_ack();
        let mut subscription = granted(&mut server, GRANTED, subscribe).await;
        server.send(publish("a", "stale").qos1(1)).await;
        server.send(publish("a", "once").qos2(2)).await;
        let (_, stale) = taken(&mut subscription).await;
        let (_, once) = taken(&mut subscription).await;
        drop(server);
        let mut server = welcomed(&mut stage, true).await;
        server.send(publish("a", "another").qos1(1)).await;
        server.send(publish("a", "once").qos2(2).dup()).await;
        let (message, token) = taken(&mut subscription).await;
        assert_eq!(message.payload(), b"another");
        stale.ack();
        server.expect_silence(SILENCE).await;
        once.ack();
        server.expect(pubrec(2)).await;
        server.send(pubrel(2)).await;
        server.expect(pubcomp(2)).await;
        token.ack();
        server.expect(puback(1)).await;
    }
}

/// Overlapping subscriptions, one by hand: the packet is acknowledged once, when both have done it.
#[tokio::test(start_paused = true)]
async fn one_of_two_by_hand() {
    for protocol in common::PROTOCOLS {
        let (_stage, mut server, client) = staged(protocol).await;
        let mut plain = granted(&mut server, GRANTED, client.subscribe("a/+").qos(QoS::AtLeastOnce)).await;
        let by_hand = client.subscribe("a/#").qos(QoS::AtLeastOnce).manual_ack();
        let mut by_hand = granted(&mut server, GRANTED, by_hand).await;
        for (number, plain_first) in [(1, true), (2, false)] {
            server.send(publish("a/b", "x").qos1(number)).await;
            let (_, token) = taken(&mut by_hand).await;
            if plain_first {
                next(&mut plain).await;
                server.expect_silence(SILENCE).await;
                token.ack();
            } else {
                token.ack();
                server.expect_silence(SILENCE).await;
                next(&mut plain).await;
            }
            server.expect(puback(number)).await;
        }
        // One share that is dropped keeps the other from acknowledging.
        server.send(publish("a/b", "x").qos1(3)).await;
        drop(taken(&mut by_hand).await);
        next(&mut plain).await;
        server.expect_silence(SILENCE).await;
    }
}

/// Of several who answer, the refusal is heard.
#[tokio::test(start_paused = true)]
async fn a_refusal_of_one_is_heard() {
    let (_stage, mut server, client) = staged(Protocol::V5).await;
    let mut subscriptions = Vec::new();
    for filter in ["a/+", "a/#", "a/b"] {
        let subscribe = client.subscribe(filter).qos(QoS::AtLeastOnce).manual_ack();
        subscriptions.push(granted(&mut server, GRANTED, subscribe).await);
    }
    server.send(publish("a/b", "x").qos1(1)).await;
    let reasons =
        [ReasonCode::NO_MATCHING_SUBSCRIBERS, ReasonCode::NOT_AUTHORIZED, ReasonCode::QUOTA_EXCEEDED];
    for (subscription, reason) in subscriptions.iter_mut().zip(reasons) {
        taken(subscription).await.1.ack_with(reason, PropertiesBuf::new()).unwrap();
    }
    server.expect(Packet::PubAck(Ack::with_reason(id(1), ReasonCode::NOT_AUTHORIZED))).await;
}

/// A subscription that goes acknowledges what was not taken from it; tokens that were taken keep their right.
#[tokio::test(start_paused = true)]
async fn tokens_outlive_their_subscription() {
    let (_stage, mut server, client) = staged(Protocol::V5).await;
    let subscribe = client.subscribe("a").qos(QoS::AtLeastOnce).manual_ack();
    let mut subscription = granted(&mut server, GRANTED, subscribe).await;
    for number in 1..=2 {
        server.send(publish("a", "x").qos1(number)).await;
    }
    let (_, token) = taken(&mut subscription).await;
    let answering = async {
        let Packet::Unsubscribe(unsubscribe) = server.expect_any().await else { panic!() };
        server.send(unsuback(unsubscribe.id().get(), &[ReasonCode::SUCCESS])).await;
    };
    let (ended, ()) = tokio::join!(subscription.unsubscribe(), answering);
    ended.unwrap();
    server.expect_silence(SILENCE).await;
    token.ack();
    server.expect(puback(1)).await;
    server.expect(puback(2)).await;
}

/// A token is no handle: the client ends without it, and it does nothing afterwards.
#[tokio::test(start_paused = true)]
async fn a_token_does_not_keep_the_client() {
    let broker = Arc::new(Broker::start().await.unwrap());
    let client = in_memory(&broker).await.unwrap();
    let mut subscription = client.subscribe("a").qos(QoS::AtLeastOnce).manual_ack().await.unwrap();
    client.publish("a", "x").qos(QoS::AtLeastOnce).await.unwrap();
    let (_, token) = taken(&mut subscription).await;
    drop((client, subscription));
    broker.until("the end", |broker| broker.open_connections() == 0).await;
    token.ack();
}

/// Immediate: acknowledged before anybody takes it, as long as there is room; what came beyond the bound, when it is
/// taken.
#[tokio::test(start_paused = true)]
async fn at_once_while_there_is_room() {
    for protocol in common::PROTOCOLS {
        let (_stage, mut server, client) = staged(protocol).await;
        let subscribe = client.subscribe("a").qos(QoS::ExactlyOnce).immediate_ack().capacity(3);
        let mut subscription = granted(&mut server, GRANTED, subscribe).await;
        server.send(publish("a", "x").qos1(1)).await;
        server.expect(puback(1)).await;
        server.send(publish("a", "x").qos2(2)).await;
        server.expect(pubrec(2)).await;
        server.send(pubrel(2)).await;
        server.expect(pubcomp(2)).await;
        // A request that waits for its answer keeps the reading going although the queue is full.
        let _waits = client.publish("out", "x").qos(QoS::AtLeastOnce).enqueue().await.unwrap();
        server.expect_publish().await;
        server.send(publish("a", "x").qos1(3)).await;
        server.expect(puback(3)).await;
        server.send(publish("a", "x").qos1(4)).await;
        server.expect_silence(SILENCE).await;
        for _ in 0..3 {
            next(&mut subscription).await;
        }
        server.expect_silence(SILENCE).await;
        next(&mut subscription).await;
        server.expect(puback(4)).await;
        assert_eq!(subscription.dropped(), 0, "{protocol}");
    }
}

/// What was acknowledged is never dropped: a policy that would is refused by name.
#[tokio::test(start_paused = true)]
async fn at_once_and_dropped_contradict_each_other() {
    let broker = Arc::new(Broker::start().await.unwrap());
    let client = in_memory(&broker).await.unwrap();
    for policy in [QueuePolicy::DropOldest, QueuePolicy::KeepLatest] {
        let refused = client.subscribe("a").immediate_ack().when_full(policy).await;
        assert!(
            matches!(&refused, Err(SubscribeError::WouldDropAcknowledged(named)) if *named == policy),
            "{refused:?}"
        );
        client.subscribe("a").when_full(policy).immediate_ack().manual_ack().await.unwrap();
    }
    client.subscribe("a").immediate_ack().when_full(QueuePolicy::DropNewest).await.unwrap();
}
