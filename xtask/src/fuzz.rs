//! `cargo xtask fuzz`: runs the fuzz targets of fuzz/, a workspace of its own that needs a nightly compiler and
//! cargo-fuzz. The kept corpora are replayed on stable by the tests of that workspace: `--smoke` runs these first, and
//! is content with them where fuzzing itself is not possible.

use crate::shell::{self, Done};
use clap::Args;
use serde::Deserialize;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::{env, fs};

#[derive(Args, Default)]
pub(crate) struct Options {
    /// The targets to run; all of fuzz/Cargo.toml when none is named
    targets: Vec<String>,
    /// A short run for CI that keeps nothing: first replays the corpora on stable, then fuzzes where a nightly compiler is
    #[arg(long)]
    pub(crate) smoke: bool,
    /// Seconds for each target
    #[arg(long, default_value_t = 30)]
    seconds: u32,
}

impl Options {
    /// The run that CI makes.
    pub(crate) fn for_ci() -> Self {
        Self { targets: Vec::new(), smoke: true, seconds: 30 }
    }
}

/// Runs each target for its time; the first finding ends the run.
pub(crate) fn run(options: &Options) -> Done {
    let home = shell::root().join("fuzz");
    let targets = choose(read_targets(&shell::read(&home.join("Cargo.toml"))?)?, &options.targets)?;
    if options.smoke {
        shell::run(&mut shell::cargo(["test", "--manifest-path", "fuzz/Cargo.toml"]))?;
    }
    match find_tools() {
        Err(absent) if options.smoke => {
            println!("{absent}. Not fuzzed; the corpora were replayed");
            Ok(())
        }
        Err(absent) => Err(absent),
        Ok(()) => targets.iter().try_for_each(|target| fuzz(target, options)),
    }
}

fn fuzz(target: &str, options: &Options) -> Done {
    let corpus = shell::root().join("fuzz/corpus").join(target);
    // libFuzzer keeps what it finds interesting in the first folder that it is given.
    let scratch = shell::root().join("fuzz/target/smoke").join(target);
    let folders = if options.smoke { vec![scratch, corpus] } else { vec![corpus] };
    for folder in &folders {
        fs::create_dir_all(folder).map_err(|error| format!("{}: {error}", folder.display()))?;
    }
    let mut command = Command::new("cargo");
    command
        .args(["+nightly", "fuzz", "run", "--fuzz-dir", "fuzz", target])
        .args(folders)
        .current_dir(shell::root());
    command.args(["--", &format!("-max_total_time={}", options.seconds), "-dict=fuzz/mqtt.dict"]);
    command.arg("-print_final_stats=1");
    // Set by the cargo that runs this task; they would overrule `+nightly`.
    command.env_remove("RUSTUP_TOOLCHAIN").env_remove("CARGO").env_remove("RUSTC");
    shell::run(&mut command)
}

/// The names of the programs in fuzz/Cargo.toml.
fn read_targets(manifest: &str) -> Result<Vec<String>, String> {
    #[derive(Deserialize)]
    struct Manifest {
        #[serde(default)]
        bin: Vec<Program>,
    }
    #[derive(Deserialize)]
    struct Program {
        name: String,
    }
    let manifest: Manifest = toml::from_str(manifest).map_err(|error| format!("fuzz/Cargo.toml: {error}"))?;
    Ok(manifest.bin.into_iter().map(|program| program.name).collect())
}

fn choose(all: Vec<String>, wanted: &[String]) -> Result<Vec<String>, String> {
    if let Some(unknown) = wanted.iter().find(|name| !all.contains(name)) {
        return Err(format!("no fuzz target `{unknown}`; there are {}", all.join(", ")));
    }
    Ok(all.into_iter().filter(|name| wanted.is_empty() || wanted.contains(name)).collect())
}

/// Says what to install; installs nothing, since toolchains are the user's.
fn find_tools() -> Done {
    if !has_nightly(&rustup_home()) {
        return Err(
            "fuzzing needs a nightly toolchain, and none is installed: `rustup toolchain install nightly`"
                .into(),
        );
    }
    let in_cargo_home =
        env::var_os("CARGO_HOME").is_some_and(|home| Path::new(&home).join("bin/cargo-fuzz").is_file());
    if in_cargo_home || shell::find_program("cargo-fuzz").is_some() {
        return Ok(());
    }
    Err("fuzzing needs cargo-fuzz: `cargo install --locked cargo-fuzz`".into())
}

fn rustup_home() -> PathBuf {
    let home = || PathBuf::from(env::var_os("HOME").unwrap_or_default()).join(".rustup");
    env::var_os("RUSTUP_HOME").map_or_else(home, PathBuf::from)
}

/// Looks instead of asking: `cargo +nightly` may install a toolchain just to answer.
fn has_nightly(rustup_home: &Path) -> bool {
    let Ok(toolchains) = fs::read_dir(rustup_home.join("toolchains")) else { return false };
    toolchains.flatten().any(|entry| entry.file_name().to_string_lossy().starts_with("nightly-"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn targets_are_read_and_chosen() {
        let manifest = "[[bin]]\nname = \"decode\"\npath = \"x.rs\"\n[[bin]]\nname = \"topic\"\n";
        let all = read_targets(manifest).unwrap();
        assert_eq!(all, ["decode", "topic"]);
        assert_eq!(choose(all.clone(), &[]).unwrap(), all);
        assert_eq!(choose(all.clone(), &["topic".into()]).unwrap(), ["topic"]);
        assert!(choose(all, &["tpoic".into()]).unwrap_err().contains("decode, topic"));
    }

    #[test]
    fn a_missing_rustup_has_no_nightly() {
        assert!(!has_nightly(Path::new("/nonexistent")));
    }
}
