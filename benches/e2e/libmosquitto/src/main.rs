//! libmosquitto as the system has it, on one thread, in its own `mosquitto_loop`. Needs its development files.
//!
//! Its functions are declared by hand: they are few.

use e2e_common::{Args, Role, Run, Transport, micros, resident};
use std::ffi::{CString, c_char, c_int, c_void};
use std::hint::black_box;
use std::ptr::{null, null_mut};
use std::time::{Duration, Instant};

#[repr(C)]
struct Mosquitto(c_void);

#[repr(C)]
struct Message {
    id: c_int,
    topic: *mut c_char,
    payload: *mut c_void,
    payload_length: c_int,
    qos: c_int,
    retain: bool,
}

#[link(name = "mosquitto")]
unsafe extern "C" {
    fn mosquitto_lib_init() -> c_int;
    fn mosquitto_new(id: *const c_char, clean: bool, context: *mut c_void) -> *mut Mosquitto;
    fn mosquitto_int_option(client: *mut Mosquitto, option: c_int, value: c_int) -> c_int;
    fn mosquitto_max_inflight_messages_set(client: *mut Mosquitto, messages: u32) -> c_int;
    fn mosquitto_tls_set(
        client: *mut Mosquitto,
        ca_file: *const c_char,
        ca_path: *const c_char,
        certificate: *const c_char,
        key: *const c_char,
        password: Option<extern "C" fn(*mut c_char, c_int, c_int, *mut c_void) -> c_int>,
    ) -> c_int;
    fn mosquitto_connect(
        client: *mut Mosquitto,
        host: *const c_char,
        port: c_int,
        keep_alive: c_int,
    ) -> c_int;
    fn mosquitto_connect_callback_set(
        client: *mut Mosquitto,
        callback: extern "C" fn(*mut Mosquitto, *mut c_void, c_int),
    );
    fn mosquitto_publish_callback_set(
        client: *mut Mosquitto,
        callback: extern "C" fn(*mut Mosquitto, *mut c_void, c_int),
    );
    fn mosquitto_message_callback_set(
        client: *mut Mosquitto,
        callback: extern "C" fn(*mut Mosquitto, *mut c_void, *const Message),
    );
    fn mosquitto_subscribe_callback_set(
        client: *mut Mosquitto,
        callback: extern "C" fn(*mut Mosquitto, *mut c_void, c_int, c_int, *const c_int),
    );
    fn mosquitto_publish(
        client: *mut Mosquitto,
        id: *mut c_int,
        topic: *const c_char,
        length: c_int,
        payload: *const c_void,
        qos: c_int,
        retain: bool,
    ) -> c_int;
    fn mosquitto_subscribe(
        client: *mut Mosquitto,
        id: *mut c_int,
        filter: *const c_char,
        qos: c_int,
    ) -> c_int;
    fn mosquitto_loop(client: *mut Mosquitto, timeout_ms: c_int, packets: c_int) -> c_int;
}

/// From the C header.
const PROTOCOL_VERSION: c_int = 1;
const RECEIVE_MAXIMUM: c_int = 4;
const SEND_MAXIMUM: c_int = 5;
const TCP_NODELAY: c_int = 11;

/// What the callbacks have seen.
#[derive(Clone, Copy, Default)]
struct Seen {
    connected: bool,
    subscribed: bool,
    acknowledged: u64,
    messages: u64,
}

/// SAFETY of all callbacks: the context is the `Seen` that the client was made with and that is never freed; the library
/// calls from within `mosquitto_loop` and `mosquitto_publish`, on the only thread, while no reference to it exists.
extern "C" fn on_connect(_: *mut Mosquitto, seen: *mut c_void, code: c_int) {
    assert_eq!(code, 0);
    unsafe { (*seen.cast::<Seen>()).connected = true }
}

extern "C" fn on_publish(_: *mut Mosquitto, seen: *mut c_void, _: c_int) {
    unsafe { (*seen.cast::<Seen>()).acknowledged += 1 }
}

extern "C" fn on_message(_: *mut Mosquitto, seen: *mut c_void, message: *const Message) {
    unsafe {
        black_box((*message).payload);
        (*seen.cast::<Seen>()).messages += 1;
    }
}

extern "C" fn on_subscribe(_: *mut Mosquitto, seen: *mut c_void, _: c_int, _: c_int, _: *const c_int) {
    unsafe { (*seen.cast::<Seen>()).subscribed = true }
}

/// Lives as long as the process.
struct Client {
    raw: *mut Mosquitto,
    seen: *mut Seen,
}

impl Client {
    fn connect(args: &Args, index: u64) -> Self {
        let (id, host) = (c_string(&args.client_id(index)), c_string(&args.host));
        let (window, seen) = (c_int::from(args.window), Box::into_raw(Box::new(Seen::default())));
        // SAFETY: the strings live until the calls return; the callbacks have the types that the header gives them.
        let client = unsafe {
            let raw = mosquitto_new(id.as_ptr(), true, seen.cast());
            assert!(!raw.is_null());
            mosquitto_int_option(raw, PROTOCOL_VERSION, args.version.into());
            mosquitto_int_option(raw, TCP_NODELAY, 1);
            if args.version == 5 {
                mosquitto_int_option(raw, SEND_MAXIMUM, window);
                mosquitto_int_option(raw, RECEIVE_MAXIMUM, 65_535);
            } else {
                mosquitto_max_inflight_messages_set(raw, args.window.into());
            }
            mosquitto_connect_callback_set(raw, on_connect);
            mosquitto_publish_callback_set(raw, on_publish);
            mosquitto_message_callback_set(raw, on_message);
            mosquitto_subscribe_callback_set(raw, on_subscribe);
            if args.transport == Transport::Tls {
                let ca = c_string(&args.ca);
                assert_eq!(mosquitto_tls_set(raw, ca.as_ptr(), null(), null(), null(), None), 0);
            }
            assert_eq!(mosquitto_connect(raw, host.as_ptr(), args.port().into(), 60), 0);
            Self { raw, seen }
        };
        while !client.seen().connected {
            client.turn(100);
        }
        client
    }

    fn seen(&self) -> Seen {
        // SAFETY: never freed, and copied out.
        unsafe { *self.seen }
    }

    fn turn(&self, timeout_ms: c_int) {
        // SAFETY: `raw` is a client that was never destroyed.
        assert_eq!(unsafe { mosquitto_loop(self.raw, timeout_ms, 1) }, 0);
    }

    fn publish(&self, topic: &CString, body: &[u8], qos: u8) {
        let (payload, length) = (body.as_ptr().cast(), body.len() as c_int);
        // SAFETY: the library copies topic and payload.
        let result = unsafe {
            mosquitto_publish(self.raw, null_mut(), topic.as_ptr(), length, payload, qos.into(), false)
        };
        assert_eq!(result, 0);
    }

    fn subscribe(&self, filter: &str, qos: u8) {
        let filter = c_string(filter);
        // SAFETY: the library copies the filter.
        unsafe { mosquitto_subscribe(self.raw, null_mut(), filter.as_ptr(), qos.into()) };
        while !self.seen().subscribed {
            self.turn(100);
        }
    }
}

fn c_string(text: &str) -> CString {
    CString::new(text).unwrap()
}

fn publish(args: &Args, mut run: Run) {
    let (topic, body) = (c_string(&args.topic), args.body());
    let client = Client::connect(args, 0);
    run.connected();
    run.begin();
    let mut sent = 0;
    // Without QoS a message counts as acknowledged once it is written.
    while client.seen().acknowledged < args.count {
        while sent < args.count && sent - client.seen().acknowledged < u64::from(args.window) {
            client.publish(&topic, &body, args.qos);
            sent += 1;
        }
        client.turn(if args.qos == 0 { 0 } else { 100 });
        if client.seen().acknowledged > 0 {
            run.first();
        }
    }
    if args.qos == 0 {
        client.publish(&topic, &body, 1);
        while client.seen().acknowledged <= args.count {
            client.turn(100);
        }
    }
    run.end(args.count)
}

fn subscribe(args: &Args, mut run: Run) {
    let client = Client::connect(args, 0);
    run.connected();
    client.subscribe(&args.topic, args.qos);
    while client.seen().messages == 0 {
        client.turn(100);
    }
    run.first();
    run.begin();
    while client.seen().messages < args.count {
        client.turn(100);
    }
    run.end(args.count)
}

fn pingpong(args: &Args, mut run: Run) {
    let (topic, body) = (args.echo_topic(), args.body());
    let client = Client::connect(args, 0);
    run.connected();
    client.subscribe(&topic, 1);
    let topic = c_string(&topic);
    let mut latencies = Vec::new();
    run.begin();
    for index in 0..args.count {
        let start = Instant::now();
        client.publish(&topic, &body, 1);
        while client.seen().messages <= index {
            client.turn(100);
        }
        latencies.push(micros(start));
    }
    run.latencies(latencies);
    run.end(args.count)
}

fn idle(args: &Args, mut run: Run) {
    for index in 0..args.count {
        Client::connect(args, index);
        if index == 0 {
            run.field("rss_one_kb", resident());
        }
    }
    std::thread::sleep(Duration::from_millis(500));
    run.field("rss_all_kb", resident());
    run.end(args.count)
}

fn main() {
    let args = Args::read();
    args.only(&[Transport::Tcp, Transport::Tls]);
    let run = Run::start(&args);
    // SAFETY: the first call into the library.
    unsafe { mosquitto_lib_init() };
    match args.role {
        Role::Pub => publish(&args, run),
        Role::Sub => subscribe(&args, run),
        Role::Pingpong => pingpong(&args, run),
        Role::Idle => idle(&args, run),
    }
}
