//! What may stand in which source file.

use super::Finding;
use crate::source::{Import, Line, has_word, imports, lines};

/// The crates that see no clock, no socket and no task.
const CORES: &[&str] = &["crates/mqtt-codec/src/", "crates/mqtt-session/src/"];
/// The one file of them that may name tokio and std's I/O errors: it is behind the feature `tokio-util`.
const TOKIO_FEATURE: &str = "crates/mqtt-codec/src/tokio_codec.rs";
/// What no file of a core may name, as path or import.
const OUTSIDE_WORLD: &[&str] =
    &["std::time", "std::net", "std::thread", "std::io", "std::fs", "std::env", "std::process"];
/// Vectored writes need this one type; it is behind the codec's feature `std`.
const IO_SLICE: &str = "std::io::IoSlice";
/// Where packets are out of sight.
const ABOVE_THE_SESSION: &[&str] = &["crates/mqtt-client/src/", "crates/mqtt-cli/src/"];
const OPEN_MACROS: &[&str] = &["todo!", "unimplemented!"];
const OPEN_MARKS: &[&str] = &["TODO", "FIXME"];

/// Checks one source file; `path` is relative to the top of the workspace and chooses the rules.
pub(super) fn check(path: &str, text: &str) -> Vec<Finding> {
    let lines = lines(text);
    let imports = imports(&lines);
    let inside = |folders: &[&str]| folders.iter().any(|folder| path.starts_with(folder));
    let mut breaches = Vec::new();
    if inside(CORES) && path != TOKIO_FEATURE {
        no_outside_world(&lines, &imports, &mut breaches);
    }
    if inside(ABOVE_THE_SESSION) {
        no_packets(&lines, &imports, &mut breaches);
    }
    if path.starts_with("crates/") && path.contains("/src/") && !path.starts_with("crates/mqtt-testkit/") {
        no_testkit(&lines, &mut breaches);
    }
    if inside(&["crates/", "xtask/"]) {
        no_shortcut_imports(&lines, &imports, &mut breaches);
    }
    nothing_left_open(&lines, &mut breaches);
    breaches.into_iter().map(|(line, rule, why)| Finding::new(path, line, rule, why)).collect()
}

type Breach = (usize, &'static str, String);

/// Numbered from 1, as editors do.
fn numbered(lines: &[Line]) -> impl Iterator<Item = (usize, &Line)> {
    lines.iter().enumerate().map(|(at, line)| (at + 1, line))
}

fn no_outside_world(lines: &[Line], imports: &[Import], breaches: &mut Vec<Breach>) {
    const RULE: &str = "sans-io";
    let mut refuse = |line: usize, what: &str| {
        let why =
            format!("{what}: the codec and the session see no clock, socket, file or task; the caller does");
        breaches.push((line, RULE, why));
    };
    for Import { line, path, .. } in imports {
        let under = |parent: &&&str| {
            path.strip_prefix(**parent).is_some_and(|rest| rest.is_empty() || rest.starts_with("::"))
        };
        if let Some(parent) = OUTSIDE_WORLD.iter().find(under)
            && path != IO_SLICE
        {
            refuse(*line, parent);
        }
    }
    for (number, line) in numbered(lines) {
        let code = line.code.replace(IO_SLICE, "");
        let is_use = code.trim_start().starts_with("use ") || code.trim_start().starts_with("pub use ");
        if !is_use && let Some(parent) = OUTSIDE_WORLD.iter().find(|parent| has_word(&code, parent)) {
            refuse(number, parent);
        }
        if has_word(&code, "tokio") || has_word(&code, "tokio_util") {
            refuse(number, "tokio");
        }
        if code.contains("Instant::now") || has_word(&code, "SystemTime") {
            refuse(number, "a clock");
        }
    }
}

fn no_packets(lines: &[Line], imports: &[Import], breaches: &mut Vec<Breach>) {
    const RULE: &str = "no-packets";
    for (number, line) in numbered(lines) {
        if has_word(&line.code, "Packet") {
            breaches.push((number, RULE, "above the session nobody sees a packet".into()));
        }
    }
    for Import { line, public, path } in imports {
        let last = path.rsplit("::").next().unwrap_or(path);
        let from_below = ["mqtt_session", "mqtt_codec"].iter().any(|name| path.starts_with(name));
        if *public && from_below && matches!(last, "*" | "self" | "mqtt_session" | "mqtt_codec") {
            breaches.push((*line, RULE, format!("`pub use {path}` would show `Packet`: name what is meant")));
        }
    }
}

fn no_testkit(lines: &[Line], breaches: &mut Vec<Breach>) {
    for (number, line) in numbered(lines) {
        if has_word(&line.code, "mqtt_testkit") {
            breaches.push((number, "testkit", "the testkit is for tests/ and examples/ only".into()));
        }
    }
}

/// `use crate::Item` goes up to lib.rs and down again; `use crate::file::Item` keeps imports pointing down.
fn no_shortcut_imports(lines: &[Line], imports: &[Import], breaches: &mut Vec<Breach>) {
    const RULE: &str = "import";
    let is_item = |rest: &str| rest.starts_with(|c: char| c.is_uppercase());
    let mut refuse = |line, path: &str| {
        breaches.push((
            line,
            RULE,
            format!("`{path}`: import from the file that defines the item, not through lib.rs"),
        ));
    };
    for Import { line, path, .. } in imports {
        if path.strip_prefix("crate::").is_some_and(is_item) {
            refuse(*line, path);
        }
    }
    for (number, line) in numbered(lines) {
        let is_use = line.code.contains("use ");
        for (at, prefix) in line.code.match_indices("crate::") {
            let rest = &line.code[at + prefix.len()..];
            if !is_use && is_item(rest) && !line.code[..at].ends_with('$') {
                let name: String = rest.chars().take_while(|c| crate::source::is_word(*c)).collect();
                refuse(number, &format!("crate::{name}"));
            }
        }
    }
}

fn nothing_left_open(lines: &[Line], breaches: &mut Vec<Breach>) {
    const RULE: &str = "left-open";
    for (number, line) in numbered(lines) {
        let mark = OPEN_MARKS.iter().find(|mark| has_word(&line.comment, mark));
        let call = OPEN_MACROS.iter().find(|name| line.code.contains(**name));
        if let Some(what) = mark.or(call) {
            breaches.push((number, RULE, format!("{what}: finish it, or write an issue")));
        }
        if line.code.contains("#[ignore") {
            breaches.push((number, RULE, "#[ignore]: a test runs, or is not there".into()));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The rules that `text` breaks, each with its line.
    fn broken(path: &str, text: &str) -> Vec<(usize, &'static str)> {
        let mut found: Vec<_> =
            check(path, text).iter().map(|finding| (finding.line, finding.rule)).collect();
        found.sort_unstable();
        found
    }

    #[test]
    fn a_core_sees_no_outside_world() {
        let session = "crates/mqtt-session/src/time.rs";
        for planted in [
            "use std::time::Duration;",
            "use std::{\n    collections::HashMap,\n    net,\n};",
            "fn f(t: std::time::Instant) {}",
            "use std::io;",
            "let t = Instant::now();",
            "use tokio::time;",
            "use tokio_util::codec::Decoder;",
            "fn f() -> SystemTime {}",
        ] {
            assert_eq!(broken(session, planted), [(1, "sans-io")], "{planted}");
            assert!(broken("crates/mqtt-client/src/driver.rs", planted).is_empty(), "{planted}");
        }
        for fine in [
            "// std::time is not used",
            "let s = \"std::net\";",
            "use core::time::Duration;",
            "mod tokio_codec;",
        ] {
            assert!(broken(session, fine).is_empty(), "{fine}");
        }
    }

    #[test]
    fn the_codec_has_its_two_exceptions() {
        assert!(
            broken("crates/mqtt-codec/src/wire_buf.rs", "use std::io::IoSlice;\nf(&[std::io::IoSlice]);")
                .is_empty()
        );
        assert!(broken(TOKIO_FEATURE, "use std::io;\nuse tokio_util::codec::Encoder;").is_empty());
        assert_eq!(
            broken("crates/mqtt-codec/src/wire_buf.rs", "use std::io::{IoSlice, Write};"),
            [(1, "sans-io")]
        );
    }

    #[test]
    fn the_client_shows_no_packet() {
        let client = "crates/mqtt-client/src/lib.rs";
        assert_eq!(broken(client, "\npub use mqtt_session::codec::Packet;"), [(2, "no-packets")]);
        assert_eq!(broken(client, "pub use mqtt_session::*;"), [(1, "no-packets")]);
        assert_eq!(broken(client, "pub use mqtt_session;"), [(1, "no-packets")]);
        assert_eq!(broken(client, "fn on(packet: Packet) {}"), [(1, "no-packets")]);
        assert!(broken(client, "pub use mqtt_session::{QoS, PacketId};").is_empty());
        assert!(broken("crates/mqtt-session/src/link.rs", "fn on(packet: Packet) {}").is_empty());
    }

    #[test]
    fn the_testkit_stays_in_tests() {
        assert_eq!(broken("crates/mqtt-client/src/lib.rs", "use mqtt_testkit::Broker;"), [(1, "testkit")]);
        assert!(broken("crates/mqtt-client/src/lib.rs", "//! use mqtt_testkit::Broker;").is_empty());
        assert!(broken("crates/mqtt-client/tests/end_to_end.rs", "use mqtt_testkit::Broker;").is_empty());
    }

    #[test]
    fn imports_come_from_the_defining_file() {
        let path = "crates/mqtt-session/src/link.rs";
        assert_eq!(broken(path, "use crate::DecodeError;"), [(1, "import")]);
        assert_eq!(broken(path, "use crate::{\n    time::Instant,\n    Session,\n};"), [(1, "import")]);
        assert_eq!(broken(path, "\nfn f() -> crate::Session {}"), [(2, "import")]);
        assert!(broken(path, "use crate::error::DecodeError;\nlet x = $crate::Session;").is_empty());
    }

    #[test]
    fn nothing_is_left_open() {
        let path = "fuzz/fuzz_targets/decode.rs";
        let planted =
            "// TODO: later\nfn f() { todo!() }\n/* FIXME */\n#[ignore = \"slow\"]\nunimplemented!();\n";
        let left_open = [1, 2, 3, 4, 5].map(|line| (line, "left-open"));
        assert_eq!(broken(path, planted), left_open);
        assert!(broken(path, "let todo = \"TODO\"; // a METHODOLOGY").is_empty());
    }
}
