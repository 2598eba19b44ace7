//! `mqtt sub`: prints what arrives.

use core::future::ready;
use core::time::Duration;
use std::io;

use mqtt_client::{
    Client, Message, QoS, SubscribeError, Subscription, SubscriptionOptions, TopicFilter, UnsubscribeError,
};

use crate::args::SubArgs;
use crate::connection::{self, end_of, ended};
use crate::deliveries::Deliveries;
use crate::failure::{Exit, Failure};
use crate::format::Format;
use crate::options::Options;
use crate::output::{Printer, Report};

/// As many retained messages are being cleared at once.
const CLEARING: u16 = 100;
/// How long what was received may still take to be printed after the goodbye.
const LAST_WORDS: Duration = Duration::from_secs(1);

pub(crate) async fn run(args: SubArgs, report: Report) -> Result<Exit, Failure> {
    let v5_flag = args.retain_as_published.then_some("--retain-as-published");
    let options = Options::read(&args.connection, v5_flag)?;
    if !options.properties.publish.is_empty() {
        return Err(Failure::wrong("-D publish is for mqtt pub"));
    }
    let filters = Filters::read(&args, &options)?;
    let mut printer = Printer::new(format(&args)?, !args.no_newline);
    // They outlive the goodbye: dropped before, they would unsubscribe, and acknowledge what was never printed. A
    // session that is kept shall keep both.
    let mut streams = None;
    let ended = connection::run(&options, connection::for_ever(), report, async |client| {
        let (opened, exit) = Streams::open(client, &filters, &options, &args, report).await?;
        let streams = streams.insert(opened);
        if args.exit_when_subscribed {
            return Ok(exit);
        }
        let receiver = Receiver { args: &args, filter_out: &filters.filter_out, client, report };
        let received = receiver.run(streams, &mut printer).await?;
        Ok(if exit == Exit::Done { received } else { exit })
    })
    .await;
    // A reader that does not read must not keep us.
    let _ = tokio::time::timeout(LAST_WORDS, printer.flush()).await;
    ended
}

fn format(args: &SubArgs) -> Result<Format, Failure> {
    match &args.format {
        Some(format) => Format::read(format),
        None if args.verbose => Ok(Format::verbose()),
        None => Ok(Format::payload()),
    }
}

/// `-t`, `-U` and `-T`, checked.
struct Filters {
    subscribe: Vec<TopicFilter>,
    unsubscribe: Vec<TopicFilter>,
    filter_out: Vec<TopicFilter>,
}

impl Filters {
    fn read(args: &SubArgs, options: &Options) -> Result<Self, Failure> {
        let typed = args.topic.iter().chain(&options.server.topic);
        let filters = Self {
            subscribe: typed.map(|filter| checked("-t", filter)).collect::<Result<_, _>>()?,
            unsubscribe: all_checked("-U", &args.unsubscribe)?,
            filter_out: all_checked("-T", &args.filter_out)?,
        };
        if filters.subscribe.is_empty() && filters.unsubscribe.is_empty() {
            return Err(Failure::wrong("nothing to subscribe to: give a topic filter by -t"));
        }
        Ok(filters)
    }
}

fn all_checked(flag: &str, filters: &[String]) -> Result<Vec<TopicFilter>, Failure> {
    filters.iter().map(|filter| checked(flag, filter)).collect()
}

fn checked(flag: &str, filter: &str) -> Result<TopicFilter, Failure> {
    TopicFilter::try_from(filter).map_err(|error| Failure::wrong(format!("{flag} '{filter}': {error}")))
}

/// Where messages come from.
struct Streams {
    /// What a session that was resumed brings for filters of an earlier run.
    earlier: Subscription,
    subscribed: Option<Subscription>,
}

impl Streams {
    /// Subscribes and unsubscribes. The exit code tells whether a filter was refused.
    async fn open(
        client: &Client,
        filters: &Filters,
        options: &Options,
        args: &SubArgs,
        report: Report,
    ) -> Result<(Self, Exit), Failure> {
        let mut streams = Self { earlier: client.unmatched(), subscribed: None };
        let mut exit = Exit::Done;
        if !filters.subscribe.is_empty() {
            let subscribed = subscribe(client, filters, options, args).await?;
            exit = tell_results(&subscribed, report);
            streams.subscribed = Some(subscribed);
        }
        if !filters.unsubscribe.is_empty() {
            let properties = options.properties.unsubscribe.clone();
            client
                .unsubscribe_with(filters.unsubscribe.clone(), properties)
                .await
                .map_err(not_unsubscribed)?;
            report.debug("unsubscribed");
        }
        Ok((streams, exit))
    }

    /// The next message, those of an earlier run first; `None` when there will be none.
    async fn next(&mut self) -> Option<Message> {
        let Some(subscribed) = &mut self.subscribed else { return self.earlier.next().await };
        tokio::select! {
            biased;
            Some(message) = self.earlier.next() => Some(message),
            message = subscribed.next() => message,
        }
    }
}

async fn subscribe(
    client: &Client,
    filters: &Filters,
    options: &Options,
    args: &SubArgs,
) -> Result<Subscription, Failure> {
    let mut asked = SubscriptionOptions::new(QoS::from_u8(args.qos).unwrap_or_default());
    asked.retain_as_published = args.retain_as_published;
    let filters = filters.subscribe.iter().map(|filter| (filter.clone(), asked));
    let properties = options.properties.subscribe.clone();
    client.subscribe_all(filters).properties(properties).await.map_err(|error| match error {
        SubscribeError::Closed(closed) => ended(&closed),
        SubscribeError::SessionLost => Failure::new(Exit::Lost, error.to_string()),
        error => Failure::new(Exit::NotSubscribed, error.to_string()),
    })
}

fn tell_results(subscribed: &Subscription, report: Report) -> Exit {
    let mut exit = Exit::Done;
    for (filter, reason) in subscribed.results() {
        if reason.is_error() {
            exit = Exit::NotSubscribed;
            report.error(format_args!("the server refused '{filter}': {reason}"));
        } else {
            let granted = reason.granted_qos().unwrap_or_default().as_u8();
            report.debug(format_args!("subscribed to '{filter}', QoS {granted} granted"));
        }
    }
    exit
}

fn not_unsubscribed(error: UnsubscribeError) -> Failure {
    match error {
        UnsubscribeError::Closed(closed) => ended(&closed),
        error => Failure::new(Exit::NotSubscribed, error.to_string()),
    }
}

/// What is done with each message.
struct Receiver<'a> {
    args: &'a SubArgs,
    filter_out: &'a [TopicFilter],
    client: &'a Client,
    report: Report,
}

impl Receiver<'_> {
    /// Receives until it has enough.
    async fn run(&self, streams: &mut Streams, printer: &mut Printer) -> Result<Exit, Failure> {
        let mut cleared = Deliveries::new(CLEARING, self.report);
        let mut printed = 0;
        while self.args.count != Some(printed) {
            let message = tokio::select! {
                biased;
                message = streams.next() => message,
                () = ready(()), if !printer.is_flushed() => match printer.flush().await {
                    Ok(()) => continue,
                    Err(error) => return unprinted(&error),
                },
            };
            let Some(message) = message else { return Err(self.no_more().await) };
            self.report.debug(Received(&message));
            if self.args.retained_only && !message.retain {
                break;
            }
            if self.filter_out.iter().any(|filter| filter.matches(message.topic())) {
                continue;
            }
            if self.args.remove_retained && message.retain {
                self.clear(&message, &mut cleared).await?;
            }
            if self.args.no_retained && message.retain {
                continue;
            }
            if let Err(error) = printer.print(&message).await {
                return unprinted(&error);
            }
            printed += 1;
        }
        cleared.settle_all().await;
        match printer.flush().await {
            Ok(()) if cleared.failed() > 0 => Ok(Exit::Undelivered),
            Ok(()) => Ok(Exit::Done),
            Err(error) => unprinted(&error),
        }
    }

    /// An empty message takes the place of the retained one `[MQTT-3.3.1-6]`.
    async fn clear(&self, message: &Message, cleared: &mut Deliveries) -> Result<(), Failure> {
        if cleared.is_full() {
            cleared.settle_one().await;
        }
        let accepted =
            self.client.publish(message.topic.clone(), "").qos(QoS::AtLeastOnce).retain().enqueue().await;
        cleared.add(format!("the clearing of '{}'", message.topic), accepted)
    }

    async fn no_more(&self) -> Failure {
        let lost = Failure::new(Exit::NotSubscribed, "no subscription is left");
        end_of(self.client).await.unwrap_or(lost)
    }
}

/// A reader that has enough, as `head` does, ends us quietly.
fn unprinted(error: &io::Error) -> Result<Exit, Failure> {
    match error.kind() {
        io::ErrorKind::BrokenPipe => Ok(Exit::Done),
        _ => Err(Failure::wrong(format!("standard output: {error}"))),
    }
}

/// A message as `-d` tells of it: all but its payload.
struct Received<'a>(&'a Message);

impl core::fmt::Display for Received<'_> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        let Message { topic, payload, qos, retain, dup, .. } = self.0;
        let (dup, retain) = (u8::from(*dup), u8::from(*retain));
        write!(f, "received '{topic}' (d{dup}, q{}, r{retain}, {} bytes)", qos.as_u8(), payload.len())
    }
}
