//! The other forwarders: how each is found, configured and started.
//!
//! The files in `bench/peers/` are their configurations, as their manuals advise, with the reason of each setting.
//! `@WORD@` in them stands for a value of the run; a line that starts with `@CACHED@` is for runs in which names are asked
//! again, one with `@UNCACHED@` for those in which no name is, and one with `@TLS@` for those with clients over TLS.

mod table;

pub use table::{OTHER_UPSTREAM, PEERS};

use std::ffi::OsString;
use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::{Surroundings, WORKERS};
use crate::Error;
use crate::error::Action;
use crate::upstream::AUTHENTICATION_NAME;

/// A program that others wrote.
#[derive(PartialEq, Eq, Debug)]
pub struct Peer {
    /// The name shown.
    pub name: &'static str,
    /// What comes with the results about this peer.
    pub remark: &'static str,
    /// Where it comes from.
    pub install: &'static str,
    /// Whether it can answer from a cache.
    pub has_cache: bool,
    /// Whether it serves clients over TLS.
    pub serves_tls: bool,
    program: &'static str,
    arguments: &'static [&'static str],
    version: &'static [&'static str],
    /// How the line of its version begins; empty if it is the first with a digit.
    version_begin: &'static str,
    configuration: &'static str,
    /// Variables that it reads.
    environment: &'static [(&'static str, &'static str)],
    /// How the name of its configuration file must end.
    ending: &'static str,
    /// Processes that share the port, where a process has one thread.
    processes: usize,
}

/// Where a program is.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Location {
    /// A file.
    File(PathBuf),
    /// The folder of a system of its own, for `chroot`, which needs root.
    Tree(PathBuf),
}

/// Where to look for programs, besides the folders in `PATH`, which come last.
#[derive(Clone, Default, Debug)]
pub struct Installations {
    /// A folder of programs.
    pub tools: Option<PathBuf>,
    /// The folder of another system.
    pub tree: Option<PathBuf>,
}

const FOLDERS: [&str; 3] = ["usr/bin", "usr/sbin", "usr/local/bin"];

impl Installations {
    fn of(&self, program: &str) -> Option<Location> {
        let file = |folder: &Path| {
            let file = folder.join(program);
            file.is_file().then_some(Location::File(file))
        };
        let tree = |tree: &PathBuf| {
            let is_there = |folder: &&&str| tree.join(folder).join(program).is_file();
            FOLDERS
                .iter()
                .find(is_there)
                .map(|_| Location::Tree(tree.clone()))
        };
        let path = || {
            let folders = std::env::var_os("PATH")?;
            std::env::split_paths(&folders).find_map(|folder| file(&folder))
        };
        self.tools
            .as_deref()
            .and_then(file)
            .or_else(|| self.tree.as_ref().and_then(tree))
            .or_else(path)
    }
}

impl Peer {
    /// The peer of this name.
    #[must_use]
    pub fn named(name: &str) -> Option<&'static Peer> {
        PEERS.iter().find(|peer| peer.name == name)
    }

    /// Where it is installed; `None` if it is not.
    #[must_use]
    pub fn find(&self, installations: &Installations) -> Option<Location> {
        installations.of(self.program)
    }

    /// The line of its output that has its version.
    #[must_use]
    pub fn version(&self, place: &Location) -> Option<String> {
        let mut command = self.start(place, None, 1);
        let output = command
            .args(self.version)
            .stdin(Stdio::null())
            .output()
            .ok()?;
        let words = [output.stdout, output.stderr].concat();
        let words = String::from_utf8_lossy(&words).into_owned();
        words
            .lines()
            .find(|line| self.is_version(line))
            .map(|line| line.trim().to_owned())
    }

    fn is_version(&self, line: &str) -> bool {
        line.starts_with(self.version_begin) && line.contains(|it: char| it.is_ascii_digit())
    }

    /// Writes its configuration to `around.folder`, and returns the command that runs it in the foreground.
    pub(super) fn command(
        &self,
        place: &Location,
        around: &Surroundings<'_>,
        addresses: [SocketAddr; 2],
    ) -> Result<Command, Error> {
        let file = around.folder.join(format!("{}.{}", self.name, self.ending));
        fs::write(&file, self.configuration(around, addresses)).to("write a configuration")?;
        let value = |text: &str| {
            fill(
                &text.replace("@CONFIG@", &file.display().to_string()),
                around,
                addresses,
            )
        };
        let mut command = self.start(place, Some(around.folder), self.processes);
        command.args(self.arguments.iter().map(|argument| value(argument)));
        command.envs(
            self.environment
                .iter()
                .map(|(name, text)| (name, value(text))),
        );
        Ok(command)
    }

    fn configuration(&self, around: &Surroundings<'_>, addresses: [SocketAddr; 2]) -> String {
        let (with, without) = if around.with_caches {
            ("@CACHED@", "@UNCACHED@")
        } else {
            ("@UNCACHED@", "@CACHED@")
        };
        let mut text = String::new();
        let is_meant = |line: &&str| {
            let is_for_tls = line.starts_with(TLS);
            !line.starts_with(without) && (around.certificate.is_some() || !is_for_tls)
        };
        for line in self.configuration.lines().filter(is_meant) {
            let line = line.strip_prefix(TLS).unwrap_or(line);
            let line = line.strip_prefix(with).unwrap_or(line);
            text.push_str(&fill(line, around, addresses));
            text.push('\n');
        }
        text
    }

    /// The program without arguments. A program in a tree sees `folder` at its own path there.
    fn start(&self, place: &Location, folder: Option<&Path>, processes: usize) -> Command {
        const IN_TREE: &str = "tree=$1 folder=$2; shift 2\n\
            if [ -n \"$folder\" ]; then mkdir -p \"$tree$folder\" && mount --bind \"$folder\" \"$tree$folder\" || exit; fi\n\
            mount -t proc proc \"$tree/proc\"\n\
            exec chroot \"$tree\" \"$@\"";
        const TOGETHER: &str = "\"$@\" & \"$@\" & wait";
        let mut words: Vec<OsString> = Vec::new();
        if let Location::Tree(tree) = place {
            words.extend(["unshare", "--mount", "sh", "-c", IN_TREE, "sh"].map(OsString::from));
            words.push(tree.into());
            words.push(folder.map_or_else(OsString::new, OsString::from));
        }
        if processes > 1 {
            words.extend(["sh", "-c", TOGETHER, "sh"].map(OsString::from));
        }
        words.push(match place {
            Location::File(file) => file.into(),
            Location::Tree(_) => self.program.into(),
        });
        let mut words = words.into_iter();
        let mut command = Command::new(words.next().unwrap_or_default());
        command.args(words);
        command
    }
}

/// Begins a line for runs with clients over TLS.
const TLS: &str = "@TLS@";

fn fill(text: &str, around: &Surroundings<'_>, addresses: [SocketAddr; 2]) -> String {
    let [address, tls_address] = addresses;
    let certificate = around.certificate.unwrap_or(Path::new(""));
    [
        ("@LISTEN_IP@", address.ip().to_string()),
        ("@LISTEN_PORT@", address.port().to_string()),
        ("@TLS_PORT@", tls_address.port().to_string()),
        ("@CERTIFICATE@", certificate.display().to_string()),
        ("@UPSTREAM@", around.upstream.to_string()),
        ("@UPSTREAM_IP@", around.upstream.ip().to_string()),
        ("@UPSTREAM_PORT@", around.upstream.port().to_string()),
        ("@NAME@", AUTHENTICATION_NAME.to_owned()),
        ("@CA_FILE@", around.ca_file.display().to_string()),
        ("@FOLDER@", around.folder.display().to_string()),
        ("@WORKERS@", WORKERS.to_string()),
        ("@CONNECTIONS@", around.connections.to_string()),
    ]
    .iter()
    .fold(text.to_owned(), |text, (word, value)| {
        text.replace(word, value)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::Ipv4Addr;

    fn configuration(name: &str, with_caches: bool) -> String {
        let around = Surroundings {
            upstream: SocketAddr::from((Ipv4Addr::LOCALHOST, 853)),
            ca_file: Path::new("/run/ca.pem"),
            folder: Path::new("/run/folder"),
            with_caches,
            certificate: with_caches.then_some(Path::new("/run/upstream.pem")),
            connections: 2_500,
        };
        let addresses = [5300, 8530].map(|port| SocketAddr::from((Ipv4Addr::LOCALHOST, port)));
        Peer::named(name).unwrap().configuration(&around, addresses)
    }

    #[test]
    fn every_configuration_is_complete_and_checks_the_name_of_the_upstream() {
        for peer in &PEERS {
            for with_caches in [false, true] {
                let text = configuration(peer.name, with_caches);
                for word in [
                    "@LISTEN",
                    "@UPSTREAM",
                    "@NAME@",
                    "@CA_FILE@",
                    "@FOLDER@",
                    "@WORKERS@",
                    "@CONNECTIONS@",
                    "CACHED@",
                    "TLS_PORT@",
                    "@CERTIFICATE@",
                    "@TLS@",
                ] {
                    assert!(!text.contains(word), "{} has {word}: {text}", peer.name);
                }
                assert!(
                    text.contains("5300") && text.contains("853"),
                    "{}",
                    peer.name
                );
                assert!(text.contains(AUTHENTICATION_NAME), "{}", peer.name);
                // In these tests, clients over TLS come with the caches.
                let serves_tls = peer.serves_tls && with_caches;
                assert_eq!(text.contains("8530"), serves_tls, "{}", peer.name);
            }
        }
        assert!(configuration("unbound", false).contains("interface: 127.0.0.1@5300\n"));
        assert!(configuration("unbound", false).contains("forward-addr: 127.0.0.1@853#dot.test\n"));
    }

    #[test]
    fn a_version_is_the_line_that_has_it() {
        let line = |name: &str, text: &'static str| {
            let peer = Peer::named(name).unwrap();
            text.lines().find(|line| peer.is_version(line))
        };
        let routedns = "go version: go1.26.8\nBuild:  217\nVersion:  v0.1.237\n";
        assert_eq!(line("routedns", routedns), Some("Version:  v0.1.237"));
        assert_eq!(
            line("blocky", "blocky\nVersion: v0.34.0\n"),
            Some("Version: v0.34.0")
        );
    }

    #[test]
    fn the_development_version_is_a_forwarder_of_its_own_with_the_same_configuration() {
        let [released, development] =
            ["dnsdist", "dnsdist-master"].map(|name| Peer::named(name).unwrap());
        assert_ne!(released.program, development.program);
        assert_eq!(released.arguments, development.arguments);
        assert_eq!(released.configuration, development.configuration);
    }

    #[test]
    fn limits_on_connections_are_those_of_the_run() {
        for (name, limit) in [
            ("unbound", "  incoming-num-tcp: 2500\n"),
            ("bind", "    tcp-clients 2500;\n"),
        ] {
            assert!(configuration(name, true).contains(limit), "{name}");
        }
    }

    #[test]
    fn caches_are_for_names_that_are_asked_again() {
        assert!(configuration("dnsdist", true).contains("\ngetPool(\"\"):setCache("));
        assert!(!configuration("dnsdist", false).contains("setCache("));
        assert!(configuration("unbound", true).contains("forward-no-cache: no\n"));
        assert!(configuration("unbound", false).contains("forward-no-cache: yes\n"));
        assert!(configuration("smartdns", false).contains("\ncache-size 0\n"));
        assert!(configuration("blocky", true).contains("\n  maxItemsCount: 1000000\n"));
        assert!(configuration("blocky", false).contains("\n  maxTime: -1m\n"));
        // The listeners forward to what has this name.
        let cached = configuration("routedns", true);
        assert!(
            cached.contains("[groups.names]\ntype = \"cache\"\n"),
            "{cached}"
        );
        let uncached = configuration("routedns", false);
        assert!(uncached.contains("[resolvers.names]\n"), "{uncached}");
        assert!(!uncached.contains("cache\""), "{uncached}");
    }

    #[test]
    fn a_folder_of_programs_comes_before_a_tree_and_the_path_last() {
        let folder = tempfile::tempdir().unwrap();
        let (tools, tree) = (folder.path().join("tools"), folder.path().join("tree"));
        let installations = Installations {
            tools: Some(tools.clone()),
            tree: Some(tree.clone()),
        };
        fs::create_dir_all(tree.join("usr/sbin")).unwrap();
        fs::create_dir_all(&tools).unwrap();
        assert_eq!(installations.of("no-such-forwarder"), None);
        fs::write(tree.join("usr/sbin/no-such-forwarder"), "").unwrap();
        assert_eq!(
            installations.of("no-such-forwarder"),
            Some(Location::Tree(tree))
        );
        let file = tools.join("no-such-forwarder");
        fs::write(&file, "").unwrap();
        assert_eq!(
            installations.of("no-such-forwarder"),
            Some(Location::File(file))
        );
        assert!(matches!(installations.of("sh"), Some(Location::File(_))));
    }
}
