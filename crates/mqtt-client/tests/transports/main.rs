//! Every transport that a URL can name, on mosquitto and on the testkit's broker behind servers of tokio-rustls,
//! tungstenite and quinn: versions and qualities of service, reconnects, failures of TLS.
#![cfg(all(unix, feature = "ring", feature = "ws", feature = "quic"))]

#[path = "../common/mod.rs"]
mod common;

mod certificates;
mod failures;
mod gates;
mod interop;
mod quickstart;
mod stand;

use common::server::PATIENCE;
use common::{ALL_QOS, PROTOCOLS, delivered};
use core::time::Duration;
use mqtt_client::{Client, Protocol, QoS, State, Subscription};
use stand::{Kind, Stand};
use tokio::time::timeout;

const TAIL: usize = 10 * 1024 * 1024;

/// Messages of one combination.
fn messages(limit: usize) -> usize {
    if limit < 64 * 1024 { 6 } else { 24 }
}

fn payload(number: usize, limit: usize) -> Vec<u8> {
    let size = match number % 12 {
        0 => limit,
        5 => limit / 4,
        k if k % 4 == 0 => 0,
        k => (k * k * 31).min(limit),
    };
    (0..size).map(|at| (at * 31 + number) as u8).collect()
}

async fn publish_all(client: &Client, base: &str, qos: QoS, limit: usize) {
    let mut deliveries = Vec::new();
    for number in 0..messages(limit) {
        let publish = client.publish(format!("{base}/{number}"), payload(number, limit)).qos(qos);
        deliveries.push(publish.enqueue().await.expect("accepted"));
    }
    for delivery in deliveries {
        delivered(timeout(PATIENCE, delivery).await.expect("the delivery takes too long"));
    }
}

async fn receive_all(mut subscription: Subscription, base: &str, qos: QoS, limit: usize) {
    for number in 0..messages(limit) {
        let message = timeout(PATIENCE, subscription.next())
            .await
            .unwrap_or_else(|_| panic!("message {number} of {base} does not come"))
            .expect("the subscription goes on");
        assert_eq!(message.topic(), format!("{base}/{number}"));
        assert_eq!(message.qos, qos);
        assert!(message.payload() == payload(number, limit), "the payload of {number} of {base} is another");
    }
}

/// {3.1, 3.1.1, 5.0} x {QoS 0, 1, 2} x {publish, subscribe}: complete and in order.
async fn matrix(stand: Stand) {
    let limit = stand.kind.limit(&stand.server);
    let observer = stand.observer().await.expect("the observer connects");
    for protocol in PROTOCOLS {
        let client =
            stand.client("visitor", protocol).await.unwrap_or_else(|e| panic!("{:?}: {e}", stand.kind));
        for qos in ALL_QOS {
            let base = format!("out/{protocol:?}/{qos}");
            let heard = observer.subscribe(format!("{base}/+")).qos(QoS::ExactlyOnce).await.unwrap();
            tokio::join!(publish_all(&client, &base, qos, limit), receive_all(heard, &base, qos, limit));

            let base = format!("in/{protocol:?}/{qos}");
            let heard = client.subscribe(format!("{base}/+")).qos(qos).await.unwrap();
            tokio::join!(
                publish_all(&observer, &base, QoS::ExactlyOnce, limit),
                receive_all(heard, &base, qos, limit)
            );
        }
        client.disconnect().await.expect("goodbye");
    }
    observer.disconnect().await.expect("goodbye");
}

/// A message goes out at QoS 1 and comes back at QoS 1.
async fn round_trip(client: &Client, heard: &mut Subscription, text: &'static str) {
    let sent = client.publish("round/trip", text).qos(QoS::AtLeastOnce);
    timeout(PATIENCE, sent).await.expect("no acknowledgement").expect("delivered");
    loop {
        let message = timeout(PATIENCE, heard.next()).await.expect("it does not come back").unwrap();
        // At QoS 1 one from before the cut may come again.
        if message.payload() == text.as_bytes() {
            return;
        }
    }
}

/// A cut, a restart of the server, and a restart with another authority and other certificates: the same client, the same
/// subscription, and what was published meanwhile arrives.
async fn comes_back(mut stand: Stand) {
    for protocol in PROTOCOLS {
        let client = stand.client("returner", protocol).await.expect("connected");
        let mut heard = client.subscribe("round/trip").qos(QoS::AtLeastOnce).await.expect("subscribed");
        round_trip(&client, &mut heard, "before").await;
        stand.cut().await;
        round_trip(&client, &mut heard, "after a cut").await;
        stand.restart().await;
        round_trip(&client, &mut heard, "after a restart").await;
        stand.certificates.rotate();
        stand.restart().await;
        round_trip(&client, &mut heard, "after a rotation").await;
        client.disconnect().await.expect("goodbye");
    }
}

/// Trap 14: nothing stays in a buffer of the transport. With a keep alive of an hour no other packet pushes the tail.
async fn tail(stand: Stand) {
    let slow = stand.kind.limit(&stand.server) < 64 * 1024;
    let (out, back) = if slow { (16 * 1024, 256 * 1024) } else { (TAIL, TAIL) };
    let observer = stand.observer().keep_alive(Duration::from_secs(3600)).await.unwrap();
    let client = stand.client("tail", Protocol::V5).keep_alive(Duration::from_secs(3600)).await.unwrap();
    for (from, to, size) in [(&client, &observer, out), (&observer, &client, back)] {
        let mut heard = to.subscribe("tail").await.unwrap();
        from.publish("tail", vec![7; size]).await.unwrap();
        let message = timeout(PATIENCE, heard.next())
            .await
            .unwrap_or_else(|_| panic!("the tail of {size} bytes does not come"));
        let message = message.unwrap();
        assert!(message.payload().len() == size && message.payload().iter().all(|byte| *byte == 7));
    }
    assert_eq!(client.status().state, State::Connected);
}

macro_rules! on {
    ($($name:ident: $server:ident, $kind:ident;)*) => {$(
        mod $name {
            use super::*;

            #[tokio::test]
            async fn every_version_and_qos_both_ways() {
                matrix(Stand::$server(Kind::$kind).await).await;
            }

            #[tokio::test]
            async fn the_client_comes_back() {
                comes_back(Stand::$server(Kind::$kind).await).await;
            }

            #[tokio::test]
            async fn the_tail_arrives_at_once() {
                tail(Stand::$server(Kind::$kind).await).await;
            }
        }
    )*};
}

on! {
    tls_on_mosquitto: mosquitto, Tls;
    client_certificate_on_mosquitto: mosquitto, Device;
    password_over_tls_on_mosquitto: mosquitto, Password;
    websocket_on_mosquitto: mosquitto, WebSocket;
    secure_websocket_on_mosquitto: mosquitto, SecureWebSocket;
    unix_on_mosquitto: mosquitto, Unix;
    tls_on_testkit: testkit, Tls;
    client_certificate_on_testkit: testkit, Device;
    password_over_tls_on_testkit: testkit, Password;
    websocket_on_testkit: testkit, WebSocket;
    secure_websocket_on_testkit: testkit, SecureWebSocket;
    unix_on_testkit: testkit, Unix;
    quic_on_testkit: testkit, Quic;
}
