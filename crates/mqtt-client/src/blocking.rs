//! The same client for programs that are not asynchronous: everything that is awaited elsewhere is waited for here, under
//! the same names. For this one needs the feature `blocking`, and [`Wait`]; [`iter`] is for streams, and
//! [`start`] for clients that need not be connected at once.
//!
//! ```no_run
//! use mqtt_client::blocking::{self, Wait};
//! use mqtt_client::{QoS, connect};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let client = connect("mqtt://broker.example").client_id("kitchen").wait()?;
//!
//! let mut readings = client.subscribe("home/+/temperature").qos(QoS::AtLeastOnce).wait()?;
//! client.publish("home/kitchen/lamp", "on").qos(QoS::ExactlyOnce).retain().wait()?;
//!
//! for message in blocking::iter(&mut readings) {
//!     println!("{}: {}", message.topic(), String::from_utf8_lossy(message.payload()));
//! }
//! # Ok(())
//! # }
//! ```
//!
//! Such clients run on a tokio runtime that all of them in the program share: one thread, begun when it is first needed.

use crate::builder::ConnectBuilder;
use crate::client::Client;
use crate::error::ConnectError;
use core::future::poll_fn;
use core::pin::Pin;
use core::time::Duration;
use futures_core::Stream;
use std::sync::OnceLock;
use tokio::runtime::{Builder, Runtime};
use tokio::time::timeout;

/// Waits for what is otherwise awaited: the builders, the asynchronous methods of [`Client`] and
/// [`Subscription`](crate::Subscription), a [`DeliveryToken`](crate::DeliveryToken).
///
/// # Panics
///
/// Both methods panic within a task of a tokio runtime, where they would hold up other tasks: there, await. And if the
/// system has no thread left for the shared runtime.
pub trait Wait: IntoFuture + Sized {
    /// Holds up this thread until it is there.
    fn wait(self) -> Self::Output {
        runtime().block_on(self.into_future())
    }

    /// The same, but not longer than `limit`; `None` if it is not there by then. What was begun is then given up, as the
    /// documentation of each says for a future that is dropped.
    fn wait_for(self, limit: Duration) -> Option<Self::Output> {
        runtime().block_on(async { timeout(limit, self.into_future()).await.ok() })
    }
}

impl<F: IntoFuture> Wait for F {}

/// [Starts](ConnectBuilder::start) a client and does not wait for a connection.
///
/// # Errors
///
/// What is wrong with the options.
pub fn start(builder: ConnectBuilder) -> Result<Client, ConnectError> {
    let _context = runtime().enter();
    builder.start()
}

/// The items of a stream, each waited for: the messages of a [`Subscription`](crate::Subscription), the events of a
/// client. It ends when the stream does.
pub fn iter<S: Stream + Unpin>(stream: &mut S) -> Iter<'_, S> {
    Iter { stream }
}

/// An iterator over a stream, from [`iter`].
#[derive(Debug)]
#[must_use = "nothing is taken from the stream before it is iterated"]
pub struct Iter<'a, S> {
    stream: &'a mut S,
}

impl<S: Stream + Unpin> Iterator for Iter<'_, S> {
    type Item = S::Item;

    /// # Panics
    ///
    /// As [`Wait`].
    fn next(&mut self) -> Option<S::Item> {
        poll_fn(|cx| Pin::new(&mut *self.stream).poll_next(cx)).wait()
    }
}

/// The runtime of clients that have none.
fn runtime() -> &'static Runtime {
    static SHARED: OnceLock<Runtime> = OnceLock::new();
    SHARED.get_or_init(|| {
        let built =
            Builder::new_multi_thread().worker_threads(1).thread_name("mqtt-client").enable_all().build();
        built.unwrap_or_else(|error| panic!("there is no thread for the client: {error}"))
    })
}
