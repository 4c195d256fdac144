//! Finding the addresses of upstreams that are given by name.

use std::sync::Arc;

use crate::config::Config;
use crate::upstreams::Upstream;

/// The search, which ends when this is dropped.
#[derive(Debug)]
pub struct Bootstrap;

impl Bootstrap {
    /// Starts to search in the background.
    pub fn start(_config: &Config, _upstreams: &Arc<[Upstream]>) -> Bootstrap {
        Bootstrap
    }
}
