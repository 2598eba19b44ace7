//! TLS, WebSocket, Unix sockets and proxies against mosquitto, by flags and by URLs.

mod common;
#[path = "common/proxy.rs"]
mod proxy;

use std::fs;
use std::io::{Read, Write};
use std::net::TcpListener;
use std::path::Path;

use common::{Ended, mqtt, run, start};
use mqtt_testkit::mosquitto::Mosquitto;
use mqtt_testkit::port::PortHold;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};
use tempfile::TempDir;

/// An authority `ca.pem`, which has issued `server` and `device`, each with its key.
fn certificates() -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.distinguished_name.push(DnType::CommonName, "authority");
    let authority = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
    fs::write(dir.path().join("ca.pem"), authority.pem()).unwrap();
    for (file, name) in [("server", "localhost"), ("device", "device")] {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new([name.to_owned()]).unwrap();
        params.distinguished_name.push(DnType::CommonName, name);
        fs::write(dir.path().join(format!("{file}.pem")), params.signed_by(&key, &authority).unwrap().pem())
            .unwrap();
        fs::write(dir.path().join(format!("{file}.key")), key.serialize_pem()).unwrap();
    }
    dir
}

fn file(dir: &TempDir, name: &str) -> String {
    dir.path().join(name).display().to_string()
}

/// mosquitto with one more listener, and that listener's port.
fn broker(lines: &[String]) -> (Mosquitto, String) {
    let port = PortHold::new().unwrap();
    let mut builder = Mosquitto::builder()
        .listener_config(&format!("listener {} 127.0.0.1", port.port()))
        .listener_config("allow_anonymous true");
    for line in lines {
        builder = builder.listener_config(line);
    }
    (builder.start(), port.port().to_string())
}

fn with_tls(dir: &TempDir) -> Vec<String> {
    let server = ["certfile", "keyfile"].into_iter().zip(["server.pem", "server.key"]);
    server.map(|(option, name)| format!("{option} {}", file(dir, name))).collect()
}

/// `mqtt sub` and `mqtt pub` with these flags: what the one says the other hears.
#[track_caller]
fn talk(flags: &[&str]) {
    let reader =
        start(mqtt(&[&["sub", "-d", "-t", "a/b", "-q", "1", "-C", "1", "-W", "20"], flags].concat()));
    reader.wait_for_stderr("subscribed");
    run(mqtt(&[&["pub", "-t", "a/b", "-q", "1", "-m", "hello"], flags].concat())).with(0);
    assert_eq!(reader.wait().with(0).text(), "hello\n", "{flags:?}");
}

fn publish(flags: &[&str]) -> Ended {
    run(mqtt(&[&["pub", "-t", "a", "-m", "x"], flags].concat()))
}

#[test]
fn tls_by_flags_and_by_url() {
    let dir = certificates();
    let (_broker, port) = broker(&with_tls(&dir));
    let ca = file(&dir, "ca.pem");
    talk(&["-h", "localhost", "-p", &port, "--cafile", &ca]);
    talk(&["-h", &format!("mqtts://localhost:{port}"), "--cafile", &ca, "-V", "mqttv5"]);
    talk(&["-p", &port, "--insecure"]);
}

#[test]
fn what_is_wrong_with_tls_is_said_with_what_to_do() {
    let dir = certificates();
    let (plain, port) = broker(&with_tls(&dir));
    let (ca, plain_port) = (file(&dir, "ca.pem"), plain.addr().port().to_string());
    let other = certificates();
    publish(&["-p", &port, "--cafile", &file(&other, "ca.pem")]).with(2).saying(&["certificate"]);
    publish(&["-p", &port, "--tls-use-os-certs"]).with(2).saying(&["nobody who is trusted", "--cafile"]);
    publish(&["-h", "127.0.0.1", "-p", &port, "--cafile", &ca]).with(2).saying(&["not for 127.0.0.1", "-h"]);
    publish(&["-p", &plain_port, "--cafile", &ca]).with(2).saying(&["TLS", "-p"]);
    publish(&["-p", &port, "--cafile", "/nonexistent.pem"]).with(1).saying(&["/nonexistent.pem"]);
    publish(&["--cert", "x.pem"]).with(1).saying(&["--key"]);
}

#[test]
fn a_client_certificate() {
    let dir = certificates();
    let ca = file(&dir, "ca.pem");
    let mut lines = with_tls(&dir);
    lines.extend([format!("cafile {ca}"), "require_certificate true".to_owned()]);
    let (_broker, port) = broker(&lines);
    talk(&[
        "-p",
        &port,
        "--cafile",
        &ca,
        "--cert",
        &file(&dir, "device.pem"),
        "--key",
        &file(&dir, "device.key"),
    ]);
    publish(&["-p", &port, "--cafile", &ca]).with(2).saying(&["client certificate", "--cert and --key"]);
}

#[test]
fn websocket_by_flag_and_by_url() {
    let dir = certificates();
    let (_broker, port) = broker(&["protocol websockets".to_owned()]);
    talk(&["--ws", "-h", "127.0.0.1", "-p", &port]);
    talk(&["-h", &format!("ws://127.0.0.1:{port}/any/path")]);
    let (_secure, port) = broker(&[with_tls(&dir), vec!["protocol websockets".to_owned()]].concat());
    let ca = file(&dir, "ca.pem");
    talk(&["--ws", "-h", "localhost", "-p", &port, "--cafile", &ca]);
    talk(&["-h", &format!("wss://localhost:{port}/mqtt"), "--cafile", &ca]);
}

#[test]
fn a_unix_socket_by_flag_and_by_url() {
    let dir = tempfile::tempdir().unwrap();
    let socket = file(&dir, "m.sock");
    let listener = format!("listener 0 {socket}");
    let broker = Mosquitto::builder().listener_config(&listener).listener_config("allow_anonymous true");
    let _broker = broker.start();
    talk(&["--unix", &socket]);
    talk(&["-h", &format!("unix://{socket}")]);
    let nothing = dir.path().join("nothing");
    publish(&["--unix", &Path::new(&nothing).display().to_string()]).with(2).saying(&["check the path"]);
}

/// Through proxies that want credentials, to a real broker, with every transport that goes by TCP.
#[test]
fn through_a_proxy() {
    let dir = certificates();
    let ca = file(&dir, "ca.pem");
    let (plain, secure) = broker(&with_tls(&dir));
    let (_websocket, websocket) = broker(&["protocol websockets".to_owned()]);
    let plain = plain_url(&plain);
    for (kind, scheme) in [(proxy::Kind::Socks5, "socks5"), (proxy::Kind::Http, "http")] {
        let port = proxy::start(kind);
        let url = |user: &str| format!("{scheme}://{user}127.0.0.1:{port}");
        let known = url("ann:s3cret@");
        talk(&["-h", &plain, "--proxy", &known]);
        talk(&["-h", &format!("mqtts://localhost:{secure}"), "--cafile", &ca, "--proxy", &known]);
        talk(&["-h", &format!("ws://localhost:{websocket}"), "--proxy", &known]);
        let without = publish(&["-h", &plain, "--proxy", &url("")]);
        without.with(2).saying(&["the proxy wants", "password"]);
        let wrong = publish(&["-h", &plain, "--proxy", &url("ann:public@")]);
        wrong.with(2).saying(&["the proxy", "password"]);
    }
}

fn plain_url(broker: &Mosquitto) -> String {
    format!("mqtt://localhost:{}", broker.addr().port())
}

/// A proxy that is not there, or dies while it is asked.
#[test]
fn a_proxy_that_does_not_live() {
    let port = PortHold::new().unwrap();
    let nobody = format!("http://{}", port.addr());
    publish(&["-h", "broker.example", "--proxy", &nobody]).with(2).saying(&["the proxy"]);
    for scheme in ["http", "socks5"] {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("{scheme}://{}", listener.local_addr().unwrap());
        let dying = std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            assert!(stream.read(&mut [0; 4096]).unwrap() > 0);
        });
        publish(&["-h", "broker.example", "--proxy", &url]).with(2).saying(&["the proxy"]);
        dying.join().unwrap();
    }
}

/// The proxy is asked for the server, and its refusal is told.
#[test]
fn a_proxy_that_refuses() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let proxy = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut asked = vec![0; 4096];
        let read = stream.read(&mut asked).unwrap();
        stream.write_all(b"HTTP/1.1 403 Forbidden\r\n\r\n").unwrap();
        String::from_utf8_lossy(&asked[..read]).into_owned()
    });
    publish(&["-h", "broker.example", "-p", "1884", "--proxy", &url])
        .with(2)
        .saying(&["the proxy does not allow"]);
    assert!(proxy.join().unwrap().starts_with("CONNECT broker.example:1884 HTTP/1.1"));
    publish(&["--proxy", "ftp://x"]).with(1).saying(&["--proxy", "socks5://"]);
}
