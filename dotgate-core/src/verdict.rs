//! What an upstream's response means: an answer, a reason to ask elsewhere, or misbehaviour.
//!
//! It is between `session` and `respond`. The response is well formed and answers the question asked;
//! `dotgate_wire::UpstreamResponse` has seen to that. Never touches state.

use dotgate_wire::{UpstreamResponse, ede, rcode};

use crate::failure::{Failure, Misbehaviour};

/// The meaning of a response.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Verdict {
    /// The clients get it.
    Deliver,
    /// The clients get it although it is an error: another upstream would only hide why.
    Stands,
    /// The upstream does not support EDNS: retry without it.
    WithoutEdns(Failure),
    /// Another upstream may do better.
    AskElsewhere(Failure),
}

/// Whether an error with this EDE is somebody's policy (RFC 8914 sections 4.16 to 4.19): it stands even where
/// older data is held, which the policy may have been made against.
pub(crate) fn is_policy(ede: Option<u16>) -> bool {
    matches!(ede, Some(ede::BLOCKED..=ede::PROHIBITED))
}

/// Judges a response to a question that was asked with EDNS or without.
pub(crate) fn judge(answer: &UpstreamResponse, asked_with_edns: bool) -> Verdict {
    if answer.flags().is_truncated() {
        // TLS and TCP carry 65,535 bytes; a TCP client could not retry after TC.
        return Verdict::AskElsewhere(Failure::Misbehaved(Misbehaviour::Truncated));
    }
    let code = answer.ede().map(|(code, _)| code);
    let failure = Failure::Answered {
        rcode: answer.rcode(),
        ede: code,
    };
    match answer.rcode() {
        rcode::SERVFAIL | rcode::REFUSED => match code {
            // 6 to 12: the data is bogus, and another upstream might return it without validation.
            // 15 to 18: somebody's policy (RFC 8914 section 4).
            Some(ede::DNSSEC_BOGUS..=ede::NSEC_MISSING | ede::BLOCKED..=ede::PROHIBITED)
                if !dotgate_wire::planted!("bogus-data-is-asked-elsewhere") =>
            {
                Verdict::Stands
            }
            _ => Verdict::AskElsewhere(failure),
        },
        rcode::FORMERR | rcode::NOTIMP => {
            // RFC 6891 section 7: FORMERR without OPT is how EDNS is refused.
            let refuses_edns =
                answer.edns().is_none() && !dotgate_wire::planted!("edns-is-never-given-up");
            if asked_with_edns && refuses_edns {
                Verdict::WithoutEdns(failure)
            } else {
                Verdict::AskElsewhere(failure)
            }
        }
        // Extended RCODEs speak of this hop (RFC 6891 section 6.1.3).
        16.. => Verdict::AskElsewhere(failure),
        _ => Verdict::Deliver,
    }
}
