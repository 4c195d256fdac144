//! Whether the workers' loops turn.
//!
//! An idle worker sleeps, so one that has not run for `LATELY` is
//! woken, and only one that does not run within `WAIT_MAX` after that is stuck. Workers are woken only on request.
//! The caller provides the time; this module reads no clock.

use std::time::Duration;

use dotgate_core::Moment;

use super::RunningWorker;

/// A worker that ran within this time is alive.
const LATELY: Duration = Duration::from_secs(5);

/// What a woken worker gets to turn.
const WAIT_MAX: Duration = Duration::from_secs(2);

/// What is known of a worker.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum WorkerState {
    /// It has completed a turn recently.
    Running,
    /// It was woken and has not turned yet.
    Waking,
    /// It was woken and has completed no turn in time.
    Stuck,
    /// Its thread has ended.
    Ended,
}

/// When each worker was woken last.
#[derive(Debug)]
pub(crate) struct Liveness(Vec<Option<Moment>>);

impl Liveness {
    pub(crate) fn new(workers: usize) -> Liveness {
        Liveness(vec![None; workers])
    }

    /// Checks all workers, and wakes those that have not run recently.
    pub(crate) fn look(&mut self, now: Moment, workers: &[RunningWorker]) -> Vec<WorkerState> {
        let look = |(woken, worker): (&mut Option<Moment>, &RunningWorker)| {
            if worker.has_ended() {
                return WorkerState::Ended;
            }
            let before = *woken;
            let standing = judge(woken, worker.last_turn(), now);
            if standing == WorkerState::Waking && *woken != before {
                worker.wake();
            }
            standing
        };
        self.0.iter_mut().zip(workers).map(look).collect()
    }
}

/// Judges a worker by its last turn; `woken` changes if it is to be woken now.
fn judge(woken: &mut Option<Moment>, last_turn: Moment, now: Moment) -> WorkerState {
    if now.since(last_turn) <= LATELY {
        return WorkerState::Running;
    }
    match *woken {
        Some(at) if at > last_turn && now.since(at) >= WAIT_MAX => WorkerState::Stuck,
        Some(at) if at > last_turn => WorkerState::Waking,
        Some(_) | None => {
            *woken = Some(now);
            WorkerState::Waking
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const START: Moment = Moment::from_nanos(1_000_000_000);

    fn at(seconds: u64) -> Moment {
        START + Duration::from_secs(seconds)
    }

    #[test]
    fn a_worker_that_turned_lately_is_not_woken() {
        let mut woken = None;
        assert_eq!(judge(&mut woken, START, at(5)), WorkerState::Running);
        assert_eq!(woken, None);
    }

    #[test]
    fn a_sleeping_worker_is_woken_once_and_runs_as_soon_as_it_turns() {
        let mut woken = None;
        assert_eq!(judge(&mut woken, START, at(60)), WorkerState::Waking);
        assert_eq!(judge(&mut woken, START, at(61)), WorkerState::Waking);
        assert_eq!(woken, Some(at(60)));
        assert_eq!(judge(&mut woken, at(61), at(62)), WorkerState::Running);
        assert_eq!(judge(&mut woken, at(61), at(90)), WorkerState::Waking);
        assert_eq!(woken, Some(at(90)), "asleep again, woken again");
    }

    #[test]
    fn a_worker_that_does_not_run_when_woken_is_stuck_until_it_runs() {
        let mut woken = None;
        judge(&mut woken, START, at(10));
        assert_eq!(judge(&mut woken, START, at(12)), WorkerState::Stuck);
        assert_eq!(judge(&mut woken, START, at(99)), WorkerState::Stuck);
        assert_eq!(judge(&mut woken, at(100), at(100)), WorkerState::Running);
    }
}
