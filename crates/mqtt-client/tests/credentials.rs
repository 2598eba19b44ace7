//! Credentials that are asked for anew at each connection.

mod common;

use common::{Stage, soon};
use core::sync::atomic::{AtomicU32, Ordering};
use core::time::Duration;
use mqtt_client::{
    Closed, ConnectError, Credentials, Event, OptionFault, Protocol, ReasonCode, ReconnectPolicy, State,
    connect,
};
use mqtt_testkit::packets::{connack, disconnect, refusal};
use std::io;
use std::sync::Arc;
use tokio::time::sleep;

/// Counts the tokens: the first is `1`.
fn tokens() -> impl Fn() -> core::future::Ready<io::Result<Credentials>> + Send + Sync + 'static {
    let count = AtomicU32::new(0);
    move || {
        let number = count.fetch_add(1, Ordering::Relaxed) + 1;
        core::future::ready(Ok(Credentials::new("anna", number.to_string())))
    }
}

fn at_once() -> ReconnectPolicy {
    ReconnectPolicy::default().first_delay(Duration::from_millis(10)).max_delay(Duration::from_millis(10))
}

/// Each connection has its own, and a server that does not like them any more gets others.
#[tokio::test(start_paused = true)]
async fn each_connection_asks_anew() {
    let (mut stage, builder) = Stage::new();
    let client = builder.credentials_provider(tokens()).reconnect(at_once()).start().unwrap();
    for number in 1..=4 {
        let mut server = stage.accept().await;
        let connect = server.expect_connect().await;
        assert_eq!(connect.username.as_deref(), Some("anna"));
        assert_eq!(connect.password.as_deref(), Some(number.to_string().as_bytes()));
        match number {
            1 => server.send(connack()).await,
            2 => server.send(refusal(ReasonCode::BAD_USER_NAME_OR_PASSWORD)).await,
            3 => {
                server.send(connack()).await;
                server.send(disconnect(ReasonCode::NOT_AUTHORIZED)).await;
                server.expect_end().await;
            }
            _ => server.send(connack()).await,
        }
        sleep(Duration::from_millis(1)).await;
    }
    sleep(Duration::from_secs(1)).await;
    // The last went the way of the first: nobody holds its other end.
    assert!(matches!(client.status().last_error, Some(ConnectError::PeerClosed)));
}

/// A token alone, in 5.0.
#[tokio::test(start_paused = true)]
async fn a_token_needs_no_user_name() {
    let (mut stage, builder) = Stage::new();
    let ask = || async { Ok::<_, io::Error>(Credentials::token("t")) };
    let _client = builder.credentials_provider(ask).start().unwrap();
    let connect = stage.accept().await.expect_connect().await;
    assert_eq!((connect.username, connect.password.as_deref()), (None, Some(&b"t"[..])));

    // Before 5.0 it needs one, and says so.
    let (stage, builder) = Stage::new();
    let error = builder.credentials_provider(ask).protocol(Protocol::V3_1_1).await.unwrap_err();
    assert!(matches!(error, ConnectError::InvalidOption { .. }), "{error:?}");
    drop(stage);
}

/// Without credentials nothing is sent; the attempt failed, and is made again.
#[tokio::test(start_paused = true)]
async fn no_credentials_no_connection() {
    let (stage, builder) = Stage::new();
    let error = builder
        .credentials_provider(|| async { Err::<Credentials, _>("the vault is closed") })
        .await
        .unwrap_err();
    assert!(matches!(error, ConnectError::Credentials(_)), "{error:?}");
    assert!(error.to_string().contains("the vault is closed"), "{error}");
    assert!(error.is_retryable());
    drop(stage);

    let (mut stage, builder) = Stage::new();
    let asked = Arc::new(AtomicU32::new(0));
    let ask = {
        let asked = asked.clone();
        move || {
            let asked = asked.fetch_add(1, Ordering::Relaxed);
            async move { if asked < 3 { Err("not yet") } else { Ok(Credentials::new("anna", "x")) } }
        }
    };
    let _client = builder.credentials_provider(ask).start().unwrap();
    stage.accept().await.with_patience(Duration::from_secs(20)).expect_connect().await;
    assert_eq!(asked.load(Ordering::Relaxed), 4);
}

/// Asking takes its time from the attempt, and keeps nobody from publishing or ending.
#[tokio::test(start_paused = true)]
async fn a_slow_provider_is_given_up() {
    let (_stage, builder) = Stage::new();
    let ask = || core::future::pending::<io::Result<Credentials>>();
    let client = builder.credentials_provider(ask).connect_timeout(Duration::from_secs(3)).start().unwrap();
    let mut events = client.events();
    let began = common::now();
    let delivery = client.publish("a", "x").enqueue().await.unwrap();
    assert!(matches!(events.next().await, Some(Event::Disconnected { cause: ConnectError::Timeout(_), .. })));
    assert_eq!(began.elapsed(), Duration::from_secs(3));
    client.abort();
    assert!(matches!(soon(client.closed()).await, Closed::Aborted));
    assert_eq!(soon(delivery).await, mqtt_client::Outcome::NotSent);
    assert_eq!(client.status().state, State::Closed);
}

#[tokio::test]
async fn wrong_combinations_are_named() {
    for url in ["mqtt://anna:secret@host", "mqtt://host"] {
        let builder = connect(url).credentials_provider(tokens());
        let builder = if url == "mqtt://host" { builder.username("anna") } else { builder };
        let error = builder.start().unwrap_err();
        assert!(
            matches!(
                error,
                ConnectError::InvalidOption {
                    option: "credentials_provider",
                    fault: OptionFault::Conflict(_)
                }
            ),
            "{error:?}"
        );
    }
    assert_eq!(format!("{:?}", Credentials::new("anna", "secret")), "Credentials { .. }");
}
