//! Requests and their answers, section 4.10: each to its own, in time, or not at all.

mod common;

use common::{Stage, delivered, in_memory, next, soon};
use core::time::Duration;
use mqtt_client::{
    Client, Closed, ConnectError, Message, OptionFault, Outcome, PropertiesBuf, Property, PropertyId,
    Protocol, PublishError, QoS, ReasonCode, ReconnectPolicy, RequestBuilder, RequestError, SubscribeError,
    Subscription, UsageError, Version, connect,
};
use mqtt_codec::{Ack, ConnAck, Packet, Subscribe};
use mqtt_testkit::broker::{Broker, Restart};
use mqtt_testkit::mosquitto::Mosquitto;
use mqtt_testkit::packets::{connack, publish, suback};
use mqtt_testkit::peer::Peer;
use std::sync::Arc;
use tokio::io::DuplexStream;
use tokio::time::{sleep, timeout};

/// A client that asks, one that answers, and the questions.
async fn pair() -> (Arc<Broker>, Client, Client, Subscription) {
    let broker = Arc::new(Broker::start().await.unwrap());
    let asker = in_memory(&broker).client_id("asker").await.unwrap();
    let answerer = in_memory(&broker).client_id("answerer").await.unwrap();
    let questions = answerer.subscribe("ask").qos(QoS::ExactlyOnce).await.unwrap();
    (broker, asker, answerer, questions)
}

fn subscriptions(broker: &Broker, client: &str) -> usize {
    broker.session(client).unwrap().subscriptions.len()
}

/// A hundred at a time, answered backwards: each gets its own answer, over one subscription.
#[tokio::test(start_paused = true)]
async fn each_request_gets_its_own_answer() {
    let (broker, asker, answerer, mut questions) = pair().await;
    let asking: Vec<_> = (0..100_u32)
        .map(|number| {
            let asker = asker.clone();
            tokio::spawn(async move {
                let qos = common::ALL_QOS[number as usize % 3];
                let answer = asker.request("ask", number.to_be_bytes().to_vec()).qos(qos).await.unwrap();
                assert_eq!(common::number(&answer), number);
                assert_eq!(
                    answer.qos,
                    qos.min(QoS::AtLeastOnce),
                    "that of the request, as far as subscribed"
                );
            })
        })
        .collect();
    let mut asked = Vec::new();
    for _ in 0..100 {
        asked.push(next(&mut questions).await);
    }
    for question in asked.iter().rev() {
        delivered(answerer.respond(question, question.payload.clone()).await.unwrap());
    }
    for one in asking {
        soon(one).await.unwrap();
    }
    assert_eq!(subscriptions(&broker, "asker"), 1);
    let topics: Vec<_> = asked.iter().map(|question| question.properties.view().response_topic()).collect();
    assert!(topics[0].unwrap().starts_with("response/asker/"), "{topics:?}");
    assert!(topics.iter().all(|topic| *topic == topics[0]));
}

/// Not a moment earlier or later, with and without a connection, and whatever the request waits for.
#[tokio::test(start_paused = true)]
async fn a_timeout_is_exact() {
    let (broker, asker, answerer, mut questions) = pair().await;
    assert_eq!(RequestBuilder::TIMEOUT, Duration::from_secs(30));
    let began = common::now();
    let error = asker.request("ask", "1").await.unwrap_err();
    assert!(matches!(error, RequestError::Timeout(RequestBuilder::TIMEOUT)), "{error:?}");
    assert_eq!(began.elapsed().as_millis(), 30_000);
    assert!(error.is_retryable());

    let limit = Duration::from_millis(1_500);
    let question = next(&mut questions).await;
    let again = async {
        let began = common::now();
        let error = asker.request("ask", "2").timeout(limit).await.unwrap_err();
        assert!(matches!(error, RequestError::Timeout(given) if given == limit), "{error:?}");
        assert_eq!(began.elapsed(), limit);
    };
    // An answer to another question, and late, does not help.
    let (_, late) = tokio::join!(again, answerer.respond(&question, "late").into_future());
    delivered(late.unwrap());

    broker.kill().await;
    let began = common::now();
    assert!(matches!(asker.request("ask", "3").timeout(limit).await, Err(RequestError::Timeout(_))));
    assert_eq!(began.elapsed(), limit);
    assert_eq!(asker.status().queued, 1, "it waits for a connection, and expires");
    sleep(Duration::from_secs(3)).await;
    assert_eq!(asker.status().queued, 0);
}

/// Of the answers to one request the first counts; the others, and what is no answer at all, harm nobody.
#[tokio::test(start_paused = true)]
async fn late_and_foreign_answers_are_ignored() {
    let (broker, asker, answerer, mut questions) = pair().await;
    let asking = tokio::spawn({
        let asker = asker.clone();
        async move { asker.request("ask", "?").await }
    });
    let question = next(&mut questions).await;
    let topic = question.properties.view().response_topic().unwrap().to_owned();
    let data = question.properties.view().correlation_data().unwrap().to_vec();
    for foreign in
        [None, Some(Vec::new()), Some(vec![0; 16]), Some(data[8..].to_vec()), Some(data[..15].to_vec())]
    {
        let block = PropertiesBuf::builder();
        let block = match &foreign {
            Some(data) => block.correlation_data(data),
            None => block,
        };
        let publish = answerer.publish(topic.clone(), "foreign").properties(block.build().unwrap());
        delivered(publish.qos(QoS::AtLeastOnce).await.unwrap());
    }
    assert!(!asking.is_finished());
    for answer in ["first", "second"] {
        delivered(answerer.respond(&question, answer).qos(QoS::AtLeastOnce).await.unwrap());
    }
    assert_eq!(soon(asking).await.unwrap().unwrap().payload(), b"first");

    // However many there are: they stop nobody's reading.
    let mut other = asker.subscribe("other").await.unwrap();
    for _ in 0..5_000 {
        broker.publish(mqtt_testkit::broker::Message::new(&topic, "noise"));
    }
    broker.publish(mqtt_testkit::broker::Message::new("other", "signal"));
    assert_eq!(next(&mut other).await.payload(), b"signal");
}

/// A request that was dropped is forgotten, wherever it was; the next one is answered.
#[tokio::test(start_paused = true)]
async fn a_request_can_be_dropped_at_any_moment() {
    let (broker, asker, answerer, mut questions) = pair().await;
    let mut finished = false;
    for polls in 0..20 {
        let mut request = Box::pin(asker.request("ask", "?").qos(QoS::AtLeastOnce).into_future());
        for _ in 0..polls {
            let polled = core::future::poll_fn(|cx| core::task::Poll::Ready(request.as_mut().poll(cx)));
            if polled.await.is_ready() {
                finished = true;
                break;
            }
            while let Ok(Some(question)) = timeout(Duration::ZERO, questions.next()).await {
                delivered(answerer.respond(&question, "!").await.unwrap());
            }
            tokio::task::yield_now().await;
        }
        drop(request);
        while let Ok(Some(question)) = timeout(Duration::from_millis(1), questions.next()).await {
            delivered(answerer.respond(&question, "!").await.unwrap());
        }
    }
    assert!(finished, "the last were polled to their ends");
    assert_eq!(asker.drain(Duration::from_secs(1)).await, 0);
    assert_eq!(subscriptions(&broker, "asker"), 1);
}

async fn accept(stage: &mut Stage, connack: ConnAck) -> Peer<DuplexStream> {
    let mut server = stage.accept().await;
    server.expect_connect().await;
    server.send(connack).await;
    server
}

async fn expect_subscribe(server: &mut Peer<DuplexStream>, code: ReasonCode) -> String {
    let Packet::Subscribe(subscribe) = server.expect_any().await else { panic!("no SUBSCRIBE") };
    server.send(suback(subscribe.id().get(), &[code])).await;
    first_filter(&subscribe)
}

fn first_filter(subscribe: &Subscribe) -> String {
    subscribe.filters().next().unwrap().0.to_string()
}

/// [MQTT-3.1.2-28] and section 3.2.2.3.15: the server says where answers belong, if it is asked.
#[tokio::test(start_paused = true)]
async fn the_servers_response_information_is_used() {
    for (information, expected) in [
        (Some("tree/42"), "tree/42/"),
        (Some("tree/43/"), "tree/43/"),
        (Some("bad/#"), "response/actor/"),
        (None, "response/actor/"),
    ] {
        let (mut stage, builder) = Stage::new();
        let client = builder.request_response_information(true).start().unwrap();
        let asking = tokio::spawn(async move { client.request("ask", "?").await });
        let mut server = stage.accept().await;
        let connect = server.expect_connect().await;
        assert_eq!(connect.properties.view().request_response_information(), Some(true));
        let block = PropertiesBuf::builder();
        let block = match information {
            Some(information) => block.response_information(information),
            None => block,
        };
        server.send(ConnAck { properties: block.build().unwrap(), ..connack() }).await;
        let topic = expect_subscribe(&mut server, ReasonCode::GRANTED_QOS_1).await;
        assert!(topic.starts_with(expected), "{topic}");
        let question = server.expect_publish().await;
        assert_eq!(question.properties().response_topic(), Some(topic.as_str()));
        assert_eq!(question.properties().message_expiry_interval(), Some(31));
        let data = question.properties().correlation_data().unwrap().to_vec();
        let answer = PropertiesBuf::builder().correlation_data(&data).build().unwrap();
        server.send(publish(&topic, "!").properties(answer)).await;
        assert_eq!(soon(asking).await.unwrap().unwrap().payload(), b"!");
    }
}

/// The application's own choice goes before the server's.
#[tokio::test(start_paused = true)]
async fn the_response_topic_can_be_chosen() {
    let (mut stage, builder) = Stage::new();
    let client = builder.response_topic("mine/answers").start().unwrap();
    let asking = tokio::spawn(async move { client.request("ask", "?").await });
    let properties = PropertiesBuf::builder().response_information("tree").build().unwrap();
    let mut server = accept(&mut stage, ConnAck { properties, ..connack() }).await;
    assert_eq!(expect_subscribe(&mut server, ReasonCode::GRANTED_QOS_1).await, "mine/answers");
    asking.abort();

    let error = Stage::new().1.response_topic("mine/#").start().unwrap_err();
    assert!(matches!(
        error,
        ConnectError::InvalidOption { option: "response_topic", fault: OptionFault::Topic(_) }
    ));
}

/// Before 5.0 there are no requests, and the error says so, also where the version was only found out.
#[tokio::test(start_paused = true)]
async fn before_5_0_there_are_no_requests() {
    for (protocol, spoken) in [
        (Protocol::V3_1, Version::V3_1),
        (Protocol::V3_1_1, Version::V3_1_1),
        (Protocol::Auto, Version::V3_1_1),
    ] {
        let versions = [Version::V3_1, Version::V3_1_1];
        let broker = Arc::new(Broker::builder().versions(&versions).start().await.unwrap());
        let client = in_memory(&broker).client_id("old").protocol(protocol).start().unwrap();
        let error = soon(client.request("ask", "?")).await.unwrap_err();
        assert!(matches!(error, RequestError::NeedsV5(version) if version == spoken), "{error:?}");
        assert!(error.to_string().contains("MQTT 5.0"), "{error}");
        let mut all = client.subscribe("a").await.unwrap();
        assert_eq!(subscriptions(&broker, "old"), 1);
        client.publish("a", "x").await.unwrap();
        let message = next(&mut all).await;
        let error = client.respond(&message, "!").await.unwrap_err();
        assert!(matches!(error, PublishError::NoResponseTopic), "{error:?}");
    }
    for option in ["response_topic", "request_response_information", "request_problem_information"] {
        let builder = connect("mqtt://h").protocol(Protocol::V3_1_1);
        let builder = match option {
            "response_topic" => builder.response_topic("a"),
            "request_response_information" => builder.request_response_information(false),
            _ => builder.request_problem_information(true),
        };
        let error = builder.start().unwrap_err();
        assert!(
            matches!(error, ConnectError::InvalidOption { option: named, fault: OptionFault::NeedsV5(_) } if named == option),
            "{error:?}"
        );
    }
}

/// What shows that no answer can come ends the waiting at once.
#[tokio::test(start_paused = true)]
async fn a_hopeless_request_fails_at_once() {
    let (mut stage, builder) = Stage::new();
    let client = builder.start().unwrap();
    let mut server = accept(&mut stage, connack()).await;
    let asking = |name: &'static str| {
        let client = client.clone();
        tokio::spawn(async move { client.request(name, "?").qos(QoS::AtLeastOnce).await })
    };
    // The server refuses the subscription.
    let first = asking("ask");
    expect_subscribe(&mut server, ReasonCode::NOT_AUTHORIZED).await;
    let error = soon(first).await.unwrap().unwrap_err();
    assert!(matches!(error, RequestError::Subscribe(SubscribeError::Refused(_))), "{error:?}");
    // It has nobody to give the request to, or refuses that. The next request subscribes again.
    for (reason, subscribes) in
        [(ReasonCode::NO_MATCHING_SUBSCRIBERS, true), (ReasonCode::QUOTA_EXCEEDED, false)]
    {
        let asked = asking("ask");
        if subscribes {
            expect_subscribe(&mut server, ReasonCode::GRANTED_QOS_1).await;
        }
        let id = server.expect_publish().await.delivery().id().unwrap();
        server.send(Packet::PubAck(Ack { id, reason, properties: PropertiesBuf::new() })).await;
        let error = soon(asked).await.unwrap().unwrap_err();
        match reason {
            ReasonCode::NO_MATCHING_SUBSCRIBERS => {
                assert!(matches!(error, RequestError::NobodyListens), "{error:?}")
            }
            reason => assert!(
                matches!(&error, RequestError::NotDelivered(Outcome::Acked { reason: told, .. }) if *told == reason),
                "{error:?}"
            ),
        }
    }
    // Wrong from the beginning.
    assert!(matches!(
        client.request("a/#", "?").await,
        Err(RequestError::Publish(PublishError::InvalidTopic(_)))
    ));
    let own = PropertiesBuf::builder().correlation_data(b"mine").build().unwrap();
    let error = client.request("ask", "?").properties(own).await.unwrap_err();
    assert!(
        matches!(
            error,
            RequestError::Publish(PublishError::Refused(UsageError::PropertyNotAllowed(
                PropertyId::CorrelationData
            )))
        ),
        "{error:?}"
    );
    let asked = asking("ask");
    server.expect_publish().await;
    client.abort();
    assert!(matches!(soon(asked).await.unwrap(), Err(RequestError::Closed(Closed::Aborted))));
    assert!(matches!(client.request("ask", "?").await, Err(RequestError::Closed(Closed::Aborted))));
}

fn at_once() -> ReconnectPolicy {
    ReconnectPolicy::default().first_delay(Duration::from_millis(10)).max_delay(Duration::from_millis(10))
}

/// A request lives through a cut, and so does the subscription for its answer, with the session or without.
#[tokio::test(start_paused = true)]
async fn a_cut_loses_no_answer() {
    for restart in [Restart::Keep, Restart::Lose] {
        let broker = Arc::new(Broker::start().await.unwrap());
        let asker = in_memory(&broker).client_id("asker").reconnect(at_once()).await.unwrap();
        let answerer = in_memory(&broker).client_id("answerer").reconnect(at_once()).await.unwrap();
        let mut questions = answerer.subscribe("ask").qos(QoS::AtLeastOnce).await.unwrap();
        for round in 0..3 {
            let asking = tokio::spawn({
                let asker = asker.clone();
                async move { asker.request("ask", "?").qos(QoS::AtLeastOnce).await }
            });
            let question = next(&mut questions).await;
            broker.restart(restart).await.unwrap();
            broker
                .until("both are back", |broker| {
                    ["asker", "answerer"]
                        .iter()
                        .all(|client| broker.is_connected(client) && subscriptions(broker, client) == 1)
                })
                .await;
            delivered(answerer.respond(&question, "!").await.unwrap());
            assert_eq!(soon(asking).await.unwrap().unwrap().payload(), b"!", "round {round}");
        }
    }
}

/// Unsubscribed behind its back, the waiting requests fail, and the next one subscribes anew.
#[tokio::test(start_paused = true)]
async fn a_lost_subscription_is_made_anew() {
    let (broker, asker, answerer, mut questions) = pair().await;
    let asking = tokio::spawn({
        let asker = asker.clone();
        async move { asker.request("ask", "?").await }
    });
    let question = next(&mut questions).await;
    let topic = question.properties.view().response_topic().unwrap().to_owned();
    asker.unsubscribe([topic]).await.unwrap();
    assert!(matches!(soon(asking).await.unwrap(), Err(RequestError::SubscriptionLost)));
    assert_eq!(subscriptions(&broker, "asker"), 0);

    let asking = tokio::spawn(async move { asker.request("ask", "?").await });
    let question = next(&mut questions).await;
    answerer.respond(&question, "!").await.unwrap();
    assert_eq!(soon(asking).await.unwrap().unwrap().payload(), b"!");
}

/// Properties of the application go with question and answer, and do not push out what makes them so.
#[tokio::test(start_paused = true)]
async fn properties_go_along() {
    let (_broker, asker, answerer, mut questions) = pair().await;
    let block = || PropertiesBuf::builder().content_type("text/plain").user_property("a", "b");
    let asking = tokio::spawn(async move {
        let properties = block().message_expiry_interval(7).build().unwrap();
        asker.request("ask", "?").properties(properties).await
    });
    let question = next(&mut questions).await;
    let told = |message: &Message| {
        let view = message.properties.view();
        assert_eq!(view.content_type(), Some("text/plain"));
        assert!(view.iter().any(|property| property == Property::UserProperty("a", "b")));
    };
    told(&question);
    assert!(question.properties.view().message_expiry_interval().is_some_and(|seconds| seconds <= 7));
    answerer.respond(&question, "!").properties(block().build().unwrap()).await.unwrap();
    told(&soon(asking).await.unwrap().unwrap());

    answerer.publish("ask", "no question").await.unwrap();
    let statement = next(&mut questions).await;
    assert!(matches!(answerer.respond(&statement, "!").await, Err(PublishError::NoResponseTopic)));
    assert!(matches!(answerer.respond(&statement, "!").try_enqueue(), Err(PublishError::NoResponseTopic)));
}

/// Everything that waits is told the end.
#[tokio::test(start_paused = true)]
async fn the_end_of_the_client_ends_its_requests() {
    let (_broker, asker, _answerer, mut questions) = pair().await;
    let asking = tokio::spawn({
        let asker = asker.clone();
        async move { asker.request("ask", "?").await }
    });
    next(&mut questions).await;
    asker.disconnect().await.unwrap();
    assert!(matches!(soon(asking).await.unwrap(), Err(RequestError::Closed(Closed::Disconnected))));
}

/// A real server: answers arrive, and a request that nobody listens to fails at once.
#[tokio::test]
async fn mosquitto_carries_requests() {
    let broker = Mosquitto::builder().start();
    let asker = connect(&broker.url()).client_id("asker").await.unwrap();
    let answerer = connect(&broker.url()).client_id("answerer").await.unwrap();
    let mut questions = answerer.subscribe("ask").qos(QoS::ExactlyOnce).await.unwrap();
    for qos in common::ALL_QOS {
        let (answer, ()) = tokio::join!(asker.request("ask", "?").qos(qos).into_future(), async {
            let question = next(&mut questions).await;
            delivered(answerer.respond(&question, "!").await.unwrap());
        });
        assert_eq!(answer.unwrap().payload(), b"!");
    }
    let error = soon(asker.request("nobody", "?").qos(QoS::AtLeastOnce)).await.unwrap_err();
    assert!(matches!(error, RequestError::NobodyListens), "{error:?}");
}
