//! Enhanced authentication, section 4.12: SCRAM-SHA-256 with a server that does its half of it, and servers and
//! authenticators that do not keep to the rules.

mod common;
#[allow(dead_code, reason = "its main function is not for here")]
#[path = "../examples/scram.rs"]
mod scram;

use bytes::Bytes;
use common::{Stage, delivered, next, soon};
use mqtt_client::{
    AuthenticationError, Authenticator, AuthenticatorError, Client, Closed, ConnectBuilder, ConnectError,
    Event, OptionFault, Outcome, PropertiesBuf, Protocol, ProtocolError, QoS, ReasonCode, Version, connect,
};
use mqtt_codec::{Auth, ConnAck, Packet, PacketType};
use mqtt_testkit::packets::{
    IntoPacket, auth, connack, connack_with_session, disconnect, puback, publish, refusal, suback,
};
use mqtt_testkit::peer::{Peer, PeerListener};
use rsasl::callback::{Context, Request, SessionCallback, SessionData};
use rsasl::config::SASLConfig;
use rsasl::mechanisms::scram::properties::ScramStoredPassword;
use rsasl::mechname::Mechname;
use rsasl::prelude::{SASLServer, Session, SessionError};
use rsasl::property::AuthId;
use rsasl::validate::NoValidation;
use scram::{Credentials, Scram};
use std::sync::{Arc, Mutex};
use tokio::net::TcpStream;

const METHOD: &str = "SCRAM-SHA-256";

/// What a server keeps of the user `user` with the password `pencil`, by the numbers of RFC 7677, section 3.
struct Account;

impl SessionCallback for Account {
    fn callback(
        &self,
        _: &SessionData,
        context: &Context,
        request: &mut Request,
    ) -> Result<(), SessionError> {
        let bytes = |hex: &str| -> Vec<u8> {
            (0..hex.len()).step_by(2).map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap()).collect()
        };
        if context.get_ref::<AuthId>() == Some("user") {
            request.satisfy::<ScramStoredPassword>(&ScramStoredPassword::new(
                4096,
                &bytes("5b6d99689d12358eeca04b141236fa81"),
                &bytes("586e5df283e6dceb5c3e791d8b8528ec191e664045ce971792e2e6b5bb13e2a6"),
                &bytes("c1f3cbc1c13a9d35a14c0990eed97629ea225863e566a4314ab99f3f00e5d9d5"),
            ))?;
        }
        Ok(())
    }
}

/// The server's half of one run.
struct Examiner(Session<NoValidation>);

impl Examiner {
    fn new() -> Self {
        let config = SASLConfig::builder().with_defaults().with_callback(Account).unwrap();
        let mechanism = Mechname::parse(METHOD.as_bytes()).unwrap();
        Self(SASLServer::<NoValidation>::new(config).start_suggested(mechanism).unwrap())
    }

    /// What to say next, or the complaint.
    fn step(&mut self, input: &[u8]) -> Result<Vec<u8>, Vec<u8>> {
        let mut output = Vec::new();
        self.0.step(Some(input), &mut output).unwrap();
        if output.starts_with(b"e=") { Err(output) } else { Ok(output) }
    }
}

fn method_and(data: &[u8]) -> PropertiesBuf {
    PropertiesBuf::builder().authentication_method(METHOD).authentication_data(data).build().unwrap()
}

fn welcome(proof: &[u8]) -> ConnAck {
    ConnAck { properties: method_and(proof), ..connack() }
}

fn data(properties: &PropertiesBuf) -> Vec<u8> {
    let view = properties.view();
    assert_eq!(view.authentication_method(), Some(METHOD));
    view.authentication_data().unwrap_or_default().to_vec()
}

async fn expect_auth(server: &mut Peer<TcpStream>, reason: ReasonCode) -> Vec<u8> {
    let Packet::Auth(Auth { reason: came, properties }) = server.expect_any().await else {
        panic!("no AUTH")
    };
    assert_eq!(came, reason);
    data(&properties)
}

/// Asks the challenge, and returns the proof that goes with the success.
async fn examine(server: &mut Peer<TcpStream>, first: &[u8]) -> Result<Vec<u8>, Vec<u8>> {
    let mut examiner = Examiner::new();
    let challenge = examiner.step(first)?;
    server.send(auth(ReasonCode::CONTINUE_AUTHENTICATION, METHOD, &challenge)).await;
    let answer = expect_auth(server, ReasonCode::CONTINUE_AUTHENTICATION).await;
    examiner.step(&answer)
}

async fn accept(listener: &PeerListener) -> (Peer<TcpStream>, Result<Vec<u8>, Vec<u8>>) {
    let mut server = listener.accept().await;
    let connect = server.expect_connect().await;
    let proof = examine(&mut server, &data(&connect.properties)).await;
    (server, proof)
}

async fn listen(password: &str) -> (PeerListener, ConnectBuilder) {
    let listener = PeerListener::bind().await.unwrap();
    let credentials = Credentials::new("user", password).unwrap();
    let builder = connect(&listener.url())
        .protocol(Protocol::V5)
        .client_id("c")
        .authenticator(move || Scram::new(&credentials));
    (listener, builder)
}

async fn connected() -> (Peer<TcpStream>, Client) {
    let (listener, builder) = listen("pencil").await;
    let serving = async {
        let (mut server, proof) = accept(&listener).await;
        server.send(welcome(&proof.unwrap())).await;
        server
    };
    let (server, client) = tokio::join!(serving, builder.into_future());
    (server, client.unwrap())
}

/// [MQTT-4.12.0-2], [MQTT-4.12.0-3], [MQTT-4.12.0-5]
#[tokio::test]
async fn client_and_server_convince_each_other() {
    let (mut server, client) = connected().await;
    let (delivery, _) = tokio::join!(client.publish("a", "x").into_future(), server.expect_publish());
    delivered(delivery.unwrap());
}

/// Each connection has a run of its own: what a server saw of the last is worth nothing on the next.
#[tokio::test]
async fn each_connection_is_authenticated_anew() {
    let (listener, builder) = listen("pencil").await;
    let serving = async {
        let mut firsts = Vec::new();
        for _ in 0..2 {
            let mut server = listener.accept().await;
            let first = data(&server.expect_connect().await.properties);
            let proof = examine(&mut server, &first).await.unwrap();
            server.send(welcome(&proof)).await;
            firsts.push(first);
        }
        assert_ne!(firsts[0], firsts[1]);
    };
    let policy = mqtt_client::ReconnectPolicy::default().first_delay(core::time::Duration::ZERO);
    let client = builder.reconnect(policy).start().unwrap();
    let mut events = client.events();
    let listening = async { while !matches!(events.next().await.unwrap(), Event::Disconnected { .. }) {} };
    tokio::join!(serving, listening);
}

/// [MQTT-4.12.0-4]
#[tokio::test]
async fn a_wrong_password_is_the_servers_refusal() {
    let (listener, builder) = listen("crayon").await;
    let serving = async {
        let (mut server, proof) = accept(&listener).await;
        assert_eq!(proof.unwrap_err(), b"e=invalid-proof");
        server.send(refusal(ReasonCode::NOT_AUTHORIZED)).await;
    };
    let (client, ()) = tokio::join!(builder.into_future(), serving);
    let error = client.unwrap_err();
    assert!(matches!(error, ConnectError::Refused { reason: ReasonCode::NOT_AUTHORIZED, .. }), "{error:?}");
}

/// A server that cannot prove itself is left, and nothing it said is believed.
#[tokio::test]
async fn a_wrong_or_missing_proof_ends_the_connection() {
    type Tamper = fn(&mut Vec<u8>);
    for tamper in [|proof: &mut Vec<u8>| proof[5] ^= 1, |proof: &mut Vec<u8>| proof.clear()] as [Tamper; 2] {
        let (listener, builder) = listen("pencil").await;
        let serving = async {
            let (mut server, proof) = accept(&listener).await;
            let mut proof = proof.unwrap();
            tamper(&mut proof);
            server.send(welcome(&proof)).await;
            server.expect(disconnect(ReasonCode::UNSPECIFIED_ERROR)).await;
            server.expect_end().await;
        };
        let client = builder.start().unwrap();
        let mut events = client.events();
        let (closed, ()) = tokio::join!(soon(client.closed()), serving);
        let Closed::Failed(error @ ConnectError::Authentication(_)) = closed else { panic!("{closed:?}") };
        assert!(error.to_string().starts_with("the authentication failed: "), "{error}");
        assert!(!error.is_retryable());
        assert!(matches!(events.next().await, Some(Event::Disconnected { retry_in: None, .. })));
    }
}

/// [MQTT-4.12.1-1], and other traffic goes on meanwhile.
#[tokio::test]
async fn re_authentication() {
    let (mut server, client) = connected().await;
    for _ in 0..2 {
        let serving = async {
            let first = expect_auth(&mut server, ReasonCode::RE_AUTHENTICATE).await;
            server.send(publish("news", "meanwhile")).await;
            let proof = examine(&mut server, &first).await.unwrap();
            server.send(auth(ReasonCode::SUCCESS, METHOD, &proof)).await;
        };
        let mut unmatched = client.unmatched();
        let (outcome, ()) = tokio::join!(soon(client.reauthenticate()), serving);
        outcome.unwrap();
        assert_eq!(next(&mut unmatched).await.payload(), b"meanwhile");
    }
}

/// [MQTT-4.12.1-2]: whoever is not content with a re-authentication ends the connection.
#[tokio::test]
async fn a_re_authentication_that_fails_ends_the_connection() {
    // The server is not content.
    let (mut server, client) = connected().await;
    let serving = async {
        expect_auth(&mut server, ReasonCode::RE_AUTHENTICATE).await;
        server.send(disconnect(ReasonCode::NOT_AUTHORIZED)).await;
    };
    let (outcome, ()) = tokio::join!(soon(client.reauthenticate()), serving);
    let Err(AuthenticationError::Failed(error)) = outcome else { panic!("{outcome:?}") };
    assert_eq!(error.reason(), Some(ReasonCode::NOT_AUTHORIZED));

    // The client is not content.
    let (mut server, client) = connected().await;
    let serving = async {
        let first = expect_auth(&mut server, ReasonCode::RE_AUTHENTICATE).await;
        let mut proof = examine(&mut server, &first).await.unwrap();
        proof[5] ^= 1;
        server.send(auth(ReasonCode::SUCCESS, METHOD, &proof)).await;
        server.expect(disconnect(ReasonCode::UNSPECIFIED_ERROR)).await;
    };
    let (outcome, ()) = tokio::join!(soon(client.reauthenticate()), serving);
    assert!(
        matches!(outcome, Err(AuthenticationError::Failed(ConnectError::Authentication(_)))),
        "{outcome:?}"
    );
    assert!(matches!(client.reauthenticate().await, Err(AuthenticationError::Closed(Closed::Failed(_)))));
}

/// [MQTT-4.12.0-6]: a server that challenges a client without a method breaks the protocol, and so does one that begins
/// a re-authentication, or forgets the method.
#[tokio::test]
async fn an_auth_that_nobody_asked_for_ends_the_connection() {
    // Without a method, before CONNACK and after it.
    let (mut stage, builder) = Stage::new();
    let serving = async {
        let mut server = stage.accept().await;
        server.expect_connect().await;
        server.send(auth(ReasonCode::CONTINUE_AUTHENTICATION, METHOD, b"who are you?")).await;
        server.expect(disconnect(ReasonCode::PROTOCOL_ERROR)).await;
    };
    let (client, ()) = tokio::join!(builder.into_future(), serving);
    assert!(matches!(
        client.unwrap_err(),
        ConnectError::Protocol(ProtocolError::Unexpected(PacketType::Auth))
    ));

    // With one, on a connection that is up.
    let (mut server, client) = connected().await;
    let mut events = client.events();
    assert!(matches!(events.next().await, Some(Event::Connected(_))));
    server.send(auth(ReasonCode::CONTINUE_AUTHENTICATION, METHOD, b"who are you?")).await;
    server.expect(disconnect(ReasonCode::PROTOCOL_ERROR)).await;
    drop(server);
    assert!(matches!(events.next().await, Some(Event::Disconnected { .. })));
    assert!(matches!(
        client.status().last_error,
        Some(ConnectError::Protocol(ProtocolError::Unexpected(PacketType::Auth)))
    ));
}

/// [MQTT-4.12.0-5]
#[tokio::test]
async fn a_server_of_another_method_breaks_the_protocol() {
    for with_connack in [false, true] {
        let (listener, builder) = listen("pencil").await;
        let serving = async {
            let mut server = listener.accept().await;
            server.expect_connect().await;
            match with_connack {
                true => server.send(connack()).await,
                false => server.send(auth(ReasonCode::CONTINUE_AUTHENTICATION, "PLAIN", b"")).await,
            }
            server.expect(disconnect(ReasonCode::PROTOCOL_ERROR)).await;
        };
        let (client, ()) = tokio::join!(builder.into_future(), serving);
        assert!(matches!(
            client.unwrap_err(),
            ConnectError::Protocol(ProtocolError::AuthenticationMethod(
                PacketType::ConnAck | PacketType::Auth
            ))
        ));
    }
}

// # Authenticators of other kinds

/// Says the same each time, and writes down what it hears.
#[derive(Clone, Default)]
struct Parrot {
    method: Option<&'static str>,
    speechless: bool,
    heard: Arc<Mutex<Vec<String>>>,
}

impl Authenticator for Parrot {
    fn method(&self) -> &str {
        self.method.unwrap_or(METHOD)
    }

    fn begin(&mut self) -> Result<Bytes, AuthenticatorError> {
        if self.speechless { Err("the ticket has not come".into()) } else { Ok(Bytes::new()) }
    }

    fn answer(&mut self, challenge: &[u8]) -> Result<Bytes, AuthenticatorError> {
        self.heard.lock().unwrap().push(String::from_utf8_lossy(challenge).into_owned());
        Ok(Bytes::copy_from_slice(challenge))
    }

    fn finish(&mut self, data: &[u8]) -> Result<(), AuthenticatorError> {
        match data {
            b"lie" => Err("a lie".into()),
            _ => Ok(()),
        }
    }
}

/// A method of many steps, with nothing in CONNECT, then one that has nothing to begin again with, and one that has
/// changed its method [MQTT-4.12.1-1].
#[tokio::test(start_paused = true)]
async fn a_run_may_have_any_number_of_steps() {
    let (mut stage, builder) = Stage::new();
    let parrot = Parrot::default();
    let shared = Arc::new(Mutex::new(parrot.clone()));
    let next = shared.clone();
    let connecting = tokio::spawn(builder.authenticator(move || next.lock().unwrap().clone()).into_future());
    let mut server = stage.accept().await;
    let properties = server.expect_connect().await.properties;
    assert_eq!(properties.view().authentication_data(), None);
    for step in ["1", "2", "3"] {
        server.send(auth(ReasonCode::CONTINUE_AUTHENTICATION, METHOD, step.as_bytes())).await;
        server.expect(auth(ReasonCode::CONTINUE_AUTHENTICATION, METHOD, step.as_bytes())).await;
    }
    server.send(welcome(b"")).await;
    let client = soon(connecting).await.unwrap().unwrap();
    assert_eq!(*parrot.heard.lock().unwrap(), ["1", "2", "3"]);

    shared.lock().unwrap().speechless = true;
    let error = client.reauthenticate().await.unwrap_err();
    assert!(matches!(&error, AuthenticationError::Authenticator(_)), "{error:?}");
    assert!(error.to_string().contains("the ticket has not come"), "{error}");
    *shared.lock().unwrap() = Parrot { method: Some("other"), ..parrot.clone() };
    assert!(matches!(client.reauthenticate().await, Err(AuthenticationError::NotAllowed(_))));

    // Neither has cost the connection. A dropped future changes nothing, and there is one run at a time.
    *shared.lock().unwrap() = parrot;
    {
        let dropped = client.reauthenticate();
        tokio::pin!(dropped);
        assert!(tokio::time::timeout(core::time::Duration::from_secs(1), &mut dropped).await.is_err());
    }
    assert!(matches!(client.reauthenticate().await, Err(AuthenticationError::UnderWay)));
    server.expect_that("AUTH", |packet| packet.packet_type() == PacketType::Auth).await;
    server.send(auth(ReasonCode::SUCCESS, METHOD, b"")).await;
    tokio::time::sleep(core::time::Duration::from_millis(1)).await;
    let (outcome, ()) = tokio::join!(client.reauthenticate(), async {
        server.expect_that("AUTH", |packet| packet.packet_type() == PacketType::Auth).await;
        drop(server);
    });
    assert!(matches!(outcome, Err(AuthenticationError::Failed(ConnectError::PeerClosed))), "{outcome:?}");
    assert!(matches!(client.reauthenticate().await, Err(AuthenticationError::NotConnected)));
}

/// What comes behind a CONNACK that proves nothing is not believed either: no message is handed out, no delivery
/// confirmed.
#[tokio::test(start_paused = true)]
async fn nothing_from_an_impostor_is_believed() {
    let (mut stage, builder) = Stage::new();
    let policy = mqtt_client::ReconnectPolicy::default().first_delay(core::time::Duration::ZERO);
    let client = builder.authenticator(Parrot::default).reconnect(policy).start().unwrap();
    let mut server = stage.accept().await;
    server.expect_connect().await;
    server.send(welcome(b"")).await;
    let (subscription, ()) = tokio::join!(client.subscribe("a").into_future(), async {
        server.expect_any().await;
        server.send(suback(1, &[ReasonCode::GRANTED_QOS_0])).await;
    });
    let mut subscription = subscription.unwrap();
    let delivery = client.publish("a", "x").qos(QoS::AtLeastOnce).enqueue().await.unwrap();
    server.expect_publish().await;
    drop(server);

    let mut impostor = stage.accept().await;
    impostor.expect_connect().await;
    let mut bytes = mqtt_codec::WireBuf::new();
    let resumed = ConnAck { properties: method_and(b"lie"), ..connack_with_session() };
    for packet in [Packet::ConnAck(resumed.into()), puback(2), publish("a", "forged").into_packet()] {
        packet.encode(Version::V5, &mut bytes).unwrap();
    }
    impostor.send_bytes(&bytes.to_vec()).await;
    impostor.expect(disconnect(ReasonCode::UNSPECIFIED_ERROR)).await;
    assert_eq!(soon(delivery).await, Outcome::Unknown);
    assert!(soon(subscription.next()).await.is_none());
    assert!(matches!(client.closed().await, Closed::Failed(ConnectError::Authentication(_))));
}

/// It needs 5.0, and goes alone.
#[tokio::test]
async fn wrong_combinations_are_named() {
    for protocol in [Protocol::V3_1, Protocol::V3_1_1] {
        let error =
            connect("mqtt://h").protocol(protocol).authenticator(Parrot::default).start().unwrap_err();
        let ConnectError::InvalidOption { option, fault: OptionFault::NeedsV5(_) } = error else {
            panic!("{error:?}")
        };
        assert_eq!(option, "authenticator");
    }
    let error = connect("mqtt://h")
        .connect_properties(method_and(b"x"))
        .authenticator(Parrot::default)
        .start()
        .unwrap_err();
    assert!(
        matches!(
            error,
            ConnectError::InvalidOption { option: "authenticator", fault: OptionFault::Conflict(_) }
        ),
        "{error:?}"
    );
    let (mut stage, builder) = Stage::new();
    let serving = async {
        let mut server = stage.accept().await;
        server.expect_connect().await;
        server.send(connack()).await;
        server
    };
    let (client, _server) = tokio::join!(builder.into_future(), serving);
    let outcome = client.unwrap().reauthenticate().await;
    assert!(matches!(outcome, Err(AuthenticationError::NoAuthenticator)), "{outcome:?}");

    // A method without an authenticator does for servers that ask nothing.
    let (mut stage, builder) = Stage::new();
    let serving = async {
        let mut server = stage.accept().await;
        server.expect_connect().await;
        server.send(auth(ReasonCode::CONTINUE_AUTHENTICATION, METHOD, b"who are you?")).await;
        server.expect(disconnect(ReasonCode::UNSPECIFIED_ERROR)).await;
    };
    let (client, ()) = tokio::join!(builder.connect_properties(method_and(b"x")).into_future(), serving);
    let error = client.unwrap_err();
    assert!(matches!(error, ConnectError::Authentication(_)), "{error:?}");
}
