//! What the tests share.
#![allow(dead_code, reason = "each test takes what it needs")]

pub(crate) mod child;
pub(crate) mod power;

use bytes::Bytes;
use mqtt_client::{PacketId, Store, StoreKey, StoreOp};
use mqtt_store::DurableStore;
use std::collections::BTreeMap;

/// What a store must hold.
pub(crate) type Model = BTreeMap<StoreKey, Bytes>;

pub(crate) fn value(text: impl Into<String>) -> Bytes {
    Bytes::from(text.into())
}

pub(crate) fn put(key: StoreKey, text: impl Into<String>) -> StoreOp {
    StoreOp::Put(key, value(text))
}

pub(crate) fn message(number: u64) -> StoreOp {
    StoreOp::Put(StoreKey::Message(number), payload(number))
}

/// 100 bytes or so, different for each number.
pub(crate) fn payload(number: u64) -> Bytes {
    value(format!("message {number:>91}"))
}

pub(crate) fn received(id: u16) -> StoreKey {
    StoreKey::Received(PacketId::new(id).unwrap())
}

/// Applies the operations to the model as well.
pub(crate) fn remember(model: &mut Model, ops: &[StoreOp]) {
    for op in ops {
        match op {
            StoreOp::Put(key, value) => drop(model.insert(*key, value.clone())),
            StoreOp::Delete(key) => drop(model.remove(key)),
        }
    }
}

/// Everything a store holds, by way of both methods that read, and how much of it is damaged.
pub(crate) fn everything(store: &mut DurableStore, client_id: &str) -> (Model, usize) {
    let stored = store.load(client_id).unwrap();
    let mut all: Model = stored.snapshot.entries.into_iter().collect();
    let highest = all.keys().filter_map(|key| match key {
        StoreKey::Exchange(number) => Some(*number),
        _ => None,
    });
    let sent = highest.max();
    assert!(
        !all.keys().any(|key| matches!(key, StoreKey::Message(number) if Some(*number) > sent)),
        "waiting messages are not in the snapshot"
    );
    // Number 0 is not used by the session, and cannot be asked for.
    let (mut after, mut count, mut bytes) = (sent.unwrap_or(0), 0, 0);
    loop {
        let page = store.waiting(after, 300).unwrap();
        let Some((last, _)) = page.last() else { break };
        assert!(page.len() == 1 || page.iter().map(|(_, value)| value.len()).sum::<usize>() <= 300);
        after = *last;
        count += page.len();
        bytes += page.iter().map(|(_, value)| value.len()).sum::<usize>();
        all.extend(page.into_iter().map(|(number, value)| (StoreKey::Message(number), value)));
    }
    assert_eq!((stored.waiting, stored.waiting_bytes), (count, bytes));
    (all, stored.damaged)
}
