//! Which of several addresses to take: RFC 8305, sections 4 and 5.

use core::net::SocketAddr;
use core::time::Duration;
use std::io;
use tokio::task::JoinSet;
use tokio::time::timeout;

/// How long an attempt runs alone before the next address is tried beside it.
const HEAD_START: Duration = Duration::from_millis(250);

/// Opens a stream to one of several addresses, as RFC 8305 ("Happy Eyeballs") says: IPv6 and IPv4 in turn, the next
/// address 250 ms after the last or as soon as that has failed; the first that opens is taken, and the other attempts
/// are dropped. For connectors of one's own.
///
/// Dropping the future ends all attempts.
///
/// # Errors
///
/// The last failure; `None` if there is no address.
pub async fn happy_eyeballs<S, F>(
    addresses: Vec<SocketAddr>,
    open: impl Fn(SocketAddr) -> F,
) -> Option<io::Result<S>>
where
    S: Send + 'static,
    F: Future<Output = io::Result<S>> + Send + 'static,
{
    race(interleave(addresses), open).await
}

/// Both families in turn, beginning with that of the first; within each the resolver's order.
fn interleave(addresses: Vec<SocketAddr>) -> Vec<SocketAddr> {
    let first_is_ipv4 = addresses.first().is_some_and(SocketAddr::is_ipv4);
    let (same, other): (Vec<_>, Vec<_>) =
        addresses.into_iter().partition(|address| address.is_ipv4() == first_is_ipv4);
    let (mut same, mut other) = (same.into_iter(), other.into_iter());
    let mut mixed = Vec::new();
    loop {
        match (same.next(), other.next()) {
            (None, None) => return mixed,
            (one, another) => mixed.extend(one.into_iter().chain(another)),
        }
    }
}

/// Tries the addresses as they come.
async fn race<S, F>(addresses: Vec<SocketAddr>, open: impl Fn(SocketAddr) -> F) -> Option<io::Result<S>>
where
    S: Send + 'static,
    F: Future<Output = io::Result<S>> + Send + 'static,
{
    let mut waiting = addresses.into_iter();
    let mut attempts = JoinSet::new();
    let mut failure = None;
    loop {
        let next = waiting.next();
        let last = next.is_none();
        if let Some(address) = next {
            attempts.spawn(open(address));
        }
        let ended = if last {
            attempts.join_next().await
        } else {
            match timeout(HEAD_START, attempts.join_next()).await {
                Ok(ended) => ended,
                Err(_) => continue,
            }
        };
        match ended {
            Some(Ok(Ok(stream))) => return Some(Ok(stream)),
            Some(Ok(Err(error))) => failure = Some(Err(error)),
            // An attempt neither panics nor is cancelled.
            Some(Err(_)) => {}
            None if last => return failure,
            None => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{interleave, race};
    use core::net::SocketAddr;
    use core::time::Duration;
    use std::io;
    use tokio::time::{Instant, sleep};

    fn address(text: &str) -> SocketAddr {
        text.parse().unwrap()
    }

    #[test]
    fn families_take_turns() {
        let found = ["[::1]:1", "[::2]:1", "[::3]:1", "1.1.1.1:1", "2.2.2.2:1"].map(address);
        let mixed = ["[::1]:1", "1.1.1.1:1", "[::2]:1", "2.2.2.2:1", "[::3]:1"].map(address);
        assert_eq!(interleave(found.into()), mixed);
        assert_eq!(interleave(vec![]), []);
    }

    #[expect(clippy::disallowed_methods, reason = "the paused clock of the test")]
    /// Attempts that take so many milliseconds and succeed or not; which won, and when.
    async fn outcome(attempts: &'static [(u64, bool)]) -> (Option<Result<u16, u16>>, u128) {
        let start = Instant::now();
        let addresses = (0..attempts.len()).map(|n| SocketAddr::from(([127, 0, 0, 1], n as u16))).collect();
        let raced = race(addresses, |address| async move {
            let (time, opens) = attempts[usize::from(address.port())];
            sleep(Duration::from_millis(time)).await;
            if opens { Ok(address.port()) } else { Err(io::Error::other(address.port().to_string())) }
        });
        let won = raced.await.map(|won| won.map_err(|error| error.to_string().parse().unwrap()));
        (won, start.elapsed().as_millis())
    }

    #[tokio::test(start_paused = true)]
    async fn the_first_that_opens_is_taken() {
        assert_eq!(outcome(&[(100, true), (1, true)]).await, (Some(Ok(0)), 100));
        // One that says nothing costs a quarter of a second.
        assert_eq!(outcome(&[(100_000, true), (10, true)]).await, (Some(Ok(1)), 260));
        // One that fails costs nothing more.
        assert_eq!(outcome(&[(10, false), (10, true), (10, true)]).await, (Some(Ok(1)), 20));
        // A slow one may still win.
        assert_eq!(outcome(&[(300, true), (10_000, true)]).await, (Some(Ok(0)), 300));
        assert_eq!(outcome(&[(400, false), (10, false)]).await, (Some(Err(0)), 400));
        assert_eq!(outcome(&[]).await, (None, 0));
    }

    /// Losers are dropped, and with the future all are.
    #[tokio::test(start_paused = true)]
    async fn nobody_runs_on() {
        let alive = std::sync::Arc::new(());
        let seen = alive.clone();
        let addresses = vec![address("1.1.1.1:1"), address("2.2.2.2:2")];
        let raced = race(addresses, move |_| {
            let held = seen.clone();
            async move {
                sleep(Duration::from_secs(100)).await;
                drop(held);
                Ok(())
            }
        });
        assert!(tokio::time::timeout(Duration::from_secs(1), raced).await.is_err());
        tokio::task::yield_now().await;
        assert_eq!(std::sync::Arc::strong_count(&alive), 1);
    }
}
