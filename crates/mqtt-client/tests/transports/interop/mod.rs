//! One matrix for every broker: version x transport x feature, each cell a line `cell|..` on stdout, of which
//! `cargo xtask brokers` makes a table.
//!
//! Debian's mosquitto and the testkit's broker are always played, the others by `cargo xtask brokers`, which knows where
//! they are. What a server is known not to do stands in [`KNOWN`]; that it fails is then held as firmly as
//! that everything else succeeds.

mod checks;
mod servers;

use checks::{CHECKS, Visit};
use mqtt_client::{Protocol, Version};
use servers::{Door, Server};
use std::collections::BTreeSet;
use std::env;

/// What one server does not do.
struct Known {
    server: &'static str,
    /// Empty: by all of them. The same for the versions.
    transports: &'static [&'static str],
    protocols: &'static [Protocol],
    feature: &'static str,
    why: &'static str,
}

const V31: &[Protocol] = &[Protocol::V3_1];
const V5: &[Protocol] = &[Protocol::V5];

const KNOWN: &[Known] = &[
    Known::version("nats", V31, "it does not know 3.1"),
    Known::version("nats", V5, "it refuses 5.0"),
    Known::feature("nats", "qos 2", "it grants QoS 1 where QoS 2 is asked for"),
    Known::feature("nats", "shared", "it takes $share for a topic"),
    Known::version("mqtt5", V31, "it closes on 3.1"),
    Known::feature("rumqttd", "no local", "it ignores the option"),
    Known::feature("rumqttd", "as published", "it ignores the option"),
    Known::feature("rumqttd", "aliases", "it gives one alias to all topics of a filter"),
    Known { transports: &["ws"], ..Known::feature("rumqttd", "tail", "10 MiB do not come by WebSocket") },
    Known::version("aedes", V5, "it refuses 5.0"),
    Known::feature("aedes", "shared", "it takes $share for a topic"),
];

impl Known {
    /// A version that is not spoken.
    const fn version(server: &'static str, protocols: &'static [Protocol], why: &'static str) -> Self {
        Self { server, transports: &[], protocols, feature: "connect", why }
    }

    const fn feature(server: &'static str, feature: &'static str, why: &'static str) -> Self {
        Self { server, transports: &[], protocols: &[], feature, why }
    }

    fn of(server: &str, transport: &str, protocol: Protocol, feature: &str) -> Option<&'static str> {
        let fits = |known: &&Self| {
            known.server == server
                && (known.transports.is_empty() || known.transports.contains(&transport))
                && (known.protocols.is_empty() || known.protocols.contains(&protocol))
                && known.feature == feature
        };
        KNOWN.iter().find(fits).map(|known| known.why)
    }
}

/// Plays everything and prints every cell; `wrong` are those that are not as they should be.
async fn play(server: &Server, wrong: &mut Vec<String>) {
    for door in &server.doors {
        let mut spoken = BTreeSet::new();
        for protocol in door.protocols() {
            for (feature, check) in CHECKS {
                let visit = Visit::new(door.clone(), protocol);
                if visit.does_not_have(feature) {
                    continue;
                }
                let outcome = check(visit).await;
                let known = Known::of(&server.name, door.transport, protocol, feature);
                let cell = match (&outcome, known) {
                    (Ok(()), None) => "ok".to_owned(),
                    (Err(_), Some(why)) => format!("no: {why}"),
                    (Ok(()), Some(why)) => format!("FAILED: it works, though `{why}` is known"),
                    (Err(error), None) => format!("FAILED: {error}"),
                };
                show(server, door, &protocol.to_string(), feature, &cell, wrong);
                if outcome.is_err() && *feature == "connect" {
                    break;
                }
                spoken.insert(rank(protocol));
            }
        }
        if let Some(newest) = spoken.last().filter(|_| door.only.is_none()) {
            let found = checks::falls_back(Visit::new(door.clone(), Protocol::Auto)).await;
            let cell = match found {
                Ok(version) if rank_of(version) == *newest => format!("ok: {version}"),
                Ok(version) => format!("FAILED: it came to {version}"),
                Err(error) => format!("FAILED: {error}"),
            };
            show(server, door, "auto", "connect", &cell, wrong);
        }
    }
}

fn show(server: &Server, door: &Door, version: &str, feature: &str, cell: &str, wrong: &mut Vec<String>) {
    let line = format!("{}|{}|{version}|{feature}|{cell}", &server.name, door.transport);
    println!("cell|{line}");
    if cell.starts_with("FAILED") {
        wrong.push(line);
    }
}

fn rank(protocol: Protocol) -> u8 {
    match protocol {
        Protocol::V3_1 => 0,
        Protocol::V3_1_1 => 1,
        _ => 2,
    }
}

fn rank_of(version: Version) -> u8 {
    match version {
        Version::V3_1 => 0,
        Version::V3_1_1 => 1,
        _ => 2,
    }
}

/// Those that `MQTT_INTEROP` names, as `cargo xtask brokers` sets it; else the two that are always there.
#[tokio::test]
async fn every_server() {
    let names = env::var("MQTT_INTEROP").unwrap_or_else(|_| "mosquitto testkit".to_owned());
    let mut wrong = Vec::new();
    for name in names.split_whitespace() {
        let server = match name {
            "mosquitto" => Server::mosquitto().await,
            "testkit" => Server::testkit().await,
            "nats" => Server::nats().await,
            other => Server::hosted(other).await,
        };
        play(&server, &mut wrong).await;
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
