//! A process that is killed while it logs leaves a log that is whole as far as it goes.

mod common;

use common::{PATIENCE, entries, message, publish, receive, written};
use core::time::Duration;
use mqtt_client::{Outcome, QoS};
use mqtt_log::{LogReader, MessageLog, Query};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::{env, thread};

/// Tells the child where to write.
const HOME: &str = "MQTT_LOG_CRASH_HOME";

/// The child's part: writes for ever. Nothing, if it is not asked to.
#[test]
fn child_writes() {
    let Some(home) = env::var_os(HOME) else { return };
    let mut log = MessageLog::open(PathBuf::from(home)).unwrap();
    for number in 1.. {
        let outcome = (number % 3 > 0).then_some(&Outcome::Sent);
        publish(&mut log, number, &message("a", number.to_string(), QoS::AtMostOnce), outcome);
        if number % 100 == 0 {
            thread::sleep(Duration::from_millis(1));
        }
    }
}

struct Writing(Child);

impl Writing {
    fn start(home: &Path) -> Self {
        let mut child = Command::new(env::current_exe().unwrap());
        child.args(["--exact", "child_writes"]).env(HOME, home).stdout(Stdio::null());
        Self(child.spawn().unwrap())
    }
}

impl Drop for Writing {
    /// SIGKILL.
    fn drop(&mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}

fn last_id(home: &Path) -> i64 {
    let Ok(reader) = LogReader::open(home) else { return 0 };
    let last = reader.entries(Query::new().last(1)).next();
    last.map_or(0, |entry| entry.unwrap().id)
}

#[test]
fn a_killed_writer_leaves_a_readable_log() {
    let home = tempfile::tempdir().unwrap();
    let mut seen = 0;
    for round in 0..6_i64 {
        let child = Writing::start(home.path());
        let mut steps = 0;
        // Somebody reads all the while.
        while last_id(home.path()) < seen + 1000 {
            thread::sleep(Duration::from_millis(1 + 7 * round.unsigned_abs()));
            steps += 1;
            assert!(steps < PATIENCE.as_millis(), "the child writes nothing");
        }
        drop(child);
        let found = entries(home.path(), Query::new());
        assert!(found.iter().enumerate().all(|(at, entry)| entry.id == at as i64 + 1), "a gap");
        let this_run = found.iter().filter(|entry| entry.id > seen);
        let numbers: Vec<_> =
            this_run.map(|entry| String::from_utf8_lossy(&entry.payload).into_owned()).collect();
        let expected: Vec<_> = (1..=numbers.len()).map(|number| number.to_string()).collect();
        assert_eq!(numbers, expected, "round {round}");
        seen = found.len() as i64;
        let db = rusqlite::Connection::open(home.path().join("messages.sqlite3")).unwrap();
        let check: String = db.query_row("PRAGMA integrity_check", [], |row| row.get(0)).unwrap();
        assert_eq!(check, "ok");
    }
}

#[test]
fn several_processes_write_one_log() {
    let home = tempfile::tempdir().unwrap();
    let children = [Writing::start(home.path()), Writing::start(home.path())];
    let mut log = MessageLog::open(home.path()).unwrap();
    for _ in 0..20 {
        receive(&mut log, &message("mine", "x", QoS::AtMostOnce));
        written(&log);
    }
    while last_id(home.path()) < 3000 {
        thread::sleep(Duration::from_millis(10));
    }
    drop(children);
    let found = entries(home.path(), Query::new());
    assert!(found.iter().enumerate().all(|(at, entry)| entry.id == at as i64 + 1), "a gap");
    assert_eq!(found.iter().filter(|entry| entry.topic == "mine").count(), 20);
}
