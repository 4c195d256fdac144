//! Stage `query`: is it a query that can be served?
//!
//! It is between the listener and `admit`. `dotgate_wire::parse_query` has checked the form; this decides
//! what the form asks for. Never touches state; every refusal is final and reaches no upstream.

use dotgate_wire::{Query, QueryFault, ede, rclass, rcode, rtype};

use crate::counters::labels::Outcome;
use crate::failure::Failure;
use crate::record::Ended;

/// The classes that are forwarded besides IN.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct ForwardedClasses {
    /// ANY, a class of questions alone.
    pub any: bool,
    /// Those for private use (RFC 6895 section 3.2).
    pub private: bool,
}

impl ForwardedClasses {
    fn has(self, class: u16) -> bool {
        match class {
            rclass::IN => true,
            rclass::ANY => self.any,
            0xff00..=0xfffe => self.private,
            _ => false,
        }
    }
}

/// A query that is answered with an error of our own.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Refusal<'t> {
    pub(crate) rcode: u16,
    pub(crate) ede: Option<(u16, &'t str)>,
}

impl Refusal<'_> {
    /// How a query ended that got it.
    pub(crate) fn ended(&self, outcome: Outcome) -> Ended {
        Ended::here(outcome, self.rcode, self.ede.map(|(code, _)| code))
    }
}

impl Refusal<'static> {
    pub(crate) const fn plain(rcode: u16) -> Refusal<'static> {
        Refusal { rcode, ede: None }
    }

    const fn with_ede(rcode: u16, code: u16, text: &'static str) -> Refusal<'static> {
        Refusal {
            rcode,
            ede: Some((code, text)),
        }
    }

    /// The client's address is outside the access list.
    pub(crate) const PROHIBITED: Refusal<'static> =
        Refusal::with_ede(rcode::REFUSED, ede::PROHIBITED, "client not in access list");

    /// A balancer that is to name its clients has named none.
    pub(crate) const WITHOUT_PROXY_HEADER: Refusal<'static> =
        Refusal::with_ede(rcode::REFUSED, ede::PROHIBITED, "no PROXY header");

    /// The client asks more often than it may.
    pub(crate) const ABOVE_RATE: Refusal<'static> =
        Refusal::with_ede(rcode::REFUSED, ede::PROHIBITED, "client above its rate");

    /// The client asks more often than it may, and has to show that it can be reached at its address.
    pub(crate) const BAD_COOKIE: Refusal<'static> = Refusal::plain(rcode::BADCOOKIE);

    /// There is no answer.
    pub(crate) fn of_failure(failure: Failure) -> Refusal<'static> {
        Refusal {
            rcode: failure.rcode(),
            ede: Some((failure.ede(), failure.text())),
        }
    }

    /// The form of the message is at fault.
    pub(crate) const fn of_fault(fault: &QueryFault) -> Refusal<'static> {
        match fault {
            QueryFault::Malformed(_) => Refusal::plain(rcode::FORMERR),
            // RFC 8906 section 8.1.4, RFC 8490 section 9.4
            QueryFault::Opcode => Refusal::plain(rcode::NOTIMP),
            // RFC 6891 section 6.1.3
            QueryFault::EdnsVersion => Refusal::plain(rcode::BADVERS),
        }
    }
}

/// Why a well-formed query is not forwarded, if it is not.
pub(crate) fn refusal(query: &Query<'_>, classes: ForwardedClasses) -> Option<Refusal<'static>> {
    match query.qtype {
        // RFC 9103 section 7.8: a forwarder transfers no zones.
        rtype::AXFR | rtype::IXFR => {
            return Some(Refusal::with_ede(
                rcode::REFUSED,
                ede::NOT_SUPPORTED,
                "no zone transfers",
            ));
        }
        // Types that exist only inside messages (RFC 6895 section 3.1).
        rtype::OPT | rtype::TSIG | rtype::TKEY => return Some(Refusal::plain(rcode::FORMERR)),
        rtype::MAILA | rtype::MAILB => return Some(Refusal::plain(rcode::NOTIMP)),
        _ => {}
    }
    if query.is_signed {
        // RFC 5625 section 4.5: a signature cannot survive a new ID and a new OPT.
        return Some(Refusal::with_ede(
            rcode::REFUSED,
            ede::NOT_SUPPORTED,
            "signed query",
        ));
    }
    if !classes.has(query.qclass) {
        return Some(Refusal::with_ede(
            rcode::REFUSED,
            ede::NOT_SUPPORTED,
            "class is not IN",
        ));
    }
    if !query.flags.recursion_desired() {
        // RFC 9076 section 4.3: a query without RD would only probe what others asked.
        return Some(Refusal::with_ede(
            rcode::REFUSED,
            ede::NOT_AUTHORITATIVE,
            "recursion not desired",
        ));
    }
    None
}
