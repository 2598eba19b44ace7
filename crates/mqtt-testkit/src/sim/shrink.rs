//! From a run that fails to the shortest one that fails.

use super::choices::Choices;
use super::{Failure, Play, Tally, attempt};

/// Attempts to make a run shorter.
const ATTEMPTS: usize = 4000;

/// Leaves out steps, half of them first and single ones last, then makes single choices plainer. Any failure counts: the
/// shortest play may show another one, of the same cause or not.
pub(super) fn shrink(taken: Vec<Vec<u32>>, why: String) -> Failure {
    let all = taken.len().saturating_sub(1);
    let mut best = (taken, why);
    let mut left = ATTEMPTS;
    let mut before = usize::MAX;
    while left > 0 && weight(&best.0) < before {
        before = weight(&best.0);
        leave_out(&mut best, &mut left);
        make_plainer(&mut best, &mut left);
    }
    let mut play = Play(Some(Vec::new()));
    let told = attempt(&mut Choices::from_tape(&best.0), &mut play, &mut Tally::default());
    Failure {
        why: told.err().unwrap_or(best.1),
        play: play.0.unwrap_or_default(),
        steps: (best.0.len().saturating_sub(1), all),
    }
}

type Best = (Vec<Vec<u32>>, String);

fn weight(tape: &[Vec<u32>]) -> usize {
    tape.iter().flatten().map(|choice| 2 + usize::from(*choice > 0)).sum::<usize>() + tape.len()
}

fn leave_out(best: &mut Best, left: &mut usize) {
    let mut chunk = best.0.len() / 2;
    while chunk > 0 {
        let mut from = 1;
        while from < best.0.len() && *left > 0 {
            let mut shorter = best.0.clone();
            shorter.drain(from..(from + chunk).min(best.0.len()));
            if !keep(shorter, best, left) {
                from += chunk;
            }
        }
        chunk /= 2;
    }
}

fn make_plainer(best: &mut Best, left: &mut usize) {
    for step in 0..best.0.len() {
        for place in 0..best.0[step].len() {
            if best.0[step].get(place).is_some_and(|choice| *choice > 0) && *left > 0 {
                let mut plainer = best.0.clone();
                plainer[step][place] = 0;
                keep(plainer, best, left);
            }
        }
    }
}

/// Whether it fails still. What it took is kept, which may be less than it was offered.
fn keep(tape: Vec<Vec<u32>>, best: &mut Best, left: &mut usize) -> bool {
    *left -= 1;
    let mut choices = Choices::from_tape(&tape);
    match attempt(&mut choices, &mut Play::default(), &mut Tally::default()) {
        Ok(()) => false,
        Err(why) => {
            let taken = choices.into_taken();
            let better = weight(&taken) < weight(&best.0);
            if better {
                *best = (taken, why);
            }
            better
        }
    }
}
