//! The lock and the atomics of the hand-over: std's, or loom's, which runs the models in every order of the threads.
//!
//! The name of the cfg is our own: under `--cfg loom` tokio changes too.

#[cfg(not(all(test, handover_model)))]
pub(crate) use core::sync::atomic::{AtomicBool, AtomicUsize};
#[cfg(all(test, handover_model))]
pub(crate) use loom::sync::atomic::{AtomicBool, AtomicUsize};
#[cfg(all(test, handover_model))]
pub(crate) use loom::sync::{Mutex, MutexGuard};
#[cfg(not(all(test, handover_model)))]
pub(crate) use std::sync::{Mutex, MutexGuard};
