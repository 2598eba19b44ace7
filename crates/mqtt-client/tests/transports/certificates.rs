//! Certificates made for one test, as files that can be changed while somebody uses them.

use core::sync::atomic::{AtomicU32, Ordering};
use mqtt_client::tls::TlsOptions;
use mqtt_client::tls::rustls::pki_types::pem::PemObject;
use mqtt_client::tls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use mqtt_client::tls::rustls::server::WebPkiClientVerifier;
use mqtt_client::tls::rustls::{RootCertStore, ServerConfig, crypto, version};
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DistinguishedName, DnType, IsCa, KeyPair,
    date_time_ymd,
};
use std::fs;
use std::path::PathBuf;
use std::sync::Arc;
use tempfile::TempDir;

pub(crate) type Authority = CertifiedIssuer<'static, KeyPair>;

/// Years that today lies between.
const NOW: (i32, i32) = (2020, 2100);
/// Years that are over.
const OVER: (i32, i32) = (2001, 2002);

/// Years that nobody here will see.
const TO_COME: (i32, i32) = (2110, 2111);

/// A directory with `ca.pem`, and chain and key of a `server` and of a `device`.
pub(crate) struct Certificates(TempDir);

impl Certificates {
    pub(crate) fn new() -> Self {
        let this = Self(tempfile::tempdir().unwrap());
        this.rotate();
        this
    }

    /// Everything anew, by another authority.
    pub(crate) fn rotate(&self) {
        let authority = authority();
        fs::write(self.file("ca.pem"), authority.pem()).unwrap();
        self.issue("server", &authority, "localhost", NOW);
        self.issue("device", &authority, "device", NOW);
    }

    /// Another certificate for the server, that of a time that is over or of another host.
    pub(crate) fn expired(self) -> Self {
        self.server_of("localhost", OVER)
    }

    pub(crate) fn not_yet_valid(self) -> Self {
        self.server_of("localhost", TO_COME)
    }

    /// The server's certificate is its own authority.
    pub(crate) fn self_signed(self) -> Self {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(["localhost".to_owned()]).unwrap();
        params.distinguished_name = named("localhost");
        fs::write(self.file("server.pem"), params.self_signed(&key).unwrap().pem()).unwrap();
        fs::write(self.file("server.key"), key.serialize_pem()).unwrap();
        self
    }

    pub(crate) fn of_another_host(self) -> Self {
        self.server_of("other.example", NOW)
    }

    fn server_of(self, name: &str, years: (i32, i32)) -> Self {
        let authority = authority();
        fs::write(self.file("ca.pem"), authority.pem()).unwrap();
        self.issue("server", &authority, name, years);
        self
    }

    fn issue(&self, file: &str, by: &Authority, name: &str, (from, to): (i32, i32)) {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new([name.to_owned()]).unwrap();
        params.distinguished_name = named(name);
        params.not_before = date_time_ymd(from, 1, 1);
        params.not_after = date_time_ymd(to, 1, 1);
        fs::write(self.file(&format!("{file}.pem")), params.signed_by(&key, by).unwrap().pem()).unwrap();
        fs::write(self.file(&format!("{file}.key")), key.serialize_pem()).unwrap();
    }

    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// How a client trusts them.
    pub(crate) fn trusting(&self) -> TlsOptions {
        TlsOptions::new().ca_file(self.file("ca.pem")).server_name("localhost")
    }

    /// The same, with the device's certificate.
    pub(crate) fn as_device(&self) -> TlsOptions {
        self.trusting().client_certificate_files(self.file("device.pem"), self.file("device.key"))
    }

    /// A server of rustls that shows what the files say now.
    pub(crate) fn server(&self, wants_device: bool) -> ServerConfig {
        let provider = Arc::new(crypto::ring::default_provider());
        let builder = ServerConfig::builder_with_provider(provider.clone())
            .with_protocol_versions(&[&version::TLS13, &version::TLS12])
            .unwrap();
        let builder = if wants_device {
            let mut roots = RootCertStore::empty();
            roots.add(CertificateDer::from_pem_file(self.file("ca.pem")).unwrap()).unwrap();
            let verifier = WebPkiClientVerifier::builder_with_provider(roots.into(), provider);
            builder.with_client_cert_verifier(verifier.build().unwrap())
        } else {
            builder.with_no_client_auth()
        };
        let chain = vec![CertificateDer::from_pem_file(self.file("server.pem")).unwrap()];
        let key = PrivateKeyDer::from_pem_file(self.file("server.key")).unwrap();
        let mut config = builder.with_single_cert(chain, key).unwrap();
        config.alpn_protocols = vec![b"mqtt".to_vec()];
        config
    }
}

fn authority() -> Authority {
    // An authority is found by its name.
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let mut params = CertificateParams::default();
    params.distinguished_name = named(&format!("authority {}", COUNT.fetch_add(1, Ordering::Relaxed)));
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap()
}

fn named(name: &str) -> DistinguishedName {
    let mut distinguished = DistinguishedName::new();
    distinguished.push(DnType::CommonName, name);
    distinguished
}
