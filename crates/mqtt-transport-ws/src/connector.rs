//! The connector: from a stream of bytes to a WebSocket upon it.

use crate::error::{WebSocketError, explain, unanswered};
use crate::greeting::Greeting;
use crate::options::WebSocketOptions;
use crate::stream::ByteStream;
use core::fmt;
use core::str::FromStr;
use mqtt_transport::{BoxFuture, BoxTransport, Connect};
use std::io;
use tokio_tungstenite::client_async_with_config;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::handshake::client::Request;
use tokio_tungstenite::tungstenite::http::header::AUTHORIZATION;
use tokio_tungstenite::tungstenite::http::{HeaderMap, HeaderValue, Uri};
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;

/// Read at once, in bytes. The library writes zeros over so much before each read.
const READ: usize = 16 * 1024;

/// Opens a WebSocket upon what another connector opens. Binary frames only, no compression; pings of the WebSocket
/// are answered, none are sent, since MQTT has its own.
#[derive(Clone)]
pub struct WebSocket<C> {
    inner: C,
    url: Uri,
    headers: HeaderMap,
    options: WebSocketOptions,
}

impl<C: Connect> WebSocket<C> {
    /// A WebSocket at this URL. Where the connection goes is the business of `inner`, and whether it is safe; the URL says
    /// what to ask for: host, path and query.
    ///
    /// # Errors
    ///
    /// [`WebSocketError::InvalidUrl`], and what is wrong with the options.
    pub fn new(inner: C, url: &str, options: WebSocketOptions) -> Result<Self, WebSocketError> {
        let invalid = || WebSocketError::InvalidUrl(url.to_owned());
        let url = Uri::from_str(url).map_err(|_| invalid())?;
        if !matches!(url.scheme_str(), Some("ws" | "wss")) || url.host().is_none_or(str::is_empty) {
            return Err(invalid());
        }
        Ok(Self { inner, url, headers: options.headers()?, options })
    }

    async fn open(&self) -> io::Result<BoxTransport> {
        let request = self.request().await?;
        let limit = Some(self.options.max_message_size);
        let config = WebSocketConfig::default().max_message_size(limit).max_frame_size(limit);
        let config = config.read_buffer_size(READ);
        let stream = Greeting::new(self.inner.connect().await?);
        let (stream, _) =
            client_async_with_config(request, stream, Some(config)).await.map_err(unanswered)?;
        Ok(Box::new(ByteStream::new(stream)))
    }

    async fn request(&self) -> io::Result<Request> {
        let mut request = self.url.clone().into_client_request().map_err(explain)?;
        request.headers_mut().extend(self.headers.clone());
        if let Some(token) = &self.options.token {
            let invalid = |_| WebSocketError::InvalidHeader(AUTHORIZATION.to_string());
            let value = HeaderValue::from_str(&format!("Bearer {}", token().await?)).map_err(invalid)?;
            request.headers_mut().insert(AUTHORIZATION, value);
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

/// Shows no header and no query: tokens are among them.
impl<C: fmt::Debug> fmt::Debug for WebSocket<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (host, path) = (self.url.host(), self.url.path());
        f.debug_struct("WebSocket")
            .field("inner", &self.inner)
            .field("host", &host)
            .field("path", &path)
            .finish_non_exhaustive()
    }
}
