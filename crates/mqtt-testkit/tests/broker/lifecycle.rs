//! Stopping, killing, starting again, and what the test can see.

use super::*;
use mqtt_codec::{PacketType, QoS};
use mqtt_testkit::broker::{Direction, Message, Restart};
use mqtt_testkit::packets::{pingreq, pingresp, puback, publish, subscribe, will};
use std::io::ErrorKind;
use std::process::Command;
use std::sync::mpsc;
use std::thread;
use tokio::net::TcpStream;

async fn is_refused(broker: &Broker) -> bool {
    TcpStream::connect(broker.addr()).await.is_err_and(|error| error.kind() == ErrorKind::ConnectionRefused)
}

#[tokio::test]
async fn a_stop_says_goodbye() {
    let broker = Broker::start().await.unwrap();
    let mut new = Peer::connect(broker.addr(), Version::V5).await;
    new.send(Connect { will: Some(will("will", "x")), ..connect("new") }).await;
    new.expect_any().await;
    let mut old = Peer::connect(broker.addr(), Version::V3_1_1).await;
    old.send(connect("old")).await;
    old.expect_any().await;
    let mut silent = Peer::connect(broker.addr(), Version::V5).await;
    tokio::join!(broker.stop(), async {
        new.expect(disconnect(ReasonCode::SERVER_SHUTTING_DOWN)).await;
        new.expect_end().await;
        old.expect_end().await;
        silent.expect_end().await;
        drop((new, old, silent));
    });
    assert!(is_refused(&broker).await);
    assert_eq!(broker.open_connections(), 0);
    assert_eq!(broker.wills().len(), 1);
    let mut down = Peer::client(broker.connect_memory(), Version::V5);
    down.expect_end().await;
}

#[tokio::test]
async fn a_kill_says_nothing() {
    let broker = Broker::start().await.unwrap();
    let mut client = Peer::connect(broker.addr(), Version::V5).await;
    client.send(Connect { will: Some(will("will", "x")), ..connect("c") }).await;
    client.expect_any().await;
    broker.kill().await;
    client.expect_end().await;
    assert!(is_refused(&broker).await);
    assert_eq!((broker.open_connections(), broker.wills().len(), broker.sessions().len()), (0, 0, 0));
}

#[tokio::test]
async fn a_restart_keeps_or_loses_what_the_broker_knows() {
    let broker = Broker::start().await.unwrap();
    let addr = broker.addr();
    for (restart, present) in [(Restart::Keep, true), (Restart::Lose, false)] {
        for version in VERSIONS {
            let (mut client, _) = enter(&broker, version, lasting("c", version)).await;
            client.send(subscribe(1, [("t", QoS::AtLeastOnce)])).await;
            client.expect_that("SUBACK", |packet| matches!(packet, Packet::SubAck(_))).await;
            broker.publish(Message { qos: QoS::AtLeastOnce, retain: true, ..Message::new("t", "x") });
            client.expect(publish("t", "x").qos1(1)).await;
            client.send(publish("other", "x")).await;
            client.send(pingreq()).await;
            client.expect(pingresp()).await;
            let received = broker.received_count();

            broker.restart(restart).await.unwrap();
            client.expect_end().await;
            assert_eq!(broker.addr(), addr);
            assert_eq!(broker.received_count(), received, "the record stays");
            assert_eq!(broker.retained().len(), usize::from(present));
            let mut client = Peer::connect(addr, version).await;
            client.send(lasting("c", version)).await;
            client.expect_any().await;
            if present {
                client.expect(publish("t", "x").qos1(1).dup()).await;
                client.send(puback(1)).await;
            }
            broker.restart(Restart::Lose).await.unwrap();
        }
    }
}

/// The port is the broker's own even while it is down.
#[tokio::test]
async fn many_restarts_keep_the_port() {
    let broker = Broker::start().await.unwrap();
    for _ in 0..50 {
        let mut client = Peer::connect(broker.addr(), Version::V3_1_1).await;
        client.send(connect("c")).await;
        client.expect_any().await;
        broker.kill().await;
        assert!(is_refused(&broker).await);
        broker.restart(Restart::Keep).await.unwrap();
    }
    assert_eq!(broker.connections(), 50);
}

#[tokio::test]
async fn dropping_the_broker_closes_everything() {
    let broker = Broker::start().await.unwrap();
    let addr = broker.addr();
    let mut client = Peer::connect(addr, Version::V5).await;
    client.send(connect("c")).await;
    client.expect_any().await;
    drop(broker);
    client.expect_end().await;
    assert!(TcpStream::connect(addr).await.is_err());
}

#[tokio::test]
async fn a_client_can_be_disconnected_or_cut() {
    let broker = Broker::start().await.unwrap();
    let mut client = v5(&broker, "c").await;
    assert!(broker.disconnect("c", ReasonCode::SERVER_BUSY));
    client.expect(disconnect(ReasonCode::SERVER_BUSY)).await;
    client.expect_end().await;
    assert!(!broker.disconnect("nobody", ReasonCode::SERVER_BUSY));
    let mut one = v5(&broker, "1").await;
    let mut two = v5(&broker, "2").await;
    assert!(broker.cut("1"));
    one.expect_end().await;
    two.send(pingreq()).await;
    two.expect(pingresp()).await;
    broker.cut_all();
    two.expect_end().await;
}

#[tokio::test]
async fn packets_are_counted_and_kept_on_demand() {
    let broker = Broker::builder().trace().start().await.unwrap();
    let mut client = v5(&broker, "c").await;
    client.send(subscribe(1, [("t", QoS::AtMostOnce)])).await;
    client.expect_any().await;
    client.send(publish("t", "on").qos1(7)).await;
    client.expect(puback(7)).await;
    client.expect(publish("t", "on")).await;
    client.send(disconnect(ReasonCode::NORMAL_DISCONNECTION)).await;
    client.expect_end().await;
    assert_eq!(broker.packets(Direction::FromClient, PacketType::Publish), 1);
    assert_eq!(broker.packets(Direction::ToClient, PacketType::Publish), 1);
    assert_eq!(broker.packets(Direction::ToClient, PacketType::PingResp), 0);
    let trace: Vec<_> = broker.trace().iter().map(ToString::to_string).collect();
    let beginnings = [
        "#1 client ->        CONNECT client_id=\"c\" clean_start=true",
        "#1        <- broker CONNACK session_present=false reason=(0x00 success)",
        "#1 client ->        SUBSCRIBE id=1 filters=[\"t\" qos=0]",
        "#1        <- broker SUBACK id=1 codes=[(0x00 success)]",
        "#1 client ->        PUBLISH qos=1 dup=false retain=false topic=\"t\" id=7",
        "#1        <- broker PUBACK id=7",
        "#1        <- broker PUBLISH qos=0 dup=false retain=false topic=\"t\" id=none properties=[] payload=\"on\"",
        "#1 client ->        DISCONNECT",
    ];
    assert_eq!(trace.len(), beginnings.len(), "{trace:#?}");
    for (line, beginning) in trace.iter().zip(beginnings) {
        assert!(line.starts_with(beginning), "{line}\n{beginning}");
    }
}

#[tokio::test]
async fn messages_can_be_counted_without_being_kept() {
    let broker = Broker::builder().without_record().start().await.unwrap();
    let mut client = v5(&broker, "c").await;
    client.send(publish("t", "x").qos1(1)).await;
    client.expect_any().await;
    assert_eq!((broker.received_count(), broker.received().len()), (1, 0));
}

#[tokio::test(start_paused = true)]
#[should_panic(
    expected = "30 s have passed without a miracle; 0 messages received, 0 connections, sessions: []"
)]
async fn waiting_in_vain_says_for_what() {
    Broker::start().await.unwrap().until("a miracle", |_| false).await;
}

/// A program that is being started has, for a moment, what its parent has open: a listener that is closed meanwhile would
/// go on listening there.
#[tokio::test]
async fn the_port_can_be_listened_on_again_while_programs_are_started() {
    let broker = Broker::start().await.unwrap();
    let (stop, stopped) = mpsc::channel::<()>();
    let starting = thread::spawn(move || {
        while stopped.try_recv() == Err(mpsc::TryRecvError::Empty) {
            Command::new("true").status().unwrap();
        }
    });
    for _ in 0..5_000 {
        broker.restart(Restart::Keep).await.unwrap();
    }
    drop(stop);
    starting.join().unwrap();
}
