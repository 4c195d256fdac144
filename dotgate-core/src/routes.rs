//! Stage `route`: which group of upstreams serves this name?
//!
//! It is between `admit` and `cache`. A route maps a suffix, which ends at a label, to a group; the longest suffix
//! wins, and every other name belongs to the default group. The search goes from the root of the name to its first
//! label and ends where no suffix continues, so that it costs nothing without routes and little with thousands.
//! Names are compared by hashes while it goes and as a whole at its end: a client that makes hashes collide has its
//! name searched for by comparison. Never touches the network. `routes::reverse` has the suffixes of address prefixes.

mod reverse;

use dotgate_wire::Question;

pub use self::reverse::reverse_zones;
use crate::suffixes::{Labels, Starts, Suffix, SuffixKey, padded};

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

/// The root in wire format: the suffix of all names.
const ROOT: &[u8] = b"\0";

/// All routes but the default one.
#[derive(Clone, Debug)]
pub struct RouteTable {
    /// The place of the group of all names without a route: another than the first while a portal window has them all.
    default: usize,
    /// Sorted by name.
    suffixes: Vec<(Box<[u8]>, usize)>,
    /// An open table of all suffixes and of the suffixes of these, at most half full.
    nodes: Vec<Node>,
    key: SuffixKey,
}

/// A suffix of a route, or one that such a suffix has itself.
#[derive(Clone, Copy, Debug, Default)]
struct Node {
    /// Its hash. 0 where there is no node.
    hash: u64,
    /// Its route, by a number from 1 among all. 0 if only longer suffixes have one.
    route: u32,
}

impl Default for RouteTable {
    fn default() -> RouteTable {
        RouteTable {
            default: 0,
            suffixes: Vec::new(),
            nodes: Vec::new(),
            key: SuffixKey::from_seed(0),
        }
    }
}

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
        // A seed under which no two suffixes have the same hash: the first one, but for one table in 10^11.
        let mut seed = 0;
        while !table.suffixes.is_empty() && !table.fill() {
            seed += 1;
            table.key = SuffixKey::from_seed(seed);
        }
        table
    }

    /// The same while a portal window is open: those of `names` that no route has go to the group at `place`, and with the root
    /// among them every name that no route has.
    #[must_use]
    pub fn with_portal<'n>(
        self,
        place: usize,
        names: impl IntoIterator<Item = &'n [u8]>,
    ) -> RouteTable {
        let mut default = self.default;
        let mut suffixes = self.suffixes.clone();
        for name in names {
            if name == ROOT {
                default = place;
            } else if !self.has(name) || dotgate_wire::planted!("portal-takes-routed-names") {
                suffixes.push((name.into(), place));
            }
        }
        RouteTable {
            default,
            ..RouteTable::new(suffixes)
        }
    }

    /// Whether a name (uncompressed, lower case) has a route.
    fn has(&self, name: &[u8]) -> bool {
        let bytes = padded(name);
        let route = self.search(&Labels::of(&bytes, &mut Starts::new()));
        route.suffix_len > ROOT.len()
    }

    /// All suffixes with the places of their groups; of two of which one ends in the other, the longer comes first.
    pub fn suffixes(&self) -> Vec<(&[u8], usize)> {
        let all = self.suffixes.iter();
        let mut all: Vec<(&[u8], usize)> = all.map(|(name, group)| (&**name, *group)).collect();
        all.sort_by_key(|(name, _)| std::cmp::Reverse(name.len()));
        all
    }

    fn default_route(&self) -> Route {
        Route {
            group: self.default,
            suffix_len: ROOT.len(),
        }
    }

    /// The route of a question: that with the longest suffix of its name.
    pub fn find(&self, question: &Question) -> Route {
        if self.nodes.is_empty() {
            return self.default_route();
        }
        self.search(&Labels::of_question(question, &mut Starts::new()))
    }

    #[inline]
    fn search(&self, labels: &Labels<'_>) -> Route {
        let mut longest = 0;
        for Suffix { hash, .. } in labels.suffixes(self.key) {
            let Some(route) = self.route_at(hash) else {
                break;
            };
            let has_one = longest != 0 && dotgate_wire::planted!("shorter-suffixes-win");
            if route != 0 && !has_one {
                longest = route;
            }
        }
        let Some(place) = longest.checked_sub(1) else {
            return self.default_route();
        };
        match self.suffixes.get(place as usize) {
            Some((suffix, group)) if labels.end_with(suffix) => Route {
                group: *group,
                suffix_len: suffix.len(),
            },
            Some(_) | None => self.search_by_comparison(labels),
        }
    }

    /// The same for a name with the hash of another one.
    #[cold]
    fn search_by_comparison(&self, labels: &Labels<'_>) -> Route {
        let ends = labels.starts().map(|start| labels.from(start));
        let mut found = ends.filter_map(|end| {
            let place = self
                .suffixes
                .binary_search_by(|(suffix, _)| (**suffix).cmp(end));
            let (suffix, group) = self.suffixes.get(place.ok()?)?;
            Some(Route {
                group: *group,
                suffix_len: suffix.len(),
            })
        });
        found.next().unwrap_or_else(|| self.default_route())
    }

    /// The route of the node with this hash, 0 if only longer suffixes have one; none if there is no such node.
    #[inline]
    fn route_at(&self, hash: u64) -> Option<u32> {
        let mask = self.nodes.len().wrapping_sub(1);
        let mut place = hash as usize;
        loop {
            let node = self.nodes.get(place & mask)?;
            if node.hash == hash {
                return Some(node.route);
            }
            if node.hash == 0 {
                return None;
            }
            place += 1;
        }
    }

    /// Makes the table of nodes. False if two suffixes have the same hash, or one has none.
    fn fill(&mut self) -> bool {
        let mut ends: Vec<(u64, &[u8], u32)> = Vec::new();
        for (number, (name, _)) in (1..).zip(&self.suffixes) {
            let bytes = padded(name);
            for Suffix { start, hash } in Labels::of(&bytes, &mut Starts::new()).suffixes(self.key)
            {
                let route = if start == 0 { number } else { 0 };
                ends.push((hash, name.get(start..).unwrap_or_default(), route));
            }
        }
        // Of one end that is the suffix of a route too, that comes last and stays.
        ends.sort_unstable();
        ends.dedup_by(|next, last| {
            let is_same = (next.0, next.1) == (last.0, last.1);
            if is_same {
                last.2 = next.2;
            }
            is_same
        });
        self.nodes = vec![Node::default(); (2 * ends.len()).next_power_of_two()];
        for (hash, _, route) in &ends {
            insert(
                &mut self.nodes,
                Node {
                    hash: *hash,
                    route: *route,
                },
            );
        }
        ends.first().is_none_or(|(hash, _, _)| *hash != 0)
            && ends.windows(2).all(|pair| match pair {
                [one, other] => one.0 != other.0,
                _ => true,
            })
    }
}

/// Puts a node in the first free place from its own on.
fn insert(nodes: &mut [Node], new: Node) {
    let mask = nodes.len() - 1;
    let mut place = new.hash as usize;
    loop {
        match nodes.get_mut(place & mask) {
            Some(node) if node.hash != 0 => place += 1,
            Some(node) => {
                *node = new;
                return;
            }
            None => return,
        }
    }
}

#[cfg(test)]
mod tests;
