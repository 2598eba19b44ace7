//! The options of a client.

mod start;

use crate::authentication::{Authenticator, NewAuthenticator};
use crate::credentials::{AskCredentials, Credentials};
use crate::error::OptionFault;
use crate::journal::Journal;
use crate::plan::{Options, Protocol};
use crate::presence::Presence;
use crate::reconnect::ReconnectPolicy;
use crate::room::Size;
use crate::servers::ServerOrder;
use crate::store::Store;
use crate::transports::Transports;
use bytes::Bytes;
use core::error::Error;
use core::fmt;
use core::num::NonZeroU32;
use core::time::Duration;
use mqtt_session::{
    CleanStart, OnSessionLost, Overflow, PropertiesBuf, Property, Text, TextError, TopicName, Will,
};
use mqtt_transport::Connect;
use std::sync::Arc;

/// Begins to connect to the server at `url`: `mqtt://[USER[:PASSWORD]@]HOST[:PORT]`, or `tcp://` for the same. User and
/// password may be percent-encoded. Without a port it is 1883.
///
/// | scheme | transport, its port, and the feature that it needs |
/// | --- | --- |
/// | `mqtt`, `tcp` | TCP, 1883 |
/// | `mqtts`, `ssl`, `tls` | TLS, 8883; `ring` (default) or `aws-lc` |
/// | `ws`, `wss` | WebSocket, 80, or over TLS, 443; `ws` |
/// | `quic` | QUIC, 14567; `quic` |
/// | `unix` | a Unix socket: `unix:///PATH` |
/// | `mqtt+srv`, `mqtts+srv` | TCP or TLS with the servers that the SRV records `_mqtt._tcp` or `_secure-mqtt._tcp` of the host name, which is a domain then, and without a port; the certificate is for the domain; `srv` |
///
/// Nothing happens before the builder is awaited or [started](ConnectBuilder::start); that is also when everything is
/// checked.
pub fn connect(url: &str) -> ConnectBuilder {
    ConnectBuilder {
        url: url.to_owned(),
        options: Options { queue: Size { messages: 10_000, bytes: 64 * 1024 * 1024 }, ..Options::default() },
        client_id: None,
        protocol: Protocol::default(),
        connect_timeout: Duration::from_secs(10),
        goodbye_timeout: Duration::from_secs(2),
        reconnect: ReconnectPolicy::default(),
        authenticator: None,
        response_topic: None,
        ask_credentials: None,
        presence: None,
        store: None,
        journal: None,
        connector: None,
        transports: Transports::default(),
        other_urls: Vec::new(),
        server_order: ServerOrder::default(),
        follow_server_reference: false,
        fault: None,
    }
}

/// The options of a client, from [`connect`].
///
/// Awaiting it connects, and fails if the first attempt does: an error here is at once an answer. [`start`](Self::start)
/// keeps trying in the background instead. Either way the client has a task of its own on the current tokio runtime,
/// whose time and I/O must be enabled, and comes back by itself when the connection is lost later.
///
/// Dropping the future of an awaited builder gives up the attempt.
#[must_use = "nothing happens before it is awaited or started"]
pub struct ConnectBuilder {
    url: String,
    options: Options,
    client_id: Option<Text>,
    protocol: Protocol,
    connect_timeout: Duration,
    goodbye_timeout: Duration,
    reconnect: ReconnectPolicy,
    authenticator: Option<NewAuthenticator>,
    response_topic: Option<TopicName>,
    ask_credentials: Option<AskCredentials>,
    presence: Option<Presence>,
    store: Option<Box<dyn Store>>,
    journal: Option<Box<dyn Journal>>,
    connector: Option<Arc<dyn Connect>>,
    pub(crate) transports: Transports,
    /// Beside the first.
    other_urls: Vec<String>,
    server_order: ServerOrder,
    follow_server_reference: bool,
    /// The first option that could not even be kept.
    fault: Option<(&'static str, OptionFault)>,
}

impl ConnectBuilder {
    /// The client identifier, section 3.1.3.1. A random one of 22 letters and digits if it is not set. A server keeps one
    /// session for each: a client that wants to find its session again must choose its own. Empty lets the server
    /// choose (5.0, 3.1.1). MQTT 3.1 allows 1 to 23 characters.
    pub fn client_id(mut self, id: &str) -> Self {
        self.client_id = self.text("client_id", id);
        self
    }

    /// User name and password. They take the place of those in the URL.
    pub fn credentials(self, username: &str, password: impl Into<Bytes>) -> Self {
        self.username(username).set_password("credentials", password.into())
    }

    /// Asks for user name and password before each connection, for one because a token expires; instead of any other
    /// credentials. The attempt begins with it, and its time counts ([`connect_timeout`](Self::connect_timeout)). An error
    /// ends the attempt ([`ConnectError::Credentials`](crate::ConnectError::Credentials)), and the policy says when to try
    /// again. So it does when the server does not like the credentials, which otherwise ends a client: those of the next
    /// attempt may be better.
    ///
    /// ```
    /// # async fn token() -> std::io::Result<String> { Ok(String::new()) }
    /// use mqtt_client::{Credentials, connect};
    ///
    /// let builder =
    ///     connect("mqtt://broker.example").credentials_provider(|| async { token().await.map(Credentials::token) });
    /// ```
    pub fn credentials_provider<F, E>(mut self, ask: impl Fn() -> F + Send + Sync + 'static) -> Self
    where
        F: Future<Output = Result<Credentials, E>> + Send + 'static,
        E: Into<Box<dyn Error + Send + Sync>>,
    {
        self.ask_credentials = Some(Arc::new(move || {
            let asked = ask();
            Box::pin(async move { asked.await.map_err(Into::into) })
        }));
        self
    }

    /// The password, up to 65,535 bytes. Without a [`username`](Self::username) beside it, 5.0 only.
    pub fn password(self, password: impl Into<Bytes>) -> Self {
        self.set_password("password", password.into())
    }

    /// The user name, without a password.
    pub fn username(mut self, username: &str) -> Self {
        self.options.username = self.text("username", username);
        self
    }

    /// Whether to begin a new session or to resume one that the server may have.
    ///
    /// If it is not set, a 5.0 client begins anew and resumes after a cut ([`CleanStart::FirstOnly`]). A 3.x client
    /// begins anew each time ([`CleanStart::Always`]), since a server keeps a session of 3.x for ever.
    pub fn clean_start(mut self, clean_start: CleanStart) -> Self {
        self.options.clean_start = Some(clean_start);
        self
    }

    /// How long the server keeps the session after the connection has ended, in whole seconds, [`Duration::MAX`] for
    /// ever; 5.0 only.
    ///
    /// If it is not set, the session outlives a cut by five minutes, and ends when the client says goodbye.
    pub fn session_expiry(mut self, expiry: Duration) -> Self {
        self.options.session_expiry = Some(u32::try_from(whole_seconds(expiry)).unwrap_or(u32::MAX));
        self
    }

    /// The longest silence between client and server, in whole seconds up to 65,535, section 3.1.2.10: the client sends
    /// a ping after it, and gives the connection up if that is not answered in time
    /// ([`ping_timeout`](Self::ping_timeout)). 60 s if it is not set; zero turns it off. A 5.0 server may choose another.
    /// What the client sends takes the place of pings: a link that takes it, but leads nowhere, is found after both times
    /// from the last of it; over TCP on Linux also meanwhile, since nobody acknowledges there what was sent
    /// (`TCP_USER_TIMEOUT`).
    pub fn keep_alive(mut self, interval: Duration) -> Self {
        match u16::try_from(whole_seconds(interval)) {
            Ok(seconds) => self.options.keep_alive = Some(seconds),
            Err(_) => self.fault("keep_alive", OptionFault::TooLong("65,535 seconds")),
        }
        self
    }

    /// How long the server may take to answer a ping before the connection counts as lost. If it is not set: as long as
    /// the [`keep_alive`](Self::keep_alive) that is asked for, but not longer than 10 s. As long as the client does not
    /// read, because of a [full queue](crate::Subscription), no answer is missed. Zero is an error when it connects.
    pub fn ping_timeout(mut self, timeout: Duration) -> Self {
        if timeout.is_zero() {
            self.fault("ping_timeout", OptionFault::Zero);
        }
        self.options.ping_timeout = Some(timeout);
        self
    }

    /// What the server publishes when the client disappears without a goodbye, section 3.1.2.5.
    pub fn will(mut self, will: Will) -> Self {
        self.options.will = Some(will);
        self
    }

    /// Tells others whether the client is there; it takes the place of a [`will`](Self::will).
    pub fn presence(mut self, presence: Presence) -> Self {
        self.presence = Some(presence);
        self
    }

    /// Takes down what happens to each message, in and out. Without one nothing is taken down.
    pub fn journal(mut self, journal: impl Journal) -> Self {
        self.journal = Some(Box::new(journal));
        self
    }

    /// The version to speak; [`Protocol::Auto`] if it is not set.
    pub fn protocol(mut self, protocol: Protocol) -> Self {
        self.protocol = protocol;
        self
    }

    /// How long one attempt may take, from looking up the host to the server's answer. 10 s if it is not set.
    pub fn connect_timeout(mut self, timeout: Duration) -> Self {
        self.connect_timeout = timeout;
        self
    }

    /// How long each of the two steps of an ending may take. Before a goodbye, what was accepted leaves, as far as the
    /// server's window lets it. Then, and after a breach of the protocol by a 5.0 server, DISCONNECT leaves, and the
    /// client waits for the server to close, section 3.14.4; if it closed first, what the server still sends could
    /// destroy the DISCONNECT on its way. 2 s if it is not set; zero is an error when it connects.
    pub fn goodbye_timeout(mut self, timeout: Duration) -> Self {
        if timeout.is_zero() {
            self.fault("goodbye_timeout", OptionFault::Zero);
        }
        self.goodbye_timeout = timeout;
        self
    }

    /// When to try again after the connection was lost.
    pub fn reconnect(mut self, policy: ReconnectPolicy) -> Self {
        self.reconnect = policy;
        self
    }

    /// As many QoS 1 and 2 messages the server may send before they are acknowledged, 1 to 65,535; 5.0 only. It bounds
    /// what waits in the queues of subscriptions. 65,535 if it is not set.
    pub fn receive_maximum(mut self, messages: u16) -> Self {
        self.options.receive_maximum = Some(messages);
        self
    }

    /// The largest packet to accept, in bytes. Before 5.0 the server is not told, and a larger packet ends the
    /// connection. The protocol's limit of 256 MiB if it is not set.
    pub fn maximum_packet_size(mut self, bytes: u32) -> Self {
        self.options.maximum_packet_size = Some(bytes);
        self
    }

    /// As many topics the server may replace by numbers; 5.0 only. 0 if it is not set.
    pub fn topic_alias_maximum(mut self, aliases: u16) -> Self {
        self.options.topic_alias_maximum = Some(aliases);
        self
    }

    /// Whether the server may say where answers to this client's [requests](crate::Client::request) belong, section 3.1.2.11.6;
    /// 5.0 only. Not if it is not set.
    pub fn request_response_information(mut self, wanted: bool) -> Self {
        self.options.request_response_information = Some(wanted);
        self
    }

    /// Whether the server may add reason strings and user properties to any packet, section 3.1.2.11.7; 5.0 only. It
    /// may if it is not set.
    pub fn request_problem_information(mut self, wanted: bool) -> Self {
        self.options.request_problem_information = Some(wanted);
        self
    }

    /// The topic that answers to this client's [requests](crate::Client::request) shall come to, its own alone; 5.0 only. See
    /// [`RequestBuilder`](crate::RequestBuilder) for the one that is used if it is not set.
    pub fn response_topic(mut self, topic: &str) -> Self {
        match TopicName::try_from(topic) {
            Ok(topic) => self.response_topic = Some(topic),
            Err(error) => self.fault("response_topic", error.into()),
        }
        self
    }

    /// Adds a user property to CONNECT; 5.0 only.
    pub fn user_property(mut self, name: &str, value: &str) -> Self {
        if let (Some(name), Some(value)) =
            (self.text("user_property", name), self.text("user_property", value))
        {
            self.options.user_properties.push((name, value));
        }
        self
    }

    /// Properties of CONNECT, section 3.1.2.11, for those who have them at hand; 5.0 only. Each sets the option that it
    /// stands for.
    pub fn connect_properties(mut self, properties: PropertiesBuf) -> Self {
        let properties = properties.view();
        for property in properties.iter() {
            match property {
                Property::SessionExpiryInterval(seconds) => self.options.session_expiry = Some(seconds),
                Property::ReceiveMaximum(messages) => self.options.receive_maximum = Some(messages),
                Property::MaximumPacketSize(bytes) => self.options.maximum_packet_size = Some(bytes),
                Property::TopicAliasMaximum(aliases) => self.options.topic_alias_maximum = Some(aliases),
                Property::RequestResponseInformation(wanted) => {
                    self.options.request_response_information = Some(wanted);
                }
                Property::RequestProblemInformation(wanted) => {
                    self.options.request_problem_information = Some(wanted);
                }
                Property::UserProperty(name, value) => self = self.user_property(name, value),
                Property::AuthenticationMethod(method) => {
                    let data = Bytes::copy_from_slice(properties.authentication_data().unwrap_or_default());
                    self.options.authentication =
                        self.text("connect_properties", method).map(|method| (method, data));
                }
                Property::AuthenticationData(_) => {}
                _ => self.fault("connect_properties", OptionFault::NotInConnect),
            }
        }
        self
    }

    /// Authenticates by challenge and answer, section 4.12; 5.0 only. `new` makes the [`Authenticator`] of each
    /// connection, and of each [re-authentication](crate::Client::reauthenticate). Without one, a server that asks is refused.
    pub fn authenticator<A: Authenticator + 'static>(
        mut self,
        new: impl Fn() -> A + Send + Sync + 'static,
    ) -> Self {
        self.authenticator = Some(Arc::new(move || Box::new(new())));
        self
    }

    /// What becomes of unacknowledged messages when the server has lost the session. They are sent again if it is not
    /// set, and may so arrive twice.
    pub fn on_session_lost(mut self, policy: OnSessionLost) -> Self {
        self.options.on_session_lost = policy;
        self
    }

    /// The bounds of the queue: messages that are accepted and not yet sent, and bytes of those and of the ones that wait
    /// for their acknowledgement. A message larger than `bytes` is accepted alone. 10,000 messages and 64 MiB if it is
    /// not set.
    pub fn queue(mut self, messages: usize, bytes: usize) -> Self {
        self.options.queue = Size { messages: messages.max(1), bytes };
        self
    }

    /// What gives way when the [`queue`](Self::queue) is full. Nothing if it is not set ([`Overflow::Refuse`]): publishing
    /// waits for room, and [`try_enqueue`](crate::PublishBuilder::try_enqueue) fails.
    ///
    /// With any other policy publishing never waits for the network, and what is dropped completes with
    /// [`Outcome::Dropped`](crate::Outcome::Dropped). Beside the queue as many messages and bytes again may lie there
    /// that the client's task has not looked at yet; if it falls so far behind, it is waited for.
    pub fn queue_overflow(mut self, overflow: Overflow) -> Self {
        self.options.overflow = overflow;
        self
    }

    /// Sends messages and PUBRELs again that the server has not acknowledged for so long, on the connection that stands,
    /// with DUP; before 5.0 only, which forbids it, and so not with [`Protocol::Auto`]. Some old servers rely on it.
    /// Never if it is not set: what is unacknowledged is sent again on the next connection.
    pub fn retransmit_after(mut self, time: Duration) -> Self {
        self.options.retransmit_after = Some(time);
        self
    }

    /// Gives up a message with which so many connections in a row ended ([`Outcome::SetAside`](crate::Outcome::SetAside)):
    /// a server that cannot bear it would close on it for ever. Never if it is not set, since the standard wants it sent
    /// again `[MQTT-4.4.0-1]`.
    pub fn set_aside_after(mut self, connections: u32) -> Self {
        match NonZeroU32::new(connections) {
            None => self.fault("set_aside_after", OptionFault::Zero),
            connections => self.options.set_aside_after = connections,
        }
        self
    }

    /// Acknowledges and drops a received message whose topic name is none, such as `a/#`, and
    /// [counts](crate::Status::skipped) it. If it is not set, such a message ends the connection, as the standard has it; a
    /// server that keeps one for this client then ends each connection anew.
    pub fn skip_misnamed(mut self, skip: bool) -> Self {
        self.options.skip_misnamed = skip;
        self
    }

    /// QoS 1 and 2 messages that are sent and not yet acknowledged. If it is not set: on 5.0 as many as the server's
    /// Receive Maximum allows, before 5.0, where a server cannot tell how many it takes, 20. More is faster over long
    /// distances, but some servers silently drop what is above a limit of theirs.
    pub fn in_flight(mut self, messages: u16) -> Self {
        self.options.in_flight = Some(messages);
        self
    }

    /// Opens transports by this connector. The URL then only serves for its credentials, and is the only one.
    pub fn connector(mut self, connector: impl Connect + 'static) -> Self {
        self.connector = Some(Arc::new(connector));
        self
    }

    /// One more server of the same kind, by its URL: when an attempt fails, the next server is tried at once, and the
    /// [reconnect policy](Self::reconnect) has its say when all have failed. Awaiting the builder fails when each has been
    /// tried. A user and password in the URL are for this server alone; [`credentials`](Self::credentials) are for all.
    ///
    /// Each server has sessions of its own, unless they are one cluster: after a change what was unacknowledged follows
    /// [`on_session_lost`](Self::on_session_lost). All must speak the version that was found at the first.
    pub fn server(mut self, url: &str) -> Self {
        self.other_urls.push(url.to_owned());
        self
    }

    /// In which order the servers are tried; [`ServerOrder::AsNamed`] if it is not set.
    pub fn server_order(mut self, order: ServerOrder) -> Self {
        self.server_order = order;
        self
    }

    /// Whether to go where a server sends the client, section 4.11: a 5.0 server may refuse or end a connection and name
    /// others, for now ([`ReasonCode::USE_ANOTHER_SERVER`](crate::ReasonCode::USE_ANOTHER_SERVER)) or for good
    /// ([`ReasonCode::SERVER_MOVED`](crate::ReasonCode::SERVER_MOVED)). Not if it is not set: such an end is then final, and
    /// [`ConnectError::server_reference`](crate::ConnectError::server_reference) tells.
    ///
    /// The servers it names, `HOST[:PORT]` with spaces between, are tried at once and in that order, by the scheme of the
    /// URL, whose port holds for those without one. After five such hops in a row the client gives up. When a connection
    /// to a server named for now has ended, the next attempt goes to the server of the URL again.
    ///
    /// The servers that are named get the user name and password of this client, or whatever its
    /// [`authenticator`](Self::authenticator) says. Who can forge what the server says can so have them sent anywhere:
    /// turn it on only where the connection is protected, or nothing is secret. It does not go together with a
    /// [`connector`](Self::connector) of one's own, which knows only its own server.
    pub fn follow_server_reference(mut self, follow: bool) -> Self {
        self.follow_server_reference = follow;
        self
    }

    /// Keeps the session in a store, so that it outlives the process: what was accepted and is not delivered, how far
    /// each exchange has come, which QoS 2 messages were taken. The next client with the same store and
    /// [`client_id`](Self::client_id) goes on with it. Publishing then waits until the message is stored. The crate
    /// `mqtt-store` has a store on disk.
    ///
    /// The session is asked to be resumed and, from 5.0 on, not to expire, unless
    /// [`clean_start`](Self::clean_start) or [`session_expiry`](Self::session_expiry) say otherwise; before 5.0 give the
    /// client a name of its own. What [`queue`](Self::queue) allows is then mostly on disk: the client has some thousand
    /// messages in memory at most, unless [`queue_overflow`](Self::queue_overflow) is other than
    /// [`Overflow::Refuse`](crate::Overflow::Refuse), where it needs to know all. Subscriptions are not stored.
    ///
    /// That a message was delivered is stored with what is stored next, 10 ms later at most, and before the client ends: a
    /// crash within that time sends a QoS 1 message again.
    ///
    /// The store is opened when the client starts; an error there ends it with
    /// [`ConnectError::Store`](crate::ConnectError::Store). Later ones are told by
    /// [`Event::StoreFailed`](crate::Event::StoreFailed): nothing that was accepted is lost by them, what cannot be stored
    /// is refused, nothing is sent that would have to be stored first, and it is tried again every second.
    pub fn store(mut self, store: impl Store) -> Self {
        self.store = Some(Box::new(store));
        self
    }

    fn set_password(mut self, option: &'static str, password: Bytes) -> Self {
        if password.len() > usize::from(u16::MAX) {
            self.fault(option, OptionFault::TooLong("65,535 bytes"));
        }
        self.options.password = Some(password);
        self
    }

    fn text(&mut self, option: &'static str, text: &str) -> Option<Text> {
        let checked: Result<Text, TextError> = Text::try_from(text);
        checked.map_err(|error| self.fault(option, error.into())).ok()
    }

    pub(crate) fn fault(&mut self, option: &'static str, fault: OptionFault) {
        self.fault.get_or_insert((option, fault));
    }
}

/// Shows no URL, user name or password.
impl fmt::Debug for ConnectBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ConnectBuilder")
            .field("client_id", &self.client_id)
            .field("protocol", &self.protocol)
            .finish_non_exhaustive()
    }
}

/// A part of a second counts as a whole one: zero means something else.
fn whole_seconds(time: Duration) -> u64 {
    time.as_secs().saturating_add(u64::from(time.subsec_nanos() > 0))
}
