//! What a server refuses, and how the command says so.

mod common;

use std::fs;
use std::net::TcpListener;

use common::{VERSIONS, publish, run, run_with_input, start, start_subscribed, start_unread, subscribe};
use mqtt_testkit::mosquitto::Mosquitto;

/// Everybody may publish under `open/`, and nowhere else.
fn guarded() -> (Mosquitto, tempfile::TempDir) {
    let dir = tempfile::tempdir().unwrap();
    let rules = dir.path().join("acl");
    fs::write(&rules, "topic readwrite open/#\n").unwrap();
    let broker = Mosquitto::builder().listener_config(&format!("acl_file {}", rules.display())).start();
    (broker, dir)
}

#[test]
fn a_refused_message_ends_with_5() {
    let (broker, _rules) = guarded();
    for qos in ["1", "2"] {
        let args = ["-V", "mqttv5", "-q", qos, "-t", "closed/a"];
        let ended = run(publish(broker.addr(), &[&args[..], &["-m", "x"]].concat())).with(5);
        ended.saying(&["mqtt pub: the message was not delivered", "refused", "0x87"]);
        let ended = run_with_input(publish(broker.addr(), &[&args[..], &["-l"]].concat()), b"1\n2\n").with(5);
        let lines: Vec<&str> = ended.stderr.lines().collect();
        assert!(
            matches!(lines[..], [one, two] if one.contains("line 1 ") && two.contains("line 2 ")),
            "{lines:?}"
        );
    }
}

#[test]
fn a_message_above_the_limit_of_the_server_is_refused_with_that_limit() {
    let broker = Mosquitto::builder().config("max_packet_size 2000").start();
    let payload = "x".repeat(3_000);
    for qos in ["0", "1", "2"] {
        let args = ["-V", "mqttv5", "-q", qos, "-t", "a", "-m", &payload];
        run(publish(broker.addr(), &args)).with(5).saying(&["2000"]);
    }
    run(publish(broker.addr(), &["-V", "mqttv5", "-q", "1", "-t", "a", "-m", &payload[..1_900]])).with(0);
}

#[test]
fn what_the_server_does_not_offer_is_named() {
    let broker = Mosquitto::builder().listener_config("max_qos 1").config("retain_available false").start();
    let args = ["-V", "mqttv5", "-t", "a", "-m", "x"];
    run(publish(broker.addr(), &[&args[..], &["-q", "2"]].concat())).with(5).saying(&["QoS 2", "QoS 1"]);
    run(publish(broker.addr(), &[&args[..], &["-r"]].concat())).with(5).saying(&["retained"]);
}

#[test]
fn a_client_identifier_that_is_taken_over_ends_the_first_with_a_reason() {
    let broker = Mosquitto::start();
    for version in VERSIONS {
        let reader = start_subscribed(broker.addr(), &["-V", version, "-i", "same", "-t", "a"]);
        let second = start_subscribed(broker.addr(), &["-V", version, "-i", "same", "-t", "a"]);
        // mosquitto 2.0 closes without a word; what the first does then is to come back, and so on.
        reader.wait_for_stderr("connection lost");
        drop(second);
        reader.signal("INT");
        reader.wait().with(130);
    }
}

#[test]
fn a_server_that_says_nothing_can_be_interrupted_at_once() {
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    for (signal, code) in [("INT", 130), ("TERM", 143)] {
        let waiting = start(subscribe(silent.local_addr().unwrap(), &["-d", "-t", "a"]));
        waiting.wait_for_stderr("connecting");
        waiting.signal(signal);
        waiting.wait().with(code);
    }
}

#[test]
fn a_reader_that_does_not_read_does_not_keep_it_from_ending() {
    let broker = Mosquitto::start();
    let reader = start_unread(subscribe(broker.addr(), &["-d", "-t", "a"]));
    reader.wait_for_stderr("subscribed");
    let large = "x".repeat(200_000);
    for _ in 0..3 {
        run_with_input(publish(broker.addr(), &["-t", "a", "-s"]), large.as_bytes()).with(0);
    }
    reader.wait_for_stderr("received");
    reader.signal("TERM");
    reader.wait().with(143);
}
