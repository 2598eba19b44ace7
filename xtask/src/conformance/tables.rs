//! The statements of the standards, as data: xtask/conformance/README.md tells what the fields mean.

use crate::shell;
use core::fmt;
use serde::Deserialize;
use std::path::Path;

/// The files, one for each version of the standard.
const FILES: &[&str] = &["mqtt-5.0.toml", "mqtt-3.1.1.toml", "mqtt-3.1.toml"];

/// Names one statement. MQTT 5.0 and 3.1.1 use the same ids with different meaning, hence the version.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Key {
    pub(super) version: String,
    pub(super) id: String,
}

impl Key {
    fn new(version: &str, id: &str) -> Self {
        Self { version: version.to_owned(), id: id.to_owned() }
    }

    /// Reads what stands between the brackets of a citation: `MQTT-1.5.4-1` is of 5.0, `MQTT-1.5.3-1/3.1.1` of 3.1.1;
    /// `5u-3`, `311u-2` and `31-7` tell it by themselves. `None` for anything else.
    pub(super) fn parse(citation: &str) -> Option<Self> {
        let is_number = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        for (prefix, version) in [("5u-", "5.0"), ("311u-", "3.1.1"), ("31-", "3.1")] {
            if let Some(number) = citation.strip_prefix(prefix) {
                return is_number(number).then(|| Self::new(version, citation));
            }
        }
        let (id, version) = match citation.strip_suffix("/3.1.1") {
            Some(id) => (id, "3.1.1"),
            None => (citation, "5.0"),
        };
        let (section, number) = id.strip_prefix("MQTT-")?.split_once('-')?;
        let is_section = section.split('.').count() == 3 && section.split('.').all(is_number);
        (is_section && is_number(number)).then(|| Self::new(version, id))
    }
}

/// As it is cited.
impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let suffix = if self.version == "3.1.1" && self.id.starts_with("MQTT-") { "/3.1.1" } else { "" };
        write!(f, "[{}{suffix}]", self.id)
    }
}

/// One statement: what the report needs of it.
pub(super) struct Statement {
    pub(super) key: Key,
    pub(super) layer: String,
    /// How it can be shown: `unit`, `peer`, `unit+peer` or `none`.
    pub(super) via: String,
    pub(super) client_test: String,
    pub(super) about: String,
    /// A rule that the standard gives without a number.
    pub(super) unnumbered: bool,
}

impl Statement {
    /// The heading under which it is reported.
    pub(super) fn chapter(&self) -> String {
        let Key { version, id } = &self.key;
        let section =
            id.strip_prefix("MQTT-").map(|rest| rest.splitn(3, '.').take(2).collect::<Vec<_>>().join("."));
        match section {
            Some(section) => format!("MQTT {version}, section {section}"),
            None if self.unnumbered => format!("MQTT {version}, rules without a number"),
            None => format!("MQTT {version}"),
        }
    }

    /// Whether it takes a peer to show it.
    pub(super) fn wants_peer(&self) -> bool {
        matches!(self.via.as_str(), "peer" | "unit+peer")
    }
}

/// What client libraries get wrong most often.
pub(super) struct Priority {
    pub(super) rank: u32,
    /// The statements that are broken, in all versions.
    pub(super) keys: Vec<Key>,
    pub(super) fault: String,
}

/// Why a statement has no test.
pub(super) struct Skip {
    pub(super) key: Key,
    pub(super) reason: String,
}

/// All statements, the common faults in order, and all reasons.
pub(super) struct Tables {
    pub(super) statements: Vec<Statement>,
    pub(super) priorities: Vec<Priority>,
    pub(super) skips: Vec<Skip>,
}

#[derive(Deserialize)]
struct File {
    version: String,
    #[serde(default)]
    statement: Vec<Row>,
    #[serde(default)]
    unnumbered: Vec<Row>,
}

#[derive(Deserialize)]
struct Row {
    id: String,
    layer: String,
    via: String,
    client_test: String,
    about: String,
}

#[derive(Deserialize)]
struct PriorityFile {
    #[serde(default)]
    priority: Vec<PriorityRow>,
}

#[derive(Deserialize)]
struct PriorityRow {
    rank: u32,
    v5: String,
    v311: String,
    fault: String,
}

impl From<PriorityRow> for Priority {
    /// The fields for the statements hold text with ids in it, such as `311u-1, 311u-3` or `no counterpart`.
    fn from(row: PriorityRow) -> Self {
        let words = |text: &str| -> Vec<String> {
            text.split([' ', ',', '(', ')']).filter(|word| !word.is_empty()).map(str::to_owned).collect()
        };
        let v5 = words(&row.v5).into_iter().filter_map(|word| Key::parse(&word));
        let v311 = words(&row.v311)
            .into_iter()
            .filter_map(|word| Key::parse(&format!("{word}/3.1.1")).or_else(|| Key::parse(&word)));
        Self { rank: row.rank, keys: v5.chain(v311).collect(), fault: row.fault }
    }
}

#[derive(Deserialize)]
struct SkipFile {
    #[serde(default)]
    skip: Vec<SkipRow>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct SkipRow {
    id: String,
    version: String,
    reason: String,
}

impl Tables {
    /// Reads all files of the folder.
    pub(super) fn load(folder: &Path) -> Result<Self, String> {
        let texts =
            FILES.iter().map(|name| shell::read(&folder.join(name))).collect::<Result<Vec<_>, _>>()?;
        let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
        Self::parse(
            &texts,
            &shell::read(&folder.join("priority.toml"))?,
            &shell::read(&folder.join("skip.toml"))?,
        )
    }

    /// Reads the texts of the files.
    pub(super) fn parse(files: &[&str], priorities: &str, skips: &str) -> Result<Self, String> {
        let mut statements = Vec::new();
        for text in files {
            let file: File = toml::from_str(text).map_err(|error| format!("conformance table: {error}"))?;
            let numbered = file.statement.into_iter().map(|row| (row, false));
            let unnumbered = file.unnumbered.into_iter().map(|row| (row, true));
            statements.extend(numbered.chain(unnumbered).map(|(row, unnumbered)| Statement {
                key: Key::new(&file.version, &row.id),
                layer: row.layer,
                via: row.via,
                client_test: row.client_test,
                about: row.about,
                unnumbered,
            }));
        }
        let priorities: PriorityFile =
            toml::from_str(priorities).map_err(|error| format!("priority.toml: {error}"))?;
        let priorities = priorities.priority.into_iter().map(Priority::from).collect();
        let skips: SkipFile = toml::from_str(skips).map_err(|error| format!("skip.toml: {error}"))?;
        let skips = skips
            .skip
            .into_iter()
            .map(|row| Skip { key: Key::new(&row.version, &row.id), reason: row.reason });
        Ok(Self { statements, priorities, skips: skips.collect() })
    }

    /// The statement of this name.
    pub(super) fn find(&self, key: &Key) -> Option<&Statement> {
        self.statements.iter().find(|statement| statement.key == *key)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_citation_names_version_and_id() {
        for (citation, version, id) in [
            ("MQTT-1.5.4-1", "5.0", "MQTT-1.5.4-1"),
            ("MQTT-1.5.3-1/3.1.1", "3.1.1", "MQTT-1.5.3-1"),
            ("MQTT-4.12.0-7", "5.0", "MQTT-4.12.0-7"),
            ("5u-3", "5.0", "5u-3"),
            ("311u-2", "3.1.1", "311u-2"),
            ("31-7", "3.1", "31-7"),
        ] {
            let key = Key::parse(citation);
            assert_eq!(key, Some(Key::new(version, id)), "{citation}");
            assert_eq!(key.map(|key| key.to_string()), Some(format!("[{citation}]")));
        }
        for wrong in
            ["MQTT-1.5-1", "MQTT-1.5.4", "MQTT-1.5.4-1/5.0", "MQTT-1.5.x-1", "5u-", "31-x", "MQTT", ""]
        {
            assert_eq!(Key::parse(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn chapters_group_by_version_and_section() {
        let chapter = |version, id, unnumbered| {
            let empty = String::new;
            Statement {
                key: Key::new(version, id),
                layer: empty(),
                via: empty(),
                client_test: empty(),
                about: empty(),
                unnumbered,
            }
            .chapter()
        };
        assert_eq!(chapter("5.0", "MQTT-3.10.4-1", false), "MQTT 5.0, section 3.10");
        assert_eq!(chapter("3.1.1", "311u-1", true), "MQTT 3.1.1, rules without a number");
        assert_eq!(chapter("3.1", "31-4", false), "MQTT 3.1");
    }

    #[test]
    fn ids_are_found_in_the_text_of_a_priority() {
        let keys = |v5: &str, v311: &str| {
            let row = PriorityRow { rank: 1, v5: v5.into(), v311: v311.into(), fault: String::new() };
            Priority::from(row).keys.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ")
        };
        assert_eq!(
            keys("MQTT-3.2.2-5", "MQTT-3.2.2-3 (choice in 3.1.1)"),
            "[MQTT-3.2.2-5] [MQTT-3.2.2-3/3.1.1]"
        );
        assert_eq!(keys("MQTT-1.5.5-1", "311u-1, 311u-3"), "[MQTT-1.5.5-1] [311u-1] [311u-3]");
        assert_eq!(keys("MQTT-4.3.3-4", "no counterpart"), "[MQTT-4.3.3-4]");
    }
}
