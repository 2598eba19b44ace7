//! What every measured client shares: one command line in, one line of JSON out.

use clap::{Parser, ValueEnum};
use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::time::TimeVal;
use serde_json::{Map, Value, json};
use std::path::PathBuf;
use std::time::{Duration, Instant};

#[derive(Clone, Debug, Parser)]
pub struct Args {
    #[arg(long, default_value = "127.0.0.1")]
    pub host: String,
    #[arg(long, default_value_t = 18899)]
    pub port: u16,
    /// What is between MQTT and TCP; the sink listens for each on a port of its own
    #[arg(long, value_enum, default_value_t = Transport::Tcp)]
    pub transport: Transport,
    /// The certificate that the sink's is issued by, in PEM: the sink writes this file
    #[arg(long, default_value = "")]
    pub ca: String,
    /// 4 is 3.1.1, 5 is 5.0
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u8).range(4..=5))]
    pub version: u8,
    #[arg(long, default_value_t = 0, value_parser = clap::value_parser!(u8).range(0..=2))]
    pub qos: u8,
    /// Bytes of one payload
    #[arg(long, default_value_t = 64)]
    pub payload: usize,
    /// Messages, round trips or connections
    #[arg(long, default_value_t = 1000)]
    pub count: u64,
    /// Messages that may be on their way without an acknowledgement
    #[arg(long, default_value_t = 100)]
    pub window: u16,
    #[arg(long, value_enum, default_value_t = Role::Pub)]
    pub role: Role,
    #[arg(long, default_value = "bench/dev-00001/temp")]
    pub topic: String,
    /// Worker threads of the runtime; 1 is a current-thread runtime
    #[arg(long, default_value_t = 1)]
    pub threads: usize,
    /// Tasks that publish, each waiting for its acknowledgement where the library lets it
    #[arg(long, default_value_t = 1)]
    pub tasks: u64,
    /// Seconds after which the process gives up
    #[arg(long, default_value_t = 60)]
    pub timeout: u64,
    /// A knob of the library's own; 0 is its default
    #[arg(long, default_value_t = 0)]
    pub tune: usize,
    /// Keep what is not delivered in this directory, where the library can
    #[arg(long)]
    pub store: Option<PathBuf>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Role {
    /// Publish all messages and wait for the last acknowledgement
    Pub,
    /// Subscribe to the topic and take all messages
    Sub,
    /// Publish one message at a time and wait until it comes back
    Pingpong,
    /// Hold connections, and do nothing with them
    Idle,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Transport {
    Tcp,
    Tls,
    Ws,
    Wss,
}

impl Transport {
    pub const ALL: [Self; 4] = [Self::Tcp, Self::Tls, Self::Ws, Self::Wss];

    /// The sink's port for it, from the first of its ports.
    pub fn port(self, first: u16) -> u16 {
        first + self as u16
    }

    pub fn has_tls(self) -> bool {
        matches!(self, Self::Tls | Self::Wss)
    }

    pub fn has_websocket(self) -> bool {
        matches!(self, Self::Ws | Self::Wss)
    }
}

impl Args {
    /// The port of the transport.
    pub fn port(&self) -> u16 {
        self.transport.port(self.port)
    }

    pub fn ca_pem(&self) -> Vec<u8> {
        std::fs::read(&self.ca).unwrap()
    }

    /// Ends the process as a failure if the client was not taught this transport.
    pub fn only(&self, transports: &[Transport]) {
        if !transports.contains(&self.transport) {
            println!("{}", json!({ "error": "does not have this transport, or not here" }));
            std::process::exit(4);
        }
    }

    /// Reads the command line. From here on the process has a limit, whatever the library under test does.
    pub fn read() -> Self {
        let args = Self::parse();
        args.limit();
        args
    }

    /// The same for those with a command line of their own.
    pub fn limit(&self) {
        let timeout = self.timeout;
        std::thread::spawn(move || {
            std::thread::sleep(Duration::from_secs(timeout));
            println!("{}", json!({ "error": format!("not done after {timeout} s") }));
            std::process::exit(3);
        });
    }

    pub fn body(&self) -> Vec<u8> {
        b"{\"celsius\":23.5} ".iter().copied().cycle().take(self.payload).collect()
    }

    /// What is published here, the sink sends back.
    pub fn echo_topic(&self) -> String {
        format!("echo/{}", std::process::id())
    }

    pub fn client_id(&self, index: u64) -> String {
        format!("b{}-{index}", std::process::id())
    }

    #[cfg(feature = "tokio")]
    pub fn block_on<F: Future>(&self, future: F) -> F::Output {
        use tokio::runtime::Builder;
        let mut builder = match self.threads {
            0 | 1 => Builder::new_current_thread(),
            threads => {
                let mut builder = Builder::new_multi_thread();
                builder.worker_threads(threads);
                builder
            }
        };
        builder.enable_all().build().unwrap().block_on(future)
    }
}

/// Times and reports one run: `start`, `connected`, perhaps `first`, `begin`, `end`.
pub struct Run {
    args: Args,
    start: Instant,
    begin: Instant,
    cpu: Cpu,
    seen_first: bool,
    fields: Map<String, Value>,
}

impl Run {
    pub fn start(args: &Args) -> Self {
        let now = Instant::now();
        Self {
            args: args.clone(),
            start: now,
            begin: now,
            cpu: Cpu::now(),
            seen_first: false,
            fields: Map::new(),
        }
    }

    /// The server has accepted the connection.
    pub fn connected(&mut self) {
        self.field("connect_us", micros(self.start));
    }

    /// The first acknowledgement or message has come. Later calls change nothing.
    #[inline]
    pub fn first(&mut self) {
        if !self.seen_first {
            self.seen_first = true;
            self.field("first_us", micros(self.start));
        }
    }

    /// What counts starts now.
    pub fn begin(&mut self) {
        self.cpu = Cpu::now();
        self.begin = Instant::now();
    }

    pub fn field(&mut self, name: &str, value: impl Into<Value>) {
        self.fields.insert(name.to_owned(), value.into());
    }

    pub fn latencies(&mut self, mut micros: Vec<f64>) {
        micros.sort_by(f64::total_cmp);
        let at = |share: f64| micros[((micros.len() - 1) as f64 * share) as usize];
        let (p50, p99) = (at(0.5), at(0.99));
        self.field("p50_us", p50);
        self.field("p99_us", p99);
    }

    /// Prints the line and ends the process: what a library does when it is dropped is not measured.
    pub fn end(mut self, done: u64) -> ! {
        let wall = self.begin.elapsed().as_secs_f64();
        let cpu = Cpu::now();
        let (user, system) = (cpu.user - self.cpu.user, cpu.system - self.cpu.system);
        self.field("count", self.args.count);
        self.field("done", done);
        self.field("wall_s", wall);
        self.field("user_s", user);
        self.field("sys_s", system);
        self.field("msgs_per_s", done as f64 / wall);
        self.field("cpu_us_per_msg", (user + system) * 1e6 / done.max(1) as f64);
        println!("{}", Value::Object(self.fields));
        std::process::exit(0)
    }
}

struct Cpu {
    user: f64,
    system: f64,
}

impl Cpu {
    /// Of all threads of this process.
    fn now() -> Self {
        let usage = getrusage(UsageWho::RUSAGE_SELF).unwrap();
        let seconds = |time: TimeVal| time.tv_sec() as f64 + time.tv_usec() as f64 / 1e6;
        Self { user: seconds(usage.user_time()), system: seconds(usage.system_time()) }
    }
}

pub fn micros(since: Instant) -> f64 {
    since.elapsed().as_secs_f64() * 1e6
}

/// Resident memory in KiB.
pub fn resident() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    line.and_then(|line| line.split_whitespace().next()?.parse().ok()).unwrap()
}
