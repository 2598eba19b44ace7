//! The two servers that the same tests are held against: Debian's mosquitto and the testkit's broker, each with what it
//! takes to be killed and come back.

use crate::broker::{Broker, Restart};
use crate::mosquitto::Mosquitto;
use crate::proxy::Proxy;
use core::time::Duration;
use std::fs;
use std::path::PathBuf;
use std::time::SystemTime;

/// A server under test.
#[derive(Debug)]
pub enum Server {
    /// Debian's mosquitto, behind a proxy that can stop the conversation.
    Mosquitto {
        /// The process.
        broker: Mosquitto,
        /// What the clients connect to.
        proxy: Proxy,
    },
    /// The testkit's own broker.
    Testkit(Broker),
}

impl Server {
    /// Starts mosquitto, with its sessions on disk.
    ///
    /// # Panics
    ///
    /// If it is not installed or does not start.
    pub async fn mosquitto() -> Self {
        let broker = Mosquitto::builder()
            .persistence(true)
            // Nothing may be dropped by the server's own limits.
            .config("max_queued_messages 0")
            .config("max_inflight_messages 1000")
            .start();
        let proxy = Proxy::start(broker.addr()).await.expect("a proxy on loopback");
        Self::Mosquitto { broker, proxy }
    }

    /// Starts the testkit's broker, without its record of all messages.
    ///
    /// # Panics
    ///
    /// If the system gives no port.
    pub async fn testkit() -> Self {
        Self::Testkit(Broker::builder().without_record().start().await.expect("a broker on loopback"))
    }

    /// What clients connect to.
    pub fn url(&self) -> String {
        match self {
            Self::Mosquitto { proxy, .. } => proxy.url(),
            Self::Testkit(broker) => broker.url(),
        }
    }

    /// Cuts every connection without a word.
    pub fn cut(&self) {
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
    ///
    /// # Panics
    ///
    /// If it does not start again.
    pub async fn crash(&mut self) {
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
