//! A name and all its suffixes, hashed in one pass from the root on.
//!
//! The hash is keyed with a random number, and is that of a table which the operator's files alone fill: clients choose
//! what is looked up and never what is stored, so that nobody can make a lookup slow by adding names.

use std::hash::Hasher;

use foldhash::SharedSeed;
use foldhash::fast::FoldHasher;

/// A name has at most 127 labels besides the root.
const LABELS_MAX: usize = 127;

/// The suffixes of an uncompressed name in lower case, the root first and the whole name last.
pub(crate) struct Suffixes<'a> {
    name: &'a [u8],
    starts: [u8; LABELS_MAX],
    /// Labels that no suffix has had yet; none once the last suffix was given.
    left: Option<usize>,
    hasher: FoldHasher<'a>,
}

/// A suffix of a name.
#[derive(Clone, Copy)]
pub(crate) struct Suffix<'a> {
    /// Its bytes, with the root label.
    pub(crate) name: &'a [u8],
    /// Its hash.
    pub(crate) hash: u64,
}

impl<'a> Suffixes<'a> {
    pub(crate) fn of(seed: &'a SharedSeed, name: &'a [u8]) -> Suffixes<'a> {
        let mut starts = [0; LABELS_MAX];
        let (mut at, mut left) = (0, 0);
        while let (Some(&length @ 1..), Some(start)) = (name.get(at), starts.get_mut(left)) {
            // A name has 255 bytes at most.
            *start = at as u8;
            left += 1;
            at += 1 + usize::from(length);
        }
        Suffixes {
            name,
            starts,
            left: Some(left),
            hasher: FoldHasher::with_seed(0, seed),
        }
    }
}

impl<'a> Iterator for Suffixes<'a> {
    type Item = Suffix<'a>;

    #[inline]
    fn next(&mut self) -> Option<Suffix<'a>> {
        let left = self.left?;
        let start_of = |left: usize| self.starts.get(left).map_or(0, |start| usize::from(*start));
        let at = match start_of(left) {
            // Behind the last label stands the root.
            0 if left > 0 => self.name.len().saturating_sub(1),
            at => at,
        };
        let suffix = Suffix {
            name: self.name.get(at..)?,
            hash: self.hasher.finish(),
        };
        self.left = left.checked_sub(1);
        if let Some(left) = self.left {
            let next = start_of(left);
            self.hasher.write(self.name.get(next..at)?);
        }
        Some(suffix)
    }
}

/// The hash of a whole name.
pub(crate) fn hash_of(seed: &SharedSeed, name: &[u8]) -> u64 {
    let last = Suffixes::of(seed, name).last();
    last.map_or(0, |suffix| suffix.hash)
}

/// The hash of `label` (with its length) below a name with this hash.
pub(crate) fn hash_below(seed: &SharedSeed, hash: u64, label: &[u8]) -> u64 {
    let mut hasher = FoldHasher::with_seed(hash, seed);
    hasher.write(label);
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_suffix_is_given_once_with_the_hash_that_it_has_as_a_name() {
        let seed = SharedSeed::from_u64(7);
        let name = b"\x03www\x07example\x03com\0";
        let found: Vec<Suffix<'_>> = Suffixes::of(&seed, name).collect();
        let names: Vec<&[u8]> = found.iter().map(|suffix| suffix.name).collect();
        assert_eq!(names, [&name[16..], &name[12..], &name[4..], &name[..]]);
        for suffix in &found {
            assert_eq!(suffix.hash, hash_of(&seed, suffix.name));
        }
        let www = hash_below(&seed, found[2].hash, b"\x03www");
        assert_eq!(www, found[3].hash);
    }

    #[test]
    fn the_root_and_the_longest_names_have_their_suffixes() {
        let seed = SharedSeed::from_u64(7);
        assert_eq!(Suffixes::of(&seed, b"\0").count(), 1);
        let longest = [b"\x01a".repeat(127), vec![0]].concat();
        let found: Vec<Suffix<'_>> = Suffixes::of(&seed, &longest).collect();
        assert_eq!(found.len(), 128);
        assert!(
            found
                .iter()
                .enumerate()
                .all(|(depth, suffix)| suffix.name.len() == 1 + 2 * depth)
        );
        let hashes: std::collections::HashSet<u64> = found.iter().map(|it| it.hash).collect();
        assert_eq!(hashes.len(), 128);
    }
}
