//! A re-authentication whose caller is gone.

use crate::common::{Stage, delivered, soon};
use crate::harness::{at_every_poll, drop_after};
use bytes::Bytes;
use core::sync::atomic::{AtomicUsize, Ordering};
use mqtt_client::{
    AuthenticationError, Authenticator, AuthenticatorError, Client, PropertiesBuf, QoS, ReasonCode,
};
use mqtt_codec::{Auth, ConnAck, Packet};
use mqtt_testkit::packets::{auth, connack, puback};
use mqtt_testkit::peer::Peer;
use std::sync::Arc;
use tokio::io::DuplexStream;

const METHOD: &str = "echo";

/// Says back what it hears. Counts the runs that are not over.
struct Echo(Arc<AtomicUsize>);

impl Echo {
    fn new(runs: &Arc<AtomicUsize>) -> Self {
        runs.fetch_add(1, Ordering::Relaxed);
        Self(runs.clone())
    }
}

impl Drop for Echo {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Authenticator for Echo {
    fn method(&self) -> &str {
        METHOD
    }

    fn begin(&mut self) -> Result<Bytes, AuthenticatorError> {
        Ok("begin".into())
    }

    fn answer(&mut self, challenge: &[u8]) -> Result<Bytes, AuthenticatorError> {
        Ok(challenge.to_vec().into())
    }

    fn finish(&mut self, data: &[u8]) -> Result<(), AuthenticatorError> {
        if data == b"welcome" { Ok(()) } else { Err("no welcome".into()) }
    }
}

struct Rig {
    server: Peer<DuplexStream>,
    client: Client,
    runs: Arc<AtomicUsize>,
}

impl Rig {
    async fn new() -> Self {
        let runs = Arc::new(AtomicUsize::default());
        let (mut stage, builder) = Stage::new();
        let counted = runs.clone();
        let builder = builder.authenticator(move || Echo::new(&counted));
        let greeting = async {
            let mut server = stage.accept().await;
            server.expect_connect().await;
            let properties = PropertiesBuf::builder()
                .authentication_method(METHOD)
                .authentication_data(b"welcome".as_slice())
                .build()
                .unwrap();
            server.send(ConnAck { properties, ..connack() }).await;
            server
        };
        let (server, client) = tokio::join!(greeting, builder.into_future());
        Self { server, client: client.unwrap(), runs }
    }
}

/// The server's side of one run.
async fn examine(server: &mut Peer<DuplexStream>) {
    expect_auth(server, ReasonCode::RE_AUTHENTICATE, b"begin").await;
    server.send(auth(ReasonCode::CONTINUE_AUTHENTICATION, METHOD, b"who?")).await;
    expect_auth(server, ReasonCode::CONTINUE_AUTHENTICATION, b"who?").await;
    server.send(auth(ReasonCode::SUCCESS, METHOD, b"welcome")).await;
}

async fn expect_auth(server: &mut Peer<DuplexStream>, expected: ReasonCode, data: &[u8]) {
    let packet = server.expect_any().await;
    let Packet::Auth(Auth { reason, properties }) = packet else { panic!("{packet:?}") };
    assert_eq!((reason, properties.view().authentication_data()), (expected, Some(data)));
}

/// Once it was begun it goes on to its end, and the next can begin then; nothing else waits for it.
#[tokio::test(start_paused = true)]
async fn reauthenticating() {
    at_every_poll(async |polls| {
        let Rig { mut server, client, runs } = Rig::new().await;
        let dropped = async {
            let ended = drop_after(polls, client.reauthenticate()).await;
            let done = ended.is_some();
            ended.into_iter().for_each(|ended| ended.unwrap());
            done
        };
        let examining = async {
            if polls > 0 {
                examine(&mut server).await;
            }
        };
        let (done, ()) = tokio::join!(dropped, examining);

        let publishing = client.publish("a", "").qos(QoS::AtLeastOnce).into_future();
        let serving = async {
            server.expect_publish().await;
            server.send(puback(1)).await;
        };
        let (outcome, ()) = tokio::join!(publishing, serving);
        delivered(outcome.unwrap());
        assert_eq!(runs.load(Ordering::Relaxed), 0, "{polls}: nothing is left of it");

        let (again, ()) = tokio::join!(client.reauthenticate(), examine(&mut server));
        again.unwrap();
        assert_eq!(client.drain(core::time::Duration::from_secs(60)).await, 0);
        drop(client);
        server.expect_that("the goodbye", |packet| matches!(packet, Packet::Disconnect(_))).await;
        server.expect_end().await;
        done
    })
    .await;
}

/// It goes on for nobody: while the server takes its time, a second one is told so.
#[tokio::test(start_paused = true)]
async fn one_that_nobody_waits_for_is_still_under_way() {
    let Rig { mut server, client, .. } = Rig::new().await;
    assert!(drop_after(1, client.reauthenticate()).await.is_none());
    expect_auth(&mut server, ReasonCode::RE_AUTHENTICATE, b"begin").await;
    assert!(matches!(soon(client.reauthenticate()).await, Err(AuthenticationError::UnderWay)));
    server.send(auth(ReasonCode::SUCCESS, METHOD, b"welcome")).await;
    let again = async {
        loop {
            match client.reauthenticate().await {
                Err(AuthenticationError::UnderWay) => tokio::task::yield_now().await,
                ended => return ended.unwrap(),
            }
        }
    };
    soon(async { tokio::join!(again, examine(&mut server)) }).await;
}
