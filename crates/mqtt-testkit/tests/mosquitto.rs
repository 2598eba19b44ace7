//! The launcher of mosquitto; and mosquitto's clients, an independent witness, against the embedded broker.
#![cfg(unix)]

use mqtt_codec::{QoS, ReasonCode, Version};
use mqtt_testkit::broker::Broker;
use mqtt_testkit::mosquitto::{Mosquitto, mosquitto_pub, mosquitto_sub};
use mqtt_testkit::packets::{connack, connect, disconnect, pingreq, pingresp, refusal};
use mqtt_testkit::peer::Peer;
use std::net::TcpStream;
use std::process::Command;

const VERSIONS: [(&str, Version); 3] =
    [("mqttv31", Version::V3_1), ("mqttv311", Version::V3_1_1), ("mqttv5", Version::V5)];

fn is_alive(pid: u32) -> bool {
    Command::new("sh")
        .args(["-c", &format!("kill -0 {pid}")])
        .stderr(std::process::Stdio::null())
        .status()
        .unwrap()
        .success()
}

#[test]
fn it_starts_listens_and_dies_with_its_value() {
    let broker = Mosquitto::start();
    assert_eq!(broker.url(), format!("mqtt://127.0.0.1:{}", broker.addr().port()));
    TcpStream::connect(broker.addr()).unwrap();
    let (pid, dir, addr) = (broker.pid().unwrap(), broker.dir().to_owned(), broker.addr());
    assert!(is_alive(pid) && dir.is_dir());
    assert!(broker.log().contains("running"));
    drop(broker);
    assert!(!is_alive(pid) && !dir.exists());
    assert!(TcpStream::connect(addr).is_err());
}

#[test]
fn messages_pass_through_its_own_clients() {
    let broker = Mosquitto::start();
    for (version, _) in VERSIONS {
        let mut subscriber =
            broker.subscribe(["-V", version, "-t", "a/#", "-q", "1", "-C", "2", "-W", "10", "-v"]);
        broker.publish(["-V", version, "-t", "a/b", "-m", "one", "-q", "1"]);
        assert_eq!(subscriber.line().as_deref(), Some("a/b one"));
        broker.publish(["-V", version, "-t", "a/c", "-m", "two", "-q", "2"]);
        let (status, rest) = subscriber.wait();
        assert!(status.success());
        assert_eq!(rest, b"a/c two\n");
    }
}

#[test]
fn kill_and_stop_end_it_and_restart_keeps_the_port() {
    let mut broker = Mosquitto::builder().persistence(true).start();
    let addr = broker.addr();
    broker.publish(["-t", "r", "-m", "kept", "-r", "-q", "1"]);
    broker.stop();
    assert_eq!(broker.pid(), None);
    assert!(TcpStream::connect(addr).is_err());
    broker.restart();
    assert_eq!(broker.addr(), addr);
    let (_, printed) = broker.subscribe(["-t", "r", "-C", "1", "-W", "10"]).wait();
    assert_eq!(printed, b"kept\n", "SIGTERM saves");
    for _ in 0..5 {
        broker.kill();
        assert!(TcpStream::connect(addr).is_err());
        broker.restart();
    }
    let (_, printed) = broker.subscribe(["-t", "r", "-C", "1", "-W", "10"]).wait();
    assert_eq!(printed, b"kept\n", "it was on disk");
}

#[test]
fn without_persistence_a_restart_forgets() {
    let mut broker = Mosquitto::start();
    broker.publish(["-t", "r", "-m", "lost", "-r", "-q", "1"]);
    broker.stop();
    broker.restart();
    let (status, printed) = broker.subscribe(["-t", "r", "-C", "1", "-W", "1"]).wait();
    assert!(!status.success());
    assert_eq!(printed, b"");
}

#[tokio::test]
async fn passwords_and_lines_reach_the_configuration() {
    let broker = Mosquitto::builder()
        .password("ann", "secret")
        .password("bob", "other")
        .config("max_inflight_messages 3")
        .listener_config("max_topic_alias 4")
        .start();
    let allowed = broker.publish(["-u", "bob", "-P", "other", "-t", "t", "-m", "x", "-q", "1"]);
    assert!(allowed.status.success());
    let denied = mosquitto_pub(broker.addr(), ["-u", "ann", "-P", "other", "-t", "t", "-m", "x", "-q", "1"]);
    assert!(!denied.status.success());
    let mut client = Peer::connect(broker.addr(), Version::V5).await;
    client.send(connect("c")).await;
    client.expect(refusal(ReasonCode::NOT_AUTHORIZED)).await;

    let mut client = Peer::connect(broker.addr(), Version::V5).await;
    let credentials = mqtt_codec::Connect {
        username: Some("ann".try_into().unwrap()),
        password: Some("secret".into()),
        ..connect("c")
    };
    client.send(credentials).await;
    let mqtt_codec::Packet::ConnAck(connack) = client.expect_any().await else { panic!("no CONNACK") };
    assert_eq!(connack.properties.view().receive_maximum(), Some(3));
    assert_eq!(connack.properties.view().topic_alias_maximum(), Some(4));
}

#[test]
#[should_panic(expected = "Unknown configuration variable \"nonsense\"")]
fn a_failing_start_shows_the_log() {
    Mosquitto::builder().config("nonsense true").start();
}

/// Many at once, as a test run does it: each has its port.
#[test]
fn many_start_at_once() {
    let starts: Vec<_> = (0..8).map(|_| std::thread::spawn(Mosquitto::start)).collect();
    let brokers: Vec<_> = starts.into_iter().map(|start| start.join().unwrap()).collect();
    for broker in &brokers {
        broker.publish(["-t", "t", "-m", "x", "-q", "1"]);
    }
}

/// The scripted peer speaks to the real broker as to ours.
#[tokio::test]
async fn a_peer_meets_it() {
    let broker = Mosquitto::start();
    for (_, version) in &VERSIONS[..2] {
        let mut client = Peer::connect(broker.addr(), *version).await;
        client.send(connect("c")).await;
        client.expect(connack()).await;
        client.send(pingreq()).await;
        client.expect(pingresp()).await;
        client.send(disconnect(ReasonCode::NORMAL_DISCONNECTION)).await;
        client.expect_end().await;
    }
}

/// Runs something that blocks beside the embedded broker.
async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    tokio::task::spawn_blocking(work).await.unwrap()
}

#[tokio::test]
async fn its_clients_speak_with_the_embedded_broker() {
    let broker = Broker::start().await.unwrap();
    let addr = broker.addr();
    for (version, _) in VERSIONS {
        for qos in ["0", "1", "2"] {
            let subscriber = mosquitto_sub(
                addr,
                ["-V", version, "-i", "sub", "-t", "a/+", "-q", qos, "-C", "3", "-W", "20", "-F", "%t %q %p"],
            );
            broker
                .until("the subscription", |broker| {
                    broker
                        .session("sub")
                        .is_some_and(|session| session.connected && !session.subscriptions.is_empty())
                })
                .await;
            let large = "x".repeat(100_000);
            for payload in ["one", "two", &large] {
                let args = ["-V", version, "-t", "a/b", "-q", qos, "-m", payload].map(str::to_owned);
                let output = blocking(move || mosquitto_pub(addr, args.each_ref().map(String::as_str))).await;
                assert!(output.status.success(), "{output:?}");
            }
            let (status, printed) = blocking(|| subscriber.wait()).await;
            assert!(status.success(), "{version} QoS {qos}: {}", String::from_utf8_lossy(&printed));
            let expected = format!("a/b {qos} one\na/b {qos} two\na/b {qos} {large}\n");
            assert!(printed == expected.as_bytes(), "{version} QoS {qos}");
            broker.until("the goodbye", |broker| !broker.is_connected("sub")).await;
        }
    }
    assert_eq!(broker.received_count(), 27);
    assert!(broker.received().iter().all(|message| !message.dup));
}

#[tokio::test]
async fn its_clients_get_retained_messages_and_wills_from_the_embedded_broker() {
    let broker = Broker::start().await.unwrap();
    let addr = broker.addr();
    for (version, _) in VERSIONS {
        blocking(move || mosquitto_pub(addr, ["-V", version, "-t", "r/1", "-m", "kept", "-r", "-q", "1"]))
            .await;
        assert_eq!(broker.retained().len(), 1);
        assert_eq!(broker.received().last().unwrap().qos, QoS::AtLeastOnce);
        let mut subscriber = mosquitto_sub(
            addr,
            ["-V", version, "-t", "r/1", "-t", "w", "-C", "2", "-W", "20", "-F", "%t %r %p"],
        );
        let (mut subscriber, line) = blocking(move || {
            let line = subscriber.line();
            (subscriber, line)
        })
        .await;
        assert_eq!(line.as_deref(), Some("r/1 1 kept"));
        let doomed = mosquitto_sub(
            addr,
            ["-V", version, "-i", "doomed", "-t", "x", "--will-topic", "w", "--will-payload", "lost"],
        );
        broker.until("the client", |broker| broker.is_connected("doomed")).await;
        drop(doomed); // SIGKILL
        let line = blocking(move || subscriber.line()).await;
        assert_eq!(line.as_deref(), Some("w 0 lost"));
    }
}
