//! The features: each a short play between clients of one version that come by the same door.

use super::servers::Door;
use crate::common::server::client;
use core::fmt::Display;
use core::future::Future;
use core::pin::Pin;
use core::sync::atomic::{AtomicU32, Ordering};
use core::time::Duration;
use mqtt_client::{
    CleanStart, Client, ConnectBuilder, Event, Message, Outcome, PropertiesBuf, Protocol, QoS, Subscription,
    SubscriptionOptions, TopicName, Version, Will,
};
use std::sync::Arc;
use tokio::time::timeout;

/// What has not come by then does not come.
const PATIENCE: Duration = Duration::from_secs(5);
/// A large payload may take its time.
const LONG: Duration = Duration::from_secs(30);

type Checked = Result<(), String>;
type Running = Pin<Box<dyn Future<Output = Checked>>>;

macro_rules! checks {
    ($($name:literal: $check:expr,)*) => {
        /// Everything that is tried, in the order of trying: without the first there is no other.
        pub(super) const CHECKS: &[(&str, fn(Visit) -> Running)] =
            &[$(($name, |visit| Box::pin(async move { $check(&visit).await }))),*];
    };
}

checks! {
    "connect": connect,
    "qos 0": async |visit: &Visit| carries(visit, QoS::AtMostOnce).await,
    "qos 1": async |visit: &Visit| carries(visit, QoS::AtLeastOnce).await,
    "qos 2": async |visit: &Visit| carries(visit, QoS::ExactlyOnce).await,
    "unsubscribe": unsubscribe,
    "retained": retained,
    "will": will,
    "resume": resume,
    "comes back": comes_back,
    "tail": tail,
    "shared": shared,
    "properties": properties,
    "request": request,
    "overlap": overlap,
    "no local": no_local,
    "as published": as_published,
    "aliases": aliases,
}

/// What needs 5.0.
const NEEDS_V5: &[&str] = &["properties", "request", "overlap", "no local", "as published", "aliases"];

/// One check at one door in one version, with topics and identifiers of its own.
pub(super) struct Visit {
    door: Arc<Door>,
    protocol: Protocol,
    number: u32,
}

impl Visit {
    pub(super) fn new(door: Arc<Door>, protocol: Protocol) -> Self {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        Self { door, protocol, number: NUMBER.fetch_add(1, Ordering::Relaxed) }
    }

    pub(super) fn does_not_have(&self, feature: &str) -> bool {
        (NEEDS_V5.contains(&feature) && self.protocol != Protocol::V5)
            || (feature == "comes back" && self.door.proxy.is_none())
    }

    fn topic(&self, rest: &str) -> String {
        format!("interop/{}/{rest}", self.number)
    }

    fn builder(&self, role: &str) -> ConnectBuilder {
        let id = format!("{role}{}", self.number);
        let builder = client(&self.door.url, &id, self.protocol).connect_timeout(PATIENCE);
        match &self.door.tls {
            Some(options) => builder.tls(options.clone()),
            None => builder,
        }
    }

    async fn client(&self, role: &str) -> Result<Client, String> {
        soon("connecting", self.builder(role)).await
    }
}

async fn soon<T, E: Display>(
    what: &str,
    trying: impl IntoFuture<Output = Result<T, E>>,
) -> Result<T, String> {
    match timeout(PATIENCE, trying).await {
        Ok(Ok(done)) => Ok(done),
        Ok(Err(error)) => Err(format!("{what}: {error}")),
        Err(_) => Err(format!("{what}: nothing for {PATIENCE:?}")),
    }
}

async fn next(heard: &mut Subscription, what: &str) -> Result<Message, String> {
    match timeout(PATIENCE, heard.next()).await {
        Ok(Some(message)) => Ok(message),
        Ok(None) => Err(format!("{what}: the subscription ended")),
        Err(_) => Err(format!("{what}: it does not come")),
    }
}

async fn publish(client: &Client, topic: &str, payload: impl Into<Vec<u8>>, qos: QoS) -> Checked {
    sent(soon("publishing", client.publish(topic, payload.into()).qos(qos)).await?)
}

fn sent(outcome: Outcome) -> Checked {
    match outcome {
        Outcome::Sent => Ok(()),
        Outcome::Acked { reason, .. } if !reason.is_error() => Ok(()),
        other => Err(format!("publishing: {other:?}")),
    }
}

fn expect(holds: bool, what: impl FnOnce() -> String) -> Checked {
    if holds { Ok(()) } else { Err(what()) }
}

/// Asks for QoS 1 and for what the server keeps to be counted as such.
async fn subscribe(client: &Client, filter: &str) -> Result<Subscription, String> {
    soon("subscribing", client.subscribe(filter).qos(QoS::AtLeastOnce)).await
}

async fn connect(visit: &Visit) -> Checked {
    let client = visit.client("c").await?;
    soon("goodbye", client.disconnect()).await
}

/// The version that the client comes to when it may choose.
pub(super) async fn falls_back(visit: Visit) -> Result<Version, String> {
    let client = match timeout(PATIENCE * 3, visit.builder("auto").into_future()).await {
        Ok(connected) => connected.map_err(|error| error.to_string())?,
        Err(_) => return Err("no connection".to_owned()),
    };
    client.status().negotiated.map(|found| found.version).ok_or_else(|| "not connected".to_owned())
}

/// Messages of several sizes, complete, in order, at the QoS that was asked for.
async fn carries(visit: &Visit, qos: QoS) -> Checked {
    let sizes = [0, 1, 127, 128, 2000, 0, visit.door.largest.min(16_000), 5];
    let (from, to) = (visit.client("p").await?, visit.client("s").await?);
    let mut heard = soon("subscribing", to.subscribe(visit.topic("+")).qos(qos)).await?;
    expect(heard.granted_qos() == Some(qos), || format!("granted {:?}", heard.granted_qos()))?;
    let mut deliveries = Vec::new();
    for (number, size) in sizes.into_iter().enumerate() {
        let publishing = from.publish(visit.topic(&number.to_string()), vec![number as u8; size]).qos(qos);
        deliveries.push(soon("publishing", publishing.enqueue()).await?);
    }
    for (number, size) in sizes.into_iter().enumerate() {
        let message = next(&mut heard, &format!("message {number}")).await?;
        let whole = message.topic() == visit.topic(&number.to_string())
            && message.payload() == vec![number as u8; size]
            && message.qos == qos;
        expect(whole, || format!("message {number} came as {} at QoS {}", message.topic(), message.qos))?;
    }
    for delivery in deliveries {
        sent(timeout(PATIENCE, delivery).await.map_err(|_| "no acknowledgement".to_owned())?)?;
    }
    Ok(())
}

async fn unsubscribe(visit: &Visit) -> Checked {
    let client = visit.client("u").await?;
    let left = subscribe(&client, &visit.topic("left")).await?;
    let mut kept = subscribe(&client, &visit.topic("kept")).await?;
    let mut unmatched = client.unmatched();
    soon("unsubscribing", left.unsubscribe()).await?;
    publish(&client, &visit.topic("left"), "?", QoS::AtLeastOnce).await?;
    publish(&client, &visit.topic("kept"), "!", QoS::AtLeastOnce).await?;
    next(&mut kept, "what is still subscribed").await?;
    let stray = timeout(Duration::from_millis(20), unmatched.next()).await;
    expect(stray.is_err(), || "what is unsubscribed still comes".to_owned())
}

/// Kept, told to who comes later, and gone once it is cleared.
async fn retained(visit: &Visit) -> Checked {
    let (topic, mark) = (visit.topic("kept"), visit.topic("mark"));
    let client = visit.client("r").await?;
    let keep = async |payload: &'static str| {
        sent(
            soon("publishing", client.publish(topic.as_str(), payload).qos(QoS::AtLeastOnce).retain())
                .await?,
        )
    };
    keep("state").await?;
    let later = visit.client("l").await?;
    let mut heard = subscribe(&later, &visit.topic("+")).await?;
    let message = next(&mut heard, "what was retained").await?;
    expect(message.payload() == b"state" && message.retain, || format!("it came as {message:?}"))?;
    soon("unsubscribing", heard.unsubscribe()).await?;
    keep("").await?;
    let mut heard = subscribe(&later, &visit.topic("+")).await?;
    publish(&client, &mark, "mark", QoS::AtLeastOnce).await?;
    let message = next(&mut heard, "what comes after").await?;
    expect(message.payload() == b"mark", || "what was cleared still comes".to_owned())
}

async fn will(visit: &Visit) -> Checked {
    let topic = visit.topic("will");
    let watcher = visit.client("w").await?;
    let mut heard = subscribe(&watcher, &topic).await?;
    let mut last_words = Will::new(TopicName::try_from(topic.as_str()).unwrap(), "gone");
    last_words.qos = QoS::AtLeastOnce;
    let mortal = soon("connecting", visit.builder("m").will(last_words)).await?;
    mortal.abort();
    let message = next(&mut heard, "the will").await?;
    expect(message.payload() == b"gone", || format!("it came as {message:?}"))
}

/// What is published meanwhile waits for a client that comes back, another one in the same place.
async fn resume(visit: &Visit) -> Checked {
    let topic = visit.topic("waits");
    let stays = || {
        let builder = visit.builder("k").clean_start(CleanStart::Never);
        let lasting = visit.protocol == Protocol::V5;
        if lasting { builder.session_expiry(Duration::from_secs(300)) } else { builder }
    };
    let first = soon("connecting", stays()).await?;
    subscribe(&first, &topic).await?.detach();
    first.abort();
    first.closed().await;
    let other = visit.client("o").await?;
    for number in 0..5 {
        publish(&other, &topic, vec![number], QoS::AtLeastOnce).await?;
    }
    let second = stays().start().map_err(|error| error.to_string())?;
    let (mut events, mut heard) = (second.events(), second.unmatched());
    let present = loop {
        match timeout(PATIENCE, events.next()).await {
            Ok(Some(Event::Connected(connected))) => break connected.session_present,
            Ok(Some(_)) => {}
            _ => return Err("it does not come back".to_owned()),
        }
    };
    expect(present, || "there is no session".to_owned())?;
    for number in 0..5 {
        let message = next(&mut heard, "what was published meanwhile").await?;
        expect(message.payload() == [number], || format!("{:?} in place of {number}", message.payload()))?;
    }
    Ok(())
}

/// The connection is cut: the same client, the same subscription.
async fn comes_back(visit: &Visit) -> Checked {
    let client = visit.client("b").await?;
    let mut heard = subscribe(&client, &visit.topic("again")).await?;
    for text in ["before", "after"] {
        publish(&client, &visit.topic("again"), text, QoS::AtLeastOnce).await?;
        // At QoS 1 one from before the cut may come again.
        while next(&mut heard, text).await?.payload() != text.as_bytes() {}
        visit.door.proxy.iter().for_each(mqtt_testkit::proxy::Proxy::cut);
    }
    Ok(())
}

/// Nothing stays in a buffer: with a keep alive of an hour no other packet pushes the end of a payload.
async fn tail(visit: &Visit) -> Checked {
    let quiet = |role| visit.builder(role).keep_alive(Duration::from_secs(3600));
    let (from, to) = (soon("connecting", quiet("f")).await?, soon("connecting", quiet("t")).await?);
    let mut heard = subscribe(&to, &visit.topic("tail")).await?;
    for size in [64 * 1024, visit.door.largest] {
        let size = size.min(visit.door.largest);
        let publishing = from.publish(visit.topic("tail"), vec![7; size]).qos(QoS::AtLeastOnce);
        let delivery = soon("publishing", publishing.enqueue()).await?;
        let arrived = timeout(LONG, heard.next()).await;
        let message = arrived.map_err(|_| format!("{size} bytes do not come"))?.ok_or("the end")?;
        let whole = message.payload().len() == size && message.payload().iter().all(|byte| *byte == 7);
        expect(whole, || format!("{size} bytes came as {}", message.payload().len()))?;
        sent(timeout(LONG, delivery).await.map_err(|_| "no acknowledgement".to_owned())?)?;
    }
    Ok(())
}

/// Each message to one of two.
async fn shared(visit: &Visit) -> Checked {
    const MESSAGES: u8 = 10;
    let filter = format!("$share/group/{}", visit.topic("work"));
    let workers = [visit.client("x").await?, visit.client("y").await?];
    let mut first = subscribe(&workers[0], &filter).await?;
    let mut second = subscribe(&workers[1], &filter).await?;
    let from = visit.client("z").await?;
    for number in 0..MESSAGES {
        publish(&from, &visit.topic("work"), vec![number], QoS::AtLeastOnce).await?;
    }
    let mut seen: Vec<u8> = Vec::new();
    while seen.len() < usize::from(MESSAGES) {
        let message = timeout(PATIENCE, async {
            tokio::select! { message = first.next() => message, message = second.next() => message }
        });
        let message =
            message.await.map_err(|_| format!("{} of {MESSAGES} came", seen.len()))?.ok_or("the end")?;
        seen.extend(message.payload().first());
    }
    seen.sort_unstable();
    let more = timeout(Duration::from_millis(50), async {
        tokio::select! { message = first.next() => message, message = second.next() => message }
    });
    expect(seen == (0..MESSAGES).collect::<Vec<_>>() && more.await.is_err(), || "some came twice".to_owned())
}

async fn properties(visit: &Visit) -> Checked {
    let client = visit.client("q").await?;
    let mut heard = subscribe(&client, &visit.topic("p")).await?;
    let block = PropertiesBuf::builder()
        .payload_format_indicator(true)
        .message_expiry_interval(600)
        .content_type("text/plain")
        .response_topic("answers")
        .correlation_data(b"17")
        .user_property("a", "1")
        .user_property("a", "2")
        .build()
        .unwrap();
    sent(soon("publishing", client.publish(visit.topic("p"), "x").properties(block)).await?)?;
    let message = next(&mut heard, "it").await?;
    let view = message.properties.view();
    // A server may add some of its own.
    let own: Vec<_> =
        view.user_properties().filter(|(name, _)| *name == "a").map(|(_, value)| value).collect();
    let whole = view.payload_format_indicator() == Some(true)
        && view.message_expiry_interval().is_some_and(|left| (500..=600).contains(&left))
        && view.content_type() == Some("text/plain")
        && view.response_topic() == Some("answers")
        && view.correlation_data() == Some(b"17")
        && own == ["1", "2"];
    expect(whole, || format!("it came with {:?}", message.properties))
}

async fn request(visit: &Visit) -> Checked {
    let (asker, answerer) = (visit.client("a").await?, visit.client("b").await?);
    let mut questions = subscribe(&answerer, &visit.topic("question")).await?;
    let answering = async {
        let question = next(&mut questions, "the question").await?;
        sent(soon("answering", answerer.respond(&question, "42")).await?)
    };
    let asking = soon("asking", asker.request(visit.topic("question"), "?").timeout(PATIENCE));
    let (answer, answered) = tokio::join!(asking, answering);
    answered?;
    expect(answer?.payload() == b"42", || "another answer".to_owned())
}

/// Two filters that fit: each stream has the message once, whether the server sends one copy or two.
async fn overlap(visit: &Visit) -> Checked {
    let client = visit.client("v").await?;
    let mut wide = subscribe(&client, &visit.topic("#")).await?;
    let mut narrow = subscribe(&client, &visit.topic("one/+")).await?;
    for text in ["first", "second"] {
        publish(&client, &visit.topic("one/two"), text, QoS::AtLeastOnce).await?;
        for (heard, name) in [(&mut wide, "the wide one"), (&mut narrow, "the narrow one")] {
            let message = next(heard, name).await?;
            expect(message.payload() == text.as_bytes(), || format!("{name} has {:?}", message.payload()))?;
        }
    }
    Ok(())
}

async fn no_local(visit: &Visit) -> Checked {
    let (client, other) = (visit.client("n").await?, visit.client("o").await?);
    let options = SubscriptionOptions { no_local: true, ..SubscriptionOptions::new(QoS::AtLeastOnce) };
    let mut heard = soon("subscribing", client.subscribe(visit.topic("n")).options(options)).await?;
    publish(&client, &visit.topic("n"), "own", QoS::AtLeastOnce).await?;
    publish(&other, &visit.topic("n"), "other", QoS::AtLeastOnce).await?;
    let message = next(&mut heard, "that of the other").await?;
    expect(message.payload() == b"other", || "its own comes too".to_owned())
}

async fn as_published(visit: &Visit) -> Checked {
    let client = visit.client("h").await?;
    let options =
        SubscriptionOptions { retain_as_published: true, ..SubscriptionOptions::new(QoS::AtLeastOnce) };
    let mut heard = soon("subscribing", client.subscribe(visit.topic("h")).options(options)).await?;
    let publishing = client.publish(visit.topic("h"), "x").qos(QoS::AtLeastOnce).retain();
    sent(soon("publishing", publishing).await?)?;
    let flagged = next(&mut heard, "it").await?.retain;
    sent(soon("clearing", client.publish(visit.topic("h"), "").retain()).await?)?;
    expect(flagged, || "it came without the flag".to_owned())
}

/// The same long topics again and again, both ways: aliases stand for them as far as each side takes them.
async fn aliases(visit: &Visit) -> Checked {
    let client = soon("connecting", visit.builder("i").topic_alias_maximum(4)).await?;
    let mut heard = subscribe(&client, &visit.topic("+/long")).await?;
    for number in 0..20_u8 {
        let topic = visit.topic(&format!("{}/long", number % 6));
        publish(&client, &topic, vec![number], QoS::AtLeastOnce).await?;
        let message = next(&mut heard, "it").await?;
        let same = message.topic() == topic && message.payload() == [number];
        expect(same, || format!("{topic} came as {}", message.topic()))?;
    }
    Ok(())
}
