//! What can go wrong around a store, each with its own error.

mod common;

use common::child::{DIR, assert_success, child, on_small_disk};
use common::power::{copied, file};
use common::{Model, everything, message, put, remember};
use mqtt_client::{Store, StoreError, StoreKey, StoreOp};
use mqtt_store::{DurableStore, StoreReader};
use std::env;
use std::fs;
use std::io::ErrorKind;
use std::path::PathBuf;
use std::process::Command;

#[test]
fn a_second_opening_is_refused_by_name() {
    let dir = tempfile::tempdir().unwrap();
    let mut store = DurableStore::open(dir.path()).unwrap();
    assert!(matches!(DurableStore::open(dir.path()), Err(StoreError::InUse)));
    assert!(matches!(StoreReader::open(dir.path()), Err(StoreError::InUse)));
    assert_success(&child("child_is_refused", dir.path()).output().unwrap());
    // Nobody has disturbed it.
    store.apply(&[message(1)], true).unwrap();
    drop(store);
    let reader = StoreReader::open(dir.path()).unwrap();
    assert!(matches!(DurableStore::open(dir.path()), Err(StoreError::InUse)), "while somebody reads");
    drop(reader);
    DurableStore::open(dir.path()).unwrap();
}

/// Nothing, unless it is run as a child.
#[test]
fn child_is_refused() {
    let Ok(dir) = env::var(DIR) else { return };
    assert!(matches!(DurableStore::open(&dir), Err(StoreError::InUse)));
    assert!(matches!(StoreReader::open(&dir), Err(StoreError::InUse)));
}

/// Loads as each of these clients in turn, in a process each: whether it may.
fn may_load(ops: &[StoreOp], clients: &[(&str, Result<(), &str>)]) {
    let dir = tempfile::tempdir().unwrap();
    DurableStore::open(dir.path()).unwrap().apply(ops, true).unwrap();
    for (given, expected) in clients {
        let loaded = DurableStore::open(dir.path()).unwrap().load(given);
        match (&loaded, expected) {
            (Ok(_), Ok(())) => {}
            (Err(StoreError::OtherClient { owner, given: named }), Err(expected)) => {
                assert_eq!((owner.as_str(), named.as_str()), (*expected, *given));
            }
            _ => panic!("{given:?}: {loaded:?}"),
        }
    }
}

#[test]
fn a_store_belongs_to_its_first_client() {
    let kitchen = Err("kitchen");
    may_load(&[], &[("kitchen", Ok(())), ("cellar", kitchen), ("", kitchen), ("kitchen", Ok(()))]);
    // Without an identifier it belongs to nobody yet.
    may_load(&[message(1)], &[("", Ok(())), ("kitchen", Ok(())), ("", kitchen)]);
    // The server has assigned one.
    let assigned = put(StoreKey::ClientId, "auto-17");
    let auto = Err("auto-17");
    may_load(&[assigned], &[("", Ok(())), ("kitchen", auto), ("auto-17", Ok(())), ("", Ok(()))]);
}

#[test]
fn a_newer_format_is_refused_and_left_alone() {
    let dir = tempfile::tempdir().unwrap();
    drop(DurableStore::open(dir.path()).unwrap());
    let path = file(dir.path(), "store-1.sqlite3");
    let newer = [0, 0, 0, 7];
    let key = [[1].as_slice(), &1_i64.to_be_bytes(), &newer].concat();
    let database = rusqlite::Connection::open(&path).unwrap();
    let sql = "UPDATE session SET value = ?1, sum = ?2 WHERE number = 1";
    database.execute(sql, rusqlite::params![newer, crc32c::crc32c(&key)]).unwrap();
    database.execute("ALTER TABLE messages ADD COLUMN colour", []).unwrap();
    drop(database);
    let before = fs::read(&path).unwrap();
    let refused = DurableStore::open(dir.path());
    assert!(matches!(refused, Err(StoreError::NewerFormat { found: 7, known: 1 })), "{refused:?}");
    assert!(matches!(StoreReader::open(dir.path()), Err(StoreError::NewerFormat { .. })));
    assert_eq!(fs::read(&path).unwrap(), before);
}

#[test]
fn a_file_in_the_way_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("file");
    fs::write(&path, "").unwrap();
    let refused = DurableStore::open(&path);
    assert!(
        matches!(&refused, Err(StoreError::Io(error)) if error.kind() == ErrorKind::AlreadyExists),
        "{refused:?}"
    );
    let refused = StoreReader::open(dir.path());
    assert!(
        matches!(&refused, Err(StoreError::Io(error)) if error.kind() == ErrorKind::NotFound),
        "{refused:?}"
    );
    assert!(!dir.path().join("lock").exists(), "who reads leaves no traces");
}

#[test]
fn a_read_only_directory_is_named_and_can_be_read() {
    let dir = tempfile::tempdir().unwrap();
    if let Some(output) = on_small_disk("child_on_read_only_disk", dir.path(), "2m") {
        assert_success(&output);
    }
}

/// Nothing, unless it is run as a child.
#[test]
fn child_on_read_only_disk() {
    let Ok(dir) = env::var(DIR).map(PathBuf::from) else { return };
    let store = dir.join("store");
    let mut open = DurableStore::open(&store).unwrap();
    open.load("kitchen").unwrap();
    open.apply(&[message(1)], true).unwrap();
    drop(open);
    let remounted = Command::new("mount").args(["-o", "remount,ro"]).arg(&dir).status().unwrap();
    assert!(remounted.success());
    for place in [store.clone(), dir.join("other")] {
        let refused = DurableStore::open(&place);
        let kind = |kind| matches!(kind, ErrorKind::ReadOnlyFilesystem | ErrorKind::PermissionDenied);
        assert!(matches!(&refused, Err(StoreError::Io(error)) if kind(error.kind())), "{refused:?}");
    }
    let mut messages = 0;
    let mut reader = StoreReader::open(&store).unwrap();
    reader.entries(|key, _| messages += usize::from(key == StoreKey::Message(1))).unwrap();
    assert_eq!((messages, reader.owner().unwrap().as_deref()), (1, Some("kitchen")));
}

#[test]
fn on_a_full_disk_what_was_accepted_stays_and_it_goes_on_when_there_is_space() {
    let dir = tempfile::tempdir().unwrap();
    if let Some(output) = on_small_disk("child_on_full_disk", dir.path(), "3m") {
        assert_success(&output);
    }
}

/// Nothing, unless it is run as a child.
#[test]
fn child_on_full_disk() {
    let Ok(dir) = env::var(DIR).map(PathBuf::from) else { return };
    let filler = dir.join("filler");
    fs::write(&filler, vec![1; 1 << 20]).unwrap();
    let path = dir.join("store");
    let mut store = DurableStore::open(&path).unwrap();
    store.load("kitchen").unwrap();
    let mut model = Model::new();
    let mut number = 0;
    let mut fill = |store: &mut DurableStore, model: &mut Model, size: u64| -> StoreError {
        loop {
            let ops: Vec<StoreOp> = (1..=size).map(|n| message(number + n)).collect();
            match store.apply(&ops, number % 40 == 0) {
                Ok(()) => remember(model, &ops),
                Err(error) => return error,
            }
            number += size;
        }
    };
    assert!(matches!(fill(&mut store, &mut model, 20), StoreError::Full));
    assert!(model.len() > 2_000, "{}", model.len());
    assert!(matches!(fill(&mut store, &mut model, 1), StoreError::Full));
    // A new one finds no place.
    fs::write(dir.join("rest"), vec![1; 1 << 20]).unwrap_err();
    let refused = DurableStore::open(dir.join("other"));
    assert!(matches!(refused, Err(StoreError::Full)), "{refused:?}");
    fs::remove_file(dir.join("rest")).unwrap();
    // All is there: for this process, and for the one after a kill.
    assert!(everything(&mut store, "kitchen") == (model.clone(), 0));
    let image = copied(&path);
    assert!(everything(&mut DurableStore::open(image.path()).unwrap(), "kitchen") == (model.clone(), 0));
    // There is space again: the same store goes on.
    fs::remove_file(&filler).unwrap();
    let delete: Vec<StoreOp> = (1..=500).map(|n| StoreOp::Delete(StoreKey::Message(n))).collect();
    for ops in [&[message(1_000_000)], delete.as_slice()] {
        store.apply(ops, true).unwrap();
        remember(&mut model, ops);
    }
    assert!(everything(&mut store, "kitchen") == (model.clone(), 0));
    assert!(matches!(fill(&mut store, &mut model, 7), StoreError::Full));
    // Closed and opened again without space.
    drop(store);
    let mut store = DurableStore::open(&path).unwrap();
    assert!(everything(&mut store, "kitchen") == (model, 0));
}

#[test]
fn space_is_given_back_while_messages_go() {
    let dir = tempfile::tempdir().unwrap();
    let mut store = DurableStore::open(dir.path()).unwrap();
    store.load("kitchen").unwrap();
    // The journal keeps its size.
    let size = || fs::metadata(file(dir.path(), "store-1.sqlite3")).unwrap().len();
    for batch in 0..200_u64 {
        let ops: Vec<StoreOp> = (1..=500).map(|n| message(batch * 500 + n)).collect();
        store.apply(&ops, false).unwrap();
    }
    let full = size();
    for batch in 0..200_u64 {
        let ops: Vec<StoreOp> =
            (1..=500).map(|n| StoreOp::Delete(StoreKey::Message(batch * 500 + n))).collect();
        store.apply(&ops, false).unwrap();
    }
    // What remains is spare, and some for the journal.
    assert!(full > 8 << 20, "{full}");
    assert!(size() < 2 << 20, "{} of {full}", size());
    let last = store.load("kitchen").unwrap().snapshot.last;
    assert_eq!(last, 100_000);
}
