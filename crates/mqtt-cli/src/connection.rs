//! From connecting to the goodbye: what both commands have in common.

use core::future::pending;
use core::time::Duration;
use std::io;

use mqtt_client::tls::TlsError;
use mqtt_client::transport::proxy::ProxyError;
use mqtt_client::{
    Client, Closed, ConnectError, DisconnectError, Event, Events, OptionFault, ReasonCode, ReconnectPolicy,
    State,
};

use crate::failure::{Exit, Failure};
use crate::options::Options;
use crate::output::Report;
use crate::signals::Signals;

/// To come back for as long as it takes, as a subscriber does.
pub(crate) fn for_ever() -> ReconnectPolicy {
    ReconnectPolicy::default()
}

/// To come back for about half a minute: a script waits for the end of a publisher.
pub(crate) fn for_a_while() -> ReconnectPolicy {
    ReconnectPolicy::default().max_attempts(6)
}

/// Connects, works until that is done or a signal or the time of `-W` ends it, and says goodbye.
///
/// `work` is dropped when it is cut short; what must outlive the goodbye must be borrowed by it.
pub(crate) async fn run(
    options: &Options,
    policy: ReconnectPolicy,
    report: Report,
    work: impl AsyncFnOnce(&Client) -> Result<Exit, Failure>,
) -> Result<Exit, Failure> {
    let mut signals = Signals::listen();
    report.debug(format_args!("connecting to {}", options.server.name()));
    let client = tokio::select! {
        client = options.connect(policy) => client.map_err(|error| not_connected(&error, options))?,
        exit = signals.next() => return Ok(exit),
    };
    if options.store.is_none() {
        report.debug(connected(&client));
    }
    tokio::spawn(tell(client.events(), report));
    let ended = tokio::select! {
        ended = work(&client) => ended,
        exit = signals.next() => Ok(exit),
        () = time(options.timeout) => Err(Failure::new(Exit::TimedOut, "the time of -W is over")),
    };
    goodbye(&client, options, report).await;
    crate::log::finish(options.log.as_ref(), report);
    ended
}

async fn time(limit: Option<Duration>) {
    match limit {
        Some(limit) => tokio::time::sleep(limit).await,
        None => pending().await,
    }
}

/// DISCONNECT, behind what the client has accepted; the client itself limits the time this may take.
async fn goodbye(client: &Client, options: &Options, report: Report) {
    if client.status().state == State::Closed {
        return;
    }
    report.debug("disconnecting");
    let properties = options.properties.disconnect.clone();
    if let Err(DisconnectError::NotAllowed(error)) =
        client.disconnect_with(ReasonCode::NORMAL_DISCONNECTION, properties).await
    {
        report.error(format_args!("-D disconnect: {error}; a plain DISCONNECT was sent"));
    }
}

/// What CONNACK brought, for `-d`.
fn connected(client: &Client) -> String {
    match client.status().negotiated {
        Some(negotiated) => format!(
            "connected by MQTT {} as '{}', keep alive {} s",
            negotiated.version, negotiated.client_id, negotiated.keep_alive
        ),
        None => "connected".to_owned(),
    }
}

/// Tells of cuts and returns. The first failure of a row is worth a line, what follows only with `-d`.
async fn tell(mut events: Events, report: Report) {
    let mut down = false;
    while let Some(event) = events.next().await {
        match event {
            Event::Connected(connected) if down => {
                down = false;
                let session = if connected.session_present { "resumed" } else { "new" };
                report.error(format_args!("connected again, {session} session"));
            }
            Event::Disconnected { cause, retry_in: Some(delay) } => {
                let line = format!("{cause}; trying again in {:.1} s", delay.as_secs_f64());
                if down {
                    report.debug(line)
                } else {
                    report.error(format_args!("connection lost: {line}"))
                }
                down = true;
            }
            Event::SubscriptionLost(filter, reason) => {
                report.error(format_args!("the server refused to subscribe '{filter}' again: {reason}"));
            }
            _ => {}
        }
    }
}

/// Why the client has ended, if it has.
pub(crate) async fn end_of(client: &Client) -> Option<Failure> {
    if client.status().state == State::Closed { Some(ended(&client.closed().await)) } else { None }
}

/// The failure that the end of a client is, after it was connected.
pub(crate) fn ended(closed: &Closed) -> Failure {
    match closed {
        Closed::Failed(ConnectError::Refused { reason, .. }) => Failure::new(
            Exit::Refused,
            format!("the server did not let the client in again: {reason}{}", hint(*reason)),
        ),
        Closed::Failed(ConnectError::Disconnected { reason, .. }) => {
            Failure::new(Exit::Lost, format!("the server ended the connection: {reason}{}", hint(*reason)))
        }
        Closed::Failed(cause) => Failure::new(Exit::Lost, format!("connection lost: {cause}")),
        other => Failure::new(Exit::Lost, other.to_string()),
    }
}

/// The failure that messages in a store could not be delivered; they are still there.
pub(crate) fn left(closed: &Closed, options: &Options) -> Failure {
    let failure = match closed {
        Closed::Failed(cause) => not_connected(cause, options),
        other => ended(other),
    };
    match closed {
        Closed::Failed(ConnectError::Store(_)) => failure,
        _ => Failure::new(
            failure.exit,
            format!("{failure}; what was accepted waits in the store for the next run"),
        ),
    }
}

/// The failure that there is no connection.
fn not_connected(error: &ConnectError, options: &Options) -> Failure {
    let (server, flag) = (options.server.name(), options.server.flag);
    match error {
        ConnectError::Store(error) => Failure::wrong(format!("--store: {error}")),
        ConnectError::InvalidUrl(fault) => Failure::wrong(format!("{flag}: {fault}")),
        ConnectError::InvalidOption { option, fault } => Failure::wrong(bad_option(option, fault)),
        ConnectError::Io(error) => match tls_error(error) {
            Some(tls @ (TlsError::File { .. } | TlsError::Pem { .. } | TlsError::KeyMismatch(_))) => {
                Failure::wrong(tls.to_string())
            }
            tls => unreachable(error, options, tls),
        },
        ConnectError::Timeout(limit) => Failure::new(
            Exit::Unreachable,
            format!("{server} did not answer within {} s; is it an MQTT server?", limit.as_secs()),
        ),
        ConnectError::NotAnswered | ConnectError::PeerClosed => Failure::new(
            Exit::Unreachable,
            format!(
                "{server} closed the connection without an answer; is it the right -p, does it want TLS, and does it \
                 know this -V?"
            ),
        ),
        ConnectError::SpeaksTls => Failure::new(Exit::Unreachable, format!("{server}: {error}")),
        ConnectError::Refused { reason, .. } => {
            Failure::new(Exit::Refused, format!("{server}: {error}{}", hint(*reason)))
        }
        ConnectError::Protocol(_) => {
            Failure::new(Exit::Lost, format!("{server}: {error}; is it an MQTT server that knows this -V?"))
        }
        other => Failure::new(Exit::Lost, format!("{server}: {other}")),
    }
}

/// The failure of a transport.
fn unreachable(error: &io::Error, options: &Options, tls: Option<&TlsError>) -> Failure {
    let server = options.server.name();
    let about_proxy = error.get_ref().is_some_and(|inner| inner.is::<ProxyError>());
    let error = error.to_string();
    // The transport names the address that it tried, which may be what was typed.
    let error = error.strip_prefix(server).and_then(|error| error.strip_prefix(": ")).unwrap_or(&error);
    let check = match tls {
        None if about_proxy => "check --proxy",
        None if options.server.url.starts_with("unix:") => "check the path of the socket",
        None => "check -h and -p",
        Some(TlsError::UnknownIssuer | TlsError::SelfSigned) => "name its authority with --cafile",
        Some(TlsError::WrongHost { .. }) => "give -h a name that stands in it",
        Some(TlsError::ClientCertificateRequired) => "give --cert and --key",
        Some(TlsError::ClientCertificateRefused(_)) => "check --cert",
        Some(TlsError::NotTls | TlsError::HandshakeClosed) => "check -p, or leave out TLS",
        Some(TlsError::Alpn) => "check --tls-alpn",
        Some(_) => "see to the server's certificate and TLS",
    };
    Failure::new(Exit::Unreachable, format!("cannot reach {server}: {error}; {check}"))
}

fn tls_error(error: &io::Error) -> Option<&TlsError> {
    error.get_ref()?.downcast_ref()
}

/// The client names its methods; here they are flags.
fn bad_option(option: &str, fault: &OptionFault) -> String {
    let flag = match option {
        "client_id" => "-i",
        "username" => "-u",
        "credentials" | "password" => "-P",
        "session_expiry" => "-x (or -c)",
        "will" => "--will-topic",
        "tls" => "--cafile, --cert, --key, --tls-alpn, --insecure",
        "websocket" => "--ws",
        "proxy" => "--proxy",
        "connect_properties"
        | "user_property"
        | "receive_maximum"
        | "maximum_packet_size"
        | "topic_alias_maximum" => "-D connect",
        other => other,
    };
    match fault {
        OptionFault::NeedsV5(version) => format!("{flag} needs MQTT 5, and this server speaks {version}"),
        fault => format!("{flag}: {fault}"),
    }
}

/// What to change, where that can be known.
fn hint(reason: ReasonCode) -> &'static str {
    match reason {
        ReasonCode::UNSUPPORTED_PROTOCOL_VERSION => "; try another -V",
        ReasonCode::CLIENT_IDENTIFIER_NOT_VALID => "; choose another -i",
        ReasonCode::BAD_USER_NAME_OR_PASSWORD => "; check -u and -P",
        ReasonCode::NOT_AUTHORIZED => "; check -u, -P and -i",
        ReasonCode::SESSION_TAKEN_OVER => "; another client has the same -i",
        ReasonCode::BAD_AUTHENTICATION_METHOD => "; check -D connect authentication-method",
        _ => "",
    }
}
