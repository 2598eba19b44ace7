//! Runs [`mqtt_fuzz::round_trip`] under libFuzzer.
#![cfg_attr(fuzzing, no_main)]

#[cfg(fuzzing)]
libfuzzer_sys::fuzz_target!(|data: &[u8]| mqtt_fuzz::round_trip(data));

#[cfg(not(fuzzing))]
fn main() {}
