//! Takes the place of a server and acknowledges as fast as it can, so that the client is the bottleneck.
//!
//! It believes what it reads; it is no server to learn from. PUBLISH is acknowledged, and comes back if its topic begins
//! with `echo/`. SUBSCRIBE to `blast/QOS/COUNT/PAYLOAD` is answered by that many messages of so many bytes, at most 1,000
//! of them (or the client's Receive Maximum) unacknowledged. Over TLS and WebSocket it is the same, see `transports.rs`.

mod transports;

use crate::transports::{Acceptor, Stream};
use clap::Parser;
use e2e_common::Transport;
use std::io::Result;
use std::net::TcpListener;
use std::thread;
use std::time::Duration;

#[derive(Parser)]
struct Args {
    /// That of TCP; those of TLS, WebSocket, and both follow
    #[arg(long, default_value_t = 18899)]
    port: u16,
    /// Where to write the certificate of the authority that was made for this run; without it no TLS
    #[arg(long)]
    ca: Option<std::path::PathBuf>,
    /// Ends by itself after so many seconds
    #[arg(long, default_value_t = 3600)]
    seconds: u64,
}

fn main() -> Result<()> {
    let args = Args::parse();
    thread::spawn(move || {
        thread::sleep(Duration::from_secs(args.seconds));
        std::process::exit(0);
    });
    let acceptor = Acceptor::new(args.ca.as_deref())?;
    let transports = Transport::ALL.into_iter().filter(|transport| !transport.has_tls() || args.ca.is_some());
    let mut serving = Vec::new();
    for transport in transports {
        let listener = TcpListener::bind(("127.0.0.1", transport.port(args.port)))?;
        let acceptor = acceptor.clone();
        serving.push(thread::spawn(move || serve(&listener, transport, &acceptor)));
    }
    serving.into_iter().try_for_each(|served| served.join().expect("does not panic"))
}

fn serve(listener: &TcpListener, transport: Transport, acceptor: &Acceptor) -> Result<()> {
    for stream in listener.incoming() {
        let (stream, acceptor) = (stream?, acceptor.clone());
        thread::Builder::new().stack_size(256 * 1024).spawn(move || {
            stream.set_nodelay(true)?;
            Connection::new(acceptor.accept(stream, transport)?).serve()
        })?;
    }
    Ok(())
}

/// An idle connection has a small read buffer, a busy one a large.
const IDLE: usize = 8 * 1024;
const BUSY: usize = 512 * 1024;
/// Written at once while blasting.
const WRITE: usize = 128 * 1024;

struct Connection {
    stream: Box<dyn Stream>,
    v5: bool,
    receive_maximum: u64,
    out: Vec<u8>,
    blast: Option<Blast>,
}

impl Connection {
    fn new(stream: Box<dyn Stream>) -> Self {
        Self { stream, v5: false, receive_maximum: 1000, out: Vec::new(), blast: None }
    }

    fn serve(mut self) -> Result<()> {
        let mut buffer = vec![0; IDLE];
        let mut filled = 0;
        loop {
            if filled == buffer.len() {
                buffer.resize(BUSY.max(buffer.len() * 2), 0);
            }
            let read = self.stream.receive(&mut buffer[filled..])?;
            if read == 0 {
                return Ok(());
            }
            filled += read;
            let mut at = 0;
            while let Some((header, packet)) = frame(&buffer[at..filled]) {
                if !self.packet(&buffer[at..at + packet], header)? {
                    return Ok(());
                }
                at += packet;
            }
            buffer.copy_within(at..filled, 0);
            filled -= at;
            self.blast()?;
            self.flush()?;
        }
    }

    /// Answers one packet; false if it was the last. `header` is the length of the fixed header.
    fn packet(&mut self, packet: &[u8], header: usize) -> Result<bool> {
        let (first, body) = (packet[0], &packet[header..]);
        match first >> 4 {
            1 => self.connect(body),
            3 => {
                let topic = 2 + usize::from(be(body));
                match first >> 1 & 3 {
                    0 => {}
                    1 => self.answer(0x40, &body[topic..topic + 2]),
                    _ => self.answer(0x50, &body[topic..topic + 2]),
                }
                if body[2..topic].starts_with(b"echo/") {
                    self.out.extend_from_slice(packet);
                }
            }
            4 | 7 => self.blast.iter_mut().for_each(|blast| blast.credit += 1),
            5 => self.answer(0x62, &body[..2]),
            6 => self.answer(0x70, &body[..2]),
            8 => self.subscribe(body)?,
            10 if self.v5 => self.answer(0xb0, &[body[0], body[1], 0, 0]),
            10 => self.answer(0xb0, &body[..2]),
            12 => self.answer(0xd0, &[]),
            14 => return Ok(false),
            _ => {}
        }
        Ok(true)
    }

    fn answer(&mut self, first: u8, body: &[u8]) {
        self.out.push(first);
        put_length(&mut self.out, body.len());
        self.out.extend_from_slice(body);
    }

    fn connect(&mut self, body: &[u8]) {
        self.v5 = body[6] == 5;
        if !self.v5 {
            return self.answer(0x20, &[0, 0]);
        }
        self.answer(0x20, &[0, 0, 0]);
        let Some((length, header)) = length(&body[10..]) else { return };
        let mut properties = &body[10 + header..10 + header + length];
        while let [identifier, value @ ..] = properties {
            let size = match identifier {
                33 => {
                    self.receive_maximum = self.receive_maximum.min(be(value).into());
                    2
                }
                34 => 2,
                17 | 39 => 4,
                23 | 25 => 1,
                _ => return,
            };
            properties = &value[size..];
        }
    }

    /// All filters are granted what they ask for; only the first can be a blast.
    fn subscribe(&mut self, body: &[u8]) -> Result<()> {
        let mut rest = &body[2..];
        let mut properties: &[u8] = &[];
        if self.v5 {
            let (length, header) = length(rest).unwrap_or_default();
            (properties, rest) = rest[header..].split_at(length);
        }
        // As a server must, it sends the subscription identifier back with each message, if there is one.
        let identifier = if properties.first() == Some(&11) { properties } else { &[] };
        let filter = String::from_utf8_lossy(&rest[2..2 + usize::from(be(rest))]).into_owned();
        let mut answer = body[..2].to_vec();
        if self.v5 {
            answer.push(0);
        }
        while !rest.is_empty() {
            let options = 2 + usize::from(be(rest));
            answer.push(rest[options] & 3);
            rest = &rest[options + 1..];
        }
        self.answer(0x90, &answer);
        if let Some(wanted) = filter.strip_prefix("blast/") {
            let numbers: Vec<usize> = wanted.split('/').filter_map(|number| number.parse().ok()).collect();
            if let [qos, count, payload] = numbers[..] {
                self.blast = Some(Blast::new(
                    self.v5.then_some(identifier),
                    qos as u8,
                    count,
                    &filter,
                    payload,
                    self.receive_maximum,
                ));
                self.flush()?;
                // What the client does about the SUBACK is not to be measured.
                thread::sleep(Duration::from_millis(20));
            }
        }
        Ok(())
    }

    fn blast(&mut self) -> Result<()> {
        while let Some(message) = self.blast.as_mut().and_then(Blast::next) {
            self.out.extend_from_slice(message);
            if self.out.len() > WRITE {
                self.flush()?;
            }
        }
        Ok(())
    }

    fn flush(&mut self) -> Result<()> {
        if !self.out.is_empty() {
            self.stream.send(&self.out)?;
        }
        self.out.clear();
        Ok(())
    }
}

/// Messages to send.
struct Blast {
    left: usize,
    credit: u64,
    id: u16,
    frame: Vec<u8>,
    /// Where the packet identifier stands; `None` at QoS 0.
    id_at: Option<usize>,
}

impl Blast {
    fn new(
        properties: Option<&[u8]>,
        qos: u8,
        count: usize,
        topic: &str,
        payload: usize,
        credit: u64,
    ) -> Self {
        let mut body = (topic.len() as u16).to_be_bytes().to_vec();
        body.extend_from_slice(topic.as_bytes());
        let id_at = (qos > 0).then_some(body.len());
        if qos > 0 {
            body.extend_from_slice(&[0, 0]);
        }
        if let Some(properties) = properties {
            put_length(&mut body, properties.len());
            body.extend_from_slice(properties);
        }
        body.extend(b"{\"celsius\":23.5} ".iter().copied().cycle().take(payload));
        let mut frame = vec![0x30 | qos << 1];
        put_length(&mut frame, body.len());
        let id_at = id_at.map(|at| at + frame.len());
        frame.extend_from_slice(&body);
        Self { left: count, credit, id: 0, frame, id_at }
    }

    fn next(&mut self) -> Option<&[u8]> {
        if self.left == 0 || self.id_at.is_some() && self.credit == 0 {
            return None;
        }
        self.left -= 1;
        if let Some(at) = self.id_at {
            self.credit -= 1;
            self.id = self.id.checked_add(1).unwrap_or(1);
            self.frame[at..at + 2].copy_from_slice(&self.id.to_be_bytes());
        }
        Some(&self.frame)
    }
}

/// The lengths of the fixed header and of the whole packet, if it is whole.
pub(crate) fn frame(bytes: &[u8]) -> Option<(usize, usize)> {
    let (body, header) = length(bytes.get(1..)?)?;
    let whole = 1 + header + body;
    (bytes.len() >= whole).then_some((1 + header, whole))
}

/// A variable byte integer and its size.
fn length(bytes: &[u8]) -> Option<(usize, usize)> {
    let mut value = 0;
    for (index, byte) in bytes.iter().take(4).enumerate() {
        value |= usize::from(byte & 0x7f) << (7 * index);
        if byte & 0x80 == 0 {
            return Some((value, index + 1));
        }
    }
    None
}

fn put_length(out: &mut Vec<u8>, mut length: usize) {
    while length > 0x7f {
        out.push(length as u8 | 0x80);
        length >>= 7;
    }
    out.push(length as u8);
}

fn be(bytes: &[u8]) -> u16 {
    u16::from_be_bytes([bytes[0], bytes[1]])
}
