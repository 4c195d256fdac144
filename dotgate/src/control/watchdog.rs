//! Signs of life for the service manager's watchdog: as long as every worker turns.
//!
//! Four times in the time that the service manager waits, all workers are woken, and it is told that the program is
//! alive if all have turned since they were last. A worker whose thread has ended never turns again; while the
//! program ends, that is as it should be.

use std::sync::Arc;

use dotgate_core::Moment;
use tokio::task::JoinHandle;
use tokio::time::interval;

use super::now;
use crate::admin::Sources;
use crate::serve::RunningWorker;
use crate::service::{Service, State};

/// Looks within the time that the service manager waits.
const LOOKS: u32 = 4;

/// The task that looks; it ends with this.
#[derive(Debug)]
pub(super) struct Watchdog(Option<JoinHandle<()>>);

impl Watchdog {
    /// Begins to look, if the service manager wants it.
    pub(super) fn start(service: &Arc<Service>, sources: &Arc<Sources>) -> Watchdog {
        let (service, sources) = (Arc::clone(service), Arc::clone(sources));
        let wait = service.watchdog();
        Watchdog(wait.map(|wait| {
            tokio::spawn(async move {
                let mut looks = interval(wait / LOOKS);
                let mut woken = now();
                loop {
                    looks.tick().await;
                    if all_live(&sources, woken) {
                        service.tell(State::Alive);
                    }
                    woken = now();
                    sources.workers().iter().for_each(RunningWorker::wake);
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
fn all_live(sources: &Sources, woken: Moment) -> bool {
    let lives = |worker: &RunningWorker| {
        worker.last_turn() >= woken || (worker.has_ended() && sources.is_draining())
    };
    sources.workers().iter().all(lives)
}
