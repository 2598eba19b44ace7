//! Section 4.12, and 3.15: enhanced authentication.

use crate::support::{
    A_MOMENT, Server, Stage, begin, breach, connack_with, enqueue, failure, lost, pass, serve, soon,
};
use bytes::Bytes;
use core::time::Duration;
use mqtt_client::{
    AuthenticationError, Authenticator, AuthenticatorError, Client, ConnectBuilder, ConnectError,
    PropertiesBuf, ProtocolError, QoS, ReasonCode, Version,
};
use mqtt_codec::{ConnAck, Packet, PacketType};
use mqtt_testkit::packets::{auth, connack, connect, disconnect, publish, refusal};

const CONTINUE: ReasonCode = ReasonCode::CONTINUE_AUTHENTICATION;

/// A client that names a method.
fn with_method(options: ConnectBuilder) -> ConnectBuilder {
    let method = PropertiesBuf::builder().authentication_method("m").authentication_data(b"first");
    options.connect_properties(method.build().unwrap())
}

/// [5u-30]: what a method has to say first is in CONNECT.
#[tokio::test]
async fn connect_carries_the_first_data() {
    let stage = serve(Version::V5).await;
    let _client = with_method(stage.options()).start().unwrap();
    let properties = PropertiesBuf::builder().authentication_method("m").authentication_data(b"first");
    let mut expected = connect("actor");
    expected.properties = properties.build().unwrap();
    stage.accept().await.expect(expected).await;
}

/// [MQTT-3.1.2-30]: until CONNACK comes, nothing but AUTH and DISCONNECT follows a CONNECT with a method, whatever waits.
#[tokio::test]
async fn nothing_else_is_sent_before_connack() {
    let stage = serve(Version::V5).await;
    let options = with_method(stage.options().keep_alive(Duration::from_secs(2)));
    let client = options.connect_timeout(Duration::from_secs(60)).start().unwrap();
    for qos in [QoS::AtMostOnce, QoS::AtLeastOnce, QoS::ExactlyOnce] {
        _ = enqueue(&client, "a", "x", qos).await;
    }
    let asking = begin({
        let client = client.clone();
        async move { client.subscribe("a").await }
    });
    let mut server = stage.accept().await;
    server.expect_connect().await;
    for _ in 0..5 {
        pass(Duration::from_secs(5)).await;
        server.expect_silence(A_MOMENT).await;
    }
    asking.abort();
}

/// [MQTT-4.12.0-1] [MQTT-4.12.0-4]: the server may not know the method, or not be satisfied with what CONNECT says.
#[tokio::test]
async fn a_method_can_be_refused() {
    for reason in [ReasonCode::BAD_AUTHENTICATION_METHOD, ReasonCode::NOT_AUTHORIZED] {
        let stage = serve(Version::V5).await;
        let error = stage
            .refuse(with_method(stage.options()), async |server| {
                server.expect_connect().await;
                server.send(refusal(reason)).await;
                server.expect_end().await;
            })
            .await;
        let ConnectError::Refused { reason: told, .. } = &error else { panic!("{error:?}") };
        assert_eq!(*told, reason);
        assert!(!error.is_retryable());
    }
}

/// [MQTT-4.12.0-2] [MQTT-4.12.0-5]: the only step before CONNACK is 0x18, and all that the server says names the client's
/// method.
#[tokio::test]
async fn the_server_is_held_to_the_method() {
    let other = || connack_with(PropertiesBuf::builder().authentication_method("other"));
    let wrong = ProtocolError::AuthenticationMethod;
    for (packet, error) in [
        (Packet::ConnAck(connack().into()), wrong(PacketType::ConnAck)),
        (Packet::ConnAck(other().into()), wrong(PacketType::ConnAck)),
        (auth(CONTINUE, "other", b""), wrong(PacketType::Auth)),
        (auth(ReasonCode::SUCCESS, "m", b""), ProtocolError::Unexpected(PacketType::Auth)),
    ] {
        let stage = serve(Version::V5).await;
        let told = stage
            .refuse(with_method(stage.options()), async |server| {
                server.expect_connect().await;
                server.send(packet).await;
                server.expect_farewell(ReasonCode::PROTOCOL_ERROR).await;
            })
            .await;
        assert_eq!(breach(told), error);
    }
}

/// [MQTT-4.12.0-6] [MQTT-3.2.0-1]: where CONNECT named no method the server neither asks nor names one. [MQTT-4.12.0-7]: and the
/// client sends no AUTH.
#[tokio::test]
async fn without_a_method_there_is_no_authentication() {
    let named = || connack_with(PropertiesBuf::builder().authentication_method("m"));
    for (packet, error) in [
        (auth(CONTINUE, "m", b""), ProtocolError::Unexpected(PacketType::Auth)),
        (Packet::ConnAck(named().into()), ProtocolError::AuthenticationMethod(PacketType::ConnAck)),
    ] {
        let stage = serve(Version::V5).await;
        let told = stage
            .refuse(stage.options(), async |server| {
                server.expect_connect().await;
                server.send(packet).await;
                server.expect_farewell(ReasonCode::PROTOCOL_ERROR).await;
            })
            .await;
        assert_eq!(breach(told), error);
    }
}

/// [MQTT-4.12.0-6] [MQTT-4.12.0-7]: nor later.
#[tokio::test]
async fn an_auth_that_nobody_asked_for_ends_the_connection() {
    for reason in [CONTINUE, ReasonCode::SUCCESS, ReasonCode::RE_AUTHENTICATE] {
        let stage = serve(Version::V5).await;
        let (client, mut server) = stage.meet_as(stage.once(), connack()).await;
        server.send_hex(&format!("F0 06 {:02X} 04 15 00 01 6D", reason.value())).await;
        server.expect_farewell(ReasonCode::PROTOCOL_ERROR).await;
        drop(server);
        breach(failure(&client).await);
    }
}

/// [MQTT-4.12.1-2]: a server that is no longer satisfied says so and closes; the client reports it, and does not come back
/// with the same credentials.
#[tokio::test]
async fn a_server_can_withdraw_its_trust() {
    let stage = serve(Version::V5).await;
    let welcome = connack_with(PropertiesBuf::builder().authentication_method("m"));
    let (client, mut server) = stage.meet_as(with_method(stage.options()), welcome).await;
    server.send(disconnect(ReasonCode::NOT_AUTHORIZED)).await;
    server.expect_end().await;
    let cause = failure(&client).await;
    assert!(matches!(cause, ConnectError::Disconnected { .. }), "{cause:?}");
    assert_eq!(cause.reason(), Some(ReasonCode::NOT_AUTHORIZED));
}

/// A method that answers every challenge with its own name, and wants to hear `well done` at the end.
struct Echo;

impl Authenticator for Echo {
    fn method(&self) -> &str {
        "m"
    }

    fn begin(&mut self) -> Result<Bytes, AuthenticatorError> {
        Ok(Bytes::from_static(b"first"))
    }

    fn answer(&mut self, challenge: &[u8]) -> Result<Bytes, AuthenticatorError> {
        match challenge {
            b"nonsense" => Err("this is no challenge".into()),
            challenge => Ok(Bytes::from([b"re: ", challenge].concat())),
        }
    }

    fn finish(&mut self, data: &[u8]) -> Result<(), AuthenticatorError> {
        if data == b"well done" { Ok(()) } else { Err("no proof".into()) }
    }
}

fn well_done(method: &str) -> PropertiesBuf {
    let said = PropertiesBuf::builder().authentication_method(method).authentication_data(b"well done");
    said.build().unwrap()
}

/// A client with an authenticator, and the server that is content with it.
async fn authenticated(stage: &Stage, options: ConnectBuilder) -> (Client, Server) {
    let dialling = begin(options.authenticator(|| Echo));
    let mut server = stage.accept().await;
    server.expect_connect().await;
    for challenge in ["one", "two"] {
        server.send(auth(CONTINUE, "m", challenge.as_bytes())).await;
        server.expect(auth(CONTINUE, "m", format!("re: {challenge}").as_bytes())).await;
    }
    server.send(ConnAck { properties: well_done("m"), ..connack() }).await;
    (soon(dialling).await.unwrap().unwrap(), server)
}

/// [MQTT-4.12.0-2] [MQTT-4.12.0-3] [MQTT-4.12.0-5]: challenges are answered by AUTH with 0x18 and the method of CONNECT.
#[tokio::test]
async fn challenges_are_answered() {
    let stage = serve(Version::V5).await;
    let (client, mut server) = authenticated(&stage, stage.once()).await;
    server.expect_nothing().await;
    assert!(client.status().negotiated.is_some());
}

/// [MQTT-4.12.0-4]: and the server can still refuse.
#[tokio::test]
async fn an_answer_can_be_refused() {
    let stage = serve(Version::V5).await;
    let error = stage
        .refuse(stage.options().authenticator(|| Echo), async |server| {
            server.expect_connect().await;
            server.send(auth(CONTINUE, "m", b"one")).await;
            server.expect(auth(CONTINUE, "m", b"re: one")).await;
            server.send(refusal(ReasonCode::NOT_AUTHORIZED)).await;
            server.expect_end().await;
        })
        .await;
    assert!(matches!(error, ConnectError::Refused { reason: ReasonCode::NOT_AUTHORIZED, .. }), "{error:?}");
}

/// [MQTT-4.12.1-1]: a client may authenticate again, by the same method, while everything else goes on.
#[tokio::test]
async fn re_authentication_goes_on_beside_everything_else() {
    let stage = serve(Version::V5).await;
    let (client, mut server) = authenticated(&stage, stage.once()).await;
    for _ in 0..2 {
        let again = begin({
            let client = client.clone();
            async move { client.reauthenticate().await }
        });
        server.expect(auth(ReasonCode::RE_AUTHENTICATE, "m", b"first")).await;
        server.expect_nothing().await;
        soon(client.publish("a", "x")).await.unwrap();
        server.expect(publish("a", "x")).await;
        server.send(auth(CONTINUE, "m", b"one")).await;
        server.expect(auth(CONTINUE, "m", b"re: one")).await;
        server.send(auth(ReasonCode::SUCCESS, "m", b"well done")).await;
        soon(again).await.unwrap().unwrap();
    }
    server.expect_nothing().await;
}

/// [MQTT-4.12.1-2]: when it fails, the side that finds out ends the connection, and says why.
#[tokio::test]
async fn a_re_authentication_that_fails_ends_the_connection() {
    let stage = serve(Version::V5).await;
    let begun = async || {
        let (client, mut server) = authenticated(&stage, stage.options()).await;
        let again = begin({
            let client = client.clone();
            async move { client.reauthenticate().await }
        });
        server.expect(auth(ReasonCode::RE_AUTHENTICATE, "m", b"first")).await;
        (client, server, again)
    };
    let (client, mut server, again) = begun().await;
    server.send(disconnect(ReasonCode::NOT_AUTHORIZED)).await;
    server.expect_end().await;
    assert_eq!(failure(&client).await.reason(), Some(ReasonCode::NOT_AUTHORIZED));
    soon(again).await.unwrap().unwrap_err();

    for packet in [auth(CONTINUE, "m", b"nonsense"), auth(ReasonCode::SUCCESS, "m", b"no proof")] {
        let (client, mut server, again) = begun().await;
        server.send(packet).await;
        server.expect_farewell(ReasonCode::UNSPECIFIED_ERROR).await;
        drop(server);
        let cause = failure(&client).await;
        assert!(matches!(cause, ConnectError::Authentication(_)), "{cause:?}");
        soon(again).await.unwrap().unwrap_err();
    }

    // What does not fit ends it too: another method, and a success that has to say more [MQTT-4.12.0-5].
    let (client, mut server, again) = begun().await;
    server.send(auth(CONTINUE, "other", b"one")).await;
    server.expect_farewell(ReasonCode::PROTOCOL_ERROR).await;
    drop(server);
    assert_eq!(
        breach(lost(&mut client.events()).await),
        ProtocolError::AuthenticationMethod(PacketType::Auth)
    );
    soon(again).await.unwrap().unwrap_err();
}

/// [MQTT-4.12.0-7]: a client without a method cannot begin.
#[tokio::test]
async fn without_a_method_there_is_no_re_authentication() {
    let stage = serve(Version::V5).await;
    let (client, mut server) = stage.meet().await;
    let error = soon(client.reauthenticate()).await.unwrap_err();
    assert!(matches!(error, AuthenticationError::NoAuthenticator), "{error:?}");
    server.expect_nothing().await;
}
