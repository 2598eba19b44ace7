//! Closures that handle messages.

mod common;

use common::{delivered, granted, in_memory, soon};
use core::sync::atomic::{AtomicU32, Ordering};
use core::time::Duration;
use mqtt_client::transport::memory;
use mqtt_client::{Client, Message, Protocol, QoS, QueuePolicy, ReasonCode, SubscribeError, connect};
use mqtt_codec::{Delivery, Packet, PacketType};
use mqtt_testkit::broker::{Broker, Direction};
use mqtt_testkit::packets::{connack, puback, pubcomp, publish, pubrec};
use mqtt_testkit::peer::Peer;
use std::sync::{Arc, Mutex};
use tokio::sync::Semaphore;

async fn broker() -> Arc<Broker> {
    Arc::new(Broker::start().await.unwrap())
}

/// What a closure was given, in order.
#[derive(Clone, Default)]
struct Seen(Arc<Mutex<Vec<u32>>>);

impl Seen {
    fn note(&self, message: &Message) {
        self.0.lock().unwrap().push(common::number(message));
    }

    fn numbers(&self) -> Vec<u32> {
        self.0.lock().unwrap().clone()
    }

    async fn until(&self, count: usize) {
        soon(async {
            while self.numbers().len() < count {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        })
        .await;
    }
}

async fn send(client: &Client, topic: &str, numbers: core::ops::Range<u32>) {
    for number in numbers {
        delivered(client.publish(topic, number.to_be_bytes().to_vec()).qos(QoS::AtLeastOnce).await.unwrap());
    }
}

fn unsubscribes(broker: &Broker) -> u64 {
    broker.packets(Direction::FromClient, PacketType::Unsubscribe)
}

#[tokio::test(start_paused = true)]
async fn one_after_the_other_until_it_is_dropped() {
    let broker = broker().await;
    let client = in_memory(&broker).client_id("handler").await.unwrap();
    let seen = Seen::default();
    let (notes, busy) = (seen.clone(), Arc::new(Semaphore::new(1)));
    let closure = move |message: Message| {
        let (notes, busy) = (notes.clone(), busy.clone());
        async move {
            let _one = busy.try_acquire().expect("one at a time");
            tokio::time::sleep(Duration::from_millis(10)).await;
            notes.note(&message);
        }
    };
    let handler = client.on_message("a", closure).qos(QoS::AtLeastOnce).capacity(2).await.unwrap();
    assert_eq!((handler.granted_qos(), handler.results().len()), (Some(QoS::AtLeastOnce), 1));
    send(&client, "a", 0..20).await;
    seen.until(20).await;
    assert_eq!((seen.numbers(), handler.dropped()), ((0..20).collect(), 0));
    assert!(!handler.is_finished());
    drop(handler);
    broker
        .until("the unsubscribe", |broker| broker.session("handler").unwrap().subscriptions.is_empty())
        .await;
    send(&client, "a", 20..21).await;
    assert_eq!(seen.numbers().len(), 20);
}

/// The options are those of subscribe, for several filters too.
#[tokio::test(start_paused = true)]
async fn with_the_options_of_subscribe() {
    let broker = broker().await;
    let client = in_memory(&broker).await.unwrap();
    let refused =
        client.on_message("a", |_| async {}).immediate_ack().when_full(QueuePolicy::KeepLatest).await;
    assert!(matches!(refused, Err(SubscribeError::WouldDropAcknowledged(_))), "{refused:?}");
    let seen = Seen::default();
    let notes = seen.clone();
    let subscribe = client.subscribe_all([("a", QoS::AtLeastOnce), ("b", QoS::AtMostOnce)]);
    let handler = subscribe.on_message(move |message| {
        notes.note(&message);
        core::future::ready(())
    });
    let handler = handler.await.unwrap();
    assert_eq!(handler.results().len(), 2);
    send(&client, "a", 0..1).await;
    send(&client, "b", 1..2).await;
    seen.until(2).await;
}

/// Unsubscribing lets the message that is being handled be handled to its end.
#[tokio::test(start_paused = true)]
async fn unsubscribing_cuts_nothing_short() {
    let broker = broker().await;
    let client = in_memory(&broker).await.unwrap();
    let seen = Seen::default();
    let notes = seen.clone();
    let closure = move |message: Message| {
        let notes = notes.clone();
        async move {
            tokio::time::sleep(Duration::from_secs(3)).await;
            notes.note(&message);
        }
    };
    let handler = client.on_message("a", closure).await.unwrap();
    send(&client, "a", 0..2).await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    soon(handler.unsubscribe()).await.unwrap();
    assert_eq!(seen.numbers(), []);
    tokio::time::sleep(Duration::from_secs(9)).await;
    assert_eq!(seen.numbers(), [0], "the second was left in the queue, and let go");
}

/// A panic ends the handler and its subscription; the client and the other handlers go on.
#[tokio::test(start_paused = true)]
async fn a_panic_ends_its_handler_only() {
    for detached in [false, true] {
        let broker = broker().await;
        let client = in_memory(&broker).await.unwrap();
        let seen = Seen::default();
        let notes = seen.clone();
        let well = client.on_message("a", move |message| {
            notes.note(&message);
            core::future::ready(())
        });
        let well = well.qos(QoS::AtLeastOnce).await.unwrap();
        let closure = async |message: Message| assert!(common::number(&message) < 2, "a closure that panics");
        let ill = client.on_message("+", closure).qos(QoS::AtLeastOnce).capacity(1).await.unwrap();
        let mut ill = Some(ill);
        if detached {
            ill.take().unwrap().detach();
        }
        send(&client, "a", 0..100).await;
        seen.until(100).await;
        assert_eq!(seen.numbers(), (0..100).collect::<Vec<_>>());
        broker.until("the unsubscribe", |broker| unsubscribes(broker) == 1).await;
        assert!(!well.is_finished());
        if let Some(ill) = ill {
            assert!(ill.is_finished());
            soon(ill.unsubscribe()).await.unwrap();
            assert_eq!(unsubscribes(&broker), 1, "once is enough");
        }
    }
}

/// A handler is a handle of the client, unless it is detached.
#[tokio::test(start_paused = true)]
async fn a_detached_handler_goes_on_until_the_client_ends() {
    let broker = broker().await;
    let client = in_memory(&broker).client_id("detached").await.unwrap();
    let calls = Arc::new(AtomicU32::new(0));
    let counted = calls.clone();
    let closure = move |_| {
        counted.fetch_add(1, Ordering::Relaxed);
        core::future::ready(())
    };
    client.on_message("a", closure).await.unwrap().detach();
    send(&client, "a", 0..3).await;
    assert_eq!(client.drain(Duration::from_secs(1)).await, 0);
    broker.until("the calls", |_| calls.load(Ordering::Relaxed) == 3).await;
    assert_eq!(unsubscribes(&broker), 0);
    drop(client);
    broker.until("the end", |broker| broker.open_connections() == 0).await;
    while Arc::strong_count(&calls) > 1 {
        tokio::task::yield_now().await;
    }
}

/// Trap 1 to the end: all queues hold one message, the server writes until it is read and reads only then, and the
/// handler waits for each of its publishes, whatever their QoS. Nothing is lost and nothing hangs.
#[tokio::test(start_paused = true)]
async fn publishing_from_a_handler_never_deadlocks() {
    for qos in common::ALL_QOS {
        let (connector, mut listener) = memory::listen(128);
        let builder = connect("mqtt://stage").client_id("actor").connector(connector).protocol(Protocol::V5);
        let client = builder.queue(1, 1 << 20).start().unwrap();
        let mut server = Peer::server(listener.accept().await.unwrap());
        server.expect_connect().await;
        server.send(connack()).await;
        let publisher = client.clone();
        let closure = move |message: Message| {
            let client = publisher.clone();
            async move {
                // Larger than the pipe: it leaves only while the server reads.
                let mut payload = message.payload.to_vec();
                payload.resize(1000, 0);
                if qos == QoS::AtMostOnce {
                    delivered(client.publish("out", payload).await.unwrap());
                } else {
                    drop(client.publish("out", payload).qos(qos).enqueue().await.unwrap());
                }
            }
        };
        let subscribe = client.on_message("in", closure).qos(QoS::AtLeastOnce).capacity(1);
        let handler = granted(&mut server, &[ReasonCode::GRANTED_QOS_1], subscribe).await;
        const COUNT: u16 = 50;
        soon(async {
            for number in 1..=COUNT {
                server.send(publish("in", u32::from(number).to_be_bytes().to_vec()).qos1(number)).await;
            }
        })
        .await;
        let (mut published, mut acked) = (Vec::new(), 0);
        while published.len() < usize::from(COUNT) || acked < COUNT {
            match server.expect_any().await {
                Packet::Publish(out) => {
                    published.push(u32::from_be_bytes(out.payload()[..4].try_into().unwrap()));
                    match out.delivery() {
                        Delivery::AtLeastOnce { id, .. } => server.send(puback(id.get())).await,
                        Delivery::ExactlyOnce { id, .. } => server.send(pubrec(id.get())).await,
                        _ => {}
                    }
                }
                Packet::PubRel(ack) => server.send(pubcomp(ack.id.get())).await,
                Packet::PubAck(_) => acked += 1,
                other => panic!("{other:?}"),
            }
        }
        assert_eq!(published, (1..=u32::from(COUNT)).collect::<Vec<_>>(), "{qos}");
        assert_eq!(handler.dropped(), 0);
    }
}
