//! Over real UDP sockets, with a server of quinn.

use core::net::{Ipv4Addr, SocketAddr};
use core::sync::atomic::{AtomicU32, Ordering};
use core::time::Duration;
use mqtt_transport::{BoxTransport, Connect};
use mqtt_transport_quic::{Quic, TlsOptions};
use mqtt_transport_tls::TlsError;
use quinn::crypto::rustls::QuicServerConfig;
use quinn::rustls::pki_types::PrivatePkcs8KeyDer;
use quinn::rustls::server::WebPkiClientVerifier;
use quinn::rustls::{RootCertStore, ServerConfig, version};
use quinn::{Endpoint, Incoming};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};
use std::io::ErrorKind;
use std::sync::Arc;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UdpSocket;
use tokio::sync::watch;

static AUTHORITIES: AtomicU32 = AtomicU32::new(0);

/// A server for `localhost`, its port, and the certificate of its authority in PEM.
fn server(name: &str, protocols: &[&[u8]]) -> (Endpoint, u16, String) {
    server_of(name, protocols, &authority(), false)
}

fn authority() -> CertifiedIssuer<'static, KeyPair> {
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    // An authority is found by its name.
    let number = AUTHORITIES.fetch_add(1, Ordering::Relaxed);
    params.distinguished_name.push(DnType::CommonName, format!("authority {number}"));
    CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap()
}

/// One that may want a client certificate of the same authority.
fn server_of(
    name: &str,
    protocols: &[&[u8]],
    authority: &CertifiedIssuer<'static, KeyPair>,
    wants_client: bool,
) -> (Endpoint, u16, String) {
    let key = KeyPair::generate().unwrap();
    let certificate = CertificateParams::new([name.to_owned()]).unwrap().signed_by(&key, authority).unwrap();
    let provider = Arc::new(quinn::rustls::crypto::ring::default_provider());
    let builder = ServerConfig::builder_with_provider(provider.clone())
        .with_protocol_versions(&[&version::TLS13])
        .unwrap();
    let builder = if wants_client {
        let mut roots = RootCertStore::empty();
        roots.add(authority.der().clone()).unwrap();
        let verifier = WebPkiClientVerifier::builder_with_provider(roots.into(), provider);
        builder.with_client_cert_verifier(verifier.build().unwrap())
    } else {
        builder.with_no_client_auth()
    };
    let key = PrivatePkcs8KeyDer::from(key.serialize_der());
    let mut config = builder.with_single_cert(vec![certificate.der().clone()], key.into()).unwrap();
    config.alpn_protocols = protocols.iter().map(|name| name.to_vec()).collect();
    config.max_early_data_size = u32::MAX;
    let config = quinn::ServerConfig::with_crypto(Arc::new(QuicServerConfig::try_from(config).unwrap()));
    let endpoint = Endpoint::server(config, SocketAddr::from((Ipv4Addr::LOCALHOST, 0))).unwrap();
    let port = endpoint.local_addr().unwrap().port();
    (endpoint, port, authority.pem())
}

/// Says back what it hears; at the end of the stream it tells how many bytes that were.
async fn echo(incoming: Incoming, told: Arc<watch::Sender<usize>>) {
    let Ok(connection) = incoming.await else { return };
    while let Ok((mut send, mut receive)) = connection.accept_bi().await {
        let (mut chunk, mut all) = (vec![0; 64 * 1024], 0);
        while let Ok(Some(read)) = receive.read(&mut chunk).await {
            all += read;
            if send.write_all(&chunk[..read]).await.is_err() {
                break;
            }
        }
        told.send_replace(all);
    }
}

fn echoing(endpoint: Endpoint) -> watch::Receiver<usize> {
    let (told, heard) = watch::channel(0);
    let told = Arc::new(told);
    tokio::spawn(async move {
        while let Some(incoming) = endpoint.accept().await {
            tokio::spawn(echo(incoming, told.clone()));
        }
    });
    heard
}

fn connector(port: u16, ca: &str) -> Quic {
    Quic::new("127.0.0.1", port, TlsOptions::new().ca_pem(ca).server_name("localhost"))
}

async fn talk(stream: &mut BoxTransport, words: &[u8]) {
    stream.write_all(words).await.unwrap();
    stream.flush().await.unwrap();
    let mut heard = vec![0; words.len()];
    stream.read_exact(&mut heard).await.unwrap();
    assert!(heard == words);
}

/// Trap 14: the last byte arrives without another packet to push it; a goodbye arrives before the connection closes.
#[tokio::test]
async fn bytes_arrive_to_the_last_one() {
    let (endpoint, port, ca) = server("localhost", &[b"mqtt"]);
    let mut ended = echoing(endpoint);
    for size in [1, 64 * 1024, 10 * 1024 * 1024] {
        let stream = connector(port, &ca).connect().await.unwrap();
        let (mut reader, mut writer) = tokio::io::split(stream);
        let payload: Vec<u8> = (0..size).map(|at: usize| at.to_le_bytes()[0]).collect();
        let sent = payload.clone();
        let sender = tokio::spawn(async move {
            writer.write_all(&sent).await.unwrap();
            writer.flush().await.unwrap();
            writer
        });
        let mut heard = vec![0; size];
        reader.read_exact(&mut heard).await.unwrap();
        assert!(heard == payload);
        let mut stream = reader.unsplit(sender.await.unwrap());
        stream.write_all(b"\xE0\x00").await.unwrap();
        stream.shutdown().await.unwrap();
        drop(stream);
        ended.wait_for(|bytes| *bytes == size + 2).await.unwrap();
    }
}

/// The server is verified: its name, its issuer, its protocol. Trap 33.
#[tokio::test]
async fn a_server_that_is_not_the_one_is_refused() {
    let (other_name, port_of_other_name, ca) = server("other.example", &[b"mqtt"]);
    let _other_name = echoing(other_name);
    let (right, port, ca_of_right) = server("localhost", &[b"mqtt"]);
    let _right = echoing(right);
    let (h3, port_of_h3, ca_of_h3) = server("localhost", &[b"h3"]);
    let _h3 = echoing(h3);
    for (port, ca, kind, words) in [
        (port_of_other_name, &ca, ErrorKind::InvalidData, "not valid for name"),
        (port, &ca, ErrorKind::InvalidData, "UnknownIssuer"),
        (port_of_h3, &ca_of_h3, ErrorKind::Unsupported, "offered by ALPN"),
    ] {
        let error = connector(port, ca).connect().await.err().unwrap();
        assert_eq!(error.kind(), kind, "{error}");
        assert!(error.to_string().contains(words), "{error}");
    }
    connector(port, &ca_of_right).connect().await.unwrap();
}

/// The refusal comes when the client believes itself connected, and does not pass.
#[tokio::test]
async fn a_server_may_want_a_client_certificate() {
    let (ours, stranger) = (authority(), authority());
    let (endpoint, port, ca) = server_of("localhost", &[b"mqtt"], &ours, true);
    let _ended = echoing(endpoint);
    let trusting = || TlsOptions::new().ca_pem(ca.as_str()).server_name("localhost");
    let issued = |by: &CertifiedIssuer<'static, KeyPair>| {
        let key = KeyPair::generate().unwrap();
        let certificate = CertificateParams::new(["device".to_owned()]).unwrap().signed_by(&key, by).unwrap();
        trusting().client_certificate_pem(certificate.pem(), key.serialize_pem())
    };
    let refused = async |options| {
        let opened = Quic::new("127.0.0.1", port, options).connect().await;
        let error = match opened {
            Ok(mut stream) => stream.read_u8().await.unwrap_err(),
            Err(error) => error,
        };
        assert_eq!(error.kind(), ErrorKind::InvalidData, "{error}");
        error.get_ref().and_then(|inner| inner.downcast_ref::<TlsError>()).unwrap().clone()
    };
    assert!(matches!(refused(trusting()).await, TlsError::ClientCertificateRequired));
    assert!(matches!(refused(issued(&stranger)).await, TlsError::ClientCertificateRefused(_)));
    let mut stream = Quic::new("127.0.0.1", port, issued(&ours)).connect().await.unwrap();
    talk(&mut stream, b"welcome").await;
}

#[tokio::test]
async fn nobody_there_is_a_timeout() {
    let silent = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let quic = Quic::new("127.0.0.1", silent.local_addr().unwrap().port(), TlsOptions::new())
        .idle_timeout(Duration::from_millis(300));
    let error = quic.connect().await.err().unwrap();
    assert_eq!(error.kind(), ErrorKind::TimedOut, "{error}");
}

/// The server closes the connection without a complaint.
#[tokio::test]
async fn a_friendly_close_is_the_end() {
    let (endpoint, port, ca) = server("localhost", &[b"mqtt"]);
    let server = async {
        let connection = endpoint.accept().await.unwrap().await.unwrap();
        let (mut send, mut receive) = connection.accept_bi().await.unwrap();
        assert_eq!(receive.read_chunk(1, true).await.unwrap().unwrap().bytes, "x");
        send.write_all(b"y").await.unwrap();
        connection.close(0_u32.into(), b"");
        connection.closed().await;
    };
    let client = async {
        let mut stream = connector(port, &ca).connect().await.unwrap();
        stream.write_all(b"x").await.unwrap();
        let mut heard = Vec::new();
        stream.read_to_end(&mut heard).await.unwrap();
        assert!(heard.is_empty() || heard == b"y");
    };
    tokio::join!(server, client);
}

/// 0-RTT is there when asked for and remembered from the connection before, and works when it is not.
#[tokio::test]
async fn early_data_is_a_choice() {
    let (endpoint, port, ca) = server("localhost", &[b"mqtt"]);
    let _ended = echoing(endpoint);
    let quic = connector(port, &ca).zero_rtt(true);
    for _ in 0..3 {
        let mut stream = quic.connect().await.unwrap();
        talk(&mut stream, b"early").await;
        stream.shutdown().await.unwrap();
    }
}

/// The client's address changes in the middle, as when a phone leaves its wireless network: the connection stands.
#[tokio::test]
async fn a_connection_outlives_its_address() {
    let (endpoint, port, ca) = server("localhost", &[b"mqtt"]);
    let _ended = echoing(endpoint);
    let near = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let relay = near.local_addr().unwrap().port();
    let (moved, mut moves) = watch::channel(());
    tokio::spawn(async move {
        let mut client = None;
        loop {
            // Another address towards the server each time.
            let far = UdpSocket::bind("127.0.0.1:0").await.unwrap();
            far.connect(("127.0.0.1", port)).await.unwrap();
            let (mut up, mut down) = (vec![0; 2048], vec![0; 2048]);
            loop {
                tokio::select! {
                    Ok((length, from)) = near.recv_from(&mut up) => {
                        client = Some(from);
                        let _ = far.send(&up[..length]).await;
                    }
                    Ok(length) = far.recv(&mut down) => {
                        if let Some(client) = client {
                            let _ = near.send_to(&down[..length], client).await;
                        }
                    }
                    _ = moves.changed() => break,
                }
            }
        }
    });
    let mut stream = connector(relay, &ca).connect().await.unwrap();
    for _ in 0..5 {
        talk(&mut stream, b"still there?").await;
        moved.send_replace(());
    }
    talk(&mut stream, b"yes").await;
}
