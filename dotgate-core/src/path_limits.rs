//! How long a response over UDP may be for clients behind links that carry little.
//!
//! Serves `respond`. The system refuses a datagram that is longer than the link to its client carries, and only
//! then is the limit known. It is stored for [`limits::PATH_LIMIT_FOR`], as systems store a path MTU, for
//! [`limits::PATH_LIMITS`] client addresses at most. Almost always it is empty, and then costs nothing.

use std::collections::BTreeMap;
use std::net::IpAddr;

use crate::limits;
use crate::moment::Moment;

/// The limits known.
#[derive(Debug, Default)]
pub(crate) struct PathLimits {
    /// The longest response in bytes for a client, and until when that holds; not dated before the first time is known.
    limits: BTreeMap<IpAddr, (u16, Option<Moment>)>,
    /// When the first of them ends.
    next_end: Option<Moment>,
}

impl PathLimits {
    /// Notes that a response of so many bytes was too long for a client. Other clients' limits go if there is no room.
    pub(crate) fn note_too_long(&mut self, client: IpAddr, length: usize) {
        let Ok(limit) = u16::try_from(length.saturating_sub(1)) else {
            return;
        };
        if self.limits.len() >= limits::PATH_LIMITS && !self.limits.contains_key(&client) {
            self.limits.clear();
        }
        let known = self.limits.entry(client).or_insert((limit, None));
        *known = (known.0.min(limit), None);
        self.next_end = Some(Moment::from_nanos(0));
    }

    /// The longest response for a client, no longer than `max`.
    pub(crate) fn limit(&self, client: IpAddr, max: u16) -> u16 {
        if self.limits.is_empty() {
            return max;
        }
        let known = self.limits.get(&client);
        known.map_or(max, |(limit, _)| max.min(*limit))
    }

    /// Dates new entries, and removes expired ones.
    #[inline(always)]
    pub(crate) fn pass(&mut self, now: Moment) {
        if self.next_end.is_some_and(|end| end <= now) {
            self.expire(now);
        }
    }

    #[inline(never)]
    fn expire(&mut self, now: Moment) {
        for (_, end) in self.limits.values_mut() {
            end.get_or_insert(now + limits::PATH_LIMIT_FOR);
        }
        self.limits
            .retain(|_, (_, end)| end.is_some_and(|end| end > now));
        self.next_end = self.limits.values().filter_map(|(_, end)| *end).min();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CLIENT: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 1));
    const OTHER: IpAddr = IpAddr::V6(std::net::Ipv6Addr::LOCALHOST);

    fn at(seconds: u64) -> Moment {
        Moment::from_nanos(seconds * 1_000_000_000)
    }

    #[test]
    fn the_shortest_limit_holds_for_its_client_until_it_is_forgotten() {
        let mut paths = PathLimits::default();
        paths.note_too_long(CLIENT, 1_232);
        assert_eq!(
            (paths.limit(CLIENT, 1_232), paths.limit(OTHER, 1_232)),
            (1_231, 1_232)
        );
        paths.pass(at(1));
        paths.note_too_long(CLIENT, 1_180);
        paths.note_too_long(CLIENT, 1_200);
        paths.pass(at(100));
        assert_eq!(
            (paths.limit(CLIENT, 1_232), paths.limit(CLIENT, 600)),
            (1_179, 600)
        );
        paths.pass(at(99) + limits::PATH_LIMIT_FOR);
        assert_eq!(paths.limit(CLIENT, 1_232), 1_179);
        paths.pass(at(100) + limits::PATH_LIMIT_FOR);
        assert_eq!(paths.limit(CLIENT, 1_232), 1_232);
        assert!(paths.limits.is_empty() && paths.next_end.is_none());
    }

    #[test]
    fn no_more_clients_are_remembered_than_there_is_room_for() {
        let mut paths = PathLimits::default();
        for number in 0..limits::PATH_LIMITS + 10 {
            let client = std::net::Ipv4Addr::from(u32::try_from(number).unwrap());
            paths.note_too_long(client.into(), 1_000);
            assert!(paths.limits.len() <= limits::PATH_LIMITS);
            assert_eq!(paths.limit(client.into(), 1_232), 999);
        }
    }
}
