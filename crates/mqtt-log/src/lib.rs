//! A log of every message of an MQTT client, in and out, in SQLite: what was sent and received, when, and what became of it.
//!
//! What it does not do: it is no queue and no store, nothing is sent from it by itself, and what was not sent when a program
//! ended is not sent by its next run. It is not encrypted: payloads lie on the disk as they were sent, unless a
//! [hook](LogOptions::redact) changes them. It does not hold up a client: where more is sent and received than the disk
//! takes, messages are not logged, and [counted](LogStatus::lost). Up to 50 ms of messages are in memory only, and gone
//! with the process; after a loss of power a little more, but what is left is whole. And it sees what the client sees:
//! not what the server sent twice at QoS 2, nor messages without a proper topic name.
//!
//! ```no_run
//! use mqtt_client::connect;
//! use mqtt_log::MessageLog;
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let client =
//!     connect("mqtt://broker.example").journal(MessageLog::open("/var/log/kitchen")?).await?;
//! client.publish("home/kitchen/lamp", "on").await?;
//! client.disconnect().await?;
//! # Ok(())
//! # }
//! ```
//!
//! [`LogOptions`] says how much is kept, and of each message what. Any number of programs may [read](LogReader) a log while
//! it is written, by [`Query`] or with any tool that knows SQLite, and several may write to one. The command
//! `mqtt log DIR` shows it and sends messages again.
//!
//! What it costs: the client's task takes notes, some 60 ns for a message with its outcome; the thread that writes takes
//! about 1.6 µs for a message, and is busy for a twelfth of the time at 50,000 messages a second.
//!
//! # The tables
//!
//! The file is `messages.sqlite3`, in WAL mode; `PRAGMA user_version` is the version of this schema, 1. All times are
//! microseconds since 1970-01-01 UTC, by the clock of the machine, as precise as a turn of the client's task.
//!
//! `message`, a row for each message:
//!
//! | column | type | what it is |
//! | --- | --- | --- |
//! | `id` | integer | its number in the log; they grow, and none is used twice |
//! | `time` | integer | when it was accepted to be sent, or came; indexed |
//! | `direction` | text | `in` or `out` |
//! | `client_id` | text | the client identifier |
//! | `topic` | text | the topic |
//! | `payload` | blob | the payload, or the beginning of it |
//! | `payload_size` | integer | bytes of the whole payload |
//! | `payload_sha256` | blob | SHA-256 of the whole payload, if only the beginning was kept; else NULL |
//! | `qos` | integer | 0, 1 or 2 |
//! | `retain` | integer | the retain flag, 0 or 1 |
//! | `dup` | integer | 1 if it came with DUP, or was sent again with it |
//! | `packet_id` | integer | the packet identifier; NULL at QoS 0, and of what was never sent |
//! | `properties` | text | JSON, see below; NULL without any |
//! | `outcome` | text | what became of it, see below; NULL while that is not known, and for ever if the program ended before |
//! | `reason` | integer | the reason code of the acknowledgement; from 128 on a refusal |
//! | `reason_string` | text | what the server said to it, or why the client refused it |
//! | `outcome_time` | integer | when the outcome was known; of a received message: when the application had taken it |
//!
//! | `outcome` | of a message to be sent |
//! | --- | --- |
//! | `sent` | QoS 0: written to the transport |
//! | `acked` | QoS 1 and 2: acknowledged by the server; `reason` tells whether it was refused |
//! | `not_sent` `expired` `dropped` | it never left: the client ended, its expiry interval passed, it gave way in a full queue |
//! | `unknown` `session_lost` `set_aside` | it left and was not acknowledged: nobody knows whether it arrived |
//! | `stored` | it is in the store of the client, whose next run sends it; that has a row of its own |
//! | `refused` | the server's limits forbid it; it never left |
//!
//! A received message of QoS 1 or 2 has `acked` when the application has taken it.
//!
//! `properties` is an object of what is there: `payload_format_indicator` and `message_expiry_interval` (numbers),
//! `content_type` and `response_topic` (strings), `correlation_data` (a string, hexadecimal), `subscription_identifiers`
//! (numbers) and `user_properties` (pairs of strings).
//!
//! `loss`, a row for each time that messages were not logged because too much waited:
//!
//! | column | type | what it is |
//! | --- | --- | --- |
//! | `id` | integer | its number; the last 10,000 are kept |
//! | `time` | integer | when it began |
//! | `client_id` | text | whose messages |
//! | `messages` | integer | how many |
//!
//! `state` has one row with one column, `last_id`: the last number that was given to a message.
//!
//! ```sql
//! -- What failed today, by topic.
//! SELECT topic, outcome, count(*) FROM message
//! WHERE direction = 'out' AND outcome NOT IN ('sent', 'acked', 'stored') AND time >= unixepoch('now', 'start of day') * 1000000
//! GROUP BY topic, outcome;
//! -- How long acknowledgements took, in milliseconds.
//! SELECT avg(outcome_time - time) / 1000, max(outcome_time - time) / 1000 FROM message WHERE outcome = 'acked';
//! ```

mod batch;
mod clock;
mod draft;
mod entry;
mod error;
mod log;
mod options;
mod pending;
mod properties;
mod query;
mod queue;
mod recorder;
mod retention;
mod schema;
mod writer;

pub use crate::batch::Fate;
pub use crate::draft::{Direction, Draft};
pub use crate::entry::Entry;
pub use crate::error::{LogError, RepublishError};
pub use crate::log::MessageLog;
pub use crate::options::{LogOptions, Verdict};
pub use crate::query::{Entries, LogReader, Query};
pub use crate::queue::LogStatus;
