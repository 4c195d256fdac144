//! Things that are due at some moment, in the order of time.

use std::collections::VecDeque;

use crate::moment::Moment;

/// A queue of keys, each with its deadline. Most pushes are due last, which costs one step; a push that is due earlier
/// costs a search. That happens for a while after a time-out has become shorter.
pub(crate) struct DueQueue<K> {
    queue: VecDeque<(Moment, K)>,
}

impl<K> Default for DueQueue<K> {
    fn default() -> DueQueue<K> {
        DueQueue {
            queue: VecDeque::new(),
        }
    }
}

impl<K: Copy> DueQueue<K> {
    /// Adds `key`, behind those that are due at the same moment.
    pub(crate) fn push(&mut self, due: Moment, key: K) {
        if self.queue.back().is_none_or(|(last, _)| *last <= due) {
            self.queue.push_back((due, key));
        } else {
            let place = self.queue.partition_point(|(other, _)| *other <= due);
            self.queue.insert(place, (due, key));
        }
    }

    /// Takes the first key if it is due at `now`.
    pub(crate) fn pop_due(&mut self, now: Moment) -> Option<K> {
        let (due, key) = *self.queue.front()?;
        if due > now {
            return None;
        }
        self.queue.pop_front();
        Some(key)
    }

    /// Drops keys from the front while `is_gone` says so, and returns the first that is not.
    pub(crate) fn first_left(&mut self, is_gone: impl Fn(K) -> bool) -> Option<K> {
        while let Some((_, key)) = self.queue.front() {
            if !is_gone(*key) {
                return Some(*key);
            }
            self.queue.pop_front();
        }
        None
    }

    /// When the first key is due.
    pub(crate) fn next(&self) -> Option<Moment> {
        self.queue.front().map(|(due, _)| *due)
    }

    /// Changes the deadline of every key; `change` keeps their order.
    pub(crate) fn move_all(&mut self, change: impl Fn(Moment) -> Moment) {
        for (due, _) in &mut self.queue {
            *due = change(*due);
        }
    }

    /// The keys in order.
    pub(crate) fn keys(&self) -> impl Iterator<Item = K> {
        self.queue.iter().map(|(_, key)| *key)
    }

    /// How many there are.
    pub(crate) fn len(&self) -> usize {
        self.queue.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(nanos: u64) -> Moment {
        Moment::from_nanos(nanos)
    }

    #[test]
    fn keys_come_out_when_they_are_due_in_the_order_of_time() {
        let mut queue = DueQueue::default();
        for (due, key) in [(10, 'a'), (30, 'b'), (20, 'c'), (20, 'd')] {
            queue.push(at(due), key);
        }
        assert_eq!(queue.next(), Some(at(10)));
        assert_eq!(queue.pop_due(at(9)), None);
        let due: Vec<char> = std::iter::from_fn(|| queue.pop_due(at(20))).collect();
        assert_eq!(due, ['a', 'c', 'd']);
        assert_eq!((queue.next(), queue.len()), (Some(at(30)), 1));
    }

    #[test]
    fn keys_of_what_is_gone_are_dropped_from_the_front() {
        let mut queue = DueQueue::default();
        for (due, key) in [(1, 'a'), (2, 'b'), (3, 'c')] {
            queue.push(at(due), key);
        }
        assert_eq!(queue.first_left(|key| key != 'b'), Some('b'));
        queue.move_all(|due| at(due.nanos() + 5));
        assert_eq!(queue.next(), Some(at(7)));
        assert!(queue.keys().eq(['b', 'c']));
    }
}
