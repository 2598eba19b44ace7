//! Builds the workspace's tests, as `cargo xtask test` does, and runs the chosen ones by their names.

use super::citations::Test;
use crate::shell;
use crate::test::SUITE;
use core::fmt;
use serde::Deserialize;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// How a test ended.
#[derive(Clone, Copy, Debug, PartialEq)]
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

/// The outcomes of the tests that were run.
pub(super) struct Suite {
    outcomes: BTreeMap<(String, String), Outcome>,
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
    pub(super) fn run(root: &Path, wanted: &[&Test]) -> Result<Self, String> {
        let mut outcomes = BTreeMap::new();
        for program in build()? {
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
            let results = program.run(chosen.iter().map(|(_, name)| *name))?;
            for (test, name) in chosen {
                let outcome = results.get(name).copied().unwrap_or(Outcome::NotRun);
                let entry = outcomes.entry((test.path.clone(), test.name.clone())).or_insert(outcome);
                if outcome != Outcome::Passed {
                    *entry = outcome;
                }
            }
        }
        Ok(Self { outcomes })
    }

    /// How this test ended.
    pub(super) fn outcome(&self, test: &Test) -> Outcome {
        let key = (test.path.clone(), test.name.clone());
        self.outcomes.get(&key).copied().unwrap_or(Outcome::NotRun)
    }
}

/// Builds every test program and reads from cargo's messages where they are.
fn build() -> Result<Vec<Program>, String> {
    #[derive(Deserialize)]
    struct Message {
        executable: Option<PathBuf>,
        manifest_path: Option<PathBuf>,
        target: Option<Target>,
        profile: Option<Profile>,
    }
    #[derive(Deserialize)]
    struct Target {
        src_path: PathBuf,
    }
    #[derive(Deserialize)]
    struct Profile {
        test: bool,
    }
    let mut command =
        shell::cargo(["test", "--no-run", "--quiet", "--message-format=json-render-diagnostics"]);
    let messages = shell::output(command.args(SUITE))?;
    let messages = messages.lines().filter_map(|line| serde_json::from_str::<Message>(line).ok());
    let programs = messages.filter_map(|message| {
        message.profile.filter(|profile| profile.test)?;
        Some(Program {
            executable: message.executable?,
            source: message.target?.src_path,
            package: message.manifest_path?.parent()?.to_path_buf(),
        })
    });
    Ok(programs.collect())
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

    /// Runs the named tests; shows the output of the program when one fails.
    fn run<'a>(&self, names: impl Iterator<Item = &'a str>) -> Result<BTreeMap<String, Outcome>, String> {
        let output = self.command().arg("--exact").args(names).stderr(Stdio::inherit()).output();
        let output = output.map_err(|error| format!("{}: {error}", self.executable.display()))?;
        let text = String::from_utf8_lossy(&output.stdout);
        if !output.status.success() {
            print!("{text}");
        }
        Ok(text.lines().filter_map(read_result).map(|(name, outcome)| (name.to_owned(), outcome)).collect())
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
}
