//! QUIC as a pipe for MQTT, on quinn.
//!
//! This crate knows nothing of MQTT but the name of its protocol, `mqtt` in ALPN. One connection carries one
//! bidirectional stream, opened by the client; it makes no use of further streams, which no standard gives a meaning.
//! The server is verified as [`TlsOptions`] say; there is no way around it that does not have `dangerous` in its name.
//!
//! ```
//! use mqtt_transport::Connect;
//! use mqtt_transport_quic::Quic;
//! use mqtt_transport_tls::TlsOptions;
//!
//! let connector = Quic::new("broker.example", 14567, TlsOptions::new());
//! // mqtt_client::connect("mqtt://broker.example").connector(connector).await?
//! # let _: Box<dyn Connect> = Box::new(connector);
//! ```
//!
//! # What an error means, and what to do
//!
//! A failed opening is an [`io::Error`](std::io::Error); its kind says whether trying again can help.
//!
//! | error | kind | what to do |
//! | --- | --- | --- |
//! | a [`TlsError`](mqtt_transport_tls::TlsError) | as there | see the table of mqtt-transport-tls: a file cannot be used, or the server refuses the client certificate or the protocol |
//! | "the cryptographic handshake failed", with what is wrong with the server's certificate | `InvalidData` | name the CA, or connect by a name that stands in the certificate |
//! | timed out | `TimedOut` | nobody answers by UDP: a server without QUIC, another port, or a firewall; a client tries again |
//! | no common version | `Unsupported` | the server speaks another version of QUIC than 1 |
//! | closed or reset by the peer | `ConnectionAborted`, `ConnectionReset`, `ConnectionRefused` | the server has something against it, or restarts; a client tries again |
//!
//! # Networks that change
//!
//! A client that changes its network keeps its connection, if the server lets connections migrate, as most do: the
//! socket is bound to no address, and QUIC knows a connection by its number.

mod connector;
mod error;
mod stream;

pub use crate::connector::Quic;
pub use mqtt_transport_tls::TlsOptions;
