//! From a message to the subscriptions that take it.
//!
//! A server that sends subscription identifiers (5.0) has done the matching already; otherwise a tree of the filters
//! does it. Either way the cost does not depend on the number of subscriptions.

use crate::delivery::{Ack, Delivery, Effects, HolderId, Inbox, Taker, share};
use crate::trie::Trie;
use core::task::Waker;
use mqtt_session::{AckToken, Message, QoS, TopicFilter};
use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

#[derive(Debug)]
pub(crate) struct Router {
    entries: Vec<Option<Entry>>,
    /// Places in `entries` to use again.
    free: Vec<EntryId>,
    by_filter: HashMap<TopicFilter, EntryId>,
    by_identifier: HashMap<u32, Vec<EntryId>>,
    tree: Trie<EntryId>,
    holders: HashMap<HolderId, Holder>,
    /// Those that take what no filter takes.
    unmatched: Vec<Taker>,
    /// What nobody takes is kept for a while: the subscriptions of a resumed session may still be on their way.
    holding: bool,
    held: VecDeque<(Message, Option<AckToken>)>,
    /// The entries that a message goes to, and the subscriptions: kept for their memory.
    matching: Vec<EntryId>,
    takers: Vec<Taker>,
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

#[derive(Debug)]
struct Holder {
    inbox: Arc<Inbox>,
    entries: Vec<EntryId>,
}

/// As many messages are kept that nobody takes yet.
const MOST_HELD: usize = 1024;

impl Router {
    pub(crate) fn new() -> Self {
        Self {
            entries: Vec::new(),
            free: Vec::new(),
            by_filter: HashMap::new(),
            by_identifier: HashMap::new(),
            tree: Trie::new(),
            holders: HashMap::new(),
            unmatched: Vec::new(),
            holding: false,
            held: VecDeque::new(),
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
                Some(Ack::Shared(share)) => effects.acks.extend(Arc::into_inner(share)),
                Some(Ack::Sole(token)) => self.deliver(message, Some(token), false, effects),
                None => self.deliver(message, None, false, effects),
            }
        }
    }

    /// Nobody holds this filter any more: it is unsubscribed, or lost. Streams that have no other filter end.
    pub(crate) fn drop_filter(&mut self, filter: &TopicFilter, effects: &mut Effects) {
        let Some(&id) = self.by_filter.get(filter) else { return };
        let holders = self.entry(id).map(|entry| entry.holders.clone()).unwrap_or_default();
        for (holder, inbox) in holders {
            self.leave_entry(id, holder);
            let Some(held) = self.holders.get_mut(&holder) else { continue };
            held.entries.retain(|entry| *entry != id);
            if held.entries.is_empty() {
                effects.wakers.extend(inbox.end());
            }
        }
    }

    /// Puts a message into the queues of all who take it. `squeezed` says that it was read although a queue is full:
    /// at QoS 0 it is dropped where there is no room.
    pub(crate) fn deliver(
        &mut self,
        message: Message,
        token: Option<AckToken>,
        squeezed: bool,
        effects: &mut Effects,
    ) {
        let mut takers = core::mem::take(&mut self.takers);
        self.find_takers(&message, &mut takers);
        match takers.as_slice() {
            [] if self.unmatched.is_empty() => self.hold(message, token, effects),
            [] => share(&self.unmatched, message, token, squeezed, effects),
            takers => share(takers, message, token, squeezed, effects),
        }
        takers.clear();
        self.takers = takers;
    }

    /// Whether to keep what nobody takes. When that ends, what was kept is acknowledged and forgotten.
    pub(crate) fn set_holding(&mut self, holding: bool, effects: &mut Effects) {
        self.holding = holding;
        if !holding {
            for (_, token) in core::mem::take(&mut self.held) {
                effects.unclaimed += 1;
                effects.acks.extend(token);
            }
        }
    }

    /// Lets every stream have what is there, and nothing after it.
    pub(crate) fn end(&mut self) -> Vec<Waker> {
        self.holders.values().filter_map(|holder| holder.inbox.end()).collect()
    }

    /// What was left in its queue, and the filters that nobody holds any more.
    fn take_out(
        &mut self,
        holder: HolderId,
        effects: &mut Effects,
    ) -> (VecDeque<Delivery>, Vec<TopicFilter>) {
        self.unmatched.retain(|(other, _)| *other != holder);
        let Some(Holder { inbox, entries }) = self.holders.remove(&holder) else { return Default::default() };
        let (left, was_full) = inbox.drain();
        effects.reopened += usize::from(was_full);
        let filters = entries.into_iter().filter_map(|id| self.leave_entry(id, holder)).collect();
        (left, filters)
    }

    fn find_takers(&mut self, message: &Message, takers: &mut Vec<Taker>) {
        let mut matching = core::mem::take(&mut self.matching);
        for identifier in message.properties.view().subscription_identifiers() {
            match self.by_identifier.get(&identifier).map(Vec::as_slice) {
                Some([only]) => matching.push(*only),
                // Filters of one SUBSCRIBE share their identifier.
                Some(several) => {
                    matching.extend(several.iter().copied().filter(|&id| {
                        self.entry(id).is_some_and(|entry| entry.filter.matches(message.topic()))
                    }))
                }
                None => {}
            }
        }
        if matching.is_empty() {
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
    }

    fn hold(&mut self, message: Message, token: Option<AckToken>, effects: &mut Effects) {
        // A message of QoS 1 or 2 that is kept is bounded by the server's window.
        if self.holding && (token.is_some() || self.held.len() < MOST_HELD) {
            self.held.push_back((message, token));
        } else {
            effects.unclaimed += 1;
            effects.acks.extend(token);
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
        self.forget_identifier(id, earlier);
        if let Some(identifier) = identifier {
            self.by_identifier.entry(identifier).or_default().push(id);
        }
    }

    fn forget_identifier(&mut self, id: EntryId, identifier: Option<u32>) {
        let Some(identifier) = identifier else { return };
        if let Some(entries) = self.by_identifier.get_mut(&identifier) {
            entries.retain(|other| *other != id);
            if entries.is_empty() {
                self.by_identifier.remove(&identifier);
            }
        }
    }

    /// One holder less; returns the filter if that was the last.
    fn leave_entry(&mut self, id: EntryId, holder: HolderId) -> Option<TopicFilter> {
        let entry = self.entry_mut(id)?;
        entry.holders.retain(|(other, _)| *other != holder);
        if !entry.holders.is_empty() {
            return None;
        }
        let Entry { filter, identifier, .. } = self.entries.get_mut(id)?.take()?;
        self.forget_identifier(id, identifier);
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

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;
    use core::task::{Context, Poll};
    use mqtt_session::{PropertiesBuf, TopicName};

    /// A router and the subscriptions on it, by number.
    struct Rig {
        router: Router,
        inboxes: HashMap<u64, Arc<Inbox>>,
        effects: Effects,
    }

    impl Rig {
        fn new() -> Self {
            Self { router: Router::new(), inboxes: HashMap::new(), effects: Effects::default() }
        }

        fn subscribe(&mut self, number: u64, filters: &[&str], identifier: Option<u32>) {
            let inbox = Arc::new(Inbox::new(4));
            self.inboxes.insert(number, inbox.clone());
            let filters = filters.iter().map(|text| (filter(text), QoS::AtMostOnce));
            self.router.add(HolderId(number), &inbox, filters, identifier, &mut self.effects);
        }

        fn unmatched(&mut self, number: u64) {
            let inbox = Arc::new(Inbox::new(4));
            self.inboxes.insert(number, inbox.clone());
            self.router.add_unmatched(HolderId(number), inbox, &mut self.effects);
        }

        fn deliver(&mut self, topic: &str, identifiers: &[u32]) {
            let properties = identifiers.iter().fold(PropertiesBuf::builder(), |block, &identifier| {
                block.subscription_identifier(identifier)
            });
            let mut message = Message::new(TopicName::try_from(topic).unwrap(), Bytes::new());
            message.properties = properties.build().unwrap();
            self.router.deliver(message, None, false, &mut self.effects);
        }

        /// The topics that each subscription got, in the order of their numbers.
        fn got(&self) -> Vec<(u64, String)> {
            let mut got = Vec::new();
            for (&number, inbox) in &self.inboxes {
                while let Poll::Ready(Some(taken)) = inbox.poll_take(&mut Context::from_waker(Waker::noop()))
                {
                    got.push((number, taken.item.message.topic().to_owned()));
                }
            }
            got.sort();
            got
        }

        fn remove(&mut self, number: u64) -> Vec<TopicFilter> {
            self.router.remove(HolderId(number), &mut self.effects)
        }
    }

    fn filter(text: &str) -> TopicFilter {
        TopicFilter::try_from(text).unwrap()
    }

    fn took(expected: &[(u64, &str)]) -> Vec<(u64, String)> {
        expected.iter().map(|&(number, topic)| (number, topic.to_owned())).collect()
    }

    #[test]
    fn by_filter_each_subscription_gets_one_copy() {
        let mut rig = Rig::new();
        rig.subscribe(1, &["a/+", "a/#"], None);
        rig.subscribe(2, &["a/b"], None);
        rig.subscribe(3, &["$share/workers/a/b"], None);
        rig.deliver("a/b", &[]);
        rig.deliver("a", &[]);
        assert_eq!(rig.got(), took(&[(1, "a"), (1, "a/b"), (2, "a/b"), (3, "a/b")]));
    }

    #[test]
    fn by_identifier_only_those_that_are_named() {
        let mut rig = Rig::new();
        rig.subscribe(1, &["a/+"], Some(7));
        rig.subscribe(2, &["a/#"], Some(8));
        // A server that sends a copy for each subscription.
        rig.deliver("a/b", &[7]);
        assert_eq!(rig.got(), took(&[(1, "a/b")]));
        // A server that sends one copy for all.
        rig.deliver("a/b", &[8, 7]);
        assert_eq!(rig.got(), took(&[(1, "a/b"), (2, "a/b")]));
    }

    #[test]
    fn filters_of_one_request_share_their_identifier() {
        let mut rig = Rig::new();
        rig.subscribe(1, &["a", "b"], Some(7));
        rig.subscribe(2, &["a"], Some(8));
        rig.deliver("a", &[8]);
        assert_eq!(
            rig.got(),
            took(&[(1, "a"), (2, "a")]),
            "the newest request for a filter serves all its holders"
        );
        rig.deliver("b", &[7]);
        assert_eq!(rig.got(), took(&[(1, "b")]));
    }

    #[test]
    fn an_identifier_of_nobody_is_no_hindrance() {
        let mut rig = Rig::new();
        rig.subscribe(1, &["a"], Some(7));
        rig.deliver("a", &[99]);
        assert_eq!(rig.got(), took(&[(1, "a")]));
    }

    #[test]
    fn the_last_holder_of_a_filter_gives_it_back() {
        let mut rig = Rig::new();
        rig.subscribe(1, &["a", "b"], None);
        rig.subscribe(2, &["b", "c"], None);
        assert_eq!(rig.remove(1), [filter("a")]);
        rig.deliver("b", &[]);
        assert_eq!(rig.got(), took(&[(2, "b")]));
        assert_eq!(rig.remove(2), [filter("b"), filter("c")]);
        assert_eq!(rig.remove(2), []);
        rig.deliver("b", &[]);
        assert_eq!(rig.effects.unclaimed, 1);
    }

    #[test]
    fn a_refused_filter_takes_nothing() {
        let mut rig = Rig::new();
        rig.subscribe(1, &["a", "b"], Some(7));
        rig.router.refuse(HolderId(1), &filter("a"));
        rig.deliver("a", &[]);
        rig.deliver("b", &[7]);
        assert_eq!(rig.got(), took(&[(1, "b")]));
    }

    #[test]
    fn what_no_filter_takes_goes_to_unmatched() {
        let mut rig = Rig::new();
        rig.subscribe(1, &["a"], None);
        rig.unmatched(2);
        rig.deliver("a", &[]);
        rig.deliver("b", &[]);
        assert_eq!(rig.got(), took(&[(1, "a"), (2, "b")]));
        rig.remove(2);
        rig.deliver("b", &[]);
        assert_eq!((rig.got(), rig.effects.unclaimed), (took(&[]), 1));
    }

    #[test]
    fn a_resumed_session_waits_for_its_subscriptions() {
        let mut rig = Rig::new();
        rig.router.set_holding(true, &mut rig.effects);
        for topic in ["a", "b", "c"] {
            rig.deliver(topic, &[]);
        }
        rig.subscribe(1, &["b"], None);
        assert_eq!(rig.got(), took(&[(1, "b")]));
        rig.unmatched(2);
        assert_eq!(rig.got(), took(&[(2, "a"), (2, "c")]));
        rig.remove(2);
        rig.deliver("d", &[]);
        rig.router.set_holding(false, &mut rig.effects);
        assert_eq!(rig.effects.unclaimed, 1);
    }

    #[test]
    fn a_detached_subscription_leaves_its_messages_to_unmatched() {
        let mut rig = Rig::new();
        rig.subscribe(1, &["a"], None);
        rig.unmatched(2);
        rig.deliver("a", &[]);
        rig.router.detach(HolderId(1), &mut rig.effects);
        rig.deliver("a", &[]);
        assert_eq!(rig.got(), took(&[(2, "a"), (2, "a")]));
    }

    #[test]
    fn an_unsubscribed_filter_ends_the_streams_that_have_no_other() {
        let mut rig = Rig::new();
        rig.subscribe(1, &["a"], None);
        rig.subscribe(2, &["a", "b"], None);
        rig.router.drop_filter(&filter("a"), &mut rig.effects);
        let ended = |number| {
            let taken = rig.inboxes[&number].poll_take(&mut Context::from_waker(Waker::noop()));
            matches!(taken, Poll::Ready(None))
        };
        assert!(ended(1) && !ended(2));
    }

    /// The cost of finding takers does not grow with their number: see also the tree's own tests.
    #[test]
    fn ten_thousand_filters() {
        let mut rig = Rig::new();
        for number in 0..10_000 {
            rig.subscribe(number, &[format!("plant/{number}/+").as_str()], None);
        }
        rig.deliver("plant/4711/state", &[]);
        assert_eq!(rig.got(), took(&[(4711, "plant/4711/state")]));
        for number in 0..10_000 {
            assert_eq!(rig.remove(number).len(), 1);
        }
        assert_eq!(rig.router.free.len(), 10_000);
    }

    #[test]
    fn in_a_squeeze_qos_0_is_dropped_beyond_twice_the_bound() {
        let mut rig = Rig::new();
        rig.subscribe(1, &["a"], None);
        for _ in 0..20 {
            rig.deliver("a", &[]);
        }
        assert_eq!(rig.inboxes[&1].dropped(), 0, "what one read brings is kept");
        let message = Message::new(TopicName::try_from("a").unwrap(), Bytes::new());
        rig.router.deliver(message, None, true, &mut rig.effects);
        assert_eq!(rig.inboxes[&1].dropped(), 1);
        assert_eq!((rig.got().len(), rig.effects.filled), (20, 1));
    }
}
