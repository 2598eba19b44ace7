//! `cargo xtask tidy`: the rules of ARCHITECTURE.md and CONTRIBUTING.md that a program can hold.
//!
//! [`arrows`] who may depend on whom, [`manifests`] what a publishable crate says about itself, [`sources`] what may
//! stand in which source file, [`layout`] which files there are. Each breach is printed as `path:line: rule: why`.

mod arrows;
mod layout;
mod manifests;
mod sources;

use crate::metadata::Workspace;
use crate::shell::{self, Done};
use crate::source;
use std::fs;
use std::path::Path;

/// One breach of a rule.
#[derive(Debug)]
struct Finding {
    /// Relative to the top of the workspace.
    path: String,
    /// From 1; 0 when the whole file is meant.
    line: usize,
    rule: &'static str,
    why: String,
}

impl Finding {
    fn new(path: &str, line: usize, rule: &'static str, why: impl Into<String>) -> Self {
        Self { path: path.to_owned(), line, rule, why: why.into() }
    }
}

/// Prints all findings and fails if there is one; long files are only named.
pub(crate) fn run() -> Done {
    let root = shell::root();
    let workspace = Workspace::load()?;
    let mut findings = layout::check_top_level(&names_at(&root)?);
    let mut long = Vec::new();
    let mut files = 0;

    for package in &workspace.packages {
        let path = relative(&root, &package.manifest_path);
        let manifest = shell::read(&package.manifest_path)?;
        findings.extend(arrows::check(package, &path, &manifest));
        findings.extend(manifests::check(package, &path, &manifest));
    }
    let manifest = shell::read(&root.join("Cargo.toml"))?;
    findings.extend(manifests::check_shared_versions(&workspace.packages, "Cargo.toml", &manifest));
    for file in source::files_below(&root)? {
        let Ok(text) = fs::read_to_string(&file) else { continue };
        let path = relative(&root, &file);
        files += 1;
        findings.extend(layout::check_text(&path, &text));
        if path.ends_with(".rs") {
            findings.extend(sources::check(&path, &text));
            long.extend(layout::length_if_long(&path, &text));
        }
    }

    for (path, lines) in &long {
        println!("warning: {path}: {lines} lines; perhaps it holds two subjects");
    }
    for Finding { path, line, rule, why } in &findings {
        println!("{path}:{line}: {rule}: {why}");
    }
    match findings.len() {
        0 => {
            println!("tidy: {files} files, {} crates, nothing found", workspace.packages.len());
            Ok(())
        }
        count => Err(format!("tidy: {count} finding(s)")),
    }
}

fn relative(root: &Path, file: &Path) -> String {
    file.strip_prefix(root).unwrap_or(file).to_string_lossy().into_owned()
}

/// The entries of the top level that .gitignore does not name.
fn names_at(root: &Path) -> Result<Vec<String>, String> {
    let ignored = fs::read_to_string(root.join(".gitignore")).unwrap_or_default();
    let entries = fs::read_dir(root).map_err(|error| format!("{}: {error}", root.display()))?;
    let names = entries.filter_map(|entry| Some(entry.ok()?.file_name().to_string_lossy().into_owned()));
    Ok(names.filter(|name| !source::is_ignored(Path::new(name), &ignored)).collect())
}

/// The line of a manifest on which `key` is set, or 0.
fn line_of_key(manifest: &str, key: &str) -> usize {
    let is_key = |line: &str| {
        line.trim_start().strip_prefix(key).is_some_and(|rest| rest.trim_start().starts_with(['=', '.']))
    };
    manifest.lines().position(is_key).map_or(0, |at| at + 1)
}
