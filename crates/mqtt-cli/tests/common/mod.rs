//! Runs the built binary `mqtt` and looks at what it prints and how it ends. Nothing here waits for longer than
//! [`PATIENCE`].
#![allow(dead_code, reason = "each test file uses its part")]

use core::net::SocketAddr;
use core::time::Duration;
use std::io::{BufRead, BufReader, Read, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::thread;

/// How long anything may take before a test fails.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);
const STEP: Duration = Duration::from_millis(5);

/// The versions as `-V` takes them.
pub(crate) const VERSIONS: [&str; 3] = ["mqttv31", "mqttv311", "mqttv5"];
/// The qualities of service as `-q` takes them.
pub(crate) const QOS: [&str; 3] = ["0", "1", "2"];

/// `mqtt pub` at this server.
pub(crate) fn publish(server: SocketAddr, args: &[&str]) -> Command {
    at(server, "pub", args)
}

/// `mqtt sub` at this server.
pub(crate) fn subscribe(server: SocketAddr, args: &[&str]) -> Command {
    at(server, "sub", args)
}

fn at(server: SocketAddr, command: &str, args: &[&str]) -> Command {
    let (host, port) = (server.ip().to_string(), server.port().to_string());
    let mut words = vec![command, "-h", &host, "-p", &port];
    words.extend(args);
    mqtt(&words)
}

/// `mqtt` with these arguments.
pub(crate) fn mqtt(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_mqtt"));
    command.args(args);
    command
}

/// How a process ended and what it printed (since what was already read of it).
#[derive(Debug)]
pub(crate) struct Ended {
    /// `None` if a signal killed it.
    pub(crate) code: Option<i32>,
    pub(crate) stdout: Vec<u8>,
    pub(crate) stderr: String,
}

impl Ended {
    /// Fails the test unless it ended with this exit code.
    #[track_caller]
    pub(crate) fn with(self, code: i32) -> Self {
        assert_eq!(self.code, Some(code), "{self:?}");
        self
    }

    /// Fails the test unless the one line on standard error contains all of these.
    #[track_caller]
    pub(crate) fn saying(self, parts: &[&str]) -> Self {
        assert_eq!(self.stderr.trim_end().lines().count(), 1, "one line: {self:?}");
        for part in parts {
            assert!(self.stderr.contains(part), "{part:?} is not in {:?}", self.stderr);
        }
        self
    }

    /// What it printed, as text.
    #[track_caller]
    pub(crate) fn text(&self) -> &str {
        core::str::from_utf8(&self.stdout).unwrap()
    }
}

/// Runs a command to its end without input.
#[track_caller]
pub(crate) fn run(command: Command) -> Ended {
    run_with_input(command, b"")
}

/// Runs a command to its end with this input.
#[track_caller]
pub(crate) fn run_with_input(command: Command, input: &[u8]) -> Ended {
    let mut running = start(command);
    // The process may have ended with an error before it read everything.
    let _ = running.stdin().write_all(input);
    running.close_stdin();
    running.wait()
}

/// Starts `mqtt sub` and waits until the server has answered its subscription.
#[track_caller]
pub(crate) fn start_subscribed(server: SocketAddr, args: &[&str]) -> Running {
    let mut all = vec!["-d"];
    all.extend(args);
    let running = start(subscribe(server, &all));
    running.wait_for_stderr("subscribed");
    running
}

/// Starts a command whose standard output nobody reads, as a pager that waits.
#[track_caller]
pub(crate) fn start_unread(command: Command) -> Running {
    let mut running = start_with(command, |_| channel().1);
    running.unread = running.child.stdout.take();
    running
}

/// Starts a command.
#[track_caller]
pub(crate) fn start(command: Command) -> Running {
    start_with(command, |child| lines(child.stdout.take().unwrap()))
}

#[track_caller]
fn start_with(mut command: Command, stdout: impl FnOnce(&mut Child) -> Receiver<Vec<u8>>) -> Running {
    let pipes = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = pipes.spawn().unwrap();
    Running {
        stdin: child.stdin.take(),
        stdout: stdout(&mut child),
        unread: None,
        stderr: lines(child.stderr.take().unwrap()),
        child,
    }
}

/// A running process. Dropping it kills it.
pub(crate) struct Running {
    child: Child,
    stdin: Option<ChildStdin>,
    stdout: Receiver<Vec<u8>>,
    unread: Option<ChildStdout>,
    stderr: Receiver<Vec<u8>>,
}

impl Running {
    /// Its standard input, until it is [closed](Self::close_stdin).
    pub(crate) fn stdin(&mut self) -> &mut ChildStdin {
        self.stdin.as_mut().unwrap()
    }

    /// The next line that it prints, without the newline.
    #[track_caller]
    pub(crate) fn line(&self) -> Vec<u8> {
        let mut line = self.stdout.recv_timeout(PATIENCE).expect("a line on stdout");
        line.pop_if(|last| *last == b'\n');
        line
    }

    /// Waits for a line on standard error that contains this.
    #[track_caller]
    pub(crate) fn wait_for_stderr(&self, text: &str) -> String {
        let mut seen = String::new();
        loop {
            match self.stderr.recv_timeout(PATIENCE) {
                Ok(line) => {
                    let line = String::from_utf8_lossy(&line).into_owned();
                    seen.push_str(&line);
                    if line.contains(text) {
                        return line;
                    }
                }
                Err(_) => panic!("{text:?} is not in what it said:\n{seen}"),
            }
        }
    }

    /// Sends a signal: `INT`, `TERM`, `KILL`, `STOP`.
    #[track_caller]
    pub(crate) fn signal(&self, signal: &str) {
        let kill = format!("kill -{signal} {}", self.child.id());
        assert!(Command::new("sh").args(["-c", &kill]).status().unwrap().success());
    }

    /// Stops reading what it prints, as `head` does when it has enough.
    pub(crate) fn close_stdout(&mut self) {
        self.stdout = channel().1;
    }

    /// Ends its standard input.
    pub(crate) fn close_stdin(&mut self) {
        self.stdin = None;
    }

    /// Waits for its end.
    #[track_caller]
    pub(crate) fn wait(mut self) -> Ended {
        for _ in 0..PATIENCE.as_millis() / STEP.as_millis() {
            if let Some(status) = self.child.try_wait().unwrap() {
                let stdout = self.stdout.iter().flatten().collect();
                let stderr: Vec<u8> = self.stderr.iter().flatten().collect();
                let stderr = String::from_utf8_lossy(&stderr).into_owned();
                return Ended { code: status.code(), stdout, stderr };
            }
            thread::sleep(STEP);
        }
        panic!("it has not ended; it said: {:?}", self.stderr.try_iter().collect::<Vec<_>>());
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Reads lines in the background, so that the process never waits for the test. Ends when nobody wants them any more.
fn lines(pipe: impl Read + Send + 'static) -> Receiver<Vec<u8>> {
    let (sender, receiver) = channel();
    thread::spawn(move || {
        let mut pipe = BufReader::new(pipe);
        loop {
            let mut line = Vec::new();
            match pipe.read_until(b'\n', &mut line) {
                Ok(read) if read > 0 && sender.send(line).is_ok() => {}
                _ => return,
            }
        }
    });
    receiver
}
