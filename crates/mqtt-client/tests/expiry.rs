//! How long a message is of use, as the publisher says it.

mod common;

use common::{in_memory, next, soon};
use core::time::Duration;
use mqtt_client::{PropertiesBuf, PropertyId, Protocol, PublishError, QoS, UsageError};
use mqtt_testkit::broker::Broker;
use std::sync::Arc;

/// Section 3.3.2.3.3: seconds, and never fewer than were asked for. The other properties stay.
#[tokio::test(start_paused = true)]
async fn the_server_is_told_in_whole_seconds() {
    let broker = Arc::new(Broker::start().await.unwrap());
    let client = soon(in_memory(&broker).client_id("c")).await.unwrap();
    let mut messages = soon(client.subscribe("t").qos(QoS::AtLeastOnce)).await.unwrap();
    let text = PropertiesBuf::builder().content_type("text/plain; charset=utf-8").build().unwrap();
    for (after, seconds) in [
        (Duration::from_secs(60), 60),
        (Duration::from_millis(1), 1),
        (Duration::from_millis(1999), 2),
        (Duration::MAX, u32::MAX),
    ] {
        let publish = client.publish("t", "").expiry(after).properties(text.clone()).qos(QoS::AtLeastOnce);
        soon(publish).await.unwrap();
        let received = next(&mut messages).await;
        let properties = received.properties.view();
        assert_eq!(properties.message_expiry_interval(), Some(seconds), "{after:?}");
        assert_eq!(properties.content_type(), Some("text/plain; charset=utf-8"));
    }
    // At once, too, and without waiting for anything.
    soon(client.publish("t", "").expiry(Duration::from_secs(7)).try_enqueue().unwrap()).await;
    assert_eq!(next(&mut messages).await.properties.view().message_expiry_interval(), Some(7));
}

/// What cannot be is refused, by name.
#[tokio::test(start_paused = true)]
async fn an_expiry_that_cannot_be_is_refused() {
    let broker = Arc::new(Broker::start().await.unwrap());
    let client = soon(in_memory(&broker).client_id("5")).await.unwrap();
    let expiry = PropertiesBuf::builder().message_expiry_interval(9).build().unwrap();
    let twice = client.publish("t", "").properties(expiry).expiry(Duration::from_secs(9));
    match soon(twice.enqueue()).await {
        Err(PublishError::Refused(UsageError::Property(error))) => {
            assert_eq!(error.property, PropertyId::MessageExpiryInterval);
        }
        other => panic!("{other:?}"),
    }
    // What is wrong with the message itself comes first.
    let misnamed = client.publish("t/#", "").expiry(Duration::from_secs(9));
    assert!(matches!(misnamed.try_enqueue(), Err(PublishError::InvalidTopic(_))));

    let builder = in_memory(&broker).client_id("3").protocol(Protocol::V3_1_1);
    let client = soon(builder).await.unwrap();
    let expiring = client.publish("t", "").expiry(Duration::from_secs(9));
    assert!(matches!(
        soon(expiring.enqueue()).await,
        Err(PublishError::Refused(UsageError::NotInVersion { option: "properties", .. }))
    ));
    assert_eq!(broker.received_count(), 0);
}
