//! What is written of a message: its beginning and its hash, and what a hook leaves of it.

mod common;

use common::{acked, entries, message, publish, receive, written};
use mqtt_client::{QoS, ReasonCode};
use mqtt_log::{Direction, Fate, LogOptions, MessageLog, Query, RepublishError, Verdict};

#[test]
fn a_hook_changes_and_drops() {
    let home = tempfile::tempdir().unwrap();
    let hook = |draft: &mut mqtt_log::Draft| {
        if draft.topic.starts_with("private/") {
            return Verdict::Drop;
        }
        if draft.direction == Direction::Out {
            draft.payload = "secret".into();
            draft.client_id = "somebody".to_owned();
            draft.topic = draft.topic.replace("7", "*");
        }
        Verdict::Keep
    };
    let mut log = LogOptions::new().redact(hook).open(home.path()).unwrap();
    let ok = acked(ReasonCode::SUCCESS);
    publish(&mut log, 1, &message("private/a", "hidden", QoS::AtLeastOnce), Some(&ok));
    publish(&mut log, 2, &message("door/7", "4711", QoS::AtLeastOnce), Some(&ok));
    receive(&mut log, &message("door/7", "open", QoS::AtMostOnce));
    receive(&mut log, &message("private/b", "hidden", QoS::AtMostOnce));
    publish(&mut log, 3, &message("private/c", "hidden", QoS::AtLeastOnce), None);
    written(&log);
    // Its outcome comes when the row, if there were one, would be long written.
    publish(&mut log, 4, &message("door/8", "x", QoS::AtLeastOnce), None);
    written(&log);
    use mqtt_client::{Journal as _, Record};
    log.record(Record::Completed { number: 3, outcome: &ok });
    log.record(Record::Completed { number: 4, outcome: &ok });
    log.flush();
    written(&log);
    assert_eq!((log.status().written, log.status().redacted, log.status().lost), (3, 3, 0));
    let found = entries(home.path(), Query::new());
    let seen: Vec<_> = found
        .iter()
        .map(|entry| (entry.topic.as_str(), &entry.payload[..], entry.payload_size, entry.client_id.as_str()))
        .collect();
    assert_eq!(
        seen,
        [
            ("door/*", &b"secret"[..], 6, "somebody"),
            ("door/7", &b"open"[..], 4, ""),
            ("door/8", &b"secret"[..], 6, "somebody")
        ]
    );
    assert_eq!(found[2].outcome, Some(Fate::Acked));
    // No trace of it, not even in what is not in use any more.
    for file in std::fs::read_dir(home.path()).unwrap() {
        let bytes = std::fs::read(file.unwrap().path()).unwrap();
        assert!(!bytes.windows(6).any(|window| window == b"hidden" || window == b"privat"));
    }
}

#[test]
fn of_a_large_payload_the_beginning_and_the_hash_are_kept() {
    let home = tempfile::tempdir().unwrap();
    let mut log = LogOptions::new().payload_limit(3).open(home.path()).unwrap();
    for payload in [&b"abc"[..], b"abcd", &[b'a'; 100_000]] {
        receive(&mut log, &message("a", payload.to_vec(), QoS::AtMostOnce));
    }
    written(&log);
    let found = entries(home.path(), Query::new());
    let hashes: Vec<_> =
        found.iter().map(|entry| entry.payload_sha256.as_ref().map(|hash| hash[..4].to_vec())).collect();
    // As sha256sum has it.
    assert_eq!(hashes, [None, Some(vec![0x88, 0xd4, 0x26, 0x6f]), Some(vec![0x6d, 0x1c, 0xf2, 0x2d])]);
    let sizes: Vec<_> = found.iter().map(|entry| (entry.payload.len(), entry.payload_size)).collect();
    assert_eq!(sizes, [(3, 3), (3, 4), (3, 100_000)]);
    assert!(found[0].message().is_ok());
    assert_eq!(found[1].message(), Err(RepublishError::Truncated { kept: 3, size: 4 }));
}

#[test]
fn a_large_payload_within_the_limit_is_kept_whole() {
    let home = tempfile::tempdir().unwrap();
    let mut log = LogOptions::new().payload_limit(usize::MAX).open(home.path()).unwrap();
    let payloads: Vec<Vec<u8>> = (0..4_u8).map(|byte| vec![byte; 1500 * usize::from(byte)]).collect();
    for payload in &payloads {
        receive(&mut log, &message("a", payload.clone(), QoS::AtMostOnce));
    }
    written(&log);
    let found: Vec<_> = entries(home.path(), Query::new()).into_iter().map(|entry| entry.payload).collect();
    assert_eq!(found, payloads);
}

#[test]
fn a_file_of_another_kind_or_time_is_refused() {
    let home = tempfile::tempdir().unwrap();
    drop(MessageLog::open(home.path()).unwrap());
    let file = home.path().join("messages.sqlite3");
    rusqlite::Connection::open(&file).unwrap().execute_batch("PRAGMA user_version = 2").unwrap();
    let error = MessageLog::open(home.path()).unwrap_err().to_string();
    assert_eq!(error, "the message log has schema version 2; this program knows 1");
    assert!(mqtt_log::LogReader::open(home.path()).is_err());
    std::fs::write(&file, "no database at all, but long enough to be looked at").unwrap();
    assert!(MessageLog::open(home.path()).is_err());
    let nowhere = mqtt_log::LogReader::open(home.path().join("nowhere")).unwrap_err();
    assert!(nowhere.to_string().starts_with("there is no message log in"), "{nowhere}");
    assert!(MessageLog::open(&file).is_err());
}
