//! Clients for the two servers that the same tests are held against.

use core::time::Duration;
use mqtt_client::{Client, ConnectBuilder, Protocol, ReconnectPolicy, connect};

/// Long enough for the slowest machine, short enough to see a test that hangs.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// A client that comes back at once.
pub(crate) fn client(url: &str, id: &str, protocol: Protocol) -> ConnectBuilder {
    let reconnect = ReconnectPolicy::default()
        .first_delay(Duration::from_millis(20))
        .max_delay(Duration::from_millis(200));
    connect(url).client_id(id).protocol(protocol).reconnect(reconnect)
}

/// A client that sees everything, to watch another.
pub(crate) async fn observer(url: &str) -> Client {
    client(url, "observer", Protocol::V5).await.expect("the observer connects")
}
