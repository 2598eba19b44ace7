//! Which packet identifiers messages have, for those who keep a journal.

use mqtt_codec::{QoS, Version};
use mqtt_session::{Event, Token};
use mqtt_testkit::packets::{puback, publish, pubrec};
use mqtt_testkit::pair::{Pair, config, message};

const ALL: [Version; 3] = [Version::V3_1, Version::V3_1_1, Version::V5];

#[track_caller]
fn expect_unanswered(pair: &Pair, expected: &[(Token, u16)]) {
    let found: Vec<_> = pair.session.unanswered().map(|(token, id)| (token, id.get())).collect();
    assert_eq!(found, expected);
}

#[test]
fn messages_are_listed_with_their_identifiers_until_they_are_answered() {
    for version in ALL {
        let mut pair = Pair::connected(config(version));
        expect_unanswered(&pair, &[]);
        let zero = pair.publish(message("a", "q0", QoS::AtMostOnce));
        assert_eq!(pair.completed().0, zero);
        let one = pair.publish(message("a", "q1", QoS::AtLeastOnce));
        let two = pair.publish(message("a", "q2", QoS::ExactlyOnce));
        let three = pair.publish(message("a", "q1", QoS::AtLeastOnce));
        expect_unanswered(&pair, &[(three, 3), (two, 2), (one, 1)]);
        let mut held: Vec<_> = pair.session.messages().map(|(token, message)| (token, message.qos)).collect();
        held.sort_unstable_by_key(|(token, _)| *token);
        let q1 = QoS::AtLeastOnce;
        assert_eq!(held, [(one, q1), (two, QoS::ExactlyOnce), (three, q1)]);
        (0..4).for_each(|_| _ = pair.received());
        pair.send(pubrec(2));
        expect_unanswered(&pair, &[(three, 3), (one, 1)]);
        pair.cut();
        assert!(matches!(pair.event(), Some(Event::Ended(_))));
        pair.resume();
        expect_unanswered(&pair, &[(three, 3), (one, 1)]);
        pair.send(puback(1));
        pair.send(puback(3));
        expect_unanswered(&pair, &[]);
    }
}

#[test]
fn a_token_names_its_message() {
    let mut pair = Pair::connected(config(Version::V5));
    let mut numbers = Vec::new();
    for packet in [
        publish("a", "one").qos1(7),
        publish("a", "two").qos2(7),
        publish("a", "three").qos1(8),
        publish("a", "four").qos2(8),
    ] {
        pair.send(packet);
        let (message, token) = pair.message();
        let token = token.expect("a token");
        assert_eq!((token.packet_id().get(), token.qos()), (7 + numbers.len() as u16 / 2, message.qos));
        numbers.push(token.number());
    }
    pair.cut();
    assert!(matches!(pair.event(), Some(Event::Ended(_))));
    pair.resume();
    // The same identifiers on the next connection are other messages.
    pair.send(publish("a", "one").qos1(7).dup());
    let (_, token) = pair.message();
    numbers.push(token.expect("a token").number());
    numbers.sort_unstable();
    numbers.dedup();
    assert_eq!(numbers.len(), 5);
}
