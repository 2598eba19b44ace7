//! Which files there are, how long they are, and what no file of the repository may name.

use super::Finding;

/// What stands at the top level, each of it.
const TOP_LEVEL: &[&str] = &[
    ".cargo",
    ".ci",
    ".clippy.toml",
    ".deny.toml",
    ".gitignore",
    ".rustfmt.toml",
    "ARCHITECTURE.md",
    "CHANGELOG.md",
    "CONTRIBUTING.md",
    "Cargo.lock",
    "Cargo.toml",
    "LICENSE-APACHE",
    "LICENSE-MIT",
    "README.md",
    "benches",
    "crates",
    "fuzz",
    "xtask",
];
/// A longer file usually holds two subjects.
const LONG: usize = 500;
/// The one registry that Cargo.lock may name.
const REGISTRY: &str = "registry+https://github.com/rust-lang/crates.io-index";
/// Paths of somebody's machine.
const FOREIGN_PATHS: &[&str] = &["../shared", "/work/", "/root/"];
/// Hosts and settings of registries and mirrors: which one is used is the machine's affair.
const REGISTRIES: &[&str] = &[
    "replace-with",
    "[source.",
    "[registries",
    "sparse+http",
    "index-url",
    "index.crates.io",
    "static.crates.io",
    "registry.npmjs.org",
    "pypi.org/simple",
    "files.pythonhosted.org",
    "artifactory",
];
/// This file names what it refuses.
const THIS_FILE: &str = "xtask/src/tidy/layout.rs";

/// The top level holds what the table says, all of it and nothing else.
pub(super) fn check_top_level(names: &[String]) -> Vec<Finding> {
    const RULE: &str = "top-level";
    let extra = names.iter().map(String::as_str).filter(|name| !TOP_LEVEL.contains(name));
    let missing = TOP_LEVEL.iter().filter(|wanted| !names.iter().any(|name| name == *wanted));
    let extra = extra.map(|name| Finding::new(name, 0, RULE, "has no place at the top level"));
    extra.chain(missing.map(|name| Finding::new(name, 0, RULE, "is missing"))).collect()
}

/// No file names another machine's paths, or a registry.
pub(super) fn check_text(path: &str, text: &str) -> Vec<Finding> {
    const RULE: &str = "foreign";
    if path == THIS_FILE {
        return Vec::new();
    }
    let refuses = |line: &str| {
        let name = FOREIGN_PATHS.iter().find(|name| names_path(line, name));
        let name = name.or_else(|| REGISTRIES.iter().find(|name| line.contains(**name)));
        if let Some(name) = name {
            return Some(format!("`{name}`: the repository stands alone"));
        }
        let source = line.strip_prefix("source = ").filter(|_| path.ends_with("Cargo.lock"))?;
        (source.trim_matches('"') != REGISTRY).then(|| format!("{source}: only crates.io may be a source"))
    };
    let lines = text.lines().enumerate();
    lines.filter_map(|(at, line)| Some(Finding::new(path, at + 1, RULE, refuses(line)?))).collect()
}

/// Whether the line names the path, and not one that merely ends like it (`net/work/`).
fn names_path(line: &str, name: &str) -> bool {
    line.match_indices(name).any(|(at, _)| {
        let before = line[..at].chars().next_back();
        !before.is_some_and(|c| c.is_alphanumeric() || matches!(c, '_' | '-' | '.' | '}' | '+' | '#'))
    })
}

/// The length of a file that is longer than it should be.
pub(super) fn length_if_long(path: &str, text: &str) -> Option<(String, usize)> {
    let lines = text.lines().count();
    (lines > LONG).then(|| (path.to_owned(), lines))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_top_level_is_exact() {
        let mut names: Vec<String> = TOP_LEVEL.iter().map(ToString::to_string).collect();
        assert!(check_top_level(&names).is_empty());
        names[0] = "notes.txt".into();
        let found: Vec<_> =
            check_top_level(&names).into_iter().map(|f| format!("{} {}", f.path, f.why)).collect();
        assert_eq!(found, ["notes.txt has no place at the top level", ".cargo is missing"]);
    }

    #[test]
    fn foreign_paths_and_registries_are_found() {
        for planted in [
            "see /work/main",
            "a ../shared/design",
            "(/root/x)",
            "[source.crates-io]",
            "pip --index-url=x",
            "a sparse+https://x",
        ] {
            let found = check_text("README.md", &format!("fine\n{planted}\n"));
            assert_eq!((found.len(), found[0].line), (1, 2), "{planted}");
        }
        assert!(
            check_text("README.md", "topic net/work/x, home/lamp, https://crates.io/crates/nom").is_empty()
        );
    }

    #[test]
    fn the_lock_names_one_registry() {
        let good = format!("source = \"{REGISTRY}\"\n");
        assert!(check_text("Cargo.lock", &good).is_empty());
        assert_eq!(
            check_text("fuzz/Cargo.lock", "source = \"registry+https://mirror.example/index\"\n").len(),
            1
        );
        assert_eq!(check_text("Cargo.lock", "source = \"git+https://example.org/x\"\n").len(), 1);
    }

    #[test]
    fn long_files_are_named() {
        assert_eq!(length_if_long("a.rs", &"\n".repeat(500)), None);
        assert_eq!(length_if_long("a.rs", &"\n".repeat(501)), Some(("a.rs".to_owned(), 501)));
    }
}
