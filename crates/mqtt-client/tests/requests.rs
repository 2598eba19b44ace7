//! Bad requests: what the standard, the version or the server does not allow is refused at the call, by name.

mod common;

use bytes::Bytes;
use common::{Stage, delivered, in_memory, next, soon};
use core::time::Duration;
use mqtt_client::{
    Closed, DisconnectError, Event, Outcome, PropertiesBuf, Protocol, PublishError, QoS, ReasonCode,
    ReconnectPolicy, SubscribeError, SubscriptionOptions, TopicError, UnsubscribeError, UsageError, connect,
};
use mqtt_codec::PacketType;
use mqtt_testkit::broker::{Broker, Direction, Restart};
use mqtt_testkit::packets::{connack, disconnect, publish};
use std::sync::Arc;

async fn broker() -> Arc<Broker> {
    Arc::new(Broker::start().await.unwrap())
}

#[tokio::test]
async fn topics_that_the_standard_forbids() {
    let broker = Broker::start().await.unwrap();
    let client = connect(&broker.url()).await.unwrap();
    for (topic, fault) in
        [("", TopicError::Empty), ("a/+", TopicError::Wildcard), ("#", TopicError::Wildcard)]
    {
        for error in [
            client.publish(topic, "x").await.unwrap_err(),
            client.publish(topic, "x").enqueue().await.unwrap_err(),
            client.publish(topic, "x").try_enqueue().unwrap_err(),
        ] {
            assert!(matches!(&error, PublishError::InvalidTopic(found) if *found == fault), "{error:?}");
        }
    }
    for topic in ["a\0b".to_owned(), "x".repeat(65_536)] {
        assert!(matches!(
            client.publish(topic, "x").await,
            Err(PublishError::InvalidTopic(TopicError::Text(_)))
        ));
    }
    for (filter, fault) in [
        ("", TopicError::Empty),
        ("a/#/b", TopicError::MultiLevel),
        ("a#", TopicError::MultiLevel),
        ("a+/b", TopicError::SingleLevel),
        ("$share//b", TopicError::Share),
    ] {
        let error = client.subscribe(filter).await.unwrap_err();
        assert!(
            matches!(&error, SubscribeError::InvalidFilter(found) if *found == fault),
            "{filter}: {error:?}"
        );
        let error = client.unsubscribe([filter]).await.unwrap_err();
        assert!(
            matches!(&error, UnsubscribeError::InvalidFilter(found) if *found == fault),
            "{filter}: {error:?}"
        );
    }
    let none: [(&str, QoS); 0] = [];
    assert!(matches!(client.subscribe_all(none).await, Err(SubscribeError::NoFilter)));
    assert!(matches!(client.unsubscribe([""; 0]).await, Err(UnsubscribeError::NoFilter)));
    assert_eq!(broker.connections(), 1, "nothing of it reached the server");
}

/// [MQTT-3.9.3-2]: 0x80 is a refusal, and no QoS.
#[tokio::test]
async fn a_refused_subscription() {
    let broker = Broker::start().await.unwrap();
    broker.faults().reject_subscription("closed/#", ReasonCode::NOT_AUTHORIZED);
    for (protocol, told) in
        [(Protocol::V3_1_1, ReasonCode::UNSPECIFIED_ERROR), (Protocol::V5, ReasonCode::NOT_AUTHORIZED)]
    {
        let client = connect(&broker.url()).protocol(protocol).await.unwrap();
        let error = client.subscribe("closed/#").await.unwrap_err();
        let SubscribeError::Refused(results) = &error else { panic!("{error:?}") };
        let [(filter, reason)] = results.as_slice() else { panic!("{results:?}") };
        assert_eq!((filter.as_str(), *reason), ("closed/#", told));
        assert!(error.to_string().contains("'closed/#'"), "{error}");
        assert_eq!(error.is_retryable(), told == ReasonCode::UNSPECIFIED_ERROR);
        // It leaves no trace.
        client.publish("closed/a", "x").qos(QoS::AtLeastOnce).await.unwrap();
        assert_eq!(client.status().unclaimed, 0);
        assert_eq!(
            broker.packets(Direction::FromClient, PacketType::Unsubscribe),
            0,
            "there is nothing to undo"
        );
    }
}

#[tokio::test]
async fn limits_of_the_server() {
    let broker = Broker::builder()
        .maximum_packet_size(1000)
        .maximum_qos(QoS::AtLeastOnce)
        .without_retain()
        .without_wildcards()
        .without_shared_subscriptions()
        .start()
        .await
        .unwrap();
    let client = connect(&broker.url()).protocol(Protocol::V5).await.unwrap();
    let too_large = Bytes::from(vec![0; 1000]);
    for error in [
        client.publish("a", too_large.clone()).await.unwrap_err(),
        client.publish("a", too_large.clone()).enqueue().await.unwrap_err(),
        client.publish("a", too_large.clone()).try_enqueue().unwrap_err(),
    ] {
        assert!(
            matches!(error, PublishError::Refused(UsageError::PacketTooLarge { limit: 1000, .. })),
            "{error:?}"
        );
        assert!(error.to_string().contains("1000"), "{error}");
    }
    // Only the session knows to the byte.
    let barely = client.publish("a", vec![0; 999]).await.unwrap_err();
    assert!(
        matches!(barely, PublishError::Refused(UsageError::PacketTooLarge { size: 1000.., .. })),
        "{barely:?}"
    );
    let token = client.publish("a", vec![0; 999]).enqueue().await.unwrap();
    assert!(matches!(token.await, Outcome::Refused(UsageError::PacketTooLarge { .. })));
    delivered(client.publish("a", vec![0; 900]).await.unwrap());

    let error = client.publish("a", "x").qos(QoS::ExactlyOnce).await.unwrap_err();
    assert!(matches!(error, PublishError::Refused(UsageError::QosNotSupported { .. })), "{error:?}");
    let error = client.publish("a", "x").retain().await.unwrap_err();
    assert!(matches!(error, PublishError::Refused(UsageError::RetainNotSupported)), "{error:?}");
    let error = client.subscribe("a/#").await.unwrap_err();
    assert!(matches!(error, SubscribeError::NotAllowed(UsageError::WildcardNotSupported)), "{error:?}");
    let error = client.subscribe("$share/g/a").await.unwrap_err();
    assert!(matches!(error, SubscribeError::NotAllowed(UsageError::SharedNotSupported)), "{error:?}");
    assert_eq!(broker.connections(), 1, "the server never saw any of it");

    // Limits are those of a connection: without one they are not known.
    broker.kill().await;
    while client.status().negotiated.is_some() {
        tokio::task::yield_now().await;
    }
    let token = client.publish("a", "x").qos(QoS::ExactlyOnce).enqueue().await.unwrap();
    broker.restart(Restart::Keep).await.unwrap();
    assert!(matches!(soon(token).await, Outcome::Refused(UsageError::QosNotSupported { .. })));
}

/// A packet that is larger than the client allows ends the connection with the right code, and the error says the limit.
#[tokio::test(start_paused = true)]
async fn a_packet_over_the_clients_own_limit() {
    let (mut stage, builder) = Stage::new();
    let client = builder.maximum_packet_size(100).reconnect(ReconnectPolicy::never()).start().unwrap();
    let mut server = stage.accept().await;
    assert_eq!(server.expect_connect().await.properties.view().maximum_packet_size(), Some(100));
    server.send(connack()).await;
    server.send(publish("a", vec![0; 100])).await;
    server.expect(disconnect(ReasonCode::PACKET_TOO_LARGE)).await;
    let Closed::Failed(error) = soon(client.closed()).await else { panic!() };
    assert!(error.to_string().contains("100"), "{error}");
}

#[tokio::test]
async fn what_a_version_does_not_have() {
    let broker = Broker::start().await.unwrap();
    let property = PropertiesBuf::builder().content_type("text/plain").build().unwrap();
    for protocol in [Protocol::V3_1, Protocol::V3_1_1] {
        let client = connect(&broker.url()).protocol(protocol).await.unwrap();
        for error in [
            client.publish("a", "x").properties(property.clone()).await.unwrap_err(),
            client.publish("a", "x").properties(property.clone()).enqueue().await.unwrap_err(),
        ] {
            assert!(matches!(error, PublishError::Refused(UsageError::NotInVersion { .. })), "{error:?}");
        }
        let options = SubscriptionOptions { no_local: true, ..QoS::AtMostOnce.into() };
        let error = client.subscribe("a").options(options).await.unwrap_err();
        assert!(matches!(error, SubscribeError::NotAllowed(_)), "{error:?}");
        let error = client
            .disconnect_with(ReasonCode::DISCONNECT_WITH_WILL_MESSAGE, PropertiesBuf::new())
            .await
            .unwrap_err();
        assert!(matches!(error, DisconnectError::NotAllowed(_)), "{error:?}");
        assert!(matches!(client.closed().await, Closed::Disconnected));
    }
}

/// Properties that are not for the application are refused by name.
#[tokio::test]
async fn properties_out_of_place() {
    let broker = Broker::start().await.unwrap();
    let client = connect(&broker.url()).protocol(Protocol::V5).await.unwrap();
    for properties in [
        PropertiesBuf::builder().topic_alias(1),
        PropertiesBuf::builder().subscription_identifier(1),
        PropertiesBuf::builder().session_expiry_interval(1),
    ] {
        let error = client.publish("a", "x").properties(properties.build().unwrap()).await.unwrap_err();
        assert!(matches!(error, PublishError::Refused(_)), "{error:?}");
    }
    let properties = PropertiesBuf::builder().content_type("text/plain").build().unwrap();
    let error = client.subscribe("a").properties(properties).await.unwrap_err();
    assert!(matches!(error, SubscribeError::NotAllowed(_)), "{error:?}");
    // One of its own choice is taken.
    let properties =
        PropertiesBuf::builder().subscription_identifier(77).user_property("a", "b").build().unwrap();
    let mut subscription = client.subscribe("a").properties(properties).await.unwrap();
    client.publish("a", "x").await.unwrap();
    let message = next(&mut subscription).await;
    assert_eq!(message.properties.view().subscription_identifiers().collect::<Vec<_>>(), [77]);
}

#[tokio::test]
async fn a_full_queue() {
    let broker = broker().await;
    let client = in_memory(&broker).queue(2, 1 << 20).await.unwrap();
    broker.kill().await;
    while client.status().negotiated.is_some() {
        tokio::task::yield_now().await;
    }
    let _first = client.publish("a", "1").try_enqueue().unwrap();
    let _second = client.publish("a", "2").try_enqueue().unwrap();
    let error = client.publish("a", "3").try_enqueue().unwrap_err();
    assert!(matches!(error, PublishError::QueueFull) && error.is_retryable(), "{error:?}");
}

/// After the end every call says how it came.
#[tokio::test]
async fn calls_after_the_end() {
    let broker = Broker::start().await.unwrap();
    let client = connect(&broker.url()).await.unwrap();
    let subscription = client.subscribe("a").await.unwrap();
    client.disconnect().await.unwrap();
    client.disconnect().await.unwrap();
    let error = client.publish("a", "x").await.unwrap_err();
    assert!(
        matches!(error, PublishError::Closed(Closed::Disconnected)) && !error.is_retryable(),
        "{error:?}"
    );
    assert!(matches!(client.subscribe("a").await, Err(SubscribeError::Closed(Closed::Disconnected))));
    assert!(matches!(client.unsubscribe(["a"]).await, Err(UnsubscribeError::Closed(Closed::Disconnected))));
    assert!(matches!(subscription.unsubscribe().await, Err(UnsubscribeError::Closed(Closed::Disconnected))));
    assert!(soon(client.unmatched().next()).await.is_none());
    assert!(matches!(soon(client.events().next()).await, Some(Event::Connected(_))), "the first sees all");
    assert!(soon(client.events().next()).await.is_none());
    assert_eq!(soon(client.drain(Duration::from_secs(1))).await, 0);
    client.abort();
    assert!(matches!(client.closed().await, Closed::Disconnected), "an end is final");
}
