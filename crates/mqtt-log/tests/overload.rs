//! More than can be written: rows are lost and counted, and nobody waits.

mod common;

use common::{PATIENCE, acked, entries, message, publish, receive, written};
use core::time::Duration;
use mqtt_client::{Journal as _, QoS, ReasonCode, Record, connect};
use mqtt_log::{LogOptions, LogReader, MessageLog, Query};
use mqtt_testkit::broker::Broker;
use rusqlite::Connection;
use std::path::Path;
use tokio::time::timeout;

/// Another program that holds the database.
fn lock(home: &Path) -> Connection {
    let db = Connection::open(home.join("messages.sqlite3")).unwrap();
    db.execute_batch("BEGIN IMMEDIATE").unwrap();
    db
}

#[test]
fn a_full_queue_drops_rows_and_counts_them() {
    let home = tempfile::tempdir().unwrap();
    let mut log = LogOptions::new().queue(100, 1 << 20).open(home.path()).unwrap();
    let other = lock(home.path());
    for number in 1..=1000_u64 {
        publish(&mut log, number, &message("a", number.to_string(), QoS::AtLeastOnce), None);
    }
    // What becomes of messages that are logged is logged too, however much waits; of the others nothing.
    for number in 1..=1000 {
        log.record(Record::Completed { number, outcome: &acked(ReasonCode::SUCCESS) });
    }
    log.flush();
    let status = log.status();
    assert_eq!((status.written, status.waiting, status.lost), (0, 100, 900));
    other.execute_batch("COMMIT").unwrap();
    written(&log);
    let found = entries(home.path(), Query::new());
    assert_eq!(found.len(), 100);
    assert!(found.iter().enumerate().all(|(at, entry)| entry.payload == (at + 1).to_string().into_bytes()));
    assert!(found.iter().all(|entry| entry.outcome.is_some()));
    assert_eq!(LogReader::open(home.path()).unwrap().lost().unwrap(), 900);
    // There is room again.
    receive(&mut log, &message("b", "x", QoS::AtMostOnce));
    written(&log);
    assert_eq!((log.status().written, log.status().lost, log.status().error), (101, 900, None));
}

#[test]
fn bytes_are_bounded_too() {
    let home = tempfile::tempdir().unwrap();
    let mut log = LogOptions::new().queue(1000, 10_000).open(home.path()).unwrap();
    let other = lock(home.path());
    for _ in 0..5 {
        receive(&mut log, &message("a", vec![7; 3000], QoS::AtMostOnce));
    }
    assert_eq!((log.status().waiting, log.status().lost), (3, 2));
    drop(other);
    written(&log);
    assert_eq!(entries(home.path(), Query::new()).len(), 3);
}

/// One turn of the client's task, however long, does not go beyond the bounds.
#[test]
fn the_bounds_hold_within_one_turn() {
    let home = tempfile::tempdir().unwrap();
    let mut log = LogOptions::new().queue(10, 1 << 20).open(home.path()).unwrap();
    let message = message("a", "x", QoS::AtMostOnce);
    for _ in 0..1000 {
        log.record(Record::Received { message: &message, receipt: None });
    }
    log.flush();
    written(&log);
    assert_eq!((log.status().written, log.status().lost), (10, 990));
}

#[tokio::test]
async fn a_client_is_not_slowed_by_a_log_that_cannot_write() {
    let (broker, home) = (Broker::start().await.unwrap(), tempfile::tempdir().unwrap());
    let log = LogOptions::new().queue(50, 1 << 20).open(home.path()).unwrap();
    let client = connect(&broker.url()).journal(log.clone()).await.unwrap();
    let other = lock(home.path());
    // The writer waits a second for the lock, each time: one wait for it would be seen here.
    let publishing = async {
        for number in 0..2000 {
            client.publish("a", number.to_string()).qos(QoS::AtLeastOnce).await.unwrap();
        }
    };
    timeout(PATIENCE, publishing).await.unwrap();
    let status = log.status();
    assert_eq!((status.written, status.waiting), (0, 50));
    assert!(status.lost >= 1900, "{status:?}");
    drop(other);
    client.disconnect().await.unwrap();
    written(&log);
    assert_eq!(log.status().written + log.status().lost, 2000);
}

/// The last handle does not wait for ever either.
#[test]
fn the_end_waits_a_little_and_no_longer() {
    let home = tempfile::tempdir().unwrap();
    let mut log = MessageLog::open(home.path()).unwrap();
    let _other = lock(home.path());
    receive(&mut log, &message("a", "x", QoS::AtMostOnce));
    assert!(!log.wait_written(Duration::from_millis(10)));
    let (done, ended) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        drop(log);
        done.send(()).unwrap();
    });
    ended.recv_timeout(PATIENCE).unwrap();
}
