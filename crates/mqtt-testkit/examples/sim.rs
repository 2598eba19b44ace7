//! Plays simulations: `sim FIRST COUNT` plays the seeds from FIRST on, on all processors, and ends with the first failure.
//! `cargo xtask sim` starts it.

use core::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use mqtt_testkit::sim::{self, Choices, Failure, Tally};
use std::process::ExitCode;
use std::sync::Mutex;
use std::{env, panic, thread};

fn main() -> ExitCode {
    let mut arguments = env::args().skip(1).map(|argument| argument.parse::<u64>());
    let (Some(Ok(first)), Some(Ok(count))) = (arguments.next(), arguments.next()) else {
        eprintln!("sim FIRST COUNT");
        return ExitCode::FAILURE;
    };
    // A panic is a failure like another, and told with its play.
    panic::set_hook(Box::new(|_| {}));
    let (next, failed) = (AtomicU64::new(0), AtomicBool::new(false));
    let found: Mutex<Option<(u64, Failure)>> = Mutex::new(None);
    let total = Mutex::new(Tally::default());
    let play = || {
        let mut tally = Tally::default();
        while !failed.load(Ordering::Relaxed) {
            let played = next.fetch_add(1, Ordering::Relaxed);
            if played >= count {
                break;
            }
            if count >= 10_000 && played % (count / 10) == 0 && played > 0 {
                println!("{played} of {count} seeds");
            }
            let seed = first.wrapping_add(played);
            if let Err(failure) = sim::run(Choices::from_seed(seed), &mut tally) {
                failed.store(true, Ordering::Relaxed);
                if let Ok(mut found) = found.lock() {
                    found.get_or_insert((seed, failure));
                }
            }
        }
        if let Ok(mut total) = total.lock() {
            *total += tally;
        }
    };
    thread::scope(|scope| {
        for _ in 0..thread::available_parallelism().map_or(1, usize::from) {
            scope.spawn(play);
        }
    });
    if let Ok(total) = total.lock() {
        println!("{} seeds: {total}", next.load(Ordering::Relaxed).min(count));
    }
    match found.into_inner() {
        Ok(None) => ExitCode::SUCCESS,
        Ok(Some((seed, failure))) => {
            println!("seed {seed} fails: {failure}\nagain: cargo xtask sim --seeds 1 --seed {seed}");
            ExitCode::FAILURE
        }
        Err(_) => ExitCode::FAILURE,
    }
}
