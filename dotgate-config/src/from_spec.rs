//! What the configuration means: typed, complete, and free of contradictions.
//! It is between what was written and the whole program, which takes its settings from here and from nowhere else.
//! A `Config` exists only if everything about it is right; no value in it means "not set, find a default".
//! Limits: 64 listeners, 64 groups of 16 upstreams, 64 upstreams in all.

mod access;
mod cache;
mod connections;
mod encrypted;
mod local;
mod query_log;
mod rates;
mod server;
mod sessions;

use std::path::{Path, PathBuf};
use std::time::Duration;

use dotgate_core::limits::PLAIN_SOCKETS_AHEAD;
use dotgate_core::{KeyExchangePolicy, RateSettings, ShardKey, Transport};
use ipnet::IpNet;

pub use self::connections::TcpConfig;
pub use self::encrypted::{DohConfig, DoqConfig, DotConfig};
pub use self::server::ServerConfig;
pub use self::sessions::SessionsConfig;
use super::access::AccessConfig;
use super::address::ScopedSocketAddress;
use super::kinds::{Amount, ByteCount, SocketPlace, Suffix};
use super::origin::Origin;
use super::problem::Problem;
use super::reader::Reader;
use super::routes::{self, GroupConfig, SourceRoute};
use super::setting::AnySetting;
use super::settings as table;
use super::spec::Spec;
use super::strategies;
use super::upstream::{UpstreamConfig, UpstreamSpec};
use super::upstreams;
use super::words::{LogFormat, LogLevel, Profile, QueryClass};
use crate::dnstap::DnstapReader;
use crate::identity::{AuthoritySources, CertificateFiles, ServerTlsFiles};
use crate::query_log::QueryLogConfig;
use crate::records::LocalConfig;

/// A configuration that the program can run with. Only `load` makes one.
#[derive(Clone, Debug)]
pub struct Config {
    server: ServerConfig,
    pub(super) upstreams: Vec<UpstreamConfig>,
    pub(super) groups: Vec<GroupConfig>,
    /// The port of upstreams without one.
    pub(super) default_port: u16,
    shard_key: ShardKey,
    hedge_percent: u8,
    probe: Vec<u8>,
    sessions: SessionsConfig,
    log: LogConfig,
    query: QueryConfig,
    tcp: TcpConfig,
    access: AccessConfig,
    rates: RateSettings,
    pub(super) tls: TlsConfig,
    bootstrap: Vec<ScopedSocketAddress>,
    local: LocalConfig,
    admin: AdminConfig,
    cache: CacheConfig,
    is_watched: bool,
}

/// What is logged, and how.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct LogConfig {
    /// The least important events logged.
    pub level: LogLevel,
    /// How they are written.
    pub format: LogFormat,
}

/// The bounds of a query.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct QueryConfig {
    /// The time from a query's arrival to its response.
    pub deadline: Duration,
    /// The queries in flight in one worker.
    pub in_flight_max: u32,
    /// The queries of one client address in flight over UDP, and as many over TCP.
    pub in_flight_per_client_max: u32,
    /// Whether questions of class ANY are forwarded.
    pub forwards_class_any: bool,
    /// Whether questions of classes for private use are forwarded.
    pub forwards_private_classes: bool,
    /// The clients without that limit.
    pub exempt: Vec<IpNet>,
    /// Which queries are logged, where and how.
    pub log: QueryLogConfig,
    /// Who gets copies of all messages; none if nobody does.
    pub dnstap: Option<DnstapReader>,
}

/// Settings of the cache.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct CacheConfig {
    /// Size of the cache in bytes; 0 for no cache.
    pub size: ByteCount,
    /// The shortest time an answer is cached.
    pub ttl_min: Duration,
    /// The longest time an answer is cached, no shorter than `ttl_min`.
    pub ttl_max: Duration,
    /// The longest time a negative response is cached.
    pub negative_ttl_max: Duration,
    /// The longest time a failure is cached.
    pub failure_ttl_max: Duration,
    /// How long after its end an answer is still given, as stale.
    pub stale_max: Duration,
    /// How long a client waits before it is given a stale answer.
    pub stale_after: Duration,
    /// Whether popular answers are asked for again before they end.
    pub prefetch: bool,
    /// Whether NXDOMAIN answers for all types of its name.
    pub nxdomain_all_types: bool,
    /// Whether the addresses of a cached answer rotate.
    pub rotates_addresses: bool,
    /// Names at and below which nothing is cached: uncompressed, in lower case.
    pub except: Vec<Vec<u8>>,
    /// The file that carries it over a restart, if any.
    pub snapshot_file: Option<PathBuf>,
}

/// How upstreams are authenticated.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct TlsConfig {
    /// Where the authorities to trust are read from; the system's if it names nothing.
    pub authorities: AuthoritySources,
    /// Whether upstreams must be authenticated at all.
    pub authentication: Profile,
    /// Which key exchange they are offered.
    pub key_exchange: KeyExchangePolicy,
    /// The names that are asked of upstreams authenticated by pin alone while the system's clock is not set.
    pub clockless_names: Vec<Suffix>,
}

/// The admin endpoint.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct AdminConfig {
    /// Where it listens; nowhere if empty. Port 0 is the kernel's choice.
    pub listen: Vec<ScopedSocketAddress>,
    /// Its Unix socket, if it has one.
    pub socket: Option<AdminSocket>,
    /// The names by which it may be asked besides `localhost` and addresses, in lower case.
    pub hosts: Vec<String>,
    /// The file with the token for what is not for everybody.
    pub token_file: Option<PathBuf>,
    /// Whether queries are shown as they end.
    pub shows_queries: bool,
    /// Whether programs may set routes.
    pub takes_routes: bool,
}

/// The Unix socket of the admin endpoint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AdminSocket {
    /// Where it is.
    pub path: PathBuf,
    /// Whether the operator asked for it: then it must be had.
    pub is_named: bool,
}

/// How many TCP connections clients may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ConnectionLimits {
    /// All clients, in all workers.
    pub all: u32,
    /// One client address, in all workers.
    pub per_client: u32,
}

impl Config {
    /// Returns where to listen, and how.
    pub fn server(&self) -> &ServerConfig {
        &self.server
    }

    /// Returns the upstreams of all groups, each once, in the order in which they were written: 1 to 64, none a listener of
    /// ours.
    pub fn upstreams(&self) -> &[UpstreamConfig] {
        &self.upstreams
    }

    /// Returns the files of the certificates that upstreams may ask for.
    pub fn client_files(&self) -> impl Iterator<Item = &PathBuf> {
        let authentications = self
            .upstreams
            .iter()
            .filter_map(|it| it.authentication.as_ref());
        let clients = authentications.filter_map(|it| it.client.as_ref());
        clients.flat_map(CertificateFiles::paths)
    }

    /// Returns the groups of upstreams: that of the default route, then those of the routes. No suffix is in two of them.
    pub fn groups(&self) -> &[GroupConfig] {
        &self.groups
    }

    /// Returns the upstreams of the default route: 1 to 16.
    pub fn default_upstreams(&self) -> &[UpstreamConfig] {
        let first = self.groups.first();
        first.map_or(&[], |group| &group.upstreams)
    }

    /// Returns the name that upstreams are asked about to see whether they answer: uncompressed, in lower case.
    pub fn probe(&self) -> &[u8] {
        &self.probe
    }

    /// Returns how sessions to upstreams are opened and what is remembered of them.
    pub fn sessions(&self) -> &SessionsConfig {
        &self.sessions
    }

    /// Returns which queries are logged, where and how.
    pub fn query_log(&self) -> &QueryLogConfig {
        &self.query.log
    }

    /// Returns who gets copies of all messages; none if nobody does.
    pub fn dnstap(&self) -> Option<&DnstapReader> {
        self.query.dnstap.as_ref()
    }

    /// Returns what is logged.
    pub fn log(&self) -> &LogConfig {
        &self.log
    }

    /// Returns the bounds of a query.
    pub fn query(&self) -> &QueryConfig {
        &self.query
    }

    /// Returns the bounds of clients' TCP connections.
    pub fn tcp(&self) -> &TcpConfig {
        &self.tcp
    }

    /// Returns who may ask.
    pub fn access(&self) -> &AccessConfig {
        &self.access
    }

    /// Returns how often clients may ask and connect.
    pub fn rates(&self) -> RateSettings {
        self.rates
    }

    /// Returns how upstreams are authenticated.
    pub fn tls(&self) -> &TlsConfig {
        &self.tls
    }

    /// Returns the resolvers for the names of upstreams: at least one if an upstream is a name.
    pub fn bootstrap(&self) -> &[ScopedSocketAddress] {
        &self.bootstrap
    }

    /// Returns the settings of the cache.
    pub fn cache(&self) -> &CacheConfig {
        &self.cache
    }

    /// Returns the key by which names are sharded.
    pub fn shard_key(&self) -> ShardKey {
        self.shard_key
    }

    /// Returns how many of a hundred queries may be copied to a second upstream while the first is late.
    pub fn hedge_percent(&self) -> u8 {
        self.hedge_percent
    }

    /// What the file's tables say in place of a setting, in its one-line form.
    pub(super) fn shown_tables(&self, subject: AnySetting) -> String {
        if subject.entry().variable() == table::LOCAL_RECORDS.entry.variable() {
            let texts = self.local.records.iter().map(|record| &*record.text);
            return texts.collect::<Vec<&str>>().join("; ");
        }
        routes::shown_tables(&self.groups, subject)
    }

    /// Returns what the settings say about local data.
    pub fn local(&self) -> &LocalConfig {
        &self.local
    }

    /// Returns where the admin endpoint is and who may use it.
    pub fn admin(&self) -> &AdminConfig {
        &self.admin
    }

    /// Whether the files are watched, to be reloaded.
    pub fn is_watched(&self) -> bool {
        self.is_watched
    }

    /// Returns this configuration with each file that `locate` knows read from where it says.
    #[must_use]
    pub fn with_files_at(mut self, locate: impl Fn(&Path) -> Option<PathBuf>) -> Config {
        let authorities = &mut self.tls.authorities;
        let files = [
            &mut authorities.ca_file,
            &mut authorities.certificate_file,
            &mut self.admin.token_file,
            &mut self.server.cookie_secret_file,
        ];
        let files = files.into_iter().flatten();
        let in_groups = self
            .groups
            .iter_mut()
            .flat_map(|group| &mut group.upstreams);
        let upstreams = self.upstreams.iter_mut().chain(in_groups);
        let server = self.server.tls.iter_mut();
        let server = server.flat_map(ServerTlsFiles::paths_mut);
        let upstreams = upstreams.flat_map(UpstreamConfig::client_files_mut);
        for path in files.chain(upstreams).chain(server) {
            if let Some(located) = locate(path) {
                *path = located;
            }
        }
        self
    }

    /// Returns how many TCP connections clients may have in a process that may open `descriptors` files. `auto`
    /// leaves room for every listener, for four sessions to each upstream in each worker and for the sockets that it
    /// makes ahead for plain ones, is at least 16 and at most 65,536, and gives a client address a quarter. Numbers
    /// the operator wrote are returned as they are.
    pub fn connection_limits(&self, descriptors: u64) -> ConnectionLimits {
        const AUTO_MIN: u64 = 16;
        const AUTO_MAX: u64 = 65_536;
        const SESSIONS_OF_AN_UPSTREAM: u64 = 4;
        // Including those reserved for sessions.
        const OTHER_FILES_OF_A_WORKER: u64 = 12;
        const OTHER_FILES: u64 = 64;
        const ADMIN_CONNECTIONS: u64 = 64;
        let all = match self.tcp.connections_max {
            Amount::Exactly(all) => all,
            Amount::Auto => {
                // A listener's UDP and TCP socket, and a second descriptor of each to hand over.
                let server = &self.server;
                let of_a_socket = 1 + u64::from(self.server.take_over_socket.is_some());
                let encrypted = [&server.dot.listen, &server.doh.listen, &server.doq.listen];
                let encrypted: usize = encrypted.into_iter().map(Vec::len).sum();
                let sockets = 2 * server.listen.len() + encrypted;
                let plain = self.upstreams.iter();
                let plain = plain.filter(|upstream| upstream.transport() == Transport::Plain);
                let of_a_worker = of_a_socket * sockets as u64
                    + SESSIONS_OF_AN_UPSTREAM * self.upstreams.len() as u64
                    + PLAIN_SOCKETS_AHEAD as u64 * plain.count() as u64
                    + OTHER_FILES_OF_A_WORKER;
                let of_admin = ADMIN_CONNECTIONS * u64::from(!self.admin.listen.is_empty());
                let taken = self.server.workers.get() as u64 * of_a_worker + of_admin + OTHER_FILES;
                let left = descriptors.saturating_sub(taken).clamp(AUTO_MIN, AUTO_MAX);
                u32::try_from(left).unwrap_or(u32::MAX)
            }
        };
        let per_client = match self.tcp.connections_per_client_max {
            Amount::Exactly(per_client) => per_client,
            Amount::Auto => (all / 4).max(1),
        };
        ConnectionLimits { all, per_client }
    }

    /// Finds out what `spec` means, and everything that is wrong with it. `None` only if problems were added or were
    /// there before.
    pub(super) fn from_spec(spec: &Spec, problems: &mut Vec<Problem>) -> Option<Self> {
        let mut reader = Reader { spec, problems };
        let server = server::read(&mut reader);
        let upstream_specs = upstreams::read(&mut reader);
        let route_specs = routes::read(&mut reader);
        let default_port = reader.value(&table::DNS_PORT);
        let probe = reader.value(&table::DNS_PROBE);
        let sessions = sessions::read(&mut reader);
        let selection = strategies::read(&mut reader);
        let plain_default = reader.value(&table::DNS_ALLOW_PLAIN_DEFAULT);
        reader.optional(&table::CONFIG_FILE);
        let is_watched = reader.value(&table::CONFIG_WATCH);
        let (log, query) = (read_log(&mut reader), read_query(&mut reader));
        let tcp = connections::read(&mut reader);
        let access = access::read(&mut reader, server.as_ref());
        let rates = rates::read(&mut reader);
        let tls = read_tls(&mut reader);
        let bootstrap = reader
            .optional(&table::BOOTSTRAP_ADDRESSES)
            .unwrap_or_default();
        let local = local::read(&mut reader);
        let public_routes = reader.value_with_origin(&table::LOCAL_REBIND_ROUTES);
        let of_server = server.as_ref();
        let admin = read_admin(
            &mut reader,
            of_server.and_then(|it| it.take_over_socket.as_deref()),
        );
        let cache = cache::read(&mut reader);
        let of_default = upstream_specs.as_deref().unwrap_or_default();
        let of_routes = route_specs.as_deref().unwrap_or_default();
        upstreams::refuse_names_without_bootstrap(&mut reader, written(of_default, of_routes));
        let (server, tls, specs) = (server?, tls?, upstream_specs?);
        let (default_port, routes, selection) = (default_port?, route_specs?, selection?);
        let listeners = server.addresses();
        upstreams::refuse_plain(&mut reader, &specs, plain_default?);
        upstreams::refuse_listener_as_bootstrap(&mut reader, &bootstrap, &listeners);
        let mut from_spec =
            |specs| upstreams::from_specs(&mut reader, specs, default_port, &tls, &listeners);
        let dns64 = local.as_ref().and_then(|local| local.filter.dns64);
        let weights = strategies::weights(specs.iter().map(|(spec, _)| spec));
        let default =
            GroupConfig::of_default_route(from_spec(specs), weights, selection.strategy, dns64);
        let mut groups = routes::groups(default, &routes, from_spec);
        local::mark_public(&mut reader, &mut groups, public_routes?);
        routes::refuse_contradictions(&mut reader, &routes);
        strategies::refuse_useless(&mut reader, &groups, selection.shard_key);
        let upstreams = routes::all_upstreams(&mut reader, &groups);
        let config = Self {
            server,
            upstreams,
            groups: groups.into_iter().map(|(group, _)| group).collect(),
            default_port,
            shard_key: selection.shard_key,
            hedge_percent: selection.hedge_percent,
            probe: probe?,
            sessions: sessions?,
            log: log?,
            query: query?,
            tcp: tcp?,
            access: access?,
            rates: rates?,
            tls,
            bootstrap,
            local: local?,
            admin: admin?,
            cache: cache?,
            is_watched: is_watched?,
        };
        problems.is_empty().then_some(config)
    }
}

/// All upstreams, each with where it was written.
pub(super) fn written<'s>(
    of_default: &'s [(UpstreamSpec, Origin)],
    of_routes: &'s [SourceRoute],
) -> impl Iterator<Item = (&'s UpstreamSpec, &'s Origin)> {
    let of_routes = of_routes.iter().flat_map(|(route, origin)| {
        let upstreams = route.upstreams.iter();
        upstreams.map(move |upstream| (upstream, origin))
    });
    let of_default = of_default.iter();
    let of_default = of_default.map(|(upstream, origin)| (upstream, origin));
    of_default.chain(of_routes)
}

impl Config {
    /// Finds out the format of the log, whatever else is wrong.
    pub(super) fn read_log_format(spec: &Spec) -> Option<LogFormat> {
        let problems = &mut Vec::new();
        Reader { spec, problems }.value(&table::LOG_FORMAT)
    }
}

/// What a command needs to know to ask the running dotgate.
#[derive(Clone, Debug)]
pub struct ClientConfig {
    /// The admin endpoint.
    pub admin: AdminConfig,
    /// Where the running process may be known by, too.
    pub take_over_socket: Option<PathBuf>,
}

impl ClientConfig {
    /// Finds out what `spec` means for a command that asks the running dotgate. `None` only if problems were added.
    pub(super) fn from_spec(spec: &Spec, problems: &mut Vec<Problem>) -> Option<Self> {
        const TAKE_OVER_OF_SERVICE: &str = "/run/dotgate/take-over.sock";
        let mut reader = Reader { spec, problems };
        let take_over_socket = reader.optional(&table::SERVER_TAKE_OVER_SOCKET);
        let of_service = spec
            .is_of_service
            .then_some(Path::new(TAKE_OVER_OF_SERVICE));
        let sibling = take_over_socket.as_deref().or(of_service);
        Some(Self {
            admin: read_admin(&mut reader, sibling)?,
            take_over_socket,
        })
    }
}

/// Finds out where `spec` has the server listen. `None` only if problems were added.
pub(super) fn listeners_from_spec(
    spec: &Spec,
    problems: &mut Vec<Problem>,
) -> Option<Vec<ScopedSocketAddress>> {
    server::read_listeners(&mut Reader { spec, problems })
}

fn read_log(reader: &mut Reader<'_>) -> Option<LogConfig> {
    let level = reader.value(&table::LOG_LEVEL);
    let format = reader.value(&table::LOG_FORMAT);
    Some(LogConfig {
        level: level?,
        format: format?,
    })
}

fn read_query(reader: &mut Reader<'_>) -> Option<QueryConfig> {
    let deadline = reader.value(&table::QUERY_DEADLINE);
    let in_flight_max = reader.value(&table::QUERY_IN_FLIGHT_MAX);
    let in_flight_per_client_max = reader.value(&table::QUERY_IN_FLIGHT_PER_CLIENT_MAX);
    let classes = reader.value(&table::QUERY_FORWARD_CLASSES);
    let exempt = reader.value(&table::QUERY_EXEMPT);
    let log = query_log::read(reader);
    let dnstap = reader.value(&table::DNSTAP);
    Some(QueryConfig {
        deadline: deadline?,
        in_flight_max: in_flight_max?,
        in_flight_per_client_max: in_flight_per_client_max?,
        forwards_class_any: classes.as_ref()?.contains(&QueryClass::Any),
        forwards_private_classes: classes?.contains(&QueryClass::Private),
        exempt: exempt?,
        log: log?,
        dnstap: dnstap?,
    })
}

fn read_tls(reader: &mut Reader<'_>) -> Option<TlsConfig> {
    let ca_file = reader.optional(&table::TLS_CA_FILE);
    let certificate_file = reader.optional(&table::SSL_CERT_FILE);
    let certificate_folders = reader.optional(&table::SSL_CERT_DIR);
    let authentication = reader.value(&table::TLS_AUTHENTICATION);
    let key_exchange = reader.value(&table::TLS_KEY_EXCHANGE);
    let clockless_names = reader.value(&table::TLS_CLOCKLESS_NAMES);
    Some(TlsConfig {
        authorities: AuthoritySources {
            ca_file,
            certificate_file,
            certificate_folders: certificate_folders.unwrap_or_default(),
        },
        authentication: authentication?,
        key_exchange: key_exchange?,
        clockless_names: clockless_names?,
    })
}

fn read_admin(reader: &mut Reader<'_>, take_over: Option<&Path>) -> Option<AdminConfig> {
    const NAME: &str = "admin.sock";
    let listen = reader.value(&table::ADMIN_LISTEN);
    let socket = match reader.value(&table::ADMIN_SOCKET)? {
        SocketPlace::Off => None,
        SocketPlace::At(path) => Some(AdminSocket {
            path,
            is_named: true,
        }),
        SocketPlace::Auto => take_over.map(|take_over| AdminSocket {
            path: take_over.with_file_name(NAME),
            is_named: false,
        }),
    };
    let hosts = reader.optional(&table::ADMIN_HOST_NAMES);
    let token_file = reader.optional(&table::ADMIN_TOKEN_FILE);
    let shows_queries = reader.value(&table::ADMIN_QUERIES);
    let takes_routes = reader.value(&table::ADMIN_ROUTES);
    Some(AdminConfig {
        listen: listen?,
        socket,
        hosts: hosts.unwrap_or_default(),
        token_file,
        shows_queries: shows_queries?,
        takes_routes: takes_routes?,
    })
}
