//! The key of an entry: the question, DO, CD and the route.
//!
//! The name is hashed once per query, keyed, because clients choose the names (SipHash-1-3); type, class and
//! the rest are mixed in. So all entries of a name lie in one shard, and the key of its NXDOMAIN costs
//! nothing. A hash never replaces the question: [`Identity`] has all of it.

use dotgate_wire::{Question, rclass, rtype};
use siphasher::sip::SipHasher13;

use crate::domain::registrable;
use crate::routes::RouteId;

/// Marks in [`Identity::variant`] and in an entry's flags.
pub(super) const DNSSEC_OK: u8 = 1;
/// The same.
pub(super) const CHECKING_DISABLED: u8 = 2;
/// The same: the entry answers for all types of its name.
pub(super) const ALL_TYPES: u8 = 4;

/// A question's key, computed once per query by [`super::Cache::key`].
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Key {
    hash: u64,
    name_hash: u64,
    qtype: u16,
    qclass: u16,
    variant: u8,
    route: RouteId,
}

impl Key {
    pub(super) fn new(
        secret: (u64, u64),
        question: &Question,
        route: RouteId,
        dnssec_ok: bool,
        checking_disabled: bool,
    ) -> Key {
        let name_hash = SipHasher13::new_with_keys(secret.0, secret.1).hash(question.name());
        let mark = |on, mark| if on { mark } else { 0 };
        let dnssec_ok = dnssec_ok && !dotgate_wire::planted!("dnssec-ok-is-not-in-the-key");
        let variant = mark(dnssec_ok, DNSSEC_OK) | mark(checking_disabled, CHECKING_DISABLED);
        let (qtype, qclass) = (question.qtype(), question.qclass());
        Key {
            hash: mix(name_hash, (qtype, qclass), variant, route),
            name_hash,
            qtype,
            qclass,
            variant,
            route,
        }
    }

    /// The hash of the question, DO, CD and route; two questions may have the same.
    pub fn hash(&self) -> u64 {
        self.hash
    }

    /// The hash of the question alone, for those who know DO, CD and route or do not care.
    pub(crate) fn question_hash(&self) -> u64 {
        let asked = (self.qtype, self.qclass);
        mix(self.name_hash, asked, 0, RouteId::DEFAULT)
    }

    /// The route whose group is asked.
    pub(crate) fn route(&self) -> RouteId {
        self.route
    }

    /// Whether DO was set.
    pub(crate) fn dnssec_ok(&self) -> bool {
        self.variant & DNSSEC_OK != 0
    }

    /// Whether CD was set.
    pub(crate) fn checking_disabled(&self) -> bool {
        self.variant & CHECKING_DISABLED != 0
    }

    pub(super) fn name_hash(&self) -> u64 {
        self.name_hash
    }

    /// What an entry for this question alone must be.
    pub(super) fn exact<'q>(&self, question: &'q Question) -> Identity<'q> {
        self.identity(question, self.variant, self.hash)
    }

    /// What an entry for all types of the question's name must be.
    pub(super) fn all_types<'q>(&self, question: &'q Question) -> Identity<'q> {
        let variant = self.variant | ALL_TYPES;
        let hash = mix(self.name_hash, (0, self.qclass), variant, self.route);
        self.identity(question, variant, hash)
    }

    fn identity<'q>(&self, question: &'q Question, variant: u8, hash: u64) -> Identity<'q> {
        Identity {
            // Shards are chosen by the name's hash; within one, 32 bits are enough.
            hash: hash as u32,
            name: question.name(),
            qtype: self.qtype,
            qclass: self.qclass,
            variant,
            route: self.route,
        }
    }

    /// The same with a given hash, for tests of collisions.
    #[cfg(test)]
    pub(super) fn with_hash(self, hash: u64, name_hash: u64) -> Key {
        Key {
            hash,
            name_hash,
            ..self
        }
    }
}

/// All that distinguishes an entry from others.
#[derive(Clone, Copy, Debug)]
pub(super) struct Identity<'q> {
    pub(super) hash: u32,
    pub(super) name: &'q [u8],
    /// The type asked for; it means nothing for an entry of all types.
    pub(super) qtype: u16,
    pub(super) qclass: u16,
    pub(super) variant: u8,
    pub(super) route: RouteId,
}

/// Mixes what is asked into the secret hash of the name; different for everything of one name
/// (each step can be undone, so no two inputs collide), and all bits are equally good.
fn mix(name_hash: u64, (qtype, qclass): (u16, u16), variant: u8, route: RouteId) -> u64 {
    let asked = u64::from(qtype)
        | u64::from(qclass) << 16
        | u64::from(variant) << 32
        | u64::from(route.0) << 40;
    let mut mixed = name_hash ^ asked;
    mixed = (mixed ^ mixed >> 33).wrapping_mul(0xff51_afd7_ed55_8ccd);
    mixed = (mixed ^ mixed >> 33).wrapping_mul(0xc4ce_b9fe_1a85_ec53);
    mixed ^ mixed >> 33
}
/// Makes the keys of questions with a secret, so that clients, who choose the names, cannot foresee them.
#[derive(Clone, Copy)]
pub(crate) struct QuestionHasher(pub(super) (u64, u64));

impl QuestionHasher {
    pub(crate) fn key(
        self,
        question: &Question,
        route: RouteId,
        dnssec_ok: bool,
        checking_disabled: bool,
    ) -> Key {
        let route = match dotgate_wire::planted!("route-is-not-in-the-key") {
            true => RouteId::DEFAULT,
            false => route,
        };
        Key::new(self.0, question, route, dnssec_ok, checking_disabled)
    }

    /// The keyed hash of a name's registrable domain.
    pub(crate) fn domain(self, name: &[u8]) -> u64 {
        let domain = Question::new(registrable(name), rtype::NS, rclass::IN);
        domain.map_or(0, |domain| {
            let key = self.key(&domain, RouteId::DEFAULT, false, false);
            key.question_hash()
        })
    }
}
