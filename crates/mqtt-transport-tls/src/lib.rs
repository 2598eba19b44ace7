//! TLS as a pipe for MQTT, on rustls.
//!
//! This crate knows nothing of MQTT, opens no socket, and does no cryptography: that is rustls with the provider of
//! your choice, by the features `ring` (default) and `aws-lc`, or whichever the process has installed. [`Tls`] goes
//! around a connector that opens the stream. There is no switch that turns verification off without the word
//! `dangerous` in its name.
//!
//! ```
//! use mqtt_transport::{Connect, Tcp};
//! use mqtt_transport_tls::{Tls, TlsOptions};
//!
//! let options = TlsOptions::new()
//!     .ca_file("/etc/kitchen/ca.pem")
//!     .client_certificate_files("/etc/kitchen/client.pem", "/etc/kitchen/client.key");
//! let connector = Tls::new(Tcp::new("broker.example", 8883), "broker.example", options)?;
//! // mqtt_client::connect("mqtt://broker.example").connector(connector).await?
//! # let _: Box<dyn Connect> = Box::new(connector);
//! # Ok::<(), mqtt_transport_tls::TlsError>(())
//! ```
//!
//! # What an error means, and what to do
//!
//! A failed opening is an [`io::Error`](std::io::Error) around a [`TlsError`]. Kinds that cannot pass by themselves, and
//! after which a client does not try again, are `InvalidData`, `InvalidInput` and `Unsupported`.
//!
//! | [`TlsError`] | what to do |
//! | --- | --- |
//! | `Expired`, `NotYetValid` | renew the server's certificate, or set the clock of this machine |
//! | `WrongHost` | connect by a name that stands in the certificate, or have one issued for this name |
//! | `UnknownIssuer` | name the CA that issued it: [`TlsOptions::ca_file`] |
//! | `SelfSigned` | take the certificate itself as the CA file, if it comes from you |
//! | `PinMismatch` | the server's key has changed: find out why before you change the pin |
//! | `ClientCertificateRequired` | give one: [`TlsOptions::client_certificate_files`] |
//! | `ClientCertificateRefused` | the server does not trust this one: wrong CA, expired, or revoked |
//! | `HandshakeRefused` | the server wants a client certificate, or other ciphers than rustls has |
//! | `NotTls` | the port speaks plain MQTT or something else: mend port or scheme |
//! | `HandshakeClosed` | the server closed in the middle: perhaps a port of plain MQTT, perhaps it just restarts; mqtt-client tries again only if this server has accepted it before |
//! | `OldTls` | the server has only TLS 1.1 or older: update it |
//! | `Alpn` | the server knows none of the protocols that were offered: [`TlsOptions::alpn`] |
//! | `File`, `Pem`, `KeyMismatch` | mend the file that it names |
//! | `NoRoots` | install the certificates of your system (`ca-certificates`), or name a CA file |
//! | `NoCryptoProvider` | turn on the feature `ring` or `aws-lc`, or install a provider of rustls |

mod config;
mod connector;
mod error;
mod options;
mod stream;
mod verifier;

pub use crate::config::TlsConfigs;
pub use crate::connector::Tls;
pub use crate::error::TlsError;
pub use crate::options::TlsOptions;
/// The version of rustls that [`Tls::with_config`] takes a configuration of.
pub use tokio_rustls::rustls;
