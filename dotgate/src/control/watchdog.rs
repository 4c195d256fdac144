//! Notifies the service manager's watchdog while every worker runs.
//!
//! Four times in the time that the service manager waits, all workers are woken, and it is notified that the program is
//! alive if all have turned since they were last. A worker whose thread has ended never turns again; while the
//! program ends, that is as it should be.

use std::sync::Arc;

use dotgate_core::Moment;
use tokio::task::JoinHandle;
use tokio::time::interval;

use crate::clock::now;
use crate::running::{Running, RunningWorker};
use crate::service::{Service, State};

/// Looks within the time that the service manager waits.
const LOOKS: u32 = 4;

/// The task that looks; it ends with this.
#[derive(Debug)]
pub(super) struct Watchdog(Option<JoinHandle<()>>);

impl Watchdog {
    /// Begins to look, if the service manager wants it.
    pub(super) fn start(service: &Arc<Service>, running: &Arc<Running>) -> Watchdog {
        let (service, running) = (Arc::clone(service), Arc::clone(running));
        let wait = service.watchdog();
        Watchdog(wait.map(|wait| {
            tokio::spawn(async move {
                let mut looks = interval(wait / LOOKS);
                let mut woken = now();
                loop {
                    looks.tick().await;
                    if all_live(&running, woken) {
                        service.notify(State::Alive);
                    }
                    woken = now();
                    running.workers().iter().for_each(RunningWorker::wake);
                }
            })
        }))
    }
}

impl Drop for Watchdog {
    fn drop(&mut self) {
        if let Some(task) = &self.0 {
            task.abort();
        }
    }
}

/// Whether every worker has turned since it was woken.
fn all_live(running: &Running, woken: Moment) -> bool {
    let is_alive = |worker: &RunningWorker| {
        worker.last_turn() >= woken || (worker.has_ended() && running.is_draining())
    };
    running.workers().iter().all(is_alive)
}
