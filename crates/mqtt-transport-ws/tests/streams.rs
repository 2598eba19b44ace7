//! Bytes over frames: how they are cut does not matter, nothing is held back, and the request says what it should.

use bytes::Bytes;
use core::sync::atomic::{AtomicU32, Ordering};
use futures_util::{SinkExt, StreamExt};
use mqtt_transport::{BoxTransport, Connect, Tcp};
use mqtt_transport_ws::{WebSocket, WebSocketOptions};
use std::io::IoSlice;
use std::sync::Arc;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::handshake::server::{Request, Response};
use tokio_tungstenite::tungstenite::http::HeaderValue;
use tokio_tungstenite::tungstenite::protocol::frame::Frame;
use tokio_tungstenite::tungstenite::protocol::frame::coding::{Data, OpCode};

type Server = WebSocketStream<TcpStream>;

async fn listen(options: WebSocketOptions) -> (TcpListener, WebSocket<Tcp>) {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let url = format!("ws://127.0.0.1:{port}/mqtt?site=north");
    (listener, WebSocket::new(Tcp::new("127.0.0.1", port), &url, options).unwrap())
}

/// Accepts with the subprotocol, and hands out the request.
#[expect(clippy::result_large_err, reason = "the callback's type is tungstenite's")]
async fn accept(listener: &TcpListener, chosen: &'static str) -> (Server, Request) {
    let (stream, _) = listener.accept().await.unwrap();
    let mut seen = None;
    let choose = |request: &Request, mut response: Response| {
        seen = Some(request.clone());
        response.headers_mut().insert("Sec-WebSocket-Protocol", HeaderValue::from_static(chosen));
        Ok(response)
    };
    let socket = tokio_tungstenite::accept_hdr_async(stream, choose).await.unwrap();
    (socket, seen.unwrap())
}

async fn connected() -> (BoxTransport, Server) {
    let (listener, connector) = listen(WebSocketOptions::new()).await;
    let (client, (server, _)) = tokio::join!(connector.connect(), accept(&listener, "mqtt"));
    (client.unwrap(), server)
}

/// [MQTT-6.0.0-3] [MQTT-6.0.0-3/3.1.1] [MQTT-6.0.0-4] [MQTT-6.0.0-4/3.1.1]: path, query, subprotocol and headers.
#[tokio::test]
async fn the_request_says_what_was_asked_for() {
    let options = WebSocketOptions::new().header("X-Tenant", "kitchen").bearer_token("abc");
    let (listener, connector) = listen(options).await;
    let (client, (_, request)) = tokio::join!(connector.connect(), accept(&listener, "mqtt"));
    client.unwrap();
    assert_eq!(request.uri().path_and_query().unwrap(), "/mqtt?site=north");
    let header = |name: &str| request.headers()[name].to_str().unwrap();
    assert_eq!(header("sec-websocket-protocol"), "mqtt");
    assert_eq!(header("x-tenant"), "kitchen");
    assert_eq!(header("authorization"), "Bearer abc");
    assert_eq!(header("host"), format!("127.0.0.1:{}", listener.local_addr().unwrap().port()));
    assert!(!request.headers().contains_key("sec-websocket-extensions"), "no compression");
}

/// [31-25]: servers of 3.1 know another name.
#[tokio::test]
async fn other_subprotocols_can_be_offered() {
    let options = WebSocketOptions::new().subprotocols(["mqttv3.1", "mqtt"]);
    let (listener, connector) = listen(options).await;
    let (client, (_, request)) = tokio::join!(connector.connect(), accept(&listener, "mqttv3.1"));
    client.unwrap();
    assert_eq!(request.headers()["sec-websocket-protocol"], "mqttv3.1, mqtt");
}

#[tokio::test]
async fn a_provider_is_asked_for_its_token_at_each_connection() {
    let asked = Arc::new(AtomicU32::new(0));
    let counter = asked.clone();
    let options =
        WebSocketOptions::new().bearer_token_from(move || {
            let number = counter.fetch_add(1, Ordering::Relaxed);
            async move {
                if number < 2 { Ok(format!("t{number}")) } else { Err(std::io::ErrorKind::TimedOut.into()) }
            }
        });
    let (listener, connector) = listen(options).await;
    for expected in ["Bearer t0", "Bearer t1"] {
        let (client, (_, request)) = tokio::join!(connector.connect(), accept(&listener, "mqtt"));
        client.unwrap();
        assert_eq!(request.headers()["authorization"], expected);
    }
    let failed = connector.connect().await.err().unwrap();
    assert_eq!(failed.kind(), std::io::ErrorKind::TimedOut);
}

/// [MQTT-6.0.0-2] [MQTT-6.0.0-2/3.1.1]: many packets in a frame, a packet over many frames, frames in fragments, empty
/// frames and pings between them: what is read is the bytes.
#[tokio::test]
async fn frames_and_packets_need_not_line_up() {
    let (mut client, mut server) = connected().await;
    let fragment = |bytes: &'static [u8], code: Data, last| {
        Message::Frame(Frame::message(Bytes::from_static(bytes), OpCode::Data(code), last))
    };
    for message in [
        Message::binary(&b"\xD0\x00\xD0\x00"[..]),
        Message::binary(&b"\xD0"[..]),
        Message::binary(&b""[..]),
        Message::Ping(Bytes::from_static(b"there?")),
        Message::binary(&b"\x00"[..]),
        fragment(b"\x40", Data::Binary, false),
        fragment(b"\x02\x00", Data::Continue, false),
        fragment(b"\x07", Data::Continue, true),
    ] {
        server.send(message).await.unwrap();
    }
    let mut heard = [0; 10];
    client.read_exact(&mut heard).await.unwrap();
    assert_eq!(heard, *b"\xD0\x00\xD0\x00\xD0\x00\x40\x02\x00\x07");
    // The ping is answered, by the library below, with the next look.
    client.write_all(b"x").await.unwrap();
    client.flush().await.unwrap();
    assert_eq!(server.next().await.unwrap().unwrap(), Message::Pong(Bytes::from_static(b"there?")));
    assert_eq!(server.next().await.unwrap().unwrap(), Message::binary(&b"x"[..]));
}

/// [MQTT-6.0.0-1] [MQTT-6.0.0-1/3.1.1]: what we send is binary frames; small pieces share one.
#[tokio::test]
async fn pieces_of_one_write_share_a_frame() {
    let (mut client, mut server) = connected().await;
    assert!(client.is_write_vectored());
    let pieces = [IoSlice::new(b"ab"), IoSlice::new(b""), IoSlice::new(b"cd")];
    assert_eq!(client.write_vectored(&pieces).await.unwrap(), 4);
    client.flush().await.unwrap();
    assert_eq!(server.next().await.unwrap().unwrap(), Message::binary(&b"abcd"[..]));
}

/// Trap 14: after a flush the last byte is on its way, without another packet to push it.
#[tokio::test]
async fn the_tail_of_a_large_payload_arrives() {
    for size in [64 * 1024, 10 * 1024 * 1024] {
        let (mut client, mut server) = connected().await;
        let payload: Vec<u8> = (0..size).map(|at: usize| at.to_le_bytes()[0]).collect();
        let expected = payload.clone();
        let receiver = tokio::spawn(async move {
            let mut heard = Vec::with_capacity(expected.len());
            while heard.len() < expected.len() {
                heard.extend_from_slice(&server.next().await.unwrap().unwrap().into_data());
            }
            assert!(heard == expected);
            server
        });
        client.write_all(&payload).await.unwrap();
        client.flush().await.unwrap();
        let mut server = receiver.await.unwrap();
        // And the other way.
        let back = payload.clone();
        let sender = tokio::spawn(async move { server.send(Message::binary(back)).await.map(|()| server) });
        let mut heard = vec![0; size];
        client.read_exact(&mut heard).await.unwrap();
        assert!(heard == payload);
        sender.await.unwrap().unwrap();
    }
}

/// A goodbye says goodbye to the WebSocket too.
#[tokio::test]
async fn shutting_down_sends_a_closing_frame() {
    let (mut client, mut server) = connected().await;
    client.write_all(b"\xE0\x00").await.unwrap();
    let closing = tokio::spawn(async move { client.shutdown().await });
    assert_eq!(server.next().await.unwrap().unwrap(), Message::binary(&b"\xE0\x00"[..]));
    assert!(matches!(server.next().await, Some(Ok(Message::Close(_)))));
    while server.next().await.is_some() {}
    closing.await.unwrap().unwrap();
}

/// Most servers put each packet into a frame of its own: one read takes all that have come.
#[tokio::test]
async fn one_read_takes_many_frames() {
    let (mut client, mut server) = connected().await;
    for packet in 0..50 {
        server.feed(Message::binary(vec![packet; 4])).await.unwrap();
    }
    server.flush().await.unwrap();
    let mut heard = [0; 1000];
    assert_eq!(client.read(&mut heard).await.unwrap(), 200);
    assert_eq!(heard[196..200], [49; 4]);
}
