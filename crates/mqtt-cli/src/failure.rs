//! How a run ends: the exit codes that scripts can rely on, and the one line that says why.

use core::fmt;
use std::process::ExitCode;

/// The exit codes, one per kind of thing a script may want to tell apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Exit {
    /// Everything asked for was done.
    Done = 0,
    /// The command line, a file or the input is wrong, or something unforeseen happened here.
    Wrong = 1,
    /// The server cannot be reached.
    Unreachable = 2,
    /// The server answered CONNECT with a refusal.
    Refused = 3,
    /// The connection was lost and could not be had again, or the server broke the protocol.
    Lost = 4,
    /// A message was refused, or nothing is known of it.
    Undelivered = 5,
    /// A subscription was refused.
    NotSubscribed = 6,
    /// The time of `-W` is over; the code is that of `mosquitto_sub`.
    TimedOut = 27,
    /// SIGINT: 128 + 2, as shells have it.
    Interrupted = 130,
    /// SIGTERM: 128 + 15.
    Terminated = 143,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}

/// A run that cannot go on: the exit code, and one line that says who is to blame and what to change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Failure {
    pub(crate) exit: Exit,
    pub(crate) message: String,
}

impl Failure {
    pub(crate) fn new(exit: Exit, message: impl Into<String>) -> Self {
        Self { exit, message: message.into() }
    }

    /// What was typed, or a file, or the input is wrong.
    pub(crate) fn wrong(message: impl Into<String>) -> Self {
        Self::new(Exit::Wrong, message)
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}
