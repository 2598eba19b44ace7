//! Section 3.3.2.3.4: topic aliases. The client chooses its own; the server's are resolved before anybody sees them.

use crate::support::{breach, connack_with, enqueue, failure, next, serve, soon, subscribe};
use mqtt_client::{Outcome, PropertiesBuf, ProtocolError, QoS, ReasonCode, Version};
use mqtt_codec::{ConnAck, Publish};
use mqtt_testkit::packets::{PublishScript, connack, connack_with_session, publish};
use std::collections::HashMap;

fn maximum(aliases: u16) -> ConnAck {
    connack_with(PropertiesBuf::builder().topic_alias_maximum(aliases))
}

fn aliased(topic: &str, payload: &'static str, alias: u16) -> PublishScript {
    publish(topic, payload).properties(PropertiesBuf::builder().topic_alias(alias).build().unwrap())
}

/// What a server knows of a client's aliases on one connection.
struct Known {
    maximum: u16,
    topics: HashMap<u16, String>,
    /// PUBLISHes that had no topic of their own.
    resolved: u32,
}

impl Known {
    fn new(maximum: u16) -> Self {
        Self { maximum, topics: HashMap::new(), resolved: 0 }
    }

    /// The topic of a PUBLISH.
    fn topic(&mut self, publish: &Publish) -> String {
        let Some(alias) = publish.properties().topic_alias() else { return publish.topic().into() };
        assert!((1..=self.maximum).contains(&alias), "alias {alias} of {}", self.maximum);
        if publish.topic().is_empty() {
            self.resolved += 1;
            self.topics.get(&alias).expect("an alias that was given a topic before").clone()
        } else {
            self.topics.insert(alias, publish.topic().into());
            publish.topic().into()
        }
    }
}

/// [MQTT-3.3.2-9] [MQTT-3.2.2-17] [MQTT-3.2.2-18] [MQTT-3.3.2-7]: the client uses no alias above the server's
/// maximum, none without leave, and none before this connection has learnt it, whatever was sent again.
#[tokio::test]
async fn aliases_of_the_client_keep_to_the_server_and_the_connection() {
    const TOPICS: [&str; 7] =
        ["long/one", "long/two", "long/one", "long/three", "long/three", "long/one", "long/two"];
    let stage = serve(Version::V5).await;
    let (client, mut server) = stage.meet_as(stage.resuming(), maximum(2)).await;
    let mut known = Known::new(2);
    // These two are in flight for good, and sent again on each connection.
    for topic in ["long/one", "long/two"] {
        _ = enqueue(&client, topic, "in flight", QoS::AtLeastOnce).await;
        assert_eq!(known.topic(&server.expect_publish().await), topic);
    }
    for limit in [2, 1, 0, 65_535] {
        for topic in TOPICS {
            assert!(matches!(soon(client.publish(topic, "x")).await, Ok(Outcome::Sent)));
            assert_eq!(known.topic(&server.expect_publish().await), topic);
        }
        assert_eq!(known.resolved > 0, known.maximum > 0, "an alias saves something, or there is none");
        drop(server);
        known = Known::new(limit);
        server = stage.welcome(ConnAck { session_present: true, ..maximum(limit) }).await;
        for topic in ["long/one", "long/two"] {
            let again = server.expect_publish().await;
            assert!(again.delivery().dup() && !again.topic().is_empty(), "limit {limit}");
            assert_eq!(known.topic(&again), topic);
        }
    }
}

/// [MQTT-3.3.2-10] [5u-21]: the client takes every alias up to its maximum, resolves it, and lets it be given to
/// another topic.
#[tokio::test]
async fn aliases_of_the_server_are_resolved() {
    let stage = serve(Version::V5).await;
    let (client, mut server) = stage.meet_as(stage.options().topic_alias_maximum(10), connack()).await;
    let mut subscription = subscribe(&client, &mut server, "#", QoS::AtMostOnce).await;
    for (topic, alias, seen) in [
        ("a", 1, "a"),
        ("b", 10, "b"),
        ("", 1, "a"),
        ("", 10, "b"),
        ("a", 1, "a"),
        ("c", 1, "c"),
        ("", 1, "c"),
        ("", 10, "b"),
    ] {
        server.send(aliased(topic, "x", alias)).await;
        assert_eq!(next(&mut subscription).await.topic(), seen);
    }
}

/// [MQTT-3.3.2-11] [MQTT-3.1.2-26] [MQTT-3.1.2-27] [MQTT-3.3.2-8] [5u-21]: an alias of 0, one above the maximum, and
/// one that stands for nothing end the connection, each with its code.
#[tokio::test]
async fn a_wrong_alias_ends_the_connection() {
    for (own_maximum, topic, alias, code) in [
        (10, "a", 11, ReasonCode::TOPIC_ALIAS_INVALID),
        (10, "a", 65_535, ReasonCode::TOPIC_ALIAS_INVALID),
        (0, "a", 1, ReasonCode::TOPIC_ALIAS_INVALID),
        (10, "", 2, ReasonCode::PROTOCOL_ERROR),
    ] {
        let stage = serve(Version::V5).await;
        let options = stage.once().topic_alias_maximum(own_maximum);
        let (client, mut server) = stage.meet_as(options, connack()).await;
        server.send(aliased(topic, "x", alias)).await;
        server.expect_farewell(code).await;
        drop(server);
        match breach(failure(&client).await) {
            ProtocolError::TopicAliasInvalid(found) => {
                assert_eq!((found, code), (alias, ReasonCode::TOPIC_ALIAS_INVALID))
            }
            ProtocolError::TopicAliasUnknown(found) => {
                assert_eq!((found, code), (alias, ReasonCode::PROTOCOL_ERROR))
            }
            other => panic!("{other:?}"),
        }
    }
    let stage = serve(Version::V5).await;
    let (client, mut server) = stage.meet_as(stage.once().topic_alias_maximum(10), connack()).await;
    server.send_hex("30 08 00 01 61 03 23 00 00 78").await;
    server.expect_farewell(ReasonCode::TOPIC_ALIAS_INVALID).await;
    drop(server);
    assert!(matches!(breach(failure(&client).await), ProtocolError::Decode(_)));
}

/// [MQTT-3.3.2-7]: what the server taught on one connection means nothing on the next, also in a session that goes
/// on.
#[tokio::test]
async fn aliases_of_the_server_end_with_the_connection() {
    let stage = serve(Version::V5).await;
    let (client, mut server) = stage.meet_as(stage.resuming().topic_alias_maximum(10), connack()).await;
    let mut subscription = subscribe(&client, &mut server, "#", QoS::AtMostOnce).await;
    let mut events = client.events();
    server.send(aliased("a", "x", 1)).await;
    next(&mut subscription).await;
    drop(server);
    let mut server = stage.welcome(connack_with_session()).await;
    server.send(aliased("", "y", 1)).await;
    server.expect_farewell(ReasonCode::PROTOCOL_ERROR).await;
    drop(server);
    // The first of them was the close.
    _ = crate::support::lost(&mut events).await;
    let cause = crate::support::lost(&mut events).await;
    assert!(matches!(breach(cause), ProtocolError::TopicAliasUnknown(1)));
}
