//! The process that is killed. It says on its standard output what it has, and only then goes on.

use crate::power::copied;
use bytes::Bytes;
use core::cell::Cell;
use core::fmt;
use core::time::Duration;
use mqtt_client::{
    Client, Protocol, QoS, ReconnectPolicy, Store, StoreError, StoreKey, StoreOp, Stored, connect,
};
use mqtt_store::DurableStore;
use std::env;
use std::fs;
use std::io::Write;
use std::path::PathBuf;
use std::process::Command;

/// How it comes to its end.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) enum Death {
    /// By itself, when everything is delivered.
    #[default]
    Natural,
    /// By its own hand, before the store does so many things.
    Before(u32),
    /// Or after them.
    After(u32),
    /// At a system call of this name, when it is made for the so-many-th time.
    At(&'static str, u32),
    /// From outside, at any time.
    Random,
}

impl fmt::Display for Death {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Before(count) => write!(f, "before,{count}"),
            Self::After(count) => write!(f, "after,{count}"),
            Self::Natural | Self::At(..) | Self::Random => f.write_str("other,0"),
        }
    }
}

/// What the child has said.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Said {
    /// The message of this number is accepted for this topic.
    Accepted(usize, u32),
    /// The message of this number was taken.
    Taken(u32),
    /// It is stored that one more of those that were taken was: they are noted in the order in which they are taken.
    Noted,
    /// Everything is delivered.
    Done,
}

impl Said {
    pub(crate) fn read(line: &str) -> Option<Self> {
        let mut words = line.split(' ').skip_while(|word| *word != "#").skip(1);
        match words.next()? {
            "accepted" => Some(Self::Accepted(words.next()?.parse().ok()?, words.next()?.parse().ok()?)),
            "taken" => Some(Self::Taken(words.next()?.parse().ok()?)),
            "noted" => Some(Self::Noted),
            "done" => Some(Self::Done),
            _ => None,
        }
    }
}

fn say(what: fmt::Arguments<'_>) {
    let line = format!("# {what}\n");
    let mut out = std::io::stdout().lock();
    out.write_all(line.as_bytes()).and_then(|()| out.flush()).expect("somebody listens");
}

fn wish(name: &str) -> String {
    env::var(name).unwrap_or_else(|_| panic!("{name} is not set"))
}

pub(crate) fn is_wanted() -> bool {
    env::var_os("KILL_URL").is_some()
}

/// How many messages the server may have on the way to the child.
pub(crate) const WINDOW: u16 = 4;

#[tokio::main(flavor = "current_thread")]
pub(crate) async fn run() {
    let store = Mortal::open();
    let qos = match &*wish("KILL_QOS") {
        "1" => QoS::AtLeastOnce,
        _ => QoS::ExactlyOnce,
    };
    let protocol = if wish("KILL_PROTOCOL") == "5.0" { Protocol::V5 } else { Protocol::V3_1_1 };
    let policy = ReconnectPolicy::default()
        .first_delay(Duration::from_millis(5))
        .max_delay(Duration::from_millis(50))
        .assume_takeover(false);
    let mut builder =
        connect(&wish("KILL_URL")).client_id("mortal").protocol(protocol).reconnect(policy).store(store);
    if protocol == Protocol::V5 {
        builder = builder.receive_maximum(WINDOW);
    }
    let client = builder.start().expect("it starts");
    let mut news = client.unmatched();
    let count = Cell::new(0);
    let taking = async {
        while let Some(message) = news.next().await {
            let number = u32::from_be_bytes(message.payload()[..4].try_into().expect("a number"));
            say(format_args!("taken {number}"));
            count.set(count.get() + 1);
        }
    };
    let publishing = async {
        let next = wish("KILL_NEXT");
        let mut next = next.split(',').map(|number| number.parse::<u32>().expect("a number"));
        let messages: u32 = wish("KILL_MESSAGES").parse().expect("a number");
        let [a, b, c] = [0, 1, 2].map(|topic| {
            let first = next.next().expect("three numbers");
            publish(&client, topic, qos, first..first + messages)
        });
        tokio::join!(a, b, c);
        while client.drain(Duration::from_secs(60)).await > 0 {}
        // What the server has for it may still be on its way.
        let mut before = None;
        while before.replace(count.get()) != Some(count.get()) {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        client.disconnect().await.expect("goodbye");
    };
    tokio::join!(taking, publishing);
    say(format_args!("done"));
}

async fn publish(client: &Client, topic: usize, qos: QoS, numbers: core::ops::Range<u32>) {
    for number in numbers {
        let payload = number.to_be_bytes().to_vec();
        let accepted = client.publish(format!("out/{topic}"), payload).qos(qos).enqueue().await;
        drop(accepted.expect("it is stored"));
        say(format_args!("accepted {topic} {number}"));
    }
}

/// A store that can end its process, and one that remembers what a loss of power would leave.
struct Mortal {
    store: DurableStore,
    dir: PathBuf,
    safe: Option<PathBuf>,
    death: (String, u32),
    done: u32,
}

impl Mortal {
    fn open() -> Self {
        let dir = PathBuf::from(wish("KILL_DIR"));
        let death = wish("KILL_DEATH");
        let (when, count) = death.split_once(',').expect("when, and how often");
        Self {
            store: DurableStore::open(&dir).expect("the store opens"),
            dir,
            safe: env::var_os("KILL_SAFE").map(PathBuf::from),
            death: (when.to_owned(), count.parse().expect("a number")),
            done: 0,
        }
    }

    fn die(&self, when: &str) {
        if (self.death.0 == when) && self.death.1 == self.done {
            let process = std::process::id().to_string();
            _ = Command::new("kill").args(["-KILL", &process]).status();
            unreachable!("it is dead");
        }
    }

    /// The state on the disk is one that it was waited for.
    fn remember(&self) {
        let Some(safe) = &self.safe else { return };
        let copy = copied(&self.dir).keep();
        let old = safe.with_extension("old");
        _ = fs::remove_dir_all(&old);
        // Renaming is all or nothing, and between the two there is still one of them.
        if safe.exists() {
            fs::rename(safe, &old).expect("the old copy steps aside");
        }
        fs::rename(&copy, safe).expect("the copy is there");
    }
}

impl Store for Mortal {
    fn load(&mut self, client_id: &str) -> Result<Stored, StoreError> {
        self.store.load(client_id)
    }

    fn waiting(&mut self, after: u64, bytes: usize) -> Result<Vec<(u64, Bytes)>, StoreError> {
        self.store.waiting(after, bytes)
    }

    fn apply(&mut self, ops: &[StoreOp], sync: bool) -> Result<(), StoreError> {
        self.done += 1;
        self.die("before");
        self.store.apply(ops, sync)?;
        if sync {
            self.remember();
        }
        for _ in ops.iter().filter(|op| matches!(op, StoreOp::Put(StoreKey::Received(_), _))) {
            say(format_args!("noted"));
        }
        self.die("after");
        Ok(())
    }
}
