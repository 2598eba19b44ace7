//! Section 3.1.2.10: keep alive; sections 3.12 and 3.13: PINGREQ and PINGRESP.

use crate::support::{A_MOMENT, ALL, Server, connack_with, enqueue, failure, lost, pass, serve, soon};
use core::time::Duration;
use mqtt_client::{ConnectError, Outcome, PropertiesBuf, QoS, Version};
use mqtt_testkit::packets::{connack, connack_with_session, pingreq, pingresp, puback, publish};

const SECOND: Duration = Duration::from_secs(1);
const KEEP_ALIVE: Duration = Duration::from_secs(60);
/// How long the client waits for the answer to a ping.
const PING_TIMEOUT: Duration = Duration::from_secs(10);

/// Lets the client be silent for so long, after which it pings and not before. What comes from the server meanwhile
/// changes nothing.
async fn expect_ping_after(server: &mut Server, interval: Duration) {
    server.expect_nothing().await;
    pass(interval - SECOND).await;
    server.send(publish("chatter", "")).await;
    server.expect_silence(A_MOMENT).await;
    pass(SECOND).await;
    server.expect(pingreq()).await;
}

/// [MQTT-3.1.2-20] [MQTT-3.1.2-23/3.1.1] [31-15]: silence is filled with PINGREQ, whatever the server says meanwhile.
/// [MQTT-3.2.2-22]: at the client's own interval if the server names none.
#[tokio::test]
async fn what_the_server_says_does_not_keep_alive() {
    for version in ALL {
        let stage = serve(version).await;
        let (_client, mut server) = stage.meet_as(stage.options().keep_alive(KEEP_ALIVE), connack()).await;
        for _ in 0..3 {
            expect_ping_after(&mut server, KEEP_ALIVE).await;
            server.send(pingresp()).await;
        }
    }
}

/// [MQTT-3.1.2-20] [MQTT-3.1.2-23/3.1.1] [31-15]: whatever the client sends puts the ping off.
#[tokio::test]
async fn what_the_client_says_keeps_alive() {
    for version in ALL {
        let stage = serve(version).await;
        let (client, mut server) = stage.meet_as(stage.options().keep_alive(KEEP_ALIVE), connack()).await;
        for _ in 0..3 {
            pass(KEEP_ALIVE - SECOND).await;
            soon(client.publish("a", "x")).await.unwrap();
            server.expect(publish("a", "x")).await;
        }
        expect_ping_after(&mut server, KEEP_ALIVE).await;
    }
}

/// Keep alive 0 turns it off.
#[tokio::test]
async fn keep_alive_0_never_pings() {
    for version in ALL {
        let stage = serve(version).await;
        let (_client, mut server) = stage.meet().await;
        pass(Duration::from_secs(1_000_000)).await;
        server.expect_silence(A_MOMENT).await;
        server.expect_nothing().await;
    }
}

/// [MQTT-3.1.2-21] [MQTT-3.2.2-21]: the server's keep alive takes the place of the client's, shorter, longer or 0, on this
/// connection. [MQTT-3.2.2-22]: on the next one, without a word about it, the client's own holds again.
#[tokio::test]
async fn the_keep_alive_of_the_server_holds_for_one_connection() {
    let stage = serve(Version::V5).await;
    let named = |seconds| connack_with(PropertiesBuf::builder().server_keep_alive(seconds));
    let (client, mut server) = stage.meet_as(stage.options().keep_alive(KEEP_ALIVE), named(5)).await;
    assert_eq!(client.status().negotiated.unwrap().keep_alive, 5);
    expect_ping_after(&mut server, 5 * SECOND).await;
    drop(server);

    let mut server = stage.welcome(named(1000)).await;
    expect_ping_after(&mut server, 1000 * SECOND).await;
    drop(server);

    let mut server = stage.welcome(named(0)).await;
    server.expect_nothing().await;
    pass(1_000_000 * SECOND).await;
    server.expect_silence(A_MOMENT).await;
    drop(server);

    let mut server = stage.welcome(connack()).await;
    expect_ping_after(&mut server, KEEP_ALIVE).await;
}

/// [MQTT-3.1.2-21]: also where the client wanted none.
#[tokio::test]
async fn the_server_can_turn_keep_alive_on() {
    let stage = serve(Version::V5).await;
    let named = connack_with(PropertiesBuf::builder().server_keep_alive(1));
    let (_client, mut server) = stage.meet_as(stage.options(), named).await;
    expect_ping_after(&mut server, SECOND).await;
}

/// [MQTT-3.12.4-1] [MQTT-3.12.4-1/3.1.1] [5u-16] [311u-6] [31-14]: without PINGRESP the connection counts as dead: it is
/// closed without a word, and opened again. What was under way is sent again.
#[tokio::test]
async fn a_ping_without_an_answer_ends_the_connection() {
    for version in ALL {
        let stage = serve(version).await;
        let options = stage.resuming().keep_alive(KEEP_ALIVE);
        let (client, mut server) = stage.meet_as(options, connack()).await;
        let mut events = client.events();
        let delivery = enqueue(&client, "a", "1", QoS::AtLeastOnce).await;
        let id = server.expect_message().await;
        expect_ping_after(&mut server, KEEP_ALIVE).await;
        // Other packets are no answer.
        server.expect_nothing().await;
        pass(PING_TIMEOUT - SECOND).await;
        server.expect_silence(A_MOMENT).await;
        pass(SECOND).await;
        server.expect_end().await;
        let cause = lost(&mut events).await;
        assert!(matches!(cause, ConnectError::PingTimeout), "{cause:?}");

        let mut server = stage.welcome_back().await;
        server.expect(publish("a", "1").qos1(id).dup()).await;
        server.send(puback(id)).await;
        assert!(matches!(soon(delivery).await, Outcome::Acked { .. }), "{version}");
    }
}

/// [MQTT-3.12.4-1] [MQTT-3.12.4-1/3.1.1]: an answer that nobody asked for is ignored, and is none to a later question.
#[tokio::test]
async fn a_pingresp_that_nobody_asked_for_is_ignored() {
    for version in ALL {
        let stage = serve(version).await;
        let (client, mut server) = stage.meet_as(stage.once().keep_alive(KEEP_ALIVE), connack()).await;
        for _ in 0..3 {
            server.send_hex("D0 00").await;
        }
        expect_ping_after(&mut server, KEEP_ALIVE).await;
        pass(PING_TIMEOUT).await;
        server.expect_end().await;
        assert!(matches!(failure(&client).await, ConnectError::PingTimeout), "{version}");
    }
}

/// A session that is resumed resumes its keep alive from the start.
#[tokio::test]
async fn a_new_connection_counts_anew() {
    let stage = serve(Version::V5).await;
    let (_client, mut server) = stage.meet_as(stage.resuming().keep_alive(KEEP_ALIVE), connack()).await;
    expect_ping_after(&mut server, KEEP_ALIVE).await;
    drop(server);
    let mut server = stage.welcome(connack_with_session()).await;
    server.expect_silence(A_MOMENT).await;
    expect_ping_after(&mut server, KEEP_ALIVE).await;
}
