//! The keys by which owners of state name what they hold to each other and to the driver.
//!
//! A key is never used again for another thing, so one that outlives its thing finds nothing.

use slotmap::new_key_type;

new_key_type! {
    /// Names a session to its driver; never used again for another one.
    pub struct SessionKey;

    /// Names a client's connection to its driver; never used again for another one.
    pub struct StreamKey;

    /// Names a question in flight, with all who wait for its answer and all attempts made for it.
    pub(crate) struct ExchangeKey;

    /// Names one client's query that waits for an exchange.
    pub(crate) struct WaiterKey;

    /// Names a client address while it has connections.
    pub(crate) struct HolderKey;

    /// Names a registrable domain while queries for names in it wait.
    pub(crate) struct ZoneKey;
}

/// Names an upstream for as long as it is configured, and until its last session has ended: a number below
/// [`crate::limits::UPSTREAM_IDS`].
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct UpstreamId(pub u8);

impl UpstreamId {
    /// Its place in tables of upstreams.
    pub fn index(self) -> usize {
        usize::from(self.0)
    }
}

/// Names a worker of a process, and its engine: a number below [`crate::WORKERS`].
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct WorkerId(pub u8);

impl WorkerId {
    /// Its place in tables of workers.
    pub fn index(self) -> usize {
        usize::from(self.0)
    }
}

/// A set of upstreams, by ID.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct UpstreamSet(u128);

impl UpstreamSet {
    pub(crate) fn add(&mut self, upstream: UpstreamId) {
        self.0 |= 1 << upstream.0;
    }

    pub(crate) fn has(self, upstream: UpstreamId) -> bool {
        self.0 & 1 << upstream.0 != 0
    }

    pub(crate) fn is_empty(self) -> bool {
        self.0 == 0
    }

    pub(crate) fn remove(&mut self, upstream: UpstreamId) {
        self.0 &= !(1 << upstream.0);
    }
}

/// Tells one group of suspects from another.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct GroupId(pub(crate) u64);
