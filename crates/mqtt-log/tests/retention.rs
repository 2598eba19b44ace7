//! What is kept: by age, by number, by size.

mod common;

use common::{PATIENCE, entries, message, receive, written};
use core::time::Duration;
use mqtt_client::QoS;
use mqtt_log::{LogOptions, MessageLog, Query};
use std::path::Path;
use std::thread;

#[track_caller]
fn until(what: &str, mut condition: impl FnMut() -> bool) {
    for _ in 0..PATIENCE.as_millis() / 20 {
        if condition() {
            return;
        }
        thread::sleep(Duration::from_millis(20));
    }
    panic!("{what}");
}

fn fill(log: &mut MessageLog, messages: usize, size: usize) {
    for number in 0..messages {
        let mut payload = number.to_string().into_bytes();
        payload.resize(size.max(payload.len()), b' ');
        receive(log, &message("a", payload, QoS::AtMostOnce));
        if number % 1000 == 0 {
            written(log);
        }
    }
    written(log);
}

fn file_size(home: &Path) -> u64 {
    home.join("messages.sqlite3").metadata().unwrap().len()
}

#[test]
fn only_so_many_rows_stay_the_newest() {
    let home = tempfile::tempdir().unwrap();
    let mut log = LogOptions::new().keep_rows(1000).open(home.path()).unwrap();
    fill(&mut log, 5000, 10);
    // It is done after each write.
    until("rows are deleted", || entries(home.path(), Query::new()).len() == 1000);
    let found = entries(home.path(), Query::new());
    assert_eq!((found[0].id, found[999].id), (4001, 5000));
    // A second run goes on where the first has ended.
    drop(log);
    let mut log = LogOptions::new().keep_rows(10).open(home.path()).unwrap();
    fill(&mut log, 1, 10);
    until("rows are deleted", || entries(home.path(), Query::new()).len() == 10);
    assert_eq!(entries(home.path(), Query::new())[9].id, 5001);
}

#[test]
fn old_rows_go_by_themselves() {
    let home = tempfile::tempdir().unwrap();
    let mut log = LogOptions::new().keep_for(Duration::from_millis(400)).open(home.path()).unwrap();
    fill(&mut log, 500, 10);
    until("all are too old", || entries(home.path(), Query::new()).is_empty());
    // Numbers are not used again, even if nothing is left.
    fill(&mut log, 1, 10);
    assert_eq!(entries(home.path(), Query::new())[0].id, 501);
}

#[test]
fn the_file_keeps_to_its_size_and_space_is_given_back() {
    let home = tempfile::tempdir().unwrap();
    let limit = 2 << 20;
    let mut log = LogOptions::new().keep_bytes(limit).open(home.path()).unwrap();
    fill(&mut log, 10_000, 1000);
    until("rows are deleted", || {
        let found = entries(home.path(), Query::new());
        // Ten million bytes have passed; of them nearly two are left.
        (1000..2100).contains(&found.len()) && found.last().unwrap().id == 10_000
    });
    drop(log);
    // All of it is in the file when the last writer is gone.
    assert!(file_size(home.path()) <= limit + limit / 8, "{}", file_size(home.path()));

    // A smaller bound later shrinks it.
    let mut log = LogOptions::new().keep_bytes(limit / 8).open(home.path()).unwrap();
    until("it is small", || {
        fill(&mut log, 1, 10);
        entries(home.path(), Query::new()).len() < 250
    });
    fill(&mut log, 1, 10);
    drop(log);
    assert!(file_size(home.path()) <= limit / 4, "{}", file_size(home.path()));
}

#[test]
fn everything_stays_unless_something_is_said() {
    let home = tempfile::tempdir().unwrap();
    let mut log = MessageLog::open(home.path()).unwrap();
    fill(&mut log, 3000, 10);
    assert_eq!(entries(home.path(), Query::new()).len(), 3000);
}
