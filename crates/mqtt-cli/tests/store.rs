//! `mqtt store`: looks at what a client has stored, and changes nothing.

mod common;

use bytes::Bytes;
use common::{mqtt, run};
use mqtt_client::{PacketId, Store, StoreKey, StoreOp};
use mqtt_store::DurableStore;
use std::fs;
use std::path::{Path, PathBuf};
use tempfile::TempDir;

/// A stored message: when it expires, its PUBLISH of 5.0 at QoS 1.
fn message(number: u64, expires: u64, topic: &str, payload: &[u8]) -> StoreOp {
    let topic_length = u8::try_from(topic.len()).unwrap();
    let length = u8::try_from(2 + topic.len() + 2 + 1 + payload.len()).unwrap();
    let head = [[0x33, length].as_slice(), &[0, topic_length], topic.as_bytes(), &[0, 1], &[0]].concat();
    let value = [&expires.to_be_bytes(), head.as_slice(), payload].concat();
    StoreOp::Put(StoreKey::Message(number), value.into())
}

fn put(key: StoreKey, value: &'static [u8]) -> StoreOp {
    StoreOp::Put(key, Bytes::from_static(value))
}

fn stored() -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    let mut store = DurableStore::open(dir.path()).unwrap();
    store.load("kitchen").unwrap();
    let ops = [
        put(StoreKey::Begun, &[0]),
        message(5, 0, "home/lamp", b"on"),
        message(6, 1_700_000_000_000, "home/\"lamp\"", b"off\n"),
        message(7, 0, "home/raw", &[0xFF, 0xFE, 0]),
        put(StoreKey::Exchange(5), &[0x40, 2, 0, 1]),
        put(StoreKey::Release(1), &[0x62, 2, 0, 2]),
        put(StoreKey::Received(PacketId::new(3).unwrap()), &[0x50, 2, 0, 3]),
    ];
    store.apply(&ops, true).unwrap();
    drop(store);
    dir
}

fn files(dir: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let mut files: Vec<_> = fs::read_dir(dir)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .map(|path| (path.clone(), fs::read(path).unwrap()))
        .collect();
    files.sort();
    files
}

fn store(task: &str, dir: &Path) -> std::process::Command {
    mqtt(&["store", task, dir.to_str().unwrap()])
}

#[test]
fn inspect_says_whose_it_is_and_what_it_holds() {
    let dir = stored();
    let before = files(dir.path());
    let ended = run(store("inspect", dir.path())).with(0);
    let text = ended.text().split_whitespace().collect::<Vec<_>>().join(" ");
    for part in [
        "client id \"kitchen\"",
        "session begun",
        "format 1",
        "messages 3 of 82 bytes, 1 of them sent",
        "numbers 5 to 7",
        "released 1",
        "received 1",
        "damaged 0",
    ] {
        assert!(text.contains(part), "{part:?} is not in {text:?}");
    }
    assert!(files(dir.path()) == before, "nothing has changed");
}

#[test]
fn export_prints_a_line_for_each_message() {
    let dir = stored();
    let ended = run(store("export", dir.path())).with(0);
    let expected = concat!(
        r#"{"release":1,"state":"released"}"#,
        "\n",
        r#"{"number":5,"state":"sent","topic":"home/lamp","qos":1,"retain":1,"payload":"on"}"#,
        "\n",
        r#"{"number":6,"state":"waiting","topic":"home/\"lamp\"","qos":1,"retain":1,"#,
        r#""expires":"2023-11-14T22:13:20.000000Z","payload":"off\n"}"#,
        "\n",
        r#"{"number":7,"state":"waiting","topic":"home/raw","qos":1,"retain":1,"payload-base64":"//4A"}"#,
        "\n",
    );
    assert_eq!(ended.text(), expected);
}

#[test]
fn verify_lists_what_is_damaged() {
    let dir = stored();
    assert_eq!(run(store("verify", dir.path())).with(0).text(), "nothing is damaged\n");
    let path = dir.path().join("store-1.sqlite3");
    let mut bytes = fs::read(&path).unwrap();
    let at = bytes.windows(9).position(|word| word == b"home/lamp").unwrap();
    bytes[at] ^= 4;
    fs::write(&path, bytes).unwrap();
    let before = files(dir.path());
    let found = run(store("verify", dir.path())).with(1);
    assert_eq!(found.text(), "messages 5: the checksum does not fit, 26 bytes\n");
    assert!(files(dir.path()) == before, "nothing has changed");
    assert_eq!(run(store("export", dir.path())).with(0).text().lines().count(), 3);
    // A client sets it aside; it is still told of.
    assert_eq!(DurableStore::open(dir.path()).unwrap().load("kitchen").unwrap().damaged, 1);
    assert_eq!(run(store("verify", dir.path())).with(1).text(), found.text());
}

#[test]
fn verify_tells_of_pages_that_cannot_be_read() {
    let dir = stored();
    let path = dir.path().join("store-1.sqlite3");
    let mut bytes = fs::read(&path).unwrap();
    let at = bytes.windows(9).position(|word| word == b"home/lamp").unwrap() / 4096 * 4096;
    bytes[at..at + 4096].fill(0);
    fs::write(&path, bytes).unwrap();
    let found = run(store("verify", dir.path())).with(1);
    assert!(found.text().contains("cannot be read"), "{}", found.text());
    // A client goes on without, and keeps the file.
    drop(DurableStore::open(dir.path()).unwrap());
    let found = run(store("verify", dir.path())).with(1);
    assert!(found.text().contains("damaged-1.sqlite3: kept"), "{}", found.text());
}

#[test]
fn a_store_that_is_open_or_is_none_is_refused() {
    let dir = stored();
    let open = DurableStore::open(dir.path()).unwrap();
    for task in ["inspect", "verify", "export"] {
        let ended = run(store(task, dir.path())).with(1);
        ended.saying(&["mqtt store:", dir.path().to_str().unwrap(), "open already"]);
    }
    drop(open);
    run(store("inspect", dir.path())).with(0);
    let empty = tempfile::tempdir().unwrap();
    run(store("inspect", empty.path())).with(1).saying(&["no store in this directory"]);
    run(store("inspect", &empty.path().join("none"))).with(1).saying(&["No such file or directory"]);
    run(mqtt(&["store", "inspect"])).with(1).saying(&["DIR"]);
}
