//! The configuration: what the operator wrote, in the environment or a file, and what it means.
//! It is before everything else; nothing is started without a `Config`, and nothing takes a setting from elsewhere.
//! Never changes the environment, never replaces a wrong value by a default, never stops at the first problem.
//!
//! ```text
//! environment, file --names--> Spec --values--> Config
//!                       \              \--> Problems (exit status 2)
//!                        settings::TABLE (names, kinds, ranges, defaults, docs)
//! ```
//!
//! The environment wins over the file. Limits: 1 MiB of file, 64 listeners, 16 upstreams; others are in the table.

mod access;
mod address;
mod clockless;
mod dnstap;
mod effective_file;
mod environment;
mod fault;
mod file;
mod filter;
mod from_spec;
mod hints;
mod identity;
mod kinds;
mod listeners;
mod nearest;
mod notes;
mod numbers;
mod origin;
mod portal;
mod problem;
mod providers;
mod query_log;
mod reader;
mod records;
pub mod reference;
mod reload;
mod routes;
pub mod schema;
pub mod setting;
pub mod settings;
mod spec;
mod strategies;
mod strategy_fault;
mod upstream;
mod upstreams;
mod volatile;
mod words;

use std::path::{Path, PathBuf};

pub use access::{AccessConfig, AccessEntry, AccessFault, AccessNetwork};
pub use address::{NoInterface, ScopedAddress, ScopedSocketAddress, is_interface_name};
pub use dnstap::DnstapReader;
pub use effective_file::effective_file;
pub use environment::Environment;
pub use fault::{Escaped, Fault};
pub use filter::FilterConfig;
pub use from_spec::{
    AdminConfig, AdminSocket, CacheConfig, ClientConfig, Config, ConnectionLimits, DohConfig,
    DoqConfig, DotConfig, LogConfig, QueryConfig, ServerConfig, SessionsConfig, TcpConfig,
    TlsConfig,
};
pub use identity::{Authentication, AuthoritySources, CertificateFiles, Identity, ServerTlsFiles};
pub use kinds::{Amount, ByteCount, Kind, PortalPolicy, Suffix, Time, UserSpec, read_resolver};
pub use listeners::Listener;
pub use notes::Note;
pub use origin::{Origin, SourceValue};
pub use portal::{CONNECTIVITY_CHECKS, PortalNames};
pub use problem::{FileFault, Problem, Problems, RoutesFault, ServerTlsFault, UpstreamsFault};
pub use query_log::{ClientForm, NameForm, QueryFilter, QueryForms, QueryLogConfig, QueryLogPlace};
pub use records::{LocalConfig, LocalRecord, read_record, split_records};
pub use reload::reload;
pub use routes::GroupConfig;
pub use spec::Overridden;
pub use strategy_fault::StrategyFault;
pub use upstream::{Endpoint, UpstreamConfig, UpstreamSpec};
pub use volatile::{NoRouteOwner, RouteOwner, VolatileRoutes};
pub use words::{LogFormat, LogLevel, Profile, SandboxPolicy, StartPolicy, Word};

use setting::{AnySetting, Unset};
use settings::TABLE;
use spec::{Lookup, Spec};

/// A configuration, with what `dotgate check` tells about it.
#[derive(Clone, Debug)]
pub struct Loaded {
    /// What it means.
    pub config: Config,
    /// Every setting in the order of the table.
    pub effective: Vec<Effective>,
    /// What the operator may not expect.
    pub notes: Vec<Note>,
    /// Settings of the file that have no effect.
    pub overridden: Vec<Overridden>,
    /// The file, if there is one.
    pub file: Option<PathBuf>,
    /// The default file of variables, which may be missing, if it is one of the sources.
    pub variables_file: Option<PathBuf>,
}

/// A setting, as it holds.
#[derive(Clone, Debug)]
pub struct Effective {
    /// The setting.
    pub subject: AnySetting,
    /// Its value as text; `None` if it is not set and nothing takes its place.
    pub value: Option<String>,
    /// Where the value was written.
    pub origin: Origin,
}

impl Effective {
    /// Whether it was set, whatever its value.
    pub fn is_changed(&self) -> bool {
        self.origin != Origin::Default
    }

    /// What was written; none if its default holds.
    fn written(&self) -> Option<SourceValue> {
        let text = self.value.clone().filter(|_| self.is_changed())?;
        let origin = self.origin.clone();
        Some(SourceValue { text, origin })
    }
}

/// Finds out the configuration from `environment` and the file it names, or from `file` if the command line names one.
/// Fails with all that is wrong; the program then starts nothing.
pub fn load(environment: &Environment, file: Option<&Path>) -> Result<Loaded, Problems> {
    let mut problems = Vec::new();
    let spec = Spec::collect(environment, file, &mut problems);
    from_spec(&spec, problems)
}

/// Finds out the configuration for asking `upstreams`, which were written behind `option`. Nothing is required, and no
/// file is read that neither the environment nor the command line names.
///
/// # Errors
/// All that is wrong with what is there.
pub fn load_for_upstreams(
    environment: &Environment,
    file: Option<&Path>,
    option: &'static str,
    upstreams: &str,
) -> Result<Loaded, Problems> {
    let mut problems = Vec::new();
    let environment = environment.clone().without_default_folder();
    let mut spec = Spec::collect(&environment, file, &mut problems);
    spec.replace_upstreams(option, upstreams);
    from_spec(&spec, problems)
}

fn from_spec(spec: &Spec, mut problems: Vec<Problem>) -> Result<Loaded, Problems> {
    match Config::from_spec(spec, &mut problems) {
        Some(config) => {
            let effective = TABLE
                .iter()
                .map(|&subject| effective(spec, &config, subject));
            let effective = effective.collect();
            let notes = notes::of(&config, spec.service_links.len());
            Ok(Loaded {
                config,
                effective,
                notes,
                overridden: spec.overridden.clone(),
                file: spec.file.clone(),
                variables_file: spec.variables_file.clone(),
            })
        }
        None => Err(Problems::new(problems)),
    }
}

/// Finds out where the running dotgate is to be asked. What else is missing or wrong does not matter for that.
/// Fails with what is wrong with these settings or keeps them from being read.
pub fn load_client(
    environment: &Environment,
    file: Option<&Path>,
) -> Result<ClientConfig, Problems> {
    load_part(environment, file, ClientConfig::from_spec)
}

/// Finds out where the running dotgate listens for queries; at least one address.
///
/// # Errors
/// What is wrong with these settings, or keeps them from being read.
pub fn load_listeners(
    environment: &Environment,
    file: Option<&Path>,
) -> Result<Vec<ScopedSocketAddress>, Problems> {
    load_part(environment, file, from_spec::listeners_from_spec)
}

fn load_part<T>(
    environment: &Environment,
    file: Option<&Path>,
    from_spec: impl FnOnce(&Spec, &mut Vec<Problem>) -> Option<T>,
) -> Result<T, Problems> {
    let mut others = Vec::new();
    let spec = Spec::collect(environment, file, &mut others);
    let mut problems = Vec::new();
    let found = from_spec(&spec, &mut problems);
    if spec.file_is_unread {
        problems.extend(others);
    }
    match found {
        Some(part) if problems.is_empty() => Ok(part),
        Some(_) | None => Err(Problems::new(problems)),
    }
}

/// The format of the log, for problems of a configuration that is not used. The default if it is wrong itself.
pub fn log_format(environment: &Environment, file: Option<&Path>) -> LogFormat {
    let mut others = Vec::new();
    let spec = Spec::collect(environment, file, &mut others);
    Config::read_log_format(&spec).unwrap_or(LogFormat::Text)
}

fn effective(spec: &Spec, config: &Config, subject: AnySetting) -> Effective {
    let (value, origin) = match (spec.lookup(subject), spec.tables_of(subject).first()) {
        (Lookup::Value(written), _) => (Some(written.text.clone()), written.origin.clone()),
        (Lookup::Unset | Lookup::Broken, Some(table)) => {
            (Some(config.shown_tables(subject)), table.origin.clone())
        }
        (Lookup::Unset | Lookup::Broken, None) => match subject.entry().unset {
            Unset::Default(text) => (Some(text.to_owned()), Origin::Default),
            Unset::Required | Unset::Nothing => (None, Origin::Default),
        },
    };
    Effective {
        subject,
        value,
        origin,
    }
}

#[cfg(test)]
mod tests;
