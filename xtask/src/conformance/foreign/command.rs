//! The command line of a client, as a template, and the process that it becomes.

use core::time::Duration;
use std::process::{ExitStatus, Stdio};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::process::{Child, Command};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::timeout;

/// What may stand in a template.
const PLACEHOLDERS: &[&str] =
    &["host", "port", "client_id", "topic", "qos", "payload", "version", "level", "keep_alive"];

/// Those without which no case can be played.
const NEEDED: &[&str] = &["port", "topic"];

/// A command line with placeholders such as `{port}`.
#[derive(Clone, Debug)]
pub(super) struct Template {
    words: Vec<String>,
    /// Words for a session that the server keeps.
    persistent: Option<Vec<String>>,
}

impl Template {
    /// Reads a command line as a shell would split it.
    pub(super) fn parse(line: &str, persistent: Option<&str>) -> Result<Self, String> {
        let split = |text: &str| shell_words::split(text).map_err(|error| format!("`{text}`: {error}"));
        let template = Self { words: split(line)?, persistent: persistent.map(split).transpose()? };
        if template.words.is_empty() {
            return Err("the command is empty".into());
        }
        if let Some(absent) = NEEDED.iter().find(|name| !template.has(name)) {
            return Err(format!("`{line}`: {{{absent}}} is missing"));
        }
        let words = template.words.iter().chain(template.persistent.iter().flatten());
        if let Some(unknown) = words.flat_map(|word| names_in(word)).find(|name| !PLACEHOLDERS.contains(name))
        {
            let known = PLACEHOLDERS.join("} {");
            return Err(format!("`{line}`: {{{unknown}}} is unknown; there are {{{known}}}"));
        }
        Ok(template)
    }

    /// Whether the placeholder stands in it.
    pub(super) fn has(&self, name: &str) -> bool {
        self.words.iter().any(|word| names_in(word).any(|found| found == name))
    }

    /// Whether it can have its session kept.
    pub(super) const fn can_persist(&self) -> bool {
        self.persistent.is_some()
    }

    /// The words with the values in place.
    fn fill(&self, values: &[(&str, String)], persistent: bool) -> Vec<String> {
        let extra = self.persistent.iter().flatten().filter(|_| persistent);
        self.words.iter().chain(extra).map(|word| fill(word, values)).collect()
    }

    /// Starts the program.
    pub(super) fn start(
        &self,
        values: &[(&str, String)],
        persistent: bool,
        input: Option<String>,
    ) -> Result<Process, String> {
        let words = self.fill(values, persistent);
        let (program, arguments) = words.split_first().ok_or("the command is empty")?;
        let mut child = Command::new(program)
            .args(arguments)
            .stdin(if input.is_some() { Stdio::piped() } else { Stdio::null() })
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .map_err(|error| format!("`{program}` did not start: {error}"))?;
        if let (Some(mut stdin), Some(input)) = (child.stdin.take(), input) {
            // Whoever does not read its input shows that elsewhere.
            tokio::spawn(async move { stdin.write_all(input.as_bytes()).await });
        }
        let (to_lines, lines) = mpsc::unbounded_channel();
        if let Some(stdout) = child.stdout.take() {
            tokio::spawn(async move {
                let mut stdout = BufReader::new(stdout).lines();
                while let Ok(Some(line)) = stdout.next_line().await {
                    if to_lines.send(line).is_err() {
                        return;
                    }
                }
            });
        }
        let stderr = child.stderr.take();
        let complaints = tokio::spawn(async move {
            let mut text = Vec::new();
            if let Some(mut stderr) = stderr {
                let _ = stderr.read_to_end(&mut text).await;
            }
            String::from_utf8_lossy(&text).into_owned()
        });
        Ok(Process { child, lines, complaints })
    }
}

/// The names between braces.
fn names_in(word: &str) -> impl Iterator<Item = &str> {
    let is_name = |name: &&str| !name.is_empty() && name.bytes().all(|b| b.is_ascii_lowercase() || b == b'_');
    word.split('{').skip(1).filter_map(|rest| Some(rest.split_once('}')?.0)).filter(is_name)
}

/// In one pass, so that a value with braces in it stays what it is.
fn fill(word: &str, values: &[(&str, String)]) -> String {
    let mut filled = String::new();
    let mut rest = word;
    while let Some((before, after)) = rest.split_once('{') {
        filled.push_str(before);
        let value = after.split_once('}').and_then(|(name, behind)| {
            values.iter().find(|(known, _)| *known == name).map(|(_, value)| (value, behind))
        });
        match value {
            Some((value, behind)) => {
                filled.push_str(value);
                rest = behind;
            }
            None => {
                filled.push('{');
                rest = after;
            }
        }
    }
    filled + rest
}

/// A client at work. Dropping it kills it.
#[derive(Debug)]
pub(super) struct Process {
    child: Child,
    lines: mpsc::UnboundedReceiver<String>,
    complaints: JoinHandle<String>,
}

impl Process {
    /// The next line that it prints; `None` if none comes in time.
    pub(super) async fn line(&mut self, patience: Duration) -> Option<String> {
        timeout(patience, self.lines.recv()).await.ok().flatten()
    }

    /// How it ends; `None` if it does not in time.
    pub(super) async fn end(&mut self, patience: Duration) -> Option<ExitStatus> {
        timeout(patience, self.child.wait()).await.ok()?.ok()
    }

    /// Kills it, if it still runs, and gives what it said on stderr.
    pub(super) async fn complaints(&mut self) -> String {
        let _ = self.child.kill().await;
        (&mut self.complaints).await.unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn templates_are_read() {
        let template = Template::parse("sub -p {port} -t '{topic} x' -k {keep_alive}", Some("-c")).unwrap();
        assert!(template.has("keep_alive") && !template.has("qos") && template.can_persist());
        let values = [("port", "1".into()), ("topic", "a{port}".into()), ("keep_alive", "5".into())];
        assert_eq!(template.fill(&values, false), ["sub", "-p", "1", "-t", "a{port} x", "-k", "5"]);
        assert_eq!(template.fill(&values, true).last().map(String::as_str), Some("-c"));
    }

    #[test]
    fn a_wrong_template_says_what_is_wrong() {
        for (line, why) in [
            ("", "empty"),
            ("sub {topic}", "{port} is missing"),
            ("sub {port} {topic} {quality}", "{quality} is unknown"),
            ("sub '{port} {topic}", "quot"),
        ] {
            let error = Template::parse(line, None).unwrap_err();
            assert!(error.contains(why), "{line}: {error}");
        }
        assert!(Template::parse("sub {port} {topic} '{\"json\": {}}'", None).is_ok());
    }

    #[tokio::test]
    async fn a_process_prints_reads_and_ends() {
        let template = Template::parse("sh -c 'cat; echo {port}{topic} >&2; exit 3'", None).unwrap();
        let values = [("port", "1".to_owned()), ("topic", "t".to_owned())];
        let mut process = template.start(&values, false, Some("one\ntwo\n".into())).unwrap();
        let patience = Duration::from_secs(5);
        assert_eq!(process.line(patience).await.as_deref(), Some("one"));
        assert_eq!(process.line(patience).await.as_deref(), Some("two"));
        assert_eq!(process.end(patience).await.and_then(|status| status.code()), Some(3));
        assert_eq!(process.complaints().await, "1t\n");
    }
}
