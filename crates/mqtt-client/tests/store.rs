//! Sessions that outlive the process: what is accepted is stored first, nothing leaves before what it depends on is
//! written, and whatever operation the end comes after, nothing accepted is lost and nothing at QoS 2 comes twice. Traps 7
//! and 29. The same with files, processes and SIGKILL: crate `mqtt-store`.

mod common;

use common::store::Disk;
use common::{PROTOCOLS, Stage, in_memory, next, number, publish_numbers, soon};
use core::time::Duration;
use mqtt_client::{
    Client, ConnectBuilder, Event, Outcome, Overflow, PropertiesBuf, Protocol, PublishError, QoS, ReasonCode,
    ReconnectPolicy, StoreError, StoreKey, StoreOp,
};
use mqtt_codec::Packet;
use mqtt_testkit::broker::{self, Broker, Connections};
use mqtt_testkit::packets::{connack, connack_with_session, puback, pubcomp, publish, pubrec, pubrel};
use std::collections::HashSet;
use std::sync::Arc;
use tokio::time::{sleep, timeout};

async fn broker() -> Arc<Broker> {
    Arc::new(Broker::start().await.unwrap())
}

fn durable(broker: &Arc<Broker>, disk: &Disk) -> ConnectBuilder {
    let policy = ReconnectPolicy::default()
        .first_delay(Duration::from_millis(10))
        .max_delay(Duration::from_millis(10));
    in_memory(broker).client_id("durable").reconnect(policy).store(disk.store())
}

fn payload(number: u32) -> Vec<u8> {
    number.to_be_bytes().to_vec()
}

fn received(broker: &Broker) -> Vec<u32> {
    let number =
        |message: &Arc<broker::Message>| u32::from_be_bytes(message.payload[..4].try_into().unwrap());
    broker.received().iter().map(number).collect()
}

/// What is delivered is gone from the store too, which may take a moment.
async fn forgotten(disk: &Disk) {
    let gone = async {
        while !disk.messages().is_empty() {
            sleep(Duration::from_millis(1)).await;
        }
    };
    soon(gone).await;
}

/// The end of a client that is not asked: what it has not stored is lost.
async fn crash(client: Client, disk: &Disk) -> Disk {
    disk.set_space(Some(0));
    let left = disk.copy();
    client.abort();
    client.closed().await;
    left
}

#[tokio::test]
async fn a_message_is_accepted_once_it_is_stored() {
    let (broker, disk) = (broker().await, Disk::default());
    let client = soon(durable(&broker, &disk)).await.unwrap();
    disk.hold(true);
    let mut accepting = core::pin::pin!(client.publish("a", "x").qos(QoS::AtLeastOnce).enqueue());
    assert!(timeout(Duration::from_millis(50), &mut accepting).await.is_err());
    assert!(broker.received().is_empty(), "it left before it was stored");
    disk.hold(false);
    let delivery = soon(accepting).await.unwrap();
    assert!(matches!(soon(delivery).await, Outcome::Acked { .. }));
    client.disconnect().await.unwrap();
    assert_eq!(disk.messages(), [], "what is delivered is forgotten");
}

/// What was accepted without a connection is sent by the next process, in order, whatever version it speaks.
#[tokio::test]
async fn the_next_process_sends_what_was_accepted() {
    for protocol in PROTOCOLS {
        for qos in [QoS::AtMostOnce, QoS::AtLeastOnce, QoS::ExactlyOnce] {
            let (broker, disk) = (broker().await, Disk::default());
            let (stage, first) = Stage::new();
            let client = first.client_id("durable").store(disk.store()).start().unwrap();
            for number in 0..20 {
                let delivery = client.publish("a", payload(number)).qos(qos).enqueue();
                drop(soon(delivery).await.unwrap());
            }
            client.disconnect().await.unwrap();
            drop(stage);
            assert_eq!(disk.messages().len(), 20);
            let client = soon(durable(&broker, &disk).protocol(protocol)).await.unwrap();
            assert_eq!(client.drain(Duration::from_secs(10)).await, 0);
            client.disconnect().await.unwrap();
            assert_eq!(received(&broker), (0..20).collect::<Vec<_>>(), "{protocol} {qos:?}");
            assert_eq!(disk.messages(), []);
        }
    }
}

/// Kills the client after each number of operations that the store can be asked for, on the way out.
#[tokio::test]
async fn an_end_after_every_operation_loses_nothing_that_was_accepted() {
    for protocol in [Protocol::V5, Protocol::V3_1_1] {
        for qos in [QoS::AtLeastOnce, QoS::ExactlyOnce] {
            let mut space = 0;
            loop {
                let (broker, disk) = (broker().await, Disk::default());
                let client = soon(durable(&broker, &disk).protocol(protocol)).await.unwrap();
                disk.set_space(Some(space));
                let mut accepted = Vec::new();
                let mut delivered = 0;
                for number in 0..6 {
                    let Ok(delivery) = soon(client.publish("a", payload(number)).qos(qos).enqueue()).await
                    else {
                        break;
                    };
                    accepted.push(number);
                    if timeout(Duration::from_millis(20), delivery).await.is_ok() {
                        delivered += 1;
                    }
                }
                let disk = crash(client, &disk).await;
                let client = soon(durable(&broker, &disk).protocol(protocol)).await.unwrap();
                assert_eq!(client.drain(Duration::from_secs(10)).await, 0);
                client.disconnect().await.unwrap();
                let mut arrived = received(&broker);
                if qos == QoS::AtLeastOnce {
                    let mut seen = HashSet::new();
                    arrived.retain(|number| seen.insert(*number));
                }
                assert_eq!(arrived, accepted, "{protocol} {qos:?} after {space} operations");
                if delivered == 6 {
                    break;
                }
                space += 1;
            }
            assert!(space > 12, "{space}");
        }
    }
}

/// The same on the way in: what the application has taken at QoS 2 does not come again.
#[tokio::test]
async fn an_end_after_every_operation_delivers_once() {
    for protocol in [Protocol::V5, Protocol::V3_1_1] {
        let mut space = 0;
        loop {
            let (broker, disk) = (broker().await, Disk::default());
            let client = soon(durable(&broker, &disk).protocol(protocol)).await.unwrap();
            let news = soon(client.subscribe("news").qos(QoS::ExactlyOnce)).await.unwrap();
            news.detach();
            disk.set_space(Some(space));
            let publish = |number| {
                broker.publish(broker::Message {
                    qos: QoS::ExactlyOnce,
                    ..broker::Message::new("news", payload(number))
                });
            };
            (0..4).for_each(publish);
            let mut taken = Vec::new();
            let mut unmatched = client.unmatched();
            while let Ok(Some(message)) = timeout(Duration::from_millis(30), unmatched.next()).await {
                taken.push(number(&message));
            }
            let left = crash(client, &disk).await;
            let before = taken.len();
            let client = soon(durable(&broker, &left).protocol(protocol)).await.unwrap();
            let mut unmatched = client.unmatched();
            while let Ok(Some(message)) = timeout(Duration::from_millis(60), unmatched.next()).await {
                taken.push(number(&message));
            }
            client.disconnect().await.unwrap();
            let all: HashSet<_> = taken.iter().copied().collect();
            assert_eq!(all.len(), 4, "{protocol} after {space} operations: {taken:?}");
            // What was taken, and could not be noted in time, may come again: the application knows nothing else.
            let state = disk.state();
            let noted = state.batches.iter().flat_map(|(ops, _)| ops);
            let noted = noted.filter(|op| matches!(op, StoreOp::Put(StoreKey::Received(_), _))).count();
            assert!(
                taken.len() <= 4 + before.saturating_sub(noted),
                "{protocol} after {space}: {taken:?}, {noted}"
            );
            if space > 12 {
                break;
            }
            space += 1;
        }
    }
}

/// `[MQTT-4.3.3-2]` and around: no PUBREC before the identifier is stored, no PUBREL and no PUBLISH either before theirs.
#[tokio::test]
async fn no_byte_leaves_before_what_it_depends_on_is_stored() {
    let disk = Disk::default();
    let (mut stage, builder) = Stage::new();
    let client = builder.store(disk.store()).start().unwrap();
    let mut server = stage.accept().await;
    server.expect_connect().await;
    server.send(connack()).await;
    let mut all = client.unmatched();
    let delivery = soon(client.publish("a", "x").qos(QoS::ExactlyOnce).enqueue()).await.unwrap();
    server.expect(publish("a", "x").qos2(1)).await;

    let silent = async |server: &mut mqtt_testkit::peer::Peer<tokio::io::DuplexStream>| {
        timeout(Duration::from_millis(50), server.expect_any()).await.expect_err("it was not stored")
    };
    disk.hold(true);
    server.send(pubrec(1)).await;
    silent(&mut server).await;
    disk.hold(false);
    server.expect(pubrel(1)).await;
    server.send(pubcomp(1)).await;
    assert!(matches!(soon(delivery).await, Outcome::Acked { .. }));

    disk.hold(true);
    server.send(publish("in", "y").qos2(7)).await;
    assert_eq!(next(&mut all).await.payload(), b"y");
    silent(&mut server).await;
    disk.hold(false);
    server.expect(pubrec(7)).await;
    client.abort();
}

/// The disk is full: what was accepted stays and is sent once there is space, what comes is refused by name, and the
/// connection lives.
#[tokio::test]
async fn a_full_disk_refuses_and_recovers() {
    let (broker, disk) = (broker().await, Disk::default());
    let client = soon(durable(&broker, &disk)).await.unwrap();
    let mut events = client.events();
    publish_numbers(&client, "a", QoS::AtLeastOnce, 0..3).await;
    forgotten(&disk).await;
    // Room for the message, and for nothing that sending it takes.
    disk.set_space(Some(1));
    let kept = soon(client.publish("a", payload(3)).qos(QoS::AtLeastOnce).enqueue()).await.unwrap();
    let refused = soon(client.publish("a", payload(99)).qos(QoS::AtLeastOnce).enqueue()).await;
    assert!(matches!(refused, Err(PublishError::Store(StoreError::Full))), "{refused:?}");
    let later = client.publish("a", payload(98)).qos(QoS::AtLeastOnce).try_enqueue().unwrap();
    assert_eq!(soon(later).await, Outcome::NotSent);
    assert!(matches!(client.status().store_error, Some(StoreError::Full)));
    assert_eq!(received(&broker), [0, 1, 2]);
    disk.set_space(None);
    assert!(matches!(soon(kept).await, Outcome::Acked { .. }));
    assert!(client.status().store_error.is_none());
    publish_numbers(&client, "a", QoS::AtLeastOnce, 4..5).await;
    assert_eq!(received(&broker), [0, 1, 2, 3, 4]);
    assert_eq!(client.status().connections, 1);
    client.disconnect().await.unwrap();
    let mut told = Vec::new();
    while let Some(event) = soon(events.next()).await {
        told.push(match event {
            Event::StoreFailed(_) => "failed",
            Event::StoreRecovered => "recovered",
            Event::Restored { messages: 0, damaged: 0 } => "restored",
            _ => continue,
        });
    }
    assert_eq!(told, ["restored", "failed", "recovered"]);
}

/// That a message was delivered is written with what comes next, so that one alone costs two batches, not three; and
/// soon, if nothing comes.
#[tokio::test]
async fn what_nothing_depends_on_is_written_with_the_next_batch() {
    let (broker, disk) = (broker().await, Disk::default());
    let client = soon(durable(&broker, &disk)).await.unwrap();
    publish_numbers(&client, "a", QoS::AtLeastOnce, 0..1).await;
    forgotten(&disk).await;
    let before = disk.state().batches.len();
    for number in 1..21 {
        publish_numbers(&client, "a", QoS::AtLeastOnce, number..number + 1).await;
    }
    forgotten(&disk).await;
    let batches = disk.state().batches.len() - before;
    // Some may have had to wait for a busy machine.
    assert!((40..=50).contains(&batches), "{batches} batches for 20 messages");
    client.disconnect().await.unwrap();
}

/// A store that panics takes nobody with it: what comes is refused, what was accepted is where it was.
#[tokio::test]
async fn a_store_that_panics_refuses() {
    let (broker, disk) = (broker().await, Disk::default());
    let client = soon(durable(&broker, &disk)).await.unwrap();
    publish_numbers(&client, "a", QoS::AtLeastOnce, 0..3).await;
    disk.state().breaks = true;
    for _ in 0..3 {
        let refused = soon(client.publish("a", payload(99)).qos(QoS::AtLeastOnce).enqueue()).await;
        assert!(matches!(refused, Err(PublishError::Store(StoreError::Engine(_)))), "{refused:?}");
    }
    assert!(matches!(client.status().store_error, Some(StoreError::Engine(_))));
    soon(client.disconnect()).await.unwrap();
    assert_eq!(received(&broker), [0, 1, 2]);
}

/// What was handed over before the goodbye is stored and sent before it.
#[tokio::test]
async fn a_goodbye_waits_for_the_store() {
    let (broker, disk) = (broker().await, Disk::default());
    let client = soon(durable(&broker, &disk)).await.unwrap();
    disk.hold(true);
    let delivery = client.publish("a", payload(7)).qos(QoS::AtLeastOnce).try_enqueue().unwrap();
    let (ended, ()) = tokio::join!(client.disconnect(), async {
        sleep(Duration::from_millis(50)).await;
        disk.hold(false);
    });
    ended.unwrap();
    assert_eq!(received(&broker), [7]);
    // Its acknowledgement may come in time, or the next process will hear of it.
    assert!(matches!(soon(delivery).await, Outcome::Acked { .. } | Outcome::Stored));
}

/// Most of a long queue is on disk only, and comes back in pages, in order.
#[tokio::test]
async fn a_long_queue_is_on_disk() {
    const MESSAGES: u32 = 10_000;
    let (broker, disk) = (broker().await, Disk::default());
    let (stage, first) = Stage::new();
    let client =
        first.client_id("durable").queue(MESSAGES as usize, 1 << 30).store(disk.store()).start().unwrap();
    let mut deliveries = Vec::new();
    for number in 0..MESSAGES {
        let accepted = client.publish("a", payload(number)).qos(QoS::AtLeastOnce).try_enqueue();
        deliveries.push(accepted.unwrap());
        if number % 100 == 0 {
            tokio::task::yield_now().await;
        }
    }
    while disk.messages().len() < MESSAGES as usize {
        sleep(Duration::from_millis(1)).await;
    }
    assert_eq!(client.status().queued, MESSAGES as usize);
    let full = client.publish("a", "x").try_enqueue();
    assert!(matches!(full, Err(PublishError::QueueFull)), "the bound is for both");
    client.disconnect().await.unwrap();
    for delivery in deliveries {
        assert_eq!(soon(delivery).await, Outcome::Stored);
    }
    drop(stage);
    let client = soon(durable(&broker, &disk)).await.unwrap();
    assert_eq!(client.drain(Duration::from_secs(30)).await, 0);
    client.disconnect().await.unwrap();
    assert_eq!(received(&broker), (0..MESSAGES).collect::<Vec<_>>());
    let largest = disk.state().largest_page;
    assert!((1..=MESSAGES as usize).contains(&largest));
}

/// What waits on disk only is sent while the client lives, with its outcome.
#[tokio::test]
async fn the_outcome_of_what_waited_on_disk_is_told() {
    let (broker, disk) = (broker().await, Disk::default());
    broker.faults().refuse(ReasonCode::SERVER_BUSY, Connections::All);
    let client = durable(&broker, &disk).start().unwrap();
    let mut deliveries = Vec::new();
    for number in 0..3000 {
        deliveries
            .push(soon(client.publish("a", payload(number)).qos(QoS::ExactlyOnce).enqueue()).await.unwrap());
    }
    assert_eq!(disk.state().largest_page, 0);
    broker.faults().clear();
    for delivery in deliveries {
        assert!(matches!(soon(delivery).await, Outcome::Acked { .. }));
    }
    assert!(disk.state().largest_page > 0, "nothing was on disk only");
    assert_eq!(received(&broker), (0..3000).collect::<Vec<_>>());
    client.disconnect().await.unwrap();
}

/// What an earlier process has stored comes before what this one publishes, also where the session is to have all.
#[tokio::test]
async fn what_is_stored_comes_first_whatever_gives_way() {
    for overflow in [Overflow::Refuse, Overflow::DropOldest] {
        let (broker, disk) = (broker().await, Disk::default());
        let (stage, first) = Stage::new();
        let client = first.client_id("durable").store(disk.store()).start().unwrap();
        let large = |number| [payload(number), vec![0; 200_000]].concat();
        for number in 0..4 {
            drop(soon(client.publish("a", large(number)).qos(QoS::AtLeastOnce).enqueue()).await.unwrap());
        }
        client.disconnect().await.unwrap();
        drop(stage);
        let client = durable(&broker, &disk).queue_overflow(overflow).start().unwrap();
        let deliveries =
            [4, 5].map(|number| client.publish("a", payload(number)).qos(QoS::AtLeastOnce).try_enqueue());
        for delivery in deliveries {
            assert!(matches!(soon(delivery.unwrap()).await, Outcome::Acked { .. }));
        }
        assert_eq!(client.status().damaged, 0);
        client.disconnect().await.unwrap();
        assert_eq!(received(&broker), (0..6).collect::<Vec<_>>(), "{overflow:?}");
    }
}

/// Who waits for a message that is found damaged on the disk hears of it.
#[tokio::test]
async fn the_outcome_of_a_damaged_message_is_told() {
    for gone in [false, true] {
        let (broker, disk) = (broker().await, Disk::default());
        broker.faults().refuse(ReasonCode::SERVER_BUSY, Connections::All);
        let client = durable(&broker, &disk).start().unwrap();
        let mut deliveries = Vec::new();
        for number in 0..1500 {
            let publish = client.publish("a", payload(number)).qos(QoS::AtLeastOnce);
            deliveries.push(soon(publish.enqueue()).await.unwrap());
        }
        let last = *disk.messages().last().unwrap();
        match gone {
            true => drop(disk.state().map.remove(&StoreKey::Message(last))),
            false => {
                drop(disk.state().map.insert(StoreKey::Message(last), bytes::Bytes::from_static(b"rubbish")))
            }
        }
        broker.faults().clear();
        let lost = deliveries.pop().unwrap();
        for delivery in deliveries {
            assert!(matches!(soon(delivery).await, Outcome::Acked { .. }));
        }
        assert_eq!(soon(lost).await, Outcome::NotSent);
        assert_eq!(client.status().damaged, 1);
        client.disconnect().await.unwrap();
    }
}

/// Each way to give way, with a store: it forgets what gave way, and the next process sends the rest.
#[tokio::test]
async fn what_gives_way_is_forgotten_by_the_store() {
    for (overflow, left) in
        [(Overflow::DropOldest, [3, 4]), (Overflow::DropNewest, [0, 1]), (Overflow::KeepLatest, [1, 4])]
    {
        let (broker, disk) = (broker().await, Disk::default());
        let (stage, first) = Stage::new();
        let first = first.client_id("durable").queue(2, 1 << 20).queue_overflow(overflow);
        let client = first.store(disk.store()).start().unwrap();
        for (number, topic) in (0..).zip(["a", "b", "a", "a", "a"]) {
            let delivery = soon(client.publish(topic, payload(number)).qos(QoS::AtLeastOnce).enqueue()).await;
            drop(delivery.unwrap());
        }
        client.disconnect().await.unwrap();
        drop(stage);
        let client = soon(durable(&broker, &disk)).await.unwrap();
        assert_eq!(client.drain(Duration::from_secs(10)).await, 0);
        client.disconnect().await.unwrap();
        assert_eq!(received(&broker), left, "{overflow:?}");
    }
}

/// 5.0 is tried first, with everything in the session; the server of 3.1.1 gets it all the same.
#[tokio::test]
async fn falling_back_keeps_what_is_stored() {
    let disk = Disk::default();
    let (mut stage, builder) = Stage::new();
    let client = builder.protocol(Protocol::Auto).store(disk.store()).start().unwrap();
    drop(soon(client.publish("a", "x").qos(QoS::AtLeastOnce).enqueue()).await.unwrap());
    drop(stage.accept().await);
    let mut server = stage.accept().await;
    assert!(!server.expect_connect().await.clean_start, "a session to keep");
    server.send(connack()).await;
    server.expect(publish("a", "x").qos1(1)).await;
    server.send(puback(1)).await;
    assert_eq!(client.drain(Duration::from_secs(10)).await, 0);
    client.abort();
}

/// `[MQTT-3.3.2-6]`: an interval that passes while no process runs has passed.
#[tokio::test]
async fn what_expired_meanwhile_is_not_sent() {
    let (broker, disk) = (broker().await, Disk::default());
    let (stage, first) = Stage::new();
    let client = first.client_id("durable").store(disk.store()).start().unwrap();
    for seconds in [1, 3600] {
        let properties = PropertiesBuf::builder().message_expiry_interval(seconds).build().unwrap();
        let publish = client.publish("a", payload(seconds)).qos(QoS::AtLeastOnce).properties(properties);
        drop(soon(publish.enqueue()).await.unwrap());
    }
    client.disconnect().await.unwrap();
    drop(stage);
    sleep(Duration::from_millis(1100)).await;
    let client = soon(durable(&broker, &disk).protocol(Protocol::V5)).await.unwrap();
    assert_eq!(client.drain(Duration::from_secs(10)).await, 0);
    client.disconnect().await.unwrap();
    assert_eq!(received(&broker), [3600]);
    assert_eq!(disk.messages(), []);
}

/// A store that cannot be opened ends the client before anything else happens, by name.
#[tokio::test]
async fn a_store_that_cannot_be_opened() {
    struct Taken;
    impl mqtt_client::Store for Taken {
        fn load(&mut self, _: &str) -> Result<mqtt_client::Stored, StoreError> {
            Err(StoreError::InUse)
        }
        fn waiting(&mut self, _: u64, _: usize) -> Result<Vec<(u64, bytes::Bytes)>, StoreError> {
            unreachable!()
        }
        fn apply(&mut self, _: &[StoreOp], _: bool) -> Result<(), StoreError> {
            unreachable!()
        }
    }
    let broker = broker().await;
    let failed = soon(in_memory(&broker).client_id("durable").store(Taken)).await;
    assert!(matches!(failed, Err(mqtt_client::ConnectError::Store(StoreError::InUse))), "{failed:?}");
    let client = in_memory(&broker).client_id("durable").store(Taken).start().unwrap();
    assert!(matches!(soon(client.closed()).await, mqtt_client::Closed::Failed(_)));
    let refused = client.publish("a", "x").await;
    assert!(matches!(refused, Err(PublishError::Closed(_))), "{refused:?}");
}

/// Only what a promise rests on has to be safe from a loss of power: at QoS 1 one sync for each batch of messages, and none
/// for their acknowledgements.
#[tokio::test]
async fn acknowledgements_cost_no_sync() {
    let (broker, disk) = (broker().await, Disk::default());
    let client = soon(durable(&broker, &disk)).await.unwrap();
    publish_numbers(&client, "a", QoS::AtLeastOnce, 0..10).await;
    client.disconnect().await.unwrap();
    let state = disk.state();
    for (ops, sync) in &state.batches {
        let accepts = |op: &StoreOp| matches!(op, StoreOp::Put(StoreKey::Message(_) | StoreKey::Begun, _));
        assert_eq!(*sync, ops.iter().any(accepts), "{ops:?}");
    }
    assert!(state.batches.iter().any(|(_, sync)| !sync));
}

/// Whoever has one message after another accepted waits for one batch each: that the one before goes out is in there too.
#[tokio::test]
async fn one_caller_after_another_shares_batches() {
    const MESSAGES: u32 = 100;
    let (broker, disk) = (broker().await, Disk::default());
    let client = soon(durable(&broker, &disk)).await.unwrap();
    let before = disk.state().batches.len();
    for number in 0..MESSAGES {
        drop(soon(client.publish("a", payload(number)).qos(QoS::AtLeastOnce).enqueue()).await.unwrap());
    }
    let batches = disk.state().batches.len() - before;
    assert!((MESSAGES as usize..MESSAGES as usize * 3 / 2).contains(&batches), "{batches}");
    client.disconnect().await.unwrap();
    assert_eq!(received(&broker), (0..MESSAGES).collect::<Vec<_>>());
}

/// Not an end of the session: the next process resumes it.
#[tokio::test]
async fn the_session_is_resumed() {
    let disk = Disk::default();
    for (round, protocol) in [Protocol::V5, Protocol::V5, Protocol::V3_1_1].into_iter().enumerate() {
        let (mut stage, builder) = Stage::new();
        let connecting = builder.protocol(protocol).store(disk.store());
        let serving = async {
            let mut server = stage.accept().await;
            let connect = server.expect_connect().await;
            assert_eq!(connect.clean_start, round == 0);
            if protocol == Protocol::V5 {
                assert_eq!(connect.properties.view().session_expiry_interval(), Some(u32::MAX));
            }
            server.send(if round == 0 { connack() } else { connack_with_session() }).await;
            server
        };
        let (client, mut server) = tokio::join!(connecting.into_future(), serving);
        let client = client.unwrap();
        let ending = async {
            let Packet::Disconnect(disconnect) = server.expect_any().await else { unreachable!() };
            assert_eq!(disconnect.properties.view().session_expiry_interval(), None);
            drop(server);
        };
        let (ended, ()) = tokio::join!(client.disconnect(), ending);
        ended.unwrap();
    }
}
