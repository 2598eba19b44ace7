//! A conversation cut after every one of its bytes, in both directions, at each QoS, in each version: what was accepted
//! arrives, at QoS 2 once. Traps 7, 24, 26, 32.

mod common;

use common::{ALL_QOS, PROTOCOLS, in_memory, number, soon};
use core::time::Duration;
use mqtt_client::{CleanStart, Client, Outcome, Protocol, QoS, ReconnectPolicy};
use mqtt_testkit::broker::{Broker, Connections, Direction};
use std::sync::Arc;
use tokio::time::timeout;

const MESSAGES: u32 = 3;

async fn client(broker: &Arc<Broker>, id: &str, protocol: Protocol) -> Client {
    let at_once = ReconnectPolicy::default().first_delay(Duration::from_millis(1));
    let builder = in_memory(broker).client_id(id).protocol(protocol).clean_start(CleanStart::Never);
    let builder = if protocol == Protocol::V5 {
        builder.session_expiry(Duration::from_secs(3_600)).topic_alias_maximum(5)
    } else {
        builder
    };
    builder.reconnect(at_once).start().expect("the options are right")
}

/// A client that publishes to itself. Panics unless everything comes out as its QoS promises.
async fn converse(broker: &Arc<Broker>, id: &str, protocol: Protocol, qos: QoS) {
    let client = client(broker, id, protocol).await;
    let topic = format!("to/{id}");
    let mut messages = soon(client.subscribe(topic.as_str()).qos(qos)).await.expect("subscribed");
    let mut deliveries = Vec::new();
    for number in 0..MESSAGES {
        let publish = client.publish(topic.as_str(), number.to_be_bytes().to_vec()).qos(qos);
        deliveries.push(soon(publish.enqueue()).await.expect("accepted"));
    }
    let mut unknown = 0;
    for delivery in deliveries {
        match soon(delivery).await {
            Outcome::Acked { reason, .. } => assert!(qos > QoS::AtMostOnce && !reason.is_error(), "{reason}"),
            Outcome::Sent => assert_eq!(qos, QoS::AtMostOnce),
            // A byte of it left, and then the connection broke.
            Outcome::Unknown | Outcome::NotSent if qos == QoS::AtMostOnce => unknown += 1,
            other => panic!("{other:?}"),
        }
    }
    let mut times = [0; MESSAGES as usize];
    while qos > QoS::AtMostOnce && times.contains(&0) {
        let message = soon(messages.next()).await.expect("the stream goes on");
        times[number(&message) as usize] += 1;
    }
    // Whatever else is on its way has come when this has.
    let last = client.publish(topic.as_str(), u32::MAX.to_be_bytes().to_vec()).qos(QoS::AtLeastOnce);
    soon(last).await.expect("accepted");
    loop {
        let message = match timeout(Duration::from_secs(60), messages.next()).await {
            Ok(message) => message.expect("the stream goes on"),
            // Granted at QoS 0, the last one may be lost as well.
            Err(_) => break assert_eq!(qos, QoS::AtMostOnce),
        };
        match number(&message) {
            u32::MAX => break,
            number => times[number as usize] += 1,
        }
    }
    match qos {
        QoS::AtMostOnce => assert!(times.iter().all(|times| *times <= 1), "{times:?}, {unknown} unknown"),
        QoS::AtLeastOnce => assert!(times.iter().all(|times| *times >= 1), "{times:?}"),
        QoS::ExactlyOnce => assert_eq!(times, [1; MESSAGES as usize]),
    }
    soon(client.disconnect()).await.expect("goodbye");
}

/// Cuts after 0, 1, 2 .. bytes, until a conversation is shorter than that.
async fn cut_after_every_byte(direction: Direction) {
    for protocol in PROTOCOLS {
        for qos in ALL_QOS {
            let broker = Broker::builder().topic_alias_maximum(5).without_record().start().await;
            let broker = Arc::new(broker.expect("a broker"));
            let mut cuts = 0;
            for bytes in 0.. {
                let id = format!("c{bytes:05}");
                broker.faults().cut_after(direction, bytes, Connections::Next);
                let before = broker.connections();
                converse(&broker, &id, protocol, qos).await;
                if broker.connections() == before + 1 {
                    break;
                }
                cuts += 1;
            }
            assert!(cuts > 60, "{protocol:?} {qos:?}: only {cuts} cuts");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn what_the_client_says_may_end_anywhere() {
    cut_after_every_byte(Direction::FromClient).await;
}

#[tokio::test(start_paused = true)]
async fn what_the_server_says_may_end_anywhere() {
    cut_after_every_byte(Direction::ToClient).await;
}
