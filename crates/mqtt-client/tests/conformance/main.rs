//! The client against the standards, over a real socket: statement by statement, in the order of their chapters.
//!
//! The other side is a scripted peer that says and expects exact packets; [`support`] is what the cases share. A case
//! names the statements that it shows. Where the versions agree, one case shows all of them.

mod support;

mod aliases;
mod auth;
mod breaches;
mod connack;
mod connect;
mod disconnect;
mod flow;
mod identifiers;
mod identity;
mod keep_alive;
mod limits;
mod malformed;
mod publish;
mod receiving;
mod resending;
mod sending;
mod sessions;
mod subscribe;
mod transport;
mod unsubscribe;
