//! TCP over real loopback sockets.

use mqtt_transport::{Connect, Tcp};
use std::io::ErrorKind;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
};

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
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
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
