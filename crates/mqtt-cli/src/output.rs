//! Standard output, for messages alone, and standard error, for everything else.

use core::fmt::Display;
use std::io::{self, Write as _};

use mqtt_client::Message;
use tokio::io::{AsyncWriteExt as _, BufWriter, Stdout};

use crate::format::Format;

/// Prints messages. They are held back until [`flush`](Self::flush), so that a burst of them costs few writes.
pub(crate) struct Printer {
    format: Format,
    newline: bool,
    line: Vec<u8>,
    out: BufWriter<Stdout>,
    flushed: bool,
}

impl Printer {
    pub(crate) fn new(format: Format, newline: bool) -> Self {
        let out = BufWriter::with_capacity(64 * 1024, tokio::io::stdout());
        Self { format, newline, line: Vec::new(), out, flushed: true }
    }

    /// Takes one message; waits while standard output is not read.
    pub(crate) async fn print(&mut self, message: &Message) -> io::Result<()> {
        self.line.clear();
        self.format.render(message, &mut self.line);
        if self.newline {
            self.line.push(b'\n');
        }
        self.flushed = false;
        self.out.write_all(&self.line).await
    }

    /// Writes out what was held back.
    pub(crate) async fn flush(&mut self) -> io::Result<()> {
        self.out.flush().await?;
        self.flushed = true;
        Ok(())
    }

    /// Whether nothing is held back.
    pub(crate) fn is_flushed(&self) -> bool {
        self.flushed
    }
}

/// Says on standard error what happens, a line each time. A standard error that is closed is no reason to stop.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Report {
    command: &'static str,
    debug: bool,
    quiet: bool,
}

impl Report {
    pub(crate) fn new(command: &'static str, debug: bool, quiet: bool) -> Self {
        Self { command, debug, quiet }
    }

    /// One line on what went wrong.
    pub(crate) fn error(self, message: impl Display) {
        if !self.quiet {
            self.line(message);
        }
    }

    /// One line on what happens, if `-d` asked for it.
    pub(crate) fn debug(self, message: impl Display) {
        if self.debug {
            self.line(message);
        }
    }

    fn line(self, message: impl Display) {
        let text = printable(&format!("{}: {message}", self.command));
        let _ = writeln!(io::stderr(), "{text}");
    }
}

/// Topics and reason strings come from others; what they hold must not drive a terminal.
fn printable(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for character in text.chars() {
        if character.is_control() {
            out.extend(character.escape_default());
        } else {
            out.push(character);
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn control_characters_are_made_visible() {
        assert_eq!(printable("a\u{1b}[31m\nb \u{e4}"), "a\\u{1b}[31m\\nb \u{e4}");
    }
}
