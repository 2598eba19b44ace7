//! From an address to a connector: the one place that knows which transports are built in, and their options.

use crate::address::{Address, Scheme};
use crate::error::{ConnectError, OptionFault};
use core::time::Duration;
use mqtt_transport::{Connect, Tcp};
use std::sync::Arc;

#[cfg(any(feature = "tls", feature = "ws"))]
use crate::builder::ConnectBuilder;
#[cfg(feature = "proxy")]
use crate::proxy::Proxy;
#[cfg(feature = "tls")]
use mqtt_transport_tls::{Tls, TlsOptions};
#[cfg(feature = "ws")]
use mqtt_transport_ws::{WebSocket, WebSocketOptions};

/// How to reach servers, beside what their URLs say.
#[derive(Default)]
pub(crate) struct Transports {
    /// How long what was written may stay unacknowledged by the other side's TCP: what the client sends takes the place of
    /// its pings, and on a link that is half open nobody answers either.
    pub(crate) user_timeout: Option<Duration>,
    #[cfg(feature = "tls")]
    tls: Option<TlsSource>,
    #[cfg(feature = "ws")]
    websocket: Option<WebSocketOptions>,
    #[cfg(feature = "proxy")]
    pub(crate) proxy: Option<Proxy>,
}

/// The services of MQTT, as the IANA has registered them.
#[cfg(feature = "srv")]
const SERVICE: &str = "_mqtt._tcp";
#[cfg(feature = "srv")]
const SECURE_SERVICE: &str = "_secure-mqtt._tcp";

/// From a host and port to TCP.
struct Way {
    user_timeout: Option<Duration>,
    #[cfg(feature = "proxy")]
    proxy: Option<Proxy>,
}

impl Way {
    fn to(&self, host: &str, port: u16) -> Arc<dyn Connect> {
        #[cfg(feature = "proxy")]
        if let Some(proxy) = &self.proxy {
            return proxy.connector(host, port);
        }
        Arc::new(self.direct(host, port))
    }

    fn direct(&self, host: &str, port: u16) -> Tcp {
        let tcp = Tcp::new(host, port);
        match self.user_timeout {
            Some(timeout) => tcp.user_timeout(timeout),
            None => tcp,
        }
    }
}

#[cfg(feature = "tls")]
enum TlsSource {
    Options(TlsOptions),
    Config(Arc<mqtt_transport_tls::rustls::ClientConfig>),
}

/// # Transports
#[cfg(any(feature = "tls", feature = "ws"))]
impl ConnectBuilder {
    /// How to do TLS, for `mqtts://`, `wss://` and `quic://`: authorities, client certificate, pins. The operating system's
    /// authorities and no client certificate if it is not set.
    #[cfg(feature = "tls")]
    pub fn tls(mut self, options: TlsOptions) -> Self {
        self.transports.tls = Some(TlsSource::Options(options));
        self
    }

    /// TLS as this configuration of rustls has it, in place of [`tls`](Self::tls). Not for `quic://`.
    #[cfg(feature = "tls")]
    pub fn tls_config(mut self, config: Arc<mqtt_transport_tls::rustls::ClientConfig>) -> Self {
        self.transports.tls = Some(TlsSource::Config(config));
        self
    }

    /// How to ask for a WebSocket, for `ws://` and `wss://`: headers, bearer tokens, subprotocols, limits.
    #[cfg(feature = "ws")]
    pub fn websocket(mut self, options: WebSocketOptions) -> Self {
        self.transports.websocket = Some(options);
        self
    }
}

impl Transports {
    /// Options that no server can make use of are mistakes.
    pub(crate) fn check(
        &self,
        first: &Address,
        others: &[Address],
        own_connector: bool,
    ) -> Result<(), ConnectError> {
        let any = |fits: fn(Scheme) -> bool| {
            !own_connector && [first].into_iter().chain(others).any(|address| fits(address.scheme))
        };
        let checks = [
            #[cfg(feature = "tls")]
            ("tls", self.tls.is_some(), any(Scheme::is_secure), "a URL without TLS"),
            #[cfg(feature = "ws")]
            ("websocket", self.websocket.is_some(), any(Scheme::is_websocket), "a URL without WebSocket"),
            #[cfg(feature = "proxy")]
            ("proxy", self.proxy.is_some(), any(Scheme::is_tcp), "a URL without TCP"),
            ("", false, any(Scheme::is_secure), ""),
        ];
        let useless = checks.into_iter().find(|(_, set, used, _)| *set && !used);
        let Some((option, _, _, without)) = useless else { return Ok(()) };
        let fault = OptionFault::Conflict(if own_connector { "a connector of one's own" } else { without });
        Err(ConnectError::InvalidOption { option, fault })
    }

    /// The connector for a server.
    pub(crate) fn connector(&self, address: &Address) -> Result<Arc<dyn Connect>, ConnectError> {
        Ok(match address.scheme {
            Scheme::Tcp => self.tcp(address),
            #[cfg(feature = "tls")]
            Scheme::Tls => Arc::new(self.tls(address)?),
            #[cfg(feature = "ws")]
            Scheme::WebSocket => self.websocket(self.tcp(address), address)?,
            #[cfg(all(feature = "ws", feature = "tls"))]
            Scheme::SecureWebSocket => self.websocket(self.tls(address)?, address)?,
            #[cfg(feature = "quic")]
            Scheme::Quic => self.quic(address)?,
            #[cfg(unix)]
            Scheme::Unix => Arc::new(mqtt_transport::Unix::new(address.path.as_str())),
            // The address of what is not built in was refused when it was read.
            #[allow(unreachable_patterns, reason = "with all features there is no other")]
            _ => self.tcp(address),
        })
    }

    /// TCP, through the proxy if there is one.
    fn tcp(&self, address: &Address) -> Arc<dyn Connect> {
        let way = self.way();
        #[cfg(feature = "srv")]
        if address.srv {
            let service = if address.scheme.is_secure() { SECURE_SERVICE } else { SERVICE };
            let service = format!("{service}.{}", address.host);
            return Arc::new(mqtt_transport::srv::Srv::new(service, move |host, port| way.to(host, port)));
        }
        way.to(&address.host, address.port)
    }

    fn way(&self) -> Way {
        Way {
            user_timeout: self.user_timeout,
            #[cfg(feature = "proxy")]
            proxy: self.proxy.clone(),
        }
    }

    #[cfg(feature = "tls")]
    fn tls(&self, address: &Address) -> Result<Tls<Arc<dyn Connect>>, ConnectError> {
        let (tcp, host) = (self.tcp(address), address.host.as_str());
        let tls = match &self.tls {
            None => Tls::new(tcp, host, TlsOptions::new()),
            Some(TlsSource::Options(options)) => Tls::new(tcp, host, options.clone()),
            Some(TlsSource::Config(config)) => Tls::with_config(tcp, host, config.clone()),
        };
        tls.map_err(|error| wrong("tls", error.to_string()))
    }

    #[cfg(feature = "ws")]
    fn websocket<C: Connect + 'static>(
        &self,
        inner: C,
        address: &Address,
    ) -> Result<Arc<dyn Connect>, ConnectError> {
        let options = self.websocket.clone().unwrap_or_default();
        let socket = WebSocket::new(inner, &address.websocket_url(), options);
        Ok(Arc::new(socket.map_err(|error| wrong("websocket", error.to_string()))?))
    }

    #[cfg(feature = "quic")]
    fn quic(&self, address: &Address) -> Result<Arc<dyn Connect>, ConnectError> {
        let options = match &self.tls {
            None => TlsOptions::new(),
            Some(TlsSource::Options(options)) => options.clone(),
            Some(TlsSource::Config(_)) => {
                let fault = OptionFault::Conflict("quic://");
                return Err(ConnectError::InvalidOption { option: "tls_config", fault });
            }
        };
        Ok(Arc::new(mqtt_transport_quic::Quic::new(address.host.as_str(), address.port, options)))
    }
}

#[cfg(any(feature = "tls", feature = "ws"))]
fn wrong(option: &'static str, why: String) -> ConnectError {
    ConnectError::InvalidOption { option, fault: OptionFault::Transport(why) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_that_nobody_acknowledges_breaks() {
        let patience = Duration::from_secs(70);
        let transports = Transports { user_timeout: Some(patience), ..Transports::default() };
        assert_eq!(transports.way().direct("host", 1883), Tcp::new("host", 1883).user_timeout(patience));
        assert_eq!(Transports::default().way().direct("host", 1883), Tcp::new("host", 1883));
    }
}
