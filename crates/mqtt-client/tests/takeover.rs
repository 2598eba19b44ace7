//! Two clients of one identifier, trap 16: a 5.0 server says that the other has come, a 3.x server does not, and the
//! client has to see it by the pattern.

mod common;

use common::{Stage, delivered, in_memory, soon};
use core::time::Duration;
use mqtt_client::{
    Client, Closed, ConnectBuilder, ConnectError, Event, Protocol, QoS, ReasonCode, ReconnectPolicy, State,
    connect,
};
use mqtt_codec::Packet;
use mqtt_testkit::broker::{Broker, Restart};
use mqtt_testkit::mosquitto::Mosquitto;
use mqtt_testkit::packets::{connack, suback};
use std::sync::Arc;
use tokio::time::sleep;

/// Two clients of one name that live on a server, until one of them has ended: which, and why.
async fn one_of_two(options: impl Fn() -> ConnectBuilder) -> (Client, Closed) {
    let start = || async {
        let client = options().client_id("twin").start().unwrap();
        client.subscribe("a").await.unwrap().detach();
        client
    };
    let (one, other) = (start().await, start().await);
    let (closed, stays) = tokio::select! {
        closed = one.closed() => (closed, other.clone()),
        closed = other.closed() => (closed, one.clone()),
    };
    (stays, closed)
}

/// And nobody disturbs the one that stays.
async fn undisturbed(client: &Client, time: Duration) {
    delivered(soon(client.publish("a", "x").qos(QoS::AtLeastOnce)).await.unwrap());
    let mut events = client.events();
    while let Ok(Some(_)) = tokio::time::timeout(Duration::ZERO, events.next()).await {}
    sleep(time).await;
    assert_eq!(client.status().state, State::Connected);
    assert!(tokio::time::timeout(Duration::ZERO, events.next()).await.is_err());
}

/// [MQTT-3.1.4-2/3.1.1]: minutes of virtual time.
#[tokio::test(start_paused = true)]
async fn of_two_clients_of_one_name_one_stays() {
    for protocol in [Protocol::V3_1, Protocol::V3_1_1] {
        let broker = Arc::new(Broker::start().await.unwrap());
        let began = common::now();
        let (stays, closed) = one_of_two(|| in_memory(&broker).protocol(protocol)).await;
        let Closed::Failed(error @ ConnectError::AssumedTakeover { connections: 8 }) = closed else {
            panic!("{closed:?}")
        };
        assert!(
            error.to_string().contains("another client seems to use the same client identifier"),
            "{error}"
        );
        assert!(!error.is_retryable());
        assert!(began.elapsed() < Duration::from_secs(600), "{:?}", began.elapsed());
        undisturbed(&stays, Duration::from_secs(3600)).await;
    }
}

/// [MQTT-3.1.4-3]: in 5.0 it needs no guess.
#[tokio::test(start_paused = true)]
async fn a_5_0_server_says_it() {
    let broker = Arc::new(Broker::start().await.unwrap());
    let (stays, closed) = one_of_two(|| in_memory(&broker).protocol(Protocol::V5)).await;
    let Closed::Failed(error) = closed else { panic!("{closed:?}") };
    assert_eq!(error.reason(), Some(ReasonCode::SESSION_TAKEN_OVER));
    assert_eq!(broker.connections(), 2);
    undisturbed(&stays, Duration::from_secs(3600)).await;
}

/// The same with mosquitto, in real time, so with short waits.
#[tokio::test]
async fn of_two_clients_of_one_name_one_stays_on_mosquitto() {
    let broker = Mosquitto::builder().start();
    for protocol in [Protocol::V3_1, Protocol::V3_1_1] {
        let policy = ReconnectPolicy::default()
            .first_delay(Duration::from_millis(100))
            .max_delay(Duration::from_millis(100));
        let (stays, closed) =
            soon(one_of_two(|| connect(&broker.url()).protocol(protocol).reconnect(policy.clone()))).await;
        assert!(matches!(closed, Closed::Failed(ConnectError::AssumedTakeover { .. })), "{closed:?}");
        undisturbed(&stays, Duration::from_millis(300)).await;
        stays.disconnect().await.unwrap();
    }
}

/// A server of 3.1.1 that accepts, answers the SUBSCRIBE if it is to, and closes after so long. How often, until the
/// client ends; `None` if it does not.
async fn closing(heard: bool, after: Duration, policy: ReconnectPolicy) -> Option<u32> {
    let (mut stage, builder) = Stage::new();
    let client = builder.protocol(Protocol::V3_1_1).reconnect(policy).start().unwrap();
    let mut events = client.events();
    let subscriber = client.clone();
    let subscribing = tokio::spawn(async move {
        if heard {
            subscriber.subscribe("a").await.unwrap().detach();
        }
    });
    let serving = async {
        for _ in 0..20 {
            let mut server = stage.accept().await.with_patience(Duration::from_secs(120));
            server.expect_connect().await;
            server.send(connack()).await;
            if heard {
                let Packet::Subscribe(subscribe) = server.expect_any().await else { panic!() };
                server.send(suback(subscribe.id().get(), &[ReasonCode::GRANTED_QOS_0])).await;
            }
            sleep(after).await;
        }
    };
    let ending = async {
        loop {
            if let Some(Event::Disconnected { retry_in: None, cause }) = events.next().await {
                break cause;
            }
        }
    };
    let end = tokio::select! {
        biased;
        cause = ending => match cause {
            ConnectError::AssumedTakeover { connections } => Some(connections),
            cause => panic!("{cause:?}"),
        },
        () = serving => None,
    };
    subscribing.abort();
    end
}

#[tokio::test(start_paused = true)]
async fn the_pattern_is_seen_and_nothing_else() {
    let policy = ReconnectPolicy::default;
    let (short, long) = (Duration::from_millis(50), Duration::from_secs(11));
    assert_eq!(closing(true, short, policy()).await, Some(8));
    assert_eq!(closing(false, Duration::from_secs(1), policy()).await, Some(8));
    // Thrown out at once, or after the connection was stable.
    assert_eq!(closing(false, short, policy()).await, None);
    assert_eq!(closing(true, long, policy()).await, None);
    assert_eq!(closing(true, short, policy().assume_takeover(false)).await, None);
}

/// A server that has a bad day: twenty restarts, seconds apart, all of them seen as what they are.
#[tokio::test(start_paused = true)]
async fn restarts_are_no_takeover() {
    let broker = Arc::new(Broker::start().await.unwrap());
    let policy = ReconnectPolicy::default()
        .first_delay(Duration::from_millis(10))
        .max_delay(Duration::from_millis(10));
    let client =
        in_memory(&broker).client_id("c").protocol(Protocol::V3_1_1).reconnect(policy).await.unwrap();
    client.subscribe("a").await.unwrap().detach();
    for _ in 0..20 {
        broker.kill().await;
        sleep(Duration::from_secs(1)).await;
        broker.restart(Restart::Keep).await.unwrap();
        broker.until("the client is back", |broker| broker.is_connected("c")).await;
        sleep(Duration::from_secs(3)).await;
    }
    delivered(soon(client.publish("a", "x").qos(QoS::AtLeastOnce)).await.unwrap());
}
