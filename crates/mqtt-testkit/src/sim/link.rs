//! The wire between the session and the server, in bytes: handed out, written, read; and back.

use super::books::Subject;
use bytes::{Bytes, BytesMut};
use mqtt_codec::{Decoder, MAX_PACKET_SIZE, Packet, Version};
use mqtt_session::{Config, Instant};
use std::collections::VecDeque;

/// One connection. Positions are in bytes since it was opened.
#[derive(Debug)]
pub(super) struct Link {
    /// Handed out by the session.
    pub(super) handed_out: u64,
    /// Written to the transport: it has left.
    pub(super) written: u64,
    /// Read by the server.
    pub(super) read: u64,
    /// Packets not wholly read by the server.
    pub(super) up: VecDeque<Sent>,
    /// What has not begun to leave, by where it begins, and how many store operations must be applied before.
    pub(super) unwritten: VecDeque<(u64, Option<Subject>, usize)>,
    /// Sent by the server, not read by the session.
    pub(super) down: BytesMut,
    /// Read by the session, the beginning of a packet.
    pub(super) input: BytesMut,
    /// The same, as the books read it.
    pub(super) view: BytesMut,
    pub(super) decoder: Decoder,
    /// The driver does not read.
    pub(super) paused: bool,
    /// The server has closed its side, behind what is on its way down.
    pub(super) closed: bool,
    /// The session said that it is over.
    pub(super) ended: bool,
    /// When bytes were last written.
    pub(super) last_written: Instant,
}

/// A packet on its way up.
#[derive(Debug)]
pub(super) struct Sent {
    pub(super) end: u64,
    pub(super) len: usize,
    pub(super) packet: Packet,
}

impl Link {
    pub(super) fn new(config: &Config, now: Instant) -> Self {
        Self {
            handed_out: 0,
            written: 0,
            read: 0,
            up: VecDeque::new(),
            unwritten: VecDeque::new(),
            down: BytesMut::new(),
            input: BytesMut::new(),
            view: BytesMut::new(),
            decoder: Decoder::new(config.version)
                .from_server_only()
                .max_packet_size(config.maximum_packet_size.unwrap_or(MAX_PACKET_SIZE)),
            paused: false,
            closed: false,
            ended: false,
            last_written: now,
        }
    }

    /// Bytes handed out and not written.
    pub(super) const fn staged(&self) -> usize {
        (self.handed_out - self.written) as usize
    }

    /// Bytes written and not read by the server.
    pub(super) const fn travelling(&self) -> usize {
        (self.written - self.read) as usize
    }

    /// Whether nothing is on its way, in no direction.
    pub(super) fn is_quiet(&self) -> bool {
        self.handed_out == self.read && self.down.is_empty()
    }

    /// Takes what the session has handed out. Fails if these are not whole packets that a client may send.
    pub(super) fn hand_out(&mut self, bytes: Vec<u8>, version: Version) -> Result<Vec<Sent>, String> {
        let mut input = BytesMut::from(Bytes::from(bytes));
        let mut decoder = if self.handed_out == 0 { Decoder::for_server() } else { Decoder::new(version) };
        let mut packets = Vec::new();
        while !input.is_empty() {
            let before = input.len();
            match decoder.decode(&mut input) {
                Ok(Some(packet)) => {
                    let len = before - input.len();
                    self.handed_out += len as u64;
                    packets.push(Sent { end: self.handed_out, len, packet });
                }
                Ok(None) => return Err("the session hands out half a packet".into()),
                Err(error) => return Err(format!("the session hands out what is no packet: {error}")),
            }
        }
        Ok(packets)
    }
}
