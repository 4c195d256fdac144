//! What the settings of sessions to upstreams mean.

use std::path::PathBuf;
use std::time::Duration;

use crate::kinds::PortalPolicy;
use crate::reader::Reader;
use crate::settings as table;

/// Sessions to upstreams, of all groups.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct SessionsConfig {
    /// The file that carries what they showed over a restart, if any.
    pub state_file: Option<PathBuf>,
    /// The age at which one is replaced, if any.
    pub max_age: Option<Duration>,
    /// Whether names may go to the resolver of the network for a time, in the clear.
    pub portal: PortalPolicy,
}

/// Reads the settings of sessions.
pub(super) fn read(reader: &mut Reader<'_>) -> Option<SessionsConfig> {
    let portal = reader.value(&table::DNS_PORTAL);
    let max_age = reader.value(&table::DNS_SESSION_MAX_AGE);
    Some(SessionsConfig {
        state_file: reader.optional(&table::DNS_STATE_FILE),
        max_age: max_age?,
        portal: portal?,
    })
}
