//! What the scripts of the cases share: a client as a process, and a server that is a script.
//!
//! A script ends by panic where the client does wrong, as a test does, and with [`Unfit`] where the client cannot be
//! judged.

use super::command::{Process, Template};
use core::cell::RefCell;
use core::ops::{Deref, DerefMut};
use core::time::Duration;
use mqtt_codec::{Connect, Packet, PacketType, QoS, ReasonCode, Version, WireBuf};
use mqtt_testkit::packets::{IntoPacket, connack, suback};
use mqtt_testkit::peer::{Peer, PeerListener};
use std::process::ExitStatus;
use std::rc::Rc;
use tokio::net::TcpStream;

/// How long the client has for each step.
const PATIENCE: Duration = Duration::from_secs(5);

/// How long it is watched for what it must not do.
pub(super) const WATCH: Duration = Duration::from_millis(400);

pub(super) const TOPIC: &str = "conformance/topic";
pub(super) const CLIENT_ID: &str = "conformance";

/// Why a case says nothing about this client.
#[derive(Debug, PartialEq)]
pub(super) struct Unfit(pub(super) String);

/// The plays of all connections of a case.
pub(super) type Plays = Rc<RefCell<Vec<String>>>;

/// How the client is to be started.
pub(super) struct Wish {
    qos: u8,
    payload: String,
    keep_alive: Option<u16>,
    persistent: bool,
    input: Option<String>,
}

impl Wish {
    /// At this QoS, with a clean session.
    pub(super) fn qos(qos: u8) -> Self {
        Self { qos, payload: "hello".into(), keep_alive: None, persistent: false, input: None }
    }

    pub(super) fn payload(self, payload: &str) -> Self {
        Self { payload: payload.into(), ..self }
    }

    /// In seconds.
    pub(super) fn keep_alive(self, seconds: u16) -> Self {
        Self { keep_alive: Some(seconds), ..self }
    }

    /// With a session that the server keeps.
    pub(super) fn persistent(self) -> Self {
        Self { persistent: true, ..self }
    }

    /// With these lines on its standard input.
    pub(super) fn lines(self, lines: &[&str]) -> Self {
        Self { input: Some(lines.iter().map(|line| format!("{line}\n")).collect()), ..self }
    }
}

/// A client and the place where its server listens.
pub(super) struct Stage {
    pub(super) version: Version,
    template: Template,
    listener: PeerListener,
    process: Option<Process>,
    plays: Plays,
}

impl Stage {
    pub(super) async fn new(template: Template, version: Version, plays: Plays) -> Result<Self, Unfit> {
        let listener = PeerListener::bind().await.map_err(|error| Unfit(error.to_string()))?;
        Ok(Self { version, template, listener, process: None, plays })
    }

    /// Starts the client.
    pub(super) fn start(&mut self, wish: Wish) -> Result<(), Unfit> {
        let lacks = |name: &str| Unfit(format!("the command has no {{{name}}}"));
        if wish.qos > 0 && !self.template.has("qos") {
            return Err(lacks("qos"));
        }
        if wish.keep_alive.is_some() && !self.template.has("keep_alive") {
            return Err(lacks("keep_alive"));
        }
        if wish.persistent && !self.template.can_persist() {
            return Err(Unfit("--persistent is not given".into()));
        }
        let version = match self.version {
            Version::V5 => "5",
            Version::V3_1_1 => "311",
            Version::V3_1 => "31",
        };
        let values = [
            ("host", self.listener.addr().ip().to_string()),
            ("port", self.listener.addr().port().to_string()),
            ("client_id", CLIENT_ID.to_owned()),
            ("topic", TOPIC.to_owned()),
            ("qos", wish.qos.to_string()),
            ("payload", wish.payload),
            ("version", version.to_owned()),
            ("level", self.version.level().to_string()),
            ("keep_alive", wish.keep_alive.unwrap_or(60).to_string()),
        ];
        self.process = Some(self.template.start(&values, wish.persistent, wish.input).map_err(Unfit)?);
        Ok(())
    }

    /// Waits for its connection.
    pub(super) async fn accept(&mut self) -> Talk {
        self.accept_with(PATIENCE).await
    }

    /// Waits for its connection, and on it so long for each step.
    pub(super) async fn accept_with(&mut self, patience: Duration) -> Talk {
        let Some(process) = &mut self.process else { panic!("the client was not started") };
        let peer = tokio::select! {
            peer = self.listener.accept() => peer.with_patience(patience),
            Some(status) = process.end(PATIENCE * 2) => {
                let said = process.complaints().await;
                panic!("it ended before it connected ({status}): {}", said.trim());
            }
        };
        Talk { peer, version: self.version, plays: self.plays.clone() }
    }

    /// Waits until it connects once more. A client that ends instead, and says so, cannot be judged.
    pub(super) async fn accept_again(&mut self) -> Result<Talk, Unfit> {
        let Some(process) = &mut self.process else { return Err(Unfit("nothing runs".into())) };
        tokio::select! {
            peer = self.listener.accept() => {
                Ok(Talk { peer, version: self.version, plays: self.plays.clone() })
            }
            Some(status) = process.end(PATIENCE * 2) => {
                assert!(!status.success(), "the connection was cut, and the client ended with success");
                Err(Unfit(format!("it does not reconnect ({status})")))
            }
        }
    }

    /// Starts a subscriber and lets it subscribe.
    pub(super) async fn subscribed(&mut self, wish: Wish) -> Result<Talk, Unfit> {
        let qos = wish.qos;
        self.start(wish)?;
        let mut talk = self.accept().await;
        talk.welcome().await;
        talk.grant(qos).await;
        Ok(talk)
    }

    fn process(&mut self) -> &mut Process {
        match &mut self.process {
            Some(process) => process,
            None => panic!("the client was not started"),
        }
    }

    /// The client prints this message.
    pub(super) async fn printed(&mut self, payload: &str) {
        match self.process().line(PATIENCE).await {
            Some(line) if line == payload => {}
            Some(line) => panic!("it prints {line:.80?} instead of {payload:.80?}"),
            None => panic!("it does not print {payload:.80?}"),
        }
    }

    /// The client prints nothing more.
    pub(super) async fn prints_nothing(&mut self) {
        if let Some(line) = self.process().line(WATCH).await {
            panic!("it prints {line:.80?}");
        }
    }

    /// The client ends.
    pub(super) async fn ended(&mut self) -> ExitStatus {
        match self.process().end(PATIENCE * 2).await {
            Some(status) => status,
            None => panic!("it still runs after {:?}", PATIENCE * 2),
        }
    }

    /// The client ends and says that all is well.
    pub(super) async fn succeeded(&mut self) {
        let status = self.ended().await;
        if !status.success() {
            let said = self.complaints().await;
            panic!("it ends with {status}: {said}");
        }
    }

    /// The client ends and says that it failed.
    pub(super) async fn failed(&mut self) {
        assert!(!self.ended().await.success(), "it ends with success");
    }

    /// How it ends, if it does before long.
    pub(super) async fn ends_soon(&mut self) -> Option<ExitStatus> {
        self.process().end(PATIENCE).await
    }

    /// The client does not end.
    pub(super) async fn runs_on(&mut self) {
        if let Some(status) = self.process().end(WATCH).await {
            panic!("it ended ({status})");
        }
    }

    /// What it said on stderr by now.
    pub(super) async fn complaints(&mut self) -> String {
        self.process().complaints().await
    }
}

/// The server's side of one connection.
pub(super) struct Talk {
    peer: Peer<TcpStream>,
    version: Version,
    plays: Plays,
}

impl Deref for Talk {
    type Target = Peer<TcpStream>;

    fn deref(&self) -> &Self::Target {
        &self.peer
    }
}

impl DerefMut for Talk {
    fn deref_mut(&mut self) -> &mut Self::Target {
        &mut self.peer
    }
}

impl Drop for Talk {
    fn drop(&mut self) {
        self.plays.borrow_mut().push(self.peer.play());
    }
}

impl Talk {
    /// The bytes of a packet.
    pub(super) fn encoded(&self, packet: impl IntoPacket) -> Vec<u8> {
        let mut wire = WireBuf::new();
        if let Err(error) = packet.into_packet().encode(self.version, &mut wire) {
            panic!("the script cannot send it: {error}");
        }
        wire.to_vec()
    }

    /// Its CONNECT, of the version that was asked for.
    pub(super) async fn connect(&mut self) -> Connect {
        let connect = self.peer.expect_connect().await;
        let came = self.peer.version();
        assert!(came == self.version, "asked for {:?}, it speaks {came:?}", self.version);
        connect
    }

    /// Its CONNECT, which must ask for the session that the server keeps.
    pub(super) async fn connect_to_kept_session(&mut self) -> Result<(), Unfit> {
        if self.connect().await.clean_start {
            return Err(Unfit("with the words of --persistent it still begins a new session".into()));
        }
        Ok(())
    }

    /// Takes its CONNECT and accepts it.
    pub(super) async fn welcome(&mut self) {
        self.connect().await;
        self.peer.send(connack()).await;
    }

    /// Takes its SUBSCRIBE and grants this QoS.
    pub(super) async fn grant(&mut self, qos: u8) {
        let id = self.subscribe().await;
        let code = match qos {
            0 => ReasonCode::GRANTED_QOS_0,
            1 => ReasonCode::GRANTED_QOS_1,
            _ => ReasonCode::GRANTED_QOS_2,
        };
        self.peer.send(suback(id, &[code])).await;
    }

    /// Its SUBSCRIBE; the identifier of it.
    pub(super) async fn subscribe(&mut self) -> u16 {
        let is_it = |packet: &Packet| matches!(packet, Packet::Subscribe(_));
        match self.peer.expect_that("SUBSCRIBE", is_it).await {
            Packet::Subscribe(subscribe) => subscribe.id().get(),
            _ => 0,
        }
    }

    /// An acknowledgement of this type, for this identifier, without an error.
    pub(super) async fn acked(&mut self, kind: PacketType, id: u16) {
        let what = format!("{} id={id}, of success", kind.name());
        let is_it = |packet: &Packet| {
            let (Packet::PubAck(ack) | Packet::PubRec(ack) | Packet::PubRel(ack) | Packet::PubComp(ack)) =
                packet
            else {
                return false;
            };
            packet.packet_type() == kind && ack.id.get() == id && !ack.reason.is_error()
        };
        self.peer.expect_that(&what, is_it).await;
    }

    /// A PUBLISH of the message under test for the first time; its identifier, 0 at QoS 0.
    pub(super) async fn published(&mut self, qos: QoS, payload: &str) -> u16 {
        let publish = self.peer.expect_publish().await;
        let delivery = publish.delivery();
        assert!(delivery.qos() == qos, "asked for QoS {qos}, it takes {}", delivery.qos());
        assert!(!delivery.dup(), "the first PUBLISH has DUP");
        assert!(publish.topic() == TOPIC, "it publishes to {:?}", publish.topic());
        assert!(publish.payload() == payload.as_bytes(), "the payload is {:?}", publish.payload_bytes());
        delivery.id().map_or(0, |id| id.get())
    }

    /// The client gives up the connection; before that it may say DISCONNECT and why, or ask for a ping, nothing else.
    pub(super) async fn given_up(&mut self) {
        while let Some(packet) = self.peer.expect_any_or_end().await {
            assert!(
                matches!(packet, Packet::Disconnect(_) | Packet::PingReq),
                "it should close, and goes on with {}",
                packet.packet_type()
            );
        }
    }

    /// The client says goodbye, if it wants to, and nothing after that. Then the server closes too: some wait for it.
    pub(super) async fn left(mut self) {
        if let Some(packet) = self.peer.expect_any_or_end().await {
            let kind = packet.packet_type();
            assert!(matches!(packet, Packet::Disconnect(_)), "it should leave, and says {kind}");
            self.peer.expect_end().await;
        }
    }

    /// Leaves the rest of the connection to itself; the server closes when the client does.
    pub(super) fn attend(mut self) {
        tokio::task::spawn_local(async move { while self.peer.expect_any_or_end().await.is_some() {} });
    }
}
