//! The connector: from a stream of bytes to a WebSocket upon it.

use crate::error::{WebSocketError, explain};
use crate::stream::ByteStream;
use core::fmt;
use core::str::FromStr;
use mqtt_transport::{BoxFuture, BoxTransport, Connect};
use std::io;
use std::sync::Arc;
use tokio_tungstenite::client_async_with_config;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::handshake::client::Request;
use tokio_tungstenite::tungstenite::http::header::{AUTHORIZATION, SEC_WEBSOCKET_PROTOCOL};
use tokio_tungstenite::tungstenite::http::{HeaderMap, HeaderName, HeaderValue, Uri};
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;

/// What MQTT offers `[MQTT-6.0.0-3]`.
const SUBPROTOCOL: &str = "mqtt";

/// The largest packet of MQTT, with its fixed header.
const LARGEST_PACKET: usize = 268_435_460;

/// Opens a WebSocket upon what another connector opens. Binary frames only, no compression; pings of the WebSocket
/// are answered, none are sent, since MQTT has its own.
#[derive(Clone)]
pub struct WebSocket<C> {
    inner: C,
    url: Uri,
    headers: HeaderMap,
    token: Option<TokenSource>,
    max_message_size: usize,
}

/// Gives the token of the next connection.
type TokenSource = Arc<dyn Fn() -> BoxFuture<'static, io::Result<String>> + Send + Sync>;

impl<C: Connect> WebSocket<C> {
    /// A WebSocket at this URL. Where the connection goes is the business of `inner`; the URL says what to ask for, host
    /// and path with query, and whether the page is secure is for `inner` to know.
    ///
    /// # Errors
    ///
    /// [`WebSocketError::InvalidUrl`].
    pub fn new(inner: C, url: &str) -> Result<Self, WebSocketError> {
        let invalid = || WebSocketError::InvalidUrl(url.to_owned());
        let url = Uri::from_str(url).map_err(|_| invalid())?;
        if !matches!(url.scheme_str(), Some("ws" | "wss")) || url.host().is_none_or(str::is_empty) {
            return Err(invalid());
        }
        let mut headers = HeaderMap::new();
        headers.insert(SEC_WEBSOCKET_PROTOCOL, HeaderValue::from_static(SUBPROTOCOL));
        Ok(Self { inner, url, headers, token: None, max_message_size: LARGEST_PACKET })
    }

    /// Adds a header to the request, for servers that route or authorize by it.
    ///
    /// # Errors
    ///
    /// [`WebSocketError::InvalidHeader`], also for a header that belongs to the WebSocket itself.
    pub fn header(mut self, name: &str, value: &str) -> Result<Self, WebSocketError> {
        let invalid = || WebSocketError::InvalidHeader(name.to_owned());
        let name = HeaderName::from_str(name).map_err(|_| invalid())?;
        let reserved = ["connection", "upgrade", "host"].contains(&name.as_str());
        if reserved || name.as_str().starts_with("sec-websocket-") {
            return Err(invalid());
        }
        let value = HeaderValue::from_str(value).map_err(|_| invalid())?;
        self.headers.append(name, value);
        Ok(self)
    }

    /// Sends `Authorization: Bearer` with this token.
    ///
    /// # Errors
    ///
    /// [`WebSocketError::InvalidHeader`] if the token has characters that a header cannot have.
    pub fn bearer_token(mut self, token: &str) -> Result<Self, WebSocketError> {
        self.headers.insert(AUTHORIZATION, bearer(token)?);
        Ok(self)
    }

    /// Sends `Authorization: Bearer` with a token that is asked for at each connection, for tokens that expire. An error
    /// of the provider fails that attempt. It takes the place of [`bearer_token`](Self::bearer_token).
    pub fn bearer_token_from<P, F>(mut self, provider: P) -> Self
    where
        P: Fn() -> F + Send + Sync + 'static,
        F: Future<Output = io::Result<String>> + Send + 'static,
    {
        self.token = Some(Arc::new(move || Box::pin(provider())));
        self
    }

    /// Offers these subprotocols, most wanted first, instead of `mqtt`. Servers of MQTT 3.1 know `mqttv3.1` `[31-25]`.
    ///
    /// # Errors
    ///
    /// [`WebSocketError::InvalidSubprotocol`]: none, or one that is not a word.
    pub fn subprotocols(mut self, names: &[&str]) -> Result<Self, WebSocketError> {
        let is_word = |name: &&str| {
            !name.is_empty()
                && name.bytes().all(|b| b.is_ascii_graphic() && !b"()<>@,;:\\\"/[]?={}".contains(&b))
        };
        if let Some(wrong) = names.iter().find(|name| !is_word(name)) {
            return Err(WebSocketError::InvalidSubprotocol((*wrong).to_owned()));
        }
        let offered = HeaderValue::from_str(&names.join(", ")).ok().filter(|value| !value.is_empty());
        let offered = offered.ok_or_else(|| WebSocketError::InvalidSubprotocol(String::new()))?;
        self.headers.insert(SEC_WEBSOCKET_PROTOCOL, offered);
        Ok(self)
    }

    /// The largest message of the WebSocket to accept, in bytes: it is held whole before the first byte is handed on, and
    /// servers put at least one packet of MQTT into each. The largest packet there is, 256 MiB, if it is not set.
    pub fn max_message_size(mut self, bytes: usize) -> Self {
        self.max_message_size = bytes;
        self
    }

    async fn open(&self) -> io::Result<BoxTransport> {
        let request = self.request().await?;
        let config = WebSocketConfig::default()
            .max_message_size(Some(self.max_message_size))
            .max_frame_size(Some(self.max_message_size));
        let stream = self.inner.connect().await?;
        let (stream, _) = client_async_with_config(request, stream, Some(config)).await.map_err(explain)?;
        Ok(Box::new(ByteStream::new(stream)))
    }

    async fn request(&self) -> io::Result<Request> {
        let mut request = self.url.clone().into_client_request().map_err(explain)?;
        request.headers_mut().extend(self.headers.clone());
        if let Some(token) = &self.token {
            request.headers_mut().insert(AUTHORIZATION, bearer(&token().await?)?);
        }
        Ok(request)
    }
}

impl<C: Connect> Connect for WebSocket<C> {
    /// # Errors
    ///
    /// Those of the connector inside, and [`WebSocketError`]s.
    fn connect(&self) -> BoxFuture<'_, io::Result<BoxTransport>> {
        Box::pin(self.open())
    }
}

/// Shows no header: tokens are among them.
impl<C: fmt::Debug> fmt::Debug for WebSocket<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WebSocket")
            .field("inner", &self.inner)
            .field("host", &self.url.host())
            .finish_non_exhaustive()
    }
}

fn bearer(token: &str) -> Result<HeaderValue, WebSocketError> {
    let invalid = || WebSocketError::InvalidHeader("authorization".into());
    let mut value = HeaderValue::from_str(&format!("Bearer {token}")).map_err(|_| invalid())?;
    value.set_sensitive(true);
    Ok(value)
}
