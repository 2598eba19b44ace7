//! A device that carries out commands and answers them, and the other side, which gives one and waits for the answer.
//!
//! ```sh
//! cargo run -p mqtt-client --example command_handler -- mqtt://broker.example
//! cargo run -p mqtt-client --example command_handler -- mqtt://broker.example set 21.5
//! ```

use core::error::Error;
use core::time::Duration;
use mqtt_client::{Client, Presence, QoS, TopicName, connect};

const COMMANDS: &str = "thermostat/command";

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.as_slice() {
        [url] => handle(url).await,
        [url, command @ ..] => ask(url, &command.join(" ")).await,
        [] => Err("usage: command_handler URL [COMMAND..]".into()),
    }
}

/// The device. It is seen to be there, and works until it is told to stop.
async fn handle(url: &str) -> Result<(), Box<dyn Error>> {
    let presence = Presence::new(TopicName::from_static("thermostat/state")?);
    let client = connect(url).client_id("thermostat").presence(presence).await?;
    let mut commands = client.subscribe(COMMANDS).qos(QoS::AtLeastOnce).await?;
    let mut target = 20.0;
    while let Some(command) = commands.next().await {
        let answer = carry_out(&String::from_utf8_lossy(command.payload()), &mut target);
        // A command that wants no answer is one all the same.
        if command.properties.view().response_topic().is_some() {
            // Nobody waits here for its delivery: the next command may have come.
            drop(client.respond(&command, answer.clone()).enqueue().await?);
        }
        if answer == "stopped" {
            stop(&client).await?;
        }
    }
    Ok(())
}

fn carry_out(command: &str, target: &mut f64) -> String {
    match command.split_once(' ') {
        Some(("set", degrees)) => match degrees.parse() {
            Ok(degrees) => {
                *target = degrees;
                format!("set to {target}")
            }
            Err(error) => format!("{degrees} is no temperature: {error}"),
        },
        None if command == "get" => format!("{target}"),
        None if command == "stop" => "stopped".to_owned(),
        _ => format!("{command} is no command; there are get, set DEGREES and stop"),
    }
}

/// The answer is on its way, and nobody shall wait for it in vain.
async fn stop(client: &Client) -> Result<(), Box<dyn Error>> {
    client.drain(Duration::from_secs(5)).await;
    Ok(client.disconnect().await?)
}

/// The other side.
async fn ask(url: &str, command: &str) -> Result<(), Box<dyn Error>> {
    let client = connect(url).request_response_information(true).await?;
    let request = client.request(COMMANDS, command.to_owned()).qos(QoS::AtLeastOnce);
    let answer = request.timeout(Duration::from_secs(10)).await?;
    println!("{}", String::from_utf8_lossy(answer.payload()));
    Ok(client.disconnect().await?)
}
