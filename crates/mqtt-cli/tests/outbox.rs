//! `mqtt pub --store`: what was accepted outlives the command.

mod common;

use common::{PATIENCE, mqtt, publish, run, start, start_subscribed};
use core::net::SocketAddr;
use core::time::Duration;
use mqtt_testkit::mosquitto::Mosquitto;
use std::io::Write;
use std::net::TcpListener;
use std::path::Path;
use std::thread::sleep;

const STEP: Duration = Duration::from_millis(20);

/// Whoever connects there waits for ever.
fn silent() -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    (listener, address)
}

#[test]
fn what_a_killed_run_has_accepted_is_sent_by_the_next() {
    for version in ["mqttv311", "mqttv5"] {
        let home = tempfile::tempdir().unwrap();
        let store = home.path().join("store");
        let dir = store.to_str().unwrap();
        let (_silent, nobody) = silent();
        let common = ["-V", version, "-i", "kitchen", "-t", "a", "-q", "1", "--store", dir];
        let mut killed = start(publish(nobody, &[&common[..], &["-l", "-d"]].concat()));
        killed.stdin().write_all(b"one\ntwo\n").unwrap();
        wait_for(&store, home.path(), 2);
        killed.signal("KILL");
        assert_eq!(killed.wait().code, None);

        let broker = Mosquitto::start();
        let reader = start_subscribed(broker.addr(), &["-t", "a", "-q", "1", "-C", "3"]);
        // The old ones first.
        run(publish(broker.addr(), &[&common[..], &["-m", "three"]].concat())).with(0);
        assert_eq!(reader.wait().with(0).text(), "one\ntwo\nthree\n");
        let inspected = run(mqtt(&["store", "inspect", dir])).with(0);
        assert!(inspected.text().contains("messages     0 "), "{inspected:?}");
    }
}

#[test]
fn without_a_payload_it_sends_what_is_left() {
    let home = tempfile::tempdir().unwrap();
    let store = home.path().join("store");
    let dir = store.to_str().unwrap();
    let (_silent, nobody) = silent();
    let timed = ["-i", "kitchen", "-t", "a", "-q", "2", "-m", "hello", "-W", "1", "--store", dir];
    run(publish(nobody, &timed)).with(27);
    let broker = Mosquitto::start();
    let reader = start_subscribed(broker.addr(), &["-t", "a", "-q", "2", "-C", "1"]);
    for _ in 0..2 {
        run(publish(broker.addr(), &["-i", "kitchen", "--store", dir])).with(0);
    }
    assert_eq!(reader.wait().with(0).text(), "hello\n");
}

#[test]
fn a_store_needs_a_name_and_a_session_that_lasts() {
    let home = tempfile::tempdir().unwrap();
    let dir = home.path().to_str().unwrap();
    let (_silent, nobody) = silent();
    let refused = |args: &[&str], why: &[&str]| {
        run(publish(nobody, &[args, &["--store", dir]].concat())).with(1).saying(why);
    };
    let message = ["-t", "a", "-m", "x", "-q", "1"];
    refused(&message, &["--store needs -i"]);
    refused(&[&message[..], &["-I", "kitchen"]].concat(), &["--store needs -i"]);
    refused(&[&message[..], &["-i", "kitchen", "-x", "0"]].concat(), &["session that lasts"]);
    // It has an owner.
    run(publish(nobody, &[&message[..], &["-i", "kitchen", "-W", "1", "--store", dir]].concat())).with(27);
    refused(&[&message[..], &["-i", "cellar"]].concat(), &["belongs to", "kitchen"]);
}

/// Waits until so many messages are in the store, looked at in a copy: it is in use.
fn wait_for(store: &Path, home: &Path, messages: usize) {
    let copy = home.join("copy");
    for _ in 0..PATIENCE.as_millis() / STEP.as_millis() {
        let _ = std::fs::remove_dir_all(&copy);
        std::fs::create_dir(&copy).unwrap();
        let files = std::fs::read_dir(store).into_iter().flatten().flatten();
        files.for_each(|file| drop(std::fs::copy(file.path(), copy.join(file.file_name()))));
        let ended = run(mqtt(&["store", "export", copy.to_str().unwrap()]));
        if ended.code == Some(0) && ended.text().lines().count() == messages {
            return;
        }
        sleep(STEP);
    }
    panic!("{messages} messages never came to be in the store");
}
