//! Finds what the sources cite. A test covers the statements that are named, in brackets, in the comments directly
//! above it or anywhere inside it.

use super::tables::Key;
use crate::source::{Line, files_below, is_word, lines};
use core::fmt;
use serde::Serialize;
use std::fs;
use std::path::Path;

/// How a citation begins, after the bracket.
const PREFIXES: &[&str] = &["MQTT-", "5u-", "311u-", "31-"];

/// A statement's name in brackets, somewhere in the sources.
#[derive(Debug)]
pub(super) struct Citation {
    pub(super) path: String,
    /// From 1.
    pub(super) line: usize,
    pub(super) text: String,
    /// `None` when the text cannot be the name of a statement.
    pub(super) key: Option<Key>,
}

/// Where the tests lie that run the whole client; the rules for WebSocket are shown by that transport alone.
const SOCKET_TESTS: [&str; 2] = ["crates/mqtt-client/tests/", "crates/mqtt-transport-ws/tests/"];

/// The tests of the testkit's broker cite what a server does; they show nothing of a client.
const SERVER_TESTS: &str = "crates/mqtt-testkit/";

/// How much of the library a test runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Kind {
    /// A part of it, from memory.
    Unit,
    /// All of it, or a transport, with another side that is a script.
    Socket,
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Unit => "unit",
            Self::Socket => "socket",
        })
    }
}

/// One test function.
#[derive(Debug)]
pub(super) struct Test {
    /// The file, relative to the top of the workspace.
    pub(super) path: String,
    pub(super) name: String,
    cites: Vec<Key>,
}

impl Test {
    pub(super) fn cites(&self, key: &Key) -> bool {
        self.cites.contains(key)
    }

    pub(super) fn kind(&self) -> Kind {
        let is_there = SOCKET_TESTS.iter().any(|folder| self.path.starts_with(folder));
        if is_there { Kind::Socket } else { Kind::Unit }
    }
}

impl fmt::Display for Test {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.path, self.name)
    }
}

/// All citations and all tests below crates/.
#[derive(Default)]
pub(super) struct Sources {
    pub(super) citations: Vec<Citation>,
    pub(super) tests: Vec<Test>,
}

impl Sources {
    /// Reads every Rust source of the crates.
    pub(super) fn scan(root: &Path) -> Result<Self, String> {
        let mut sources = Self::default();
        for file in files_below(&root.join("crates"))? {
            let Ok(text) = fs::read_to_string(&file) else { continue };
            if file.extension().is_some_and(|ending| ending == "rs") {
                sources.read(&file.strip_prefix(root).unwrap_or(&file).to_string_lossy(), &text);
            }
        }
        Ok(sources)
    }

    /// Adds what one file cites.
    pub(super) fn read(&mut self, path: &str, text: &str) {
        let citations: Vec<Vec<&str>> = text.lines().map(cited_in).collect();
        for (at, cited) in citations.iter().enumerate() {
            self.citations.extend(cited.iter().map(|text| Citation {
                path: path.to_owned(),
                line: at + 1,
                text: (*text).to_owned(),
                key: Key::parse(text),
            }));
        }
        if path.starts_with(SERVER_TESTS) {
            return;
        }
        let lines = lines(text);
        for (at, _) in lines.iter().enumerate().filter(|(_, line)| is_test_attribute(&line.code)) {
            let Some((name, last)) = function_after(&lines, at) else { continue };
            let block = citations.get(first_line_above(&lines, at)..=last).unwrap_or_default();
            let cites = block.iter().flatten().filter_map(|text| Key::parse(text)).collect();
            self.tests.push(Test { path: path.to_owned(), name, cites });
        }
    }
}

/// The texts between brackets that begin like the name of a statement.
fn cited_in(line: &str) -> Vec<&str> {
    let brackets = line.match_indices('[').filter_map(|(at, _)| line[at + 1..].split_once(']'));
    brackets
        .map(|(text, _)| text)
        .filter(|text| PREFIXES.iter().any(|prefix| text.starts_with(prefix)))
        .collect()
}

/// `#[test]`, `#[tokio::test]`, `#[tokio::test(start_paused = true)]`.
fn is_test_attribute(code: &str) -> bool {
    let Some(attribute) = code.trim().strip_prefix("#[") else { return false };
    let name = attribute.split(|c: char| !is_word(c) && c != ':').next().unwrap_or_default();
    name == "test" || name.ends_with("::test")
}

/// The first line of the comments and attributes that stand directly above.
fn first_line_above(lines: &[Line], attribute: usize) -> usize {
    let belongs = |line: &Line| {
        let code = line.code.trim();
        code.starts_with("#[") || (code.is_empty() && !line.comment.trim().is_empty())
    };
    let above = lines.iter().take(attribute).rev().take_while(|line| belongs(line)).count();
    attribute - above
}

/// The name of the function that follows an attribute, and the last line of its body.
fn function_after(lines: &[Line], attribute: usize) -> Option<(String, usize)> {
    let mut name = None;
    let mut depth = 0_usize;
    for (at, line) in lines.iter().enumerate().skip(attribute) {
        if name.is_none() {
            let (_, after) = line.code.split_once("fn ").unwrap_or_default();
            let word: String = after.chars().take_while(|c| is_word(*c)).collect();
            name = Some(word).filter(|word| !word.is_empty());
        }
        for c in line.code.chars() {
            match c {
                '{' => depth += 1,
                '}' if depth == 1 && name.is_some() => return name.map(|name| (name, at)),
                '}' => depth = depth.saturating_sub(1),
                _ => {}
            }
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    const SOURCE: &str = r#"
//! [MQTT-9.0.0-1] is cited by no test.

/// [MQTT-1.5.4-1]: shown here
#[test]
fn above() {}

// [MQTT-1.5.4-9] does not belong to the next one

// [31-7]
#[tokio::test(start_paused = true)]
#[should_panic]
async fn inside() {
    // covers [MQTT-1.5.4-2] [MQTT-1.5.3-1/3.1.1]
    let table = [("{", "[5u-3]")];
    if table.is_empty() {}
}

proptest! {
    #[test]
    fn property(x in 0..9) { // [311u-2]
        x
    }
}

fn helper() {} // [MQTT-1.5.4-3]
"#;

    fn read() -> Sources {
        let mut sources = Sources::default();
        sources.read("crates/x/tests/y.rs", SOURCE);
        sources
    }

    #[test]
    fn a_test_covers_what_is_cited_above_and_inside() {
        let sources = read();
        let cites = |name: &str| {
            let test = sources.tests.iter().find(|test| test.name == name).unwrap();
            test.cites.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ")
        };
        assert_eq!(cites("above"), "[MQTT-1.5.4-1]");
        assert_eq!(cites("inside"), "[31-7] [MQTT-1.5.4-2] [MQTT-1.5.3-1/3.1.1] [5u-3]");
        assert_eq!(cites("property"), "[311u-2]");
        assert_eq!(sources.tests.len(), 3);
    }

    #[test]
    fn every_citation_has_its_line() {
        let sources = read();
        let lines: Vec<_> = sources.citations.iter().map(|citation| citation.line).collect();
        assert_eq!(lines, [2, 4, 8, 10, 14, 14, 15, 21, 26]);
    }

    #[test]
    fn a_test_of_the_broker_is_no_case() {
        let mut sources = Sources::default();
        sources.read("crates/mqtt-testkit/tests/y.rs", SOURCE);
        assert_eq!((sources.tests.len(), sources.citations.len()), (0, 9));
    }

    #[test]
    fn the_kind_of_a_case_is_told_by_its_place() {
        let mut sources = Sources::default();
        for path in ["crates/mqtt-client/tests/conformance/a.rs", "crates/mqtt-client/src/a.rs"] {
            sources.read(path, "// [31-1]\n#[test]\nfn t() {}\n");
        }
        let kinds: Vec<_> = sources.tests.iter().map(Test::kind).collect();
        assert_eq!(kinds, [Kind::Socket, Kind::Unit]);
    }

    #[test]
    fn other_brackets_are_no_citations() {
        assert!(cited_in("x[0], [u8; 4], [`Packet`], [MQTT](https://mqtt.org), [5 6]").is_empty());
        assert_eq!(cited_in("`[MQTT-1.5.4-1]`, ([MQTT-4.6]"), ["MQTT-1.5.4-1", "MQTT-4.6"]);
    }
}
