//! What is counted with labels adds up to what is counted without.

use dotgate_core::labels::{
    AttemptKind, ClientTransport, Ending, Handshake, Outcome, Rcode, Reason, RecordType, Stage,
};
use dotgate_core::{Count, Counters, UpstreamCounters, UpstreamId, limits};

/// Checks the counters of an engine that holds nothing any more; those of upstreams unless some were reset.
pub(crate) fn check(counters: &Counters, were_cleared: bool) {
    check_clients(counters);
    if were_cleared {
        return;
    }
    let sum = |count: &dyn Fn(&UpstreamCounters) -> u64| -> u64 {
        let ids = (0..limits::UPSTREAM_IDS as u8).map(UpstreamId);
        let blocks = ids.map(|id| counters.upstream(id).unwrap());
        blocks.map(count).sum()
    };
    let attempts = |kind| sum(&|of| of.attempts(kind));
    let for_clients = [
        AttemptKind::First,
        AttemptKind::Retry,
        AttemptKind::Hedge,
        AttemptKind::Isolation,
    ];
    let for_clients: u64 = for_clients.map(attempts).iter().sum();
    assert_eq!(for_clients, counters.get(Count::Attempts));
    assert_eq!(
        attempts(AttemptKind::Retry) + attempts(AttemptKind::Isolation),
        counters.get(Count::AttemptsRetry)
    );
    assert_eq!(
        attempts(AttemptKind::Hedge),
        counters.get(Count::AttemptsHedge)
    );
    assert_eq!(attempts(AttemptKind::Probe), counters.get(Count::Probes));
    let opened = counters.get(Count::SessionsOpened);
    let handshakes = Handshake::ALL.iter();
    let handshakes = handshakes.map(|kind| sum(&|of| of.handshakes(*kind).count()));
    assert_eq!(handshakes.sum::<u64>(), opened);
    let endings = Ending::ALL
        .iter()
        .map(|ending| sum(&|of| of.endings(*ending)));
    assert_eq!(
        endings.sum::<u64>(),
        opened,
        "a session that did not end once"
    );
    let waits = sum(&|of| of.stage(Stage::Upstream).count());
    assert!(waits <= counters.get(Count::Responses));
    let sent = for_clients + attempts(AttemptKind::Probe);
    assert!(
        sum(&UpstreamCounters::reuses) + opened >= sent,
        "a session's first question twice"
    );
}

fn check_clients(counters: &Counters) {
    let clients = counters.clients();
    let all = |outcome: Outcome| -> u64 {
        let of = |via: &ClientTransport| {
            let types = RecordType::ALL.iter();
            types
                .map(|asked| clients.queries(*via, *asked, outcome))
                .sum::<u64>()
        };
        ClientTransport::ALL.iter().map(of).sum()
    };
    for (outcome, count) in [
        (Outcome::Answered, Count::Answered),
        (Outcome::Failed, Count::Failed),
        (Outcome::Local, Count::QueriesLocal),
        (Outcome::Refused, Count::QueriesRefused),
        (Outcome::Malformed, Count::QueriesMalformed),
        (Outcome::Shed, Count::QueriesShed),
        (Outcome::Ignored, Count::QueriesIgnored),
    ] {
        assert_eq!(all(outcome), counters.get(count), "{outcome:?}");
        let durations = ClientTransport::ALL.iter();
        let durations = durations.filter_map(|via| clients.durations(*via, outcome));
        let timed: Vec<u64> = durations.map(|cell| cell.count()).collect();
        assert!(
            timed.is_empty() || timed.iter().sum::<u64>() == all(outcome),
            "{outcome:?}"
        );
    }
    let outcomes: u64 = Outcome::ALL.iter().map(|outcome| all(*outcome)).sum();
    let responses: u64 = Rcode::ALL
        .iter()
        .map(|rcode| clients.responses(*rcode))
        .sum();
    assert_eq!(responses, outcomes - all(Outcome::Ignored));
    let failures: u64 = Reason::ALL
        .iter()
        .map(|reason| clients.failures(*reason))
        .sum();
    assert_eq!(failures, all(Outcome::Failed));
}
