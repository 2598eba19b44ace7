//! `cargo xtask no-std`: shows that the codec and the session need no standard library.
//!
//! The host check needs nothing beyond a Rust toolchain: a static library with its own panic handler takes the crates
//! in. If anything in their tree pulls in std, there are two panic handlers and the build stops with E0152.
//! The bare-metal check compiles for a target that has no std at all; it needs a toolchain with its library's source.

use crate::metadata::Workspace;
use crate::shell::{self, Done};
use std::fs;
use std::path::Path;
use std::process::Command;

/// The crates that must stand without std, and the name each has in code.
const CRATES: &[(&str, &str)] = &[("mqtt-codec", "mqtt_codec"), ("mqtt-session", "mqtt_session")];
const BARE_METAL: &str = "thumbv7m-none-eabi";

#[derive(clap::Args, Default)]
pub(crate) struct Options {
    /// Also compile for a microcontroller, with Debian's rustc-web, cargo-web and rust-web-src
    #[arg(long)]
    bare_metal: bool,
    /// Switch on the crates' feature `std`: shows that the host check can fail
    #[arg(long, conflicts_with = "bare_metal")]
    with_std: bool,
}

/// Runs the host check, and the bare-metal check if asked.
pub(crate) fn run(options: &Options) -> Done {
    let target = Workspace::load()?.target_directory;
    host(&target.join("no-std"), options.with_std)?;
    if options.bare_metal { bare_metal(&target.join("bare-metal")) } else { Ok(()) }
}

fn host(home: &Path, with_std: bool) -> Done {
    let root = shell::root();
    fs::create_dir_all(home.join("src")).map_err(|error| format!("{}: {error}", home.display()))?;
    shell::write(&home.join("Cargo.toml"), &manifest(&root, with_std))?;
    shell::write(&home.join("src/lib.rs"), &library())?;
    // The same versions of everything as in the workspace.
    fs::copy(root.join("Cargo.lock"), home.join("Cargo.lock"))
        .map_err(|error| format!("Cargo.lock: {error}"))?;
    shell::run(
        shell::cargo(["build", "--quiet"]).current_dir(home).env("CARGO_TARGET_DIR", home.join("target")),
    )
}

fn manifest(root: &Path, with_std: bool) -> String {
    let dependency = |(package, _): &(&str, &str)| {
        let path = root.join("crates").join(package);
        format!("{package} = {{ path = {path:?}, default-features = {with_std} }}\n")
    };
    let dependencies: String = CRATES.iter().map(dependency).collect();
    format!(
        r#"# Written by `cargo xtask no-std`.
[package]
name = "no-std"
edition = "2024"

[workspace]

[lib]
crate-type = ["staticlib"]

[profile.dev]
panic = "abort"

[dependencies]
{dependencies}"#
    )
}

fn library() -> String {
    let exports: String = CRATES.iter().map(|(_, name)| format!("pub use {name};\n")).collect();
    format!(
        r"//! Written by `cargo xtask no-std`: what a program without std brings along.
#![no_std]

{exports}
struct NoMemory;

unsafe impl core::alloc::GlobalAlloc for NoMemory {{
    unsafe fn alloc(&self, _: core::alloc::Layout) -> *mut u8 {{
        core::ptr::null_mut()
    }}
    unsafe fn dealloc(&self, _: *mut u8, _: core::alloc::Layout) {{}}
}}

#[global_allocator]
static MEMORY: NoMemory = NoMemory;

#[panic_handler]
fn panic(_: &core::panic::PanicInfo) -> ! {{
    loop {{}}
}}
"
    )
}

/// With `RUSTC_BOOTSTRAP` a stable compiler takes the flag that builds `core` and `alloc` from source.
fn bare_metal(target: &Path) -> Done {
    let (cargo, rustc) = ("/usr/bin/cargo", "/usr/bin/rustc");
    if !Path::new(cargo).is_file() || !Path::new(rustc).is_file() {
        return Err("the bare-metal check needs Debian's toolchain with the library's source: \
            `apt-get install rustc-web cargo-web rust-web-src` (660 MB); keep rustup's directory first in PATH"
            .into());
    }
    let mut command = Command::new(cargo);
    command.args(["check", "-Z", "build-std=core,alloc", "--target", BARE_METAL, "--no-default-features"]);
    command.args(CRATES.iter().flat_map(|(package, _)| ["--package", package])).current_dir(shell::root());
    // rustup's variables would send this cargo to rustup's compiler.
    command.env("PATH", "/usr/bin:/bin").env("RUSTC", rustc).env("RUSTC_BOOTSTRAP", "1");
    command.env_remove("RUSTUP_TOOLCHAIN").env("CARGO_TARGET_DIR", target);
    shell::run(&mut command)
}
