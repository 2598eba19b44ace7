//! What `cargo metadata` says about the members of the workspace.

use crate::shell;
use serde::Deserialize;
use std::collections::BTreeMap;
use std::path::PathBuf;

/// The workspace: its members only, since nothing here asks about foreign packages.
#[derive(Deserialize)]
pub(crate) struct Workspace {
    pub(crate) packages: Vec<Package>,
    pub(crate) target_directory: PathBuf,
}

/// One member.
#[derive(Clone, Deserialize)]
pub(crate) struct Package {
    pub(crate) name: String,
    pub(crate) manifest_path: PathBuf,
    #[serde(default)]
    pub(crate) dependencies: Vec<Dependency>,
    #[serde(default)]
    pub(crate) features: BTreeMap<String, Vec<String>>,
    /// `None`: may be published anywhere; an empty list: `publish = false`.
    pub(crate) publish: Option<Vec<String>>,
    pub(crate) description: Option<String>,
    #[serde(default)]
    pub(crate) keywords: Vec<String>,
    #[serde(default)]
    pub(crate) categories: Vec<String>,
    pub(crate) readme: Option<String>,
    pub(crate) documentation: Option<String>,
    pub(crate) repository: Option<String>,
    pub(crate) license: Option<String>,
    pub(crate) rust_version: Option<String>,
}

impl Package {
    /// Whether it can be published at all.
    pub(crate) fn is_public(&self) -> bool {
        self.publish.as_ref().is_none_or(|registries| !registries.is_empty())
    }
}

/// One line of a member's dependencies.
#[derive(Clone, Deserialize)]
pub(crate) struct Dependency {
    pub(crate) name: String,
    /// `None` for a normal one, else `dev` or `build`.
    pub(crate) kind: Option<String>,
    #[serde(default)]
    pub(crate) optional: bool,
}

impl Workspace {
    /// Asks cargo; works without a network.
    pub(crate) fn load() -> Result<Self, String> {
        let text = shell::output(&mut shell::cargo(["metadata", "--no-deps", "--format-version", "1"]))?;
        serde_json::from_str(&text).map_err(|error| format!("cargo metadata: {error}"))
    }
}
