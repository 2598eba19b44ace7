//! Minutes at a steady rate over real sockets, with cuts at random moments: nothing lost, nothing twice, memory flat.
//! On Linux.
//!
//! ```sh
//! cargo run --release --example soak      # ten minutes
//! cargo run --release --example soak 30   # seconds
//! ```

#[path = "../tests/common/mod.rs"]
mod common;

use common::number;
use common::server::{PATIENCE, client};
use core::time::Duration;
use mqtt_client::{CleanStart, Client, Outcome, Protocol, QoS};
use mqtt_testkit::server::Server;
use std::collections::VecDeque;
use tokio::time::{MissedTickBehavior, interval, sleep, timeout};

/// Messages a second at each QoS.
const RATE: u32 = 1_000;
/// At most so much may be added after the first tenth of the time, in KiB.
const GROWTH: u64 = 2_048;

fn seconds() -> u32 {
    std::env::args().nth(1).and_then(|seconds| seconds.parse().ok()).unwrap_or(600)
}

/// Memory of this process, broker and clients, in KiB.
fn resident() -> u64 {
    let statm = std::fs::read_to_string("/proc/self/statm").expect("Linux");
    statm.split(' ').nth(1).and_then(|pages| pages.parse::<u64>().ok()).expect("a number of pages") * 4
}

async fn persistent(server: &Server, id: &str) -> Client {
    client(&server.url(), id, Protocol::V5)
        .clean_start(CleanStart::Never)
        .session_expiry(Duration::from_secs(3_600))
        .topic_alias_maximum(10)
        .await
        .expect("connected")
}

/// Publishes at the rate until the time is over, and sees each delivery to its end.
async fn publish(client: Client, qos: QoS, messages: u32) {
    let mut ticks = interval(Duration::from_millis(10));
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut deliveries = VecDeque::new();
    for number in 0..messages {
        if number % (RATE / 100) == 0 {
            ticks.tick().await;
        }
        let message = client.publish(format!("soak/{qos:?}"), number.to_be_bytes().to_vec()).qos(qos);
        deliveries.push_back(message.enqueue().await.expect("accepted"));
        while deliveries.len() > 1_000 {
            let outcome = deliveries.pop_front().expect("there are").await;
            assert!(matches!(&outcome, Outcome::Acked { reason, .. } if !reason.is_error()), "{outcome:?}");
        }
    }
    for delivery in deliveries {
        let outcome = delivery.await;
        assert!(matches!(&outcome, Outcome::Acked { reason, .. } if !reason.is_error()), "{outcome:?}");
    }
}

/// Receives until the last number: QoS 2 without a gap or a repetition, QoS 1 without a gap. Returns the repetitions.
async fn receive(client: Client, qos: QoS, messages: u32) -> u32 {
    let mut subscription = client.subscribe(format!("soak/{qos:?}")).qos(qos).await.expect("subscribed");
    let (mut next, mut repeated) = (0, 0);
    while next < messages {
        let message = timeout(PATIENCE, subscription.next()).await.expect("in time").expect("it goes on");
        match number(&message) {
            number if number == next => next += 1,
            number if number < next && qos == QoS::AtLeastOnce => repeated += 1,
            number => panic!("{number} where {next} was due, at {qos:?}"),
        }
    }
    repeated
}

#[tokio::main(worker_threads = 2)]
async fn main() {
    let server = Server::testkit().await;
    let messages = seconds() * RATE;
    let mut tasks = Vec::new();
    for qos in [QoS::AtLeastOnce, QoS::ExactlyOnce] {
        let receiver = persistent(&server, &format!("in{qos:?}")).await;
        tasks.push(tokio::spawn(receive(receiver, qos, messages)));
        sleep(Duration::from_millis(500)).await;
        let publisher = persistent(&server, &format!("out{qos:?}")).await;
        tasks.push(tokio::spawn(async move {
            publish(publisher, qos, messages).await;
            0
        }));
    }
    let (mut cuts, mut settled, mut highest) = (0, 0, 0);
    let beginning = common::now();
    while tasks.iter().any(|task| !task.is_finished()) {
        sleep(Duration::from_millis(fastrand::u64(50..2_000))).await;
        server.cut();
        cuts += 1;
        let memory = resident();
        let elapsed = beginning.elapsed();
        if elapsed < Duration::from_secs(u64::from(seconds()) / 10) {
            settled = settled.max(memory);
        }
        highest = highest.max(memory);
    }
    let mut repeated = 0;
    for task in tasks {
        repeated += task.await.expect("it did well");
    }
    println!(
        "{} messages in {:?}, {cuts} cuts of all connections, {repeated} repeated at QoS 1; \
         memory {settled} KiB after a tenth of the time, {highest} KiB at most",
        2 * messages,
        beginning.elapsed(),
    );
    assert!(highest <= settled + GROWTH, "memory grew from {settled} KiB to {highest} KiB");
}
