//! The encrypted listeners that plain clients are pointed to (discovery of designated resolvers, RFC 9462).
//!
//! A client asks for the SVCB records of `_dns.resolver.arpa`, and switches to one of them if the certificate that it is
//! shown there holds the address of the plain resolver that it asked. So they are local data only if a certificate
//! does; else the name has no data. What they say of each protocol is in RFC 9461.

use std::net::IpAddr;

use dotgate_config::{LocalConfig, LocalRecord, ScopedSocketAddress, ServerConfig, read_record};
use dotgate_tls::ServedCertificate;

/// The name with the records (RFC 9462 section 4).
const OWNER: &[u8] = b"\x04_dns\x08resolver\x04arpa\0";

/// How long clients may rely on it, in seconds: as long as a certificate takes to be replaced with care.
const TTL: u32 = 300;

/// Local data with the record, if there is one and the operator has written none of that name.
pub(crate) fn with_designation(
    local: &LocalConfig,
    server: &ServerConfig,
    certificates: &[ServedCertificate],
) -> LocalConfig {
    let mut local = local.clone();
    if !local.records.iter().any(|record| record.name == OWNER) {
        local.records.extend(records(server, certificates));
    }
    local
}

/// A record for each protocol with a listener, if a certificate holds the address of a listener without TLS. DNS over TLS
/// is preferred: it costs less.
pub(crate) fn records(
    server: &ServerConfig,
    certificates: &[ServedCertificate],
) -> Vec<LocalRecord> {
    let Some((target, asked)) = designated(server, certificates) else {
        return Vec::new();
    };
    let path = format!("h2 dohpath={}{{?dns}}", dotgate_http::PATH);
    let dot = (1, "dot", &server.dot.listen);
    let doh = (2, path.as_str(), &server.doh.listen);
    let doq = (3, "doq", &server.doq.listen);
    let texts = [dot, doh, doq].into_iter().filter_map(|(priority, alpn, listen)| {
        // A port of the system's choice is not known yet.
        let port = listen.first()?.port();
        let port = Some(port).filter(|port| *port != 0)?;
        let hints = hints(&addresses_of(listen, &asked));
        Some(format!(
            "_dns.resolver.arpa. {TTL} IN SVCB {priority} {target}. alpn={alpn} port={port}{hints}"
        ))
    });
    texts.filter_map(|text| read_record(&text).ok()).collect()
}

/// The name of the first certificate that holds the address of a listener without TLS, and these addresses.
fn designated<'c>(
    server: &ServerConfig,
    certificates: &'c [ServedCertificate],
) -> Option<(&'c str, Vec<IpAddr>)> {
    certificates.iter().find_map(|certificate| {
        let names = &certificate.facts.names;
        let addresses: Vec<IpAddr> = names.iter().filter_map(|name| name.parse().ok()).collect();
        let asked: Vec<IpAddr> = addresses
            .into_iter()
            .filter(|ip| is_reached(*ip, &server.listen))
            .collect();
        let is_host = |name: &&String| name.parse::<IpAddr>().is_err() && !name.contains('*');
        let target = names.iter().find(is_host)?;
        if asked.is_empty() {
            return None;
        }
        Some((target.trim_end_matches('.'), asked))
    })
}

/// Where the listener is: its own addresses, and those that clients ask already if it listens on all.
fn addresses_of(listen: &[ScopedSocketAddress], asked: &[IpAddr]) -> Vec<IpAddr> {
    let own = listen.iter().map(ScopedSocketAddress::ip);
    let mut addresses: Vec<IpAddr> = own.filter(|ip| !ip.is_unspecified()).collect();
    let others = asked.iter().filter(|ip| is_reached(**ip, listen));
    addresses.extend(others);
    addresses.sort_unstable();
    addresses.dedup();
    addresses
}

/// Whether a query to `ip` reaches one of these listeners.
fn is_reached(ip: IpAddr, listen: &[ScopedSocketAddress]) -> bool {
    listen.iter().any(|listener| {
        let own = listener.ip();
        own == ip || own.is_unspecified() && own.is_ipv4() == ip.is_ipv4()
    })
}

fn hints(addresses: &[IpAddr]) -> String {
    let mut text = String::new();
    for (key, is_ipv4) in [("ipv4hint", true), ("ipv6hint", false)] {
        let of_family = addresses.iter().filter(|ip| ip.is_ipv4() == is_ipv4);
        let of_family: Vec<String> = of_family.map(IpAddr::to_string).collect();
        if !of_family.is_empty() {
            text.push_str(&format!(" {key}={}", of_family.join(",")));
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use dotgate_config::{Config, Environment};
    use dotgate_testbed::certificates::{Leaf, TestAuthority};
    use dotgate_tls::CertificateFacts;

    use super::*;

    fn config(variables: &[(&str, &str)]) -> Config {
        let required = [
            ("HOST", "192.0.2.1,2001:db8::1"),
            ("PORT", "53"),
            ("DNS_HOST", "198.51.100.1"),
            ("DNS_PORT", "853"),
            ("DOTGATE_SERVER_CERTIFICATE_FILE", "/dns.pem"),
            ("DOTGATE_DOT_LISTEN", "0.0.0.0:853,[::]:853"),
        ];
        let of_test = |name: &str| variables.iter().any(|(written, _)| *written == name);
        let required = required.into_iter().filter(|(name, _)| !of_test(name));
        let set = variables
            .iter()
            .copied()
            .filter(|(_, value)| !value.is_empty());
        let environment: Environment = required.chain(set).collect();
        dotgate_config::load(&environment, None).unwrap().config
    }

    fn certificate(names: &[&str], addresses: &[&str]) -> ServedCertificate {
        let leaf = Leaf {
            names: names.iter().map(|&name| name.to_owned()).collect(),
            addresses: addresses.iter().map(|it| it.parse().unwrap()).collect(),
            ..Leaf::default()
        };
        let issued = TestAuthority::new().unwrap().issue(&leaf).unwrap();
        ServedCertificate {
            path: PathBuf::from("/dns.pem"),
            facts: CertificateFacts::read(&issued.chain[0]).unwrap(),
        }
    }

    fn designated(variables: &[(&str, &str)], certificates: &[ServedCertificate]) -> Vec<String> {
        let config = config(variables);
        let local = with_designation(config.local(), config.server(), certificates);
        local
            .records
            .into_iter()
            .map(|record| record.text)
            .collect()
    }

    #[test]
    fn clients_are_pointed_to_a_listener_whose_certificate_holds_the_address_that_they_ask() {
        let right = certificate(
            &["*.dns.example", "dns.example"],
            &["192.0.2.1", "2001:db8::1"],
        );
        let expected = "_dns.resolver.arpa. 300 IN SVCB 1 dns.example. alpn=dot port=853 \
                        ipv4hint=192.0.2.1 ipv6hint=2001:db8::1";
        assert_eq!(designated(&[], std::slice::from_ref(&right)), [expected]);
        // The first one that does.
        let other = certificate(&["dns.example"], &["192.0.2.2"]);
        assert_eq!(designated(&[], &[other.clone(), right.clone()]), [expected]);
        let elsewhere = [("DOTGATE_DOT_LISTEN", "192.0.2.7:8853")];
        let expected =
            "_dns.resolver.arpa. 300 IN SVCB 1 dns.example. alpn=dot port=8853 ipv4hint=192.0.2.7";
        assert_eq!(
            designated(&elsewhere, std::slice::from_ref(&right)),
            [expected]
        );
        let everywhere = [("HOST", "0.0.0.0")];
        let expected =
            "_dns.resolver.arpa. 300 IN SVCB 1 dns.example. alpn=dot port=853 ipv4hint=192.0.2.2";
        assert_eq!(designated(&everywhere, &[other]), [expected]);
    }

    #[test]
    fn each_protocol_with_a_listener_has_a_record() {
        let right = certificate(&["dns.example"], &["192.0.2.1"]);
        let https = [
            ("DOTGATE_DOH_LISTEN", "0.0.0.0:443"),
            ("DOTGATE_DOQ_LISTEN", "192.0.2.1:853"),
            ("HOST", "192.0.2.1"),
        ];
        let expected = [
            "_dns.resolver.arpa. 300 IN SVCB 1 dns.example. alpn=dot port=853 ipv4hint=192.0.2.1",
            "_dns.resolver.arpa. 300 IN SVCB 2 dns.example. alpn=h2 dohpath=/dns-query{?dns} port=443 \
             ipv4hint=192.0.2.1",
            "_dns.resolver.arpa. 300 IN SVCB 3 dns.example. alpn=doq port=853 ipv4hint=192.0.2.1",
        ];
        assert_eq!(designated(&https, &[right]), expected);
    }

    #[test]
    fn without_such_a_certificate_or_listener_there_is_no_record() {
        let of_another = certificate(&["dns.example"], &["192.0.2.9"]);
        let without_name = certificate(&["*.dns.example"], &["192.0.2.1"]);
        let right = certificate(&["dns.example"], &["192.0.2.1"]);
        for (variables, certificates) in [
            (&[][..], vec![of_another]),
            (&[], vec![without_name]),
            (&[], Vec::new()),
            (&[("DOTGATE_DOT_LISTEN", "")], vec![right.clone()]),
            (
                &[("DOTGATE_DOT_LISTEN", "127.0.0.1:0")],
                vec![right.clone()],
            ),
        ] {
            assert_eq!(
                designated(variables, &certificates),
                [""; 0],
                "{variables:?}"
            );
        }
        let own = "_dns.resolver.arpa SVCB 0 .";
        let written = [("DOTGATE_LOCAL_RECORDS", own)];
        assert_eq!(designated(&written, &[right]), [own]);
    }
}
