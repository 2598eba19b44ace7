//! From a message to the subscriptions that take it.
//!
//! A server that sends subscription identifiers (5.0) has done the matching already; otherwise a tree of the filters
//! does it. Either way the cost does not depend on the number of subscriptions. Messages in a row for one subscription
//! are a [`Run`]: they share the search and the lock.

use crate::ack::{Ack, Answer};
use crate::delivery::{Delivery, Effects, HolderId, Inbox, Taker, share};
use crate::trie::Trie;
use core::task::Waker;
use foldhash::fast::RandomState;
use mqtt_session::{AckToken, Message, QoS, TopicFilter, TopicName};
use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

#[derive(Debug)]
pub(crate) struct Router {
    entries: Vec<Option<Entry>>,
    /// Places in `entries` to use again.
    free: Vec<EntryId>,
    by_filter: HashMap<TopicFilter, EntryId>,
    by_identifier: HashMap<u32, Identified, RandomState>,
    /// Identifiers of filters that were given up lately: messages may still come under them.
    gone: VecDeque<u32>,
    tree: Trie<EntryId>,
    holders: HashMap<HolderId, Holder, RandomState>,
    /// Those that take what no filter takes.
    unmatched: Vec<Taker>,
    /// What nobody takes is kept for a while: the subscriptions of a resumed session may still be on their way.
    holding: bool,
    held: VecDeque<(Message, Option<AckToken>)>,
    run: Run,
    /// The entries that a message goes to, and the subscriptions: kept for their memory.
    matching: Vec<EntryId>,
    takers: Vec<Taker>,
}

/// Messages in a row that one subscription takes, and nobody else. It ends when the driver is done with its batch.
#[derive(Debug, Default)]
struct Run {
    /// What the search has found them by; `None` if it is to search again.
    route: Option<Route>,
    inbox: Option<Arc<Inbox>>,
    deliveries: VecDeque<Delivery>,
    squeezed: bool,
}

/// What messages have in common that go the same way.
#[derive(Debug)]
enum Route {
    /// The only subscription identifier.
    Identifier(u32),
    /// The topic, without any identifier.
    Topic(TopicName),
}

type EntryId = usize;

/// A filter that is subscribed, and who holds it.
#[derive(Debug)]
struct Entry {
    filter: TopicFilter,
    qos: QoS,
    identifier: Option<u32>,
    holders: Vec<Taker>,
}

/// What a subscription identifier stands for.
#[derive(Clone, Copy, Debug)]
enum Identified {
    One(EntryId),
    /// Filters of one SUBSCRIBE share their identifier: how many there are. The tree tells which of them take a message.
    Several(usize),
}

#[derive(Debug)]
struct Holder {
    inbox: Arc<Inbox>,
    entries: Vec<EntryId>,
}

/// As many messages are kept that nobody takes yet.
const MOST_HELD: usize = 1024;

/// As many identifiers are remembered that were given up.
const MOST_GONE: usize = 256;

impl Router {
    pub(crate) fn new() -> Self {
        Self {
            entries: Vec::new(),
            free: Vec::new(),
            by_filter: HashMap::new(),
            by_identifier: HashMap::default(),
            gone: VecDeque::new(),
            tree: Trie::new(),
            holders: HashMap::default(),
            unmatched: Vec::new(),
            holding: false,
            held: VecDeque::new(),
            run: Run::default(),
            matching: Vec::new(),
            takers: Vec::new(),
        }
    }

    /// The QoS at which a filter is subscribed already.
    pub(crate) fn held_qos(&self, filter: &TopicFilter) -> Option<QoS> {
        let id = self.by_filter.get(filter)?;
        self.entry(*id).map(|entry| entry.qos)
    }

    /// Registers a subscription, before it is asked for: its first message may come before the answer.
    pub(crate) fn add(
        &mut self,
        holder: HolderId,
        inbox: &Arc<Inbox>,
        filters: impl IntoIterator<Item = (TopicFilter, QoS)>,
        identifier: Option<u32>,
        effects: &mut Effects,
    ) {
        let mut entries = Vec::new();
        for (filter, qos) in filters {
            let id = self.entry_of(filter, qos);
            self.set_identifier(id, identifier);
            if let Some(entry) = self.entry_mut(id)
                && entry.holders.iter().all(|(other, _)| *other != holder)
            {
                entry.qos = qos;
                entry.holders.push((holder, inbox.clone()));
                entries.push(id);
            }
        }
        self.run.route = None;
        self.holders.insert(holder, Holder { inbox: inbox.clone(), entries });
        self.hand_out_held(effects);
    }

    /// Opens a stream of what no subscription takes.
    pub(crate) fn add_unmatched(&mut self, holder: HolderId, inbox: Arc<Inbox>, effects: &mut Effects) {
        self.holders.insert(holder, Holder { inbox: inbox.clone(), entries: Vec::new() });
        self.unmatched.push((holder, inbox));
        self.hand_out_held(effects);
    }

    /// The server refused the filter to this subscription.
    pub(crate) fn refuse(&mut self, holder: HolderId, filter: &TopicFilter) {
        let Some(&id) = self.by_filter.get(filter) else { return };
        if let Some(holder) = self.holders.get_mut(&holder) {
            holder.entries.retain(|entry| *entry != id);
        }
        self.leave_entry(id, holder);
    }

    /// A subscription ends. What it had not taken is acknowledged, nobody is left to take it. Returns the filters that
    /// nobody holds any more.
    pub(crate) fn remove(&mut self, holder: HolderId, effects: &mut Effects) -> Vec<TopicFilter> {
        let (left, filters) = self.take_out(holder, effects);
        effects.acks.extend(left.into_iter().filter_map(|delivery| delivery.ack?.take()));
        filters
    }

    /// A subscription ends, its filters stay with the server. What it had not taken goes where their messages go from
    /// now on.
    pub(crate) fn detach(&mut self, holder: HolderId, effects: &mut Effects) {
        let (left, _) = self.take_out(holder, effects);
        for Delivery { message, ack } in left {
            match ack {
                Some(share @ Ack::Shared(_)) => effects.acks.extend(share.take()),
                Some(Ack::Sole(token)) => self.deliver(message, Some(token), false, effects),
                None => self.deliver(message, None, false, effects),
            }
        }
    }

    /// Nobody holds this filter any more: it is unsubscribed, or lost. Streams that have no other filter end.
    pub(crate) fn drop_filter(&mut self, filter: &TopicFilter, effects: &mut Effects) {
        let Some(&id) = self.by_filter.get(filter) else { return };
        self.flush(effects);
        let holders = self.entry(id).map(|entry| entry.holders.clone()).unwrap_or_default();
        for (holder, inbox) in holders {
            self.leave_entry(id, holder);
            let Some(held) = self.holders.get_mut(&holder) else { continue };
            held.entries.retain(|entry| *entry != id);
            if held.entries.is_empty() {
                effects.wakers.extend(inbox.queue.end());
            }
        }
    }

    /// Brings a message to all who take it: into their queues, once this is [flushed](Self::flush). `squeezed` says that
    /// it was read although a queue is full: at QoS 0 it is dropped where there is no room.
    pub(crate) fn deliver(
        &mut self,
        message: Message,
        token: Option<AckToken>,
        squeezed: bool,
        effects: &mut Effects,
    ) {
        let mut identifiers = message.properties.view().subscription_identifiers();
        let first = identifiers.next();
        let alone = first.is_none() || identifiers.next().is_none();
        drop(identifiers);
        if alone && self.run.goes_on(first, &message, squeezed) {
            self.run.deliveries.push_back(Delivery { message, ack: token.map(Ack::Sole) });
            return;
        }
        let mut takers = core::mem::take(&mut self.takers);
        let by_filter = self.find_takers(&message, &mut takers);
        match takers.as_slice() {
            [(_, inbox)] => {
                self.run.turn_to(inbox, squeezed, effects);
                self.run.route = match first {
                    None => Some(Route::Topic(message.topic.clone())),
                    Some(identifier) => Some(Route::Identifier(identifier)).filter(|_| alone && !by_filter),
                };
                self.run.deliveries.push_back(Delivery { message, ack: token.map(Ack::Sole) });
            }
            takers => {
                self.flush(effects);
                match takers {
                    [] if self.unmatched.is_empty() => self.hold(message, token, effects),
                    [] => share(&self.unmatched, message, token, squeezed, effects),
                    takers => share(takers, message, token, squeezed, effects),
                }
            }
        }
        takers.clear();
        self.takers = takers;
    }

    /// The messages of this batch are in their queues.
    pub(crate) fn flush(&mut self, effects: &mut Effects) {
        self.run.end(effects);
    }

    /// Whether to keep what nobody takes. When that ends, what was kept is acknowledged and forgotten.
    pub(crate) fn set_holding(&mut self, holding: bool, effects: &mut Effects) {
        self.holding = holding;
        if !holding {
            for (_, token) in core::mem::take(&mut self.held) {
                effects.unclaimed += 1;
                effects.acks.extend(token.map(Answer::success));
            }
        }
    }

    /// Lets every stream have what is there, and nothing after it.
    pub(crate) fn end(&mut self) -> Vec<Waker> {
        self.holders.values().filter_map(|holder| holder.inbox.queue.end()).collect()
    }

    /// What was left in its queue, and the filters that nobody holds any more.
    fn take_out(
        &mut self,
        holder: HolderId,
        effects: &mut Effects,
    ) -> (VecDeque<Delivery>, Vec<TopicFilter>) {
        self.flush(effects);
        self.unmatched.retain(|(other, _)| *other != holder);
        let Some(Holder { inbox, entries }) = self.holders.remove(&holder) else { return Default::default() };
        // The task of a handler still reads, and ends with its queue.
        effects.wakers.extend(inbox.queue.end());
        let (left, was_full) = inbox.queue.drain();
        effects.reopened += usize::from(was_full);
        let filters = entries.into_iter().filter_map(|id| self.leave_entry(id, holder)).collect();
        (left, filters)
    }

    /// Whether the filters had to tell, with or without an identifier.
    fn find_takers(&mut self, message: &Message, takers: &mut Vec<Taker>) -> bool {
        let mut matching = core::mem::take(&mut self.matching);
        let (mut late, mut by_filter) = (false, false);
        for identifier in message.properties.view().subscription_identifiers() {
            match self.by_identifier.get(&identifier) {
                Some(Identified::One(id)) => matching.push(*id),
                Some(Identified::Several(_)) => {
                    by_filter = true;
                    let entries = &self.entries;
                    let is_meant = |id: &EntryId| {
                        let entry = entries.get(*id).and_then(Option::as_ref);
                        entry.is_some_and(|entry| entry.identifier == Some(identifier))
                    };
                    self.tree.search(message.topic(), |id| matching.extend(Some(id).filter(is_meant)));
                }
                None => late |= self.gone.contains(&identifier),
            }
        }
        // A copy for a subscription that is gone is no second one for those whose filters overlap with its own.
        if matching.is_empty() && !late {
            by_filter = true;
            self.tree.search(message.topic(), |id| matching.push(id));
        }
        for id in matching.drain(..) {
            let Some(entry) = self.entry(id) else { continue };
            for taker in &entry.holders {
                if takers.iter().all(|(other, _)| *other != taker.0) {
                    takers.push(taker.clone());
                }
            }
        }
        self.matching = matching;
        by_filter
    }

    fn hold(&mut self, message: Message, token: Option<AckToken>, effects: &mut Effects) {
        // A message of QoS 1 or 2 that is kept is bounded by the server's window.
        if self.holding && (token.is_some() || self.held.len() < MOST_HELD) {
            self.held.push_back((message, token));
        } else {
            effects.unclaimed += 1;
            effects.acks.extend(token.map(Answer::success));
        }
    }

    fn hand_out_held(&mut self, effects: &mut Effects) {
        for (message, token) in core::mem::take(&mut self.held) {
            self.deliver(message, token, false, effects);
        }
    }

    fn entry_of(&mut self, filter: TopicFilter, qos: QoS) -> EntryId {
        if let Some(&id) = self.by_filter.get(&filter) {
            return id;
        }
        let id = self.free.pop().unwrap_or(self.entries.len());
        self.tree.insert(filter.filter(), id);
        self.by_filter.insert(filter.clone(), id);
        let entry = Some(Entry { filter, qos, identifier: None, holders: Vec::new() });
        match self.entries.get_mut(id) {
            Some(place) => *place = entry,
            None => self.entries.push(entry),
        }
        id
    }

    /// The identifier of the newest SUBSCRIBE holds [MQTT-3.8.4-3].
    fn set_identifier(&mut self, id: EntryId, identifier: Option<u32>) {
        let Some(entry) = self.entry_mut(id) else { return };
        let earlier = core::mem::replace(&mut entry.identifier, identifier);
        if earlier == identifier {
            return;
        }
        self.forget_identifier(earlier);
        if let Some(identifier) = identifier {
            self.gone.retain(|gone| *gone != identifier);
            self.by_identifier
                .entry(identifier)
                .and_modify(|identified| *identified = identified.and_another())
                .or_insert(Identified::One(id));
        }
    }

    /// One filter less under this identifier. True if it was the last.
    fn forget_identifier(&mut self, identifier: Option<u32>) -> bool {
        let Some(identifier) = identifier else { return false };
        match self.by_identifier.get_mut(&identifier) {
            Some(Identified::Several(filters)) if *filters > 1 => {
                *filters -= 1;
                false
            }
            _ => self.by_identifier.remove(&identifier).is_some(),
        }
    }

    /// One holder less; returns the filter if that was the last.
    fn leave_entry(&mut self, id: EntryId, holder: HolderId) -> Option<TopicFilter> {
        self.run.route = None;
        let entry = self.entry_mut(id)?;
        entry.holders.retain(|(other, _)| *other != holder);
        if !entry.holders.is_empty() {
            return None;
        }
        let Entry { filter, identifier, .. } = self.entries.get_mut(id)?.take()?;
        if self.forget_identifier(identifier) {
            self.gone.extend(identifier);
            if self.gone.len() > MOST_GONE {
                self.gone.pop_front();
            }
        }
        self.by_filter.remove(&filter);
        self.tree.remove(filter.filter(), id);
        self.free.push(id);
        Some(filter)
    }

    fn entry(&self, id: EntryId) -> Option<&Entry> {
        self.entries.get(id)?.as_ref()
    }

    fn entry_mut(&mut self, id: EntryId) -> Option<&mut Entry> {
        self.entries.get_mut(id)?.as_mut()
    }
}

impl Run {
    /// Whether a message goes where the last one went. It has no identifier but this.
    fn goes_on(&self, identifier: Option<u32>, message: &Message, squeezed: bool) -> bool {
        let same = match (&self.route, identifier) {
            (Some(Route::Identifier(last)), Some(identifier)) => *last == identifier,
            (Some(Route::Topic(last)), None) => *last == message.topic,
            _ => false,
        };
        same && self.squeezed == squeezed
    }

    /// What comes now is for this subscription.
    fn turn_to(&mut self, inbox: &Arc<Inbox>, squeezed: bool, effects: &mut Effects) {
        let stays = self.inbox.as_ref().is_some_and(|last| Arc::ptr_eq(last, inbox));
        if !stays || self.squeezed != squeezed {
            self.end(effects);
            self.inbox = Some(inbox.clone());
            self.squeezed = squeezed;
        }
    }

    fn end(&mut self, effects: &mut Effects) {
        // A topic would keep a read buffer alive.
        self.route = None;
        if let Some(inbox) = self.inbox.take() {
            inbox.put_all(&mut self.deliveries, self.squeezed, effects);
        }
    }
}

impl Identified {
    fn and_another(self) -> Self {
        match self {
            Self::One(_) => Self::Several(2),
            Self::Several(filters) => Self::Several(filters + 1),
        }
    }
}

#[cfg(test)]
mod tests;
