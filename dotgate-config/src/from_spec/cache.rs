//! What the settings of the cache mean.

use super::CacheConfig;
use super::table;
use crate::fault::Fault;
use crate::kinds::shown_duration;
use crate::origin::SourceValue;
use crate::problem::Problem;
use crate::reader::Reader;

/// Reads the settings of the cache.
pub(super) fn read(reader: &mut Reader<'_>) -> Option<CacheConfig> {
    let size = reader.value(&table::CACHE_SIZE);
    let ttl_min = reader.value_with_origin(&table::CACHE_TTL_MIN);
    let ttl_max = reader.value(&table::CACHE_TTL_MAX);
    let negative_ttl_max = reader.value(&table::CACHE_NEGATIVE_TTL_MAX);
    let failure_ttl_max = reader.value(&table::CACHE_FAILURE_TTL_MAX);
    let stale_max = reader.value(&table::CACHE_STALE_MAX);
    let stale_after = reader.value(&table::CACHE_STALE_AFTER);
    let prefetch = reader.value(&table::CACHE_PREFETCH);
    let nxdomain_all_types = reader.value(&table::CACHE_NXDOMAIN_ALL_TYPES);
    let rotates_addresses = reader.value(&table::CACHE_ROTATE_ADDRESSES);
    let except = reader.value(&table::CACHE_EXCEPT);
    let snapshot_file = reader.optional(&table::CACHE_SNAPSHOT_FILE);
    let (ttl_min, origin) = ttl_min?;
    let (ttl_max, negative_ttl_max) = (ttl_max?, negative_ttl_max?);
    for (longest, other) in [
        (ttl_max, "DOTGATE_CACHE_TTL_MAX"),
        (negative_ttl_max, "DOTGATE_CACHE_NEGATIVE_TTL_MAX"),
    ] {
        if ttl_min > longest {
            reader.problems.push(Problem::Invalid {
                subject: &table::CACHE_TTL_MIN,
                written: SourceValue {
                    text: shown_duration(ttl_min),
                    origin: origin.clone(),
                },
                fault: Fault::Above { other },
            });
        }
    }
    Some(CacheConfig {
        size: size?,
        ttl_min,
        ttl_max,
        negative_ttl_max,
        failure_ttl_max: failure_ttl_max?,
        stale_max: stale_max?,
        stale_after: stale_after?,
        prefetch: prefetch?,
        nxdomain_all_types: nxdomain_all_types?,
        rotates_addresses: rotates_addresses?,
        except: except?,
        snapshot_file,
    })
}
