//! What is known of each statement at the end, and how it is told on the terminal.

use super::citations::{Kind, Test};
use super::suite::{Outcome, Run, Suite};
use super::tables::{Key, Statement, Tables};
use core::fmt;
use serde::Serialize;
use std::collections::BTreeSet;

/// One statement and what shows it.
pub(super) struct Row<'a> {
    pub(super) statement: &'a Statement,
    pub(super) cases: Vec<Case<'a>>,
    /// Why it has no case.
    pub(super) reason: Option<&'a str>,
}

/// A test that shows a statement.
pub(super) struct Case<'a> {
    pub(super) test: &'a Test,
    /// `None` when nothing was run.
    pub(super) run: Option<Run>,
}

/// How a statement stands, the worst last.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Status {
    /// All its cases passed.
    Passed,
    /// It has cases, and none was run.
    Listed,
    /// It has no case, for a reason.
    Skipped,
    /// A case failed, or did not run.
    Failed,
    /// It has neither case nor reason.
    Uncovered,
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Passed => "passed",
            Self::Listed => "listed",
            Self::Skipped => "skipped",
            Self::Failed => "FAILED",
            Self::Uncovered => "NO CASE",
        })
    }
}

impl<'a> Row<'a> {
    /// Puts together what the tables, the sources and the run say of a statement.
    pub(super) fn new(
        statement: &'a Statement,
        tables: &'a Tables,
        tests: &[&'a Test],
        suite: Option<&Suite>,
    ) -> Self {
        let cases = tests.iter().filter(|test| test.cites(&statement.key));
        Self {
            statement,
            cases: cases.map(|test| Case { test, run: suite.map(|suite| suite.of(test)) }).collect(),
            reason: tables
                .skips
                .iter()
                .find(|skip| skip.key == statement.key)
                .map(|skip| skip.reason.as_str()),
        }
    }

    pub(super) fn status(&self) -> Status {
        let is_in_order = |run: &Run| run.outcome == Outcome::Passed;
        if self.cases.is_empty() {
            return if self.reason.is_some() { Status::Skipped } else { Status::Uncovered };
        }
        if self.cases.iter().any(|case| case.run.is_none()) {
            return Status::Listed;
        }
        let passed = self.cases.iter().filter_map(|case| case.run.as_ref()).all(is_in_order);
        if passed { Status::Passed } else { Status::Failed }
    }

    /// It takes a peer to show it, and its cases only run a part of the library.
    pub(super) fn lacks_socket(&self) -> bool {
        self.statement.wants_peer()
            && !self.cases.is_empty()
            && self.cases.iter().all(|case| case.test.kind() == Kind::Unit)
    }

    /// The kinds of its cases: `unit`, `socket`, `unit+socket`, with a mark when a socket case is missing.
    fn kinds(&self) -> String {
        let kinds: BTreeSet<Kind> = self.cases.iter().map(|case| case.test.kind()).collect();
        let kinds = kinds.iter().map(ToString::to_string).collect::<Vec<_>>().join("+");
        if self.lacks_socket() { format!("{kinds} ONLY") } else { kinds }
    }
}

/// How many statements stand how.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub(super) struct Counts {
    pub(super) passed: usize,
    pub(super) failed: usize,
    pub(super) listed: usize,
    pub(super) skipped: usize,
    pub(super) uncovered: usize,
    /// Of these, how many take a peer and have unit cases only.
    pub(super) without_socket: usize,
}

impl Counts {
    pub(super) fn of<'r>(rows: impl IntoIterator<Item = &'r Row<'r>>) -> Self {
        let mut counts = Self::default();
        for row in rows {
            *match row.status() {
                Status::Passed => &mut counts.passed,
                Status::Failed => &mut counts.failed,
                Status::Listed => &mut counts.listed,
                Status::Skipped => &mut counts.skipped,
                Status::Uncovered => &mut counts.uncovered,
            } += 1;
            counts.without_socket += usize::from(row.lacks_socket());
        }
        counts
    }

    pub(super) const fn all(&self) -> usize {
        self.passed + self.failed + self.listed + self.skipped + self.uncovered
    }
}

impl fmt::Display for Counts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { passed, failed, listed, skipped, uncovered, without_socket } = self;
        match listed {
            0 => write!(f, "{passed:>3} passed  {failed:>2} failed")?,
            _ => write!(f, "{listed:>3} with cases")?,
        }
        write!(f, "  {skipped:>2} skipped  {uncovered:>2} uncovered")?;
        if *without_socket > 0 {
            write!(f, "  ({without_socket} unit only)")?;
        }
        Ok(())
    }
}

/// How much is printed.
#[derive(Clone, Copy, PartialEq)]
pub(super) enum Detail {
    /// The chapters, and what is not in order.
    Chapters,
    /// Every statement.
    Rows,
    /// Every statement, and the plays of its cases.
    Plays,
}

/// Prints the common faults, each chapter, and the sums.
pub(super) fn print(rows: &[Row<'_>], tables: &Tables, detail: Detail) {
    print_priorities(rows, tables);
    for chapter in rows.chunk_by(|a, b| a.statement.chapter() == b.statement.chapter()) {
        let Some(first) = chapter.first() else { continue };
        if detail != Detail::Chapters {
            println!();
        }
        println!("{:<36}{}", first.statement.chapter(), Counts::of(chapter));
        for row in chapter {
            if detail != Detail::Chapters || row.status() != Status::Passed {
                print_row(row, detail);
            }
        }
    }
    println!();
    for version in ["5.0", "3.1.1", "3.1"] {
        let own = rows.iter().filter(|row| row.statement.key.version == version);
        let counts = Counts::of(own);
        if counts.all() > 0 {
            println!("{:<36}{counts}", format!("MQTT {version}, {} statements", counts.all()));
        }
    }
    let counts = Counts::of(rows);
    println!("{:<36}{counts}", format!("all {} statements", counts.all()));
}

/// The worst that is known of a common fault's statements; `None` if none of them was asked for.
pub(super) fn worst_of(keys: &[Key], rows: &[Row<'_>]) -> Option<Status> {
    rows.iter().filter(|row| keys.contains(&row.statement.key)).map(Row::status).max()
}

fn print_priorities(rows: &[Row<'_>], tables: &Tables) {
    let wanted: Vec<_> = tables
        .priorities
        .iter()
        .filter_map(|priority| Some((priority, worst_of(&priority.keys, rows)?)))
        .collect();
    if wanted.is_empty() {
        return;
    }
    println!("\nWhat client libraries get wrong most often (priority.toml)");
    for (priority, status) in wanted {
        let keys = priority.keys.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ");
        println!("  {:>2} {status:<8} {}  {keys}", priority.rank, priority.fault);
    }
    println!();
}

fn print_row(row: &Row<'_>, detail: Detail) {
    let Statement { key: Key { id, .. }, via, about, .. } = row.statement;
    let status = row.status();
    println!("  {id:<16} {status:<8} {via:<9} {:<12} {about}", row.kinds());
    if let (Status::Skipped, Some(reason)) = (status, row.reason) {
        println!("  {:>25} {reason}", "because:");
    }
    for case in &row.cases {
        let outcome = case.run.as_ref().map(|run| run.outcome);
        if detail == Detail::Chapters && outcome == Some(Outcome::Passed) {
            continue;
        }
        let shown = outcome.map_or_else(String::new, |outcome| outcome.to_string());
        println!("  {:<16} {shown:<8} {:<22} {}", "", case.test.kind().to_string(), case.test);
        let Some(run) = &case.run else { continue };
        if run.outcome == Outcome::Failed {
            print_indented(run.output.lines());
        } else if detail == Detail::Plays {
            for play in run.plays() {
                print_indented(play);
                println!();
            }
        }
    }
}

fn print_indented<'t>(lines: impl IntoIterator<Item = &'t str>) {
    for line in lines {
        println!("      | {line}");
    }
}

#[cfg(test)]
mod tests {
    use super::super::citations::Sources;
    use super::*;

    const STATEMENTS: &str = r#"
        version = "5.0"
        [[statement]]
        id = "MQTT-1.5.4-1"
        layer = "codec"
        via = "unit+peer"
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
        layer = "session"
        via = "peer"
        client_test = "share"
        about = "c"
    "#;
    const PRIORITY: &str = r#"
        [[priority]]
        rank = 1
        v5 = "MQTT-1.5.4-1, 5u-1"
        v311 = "no counterpart"
        fault = "f"
    "#;
    const SKIP: &str = "[[skip]]\nid = \"5u-1\"\nversion = \"5.0\"\nreason = \"why\"\n";
    const UNIT: (&str, &str) = ("crates/x/src/y.rs", "// [MQTT-1.5.4-1]\n#[test]\nfn unit() {}\n");
    const SOCKET: (&str, &str) =
        ("crates/mqtt-client/tests/conformance/a.rs", "// [MQTT-1.5.4-1]\n#[test]\nfn socket() {}\n");

    fn with_rows<T>(files: &[(&str, &str)], check: impl FnOnce(&mut [Row<'_>], &Tables) -> T) -> T {
        let tables = Tables::parse(&[STATEMENTS], PRIORITY, SKIP).unwrap();
        let mut sources = Sources::default();
        for (path, text) in files {
            sources.read(path, text);
        }
        let tests: Vec<&Test> = sources.tests.iter().collect();
        let mut rows: Vec<_> =
            tables.statements.iter().map(|row| Row::new(row, &tables, &tests, None)).collect();
        check(&mut rows, &tables)
    }

    fn ended(outcome: Outcome) -> Option<Run> {
        Some(Run { outcome, output: String::new() })
    }

    #[test]
    fn a_statement_is_as_good_as_its_worst_case() {
        with_rows(&[UNIT, SOCKET], |rows, tables| {
            let statuses = |rows: &[Row<'_>]| rows.iter().map(Row::status).collect::<Vec<_>>();
            assert_eq!(statuses(rows), [Status::Listed, Status::Uncovered, Status::Skipped]);
            for (one, other, status) in [
                (Outcome::Passed, Outcome::Passed, Status::Passed),
                (Outcome::Passed, Outcome::Failed, Status::Failed),
                (Outcome::NotRun, Outcome::Passed, Status::Failed),
            ] {
                rows[0].cases[0].run = ended(one);
                rows[0].cases[1].run = ended(other);
                assert_eq!(rows[0].status(), status);
            }
            assert_eq!(worst_of(&tables.priorities[0].keys, rows), Some(Status::Failed));
            assert_eq!(worst_of(&tables.priorities[0].keys, &rows[1..2]), None);
        });
    }

    #[test]
    fn unit_cases_alone_do_not_do_for_a_peer() {
        let kinds = |files: &[(&str, &str)]| with_rows(files, |rows, _| rows[0].kinds());
        assert_eq!(kinds(&[UNIT]), "unit ONLY");
        assert_eq!(kinds(&[SOCKET]), "socket");
        assert_eq!(kinds(&[SOCKET, UNIT]), "unit+socket");
        let other = ("crates/x/src/y.rs", "// [MQTT-1.5.4-2]\n#[test]\nfn t() {}\n");
        with_rows(&[other], |rows, _| {
            assert_eq!((rows[1].kinds().as_str(), rows[1].lacks_socket()), ("unit", false))
        });
    }

    #[test]
    fn counts_add_up() {
        with_rows(&[UNIT], |rows, _| {
            rows[0].cases[0].run = ended(Outcome::Passed);
            let counts = Counts::of(rows.iter());
            let expected =
                Counts { passed: 1, skipped: 1, uncovered: 1, without_socket: 1, ..Counts::default() };
            assert_eq!((counts, counts.all()), (expected, 3));
            assert!(
                counts.to_string().contains("1 passed   0 failed   1 skipped   1 uncovered  (1 unit only)")
            );
        });
    }
}
