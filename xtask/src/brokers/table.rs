//! From what the tests print to tables.

use core::fmt::Write as _;
use std::collections::BTreeMap;

/// One feature at one door of a server: a line of the matrix.
pub(super) struct Cell<'a> {
    server: &'a str,
    transport: &'a str,
    version: &'a str,
    feature: &'a str,
    /// `ok`, `no: WHY` for what the server is known not to do, or `FAILED: WHY`.
    outcome: &'a str,
}

impl<'a> Cell<'a> {
    /// `cell|SERVER|TRANSPORT|VERSION|FEATURE|OUTCOME`
    pub(super) fn read(line: &'a str) -> Option<Self> {
        // The harness begins the line of a test that it will end later.
        let (_, line) = line.split_once("cell|")?;
        let mut fields = line.splitn(5, '|');
        Some(Self {
            server: fields.next()?,
            transport: fields.next()?,
            version: fields.next()?,
            feature: fields.next()?,
            outcome: fields.next()?,
        })
    }

    pub(super) fn has_failed(&self) -> bool {
        self.outcome.starts_with("FAILED")
    }

    fn word(&self) -> &'a str {
        self.outcome.split(':').next().unwrap_or_default()
    }
}

/// The values in the order in which they come first.
fn distinct<'a>(values: impl Iterator<Item = &'a str>) -> Vec<&'a str> {
    let mut seen = Vec::new();
    for value in values {
        if !seen.contains(&value) {
            seen.push(value);
        }
    }
    seen
}

/// A row for each feature, a column for each server and version: `ok` if it holds on all transports, `no` if on none
/// because the server does not do it, `part` between them. Below it stands what is behind each.
pub(super) fn features(cells: &[Cell]) -> String {
    let servers = distinct(cells.iter().map(|cell| cell.server));
    let columns: Vec<(&str, &str)> = servers
        .iter()
        .flat_map(|server| {
            let versions = cells.iter().filter(|cell| cell.server == *server && cell.version != "auto");
            distinct(versions.map(|cell| cell.version)).into_iter().map(|version| (*server, version))
        })
        .collect();
    let mut text = format!("{:13}", "feature");
    let mut last = "";
    for (server, _) in &columns {
        _ = write!(text, "{:7}", if *server == last { "" } else { server });
        last = server;
    }
    _ = write!(text, "\n{:13}", "");
    columns.iter().for_each(|(_, version)| _ = write!(text, "{version:7}"));
    text.push('\n');
    for feature in distinct(cells.iter().map(|cell| cell.feature)) {
        _ = write!(text, "{feature:13}");
        for (server, version) in &columns {
            let here = cells
                .iter()
                .filter(|cell| cell.server == *server && cell.version == *version && cell.feature == feature);
            let words = distinct(here.map(Cell::word));
            let word = match words.as_slice() {
                [] => "-",
                [word] => word,
                words if words.contains(&"FAILED") => "FAILED",
                _ => "part",
            };
            _ = write!(text, "{word:7}");
        }
        text.push('\n');
    }
    text.push('\n');
    for server in &servers {
        notes(cells, server, &mut text);
    }
    text.push('\n');
    text
}

/// By which transports a server was reached, to which version it brings a client, and what it does not do.
fn notes(cells: &[Cell], server: &str, text: &mut String) {
    let own = || cells.iter().filter(|cell| cell.server == server);
    let transports = distinct(own().map(|cell| cell.transport));
    _ = write!(text, "{server}: by {}", transports.join(", "));
    let found = distinct(own().filter(|cell| cell.version == "auto").map(|cell| cell.outcome));
    if !found.is_empty() {
        _ = write!(text, "; without a version asked for {}", found.join(", ").replace("ok: ", ""));
    }
    text.push('\n');
    for outcome in distinct(own().filter(|cell| cell.word() != "ok").map(|cell| cell.outcome)) {
        let same = || own().filter(|cell| cell.outcome == outcome);
        let features = distinct(same().map(|cell| cell.feature)).join(", ");
        let versions = distinct(same().map(|cell| cell.version)).join(", ");
        let on = distinct(same().map(|cell| cell.transport));
        let on = if on == transports { String::new() } else { format!(" by {}", on.join(", ")) };
        _ = writeln!(text, "    {features} ({versions}{on}): {outcome}");
    }
}

/// The tests of every transport, and what the table calls them.
const COLUMNS: [(&str, &str); 3] = [
    ("every_version_and_qos_both_ways", "3 versions x 3 QoS"),
    ("the_client_comes_back", "comes back"),
    ("the_tail_arrives_at_once", "tail"),
];

/// A row for each server and transport, then one for each test that is not of a transport.
pub(super) fn transports(results: &[(&str, bool)]) -> String {
    let word = |passed| if passed { "ok" } else { "FAILED" };
    let mut rows: BTreeMap<(&str, &str), BTreeMap<&str, bool>> = BTreeMap::new();
    for (name, passed) in results {
        // TRANSPORT_on_SERVER::TEST
        if let Some((place, test)) = name.split_once("::")
            && let Some((transport, server)) = place.split_once("_on_")
        {
            rows.entry((server, transport)).or_default().insert(test, *passed);
        }
    }
    let [matrix, back, tail] = COLUMNS.map(|(_, heading)| heading);
    let mut text = format!("{:10} {:24} {matrix:20} {back:12} {tail:6}\n", "server", "transport");
    for ((server, transport), tests) in &rows {
        let [matrix, back, tail] =
            COLUMNS.map(|(test, _)| tests.get(test).map_or("-", |passed| word(*passed)));
        let transport = transport.replace('_', " ");
        _ = writeln!(text, "{server:10} {transport:24} {matrix:20} {back:12} {tail:6}");
    }
    text.push('\n');
    for (name, passed) in results {
        let other = name.strip_prefix("failures::").or_else(|| (!name.contains("::")).then_some(*name));
        if let Some(name) = other {
            _ = writeln!(text, "{:58} {}", name.replace('_', " "), word(*passed));
        }
    }
    text.push('\n');
    text
}

/// The tests that have passed or failed.
pub(super) fn results(printed: &str) -> Vec<(&str, bool)> {
    printed.lines().filter_map(result).collect()
}

/// `test NAME ... ok`
fn result(line: &str) -> Option<(&str, bool)> {
    let (name, outcome) = line.strip_prefix("test ")?.split_once(" ... ")?;
    match outcome {
        "ok" => Some((name, true)),
        "FAILED" => Some((name, false)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_of_the_test_harness_is_a_result() {
        assert_eq!(result("test tls_on_x::tail ... ok"), Some(("tls_on_x::tail", true)));
        assert_eq!(result("test tls_on_x::tail ... FAILED"), Some(("tls_on_x::tail", false)));
        assert_eq!(result("test result: ok. 6 passed"), None);
        assert_eq!(result("test slow has been running for over 60 seconds"), None);
    }

    #[test]
    fn what_differs_by_transport_is_told_apart() {
        let lines = [
            "test interop::x ... cell|x|tcp|5.0|connect|ok",
            "cell|x|ws|5.0|connect|ok",
            "cell|x|tcp|5.0|tail|ok",
            "cell|x|ws|5.0|tail|no: it is slow",
            "cell|x|ws|5.0|will|FAILED: a|b",
            "cell|x|tcp|auto|connect|ok: 5.0",
            "ok",
        ];
        let cells: Vec<Cell> = lines.into_iter().filter_map(Cell::read).collect();
        assert_eq!(cells.len(), 6);
        assert_eq!(cells.iter().filter(|cell| cell.has_failed()).count(), 1);
        let text = features(&cells);
        let rows: Vec<Vec<&str>> = text.lines().map(|line| line.split_whitespace().collect()).collect();
        assert!(rows.contains(&vec!["connect", "ok"]) && rows.contains(&vec!["tail", "part"]), "{text}");
        assert!(rows.contains(&vec!["will", "FAILED"]), "{text}");
        assert!(text.contains("x: by tcp, ws; without a version asked for 5.0\n"), "{text}");
        assert!(text.contains("    tail (5.0 by ws): no: it is slow\n"), "{text}");
    }
}
