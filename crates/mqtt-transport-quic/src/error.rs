//! What goes wrong with a connection, in words that help.

use mqtt_transport_tls::TlsError;
use quinn::{ConnectionError, TransportErrorCode};
use std::io;

/// The handshake failed.
pub(crate) fn explain_handshake(error: ConnectionError) -> io::Error {
    if let Some(refused) = alert(&error) {
        return refused.into();
    }
    let kind = match &error {
        ConnectionError::TransportError(reason) if tls(reason.code).is_some() => io::ErrorKind::InvalidData,
        ConnectionError::VersionMismatch => io::ErrorKind::Unsupported,
        ConnectionError::TimedOut => io::ErrorKind::TimedOut,
        _ => io::ErrorKind::ConnectionRefused,
    };
    io::Error::new(kind, error)
}

/// A connection that stood is gone. Only here a client learns that its certificate was refused; the rest may pass.
pub(crate) fn explain_loss(error: ConnectionError) -> io::Error {
    match alert(&error) {
        Some(refused @ (TlsError::ClientCertificateRequired | TlsError::ClientCertificateRefused(_))) => {
            refused.into()
        }
        _ => error.into(),
    }
}

/// What the server complained about, if that was TLS.
fn alert(error: &ConnectionError) -> Option<TlsError> {
    match error {
        ConnectionError::ConnectionClosed(close) => tls(close.error_code).map(TlsError::of_alert),
        _ => None,
    }
}

/// TLS has its alerts in the codes from 0x100 to 0x1FF, RFC 9001 section 4.8.
fn tls(code: TransportErrorCode) -> Option<u8> {
    u8::try_from(u64::from(code).checked_sub(0x100)?).ok()
}
