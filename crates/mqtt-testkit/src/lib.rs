//! For tests of MQTT clients, and for demonstrations on one machine.
//!
//! This crate is no production broker: it keeps nothing on disk, bounds no memory, knows no permissions beside a list of
//! users, no TLS and no WebSocket of its own, no enhanced authentication, and listens on 127.0.0.1 only. It is no
//! conformance suite either: what it finds wrong in a client it answers as a server would, it does not report it. What
//! is missing in detail stands in the README.
//!
//! - [`broker`]: a small honest broker in memory that does wrong only what it is told to.
//! - [`peer`]: a scripted peer that says and expects exact packets, written with the short forms in [`packets`].
//! - [`pair`]: a session and a peer on one virtual clock.
//! - [`sim`]: a session, a model broker and a wire that breaks, in plays that a seed decides.
//! - [`port`]: a port that stays one's own while nobody listens on it.
//! - [`mosquitto`]: Debian's mosquitto as a child process, on Unix; [`proxy`]: what stops its conversations.
//!
//! ```
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> std::io::Result<()> {
//! use mqtt_codec::{PacketType, QoS, ReasonCode, Version};
//! use mqtt_testkit::broker::Broker;
//! use mqtt_testkit::packets::{connack, connect, puback, publish, suback, subscribe};
//! use mqtt_testkit::peer::Peer;
//!
//! let broker = Broker::start().await?; // an ephemeral port of 127.0.0.1; broker.url() names it
//! broker.faults().swallow(PacketType::PubAck, 2);
//!
//! // Here a client under test would connect to it. This one is played.
//! let mut client = Peer::connect(broker.addr(), Version::V3_1_1).await;
//! client.send(connect("kitchen")).await;
//! client.expect(connack()).await;
//! client.send(subscribe(1, [("home/#", QoS::AtMostOnce)])).await;
//! client.expect(suback(1, &[ReasonCode::GRANTED_QOS_0])).await;
//! client.send(publish("home/lamp", "on").qos1(2)).await;
//! client.expect(puback(2)).await;
//! client.expect(publish("home/lamp", "on")).await;
//! client.send(publish("home/lamp", "off").qos1(3)).await;
//! client.expect(publish("home/lamp", "off")).await; // accepted, but nobody has said so
//! assert_eq!(broker.received_count(), 2);
//! # Ok(())
//! # }
//! ```

pub mod broker;
#[cfg(unix)]
pub mod mosquitto;
pub mod packets;
pub mod pair;
pub mod peer;
mod play;
pub mod port;
pub mod proxy;
pub mod server;
pub mod sim;
mod text;
