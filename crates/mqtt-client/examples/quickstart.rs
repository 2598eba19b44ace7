//! Clients of MQTT 3.1, 3.1.1 and 5.0 publish at each QoS, and one client hears them all.
//!
//! ```sh
//! cargo run --example quickstart                       # with a small broker of its own
//! cargo run --example quickstart mqtt://localhost:1883 # with a broker that runs there
//! cargo run --example quickstart mqtts://broker.example
//! SSL_CERT_FILE=ca.pem cargo run --example quickstart mqtts://localhost:8883 # an authority of one's own
//! ```
//!
//! So do `ws://`, `wss://`, `quic://` and `unix:///PATH`; beside the workspace's other crates no feature need be named.

use core::error::Error;
use mqtt_client::{Protocol, QoS, connect};
use mqtt_testkit::broker::Broker;

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    run(std::env::args().nth(1)).await
}

/// With the broker of this URL, or one of its own.
pub(crate) async fn run(url: Option<String>) -> Result<(), Box<dyn Error>> {
    let own_broker;
    let url = match url {
        Some(url) => url,
        None => {
            own_broker = Broker::start().await?;
            own_broker.url()
        }
    };
    let house = format!("quickstart/{}", std::process::id());
    println!("broker  {url}");

    let listener = connect(&url).await?;
    let mut messages = listener.subscribe(format!("{house}/#")).qos(QoS::ExactlyOnce).await?;

    for protocol in [Protocol::V3_1, Protocol::V3_1_1, Protocol::V5] {
        let client = connect(&url).protocol(protocol).await?;
        for qos in [QoS::AtMostOnce, QoS::AtLeastOnce, QoS::ExactlyOnce] {
            let topic = format!("{house}/{protocol}");
            client.publish(topic, format!("hello at QoS {qos}")).qos(qos).await?;

            let message = messages.next().await.ok_or("the stream has ended")?;
            println!("{:28}  {}", message.topic(), String::from_utf8_lossy(message.payload()));
        }
        client.disconnect().await?;
    }

    messages.unsubscribe().await?;
    listener.disconnect().await?;
    println!("goodbye");
    Ok(())
}
