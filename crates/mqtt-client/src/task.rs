//! The client's task in the hands of its user.

use crate::driver::Driver;
use core::fmt;

/// The task of a client, for those who do not leave it to [`ConnectBuilder::start`](crate::ConnectBuilder::start): to run
/// it beside other work on a task of their own, or by a name, a priority or a set of tasks that they watch over. From
/// [`ConnectBuilder::prepare`](crate::ConnectBuilder::prepare).
///
/// All that the client does happens here. As long as it is not run nothing is sent, and who waits for something waits. If
/// it is dropped the client ends, [`Closed::TaskEnded`](crate::Closed::TaskEnded), without a goodbye.
#[must_use = "without it the client does nothing"]
pub struct ClientTask {
    driver: Box<Driver>,
}

impl ClientTask {
    pub(crate) fn new(driver: Box<Driver>) -> Self {
        Self { driver }
    }

    /// Runs the client to its end, which [`Client::closed`](crate::Client::closed) explains. It must be awaited in the
    /// runtime in which it was prepared, and on a task that does not block.
    ///
    /// Dropping the future ends the client: the connection is cut without a goodbye, and what has no answer completes
    /// as it does with [`Client::abort`](crate::Client::abort).
    pub async fn run(self) {
        self.driver.run_in_span().await;
    }
}

impl fmt::Debug for ClientTask {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClientTask").finish_non_exhaustive()
    }
}
