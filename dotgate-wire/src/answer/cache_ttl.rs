//! How long an answer may be cached.
//!
//! Read from a loaded answer by a cache; changes nothing. An answer is cached as a whole, so its
//! lowest TTL decides. The TTL of a negative answer is in its SOA record;
//! without one, it is not cached (RFC 2308 section 5). Bounds of the operator's are applied elsewhere.

use super::UpstreamResponse;
use crate::bytes::{u16_at, u32_at};
use crate::consts::{rcode, rtype};
use crate::question::split_question;
use crate::records::Section;

/// Bytes of MINIMUM, the last field of an SOA record.
const MINIMUM_LEN: usize = 4;

/// How long an answer may be cached, in seconds.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum CacheTtl {
    /// It holds what was asked for.
    Positive(u32),
    /// The name, or the type at this name, does not exist.
    Negative(u32),
    /// It is not to be cached: an error, or negative without an SOA record.
    None,
}

impl UpstreamResponse {
    /// Returns how long the answer may be cached by its own records.
    pub fn cache_ttl(&self) -> CacheTtl {
        let records = || self.scan.entries.iter().map(|entry| &entry.record);
        let Some(lowest) = records().map(|record| record.ttl).min() else {
            return CacheTtl::None;
        };
        match self.rcode {
            rcode::NOERROR if self.has_type_asked() => CacheTtl::Positive(lowest),
            rcode::NOERROR | rcode::NXDOMAIN => {
                self.soa_minimum().map_or(CacheTtl::None, |minimum| {
                    CacheTtl::Negative(lowest.min(minimum))
                })
            }
            _ => CacheTtl::None,
        }
    }

    /// Returns whether the answer says that its name does not exist, whatever the type, and would
    /// be the same with another type in its question (RFC 2308 section 5). With an alias in the
    /// answer section it speaks of another name.
    pub fn denies_all_types(&self) -> bool {
        self.rcode == rcode::NXDOMAIN
            && self.answer_count() == 0
            && !self.scan.names.leads_elsewhere
    }

    /// Whether the answer section holds a record of the type asked for, at the end of whatever
    /// chain.
    fn has_type_asked(&self) -> bool {
        let asked = self.question_type();
        self.scan
            .entries
            .iter()
            .take_while(|entry| entry.section == Section::Answer)
            .any(|entry| asked == Some(entry.record.rtype) || asked == Some(rtype::ANY))
    }

    /// The type that was asked for.
    pub(crate) fn question_type(&self) -> Option<u16> {
        let (_, type_and_class) = split_question(self.question());
        u16_at(type_and_class, 0)
    }

    /// MINIMUM of the first SOA record of the authority section.
    fn soa_minimum(&self) -> Option<u32> {
        let soa = self.scan.entries.iter().find(|entry| {
            entry.section == Section::Authority && entry.record.rtype == rtype::SOA
        })?;
        u32_at(&self.body, soa.record.end.checked_sub(MINIMUM_LEN)?)
    }
}
