//! Section 3.1: CONNECT.

use crate::support::{ALL, pass, serve};
use core::time::Duration;
use mqtt_testkit::packets::{connack, pingreq, pingresp, publish};

const KEEP_ALIVE: Duration = Duration::from_secs(60);

/// [MQTT-3.1.2-20] [MQTT-3.1.2-23/3.1.1] [31-15]: silence is filled with PINGREQ, whatever the server says meanwhile.
/// [MQTT-3.2.2-22]: at the client's own interval if the server names none.
#[tokio::test]
async fn what_the_server_says_does_not_keep_alive() {
    for version in ALL {
        let stage = serve(version).await;
        let (_client, mut server) = stage.meet_as(stage.options().keep_alive(KEEP_ALIVE), connack()).await;
        for _ in 0..3 {
            server.expect_nothing().await;
            pass(KEEP_ALIVE / 2).await;
            server.send(publish("chatter", "")).await;
            server.expect_silence(Duration::from_millis(20)).await;
            pass(KEEP_ALIVE / 2).await;
            server.expect(pingreq()).await;
            server.send(pingresp()).await;
        }
    }
}
