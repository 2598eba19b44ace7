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
//! A client that changes its network keeps its connection, if the server lets connections migrate, as most do: the
//! socket is bound to no address, and QUIC knows a connection by its number.

mod connector;
mod stream;

pub use crate::connector::Quic;
pub use mqtt_transport_tls::TlsOptions;
