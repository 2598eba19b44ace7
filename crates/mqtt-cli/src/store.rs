//! `mqtt store`: what the store of a client holds, without changing it.

use std::collections::BTreeSet;
use std::io::{self, BufWriter, Write};
use std::path::PathBuf;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use bytes::Bytes;
use clap::{Args, Subcommand};
use mqtt_client::{StoreError, StoreKey, StoredMessage};
use mqtt_store::StoreReader;

use crate::failure::{Exit, Failure};
use crate::format::{date_time, quoted};

#[derive(Debug, Args)]
pub(crate) struct StoreArgs {
    #[command(subcommand)]
    task: Task,
}

#[derive(Debug, Subcommand)]
enum Task {
    /// Say whose store it is and what it holds
    Inspect(Place),
    /// List what is damaged; exit code 1 if anything is
    Verify(Place),
    /// Print every message as a line of JSON: its number, state (waiting, sent, released), topic, qos, retain, when it
    /// expires, and its payload, as text or in base64
    Export(Place),
}

#[derive(Debug, Args)]
struct Place {
    /// The directory of the store. Nothing in it is changed; a client that has it open is not disturbed but refused
    #[arg(value_name = "DIR")]
    directory: PathBuf,
}

/// Does one task.
pub(crate) fn run(args: &StoreArgs) -> Result<Exit, Failure> {
    let (Task::Inspect(place) | Task::Verify(place) | Task::Export(place)) = &args.task;
    let named =
        |error: &dyn core::fmt::Display| Failure::wrong(format!("{}: {error}", place.directory.display()));
    let mut reader = StoreReader::open(&place.directory).map_err(|error| named(&error))?;
    let mut out = BufWriter::new(io::stdout().lock());
    let done = match &args.task {
        Task::Inspect(_) => inspect(&mut reader, &mut out),
        Task::Verify(_) => verify(&mut reader, &mut out),
        Task::Export(_) => export(&mut reader, &mut out),
    };
    match done.and_then(|exit| Ok(out.flush().map(|()| exit)?)) {
        // Whoever reads has enough.
        Err(StoreError::Io(error)) if error.kind() == io::ErrorKind::BrokenPipe => Ok(Exit::Done),
        done => done.map_err(|error| named(&error)),
    }
}

/// How many entries of one kind there are.
#[derive(Default)]
struct Tally {
    count: u64,
    bytes: usize,
    lowest: Option<u64>,
    highest: u64,
}

impl Tally {
    fn add(&mut self, number: u64, value: &[u8]) {
        self.count += 1;
        self.bytes += value.len();
        self.lowest = Some(self.lowest.map_or(number, |lowest| lowest.min(number)));
        self.highest = self.highest.max(number);
    }
}

fn inspect(reader: &mut StoreReader, out: &mut impl Write) -> Result<Exit, StoreError> {
    let [mut messages, mut sent, mut released, mut received] = [(); 4].map(|()| Tally::default());
    let mut begun = false;
    let mut assigned = None;
    reader.entries(|key, value| match key {
        StoreKey::Begun => begun = true,
        StoreKey::ClientId => assigned = Some(String::from_utf8_lossy(value).into_owned()),
        StoreKey::Received(id) => received.add(id.get().into(), value),
        StoreKey::Release(number) => released.add(number, value),
        StoreKey::Exchange(number) => sent.add(number, value),
        StoreKey::Message(number) => messages.add(number, value),
    })?;
    let owner = reader.owner()?.map_or_else(|| "nobody yet".to_owned(), |owner| quoted(&owner));
    writeln!(out, "client id    {owner}")?;
    if let Some(assigned) = assigned {
        writeln!(out, "assigned id  {}", quoted(&assigned))?;
    }
    writeln!(out, "session      {}", if begun { "begun" } else { "not begun" })?;
    writeln!(out, "format       {}", reader.format()?)?;
    writeln!(out, "on disk      {} bytes", reader.bytes_on_disk()?)?;
    writeln!(
        out,
        "messages     {} of {} bytes, {} of them sent",
        messages.count, messages.bytes, sent.count
    )?;
    if let Some(lowest) = messages.lowest {
        writeln!(out, "numbers      {lowest} to {}", messages.highest)?;
    }
    writeln!(out, "released     {}", released.count)?;
    writeln!(out, "received     {}", received.count)?;
    writeln!(out, "damaged      {}", reader.damaged()?.len() + reader.unreadable())?;
    Ok(Exit::Done)
}

fn verify(reader: &mut StoreReader, out: &mut impl Write) -> Result<Exit, StoreError> {
    let damaged = reader.damaged()?;
    let kept = reader.kept_files()?;
    for entry in &damaged {
        writeln!(
            out,
            "{} {}: the checksum does not fit, {} bytes",
            entry.table,
            entry.number,
            entry.value.len()
        )?;
    }
    if reader.unreadable() > 0 {
        writeln!(out, "{} entries, or more, cannot be read", reader.unreadable())?;
    }
    for file in &kept {
        writeln!(out, "{}: kept by a client that found it damaged", file.display())?;
    }
    let whole = damaged.is_empty() && reader.unreadable() == 0 && kept.is_empty();
    if whole {
        writeln!(out, "nothing is damaged")?;
    }
    Ok(if whole { Exit::Done } else { Exit::Wrong })
}

fn export(reader: &mut StoreReader, out: &mut impl Write) -> Result<Exit, StoreError> {
    let mut sent = BTreeSet::new();
    let mut written = Ok(());
    reader.entries(|key, value| {
        if written.is_err() {
            return;
        }
        match key {
            StoreKey::Exchange(number) => drop(sent.insert(number)),
            StoreKey::Release(number) => {
                written = writeln!(out, r#"{{"release":{number},"state":"released"}}"#);
            }
            StoreKey::Message(number) => {
                let state = if sent.contains(&number) { "sent" } else { "waiting" };
                written = writeln!(out, "{}", line(number, state, value));
            }
            _ => {}
        }
    })?;
    written?;
    Ok(Exit::Done)
}

/// One message as JSON.
fn line(number: u64, state: &str, value: &[u8]) -> String {
    let mut fields = vec![format!(r#""number":{number}"#), format!(r#""state":"{state}""#)];
    match StoredMessage::decode(number, &Bytes::copy_from_slice(value)) {
        Ok(stored) => {
            let message = stored.message();
            fields.push(format!(r#""topic":{}"#, quoted(message.topic())));
            fields.push(format!(r#""qos":{}"#, message.qos.as_u8()));
            fields.push(format!(r#""retain":{}"#, u8::from(message.retain)));
            fields.extend(
                stored.expires().map(|at| format!(r#""expires":"{}""#, date_time(at.as_duration(), true))),
            );
            fields.push(match core::str::from_utf8(message.payload()) {
                Ok(text) => format!(r#""payload":{}"#, quoted(text)),
                Err(_) => format!(r#""payload-base64":"{}""#, BASE64_STANDARD.encode(message.payload())),
            });
        }
        // Its checksum fits: another release wrote it so.
        Err(_) => fields.push(format!(r#""unknown-base64":"{}""#, BASE64_STANDARD.encode(value))),
    }
    format!("{{{}}}", fields.join(","))
}
