//! {3.1, 3.1.1, 5.0} x {QoS 0, 1, 2} x {publish, subscribe}: 1,000 messages of 0 bytes to 256 KiB arrive complete and in
//! order, on mosquitto and on the testkit's broker.

mod common;

use common::server::{PATIENCE, client, observer};
use common::{ALL_QOS, PROTOCOLS};
use mqtt_client::{Client, Outcome, Protocol, QoS, Subscription};
use mqtt_testkit::server::Server;
use tokio::time::timeout;

const MESSAGES: usize = 1_000;

/// Sizes that come round every fifty messages: some empty, most small, one of 64 KiB and one of 256 KiB.
fn size(number: usize) -> usize {
    match number % 50 {
        0 => 256 * 1024,
        25 => 64 * 1024,
        k if k % 7 == 0 => 0,
        k => k * k * 3,
    }
}

fn payload(number: usize) -> Vec<u8> {
    vec![number as u8; size(number)]
}

async fn publish_all(client: &Client, base: &str, qos: QoS) {
    let mut deliveries = Vec::new();
    for number in 0..MESSAGES {
        let topic = format!("{base}/{number}");
        deliveries.push(client.publish(topic, payload(number)).qos(qos).enqueue().await.expect("accepted"));
    }
    for (number, delivery) in deliveries.into_iter().enumerate() {
        let outcome = delivery.await;
        let delivered = match qos {
            QoS::AtMostOnce => matches!(outcome, Outcome::Sent),
            _ => matches!(&outcome, Outcome::Acked { reason, .. } if !reason.is_error()),
        };
        assert!(delivered, "message {number} at QoS {qos}: {outcome:?}");
    }
}

/// Takes all messages: each complete, in the order of publishing, at the QoS asked for, none twice.
async fn receive_all(mut subscription: Subscription, base: &str, qos: QoS) {
    for number in 0..MESSAGES {
        let message = timeout(PATIENCE, subscription.next())
            .await
            .unwrap_or_else(|_| panic!("message {number} of {base} at QoS {qos} does not come"))
            .expect("the subscription goes on");
        assert_eq!(message.topic(), format!("{base}/{number}"), "at QoS {qos}");
        assert_eq!(message.qos, qos);
        assert!(message.payload() == payload(number), "the payload of message {number} is another");
    }
}

async fn publish_cell(server: &Server, protocol: Protocol, qos: QoS) {
    let base = format!("publish/{protocol:?}/{qos}");
    let observer = observer(&server.url()).await;
    let messages = observer.subscribe(format!("{base}/+")).qos(QoS::ExactlyOnce).await.expect("subscribed");
    let publisher = client(&server.url(), "publisher", protocol).await.expect("connected");
    tokio::join!(publish_all(&publisher, &base, qos), receive_all(messages, &base, qos));
    publisher.disconnect().await.expect("goodbye");
    observer.disconnect().await.expect("goodbye");
}

async fn subscribe_cell(server: &Server, protocol: Protocol, qos: QoS) {
    let base = format!("subscribe/{protocol:?}/{qos}");
    let subscriber = client(&server.url(), "subscriber", protocol).await.expect("connected");
    let messages = subscriber.subscribe(format!("{base}/+")).qos(qos).await.expect("subscribed");
    assert_eq!(messages.granted_qos(), Some(qos));
    let publisher = observer(&server.url()).await;
    tokio::join!(publish_all(&publisher, &base, QoS::ExactlyOnce), receive_all(messages, &base, qos));
    subscriber.disconnect().await.expect("goodbye");
    publisher.disconnect().await.expect("goodbye");
}

async fn matrix(server: Server) {
    for protocol in PROTOCOLS {
        for qos in ALL_QOS {
            publish_cell(&server, protocol, qos).await;
            subscribe_cell(&server, protocol, qos).await;
        }
    }
}

#[tokio::test]
async fn every_version_and_qos_both_ways_on_mosquitto() {
    matrix(Server::mosquitto().await).await;
}

#[tokio::test]
async fn every_version_and_qos_both_ways_on_the_testkit_broker() {
    matrix(Server::testkit().await).await;
}
