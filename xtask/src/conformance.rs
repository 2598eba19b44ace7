//! `cargo xtask conformance`: every statement of the standards that binds a client, and the tests that show it.
//!
//! [`tables`] reads the statements of xtask/conformance/, [`citations`] finds the tests that cite them, [`suite`] runs
//! those tests. A statement without a test needs a reason in xtask/conformance/skip.toml. The run fails on a failed
//! test, on a statement with neither test nor reason, on a citation of a statement that does not exist, and on a
//! reason that is not needed.

mod citations;
mod suite;
mod tables;

use crate::shell::{self, Done};
use citations::Sources;
use clap::ValueEnum;
use core::fmt;
use suite::{Outcome, Suite};
use tables::{Key, Skip, Statement, Tables};

#[derive(clap::Args)]
pub(crate) struct Options {
    /// The statements of which layer
    #[arg(long)]
    layer: Layer,
    /// Only this version: 5.0, 3.1.1 or 3.1
    #[arg(long)]
    version: Option<String>,
    /// Only statements whose id fits, such as `MQTT-4.3.3-*`
    #[arg(long)]
    id: Option<String>,
    /// Only name the statements and their tests, run nothing
    #[arg(long)]
    list: bool,
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

/// What is known about one statement at the end.
enum Verdict<'a> {
    /// Its tests, and how each ended; `None` when nothing was run.
    Tested(Vec<(&'a citations::Test, Option<Outcome>)>),
    Skipped(&'a str),
    Uncovered,
}

/// The codec's statements, all versions.
pub(crate) fn run_for_ci() -> Done {
    run(&Options { layer: Layer::Codec, version: None, id: None, list: false })
}

/// Prints the report.
pub(crate) fn run(options: &Options) -> Done {
    if options.layer != Layer::Codec {
        return Err(format!("the run for the layer {} is not there yet; `--layer codec` is", options.layer));
    }
    let root = shell::root();
    let tables = Tables::load(&root.join("xtask/conformance"))?;
    let sources = Sources::scan(&root)?;
    let mut problems = problems(&tables, &sources);

    let rows: Vec<&Statement> = tables.statements.iter().filter(|row| options.wants(row)).collect();
    if rows.is_empty() {
        return Err("no statement fits".into());
    }
    let cited: Vec<_> =
        sources.tests.iter().filter(|test| rows.iter().any(|row| test.cites(&row.key))).collect();
    let suite = if options.list || cited.is_empty() { None } else { Some(Suite::run(&root, &cited)?) };

    let mut group = String::new();
    let mut counts = Counts::default();
    for row in rows {
        let verdict = verdict(row, &tables.skips, &cited, suite.as_ref());
        counts.add(&verdict);
        if group != row.chapter() {
            group = row.chapter();
            println!("\n{group}");
        }
        print(row, &verdict);
    }
    println!("\nlayer {}: {counts}", options.layer);
    if !options.list {
        problems.extend(
            (counts.failed > 0).then(|| format!("{} statement(s) with a failed test", counts.failed)),
        );
        problems.extend(
            (counts.uncovered > 0).then(|| format!("{} statement(s) without a test", counts.uncovered)),
        );
    }
    if problems.is_empty() { Ok(()) } else { Err(format!("conformance:\n  {}", problems.join("\n  "))) }
}

impl Options {
    fn wants(&self, row: &Statement) -> bool {
        row.layer == self.layer.to_string()
            && row.client_test != "none"
            && self.version.as_ref().is_none_or(|version| *version == row.key.version)
            && self.id.as_ref().is_none_or(|pattern| fits(pattern, &row.key.id))
    }
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

fn verdict<'a>(
    row: &Statement,
    skips: &'a [Skip],
    tests: &[&'a citations::Test],
    suite: Option<&Suite>,
) -> Verdict<'a> {
    let its: Vec<_> = tests.iter().filter(|test| test.cites(&row.key)).collect();
    if !its.is_empty() {
        return Verdict::Tested(
            its.into_iter().map(|test| (*test, suite.map(|suite| suite.outcome(test)))).collect(),
        );
    }
    match skips.iter().find(|skip| skip.key == row.key) {
        Some(skip) => Verdict::Skipped(&skip.reason),
        None => Verdict::Uncovered,
    }
}

fn print(row: &Statement, verdict: &Verdict<'_>) {
    let Key { id, .. } = &row.key;
    match verdict {
        Verdict::Tested(tests) => {
            for (at, (test, outcome)) in tests.iter().enumerate() {
                let id = if at == 0 { id } else { "" };
                let outcome = outcome.map_or_else(|| "listed".to_owned(), |outcome| outcome.to_string());
                println!("  {id:<16} {outcome:<8} {test}");
            }
        }
        Verdict::Skipped(reason) => println!("  {id:<16} skipped  {reason}"),
        Verdict::Uncovered => println!("  {id:<16} NO TEST  {}", row.about),
    }
}

#[derive(Default)]
struct Counts {
    passed: usize,
    failed: usize,
    listed: usize,
    skipped: usize,
    uncovered: usize,
}

impl Counts {
    fn add(&mut self, verdict: &Verdict<'_>) {
        *match verdict {
            Verdict::Skipped(_) => &mut self.skipped,
            Verdict::Uncovered => &mut self.uncovered,
            Verdict::Tested(tests) if tests.iter().any(|(_, outcome)| outcome.is_none()) => &mut self.listed,
            Verdict::Tested(tests) if tests.iter().all(|(_, outcome)| *outcome == Some(Outcome::Passed)) => {
                &mut self.passed
            }
            Verdict::Tested(_) => &mut self.failed,
        } += 1;
    }
}

impl fmt::Display for Counts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { passed, failed, listed, skipped, uncovered } = self;
        let all = passed + failed + listed + skipped + uncovered;
        write!(f, "{all} statements: ")?;
        if passed + failed == 0 {
            write!(f, "{listed} with tests, ")?;
        } else {
            write!(f, "{passed} passed, {failed} failed, ")?;
        }
        write!(f, "{skipped} skipped with a reason, {uncovered} without a test")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STATEMENTS: &str = r#"
        version = "5.0"
        [[statement]]
        id = "MQTT-1.5.4-1"
        layer = "codec"
        client_test = "required"
        about = "a"
        [[statement]]
        id = "MQTT-1.5.4-2"
        layer = "codec"
        client_test = "required"
        about = "b"
        [[unnumbered]]
        id = "5u-1"
        layer = "codec"
        client_test = "none"
        about = "c"
    "#;

    fn problems_of(skips: &str, source: &str) -> Vec<String> {
        let tables = Tables::parse(&[STATEMENTS], skips).unwrap();
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
