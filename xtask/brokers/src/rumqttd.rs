//! `rumqttd-broker CERTIFICATE KEY`: rumqttd on loopback ports of its choice, one for each version that it speaks. It
//! prints one line `SCHEME[-VERSION] URL` for each, then an empty one, and ends when its input does: with whoever
//! started it.

use rumqttd::{Broker, Config};
use serde_json::{Value, json};
use std::net::{TcpListener, TcpStream};
use std::time::Duration;
use std::{env, error, io, process, thread};

fn main() -> Result<(), Box<dyn error::Error>> {
    let [certificate, key] = env::args()
        .skip(1)
        .collect::<Vec<_>>()
        .try_into()
        .map_err(|_| "usage: rumqttd-broker CERTIFICATE KEY")?;
    let ports = free_ports()?;
    let tls = json!({ "capath": null, "certpath": certificate, "keypath": key });
    let config: Config = serde_json::from_value(json!({
        "id": 0,
        "router": {
            "id": 0,
            "max_connections": 1000,
            "max_outgoing_packet_count": 200,
            "max_segment_size": 100 << 20,
            "max_segment_count": 10,
        },
        "v4": { "plain": server("v4", ports[0], &Value::Null), "tls": server("v4s", ports[1], &tls) },
        "v5": { "plain": server("v5", ports[2], &Value::Null), "tls": server("v5s", ports[3], &tls) },
        "ws": { "plain": server("ws", ports[4], &Value::Null) },
    }))?;
    let mut broker = Broker::new(config);
    thread::spawn(move || {
        if let Err(error) = broker.start() {
            eprintln!("{error}");
        }
        process::exit(1);
    });
    // Before anybody hears of them, who might take one for something else.
    ports.iter().for_each(|port| listens(*port));
    for (scheme, version, port) in [
        ("mqtt", "3.1.1", ports[0]),
        ("mqtts", "3.1.1", ports[1]),
        ("mqtt", "5.0", ports[2]),
        ("mqtts", "5.0", ports[3]),
        ("ws", "3.1.1", ports[4]),
    ] {
        println!("{scheme}-{version} {scheme}://127.0.0.1:{port}");
    }
    println!();
    // Whether it ends or breaks: nobody is there any more.
    let _ = io::copy(&mut io::stdin(), &mut io::sink());
    Ok(())
}

fn server(name: &str, port: u16, tls: &Value) -> Value {
    json!({
        "name": name,
        "listen": format!("127.0.0.1:{port}"),
        "tls": tls,
        "next_connection_delay_ms": 1,
        "connections": {
            "connection_timeout_ms": 5000,
            "max_payload_size": 32 << 20,
            "max_inflight_count": 100,
            "dynamic_filters": true,
        },
    })
}

fn listens(port: u16) {
    while TcpStream::connect(("127.0.0.1", port)).is_err() {
        thread::sleep(Duration::from_millis(10));
    }
}

/// It wants to be told its ports: free ones a moment ago.
fn free_ports() -> io::Result<[u16; 5]> {
    let listeners = [(); 5].map(|()| TcpListener::bind(("127.0.0.1", 0)));
    let mut ports = [0; 5];
    for (port, listener) in ports.iter_mut().zip(listeners) {
        *port = listener?.local_addr()?.port();
    }
    Ok(ports)
}
