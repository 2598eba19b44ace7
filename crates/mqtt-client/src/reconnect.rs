//! When to dial again.

use core::time::Duration;

/// How a client comes back after its connection was lost or an attempt failed.
///
/// The n-th wait in a row is a random time between zero and `first_delay` doubled n times, at most `max_delay`
/// ("full jitter": a thousand clients of a restarted server come back spread out). A connection that held for
/// `stable_after` ends the row; a server that accepts and closes again and again does not.
///
/// A cause that trying again cannot change stops the client whatever the policy says, see
/// [`ConnectError::is_retryable`](crate::ConnectError::is_retryable): bad credentials, a takeover by another client
/// with the same identifier, and such.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReconnectPolicy {
    first_delay: Duration,
    max_delay: Duration,
    stable_after: Duration,
    max_attempts: Option<u32>,
}

impl Default for ReconnectPolicy {
    /// Tries for ever: up to 1 s, 2 s, 4 s .. 60 s apart; a connection is stable after 10 s.
    fn default() -> Self {
        Self {
            first_delay: Duration::from_secs(1),
            max_delay: Duration::from_secs(60),
            stable_after: Duration::from_secs(10),
            max_attempts: None,
        }
    }
}

impl ReconnectPolicy {
    /// Never tries again: the first failure ends the client.
    pub fn never() -> Self {
        Self { max_attempts: Some(0), ..Self::default() }
    }

    /// The ceiling of the first wait.
    #[must_use]
    pub fn first_delay(mut self, delay: Duration) -> Self {
        self.first_delay = delay;
        self
    }

    /// The ceiling of every wait.
    #[must_use]
    pub fn max_delay(mut self, delay: Duration) -> Self {
        self.max_delay = delay;
        self
    }

    /// How long a connection must hold to count as a success, after which the waits start over.
    #[must_use]
    pub fn stable_after(mut self, time: Duration) -> Self {
        self.stable_after = time;
        self
    }

    /// The client ends after so many failed attempts in a row.
    #[must_use]
    pub fn max_attempts(mut self, attempts: u32) -> Self {
        self.max_attempts = Some(attempts);
        self
    }
}

/// Where a client stands in its policy.
#[derive(Debug)]
pub(crate) struct Backoff {
    policy: ReconnectPolicy,
    /// Waits in a row.
    row: u32,
}

impl Backoff {
    pub(crate) fn new(policy: ReconnectPolicy) -> Self {
        Self { policy, row: 0 }
    }

    /// Waits so far since the connection was last stable.
    pub(crate) fn row(&self) -> u32 {
        self.row
    }

    /// How long to wait now, `random` being evenly spread over 0..1; `None` when the policy allows no more attempts.
    pub(crate) fn next_delay(&mut self, random: f64) -> Option<Duration> {
        if self.policy.max_attempts.is_some_and(|most| self.row >= most) {
            return None;
        }
        let doubled =
            2_u32.checked_pow(self.row).and_then(|factor| self.policy.first_delay.checked_mul(factor));
        let ceiling = doubled.unwrap_or(Duration::MAX).min(self.policy.max_delay);
        self.row = self.row.saturating_add(1);
        Some(Duration::try_from_secs_f64(ceiling.as_secs_f64() * random).unwrap_or(ceiling).min(ceiling))
    }

    /// A connection has ended that had held for this long.
    pub(crate) fn held_for(&mut self, time: Duration) {
        if time >= self.policy.stable_after {
            self.row = 0;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ceilings(backoff: &mut Backoff, count: usize) -> Vec<Option<u64>> {
        (0..count).map(|_| backoff.next_delay(1.0).map(|delay| delay.as_secs())).collect()
    }

    #[test]
    fn ceilings_double_up_to_the_longest() {
        let mut backoff = Backoff::new(ReconnectPolicy::default());
        let expected = [1, 2, 4, 8, 16, 32, 60, 60].map(Some);
        assert_eq!(ceilings(&mut backoff, 8), expected);
        backoff.row = u32::MAX;
        assert_eq!(ceilings(&mut backoff, 2), [Some(60), Some(60)]);

        let endless = ReconnectPolicy::default().first_delay(Duration::MAX).max_delay(Duration::MAX);
        assert_eq!(Backoff::new(endless).next_delay(1.0), Some(Duration::MAX));
    }

    #[test]
    fn jitter_spreads_from_zero_to_the_ceiling() {
        let mut backoff = Backoff::new(ReconnectPolicy::default().first_delay(Duration::from_secs(8)));
        assert_eq!(backoff.next_delay(0.0), Some(Duration::ZERO));
        assert_eq!(backoff.next_delay(0.25), Some(Duration::from_secs(4)));
    }

    /// Trap 16: two clients that throw each other out come back slower and slower.
    #[test]
    fn only_a_stable_connection_starts_over() {
        let mut backoff = Backoff::new(ReconnectPolicy::default());
        ceilings(&mut backoff, 3);
        backoff.held_for(Duration::from_secs(9));
        assert_eq!(ceilings(&mut backoff, 1), [Some(8)]);
        backoff.held_for(Duration::from_secs(10));
        assert_eq!(ceilings(&mut backoff, 1), [Some(1)]);
    }

    #[test]
    fn attempts_can_be_counted_out() {
        let mut backoff = Backoff::new(ReconnectPolicy::default().max_attempts(2));
        assert_eq!(ceilings(&mut backoff, 3), [Some(1), Some(2), None]);
        assert_eq!(Backoff::new(ReconnectPolicy::never()).next_delay(0.5), None);
    }
}
