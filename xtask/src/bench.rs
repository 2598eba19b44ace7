//! `cargo xtask bench`: runs the comparisons of benches/, which is a workspace of its own because it depends on the
//! libraries it measures.

use crate::shell::{self, Done};
use clap::ValueEnum;
use std::process::Command;

#[derive(clap::Args)]
pub(crate) struct Options {
    /// What to measure
    subject: Subject,
    /// Passed on to the script: `--no-wall` counts instructions and allocations only, `--help` names the rest
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    arguments: Vec<String>,
}

#[derive(Clone, Copy, ValueEnum)]
enum Subject {
    /// The codec beside other MQTT codecs
    Codec,
}

/// Starts the script that builds, runs and prints.
pub(crate) fn run(options: &Options) -> Done {
    let script = match options.subject {
        Subject::Codec => "codec.py",
    };
    let home = shell::root().join("benches");
    if !home.join(script).is_file() {
        return Err(format!("benches/{script} is not there"));
    }
    let python =
        shell::find_program("python3").ok_or("the comparison is a Python script: install python3")?;
    let mut command = Command::new(python);
    command.arg(script).args(&options.arguments).current_dir(home);
    shell::run(&mut command)
}
