//! Connections whose path drops every packet: what was sent is never acknowledged, and no error comes back.
//!
//! Left alone, the kernel sends it again for a quarter of an hour, or for two minutes after the connection was closed, and
//! keeps memory and port as long. `TCP_USER_TIMEOUT` ends that after 10 or 15 seconds, which the bound of a wait includes.

use std::process::Command;

use dotgate_testbed::certificates::TestAuthority;

use crate::namespaces::{FIRST, Network};
use crate::world::client::Client;
use crate::world::dot::{Dot, Files, NAME, Offer};
use crate::world::http;
use crate::world::peer::find;
use crate::world::program::Program;
use crate::world::upstream::{Form, Step, Upstream};
use crate::world::wait::until;

/// The clients' address.
const CLIENTS: &str = "10.77.0.1";

/// A station that is not there: packets leave, and neither a response nor an error comes back.
const NOBODY: &str = "lladdr 02:00:00:00:de:ad nud permanent";

/// A forwarder with a client over TCP and one over TLS, whose admin endpoint is on another link.
struct World {
    network: Network,
    program: Program,
    upstream: Upstream,
    offer: Offer,
    _files: Files,
}

impl World {
    fn enter(test: &str, idle: &str) -> Option<World> {
        let network = Network::enter(test)?;
        let authority = TestAuthority::new().unwrap();
        let upstream = network.upstream(FIRST, &authority);
        let files = Files::new(&authority);
        let (certificate, key) = (files.text("dns.pem"), files.text("dns.key"));
        let variables = [
            ("DOTGATE_DOT_LISTEN", "10.77.0.2:0"),
            ("DOTGATE_SERVER_CERTIFICATE_FILE", &*certificate),
            ("DOTGATE_SERVER_KEY_FILE", &key),
            ("DOTGATE_ADMIN_LISTEN", "10.79.0.2:0"),
            ("DOTGATE_TCP_IDLE", idle),
            ("DOTGATE_DOT_IDLE", idle),
        ];
        Some(World {
            program: network.serve_with(&authority, &[&upstream], &variables),
            network,
            upstream,
            offer: Offer::new(&authority),
            _files: files,
        })
    }

    /// A client over TCP and one over TLS, both with a response.
    fn connect(&self) -> (Client, Dot) {
        let mut tcp = self.program.tcp();
        tcp.ask("tcp.test").assert_right();
        let mut tls = self
            .offer
            .connect(self.program.dot_address(), NAME)
            .unwrap();
        tls.ask("tls.test").assert_right();
        (tcp, tls)
    }

    fn open_connections(&self) -> f64 {
        http::metric(self.program.admin(), "dotgate_streams_open")
    }

    fn closed_for(&self, reason: &str) -> Option<f64> {
        let series = format!("dotgate_streams_closed_total{{reason=\"{reason}\"}}");
        http::metric_once_there(self.program.admin(), &series)
    }

    /// Drops what the forwarder sends to this station.
    fn cut(&self, station: &str, link: &str) {
        self.network
            .near(&format!("neighbour replace {station} dev {link} {NOBODY}"));
    }

    /// The forwarder's TCP connections with a station, as the kernel has them.
    fn sockets(&self, filter: &str) -> usize {
        let mut command = Command::new(find("ip").unwrap());
        command.args(["netns", "exec", &self.network.name("near"), "ss", "-Htn"]);
        let output = command.args(filter.split(' ')).output().unwrap();
        assert!(output.status.success(), "ss {filter}");
        String::from_utf8(output.stdout).unwrap().lines().count()
    }

    /// The path is there again, and clients are served.
    fn mend(&self) {
        self.network
            .near(&format!("neighbour delete {CLIENTS} dev clients"));
        drop(self.connect());
    }
}

#[test]
fn a_connection_whose_client_acknowledges_nothing_is_given_up_long_before_it_is_idle() {
    let test = "cut_off::a_connection_whose_client_acknowledges_nothing_is_given_up_long_before_it_is_idle";
    let Some(world) = World::enter(test, "300s") else {
        return;
    };
    let (mut tcp, mut tls) = world.connect();
    world.cut(CLIENTS, "clients");
    // Both responses fit in the buffers of the kernel: dotgate itself has nothing to wait for.
    tcp.send("lost-tcp.test");
    tls.send_for("lost-tls.test");
    until("both connections to be given up", || {
        world.open_connections() == 0.0
    });
    assert_eq!(world.sockets(&format!("dst {CLIENTS}")), 0);
    for reason in ["idle", "unread"] {
        assert!(world.closed_for(reason).is_none_or(|count| count == 0.0));
    }
    world.mend();
}

#[test]
fn a_connection_whose_client_takes_none_of_many_responses_is_closed_as_unread() {
    const RESPONSES: usize = 4;
    let test =
        "cut_off::a_connection_whose_client_takes_none_of_many_responses_is_closed_as_unread";
    let Some(world) = World::enter(test, "300s") else {
        return;
    };
    let (mut tcp, mut tls) = world.connect();
    world
        .upstream
        .script(|script| script.all = vec![Step::Send(Form::Long)]);
    world.cut(CLIENTS, "clients");
    for number in 0..RESPONSES {
        tcp.send(&format!("lost-tcp-{number}.test"));
        tls.send_for(&format!("lost-tls-{number}.test"));
    }
    until("both connections to be closed", || {
        world.closed_for("unread") == Some(2.0)
    });
    assert_eq!(world.open_connections(), 0.0);
    until("the kernel to give them up", || {
        world.sockets(&format!("dst {CLIENTS}")) == 0
    });
    world
        .upstream
        .script(|script| script.all = vec![Step::Send(Form::Right)]);
    world.mend();
}

#[test]
fn what_the_kernel_has_of_a_closed_connection_is_given_up_too() {
    let test = "cut_off::what_the_kernel_has_of_a_closed_connection_is_given_up_too";
    let Some(world) = World::enter(test, "3s") else {
        return;
    };
    let (mut tcp, mut tls) = world.connect();
    world.cut(CLIENTS, "clients");
    tcp.send("lost-tcp.test");
    tls.send_for("lost-tls.test");
    until("both connections to be closed", || {
        world.closed_for("idle") == Some(2.0)
    });
    assert_eq!(world.open_connections(), 0.0);
    until("the kernel to give them up", || {
        world.sockets(&format!("dst {CLIENTS}")) == 0
    });
    world.mend();
}

#[test]
fn what_the_kernel_has_of_a_closed_session_is_given_up_too() {
    let test = "cut_off::what_the_kernel_has_of_a_closed_session_is_given_up_too";
    let Some(world) = World::enter(test, "10s") else {
        return;
    };
    drop(world.connect());
    let station = FIRST.to_string();
    let closed = format!("state fin-wait-1 dst {station}");
    world.cut(&station, "first");
    world.program.udp().send("lost.test");
    until("the session to be closed", || world.sockets(&closed) > 0);
    until("the kernel to give it up", || world.sockets(&closed) == 0);
}
