//! What the operating system sees and says: how often the disk is waited for (a store that never waits would pass every other
//! test), and system calls that fail.

mod common;

use common::child::{DIR, assert_success, child};
use common::power::{copied, file};
use common::{Model, everything, message, remember};
use mqtt_client::{Store, StoreError};
use mqtt_store::{Durability, DurableStore};
use std::env;
use std::fs;
use std::path::Path;
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

/// Nothing, unless it is run as a child, in which the disk fails the second time that it is waited for.
#[test]
fn child_whose_disk_fails_once() {
    let Ok(dir) = env::var(DIR) else { return };
    let dir = Path::new(&dir);
    let mut store = DurableStore::open(dir).unwrap();
    store.load("kitchen").unwrap();
    let mut model = Model::new();
    store.apply(&[message(1)], true).unwrap();
    remember(&mut model, &[message(1)]);
    let (before, begun) = (journal(dir).len(), salt(&journal(dir)));
    let refused = store.apply(&[message(2), message(3)], true);
    assert!(matches!(&refused, Err(StoreError::Io(error)) if error.raw_os_error() == Some(5)), "{refused:?}");
    assert!(everything(&mut store, "kitchen").0 == model, "what was refused is not to be sent");
    let failed = journal(dir).len();
    // It can be written before it can be promised.
    store.apply(&[message(4)], false).unwrap();
    store.apply(&[message(5)], true).unwrap();
    remember(&mut model, &[message(4), message(5)]);
    assert!(everything(&mut store, "kitchen") == (model.clone(), 0));
    // The end of the process; and the loss of power, where the disk has forgotten what it failed to write.
    for forgets in [false, true] {
        let image = copied(dir);
        let mut bytes = journal(image.path());
        if forgets && salt(&bytes) == begun {
            bytes[before..failed].fill(0);
            fs::write(file(image.path(), "-wal"), bytes).unwrap();
        }
        let mut again = DurableStore::open(image.path()).unwrap();
        assert!(everything(&mut again, "kitchen") == (model.clone(), 0), "the disk forgets: {forgets}");
    }
    assert_ne!(salt(&journal(dir)), begun, "the journal was begun anew");
    drop(store);
    assert!(everything(&mut DurableStore::open(dir).unwrap(), "kitchen") == (model, 0));
}

fn journal(dir: &Path) -> Vec<u8> {
    fs::read(file(dir, "-wal")).unwrap()
}

/// SQLite chooses it whenever it begins the journal anew.
fn salt(journal: &[u8]) -> [u8; 8] {
    journal[16..24].try_into().unwrap()
}

#[test]
fn what_the_disk_would_not_promise_is_refused_and_what_comes_behind_it_stays() {
    let fails = "fdatasync:error=EIO:when=2";
    let Some(calls) = calls_with(&[fails]) else { return };
    // The same, and the refused messages cannot be deleted at once, nor with what comes next: they are not shown, and
    // not forgotten where the database is opened anew.
    let writes = calls.lines().take_while(|line| !line.contains("INJECTED"));
    let writes = writes.filter(|line| line.contains("pwrite64(")).count();
    for failing in [1, 2] {
        let more = format!("pwrite64:error=EIO:when={}..{}", writes + 1, writes + failing);
        let calls = calls_with(&[fails, &more]).unwrap();
        assert_eq!(calls.matches("INJECTED").count(), 1 + failing, "{calls}");
    }
}

/// The calls of a child whose disk fails so. `None` if they cannot be made to fail.
fn calls_with(faults: &[&str]) -> Option<String> {
    let dir = tempfile::tempdir().unwrap();
    let calls = dir.path().join("calls");
    let plain = child("child_whose_disk_fails_once", &dir.path().join("store"));
    let mut command = Command::new("strace");
    command.args(["-f", "-qq", "-e", "trace=fdatasync,pwrite64", "-o"]).arg(&calls);
    for fault in faults {
        command.arg("-e").arg(format!("inject={fault}"));
    }
    command.arg(plain.get_program()).args(plain.get_args());
    command.envs(plain.get_envs().filter_map(|(name, value)| Some((name, value?))));
    let Ok(output) = command.output() else {
        eprintln!("skipped: no strace here");
        return None;
    };
    assert_success(&output);
    Some(fs::read_to_string(calls).unwrap())
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
