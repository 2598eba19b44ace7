//! What the operating system sees and says: how often the disk is waited for (a store that never waits would pass every other
//! test), and system calls that fail.

mod common;

use common::child::{DIR, assert_success, child};
use common::{Model, everything, message, remember};
use mqtt_client::Store;
use mqtt_store::{Durability, DurableStore};
use std::env;
use std::fs;
use std::process::Command;

const MODE: &str = "MQTT_STORE_TEST_MODE";
const BATCHES: u64 = 60;

/// Nothing, unless it is run as a child.
#[test]
fn child_applies_batches() {
    let (Ok(dir), Ok(mode)) = (env::var(DIR), env::var(MODE)) else { return };
    let durability = if mode == "buffered" { Durability::Buffered } else { Durability::Synced };
    let mut store = DurableStore::open(dir).unwrap().durability(durability);
    store.load("kitchen").unwrap();
    for number in 0..BATCHES {
        store.apply(&[message(number)], mode != "plain" && mode != "after").unwrap();
        if mode == "after" {
            store.apply(&[], true).unwrap();
        }
    }
}

/// Nothing, unless it is run as a child.
#[test]
fn child_on_a_failing_disk() {
    let Ok(dir) = env::var(DIR) else { return };
    let mut store = DurableStore::open(&dir).unwrap();
    store.load("kitchen").unwrap();
    let (mut model, mut refused) = (Model::new(), 0);
    for number in 1..=BATCHES {
        let ops = [message(number), message(number + 1_000)];
        while let Err(error) = store.apply(&ops, true) {
            refused += 1;
            assert!(refused < 500, "{error}");
        }
        remember(&mut model, &ops);
    }
    assert!(everything(&mut store, "kitchen") == (model, 0));
    println!("refused {refused}");
}

#[test]
fn after_a_failed_call_the_same_store_goes_on() {
    for fault in [
        "fdatasync:error=EIO:when=40+3",
        "pwrite64:error=ENOSPC:when=100+23",
        "pwrite64:error=EIO:when=100+37",
    ] {
        let dir = tempfile::tempdir().unwrap();
        let plain = child("child_on_a_failing_disk", &dir.path().join("store"));
        let mut command = Command::new("strace");
        command.args(["-f", "-qq", "-o", "/dev/null", "-e"]).arg(format!("inject={fault}"));
        command.arg(plain.get_program()).args(plain.get_args());
        command.envs(plain.get_envs().filter_map(|(name, value)| Some((name, value?))));
        let Ok(output) = command.output() else {
            eprintln!("skipped: no strace here");
            return;
        };
        assert_success(&output);
        eprintln!(
            "{fault}: {}",
            String::from_utf8_lossy(&output.stdout).lines().find(|line| line.contains("refused")).unwrap()
        );
    }
}

/// How often a child of this mode waits for the disk. `None` if that cannot be seen.
fn waits(mode: &str) -> Option<usize> {
    let dir = tempfile::tempdir().unwrap();
    let calls = dir.path().join("calls");
    let plain = child("child_applies_batches", &dir.path().join("store"));
    let mut command = Command::new("strace");
    command.args(["-f", "-qq", "-e", "trace=fsync,fdatasync", "-o"]).arg(&calls);
    command.arg(plain.get_program()).args(plain.get_args());
    command.envs(plain.get_envs().filter_map(|(name, value)| Some((name, value?)))).env(MODE, mode);
    let Ok(output) = command.output() else {
        eprintln!("skipped: no strace here");
        return None;
    };
    assert_success(&output);
    Some(fs::read_to_string(calls).unwrap().matches("sync(").count())
}

#[test]
fn the_disk_is_waited_for_where_it_is_asked_for_and_else_not() {
    let Some(plain) = waits("plain") else { return };
    // Making it, opening it, closing it.
    assert!(plain < 30, "{plain} without");
    let each = usize::try_from(BATCHES).unwrap();
    let [synced, after, buffered] = ["synced", "after", "buffered"].map(|mode| waits(mode).unwrap());
    assert!((each..each + 30).contains(&synced), "{synced} for {each} batches");
    assert!(after >= each, "{after} for {each} empty ones behind what waits");
    assert!(buffered < 30, "{buffered} when buffered");
}
