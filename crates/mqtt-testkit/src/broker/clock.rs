//! The broker's clock: tokio's, so that a test which pauses time pauses the broker with it.

use core::time::Duration;
use tokio::time::Instant;

/// A time that never comes: what "no deadline" sleeps until.
const NEVER: Duration = Duration::from_secs(365 * 24 * 3600);

#[expect(
    clippy::disallowed_methods,
    reason = "the testkit's broker drives itself, as the client's driver does"
)]
pub(super) fn now() -> Instant {
    Instant::now()
}

/// Sleeps until the deadline; for ever without one.
pub(super) async fn sleep_until(deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => tokio::time::sleep_until(deadline).await,
        None => tokio::time::sleep(NEVER).await,
    }
}
