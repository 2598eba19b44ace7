//! Runs [`mqtt_fuzz::topic`] under libFuzzer.
#![cfg_attr(fuzzing, no_main)]

#[cfg(fuzzing)]
libfuzzer_sys::fuzz_target!(|data: &[u8]| mqtt_fuzz::topic(data));

#[cfg(not(fuzzing))]
fn main() {}
