//! The command against mosquitto's broker and mosquitto's own commands, in both directions.

mod common;

use std::fs;

use common::{QOS, VERSIONS, publish, run, run_with_input, start, start_subscribed, subscribe};
use mqtt_testkit::mosquitto::Mosquitto;

/// A payload of all byte values, so that no text handling stays unseen.
fn bytes(length: usize) -> Vec<u8> {
    (0..length).map(|index| (index * 31 % 251) as u8).collect()
}

#[test]
fn mosquitto_sub_receives_what_mqtt_pub_publishes() {
    let broker = Mosquitto::start();
    for version in VERSIONS {
        for qos in QOS {
            let mut reader =
                broker.subscribe(["-t", "a/b", "-q", qos, "-C", "1", "-W", "20", "-F", "%q %t %p"]);
            run(publish(broker.addr(), &["-V", version, "-t", "a/b", "-q", qos, "-m", "hello"])).with(0);
            assert_eq!(reader.line(), Some(format!("{qos} a/b hello")), "{version}");
            assert!(reader.wait().0.success());
        }
    }
}

#[test]
fn mqtt_sub_receives_what_mosquitto_pub_publishes() {
    let broker = Mosquitto::start();
    for version in VERSIONS {
        for qos in QOS {
            let args = ["-V", version, "-t", "a/+", "-q", qos, "-C", "1", "-F", "%q %r %t %p"];
            let reader = start_subscribed(broker.addr(), &args);
            broker.publish(["-V", version, "-t", "a/b", "-q", qos, "-m", "hello"]);
            assert_eq!(reader.wait().with(0).text(), format!("{qos} 0 a/b hello\n"), "{version}");
        }
    }
}

#[test]
fn a_thousand_lines_arrive_in_order() {
    let broker = Mosquitto::start();
    let lines: Vec<String> =
        (0..1_000).map(|number| format!("{number} {}", "x".repeat(number % 97))).collect();
    let input = lines.join("\n");
    for version in VERSIONS {
        for qos in QOS {
            let id = format!("{version}-{qos}");
            let args = ["-V", version, "-q", qos, "-t", "lines", "-C", "1000", "-W", "30", "-i", &id];
            let ours = start_subscribed(broker.addr(), &args);
            let theirs = broker.subscribe(["-q", qos, "-t", "lines", "-C", "1000", "-W", "30"]);
            let publisher = publish(broker.addr(), &["-V", version, "-q", qos, "-t", "lines", "-l"]);
            run_with_input(publisher, input.as_bytes()).with(0);
            assert!(ours.wait().text().trim_end() == input, "{id}");
            assert!(String::from_utf8(theirs.wait().1).unwrap().trim_end() == input, "{id}");
        }
    }
}

#[test]
fn lines_are_sent_as_they_come_and_may_be_empty_or_unfinished() {
    use std::io::Write as _;

    let broker = Mosquitto::start();
    let reader = start_subscribed(broker.addr(), &["-t", "a", "-q", "1", "-C", "4", "-F", "%l:%p"]);
    let mut publisher = start(publish(broker.addr(), &["-t", "a", "-q", "1", "-l"]));
    publisher.stdin().write_all(b"first\n").unwrap();
    assert_eq!(reader.line(), b"5:first", "before the input ends");
    publisher.stdin().write_all(b"\n\xffbytes\r\nlast").unwrap();
    publisher.close_stdin();
    publisher.wait().with(0);
    assert_eq!(reader.wait().with(0).stdout, b"0:\n7:\xffbytes\r\n4:last\n");
}

#[test]
fn a_file_arrives_byte_for_byte() {
    let broker = Mosquitto::start();
    let dir = tempfile::tempdir().unwrap();
    let (sent, path) = (bytes(200 * 1024), dir.path().join("file"));
    fs::write(&path, &sent).unwrap();
    let path = path.to_str().unwrap();
    for version in VERSIONS {
        for qos in QOS {
            let reading = ["-V", version, "-q", qos, "-t", "file", "-C", "2", "-W", "20", "-N"];
            let ours = start_subscribed(broker.addr(), &reading);
            let theirs = broker.subscribe(["-q", qos, "-t", "file", "-C", "2", "-W", "20", "-N"]);
            let whole = ["-V", version, "-q", qos, "-t", "file"];
            run(publish(broker.addr(), &[&whole[..], &["-f", path]].concat())).with(0);
            run_with_input(publish(broker.addr(), &[&whole[..], &["-s"]].concat()), &sent).with(0);
            let twice = [sent.as_slice(), sent.as_slice()].concat();
            assert!(ours.wait().with(0).stdout == twice, "{version} {qos}");
            assert!(theirs.wait().1 == twice, "{version} {qos}");
        }
    }
    // And from mosquitto_pub.
    let reader = start_subscribed(broker.addr(), &["-t", "file", "-C", "1", "-N"]);
    broker.publish(["-t", "file", "-f", path]);
    assert!(reader.wait().with(0).stdout == sent);
}

#[test]
fn an_empty_message_and_one_that_looks_like_a_flag() {
    let broker = Mosquitto::start();
    let reader = start_subscribed(broker.addr(), &["-t", "a", "-C", "2", "-v"]);
    run(publish(broker.addr(), &["-t", "a", "-n"])).with(0);
    run(publish(broker.addr(), &["-t", "a", "-m", "-5"])).with(0);
    assert_eq!(reader.wait().with(0).text(), "a \na -5\n");
}

#[test]
fn a_message_is_repeated_after_its_delivery() {
    let broker = Mosquitto::start();
    let reader = start_subscribed(broker.addr(), &["-t", "a", "-C", "3"]);
    let args = ["-t", "a", "-q", "1", "-m", "x", "--repeat", "3", "--repeat-delay", "0.01"];
    run(publish(broker.addr(), &args)).with(0);
    assert_eq!(reader.wait().with(0).text(), "x\nx\nx\n");
}

#[test]
fn retained_messages_are_kept_filtered_and_cleared() {
    let broker = Mosquitto::start();
    for version in VERSIONS {
        for topic in ["r/1", "r/2"] {
            run(publish(broker.addr(), &["-V", version, "-t", topic, "-r", "-q", "1", "-m", "kept"])).with(0);
        }
        let args = |more: &[&'static str]| [&["-V", version, "-t", "r/#"][..], more].concat();
        let read = |more: &[&'static str]| run(subscribe(broker.addr(), &args(more)));

        let mut all: Vec<String> =
            read(&["-C", "2", "-F", "%r %t %p"]).with(0).text().lines().map(str::to_owned).collect();
        all.sort();
        assert_eq!(all, ["1 r/1 kept", "1 r/2 kept"], "{version}");
        assert_eq!(read(&["-C", "1", "-T", "r/1", "-v"]).with(0).text(), "r/2 kept\n");
        assert_eq!(read(&["-R", "-W", "1"]).with(27).text(), "");

        let reader = start_subscribed(
            broker.addr(),
            &args(&["--retained-only", "-T", "r/1", "--remove-retained", "-v"]),
        );
        assert_eq!(reader.line(), b"r/2 kept");
        run(publish(broker.addr(), &["-t", "r/1", "-m", "fresh"])).with(0);
        reader.wait().with(0);
        assert_eq!(read(&["-C", "1", "-v"]).with(0).text(), "r/1 kept\n", "{version}: only r/2 was cleared");
        assert_eq!(read(&["-W", "1", "-T", "r/1"]).with(27).text(), "");
    }
}

#[test]
fn properties_arrive_at_mosquitto_sub() {
    let broker = Mosquitto::start();
    let format = "%C|%D|%E|%F|%P|%R|%p";
    let mut reader = broker.subscribe(["-V", "5", "-t", "p", "-C", "1", "-W", "20", "-F", format]);
    let args = [
        "-t",
        "p",
        "-m",
        "x",
        "-D",
        "publish",
        "content-type",
        "text/plain",
        "-D",
        "publish",
        "correlation-data",
        "c1",
        "-D",
        "PUBLISH",
        "message-expiry-interval",
        "3600",
        "-D",
        "publish",
        "payload-format-indicator",
        "1",
        "-D",
        "publish",
        "user-property",
        "k",
        "v",
        "-D",
        "publish",
        "response-topic",
        "answers/1",
    ];
    run(publish(broker.addr(), &args)).with(0);
    assert_eq!(reader.line().as_deref(), Some("text/plain|c1|3600|1|k:v|answers/1|x"));
}

#[test]
fn properties_arrive_at_mqtt_sub() {
    let broker = Mosquitto::start();
    let format = "%C|%D|%E|%F|%P|%R|%S|%p";
    let args = [
        "-t",
        "p",
        "-C",
        "1",
        "-F",
        format,
        "-D",
        "subscribe",
        "subscription-identifier",
        "7",
        "-D",
        "subscribe",
        "user-property",
        "a",
        "b",
    ];
    let reader = start_subscribed(broker.addr(), &args);
    broker.publish([
        "-V",
        "5",
        "-t",
        "p",
        "-m",
        "x",
        "-D",
        "publish",
        "content-type",
        "text/plain",
        "-D",
        "publish",
        "correlation-data",
        "c1",
        "-D",
        "publish",
        "message-expiry-interval",
        "3600",
        "-D",
        "publish",
        "payload-format-indicator",
        "1",
        "-D",
        "publish",
        "user-property",
        "k",
        "v",
        "-D",
        "publish",
        "user-property",
        "k",
        "w",
        "-D",
        "publish",
        "response-topic",
        "answers/1",
    ]);
    assert_eq!(reader.wait().with(0).text(), "text/plain|c1|3600|1|k:v k:w|answers/1|7|x\n");
}

#[test]
fn a_url_says_where_as_whom_and_what() {
    let broker = Mosquitto::builder().password("me", "p@ss:word").start();
    let url = format!("mqtt://me:p%40ss%3Aword@{}/home/#", broker.addr());
    let reader = start(common::mqtt(&["sub", "-d", "-L", &url, "-C", "1", "-v"]));
    reader.wait_for_stderr("subscribed");
    let (host, port) = (format!("mqtt://{}", broker.addr().ip()), broker.addr().port().to_string());
    let args = [
        "pub",
        "-h",
        &host,
        "-p",
        &port,
        "-u",
        "me",
        "-P",
        "p@ss:word",
        "-t",
        "home/lamp",
        "-m",
        "on",
        "-q",
        "2",
    ];
    run(common::mqtt(&args)).with(0);
    assert_eq!(reader.wait().with(0).text(), "home/lamp on\n");
}

#[test]
fn debug_tells_the_life_of_the_packets_and_no_secret() {
    let broker = Mosquitto::builder().password("me", "sesame").start();
    let args = ["-d", "-u", "me", "-P", "sesame", "-i", "publisher", "-t", "a/b", "-q", "1", "-m", "payload"];
    let ended = run(publish(broker.addr(), &args)).with(0);
    for expected in [
        "connecting to 127.0.0.1",
        "connected by MQTT 3.1.1 as 'publisher'",
        "publishing to 'a/b' (q1, r0, 7 bytes)",
        "acknowledged",
        "disconnecting",
    ] {
        assert!(ended.stderr.contains(expected), "{expected:?} is not in {:?}", ended.stderr);
    }
    assert!(!ended.stderr.contains("sesame") && !ended.stderr.contains("payload"), "{:?}", ended.stderr);
}
