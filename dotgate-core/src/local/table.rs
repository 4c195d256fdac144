//! What is stored for names, in one piece of memory: each name once, its bytes behind it.
//!
//! An entry is an uncompressed name, which ends at its root label, and what its owner appended; the table holds where
//! entries begin. So a name costs its own bytes, what is stored for it, and 5 to 12 bytes.

use hashbrown::HashTable;
use hashbrown::hash_table::Entry;

use crate::suffixes::SuffixKey;

/// Names and what is stored for each. Made once, then only read.
pub(crate) struct Table {
    bytes: Box<[u8]>,
    places: HashTable<u32>,
    key: SuffixKey,
}

impl Table {
    /// What the hashes of names are keyed with.
    pub(crate) fn key(&self) -> SuffixKey {
        self.key
    }

    /// How many names it has.
    pub(crate) fn len(&self) -> usize {
        self.places.len()
    }

    /// The memory it takes, in bytes.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes.len() + self.places.allocation_size()
    }

    /// The data after `name`, which has this hash. The reader finds its end.
    #[inline]
    pub(crate) fn find(&self, hash: u64, name: &[u8]) -> Option<&[u8]> {
        self.find_with_place(hash, name).map(|(_, found)| found)
    }

    /// The same, and where the name stands.
    #[inline]
    pub(crate) fn find_with_place(&self, hash: u64, name: &[u8]) -> Option<(u32, &[u8])> {
        let is_it = |place: &u32| {
            let entry = self.bytes.get(*place as usize..).unwrap_or_default();
            entry.starts_with(name)
        };
        let place = *self.places.find(hash, is_it)?;
        let found = self.bytes.get(place as usize + name.len()..)?;
        Some((place, found))
    }
}

/// Makes a table, name by name.
pub(crate) struct TableBuilder {
    bytes: Vec<u8>,
    places: HashTable<u32>,
    key: SuffixKey,
}

impl TableBuilder {
    /// Begins one for so many names and about so many bytes.
    pub(crate) fn new(seed: u64, names: usize, bytes: usize) -> TableBuilder {
        TableBuilder {
            bytes: Vec::with_capacity(bytes),
            places: HashTable::with_capacity(names),
            key: SuffixKey::from_seed(seed),
        }
    }

    /// Adds a name that is not there yet; what is stored for it is then appended to what this returns. None if no more
    /// than 4 GiB fit.
    pub(crate) fn add(&mut self, name: &[u8]) -> Option<&mut Vec<u8>> {
        let place = u32::try_from(self.bytes.len()).ok()?;
        let hash = self.key.hash_of(name);
        let (bytes, key) = (&self.bytes, self.key);
        self.places.insert_unique(hash, place, |place| {
            key.hash_of(name_at(bytes, *place as usize))
        });
        self.bytes.extend_from_slice(name);
        Some(&mut self.bytes)
    }

    /// How many names were added.
    pub(crate) fn len(&self) -> usize {
        self.places.len()
    }

    /// The one byte that is stored for a name, and where the name stands. A name that is not there yet is added with 0.
    /// None if no more than 4 GiB fit.
    pub(crate) fn entry(&mut self, name: &[u8]) -> Option<(u32, &mut u8)> {
        let end = u32::try_from(self.bytes.len()).ok()?;
        let hash = self.key.hash_of(name);
        let (bytes, key) = (&self.bytes, self.key);
        let is_it = |place: &u32| {
            let entry = bytes.get(*place as usize..).unwrap_or_default();
            entry.starts_with(name)
        };
        let hash_at = |place: &u32| key.hash_of(name_at(bytes, *place as usize));
        let place = match self.places.entry(hash, is_it, hash_at) {
            Entry::Occupied(found) => *found.get(),
            Entry::Vacant(vacant) => {
                vacant.insert(end);
                self.bytes.extend_from_slice(name);
                self.bytes.push(0);
                end
            }
        };
        let stored = self.bytes.get_mut(place as usize + name.len())?;
        Some((place, stored))
    }

    /// Ends it.
    pub(crate) fn finish(mut self) -> Table {
        let (bytes, key) = (&self.bytes, self.key);
        self.places
            .shrink_to_fit(|place| key.hash_of(name_at(bytes, *place as usize)));
        Table {
            bytes: self.bytes.into_boxed_slice(),
            places: self.places,
            key: self.key,
        }
    }
}

/// The name that begins at a place.
fn name_at(bytes: &[u8], place: usize) -> &[u8] {
    let mut end = place;
    while let Some(length @ 1..) = bytes.get(end) {
        end += 1 + usize::from(*length);
    }
    bytes.get(place..=end).unwrap_or_default()
}
