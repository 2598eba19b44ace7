//! A scripted peer: the other end of a connection, which says and expects exactly what a test wrote down.
//!
//! It works on any stream, plays the server or the client, and knows no rule of MQTT but the form of packets: what comes
//! when is the script's business. Where the script and the play part, it panics with what was expected, what came, and
//! the play so far.
//!
//! ```
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() {
//! use mqtt_testkit::packets::{connack, connect, puback, publish};
//! use mqtt_testkit::peer::Peer;
//! use mqtt_codec::Version;
//!
//! let (here, there) = tokio::io::duplex(4096);
//! let server = async {
//!     let mut peer = Peer::server(there);
//!     peer.expect(connect("kitchen")).await;
//!     peer.send(connack()).await;
//!     peer.expect(publish("lamp", "on").qos1(1)).await;
//!     peer.send(puback(1)).await;
//!     peer.expect_end().await;
//! };
//! let client = async {
//!     let mut peer = Peer::client(here, Version::V5);
//!     peer.send(connect("kitchen")).await;
//!     peer.expect_hex("20 03 00 00 00").await; // CONNACK, byte by byte
//!     peer.send(publish("lamp", "on").qos1(1)).await;
//!     peer.expect(puback(1)).await;
//! };
//! tokio::join!(server, client);
//! # }
//! ```

use crate::packets::IntoPacket;
use crate::play::{Line, Play, Role};
use crate::text;
use bytes::{Bytes, BytesMut};
use core::net::{Ipv4Addr, SocketAddr};
use core::panic::Location;
use core::time::Duration;
use mqtt_codec::{Connect, Decoder, Packet, Publish, Version, WireBuf};
use std::io;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, DuplexStream};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;

/// How long a peer waits for what it expects, on tokio's clock, unless told otherwise.
const PATIENCE: Duration = Duration::from_secs(5);

/// Bytes that a pipe in memory holds in each direction.
const MEMORY_PIPE: usize = 64 * 1024;

/// One end of a connection that follows a script. Dropping it drops the stream.
///
/// Every method that expects something waits for it, five seconds at most unless [`with_patience`](Self::with_patience)
/// says otherwise, and panics if something else comes or nothing does.
#[derive(Debug)]
pub struct Peer<S> {
    stream: S,
    decoder: Decoder,
    input: BytesMut,
    patience: Duration,
    play: Play,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Peer<S> {
    /// Plays a server. It speaks the version of the CONNECT that it gets, and takes what a client may send.
    pub fn server(stream: S) -> Self {
        Self::new(stream, Decoder::for_server(), Role::Server)
    }

    /// Plays a client of this version, and takes what a server may send.
    pub fn client(stream: S, version: Version) -> Self {
        Self::new(stream, Decoder::new(version).from_server_only(), Role::Client)
    }

    fn new(stream: S, decoder: Decoder, role: Role) -> Self {
        Self { stream, decoder, input: BytesMut::new(), patience: PATIENCE, play: Play::new(role) }
    }

    /// Waits so long for what it expects.
    #[must_use]
    pub fn with_patience(mut self, patience: Duration) -> Self {
        self.patience = patience;
        self
    }

    /// The version that it speaks: that of the CONNECT if it plays a server, and 5.0 before.
    pub fn version(&self) -> Version {
        self.decoder.version().unwrap_or(Version::V5)
    }

    /// Says a packet.
    ///
    /// # Panics
    ///
    /// If the version does not have it, or the other side has closed.
    #[track_caller]
    pub fn send(&mut self, packet: impl IntoPacket) -> impl Future<Output = ()> {
        let place = Location::caller();
        let packet = packet.into_packet();
        async move {
            let mut wire = WireBuf::new();
            if let Err(error) = packet.encode(self.version(), &mut wire) {
                self.fail(place, &format!("the script cannot send {}:\n    {error}", text::line(&packet)));
            }
            self.play.record(Line::Said(packet));
            self.write(place, &wire.to_vec()).await;
        }
    }

    /// Says these bytes, written in hexadecimal; spaces do not matter: `"30 06 00 01 61 00 6F 6E"`.
    ///
    /// # Panics
    ///
    /// If it is no hexadecimal, or the other side has closed.
    #[track_caller]
    pub fn send_hex(&mut self, hex: &str) -> impl Future<Output = ()> {
        let place = Location::caller();
        let bytes = text::from_hex(hex);
        async move {
            self.play.record(Line::SaidBytes(bytes.clone()));
            self.write(place, &bytes).await;
        }
    }

    /// Says these bytes, which may be any part of a packet.
    ///
    /// # Panics
    ///
    /// If the other side has closed.
    #[track_caller]
    pub fn send_bytes(&mut self, bytes: &[u8]) -> impl Future<Output = ()> {
        let place = Location::caller();
        async move {
            self.play.record(Line::SaidBytes(Bytes::copy_from_slice(bytes)));
            self.write(place, bytes).await;
        }
    }

    /// Expects exactly this packet, and returns it as it came.
    ///
    /// # Panics
    ///
    /// If anything else comes, or nothing.
    #[track_caller]
    pub fn expect(&mut self, packet: impl IntoPacket) -> impl Future<Output = Packet> {
        let place = Location::caller();
        let expected = packet.into_packet();
        async move {
            let came = self.receive(place, || text::line(&expected)).await;
            if !text::same(&expected, &came) {
                self.play.forget_last();
                self.fail(
                    place,
                    &format!(
                        "the script expects\n    {}\nbut this came\n    {}\nthey differ in\n    {}",
                        text::line(&expected),
                        text::line(&came),
                        text::differences(&expected, &came)
                    ),
                );
            }
            came
        }
    }

    /// Expects these packets, each once, in any order.
    ///
    /// # Panics
    ///
    /// If anything else comes, or one of them does not.
    #[track_caller]
    pub fn expect_in_any_order<P: IntoPacket>(
        &mut self,
        packets: impl IntoIterator<Item = P>,
    ) -> impl Future<Output = ()> {
        let place = Location::caller();
        let mut expected: Vec<Packet> = packets.into_iter().map(IntoPacket::into_packet).collect();
        async move {
            while !expected.is_empty() {
                let wanted = || expected.iter().map(text::line).collect::<Vec<_>>().join("\n    ");
                let came = self.receive(place, wanted).await;
                match expected.iter().position(|packet| text::same(packet, &came)) {
                    Some(at) => drop(expected.remove(at)),
                    None => {
                        self.play.forget_last();
                        let (wanted, came) = (wanted(), text::line(&came));
                        self.fail(
                            place,
                            &format!("the script expects one of\n    {wanted}\nbut this came\n    {came}"),
                        );
                    }
                }
            }
        }
    }

    /// Expects a packet that passes a test, and returns it; `what` names it if another one comes.
    ///
    /// # Panics
    ///
    /// If anything else comes, or nothing.
    #[track_caller]
    pub fn expect_that(
        &mut self,
        what: &str,
        is_it: impl FnOnce(&Packet) -> bool,
    ) -> impl Future<Output = Packet> {
        let place = Location::caller();
        async move {
            let came = self.receive(place, || what.into()).await;
            if !is_it(&came) {
                self.play.forget_last();
                let came = text::line(&came);
                self.fail(place, &format!("the script expects\n    {what}\nbut this came\n    {came}"));
            }
            came
        }
    }

    /// Expects a CONNECT, whatever is in it, and returns it.
    ///
    /// # Panics
    ///
    /// If anything else comes, or nothing.
    #[track_caller]
    pub fn expect_connect(&mut self) -> impl Future<Output = Connect> {
        let came = self.expect_that("CONNECT", |packet| matches!(packet, Packet::Connect(_)));
        async move {
            match came.await {
                Packet::Connect(connect) => *connect,
                _ => unreachable!("it was looked at"),
            }
        }
    }

    /// Expects a PUBLISH, whatever is in it, and returns it.
    ///
    /// # Panics
    ///
    /// If anything else comes, or nothing.
    #[track_caller]
    pub fn expect_publish(&mut self) -> impl Future<Output = Publish> {
        let came = self.expect_that("PUBLISH", |packet| matches!(packet, Packet::Publish(_)));
        async move {
            match came.await {
                Packet::Publish(publish) => publish,
                _ => unreachable!("it was looked at"),
            }
        }
    }

    /// Expects any packet, and returns it.
    ///
    /// # Panics
    ///
    /// If none comes.
    #[track_caller]
    pub fn expect_any(&mut self) -> impl Future<Output = Packet> {
        self.expect_that("any packet", |_| true)
    }

    /// Expects any packet, and returns it, or the end of the stream, which is `None`.
    ///
    /// # Panics
    ///
    /// If neither comes, or bytes that are no packet.
    #[track_caller]
    pub fn expect_any_or_end(&mut self) -> impl Future<Output = Option<Packet>> {
        let place = Location::caller();
        async move {
            loop {
                if !self.input.is_empty() {
                    match self.decoder.decode(&mut self.input) {
                        Ok(Some(packet)) => {
                            self.play.record(Line::Heard(packet.clone()));
                            return Some(packet);
                        }
                        Ok(None) => {}
                        Err(error) => {
                            let came = text::to_hex(&self.input);
                            self.fail(place, &format!("no packet came: {error}\n    {came}"));
                        }
                    }
                }
                match timeout(self.patience, self.stream.read_buf(&mut self.input)).await {
                    Ok(Ok(1..)) => {}
                    Ok(Ok(_) | Err(_)) => {
                        self.play.record(Line::HeardEnd);
                        return None;
                    }
                    Err(_) => {
                        let waited = self.patience;
                        self.fail(place, &format!("nothing came for {waited:?}, and the stream is open"));
                    }
                }
            }
        }
    }

    /// Expects exactly these bytes, written in hexadecimal. Not more than they is looked at.
    ///
    /// # Panics
    ///
    /// If other bytes come, or fewer.
    #[track_caller]
    pub fn expect_hex(&mut self, hex: &str) -> impl Future<Output = ()> {
        let place = Location::caller();
        let expected = text::from_hex(hex);
        async move {
            while self.input.len() < expected.len() {
                self.read(place, || text::to_hex(&expected)).await;
            }
            let came = self.input.split_to(expected.len()).freeze();
            if came != expected {
                let (expected, came) = (text::to_hex(&expected), text::to_hex(&came));
                self.fail(place, &format!("the script expects\n    {expected}\nbut this came\n    {came}"));
            }
            self.play.record(Line::HeardBytes(came));
        }
    }

    /// Expects that nothing comes for so long, on tokio's clock.
    ///
    /// # Panics
    ///
    /// If something comes, or the other side closes.
    #[track_caller]
    pub fn expect_silence(&mut self, duration: Duration) -> impl Future<Output = ()> {
        let place = Location::caller();
        async move {
            if self.input.is_empty()
                && timeout(duration, self.stream.read_buf(&mut self.input)).await.is_err()
            {
                return;
            }
            let came = self.what_came();
            self.fail(place, &format!("the script expects silence\nbut this came\n    {came}"));
        }
    }

    /// Expects the end of the stream: the other side closes, in order or by a reset.
    ///
    /// # Panics
    ///
    /// If something else comes first, or the stream stays open.
    #[track_caller]
    pub fn expect_end(&mut self) -> impl Future<Output = ()> {
        let place = Location::caller();
        async move {
            if self.input.is_empty() {
                match timeout(self.patience, self.stream.read_buf(&mut self.input)).await {
                    Ok(Ok(0) | Err(_)) => return self.play.record(Line::HeardEnd),
                    Ok(Ok(_)) => {}
                    Err(_) => {
                        self.fail(place, &format!("the stream is still open after {:?}", self.patience))
                    }
                }
            }
            let came = self.what_came();
            self.fail(place, &format!("the script expects the end of the stream\nbut this came\n    {came}"));
        }
    }

    /// What was said lately: a line for each packet, `->` before what the peer said, `<-` before what it heard.
    ///
    /// With `MQTT_PLAY=1` in the environment, dropping the peer prints it to standard output, each line with the name of
    /// the side that spoke.
    pub fn play(&self) -> String {
        self.play.to_string()
    }

    /// The stream. Bytes that were read and not yet expected are lost.
    pub fn into_stream(self) -> S {
        self.stream
    }

    async fn receive(&mut self, place: &Location<'_>, what: impl Fn() -> String) -> Packet {
        loop {
            match self.decoder.decode(&mut self.input) {
                Ok(Some(packet)) => {
                    self.play.record(Line::Heard(packet.clone()));
                    return packet;
                }
                Ok(None) => self.read(place, &what).await,
                Err(error) => {
                    let (what, came) = (what(), text::to_hex(&self.input));
                    self.fail(
                        place,
                        &format!("the script expects\n    {what}\nbut no packet came: {error}\n    {came}"),
                    );
                }
            }
        }
    }

    async fn read(&mut self, place: &Location<'_>, what: impl Fn() -> String) {
        let came = timeout(self.patience, self.stream.read_buf(&mut self.input)).await;
        let instead = match came {
            Ok(Ok(1..)) => return,
            Ok(Ok(_)) => "the other side closed".to_owned(),
            Ok(Err(error)) => format!("the stream failed: {error}"),
            Err(_) => format!("nothing came for {:?}", self.patience),
        };
        let rest = if self.input.is_empty() {
            String::new()
        } else {
            format!(" behind {}", text::to_hex(&self.input))
        };
        self.fail(place, &format!("the script expects\n    {}\nbut {instead}{rest}", what()));
    }

    async fn write(&mut self, place: &Location<'_>, bytes: &[u8]) {
        let written = async {
            self.stream.write_all(bytes).await?;
            self.stream.flush().await
        };
        let error = match timeout(self.patience, written).await {
            Ok(Ok(())) => return,
            Ok(Err(error)) => error.to_string(),
            Err(_) => format!("the other side has not read for {:?}", self.patience),
        };
        self.play.forget_last();
        self.fail(place, &format!("the script sends\n    {}\nbut {error}", text::to_hex(bytes)));
    }

    /// What is in the buffer, as text.
    fn what_came(&mut self) -> String {
        match self.decoder.decode(&mut self.input) {
            Ok(Some(packet)) => text::line(&packet),
            _ if self.input.is_empty() => "(closed)".into(),
            _ => text::to_hex(&self.input),
        }
    }

    fn fail(&self, place: &Location<'_>, what: &str) -> ! {
        let play = match self.play() {
            play if play.is_empty() => "(nothing)".into(),
            play => play.replace('\n', "\n    "),
        };
        panic!("at {place}: {what}\nthe play so far\n    {play}\n");
    }
}

impl Peer<TcpStream> {
    /// Connects over TCP as a client of this version.
    ///
    /// # Panics
    ///
    /// If the connection is refused.
    pub async fn connect(addr: SocketAddr, version: Version) -> Self {
        let stream =
            TcpStream::connect(addr).await.unwrap_or_else(|error| panic!("connect to {addr}: {error}"));
        stream.set_nodelay(true).expect("set TCP_NODELAY");
        Self::client(stream, version)
    }
}

impl Peer<DuplexStream> {
    /// A server in memory, and the end of the pipe for its client.
    pub fn server_in_memory() -> (Self, DuplexStream) {
        let (here, there) = tokio::io::duplex(MEMORY_PIPE);
        (Self::server(here), there)
    }
}

/// Accepts connections on a free port of 127.0.0.1 and plays the server on each.
#[derive(Debug)]
pub struct PeerListener {
    listener: TcpListener,
    addr: SocketAddr,
}

impl PeerListener {
    /// Listens.
    ///
    /// # Errors
    ///
    /// If the system gives no port.
    pub async fn bind() -> io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let addr = listener.local_addr()?;
        Ok(Self { listener, addr })
    }

    /// Where it listens.
    pub const fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// `mqtt://127.0.0.1:PORT`.
    pub fn url(&self) -> String {
        format!("mqtt://{}", self.addr)
    }

    /// Waits for the next client.
    ///
    /// # Panics
    ///
    /// If none comes within five seconds of tokio's clock.
    pub async fn accept(&self) -> Peer<TcpStream> {
        let accepted = timeout(PATIENCE, self.listener.accept()).await;
        let (stream, _) = accepted.expect("a client connects in time").expect("a client is accepted");
        stream.set_nodelay(true).expect("set TCP_NODELAY");
        Peer::server(stream)
    }
}
