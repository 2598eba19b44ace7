//! Certificates made for one test, and a server that shows them.

use mqtt_transport::{BoxTransport, Connect, Tcp};
use mqtt_transport_tls::rustls::pki_types::pem::PemObject;
use mqtt_transport_tls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use mqtt_transport_tls::rustls::server::WebPkiClientVerifier;
use mqtt_transport_tls::rustls::{RootCertStore, ServerConfig, SupportedProtocolVersion, version};
use mqtt_transport_tls::{Tls, TlsError, TlsOptions};
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DistinguishedName, DnType, IsCa, KeyPair,
    date_time_ymd,
};
use std::io;
use std::sync::Arc;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

pub(crate) type Authority = CertifiedIssuer<'static, KeyPair>;

pub(crate) fn authority(name: &str) -> Authority {
    let mut params = CertificateParams::default();
    params.distinguished_name = named(name);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap()
}

fn named(name: &str) -> DistinguishedName {
    let mut distinguished = DistinguishedName::new();
    distinguished.push(DnType::CommonName, name);
    distinguished
}

/// A certificate and its key, in PEM.
pub(crate) struct Identity {
    pub(crate) chain: String,
    pub(crate) key: String,
}

/// For `name`, valid from one year to another.
pub(crate) fn issued(by: &Authority, name: &str, years: (i32, i32)) -> Identity {
    let key = KeyPair::generate().unwrap();
    Identity { chain: issued_for(&key, by, name, years), key: key.serialize_pem() }
}

pub(crate) fn issued_for(key: &KeyPair, by: &Authority, name: &str, years: (i32, i32)) -> String {
    params(name, years).signed_by(key, by).unwrap().pem()
}

pub(crate) fn self_signed(name: &str) -> Identity {
    let key = KeyPair::generate().unwrap();
    Identity { chain: params(name, NOW).self_signed(&key).unwrap().pem(), key: key.serialize_pem() }
}

fn params(name: &str, (from, to): (i32, i32)) -> CertificateParams {
    let mut params = CertificateParams::new([name.to_owned()]).unwrap();
    params.distinguished_name = named(&format!("made for a test of {name}"));
    params.not_before = date_time_ymd(from, 1, 1);
    params.not_after = date_time_ymd(to, 1, 1);
    params
}

/// Years that today lies between.
pub(crate) const NOW: (i32, i32) = (2020, 2100);

pub(crate) fn server(identity: &Identity, clients: Option<&Authority>, tls_1_3: bool) -> ServerConfig {
    const TLS_1_2: &[&SupportedProtocolVersion] = &[&version::TLS12];
    const BOTH: &[&SupportedProtocolVersion] = &[&version::TLS13, &version::TLS12];
    let provider = Arc::new(mqtt_transport_tls::rustls::crypto::ring::default_provider());
    let builder = ServerConfig::builder_with_provider(provider.clone())
        .with_protocol_versions(if tls_1_3 { BOTH } else { TLS_1_2 })
        .unwrap();
    let builder = match clients {
        None => builder.with_no_client_auth(),
        Some(authority) => {
            let mut roots = RootCertStore::empty();
            roots.add(authority.der().clone()).unwrap();
            builder.with_client_cert_verifier(
                WebPkiClientVerifier::builder_with_provider(roots.into(), provider).build().unwrap(),
            )
        }
    };
    let chain = CertificateDer::pem_slice_iter(identity.chain.as_bytes()).collect::<Result<_, _>>().unwrap();
    let key = PrivateKeyDer::from_pem_slice(identity.key.as_bytes()).unwrap();
    builder.with_single_cert(chain, key).unwrap()
}

/// Says back what it hears, over TLS, to everybody who comes. Returns its port.
pub(crate) async fn echo(config: ServerConfig) -> u16 {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let acceptor = TlsAcceptor::from(Arc::new(config));
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let acceptor = acceptor.clone();
            tokio::spawn(async move {
                let Ok(mut stream) = acceptor.accept(stream).await else { return };
                let mut chunk = vec![0; 64 * 1024];
                while let Ok(read @ 1..) = stream.read(&mut chunk).await {
                    if stream.write_all(&chunk[..read]).await.is_err() || stream.flush().await.is_err() {
                        return;
                    }
                }
            });
        }
    });
    port
}

/// Answers every connection with these bytes as soon as it has heard something, and closes.
pub(crate) async fn answering(bytes: &'static [u8]) -> u16 {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut heard = [0; 4096];
            let _ = stream.read(&mut heard).await;
            let _ = stream.write_all(bytes).await;
        }
    });
    port
}

pub(crate) fn connector(port: u16, options: TlsOptions) -> Tls<Tcp> {
    Tls::new(Tcp::new("127.0.0.1", port), "localhost", options).unwrap()
}

/// Connects and has one line echoed: in TLS 1.3 a server may refuse the client only then.
pub(crate) async fn talk(port: u16, options: TlsOptions) -> io::Result<BoxTransport> {
    exchange(connector(port, options).connect().await?).await
}

pub(crate) async fn exchange(mut stream: BoxTransport) -> io::Result<BoxTransport> {
    stream.write_all(b"hello").await?;
    stream.flush().await?;
    let mut heard = [0; 5];
    stream.read_exact(&mut heard).await?;
    assert_eq!(heard, *b"hello");
    Ok(stream)
}

pub(crate) async fn failure(port: u16, options: TlsOptions) -> (TlsError, io::ErrorKind) {
    let error = talk(port, options).await.err().expect("that it fails");
    let reason = error.get_ref().and_then(|inner| inner.downcast_ref::<TlsError>());
    (reason.unwrap_or_else(|| panic!("{error:?}")).clone(), error.kind())
}
