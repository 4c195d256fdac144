//! What `dotgate check` prints, whole, for a right configuration and for a wrong one.

use std::path::Path;

use anstream::StripStream;
use dotgate_config::{Environment, load};
use dotgate_testbed::certificates::TestAuthority;
use serde_json::Value;

use super::*;

/// Checks `variables`, with a file of authorities, in whose place the output has `CA`.
fn checked(variables: &[(&str, &str)]) -> (u8, String, String) {
    let folder = tempfile::tempdir().unwrap();
    let file = authority_in(folder.path(), "ca\u{1b}.pem");
    let own = [("DOTGATE_TLS_CA_FILE", file.as_str())];
    let (status, out, err) = checked_as_is(&[&own, variables].concat());
    let shown = Escaped(&file).to_string();
    (
        status,
        out.replace(&file, "CA").replace(&shown, "SHOWN"),
        err,
    )
}

fn checked_as_is(variables: &[(&str, &str)]) -> (u8, String, String) {
    checked_and_shown(variables, Shown::default())
}

fn checked_and_shown(variables: &[(&str, &str)], shown: Shown) -> (u8, String, String) {
    let environment: Environment = variables.iter().copied().collect();
    let (mut out, mut err) = (Vec::new(), Vec::new());
    let mut plain = StripStream::new(&mut out);
    let status = run(
        &load(&environment, None),
        shown,
        &environment,
        &mut plain,
        &mut err,
    )
    .unwrap();
    (
        status.code(),
        String::from_utf8(out).unwrap(),
        String::from_utf8(err).unwrap(),
    )
}

fn authority_in(folder: &Path, name: &str) -> String {
    let path = folder.join(name);
    std::fs::write(&path, TestAuthority::new().unwrap().pem()).unwrap();
    path.display().to_string()
}

#[test]
fn it_says_how_many_authorities_come_from_where_and_refuses_what_holds_none() {
    let folder = tempfile::tempdir().unwrap();
    let below = folder.path().join("certs");
    std::fs::create_dir(&below).unwrap();
    let file = authority_in(folder.path(), "file.pem");
    authority_in(&below, "one.pem");
    authority_in(&below, "two.pem");
    let below = below.display().to_string();
    let four = [
        ("HOST", "::1"),
        ("PORT", "5300"),
        ("DNS_HOST", "192.0.2.1"),
        ("DNS_PORT", "853"),
    ];
    let with = |variables: &[(&str, &str)]| checked_as_is(&[&four, variables].concat());
    let (status, out, _) = with(&[("SSL_CERT_FILE", &file), ("SSL_CERT_DIR", &below)]);
    assert_eq!(status, 0);
    for line in [
        "\nauthorities: 1 certificate from SSL_CERT_FILE, 2 from SSL_CERT_DIR\n",
        "\nwarning: the authorities of SSL_CERT_DIR are trusted in addition to those of SSL_CERT_FILE; \
         DOTGATE_TLS_CA_FILE names a file with the only ones to trust\n",
    ] {
        assert!(out.contains(line), "{out}");
    }
    let (status, out, err) = with(&[("SSL_CERT_FILE", "missing.pem")]);
    assert_eq!((status, out.as_str()), (2, ""));
    assert!(
        err.contains("\n\nSSL_CERT_FILE is missing.pem, which has no readable certificate"),
        "{err}"
    );
}

#[test]
fn every_setting_is_printed_with_its_origin_those_set_first_and_then_what_it_comes_to() {
    let (status, out, err) = checked(&[
        ("HOST", "::"),
        ("PORT", "5300"),
        ("DNS_HOST", "192.0.2.1#dot.test"),
        ("DNS_PORT", "853"),
        ("DOTGATE_SERVER_WORKERS", "3"),
        ("DOTGATE_PORT", "tcp://10.0.0.1:53"),
    ]);
    assert_eq!((status, err.as_str()), (0, ""));
    assert_eq!(
        out,
        "\
server.host                     HOST                    ::
server.port                     PORT                    5300
dns.host                        DNS_HOST                192.0.2.1#dot.test
dns.port                        DNS_PORT                853
server.workers                  DOTGATE_SERVER_WORKERS  3
tls.ca_file                     DOTGATE_TLS_CA_FILE     SHOWN

dns.probe                       default                 .
dns.allow_plain_default         default                 refuse
dns.dns64                       default                 off
dns.state_file                  -                       (not set)
dns.session_max_age             default                 1h
dns.strategy                    default                 ordered
dns.shard_key                   -                       (not set)
dns.hedge                       default                 3%
dns.portal                      default                 off
DOTGATE_ROUTES                  default                 (none)
DOTGATE_CONFIG_FILE             -                       (not set)
config.watch                    default                 true
log.level                       default                 info
log.format                      default                 text
server.udp_receive_buffer       default                 4MiB
server.udp_response_max         default                 1232
server.client_memory            default                 auto
server.take_over_socket         -                       (not set)
server.drain_max                default                 8s
server.start                    default                 serve-anyway
server.proxy_protocol_from      -                       (not set)
server.user                     -                       (not set)
server.sandbox                  default                 auto
server.certificate_file         -                       (not set)
server.key_file                 -                       (not set)
server.client_ca_file           -                       (not set)
server.ticket_key_file          -                       (not set)
server.cookie_secret_file       -                       (not set)
dot.listen                      -                       (not set)
dot.idle                        default                 30s
doh.listen                      -                       (not set)
doh.idle                        default                 30s
doh.proxy_from                  -                       (not set)
doq.listen                      -                       (not set)
doq.idle                        default                 30s
query.deadline                  default                 4s
query.in_flight_max             default                 20000
query.in_flight_per_client_max  default                 1000
query.exempt                    default                 127.0.0.0/8,::1
query.forward_classes           default                 (none)
query.log                       default                 off
query.log_format                default                 text
query.log_filter                default                 (none)
query.log_clients               default                 full
query.log_names                 default                 full
query.dnstap                    default                 off
tcp.connections_max             default                 auto
tcp.connections_per_client_max  default                 auto
tcp.idle                        default                 10s
tcp.in_flight_max               default                 1000
tcp.queries_max                 -                       (not set)
tcp.max_age                     default                 off
access.allow                    default                 127.0.0.0/8,::1,10.0.0.0/8,172.16.0.0/12,\
192.168.0.0/16,100.64.0.0/10,169.254.0.0/16,fe80::/10,fc00::/7
access.deny                     -                       (not set)
access.answer                   default                 refused
rate.queries                    -                       (not set)
rate.responses                  -                       (not set)
rate.slip                       default                 2
rate.connections                -                       (not set)
rate.handshakes                 -                       (not set)
rate.ipv4_prefix                default                 32
rate.ipv6_prefix                default                 56
SSL_CERT_FILE                   -                       (not set)
SSL_CERT_DIR                    -                       (not set)
tls.authentication              default                 strict
tls.key_exchange                default                 auto
tls.clockless_names             default                 pool.ntp.org,ntp.ubuntu.com,time.cloudflare.com,\
time.google.com,time.windows.com,time.apple.com,time.nist.gov
bootstrap.addresses             -                       (not set)
local.records                   -                       (not set)
local.hosts_file                -                       (not set)
local.ttl                       default                 60s
local.block_file                -                       (not set)
local.allow_file                -                       (not set)
local.block_answer              default                 nxdomain
local.rebind_protect            default                 off
local.rebind_except             default                 (none)
local.rebind_routes             default                 (none)
admin.listen                    default                 127.0.0.1:9153
admin.socket                    default                 auto
admin.host_names                -                       (not set)
admin.token_file                -                       (not set)
admin.queries                   default                 false
admin.routes                    default                 false
cache.size                      default                 64MiB
cache.ttl_min                   default                 0s
cache.ttl_max                   default                 1d
cache.negative_ttl_max          default                 1h
cache.failure_ttl_max           default                 5s
cache.stale_max                 default                 1d
cache.stale_after               default                 1800ms
cache.prefetch                  default                 true
cache.nxdomain_all_types        default                 false
cache.rotate_addresses          default                 true
cache.except                    default                 (none)
cache.snapshot_file             -                       (not set)

listen on [::]:5300, UDP and TCP
workers: 3
upstream 192.0.2.1@853#dot.test: a certificate for dot.test
authorities: 1 certificate from SHOWN
warning: :: is IPv6 only; 0.0.0.0,:: serves IPv4 as well
warning: there is only one upstream: while it is down, only cached responses are served
warning: ignored variables that Kubernetes injected for a Service: 1 \
(`enableServiceLinks: false` avoids them)
configuration OK
"
    );
}

#[test]
fn problems_go_to_stderr_with_status_2() {
    let (status, out, err) =
        checked(&[("HOST", "::1"), ("PORT", "5300"), ("DNS_HOST", "192.0.2.1")]);
    assert_eq!((status, out.as_str()), (2, ""));
    assert_eq!(
        err,
        "\
dotgate: 1 problem in the configuration, nothing was started

DNS_PORT is not set
  expected: a whole number from 1 to 65535
  example: DNS_PORT=853
"
    );
}

#[test]
fn upstreams_that_are_not_authenticated_are_pointed_at() {
    let (_, out, _) = checked(&[
        ("HOST", "::1"),
        ("PORT", "5300"),
        ("DNS_HOST", "192.0.2.1"),
        ("DNS_PORT", "853"),
        ("DOTGATE_TLS_AUTHENTICATION", "insecure-opportunistic"),
    ]);
    assert!(out.contains("\nupstream 192.0.2.1@853: any certificate, NOT AUTHENTICATED\n"));
    assert!(out.contains(
        "\nwarning: upstreams are not authenticated: anyone on the network path can read and forge all responses\n"
    ));
}

#[test]
fn what_may_not_be_meant_is_a_warning() {
    let warnings = |variables: &[(&str, &str)]| {
        let four = [
            ("HOST", "0.0.0.0"),
            ("PORT", "5300"),
            ("DNS_HOST", "192.0.2.1#dot.test,192.0.2.2#dot.test"),
            ("DNS_PORT", "853"),
        ];
        let (status, out, _) = checked(&[&four, variables].concat());
        assert_eq!(status, 0);
        let lines = out
            .lines()
            .filter_map(|line| line.strip_prefix("warning: "));
        lines.map(str::to_owned).collect::<Vec<String>>()
    };
    assert_eq!(warnings(&[]), [""; 0]);
    for (variable, value, expected) in [
        (
            "DOTGATE_ACCESS_ALLOW",
            "0.0.0.0",
            "access.allow has 0.0.0.0, an address that no client has; 0.0.0.0/0 is every client",
        ),
        (
            "DOTGATE_ACCESS_ALLOW",
            "10.0.0.0/8,2000::/3",
            "access.allow has 2000::/3: anyone on the Internet who can reach this resolver can use it, also for \
             attacks",
        ),
        (
            "DNS_HOST",
            "192.0.2.1",
            "there is only one upstream: while it is down, only cached responses are served",
        ),
        (
            "DNS_HOST",
            "2001:db8::1,2001:db8::2",
            "all upstreams are IPv6 addresses: without IPv6 connectivity none can be reached",
        ),
        (
            "DNS_HOST",
            "192.0.2.1@53,192.0.2.2",
            "upstream 192.0.2.1@53: port 53 is that of DNS without TLS; DNS over TLS is usually on 853",
        ),
        (
            "DNS_HOST",
            "192.0.2.1#dns_quad9,192.0.2.2",
            "upstream 192.0.2.1@853#dns_quad9: dns_quad9 has no dot; certificates are for names such as dns.quad9.net",
        ),
    ] {
        assert_eq!(
            warnings(&[(variable, value)]),
            [expected],
            "{variable}={value}"
        );
    }
    let everybody = warnings(&[("DOTGATE_ACCESS_ALLOW", "0.0.0.0/0,::/0")]);
    assert!(
        everybody.len() == 2
            && everybody
                .iter()
                .all(|it| it.contains("anyone on the Internet"))
    );
    let on_loopback = [
        ("DOTGATE_ACCESS_ALLOW", "0.0.0.0/0,::/0"),
        ("HOST", "127.0.0.1,::1"),
    ];
    assert_eq!(warnings(&on_loopback), [""; 0]);
}

#[test]
fn an_address_that_is_not_there_and_a_snapshot_without_a_folder_are_warnings() {
    let (status, out, _) = checked(&[
        ("HOST", "127.0.0.1,192.0.2.77"),
        ("PORT", "5300"),
        ("DNS_HOST", "192.0.2.1,192.0.2.2"),
        ("DNS_PORT", "853"),
        ("DOTGATE_CACHE_SNAPSHOT_FILE", "/nonexistent/cache"),
    ]);
    assert_eq!(status, 0);
    for line in [
        "\nwarning: this host does not have the listening address 192.0.2.77:5300 now (",
        "\nwarning: cache.snapshot_file /nonexistent/cache cannot be written: ",
    ] {
        assert!(out.contains(line), "{out}");
    }
    assert_eq!(out.matches("\nwarning: ").count(), 2, "{out}");
}

#[test]
fn what_was_set_can_be_shown_alone_and_as_json() {
    let folder = tempfile::tempdir().unwrap();
    let file = authority_in(folder.path(), "ca.pem");
    let right = [
        ("HOST", "127.0.0.1"),
        ("PORT", "5300"),
        ("DNS_HOST", "192.0.2.1#dot.test"),
        ("DNS_PORT", "853"),
        ("DOTGATE_TLS_CA_FILE", &file),
    ];
    let only_changed = Shown {
        only_changed: true,
        ..Shown::default()
    };
    let (status, out, _) = checked_and_shown(&right, only_changed);
    assert_eq!(status, 0);
    assert!(
        out.contains("dns.host") && !out.contains("default"),
        "{out}"
    );

    let as_json = |variables: &[(&str, &str)], only_changed| {
        let is_json = true;
        let shown = Shown {
            only_changed,
            is_json,
            ..Shown::default()
        };
        let (status, out, err) = checked_and_shown(variables, shown);
        assert_eq!(err, "");
        (status, serde_json::from_str::<Value>(&out).unwrap())
    };
    let (status, document) = as_json(&right, true);
    assert_eq!(status, 0);
    let settings = document["settings"].as_array().unwrap();
    assert_eq!(settings.len(), right.len());
    assert_eq!(settings[0]["name"], "server.host");
    assert_eq!(settings[0]["origin"], "HOST");
    assert_eq!(document["listen"][0], "127.0.0.1:5300");
    assert_eq!(document["upstreams"][0], "192.0.2.1@853#dot.test");
    assert_eq!(document["warnings"].as_array().unwrap().len(), 1);
    let (_, all) = as_json(&right, false);
    assert_eq!(
        all["settings"].as_array().unwrap().len(),
        dotgate_config::settings::TABLE.len()
    );

    let (status, document) = as_json(&right[1..], false);
    assert_eq!(status, 2);
    let problems = document["problems"].as_array().unwrap();
    assert!(
        problems[0].as_str().unwrap().starts_with("HOST is not set"),
        "{document}"
    );
}
