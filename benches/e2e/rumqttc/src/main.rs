//! rumqttc as it is shipped, but with TCP_NODELAY.

use bytes::Bytes;
use e2e_common::{Args, Role, Run, Transport, micros, resident};
use std::hint::black_box;
use std::time::{Duration, Instant};

macro_rules! version {
    ($name:ident, $library:path, $packet:path, $qos:path, $client:ident) => {
        mod $name {
            use super::*;
            use library::{Event, EventLoop};
            use $library as library;
            use $packet as Packet;
            use $qos as QoS;

            fn qos(args: &Args) -> QoS {
                [QoS::AtMostOnce, QoS::AtLeastOnce, QoS::ExactlyOnce][usize::from(args.qos)]
            }

            async fn packet(events: &mut EventLoop) -> Option<Packet> {
                match events.poll().await.unwrap() {
                    Event::Incoming(packet) => Some(packet),
                    _ => None,
                }
            }

            async fn publish(args: Args) {
                let body = Bytes::from(args.body());
                let mut run = Run::start(&args);
                let (client, mut events) = $client(&args, 0, args.window.into());
                while !matches!(packet(&mut events).await, Some(Packet::ConnAck(_))) {}
                run.connected();
                run.begin();
                for _ in 0..args.tasks {
                    let (client, args, body, qos) = (client.clone(), args.clone(), body.clone(), qos(&args));
                    tokio::spawn(async move {
                        for _ in 0..args.count / args.tasks {
                            client.publish_bytes(args.topic.clone(), qos, false, body.clone()).await.unwrap();
                        }
                        if args.qos == 0 {
                            client.publish_bytes(args.topic, QoS::AtLeastOnce, false, body).await.unwrap();
                        }
                    });
                }
                let wanted = if args.qos == 0 { args.tasks } else { args.count };
                let mut acknowledged = 0;
                while acknowledged < wanted {
                    if let Some(Packet::PubAck(_) | Packet::PubComp(_)) = packet(&mut events).await {
                        run.first();
                        acknowledged += 1;
                    }
                }
                run.end(args.count)
            }

            async fn subscribe(args: Args) {
                let mut run = Run::start(&args);
                let (client, mut events) = $client(&args, 0, args.window.into());
                client.subscribe(args.topic.clone(), qos(&args)).await.unwrap();
                let mut messages = 0;
                while messages < args.count {
                    match packet(&mut events).await {
                        Some(Packet::ConnAck(_)) => run.connected(),
                        Some(Packet::Publish(message)) => {
                            black_box(&message.payload);
                            messages += 1;
                            if messages == 1 {
                                run.first();
                                run.begin();
                            }
                        }
                        _ => {}
                    }
                }
                run.end(args.count)
            }

            async fn pingpong(args: Args) {
                let (topic, body) = (args.echo_topic(), Bytes::from(args.body()));
                let mut run = Run::start(&args);
                let (client, mut events) = $client(&args, 0, 10);
                client.subscribe(topic.clone(), QoS::AtLeastOnce).await.unwrap();
                while !matches!(packet(&mut events).await, Some(Packet::SubAck(_))) {}
                let mut latencies = Vec::new();
                run.begin();
                for _ in 0..args.count {
                    let start = Instant::now();
                    client.publish_bytes(topic.clone(), QoS::AtLeastOnce, false, body.clone()).await.unwrap();
                    while !matches!(packet(&mut events).await, Some(Packet::Publish(_))) {}
                    latencies.push(micros(start));
                }
                run.latencies(latencies);
                run.end(args.count)
            }

            async fn idle(args: Args) {
                let mut run = Run::start(&args);
                for index in 0..args.count {
                    let (client, mut events) = $client(&args, index, 10);
                    while !matches!(packet(&mut events).await, Some(Packet::ConnAck(_))) {}
                    tokio::spawn(async move {
                        let _client = client;
                        loop {
                            packet(&mut events).await;
                        }
                    });
                    if index == 0 {
                        tokio::time::sleep(Duration::from_millis(200)).await;
                        run.field("rss_one_kb", resident());
                    }
                }
                tokio::time::sleep(Duration::from_millis(500)).await;
                run.field("rss_all_kb", resident());
                run.end(args.count)
            }

            pub(super) async fn run(args: Args) {
                match args.role {
                    Role::Pub => publish(args).await,
                    Role::Sub => subscribe(args).await,
                    Role::Pingpong => pingpong(args).await,
                    Role::Idle => idle(args).await,
                }
            }
        }
    };
}

fn client4(args: &Args, index: u64, capacity: usize) -> (rumqttc::AsyncClient, rumqttc::EventLoop) {
    let mut options = rumqttc::MqttOptions::new(args.client_id(index), server(args), args.port());
    options.set_transport(transport(args));
    options.set_max_packet_size(1 << 20, 1 << 20).set_inflight(args.window);
    let (client, mut events) = rumqttc::AsyncClient::new(options, capacity);
    events.set_network_options(network());
    (client, events)
}

fn client5(args: &Args, index: u64, capacity: usize) -> (rumqttc::v5::AsyncClient, rumqttc::v5::EventLoop) {
    let mut options = rumqttc::v5::MqttOptions::new(args.client_id(index), server(args), args.port());
    options.set_transport(transport(args));
    options.set_max_packet_size(Some(1 << 20)).set_outgoing_inflight_upper_limit(args.window);
    options.set_network_options(network());
    rumqttc::v5::AsyncClient::new(options, capacity)
}

fn server(args: &Args) -> String {
    match args.transport {
        Transport::Ws => format!("ws://{}:{}/mqtt", args.host, args.port()),
        _ => args.host.clone(),
    }
}

fn transport(args: &Args) -> rumqttc::Transport {
    match args.transport {
        Transport::Tls => rumqttc::Transport::tls(args.ca_pem(), None, None),
        Transport::Ws => rumqttc::Transport::ws(),
        _ => rumqttc::Transport::tcp(),
    }
}

fn network() -> rumqttc::NetworkOptions {
    let mut options = rumqttc::NetworkOptions::new();
    options.set_tcp_nodelay(true);
    options
}

version!(v4, rumqttc, rumqttc::Packet, rumqttc::QoS, client4);
version!(v5, rumqttc::v5, rumqttc::v5::mqttbytes::v5::Packet, rumqttc::v5::mqttbytes::QoS, client5);

fn main() {
    let args = Args::read();
    args.only(&[Transport::Tcp, Transport::Tls, Transport::Ws]);
    rustls::crypto::ring::default_provider().install_default().unwrap();
    let version = args.version;
    args.clone().block_on(async { if version == 5 { v5::run(args).await } else { v4::run(args).await } })
}
