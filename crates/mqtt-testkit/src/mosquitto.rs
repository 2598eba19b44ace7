//! Debian's mosquitto as a child process: the real broker that tests are held against.
//!
//! It runs in a directory of its own under the system's temporary directory, on a free loopback port, with a
//! configuration written here; no file or service of the machine is touched. Everything in this module blocks the
//! calling thread, for about 20 ms at a start, and panics when something goes wrong, with the broker's log in the text.

use crate::port::PortHold;
use core::fmt::Write as _;
use core::net::SocketAddr;
use core::sync::atomic::{AtomicU32, Ordering};
use core::time::Duration;
use std::fs::{self, File, OpenOptions};
use std::io::{BufRead, BufReader, Read};
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::{env, io, process, thread};

/// How often a condition is looked at while waiting for a child process.
const STEP: Duration = Duration::from_millis(5);
/// Steps until waiting is given up: ten seconds.
const STEPS: u32 = 2_000;
/// What the panic text says when a program is not there.
const INSTALL: &str = "install it: apt-get install mosquitto mosquitto-clients";

/// A running mosquitto. Dropping it kills the process and removes its directory; if the test is failing, the end of
/// the broker's log is printed first.
///
/// ```no_run
/// use mqtt_testkit::mosquitto::Mosquitto;
///
/// let mut broker = Mosquitto::builder().persistence(true).start();
/// println!("{}", broker.url());
/// broker.kill(); // SIGKILL, as a power cut would
/// broker.restart(); // the same port, the same data
/// ```
#[derive(Debug)]
pub struct Mosquitto {
    child: Option<Child>,
    home: Home,
    /// Keeps the port while the broker is down.
    port: PortHold,
}

/// What to configure before a [`Mosquitto`] starts.
#[derive(Clone, Debug, Default)]
#[must_use = "call .start()"]
pub struct MosquittoBuilder {
    persistence: bool,
    users: Vec<(String, String)>,
    global_lines: Vec<String>,
    listener_lines: Vec<String>,
}

impl MosquittoBuilder {
    /// Keep sessions and retained messages on disk, saved once a second; default off.
    ///
    /// They survive SIGTERM, and SIGKILL if they are older than about 1.5 s: a message that was acknowledged later is
    /// lost. A 5.0 session begun with Clean Start 1 is not saved at all by mosquitto 2.0.
    pub const fn persistence(mut self, on: bool) -> Self {
        self.persistence = on;
        self
    }

    /// Allow this user, and nobody without a user name any more. May be called several times.
    pub fn password(mut self, user: &str, password: &str) -> Self {
        self.users.push((user.into(), password.into()));
        self
    }

    /// A line of mosquitto.conf that is valid for the whole broker, such as `max_inflight_messages 3`.
    pub fn config(mut self, line: &str) -> Self {
        self.global_lines.push(line.into());
        self
    }

    /// A line of mosquitto.conf that belongs to the listener, such as `max_topic_alias 3` or `max_qos 1`; a line
    /// `listener PORT 127.0.0.1` begins a further listener (see [`PortHold`]).
    pub fn listener_config(mut self, line: &str) -> Self {
        self.listener_lines.push(line.into());
        self
    }

    /// Starts the broker and waits until it listens.
    ///
    /// # Panics
    ///
    /// If mosquitto is not installed (the text says what to install) or does not start.
    pub fn start(self) -> Mosquitto {
        let home = Home::create();
        let port = PortHold::new().expect("a free loopback port");
        if !self.users.is_empty() {
            write_passwords(&home.passwords(), &self.users);
        }
        fs::write(home.config(), self.config_text(&home, port.addr().port())).expect("write mosquitto.conf");
        let mut broker = Mosquitto { child: None, home, port };
        broker.spawn();
        broker
    }

    fn config_text(&self, home: &Home, port: u16) -> String {
        let mut text = String::from("per_listener_settings true\n");
        if home.is_roots() {
            // Otherwise it changes to the user mosquitto, who cannot read our directory.
            text.push_str("user root\n");
        }
        if self.persistence {
            let data = home.data();
            let _ = writeln!(
                text,
                "persistence true\npersistence_location {}/\nautosave_interval 1",
                data.display()
            );
        }
        // Lines of stdout would stay in a buffer, those of stderr come at once.
        text.push_str("log_dest stderr\n");
        for log_type in ["error", "warning", "notice", "information", "subscribe", "unsubscribe"] {
            let _ = writeln!(text, "log_type {log_type}");
        }
        for line in &self.global_lines {
            let _ = writeln!(text, "{line}");
        }
        let _ = writeln!(text, "listener {port} 127.0.0.1");
        if self.users.is_empty() {
            text.push_str("allow_anonymous true\n");
        } else {
            let _ = writeln!(text, "allow_anonymous false\npassword_file {}", home.passwords().display());
        }
        for line in &self.listener_lines {
            let _ = writeln!(text, "{line}");
        }
        text
    }
}

impl Mosquitto {
    /// Starts a broker that lets everybody in and keeps nothing on disk.
    ///
    /// # Panics
    ///
    /// As [`MosquittoBuilder::start`].
    pub fn start() -> Self {
        Self::builder().start()
    }

    /// The options of a broker to start.
    pub fn builder() -> MosquittoBuilder {
        MosquittoBuilder::default()
    }

    /// Where it listens. The same after a restart.
    pub const fn addr(&self) -> SocketAddr {
        self.port.addr()
    }

    /// `mqtt://127.0.0.1:PORT`.
    pub fn url(&self) -> String {
        format!("mqtt://{}", self.addr())
    }

    /// The directory of this broker: configuration, log, and data if it keeps any. Gone after the drop.
    pub fn dir(&self) -> &Path {
        &self.home.0
    }

    /// The process id while it runs.
    pub fn pid(&self) -> Option<u32> {
        self.child.as_ref().map(Child::id)
    }

    /// SIGKILL: no goodbye, nothing saved that was not saved before. Does nothing if it does not run.
    pub fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            // An error means that it has ended by itself.
            let _ = child.kill();
            let _ = child.wait();
        }
    }

    /// SIGTERM: it saves what it has to and ends; waits for that. Does nothing if it does not run.
    ///
    /// # Panics
    ///
    /// If it has not ended after ten seconds.
    pub fn stop(&mut self) {
        let Some(mut child) = self.child.take() else { return };
        // std knows SIGKILL only.
        let term = format!("kill -TERM {}", child.id());
        let _ = Command::new("sh").args(["-c", &term]).stderr(Stdio::null()).status();
        if !wait_until(|| has_ended(&mut child)) {
            let _ = child.kill();
            let _ = child.wait();
            panic!("mosquitto has not ended ten seconds after SIGTERM; its log:\n{}", self.log());
        }
    }

    /// Starts it again, on the same port and with the same data, after killing it if it still runs.
    ///
    /// # Panics
    ///
    /// If it does not start.
    pub fn restart(&mut self) {
        self.kill();
        self.spawn();
    }

    /// What it has written to its log, over all its starts.
    pub fn log(&self) -> String {
        fs::read_to_string(self.home.log()).unwrap_or_default()
    }

    /// Waits until the log contains this text.
    ///
    /// # Panics
    ///
    /// After ten seconds without it.
    pub fn wait_for_log(&self, text: &str) {
        self.wait_for_log_from(0, text);
    }

    /// Runs `mosquitto_pub` against this broker and waits for its end, e.g. `publish(["-t", "a/b", "-m", "hello"])`.
    ///
    /// # Panics
    ///
    /// If it is not installed or does not end with exit code 0.
    pub fn publish<'a>(&self, args: impl IntoIterator<Item = &'a str>) -> Output {
        let output = mosquitto_pub(self.addr(), args);
        assert!(
            output.status.success(),
            "mosquitto_pub: {}, {}",
            output.status,
            String::from_utf8_lossy(&output.stderr)
        );
        output
    }

    /// Runs `mosquitto_sub` against this broker in the background and waits until it has subscribed, e.g.
    /// `subscribe(["-t", "a/b", "-C", "3"])`.
    ///
    /// # Panics
    ///
    /// If it is not installed or has not subscribed after ten seconds.
    pub fn subscribe<'a>(&self, args: impl IntoIterator<Item = &'a str>) -> MosquittoSub {
        let mut args: Vec<&str> = args.into_iter().collect();
        let own_id = unique_name("testkit-sub");
        let id = match args.iter().position(|arg| *arg == "-i") {
            Some(at) => *args.get(at + 1).expect("a client id behind -i"),
            None => {
                args.extend(["-i", &own_id]);
                &own_id
            }
        };
        let log_before = self.log().len();
        let subscriber = mosquitto_sub(self.addr(), args.iter().copied());
        // "TIME: CLIENT QOS FILTER"
        self.wait_for_log_from(log_before, &format!(": {id} "));
        subscriber
    }

    fn spawn(&mut self) {
        let log = OpenOptions::new().create(true).append(true).open(self.home.log()).expect("open the log");
        let log_before = self.log().len();
        let mut command = Command::new(broker_program());
        command.arg("-c").arg(self.home.config()).stdin(Stdio::null()).stdout(Stdio::null()).stderr(log);
        let mut child = started("mosquitto", command.spawn());
        let mut ended = false;
        // This line comes when all listeners are open.
        let running = wait_until(|| {
            ended = has_ended(&mut child);
            ended || self.log().get(log_before..).is_some_and(|log| log.contains(" running"))
        });
        self.child = Some(child);
        assert!(running && !ended, "mosquitto has not started; its log:\n{}", self.log());
    }

    fn wait_for_log_from(&self, start: usize, text: &str) {
        let found = wait_until(|| self.log().get(start..).is_some_and(|log| log.contains(text)));
        assert!(found, "mosquitto has not logged {text:?} within ten seconds; its log:\n{}", self.log());
    }
}

impl Drop for Mosquitto {
    fn drop(&mut self) {
        self.kill();
        if thread::panicking() {
            let log = self.log();
            let lines: Vec<&str> = log.lines().collect();
            let tail = lines.get(lines.len().saturating_sub(100)..).unwrap_or_default();
            eprintln!("the end of mosquitto's log:\n{}", tail.join("\n"));
        }
    }
}

/// Runs `mosquitto_pub -h HOST -p PORT ARGS` against any broker and waits for its end.
///
/// # Panics
///
/// If it is not installed.
pub fn mosquitto_pub<'a>(broker: SocketAddr, args: impl IntoIterator<Item = &'a str>) -> Output {
    started("mosquitto_pub", client_command("mosquitto_pub", broker, args).output())
}

/// Runs `mosquitto_sub -h HOST -p PORT ARGS` against any broker in the background. It may not have subscribed yet when
/// this returns; the broker knows.
///
/// # Panics
///
/// If it is not installed.
pub fn mosquitto_sub<'a>(broker: SocketAddr, args: impl IntoIterator<Item = &'a str>) -> MosquittoSub {
    let mut command = client_command("mosquitto_sub", broker, args);
    let mut child = started("mosquitto_sub", command.stdout(Stdio::piped()).spawn());
    let stdout = BufReader::new(child.stdout.take().expect("stdout is piped"));
    MosquittoSub { child, stdout: Box::new(stdout) }
}

/// A running `mosquitto_sub`. Dropping it kills the process.
pub struct MosquittoSub {
    child: Child,
    stdout: Box<dyn BufRead + Send>,
}

impl core::fmt::Debug for MosquittoSub {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("MosquittoSub").field("pid", &self.child.id()).finish_non_exhaustive()
    }
}

impl MosquittoSub {
    /// The next line that it prints, without the line break; `None` when it has ended. Waits for ever: give it `-W`.
    /// What it prints to stderr goes to the stderr of the test.
    ///
    /// # Panics
    ///
    /// If what it prints is not UTF-8.
    pub fn line(&mut self) -> Option<String> {
        let mut line = String::new();
        let read = self.stdout.read_line(&mut line).expect("a line of UTF-8 from mosquitto_sub");
        (read > 0).then(|| line.trim_end_matches('\n').to_owned())
    }

    /// Waits for its end (give it `-C` or `-W`): the exit status and all that it has printed since the last
    /// [`line`](Self::line).
    ///
    /// # Panics
    ///
    /// If its output cannot be read.
    pub fn wait(mut self) -> (ExitStatus, Vec<u8>) {
        let mut printed = Vec::new();
        self.stdout.read_to_end(&mut printed).expect("read from mosquitto_sub");
        (self.child.wait().expect("wait for mosquitto_sub"), printed)
    }
}

impl Drop for MosquittoSub {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The directory of one broker, removed on drop.
#[derive(Debug)]
struct Home(PathBuf);

impl Home {
    fn create() -> Self {
        let dir = env::temp_dir().join(unique_name("mqtt-testkit"));
        fs::DirBuilder::new().mode(0o700).create(&dir).expect("create a temporary directory");
        fs::create_dir(dir.join("data")).expect("create the data directory");
        Self(dir)
    }

    fn config(&self) -> PathBuf {
        self.0.join("mosquitto.conf")
    }

    fn passwords(&self) -> PathBuf {
        self.0.join("passwords")
    }

    fn data(&self) -> PathBuf {
        self.0.join("data")
    }

    fn log(&self) -> PathBuf {
        self.0.join("log")
    }

    fn is_roots(&self) -> bool {
        fs::metadata(&self.0).is_ok_and(|metadata| metadata.uid() == 0)
    }
}

impl Drop for Home {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// A name that no other process and no other call uses.
fn unique_name(what: &str) -> String {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    format!("{what}-{}-{}", process::id(), COUNT.fetch_add(1, Ordering::Relaxed))
}

fn write_passwords(file: &Path, users: &[(String, String)]) {
    File::create(file).expect("create the password file");
    for (user, password) in users {
        let output = Command::new("mosquitto_passwd").arg("-b").arg(file).args([user, password]).output();
        let output = started("mosquitto_passwd", output);
        assert!(output.status.success(), "mosquitto_passwd: {}", String::from_utf8_lossy(&output.stderr));
    }
}

fn client_command<'a>(program: &str, broker: SocketAddr, args: impl IntoIterator<Item = &'a str>) -> Command {
    let mut command = Command::new(program);
    command.args(["-h", &broker.ip().to_string(), "-p", &broker.port().to_string()]);
    command.args(args).stdin(Stdio::null());
    command
}

/// Debian installs the broker where the search path of an ordinary user does not lead.
fn broker_program() -> &'static str {
    if Path::new("/usr/sbin/mosquitto").exists() { "/usr/sbin/mosquitto" } else { "mosquitto" }
}

/// The result of starting a program, or a panic that says how to get the program.
fn started<T>(program: &str, result: io::Result<T>) -> T {
    match result {
        Ok(value) => value,
        Err(error) if error.kind() == io::ErrorKind::NotFound => panic!("{program} is not there; {INSTALL}"),
        Err(error) => panic!("{program} cannot be started: {error}"),
    }
}

fn has_ended(child: &mut Child) -> bool {
    child.try_wait().is_ok_and(|status| status.is_some())
}

/// Looks at a condition of another process until it holds; false after ten seconds. There is nothing to be woken by.
fn wait_until(mut condition: impl FnMut() -> bool) -> bool {
    for _ in 0..STEPS {
        if condition() {
            return true;
        }
        thread::sleep(STEP);
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[should_panic(
        expected = "mosquitto is not there; install it: apt-get install mosquitto mosquitto-clients"
    )]
    fn a_missing_program_is_named_with_its_cure() {
        started("mosquitto", Command::new("/nonexistent/mosquitto").output());
    }
}
