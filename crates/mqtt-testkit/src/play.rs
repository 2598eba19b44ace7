//! What the two sides of a connection said: kept for the message of a failed test, printed on demand.

use crate::text;
use bytes::Bytes;
use core::fmt;
use mqtt_codec::Packet;
use std::collections::VecDeque;
use std::env;

/// Lines that are remembered.
const REMEMBERED: usize = 100;

/// Has every play printed at its end.
const PRINT: &str = "MQTT_PLAY";

/// Which side the keeper of a play is.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Role {
    Client,
    Server,
}

impl Role {
    /// The name of a side, padded so that what they say stands in one column for each.
    const fn says(self) -> &'static str {
        match self {
            Self::Client => "client: ",
            Self::Server => "server:     ",
        }
    }

    const fn other(self) -> Self {
        match self {
            Self::Client => Self::Server,
            Self::Server => Self::Client,
        }
    }
}

/// What was said lately on one connection. Dropping it prints it, if the environment asks for that.
#[derive(Debug)]
pub(crate) struct Play {
    role: Role,
    lines: VecDeque<Line>,
    forgotten: usize,
}

/// A line of the play; it becomes text when somebody reads it.
#[derive(Debug)]
pub(crate) enum Line {
    Said(Packet),
    SaidBytes(Bytes),
    Heard(Packet),
    HeardBytes(Bytes),
    HeardEnd,
}

impl Line {
    const fn is_heard(&self) -> bool {
        matches!(self, Self::Heard(_) | Self::HeardBytes(_) | Self::HeardEnd)
    }

    fn text(&self) -> String {
        match self {
            Self::Said(packet) | Self::Heard(packet) => text::line(packet),
            Self::SaidBytes(bytes) | Self::HeardBytes(bytes) => text::to_hex(bytes),
            Self::HeardEnd => "(closed)".into(),
        }
    }
}

impl Play {
    pub(crate) const fn new(role: Role) -> Self {
        Self { role, lines: VecDeque::new(), forgotten: 0 }
    }

    pub(crate) fn record(&mut self, line: Line) {
        if self.lines.len() == REMEMBERED {
            self.lines.pop_front();
            self.forgotten += 1;
        }
        self.lines.push_back(line);
    }

    /// The last line is told in another way.
    pub(crate) fn forget_last(&mut self) {
        self.lines.pop_back();
    }

    /// The play with the names of both sides, between two marks.
    fn for_the_stage(&self) -> String {
        let mut text = String::from("play {\n");
        if self.forgotten > 0 {
            text.push_str(&format!("({} earlier lines)\n", self.forgotten));
        }
        for line in &self.lines {
            let speaker = if line.is_heard() { self.role.other() } else { self.role };
            text.push_str(&format!("{}{}\n", speaker.says(), line.text()));
        }
        text.push_str("} play");
        text
    }
}

/// From the keeper's side: `->` said, `<-` heard.
impl fmt::Display for Play {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, line) in self.lines.iter().enumerate() {
            let arrow = if line.is_heard() { "<-" } else { "->" };
            let before = if at == 0 { "" } else { "\n" };
            write!(f, "{before}{arrow} {}", line.text())?;
        }
        Ok(())
    }
}

impl Drop for Play {
    fn drop(&mut self) {
        if !self.lines.is_empty() && env::var_os(PRINT).is_some_and(|value| value == "1") {
            println!("{}", self.for_the_stage());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_sides_have_their_names() {
        let mut play = Play::new(Role::Server);
        play.record(Line::Heard(Packet::PingReq));
        play.record(Line::Said(Packet::PingResp));
        play.record(Line::HeardEnd);
        assert_eq!(play.to_string(), "<- PINGREQ\n-> PINGRESP\n<- (closed)");
        assert_eq!(
            play.for_the_stage(),
            "play {\nclient: PINGREQ\nserver:     PINGRESP\nclient: (closed)\n} play"
        );
    }

    #[test]
    fn a_long_play_says_what_is_missing() {
        let mut play = Play::new(Role::Client);
        for _ in 0..REMEMBERED + 3 {
            play.record(Line::Said(Packet::PingReq));
        }
        assert!(play.for_the_stage().starts_with("play {\n(3 earlier lines)\nclient: PINGREQ\n"));
        assert_eq!(play.to_string().lines().count(), REMEMBERED);
    }
}
