//! Many messages, and large ones.

use super::*;
use bytes::Bytes;
use mqtt_codec::{Delivery, QoS};
use mqtt_testkit::packets::{puback, pubcomp, publish, pubrec, pubrel, subscribe};

/// A payload that tells its number and its size apart from every other.
fn payload(number: usize, len: usize) -> Bytes {
    let mut payload = vec![number as u8; len];
    let label = number.to_be_bytes();
    let end = label.len().min(len);
    payload[..end].copy_from_slice(&label[..end]);
    payload.into()
}

/// From one client to another over TCP; the publisher sends without waiting, so that both directions are busy at once.
async fn pass(
    version: Version,
    qos: QoS,
    count: usize,
    len: impl Fn(usize) -> usize + Copy + Send + 'static,
) {
    let broker = Broker::start().await.unwrap();
    let mut to = Peer::connect(broker.addr(), version).await;
    to.send(connect("to")).await;
    to.expect_any().await;
    to.send(subscribe(1, [("t", qos)])).await;
    to.expect_any().await;
    let addr = broker.addr();
    let sender = tokio::spawn(async move {
        let mut from = Peer::connect(addr, version).await;
        from.send(connect("from")).await;
        from.expect_any().await;
        for number in 0..count {
            let id = (number % 1000) as u16 + 1;
            let message = publish("t", payload(number, len(number)));
            match qos {
                QoS::AtMostOnce => from.send(message).await,
                QoS::AtLeastOnce => {
                    from.send(message.qos1(id)).await;
                    from.expect(puback(id)).await;
                }
                QoS::ExactlyOnce => {
                    from.send(message.qos2(id)).await;
                    from.expect(pubrec(id)).await;
                    from.send(pubrel(id)).await;
                    from.expect(pubcomp(id)).await;
                }
            }
        }
        from
    });
    let mut number = 0;
    while number < count {
        match to.expect_any().await {
            Packet::Publish(message) => {
                assert!(message.payload() == payload(number, len(number)), "message {number}");
                number += 1;
                match message.delivery() {
                    Delivery::AtMostOnce => {}
                    Delivery::AtLeastOnce { id, .. } => to.send(puback(id.get())).await,
                    Delivery::ExactlyOnce { id, .. } => to.send(pubrec(id.get())).await,
                }
            }
            Packet::PubRel(ack) => to.send(pubcomp(ack.id.get())).await,
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(broker.received_count(), count as u64);
    sender.await.unwrap();
}

#[tokio::test]
async fn ten_thousand_small_messages_of_each_qos_arrive_in_order() {
    for qos in [QoS::AtMostOnce, QoS::AtLeastOnce, QoS::ExactlyOnce] {
        pass(Version::V5, qos, 10_000, |number| number % 100).await;
    }
}

#[tokio::test]
async fn large_messages_arrive_whole() {
    for version in VERSIONS {
        pass(version, QoS::AtLeastOnce, 100, |number| [0, 1, 4095, 4096, 65_536, 262_144][number % 6]).await;
    }
}

/// Nobody reads for a while: nothing is lost, and the broker serves others meanwhile.
#[tokio::test]
async fn a_slow_reader_holds_up_nobody() {
    let broker = Broker::start().await.unwrap();
    let mut slow = v5(&broker, "slow").await;
    slow.send(subscribe(1, [("t", QoS::AtMostOnce)])).await;
    slow.expect_any().await;
    let mut sender = v5(&broker, "sender").await;
    for number in 0..1_000 {
        sender.send(publish("t", payload(number, 10_000)).qos1(1)).await;
        sender.expect(puback(1)).await;
    }
    for number in 0..1_000 {
        slow.expect(publish("t", payload(number, 10_000))).await;
    }
}
