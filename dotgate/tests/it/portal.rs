//! Portal windows: an upstream that the network blocks, and dnsmasq as the resolver of a network with a login page, which
//! answers every name with the address of that page.

use std::fs;

use dotgate_testbed::certificates::TestAuthority;
use tempfile::TempDir;

use crate::world::http::{get, metric};
use crate::world::peer::are_installed;
use crate::world::program::Program;
use crate::world::server::{PORTAL_PAGE, Server, dig};
use crate::world::upstream::Upstream;

/// A forwarder on such a network.
struct Network {
    upstream: Upstream,
    portal: Server,
    folder: TempDir,
    program: Program,
}

impl Network {
    /// Starts it with this setting of portal windows, where `RESOLVER` is that of the network.
    fn new(setting: &str, routes: &str) -> Network {
        let authority = TestAuthority::new().unwrap();
        let (upstream, portal) = (Upstream::start_deaf(&authority), Server::portal());
        let folder = TempDir::new().unwrap();
        let file = folder.path().join("dotgate.toml");
        fs::write(&file, settings(setting, &portal)).unwrap();
        let socket = folder.path().join("admin.sock");
        let variables = [
            ("DOTGATE_CONFIG_FILE", file.to_str().unwrap()),
            ("DOTGATE_ADMIN_SOCKET", socket.to_str().unwrap()),
            ("DOTGATE_ROUTES", routes),
        ];
        let program = Program::serve(&authority, &upstream.written(), &variables);
        Network {
            upstream,
            portal,
            folder,
            program,
        }
    }

    fn reload(&self, setting: &str) {
        self.begin_reload(setting);
        self.program.wait_for_line("configuration reloaded");
    }

    fn begin_reload(&self, setting: &str) {
        let file = self.folder.path().join("dotgate.toml");
        fs::write(file, settings(setting, &self.portal)).unwrap();
        self.program.signal("HUP");
    }

    fn run(&self, arguments: &[&str]) -> (Option<i32>, String) {
        let socket = self.folder.path().join("admin.sock");
        let socket = [("DOTGATE_ADMIN_SOCKET", socket.to_str().unwrap())];
        let arguments: Vec<&str> = ["portal"].iter().chain(arguments).copied().collect();
        self.program.run_with(&arguments, &socket)
    }

    fn addresses(&self, name: &str) -> String {
        dig(self.program.address(), &[name, "A", "+short"])
    }

    /// Whether a name gets the address of the page.
    fn is_hijacked(&self, name: &str) -> bool {
        self.addresses(name).trim() == PORTAL_PAGE
    }

    fn metric(&self, series: &str) -> f64 {
        metric(self.program.admin(), series)
    }
}

fn settings(portal: &str, server: &Server) -> String {
    let resolver = server.written();
    let resolver = resolver.trim_start_matches("plain:");
    format!(
        "[dns]\nportal = \"{}\"\n",
        portal.replace("RESOLVER", resolver)
    )
}

#[test]
fn the_login_page_is_found_and_the_window_closes_when_the_upstream_is_reached() {
    if !are_installed(&[], &["dnsmasq", "kdig"]) {
        return;
    }
    let router = Server::dnsmasq();
    let routes = format!("gnome.org={} lan={0}", router.written());
    let network = Network::new("RESOLVER", &routes);
    assert!(!network.is_hijacked("captive.apple.com"));
    let (status, said) = network.run(&["--for", "5m"]);
    assert_eq!(status, Some(0), "{said}");
    assert!(said.contains("connectivity checks go to"), "{said}");
    assert!(said.contains("NOT ENCRYPTED"), "{said}");
    assert!(network.is_hijacked("captive.apple.com"));
    assert!(!network.is_hijacked("bank.test"), "only what was asked for");
    assert!(!network.is_hijacked("nmcheck.gnome.org"), "it has a route");
    assert_eq!(network.addresses("nas.lan"), "192.0.2.10\n");
    let line = network.program.wait_for_line("portal window opened");
    assert!(line.contains("seconds=300"), "{line}");
    let health = get(network.program.admin(), "/healthz").body;
    assert!(health.contains("\"portal_open\":true"), "{health}");
    let ready = get(network.program.admin(), "/readyz").body;
    assert!(
        ready.contains("portal window: connectivity checks"),
        "{ready}"
    );
    let status = get(network.program.admin(), "/api/v1/status").json();
    assert_eq!(status["portal"]["open"], true, "{status}");
    assert_eq!(network.metric("dotgate_portal_open"), 1.0);
    assert_eq!(network.metric("dotgate_portal_queries_total"), 1.0);

    // Somebody has logged in. Nobody asks anything that goes to this upstream.
    network.upstream.listen();
    let line = network.program.wait_for_line("portal window closed");
    assert!(line.contains("reason=\"encrypted\""), "{line}");
    assert!(line.contains("queries=1"), "{line}");
    let response = network.program.udp().ask("captive.apple.com");
    response.assert_right();
    assert_eq!(network.upstream.queries_for("captive.apple.com"), 1);
    assert_eq!(network.metric("dotgate_portal_open"), 0.0);
}

#[test]
fn a_window_for_all_names_lasts_through_reloads_that_permit_it_and_ends_on_command() {
    if !are_installed(&[], &["dnsmasq", "kdig"]) {
        return;
    }
    let router = Server::dnsmasq();
    let network = Network::new("RESOLVER", &format!("lan={}", router.written()));
    assert_eq!(network.run(&["--for", "5m", "--all"]).0, Some(0));
    assert!(network.is_hijacked("login.test"));
    assert_eq!(network.addresses("nas.lan"), "192.0.2.10\n");
    assert!(!network.is_hijacked("other.lan"), "it has a route");
    network.reload("on");
    assert!(network.is_hijacked("page.test"));
    let closed = (Some(0), "no portal window is open\n".to_owned());
    assert_eq!(network.run(&["--close"]), closed);
    assert!(!network.is_hijacked("login.test"), "nor from the cache");
    let line = network.program.wait_for_line("portal window closed");
    assert!(line.contains("reason=\"command\""), "{line}");

    network.reload("RESOLVER");
    assert_eq!(network.run(&["--for", "5m", "--all"]).0, Some(0));
    network.begin_reload("off");
    let line = network.program.wait_for_line("portal window closed");
    assert!(line.contains("reason=\"settings\""), "{line}");
    network.program.wait_for_line("configuration reloaded");
    let (status, said) = network.run(&["--for", "5m"]);
    assert_eq!(status, Some(1));
    assert!(said.starts_with("portal windows are off"), "{said}");
    network.reload("on");
    let (status, said) = network.run(&["--for", "5m"]);
    assert_eq!(status, Some(1));
    assert!(said.contains("--resolver"), "{said}");
    network.reload("192.0.2.53");
    let (status, said) = network.run(&["--for", "5m", "--resolver", "192.0.2.54"]);
    assert_eq!(status, Some(1));
    assert!(said.contains("permits only 192.0.2.53:53"), "{said}");
}
