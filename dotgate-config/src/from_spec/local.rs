//! What the settings of local data and filters mean.

use domain::base::Name;

use crate::filter::FilterConfig;
use crate::origin::Origin;
use crate::problem::{Problem, RoutesFault};
use crate::reader::Reader;
use crate::records::{LocalConfig, LocalRecord, read_tables};
use crate::routes::GroupConfig;
use crate::settings as table;
use crate::spec::Lookup;

/// Reads the settings of local data and filters.
pub(super) fn read(reader: &mut Reader<'_>) -> Option<LocalConfig> {
    let records = read_records(reader);
    let hosts_file = reader.optional(&table::LOCAL_HOSTS_FILE);
    let ttl = reader.value(&table::LOCAL_TTL);
    let filter = read_filter(reader);
    Some(LocalConfig {
        records: records?,
        hosts_file,
        ttl: ttl?,
        filter: filter?,
    })
}

/// Reads the records of the setting, or those of the tables that replace it.
fn read_records(reader: &mut Reader<'_>) -> Option<Vec<LocalRecord>> {
    let spec = reader.spec;
    match spec.lookup(&table::LOCAL_RECORDS) {
        Lookup::Unset => read_tables(reader.problems, &spec.record_tables),
        Lookup::Broken | Lookup::Value(_) => reader.value(&table::LOCAL_RECORDS),
    }
}

fn read_filter(reader: &mut Reader<'_>) -> Option<FilterConfig> {
    let block_files = reader.optional(&table::LOCAL_BLOCK_FILE);
    let allow_files = reader.optional(&table::LOCAL_ALLOW_FILE);
    let substitute = reader.value(&table::LOCAL_BLOCK_ANSWER);
    let rebinding = reader.value(&table::LOCAL_REBIND_PROTECT);
    let rebinding_except = reader.value(&table::LOCAL_REBIND_EXCEPT);
    let dns64 = reader.value(&table::DNS_DNS64);
    Some(FilterConfig {
        block_files: block_files.unwrap_or_default(),
        allow_files: allow_files.unwrap_or_default(),
        substitute: substitute?,
        rebinding: rebinding?.substitute(),
        rebinding_except: rebinding_except?,
        dns64: dns64?,
    })
}

/// Marks the groups whose answers are checked for private addresses: that of the default route, and those of the routes
/// that have one of these suffixes.
pub(super) fn mark_public(
    reader: &mut Reader<'_>,
    groups: &mut [(GroupConfig, Origin)],
    (suffixes, origin): (Vec<Vec<u8>>, Origin),
) {
    for suffix in suffixes {
        let has_it = |(group, _): &&mut (GroupConfig, Origin)| {
            let zones = group.suffixes.iter().flat_map(|it| it.zones());
            zones.into_iter().any(|zone| **zone == *suffix)
        };
        match groups.iter_mut().find(has_it) {
            Some((group, _)) => group.is_public = true,
            None => reader.problems.push(Problem::Routes {
                origin: origin.clone(),
                fault: RoutesFault::NoSuchRoute {
                    suffix: suffix_text(&suffix),
                },
            }),
        }
    }
}

/// A name as written in a setting.
fn suffix_text(name: &[u8]) -> String {
    Name::from_slice(name).map_or_else(|_| String::new(), ToString::to_string)
}
