//! The simulation of a session, driven by the bytes of the fuzzer instead of a seed.

use mqtt_testkit::sim::{self, Choices, Tally};

/// Plays what the input decides. An input that fails is played again, shorter and shorter, and told with its play.
pub fn session(data: &[u8]) {
    if let Err(failure) = sim::run(Choices::from_bytes(data), &mut Tally::default()) {
        panic!("{failure}");
    }
}
