//! What is said of attempts, and of where they go.

labels! {
    /// Why a question is sent to an upstream.
    AttemptKind:
    /// First attempt.
    First = "first",
    /// Retry after another attempt failed.
    Retry = "retry",
    /// Second attempt while the first is still running (hedge).
    Hedge = "hedge",
    /// Copy that measures an upstream of a group with the strategy `fastest`.
    Exploration = "exploration",
    /// Retry on an isolation session, after the previous session failed.
    Isolation = "isolation",
    /// Probe, to check whether the upstream responds.
    Probe = "probe",
}

labels! {
    /// Which upstream of a group is queried first.
    Strategy:
    /// The first healthy upstream of the list.
    Ordered = "ordered",
    /// The upstream with the shortest response time.
    Fastest = "fastest",
    /// Each in turn, by weight.
    RoundRobin = "round-robin",
    /// The operator of the name's registrable domain.
    Shard = "shard",
}

labels! {
    /// Which of two attempts that ran at once was answered first.
    Winner:
    /// The first attempt.
    First = "first",
    /// The second attempt (hedge).
    Hedge = "hedge",
}

labels! {
    /// What became of a query whose first attempt was late.
    Hedging:
    /// A copy was sent to another upstream, or on another session.
    Sent = "sent",
    /// The response to the copy was used.
    Won = "won",
    /// The response to the copy was not used: another one came first, or none came in time.
    Lost = "lost",
    /// There was no copy, because the budget was used up.
    NoBudget = "no_budget",
    /// There was no copy, because names of this domain are slow at every upstream.
    SlowDomain = "slow_domain",
}
