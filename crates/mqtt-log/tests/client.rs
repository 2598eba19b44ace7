//! A client with a log: everything in and out is there, with what became of it.

mod common;

use common::{PATIENCE, entries, written};
use mqtt_client::{Outcome, PropertiesBuf, Protocol, QoS, ReasonCode, connect};
use mqtt_log::{Direction, Fate, LogReader, MessageLog, Query};
use mqtt_testkit::broker::Broker;
use mqtt_testkit::mosquitto::Mosquitto;
use tokio::time::timeout;

const PROTOCOLS: [Protocol; 3] = [Protocol::V3_1, Protocol::V3_1_1, Protocol::V5];
const ALL_QOS: [QoS; 3] = [QoS::AtMostOnce, QoS::AtLeastOnce, QoS::ExactlyOnce];

#[tokio::test]
async fn everything_in_and_out_is_there_with_its_outcome() {
    let broker = Mosquitto::start();
    for protocol in PROTOCOLS {
        for qos in ALL_QOS {
            let home = tempfile::tempdir().unwrap();
            let log = MessageLog::open(home.path()).unwrap();
            let client = connect(&broker.url()).protocol(protocol).client_id("kitchen").journal(log);
            let client = client.await.unwrap();
            let mut messages = client.subscribe("a/b").qos(qos).await.unwrap();
            client.publish("a/b", "x").qos(qos).await.unwrap();
            timeout(PATIENCE, messages.next()).await.unwrap().unwrap();
            // Of the client, the only handle; so everything is written when it has ended.
            client.disconnect().await.unwrap();

            let found = entries(home.path(), Query::new());
            let [out, came] = &found[..] else { panic!("{found:?}") };
            let context = format!("{protocol} {qos} {found:?}");
            assert_eq!((out.direction, came.direction), (Direction::Out, Direction::In), "{context}");
            for entry in [out, came] {
                assert_eq!((entry.client_id.as_str(), entry.topic.as_str()), ("kitchen", "a/b"), "{context}");
                assert_eq!((&entry.payload[..], entry.payload_size), (&b"x"[..], 1), "{context}");
                assert_eq!((entry.qos, entry.retain, entry.dup), (qos, false, false), "{context}");
                assert_eq!(entry.packet_id.is_some(), qos > QoS::AtMostOnce, "{context}");
                assert_eq!(entry.payload_sha256, None, "{context}");
                assert!(!entry.has_failed(), "{context}");
            }
            let (fate, reason) = match qos {
                QoS::AtMostOnce => (Fate::Sent, None),
                _ => (Fate::Acked, Some(ReasonCode::SUCCESS)),
            };
            assert_eq!((out.outcome, out.reason), (Some(fate), reason), "{context}");
            assert!(out.outcome_time.unwrap() >= out.time, "{context}");
            match qos {
                QoS::AtMostOnce => assert_eq!((came.outcome, came.outcome_time), (None, None), "{context}"),
                _ => assert_eq!(came.outcome, Some(Fate::Acked), "{context}"),
            }
            // The client asks for identifiers of subscriptions where it can.
            let identifiers =
                (protocol == Protocol::V5).then(|| r#"{"subscription_identifiers":[1]}"#.to_owned());
            assert_eq!((&out.properties, &came.properties), (&None, &identifiers), "{context}");
        }
    }
}

#[tokio::test]
async fn properties_retain_and_refusals_are_there() {
    let (broker, home) = (Broker::start().await.unwrap(), tempfile::tempdir().unwrap());
    let log = MessageLog::open(home.path()).unwrap();
    let client = connect(&broker.url()).protocol(Protocol::V5).journal(log.clone()).await.unwrap();
    let properties = PropertiesBuf::builder().content_type("text").user_property("a", "b").build().unwrap();
    let publish = client.publish("a", "x").qos(QoS::AtLeastOnce).retain().properties(properties.clone());
    let Outcome::Acked { reason, .. } = publish.await.unwrap() else { panic!("not acknowledged") };
    client.disconnect().await.unwrap();
    written(&log);
    let found = entries(home.path(), Query::new());
    let [entry] = &found[..] else { panic!("{found:?}") };
    assert_eq!(entry.properties.as_deref(), Some(r#"{"content_type":"text","user_properties":[["a","b"]]}"#));
    assert_eq!((entry.retain, entry.reason), (true, Some(reason)));
    let again = entry.message().unwrap();
    assert_eq!((again.retain, again.qos, &*again.payload), (true, QoS::AtLeastOnce, &b"x"[..]));
    assert_eq!(again.properties, properties);
}

#[tokio::test]
async fn two_clients_share_a_log() {
    let (broker, home) = (Broker::start().await.unwrap(), tempfile::tempdir().unwrap());
    let log = MessageLog::open(home.path()).unwrap();
    let client = |id| connect(&broker.url()).client_id(id).journal(log.clone());
    let (one, two) = (client("one").await.unwrap(), client("two").await.unwrap());
    for number in 0..100 {
        one.publish("from/one", number.to_string()).qos(QoS::AtLeastOnce).await.unwrap();
        two.publish("from/two", number.to_string()).qos(QoS::ExactlyOnce).await.unwrap();
    }
    one.disconnect().await.unwrap();
    two.disconnect().await.unwrap();
    written(&log);
    assert_eq!((log.status().written, log.status().lost), (200, 0));
    for id in ["one", "two"] {
        let found = entries(home.path(), Query::new().client_id(id));
        let payloads: Vec<_> = found.iter().map(|entry| String::from_utf8_lossy(&entry.payload)).collect();
        assert_eq!(payloads, (0..100).map(|number| number.to_string()).collect::<Vec<_>>());
        assert!(found.iter().all(|entry| entry.topic.ends_with(id) && entry.outcome == Some(Fate::Acked)));
    }
    assert_eq!(LogReader::open(home.path()).unwrap().lost().unwrap(), 0);
}

/// A message whose acknowledgement comes much later than its row.
#[tokio::test]
async fn an_outcome_finds_its_row() {
    let (broker, home) = (Broker::start().await.unwrap(), tempfile::tempdir().unwrap());
    let log = MessageLog::open(home.path()).unwrap();
    let client = connect(&broker.url()).journal(log.clone()).start().unwrap();
    let mut orders = client.subscribe("a").qos(QoS::AtLeastOnce).manual_ack().await.unwrap();
    client.publish("a", "x").qos(QoS::AtLeastOnce).await.unwrap();
    let (_, token) = timeout(PATIENCE, orders.next()).await.unwrap().unwrap();
    written(&log);
    let received = Query::new().direction(Direction::In);
    while entries(home.path(), received.clone()).is_empty() {
        tokio::time::sleep(core::time::Duration::from_millis(10)).await;
    }
    assert_eq!(entries(home.path(), received.clone())[0].outcome, None);
    token.ack_with(ReasonCode::QUOTA_EXCEEDED, PropertiesBuf::new()).unwrap();
    client.disconnect().await.unwrap();
    written(&log);
    let found = entries(home.path(), received);
    assert_eq!((found[0].outcome, found[0].reason), (Some(Fate::Acked), Some(ReasonCode::QUOTA_EXCEEDED)));
    assert!(found[0].has_failed() && found[0].outcome_time > Some(found[0].time));
}
