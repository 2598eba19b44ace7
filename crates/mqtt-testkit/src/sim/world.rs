//! Session, wire, server and books in one hand: what each does is entered here with what follows from it.

use super::books::{Books, Checked, Subject, ensure};
use super::choices::Choices;
use super::crash::Store;
use super::greeting::Mood;
use super::incoming::Welcome;
use super::link::{Link, Sent};
use super::server::Server;
use super::setup::{self, Plan};
use super::{Play, Tally};
use crate::text;
use bytes::{BufMut, BytesMut};
use core::time::Duration;
use mqtt_codec::{Packet, QoS, WireBuf};
use mqtt_session::{AckToken, Config, End, Event, Instant, Outcome, Session};

/// More calls than this without an end are a busy loop.
const CALLS: usize = 100_000;

/// One run.
pub(super) struct World<'a, 'c> {
    pub(super) choices: &'a mut Choices<'c>,
    pub(super) play: &'a mut Play,
    pub(super) tally: &'a mut Tally,
    pub(super) plan: Plan,
    pub(super) config: Config,
    pub(super) now: Instant,
    pub(super) session: Session,
    pub(super) link: Option<Link>,
    pub(super) server: Server,
    pub(super) books: Books,
    pub(super) store: Store,
    /// What the application has not acknowledged.
    pub(super) to_acknowledge: Vec<(AckToken, usize)>,
    /// The session of the server in which the client last was.
    last_session: u32,
    /// The server does what is asked, and nothing breaks.
    pub(super) friendly: bool,
}

impl<'a, 'c> World<'a, 'c> {
    pub(super) fn new(
        choices: &'a mut Choices<'c>,
        play: &'a mut Play,
        tally: &'a mut Tally,
    ) -> Checked<Self> {
        let config = setup::config(choices);
        let plan = Plan::new(choices, &config);
        play.line(|| format!("{config:?}"));
        play.line(|| format!("{plan:?}"));
        let session = Session::new(config.clone()).map_err(|error| format!("the configuration: {error}"))?;
        Ok(Self {
            choices,
            play,
            tally,
            plan,
            now: Instant::ZERO,
            session,
            link: None,
            server: Server::new(config.version),
            books: Books::new(config.clone()),
            store: Store::default(),
            to_acknowledge: Vec::new(),
            last_session: 0,
            friendly: false,
            config,
        })
    }

    /// Calls the session and takes what it has to say; the books have not heard of it yet.
    pub(super) fn call<T>(&mut self, call: impl FnOnce(&mut Session, Instant) -> T) -> (T, Vec<Event>) {
        self.books.ops_before = self.store.ops.len();
        let value = call(&mut self.session, self.now);
        while let Some(op) = self.session.poll_store() {
            self.store.push(op, &self.books);
        }
        self.books.ops = self.store.ops.len();
        (value, core::iter::from_fn(|| self.session.poll_event()).collect())
    }

    /// Enters events.
    pub(super) fn note(&mut self, events: Vec<Event>) -> Checked {
        for event in events {
            self.play.line(|| format!("        {event:?}"));
            match event {
                Event::Connected(connected) => {
                    if !connected.session_present {
                        // A crash before this is stored cannot be told later: the server then has a session, another one.
                        self.store.least = self.store.ops.len();
                    }
                    self.tally.connections += 1;
                    self.last_session = self.server.session.as_ref().map_or(0, |session| session.number);
                }
                Event::Message(message, token) => {
                    self.tally.received += 1;
                    let place = self.books.heard(&message)?;
                    ensure!(token.is_some() == (message.qos != QoS::AtMostOnce), "a wrong token: {token:?}");
                    self.to_acknowledge.extend(token.map(|token| (token, place)));
                }
                Event::Completed(token, outcome) => {
                    let subject = self.books.tokens.get(&token.get()).copied();
                    self.books.completed(self.now, token.get(), &outcome)?;
                    self.is_true(subject, &outcome)?;
                }
                Event::SubscriptionLost(filter, _) => drop(self.books.wanted.remove(&filter.to_string())),
                Event::Ended(end) => self.ended(&end)?,
                other => ensure!(self.books.wire.faulty, "{other:?}"),
            }
        }
        Ok(())
    }

    /// What the server knows of it.
    fn is_true(&self, subject: Option<Subject>, outcome: &Outcome) -> Checked {
        let Some(Subject::Message(number)) = subject else { return Ok(()) };
        let got = self.server.got.get(&number).copied().unwrap_or(0);
        let true_of_it = match outcome {
            Outcome::Acked { reason, .. } => {
                reason.is_error() || got > 0 || self.books.lies.contains(&number)
            }
            Outcome::NotSent | Outcome::Expired | Outcome::Dropped | Outcome::Refused(_) => got == 0,
            _ => true,
        };
        ensure!(true_of_it, "message {number} completes with {outcome:?}, the server got it {got} times");
        Ok(())
    }

    fn ended(&mut self, end: &End) -> Checked {
        let faulty = self.books.wire.faulty;
        ensure!(faulty || !matches!(end, End::Protocol(_)), "an honest server ends with {end:?}");
        let Some(link) = &mut self.link else { return Err(format!("{end:?} without a connection")) };
        ensure!(!link.ended, "a second end: {end:?}");
        link.ended = true;
        self.books.wire.ended = true;
        Ok(())
    }
}

/// The link.
impl World<'_, '_> {
    pub(super) fn open(&mut self) -> Checked {
        self.play.line(|| "== open".into());
        self.tally.links += 1;
        self.link = Some(Link::new(&self.config, self.now));
        self.books.opened();
        self.server.opened();
        let ((), events) = self.call(|session, now| session.handle_open(now));
        self.note(events)
    }

    /// The link is gone, for both.
    pub(super) fn close(&mut self) -> Checked {
        let Some(link) = &self.link else { return Ok(()) };
        self.play.line(|| "== closed".into());
        let welcomed = self.books.wire.connected;
        self.books.closed(link.written);
        let ((), events) = self.call(|session, now| session.handle_close(now));
        self.note(events)?;
        ensure!(self.link.take().is_some_and(|link| link.ended), "a connection without an end");
        self.server_closed(welcomed);
        Ok(())
    }

    /// The server sees that the link is gone. If the client has never heard of a new session there, it is dropped: how
    /// should the client know that this is not the one it was in?
    pub(super) fn server_closed(&mut self, welcomed: bool) {
        let fresh = self.server.conversation.as_ref().is_some_and(|conversation| conversation.fresh);
        self.server.closed(self.now);
        if fresh && !welcomed {
            self.server.forget();
        }
    }

    /// The link breaks. Some of what was on its way still arrives.
    pub(super) fn cut(&mut self) -> Checked {
        let Some(link) = &self.link else { return Ok(()) };
        let (up, down) = (link.travelling(), link.down.len());
        let (up, down) = (self.choices.index(up + 1), self.choices.index(down + 1));
        self.play.line(|| format!("== cut, after {up} bytes more to the server and {down} to the client"));
        self.up(up)?;
        self.down(down)?;
        self.close()
    }

    /// Asks for all that there is to send, as long as the driver has room for it.
    pub(super) fn transmit(&mut self) -> Checked {
        for _ in 0..CALLS {
            if self.link.as_ref().is_none_or(|link| link.staged() >= self.plan.high_water) {
                return Ok(());
            }
            let mut out = WireBuf::new();
            let (wrote, events) = self.call(|session, now| session.poll_transmit(now, &mut out));
            self.note(events)?;
            ensure!(wrote != out.is_empty(), "poll_transmit says {wrote}, and gives {} bytes", out.len());
            if !wrote {
                return Ok(());
            }
            let ops = self.store.ops.len();
            let Some(link) = &mut self.link else { return Ok(()) };
            for sent in link.hand_out(out.to_vec(), self.config.version)? {
                self.play.line(|| format!("   <-   {}", text::line(&sent.packet)));
                let subject = self.books.handed_out(self.now, &sent)?;
                link.unwritten.push_back((sent.end - sent.len as u64, subject, ops));
                link.up.push_back(sent);
            }
        }
        Err("poll_transmit never ends".into())
    }

    /// The transport takes so many bytes.
    pub(super) fn write(&mut self, bytes: usize) -> Checked {
        let Some(link) = &mut self.link else { return Ok(()) };
        let bytes = bytes.min(link.staged());
        if bytes == 0 {
            return Ok(());
        }
        link.written += bytes as u64;
        link.last_written = self.now;
        while let Some((start, subject, ops)) = link.unwritten.front().copied()
            && start < link.written
        {
            link.unwritten.pop_front();
            self.store.least = self.store.least.max(ops);
            if let Some(subject) = subject {
                self.books.left(subject);
            }
        }
        self.books.written(link.written);
        let ((), events) = self.call(|session, now| session.handle_transmitted(now, bytes));
        self.note(events)
    }

    /// So many of the written bytes reach the server.
    pub(super) fn up(&mut self, bytes: usize) -> Checked {
        let Some(link) = &mut self.link else { return Ok(()) };
        link.read += bytes.min(link.travelling()) as u64;
        while let Some(link) = &mut self.link
            && link.up.front().is_some_and(|sent| sent.end <= link.read)
        {
            let Some(sent) = link.up.pop_front() else { break };
            self.server_hears(&sent)?;
        }
        Ok(())
    }

    fn server_hears(&mut self, sent: &Sent) -> Checked {
        let (Some(link), Some(conversation)) = (&mut self.link, &self.server.conversation) else {
            return Ok(());
        };
        if conversation.over || link.closed {
            return Ok(());
        }
        if conversation.open {
            let moody = self.plan.moods && !self.friendly;
            self.server.hear(&sent.packet, sent.len, moody, self.choices, &mut link.down)?;
            if let Packet::Publish(publish) = &sent.packet {
                self.exactly_once(publish.payload())?;
            }
        } else {
            let Packet::Connect(connect) = &sent.packet else { return Ok(()) };
            let moody = self.plan.moods && !self.friendly;
            let mood = if moody { Mood::random(self.choices) } else { Mood::Friendly };
            let limited = self.plan.limits && !self.friendly;
            self.play.line(|| format!("      the server: {mood:?}"));
            link.closed = self.server.greet(self.now, connect, mood, limited, self.choices, &mut link.down);
        }
        if let (Some(conversation), Some(link)) = (&mut self.server.conversation, &mut self.link) {
            for line in conversation.said.drain(..) {
                self.play.line(|| format!("      the server says {line}"));
            }
            link.closed |= conversation.over;
        }
        Ok(())
    }

    /// A QoS 2 message is passed on once, and once more for each lost session in which it was in flight.
    fn exactly_once(&self, payload: &[u8]) -> Checked {
        let Some(number) = super::outgoing::number_of(payload) else { return Ok(()) };
        let Some(message) = self.books.messages.get(number) else { return Ok(()) };
        let got = self.server.got.get(&number).copied().unwrap_or(0);
        ensure!(
            message.qos != QoS::ExactlyOnce || got <= 1 + message.lost || self.books.lies.contains(&number),
            "message {number} of QoS 2 was passed on {got} times: {message:?}"
        );
        Ok(())
    }

    /// So many of the server's bytes reach the session.
    pub(super) fn down(&mut self, bytes: usize) -> Checked {
        let Some(link) = &mut self.link else { return Ok(()) };
        let bytes = link.down.split_to(bytes.min(link.down.len()));
        if !bytes.is_empty() {
            self.deliver(&bytes)?;
        }
        match &self.link {
            Some(link) if link.closed && link.down.is_empty() && !link.paused => {
                self.transmit()?;
                self.close()
            }
            _ => Ok(()),
        }
    }

    /// Bytes arrive: all at once, or packet by packet if the server cannot be trusted, to see which one is too much.
    fn deliver(&mut self, bytes: &[u8]) -> Checked {
        let Some(link) = &mut self.link else { return Ok(()) };
        if link.ended {
            let mut input = BytesMut::from(bytes);
            let ((), events) = self.call(|session, now| session.handle_input(now, &mut input));
            ensure!(input.is_empty() && events.is_empty(), "it listens after the end: {events:?}");
            return Ok(());
        }
        link.view.put_slice(bytes);
        link.input.put_slice(bytes);
        let mut packets = Vec::new();
        let broken = loop {
            let before = link.view.len();
            match link.decoder.decode(&mut link.view) {
                Ok(Some(packet)) => packets.push((packet, before - link.view.len())),
                Ok(None) => break false,
                Err(_) => break true,
            }
        };
        if self.books.wire.faulty {
            for (packet, len) in packets {
                let Some(link) = self.link.as_mut().filter(|link| !link.ended) else { return Ok(()) };
                let mut input = link.input.split_to(len);
                self.feed(&mut input, &[(packet, len)])?;
                ensure!(input.is_empty(), "{} bytes of a packet are left", input.len());
            }
            packets = Vec::new();
        }
        let Some(link) = self.link.as_mut().filter(|link| !link.ended) else { return Ok(()) };
        let mut input = core::mem::take(&mut link.input);
        self.feed(&mut input, &packets)?;
        if let Some(link) = &mut self.link {
            ensure!(link.ended || !broken, "malformed bytes do not end the connection");
            link.input = input;
        }
        Ok(())
    }

    /// Gives the session these bytes, and the books the packets in them that it has taken.
    fn feed(&mut self, input: &mut BytesMut, packets: &[(Packet, usize)]) -> Checked {
        let ((), events) = self.call(|session, now| session.handle_input(now, input));
        let refused = events.iter().any(|event| matches!(event, Event::Ended(End::Protocol(_))));
        if !refused {
            let resumed = events.iter().find_map(|event| match event {
                Event::Connected(connected) => Some(connected.session_present),
                _ => None,
            });
            let session = self.server.session.as_ref().map_or(0, |session| session.number);
            let welcome = Welcome { resumed, same: session == self.last_session };
            for (packet, _) in packets {
                self.play.line(|| format!("     -> {}", text::line(packet)));
                self.books.arrived(self.now, packet, welcome)?;
            }
        }
        self.note(events)
    }
}

/// Time.
impl World<'_, '_> {
    /// Lets time pass. A punctual driver wakes the session whenever it wants, a late one only at the end.
    pub(super) fn wait(&mut self, time: Duration, punctual: bool) -> Checked {
        let until = self.now + time;
        self.play.line(|| format!("== until {until:?}{}", if punctual { "" } else { ", late" }));
        for _ in 0..CALLS {
            let Some(at) = self.session.poll_timeout().filter(|at| punctual && *at <= until) else {
                self.now = until;
                return self.wake();
            };
            self.now = self.now.max(at);
            self.wake()?;
            self.is_kept_alive()?;
        }
        Err(format!("it wants to be woken over and over until {until:?}"))
    }

    /// Wakes the session if it wants it now. It must then sleep.
    pub(super) fn wake(&mut self) -> Checked {
        if self.session.poll_timeout().is_some_and(|at| at <= self.now) {
            let ((), events) = self.call(|session, now| session.handle_timeout(now));
            self.note(events)?;
            self.transmit()?;
        }
        let next = self.session.poll_timeout();
        ensure!(
            next.is_none_or(|at| at > self.now),
            "woken at {:?}, it wants to be woken at {next:?}",
            self.now
        );
        Ok(())
    }

    /// `[MQTT-3.1.2-20]`: with a transport that takes bytes, it never keeps silent for longer than the interval.
    fn is_kept_alive(&mut self) -> Checked {
        let Some(link) = &self.link else { return Ok(()) };
        let (Some(connected), seconds) = (self.books.wire.connected_at, self.books.wire.limits.keep_alive)
        else {
            return Ok(());
        };
        if seconds > 0 && link.staged() == 0 && !link.ended {
            let silent = self.now.saturating_duration_since(connected.max(link.last_written));
            ensure!(
                silent < Duration::from_secs(seconds.into()),
                "silent for {silent:?}, keep alive is {seconds} s"
            );
        }
        Ok(())
    }
}
