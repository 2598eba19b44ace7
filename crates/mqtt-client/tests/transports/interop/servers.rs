//! The brokers, each with its doors: a transport and a URL.

use crate::certificates::Certificates;
use crate::common::PROTOCOLS;
use crate::gates::{self, Layers};
use core::net::SocketAddr;
use core::time::Duration;
use mqtt_client::Protocol;
use mqtt_client::tls::TlsOptions;
use mqtt_testkit::broker::Broker;
use mqtt_testkit::mosquitto::Mosquitto;
use mqtt_testkit::port::PortHold;
use mqtt_testkit::proxy::Proxy;
use quinn::Endpoint;
use std::env;
use std::fs;
use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use tokio::net::TcpStream;
use tokio::time::sleep;

/// The largest payload that is worth trying, and the one where a server is slow or takes no more.
const LARGE: usize = 10 * 1024 * 1024;
const SMALL: usize = 4 * 1024;

pub(super) struct Server {
    pub(super) name: String,
    pub(super) doors: Vec<Arc<Door>>,
    _certificates: Arc<Certificates>,
    _process: Process,
}

/// One way into a server.
pub(super) struct Door {
    pub(super) transport: &'static str,
    /// The one version that is spoken there; `None` if the server finds out by itself.
    pub(super) only: Option<Protocol>,
    pub(super) url: String,
    pub(super) largest: usize,
    /// What can cut its connections, if they are TCP.
    pub(super) proxy: Option<Proxy>,
    pub(super) tls: Option<TlsOptions>,
}

/// What ends the server when it is dropped.
#[expect(dead_code, reason = "held, not used")]
enum Process {
    Mosquitto(Mosquitto),
    Testkit(Arc<Broker>, Endpoint),
    Child(Reaped),
}

/// A child process that does not outlive the test.
struct Reaped(Child);

impl Drop for Reaped {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Door {
    async fn new(transport: &'static str, url: &str, certificates: &Certificates) -> Arc<Self> {
        Self::of(transport, None, url, LARGE, certificates).await
    }

    async fn of(
        transport: &'static str,
        only: Option<Protocol>,
        url: &str,
        largest: usize,
        certificates: &Certificates,
    ) -> Arc<Self> {
        let (scheme, place) = url.split_once("://").unwrap();
        let secure = matches!(scheme, "mqtts" | "wss" | "quic");
        let (addr, path) = place.split_once('/').map_or((place, ""), |(addr, path)| (addr, path));
        let proxy = match (scheme, addr.parse::<SocketAddr>()) {
            ("mqtt" | "mqtts" | "ws" | "wss", Ok(addr)) => Some(Proxy::start(addr).await.unwrap()),
            _ => None,
        };
        let url = match &proxy {
            Some(proxy) => format!("{scheme}://{}/{path}", proxy.addr()),
            None => url.to_owned(),
        };
        let url = url.trim_end_matches('/').to_owned();
        let tls = secure.then(|| certificates.trusting());
        Arc::new(Self { transport, only, url, largest, proxy, tls })
    }

    pub(super) fn protocols(&self) -> Vec<Protocol> {
        self.only.map_or_else(|| PROTOCOLS.to_vec(), |only| vec![only])
    }
}

impl Server {
    pub(super) async fn mosquitto() -> Self {
        let certificates = Arc::new(Certificates::new());
        let file = |name: &str| certificates.file(name).display().to_string();
        let held = [(); 3].map(|()| PortHold::new().unwrap());
        let [tls, ws, wss] = held.each_ref().map(PortHold::port);
        let socket = file("mqtt.sock");
        let encrypted = format!("certfile {}\nkeyfile {}\n", file("server.pem"), file("server.key"));
        let broker = Mosquitto::builder()
            // Two small packets in a row would wait for each other's acknowledgement by TCP.
            .config("set_tcp_nodelay true")
            .config("max_queued_messages 0")
            .config("max_inflight_messages 1000")
            .listener_config(&format!("listener {tls} 127.0.0.1\nallow_anonymous true\n{encrypted}"))
            .listener_config(&format!("listener {ws}\nprotocol websockets\nallow_anonymous true"))
            .listener_config(&format!(
                "listener {wss}\nprotocol websockets\nallow_anonymous true\n{encrypted}"
            ))
            .listener_config(&format!("listener 0 {socket}\nallow_anonymous true"))
            .start();
        let local = |scheme, port| format!("{scheme}://127.0.0.1:{port}");
        let slow = async |transport, port| {
            Door::of(transport, None, &local(transport, port), SMALL, &certificates).await
        };
        let doors = vec![
            Door::new("tcp", &broker.url(), &certificates).await,
            Door::new("tls", &local("mqtts", tls), &certificates).await,
            slow("ws", ws).await,
            slow("wss", wss).await,
            Door::new("unix", &format!("unix://{socket}"), &certificates).await,
        ];
        Self {
            name: "mosquitto".into(),
            doors,
            _certificates: certificates,
            _process: Process::Mosquitto(broker),
        }
    }

    pub(super) async fn testkit() -> Self {
        let certificates = Arc::new(Certificates::new());
        let broker = Arc::new(Broker::builder().without_record().start().await.unwrap());
        let mut doors = vec![Door::new("tcp", &broker.url(), &certificates).await];
        for (transport, scheme, tls, websocket) in
            [("tls", "mqtts", true, false), ("ws", "ws", false, true), ("wss", "wss", true, true)]
        {
            let layers = Layers { tls, websocket, device: false };
            let port = gates::tcp(broker.clone(), certificates.clone(), layers).await;
            doors.push(Door::new(transport, &format!("{scheme}://127.0.0.1:{port}"), &certificates).await);
        }
        let socket = certificates.file("mqtt.sock");
        gates::unix(broker.clone(), &socket);
        doors.push(Door::new("unix", &format!("unix://{}", socket.display()), &certificates).await);
        let endpoint = gates::quic(broker.clone(), &certificates);
        let quic = format!("quic://{}", endpoint.local_addr().unwrap());
        doors.push(Door::new("quic", &quic, &certificates).await);
        Self {
            name: "testkit".into(),
            doors,
            _certificates: certificates,
            _process: Process::Testkit(broker, endpoint),
        }
    }

    /// NATS with its gate for MQTT.
    pub(super) async fn nats() -> Self {
        let certificates = Arc::new(Certificates::new());
        let file = |name: &str| certificates.file(name).display().to_string();
        let held = [(); 3].map(|()| PortHold::new().unwrap());
        let [own, mqtt, websocket] = held.each_ref().map(PortHold::port);
        // It has one gate for MQTT: TLS would take the place of TCP. Over WebSocket it is there beside.
        let encrypted = format!("cert_file: {:?}, key_file: {:?}", file("server.pem"), file("server.key"));
        let text = format!(
            "host: 127.0.0.1\nport: {own}\nserver_name: interop\njetstream {{ store_dir: {:?} }}\n\
             mqtt {{ host: 127.0.0.1, port: {mqtt} }}\n\
             websocket {{ host: 127.0.0.1, port: {websocket}, tls {{ {encrypted} }} }}\n",
            file("jetstream"),
        );
        fs::write(certificates.file("nats.conf"), text).unwrap();
        let program = env::var_os("MQTT_NATS_SERVER").unwrap_or_else(|| "nats-server".into());
        let child = Command::new(program)
            .args(["-c", &file("nats.conf"), "-l", &file("nats.log")])
            .stdin(Stdio::null())
            .spawn()
            .expect("nats-server starts: `cargo xtask brokers` says how to get it");
        let child = Reaped(child);
        for port in [mqtt, websocket] {
            listens(port, || fs::read_to_string(file("nats.log")).unwrap_or_default()).await;
        }
        let doors = vec![
            Door::new("tcp", &format!("mqtt://127.0.0.1:{mqtt}"), &certificates).await,
            Door::new("wss", &format!("wss://127.0.0.1:{websocket}/mqtt"), &certificates).await,
        ];
        Self { name: "nats".into(), doors, _certificates: certificates, _process: Process::Child(child) }
    }

    /// A broker in a program of `xtask/brokers`, which is given certificate and key and says where it listens. The
    /// command stands in `MQTT_BROKER_` and its name.
    pub(super) async fn hosted(name: &str) -> Self {
        let certificates = Arc::new(Certificates::new());
        let variable = format!("MQTT_BROKER_{}", name.to_uppercase());
        let command = env::var(&variable)
            .unwrap_or_else(|_| panic!("{variable} is not set: run `cargo xtask brokers`"));
        let mut words = command.split('\n');
        let mut child = Command::new(words.next().unwrap())
            .args(words)
            .args([certificates.file("server.pem"), certificates.file("server.key")])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("the broker starts");
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let child = Reaped(child);
        let mut doors = Vec::new();
        for line in lines.map(Result::unwrap).take_while(|line| !line.is_empty()) {
            let (place, url) = line.split_once(' ').unwrap_or_else(|| panic!("{line:?} is no door"));
            let (scheme, version) = place.split_once('-').unwrap_or((place, ""));
            let transport = match scheme {
                "mqtt" => "tcp",
                "mqtts" => "tls",
                "ws" => "ws",
                "wss" => "wss",
                "quic" => "quic",
                other => panic!("{other} is no scheme"),
            };
            let only = PROTOCOLS.into_iter().find(|protocol| protocol.to_string() == version);
            let addr = url.split("://").nth(1).and_then(|place| place.split('/').next()).unwrap();
            if let (true, Ok(addr)) = (scheme != "quic", addr.parse::<SocketAddr>()) {
                listens(addr.port(), String::new).await;
            }
            doors.push(Door::of(transport, only, url, LARGE, &certificates).await);
        }
        assert!(!doors.is_empty(), "{name} has not started");
        Self { name: name.into(), doors, _certificates: certificates, _process: Process::Child(child) }
    }
}

/// Waits until somebody listens there.
async fn listens(port: u16, log: impl Fn() -> String) {
    for _ in 0..1000 {
        if TcpStream::connect(("127.0.0.1", port)).await.is_ok() {
            return;
        }
        sleep(Duration::from_millis(10)).await;
    }
    panic!("nobody listens on {port} after ten seconds: {}", log());
}
