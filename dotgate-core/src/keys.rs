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
