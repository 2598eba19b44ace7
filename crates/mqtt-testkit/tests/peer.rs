//! The scripted peer: it says what it should, and fails where and as it should.

use core::panic::AssertUnwindSafe;
use core::pin::Pin;
use core::time::Duration;
use mqtt_codec::{Packet, QoS, ReasonCode, Version};
use mqtt_testkit::packets::{
    IntoPacket, connack, connect, disconnect, pingreq, pingresp, puback, puback_with, publish, suback,
    subscribe,
};
use mqtt_testkit::peer::{Peer, PeerListener};
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};

/// A server and a client that have met.
async fn met(version: Version) -> (Peer<DuplexStream>, Peer<DuplexStream>) {
    let (mut server, stream) = Peer::server_in_memory();
    let mut client = Peer::client(stream, version);
    client.send(connect("c")).await;
    server.expect(connect("c")).await;
    assert_eq!(server.version(), version);
    server.send(connack()).await;
    client.expect(connack()).await;
    (server, client)
}

/// Runs what should fail, and returns the text of the panic.
async fn failure<T>(play: impl Future<Output = T>) -> String {
    struct CatchUnwind<F>(Pin<Box<F>>);
    impl<F: Future> Future for CatchUnwind<F> {
        type Output = Result<F::Output, Box<dyn core::any::Any + Send>>;
        fn poll(
            mut self: Pin<&mut Self>,
            cx: &mut core::task::Context<'_>,
        ) -> core::task::Poll<Self::Output> {
            match std::panic::catch_unwind(AssertUnwindSafe(|| self.0.as_mut().poll(cx))) {
                Ok(poll) => poll.map(Ok),
                Err(panic) => core::task::Poll::Ready(Err(panic)),
            }
        }
    }
    let Err(panic) = CatchUnwind(Box::pin(play)).await else { panic!("it did not fail") };
    *panic.downcast::<String>().expect("a panic with a text")
}

#[tokio::test]
async fn a_play_in_each_version() {
    for version in [Version::V3_1, Version::V3_1_1, Version::V5] {
        let (mut server, mut client) = met(version).await;
        client.send(subscribe(1, [("t", QoS::AtLeastOnce)])).await;
        server.expect(subscribe(1, [("t", QoS::AtLeastOnce)])).await;
        server.send(suback(1, &[ReasonCode::GRANTED_QOS_1])).await;
        server.send(publish("t", "x").qos1(9).dup().retain()).await;
        client.expect(suback(1, &[ReasonCode::GRANTED_QOS_1])).await;
        client.expect(publish("t", "x").qos1(9).dup().retain()).await;
        client.send(puback(9)).await;
        let ack = server.expect_any().await;
        assert_eq!(ack, puback(9));
        drop(client);
        server.expect_end().await;
    }
}

#[tokio::test]
async fn raw_bytes_both_ways() {
    let (mut server, stream) = Peer::server_in_memory();
    let mut client = Peer::client(stream, Version::V3_1_1);
    client.send_hex("10 0D 0004 4D515454 04 02 0000 0001 63").await;
    server.expect(connect("c")).await;
    server.send_bytes(&[0x20, 2]).await;
    server.send_hex("00 05").await;
    client.expect_hex("20 02 00 05").await;
}

#[tokio::test]
async fn a_listener_accepts_clients() {
    let listener = PeerListener::bind().await.unwrap();
    assert_eq!(listener.url(), format!("mqtt://127.0.0.1:{}", listener.addr().port()));
    let mut client = Peer::connect(listener.addr(), Version::V5).await;
    let mut server = listener.accept().await;
    client.send(connect("c")).await;
    assert_eq!(&*server.expect_connect().await.client_id, "c");
    server.send(publish("t", "x")).await;
    assert_eq!(client.expect_publish().await.topic(), "t");
}

#[tokio::test]
async fn any_order_is_still_each_once() {
    let (mut server, mut client) = met(Version::V5).await;
    for id in [3, 1, 2] {
        client.send(puback(id)).await;
    }
    server.expect_in_any_order([puback(1), puback(2), puback(3)]).await;
    client.send(puback(1)).await;
    client.send(puback(1)).await;
    let text = failure(server.expect_in_any_order([puback(1), puback(2)])).await;
    assert!(text.contains("expects one of\n    PUBACK id=2 reason=(0x00 success) properties=[]\nbut this came\n    PUBACK id=1 "), "{text}");
}

#[tokio::test]
async fn a_wrong_packet_is_shown_beside_the_expected_one() {
    let (mut server, mut client) = met(Version::V5).await;
    client.send(puback_with(2, ReasonCode::QUOTA_EXCEEDED)).await;
    let text = failure(server.expect(puback(1))).await;
    let shown = "the script expects\n    PUBACK id=1 reason=(0x00 success) properties=[]\n\
                 but this came\n    PUBACK id=2 reason=(0x97 quota exceeded) properties=[]\n\
                 they differ in\n    id: expected 1, came 2\n    reason: expected (0x00 success), came (0x97 quota exceeded)\n\
                 the play so far\n    <- CONNECT client_id=\"c\" clean_start=true ";
    assert!(text.contains(shown), "{text}");
    assert!(text.contains("tests/peer.rs:"), "{text}");
    assert!(
        text.ends_with("    -> CONNACK session_present=false reason=(0x00 success) properties=[]\n"),
        "{text}"
    );

    client.send(pingreq()).await;
    let text = failure(server.expect(puback(1))).await;
    assert!(text.contains("the type: expected PUBACK, came PINGREQ"), "{text}");
}

/// What the text cuts short is compared all the same.
#[tokio::test]
async fn payloads_are_compared_to_the_last_byte() {
    let (mut server, mut client) = met(Version::V5).await;
    let mut payload = vec![b'x'; 50_000];
    client.send(publish("t", payload.clone())).await;
    server.expect(publish("t", payload.clone())).await;
    client.send(publish("t", payload.clone())).await;
    payload[49_999] = b'y';
    let text = failure(server.expect(publish("t", payload))).await;
    assert!(text.contains("they differ in\n    the payload, from byte 49999 on"), "{text}");
    assert!(text.contains("(50000 bytes)") && text.len() < 2_000, "{text}");
}

#[tokio::test]
async fn every_field_is_compared() {
    let (mut server, mut client) = met(Version::V5).await;
    let base = || publish("t", "x").qos1(1);
    let with_property = mqtt_codec::PropertiesBuf::builder().content_type("a").build().unwrap();
    for (other, field) in [
        (publish("u", "x").qos1(1), "topic: "),
        (publish("t", "y").qos1(1), "payload: "),
        (publish("t", "x").qos1(2), "id: "),
        (publish("t", "x").qos2(1), "qos: "),
        (base().dup(), "dup: "),
        (base().retain(), "retain: "),
        (base().properties(with_property), "properties: expected [], came [ContentType(\"a\")]"),
    ] {
        client.send(other).await;
        let text = failure(server.expect(base())).await;
        assert!(text.contains(&format!("they differ in\n    {field}")), "{text}");
    }
}

#[tokio::test(start_paused = true)]
async fn nothing_coming_is_a_failure() {
    let (mut server, _client) = met(Version::V5).await;
    let text = failure(server.expect(pingreq())).await;
    assert!(text.contains("the script expects\n    PINGREQ\nbut nothing came for 5s"), "{text}");
    let mut server = server.with_patience(Duration::from_secs(1));
    let text = failure(server.expect_that("a miracle", |_| true)).await;
    assert!(text.contains("a miracle\nbut nothing came for 1s"), "{text}");
}

#[tokio::test(start_paused = true)]
async fn an_end_is_told_from_silence() {
    let (mut server, client) = met(Version::V5).await;
    server.expect_silence(Duration::from_millis(1)).await;
    drop(client);
    let text = failure(server.expect_silence(Duration::from_secs(1))).await;
    assert!(text.contains("expects silence\nbut this came\n    (closed)"), "{text}");
    let text = failure(server.expect(pingreq())).await;
    assert!(text.contains("PINGREQ\nbut the other side closed"), "{text}");
    let text = failure(server.send(pingresp())).await;
    assert!(text.contains("the script sends\n    D0 00\nbut "), "{text}");
    server.expect_end().await;
}

#[tokio::test(start_paused = true)]
async fn something_is_told_from_silence_and_end() {
    let (mut server, mut client) = met(Version::V5).await;
    client.send(pingreq()).await;
    let text = failure(server.expect_silence(Duration::from_secs(1))).await;
    assert!(text.contains("expects silence\nbut this came\n    PINGREQ"), "{text}");
    let text = failure(server.expect_end()).await;
    assert!(text.contains("the stream is still open after 5s"), "{text}");
    client.send(disconnect(ReasonCode::NORMAL_DISCONNECTION)).await;
    let text = failure(server.expect_end()).await;
    assert!(text.contains("expects the end of the stream\nbut this came\n    DISCONNECT"), "{text}");
    client.send(pingreq()).await;
    let text = failure(server.expect_hex("C0 01")).await;
    assert!(text.contains("expects\n    C0 01\nbut this came\n    C0 00"), "{text}");
}

#[tokio::test]
async fn broken_bytes_are_shown() {
    let (mut server, mut client) = met(Version::V5).await;
    client.send_hex("36 05 00 01 61 00 01").await;
    let text = failure(server.expect(pingreq())).await;
    assert!(
        text.contains("but no packet came: PUBLISH, fixed header: QoS 3 does not exist\n    36 05 00"),
        "{text}"
    );
}

#[tokio::test]
async fn a_packet_that_the_version_does_not_have_cannot_be_sent() {
    let (mut server, _client) = met(Version::V3_1_1).await;
    let text = failure(server.send(disconnect(ReasonCode::SERVER_BUSY))).await;
    assert!(text.contains("the script cannot send DISCONNECT reason=(0x89 server busy)"), "{text}");
}

#[tokio::test]
async fn a_peer_takes_what_is_for_it_only() {
    let (server, mut client) = met(Version::V5).await;
    server.into_stream().write_all(&[0xC0, 0]).await.unwrap();
    let text = failure(client.expect(pingreq())).await;
    assert!(
        text.contains("no packet came: PINGREQ, fixed header: the packet type is not expected here"),
        "{text}"
    );
}

/// A play of any length does not fill the memory, and the last lines are there.
#[tokio::test]
async fn the_play_is_remembered_in_part() {
    let (mut server, mut client) = met(Version::V5).await;
    for id in 1..=500 {
        client.send(puback(id)).await;
        server.expect(puback(id)).await;
    }
    assert_eq!(server.play().lines().count(), 100);
    assert!(server.play().ends_with("<- PUBACK id=500 reason=(0x00 success) properties=[]"));
}

#[tokio::test]
async fn the_stream_can_be_taken_back() {
    let (server, client) = met(Version::V5).await;
    let (mut one, mut other) = (server.into_stream(), client.into_stream());
    one.write_all(b"x").await.unwrap();
    let mut byte = [0];
    other.read_exact(&mut byte).await.unwrap();
    assert_eq!(&byte, b"x");
}

#[test]
fn things_become_packets() {
    assert!(matches!(connect("c").into_packet(), Packet::Connect(_)));
    assert!(matches!(connack().into_packet(), Packet::ConnAck(_)));
    assert!(matches!(publish("t", "").into_packet(), Packet::Publish(_)));
}
