//! Who compares: what the child said against what arrived, and what was sent to it against what it took.

use crate::child::{Said, WINDOW};
use crate::life::{Life, Order, Place, live};
use core::time::Duration;
use mqtt_client::{Client, Protocol, QoS, ReconnectPolicy, connect};
use mqtt_testkit::server::Server;
use std::collections::HashSet;
use std::sync::{Arc, Mutex};
use tempfile::TempDir;
use tokio::time::{sleep, timeout};

const PATIENCE: Duration = Duration::from_secs(60);

pub(crate) struct Judge {
    server: Server,
    qos: QoS,
    protocol: Protocol,
    home: TempDir,
    /// A client that is not killed: it sees what arrives, and publishes to the child.
    witness: Client,
    arrived: Arc<Mutex<[Vec<u32>; 3]>>,
    accepted: [Vec<u32>; 3],
    /// Messages that may have been stored, and were not said to be.
    doubtful: [Vec<u32>; 3],
    next: [u32; 3],
    sent: u32,
    taken: Vec<u32>,
    /// Of these, those of which it is stored.
    noted: HashSet<u32>,
    /// What was taken again, and had been before by a process that was cut.
    again: usize,
    lives: u32,
    cuts: u32,
    crashes: u32,
}

impl Judge {
    pub(crate) async fn new(server: Server, qos: QoS, protocol: Protocol) -> Self {
        let policy = ReconnectPolicy::default()
            .first_delay(Duration::from_millis(5))
            .max_delay(Duration::from_millis(50));
        let witness = connect(&server.url()).client_id("witness").protocol(Protocol::V5).reconnect(policy);
        let witness = witness.session_expiry(Duration::from_secs(3600)).await.expect("the witness connects");
        let mut out = witness.subscribe("out/+").qos(QoS::ExactlyOnce).await.expect("it subscribes");
        let arrived = Arc::new(Mutex::new([const { Vec::new() }; 3]));
        let seen = arrived.clone();
        tokio::spawn(async move {
            while let Some(message) = out.next().await {
                let topic: usize = message.topic()[4..].parse().expect("a topic");
                let number = u32::from_be_bytes(message.payload()[..4].try_into().expect("a number"));
                seen.lock().unwrap()[topic].push(number);
            }
        });
        let judge = Self {
            server,
            qos,
            protocol,
            home: tempfile::tempdir().expect("a directory"),
            witness,
            arrived,
            accepted: Default::default(),
            doubtful: Default::default(),
            next: [0; 3],
            sent: 0,
            taken: Vec::new(),
            noted: HashSet::new(),
            again: 0,
            lives: 0,
            cuts: 0,
            crashes: 0,
        };
        judge.begin().await;
        judge
    }

    /// A session for the child, with a subscription that it never has to ask for again.
    async fn begin(&self) {
        let store = mqtt_store::DurableStore::open(self.home.path().join("store")).expect("the store opens");
        let first = connect(&self.server.url()).client_id("mortal").protocol(self.protocol).store(store);
        let first = first.await.expect("it connects");
        first.subscribe("in").qos(self.qos).await.expect("it subscribes").detach();
        first.disconnect().await.expect("goodbye");
    }

    /// One life of the child.
    pub(crate) async fn live(&mut self, order: Order) -> Life {
        for _ in 0..3 {
            let payload = self.sent.to_be_bytes().to_vec();
            self.witness.publish("in", payload).qos(self.qos).await.expect("it is sent");
            self.sent += 1;
        }
        let dir = self.home.path().join("store");
        let url = self.server.url();
        let place = Place { url: &url, dir: &dir, qos: self.qos, protocol: self.protocol, next: self.next };
        let (life, said) = live(&place, order).await;
        self.lives += 1;
        self.cuts += u32::from(life == Life::Cut);
        let (mut taken, mut noted) = (Vec::new(), 0);
        for said in said {
            match said {
                Said::Accepted(topic, number) => self.accepted[topic].push(number),
                Said::Taken(number) => taken.push(number),
                Said::Noted => noted += 1,
                Said::Done => {}
            }
        }
        self.note_taken(&taken);
        self.noted.extend(&taken[..noted]);
        for topic in 0..3 {
            let last =
                self.accepted[topic].last().map_or(self.next[topic], |last| (last + 1).max(self.next[topic]));
            if life == Life::Cut {
                self.doubtful[topic].push(last);
            }
            self.next[topic] = last + u32::from(life == Life::Cut);
        }
        life
    }

    /// What a process takes again was taken by one before it that had no time to note it: not more than were under way, and
    /// before anything new.
    fn note_taken(&mut self, taken: &[u32]) {
        let known = self.taken.len();
        let window = usize::from(if self.protocol == Protocol::V5 { WINDOW } else { 20 });
        let mut new = 0;
        for number in taken {
            assert!(!self.noted.contains(number), "{number} comes again, and was noted: {taken:?}");
            if self.taken[..known].contains(number) {
                assert!(
                    new == 0 || self.qos == QoS::AtLeastOnce,
                    "{number} comes again after new ones: {taken:?}"
                );
                let age = known - self.taken.iter().position(|other| other == number).expect("it was taken");
                assert!(age <= 2 * window, "{number} comes again after {age} others: {taken:?}");
                self.again += 1;
            } else {
                assert!(
                    !self.taken[known..].contains(number),
                    "{number} was taken twice in one life: {taken:?}"
                );
                new += 1;
                self.taken.push(*number);
            }
        }
    }

    pub(crate) async fn crash_server(&mut self) {
        self.server.crash().await;
        self.crashes += 1;
    }

    /// A last life, whole; then everything must be there.
    pub(crate) async fn end(mut self, name: &str) {
        let whole = self.live(Order { messages: 1, ..Order::default() }).await;
        assert_eq!(whole, Life::Whole, "{name}");
        // Messages of mosquitto can come after the last answer.
        let complete = async {
            while !(0..3).all(|topic| self.is_complete(topic)) {
                sleep(Duration::from_millis(10)).await;
            }
        };
        if timeout(PATIENCE, complete).await.is_err() {
            let arrived = self.arrived.lock().unwrap();
            for (arrived, accepted) in arrived.iter().zip(&self.accepted) {
                let lost: Vec<_> = accepted.iter().filter(|number| !arrived.contains(number)).collect();
                assert!(lost.is_empty(), "{name}: accepted and lost: {lost:?}");
            }
        }
        let (mut messages, mut repeats, mut doubtful) = (0, 0, 0);
        for topic in 0..3 {
            let mut arrived = self.arrived.lock().unwrap()[topic].clone();
            let all = arrived.len();
            if self.qos == QoS::AtLeastOnce {
                let mut seen = HashSet::new();
                arrived.retain(|number| seen.insert(*number));
            }
            repeats += all - arrived.len();
            let (unsure, sure): (Vec<u32>, Vec<u32>) =
                arrived.into_iter().partition(|number| self.doubtful[topic].contains(number));
            assert_eq!(sure, self.accepted[topic], "{name}, topic {topic}: all of them, once, in order");
            assert!(unsure.is_sorted_by(|a, b| a < b), "{name}, topic {topic}: {unsure:?}");
            messages += sure.len();
            doubtful += unsure.len();
        }
        assert_eq!(
            self.taken,
            (0..self.sent).collect::<Vec<_>>(),
            "{name}: all that was sent to it was taken, in order"
        );
        eprintln!(
            "{name}: {} lives, {} cut, {} crashes of the server; {messages} accepted and arrived, {doubtful} arrived \
             that were not said to be accepted, {repeats} repeats; {} sent to it, {} taken again",
            self.lives, self.cuts, self.crashes, self.sent, self.again
        );
        self.witness.disconnect().await.expect("goodbye");
    }

    fn is_complete(&self, topic: usize) -> bool {
        let arrived = self.arrived.lock().unwrap();
        self.accepted[topic].iter().all(|number| arrived[topic].contains(number))
    }
}
