//! What goes wrong, each with a kind and words of its own. Real sockets, a server of tungstenite or one that writes HTTP
//! by hand.

use futures_util::SinkExt;
use mqtt_transport::{BoxTransport, Connect, Tcp};
use mqtt_transport_ws::{WebSocket, WebSocketError, WebSocketOptions};
use std::io::{self, ErrorKind};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::handshake::server::{Request, Response};
use tokio_tungstenite::tungstenite::http::HeaderValue;
use tokio_tungstenite::tungstenite::protocol::CloseFrame;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;

async fn listen() -> (TcpListener, WebSocket<Tcp>) {
    listen_with(WebSocketOptions::new()).await
}

async fn listen_with(options: WebSocketOptions) -> (TcpListener, WebSocket<Tcp>) {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let url = format!("ws://127.0.0.1:{port}/mqtt");
    (listener, WebSocket::new(Tcp::new("127.0.0.1", port), &url, options).unwrap())
}

/// A server that answers the request with these words.
async fn answered_with(words: &'static str) -> io::Error {
    let (listener, connector) = listen().await;
    let server = async {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut request = [0; 4096];
        assert!(stream.read(&mut request).await.unwrap() > 0);
        stream.write_all(words.as_bytes()).await.unwrap();
    };
    let (opened, ()) = tokio::join!(connector.connect(), server);
    opened.err().unwrap()
}

fn reason(error: &io::Error) -> &WebSocketError {
    error.get_ref().and_then(|inner| inner.downcast_ref()).unwrap_or_else(|| panic!("{error}"))
}

#[tokio::test]
async fn a_status_other_than_101_is_named() {
    for (answer, status, kind) in [
        ("HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\n\r\n", 401, ErrorKind::PermissionDenied),
        ("HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n", 403, ErrorKind::PermissionDenied),
        ("HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n", 404, ErrorKind::InvalidInput),
        ("HTTP/1.1 429 Too Many Requests\r\nContent-Length: 0\r\n\r\n", 429, ErrorKind::ConnectionRefused),
        ("HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n", 503, ErrorKind::ConnectionRefused),
    ] {
        let error = answered_with(answer).await;
        assert_eq!(error.kind(), kind, "{error}");
        assert!(
            matches!(reason(&error), WebSocketError::Refused(said) if said.as_u16() == status),
            "{error}"
        );
        assert!(error.to_string().contains(&status.to_string()), "{error}");
    }
}

#[tokio::test]
async fn what_is_no_websocket_server_is_said_to_be_none() {
    for answer in ["\x20\x02\x00\x01 this is MQTT\r\n\r\n", "HTTP/1.1 101 Switching Protocols\r\n\r\n"] {
        let error = answered_with(answer).await;
        assert_eq!(error.kind(), ErrorKind::InvalidData, "{error}");
        assert!(matches!(reason(&error), WebSocketError::NotWebSocket(_)), "{error}");
    }
}

/// The alerts of openssl and of rustls, and a ServerHello.
#[tokio::test]
async fn a_server_of_tls_is_said_to_be_one() {
    for answer in ["\x15\x03\x01\x00\x02\x02\x46", "\x15\x03\x03\x00\x02\x02\x0a", "\x16\x03\x03\x00\x2a\x02"]
    {
        let error = answered_with(answer).await;
        assert_eq!(*reason(&error), WebSocketError::SpeaksTls);
        assert_eq!(error.kind(), ErrorKind::InvalidInput, "it does not pass by itself");
        assert!(error.to_string().contains("wss://"), "{error}");
    }
}

/// A server that does not read what it was asked resets the connection by closing it.
#[tokio::test]
async fn a_reset_without_an_answer_is_the_same_as_a_close() {
    let (listener, connector) = listen().await;
    let server = async {
        let (stream, _) = listener.accept().await.unwrap();
        stream.readable().await.unwrap();
    };
    let (opened, ()) = tokio::join!(connector.connect(), server);
    let error = opened.err().unwrap();
    assert_eq!(*reason(&error), WebSocketError::HandshakeClosed, "{error}");
}

/// As one does that restarts, or that waits for TLS.
#[tokio::test]
async fn a_server_that_closes_without_an_answer_may_come_back() {
    let error = answered_with("").await;
    assert_eq!(error.kind(), ErrorKind::UnexpectedEof, "{error}");
    assert_eq!(*reason(&error), WebSocketError::HandshakeClosed);
}

/// [MQTT-6.0.0-4]: without the subprotocol, or with another one, there is no connection.
#[tokio::test]
async fn a_server_must_choose_the_subprotocol() {
    for chosen in [None, Some("chat")] {
        let (listener, connector) = listen().await;
        let server = async { accept(&listener, chosen).await.map(drop) };
        let (opened, _) = tokio::join!(connector.connect(), server);
        let error = opened.err().unwrap();
        assert_eq!(*reason(&error), WebSocketError::Subprotocol, "{chosen:?}: {error}");
        assert_eq!(error.kind(), ErrorKind::Unsupported);
    }
}

#[expect(clippy::result_large_err, reason = "the callback's type is tungstenite's")]
async fn accept(
    listener: &TcpListener,
    chosen: Option<&'static str>,
) -> Result<WebSocketStream<TcpStream>, tokio_tungstenite::tungstenite::Error> {
    let (stream, _) = listener.accept().await.unwrap();
    let choose = |_: &Request, mut response: Response| {
        if let Some(chosen) = chosen {
            response.headers_mut().insert("Sec-WebSocket-Protocol", HeaderValue::from_static(chosen));
        }
        Ok(response)
    };
    tokio_tungstenite::accept_hdr_async(stream, choose).await
}

/// An open connection on which the server says these messages.
async fn told(connector: WebSocket<Tcp>, listener: TcpListener, messages: Vec<Message>) -> BoxTransport {
    let server = async {
        let mut socket = accept(&listener, Some("mqtt")).await.unwrap();
        for message in messages {
            socket.send(message).await.unwrap();
        }
        // The client closes.
        tokio::spawn(async move { while futures_util::StreamExt::next(&mut socket).await.is_some() {} });
    };
    let (opened, ()) = tokio::join!(connector.connect(), server);
    opened.unwrap()
}

/// [MQTT-6.0.0-1] [MQTT-6.0.0-1/3.1.1]: text ends the connection; what came before it in binary frames is read.
#[tokio::test]
async fn text_is_an_error() {
    let (listener, connector) = listen().await;
    let messages = vec![Message::binary(&b"ab"[..]), Message::text("cd")];
    let mut stream = told(connector, listener, messages).await;
    let mut heard = Vec::new();
    let error = stream.read_to_end(&mut heard).await.unwrap_err();
    assert_eq!((heard.as_slice(), reason(&error)), (&b"ab"[..], &WebSocketError::NotBinary));
    assert_eq!(stream.read(&mut [0; 8]).await.unwrap(), 0, "and then it is over");
}

#[tokio::test]
async fn a_plain_closing_frame_is_the_end_and_another_an_error() {
    for (code, expected) in
        [(CloseCode::Normal, None), (CloseCode::Away, None), (CloseCode::Policy, Some(1008))]
    {
        let (listener, connector) = listen().await;
        let frame = CloseFrame { code, reason: "why".into() };
        let mut stream = told(connector, listener, vec![Message::Close(Some(frame))]).await;
        let ended = stream.read(&mut [0; 8]).await;
        match expected {
            None => assert_eq!(ended.unwrap(), 0),
            Some(code) => {
                let error = ended.unwrap_err();
                assert_eq!(error.kind(), ErrorKind::ConnectionAborted);
                assert_eq!(*reason(&error), WebSocketError::Closed { code, reason: "why".into() });
            }
        }
    }
}

#[tokio::test]
async fn a_huge_message_is_refused_by_its_size() {
    let (listener, connector) = listen_with(WebSocketOptions::new().max_message_size(1000)).await;
    let message = Message::binary(vec![0; 2000]);
    let mut stream = told(connector, listener, vec![message]).await;
    let error = stream.read(&mut [0; 8]).await.unwrap_err();
    assert!(matches!(reason(&error), WebSocketError::TooLarge { size: 2000.., limit: 1000 }), "{error}");
}

/// The server's process dies: no closing frame.
#[tokio::test]
async fn a_break_is_told_from_a_goodbye() {
    let (listener, connector) = listen().await;
    let server = async { drop(accept(&listener, Some("mqtt")).await.unwrap()) };
    let (opened, ()) = tokio::join!(connector.connect(), server);
    let error = opened.unwrap().read(&mut [0; 8]).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ConnectionReset, "{error}");
}

#[test]
fn what_cannot_be_asked_for_fails_at_once() {
    let socket = |url: &str, options| WebSocket::new(Tcp::new("host", 80), url, options);
    for url in ["", "host", "http://host/", "mqtt://host", "ws://", "ws:///path"] {
        let error = socket(url, WebSocketOptions::new()).err();
        assert_eq!(error, Some(WebSocketError::InvalidUrl(url.into())));
    }
    let url = "ws://host/mqtt?key=secret";
    for (name, value) in [("a b", "x"), ("x", "a\nb"), ("Host", "x"), ("sec-websocket-protocol", "x")] {
        let error = socket(url, WebSocketOptions::new().header(name, value)).err();
        assert_eq!(error, Some(WebSocketError::InvalidHeader(name.into())));
    }
    assert!(socket(url, WebSocketOptions::new().bearer_token("a\nb")).is_err());
    for names in [&[][..], &["a b"], &["mqtt", ""]] {
        let error = socket(url, WebSocketOptions::new().subprotocols(names.iter().copied())).err();
        assert!(matches!(error, Some(WebSocketError::InvalidSubprotocol(_))), "{names:?}");
    }
    let options = WebSocketOptions::new().bearer_token("secret");
    let shown = format!("{options:?} {:?}", socket(url, options.clone()).unwrap());
    assert!(!shown.contains("secret"), "{shown}");
}
