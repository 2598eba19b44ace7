//! The pipe in memory.

use mqtt_transport::{Connect, memory};
use std::io::{ErrorKind, IoSlice};
use tokio::io::{AsyncReadExt, AsyncWrite, AsyncWriteExt};

#[tokio::test]
async fn pipes_arrive_in_the_order_of_connecting() {
    let (connector, mut listener) = memory::listen(64);
    let mut first = connector.connect().await.unwrap();
    let mut second = connector.connect().await.unwrap();
    first.write_all(b"1").await.unwrap();
    second.write_all(b"2").await.unwrap();
    for expected in [b'1', b'2'] {
        assert_eq!(listener.accept().await.unwrap().read_u8().await.unwrap(), expected);
    }
    drop(connector);
    assert!(listener.accept().await.is_none());
}

#[tokio::test]
async fn without_a_listener_connecting_is_refused() {
    let (connector, listener) = memory::listen(64);
    drop(listener);
    let error = connector.connect().await.err().unwrap();
    assert_eq!(error.kind(), ErrorKind::ConnectionRefused);
}

#[tokio::test]
async fn a_dropped_end_is_the_end_of_file() {
    let (mut near, mut far) = memory::pipe(64);
    far.write_all(b"last words").await.unwrap();
    drop(far);
    let mut heard = Vec::new();
    near.read_to_end(&mut heard).await.unwrap();
    assert_eq!(heard, b"last words");
    assert_eq!(near.write_all(b"anyone?").await.unwrap_err().kind(), ErrorKind::BrokenPipe);
}

#[tokio::test]
async fn several_segments_go_in_one_write() {
    let (mut near, mut far) = memory::pipe(64);
    assert!(near.is_write_vectored());
    let written = near.write_vectored(&[IoSlice::new(b"ab"), IoSlice::new(b"cd")]).await.unwrap();
    assert_eq!(written, 4);
    let mut heard = [0; 4];
    far.read_exact(&mut heard).await.unwrap();
    assert_eq!(&heard, b"abcd");
}
