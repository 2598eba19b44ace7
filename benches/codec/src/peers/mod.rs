//! One file per family. To add one: implement `Peer`, list it in the macro below.
mod floor;
mod ours;
#[cfg(feature = "peers")]
mod core_rs;
#[cfg(feature = "peers")]
mod labover;
#[cfg(feature = "peers")]
mod mqttproto;
#[cfg(feature = "peers")]
mod mqttrs_;
#[cfg(feature = "peers")]
mod ntex;
#[cfg(feature = "peers")]
mod rmqtt;
#[cfg(feature = "peers")]
mod rumq;
use crate::{Case, add, verify};

macro_rules! all {
    ($(#[$only:meta] $t:ty),* $(,)?) => {
        pub fn add_all(out: &mut Vec<Case>) { $( #[$only] add::<$t>(out); )* }
        pub fn verify_all() { $( #[$only] verify::<$t>(); )* }
    };
}
macro_rules! listed {
    (here: $($here:ty),* ; peers: $($peer:ty),* $(,)?) => {
        all!( $( #[cfg(all())] $here, )* $( #[cfg(feature = "peers")] $peer, )* );
    };
}
listed!(
    here:
    ours::Ours<4>, ours::Ours<5>, ours::Checked<4>, ours::Checked<5>, ours::AllRead,
    floor::Memcpy<4>, floor::Memcpy<5>,
    floor::Walk<4>, floor::Walk<5>,
    floor::Borrowed<4>, floor::Borrowed<5>,
    floor::Frame<4>, floor::Frame<5>,
    floor::Slices<4>, floor::Slices<5>;
    peers:
    rumq::V4, rumq::V5, rumq::NextV5,
    rumq::Mb4, rumq::Mb5, rumq::Alf5,
    mqttrs_::V4,
    mqttproto::V4, mqttproto::V5,
    rmqtt::V4, rmqtt::V5,
    ntex::V4, ntex::V5,
    labover::L<4>, labover::L<5>,
    core_rs::V4, core_rs::V5,
    core_rs::Vec4, core_rs::Vec5,
);
