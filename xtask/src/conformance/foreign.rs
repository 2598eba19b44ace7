//! `cargo xtask conformance --client 'COMMAND'`: any client that is a command line, held against scripted servers on real
//! sockets. xtask/conformance/README.md says what a command has to do.
//!
//! [`subscriber`], [`refusals`] and [`publisher`] are the cases, [`stage`] is what their scripts share, [`command`] the process of the
//! client. Each case runs by itself, some at a time.

mod command;
mod publisher;
mod refusals;
mod stage;
mod subscriber;

use super::{files, fits, suite};
use crate::shell::{self, Done};
use command::Template;
use core::cell::RefCell;
use core::fmt;
use core::pin::Pin;
use mqtt_codec::Version;
use quick_junit::{NonSuccessKind, Report, TestCase, TestCaseStatus, TestSuite};
use serde::Serialize;
use stage::{Plays, Stage, Unfit};
use std::panic;
use std::rc::Rc;
use tokio::sync::Semaphore;
use tokio::task::LocalSet;

/// Cases that run at the same time; most of their time they wait.
const AT_ONCE: usize = 8;

const ALL: &[Version] = &[Version::V5, Version::V3_1_1, Version::V3_1];
const FROM_3_1_1: &[Version] = &[Version::V5, Version::V3_1_1];
const V3_1_1: &[Version] = &[Version::V3_1_1];
const V5: &[Version] = &[Version::V5];

/// Our own command, all cases.
pub(super) fn run_own() -> Done {
    run(&Options { own: true, ..Options::default() }, &Choice::default())
}

/// What the user says of the client. The placeholders and roles are those of xtask/conformance/README.md.
#[derive(clap::Args, Default)]
#[group(id = "foreign")]
#[command(next_help_heading = "Any other client, instead of ours")]
pub(crate) struct Options {
    /// A subscriber: prints the payload of each message on a line, stays until killed. Placeholders: {host} {port}
    /// {client_id} {topic} {qos} {version} (5, 311, 31) {level} (5, 4, 3) {keep_alive}
    #[arg(long, value_name = "COMMAND")]
    client: Option<String>,
    /// A publisher: sends {payload} to {topic} and ends, with 0 when it was acknowledged
    #[arg(long, value_name = "COMMAND")]
    publisher: Option<String>,
    /// A publisher of each line of its standard input, which ends with 0 when all were acknowledged
    #[arg(long, value_name = "COMMAND")]
    lines: Option<String>,
    /// Words to append for a session that the server keeps, such as '-c'
    #[arg(long, value_name = "WORDS", allow_hyphen_values = true)]
    persistent: Option<String>,
    /// Our own command `mqtt`, in all three roles
    #[arg(long, conflicts_with_all = ["client", "publisher", "lines", "persistent"])]
    own: bool,
}

/// What the command is.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[serde(rename_all = "lowercase")]
enum Role {
    Subscriber,
    Publisher,
    Lines,
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Subscriber => "subscriber",
            Self::Publisher => "publisher",
            Self::Lines => "lines",
        })
    }
}

/// One thing that a client must do.
struct Case {
    role: Role,
    name: &'static str,
    about: &'static str,
    versions: &'static [Version],
    /// As they are cited.
    statements: &'static [&'static str],
    script: Script,
}

type Script = fn(Stage) -> Pin<Box<dyn Future<Output = Result<(), Unfit>>>>;

/// A table of cases: the script, its versions, the statements, and what it is about.
macro_rules! cases {
    ($role:expr; $($script:ident $versions:ident [$($statement:literal)*] $about:literal;)*) => {
        &[$(Case {
            role: $role,
            name: stringify!($script),
            about: $about,
            versions: $versions,
            statements: &[$($statement),*],
            script: |stage| Box::pin($script(stage)),
        }),*]
    };
}
use cases;

/// How a case ended.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(tag = "outcome", content = "why", rename_all = "snake_case")]
enum Ended {
    Passed,
    Failed(String),
    /// It says nothing about this client.
    NotApplicable(String),
}

impl Ended {
    const fn word(&self) -> &'static str {
        match self {
            Self::Passed => "passed",
            Self::Failed(_) => "FAILED",
            Self::NotApplicable(_) => "n/a",
        }
    }
}

/// A case in one version, when it is over.
#[derive(Serialize)]
struct Played {
    role: Role,
    case: &'static str,
    about: &'static str,
    statements: &'static [&'static str],
    version: &'static str,
    #[serde(flatten)]
    ended: Ended,
    /// What both sides said, a text for each connection: `->` the server, `<-` the client.
    plays: Vec<String>,
}

/// Which cases, and how much is printed.
#[derive(Default)]
pub(super) struct Choice<'a> {
    /// Only this version.
    pub(super) version: Option<&'a str>,
    /// Only cases that have a statement, or a name, that fits.
    pub(super) id: Option<&'a str>,
    pub(super) list: bool,
    pub(super) verbose: bool,
}

impl Options {
    /// Whether another client was named.
    pub(super) const fn is_given(&self) -> bool {
        self.client.is_some() || self.publisher.is_some() || self.lines.is_some() || self.own
    }

    /// The command `mqtt`, built as for the tests.
    fn own() -> Result<Self, String> {
        let mqtt = suite::command("mqtt")?;
        let mqtt = shell_words::quote(&mqtt.to_string_lossy()).into_owned();
        let all = "-h {host} -p {port} -i {client_id} -t {topic} -q {qos} -V {version} -k {keep_alive}";
        Ok(Self {
            client: Some(format!("{mqtt} sub {all}")),
            publisher: Some(format!("{mqtt} pub {all} -m {{payload}}")),
            lines: Some(format!("{mqtt} pub {all} -l")),
            persistent: Some("-c".into()),
            own: false,
        })
    }
}

/// Plays the cases and prints how they ended.
pub(super) fn run(options: &Options, choice: &Choice<'_>) -> Done {
    if options.own {
        return run(&Options::own()?, choice);
    }
    let mut chosen = Vec::new();
    for (line, cases) in [
        (&options.client, subscriber::CASES),
        (&options.client, refusals::CASES),
        (&options.publisher, publisher::CASES),
        (&options.lines, publisher::LINE_CASES),
    ] {
        let Some(line) = line else { continue };
        let template = Template::parse(line, options.persistent.as_deref())?;
        if !template.has("version") && !template.has("level") && choice.version.is_none() {
            return Err(format!("`{line}`: {{version}} is missing; or say with --version what it speaks"));
        }
        for case in cases.iter().filter(|case| choice.wants(case)) {
            let versions = case.versions.iter().filter(|version| choice.wants_version(**version));
            chosen.extend(versions.map(|version| (case, *version, template.clone())));
        }
    }
    if chosen.is_empty() {
        return Err("no case fits".into());
    }
    if choice.list {
        for (case, version, _) in &chosen {
            println!("{:<11}{:<6} {:<38} {}", case.role, name_of(*version), case.name, case.about);
        }
        return Ok(());
    }
    let begin = shell::now();
    let played = play(chosen)?;
    print(&played, choice.verbose);
    println!("in {:.0} s", begin.elapsed().as_secs_f64());
    write(options, &played)?;
    match played.iter().filter(|played| matches!(played.ended, Ended::Failed(_))).count() {
        0 => Ok(()),
        count => Err(format!("{count} case(s) failed")),
    }
}

impl Choice<'_> {
    fn wants(&self, case: &Case) -> bool {
        self.id.is_none_or(|pattern| {
            fits(pattern, case.name) || case.statements.iter().any(|statement| fits(pattern, statement))
        })
    }

    fn wants_version(&self, version: Version) -> bool {
        self.version.is_none_or(|wanted| wanted == name_of(version))
    }
}

const fn name_of(version: Version) -> &'static str {
    match version {
        Version::V5 => "5.0",
        Version::V3_1_1 => "3.1.1",
        Version::V3_1 => "3.1",
    }
}

/// Plays all, some at a time; the order of the results is that of the cases.
fn play(chosen: Vec<(&'static Case, Version, Template)>) -> Result<Vec<Played>, String> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| format!("the runtime does not start: {error}"))?;
    // A script that fails panics; its message is told in the report.
    let hook = panic::take_hook();
    panic::set_hook(Box::new(|_| {}));
    let played = LocalSet::new().block_on(&runtime, async {
        let places = Rc::new(Semaphore::new(AT_ONCE));
        let started: Vec<_> = chosen
            .into_iter()
            .map(|(case, version, template)| {
                let places = places.clone();
                tokio::task::spawn_local(async move {
                    let _place = places.acquire().await;
                    play_one(case, version, template).await
                })
            })
            .collect();
        let mut played = Vec::new();
        for one in started {
            played.push(one.await.map_err(|error| error.to_string())?);
        }
        Ok(played)
    });
    panic::set_hook(hook);
    played
}

async fn play_one(case: &'static Case, version: Version, template: Template) -> Played {
    let plays: Plays = Rc::new(RefCell::new(Vec::new()));
    let ended = match Stage::new(template, version, plays.clone()).await {
        Err(Unfit(why)) => Ended::NotApplicable(why),
        // A task of its own, so that a panic ends there.
        Ok(stage) => match tokio::task::spawn_local((case.script)(stage)).await {
            Ok(Ok(())) => Ended::Passed,
            Ok(Err(Unfit(why))) => Ended::NotApplicable(why),
            Err(error) => Ended::Failed(message_of(error)),
        },
    };
    Played {
        role: case.role,
        case: case.name,
        about: case.about,
        statements: case.statements,
        version: name_of(version),
        ended,
        plays: plays.take(),
    }
}

fn message_of(error: tokio::task::JoinError) -> String {
    let Ok(panic) = error.try_into_panic() else { return "it was stopped".into() };
    let text =
        panic.downcast_ref::<String>().map(String::as_str).or_else(|| panic.downcast_ref::<&str>().copied());
    // The peer's message goes on with the play, which is told beside it.
    let text = text.unwrap_or("it failed without a word");
    let text = text.split("\nthe play so far").next().unwrap_or(text).trim_end();
    // Nor does the place in the script help.
    match text.strip_prefix("at ").and_then(|rest| rest.split_once(": ")) {
        Some((_, text)) => text.to_owned(),
        None => text.to_owned(),
    }
}

/// Prints a line for each case, and what there is to say about those that did not pass.
fn print(played: &[Played], verbose: bool) {
    println!("{:<49} {:<8} {:<8} {:<8}", "", "5.0", "3.1.1", "3.1");
    for versions in played.chunk_by(|a, b| (a.role, a.case) == (b.role, b.case)) {
        let Some(first) = versions.first() else { continue };
        let word = |version: &str| {
            versions.iter().find(|played| played.version == version).map_or("", |played| played.ended.word())
        };
        let words = ["5.0", "3.1.1", "3.1"].map(|version| format!("{:<8}", word(version))).join(" ");
        println!("{:<11}{:<38}{words}", first.role, first.case);
    }
    for one in played.iter().filter(|played| verbose || played.ended != Ended::Passed) {
        println!("\n{} {}, MQTT {}: {}", one.role, one.case, one.version, one.ended.word());
        println!("  {} [{}]", one.about, one.statements.join("] ["));
        match &one.ended {
            Ended::Passed => {}
            Ended::Failed(why) | Ended::NotApplicable(why) => println!("  {}", why.replace('\n', "\n  ")),
        }
        if verbose || matches!(one.ended, Ended::Failed(_)) {
            for play in &one.plays {
                println!("{}\n", for_the_stage(play));
            }
        }
    }
    let count = |word: &str| played.iter().filter(|played| played.ended.word() == word).count();
    println!("\n{} passed, {} failed, {} not applicable", count("passed"), count("FAILED"), count("n/a"));
}

/// The play of a server with the names of both sides.
fn for_the_stage(play: &str) -> String {
    let line = |line: &str| match (line.strip_prefix("<- "), line.strip_prefix("-> ")) {
        (Some(said), _) => format!("      | client: {said:.200}"),
        (None, Some(said)) => format!("      | server:     {said:.200}"),
        (None, None) => format!("      | {line:.200}"),
    };
    play.lines().map(line).collect::<Vec<_>>().join("\n")
}

fn write(options: &Options, played: &[Played]) -> Done {
    #[derive(Serialize)]
    struct Document<'a> {
        client: Option<&'a str>,
        publisher: Option<&'a str>,
        lines: Option<&'a str>,
        cases: &'a [Played],
    }
    let document = Document {
        client: options.client.as_deref(),
        publisher: options.publisher.as_deref(),
        lines: options.lines.as_deref(),
        cases: played,
    };
    let folder = shell::target().join("conformance");
    let (json, xml) = (folder.join("client.json"), folder.join("client.xml"));
    files::write(&json, &serde_json::to_string_pretty(&document).map_err(|error| error.to_string())?)?;
    files::write(&xml, &junit(played).to_string().map_err(|error| error.to_string())?)?;
    println!("written: {}, {}", json.display(), xml.display());
    Ok(())
}

fn junit(played: &[Played]) -> Report {
    let mut report = Report::new("client");
    for cases in played.chunk_by(|a, b| a.role == b.role) {
        let Some(first) = cases.first() else { continue };
        let mut suite = TestSuite::new(first.role.to_string());
        suite.add_test_cases(cases.iter().map(|one| {
            let status = match &one.ended {
                Ended::Passed => TestCaseStatus::success(),
                Ended::Failed(why) => {
                    let mut status = TestCaseStatus::non_success(NonSuccessKind::Failure);
                    status.set_message(why.as_str());
                    status
                }
                Ended::NotApplicable(why) => {
                    let mut status = TestCaseStatus::skipped();
                    status.set_message(why.as_str());
                    status
                }
            };
            let mut case = TestCase::new(format!("{} ({})", one.case, one.version), status);
            case.set_classname(first.role.to_string()).set_system_out(one.plays.join("\n\n"));
            case
        }));
        report.add_test_suite(suite);
    }
    report
}

#[cfg(test)]
mod tests {
    use super::super::tables::{Key, Tables};
    use super::*;

    fn all() -> impl Iterator<Item = &'static Case> {
        subscriber::CASES.iter().chain(refusals::CASES).chain(publisher::CASES).chain(publisher::LINE_CASES)
    }

    #[test]
    fn every_case_names_statements() {
        let tables = Tables::load(&shell::root().join("xtask/conformance")).unwrap();
        for case in all() {
            assert!(!case.statements.is_empty(), "{}", case.name);
            for statement in case.statements {
                let known = Key::parse(statement).is_some_and(|key| tables.find(&key).is_some());
                assert!(known, "{}: there is no statement {statement}", case.name);
            }
        }
    }

    #[test]
    fn cases_are_chosen() {
        let chosen = |version, id| {
            let choice = Choice { version, id, list: false, verbose: false };
            let cases = all().filter(|case| choice.wants(case));
            cases
                .map(|case| case.versions.iter().filter(|version| choice.wants_version(**version)).count())
                .sum::<usize>()
        };
        assert_eq!(chosen(None, Some("subscribes")), 3);
        assert_eq!(chosen(Some("3.1.1"), Some("subscribes")), 1);
        assert!(chosen(Some("5.0"), Some("MQTT-4.3.3-*")) > 5);
        assert_eq!(chosen(None, Some("nothing")), 0);
    }

    /// A shell that connects nowhere: the case fails with the reason, the others are not disturbed.
    #[test]
    fn a_client_that_does_nothing_fails() {
        let case = subscriber::CASES.first().unwrap();
        let template = Template::parse("true {port} {topic} {qos}", None).unwrap();
        let missing = Template::parse("true {port} {topic}", None).unwrap();
        let qos_1 = subscriber::CASES.iter().find(|case| case.name == "acknowledges_qos_1").unwrap();
        let played = play(vec![(case, Version::V5, template), (qos_1, Version::V5, missing)]).unwrap();
        assert!(matches!(&played[0].ended, Ended::Failed(why) if why.contains("ended before it connected")));
        assert_eq!(played[1].ended, Ended::NotApplicable("the command has no {qos}".into()));
    }

    #[test]
    fn a_play_has_the_names_of_both_sides() {
        assert_eq!(
            for_the_stage("<- PINGREQ\n-> PINGRESP"),
            "      | client: PINGREQ\n      | server:     PINGRESP"
        );
    }
}
