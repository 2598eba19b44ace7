//! Section 4.1: the session and what it outlives; what CONNECT and CONNACK say of it, sections 3.1.2.4 and 3.2.2.1.1.

use crate::support::{
    A_MOMENT, ALL, BEFORE_5, Server, Stage, breach, connack_with, enqueue, failure, lost, next, pass, serve,
    soon, subscribe,
};
use core::time::Duration;
use mqtt_client::{
    CleanStart, Client, ConnectBuilder, ConnectError, DeliveryToken, Event, OnSessionLost, Outcome,
    PropertiesBuf, ProtocolError, QoS, ReasonCode, ReconnectPolicy, Subscription, Version,
};
use mqtt_testkit::packets::{
    IntoPacket, connack, connack_with_session, puback, pubcomp, publish, pubrec, pubrel, suback,
};

const SECOND: Duration = Duration::from_secs(1);

/// A client with all that a session can hold: three messages that it sent, two of them at QoS 2 and one of these taken
/// over, and one of QoS 2 that it received.
struct Busy {
    client: Client,
    server: Server,
    /// QoS 1, QoS 2, and QoS 2 of which the server has sent PUBREC.
    ids: [u16; 3],
    deliveries: Vec<DeliveryToken>,
    /// What the client receives.
    received: Subscription,
}

/// The identifier of the message that the client received.
const RECEIVED: u16 = 77;

async fn busy(stage: &Stage, options: ConnectBuilder) -> Busy {
    let (client, mut server) = stage.meet_as(options, connack()).await;
    let mut deliveries = Vec::new();
    let mut ids = [0; 3];
    for (id, (payload, qos)) in
        ids.iter_mut().zip([("1", QoS::AtLeastOnce), ("2", QoS::ExactlyOnce), ("3", QoS::ExactlyOnce)])
    {
        deliveries.push(enqueue(&client, "a", payload, qos).await);
        *id = server.expect_message().await;
    }
    server.send(pubrec(ids[2])).await;
    server.expect(pubrel(ids[2])).await;
    let mut received = client.unmatched();
    server.send(publish("in", "once").qos2(RECEIVED)).await;
    assert_eq!(next(&mut received).await.payload(), b"once");
    server.expect(pubrec(RECEIVED)).await;
    Busy { client, server, ids, deliveries, received }
}

/// Goes on where the connection broke.
async fn expect_resumed(server: &mut Server, ids: [u16; 3]) {
    // The order of the two kinds among each other is nobody's business.
    server
        .expect_in_any_order([
            publish("a", "1").qos1(ids[0]).dup().into_packet(),
            publish("a", "2").qos2(ids[1]).dup().into_packet(),
            pubrel(ids[2]),
        ])
        .await;
}

/// [MQTT-3.1.2-5] [MQTT-3.1.2-4/3.1.1] [MQTT-4.1.0-1] [MQTT-4.1.0-1/3.1.1] [31-12] [MQTT-3.2.2-3] [MQTT-3.2.2-2/3.1.1]
/// [MQTT-3.1.2-23] [MQTT-3.1.4-4]: with Clean Start 0 a session goes on over connections, however often they break.
#[tokio::test]
async fn a_kept_session_goes_on() {
    for version in ALL {
        let stage = serve(version).await;
        let Busy { client: _client, mut server, ids, deliveries, mut received } =
            busy(&stage, stage.resuming()).await;
        for _ in 0..3 {
            drop(server);
            server = stage.welcome_back().await;
            expect_resumed(&mut server, ids).await;
        }
        // The message that was received is known: it is not delivered twice.
        server.send(publish("in", "once").qos2(RECEIVED).dup()).await;
        server.expect(pubrec(RECEIVED)).await;
        server.send(pubrel(RECEIVED)).await;
        server.expect(pubcomp(RECEIVED)).await;
        server.send(publish("in", "next")).await;
        assert_eq!(next(&mut received).await.payload(), b"next", "{version}");

        server.send(puback(ids[0])).await;
        server.send(pubrec(ids[1])).await;
        server.expect(pubrel(ids[1])).await;
        server.send(pubcomp(ids[1])).await;
        server.send(pubcomp(ids[2])).await;
        for delivery in deliveries {
            assert!(matches!(soon(delivery).await, Outcome::Acked { reason: ReasonCode::SUCCESS, .. }));
        }
    }
}

/// [MQTT-3.1.2-5]: what is subscribed stays so: the client does not ask again. [MQTT-3.1.2-5/3.1.1]: what the server has
/// kept comes at once, and is taken.
#[tokio::test]
async fn a_kept_subscription_goes_on() {
    for version in [Version::V3_1_1, Version::V5] {
        let stage = serve(version).await;
        let (client, mut server) = stage.meet_as(stage.resuming(), connack()).await;
        let mut subscription = subscribe(&client, &mut server, "a", QoS::ExactlyOnce).await;
        drop(server);
        let mut server = stage.welcome_back().await;
        for (id, qos) in [(1, QoS::AtLeastOnce), (2, QoS::ExactlyOnce)] {
            let kept = publish("a", "kept");
            let exactly = qos == QoS::ExactlyOnce;
            server.send(if exactly { kept.qos2(id) } else { kept.qos1(id) }).await;
            assert_eq!(next(&mut subscription).await.qos, qos);
            server.expect(if exactly { pubrec(id) } else { puback(id) }).await;
        }
        server.expect_nothing().await;
    }
}

/// [MQTT-3.1.2-5/3.1.1] [MQTT-3.2.2-3] [MQTT-3.2.2-2/3.1.1] [311u-11]: a session may be older than the client: another run of
/// the program has begun it. What was kept for it is waiting already.
#[tokio::test]
async fn a_session_of_an_earlier_run_is_taken_over() {
    for version in [Version::V3_1_1, Version::V5] {
        let stage = serve(version).await;
        let (client, mut server) = stage.meet_as(stage.resuming(), connack_with_session()).await;
        server.send(publish("a", "kept").qos1(9)).await;
        let mut unmatched = client.unmatched();
        assert_eq!(next(&mut unmatched).await.payload(), b"kept");
        server.expect(puback(9)).await;
        let Some(Event::Connected(connected)) = soon(client.events().next()).await else { panic!() };
        assert!(connected.session_present);
    }
}

/// [MQTT-3.1.2-6] [MQTT-3.2.2-3] [MQTT-3.2.2-5] [MQTT-3.2.2-3/3.1.1] [311u-11]: Session Present 0 means that the server knows
/// nothing; then the client forgets what it knew: no DUP, no PUBREL, identifiers are free, and a QoS 2 message under a
/// known identifier is a new one. Messages that may be lost are sent as new ones.
#[tokio::test]
async fn a_lost_session_is_forgotten() {
    for version in [Version::V3_1_1, Version::V5] {
        let stage = serve(version).await;
        let Busy { client: _client, server, mut deliveries, mut received, .. } =
            busy(&stage, stage.resuming()).await;
        drop(server);
        let mut server = stage.welcome(connack()).await;
        let one = server.expect_message().await;
        let two = server.expect_message().await;
        server.expect_nothing().await;
        server.send(publish("in", "another").qos2(RECEIVED)).await;
        assert_eq!(next(&mut received).await.payload(), b"another", "{version}");
        server.expect(pubrec(RECEIVED)).await;

        server.send(puback(one)).await;
        server.send(pubrec(two)).await;
        server.expect(pubrel(two)).await;
        server.send(pubcomp(two)).await;
        assert_eq!(soon(deliveries.pop().unwrap()).await, Outcome::SessionLost);
        for delivery in deliveries {
            assert!(matches!(soon(delivery).await, Outcome::Acked { .. }));
        }
    }
}

/// [MQTT-3.2.2-5] [MQTT-3.2.2-3/3.1.1]: or they are given up, if that is wanted.
#[tokio::test]
async fn a_lost_session_can_fail_its_messages() {
    for version in [Version::V3_1_1, Version::V5] {
        let stage = serve(version).await;
        let options = stage.resuming().on_session_lost(OnSessionLost::Fail);
        let Busy { client, server, deliveries, .. } = busy(&stage, options).await;
        drop(server);
        let mut server = stage.welcome(connack()).await;
        server.expect_nothing().await;
        for delivery in deliveries {
            assert_eq!(soon(delivery).await, Outcome::SessionLost, "{version}");
        }
        _ = enqueue(&client, "a", "next", QoS::AtLeastOnce).await;
        server.expect_message().await;
    }
}

/// [MQTT-3.1.2-6] [MQTT-3.2.2-5]: a lost session takes its subscriptions with it; the client asks for them again.
#[tokio::test]
async fn subscriptions_of_a_lost_session_are_made_again() {
    for version in ALL {
        for options in [Stage::resuming, Stage::options] {
            let stage = serve(version).await;
            let (client, mut server) = stage.meet_as(options(&stage), connack()).await;
            let mut subscription = subscribe(&client, &mut server, "a", QoS::AtLeastOnce).await;
            drop(server);
            let mut server = stage.welcome(connack()).await;
            let id = server.expect_subscribe().await;
            server.send(suback(id, &[ReasonCode::GRANTED_QOS_1])).await;
            server.send(publish("a", "x").qos1(1)).await;
            assert_eq!(next(&mut subscription).await.payload(), b"x");
            server.expect(puback(1)).await;
        }
    }
}

/// [MQTT-3.1.2-4] [MQTT-3.1.2-6/3.1.1] [31-12]: Clean Start 1 forgets what was: no DUP, no PUBREL. [MQTT-3.1.4-4]
#[tokio::test]
async fn a_clean_start_forgets() {
    for version in ALL {
        let stage = serve(version).await;
        let Busy { client: _client, server, mut deliveries, mut received, .. } =
            busy(&stage, stage.options()).await;
        drop(server);
        let mut server = stage.accept().await;
        assert!(server.expect_connect().await.clean_start);
        server.send(connack()).await;
        let one = server.expect_message().await;
        let two = server.expect_message().await;
        server.expect_nothing().await;
        server.send(publish("in", "another").qos2(RECEIVED)).await;
        assert_eq!(next(&mut received).await.payload(), b"another", "{version}");
        server.expect(pubrec(RECEIVED)).await;
        assert_eq!(soon(deliveries.pop().unwrap()).await, Outcome::SessionLost, "{version}");
        server.send(puback(one)).await;
        server.send(pubrec(two)).await;
        server.expect(pubrel(two)).await;
    }
}

/// [MQTT-3.2.2-2] [MQTT-3.2.2-4] [MQTT-3.2.2-1/3.1.1] [MQTT-3.1.4-4]: Session Present 1 after a clean start is a breach: there is
/// nothing that the client could resume.
#[tokio::test]
async fn a_session_that_was_to_be_forgotten_is_refused() {
    for (version, answer) in [(Version::V3_1_1, "20 02 01 00"), (Version::V5, "20 03 01 00 00")] {
        let stage = serve(version).await;
        let error = stage
            .refuse(stage.options(), async |server| {
                assert!(server.expect_connect().await.clean_start);
                server.send_hex(answer).await;
                server.expect_farewell(ReasonCode::PROTOCOL_ERROR).await;
            })
            .await;
        assert_eq!(breach(error), ProtocolError::SessionPresent, "{version}");
    }
}

/// [MQTT-3.2.2-4] [MQTT-3.2.2-2]: the same for one that comes back and begins anew.
#[tokio::test]
async fn a_later_clean_start_is_held_to_it() {
    let stage = serve(Version::V5).await;
    let Busy { client, server, .. } = busy(&stage, stage.options()).await;
    let mut events = client.events();
    drop(server);
    assert!(matches!(lost(&mut events).await, ConnectError::PeerClosed));
    let mut server = stage.welcome(connack_with_session()).await;
    server.expect_farewell(ReasonCode::PROTOCOL_ERROR).await;
    drop(server);
    assert_eq!(breach(lost(&mut events).await), ProtocolError::SessionPresent);
}

/// [MQTT-4.1.0-1] [MQTT-4.1.0-2/3.1.1] [MQTT-4.1.0-1/3.1.1]: while the connection is open no time is too long.
#[tokio::test]
async fn an_open_connection_keeps_the_session() {
    for version in ALL {
        let stage = serve(version).await;
        // On 5.0 the session ends with the connection, but not before.
        let Busy { client: _client, mut server, ids, mut deliveries, mut received } =
            busy(&stage, stage.options()).await;
        pass(Duration::from_secs(100 * 3600)).await;
        server.send(pubcomp(ids[2])).await;
        assert!(matches!(soon(deliveries.pop().unwrap()).await, Outcome::Acked { .. }), "{version}");
        server.send(publish("in", "once").qos2(RECEIVED).dup()).await;
        server.expect(pubrec(RECEIVED)).await;
        server.send(publish("in", "next")).await;
        assert_eq!(next(&mut received).await.payload(), b"next", "{version}");
        server.send(pubrec(ids[1])).await;
        server.expect(pubrel(ids[1])).await;
    }
}

/// A client that waits for an unforeseeable time, but not for a short one, before it comes back.
fn patient(options: ConnectBuilder) -> ConnectBuilder {
    let ages = Duration::from_secs(10_000_000);
    options.reconnect(ReconnectPolicy::default().first_delay(ages).max_delay(ages))
}

/// Cuts the connection, and lets the time pass until the client tries again: longer than a second.
async fn cut_and_wait(client: &Client, server: Server) {
    let mut events = client.events();
    drop(server);
    loop {
        match soon(events.next()).await {
            Some(Event::Disconnected { retry_in, .. }) => {
                let delay = retry_in.unwrap();
                assert!(delay > SECOND, "one of ten million clients is that unlucky");
                return pass(delay).await;
            }
            Some(_) => {}
            None => panic!("the client has ended"),
        }
    }
}

/// [MQTT-4.1.0-2] [MQTT-3.1.2-23]: when the session expiry interval has passed the session is over, for the client too: it
/// begins anew. [MQTT-3.2.2-4]: and holds the server to it.
#[tokio::test]
async fn an_expired_session_is_begun_anew() {
    let stage = serve(Version::V5).await;
    let options = patient(stage.resuming().session_expiry(SECOND));
    let Busy { client, server, .. } = busy(&stage, options).await;
    cut_and_wait(&client, server).await;
    let mut server = stage.accept().await;
    assert!(server.expect_connect().await.clean_start);
    server.send(connack_with_session()).await;
    server.expect_farewell(ReasonCode::PROTOCOL_ERROR).await;
}

/// [MQTT-3.1.2-23] [MQTT-4.1.0-1/3.1.1] [MQTT-3.1.2-4/3.1.1]: a session without an end waits for as long as it takes.
#[tokio::test]
async fn a_session_without_an_end_waits() {
    for version in ALL {
        let stage = serve(version).await;
        let mut options = patient(stage.resuming());
        if version.is_v5() {
            options = options.session_expiry(Duration::MAX);
        }
        let Busy { client, server, ids, .. } = busy(&stage, options).await;
        cut_and_wait(&client, server).await;
        let mut server = stage.accept().await;
        assert!(!server.expect_connect().await.clean_start);
        server.send(if version == Version::V3_1 { connack() } else { connack_with_session() }).await;
        expect_resumed(&mut server, ids).await;
    }
}

/// [5u-20] [MQTT-3.1.2-23]: the server's session expiry interval takes the place of the client's, on this connection.
#[tokio::test]
async fn the_server_can_end_a_session_early() {
    let stage = serve(Version::V5).await;
    let options =
        patient(stage.resuming().session_expiry(Duration::MAX)).on_session_lost(OnSessionLost::Fail);
    let none = connack_with(PropertiesBuf::builder().session_expiry_interval(0));
    let (client, mut server) = stage.meet_as(options, none).await;
    assert_eq!(client.status().negotiated.unwrap().session_expiry, 0);
    let delivery = enqueue(&client, "a", "1", QoS::AtLeastOnce).await;
    server.expect_message().await;
    cut_and_wait(&client, server).await;
    let mut server = stage.accept().await;
    assert!(server.expect_connect().await.clean_start);
    server.send(connack()).await;
    server.expect_nothing().await;
    assert_eq!(soon(delivery).await, Outcome::SessionLost);
    // It says nothing of it this time.
    assert_eq!(client.status().negotiated.unwrap().session_expiry, u32::MAX);
}

/// [31-12] [MQTT-3.1.2-6/3.1.1]: 3.1 cannot say whether there is a session: what CONNECT asked for decides. So the client
/// subscribes again too.
#[tokio::test]
async fn in_3_1_clean_session_decides() {
    let stage = serve(Version::V3_1).await;
    let (client, mut server) = stage.meet_as(stage.resuming(), connack()).await;
    let _subscription = subscribe(&client, &mut server, "a", QoS::AtLeastOnce).await;
    _ = enqueue(&client, "a", "1", QoS::AtLeastOnce).await;
    let id = server.expect_message().await;
    drop(server);
    let mut server = stage.accept().await;
    assert!(!server.expect_connect().await.clean_start);
    server.send(connack()).await;
    server.expect_subscribe().await;
    server.expect(publish("a", "1").qos1(id).dup()).await;
}

/// The default of 3.x is to begin anew each time, that of 5.0 at the first time only.
#[tokio::test]
async fn what_is_asked_for_by_default() {
    for version in ALL {
        let stage = serve(version).await;
        let policy = ReconnectPolicy::default().first_delay(Duration::ZERO);
        let (_client, server) = stage.meet_as(stage.plain().reconnect(policy), connack()).await;
        drop(server);
        let clean = stage.accept().await.expect_connect().await.clean_start;
        assert_eq!(clean, BEFORE_5.contains(&version));
    }
    let stage = serve(Version::V3_1_1).await;
    let (client, server) = stage.meet_as(stage.options().clean_start(CleanStart::FirstOnly), connack()).await;
    drop(server);
    assert!(!stage.accept().await.expect_connect().await.clean_start);
    drop(client);
    let stage = serve(Version::V5).await;
    let client = stage.once().start().unwrap();
    drop(stage.accept().await);
    failure(&client).await;
    server_is_silent(&stage).await;
}

/// Nobody knocks any more.
async fn server_is_silent(stage: &Stage) {
    tokio::select! {
        _ = stage.accept() => panic!("the client has come back"),
        () = tokio::time::sleep(A_MOMENT) => {}
    }
}
