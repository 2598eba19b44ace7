//! Builds the workspace's tests, as `cargo xtask test` does, and runs the chosen ones by their names. With plays, they
//! are asked for what their peers said and heard: see `MQTT_PLAY` in mqtt-testkit.

use super::citations::Test;
use crate::shell;
use crate::test::SUITE;
use core::fmt;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// How a test ended.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Outcome {
    Passed,
    Failed,
    /// No test program knows it, or it did not report: switched off by a `cfg`, perhaps.
    NotRun,
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Passed => "passed",
            Self::Failed => "FAILED",
            Self::NotRun => "NOT RUN",
        })
    }
}

/// What became of one test.
#[derive(Clone, Debug)]
pub(super) struct Run {
    pub(super) outcome: Outcome,
    /// What it printed; only of a failed test, unless plays were asked for.
    pub(super) output: String,
}

/// The tests that were run, by file and name.
pub(super) struct Suite {
    runs: BTreeMap<(String, String), Run>,
}

/// A test program that cargo built.
struct Program {
    executable: PathBuf,
    /// The file cargo compiled: src/lib.rs, tests/NAME.rs, ...
    source: PathBuf,
    package: PathBuf,
}

impl Suite {
    /// Builds all and runs what is wanted.
    pub(super) fn run(root: &Path, wanted: &[&Test], plays: bool) -> Result<Self, String> {
        let mut runs = BTreeMap::new();
        let begin = shell::now();
        let programs = test_programs()?;
        let built = begin.elapsed();
        for program in programs {
            let own: Vec<_> = wanted
                .iter()
                .filter_map(|test| Some((test, program.module_of(&root.join(&test.path))?)))
                .collect();
            if own.is_empty() {
                continue;
            }
            let known = program.list()?;
            let chosen: Vec<(&Test, &str)> = own
                .iter()
                .flat_map(|(test, module)| {
                    let is_it = |name: &&String| names_test(name, module, &test.name);
                    known.iter().filter(is_it).map(|name| (**test, name.as_str()))
                })
                .collect();
            let printed = program.run(chosen.iter().map(|(_, name)| *name), plays)?;
            let results: BTreeMap<&str, Outcome> = printed.lines().filter_map(read_result).collect();
            let outputs = read_outputs(&printed);
            for (test, name) in chosen {
                let outcome = results.get(name).copied().unwrap_or(Outcome::NotRun);
                let output = outputs.get(name).map(String::as_str).unwrap_or_default();
                // Two modules of one file may have tests of the same name.
                let run = runs
                    .entry((test.path.clone(), test.name.clone()))
                    .or_insert_with(|| Run { outcome, output: String::new() });
                run.output.push_str(output);
                if outcome != Outcome::Passed {
                    run.outcome = outcome;
                }
            }
        }
        let (built, all) = (built.as_secs_f64(), begin.elapsed().as_secs_f64());
        println!("{} tests: built in {built:.0} s, run in {:.0} s", runs.len(), all - built);
        Ok(Self { runs })
    }

    /// How this test ended, and what it printed.
    pub(super) fn of(&self, test: &Test) -> Run {
        let key = (test.path.clone(), test.name.clone());
        self.runs.get(&key).cloned().unwrap_or(Run { outcome: Outcome::NotRun, output: String::new() })
    }
}

impl Run {
    /// The plays in what it printed: a line for each packet, with the name of the side that sent it.
    pub(super) fn plays(&self) -> Vec<Vec<&str>> {
        let mut plays = Vec::new();
        let mut open: Option<Vec<&str>> = None;
        for line in self.output.lines() {
            match line {
                "play {" => open = Some(Vec::new()),
                "} play" => plays.extend(open.take()),
                line => {
                    if let Some(play) = &mut open {
                        play.push(line);
                    }
                }
            }
        }
        plays
    }
}

/// A message of cargo about something that it built.
#[derive(Deserialize)]
struct Message {
    executable: Option<PathBuf>,
    manifest_path: Option<PathBuf>,
    target: Option<Target>,
    profile: Option<Profile>,
}

#[derive(Deserialize)]
struct Target {
    name: String,
    src_path: PathBuf,
}

#[derive(Deserialize)]
struct Profile {
    test: bool,
}

/// Builds every test program, and what these start, and gives cargo's messages about it.
fn build() -> Result<Vec<Message>, String> {
    let mut command =
        shell::cargo(["test", "--no-run", "--quiet", "--message-format=json-render-diagnostics"]);
    let messages = shell::output(command.args(SUITE))?;
    Ok(messages.lines().filter_map(|line| serde_json::from_str(line).ok()).collect())
}

fn test_programs() -> Result<Vec<Program>, String> {
    let programs = build()?.into_iter().filter_map(|message| {
        message.profile.filter(|profile| profile.test)?;
        Some(Program {
            executable: message.executable?,
            source: message.target?.src_path,
            package: message.manifest_path?.parent()?.to_path_buf(),
        })
    });
    Ok(programs.collect())
}

/// Where the command of this name is, built as for the tests.
pub(super) fn command(name: &str) -> Result<PathBuf, String> {
    let is_it = |message: &Message| {
        message.profile.as_ref().is_some_and(|profile| !profile.test)
            && message.target.as_ref().is_some_and(|target| target.name == name)
    };
    let found = build()?.into_iter().filter(is_it).find_map(|message| message.executable);
    found.ok_or_else(|| format!("cargo builds no command `{name}`"))
}

impl Program {
    /// The module that a source file is in this program, `None` if it does not belong to it.
    fn module_of(&self, file: &Path) -> Option<String> {
        module_of(&self.source, file)
    }

    fn list(&self) -> Result<Vec<String>, String> {
        let listed = shell::output(self.command().args(["--list", "--format", "terse"]))?;
        Ok(listed.lines().filter_map(|line| line.strip_suffix(": test")).map(str::to_owned).collect())
    }

    /// Runs the named tests and gives what the program printed.
    fn run<'a>(&self, names: impl Iterator<Item = &'a str>, plays: bool) -> Result<String, String> {
        let mut command = self.command();
        command.arg("--exact").args(names);
        if plays {
            command.arg("--show-output").env("MQTT_PLAY", "1");
        }
        let output = command.stderr(Stdio::inherit()).output();
        let output = output.map_err(|error| format!("{}: {error}", self.executable.display()))?;
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        if !output.status.success() && !text.contains("test result: ") {
            println!("{text}\n{} ended early ({})", self.executable.display(), output.status);
        }
        Ok(text)
    }

    /// As cargo starts it: in the folder of its package.
    fn command(&self) -> Command {
        let mut command = Command::new(&self.executable);
        command.current_dir(&self.package).env("CARGO_MANIFEST_DIR", &self.package);
        command
    }
}

fn module_of(source: &Path, file: &Path) -> Option<String> {
    if file == source {
        return Some(String::new());
    }
    // tests/NAME.rs stands alone; lib.rs and main.rs have the files beside and below them.
    let is_root = matches!(source.file_name()?.to_str()?, "lib.rs" | "main.rs");
    let inside = file.strip_prefix(source.parent().filter(|_| is_root)?).ok()?.with_extension("");
    let mut names: Vec<&str> = inside.iter().map(|name| name.to_str()).collect::<Option<_>>()?;
    names.pop_if(|last| *last == "mod");
    Some(names.join("::"))
}

/// Whether libtest's `name` is the function `function` in the file's module, or in one inside it.
fn names_test(name: &str, module: &str, function: &str) -> bool {
    let inside = match module {
        "" => Some(name),
        module => name.strip_prefix(module).and_then(|rest| rest.strip_prefix("::")),
    };
    inside.is_some_and(|path| path.rsplit("::").next() == Some(function))
}

/// Reads what each test printed: libtest puts it under `---- NAME stdout ----`, and lists of names behind.
fn read_outputs(text: &str) -> BTreeMap<&str, String> {
    let mut outputs: BTreeMap<&str, String> = BTreeMap::new();
    let mut name = None;
    for line in text.lines() {
        if let Some(head) = line.strip_prefix("---- ").and_then(|rest| rest.strip_suffix(" stdout ----")) {
            name = Some(head);
        } else if matches!(line, "successes:" | "failures:") {
            name = None;
        } else if let Some(name) = name {
            let output = outputs.entry(name).or_default();
            output.push_str(line);
            output.push('\n');
        }
    }
    outputs
}

/// Reads `test NAME ... ok`.
fn read_result(line: &str) -> Option<(&str, Outcome)> {
    let (name, result) = line.strip_prefix("test ")?.split_once(" ... ")?;
    let name = name.strip_suffix(" - should panic").unwrap_or(name);
    let outcome = match result.split([' ', ',']).next()? {
        "ok" => Outcome::Passed,
        "ignored" => Outcome::NotRun,
        _ => Outcome::Failed,
    };
    Some((name, outcome))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_belongs_to_its_program() {
        let module = |source: &str, file: &str| module_of(Path::new(source), Path::new(file));
        assert_eq!(module("c/src/lib.rs", "c/src/lib.rs").as_deref(), Some(""));
        assert_eq!(module("c/src/lib.rs", "c/src/packet/ack.rs").as_deref(), Some("packet::ack"));
        assert_eq!(module("c/src/lib.rs", "c/src/packet/mod.rs").as_deref(), Some("packet"));
        assert_eq!(module("c/tests/a.rs", "c/tests/a.rs").as_deref(), Some(""));
        assert_eq!(module("c/tests/a/main.rs", "c/tests/a/b.rs").as_deref(), Some("b"));
        assert_eq!(module("c/tests/a.rs", "c/tests/b.rs"), None);
        assert_eq!(module("c/src/lib.rs", "c/tests/a.rs"), None);
    }

    #[test]
    fn a_name_is_found_in_its_module() {
        assert!(names_test("packet::ack::tests::short", "packet::ack", "short"));
        assert!(names_test("short", "", "short"));
        assert!(names_test("tests::short", "", "short"));
        assert!(!names_test("packet::ack::tests::too_short", "packet::ack", "short"));
        assert!(!names_test("packet::acknowledge::short", "packet::ack", "short"));
    }

    #[test]
    fn results_are_read() {
        assert_eq!(read_result("test a::b ... ok"), Some(("a::b", Outcome::Passed)));
        assert_eq!(read_result("test a - should panic ... FAILED"), Some(("a", Outcome::Failed)));
        assert_eq!(read_result("test a ... ignored, slow"), Some(("a", Outcome::NotRun)));
        assert_eq!(read_result("test result: ok. 3 passed"), None);
        assert_eq!(read_result("running 3 tests"), None);
    }

    const PRINTED: &str = "
running 2 tests
test a::b ... ok
test c ... FAILED

successes:

---- a::b stdout ----
hello
play {
client: PINGREQ
server:     PINGRESP
} play
play {
client: (closed)
} play


successes:
    a::b

failures:

---- c stdout ----

thread 'c' panicked at x.rs:1:1:


failures:
    c

test result: FAILED. 1 passed; 1 failed
";

    #[test]
    fn outputs_are_read() {
        let outputs = read_outputs(PRINTED);
        assert_eq!(outputs.keys().copied().collect::<Vec<_>>(), ["a::b", "c"]);
        assert!(outputs["c"].contains("panicked at") && !outputs["c"].contains("test result"));
        let results: BTreeMap<_, _> = PRINTED.lines().filter_map(read_result).collect();
        assert_eq!(results, BTreeMap::from([("a::b", Outcome::Passed), ("c", Outcome::Failed)]));
    }

    #[test]
    fn plays_are_found_in_the_output() {
        let output = read_outputs(PRINTED).remove("a::b").unwrap();
        let run = Run { outcome: Outcome::Passed, output };
        assert_eq!(run.plays(), [vec!["client: PINGREQ", "server:     PINGRESP"], vec!["client: (closed)"]]);
    }
}
