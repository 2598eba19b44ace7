//! A [`Store`](mqtt_client::Store) on disk for `mqtt-client`: what was accepted survives the end of the process, and the loss of power.
//!
//! What it does not do: it sends nothing and knows nothing of MQTT but the keys; it keeps no messages that were
//! received, nor a history of those that were sent; it is not shared, each client needs a directory of its own; it does not
//! encrypt, nor guard against somebody who changes its files on purpose.
//!
//! ```no_run
//! use mqtt_client::{QoS, connect};
//! use mqtt_store::DurableStore;
//!
//! # async fn run() -> Result<(), Box<dyn std::error::Error>> {
//! // A directory of its own, which is made if it is missing.
//! let store = DurableStore::open("/var/lib/kitchen")?;
//! let client = connect("mqtt://localhost").client_id("kitchen").store(store).await?;
//! // Returns once it is on the disk. If this process ends now, the next one sends it.
//! client.publish("home/lamp", "on").qos(QoS::AtLeastOnce).enqueue().await?;
//! # Ok(()) }
//! ```
//!
//! # When something is wrong
//!
//! | what happens | what is said |
//! | --- | --- |
//! | another process, or this one, has it open | [`StoreError::InUse`](mqtt_client::StoreError::InUse) |
//! | it was written under another client identifier | [`StoreError::OtherClient`](mqtt_client::StoreError::OtherClient), which names both |
//! | a newer release has written it | [`StoreError::NewerFormat`](mqtt_client::StoreError::NewerFormat); nothing in it is changed |
//! | the directory may not be written | [`StoreError::Io`](mqtt_client::StoreError::Io) with the operating system's error |
//! | the disk is full, or a quota used up | [`StoreError::Full`](mqtt_client::StoreError::Full) for what is new; what was accepted stays; it works again when there is space |
//! | the process or the machine ended in the middle of a change | nothing: all of the change is there or nothing of it |
//! | bits have flipped, pages are gone | [`Stored::damaged`](mqtt_client::Stored::damaged), and `mqtt store verify` lists it |
//!
//! # Damage
//!
//! Every row has a checksum over its place and its value. Rows that do not fit are moved to the table `damaged`. A page that
//! cannot be read costs what stood on it: all else comes into a new file, and the old one is kept. A flipped bit in the journal
//! is turned back; what cannot be told or is more than a bit ends the journal there, as a loss of power does, and a copy of it
//! is kept. Whatever is not there any more is counted, as far as its numbers tell.
//!
//! # What is in the directory
//!
//! | file | |
//! | --- | --- |
//! | `store-N.sqlite3` | the store: an SQLite database with a table for each kind of [`StoreKey`](mqtt_client::StoreKey) |
//! | `store-N.sqlite3-wal` | its journal, while it is open or after a crash |
//! | `lock` | locked while somebody uses the directory |
//! | `damaged-N.sqlite3`, `damaged-N.sqlite3-wal` | what was found damaged and replaced; yours to keep or to remove |
//!
//! # What it costs
//!
//! One wait for the disk for each batch that asks for it, however large; 1 MiB of memory for pages, whatever is stored; a journal
//! of 4 MiB, and more only while the disk is full. Space that is not needed any more is given back while messages are deleted. No
//! threads. Opening reads everything once: 100,000 messages of 64 bytes take about 0.1 s.
//!
//! It is SQLite, compiled from C with this crate. The reasons, beside the figures of other engines, are in the
//! [README](https://github.com/mqtt-house/mqtt/tree/main/crates/mqtt-store#why-sqlite).

mod database;
mod directory;
mod durable;
mod error;
mod journal;
mod key;
mod page;
mod reader;
mod salvage;

pub use crate::durable::{Durability, DurableStore};
pub use crate::reader::{Damaged, StoreReader};
