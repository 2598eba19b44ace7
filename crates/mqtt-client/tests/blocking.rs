//! The client in programs that are not asynchronous.
#![cfg(feature = "blocking")]

mod common;

use common::delivered;
use core::time::Duration;
use mqtt_client::blocking::{self, Wait};
use mqtt_client::{Closed, ConnectError, Event, PublishError, QoS, RequestError, connect};
use mqtt_testkit::broker::Broker;
use std::thread;
use tokio::runtime::Runtime;

/// A broker on a runtime of its own.
fn broker() -> (Runtime, Broker) {
    let runtime = Runtime::new().unwrap();
    let broker = runtime.block_on(Broker::start()).unwrap();
    (runtime, broker)
}

#[test]
fn everything_can_be_waited_for() {
    let (_runtime, broker) = broker();
    let client = connect(&broker.url()).client_id("kitchen").wait().unwrap();
    let mut readings = client.subscribe("home/#").qos(QoS::ExactlyOnce).wait().unwrap();
    for number in 0..10_u8 {
        let qos = common::ALL_QOS[usize::from(number) % 3];
        delivered(client.publish("home/kitchen", vec![number]).qos(qos).wait().unwrap());
    }
    let delivery = client.publish("home/kitchen", vec![10]).qos(QoS::AtLeastOnce).enqueue().wait().unwrap();
    delivered(delivery.wait());
    let numbers: Vec<u8> =
        blocking::iter(&mut readings).take(11).map(|message| message.payload()[0]).collect();
    assert_eq!(numbers, (0..=10).collect::<Vec<u8>>());
    assert!(readings.next().wait_for(Duration::from_millis(10)).is_none());
    readings.unsubscribe().wait().unwrap();

    assert_eq!(client.drain(Duration::from_secs(5)).wait(), 0);
    client.disconnect().wait().unwrap();
    assert!(matches!(client.closed().wait(), Closed::Disconnected));
    assert!(matches!(client.publish("a", "x").wait(), Err(PublishError::Closed(Closed::Disconnected))));
}

/// Threads share a client; one answers what another asks. Timeouts work, on the runtime's clock.
#[test]
fn threads_share_a_client() {
    let (_runtime, broker) = broker();
    let client = blocking::start(connect(&broker.url())).unwrap();
    let mut questions = client.subscribe("ask").wait().unwrap();
    let answerer = client.clone();
    let answering = thread::spawn(move || {
        for question in blocking::iter(&mut questions).take(3) {
            answerer.respond(&question, question.payload.clone()).wait().unwrap();
        }
    });
    let asking = ["1", "2", "3"].map(|question| {
        let client = client.clone();
        thread::spawn(move || client.request("ask", question).wait().unwrap().payload == question)
    });
    assert!(asking.into_iter().all(|asked| asked.join().unwrap()));
    answering.join().unwrap();
    let limit = Duration::from_millis(20);
    let error = client.request("nobody", "?").timeout(limit).wait().unwrap_err();
    assert!(matches!(error, RequestError::Timeout(_)), "{error:?}");

    let mut events = client.events();
    client.abort();
    let events: Vec<Event> = blocking::iter(&mut events).collect();
    assert!(matches!(events.as_slice(), [Event::Connected(_), Event::Closed(Closed::Aborted)]), "{events:?}");
}

#[test]
fn failing_is_as_fast() {
    let error = connect("mqtt://127.0.0.1:1").wait().unwrap_err();
    assert!(matches!(error, ConnectError::Io(_)), "{error:?}");
    // Where there is a runtime, it is used.
    let runtime = Runtime::new().unwrap();
    let error = runtime.block_on(connect("mqtt://127.0.0.1:1").into_future()).unwrap_err();
    assert!(matches!(error, ConnectError::Io(_)), "{error:?}");
}
