//! How the command ends: exit codes, goodbyes and wills, sessions that are kept.

mod common;

use common::{QOS, VERSIONS, publish, run, run_with_input, start, start_subscribed, subscribe};
use mqtt_testkit::mosquitto::Mosquitto;

#[test]
fn it_ends_after_so_many_messages() {
    let broker = Mosquitto::start();
    let reader = start_subscribed(broker.addr(), &["-t", "a", "-q", "2", "-C", "2"]);
    run_with_input(publish(broker.addr(), &["-t", "a", "-q", "2", "-l"]), b"1\n2\n3\n").with(0);
    assert_eq!(reader.wait().with(0).text(), "1\n2\n");
}

#[test]
fn it_gives_up_after_the_time_of_w() {
    let broker = Mosquitto::start();
    let ended = run(subscribe(broker.addr(), &["-t", "a", "-C", "1", "-W", "1"]));
    ended.with(27).saying(&["mqtt sub:", "-W"]);
    // The same as mosquitto_sub, so that scripts need not know which of the two they run.
    let theirs = broker.subscribe(["-t", "a", "-C", "1", "-W", "1"]);
    assert_eq!(theirs.wait().0.code(), Some(27));
}

#[test]
fn it_ends_when_subscribed_if_asked_to() {
    let broker = Mosquitto::start();
    let ended = run(subscribe(broker.addr(), &["-t", "a", "-E"])).with(0);
    assert!(ended.stdout.is_empty() && ended.stderr.is_empty(), "{ended:?}");
}

#[test]
fn a_wrong_password_is_a_refusal_with_its_code() {
    let broker = Mosquitto::builder().password("me", "right").start();
    for (version, code) in [("mqttv31", "not authorized"), ("mqttv311", "not authorized"), ("mqttv5", "0x87")]
    {
        let credentials = ["-V", version, "-u", "me", "-P", "wrong", "-t", "a"];
        let ended = run(publish(broker.addr(), &[&credentials[..], &["-m", "x"]].concat())).with(3);
        assert!(!ended.stderr.contains("wrong"), "{ended:?}");
        ended.saying(&["refused", code, "-u, -P"]);
        run(subscribe(broker.addr(), &credentials)).with(3).saying(&["refused", code]);
    }
}

#[test]
fn a_server_that_closes_without_an_answer_is_told_apart() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = listener.local_addr().unwrap();
    let server = std::thread::spawn(move || {
        use std::io::{Read as _, Write as _};
        let (mut first, _) = listener.accept().unwrap();
        let _ = first.read(&mut [0; 64]);
        drop(first);
        let (mut second, _) = listener.accept().unwrap();
        let _ = second.read(&mut [0; 64]);
        second.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").unwrap();
        // The client is not to see a reset instead.
        let _ = second.read(&mut [0; 64]);
    });
    run(publish(addr, &["-t", "a", "-m", "x"])).with(2).saying(&["closed", "-p"]);
    run(publish(addr, &["-t", "a", "-m", "x"])).with(4).saying(&["protocol"]);
    server.join().unwrap();
}

#[test]
fn an_interrupted_subscriber_says_goodbye_and_a_killed_one_leaves_its_will() {
    let broker = Mosquitto::start();
    for version in VERSIONS {
        let will =
            ["-V", version, "-t", "a", "--will-topic", "will", "--will-payload", "gone", "--will-qos", "1"];
        for (signal, code) in [("INT", 130), ("TERM", 143)] {
            let mut watcher = broker.subscribe(["-t", "will", "-W", "20"]);
            let running = start_subscribed(broker.addr(), &will);
            running.signal(signal);
            running.wait().with(code);
            // If the will had been published, it would come before this.
            broker.publish(["-t", "will", "-m", "after"]);
            assert_eq!(watcher.line().as_deref(), Some("after"), "{version} {signal}");
        }
        let mut watcher = broker.subscribe(["-t", "will", "-W", "20"]);
        let running = start_subscribed(broker.addr(), &will);
        running.signal("KILL");
        assert_eq!(running.wait().code, None);
        assert_eq!(watcher.line().as_deref(), Some("gone"), "{version}");
    }
}

#[test]
fn an_interrupted_publisher_says_goodbye_and_a_killed_one_leaves_its_will() {
    use std::io::Write as _;

    let broker = Mosquitto::start();
    let args =
        ["-t", "a", "-l", "-q", "1", "--will-topic", "will", "--will-payload", "gone", "--will-retain"];
    for (signal, code) in [("INT", Some(130)), ("KILL", None)] {
        let mut watcher = broker.subscribe(["-t", "a", "-t", "will", "-W", "20"]);
        let mut publisher = start(publish(broker.addr(), &args));
        publisher.stdin().write_all(b"line\n").unwrap();
        assert_eq!(watcher.line().as_deref(), Some("line"));
        publisher.signal(signal);
        assert_eq!(publisher.wait().code, code);
        broker.publish(["-t", "a", "-m", "after"]);
        let last = watcher.line();
        assert_eq!(last.as_deref(), Some(if code.is_some() { "after" } else { "gone" }));
    }
    let retained = run(subscribe(broker.addr(), &["-t", "will", "-C", "1", "-F", "%r %p"])).with(0);
    assert_eq!(retained.text(), "1 gone\n");
}

#[test]
fn a_session_that_is_kept_queues_for_the_next_run() {
    let broker = Mosquitto::start();
    for version in VERSIONS {
        for qos in ["1", "2"] {
            let id = format!("{version}-{qos}");
            let kept = ["-V", version, "-c", "-i", &id, "-q", qos, "-t", "a/+"];
            run(subscribe(broker.addr(), &[&kept[..], &["-E"]].concat())).with(0);
            run_with_input(publish(broker.addr(), &["-t", "a/b", "-q", qos, "-l"]), b"1\n2\n3\n").with(0);
            // What was not printed is still there for the run after.
            let first = run(subscribe(broker.addr(), &[&kept[..], &["-C", "2"]].concat())).with(0);
            assert_eq!(first.text(), "1\n2\n", "{id}");
            let second = run(subscribe(broker.addr(), &[&kept[..], &["-C", "1"]].concat())).with(0);
            assert_eq!(second.text(), "3\n", "{id}");
        }
    }
}

#[test]
fn a_subscription_of_an_earlier_run_is_printed_and_can_be_ended() {
    let broker = Mosquitto::start();
    for version in VERSIONS {
        let kept = ["-V", version, "-c", "-i", version, "-q", "1"];
        run(subscribe(broker.addr(), &[&kept[..], &["-t", "old", "-E"]].concat())).with(0);
        run(publish(broker.addr(), &["-t", "old", "-q", "1", "-m", "queued"])).with(0);
        // As with mosquitto_sub: the session's messages are printed, whatever -t says now.
        let other =
            run(subscribe(broker.addr(), &[&kept[..], &["-t", "new", "-C", "1", "-v"]].concat())).with(0);
        assert_eq!(other.text(), "old queued\n", "{version}");
        run(subscribe(broker.addr(), &[&kept[..], &["-U", "old", "-E"]].concat())).with(0);
        run(publish(broker.addr(), &["-t", "old", "-q", "1", "-m", "unwanted"])).with(0);
        let ended = run(subscribe(broker.addr(), &[&kept[..], &["-t", "new", "-W", "1"]].concat())).with(27);
        assert_eq!(ended.text(), "", "{version}");
    }
}

#[test]
fn a_reader_that_has_enough_ends_it_quietly() {
    let broker = Mosquitto::start();
    let mut reader = start_subscribed(broker.addr(), &["-t", "a"]);
    run(publish(broker.addr(), &["-t", "a", "-m", "1"])).with(0);
    assert_eq!(reader.line(), b"1");
    reader.close_stdout();
    // The pipe closes when its reader in the test notices, with the next line.
    run_with_input(publish(broker.addr(), &["-t", "a", "-q", "1", "-l"]), &b"more\n".repeat(50)).with(0);
    run(publish(broker.addr(), &["-t", "a", "-m", "last"])).with(0);
    let ended = reader.wait().with(0);
    assert!(!ended.stderr.contains("pipe") && !ended.stderr.contains("panic"), "{ended:?}");
}

#[test]
fn a_subscriber_comes_back_when_the_server_does() {
    let mut broker = Mosquitto::start();
    for version in VERSIONS {
        let reader = start_subscribed(broker.addr(), &["-V", version, "-t", version, "-q", "1", "-C", "1"]);
        broker.kill();
        reader.wait_for_stderr("connection lost");
        broker.restart();
        reader.wait_for_stderr("connected again");
        run(publish(broker.addr(), &["-t", version, "-q", "1", "-r", "-m", "back"])).with(0);
        assert_eq!(reader.wait().with(0).text(), "back\n", "{version}");
    }
}

#[test]
fn a_publisher_delivers_across_a_restart_of_the_server() {
    use std::io::Write as _;

    let mut broker = Mosquitto::start();
    for qos in QOS {
        let mut publisher = start(publish(broker.addr(), &["-d", "-t", "a", "-q", qos, "-l", "-r"]));
        publisher.stdin().write_all(b"before\n").unwrap();
        publisher.wait_for_stderr("line 1:");
        broker.kill();
        publisher.wait_for_stderr("connection lost");
        publisher.stdin().write_all(b"meanwhile\n").unwrap();
        broker.restart();
        publisher.close_stdin();
        publisher.wait().with(0);
        let kept = run(subscribe(broker.addr(), &["-t", "a", "-C", "1"])).with(0);
        assert_eq!(kept.text(), "meanwhile\n", "{qos}");
    }
}
