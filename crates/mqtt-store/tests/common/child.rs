//! This test program once more, as a child process.

use std::path::Path;
use std::process::{Command, Output};

/// The directory that a child is given.
pub(crate) const DIR: &str = "MQTT_STORE_TEST_DIR";

/// Runs one test of this program alone, which does something only then.
pub(crate) fn child(role: &str, dir: &Path) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args([role, "--exact", "--nocapture", "--test-threads=1"]).env(DIR, dir);
    command
}

/// The same with a small disk of its own mounted at the directory. `None`, with the reason printed, where that is not
/// possible.
pub(crate) fn on_small_disk(role: &str, dir: &Path, size: &str) -> Option<Output> {
    let script =
        format!("mount -t tmpfs -o size={size} none \"${DIR}\" && exec \"$0\" {role} --exact --nocapture");
    for unshare in [["--mount", "--"].as_slice(), &["--mount", "--map-root-user", "--"]] {
        let works =
            Command::new("unshare").args(unshare).args(["mount", "-t", "tmpfs", "none", "/mnt"]).output();
        if works.is_ok_and(|output| output.status.success()) {
            let program = std::env::current_exe().unwrap();
            let mut command = Command::new("unshare");
            command.args(unshare).args(["sh", "-c", &script]).arg(program).env(DIR, dir);
            return Some(command.output().unwrap());
        }
    }
    eprintln!("skipped: neither root nor user namespaces here, so no small disk can be mounted");
    None
}

/// What it said, if it failed.
pub(crate) fn assert_success(output: &Output) {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    assert!(output.status.success(), "{}{}", text(&output.stdout), text(&output.stderr));
}
