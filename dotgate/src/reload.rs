//! Reloading the configuration while everything is served.
//!
//! Not on the path of a query: it runs on the control thread. A new configuration is made whole first, with its
//! certificates, token and TLS; what is wrong with it has it rejected as a whole, and the current one stays active. `watch`
//! tells when files have other content, `running::reloads` records what came of it, for operators. It never closes a socket and never
//! empties the cache.

mod watch;

use std::path::PathBuf;
use std::sync::Arc;

use dotgate_config::setting::Reload;
use dotgate_config::{
    Config, Effective, Environment, Loaded, Note, Problem, Problems, VolatileRoutes,
};
use dotgate_tls::{Roots, RootsError, UnixTime};
use thiserror::Error;

pub use self::watch::POLL_INTERVAL;
use self::watch::Watch;
use crate::admin::{Access, Serving};
use crate::credentials::Credentials;
use crate::designation::with_designation;
use crate::local::{Local, LocalError};
use crate::log::message::say;
use crate::log::{self, with_hint};
use crate::running::{Outcome, OwnedRoutes, Running};
use crate::sandbox::{Plan, Sandbox};
use crate::serve::{Forwarder, StartError, verify_server_tls};
use crate::verify::certificate_warnings;

/// The active configuration, and where another one is read.
#[derive(Debug)]
pub struct ActiveConfig {
    source: Option<Source>,
    loaded: Loaded,
    /// Its configuration without the routes that programs set.
    configured: Config,
    volatile: Arc<[OwnedRoutes]>,
    watch: Watch,
    /// Files of a configuration that was refused: with other content they may be right.
    rejected_files: Vec<PathBuf>,
    /// What the program started with.
    started_with: Vec<Effective>,
    credentials: Credentials,
    sandbox: Sandbox,
}

#[derive(Debug)]
struct Source {
    environment: Environment,
    /// The file that the command line names.
    file: Option<PathBuf>,
}

/// Why a new configuration is not taken.
#[derive(Debug, Error)]
pub enum Refused {
    /// It comes from nowhere.
    #[error("this configuration was made for this run; there is nothing to reload")]
    Fixed,
    /// Settings are wrong.
    #[error("{}", OneLine(.0))]
    Settings(#[from] Problems),
    /// It needs what this process has given up.
    #[error(
        "the sandbox of this process does not permit what the settings need: {}\n  Start a new process with them: \
         `systemctl reload dotgate`, `dotgate replace` or a restart.", .0.join(", ")
    )]
    Sandbox(Vec<String>),
    /// There are no trust anchors to use.
    #[error(transparent)]
    Roots(#[from] RootsError),
    /// The local data cannot be used.
    #[error(transparent)]
    Local(#[from] LocalError),
    /// It could not be served.
    #[error(transparent)]
    Start(#[from] StartError),
}

/// All problems, for one line of a report.
struct OneLine<'a>(&'a Problems);

impl std::fmt::Display for OneLine<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let lines = self.0.iter().map(Problem::to_string);
        let lines: Vec<String> = lines.collect();
        f.write_str(&lines.join("; "))
    }
}

impl ActiveConfig {
    /// Takes what the program was started with.
    pub fn new(
        environment: &Environment,
        file: Option<PathBuf>,
        mut loaded: Loaded,
        credentials: Credentials,
    ) -> ActiveConfig {
        let environment = environment.clone();
        loaded.config = fit(loaded.config, &credentials);
        ActiveConfig {
            source: Some(Source { environment, file }),
            credentials,
            ..ActiveConfig::made(loaded)
        }
    }

    /// Takes a configuration that cannot be reloaded.
    pub fn made(loaded: Loaded) -> ActiveConfig {
        ActiveConfig {
            source: None,
            watch: Watch::new(&files_of(&loaded)),
            rejected_files: Vec::new(),
            started_with: loaded.effective.clone(),
            credentials: Credentials::None,
            sandbox: Sandbox::default(),
            configured: loaded.config.clone(),
            volatile: Arc::default(),
            loaded,
        }
    }

    /// Adds the routes that programs have set in the process before this one.
    ///
    /// # Errors
    /// What keeps them from being added.
    pub fn with_volatile_routes(mut self, routes: Vec<OwnedRoutes>) -> Result<Self, Problems> {
        self.loaded.config = with_routes(&self.configured, &routes)?;
        self.volatile = routes.into();
        Ok(self)
    }

    /// Takes other routes of programs in place of those before.
    ///
    /// # Errors
    /// [`Refused`]; nothing has changed then.
    pub fn set_volatile_routes(
        &mut self,
        routes: Arc<[OwnedRoutes]>,
        forwarder: &mut Forwarder,
    ) -> Result<(), Refused> {
        let loaded = Loaded {
            config: with_routes(&self.configured, &routes)?,
            ..self.loaded.clone()
        };
        if loaded.config.groups() != self.config().groups() {
            let plan = self.plan_for(&loaded);
            refuse_if_any(self.sandbox.lacks_files(&plan))?;
            refuse_if_any(self.sandbox.lacks_ports(&plan))?;
            forwarder.set_groups(&loaded.config)?;
            self.loaded = loaded;
        }
        self.volatile = routes;
        self.publish_routes(forwarder.running());
        Ok(())
    }

    /// The routes that programs have set.
    pub fn volatile_routes(&self) -> &Arc<[OwnedRoutes]> {
        &self.volatile
    }

    /// Lets others see which routes programs have set.
    pub fn publish_routes(&self, running: &Running) {
        let is_permitted = self.config().admin().takes_routes;
        running
            .routes()
            .set(Arc::clone(&self.volatile), is_permitted);
    }

    /// The configuration.
    pub fn config(&self) -> &Config {
        &self.loaded.config
    }

    /// Every setting, in the order of their table.
    pub fn effective(&self) -> &[Effective] {
        &self.loaded.effective
    }

    /// The secrets that the service manager gave this process, or the one before it.
    pub fn credentials(&self) -> &Credentials {
        &self.credentials
    }

    /// What a process with this configuration is to give up.
    pub fn plan(&self) -> Plan {
        self.plan_for(&self.loaded)
    }

    fn plan_for(&self, loaded: &Loaded) -> Plan {
        let environment = self.source.as_ref().map(|it| it.environment.clone());
        let environment = environment.unwrap_or_default();
        let credentials = self.credentials.folder();
        Plan::new(&loaded.config, files_of(loaded), credentials, &environment)
    }

    /// Records what this process has given up.
    pub fn set_sandbox(&mut self, sandbox: Sandbox) {
        self.sandbox = sandbox;
    }

    /// What this process has given up.
    pub fn sandbox(&self) -> &Sandbox {
        &self.sandbox
    }

    /// What the operator may not expect.
    pub fn notes(&self) -> &[Note] {
        &self.loaded.notes
    }

    /// Whether it holds only until the system's clock is set.
    pub fn awaits_clock(&self) -> bool {
        self.config().clockless_group().is_some()
    }

    /// Whether its files have other content now, if they are to be watched.
    pub fn look(&mut self) -> bool {
        let files = self.files();
        self.config().is_watched() && self.watch.look(&files)
    }

    /// The files whose content is part of it, or of one that was refused since.
    fn files(&self) -> Vec<PathBuf> {
        let mut files = files_of(&self.loaded);
        let rejected_files = self.rejected_files.iter();
        files.extend(rejected_files.cloned());
        files
    }

    /// Reloads the configuration, or changes nothing. Reports to the log and the record. `applied` is called as soon as it
    /// is active, before it is reported.
    pub fn reload(
        &mut self,
        why: &str,
        forwarder: &mut Forwarder,
        admin: &Serving,
        applied: impl FnOnce(&ActiveConfig, &mut Forwarder),
    ) -> Outcome {
        self.watch.note_tried(&self.files());
        let outcome = match self.try_reload(forwarder, admin) {
            Ok(waiting) => {
                applied(self, forwarder);
                self.log_outcome(why, forwarder, &waiting);
                Outcome::Applied { waiting }
            }
            Err(refused) => {
                log_rejected(why, &refused);
                let problem = refused.to_string();
                Outcome::Rejected { problem }
            }
        };
        forwarder.running().reloads().note(outcome.clone());
        outcome
    }

    /// Returns the names of settings that have another value now, and need a restart.
    fn try_reload(
        &mut self,
        forwarder: &mut Forwarder,
        admin: &Serving,
    ) -> Result<Vec<String>, Refused> {
        let source = self.source.as_ref().ok_or(Refused::Fixed)?;
        let file = source.file.as_deref();
        let mut loaded = dotgate_config::reload(&source.environment, file, &self.started_with)?;
        let configured = fit(loaded.config, &self.credentials);
        loaded.config = with_routes(&configured, &self.volatile)?;
        let current = files_of(&self.loaded);
        self.rejected_files = files_of(&loaded);
        self.rejected_files.retain(|file| !current.contains(file));
        self.watch.note_tried(&self.rejected_files);
        let plan = self.plan_for(&loaded);
        refuse_if_any(self.sandbox.lacks_files(&plan))?;
        let config = &loaded.config;
        let roots = Roots::load(&config.tls().authorities)?;
        let access = Access::load(config.admin());
        let active = forwarder.running().local();
        let tls = verify_server_tls(config)?;
        let certificates = tls.as_ref().map(|tls| &tls.certificates()[..]);
        let certificates = certificates.unwrap_or_default();
        let local = with_designation(config.local(), config.server(), certificates);
        let local = Local::load_after(&local, active.filter())?;
        let prepared = forwarder.prepare(config, &roots, &local)?;
        refuse_if_any(self.sandbox.lacks_ports(&plan))?;
        // Nothing can go wrong from here on.
        log_differences(&self.loaded, &loaded);
        forwarder.reconfigure(prepared);
        admin.set_access(access);
        log::set(config.log());
        (self.loaded, self.configured) = (loaded, configured);
        forwarder.running().set_settings(self.effective());
        self.publish_routes(forwarder.running());
        self.rejected_files.clear();
        Ok(self.waiting())
    }

    fn waiting(&self) -> Vec<String> {
        let pairs = self.loaded.effective.iter().zip(&self.started_with);
        let changed = pairs.filter(|(now, then)| {
            now.subject.entry().reload == Reload::Restart && now.value != then.value
        });
        let name = |now: &Effective| now.subject.entry().variable().into_owned();
        changed.map(|(now, _)| name(now)).collect()
    }

    fn log_outcome(&self, why: &str, forwarder: &Forwarder, waiting: &[String]) {
        let upstreams = forwarder.upstreams();
        let upstreams: Vec<&str> = upstreams.iter().map(|upstream| upstream.label()).collect();
        let upstreams = upstreams.join(",");
        say!(RELOADED, reason = why, upstreams = upstreams);
        for note in self.notes().iter().filter(|note| note.is_logged()) {
            say!(CONFIG_NOTE, note = %note);
        }
        for warning in certificate_warnings(&forwarder.running().certificates()) {
            say!(CONFIG_NOTE, note = warning);
        }
        if !waiting.is_empty() {
            let settings = waiting.join(", ");
            say!(NEEDS_RESTART, settings = settings);
        }
        for overridden in &self.loaded.overridden {
            let (variable, origin) = (&overridden.variable, overridden.origin.to_string());
            say!(OVERRIDDEN, variable = variable, origin = origin);
        }
    }
}

/// The configuration as it holds in this process at this moment.
fn fit(config: Config, credentials: &Credentials) -> Config {
    let config = config.with_files_at(|it| credentials.locate(it));
    match dotgate_tls::is_credible(UnixTime::now()) {
        true => config,
        false => config.without_clock(),
    }
}

/// The configuration with routes that programs have set.
fn with_routes(configured: &Config, owned: &[OwnedRoutes]) -> Result<Config, Problems> {
    let routes: Vec<VolatileRoutes> = owned.iter().map(|it| it.routes.clone()).collect();
    configured.with_volatile_routes(&routes)
}

fn refuse_if_any(lacks: Vec<String>) -> Result<(), Refused> {
    if lacks.is_empty() {
        Ok(())
    } else {
        Err(Refused::Sandbox(lacks))
    }
}

/// Logs each setting that has another value now.
fn log_differences(before: &Loaded, now: &Loaded) {
    let pairs = before.effective.iter().zip(&now.effective);
    for (before, now) in pairs.filter(|(before, now)| before.value != now.value) {
        say!(
            SETTING_CHANGED,
            setting = %now.subject.entry().variable(),
            before = before.value.as_deref(),
            now = now.value.as_deref()
        );
    }
}

/// The files whose content is part of a configuration.
pub(crate) fn files_of(loaded: &Loaded) -> Vec<PathBuf> {
    let config = &loaded.config;
    let files = [
        loaded.file.as_ref(),
        loaded.variables_file.as_ref(),
        config.tls().authorities.ca_file.as_ref(),
        config.admin().token_file.as_ref(),
        config.local().hosts_file.as_ref(),
        config.server().cookie_secret_file.as_ref(),
    ];
    let files = files.into_iter().flatten();
    let lists = config.local().filter.files();
    let server = config.server().tls_files();
    let all = files
        .chain(config.client_files())
        .chain(server)
        .chain(lists);
    all.cloned().collect()
}

fn log_rejected(why: &str, refused: &Refused) {
    say!(RELOAD_REJECTED, reason = why);
    let problems: Vec<&dyn std::fmt::Display> = match refused {
        Refused::Fixed | Refused::Sandbox(_) => vec![refused],
        Refused::Settings(problems) => problems.iter().map(|it| it as _).collect(),
        Refused::Roots(problem) => vec![problem],
        Refused::Local(problem) => vec![problem],
        Refused::Start(problem) => vec![problem],
    };
    for problem in problems {
        let (problem, hint) = with_hint(problem);
        say!(RELOAD_PROBLEM, problem = problem, hint = hint);
    }
}
