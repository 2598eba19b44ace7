//! The embedded broker, spoken to packet by packet.

mod connect;
mod faults;
mod keep_alive;
mod lifecycle;
mod limits;
mod qos_inbound;
mod qos_outbound;
mod retained;
mod sessions;
mod shared;
mod subscriptions;
mod volume;
mod wills;

use mqtt_codec::{Connect, Packet, PropertiesBuf, PropertiesBuilder, ReasonCode, Version};
use mqtt_testkit::broker::Broker;
use mqtt_testkit::packets::{connect, disconnect};
use mqtt_testkit::peer::Peer;
use tokio::io::DuplexStream;

const VERSIONS: [Version; 3] = [Version::V3_1, Version::V3_1_1, Version::V5];
const BEFORE_5: [Version; 2] = [Version::V3_1, Version::V3_1_1];

type Client = Peer<DuplexStream>;

/// A client that has sent this CONNECT and was let in; whether its session was present.
async fn enter(broker: &Broker, version: Version, connect: Connect) -> (Client, bool) {
    let mut client = Peer::client(broker.connect_memory(), version);
    client.send(connect).await;
    let connack = client.expect_that("CONNACK", |packet| matches!(packet, Packet::ConnAck(_))).await;
    let Packet::ConnAck(connack) = connack else { unreachable!() };
    assert_eq!(connack.reason, ReasonCode::SUCCESS);
    (client, connack.session_present)
}

/// A client without anything special.
async fn client(broker: &Broker, version: Version, id: &str) -> Client {
    enter(broker, version, connect(id)).await.0
}

async fn v5(broker: &Broker, id: &str) -> Client {
    client(broker, Version::V5, id).await
}

/// CONNECT of a client whose session outlives the connection by an hour (5.0) or for ever (before).
fn lasting(id: &str, version: Version) -> Connect {
    let properties = match version {
        Version::V5 => properties(|p| p.session_expiry_interval(3600)),
        _ => PropertiesBuf::new(),
    };
    Connect { clean_start: false, properties, ..connect(id) }
}

fn properties(set: impl FnOnce(PropertiesBuilder) -> PropertiesBuilder) -> PropertiesBuf {
    set(PropertiesBuf::builder()).build().unwrap()
}

/// Says goodbye and waits until the broker has seen it.
async fn leave(broker: &Broker, mut client: Client, id: &str) {
    client.send(disconnect(ReasonCode::NORMAL_DISCONNECTION)).await;
    client.expect_end().await;
    broker.until("the client gone", |broker| !broker.is_connected(id)).await;
}

/// Ends the connection without a goodbye and waits until the broker has seen it.
async fn vanish(broker: &Broker, client: Client, id: &str) {
    drop(client);
    broker.until("the client gone", |broker| !broker.is_connected(id)).await;
}
