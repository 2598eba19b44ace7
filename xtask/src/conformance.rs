//! `cargo xtask conformance`: every statement of the standards that binds a client, and the cases that show it.
//!
//! [`tables`] reads the statements of xtask/conformance/, [`citations`] finds the tests that cite them, [`suite`] runs
//! those tests, [`report`] and [`files`] tell how each statement stands. A statement without a case needs a reason in
//! xtask/conformance/skip.toml. The run fails on a failed case, on a statement with neither case nor reason, on a
//! citation of a statement that does not exist, and on a reason that is not needed.
//!
//! Cases are of two kinds: *socket* cases, below crates/mqtt-client/tests/, run the whole client against a scripted peer
//! (or a transport, below its tests/);
//! *unit* cases are all other tests. A statement that takes a peer to show (`via`) and has unit cases only is counted.
//!
//! [`foreign`] is another run: any client that is a command line, against scripts of its own.

mod citations;
mod files;
mod foreign;
mod report;
mod suite;
mod tables;

use crate::shell::{self, Done};
use citations::{Sources, Test};
use clap::ValueEnum;
use core::fmt;
use report::{Counts, Detail, Row};
use std::path::PathBuf;
use suite::Suite;
use tables::{Skip, Statement, Tables};

/// Whether a statement that takes a peer to show fails without a socket case, instead of being counted.
/// One is left: no peer can make memory run out [MQTT-4.8.0-2/3.1.1].
const PEER_NEEDS_SOCKET: bool = false;

#[derive(clap::Args, Default)]
pub(crate) struct Options {
    /// Only the statements of this layer
    #[arg(long)]
    layer: Option<Layer>,
    /// Only this version: 5.0, 3.1.1 or 3.1
    #[arg(long)]
    version: Option<String>,
    /// Only statements whose id fits, such as 'MQTT-4.3.3-*'
    #[arg(long)]
    id: Option<String>,
    /// Only name the statements and their cases, run nothing
    #[arg(long)]
    list: bool,
    /// Show every statement, and what both sides said in each socket case
    #[arg(short, long)]
    verbose: bool,
    /// Where the report in JSON goes [default: conformance/report.json in the target directory]
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Where the report in JUnit XML goes [default: conformance/junit.xml in the target directory]
    #[arg(long, value_name = "FILE")]
    junit: Option<PathBuf>,
    #[command(flatten)]
    foreign: foreign::Options,
}

#[derive(Clone, Copy, PartialEq, ValueEnum)]
enum Layer {
    /// Valid bytes, in both directions
    Codec,
    /// The state machine
    Session,
    /// The connection
    Transport,
    /// Options, validation, dispatch
    Client,
}

impl fmt::Display for Layer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Codec => "codec",
            Self::Session => "session",
            Self::Transport => "transport",
            Self::Client => "client",
        })
    }
}

/// All statements of all layers and versions, then our command against the scripts for any client.
pub(crate) fn run_for_ci() -> Done {
    run(&Options::default())?;
    foreign::run_own()
}

/// Runs the cases, prints the report and writes it to the files.
pub(crate) fn run(options: &Options) -> Done {
    if options.foreign.is_given() {
        return foreign::run(&options.foreign, &options.choice());
    }
    let root = shell::root();
    let tables = Tables::load(&root.join("xtask/conformance"))?;
    let sources = Sources::scan(&root)?;
    let mut problems = problems(&tables, &sources);

    let wanted: Vec<&Statement> = tables.statements.iter().filter(|row| options.wants(row)).collect();
    if wanted.is_empty() {
        return Err("no statement fits".into());
    }
    let cited: Vec<&Test> =
        sources.tests.iter().filter(|test| wanted.iter().any(|row| test.cites(&row.key))).collect();
    let suite = match &cited[..] {
        _ if options.list => None,
        [] => None,
        cited => Some(Suite::run(&root, cited, options.verbose)?),
    };
    let rows: Vec<Row<'_>> =
        wanted.into_iter().map(|row| Row::new(row, &tables, &cited, suite.as_ref())).collect();

    report::print(&rows, &tables, options.detail());
    problems.extend(shortcomings(Counts::of(&rows)));
    if !options.list {
        let place = |chosen: &Option<PathBuf>, name: &str| {
            chosen.clone().unwrap_or_else(|| shell::target().join("conformance").join(name))
        };
        let (json, junit) = (place(&options.json, "report.json"), place(&options.junit, "junit.xml"));
        files::write_json(&json, &rows, &tables, &problems)?;
        files::write_junit(&junit, &rows)?;
        println!("written: {}, {}", json.display(), junit.display());
    }
    if problems.is_empty() { Ok(()) } else { Err(format!("conformance:\n  {}", problems.join("\n  "))) }
}

impl Options {
    fn wants(&self, row: &Statement) -> bool {
        row.client_test != "none"
            && self.layer.is_none_or(|layer| row.layer == layer.to_string())
            && self.version.as_ref().is_none_or(|version| *version == row.key.version)
            && self.id.as_ref().is_none_or(|pattern| fits(pattern, &row.key.id))
    }

    fn choice(&self) -> foreign::Choice<'_> {
        foreign::Choice {
            version: self.version.as_deref(),
            id: self.id.as_deref(),
            list: self.list,
            verbose: self.verbose,
        }
    }

    const fn detail(&self) -> Detail {
        match (self.verbose, self.list) {
            (true, _) => Detail::Plays,
            (false, true) => Detail::Rows,
            (false, false) => Detail::Chapters,
        }
    }
}

/// What the counts say against a merge.
fn shortcomings(counts: Counts) -> Vec<String> {
    let mut found = Vec::new();
    let mut hold = |count: usize, what: &str| {
        if count > 0 {
            found.push(format!("{count} statement(s) {what}"));
        }
    };
    hold(counts.failed, "with a case that failed");
    hold(counts.uncovered, "without a case");
    if PEER_NEEDS_SOCKET {
        hold(counts.without_socket, "without a socket case");
    }
    found
}

/// Whether the text fits a pattern in which `*` stands for anything.
fn fits(pattern: &str, text: &str) -> bool {
    match pattern.split_once('*') {
        None => pattern == text,
        Some((head, tail)) => text.strip_prefix(head).is_some_and(|rest| {
            (0..=rest.len()).any(|at| rest.get(at..).is_some_and(|rest| fits(tail, rest)))
        }),
    }
}

/// What is wrong with the citations and the reasons themselves.
fn problems(tables: &Tables, sources: &Sources) -> Vec<String> {
    let mut problems = Vec::new();
    for citation in &sources.citations {
        let known = citation.key.as_ref().is_some_and(|key| tables.find(key).is_some());
        if !known {
            let citations::Citation { path, line, text, .. } = citation;
            problems.push(format!("{path}:{line}: there is no statement [{text}]"));
        }
    }
    for Skip { key, reason } in &tables.skips {
        let covered = sources.tests.iter().any(|test| test.cites(key));
        match tables.find(key) {
            None => problems.push(format!("skip.toml: there is no statement {key}")),
            Some(row) if row.client_test == "none" => {
                problems.push(format!("skip.toml: {key} needs no test"))
            }
            Some(_) if covered => problems.push(format!("skip.toml: {key} has a test by now")),
            Some(_) if reason.trim().is_empty() => problems.push(format!("skip.toml: {key} has no reason")),
            Some(_) => {}
        }
    }
    problems
}

#[cfg(test)]
mod tests {
    use super::*;
    use tables::Key;

    const STATEMENTS: &str = r#"
        version = "5.0"
        [[statement]]
        id = "MQTT-1.5.4-1"
        layer = "codec"
        via = "unit"
        client_test = "required"
        about = "a"
        [[statement]]
        id = "MQTT-1.5.4-2"
        layer = "codec"
        via = "unit"
        client_test = "required"
        about = "b"
        [[unnumbered]]
        id = "5u-1"
        layer = "codec"
        via = "unit"
        client_test = "none"
        about = "c"
    "#;

    fn problems_of(skips: &str, source: &str) -> Vec<String> {
        let tables = Tables::parse(&[STATEMENTS], "", skips).unwrap();
        let mut sources = Sources::default();
        sources.read("crates/x/tests/y.rs", source);
        problems(&tables, &sources)
    }

    #[test]
    fn patterns_have_a_star() {
        assert!(fits("MQTT-4.3.3-*", "MQTT-4.3.3-12"));
        assert!(fits("*-1", "MQTT-4.3.3-1"));
        assert!(fits("5u-3", "5u-3"));
        assert!(!fits("MQTT-4.3.3-1", "MQTT-4.3.3-12"));
        assert!(!fits("MQTT-4.*-9", "MQTT-4.3.3-1"));
    }

    #[test]
    fn an_unknown_citation_is_found() {
        let found = problems_of("", "\n// [MQTT-9.9.9-9], [MQTT-1.5.4-1/3.1.1], [MQTT-4.6]\n");
        assert_eq!(found.len(), 3);
        assert!(found[0].starts_with("crates/x/tests/y.rs:2: "));
        assert!(problems_of("", "// [MQTT-1.5.4-1] [5u-1]\n").is_empty());
    }

    #[test]
    fn a_needless_reason_is_found() {
        let skip = |id: &str, reason: &str| {
            format!("[[skip]]\nid = \"{id}\"\nversion = \"5.0\"\nreason = \"{reason}\"\n")
        };
        let source = "// [MQTT-1.5.4-1]\n#[test]\nfn t() {}\n";
        assert!(problems_of(&skip("MQTT-1.5.4-2", "why"), source).is_empty());
        for (skip, word) in [
            (skip("MQTT-1.5.4-1", "why"), "has a test"),
            (skip("MQTT-1.5.4-9", "why"), "no statement"),
            (skip("5u-1", "why"), "needs no test"),
            (skip("MQTT-1.5.4-2", " "), "no reason"),
        ] {
            let found = problems_of(&skip, source);
            assert!(found.len() == 1 && found[0].contains(word), "{word}: {found:?}");
        }
    }

    #[test]
    fn options_choose_statements() {
        let tables = Tables::parse(&[STATEMENTS], "", "").unwrap();
        let chosen = |options: Options| tables.statements.iter().filter(|row| options.wants(row)).count();
        assert_eq!(chosen(Options::default()), 2);
        assert_eq!(chosen(Options { layer: Some(Layer::Codec), ..Options::default() }), 2);
        assert_eq!(chosen(Options { layer: Some(Layer::Session), ..Options::default() }), 0);
        assert_eq!(chosen(Options { version: Some("3.1".into()), ..Options::default() }), 0);
        assert_eq!(chosen(Options { id: Some("*-2".into()), ..Options::default() }), 1);
    }

    #[test]
    fn a_merge_is_held_up() {
        assert!(shortcomings(Counts { passed: 3, skipped: 1, listed: 2, ..Counts::default() }).is_empty());
        let bad = Counts { failed: 1, uncovered: 2, ..Counts::default() };
        assert_eq!(
            shortcomings(bad),
            ["1 statement(s) with a case that failed", "2 statement(s) without a case"]
        );
    }

    /// The half of the whole check that needs no run: what is cited exists, what has a reason needs one.
    #[test]
    fn every_citation_and_reason_of_this_repository_names_a_statement() {
        let root = shell::root();
        let tables = Tables::load(&root.join("xtask/conformance")).unwrap();
        let found = problems(&tables, &Sources::scan(&root).unwrap());
        assert!(found.is_empty(), "{}", found.join("\n"));
    }

    #[test]
    fn every_statement_has_a_case_or_a_reason() {
        let root = shell::root();
        let tables = Tables::load(&root.join("xtask/conformance")).unwrap();
        let sources = Sources::scan(&root).unwrap();
        let wanted = tables.statements.iter().filter(|row| Options::default().wants(row));
        let is_bare = |row: &&Statement| {
            !sources.tests.iter().any(|test| test.cites(&row.key))
                && !tables.skips.iter().any(|skip| skip.key == row.key)
        };
        let bare: Vec<String> = wanted.filter(is_bare).map(|row| row.key.to_string()).collect();
        assert!(bare.is_empty(), "without a case: {bare:?}");
    }

    /// All that stands in priority.toml was found in it, and exists.
    #[test]
    fn the_common_faults_name_statements() {
        let tables = Tables::load(&shell::root().join("xtask/conformance")).unwrap();
        assert_eq!(tables.priorities.len(), 20);
        for (at, priority) in tables.priorities.iter().enumerate() {
            assert_eq!(priority.rank as usize, at + 1);
            assert!(!priority.keys.is_empty() && priority.keys.iter().all(|key| tables.find(key).is_some()));
        }
    }

    #[test]
    fn the_tables_of_this_repository_are_whole() {
        let tables = Tables::load(&shell::root().join("xtask/conformance")).unwrap();
        for (at, row) in tables.statements.iter().enumerate() {
            assert!(
                tables.statements[..at].iter().all(|other| other.key != row.key),
                "{} stands there twice",
                row.key
            );
            assert_eq!(Key::parse(row.key.to_string().trim_matches(['[', ']'])).as_ref(), Some(&row.key));
        }
        let count = |version: &str, layer: &str| {
            let numbered =
                |row: &&Statement| row.key.version == version && row.layer == layer && !row.unnumbered;
            tables.statements.iter().filter(numbered).count()
        };
        assert_eq!([count("5.0", "codec"), count("3.1.1", "codec"), count("3.1", "codec")], [82, 45, 13]);
        assert_eq!(
            [count("5.0", "session"), count("3.1.1", "session"), count("3.1", "session")],
            [155, 81, 12]
        );
    }
}
