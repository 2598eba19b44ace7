//! The proof: a process that publishes and receives with a store on disk is killed with SIGKILL, at each operation of the
//! store, at each write to its files, and at random moments, its server too; the next process goes on. Every message whose
//! `enqueue` returned arrives, at QoS 2 once, in order; every message from the server is taken, and again only if there was no
//! time to note that it was.
//!
//! `MQTT_KILLS` sets how often at random; the counts are printed with `--nocapture`.

mod child;
mod judge;
mod life;
#[path = "../common/power.rs"]
#[allow(dead_code, reason = "other tests need more of it")]
mod power;

use child::Death;
use judge::Judge;
use life::{Life, Order};
use mqtt_client::{Protocol, QoS};
use mqtt_testkit::server::Server;
use std::process::Command;

const BOTH: [QoS; 2] = [QoS::AtLeastOnce, QoS::ExactlyOnce];

/// How often to kill at random in each run: 300 in all if nothing is set.
fn kills(share: u32) -> u32 {
    let all = std::env::var("MQTT_KILLS").ok().and_then(|kills| kills.parse().ok()).unwrap_or(24);
    u32::max(all / share, 1)
}

/// The other process: this program once more, with what it shall do in its environment. Nothing without that.
#[test]
fn child() {
    if std::env::var_os("KILL_DIR").is_some() {
        child::run();
    }
}

/// Dies before and after each operation that the store is asked for.
#[tokio::test]
async fn at_each_operation_of_the_store() {
    for (qos, protocol) in [(QoS::AtLeastOnce, Protocol::V3_1_1), (QoS::ExactlyOnce, Protocol::V5)] {
        let mut judge = Judge::new(Server::testkit().await, qos, protocol).await;
        let mut operation = 1;
        loop {
            let [before, after] = [Death::Before(operation), Death::After(operation)];
            let survived =
                judge.live(Order { messages: 4, death: before, ..Order::default() }).await == Life::Whole;
            judge.live(Order { messages: 4, death: after, ..Order::default() }).await;
            if survived {
                break;
            }
            operation += 1;
        }
        assert!(operation > 4, "the child lived after {operation} operations");
        judge.end(&format!("{qos:?}, {protocol}, at {operation} operations")).await;
    }
}

/// Dies at each call that changes its files, of each kind.
#[tokio::test]
async fn at_each_write() {
    if Command::new("strace").arg("-V").output().is_err() {
        eprintln!("skipped: there is no strace (apt-get install strace)");
        return;
    }
    let mut judge = Judge::new(Server::testkit().await, QoS::ExactlyOnce, Protocol::V5).await;
    for call in ["pwrite64", "fdatasync", "ftruncate", "unlink"] {
        for count in 1.. {
            let died =
                judge.live(Order { messages: 3, death: Death::At(call, count), ..Order::default() }).await;
            if died == Life::Whole || count > 60 {
                break;
            }
        }
    }
    judge.end("at each write").await;
}

async fn at_random(server: Server, qos: QoS, protocol: Protocol, name: &str) {
    let mut judge = Judge::new(server, qos, protocol).await;
    for kill in 0..kills(4) {
        judge.live(Order { messages: 10_000, death: Death::Random, ..Order::default() }).await;
        if kill % 8 == 7 {
            judge.crash_server().await;
        }
    }
    judge.end(&format!("{qos:?}, {protocol}, {name}")).await;
}

#[tokio::test]
async fn at_random_on_the_testkit() {
    for qos in BOTH {
        at_random(Server::testkit().await, qos, Protocol::V5, "testkit").await;
    }
}

#[tokio::test]
async fn at_random_on_mosquitto() {
    for qos in BOTH {
        at_random(Server::mosquitto().await, qos, Protocol::V3_1_1, "mosquitto").await;
    }
}

/// The files are cut back to what they were when the disk was last waited for.
#[tokio::test]
async fn a_loss_of_power() {
    for qos in BOTH {
        let mut judge = Judge::new(Server::testkit().await, qos, Protocol::V5).await;
        for _ in 0..kills(4) {
            judge.live(Order { messages: 10_000, death: Death::Random, power: true }).await;
        }
        judge.end(&format!("{qos:?}, loss of power")).await;
    }
}
