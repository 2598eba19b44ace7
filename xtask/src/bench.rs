//! `cargo xtask bench`: runs the measurements of benches/, which is a workspace of its own because it depends on the
//! libraries it compares ours with.

use crate::shell::{self, Done};
use clap::ValueEnum;
use std::process::Command;

#[derive(clap::Args)]
pub(crate) struct Options {
    /// What to measure
    subject: Subject,
    /// Passed on to the script; `--help` names what it takes
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    arguments: Vec<String>,
}

#[derive(Clone, Copy, ValueEnum)]
enum Subject {
    /// The codec beside other MQTT codecs
    Codec,
    /// The session alone, against its goals
    Session,
    /// The client beside other MQTT clients
    E2e,
    /// What a message log costs the client
    Log,
    /// The client with a store beside paho's, and beside the disk alone
    Store,
}

/// Starts the script that builds, runs and prints.
pub(crate) fn run(options: &Options) -> Done {
    let script = match options.subject {
        Subject::Codec => "codec.py",
        Subject::Session => "session.py",
        Subject::E2e => "e2e.py",
        Subject::Log => "log.py",
        Subject::Store => "store.py",
    };
    let home = shell::root().join("benches");
    if !home.join(script).is_file() {
        return Err(format!("benches/{script} is not there"));
    }
    let python =
        shell::find_program("python3").ok_or("the measurement is a Python script: install python3")?;
    let mut command = Command::new(python);
    command.arg(script).args(&options.arguments).current_dir(home);
    shell::run(&mut command)
}
