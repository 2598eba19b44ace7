//! One life of the child, seen from outside.

use crate::child::{Death, Said};
use crate::power;
use core::time::Duration;
use mqtt_client::{Protocol, QoS};
use std::fs;
use std::path::Path;
use std::process::Stdio;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::Command;
use tokio::time::sleep;

/// What the child shall do.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Order {
    /// So many messages to each topic.
    pub(crate) messages: u32,
    pub(crate) death: Death,
    /// It is the power that fails: the disk forgets what was not waited for.
    pub(crate) power: bool,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Life {
    /// It has published all, and nothing was left to deliver.
    Whole,
    /// It was killed.
    Cut,
}

/// Where the child finds its server and its store.
pub(crate) struct Place<'a> {
    pub(crate) url: &'a str,
    pub(crate) dir: &'a Path,
    pub(crate) qos: QoS,
    pub(crate) protocol: Protocol,
    /// The first number for each topic.
    pub(crate) next: [u32; 3],
}

/// Lets the child live, and returns what it has said.
pub(crate) async fn live(place: &Place<'_>, order: Order) -> (Life, Vec<Said>) {
    let program = std::env::current_exe().expect("this program");
    let mut command = match order.death {
        Death::At(call, count) => traced(place.dir, call, count, &program),
        _ => Command::new(&program),
    };
    let next = place.next.map(|number| number.to_string()).join(",");
    let safe = place.dir.with_extension("safe");
    command
        .args(["--exact", "child", "--nocapture", "--quiet"])
        .env("KILL_URL", place.url)
        .env("KILL_DIR", place.dir)
        .env("KILL_QOS", (place.qos as u8).to_string())
        .env("KILL_PROTOCOL", place.protocol.to_string())
        .env("KILL_NEXT", next)
        .env("KILL_MESSAGES", order.messages.to_string())
        .env("KILL_DEATH", order.death.to_string())
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .kill_on_drop(true);
    if order.power {
        _ = fs::remove_dir_all(&safe);
        fs::rename(power::copied(place.dir).keep(), &safe).expect("the disk as it is");
        command.env("KILL_SAFE", &safe);
    }
    let mut child = command.spawn().expect("the child starts");
    let mut lines = BufReader::new(child.stdout.take().expect("its output")).lines();
    let mut end = core::pin::pin!(sleep(match order.death {
        // From its first breath to the middle of its work.
        Death::Random => Duration::from_millis(fastrand::u64(5..150)),
        _ => Duration::from_secs(120),
    }));
    let mut said = Vec::new();
    let mut killed = false;
    loop {
        let line = tokio::select! {
            line = lines.next_line() => line.expect("lines"),
            () = &mut end, if !killed => {
                killed = true;
                assert!(order.death == Death::Random, "the child hangs: {said:?}");
                // What it had written before is still to be read.
                child.start_kill().expect("it is killed");
                continue;
            }
        };
        match line {
            Some(line) => said.extend(Said::read(&line)),
            None => break,
        }
    }
    let status = child.wait().await.expect("its end");
    let whole = said.last() == Some(&Said::Done);
    assert!(whole || !status.success() || order.death == Death::Random, "the child failed: {said:?}");
    if order.power {
        fs::remove_dir_all(place.dir).expect("the disk as it was is gone");
        fs::create_dir(place.dir).expect("a directory");
        // It may have died while one copy took the place of the other.
        let safe = if safe.exists() { safe } else { safe.with_extension("old") };
        for file in power::files(&safe) {
            fs::copy(&file, place.dir.join(file.file_name().expect("a name"))).expect("a file is restored");
        }
    }
    (if whole { Life::Whole } else { Life::Cut }, said)
}

/// The child under strace, which kills it as it enters this call for a file in the directory for the so-many-th time.
fn traced(dir: &Path, call: &str, count: u32, program: &Path) -> Command {
    let mut command = Command::new("strace");
    command.args(["-f", "-qq", "-o", "/dev/null", "-e", &format!("trace={call}")]);
    command.args(["-e", &format!("inject={call}:signal=SIGKILL:when={count}")]);
    for file in power::files(dir) {
        command.arg("-P").arg(&file);
        // It has a journal when it is open.
        let mut journal = file.into_os_string();
        journal.push("-wal");
        command.arg("-P").arg(journal);
    }
    command.arg(program);
    command
}
