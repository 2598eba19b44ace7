//! `cargo xtask ci`: everything that must pass before a merge, step by step, each with its time.
//!
//! All steps share one target directory and the same flags, so that a dependency is built once for `check`, once for
//! the tests and never again: no RUSTFLAGS (but for the models, which are built apart), warnings become errors by
//! `-- -D warnings` and, in the documentation, by RUSTDOCFLAGS.

use crate::shell::{self, Done};
use crate::test::SUITE;
use crate::{brokers, conformance, features, fuzz, models, no_std, sim, test, tidy};

#[derive(clap::Args)]
pub(crate) struct Options {
    /// The steps to run; all when none is named
    steps: Vec<String>,
    /// Only name the steps
    #[arg(long)]
    list: bool,
}

struct Step {
    name: &'static str,
    what: &'static str,
    run: fn() -> Done,
}

/// The cheap ones first: a slip is found in seconds.
const STEPS: &[Step] = &[
    Step { name: "fmt", what: "the layout is rustfmt's", run: format },
    Step { name: "tidy", what: "the rules of ARCHITECTURE.md hold", run: tidy::run },
    Step { name: "clippy", what: "no warning, in tests and examples either", run: clippy },
    Step { name: "doc", what: "the documentation builds without a warning", run: document },
    Step { name: "features", what: "each crate alone, in every combination of features", run: features::run },
    Step {
        name: "no-std",
        what: "codec and session link without std",
        run: || no_std::run(&no_std::Options::default()),
    },
    Step {
        name: "test",
        what: "the whole suite, as README names it",
        run: || test::run(&test::Options::default()),
    },
    Step { name: "brokers", what: "a server of others that refuses 5.0: NATS", run: brokers::run_for_ci },
    Step {
        name: "conformance",
        what: "every statement that binds a client has its case",
        run: conformance::run_for_ci,
    },
    Step { name: "sim", what: "2,000 simulations of the session", run: || sim::run(&sim::Options::for_ci()) },
    Step {
        name: "models",
        what: "the client's hand-over in every order of its threads",
        run: || models::run(&models::Options::for_ci()),
    },
    Step { name: "fuzz", what: "each fuzz target for 30 s", run: || fuzz::run(&fuzz::Options::for_ci()) },
];

/// Runs the steps in order and stops at the first that fails.
pub(crate) fn run(options: &Options) -> Done {
    if options.list {
        for Step { name, what, .. } in STEPS {
            println!("{name:<12} {what}");
        }
        return Ok(());
    }
    if let Some(unknown) = options.steps.iter().find(|wanted| STEPS.iter().all(|step| step.name != *wanted)) {
        return Err(format!("no step `{unknown}`; `cargo xtask ci --list` names them"));
    }
    let start = shell::now();
    for Step { name, what, run } in STEPS.iter().filter(|step| is_wanted(step, &options.steps)) {
        println!("\n=== {name}: {what}");
        let begin = shell::now();
        run().map_err(|reason| format!("step {name}: {reason}"))?;
        println!("=== {name}: passed in {:.0} s", begin.elapsed().as_secs_f64());
    }
    println!("\n=== all passed in {:.0} s", start.elapsed().as_secs_f64());
    Ok(())
}

fn is_wanted(step: &Step, wanted: &[String]) -> bool {
    wanted.is_empty() || wanted.iter().any(|name| name == step.name)
}

fn format() -> Done {
    shell::run(&mut shell::cargo(["fmt", "--all", "--check"]))
}

fn clippy() -> Done {
    shell::run(shell::cargo(["clippy", "--all-targets"]).args(SUITE).args(["--", "-D", "warnings"]))
}

fn document() -> Done {
    let mut command = shell::cargo(["doc", "--no-deps"]);
    shell::run(command.args(SUITE).env("RUSTDOCFLAGS", "-D warnings"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_can_be_chosen_by_name() {
        let chosen = |wanted: &[&str]| {
            let wanted: Vec<String> = wanted.iter().map(ToString::to_string).collect();
            STEPS.iter().filter(|step| is_wanted(step, &wanted)).count()
        };
        assert_eq!(chosen(&[]), STEPS.len());
        assert_eq!(chosen(&["fmt", "test"]), 2);
        assert!(run(&Options { steps: vec!["tset".into()], list: false }).unwrap_err().contains("tset"));
    }
}
