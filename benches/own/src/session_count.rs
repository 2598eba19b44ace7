//! Counts what the session takes for one message: allocations here, instructions by callgrind, which is to collect
//! within [`counted`] and to dump after [`case_done`]. One line of JSON for each case, one dump of callgrind.
//!   session-count [WORD..]    only the cases whose line has all these words

use own::session::{Case, Meter, Rig, Unmeasured};
use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};
use std::alloc::System;

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

/// So many messages are counted, after as many that are not.
const MESSAGES: usize = 2_000;

#[derive(Default)]
struct Allocations(usize);

impl Meter for Allocations {
    fn measure(&mut self, step: impl FnOnce()) {
        let region = Region::new(ALLOCATOR);
        counted(step);
        let change = region.change();
        self.0 += change.allocations + change.reallocations;
    }
}

#[inline(never)]
fn counted(step: impl FnOnce()) {
    step();
}

#[inline(never)]
fn case_done(case: &str, allocations: f64) {
    println!("{{{case},\"messages\":{MESSAGES},\"allocations\":{allocations}}}");
}

fn main() {
    let words: Vec<String> = std::env::args().skip(1).collect();
    for case in Case::all() {
        let Case { version, exchange, batch, in_flight, subscriptions } = case;
        let name = exchange.name();
        let line = format!(
            "\"version\":\"{version}\",\"exchange\":\"{name}\",\"batch\":{batch},\"in_flight\":{in_flight},\"subscriptions\":{subscriptions}"
        );
        if !words.iter().all(|word| line.contains(word)) {
            continue;
        }
        let mut rig = Rig::new(case);
        let mut allocations = Allocations::default();
        (0..MESSAGES / batch).for_each(|_| rig.round(&mut Unmeasured));
        (0..MESSAGES / batch).for_each(|_| rig.round(&mut allocations));
        case_done(&line, allocations.0 as f64 / MESSAGES as f64);
    }
}
