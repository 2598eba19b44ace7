//! The command `mqtt`: `mqtt pub` publishes, `mqtt sub` subscribes, `mqtt log` shows a log of messages, `mqtt store` what a
//! client has on disk. Flags are those of `mosquitto_pub` and `mosquitto_sub`; exit codes are listed in the help and in
//! README.md.

mod args;
mod connection;
mod deliveries;
mod failure;
mod format;
mod log;
mod options;
mod output;
mod properties;
mod publish;
mod server;
mod signals;
mod store;
mod subscribe;
mod usage;
mod values;

use std::process::ExitCode;

use clap::Parser;

use crate::args::{Cli, Command};
use crate::failure::{Exit, Failure};
use crate::output::Report;

fn main() -> ExitCode {
    let command = match Cli::try_parse() {
        Ok(cli) => cli.command,
        Err(error) => return usage::tell(&error),
    };
    let (name, debug, quiet) = match &command {
        Command::Pub(args) => ("mqtt pub", args.connection.debug, args.connection.quiet),
        Command::Sub(args) => ("mqtt sub", args.connection.debug, args.connection.quiet),
        Command::Log(args) => ("mqtt log", args.debug, args.quiet),
        Command::Store(args) => return end(store::run(args), Report::new("mqtt store", false, false)),
    };
    let report = Report::new(name, debug, quiet);
    end(run(command, report), report)
}

fn end(ended: Result<Exit, Failure>, report: Report) -> ExitCode {
    let exit = ended.unwrap_or_else(|failure| {
        report.error(&failure);
        failure.exit
    });
    exit.into()
}

fn run(command: Command, report: Report) -> Result<Exit, Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::wrong(format!("no runtime: {error}")))?;
    let ended = runtime.block_on(async {
        match command {
            Command::Pub(args) => publish::run(args, report).await,
            Command::Sub(args) => subscribe::run(args, report).await,
            Command::Store(args) => store::run(&args),
            Command::Log(args) => log::run(args, report).await,
        }
    });
    // Standard input may still be waited for, by a thread that cannot be called off.
    runtime.shutdown_background();
    ended
}
