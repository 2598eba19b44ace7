//! What to ask the server for, beside the URL.

use crate::error::WebSocketError;
use core::fmt;
use core::str::FromStr;
use mqtt_transport::BoxFuture;
use std::io;
use std::sync::Arc;
use tokio_tungstenite::tungstenite::http::header::{AUTHORIZATION, SEC_WEBSOCKET_PROTOCOL};
use tokio_tungstenite::tungstenite::http::{HeaderMap, HeaderName, HeaderValue};

/// What MQTT offers `[MQTT-6.0.0-3]`.
const SUBPROTOCOL: &str = "mqtt";

/// The largest packet of MQTT, with its fixed header.
const LARGEST_PACKET: usize = 268_435_460;

/// How to ask for a WebSocket. The default sends no headers but those that the WebSocket needs, and offers `mqtt`.
/// Everything is checked by [`WebSocket::new`](crate::WebSocket::new).
#[derive(Clone)]
pub struct WebSocketOptions {
    headers: Vec<(String, String)>,
    pub(crate) token: Option<TokenSource>,
    subprotocols: Vec<String>,
    pub(crate) max_message_size: usize,
}

/// Gives the token of the next connection.
pub(crate) type TokenSource = Arc<dyn Fn() -> BoxFuture<'static, io::Result<String>> + Send + Sync>;

impl Default for WebSocketOptions {
    fn default() -> Self {
        Self {
            headers: Vec::new(),
            token: None,
            subprotocols: vec![SUBPROTOCOL.to_owned()],
            max_message_size: LARGEST_PACKET,
        }
    }
}

impl WebSocketOptions {
    /// The default.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a header to the request, for servers that route or authorize by it. Not one that belongs to the WebSocket itself.
    #[must_use]
    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Sends `Authorization: Bearer` with this token.
    #[must_use]
    pub fn bearer_token(self, token: &str) -> Self {
        self.header(AUTHORIZATION.as_str(), &format!("Bearer {token}"))
    }

    /// Sends `Authorization: Bearer` with a token that is asked for at each connection, for tokens that expire. An error of
    /// the provider fails that attempt. It takes the place of [`bearer_token`](Self::bearer_token).
    #[must_use]
    pub fn bearer_token_from<P, F>(mut self, provider: P) -> Self
    where
        P: Fn() -> F + Send + Sync + 'static,
        F: Future<Output = io::Result<String>> + Send + 'static,
    {
        self.token = Some(Arc::new(move || Box::pin(provider())));
        self
    }

    /// Offers these subprotocols, most wanted first, instead of `mqtt`. Servers of MQTT 3.1 know `mqttv3.1` `[31-25]`.
    #[must_use]
    pub fn subprotocols<'a>(mut self, names: impl IntoIterator<Item = &'a str>) -> Self {
        self.subprotocols = names.into_iter().map(str::to_owned).collect();
        self
    }

    /// The largest message of the WebSocket to accept, in bytes: it is held whole before the first byte is handed on, and
    /// servers put at least one packet of MQTT into each. The largest packet there is, 256 MiB, if it is not set.
    #[must_use]
    pub fn max_message_size(mut self, bytes: usize) -> Self {
        self.max_message_size = bytes;
        self
    }

    /// The headers of the request, but for a token that is still to be asked for.
    pub(crate) fn headers(&self) -> Result<HeaderMap, WebSocketError> {
        let mut headers = HeaderMap::new();
        for (name, value) in &self.headers {
            let invalid = || WebSocketError::InvalidHeader(name.clone());
            let name = HeaderName::from_str(name).map_err(|_| invalid())?;
            let reserved = ["connection", "upgrade", "host"].contains(&name.as_str());
            if reserved || name.as_str().starts_with("sec-websocket-") {
                return Err(invalid());
            }
            headers.append(name, HeaderValue::from_str(value).map_err(|_| invalid())?);
        }
        if let Some(wrong) = self.subprotocols.iter().find(|name| !is_word(name)) {
            return Err(WebSocketError::InvalidSubprotocol(wrong.clone()));
        }
        let offered = self.subprotocols.join(", ");
        match HeaderValue::from_str(&offered) {
            Ok(value) if !value.is_empty() => headers.insert(SEC_WEBSOCKET_PROTOCOL, value),
            _ => return Err(WebSocketError::InvalidSubprotocol(offered)),
        };
        Ok(headers)
    }
}

/// A token of HTTP.
fn is_word(name: &str) -> bool {
    !name.is_empty() && name.bytes().all(|b| b.is_ascii_graphic() && !b"()<>@,;:\\\"/[]?={}".contains(&b))
}

/// Shows no header: tokens are among them.
impl fmt::Debug for WebSocketOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WebSocketOptions")
            .field("subprotocols", &self.subprotocols)
            .field("max_message_size", &self.max_message_size)
            .finish_non_exhaustive()
    }
}
