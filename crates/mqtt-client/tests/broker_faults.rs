//! What brokers and clients keep when something breaks, on mosquitto and on the testkit's broker: retained messages,
//! wills, sessions, and every message when the server is killed in the middle.

mod common;

use common::PROTOCOLS;
use common::server::{PATIENCE, client, observer};
use core::time::Duration;
use mqtt_client::{
    CleanStart, Client, Event, Message, Outcome, Protocol, QoS, Subscription, TopicName, Will,
};
use mqtt_testkit::server::Server;
use tokio::sync::mpsc;
use tokio::time::timeout;

const EXPIRY: Duration = Duration::from_secs(3_600);

async fn next(subscription: &mut Subscription) -> Message {
    timeout(PATIENCE, subscription.next())
        .await
        .expect("a message in time")
        .expect("the subscription goes on")
}

/// A client whose session outlives its connections.
async fn persistent(server: &Server, id: &str, protocol: Protocol) -> Client {
    let builder = client(&server.url(), id, protocol).clean_start(CleanStart::Never);
    let builder = if protocol == Protocol::V5 { builder.session_expiry(EXPIRY) } else { builder };
    builder.await.expect("connected")
}

async fn retained(server: Server) {
    for protocol in PROTOCOLS {
        let topic = format!("retained/{protocol:?}");
        let publisher = client(&server.url(), "publisher", protocol).await.expect("connected");
        publisher.publish(topic.as_str(), "kept").qos(QoS::AtLeastOnce).retain().await.expect("delivered");
        publisher.disconnect().await.expect("goodbye");

        let subscriber = client(&server.url(), "subscriber", protocol).await.expect("connected");
        let mut messages =
            subscriber.subscribe(topic.as_str()).qos(QoS::AtLeastOnce).await.expect("subscribed");
        let message = next(&mut messages).await;
        assert_eq!((message.payload(), message.retain), (&b"kept"[..], true), "{protocol:?}");
        subscriber.disconnect().await.expect("goodbye");
    }
}

fn will(topic: &str, payload: &'static str) -> Will {
    let topic = TopicName::try_from(topic).expect("a topic name");
    Will { qos: QoS::AtLeastOnce, ..Will::new(topic, payload) }
}

async fn will_after_a_cut(server: Server) {
    for protocol in PROTOCOLS {
        let topic = format!("will/{protocol:?}");
        let watcher = observer(&server.url()).await;
        let mut wills = watcher.subscribe(topic.as_str()).qos(QoS::AtLeastOnce).await.expect("subscribed");
        let mortal =
            client(&server.url(), "mortal", protocol).will(will(&topic, "gone")).await.expect("connected");
        mortal.abort();
        assert_eq!(next(&mut wills).await.payload(), b"gone", "{protocol:?}");

        // An empty will is a will too; after a goodbye there is none `[MQTT-3.1.2-10]`.
        let empty = will(&topic, "");
        let polite = client(&server.url(), "polite", protocol).will(empty.clone()).await.expect("connected");
        polite.disconnect().await.expect("goodbye");
        let mortal = client(&server.url(), "mortal", protocol).will(empty).await.expect("connected");
        mortal.abort();
        assert_eq!(next(&mut wills).await.payload(), b"", "{protocol:?}");
        watcher.publish(topic.as_str(), "last").qos(QoS::AtLeastOnce).await.expect("delivered");
        assert_eq!(next(&mut wills).await.payload(), b"last", "the polite client left no will");
        watcher.disconnect().await.expect("goodbye");
    }
}

async fn session_after_a_death(server: Server) {
    for protocol in PROTOCOLS {
        let topic = format!("session/{protocol:?}");
        let id = format!("sleeper{protocol:?}");
        let sleeper = persistent(&server, &id, protocol).await;
        let subscription = sleeper.subscribe(topic.as_str()).qos(QoS::ExactlyOnce).await.expect("subscribed");
        // It dies: no goodbye, no UNSUBSCRIBE, and its memory is gone.
        subscription.detach();
        sleeper.abort();
        sleeper.closed().await;

        let publisher = observer(&server.url()).await;
        for number in 0..100_u8 {
            publisher.publish(topic.as_str(), vec![number]).qos(QoS::ExactlyOnce).await.expect("delivered");
        }
        publisher.disconnect().await.expect("goodbye");

        let builder = client(&server.url(), &id, protocol).clean_start(CleanStart::Never);
        let builder = if protocol == Protocol::V5 { builder.session_expiry(EXPIRY) } else { builder };
        let awake = builder.start().expect("started");
        let mut events = awake.events();
        let mut messages = awake.unmatched();
        if protocol != Protocol::V3_1 {
            let resumed = loop {
                match timeout(PATIENCE, events.next()).await.expect("connected in time") {
                    Some(Event::Connected(connected)) => break connected.session_present,
                    Some(_) => {}
                    None => panic!("the client ended"),
                }
            };
            assert!(resumed, "{protocol:?}");
        }
        for number in 0..100_u8 {
            assert_eq!(next(&mut messages).await.payload(), [number], "{protocol:?}");
        }
        awake.disconnect().await.expect("goodbye");
    }
}

/// How often the server is killed in each run: MQTT_KILLS, or twice.
fn kills() -> u32 {
    std::env::var("MQTT_KILLS").ok().and_then(|kills| kills.parse().ok()).unwrap_or(2)
}

/// Publishes so many messages and kills the server again and again meanwhile, with the publisher going on all the while;
/// then compares.
async fn kill_the_server(mut server: Server, protocol: Protocol, qos: QoS) {
    const MESSAGES: u32 = 10_000;
    let (planned, stretch) = (kills(), MESSAGES / (kills() + 1));
    let subscriber = persistent(&server, "survivor-in", protocol).await;
    let mut messages = subscriber.subscribe("kill/+").qos(qos).await.expect("subscribed");
    let publisher = persistent(&server, "survivor-out", protocol).await;
    // Acknowledged subscriptions are on disk before anything else happens.
    server.crash().await;

    let (kill, mut kills) = mpsc::channel(2);
    let publishing = tokio::spawn(async move {
        let mut deliveries = Vec::new();
        for number in 0..MESSAGES {
            if number > 0 && number % stretch == 0 && number / stretch <= planned {
                kill.send(()).await.expect("somebody kills");
            }
            let publish = publisher.publish("kill/me", number.to_be_bytes().to_vec()).qos(qos);
            deliveries.push(publish.enqueue().await.expect("accepted"));
        }
        for delivery in deliveries {
            let outcome = delivery.await;
            assert!(matches!(&outcome, Outcome::Acked { reason, .. } if !reason.is_error()), "{outcome:?}");
        }
        publisher
    });

    let mut received = Vec::new();
    let mut killed = 0;
    let mut seen = vec![false; MESSAGES as usize];
    let mut missing = MESSAGES;
    while missing > 0 {
        let message = tokio::select! {
            Some(()) = kills.recv() => {
                server.crash().await;
                killed += 1;
                continue;
            }
            message = timeout(PATIENCE, messages.next()) => message,
        };
        let Ok(Some(message)) = message else {
            let absent: Vec<_> = (0..MESSAGES).filter(|number| !seen[*number as usize]).take(20).collect();
            panic!("{missing} of {MESSAGES} are missing at QoS {qos}: {absent:?} ..")
        };
        let number = u32::from_be_bytes(message.payload().try_into().expect("four bytes"));
        received.push(number);
        missing -= u32::from(!core::mem::replace(&mut seen[number as usize], true));
    }
    assert_eq!(killed, planned, "the server was killed in the middle");
    timeout(PATIENCE, publishing).await.expect("all outcomes in time").expect("the publisher did well");

    if qos == QoS::ExactlyOnce {
        assert_eq!(received.len(), MESSAGES as usize, "each exactly once");
        assert!(received.is_sorted(), "in order");
    } else {
        // Whole stretches may come again, but first arrivals are in order `[MQTT-4.6.0-1]`.
        let mut highest = 0;
        for number in received {
            assert!(number <= highest + 1, "{number} came before {}", highest + 1);
            highest = highest.max(number);
        }
    }
}

macro_rules! on_both_servers {
    ($($name:ident => $test:expr;)*) => {
        mod mosquitto {
            use super::*;
            $(
                #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                async fn $name() {
                    ($test)(Server::mosquitto().await).await;
                }
            )*
        }
        mod testkit {
            use super::*;
            $(
                #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                async fn $name() {
                    ($test)(Server::testkit().await).await;
                }
            )*
        }
    };
}

on_both_servers! {
    a_retained_message_reaches_a_later_subscriber => retained;
    a_will_is_published_after_a_cut_and_only_then => will_after_a_cut;
    a_session_resumes_after_the_client_died => session_after_a_death;
    a_killed_server_loses_no_qos1_message_3_1 => |server| kill_the_server(server, Protocol::V3_1, QoS::AtLeastOnce);
    a_killed_server_loses_no_qos1_message_3_1_1 => |server| kill_the_server(server, Protocol::V3_1_1, QoS::AtLeastOnce);
    a_killed_server_loses_no_qos1_message_5_0 => |server| kill_the_server(server, Protocol::V5, QoS::AtLeastOnce);
    a_killed_server_keeps_qos2_exactly_once_3_1 => |server| kill_the_server(server, Protocol::V3_1, QoS::ExactlyOnce);
    a_killed_server_keeps_qos2_exactly_once_3_1_1 => |server| kill_the_server(server, Protocol::V3_1_1, QoS::ExactlyOnce);
    a_killed_server_keeps_qos2_exactly_once_5_0 => |server| kill_the_server(server, Protocol::V5, QoS::ExactlyOnce);
}
