//! A scenario as data: its upstreams, settings and steps.

use std::num::NonZeroU8;

use dotgate_core::Settings;

use crate::script::Script;

use super::step::Step;

/// A scenario, as its file describes it.
#[derive(Clone, Debug)]
pub struct Scenario {
    /// The file's name, with its ending.
    pub file: String,
    /// The first line.
    pub shows: String,
    /// The injected fault, in the words of the table.
    pub fault: String,
    /// The first seed.
    pub seed: u64,
    /// How many seeds it must hold for.
    pub seeds: u64,
    pub(super) upstreams: Vec<Upstream>,
    pub(super) settings: Settings,
    /// The size of the cache, in bytes.
    pub(super) cache_bytes: usize,
    pub(super) workers: usize,
    pub(super) steps: Vec<StepLine>,
}

#[derive(Clone, Debug)]
pub(super) struct StepLine {
    pub(super) line: usize,
    pub(super) text: String,
    pub(super) step: Step,
}

#[derive(Clone, Debug)]
pub(super) struct Upstream {
    pub(super) name: String,
    pub(super) script: Script,
    /// Whether it is queried without TLS.
    pub(super) is_plain: bool,
    pub(super) role: Role,
    pub(super) weight: NonZeroU8,
    /// Who runs it, if not it alone.
    pub(super) operator: Option<String>,
    /// Whether the seed decides how bytes are cut.
    pub(super) is_cut_by_seed: bool,
}

/// Which names an upstream is for.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Role {
    /// All names without a route.
    Default,
    /// Those at and below this name.
    Route(String),
    /// None, until a portal window is open.
    Portal,
}
