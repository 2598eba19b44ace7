//! The connector: from a stream of bytes to TLS upon it.

use crate::config::TlsConfigs;
use crate::error::{TlsError, explain_handshake};
use crate::options::TlsOptions;
use crate::stream::Explained;
use core::fmt;
use mqtt_transport::{BoxFuture, BoxTransport, Connect};
use std::io;
use std::sync::Arc;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::ClientConfig;
use tokio_rustls::rustls::pki_types::ServerName;

/// Does TLS upon what another connector opens.
pub struct Tls<C> {
    inner: C,
    server_name: ServerName<'static>,
    source: Source,
}

/// Where the configuration comes from.
enum Source {
    Config(Arc<ClientConfig>),
    Options(Box<TlsConfigs>),
}

impl<C: Connect> Tls<C> {
    /// TLS with a server whose certificate must be for `host`, a DNS name or an IP address without brackets. Files are
    /// read when it connects.
    ///
    /// # Errors
    ///
    /// [`TlsError::InvalidServerName`].
    pub fn new(inner: C, host: &str, options: TlsOptions) -> Result<Self, TlsError> {
        let server_name = server_name(options.name_for(host))?;
        Ok(Self { inner, server_name, source: Source::Options(TlsConfigs::new(options).into()) })
    }

    /// TLS as this configuration of rustls has it, whatever that is.
    ///
    /// # Errors
    ///
    /// [`TlsError::InvalidServerName`].
    pub fn with_config(inner: C, host: &str, config: Arc<ClientConfig>) -> Result<Self, TlsError> {
        Ok(Self { inner, server_name: server_name(host)?, source: Source::Config(config) })
    }

    async fn open(&self) -> io::Result<BoxTransport> {
        let config = match &self.source {
            Source::Config(config) => config.clone(),
            Source::Options(configs) => configs.next().await?,
        };
        let stream = self.inner.connect().await?;
        let handshake = TlsConnector::from(config).connect(self.server_name.clone(), stream);
        Ok(Box::new(Explained(handshake.await.map_err(explain_handshake)?)))
    }
}

impl<C: Connect> Connect for Tls<C> {
    /// # Errors
    ///
    /// Those of the connector inside, and [`TlsError`]s.
    fn connect(&self) -> BoxFuture<'_, io::Result<BoxTransport>> {
        Box::pin(self.open())
    }
}

impl<C: fmt::Debug> fmt::Debug for Tls<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tls")
            .field("inner", &self.inner)
            .field("server_name", &self.server_name)
            .finish_non_exhaustive()
    }
}

fn server_name(name: &str) -> Result<ServerName<'static>, TlsError> {
    ServerName::try_from(name.to_owned()).map_err(|_| TlsError::InvalidServerName(name.to_owned()))
}
