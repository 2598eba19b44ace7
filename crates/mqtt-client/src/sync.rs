//! The lock and the atomics of the hand-over: the usual ones, or loom's, which runs the models in every order of the threads.
//!
//! The name of the cfg is our own: under `--cfg loom` tokio changes too.

#[cfg(not(all(test, handover_model)))]
pub(crate) use core::sync::atomic::{AtomicBool, AtomicUsize};
#[cfg(all(test, handover_model))]
pub(crate) use loom::sync::atomic::{AtomicBool, AtomicUsize};
#[cfg(all(test, handover_model))]
pub(crate) use loom_lock::{Mutex, MutexGuard};
#[cfg(not(all(test, handover_model)))]
pub(crate) use parking_lot::{Mutex, MutexGuard};

/// With the face of the usual one, which knows no poison.
#[cfg(all(test, handover_model))]
mod loom_lock {
    pub(crate) use loom::sync::MutexGuard;
    use std::sync::PoisonError;

    #[derive(Debug)]
    pub(crate) struct Mutex<T>(loom::sync::Mutex<T>);

    impl<T> Mutex<T> {
        pub(crate) fn new(value: T) -> Self {
            Self(loom::sync::Mutex::new(value))
        }

        pub(crate) fn lock(&self) -> MutexGuard<'_, T> {
            self.0.lock().unwrap_or_else(PoisonError::into_inner)
        }

        pub(crate) fn into_inner(self) -> T {
            self.0.into_inner().unwrap_or_else(PoisonError::into_inner)
        }
    }

    impl<T: Default> Default for Mutex<T> {
        fn default() -> Self {
            Self::new(T::default())
        }
    }
}
