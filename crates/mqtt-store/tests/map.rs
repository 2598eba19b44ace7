//! A store is a map that outlives its process: random batches against a `BTreeMap`, reopened at random points.

mod common;

use bytes::Bytes;
use common::{Model, everything, message, put, received, remember, value};
use mqtt_client::{PacketId, Store, StoreKey, StoreOp};
use mqtt_store::{Durability, DurableStore};
use proptest::prelude::*;

fn key() -> impl Strategy<Value = StoreKey> {
    prop_oneof![
        Just(StoreKey::Begun),
        Just(StoreKey::ClientId),
        (1..6_u16).prop_map(|id| StoreKey::Received(PacketId::new(id).unwrap())),
        (1..8_u64).prop_map(StoreKey::Release),
        (1..40_u64).prop_map(StoreKey::Message),
        (1..40_u64).prop_map(StoreKey::Exchange),
    ]
}

fn op() -> impl Strategy<Value = StoreOp> {
    let value = prop::collection::vec(any::<u8>(), 0..200).prop_map(Bytes::from);
    let large = (any::<u8>(), 0..20_000_usize).prop_map(|(byte, length)| vec![byte; length].into());
    let put = (key(), prop_oneof![9 => value, 1 => large]);
    prop_oneof![3 => put.prop_map(|(key, value)| StoreOp::Put(key, value)), 2 => key().prop_map(StoreOp::Delete)]
}

#[derive(Clone, Debug)]
enum Step {
    Apply(Vec<StoreOp>, bool),
    Reopen,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        5 => (prop::collection::vec(op(), 0..30), any::<bool>()).prop_map(|(ops, sync)| Step::Apply(ops, sync)),
        1 => Just(Step::Reopen),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    #[test]
    fn a_store_is_a_map(steps in prop::collection::vec(step(), 1..12), buffered in any::<bool>()) {
        let durability = if buffered { Durability::Buffered } else { Durability::Synced };
        let dir = tempfile::tempdir().unwrap();
        let open = || DurableStore::open(dir.path()).unwrap().durability(durability);
        let (mut store, mut model, mut last) = (open(), Model::new(), 0);
        store.load("").unwrap();
        for step in steps {
            match step {
                Step::Apply(ops, sync) => {
                    store.apply(&ops, sync).unwrap();
                    remember(&mut model, &ops);
                    last = ops.iter().fold(last, |last, op| match op {
                        StoreOp::Put(StoreKey::Message(number), _) => last.max(*number),
                        _ => last,
                    });
                }
                Step::Reopen => {
                    drop(store);
                    store = open();
                    prop_assert_eq!(everything(&mut store, ""), (model.clone(), 0));
                }
            }
        }
        drop(store);
        store = open();
        prop_assert_eq!(everything(&mut store, ""), (model, 0));
        let stored = store.load("").unwrap();
        prop_assert!(stored.snapshot.last >= last, "{} is taken", last);
    }
}

#[test]
fn the_highest_number_is_kept_when_its_message_is_gone() {
    let dir = tempfile::tempdir().unwrap();
    let mut store = DurableStore::open(dir.path()).unwrap();
    store.apply(&[message(7), StoreOp::Delete(StoreKey::Message(7))], true).unwrap();
    drop(store);
    let stored = DurableStore::open(dir.path()).unwrap().load("").unwrap();
    assert_eq!((stored.snapshot.last, stored.snapshot.entries.len(), stored.waiting), (7, 0, 0));
}

#[test]
fn what_waits_is_read_in_pages_of_so_many_bytes() {
    let dir = tempfile::tempdir().unwrap();
    let mut store = DurableStore::open(dir.path()).unwrap();
    let ops: Vec<StoreOp> = (1..=10).map(|n| put(StoreKey::Message(n), "x".repeat(100))).collect();
    store.apply(&ops, true).unwrap();
    store.apply(&[put(StoreKey::Exchange(3), "PUBACK"), put(received(1), "PUBREC")], false).unwrap();
    let stored = store.load("").unwrap();
    assert_eq!((stored.waiting, stored.waiting_bytes, stored.snapshot.entries.len()), (7, 700, 5));
    let numbers = |page: Vec<(u64, Bytes)>| page.into_iter().map(|(number, _)| number).collect::<Vec<_>>();
    assert_eq!(numbers(store.waiting(3, 250).unwrap()), [4, 5]);
    assert_eq!(numbers(store.waiting(5, 1).unwrap()), [6], "one at least");
    assert_eq!(numbers(store.waiting(8, 1000).unwrap()), [9, 10]);
    assert_eq!(store.waiting(10, 1000).unwrap(), []);
}

#[test]
fn a_batch_that_fails_leaves_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let mut store = DurableStore::open(dir.path()).unwrap();
    // SQLite counts to 2^63 - 1.
    store.apply(&[message(1), put(StoreKey::Release(u64::MAX), "")], true).unwrap_err();
    assert_eq!(everything(&mut store, ""), (Model::new(), 0));
    store.apply(&[message(2)], true).unwrap();
    assert_eq!(everything(&mut store, "").0.into_keys().collect::<Vec<_>>(), [StoreKey::Message(2)]);
    assert_eq!(store.waiting(0, 1).unwrap()[0].1, value(format!("message {:>91}", 2)));
}
