//! The stage of every case: a listener on 127.0.0.1, a client on one side and a script on the other.
//!
//! Nothing can hang: the script waits five seconds for what it expects, and what the client owes is awaited through
//! [`soon`]. When a case fails, what both sides said is printed. Time is real, since a paused clock runs away while
//! bytes are on a real socket; [`pass`] makes hours go by between two steps.

use core::ops::{Deref, DerefMut};
use core::panic::Location;
use core::time::Duration;
use mqtt_client::{
    CleanStart, Client, Closed, ConnectBuilder, ConnectError, DeliveryToken, Event, Events, Message,
    Protocol, ProtocolError, QoS, ReasonCode, ReconnectPolicy, Subscription, Version, connect,
};
use mqtt_codec::{ConnAck, Delivery, Packet, PacketType, PropertiesBuilder};
use mqtt_testkit::packets::{
    IntoPacket, connack, connack_with_session, disconnect, pubcomp, pubcomp_with, pubrel, suback, unsuback,
};
use mqtt_testkit::peer::{Peer, PeerListener};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;
use tokio::time::timeout;

/// All versions, the oldest first.
pub(crate) const ALL: [Version; 3] = [Version::V3_1, Version::V3_1_1, Version::V5];
/// The versions before 5.0.
pub(crate) const BEFORE_5: [Version; 2] = [Version::V3_1, Version::V3_1_1];

/// Long enough for a client that would speak up, short enough for a run of hundreds of cases.
pub(crate) const A_MOMENT: Duration = Duration::from_millis(30);

/// A packet identifier that no script uses otherwise.
const FENCE: u16 = 0xFFFF;

/// A server that follows a script on each connection that a client opens.
pub(crate) struct Stage {
    listener: PeerListener,
    version: Version,
}

/// A stage for clients of this version.
pub(crate) async fn serve(version: Version) -> Stage {
    Stage { listener: PeerListener::bind().await.expect("a port on loopback"), version }
}

impl Stage {
    /// A client that is called `actor` and has no options but the version.
    pub(crate) fn plain(&self) -> ConnectBuilder {
        self.nameless().client_id("actor")
    }

    /// A client with no options but the version.
    pub(crate) fn nameless(&self) -> ConnectBuilder {
        connect(&self.listener.url()).protocol(match self.version {
            Version::V5 => Protocol::V5,
            Version::V3_1_1 => Protocol::V3_1_1,
            Version::V3_1 => Protocol::V3_1,
        })
    }

    /// A client that is called `actor`, has no keep alive, begins anew each time, and tries again at once.
    pub(crate) fn options(&self) -> ConnectBuilder {
        self.plain()
            .keep_alive(Duration::ZERO)
            .clean_start(CleanStart::Always)
            .reconnect(ReconnectPolicy::default().first_delay(Duration::ZERO))
    }

    /// The [`options`](Self::options) of a client whose session outlives its connections: Clean Start 0 each time, and
    /// in 5.0 a session expiry interval of five minutes.
    pub(crate) fn resuming(&self) -> ConnectBuilder {
        self.options().clean_start(CleanStart::Never)
    }

    /// The [`options`](Self::options) of a client that ends with its connection.
    pub(crate) fn once(&self) -> ConnectBuilder {
        self.options().reconnect(ReconnectPolicy::never())
    }

    /// The next connection, on which nothing was said yet.
    pub(crate) async fn accept(&self) -> Server {
        Server(self.listener.accept().await)
    }

    /// The next connection, up: CONNECT, whatever is in it, was answered with this CONNACK.
    pub(crate) async fn welcome(&self, connack: impl IntoPacket) -> Server {
        let mut server = self.accept().await;
        server.expect_connect().await;
        server.send(connack).await;
        server
    }

    /// The next connection, up, the session resumed. A CONNACK of 3.1 cannot say so, but means it.
    pub(crate) async fn welcome_back(&self) -> Server {
        match self.version {
            Version::V3_1 => self.welcome(connack()).await,
            _ => self.welcome(connack_with_session()).await,
        }
    }

    /// A client with its [`options`](Self::options), and the server that has welcomed it.
    pub(crate) async fn meet(&self) -> (Client, Server) {
        self.meet_as(self.options(), connack()).await
    }

    /// A client with these options, and the server that has welcomed it with this CONNACK.
    pub(crate) async fn meet_as(
        &self,
        options: ConnectBuilder,
        connack: impl IntoPacket,
    ) -> (Client, Server) {
        let (client, server) = tokio::join!(soon(options), self.welcome(connack));
        (client.expect("the client connects"), server)
    }

    /// The cause for which a client with these options does not connect, and how that looks to the script.
    pub(crate) async fn refuse(
        &self,
        options: ConnectBuilder,
        script: impl AsyncFnOnce(&mut Server),
    ) -> ConnectError {
        let ending = async { script(&mut self.accept().await).await };
        let (client, ()) = tokio::join!(soon(options), ending);
        client.expect_err("the client does not connect")
    }
}

/// One connection, as the server sees it.
pub(crate) struct Server(Peer<TcpStream>);

impl Server {
    /// Expects what a client does whose server broke the protocol: on 5.0 DISCONNECT with this code and nothing else in
    /// it, before 5.0 not a word; then the end of the connection.
    pub(crate) async fn expect_farewell(&mut self, code: ReasonCode) {
        if self.version().is_v5() {
            self.expect(disconnect(code)).await;
        }
        self.expect_end().await;
    }

    /// Expects that the client says nothing before it answers what this sends it: a PUBREL that belongs to nothing. By
    /// then it has read all that was sent to it.
    pub(crate) async fn expect_nothing(&mut self) {
        self.send(pubrel(FENCE)).await;
        let not_found = pubcomp_with(FENCE, ReasonCode::PACKET_IDENTIFIER_NOT_FOUND);
        let answer = if self.version().is_v5() { not_found } else { pubcomp(FENCE) };
        self.expect(answer).await;
    }

    /// Expects a PUBLISH of QoS 1 or 2, and returns its packet identifier.
    pub(crate) async fn expect_message(&mut self) -> u16 {
        match self.expect_publish().await.delivery() {
            Delivery::AtMostOnce => panic!("a message of QoS 0 came"),
            Delivery::AtLeastOnce { id, .. } | Delivery::ExactlyOnce { id, .. } => id.get(),
        }
    }

    /// Expects a SUBSCRIBE, and returns its packet identifier.
    pub(crate) async fn expect_subscribe(&mut self) -> u16 {
        match self.expect_type(PacketType::Subscribe).await {
            Packet::Subscribe(subscribe) => subscribe.id().get(),
            _ => unreachable!("it was looked at"),
        }
    }

    /// Expects an UNSUBSCRIBE, and returns its packet identifier.
    pub(crate) async fn expect_unsubscribe(&mut self) -> u16 {
        match self.expect_type(PacketType::Unsubscribe).await {
            Packet::Unsubscribe(unsubscribe) => unsubscribe.id().get(),
            _ => unreachable!("it was looked at"),
        }
    }

    /// Expects a packet of this type, whatever is in it.
    pub(crate) async fn expect_type(&mut self, packet_type: PacketType) -> Packet {
        self.expect_that(packet_type.name(), |packet| packet.packet_type() == packet_type).await
    }
}

impl Deref for Server {
    type Target = Peer<TcpStream>;

    fn deref(&self) -> &Self::Target {
        &self.0
    }
}

impl DerefMut for Server {
    fn deref_mut(&mut self) -> &mut Self::Target {
        &mut self.0
    }
}

/// A case that fails shows what was said.
impl Drop for Server {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("the play, {}:\n    {}", self.version(), self.play().replace('\n', "\n    "));
        }
    }
}

/// CONNACK: welcome back, as far as the version can say so.
pub(crate) fn resumed(version: Version) -> ConnAck {
    if version == Version::V3_1 { connack() } else { connack_with_session() }
}

/// CONNACK: welcome, with these properties.
pub(crate) fn connack_with(properties: PropertiesBuilder) -> ConnAck {
    ConnAck { properties: properties.build().expect("properties of CONNACK"), ..connack() }
}

/// UNSUBACK for one filter; before 5.0 it says nothing more.
pub(crate) fn unsubscribed(version: Version, packet_id: u16) -> Packet {
    unsuback(packet_id, if version.is_v5() { &[ReasonCode::SUCCESS] } else { &[] })
}

/// Queues a message; what becomes of it is told by the token.
pub(crate) async fn enqueue(client: &Client, topic: &str, payload: &'static str, qos: QoS) -> DeliveryToken {
    soon(client.publish(topic, payload).qos(qos).enqueue()).await.expect("the message is accepted")
}

/// Subscribes, and grants it as it was asked for.
pub(crate) async fn subscribe(client: &Client, server: &mut Server, filter: &str, qos: QoS) -> Subscription {
    let granting = async {
        let id = server.expect_subscribe().await;
        server.send(suback(id, &[granted(qos)])).await;
    };
    let (subscription, ()) = tokio::join!(soon(client.subscribe(filter).qos(qos)), granting);
    subscription.expect("the subscription is granted")
}

const fn granted(qos: QoS) -> ReasonCode {
    match qos {
        QoS::AtMostOnce => ReasonCode::GRANTED_QOS_0,
        QoS::AtLeastOnce => ReasonCode::GRANTED_QOS_1,
        QoS::ExactlyOnce => ReasonCode::GRANTED_QOS_2,
    }
}

/// The next message of a subscription.
pub(crate) async fn next(subscription: &mut Subscription) -> Message {
    soon(subscription.next()).await.expect("the stream goes on")
}

/// Why the client has ended, by itself.
pub(crate) async fn failure(client: &Client) -> ConnectError {
    match soon(client.closed()).await {
        Closed::Failed(cause) => cause,
        closed => panic!("the client ends otherwise: {closed:?}"),
    }
}

/// Why a connection ended, from the events of a client.
pub(crate) async fn lost(events: &mut Events) -> ConnectError {
    loop {
        match soon(events.next()).await {
            Some(Event::Disconnected { cause, .. }) => return cause,
            Some(_) => {}
            None => panic!("no connection has ended"),
        }
    }
}

/// The breach of the protocol in it.
#[track_caller]
pub(crate) fn breach(cause: ConnectError) -> ProtocolError {
    match cause {
        ConnectError::Protocol(error) => error,
        other => panic!("no breach of the protocol: {other:?}"),
    }
}

/// Does something in the background.
pub(crate) fn begin<T: Send + 'static>(
    what: impl IntoFuture<Output = T, IntoFuture: Send + 'static>,
) -> JoinHandle<T> {
    tokio::spawn(what.into_future())
}

/// What must come within ten seconds.
#[track_caller]
pub(crate) fn soon<T>(what: impl IntoFuture<Output = T>) -> impl Future<Output = T> {
    let place = Location::caller();
    async move {
        let done = timeout(Duration::from_secs(10), what.into_future()).await;
        done.unwrap_or_else(|_| panic!("at {place}: it takes too long"))
    }
}

/// Lets time pass for both sides at once. Whatever was not read before counts as late; a
/// [fence](Server::expect_nothing) before it makes sure.
pub(crate) async fn pass(time: Duration) {
    tokio::time::pause();
    tokio::time::advance(time).await;
    tokio::time::resume();
}
