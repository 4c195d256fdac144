//! A configuration prepared for queries without serving.

use dotgate_core::UpstreamId;
use std::sync::Arc;

use dotgate_config::Config;
use dotgate_tls::Roots;

use crate::local::Local;
use crate::upstreams::{Upstream, Upstreams};

/// What is needed to answer as serving would.
pub(super) struct Prepared {
    pub(super) roots: Roots,
    pub(super) upstreams: Upstreams,
    pub(super) local: Local,
}

/// Makes what a configuration needs, or says what is wrong.
pub(super) fn prepare(config: &Config) -> Result<Prepared, String> {
    let roots = Roots::load(&config.tls().authorities).map_err(|problem| problem.to_string())?;
    let numbered = (0..).map(UpstreamId).zip(config.upstreams());
    let upstreams: Result<Vec<Arc<Upstream>>, String> = numbered
        .map(|(id, upstream)| {
            let made = Upstream::new(id, upstream, &roots).map(Arc::new);
            made.map_err(|problem| format!("upstream {}: {problem}", upstream.label))
        })
        .collect();
    let local = Local::load(config.local()).map_err(|problem| problem.to_string())?;
    Ok(Prepared {
        roots,
        upstreams: upstreams?.into(),
        local,
    })
}
