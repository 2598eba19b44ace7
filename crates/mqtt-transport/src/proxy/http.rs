//! The method CONNECT of HTTP, RFC 9110 section 9.3.6, with Basic credentials, RFC 7617.

use super::{Credentials, ProxyError, broken, not_reached};
use crate::connect::{BoxFuture, BoxTransport, Connect};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use std::io;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

/// The longest answer of a proxy that is read.
const LONGEST_ANSWER: usize = 16 * 1024;

/// Headers that are looked at.
const HEADERS: usize = 64;

/// Reaches a server through a proxy of HTTP that allows CONNECT.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HttpProxy<C> {
    inner: C,
    host: String,
    port: u16,
    credentials: Option<Credentials>,
}

impl<C: Connect> HttpProxy<C> {
    /// Reaches `host` (IPv6 without brackets) at `port`; `inner` reaches the proxy.
    pub fn new(inner: C, host: impl Into<String>, port: u16) -> Self {
        Self { inner, host: host.into(), port, credentials: None }
    }

    /// What the proxy is told. The user name has no colon.
    #[must_use]
    pub fn credentials(mut self, username: impl Into<String>, password: impl Into<String>) -> Self {
        self.credentials = Some(Credentials { username: username.into(), password: password.into() });
        self
    }

    async fn open(&self) -> io::Result<BoxTransport> {
        let request = self.request()?;
        let mut stream = self.inner.connect().await.map_err(not_reached)?;
        let answer = ask(&mut stream, &request).await.map_err(broken)?;
        match status(&answer)? {
            200..=299 => Ok(stream),
            407 if self.credentials.is_none() => Err(ProxyError::CredentialsRequired.into()),
            407 => Err(ProxyError::CredentialsRefused.into()),
            401 | 403 | 405 => Err(ProxyError::NotAllowed.into()),
            status => Err(ProxyError::Unreachable(format!("status {status}")).into()),
        }
    }

    fn request(&self) -> Result<String, ProxyError> {
        if self.host.is_empty() || self.host.bytes().any(|byte| byte <= b' ' || byte == b'/' || byte == 0x7F)
        {
            return Err(ProxyError::NotUsable("the host is no name"));
        }
        let target = if self.host.contains(':') {
            format!("[{}]:{}", self.host, self.port)
        } else {
            format!("{}:{}", self.host, self.port)
        };
        let mut request = format!("CONNECT {target} HTTP/1.1\r\nHost: {target}\r\n");
        if let Some(Credentials { username, password }) = &self.credentials {
            if username.contains(':') {
                return Err(ProxyError::NotUsable("the user name has a colon"));
            }
            let basic = STANDARD.encode(format!("{username}:{password}"));
            request.push_str(&format!("Proxy-Authorization: Basic {basic}\r\n"));
        }
        request.push_str("\r\n");
        Ok(request)
    }
}

async fn ask(stream: &mut BoxTransport, request: &str) -> io::Result<Vec<u8>> {
    stream.write_all(request.as_bytes()).await?;
    stream.flush().await?;
    read_answer(stream).await
}

/// The head of the answer, and not a byte more: what comes after it is the server's.
async fn read_answer(stream: &mut BoxTransport) -> io::Result<Vec<u8>> {
    let mut answer = Vec::new();
    while !answer.ends_with(b"\r\n\r\n") {
        if answer.len() == LONGEST_ANSWER {
            return Err(ProxyError::NotAProxy("its answer has no end".into()).into());
        }
        answer.push(stream.read_u8().await?);
    }
    Ok(answer)
}

fn status(answer: &[u8]) -> Result<u16, ProxyError> {
    let mut headers = [httparse::EMPTY_HEADER; HEADERS];
    let mut response = httparse::Response::new(&mut headers);
    let parsed = response.parse(answer).map_err(|error| ProxyError::NotAProxy(error.to_string()))?;
    response.code.filter(|_| parsed.is_complete()).ok_or_else(|| ProxyError::NotAProxy("no status".into()))
}

impl<C: Connect> Connect for HttpProxy<C> {
    /// # Errors
    ///
    /// Those of the connector inside, and [`ProxyError`]s.
    fn connect(&self) -> BoxFuture<'_, io::Result<BoxTransport>> {
        Box::pin(self.open())
    }
}
