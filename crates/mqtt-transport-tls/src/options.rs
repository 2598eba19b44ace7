//! What was asked for, before any file is read.

use core::fmt;
use std::io;
use std::path::PathBuf;

/// How to do TLS. The default trusts the certificates that the operating system trusts, and shows none of its own.
///
/// Files are read at each connection, so that a certificate that was renewed is taken up by the next one. While they
/// stay the same, sessions of TLS are resumed.
#[derive(Clone, Default)]
pub struct TlsOptions {
    pub(crate) authorities: Vec<Pem>,
    pub(crate) platform_roots: bool,
    pub(crate) client_certificate: Option<(Pem, Pem)>,
    pub(crate) alpn: Vec<Vec<u8>>,
    pub(crate) server_name: Option<String>,
    pub(crate) pins: Vec<[u8; 32]>,
    pub(crate) dangerously_accept_any: bool,
}

/// Something in PEM.
#[derive(Clone)]
pub(crate) enum Pem {
    File(PathBuf),
    Text(Vec<u8>),
}

impl TlsOptions {
    /// The default.
    pub fn new() -> Self {
        Self::default()
    }

    /// Trusts the certificates of authorities in this PEM file, and no longer those of the operating system. May be called
    /// for several files.
    #[must_use]
    pub fn ca_file(mut self, path: impl Into<PathBuf>) -> Self {
        self.authorities.push(Pem::File(path.into()));
        self
    }

    /// Like [`ca_file`](Self::ca_file), for PEM at hand.
    #[must_use]
    pub fn ca_pem(mut self, pem: impl Into<Vec<u8>>) -> Self {
        self.authorities.push(Pem::Text(pem.into()));
        self
    }

    /// Trusts the operating system's certificates too, beside those of [`ca_file`](Self::ca_file).
    #[must_use]
    pub fn with_platform_roots(mut self) -> Self {
        self.platform_roots = true;
        self
    }

    /// Shows this certificate, with its chain, to servers that ask for one. The key may be PKCS#8, SEC1 or PKCS#1, not
    /// encrypted.
    #[must_use]
    pub fn client_certificate_files(mut self, chain: impl Into<PathBuf>, key: impl Into<PathBuf>) -> Self {
        self.client_certificate = Some((Pem::File(chain.into()), Pem::File(key.into())));
        self
    }

    /// Like [`client_certificate_files`](Self::client_certificate_files), for PEM at hand.
    #[must_use]
    pub fn client_certificate_pem(mut self, chain: impl Into<Vec<u8>>, key: impl Into<Vec<u8>>) -> Self {
        self.client_certificate = Some((Pem::Text(chain.into()), Pem::Text(key.into())));
        self
    }

    /// Offers these protocols by ALPN, most wanted first, such as `mqtt`. Without a call none are offered.
    #[must_use]
    pub fn alpn<P: Into<Vec<u8>>>(mut self, protocols: impl IntoIterator<Item = P>) -> Self {
        self.alpn = protocols.into_iter().map(Into::into).collect();
        self
    }

    /// Asks for the certificate of this name (SNI), and checks it against this name, instead of that of the server's URL.
    #[must_use]
    pub fn server_name(mut self, name: impl Into<String>) -> Self {
        self.server_name = Some(name.into());
        self
    }

    /// The name that was set by [`server_name`](Self::server_name), else `host`.
    pub fn name_for<'a>(&'a self, host: &'a str) -> &'a str {
        self.server_name.as_deref().unwrap_or(host)
    }

    /// Whether protocols were named by [`alpn`](Self::alpn).
    pub fn offers_protocols(&self) -> bool {
        !self.alpn.is_empty()
    }

    /// Accepts only a server whose key has this hash: SHA-256 of the SubjectPublicKeyInfo of its certificate, beside all
    /// other checks. With several calls any of them will do, so that a key can be changed.
    #[must_use]
    pub fn pin_sha256(mut self, hash: [u8; 32]) -> Self {
        self.pins.push(hash);
        self
    }

    /// Accepts any certificate from anybody: whoever sits between can read and change everything. Pins are still checked.
    /// For a test bench.
    #[must_use]
    pub fn dangerous_accept_any_certificate(mut self) -> Self {
        self.dangerously_accept_any = true;
        self
    }
}

impl Pem {
    pub(crate) async fn read(&self) -> io::Result<Vec<u8>> {
        match self {
            Self::File(path) => tokio::fs::read(path).await,
            Self::Text(text) => Ok(text.clone()),
        }
    }
}

/// The path, or that it was given as text.
impl fmt::Display for Pem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => path.display().fmt(f),
            Self::Text(_) => f.write_str("the PEM text"),
        }
    }
}

/// Shows no key.
impl fmt::Debug for TlsOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TlsOptions")
            .field("authorities", &self.authorities.len())
            .field("client_certificate", &self.client_certificate.is_some())
            .field("server_name", &self.server_name)
            .field("dangerously_accept_any", &self.dangerously_accept_any)
            .finish_non_exhaustive()
    }
}
