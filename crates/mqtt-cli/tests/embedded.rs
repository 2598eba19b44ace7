//! Against the testkit's broker, for what mosquitto cannot be made to do or does not show.

mod common;

use std::io::Write as _;

use common::{VERSIONS, publish, run, run_with_input, start, start_subscribed, subscribe};
use mqtt_client::ReasonCode;
use mqtt_testkit::broker::{Broker, Connections};

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_refused_connection_names_the_code_and_what_to_change() {
    let broker = Broker::start().await.unwrap();
    for (version, reason, parts) in [
        ("mqttv31", ReasonCode::BAD_USER_NAME_OR_PASSWORD, &["bad user name", "-u and -P"][..]),
        ("mqttv311", ReasonCode::CLIENT_IDENTIFIER_NOT_VALID, &["client identifier", "-i"]),
        ("mqttv311", ReasonCode::SERVER_UNAVAILABLE, &["server unavailable"]),
        ("mqttv311", ReasonCode::UNSUPPORTED_PROTOCOL_VERSION, &["version", "-V"]),
        ("mqttv5", ReasonCode::UNSUPPORTED_PROTOCOL_VERSION, &["0x84", "-V"]),
        ("mqttv5", ReasonCode::BANNED, &["0x8A", "banned"]),
        ("mqttv5", ReasonCode::SERVER_BUSY, &["0x89", "server busy"]),
    ] {
        broker.faults().refuse(reason, Connections::Next);
        let ended = run(publish(broker.addr(), &["-V", version, "-t", "a", "-m", "x"])).with(3);
        assert!(ended.stderr.contains(&broker.addr().to_string()), "{ended:?}");
        ended.saying(parts);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_refused_filter_ends_with_6() {
    let broker = Broker::start().await.unwrap();
    broker.faults().reject_subscription("closed", ReasonCode::NOT_AUTHORIZED);
    for (version, code) in [("mqttv311", "0x80"), ("mqttv5", "0x87")] {
        let ended = run(subscribe(broker.addr(), &["-V", version, "-t", "closed"])).with(6);
        ended.saying(&["refused", "'closed'", code]);

        let both = ["-V", version, "-q", "1", "-t", "closed", "-t", "open", "-C", "1"];
        let reader = start_subscribed(broker.addr(), &both);
        run(publish(broker.addr(), &["-t", "open", "-m", "x"])).with(0);
        let ended = reader.wait().with(6);
        assert_eq!(ended.text(), "x\n", "what was granted is received all the same");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn an_interrupt_sends_disconnect_and_no_will() {
    let broker = Broker::builder().trace().start().await.unwrap();
    for version in VERSIONS {
        for (signal, code) in [("INT", 130), ("TERM", 143)] {
            let args = ["-V", version, "-i", version, "-t", "a", "--will-topic", "will"];
            let reader = start_subscribed(broker.addr(), &args);
            reader.signal(signal);
            reader.wait().with(code);
            broker.until("the end of the connection", |broker| broker.open_connections() == 0).await;
            let last = broker.trace().last().unwrap().to_string();
            assert!(last.contains("client ->") && last.contains("DISCONNECT"), "{version}: {last}");
        }
    }
    assert!(broker.wills().is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn properties_stand_in_their_packets() {
    let broker = Broker::builder().trace().start().await.unwrap();
    let own = |packet: &'static str| ["-D", packet, "user-property", "given-to", packet];
    let mut args = vec!["-i", "x", "-x", "60", "-k", "7", "-t", "a", "-U", "b", "-E", "--will-topic", "w"];
    for packet in ["connect", "subscribe", "unsubscribe", "disconnect", "will"] {
        args.extend(own(packet));
    }
    args.extend([
        "-D",
        "connect",
        "receive-maximum",
        "17",
        "-D",
        "disconnect",
        "session-expiry-interval",
        "5",
    ]);
    run(subscribe(broker.addr(), &args)).with(0);
    broker.until("the end of the connection", |broker| broker.open_connections() == 0).await;
    let play: Vec<String> = broker.trace().iter().map(ToString::to_string).collect();
    for (packet, parts) in [
        ("CONNECT", &["given-to", "connect", "will", "17", "60", "7"][..]),
        (" SUBSCRIBE", &["given-to", "subscribe"]),
        ("UNSUBSCRIBE", &["given-to", "unsubscribe"]),
        ("DISCONNECT", &["given-to", "disconnect", "5"]),
    ] {
        let line = play.iter().find(|line| line.contains(packet) && line.contains("client ->"));
        let line = line.unwrap_or_else(|| panic!("no {packet}: {play:#?}"));
        for part in parts {
            assert!(line.contains(part), "{part:?} is not in {line}");
        }
    }
}

/// Section 3.1.2.9: only 5.0 has a password without a user name.
#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_password_may_stand_alone_in_mqtt_5() {
    let broker = Broker::builder().trace().start().await.unwrap();
    run(publish(broker.addr(), &["-V", "mqttv5", "-P", "token", "-t", "a", "-m", "x"])).with(0);
    broker.until("the message", |broker| broker.received_count() == 1).await;
    let connect = broker.trace().first().map(|entry| format!("{:?}", entry.packet)).unwrap();
    assert!(connect.contains("username: None") && connect.contains("password: Some"), "{connect}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_goodbye_that_cannot_be_said_so_is_told() {
    let broker = Broker::start().await.unwrap();
    // A session that ends with the connection cannot be prolonged by its DISCONNECT.
    let args = ["-x", "0", "-t", "a", "-E", "-D", "disconnect", "session-expiry-interval", "5"];
    run(subscribe(broker.addr(), &args)).with(0).saying(&["-D disconnect", "expiry"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn an_acknowledgement_that_does_not_come_is_waited_for_no_longer_than_w() {
    let broker = Broker::start().await.unwrap();
    let mut publisher = start(publish(broker.addr(), &["-d", "-q", "1", "-t", "a", "-l", "-W", "1"]));
    publisher.stdin().write_all(b"first\n").unwrap();
    publisher.wait_for_stderr("line 1: acknowledged");
    broker.faults().freeze(true);
    publisher.stdin().write_all(b"second\n").unwrap();
    publisher.close_stdin();
    let ended = publisher.wait().with(27);
    assert!(ended.stderr.contains("-W"), "{ended:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_takeover_ends_it_with_4() {
    let broker = Broker::start().await.unwrap();
    let first = start_subscribed(broker.addr(), &["-V", "mqttv5", "-i", "same", "-t", "a"]);
    let second = start_subscribed(broker.addr(), &["-V", "mqttv5", "-i", "same", "-t", "a"]);
    first.wait().with(4).saying(&["0x8E", "same -i"]);
    second.signal("INT");
    second.wait().with(130);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_server_that_does_not_let_it_in_again_ends_it_with_3() {
    let broker = Broker::start().await.unwrap();
    for version in VERSIONS {
        let reader = start_subscribed(broker.addr(), &["-V", version, "-i", version, "-t", "a"]);
        broker.faults().refuse(ReasonCode::NOT_AUTHORIZED, Connections::Next);
        assert!(broker.cut(version));
        let ended = reader.wait().with(3);
        assert!(ended.stderr.contains("not authorized"), "{version}: {ended:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn lines_arrive_once_and_in_order_across_cuts() {
    let broker = Broker::start().await.unwrap();
    for version in VERSIONS {
        for qos in ["1", "2"] {
            let before = broker.received_count();
            let args = ["-d", "-V", version, "-i", version, "-q", qos, "-t", "a", "-l"];
            let mut publisher = start(publish(broker.addr(), &args));
            publisher.stdin().write_all(b"1\n2\n").unwrap();
            publisher.wait_for_stderr("line 2: acknowledged");
            assert!(broker.cut(version));
            publisher.wait_for_stderr("connection lost");
            publisher.stdin().write_all(b"3\n4\n").unwrap();
            publisher.close_stdin();
            publisher.wait().with(0);
            let received = broker.received().split_off(usize::try_from(before).unwrap());
            let payloads: Vec<_> = received.iter().map(|message| message.payload.as_ref().to_vec()).collect();
            assert_eq!(payloads, [b"1", b"2", b"3", b"4"], "{version} {qos}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn auto_speaks_the_newest_version_that_the_server_knows() {
    use mqtt_client::Version;

    for (known, expected) in [
        (&[Version::V3_1, Version::V3_1_1, Version::V5][..], "MQTT 5.0"),
        (&[Version::V3_1, Version::V3_1_1], "MQTT 3.1.1"),
        (&[Version::V3_1], "MQTT 3.1 "),
    ] {
        let broker = Broker::builder().versions(known).start().await.unwrap();
        let ended =
            run_with_input(publish(broker.addr(), &["-d", "-V", "auto", "-t", "a", "-s"]), b"x").with(0);
        assert!(ended.stderr.contains(&format!("connected by {expected}")), "{ended:?}");
    }
}
