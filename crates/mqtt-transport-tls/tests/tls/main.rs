//! TLS with real handshakes over real sockets.

mod common;
mod failures;
mod streams;
