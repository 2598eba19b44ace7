//! `Protocol::Auto`: 5.0, then 3.1.1, then 3.1, and what was found is kept.

mod common;

use common::{delivered, in_memory, next, soon};
use core::time::Duration;
use mqtt_client::{ConnectError, OptionFault, PropertiesBuf, Protocol, QoS, ReasonCode, Version, connect};
use mqtt_testkit::broker::{Broker, Connections, Restart};
use mqtt_testkit::packets::connack;
use mqtt_testkit::peer::PeerListener;
use std::sync::Arc;

async fn broker_of(versions: &[Version]) -> Arc<Broker> {
    Arc::new(Broker::builder().versions(versions).start().await.unwrap())
}

#[tokio::test(start_paused = true)]
async fn it_speaks_what_the_server_speaks() {
    let cases: [(&[Version], Version, u64); 4] = [
        (&[Version::V3_1, Version::V3_1_1, Version::V5], Version::V5, 1),
        (&[Version::V3_1, Version::V3_1_1], Version::V3_1_1, 2),
        (&[Version::V3_1], Version::V3_1, 3),
        (&[Version::V3_1, Version::V5], Version::V5, 1),
    ];
    for (versions, spoken, attempts) in cases {
        let broker = broker_of(versions).await;
        let client = in_memory(&broker).await.unwrap();
        assert_eq!(client.status().negotiated.unwrap().version, spoken);
        assert_eq!(broker.connections(), attempts);
        let mut subscription = client.subscribe("a").qos(QoS::ExactlyOnce).await.unwrap();
        delivered(client.publish("a", "x").qos(QoS::ExactlyOnce).await.unwrap());
        next(&mut subscription).await;
    }
}

#[tokio::test(start_paused = true)]
async fn what_was_found_is_kept() {
    let broker = broker_of(&[Version::V3_1_1]).await;
    let _client = in_memory(&broker).client_id("kept").await.unwrap();
    assert_eq!(broker.connections(), 2);
    for round in 1..=3 {
        broker.restart(Restart::Keep).await.unwrap();
        broker.until("the client is back", |broker| broker.is_connected("kept")).await;
        assert_eq!(broker.connections(), 2 + round, "one attempt each time");
    }
}

/// What was asked for before the version is known waits until it is.
#[tokio::test(start_paused = true)]
async fn a_started_client_finds_the_version_too() {
    let broker = broker_of(&[Version::V3_1]).await;
    let client = in_memory(&broker).start().unwrap();
    let token = client.publish("a", "x").qos(QoS::ExactlyOnce).enqueue().await.unwrap();
    let mut subscription = soon(client.subscribe("b")).await.unwrap();
    delivered(soon(token).await);
    delivered(client.publish("b", "y").await.unwrap());
    assert_eq!(next(&mut subscription).await.payload(), b"y");
    // A property that only 5.0 has is refused as soon as that is known, and by outcome before.
    let early = in_memory(&broker).start().unwrap();
    let property = PropertiesBuf::builder().content_type("x").build().unwrap();
    let token = early.publish("a", "x").properties(property).enqueue().await.unwrap();
    let outcome = soon(token).await;
    assert!(matches!(outcome, mqtt_client::Outcome::Refused(_)), "{outcome:?}");
}

/// Old servers hang up instead of answering a version that they do not know.
#[tokio::test]
async fn a_server_that_only_hangs_up_is_asked_in_an_older_version() {
    let listener = PeerListener::bind().await.unwrap();
    let client = tokio::spawn(connect(&listener.url()).client_id("asks").into_future());
    for _ in 0..2 {
        let mut server = listener.accept().await;
        server.expect_connect().await;
    }
    let mut server = listener.accept().await;
    server.expect_connect().await;
    assert_eq!(server.version(), Version::V3_1);
    server.send(connack()).await;
    let client = soon(client).await.unwrap().unwrap();
    assert_eq!(client.status().negotiated.unwrap().version, Version::V3_1);
}

/// Any other refusal is an answer.
#[tokio::test(start_paused = true)]
async fn a_refusal_for_another_reason_is_final() {
    let broker = broker_of(&[Version::V3_1, Version::V3_1_1, Version::V5]).await;
    broker.faults().refuse(ReasonCode::NOT_AUTHORIZED, Connections::All);
    let error = in_memory(&broker).await.unwrap_err();
    assert_eq!(error.reason(), Some(ReasonCode::NOT_AUTHORIZED));
    assert_eq!(broker.connections(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_server_of_no_version_is_an_error() {
    let broker = broker_of(&[]).await;
    let error = in_memory(&broker).await.unwrap_err();
    assert_eq!(error.reason(), Some(ReasonCode::UNSUPPORTED_PROTOCOL_VERSION), "{error}");
    assert_eq!(broker.connections(), 3);
}

/// An option of 5.0 is not dropped silently.
#[tokio::test(start_paused = true)]
async fn an_option_of_5_does_not_fall_back() {
    let broker = broker_of(&[Version::V3_1_1]).await;
    let error = in_memory(&broker).session_expiry(Duration::from_secs(60)).await.unwrap_err();
    let ConnectError::InvalidOption {
        option: "session_expiry",
        fault: OptionFault::NeedsV5(Version::V3_1_1),
    } = error
    else {
        panic!("{error:?}")
    };
    let long = "123456789012345678901234";
    let broker = broker_of(&[Version::V3_1]).await;
    let error = in_memory(&broker).client_id(long).protocol(Protocol::Auto).await.unwrap_err();
    assert!(matches!(error, ConnectError::InvalidOption { option: "client_id", .. }), "{error:?}");
}
