//! How to connect: the options of the builder, checked, and the version to speak.

use crate::authentication::NewAuthenticator;
use crate::credentials::AskCredentials;
use crate::error::{ConnectError, OptionFault};
use crate::journal::Journal;
use crate::presence::Presence;
use crate::reconnect::ReconnectPolicy;
use crate::room::Size;
use crate::servers::Servers;
use crate::store::Store;
use bytes::Bytes;
use core::fmt;
use core::num::NonZeroU32;
use core::time::Duration;
use mqtt_session::{
    CleanStart, Config, Disconnect, Instant, Limits, OnSessionLost, Overflow, PropertiesBuf, Property,
    ReasonCode, RestoreError, Session, Snapshot, Text, TopicName, UsageError, Version, Will,
};
use mqtt_transport::{BoxFuture, BoxTransport};
use std::io;

/// Which version of MQTT to speak.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Protocol {
    /// 5.0, and if the server does not know it, 3.1.1, then 3.1. What the server was found to speak is kept.
    ///
    /// A server does not know a version if it says so, answers CONNECT with what that version forbids, or closes the
    /// connection instead of answering. An option that only 5.0 has makes falling back an error.
    #[default]
    Auto,
    /// 5.0.
    V5,
    /// 3.1.1.
    V3_1_1,
    /// 3.1.
    V3_1,
}

/// The version as people write it: `auto`, `5.0`, `3.1.1`, `3.1`.
impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Auto => f.pad("auto"),
            Self::V5 => Version::V5.fmt(f),
            Self::V3_1_1 => Version::V3_1_1.fmt(f),
            Self::V3_1 => Version::V3_1.fmt(f),
        }
    }
}

/// What CONNECT shall say, before the version is known.
#[derive(Clone, Default)]
pub(crate) struct Options {
    pub(crate) client_id: Text,
    pub(crate) username: Option<Text>,
    pub(crate) password: Option<Bytes>,
    pub(crate) will: Option<Will>,
    pub(crate) clean_start: Option<CleanStart>,
    pub(crate) session_expiry: Option<u32>,
    pub(crate) keep_alive: Option<u16>,
    pub(crate) ping_timeout: Option<Duration>,
    pub(crate) receive_maximum: Option<u16>,
    pub(crate) maximum_packet_size: Option<u32>,
    pub(crate) topic_alias_maximum: Option<u16>,
    pub(crate) in_flight: Option<u16>,
    pub(crate) request_response_information: Option<bool>,
    pub(crate) request_problem_information: Option<bool>,
    pub(crate) user_properties: Vec<(Text, Text)>,
    pub(crate) authentication: Option<(Text, Bytes)>,
    pub(crate) on_session_lost: OnSessionLost,
    pub(crate) queue: Size,
    pub(crate) overflow: Overflow,
    pub(crate) retransmit_after: Option<Duration>,
    pub(crate) set_aside_after: Option<NonZeroU32>,
    pub(crate) skip_misnamed: bool,
}

/// A transport, and what CONNECT shall say on it.
pub(crate) struct Opened {
    pub(crate) transport: BoxTransport,
    pub(crate) credentials: (Option<Text>, Option<Bytes>),
}

pub(crate) struct Plan {
    pub(crate) servers: Servers,
    pub(crate) connect_timeout: Duration,
    pub(crate) goodbye_timeout: Duration,
    pub(crate) reconnect: ReconnectPolicy,
    pub(crate) authenticator: Option<NewAuthenticator>,
    pub(crate) response_topic: Option<TopicName>,
    pub(crate) ask_credentials: Option<AskCredentials>,
    pub(crate) presence: Option<Presence>,
    pub(crate) store: Option<Box<dyn Store>>,
    /// There is a store.
    pub(crate) durable: bool,
    pub(crate) journal: Option<Box<dyn Journal>>,
    options: Options,
    /// The versions to try, newest first; the current one stands at `current`.
    versions: Vec<Version>,
    current: usize,
    /// The transport was opened.
    opened: bool,
}

/// A session of 5.0 outlives a cut for so many seconds, if nothing else is asked for. It ends with the client.
const SESSION_EXPIRY: u32 = 300;

impl Plan {
    pub(crate) fn new(
        servers: Servers,
        connect_timeout: Duration,
        goodbye_timeout: Duration,
        reconnect: ReconnectPolicy,
        options: Options,
        protocol: Protocol,
    ) -> Self {
        let versions = match protocol {
            Protocol::Auto => vec![Version::V5, Version::V3_1_1, Version::V3_1],
            Protocol::V5 => vec![Version::V5],
            Protocol::V3_1_1 => vec![Version::V3_1_1],
            Protocol::V3_1 => vec![Version::V3_1],
        };
        Self {
            servers,
            connect_timeout,
            goodbye_timeout,
            reconnect,
            authenticator: None,
            response_topic: None,
            ask_credentials: None,
            presence: None,
            store: None,
            durable: false,
            journal: None,
            options,
            versions,
            current: 0,
            opened: false,
        }
    }

    /// The bounds of what is accepted and not yet sent, and what gives way there.
    pub(crate) fn queue(&self) -> (Size, Overflow) {
        (self.options.queue, self.options.overflow)
    }

    pub(crate) fn client_id(&self) -> &Text {
        &self.options.client_id
    }

    /// A session in the current version.
    pub(crate) fn session(&self) -> Result<Session, ConnectError> {
        Session::new(self.config(self.version())?).map_err(refused)
    }

    /// The session that was stored, in the current version. What is damaged is left out, and counted.
    pub(crate) fn restore(
        &self,
        now: Instant,
        mut snapshot: Snapshot,
    ) -> Result<(Session, usize), ConnectError> {
        let config = self.config(self.version())?;
        let mut damaged = 0;
        loop {
            match Session::restore(now, config.clone(), snapshot.clone()) {
                Ok(session) => return Ok((session, damaged)),
                Err(RestoreError::Snapshot(error)) => {
                    snapshot.entries.retain(|(key, _)| *key != error.key);
                    damaged += 1;
                }
                Err(RestoreError::Config(error)) => return Err(refused(error)),
                Err(_) => return Err(ConnectError::Cancelled),
            }
        }
    }

    /// Turns a session that has no connection to the current version.
    pub(crate) fn set_version(&self, session: &mut Session) -> Result<(), ConnectError> {
        session.set_config(self.config(self.version())?).map_err(refused)
    }

    /// User name and password for the current server: the application's, or else those of its URL.
    pub(crate) fn credentials(&self) -> (Option<Text>, Option<Bytes>) {
        let Options { username, password, .. } = &self.options;
        if username.is_some() || password.is_some() {
            return (username.clone(), password.clone());
        }
        let server = self.servers.current();
        (server.username.clone(), server.password.clone())
    }

    /// Opens a transport to the current server, once there are credentials for it.
    pub(crate) fn open(&self) -> BoxFuture<'static, Result<Opened, ConnectError>> {
        let (ask, connector) = (self.ask_credentials.clone(), self.servers.current().connector.clone());
        let known = self.credentials();
        Box::pin(async move {
            let credentials = match ask {
                Some(ask) => {
                    ask().await.map_err(|error| ConnectError::Credentials(error.into()))?.checked()?
                }
                None => known,
            };
            Ok(Opened { transport: connector.connect().await?, credentials })
        })
    }

    /// Whether this refusal may be gone with the next credentials.
    pub(crate) fn has_other_credentials(&self, cause: &ConnectError) -> bool {
        self.ask_credentials.is_some()
            && matches!(
                cause.reason(),
                Some(ReasonCode::BAD_USER_NAME_OR_PASSWORD | ReasonCode::NOT_AUTHORIZED)
            )
    }

    /// The version, if there is no choice.
    pub(crate) fn only_version(&self) -> Option<Version> {
        if self.versions.len() == 1 { Some(self.version()) } else { None }
    }

    pub(crate) fn note_opened(&mut self) {
        self.opened = true;
    }

    /// Turns to the next older version, if there is one and the server seems not to know the current. Otherwise the
    /// next attempt begins with the newest again.
    pub(crate) fn fall_back(&mut self, cause: &ConnectError) -> bool {
        let opened = core::mem::take(&mut self.opened);
        let unknown = match cause {
            ConnectError::Refused { reason, .. } => *reason == ReasonCode::UNSUPPORTED_PROTOCOL_VERSION,
            ConnectError::NotAnswered | ConnectError::PeerClosed | ConnectError::Protocol(_) => true,
            ConnectError::Io(error) => {
                use io::ErrorKind::{BrokenPipe, ConnectionAborted, ConnectionReset, UnexpectedEof};
                opened
                    && matches!(
                        error.kind(),
                        BrokenPipe | ConnectionAborted | ConnectionReset | UnexpectedEof
                    )
            }
            _ => false,
        };
        let next = self.current + 1;
        self.current = if unknown && next < self.versions.len() { next } else { 0 };
        self.current != 0
    }

    /// Subscription identifiers begin where those of an earlier run of the program are unlikely to be.
    pub(crate) fn first_identifier(&self) -> u32 {
        match self.options.clean_start {
            Some(CleanStart::Never) => fastrand::u32(1..1 << 27),
            _ => 1,
        }
    }

    /// A session that was to outlive cuts only ends with the client, and the server is told so.
    pub(crate) fn ending_session(&self, disconnect: Disconnect) -> Disconnect {
        if !self.expires_by_default(self.version())
            || disconnect.properties.view().session_expiry_interval().is_some()
        {
            return disconnect;
        }
        let block = disconnect.properties.view().iter().fold(
            PropertiesBuf::builder().session_expiry_interval(0),
            |block, property| match property {
                Property::ReasonString(text) => block.reason_string(text),
                Property::UserProperty(name, value) => block.user_property(name, value),
                _ => block,
            },
        );
        match block.build() {
            Ok(properties) => Disconnect { properties, ..disconnect },
            Err(_) => disconnect,
        }
    }

    fn version(&self) -> Version {
        self.versions.get(self.current).copied().unwrap_or(Version::V5)
    }

    fn expires_by_default(&self, version: Version) -> bool {
        version.is_v5()
            && !self.durable
            && self.options.session_expiry.is_none()
            && self.options.clean_start != Some(CleanStart::Always)
    }

    fn config(&self, version: Version) -> Result<Config, ConnectError> {
        let mut options = self.options.clone();
        (options.username, options.password) = self.credentials();
        options.check(version)?;
        if self.response_topic.is_some() && !version.is_v5() {
            let (option, fault) = ("response_topic", OptionFault::NeedsV5(version));
            return Err(ConnectError::InvalidOption { option, fault });
        }
        if self.ask_credentials.is_some() && (options.username.is_some() || options.password.is_some()) {
            let fault = OptionFault::Conflict("other credentials");
            return Err(ConnectError::InvalidOption { option: "credentials_provider", fault });
        }
        if self.authenticator.is_some() {
            let fault = match version {
                Version::V5 if options.authentication.is_none() => None,
                Version::V5 => Some(OptionFault::Conflict("a method in connect_properties")),
                version => Some(OptionFault::NeedsV5(version)),
            };
            if let Some(fault) = fault {
                return Err(ConnectError::InvalidOption { option: "authenticator", fault });
            }
        }
        let session_expiry = match (self.expires_by_default(version), self.durable) {
            (true, _) => Some(SESSION_EXPIRY),
            // What is stored here is of use only as long as the server has its part.
            (false, true) if version.is_v5() => options.session_expiry.or(Some(u32::MAX)),
            (false, _) => options.session_expiry,
        };
        let clean_start = match version {
            Version::V5 => CleanStart::FirstOnly,
            _ if self.durable => CleanStart::Never,
            // Before 5.0 a session that is once begun to be kept is kept for ever, and only to be asked for.
            _ => CleanStart::Always,
        };
        let queue = match options.overflow {
            // The bound is the client's own: what is refused here was accepted before.
            Overflow::Refuse => Size { messages: usize::MAX, bytes: usize::MAX },
            _ => options.queue,
        };
        let (keep_alive, ping_timeout) = options.pinging();
        let defaults = Config::new(version, options.client_id);
        Ok(Config {
            clean_start: options.clean_start.unwrap_or(clean_start),
            keep_alive,
            ping_timeout,
            connect_timeout: self.connect_timeout,
            username: options.username,
            password: options.password,
            will: options.will,
            session_expiry,
            receive_maximum: options.receive_maximum.unwrap_or(defaults.receive_maximum),
            maximum_packet_size: options.maximum_packet_size,
            topic_alias_maximum: options.topic_alias_maximum.unwrap_or(defaults.topic_alias_maximum),
            request_response_information: options.request_response_information.unwrap_or(false),
            request_problem_information: options.request_problem_information.unwrap_or(true),
            user_properties: options.user_properties,
            authentication: options.authentication,
            on_session_lost: options.on_session_lost,
            retransmit_after: options.retransmit_after,
            set_aside_after: options.set_aside_after,
            durable: self.durable,
            skip_misnamed: options.skip_misnamed,
            limits: Limits {
                queue_messages: queue.messages,
                queue_bytes: queue.bytes,
                overflow: options.overflow,
                requests: usize::MAX,
                in_flight: options.in_flight,
                ..defaults.limits
            },
            ..defaults
        })
    }
}

impl Options {
    /// How long a link may be dead before it has to be found out: the keep alive, and the time for the answer to a ping.
    pub(crate) fn patience(&self) -> Option<Duration> {
        let (seconds, timeout) = self.pinging();
        (seconds > 0).then(|| Duration::from_secs(seconds.into()).saturating_add(timeout))
    }

    /// The keep alive in seconds, and how long an answer to a ping may take.
    fn pinging(&self) -> (u16, Duration) {
        let defaults = Config::new(Version::V5, Text::default());
        let seconds = self.keep_alive.unwrap_or(defaults.keep_alive);
        let usual = match seconds {
            0 => defaults.ping_timeout,
            seconds => defaults.ping_timeout.min(Duration::from_secs(seconds.into())),
        };
        (seconds, self.ping_timeout.unwrap_or(usual))
    }

    /// What a version forbids, by the name of the builder's method.
    fn check(&self, version: Version) -> Result<(), ConnectError> {
        let fail = |option, fault| Err(ConnectError::InvalidOption { option, fault });
        if self.receive_maximum == Some(0) {
            return fail("receive_maximum", OptionFault::Zero);
        }
        if self.maximum_packet_size == Some(0) {
            return fail("maximum_packet_size", OptionFault::Zero);
        }
        if version.is_v5() {
            return Ok(());
        }
        let newer = [
            (self.session_expiry.is_some(), "session_expiry"),
            (self.receive_maximum.is_some(), "receive_maximum"),
            (self.topic_alias_maximum.is_some(), "topic_alias_maximum"),
            (!self.user_properties.is_empty(), "user_property"),
            (self.will.as_ref().is_some_and(|will| !will.properties.is_empty()), "will"),
            (self.request_response_information.is_some(), "request_response_information"),
            (self.request_problem_information.is_some(), "request_problem_information"),
            (self.authentication.is_some(), "connect_properties"),
        ];
        if let Some((_, option)) = newer.into_iter().find(|(set, _)| *set) {
            return fail(option, OptionFault::NeedsV5(version));
        }
        // `[MQTT-3.1.2-22/3.1.1]`
        if self.password.is_some() && self.username.is_none() {
            return fail("credentials", OptionFault::PasswordWithoutUsername);
        }
        if version == Version::V3_1 && !(1..=23).contains(&self.client_id.chars().count()) {
            return fail("client_id", OptionFault::ClientIdLength);
        }
        Ok(())
    }
}

fn refused(error: UsageError) -> ConnectError {
    ConnectError::InvalidOption { option: blame(error), fault: OptionFault::Session(error) }
}

/// The builder's method that a complaint of the session is about.
fn blame(error: UsageError) -> &'static str {
    match error {
        UsageError::ClientIdEmpty | UsageError::ClientIdTooLong => "client_id",
        UsageError::ZeroReceiveMaximum => "receive_maximum",
        UsageError::RetransmissionInV5 | UsageError::ZeroRetransmitAfter => "retransmit_after",
        UsageError::ZeroMaximumPacketSize => "maximum_packet_size",
        UsageError::NotInVersion { option, .. } => option,
        _ => "of CONNECT",
    }
}
