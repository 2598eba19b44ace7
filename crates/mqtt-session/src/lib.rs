//! The MQTT client as a state machine, for versions 3.1, 3.1.1 and 5.0.
//!
//! This crate opens no socket, reads no clock, starts no task and stores nothing. It decides: what is sent
//! and when, what the bytes that arrive mean, which message is new, what must be sent again, what has failed.
//! It is `no_std` + `alloc` and free of `unsafe`. What moves the bytes and tells the time, the *driver*, is
//! yours, or that of the crate `mqtt-client`.
//!
//! # The driver
//! Tell the [`Session`] what happened, then do what it wants, until it wants nothing more:
//!
//! ```
//! use bytes::{Buf, BytesMut};
//! use mqtt_session::{Config, Event, Instant, Message, QoS, Session, Text, TopicName, Version, WireBuf};
//! use std::io::{self, Read, Write};
//!
//! /// Drives one connection to its end.
//! fn drive(session: &mut Session, mut transport: impl Read + Write, clock: impl Fn() -> Instant) -> io::Result<()> {
//!     let (mut input, mut output, mut chunk) = (BytesMut::new(), WireBuf::new(), [0; 4096]);
//!     session.handle_open(clock());
//!     loop {
//!         // What there is to send. With a store, what `poll_store` yields would be applied between the two.
//!         while session.poll_transmit(clock(), &mut output) {}
//!         while output.has_remaining() {
//!             let written = transport.write(output.chunk())?;
//!             output.advance(written);
//!             session.handle_transmitted(clock(), written);
//!         }
//!         // What the application should know.
//!         while let Some(event) = session.poll_event() {
//!             match event {
//!                 Event::Ended(end) => {
//!                     println!("the end: {end:?}");
//!                     session.handle_close(clock());
//!                     return Ok(());
//!                 }
//!                 Event::Message(message, token) => {
//!                     println!("{}: {:?}", message.topic(), message.payload());
//!                     if let Some(token) = token {
//!                         session.acknowledge(token, mqtt_session::ReasonCode::SUCCESS);
//!                     }
//!                 }
//!                 other => println!("{other:?}"),
//!             }
//!         }
//!         // Then wait for the first of bytes, commands of the application, and `poll_timeout`. This transport cannot wait
//!         // for more than one thing.
//!         match transport.read(&mut chunk)? {
//!             0 => session.handle_close(clock()),
//!             read => {
//!                 input.extend_from_slice(&chunk[..read]);
//!                 session.handle_input(clock(), &mut input);
//!             }
//!         }
//!         session.handle_timeout(clock());
//!     }
//! }
//!
//! # struct Replay(io::Cursor<Vec<u8>>, Vec<u8>);
//! # impl Read for Replay { fn read(&mut self, into: &mut [u8]) -> io::Result<usize> { self.0.read(into) } }
//! # impl Write for Replay {
//! #     fn write(&mut self, from: &[u8]) -> io::Result<usize> { self.1.write(from) }
//! #     fn flush(&mut self) -> io::Result<()> { Ok(()) }
//! # }
//! // A server that accepts the connection, acknowledges one message and closes.
//! let mut transport = Replay(io::Cursor::new(vec![0x20, 2, 0, 0, 0x40, 2, 0, 1]), vec![]);
//!
//! let mut session = Session::new(Config::new(Version::V3_1_1, Text::from_static("kitchen")?))?;
//! let lamp = Message { qos: QoS::AtLeastOnce, ..Message::new(TopicName::from_static("lamp")?, "on".into()) };
//! session.publish(Instant::ZERO, lamp)?;
//! drive(&mut session, &mut transport, || Instant::ZERO)?;
//! # assert!(transport.1.ends_with(b"\x32\x0a\x00\x04lamp\x00\x01on"));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # What it promises
//! - A message that was accepted completes exactly once, with an honest [`Outcome`]. What was never sent
//!   survives everything but [`Session::abandon`], its own expiry, and an [`Overflow`] policy that drops.
//! - What is unacknowledged is sent again on a resumed session, in the order of first sending, and at no
//!   other time, unless [`Config::retransmit_after`] asks for it (before 5.0) or
//!   [`Config::set_aside_after`] gives a message up.
//! - A received QoS 2 message is delivered once, with its PUBLISH, also across connections. Acknowledgements
//!   go out in the order of the messages, whatever the order in which the application gives them.
//! - The server's limits are kept. What they forbid is refused by a [`UsageError`], never changed silently.
//! - A server that breaks the protocol ends the connection, not the session, and certainly not the program.
//! - Memory is bounded: for sending by [`Limits`]; for receiving by about 100 bytes for each message of
//!   [`Config::receive_maximum`], which before 5.0 is 65,535, by 2 MiB of answers that the transport does not
//!   take, by [`Config::topic_alias_maximum`] topics, and by the events that one call of
//!   [`Session::handle_input`] makes: read again when [`Session::poll_event`] has nothing more.
//!
//! # What it leaves to others
//! Reconnecting and its delays, the choice of the version, timeouts of single requests, and the routing of
//! messages to those who subscribed.

#![no_std]

extern crate alloc;
#[cfg(test)]
extern crate std;

mod alias;
mod answers;
mod config;
mod dispatch;
mod error;
mod event;
mod handshake;
mod id_map;
mod in_flight;
mod inbound;
mod keep_alive;
mod link;
mod negotiated;
mod outbound;
mod publish;
mod queue;
mod retransmission;
mod session;
mod store;
mod subscriptions;
mod time;
mod window;

pub use self::config::{CleanStart, Config, Limits, OnSessionLost, Overflow};
pub use self::error::{End, ProtocolError, UsageError};
pub use self::event::{AckToken, Connected, Event, Message, Outcome, Token};
pub use self::negotiated::Negotiated;
pub use self::session::Session;
pub use self::store::{RestoreError, Snapshot, SnapshotError, StoreKey, StoreOp, StoredMessage};
pub use self::time::Instant;

// The words of the codec that stand in the face of this crate.
pub use mqtt_codec::{
    Auth, DecodeError, Disconnect, EncodeError, PacketId, PacketType, Properties, PropertiesBuf,
    PropertiesBuilder, Property, PropertyError, PropertyFault, PropertyId, QoS, ReasonCode, RetainHandling,
    SubscriptionOptions, Text, TextError, TopicError, TopicFilter, TopicName, Version, Will, WireBuf,
};
