//! What `dotgate init` writes: the file of settings, and what to do next.

use std::fmt::Write as _;
use std::path::Path;

use super::host::{Host, Port};

/// The port of those who may not have port 53.
const HIGH_PORT: u16 = 5300;

/// The file of settings for a host.
pub(super) fn settings(host: &Host) -> String {
    let mut text = String::from(
        "# Settings of dotgate, made by `dotgate init` for this host. All other settings have defaults:\n# `dotgate \
         check --print full.toml` shows them. `dotgate check` verifies this file.\n\n[server]\n# Serves the programs \
         of this host. To serve a network, add this host's address in that network.\n",
    );
    if host.has_resolved {
        text += "# Not 0.0.0.0: systemd-resolved uses port 53 of 127.0.0.53 and 127.0.0.54.\n";
    }
    text += if host.has_ipv6_loopback {
        "host = [\"127.0.0.1\", \"::1\"]\n"
    } else {
        "host = [\"127.0.0.1\"]\n"
    };
    text += match host.port {
        Port::Free => "",
        Port::Taken => "# Another server uses port 53 of 127.0.0.1.\n",
        Port::Denied => "# Ports below 1024 need a privilege that this user does not have.\n",
    };
    push(&mut text, format_args!("port = {}\n\n[dns]\n", port(host)));
    text += "# Two providers, so that an outage of one has no effect. docs/resolvers.md lists others: the address, #, \
             and the\n# name that the certificate must have.\n";
    text += "host = [\n    \"9.9.9.9#dns.quad9.net\",\n    \"1.1.1.1#one.one.one.one\",\n";
    if host.has_ipv6_route {
        text += "    \"[2620:fe::fe]#dns.quad9.net\",\n    \"[2606:4700:4700::1111]#one.one.one.one\",\n";
    }
    text += "]\nport = 853\n";
    push_route(&mut text, host);
    text
}

/// The route for the names of the network, which the operator alone can judge.
fn push_route(text: &mut String, host: &Host) {
    let network = &host.network;
    if network.resolvers.is_empty() {
        return;
    }
    let quoted = |words: &[String]| {
        let words: Vec<String> = words.iter().map(|it| format!("\"{it}\"")).collect();
        words.join(", ")
    };
    let unknown = [String::from("lan")];
    let domains = match &network.domains[..] {
        [] => &unknown[..],
        domains => domains,
    };
    let resolvers = network.resolvers.iter().map(|it| format!("plain:{it}"));
    let resolvers: Vec<String> = resolvers.collect();
    push(
        text,
        format_args!(
            "\n# Only the resolvers of this network know its own names. They are queried in plain text. Without the \
             #, these names\n# are sent to them and nowhere else (docs/routes.md).\n# [[route]]\n# suffixes = [{}]\n# \
             upstreams = [{}]\n",
            quoted(domains),
            quoted(&resolvers)
        ),
    );
}

fn port(host: &Host) -> u16 {
    match host.port {
        Port::Free => 53,
        Port::Taken | Port::Denied => HIGH_PORT,
    }
}

/// What was found and written, and the commands that come next.
pub(super) fn next_steps(host: &Host, path: &Path, is_named: bool) -> String {
    let mut text = format!("written: {}\n", path.display());
    text += match host.port {
        Port::Free => "port 53 of 127.0.0.1 is free\n",
        Port::Taken => "another server uses port 53 of 127.0.0.1, so it is port 5300\n",
        Port::Denied => {
            "port 53 needs a privilege that this user does not have, so it is port 5300\n"
        }
    };
    text += match host.has_ipv6_route {
        true => "there is a route to the Internet over IPv6: upstreams are reached over both\n",
        false => "there is no route to the Internet over IPv6: upstreams are reached over IPv4\n",
    };
    if host.has_resolved {
        text += "systemd-resolved serves the programs of this host\n";
    }
    let option = match is_named {
        true => format!(
            " --config '{}'",
            path.display().to_string().replace('\'', r"'\''")
        ),
        false => String::new(),
    };
    let start = match host.has_unit && !is_named {
        true => "systemctl enable --now dotgate".to_owned(),
        false => format!("dotgate{option}"),
    };
    push(
        &mut text,
        format_args!(
            "\nnext:\n  dotgate check --probe{option}\n  {start}\n  dotgate query example.org --via-server{option}\n\n"
        ),
    );
    push_last_step(&mut text, host);
    text
}

/// How the programs of the host come to use it.
fn push_last_step(text: &mut String, host: &Host) {
    let port = port(host);
    if host.has_resolved {
        let port = if port == 53 {
            String::new()
        } else {
            format!(":{port}")
        };
        push(
            text,
            format_args!(
                "Then let systemd-resolved use it, in /etc/systemd/resolved.conf.d/dotgate.conf:\n  [Resolve]\n  \
                 DNS=127.0.0.1{port}\n  Domains=~.\n  DNSOverTLS=no\nand: systemctl restart systemd-resolved\n"
            ),
        );
    } else if port == 53 {
        text.push_str(
            "Then let the programs of this host use it, in /etc/resolv.conf:\n  nameserver 127.0.0.1\n",
        );
    } else {
        push(
            text,
            format_args!(
                "/etc/resolv.conf has no ports: programs of this host use port {port} only if they are configured \
                 to.\n"
            ),
        );
    }
}

fn push(text: &mut String, more: std::fmt::Arguments<'_>) {
    // Writing to a string has no way to fail.
    text.write_fmt(more).unwrap_or_default();
}

#[cfg(test)]
mod tests {
    use dotgate_config::Environment;

    use super::*;
    use crate::commands::init::host::Network;

    fn hosts() -> impl Iterator<Item = Host> {
        let networks = [
            Network::default(),
            Network {
                resolvers: vec!["192.168.1.1".parse().unwrap(), "fd00::1".parse().unwrap()],
                domains: vec!["fritz.box".to_owned(), "lan".to_owned()],
            },
        ];
        let ports = [Port::Free, Port::Taken, Port::Denied];
        (0..48).map(move |number: usize| Host {
            network: networks[number / 24].clone(),
            port: ports[number % 3],
            has_resolved: number / 3 % 2 == 1,
            has_ipv6_loopback: number / 6 % 2 == 1,
            has_ipv6_route: number / 12 % 2 == 1,
            has_unit: number % 2 == 1,
        })
    }

    #[test]
    fn every_file_is_accepted_also_with_its_comments_in_effect() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("dotgate.toml");
        for host in hosts() {
            let text = settings(&host);
            let route: String = text
                .lines()
                .skip_while(|line| *line != "# [[route]]")
                .map(|line| format!("{}\n", line.trim_start_matches("# ")))
                .collect();
            for text in [text.clone(), text + &route] {
                std::fs::write(&path, &text).unwrap();
                let loaded = dotgate_config::load(&Environment::default(), Some(&path));
                let loaded = loaded.unwrap_or_else(|problems| panic!("{text}\n{problems}"));
                let upstreams = loaded.config.upstreams().len();
                assert!(upstreams >= if host.has_ipv6_route { 4 } else { 2 });
            }
        }
    }

    #[test]
    fn the_next_steps_fit_the_host() {
        let path = Path::new("/etc/dotgate/dotgate.toml");
        for host in hosts() {
            let text = next_steps(&host, path, false);
            let has_line = |wanted: &str| text.lines().any(|line| line.trim() == wanted);
            assert_eq!(has_line("systemctl enable --now dotgate"), host.has_unit);
            assert_eq!(has_line("Domains=~."), host.has_resolved, "{text}");
            assert_eq!(
                has_line("nameserver 127.0.0.1"),
                !host.has_resolved && host.port == Port::Free
            );
            let named = next_steps(&host, Path::new("my.toml"), true);
            assert!(named.contains("dotgate check --probe --config 'my.toml'\n"));
        }
    }
}
