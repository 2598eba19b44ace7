//! `cargo xtask brokers`: what the client does with each server, transport by transport.
//!
//! Runs the client's tests that are held against real servers and prints a table of them: every version and QoS both
//! ways, the return after cuts, restarts and new certificates, the tail of a large message. Servers that no test knows
//! yet are named, with whether they are there.

use crate::shell::{self, Done};
use crate::test::provide_mosquitto;
use std::collections::BTreeMap;

/// The tests of `crates/mqtt-client/tests/transports/`, and what the table calls them.
const COLUMNS: [(&str, &str); 3] = [
    ("every_version_and_qos_both_ways", "3 versions x 3 QoS"),
    ("the_client_comes_back", "comes back"),
    ("the_tail_arrives_at_once", "tail"),
];
/// Servers that are not part of the run yet: name, program, how to get it.
const OTHERS: [(&str, &str, &str); 3] = [
    ("NATS", "nats-server", "apt-get install nats-server"),
    ("rumqttd", "rumqttd", "cargo install rumqttd (without --locked)"),
    ("RabbitMQ", "rabbitmq-server", "apt-get install rabbitmq-server"),
];

/// Runs the tests, prints the tables, and fails if a test has failed.
pub(crate) fn run() -> Done {
    provide_mosquitto()?;
    let arguments = ["test", "-p", "mqtt-client", "--all-features", "--no-fail-fast"];
    let tests = ["--test", "transports", "--test", "broker_matrix", "--", "--color=never"];
    // A test that fails makes cargo fail: what it printed is wanted all the same.
    let mut command = shell::cargo(arguments);
    let output = command.args(tests).output().map_err(|error| format!("cargo did not start: {error}"))?;
    let printed = String::from_utf8_lossy(&output.stdout);
    let results: Vec<(&str, bool)> = printed.lines().filter_map(result).collect();
    if results.is_empty() {
        return Err(format!("no test has run: {}", String::from_utf8_lossy(&output.stderr)));
    }
    print_table(&results);
    println!();
    for (name, program, get) in OTHERS {
        match shell::find_program(program) {
            Some(path) => println!("{name}: installed ({}), not part of this run yet", path.display()),
            None => println!("{name}: not installed, and not part of this run yet; to get it: {get}"),
        }
    }
    let failed: Vec<&str> = results.iter().filter(|(_, passed)| !passed).map(|(name, _)| *name).collect();
    if failed.is_empty() && output.status.success() {
        return Ok(());
    }
    Err(format!(
        "failed: {}; see `cargo test -p mqtt-client --all-features --test transports --test broker_matrix`",
        failed.join(", ")
    ))
}

/// `test NAME ... ok`
fn result(line: &str) -> Option<(&str, bool)> {
    let (name, outcome) = line.strip_prefix("test ")?.split_once(" ... ")?;
    match outcome {
        "ok" => Some((name, true)),
        "FAILED" => Some((name, false)),
        _ => None,
    }
}

fn print_table(results: &[(&str, bool)]) {
    let word = |passed| if passed { "ok" } else { "FAILED" };
    let mut rows: BTreeMap<(&str, &str), BTreeMap<&str, bool>> = BTreeMap::new();
    for (name, passed) in results {
        // TRANSPORT_on_SERVER::TEST
        if let Some((place, test)) = name.split_once("::")
            && let Some((transport, server)) = place.split_once("_on_")
        {
            rows.entry((server, transport)).or_default().insert(test, *passed);
        }
    }
    println!("{:10} {:24} {:20} {:12} {:6}", "server", "transport", COLUMNS[0].1, COLUMNS[1].1, COLUMNS[2].1);
    for ((server, transport), tests) in &rows {
        let [matrix, back, tail] =
            COLUMNS.map(|(test, _)| tests.get(test).map_or("-", |passed| word(*passed)));
        println!("{server:10} {:24} {matrix:20} {back:12} {tail:6}", transport.replace('_', " "));
    }
    println!();
    for (name, passed) in results {
        let other = name.strip_prefix("failures::").or_else(|| (!name.contains("::")).then_some(*name));
        if let Some(name) = other {
            println!("{:58} {}", name.replace('_', " "), word(*passed));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_of_the_test_harness_is_a_result() {
        assert_eq!(result("test tls_on_x::tail ... ok"), Some(("tls_on_x::tail", true)));
        assert_eq!(result("test tls_on_x::tail ... FAILED"), Some(("tls_on_x::tail", false)));
        assert_eq!(result("test result: ok. 6 passed"), None);
        assert_eq!(result("test slow has been running for over 60 seconds"), None);
    }
}
