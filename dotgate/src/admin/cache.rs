//! The cache entries of a name. They need the token, because they show what clients looked up.

use domain::base::iana::{Class, OptRcode, Rtype};
use domain::base::{Message, Name};
use dotgate_core::Moment;
use dotgate_core::cache::{Cache, CachedEntry, Scope, Usage};
use dotgate_wire::Stored;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::commands::query::record_text;

/// The entries of a name.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CacheReport {
    /// The name, with its last dot.
    pub name: String,
    /// The entries, by type.
    pub entries: Vec<CacheEntry>,
}

/// An entry. Times are in seconds.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CacheEntry {
    /// The type that was asked for.
    pub record_type: String,
    /// The class.
    pub class: String,
    /// Whether it answers for all types: the name does not exist.
    pub for_all_types: bool,
    /// Whether it is for queries with DO set.
    pub dnssec_ok: bool,
    /// Whether it is for queries with CD set.
    pub checking_disabled: bool,
    /// Whether it is a cached failure.
    pub is_failure: bool,
    /// The response code.
    pub rcode: String,
    /// The Extended DNS Error that came with it.
    pub ede: Option<u16>,
    /// The time since it was stored.
    pub age_seconds: u32,
    /// Seconds until it expires; negative if it has expired.
    pub ttl_left_seconds: i64,
    /// How often it was served.
    pub hits: u16,
    /// Size of the stored response, in bytes.
    pub bytes: usize,
    /// The records, with the TTLs they were stored with.
    pub records: Vec<String>,
}

/// How full the cache is.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct UsageReport {
    pub(super) entries: usize,
    pub(super) bytes_used: usize,
    pub(super) bytes_max: usize,
    evictions: u64,
}

impl UsageReport {
    pub(super) fn of(cache: &Cache) -> UsageReport {
        let Usage {
            entries,
            bytes_used,
            bytes_max,
            evictions,
        } = cache.usage();
        UsageReport {
            entries,
            bytes_used,
            bytes_max,
            evictions,
        }
    }
}

impl CacheReport {
    pub(super) fn of(cache: &Cache, now: Moment, name: &Name<Vec<u8>>) -> CacheReport {
        let mut entries = cache.entries_of(now, &lower_case(name));
        entries.sort_by_key(|entry| {
            let asked = (entry.qclass, entry.qtype, entry.dnssec_ok);
            (asked, entry.checking_disabled, entry.route)
        });
        CacheReport {
            name: name.fmt_with_dot().to_string(),
            entries: entries.iter().map(report).collect(),
        }
    }
}

/// A name as the cache has it: uncompressed, in lower case.
pub(super) fn lower_case(name: &Name<Vec<u8>>) -> Vec<u8> {
    // Bytes of lengths are below 64, where no letter is.
    name.as_slice().to_ascii_lowercase()
}

fn report(entry: &CachedEntry) -> CacheEntry {
    let stored = Stored::read(&entry.bytes);
    let rcode = stored.map_or(0, |stored| stored.rcode());
    CacheEntry {
        record_type: Rtype::from_int(entry.qtype).to_string(),
        class: Class::from_int(entry.qclass).to_string(),
        for_all_types: entry.scope == Scope::AllTypes,
        dnssec_ok: entry.dnssec_ok,
        checking_disabled: entry.checking_disabled,
        is_failure: entry.is_failure,
        rcode: OptRcode::masked_from_int(rcode).to_string(),
        ede: stored.and_then(|stored| stored.ede()).map(|ede| ede.code),
        age_seconds: entry.age,
        ttl_left_seconds: entry.ttl_left,
        hits: entry.hits,
        bytes: entry.bytes.len(),
        records: stored.map_or_else(Vec::new, |stored| records(stored.body())),
    }
}

/// The records of a message, in the form of a zone file.
fn records(body: &[u8]) -> Vec<String> {
    let Ok(message) = Message::from_octets(body.to_vec()) else {
        return Vec::new();
    };
    let records = message.iter().map_while(Result::ok);
    records.map(|(record, _)| record_text(&record)).collect()
}
