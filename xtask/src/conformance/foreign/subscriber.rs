//! The cases for a subscriber: what it says, what it prints, and when it gives up.
//!
//! Cases named `tells_*` ask for more than the standard: that whoever runs the command learns what the server said.

use super::cases;
use super::stage::{Stage, TOPIC, Talk, Unfit, Wish};
use super::{ALL, Case, FROM_3_1_1, Role, V5};
use crate::shell;
use core::time::Duration;
use mqtt_codec::{Packet, PacketType, PropertiesBuf, QoS, ReasonCode};
use mqtt_testkit::packets::{
    IntoPacket, connack, connack_with_session, disconnect, pingresp, publish, pubrel, suback,
};
use tokio::time::timeout;

/// The keep alive of the cases about it: the shortest that every client takes, in seconds.
const KEEP_ALIVE: u16 = 5;

/// How much later than that a ping may come: clients count in whole seconds.
const LATE: Duration = Duration::from_secs(1);

const LARGE: usize = 1024 * 1024;

pub(super) const CASES: &[Case] = cases! { Role::Subscriber;
    connects_first ALL ["MQTT-3.1.0-1" "MQTT-3.1.2-1" "MQTT-3.1.3-3" "MQTT-3.1.0-1/3.1.1" "31-1"]
        "the first packet is a well-formed CONNECT with the version and the client id that were asked for";
    subscribes ALL ["MQTT-3.8.1-1" "MQTT-3.8.3-2" "MQTT-3.8.3-5" "MQTT-3.8.1-1/3.1.1" "MQTT-3.8.3-4/3.1.1" "31-10"]
        "a well-formed SUBSCRIBE names the filter and the QoS";
    takes_connack_in_pieces ALL ["MQTT-4.2.0-1" "MQTT-7.1.2-1/3.1.1"]
        "a CONNACK that comes byte by byte is understood";
    prints_qos_0 ALL ["MQTT-3.3.4-1" "MQTT-3.3.4-1/3.1.1"]
        "a QoS 0 message is printed once and not answered";
    acknowledges_qos_1 ALL ["MQTT-4.3.2-4" "MQTT-2.2.1-5" "MQTT-4.3.2-2/3.1.1"]
        "a QoS 1 message is printed and answered by PUBACK with its identifier";
    takes_a_used_id_again ALL ["MQTT-4.3.2-5" "MQTT-4.3.2-2/3.1.1"]
        "after its PUBACK the same identifier is a new message";
    completes_qos_2 ALL ["MQTT-4.3.3-8" "MQTT-4.3.3-11" "MQTT-4.3.3-2/3.1.1" "31-18"]
        "a QoS 2 message is answered by PUBREC, its PUBREL by PUBCOMP, and it is printed once";
    drops_a_qos_2_duplicate ALL ["MQTT-4.3.3-10" "MQTT-4.3.3-2/3.1.1" "31-18"]
        "a QoS 2 message repeated before its PUBREL is answered again and not printed again";
    takes_a_qos_2_id_again ALL ["MQTT-4.3.3-12" "MQTT-4.3.3-2/3.1.1"]
        "after PUBCOMP the same identifier is a new message";
    completes_an_unknown_pubrel ALL ["MQTT-4.3.3-11" "MQTT-4.3.3-2/3.1.1"]
        "a PUBREL for an identifier it does not know is answered by PUBCOMP";
    acknowledges_qos_1_in_order FROM_3_1_1 ["MQTT-4.6.0-2" "MQTT-4.6.0-2/3.1.1"]
        "three QoS 1 messages at once are acknowledged in the order of their arrival";
    acknowledges_qos_2_in_order FROM_3_1_1 ["MQTT-4.6.0-3" "MQTT-4.6.0-3/3.1.1"]
        "three QoS 2 messages at once get their PUBRECs in the order of their arrival";
    acknowledges_what_it_did_not_ask_for FROM_3_1_1 ["MQTT-4.5.0-2" "MQTT-4.5.0-2/3.1.1"]
        "a QoS 1 message on a topic it has not subscribed to is acknowledged too";
    remembers_qos_2_after_a_cut FROM_3_1_1 ["MQTT-4.3.3-10" "MQTT-3.1.2-23" "MQTT-4.1.0-1/3.1.1"]
        "a QoS 2 message repeated on a resumed session is not printed again";
    resubscribes_or_resumes FROM_3_1_1 ["MQTT-3.1.0-1" "MQTT-3.1.0-1/3.1.1"]
        "after a cut it connects again, and a message reaches it";
    takes_a_publish_before_the_suback FROM_3_1_1 ["MQTT-3.3.4-1" "311u-9"]
        "a message that comes before the SUBACK is printed";
    prints_retained FROM_3_1_1 ["MQTT-3.3.1-9" "MQTT-3.3.1-6/3.1.1"]
        "a retained message is printed as any other";
    takes_packets_in_one_write ALL ["MQTT-4.2.0-1" "MQTT-7.1.2-1/3.1.1"]
        "SUBACK and three messages in one write are all understood";
    takes_a_packet_byte_by_byte ALL ["MQTT-4.2.0-1" "MQTT-7.1.2-1/3.1.1"]
        "a message that comes byte by byte is understood";
    takes_a_large_packet ALL ["MQTT-1.5.5-1" "311u-1"]
        "a message of 1 MiB is printed and acknowledged";
    takes_control_characters FROM_3_1_1 ["5u-28" "311u-7"]
        "a topic with a control character harms nothing: it is taken, or the connection closed";
    resolves_a_topic_alias V5 ["MQTT-3.3.2-10" "5u-21"]
        "a message with nothing but an alias is printed, if aliases were announced";
    refuses_an_alias_above_its_maximum V5 ["MQTT-3.3.2-11" "5u-21"]
        "a topic alias above the announced maximum ends the connection";
    refuses_alias_0 V5 ["MQTT-3.3.2-8" "5u-21"]
        "topic alias 0 ends the connection";
    tells_a_refused_subscription FROM_3_1_1 ["MQTT-3.8.4-7" "MQTT-3.8.4-5/3.1.1"]
        "a SUBACK with 0x80 is told on stderr or by the exit code";
    tells_a_refused_connection ALL ["MQTT-3.2.2-7" "MQTT-3.2.2-5/3.1.1" "31-4"]
        "a CONNACK that refuses makes the client end with a failure";
    does_not_answer_disconnect V5 ["5u-19"]
        "a DISCONNECT of the server is answered by nothing but the end of the connection";
    tells_the_servers_disconnect V5 ["MQTT-4.13.2-1"]
        "a DISCONNECT of the server with a reason is told on stderr or by the exit code";
    pings_when_idle ALL ["MQTT-3.1.2-20" "MQTT-3.1.2-23/3.1.1" "31-15"]
        "a PINGREQ comes within the keep alive";
    pings_while_it_receives FROM_3_1_1 ["MQTT-3.1.2-20" "MQTT-3.1.2-23/3.1.1"]
        "a PINGREQ comes within the keep alive although messages come all the time";
    keeps_the_servers_keep_alive V5 ["MQTT-3.1.2-21" "MQTT-3.2.2-21"]
        "a keep alive in CONNACK takes the place of the client's own";
    gives_up_without_pingresp ALL ["5u-16" "311u-6" "31-14"]
        "a PINGREQ that is not answered ends the connection within two keep alives";
};

async fn connects_first(mut stage: Stage) -> Result<(), Unfit> {
    stage.start(Wish::qos(0))?;
    let mut talk = stage.accept().await;
    let connect = talk.connect().await;
    assert!(
        connect.client_id.as_str() == super::stage::CLIENT_ID,
        "the client id is {:?}",
        connect.client_id
    );
    assert!(connect.username.is_none() && connect.password.is_none(), "nobody asked for credentials");
    assert!(connect.will.is_none(), "nobody asked for a will");
    Ok(())
}

async fn subscribes(mut stage: Stage) -> Result<(), Unfit> {
    stage.start(Wish::qos(1))?;
    let mut talk = stage.accept().await;
    talk.welcome().await;
    let what = format!("SUBSCRIBE to {TOPIC} with QoS 1");
    let is_it = |packet: &Packet| match packet {
        Packet::Subscribe(subscribe) => {
            let filters: Vec<_> = subscribe.filters().collect();
            matches!(&filters[..], [(filter, asked)] if *filter == TOPIC && asked.qos == QoS::AtLeastOnce)
        }
        _ => false,
    };
    talk.expect_that(&what, is_it).await;
    Ok(())
}

async fn takes_connack_in_pieces(mut stage: Stage) -> Result<(), Unfit> {
    stage.start(Wish::qos(0))?;
    let mut talk = stage.accept().await;
    talk.connect().await;
    in_pieces(&mut talk, connack()).await;
    talk.subscribe().await;
    Ok(())
}

async fn prints_qos_0(mut stage: Stage) -> Result<(), Unfit> {
    let mut talk = stage.subscribed(Wish::qos(0)).await?;
    talk.send(publish(TOPIC, "once")).await;
    stage.printed("once").await;
    stage.prints_nothing().await;
    talk.expect_silence(super::stage::WATCH).await;
    Ok(())
}

async fn acknowledges_qos_1(mut stage: Stage) -> Result<(), Unfit> {
    let mut talk = stage.subscribed(Wish::qos(1)).await?;
    talk.send(publish(TOPIC, "once").qos1(4711)).await;
    talk.acked(PacketType::PubAck, 4711).await;
    stage.printed("once").await;
    Ok(())
}

async fn takes_a_used_id_again(mut stage: Stage) -> Result<(), Unfit> {
    let mut talk = stage.subscribed(Wish::qos(1)).await?;
    for payload in ["first", "second"] {
        talk.send(publish(TOPIC, payload).qos1(7)).await;
        talk.acked(PacketType::PubAck, 7).await;
        stage.printed(payload).await;
    }
    Ok(())
}

async fn completes_qos_2(mut stage: Stage) -> Result<(), Unfit> {
    let mut talk = stage.subscribed(Wish::qos(2)).await?;
    exactly_once(&mut talk, 4711, "once").await;
    stage.printed("once").await;
    stage.prints_nothing().await;
    Ok(())
}

async fn drops_a_qos_2_duplicate(mut stage: Stage) -> Result<(), Unfit> {
    let mut talk = stage.subscribed(Wish::qos(2)).await?;
    talk.send(publish(TOPIC, "once").qos2(9)).await;
    talk.acked(PacketType::PubRec, 9).await;
    talk.send(publish(TOPIC, "once").qos2(9).dup()).await;
    talk.acked(PacketType::PubRec, 9).await;
    talk.send(pubrel(9)).await;
    talk.acked(PacketType::PubComp, 9).await;
    stage.printed("once").await;
    stage.prints_nothing().await;
    Ok(())
}

async fn takes_a_qos_2_id_again(mut stage: Stage) -> Result<(), Unfit> {
    let mut talk = stage.subscribed(Wish::qos(2)).await?;
    for payload in ["first", "second"] {
        exactly_once(&mut talk, 3, payload).await;
        stage.printed(payload).await;
    }
    Ok(())
}

async fn completes_an_unknown_pubrel(mut stage: Stage) -> Result<(), Unfit> {
    let mut talk = stage.subscribed(Wish::qos(2)).await?;
    talk.send(pubrel(77)).await;
    // In 5.0 the reason may be 0x92, packet identifier not found.
    let is_it = |packet: &Packet| matches!(packet, Packet::PubComp(ack) if ack.id.get() == 77);
    talk.expect_that("PUBCOMP id=77", is_it).await;
    exactly_once(&mut talk, 77, "after it").await;
    stage.printed("after it").await;
    Ok(())
}

async fn acknowledges_qos_1_in_order(mut stage: Stage) -> Result<(), Unfit> {
    let mut talk = stage.subscribed(Wish::qos(1)).await?;
    let messages = [5, 3, 9].map(|id| publish(TOPIC, id.to_string()).qos1(id));
    at_once(&mut talk, messages).await;
    for id in [5, 3, 9] {
        talk.acked(PacketType::PubAck, id).await;
    }
    Ok(())
}

async fn acknowledges_qos_2_in_order(mut stage: Stage) -> Result<(), Unfit> {
    let mut talk = stage.subscribed(Wish::qos(2)).await?;
    let messages = [5, 3, 9].map(|id| publish(TOPIC, id.to_string()).qos2(id));
    at_once(&mut talk, messages).await;
    for id in [5, 3, 9] {
        talk.acked(PacketType::PubRec, id).await;
    }
    at_once(&mut talk, [5, 3, 9].map(pubrel)).await;
    for id in [5, 3, 9] {
        talk.acked(PacketType::PubComp, id).await;
    }
    Ok(())
}

async fn acknowledges_what_it_did_not_ask_for(mut stage: Stage) -> Result<(), Unfit> {
    let mut talk = stage.subscribed(Wish::qos(1)).await?;
    talk.send(publish("somewhere/else", "unasked").qos1(6)).await;
    talk.acked(PacketType::PubAck, 6).await;
    Ok(())
}

async fn remembers_qos_2_after_a_cut(mut stage: Stage) -> Result<(), Unfit> {
    stage.start(Wish::qos(2).persistent())?;
    let mut talk = stage.accept().await;
    talk.connect_to_kept_session().await?;
    talk.send(connack()).await;
    talk.grant(2).await;
    talk.send(publish(TOPIC, "once").qos2(9)).await;
    talk.acked(PacketType::PubRec, 9).await;
    drop(talk);

    let mut talk = stage.accept_again().await?;
    talk.connect_to_kept_session().await?;
    talk.send(connack_with_session()).await;
    talk.send(publish(TOPIC, "once").qos2(9).dup()).await;
    // Subscribing once more does no harm.
    let is_it = |packet: &Packet| matches!(packet, Packet::PubRec(_) | Packet::Subscribe(_));
    while let Packet::Subscribe(subscribe) = talk.expect_that("PUBREC or SUBSCRIBE", is_it).await {
        talk.send(suback(subscribe.id().get(), &[ReasonCode::GRANTED_QOS_2])).await;
    }
    talk.send(pubrel(9)).await;
    let is_it = |packet: &Packet| matches!(packet, Packet::PubComp(ack) if ack.id.get() == 9);
    talk.expect_that("PUBCOMP id=9", is_it).await;
    stage.printed("once").await;
    stage.prints_nothing().await;
    Ok(())
}

async fn resubscribes_or_resumes(mut stage: Stage) -> Result<(), Unfit> {
    let talk = stage.subscribed(Wish::qos(0)).await?;
    drop(talk);
    let mut talk = stage.accept_again().await?;
    talk.connect().await;
    talk.send(connack()).await;
    talk.grant(0).await;
    talk.send(publish(TOPIC, "after the cut")).await;
    stage.printed("after the cut").await;
    Ok(())
}

async fn takes_a_publish_before_the_suback(mut stage: Stage) -> Result<(), Unfit> {
    stage.start(Wish::qos(1))?;
    let mut talk = stage.accept().await;
    talk.welcome().await;
    let id = talk.subscribe().await;
    talk.send(publish(TOPIC, "early").qos1(1)).await;
    talk.send(suback(id, &[ReasonCode::GRANTED_QOS_1])).await;
    talk.acked(PacketType::PubAck, 1).await;
    stage.printed("early").await;
    Ok(())
}

async fn prints_retained(mut stage: Stage) -> Result<(), Unfit> {
    let mut talk = stage.subscribed(Wish::qos(1)).await?;
    talk.send(publish(TOPIC, "kept").qos1(1).retain()).await;
    talk.acked(PacketType::PubAck, 1).await;
    stage.printed("kept").await;
    Ok(())
}

async fn takes_packets_in_one_write(mut stage: Stage) -> Result<(), Unfit> {
    stage.start(Wish::qos(0))?;
    let mut talk = stage.accept().await;
    talk.welcome().await;
    let id = talk.subscribe().await;
    let messages = ["one", "two", "three"].map(|payload| publish(TOPIC, payload).into_packet());
    let packets = [suback(id, &[ReasonCode::GRANTED_QOS_0])].into_iter().chain(messages);
    at_once(&mut talk, packets).await;
    for payload in ["one", "two", "three"] {
        stage.printed(payload).await;
    }
    Ok(())
}

async fn takes_a_packet_byte_by_byte(mut stage: Stage) -> Result<(), Unfit> {
    let mut talk = stage.subscribed(Wish::qos(1)).await?;
    in_pieces(&mut talk, publish(TOPIC, "slowly").qos1(2)).await;
    talk.acked(PacketType::PubAck, 2).await;
    stage.printed("slowly").await;
    Ok(())
}

async fn takes_a_large_packet(mut stage: Stage) -> Result<(), Unfit> {
    stage.start(Wish::qos(1))?;
    let mut talk = stage.accept().await;
    let connect = talk.connect().await;
    if connect.properties.view().maximum_packet_size().is_some_and(|size| (size as usize) < LARGE + 100) {
        return Err(Unfit("it announces a Maximum Packet Size below 1 MiB".into()));
    }
    talk.send(connack()).await;
    talk.grant(1).await;
    let payload = "x".repeat(LARGE);
    talk.send(publish(TOPIC, payload.clone()).qos1(2)).await;
    talk.acked(PacketType::PubAck, 2).await;
    stage.printed(&payload).await;
    Ok(())
}

async fn takes_control_characters(mut stage: Stage) -> Result<(), Unfit> {
    let mut talk = stage.subscribed(Wish::qos(1)).await?;
    talk.send(publish("bell/\u{7}", "ding").qos1(2)).await;
    match talk.expect_any_or_end().await {
        None => {}
        Some(Packet::Disconnect(_)) => talk.expect_end().await,
        Some(packet) => {
            assert!(packet.packet_type() == PacketType::PubAck, "it answers {}", packet.packet_type());
            talk.send(publish(TOPIC, "after it").qos1(3)).await;
            talk.acked(PacketType::PubAck, 3).await;
        }
    }
    Ok(())
}

/// The Topic Alias Maximum that the client announces, with the connection on which it did.
async fn announced_aliases(stage: &mut Stage) -> Result<(u16, Talk), Unfit> {
    stage.start(Wish::qos(0))?;
    let mut talk = stage.accept().await;
    let maximum = talk.connect().await.properties.view().topic_alias_maximum().unwrap_or(0);
    talk.send(connack()).await;
    talk.grant(0).await;
    Ok((maximum, talk))
}

async fn resolves_a_topic_alias(mut stage: Stage) -> Result<(), Unfit> {
    let (maximum, mut talk) = announced_aliases(&mut stage).await?;
    if maximum == 0 {
        return Err(Unfit("it announces no topic aliases".into()));
    }
    talk.send(publish(TOPIC, "named").properties(alias(maximum))).await;
    talk.send(publish("", "by alias").properties(alias(maximum))).await;
    stage.printed("named").await;
    stage.printed("by alias").await;
    Ok(())
}

async fn refuses_an_alias_above_its_maximum(mut stage: Stage) -> Result<(), Unfit> {
    let (maximum, mut talk) = announced_aliases(&mut stage).await?;
    let Some(above) = maximum.checked_add(1) else {
        return Err(Unfit("it announces as many aliases as there can be".into()));
    };
    talk.send(publish(TOPIC, "aliased").properties(alias(above))).await;
    talk.given_up().await;
    Ok(())
}

async fn refuses_alias_0(mut stage: Stage) -> Result<(), Unfit> {
    let (_, mut talk) = announced_aliases(&mut stage).await?;
    // Topic "t", one property: alias 0.
    talk.send_hex("30 07 00 01 74 03 23 00 00").await;
    talk.given_up().await;
    Ok(())
}

fn alias(alias: u16) -> PropertiesBuf {
    match PropertiesBuf::builder().topic_alias(alias).build() {
        Ok(properties) => properties,
        Err(error) => panic!("{error}"),
    }
}

async fn tells_a_refused_subscription(mut stage: Stage) -> Result<(), Unfit> {
    stage.start(Wish::qos(1))?;
    let mut talk = stage.accept().await;
    talk.welcome().await;
    let id = talk.subscribe().await;
    talk.send(suback(id, &[ReasonCode::UNSPECIFIED_ERROR])).await;
    talk.attend();
    told(&mut stage).await;
    Ok(())
}

async fn tells_a_refused_connection(mut stage: Stage) -> Result<(), Unfit> {
    stage.start(Wish::qos(0))?;
    let mut talk = stage.accept().await;
    talk.connect().await;
    // Not authorised.
    talk.send_hex(if stage.version.is_v5() { "20 03 00 87 00" } else { "20 02 00 05" }).await;
    drop(talk);
    stage.failed().await;
    Ok(())
}

async fn does_not_answer_disconnect(mut stage: Stage) -> Result<(), Unfit> {
    let mut talk = stage.subscribed(Wish::qos(0)).await?;
    talk.send(disconnect(ReasonCode::SESSION_TAKEN_OVER)).await;
    talk.expect_end().await;
    Ok(())
}

async fn tells_the_servers_disconnect(mut stage: Stage) -> Result<(), Unfit> {
    let mut talk = stage.subscribed(Wish::qos(0)).await?;
    talk.send(disconnect(ReasonCode::SESSION_TAKEN_OVER)).await;
    drop(talk);
    told(&mut stage).await;
    Ok(())
}

/// The client has a way to learn of it: it ended with a failure, or said something on stderr.
async fn told(stage: &mut Stage) {
    let ended = stage.ends_soon().await;
    let said = stage.complaints().await;
    assert!(
        ended.is_some_and(|status| !status.success()) || !said.trim().is_empty(),
        "nothing on stderr, and {}",
        ended.map_or_else(|| "it runs on".to_owned(), |status| status.to_string())
    );
}

async fn pings_when_idle(mut stage: Stage) -> Result<(), Unfit> {
    stage.start(Wish::qos(0).keep_alive(KEEP_ALIVE))?;
    let mut talk = stage.accept_with(allowed() * 2).await;
    talk.welcome().await;
    talk.grant(0).await;
    pinged_in_time(&mut talk, |_| None).await;
    Ok(())
}

async fn pings_while_it_receives(mut stage: Stage) -> Result<(), Unfit> {
    stage.start(Wish::qos(0).keep_alive(KEEP_ALIVE))?;
    let mut talk = stage.accept_with(allowed() * 2).await;
    talk.welcome().await;
    talk.grant(0).await;
    pinged_in_time(&mut talk, |second| Some(publish(TOPIC, second.to_string()).into_packet())).await;
    Ok(())
}

async fn keeps_the_servers_keep_alive(mut stage: Stage) -> Result<(), Unfit> {
    stage.start(Wish::qos(0))?;
    let mut talk = stage.accept_with(allowed() * 2).await;
    talk.connect().await;
    // Server Keep Alive.
    talk.send_hex(&format!("20 06 00 00 03 13 00 {KEEP_ALIVE:02X}")).await;
    talk.grant(0).await;
    pinged_in_time(&mut talk, |_| None).await;
    Ok(())
}

async fn gives_up_without_pingresp(mut stage: Stage) -> Result<(), Unfit> {
    stage.start(Wish::qos(0).keep_alive(KEEP_ALIVE))?;
    let mut talk = stage.accept_with(allowed() * 2).await;
    talk.welcome().await;
    talk.grant(0).await;
    let begin = shell::now();
    talk.expect_that("PINGREQ", |packet| matches!(packet, Packet::PingReq)).await;
    talk.given_up().await;
    let limit = Duration::from_secs(u64::from(KEEP_ALIVE) * 3) + LATE;
    assert!(
        begin.elapsed() <= limit,
        "it closes {:.1} s after its last packet",
        begin.elapsed().as_secs_f64()
    );
    Ok(())
}

fn allowed() -> Duration {
    Duration::from_secs(u64::from(KEEP_ALIVE)) + LATE
}

/// A PINGREQ comes in time, although the server sends this each second. It is answered.
async fn pinged_in_time(talk: &mut Talk, each_second: impl Fn(u64) -> Option<Packet>) {
    let begin = shell::now();
    for second in 0..allowed().as_secs() * 2 {
        let ping = talk.expect_that("PINGREQ", |packet| matches!(packet, Packet::PingReq));
        if timeout(Duration::from_secs(1), ping).await.is_ok() {
            talk.send(pingresp()).await;
            let after = begin.elapsed();
            assert!(after <= allowed(), "the PINGREQ comes after {:.1} s", after.as_secs_f64());
            return;
        }
        if let Some(packet) = each_second(second) {
            talk.send(packet).await;
        }
    }
    panic!("no PINGREQ comes for {:.1} s", begin.elapsed().as_secs_f64());
}

/// A QoS 2 message from beginning to end.
async fn exactly_once(talk: &mut Talk, id: u16, payload: &str) {
    talk.send(publish(TOPIC, payload.to_owned()).qos2(id)).await;
    talk.acked(PacketType::PubRec, id).await;
    talk.send(pubrel(id)).await;
    talk.acked(PacketType::PubComp, id).await;
}

/// Packets in one write.
async fn at_once(talk: &mut Talk, packets: impl IntoIterator<Item = impl IntoPacket>) {
    let bytes: Vec<u8> = packets.into_iter().flat_map(|packet| talk.encoded(packet)).collect();
    talk.send_bytes(&bytes).await;
}

/// One packet, a byte in each write.
async fn in_pieces(talk: &mut Talk, packet: impl IntoPacket) {
    for byte in talk.encoded(packet) {
        talk.send_bytes(&[byte]).await;
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}
