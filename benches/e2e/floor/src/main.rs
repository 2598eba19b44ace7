//! No library but the least that a client can do: one thread, a blocking socket, one read at a time, and one write for
//! all that is at hand. `--tune 1` writes once for each message, as a client without batching does.

use e2e_common::{Args, Role, Run, Transport, micros, resident};
use std::hint::black_box;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Instant;

/// What came from the server so far.
#[derive(Default)]
struct Seen {
    connack: bool,
    suback: bool,
    acks: u64,
    messages: u64,
}

struct Client {
    stream: TcpStream,
    v5: bool,
    buffer: Vec<u8>,
    filled: usize,
    out: Vec<u8>,
    seen: Seen,
}

impl Client {
    fn connect(args: &Args, index: u64) -> Self {
        let stream = TcpStream::connect((args.host.as_str(), args.port)).unwrap();
        stream.set_nodelay(true).unwrap();
        let size = if args.role == Role::Idle { 1024 } else { 128 * 1024 };
        let (buffer, v5) = (vec![0; size], args.version == 5);
        let mut client = Self { stream, v5, buffer, filled: 0, out: Vec::new(), seen: Seen::default() };
        let mut body = vec![0, 4, b'M', b'Q', b'T', b'T', args.version, 2, 0, 60];
        if v5 {
            body.push(0);
        }
        put_text(&mut body, &args.client_id(index));
        client.put(0x10, &body);
        client.flush();
        while !client.seen.connack {
            client.turn();
        }
        client
    }

    fn subscribe(&mut self, filter: &str, qos: u8) {
        let mut body = vec![0, 1];
        if self.v5 {
            body.push(0);
        }
        put_text(&mut body, filter);
        body.push(qos);
        self.put(0x82, &body);
        self.flush();
        while !self.seen.suback {
            self.turn();
        }
    }

    fn publish(&mut self, topic: &str, qos: u8, index: u64, payload: &[u8]) {
        let length = 2 + topic.len() + if qos > 0 { 2 } else { 0 } + usize::from(self.v5) + payload.len();
        self.out.push(0x30 | qos << 1);
        put_length(&mut self.out, length);
        put_text(&mut self.out, topic);
        if qos > 0 {
            self.out.extend_from_slice(&((index % 65_535 + 1) as u16).to_be_bytes());
        }
        if self.v5 {
            self.out.push(0);
        }
        self.out.extend_from_slice(payload);
    }

    fn put(&mut self, first: u8, body: &[u8]) {
        self.out.push(first);
        put_length(&mut self.out, body.len());
        self.out.extend_from_slice(body);
    }

    fn flush(&mut self) {
        if !self.out.is_empty() {
            self.stream.write_all(&self.out).unwrap();
            self.out.clear();
        }
    }

    /// One read, all its packets, and one write with the answers.
    fn turn(&mut self) {
        self.read();
        self.flush();
    }

    /// One read and all its packets; the answers wait for the next write.
    fn read(&mut self) {
        let read = self.stream.read(&mut self.buffer[self.filled..]).unwrap();
        assert!(read > 0, "closed");
        self.filled += read;
        let mut at = 0;
        while let Some((header, whole)) = frame(&self.buffer[at..self.filled]) {
            let body = &self.buffer[at + header..at + whole];
            match self.buffer[at] >> 4 {
                2 => self.seen.connack = true,
                3 => {
                    let topic = 2 + usize::from(u16::from_be_bytes([body[0], body[1]]));
                    black_box(std::str::from_utf8(&body[2..topic]).unwrap());
                    match self.buffer[at] >> 1 & 3 {
                        0 => {}
                        1 => self.out.extend_from_slice(&[0x40, 2, body[topic], body[topic + 1]]),
                        _ => self.out.extend_from_slice(&[0x50, 2, body[topic], body[topic + 1]]),
                    }
                    self.seen.messages += 1;
                }
                4 | 7 => self.seen.acks += 1,
                5 => self.out.extend_from_slice(&[0x62, 2, body[0], body[1]]),
                6 => self.out.extend_from_slice(&[0x70, 2, body[0], body[1]]),
                9 => self.seen.suback = true,
                _ => {}
            }
            at += whole;
        }
        self.buffer.copy_within(at..self.filled, 0);
        self.filled -= at;
    }
}

fn frame(bytes: &[u8]) -> Option<(usize, usize)> {
    let mut length = 0;
    for (index, byte) in bytes.iter().skip(1).take(4).enumerate() {
        length |= usize::from(byte & 0x7f) << (7 * index);
        if byte & 0x80 == 0 {
            let whole = 2 + index + length;
            return (bytes.len() >= whole).then_some((2 + index, whole));
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

fn put_text(out: &mut Vec<u8>, text: &str) {
    out.extend_from_slice(&(text.len() as u16).to_be_bytes());
    out.extend_from_slice(text.as_bytes());
}

fn publish(args: &Args, mut run: Run) {
    let mut client = Client::connect(args, 0);
    let body = args.body();
    run.connected();
    run.begin();
    let mut sent = 0;
    let wanted = if args.qos == 0 { 1 } else { args.count };
    while client.seen.acks < wanted {
        while sent < args.count && (args.qos == 0 || sent - client.seen.acks < u64::from(args.window)) {
            client.publish(&args.topic, args.qos, sent, &body);
            sent += 1;
            if args.tune == 1 || client.out.len() >= 32 * 1024 {
                client.flush();
            }
        }
        if args.qos == 0 {
            client.publish(&args.topic, 1, 0, &body);
        }
        client.flush();
        client.turn();
        run.first();
    }
    run.end(args.count)
}

fn subscribe(args: &Args, mut run: Run) {
    let mut client = Client::connect(args, 0);
    run.connected();
    client.subscribe(&args.topic, args.qos);
    client.turn();
    run.first();
    run.begin();
    while client.seen.messages < args.count {
        client.turn();
    }
    run.end(args.count)
}

fn pingpong(args: &Args, mut run: Run) {
    let mut client = Client::connect(args, 0);
    run.connected();
    let (topic, body) = (args.echo_topic(), args.body());
    client.subscribe(&topic, 1);
    let mut latencies = Vec::new();
    run.begin();
    for index in 0..args.count {
        let start = Instant::now();
        client.publish(&topic, 1, index, &body);
        client.flush();
        while client.seen.messages <= index {
            client.read();
        }
        latencies.push(micros(start));
    }
    run.latencies(latencies);
    run.end(args.count)
}

fn idle(args: &Args, mut run: Run) {
    let mut clients = Vec::new();
    for index in 0..args.count {
        clients.push(Client::connect(args, index));
        if index == 0 {
            run.field("rss_one_kb", resident());
        }
    }
    run.field("rss_all_kb", resident());
    run.end(args.count)
}

fn main() {
    let args = Args::read();
    args.only(&[Transport::Tcp]);
    let run = Run::start(&args);
    match args.role {
        Role::Pub => publish(&args, run),
        Role::Sub => subscribe(&args, run),
        Role::Pingpong => pingpong(&args, run),
        Role::Idle => idle(&args, run),
    }
}
