//! `cargo xtask sim`: plays simulations of the session, see `mqtt_testkit::sim`. The player is an example of the testkit,
//! built quick and with every check; a failing seed prints the shortest play in which it fails.

use crate::shell::{self, Done};

#[derive(clap::Args)]
pub(crate) struct Options {
    /// How many seeds to play
    #[arg(long, default_value_t = 2000)]
    seeds: u64,
    /// The first of them
    #[arg(long, default_value_t = 0)]
    seed: u64,
}

impl Options {
    /// The run that CI makes.
    pub(crate) const fn for_ci() -> Self {
        Self { seeds: 2000, seed: 0 }
    }
}

/// Builds the player and starts it.
pub(crate) fn run(options: &Options) -> Done {
    let mut command =
        shell::cargo(["run", "--profile", "sim", "-p", "mqtt-testkit", "--example", "sim", "--"]);
    shell::run(command.args([options.seed.to_string(), options.seeds.to_string()]))
}
