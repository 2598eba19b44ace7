//! `SIGKILL` at any moment: the next process finds every batch that had returned, maybe the one after, nothing by half.

mod common;

use common::child::{DIR, child};
use common::{Model, everything, message, put, remember};
use core::time::Duration;
use mqtt_client::{Store, StoreKey, StoreOp};
use mqtt_store::DurableStore;
use std::env;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Command, Stdio};

/// Where a child ends by itself.
const LIMIT: &str = "MQTT_STORE_TEST_LIMIT";

/// The batches that every child applies, each of another size; the last operation tells which one it is.
fn batch(index: u64) -> Vec<StoreOp> {
    let first = index * 10;
    let mut ops: Vec<StoreOp> = (1..=1 + index % 10).map(|n| message(first + n)).collect();
    if index.is_multiple_of(7) {
        ops.push(put(StoreKey::Message(first + 9), "x".repeat(9_000)));
    }
    ops.push(put(StoreKey::Exchange(first + 1), "PUBACK"));
    if let Some(done) = index.checked_sub(20) {
        ops.extend((1..=10).map(|n| StoreOp::Delete(StoreKey::Message(done * 10 + n))));
        ops.push(StoreOp::Delete(StoreKey::Exchange(done * 10 + 1)));
    }
    ops.push(put(StoreKey::Release(1), index.to_string()));
    ops
}

/// How many batches a store has, and all of what they left.
fn reached(dir: &Path) -> (u64, Model) {
    let mut store = DurableStore::open(dir).unwrap();
    let (found, damaged) = everything(&mut store, "kitchen");
    assert_eq!(damaged, 0);
    let marker = found.get(&StoreKey::Release(1));
    let batches = marker.map_or(0, |text| str::from_utf8(text).unwrap().parse::<u64>().unwrap() + 1);
    (batches, found)
}

/// What is left after so many batches.
fn model(batches: u64) -> Model {
    let mut model = Model::new();
    for index in batches.saturating_sub(30)..batches {
        remember(&mut model, &batch(index));
    }
    // Older ones are deleted by these.
    model.retain(|key, _| match key {
        StoreKey::Message(number) | StoreKey::Exchange(number) => *number > batches.saturating_sub(20) * 10,
        _ => true,
    });
    model
}

/// Nothing, unless it is run as a child.
#[test]
fn child_applies_batches() {
    let Ok(dir) = env::var(DIR) else { return };
    let limit: u64 = env::var(LIMIT).map_or(u64::MAX, |limit| limit.parse().unwrap());
    let (first, _) = reached(dir.as_ref());
    let mut store = DurableStore::open(&dir).unwrap();
    store.load("kitchen").unwrap();
    for index in (first..).take_while(|index| *index < limit) {
        store.apply(&batch(index), index % 3 == 0).unwrap();
        writeln!(std::io::stdout(), "applied {index}").unwrap();
    }
}

/// The number of batches that a child reported.
fn reported(lines: impl Iterator<Item = String>) -> Option<u64> {
    lines.filter_map(|line| line.split_once("applied ")?.1.parse::<u64>().ok()).last().map(|index| index + 1)
}

fn check(dir: &Path, before: u64, reported: Option<u64>, what: &str) -> u64 {
    let (batches, found) = reached(dir);
    let returned = reported.unwrap_or(before);
    assert!(batches == returned || batches == returned + 1, "{what}: {batches} of {returned}");
    assert!(found == model(batches), "{what}: a batch by half after {batches}");
    batches
}

#[test]
fn killed_at_random_moments_it_has_all_that_returned() {
    let rounds: u64 = env::var("MQTT_STORE_KILLS").map_or(40, |rounds| rounds.parse().unwrap());
    let dir = tempfile::tempdir().unwrap();
    let mut batches = 0;
    let mut random = 0x2545_F491_4F6C_DD1D_u64;
    for round in 0..rounds {
        let mut running = child("child_applies_batches", dir.path()).stdout(Stdio::piped()).spawn().unwrap();
        let mut lines = BufReader::new(running.stdout.take().unwrap()).lines().map(Result::unwrap);
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        // Some die while they open it, most at work.
        let mut seen = None;
        if !round.is_multiple_of(5) {
            seen = reported(lines.by_ref().take(8));
        }
        std::thread::sleep(Duration::from_micros(random % 20_000));
        running.kill().unwrap();
        running.wait().unwrap();
        let seen = reported(lines).or(seen);
        batches = check(dir.path(), batches, seen, &format!("round {round}"));
    }
    assert!(batches > rounds * 4, "{batches}");
    eprintln!("{rounds} kills, {batches} batches");
}

#[test]
fn killed_at_each_of_its_system_calls_it_has_all_that_returned() {
    let calls = "openat,pwrite64,write,fdatasync,fsync,ftruncate,fallocate,rename,unlink,copy_file_range";
    if !Command::new("strace").args(["-o", "/dev/null", "true"]).status().is_ok_and(|status| status.success())
    {
        eprintln!("skipped: no strace here, or it may not trace");
        return;
    }
    let every: usize = env::var("MQTT_STORE_EVERY").map_or(11, |every| every.parse().unwrap());
    let mut kills = 0;
    for when in (1..).step_by(every) {
        let dir = tempfile::tempdir().unwrap();
        let plain = child("child_applies_batches", dir.path());
        let output = Command::new("strace")
            .args(["-f", "-qq", "-o", "/dev/null", "-e"])
            .arg(format!("inject={calls}:signal=KILL:when={when}"))
            .arg(plain.get_program())
            .args(plain.get_args())
            .env(DIR, dir.path())
            .env(LIMIT, "25")
            .output()
            .unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        check(dir.path(), 0, reported(text.lines().map(str::to_owned)), &format!("call {when}"));
        if output.status.success() {
            break;
        }
        kills += 1;
    }
    assert!(kills * every > 150, "{kills} kills, each {every} calls later");
    eprintln!("{kills} kills, each {every} calls later");
}
