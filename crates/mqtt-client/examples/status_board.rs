//! A board that shows who is there and what each has last said, from the retained messages of all devices.
//!
//! ```sh
//! cargo run -p mqtt-client --example status_board -- mqtt://broker.example
//! ```

use core::error::Error;
use mqtt_client::{Event, QoS, connect};
use std::collections::BTreeMap;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let url = std::env::args().nth(1).ok_or("usage: status_board URL")?;
    run(&url, |board| print!("{board}")).await
}

/// Shows the board each time that something changes, until the client gives up.
pub(crate) async fn run(url: &str, mut show: impl FnMut(&str)) -> Result<(), Box<dyn Error>> {
    let client = connect(url).start()?;
    let mut events = client.events();
    let filters = [("sensors/+/state", QoS::AtLeastOnce), ("sensors/+/temperature", QoS::AtLeastOnce)];
    let mut messages = client.subscribe_all(filters).await?;
    let mut connection = "connected".to_owned();
    let mut values = BTreeMap::new();
    loop {
        tokio::select! {
            Some(message) = messages.next() => {
                let value = String::from_utf8_lossy(message.payload()).into_owned();
                values.insert(message.topic().to_owned(), value);
            }
            Some(event) = events.next() => match event {
                Event::Connected(_) => connection = "connected".to_owned(),
                Event::Disconnected { cause, .. } => connection = format!("not connected: {cause}"),
                _ => continue,
            },
            else => return Err(client.closed().await.into()),
        }
        show(&board(&connection, &values));
    }
}

fn board(connection: &str, values: &BTreeMap<String, String>) -> String {
    let lines = values.iter().map(|(topic, value)| format!("  {topic:<24} {value}\n"));
    format!("{connection}\n{}", lines.collect::<String>())
}
