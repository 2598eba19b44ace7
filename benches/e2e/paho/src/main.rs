//! Eclipse Paho C, asynchronous interface, through its Rust wrapper. It has threads of its own: `--threads` says nothing.

use e2e_common::{Args, Role, Run, Transport, micros, resident};
use paho_mqtt::{
    AsyncClient, ConnectOptionsBuilder, CreateOptionsBuilder, DeliveryToken, Message, PersistenceType,
    SslOptionsBuilder,
};
use paho_mqtt::{MQTT_VERSION_3_1_1, MQTT_VERSION_5};
use std::collections::VecDeque;
use std::hint::black_box;
use std::sync::mpsc;
use std::thread::sleep;
use std::time::{Duration, Instant};

fn client(args: &Args, index: u64) -> AsyncClient {
    CreateOptionsBuilder::new()
        .server_uri(server(args))
        .client_id(args.client_id(index))
        .persistence(args.store.as_deref().map(PersistenceType::from))
        .max_buffered_messages(i32::from(args.window) + 10)
        .mqtt_version(if args.version == 5 { MQTT_VERSION_5 } else { MQTT_VERSION_3_1_1 })
        .create_client()
        .unwrap()
}

fn server(args: &Args) -> String {
    let (scheme, path) = match args.transport {
        Transport::Tcp => ("tcp", ""),
        Transport::Tls => ("ssl", ""),
        Transport::Ws => ("ws", "/mqtt"),
        Transport::Wss => ("wss", "/mqtt"),
    };
    format!("{scheme}://{}:{}{path}", args.host, args.port())
}

fn connect(args: &Args, client: &AsyncClient) {
    let v5 = args.version == 5;
    let mut options = if v5 { ConnectOptionsBuilder::new_v5() } else { ConnectOptionsBuilder::new_v3() };
    options.keep_alive_interval(Duration::from_secs(60)).max_inflight(args.window.into());
    if args.transport.has_tls() {
        options.ssl_options(SslOptionsBuilder::new().trust_store(&args.ca).unwrap().finalize());
    }
    client.connect(options.finalize()).wait().unwrap();
}

fn publish(args: &Args, mut run: Run) {
    let body = args.body();
    let client = client(args, 0);
    connect(args, &client);
    run.connected();
    run.begin();
    let message = |qos: u8| Message::new(args.topic.as_str(), body.as_slice(), i32::from(qos));
    let mut under_way: VecDeque<DeliveryToken> = VecDeque::new();
    for _ in 0..args.count {
        if under_way.len() == usize::from(args.window) {
            under_way.pop_front().unwrap().wait().unwrap();
            run.first();
        }
        under_way.push_back(client.try_publish(message(args.qos)).unwrap());
    }
    for token in under_way {
        token.wait().unwrap();
    }
    if args.qos == 0 {
        client.publish(message(1)).wait().unwrap();
    }
    run.end(args.count)
}

fn subscribe(args: &Args, mut run: Run) {
    let client = client(args, 0);
    let (sender, receiver) = mpsc::channel();
    let (mut messages, count) = (0, args.count);
    client.set_message_callback(move |_, message| {
        if let Some(message) = message {
            black_box(message.payload());
            messages += 1;
            if messages == 1 || messages == count {
                sender.send(()).unwrap();
            }
        }
    });
    connect(args, &client);
    run.connected();
    client.subscribe(args.topic.as_str(), i32::from(args.qos)).wait().unwrap();
    receiver.recv().unwrap();
    run.first();
    run.begin();
    receiver.recv().unwrap();
    run.end(args.count)
}

fn pingpong(args: &Args, mut run: Run) {
    let (topic, body) = (args.echo_topic(), args.body());
    let client = client(args, 0);
    let (sender, receiver) = mpsc::channel();
    client.set_message_callback(move |_, message| {
        if message.is_some() {
            sender.send(()).unwrap();
        }
    });
    connect(args, &client);
    run.connected();
    client.subscribe(topic.as_str(), 1).wait().unwrap();
    let mut latencies = Vec::new();
    run.begin();
    for _ in 0..args.count {
        let start = Instant::now();
        let token = client.try_publish(Message::new(topic.as_str(), body.as_slice(), 1)).unwrap();
        receiver.recv().unwrap();
        latencies.push(micros(start));
        drop(token);
    }
    run.latencies(latencies);
    run.end(args.count)
}

fn idle(args: &Args, mut run: Run) {
    let mut clients = Vec::new();
    for index in 0..args.count {
        let client = client(args, index);
        connect(args, &client);
        clients.push(client);
        if index == 0 {
            sleep(Duration::from_millis(200));
            run.field("rss_one_kb", resident());
        }
    }
    sleep(Duration::from_millis(500));
    run.field("rss_all_kb", resident());
    run.end(args.count)
}

fn main() {
    let args = Args::read();
    let run = Run::start(&args);
    match args.role {
        Role::Pub => publish(&args, run),
        Role::Sub => subscribe(&args, run),
        Role::Pingpong => pingpong(&args, run),
        Role::Idle => idle(&args, run),
    }
}
