//! Events of the feature `tracing`. Without it nothing is left of these functions.
//!
//! What is told of a packet is its type and its size; of a server, where it is. Payloads, topics, user names and
//! passwords are never told.

use crate::connection::Event;
#[cfg(any(feature = "tracing", feature = "metrics"))]
use crate::frames::Frame;
use crate::plan::Plan;

/// What all that a client does belongs to.
#[cfg(feature = "tracing")]
pub(crate) fn span(plan: &Plan) -> tracing::Span {
    tracing::info_span!(
        "mqtt",
        client_id = plan.client_id().as_str(),
        server = plan.servers.current().place()
    )
}

#[cfg(feature = "tracing")]
pub(crate) use tracing::Instrument;

pub(crate) fn connecting(_plan: &Plan, _attempt: u64) {
    #[cfg(feature = "tracing")]
    tracing::info!(server = _plan.servers.current().place(), attempt = _attempt, "connecting");
}

pub(crate) fn event(_event: &Event) {
    #[cfg(feature = "tracing")]
    match _event {
        Event::Connected(connected) => {
            let version = tracing::field::display(connected.negotiated.version);
            tracing::info!(version, session_present = connected.session_present, "connected");
        }
        Event::Disconnected { cause, retry_in: Some(delay) } => {
            tracing::info!(%cause, retry_in = ?delay, "connection lost");
        }
        Event::Disconnected { cause, retry_in: None } => tracing::info!(%cause, "connection lost"),
        Event::SubscriptionLost(_, reason) => tracing::info!(%reason, "subscription lost"),
        Event::Restored { messages, damaged } => tracing::info!(messages, damaged, "store opened"),
        Event::StoreFailed(error) => tracing::info!(%error, "store failed"),
        Event::StoreRecovered => tracing::info!("store works again"),
        Event::Closed(closed) => tracing::info!(%closed, "closed"),
    }
}

#[cfg(any(feature = "tracing", feature = "metrics"))]
pub(crate) fn sent(_frame: Frame) {
    #[cfg(feature = "tracing")]
    tracing::trace!(packet = _frame.name(), size = _frame.size, "sent");
}

#[cfg(any(feature = "tracing", feature = "metrics"))]
pub(crate) fn received(_frame: Frame) {
    #[cfg(feature = "tracing")]
    tracing::trace!(packet = _frame.name(), size = _frame.size, "received");
}
