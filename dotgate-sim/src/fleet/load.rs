//! The figures that a fleet is simulated with: what clients ask, and what an instance costs.

/// Of so many names one is asked for.
pub const SAMPLE: u32 = 256;

/// The seed of the page.
pub(super) const SEED: u64 = 1;

/// How long an instance has served before it is looked at, in seconds.
pub(super) const WARM_UP: u64 = 1_800;

/// For how long it is looked at, in seconds.
pub(super) const LOOK: u64 = 300;

/// What clients ask.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Load {
    /// Clients.
    pub clients: f64,
    /// Queries of a client per second, in the busiest hour.
    pub rate: f64,
    /// Different names; each is asked for with two types.
    pub names: u32,
    /// TTLs in seconds with their share of all names, in percent.
    pub ttls: &'static [(u32, u32)],
}

impl Load {
    /// A million people's devices.
    pub const MILLION: Load = Load {
        clients: 1e6,
        rate: 0.1,
        names: 6_263_672,
        ttls: &[
            (60, 10),
            (120, 6),
            (300, 24),
            (600, 15),
            (3_600, 15),
            (14_400, 30),
        ],
    };

    /// Queries per second.
    pub fn queries(&self) -> f64 {
        self.clients * self.rate
    }
}

/// What an instance costs, as measured.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Cost {
    /// CPU seconds of a query answered from the cache, saturated.
    pub hit: f64,
    /// CPU seconds of a forwarded query, saturated.
    pub forwarded: f64,
    /// CPU seconds per second for waking up for few packets at a time.
    pub waking: f64,
    /// Queries per second at which waking costs all of that.
    pub waking_at: f64,
    /// Bytes of its cache.
    pub cache_bytes: u32,
    /// Seconds that a query takes upstream.
    pub round_trip: f64,
}

impl Cost {
    /// The figures of `docs/scaling.md`.
    pub const MEASURED: Cost = Cost {
        hit: 5.3e-6,
        forwarded: 6.4e-6,
        waking: 0.2,
        waking_at: 5_000.0,
        cache_bytes: 64 << 20,
        round_trip: 0.02,
    };

    /// That of a machine where everything takes so many times as long.
    #[must_use]
    pub fn times(&self, factor: f64) -> Cost {
        Cost {
            hit: self.hit * factor,
            forwarded: self.forwarded * factor,
            waking: self.waking * factor,
            ..*self
        }
    }

    /// Processors that so many queries per second take, with this share answered from the cache.
    pub fn processors(&self, queries: f64, hit_share: f64) -> f64 {
        let work = self.hit * hit_share + self.forwarded * (1.0 - hit_share);
        self.waking * (queries / self.waking_at).min(1.0) + work * queries
    }
}
