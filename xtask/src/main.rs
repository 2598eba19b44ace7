//! `cargo xtask`: what this workspace does besides compiling. This file only dispatches; each task is a file of its
//! own and opens with what it does.

mod bench;
mod brokers;
mod ci;
mod conformance;
mod features;
mod fuzz;
mod metadata;
mod models;
mod no_std;
mod shell;
mod sim;
mod source;
mod test;
mod tidy;

use clap::{Parser, Subcommand};
use std::process::ExitCode;

/// The tasks of this workspace.
#[derive(Parser)]
#[command(bin_name = "cargo xtask")]
struct Arguments {
    #[command(subcommand)]
    task: Task,
}

#[derive(Subcommand)]
enum Task {
    /// Run the whole test suite; installs mosquitto where it can
    Test(test::Options),
    /// Hold the sources against the rules of ARCHITECTURE.md
    Tidy,
    /// Everything that must pass before a merge
    Ci(ci::Options),
    /// Check each crate alone, with every combination of its features
    Features,
    /// Show that mqtt-codec and mqtt-session link without the standard library
    NoStd(no_std::Options),
    /// Run the fuzz targets of fuzz/
    Fuzz(fuzz::Options),
    /// Play simulations of the session: a seed decides what is done and what goes wrong
    Sim(sim::Options),
    /// Run the models of the client's hand-over in every order of their threads
    Models(models::Options),
    /// Hold the client against each server and transport, and print a table
    Brokers(brokers::Options),
    /// Run the measurements of benches/
    Bench(bench::Options),
    /// Run the tests that cite a statement of the standards, and report statement by statement
    Conformance(conformance::Options),
}

fn main() -> ExitCode {
    let done = match Arguments::parse().task {
        Task::Test(options) => test::run(&options),
        Task::Tidy => tidy::run(),
        Task::Ci(options) => ci::run(&options),
        Task::Features => features::run(),
        Task::NoStd(options) => no_std::run(&options),
        Task::Fuzz(options) => fuzz::run(&options),
        Task::Sim(options) => sim::run(&options),
        Task::Models(options) => models::run(&options),
        Task::Brokers(options) => brokers::run(&options),
        Task::Bench(options) => bench::run(&options),
        Task::Conformance(options) => conformance::run(&options),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(reason) => {
            eprintln!("error: {reason}");
            ExitCode::FAILURE
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory as _;

    #[test]
    fn the_command_line_is_consistent() {
        Arguments::command().debug_assert();
    }
}
