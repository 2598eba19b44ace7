//! Keep alive, on a paused clock.

use super::*;
use core::time::Duration;
use mqtt_testkit::packets::{pingreq, pingresp};

/// `[MQTT-3.1.2-22]`
#[tokio::test(start_paused = true)]
async fn silence_of_one_and_a_half_keep_alives_ends_the_connection() {
    let broker = Broker::start().await.unwrap();
    for version in VERSIONS {
        let (mut client, _) = enter(&broker, version, Connect { keep_alive: 10, ..connect("c") }).await;
        for _ in 0..3 {
            client.expect_silence(Duration::from_secs(14)).await;
            client.send(pingreq()).await;
            client.expect(pingresp()).await;
        }
        client.expect_silence(Duration::from_millis(14_990)).await;
        assert!(broker.is_connected("c"));
        if version.is_v5() {
            client.expect(disconnect(ReasonCode::KEEP_ALIVE_TIMEOUT)).await;
        }
        client.expect_end().await;
        assert!(!broker.is_connected("c"));
    }
}

#[tokio::test(start_paused = true)]
async fn keep_alive_0_is_off() {
    let broker = Broker::start().await.unwrap();
    let mut client = v5(&broker, "c").await;
    client.expect_silence(Duration::from_secs(100_000)).await;
    client.send(pingreq()).await;
    client.expect(pingresp()).await;
}

/// `[MQTT-3.2.2-22]`: the server's value replaces the client's, in 5.0 only.
#[tokio::test(start_paused = true)]
async fn the_server_can_name_the_keep_alive() {
    let broker = Broker::builder().server_keep_alive(4).start().await.unwrap();
    let mut client = Peer::client(broker.connect_memory(), Version::V5);
    client.send(Connect { keep_alive: 1000, ..connect("c") }).await;
    let Packet::ConnAck(connack) = client.expect_any().await else { panic!("no CONNACK") };
    assert_eq!(connack.properties.view().server_keep_alive(), Some(4));
    client.expect_silence(Duration::from_millis(5_990)).await;
    client.expect(disconnect(ReasonCode::KEEP_ALIVE_TIMEOUT)).await;

    let (mut client, _) = enter(&broker, Version::V3_1_1, Connect { keep_alive: 1000, ..connect("c") }).await;
    client.expect_silence(Duration::from_secs(1_400)).await;
}
