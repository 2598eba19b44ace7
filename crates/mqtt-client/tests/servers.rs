//! Where a client goes: a server may send it to others, section 4.11, and it may go there or not.

mod common;

use common::soon;
use core::time::Duration;
use mqtt_client::{
    Client, Closed, ConnectBuilder, ConnectError, Event, OptionFault, PropertiesBuf, Protocol, ReasonCode,
    ReconnectPolicy, ServerOrder, State, connect,
};
use mqtt_codec::{ConnAck, Disconnect, Packet};
use mqtt_testkit::packets::{connack, refusal};
use mqtt_testkit::peer::{Peer, PeerListener};
use tokio::net::TcpStream;

fn reference(servers: &str) -> PropertiesBuf {
    PropertiesBuf::builder().server_reference(servers).build().unwrap()
}

fn refer(reason: ReasonCode, servers: &str) -> ConnAck {
    ConnAck { properties: reference(servers), ..refusal(reason) }
}

fn goodbye(reason: ReasonCode, servers: &str) -> Packet {
    Packet::Disconnect(Disconnect { properties: reference(servers), ..Disconnect::new(reason) })
}

async fn listen() -> PeerListener {
    PeerListener::bind().await.unwrap()
}

fn client_of(listener: &PeerListener) -> ConnectBuilder {
    let at_once = ReconnectPolicy::default()
        .first_delay(Duration::from_millis(10))
        .max_delay(Duration::from_millis(10));
    connect(&listener.url())
        .protocol(Protocol::V5)
        .credentials("anna", "secret")
        .reconnect(at_once)
        .follow_server_reference(true)
}

async fn accept(listener: &PeerListener) -> Peer<TcpStream> {
    let mut server = listener.accept().await;
    let connect = server.expect_connect().await;
    // Credentials go along.
    assert_eq!(connect.username.as_deref(), Some("anna"));
    server
}

async fn welcome(listener: &PeerListener) -> Peer<TcpStream> {
    let mut server = accept(listener).await;
    server.send(connack()).await;
    server
}

/// A port where nobody listens.
async fn nowhere() -> String {
    listen().await.addr().to_string()
}

/// Off by default: the end is final, and says where to go.
#[tokio::test]
async fn a_reference_is_shown_and_not_followed() {
    let listener = listen().await;
    let serving = async {
        let mut server = accept(&listener).await;
        server.send(refer(ReasonCode::USE_ANOTHER_SERVER, "other:1884")).await;
    };
    let connecting = client_of(&listener).follow_server_reference(false).into_future();
    let (client, ()) = tokio::join!(connecting, serving);
    let error = client.unwrap_err();
    assert_eq!(error.reason(), Some(ReasonCode::USE_ANOTHER_SERVER));
    assert_eq!(error.server_reference(), Some("other:1884"));
    assert!(error.to_string().ends_with(", see other:1884"), "{error}");
    assert!(!error.is_retryable());

    let client = client_of(&listener).follow_server_reference(false).start().unwrap();
    welcome(&listener).await.send(goodbye(ReasonCode::SERVER_MOVED, "other")).await;
    let Closed::Failed(error) = soon(client.closed()).await else { panic!() };
    assert!(matches!(error, ConnectError::Disconnected { .. }), "{error:?}");
    assert_eq!(error.server_reference(), Some("other"));
    assert_eq!(client.status().last_error.unwrap().server_reference(), Some("other"));
}

/// The servers that are named are tried in their order; the attempt that was awaited goes on.
#[tokio::test]
async fn a_refusal_can_be_followed() {
    let (here, there) = (listen().await, listen().await);
    let named = format!("{} {}  {}", nowhere().await, "not:a:server", there.addr());
    let serving = async {
        let mut server = accept(&here).await;
        server.send(refer(ReasonCode::USE_ANOTHER_SERVER, &named)).await;
        welcome(&there).await
    };
    let (client, _server) = tokio::join!(client_of(&here).into_future(), serving);
    let client = client.unwrap();
    let mut events = client.events();
    for _ in 0..2 {
        assert!(matches!(
            events.next().await,
            Some(Event::Disconnected { retry_in: Some(Duration::ZERO), .. })
        ));
    }
    assert!(matches!(events.next().await, Some(Event::Connected(_))));
}

async fn connected(client: &Client) {
    let mut changes = client.watch();
    soon(async { while client.status().state != State::Connected && changes.changed().await.is_some() {} })
        .await;
}

/// 0x9C is for now: after the connection to the other server the first is asked again. 0x9D is for good.
#[tokio::test]
async fn a_goodbye_can_be_followed() {
    for (reason, for_good) in [(ReasonCode::USE_ANOTHER_SERVER, false), (ReasonCode::SERVER_MOVED, true)] {
        let (here, there) = (listen().await, listen().await);
        let client = client_of(&here).start().unwrap();
        welcome(&here).await.send(goodbye(reason, &there.addr().to_string())).await;
        let server = welcome(&there).await;
        connected(&client).await;
        drop(server);
        let _server = welcome(if for_good { &there } else { &here }).await;
        connected(&client).await;
    }
}

/// Servers that send a client to each other for ever have it five times.
#[tokio::test]
async fn hops_are_bounded() {
    let (here, there) = (listen().await, listen().await);
    let client = client_of(&here).start().unwrap();
    for hop in 0..6 {
        let (this, other) = if hop % 2 == 0 { (&here, &there) } else { (&there, &here) };
        let goodbye = goodbye(ReasonCode::USE_ANOTHER_SERVER, &other.addr().to_string());
        welcome(this).await.send(goodbye).await;
    }
    let Closed::Failed(error) = soon(client.closed()).await else { panic!() };
    assert_eq!(error.reason(), Some(ReasonCode::USE_ANOTHER_SERVER));
}

/// Names that cannot be used, or none, or beside another reason, leave the end as it is.
#[tokio::test]
async fn a_reference_that_leads_nowhere_is_final() {
    for (reason, named) in [
        (ReasonCode::USE_ANOTHER_SERVER, "a/b ::1 :1883"),
        (ReasonCode::SERVER_MOVED, ""),
        (ReasonCode::NOT_AUTHORIZED, "localhost"),
    ] {
        let listener = listen().await;
        let serving = async { accept(&listener).await.send(refer(reason, named)).await };
        let (client, ()) = tokio::join!(client_of(&listener).into_future(), serving);
        assert_eq!(client.unwrap_err().reason(), Some(reason), "{named}");
    }
}

/// Where nobody is, the client does not stay.
#[tokio::test]
async fn a_reference_that_is_out_of_reach_leads_back() {
    let here = listen().await;
    let client = client_of(&here).start().unwrap();
    let named = nowhere().await;
    accept(&here).await.send(refer(ReasonCode::USE_ANOTHER_SERVER, &named)).await;
    let _server = welcome(&here).await;
    connected(&client).await;
}

#[tokio::test]
async fn a_connector_of_ones_own_cannot_go_elsewhere() {
    let builder = || common::Stage::new().1;
    for (builder, named) in [
        (builder().follow_server_reference(true), "follow_server_reference"),
        (builder().server("mqtt://other"), "server"),
    ] {
        let error = builder.start().unwrap_err();
        let ConnectError::InvalidOption { option, fault: OptionFault::Conflict(_) } = error else {
            panic!("{error:?}")
        };
        assert_eq!(option, named);
    }
}

// # Several servers

/// They are tried in their order, each with the credentials of its URL, and the first again after a cut.
#[tokio::test]
async fn the_next_server_is_for_when_the_first_is_out_of_reach() {
    let (first, second) = (listen().await, listen().await);
    let url = second.url().replace("mqtt://", "mqtt://ben:secret@");
    let gone = format!("mqtt://{}", nowhere().await);
    let at_once = ReconnectPolicy::default()
        .first_delay(Duration::from_millis(10))
        .max_delay(Duration::from_millis(10));
    let builder = connect(&gone).server(&gone).server(&url).protocol(Protocol::V5).reconnect(at_once.clone());
    let serving = async {
        let mut server = second.accept().await;
        assert_eq!(server.expect_connect().await.username.as_deref(), Some("ben"));
        server.send(connack()).await;
        server
    };
    let (client, _server) = tokio::join!(builder.into_future(), serving);
    drop(client.unwrap());

    let builder = connect(&first.url()).server(&url).protocol(Protocol::V5).reconnect(at_once);
    let client = builder.start().unwrap();
    for _ in 0..2 {
        let mut server = first.accept().await;
        assert_eq!(server.expect_connect().await.username, None);
        server.send(connack()).await;
        connected(&client).await;
    }
    // Cut, and now the first is gone.
    drop(first);
    let mut server = second.accept().await;
    assert_eq!(server.expect_connect().await.username.as_deref(), Some("ben"));
}

/// When each has been tried, awaiting fails, and a started client waits.
#[tokio::test]
async fn a_round_ends_when_each_was_tried() {
    let mut gone = Vec::new();
    for _ in 0..3 {
        gone.push(format!("mqtt://{}", nowhere().await));
    }
    let builder = || connect(&gone[0]).server(&gone[1]).server(&gone[2]).protocol(Protocol::V5);
    let client = builder().start().unwrap();
    let mut events = client.events();
    let mut waits = Vec::new();
    for _ in 0..3 {
        let event = soon(events.next()).await;
        let Some(Event::Disconnected { cause: ConnectError::Io(_), retry_in: Some(wait) }) = event else {
            panic!("{event:?}")
        };
        waits.push(wait > Duration::ZERO);
    }
    assert_eq!(waits, [false, false, true]);
    let error = builder().await.unwrap_err();
    assert!(matches!(error, ConnectError::Io(_)), "{error:?}");
    assert!(matches!(builder().server("b").await, Err(ConnectError::InvalidUrl(_))));
}

/// In a random order every server has its share.
#[tokio::test]
async fn a_random_order_spreads_the_clients() {
    let servers = [listen().await, listen().await, listen().await];
    let mut seen = [0; 3];
    for _ in 0..60 {
        let client = connect(&servers[0].url())
            .server(&servers[1].url())
            .server(&servers[2].url())
            .server_order(ServerOrder::Random)
            .protocol(Protocol::V5)
            .start()
            .unwrap();
        let which = tokio::select! {
            _ = servers[0].accept() => 0,
            _ = servers[1].accept() => 1,
            _ = servers[2].accept() => 2,
        };
        seen[which] += 1;
        client.abort();
        client.closed().await;
    }
    assert!(seen.iter().all(|&times| times > 3), "{seen:?}");
}
