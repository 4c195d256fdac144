//! What an engine needs of the configuration.

use std::sync::Arc;
use std::time::Duration;

use dotgate_config::{Amount, CacheConfig, Config};
use dotgate_core::{AccessList, CacheSettings, CookieSecrets, ForwardedClasses, Settings};

use dotgate_wire::{Question, rclass, rtype};

use crate::access::HostAccess;
use crate::local::Local;
use crate::upstreams::{Groups, route_table};

/// What an engine needs of the configuration, without the secrets of cookies; bounds for all workers are divided among them.
pub(crate) fn settings(
    config: &Config,
    groups: &Groups,
    local: &Local,
    access: &HostAccess,
    descriptors: u64,
) -> Settings {
    let limits = config.connection_limits(descriptors);
    let workers = config.server().workers.get();
    let share = |all: u32| (all as usize).div_ceil(workers).max(1);
    let query = config.query();
    Settings {
        generation: 0,
        groups: groups.iter().map(|group| group.settings()).collect(),
        shard_key: config.shard_key(),
        hedge_percent: config.hedge_percent(),
        routes: Arc::new(route_table(groups)),
        probe: Question::new(config.probe(), rtype::NS, rclass::IN)
            .unwrap_or_else(|| Question::root(rtype::NS)),
        access: access.rules(),
        session_age_max: config.sessions().max_age,
        proxies: AccessList::new(config.server().proxies.iter().copied()),
        local: local.data(),
        filter: local.filter().filter().clone(),
        forwarded_classes: ForwardedClasses {
            any: query.forwards_class_any,
            private: query.forwards_private_classes,
        },
        cache: cache_settings(config.cache()),
        udp_response_max: config.server().udp_response_max,
        query_deadline: query.deadline,
        queries_max: query.in_flight_max as usize,
        queries_per_client_max: query.in_flight_per_client_max as usize,
        exempt: AccessList::new(query.exempt.iter().copied()),
        rates: config.rates(),
        cookies: CookieSecrets::default(),
        client_memory: client_memory(config),
        streams_max: share(limits.all),
        streams_per_client_max: share(limits.per_client),
        stream_queries_max: config.tcp().in_flight_max as usize,
        stream_queries_total: config.tcp().queries_max,
        stream_age_max: config.tcp().max_age,
        stream_idle: config.tcp().idle.max(Duration::from_secs(1)),
        dot_idle: config.server().dot.idle,
        doh_idle: config.server().doh.idle,
        doq_idle: config.server().doq.idle,
        http_proxies: Arc::new(AccessList::new(config.server().doh.proxies.iter().copied())),
    }
}

/// The memory that clients may cost: what is set, else a quarter of what this process may have.
fn client_memory(config: &Config) -> usize {
    match config.server().client_memory {
        Amount::Exactly(bytes) => bytes.0 as usize,
        Amount::Auto => {
            let quarter = super::memory::limit().map(|limit| limit / 4);
            let bytes = quarter.unwrap_or(CLIENT_MEMORY_AUTO);
            let most = CLIENT_MEMORY_AUTO_MAX;
            usize::try_from(bytes.clamp(CLIENT_MEMORY_AUTO_MIN, most)).unwrap_or(usize::MAX)
        }
    }
}

/// The value of `auto` without a memory limit, its minimum and its maximum.
const CLIENT_MEMORY_AUTO: u64 = 64 << 20;
const CLIENT_MEMORY_AUTO_MIN: u64 = 4 << 20;
const CLIENT_MEMORY_AUTO_MAX: u64 = 1 << 30;

/// What an engine needs of the settings of the cache.
pub(crate) fn cache_settings(cache: &CacheConfig) -> CacheSettings {
    let seconds = |span: Duration| u32::try_from(span.as_secs()).unwrap_or(u32::MAX);
    CacheSettings {
        ttl_min: seconds(cache.ttl_min),
        ttl_max: seconds(cache.ttl_max),
        negative_ttl_max: seconds(cache.negative_ttl_max),
        failure_ttl_max: seconds(cache.failure_ttl_max),
        stale_max: cache.stale_max,
        stale_after: cache.stale_after,
        prefetch: cache.prefetch,
        nxdomain_all_types: cache.nxdomain_all_types,
        rotates_addresses: cache.rotates_addresses,
        except: cache
            .except
            .iter()
            .map(|name| name.as_slice().into())
            .collect(),
    }
}
