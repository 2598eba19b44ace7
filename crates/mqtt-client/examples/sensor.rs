//! A sensor that publishes what it measures, and never waits for the network: while the server is away the newest values
//! are kept, and the older ones give way.
//!
//! ```sh
//! cargo run -p mqtt-client --example sensor -- mqtt://broker.example
//! ```

use core::error::Error;
use core::time::Duration;
use mqtt_client::{Overflow, Presence, QoS, TopicName, connect};
use tokio::time::interval;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let url = std::env::args().nth(1).ok_or("usage: sensor URL")?;
    run(&url, Duration::from_secs(10), usize::MAX).await
}

/// Publishes so many readings, one in each period.
pub(crate) async fn run(url: &str, period: Duration, readings: usize) -> Result<(), Box<dyn Error>> {
    let client = connect(url)
        .client_id("sensor1")
        .presence(Presence::new(TopicName::from_static("sensors/1/state")?))
        .queue(100, 64 * 1024)
        .queue_overflow(Overflow::DropOldest)
        .start()?;
    let mut clock = interval(period);
    for _ in 0..readings {
        clock.tick().await;
        let reading = client.publish("sensors/1/temperature", measure()).qos(QoS::AtLeastOnce).retain();
        // Nobody waits here for its delivery: the next reading is what matters.
        drop(reading.enqueue().await?);
    }
    client.drain(Duration::from_secs(5)).await;
    Ok(client.disconnect().await?)
}

/// A real one would ask its hardware.
fn measure() -> String {
    format!("{:.1}", 20.0 + fastrand::f64())
}
