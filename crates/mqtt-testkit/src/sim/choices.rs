//! The one source of decisions of a run: a seed, the bytes of a fuzzer, or the choices of an earlier run.

/// Numbers that decide what happens, in steps. What was taken is recorded, so that a run can be played again without
/// some of its steps.
#[derive(Debug)]
pub struct Choices<'a> {
    source: Source<'a>,
    /// What was taken, step by step; the first is the setup.
    taken: Vec<Vec<u32>>,
}

#[derive(Debug)]
enum Source<'a> {
    /// So many steps are left.
    Seed(fastrand::Rng, u32),
    /// What is left of the input.
    Bytes(&'a [u8]),
    /// The steps to come, and the rest of this one.
    Tape(&'a [Vec<u32>], &'a [u32]),
}

impl<'a> Choices<'a> {
    /// Decisions without end for the setup, and some hundred steps.
    pub fn from_seed(seed: u64) -> Self {
        let mut random = fastrand::Rng::with_seed(seed);
        let steps = random.u32(20..300);
        Self::new(Source::Seed(random, steps))
    }

    /// As many decisions as there are bytes; a longer input begins with a shorter one's play.
    pub const fn from_bytes(bytes: &'a [u8]) -> Self {
        Self::new(Source::Bytes(bytes))
    }

    /// The choices of another run, or a part of them. Where they are not enough, all is zero.
    pub(super) fn from_tape(tape: &'a [Vec<u32>]) -> Self {
        let (setup, steps) = tape.split_first().map_or((&[][..], tape), |(setup, steps)| (&setup[..], steps));
        Self::new(Source::Tape(steps, setup))
    }

    const fn new(source: Source<'a>) -> Self {
        Self { source, taken: Vec::new() }
    }

    /// Begins the next step. False at the end.
    pub(super) fn step(&mut self) -> bool {
        match &mut self.source {
            Source::Seed(_, 0) | Source::Bytes([]) => return false,
            Source::Seed(_, left) => *left -= 1,
            Source::Bytes(_) => {}
            Source::Tape(steps, rest) => match steps.split_first() {
                Some((next, others)) => (*steps, *rest) = (others, next),
                None => return false,
            },
        }
        if self.taken.is_empty() {
            self.taken.push(Vec::new());
        }
        self.taken.push(Vec::new());
        true
    }

    /// A number below this; zero, the plainest choice, when there are no more decisions.
    pub(super) fn below(&mut self, end: u32) -> u32 {
        let end = end.max(1);
        let number = match &mut self.source {
            Source::Seed(random, _) => random.u32(..end),
            Source::Bytes(bytes) => {
                let wanted = if end <= 256 { 1 } else { 2 };
                let (taken, rest) = bytes.split_at(wanted.min(bytes.len()));
                *bytes = rest;
                taken.iter().fold(0, |number, byte| number << 8 | u32::from(*byte)) % end
            }
            Source::Tape(_, rest) => match rest.split_first() {
                Some((next, others)) => {
                    *rest = others;
                    *next % end
                }
                None => 0,
            },
        };
        match self.taken.last_mut() {
            Some(step) => step.push(number),
            None => self.taken.push(vec![number]),
        }
        number
    }

    /// Yes, in so many of a hundred cases.
    pub(super) fn percent(&mut self, yes: u32) -> bool {
        self.below(100) >= 100 - yes.min(100)
    }

    /// One of these; the first is the plainest.
    pub(super) fn one_of<T: Copy>(&mut self, of: &[T]) -> T {
        of[self.below(of.len() as u32) as usize]
    }

    /// An index into something of this length.
    pub(super) fn index(&mut self, len: usize) -> usize {
        self.below(u32::try_from(len).unwrap_or(u32::MAX)) as usize
    }

    /// What was taken, step by step, the setup first.
    pub(super) fn into_taken(self) -> Vec<Vec<u32>> {
        self.taken
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn take(choices: &mut Choices<'_>) -> Vec<u32> {
        let mut numbers = vec![choices.below(7)];
        while choices.step() {
            numbers.extend([choices.below(1000), choices.below(3)]);
        }
        numbers
    }

    #[test]
    fn what_was_taken_can_be_taken_again() {
        let mut first = Choices::from_seed(7);
        let numbers = take(&mut first);
        let tape = first.into_taken();
        assert_eq!(take(&mut Choices::from_tape(&tape)), numbers);
        assert_eq!(take(&mut Choices::from_seed(7)), numbers);
        assert_ne!(take(&mut Choices::from_seed(8)), numbers);
    }

    #[test]
    fn a_tape_that_is_too_short_says_zero() {
        assert_eq!(take(&mut Choices::from_tape(&[vec![], vec![5]])), [0, 5, 0]);
        assert_eq!(take(&mut Choices::from_bytes(&[9, 1, 2])), [2, 258, 0]);
    }
}
