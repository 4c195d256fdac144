//! The world of a test: upstreams, the forwarder in this process, and clients.

pub(crate) mod address;
pub(crate) mod client;
pub(crate) mod doq;
pub(crate) mod dot;
pub(crate) mod h2;
pub(crate) mod house;
pub(crate) mod http;
pub(crate) mod load;
pub(crate) mod message;
pub(crate) mod middlebox;
pub(crate) mod peer;
pub(crate) mod program;
pub(crate) mod prometheus;
pub(crate) mod server;
pub(crate) mod trace;
pub(crate) mod troubled;
pub(crate) mod upstream;
pub(crate) mod wait;

use std::net::SocketAddr;
use std::sync::{PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::time::Duration;

use dotgate::metrics::{Format, MetricsSnapshot};
use dotgate::serve::Forwarder;
use dotgate::worker::WorkerCommand;
use dotgate_config::Environment;
use dotgate_core::Count;
use dotgate_testbed::certificates::TestAuthority;
use dotgate_tls::Roots;

use self::client::Client;
use self::load::Load;
use self::upstream::Upstream;
use self::wait::until;

/// Tests that need the processors for themselves hold it for writing, all others for reading.
static PROCESSORS: RwLock<()> = RwLock::new(());

/// Shares the processors with other tests.
pub(crate) fn together() -> RwLockReadGuard<'static, ()> {
    PROCESSORS.read().unwrap_or_else(PoisonError::into_inner)
}

/// Waits until no other test runs, and keeps it so.
pub(crate) fn alone() -> RwLockWriteGuard<'static, ()> {
    PROCESSORS.write().unwrap_or_else(PoisonError::into_inner)
}

/// Upstreams and a forwarder in front of them.
pub(crate) struct World {
    pub(crate) upstreams: Vec<Upstream>,
    pub(crate) authority: TestAuthority,
    forwarder: Forwarder,
    _processors: RwLockReadGuard<'static, ()>,
}

impl World {
    /// A forwarder with one worker in front of `count` upstreams that answer rightly.
    pub(crate) fn new(count: usize) -> World {
        World::with(count, &[])
    }

    /// The same with further variables.
    pub(crate) fn with(count: usize, variables: &[(&str, &str)]) -> World {
        let authority = TestAuthority::new().unwrap();
        let upstreams = (0..count).map(|_| Upstream::start(&authority)).collect();
        World::of(authority, upstreams, variables)
    }

    /// A forwarder in front of these upstreams.
    pub(crate) fn of(
        authority: TestAuthority,
        upstreams: Vec<Upstream>,
        variables: &[(&str, &str)],
    ) -> World {
        let processors = together();
        let hosts: Vec<String> = upstreams.iter().map(Upstream::written).collect();
        let hosts = hosts.join(",");
        let own = [
            ("HOST", "127.0.0.1"),
            ("PORT", "0"),
            ("DNS_HOST", hosts.as_str()),
            ("DNS_PORT", "853"),
            ("DOTGATE_SERVER_WORKERS", "1"),
        ];
        let of_test = |name: &str| variables.iter().any(|(written, _)| *written == name);
        let environment: Environment = own
            .into_iter()
            .filter(|(name, _)| !of_test(name))
            .chain(variables.iter().copied())
            .collect();
        let loaded = dotgate_config::load(&environment, None)
            .unwrap_or_else(|problems| panic!("{problems}"));
        let roots = Roots::trusting(authority.certificate()).unwrap();
        World {
            upstreams,
            authority,
            forwarder: Forwarder::start(&loaded.config, &roots).unwrap(),
            _processors: processors,
        }
    }

    /// Where the forwarder listens.
    pub(crate) fn address(&self) -> SocketAddr {
        self.forwarder.addresses()[0]
    }

    /// Where the forwarder listens for DNS over HTTPS.
    pub(crate) fn doh_address(&self) -> SocketAddr {
        self.forwarder.doh_addresses()[0]
    }

    /// Where the forwarder listens for DNS over QUIC.
    pub(crate) fn doq_address(&self) -> SocketAddr {
        self.forwarder.doq_addresses()[0]
    }

    /// Where the forwarder listens for DNS over TLS.
    pub(crate) fn dot_address(&self) -> SocketAddr {
        self.forwarder.dot_addresses()[0]
    }

    /// A new client over UDP.
    pub(crate) fn udp(&self) -> Client {
        Client::udp(self.address())
    }

    /// A new client over TCP.
    pub(crate) fn tcp(&self) -> Client {
        Client::tcp(self.address())
    }

    /// Clients that ask a new name every `gap`, until stopped.
    pub(crate) fn load(&self, gap: Duration) -> Load {
        Load::start(self.udp(), gap)
    }

    /// A counter of the forwarder.
    pub(crate) fn count(&self, count: Count) -> u64 {
        self.forwarder.count(count)
    }

    /// Several counters at once.
    pub(crate) fn counts<const N: usize>(&self, counts: [Count; N]) -> [u64; N] {
        counts.map(|count| self.count(count))
    }

    /// A series as scrapers see it; none that is not on the page. `upstream="0"` stands for the first upstream's
    /// label, and so on.
    pub(crate) fn metric(&self, series: &str) -> Option<f64> {
        let mut series = series.to_owned();
        for (number, upstream) in self.forwarder.upstreams().iter().enumerate() {
            let label = |text: &str| format!("upstream=\"{text}\"");
            series = series.replace(&label(&number.to_string()), &label(upstream.label()));
        }
        let page = MetricsSnapshot::of(self.forwarder.running()).page(Format::Text);
        http::value_of(&page, &series)
    }

    /// Waits until a series has reached a value.
    pub(crate) fn wait_for_metric(&self, series: &str, value: f64) {
        until(series, || self.metric(series) >= Some(value));
    }

    /// Waits until a counter has reached a value.
    pub(crate) fn wait_for(&self, count: Count, value: u64) {
        until(count.label(), || self.count(count) >= value);
    }

    /// Opens a session to the first upstream with a query that is answered, and returns its client.
    pub(crate) fn warm_up(&self) -> Client {
        let mut client = self.udp();
        client.ask("warm-up.test").assert_right();
        client
    }

    /// Tells the workers to take no more, and to end.
    pub(crate) fn finish(&self) {
        self.forwarder.command(WorkerCommand::Finish);
    }

    fn send(&self) {
        for count in Count::ALL {
            if self.count(*count) > 0 {
                eprintln!("{}: {}", count.label(), self.count(*count));
            }
        }
        for (number, upstream) in self.upstreams.iter().enumerate() {
            eprintln!("upstream {number}: {}", upstream.describe());
        }
    }
}

/// Whatever a test did: every worker ends, every query that was taken has had its response, and nothing panicked.
impl Drop for World {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.send();
            self.forwarder.command(WorkerCommand::Finish);
            return;
        }
        self.forwarder.command(WorkerCommand::Finish);
        until("the workers' end", || self.forwarder.has_ended());
        let [taken, answered, cached, failed] = self.counts([
            Count::QueriesForwarded,
            Count::Answered,
            Count::AnsweredFromCache,
            Count::Failed,
        ]);
        assert_eq!(
            taken,
            answered + cached + failed,
            "a query without a response"
        );
        assert_eq!(self.count(Count::Panics), 0);
    }
}
