//! `cargo xtask test`: the whole test suite, with the broker that it is held against.
//!
//! A missing mosquitto is installed where that is possible (apt-get and root), and is an error everywhere else: tests
//! that were skipped in silence would look like tests that passed.

use crate::shell::{self, Done};
use std::process::Command;

/// What the tests start as child processes.
const PROGRAMS: &[&str] = &["mosquitto", "mosquitto_pub", "mosquitto_sub"];
const PACKAGES: &[&str] = &["mosquitto", "mosquitto-clients"];
/// The selection of all tests. Every task that builds tests uses it, so that they are built once.
pub(crate) const SUITE: &[&str] = &["--workspace", "--all-features"];

#[derive(clap::Args, Default)]
pub(crate) struct Options {
    /// Further arguments for `cargo test`, such as a test's name, or `-- --nocapture`
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    arguments: Vec<String>,
}

/// Sees to mosquitto, then runs every test, documentation included.
pub(crate) fn run(options: &Options) -> Done {
    provide_mosquitto()?;
    shell::run(shell::cargo(["test"]).args(SUITE).args(&options.arguments))
}

/// Makes sure that the broker and its clients are there.
pub(crate) fn provide_mosquitto() -> Done {
    if missing().is_empty() {
        return Ok(());
    }
    let absent = missing().join(", ");
    let advice = format!(
        "the tests need {absent}, and will not skip what needs it. Install it and run this again: on Debian and Ubuntu \
         `apt-get install {}`, on Fedora `dnf install mosquitto`, on macOS `brew install mosquitto`",
        PACKAGES.join(" ")
    );
    if shell::find_program("apt-get").is_none() || !is_root() {
        return Err(advice);
    }
    println!("{absent} not found: installing {}", PACKAGES.join(", "));
    let apt = |arguments: &[&str]| {
        shell::run(Command::new("apt-get").args(arguments).env("DEBIAN_FRONTEND", "noninteractive"))
    };
    apt(&["update"])
        .and_then(|()| apt(&[&["install", "-y", "--no-install-recommends"], PACKAGES].concat()))
        .map_err(|error| format!("{error}; {advice}"))?;
    if missing().is_empty() { Ok(()) } else { Err(advice) }
}

fn missing() -> Vec<&'static str> {
    PROGRAMS.iter().copied().filter(|name| shell::find_program(name).is_none()).collect()
}

fn is_root() -> bool {
    shell::output(Command::new("id").arg("-u")).is_ok_and(|id| id.trim() == "0")
}
