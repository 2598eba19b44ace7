//! Connections that break: what is carried across, when the client comes back, and when it does not.

mod common;

use common::{ALL_QOS, Stage, delivered, in_memory, next, numbers, publish_numbers, soon};
use core::time::Duration;
use mqtt_client::{
    Client, Closed, ConnectBuilder, ConnectError, Event, OnSessionLost, Outcome, Protocol, PublishError, QoS,
    ReasonCode, ReconnectPolicy, State, connect,
};
use mqtt_codec::{Packet, PacketType};
use mqtt_testkit::broker::{Broker, Connections, Direction, Message, Restart};
use mqtt_testkit::packets::{connack, connack_with_session, puback, publish, suback};
use std::collections::HashSet;
use std::sync::Arc;
use tokio::time::sleep;

async fn broker() -> Arc<Broker> {
    Arc::new(Broker::start().await.unwrap())
}

fn at_once() -> ReconnectPolicy {
    ReconnectPolicy::default().first_delay(Duration::from_millis(10)).max_delay(Duration::from_millis(10))
}

/// Sees three messages through a connection that is cut after so many bytes, and through the ones after it.
async fn publish_through_a_cut(direction: Direction, bytes: u64, qos: QoS) -> Vec<u32> {
    let broker = broker().await;
    broker.faults().cut_after(direction, bytes, Connections::Next);
    let client =
        in_memory(&broker).client_id("cut").protocol(Protocol::V5).reconnect(at_once()).start().unwrap();
    publish_numbers(&client, "cut", qos, 0..3).await;
    client.disconnect().await.unwrap();
    broker
        .received()
        .iter()
        .map(|message| u32::from_be_bytes(message.payload[..4].try_into().unwrap()))
        .collect()
}

/// [MQTT-4.3.2-1], [MQTT-4.3.3-1] and around: whatever byte the cut comes after, QoS 1 arrives and QoS 2 arrives once,
/// in order [MQTT-4.6.0-1].
#[tokio::test(start_paused = true)]
async fn publishes_survive_a_cut_after_every_byte() {
    for direction in [Direction::FromClient, Direction::ToClient] {
        for bytes in 0..140 {
            let once = publish_through_a_cut(direction, bytes, QoS::ExactlyOnce).await;
            assert_eq!(once, [0, 1, 2], "QoS 2, {direction:?} after {bytes}");

            let mut seen = HashSet::new();
            let mut some = publish_through_a_cut(direction, bytes, QoS::AtLeastOnce).await;
            some.retain(|number| seen.insert(*number));
            assert_eq!(some, [0, 1, 2], "QoS 1, {direction:?} after {bytes}");
        }
    }
}

/// The same for what the client receives.
#[tokio::test(start_paused = true)]
async fn messages_arrive_through_a_cut_after_every_byte() {
    for direction in [Direction::FromClient, Direction::ToClient] {
        for bytes in 60..200 {
            for qos in [QoS::AtLeastOnce, QoS::ExactlyOnce] {
                let broker = broker().await;
                broker.faults().cut_after(direction, bytes, Connections::Next);
                let builder = in_memory(&broker).client_id("cut").protocol(Protocol::V5).reconnect(at_once());
                let client = builder.start().unwrap();
                let mut subscription = client.subscribe("news").qos(qos).await.unwrap();
                for number in 0..3_u32 {
                    let message = Message { qos, ..Message::new("news", number.to_be_bytes().to_vec()) };
                    broker.publish(message);
                }
                let mut arrived = Vec::new();
                while arrived.last() != Some(&2) {
                    arrived.extend(numbers(&mut subscription, 1).await);
                }
                if qos == QoS::AtLeastOnce {
                    let mut seen = HashSet::new();
                    arrived.retain(|number| seen.insert(*number));
                }
                assert_eq!(arrived, [0, 1, 2], "{qos}, {direction:?} after {bytes}");
                client.disconnect().await.unwrap();
            }
        }
    }
}

/// Trap 3: the death of the session takes no message with it, and no subscription.
#[tokio::test(start_paused = true)]
async fn a_lost_session_is_made_anew() {
    for protocol in common::PROTOCOLS {
        for qos in ALL_QOS {
            let broker = broker().await;
            let client =
                in_memory(&broker).client_id("heir").protocol(protocol).reconnect(at_once()).await.unwrap();
            let mut subscription = client.subscribe("estate/+").qos(qos).await.unwrap();
            broker.restart(Restart::Lose).await.unwrap();
            client.publish("estate/house", "1").qos(QoS::AtLeastOnce).await.unwrap();
            broker
                .until("the subscription", |broker| {
                    broker.session("heir").is_some_and(|session| session.subscriptions.len() == 1)
                })
                .await;
            broker.publish(Message { qos, ..Message::new("estate/garden", "2") });
            while next(&mut subscription).await.topic() != "estate/garden" {}
            client.disconnect().await.unwrap();
        }
    }
}

/// Traps 2 and 26: what is accepted while the server is away leaves when it is back, in the order of acceptance.
#[tokio::test(start_paused = true)]
async fn what_is_accepted_without_a_connection_is_sent_later() {
    for protocol in common::PROTOCOLS {
        let broker = broker().await;
        let client = in_memory(&broker).client_id("patient").protocol(protocol).await.unwrap();
        broker.kill().await;
        let mut deliveries = Vec::new();
        for number in 0..100_u32 {
            let publish =
                client.publish("later", number.to_be_bytes().to_vec()).qos(ALL_QOS[number as usize % 3]);
            deliveries.push(publish.enqueue().await.unwrap());
        }
        assert_eq!(client.status().queued, 100);
        broker.restart(Restart::Keep).await.unwrap();
        for delivery in deliveries {
            delivered(soon(delivery).await);
        }
        let received: Vec<u8> = broker.received().iter().map(|message| message.payload[3]).collect();
        assert_eq!(received, (0..100).collect::<Vec<u8>>(), "{protocol}");
    }
}

/// A client that was only started accepts at once, and delivers when there is a server.
#[tokio::test(start_paused = true)]
async fn a_started_client_waits_for_its_server() {
    let broker = broker().await;
    broker.kill().await;
    let client = in_memory(&broker).client_id("early").start().unwrap();
    let stale = client.publish("early", "stale").expiry(Duration::from_secs(5)).qos(QoS::AtLeastOnce);
    let stale = stale.enqueue().await.unwrap();
    let fresh = client.publish("early", "fresh").qos(QoS::ExactlyOnce).enqueue().await.unwrap();
    let subscribing = tokio::spawn({
        let client = client.clone();
        async move { client.subscribe("early/answers").await.map(|subscription| (client, subscription)) }
    });
    sleep(Duration::from_secs(100)).await;
    assert!(matches!(client.status().last_error, Some(ConnectError::NotAnswered)));
    assert_eq!((client.status().queued, client.status().open), (2, 3));

    broker.restart(Restart::Keep).await.unwrap();
    assert_eq!(soon_or_later(stale).await, Outcome::Expired);
    delivered(soon_or_later(fresh).await);
    let (_, mut subscription) = soon_or_later(subscribing).await.unwrap().unwrap();
    broker.publish(Message::new("early/answers", "hello"));
    assert_eq!(next(&mut subscription).await.payload(), b"hello");
    assert_eq!(broker.received_count(), 1);
}

/// Within the longest delay between two attempts.
async fn soon_or_later<T>(what: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(61), what).await.expect("the client comes back")
}

#[tokio::test(start_paused = true)]
async fn a_session_that_is_lost_can_end_its_messages() {
    let (mut stage, builder) = Stage::new();
    let client = builder.on_session_lost(OnSessionLost::Fail).reconnect(at_once()).start().unwrap();
    let mut server = stage.accept().await;
    server.expect_connect().await;
    server.send(connack()).await;
    let sent = client.publish("a", "sent").qos(QoS::AtLeastOnce).enqueue().await.unwrap();
    server.expect_publish().await;
    drop(server);
    let mut server = stage.accept().await;
    server.expect_connect().await;
    let waits = client.publish("a", "not sent yet").qos(QoS::AtLeastOnce).enqueue().await.unwrap();
    server.send(connack()).await;
    assert_eq!(soon(sent).await, Outcome::SessionLost);
    assert_eq!(server.expect_publish().await.payload(), b"not sent yet");
    server.send(puback(2)).await;
    delivered(soon(waits).await);
}

/// [MQTT-3.3.1-1], [MQTT-4.4.0-1]: a resumed session resends with DUP and the same identifier.
#[tokio::test(start_paused = true)]
async fn a_resumed_session_resends() {
    let (mut stage, builder) = Stage::new();
    let client = builder.reconnect(at_once()).start().unwrap();
    let mut server = stage.accept().await;
    assert!(server.expect_connect().await.clean_start);
    server.send(connack()).await;
    let delivery = client.publish("a", "x").qos(QoS::AtLeastOnce).enqueue().await.unwrap();
    server.expect(publish("a", "x").qos1(1)).await;
    drop(server);
    let mut server = stage.accept().await;
    assert!(!server.expect_connect().await.clean_start, "the second connection resumes");
    server.send(connack_with_session()).await;
    server.expect(publish("a", "x").qos1(1).dup()).await;
    server.send(puback(1)).await;
    delivered(soon(delivery).await);
}

/// Trap 15: the waits grow, and each is within its ceiling.
#[tokio::test(start_paused = true)]
async fn failures_are_followed_by_growing_waits() {
    let broker = broker().await;
    broker.kill().await;
    let client = in_memory(&broker).start().unwrap();
    let mut events = client.events();
    for ceiling in [1, 2, 4, 8, 16, 32, 60, 60] {
        let began = common::now();
        let Some(Event::Disconnected { cause: ConnectError::NotAnswered, retry_in: Some(delay) }) =
            events.next().await
        else {
            panic!()
        };
        assert!(delay <= Duration::from_secs(ceiling), "{delay:?} of {ceiling} s");
        assert!(matches!(client.status().state, State::Waiting { delay: waiting } if waiting == delay));
        sleep(delay).await;
        assert!(began.elapsed() >= delay);
    }
    assert!(client.status().failures >= 8);
}

/// Trap 16: a server that accepts and closes again is not hammered.
#[tokio::test(start_paused = true)]
async fn connections_that_do_not_hold_are_failures_too() {
    let broker = broker().await;
    broker.faults().close_after_connack(Connections::All);
    let _client = in_memory(&broker).protocol(Protocol::V5).start().unwrap();
    sleep(Duration::from_secs(600)).await;
    // With full jitter the waits are half their ceilings on average: about thirty connections.
    assert!((10..100).contains(&broker.connections()), "{} connections in ten minutes", broker.connections());
}

/// A takeover ends the client: two of the same name would throw each other out for ever.
#[tokio::test(start_paused = true)]
async fn what_does_not_pass_ends_the_client() {
    for reason in [ReasonCode::SESSION_TAKEN_OVER, ReasonCode::NOT_AUTHORIZED] {
        let broker = broker().await;
        let client = in_memory(&broker).client_id("thrown").await.unwrap();
        let mut events = client.events();
        let mut subscription = client.subscribe("a").await.unwrap();
        broker.disconnect("thrown", reason);
        let closed = soon(client.closed()).await;
        let Closed::Failed(ConnectError::Disconnected { reason: told, .. }) = closed else {
            panic!("{closed:?}")
        };
        assert_eq!(told, reason);
        // It shows everywhere.
        assert_eq!(client.status().state, State::Closed);
        assert_eq!(client.status().last_error.and_then(|error| error.reason()), Some(reason));
        assert!(matches!(events.next().await, Some(Event::Connected(_))));
        assert!(matches!(events.next().await, Some(Event::Disconnected { retry_in: None, .. })));
        assert!(matches!(events.next().await, Some(Event::Closed(Closed::Failed(_)))));
        assert!(events.next().await.is_none());
        assert!(soon(subscription.next()).await.is_none());
        let error = client.publish("a", "x").await.unwrap_err();
        assert!(matches!(&error, PublishError::Closed(Closed::Failed(_))), "{error:?}");
        assert!(error.to_string().contains(&reason.to_string()), "{error}");
        sleep(Duration::from_secs(600)).await;
        assert_eq!(broker.connections(), 1);
    }
}

#[tokio::test(start_paused = true)]
async fn a_passing_cause_does_not_end_the_client() {
    let broker = broker().await;
    let client = in_memory(&broker).client_id("back").await.unwrap();
    broker.stop().await;
    broker.restart(Restart::Keep).await.unwrap();
    broker.until("the client is back", |broker| broker.is_connected("back")).await;
    let error = client.status().last_error.unwrap();
    assert_eq!(error.reason(), Some(ReasonCode::SERVER_SHUTTING_DOWN));
}

#[tokio::test(start_paused = true)]
async fn a_policy_of_never_ends_at_the_first_cut() {
    let broker = broker().await;
    let client = in_memory(&broker).reconnect(ReconnectPolicy::never()).await.unwrap();
    broker.cut_all();
    assert!(matches!(soon(client.closed()).await, Closed::Failed(ConnectError::PeerClosed)));
}

#[tokio::test(start_paused = true)]
async fn attempts_can_be_counted_out() {
    let broker = broker().await;
    broker.kill().await;
    let client =
        in_memory(&broker).protocol(Protocol::V5).reconnect(at_once().max_attempts(3)).start().unwrap();
    let mut events = client.events();
    assert!(matches!(soon(client.closed()).await, Closed::Failed(ConnectError::NotAnswered)));
    let mut attempts = 0;
    while let Some(event) = events.next().await {
        attempts += u32::from(matches!(event, Event::Disconnected { .. }));
    }
    assert_eq!(attempts, 4, "the first, and three more");
}

/// Trap 13: a link that is dead without saying so is found within the keep alive and ten seconds more.
#[tokio::test(start_paused = true)]
async fn a_half_open_link_is_found() {
    let broker = broker().await;
    let client = in_memory(&broker).client_id("half").keep_alive(Duration::from_secs(30)).await.unwrap();
    let mut events = client.events();
    assert!(matches!(events.next().await, Some(Event::Connected(_))));
    let began = common::now();
    broker.faults().freeze(true);
    let Some(Event::Disconnected { cause: ConnectError::PingTimeout, .. }) = events.next().await else {
        panic!()
    };
    let took = began.elapsed();
    assert!((30..=43).contains(&took.as_secs()), "{took:?}");
    broker.faults().freeze(false);
    broker.until("the client is back", |broker| broker.is_connected("half")).await;
    delivered(soon(client.publish("a", "x").qos(QoS::AtLeastOnce)).await.unwrap());
}

/// An acknowledgement that never comes on one connection comes on the next.
#[tokio::test(start_paused = true)]
async fn a_swallowed_ack_is_made_up_for_after_a_cut() {
    for (packet, qos) in [
        (PacketType::PubAck, QoS::AtLeastOnce),
        (PacketType::PubRec, QoS::ExactlyOnce),
        (PacketType::PubComp, QoS::ExactlyOnce),
    ] {
        let broker = broker().await;
        broker.faults().swallow(packet, 1);
        let client =
            in_memory(&broker).client_id("s").protocol(Protocol::V5).reconnect(at_once()).await.unwrap();
        let delivery = client.publish("a", "x").qos(qos).enqueue().await.unwrap();
        sleep(Duration::from_secs(5)).await;
        broker.cut_all();
        delivered(soon(delivery).await);
        if qos == QoS::ExactlyOnce {
            assert_eq!(broker.received_count(), 1, "{packet}");
        }
    }
}

/// A SUBSCRIBE whose answer was lost is asked again, and the caller never knows.
#[tokio::test(start_paused = true)]
async fn a_request_without_an_answer_is_asked_again() {
    let (mut stage, builder) = Stage::new();
    let client = builder.reconnect(at_once()).start().unwrap();
    let subscribing = tokio::spawn(async move {
        let subscription = client.subscribe("a").qos(QoS::AtLeastOnce).await;
        subscription.map(|subscription| (client, subscription))
    });
    let mut server = stage.accept().await;
    server.expect_connect().await;
    server.send(connack()).await;
    assert_eq!(server.expect_any().await.packet_type(), PacketType::Subscribe);
    drop(server);
    let mut server = stage.accept().await;
    server.expect_connect().await;
    server.send(connack()).await;
    let Packet::Subscribe(subscribe) = server.expect_any().await else { panic!() };
    server.send(suback(subscribe.id().get(), &[ReasonCode::GRANTED_QOS_1])).await;
    let (_client, subscription) = soon(subscribing).await.unwrap().unwrap();
    assert_eq!(subscription.granted_qos(), Some(QoS::AtLeastOnce));
}

/// Over real sockets too: the server is killed and started again under load.
#[tokio::test]
async fn a_killed_server_loses_nothing() {
    let broker = Broker::start().await.unwrap();
    let options = |name: &str| -> ConnectBuilder {
        connect(&broker.url())
            .client_id(name)
            .protocol(Protocol::V5)
            .reconnect(at_once())
            .clean_start(mqtt_client::CleanStart::Never)
    };
    let receiver = options("receiver").await.unwrap();
    let sender: Client = options("sender").await.unwrap();
    let mut subscription = receiver.subscribe("load").qos(QoS::ExactlyOnce).await.unwrap();
    let killing = async {
        for round in 1..=5 {
            let both = |broker: &Broker| broker.is_connected("sender") && broker.is_connected("receiver");
            broker
                .until("more messages", |broker| broker.received_count() >= round * 300 && both(broker))
                .await;
            broker.restart(Restart::Keep).await.unwrap();
        }
    };
    let publishing = publish_numbers(&sender, "load", QoS::ExactlyOnce, 0..2000);
    let (arrived, (), ()) = tokio::join!(numbers(&mut subscription, 2000), publishing, killing);
    assert_eq!(arrived, (0..2000).collect::<Vec<u32>>());
    assert!(broker.connections() >= 2 * 5, "{}", broker.connections());
}

/// A policy without delays, on a connector that fails at once, still lets other tasks run.
#[tokio::test(start_paused = true)]
async fn no_delay_is_no_monopoly() {
    let (stage, builder) = Stage::new();
    drop(stage);
    let client = builder.reconnect(ReconnectPolicy::default().first_delay(Duration::ZERO)).start().unwrap();
    for _ in 0..100 {
        tokio::task::yield_now().await;
    }
    assert!(client.status().attempts > 50, "{}", client.status().attempts);
    client.abort();
    assert!(matches!(soon(client.closed()).await, Closed::Aborted));
}

/// The client's own connector is asked anew each time.
#[tokio::test(start_paused = true)]
async fn an_attempt_that_hangs_is_given_up() {
    struct Hangs;
    impl mqtt_client::transport::Connect for Hangs {
        fn connect(
            &self,
        ) -> mqtt_client::transport::BoxFuture<'_, std::io::Result<mqtt_client::transport::BoxTransport>>
        {
            Box::pin(core::future::pending())
        }
    }
    let began = common::now();
    let error =
        connect("mqtt://nowhere").connector(Hangs).connect_timeout(Duration::from_secs(3)).await.unwrap_err();
    assert!(matches!(error, ConnectError::Timeout(limit) if limit == Duration::from_secs(3)), "{error}");
    assert_eq!(began.elapsed().as_secs(), 3);
}
