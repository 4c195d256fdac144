//! What a client gets in place of an answer, in the form that a cache stores.

use dotgate_wire::{
    Ede, LocalResponse, LocalSet, Question, rcode, rtype, store_failure, store_local,
};

/// How a name is denied.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Substitute {
    /// It does not exist.
    NxDomain,
    /// It has no records of the type.
    NoData,
    /// Its address is `0.0.0.0` or `::`; it has no records of other types.
    NullAddress,
    /// REFUSED.
    Refused,
}

/// RDATA of null addresses, behind their lengths.
const NULL_V4: &[u8] = &[0, 4, 0, 0, 0, 0];
const NULL_V6: &[u8] = &[0, 16, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];

/// Appends the substitute of a question, whose bytes are as the client sent them in `exact`. `zone` is the name of its SOA
/// record, `ttl` is in seconds.
pub(crate) fn store_substitute(
    out: &mut Vec<u8>,
    (exact, question): (&[u8], &Question),
    substitute: Substitute,
    (zone, ttl): (&[u8], u32),
    ede: Ede<'_>,
) {
    let null = match (substitute, question.qtype()) {
        (Substitute::NullAddress, rtype::A) => Some(NULL_V4),
        (Substitute::NullAddress, rtype::AAAA) => Some(NULL_V6),
        _ => None,
    };
    let set = null.map(|rdata| LocalSet {
        rtype: question.qtype(),
        ttl,
        count: 1,
        rdata,
    });
    let rcode = match substitute {
        Substitute::NxDomain => rcode::NXDOMAIN,
        Substitute::NoData | Substitute::NullAddress => rcode::NOERROR,
        Substitute::Refused => return store_failure(out, exact, rcode::REFUSED, Some(ede)),
    };
    let local = LocalResponse {
        rcode,
        sets: set.as_slice(),
        soa: set.is_none().then_some((zone, ttl)),
        ede: Some(ede),
    };
    store_local(out, exact, &local);
}
