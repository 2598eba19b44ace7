//! The cases for a subscriber whose server breaks the protocol. They are limited to the versions whose standard has the
//! client close.

use super::cases;
use super::stage::{Stage, TOPIC, Unfit, Wish};
use super::{Case, FROM_3_1_1, Role, V3_1_1, V5};
use mqtt_codec::Version;
use mqtt_testkit::packets::{connack_with_session, publish};

pub(super) const CASES: &[Case] = cases! { Role::Subscriber;
    refuses_pubrel_flags FROM_3_1_1 ["MQTT-3.6.1-1" "MQTT-2.1.3-1" "MQTT-2.2.2-2/3.1.1"]
        "a PUBREL with flags 0000 ends the connection";
    refuses_pingresp_flags FROM_3_1_1 ["MQTT-2.1.3-1" "MQTT-2.2.2-2/3.1.1"]
        "a PINGRESP with a flag set ends the connection";
    refuses_qos_3 FROM_3_1_1 ["MQTT-3.3.1-4" "MQTT-3.3.1-4/3.1.1"]
        "a PUBLISH with both QoS bits ends the connection";
    refuses_packet_id_0 V5 ["MQTT-2.2.1-4"]
        "a QoS 1 PUBLISH with identifier 0 ends the connection";
    refuses_a_wildcard_topic V3_1_1 ["MQTT-3.3.2-2/3.1.1"]
        "a PUBLISH to a topic with a wildcard ends the connection";
    refuses_broken_utf_8 FROM_3_1_1 ["MQTT-1.5.4-1" "MQTT-1.5.3-1/3.1.1"]
        "a topic with a surrogate in it ends the connection";
    refuses_the_null_character FROM_3_1_1 ["MQTT-1.5.4-2" "MQTT-1.5.3-2/3.1.1"]
        "a topic with U+0000 in it ends the connection";
    refuses_a_fifth_length_byte FROM_3_1_1 ["5u-2" "311u-1"]
        "a remaining length of five bytes ends the connection";
    refuses_an_unknown_property V5 ["5u-4"]
        "a PUBLISH with property 0x7F ends the connection";
    refuses_a_packet_for_servers FROM_3_1_1 ["5u-3" "311u-2"]
        "a SUBSCRIBE that comes from the server ends the connection";
    refuses_packet_type_0 FROM_3_1_1 ["5u-1" "311u-2"]
        "packet type 0 ends the connection";
    refuses_a_second_connack V5 ["MQTT-3.2.0-2"]
        "a second CONNACK ends the connection";
    refuses_a_packet_before_connack FROM_3_1_1 ["MQTT-3.2.0-1" "MQTT-3.2.0-1/3.1.1"]
        "a PUBLISH instead of CONNACK ends the connection";
    refuses_a_session_it_did_not_want V5 ["MQTT-3.2.2-2" "MQTT-3.2.2-4"]
        "Session Present 1 after a clean start ends the connection";
    refuses_a_reserved_suback_code FROM_3_1_1 ["MQTT-3.9.3-2" "MQTT-3.9.3-2/3.1.1"]
        "a SUBACK with the reserved code 3 is not taken for a success";
};

/// A script in which the server sends these bytes to a subscriber, which then must give up the connection.
async fn refuses(mut stage: Stage, v5: &str, v3: &str) -> Result<(), Unfit> {
    let mut talk = stage.subscribed(Wish::qos(2)).await?;
    talk.send_hex(if stage.version.is_v5() { v5 } else { v3 }).await;
    talk.given_up().await;
    stage.prints_nothing().await;
    Ok(())
}

async fn refuses_pubrel_flags(stage: Stage) -> Result<(), Unfit> {
    refuses(stage, "60 02 00 01", "60 02 00 01").await
}

async fn refuses_pingresp_flags(stage: Stage) -> Result<(), Unfit> {
    refuses(stage, "D1 00", "D1 00").await
}

async fn refuses_qos_3(stage: Stage) -> Result<(), Unfit> {
    refuses(stage, "36 07 00 01 74 00 01 00 78", "36 06 00 01 74 00 01 78").await
}

async fn refuses_packet_id_0(stage: Stage) -> Result<(), Unfit> {
    refuses(stage, "32 07 00 01 74 00 00 00 78", "").await
}

async fn refuses_a_wildcard_topic(stage: Stage) -> Result<(), Unfit> {
    refuses(stage, "", "30 06 00 03 61 2F 2B 78").await
}

async fn refuses_broken_utf_8(stage: Stage) -> Result<(), Unfit> {
    refuses(stage, "30 07 00 03 ED A0 80 00 78", "30 06 00 03 ED A0 80 78").await
}

async fn refuses_the_null_character(stage: Stage) -> Result<(), Unfit> {
    refuses(stage, "30 07 00 03 61 00 62 00 78", "30 06 00 03 61 00 62 78").await
}

async fn refuses_a_fifth_length_byte(stage: Stage) -> Result<(), Unfit> {
    refuses(stage, "30 84 80 80 80 00 00 01 74 00", "30 84 80 80 80 00 00 01 74 78").await
}

async fn refuses_an_unknown_property(stage: Stage) -> Result<(), Unfit> {
    refuses(stage, "30 06 00 01 74 02 7F 00", "").await
}

async fn refuses_a_packet_for_servers(stage: Stage) -> Result<(), Unfit> {
    refuses(stage, "82 07 00 01 00 00 01 74 00", "82 06 00 01 00 01 74 00").await
}

async fn refuses_packet_type_0(stage: Stage) -> Result<(), Unfit> {
    refuses(stage, "00 00", "00 00").await
}

async fn refuses_a_second_connack(stage: Stage) -> Result<(), Unfit> {
    refuses(stage, "20 03 00 00 00", "").await
}

async fn refuses_a_packet_before_connack(mut stage: Stage) -> Result<(), Unfit> {
    stage.start(Wish::qos(0))?;
    let mut talk = stage.accept().await;
    talk.connect().await;
    talk.send(publish(TOPIC, "too early")).await;
    talk.given_up().await;
    stage.prints_nothing().await;
    Ok(())
}

async fn refuses_a_session_it_did_not_want(mut stage: Stage) -> Result<(), Unfit> {
    stage.start(Wish::qos(0))?;
    let mut talk = stage.accept().await;
    if !talk.connect().await.clean_start {
        return Err(Unfit("it asks for the session that the server keeps".into()));
    }
    talk.send(connack_with_session()).await;
    talk.given_up().await;
    Ok(())
}

async fn refuses_a_reserved_suback_code(mut stage: Stage) -> Result<(), Unfit> {
    stage.start(Wish::qos(2))?;
    let mut talk = stage.accept().await;
    talk.welcome().await;
    let id = talk.subscribe().await.to_be_bytes().map(|byte| format!("{byte:02X}")).join(" ");
    talk.send_hex(&match stage.version {
        Version::V5 => format!("90 04 {id} 00 03"),
        _ => format!("90 03 {id} 03"),
    })
    .await;
    talk.given_up().await;
    Ok(())
}
