//! `mqtt log`: shows a log of messages, or publishes them again; and `--log`, which writes one.

use core::fmt;
use core::time::Duration;
use std::io::{self, BufWriter, Write as _};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use clap::{Args, ValueEnum};
use humantime::{format_rfc3339_micros, parse_duration, parse_rfc3339_weak};
use mqtt_client::{TopicError, TopicFilter};
use mqtt_log::{Direction, Entry, LogReader, MessageLog, Query};
use serde_json::{Map, Value, json};

use crate::args::{ConnectionArgs, TransportArgs};
use crate::connection::{self, end_of};
use crate::deliveries::Deliveries;
use crate::failure::{Exit, Failure};
use crate::options::Options;
use crate::output::Report;
use crate::signals::Signals;
use crate::values::Version;

/// How often to look for news.
const STEP: Duration = Duration::from_millis(100);
/// Messages that are published again and whose fate is not known yet.
const UNDER_WAY: u16 = 1_000;
/// How long the end waits for the log.
const LAST_WORDS: Duration = Duration::from_secs(5);

#[derive(Debug, Args)]
pub(crate) struct LogArgs {
    /// The directory that --log of `mqtt pub` and `mqtt sub`, or a program, writes to
    directory: PathBuf,

    /// Only topics that this filter takes, with + and # as wildcards; may be repeated
    #[arg(short, long, value_name = "FILTER", allow_hyphen_values = true, value_parser = filter)]
    topic: Vec<TopicFilter>,
    /// Only what was accepted or came after this: a time ago like 90s, 15m, 1h, 2d, or a time like 2026-11-22T10:00:00Z
    #[arg(long, value_name = "TIME", value_parser = moment)]
    since: Option<SystemTime>,
    /// Only what was accepted or came before this, given as for --since
    #[arg(long, value_name = "TIME", value_parser = moment)]
    until: Option<SystemTime>,
    /// Only what came in, or what went out
    #[arg(long, value_name = "DIRECTION")]
    direction: Option<Way>,
    /// Only what failed: not sent, refused, or nobody knows
    #[arg(long)]
    failed: bool,
    /// Only messages of this client identifier
    #[arg(long, value_name = "ID", allow_hyphen_values = true)]
    client: Option<String>,
    /// Of these only the last so many
    #[arg(long, value_name = "COUNT")]
    limit: Option<usize>,

    /// Print an object of JSON for each message
    #[arg(long)]
    json: bool,
    /// Print what comes, too, until a signal ends it
    #[arg(long)]
    follow: bool,
    /// Publish the messages again to this server, in their order, with their QoS and retain flag, instead of printing them
    #[arg(long, value_name = "URL", conflicts_with_all = ["follow", "json"])]
    republish: Option<String>,

    /// Client identifier, for --republish
    #[arg(short, long, requires = "republish", allow_hyphen_values = true)]
    id: Option<String>,
    /// Version of the protocol, for --republish [default: auto]
    #[arg(short = 'V', long, value_name = "VERSION", requires = "republish")]
    protocol_version: Option<Version>,
    /// Say on standard error what happens
    #[arg(short, long)]
    pub(crate) debug: bool,
    /// Print no errors; the exit code alone tells
    #[arg(long)]
    pub(crate) quiet: bool,
    /// TLS, for --republish: trust the authorities in this PEM file, instead of those of the operating system
    #[arg(long, value_name = "FILE", requires = "republish")]
    cafile: Option<PathBuf>,
    /// TLS, for --republish: show this certificate, PEM, with its chain (needs --key)
    #[arg(long, value_name = "FILE", requires = "key", requires = "republish")]
    cert: Option<PathBuf>,
    /// TLS, for --republish: the key of --cert, PEM, not encrypted
    #[arg(long, value_name = "FILE", requires = "cert", requires = "republish")]
    key: Option<PathBuf>,
    /// TLS, for --republish: accept any certificate from anybody
    #[arg(long, requires = "republish")]
    insecure: bool,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Way {
    In,
    Out,
}

impl From<Way> for Direction {
    fn from(way: Way) -> Self {
        match way {
            Way::In => Self::In,
            Way::Out => Self::Out,
        }
    }
}

pub(crate) async fn run(args: LogArgs, report: Report) -> Result<Exit, Failure> {
    let query = query(&args);
    let reader = LogReader::open(&args.directory).map_err(unreadable)?;
    if let Some(url) = &args.republish {
        let options = republishing(&args, url)?;
        let work = async |client: &_| republish(client, &reader, query, report).await;
        return connection::run(&options, connection::for_a_while(), report, work).await;
    }
    let ended = print(&args, &reader, query).await;
    let lost = reader.lost().map_err(unreadable)?;
    report.debug(format_args!("messages that were not logged because too much waited: {lost}"));
    ended
}

fn query(args: &LogArgs) -> Query {
    let mut query = args.topic.iter().cloned().fold(Query::new(), Query::topic);
    if let Some(time) = args.since {
        query = query.since(time);
    }
    if let Some(time) = args.until {
        query = query.until(time);
    }
    if let Some(way) = args.direction {
        query = query.direction(way.into());
    }
    if args.failed {
        query = query.failed();
    }
    if let Some(id) = &args.client {
        query = query.client_id(id);
    }
    match args.limit {
        Some(count) => query.last(count),
        None => query,
    }
}

/// Prints what is there and, if asked to, what comes.
async fn print(args: &LogArgs, reader: &LogReader, query: Query) -> Result<Exit, Failure> {
    let mut out = BufWriter::with_capacity(64 * 1024, io::stdout().lock());
    let mut entries = if args.follow { reader.follow(query) } else { reader.entries(query) };
    let mut signals = args.follow.then(Signals::listen);
    loop {
        for entry in entries.by_ref() {
            let entry = entry.map_err(unreadable)?;
            let printed = if args.json {
                writeln!(out, "{}", object(&entry))
            } else {
                writeln!(out, "{}", Line(&entry))
            };
            if let Err(error) = printed {
                return unprinted(&error);
            }
        }
        if let Err(error) = out.flush() {
            return unprinted(&error);
        }
        let Some(signals) = &mut signals else { return Ok(Exit::Done) };
        tokio::select! {
            exit = signals.next() => return Ok(exit),
            () = tokio::time::sleep(STEP) => {}
        }
    }
}

/// A reader that has enough, as `head` does, ends us quietly.
fn unprinted(error: &io::Error) -> Result<Exit, Failure> {
    match error.kind() {
        io::ErrorKind::BrokenPipe => Ok(Exit::Done),
        _ => Err(Failure::wrong(format!("standard output: {error}"))),
    }
}

fn republishing(args: &LogArgs, url: &str) -> Result<Options, Failure> {
    let transport = TransportArgs {
        cafile: args.cafile.clone(),
        cert: args.cert.clone(),
        key: args.key.clone(),
        insecure: args.insecure,
        ..TransportArgs::default()
    };
    let connection = ConnectionArgs {
        url: Some(url.to_owned()),
        id: args.id.clone(),
        protocol_version: Some(args.protocol_version.unwrap_or(Version::Auto)),
        keepalive: 60,
        transport,
        ..ConnectionArgs::default()
    };
    let options = Options::read(&connection, None)?;
    match &options.server.topic {
        Some(_) => {
            Err(Failure::wrong("--republish: each message goes to its own topic, leave out that of the URL"))
        }
        None => Ok(options),
    }
}

/// Publishes them all, in their order, and waits for what becomes of each.
async fn republish(
    client: &mqtt_client::Client,
    reader: &LogReader,
    query: Query,
    report: Report,
) -> Result<Exit, Failure> {
    let mut deliveries = Deliveries::new(UNDER_WAY, report);
    let mut published: u64 = 0;
    for entry in reader.entries(query) {
        let entry = entry.map_err(unreadable)?;
        let name = format!("message {} to '{}'", entry.id, entry.topic);
        let message = match entry.message() {
            Ok(message) => message,
            Err(error) => {
                deliveries.fail(&name, &error.to_string());
                continue;
            }
        };
        if deliveries.is_full() {
            deliveries.settle_one().await;
        }
        let publish = client.publish(message.topic, message.payload).qos(message.qos);
        let publish = if message.retain { publish.retain() } else { publish };
        deliveries.add(name, publish.properties(message.properties).enqueue().await)?;
        published += 1;
    }
    deliveries.settle_all().await;
    report.debug(format_args!("messages published: {published}, not delivered: {}", deliveries.failed()));
    match deliveries.failed() {
        0 => Ok(Exit::Done),
        _ => end_of(client).await.map_or(Ok(Exit::Undelivered), Err),
    }
}

/// Opens the log of `--log`.
pub(crate) fn open(directory: Option<&Path>) -> Result<Option<MessageLog>, Failure> {
    directory.map(MessageLog::open).transpose().map_err(|error| Failure::wrong(format!("--log: {error}")))
}

/// The command ends: what was not logged is told.
pub(crate) fn finish(log: Option<&MessageLog>, report: Report) {
    let Some(log) = log else { return };
    let complete = log.wait_written(LAST_WORDS);
    let status = log.status();
    if !complete || status.lost > 0 {
        let missing = status.lost + status.waiting as u64;
        let why = status.error.map(|error| format!(" ({error})")).unwrap_or_default();
        report.error(format_args!("--log: messages that were not logged: {missing}{why}"));
    }
}

fn unreadable(error: mqtt_log::LogError) -> Failure {
    Failure::wrong(error.to_string())
}

fn filter(typed: &str) -> Result<TopicFilter, TopicError> {
    TopicFilter::try_from(typed)
}

/// A time ago, or a time.
#[expect(clippy::disallowed_methods, reason = "ago means before the user's now")]
fn moment(typed: &str) -> Result<SystemTime, &'static str> {
    const EXPECTED: &str =
        "expected a time ago like 90s, 15m, 1h, 2d, or a time like 2026-11-22T10:00:00Z (UTC)";
    if let Ok(ago) = parse_duration(typed) {
        return SystemTime::now().checked_sub(ago).ok_or(EXPECTED);
    }
    let midnight = format!("{typed}T00:00:00Z");
    parse_rfc3339_weak(typed).or_else(|_| parse_rfc3339_weak(&midnight)).map_err(|_| EXPECTED)
}

/// A message as people read it. Everything that came from outside is quoted.
struct Line<'a>(&'a Entry);

impl fmt::Display for Line<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let entry = self.0;
        let (retain, dup) = (u8::from(entry.retain), u8::from(entry.dup));
        write!(
            f,
            "{} {:<3} {} {} (q{}, r{retain}, d{dup}",
            format_rfc3339_micros(entry.time),
            entry.direction.as_str(),
            Quoted(&entry.client_id),
            Quoted(&entry.topic),
            entry.qos.as_u8(),
        )?;
        if let Some(id) = entry.packet_id {
            write!(f, ", m{id}")?;
        }
        write!(f, ", {} bytes) ", entry.payload_size)?;
        match core::str::from_utf8(&entry.payload) {
            Ok(text) => write!(f, "{}", Value::from(text))?,
            Err(_) => write!(f, "0x{}", hex(&entry.payload))?,
        }
        if entry.payload_size > entry.payload.len() as u64 {
            f.write_str("..")?;
        }
        if let Some(outcome) = entry.outcome {
            write!(f, " {}", outcome.as_str())?;
        }
        if let Some(reason) = entry.reason {
            write!(f, " {reason}")?;
        }
        if let Some(words) = &entry.reason_string {
            write!(f, " {}", Value::from(words.as_str()))?;
        }
        match entry.outcome_time.and_then(|time| time.duration_since(entry.time).ok()) {
            Some(after) => write!(f, " after {:.3} ms", after.as_secs_f64() * 1e3),
            None => Ok(()),
        }
    }
}

/// As it is, if a terminal can bear it.
struct Quoted<'a>(&'a str);

impl fmt::Display for Quoted<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let plain = !self.0.is_empty() && !self.0.contains(|c: char| c.is_control() || c == ' ' || c == '"');
        if plain { f.write_str(self.0) } else { write!(f, "{}", Value::from(self.0)) }
    }
}

/// A message as JSON: the columns of the log, times in RFC 3339, a payload that is not UTF-8 as `payload_hex`.
fn object(entry: &Entry) -> Value {
    let properties = entry.properties.as_deref().and_then(|json| serde_json::from_str::<Value>(json).ok());
    let mut object = Map::new();
    let mut put = |name: &str, value: Value| object.insert(name.to_owned(), value);
    put("id", entry.id.into());
    put("time", format_rfc3339_micros(entry.time).to_string().into());
    put("direction", entry.direction.as_str().into());
    put("client_id", entry.client_id.as_str().into());
    put("topic", entry.topic.as_str().into());
    match core::str::from_utf8(&entry.payload) {
        Ok(text) => put("payload", text.into()),
        Err(_) => put("payload_hex", hex(&entry.payload).into()),
    };
    put("payload_size", entry.payload_size.into());
    put("payload_sha256", json!(entry.payload_sha256.as_deref().map(hex)));
    put("qos", entry.qos.as_u8().into());
    put("retain", u8::from(entry.retain).into());
    put("dup", u8::from(entry.dup).into());
    put("packet_id", json!(entry.packet_id));
    put("properties", json!(properties));
    put("outcome", json!(entry.outcome.map(|outcome| outcome.as_str())));
    put("reason", json!(entry.reason.map(|reason| reason.value())));
    put("reason_string", json!(entry.reason_string));
    put("outcome_time", json!(entry.outcome_time.map(|time| format_rfc3339_micros(time).to_string())));
    Value::Object(object)
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use std::time::UNIX_EPOCH;

    use super::*;

    #[test]
    fn a_moment_is_a_time_or_a_time_ago() {
        let known = UNIX_EPOCH + Duration::from_secs(1_709_164_800);
        for typed in ["2024-02-29", "2024-02-29T00:00:00Z", "2024-02-29 00:00:00", "2024-02-29T00:00:00"] {
            assert_eq!(moment(typed), Ok(known), "{typed}");
        }
        assert!(moment("1h").unwrap() > known && moment("1h 30m").unwrap() < moment("1h").unwrap());
        for typed in ["", "x", "1", "-1h", "2024-02-30", "99999999999999999999d"] {
            assert!(moment(typed).is_err(), "{typed}");
        }
    }

    #[test]
    fn nothing_from_outside_drives_a_terminal() {
        assert_eq!(Quoted("a/b").to_string(), "a/b");
        assert_eq!(Quoted("a\u{1b}[1m").to_string(), r#""a\u001b[1m""#);
        assert_eq!(Quoted("").to_string(), r#""""#);
    }
}
