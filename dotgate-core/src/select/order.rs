//! The order in which one question is asked at the upstreams of its group.

use crate::limits::GROUP_UPSTREAMS;

/// Places of upstreams in the settings of a group, the preferred one first.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Sequence([u8; GROUP_UPSTREAMS]);

impl Sequence {
    /// That of the settings.
    pub(crate) const AS_CONFIGURED: Sequence = {
        let mut places = [0; GROUP_UPSTREAMS];
        let mut place = 0;
        while place < GROUP_UPSTREAMS {
            places[place] = place as u8;
            place += 1;
        }
        Sequence(places)
    };

    /// Of so many places the one with the lowest rank first; where ranks are equal, as configured.
    pub(super) fn by_rank<R: Copy + Ord>(count: usize, rank: impl Fn(usize) -> R) -> Sequence {
        let ranks: [R; GROUP_UPSTREAMS] = std::array::from_fn(rank);
        let Sequence(mut places) = Sequence::AS_CONFIGURED;
        let own = places.split_at_mut(count.min(GROUP_UPSTREAMS)).0;
        own.sort_by_key(|place| ranks.get(usize::from(*place)).copied());
        Sequence(places)
    }

    /// This place first, then those behind it, then those before it, of so many.
    pub(super) fn from_place(first: usize, count: usize) -> Sequence {
        Sequence::by_rank(count, |place| (place < first, place))
    }

    /// The places of a group of so many upstreams.
    pub(crate) fn places(self, count: usize) -> impl Iterator<Item = usize> + Clone {
        self.0.into_iter().take(count).map(usize::from)
    }

    /// The preferred one.
    pub(crate) fn first(self) -> usize {
        let [first, ..] = self.0;
        usize::from(first)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_place_comes_once() {
        let listed = |order: Sequence, count| order.places(count).collect::<Vec<_>>();
        assert_eq!(listed(Sequence::AS_CONFIGURED, 3), [0, 1, 2]);
        assert_eq!(listed(Sequence::from_place(1, 3), 3), [1, 2, 0]);
        assert_eq!(listed(Sequence::from_place(0, 1), 1), [0]);
        let last = GROUP_UPSTREAMS - 1;
        let full = listed(Sequence::from_place(last, GROUP_UPSTREAMS), GROUP_UPSTREAMS);
        assert_eq!(full[..3], [last, 0, 1]);
        let ranks = [7, 3, 3, 1];
        let ranked = Sequence::by_rank(4, |place| ranks.get(place).copied().unwrap_or(0));
        assert_eq!(listed(ranked, 4), [3, 1, 2, 0]);
    }
}
