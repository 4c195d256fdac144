//! Local data: names that the operator gave records to, which are answered here and never forwarded.
//!
//! It is in stage `route`, before the names of special use and the cache. A name with local data is answered from it
//! for every type: what it does not have is denied, so that an address of one family cannot be asked of an upstream
//! because only the other one is set. The data is made outside the path of a query, never changes, and is shared by all
//! workers; a reload replaces it as a whole.
//!
//! [`table`] finds what is stored for a name, [`build`] makes the data, [`answer`] answers from it.

mod answer;
mod build;
mod reverse;
mod table;

pub(crate) use self::answer::Answered;
pub use self::build::{LocalDataBuilder, LocalFault, RecordId, ptr_that_follows};

use dotgate_wire::LocalSet;

pub(crate) use self::reverse::{address_of_reverse, reverse_name};
pub(crate) use self::table::{Table, TableBuilder};
use crate::suffixes::{Labels, Suffix};

/// The most CNAME records that are followed from one name (RFC 1034 section 3.6.2 asks for few).
pub(crate) const CNAMES_MAX: usize = 8;

/// The name is answered here: it has records, or stands between the parent of a wildcard and a name that has.
const IS_ANSWERED: u8 = 1;
/// There is a wildcard right below the name.
const HAS_WILDCARD: u8 = 2;

/// The label of wildcards (RFC 4592 section 2.1.1).
const ASTERISK: &[u8] = b"\x01*";

/// Bytes of a name at most.
const NAME_MAX: usize = 255;

/// Bytes in front of the RDATA of a set: type, TTL, how many records, how many bytes.
const SET_HEAD_LEN: usize = 10;

/// The local data.
pub struct LocalData {
    table: Table,
    has_wildcards: bool,
    /// The TTL of negative answers, in seconds.
    negative_ttl: u32,
    records: usize,
}

impl std::fmt::Debug for LocalData {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_struct("LocalData")
            .field("names", &self.names())
            .finish_non_exhaustive()
    }
}

/// What local data has for a name.
enum Found<'a> {
    /// Nothing: the name is forwarded.
    Nothing,
    /// Nothing, below the parent of a wildcard that does not cover the name (RFC 4592 section 2.2.1): it does not exist.
    /// With the length of the parent's name.
    Missing(usize),
    /// These records, possibly none.
    Records(Records<'a>),
}

/// The records of a name, type by type.
#[derive(Clone, Copy)]
struct Records<'a>(&'a [u8]);

impl LocalData {
    /// How many names have local data, with those of reverse zones that follow from addresses.
    pub fn names(&self) -> usize {
        self.table.len()
    }

    /// How many records there are.
    pub fn records(&self) -> usize {
        self.records
    }

    /// The memory it takes, in bytes.
    pub fn bytes(&self) -> usize {
        self.table.bytes()
    }

    /// Looks a name up.
    fn find(&self, labels: &Labels<'_>) -> Found<'_> {
        let key = self.table.key();
        if self.has_wildcards {
            return self.find_with_wildcards(labels);
        }
        match self.entry(labels.hash(key), labels.from(0)) {
            Some((flags, records)) if flags & IS_ANSWERED != 0 => Found::Records(records),
            Some(_) | None => Found::Nothing,
        }
    }

    fn find_with_wildcards(&self, labels: &Labels<'_>) -> Found<'_> {
        // The longest ancestor that exists; the parent of the last wildcard on the way to it.
        let (mut closest, mut parent) = (None, None);
        for suffix in labels.with_root(self.table.key()) {
            let name = labels.from(suffix.start);
            let entry = self.entry(suffix.hash, name);
            if let Some((flags, records)) = entry
                && suffix.start == 0
                && flags & IS_ANSWERED != 0
            {
                return Found::Records(records);
            }
            if let Some((flags, _)) = entry
                && suffix.start > 0
            {
                let has_wildcard = flags & HAS_WILDCARD != 0;
                let covering = has_wildcard.then_some((suffix, name));
                closest = match dotgate_wire::planted!("wildcards-cover-what-exists") {
                    true => covering.or(closest),
                    false => covering,
                };
                parent = closest.or(parent);
            }
        }
        match (closest, parent) {
            (Some((closest, name)), _) => self.wildcard_below(closest, name),
            (None, Some((_, parent))) => Found::Missing(parent.len()),
            (None, None) => Found::Nothing,
        }
    }

    /// What the wildcard right below a name gives to all names that it covers (RFC 4592 section 3.3.1).
    fn wildcard_below(&self, closest: Suffix, parent: &[u8]) -> Found<'_> {
        let hash = self.table.key().hash_below(closest.hash, ASTERISK);
        let mut name = [0; NAME_MAX];
        let length = ASTERISK.len() + parent.len();
        let Some(wildcard) = name.get_mut(..length) else {
            return Found::Missing(parent.len());
        };
        let (asterisk, rest) = wildcard.split_at_mut(ASTERISK.len());
        asterisk.copy_from_slice(ASTERISK);
        rest.copy_from_slice(parent);
        match self.entry(hash, wildcard) {
            Some((_, records)) => Found::Records(records),
            None => Found::Missing(parent.len()),
        }
    }

    /// What is stored for a name with this hash.
    fn entry(&self, hash: u64, name: &[u8]) -> Option<(u8, Records<'_>)> {
        let stored = self.table.find(hash, name)?;
        let (flags, records) = stored.split_first()?;
        Some((*flags, Records(records)))
    }
}

impl<'a> Records<'a> {
    /// Those of each type.
    fn sets(self) -> impl Iterator<Item = LocalSet<'a>> {
        let (count, mut rest) = self.0.split_first().unwrap_or((&0, &[]));
        (0..*count).map_while(move |_| {
            let (head, behind) = rest.split_first_chunk::<SET_HEAD_LEN>()?;
            let [t0, t1, l0, l1, l2, l3, c0, c1, b0, b1] = *head;
            let length = usize::from(u16::from_be_bytes([b0, b1]));
            let (rdata, behind) = behind.split_at_checked(length)?;
            rest = behind;
            Some(LocalSet {
                rtype: u16::from_be_bytes([t0, t1]),
                ttl: u32::from_be_bytes([l0, l1, l2, l3]),
                count: u16::from_be_bytes([c0, c1]),
                rdata,
            })
        })
    }

    /// Those of one type.
    fn of_type(self, rtype: u16) -> Option<LocalSet<'a>> {
        self.sets().find(|set| set.rtype == rtype)
    }
}
