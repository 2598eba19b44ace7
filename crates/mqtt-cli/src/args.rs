//! What was typed. Flags are named and behave as those of `mosquitto_pub` and `mosquitto_sub`.
//!
//! Nothing is interpreted here beyond its form; `options.rs` says what it means.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::{ArgAction, ArgGroup, Args, Parser, Subcommand};

use crate::properties::TypedProperties;
use crate::store::StoreArgs;
use crate::values::{SessionExpiry, Version, seconds};

/// Printed below every help text; the table of `failure.rs`, in words.
const EXIT_CODES: &str = "\
Exit codes:
    0  everything asked for was done
    1  the command line, a file or the input is wrong, or something unforeseen happened here
    2  the server cannot be reached: no such host, no listener, no answer
    3  the server refused the connection (the message names the reason code)
    4  the connection was lost and could not be had again, or the server broke the protocol
    5  a message was not delivered: refused by the server, or nothing is known of it
    6  a subscription was refused by the server
   27  the time of -W is over
  130  ended by SIGINT (Ctrl-C), after a DISCONNECT
  143  ended by SIGTERM, after a DISCONNECT";

/// Publish and subscribe with MQTT 3.1, 3.1.1 and 5.0
#[derive(Debug, Parser)]
#[command(name = "mqtt", version, disable_help_flag = true, disable_version_flag = true)]
#[command(disable_help_subcommand = true, after_help = EXIT_CODES)]
pub(crate) struct Cli {
    /// Print this help
    #[arg(long, action = ArgAction::Help, global = true)]
    help: Option<bool>,
    /// Print the version of this program
    #[arg(long, action = ArgAction::Version)]
    version: Option<bool>,
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Publish to a topic: one message, a file, or a message per line of standard input
    #[command(after_help = EXIT_CODES)]
    Pub(PubArgs),
    /// Subscribe to topics and print what arrives
    #[command(after_help = EXIT_CODES)]
    Sub(SubArgs),
    /// Look at what a client has stored on disk
    #[command(after_help = EXIT_CODES)]
    Store(StoreArgs),
    /// Show a log of messages, or publish them again
    #[command(after_help = EXIT_CODES)]
    Log(crate::log::LogArgs),
}

/// Whom to talk to and as whom: common to both commands.
#[derive(Debug, Default, Args)]
#[command(next_help_heading = "Connection")]
pub(crate) struct ConnectionArgs {
    /// Server to connect to: a name, an address, or a URL such as mqtts://name
    #[arg(short = 'h', long, value_name = "HOST", default_value = "localhost")]
    pub(crate) host: String,
    /// Port to connect to [default: 1883; with TLS 8883, with --ws 80, with both 443]
    #[arg(short, long, value_parser = clap::value_parser!(u16).range(1..))]
    pub(crate) port: Option<u16>,
    /// Server, credentials and topic at once: mqtt://USER:PASSWORD@HOST:PORT/TOPIC, where all but HOST may be missing;
    /// also mqtts:// and quic://, and ws://HOST/PATH, wss://HOST/PATH, unix:///PATH, which have no topic
    #[arg(short = 'L', long, conflicts_with = "host")]
    pub(crate) url: Option<String>,
    /// User name
    #[arg(short, long, allow_hyphen_values = true)]
    pub(crate) username: Option<String>,
    /// Password
    #[arg(short = 'P', long = "pw", value_name = "PASSWORD", allow_hyphen_values = true)]
    pub(crate) password: Option<String>,

    /// Client identifier; without it one is made up
    #[arg(short, long, allow_hyphen_values = true)]
    pub(crate) id: Option<String>,
    /// Client identifier: PREFIX and the process id
    #[arg(short = 'I', long, value_name = "PREFIX", conflicts_with = "id")]
    pub(crate) id_prefix: Option<String>,
    /// Version of the protocol: mqttv31 (31), mqttv311 (311), mqttv5 (5), or auto for the newest both sides speak
    /// [default: mqttv311; mqttv5 with -D or -x]
    #[arg(short = 'V', long, value_name = "VERSION")]
    pub(crate) protocol_version: Option<Version>,
    /// Keep alive in seconds, 0 for none
    #[arg(short, long, value_name = "SECONDS", default_value_t = 60)]
    pub(crate) keepalive: u16,
    /// Keep the session on the server: do not start clean (needs -i)
    #[arg(short = 'c', long)]
    pub(crate) disable_clean_session: bool,
    /// Seconds the session outlives the connection, -1 for ever (MQTT 5) [default: -1 with -c, else 0]
    #[arg(short = 'x', long = "session-expiry-interval", value_name = "SECONDS", allow_hyphen_values = true)]
    pub(crate) session_expiry: Option<SessionExpiry>,

    /// Topic of the will, the message the server publishes when this client is cut off
    #[arg(long, value_name = "TOPIC", allow_hyphen_values = true)]
    pub(crate) will_topic: Option<String>,
    /// Payload of the will [default: empty]
    #[arg(long, value_name = "PAYLOAD", requires = "will_topic", allow_hyphen_values = true)]
    pub(crate) will_payload: Option<OsString>,
    /// Quality of service of the will
    #[arg(long, value_name = "QOS", requires = "will_topic", default_value_t = 0, value_parser = qos())]
    pub(crate) will_qos: u8,
    /// Have the will retained
    #[arg(long, requires = "will_topic")]
    pub(crate) will_retain: bool,

    #[command(flatten)]
    pub(crate) properties: TypedProperties,

    /// Say on standard error what goes out and what comes in
    #[arg(short, long)]
    pub(crate) debug: bool,
    /// Print no errors; the exit code alone tells
    #[arg(long)]
    pub(crate) quiet: bool,
    /// Give up after so many seconds, with exit code 27
    #[arg(short = 'W', long, value_name = "SECONDS", value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) timeout: Option<u64>,
    /// Write every message, in and out, to the log in this directory, which `mqtt log` shows
    #[arg(long, value_name = "DIR")]
    pub(crate) log: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) transport: TransportArgs,
    /// Accepted for mosquitto's sake: small packets are never held back here
    #[arg(long, hide = true)]
    pub(crate) nodelay: bool,
}

/// How to get there. Each flag of TLS turns TLS on.
#[derive(Debug, Default, Args)]
#[command(next_help_heading = "Transport")]
pub(crate) struct TransportArgs {
    /// TLS: trust the authorities in this PEM file, instead of those of the operating system
    #[arg(long, value_name = "FILE")]
    pub(crate) cafile: Option<PathBuf>,
    /// TLS: trust the authorities of the operating system (beside those of --cafile)
    #[arg(long)]
    pub(crate) tls_use_os_certs: bool,
    /// TLS: show this certificate, PEM, with its chain (needs --key)
    #[arg(long, value_name = "FILE", requires = "key")]
    pub(crate) cert: Option<PathBuf>,
    /// TLS: the key of --cert, PEM, not encrypted
    #[arg(long, value_name = "FILE", requires = "cert")]
    pub(crate) key: Option<PathBuf>,
    /// TLS: offer this protocol by ALPN, such as mqtt
    #[arg(long, value_name = "PROTOCOL")]
    pub(crate) tls_alpn: Option<String>,
    /// TLS: accept any certificate from anybody; whoever sits between can read and change everything
    #[arg(long)]
    pub(crate) insecure: bool,
    /// Connect by WebSocket, to the path /mqtt
    #[arg(long)]
    pub(crate) ws: bool,
    /// Connect to this Unix socket
    #[arg(long, value_name = "PATH", conflicts_with_all = ["host", "port", "url", "ws", "proxy"])]
    pub(crate) unix: Option<PathBuf>,
    /// Connect through this proxy: socks5://USER:PASSWORD@HOST:PORT or http://.., where all but HOST may be missing
    #[arg(long, value_name = "URL")]
    pub(crate) proxy: Option<String>,
}

impl TransportArgs {
    /// Whether a flag of TLS was given.
    pub(crate) fn tls(&self) -> bool {
        let named = self.cafile.is_some() || self.cert.is_some() || self.tls_alpn.is_some();
        named || self.tls_use_os_certs || self.insecure
    }
}

#[derive(Debug, Args)]
#[command(group = ArgGroup::new("payload"))]
#[command(group = ArgGroup::new("work").required(true).multiple(true).args(
    ["message", "file", "stdin_file", "stdin_line", "null_message", "store"]
))]
pub(crate) struct PubArgs {
    /// Topic to publish to
    #[arg(short, long, allow_hyphen_values = true)]
    pub(crate) topic: Option<String>,
    /// Quality of service: 0 at most once, 1 at least once, 2 exactly once
    #[arg(short, long, default_value_t = 0, value_parser = qos())]
    pub(crate) qos: u8,
    /// Have the server keep the message for later subscribers
    #[arg(short, long)]
    pub(crate) retain: bool,

    /// Send this
    #[arg(short, long, group = "payload", allow_hyphen_values = true)]
    pub(crate) message: Option<OsString>,
    /// Send the content of a file
    #[arg(short, long, group = "payload")]
    pub(crate) file: Option<PathBuf>,
    /// Send all of standard input as one message
    #[arg(short = 's', long, group = "payload")]
    pub(crate) stdin_file: bool,
    /// Send each line of standard input as a message of its own
    #[arg(short = 'l', long, group = "payload")]
    pub(crate) stdin_line: bool,
    /// Send an empty message
    #[arg(short, long, group = "payload")]
    pub(crate) null_message: bool,

    /// Messages of -l sent and not acknowledged at QoS 1 and 2 [default: 20 before MQTT 5, then what the server takes]
    #[arg(short = 'M', long, value_name = "COUNT", requires = "stdin_line")]
    #[arg(value_parser = clap::value_parser!(u16).range(1..))]
    pub(crate) max_inflight: Option<u16>,
    /// Send the message so many times, each after the one before was delivered
    #[arg(long, value_name = "TIMES", default_value_t = 1, conflicts_with = "stdin_line")]
    #[arg(value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) repeat: u64,
    /// Seconds to wait between them, like 0.5
    #[arg(long, value_name = "SECONDS", value_parser = seconds)]
    pub(crate) repeat_delay: Option<core::time::Duration>,

    /// Keep messages in this directory until they are delivered, whether the server is there or not and whatever ends the
    /// command; what an earlier run left there is sent first, and without a payload only that (needs -i)
    #[arg(long, value_name = "DIR")]
    pub(crate) store: Option<PathBuf>,

    #[command(flatten)]
    pub(crate) connection: ConnectionArgs,
}

#[derive(Debug, Args)]
pub(crate) struct SubArgs {
    /// Topic filter to subscribe to, with + and # as wildcards; may be repeated
    #[arg(short, long, value_name = "FILTER", allow_hyphen_values = true)]
    pub(crate) topic: Vec<String>,
    /// Highest quality of service to receive
    #[arg(short, long, default_value_t = 0, value_parser = qos())]
    pub(crate) qos: u8,
    /// Topic filter to unsubscribe from, once subscribed to the others; may be repeated
    #[arg(short = 'U', long, value_name = "FILTER", allow_hyphen_values = true)]
    pub(crate) unsubscribe: Vec<String>,
    /// Do not print messages whose topic matches; may be repeated
    #[arg(short = 'T', long, value_name = "FILTER", allow_hyphen_values = true)]
    pub(crate) filter_out: Vec<String>,

    /// End after so many messages
    #[arg(short = 'C', value_name = "COUNT", value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) count: Option<u64>,
    /// End as soon as the server has answered the subscriptions
    #[arg(short = 'E')]
    pub(crate) exit_when_subscribed: bool,

    /// Do not print retained messages
    #[arg(short = 'R', conflicts_with = "retained_only")]
    pub(crate) no_retained: bool,
    /// Print only retained messages, end at the first fresh one
    #[arg(long)]
    pub(crate) retained_only: bool,
    /// Clear every retained message that arrives, except those of -T
    #[arg(long)]
    pub(crate) remove_retained: bool,
    /// Ask for messages with the retain flag that their publisher gave (MQTT 5)
    #[arg(long)]
    pub(crate) retain_as_published: bool,

    /// Print the topic in front of each message
    #[arg(short, long)]
    pub(crate) verbose: bool,
    /// Print no newline after a message
    #[arg(short = 'N')]
    pub(crate) no_newline: bool,
    /// Print messages in this form: %t topic, %p payload, %x %X payload in hex, %l its length, %q QoS, %r retain,
    /// %I date and time (UTC), %U Unix time, %j JSON, %% a percent sign; in MQTT 5 %C content type,
    /// %D correlation data, %E message expiry, %F payload format, %P user properties, %R response topic,
    /// %S subscription identifiers; \n \r \t \v \a \e \0 \\ as elsewhere
    #[arg(short = 'F', value_name = "FORMAT", allow_hyphen_values = true)]
    pub(crate) format: Option<String>,

    #[command(flatten)]
    pub(crate) connection: ConnectionArgs,
}

fn qos() -> clap::builder::RangedI64ValueParser<u8> {
    clap::value_parser!(u8).range(0..=2)
}
