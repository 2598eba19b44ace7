//! What is found, and what comes to those who follow.

mod common;

use common::{PATIENCE, acked, entries, message, publish, receive, topics, written};
use core::time::Duration;
use mqtt_client::{Journal as _, Outcome, QoS, ReasonCode, Record, TopicFilter};
use mqtt_log::{Direction, Entry, Fate, LogOptions, LogReader, MessageLog, Query, Verdict};
use proptest::prelude::*;
use std::path::Path;
use std::thread;
use std::time::{SystemTime, UNIX_EPOCH};

fn level() -> impl Strategy<Value = &'static str> {
    prop::sample::select(vec!["", "a", "b", "ab", "$a", "\u{e4}"])
}

fn topic() -> impl Strategy<Value = String> {
    prop::collection::vec(level(), 1..4)
        .prop_map(|levels| levels.join("/"))
        .prop_filter("not empty", |topic| !topic.is_empty())
}

fn filter() -> impl Strategy<Value = String> {
    let level = prop_oneof![level(), Just("+")];
    (prop::collection::vec(level, 0..4), any::<bool>())
        .prop_map(|(mut levels, all)| {
            levels.extend(all.then_some("#"));
            levels.join("/")
        })
        .prop_filter("not empty", |filter| !filter.is_empty())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, failure_persistence: None, ..ProptestConfig::default() })]

    /// [MQTT-4.7.1-1] and the rest of section 4.7: the database takes what the client's own matching takes.
    #[test]
    fn wildcards_mean_what_they_mean_to_a_server(
        names in prop::collection::vec(topic(), 1..40),
        filters in prop::collection::vec(filter(), 1..8),
    ) {
        let home = tempfile::tempdir().unwrap();
        let mut log = MessageLog::open(home.path()).unwrap();
        for name in &names {
            receive(&mut log, &message(name, "x", QoS::AtMostOnce));
        }
        written(&log);
        for filter in filters {
            let filter = TopicFilter::try_from(filter).unwrap();
            let found = entries(home.path(), Query::new().topic(filter.clone()));
            let expected: Vec<_> = names.iter().map(String::as_str).filter(|name| filter.matches(name)).collect();
            prop_assert_eq!(topics(&found), expected, "{}", filter);
        }
    }
}

/// A log of ten messages, one for each second from 1000 on, of two clients, with all that can become of them.
fn sample(home: &Path) {
    let mut second = 999;
    let hook = move |draft: &mut mqtt_log::Draft| {
        second += 1;
        draft.time = at(second);
        Verdict::Keep
    };
    let mut log = LogOptions::new().redact(hook).open(home).unwrap();
    log.record(Record::Client { id: "one" });
    let outcomes = [
        Some(Outcome::Sent),
        Some(acked(ReasonCode::SUCCESS)),
        Some(acked(ReasonCode::NOT_AUTHORIZED)),
        Some(Outcome::Expired),
        None,
    ];
    for (number, outcome) in (1..).zip(&outcomes) {
        publish(&mut log, number, &message("out", number.to_string(), QoS::AtLeastOnce), outcome.as_ref());
    }
    log.record(Record::Client { id: "two" });
    for number in 6..=10 {
        receive(&mut log, &message("in", number.to_string(), QoS::AtMostOnce));
    }
    written(&log);
}

fn at(second: u64) -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(second)
}

fn payloads(found: &[Entry]) -> Vec<u32> {
    found.iter().map(|entry| String::from_utf8_lossy(&entry.payload).parse().unwrap()).collect()
}

#[test]
fn conditions_hold_together() {
    let home = tempfile::tempdir().unwrap();
    sample(home.path());
    let query = Query::new;
    let filter = |text: &str| TopicFilter::try_from(text).unwrap();
    for (query, expected) in [
        (query(), vec![1, 2, 3, 4, 5, 6, 7, 8, 9, 10]),
        (query().since(at(1002)).until(at(1007)), vec![3, 4, 5, 6, 7]),
        (query().since(at(2000)), vec![]),
        (query().until(at(1000)), vec![]),
        (query().direction(Direction::In).last(2), vec![9, 10]),
        (query().direction(Direction::Out), vec![1, 2, 3, 4, 5]),
        (query().failed(), vec![3, 4]),
        (query().outcome(Fate::Acked), vec![2, 3]),
        (query().outcome(Fate::Acked).failed(), vec![3]),
        (query().client_id("two").until(at(1007)), vec![6, 7]),
        (query().client_id("three"), vec![]),
        (query().topic(filter("in")).topic(filter("nothing")), vec![6, 7, 8, 9, 10]),
        (query().topic(filter("out")).client_id("two"), vec![]),
        (query().last(3), vec![8, 9, 10]),
        (query().last(0), vec![]),
        (query().last(100), vec![1, 2, 3, 4, 5, 6, 7, 8, 9, 10]),
        (query().failed().last(1), vec![4]),
        (query().since(at(1003)).until(at(1008)).last(2), vec![7, 8]),
    ] {
        let found = entries(home.path(), query.clone());
        assert_eq!(payloads(&found), expected, "{query:?}");
        // The same, told by the query itself.
        let all = entries(home.path(), Query::new());
        let taken: Vec<_> = all.into_iter().filter(|entry| query.takes(entry)).collect();
        assert!(found.iter().all(|entry| taken.contains(entry)), "{query:?}");
    }
}

#[test]
fn many_messages_come_page_by_page() {
    let home = tempfile::tempdir().unwrap();
    let mut log = MessageLog::open(home.path()).unwrap();
    for number in 0..1700 {
        receive(&mut log, &message(["a", "b"][number % 2], number.to_string(), QoS::AtMostOnce));
    }
    written(&log);
    let query = Query::new().topic(TopicFilter::try_from("b").unwrap());
    let expected: Vec<u32> = (0..1700).filter(|number| number % 2 == 1).collect();
    assert_eq!(payloads(&entries(home.path(), query.clone())), expected);
    assert_eq!(payloads(&entries(home.path(), query.last(600))), &expected[250..]);
}

/// The next message that comes to one who follows.
#[track_caller]
fn next(following: &mut mqtt_log::Entries<'_>) -> Entry {
    for _ in 0..PATIENCE.as_millis() / 10 {
        if let Some(entry) = following.next() {
            return entry.unwrap();
        }
        thread::sleep(Duration::from_millis(10));
    }
    panic!("nothing comes");
}

#[test]
fn those_who_follow_see_what_comes() {
    let home = tempfile::tempdir().unwrap();
    let mut log = MessageLog::open(home.path()).unwrap();
    let reader = LogReader::open(home.path()).unwrap();
    let (mut all, mut last) = (reader.follow(Query::new()), reader.follow(Query::new().last(0)));
    assert!(all.next().is_none() && last.next().is_none());
    for number in 0..1200 {
        receive(&mut log, &message("a", number.to_string(), QoS::AtMostOnce));
        if number % 100 == 0 {
            written(&log);
        }
        if number % 150 == 0 {
            (0..50).for_each(|_| _ = all.next());
        }
    }
    written(&log);
    let mut later = reader.follow(Query::new().last(2));
    assert_eq!(payloads(&[next(&mut later), next(&mut later)]), [1198, 1199]);
    assert!(later.next().is_none());
    receive(&mut log, &message("a", "1200", QoS::AtMostOnce));
    assert_eq!(payloads(&[next(&mut later)]), [1200]);
    for number in 0..=1200 {
        assert_eq!(payloads(&[next(&mut last)]), [number]);
    }
    assert!(last.next().is_none());
}

/// What fails fails later than it is written.
#[test]
fn those_who_follow_failures_see_them_when_they_happen() {
    let home = tempfile::tempdir().unwrap();
    let mut log = MessageLog::open(home.path()).unwrap();
    for number in 1..=3 {
        publish(&mut log, number, &message("a", number.to_string(), QoS::AtLeastOnce), None);
    }
    written(&log);
    let reader = LogReader::open(home.path()).unwrap();
    let mut failures = reader.follow(Query::new().failed());
    assert!(failures.next().is_none());
    publish(&mut log, 4, &message("a", "4", QoS::AtLeastOnce), Some(&Outcome::Expired));
    assert_eq!(payloads(&[next(&mut failures)]), [4]);
    log.record(Record::Completed { number: 2, outcome: &Outcome::Unknown });
    log.record(Record::Completed { number: 3, outcome: &acked(ReasonCode::SUCCESS) });
    log.record(Record::Completed { number: 1, outcome: &Outcome::SessionLost });
    log.flush();
    assert_eq!(payloads(&[next(&mut failures), next(&mut failures)]), [1, 2]);
    written(&log);
    assert!(failures.next().is_none());
}
