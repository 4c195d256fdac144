//! Whether another process is taking over from this one. What operators change from then on stays in this process, and
//! would be lost with it.

use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use super::NotDone;

/// What is known of it.
#[derive(Debug, Default)]
pub(crate) struct HandoverState(AtomicBool);

impl HandoverState {
    /// From now on, another process has what this one hands over: until this one ends, or [`HandoverState::cancel`].
    pub(crate) fn begin(&self) {
        self.0.store(true, Relaxed);
    }

    /// The other process does not take over.
    pub(crate) fn cancel(&self) {
        self.0.store(false, Relaxed);
    }

    /// Permits a change. Requests, orders and the handover are all of the control thread: what is changed at once is
    /// changed before a handover begins.
    ///
    /// # Errors
    /// [`NotDone::HandingOver`]: the change would be lost.
    pub(crate) fn permit_change(&self) -> Result<(), NotDone> {
        let is_lost = self.0.load(Relaxed)
            && !dotgate_wire::planted!("changes-after-the-hand-over-are-accepted");
        if is_lost {
            Err(NotDone::HandingOver)
        } else {
            Ok(())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn changes_are_permitted_until_a_handover_begins_and_again_if_it_fails() {
        let state = HandoverState::default();
        assert_eq!(state.permit_change(), Ok(()));
        state.begin();
        assert_eq!(state.permit_change(), Err(NotDone::HandingOver));
        state.cancel();
        assert_eq!(state.permit_change(), Ok(()));
    }
}
