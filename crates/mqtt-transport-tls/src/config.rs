//! From the options to a configuration of rustls, with the files read.

use crate::error::TlsError;
use crate::options::{Pem, TlsOptions};
use crate::verifier::{AcceptAny, Verifier};
use core::fmt;
use rustls_platform_verifier::Verifier as PlatformVerifier;
use std::sync::{Arc, Mutex, PoisonError};
use tokio_rustls::rustls::client::WebPkiServerVerifier;
use tokio_rustls::rustls::client::danger::ServerCertVerifier;
use tokio_rustls::rustls::crypto::CryptoProvider;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::{ClientConfig, RootCertStore};

/// The configurations of rustls that some [`TlsOptions`] stand for, for transports that do the handshake themselves.
pub struct TlsConfigs {
    options: TlsOptions,
    /// The last configuration, and the files that it was made from.
    last: Mutex<Option<(Files, Arc<ClientConfig>)>>,
}

impl TlsConfigs {
    /// Reads nothing yet.
    pub fn new(options: TlsOptions) -> Self {
        Self { options, last: Mutex::new(None) }
    }

    /// The configuration for the next connection: the last one again, with its memory of sessions to resume, if the files
    /// are what they were.
    ///
    /// # Errors
    ///
    /// What is wrong with a file, or [`TlsError::NoRoots`] or [`TlsError::NoCryptoProvider`].
    pub async fn next(&self) -> Result<Arc<ClientConfig>, TlsError> {
        let files = Files::read(&self.options).await?;
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((same, config)) = &*last
            && *same == files
        {
            return Ok(config.clone());
        }
        let config = Arc::new(files.configure(&self.options)?);
        *last = Some((files, config.clone()));
        Ok(config)
    }
}

/// Shows no key.
impl fmt::Debug for TlsConfigs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TlsConfigs").field("options", &self.options).finish_non_exhaustive()
    }
}

/// What the files hold. As long as it stays the same, so does the configuration, and with it the memory of sessions to
/// resume.
#[derive(PartialEq, Eq)]
struct Files {
    authorities: Vec<Vec<u8>>,
    client_certificate: Option<(Vec<u8>, Vec<u8>)>,
}

impl Files {
    async fn read(options: &TlsOptions) -> Result<Self, TlsError> {
        let mut authorities = Vec::with_capacity(options.authorities.len());
        for authority in &options.authorities {
            authorities.push(read(authority).await?);
        }
        let client_certificate = match &options.client_certificate {
            Some((chain, key)) => Some((read(chain).await?, read(key).await?)),
            None => None,
        };
        Ok(Self { authorities, client_certificate })
    }

    /// The configuration that the options ask for.
    fn configure(&self, options: &TlsOptions) -> Result<ClientConfig, TlsError> {
        let provider = provider()?;
        let verifier = Verifier { inner: self.verifier(options, &provider)?, pins: options.pins.clone() };
        let builder = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(TlsError::Other)?
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(verifier));
        let mut config = match (&self.client_certificate, &options.client_certificate) {
            (Some((chain, key)), Some((chain_name, key_name))) => {
                let chain = certificates(chain, chain_name)?;
                let key = PrivateKeyDer::from_pem_slice(key).map_err(|_| TlsError::Pem {
                    path: key_name.to_string(),
                    wanted: "unencrypted private key",
                })?;
                builder.with_client_auth_cert(chain, key).map_err(TlsError::KeyMismatch)?
            }
            _ => builder.with_no_client_auth(),
        };
        config.alpn_protocols.clone_from(&options.alpn);
        Ok(config)
    }

    fn verifier(
        &self,
        options: &TlsOptions,
        provider: &Arc<CryptoProvider>,
    ) -> Result<Arc<dyn ServerCertVerifier>, TlsError> {
        if options.dangerously_accept_any {
            return Ok(Arc::new(AcceptAny(provider.clone())));
        }
        let no_roots = |reason: String| TlsError::NoRoots(reason);
        if options.authorities.is_empty() {
            let platform = PlatformVerifier::new(provider.clone());
            return Ok(Arc::new(platform.map_err(|error| no_roots(error.to_string()))?));
        }
        let mut authorities = Vec::new();
        for (pem, name) in self.authorities.iter().zip(&options.authorities) {
            authorities.extend(certificates(pem, name)?);
        }
        if options.platform_roots {
            let both = PlatformVerifier::new_with_extra_roots(authorities, provider.clone());
            return Ok(Arc::new(both.map_err(|error| no_roots(error.to_string()))?));
        }
        let mut roots = RootCertStore::empty();
        for authority in authorities {
            roots.add(authority).map_err(TlsError::Other)?;
        }
        let own = WebPkiServerVerifier::builder_with_provider(roots.into(), provider.clone()).build();
        Ok(own.map_err(|error| no_roots(error.to_string()))?)
    }
}

async fn read(pem: &Pem) -> Result<Vec<u8>, TlsError> {
    pem.read().await.map_err(|error| TlsError::File { path: pem.to_string(), error: Arc::new(error) })
}

/// At least one.
fn certificates(pem: &[u8], name: &Pem) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let certificates: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
    certificates
        .ok()
        .filter(|certificates| !certificates.is_empty())
        .ok_or_else(|| TlsError::Pem { path: name.to_string(), wanted: "certificate" })
}

/// What the process has installed, else what was compiled in.
fn provider() -> Result<Arc<CryptoProvider>, TlsError> {
    CryptoProvider::get_default().cloned().or_else(compiled_in).ok_or(TlsError::NoCryptoProvider)
}

#[cfg(feature = "ring")]
#[expect(clippy::unnecessary_wraps, reason = "without the feature there is none")]
fn compiled_in() -> Option<Arc<CryptoProvider>> {
    Some(Arc::new(tokio_rustls::rustls::crypto::ring::default_provider()))
}

#[cfg(all(feature = "aws-lc", not(feature = "ring")))]
#[expect(clippy::unnecessary_wraps, reason = "without the feature there is none")]
fn compiled_in() -> Option<Arc<CryptoProvider>> {
    Some(Arc::new(tokio_rustls::rustls::crypto::aws_lc_rs::default_provider()))
}

#[cfg(not(any(feature = "ring", feature = "aws-lc")))]
fn compiled_in() -> Option<Arc<CryptoProvider>> {
    None
}
