//! What all tasks of one broker share.

use super::clock;
use super::faults::{Direction, Faults};
use super::link::Link;
use super::options::Options;
use super::records::Records;
use super::state::State;
use mqtt_codec::{Packet, Version, WireBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::{Notify, watch};
use tokio::task::JoinSet;

#[derive(Debug)]
pub(super) struct Shared {
    pub(super) options: Options,
    pub(super) faults: Faults,
    state: Mutex<State>,
    /// Counts the changes of the state, for those who wait for one.
    changes: watch::Sender<u64>,
    /// The timer has to look again.
    timer: Notify,
    connections: Mutex<JoinSet<()>>,
}

impl Shared {
    pub(super) fn new(options: Options) -> Arc<Self> {
        let state = State::new(Records::new(options.record, options.trace));
        Arc::new(Self {
            options,
            faults: Faults::new(),
            state: Mutex::new(state),
            changes: watch::Sender::new(0),
            timer: Notify::new(),
            connections: Mutex::default(),
        })
    }

    /// The state, to look at.
    pub(super) fn look(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes the state, and tells those who wait for a change.
    pub(super) fn update<R>(&self, change: impl FnOnce(&mut State) -> R) -> R {
        let mut state = self.look();
        let result = change(&mut state);
        let timers_changed = core::mem::take(&mut state.timers_changed);
        drop(state);
        self.changes.send_modify(|count| *count = count.wrapping_add(1));
        if timers_changed {
            self.timer.notify_one();
        }
        result
    }

    pub(super) fn watch_changes(&self) -> watch::Receiver<u64> {
        self.changes.subscribe()
    }

    /// Gives the next connection its number.
    pub(super) fn open_link(&self) -> Arc<Link> {
        self.update(|state| {
            state.records.connections += 1;
            let link = Arc::new(Link::new(state.records.connections));
            state.links.insert(link.number, link.clone());
            link
        })
    }

    /// Writes a packet and puts it on record.
    pub(super) fn say(
        &self,
        state: &mut State,
        connection: u64,
        version: Version,
        packet: &Packet,
        out: &mut WireBuf,
    ) {
        packet.encode(version, out).expect("the broker makes packets that the version has");
        let keep = || Some(packet.clone());
        state.records.add(connection, Direction::ToClient, packet.packet_type(), keep);
    }

    /// Runs the task of a connection.
    pub(super) fn spawn(&self, connection: impl Future<Output = ()> + Send + 'static) {
        let mut connections = self.connections.lock().unwrap_or_else(PoisonError::into_inner);
        while connections.try_join_next().is_some() {}
        connections.spawn(connection);
    }

    /// The tasks of all connections, to be waited for or aborted.
    pub(super) fn take_connections(&self) -> JoinSet<()> {
        core::mem::take(&mut self.connections.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Publishes wills and ends sessions when their time has come.
    pub(super) async fn run_timers(self: Arc<Self>) {
        loop {
            let deadline = self.look().next_deadline();
            tokio::select! {
                () = clock::sleep_until(deadline), if deadline.is_some() => self.update(|state| state.tick(clock::now())),
                () = self.timer.notified() => {}
            }
        }
    }
}
