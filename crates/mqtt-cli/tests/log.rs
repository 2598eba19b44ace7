//! `--log` writes a log, `mqtt log` shows it and publishes from it; against mosquitto.

mod common;

use common::{Ended, QOS, VERSIONS, mqtt, publish, run, run_with_input, start, start_subscribed};
use mqtt_testkit::mosquitto::Mosquitto;
use serde_json::Value;
use std::path::Path;

/// `mqtt log` on this directory.
fn log(home: &Path, args: &[&str]) -> std::process::Command {
    let mut words = vec!["log", home.to_str().unwrap()];
    words.extend(args);
    mqtt(&words)
}

fn objects(ended: &Ended) -> Vec<Value> {
    ended.text().lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// One field of each.
fn field<'a>(objects: &'a [Value], name: &str) -> Vec<&'a Value> {
    objects.iter().map(|object| &object[name]).collect()
}

#[test]
fn what_is_published_and_received_is_shown() {
    let broker = Mosquitto::start();
    for version in VERSIONS {
        for qos in QOS {
            let home = tempfile::tempdir().unwrap();
            let dir = home.path().to_str().unwrap();
            let reader = start_subscribed(
                broker.addr(),
                &["-V", version, "-t", "a/+", "-q", qos, "-C", "1", "-i", "r", "--log", dir],
            );
            // Both write to the same log, at once.
            let sent = ["-V", version, "-t", "a/b", "-q", qos, "-m", "hello", "-i", "w", "--log", dir];
            run(publish(broker.addr(), &sent)).with(0);
            assert_eq!(reader.wait().with(0).text(), "hello\n");
            let shown = run(log(home.path(), &["--json"])).with(0);
            assert!(shown.stderr.is_empty(), "{shown:?}");
            let mut found = objects(&shown);
            found.sort_by_key(|object| object["direction"].to_string());
            let context = format!("{version} {qos} {found:?}");
            assert_eq!(field(&found, "direction"), ["in", "out"], "{context}");
            assert_eq!(field(&found, "client_id"), ["r", "w"], "{context}");
            assert_eq!(field(&found, "payload"), ["hello", "hello"], "{context}");
            assert_eq!(field(&found, "qos"), [qos.parse::<u8>().unwrap(); 2], "{context}");
            let outcome = if qos == "0" { "sent" } else { "acked" };
            assert_eq!(found[1]["outcome"], outcome, "{context}");
            let lines = run(log(home.path(), &["--direction", "out"])).with(0);
            assert!(
                lines.text().contains(r#"out w a/b (q"#) && lines.text().contains(r#" "hello" "#),
                "{lines:?}"
            );
            assert_eq!(lines.text().lines().count(), 1);
        }
    }
}

#[test]
fn questions_narrow_it_down() {
    let rules = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(rules.path(), "topic readwrite home/#\n").unwrap();
    let rules = format!("acl_file {}", rules.path().display());
    let broker = Mosquitto::builder().listener_config(&rules).start();
    let home = tempfile::tempdir().unwrap();
    let dir = home.path().to_str().unwrap();
    for (topic, message) in [("home/hall/temp", "1"), ("home/attic/temp", "2"), ("home/hall/lamp", "3")] {
        run(publish(broker.addr(), &["-t", topic, "-q", "1", "-m", message, "--log", dir])).with(0);
    }
    let forbidden = ["-V", "mqttv5", "-t", "secret/temp", "-q", "1", "-m", "4", "-i", "spy", "--log", dir];
    run(publish(broker.addr(), &forbidden)).with(5);
    let shown = |args: &[&str]| {
        let ended = run(log(home.path(), &[args, &["--json"]].concat())).with(0);
        let found = objects(&ended);
        field(&found, "payload")
            .into_iter()
            .map(|payload| payload.as_str().unwrap().to_owned())
            .collect::<Vec<_>>()
    };
    assert_eq!(shown(&["--topic", "home/+/temp", "--until", "2100-01-01"]), ["1", "2"]);
    assert_eq!(shown(&["-t", "home/hall/#", "-t", "secret/#", "--since", "1h"]), ["1", "3", "4"]);
    assert_eq!(shown(&["--limit", "2"]), ["3", "4"]);
    assert_eq!(shown(&["--client", "spy"]), ["4"]);
    assert_eq!(shown(&["--failed"]), ["4"]);
    assert_eq!(shown(&["--since", "2100-01-01"]), [""; 0]);
    assert_eq!(shown(&["--until", "1h"]), [""; 0]);
    assert_eq!(shown(&["--direction", "in"]), [""; 0]);
    assert_eq!(shown(&["--client", "nobody"]), [""; 0]);
    assert_eq!(shown(&["--limit", "0"]), [""; 0]);
    let line = run(log(home.path(), &["--failed"])).with(0);
    assert!(line.text().contains(r#" "4" acked 0x87 "#), "{line:?}");
}

#[test]
fn those_who_follow_see_what_comes() {
    let broker = Mosquitto::start();
    let home = tempfile::tempdir().unwrap();
    let dir = home.path().to_str().unwrap();
    run(publish(broker.addr(), &["-t", "a", "-m", "before", "--log", dir])).with(0);
    let following = start(log(home.path(), &["--follow", "--json", "--topic", "a"]));
    let payload = |line: Vec<u8>| serde_json::from_slice::<Value>(&line).unwrap()["payload"].clone();
    assert_eq!(payload(following.line()), "before");
    for number in ["1", "2", "3"] {
        run(publish(broker.addr(), &["-t", "b", "-m", "other", "--log", dir])).with(0);
        run(publish(broker.addr(), &["-t", "a", "-m", number, "--log", dir])).with(0);
        assert_eq!(payload(following.line()), number);
    }
    following.signal("INT");
    following.wait().with(130);
}

#[test]
fn messages_are_published_again_as_they_were() {
    let (broker, other) = (Mosquitto::start(), Mosquitto::start());
    let home = tempfile::tempdir().unwrap();
    let dir = home.path().to_str().unwrap();
    run_with_input(publish(broker.addr(), &["-t", "a/lines", "-q", "2", "-l", "--log", dir]), b"1\n2\n3\n")
        .with(0);
    let properties = ["-D", "publish", "user-property", "k", "v"];
    run(publish(
        broker.addr(),
        &[&["-t", "a/kept", "-q", "1", "-r", "-m", "x", "--log", dir], &properties[..]].concat(),
    ))
    .with(0);
    let url = other.url();
    let reader = start_subscribed(
        other.addr(),
        &["-V", "mqttv5", "-t", "#", "-q", "2", "-C", "4", "-F", "%q %t %p %P"],
    );
    let done = run(log(home.path(), &["--republish", &url, "--topic", "a/#", "-d"])).with(0);
    assert!(done.stderr.contains("messages published: 4, not delivered: 0"), "{done:?}");
    let received = reader.wait().with(0);
    let mut lines: Vec<_> = received.text().lines().collect();
    // mosquitto passes a QoS 2 message on when it is released, and so maybe behind a later one of QoS 1.
    lines.sort_unstable();
    assert_eq!(lines, ["1 a/kept x k:v", "2 a/lines 1 ", "2 a/lines 2 ", "2 a/lines 3 "]);
    let kept = run(common::subscribe(other.addr(), &["-t", "a/kept", "-C", "1", "-F", "%r %p"])).with(0);
    assert_eq!(kept.text(), "1 x\n");
}

#[test]
fn what_cannot_be_published_again_is_told() {
    let broker = Mosquitto::start();
    let home = tempfile::tempdir().unwrap();
    let dir = home.path().to_str().unwrap();
    let large = "x".repeat(5000);
    run(publish(broker.addr(), &["-t", "a", "-m", &large, "--log", dir])).with(0);
    run(publish(broker.addr(), &["-t", "a", "-m", "small", "--log", dir])).with(0);
    let url = broker.url();
    let ended = run(log(home.path(), &["--republish", &url])).with(5);
    ended.saying(&["message 1 to 'a' was not delivered", "only 4096 of the 5000 bytes"]);
    // A server that is not there.
    let gone = "mqtt://127.0.0.1:1";
    run(log(home.path(), &["--republish", gone])).with(2);
}

#[test]
fn what_is_typed_wrong_is_told_in_one_line() {
    let home = tempfile::tempdir().unwrap();
    run(log(home.path(), &[])).with(1).saying(&["there is no message log in"]);
    for (args, part) in [
        (&["--since", "yesterday"][..], "1h"),
        (&["-t", "a/#/b"], "'#'"),
        (&["--direction", "up"], "in, out"),
        (&["--republish", "mqtt://x", "--follow"], "cannot be used with"),
        (&["-i", "x"], "--republish"),
    ] {
        run(log(home.path(), args)).with(1).saying(&[part]);
    }
    let file = home.path().join("file");
    std::fs::write(&file, "").unwrap();
    let args = ["pub", "-t", "a", "-m", "x", "--log", file.to_str().unwrap()];
    run(mqtt(&args)).with(1).saying(&["--log"]);
    let dir = tempfile::tempdir().unwrap();
    let broker = Mosquitto::start();
    run(publish(broker.addr(), &["-t", "a", "-m", "x", "--log", dir.path().to_str().unwrap()])).with(0);
    run(log(dir.path(), &["--cafile", "x"])).with(1).saying(&["--republish"]);
    run(log(dir.path(), &["--republish", "mqtt://127.0.0.1:1/a"])).with(1).saying(&["topic"]);
}
