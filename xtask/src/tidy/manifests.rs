//! What each crate that can be published says about itself.

use super::{Finding, line_of_key};
use crate::metadata::Package;

const RULE: &str = "manifest";

/// Checks one member's manifest.
pub(super) fn check(package: &Package, path: &str, manifest: &str) -> Vec<Finding> {
    let mut findings = Vec::new();
    let mut need = |holds: bool, key: &str, why: &str| {
        if !holds {
            findings.push(Finding::new(path, line_of_key(manifest, key), RULE, why));
        }
    };
    let has_lints = manifest.parse::<toml::Table>().is_ok_and(|table| {
        table.get("lints").and_then(|lints| lints.get("workspace")).and_then(toml::Value::as_bool)
            == Some(true)
    });
    need(has_lints, "lints", "the lints of the workspace are not switched on: [lints] workspace = true");
    need(package.rust_version.is_some(), "rust-version", "rust-version is missing");
    need(package.description.is_some(), "description", "description is missing");
    if package.is_public() {
        need(package.license.is_some(), "license", "license is missing");
        need(package.repository.is_some(), "repository", "repository is missing");
        need(package.documentation.is_some(), "documentation", "documentation is missing");
        need((1..=5).contains(&package.keywords.len()), "keywords", "a crate has one to five keywords");
        need((1..=5).contains(&package.categories.len()), "categories", "a crate has one to five categories");
        need(package.readme.as_deref() == Some("README.md"), "readme", "readme = \"README.md\" is missing");
        let readme = package.manifest_path.with_file_name("README.md");
        need(readme.is_file(), "readme", "the crate has no README.md");
    }
    findings
}

/// Every shared version of the root manifest is used by a member.
pub(super) fn check_shared_versions(packages: &[Package], path: &str, manifest: &str) -> Vec<Finding> {
    let table = manifest.parse::<toml::Table>().unwrap_or_default();
    let shared = table.get("workspace").and_then(|workspace| workspace.get("dependencies"));
    let names = shared.and_then(toml::Value::as_table).into_iter().flatten().map(|(name, _)| name);
    let is_used =
        |name: &str| packages.iter().flat_map(|package| &package.dependencies).any(|used| used.name == name);
    let unused = names.filter(|name| !is_used(name));
    unused
        .map(|name| Finding::new(path, line_of_key(manifest, name), RULE, format!("nobody uses {name}")))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bare_manifest_is_refused_point_by_point() {
        let package = serde_json::from_str(r#"{"name": "x", "manifest_path": "none/Cargo.toml"}"#).unwrap();
        let found = check(&package, "none/Cargo.toml", "[package]\nname = \"x\"\n");
        for word in
            ["lints", "rust-version", "description", "license", "repository", "documentation", "keywords"]
        {
            assert!(found.iter().any(|finding| finding.why.contains(word)), "{word}");
        }
        assert_eq!(found.len(), 10);
    }

    #[test]
    fn a_tool_of_the_workspace_needs_little() {
        let text = r#"{"name": "x", "manifest_path": "", "publish": [], "description": "d", "rust_version": "1.88"}"#;
        let package = serde_json::from_str(text).unwrap();
        assert!(check(&package, "", "[lints]\nworkspace = true\n").is_empty());
        assert_eq!(check(&package, "", "[lints]\nworkspace = false\n").len(), 1);
    }

    #[test]
    fn a_version_that_nobody_uses_is_found() {
        let text =
            r#"[{"name": "x", "manifest_path": "", "dependencies": [{"name": "bytes", "kind": "dev"}]}]"#;
        let packages: Vec<Package> = serde_json::from_str(text).unwrap();
        let manifest = "[workspace.dependencies]\nbytes = \"1\"\nnom = { version = \"8\" }\n";
        let found = check_shared_versions(&packages, "Cargo.toml", manifest);
        assert_eq!(found.iter().map(|finding| finding.line).collect::<Vec<_>>(), [3]);
    }
}
