//! Round robin with weights: of two upstreams with weights 3 and 1 the first one gets three of four questions, and they
//! alternate as evenly as they can.

use crate::limits::GROUP_UPSTREAMS;

/// What each upstream of a group is due; the sum is zero.
#[derive(Debug, Default)]
pub(super) struct Balance([i32; GROUP_UPSTREAMS]);

impl Balance {
    /// The place whose turn it is, of these places with their weights. None if there are none.
    pub(super) fn next(&mut self, candidates: impl Iterator<Item = (usize, u8)>) -> Option<usize> {
        let mut best: Option<(usize, i32)> = None;
        let mut total = 0;
        for (place, weight) in candidates {
            let due = self.0.get_mut(place)?;
            *due += i32::from(weight);
            total += i32::from(weight);
            if best.is_none_or(|(_, most)| *due > most) {
                best = Some((place, *due));
            }
        }
        let (place, _) = best?;
        *self.0.get_mut(place)? -= total;
        Some(place)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn turns(balance: &mut Balance, weights: &[(usize, u8)], count: usize) -> Vec<usize> {
        let next = |_| balance.next(weights.iter().copied()).unwrap();
        (0..count).map(next).collect()
    }

    #[test]
    fn shares_follow_weights_and_turns_are_spread() {
        let mut balance = Balance::default();
        let equal = [(0, 1), (1, 1), (2, 1)];
        assert_eq!(turns(&mut balance, &equal, 6), [0, 1, 2, 0, 1, 2]);
        let unequal = [(0, 3), (1, 1)];
        assert_eq!(turns(&mut balance, &unequal, 8), [0, 0, 1, 0, 0, 0, 1, 0]);
        assert_eq!(balance.next(std::iter::empty()), None);
    }

    #[test]
    fn one_that_was_away_gets_no_more_than_its_share_on_return() {
        let mut balance = Balance::default();
        turns(&mut balance, &[(0, 1), (1, 1)], 101);
        let back = turns(&mut balance, &[(0, 1), (1, 1), (2, 1)], 30);
        assert_eq!(back.iter().filter(|place| **place == 2).count(), 10);
    }
}
