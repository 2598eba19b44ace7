//! What the flags mean for the connection. Wrong combinations are refused here, before anything is sent.

use core::time::Duration;
use std::path::PathBuf;
use std::process;

use bytes::Bytes;
use mqtt_client::tls::TlsOptions;
use mqtt_client::{
    CleanStart, Client, ConnectError, PropertiesBuf, Protocol, QoS, ReconnectPolicy, TopicName, Will,
};

use mqtt_store::DurableStore;

use crate::args::{ConnectionArgs, TransportArgs};
use crate::failure::Failure;
use crate::properties::Properties;
use crate::server::Server;
use crate::values::{SessionExpiry, Version};

/// The connection that was asked for.
pub(crate) struct Options {
    pub(crate) server: Server,
    pub(crate) properties: Properties,
    pub(crate) protocol: Protocol,
    /// `-W`.
    pub(crate) timeout: Option<Duration>,
    /// `-M`, of publishers.
    pub(crate) max_inflight: Option<u16>,
    /// `--store`, of publishers.
    pub(crate) store: Option<PathBuf>,
    client_id: Option<String>,
    keep_session: bool,
    session_expiry: Option<SessionExpiry>,
    keep_alive: Duration,
    username: Option<String>,
    password: Option<String>,
    will: Option<Will>,
    tls: Option<TlsOptions>,
    proxy: Option<String>,
    /// `--log`.
    pub(crate) log: Option<mqtt_log::MessageLog>,
}

impl Options {
    /// `v5_flag` is a flag of the command that only MQTT 5 can carry, if one was given.
    pub(crate) fn read(args: &ConnectionArgs, v5_flag: Option<&str>) -> Result<Self, Failure> {
        let server = Server::read(args)?;
        let properties = args.properties.read()?;
        let protocol = protocol(args, v5_flag)?;
        let alone = args.password.is_some() && args.username.is_none();
        if alone && (server.has_user() || protocol != Protocol::V5) {
            return Err(Failure::wrong("-P needs -u: only MQTT 5 has passwords without user names"));
        }
        let connect = properties.connect.view();
        if connect.authentication_data().is_some() && connect.authentication_method().is_none() {
            return Err(Failure::wrong(
                "-D connect authentication-data needs an authentication-method beside it",
            ));
        }
        Ok(Self {
            will: will(args, &properties.will)?,
            session_expiry: session_expiry(args, &properties.connect, protocol)?,
            client_id: client_id(args),
            keep_session: args.disable_clean_session,
            max_inflight: None,
            store: None,
            keep_alive: Duration::from_secs(args.keepalive.into()),
            username: args.username.clone(),
            password: args.password.clone(),
            timeout: args.timeout.map(Duration::from_secs),
            tls: args.transport.tls().then(|| tls(&args.transport)),
            proxy: args.transport.proxy.clone(),
            log: crate::log::open(args.log.as_deref())?,
            server,
            properties,
            protocol,
        })
    }

    /// Keeps what is published in a store. It belongs to one client identifier, and so does the session that goes on in the
    /// next run.
    pub(crate) fn keep_in(&mut self, store: PathBuf, named: bool) -> Result<(), Failure> {
        if !named {
            return Err(Failure::wrong("--store needs -i: a store belongs to one client identifier"));
        }
        if self.session_expiry == Some(SessionExpiry(0)) {
            return Err(Failure::wrong("--store needs a session that lasts: leave out -x 0"));
        }
        self.store = Some(store);
        Ok(())
    }

    /// Connects; fails if the first attempt does, unless there is a store: then nobody waits for the server.
    ///
    /// Without `-c` and `-x` the client chooses: a session of MQTT 5 then outlives a cut, and ends with the command.
    pub(crate) async fn connect(&self, policy: ReconnectPolicy) -> Result<Client, ConnectError> {
        let mut builder = mqtt_client::connect(&self.server.url)
            .protocol(self.protocol)
            .keep_alive(self.keep_alive)
            .reconnect(policy)
            .connect_properties(self.properties.connect.clone());
        if let Some(messages) = self.max_inflight {
            builder = builder.in_flight(messages);
        }
        if let Some(id) = &self.client_id {
            builder = builder.client_id(id);
        }
        if self.keep_session {
            builder = builder.clean_start(CleanStart::Never);
        }
        if let Some(SessionExpiry(seconds)) = self.session_expiry {
            builder = builder.session_expiry(Duration::from_secs(seconds.into()));
        }
        if let Some(will) = &self.will {
            builder = builder.will(will.clone());
        }
        if let Some(tls) = &self.tls {
            builder = builder.tls(tls.clone());
        }
        if let Some(log) = &self.log {
            builder = builder.journal(log.clone());
        }
        if let Some(proxy) = &self.proxy {
            builder = builder.proxy(proxy);
        }
        builder = match (&self.username, &self.password) {
            (Some(username), Some(password)) => builder.credentials(username, password.clone()),
            (Some(username), None) => builder.username(username),
            (None, Some(password)) => builder.password(password.clone()),
            (None, None) => builder,
        };
        match &self.store {
            Some(store) => builder.store(DurableStore::open(store)?).start(),
            None => builder.await,
        }
    }
}

fn protocol(args: &ConnectionArgs, v5_flag: Option<&str>) -> Result<Protocol, Failure> {
    let others = [(!args.properties.is_empty(), "-D"), (args.session_expiry.is_some(), "-x")];
    let v5_flag = v5_flag.or_else(|| others.into_iter().find_map(|(given, flag)| given.then_some(flag)));
    match (args.protocol_version, v5_flag) {
        (Some(Version::V5), _) | (None, Some(_)) => Ok(Protocol::V5),
        (Some(Version::Auto), _) => Ok(Protocol::Auto),
        (Some(_), Some(flag)) => Err(Failure::wrong(format!("{flag} needs MQTT 5: use -V mqttv5"))),
        (Some(Version::V31), None) => Ok(Protocol::V3_1),
        (Some(Version::V311) | None, None) => Ok(Protocol::V3_1_1),
    }
}

/// What to ask for, if anything. A session that is kept must be found again, so it needs a client identifier that stays
/// the same.
fn session_expiry(
    args: &ConnectionArgs,
    connect: &PropertiesBuf,
    protocol: Protocol,
) -> Result<Option<SessionExpiry>, Failure> {
    let property = connect.view().session_expiry_interval().map(SessionExpiry);
    if property.is_some() && args.session_expiry.is_some() {
        return Err(Failure::wrong("the session expiry is given twice: by -x and by -D"));
    }
    let asked = args.session_expiry.or(property);
    let named = args.id.as_deref().is_some_and(|id| !id.is_empty());
    if args.disable_clean_session && !named {
        return Err(Failure::wrong("-c needs -i: a session is kept under its client identifier"));
    }
    if asked == Some(SessionExpiry::NEVER) && !named {
        return Err(Failure::wrong("-x -1 needs -i: a session is kept under its client identifier"));
    }
    let for_ever = args.disable_clean_session && matches!(protocol, Protocol::V5 | Protocol::Auto);
    Ok(if asked.is_none() && for_ever { Some(SessionExpiry::NEVER) } else { asked })
}

fn tls(args: &TransportArgs) -> TlsOptions {
    let mut options = TlsOptions::new();
    if let Some(file) = &args.cafile {
        options = options.ca_file(file);
    }
    if args.tls_use_os_certs {
        options = options.with_platform_roots();
    }
    if let (Some(cert), Some(key)) = (&args.cert, &args.key) {
        options = options.client_certificate_files(cert, key);
    }
    if let Some(protocol) = &args.tls_alpn {
        options = options.alpn([protocol.as_str()]);
    }
    if args.insecure {
        options = options.dangerous_accept_any_certificate();
    }
    options
}

fn client_id(args: &ConnectionArgs) -> Option<String> {
    let prefixed = args.id_prefix.as_ref().map(|prefix| format!("{prefix}{}", process::id()));
    args.id.clone().or(prefixed)
}

fn will(args: &ConnectionArgs, properties: &PropertiesBuf) -> Result<Option<Will>, Failure> {
    let Some(topic) = &args.will_topic else {
        let unused = !properties.is_empty();
        return if unused { Err(Failure::wrong("-D will needs --will-topic")) } else { Ok(None) };
    };
    let topic = TopicName::try_from(topic.as_str())
        .map_err(|error| Failure::wrong(format!("--will-topic {topic:?}: {error}")))?;
    let payload =
        args.will_payload.as_ref().map(|payload| Bytes::copy_from_slice(payload.as_encoded_bytes()));
    Ok(Some(Will {
        topic,
        payload: payload.unwrap_or_default(),
        qos: QoS::from_u8(args.will_qos).unwrap_or_default(),
        retain: args.will_retain,
        properties: properties.clone(),
    }))
}
