//! A name and its suffixes, hashed in one pass from the root on: for routes, local data and lists.
//!
//! The hash of a suffix is that of the next shorter one, extended by a label. It is keyed with a random number, so that
//! nobody can choose names that share one. A caller that finds an entry by its hash compares the name.

use dotgate_wire::{PADDED_LEN, Question};

/// Labels of a name at most, the root left out.
const LABELS_MAX: usize = 127;

/// Bytes that are hashed at once.
const WORD: u8 = 8;

/// Odd numbers without a pattern in their bits, for keys.
const ODD: [u64; 2] = [0x9e37_79b9_7f4a_7c15, 0xc4ce_b9fe_1a85_ec53];

/// What hashes are keyed with.
#[derive(Clone, Copy, Debug)]
pub(crate) struct SuffixKey {
    /// The hash of the root.
    root: u64,
    /// What each word is multiplied by.
    factor: u64,
}

impl SuffixKey {
    /// One for each seed, which is random.
    pub(crate) fn from_seed(seed: u64) -> SuffixKey {
        let [first, second] = ODD;
        let root = fold(seed ^ first, second);
        // An odd factor loses no bit.
        let factor = fold(root ^ second, first) | 1;
        SuffixKey { root, factor }
    }

    /// The hash of a whole name.
    pub(crate) fn hash_of(self, name: &[u8]) -> u64 {
        Labels::of(&padded(name), &mut Starts::new()).hash(self)
    }

    /// The hash of `label`, with its length, below a name with this hash.
    pub(crate) fn hash_below(self, hash: u64, label: &[u8]) -> u64 {
        // It fits into a byte.
        extend(self, hash, &padded(label), (0, label.len() as u8))
    }
}

/// Room for where the labels of a name begin. Its owner is the caller of [`Labels::of`], because to return it is to copy it.
pub(crate) struct Starts([u8; LABELS_MAX]);

impl Starts {
    #[inline]
    pub(crate) fn new() -> Starts {
        Starts([0; LABELS_MAX])
    }
}

/// Where the labels of a name begin.
pub(crate) struct Labels<'n> {
    bytes: &'n [u8; PADDED_LEN],
    /// The first label comes first.
    starts: &'n [u8],
    /// Where its root label is.
    end: u8,
}

/// A suffix of a name.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Suffix {
    /// Where it begins.
    pub(crate) start: usize,
    pub(crate) hash: u64,
}

impl<'n> Labels<'n> {
    /// Those of the name of a question.
    #[inline]
    pub(crate) fn of_question(question: &'n Question, room: &'n mut Starts) -> Labels<'n> {
        Labels::of(question.padded(), room)
    }

    /// Those of a name at the start of `bytes`, uncompressed and in lower case.
    #[inline]
    pub(crate) fn of(bytes: &'n [u8; PADDED_LEN], room: &'n mut Starts) -> Labels<'n> {
        let (mut end, mut count) = (0_u8, 0);
        while let (Some(&length @ 1..), Some(start)) =
            (bytes.get(usize::from(end)), room.0.get_mut(count))
        {
            *start = end;
            count += 1;
            // A name has 255 bytes at most.
            end = end.wrapping_add(length).wrapping_add(1);
        }
        let starts = room.0.get(..count).unwrap_or_default();
        Labels { bytes, starts, end }
    }

    /// How many labels the name has, the root left out.
    #[inline]
    pub(crate) fn count(&self) -> usize {
        self.starts.len()
    }

    /// The end of the name that begins at `start`.
    #[inline]
    pub(crate) fn from(&self, start: usize) -> &'n [u8] {
        let name = self.bytes.get(..=usize::from(self.end));
        name.and_then(|name| name.get(start..)).unwrap_or_default()
    }

    /// Whether the name ends with these bytes.
    #[inline]
    pub(crate) fn end_with(&self, suffix: &[u8]) -> bool {
        let end = usize::from(self.end) + 1;
        let start = end.wrapping_sub(suffix.len());
        self.bytes.get(start..end) == Some(suffix)
    }

    /// The root, which all names have as a suffix.
    #[inline]
    pub(crate) fn root(&self, key: SuffixKey) -> Suffix {
        Suffix {
            start: usize::from(self.end),
            hash: key.root,
        }
    }

    /// Where the labels begin, from the first one on.
    pub(crate) fn starts(&self) -> impl Iterator<Item = usize> {
        self.starts.iter().map(|start| usize::from(*start))
    }

    /// All suffixes but the root, the shortest first.
    #[inline]
    pub(crate) fn suffixes(&self, key: SuffixKey) -> impl Iterator<Item = Suffix> {
        let (mut end, mut hash) = (self.end, key.root);
        self.starts.iter().rev().map(move |start| {
            hash = extend(key, hash, self.bytes, (*start, end));
            end = *start;
            let start = usize::from(*start);
            Suffix { start, hash }
        })
    }

    /// All suffixes, the root first.
    #[inline]
    pub(crate) fn with_root(&self, key: SuffixKey) -> impl Iterator<Item = Suffix> {
        std::iter::once(self.root(key)).chain(self.suffixes(key))
    }

    /// The hash of the whole name.
    #[inline]
    pub(crate) fn hash(&self, key: SuffixKey) -> u64 {
        let last = self.suffixes(key).last();
        last.map_or(key.root, |whole| whole.hash)
    }
}

/// A name with zeros behind it.
#[inline]
pub(crate) fn padded(name: &[u8]) -> [u8; PADDED_LEN] {
    let mut bytes = [0; PADDED_LEN];
    if let Some(room) = bytes.get_mut(..name.len()) {
        room.copy_from_slice(name);
    }
    bytes
}

/// The hash of a suffix that begins at `start`, made from that of the one that begins at `end`. Labels have their length
/// in front, so that words which overlap, or lack what lies behind, still tell them apart.
#[inline]
fn extend(key: SuffixKey, mut hash: u64, bytes: &[u8; PADDED_LEN], (start, end): (u8, u8)) -> u64 {
    let length = end.wrapping_sub(start);
    if length <= WORD {
        // Without what lies behind the label, which has two bytes at least with its length.
        let word = word(bytes, start) << (u64::from(WORD - length) * 8 % 64);
        return fold(hash ^ word, key.factor);
    }
    let mut at = start;
    while end.wrapping_sub(at) > 2 * WORD {
        hash = fold(hash ^ word(bytes, at), key.factor);
        at = at.wrapping_add(WORD);
    }
    let last = word(bytes, end.wrapping_sub(WORD));
    fold(hash ^ word(bytes, at), last ^ key.factor)
}

/// The bytes from `at`: there is a word behind the longest name.
#[inline]
fn word(bytes: &[u8; PADDED_LEN], at: u8) -> u64 {
    let chunk = bytes.get(usize::from(at)..).and_then(<[u8]>::first_chunk);
    chunk.map_or(0, |chunk| u64::from_le_bytes(*chunk))
}

/// The two halves of a product together, of which each has all bits of both factors.
#[inline]
fn fold(one: u64, other: u64) -> u64 {
    let product = u128::from(one) * u128::from(other);
    product as u64 ^ (product >> u64::BITS) as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_suffix_is_given_once_with_the_hash_that_it_has_as_a_name() {
        let key = SuffixKey::from_seed(7);
        let name = dotgate_message::wire_name("www.example.com");
        let bytes = padded(&name);
        let mut room = Starts::new();
        let labels = Labels::of(&bytes, &mut room);
        let found: Vec<Suffix> = labels.suffixes(key).collect();
        let starts: Vec<usize> = found.iter().map(|suffix| suffix.start).collect();
        assert_eq!(starts, [12, 4, 0]);
        assert_eq!(labels.starts().collect::<Vec<_>>(), [0, 4, 12]);
        assert_eq!(labels.from(12), &name[12..]);
        assert_eq!((labels.count(), labels.from(0)), (3, &*name));
        for suffix in labels.with_root(key) {
            assert_eq!(suffix.hash, key.hash_of(&name[suffix.start..]));
        }
        let www = key.hash_below(found[1].hash, b"\x03www");
        assert_eq!(www, found[2].hash);
        assert_eq!(www, labels.hash(key));
    }

    #[test]
    fn the_root_and_the_longest_names_have_their_suffixes() {
        let key = SuffixKey::from_seed(7);
        assert_eq!(
            Labels::of(&padded(b"\0"), &mut Starts::new())
                .suffixes(key)
                .count(),
            0
        );
        let longest = padded(&[b"\x01a".repeat(127), vec![0]].concat());
        let found: Vec<Suffix> = Labels::of(&longest, &mut Starts::new())
            .suffixes(key)
            .collect();
        let starts: Vec<usize> = found.iter().map(|suffix| suffix.start).collect();
        assert_eq!(starts, (0..127).rev().map(|at| 2 * at).collect::<Vec<_>>());
        let hashes: std::collections::HashSet<u64> = found.iter().map(|it| it.hash).collect();
        assert_eq!(hashes.len(), 127);
    }

    /// Nothing behind a name is part of its hash, and every byte of it is, whatever the length of its labels.
    #[test]
    fn a_hash_depends_on_each_byte_of_the_name_and_on_nothing_else() {
        let key = SuffixKey::from_seed(7);
        for length in 1..=63_usize {
            let name = dotgate_message::wire_name(&format!("{}.ab", "x".repeat(length)));
            let hash = key.hash_of(&name);
            let mut followed = padded(&name);
            followed[name.len()..].fill(0xff);
            assert_eq!(Labels::of(&followed, &mut Starts::new()).hash(key), hash);
            for at in (1..=length).chain([length + 2, length + 3]) {
                let mut other = name.clone();
                other[at] = b'y';
                assert_ne!(key.hash_of(&other), hash, "{length} {at}");
            }
            assert_ne!(SuffixKey::from_seed(8).hash_of(&name), hash);
        }
    }
}
