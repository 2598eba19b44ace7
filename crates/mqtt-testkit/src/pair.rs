//! A session and a scripted peer on one virtual clock, without any I/O: what one says the other hears at
//! once, and time passes only when the test says so.
//!
//! ```
//! use mqtt_codec::{QoS, Version};
//! use mqtt_testkit::packets::{puback, publish};
//! use mqtt_testkit::pair::{Pair, acked, config, message};
//!
//! let mut pair = Pair::connected(config(Version::V3_1_1));
//! let token = pair.publish(message("lamp", "on", QoS::AtLeastOnce));
//! pair.expect(publish("lamp", "on").qos1(1));
//! pair.send(puback(1));
//! assert_eq!(pair.completed(), (token, acked()));
//! ```
//!
//! Where script and play part it panics with what was expected, what came, and the play so far.

use crate::packets::{IntoPacket, connack};
use crate::text;
use bytes::{Buf, Bytes, BytesMut};
use core::panic::Location;
use core::time::Duration;
use mqtt_codec::{
    ConnAck, Connect, Decoder, Packet, PropertiesBuf, QoS, ReasonCode, SubscriptionOptions, Text,
    TopicFilter, TopicName, Version, WireBuf,
};
use mqtt_session::{AckToken, Config, Connected, End, Event, Instant, Message, Outcome, Session, Token};

/// More wake-ups than this at one moment are a busy loop.
const WAKE_UPS: usize = 8;

/// A session, its server as a script, the wire between them, and the time.
///
/// After each call everything that the session wants to send is on the wire, unless the wire is
/// [stalled](Self::stall).
#[derive(Debug)]
pub struct Pair {
    /// The session. After calling it directly, call [`run`](Self::run).
    pub session: Session,
    now: Instant,
    version: Version,
    peer: Decoder,
    /// Handed out by the session, not written.
    staged: WireBuf,
    stalled: bool,
    /// Written by the session, not read by the peer.
    to_peer: BytesMut,
    /// Written by the peer, not taken by the session.
    to_session: BytesMut,
    play: Vec<String>,
}

/// What happens: the wire, and time.
impl Pair {
    /// A session that is not connected.
    ///
    /// # Panics
    ///
    /// If the configuration is wrong.
    #[track_caller]
    pub fn new(config: Config) -> Self {
        match Session::new(config) {
            Ok(session) => Self::with_session(session),
            Err(error) => panic!("{error}"),
        }
    }

    /// A session that was made elsewhere, at moment zero.
    pub fn with_session(session: Session) -> Self {
        Self {
            version: session.version(),
            session,
            now: Instant::ZERO,
            peer: Decoder::for_server(),
            staged: WireBuf::new(),
            stalled: false,
            to_peer: BytesMut::new(),
            to_session: BytesMut::new(),
            play: Vec::new(),
        }
    }

    /// A session that a server without surprises has accepted, with nothing left on the wire and no event
    /// waiting.
    ///
    /// # Panics
    ///
    /// If the configuration is wrong, or the connection does not come about.
    #[track_caller]
    pub fn connected(config: Config) -> Self {
        let mut pair = Self::new(config);
        pair.connect(connack());
        pair
    }

    /// Opens a link; the CONNECT is on the wire.
    pub fn open(&mut self) {
        self.play.push("== open".into());
        self.reset_wire();
        self.session.handle_open(self.now);
        self.run();
    }

    /// Opens a link and lets the server answer the CONNECT.
    ///
    /// # Panics
    ///
    /// If the session does not send CONNECT, or does not take the answer for an acceptance.
    #[track_caller]
    pub fn connect(&mut self, connack: ConnAck) -> (Connect, Connected) {
        self.open();
        let connect = match self.received() {
            Some(Packet::Connect(connect)) => *connect,
            other => self.fail("CONNECT", &format!("{other:?}")),
        };
        self.send(connack);
        match self.event() {
            Some(Event::Connected(connected)) => (connect, connected),
            other => self.fail("Event::Connected", &format!("{other:?}")),
        }
    }

    /// Opens a link to a server that has the session still, and says so if the version can.
    ///
    /// # Panics
    ///
    /// As [`connect`](Self::connect).
    #[track_caller]
    pub fn resume(&mut self) -> (Connect, Connected) {
        let session_present = self.version != Version::V3_1;
        self.connect(ConnAck { session_present, ..connack() })
    }

    /// The link breaks: what was not written is lost, and what was not read too.
    pub fn cut(&mut self) {
        self.play.push("== cut".into());
        self.reset_wire();
        self.session.handle_close(self.now);
    }

    /// The transport takes no more bytes. What the session wants to send waits.
    pub fn stall(&mut self) {
        self.stalled = true;
    }

    /// The stalled transport takes so many bytes more. Returns how many there were to take.
    pub fn let_through(&mut self, bytes: usize) -> usize {
        let bytes = bytes.min(self.staged.len());
        self.write(bytes);
        bytes
    }

    /// The transport takes bytes again.
    pub fn unstall(&mut self) {
        self.stalled = false;
        self.run();
    }

    /// The time.
    pub fn now(&self) -> Instant {
        self.now
    }

    /// Lets time pass, waking the session whenever it wants.
    ///
    /// # Panics
    ///
    /// If the session wants to be woken over and over at one moment.
    #[track_caller]
    pub fn advance(&mut self, time: Duration) {
        let until = self.now + time;
        let mut woken = (self.now, 0);
        while let Some(at) = self.session.poll_timeout().filter(|at| *at <= until) {
            self.now = self.now.max(at);
            woken = if woken.0 == self.now { (self.now, woken.1 + 1) } else { (self.now, 1) };
            if woken.1 > WAKE_UPS {
                self.fail(
                    "that the session sleeps",
                    &format!("it wants to be woken at {at:?} again and again"),
                );
            }
            self.session.handle_timeout(self.now);
            self.run();
        }
        self.now = until;
    }

    /// Jumps to the moment for which the session wants to be woken, and wakes it. Returns how long that was.
    ///
    /// # Panics
    ///
    /// If it never wants to be woken.
    #[track_caller]
    pub fn step(&mut self) -> Duration {
        let Some(at) = self.session.poll_timeout() else {
            self.fail("a deadline", "the session waits for ever")
        };
        let time = at.saturating_duration_since(self.now);
        self.now = self.now.max(at);
        self.session.handle_timeout(self.now);
        self.run();
        time
    }

    /// Puts on the wire what the session wants to send.
    pub fn run(&mut self) {
        while self.session.poll_transmit(self.now, &mut self.staged) {}
        if !self.stalled {
            self.write(self.staged.len());
        }
    }

    fn write(&mut self, bytes: usize) {
        if bytes > 0 {
            self.to_peer.extend_from_slice(&self.staged.copy_to_bytes(bytes));
            self.session.handle_transmitted(self.now, bytes);
        }
    }

    fn reset_wire(&mut self) {
        self.staged.clear();
        self.to_peer.clear();
        self.to_session.clear();
        self.stalled = false;
        self.peer = Decoder::for_server();
    }
}

/// What the peer says and hears.
impl Pair {
    /// The peer says a packet.
    ///
    /// # Panics
    ///
    /// If the version does not have it.
    #[track_caller]
    pub fn send(&mut self, packet: impl IntoPacket) {
        let packet = packet.into_packet();
        let mut wire = WireBuf::new();
        if let Err(error) = packet.encode(self.version, &mut wire) {
            self.fail("that the script can be sent", &error.to_string());
        }
        self.play.push(format!("-> {}", text::line(&packet)));
        self.deliver(&wire.to_vec());
    }

    /// The peer says these bytes, written in hexadecimal; spaces do not matter.
    ///
    /// # Panics
    ///
    /// If it is no hexadecimal.
    #[track_caller]
    pub fn send_hex(&mut self, hex: &str) {
        self.play.push(format!("-> bytes {hex}"));
        self.deliver(&text::from_hex(hex));
    }

    /// The peer says these bytes, which need not be whole packets.
    pub fn send_bytes(&mut self, bytes: &[u8]) {
        self.play.push(format!("-> {} bytes", bytes.len()));
        self.deliver(bytes);
    }

    /// The next packet that the session has sent; `None` if there is none.
    ///
    /// # Panics
    ///
    /// If the bytes are no packet that a client may send.
    #[track_caller]
    pub fn received(&mut self) -> Option<Packet> {
        let packet = match self.peer.decode(&mut self.to_peer) {
            Ok(packet) => packet,
            Err(error) => self.fail("a packet", &error.to_string()),
        };
        if let Some(packet) = &packet {
            self.play.push(format!("<- {}", text::line(packet)));
        }
        packet
    }

    /// The session has sent this packet next.
    ///
    /// # Panics
    ///
    /// If not.
    #[track_caller]
    pub fn expect(&mut self, packet: impl IntoPacket) {
        let expected = packet.into_packet();
        match self.received() {
            Some(came) if text::same(&expected, &came) => {}
            Some(came) => self.fail(&text::line(&expected), &text::differences(&expected, &came)),
            None => self.fail(&text::line(&expected), "nothing"),
        }
    }

    /// The session has sent these bytes next, written in hexadecimal.
    ///
    /// # Panics
    ///
    /// If not, or no hexadecimal.
    #[track_caller]
    pub fn expect_hex(&mut self, hex: &str) {
        let expected = text::from_hex(hex);
        let came = self.to_peer.split_to(expected.len().min(self.to_peer.len()));
        if *came != *expected {
            self.fail(&format!("{expected:02X?}"), &format!("{:02X?}", &came[..]));
        }
        self.play.push(format!("<- bytes {hex}"));
    }

    /// The session has sent nothing more.
    ///
    /// # Panics
    ///
    /// If it has.
    #[track_caller]
    pub fn expect_silence(&mut self) {
        if let Some(packet) = self.received() {
            self.fail("silence", &text::line(&packet));
        }
    }

    fn deliver(&mut self, bytes: &[u8]) {
        self.to_session.extend_from_slice(bytes);
        self.session.handle_input(self.now, &mut self.to_session);
        self.run();
    }
}

/// What the application asks and is told.
impl Pair {
    /// Publishes.
    ///
    /// # Panics
    ///
    /// If the session refuses.
    #[track_caller]
    pub fn publish(&mut self, message: Message) -> Token {
        let token = self.session.publish(self.now, message);
        self.run();
        token.unwrap_or_else(|error| self.fail("that it can be published", &error.to_string()))
    }

    /// Subscribes to these filters, in one request.
    ///
    /// # Panics
    ///
    /// If a filter is none, or the session refuses.
    #[track_caller]
    pub fn subscribe(&mut self, filters: &[(&str, QoS)]) -> Token {
        let filters =
            filters.iter().map(|&(topic, qos)| (filter(topic), SubscriptionOptions::from(qos))).collect();
        let token = self.session.subscribe(filters, PropertiesBuf::new());
        self.run();
        token.unwrap_or_else(|error| self.fail("that it can be subscribed", &error.to_string()))
    }

    /// Unsubscribes from these filters, in one request.
    ///
    /// # Panics
    ///
    /// If a filter is none, or the session refuses.
    #[track_caller]
    pub fn unsubscribe(&mut self, filters: &[&str]) -> Token {
        let filters = filters.iter().map(|topic| filter(topic)).collect();
        let token = self.session.unsubscribe(filters, PropertiesBuf::new());
        self.run();
        token.unwrap_or_else(|error| self.fail("that it can be unsubscribed", &error.to_string()))
    }

    /// Acknowledges with success.
    pub fn acknowledge(&mut self, token: AckToken) {
        self.acknowledge_with(token, ReasonCode::SUCCESS);
    }

    /// Acknowledges with a reason.
    pub fn acknowledge_with(&mut self, token: AckToken, reason: ReasonCode) {
        self.session.acknowledge(token, reason);
        self.run();
    }

    /// The next event; `None` if there is none.
    pub fn event(&mut self) -> Option<Event> {
        let event = self.session.poll_event();
        if let Some(event) = &event {
            self.play.push(format!("   {event:?}"));
        }
        event
    }

    /// The next event is a message.
    ///
    /// # Panics
    ///
    /// If not.
    #[track_caller]
    pub fn message(&mut self) -> (Message, Option<AckToken>) {
        match self.event() {
            Some(Event::Message(message, token)) => (message, token),
            other => self.fail("Event::Message", &format!("{other:?}")),
        }
    }

    /// The next event is a message of QoS 1 or 2 with this payload.
    ///
    /// # Panics
    ///
    /// If not.
    #[track_caller]
    pub fn message_to_acknowledge(&mut self, payload: &str) -> AckToken {
        match self.message() {
            (message, Some(token)) if message.payload == payload => token,
            other => self.fail(&format!("a message {payload:?} to acknowledge"), &format!("{other:?}")),
        }
    }

    /// The next event is an outcome.
    ///
    /// # Panics
    ///
    /// If not.
    #[track_caller]
    pub fn completed(&mut self) -> (Token, Outcome) {
        match self.event() {
            Some(Event::Completed(token, outcome)) => (token, outcome),
            other => self.fail("Event::Completed", &format!("{other:?}")),
        }
    }

    /// The next event is the end.
    ///
    /// # Panics
    ///
    /// If not.
    #[track_caller]
    pub fn ended(&mut self) -> End {
        match self.event() {
            Some(Event::Ended(end)) => end,
            other => self.fail("Event::Ended", &format!("{other:?}")),
        }
    }

    /// No event is waiting.
    ///
    /// # Panics
    ///
    /// If one is.
    #[track_caller]
    pub fn expect_no_event(&mut self) {
        if let Some(event) = self.event() {
            self.fail("no event", &format!("{event:?}"));
        }
    }

    #[track_caller]
    fn fail(&self, expected: &str, came: &str) -> ! {
        let (place, now, play) = (Location::caller(), self.now, self.play.join("\n    "));
        panic!("{place}: at {now:?}\n  expected {expected}\n  came {came}\n  the play so far:\n    {play}")
    }
}

/// The usual configuration of a test: client identifier `c`, no keep alive, a session that outlives its
/// connections, in 5.0 for an hour.
///
/// # Panics
///
/// Never.
pub fn config(version: Version) -> Config {
    let client_id = Text::from_static("c").unwrap_or_else(|error| panic!("{error}"));
    let session_expiry = version.is_v5().then_some(3600);
    let clean_start = mqtt_session::CleanStart::Never;
    Config { keep_alive: 0, clean_start, session_expiry, ..Config::new(version, client_id) }
}

/// A message to publish.
///
/// # Panics
///
/// If the topic is none.
#[track_caller]
pub fn message(topic: &str, payload: impl Into<Bytes>, qos: QoS) -> Message {
    let topic = TopicName::try_from(topic).unwrap_or_else(|error| panic!("{topic:?}: {error}"));
    Message { qos, ..Message::new(topic, payload.into()) }
}

/// A topic filter.
///
/// # Panics
///
/// If it is none.
#[track_caller]
pub fn filter(filter: &str) -> TopicFilter {
    TopicFilter::try_from(filter).unwrap_or_else(|error| panic!("{filter:?}: {error}"))
}

/// The outcome of a message that the server acknowledged with success and without properties.
pub const fn acked() -> Outcome {
    acked_with(ReasonCode::SUCCESS)
}

/// The outcome of a message that the server acknowledged with a reason.
pub const fn acked_with(reason: ReasonCode) -> Outcome {
    Outcome::Acked { reason, properties: PropertiesBuf::new() }
}

/// The outcome of a subscribe request with these codes.
pub fn subscribed(codes: &[ReasonCode]) -> Outcome {
    Outcome::Subscribed { codes: codes.to_vec(), properties: PropertiesBuf::new() }
}
