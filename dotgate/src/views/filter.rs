//! Which queries somebody wants to see.

use std::net::IpAddr;

use dotgate_config::QueryFilter;
use dotgate_core::QueryRecord;
use dotgate_core::labels::Outcome;
use dotgate_wire::rcode;

/// Whether a query passes a filter, samples aside.
pub(super) fn passes(filter: &QueryFilter, query: &QueryRecord) -> bool {
    let is_slow = filter.slow.is_some_and(|limit| query.took > limit);
    let is_any_kind = !filter.failed && filter.slow.is_none();
    let is_of_kind = is_any_kind || is_slow || filter.failed && has_failed(query);
    let has_suffix = |suffix: &Vec<u8>| {
        let question = query.question();
        question.is_some_and(|question| question.is_at_or_below(suffix))
    };
    let has_client = |client: &IpAddr| filter.clients.iter().any(|prefix| prefix.contains(client));
    is_of_kind
        && (filter.suffixes.is_empty() || filter.suffixes.iter().any(has_suffix))
        && (filter.clients.is_empty() || query.client.as_ref().is_some_and(has_client))
}

/// Whether a client got no usable response.
fn has_failed(query: &QueryRecord) -> bool {
    let is_lost = matches!(
        query.ended.outcome,
        Outcome::Failed | Outcome::CachedFailure | Outcome::Shed
    );
    is_lost || query.ended.rcode == rcode::SERVFAIL
}
