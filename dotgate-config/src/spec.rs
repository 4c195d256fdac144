//! What the operator wrote, with where it was written, before anything is known about its meaning.
//! It is between the environment and the file on one side and `Config` on the other.
//! Only finds what is wrong with names; values are looked at by the conversion to `Config`.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::environment::{Environment, is_service_link, is_service_link_value};
use super::fault::Fault;
use super::kinds::Kind;
use super::origin::{Origin, SourceValue};
use super::problem::Problem;
use super::setting::{AnySetting, Described, TableKey};
use super::settings::{
    ADMIN_LISTEN, CONFIG_FILE, DNS_HOST, DNS_PORT, LOCAL_RECORDS, ROUTES, SERVER_HOST, SERVER_PORT,
    TABLE,
};
use super::{file, nearest};

/// A setting of the file that is of no effect, for a variable decides it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Overridden {
    /// The variable.
    pub variable: String,
    /// Where the file speaks of it.
    pub origin: Origin,
}

/// One `[[upstream]]`, `[[route]]` or `[[record]]` table of the file.
#[derive(Debug)]
pub(super) struct KeyTable {
    pub(super) origin: Origin,
    /// By key; all keys are known ones.
    pub(super) values: BTreeMap<&'static str, SourceValue>,
    /// A value or key was invalid; the problem has been reported.
    pub(super) is_broken: bool,
}

impl KeyTable {
    /// Reads one key: `None` after a problem, `Some(None)` if the table does not have it.
    pub(super) fn read<T>(
        &self,
        problems: &mut Vec<Problem>,
        key: &'static TableKey,
        read: impl Fn(&str) -> Result<T, Fault>,
    ) -> Option<Option<T>> {
        let Some(written) = self.values.get(key.key) else {
            return Some(None);
        };
        match read(&written.text) {
            Ok(value) => Some(Some(value)),
            Err(fault) => {
                self.refuse(problems, key, fault);
                None
            }
        }
    }

    /// Reads a key that is missing only by mistake.
    pub(super) fn read_required<T>(
        &self,
        problems: &mut Vec<Problem>,
        key: &'static TableKey,
        read: impl Fn(&str) -> Result<T, Fault>,
    ) -> Option<T> {
        let value = self.read(problems, key, read)?;
        if value.is_none() && !self.is_broken {
            let origin = self.origin.clone();
            problems.push(Problem::MissingTableKey { origin, key });
        }
        value
    }

    /// Reports what is wrong with a key of the table.
    pub(super) fn refuse(&self, problems: &mut Vec<Problem>, key: &'static TableKey, fault: Fault) {
        if let Some(written) = self.values.get(key.key) {
            problems.push(Problem::InvalidTableKey {
                key,
                written: written.clone(),
                fault,
            });
        }
    }
}

/// All that was written.
#[derive(Debug, Default)]
pub(super) struct Spec {
    /// By variable. `None` where something was written that cannot be a value, which is a problem already reported.
    values: BTreeMap<String, Option<SourceValue>>,
    /// The file's upstreams, unless the environment has some.
    pub(super) upstream_tables: Vec<KeyTable>,
    /// The file's routes, unless the environment has some.
    pub(super) route_tables: Vec<KeyTable>,
    /// The file's local records, unless the environment has some.
    pub(super) record_tables: Vec<KeyTable>,
    /// What the file says of settings that a variable decides.
    pub(super) overridden: Vec<Overridden>,
    /// Variables that Kubernetes injected.
    pub(super) service_links: Vec<String>,
    /// The file, if one is named.
    pub(super) file: Option<PathBuf>,
    /// The default file of variables, which may be missing; none if the environment or the command line names a file.
    pub(super) variables_file: Option<PathBuf>,
    /// Neither the environment nor the command line names a file, or where to ask the running instance.
    pub(super) is_of_service: bool,
    /// The file could not be read, so what is missing may be in it.
    pub(super) file_is_unread: bool,
}

/// What there is for one setting.
pub(super) enum Lookup<'a> {
    /// Nothing.
    Unset,
    /// Something that cannot be a value.
    Broken,
    /// A value.
    Value(&'a SourceValue),
}

impl Spec {
    /// Collects what the environment and the file say. `file` is the one of the command line.
    pub(super) fn collect(
        environment: &Environment,
        file: Option<&Path>,
        problems: &mut Vec<Problem>,
    ) -> Self {
        let mut spec = Self::default();
        let named = config_file(environment, file);
        spec.is_of_service =
            named.is_none() && environment.value(&ADMIN_LISTEN.entry.variable()).is_none();
        let environment = if named.is_some() {
            environment.clone()
        } else {
            spec.variables_file = environment.default_variables();
            environment.with_default_variables(problems)
        };
        let named = named.or_else(|| config_file(&environment, None));
        let default = named.is_none().then(|| environment.default_file());
        let default = default.flatten();
        if let Some(path) = named.or_else(|| default.clone()) {
            file::read(&path, &mut spec, problems);
            spec.file = Some(path);
        }
        spec.take_variables(&environment, problems);
        let written = |path: &Path, origin| {
            let text = path.display().to_string();
            Some(SourceValue { text, origin })
        };
        if let Some(path) = file {
            spec.set(&CONFIG_FILE, written(path, Origin::Option("--config")));
        } else if let Some(path) = default {
            spec.set(&CONFIG_FILE, written(&path, Origin::Default));
        }
        spec
    }

    /// Replaces the upstreams by those behind an option of the command line, and what else is required by what does for
    /// a process that listens on nothing.
    pub(super) fn replace_upstreams(&mut self, option: &'static str, upstreams: &str) {
        self.upstream_tables.clear();
        for (subject, text) in [
            (&SERVER_HOST as &dyn Described, "127.0.0.1"),
            (&SERVER_PORT, "0"),
            (&DNS_HOST, upstreams),
            (&DNS_PORT, "853"),
        ] {
            let written = SourceValue {
                text: text.to_owned(),
                origin: Origin::Option(option),
            };
            self.set(subject, Some(written));
        }
    }

    /// Returns what there is for `subject`.
    pub(super) fn lookup(&self, subject: &dyn Described) -> Lookup<'_> {
        match self.values.get(subject.entry().variable().as_ref()) {
            None => Lookup::Unset,
            Some(None) => Lookup::Broken,
            Some(Some(written)) => Lookup::Value(written),
        }
    }

    /// Writes over what there is for `subject`.
    pub(super) fn set(&mut self, subject: &dyn Described, written: Option<SourceValue>) {
        self.values
            .insert(subject.entry().variable().into_owned(), written);
    }

    /// Writes over what there is for `subject`; with `None` it is not set.
    pub(super) fn replace(&mut self, subject: &dyn Described, written: Option<SourceValue>) {
        let variable = subject.entry().variable().into_owned();
        match written {
            Some(written) => drop(self.values.insert(variable, Some(written))),
            None => drop(self.values.remove(&variable)),
        }
    }

    fn take_variables(&mut self, environment: &Environment, problems: &mut Vec<Problem>) {
        for &subject in TABLE {
            let variable = subject.entry().variable();
            let Some(value) = environment.value(&variable) else {
                continue;
            };
            let value = value.to_str().map(str::trim);
            // As `${LOG_LEVEL}` in a compose file leaves it; a required one is reported as empty.
            if value == Some("") && !subject.entry().is_required() {
                continue;
            }
            let written = match value {
                None => {
                    problems.push(Problem::NotUtf8 { subject });
                    None
                }
                Some(value) if is_service_link_value(value) => {
                    problems.push(Problem::ServiceLink {
                        subject,
                        value: value.to_owned(),
                    });
                    None
                }
                Some(value) => {
                    let origin = Origin::Variable(variable.into_owned());
                    Some(SourceValue {
                        text: value.to_owned(),
                        origin,
                    })
                }
            };
            self.note_overridden(subject);
            self.set(subject, written);
        }
        for (variable, value) in environment.prefixed() {
            if variable_of(&variable).is_some() {
                continue;
            }
            if is_service_link(&variable, &value) {
                self.service_links.push(variable);
            } else {
                let nearest = nearest::variable(&variable);
                problems.push(Problem::UnknownVariable { variable, nearest });
            }
        }
    }
}

impl Spec {
    /// The tables of the file that stand for a setting.
    pub(super) fn tables_of(&self, subject: AnySetting) -> &[KeyTable] {
        let variable = subject.entry().variable();
        match variable.as_ref() {
            name if name == DNS_HOST.entry.variable() => &self.upstream_tables,
            name if name == ROUTES.entry.variable() => &self.route_tables,
            name if name == LOCAL_RECORDS.entry.variable() => &self.record_tables,
            _ => &[],
        }
    }

    fn note_overridden(&mut self, subject: AnySetting) {
        let tables = self.tables_of(subject);
        let origin = match (self.lookup(subject), tables.first()) {
            (Lookup::Value(written), _) => written.origin.clone(),
            (Lookup::Unset | Lookup::Broken, Some(table)) => table.origin.clone(),
            (Lookup::Unset | Lookup::Broken, None) => return,
        };
        let variable = subject.entry().variable().into_owned();
        self.overridden.push(Overridden { variable, origin });
    }
}

/// Returns the setting of a variable.
fn variable_of(variable: &str) -> Option<AnySetting> {
    TABLE
        .iter()
        .copied()
        .find(|subject| subject.entry().variable() == variable)
}

/// Returns the file to read: the command line's, or the environment's if that is a path at all.
fn config_file(environment: &Environment, file: Option<&Path>) -> Option<PathBuf> {
    if let Some(path) = file {
        return Some(path.to_owned());
    }
    let value = environment.value(&CONFIG_FILE.entry.variable())?.to_str()?;
    CONFIG_FILE.kind.read(value.trim()).ok()
}
