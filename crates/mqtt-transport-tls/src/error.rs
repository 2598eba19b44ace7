//! What goes wrong with TLS, by what to do about it.

use std::io;
use std::sync::Arc;
use tokio_rustls::rustls::{AlertDescription, CertificateError, Error as Rustls};

/// Why there is no TLS, or no longer one. Inside an [`io::Error`] unless a builder returns it. The crate's front page says
/// what to do about each.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TlsError {
    /// The time of the server's certificate has passed.
    #[error("the server's certificate has expired")]
    Expired,
    /// Its time has not come.
    #[error("the server's certificate is not valid yet")]
    NotYetValid,
    /// The certificate is for other names.
    #[error("the server's certificate is not for {expected}, but for {}", names(.presented))]
    WrongHost {
        /// The name that was asked for.
        expected: String,
        /// The names in the certificate.
        presented: Vec<String>,
    },
    /// None of the trusted authorities has issued it.
    #[error("the server's certificate was issued by nobody who is trusted here")]
    UnknownIssuer,
    /// It was issued by itself, and is not trusted.
    #[error("the server's certificate is signed by itself, and not trusted here")]
    SelfSigned,
    /// The certificate is in order, but its key is none of the pinned ones.
    #[error("the server's key is none of those that are pinned")]
    PinMismatch,
    /// Something else is wrong with the server's certificate.
    #[error("the server's certificate is not usable: {0}")]
    BadCertificate(CertificateError),
    /// The server wants a client certificate.
    #[error("the server wants a client certificate, and none was given")]
    ClientCertificateRequired,
    /// The server does not accept the client certificate.
    #[error("the server refused the client certificate: {0:?}")]
    ClientCertificateRefused(AlertDescription),
    /// The server ended the handshake without saying more.
    #[error("the server refused the handshake: it may want a client certificate, or other ciphers")]
    HandshakeRefused,
    /// What answered does not speak TLS.
    #[error("the server does not speak TLS on this port")]
    NotTls,
    /// The server closed in the middle of the handshake.
    #[error("the server closed during the TLS handshake; this may be a port without TLS")]
    HandshakeClosed,
    /// The server has neither TLS 1.2 nor 1.3.
    #[error("the server has only versions of TLS that are no longer safe (1.1 or older)")]
    OldTls,
    /// The server knows none of the offered protocols.
    #[error("the server knows none of the protocols that were offered by ALPN")]
    Alpn,
    /// A file cannot be read.
    #[error("cannot read {path}: {error}")]
    File {
        /// The file.
        path: String,
        /// Why not.
        error: Arc<io::Error>,
    },
    /// A file does not hold what it should.
    #[error("there is no {wanted} in {path}")]
    Pem {
        /// The file.
        path: String,
        /// What should be in it.
        wanted: &'static str,
    },
    /// The key does not belong to the client certificate, or is of no use.
    #[error("the key does not fit the client certificate: {0}")]
    KeyMismatch(Rustls),
    /// The operating system trusts nobody, as far as can be found out.
    #[error("no trusted certificates were found on this system: {0}")]
    NoRoots(String),
    /// No cryptography was compiled in or installed.
    #[error("there is no crypto provider: turn on the feature `ring` or `aws-lc`, or install one in rustls")]
    NoCryptoProvider,
    /// Neither a DNS name nor an IP address.
    #[error("{0:?} is no name of a server")]
    InvalidServerName(String),
    /// Anything else.
    #[error("TLS failed: {0}")]
    Other(Rustls),
}

fn names(presented: &[String]) -> String {
    if presented.is_empty() { "no name at all".to_owned() } else { presented.join(", ") }
}

impl TlsError {
    /// What an alert of the server means, by its number (RFC 8446 section 6): for transports that do the handshake
    /// themselves.
    pub fn of_alert(number: u8) -> Self {
        alert(AlertDescription::from(number))
    }

    const fn kind(&self) -> io::ErrorKind {
        match self {
            Self::HandshakeClosed => io::ErrorKind::UnexpectedEof,
            Self::File { .. } | Self::Pem { .. } | Self::KeyMismatch(_) | Self::InvalidServerName(_) => {
                io::ErrorKind::InvalidInput
            }
            Self::OldTls | Self::Alpn | Self::NoRoots(_) | Self::NoCryptoProvider => {
                io::ErrorKind::Unsupported
            }
            _ => io::ErrorKind::InvalidData,
        }
    }
}

impl From<TlsError> for io::Error {
    fn from(error: TlsError) -> Self {
        Self::new(error.kind(), error)
    }
}

/// A failure of the handshake, in words of ours.
pub(crate) fn explain_handshake(error: io::Error) -> io::Error {
    match rustls_error(&error) {
        Some(reason) => named(reason).into(),
        // A server that closes without reading what it got resets the connection.
        None if matches!(error.kind(), io::ErrorKind::UnexpectedEof | io::ErrorKind::ConnectionReset) => {
            TlsError::HandshakeClosed.into()
        }
        None => error,
    }
}

/// A failure on a connection that stands. In TLS 1.3 a client learns only here that its certificate was refused; the
/// rest may pass.
pub(crate) fn explain_stream(error: io::Error) -> io::Error {
    match rustls_error(&error).map(named) {
        Some(refused @ (TlsError::ClientCertificateRequired | TlsError::ClientCertificateRefused(_))) => {
            refused.into()
        }
        Some(other) => io::Error::new(io::ErrorKind::ConnectionAborted, other),
        None => error,
    }
}

fn rustls_error(error: &io::Error) -> Option<&Rustls> {
    error.get_ref()?.downcast_ref()
}

fn named(error: &Rustls) -> TlsError {
    match error {
        Rustls::InvalidCertificate(reason) => certificate(reason),
        Rustls::AlertReceived(description) => alert(*description),
        Rustls::InvalidMessage(_) => TlsError::NotTls,
        Rustls::PeerIncompatible(_) => TlsError::OldTls,
        Rustls::NoApplicationProtocol => TlsError::Alpn,
        _ => TlsError::Other(error.clone()),
    }
}

fn alert(alert: AlertDescription) -> TlsError {
    use AlertDescription as Alert;
    match alert {
        Alert::CertificateRequired => TlsError::ClientCertificateRequired,
        Alert::BadCertificate
        | Alert::UnsupportedCertificate
        | Alert::CertificateRevoked
        | Alert::CertificateExpired
        | Alert::CertificateUnknown
        | Alert::UnknownCA
        | Alert::AccessDenied
        | Alert::DecryptError => TlsError::ClientCertificateRefused(alert),
        Alert::HandshakeFailure => TlsError::HandshakeRefused,
        Alert::ProtocolVersion => TlsError::OldTls,
        Alert::NoApplicationProtocol => TlsError::Alpn,
        _ => TlsError::Other(Rustls::AlertReceived(alert)),
    }
}

fn certificate(reason: &CertificateError) -> TlsError {
    match reason {
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => TlsError::Expired,
        CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => TlsError::NotYetValid,
        CertificateError::NotValidForNameContext { expected, presented } => {
            TlsError::WrongHost { expected: expected.to_str().into_owned(), presented: presented.clone() }
        }
        CertificateError::UnknownIssuer => TlsError::UnknownIssuer,
        CertificateError::Other(other) => match other.0.downcast_ref::<TlsError>() {
            Some(ours) => ours.clone(),
            None => TlsError::BadCertificate(reason.clone()),
        },
        _ => TlsError::BadCertificate(reason.clone()),
    }
}
