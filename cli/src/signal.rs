//! The signals that ask a program to end: Ctrl-C everywhere, SIGTERM on Unix, the closing of the console on Windows.
//!
//! The first signal asks: the work looks at [`Stop`] and ends in order. The second one insists: the process exits at
//! once. A thread of its own waits for them, so that both work also while the program computes or blocks.

use std::io;
use std::process::ExitCode;

use tokio::sync::watch;

/// A signal that asks the program to end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Signal {
    /// Ctrl-C; SIGINT on Unix.
    Interrupt,
    /// SIGTERM on Unix; on Windows the console is closed or the system shuts down.
    Terminate,
}

impl Signal {
    /// The name that users know.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Interrupt => "SIGINT",
            Self::Terminate => "SIGTERM",
        }
    }

    /// The exit code that a shell reports for a program ended by the signal: 128 and the signal's number.
    pub(crate) fn exit_code(self) -> u8 {
        match self {
            Self::Interrupt => 130,
            Self::Terminate => 143,
        }
    }
}

impl From<Signal> for ExitCode {
    fn from(signal: Signal) -> Self {
        Self::from(signal.exit_code())
    }
}

/// Whether the program has been asked to end. Clones share the state.
#[derive(Clone, Debug)]
pub(crate) struct Stop(watch::Receiver<Option<Signal>>);

impl Stop {
    /// Listens from now on until the process ends; call it once.
    ///
    /// # Errors
    /// The system refuses a thread or the handlers.
    pub(crate) fn listen() -> io::Result<Self> {
        let (sender, receiver) = watch::channel(None);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let mut signals = {
            let _guard = runtime.enter();
            Signals::new()?
        };
        let wait = move || {
            runtime.block_on(async {
                sender.send_replace(Some(signals.next().await));
                let again = signals.next().await;
                std::process::exit(i32::from(again.exit_code()));
            })
        };
        std::thread::Builder::new().name("signals".to_owned()).spawn(wait)?;
        Ok(Self(receiver))
    }

    /// Completes with the first signal, at once if that has come already. Cancel safe.
    pub(crate) async fn wait(&mut self) -> Signal {
        match self.0.wait_for(Option::is_some).await.as_deref() {
            Ok(Some(signal)) => *signal,
            // The waiting thread is gone, which only a panic of it can cause.
            Ok(None) | Err(_) => std::future::pending().await,
        }
    }
}

#[cfg(unix)]
struct Signals {
    interrupt: tokio::signal::unix::Signal,
    terminate: tokio::signal::unix::Signal,
}

#[cfg(unix)]
impl Signals {
    fn new() -> io::Result<Self> {
        use tokio::signal::unix::{SignalKind, signal};
        Ok(Self { interrupt: signal(SignalKind::interrupt())?, terminate: signal(SignalKind::terminate())? })
    }

    async fn next(&mut self) -> Signal {
        tokio::select! {
            _ = self.interrupt.recv() => Signal::Interrupt,
            _ = self.terminate.recv() => Signal::Terminate,
        }
    }
}

#[cfg(windows)]
struct Signals {
    interrupt: tokio::signal::windows::CtrlC,
    break_key: tokio::signal::windows::CtrlBreak,
    close: tokio::signal::windows::CtrlClose,
    shutdown: tokio::signal::windows::CtrlShutdown,
}

#[cfg(windows)]
impl Signals {
    fn new() -> io::Result<Self> {
        use tokio::signal::windows::{ctrl_break, ctrl_c, ctrl_close, ctrl_shutdown};
        Ok(Self { interrupt: ctrl_c()?, break_key: ctrl_break()?, close: ctrl_close()?, shutdown: ctrl_shutdown()? })
    }

    async fn next(&mut self) -> Signal {
        tokio::select! {
            _ = self.interrupt.recv() => Signal::Interrupt,
            _ = self.break_key.recv() => Signal::Interrupt,
            _ = self.close.recv() => Signal::Terminate,
            _ = self.shutdown.recv() => Signal::Terminate,
        }
    }
}
