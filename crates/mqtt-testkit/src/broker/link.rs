//! What the rest of the broker holds of a connection: it can wake it and order it to end.

use mqtt_codec::ReasonCode;
use std::sync::OnceLock;
use tokio::sync::Notify;

/// One connection, as its session and the broker see it.
#[derive(Debug)]
pub(super) struct Link {
    /// Connections are numbered from 1 in the order in which they were accepted.
    pub(super) number: u64,
    wake: Notify,
    order: OnceLock<Order>,
}

/// How a connection is to end.
#[derive(Clone, Copy, Debug)]
pub(super) enum Order {
    /// Say DISCONNECT with this code (5.0 only), then close.
    Disconnect(ReasonCode),
    /// Close without a word.
    Cut,
}

impl Link {
    pub(super) fn new(number: u64) -> Self {
        Self { number, wake: Notify::new(), order: OnceLock::new() }
    }

    /// There is something to send.
    pub(super) fn wake(&self) {
        self.wake.notify_one();
    }

    /// Orders the connection to end; the first order counts.
    pub(super) fn end(&self, order: Order) {
        let _ = self.order.set(order);
        self.wake.notify_one();
    }

    pub(super) fn order(&self) -> Option<Order> {
        self.order.get().copied()
    }

    /// Returns once for any number of wakes since the last time.
    pub(super) async fn woken(&self) {
        self.wake.notified().await;
    }

    /// Returns when the connection has been ordered to end.
    pub(super) async fn ordered(&self) -> Order {
        loop {
            if let Some(order) = self.order() {
                return order;
            }
            self.woken().await;
        }
    }
}
