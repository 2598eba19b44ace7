//! The two servers that the same tests are held against, and clients for them.

use core::time::Duration;
use mqtt_client::{Client, ConnectBuilder, Protocol, ReconnectPolicy, connect};
use mqtt_testkit::broker::{Broker, Restart};
use mqtt_testkit::mosquitto::Mosquitto;
use mqtt_testkit::proxy::Proxy;
use std::fs;
use std::path::PathBuf;
use std::time::SystemTime;

/// Long enough for the slowest machine, short enough to see a test that hangs.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// A server under test.
pub(crate) enum Server {
    /// Debian's mosquitto, behind a proxy that can stop the conversation.
    Mosquitto { broker: Mosquitto, proxy: Proxy },
    /// The testkit's own broker.
    Testkit(Broker),
}

impl Server {
    pub(crate) async fn mosquitto() -> Self {
        let broker = Mosquitto::builder()
            .persistence(true)
            // Nothing may be dropped by the server's own limits.
            .config("max_queued_messages 0")
            .config("max_inflight_messages 1000")
            .start();
        let proxy = Proxy::start(broker.addr()).await.expect("a proxy on loopback");
        Self::Mosquitto { broker, proxy }
    }

    pub(crate) async fn testkit() -> Self {
        Self::Testkit(Broker::builder().without_record().start().await.expect("a broker on loopback"))
    }

    pub(crate) fn url(&self) -> String {
        match self {
            Self::Mosquitto { proxy, .. } => proxy.url(),
            Self::Testkit(broker) => broker.url(),
        }
    }

    /// Cuts every connection without a word.
    pub(crate) fn cut(&self) {
        match self {
            Self::Mosquitto { proxy, .. } => proxy.cut(),
            Self::Testkit(broker) => broker.cut_all(),
        }
    }

    /// Kills the server where it stands and starts it again, with what it had saved.
    ///
    /// mosquitto acknowledges before it saves: what it has acknowledged within the last second it would lose, whatever
    /// its clients do. So the conversation is frozen first, in whatever stage each message is, until mosquitto has
    /// saved that stage; then comes SIGKILL.
    pub(crate) async fn crash(&mut self) {
        match self {
            Self::Mosquitto { broker, proxy } => {
                proxy.freeze();
                saved(broker).await;
                broker.kill();
                broker.restart();
                proxy.cut();
            }
            Self::Testkit(broker) => broker.restart(Restart::Keep).await.expect("the same port again"),
        }
    }
}

/// Waits for two saves from now on: the first may have begun before the last packet.
async fn saved(broker: &Mosquitto) {
    let database = broker.dir().join("data/mosquitto.db");
    for _ in 0..2 {
        let before = modified(&database);
        while modified(&database) == before {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

fn modified(file: &PathBuf) -> Option<SystemTime> {
    fs::metadata(file).and_then(|metadata| metadata.modified()).ok()
}

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
