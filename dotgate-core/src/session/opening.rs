//! How long a session takes to open, and when that is noted.

use super::{Session, Timeout};
use crate::limits;
use crate::moment::Moment;

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum OpeningNoted {
    Nothing,
    Slow,
    Late,
}

impl Session {
    /// When its opening is noted next.
    pub(super) fn next_of_opening(&self) -> Moment {
        self.started
            + match self.opening_noted {
                OpeningNoted::Nothing => limits::OPENING_SLOW_AFTER,
                OpeningNoted::Slow => limits::HANDSHAKE_HEDGE_AFTER,
                OpeningNoted::Late => self.opening_wait(),
            }
    }

    pub(super) fn opening_timeout(&mut self, now: Moment) -> Timeout {
        match self.opening_noted {
            OpeningNoted::Nothing => {
                self.opening_noted = OpeningNoted::Slow;
                Timeout::OpeningIsSlow
            }
            OpeningNoted::Slow => {
                self.opening_noted = OpeningNoted::Late;
                Timeout::OpeningIsLate
            }
            OpeningNoted::Late => {
                debug_assert!(now.since(self.started) >= self.opening_wait());
                Timeout::OpeningGivenUp
            }
        }
    }

    /// Whether its opening takes so long that a second one is started if somebody waits.
    pub(crate) fn opens_late(&self) -> bool {
        self.opening_noted == OpeningNoted::Late
    }

    /// Whether its opening was noted as slow.
    pub(crate) fn opens_slowly(&self) -> bool {
        self.opening_noted != OpeningNoted::Nothing
    }
}
