//! What works: bytes, resumption, certificates that change while the client lives, a configuration as it is.

use crate::common::{Identity, NOW, authority, connector, echo, exchange, issued, issued_for, server, talk};
use core::sync::atomic::{AtomicU32, Ordering};
use mqtt_transport::{Connect, Tcp};
use mqtt_transport_tls::rustls::client::WebPkiServerVerifier;
use mqtt_transport_tls::rustls::server::{ServerSessionMemoryCache, StoresServerSessions};
use mqtt_transport_tls::rustls::{ClientConfig, RootCertStore, crypto};
use mqtt_transport_tls::{Tls, TlsOptions};
use rcgen::KeyPair;
use std::fs;
use std::sync::Arc;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

/// Trap 14: after a flush the last byte is on its way, without another packet to push it.
#[tokio::test]
async fn the_tail_of_a_large_payload_arrives() {
    let authority = authority("CA");
    for tls_1_3 in [true, false] {
        let port = echo(server(&issued(&authority, "localhost", NOW), None, tls_1_3)).await;
        for size in [64 * 1024, 10 * 1024 * 1024] {
            let stream = connector(port, TlsOptions::new().ca_pem(authority.pem())).connect().await.unwrap();
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
            sender.await.unwrap();
        }
    }
}

/// Counts sessions that are taken up again.
#[derive(Debug)]
struct Counting(Arc<ServerSessionMemoryCache>, AtomicU32);

impl StoresServerSessions for Counting {
    fn put(&self, key: Vec<u8>, value: Vec<u8>) -> bool {
        self.0.put(key, value)
    }
    fn get(&self, key: &[u8]) -> Option<Vec<u8>> {
        self.0.get(key)
    }
    fn take(&self, key: &[u8]) -> Option<Vec<u8>> {
        let taken = self.0.take(key);
        self.1.fetch_add(taken.is_some().into(), Ordering::Relaxed);
        taken
    }
    fn can_cache(&self) -> bool {
        true
    }
}

/// The second connection resumes the first one's session, unless the files have changed.
#[tokio::test]
async fn sessions_are_resumed_and_files_read_again() {
    let (old, new) = (authority("old"), authority("new"));
    let sessions = Arc::new(Counting(ServerSessionMemoryCache::new(16), AtomicU32::new(0)));
    let counted = |identity: &Identity| {
        let mut config = server(identity, None, true);
        config.session_storage = sessions.clone();
        config
    };
    let first = echo(counted(&issued(&old, "localhost", NOW))).await;
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("ca.pem");
    fs::write(&file, old.pem()).unwrap();
    let connector = connector(first, TlsOptions::new().ca_file(&file));
    exchange(connector.connect().await.unwrap()).await.unwrap();
    assert_eq!(sessions.1.load(Ordering::Relaxed), 0);
    exchange(connector.connect().await.unwrap()).await.unwrap();
    assert_eq!(sessions.1.load(Ordering::Relaxed), 1, "resumed");
    // Another authority from now on: the old server is no longer trusted.
    fs::write(&file, new.pem()).unwrap();
    assert!(connector.connect().await.is_err());
    fs::write(&file, old.pem()).unwrap();
    exchange(connector.connect().await.unwrap()).await.unwrap();
}

#[tokio::test]
async fn a_configuration_of_rustls_is_taken_as_it_is() {
    let authority = authority("CA");
    let port = echo(server(&issued(&authority, "localhost", NOW), None, true)).await;
    let mut roots = RootCertStore::empty();
    roots.add(authority.der().clone()).unwrap();
    let provider = Arc::new(crypto::ring::default_provider());
    let verifier =
        WebPkiServerVerifier::builder_with_provider(roots.into(), provider.clone()).build().unwrap();
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_webpki_verifier(verifier)
        .with_no_client_auth();
    let tcp = Tcp::new("127.0.0.1", port);
    let connector = Tls::with_config(tcp, "localhost", Arc::new(config)).unwrap();
    exchange(connector.connect().await.unwrap()).await.unwrap();
}

/// Both kinds of authority at once, and an identity that asks for nothing.
#[tokio::test]
async fn platform_roots_can_stay_beside_ones_own() {
    let authority = authority("CA");
    let port = echo(server(&issued(&authority, "localhost", NOW), None, true)).await;
    talk(port, TlsOptions::new().ca_pem(authority.pem()).with_platform_roots()).await.unwrap();
    talk(port, TlsOptions::new().dangerous_accept_any_certificate()).await.unwrap();
}

/// The server ends without the goodbye of TLS: the end all the same.
#[tokio::test]
async fn an_end_without_a_goodbye_is_an_end() {
    let authority = authority("CA");
    let listener = tokio::net::TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let config = server(&issued(&authority, "localhost", NOW), None, true);
    let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(config));
    let server = async {
        let (stream, _) = listener.accept().await.unwrap();
        let mut stream = acceptor.accept(stream).await.unwrap();
        stream.write_all(b"last words").await.unwrap();
        stream.flush().await.unwrap();
    };
    let connector = connector(port, TlsOptions::new().ca_pem(authority.pem()));
    let (client, ()) = tokio::join!(connector.connect(), server);
    let mut heard = String::new();
    client.unwrap().read_to_string(&mut heard).await.unwrap();
    assert_eq!(heard, "last words");
}

/// The same keys in the three forms in which tools write them. They protect nothing.
#[tokio::test]
async fn a_client_key_may_have_any_usual_form() {
    const RSA: &str = include_str!("keys/rsa.pkcs8.pem");
    const RSA_PKCS1: &str = include_str!("keys/rsa.pkcs1.pem");
    const EC: &str = include_str!("keys/ec.pkcs8.pem");
    const EC_SEC1: &str = include_str!("keys/ec.sec1.pem");
    let authority = authority("CA");
    let port = echo(server(&issued(&authority, "localhost", NOW), Some(&authority), true)).await;
    for (key, form, label) in [
        (RSA, RSA, "BEGIN PRIVATE KEY"),
        (RSA, RSA_PKCS1, "BEGIN RSA PRIVATE KEY"),
        (EC, EC, "BEGIN PRIVATE KEY"),
        (EC, EC_SEC1, "BEGIN EC PRIVATE KEY"),
    ] {
        assert!(form.contains(label));
        let chain = issued_for(&KeyPair::from_pem(key).unwrap(), &authority, "device", NOW);
        talk(port, TlsOptions::new().ca_pem(authority.pem()).client_certificate_pem(chain, form))
            .await
            .unwrap_or_else(|error| panic!("{label}: {error}"));
    }
}

#[test]
fn debug_shows_no_key() {
    let shown = format!("{:?}", TlsOptions::new().client_certificate_pem("chain", "secret"));
    assert!(!shown.contains("secret") && !shown.contains("chain\""), "{shown}");
}
