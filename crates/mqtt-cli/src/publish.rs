//! `mqtt pub`: one message, the same message several times, or a message per line of standard input.

use core::time::Duration;
use std::fs::File;
use std::io::{self, Read};

use bytes::Bytes;
use mqtt_client::{Client, PropertiesBuf, PublishBuilder, QoS, State, TopicName};
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, BufReader, Stdin};

use crate::args::PubArgs;
use crate::connection::{self, end_of};
use crate::deliveries::Deliveries;
use crate::failure::{Exit, Failure};
use crate::options::Options;
use crate::output::Report;

/// A packet has at most 268,435,455 bytes after its fixed header, section 2.1.4; no payload is larger.
const LARGEST_PAYLOAD: u64 = 268_435_455;
/// Lines that were read and whose fate is not known yet.
const LINES_UNDER_WAY: u16 = 1_000;
/// How long to wait for what an earlier run has left before it is asked again.
const DRAIN: Duration = Duration::from_secs(60);

pub(crate) async fn run(args: PubArgs, report: Report) -> Result<Exit, Failure> {
    let mut options = Options::read(&args.connection, None)?;
    options.max_inflight = args.max_inflight;
    for (properties, name) in
        [(&options.properties.subscribe, "subscribe"), (&options.properties.unsubscribe, "unsubscribe")]
    {
        if !properties.is_empty() {
            return Err(Failure::wrong(format!("-D {name} is for mqtt sub")));
        }
    }
    if let Some(store) = &args.store {
        let named = args.connection.id.as_deref().is_some_and(|id| !id.is_empty());
        options.keep_in(store.clone(), named)?;
        return from_store(&options, &args, report).await;
    }
    let form = Form::read(&args, &options)?;
    let payload = payload(&args)?;
    connection::run(&options, connection::for_a_while(), report, async |client| match payload {
        Some(payload) => repeat(client, &form, payload, &args, report).await,
        None => lines(client, &form, &mut Deliveries::new(LINES_UNDER_WAY, report), report).await,
    })
    .await
}

/// Messages are accepted whether there is a server or not, and delivered behind those that an earlier run has left.
async fn from_store(options: &Options, args: &PubArgs, report: Report) -> Result<Exit, Failure> {
    let given = args.stdin_line || args.message.is_some() || args.file.is_some();
    let form =
        if given || args.stdin_file || args.null_message { Some(Form::read(args, options)?) } else { None };
    let payload = payload(args)?;
    connection::run(options, connection::for_a_while(), report, async |client| {
        // Told of by the end of the client, if it ends.
        let mut deliveries = Deliveries::stored(report);
        let work = async {
            match (&form, payload) {
                (Some(form), Some(payload)) => {
                    for turn in 1..=args.repeat {
                        if turn > 1 {
                            tokio::time::sleep(args.repeat_delay.unwrap_or(Duration::ZERO)).await;
                        }
                        let accepted = form.publish(client, payload.clone(), report).enqueue().await;
                        deliveries.add(format!("message {turn}"), accepted)?;
                    }
                    deliveries.settle_all().await;
                }
                (Some(form), None) => drop(lines(client, form, &mut deliveries, report).await?),
                (None, _) => {}
            }
            // Those of earlier runs, which the client knows of before it connects.
            let mut changes = client.watch();
            while client.status().state != State::Connected && changes.changed().await.is_some() {}
            while client.drain(DRAIN).await > 0 {}
            finish(client, &deliveries).await
        };
        tokio::select! {
            biased;
            closed = client.closed() => Err(connection::left(&closed, options)),
            done = work => done,
        }
    })
    .await
}

/// What all messages of a run have in common.
struct Form {
    topic: TopicName,
    qos: QoS,
    retain: bool,
    properties: PropertiesBuf,
}

impl Form {
    fn read(args: &PubArgs, options: &Options) -> Result<Self, Failure> {
        let topic = match (&args.topic, &options.server.topic) {
            (Some(_), Some(_)) => return Err(Failure::wrong("the topic is given twice: by -t and by -L")),
            (Some(topic), None) | (None, Some(topic)) => topic,
            (None, None) => return Err(Failure::wrong("no topic: give one by -t")),
        };
        Ok(Self {
            topic: TopicName::try_from(topic.as_str())
                .map_err(|error| Failure::wrong(format!("-t '{topic}': {error}")))?,
            qos: QoS::from_u8(args.qos).unwrap_or_default(),
            retain: args.retain,
            properties: options.properties.publish.clone(),
        })
    }

    fn publish<'a>(&self, client: &'a Client, payload: Bytes, report: Report) -> PublishBuilder<'a> {
        report.debug(format_args!(
            "publishing to '{}' (q{}, r{}, {} bytes)",
            self.topic,
            self.qos.as_u8(),
            u8::from(self.retain),
            payload.len()
        ));
        let publish = client.publish(self.topic.clone(), payload).qos(self.qos);
        let publish = if self.retain { publish.retain() } else { publish };
        publish.properties(self.properties.clone())
    }
}

/// The payload, or `None` for those on the lines of standard input. Read before the connection is made: what cannot be
/// read needs none, and what takes long shall not keep the server waiting.
fn payload(args: &PubArgs) -> Result<Option<Bytes>, Failure> {
    if let Some(message) = &args.message {
        return Ok(Some(Bytes::copy_from_slice(message.as_encoded_bytes())));
    }
    if let Some(path) = &args.file {
        let name = format!("-f {}", path.display());
        let file = File::open(path).map_err(|error| Failure::wrong(format!("{name}: {error}")))?;
        let length = file.metadata().map_or(0, |metadata| metadata.len());
        return read_all(&name, length, file).map(Some);
    }
    if args.stdin_file {
        return read_all("standard input", 0, io::stdin().lock()).map(Some);
    }
    Ok(if args.null_message { Some(Bytes::new()) } else { None })
}

fn read_all(name: &str, length: u64, source: impl Read) -> Result<Bytes, Failure> {
    let mut payload = Vec::new();
    if length <= LARGEST_PAYLOAD {
        let read = source.take(LARGEST_PAYLOAD + 1).read_to_end(&mut payload);
        read.map_err(|error| Failure::wrong(format!("{name}: {error}")))?;
    }
    if length.max(payload.len() as u64) > LARGEST_PAYLOAD {
        let limit = format!("{name}: more than the {LARGEST_PAYLOAD} bytes that a message can have");
        return Err(Failure::wrong(limit));
    }
    Ok(payload.into())
}

/// Sends the message once or several times, each after the one before was delivered.
async fn repeat(
    client: &Client,
    form: &Form,
    payload: Bytes,
    args: &PubArgs,
    report: Report,
) -> Result<Exit, Failure> {
    let mut deliveries = Deliveries::new(1, report);
    for turn in 1..=args.repeat {
        if turn > 1 {
            tokio::time::sleep(args.repeat_delay.unwrap_or(Duration::ZERO)).await;
        }
        let accepted = form.publish(client, payload.clone(), report).enqueue().await;
        let name = if args.repeat > 1 { format!("message {turn}") } else { "the message".to_owned() };
        deliveries.add(name, accepted)?;
        deliveries.settle_all().await;
    }
    finish(client, &deliveries).await
}

/// Sends a message for each line, while the ones before are still being delivered.
async fn lines(
    client: &Client,
    form: &Form,
    deliveries: &mut Deliveries,
    report: Report,
) -> Result<Exit, Failure> {
    let mut input = Lines::new();
    let read = send_lines(client, form, &mut input, deliveries, report).await;
    // Whatever was wrong with a line, those before it are under way.
    deliveries.settle_all().await;
    read?;
    finish(client, deliveries).await
}

async fn send_lines(
    client: &Client,
    form: &Form,
    input: &mut Lines,
    deliveries: &mut Deliveries,
    report: Report,
) -> Result<(), Failure> {
    loop {
        let line = tokio::select! {
            line = input.next(), if !deliveries.is_full() => line?,
            _ = deliveries.settle_one(), if deliveries.waiting() > 0 => continue,
        };
        let Some(line) = line else { return Ok(()) };
        let accepted = form.publish(client, line, report).enqueue().await;
        deliveries.add(format!("line {}", input.number), accepted)?;
    }
}

/// The client's end is the better answer, if that is why messages were not delivered.
async fn finish(client: &Client, deliveries: &Deliveries) -> Result<Exit, Failure> {
    match deliveries.failed() {
        0 => Ok(Exit::Done),
        _ => end_of(client).await.map_or(Ok(Exit::Undelivered), Err),
    }
}

/// The lines of standard input, as bytes, without the newline.
struct Lines {
    input: BufReader<Stdin>,
    line: Vec<u8>,
    number: u64,
}

impl Lines {
    fn new() -> Self {
        Self { input: BufReader::new(tokio::io::stdin()), line: Vec::new(), number: 0 }
    }

    /// The next line; the last one need not end in a newline. Dropping the future loses nothing.
    async fn next(&mut self) -> Result<Option<Bytes>, Failure> {
        let room = LARGEST_PAYLOAD + 1 - self.line.len() as u64;
        let read = (&mut self.input).take(room).read_until(b'\n', &mut self.line).await;
        read.map_err(|error| Failure::wrong(format!("standard input: {error}")))?;
        let whole = self.line.pop_if(|last| *last == b'\n').is_some();
        if !whole && self.line.is_empty() {
            return Ok(None);
        }
        self.number += 1;
        if !whole && self.line.len() as u64 > LARGEST_PAYLOAD {
            let number = self.number;
            let limit =
                format!("line {number}: more than the {LARGEST_PAYLOAD} bytes that a message can have");
            return Err(Failure::wrong(limit));
        }
        Ok(Some(core::mem::take(&mut self.line).into()))
    }
}
