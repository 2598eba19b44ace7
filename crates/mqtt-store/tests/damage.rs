//! Torn ends and flipped bits: what is whole is there, what is not is counted, nothing wrong is shown.

mod common;

use common::power::{LosesPower, copied, file, files, flip};
use common::{Model, everything, message, put, received, remember};
use mqtt_client::{Store, StoreKey, StoreOp};
use mqtt_store::DurableStore;
use std::fs;
use std::path::Path;
use tempfile::TempDir;

/// A generator that needs no crate: xorshift.
struct Random(u64);

impl Random {
    fn below(&mut self, end: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 % end as u64).unwrap()
    }
}

/// A store that was just killed, with 20 batches in its journal, and what it held after each.
fn killed() -> (TempDir, Vec<Model>) {
    let dir = tempfile::tempdir().unwrap();
    let mut store = DurableStore::open(dir.path()).unwrap();
    store.load("kitchen").unwrap();
    let mut states = vec![Model::new()];
    for batch in 0..20_u64 {
        let mut ops: Vec<StoreOp> = (1..=20).map(|n| message(batch * 20 + n)).collect();
        ops.push(put(StoreKey::Exchange(batch * 20 + 1), "PUBACK"));
        ops.extend((0..batch).map(|n| StoreOp::Delete(StoreKey::Message(batch * 15 + n))));
        ops.push(put(received(1 + u16::try_from(batch).unwrap()), "PUBREC"));
        store.apply(&ops, batch % 3 == 0).unwrap();
        let mut state = states.last().unwrap().clone();
        remember(&mut state, &ops);
        states.push(state);
    }
    let image = copied(dir.path());
    (image, states)
}

/// A store that was closed, everything in its database.
fn closed() -> (TempDir, Model) {
    let (dir, mut states) = killed();
    drop(DurableStore::open(dir.path()).unwrap());
    (dir, states.pop().unwrap())
}

fn open(dir: &Path) -> (Model, usize) {
    everything(&mut DurableStore::open(dir).unwrap(), "kitchen")
}

#[test]
fn a_torn_journal_shows_whole_batches_only() {
    let (dir, states) = killed();
    let length = fs::metadata(file(dir.path(), "-wal")).unwrap().len();
    let mut seen = 0;
    for cut in (0..length).step_by(1711).chain([length]) {
        let torn = copied(dir.path());
        fs::OpenOptions::new().write(true).open(file(torn.path(), "-wal")).unwrap().set_len(cut).unwrap();
        let (found, damaged) = open(torn.path());
        assert_eq!(damaged, 0, "cut at {cut}");
        let prefix = states.iter().position(|state| *state == found).expect("a batch by half");
        assert!(prefix >= seen, "cut at {cut}: {prefix} batches, {seen} before");
        seen = prefix;
    }
    assert_eq!(seen, 20);
}

#[test]
fn a_torn_journal_with_rubbish_behind_shows_whole_batches_only() {
    let (dir, states) = killed();
    let mut random = Random(7);
    for _ in 0..20 {
        let torn = copied(dir.path());
        let journal = file(torn.path(), "-wal");
        let mut bytes = fs::read(&journal).unwrap();
        let from = 32 + random.below(bytes.len() - 32);
        bytes[from..].iter_mut().for_each(|byte| *byte = u8::try_from(random.below(256)).unwrap());
        fs::write(&journal, bytes).unwrap();
        let (found, damaged) = open(torn.path());
        assert!(states.contains(&found), "a batch by half");
        assert_eq!(damaged, 0, "rubbish from {from} on");
    }
}

#[test]
fn a_flipped_bit_in_the_journal_is_turned_back_or_reported() {
    let (dir, states) = killed();
    let bits = fs::metadata(file(dir.path(), "-wal")).unwrap().len() as usize * 8;
    let mut random = Random(42);
    // All of the header, each part of a frame's header, and anywhere.
    let header: Vec<usize> = (0..32 * 8).collect();
    let frame: Vec<usize> = (32 * 8..56 * 8).map(|bit| bit + 5 * 4120 * 8).collect();
    let anywhere: Vec<usize> = (0..200).map(|_| random.below(bits)).collect();
    let lost = |bit: usize| {
        let flipped = copied(dir.path());
        flip(&file(flipped.path(), "-wal"), bit);
        let (found, damaged) = open(flipped.path());
        assert!(states.contains(&found), "bit {bit}: a batch by half");
        assert_eq!(damaged, usize::from(found != states[20]), "bit {bit}");
        found != states[20]
    };
    let count = |bits: Vec<usize>| bits.into_iter().filter(|bit| lost(*bit)).count();
    assert_eq!(count(header), 0);
    // The lower halves of the page's number and of the number of pages look like some other bits of the page.
    assert!(count(frame) <= 32);
    // A page that is not of rows cannot be checked.
    let untold = count(anywhere);
    assert!(untold <= 20, "{untold}");
}

#[test]
fn a_larger_hole_in_the_journal_is_reported_and_kept() {
    let (dir, states) = killed();
    let journal = file(dir.path(), "-wal");
    let mut bytes = fs::read(&journal).unwrap();
    bytes[32 + 6 * 4120 + 1000..][..512].fill(0xAA);
    fs::write(&journal, &bytes).unwrap();
    let (found, damaged) = open(dir.path());
    assert!(states[..20].contains(&found));
    assert_eq!(damaged, 1);
    assert_eq!(fs::read(file(dir.path(), "damaged-1.sqlite3-wal")).unwrap(), bytes);
    assert_eq!(open(dir.path()), (found, 0), "reported once");
}

/// What is shown is right, and what is not is counted.
fn check(dir: &Path, all: &Model, what: &str) -> usize {
    let (found, damaged) = open(dir);
    for (key, value) in &found {
        assert_eq!(all.get(key), Some(value), "{what}: {key:?}");
    }
    let lost = all.len() - found.len();
    assert!(lost == 0 || damaged > 0, "{what}: {lost} lost without a word");
    assert_eq!(open(dir), (found, 0), "{what}: the same again, reported once");
    lost
}

#[test]
fn a_flipped_bit_costs_what_stood_there_and_is_reported() {
    let (dir, all) = closed();
    let store = file(dir.path(), "store-1.sqlite3");
    let bits = fs::metadata(&store).unwrap().len() as usize * 8;
    let mut random = Random(4711);
    let (mut most, mut losses) = (0, 0);
    for _ in 0..400 {
        let flipped = copied(dir.path());
        let bit = random.below(bits);
        flip(&file(flipped.path(), "store-1.sqlite3"), bit);
        let lost = check(flipped.path(), &all, &format!("bit {bit}"));
        most = most.max(lost);
        losses += usize::from(lost > 0);
    }
    // A page holds about 33 of these messages.
    assert!(most <= 40, "{most} of {} lost by one bit", all.len());
    assert!(losses > 100, "{losses}");
}

#[test]
fn a_flipped_bit_in_the_first_page_costs_nothing() {
    let (dir, all) = closed();
    for bit in (0..100 * 8).step_by(3).chain((100 * 8..4096 * 8).step_by(97)) {
        let flipped = copied(dir.path());
        flip(&file(flipped.path(), "store-1.sqlite3"), bit);
        let (found, _) = open(flipped.path());
        assert!(found == all, "bit {bit}: {} of {} entries", found.len(), all.len());
    }
}

#[test]
fn pages_that_are_gone_cost_what_stood_on_them() {
    let (dir, all) = closed();
    let store = file(dir.path(), "store-1.sqlite3");
    let pages = fs::metadata(&store).unwrap().len() as usize / 4096;
    for page in 0..pages {
        let holed = copied(dir.path());
        let store = file(holed.path(), "store-1.sqlite3");
        let mut bytes = fs::read(&store).unwrap();
        bytes[page * 4096..][..4096].fill(0);
        fs::write(&store, bytes).unwrap();
        let lost = check(holed.path(), &all, &format!("page {page}"));
        assert!(lost < all.len(), "page {page}: all is lost");
        assert!(file(holed.path(), "damaged-1.sqlite3").exists() || lost == 0);
    }
    let cut = copied(dir.path());
    let store = file(cut.path(), "store-1.sqlite3");
    fs::OpenOptions::new().write(true).open(&store).unwrap().set_len(4096 * (pages as u64 - 2)).unwrap();
    let lost = check(cut.path(), &all, "the last two pages");
    assert!(lost < 100, "{lost}");
}

#[test]
fn damage_while_it_is_open_is_salvaged_in_place() {
    let dir = tempfile::tempdir().unwrap();
    let mut store = DurableStore::open(dir.path()).unwrap();
    // More than the cache of 1 MiB holds.
    let ops: Vec<StoreOp> = (1..=20_000).map(message).collect();
    store.apply(&ops, true).unwrap();
    drop(store);
    let mut store = DurableStore::open(dir.path()).unwrap();
    let path = file(dir.path(), "store-1.sqlite3");
    let mut bytes = fs::read(&path).unwrap();
    // A page of messages in the middle that is in no cache yet.
    let at = bytes.chunks(4096).position(|page| page.windows(8).any(|word| word == b"message ")).unwrap();
    bytes[at * 4096..][..64].fill(0xFF);
    fs::write(&path, bytes).unwrap();
    let stored = store.load("kitchen").unwrap();
    assert!(stored.damaged > 0);
    let found = stored.snapshot.entries.len() + stored.waiting;
    assert!((19_940..20_000).contains(&found), "{found}");
    store.apply(&[message(30_000)], true).unwrap();
    drop(store);
    assert!(open(dir.path()).0.contains_key(&StoreKey::Message(30_000)));
    assert!(files(dir.path()).iter().any(|file| file.ends_with("damaged-1.sqlite3")));
}

#[test]
fn a_loss_of_power_leaves_all_that_the_disk_was_waited_for() {
    for share in [0.0, 0.1, 0.35, 0.6, 0.85, 0.999, 1.0] {
        let dir = tempfile::tempdir().unwrap();
        let mut store = LosesPower::open(dir.path());
        store.load("kitchen").unwrap();
        let (mut states, mut safe) = (vec![Model::new()], 0);
        for batch in 0..30_u64 {
            let ops: Vec<StoreOp> = (1..=10).map(|n| message(batch * 10 + n)).collect();
            let sync = batch % 4 == 1;
            store.apply(&ops, sync).unwrap();
            let mut state = states.last().unwrap().clone();
            remember(&mut state, &ops);
            states.push(state);
            if sync {
                safe = states.len() - 1;
            }
        }
        assert_eq!(safe, 30);
        let ops = [message(1001), message(1002)];
        store.apply(&ops, false).unwrap();
        store.apply(&[message(1003), put(StoreKey::Exchange(5), "PUBACK")], false).unwrap();
        let mut more = states.last().unwrap().clone();
        remember(&mut more, &ops);
        states.push(more.clone());
        remember(&mut more, &[message(1003), put(StoreKey::Exchange(5), "PUBACK")]);
        states.push(more);
        let left = if share == 0.0 { store.lose_power() } else { store.lose_power_late(share) };
        let (found, damaged) = open(left.path());
        let prefix = states.iter().position(|state| *state == found).expect("a batch by half");
        assert!(prefix >= safe, "share {share}: {prefix} of {safe}");
        assert_eq!(damaged, 0, "share {share}");
    }
}
