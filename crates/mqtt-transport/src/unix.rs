//! Unix sockets.

use crate::connect::{BoxFuture, BoxTransport, Connect};
use crate::tcp::explain;
use std::io;
use std::path::{Path, PathBuf};
use tokio::net::UnixStream;

/// Connects to a Unix socket, for a server on the same machine. On Unix only.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unix {
    path: PathBuf,
}

impl Unix {
    /// A connector to the socket at `path`.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into() }
    }

    /// Where the socket is.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl Connect for Unix {
    /// # Errors
    ///
    /// There is no such socket, nobody listens, or it may not be opened; the message names the path.
    fn connect(&self) -> BoxFuture<'_, io::Result<BoxTransport>> {
        Box::pin(async move {
            let opened = UnixStream::connect(&self.path).await;
            let stream = opened.map_err(|error| explain(&error, &self.path.display().to_string()))?;
            Ok(Box::new(stream) as BoxTransport)
        })
    }
}
