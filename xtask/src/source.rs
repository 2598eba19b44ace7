//! A reading of Rust source that is just good enough for rules: code, comments and literals told apart, `use` trees
//! spread out. It follows the layout rustfmt gives.

use std::fs;
use std::path::{Path, PathBuf};

/// One line of a source file.
#[derive(Clone, Debug, Default)]
pub(crate) struct Line {
    /// The code, with the contents of string and character literals left out.
    pub(crate) code: String,
    /// The text of the comments on this line.
    pub(crate) comment: String,
}

enum State {
    Code,
    LineComment,
    BlockComment { depth: usize },
    Text { hashes: Option<usize> },
}

/// Splits a source into lines.
pub(crate) fn lines(text: &str) -> Vec<Line> {
    let mut lines = Vec::new();
    let mut line = Line::default();
    let mut state = State::Code;
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        let mut step = c.len_utf8();
        match state {
            _ if c == '\n' => {
                if matches!(state, State::LineComment) {
                    state = State::Code;
                }
                lines.push(core::mem::take(&mut line));
            }
            State::Code if rest.starts_with("//") => state = State::LineComment,
            State::Code if rest.starts_with("/*") => {
                (state, step) = (State::BlockComment { depth: 1 }, 2);
            }
            State::Code if c == '"' => {
                line.code.push(c);
                state = State::Text { hashes: None };
            }
            State::Code if c == 'r' && !ends_in_word(&line.code) && raw_hashes(rest).is_some() => {
                let hashes = raw_hashes(rest).unwrap_or(0);
                line.code.push('"');
                (state, step) = (State::Text { hashes: Some(hashes) }, hashes + 2);
            }
            State::Code if c == '\'' => {
                step = char_literal(rest).unwrap_or(step);
                line.code.push(c);
            }
            State::Code => line.code.push(c),
            State::LineComment => line.comment.push(c),
            State::BlockComment { depth } if rest.starts_with("*/") => {
                state = if depth == 1 { State::Code } else { State::BlockComment { depth: depth - 1 } };
                step = 2;
            }
            State::BlockComment { depth } if rest.starts_with("/*") => {
                (state, step) = (State::BlockComment { depth: depth + 1 }, 2);
            }
            State::BlockComment { .. } => line.comment.push(c),
            State::Text { hashes: None } if c == '\\' && !rest.starts_with("\\\n") => {
                step += rest.chars().nth(1).map_or(0, char::len_utf8);
            }
            State::Text { hashes } if c == '"' && rest[1..].starts_with(&"#".repeat(hashes.unwrap_or(0))) => {
                line.code.push(c);
                (state, step) = (State::Code, 1 + hashes.unwrap_or(0));
            }
            State::Text { .. } => {}
        }
        rest = rest.get(step..).unwrap_or_default();
    }
    lines.push(line);
    lines
}

/// A letter before `r` makes it part of a name, except the prefixes of byte and C strings.
fn ends_in_word(code: &str) -> bool {
    let mut back = code.chars().rev();
    match back.next() {
        Some('b' | 'c') => back.next().is_some_and(is_word),
        Some(c) => is_word(c),
        None => false,
    }
}

/// For `r"`, `r#"`, ...: how many hashes.
fn raw_hashes(rest: &str) -> Option<usize> {
    let after = rest[1..].trim_start_matches('#');
    after.starts_with('"').then(|| rest.len() - 1 - after.len())
}

/// The length of a character literal; `None` for a lifetime.
fn char_literal(rest: &str) -> Option<usize> {
    let body = rest.strip_prefix('\'')?;
    let first = body.chars().next()?;
    let skip = if first == '\\' { 2 } else { first.len_utf8() };
    let close = body.get(skip..)?.find('\'')?;
    (first == '\\' || close == 0).then_some(1 + skip + close + 1)
}

/// Whether the character can stand in a name.
pub(crate) fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

/// Whether `name` stands in the code as a whole word.
pub(crate) fn has_word(code: &str, name: &str) -> bool {
    code.match_indices(name).any(|(at, _)| {
        let before = code[..at].chars().next_back();
        let after = code[at + name.len()..].chars().next();
        !before.is_some_and(is_word) && !after.is_some_and(is_word)
    })
}

/// One path of a `use` item, its braces spread out: `use a::{b, c::d}` gives `a::b` and `a::c::d`.
#[derive(Debug, PartialEq)]
pub(crate) struct Import {
    /// Line number of the item, from 1.
    pub(crate) line: usize,
    /// Whether it is a `pub use`.
    pub(crate) public: bool,
    /// The path without a leading `::` and without `as NAME`.
    pub(crate) path: String,
}

/// All imports of a file.
pub(crate) fn imports(lines: &[Line]) -> Vec<Import> {
    let mut found = Vec::new();
    let mut rest = lines.iter().enumerate();
    while let Some((at, line)) = rest.next() {
        let code = line.code.trim();
        let (public, tree) = match (code.strip_prefix("use "), code.strip_prefix("pub use ")) {
            (Some(tree), _) => (false, tree),
            (None, Some(tree)) => (true, tree),
            (None, None) => continue,
        };
        let mut tree = tree.to_owned();
        while !tree.contains(';') {
            let Some((_, next)) = rest.next() else { break };
            tree.push_str(next.code.trim());
        }
        let tree = tree.split(';').next().unwrap_or_default();
        spread("", tree, &mut |path| {
            let path = path.trim_start_matches("::").to_owned();
            found.push(Import { line: at + 1, public, path });
        });
    }
    found
}

/// Walks a `use` tree and gives each path in it.
fn spread(prefix: &str, tree: &str, give: &mut impl FnMut(&str)) {
    let mut depth = 0_usize;
    let branches = tree.split(|c| {
        match c {
            '{' => depth += 1,
            '}' => depth = depth.saturating_sub(1),
            _ => {}
        }
        c == ',' && depth == 0
    });
    for branch in branches.map(str::trim).filter(|branch| !branch.is_empty()) {
        match branch.split_once('{') {
            Some((stem, inner)) => {
                let inner = inner.strip_suffix('}').unwrap_or(inner);
                spread(&format!("{prefix}{stem}"), inner, give);
            }
            None => give(&format!("{prefix}{}", branch.split(" as ").next().unwrap_or(branch).trim())),
        }
    }
}

/// Every file below `directory`, sorted; what .gitignore names is left out.
pub(crate) fn files_below(directory: &Path) -> Result<Vec<PathBuf>, String> {
    let ignored = fs::read_to_string(directory.join(".gitignore")).unwrap_or_default();
    let mut files = Vec::new();
    let mut open = vec![directory.to_path_buf()];
    while let Some(folder) = open.pop() {
        let entries = fs::read_dir(&folder).map_err(|error| format!("{}: {error}", folder.display()))?;
        for entry in entries {
            let path = entry.map_err(|error| format!("{}: {error}", folder.display()))?.path();
            let inside = path.strip_prefix(directory).unwrap_or(&path);
            if is_ignored(inside, &ignored) {
                continue;
            }
            if path.is_dir() { open.push(path) } else { files.push(path) }
        }
    }
    files.sort();
    Ok(files)
}

/// The few forms of .gitignore that this repository uses: `name/` anywhere, `path/from/top/`, `*.ending`.
pub(crate) fn is_ignored(inside: &Path, gitignore: &str) -> bool {
    inside == Path::new(".git")
        || gitignore.lines().map(str::trim).any(|rule| {
            match (rule.strip_suffix('/'), rule.strip_prefix('*')) {
                (Some(path), _) if path.contains('/') => inside == Path::new(path),
                (Some(name), _) => inside.file_name().is_some_and(|last| last == name),
                (None, Some(ending)) => inside.to_string_lossy().ends_with(ending),
                (None, None) => !rule.is_empty() && inside == Path::new(rule.trim_start_matches('/')),
            }
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn code(text: &str) -> Vec<String> {
        lines(text).into_iter().map(|line| line.code).collect()
    }

    #[test]
    fn comments_and_literals_are_not_code() {
        assert_eq!(code("a // b \"\nc"), ["a ", "c"]);
        assert_eq!(code("a /* b /* c */ d\n e */ f"), ["a ", " f"]);
        assert_eq!(code(r#"let s = "x // \" y"; z"#), [r#"let s = ""; z"#]);
        assert_eq!(code("r##\"x \"# // y\"##; br\"\\\"; z"), ["\"\"; b\"\"; z"]);
        assert_eq!(code("'\"' '\\'' '{' <'a> for_r\"x\""), ["' ' ' <'a> for_r\"\""]);
        assert_eq!(code("\"one\\\n two\" x"), ["\"", "\" x"]);
        assert_eq!(lines("x // y [A-1]")[0].comment, "/ y [A-1]");
    }

    #[test]
    fn use_trees_are_spread_out() {
        let found = imports(&lines("use a::{b, c::{self, D as E}};\n\npub use ::f::{\n    g,\n    H,\n};\n"));
        let paths: Vec<_> =
            found.iter().map(|import| (import.line, import.public, import.path.as_str())).collect();
        assert_eq!(
            paths,
            [
                (1, false, "a::b"),
                (1, false, "a::c::self"),
                (1, false, "a::c::D"),
                (3, true, "f::g"),
                (3, true, "f::H")
            ]
        );
    }

    #[test]
    fn words_are_whole() {
        assert!(has_word("fn f(p: &Packet)", "Packet"));
        assert!(!has_word("PacketId, MyPacket, Packet_", "Packet"));
    }

    #[test]
    fn gitignore_is_followed() {
        let rules = "target/\n*.profraw\nfuzz/artifacts/\n";
        for ignored in [".git", "target", "benches/target", "x/y.profraw", "fuzz/artifacts"] {
            assert!(is_ignored(Path::new(ignored), rules), "{ignored}");
        }
        for kept in ["src/target.rs", ".gitignore", "artifacts", "fuzz"] {
            assert!(!is_ignored(Path::new(kept), rules), "{kept}");
        }
    }
}
