//! The cases for a publisher of one message, and for one that publishes each line of its standard input.
//!
//! Those named `tells_*` ask for more than the standard: that whoever runs the command learns what became of the message.

use super::cases;
use super::stage::{Stage, TOPIC, Talk, Unfit, WATCH, Wish};
use super::{ALL, Case, FROM_3_1_1, Role, V5};
use core::time::Duration;
use mqtt_codec::{Packet, PacketType, QoS};
use mqtt_testkit::packets::{connack, connack_with_session, puback, pubcomp, pubrec};
use std::collections::BTreeSet;
use tokio::time::timeout;

const LINES: [&str; 5] = ["one", "two", "three", "four", "five"];

pub(super) const CASES: &[Case] = cases! { Role::Publisher;
    publishes_qos_0 ALL ["MQTT-4.3.1-1" "MQTT-3.3.1-2" "MQTT-2.2.1-2" "MQTT-4.3.1-1/3.1.1"]
        "a QoS 0 message is one PUBLISH; then the client leaves with success";
    publishes_qos_1 ALL ["MQTT-4.3.2-2" "MQTT-4.3.2-1/3.1.1"]
        "a QoS 1 message is one PUBLISH without DUP; after its PUBACK the client leaves with success";
    publishes_qos_2 ALL ["MQTT-4.3.3-2" "MQTT-4.3.3-4" "MQTT-3.6.1-1" "MQTT-4.3.3-1/3.1.1"]
        "a QoS 2 message goes through PUBREC, PUBREL and PUBCOMP before the client leaves with success";
    waits_for_puback FROM_3_1_1 ["MQTT-4.3.2-3" "MQTT-4.4.0-1"]
        "without a PUBACK the client neither ends nor sends the message again on this connection";
    waits_for_pubcomp FROM_3_1_1 ["MQTT-4.3.3-5" "MQTT-4.4.0-1"]
        "without a PUBCOMP the client does not end";
    says_nothing_after_disconnect FROM_3_1_1 ["MQTT-3.14.4-1" "MQTT-3.14.4-2" "MQTT-3.14.4-1/3.1.1" "MQTT-3.14.4-2/3.1.1"]
        "after its DISCONNECT comes nothing but the end of the connection";
    takes_connack_in_pieces ALL ["MQTT-4.2.0-1" "MQTT-7.1.2-1/3.1.1"]
        "a CONNACK that comes byte by byte is understood";
    tells_a_refused_connection ALL ["MQTT-3.2.2-7" "MQTT-3.2.2-5/3.1.1" "31-4"]
        "a CONNACK that refuses makes the client end with a failure";
    tells_a_refused_qos_1_message V5 ["MQTT-4.4.0-2"]
        "a PUBACK with 0x87 makes the client end with a failure";
    ends_a_refused_qos_2_message V5 ["MQTT-4.3.3-4"]
        "a PUBREC with 0x87 is not answered by PUBREL";
    tells_a_refused_qos_2_message V5 ["MQTT-4.3.3-4"]
        "a PUBREC with 0x87 makes the client end with a failure";
    never_claims_what_it_does_not_know FROM_3_1_1 ["MQTT-4.3.2-3" "MQTT-4.3.2-1/3.1.1"]
        "a connection that is cut before the PUBACK does not end in success";
    marks_what_it_sends_again FROM_3_1_1 ["MQTT-3.3.1-1" "MQTT-4.4.0-1" "MQTT-3.3.1-1/3.1.1" "MQTT-4.4.0-1/3.1.1"]
        "on a resumed session the PUBLISH comes again, with DUP and its identifier";
    sends_pubrel_again FROM_3_1_1 ["MQTT-4.3.3-6" "MQTT-4.4.0-1" "MQTT-4.3.3-1/3.1.1" "MQTT-4.4.0-1/3.1.1"]
        "on a resumed session the PUBREL comes again, not the PUBLISH";
    forgets_a_lost_session V5 ["MQTT-3.2.2-5"]
        "when the server has lost the session, the message comes as a new one or not at all";
    keeps_the_maximum_qos V5 ["MQTT-3.2.2-11"]
        "with Maximum QoS 0 no PUBLISH of QoS 1 comes";
    keeps_the_maximum_packet_size V5 ["MQTT-3.2.2-15"]
        "no packet larger than the server's Maximum Packet Size comes";
    tells_what_is_too_large V5 ["MQTT-3.2.2-15"]
        "a message above the server's Maximum Packet Size makes the client end with a failure";
    uses_no_alias_uninvited V5 ["MQTT-3.2.2-18"]
        "without a Topic Alias Maximum of the server no alias comes";
    repeats_a_pubrec_answer FROM_3_1_1 ["MQTT-4.3.3-4" "MQTT-4.3.3-1/3.1.1"]
        "a PUBREC that comes twice does no harm";
};

pub(super) const LINE_CASES: &[Case] = cases! { Role::Lines;
    keeps_the_receive_maximum V5 ["MQTT-3.3.4-7" "MQTT-4.9.0-2"]
        "with Receive Maximum 2 no third QoS 1 message comes before a PUBACK";
    uses_no_identifier_twice FROM_3_1_1 ["MQTT-2.2.1-3" "MQTT-2.3.1-2/3.1.1"]
        "messages that wait for their PUBACK have different identifiers";
    publishes_in_order FROM_3_1_1 ["MQTT-4.6.0-1" "MQTT-4.6.0-1/3.1.1"]
        "messages come in the order of the lines, and after all PUBACKs the client leaves with success";
    sends_again_in_order FROM_3_1_1 ["MQTT-4.6.0-1" "MQTT-4.4.0-1" "MQTT-4.6.0-1/3.1.1"]
        "on a resumed session the messages come again in their order, with DUP and their identifiers";
};

/// Starts the client and accepts its connection.
async fn welcomed(stage: &mut Stage, wish: Wish) -> Result<Talk, Unfit> {
    stage.start(wish)?;
    let mut talk = stage.accept().await;
    talk.welcome().await;
    Ok(talk)
}

/// Starts the client with a kept session.
async fn welcomed_for_long(stage: &mut Stage, wish: Wish) -> Result<Talk, Unfit> {
    stage.start(wish.persistent())?;
    let mut talk = stage.accept().await;
    talk.connect_to_kept_session().await?;
    talk.send(connack()).await;
    Ok(talk)
}

/// Waits for its next connection and resumes the session.
async fn resumed(stage: &mut Stage) -> Result<Talk, Unfit> {
    let mut talk = stage.accept_again().await?;
    talk.connect_to_kept_session().await?;
    talk.send(connack_with_session()).await;
    Ok(talk)
}

async fn publishes_qos_0(mut stage: Stage) -> Result<(), Unfit> {
    let mut talk = welcomed(&mut stage, Wish::qos(0)).await?;
    talk.published(QoS::AtMostOnce, "hello").await;
    talk.left().await;
    stage.succeeded().await;
    Ok(())
}

async fn publishes_qos_1(mut stage: Stage) -> Result<(), Unfit> {
    let mut talk = welcomed(&mut stage, Wish::qos(1)).await?;
    let id = talk.published(QoS::AtLeastOnce, "hello").await;
    talk.send(puback(id)).await;
    talk.left().await;
    stage.succeeded().await;
    Ok(())
}

async fn publishes_qos_2(mut stage: Stage) -> Result<(), Unfit> {
    let mut talk = welcomed(&mut stage, Wish::qos(2)).await?;
    let id = talk.published(QoS::ExactlyOnce, "hello").await;
    talk.send(pubrec(id)).await;
    talk.acked(PacketType::PubRel, id).await;
    talk.send(pubcomp(id)).await;
    talk.left().await;
    stage.succeeded().await;
    Ok(())
}

async fn waits_for_puback(mut stage: Stage) -> Result<(), Unfit> {
    let mut talk = welcomed(&mut stage, Wish::qos(1)).await?;
    let id = talk.published(QoS::AtLeastOnce, "hello").await;
    talk.expect_silence(WATCH * 2).await;
    stage.runs_on().await;
    talk.send(puback(id)).await;
    talk.left().await;
    stage.succeeded().await;
    Ok(())
}

async fn waits_for_pubcomp(mut stage: Stage) -> Result<(), Unfit> {
    let mut talk = welcomed(&mut stage, Wish::qos(2)).await?;
    let id = talk.published(QoS::ExactlyOnce, "hello").await;
    talk.send(pubrec(id)).await;
    talk.acked(PacketType::PubRel, id).await;
    talk.expect_silence(WATCH * 2).await;
    stage.runs_on().await;
    talk.send(pubcomp(id)).await;
    talk.left().await;
    stage.succeeded().await;
    Ok(())
}

async fn says_nothing_after_disconnect(mut stage: Stage) -> Result<(), Unfit> {
    let mut talk = welcomed(&mut stage, Wish::qos(1)).await?;
    let id = talk.published(QoS::AtLeastOnce, "hello").await;
    talk.send(puback(id)).await;
    talk.expect_that("DISCONNECT", |packet| matches!(packet, Packet::Disconnect(_))).await;
    talk.expect_end().await;
    Ok(())
}

async fn takes_connack_in_pieces(mut stage: Stage) -> Result<(), Unfit> {
    stage.start(Wish::qos(0))?;
    let mut talk = stage.accept().await;
    talk.connect().await;
    for byte in talk.encoded(connack()) {
        talk.send_bytes(&[byte]).await;
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    talk.published(QoS::AtMostOnce, "hello").await;
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

async fn tells_a_refused_qos_1_message(mut stage: Stage) -> Result<(), Unfit> {
    let mut talk = welcomed(&mut stage, Wish::qos(1)).await?;
    let id = talk.published(QoS::AtLeastOnce, "hello").await;
    talk.send_hex(&refused("40", id)).await;
    talk.attend();
    stage.failed().await;
    Ok(())
}

async fn ends_a_refused_qos_2_message(mut stage: Stage) -> Result<(), Unfit> {
    let mut talk = welcomed(&mut stage, Wish::qos(2)).await?;
    let id = talk.published(QoS::ExactlyOnce, "hello").await;
    talk.send_hex(&refused("50", id)).await;
    talk.left().await;
    Ok(())
}

async fn tells_a_refused_qos_2_message(mut stage: Stage) -> Result<(), Unfit> {
    let mut talk = welcomed(&mut stage, Wish::qos(2)).await?;
    let id = talk.published(QoS::ExactlyOnce, "hello").await;
    talk.send_hex(&refused("50", id)).await;
    talk.attend();
    stage.failed().await;
    Ok(())
}

/// An acknowledgement of 5.0 with 0x87, not authorised.
fn refused(first_byte: &str, id: u16) -> String {
    let [high, low] = id.to_be_bytes();
    format!("{first_byte} 03 {high:02X} {low:02X} 87")
}

async fn never_claims_what_it_does_not_know(mut stage: Stage) -> Result<(), Unfit> {
    let mut talk = welcomed(&mut stage, Wish::qos(1)).await?;
    talk.published(QoS::AtLeastOnce, "hello").await;
    drop(talk);
    match stage.accept_again().await {
        // Ended with a failure: honest.
        Err(_) => {}
        // A new connection: it has to publish once more before it can be content.
        Ok(mut talk) => {
            talk.welcome().await;
            stage.runs_on().await;
        }
    }
    Ok(())
}

async fn marks_what_it_sends_again(mut stage: Stage) -> Result<(), Unfit> {
    let mut talk = welcomed_for_long(&mut stage, Wish::qos(1)).await?;
    let id = talk.published(QoS::AtLeastOnce, "hello").await;
    drop(talk);
    let mut talk = resumed(&mut stage).await?;
    sent_again(&mut talk, id, "hello").await;
    talk.send(puback(id)).await;
    talk.left().await;
    stage.succeeded().await;
    Ok(())
}

/// This QoS 1 message comes again.
async fn sent_again(talk: &mut Talk, id: u16, payload: &str) {
    talk.expect(mqtt_testkit::packets::publish(TOPIC, payload.to_owned()).qos1(id).dup()).await;
}

async fn sends_pubrel_again(mut stage: Stage) -> Result<(), Unfit> {
    let mut talk = welcomed_for_long(&mut stage, Wish::qos(2)).await?;
    let id = talk.published(QoS::ExactlyOnce, "hello").await;
    talk.send(pubrec(id)).await;
    talk.acked(PacketType::PubRel, id).await;
    drop(talk);
    let mut talk = resumed(&mut stage).await?;
    talk.acked(PacketType::PubRel, id).await;
    talk.send(pubcomp(id)).await;
    talk.left().await;
    stage.succeeded().await;
    Ok(())
}

async fn forgets_a_lost_session(mut stage: Stage) -> Result<(), Unfit> {
    let mut talk = welcomed_for_long(&mut stage, Wish::qos(1)).await?;
    talk.published(QoS::AtLeastOnce, "hello").await;
    drop(talk);
    let mut talk = stage.accept_again().await?;
    talk.connect_to_kept_session().await?;
    talk.send(connack()).await;
    match talk.expect_any_or_end().await {
        None | Some(Packet::Disconnect(_)) => {
            talk.attend();
            stage.failed().await;
        }
        Some(Packet::Publish(publish)) => assert!(!publish.delivery().dup(), "the PUBLISH has DUP"),
        Some(packet) => panic!("{} of the lost session comes", packet.packet_type()),
    }
    Ok(())
}

async fn keeps_the_maximum_qos(mut stage: Stage) -> Result<(), Unfit> {
    stage.start(Wish::qos(1))?;
    let mut talk = stage.accept().await;
    talk.connect().await;
    talk.send_hex("20 05 00 00 02 24 00").await;
    while let Some(packet) = talk.expect_any_or_end().await {
        if let Packet::Publish(publish) = packet {
            assert!(publish.qos() == QoS::AtMostOnce, "a PUBLISH of QoS {} comes", publish.qos());
        }
    }
    Ok(())
}

async fn keeps_the_maximum_packet_size(mut stage: Stage) -> Result<(), Unfit> {
    too_large(&mut stage).await
}

async fn tells_what_is_too_large(mut stage: Stage) -> Result<(), Unfit> {
    too_large(&mut stage).await?;
    stage.failed().await;
    Ok(())
}

/// The client has a message of more than 100 bytes for a server that takes 100.
async fn too_large(stage: &mut Stage) -> Result<(), Unfit> {
    stage.start(Wish::qos(1).payload(&"x".repeat(200)))?;
    let mut talk = stage.accept().await;
    talk.connect().await;
    talk.send_hex("20 08 00 00 05 27 00 00 00 64").await;
    while let Some(packet) = talk.expect_any_or_end().await {
        assert!(!matches!(packet, Packet::Publish(_)), "a PUBLISH of more than 100 bytes comes");
    }
    Ok(())
}

async fn uses_no_alias_uninvited(mut stage: Stage) -> Result<(), Unfit> {
    let mut talk = welcomed(&mut stage, Wish::qos(0)).await?;
    let publish = talk.expect_publish().await;
    assert!(publish.properties().topic_alias().is_none(), "the PUBLISH has an alias");
    Ok(())
}

async fn repeats_a_pubrec_answer(mut stage: Stage) -> Result<(), Unfit> {
    let mut talk = welcomed(&mut stage, Wish::qos(2)).await?;
    let id = talk.published(QoS::ExactlyOnce, "hello").await;
    talk.send(pubrec(id)).await;
    talk.acked(PacketType::PubRel, id).await;
    talk.send(pubrec(id)).await;
    // It may answer once more or keep silent.
    let _ = timeout(WATCH, talk.expect_that("PUBREL", |packet| matches!(packet, Packet::PubRel(_)))).await;
    talk.send(pubcomp(id)).await;
    talk.left().await;
    stage.succeeded().await;
    Ok(())
}

async fn keeps_the_receive_maximum(mut stage: Stage) -> Result<(), Unfit> {
    stage.start(Wish::qos(1).lines(&LINES))?;
    let mut talk = stage.accept().await;
    talk.connect().await;
    // Receive Maximum 2.
    talk.send_hex("20 06 00 00 03 21 00 02").await;
    let [first, second, rest @ ..] = LINES;
    let mut waiting =
        vec![talk.published(QoS::AtLeastOnce, first).await, talk.published(QoS::AtLeastOnce, second).await];
    for payload in rest {
        talk.expect_silence(WATCH).await;
        talk.send(puback(waiting.remove(0))).await;
        waiting.push(talk.published(QoS::AtLeastOnce, payload).await);
    }
    for id in waiting {
        talk.send(puback(id)).await;
    }
    talk.left().await;
    stage.succeeded().await;
    Ok(())
}

async fn uses_no_identifier_twice(mut stage: Stage) -> Result<(), Unfit> {
    let mut talk = welcomed(&mut stage, Wish::qos(1).lines(&LINES)).await?;
    let ids = published_before_an_answer(&mut talk).await;
    if ids.len() < 2 {
        return Err(Unfit("it sends one message at a time".into()));
    }
    let different: BTreeSet<u16> = ids.iter().copied().collect();
    assert!(different.len() == ids.len(), "the identifiers are {ids:?}");
    Ok(())
}

async fn publishes_in_order(mut stage: Stage) -> Result<(), Unfit> {
    let mut talk = welcomed(&mut stage, Wish::qos(1).lines(&LINES)).await?;
    for payload in LINES {
        let id = talk.published(QoS::AtLeastOnce, payload).await;
        talk.send(puback(id)).await;
    }
    talk.left().await;
    stage.succeeded().await;
    Ok(())
}

async fn sends_again_in_order(mut stage: Stage) -> Result<(), Unfit> {
    let mut talk = welcomed_for_long(&mut stage, Wish::qos(1).lines(&LINES)).await?;
    let ids = published_before_an_answer(&mut talk).await;
    drop(talk);
    let mut talk = resumed(&mut stage).await?;
    for (id, payload) in ids.iter().zip(LINES) {
        sent_again(&mut talk, *id, payload).await;
    }
    Ok(())
}

/// The identifiers of the messages that come while none is acknowledged.
async fn published_before_an_answer(talk: &mut Talk) -> Vec<u16> {
    let mut ids = Vec::new();
    for payload in LINES {
        match timeout(WATCH * 2, talk.published(QoS::AtLeastOnce, payload)).await {
            Ok(id) => ids.push(id),
            Err(_) => break,
        }
    }
    ids
}
