//! Some plays of the simulation, with everything that can go wrong. `cargo xtask sim` plays as many as you like.

use mqtt_testkit::sim::{self, Choices, Tally};

/// `[MQTT-2.2.1-3]` no identifier twice, `[MQTT-3.3.4-7]` `[MQTT-4.9.0-2]` the window of the server kept,
/// `[MQTT-4.6.0-1]` `[MQTT-4.6.0-2]` `[MQTT-4.6.0-3]` `[MQTT-4.6.0-4]` everything in its order, `[MQTT-4.3.2-1]` QoS 1 at
/// least once, `[MQTT-4.3.3-10]` QoS 2 exactly once, `[MQTT-3.3.1-1]` DUP on what is sent again and on nothing else: with cuts at
/// any byte, lost sessions, refusals, crashes and servers that break the rules.
#[test]
fn promises_hold_whatever_happens() {
    let mut tally = Tally::default();
    for seed in 0..150 {
        if let Err(failure) = sim::run(Choices::from_seed(seed), &mut tally) {
            panic!("seed {seed}: {failure}");
        }
    }
    // The plays are not empty ones.
    assert!(tally.connections > 500 && tally.published > 500 && tally.received > 500, "{tally}");
    assert!(tally.losses > 10 && tally.crashes > 10, "{tally}");
}
