//! What the fuzz targets check, as plain functions over bytes: libFuzzer calls them with inputs that it invents, and
//! `tests/replay.rs` calls them on stable with the inputs that are kept.
//!
//! A function returns when it found nothing and panics when it did.

#![forbid(unsafe_code)]

mod decode;
mod differential;
mod known;
mod packets;
mod peers;
mod pieces;
mod reencode;
mod round_trip;
mod session;
mod stream;
mod topic;

pub use self::decode::decode;
pub use self::differential::{differential, explanations};
pub use self::known::{KNOWN, Known};
pub use self::peers::Peer;
pub use self::pieces::pieces;
pub use self::reencode::reencode;
pub use self::round_trip::round_trip;
pub use self::session::session;
pub use self::topic::topic;

use mqtt_codec::Version;

/// A target: what is done with an input.
pub type Target = fn(&[u8]);

/// All targets by name, for the replay of what is kept.
pub const TARGETS: [(&str, Target); 7] = [
    ("decode", decode),
    ("reencode", reencode),
    ("round_trip", round_trip),
    ("pieces", pieces),
    ("topic", topic),
    ("differential", differential),
    ("session", session),
];

/// Every version that the codec speaks.
pub(crate) const VERSIONS: [Version; 3] = [Version::V3_1, Version::V3_1_1, Version::V5];
