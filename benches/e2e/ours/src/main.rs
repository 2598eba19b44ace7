//! Our client as an application would use it. `--tune 1` keeps a checked topic instead of passing a `&str` each time.

use bytes::Bytes;
use e2e_common::{Args, Role, Run, Transport, micros, resident};
use mqtt_client::tls::TlsOptions;
use mqtt_client::{Client, DeliveryToken, Outcome, Protocol, QoS, TopicName, connect};
use std::collections::VecDeque;
use std::hint::black_box;
use std::time::{Duration, Instant};

async fn client(args: &Args, index: u64) -> Client {
    let (scheme, path) = match args.transport {
        Transport::Tcp => ("mqtt", ""),
        Transport::Tls => ("mqtts", ""),
        Transport::Ws => ("ws", "/mqtt"),
        Transport::Wss => ("wss", "/mqtt"),
    };
    let url = format!("{scheme}://{}:{}{path}", args.host, args.port());
    let mut builder = connect(&url);
    if args.transport.has_tls() {
        builder = builder.tls(TlsOptions::new().ca_file(&args.ca));
    }
    builder
        .client_id(&args.client_id(index))
        .protocol(if args.version == 5 { Protocol::V5 } else { Protocol::V3_1_1 })
        .in_flight(args.window)
        .await
        .unwrap()
}

fn qos(args: &Args) -> QoS {
    [QoS::AtMostOnce, QoS::AtLeastOnce, QoS::ExactlyOnce][usize::from(args.qos)]
}

async fn publish(args: Args) {
    let (qos, body) = (qos(&args), Bytes::from(args.body()));
    let mut run = Run::start(&args);
    let client = client(&args, 0).await;
    run.connected();
    run.begin();
    if args.tasks > 1 {
        let tasks: Vec<_> =
            (0..args.tasks).map(|_| tokio::spawn(one_of_many(client.clone(), args.clone()))).collect();
        for task in tasks {
            task.await.unwrap();
        }
        run.end(args.count);
    }
    let checked = TopicName::try_from(args.topic.as_str()).unwrap();
    let message = || match args.tune {
        0 => client.publish(args.topic.as_str(), body.clone()),
        _ => client.publish(checked.clone(), body.clone()),
    };
    let mut under_way: VecDeque<DeliveryToken> = VecDeque::new();
    for _ in 0..args.count {
        if under_way.len() == usize::from(args.window) {
            acknowledged(under_way.pop_front().unwrap().await);
            run.first();
        }
        let token = message().qos(qos).enqueue().await.unwrap();
        if qos != QoS::AtMostOnce {
            under_way.push_back(token);
        }
    }
    for token in under_way {
        acknowledged(token.await);
    }
    if qos == QoS::AtMostOnce {
        acknowledged(message().qos(QoS::AtLeastOnce).await.unwrap());
        run.first();
    }
    run.end(args.count)
}

async fn one_of_many(client: Client, args: Args) {
    let (qos, body) = (qos(&args), Bytes::from(args.body()));
    for _ in 0..args.count / args.tasks {
        acknowledged(client.publish(args.topic.as_str(), body.clone()).qos(qos).await.unwrap());
    }
}

fn acknowledged(outcome: Outcome) {
    assert!(matches!(outcome, Outcome::Acked { .. } | Outcome::Sent), "{outcome:?}");
}

async fn subscribe(args: Args) {
    let mut run = Run::start(&args);
    let client = client(&args, 0).await;
    run.connected();
    let mut messages = client.subscribe(args.topic.as_str()).qos(qos(&args)).await.unwrap();
    black_box(messages.next().await.unwrap());
    run.first();
    run.begin();
    for _ in 1..args.count {
        let message = messages.next().await.unwrap();
        black_box(message.payload());
    }
    run.end(args.count)
}

async fn pingpong(args: Args) {
    let (topic, body) = (args.echo_topic(), Bytes::from(args.body()));
    let mut run = Run::start(&args);
    let client = client(&args, 0).await;
    run.connected();
    let mut messages = client.subscribe(topic.as_str()).qos(QoS::AtLeastOnce).await.unwrap();
    let mut latencies = Vec::new();
    run.begin();
    for _ in 0..args.count {
        let start = Instant::now();
        let token =
            client.publish(topic.as_str(), body.clone()).qos(QoS::AtLeastOnce).enqueue().await.unwrap();
        messages.next().await.unwrap();
        latencies.push(micros(start));
        drop(token);
    }
    run.latencies(latencies);
    run.end(args.count)
}

async fn idle(args: Args) {
    let mut run = Run::start(&args);
    let mut clients = Vec::new();
    for index in 0..args.count {
        clients.push(client(&args, index).await);
        if index == 0 {
            tokio::time::sleep(Duration::from_millis(200)).await;
            run.field("rss_one_kb", resident());
        }
    }
    tokio::time::sleep(Duration::from_millis(500)).await;
    run.field("rss_all_kb", resident());
    run.end(args.count)
}

fn main() {
    let args = Args::read();
    args.clone().block_on(async {
        match args.role {
            Role::Pub => publish(args).await,
            Role::Sub => subscribe(args).await,
            Role::Pingpong => pingpong(args).await,
            Role::Idle => idle(args).await,
        }
    })
}
