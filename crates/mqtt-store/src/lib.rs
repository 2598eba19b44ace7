//! A [`Store`](mqtt_client::Store) on disk for `mqtt-client`: what was accepted survives the end of the process, and the loss of power.
//!
//! What it does not do: it sends nothing and knows nothing of MQTT but the keys; it keeps no messages that were
//! received, nor a history of those that were sent; it is not shared, each client needs a directory of its own; it does not
//! encrypt, nor guard against somebody who changes its files on purpose.
//!
//! ```
//! use mqtt_client::Store;
//! use mqtt_store::{Durability, DurableStore};
//!
//! # let directory = tempfile::tempdir()?;
//! # let directory = directory.path();
//! // A directory of its own, which is made if it is missing.
//! let mut store = DurableStore::open(directory)?.durability(Durability::Synced);
//! // The client does this when it starts.
//! let stored = store.load("kitchen")?;
//! println!("{} messages wait, {} entries are damaged", stored.waiting, stored.damaged);
//! # assert_eq!((stored.waiting, stored.damaged), (0, 0));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # What is in the directory
//!
//! | file | |
//! | --- | --- |
//! | `store-N.sqlite3` | the store: an SQLite database with a table for each kind of [`StoreKey`](mqtt_client::StoreKey), a checksum in each row |
//! | `store-N.sqlite3-wal` | its journal, while it is open or after a crash |
//! | `lock` | locked while somebody uses the directory |
//! | `damaged-N.sqlite3` | what was found damaged and replaced; yours to keep or to remove |
//!
//! Rows whose checksum does not fit are moved to the table `damaged`. A page that cannot be read costs what stood on it: all
//! else comes into a new database. [`Stored::damaged`](mqtt_client::Stored::damaged) counts both.
//!
//! # What it costs
//!
//! One wait for the disk for each batch that asks for it, however large; about 1 MiB of memory, whatever is stored; 5 MB on disk
//! for the journal. Space that is not needed any more is given back while messages are deleted.

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
