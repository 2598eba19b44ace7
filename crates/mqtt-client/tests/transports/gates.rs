//! Doors into the testkit's broker for each transport, by tokio-rustls, tungstenite and quinn.

use crate::certificates::Certificates;
use futures_util::{SinkExt, StreamExt};
use mqtt_testkit::broker::Broker;
use quinn::Endpoint;
use quinn::crypto::rustls::QuicServerConfig;
use std::path::Path;
use std::sync::Arc;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, DuplexStream};
use tokio::net::{TcpListener, UnixListener};
use tokio_rustls::TlsAcceptor;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::handshake::server::{Request, Response};
use tokio_tungstenite::tungstenite::http::HeaderValue;

/// What a door is made of.
#[derive(Clone, Copy, Default)]
pub(crate) struct Layers {
    pub(crate) tls: bool,
    /// TLS with client certificates.
    pub(crate) device: bool,
    pub(crate) websocket: bool,
}

/// Opens a TCP port with these layers, and tells which.
pub(crate) async fn tcp(broker: Arc<Broker>, certificates: Arc<Certificates>, layers: Layers) -> u16 {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let _ = stream.set_nodelay(true);
            let (broker, certificates) = (broker.clone(), certificates.clone());
            tokio::spawn(async move {
                if !layers.tls {
                    return enter(&broker, stream, layers).await;
                }
                // Made at each connection, so that it shows what the files say.
                let acceptor = TlsAcceptor::from(Arc::new(certificates.server(layers.device)));
                if let Ok(stream) = acceptor.accept(stream).await {
                    enter(&broker, stream, layers).await;
                }
            });
        }
    });
    port
}

async fn enter(
    broker: &Broker,
    stream: impl AsyncRead + AsyncWrite + Send + Unpin + 'static,
    layers: Layers,
) {
    if layers.websocket {
        let (near, far) = tokio::io::duplex(64 * 1024);
        broker.serve(far);
        framed(stream, near).await;
    } else {
        broker.serve(stream);
    }
}

/// Carries bytes in frames until either side ends.
#[expect(clippy::result_large_err, reason = "the callback's type is tungstenite's")]
async fn framed(stream: impl AsyncRead + AsyncWrite + Unpin, pipe: DuplexStream) {
    let choose = |_: &Request, mut response: Response| {
        response.headers_mut().insert("Sec-WebSocket-Protocol", HeaderValue::from_static("mqtt"));
        Ok(response)
    };
    let Ok(socket) = tokio_tungstenite::accept_hdr_async(stream, choose).await else { return };
    let (mut frames_out, mut frames_in) = socket.split();
    let (mut from_broker, mut to_broker) = tokio::io::split(pipe);
    let outwards = async {
        let mut chunk = vec![0; 16 * 1024];
        while let Ok(read @ 1..) = from_broker.read(&mut chunk).await {
            let frame = Message::Binary(chunk[..read].to_vec().into());
            if frames_out.send(frame).await.is_err() {
                return;
            }
        }
    };
    let inwards = async {
        while let Some(Ok(frame)) = frames_in.next().await {
            if frame.is_binary() && to_broker.write_all(&frame.into_data()).await.is_err() {
                return;
            }
        }
    };
    tokio::select! {
        () = outwards => {}
        () = inwards => {}
    }
}

/// Opens a Unix socket.
pub(crate) fn unix(broker: Arc<Broker>, path: &Path) {
    let listener = UnixListener::bind(path).unwrap();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            broker.serve(stream);
        }
    });
}

/// Opens a UDP port for QUIC. What it shows stays until [`shown`] is set anew.
pub(crate) fn quic(broker: Arc<Broker>, certificates: &Certificates) -> Endpoint {
    let endpoint = Endpoint::server(shown(certificates), ([127, 0, 0, 1], 0).into()).unwrap();
    let accepting = endpoint.clone();
    tokio::spawn(async move {
        while let Some(incoming) = accepting.accept().await {
            let broker = broker.clone();
            tokio::spawn(async move {
                let Ok(connection) = incoming.await else { return };
                if let Ok((to_client, from_client)) = connection.accept_bi().await {
                    broker.serve(tokio::io::join(from_client, to_client));
                    connection.closed().await;
                }
            });
        }
    });
    endpoint
}

pub(crate) fn shown(certificates: &Certificates) -> quinn::ServerConfig {
    let config = QuicServerConfig::try_from(certificates.server(false)).unwrap();
    quinn::ServerConfig::with_crypto(Arc::new(config))
}
