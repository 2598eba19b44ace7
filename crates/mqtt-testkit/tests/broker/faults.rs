//! Each fault does what it says, where it says, and as often as it says.

use super::*;
use core::time::Duration;
use mqtt_codec::{PacketType, QoS, WireBuf};
use mqtt_testkit::broker::{Connections, Direction};
use mqtt_testkit::packets::{
    IntoPacket, pingreq, pingresp, puback, puback_with, pubcomp, publish, pubrec, pubrec_with, pubrel,
    refusal, suback, subscribe, unsubscribe,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

const QUIET: Duration = Duration::from_millis(50);

fn bytes_of(packets: Vec<Packet>) -> Vec<u8> {
    let mut wire = WireBuf::new();
    packets.iter().for_each(|packet| packet.encode(Version::V3_1_1, &mut wire).unwrap());
    wire.to_vec()
}

/// What a client says in the sweeps, and what a broker answers to it.
fn conversation() -> (Vec<u8>, Vec<u8>) {
    let said = vec![
        connect("c").into_packet(),
        subscribe(1, [("t", QoS::AtMostOnce)]),
        publish("t", "a").qos1(2).into_packet(),
        publish("t", "b").qos2(3).into_packet(),
        pubrel(3),
    ];
    let answered = vec![
        mqtt_testkit::packets::connack().into_packet(),
        suback(1, &[ReasonCode::GRANTED_QOS_0]),
        puback(2),
        pubrec(3),
        pubcomp(3),
        // The broker answers before it passes on, as far as one read brought it all.
        publish("t", "a").into_packet(),
        publish("t", "b").into_packet(),
    ];
    (bytes_of(said), bytes_of(answered))
}

#[tokio::test]
async fn a_cut_at_any_byte_to_the_client_lets_just_these_through() {
    let (said, answered) = conversation();
    let broker = Broker::start().await.unwrap();
    for limit in 0..answered.len() {
        broker.faults().cut_after(Direction::ToClient, limit as u64, Connections::Next);
        let mut stream = broker.connect_memory();
        stream.write_all(&said).await.unwrap();
        let mut heard = Vec::new();
        stream.read_to_end(&mut heard).await.unwrap();
        assert_eq!(heard, answered[..limit], "cut after {limit} bytes");
    }
    // The faults are used up.
    let mut stream = broker.connect_memory();
    stream.write_all(&said).await.unwrap();
    let mut heard = vec![0; answered.len()];
    stream.read_exact(&mut heard).await.unwrap();
    assert_eq!(heard, answered);
}

#[tokio::test]
async fn a_cut_at_any_byte_from_the_client_takes_just_these() {
    let (said, _) = conversation();
    let len = |packet: Packet| packet.encoded_len(Version::V3_1_1);
    let first = len(connect("c").into_packet())
        + len(subscribe(1, [("t", QoS::AtMostOnce)]))
        + len(publish("t", "a").qos1(2).into_packet());
    let second = first + len(publish("t", "b").qos2(3).into_packet());
    for limit in 0..said.len() {
        let broker = Broker::start().await.unwrap();
        broker.faults().cut_after(Direction::FromClient, limit as u64, Connections::All);
        let mut stream = broker.connect_memory();
        stream.write_all(&said).await.unwrap();
        let mut heard = Vec::new();
        stream.read_to_end(&mut heard).await.unwrap();
        drop(stream);
        let accepted = u64::from(limit >= first) + u64::from(limit >= second);
        assert_eq!(broker.received_count(), accepted, "cut after {limit} bytes");
        broker.until("the connection's end", |broker| broker.open_connections() == 0).await;
    }
}

/// The message is taken, its acknowledgement is not sent.
#[tokio::test]
async fn a_cut_behind_a_publish_takes_it_without_an_answer() {
    let broker = Broker::start().await.unwrap();
    let message = publish("t", "x").qos1(1);
    let bytes = bytes_of(vec![connect("c").into_packet(), message.clone().into_packet()]).len() as u64;
    for round in 1..=30 {
        broker.faults().cut_after(Direction::FromClient, bytes, Connections::Next);
        let mut client = client(&broker, Version::V3_1_1, "c").await;
        client.send(message.clone()).await;
        client.expect_end().await;
        assert_eq!(broker.received_count(), round);
    }
}

#[tokio::test]
async fn cuts_work_on_tcp() {
    let (said, answered) = conversation();
    let broker = Broker::start().await.unwrap();
    for limit in [0, 1, 5, answered.len() - 1] {
        broker.faults().cut_after(Direction::ToClient, limit as u64, Connections::Next);
        let mut stream = tokio::net::TcpStream::connect(broker.addr()).await.unwrap();
        stream.write_all(&said).await.unwrap();
        let mut heard = Vec::new();
        stream.read_to_end(&mut heard).await.unwrap();
        assert_eq!(heard, answered[..limit], "cut after {limit} bytes");
    }
}

#[tokio::test]
async fn faults_meet_the_connections_they_were_set_for() {
    let broker = Broker::start().await.unwrap();
    let codes = [ReasonCode::BANNED, ReasonCode::SERVER_BUSY, ReasonCode::NOT_AUTHORIZED];
    broker.faults().refuse(codes[0], Connections::Next);
    broker.faults().refuse(codes[1], Connections::NextN(2));
    broker.faults().refuse(codes[2], Connections::All);
    for code in [codes[0], codes[1], codes[1], codes[2], codes[2]] {
        let mut client = Peer::client(broker.connect_memory(), Version::V5);
        client.send(connect("c")).await;
        client.expect(refusal(code)).await;
        client.expect_end().await;
    }
    broker.faults().clear();
    v5(&broker, "c").await;
    assert_eq!(broker.sessions().len(), 1, "who was refused has no session");
}

#[tokio::test]
async fn each_connection_takes_the_oldest_fault_of_a_kind() {
    let broker = Broker::start().await.unwrap();
    for bytes in [3, 1, 2] {
        broker.faults().cut_after(Direction::ToClient, bytes, Connections::Next);
        broker.faults().cut_after(Direction::FromClient, 100 * bytes, Connections::Next);
    }
    for bytes in [3, 1, 2] {
        let mut stream = broker.connect_memory();
        stream.write_all(&conversation().0).await.unwrap();
        let mut heard = Vec::new();
        stream.read_to_end(&mut heard).await.unwrap();
        assert_eq!(heard.len(), bytes);
    }
    for bytes in [200_u64, 100] {
        broker.faults().cut_after(Direction::FromClient, bytes, Connections::Next);
    }
    // A PUBLISH of 20 bytes each, behind a CONNECT of 15.
    for messages in [9, 4] {
        let before = broker.received_count();
        let mut client = client(&broker, Version::V3_1_1, "c").await;
        let flood = bytes_of((0..20).map(|_| publish("t", vec![0; 15]).into_packet()).collect());
        client.send_bytes(&flood).await;
        client.expect_end().await;
        assert_eq!(broker.received_count() - before, messages);
    }
}

#[tokio::test]
async fn a_refusal_is_said_in_the_words_of_the_version() {
    let broker = Broker::start().await.unwrap();
    for (reason, old) in [
        (ReasonCode::UNSUPPORTED_PROTOCOL_VERSION, "20 02 00 01"),
        (ReasonCode::CLIENT_IDENTIFIER_NOT_VALID, "20 02 00 02"),
        (ReasonCode::SERVER_UNAVAILABLE, "20 02 00 03"),
        (ReasonCode::BAD_USER_NAME_OR_PASSWORD, "20 02 00 04"),
        (ReasonCode::NOT_AUTHORIZED, "20 02 00 05"),
        (ReasonCode::BANNED, "20 02 00 03"),
    ] {
        for version in BEFORE_5 {
            broker.faults().refuse(reason, Connections::Next);
            let mut client = Peer::client(broker.connect_memory(), version);
            client.send(connect("c")).await;
            client.expect_hex(old).await;
            client.expect_end().await;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_silent_broker_reads_and_says_nothing() {
    let broker = Broker::start().await.unwrap();
    broker.faults().silent(Connections::Next);
    let mut client = Peer::client(broker.connect_memory(), Version::V5);
    client.send(connect("c")).await;
    for _ in 0..100 {
        client.send(publish("t", vec![0; 10_000])).await; // far more than the pipe holds
    }
    client.expect_silence(QUIET).await;
    assert_eq!((broker.received_count(), broker.open_connections()), (0, 1));
    drop(client);
    broker.until("the connection's end", |broker| broker.open_connections() == 0).await;
}

#[tokio::test]
async fn a_broker_can_close_behind_the_connack() {
    let broker = Broker::start().await.unwrap();
    broker.faults().close_after_connack(Connections::NextN(2));
    for version in [Version::V5, Version::V3_1_1] {
        let mut client = client(&broker, version, "c").await;
        client.expect_end().await;
    }
    let mut client = v5(&broker, "c").await;
    client.send(pingreq()).await;
    client.expect(pingresp()).await;
}

/// The acknowledgements of one QoS 1 and one QoS 2 exchange each way, of a subscription and of a ping.
#[tokio::test(start_paused = true)]
async fn each_acknowledgement_can_be_swallowed() {
    use PacketType::{PingResp, PubAck, PubComp, PubRec, PubRel, SubAck, UnsubAck};
    for packet in [PubAck, PubRec, PubRel, PubComp, SubAck, UnsubAck, PingResp] {
        let broker = Broker::start().await.unwrap();
        broker.faults().swallow(packet, 2);
        let mut client = client(&broker, Version::V3_1_1, "c").await;
        for round in 1..=3 {
            let mut expect = Vec::new();
            let mut exchange = async |said: Packet, answer: Packet| {
                client.send(said).await;
                if answer.packet_type() == packet && round == 2 {
                    client.expect_silence(QUIET).await;
                } else {
                    expect.push(client.expect(answer).await);
                }
            };
            exchange(subscribe(1, [("t", QoS::AtMostOnce)]), suback(1, &[ReasonCode::GRANTED_QOS_0])).await;
            exchange(publish("other", "x").qos1(2).into_packet(), puback(2)).await;
            exchange(publish("other", "x").qos2(3).into_packet(), pubrec(3)).await;
            exchange(pubrel(3), pubcomp(3)).await;
            exchange(pubrec(4), pubrel(4)).await;
            exchange(pingreq(), pingresp()).await;
            exchange(unsubscribe(5, ["t"]), mqtt_testkit::packets::unsuback(5, &[])).await;
            assert_eq!(expect.len(), if round == 2 { 6 } else { 7 }, "{packet} in round {round}");
        }
    }
}

/// The broker believes that it has answered: a resend on a new connection is what brings the exchange to its end.
#[tokio::test]
async fn a_swallowed_pubrec_leaves_the_message_accepted() {
    let broker = Broker::start().await.unwrap();
    broker.faults().swallow(PacketType::PubRec, 1);
    let (mut client, _) = enter(&broker, Version::V5, lasting("c", Version::V5)).await;
    client.send(publish("t", "x").qos2(1)).await;
    broker.until("the message", |broker| broker.received_count() == 1).await;
    vanish(&broker, client, "c").await;
    let (mut client, _) = enter(&broker, Version::V5, lasting("c", Version::V5)).await;
    client.send(publish("t", "x").qos2(1).dup()).await;
    client.expect(pubrec(1)).await;
    assert_eq!(broker.received_count(), 1);
}

#[tokio::test(start_paused = true)]
async fn an_acknowledgement_can_be_late() {
    let broker = Broker::start().await.unwrap();
    broker.faults().delay(PacketType::PubAck, 2, Duration::from_secs(3));
    let mut client = client(&broker, Version::V3_1_1, "c").await;
    for id in 1..=3 {
        client.send(publish("t", "x").qos1(id)).await;
    }
    client.expect(puback(1)).await;
    client.expect(puback(3)).await;
    client.expect_silence(Duration::from_millis(2_900)).await;
    client.expect(puback(2)).await;
}

/// Trap 13: the link is up, and nobody is there.
#[tokio::test(start_paused = true)]
async fn a_frozen_broker_neither_reads_nor_writes() {
    let broker = Broker::start().await.unwrap();
    let (mut client, _) = enter(&broker, Version::V5, Connect { keep_alive: 10, ..connect("c") }).await;
    broker.faults().freeze(true);
    client.send(pingreq()).await;
    client.expect_silence(Duration::from_secs(100)).await;
    let mut late = Peer::client(broker.connect_memory(), Version::V5);
    late.send(connect("late")).await;
    late.expect_silence(Duration::from_secs(100)).await;
    broker.faults().freeze(false);
    client.expect(pingresp()).await;
    late.expect_any().await;
    assert!(broker.is_connected("c"), "keep alive begins anew");
    // A frozen broker can still be stopped.
    broker.faults().freeze(true);
    broker.stop().await;
}

#[tokio::test]
async fn publishes_can_be_rejected() {
    let broker = Broker::builder().receive_maximum(1).start().await.unwrap();
    broker.faults().reject_publish("no/#", ReasonCode::QUOTA_EXCEEDED);
    let mut client = v5(&broker, "c").await;
    client.send(publish("no/1", "x").qos1(1)).await;
    client.expect(puback_with(1, ReasonCode::QUOTA_EXCEEDED)).await;
    client.send(publish("no/2", "x").qos2(2)).await;
    client.expect(pubrec_with(2, ReasonCode::QUOTA_EXCEEDED)).await;
    client.send(publish("no/2", "x").qos2(2)).await; // `[MQTT-4.3.3-9]`: a new message
    client.expect(pubrec_with(2, ReasonCode::QUOTA_EXCEEDED)).await;
    client.send(publish("yes", "x").qos1(3)).await;
    client.expect_any().await;
    assert_eq!(broker.received_count(), 1);
    let mut old = self::client(&broker, Version::V3_1_1, "old").await;
    old.send(publish("no/1", "x").qos1(1)).await;
    old.expect(puback(1)).await;
    assert_eq!(broker.received_count(), 1);
}

#[tokio::test]
async fn subscriptions_can_be_rejected() {
    let broker = Broker::start().await.unwrap();
    broker.faults().reject_subscription("no/#", ReasonCode::NOT_AUTHORIZED);
    let asked = || subscribe(1, [("no/#", QoS::AtMostOnce), ("no/1", QoS::AtMostOnce)]);
    let mut client = v5(&broker, "c").await;
    client.send(asked()).await;
    client.expect(suback(1, &[ReasonCode::NOT_AUTHORIZED, ReasonCode::GRANTED_QOS_0])).await;
    let mut old = self::client(&broker, Version::V3_1_1, "old").await;
    old.send(asked()).await;
    old.expect_hex("90 04 00 01 80 00").await;
    assert_eq!(broker.session("c").unwrap().subscriptions.len(), 1);
}

#[tokio::test]
#[should_panic(expected = "0x00 success is no refusal that a server sends in CONNACK")]
async fn a_refusal_must_be_one() {
    Broker::start().await.unwrap().faults().refuse(ReasonCode::SUCCESS, Connections::Next);
}

#[tokio::test]
#[should_panic(expected = "CONNACK is no acknowledgement that the broker sends")]
async fn only_acknowledgements_can_be_swallowed() {
    Broker::start().await.unwrap().faults().swallow(PacketType::ConnAck, 1);
}
