//! What cannot work is told at once, by a distinct error, and not tried again.

use crate::certificates::Certificates;
use crate::common::server::client;
use crate::common::{now, soon};
use crate::stand::{Kind, Server, Stand};
use core::mem::discriminant;
use core::time::Duration;
use mqtt_client::tls::{TlsError, TlsOptions};
use mqtt_client::websocket::WebSocketError;
use mqtt_client::{Closed, ConnectBuilder, ConnectError, Protocol, connect};
use mqtt_testkit::broker::Broker;
use std::sync::Arc;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

/// The error of a client that cannot connect: at once, and the same for one that was only started.
async fn failure(client: impl Fn() -> ConnectBuilder) -> ConnectError {
    let began = now();
    let error = soon(client()).await.expect_err("it must not connect");
    assert!(began.elapsed() < Duration::from_secs(5), "{error} after {:?}", began.elapsed());
    error
}

/// The same, for what does not pass by itself: a client that was only started ends by it.
async fn lasting(client: impl Fn() -> ConnectBuilder) -> TlsError {
    let error = failure(&client).await;
    assert!(!error.is_retryable(), "{error}");
    let found = tls_error(&error);
    let started = client().start().unwrap();
    match soon(started.closed()).await {
        Closed::Failed(again) => assert_eq!(discriminant(&tls_error(&again)), discriminant(&found)),
        other => panic!("{other}"),
    }
    found
}

fn tls_error(error: &ConnectError) -> TlsError {
    let ConnectError::Io(inner) = error else { panic!("{error}") };
    let inner = inner.get_ref().and_then(|inner| inner.downcast_ref::<TlsError>());
    inner.unwrap_or_else(|| panic!("{error:?}")).clone()
}

/// Both servers that show these certificates, of this kind.
async fn both(kind: Kind, certificates: impl Fn() -> Certificates) -> [Stand; 2] {
    [Stand::mosquitto_with(kind, certificates()).await, Stand::testkit_with(kind, certificates()).await]
}

fn with(stand: &Stand, options: TlsOptions) -> impl Fn() -> ConnectBuilder {
    let url = stand.url().to_owned();
    move || connect(&url).tls(options.clone())
}

#[tokio::test]
async fn an_expired_certificate() {
    for kind in [Kind::Tls, Kind::SecureWebSocket] {
        for stand in both(kind, || Certificates::new().expired()).await {
            let error = lasting(with(&stand, stand.certificates.trusting())).await;
            assert!(matches!(error, TlsError::Expired), "{error}");
        }
    }
}

#[tokio::test]
async fn a_certificate_of_another_host() {
    for kind in [Kind::Tls, Kind::SecureWebSocket] {
        for stand in both(kind, || Certificates::new().of_another_host()).await {
            let error = lasting(with(&stand, stand.certificates.trusting())).await;
            assert!(matches!(error, TlsError::WrongHost { .. }), "{error}");
        }
    }
}

#[tokio::test]
async fn an_authority_that_nobody_knows() {
    let other = Certificates::new();
    for kind in [Kind::Tls, Kind::SecureWebSocket] {
        for stand in both(kind, Certificates::new).await {
            let error = lasting(with(&stand, other.trusting())).await;
            assert!(matches!(error, TlsError::UnknownIssuer), "{error}");
        }
    }
}

#[tokio::test]
async fn quic_verifies_too() {
    let other = Certificates::new();
    let stand = Stand::testkit(Kind::Quic).await;
    let client = with(&stand, other.trusting());
    let error = failure(&client).await;
    assert!(!error.is_retryable(), "{error}");
    assert!(matches!(soon(client().start().unwrap().closed()).await, Closed::Failed(_)));
}

#[tokio::test]
async fn a_client_certificate_that_is_not_there() {
    for stand in both(Kind::Device, Certificates::new).await {
        let error = lasting(with(&stand, stand.certificates.trusting())).await;
        assert!(matches!(error, TlsError::ClientCertificateRequired), "{error}");
    }
}

#[tokio::test]
async fn a_client_certificate_of_another_authority() {
    let other = Certificates::new();
    for stand in both(Kind::Device, Certificates::new).await {
        let certificate = (other.file("device.pem"), other.file("device.key"));
        let options = stand.certificates.trusting().client_certificate_files(certificate.0, certificate.1);
        let error = lasting(with(&stand, options)).await;
        assert!(matches!(error, TlsError::ClientCertificateRefused(_)), "{error}");
    }
}

#[tokio::test]
async fn a_certificate_whose_time_has_not_come() {
    for kind in [Kind::Tls, Kind::SecureWebSocket] {
        for stand in both(kind, || Certificates::new().not_yet_valid()).await {
            let error = lasting(with(&stand, stand.certificates.trusting())).await;
            assert!(matches!(error, TlsError::NotYetValid), "{error}");
        }
    }
}

#[tokio::test]
async fn a_certificate_that_is_signed_by_itself() {
    let other = Certificates::new();
    for kind in [Kind::Tls, Kind::SecureWebSocket] {
        for stand in both(kind, || Certificates::new().self_signed()).await {
            let error = lasting(with(&stand, other.trusting())).await;
            assert!(matches!(error, TlsError::SelfSigned), "{error}");
        }
    }
}

/// The alert `protocol_version`, as openssl sends it, and a ServerHello of 1.1.
#[tokio::test]
async fn a_server_with_old_tls_only() {
    let alert = vec![0x15, 3, 2, 0, 2, 2, 70];
    let mut hello = vec![0x16, 3, 2, 0, 42, 2, 0, 0, 38, 3, 2];
    hello.extend([7; 32]);
    // No session, TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA, no compression.
    hello.extend([0, 0xC0, 0x13, 0]);
    for words in [alert, hello] {
        let port = answering(words).await;
        let client = || connect(&format!("mqtts://127.0.0.1:{port}")).tls(trusting_any());
        let error = lasting(client).await;
        assert!(matches!(error, TlsError::OldTls), "{error}");
    }
}

/// What answers in plain text is no server of TLS. What only closes, as mosquitto does, most likely neither; a client that
/// it has never accepted does not try again.
#[tokio::test]
async fn tls_on_a_plain_port() {
    for stand in both(Kind::Tls, Certificates::new).await {
        let url = stand.plain_url().replace("mqtt://", "mqtts://");
        let client = || connect(&url).tls(stand.certificates.trusting());
        let error = failure(client).await;
        assert!(matches!(tls_error(&error), TlsError::HandshakeClosed | TlsError::NotTls), "{error}");
        let started = client().start().unwrap();
        assert!(matches!(soon(started.closed()).await, Closed::Failed(ConnectError::Io(_))));
    }
    // CONNACK: unacceptable protocol version.
    let port = answering(vec![0x20, 2, 0, 1]).await;
    let error = lasting(|| connect(&format!("mqtts://127.0.0.1:{port}")).tls(trusting_any())).await;
    assert!(matches!(error, TlsError::NotTls), "{error}");
}

/// A server that has accepted the client, and now closes during the handshake, restarts.
#[tokio::test]
async fn a_handshake_that_is_closed_later_is_tried_again() {
    let certificates = Certificates::new();
    let broker = Arc::new(Broker::builder().start().await.unwrap());
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let url = format!("mqtts://localhost:{}", listener.local_addr().unwrap().port());
    let serving = async {
        for turn in 0.. {
            let (stream, _) = listener.accept().await.unwrap();
            if turn % 3 == 0 {
                let acceptor = TlsAcceptor::from(Arc::new(certificates.server(false)));
                broker.serve(acceptor.accept(stream).await.unwrap());
            } else {
                drop(stream);
            }
        }
    };
    let playing = async {
        let client = client(&url, "patient", Protocol::V5).tls(certificates.trusting()).await.unwrap();
        broker.cut_all();
        let mut changes = client.watch();
        while client.status().connections < 2 {
            soon(changes.changed()).await.unwrap();
        }
        assert!(client.status().attempts >= 4);
    };
    tokio::select! {
        () = serving => {}
        () = playing => {}
    }
}

/// A server that answers with an alert is known by it; mosquitto closes without a word, as one does that starts.
#[tokio::test]
async fn plain_text_on_a_tls_port() {
    let [mosquitto, testkit] = both(Kind::Tls, Certificates::new).await;
    let plain = |url: &str| connect(&url.replace("mqtts://", "mqtt://"));
    let error = failure(|| plain(mosquitto.url())).await;
    assert!(matches!(error, ConnectError::NotAnswered), "{error:?}");
    let alert = vec![0x15, 3, 1, 0, 2, 2, 10];
    let answering = format!("mqtts://127.0.0.1:{}", answering(alert).await);
    for url in [testkit.url(), &answering] {
        let error = failure(|| plain(url)).await;
        assert!(matches!(error, ConnectError::SpeaksTls) && !error.is_retryable(), "{error:?}");
        let started = plain(url).start().unwrap();
        let closed = soon(started.closed()).await;
        assert!(matches!(closed, Closed::Failed(ConnectError::SpeaksTls)), "{closed}");
        assert_eq!(started.status().attempts, 1, "no other version was tried");
    }
}

/// The same of a WebSocket: the text names the cure, also where the server only closes.
#[tokio::test]
async fn a_plain_websocket_on_a_tls_port() {
    for stand in both(Kind::SecureWebSocket, Certificates::new).await {
        let url = stand.url().replace("wss://", "ws://");
        let error = failure(|| connect(&url)).await;
        let ConnectError::Io(inner) = &error else { panic!("{error}") };
        let found = inner.get_ref().and_then(|inner| inner.downcast_ref::<WebSocketError>());
        match stand.server {
            Server::Testkit { .. } => {
                assert_eq!(found, Some(&WebSocketError::SpeaksTls), "{error}");
                let closed = soon(connect(&url).start().unwrap().closed()).await;
                assert!(matches!(closed, Closed::Failed(ConnectError::Io(_))), "{closed}");
            }
            Server::Mosquitto { .. } => {
                assert_eq!(found, Some(&WebSocketError::HandshakeClosed), "{error}");
            }
        }
        assert!(error.to_string().contains("wss://"), "{error}");
    }
}

fn trusting_any() -> TlsOptions {
    TlsOptions::new().dangerous_accept_any_certificate()
}

/// Answers whatever comes with these words, to everybody.
async fn answering(words: Vec<u8>) -> u16 {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let words = words.clone();
            tokio::spawn(async move {
                let mut heard = vec![0; 4096];
                if stream.read(&mut heard).await.is_ok() && stream.write_all(&words).await.is_ok() {
                    // The client closes.
                    while matches!(stream.read(&mut heard).await, Ok(1..)) {}
                }
            });
        }
    });
    port
}
