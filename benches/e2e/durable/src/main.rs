//! Our client with a store on disk, and what a disk alone can do. `--tune 1` is `Durability::Buffered`.

use bytes::Bytes;
use cap::Cap;
use clap::{Parser, ValueEnum};
use e2e_common::{Args, Run, micros, resident};
use mqtt_client::{
    Client, ConnectBuilder, DeliveryToken, Event, Outcome, Protocol, QoS, ReconnectPolicy, connect,
};
use mqtt_store::{Durability, DurableStore};
use std::alloc::System;
use std::collections::VecDeque;
use std::fs::{self, File};
use std::io::{Seek, Write};
use std::path::Path;
use std::time::{Duration, Instant};

/// Tokens that `accept` holds.
const HELD: usize = 100;

#[global_allocator]
static ALLOCATOR: Cap<System> = Cap::new(System, usize::MAX);

#[derive(Parser)]
struct Command {
    #[command(flatten)]
    args: Args,
    #[arg(long, value_enum, default_value_t = What::Publish)]
    what: What,
}

#[derive(Clone, Copy, ValueEnum)]
enum What {
    /// Publish all messages and wait for the last acknowledgement
    Publish,
    /// Accept one message after another, connected, and wait for the acknowledgements at the end
    Accept,
    /// No client: append the payload to a file, and wait until it is on the disk
    Append,
    /// The same in a file that does not grow
    Overwrite,
    /// Accept all messages without a server, the tokens dropped, and look at the memory
    Fill,
    /// Start with what is stored, without a server, and look at the memory
    Reopen,
    /// Start with what is stored, and end once the server accepts the client
    Ready,
    /// Start with what is stored, connect, and send it
    Restore,
}

fn directory(args: &Args) -> &Path {
    args.store.as_deref().expect("--store")
}

fn durable(args: &Args) -> ConnectBuilder {
    let durability = if args.tune == 1 { Durability::Buffered } else { Durability::Synced };
    let store = DurableStore::open(directory(args)).unwrap().durability(durability);
    connect(&format!("mqtt://{}:{}", args.host, args.port))
        .client_id("durable")
        .protocol(if args.version == 5 { Protocol::V5 } else { Protocol::V3_1_1 })
        .in_flight(args.window)
        .queue(10_000_000, 1 << 32)
        .store(store)
}

/// Nobody answers, and it does not ask again.
fn offline(args: &Args) -> Client {
    let hour = Duration::from_secs(3600);
    let policy = ReconnectPolicy::default().first_delay(hour).max_delay(hour);
    durable(args).reconnect(policy).start().unwrap()
}

/// With a window of 1 the shortest call there is; otherwise so many tokens are held.
async fn publish(args: Args) {
    let body = Bytes::from(args.body());
    let mut run = Run::start(&args);
    let client = durable(&args).await.unwrap();
    run.connected();
    let message = || client.publish(args.topic.as_str(), body.clone()).qos(QoS::AtLeastOnce);
    acknowledged(message().await.unwrap());
    run.begin();
    if args.window == 1 {
        let mut latencies = Vec::with_capacity(args.count as usize);
        for _ in 0..args.count {
            let start = Instant::now();
            acknowledged(message().await.unwrap());
            latencies.push(micros(start));
        }
        run.latencies(latencies);
        run.end(args.count);
    }
    let mut under_way: VecDeque<DeliveryToken> = VecDeque::new();
    for _ in 0..args.count {
        if under_way.len() == usize::from(args.window) {
            acknowledged(under_way.pop_front().unwrap().await);
        }
        under_way.push_back(message().try_enqueue().unwrap());
    }
    for token in under_way {
        acknowledged(token.await);
    }
    run.end(args.count)
}

/// What one caller waits for until a message is on the disk; it leaves meanwhile, and so many tokens are held.
async fn accept(args: Args) {
    let body = Bytes::from(args.body());
    let mut run = Run::start(&args);
    let client = durable(&args).await.unwrap();
    run.connected();
    let message = || client.publish(args.topic.as_str(), body.clone()).qos(QoS::AtLeastOnce);
    acknowledged(message().await.unwrap());
    run.begin();
    let mut latencies = Vec::with_capacity(args.count as usize);
    let mut under_way: VecDeque<DeliveryToken> = VecDeque::new();
    for _ in 0..args.count {
        let start = Instant::now();
        let token = message().enqueue().await.unwrap();
        latencies.push(micros(start));
        under_way.push_back(token);
        if under_way.len() > HELD {
            acknowledged(under_way.pop_front().unwrap().await);
        }
    }
    for token in under_way {
        acknowledged(token.await);
    }
    run.latencies(latencies);
    run.end(args.count)
}

fn acknowledged(outcome: Outcome) {
    assert!(matches!(outcome, Outcome::Acked { .. }), "{outcome:?}");
}

fn append(args: &Args, grows: bool) -> ! {
    let body = args.body();
    fs::create_dir_all(directory(args)).unwrap();
    let mut file = File::create(directory(args).join("floor")).unwrap();
    if !grows {
        file.write_all(&vec![0; body.len() * (args.count as usize + 1)]).unwrap();
        file.sync_all().unwrap();
        file.rewind().unwrap();
    }
    let mut write = || {
        file.write_all(&body).unwrap();
        file.sync_data().unwrap();
    };
    let mut run = Run::start(args);
    write();
    run.begin();
    let mut latencies = Vec::with_capacity(args.count as usize);
    for _ in 0..args.count {
        let start = Instant::now();
        write();
        latencies.push(micros(start));
    }
    run.latencies(latencies);
    run.end(args.count)
}

async fn fill(args: Args) {
    let mut run = Run::start(&args);
    let client = offline(&args);
    run.begin();
    let tasks = 500;
    let tasks: Vec<_> = (0..tasks)
        .map(|task| {
            let (client, args) = (client.clone(), args.clone());
            tokio::spawn(async move {
                let body = Bytes::from(args.body());
                let share = args.count / tasks + u64::from(task < args.count % tasks);
                for _ in 0..share {
                    let message = client.publish(args.topic.as_str(), body.clone()).qos(QoS::AtLeastOnce);
                    drop(message.enqueue().await.unwrap());
                }
            })
        })
        .collect();
    for task in tasks {
        task.await.unwrap();
    }
    memory(&mut run);
    run.end(args.count)
}

fn memory(run: &mut Run) {
    run.field("rss_kb", resident());
    run.field("allocated_kb", ALLOCATOR.allocated() / 1024);
}

async fn reopen(args: Args) {
    let mut run = Run::start(&args);
    run.begin();
    let client = offline(&args);
    let mut events = client.events();
    while let Some(event) = events.next().await {
        if let Event::Restored { messages, .. } = event {
            run.field("restored", messages);
            break;
        }
    }
    run.connected();
    // The first page of messages is read.
    tokio::time::sleep(Duration::from_millis(500)).await;
    memory(&mut run);
    run.end(args.count)
}

async fn restore(args: Args, send: bool) {
    let mut run = Run::start(&args);
    run.begin();
    let client = durable(&args).await.unwrap();
    run.connected();
    memory(&mut run);
    if !send {
        run.end(args.count);
    }
    assert_eq!(client.drain(Duration::from_secs(args.timeout)).await, 0);
    run.end(args.count)
}

fn main() {
    let Command { args, what } = Command::parse();
    args.limit();
    args.clone().block_on(async {
        match what {
            What::Publish => publish(args).await,
            What::Accept => accept(args).await,
            What::Append => append(&args, true),
            What::Overwrite => append(&args, false),
            What::Fill => fill(args).await,
            What::Reopen => reopen(args).await,
            What::Ready => restore(args, false).await,
            What::Restore => restore(args, true).await,
        }
    })
}
