//! The living fork of rumqttc, with TCP_NODELAY. `--tune N` writes up to N requests at once instead of one.

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
                            client
                                .publish(args.topic.clone(), body.clone(), library::PublishOptions::new(qos))
                                .await
                                .unwrap();
                        }
                        if args.qos == 0 {
                            client
                                .publish(args.topic, body, library::PublishOptions::new(QoS::AtLeastOnce))
                                .await
                                .unwrap();
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
                    client
                        .publish(topic.clone(), body.clone(), library::PublishOptions::new(QoS::AtLeastOnce))
                        .await
                        .unwrap();
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

/// A WebSocket is chosen by the address.
macro_rules! server {
    ($library:ident, $args:ident) => {
        match $args.transport {
            Transport::Ws => {
                let url = format!("ws://{}:{}/mqtt", $args.host, $args.port());
                $library::Broker::websocket(url).unwrap()
            }
            _ => $library::Broker::tcp($args.host.clone(), $args.port()),
        }
    };
}

fn client4(args: &Args, index: u64, capacity: usize) -> (next4::AsyncClient, next4::EventLoop) {
    let mut options = next4::MqttOptions::new(args.client_id(index), server!(next4, args));
    if args.transport == Transport::Tls {
        options.set_transport(next4::Transport::tls(args.ca_pem(), None, None));
    }
    options.set_max_packet_size(1 << 20, 1 << 20).set_inflight(args.window).set_max_request_batch(args.tune);
    let (client, mut events) = next4::AsyncClient::builder(options).capacity(capacity).build();
    let mut network = next4::NetworkOptions::new();
    network.set_tcp_nodelay(true);
    events.set_network_options(network);
    (client, events)
}

fn client5(args: &Args, index: u64, capacity: usize) -> (next5::AsyncClient, next5::EventLoop) {
    let mut options = next5::MqttOptions::new(args.client_id(index), server!(next5, args));
    if args.transport == Transport::Tls {
        options.set_transport(next5::Transport::tls(args.ca_pem(), None, None));
    }
    options.set_max_packet_size(Some(1 << 20)).set_outgoing_inflight_upper_limit(args.window);
    options.set_max_request_batch(args.tune);
    let mut network = next5::NetworkOptions::new();
    network.set_tcp_nodelay(true);
    options.set_network_options(network);
    next5::AsyncClient::builder(options).capacity(capacity).build()
}

version!(v4, next4, next4::Packet, next4::QoS, client4);
version!(v5, next5, next5::Packet, next5::QoS, client5);

fn main() {
    let args = Args::read();
    args.only(&[Transport::Tcp, Transport::Tls, Transport::Ws]);
    rustls::crypto::ring::default_provider().install_default().unwrap();
    let version = args.version;
    args.clone().block_on(async { if version == 5 { v5::run(args).await } else { v4::run(args).await } })
}
