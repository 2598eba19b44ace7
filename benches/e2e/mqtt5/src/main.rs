//! mqtt5. Its publish waits for the acknowledgement, so that a window of W takes W tasks.

use e2e_common::{Args, Role, Run, Transport, micros, resident};
use mqtt5::{ConnectOptions, MqttClient, ProtocolVersion, QoS, SubscribeOptions};
use std::hint::black_box;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};
use tokio::sync::mpsc;
use tokio::task::JoinSet;

async fn client(args: &Args, index: u64) -> MqttClient {
    let id = args.client_id(index);
    let client = MqttClient::new(id.clone());
    let version = if args.version == 5 { ProtocolVersion::V5 } else { ProtocolVersion::V311 };
    let options = ConnectOptions::new(id).with_protocol_version(version).with_automatic_reconnect(false);
    let (scheme, path) = match args.transport {
        Transport::Tls => ("mqtts", ""),
        Transport::Ws => ("ws", "/mqtt"),
        _ => ("mqtt", ""),
    };
    if args.transport == Transport::Tls {
        client.set_tls_config(None, None, Some(args.ca_pem())).await;
    }
    let url = format!("{scheme}://{}:{}{path}", args.host, args.port());
    client.connect_with_options(&url, options).await.unwrap();
    client
}

fn qos(args: &Args) -> QoS {
    [QoS::AtMostOnce, QoS::AtLeastOnce, QoS::ExactlyOnce][usize::from(args.qos)]
}

async fn publish(args: Args) {
    let (qos, body) = (qos(&args), args.body());
    let mut run = Run::start(&args);
    let client = client(&args, 0).await;
    run.connected();
    run.begin();
    let tasks = match args.qos {
        0 => args.tasks,
        _ => args.tasks.max(args.window.into()),
    };
    let mut publishing = JoinSet::new();
    for _ in 0..tasks {
        let (client, topic, body) = (client.clone(), args.topic.clone(), body.clone());
        publishing.spawn(async move {
            for _ in 0..args.count / tasks {
                client.publish_qos(topic.as_str(), body.as_slice(), qos).await.unwrap();
            }
        });
    }
    while let Some(ended) = publishing.join_next().await {
        ended.unwrap();
    }
    if args.qos == 0 {
        client.publish_qos(args.topic.as_str(), body.as_slice(), QoS::AtLeastOnce).await.unwrap();
    }
    run.end(args.count)
}

async fn subscribe(args: Args) {
    let mut run = Run::start(&args);
    let client = client(&args, 0).await;
    run.connected();
    let (sender, mut receiver) = mpsc::unbounded_channel();
    let (messages, count) = (AtomicU64::new(0), args.count);
    let options = SubscribeOptions { qos: qos(&args), ..Default::default() };
    let each = move |message: mqtt5::types::Message| {
        black_box(&message.payload);
        let number = messages.fetch_add(1, Relaxed) + 1;
        if number == 1 || number == count {
            sender.send(()).unwrap();
        }
    };
    client.subscribe_with_options(args.topic.as_str(), options, each).await.unwrap();
    receiver.recv().await.unwrap();
    run.first();
    run.begin();
    receiver.recv().await.unwrap();
    run.end(args.count)
}

async fn pingpong(args: Args) {
    let (topic, body) = (args.echo_topic(), args.body());
    let mut run = Run::start(&args);
    let client = client(&args, 0).await;
    run.connected();
    let (sender, mut receiver) = mpsc::unbounded_channel();
    let options = SubscribeOptions { qos: QoS::AtLeastOnce, ..Default::default() };
    client.subscribe_with_options(topic.as_str(), options, move |_| sender.send(()).unwrap()).await.unwrap();
    let mut latencies = Vec::new();
    run.begin();
    for _ in 0..args.count {
        let start = Instant::now();
        let back = async {
            receiver.recv().await.unwrap();
            latencies.push(micros(start));
        };
        tokio::join!(client.publish_qos(topic.as_str(), body.as_slice(), QoS::AtLeastOnce), back).0.unwrap();
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
    args.only(&[Transport::Tcp, Transport::Tls, Transport::Ws]);
    args.clone().block_on(async {
        match args.role {
            Role::Pub => publish(args).await,
            Role::Sub => subscribe(args).await,
            Role::Pingpong => pingpong(args).await,
            Role::Idle => idle(args).await,
        }
    })
}
