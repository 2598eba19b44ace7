//! A store in memory, which survives its client and can fail on demand.

use bytes::Bytes;
use mqtt_client::{Snapshot, Store, StoreError, StoreKey, StoreOp, Stored};
use std::collections::BTreeMap;
use std::sync::{Arc, Condvar, Mutex, MutexGuard};

/// What is stored. Each [`MemoryStore`] of it is opened by one client after the other.
#[derive(Clone, Default)]
pub(crate) struct Disk(Arc<(Mutex<State>, Condvar)>);

#[derive(Default)]
pub(crate) struct State {
    pub(crate) map: BTreeMap<StoreKey, Bytes>,
    /// Each batch that was applied, and whether it had to be safe.
    pub(crate) batches: Vec<(Vec<StoreOp>, bool)>,
    /// So many operations can still be written; then the disk is full.
    pub(crate) space: Option<usize>,
    /// Nothing returns while this is set.
    held: bool,
    /// The next operation panics.
    pub(crate) breaks: bool,
    /// The largest page that was read, in messages.
    pub(crate) largest_page: usize,
}

pub(crate) struct MemoryStore(Disk);

impl Disk {
    pub(crate) fn store(&self) -> MemoryStore {
        MemoryStore(self.clone())
    }

    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        self.0.0.lock().unwrap()
    }

    /// What a crash at this moment leaves.
    pub(crate) fn copy(&self) -> Self {
        let copy = Self::default();
        copy.state().map = self.state().map.clone();
        copy
    }

    pub(crate) fn hold(&self, held: bool) {
        self.state().held = held;
        self.0.1.notify_all();
    }

    pub(crate) fn set_space(&self, space: Option<usize>) {
        self.state().space = space;
    }

    /// Messages that are stored, by number.
    pub(crate) fn messages(&self) -> Vec<u64> {
        let number = |key: &StoreKey| match key {
            StoreKey::Message(number) => Some(*number),
            _ => None,
        };
        self.state().map.keys().filter_map(number).collect()
    }

    fn wait(&self) -> MutexGuard<'_, State> {
        self.0.1.wait_while(self.state(), |state| state.held).unwrap()
    }
}

impl Store for MemoryStore {
    fn load(&mut self, _client_id: &str) -> Result<Stored, StoreError> {
        let state = self.0.wait();
        let sent = state.map.keys().rev().find_map(|key| match key {
            StoreKey::Exchange(number) => Some(*number),
            _ => None,
        });
        let waits = |key: &StoreKey| matches!(key, StoreKey::Message(number) if Some(*number) > sent);
        let (waiting, entries): (Vec<_>, Vec<_>) =
            state.map.iter().map(|(key, value)| (*key, value.clone())).partition(|(key, _)| waits(key));
        let last = waiting.iter().map(|(key, _)| key).max();
        Ok(Stored {
            snapshot: Snapshot {
                entries,
                last: match last {
                    Some(StoreKey::Message(number)) => *number,
                    _ => 0,
                },
            },
            waiting: waiting.len(),
            waiting_bytes: waiting.iter().map(|(_, value)| value.len()).sum(),
            damaged: 0,
        })
    }

    fn waiting(&mut self, after: u64, bytes: usize) -> Result<Vec<(u64, Bytes)>, StoreError> {
        let mut state = self.0.wait();
        let mut page = Vec::new();
        let mut left = bytes;
        for (key, value) in state.map.range(StoreKey::Message(after + 1)..StoreKey::Exchange(0)) {
            let StoreKey::Message(number) = key else { break };
            if !page.is_empty() && value.len() > left {
                break;
            }
            left = left.saturating_sub(value.len());
            page.push((*number, value.clone()));
        }
        state.largest_page = state.largest_page.max(page.len());
        Ok(page)
    }

    fn apply(&mut self, ops: &[StoreOp], sync: bool) -> Result<(), StoreError> {
        let mut state = self.0.wait();
        if state.breaks {
            drop(state);
            panic!("the store breaks, as the test wants it");
        }
        if let Some(space) = &mut state.space {
            *space = space.checked_sub(ops.len()).ok_or(StoreError::Full)?;
        }
        for op in ops {
            match op {
                StoreOp::Put(key, value) => drop(state.map.insert(*key, value.clone())),
                StoreOp::Delete(key) => drop(state.map.remove(key)),
            }
        }
        state.batches.push((ops.to_vec(), sync));
        Ok(())
    }
}
