//! Sections 3.10 and 3.11: UNSUBSCRIBE and UNSUBACK.

use crate::support::{
    ALL, Server, breach, connack_with, failure, next, serve, soon, subscribe, unsubscribed,
};
use mqtt_client::{
    Client, Closed, ConnectError, PropertiesBuf, ProtocolError, QoS, ReasonCode, UnsubscribeError, Version,
};
use mqtt_codec::{Packet, PacketType};
use mqtt_testkit::packets::{
    connack, puback, pubcomp, publish, pubrec, pubrel, suback, unsuback, unsubscribe,
};

const NONE: ReasonCode = ReasonCode::NO_SUBSCRIPTION_EXISTED;

/// Unsubscribes `a` and `b`, and has these codes for an answer, on 5.0.
async fn leave_two(
    client: &Client,
    server: &mut Server,
    codes: &[ReasonCode],
) -> Result<(), UnsubscribeError> {
    let codes = if server.version().is_v5() { codes } else { &[] };
    let script = async {
        let id = server.expect_unsubscribe().await;
        server.send(unsuback(id, codes)).await;
    };
    tokio::join!(soon(client.unsubscribe(["a", "b"])), script).0
}

/// [MQTT-3.10.4-4] [MQTT-3.10.4-5] [MQTT-3.10.4-6] [MQTT-3.11.3-1] [MQTT-3.10.4-4/3.1.1] [MQTT-3.10.4-5/3.1.1]
/// [MQTT-3.10.4-6/3.1.1]: one UNSUBACK answers all filters, each with its own code on 5.0, also where there was
/// nothing to unsubscribe.
#[tokio::test]
async fn each_filter_has_its_answer() {
    let denied = ReasonCode::NOT_AUTHORIZED;
    for version in ALL {
        let stage = serve(version).await;
        let (client, mut server) = stage.meet().await;
        for codes in [[ReasonCode::SUCCESS; 2], [NONE; 2], [ReasonCode::SUCCESS, NONE]] {
            leave_two(&client, &mut server, &codes).await.unwrap();
        }
        if version.is_v5() {
            for (codes, refused) in [([ReasonCode::SUCCESS, denied], "b"), ([denied, NONE], "a")] {
                match leave_two(&client, &mut server, &codes).await {
                    Err(UnsubscribeError::Refused(results)) => {
                        let [(filter, code)] = &results[..] else { panic!("{results:?}") };
                        assert_eq!((filter.as_str(), *code), (refused, denied));
                    }
                    other => panic!("{other:?}"),
                }
            }
        }
        server.expect_nothing().await;
    }
}

/// [MQTT-3.10.4-4] [MQTT-3.10.4-4/3.1.1] [MQTT-3.10.4-5]: only the UNSUBACK under its own identifier answers. Without
/// one the call waits, and ends with the client.
#[tokio::test]
async fn only_its_own_unsuback_answers() {
    for version in ALL {
        let stage = serve(version).await;
        let (client, mut server) = stage.meet_as(stage.once(), connack()).await;
        let script = async {
            let id = server.expect_unsubscribe().await;
            server.send(unsubscribed(version, id + 1)).await;
            server.send(suback(id, &[ReasonCode::GRANTED_QOS_0])).await;
            server.send(puback(id)).await;
            server.expect_nothing().await;
            drop(server);
        };
        let (unanswered, ()) = tokio::join!(soon(client.unsubscribe(["a"])), script);
        let error = unanswered.unwrap_err();
        assert!(
            matches!(error, UnsubscribeError::Closed(Closed::Failed(ConnectError::PeerClosed))),
            "{version}: {error:?}"
        );
    }
}

/// [MQTT-3.11.3-1] [MQTT-4.13.1-1]: an UNSUBACK with too few codes or too many ends the connection.
#[tokio::test]
async fn a_wrong_number_of_codes_ends_the_connection() {
    for count in [1, 3] {
        let stage = serve(Version::V5).await;
        let (client, mut server) = stage.meet_as(stage.once(), connack()).await;
        let script = async {
            let id = server.expect_unsubscribe().await;
            server.send(unsuback(id, &vec![ReasonCode::SUCCESS; count])).await;
            server.expect_farewell(ReasonCode::PROTOCOL_ERROR).await;
            drop(server);
        };
        let (unsubscribed, ()) = tokio::join!(soon(client.unsubscribe(["a", "b"])), script);
        assert!(matches!(unsubscribed, Err(UnsubscribeError::Closed(_))), "{unsubscribed:?}");
        let packet = PacketType::UnsubAck;
        let error = ProtocolError::ReasonCodeCount { packet, codes: count, filters: 2 };
        assert_eq!(breach(failure(&client).await), error);
    }
}

/// [MQTT-3.10.4-2] [MQTT-3.10.4-2/3.1.1]: a message that comes after UNSUBACK all the same is acknowledged, and goes
/// where messages go that nobody asked for.
#[tokio::test]
async fn a_late_message_is_acknowledged() {
    for version in ALL {
        let stage = serve(version).await;
        let (client, mut server) = stage.meet().await;
        let subscription = subscribe(&client, &mut server, "a", QoS::ExactlyOnce).await;
        let mut unmatched = client.unmatched();
        let script = async {
            let id = server.expect_unsubscribe().await;
            server.send(unsubscribed(version, id)).await;
        };
        let (left, ()) = tokio::join!(soon(subscription.unsubscribe()), script);
        left.unwrap();
        server.send(publish("a", "late").qos1(1)).await;
        server.send(publish("a", "later").qos2(2)).await;
        for payload in ["late", "later"] {
            assert_eq!(next(&mut unmatched).await.payload(), payload.as_bytes(), "{version}");
        }
        server.expect_in_any_order([puback(1), pubrec(2)]).await;
        server.send(pubrel(2)).await;
        server.expect(pubcomp(2)).await;
    }
}

/// [MQTT-3.10.4-3] [MQTT-3.10.4-3/3.1.1]: a delivery that has begun is finished, in whatever stage UNSUBSCRIBE meets
/// it.
#[tokio::test]
async fn deliveries_that_have_begun_are_finished() {
    for version in ALL {
        let stage = serve(version).await;
        let (client, mut server) = stage.meet().await;
        let mut subscription = subscribe(&client, &mut server, "a", QoS::ExactlyOnce).await;
        // Taken and answered; waiting in the stream for somebody to take them.
        server.send(publish("a", "1").qos2(1)).await;
        next(&mut subscription).await;
        server.expect(pubrec(1)).await;
        server.send(publish("a", "2").qos2(2)).await;
        server.send(publish("a", "3").qos1(3)).await;
        let script = async {
            let mut answers = vec![puback(3), pubrec(2)];
            let mut id = None;
            while id.is_none() || !answers.is_empty() {
                let packet = server.expect_any().await;
                match (&packet, answers.iter().position(|answer| *answer == packet)) {
                    (Packet::Unsubscribe(request), None) => id = Some(request.id().get()),
                    (_, Some(place)) => drop(answers.remove(place)),
                    _ => panic!("{packet:?}"),
                }
            }
            server.send(unsubscribed(version, id.unwrap())).await;
        };
        let (left, ()) = tokio::join!(soon(subscription.unsubscribe()), script);
        left.unwrap();
        for id in [1, 2] {
            server.send(pubrel(id)).await;
            server.expect(pubcomp(id)).await;
        }
        server.expect_nothing().await;
    }
}

/// [MQTT-3.10.4-1] [MQTT-3.10.4-1/3.1.1]: filters are compared as they are: what is unsubscribed is asked for no more
/// when the server has lost the session, and all others are, however alike.
#[tokio::test]
async fn filters_are_compared_as_they_are() {
    const FILTERS: [&str; 5] = ["$share/g/a", "A", "a", "cafe\u{301}", "caf\u{e9}"];
    for version in [Version::V3_1_1, Version::V5] {
        let stage = serve(version).await;
        let plain = || match version {
            Version::V5 => connack_with(PropertiesBuf::builder().subscription_identifier_available(false)),
            _ => connack(),
        };
        let (client, mut server) = stage.meet_as(stage.resuming(), plain()).await;
        let mut streams = Vec::new();
        for filter in FILTERS {
            streams.push(subscribe(&client, &mut server, filter, QoS::AtMostOnce).await);
        }
        let script = async {
            let Packet::Unsubscribe(request) = server.expect_type(PacketType::Unsubscribe).await else {
                unreachable!()
            };
            let id = request.id().get();
            assert_eq!(Packet::Unsubscribe(request), unsubscribe(id, ["a"]));
            server.send(unsubscribed(version, id)).await;
        };
        let (left, ()) = tokio::join!(soon(client.unsubscribe(["a"])), script);
        left.unwrap();
        // The stream of that filter ends, the others go on.
        for (filter, stream) in FILTERS.iter().zip(&mut streams) {
            if *filter == "a" {
                assert!(soon(stream.next()).await.is_none());
            }
        }
        drop(server);
        let mut server = stage.welcome(plain()).await;
        let Packet::Subscribe(again) = server.expect_type(PacketType::Subscribe).await else {
            unreachable!()
        };
        let mut asked: Vec<_> = again.filters().map(|(filter, _)| filter.to_string()).collect();
        asked.sort();
        assert_eq!(asked, ["$share/g/a", "A", "cafe\u{301}", "caf\u{e9}"], "{version}");
    }
}
