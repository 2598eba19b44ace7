//! An MQTT client for tokio: 3.1, 3.1.1 and 5.0, one task that it owns, and an honest word on the fate of every message.
//!
//! What it does not do: nothing is kept on disk without a [`Store`], so what is queued ends with the process. Packets are
//! not shown: those who want them take the crates `mqtt-codec` and `mqtt-session`, which this one is built on.
//!
//! ```
//! use mqtt_client::{QoS, connect};
//!
//! # async fn example(connect: impl Fn(&str) -> mqtt_client::ConnectBuilder) -> Result<(), Box<dyn core::error::Error>> {
//! let client = connect("mqtt://broker.example").client_id("kitchen").await?;
//!
//! let mut readings = client.subscribe("home/+/temperature").qos(QoS::AtLeastOnce).await?;
//! client.publish("home/kitchen/lamp", "on").qos(QoS::ExactlyOnce).retain().await?;
//!
//! while let Some(message) = readings.next().await {
//!     println!("{}: {}", message.topic(), String::from_utf8_lossy(message.payload()));
//! }
//! # Ok(())
//! # }
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn core::error::Error>> {
//! # let broker = mqtt_testkit::broker::Broker::start().await?;
//! # let server = || mqtt_client::connect(&broker.url());
//! # server().await?.publish("home/hall/temperature", "19").qos(QoS::AtLeastOnce).retain().await?;
//! # // It goes on as long as the client does.
//! # _ = tokio::time::timeout(core::time::Duration::from_millis(500), example(|_| server())).await.map_or(Ok(()), |done| done)?;
//! # assert_eq!(broker.received().last().map(|message| message.topic.as_str()), Some("home/kitchen/lamp"));
//! # assert_eq!(broker.packets(mqtt_testkit::broker::Direction::FromClient, mqtt_codec::PacketType::PubAck), 1);
//! # Ok(())
//! # }
//! ```
//!
//! # Connecting
//!
//! [`connect`] takes a URL, and a builder takes the rest. Awaiting it fails at once if the server cannot be reached or
//! refuses, with a [`ConnectError`] that names the cause; [`ConnectBuilder::start`] keeps trying in the background.
//! Without a word on the version it speaks 5.0, or what the server knows of 3.1.1 and 3.1 ([`Protocol`]).
//!
//! A 5.0 server may authenticate by challenge and answer: see [`Authenticator`], and the example `scram.rs` for
//! SCRAM-SHA-256, by which each side proves to the other that it knows the password.
//!
//! A [`Client`] is a handle, cheap to clone. Behind it a task keeps the connection alive and dials again when it is
//! lost, with growing, random delays ([`ReconnectPolicy`]). Subscriptions and unfinished deliveries are carried across.
//! What trying again cannot mend, such as bad credentials or a takeover by another client of the same name, ends the
//! client. [`Client::status`] and [`Client::events`] tell.
//!
//! # Surviving reconnects
//!
//! Nothing has to be done when the connection is lost: the same [`Client`] and the same [`Subscription`]s go on. What was
//! published waits in the queue, and what is subscribed is subscribed again if the server has lost the session. A program
//! that is to find its session again after its own restart chooses a name, and asks the server to keep the session:
//!
//! ```
//! use core::time::Duration;
//! use mqtt_client::{CleanStart, QoS, ReconnectPolicy, connect};
//!
//! # async fn example(connect: impl Fn(&str) -> mqtt_client::ConnectBuilder) -> Result<(), Box<dyn core::error::Error>> {
//! let client = connect("mqtt://broker.example")
//!     .client_id("kitchen")
//!     .clean_start(CleanStart::Never)
//!     .session_expiry(Duration::from_secs(24 * 3600))
//!     .reconnect(ReconnectPolicy::default().max_delay(Duration::from_secs(30)))
//!     // The server may be away for now.
//!     .start()?;
//! // What the server has kept meanwhile waits for this for ten seconds.
//! let mut commands = client.subscribe("home/kitchen/command").qos(QoS::AtLeastOnce).await?;
//! # Ok(())
//! # }
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn core::error::Error>> {
//! # let broker = mqtt_testkit::broker::Broker::start().await?;
//! # example(|_| mqtt_client::connect(&broker.url())).await?;
//! # assert!(broker.session("kitchen").is_some_and(|session| session.subscriptions.len() == 1));
//! # Ok(())
//! # }
//! ```
//!
//! # When it does not connect
//!
//! | [`ConnectError`] | what it means, and what to do |
//! | --- | --- |
//! | `InvalidUrl`, `InvalidOption` | the text names the mistake, or the feature of this crate that the URL needs |
//! | `Io`: connection refused, no such host | no server listens there: mend host or port, or wait; the client tries again |
//! | `Io` around a `TlsError` | see the table of [mqtt-transport-tls](https://docs.rs/mqtt-transport-tls): mostly `TlsOptions::ca_file` |
//! | `Io` around a `WebSocketError` | see the table of [mqtt-transport-ws](https://docs.rs/mqtt-transport-ws): mostly the path of the URL, or `wss://` |
//! | `Io` from a proxy or socket | see [mqtt-transport](https://docs.rs/mqtt-transport); of QUIC [mqtt-transport-quic](https://docs.rs/mqtt-transport-quic) |
//! | `SpeaksTls` | the port is one of TLS, and the URL is not: use `mqtts://` |
//! | `NotAnswered`, `PeerClosed`, `Protocol` at the first attempt | it is no server of MQTT, does not know the version, wants TLS (some close without a word: try `mqtts://`), or is about to start |
//! | `Timeout` | something drops the packets, such as a firewall, or the server hangs |
//! | `Refused` | the reason code says it: credentials, client identifier, version, or a server that is busy |
//!
//! [`ConnectError::is_retryable`] tells whether the client tries again by itself.
//!
//! # Publishing
//!
//! Publishing has two stages. Awaiting the builder waits for both, the delivery too; [`PublishBuilder::enqueue`] waits
//! for room in the queue only and returns a [`DeliveryToken`], a future of the [`Outcome`]:
//!
//! ```
//! # use mqtt_client::{Client, Outcome, PublishError, QoS};
//! # async fn example(client: Client) -> Result<(), PublishError> {
//! let delivery = client.publish("log", "line 1").qos(QoS::AtLeastOnce).enqueue().await?;
//! // .. the message is on its way, whatever becomes of the token ..
//! match delivery.await {
//!     Outcome::Acked { reason, .. } if !reason.is_error() => println!("the server has it"),
//!     Outcome::Acked { reason, .. } => println!("the server refused it: {reason}"),
//!     Outcome::Unknown | Outcome::SessionLost => println!("it may have arrived"),
//!     outcome => println!("it was not sent: {outcome:?}"),
//! }
//! # Ok(())
//! # }
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn core::error::Error>> {
//! # let broker = mqtt_testkit::broker::Broker::start().await?;
//! # let client = mqtt_client::connect(&broker.url()).await?;
//! # example(client).await?;
//! # assert_eq!(broker.received_count(), 1);
//! # Ok(())
//! # }
//! ```
//!
//! What is of no use after a while says so by [`PublishBuilder::expiry`] (5.0): nobody is sent it later.
//!
//! # Receiving
//!
//! A [`Subscription`] is a stream of its own messages. Taking a message acknowledges it; a full queue stops the reading
//! from the network, and nothing else, unless a [`QueuePolicy`] says what gives way. Dropping the subscription
//! unsubscribes.
//!
//! ```
//! # use mqtt_client::{Client, QoS, QueuePolicy, SubscribeError};
//! # async fn example(client: Client) -> Result<(), SubscribeError> {
//! let commands = client.subscribe_all([("lamp/set", QoS::ExactlyOnce), ("lamp/ask", QoS::AtMostOnce)]).await?;
//! for (filter, answer) in commands.results() {
//!     println!("{filter}: {answer}");
//! }
//!
//! let board = client.subscribe("plant/#").capacity(500).when_full(QueuePolicy::KeepLatest).await?;
//! # Ok(())
//! # }
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn core::error::Error>> {
//! # let broker = mqtt_testkit::broker::Broker::start().await?;
//! # let client = mqtt_client::connect(&broker.url()).await?;
//! # example(client).await?;
//! # Ok(())
//! # }
//! ```
//!
//! Those who acknowledge only when the work is done take a [`ManualSubscription`], which gives an [`AckToken`] with each
//! message:
//!
//! ```
//! # use mqtt_client::{Client, QoS, SubscribeError};
//! # async fn save(_: mqtt_client::Message) {}
//! # async fn example(client: Client) -> Result<(), SubscribeError> {
//! let mut orders = client.subscribe("orders/#").qos(QoS::AtLeastOnce).manual_ack().await?;
//! while let Some((order, token)) = orders.next().await {
//!     save(order).await;
//!     token.ack();
//! }
//! # Ok(())
//! # }
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn core::error::Error>> {
//! # let broker = mqtt_testkit::broker::Broker::start().await?;
//! # let client = mqtt_client::connect(&broker.url()).await?;
//! # client.publish("orders/1", "tea").qos(QoS::AtLeastOnce).retain().await?;
//! # // It goes on as long as the client does.
//! # _ = tokio::time::timeout(core::time::Duration::from_millis(500), example(client)).await;
//! # assert_eq!(broker.packets(mqtt_testkit::broker::Direction::FromClient, mqtt_codec::PacketType::PubAck), 1);
//! # Ok(())
//! # }
//! ```
//!
//! [`Client::on_message`] hands messages to a closure, on a task that lives as long as its [`MessageHandler`].
//!
//! # Requests and responses
//!
//! [`Client::request`] publishes a message and waits for its answer, [`Client::respond`] gives one; 5.0 only. The example
//! `command_handler.rs` is both sides of it.
//!
//! # Ending
//!
//! [`Client::drain`] waits for what is under way and says what was left, [`Client::disconnect`] says goodbye,
//! [`Client::abort`] cuts. Dropping the last handle says goodbye too, but nobody can wait for that.
//!
//! ```
//! # use core::time::Duration;
//! # async fn example(client: mqtt_client::Client) -> Result<(), mqtt_client::DisconnectError> {
//! let left = client.drain(Duration::from_secs(5)).await;
//! if left > 0 {
//!     eprintln!("{left} messages and requests have no answer");
//! }
//! client.disconnect().await?;
//! # Ok(())
//! # }
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn core::error::Error>> {
//! # let broker = mqtt_testkit::broker::Broker::start().await?;
//! # let client = mqtt_client::connect(&broker.url()).await?;
//! # drop(client.publish("a", "x").enqueue().await?);
//! # example(client).await?;
//! # assert_eq!(broker.received_count(), 1);
//! # Ok(())
//! # }
//! ```
//!
//! # Surviving the end of the process
//!
//! With a [`Store`], say the one on disk in the crate `mqtt-store`, a message is accepted once it is stored, and whenever
//! the process ends, even by SIGKILL, the next one goes on: with the messages that were not delivered, with each exchange
//! where it stood, and with the QoS 2 messages that are not to be taken twice.
//!
//! ```
//! # async fn example(store: impl mqtt_client::Store) -> Result<(), Box<dyn std::error::Error>> {
//! use mqtt_client::{QoS, connect};
//!
//! let client = connect("mqtt://broker.example")
//!     .client_id("meter-7")
//!     .queue(1_000_000, 1 << 30)
//!     .store(store)
//!     .start()?;
//! let delivery = client.publish("meter/7", "1234.5").qos(QoS::AtLeastOnce).enqueue().await?;
//! // It is stored: whatever happens to this process, it will be sent. Its fate can be waited for, or left.
//! drop(delivery);
//! # Ok(())
//! # }
//! ```
//!
//! What was subscribed is not stored: the server's session knows it, and the program subscribes again when it starts. What
//! the server has for a filter that nobody has subscribed yet waits in [`Client::unmatched`]. A received message is
//! forgotten once it is acknowledged, and an acknowledgement stored before it is sent; if the process ends between the
//! moment that the application takes a message and the moment that this is stored, the next process gets it again.
//!
//! # Without async
//!
//! With the feature `blocking` everything that is awaited can be waited for, under the same names: see the module of that
//! name.
//!
//! # Observing
//!
//! [`Client::status`] and [`Client::events`] are for the program itself:
//!
//! ```
//! # async fn example(client: mqtt_client::Client) {
//! use mqtt_client::Event;
//!
//! let mut events = client.events();
//! while let Some(event) = events.next().await {
//!     match event {
//!         Event::Connected(connected) => println!("session resumed: {}", connected.session_present),
//!         Event::Disconnected { cause, retry_in } => println!("{cause}; next attempt in {retry_in:?}"),
//!         Event::Closed(why) => println!("{why}"),
//!         _ => {}
//!     }
//! }
//! let status = client.status();
//! println!("{:?}, {} queued, {} in flight", status.state, status.queued, status.in_flight);
//! # }
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn core::error::Error>> {
//! # let broker = mqtt_testkit::broker::Broker::start().await?;
//! # let client = mqtt_client::connect(&broker.url()).await?;
//! # let (handle, ending) = (client.clone(), tokio::time::sleep(core::time::Duration::from_millis(100)));
//! # let (_, ended) = tokio::join!(example(client), async { ending.await; handle.disconnect().await });
//! # ended?;
//! # Ok(())
//! # }
//! ```
//!
//! For those who operate it there is the feature
//! `tracing`, off by default: a span `mqtt` for each client, with `client_id` and `server`; in it, at level info,
//! connecting, connected, connection lost with its cause and the time to the next attempt, and closed; and at level
//! trace the type and size of each packet, `sent` when it is made ready and `received` when its size is known. Payloads,
//! topics, user names and passwords are never told.
//!
//! The feature `metrics`, off by default, counts by the facade of that name, with whatever recorder the program has
//! installed before it connects. Each has the label `client`, the client id:
//!
//! | name | kind | what it counts |
//! | --- | --- | --- |
//! | `mqtt_messages_sent_total` | counter | PUBLISH packets made ready to be sent, repetitions too; by label `qos` |
//! | `mqtt_messages_received_total` | counter | PUBLISH packets received; by label `qos` |
//! | `mqtt_bytes_sent_total`, `mqtt_bytes_received_total` | counter | bytes of all packets |
//! | `mqtt_messages_dropped_total` | counter | messages to be sent that gave way ([`Outcome::Dropped`]) |
//! | `mqtt_messages_unclaimed_total` | counter | messages received that no subscription took |
//! | `mqtt_deliveries_dropped_total` | counter | messages received that a subscription had no room for: the sum of all [`Subscription::dropped`] |
//! | `mqtt_connections_total` | counter | connections that a server accepted |
//! | `mqtt_reconnects_total` | counter | those of them that were not the first |
//! | `mqtt_disconnects_total` | counter | attempts that failed, and connections that were lost |
//! | `mqtt_queue_messages`, `mqtt_queue_bytes` | gauge | as [`Status::queued`] and [`Status::queued_bytes`] |
//! | `mqtt_in_flight` | gauge | as [`Status::in_flight`] |
//! | `mqtt_ping_round_trip_seconds` | gauge | as [`Status::ping_round_trip`]; keeps its last value |
//!
//! # Memory
//!
//! The most that a client holds, as a sum of named terms:
//!
//! ```text
//! client     = connection + outgoing + incoming
//! connection = 64 KiB + buffer
//! outgoing   = k x (bytes + message) + (k x messages + in flight) x 640 B
//! incoming   = waiting x (packet + 512 B) + buffer      as long as one subscription takes all that comes
//!            = waiting x (buffer + 512 B)               at worst
//! waiting    = 2 x (the sum of all capacities) + window
//! buffer     = larger + the smaller of larger / 2 and 64 KiB
//! larger     = the larger of packet and 64 KiB
//! ```
//!
//! | term | what it is |
//! | --- | --- |
//! | bytes, messages | the bounds of [`ConnectBuilder::queue`]; fewer bytes, if so many messages have not so many |
//! | message | the largest message that is published: topic, payload and properties |
//! | k | 1; 2 where messages give way to others ([`ConnectBuilder::queue_overflow`]) |
//! | in flight | what the server may leave unacknowledged, and not more than [`ConnectBuilder::in_flight`] |
//! | packet | the largest packet that comes, and not more than [`ConnectBuilder::maximum_packet_size`] |
//! | capacity | that of each subscription, [`SubscribeBuilder::capacity`]; what one read brings is in its double, or in `buffer` |
//! | window | [`ConnectBuilder::receive_maximum`]; before 5.0 whatever the server allows itself |
//!
//! `incoming` is so large at worst because a received message shares the buffer that it was read into. A small one keeps
//! all of it, even if its neighbours are gone: [`Message::detach`] those that are kept for long. An idle connection gives
//! its buffers back. What the list leaves out: 16 MiB for a server that asks for acknowledgements and does not read
//! them, after which the connection ends; a little for each subscription; up to 1,024 QoS 0 messages for
//! [`Client::unmatched`]; and what the transport needs for itself.
//!
//! # Coming from rumqttc or paho
//!
//! There is no event loop to poll and no callback to register: the client has a task of its own, and what is awaited says
//! what became of it.
//!
//! | rumqttc | paho | here |
//! | --- | --- | --- |
//! | `MqttOptions::new(id, host, port)` | `CreateOptionsBuilder`, `ConnectOptionsBuilder` | [`connect`]`("mqtt://host:port")`, [`ConnectBuilder`] |
//! | `AsyncClient::new`, `eventloop.poll()` in a loop | `AsyncClient::new`, `connect().await` | `connect(..).await`, or [`ConnectBuilder::start`] |
//! | `Event::Incoming(Packet::Publish(..))` from `poll` | `set_message_callback`, `get_stream` | [`Subscription`], a stream for each |
//! | `client.publish(..).await`: handed to the loop | `client.publish(..)`: a token | [`PublishBuilder::enqueue`], a [`DeliveryToken`] |
//! | `Packet::PubAck`, `PubComp` among the events | `token.await` | `client.publish(..).await`: an [`Outcome`] |
//! | `try_publish` | `try_publish` | [`PublishBuilder::try_enqueue`] |
//! | `subscribe`, and `Packet::SubAck` among the events | `subscribe(..).await` | `client.subscribe(..).await` fails if the server refuses |
//! | `subscribe_many` | `subscribe_many` | [`Client::subscribe_all`] |
//! | subscribing again after `Packet::ConnAck` | the same, in `set_connected_callback` | happens by itself |
//! | polling on after an error | `automatic_reconnect`, `reconnect()` | [`ReconnectPolicy`] |
//! | `set_last_will` | `will_message` | [`ConnectBuilder::will`], [`ConnectBuilder::presence`] |
//! | `set_credentials` | `user_name`, `password` | [`ConnectBuilder::credentials`], [`ConnectBuilder::credentials_provider`] |
//! | `set_inflight`; in `v5` `set_outgoing_inflight_upper_limit` | `max_inflight` | [`ConnectBuilder::in_flight`] |
//! | `cap` of `AsyncClient::new` | `max_buffered_messages`, `delete_oldest_messages` | [`ConnectBuilder::queue`], [`ConnectBuilder::queue_overflow`] |
//! | `set_clean_session(false)`; in `v5` `set_clean_start(false)` | `clean_session(false)`; in 5.0 `clean_start(false)` | [`ConnectBuilder::clean_start`], [`ConnectBuilder::session_expiry`] |
//! | the module `v5` | `mqtt_version`, `ConnectOptionsBuilder::new_v5` | [`Protocol`]; found out if nothing is said |
//! | `set_manual_acks`, `ack` | - | [`SubscribeBuilder::manual_ack`], an [`AckToken`] for each message |
//! | `set_keep_alive` | `keep_alive_interval` | [`ConnectBuilder::keep_alive`] |
//! | - | `server_uris` | [`ConnectBuilder::server`] |
//! | - | `persistence` | [`ConnectBuilder::store`] |
//! | `disconnect` | `disconnect_after`, `disconnect` | [`Client::drain`], then [`Client::disconnect`] |
//! | `Client`, and its `Connection` | `Client` | the module `blocking`, by the feature of that name |

mod ack;
mod address;
mod authentication;
#[cfg(feature = "blocking")]
pub mod blocking;
mod builder;
mod cells;
mod client;
mod clock;
mod connection;
mod credentials;
mod delivery;
mod dispatch;
mod driver;
mod early;
mod ending;
mod error;
#[cfg(any(feature = "tracing", feature = "metrics"))]
mod frames;
mod gauges;
mod handler;
mod journal;
mod keeper;
mod link;
mod manual;
#[cfg(feature = "metrics")]
mod meters;
mod observer;
mod plan;
mod presence;
#[cfg(feature = "proxy")]
mod proxy;
mod publish;
mod queue;
mod reconnect;
mod request;
mod requests;
mod responses;
mod room;
mod router;
mod servers;
mod store;
mod storing;
mod submissions;
mod subscribe;
mod subscription;
mod sync;
mod task;
mod trace;
mod transports;
mod trie;

pub use crate::ack::AckToken;
pub use crate::authentication::{Authenticator, AuthenticatorError};
pub use crate::builder::{ConnectBuilder, connect};
pub use crate::client::Client;
pub use crate::connection::{Event, Events, State, Status, StatusWatch};
pub use crate::credentials::Credentials;
pub use crate::error::{
    AuthenticationError, Closed, ConnectError, DisconnectError, OptionFault, PublishError, RequestError,
    SubscribeError, UnsubscribeError, UrlError,
};
pub use crate::handler::MessageHandler;
pub use crate::journal::{Journal, Receipt, Record};
pub use crate::manual::ManualSubscription;
pub use crate::plan::Protocol;
pub use crate::presence::Presence;
pub use crate::publish::{DeliveryToken, Enqueue, Publish, PublishBuilder};
pub use crate::queue::QueuePolicy;
pub use crate::reconnect::ReconnectPolicy;
pub use crate::request::RequestBuilder;
pub use crate::servers::ServerOrder;
pub use crate::store::{Store, StoreError, Stored};
pub use crate::subscribe::{AckByHand, AckWhenTaken, OnMessage, SubscribeBuilder};
pub use crate::subscription::Subscription;
pub use crate::task::ClientTask;
pub use mqtt_session::{
    CleanStart, Connected, Message, Negotiated, OnSessionLost, Outcome, Overflow, PacketId, Properties,
    PropertiesBuf, PropertiesBuilder, Property, PropertyError, PropertyId, ProtocolError, QoS, ReasonCode,
    RetainHandling, Snapshot, StoreKey, StoreOp, StoredMessage, SubscriptionOptions, Text, TextError,
    TopicError, TopicFilter, TopicName, UsageError, Version, Will,
};
pub use mqtt_transport as transport;
#[cfg(feature = "tls")]
pub use mqtt_transport_tls as tls;
#[cfg(feature = "ws")]
pub use mqtt_transport_ws as websocket;
