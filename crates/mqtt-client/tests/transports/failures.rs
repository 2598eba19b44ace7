//! What cannot work is told at once, by a distinct error, and not tried again.

use crate::certificates::Certificates;
use crate::common::{now, soon};
use crate::stand::{Kind, Stand};
use core::mem::discriminant;
use core::time::Duration;
use mqtt_client::tls::{TlsError, TlsOptions};
use mqtt_client::{Closed, ConnectBuilder, ConnectError, connect};

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

/// A server that closes in the middle may just restart, so this one is worth another attempt; the error says what else it
/// may be.
#[tokio::test]
async fn tls_on_a_plain_port() {
    for stand in both(Kind::Tls, Certificates::new).await {
        let url = stand.plain_url().replace("mqtt://", "mqtts://");
        let options = stand.certificates.trusting();
        let error = failure(|| connect(&url).tls(options.clone())).await;
        assert!(matches!(tls_error(&error), TlsError::HandshakeClosed | TlsError::NotTls), "{error}");
    }
}

/// Some servers of TLS close without a word, some answer with an alert, which is no packet of MQTT.
#[tokio::test]
async fn plain_text_on_a_tls_port() {
    for stand in both(Kind::Tls, Certificates::new).await {
        let url = stand.url().replace("mqtts://", "mqtt://");
        let error = failure(|| connect(&url)).await;
        assert!(matches!(error, ConnectError::PeerClosed | ConnectError::Protocol(_)), "{error:?}");
    }
}
