//! `mqtt5-broker CERTIFICATE KEY`: the broker of the crate mqtt5, on loopback ports of its choice. It prints one line
//! `SCHEME URL` for each, then an empty one, and ends when its input does: with whoever started it.

use mqtt5::broker::MqttBroker;
use mqtt5::broker::config::{
    BrokerConfig, QuicConfig, ServerDeliveryStrategy, StorageBackend, StorageConfig, TlsConfig,
    WebSocketConfig,
};
use std::net::{SocketAddr, TcpListener};
use std::{env, error, io};

#[tokio::main]
async fn main() -> Result<(), Box<dyn error::Error>> {
    let [certificate, key] = env::args_os()
        .skip(1)
        .collect::<Vec<_>>()
        .try_into()
        .map_err(|_| "usage: mqtt5-broker CERTIFICATE KEY")?;
    let any = SocketAddr::from(([127, 0, 0, 1], 0));
    // It does not tell which port it took for WebSocket over TLS.
    let secure_websocket = TcpListener::bind(any)?.local_addr()?;
    let mut storage = StorageConfig::default();
    storage.backend = StorageBackend::Memory;
    let websocket = |addr| WebSocketConfig::new().with_bind_addresses(vec![addr]);
    let config = BrokerConfig::default()
        .with_bind_address(any)
        // Its default is more than a packet can have.
        .with_max_packet_size(32 << 20)
        .with_tls(
            TlsConfig::new(certificate.clone().into(), key.clone().into()).with_bind_addresses(vec![any]),
        )
        .with_websocket(websocket(any))
        .with_websocket_tls(websocket(secure_websocket).with_tls(true))
        .with_quic(QuicConfig::new(certificate.into(), key.into()).with_bind_addresses(vec![any]))
        // One stream for everything, as most clients have it.
        .with_server_delivery_strategy(ServerDeliveryStrategy::ControlOnly)
        .with_storage(storage);
    let mut broker = MqttBroker::with_config(config).await?;
    let stopping = broker.shutdown_handle();
    let listening = [
        ("mqtt", broker.local_addr(), ""),
        ("mqtts", broker.tls_local_addr(), ""),
        ("ws", broker.ws_local_addr(), "/mqtt"),
        ("wss", Some(secure_websocket), "/mqtt"),
        ("quic", broker.quic_local_addr(), ""),
    ];
    for (scheme, addr, path) in listening {
        if let Some(addr) = addr {
            println!("{scheme} {scheme}://{addr}{path}");
        }
    }
    println!();
    std::thread::spawn(move || {
        // Whether it ends or breaks: nobody is there any more.
        let _ = io::copy(&mut io::stdin(), &mut io::sink());
        stopping.shutdown();
    });
    broker.run().await?;
    Ok(())
}
