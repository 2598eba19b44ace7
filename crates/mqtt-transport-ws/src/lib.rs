//! WebSocket as a pipe for MQTT, section 6 of the standard.
//!
//! This crate knows nothing of MQTT but the name of its subprotocol, and does no framing of its own: that is
//! tokio-tungstenite's. It opens no socket and no TLS either: [`WebSocket`] goes around a connector that does.
//!
//! ```
//! use mqtt_transport::{Connect, Tcp};
//! use mqtt_transport_ws::{WebSocket, WebSocketOptions};
//!
//! # fn main() -> Result<(), mqtt_transport_ws::WebSocketError> {
//! let options = WebSocketOptions::new().header("X-Tenant", "kitchen").bearer_token("abc");
//! let tcp = Tcp::new("broker.example", 8080);
//! let connector = WebSocket::new(tcp, "ws://broker.example:8080/mqtt", options)?;
//! // mqtt_client::connect("mqtt://broker.example").connector(connector).await?
//! # let _: Box<dyn Connect> = Box::new(connector);
//! # Ok(())
//! # }
//! ```
//!
//! # What an error means, and what to do
//!
//! A failed opening is an [`io::Error`](std::io::Error) around a [`WebSocketError`]; its kind says whether trying again
//! can help.
//!
//! | error | kind | what to do |
//! | --- | --- | --- |
//! | the server answered 401 or 403 | `PermissionDenied` | mend the token or header that should let you in; some servers want the user name and password of MQTT only |
//! | the server answered 404 or another 4xx | `InvalidInput` | mend the path of the URL: most brokers listen on `/mqtt`, some on `/` or `/ws` |
//! | the server answered 429 or 5xx | `ConnectionRefused` | try again later, which a client does by itself |
//! | the server did not choose the subprotocol | `Unsupported` | this is a WebSocket server, but not one of MQTT; mend host, port or path |
//! | the server speaks TLS on this port | `InvalidInput` | the URL says `ws://`: use `wss://` |
//! | the server closed without an answer | `UnexpectedEof` | perhaps a port of TLS, since some close without a word (use `wss://`), or of plain MQTT, perhaps it just restarts: a client tries again |
//! | this is no WebSocket server | `InvalidData` | mend the port: it may be that of plain MQTT |
//! | the server sent text | `InvalidData` | report it to whoever runs the server: MQTT travels in binary frames `[MQTT-6.0.0-1]` |
//! | the server closed with a code | `ConnectionAborted` | read the reason; 1008 and 1009 mean that it did not like what it got |

mod connector;
mod error;
mod greeting;
mod options;
mod stream;

pub use crate::connector::WebSocket;
pub use crate::error::WebSocketError;
pub use crate::options::WebSocketOptions;
