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
///
/// # Takeovers before 5.0
///
/// Two clients of one identifier throw each other out for ever, since a server closes the connection of the first when
/// the second comes. A 5.0 server says so. A 3.x server says nothing, and the client can only guess, from eight ends in a
/// row that look like it: the server had accepted the connection, and had said something more or held it for a second;
/// then it closed it in order, without an error of the network, before it was stable, and while nothing that the client
/// had sent waited for its answer. The client then ends with
/// [`ConnectError::AssumedTakeover`](crate::ConnectError::AssumedTakeover), and the other one stays.
///
/// The guess is made to be late rather than wrong. Everything else that closes connections again and again differs in
/// one of these points: a server that is restarted is out of reach for a moment, and an attempt that fails begins the
/// count anew; so does a connection that was stable, as between the restarts of a bad day, or behind a load balancer that
/// cuts the silent ones. A server that cannot bear what it is sent closes while that is unanswered, and one that is
/// overloaded or means a ban closes at once: such ends count neither for nor against. What remains is a server of 3.x that
/// closes over QoS 0 messages; [`assume_takeover`](Self::assume_takeover) turns the guess off.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReconnectPolicy {
    first_delay: Duration,
    max_delay: Duration,
    stable_after: Duration,
    max_attempts: Option<u32>,
    assume_takeover: bool,
}

impl Default for ReconnectPolicy {
    /// Tries for ever: up to 1 s, 2 s, 4 s .. 60 s apart; a connection is stable after 10 s.
    fn default() -> Self {
        Self {
            first_delay: Duration::from_secs(1),
            max_delay: Duration::from_secs(60),
            stable_after: Duration::from_secs(10),
            max_attempts: None,
            assume_takeover: true,
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

    /// Whether to end the client when a 3.x server seems to give its connections to another client of the same
    /// identifier, see [above](Self#takeovers-before-50). It does if it is not set.
    #[must_use]
    pub fn assume_takeover(mut self, assume: bool) -> Self {
        self.assume_takeover = assume;
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
    /// Ends in a row that look like a takeover.
    takeovers: u32,
}

/// How a connection ended, or an attempt to open one.
#[derive(Debug)]
pub(crate) struct Ending {
    /// How long it held from CONNACK on; `None` if there was no CONNACK.
    pub(crate) held: Option<Duration>,
    /// The server, of 3.x, closed it in order and without a word.
    pub(crate) wordless: bool,
    /// The server had said something after CONNACK.
    pub(crate) heard: bool,
    /// Something that the client had sent waited for its answer.
    pub(crate) unanswered: bool,
}

/// So many takeovers in a row are believed. The waits between them grow to half a minute, in which a server that is
/// restarted all the time would be missed once.
const TAKEOVERS: u32 = 8;
/// A server that holds a connection for so long meant to have it.
const WELCOME: Duration = Duration::from_secs(1);

impl Ending {
    /// Whether it speaks for a takeover, against one, or (`None`) neither. See [`ReconnectPolicy`] for the reasons.
    fn is_takeover(&self, stable: bool) -> Option<bool> {
        match self.held {
            Some(held) if self.wordless && !stable => {
                ((self.heard || held >= WELCOME) && !self.unanswered).then_some(true)
            }
            _ => Some(false),
        }
    }
}

impl Backoff {
    pub(crate) fn new(policy: ReconnectPolicy) -> Self {
        Self { policy, row: 0, takeovers: 0 }
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
        let doubled = self.policy.first_delay.checked_mul(2_u32.saturating_pow(self.row));
        let ceiling = doubled.unwrap_or(Duration::MAX).min(self.policy.max_delay);
        self.row = self.row.saturating_add(1);
        Some(Duration::try_from_secs_f64(ceiling.as_secs_f64() * random).unwrap_or(ceiling).min(ceiling))
    }

    /// Whether a connection that held for so long counts as a success.
    pub(crate) fn is_stable(&self, held: Duration) -> bool {
        held >= self.policy.stable_after
    }

    /// A connection has ended, or an attempt failed. Returns the number of takeovers if there were enough of them.
    pub(crate) fn ended(&mut self, ending: &Ending) -> Option<u32> {
        let stable = ending.held.is_some_and(|held| self.is_stable(held));
        if stable {
            self.row = 0;
        }
        match ending.is_takeover(stable) {
            Some(true) => self.takeovers += 1,
            Some(false) => self.takeovers = 0,
            None => {}
        }
        Some(self.takeovers).filter(|takeovers| self.policy.assume_takeover && *takeovers >= TAKEOVERS)
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

        let none = ReconnectPolicy::default().first_delay(Duration::ZERO);
        assert_eq!(ceilings(&mut Backoff::new(none), 40), [Some(0); 40]);

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
        backoff.ended(&held(9));
        assert_eq!(ceilings(&mut backoff, 1), [Some(8)]);
        backoff.ended(&held(10));
        assert_eq!(ceilings(&mut backoff, 1), [Some(1)]);
    }

    #[test]
    fn attempts_can_be_counted_out() {
        let mut backoff = Backoff::new(ReconnectPolicy::default().max_attempts(2));
        assert_eq!(ceilings(&mut backoff, 3), [Some(1), Some(2), None]);
        assert_eq!(Backoff::new(ReconnectPolicy::never()).next_delay(0.5), None);
    }

    /// As a takeover of a client that had its subscriptions answered.
    fn held(seconds: u64) -> Ending {
        Ending { held: Some(Duration::from_secs(seconds)), wordless: true, heard: true, unanswered: false }
    }

    /// Whether so many ends, one after the other, are taken for takeovers.
    fn believed(endings: impl IntoIterator<Item = Ending>) -> bool {
        let mut backoff = Backoff::new(ReconnectPolicy::default());
        endings.into_iter().any(|ending| backoff.ended(&ending).is_some())
    }

    /// Trap 16, before 5.0: a row of short connections, each closed without a word.
    #[test]
    fn a_row_of_takeovers_is_believed() {
        assert!(believed((0..8).map(|_| held(3))));
        assert!(!believed((0..7).map(|_| held(3))));
        assert!(believed((0..8).map(|_| Ending { heard: false, ..held(1) })));
        let mut careless = Backoff::new(ReconnectPolicy::default().assume_takeover(false));
        assert!((0..100).all(|_| careless.ended(&held(3)).is_none()));
    }

    /// What speaks against a takeover begins the count anew: a server that was out of reach, refused or said why, a
    /// connection that was stable or broke.
    #[test]
    fn a_restarted_server_is_no_rival() {
        let restarted = || Ending { held: None, ..held(0) };
        let broken = || Ending { wordless: false, ..held(3) };
        for other in [restarted, broken, || held(10), || held(3600)] {
            let rounds = (0..100).flat_map(|_| (0..7).map(|_| held(3)).chain([other()]));
            assert!(!believed(rounds), "{:?}", other());
        }
    }

    /// A server that throws out for what it was sent, or at once, says nothing on takeovers.
    #[test]
    fn a_displeased_server_is_no_rival() {
        let displeased = || Ending { unanswered: true, ..held(3) };
        let overloaded = || Ending { heard: false, ..held(0) };
        for other in [displeased, overloaded] {
            assert!(!believed((0..100).map(|_| other())));
            // Nor does it hide one.
            assert!(believed((0..8).flat_map(|_| [held(3), other()])));
        }
    }

    /// Two clients of one identifier, both ours: within minutes one of them goes, and the other stays. A thousand times.
    #[test]
    fn of_two_rivals_one_stays() {
        let mut longest = Duration::ZERO;
        for seed in 0..1000 {
            let mut random = fastrand::Rng::with_seed(seed);
            let mut rivals = [(); 2].map(|()| Backoff::new(ReconnectPolicy::default()));
            let mut time = Duration::ZERO;
            // The one that is out waits, comes back, and so ends the connection of the other.
            let mut out = 0;
            loop {
                let wait = rivals[out].next_delay(random.f64()).unwrap();
                time += wait;
                out = 1 - out;
                let ending = Ending { held: Some(wait), ..held(0) };
                if rivals[out].ended(&ending).is_some() {
                    break;
                }
            }
            longest = longest.max(time);
        }
        assert!(longest < Duration::from_secs(600), "{longest:?}");
    }
}
