//! `cargo xtask models`: runs the models of the client's hand-over in every order of their threads, by loom.
//!
//! The cfg that puts loom's lock into the client is no feature: with it the crate works inside a model only. Its build
//! has a directory of its own, so that the others are not thrown away.

use crate::shell::{self, Done};

#[derive(clap::Args)]
pub(crate) struct Options {
    /// How often a thread may be interrupted in one run where it could go on
    #[arg(long, default_value_t = 2)]
    preemptions: u32,
}

impl Options {
    /// The run that CI makes.
    pub(crate) const fn for_ci() -> Self {
        Self { preemptions: 2 }
    }
}

/// Builds the models and runs them.
pub(crate) fn run(options: &Options) -> Done {
    let mut command =
        shell::cargo(["test", "-p", "mqtt-client", "--no-default-features", "--lib", "models::"]);
    shell::run(
        command
            .env("CARGO_TARGET_DIR", shell::target().join("models"))
            .env("RUSTFLAGS", "--cfg handover_model")
            .env("CARGO_PROFILE_DEV_DEBUG", "0")
            .env("LOOM_MAX_PREEMPTIONS", options.preemptions.to_string()),
    )
}
