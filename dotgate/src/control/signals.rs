//! The signals of the process, and what each asks for.
//!
//! One that has no meaning here is logged and ends nothing: its default action would be to end the process at once,
//! and those who send it mean something else (a log to rotate, a report).

use std::io;

use crate::log::message::say;
use dotgate_net::signals::{MEANINGLESS, REPORT};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::mpsc;
use tokio::task::JoinSet;

/// All signals that are listened to.
#[derive(Debug)]
pub(super) struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hang_up: Signal,
    report: Signal,
    meaningless: mpsc::Receiver<&'static str>,
    _listening: JoinSet<()>,
}

/// What a signal asks for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum SignalRequest {
    /// The end, by the signal of this name.
    Stop(&'static str),
    /// That the configuration is read again.
    Reload,
    /// That the status is logged.
    Status,
}

impl Signals {
    /// Begins to listen. Call it inside a runtime.
    ///
    /// # Errors
    /// Those of the system.
    pub(super) fn new() -> io::Result<Signals> {
        let (heard, meaningless) = mpsc::channel(1);
        let mut listening = JoinSet::new();
        for (number, name) in MEANINGLESS {
            let mut signal = signal(SignalKind::from_raw(*number))?;
            let heard = heard.clone();
            listening.spawn(async move {
                while signal.recv().await.is_some() && heard.send(*name).await.is_ok() {}
            });
        }
        Ok(Signals {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hang_up: signal(SignalKind::hangup())?,
            report: signal(SignalKind::from_raw(REPORT))?,
            meaningless,
            _listening: listening,
        })
    }

    /// The next signal that asks for something. Of two that are pending, the one that asks for the end comes first.
    pub(super) async fn next(&mut self) -> SignalRequest {
        loop {
            tokio::select! {
                biased;
                _ = self.terminate.recv() => return SignalRequest::Stop("SIGTERM"),
                _ = self.interrupt.recv() => return SignalRequest::Stop("SIGINT"),
                _ = self.hang_up.recv() => return SignalRequest::Reload,
                _ = self.report.recv() => return SignalRequest::Status,
                Some(signal) = self.meaningless.recv() => {
                    say!(SIGNAL_IGNORED, signal = signal);
                }
            }
        }
    }
}
