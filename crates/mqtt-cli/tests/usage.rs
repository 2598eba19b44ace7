//! What is refused before anything is sent, and what is said then.

mod common;

use common::{mqtt, run, run_with_input};

#[test]
fn help_and_version_go_to_standard_output() {
    for args in [&["--help"][..], &["pub", "--help"], &["sub", "--help"]] {
        let ended = run(mqtt(args)).with(0);
        assert!(ended.text().contains("Exit codes:"), "{args:?}");
        assert!(ended.stderr.is_empty());
    }
    let ended = run(mqtt(&["--version"])).with(0);
    assert_eq!(ended.text(), concat!("mqtt ", env!("CARGO_PKG_VERSION"), "\n"));
}

#[test]
fn without_a_command_the_help_is_an_error() {
    let ended = run(mqtt(&[])).with(1);
    assert!(ended.stdout.is_empty() && ended.stderr.contains("Usage: mqtt <COMMAND>"));
}

#[test]
fn each_wrong_argument_is_one_line_that_names_it() {
    for (args, parts) in [
        (&["pub", "-t", "x"][..], &["--message"][..]),
        (&["pub", "-m", "x"], &["no topic", "-t"]),
        (&["pub", "-t", "", "-m", "x"], &["-t", "empty"]),
        (&["pub", "-t", "a/#", "-m", "x"], &["-t", "wildcard"]),
        (&["pub", "-t", "a", "-m", "x", "-q", "3"], &["--qos", "0..=2"]),
        (&["pub", "-t", "a", "-m", "x", "-L", "mqtt://localhost/b"], &["-t", "-L"]),
        (&["pub", "-t", "a", "-m", "x", "--psk", "00"], &["--psk", "TLS", "--cafile"]),
        (&["pub", "-t", "a", "-m", "x", "--unix", "/x", "-p", "1"], &["--unix", "--port"]),
        (&["sub"], &["nothing to subscribe to", "-t"]),
        (&["sub", "-t", "a/#/b"], &["-t", "'#'"]),
        (&["sub", "-t", "a+"], &["-t", "'+'"]),
        (&["sub", "-t", "$share/x"], &["-t", "$share"]),
        (&["sub", "-t", "a", "-U", "#a"], &["-U"]),
        (&["sub", "-t", "a", "-T", "#a"], &["-T"]),
        (&["sub", "-t", "a", "-c"], &["-c needs -i"]),
        (&["sub", "-t", "a", "-x", "-1"], &["-x -1 needs -i"]),
        (&["sub", "-t", "a", "-P", "secret"], &["-P needs -u"]),
        (&["sub", "-t", "a", "-V", "311", "-x", "5"], &["-x needs MQTT 5", "-V mqttv5"]),
        (&["sub", "-t", "a", "-V", "31", "--retain-as-published"], &["--retain-as-published needs MQTT 5"]),
        (&["sub", "-t", "a", "-V", "311", "-D", "connect", "receive-maximum", "1"], &["-D needs MQTT 5"]),
        (&["sub", "-t", "a", "-D", "connect", "receive-maximum", "0"], &["-D connect", "receive"]),
        (&["sub", "-t", "a", "-D", "will", "content-type", "x"], &["-D will needs --will-topic"]),
        (&["sub", "-t", "a", "-D", "publish", "content-type", "x"], &["-D publish", "mqtt pub"]),
        (
            &["pub", "-t", "a", "-n", "-D", "subscribe", "user-property", "x", "y"],
            &["-D subscribe", "mqtt sub"],
        ),
        (&["sub", "-t", "a", "--will-topic", "a/+"], &["--will-topic", "wildcard"]),
        (&["sub", "-t", "a", "-V", "31", "-i", "more-than-23-characters-long"], &["-i", "23"]),
        (&["sub", "-t", "a", "-F", "%z"], &["-F", "%z"]),
        (&["sub", "-t", "a", "-h", "localhost:1883"], &["-h", "-p"]),
        (&["sub", "-t", "a", "-L", "localhost"], &["-L", "mqtt://"]),
        (&["sub", "-t", "a", "-L", "http://localhost"], &["-L", "scheme"]),
        (&["sub", "-t", "a", "-L", "quic://localhost", "--ws"], &["--ws", "quic://"]),
        (&["sub", "-t", "a", "-L", "mqtt://localhost:99999"], &["-L", "port"]),
        (&["sub", "-t", "a", "-L", "mqtt://"], &["-L", "host"]),
        (&["pub", "-t", "a", "-f", "/nowhere/at all"], &["-f", "/nowhere/at all", "No such file"]),
        (&["pub", "-t", "a", "-f", "/"], &["-f", "directory"]),
    ] {
        let ended = run(mqtt(args));
        let ended = ended.with(1).saying(parts);
        assert!(ended.stdout.is_empty(), "{args:?}");
    }
}

#[test]
fn a_payload_above_the_limit_of_the_protocol_is_refused_before_it_is_read() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("large");
    let file = std::fs::File::create(&path).unwrap();
    file.set_len(268_435_456).unwrap();
    let path = path.to_str().unwrap();
    run(mqtt(&["pub", "-t", "a", "-f", path])).with(1).saying(&["-f", path, "268435455"]);
    // A device has no length; reading it must end all the same.
    run(mqtt(&["pub", "-t", "a", "-f", "/dev/zero"])).with(1).saying(&["/dev/zero", "268435455"]);
}

#[test]
fn a_server_that_is_not_there_is_unreachable() {
    let held = mqtt_testkit::port::PortHold::new().unwrap();
    let port = held.port().to_string();
    for version in common::VERSIONS {
        let args = ["-V", version, "-p", &port, "-t", "a", "-h", "127.0.0.1"];
        let address = format!("127.0.0.1:{port}");
        let publish = [&["pub", "-m", "x"][..], &args].concat();
        run(mqtt(&publish)).with(2).saying(&["mqtt pub:", &address, "refused", "-h and -p"]);
        let subscribe = [&["sub"][..], &args].concat();
        run(mqtt(&subscribe)).with(2).saying(&["mqtt sub:", &address]);
        let quiet = [&["sub", "--quiet"][..], &args].concat();
        assert_eq!(run(mqtt(&quiet)).with(2).stderr, "");
    }
    run_with_input(mqtt(&["pub", "-p", &port, "-t", "a", "-l"]), b"line\n").with(2);
    run(mqtt(&["sub", "-h", "no.such.host.invalid", "-t", "a"])).with(2).saying(&["no.such.host.invalid"]);
}
