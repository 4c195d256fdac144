use super::*;
use crate::tests::loaded;
use crate::{Config, Environment};

fn load(routes: &str) -> Result<Config, String> {
    loaded(&[
        ("DNS_HOST", "9.9.9.9#dns.quad9.net,1.1.1.1"),
        ("DOTGATE_ROUTES", routes),
    ])
}

fn from_file(text: &str) -> Result<Config, String> {
    let file = tempfile::NamedTempFile::new().unwrap();
    let head =
        "[server]\nhost = \"127.0.0.1\"\nport = 5300\n[dns]\nhost = \"9.9.9.9\"\nport = 853\n";
    std::fs::write(file.path(), format!("{head}{text}")).unwrap();
    let loaded = crate::load(&Environment::default(), Some(file.path()));
    let path = file.path().display().to_string();
    loaded
        .map(|loaded| loaded.config)
        .map_err(|problems| problems.to_string().replace(&path, "FILE"))
}

fn shown(config: &Config) -> Vec<String> {
    let groups = config.groups().iter();
    let group = |group: &GroupConfig| {
        let suffixes: Vec<String> = group.suffixes.iter().map(Suffix::to_string).collect();
        let upstreams: Vec<&str> = group.upstreams.iter().map(|it| &*it.label).collect();
        format!(
            "{}: {} = {}",
            group.label,
            suffixes.join(" "),
            upstreams.join(" ")
        )
    };
    groups.map(group).collect()
}

#[test]
fn plain_upstreams_are_for_the_names_of_routes() {
    let config = load("lan=plain:192.168.1.1").unwrap();
    assert_eq!(shown(&config)[1], "lan: lan = plain:192.168.1.1@53");
    let host = ("DNS_HOST", "9.9.9.9,plain:192.168.1.1");
    let refused = loaded(&[host]).unwrap_err();
    assert!(
        refused.contains("DNS_HOST: plain:192.168.1.1 would send every query in plain text"),
        "{refused}"
    );
    let insecure = ("DOTGATE_DNS_ALLOW_PLAIN_DEFAULT", "insecure");
    let allowed = loaded(&[host, insecure]).unwrap();
    assert_eq!(allowed.upstreams()[1].demand(), "plain DNS, NOT ENCRYPTED");
}

#[test]
fn routes_are_read_from_one_line_and_from_tables() {
    let line = load(
        "Corp.Example.,10.0.0.0/8=10.0.0.53@8853#dns.corp.example,9.9.9.9#dns.quad9.net\n home.arpa=192.168.1.1",
    );
    let expected = [
        "default:  = 9.9.9.9@853#dns.quad9.net 1.1.1.1@853",
        "corp.example: corp.example 10.0.0.0/8 = 10.0.0.53@8853#dns.corp.example 9.9.9.9@853#dns.quad9.net",
        "home.arpa: home.arpa = 192.168.1.1@853",
    ];
    let line = line.unwrap();
    assert_eq!(shown(&line), expected);
    let labels: Vec<&str> = line.upstreams().iter().map(|it| &*it.label).collect();
    assert_eq!(
        labels,
        [
            "9.9.9.9@853#dns.quad9.net",
            "1.1.1.1@853",
            "10.0.0.53@8853#dns.corp.example",
            "192.168.1.1@853"
        ],
        "one that is in two groups is one"
    );
    let tables = from_file(
        "[[route]]\nsuffixes = [\"corp.example\", \"10.0.0.0/8\"]\nupstreams = [\"10.0.0.53\"]\n\
         [[route]]\nsuffixes = \"home.arpa\"\nupstreams = \"192.168.1.1\"\n",
    );
    assert_eq!(
        shown(&tables.unwrap()),
        [
            "default:  = 9.9.9.9@853",
            "corp.example: corp.example 10.0.0.0/8 = 10.0.0.53@853",
            "home.arpa: home.arpa = 192.168.1.1@853"
        ]
    );
    assert_eq!(shown(&load("").unwrap()).len(), 1);
}

#[test]
fn what_is_wrong_with_a_route_is_said_with_what_to_write() {
    for (routes, expected) in [
        (
            "corp.example",
            "corp.example is not SUFFIX=UPSTREAM (a route has no space in it",
        ),
        ("corp.example= 10.0.0.53", "it is empty"),
        ("=10.0.0.53", "it is empty"),
        (
            ".=10.0.0.53",
            "the default route is DNS_HOST and not a suffix",
        ),
        ("a..b=10.0.0.53", "a..b is not a DNS name"),
        (
            "bücher.example=10.0.0.53",
            "bücher.example is not in ASCII (write xn--bcher-kva.example)",
        ),
        (
            "10.0.0.1=10.0.0.53",
            "10.0.0.1 is an address (write 10.0.0.1/32 for its reverse name)",
        ),
        (
            "fd00::1=10.0.0.53",
            "fd00::1 is an address (write fd00::1/128",
        ),
        (
            "*.corp.example=10.0.0.53",
            "*.corp.example is a wildcard (write corp.example, which stands for itself and all names below it)",
        ),
        (
            "10.0.0.1/8=10.0.0.53",
            "10.0.0.1/8 has bits beyond its length (write 10.0.0.0/8)",
        ),
        (
            "10.0.0.0/33=10.0.0.53",
            "10.0.0.0/33 is not an address or prefix",
        ),
        (
            "a.example=10.0.0.53:853",
            "10.0.0.53:853 has its port after a colon (write 10.0.0.53@853)",
        ),
        (
            "a.example=ns.corp.example",
            "the upstream ns.corp.example is a name",
        ),
        (
            "a.example=127.0.0.1@5300",
            "the upstream 127.0.0.1@5300 is dotgate itself",
        ),
        (
            "a.example=10.0.0.1,10.0.0.1",
            "the upstream 10.0.0.1@853 is listed twice",
        ),
        (
            "a.example=9.9.9.9#dns.quad9.net;pin=sha256/AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=",
            "has other pins or another client certificate here than in another group",
        ),
    ] {
        let problem = load(routes).unwrap_err();
        assert!(problem.contains(expected), "{routes}: {problem}");
        assert!(problem.contains("DOTGATE_ROUTES"), "{problem}");
    }
}

#[test]
fn a_suffix_in_two_routes_is_refused_with_both_named() {
    let problem = load("a.example,b.example=10.0.0.1 c.example,B.Example=10.0.0.2").unwrap_err();
    let expected = "the suffix b.example has two routes: that of c.example here, and that of a.example (DOTGATE_ROUTES)";
    assert!(problem.contains(expected), "{problem}");
    let problem = from_file(
        "[[route]]\nsuffixes = [\"10.0.0.0/9\"]\nupstreams = [\"10.0.0.1\"]\n\
         [[route]]\nsuffixes = [\"5.10.in-addr.arpa\"]\nupstreams = [\"10.0.0.2\"]\n",
    )
    .unwrap_err();
    let expected = "FILE:10: the suffix 5.10.in-addr.arpa has two routes: that of 5.10.in-addr.arpa here, and that of \
                    10.0.0.0/9 (FILE:7)";
    assert!(problem.contains(expected), "{problem}");
    // A prefix and a longer one are two suffixes.
    assert!(load("10.0.0.0/8=10.0.0.1 10.1.0.0/16=10.0.0.2").is_ok());
}

#[test]
fn what_is_wrong_in_a_table_is_said_with_its_line() {
    for (tables, expected) in [
        (
            "[[route]]\nsuffixes = [\"a.example\"]\n",
            "FILE:7: this [[route]] has no upstreams",
        ),
        (
            "[[route]]\nsuffixes = [\"a..b\"]\nupstreams = [\"10.0.0.1\"]\n",
            "FILE:8: [[route]] suffixes = \"a..b\": a..b is not a DNS name",
        ),
        (
            "[[route]]\nsuffixes = [\"a\"]\nupstreams = [\"10.0.0.1:5\"]\n",
            "FILE:9: [[route]] upstreams",
        ),
        (
            "[[route]]\nsuffix = [\"a\"]\nupstreams = [\"10.0.0.1\"]\n",
            "FILE:8: [[route]] suffix is not a setting\n  nearest: suffixes",
        ),
        (
            "[[route]]\nsuffixes = 5.5\nupstreams = [\"10.0.0.1\"]\n",
            "FILE:8: [[route]] suffixes is of type float",
        ),
        (
            "[[routes]]\nsuffixes = [\"a\"]\n",
            "FILE:7: routes is not a setting",
        ),
    ] {
        let problem = from_file(tables).unwrap_err();
        assert!(problem.contains(expected), "{tables}: {problem}");
    }
}

#[test]
fn routes_suffixes_and_upstreams_have_bounds() {
    let routes = |count: usize| {
        let one = |n: usize| format!("n{n}.example=10.0.0.1");
        (0..count).map(one).collect::<Vec<String>>().join(" ")
    };
    assert!(load(&routes(63)).is_ok());
    let problem = load(&routes(64)).unwrap_err();
    assert!(
        problem.contains("there are 64 routes\n  expected: at most 63"),
        "{problem}"
    );
    let suffixes: Vec<String> = (0..=SUFFIXES_MAX).map(|n| format!("n{n}")).collect();
    let problem = load(&format!("{}=10.0.0.1", suffixes.join(","))).unwrap_err();
    assert!(problem.contains("there are 65537"), "{problem}");
    let upstreams = |n: usize| {
        let all = (1..=16).map(|host| format!("10.{n}.0.{host}"));
        format!("n{n}.example={}", all.collect::<Vec<String>>().join(","))
    };
    let many: Vec<String> = (0..4).map(upstreams).collect();
    let problem = load(&many.join(" ")).unwrap_err();
    assert!(
        problem.contains("there are more than 64 upstreams"),
        "{problem}"
    );
}
