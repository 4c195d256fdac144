//! Every form an upstream may be written in, and what is not taken for one.

use super::*;

const PIN: &str = "sha256/AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=";

#[derive(Debug, PartialEq)]
struct Meaning {
    label: String,
    identity: Identity,
    pins: usize,
}

fn meaning(text: &str) -> Meaning {
    let spec: UpstreamSpec = text.parse().unwrap();
    let upstream = UpstreamConfig::new(spec, 853, Profile::Strict);
    let Authentication {
        identity,
        pins,
        report_pins: _,
        client: _,
        pin_without_clock: _,
        strict,
    } = upstream.authentication.unwrap();
    assert!(strict);
    Meaning {
        label: upstream.label,
        identity,
        pins: pins.len(),
    }
}

fn name(text: &'static str) -> Identity {
    Identity::Name(ServerName::try_from(text).unwrap())
}

fn address(text: &str) -> Identity {
    Identity::Address(text.parse().unwrap())
}

#[test]
fn every_form_has_its_label_and_its_identity() {
    let pinned = format!("9.9.9.9;pin={PIN}");
    let pinned_name = format!("[2620:fe::fe]@8853#dns.quad9.net;pin={PIN}; pin={PIN}");
    let named_pinned = format!("dns.quad9.net;pin={PIN}");
    for (text, label, identity, pins) in [
        ("9.9.9.9", "9.9.9.9@853", address("9.9.9.9"), 0),
        ("9.9.9.9@8853", "9.9.9.9@8853", address("9.9.9.9"), 0),
        (
            "9.9.9.9@853#dns.quad9.net",
            "9.9.9.9@853#dns.quad9.net",
            name("dns.quad9.net"),
            0,
        ),
        (
            "9.9.9.9#DNS.Quad9.net.",
            "9.9.9.9@853#dns.quad9.net",
            name("dns.quad9.net"),
            0,
        ),
        (
            "2620:fe::fe",
            "[2620:fe::fe]@853",
            address("2620:fe::fe"),
            0,
        ),
        (
            "2620:fe::fe@8853",
            "[2620:fe::fe]@8853",
            address("2620:fe::fe"),
            0,
        ),
        (
            "[2620:fe::fe]",
            "[2620:fe::fe]@853",
            address("2620:fe::fe"),
            0,
        ),
        ("fe80::1%2", "[fe80::1%2]@853", address("fe80::1"), 0),
        (&pinned, "9.9.9.9@853", Identity::PinOnly, 1),
        (
            &pinned_name,
            "[2620:fe::fe]@8853#dns.quad9.net",
            name("dns.quad9.net"),
            2,
        ),
        (
            "dns.quad9.net",
            "dns.quad9.net@853",
            name("dns.quad9.net"),
            0,
        ),
        (
            "dns.quad9.net@8853",
            "dns.quad9.net@8853",
            name("dns.quad9.net"),
            0,
        ),
        (&named_pinned, "dns.quad9.net@853", name("dns.quad9.net"), 1),
    ] {
        let expected = Meaning {
            label: label.to_owned(),
            identity,
            pins,
        };
        assert_eq!(meaning(text), expected, "{text}");
    }
}

#[test]
fn an_endpoint_keeps_zone_and_port() {
    for (text, endpoint) in [
        ("9.9.9.9", Endpoint::Address("9.9.9.9:853".parse().unwrap())),
        (
            "fe80::1%2@1",
            Endpoint::Address("[fe80::1%2]:1".parse().unwrap()),
        ),
        (
            "Dot.Test.@65535",
            Endpoint::Name {
                name: "dot.test".to_owned(),
                port: 65_535,
            },
        ),
    ] {
        let upstream = UpstreamConfig::new(text.parse().unwrap(), 853, Profile::Strict);
        assert_eq!(upstream.endpoint, endpoint, "{text}");
    }
}

#[test]
fn requirements_of_the_certificate_are_described() {
    let demand =
        |text: &str, profile| UpstreamConfig::new(text.parse().unwrap(), 853, profile).demand();
    let pinned = format!("9.9.9.9;pin={PIN}");
    let pinned_twice = format!("9.9.9.9#dot.test;pin={PIN};pin={PIN}");
    for (text, expected) in [
        ("9.9.9.9", "a certificate for 9.9.9.9"),
        ("9.9.9.9#dot.test", "a certificate for dot.test"),
        (&pinned, "any certificate with the pinned key"),
        (
            &pinned_twice,
            "a certificate for dot.test with one of 2 pinned keys",
        ),
    ] {
        assert_eq!(demand(text, Profile::Strict), expected);
    }
    let expected = "any certificate, NOT AUTHENTICATED";
    assert_eq!(
        demand("9.9.9.9#dot.test", Profile::InsecureOpportunistic),
        expected
    );
}

#[test]
fn what_is_no_upstream_is_refused_with_the_reason() {
    for (text, reason) in [
        ("#dot.test", "\"\" is neither an IP address nor a DNS name"),
        (
            "1.1.1.256",
            "1.1.1.256 is neither an IP address nor a DNS name",
        ),
        (
            "dot test",
            "dot test is neither an IP address nor a DNS name",
        ),
        (
            "dns..test",
            "dns..test is neither an IP address nor a DNS name",
        ),
        (
            "grüße.test",
            "grüße.test is neither an IP address nor a DNS name",
        ),
        (
            "[9.9.9.9]",
            "[9.9.9.9] is neither an IP address nor a DNS name",
        ),
        ("0.0.0.0", "no connection can be made to 0.0.0.0"),
        ("::", "no connection can be made to ::"),
        ("224.0.0.1", "no connection can be made to 224.0.0.1"),
        (
            "255.255.255.255",
            "no connection can be made to 255.255.255.255",
        ),
        (
            "fe80::1",
            "fe80::1 is link-local and needs its interface (as in fe80::1%eth0)",
        ),
        (
            "9.9.9.9:853",
            "9.9.9.9:853 has its port after a colon (write 9.9.9.9@853)",
        ),
        (
            "9.9.9.9:853#dot.test",
            "9.9.9.9:853#dot.test has its port after a colon (write 9.9.9.9@853#dot.test)",
        ),
        (
            "[::1]:853",
            "[::1]:853 has its port after a colon (write [::1]@853)",
        ),
        (
            "dot.test:853",
            "dot.test:853 has its port after a colon (write dot.test@853)",
        ),
        ("9.9.9.9@", "\"\" is not a port from 1 to 65535"),
        ("9.9.9.9@0", "0 is not a port from 1 to 65535"),
        ("9.9.9.9@65536", "65536 is not a port from 1 to 65535"),
        ("9.9.9.9#1.1.1.1", "1.1.1.1 is not a DNS name"),
        (
            "9.9.9.9#",
            "9.9.9.9# is neither an IP address nor a DNS name \
             (there is nothing after #: write the name that its certificate is for)",
        ),
        (
            "dot.test#other.test",
            "dot.test#other.test has two names (a name is authenticated as itself)",
        ),
    ] {
        check_refused(text, reason);
    }
}

#[test]
fn a_plain_upstream_is_an_address_with_port_53_and_nobody_to_authenticate() {
    for (text, label) in [
        ("plain:192.168.1.1", "plain:192.168.1.1@53"),
        ("plain:192.168.1.1@5353", "plain:192.168.1.1@5353"),
        ("plain:fe80::1%eth0", "plain:[fe80::1%eth0]@53"),
        ("plain:[fd00::1]@54", "plain:[fd00::1]@54"),
    ] {
        let spec: UpstreamSpec = text.parse().unwrap();
        let upstream = UpstreamConfig::new(spec, 853, Profile::Strict);
        assert_eq!((&*upstream.label, upstream.authentication), (label, None));
    }
    for text in [
        "plain:",
        "plain:router.lan",
        "plain:192.168.1.1#router.lan",
        "plain:192.168.1.1:53",
        &format!("plain:192.168.1.1;pin={PIN}"),
    ] {
        check_refused(
            text,
            &format!("{text} is not plain:ADDR or plain:ADDR@PORT"),
        );
    }
    check_refused("plain:192.168.1.1@0", "0 is not a port from 1 to 65535");
}

#[test]
fn an_upstream_may_say_where_its_queries_leave_from() {
    let upstream = |text: &str| UpstreamConfig::new(text.parse().unwrap(), 853, Profile::Strict);
    for (text, label, egress) in [
        (
            "9.9.9.9#dot.test; source=192.0.2.1 ;interface=wan2;mark=0x1F",
            "9.9.9.9@853#dot.test;source=192.0.2.1;interface=wan2;mark=31",
            Egress {
                source: Some("192.0.2.1".parse().unwrap()),
                interface: Some("wan2".to_owned()),
                mark: Some(31),
            },
        ),
        (
            "plain:fe80::1%eth0;source=fe80::2",
            "plain:[fe80::1%eth0]@53;source=fe80::2",
            Egress {
                source: Some("fe80::2".parse().unwrap()),
                ..Egress::default()
            },
        ),
        (
            "dot.test;interface=br-lan.7",
            "dot.test@853;interface=br-lan.7",
            Egress {
                interface: Some("br-lan.7".to_owned()),
                ..Egress::default()
            },
        ),
    ] {
        let upstream = upstream(text);
        assert_eq!((&*upstream.label, upstream.egress), (label, egress));
    }
    for (text, reason) in [
        (
            "9.9.9.9;source=::1",
            "from ::1 no connection can be made to 9.9.9.9: one is IPv4, the other IPv6",
        ),
        (
            "9.9.9.9;source=0.0.0.0",
            "no connection can be made to 0.0.0.0",
        ),
        ("9.9.9.9;source=eth0", "eth0 is not an IP address"),
        (
            "9.9.9.9;interface=",
            "\"\" is not the name of an interface (as in eth0)",
        ),
        (
            "9.9.9.9;interface=much-too-long-name",
            "much-too-long-name is not the name of an interface (as in eth0)",
        ),
        (
            "9.9.9.9;mark=-1",
            "-1 is not a mark from 0 to 4294967295, decimal or hexadecimal after 0x",
        ),
        (
            "9.9.9.9;mark=0x1g",
            "0x1g is not a mark from 0 to 4294967295, decimal or hexadecimal after 0x",
        ),
        (
            "9.9.9.9;mark=4294967296",
            "4294967296 is not a mark from 0 to 4294967295, decimal or hexadecimal after 0x",
        ),
        ("9.9.9.9;mark=1;mark=2", "mark=2 is listed twice"),
        (
            "9.9.9.9;client-key=/k.pem",
            "/k.pem is a client-key without a client-cert",
        ),
    ] {
        check_refused(text, reason);
    }
}

#[test]
fn what_is_no_pin_is_refused_with_the_reason() {
    let pins = |count| format!("9.9.9.9{}", format!(";pin={PIN}").repeat(count));
    let nine_pins = pins(9);
    for (text, reason) in [
        (
            "9.9.9.9;sni=x",
            "sni=x is not a parameter of an upstream; the parameters are pin=sha256/BASE64, pin-report=sha256/BASE64, client-cert=FILE, client-key=FILE, source=ADDR, interface=NAME, mark=N, weight=N",
        ),
        (
            "9.9.9.9;pin=sha1/AAAA",
            "sha1/AAAA is not sha256/ and 32 bytes in base64",
        ),
        (
            "9.9.9.9;pin=sha256/AAAA",
            "sha256/AAAA is not sha256/ and 32 bytes in base64",
        ),
        (&nine_pins, "an upstream has 9 pins; the maximum is 8"),
    ] {
        check_refused(text, reason);
    }
    assert!(pins(8).parse::<UpstreamSpec>().is_ok());
}

#[track_caller]
fn check_refused(text: &str, reason: &str) {
    let fault = text.parse::<UpstreamSpec>().unwrap_err();
    assert_eq!(fault.to_string(), reason, "{text}");
}
