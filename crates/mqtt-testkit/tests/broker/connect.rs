//! CONNECT and what may answer it.

use super::*;
use bytes::Bytes;
use mqtt_codec::{QoS, Text};
use mqtt_testkit::packets::{connack, pingreq, pingresp, puback, refusal, subscribe};

/// CONNECT of level 6, which does not exist.
const LEVEL_6: &str = "10 0D 00 04 4D 51 54 54 06 02 00 00 00 00 00";

#[tokio::test]
async fn each_version_gets_its_own_connack() {
    let broker = Broker::start().await.unwrap();
    for (version, bytes) in [
        (Version::V3_1, "20 02 00 00"),
        (Version::V3_1_1, "20 02 00 00"),
        (Version::V5, "20 06 00 00 03 22 00 0A"),
    ] {
        let mut client = Peer::client(broker.connect_memory(), version);
        client.send(connect("c")).await;
        client.expect_hex(bytes).await;
        client.send(pingreq()).await;
        client.expect(pingresp()).await;
        assert_eq!(broker.session("c").unwrap().version, version);
    }
}

#[tokio::test]
async fn the_port_serves_tcp() {
    let broker = Broker::start().await.unwrap();
    assert_eq!(broker.url(), format!("mqtt://127.0.0.1:{}", broker.addr().port()));
    let mut client = Peer::connect(broker.addr(), Version::V3_1_1).await;
    client.send(connect("c")).await;
    client.expect(connack()).await;
    client.send(pingreq()).await;
    client.expect(pingresp()).await;
    assert_eq!(broker.connections(), 1);
}

/// `[MQTT-3.1.2-2]`
#[tokio::test]
async fn an_unknown_level_is_refused_in_the_old_form() {
    let broker = Broker::start().await.unwrap();
    let mut client = Peer::client(broker.connect_memory(), Version::V3_1_1);
    client.send_hex(LEVEL_6).await;
    client.expect_hex("20 02 00 01").await;
    client.expect_end().await;
}

#[tokio::test]
async fn a_version_that_is_turned_off_is_refused_in_the_old_form() {
    let broker = Broker::builder().versions(&[Version::V3_1_1]).start().await.unwrap();
    for version in [Version::V3_1, Version::V5] {
        let mut client = Peer::client(broker.connect_memory(), version);
        client.send(connect("c")).await;
        client.expect_hex("20 02 00 01").await;
        client.expect_end().await;
    }
    client(&broker, Version::V3_1_1, "c").await;
}

/// `[MQTT-3.1.3-6]` `[MQTT-3.1.3-7]` `[MQTT-3.2.2-16]`
#[tokio::test]
async fn an_empty_client_id_is_replaced_by_a_unique_one() {
    let broker = Broker::start().await.unwrap();
    let mut ids = Vec::new();
    let mut clients = Vec::new();
    for _ in 0..2 {
        let mut client = Peer::client(broker.connect_memory(), Version::V5);
        client.send(connect("")).await;
        let Packet::ConnAck(connack) = client.expect_any().await else { panic!("no CONNACK") };
        ids.push(connack.properties.view().assigned_client_identifier().unwrap().to_owned());
        clients.push(client);
    }
    assert_ne!(ids[0], ids[1]);
    assert!(broker.is_connected(&ids[0]) && broker.is_connected(&ids[1]));
}

/// `[MQTT-3.1.3-6/3.1.1]` `[MQTT-3.1.3-8/3.1.1]` `[31-2]`
#[tokio::test]
async fn client_ids_before_5_follow_their_own_rules() {
    let broker = Broker::start().await.unwrap();
    let id_of = |chars: usize| "i".repeat(chars);
    for (version, id, clean_start, accepted) in [
        (Version::V3_1_1, id_of(0), true, true),
        (Version::V3_1_1, id_of(0), false, false),
        (Version::V3_1_1, id_of(1000), false, true),
        (Version::V3_1, id_of(0), true, false),
        (Version::V3_1, id_of(23), true, true),
        (Version::V3_1, id_of(24), true, false),
    ] {
        let mut client = Peer::client(broker.connect_memory(), version);
        // The codec refuses an empty identifier where the version does; the bytes do not.
        let name =
            if version == Version::V3_1 { "00 06 4D 51 49 73 64 70 03" } else { "00 04 4D 51 54 54 04" };
        let id_hex: String = id.bytes().map(|byte| format!("{byte:02X}")).collect();
        let body = format!("{name} {:02X} 00 00 {:04X} {id_hex}", u8::from(clean_start) << 1, id.len());
        let len = body.replace(' ', "").len() / 2;
        let len = if len < 128 {
            format!("{len:02X}")
        } else {
            format!("{:02X} {:02X}", (len % 128) | 128, len / 128)
        };
        client.send_hex(&format!("10 {len} {body}")).await;
        client.expect_hex(if accepted { "20 02 00 00" } else { "20 02 00 02" }).await;
    }
}

#[tokio::test]
async fn credentials_are_checked_if_there_are_users() {
    let broker = Broker::builder().user("ann", "secret").user("bob", "").start().await.unwrap();
    let with = |name: &str, password: &str| Connect {
        username: Some(Text::try_from(name).unwrap()),
        password: Some(Bytes::copy_from_slice(password.as_bytes())),
        ..connect("c")
    };
    for version in VERSIONS {
        enter(&broker, version, with("ann", "secret")).await;
        enter(&broker, version, with("bob", "")).await;
        for wrong in [with("ann", "wrong"), with("eve", "secret"), with("bob", "x"), connect("c")] {
            let mut client = Peer::client(broker.connect_memory(), version);
            client.send(wrong).await;
            client.expect(refusal(ReasonCode::BAD_USER_NAME_OR_PASSWORD)).await;
            client.expect_end().await;
        }
    }
}

/// `[MQTT-4.12.0-1]`
#[tokio::test]
async fn enhanced_authentication_is_refused() {
    let broker = Broker::start().await.unwrap();
    let mut client = Peer::client(broker.connect_memory(), Version::V5);
    let properties = properties(|p| p.authentication_method("SCRAM-SHA-256"));
    client.send(Connect { properties, ..connect("c") }).await;
    client.expect(refusal(ReasonCode::BAD_AUTHENTICATION_METHOD)).await;
    client.expect_end().await;
}

/// `[MQTT-3.1.4-3]`
#[tokio::test]
async fn a_second_connection_takes_the_session_over() {
    let broker = Broker::start().await.unwrap();
    let mut first = v5(&broker, "c").await;
    let mut second = client(&broker, Version::V3_1_1, "c").await;
    first.expect(disconnect(ReasonCode::SESSION_TAKEN_OVER)).await;
    first.expect_end().await;
    let mut third = v5(&broker, "c").await;
    second.expect_end().await;
    third.send(pingreq()).await;
    third.expect(pingresp()).await;
    assert!(broker.is_connected("c"));
    assert_eq!(broker.connections(), 3);
}

/// `[MQTT-3.1.0-1]`
#[tokio::test]
async fn what_does_not_begin_with_connect_is_closed() {
    let broker = Broker::start().await.unwrap();
    for bytes in ["C0 00", "30 03 00 01 61", "47 45 54 20 2F"] {
        let mut client = Peer::client(broker.connect_memory(), Version::V5);
        client.send_hex(bytes).await;
        client.expect_end().await;
    }
}

/// `[MQTT-3.1.0-2]` `[MQTT-4.13.1-1]`: a 5.0 client is told why, others are not.
#[tokio::test]
async fn broken_packets_end_the_connection() {
    let broker = Broker::start().await.unwrap();
    for (bytes, reason) in [
        ("36 05 00 01 61 00 01", ReasonCode::MALFORMED_PACKET), // QoS 3
        ("D0 00", ReasonCode::PROTOCOL_ERROR),                  // PINGRESP
        ("82 06 00 01 00 00 00 00", ReasonCode::PROTOCOL_ERROR), // an empty filter
        ("82 08 00 01 00 00 02 23 61 00", ReasonCode::TOPIC_FILTER_INVALID), // "#a"
        ("30 04 00 01 2B 00", ReasonCode::TOPIC_NAME_INVALID),  // to "+"
        ("32 06 00 01 61 00 00 00", ReasonCode::PROTOCOL_ERROR), // identifier 0
        ("F0 00", ReasonCode::PROTOCOL_ERROR),                  // AUTH out of place
    ] {
        let mut client = v5(&broker, "c").await;
        client.send_hex(bytes).await;
        client.expect(disconnect(reason)).await;
        client.expect_end().await;
        let mut client = self::client(&broker, Version::V3_1_1, "c").await;
        client.send_hex(bytes).await;
        client.expect_end().await;
    }
    let mut client = v5(&broker, "c").await;
    client.send(connect("c")).await;
    client.expect(disconnect(ReasonCode::PROTOCOL_ERROR)).await;
    client.expect_end().await;
}

/// What was accepted before the fault is still acknowledged.
#[tokio::test]
async fn answers_come_before_the_end() {
    let broker = Broker::start().await.unwrap();
    for version in VERSIONS {
        let mut client = client(&broker, version, "c").await;
        client.send(subscribe(1, [("t", QoS::AtMostOnce)])).await;
        client.expect_any().await;
        let empty_properties = if version.is_v5() { "00" } else { "" };
        client
            .send_hex(&format!(
                "32 {:02X} 00 01 74 00 07 {empty_properties} 00 00",
                5 + empty_properties.len() / 2
            ))
            .await;
        client.expect(puback(7)).await;
        if version.is_v5() {
            client.expect(disconnect(ReasonCode::MALFORMED_PACKET)).await;
        }
        client.expect_end().await;
    }
}

#[tokio::test]
async fn a_connect_that_comes_byte_by_byte_is_understood() {
    let broker = Broker::start().await.unwrap();
    let mut client = Peer::client(broker.connect_memory(), Version::V3_1_1);
    for byte in ["10", "0D", "00", "04", "4D", "51", "54", "54", "04", "02", "00", "00", "00", "01", "63"] {
        client.send_hex(byte).await;
        tokio::task::yield_now().await;
    }
    client.expect(connack()).await;
}
