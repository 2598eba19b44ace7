//! Who may depend on whom. The table is the section "Arrows" of ARCHITECTURE.md; both change together.

use super::{Finding, line_of_key};
use crate::metadata::{Dependency, Package};

/// A crate and what it may depend on.
struct Room {
    name: &'static str,
    /// Members of the workspace it may name.
    members: &'static [&'static str],
    /// Members it may name only behind a feature.
    by_feature: &'static [&'static str],
    /// Members that its tests and examples may name besides.
    in_tests: &'static [&'static str],
    foreign: Foreign,
}

/// Which crates from outside the workspace a room may use.
enum Foreign {
    Any,
    Only { always: &'static [&'static str], by_feature: &'static [&'static str] },
}

const ROOMS: &[Room] = &[
    Room {
        foreign: Foreign::Only {
            always: &["bytes", "nom", "thiserror"],
            by_feature: &["tokio-util", "proptest", "arbitrary"],
        },
        ..Room::new("mqtt-codec")
    },
    Room {
        members: &["mqtt-codec"],
        in_tests: &[TESTKIT],
        foreign: Foreign::Only { always: &["bytes", "thiserror"], by_feature: &[] },
        ..Room::new("mqtt-session")
    },
    Room::new("mqtt-transport"),
    Room { members: &["mqtt-transport"], ..Room::new("mqtt-transport-tls") },
    Room { members: &["mqtt-transport"], ..Room::new("mqtt-transport-ws") },
    // QUIC is TLS inside: the same options, the same checks.
    Room { members: &["mqtt-transport", "mqtt-transport-tls"], ..Room::new("mqtt-transport-quic") },
    Room {
        members: &["mqtt-session", "mqtt-transport"],
        by_feature: &["mqtt-transport-tls", "mqtt-transport-ws", "mqtt-transport-quic"],
        // A scripted peer speaks in packets.
        in_tests: &[TESTKIT, "mqtt-codec"],
        ..Room::new("mqtt-client")
    },
    Room { members: &["mqtt-client"], in_tests: &[TESTKIT], ..Room::new("mqtt-store") },
    Room { members: &["mqtt-client"], in_tests: &[TESTKIT], ..Room::new("mqtt-log") },
    Room {
        members: &["mqtt-client", "mqtt-log", "mqtt-store"],
        in_tests: &[TESTKIT],
        ..Room::new("mqtt-cli")
    },
    Room { members: &["mqtt-codec", "mqtt-session"], ..Room::new(TESTKIT) },
    // A scripted server speaks in packets.
    Room { members: &[TESTKIT, "mqtt-codec"], ..Room::new("xtask") },
];

const TESTKIT: &str = "mqtt-testkit";
const RULE: &str = "arrow";

/// Holds the dependencies of one member against the table.
pub(super) fn check(package: &Package, path: &str, manifest: &str) -> Vec<Finding> {
    let Some(room) = ROOMS.iter().find(|room| room.name == package.name) else {
        let why = format!("{} has no place in the table of arrows (xtask/src/tidy/arrows.rs)", package.name);
        return vec![Finding::new(path, 1, RULE, why)];
    };
    let refused = |dependency: &Dependency| {
        let why = room.refuses(dependency)?;
        Some(Finding::new(path, line_of_key(manifest, &dependency.name), RULE, why))
    };
    package.dependencies.iter().filter_map(refused).collect()
}

impl Room {
    /// A room without any arrow inside the workspace, and free to use what it likes from outside.
    const fn new(name: &'static str) -> Self {
        Self { name, members: &[], by_feature: &[], in_tests: &[], foreign: Foreign::Any }
    }

    /// Why this room must not have this dependency.
    fn refuses(&self, dependency: &Dependency) -> Option<String> {
        let Self { name, .. } = self;
        let other = dependency.name.as_str();
        let behind_feature = |list: &[&str]| list.contains(&other) && dependency.optional;
        if ROOMS.iter().any(|room| room.name == other) {
            let allowed = self.members.contains(&other) || behind_feature(self.by_feature);
            return match dependency.kind.as_deref() {
                Some("dev") if allowed || self.in_tests.contains(&other) => None,
                None if allowed => None,
                None if self.by_feature.contains(&other) => {
                    Some(format!("{name} may use {other} only behind a feature: make it optional"))
                }
                None if other == TESTKIT => Some(format!("{TESTKIT} is for tests: make it a dev-dependency")),
                kind => {
                    Some(format!("{name} must not have {other} as a {} dependency", kind.unwrap_or("normal")))
                }
            };
        }
        match (&self.foreign, dependency.kind.as_deref()) {
            (Foreign::Any, _) | (_, Some("dev")) => None,
            (Foreign::Only { always, by_feature }, _)
                if always.contains(&other) || behind_feature(by_feature) =>
            {
                None
            }
            (Foreign::Only { always, by_feature }, _) => Some(format!(
                "{name} keeps to {always:?}, and behind a feature {by_feature:?}; {other} is neither"
            )),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn package(name: &str, dependencies: &str) -> Package {
        let text = format!(r#"{{"name": "{name}", "manifest_path": "", "dependencies": {dependencies}}}"#);
        serde_json::from_str(&text).unwrap()
    }

    fn findings(name: &str, dependencies: &str) -> Vec<(usize, String)> {
        let manifest = "[dependencies]\nbytes = \"1\"\nmqtt-transport.workspace = true\ntokio = \"1\"\n";
        let found = check(&package(name, dependencies), "Cargo.toml", manifest);
        found.into_iter().map(|finding| (finding.line, finding.why)).collect()
    }

    #[test]
    fn the_allowed_arrows_pass() {
        let session = r#"[{"name": "mqtt-codec", "kind": null}, {"name": "bytes", "kind": null},
            {"name": "mqtt-testkit", "kind": "dev"}, {"name": "tokio", "kind": "dev"}]"#;
        assert!(findings("mqtt-session", session).is_empty());
        let codec = r#"[{"name": "tokio-util", "kind": null, "optional": true}]"#;
        assert!(findings("mqtt-codec", codec).is_empty());
    }

    #[test]
    fn planted_arrows_are_found_with_their_line() {
        let planted = [
            ("mqtt-session", r#"[{"name": "mqtt-transport", "kind": null}]"#, 3, "must not have"),
            ("mqtt-session", r#"[{"name": "mqtt-transport", "kind": "dev"}]"#, 3, "as a dev dependency"),
            ("mqtt-transport", r#"[{"name": "mqtt-testkit", "kind": "dev"}]"#, 0, "as a dev dependency"),
            ("mqtt-session", r#"[{"name": "tokio", "kind": null}]"#, 4, "keeps to"),
            ("mqtt-codec", r#"[{"name": "tokio-util", "kind": null}]"#, 0, "behind a feature"),
            ("mqtt-codec", r#"[{"name": "tokio", "kind": "build"}]"#, 4, "keeps to"),
            ("mqtt-client", r#"[{"name": "mqtt-testkit", "kind": null}]"#, 0, "dev-dependency"),
            ("mqtt-client", r#"[{"name": "mqtt-codec", "kind": null}]"#, 0, "must not have"),
            ("mqtt-client", r#"[{"name": "mqtt-transport-tls", "kind": null}]"#, 0, "make it optional"),
            ("mqtt-transport", r#"[{"name": "mqtt-codec", "kind": null}]"#, 0, "must not have"),
            ("mqtt-attic", "[]", 1, "no place"),
        ];
        for (name, dependencies, line, why) in planted {
            let found = findings(name, dependencies);
            assert_eq!(found.len(), 1, "{name} {dependencies}");
            assert!(found[0].0 == line && found[0].1.contains(why), "{name} {dependencies}: {found:?}");
        }
    }
}
