//! Routes that programs set while dotgate runs: with Unbound as the server of a company, which a VPN leads to.

use std::collections::BTreeMap;
use std::fs;
use std::io::{Read as _, Write as _};
use std::os::unix::net::UnixListener;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::thread;

use dotgate::take_over::Predecessor;
use dotgate_testbed::certificates::TestAuthority;
use tempfile::TempDir;

use crate::tail::{TOKEN, token_file};
use crate::world::house::House;
use crate::world::http::{get, metric, post};
use crate::world::peer::are_installed;
use crate::world::program::{Program, command};
use crate::world::server::{Server, dig};
use crate::world::upstream::Upstream;
use crate::world::wait::until;

/// The address of `www.corp.test` at the company.
const PRIVATE: &str = "192.0.2.20\n";

/// A forwarder that takes routes, and the company's server.
struct Office {
    public: Upstream,
    company: Server,
    folder: TempDir,
    program: Program,
}

impl Office {
    fn start(settings: &[(&str, &str)]) -> Option<Office> {
        if !are_installed(&[], &["unbound", "kdig"]) {
            return None;
        }
        let authority = TestAuthority::new().unwrap();
        let (public, company) = (Upstream::start(&authority), Server::unbound());
        let folder = TempDir::new().unwrap();
        let (file, socket) = (folder.path().join("it.toml"), folder.path().join("a.sock"));
        fs::write(&file, "[admin]\nroutes = true\n").unwrap();
        let own = [
            ("DOTGATE_CONFIG_FILE", file.to_str().unwrap()),
            ("DOTGATE_CONFIG_WATCH", "false"),
            // It permits upstreams at ports 53 and 853.
            ("DOTGATE_SERVER_SANDBOX", "off"),
            ("DOTGATE_ADMIN_SOCKET", socket.to_str().unwrap()),
        ];
        let settings: Vec<_> = own.iter().chain(settings).copied().collect();
        let program = Program::serve(&authority, &public.written(), &settings);
        Some(Office {
            public,
            company,
            folder,
            program,
        })
    }

    fn run(&self, arguments: &[&str]) -> (Option<i32>, String) {
        let socket = self.folder.path().join("a.sock");
        let socket = [("DOTGATE_ADMIN_SOCKET", socket.to_str().unwrap())];
        let arguments: Vec<&str> = ["routes"].iter().chain(arguments).copied().collect();
        self.program.run_with(&arguments, &socket)
    }

    /// The route to the company.
    fn route(&self) -> String {
        format!("corp.test={}", self.company.written())
    }

    fn addresses(&self, name: &str) -> String {
        dig(self.program.address(), &[name, "A", "+short"])
    }

    fn is_failing(&self, name: &str) -> bool {
        dig(self.program.address(), &[name, "A"]).contains("SERVFAIL")
    }

    /// How many queries for names of the company the public upstream has seen.
    fn leaked(&self) -> usize {
        self.public.queries_for("www.corp.test")
    }

    fn reload(&self, settings: &str) -> String {
        fs::write(self.folder.path().join("it.toml"), settings).unwrap();
        self.program.signal("HUP");
        self.program.wait_for_line("reload")
    }

    fn metric(&self, series: &str) -> f64 {
        metric(self.program.admin(), series)
    }
}

#[test]
fn names_go_to_the_company_while_the_route_is_set_and_everybody_sees_it() {
    let Some(office) = Office::start(&[]) else {
        return;
    };
    assert_eq!(
        office.run(&[]),
        (Some(0), "no program has set routes\n".to_owned())
    );
    let (status, said) = office.run(&["set", "tun0", &office.route(), "--for", "1h"]);
    assert_eq!(status, Some(0), "{said}");
    assert!(said.starts_with("tun0 (for "), "{said}");
    assert_eq!(office.addresses("www.corp.test"), PRIVATE);
    assert_eq!(office.leaked(), 0);
    let line = office.program.wait_for_line("routes were set on request");
    assert!(
        line.contains("owner=tun0") && line.contains("seconds=3600"),
        "{line}"
    );

    let owner = "\"owner\":\"tun0\"";
    let health = get(office.program.admin(), "/healthz").body;
    assert!(
        health.contains(owner) && health.contains("\"expired\":false"),
        "{health}"
    );
    let status = get(office.program.admin(), "/api/v1/status").json();
    assert_eq!(status["volatile_routes"]["owners"][0]["owner"], "tun0");
    assert_eq!(status["volatile_routes"]["permitted"], true);
    let (_, text) = office.program.run(&["status"]);
    assert!(text.contains("routes      tun0 (for "), "{text}");
    assert_eq!(
        office.metric("dotgate_volatile_route_owners{state=\"active\"}"),
        1.0
    );

    // A reload keeps it, whatever else changes; a route of the settings with the same suffix is none of its business.
    office.reload("[admin]\nroutes = true\n[cache]\nttl_max = \"1h\"\n");
    assert_eq!(office.addresses("www.corp.test"), PRIVATE);
    let line = office.reload(&format!(
        "[admin]\nroutes = true\n[[route]]\nsuffixes = [\"corp.test\"]\nupstreams = [\"{}\"]\n",
        office.company.written()
    ));
    assert!(line.contains("reload rejected"), "{line}");
    let line = office
        .program
        .wait_for_line("problem in the new configuration");
    assert!(line.contains("routes of tun0"), "{line}");
    // What no program may set any more, it may still remove.
    office.reload("[admin]\nroutes = false\n");
    assert_eq!(office.addresses("www.corp.test"), PRIVATE);
    let (status, said) = office.run(&["set", "wg0", "other.test=192.0.2.1"]);
    assert_eq!(status, Some(1));
    assert!(said.contains("DOTGATE_ADMIN_ROUTES=true"), "{said}");
    assert_eq!(office.leaked(), 0);

    let (status, said) = office.run(&["remove", "tun0"]);
    assert_eq!(
        (status, said.as_str()),
        (Some(0), "no program has set routes\n")
    );
    assert_ne!(
        office.addresses("www.corp.test"),
        PRIVATE,
        "nor from the cache"
    );
    assert_eq!(office.leaked(), 1, "as for every other name");
    let (status, said) = office.run(&["remove", "tun0"]);
    assert_eq!(status, Some(1));
    assert!(said.contains("tun0 has set no routes"), "{said}");
}

#[test]
fn names_of_expired_routes_fail_until_the_routes_are_set_again_or_removed() {
    let Some(office) = Office::start(&[]) else {
        return;
    };
    let set = |span: &str| {
        let (status, said) = office.run(&["set", "tun0", &office.route(), "--for", span]);
        assert_eq!(status, Some(0), "{said}");
    };
    set("1s");
    let line = office.program.wait_for_line("routes have expired");
    assert!(
        line.contains("WARN") && line.contains("owner=tun0"),
        "{line}"
    );
    assert!(office.is_failing("www.corp.test"));
    assert!(office.is_failing("new.corp.test"));
    assert_eq!(office.leaked(), 0);
    let ready = get(office.program.admin(), "/readyz");
    assert_eq!(ready.status, 200);
    assert!(
        ready.body.contains("the routes of tun0 have expired"),
        "{ready:?}"
    );
    let (_, said) = office.run(&[]);
    assert!(
        said.starts_with("tun0 (expired: these names fail)\n"),
        "{said}"
    );
    assert_eq!(
        office.metric("dotgate_volatile_route_owners{state=\"expired\"}"),
        1.0
    );
    assert_eq!(office.metric("dotgate_group_up{group=\"corp.test\"}"), 0.0);
    // A reload does not send them elsewhere either.
    office.reload("[admin]\nroutes = true\n[cache]\nttl_max = \"1h\"\n");
    assert!(office.is_failing("www.corp.test"));

    set("1h");
    assert_eq!(office.addresses("www.corp.test"), PRIVATE);
    // Set again in time, nothing changes.
    set("2h");
    assert_eq!(office.run(&["remove", "tun0"]).0, Some(0));
    assert!(!office.is_failing("www.corp.test"));
    assert_eq!(office.leaked(), 1);
}

#[test]
fn a_request_without_the_token_or_with_wrong_routes_changes_nothing() {
    let token = token_file();
    let path = token.path().to_str().unwrap();
    let Some(office) = Office::start(&[
        ("DOTGATE_ADMIN_TOKEN_FILE", path),
        ("DOTGATE_ROUTES", "lan=plain:192.0.2.9"),
    ]) else {
        return;
    };
    let admin = office.program.admin();
    let bearer = format!("Authorization: Bearer {TOKEN}\r\n");
    let body = r#"{"set": {"owner": "tun0", "routes": "a.test=plain:192.0.2.1"}}"#;
    assert_eq!(post(admin, "/api/v1/routes", "", body).status, 401);
    let one = |routes: &str, more: &str| {
        format!(r#"{{"set": {{"owner": "tun0", "routes": "{routes}"{more}}}}}"#)
    };
    let own = format!(
        "a.test=plain:{}",
        office.program.address().to_string().replace(':', "@")
    );
    for (body, status, words) in [
        ("{}".to_owned(), 400, "the body is invalid"),
        (one("", ""), 400, "routes"),
        (one("a.test", ""), 400, "is not SUFFIX=UPSTREAM"),
        (
            one("a.test=plain:192.0.2.1", r#", "to": 1"#),
            400,
            "the body is invalid",
        ),
        (body.replace("tun0", "t 0"), 400, "an owner is"),
        (
            one("a.test=plain:192.0.2.1", r#", "seconds": 0"#),
            409,
            "1 to 604800 seconds",
        ),
        (
            one("lan=plain:192.0.2.1", ""),
            409,
            "the settings have a route for lan",
        ),
        (
            one("a.test=dns.corp.test", ""),
            409,
            "DOTGATE_BOOTSTRAP_ADDRESSES",
        ),
        (one(&own, ""), 409, "dotgate itself"),
        (
            r#"{"remove": "tun1"}"#.to_owned(),
            409,
            "tun1 has set no routes",
        ),
    ] {
        let refused = post(admin, "/api/v1/routes", &bearer, &body);
        assert_eq!(refused.status, status, "{body}: {refused:?}");
        assert!(refused.body.contains(words), "{body}: {refused:?}");
    }
    let status = get(admin, "/api/v1/status").json();
    assert_eq!(status["volatile_routes"]["owners"], serde_json::json!([]));
    let taken = post(admin, "/api/v1/routes", &bearer, body);
    assert_eq!(taken.status, 200, "{taken:?}");
    assert_eq!(
        taken.json()["owners"][0]["seconds_left"],
        serde_json::Value::Null
    );
}

#[test]
fn the_next_process_has_the_routes_that_were_set_before() {
    if !are_installed(&[], &["unbound", "kdig"]) {
        return;
    }
    let ((house, socket), company) = (house_with_socket(), Server::unbound());
    let variables = permitting(&socket);
    let old = house.serve("0", &variables);
    let address = old.address();
    let route = format!("corp.test={}", company.written());
    let run = |program: &Program, arguments: &[&str]| {
        let (status, said) = program.run_with(arguments, &variables);
        assert_eq!(status, Some(0), "{said}");
        said
    };
    run(&old, &["routes", "set", "tun0", &route, "--for", "1h"]);
    run(
        &old,
        &[
            "routes",
            "set",
            "tun1",
            "gone.test=plain:192.0.2.1",
            "--for",
            "1s",
        ],
    );
    old.wait_for_line("routes have expired");
    let next = house.serve(&address.port().to_string(), &variables);
    old.wait_for_line("another process serves");
    assert_eq!(dig(address, &["www.corp.test", "A", "+short"]), PRIVATE);
    assert!(dig(address, &["www.gone.test", "A"]).contains("SERVFAIL"));
    for name in ["www.corp.test", "www.gone.test"] {
        assert_eq!(house.upstream.queries_for(name), 0);
    }
    let said = run(&next, &["routes"]);
    assert!(said.starts_with("tun0 (for "), "{said}");
    assert!(said.contains("tun1 (expired: these names fail)"), "{said}");
}

/// A house whose processes let programs set routes, with what they need for that.
fn house_with_socket() -> (House, String) {
    let house = House::new();
    let socket = house.path("admin.sock").to_str().unwrap().to_owned();
    (house, socket)
}

fn permitting(socket: &str) -> [(&str, &str); 3] {
    [
        ("DOTGATE_ADMIN_ROUTES", "true"),
        ("DOTGATE_SERVER_SANDBOX", "off"),
        ("DOTGATE_ADMIN_SOCKET", socket),
    ]
}

/// Sets a route of this owner, which leads to this address.
fn set_one(program: &Program, socket: &str, owner: &str, address: u8) -> (Option<i32>, String) {
    let route = route_of(owner, address);
    program.run_with(&["routes", "set", owner, &route], &permitting(socket))
}

fn route_of(owner: &str, address: u8) -> String {
    format!("{owner}.test=plain:192.0.2.{address}")
}

/// The owners with their routes.
fn all_routes(program: &Program) -> BTreeMap<String, String> {
    let status = get(program.admin(), "/api/v1/status").json();
    let owners = status["volatile_routes"]["owners"].as_array().unwrap();
    let text = |value: &serde_json::Value| value.as_str().unwrap().to_owned();
    let owners = owners.iter();
    owners
        .map(|it| (text(&it["owner"]), text(&it["routes"])))
        .collect()
}

#[test]
fn a_process_whose_routes_another_one_has_takes_no_others() {
    let (house, socket) = house_with_socket();
    let token = token_file();
    let path = ("DOTGATE_ADMIN_TOKEN_FILE", token.path().to_str().unwrap());
    let variables = [&permitting(&socket)[..], &[path]].concat();
    let first = house.serve("0", &variables);
    assert_eq!(set_one(&first, &socket, "tun0", 1).0, Some(0));
    let bearer = format!("Authorization: Bearer {TOKEN}\r\n");
    let change = |body: &str| post(first.admin(), "/api/v1/routes", &bearer, body);
    let other = r#"{"set": {"owner": "tun1", "routes": "tun1.test=plain:192.0.2.1"}}"#;

    let taking_over = Predecessor::ask(&house.socket()).unwrap().unwrap();
    for body in [other, r#"{"remove": "tun0"}"#] {
        let refused = change(body);
        assert_eq!(refused.status, 503, "{refused:?}");
        assert!(refused.head.contains("retry-after: 1"), "{refused:?}");
        assert!(refused.body.contains("is taking over"), "{refused:?}");
    }
    assert!(all_routes(&first).keys().eq(["tun0"]));
    // It does not take over.
    drop(taking_over);
    first.wait_for_line("still serving");
    assert_eq!(change(other).status, 200);
    assert_eq!(change(r#"{"remove": "tun0"}"#).status, 200);
    assert!(all_routes(&first).keys().eq(["tun1"]));
}

/// Ends what runs at the same time as a test, even if the test fails.
struct Over<'a>(&'a AtomicBool);

impl Drop for Over<'_> {
    fn drop(&mut self) {
        self.0.store(true, Relaxed);
    }
}

#[test]
fn routes_that_are_set_while_processes_replace_each_other_are_not_lost() {
    let (house, socket) = house_with_socket();
    let variables = permitting(&socket);
    let mut serving = house.serve("0", &variables);
    let (address, admin) = (serving.address(), serving.admin().to_string());
    let again = [&variables[..], &[("DOTGATE_ADMIN_LISTEN", &*admin)]].concat();
    let asking = Program::serve(&house.authority, &house.upstream.written(), &[]);
    let (socket, is_over) = (&*socket, &AtomicBool::new(false));
    thread::scope(|scope| {
        let setting = scope.spawn(move || {
            let mut set = BTreeMap::new();
            // No more owners than there may be groups.
            for number in (1..=40).cycle().take_while(|_| !is_over.load(Relaxed)) {
                let owner = format!("tun{}", number % 20);
                let (status, said) = set_one(&asking, socket, &owner, number);
                assert_eq!(status, Some(0), "{said}");
                set.insert(owner.clone(), route_of(&owner, number));
            }
            set
        });
        let over = Over(is_over);
        for _ in 0..3 {
            let next = house.serve(&address.port().to_string(), &again);
            assert_eq!(next.address(), address);
            assert_eq!(serving.wait().code(), Some(0));
            serving = next;
        }
        drop(over);
        let set = setting.join().unwrap();
        assert!(!set.is_empty());
        assert_eq!(all_routes(&serving), set);
    });
}

#[test]
fn the_commands_ask_again_while_nobody_takes_the_change() {
    let (house, socket) = house_with_socket();
    let listener = UnixListener::bind(&socket).unwrap();
    let of_portal = r#"{"permitted": "on", "open": false, "queries": 0}"#;
    for (arguments, done, said) in [
        (
            &["routes", "remove", "tun0"][..],
            r#"{"permitted": true, "owners": []}"#,
            "no program has set routes\n",
        ),
        (
            &["cache", "flush", "--all"],
            r#"{"flushed": 3}"#,
            "3 entries flushed\n",
        ),
        (
            &["portal", "--close"],
            of_portal,
            "no portal window is open\n",
        ),
    ] {
        let mut asking = command(&permitting(&socket));
        asking.args(arguments);
        let asked = thread::spawn(move || asking.output().unwrap());
        for (status, body) in [
            ("503 Service Unavailable", r#"{"error": "not now"}"#),
            ("503 Service Unavailable", r#"{"error": "not now"}"#),
            ("200 OK", done),
        ] {
            let (mut stream, _) = listener.accept().unwrap();
            let mut request = [0; 1024];
            assert!(stream.read(&mut request).unwrap() > 0);
            write!(stream, "HTTP/1.1 {status}\r\n\r\n{body}").unwrap();
        }
        let output = asked.join().unwrap();
        assert_eq!(output.status.code(), Some(0), "{output:?}");
        assert_eq!(output.stdout, said.as_bytes());
    }
    drop(house);
}

#[test]
fn the_hook_of_network_manager_sets_the_routes_of_a_vpn_and_removes_them() {
    let Some(office) = Office::start(&[]) else {
        return;
    };
    let hook = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../deploy/laptop/91-dotgate-vpn"
    );
    let commands = office.folder.path().join("bin");
    fs::create_dir(&commands).unwrap();
    std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_dotgate"), commands.join("dotgate")).unwrap();
    let run = |action: &str| {
        let path = format!("{}:/usr/bin:/bin", commands.display());
        let output = Command::new("sh")
            .args([hook, "tun0", action])
            .env_clear()
            .env("PATH", path)
            .env("DOTGATE_ADMIN_SOCKET", office.folder.path().join("a.sock"))
            .env("VPN_IP_IFACE", "tun0")
            .env("VPN_IP4_DOMAINS", "corp.test ~lab.corp.test ~.")
            .env("VPN_IP4_NAMESERVERS", "192.0.2.53")
            .env("VPN_IP6_NAMESERVERS", "fd00::53")
            .output()
            .unwrap();
        assert!(output.status.success(), "{output:?}");
    };
    run("vpn-up");
    until("its routes are there", || {
        office.run(&[]).1.contains(
            "corp.test,lab.corp.test=plain:192.0.2.53;interface=tun0,plain:fd00::53;interface=tun0",
        )
    });
    run("vpn-down");
    assert_eq!(office.run(&[]).1, "no program has set routes\n");
    // Nothing to remove is no failure, and other actions are not its business.
    run("vpn-down");
    run("dhcp4-change");
}
