//! SIGINT and SIGTERM, caught from here on; where there are none, Ctrl-C.

pub(crate) use imp::Signals;

#[cfg(unix)]
mod imp {
    use core::future::pending;

    use tokio::signal::unix::{Signal, SignalKind, signal};

    use crate::failure::Exit;

    /// A signal that cannot be listened for keeps its usual effect.
    pub(crate) struct Signals {
        interrupt: Option<Signal>,
        terminate: Option<Signal>,
    }

    impl Signals {
        pub(crate) fn listen() -> Self {
            Self {
                interrupt: signal(SignalKind::interrupt()).ok(),
                terminate: signal(SignalKind::terminate()).ok(),
            }
        }

        /// The exit code that the next signal asks for.
        pub(crate) async fn next(&mut self) -> Exit {
            tokio::select! {
                () = received(&mut self.interrupt) => Exit::Interrupted,
                () = received(&mut self.terminate) => Exit::Terminated,
            }
        }
    }

    async fn received(signal: &mut Option<Signal>) {
        if let Some(signal) = signal
            && signal.recv().await.is_some()
        {
            return;
        }
        pending().await
    }
}

#[cfg(not(unix))]
mod imp {
    use core::future::pending;

    use crate::failure::Exit;

    /// Ctrl-C.
    pub(crate) struct Signals;

    impl Signals {
        pub(crate) fn listen() -> Self {
            Self
        }

        /// The exit code that the next signal asks for.
        pub(crate) async fn next(&mut self) -> Exit {
            match tokio::signal::ctrl_c().await {
                Ok(()) => Exit::Interrupted,
                Err(_) => pending().await,
            }
        }
    }
}
