//! What the measurements of our own crates share.

pub mod session;
