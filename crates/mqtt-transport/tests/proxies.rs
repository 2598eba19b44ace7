//! Through a proxy that lets us pass, refuses, wants credentials, or is none. Real sockets; the proxies are played.

#![cfg(feature = "proxy")]

use mqtt_transport::proxy::{HttpProxy, ProxyError, Socks5};
use mqtt_transport::{BoxTransport, Connect, Tcp};
use std::io::{self, ErrorKind};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

/// A proxy that expects and answers this, in turn, then says `MQTT` as the server would.
async fn played(steps: Vec<(Vec<u8>, Vec<u8>)>) -> u16 {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        for (expected, answer) in steps {
            let mut heard = vec![0; expected.len()];
            stream.read_exact(&mut heard).await.unwrap();
            assert_eq!(String::from_utf8_lossy(&heard), String::from_utf8_lossy(&expected));
            stream.write_all(&answer).await.unwrap();
        }
    });
    port
}

fn proxy(port: u16) -> Tcp {
    Tcp::new("127.0.0.1", port)
}

fn step(expected: &[u8], answer: &[u8]) -> (Vec<u8>, Vec<u8>) {
    (expected.to_vec(), answer.to_vec())
}

async fn hears(mut stream: BoxTransport) {
    let mut heard = [0; 4];
    stream.read_exact(&mut heard).await.unwrap();
    assert_eq!(heard, *b"MQTT");
}

fn reason(opened: io::Result<BoxTransport>) -> (ProxyError, ErrorKind) {
    let error = opened.err().expect("that it fails");
    let reason = error.get_ref().and_then(|inner| inner.downcast_ref::<ProxyError>());
    (reason.unwrap_or_else(|| panic!("{error:?}")).clone(), error.kind())
}

const SOCKS_TARGET: &[u8] = b"\x05\x01\x00\x03\x06broker\x07\x5B";
const SOCKS_OPEN: &[u8] = b"\x05\x00\x00\x01\x00\x00\x00\x00\x00\x00MQTT";

#[tokio::test]
async fn socks5_lets_through() {
    let port = played(vec![step(b"\x05\x01\x00", b"\x05\x00"), step(SOCKS_TARGET, SOCKS_OPEN)]).await;
    hears(Socks5::new(proxy(port), "broker", 1883).connect().await.unwrap()).await;
}

#[tokio::test]
async fn socks5_asks_for_credentials() {
    let password = step(b"\x01\x03ann\x03key", b"\x01\x00");
    let port =
        played(vec![step(b"\x05\x02\x00\x02", b"\x05\x02"), password, step(SOCKS_TARGET, SOCKS_OPEN)]).await;
    let connector = Socks5::new(proxy(port), "broker", 1883).credentials("ann", "key");
    hears(connector.connect().await.unwrap()).await;

    let port = played(vec![step(b"\x05\x01\x00", b"\x05\xFF")]).await;
    let opened = Socks5::new(proxy(port), "broker", 1883).connect().await;
    assert_eq!(reason(opened), (ProxyError::CredentialsRequired, ErrorKind::PermissionDenied));

    let password = step(b"\x01\x03ann\x03bad", b"\x01\x01");
    let port = played(vec![step(b"\x05\x02\x00\x02", b"\x05\x02"), password]).await;
    let opened = Socks5::new(proxy(port), "broker", 1883).credentials("ann", "bad").connect().await;
    assert_eq!(reason(opened), (ProxyError::CredentialsRefused, ErrorKind::PermissionDenied));
}

#[tokio::test]
async fn socks5_refuses_by_rule_or_by_need() {
    for (code, kind) in
        [(2, ErrorKind::PermissionDenied), (4, ErrorKind::HostUnreachable), (5, ErrorKind::HostUnreachable)]
    {
        let answer = [5, code, 0, 1, 0, 0, 0, 0, 0, 0];
        let port = played(vec![step(b"\x05\x01\x00", b"\x05\x00"), step(SOCKS_TARGET, &answer)]).await;
        let (error, said) = reason(Socks5::new(proxy(port), "broker", 1883).connect().await);
        assert_eq!(said, kind, "{error}");
    }
    let port = played(vec![step(b"\x05\x01\x00", b"HTTP/1.1 400\r\n")]).await;
    let (error, kind) = reason(Socks5::new(proxy(port), "broker", 1883).connect().await);
    assert!(matches!((&error, kind), (ProxyError::NotAProxy(_), ErrorKind::InvalidData)), "{error}");
}

const CONNECT: &str = "CONNECT broker:1883 HTTP/1.1\r\nHost: broker:1883\r\n";

#[tokio::test]
async fn http_lets_through_and_takes_no_byte_of_the_server() {
    let request = format!("{CONNECT}\r\n");
    let answer = b"HTTP/1.1 200 Connection established\r\nVia: test\r\n\r\nMQTT";
    let port = played(vec![step(request.as_bytes(), answer)]).await;
    hears(HttpProxy::new(proxy(port), "broker", 1883).connect().await.unwrap()).await;
    let answer = b"HTTP/1.1 200 OK\r\n\r\nMQTT";
    let port = played(vec![step(b"CONNECT [::1]:1883 HTTP/1.1\r\nHost: [::1]:1883\r\n\r\n", answer)]).await;
    hears(HttpProxy::new(proxy(port), "::1", 1883).connect().await.unwrap()).await;
}

#[tokio::test]
async fn http_asks_for_credentials() {
    let request = format!("{CONNECT}Proxy-Authorization: Basic YW5uOmtleQ==\r\n\r\n");
    let port = played(vec![step(request.as_bytes(), b"HTTP/1.1 200 OK\r\n\r\nMQTT")]).await;
    let connector = HttpProxy::new(proxy(port), "broker", 1883).credentials("ann", "key");
    assert!(!format!("{connector:?}").contains("key"));
    hears(connector.connect().await.unwrap()).await;
    for (credentials, expected) in
        [(None, ProxyError::CredentialsRequired), (Some("bad"), ProxyError::CredentialsRefused)]
    {
        let port = played(vec![step(CONNECT.as_bytes(), b"HTTP/1.1 407 Needed\r\n\r\n")]).await;
        let mut connector = HttpProxy::new(proxy(port), "broker", 1883);
        if let Some(password) = credentials {
            connector = connector.credentials("ann", password);
        }
        assert_eq!(reason(connector.connect().await), (expected, ErrorKind::PermissionDenied));
    }
}

#[tokio::test]
async fn http_refuses_by_rule_or_by_need() {
    for (status, kind) in [
        (403, ErrorKind::PermissionDenied),
        (502, ErrorKind::HostUnreachable),
        (504, ErrorKind::HostUnreachable),
    ] {
        let answer = format!("HTTP/1.1 {status} No\r\n\r\n");
        let port = played(vec![step(CONNECT.as_bytes(), answer.as_bytes())]).await;
        let (error, said) = reason(HttpProxy::new(proxy(port), "broker", 1883).connect().await);
        assert_eq!(said, kind, "{error}");
    }
    for answer in [vec![b'x'; 20_000], b"\x20\x02\x00\x00\r\n\r\n".to_vec()] {
        let port = played(vec![step(CONNECT.as_bytes(), &answer)]).await;
        let (error, kind) = reason(HttpProxy::new(proxy(port), "broker", 1883).connect().await);
        assert!(matches!((&error, kind), (ProxyError::NotAProxy(_), ErrorKind::InvalidData)), "{error}");
    }
}

/// A proxy that dies in the middle, and one that is not there.
#[tokio::test]
async fn a_dead_proxy_is_named_as_what_failed() {
    let port = played(vec![step(CONNECT.as_bytes(), b"HTTP/1.1 200")]).await;
    let opened = HttpProxy::new(proxy(port), "broker", 1883).connect().await;
    assert_eq!(reason(opened), (ProxyError::Closed, ErrorKind::UnexpectedEof));
    let port = played(vec![step(b"\x05\x01\x00", b"\x05")]).await;
    let opened = Socks5::new(proxy(port), "broker", 1883).connect().await;
    assert_eq!(reason(opened), (ProxyError::Closed, ErrorKind::UnexpectedEof));
    let http = HttpProxy::new(proxy(1), "broker", 1883).connect().await;
    let socks = Socks5::new(proxy(1), "broker", 1883).connect().await;
    for opened in [http, socks] {
        let (error, kind) = reason(opened);
        assert_eq!(kind, ErrorKind::ConnectionRefused);
        assert!(error.to_string().starts_with("the proxy cannot be reached: 127.0.0.1:1: "), "{error}");
    }
}

#[tokio::test]
async fn what_cannot_be_said_is_refused_before_anything_is_opened() {
    for host in ["", "a b", "a\r\nX: y"] {
        let (error, kind) = reason(HttpProxy::new(proxy(1), host, 1883).connect().await);
        assert!(matches!((&error, kind), (ProxyError::NotUsable(_), ErrorKind::InvalidInput)), "{error}");
    }
    let connector = HttpProxy::new(proxy(1), "broker", 1883).credentials("a:b", "c");
    assert!(matches!(reason(connector.connect().await).0, ProxyError::NotUsable(_)));
}
