//! Dropping a future at each of its polls.

use crate::common::soon;
use core::future::poll_fn;
use core::task::Poll;

/// So many times a future is polled on each turn of the scheduler, woken or not: more places to drop it at.
const EAGER: usize = 40;

/// Polls a future so many times and then drops it. Its output, if it was ready by then.
pub(crate) async fn drop_after<F: IntoFuture>(polls: usize, future: F) -> Option<F::Output> {
    let mut future = Box::pin(future.into_future());
    let mut polled = 0;
    poll_fn(move |cx| {
        while polled < polls {
            polled += 1;
            if let Poll::Ready(output) = future.as_mut().poll(cx) {
                return Poll::Ready(Some(output));
            }
            if polled < polls {
                if polled < EAGER {
                    cx.waker().wake_by_ref();
                }
                return Poll::Pending;
            }
        }
        Poll::Ready(None)
    })
    .await
}

/// Runs a play with a future that is dropped before its first poll, after it, after its second, and so on, until it is
/// ready before it would be dropped. The play says whether it was.
pub(crate) async fn at_every_poll(play: impl AsyncFn(usize) -> bool) {
    let mut drops = 0;
    while !soon(play(drops)).await {
        drops += 1;
        assert!(drops < 500, "it is never ready");
    }
    assert!(drops > 1, "it never waits: nothing is shown");
}

/// The same for plays in which the future is ready at its first poll.
pub(crate) async fn at_no_poll(play: impl AsyncFn(usize) -> bool) {
    assert!(!play(0).await && play(1).await);
}
