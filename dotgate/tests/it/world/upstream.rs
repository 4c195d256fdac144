//! The scripted server of `dotgate-testbed` as an upstream of a test, with a loopback address of its own, so that it can
//! stop listening and listen again at its port.

use std::net::{IpAddr, SocketAddr};
use std::ops::Deref;

use dotgate_testbed::certificates::TestAuthority;
use dotgate_testbed::upstream::answer_with_address;
pub(crate) use dotgate_testbed::upstream::{
    Certificate, Credentials, End, Form, Opening, Record, Script, Step,
};

use super::address::own_address;
use super::wait::BOUND;

/// The authentication domain name of all scripted upstreams.
pub(crate) const AUTHENTICATION_NAME: &str = "upstream.test";

/// A scripted upstream; it ends when it is dropped.
pub(crate) struct Upstream(dotgate_testbed::upstream::Upstream);

impl Deref for Upstream {
    type Target = dotgate_testbed::upstream::Upstream;

    fn deref(&self) -> &Self::Target {
        &self.0
    }
}

impl Upstream {
    /// Starts one that answers rightly, with a certificate of this authority.
    pub(crate) fn start(authority: &TestAuthority) -> Upstream {
        let upstream = Upstream::start_deaf(authority);
        upstream.listen();
        upstream
    }

    /// The same with addresses of their own and one port, as a reload may add them to those of a start.
    pub(crate) fn start_at_one_port(count: usize, authority: &TestAuthority) -> Vec<Upstream> {
        let mut upstreams = vec![Upstream::start(authority)];
        while upstreams.len() < count {
            let address = (own_address(), upstreams[0].port()).into();
            let upstream = Upstream::start_deaf_on(address, authority);
            upstream.listen();
            upstreams.push(upstream);
        }
        upstreams
    }

    /// Starts one that does not listen yet: connections to it are refused.
    pub(crate) fn start_deaf(authority: &TestAuthority) -> Upstream {
        Upstream::start_deaf_at(own_address().into(), authority)
    }

    /// The same at an address that nobody else uses, on a port of the kernel's choice.
    pub(crate) fn start_deaf_at(ip: IpAddr, authority: &TestAuthority) -> Upstream {
        Upstream::start_deaf_on((ip, 0).into(), authority)
    }

    /// The same at an address and a port that nobody else uses.
    pub(crate) fn start_deaf_on(address: SocketAddr, authority: &TestAuthority) -> Upstream {
        let credentials = Credentials::default();
        let certificate = credentials.issue(authority, AUTHENTICATION_NAME).unwrap();
        let tls = credentials.server_config(certificate, authority).unwrap();
        let script = Script::new(tls, answer_with_address);
        let upstream = dotgate_testbed::upstream::Upstream::start_refusing(address, script);
        Upstream(upstream.unwrap())
    }

    /// How it is written in `DNS_HOST`.
    pub(crate) fn written(&self) -> String {
        let (ip, port) = (self.ip(), self.port());
        match ip {
            IpAddr::V4(ip) => format!("{ip}@{port}#{AUTHENTICATION_NAME}"),
            IpAddr::V6(ip) => format!("[{ip}]@{port}#{AUTHENTICATION_NAME}"),
        }
    }

    /// The address it listens on.
    pub(crate) fn ip(&self) -> IpAddr {
        self.address().ip()
    }

    /// The port it listens on.
    pub(crate) fn port(&self) -> u16 {
        self.address().port()
    }

    /// Shows another certificate to connections that open from now on.
    pub(crate) fn show(&self, credentials: &Credentials, authority: &TestAuthority) {
        let certificate = credentials.issue(authority, AUTHENTICATION_NAME).unwrap();
        let config = credentials.server_config(certificate, authority).unwrap();
        self.script(|script| script.tls = config);
    }

    /// How many queries reached it.
    pub(crate) fn queries(&self) -> usize {
        self.record().queries.len()
    }

    /// How many connections reached it.
    pub(crate) fn connections(&self) -> u64 {
        self.record().connections
    }

    /// How often a name was asked for.
    pub(crate) fn queries_for(&self, name: &str) -> usize {
        let record = self.record();
        record
            .queries
            .iter()
            .filter(|(_, query)| query.name == name)
            .count()
    }

    /// Waits until what reached it is as expected.
    #[track_caller]
    pub(crate) fn wait_until(&self, what: &str, is_met: impl Fn(&Record) -> bool) {
        assert!(
            self.0.wait_until(BOUND, is_met),
            "timed out waiting for {what}: {}",
            self.describe()
        );
    }

    /// Waits until this many queries reached it.
    #[track_caller]
    pub(crate) fn wait_for_queries(&self, count: usize) {
        self.wait_until("queries", |record| record.queries.len() >= count);
    }

    /// Ends all open connections in one way.
    pub(crate) fn end_all(&self, end: End) {
        self.0.end_all(end).unwrap();
    }

    /// Reads and writes nothing more on the connections that are open now.
    pub(crate) fn freeze_all(&self) {
        self.0.freeze_all().unwrap();
    }

    /// Continues with every query that is withheld.
    pub(crate) fn release_all(&self) {
        self.0.release_all().unwrap();
    }

    /// Takes connections from now on.
    pub(crate) fn listen(&self) {
        self.0.listen().unwrap();
    }

    /// Dies, as a process does: connections are reset, new ones refused.
    pub(crate) fn kill(&self) {
        self.0.kill().unwrap();
    }

    /// One line about what reached it.
    pub(crate) fn describe(&self) -> String {
        let record = self.record();
        format!(
            "{} connections, {}+{} handshakes ({} failed), {} ended, {} queries",
            record.connections,
            record.full_handshakes,
            record.resumed_handshakes,
            record.failed_handshakes,
            record.ended,
            record.queries.len()
        )
    }
}

/// Whatever a test did: the server did not panic, and dotgate sent it nothing but queries with one question.
impl Drop for Upstream {
    fn drop(&mut self) {
        let has_ended_well = self.0.stop();
        if !std::thread::panicking() {
            assert!(has_ended_well, "the upstream's thread failed");
            assert_eq!(self.record().invalid, 0, "no queries with one question");
        }
    }
}
