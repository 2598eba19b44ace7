//! `cargo xtask features`: each crate alone, with every combination of its features.
//!
//! A crate that compiles only because a neighbour switched a feature on is broken for whoever takes it alone. Cargo
//! joins the features of all crates it is asked for, so each crate is asked for by itself. What a feature leaves unused
//! is a warning, hence clippy, which can make it an error without another build of the dependencies.

use crate::metadata::{Package, Workspace};
use crate::shell::{self, Done};

/// Above this number of features: each one alone and all together, instead of the powerset.
const POWERSET: usize = 4;

/// Checks every member in every combination.
pub(crate) fn run() -> Done {
    for package in Workspace::load()?.packages {
        for selection in selections(&package) {
            let mut command = shell::cargo(["clippy", "--quiet", "--package", &package.name]);
            shell::run(command.args(&selection).args(["--", "-D", "warnings"]))?;
        }
    }
    Ok(())
}

/// The arguments that select features, one list for each build that differs from the others.
fn selections(package: &Package) -> Vec<Vec<String>> {
    let names: Vec<&str> =
        package.features.keys().map(String::as_str).filter(|name| *name != "default").collect();
    if names.is_empty() {
        return vec![Vec::new()];
    }
    let sets: Vec<Vec<&str>> = if names.len() <= POWERSET {
        let members = |mask: usize| names.iter().enumerate().filter(move |(at, _)| mask & (1 << at) != 0);
        (0..1 << names.len()).map(|mask| members(mask).map(|(_, name)| *name).collect()).collect()
    } else {
        let alone = names.iter().map(|name| vec![*name]);
        core::iter::once(Vec::new()).chain(alone).chain([names.clone()]).collect()
    };
    // The default set is a set of features like any other, but is what most people build.
    let explicit = sets.into_iter().map(|set| match set.is_empty() {
        true => vec!["--no-default-features".to_owned()],
        false => vec!["--no-default-features".to_owned(), "--features".to_owned(), set.join(",")],
    });
    core::iter::once(Vec::new()).chain(explicit).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sets(features: &str) -> Vec<String> {
        let text = format!(r#"{{"name": "x", "manifest_path": "", "features": {features}}}"#);
        let package = serde_json::from_str(&text).unwrap();
        let strip = |words: Vec<String>| {
            words.join(" ").replace("--no-default-features", "none").replace("--features ", "")
        };
        selections(&package).into_iter().map(strip).collect()
    }

    #[test]
    fn few_features_in_every_combination() {
        assert_eq!(
            sets(r#"{"default": ["a"], "a": [], "b": []}"#),
            ["", "none", "none a", "none b", "none a,b"]
        );
        assert_eq!(sets("{}"), [""]);
    }

    #[test]
    fn many_features_alone_and_together() {
        let many = sets(r#"{"a": [], "b": [], "c": [], "d": [], "e": []}"#);
        assert_eq!(many, ["", "none", "none a", "none b", "none c", "none d", "none e", "none a,b,c,d,e"]);
    }
}
