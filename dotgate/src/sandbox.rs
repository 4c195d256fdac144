//! What this process gives up before it serves: its user, files, ports and system calls. What it needs is derived from the
//! configuration, and is fixed with the start.
//!
//! Serves `commands::serve`, between binding and the first worker, and `reload`, which rejects a configuration that
//! needs more. A file is needed with its folder, because files are replaced by renaming others; a symbolic link also
//! with the folder that it leads to. The successor of this process is started by `dotgate replace`, outside.

use std::collections::BTreeSet;
use std::fmt;
use std::fs::{self, File};
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use dotgate_config::{
    Config, DnstapReader, Endpoint, Environment, PortalPolicy, SandboxPolicy, UserSpec,
};
use dotgate_net::sandbox::{self, Enforced, Needs, Part};
use dotgate_net::user::User;
use thiserror::Error;

use crate::log;
use crate::log::message::say;

/// Where systems have their trust anchors, which a reload reads unless the settings name others.
const SYSTEM_ANCHORS: [&str; 7] = [
    "/etc/ssl",
    "/etc/pki",
    "/etc/ca-certificates",
    "/usr/share/ca-certificates",
    "/usr/local/share/ca-certificates",
    "/usr/share/pki",
    "/var/lib/ca-certificates",
];

/// Files of trust anchors that may be links to elsewhere.
const SYSTEM_ANCHOR_FILES: [&str; 3] = [
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/ssl/cert.pem",
    "/etc/pki/tls/certs/ca-bundle.crt",
];

/// What metrics, and `auto` for memory and workers, are read from. Landlock itself keeps the secrets of other
/// processes out of reach there.
const SYSTEM: [&str; 2] = ["/proc", "/sys/fs/cgroup"];

/// Open files, by which credentials are read that the process before this one handed over.
const OPEN_FILES: &str = "/proc/self/fd/";

/// The ports of DNS and of DNS over TLS: a reload may always add an upstream at one of them.
const DNS_PORTS: [u16; 2] = [53, 853];

/// Why a process cannot give up what it should.
#[derive(Debug, Error)]
pub enum SandboxError {
    /// There is no such user.
    #[error(
        "DOTGATE_SERVER_USER: /etc/passwd has no user {name}\n  Create it, or write the numbers of a user and a group, \
         such as 998:998."
    )]
    NoUser {
        /// The name.
        name: String,
    },
    /// The system does not let it become this user.
    #[error(
        "DOTGATE_SERVER_USER: become user {id}: {source}\n  Only root can: start as root, or as that user."
    )]
    Assume {
        /// The user ID.
        id: u32,
        /// The system's words.
        source: io::Error,
    },
    /// A file could be read at the start alone.
    #[error(
        "{path}: {source}\n  A reload reads this file again, as user {user}: give that user the right to read it, and \
         to enter its folder.", path = path.display()
    )]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// As whom.
        user: u32,
        /// The system's words.
        source: io::Error,
    },
    /// The kernel cannot enforce a part.
    #[error(
        "DOTGATE_SERVER_SANDBOX=require: {part} cannot be restricted: {reason}\n  With `auto`, dotgate starts with the \
         other parts. `dotgate check --sandbox` lists all."
    )]
    Missing {
        /// The part.
        part: &'static str,
        /// Why.
        reason: String,
    },
}

/// What a process is to give up.
#[derive(Clone, Debug)]
pub struct Plan {
    policy: SandboxPolicy,
    user: Option<UserSpec>,
    needs: Needs,
    /// What a reload reads.
    files: Vec<PathBuf>,
}

/// What this process has given up.
#[derive(Clone, Debug, Default)]
pub struct Sandbox {
    needs: Needs,
    enforced: Option<Enforced>,
}

impl Plan {
    /// Finds out what a process with this configuration needs, which consists of `files`; `credentials` is the folder of
    /// its secrets, if it has one.
    pub fn new(
        config: &Config,
        files: Vec<PathBuf>,
        credentials: Option<&Path>,
        environment: &Environment,
    ) -> Plan {
        let notify = environment.value("NOTIFY_SOCKET");
        let notify = notify.and_then(|value| value.to_str());
        let mut needs = Needs {
            read: readable(config, &files),
            connect: ports_of_upstreams(config),
            listen: listening_ports(config),
            abstract_sockets: notify.is_some_and(|path| path.starts_with('@')),
            ..Needs::default()
        };
        needs.read.extend(credentials.map(Path::to_owned));
        let snapshot = config.cache().snapshot_file.iter();
        let written = snapshot.chain(&config.sessions().state_file);
        let written = written.chain(config.query_log().file());
        needs.write = written.map(|path| folder_of(path)).collect();
        let sockets = [
            config.server().take_over_socket.as_deref(),
            config.admin().socket.as_ref().map(|it| &*it.path),
        ];
        needs.remove = sockets.into_iter().flatten().map(folder_of).collect();
        Plan {
            policy: config.server().sandbox,
            user: config.server().user.clone(),
            needs,
            files,
        }
    }

    /// Adds the ports that the system chose: an address that comes later is bound to them.
    #[must_use]
    pub fn with_ports_of(mut self, bound: impl Iterator<Item = SocketAddr>) -> Plan {
        self.needs
            .listen
            .extend(bound.map(|address| address.port()));
        self
    }

    /// What the process needs.
    pub fn needs(&self) -> &Needs {
        &self.needs
    }

    /// The policy.
    pub fn policy(&self) -> SandboxPolicy {
        self.policy
    }

    /// Becomes the user, gives up everything that is not needed, and makes sure that a reload could read its files.
    /// Call it before the first thread starts.
    ///
    /// # Errors
    /// [`SandboxError`]; what was given up already cannot be had back.
    pub fn enter(self) -> Result<Sandbox, SandboxError> {
        if let Some(user) = &self.user {
            assume(user)?;
        }
        let enforced = match self.policy {
            SandboxPolicy::Off => None,
            SandboxPolicy::Auto | SandboxPolicy::Require => Some(sandbox::enter(&self.needs)),
        };
        if let Some(enforced) = &enforced {
            log::seal();
            if let (SandboxPolicy::Require, Some((part, reason))) =
                (self.policy, enforced.missing.first())
            {
                let (part, reason) = (part.word(), reason.clone());
                return Err(SandboxError::Missing { part, reason });
            }
            log_enforced(enforced);
        }
        if self.user.is_some() || enforced.is_some() {
            self.check_files()?;
        }
        Ok(Sandbox {
            needs: self.needs,
            enforced,
        })
    }

    fn check_files(&self) -> Result<(), SandboxError> {
        // A pipe would be waited for, and what is not there may come.
        for path in self.files.iter().filter(|path| path.is_file()) {
            if let Err(source) = File::open(path) {
                let (path, user) = (path.clone(), dotgate_net::descriptors::own_user());
                return Err(SandboxError::Unreadable { path, user, source });
            }
        }
        Ok(())
    }
}

impl Sandbox {
    /// Whether a part of it is enforced.
    pub fn holds(&self, part: Part) -> bool {
        self.enforced.as_ref().is_some_and(|it| it.holds(part))
    }

    /// What a process with this plan would read and this one cannot, in words.
    pub fn lacks_files(&self, plan: &Plan) -> Vec<String> {
        if !self.holds(Part::Files) {
            return Vec::new();
        }
        let is_covered = |path: &&PathBuf| {
            let mut had = self.needs.read.iter().chain(&self.needs.write);
            had.any(|had| path.starts_with(had)) || !path.exists()
        };
        let paths = plan.needs.read.iter().filter(|path| !is_covered(path));
        paths
            .map(|path| format!("read {}", path.display()))
            .collect()
    }

    /// Whether this process may not connect to a TCP port.
    pub fn lacks_port(&self, port: u16) -> bool {
        self.holds(Part::TcpPorts) && !self.needs.connect.contains(&port)
    }

    /// The same with TCP ports.
    pub fn lacks_ports(&self, plan: &Plan) -> Vec<String> {
        if !self.holds(Part::TcpPorts) {
            return Vec::new();
        }
        let (connect, listen) = (&self.needs.connect, &self.needs.listen);
        let connect = plan.needs.connect.difference(connect);
        let connect = connect.map(|port| format!("connect to TCP port {port}"));
        let listen = plan.needs.listen.difference(listen);
        let listen = listen.map(|port| format!("bind TCP port {port}"));
        connect.chain(listen).collect()
    }
}

impl fmt::Display for Plan {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let paths = |paths: &BTreeSet<PathBuf>| {
            let texts = paths.iter().filter(|path| path.exists());
            let texts: Vec<String> = texts.map(|path| path.display().to_string()).collect();
            texts.join(" ")
        };
        let ports = |ports: &BTreeSet<u16>| {
            let texts: Vec<String> = ports.iter().map(u16::to_string).collect();
            texts.join(" ")
        };
        writeln!(out, "reads: {}", paths(&self.needs.read))?;
        writeln!(out, "writes: {}", paths(&self.needs.write))?;
        writeln!(out, "removes its sockets: {}", paths(&self.needs.remove))?;
        writeln!(out, "connects to TCP ports: {}", ports(&self.needs.connect))?;
        write!(
            out,
            "listens later on TCP ports: {}",
            ports(&self.needs.listen)
        )
    }
}

fn assume(user: &UserSpec) -> Result<(), SandboxError> {
    let user = match user {
        UserSpec::Ids { user, group } => User {
            id: *user,
            group: *group,
        },
        UserSpec::Name(name) => {
            let passwd = fs::read_to_string("/etc/passwd").unwrap_or_default();
            let found = User::find(name, &passwd);
            found.ok_or_else(|| SandboxError::NoUser { name: name.clone() })?
        }
    };
    if user.id == dotgate_net::descriptors::own_user() {
        return Ok(());
    }
    let failed = |source| SandboxError::Assume {
        id: user.id,
        source,
    };
    user.assume().map_err(failed)
}

fn log_enforced(enforced: &Enforced) {
    let parts = Part::ALL.into_iter().filter(|part| enforced.holds(*part));
    let parts: Vec<&str> = parts.map(Part::word).collect();
    say!(
        SANDBOXED,
        parts = parts.join(","),
        landlock = enforced.landlock,
        user = dotgate_net::descriptors::own_user()
    );
    for (part, reason) in &enforced.missing {
        say!(NOT_SANDBOXED, part = part.word(), reason = reason.as_str());
    }
}

fn readable(config: &Config, files: &[PathBuf]) -> BTreeSet<PathBuf> {
    let authorities = &config.tls().authorities;
    let of_settings = files.iter().chain(&authorities.certificate_file);
    let of_system = SYSTEM_ANCHOR_FILES.map(PathBuf::from);
    let folders = of_settings.chain(&of_system).flat_map(|file| folders(file));
    let whole = SYSTEM.iter().chain(&SYSTEM_ANCHORS).map(PathBuf::from);
    let whole = whole.chain(authorities.certificate_folders.iter().cloned());
    folders.chain(whole).collect()
}

/// The folders of a file: its own, and the one that a symbolic link leads to.
fn folders(path: &Path) -> Vec<PathBuf> {
    if path.starts_with(OPEN_FILES) {
        return vec![path.to_owned()];
    }
    let target = fs::canonicalize(path).ok();
    let paths = [Some(path.to_owned()), target];
    paths
        .into_iter()
        .flatten()
        .map(|it| folder_of(&it))
        .collect()
}

/// The folder of a file; the file itself in the root, which would be everything.
fn folder_of(path: &Path) -> PathBuf {
    match path.parent() {
        Some(folder) if folder.as_os_str().is_empty() => ".".into(),
        Some(folder) if folder.parent().is_some() => folder.to_owned(),
        Some(_) | None => path.to_owned(),
    }
}

fn ports_of_upstreams(config: &Config) -> BTreeSet<u16> {
    let upstreams = config.upstreams().iter();
    let upstreams = upstreams.map(|upstream| match &upstream.endpoint {
        Endpoint::Address(address) => address.port(),
        Endpoint::Name { port, .. } => *port,
        // The resolver's, for an answer that does not fit into a datagram.
        Endpoint::Designated { resolver } => resolver.port(),
    });
    let resolvers = config.bootstrap().iter().map(|address| address.port());
    let dnstap = config.dnstap().and_then(|reader| match reader {
        DnstapReader::Tcp(address) => Some(address.port()),
        DnstapReader::Unix(_) => None,
    });
    let portal = match config.portal() {
        PortalPolicy::Resolver(address) => Some(address.port()),
        PortalPolicy::Off | PortalPolicy::On => None,
    };
    let readers = resolvers.chain(dnstap).chain(portal);
    upstreams.chain(readers).chain(DNS_PORTS).collect()
}

/// The ports of listening addresses, which may come to this host later, and 0 if connections leave from an address of their own.
fn listening_ports(config: &Config) -> BTreeSet<u16> {
    let listen = config.server().listeners().map(|(_, address)| address);
    let listen = listen.chain(&config.admin().listen);
    let listen = listen.map(|address| address.port());
    let has_source = config
        .upstreams()
        .iter()
        .any(|it| it.egress.source.is_some());
    listen.chain(has_source.then_some(0)).collect()
}
