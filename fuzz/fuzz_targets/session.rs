//! Runs [`mqtt_fuzz::session`] under libFuzzer.
#![cfg_attr(fuzzing, no_main)]

#[cfg(fuzzing)]
libfuzzer_sys::fuzz_target!(|data: &[u8]| mqtt_fuzz::session(data));

#[cfg(not(fuzzing))]
fn main() {}
