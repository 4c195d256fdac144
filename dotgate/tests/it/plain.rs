//! Plain upstreams that others wrote: dnsmasq as a router, Unbound as a company's server, each behind a route.
//!
//! What is not installed is skipped. Counted are answers, and the system calls of a forwarded query.

use dotgate_testbed::certificates::TestAuthority;
use tempfile::TempDir;

use crate::world::http::get;
use crate::world::peer::are_installed;
use crate::world::program::Program;
use crate::world::server::{Server, dig};
use crate::world::trace::{Traced, call};
use crate::world::upstream::Upstream;

#[test]
fn names_of_the_router_and_the_company_come_from_their_servers_and_never_go_elsewhere() {
    if !are_installed(&[], &["dnsmasq", "unbound", "kdig"]) {
        return;
    }
    let authority = TestAuthority::new().unwrap();
    let public = Upstream::start(&authority);
    let (router, company) = (Server::dnsmasq(), Server::unbound());
    let routes = format!("lan={} corp.test={}", router.written(), company.written());
    let program = Program::serve(
        &authority,
        &public.written(),
        &[("DOTGATE_ROUTES", &routes), ("DOTGATE_CACHE_SIZE", "0")],
    );
    let ask = |options: &[&str]| dig(program.address(), options);
    assert_eq!(ask(&["NAS.lan", "A", "+short"]), "192.0.2.10\n");
    assert_eq!(ask(&["www.corp.test", "A", "+short"]), "192.0.2.20\n");
    assert!(ask(&["none.corp.test", "A"]).contains("status: NXDOMAIN"));
    let long = ask(&["long.lan", "TXT", "+tcp"]);
    assert!(long.contains("status: NOERROR"), "{long}");
    assert!(
        long.matches("xxx").count() >= 15 * 66,
        "it came by TCP, whole"
    );
    program.udp().ask("www.example.test").assert_right();
    drop(company);
    let failed = ask(&["www.corp.test", "A"]);
    assert!(failed.contains("status: SERVFAIL"), "{failed}");
    assert_eq!(ask(&["nas.lan", "A", "+short"]), "192.0.2.10\n");
    for name in ["nas.lan", "www.corp.test", "none.corp.test", "long.lan"] {
        assert_eq!(public.queries_for(name), 0, "{name}");
    }
}

#[test]
fn names_without_ipv6_addresses_get_those_of_the_nat64_of_their_group() {
    if !are_installed(&[], &["dnsmasq", "unbound", "kdig"]) {
        return;
    }
    let authority = TestAuthority::new().unwrap();
    let (router, company) = (Server::dnsmasq(), Server::unbound());
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("dotgate.toml");
    let route = format!(
        "[[route]]\nsuffixes = [\"corp.test\"]\nupstreams = [\"{}\"]\ndns64 = \"2001:db8:64::/96\"\n",
        company.written()
    );
    std::fs::write(&file, route).unwrap();
    let variables = [
        ("DOTGATE_CONFIG_FILE", file.to_str().unwrap()),
        ("DOTGATE_DNS_ALLOW_PLAIN_DEFAULT", "insecure"),
        ("DOTGATE_DNS_DNS64", "64:ff9b::/96"),
    ];
    let program = Program::serve(&authority, &router.written(), &variables);
    let ask = |options: &[&str]| dig(program.address(), options);
    for _ in 0..2 {
        assert_eq!(ask(&["nas.lan", "AAAA", "+short"]), "64:ff9b::c000:20a\n");
        let of_company = ask(&["www.corp.test", "AAAA", "+short"]);
        assert_eq!(of_company, "2001:db8:64::c000:214\n");
    }
    assert_eq!(ask(&["nas.lan", "A", "+short"]), "192.0.2.10\n");
    assert!(ask(&["none.corp.test", "AAAA"]).contains("status: NXDOMAIN"));
    let checked = ask(&["nas.lan", "AAAA", "+dnssec", "+cd", "+short"]);
    assert_eq!(checked, "", "who checks signatures gets what there is");
    let reverse = ask(&["-x", "64:ff9b::c000:20a"]);
    assert!(reverse.contains("10.2.0.192.in-addr.arpa."), "{reverse}");
    let metrics = get(program.admin(), "/metrics").body;
    // Answers of plain upstreams are not cached.
    let made = "dotgate_dns64_total{result=\"synthesized\"} 4\n";
    assert!(metrics.contains(made), "{metrics}");
}

#[test]
fn a_forwarded_query_costs_one_send_and_one_receive() {
    if !are_installed(&[], &["dnsmasq", "kdig", "strace"]) {
        return;
    }
    let authority = TestAuthority::new().unwrap();
    let router = Server::dnsmasq();
    let variables = [
        ("DOTGATE_DNS_ALLOW_PLAIN_DEFAULT", "insecure"),
        ("DOTGATE_CACHE_SIZE", "0"),
    ];
    let traced = Traced::serve(&authority, &router.written(), &variables);
    for number in 0..20 {
        let name = format!("name-{number}.lan");
        let answer = dig(traced.program.address(), &[&name, "+short"]);
        assert_eq!(answer, "192.0.2.10\n");
    }
    let threads = traced.stop();
    let counted: Vec<_> = threads.iter().flat_map(|t| calls_per_query(t)).collect();
    assert!(counted.len() >= 20, "{counted:#?} in {threads:#?}");
    let cheap = counted
        .iter()
        .filter(|calls| **calls == ["sendto", "recvfrom"]);
    // The first ones find no socket made ahead.
    assert!(cheap.count() >= 18, "{counted:#?}");
}

/// The system calls between a worker's read of a query and its response, but for those that wait, and those that make the
/// sockets of later queries once this one was sent. `trace` is that of one thread.
fn calls_per_query(trace: &str) -> Vec<Vec<&str>> {
    let mut counted = Vec::new();
    let mut open: Option<Vec<&str>> = None;
    for line in trace.lines() {
        let call = call(line);
        match &mut open {
            _ if call == "recvmmsg" && line.ends_with("= 1") => open = Some(Vec::new()),
            Some(calls) => match call {
                "sendmmsg" => counted.extend(open.take()),
                "socket" | "connect" | "epoll_ctl" | "close" | "fcntl"
                    if calls.contains(&"sendto") => {}
                "epoll_wait" => {}
                _ => calls.push(call),
            },
            None => {}
        }
    }
    counted
}
