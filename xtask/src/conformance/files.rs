//! The report for programs: JSON with everything, and JUnit XML for those who show test results.

use super::citations::Kind;
use super::report::{Counts, Row, Status, worst_of};
use super::suite::Outcome;
use super::tables::Tables;
use crate::shell::{self, Done};
use quick_junit::{NonSuccessKind, Report, TestCase, TestCaseStatus, TestSuite};
use serde::Serialize;
use std::path::Path;

#[derive(Serialize)]
struct Document<'a> {
    counts: Counts,
    /// Faults of the tables and of the citations.
    problems: &'a [String],
    priorities: Vec<PriorityEntry<'a>>,
    chapters: Vec<ChapterEntry>,
    statements: Vec<StatementEntry<'a>>,
}

#[derive(Serialize)]
struct PriorityEntry<'a> {
    rank: u32,
    fault: &'a str,
    statements: Vec<String>,
    status: Status,
}

#[derive(Serialize)]
struct ChapterEntry {
    name: String,
    counts: Counts,
}

#[derive(Serialize)]
struct StatementEntry<'a> {
    version: &'a str,
    id: &'a str,
    chapter: String,
    layer: &'a str,
    via: &'a str,
    client_test: &'a str,
    about: &'a str,
    status: Status,
    /// Why it was skipped.
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'a str>,
    /// It takes a peer to show it, and no case has one.
    without_socket: bool,
    cases: Vec<CaseEntry<'a>>,
}

#[derive(Serialize)]
struct CaseEntry<'a> {
    kind: Kind,
    file: &'a str,
    test: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    outcome: Option<Outcome>,
    #[serde(skip_serializing_if = "str::is_empty")]
    output: &'a str,
}

/// Writes the JSON.
pub(super) fn write_json(path: &Path, rows: &[Row<'_>], tables: &Tables, problems: &[String]) -> Done {
    let json = serde_json::to_string_pretty(&document(rows, tables, problems));
    write(path, &json.map_err(|error| format!("{}: {error}", path.display()))?)
}

/// Writes the XML: a suite for each chapter, a test case for each statement.
pub(super) fn write_junit(path: &Path, rows: &[Row<'_>]) -> Done {
    let xml = junit(rows).to_string();
    write(path, &xml.map_err(|error| format!("{}: {error}", path.display()))?)
}

/// Writes a file and the folders above it.
pub(super) fn write(path: &Path, text: &str) -> Done {
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder).map_err(|error| format!("{}: {error}", folder.display()))?;
    }
    shell::write(path, text)
}

fn document<'a>(rows: &'a [Row<'a>], tables: &'a Tables, problems: &'a [String]) -> Document<'a> {
    let priorities = tables.priorities.iter().filter_map(|priority| {
        Some(PriorityEntry {
            rank: priority.rank,
            fault: &priority.fault,
            statements: priority.keys.iter().map(ToString::to_string).collect(),
            status: worst_of(&priority.keys, rows)?,
        })
    });
    Document {
        counts: Counts::of(rows),
        problems,
        priorities: priorities.collect(),
        chapters: chapters(rows)
            .map(|(name, rows)| ChapterEntry { name, counts: Counts::of(rows) })
            .collect(),
        statements: rows.iter().map(entry).collect(),
    }
}

fn entry<'a>(row: &'a Row<'a>) -> StatementEntry<'a> {
    let statement = row.statement;
    let cases = row.cases.iter().map(|case| CaseEntry {
        kind: case.test.kind(),
        file: &case.test.path,
        test: &case.test.name,
        outcome: case.run.as_ref().map(|run| run.outcome),
        output: case.run.as_ref().map(|run| run.output.as_str()).unwrap_or_default(),
    });
    StatementEntry {
        version: &statement.key.version,
        id: &statement.key.id,
        chapter: statement.chapter(),
        layer: &statement.layer,
        via: &statement.via,
        client_test: &statement.client_test,
        about: &statement.about,
        status: row.status(),
        reason: row.reason,
        without_socket: row.lacks_socket(),
        cases: cases.collect(),
    }
}

fn chapters<'a>(rows: &'a [Row<'a>]) -> impl Iterator<Item = (String, &'a [Row<'a>])> {
    let same = |a: &Row<'_>, b: &Row<'_>| a.statement.chapter() == b.statement.chapter();
    rows.chunk_by(same).filter_map(|rows| Some((rows.first()?.statement.chapter(), rows)))
}

fn junit(rows: &[Row<'_>]) -> Report {
    let mut report = Report::new("conformance");
    for (name, rows) in chapters(rows) {
        let mut suite = TestSuite::new(name);
        suite.add_test_cases(rows.iter().map(test_case));
        report.add_test_suite(suite);
    }
    report
}

fn test_case(row: &Row<'_>) -> TestCase {
    let mut status = match row.status() {
        Status::Passed => TestCaseStatus::success(),
        Status::Failed | Status::Uncovered => TestCaseStatus::non_success(NonSuccessKind::Failure),
        Status::Skipped | Status::Listed => TestCaseStatus::skipped(),
    };
    match row.status() {
        Status::Passed => {}
        Status::Failed => drop(status.set_message(failed_cases(row))),
        Status::Uncovered => drop(status.set_message("it has no case and no reason")),
        Status::Listed => drop(status.set_message("it was not run")),
        Status::Skipped => drop(status.set_message(row.reason.unwrap_or_default())),
    }
    let mut case = TestCase::new(format!("{} {}", row.statement.key, row.statement.about), status);
    case.set_classname(format!("mqtt-{}.{}", row.statement.key.version, row.statement.layer));
    let output: String =
        row.cases.iter().filter_map(|case| Some(case.run.as_ref()?.output.as_str())).collect();
    if !output.is_empty() {
        case.set_system_out(output);
    }
    case
}

fn failed_cases(row: &Row<'_>) -> String {
    let failed = row.cases.iter().filter_map(|case| {
        let run = case.run.as_ref()?;
        (run.outcome != Outcome::Passed).then(|| format!("{}: {}", case.test, run.outcome))
    });
    failed.collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::super::citations::{Sources, Test};
    use super::super::report::Row;
    use super::super::suite::Run;
    use super::*;

    const STATEMENTS: &str = r#"
        version = "5.0"
        [[statement]]
        id = "MQTT-1.5.4-1"
        layer = "codec"
        via = "peer"
        client_test = "required"
        about = "a & b"
        [[statement]]
        id = "MQTT-1.6.4-2"
        layer = "codec"
        via = "unit"
        client_test = "required"
        about = "c"
    "#;

    #[test]
    fn both_reports_tell_the_same() {
        let tables = Tables::parse(&[STATEMENTS], "", "").unwrap();
        let mut sources = Sources::default();
        sources.read("crates/x/src/y.rs", "// [MQTT-1.5.4-1]\n#[test]\nfn t() {}\n");
        let tests: Vec<&Test> = sources.tests.iter().collect();
        let mut rows: Vec<_> =
            tables.statements.iter().map(|row| Row::new(row, &tables, &tests, None)).collect();
        rows[0].cases[0].run = Some(Run { outcome: Outcome::Failed, output: "left != right".into() });

        let json = serde_json::to_value(document(&rows, &tables, &["p".into()])).unwrap();
        assert_eq!(json["counts"]["failed"], 1);
        assert_eq!(json["counts"]["uncovered"], 1);
        assert_eq!(json["problems"][0], "p");
        assert_eq!(json["chapters"][1]["name"], "MQTT 5.0, section 1.6");
        assert_eq!(json["statements"][0]["cases"][0]["outcome"], "failed");
        assert_eq!(json["statements"][0]["cases"][0]["kind"], "unit");
        assert_eq!(json["statements"][0]["without_socket"], true);

        let xml = junit(&rows).to_string().unwrap();
        assert!(xml.contains(r#"tests="2" skipped="0" failures="2" errors="0">"#), "{xml}");
        assert!(xml.contains("[MQTT-1.5.4-1] a &amp; b") && xml.contains("left != right"), "{xml}");
        assert!(xml.contains("crates/x/src/y.rs t: FAILED"), "{xml}");
        assert!(xml.contains("it has no case and no reason"), "{xml}");
    }
}
