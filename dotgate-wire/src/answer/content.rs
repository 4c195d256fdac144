//! What a filter reads of an answer: the names that its aliases lead to, and its addresses.
//!
//! Read from a loaded answer; changes nothing. Limits: [`ALIASES_MAX`] alias records. Follows RFC 9460 section 7.3
//! (addresses in HTTPS and SVCB records).

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::UpstreamResponse;
use super::scan::Entry;
use crate::bytes::{length_u8, u16_at};
use crate::consts::{rclass, rtype};
use crate::name::{self, Labels, NAME_MAX};
use crate::records::Section;

/// The most alias records whose targets are read. Resolvers follow 8 to 17.
const ALIASES_MAX: usize = 64;

/// Parameters of HTTPS and SVCB records that hold addresses (RFC 9460 section 14.3.2).
const IPV4_HINT: u16 = 4;
const IPV6_HINT: u16 = 6;

impl UpstreamResponse {
    /// Returns whether the answer section has a record that leads to another name.
    pub fn has_alias(&self) -> bool {
        self.aliases().next().is_some()
    }

    /// Returns whether `is_wanted` holds for a name, uncompressed and in lower case, that a CNAME or DNAME record of the
    /// answer section leads to, or whether there are more of these than anybody follows.
    pub fn any_target(&self, mut is_wanted: impl FnMut(&[u8]) -> bool) -> bool {
        let mut aliases = self.aliases();
        let mut buffer = [0; NAME_MAX];
        let mut is_target = |entry: &Entry| {
            let target = uncompressed(self.body(), entry.record.rdata_at, &mut buffer);
            is_wanted(target)
        };
        aliases.by_ref().take(ALIASES_MAX).any(&mut is_target) || aliases.next().is_some()
    }

    /// Returns whether `is_wanted` holds for an address in a record of the answer or additional section: of A and AAAA
    /// records, and the hints of HTTPS and SVCB records.
    pub fn any_address(&self, mut is_wanted: impl FnMut(IpAddr) -> bool) -> bool {
        let records = self.scan.entries.iter().filter(|entry| {
            entry.section != Section::Authority && entry.record.rclass == rclass::IN
        });
        records.map(|entry| entry.record).any(|record| {
            let rdata = record.rdata(self.body());
            match record.rtype {
                rtype::A | rtype::AAAA => address(rdata).is_some_and(&mut is_wanted),
                rtype::HTTPS | rtype::SVCB => any_hint(rdata, &mut is_wanted),
                _ => false,
            }
        })
    }

    /// The records that lead to another name.
    fn aliases(&self) -> impl Iterator<Item = &Entry> {
        let answers = self.scan.entries.iter();
        answers
            .take_while(|entry| entry.section == Section::Answer)
            .filter(|entry| matches!(entry.record.rtype, rtype::CNAME | rtype::DNAME))
    }
}

/// Writes the name at `at`, which was found correct, into `buffer`.
fn uncompressed<'b>(message: &[u8], at: usize, buffer: &'b mut [u8; NAME_MAX]) -> &'b [u8] {
    let mut length = 0;
    for label in Labels::new(message, at) {
        let end = length + 1 + label.len();
        let Some([first, room @ ..]) = buffer.get_mut(length..end) else {
            break;
        };
        // A label has 63 bytes at most.
        *first = length_u8(label.len());
        room.copy_from_slice(label);
        room.make_ascii_lowercase();
        length = end;
    }
    if let Some(root) = buffer.get_mut(length) {
        *root = 0;
    }
    buffer.get(..=length).unwrap_or_default()
}

/// The address in the RDATA of an A or AAAA record.
fn address(rdata: &[u8]) -> Option<IpAddr> {
    if let Ok(bytes) = <[u8; 4]>::try_from(rdata) {
        return Some(Ipv4Addr::from(bytes).into());
    }
    let bytes = <[u8; 16]>::try_from(rdata).ok()?;
    Some(Ipv6Addr::from(bytes).into())
}

/// Whether `is_wanted` holds for an address in the hints of an HTTPS or SVCB record.
fn any_hint(rdata: &[u8], is_wanted: &mut impl FnMut(IpAddr) -> bool) -> bool {
    // SvcPriority, then TargetName, which is never compressed (RFC 9460 section 2.2).
    let Ok(mut at) = name::skip(rdata, 2) else {
        return false;
    };
    while let (Some(key), Some(length)) = (u16_at(rdata, at), u16_at(rdata, at + 2)) {
        let start = at + 4;
        at = start + usize::from(length);
        let value = rdata.get(start..at).unwrap_or_default();
        let size = match key {
            IPV4_HINT => 4,
            IPV6_HINT => 16,
            _ => continue,
        };
        if value.chunks(size).filter_map(address).any(&mut *is_wanted) {
            return true;
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::build::{QNAME, name, pointer, record, response};

    fn answer(sections: [&[Vec<u8>]; 3]) -> UpstreamResponse {
        let mut answer = UpstreamResponse::new();
        answer.load(&response(sections)).unwrap();
        answer
    }

    fn targets(answer: &UpstreamResponse) -> Vec<Vec<u8>> {
        let mut targets = Vec::new();
        answer.any_target(|target| {
            targets.push(target.to_vec());
            false
        });
        targets
    }

    fn addresses(answer: &UpstreamResponse) -> Vec<String> {
        let mut addresses = Vec::new();
        answer.any_address(|address| {
            addresses.push(address.to_string());
            false
        });
        addresses
    }

    #[test]
    fn targets_are_given_whole_and_in_lower_case() {
        // The question's name begins at 12, its second label at 16.
        let compressed = [b"\x03Cdn".to_vec(), pointer(16)].concat();
        let aliases = [
            record(QNAME, rtype::CNAME, 60, &compressed),
            record(&name("example.org"), rtype::DNAME, 60, &name("Other.TEST")),
            record(&name("x.test"), rtype::A, 60, &[192, 0, 2, 1]),
        ];
        let answer = answer([&aliases, &[], &aliases[..1]]);
        assert!(answer.has_alias());
        assert_eq!(
            targets(&answer),
            [name("cdn.example.org"), name("other.test")]
        );
        assert!(answer.any_target(|target| target == name("other.test")));
    }

    #[test]
    fn an_answer_without_aliases_has_no_targets() {
        let loaded = answer([&[record(QNAME, rtype::A, 60, &[1, 2, 3, 4])], &[], &[]]);
        assert!(!loaded.has_alias() && targets(&loaded).is_empty());
        assert!(!loaded.any_target(|_| true));
    }

    #[test]
    fn more_aliases_than_anybody_follows_count_as_wanted() {
        let alias = |n: usize| record(QNAME, rtype::CNAME, 60, &name(&format!("n{n}.test")));
        let aliases = |count| (0..count).map(alias).collect::<Vec<_>>();
        assert!(!answer([&aliases(ALIASES_MAX), &[], &[]]).any_target(|_| false));
        assert!(answer([&aliases(ALIASES_MAX + 1), &[], &[]]).any_target(|_| false));
    }

    #[test]
    fn addresses_of_every_kind_are_found_where_clients_use_them() {
        let v6 = [[0x20, 0x01, 0x0d, 0xb8], [0; 4], [0; 4], [0, 0, 0, 1]].concat();
        let hints = [
            &[0, 1][..],
            &name("svc.example.org"),
            &[0, 1, 0, 3, 2, b'h', b'2'],
            &[0, 4, 0, 8, 10, 0, 0, 1, 10, 0, 0, 2],
            &[0, 6, 0, 16],
            &v6,
        ]
        .concat();
        let answers = [
            record(QNAME, rtype::A, 60, &[192, 0, 2, 1]),
            record(QNAME, rtype::A, 60, &[192, 0, 2]),
            record(QNAME, rtype::HTTPS, 60, &hints),
        ];
        let authority = [record(QNAME, rtype::A, 60, &[192, 0, 2, 9])];
        let additional = [record(&name("x.test"), rtype::AAAA, 60, &v6)];
        let found = addresses(&answer([&answers, &authority, &additional]));
        assert_eq!(
            found,
            [
                "192.0.2.1",
                "10.0.0.1",
                "10.0.0.2",
                "2001:db8::1",
                "2001:db8::1"
            ]
        );
    }

    #[test]
    fn hints_that_are_cut_anywhere_are_read_as_far_as_they_go() {
        let hints = [&[0, 1, 0][..], &[0, 4, 0, 4, 10, 0, 0, 1]].concat();
        for end in 0..hints.len() {
            let cut = answer([&[record(QNAME, rtype::SVCB, 60, &hints[..end])], &[], &[]]);
            assert!(addresses(&cut).is_empty(), "{end}");
        }
        let whole = answer([&[record(QNAME, rtype::SVCB, 60, &hints)], &[], &[]]);
        assert_eq!(addresses(&whole), ["10.0.0.1"]);
    }
}
