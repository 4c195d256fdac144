//! A scripted upstream and its state.

use crate::event::Event;
use crate::script::Script;

/// One upstream.
#[derive(Debug)]
pub(crate) struct Upstream {
    pub(crate) script: Script,
    pub(crate) state: State,
    /// The address that led to it last.
    pub(crate) latest_address: usize,
    /// What waits until it thaws or is reached again.
    pub(crate) put_off: Vec<Event>,
    /// Queries that wait for `Simulator::release`: the connection and the message.
    pub(crate) withheld: Vec<(usize, Vec<u8>)>,
}

/// Whether an upstream runs and can be reached.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum State {
    /// It does its script.
    Running,
    /// Its process is stopped; its system still takes connections and bytes.
    Frozen,
    /// Packets are dropped on the way, both ways, and sent again when it is reached again.
    CutOff,
}

/// How an upstream's connections end when it does.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Death {
    /// The system closes them.
    Fin,
    /// The system resets them.
    Reset,
    /// Nobody hears of it; once it is up again, what reaches it on an old connection is answered by a reset.
    Unnoticed,
}

impl Upstream {
    pub(crate) fn new(script: Script) -> Upstream {
        Upstream {
            script,
            state: State::Running,
            latest_address: 0,
            put_off: Vec::new(),
            withheld: Vec::new(),
        }
    }

    /// The address that a try leads to: the one that led to the upstream last comes first, then the others in turn.
    pub(crate) fn address(&self, try_number: u32) -> usize {
        let count = self.script.addresses.len().max(1);
        (self.latest_address + try_number as usize) % count
    }
}
