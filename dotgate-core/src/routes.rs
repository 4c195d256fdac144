//! Stage `route`: which group of upstreams serves this name?
//!
//! It is between `admit` and `cache`. A route maps a suffix, which ends at a label, to a group; the longest suffix
//! wins, and every other name belongs to the default group. The search goes from the root of the name to its first
//! label and ends where no suffix continues, so that it costs nothing without routes and little with thousands.
//! Names are compared by hashes while it goes and as a whole at its end: a client that makes hashes collide has its
//! name searched for by comparison. Never touches the network. `routes::reverse` has the suffixes of address prefixes.

mod reverse;

use dotgate_wire::{QUESTION_MAX, Question};

pub use self::reverse::reverse_zones;

/// The number of a route in the cache and of questions in flight. It stands for one group with one list of upstreams
/// as long as the process lives, so that what was cached for a route is never found through another one.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct RouteId(pub u16);

impl RouteId {
    /// The route of all names that no other route has.
    pub const DEFAULT: RouteId = RouteId(0);
}

/// Where a question goes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Route {
    /// The place of its group in [`crate::Settings::groups`].
    pub group: usize,
    /// Bytes of the suffix in wire format; that of the default route has one.
    pub suffix_len: usize,
}

impl Route {
    const DEFAULT: Route = Route {
        group: 0,
        suffix_len: 1,
    };
}

/// All routes but the default one.
#[derive(Clone, Debug, Default)]
pub struct RouteTable {
    /// Sorted by name.
    suffixes: Vec<(Box<[u8]>, usize)>,
    /// An open table of all suffixes and of the suffixes of these, at most half full.
    nodes: Vec<Node>,
    /// The hash of the root.
    seed: u64,
    /// Bits of a hash that do not choose its place.
    shift: u32,
}

/// A suffix of a route, or one that such a suffix has itself.
#[derive(Clone, Copy, Debug, Default)]
struct Node {
    hash: u64,
    kind: Kind,
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Default)]
enum Kind {
    #[default]
    Empty,
    /// Longer suffixes have routes.
    Inner,
    /// This suffix has one, by its place among all.
    Suffix(u32),
}

/// Labels of a name, at most.
const LABELS: usize = 128;

/// Bytes that are hashed at once.
const WORD: usize = 8;

/// An odd number without a pattern in its bits.
const MULTIPLIER: u64 = 0xc4ce_b9fe_1a85_ec53;

impl RouteTable {
    /// Routes from suffixes (uncompressed, lower case, with their root label) to the places of their groups in
    /// [`crate::Settings::groups`]. Of one suffix that is there twice, the first counts.
    pub fn new(routes: impl IntoIterator<Item = (Box<[u8]>, usize)>) -> RouteTable {
        let mut suffixes: Vec<(Box<[u8]>, usize)> = routes.into_iter().collect();
        suffixes.sort_by(|one, other| one.0.cmp(&other.0));
        suffixes.dedup_by(|one, other| one.0 == other.0);
        let mut table = RouteTable {
            suffixes,
            ..RouteTable::default()
        };
        // A seed under which no two suffixes have the same hash: the first one, but for one table in 10^13.
        while !table.suffixes.is_empty() && !table.fill() {
            table.seed += 1;
        }
        table
    }

    /// All suffixes with the places of their groups; of two of which one ends in the other, the longer comes first.
    pub fn suffixes(&self) -> Vec<(&[u8], usize)> {
        let all = self.suffixes.iter();
        let mut all: Vec<(&[u8], usize)> = all.map(|(name, group)| (&**name, *group)).collect();
        all.sort_by_key(|(name, _)| std::cmp::Reverse(name.len()));
        all
    }

    /// The route of a question: that with the longest suffix of its name.
    pub fn find(&self, question: &Question) -> Route {
        if self.nodes.is_empty() {
            return Route::DEFAULT;
        }
        self.search(question)
    }

    fn search(&self, question: &Question) -> Route {
        let bytes = question.padded();
        let mut starts = [0_u8; LABELS];
        let mut labels = 0;
        let mut at = 0;
        while let (Some(&length @ 1..), Some(start)) = (bytes.get(at), starts.get_mut(labels)) {
            // A name has 255 bytes at most.
            *start = at as u8;
            labels += 1;
            at += 1 + usize::from(length);
        }
        let mut hash = self.seed;
        let mut longest = None;
        let mut end = at;
        for start in starts.get(..labels).unwrap_or_default().iter().rev() {
            let start = usize::from(*start);
            hash = extend(hash, bytes, start, end);
            end = start;
            match self.node(hash) {
                Kind::Empty => break,
                Kind::Inner => {}
                Kind::Suffix(number) => longest = Some(number),
            }
        }
        let Some(number) = longest else {
            return Route::DEFAULT;
        };
        match self.suffixes.get(number as usize) {
            Some((suffix, group)) if question.name().ends_with(suffix) => Route {
                group: *group,
                suffix_len: suffix.len(),
            },
            Some(_) | None => self.search_by_comparison(question.name(), &starts),
        }
    }

    /// The same for a name with the hash of another one.
    #[cold]
    fn search_by_comparison(&self, name: &[u8], starts: &[u8]) -> Route {
        let ends = starts
            .iter()
            .filter_map(|start| name.get(usize::from(*start)..));
        let mut found = ends.filter_map(|end| {
            let place = self
                .suffixes
                .binary_search_by(|(held, _)| (**held).cmp(end));
            let (suffix, group) = self.suffixes.get(place.ok()?)?;
            Some(Route {
                group: *group,
                suffix_len: suffix.len(),
            })
        });
        found.next().unwrap_or(Route::DEFAULT)
    }

    fn node(&self, hash: u64) -> Kind {
        let mut place = place(hash, self.shift);
        loop {
            match self.nodes.get(place) {
                Some(node) if node.hash == hash || node.kind == Kind::Empty => return node.kind,
                Some(_) => place += 1,
                None => place = 0,
            }
        }
    }

    /// Makes the table of nodes. False if two suffixes have the same hash.
    fn fill(&mut self) -> bool {
        let mut ends: Vec<(u64, &[u8], Kind)> = Vec::new();
        for (number, (name, _)) in (0..).zip(&self.suffixes) {
            let mut padded = [0; QUESTION_MAX];
            for (to, from) in padded.iter_mut().zip(name) {
                *to = *from;
            }
            let mut hash = self.seed;
            let mut end = name.len().saturating_sub(1);
            for start in label_starts(name).into_iter().rev() {
                hash = extend(hash, &padded, start, end);
                end = start;
                let kind = if start == 0 {
                    Kind::Suffix(number)
                } else {
                    Kind::Inner
                };
                ends.push((hash, name.get(start..).unwrap_or_default(), kind));
            }
        }
        // Of one end that is a suffix of a route too, that comes last and stays.
        ends.sort_unstable();
        ends.dedup_by(|next, held| {
            let is_same = (next.0, next.1) == (held.0, held.1);
            if is_same {
                held.2 = next.2;
            }
            is_same
        });
        let bits = (2 * ends.len()).next_power_of_two().ilog2().max(1);
        self.shift = u64::BITS - bits;
        self.nodes = vec![Node::default(); 1 << bits];
        for (hash, _, kind) in &ends {
            insert(
                &mut self.nodes,
                self.shift,
                Node {
                    hash: *hash,
                    kind: *kind,
                },
            );
        }
        ends.windows(2).all(|pair| match pair {
            [one, other] => one.0 != other.0,
            _ => true,
        })
    }
}

fn place(hash: u64, shift: u32) -> usize {
    usize::try_from(hash >> shift).unwrap_or_default()
}

/// Puts a node in the first free place from its own on.
fn insert(nodes: &mut [Node], shift: u32, new: Node) {
    let mut place = place(new.hash, shift);
    loop {
        match nodes.get_mut(place) {
            Some(node) if node.kind == Kind::Empty => {
                *node = new;
                return;
            }
            Some(_) => place += 1,
            None => place = 0,
        }
    }
}

/// Where the labels of a name begin, the root left out.
fn label_starts(name: &[u8]) -> Vec<usize> {
    let mut starts = Vec::new();
    let mut at = 0;
    while let Some(&length @ 1..) = name.get(at) {
        starts.push(at);
        at += 1 + usize::from(length);
    }
    starts
}

/// The hash of a suffix that begins at `start`, made from that of the one that begins at `end`. Labels have their length
/// in front, so that words which overlap, or lack what lies behind, still tell them apart.
#[inline]
fn extend(mut hash: u64, bytes: &[u8; QUESTION_MAX], start: usize, end: usize) -> u64 {
    let length = end - start;
    if length <= WORD {
        // Without what lies behind the label, which has two bytes at least with its length.
        return mix(
            hash,
            word(bytes, start) << (u64::BITS as usize - 8 * length),
            MULTIPLIER,
        );
    }
    let mut at = start;
    while end - at > 2 * WORD {
        hash = mix(hash, word(bytes, at), MULTIPLIER);
        at += WORD;
    }
    mix(hash, word(bytes, at), word(bytes, end - WORD) ^ MULTIPLIER)
}

/// The bytes from `at`.
#[inline]
fn word(bytes: &[u8; QUESTION_MAX], at: usize) -> u64 {
    match bytes.get(at..at + WORD).and_then(<[u8]>::first_chunk) {
        Some(chunk) => u64::from_le_bytes(*chunk),
        None => last_word(bytes, at),
    }
}

/// The bytes from where fewer than a word are left, zeros behind the last one.
#[cold]
fn last_word(bytes: &[u8; QUESTION_MAX], at: usize) -> u64 {
    let mut chunk = [0; WORD];
    for (to, from) in chunk.iter_mut().zip(bytes.iter().skip(at)) {
        *to = *from;
    }
    u64::from_le_bytes(chunk)
}

/// Mixes a word into a hash: the two halves of a product, of which each has all bits of both factors.
#[inline]
fn mix(hash: u64, word: u64, factor: u64) -> u64 {
    let product = u128::from(hash ^ word) * u128::from(factor);
    product as u64 ^ (product >> u64::BITS) as u64
}

#[cfg(test)]
mod tests;
