//! mqtt-endpoint-tokio: packets go in and out of a task for each endpoint. A window of W is a semaphore around taking a
//! packet identifier and sending.

use e2e_common::{Args, Role, Run, Transport, micros, resident};
use mqtt_endpoint_tokio::mqtt_ep::packet::{PacketType, Qos, SubEntry, SubOpts, v3_1_1, v5_0};
use mqtt_endpoint_tokio::mqtt_ep::{self, Mode, Version};
use std::hint::black_box;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::net::TcpStream;
use tokio::sync::Semaphore;

type Endpoint = mqtt_ep::Endpoint<mqtt_ep::role::Client>;

const QOS: [Qos; 3] = [Qos::AtMostOnce, Qos::AtLeastOnce, Qos::ExactlyOnce];

async fn connect(args: &Args, index: u64) -> Endpoint {
    let v5 = args.version == 5;
    let endpoint = Endpoint::new(if v5 { Version::V5_0 } else { Version::V3_1_1 });
    let stream = TcpStream::connect((args.host.as_str(), args.port)).await.unwrap();
    stream.set_nodelay(true).unwrap();
    let transport = mqtt_ep::transport::TcpTransport::from_stream(stream);
    endpoint.attach(transport, Mode::Client).await.unwrap();
    endpoint.set_auto_pub_response(true).await.unwrap();
    let id = args.client_id(index);
    if v5 {
        let connect = v5_0::Connect::builder().client_id(id).unwrap().keep_alive(60).clean_start(true);
        endpoint.send(connect.build().unwrap()).await.unwrap();
    } else {
        let connect = v3_1_1::Connect::builder().client_id(id).unwrap().keep_alive(60).clean_session(true);
        endpoint.send(connect.build().unwrap()).await.unwrap();
    }
    until(&endpoint, &[PacketType::Connack]).await;
    endpoint
}

/// Takes packets until one is of these types.
async fn until(endpoint: &Endpoint, types: &[PacketType]) {
    loop {
        let packet = black_box(endpoint.recv().await.unwrap());
        if types.contains(&packet.packet_type()) {
            return;
        }
    }
}

async fn send(endpoint: &Endpoint, v5: bool, topic: &str, body: &[u8], qos: u8) {
    let id = match qos {
        0 => None,
        _ => Some(endpoint.acquire_packet_id_when_available().await.unwrap()),
    };
    let qos = QOS[usize::from(qos)];
    if v5 {
        let mut publish = v5_0::Publish::builder().topic_name(topic).unwrap().qos(qos).payload(body);
        if let Some(id) = id {
            publish = publish.packet_id(id);
        }
        endpoint.send(publish.build().unwrap()).await.unwrap();
    } else {
        let mut publish = v3_1_1::Publish::builder().topic_name(topic).unwrap().qos(qos).payload(body);
        if let Some(id) = id {
            publish = publish.packet_id(id);
        }
        endpoint.send(publish.build().unwrap()).await.unwrap();
    }
}

async fn ask(endpoint: &Endpoint, v5: bool, filter: &str, qos: u8) {
    let id = endpoint.acquire_packet_id().await.unwrap();
    let entries = vec![SubEntry::new(filter, SubOpts::new().set_qos(QOS[usize::from(qos)])).unwrap()];
    if v5 {
        let subscribe = v5_0::Subscribe::builder().packet_id(id).entries(entries);
        endpoint.send(subscribe.build().unwrap()).await.unwrap();
    } else {
        let subscribe = v3_1_1::Subscribe::builder().packet_id(id).entries(entries);
        endpoint.send(subscribe.build().unwrap()).await.unwrap();
    }
    until(endpoint, &[PacketType::Suback]).await;
}

async fn publish(args: Args) {
    let mut run = Run::start(&args);
    let endpoint = Arc::new(connect(&args, 0).await);
    run.connected();
    run.begin();
    let window = Arc::new(Semaphore::new(args.window.into()));
    for _ in 0..args.tasks {
        let (endpoint, window, args) = (endpoint.clone(), window.clone(), args.clone());
        tokio::spawn(async move {
            let (v5, body) = (args.version == 5, args.body());
            for _ in 0..args.count / args.tasks {
                if args.qos > 0 {
                    window.acquire().await.unwrap().forget();
                }
                send(&endpoint, v5, &args.topic, &body, args.qos).await;
            }
            if args.qos == 0 {
                send(&endpoint, v5, &args.topic, &body, 1).await;
            }
        });
    }
    for _ in 0..if args.qos == 0 { args.tasks } else { args.count } {
        until(&endpoint, &[PacketType::Puback, PacketType::Pubcomp]).await;
        run.first();
        window.add_permits(1);
    }
    run.end(args.count)
}

async fn subscribe(args: Args) {
    let mut run = Run::start(&args);
    let endpoint = connect(&args, 0).await;
    run.connected();
    ask(&endpoint, args.version == 5, &args.topic, args.qos).await;
    until(&endpoint, &[PacketType::Publish]).await;
    run.first();
    run.begin();
    for _ in 1..args.count {
        until(&endpoint, &[PacketType::Publish]).await;
    }
    run.end(args.count)
}

async fn pingpong(args: Args) {
    let (v5, topic, body) = (args.version == 5, args.echo_topic(), args.body());
    let mut run = Run::start(&args);
    let endpoint = connect(&args, 0).await;
    run.connected();
    ask(&endpoint, v5, &topic, 1).await;
    let mut latencies = Vec::new();
    run.begin();
    for _ in 0..args.count {
        let start = Instant::now();
        send(&endpoint, v5, &topic, &body, 1).await;
        until(&endpoint, &[PacketType::Publish]).await;
        latencies.push(micros(start));
    }
    run.latencies(latencies);
    run.end(args.count)
}

async fn idle(args: Args) {
    let mut run = Run::start(&args);
    let mut endpoints = Vec::new();
    for index in 0..args.count {
        endpoints.push(connect(&args, index).await);
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
    args.only(&[Transport::Tcp]);
    args.clone().block_on(async {
        match args.role {
            Role::Pub => publish(args).await,
            Role::Sub => subscribe(args).await,
            Role::Pingpong => pingpong(args).await,
            Role::Idle => idle(args).await,
        }
    })
}
