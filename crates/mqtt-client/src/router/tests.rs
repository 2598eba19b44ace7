use super::*;
use crate::queue::QueuePolicy;
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
        let inbox = Arc::new(Inbox::new(4, QueuePolicy::Wait, false));
        self.inboxes.insert(number, inbox.clone());
        let filters = filters.iter().map(|text| (filter(text), QoS::AtMostOnce));
        self.router.add(HolderId(number), &inbox, filters, identifier, &mut self.effects);
    }

    fn unmatched(&mut self, number: u64) {
        let inbox = Arc::new(Inbox::new(4, QueuePolicy::Wait, false));
        self.inboxes.insert(number, inbox.clone());
        self.router.add_unmatched(HolderId(number), inbox, &mut self.effects);
    }

    fn deliver(&mut self, topic: &str, identifiers: &[u32]) {
        let properties = identifiers
            .iter()
            .fold(PropertiesBuf::builder(), |block, &identifier| block.subscription_identifier(identifier));
        let mut message = Message::new(TopicName::try_from(topic).unwrap(), Bytes::new());
        message.properties = properties.build().unwrap();
        self.router.deliver(message, None, false, &mut self.effects);
    }

    /// The topics that each subscription got, in the order of their numbers.
    fn got(&mut self) -> Vec<(u64, String)> {
        self.router.flush(&mut self.effects);
        let mut got = Vec::new();
        for (&number, inbox) in &self.inboxes {
            while let Poll::Ready(Some(taken)) =
                inbox.queue.poll_take(&mut Context::from_waker(Waker::noop()))
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
        let taken = rig.inboxes[&number].queue.poll_take(&mut Context::from_waker(Waker::noop()));
        matches!(taken, Poll::Ready(None))
    };
    assert!(ended(1) && !ended(2));
}

/// Nodes of the tree that finding the takers of one message looks at, among so many filters of the same shapes.
fn work(filters: u64, identified: bool, in_one_request: bool) -> usize {
    let mut rig = Rig::new();
    let texts: Vec<String> = (0..filters)
        .map(|number| match number % 3 {
            0 => format!("plant/{number}/+"),
            1 => format!("plant/{}/#", number - 1),
            _ => format!("plant/{}/state", number - 2),
        })
        .collect();
    let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
    if in_one_request {
        rig.subscribe(0, &texts, identified.then_some(1));
    } else {
        for (number, text) in (0..).zip(&texts) {
            rig.subscribe(number, &[text], identified.then_some(number as u32 + 1));
        }
    }
    let (meant, took) = match (identified, in_one_request) {
        (true, false) => (vec![1, 2, 3], 3),
        (true, true) => (vec![1], 1),
        (false, in_one_request) => (vec![], if in_one_request { 1 } else { 3 }),
    };
    rig.deliver("plant/0/state", &meant);
    assert_eq!(rig.got().len(), took);
    rig.router.tree.visited
}

/// The cost of finding takers does not grow with their number: with identifiers, without, and with one for all.
#[test]
fn ten_thousand_filters_cost_what_ten_cost() {
    for (identified, in_one_request) in [(true, false), (false, false), (true, true), (false, true)] {
        let few = work(9, identified, in_one_request);
        assert_eq!(work(9_999, identified, in_one_request), few, "{identified} {in_one_request}");
        assert!(few <= 6, "the tree is no deeper than the topic: {few}");
    }
    assert_eq!(work(9_999, true, false), 0, "an identifier of its own needs no search");
}

#[test]
fn ten_thousand_filters_come_and_go() {
    let mut rig = Rig::new();
    for number in 0..10_000 {
        rig.subscribe(number, &[format!("plant/{number}/+").as_str()], Some(number as u32 + 1));
    }
    rig.deliver("plant/4711/state", &[]);
    assert_eq!(rig.got(), took(&[(4711, "plant/4711/state")]));
    for number in 0..10_000 {
        assert_eq!(rig.remove(number).len(), 1);
    }
    assert_eq!(rig.router.free.len(), 10_000);
    assert!(rig.router.by_identifier.is_empty() && rig.router.gone.len() <= MOST_GONE);
}

/// Between UNSUBSCRIBE and its answer a server that sends a copy for each subscription still sends those of the one that
/// ended: they are nobody's, not second ones for its neighbours.
#[test]
fn a_late_copy_for_a_subscription_that_is_gone_goes_to_nobody_else() {
    let mut rig = Rig::new();
    rig.subscribe(1, &["a/+"], Some(7));
    rig.subscribe(2, &["a/#"], Some(8));
    rig.remove(1);
    rig.deliver("a/b", &[7]);
    rig.deliver("a/b", &[8]);
    assert_eq!((rig.got(), rig.effects.unclaimed), (took(&[(2, "a/b")]), 1));
    // One copy for both is still one for the other.
    rig.deliver("a/b", &[7, 8]);
    assert_eq!(rig.got(), took(&[(2, "a/b")]));
    // The identifier may be used again.
    rig.subscribe(3, &["a/b"], Some(7));
    rig.deliver("a/b", &[7]);
    assert_eq!(rig.got(), took(&[(3, "a/b")]));
}

/// A newer request for a filter changes its identifier: what was sent under the old one is not lost.
#[test]
fn a_message_under_an_identifier_that_was_replaced() {
    let mut rig = Rig::new();
    rig.subscribe(1, &["a"], Some(7));
    rig.subscribe(2, &["a"], Some(8));
    rig.deliver("a", &[7]);
    assert_eq!(rig.got(), took(&[(1, "a"), (2, "a")]));
    // Of two filters under one identifier one is left: a late message of the other is not for it.
    rig.subscribe(3, &["x", "y"], Some(9));
    rig.router.drop_filter(&filter("x"), &mut rig.effects);
    rig.deliver("x", &[9]);
    rig.deliver("y", &[9]);
    assert_eq!(rig.got(), took(&[(3, "y")]));
}

/// The next message goes where the last one went only as long as nothing has changed in between.
#[test]
fn in_a_row_each_message_goes_where_it_would_alone() {
    for identifier in [None, Some(7)] {
        let mut rig = Rig::new();
        let with = identifier.as_slice();
        rig.subscribe(1, &["a"], identifier);
        rig.deliver("a", with);
        rig.deliver("a", with);
        // One more holder, and one less.
        rig.subscribe(2, &["a"], identifier);
        rig.deliver("a", with);
        rig.remove(1);
        rig.deliver("a", with);
        rig.deliver("a", with);
        // Another subscription in between.
        rig.subscribe(3, &["b"], Some(9));
        rig.deliver("b", &[9]);
        rig.deliver("a", with);
        rig.deliver("c", &[]);
        rig.router.refuse(HolderId(2), &filter("a"));
        rig.deliver("a", &[]);
        let got = rig.got();
        assert_eq!([1, 2, 3].map(|number| got.iter().filter(|(of, _)| *of == number).count()), [0, 4, 1]);
        assert_eq!(rig.effects.unclaimed, 2, "nobody takes the last ones");
    }
}

/// Applications may choose identifiers, and even one for several subscriptions: then their filters decide.
#[test]
fn subscriptions_that_share_an_identifier() {
    let mut rig = Rig::new();
    rig.subscribe(1, &["a/+"], Some(7));
    rig.subscribe(2, &["b/+"], Some(7));
    rig.deliver("a/x", &[7]);
    rig.deliver("b/x", &[7]);
    assert_eq!(rig.got(), took(&[(1, "a/x"), (2, "b/x")]));
    rig.remove(1);
    rig.deliver("b/x", &[7]);
    assert_eq!(rig.got(), took(&[(2, "b/x")]));
}

#[test]
fn in_a_squeeze_qos_0_is_dropped_beyond_twice_the_bound() {
    let mut rig = Rig::new();
    rig.subscribe(1, &["a"], None);
    for _ in 0..20 {
        rig.deliver("a", &[]);
    }
    rig.router.flush(&mut rig.effects);
    assert_eq!(rig.inboxes[&1].queue.dropped(), 0, "what one read brings is kept");
    let message = Message::new(TopicName::try_from("a").unwrap(), Bytes::new());
    rig.router.deliver(message, None, true, &mut rig.effects);
    rig.router.flush(&mut rig.effects);
    assert_eq!(rig.inboxes[&1].queue.dropped(), 1);
    assert_eq!((rig.got().len(), rig.effects.filled), (20, 1));
}
