//! Time as a value: the session never asks a clock, it is told what time it is.

use core::fmt;
use core::ops::Add;
use core::time::Duration;

/// A moment, counted from whatever moment the driver chose as [`Instant::ZERO`], usually its own start.
///
/// It is an ordinary number: it can be printed, invented in a test and produced by a fuzzer. Moments handed
/// to one session should not run backwards; if they do nothing breaks, deadlines only come later.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Instant(Duration);

impl Instant {
    /// The driver's start.
    pub const ZERO: Self = Self(Duration::ZERO);

    /// The moment so long after [`Instant::ZERO`].
    pub const fn from_duration(since_start: Duration) -> Self {
        Self(since_start)
    }

    /// Time since [`Instant::ZERO`].
    pub const fn as_duration(self) -> Duration {
        self.0
    }

    /// Time since an earlier moment; zero if that moment is not earlier.
    pub const fn saturating_duration_since(self, earlier: Self) -> Duration {
        self.0.saturating_sub(earlier.0)
    }
}

/// The moment so much later, at most the last one there is.
impl Add<Duration> for Instant {
    type Output = Self;

    fn add(self, later: Duration) -> Self {
        Self(self.0.saturating_add(later))
    }
}

impl fmt::Debug for Instant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "+{:?}", self.0)
    }
}

/// The earlier of two deadlines, where `None` stands for never.
pub(crate) fn earlier(a: Option<Instant>, b: Option<Instant>) -> Option<Instant> {
    match (a, b) {
        (Some(a), Some(b)) => Some(a.min(b)),
        (deadline, None) | (None, deadline) => deadline,
    }
}
