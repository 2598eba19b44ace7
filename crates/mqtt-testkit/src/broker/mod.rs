//! A small honest broker in memory, for tests and demonstrations.
//!
//! It speaks 3.1, 3.1.1 and 5.0 on one port, keeps the promises of each QoS in both directions, and does wrong only what
//! [`Faults`] asks for. What it leaves out is listed on the crate's front page.
//!
//! Where the standard leaves a choice:
//!
//! - Overlapping subscriptions: one copy of a message for each subscription that matches, with its QoS and identifier,
//!   as mosquitto does it.
//! - Shared subscriptions: the members take turns; those who are away are passed over while another is there. What was
//!   queued for a member stays with its session.
//! - Order: one queue for each session, for all topics and QoS. QoS 0 waits behind QoS 1 and 2 that wait for the quota.
//! - QoS 2 from a client is passed on when the PUBLISH comes, not at its PUBREL.
//! - Messages of QoS 0 are not kept for clients that are away.
//! - Queues have no bound: memory is the limit.

mod clock;
mod connection;
mod conversation;
mod faults;
mod greeting;
mod link;
mod message;
mod options;
mod outbound;
mod pipe;
mod records;
mod retained;
mod session;
mod shared;
mod state;
mod subscriptions;

pub use self::faults::{Connections, Direction, Faults};
pub use self::message::Message;
pub use self::options::BrokerBuilder;
pub use self::records::{SessionInfo, SubscriptionInfo, TraceEntry};

use self::link::{Link, Order};
use self::options::Options;
use self::shared::Shared;
use crate::port::{Listener, PortHold};
use core::net::SocketAddr;
use core::time::Duration;
use mqtt_codec::{PacketType, ReasonCode, Sender};
use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use tokio::io::{AsyncRead, AsyncWrite, DuplexStream};
use tokio::task::JoinSet;
use tokio::time::timeout;

/// Bytes that a pipe in memory holds in each direction.
const MEMORY_PIPE: usize = 64 * 1024;

/// How long [`Broker::until`] waits, on tokio's clock.
const UNTIL: Duration = Duration::from_secs(30);

/// A running broker. Dropping it closes its port and every connection, without a word.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> std::io::Result<()> {
/// use mqtt_testkit::broker::Broker;
///
/// let broker = Broker::start().await?;
/// println!("{}", broker.url()); // mqtt://127.0.0.1:PORT
/// let _pipe = broker.connect_memory(); // a connection that never leaves the process
/// broker.until("a connection", |broker| broker.connections() == 1).await;
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct Broker {
    shared: Arc<Shared>,
    port: PortHold,
    /// The tasks that are not connections: accepting, and the timers. None of them run while the broker is down.
    services: Mutex<JoinSet<()>>,
}

/// What a broker remembers when it is started again.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Restart {
    /// Sessions, retained messages and delayed wills, as if they had been on disk.
    Keep,
    /// Nothing.
    Lose,
}

impl Broker {
    /// Starts a broker that lets everybody in and can do everything, on a free port of 127.0.0.1, in the current tokio
    /// runtime.
    ///
    /// # Errors
    ///
    /// If the system gives no port.
    pub async fn start() -> io::Result<Self> {
        Self::builder().start().await
    }

    /// The options of a broker to start.
    pub fn builder() -> BrokerBuilder {
        BrokerBuilder::default()
    }

    async fn with_options(options: Options) -> io::Result<Self> {
        let broker =
            Self { shared: Shared::new(options), port: PortHold::new()?, services: Mutex::default() };
        broker.listen()?;
        Ok(broker)
    }

    /// Where it listens. The same after a restart.
    pub const fn addr(&self) -> SocketAddr {
        self.port.addr()
    }

    /// `mqtt://127.0.0.1:PORT`.
    pub fn url(&self) -> String {
        format!("mqtt://{}", self.addr())
    }

    /// Serves a connection over a pipe in memory and returns the client's end. While the broker is down, the pipe is
    /// closed at once.
    pub fn connect_memory(&self) -> DuplexStream {
        let (near, far) = tokio::io::duplex(MEMORY_PIPE);
        self.serve(far);
        near
    }

    /// Serves a connection over any stream, such as one of TLS or a WebSocket. While the broker is down, the stream is
    /// dropped at once.
    pub fn serve(&self, stream: impl AsyncRead + AsyncWrite + Send + 'static) {
        if self.is_running() {
            self.shared.spawn(connection::serve(self.shared.clone(), stream));
        }
    }

    /// What it is to do wrong.
    pub fn faults(&self) -> &Faults {
        &self.shared.faults
    }

    /// Stops it in order: the port is closed, clients of 5.0 are told (0x8B, server shutting down), connections are
    /// closed, wills without a delay are published to the sessions that are kept. [`restart`](Self::restart) starts it
    /// again.
    pub async fn stop(&self) {
        self.stop_services().await;
        let order = Order::Disconnect(ReasonCode::SERVER_SHUTTING_DOWN);
        self.links().iter().for_each(|link| link.end(order));
        let mut connections = self.shared.take_connections();
        while connections.join_next().await.is_some() {}
    }

    /// Stops it as if the process had been killed: no goodbye, no wills, whatever was on its way is lost.
    pub async fn kill(&self) {
        self.stop_services().await;
        self.shared.take_connections().shutdown().await;
        self.shared.update(|state| state.lose_links(clock::now()));
    }

    /// Starts it again on the same port, after killing it if it still runs. What it has recorded stays.
    ///
    /// # Errors
    ///
    /// If the port cannot be listened on.
    pub async fn restart(&self, restart: Restart) -> io::Result<()> {
        self.kill().await;
        if restart == Restart::Lose {
            self.shared.update(state::State::lose_memory);
        }
        self.listen()
    }

    /// Ends the connection of a client: DISCONNECT with this code if it speaks 5.0, then the close. Says whether there
    /// was one.
    ///
    /// # Panics
    ///
    /// If no server may send this code in DISCONNECT.
    pub fn disconnect(&self, client_id: &str, reason: ReasonCode) -> bool {
        let allowed = reason.is_allowed_in(PacketType::Disconnect, Some(Sender::Server));
        assert!(allowed, "{reason} is not for a server's DISCONNECT");
        self.end_link(client_id, Order::Disconnect(reason))
    }

    /// Cuts the connection of a client without a word. Says whether there was one.
    pub fn cut(&self, client_id: &str) -> bool {
        self.end_link(client_id, Order::Cut)
    }

    /// Cuts all connections without a word.
    pub fn cut_all(&self) {
        self.links().iter().for_each(|link| link.end(Order::Cut));
    }

    /// Publishes a message of the broker's own. It is not recorded as received. Says whether a subscription matched.
    pub fn publish(&self, mut message: Message) -> bool {
        message.accepted_at = clock::now();
        self.shared.update(|state| state.pass_on(&Arc::new(message)))
    }

    /// The messages that it has accepted from clients, in this order, over all restarts: a QoS 2 message once, wills
    /// not. Sharing, not copying; still, ask for [`received_count`](Self::received_count) where the number will do.
    pub fn received(&self) -> Vec<Arc<Message>> {
        self.shared.look().records.received.clone().unwrap_or_default()
    }

    /// How many messages it has accepted from clients.
    pub fn received_count(&self) -> u64 {
        self.shared.look().records.received_count
    }

    /// The wills that it has published, in this order.
    pub fn wills(&self) -> Vec<Arc<Message>> {
        self.shared.look().records.wills.clone()
    }

    /// The retained messages, by topic.
    pub fn retained(&self) -> Vec<Arc<Message>> {
        self.shared.look().retained(clock::now())
    }

    /// How many connections it has accepted, over all restarts.
    pub fn connections(&self) -> u64 {
        self.shared.look().records.connections
    }

    /// How many connections are open now, whether they have sent CONNECT or not.
    pub fn open_connections(&self) -> usize {
        self.shared.look().links.len()
    }

    /// All sessions, by client identifier.
    pub fn sessions(&self) -> Vec<SessionInfo> {
        self.shared.look().sessions()
    }

    /// The session of this client.
    pub fn session(&self, client_id: &str) -> Option<SessionInfo> {
        self.sessions().into_iter().find(|session| session.client_id.as_str() == client_id)
    }

    /// Whether this client is connected.
    pub fn is_connected(&self, client_id: &str) -> bool {
        self.session(client_id).is_some_and(|session| session.connected)
    }

    /// How many packets of this type have passed, over all connections: decoded, or about to be written.
    pub fn packets(&self, direction: Direction, packet: PacketType) -> u64 {
        self.shared.look().records.packets(direction, packet)
    }

    /// Every packet that has passed, if [`BrokerBuilder::trace`] asked for it.
    pub fn trace(&self) -> Vec<TraceEntry> {
        self.shared.look().records.trace.clone().unwrap_or_default()
    }

    /// Waits until a condition holds; it is looked at after every change.
    ///
    /// # Panics
    ///
    /// After 30 seconds of tokio's clock, with `what` and the sessions in the text.
    pub async fn until(&self, what: &str, condition: impl Fn(&Self) -> bool) {
        let mut changes = self.shared.watch_changes();
        let holds = async {
            while !condition(self) {
                if changes.changed().await.is_err() {
                    return;
                }
            }
        };
        if timeout(UNTIL, holds).await.is_err() {
            panic!(
                "30 s have passed without {what}; {} messages received, {} connections, sessions: {:#?}",
                self.received_count(),
                self.connections(),
                self.sessions()
            );
        }
    }

    fn listen(&self) -> io::Result<()> {
        let listener = self.port.listen()?;
        let mut services = self.services.lock().unwrap_or_else(PoisonError::into_inner);
        services.spawn(accept(self.shared.clone(), listener));
        services.spawn(self.shared.clone().run_timers());
        Ok(())
    }

    fn is_running(&self) -> bool {
        !self.services.lock().unwrap_or_else(PoisonError::into_inner).is_empty()
    }

    async fn stop_services(&self) {
        let mut services =
            core::mem::take(&mut *self.services.lock().unwrap_or_else(PoisonError::into_inner));
        services.shutdown().await;
    }

    fn links(&self) -> Vec<Arc<Link>> {
        self.shared.look().links.values().cloned().collect()
    }

    fn end_link(&self, client_id: &str, order: Order) -> bool {
        let link = self.shared.look().link_of(client_id);
        if let Some(link) = &link {
            link.end(order);
        }
        link.is_some()
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        // The tasks hold what holds them; this breaks the ring.
        self.shared.take_connections().abort_all();
    }
}

async fn accept(shared: Arc<Shared>, listener: Listener) {
    loop {
        match listener.accept().await {
            Ok((stream, _)) => {
                // Without it, small answers would wait for the client's TCP.
                let _ = stream.set_nodelay(true);
                shared.spawn(connection::serve(shared.clone(), stream));
            }
            // A client that has gone already, or too many open files: the next one may fare better.
            Err(_) => tokio::time::sleep(Duration::from_millis(10)).await,
        }
    }
}
