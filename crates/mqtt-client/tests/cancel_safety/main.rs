//! The future of every public async method, dropped at each of its polls: nothing is lost, nothing is doubled, nothing is
//! left behind. Trap 10.

#[path = "../common/mod.rs"]
mod common;
mod harness;
mod reauthenticating;

use common::store::Disk;
use common::{delivered, in_memory, number, soon};
use core::pin::Pin;
use core::task::{Context, Waker};
use core::time::Duration;
use harness::{at_every_poll, at_no_poll, drop_after};
use mqtt_client::{
    Client, Closed, Event, Message, Outcome, PropertiesBuf, PublishBuilder, QoS, ReasonCode, SubscribeBuilder,
};
use mqtt_codec::PacketType;
use mqtt_testkit::broker::{Broker, Direction, Restart};
use std::sync::{Arc, Mutex};
use std::task::Wake;
use tokio::time::sleep;

struct Rig {
    broker: Arc<Broker>,
    client: Client,
}

impl Rig {
    async fn new() -> Self {
        Self::with_room_for(2).await
    }

    async fn with_room_for(messages: usize) -> Self {
        let broker = Arc::new(Broker::start().await.unwrap());
        let client = in_memory(&broker).client_id("rig").queue(messages, 1 << 20).await.unwrap();
        Self { broker, client }
    }

    fn numbered(&self, number: u32, qos: QoS) -> PublishBuilder<'_> {
        self.client.publish("out", number.to_be_bytes().to_vec()).qos(qos)
    }

    fn received(&self) -> Vec<u32> {
        let number = |payload: &[u8]| u32::from_be_bytes(payload[..4].try_into().unwrap());
        self.broker.received().iter().map(|message| number(&message.payload)).collect()
    }

    fn sent(&self, packet: PacketType) -> u64 {
        self.broker.packets(Direction::FromClient, packet)
    }

    fn subscriptions(&self) -> usize {
        self.broker.session("rig").map_or(0, |session| session.subscriptions.len())
    }

    /// Nothing is left of what was asked for, and nothing keeps the client alive.
    async fn end(self) {
        let Self { broker, client } = self;
        assert_eq!(client.drain(Duration::from_secs(60)).await, 0);
        assert_eq!((client.status().queued, client.status().queued_bytes, client.status().open), (0, 0, 0));
        drop(client);
        broker.until("the end of the client", |broker| broker.open_connections() == 0).await;
    }
}

#[tokio::test(start_paused = true)]
async fn connecting() {
    at_every_poll(async |polls| {
        let broker = Arc::new(Broker::start().await.unwrap());
        let connected = drop_after(polls, in_memory(&broker).client_id("rig")).await;
        let done = connected.is_some();
        if let Some(client) = connected {
            Rig { broker, client: client.unwrap() }.end().await;
            return done;
        }
        sleep(Duration::from_secs(1)).await;
        assert_eq!(broker.open_connections(), 0, "{polls}: a client that nobody holds");
        done
    })
    .await;
}

/// With a store too: what was handed over is stored and sent, once, whether anybody waits for that or not.
#[tokio::test(start_paused = true)]
async fn publishing_with_a_store() {
    for qos in common::ALL_QOS {
        for enqueue in [true, false] {
            at_every_poll(async |polls| {
                let broker = Arc::new(Broker::start().await.unwrap());
                let disk = Disk::default();
                let client = in_memory(&broker).client_id("rig").store(disk.store()).await.unwrap();
                let rig = Rig { broker, client };
                let publish = rig.numbered(0, qos);
                let done = if enqueue {
                    drop_after(polls, publish.enqueue()).await.map(drop)
                } else {
                    drop_after(polls, publish).await.map(|outcome| delivered(outcome.unwrap()))
                };
                delivered(rig.numbered(1, QoS::AtLeastOnce).await.unwrap());
                let expected: &[u32] = if polls == 0 { &[1] } else { &[0, 1] };
                assert_eq!(rig.received(), expected, "{qos} {polls}");
                rig.end().await;
                while !disk.messages().is_empty() {
                    sleep(Duration::from_millis(1)).await;
                }
                done.is_some()
            })
            .await;
        }
    }
}

/// Accepted is sent, once; not accepted is not sent.
#[tokio::test(start_paused = true)]
async fn publishing() {
    for qos in common::ALL_QOS {
        at_every_poll(async |polls| {
            let rig = Rig::new().await;
            let outcome = drop_after(polls, rig.numbered(0, qos)).await;
            let done = outcome.is_some();
            outcome.into_iter().for_each(|outcome| delivered(outcome.unwrap()));
            delivered(rig.numbered(1, QoS::AtLeastOnce).await.unwrap());
            let expected: &[u32] = if polls == 0 { &[1] } else { &[0, 1] };
            assert_eq!(rig.received(), expected, "{qos} {polls}: there was room at the first poll");
            rig.end().await;
            done
        })
        .await;
    }
}

#[tokio::test(start_paused = true)]
async fn enqueueing_where_there_is_room() {
    at_no_poll(async |polls| {
        let rig = Rig::new().await;
        let accepted = drop_after(polls, rig.numbered(0, QoS::AtLeastOnce).enqueue()).await;
        let done = accepted.is_some();
        drop(accepted);
        delivered(rig.numbered(1, QoS::AtLeastOnce).await.unwrap());
        assert_eq!(rig.received().len(), 1 + usize::from(done));
        rig.end().await;
        done
    })
    .await;
}

/// Who gives up waiting for room has sent nothing, and takes no room from the next.
#[tokio::test(start_paused = true)]
async fn enqueueing_where_there_is_none() {
    at_every_poll(async |polls| {
        let rig = Rig::with_room_for(1).await;
        rig.broker.kill().await;
        sleep(Duration::from_millis(1)).await;
        drop(rig.numbered(1, QoS::AtLeastOnce).enqueue().await.unwrap());
        let broker = rig.broker.clone();
        let coming_back = tokio::spawn(async move {
            for _ in 0..10 {
                tokio::task::yield_now().await;
            }
            broker.restart(Restart::Keep).await.unwrap();
        });
        let accepted = drop_after(polls, rig.numbered(2, QoS::AtLeastOnce).enqueue()).await;
        coming_back.await.unwrap();
        let done = accepted.is_some();
        drop(accepted);
        for number in 3..6 {
            drop(rig.numbered(number, QoS::AtLeastOnce).enqueue().await.unwrap());
        }
        assert_eq!(rig.client.drain(Duration::from_secs(60)).await, 0);
        let expected: &[u32] = if done { &[1, 2, 3, 4, 5] } else { &[1, 3, 4, 5] };
        assert_eq!(rig.received(), expected, "{polls}");
        rig.end().await;
        done
    })
    .await;
}

/// A request that is given up is asked once or not at all, and stands in no other one's way.
#[tokio::test(start_paused = true)]
async fn requesting() {
    at_every_poll(async |polls| {
        let rig = Rig::new().await;
        let answering = rig.client.clone();
        let asked = Arc::new(Mutex::new(Vec::new()));
        let questions = asked.clone();
        let closure = move |question: Message| {
            let client = answering.clone();
            questions.lock().unwrap().push(question.payload.to_vec());
            async move {
                delivered(client.respond(&question, question.payload.clone()).await.unwrap());
            }
        };
        let handler = rig.client.on_message("ask", closure).qos(QoS::AtLeastOnce).await.unwrap();
        let ask = |question| rig.client.request("ask", question).qos(QoS::AtLeastOnce);
        let answer = drop_after(polls, ask("first")).await;
        let done = answer.is_some();
        if let Some(answer) = answer {
            assert_eq!(answer.unwrap().payload(), b"first");
        }
        assert_eq!(ask("second").await.unwrap().payload(), b"second");
        let asked = asked.lock().unwrap().clone();
        assert!(asked == [b"second".to_vec()] && !done || asked == [b"first".to_vec(), b"second".to_vec()]);
        handler.unsubscribe().await.unwrap();
        assert_eq!(rig.client.drain(Duration::from_secs(60)).await, 0);
        assert_eq!(rig.subscriptions(), 1, "{polls}: that of the answers");
        rig.end().await;
        done
    })
    .await;
}

/// The token is dropped, the message is sent.
#[tokio::test(start_paused = true)]
async fn waiting_for_a_delivery() {
    for qos in common::ALL_QOS {
        at_every_poll(async |polls| {
            let rig = Rig::new().await;
            let token = rig.numbered(0, qos).enqueue().await.unwrap();
            let outcome = drop_after(polls, token).await;
            let done = outcome.is_some();
            outcome.into_iter().for_each(delivered);
            assert_eq!(rig.client.drain(Duration::from_secs(60)).await, 0);
            assert_eq!(rig.received(), [0], "{qos} {polls}");
            rig.end().await;
            done
        })
        .await;
    }
}

/// A subscribe that is given up leaves nothing with the server.
async fn subscribing<'a, R, T, E: core::fmt::Debug>(
    polls: usize,
    rig: &'a Rig,
    form: impl FnOnce(SubscribeBuilder<'a>) -> SubscribeBuilder<'a, R>,
) -> Option<T>
where
    SubscribeBuilder<'a, R>: IntoFuture<Output = Result<T, E>>,
{
    let builder = rig.client.subscribe_all([("a", QoS::AtLeastOnce), ("b/#", QoS::ExactlyOnce)]);
    let subscribed = drop_after(polls, form(builder)).await.map(Result::unwrap);
    assert_eq!(rig.client.drain(Duration::from_secs(60)).await, 0);
    assert_eq!(rig.subscriptions(), if subscribed.is_some() { 2 } else { 0 }, "{polls}");
    subscribed
}

#[tokio::test(start_paused = true)]
async fn subscribing_in_every_form() {
    at_every_poll(async |polls| {
        let rig = Rig::new().await;
        let done = subscribing(polls, &rig, |builder| builder).await.is_some();
        rig.end().await;
        done
    })
    .await;
    at_every_poll(async |polls| {
        let rig = Rig::new().await;
        let done = subscribing(polls, &rig, SubscribeBuilder::manual_ack).await.is_some();
        rig.end().await;
        done
    })
    .await;
    at_every_poll(async |polls| {
        let rig = Rig::new().await;
        let closure = async |_: Message| {};
        let done = subscribing(polls, &rig, |builder| builder.on_message(closure)).await.is_some();
        rig.end().await;
        done
    })
    .await;
}

/// However often a stream is asked in vain, each message comes once, in order, and is acknowledged once.
#[tokio::test(start_paused = true)]
async fn taking_the_next_message() {
    const COUNT: u32 = 20;
    for polls in 1..10 {
        let rig = Rig::new().await;
        let subscribe = || rig.client.subscribe("out").qos(QoS::AtLeastOnce).capacity(3);
        let mut subscription = subscribe().await.unwrap();
        let mut manual = subscribe().manual_ack().await.unwrap();
        let publishing = async {
            for number in 0..COUNT {
                delivered(rig.numbered(number, QoS::AtLeastOnce).await.unwrap());
            }
        };
        let taking = async {
            let (mut plain, mut by_hand) = (Vec::new(), Vec::new());
            while plain.len() + by_hand.len() < 2 * COUNT as usize {
                if let Some(message) = drop_after(polls, subscription.next()).await {
                    plain.push(number(&message.unwrap()));
                }
                if let Some(taken) = drop_after(polls, manual.next()).await {
                    let (message, token) = taken.unwrap();
                    by_hand.push(number(&message));
                    token.ack();
                }
                tokio::task::yield_now().await;
            }
            (plain, by_hand)
        };
        let ((plain, by_hand), ()) = soon(async { tokio::join!(taking, publishing) }).await;
        let all: Vec<u32> = (0..COUNT).collect();
        assert_eq!((plain, by_hand), (all.clone(), all), "{polls}");
        assert_eq!(rig.client.drain(Duration::from_secs(60)).await, 0);
        rig.broker.until("the acknowledgements", |_| rig.sent(PacketType::PubAck) >= u64::from(COUNT)).await;
        drop((subscription, manual));
        assert_eq!(rig.client.drain(Duration::from_secs(60)).await, 0);
        assert_eq!(rig.sent(PacketType::PubAck), u64::from(COUNT));
        rig.end().await;
    }
}

/// The subscription has ended, whether anybody waited for the answer or not.
#[tokio::test(start_paused = true)]
async fn unsubscribing_in_every_form() {
    let forms = ["subscription", "by hand", "handler", "client", "client, with properties"];
    for (form, name) in forms.into_iter().enumerate() {
        at_every_poll(async |polls| {
            let rig = Rig::new().await;
            let subscribe = || rig.client.subscribe("a");
            let ended = match form {
                0 => drop_after(polls, subscribe().await.unwrap().unsubscribe()).await,
                1 => drop_after(polls, subscribe().manual_ack().await.unwrap().unsubscribe()).await,
                2 => {
                    let handler = subscribe().on_message(async |_| {}).await.unwrap();
                    drop_after(polls, handler.unsubscribe()).await
                }
                _ => {
                    let mut subscription = subscribe().await.unwrap();
                    let ended = if form == 3 {
                        drop_after(polls, rig.client.unsubscribe(["a"])).await
                    } else {
                        drop_after(polls, rig.client.unsubscribe_with(["a"], PropertiesBuf::new())).await
                    };
                    if polls == 0 {
                        assert_eq!(rig.client.drain(Duration::from_secs(60)).await, 0);
                        assert_eq!(rig.subscriptions(), 1, "{name}: it was never asked for");
                    } else {
                        assert!(subscription.next().await.is_none(), "{name}");
                    }
                    ended
                }
            };
            let done = ended.is_some();
            ended.into_iter().for_each(|ended| ended.unwrap());
            assert_eq!(rig.client.drain(Duration::from_secs(60)).await, 0);
            assert_eq!((rig.subscriptions(), rig.sent(PacketType::Unsubscribe)), (0, 1), "{name} {polls}");
            rig.end().await;
            done
        })
        .await;
    }
}

/// Once it was begun the client ends, after what was accepted, with one goodbye.
#[tokio::test(start_paused = true)]
async fn disconnecting() {
    for with_reason in [false, true] {
        at_every_poll(async |polls| {
            let rig = Rig::new().await;
            let token = rig.numbered(0, QoS::AtMostOnce).enqueue().await.unwrap();
            let ended = if with_reason {
                let reason = ReasonCode::DISCONNECT_WITH_WILL_MESSAGE;
                drop_after(polls, rig.client.disconnect_with(reason, PropertiesBuf::new())).await
            } else {
                drop_after(polls, rig.client.disconnect()).await
            };
            let done = ended.is_some();
            ended.into_iter().for_each(|ended| ended.unwrap());
            if polls == 0 {
                rig.end().await;
                return done;
            }
            assert!(matches!(rig.client.closed().await, Closed::Disconnected));
            assert_eq!(token.await, Outcome::Sent);
            rig.broker.until("the end", |broker| broker.open_connections() == 0).await;
            assert_eq!((rig.received(), rig.sent(PacketType::Disconnect)), (vec![0], 1), "{polls}");
            done
        })
        .await;
    }
}

/// Those who only look change nothing.
#[tokio::test(start_paused = true)]
async fn draining_and_waiting_for_the_end() {
    at_every_poll(async |polls| {
        let rig = Rig::new().await;
        let token = rig.numbered(0, QoS::ExactlyOnce).enqueue().await.unwrap();
        let left = drop_after(polls, rig.client.drain(Duration::from_secs(60))).await;
        assert!(matches!(left, None | Some(0)));
        delivered(token.await);
        assert_eq!(rig.received(), [0]);
        rig.end().await;
        left.is_some()
    })
    .await;
    at_every_poll(async |polls| {
        let rig = Rig::new().await;
        let other = rig.client.clone();
        let ending = tokio::spawn(async move {
            for _ in 0..5 {
                tokio::task::yield_now().await;
            }
            delivered(other.publish("out", "last").qos(QoS::AtLeastOnce).await.unwrap());
            other.abort();
        });
        let closed = drop_after(polls, rig.client.closed()).await;
        ending.await.unwrap();
        assert!(matches!(rig.client.closed().await, Closed::Aborted));
        assert_eq!(rig.broker.received_count(), 1);
        closed.is_some()
    })
    .await;
}

/// A future that is polled by others' wake-ups, as in `select!`, leaves one waker behind, not one for each poll.
#[tokio::test(start_paused = true)]
async fn polling_often_leaves_one_waker() {
    struct Idle;
    impl Wake for Idle {
        fn wake(self: Arc<Self>) {}
    }
    let rig = Rig::new().await;
    let mut subscription = rig.client.subscribe("a").await.unwrap();
    rig.broker.faults().freeze(true);
    for number in 0..2 {
        drop(rig.numbered(number, QoS::AtLeastOnce).enqueue().await.unwrap());
    }
    let idle = Arc::new(Idle);
    let waker = Waker::from(idle.clone());
    {
        let mut waiting: Vec<Pin<Box<dyn Future<Output = ()>>>> = vec![
            Box::pin(async { _ = rig.client.drain(Duration::from_secs(60)).await }),
            Box::pin(async { _ = rig.client.closed().await }),
            Box::pin(async { _ = rig.client.subscribe("b").await }),
            Box::pin(async { _ = rig.client.unsubscribe(["c"]).await }),
            Box::pin(async { _ = rig.numbered(2, QoS::ExactlyOnce).await }),
            Box::pin(async { _ = subscription.next().await }),
        ];
        for _ in 0..100 {
            for future in &mut waiting {
                assert!(future.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
                // Each poll takes from what a task may do in one turn.
                tokio::task::yield_now().await;
            }
        }
        assert!(Arc::strong_count(&idle) <= 2 * waiting.len() + 2, "{}", Arc::strong_count(&idle));
    }
    drop(subscription);
    rig.broker.faults().freeze(false);
    rig.end().await;
}

/// However often a stream of events is asked in vain, it tells all, in order; and a change of state is not overlooked.
#[tokio::test(start_paused = true)]
async fn events_and_changes() {
    for polls in 1..10 {
        let rig = Rig::new().await;
        let (mut events, mut changes) = (rig.client.events(), rig.client.watch());
        let told = Arc::new(Mutex::new(Vec::new()));
        let telling = async {
            while told.lock().unwrap().len() < 5 {
                if let Some(event) = drop_after(polls, events.next()).await {
                    told.lock().unwrap().push(match event.unwrap() {
                        Event::Connected(_) => "connected",
                        Event::Disconnected { .. } => "disconnected",
                        other => panic!("{other:?}"),
                    });
                }
                sleep(Duration::from_millis(1)).await;
            }
        };
        let cutting = async {
            for connections in 2..4 {
                rig.broker.cut_all();
                let back =
                    |broker: &Broker| broker.connections() == connections && broker.is_connected("rig");
                rig.broker.until("the client is back", back).await;
            }
        };
        let watching = async {
            while rig.broker.connections() < 3 || !rig.broker.is_connected("rig") {
                if let Some(change) = drop_after(polls, changes.changed()).await {
                    change.unwrap();
                }
                sleep(Duration::from_millis(1)).await;
            }
        };
        soon(async { tokio::join!(telling, cutting, watching) }).await;
        let expected = ["connected", "disconnected", "connected", "disconnected", "connected"];
        assert_eq!(*told.lock().unwrap(), expected, "{polls}");
        drop((events, changes));
        rig.end().await;
    }
}
