//! Who waits for whom: a slow application for nobody but itself, an absent server for nobody who does not want to.

mod common;

use common::{Stage, delivered, granted, in_memory, next, soon};
use core::time::Duration;
use mqtt_client::{Closed, Outcome, PublishError, QoS, ReasonCode, State};
use mqtt_codec::{Delivery, PacketType};
use mqtt_testkit::broker::{Broker, Direction, Message};
use mqtt_testkit::packets::{connack, pingreq, pingresp, puback, publish, pubrec};
use std::sync::Arc;
use tokio::time::{sleep, timeout};

const GRANTED: &[ReasonCode] = &[ReasonCode::GRANTED_QOS_2];

async fn broker() -> Arc<Broker> {
    Arc::new(Broker::start().await.unwrap())
}

/// With a window below its capacity a slow subscription of QoS 1 and 2 holds back its own messages, and those of the same
/// window: pings, publishes, their acknowledgements and QoS 0 go on for as long as it takes. The same if the messages
/// were taken, and are not acknowledged.
#[tokio::test(start_paused = true)]
async fn a_slow_subscription_holds_back_its_window_only() {
    for by_hand in [false, true] {
        let (mut stage, builder) = Stage::new();
        let builder = builder.receive_maximum(10).keep_alive(Duration::from_secs(10));
        let client = builder.start().unwrap();
        let mut server = stage.accept().await;
        server.expect_connect().await;
        server.send(connack()).await;
        let subscribe = client.subscribe("slow").qos(QoS::ExactlyOnce).capacity(11);
        let (mut plain, mut manual, mut tokens) = (None, None, Vec::new());
        if by_hand {
            manual = Some(granted(&mut server, GRANTED, subscribe.manual_ack()).await);
        } else {
            plain = Some(granted(&mut server, GRANTED, subscribe).await);
        }
        let mut live = granted(&mut server, GRANTED, client.subscribe("live").capacity(2)).await;
        for number in 1..=5 {
            server.send(publish("slow", "x").qos1(number)).await;
            server.send(publish("slow", "x").qos2(number + 5)).await;
        }
        if let Some(manual) = &mut manual {
            for _ in 0..10 {
                tokens.push(soon(manual.next()).await.unwrap().1);
            }
        }
        for number in 0..360_u32 {
            sleep(Duration::from_secs(9)).await;
            server.expect(pingreq()).await;
            server.send(pingresp()).await;
            server.send(publish("live", number.to_be_bytes().to_vec())).await;
            assert_eq!(common::number(&next(&mut live).await), number);
            let publishing = client.publish("out", "x").qos(QoS::AtLeastOnce);
            let answering = async {
                let Delivery::AtLeastOnce { id, .. } = server.expect_publish().await.delivery() else {
                    panic!("another QoS");
                };
                server.send(puback(id.get())).await;
            };
            let (outcome, ()) = tokio::join!(publishing.into_future(), answering);
            delivered(outcome.unwrap());
        }
        assert_eq!(client.status().state, State::Connected);

        if let Some(plain) = &mut plain {
            for _ in 0..10 {
                next(plain).await;
            }
        }
        tokens.into_iter().for_each(mqtt_client::AckToken::ack);
        let mut answers = Vec::new();
        for number in 1..=5 {
            answers.extend([puback(number), pubrec(number + 5)]);
        }
        server.expect_in_any_order(answers).await;
    }
}

/// Where the window allows more than the queue holds, the others get what comes before it is full, and what comes after
/// when there is room again: nothing is lost, and the pings go on.
#[tokio::test(start_paused = true)]
async fn a_full_queue_holds_back_the_others_until_there_is_room() {
    let broker = broker().await;
    let client = in_memory(&broker).client_id("both").keep_alive(Duration::from_secs(10)).await.unwrap();
    let mut slow = client.subscribe("slow").qos(QoS::AtLeastOnce).capacity(10).await.unwrap();
    let mut live = client.subscribe("live").qos(QoS::AtLeastOnce).await.unwrap();
    let large = |topic| Message { qos: QoS::AtLeastOnce, ..Message::new(topic, vec![0; 4000]) };
    for _ in 0..500 {
        broker.publish(large("slow"));
        broker.publish(large("live"));
    }
    sleep(Duration::from_secs(3600)).await;
    let mut got = 0;
    while timeout(Duration::from_secs(1), live.next()).await.is_ok() {
        got += 1;
    }
    assert!((10..=10 + 16).contains(&got), "as many as came before the tenth, and with the same read: {got}");
    assert!(broker.packets(Direction::FromClient, PacketType::PingReq) >= 300, "pings went on");
    assert_eq!((client.status().state, broker.connections()), (State::Connected, 1));
    for _ in 0..500 {
        next(&mut slow).await;
    }
    for _ in got..500 {
        next(&mut live).await;
    }
    assert_eq!((slow.dropped(), live.dropped()), (0, 0));
}

/// Acknowledgements of what was taken leave although another queue is full.
#[tokio::test(start_paused = true)]
async fn acknowledgements_leave_while_nothing_is_read() {
    let (mut stage, builder) = Stage::new();
    let client = builder.start().unwrap();
    let mut server = stage.accept().await;
    server.expect_connect().await;
    server.send(connack()).await;
    let mut taken = granted(&mut server, GRANTED, client.subscribe("taken").qos(QoS::AtLeastOnce)).await;
    let full = granted(&mut server, GRANTED, client.subscribe("full").capacity(1)).await;
    server.send(publish("taken", "x").qos1(1)).await;
    server.send(publish("full", "x")).await;
    sleep(Duration::from_secs(1)).await;
    next(&mut taken).await;
    server.expect(puback(1)).await;
    drop(full);
}

/// Trap 2: a server that was never there. What there is room for is accepted at once, who may not wait is told at once,
/// who waits can give up at any time, and the end of the client ends the waiting.
#[tokio::test(start_paused = true)]
async fn enqueueing_without_a_server() {
    let (stage, builder) = Stage::new();
    drop(stage);
    let client = builder.queue(3, 1 << 20).start().unwrap();
    let mut accepted = Vec::new();
    for _ in 0..3 {
        accepted.push(soon(client.publish("a", "x").qos(QoS::AtLeastOnce).enqueue()).await.unwrap());
    }
    let refused = client.publish("a", "x").try_enqueue();
    assert!(matches!(refused, Err(PublishError::QueueFull)), "{refused:?}");
    let given_up = timeout(Duration::from_secs(3600), client.publish("a", "y").enqueue()).await;
    assert!(given_up.is_err(), "it waits for as long as it is let");
    assert_eq!(client.status().queued, 3);

    let other = client.clone();
    let waiting = tokio::spawn(async move { other.publish("a", "z").enqueue().await.map(drop) });
    sleep(Duration::from_secs(60)).await;
    assert!(!waiting.is_finished());
    client.abort();
    let ended = soon(waiting).await.unwrap();
    assert!(matches!(ended, Err(PublishError::Closed(Closed::Aborted))), "{ended:?}");
    for token in accepted {
        assert_eq!(soon(token).await, Outcome::NotSent);
    }
}

/// The same with a server that accepted the connection and then falls silent: keep alive finds it, the queue holds what it
/// holds, and a server that comes back gets it.
#[tokio::test(start_paused = true)]
async fn enqueueing_to_a_server_that_falls_silent() {
    let broker = broker().await;
    let builder =
        in_memory(&broker).client_id("silent").keep_alive(Duration::from_secs(10)).queue(3, 1 << 20);
    let client = builder.in_flight(1).await.unwrap();
    broker.faults().freeze(true);
    let mut accepted = Vec::new();
    while accepted.len() < 4 {
        let enqueue = client.publish("a", "x").qos(QoS::AtLeastOnce).enqueue();
        accepted.push(soon(enqueue).await.unwrap());
        sleep(Duration::from_millis(1)).await;
    }
    assert!(matches!(client.publish("a", "x").try_enqueue(), Err(PublishError::QueueFull)));
    let mut changes = client.watch();
    timeout(Duration::from_secs(30), changes.changed()).await.expect("keep alive finds it");
    broker.faults().freeze(false);
    for token in accepted {
        delivered(timeout(Duration::from_secs(60), token).await.expect("it is back"));
    }
}
