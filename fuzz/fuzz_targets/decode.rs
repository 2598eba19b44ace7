//! Runs [`mqtt_fuzz::decode`] under libFuzzer.
#![cfg_attr(fuzzing, no_main)]

#[cfg(fuzzing)]
libfuzzer_sys::fuzz_target!(|data: &[u8]| mqtt_fuzz::decode(data));

#[cfg(not(fuzzing))]
fn main() {}
