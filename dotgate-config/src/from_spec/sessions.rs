//! What the settings of sessions to upstreams mean.

use std::path::PathBuf;

use crate::reader::Reader;
use crate::settings as table;

/// Sessions to upstreams, of all groups.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct SessionsConfig {
    /// The file that carries what they showed over a restart, if any.
    pub state_file: Option<PathBuf>,
}

/// Reads the settings of sessions.
pub(super) fn read(reader: &mut Reader<'_>) -> Option<SessionsConfig> {
    Some(SessionsConfig {
        state_file: reader.optional(&table::DNS_STATE_FILE),
    })
}
