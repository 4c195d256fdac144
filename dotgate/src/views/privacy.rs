//! What is said of clients and names: in full, in part, or as pseudonyms.
//!
//! A pseudonym is the beginning of an HMAC-SHA-256 with a random key, which is another one each day and is never stored.
//! It relates the queries of one client within a day. Without the key, nobody can find the client. The space of IPv4
//! addresses is small: with the key, all of them can be tried.

use std::net::IpAddr;
use std::time::Duration;

use aws_lc_rs::hmac::{HMAC_SHA256, Key, sign};
use data_encoding::HEXLOWER;
use dotgate_config::{ClientForm, NameForm};
use dotgate_core::{Moment, registrable};
use dotgate_wire::{Question, ShownName};
use ipnet::IpNet;

/// How long one key is used.
const KEY_LIFETIME: Duration = Duration::from_secs(86_400);

/// Bytes of a pseudonym: 64 bits do not collide among the clients of a day.
const PSEUDONYM_BYTES: usize = 8;

/// Bits that stay of a client's address.
const IPV4_BITS: u8 = 24;
const IPV6_BITS: u8 = 56;

/// Makes pseudonyms.
pub(super) struct Pseudonyms {
    /// None while the system gives no randomness: then there are no pseudonyms, and nothing is said.
    key: Option<Key>,
    made_at: Moment,
}

impl Pseudonyms {
    pub(super) fn new(now: Moment) -> Pseudonyms {
        let mut secret = [0; 32];
        let is_random = getrandom::fill(&mut secret).is_ok();
        Pseudonyms {
            key: is_random.then(|| Key::new(HMAC_SHA256, &secret)),
            made_at: now,
        }
    }

    /// Takes another key if this one has been used for a day.
    pub(super) fn renew(&mut self, now: Moment) {
        if now.since(self.made_at) >= KEY_LIFETIME || self.key.is_none() {
            *self = Pseudonyms::new(now);
        }
    }

    /// The kind keeps a client from having the pseudonym of a name.
    fn of(&self, kind: u8, bytes: &[u8]) -> String {
        let pseudonym = |key: &Key| {
            let tag = sign(key, &[&[kind], bytes].concat());
            let beginning = tag.as_ref().get(..PSEUDONYM_BYTES);
            HEXLOWER.encode(beginning.unwrap_or_default())
        };
        self.key.as_ref().map_or_else(String::new, pseudonym)
    }
}

/// What is said of a client.
pub(super) fn client(client: IpAddr, form: ClientForm, pseudonyms: &Pseudonyms) -> String {
    match form {
        ClientForm::Full => client.to_string(),
        ClientForm::Prefix => {
            let bits = match client {
                IpAddr::V4(_) => IPV4_BITS,
                IpAddr::V6(_) => IPV6_BITS,
            };
            let prefix = IpNet::new(client, bits);
            prefix.map_or_else(|_| String::new(), |prefix| prefix.trunc().to_string())
        }
        ClientForm::Hashed => match client {
            IpAddr::V4(address) => pseudonyms.of(4, &address.octets()),
            IpAddr::V6(address) => pseudonyms.of(6, &address.octets()),
        },
    }
}

/// What is said of a question's name, in presentation format.
pub(super) fn name(question: &Question, form: NameForm, pseudonyms: &Pseudonyms) -> String {
    match form {
        NameForm::Full => ShownName(question.name()).to_string(),
        NameForm::Domain => ShownName(registrable(question.name())).to_string(),
        NameForm::Hashed => pseudonyms.of(0, question.name()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn question(name: &[u8]) -> Question {
        Question::new(name, 1, 1).unwrap()
    }

    #[test]
    fn a_prefix_has_no_host_bits() {
        let pseudonyms = Pseudonyms::new(Moment::from_nanos(0));
        let cut = |address: &str| client(address.parse().unwrap(), ClientForm::Prefix, &pseudonyms);
        assert_eq!(cut("192.0.2.77"), "192.0.2.0/24");
        assert_eq!(cut("2001:db8:1:23ff:1::9"), "2001:db8:1:2300::/56");
    }

    #[test]
    fn a_pseudonym_is_the_same_for_a_day_and_says_nothing() {
        let mut pseudonyms = Pseudonyms::new(Moment::from_nanos(0));
        let address: IpAddr = "192.0.2.77".parse().unwrap();
        let of = |pseudonyms: &Pseudonyms| client(address, ClientForm::Hashed, pseudonyms);
        let first = of(&pseudonyms);
        assert_eq!(first.len(), 16);
        let one_day = Moment::from_nanos(0) + KEY_LIFETIME;
        pseudonyms.renew(Moment::from_nanos(one_day.nanos() - 1));
        assert_eq!(of(&pseudonyms), first);
        pseudonyms.renew(one_day);
        assert_ne!(of(&pseudonyms), first);
        assert_ne!(of(&Pseudonyms::new(Moment::from_nanos(0))), first);
    }

    #[test]
    fn a_name_is_shown_whole_in_part_or_not_at_all() {
        let pseudonyms = Pseudonyms::new(Moment::from_nanos(0));
        let asked = question(b"\x03www\x07example\x02co\x02uk\0");
        assert_eq!(
            name(&asked, NameForm::Full, &pseudonyms),
            "www.example.co.uk."
        );
        assert_eq!(
            name(&asked, NameForm::Domain, &pseudonyms),
            "example.co.uk."
        );
        let hashed = name(&asked, NameForm::Hashed, &pseudonyms);
        assert!(
            hashed.len() == 16 && !hashed.contains("example"),
            "{hashed}"
        );
        assert_eq!(name(&question(b"\0"), NameForm::Full, &pseudonyms), ".");
    }
}
