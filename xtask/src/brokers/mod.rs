//! `cargo xtask brokers`: what the client does with each server, transport by transport.
//!
//! Runs the client's tests that are held against real servers (`crates/mqtt-client/tests/transports/`) and prints tables
//! of them: feature by feature for each server and version, then what is played on every transport. Servers that are
//! not there are named, with how to get them.

mod table;

use crate::shell::{self, Done};
use crate::test::provide_mosquitto;
use std::env;
use std::path::PathBuf;
use std::process::Command;
use table::{Cell, results};

#[derive(clap::Args, Default)]
pub(crate) struct Options {
    /// Only these: mosquitto, testkit, nats, mqtt5, rumqttd, aedes. What is a crate is built then; without a name, all
    /// that are there are run
    servers: Vec<String>,
}

/// A server, and where it comes from.
struct Server {
    name: &'static str,
    origin: Origin,
}

enum Origin {
    /// The tests see to it themselves.
    Tests,
    /// A program of the machine, found under this name and handed on in this variable.
    Program { program: &'static str, variable: &'static str, get: &'static str },
    /// A crate: a program of `xtask/brokers`, behind a feature of the server's name.
    Crate { variable: &'static str },
    /// A package of Node.js, under a script in `xtask/brokers`.
    Node { variable: &'static str },
}

const SERVERS: &[Server] = &[
    Server { name: "mosquitto", origin: Origin::Tests },
    Server { name: "testkit", origin: Origin::Tests },
    Server {
        name: "nats",
        origin: Origin::Program {
            program: "nats-server",
            variable: "MQTT_NATS_SERVER",
            get: "apt-get install nats-server",
        },
    },
    Server { name: "mqtt5", origin: Origin::Crate { variable: "MQTT_BROKER_MQTT5" } },
    Server { name: "rumqttd", origin: Origin::Crate { variable: "MQTT_BROKER_RUMQTTD" } },
    Server { name: "aedes", origin: Origin::Node { variable: "MQTT_BROKER_AEDES" } },
];

/// Whether a server can be started: with these variables set, or why not.
type Found = Result<Option<(&'static str, String)>, String>;

impl Server {
    /// Looks for it, and makes it if that is `wanted`.
    fn find(&self, wanted: bool) -> Found {
        match self.origin {
            Origin::Tests => Ok(None),
            Origin::Program { program, variable, get } => match shell::find_program(program) {
                Some(path) => Ok(Some((variable, path.display().to_string()))),
                None => Err(format!("not installed; to get it: {get}")),
            },
            Origin::Crate { variable } => {
                let program = self.program();
                if wanted {
                    self.build()?;
                }
                if program.is_file() {
                    return Ok(Some((variable, program.display().to_string())));
                }
                Err(format!("not built; `cargo xtask brokers {}` takes some minutes for that", self.name))
            }
            Origin::Node { variable } => {
                let home = home();
                let install = "npm install --prefix xtask/brokers";
                let Some(node) = shell::find_program("node") else {
                    return Err(format!("Node.js is not installed; then: {install}"));
                };
                if !home.join("node_modules").join(self.name).is_dir() {
                    return Err(format!("not installed; to get it: {install}"));
                }
                let script = home.join(format!("{}.cjs", self.name));
                Ok(Some((variable, format!("{}\n{}", node.display(), script.display()))))
            }
        }
    }

    fn build(&self) -> Done {
        let manifest = home().join("Cargo.toml").display().to_string();
        let target = target().display().to_string();
        let arguments = ["build", "--manifest-path", &manifest, "--target-dir", &target];
        shell::run(shell::cargo(arguments).args(["--features", self.name]))
    }

    fn program(&self) -> PathBuf {
        target().join("debug").join(format!("{}-broker{}", self.name, env::consts::EXE_SUFFIX))
    }
}

fn home() -> PathBuf {
    shell::root().join("xtask/brokers")
}

fn target() -> PathBuf {
    shell::target().join("brokers")
}

/// Runs the tests, prints the tables, and fails if a test has failed.
pub(crate) fn run(options: &Options) -> Done {
    let unknown = options.servers.iter().find(|wanted| SERVERS.iter().all(|server| server.name != **wanted));
    if let Some(unknown) = unknown {
        let names: Vec<&str> = SERVERS.iter().map(|server| server.name).collect();
        return Err(format!("no server `{unknown}`; there are {}", names.join(", ")));
    }
    provide_mosquitto()?;
    let all = options.servers.is_empty();
    let mut command = matrix();
    let (mut names, mut absent) = (Vec::new(), Vec::new());
    for server in SERVERS {
        let wanted = options.servers.iter().any(|name| name == server.name);
        if !(all || wanted) {
            continue;
        }
        match server.find(wanted) {
            Ok(variable) => {
                command.envs(variable);
                names.push(server.name);
            }
            Err(why) if wanted => return Err(format!("{}: {why}", server.name)),
            Err(why) => absent.push(format!("{}: {why}", server.name)),
        }
    }
    let failed_cells = play(command.env("MQTT_INTEROP", names.join(" ")));
    let failed_tests = if all { run_transports() } else { Ok(()) };
    for absent in &absent {
        println!("{absent}");
    }
    failed_cells.and(failed_tests)
}

/// What is run for every change, beside the tests of the suite: a server of others that refuses 5.0.
pub(crate) fn run_for_ci() -> Done {
    run(&Options { servers: vec!["nats".into()] })
}

/// The test that plays the servers which it is told.
fn matrix() -> Command {
    let mut command = shell::cargo(["test", "-p", "mqtt-client", "--all-features", "--test", "transports"]);
    command.args(["--", "--color=never", "--nocapture", "interop::"]);
    command
}

/// Runs the matrix and prints its table.
fn play(command: &mut Command) -> Done {
    let output = command.output().map_err(|error| format!("cargo did not start: {error}"))?;
    let printed = String::from_utf8_lossy(&output.stdout);
    let cells: Vec<Cell> = printed.lines().filter_map(Cell::read).collect();
    if cells.is_empty() {
        return Err(format!("nothing has run: {}", String::from_utf8_lossy(&output.stderr)));
    }
    print!("{}", table::features(&cells));
    if output.status.success() {
        return Ok(());
    }
    let failed = cells.iter().filter(|cell| cell.has_failed()).count();
    Err(format!("{failed} cells failed: {}", String::from_utf8_lossy(&output.stderr)))
}

/// Runs what is held against mosquitto and the testkit's broker on every transport.
fn run_transports() -> Done {
    let arguments = ["test", "-p", "mqtt-client", "--all-features", "--no-fail-fast"];
    let tests =
        ["--test", "transports", "--test", "broker_matrix", "--", "--color=never", "--skip", "interop::"];
    // A test that fails makes cargo fail: what it printed is wanted all the same.
    let mut command = shell::cargo(arguments);
    let output = command.args(tests).output().map_err(|error| format!("cargo did not start: {error}"))?;
    let printed = String::from_utf8_lossy(&output.stdout);
    let results = results(&printed);
    if results.is_empty() {
        return Err(format!("no test has run: {}", String::from_utf8_lossy(&output.stderr)));
    }
    print!("{}", table::transports(&results));
    let failed: Vec<&str> = results.iter().filter(|(_, passed)| !passed).map(|(name, _)| *name).collect();
    if failed.is_empty() && output.status.success() {
        return Ok(());
    }
    Err(format!(
        "failed: {}; see `cargo test -p mqtt-client --all-features --test transports --test broker_matrix`",
        failed.join(", ")
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_is_chosen_by_name() {
        let error = run(&Options { servers: vec!["mosquito".into()] }).unwrap_err();
        assert!(error.contains("mosquito") && error.contains("rumqttd"), "{error}");
    }
}
