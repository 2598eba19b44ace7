//! What a message log costs: our client against the sink, with a log and without one. Prints a line of JSON: the CPU of the
//! client's thread, and that of the thread that writes.

use bytes::Bytes;
use clap::Parser;
use mqtt_client::{Client, DeliveryToken, QoS, connect};
use mqtt_log::MessageLog;
use nix::sys::resource::{UsageWho, getrusage};
use serde_json::json;
use std::collections::VecDeque;
use std::hint::black_box;
use std::path::PathBuf;
use std::time::{Duration, Instant};

#[derive(Parser)]
struct Args {
    #[arg(long, default_value_t = 18899)]
    port: u16,
    /// `pub` or `sub`
    #[arg(long, default_value = "pub")]
    role: String,
    #[arg(long, default_value_t = 1)]
    qos: u8,
    #[arg(long, default_value_t = 200_000)]
    count: u64,
    /// Messages a second, published in portions of a millisecond; 0 for as many as can be
    #[arg(long, default_value_t = 0)]
    rate: u64,
    #[arg(long, default_value_t = 64)]
    payload: usize,
    /// Where the log is; without it there is none
    #[arg(long)]
    log: Option<PathBuf>,
}

fn main() {
    let args = Args::parse();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let log = args.log.as_ref().map(|path| MessageLog::open(path).unwrap());
    let (thread, process) = (cpu(UsageWho::RUSAGE_THREAD), cpu(UsageWho::RUSAGE_SELF));
    let begin = Instant::now();
    runtime.block_on(run(&args, log.clone()));
    let wall = begin.elapsed().as_secs_f64();
    // Before anybody waits for what is still to be written.
    let thread = cpu(UsageWho::RUSAGE_THREAD) - thread;
    let complete = log.as_ref().is_none_or(|log| log.wait_written(Duration::from_secs(30)));
    let writer = cpu(UsageWho::RUSAGE_SELF) - process - thread;
    let status = log.as_ref().map(MessageLog::status);
    let per_message = |seconds: f64| seconds * 1e6 / args.count as f64;
    println!(
        "{}",
        json!({
            "client_us": per_message(thread), "writer_us": per_message(writer), "wall_s": wall, "complete": complete,
            "written": status.as_ref().map(|status| status.written), "lost": status.as_ref().map(|status| status.lost),
        })
    );
    std::process::exit(0);
}

async fn run(args: &Args, log: Option<MessageLog>) {
    let mut builder = connect(&format!("mqtt://127.0.0.1:{}", args.port)).client_id("bench").in_flight(100);
    if let Some(log) = log {
        builder = builder.journal(log);
    }
    let client = builder.await.unwrap();
    match args.role.as_str() {
        "pub" => publish(&client, args).await,
        _ => subscribe(&client, args).await,
    }
}

async fn publish(client: &Client, args: &Args) {
    let qos = QoS::from_u8(args.qos).unwrap();
    let body = Bytes::from(b"{\"celsius\":23.5} ".iter().copied().cycle().take(args.payload).collect::<Vec<_>>());
    let portion = if args.rate == 0 { u64::MAX } else { args.rate / 1000 };
    let mut ticks = tokio::time::interval(Duration::from_millis(1));
    let mut under_way: VecDeque<DeliveryToken> = VecDeque::new();
    for number in 0..args.count {
        if number % portion == 0 {
            ticks.tick().await;
        }
        if under_way.len() == 100 {
            black_box(under_way.pop_front().unwrap().await);
        }
        let token = client.publish("bench/dev-00001/temp", body.clone()).qos(qos).enqueue().await.unwrap();
        under_way.push_back(token);
    }
    for token in under_way {
        black_box(token.await);
    }
}

async fn subscribe(client: &Client, args: &Args) {
    let topic = format!("blast/{}/{}/{}", args.qos, args.count, args.payload);
    let mut messages = client.subscribe(topic).qos(QoS::from_u8(args.qos).unwrap()).await.unwrap();
    for _ in 0..args.count {
        black_box(messages.next().await.unwrap());
    }
}

/// User and system time in seconds.
fn cpu(who: UsageWho) -> f64 {
    let usage = getrusage(who).unwrap();
    let (user, system) = (usage.user_time(), usage.system_time());
    (user.tv_sec() + system.tv_sec()) as f64 + (user.tv_usec() + system.tv_usec()) as f64 / 1e6
}
