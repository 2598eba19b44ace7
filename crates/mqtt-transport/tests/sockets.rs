//! TCP and Unix sockets, for real.

use mqtt_transport::{Connect, Tcp};
use std::io::ErrorKind;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpSocket};

async fn listen() -> (TcpListener, u16) {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let port = listener.local_addr().unwrap().port();
    (listener, port)
}

/// `localhost` may be ::1 first: nobody listens there.
#[tokio::test]
async fn a_name_with_an_address_that_refuses_is_reached() {
    let (listener, port) = listen().await;
    let mut stream = Tcp::new("localhost", port).connect().await.unwrap();
    let (mut there, _) = listener.accept().await.unwrap();
    stream.write_all(b"x").await.unwrap();
    assert_eq!(there.read_u8().await.unwrap(), b'x');
}

#[tokio::test]
async fn it_connects_from_where_it_is_told() {
    let (listener, port) = listen().await;
    let tcp = Tcp::new("127.0.0.1", port).local_address([127, 0, 0, 7].into());
    let (stream, accepted) = tokio::join!(tcp.connect(), listener.accept());
    stream.unwrap();
    assert_eq!(accepted.unwrap().1.ip().to_string(), "127.0.0.7");
    let other_family = Tcp::new("127.0.0.1", port).local_address([0, 0, 0, 0, 0, 0, 0, 1].into());
    assert_eq!(other_family.connect().await.err().unwrap().kind(), ErrorKind::NotFound);
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn a_device_that_is_none_fails() {
    let (_listener, port) = listen().await;
    let error = Tcp::new("127.0.0.1", port).device("no-such-device").connect().await.err().unwrap();
    assert!(error.to_string().starts_with(&format!("127.0.0.1:{port}: ")), "{error}");
}

#[cfg(unix)]
#[tokio::test]
async fn a_unix_socket_is_a_transport() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("broker.sock");
    let unix = mqtt_transport::Unix::new(&path);
    let error = unix.connect().await.err().unwrap();
    assert_eq!(error.kind(), ErrorKind::NotFound);
    assert!(error.to_string().contains("broker.sock"), "{error}");
    let listener = tokio::net::UnixListener::bind(&path).unwrap();
    let mut stream = unix.connect().await.unwrap();
    let (mut there, _) = listener.accept().await.unwrap();
    stream.write_all(b"x").await.unwrap();
    assert_eq!(there.read_u8().await.unwrap(), b'x');
}

/// [MQTT-4.2.0-1]: bytes arrive complete and in order, in both directions.
#[tokio::test]
async fn carries_bytes_both_ways() {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let server = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut heard = vec![0; 100_000];
        stream.read_exact(&mut heard).await.unwrap();
        stream.write_all(&heard).await.unwrap();
    });

    let stream = Tcp::new("127.0.0.1", port).connect().await.unwrap();
    let sent: Vec<u8> = (0..100_000_u32).map(|i| (i % 251) as u8).collect();
    let (mut reader, mut writer) = tokio::io::split(stream);
    writer.write_all(&sent).await.unwrap();
    writer.flush().await.unwrap();
    let mut heard = vec![0; sent.len()];
    reader.read_exact(&mut heard).await.unwrap();
    assert_eq!(heard, sent);
    server.await.unwrap();
}

#[tokio::test]
async fn a_refusal_names_the_address() {
    // Bound without listening: nobody else is given the port meanwhile.
    let held = TcpSocket::new_v4().unwrap();
    held.bind(([127, 0, 0, 1], 0).into()).unwrap();
    let address = held.local_addr().unwrap();
    let error = Tcp::new("127.0.0.1", address.port()).connect().await.err().unwrap();
    assert_eq!(error.kind(), ErrorKind::ConnectionRefused);
    assert!(error.to_string().starts_with(&format!("{address}: ")), "{error}");
}

#[tokio::test]
async fn a_name_that_cannot_be_resolved_is_named() {
    // The top-level domain `invalid` is reserved never to exist (RFC 6761).
    let error = Tcp::new("broker.invalid", 1883).connect().await.err().unwrap();
    assert!(error.to_string().starts_with("cannot resolve broker.invalid: "), "{error}");
}
