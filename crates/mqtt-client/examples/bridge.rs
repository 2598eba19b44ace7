//! A bridge: what one server has on a filter is published to another, under a prefix.
//!
//! ```sh
//! cargo run -p mqtt-client --example bridge -- mqtt://site.example mqtt://head-office.example "sensors/#"
//! ```

use core::error::Error;
use mqtt_client::{CleanStart, QoS, RetainHandling, SubscriptionOptions, connect};

/// What the other server sees the topics under.
const PREFIX: &str = "site1";

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.as_slice() {
        [from, to, filter] => run(from, to, filter).await,
        _ => Err("usage: bridge FROM-URL TO-URL FILTER".into()),
    }
}

/// Works until one of the two clients gives up.
pub(crate) async fn run(from: &str, to: &str, filter: &str) -> Result<(), Box<dyn Error>> {
    // The other server first: what is taken from the one must have somewhere to go.
    let target = connect(to).client_id("bridge-to").await?;
    let source = connect(from).client_id("bridge-from").clean_start(CleanStart::FirstOnly).await?;
    let options = SubscriptionOptions {
        // A retained message is retained on the other side too; after a reconnect it need not come again.
        retain_as_published: true,
        retain_handling: RetainHandling::SendIfNew,
        ..QoS::AtLeastOnce.into()
    };
    let mut messages = source.subscribe(filter).options(options).await?;
    while let Some(message) = messages.next().await {
        let topic = format!("{PREFIX}/{}", message.topic());
        let retain = message.retain;
        let copy = target.publish(topic, message.payload).qos(message.qos);
        let copy = if retain { copy.retain() } else { copy };
        // If the other server is away its queue fills, then this waits, and then the first server waits.
        drop(copy.enqueue().await?);
    }
    Err(source.closed().await.into())
}
